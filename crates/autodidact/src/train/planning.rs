//! What a budget buys on this machine: a few real steps of each size tell how much it would get to learn from, and the
//! largest size that gets enough is taken.

use std::time::Instant;

use toml::Value;

use super::device;
use super::session::{Session, open};
use crate::error::Result;
use crate::method::Step;
use crate::modality::Rung;
use crate::recipe::{Length, Recipe};

/// Items of a step that is timed, of those that have a backward pass; others are timed as they will be.
const TRIED: usize = 64;
/// Steps that are timed; one before them wakes threads and memory.
const TIMED: u64 = 2;
/// So many steps a run should have: with fewer, the batch is made smaller.
const LEAST_STEPS: f64 = 200.0;
/// The smallest batch that is chosen.
const LEAST_BATCH: usize = 64;

/// A size that was tried, and what it would come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What people read.
    pub name: String,
    /// Settings of the recipe, by their dotted paths.
    pub settings: Vec<(&'static str, Value)>,
    /// How many values learn.
    pub values: usize,
    /// Items in a step.
    pub batch: usize,
    /// Items learned from in a second.
    pub speed: f64,
    /// Steps in the budget.
    pub steps: u64,
    /// Passes over the data.
    pub passes: f64,
    /// Memory of the whole program in bytes, about, where the system tells.
    pub memory: Option<u64>,
    /// What to expect of it.
    pub prospect: Prospect,
}

/// What to expect of a size in a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// It gets to learn from fewer items than it takes to be better than the next smaller size.
    TooLarge,
    /// It is the largest that gets enough.
    Fits,
    /// A larger one gets enough, too.
    Outgrown,
    /// It is the only one: the recipe settles it.
    Settled,
}

impl std::fmt::Display for Prospect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "too large for the time",
            Self::Fits => "the largest that gets enough to learn from",
            Self::Outgrown => "a larger one gets enough, too",
            Self::Settled => "the one that the recipe settles",
        })
    }
}

/// Sizes that were tried, small ones first, and the one that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What was tried.
    pub candidates: Vec<Candidate>,
    /// Which of them it is.
    pub chosen: usize,
    /// Seconds that the trials took.
    pub seconds: f64,
    /// The recipe with the size that was chosen, and with what was measured on the data.
    pub recipe: Recipe,
}

impl Choice {
    /// The size that was chosen.
    pub fn best(&self) -> &Candidate {
        &self.candidates[self.chosen]
    }
}

/// Tries the sizes that a recipe leaves open and chooses one for so many seconds; `None` where it leaves nothing open, as
/// where it starts from given weights. `session` is that recipe, opened. Stops at the first size that is too large, unless
/// `all` are asked for.
///
/// # Errors
/// When the data can't be read or the recipe doesn't fit it.
pub fn choose(
    recipe: &Recipe,
    session: &dyn Session,
    seconds: f64,
    all: bool,
    tried: &mut dyn FnMut(&Candidate),
) -> Result<Option<Choice>> {
    let began = Instant::now();
    let ladder = left_open(recipe, session.ladder());
    if ladder.is_empty() {
        return Ok(None);
    }
    let measured = measured(recipe, session)?;
    let (asked, parts) = (session.train().batch_size, session.train().accumulate);
    // What is gathered in closed form is the same in batches of any size, and quicker in large ones.
    let batch_is_open = session.by_gradient() && !recipe.has("train", "batch_size");

    let (mut candidates, mut chosen) = (Vec::<Candidate>::new(), 0);
    for rung in ladder {
        let items = if session.by_gradient() { TRIED } else { asked };
        let trial = try_out(&with(&measured, &rung.settings)?, items)?;
        let learned = trial.learned(seconds, asked);
        let batch = match batch_is_open {
            true => batch_for(asked, parts, learned),
            false => asked,
        };
        let enough = learned >= rung.pays_from || candidates.is_empty();
        let prospect = match enough {
            true => Prospect::Fits,
            false => Prospect::TooLarge,
        };
        let candidate = trial.come_to(rung.name, rung.settings, batch, seconds, prospect);
        tried(&candidate);
        candidates.push(candidate);
        if enough {
            chosen = candidates.len() - 1;
        } else if !all {
            break;
        }
    }
    for candidate in &mut candidates[..chosen] {
        candidate.prospect = Prospect::Outgrown;
    }
    let best = &candidates[chosen];
    let mut recipe = with(&measured, &best.settings)?;
    recipe.put("train.batch_size", best.batch as i64)?;
    Ok(Some(Choice {
        candidates,
        chosen,
        recipe,
        seconds: began.elapsed().as_secs_f64(),
    }))
}

/// What the one size that a recipe settles comes to in so many seconds, by a few steps. `session` is that recipe, opened.
///
/// # Errors
/// When the data can't be read or the recipe doesn't fit it.
pub fn estimate(recipe: &Recipe, session: &dyn Session, seconds: f64) -> Result<Candidate> {
    let batch = session.train().batch_size;
    let items = if session.by_gradient() { TRIED } else { batch };
    let trial = try_out(&measured(recipe, session)?, items)?;
    let name = "as the recipe has it".to_owned();
    Ok(trial.come_to(name, Vec::new(), batch, seconds, Prospect::Settled))
}

/// The recipe with what an opened session knows: the data is measured once, and the method is the one that the session has,
/// whatever a size that is tried would choose where the recipe names none.
fn measured(recipe: &Recipe, session: &dyn Session) -> Result<Recipe> {
    let mut measured = recipe.clone();
    let opened = session.recipe()?;
    measured.take_measured(&opened);
    if let Some(method) = opened.method() {
        measured.put("method.name", method)?;
    }
    Ok(measured)
}

/// The batch that leaves a run enough steps to learn from so many items: `asked`, halved as long as there are too few. Each
/// of its parts has as many items, two at least.
fn batch_for(asked: usize, parts: usize, learned: f64) -> usize {
    let least = LEAST_BATCH.max(2 * parts);
    let mut batch = asked;
    while learned < LEAST_STEPS * batch as f64 {
        let half = batch / 2 / parts * parts;
        if half < least {
            break;
        }
        batch = half;
    }
    batch
}

/// The rungs without the settings that the recipe makes itself, each sort once.
fn left_open(recipe: &Recipe, ladder: Vec<Rung>) -> Vec<Rung> {
    let mut open: Vec<Rung> = Vec::new();
    if recipe.has("train", "init") {
        return open;
    }
    for mut rung in ladder {
        rung.settings.retain(|(path, _)| {
            path.split_once('.')
                .is_some_and(|(section, key)| !recipe.has(section, key))
        });
        let known = open.iter().any(|other| other.settings == rung.settings);
        if !rung.settings.is_empty() && !known {
            open.push(rung);
        }
    }
    open
}

fn with(recipe: &Recipe, settings: &[(&'static str, Value)]) -> Result<Recipe> {
    let mut recipe = recipe.clone();
    for (path, value) in settings {
        recipe.put(path, value.clone())?;
    }
    Ok(recipe)
}

/// What a few steps told.
struct Trial {
    values: usize,
    batch: usize,
    /// Items a second.
    speed: f64,
    /// Items in a pass over the data.
    items: u64,
    /// What the method says is enough.
    enough: Option<Length>,
    /// Bytes before the steps and after them.
    memory: Option<[u64; 2]>,
}

impl Trial {
    /// Items that are learned from in so many seconds, in batches of so many: no more than is enough.
    fn learned(&self, seconds: f64, batch: usize) -> f64 {
        let learned = self.speed * seconds;
        match self.enough {
            Some(Length::Epochs(epochs)) => learned.min(epochs * self.items as f64),
            Some(Length::Steps(steps)) => learned.min(steps as f64 * batch as f64),
            Some(Length::Budget(_)) | None => learned,
        }
    }

    /// What a size that was tried comes to in so many seconds, in batches of so many items.
    fn come_to(
        self,
        name: String,
        settings: Vec<(&'static str, Value)>,
        batch: usize,
        seconds: f64,
        prospect: Prospect,
    ) -> Candidate {
        let learned = self.learned(seconds, batch);
        let grown = batch as f64 / self.batch as f64;
        Candidate {
            name,
            settings,
            values: self.values,
            batch,
            speed: self.speed,
            steps: (learned / batch as f64).max(1.0) as u64,
            passes: learned / self.items as f64,
            memory: self
                .memory
                .map(|[before, peak]| before + (peak.saturating_sub(before) as f64 * grown) as u64),
            prospect,
        }
    }
}

/// Takes a few steps whose result is thrown away.
fn try_out(recipe: &Recipe, items: usize) -> Result<Trial> {
    let mut recipe = recipe.clone();
    for key in ["budget", "epochs", "corrections", "accumulate"] {
        recipe.remove("train", key);
    }
    recipe.put("train.steps", 1 + TIMED as i64)?;
    recipe.put("train.batch_size", items as i64)?;
    let mut session = open(&recipe)?;
    let before = device::memory();
    session.start(0);
    let seed = session.train().seed;
    let take = |session: &mut Box<dyn Session>, number| {
        let at = Step {
            number,
            part: 0,
            progress: 0.0,
            seed,
        };
        session.step(at, 0.0).map(|report| report.items)
    };
    take(&mut session, 0)?;
    // The faster of two steps: what slows a step down is seldom the step itself.
    let mut speed = 0.0f64;
    for number in 1..=TIMED {
        let began = Instant::now();
        let items = take(&mut session, number)?;
        speed = speed.max(items as f64 / began.elapsed().as_secs_f64().max(1e-9));
    }
    let batch = session.train().batch_size;
    // Buffers are kept from step to step, so what a step needs is there after it, too.
    let memory = before.zip(device::memory()).map(<[u64; 2]>::from);
    Ok(Trial {
        values: session.values(),
        batch,
        speed,
        items: session.steps_per_epoch() * batch as u64,
        enough: session.train().enough,
        memory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(name: &str, settings: &[(&'static str, i64)]) -> Rung {
        Rung {
            name: name.to_owned(),
            settings: settings
                .iter()
                .map(|(path, value)| (*path, Value::from(*value)))
                .collect(),
            pays_from: 0.0,
        }
    }

    #[test]
    fn what_the_recipe_says_is_not_chosen_and_what_is_left_is_chosen_once() {
        let ladder = || {
            vec![
                rung("a", &[("encoder.width", 8), ("views.size", 64)]),
                rung("b", &[("encoder.width", 16), ("views.size", 64)]),
                rung("c", &[("encoder.width", 16), ("views.size", 96)]),
            ]
        };
        let names = |recipe: &str| -> Vec<String> {
            let recipe = Recipe::parse(recipe).unwrap();
            let open = left_open(&recipe, ladder());
            open.into_iter().map(|rung| rung.name).collect()
        };
        assert_eq!(names(""), ["a", "b", "c"]);
        assert_eq!(names("[views]\nsize = 32"), ["a", "b"]);
        assert_eq!(names("[encoder]\nwidth = 64"), ["a", "c"]);
        assert!(names("[encoder]\nwidth = 64\n[views]\nsize = 32").is_empty());
        // Given weights are of one size.
        assert!(names("[train]\ninit = \"run\"").is_empty());
    }

    #[test]
    fn a_smaller_batch_has_as_many_parts_as_the_one_asked_for() {
        for (asked, parts, expected) in [
            (256, 1, 64),
            (100, 1, 100),
            (270, 9, 135),
            (192, 64, 192),
            (1000, 8, 120),
        ] {
            let batch = batch_for(asked, parts, 1.0);
            assert_eq!(batch, expected, "{asked} in {parts}");
            assert_eq!(batch_for(asked, parts, 1e9), asked);
        }
        // 25,600 items are 200 steps of 128.
        assert_eq!(batch_for(512, 2, 25_600.0), 128);
    }

    #[test]
    fn no_more_is_planned_than_is_enough() {
        for (enough, seconds, steps, passes) in [
            (None, 60.0, 600, 12.0),
            (Some(Length::Epochs(1.0)), 60.0, 50, 1.0),
            (Some(Length::Epochs(1.0)), 2.0, 20, 0.4),
            (Some(Length::Steps(32)), 60.0, 32, 0.64),
        ] {
            let trial = Trial {
                values: 1,
                batch: 10,
                speed: 100.0,
                items: 500,
                enough,
                memory: None,
            };
            let name = String::new();
            let found = trial.come_to(name, Vec::new(), 10, seconds, Prospect::Settled);
            assert_eq!((found.steps, found.passes), (steps, passes), "{enough:?}");
        }
    }

    const SMALL: &str = "
        [data]
        synthetic_items = 200
        [method]
        name = \"simclr\"
        [views]
        crops = [{ count = 2, size = 16 }]
        [train]
        budget = \"1m\"
    ";

    fn chosen(recipe: &str, seconds: f64) -> Option<Choice> {
        let recipe = Recipe::parse(recipe).unwrap();
        let session = open(&recipe).unwrap();
        choose(&recipe, session.as_ref(), seconds, true, &mut |_| {}).unwrap()
    }

    #[test]
    fn a_settled_size_comes_to_what_its_steps_tell() {
        let recipe = Recipe::parse(&format!("{SMALL}\n[encoder]\nwidth = 8")).unwrap();
        let session = open(&recipe).unwrap();
        let found = estimate(&recipe, session.as_ref(), 60.0).unwrap();
        assert_eq!(found.values, session.values());
        // Of 200 items.
        assert_eq!((found.batch, found.prospect), (200, Prospect::Settled));
        assert!((found.passes - 60.0 * found.speed / 192.0).abs() < 1e-6 * found.passes);
    }

    #[test]
    fn more_time_buys_a_larger_network_and_a_fixed_one_leaves_no_choice() {
        let quick = chosen(SMALL, 1e-3).unwrap();
        assert_eq!(quick.chosen, 0, "{quick:?}");
        // Of 200 items half; a quarter is below the least.
        assert_eq!(quick.best().batch, 100);
        let long = chosen(SMALL, 1e9).unwrap();
        assert_eq!(long.chosen + 1, long.candidates.len());
        assert!(long.best().values > 4 * quick.best().values);
        assert_eq!(long.candidates[0].prospect, Prospect::Outgrown);
        for key in ["width", "batch_size", "measured"] {
            assert!(long.recipe.to_string().contains(key), "{}", long.recipe);
        }
        // Without gradients there is no number of steps that a run should have.
        // What is chosen doesn't change the method of a recipe that names none.
        let nameless = SMALL
            .replace("[method]", "")
            .replace("name = \"simclr\"", "");
        let quick = chosen(&nameless, 1e-3).unwrap();
        assert_eq!((quick.chosen, quick.best().batch), (0, 200), "{quick:?}");
        assert_eq!(quick.recipe.method(), Some("spectral"), "{}", quick.recipe);
        // A width that is given, and a network whose sizes nobody has compared.
        for encoder in ["width = 8", "name = \"small_conv\""] {
            let recipe = format!("{SMALL}\n[encoder]\n{encoder}");
            assert_eq!(chosen(&recipe, 1.0), None, "{encoder}");
        }
    }
}
