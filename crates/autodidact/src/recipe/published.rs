//! Recipes and the weights that they start from: what a run or published weights settle for a recipe that starts from them,
//! and the recipe that published weights make by themselves.

use std::borrow::Cow;
use std::path::Path;

use toml::{Table as Toml, Value};

use super::{Beside, Recipe};
use crate::error::{Error, Result};
use crate::modality::{self, ForModality, Modality, Published, Setting};

/// The file of a run that holds its recipe.
const RECIPE: &str = "recipe.toml";
/// The part of a recipe that is settled once the data is measured.
const READING: &str = "data.reading.";

impl Recipe {
    /// The recipe with what the weights settle that it starts from, if it starts from such: a run's or published ones.
    ///
    /// # Errors
    /// When they can't be read, are for another kind of data, or the recipe contradicts them.
    pub fn begun(&self) -> Result<Cow<'_, Self>> {
        let Some(path) = self.text("train", "init").map(Path::new) else {
            return Ok(Cow::Borrowed(self));
        };
        let begun = if path.join(RECIPE).is_file() {
            self.after(path)
        } else if let Some(published) = modality::published(path)? {
            self.over(&published)
        } else {
            return Ok(Cow::Borrowed(self));
        };
        begun.map(Cow::Owned).map_err(|error| error.at(path))
    }

    /// The recipe of a network that is used as it was published, without any training.
    ///
    /// # Errors
    /// When a setting doesn't lead into a recipe.
    pub fn of_published(published: &Published) -> Result<Self> {
        let mut recipe = Self::default();
        recipe.put("data.kind", published.kind)?;
        recipe.put("data.measured", published.measured.clone())?;
        recipe.put("method.name", crate::method::serving(published.need))?;
        for (path, value) in &published.fixed {
            if !path.starts_with(READING) {
                recipe.put(path, value.clone())?;
            }
        }
        for (path, value) in published.open.iter().chain(&published.alone) {
            recipe.put(path, value.clone())?;
        }
        recipe.beside = Beside::holding(published.files.clone());
        Ok(recipe)
    }

    /// The recipe with what it leaves open of the network as the run in a folder has it.
    fn after(&self, folder: &Path) -> Result<Self> {
        let run = Self::read(&folder.join(RECIPE))?;
        let kind = self.kind()?;
        same_kind(&kind, run.text("data", "kind").unwrap_or(&kind))?;
        let settles = Settles { run: &run, folder };
        let (asked, settled) = modality::by_name(&kind, settles)?;
        let mut recipe = self.clone();
        let name = self.text("encoder", "name");
        // Of another network nothing would fit.
        if name.is_none() || name == run.text("encoder", "name") {
            for (key, value) in run.section("encoder").into_iter().flatten() {
                if !asked.contains(&key.as_str()) && !self.has("encoder", key) {
                    recipe.put(&format!("encoder.{key}"), value.clone())?;
                }
            }
            for (path, value) in settled {
                // How the data is read was settled when it was measured.
                if !(path.starts_with(READING) && self.has("data", "measured")) {
                    recipe.put(path, value)?;
                }
            }
        }
        Ok(recipe)
    }

    fn over(&self, published: &Published) -> Result<Self> {
        same_kind(&self.kind()?, published.kind)?;
        let mut recipe = self.clone();
        let measured = self.has("data", "measured");
        if measured {
            for (name, contents) in &published.files {
                if self.beside.read(name)? != **contents {
                    return Err(Error::recipe(format!(
                        "a {name} beside the recipe that isn't the one of the weights"
                    ))
                    .expected("the one that the network learned with")
                    .mend("leave [data.measured] out of the recipe"));
                }
            }
        }
        for (path, value) in &published.fixed {
            // How the data is read was settled when it was measured.
            if measured && path.starts_with(READING) {
                continue;
            }
            match self.value(path) {
                None => recipe.put(path, value.clone())?,
                Some(said) if alike(said, value) => {}
                Some(said) => {
                    return Err(Error::recipe(format!("{path} = {said}"))
                        .expected(format!("{value}, as the weights have it"))
                        .mend("leave it out, or start from other weights"));
                }
            }
        }
        for (path, value) in &published.open {
            if self.value(path).is_none() {
                recipe.put(path, value.clone())?;
            }
        }
        Ok(recipe)
    }

    /// A value by its dotted path.
    pub(crate) fn value(&self, path: &str) -> Option<&Value> {
        let (section, rest) = path.split_once('.')?;
        let table: &Toml = self.section(section)?;
        let mut keys = rest.split('.');
        let first = table.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }
}

/// What a run settles for another, by the kind of its data.
struct Settles<'a> {
    run: &'a Recipe,
    folder: &'a Path,
}

impl ForModality for Settles<'_> {
    type Output = (&'static [&'static str], Vec<Setting>);
    fn run<M: Modality>(self) -> Self::Output {
        (M::ASKED, M::settled_by(self.run, self.folder))
    }
}

/// Refuses weights for another kind of data.
fn same_kind(data: &str, weights: &str) -> Result<()> {
    if data == weights {
        return Ok(());
    }
    Err(Error::data(format!("weights of a network for {weights}"))
        .expected(format!("one for {data}, as the data is"))
        .mend(format!(
            "name other weights, or say data.kind = \"{weights}\" if that is what the data is"
        )))
}

/// 1 is a good way to write 1.0.
fn alike(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| {
        let whole = value.as_integer().map(|whole| whole as f64);
        value.as_float().or(whole)
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layers::state::State;
    use crate::modality::Need;

    fn published() -> Published {
        Published {
            kind: "text",
            need: Need::Vectors,
            fixed: vec![
                ("encoder.width", 24.into()),
                ("data.reading.tokenizer", "folder/tokenizer.json".into()),
            ],
            open: vec![("views.length", 64.into())],
            alone: vec![("encoder.head", false.into())],
            measured: Toml::new().into(),
            files: vec![("tokenizer.json", Arc::new(b"{}".to_vec()))],
            weights: Box::new(|| Ok((State::new(), Vec::new()))),
        }
    }

    #[test]
    fn what_is_open_is_taken_and_what_contradicts_is_refused() {
        let over = |text: &str| Recipe::parse(text).unwrap().over(&published());
        let recipe = over("[data]\nkind = \"text\"\n[views]\nlength = 32").unwrap();
        for (path, value) in [
            ("encoder.width", Value::from(24)),
            ("data.reading.tokenizer", "folder/tokenizer.json".into()),
            ("views.length", 32.into()),
        ] {
            assert_eq!(recipe.value(path), Some(&value), "{path}");
        }
        // What holds of the network as it is doesn't of one that learns.
        assert!(!recipe.has("encoder", "head"));
        for (text, part) in [
            (
                "[data]\nkind = \"text\"\n[encoder]\nwidth = 32",
                "encoder.width = 32; expected 24",
            ),
            ("[data]\nkind = \"images\"", "a network for text"),
            (
                "[data]\nkind = \"text\"\n[data.reading]\ntokenizer = \"bpe\"",
                "data.reading.tokenizer = \"bpe\"",
            ),
        ] {
            let error = over(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let agreed = "[data]\nkind = \"text\"\n[encoder]\nwidth = 24.0";
        assert!(over(agreed).is_ok());
    }

    #[test]
    fn what_is_left_open_of_the_network_is_as_in_the_run_that_it_starts_from() {
        let folder = tempfile::tempdir().unwrap();
        let run = "[data]\nkind = \"text\"\n[views]\nlength = 48\n\
            [encoder]\nname = \"bert\"\nwidth = 24\ndepth = 3\npositions = 0\nhead = false";
        std::fs::write(folder.path().join(RECIPE), run).unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
        let begun = |text: &str| {
            let mut recipe = Recipe::parse(text).unwrap();
            let path = folder.path().to_string_lossy().into_owned();
            recipe.put("train.init", path).unwrap();
            recipe.begun().map(Cow::into_owned)
        };
        let recipe = begun("[data]\nkind = \"text\"\n[encoder]\ndepth = 2").unwrap();
        for (path, value) in [
            ("encoder.width", Value::from(24)),
            ("encoder.depth", 2.into()),
            ("encoder.positions", 48.into()),
        ] {
            assert_eq!(recipe.value(path), Some(&value), "{path}");
        }
        let words = recipe.value("data.reading.tokenizer").unwrap();
        assert!(words.as_str().unwrap().ends_with("tokenizer.json"));
        // Whether symbols are to be said again is for the method to ask.
        assert!(!recipe.has("encoder", "head") && !recipe.has("views", "length"));
        let other = begun("[data]\nkind = \"text\"\n[encoder]\nname = \"modern\"").unwrap();
        assert!(!other.has("encoder", "width") && !other.has("data", "reading"));
        let error = begun("[data]\nkind = \"images\"").unwrap_err().to_string();
        assert!(error.contains("a network for text"), "{error}");
    }

    #[test]
    fn a_recipe_that_was_measured_has_to_have_the_same_files() {
        let text = "[data]\nkind = \"text\"\n[data.measured]\nsymbols = 3";
        let mut recipe = Recipe::parse(text).unwrap();
        let held = |contents: &[u8]| {
            Beside::holding(vec![("tokenizer.json", Arc::new(contents.to_vec()))])
        };
        recipe.beside = held(b"{}");
        let over = recipe.over(&published()).unwrap();
        assert_eq!(over.value("data.reading.tokenizer"), None);
        recipe.beside = held(b"[]");
        let error = recipe.over(&published()).unwrap_err().to_string();
        assert!(error.contains("isn't the one of the weights"), "{error}");
    }
}
