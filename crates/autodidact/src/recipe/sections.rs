//! The tables of a recipe that are the same for every kind of data and every method.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::method::{Optimizer, Training};
use crate::modality::{Part, SourceSpec};

use super::Precision;

/// `[data]`: where the data is and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// The kind of data; recognized from `path` where it isn't named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A folder, an archive, a file; the embedded data set where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A file of labels that override those found in the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Decoded items kept in memory, in MiB; what is beyond is decoded again each time.
    pub memory: u64,
    /// What large images are averaged down to when they are read: the shorter side that is left at the least, in pixels;
    /// what is smaller than twice that stays as it is. 0 leaves all as they are; else at least 64.
    pub shrink: usize,
    /// How many items of the embedded data set to make.
    pub synthetic_items: usize,
    /// How the kind of data wants to be read; what may stand here is its own.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub reading: toml::Table,
    /// The part of the items held out for the validation loss, 0 to 0.5.
    pub validation: f64,
    /// The part of the items that may be unreadable before the run stops, 0 to 1.
    pub unreadable: f64,
    /// For methods that learn from labels: hold out this part of each class, so that classes are held out as they are.
    #[serde(skip_serializing_if = "is_false")]
    pub by_class: bool,
    /// For methods that learn from labels: learn from this part of the labels of each class only, above 0 to 1; at
    /// least one of each. Which ones the seed decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_fraction: Option<f64>,
    /// For methods that learn from labels: learn from that many labels of each class only, or all where there are
    /// fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_per_class: Option<usize>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Default for Data {
    fn default() -> Self {
        Self {
            kind: None,
            path: None,
            labels: None,
            memory: 4096,
            shrink: 512,
            synthetic_items: 20_000,
            reading: toml::Table::new(),
            validation: 0.02,
            unreadable: 0.1,
            by_class: false,
            labels_fraction: None,
            labels_per_class: None,
        }
    }
}

impl Data {
    /// What to open, for a seed and a part.
    pub fn source(&self, seed: u64, part: Option<Part>) -> SourceSpec {
        SourceSpec {
            path: self.path.clone(),
            part,
            labels: self.labels.clone(),
            memory_limit: self.memory.saturating_mul(1 << 20),
            shrink: self.shrink,
            synthetic_items: self.synthetic_items,
            reading: self.reading.clone(),
            seed,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        within("data.validation", self.validation, 0.0, 0.5)?;
        if (1..64).contains(&self.shrink) {
            return Err(Error::recipe(format!("data.shrink = {}", self.shrink))
                .expected("at least 64 pixels, or 0 for images as they are"));
        }
        within("data.unreadable", self.unreadable, 0.0, 1.0)?;
        if let Some(fraction) = self.labels_fraction {
            within("data.labels_fraction", fraction, 1e-6, 1.0)?;
        }
        match (self.labels_per_class, self.labels_fraction) {
            (Some(0), _) => Err(Error::recipe("data.labels_per_class = 0").expected("at least 1")),
            (Some(_), Some(_)) => Err(Error::recipe(
                "both data.labels_fraction and data.labels_per_class",
            )
            .expected("one of them")),
            _ => Ok(()),
        }
    }
}

/// `[train]`: how long, how fast, how repeatable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// Length in passes over the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Length in steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Length in time, such as `90s`, `10m`, `1h30m`. The schedule follows the time that has passed. It is what may be spent: a
    /// run ends before where its method learns all there is in less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Duration>,
    /// The steps or passes in which the method learns all there is, where it says so. It is no setting of a recipe.
    #[serde(skip)]
    pub enough: Option<Length>,
    /// Items per step.
    pub batch_size: usize,
    /// Parts that a batch is worked off in, to save memory. Their losses come together to that of the whole batch where it
    /// is a mean over items or over predictions, each part counting by the weights of its items or by its predictions. What
    /// compares the items of a batch (negatives, covariances, the statistics of batch norm) sees one part at a time.
    pub accumulate: usize,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Peak learning rate for a batch of 256; it grows in proportion to the batch.
    pub learning_rate: f64,
    /// Decay of weights that are neither biases nor norms, 0 to 1.
    pub weight_decay: f64,
    /// Momentum of SGD and LARS, 0 to 1.
    pub momentum: f64,
    /// AdamW's two averages, 0 to 1.
    pub betas: [f64; 2],
    /// The part of the run in which the learning rate rises, 0 to 0.9.
    pub warmup: f64,
    /// The part of the peak learning rate that is left at the end of the run, 0 to 1.
    pub floor: f64,
    /// Largest norm of all gradients together; 0 doesn't clip.
    pub clip_norm: f64,
    /// Weights that the encoder starts from: the folder of a run, a safetensors file under the ecosystem's names, or a
    /// folder that was published, which settles network and vocabulary as well ([`Recipe::begun`](super::Recipe::begun)).
    /// Read when the run begins; a run that is resumed has them in its checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Decides everything that is random.
    pub seed: u64,
    /// `cpu`, or a GPU such as `wgpu` or `wgpu:1`.
    pub device: String,
    /// `f32`, or `bf16` for the products of convolutions and linear layers, where the processor has it.
    pub precision: Precision,
    /// Threads that decode and make views ahead of the step; 0 takes one for each core.
    pub workers: usize,
    /// Steps between two lines of `metrics.jsonl`.
    pub log_every: u64,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// How many older checkpoints are kept beside the last and the best.
    pub keep: usize,
    /// Which checkpoint is the best: `validation` (lowest validation loss) or `knn` (highest accuracy, where there
    /// are labels).
    pub best: Best,
    /// Looks in a row without a better score after which the run ends early, and the best weights are kept instead of
    /// the last; 0 goes on to the end and keeps the last. The first half of a run never ends it: while the rate is high,
    /// a loss may grow before it falls. Where a run starts from given weights and fewer than 500 items are held out, a loss
    /// is better once it is so by more than one standard error of the difference, item by item: a lower mean of a handful
    /// is chance.
    #[serde(skip_serializing_if = "is_zero")]
    pub patience: u64,
    /// Labeled items that a classifier over given weights is fitted to before the first step, at most. Left out: as many as
    /// take about a third of the run, and as memory has room for. A run with a budget writes here how many that were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_items: Option<usize>,
    /// Where a run with a budget corrected its number of steps: `[at step, steps in all]`. Written by the run itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<[u64; 2]>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Which checkpoint is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Best {
    /// The lowest loss on held-out items.
    Validation,
    /// The highest kNN accuracy, where there are labels.
    Knn,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: None,
            steps: None,
            budget: None,
            enough: None,
            batch_size: 256,
            accumulate: 1,
            optimizer: Optimizer::Sgd,
            learning_rate: 0.1,
            weight_decay: 1e-4,
            momentum: 0.9,
            betas: [0.9, 0.999],
            warmup: 0.05,
            floor: 0.0,
            clip_norm: 0.0,
            init: None,
            seed: 0,
            device: "cpu".to_owned(),
            precision: Precision::F32,
            workers: 0,
            log_every: 10,
            checkpoint_every: Duration(60.0),
            keep: 0,
            best: Best::Validation,
            patience: 0,
            probe_items: None,
            corrections: Vec::new(),
        }
    }
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Passes over the data.
    Epochs(f64),
    /// Steps.
    Steps(u64),
    /// Seconds.
    Budget(f64),
}

impl Length {
    /// How many steps it is, 1 at least; `None` where it is one of time.
    pub fn steps(self, steps_per_epoch: u64) -> Option<u64> {
        let steps = match self {
            Self::Epochs(epochs) => (epochs * steps_per_epoch as f64).round() as u64,
            Self::Steps(steps) => steps,
            Self::Budget(_) => return None,
        };
        Some(steps.max(1))
    }
}

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Epochs(1.0) => f.write_str("one pass over the data"),
            Self::Epochs(epochs) => write!(f, "{epochs} passes over the data"),
            Self::Steps(steps) => write!(f, "{steps} steps"),
            Self::Budget(seconds) => write!(f, "{}", Duration(seconds)),
        }
    }
}

impl Train {
    /// The defaults that a method brings.
    pub(super) fn for_method(method: &Training) -> Self {
        Self {
            optimizer: method.optimizer,
            learning_rate: method.learning_rate,
            weight_decay: method.weight_decay,
            ..Self::default()
        }
    }

    /// How long the run is; ten minutes where the recipe doesn't say.
    pub fn length(&self) -> Length {
        match (self.steps, self.epochs, self.budget) {
            (Some(steps), _, _) => Length::Steps(steps),
            (_, Some(epochs), _) => Length::Epochs(epochs),
            (_, _, Some(budget)) => Length::Budget(budget.0),
            _ => Length::Budget(600.0),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let given = [
            self.epochs.is_some(),
            self.steps.is_some(),
            self.budget.is_some(),
        ];
        if given.iter().filter(|&&given| given).count() > 1 {
            return Err(Error::recipe("more than one length")
                .expected("one of train.epochs, train.steps and train.budget")
                .mend("leave two of them out"));
        }
        if let Some(epochs) = self.epochs {
            within("train.epochs", epochs, 1e-3, 1e6)?;
        }
        if let Some(budget) = self.budget {
            within("train.budget in seconds", budget.0, 1.0, 1e8)?;
        }
        if self.steps == Some(0) {
            return Err(Error::recipe("train.steps = 0").expected("at least 1"));
        }
        if self.batch_size < 2 || self.batch_size > 1 << 20 {
            return Err(
                Error::recipe(format!("train.batch_size = {}", self.batch_size))
                    .expected("2 to 1048576"),
            );
        }
        if self.accumulate == 0
            || self.batch_size < 2 * self.accumulate
            || !self.batch_size.is_multiple_of(self.accumulate)
        {
            return Err(Error::recipe(format!(
                "train.accumulate = {} with a batch of {}",
                self.accumulate, self.batch_size
            ))
            .expected("a divisor of the batch that leaves at least 2 items in a part"));
        }
        within("train.learning_rate", self.learning_rate, 0.0, 1e4)?;
        within("train.weight_decay", self.weight_decay, 0.0, 1.0)?;
        within("train.momentum", self.momentum, 0.0, 1.0)?;
        within("train.betas", self.betas[0], 0.0, 1.0)?;
        within("train.betas", self.betas[1], 0.0, 1.0)?;
        within("train.warmup", self.warmup, 0.0, 0.9)?;
        within("train.floor", self.floor, 0.0, 1.0)?;
        within("train.clip_norm", self.clip_norm, 0.0, 1e9)?;
        within(
            "train.checkpoint_every in seconds",
            self.checkpoint_every.0,
            0.1,
            1e8,
        )?;
        if self.probe_items == Some(0) {
            return Err(Error::recipe("train.probe_items = 0")
                .expected("at least 1")
                .mend("leave it out, and the run finds a number itself"));
        }
        if self.workers > 256 {
            return Err(
                Error::recipe(format!("train.workers = {}", self.workers)).expected("0 to 256")
            );
        }
        if self.log_every == 0 {
            return Err(Error::recipe("train.log_every = 0").expected("at least 1"));
        }
        Ok(())
    }
}

/// A length of time in seconds, written as people write it: `90s`, `10m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Duration(pub f64);

impl std::str::FromStr for Duration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::recipe(format!("`{text}` for a length of time"))
                .expected("such as 90s, 10m or 1h30m")
        };
        let (mut seconds, mut number) = (0.0, String::new());
        for letter in text.trim().chars() {
            let unit = match letter {
                '0'..='9' | '.' => {
                    number.push(letter);
                    continue;
                }
                's' => 1.0,
                'm' => 60.0,
                'h' => 3600.0,
                'd' => 86_400.0,
                _ => return Err(wrong()),
            };
            seconds += unit * number.parse::<f64>().map_err(|_| wrong())?;
            number.clear();
        }
        if !number.is_empty() || text.trim().is_empty() || !seconds.is_finite() {
            return Err(wrong());
        }
        Ok(Self(seconds))
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = (self.0 * 10.0).round() as u64;
        let (whole, tenth) = (tenths / 10, tenths % 10);
        let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        match (seconds, tenth) {
            (0, 0) if whole > 0 => Ok(()),
            (_, 0) => write!(f, "{seconds}s"),
            _ => write!(f, "{seconds}.{tenth}s"),
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

pub(super) fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::recipe(format!("{key} = {value}"))
        .expected(format!("a number from {low} to {high}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("10m", 600.0),
            ("1h30m", 5400.0),
            ("0.5s", 0.5),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().0, seconds);
        }
        for (seconds, text) in [
            (90.0, "1m30s"),
            (600.0, "10m"),
            (0.5, "0.5s"),
            (0.0, "0s"),
            (3600.0, "1h"),
        ] {
            assert_eq!(Duration(seconds).to_string(), text);
        }
        for wrong in ["", "10", "m", "1x", "1m3"] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_lengths_are_refused() {
        let train = Train {
            epochs: Some(1.0),
            steps: Some(10),
            ..Train::default()
        };
        assert!(
            train
                .check()
                .unwrap_err()
                .to_string()
                .contains("more than one length")
        );
    }
}
