//! A fine-tuning from its recipe to its report.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use autodidact_eval::calibration::{
    expected_calibration_error, fit_temperature, most_likely, negative_log_likelihood,
};
use autodidact_eval::interval::{Bootstrap, bootstrap};
use autodidact_eval::{Matrix, classification};
use serde::Serialize;

use super::classifier::{Classifier, unfit};
use super::prediction::{labels, vectors};
use super::setting::Setting;
use crate::error::{Error, Result};
use crate::judge::{Parts, Which, Whom, frozen};
use crate::modality::SourceSpec;
use crate::recipe::{Duration, Recipe};
use crate::run::{Checkpoint, RunFolder, write_atomic};
use crate::train::{self, Event, Labeled, Outcome, Session, Stop};

/// The file of the report in a run's folder.
const FILE: &str = "finetuning.json";
/// Held-out items below which a temperature isn't fitted: it would say more of them than of the network.
const CALIBRATED_ON: usize = 20;

/// What came of a fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finetuned {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Items of each class that were learned from.
    pub learned_from: Vec<usize>,
    /// Items that were held out to end in time and to calibrate on.
    pub held_out: usize,
    /// Labeled items that the classifier was fitted to again at the end, the held-out ones among them, where training found
    /// nothing better than the linear classifier that it began with.
    pub refitted: Option<usize>,
    /// Whether it ended before its time because the held-out items got no better.
    pub early: bool,
    /// Whether there were enough held-out items to calibrate on.
    pub calibrated: bool,
    /// What the scores are divided by; 1 where nothing was calibrated. Fitted before the classifier was fitted again.
    pub temperature: f64,
    /// On the held-out items, by the classifier that hadn't seen them; the temperature was fitted to them.
    pub validation: Option<Calibration>,
    /// On the test part, which nothing was chosen by.
    pub test: Option<Calibration>,
    /// Why the data's own test part could not be judged on, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untested: Option<String>,
}

/// How right and how honest a classifier is on some items. Pairs are before and after the calibration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Items.
    pub items: usize,
    /// Items of classes that the classifier doesn't know, which count as wrong in the accuracy and are left out of the
    /// rest.
    pub unknown: usize,
    /// Share that is told rightly.
    pub accuracy: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Mean over the classes of the share that is told rightly.
    pub balanced_accuracy: f64,
    /// Mean of the classes' F1 scores.
    pub macro_f1: f64,
    /// Accuracy of always naming the class that is the most frequent among the labels learned from.
    pub majority: f64,
    /// Mean −log p of the right class, in nats.
    pub negative_log_likelihood: [f64; 2],
    /// Expected calibration error over 15 bins (Guo et al. 2017), 0 to 1.
    pub calibration_error: [f64; 2],
}

/// Opens the run of a fine-tuning by `recipe`, which [`Setting::recipe`] made and the user laid something over.
///
/// # Errors
/// When the data can't be read, has no labels or those of one class only, or the recipe doesn't fit.
fn open(setting: &Setting, recipe: &mut Recipe) -> Result<Box<dyn Session>> {
    let began = Instant::now();
    let session = train::open(recipe)?;
    let items: usize = session
        .labeled()
        .map_or(0, |labeled| labeled.items.iter().sum());
    let batch = session.train().batch_size;
    setting.settle(recipe, items, batch, session.has_features())?;
    if let Some(Duration(budget)) = recipe.budget()? {
        // It is opened twice, and the loop knows of the second time only.
        let left = budget - began.elapsed().as_secs_f64();
        let left = left.max(0.5 * budget).max(1.0);
        recipe.put("train.budget", Duration(left).to_string())?;
    }
    train::open(recipe)
}

/// Fine-tunes by the recipe that [`Setting::recipe`] made, or goes on with the run in `folder` where `setting` is
/// `None`; then calibrates the classifier, judges it on `test` or on the data's own test part, and writes both into
/// the folder. The report is `None` where someone asked to stop.
///
/// `folder` is asked for once the data has been found to be good.
///
/// The network begins with the best linear classifier of its vectors as they are, fitted to as many of the labels as a third of
/// the run has time for (`train.probe_items`), and is looked at ten times by the loss on the items that are held out. The best
/// weights are kept, and three looks in a row that find none that are better end the run. Where fewer than 500 items are held
/// out, better means better by more than one standard error of the difference, taken item by item: with 15 labels five are
/// held out, and by the mean of five alone some look would beat the beginning by chance. So the linear classifier stays unless
/// there is evidence against it. From untrained weights the lowest loss is the best: there the beginning is worth nothing.
///
/// Where it does stay, held-out labels have nothing more to choose, and it is fitted once more, to all of them: of ten labels a
/// class two were never learned from. It is fitted with the penalty and keeps the temperature of the one before, which hadn't
/// seen the held-out items, and what the report says of these is of the one before, too. With so many labels that the beginning
/// was fitted to a part of them, nothing is fitted again.
///
/// A run that was killed before it had written a checkpoint begins anew.
///
/// # Errors
/// When the data can't be read, has no labels or those of one class only; when training goes wrong; when the folder
/// can't be written.
pub fn finetune(
    setting: Option<&Setting>,
    mut recipe: Recipe,
    test: Option<&SourceSpec>,
    folder: impl FnOnce() -> Result<RunFolder>,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Event),
) -> Result<(RunFolder, Outcome, Option<Finetuned>)> {
    let (mut session, from, folder) = match setting {
        Some(setting) => (open(setting, &mut recipe)?, None, folder()?),
        None => {
            let folder = folder()?;
            match folder.kept()? {
                Some((from, damaged)) => {
                    if let Some(error) = damaged {
                        watch(&Event::Warned(format!(
                            "the last checkpoint can't be read ({error}); going on from the one before it, after {} steps",
                            from.position.progress.step()
                        )));
                    }
                    (train::reopen(&recipe)?, Some(from), folder)
                }
                None => {
                    watch(&Event::Warned(
                        "the run was ended before its first checkpoint, and begins anew".to_owned(),
                    ));
                    (train::open(&recipe)?, None, folder)
                }
            }
        }
    };
    let labeled = session.labeled().ok_or_else(|| {
        Error::run("a run of a method that needs no labels")
            .at(folder.path())
            .expected("one that `autodidact finetune` began")
    })?;
    let outcome = match from {
        // All that is left is to calibrate and to judge.
        Some(from) if from.position.ended(session.train().patience) => {
            let (model, optimizer) = (from.under("model"), from.under("optimizer"));
            session.restore(&model, &optimizer, from.position.updates)?;
            Outcome {
                stop: Stop::Finished,
                steps: from.position.progress.step(),
                seconds: from.position.progress.elapsed,
                checkup: None,
                unreadable: Vec::new(),
                early: !from.position.progress.finished(),
            }
        }
        from => train::pretrain(session.as_mut(), &folder, from, None, stop, watch)?,
    };
    if outcome.stop == Stop::Asked {
        return Ok((folder, outcome, None));
    }
    let report = conclude(session.as_mut(), &folder, labeled, test, outcome.early)?;
    Ok((folder, outcome, Some(report)))
}

fn conclude(
    session: &mut dyn Session,
    folder: &RunFolder,
    labeled: Labeled,
    test: Option<&SourceSpec>,
    early: bool,
) -> Result<Finetuned> {
    let seed = session.train().seed;
    let mut classifier = Classifier::of(&session.state().0, labeled.classes.clone())?;
    let majority = majority(&labeled.items);
    let held = session.held_out()?;
    let (mut validation, mut calibrated) = (None, false);
    if let Some((vectors, classes)) = held {
        let logits = classifier.logits(&vectors)?;
        if classes.len() >= CALIBRATED_ON {
            classifier.temperature = fit_temperature(&logits, &classes).map_err(unfit)?;
            calibrated = true;
        }
        let judged = calibration(&logits, &classes, 0, classifier.temperature, majority, seed)?;
        validation = Some(judged);
    }
    let refitted = match kept_its_beginning(session, folder) {
        true => session.refit()?,
        false => None,
    };
    if refitted.is_some() {
        // A temperature fitted to items that it has seen would make it too sure of all others.
        let temperature = classifier.temperature;
        classifier = Classifier::of(&session.state().0, labeled.classes.clone())?;
        classifier.temperature = temperature;
    }
    classifier.write(folder)?;
    let (test, untested) = match judge(folder, &classifier, test, majority, seed) {
        Ok(judged) => (judged, None),
        // The labels that were named may be those of the training part only.
        Err(error) if test.is_none() => (None, Some(error.to_string())),
        Err(error) => return Err(error),
    };
    let report = Finetuned {
        test,
        untested,
        learned_from: labeled.items,
        held_out: labeled.held_out,
        refitted,
        early,
        calibrated,
        temperature: classifier.temperature,
        classes: classifier.classes,
        validation,
    };
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| Error::run("a report that JSON can't hold").because(error))?;
    write_atomic(&folder.file(FILE), format!("{text}\n").as_bytes())?;
    Ok(report)
}

/// Whether the weights that were kept are those that the run began with. Their own checkpoint says so, also of a run that was
/// interrupted.
fn kept_its_beginning(session: &dyn Session, folder: &RunFolder) -> bool {
    let best = || Checkpoint::read(&folder.best());
    session.train().patience > 0 && best().is_ok_and(|best| best.position.progress.step() == 0)
}

/// The class with the most items to learn from, the first among equals.
fn majority(items: &[usize]) -> u32 {
    let counts: Vec<f32> = items.iter().map(|&count| count as f32).collect();
    most_likely(&counts).0
}

/// How the classifier does on test data, if there is any.
fn judge(
    folder: &RunFolder,
    classifier: &Classifier,
    test: Option<&SourceSpec>,
    majority: u32,
    seed: u64,
) -> Result<Option<Calibration>> {
    let recipe = folder.recipe()?;
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let data = recipe.data()?.source(recipe.seed(), None);
    let Some(spec) = Parts::find(encoder.as_ref(), &data, test)?.test else {
        return Ok(None);
    };
    let embedded = encoder.embed(
        &spec,
        &[Whom::Pretrained],
        Which::Labeled(usize::MAX),
        &mut |_, _| {},
    )?;
    let (rows, classes) = labels(&embedded, &classifier.classes);
    if rows.is_empty() {
        return Ok(None);
    }
    let of_labeled = embedded.classes.iter().flatten().count();
    let vectors = vectors(&embedded)?.select(&rows).map_err(unfit)?;
    let logits = classifier.logits(&vectors)?;
    let unknown = of_labeled - rows.len();
    let temperature = classifier.temperature;
    calibration(&logits, &classes, unknown, temperature, majority, seed).map(Some)
}

fn calibration(
    logits: &Matrix,
    classes: &[u32],
    unknown: usize,
    temperature: f64,
    majority: u32,
    seed: u64,
) -> Result<Calibration> {
    let predicted: Vec<u32> = (0..logits.rows())
        .map(|row| most_likely(logits.row(row)).0)
        .collect();
    let mut right = classification::hits(&predicted, classes).map_err(unfit)?;
    right.extend(std::iter::repeat_n(false, unknown));
    let settings = Bootstrap {
        seed,
        ..Bootstrap::default()
    };
    let interval = bootstrap(&right, &settings).map_err(unfit)?;
    let of_majority = classes.iter().filter(|&&class| class == majority).count();
    let nll = |temperature| negative_log_likelihood(logits, classes, temperature).map_err(unfit);
    let error =
        |temperature| expected_calibration_error(logits, classes, temperature).map_err(unfit);
    Ok(Calibration {
        items: right.len(),
        unknown,
        accuracy: interval.value,
        low: interval.low,
        high: interval.high,
        balanced_accuracy: classification::balanced_accuracy(&predicted, classes).map_err(unfit)?,
        macro_f1: classification::macro_f1(&predicted, classes).map_err(unfit)?,
        majority: of_majority as f64 / right.len() as f64,
        negative_log_likelihood: [nll(1.0)?, nll(temperature)?],
        calibration_error: [error(1.0)?, error(temperature)?],
    })
}
