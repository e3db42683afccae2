//! What the user wrote ([`Recipe`]) and what will be done ([`Plan`]): checked, every default filled in.
//!
//! A plan written back as TOML is itself a recipe, and resolves to the same plan: that is how a run is repeated.

mod beside;
mod evaluate;
mod precision;
mod published;
mod sections;
mod table;

use std::path::Path;

use toml::{Table as Toml, Value};

use crate::error::{AtPath, Error, Result};
use crate::method::Objective;
use crate::modality::{Modality, Need, Source};

use beside::Beside;

pub use evaluate::{Evaluate, Usual};
pub use precision::Precision;
pub use sections::{Best, Data, Duration, Length, Train};
pub use table::fill;

/// The tables that a recipe may have.
const SECTIONS: &[&str] = &["data", "views", "encoder", "method", "train", "evaluate"];

/// A recipe as written: TOML tables, in which anything may be left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recipe {
    tables: Toml,
    beside: Beside,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// When it is no TOML, or has a table that recipes don't have.
    pub fn parse(text: &str) -> Result<Self> {
        let tables: Toml = text
            .parse()
            .map_err(|error: toml::de::Error| Error::recipe("not valid TOML").because(error))?;
        for (name, value) in &tables {
            if !SECTIONS.contains(&name.as_str()) {
                return Err(table::unknown_key(name, SECTIONS, ""));
            }
            if !value.is_table() {
                return Err(
                    Error::recipe(format!("`{name}` is no table")).expected(format!("[{name}]"))
                );
            }
        }
        Ok(Self {
            tables,
            beside: Beside::default(),
        })
    }

    /// Reads a recipe from a file.
    ///
    /// # Errors
    /// As [`Recipe::parse`], with the file's name.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).at_path(path)?;
        let mut recipe = Self::parse(&text).map_err(|error| error.at(path))?;
        recipe.beside = Beside::folder_of(path);
        Ok(recipe)
    }

    /// The files that belong beside the recipe: what was measured and is too large for it.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.beside.held()
    }

    /// Sets one value by its dotted path, as `--set train.weight_decay=1e-4` does. What is not TOML is taken as a string.
    ///
    /// # Errors
    /// When there is no `=`, or the path doesn't lead into a table of recipes.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let example = || {
            Error::recipe(format!("`{assignment}`"))
                .expected("a setting such as train.weight_decay=1e-4")
        };
        let (path, text) = assignment.split_once('=').ok_or_else(example)?;
        let value = format!("value = {}", text.trim())
            .parse::<Toml>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(text.trim().to_owned()));
        self.put(path.trim(), value)
    }

    /// Sets one value by its dotted path.
    ///
    /// # Errors
    /// When the path doesn't lead into a table of recipes.
    pub fn put(&mut self, path: &str, value: impl Into<Value>) -> Result<()> {
        let (section, rest) = path.split_once('.').ok_or_else(|| {
            Error::recipe(format!("`{path}`")).expected("a table and a key, such as train.epochs")
        })?;
        if !SECTIONS.contains(&section) {
            return Err(table::unknown_key(section, SECTIONS, ""));
        }
        let mut table = self.section_mut(section);
        let mut keys = rest.split('.').peekable();
        while let Some(key) = keys.next() {
            if keys.peek().is_none() {
                table.insert(key.to_owned(), value.into());
                break;
            }
            let inner = table
                .entry(key)
                .or_insert_with(|| Value::Table(Toml::new()));
            if !inner.is_table() {
                *inner = Value::Table(Toml::new());
            }
            table = inner
                .as_table_mut()
                .ok_or_else(|| Error::recipe(format!("`{path}`")))?;
        }
        Ok(())
    }

    /// Takes one value out, so that its default comes back.
    pub fn remove(&mut self, section: &str, key: &str) {
        if let Some(table) = self.tables.get_mut(section).and_then(Value::as_table_mut) {
            table.remove(key);
        }
    }

    /// Takes whole tables over from another recipe; with `data` also what lies beside it.
    pub fn take_over(&mut self, other: &Self, sections: &[&str]) {
        if sections.contains(&"data") {
            self.beside = other.beside.clone();
        }
        for section in sections {
            if let Some(table) = other.section(section) {
                self.tables
                    .insert((*section).to_owned(), Value::Table(table.clone()));
            }
        }
    }

    /// Takes over what another recipe measured on the same data, and what of it lies beside that recipe.
    pub fn take_measured(&mut self, other: &Self) {
        let measured = other.section("data").and_then(|data| data.get("measured"));
        if let Some(measured) = measured {
            self.beside = other.beside.clone();
            self.section_mut("data")
                .insert("measured".to_owned(), measured.clone());
        }
    }

    /// Replaces a whole table.
    ///
    /// # Errors
    /// When it is no table, or recipes have none of that name.
    pub fn put_table(&mut self, section: &str, table: Value) -> Result<()> {
        if !SECTIONS.contains(&section) {
            return Err(table::unknown_key(section, SECTIONS, ""));
        }
        if !table.is_table() {
            return Err(Error::recipe(format!("`{section}` is no table")));
        }
        self.tables.insert(section.to_owned(), table);
        Ok(())
    }

    /// Whether a value is written, and not left to its default.
    pub fn has(&self, section: &str, key: &str) -> bool {
        self.section(section)
            .is_some_and(|table| table.contains_key(key))
    }

    /// Whether the recipe says nothing in a section but these keys, if anything.
    pub fn says_only(&self, section: &str, keys: &[&str]) -> bool {
        self.section(section)
            .is_none_or(|table| table.keys().all(|key| keys.contains(&key.as_str())))
    }

    /// A string by its section and key.
    pub fn text(&self, section: &str, key: &str) -> Option<&str> {
        self.section(section)?.get(key)?.as_str()
    }

    fn section(&self, name: &str) -> Option<&Toml> {
        self.tables.get(name)?.as_table()
    }

    fn section_mut(&mut self, name: &str) -> &mut Toml {
        let value = self
            .tables
            .entry(name)
            .or_insert_with(|| Value::Table(Toml::new()));
        if !value.is_table() {
            *value = Value::Table(Toml::new());
        }
        value
            .as_table_mut()
            .expect("made a table in the line above")
    }

    /// `[data]` with its defaults.
    ///
    /// # Errors
    /// Names the key that isn't one, or whose value doesn't fit.
    pub fn data(&self) -> Result<Data> {
        let mut user = self.section("data").cloned().unwrap_or_default();
        user.remove("measured");
        let data: Data = fill(&Data::default(), Some(&user), "data")?;
        data.check()?;
        Ok(data)
    }

    /// `[evaluate]` with its defaults.
    ///
    /// # Errors
    /// Names the key that isn't one, or whose value doesn't fit.
    pub fn evaluate(&self) -> Result<Evaluate> {
        let evaluate = fill(&Evaluate::default(), self.section("evaluate"), "evaluate")?;
        evaluate.check()?;
        Ok(evaluate)
    }

    /// The kind of data that it is about: the one it names, or the one its path looks like.
    ///
    /// # Errors
    /// When `[data]` can't be read.
    pub fn kind(&self) -> Result<String> {
        let data = self.data()?;
        let recognized = || crate::modality::recognize(data.path.as_deref()).to_owned();
        Ok(data.kind.clone().unwrap_or_else(recognized))
    }

    /// The run's seed: the one that `[train]` names, or 0.
    pub fn seed(&self) -> u64 {
        let seed = self
            .section("train")
            .and_then(|train| train.get("seed")?.as_integer());
        seed.and_then(|seed| u64::try_from(seed).ok()).unwrap_or(0)
    }

    /// The time that the recipe gives, if its length is one of time.
    ///
    /// # Errors
    /// When it is no time.
    pub fn budget(&self) -> Result<Option<Duration>> {
        self.text("train", "budget").map(str::parse).transpose()
    }

    /// The method's name, if one is named.
    pub fn method(&self) -> Option<&str> {
        self.text("method", "name")
    }
}

/// What will be done, with nothing left open.
#[derive(Debug, Clone)]
pub struct Plan<M: Modality, O: Objective> {
    /// Where the data is and how it is read.
    pub data: Data,
    /// What was measured on the data.
    pub measured: M::Measured,
    /// The views.
    pub views: M::Views,
    /// The network.
    pub network: M::Network,
    /// The method.
    pub objective: O,
    /// Optimizer, length, seed, device.
    pub train: Train,
    /// How the result is judged.
    pub evaluate: Evaluate,
    /// Views, network and measurements joined.
    pub modality: M,
}

impl<M: Modality, O: Objective> Plan<M, O> {
    /// Fills in and checks a recipe for one kind of data and one method. `source` is looked at unless the recipe
    /// already holds what was measured.
    ///
    /// # Errors
    /// Names the key, what it holds and what it may hold; refuses a method that the network can't serve.
    pub fn resolve(recipe: &Recipe, source: Option<&dyn Source<M::Item>>) -> Result<Self> {
        let data = recipe.data()?;
        let mut method = recipe.section("method").cloned().unwrap_or_default();
        method.remove("name");
        let objective: O = fill(&O::default(), Some(&method), "method")?;
        objective.check()?;
        let training = objective.training();
        let mut usual = Train::for_method(&training);
        usual.batch_size = objective.batch().unwrap_or(usual.batch_size);
        let (steps, epochs) = (objective.steps(), objective.epochs());
        let lengths = ["steps", "epochs", "budget"];
        if !lengths.iter().any(|length| recipe.has("train", length)) {
            usual.steps = steps;
            usual.epochs = epochs;
        }
        let mut train: Train = fill(&usual, recipe.section("train"), "train")?;
        train.enough = steps.map(Length::Steps).or(epochs.map(Length::Epochs));
        train.check()?;
        let evaluate = recipe.evaluate()?;
        let known = recipe.section("data").and_then(|data| data.get("measured"));
        let measured: M::Measured = match (known, source) {
            (Some(known), _) => {
                let known = known.clone().try_into().map_err(|error| {
                    Error::recipe("[data.measured] that can't be read").because(error)
                })?;
                M::complete(known, &|name| recipe.beside.read(name))?
            }
            (None, Some(source)) => M::measure(source, &data.source(train.seed, None))?,
            (None, None) => {
                return Err(Error::recipe("no [data.measured]")
                    .expected("a run's own recipe, which holds what was measured on its data"));
            }
        };
        let (views, network) = M::defaults(&objective.pretext(), &measured);
        let views = fill(&views, recipe.section("views"), "views")?;
        let network = fill(&network, recipe.section("encoder"), "encoder")?;
        let modality = M::new(&views, &network, &measured)?;
        let plan = Self {
            data,
            measured,
            views,
            network,
            objective,
            train,
            evaluate,
            modality,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        let pretext = self.objective.pretext();
        let abilities = self.modality.abilities();
        if !abilities.serve(pretext.needs) {
            let lacking = match pretext.needs {
                Need::Hidden => "whose tokens can't be hidden",
                Need::Readout | Need::Weights => "without such fixed features",
                Need::Averages => "whose vector is more than the mean of its symbols' own",
                Need::Stretches => "that takes no pairs of stretches",
                Need::Ending => "whose items have no steps",
                Need::Ordered => "whose tokens stand in no order of time",
                Need::Ahead => "that doesn't go through time step by step",
                _ => "that can't say which symbol stands where",
            };
            let what = format!("{} with an encoder {lacking}", O::NAME);
            return Err(crate::method::unserved(&what, pretext.needs, abilities));
        }
        if self.modality.slots() != pretext.views {
            return Err(Error::recipe(format!(
                "{} views per item in [views]",
                self.modality.slots()
            ))
            .expected(format!("{} for {}", pretext.views, O::NAME)));
        }
        Ok(())
    }

    /// The plan as a recipe, complete.
    ///
    /// # Errors
    /// When a value has no form in TOML.
    pub fn to_recipe(&self) -> Result<Recipe> {
        let write = |value: std::result::Result<Value, toml::ser::Error>| {
            value.map_err(|error| Error::recipe("a plan that TOML can't hold").because(error))
        };
        let mut tables = Toml::new();
        let mut data = write(Value::try_from(&self.data))?;
        let mut method = write(Value::try_from(&self.objective))?;
        if let (Some(data), Some(method)) = (data.as_table_mut(), method.as_table_mut()) {
            data.insert("kind".to_owned(), M::NAME.into());
            data.insert(
                "measured".to_owned(),
                write(Value::try_from(&self.measured))?,
            );
            method.insert("name".to_owned(), O::NAME.into());
        }
        for (name, value) in [
            ("data", data),
            ("views", write(Value::try_from(&self.views))?),
            ("encoder", write(Value::try_from(&self.network))?),
            ("method", method),
            ("train", write(Value::try_from(&self.train))?),
            ("evaluate", write(Value::try_from(&self.evaluate))?),
        ] {
            tables.insert(name.to_owned(), value);
        }
        Ok(Recipe {
            tables,
            beside: Beside::holding(self.modality.files()),
        })
    }
}

impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for section in SECTIONS {
            if let Some(table) = self.section(section) {
                let mut whole = Toml::new();
                whole.insert((*section).to_owned(), Value::Table(table.clone()));
                let text = toml::to_string(&whole).map_err(|_| std::fmt::Error)?;
                writeln!(f, "{text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_where_their_path_leads() {
        let mut recipe = Recipe::parse("[train]\nepochs = 3").unwrap();
        recipe.set("train.learning_rate=1e-3").unwrap();
        recipe.set("method.name=vicreg").unwrap();
        recipe.set("views.jitter.hue = 0.2").unwrap();
        assert_eq!(recipe.method(), Some("vicreg"));
        assert_eq!(
            recipe.section("train").unwrap()["learning_rate"].as_float(),
            Some(1e-3)
        );
        assert_eq!(
            recipe.section("views").unwrap()["jitter"]["hue"].as_float(),
            Some(0.2)
        );
        assert!(recipe.set("train.epochs").is_err());
    }

    #[test]
    fn a_section_says_only_what_it_says() {
        let recipe = Recipe::parse("[encoder]\nwidth = 8\ndepth = 2").unwrap();
        assert!(recipe.says_only("encoder", &["width", "depth", "heads"]));
        assert!(!recipe.says_only("encoder", &["width"]));
        assert!(recipe.says_only("views", &[]));
    }

    #[test]
    fn an_unknown_table_is_refused_and_the_nearest_named() {
        let error = Recipe::parse("[trian]\nepochs = 3").unwrap_err();
        assert!(
            error.remedy().unwrap().contains("`train`"),
            "{error} / {:?}",
            error.remedy()
        );
    }

    #[test]
    fn a_recipe_written_out_reads_back_the_same() {
        let recipe =
            Recipe::parse("[method]\nname = \"byol\"\n[train]\nepochs = 2.0\n[data]\npath = \"x\"")
                .unwrap();
        assert_eq!(Recipe::parse(&recipe.to_string()).unwrap(), recipe);
    }
}
