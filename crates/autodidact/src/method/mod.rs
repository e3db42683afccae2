//! Objectives: what a network learns from views. One file a method.
//!
//! What a method is stands in `contract`, what it hands on in `loss` and `training`, what all of them check in `checks`;
//! here is which there are, and how a name finds its type.
//!
//! *Architecture Invariant:* nothing here names a kind of data. A new method is a file here and one line in
//! `methods!`; the line gives it its recipe table, its `--method` name and its smoke test.

mod checks;
mod contract;
mod hiding;
mod loss;
#[cfg(test)]
mod toy;
mod training;

use crate::error::{Error, Result};
use crate::modality::{self, Abilities, ForModality, Modality, Need};
use crate::recipe::Recipe;

use checks::{device_of, positive, share_right, take, timeless, within, wordless};

pub use contract::{Method, Objective, Restored, Step};
pub use loss::Loss;
pub(crate) use training::REFERENCE_BATCH;
pub use training::{Optimizer, Training};

/// What to do with a method that is known by name only.
pub trait ForObjective {
    /// What comes out.
    type Output;
    /// Does it for one method.
    fn run<O: Objective>(self) -> Self::Output;
}

/// A line about a method, for lists.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name in a recipe and after `--method`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Authors, year, where the official code is.
    pub source: &'static str,
}

/// One line a method: it declares the file, and the name in recipes finds the type.
macro_rules! methods {
    ($($file:ident::$objective:ident),+ $(,)?) => {
        $(pub mod $file;)+

        /// The methods there are.
        pub const ALL: &[Entry] = &[$(Entry {
            name: <$file::$objective>::NAME,
            summary: <$file::$objective>::SUMMARY,
            source: <$file::$objective>::SOURCE,
        }),+];

        /// Runs `what` for the method of that name.
        ///
        /// # Errors
        /// When there is none; names those that there are.
        pub fn by_name<F: ForObjective>(name: &str, what: F) -> Result<F::Output> {
            $(if name == <$file::$objective>::NAME {
                return Ok(what.run::<$file::$objective>());
            })+
            Err(unknown(name))
        }

        /// As [`by_name`], for a method on a kind of data: only what some network of that kind can serve is compiled.
        ///
        /// # Errors
        /// When there is no such method, or no network of that kind can serve it; names those that work.
        pub fn on<M: Modality, F: ForObjective>(name: &str, what: F) -> Result<F::Output> {
            $(if name == <$file::$objective>::NAME {
                if const { M::ABLE.serve(<$file::$objective as Objective>::NEEDS) } {
                    return Ok(what.run::<$file::$objective>());
                }
                return Err(unserved_by_data::<M>(name));
            })+
            Err(unknown(name))
        }

        /// The methods that a network of such abilities serves.
        fn served(able: Abilities) -> Vec<&'static str> {
            let mut names = Vec::new();
            $(if able.serve(<$file::$objective>::NEEDS) {
                names.push(<$file::$objective>::NAME);
            })+
            names
        }
    };
}

methods![
    simclr::SimClr,
    vicreg::VicReg,
    spectral::Spectral,
    reliability::Reliability,
    ppmi::Ppmi,
    byol::Byol,
    mae::Mae,
    ts2vec::Ts2Vec,
    cpc::Cpc,
    wav2vec::Wav2vec,
    direct_forecast::DirectForecast,
    masked_lm::MaskedLm,
    next_sentence::NextSentence,
    electra::Electra,
    tsdae::Tsdae,
    causal_lm::CausalLm,
    supervised::Supervised,
];

/// The method of a run that names none, where nothing about the network can be solved for.
const BY_GRADIENT: &str = "simclr";
/// The method of a run that names none, where a vector may be a map of fixed features.
const BY_MAP: &str = "spectral";
/// The method of a run that names none, where a vector may be fixed features: what hundreds of items do for.
const BY_WEIGHTS: &str = "reliability";
/// The method of a run that names none, where a vector may be the mean of symbols' own.
const BY_COUNTS: &str = "ppmi";

/// The method that a recipe names, or the one that serves it best: in closed form where the kind of data allows it and the
/// recipe says nothing of the network, or only what suits the usual one ([`Modality::USUAL`]).
///
/// # Errors
/// When there is no such kind of data.
pub fn of(recipe: &Recipe) -> Result<String> {
    struct Able;
    impl ForModality for Able {
        type Output = (Abilities, &'static [&'static str]);
        fn run<M: Modality>(self) -> Self::Output {
            (M::ABLE, M::USUAL)
        }
    }
    if let Some(name) = recipe.method() {
        return Ok(name.to_owned());
    }
    let (able, usual) = modality::by_name(&recipe.kind()?, Able)?;
    let open = recipe.says_only("encoder", usual) && !recipe.has("train", "init");
    Ok(match open {
        true if able.weighs => BY_WEIGHTS,
        true if able.reads_out => BY_MAP,
        true if able.averages => BY_COUNTS,
        _ => BY_GRADIENT,
    }
    .to_owned())
}

fn unknown(name: &str) -> Error {
    let known: Vec<_> = ALL.iter().map(|entry| entry.name).collect();
    let error = Error::recipe(format!("no method named `{name}`")).expected(known.join(", "));
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest.filter(|(likeness, _)| *likeness > 0.7) {
        Some((_, known)) => error.mend(format!(
            "did you mean `{known}`? `autodidact methods` says what each does"
        )),
        None => error.mend("`autodidact methods` says what each does"),
    }
}

/// Refuses a method that no network for a kind of data can serve; names the methods that work.
fn unserved_by_data<M: Modality>(name: &str) -> Error {
    let what = format!("{name}, with data of the kind `{}`", M::NAME);
    Error::recipe(what)
        .expected(format!("one of {}", served(M::ABLE).join(", ")))
        .mend("name another method, or the kind of data with data.kind")
}

/// Refuses a method that a network can't serve; names the methods that work.
pub(crate) fn unserved(what: &str, needs: Need, able: Abilities) -> Error {
    Error::recipe(what).expected(needs.describe()).mend(format!(
        "take another encoder, or one of the methods {}",
        served(able).join(", ")
    ))
}

/// The first method that needs just that of a network: what a network is for that somebody published for it.
pub(crate) fn serving(need: Need) -> &'static str {
    struct Needs;
    impl ForObjective for Needs {
        type Output = Need;
        fn run<O: Objective>(self) -> Need {
            O::NEEDS
        }
    }
    let serves = |entry: &&Entry| by_name(entry.name, Needs).is_ok_and(|needs| needs == need);
    ALL.iter()
        .find(serves)
        .map_or(BY_GRADIENT, |entry| entry.name)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_that_names_no_method_gets_the_one_that_serves_it() {
        for (recipe, method) in [
            ("", "spectral"),
            ("[views]\nflip = 0.0", "spectral"),
            ("[train]\ninit = \"run\"", "simclr"),
            ("[train]\ninit = \"run\"\n[encoder]\nwidth = 16", "simclr"),
            ("[data]\nkind = \"text\"", "ppmi"),
            ("[data]\nkind = \"series\"", "reliability"),
            ("[method]\nname = \"byol\"", "byol"),
        ] {
            assert_eq!(
                of(&Recipe::parse(recipe).unwrap()).unwrap(),
                method,
                "{recipe}"
            );
        }
    }

    #[test]
    fn what_suits_the_usual_network_leaves_it_its_method() {
        for (kind, encoder, method) in [
            ("images", "width = 16", "spectral"),
            (
                "images",
                "patch = 8\nstride = 2\ncells = 3\ndim = 64",
                "spectral",
            ),
            ("images", "width = 16\nstem = \"imagenet\"", "simclr"),
            ("images", "name = \"resnet18\"\nwidth = 16", "simclr"),
            ("text", "width = 16", "ppmi"),
            ("text", "normalize = false", "ppmi"),
            ("text", "width = 16\ndepth = 2", "simclr"),
            ("series", "width = 336", "reliability"),
            (
                "series",
                "transforms = [\"values\"]\npooling = [\"place\"]",
                "reliability",
            ),
            ("series", "vector = \"map\"", "simclr"),
            // A slip of the pen is found where the table is read.
            ("text", "widht = 16", "simclr"),
        ] {
            let recipe = format!("[data]\nkind = \"{kind}\"\n[encoder]\n{encoder}");
            let found = of(&Recipe::parse(&recipe).unwrap()).unwrap();
            assert_eq!(found, method, "{recipe}");
        }
    }

    #[test]
    fn what_no_network_of_a_kind_of_data_serves_is_refused_and_the_others_are_named() {
        struct Named;
        impl ForObjective for Named {
            type Output = &'static str;
            fn run<O: Objective>(self) -> &'static str {
                O::NAME
            }
        }
        struct On(&'static str);
        impl ForModality for On {
            type Output = Result<&'static str>;
            fn run<M: Modality>(self) -> Self::Output {
                on::<M, _>(self.0, Named)
            }
        }
        for (kind, _) in modality::ALL {
            for entry in ALL {
                let found = modality::by_name(kind, On(entry.name)).unwrap();
                let symbols = [
                    "masked_lm",
                    "next_sentence",
                    "causal_lm",
                    "electra",
                    "tsdae",
                    "ppmi",
                ];
                let of_time = ["reliability", "ts2vec", "cpc", "wav2vec", "direct_forecast"];
                let expected = match *kind {
                    "text" => {
                        !of_time.contains(&entry.name) && !["mae", "spectral"].contains(&entry.name)
                    }
                    "series" => !symbols.contains(&entry.name),
                    _ => !symbols.contains(&entry.name) && !of_time.contains(&entry.name),
                };
                assert_eq!(found.is_ok(), expected, "{} on {kind}", entry.name);
                if let Err(error) = found {
                    let said = error.to_string();
                    let (found, others) = said.split_once("expected one of ").unwrap();
                    assert!(found.contains(kind) && found.contains(entry.name), "{said}");
                    let mut others = others.split(", ");
                    assert!(others.clone().any(|other| other == "simclr"), "{said}");
                    assert!(others.all(|other| other != entry.name), "{said}");
                }
            }
            let error = modality::by_name(kind, On("simlcr")).unwrap().unwrap_err();
            let remedy = error.remedy().unwrap();
            assert!(remedy.contains("did you mean `simclr`?"), "{remedy}");
            assert!(modality::by_name(kind, On("none")).unwrap().is_err());
        }
    }
}
