//! The recipe of a fine-tuning.

use std::marker::PhantomData;

use toml::Value;

use crate::error::{Error, Result};
use crate::method::supervised::Supervised;
use crate::method::{ForObjective, Objective, REFERENCE_BATCH};
use crate::modality::{self, ForModality, Modality};
use crate::recipe::{Plan, Recipe};
use crate::run::RunFolder;

/// Items that a fine-tuning sees at most where nobody says how long it is: five passes over sixty thousand.
const ITEMS_SEEN: f64 = 300_000.0;
/// Passes over the labeled items, at least and at most.
const EPOCHS: [f64; 2] = [5.0, 100.0];
/// Items per step.
const BATCH: i64 = 64;
/// Peak learning rate of AdamW, whatever the batch. On 10,000 Fashion-MNIST training images held out, after 1 % of the
/// labels of the other 50,000, 3e-3 beat 1e-3 by one to two points, also from scratch; transformers want less.
const RATE: f64 = 2e-3;
/// The same for networks of fixed features and a map of them, which learned in closed form: of 2e-3, 2e-4 and 2e-5 the last
/// two had the lowest held-out losses on flowers and letters, and the first none below that of the classifier that it began
/// with.
const RATE_OF_FEATURES: f64 = 1e-4;
/// The same for a classifier alone on vectors that stay as they are, from the linear one that it begins as; of 3e-2 to 2.5e-4
/// the best on flowers.
const RATE_OF_CLASSIFIER: f64 = 3e-3;
/// The same where it begins at random; 3e-2 beat 1e-2 by 1.7 points on the images above.
const RATE_OF_RANDOM_CLASSIFIER: f64 = 3e-2;
/// By how much slower a stage learns than the next. Bao et al. 2022 have 0.65 to 0.75 for transformers of 12 blocks; our
/// convolutional networks have four or five stages, where 1 beat 0.75 by a point in the same comparison.
const LAYER_DECAY: f64 = 0.9;
/// The part of the labeled items that is held out, to end in time and to calibrate on.
const HELD: f64 = 0.2;
/// Looks without a better loss on held-out items, of the five in the second half of a run.
const PATIENCE: i64 = 3;

/// What the user may say about a fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// What learns.
    pub layers: Layers,
    /// How many of the labels are used.
    pub share: Share,
    /// Whether classes count alike, however many items each has.
    pub balance: bool,
    /// Whether the network starts from its untrained weights: what the labels teach without pretraining.
    pub from_scratch: bool,
}

/// What learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// The classifier on top only.
    Frozen,
    /// The last stages of the encoder, and the classifier.
    Last(usize),
    /// Everything, early stages more slowly.
    All,
}

/// How many of the labels are used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// All.
    All,
    /// This part of each class's.
    Fraction(f64),
    /// That many of each class.
    PerClass(usize),
}

impl Setting {
    /// The recipe of a fine-tuning of `run`: its network, its data and what was measured on that, one lightly changed
    /// view an item, a classifier on top. Other data and everything else can be laid over it.
    ///
    /// # Errors
    /// When the run's recipe can't be read.
    pub fn recipe(&self, run: &RunFolder) -> Result<Recipe> {
        let of_run = run.recipe()?;
        let mut recipe = Recipe::default();
        recipe.take_over(&of_run, &["data", "encoder", "evaluate"]);
        recipe.put_table(
            "views",
            modality::by_name(&of_run.kind()?, ViewsOf(&of_run))??,
        )?;
        // Embedded data is drawn by the seed, so that another seed would be other data.
        recipe.put("train.seed", i64::try_from(of_run.seed()).unwrap_or(0))?;
        for key in ["device", "precision"] {
            if let Some(value) = of_run.text("train", key) {
                recipe.put(&format!("train.{key}"), value)?;
            }
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        recipe.put("data.validation", HELD)?;
        recipe.put("data.by_class", true)?;
        for key in ["labels_fraction", "labels_per_class"] {
            recipe.remove("data", key);
        }
        match self.share {
            Share::All => {}
            Share::Fraction(fraction) => recipe.put("data.labels_fraction", fraction)?,
            Share::PerClass(count) => recipe.put("data.labels_per_class", number(count))?,
        }
        recipe.put("method.name", Supervised::NAME)?;
        recipe.put("method.classes", 0)?;
        recipe.put("method.balance", self.balance)?;
        match self.layers {
            Layers::Frozen => recipe.put("method.last_stages", 0)?,
            Layers::Last(stages) => recipe.put("method.last_stages", number(stages))?,
            // Untrained weights know nothing that should be kept.
            Layers::All if self.from_scratch => {}
            Layers::All => recipe.put("method.layer_decay", LAYER_DECAY)?,
        }
        recipe.put("train.optimizer", "adamw")?;
        recipe.put("train.weight_decay", 0.05)?;
        recipe.put("train.batch_size", BATCH)?;
        recipe.put("train.patience", PATIENCE)?;
        if !self.from_scratch {
            let path = std::path::absolute(run.path()).unwrap_or_else(|_| run.path().to_path_buf());
            let path = path.to_str().ok_or_else(|| {
                Error::run("a path that is no UTF-8")
                    .at(run.path())
                    .expected("a path that a recipe can hold")
                    .mend("rename it")
            })?;
            recipe.put("train.init", path)?;
        }
        Ok(recipe)
    }

    /// Fills in what depends on the labels and on the network: `items` are learned from, `batch` of them in a step; `features`
    /// says whether vectors are a map of fixed features. What the recipe says already stays.
    ///
    /// # Errors
    /// Never for a recipe of [`Setting::recipe`].
    pub(super) fn settle(
        &self,
        recipe: &mut Recipe,
        items: usize,
        batch: usize,
        features: bool,
    ) -> Result<()> {
        let lengths = ["epochs", "steps", "budget"];
        if !lengths.iter().any(|key| recipe.has("train", key)) {
            let [least, most] = EPOCHS;
            let epochs = (ITEMS_SEEN / items.max(1) as f64).clamp(least, most);
            recipe.put("train.epochs", epochs.round())?;
        }
        if !recipe.has("train", "learning_rate") {
            let peak = match self.layers {
                Layers::Frozen if self.from_scratch => RATE_OF_RANDOM_CLASSIFIER,
                Layers::Frozen => RATE_OF_CLASSIFIER,
                _ if features && !self.from_scratch => RATE_OF_FEATURES,
                _ => RATE,
            };
            recipe.put("train.learning_rate", peak * REFERENCE_BATCH / batch as f64)?;
        }
        Ok(())
    }
}

/// The one view an item that suits the network of a run, as a table.
struct ViewsOf<'a>(&'a Recipe);

impl ForModality for ViewsOf<'_> {
    type Output = Result<Value>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.0)?;
        let modality = crate::method::on::<M, _>(&name, ModalityOf(self.0, PhantomData::<M>))??;
        Value::try_from(modality.one_view())
            .map_err(|error| Error::recipe("views that TOML can't hold").because(error))
    }
}

struct ModalityOf<'a, M>(&'a Recipe, PhantomData<M>);

impl<M: Modality> ForObjective for ModalityOf<'_, M> {
    type Output = Result<M>;
    fn run<O: Objective>(self) -> Self::Output {
        Ok(Plan::<M, O>::resolve(self.0, None)?.modality)
    }
}
