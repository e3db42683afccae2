//! What there is: methods, recipes, data, devices, completions.

use std::path::Path;
use std::process::ExitCode;

use autodidact::datasets::{self, Store};
use autodidact::error::{Error, Result};
use autodidact::recipe::Recipe;
use clap::CommandFactory;

use crate::arguments::{Arguments, Completions, Recipes};

/// The recipes that come with the program: name and text.
const RECIPES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

pub(crate) fn methods() -> Result<ExitCode> {
    for method in autodidact::method::ALL {
        println!("{:<12} {}", method.name, method.summary);
        println!("{:<12} {}", "", method.source);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn recipes(arguments: &Recipes) -> Result<ExitCode> {
    match &arguments.name {
        Some(name) => print!("{}", text_of(name).ok_or_else(|| unknown(name))?),
        None => {
            for (name, text) in RECIPES {
                let first = text
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .trim_start_matches(['#', ' ']);
                println!("{name:<24} {first}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn datasets() -> Result<ExitCode> {
    println!("kinds of data that can be read:");
    for (name, summary) in autodidact::modality::ALL {
        println!("  {name:<10} {summary}");
    }
    println!("published data, fetched when it is named (`autodidact pretrain cifar10`):");
    let store = Store::of_user();
    for set in datasets::ALL {
        let here = store.as_ref().is_ok_and(|store| store.has(set));
        println!(
            "  {:<14} {:>4} MB  {:<12}  {}; license: {}",
            set.name,
            set.megabytes(),
            if here { "in the cache" } else { "" },
            set.summary,
            set.license
        );
    }
    match store {
        Ok(store) => println!("  the cache is {}", store.path().display()),
        Err(error) => println!("  {error}"),
    }
    println!("data that comes with the program:");
    println!(
        "  (none named) synthetic images of ten shapes, 32×32, drawn on the spot: `autodidact pretrain`"
    );
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn devices() -> Result<ExitCode> {
    for (name, summary) in autodidact::train::device::list() {
        println!("{name:<8} {summary}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn completions(arguments: &Completions) -> Result<ExitCode> {
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "autodidact",
        &mut std::io::stdout(),
    );
    Ok(ExitCode::SUCCESS)
}

/// A recipe by its file or, where there is no such file, by its name.
pub(crate) fn find_recipe(name: &str) -> Result<Recipe> {
    let path = Path::new(name);
    if path.is_file() {
        return Recipe::read(path);
    }
    let text = text_of(name).ok_or_else(|| unknown(name))?;
    Recipe::parse(text).map_err(|error| error.at(name))
}

fn text_of(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("recipes/").unwrap_or(name);
    let name = name.strip_suffix(".toml").unwrap_or(name);
    RECIPES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

fn unknown(name: &str) -> Error {
    let known: Vec<_> = RECIPES.iter().map(|(name, _)| *name).collect();
    Error::recipe(format!("no recipe `{name}`"))
        .expected(format!("a file, or one of {}", known.join(", ")))
        .mend("`autodidact recipes` says what each is for; `autodidact recipes NAME` prints one, to begin a file with")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_that_comes_along_can_be_read() {
        assert!(!RECIPES.is_empty());
        for (name, _) in RECIPES {
            let recipe = find_recipe(name).unwrap();
            assert!(recipe.method().is_some(), "{name} names no method");
        }
    }
}
