//! The protocol, the same for every side of a comparison: the pooled vector of one undisturbed view; weighted cosine
//! kNN; a linear probe whose penalty is chosen on a part of the training labels; probes on few labels, mean and spread
//! of several draws, their features scaled by how those of all training items vary; clusters and retrieval among the judged
//! items; bootstrap intervals over these. Where one step of an item follows another, the values' nearest neighbor by dynamic
//! time warping stands beside them.
//!
//! Where items' own numbers are counts, columns are what most of the items have that are learned from, weighed by how rare it is
//! (TF-IDF), and then probed as they are.

use autodidact_eval::interval::{Bootstrap, Interval, paired_difference};
use autodidact_eval::{EvalError, Matrix};
use rand::seq::SliceRandom;
use serde::Serialize;

use super::counted::weighed;
use super::embedding::{Embedded, Frozen, Which, Whom};
use super::tasks::{Scale, Tasks, sizes};
use super::verdict::{Finding, Verdict};
use crate::error::{Error, Result};
use crate::layers::state::State;
use crate::modality::{Part, Raw, SourceSpec};
use crate::random::{Purpose, stream};
use crate::recipe::Evaluate;
use crate::train::windows::Windows;

/// What is judged on, and what it may learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Data whose labels may be learned from.
    pub train: SourceSpec,
    /// Data that is judged on; `None` sets a share of the labeled training items aside.
    pub test: Option<SourceSpec>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The run's folder.
    pub run: String,
    /// The data.
    pub data: String,
    /// Items judged on.
    pub items: usize,
    /// Items whose labels were learned from.
    pub learned_from: usize,
    /// Number of classes.
    pub classes: usize,
    /// The verdict in words.
    pub verdict: String,
    /// Whether the items judged on were set aside from the data whose labels were learned from.
    pub set_aside: bool,
    /// Whether that is the data that the run learned from: pretraining has then seen them, without labels.
    pub seen: bool,
    /// Whether the run itself learned from labels, which may be those of the items judged on.
    pub saw_labels: bool,
    /// One line each for who, at what task.
    pub results: Vec<Finding>,
    /// What was not tried, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// Judges a run's encoder on labeled data beside raw values, the untrained network and, where one is given, the
/// supervised ceiling. `say` hears what is being done, `advance` how far.
///
/// # Errors
/// When there are no labels, or those of one class only, or the data can't be read.
pub fn evaluate(
    frozen: &dyn Frozen,
    parts: &Parts,
    settings: &Evaluate,
    seed: u64,
    ceiling: Option<State>,
    advance: &mut dyn FnMut(&str, usize, usize),
) -> Result<Judged> {
    let mut sides = vec![
        ("pretrained", Whom::Pretrained),
        ("untrained", Whom::Untrained),
        ("raw", Whom::Raw),
    ];
    if let Some(state) = ceiling {
        sides.push(("supervised", Whom::Other(state)));
    }
    let (names, mut whom): (Vec<_>, Vec<_>) = sides.into_iter().unzip();
    // What is counted is no vector before it is known which items are learned from.
    let counted = match frozen.raw() {
        Raw::Counts => whom.iter().position(|whom| matches!(whom, Whom::Raw)),
        Raw::Values => None,
    };
    if let Some(side) = counted {
        whom.remove(side);
    }
    let which = Which::Labeled(match settings.most {
        0 => usize::MAX,
        most => most,
    });
    let mut embed = |spec: &SourceSpec, what: &str| {
        let embedded = frozen.embed(spec, &whom, which, &mut |done, all| {
            advance(what, done, all)
        })?;
        labeled(embedded, spec)
    };
    let train = embed(&parts.train, "embedding the items to learn from")?;
    let (mut beyond, mut between) = (train.beyond, 0);
    let (mut train, mut test, set_aside) = match &parts.test {
        Some(spec) => {
            let test = embed(spec, "embedding the items to judge on")?;
            beyond += test.beyond;
            let test = same_classes(&train, test, spec)?;
            (train, test, false)
        }
        None => {
            let (learned, judged) = set_aside_items(&train, settings.holdout, seed)?;
            between = train.items.len() - learned.items.len() - judged.items.len();
            (learned, judged, true)
        }
    };
    let (train_labels, test_labels) = (known(&train), known(&test));
    if sizes(&train_labels).len() < 2 {
        return Err(one_class(&train, &parts.train));
    }
    let judged_on = parts.test.as_ref().unwrap_or(&parts.train);
    if let Some(side) = counted {
        advance("counting", 0, 1);
        let learned = frozen.counted(&parts.train, &train.items)?;
        let judged = frozen.counted(judged_on, &test.items)?;
        let (bank, queries) = weighed(&learned, &judged).map_err(unfit)?;
        train.features.insert(side, bank);
        test.features.insert(side, queries);
        advance("counting", 1, 1);
    }
    let (asked, mut left_out) = Tasks::new(settings, &train_labels, &test_labels, seed);
    if beyond > 0 {
        left_out.push(format!(
            "{beyond} labeled items, evenly: the others say enough for a quick look; `autodidact evaluate RUN` looks at all"
        ));
    }
    if between > 0 {
        left_out.push(format!(
            "{between} labeled windows: they share steps with those that are judged on, so nothing was learned from them"
        ));
    }
    let (mut done, steps) = (0, names.len() * asked.steps());
    let (mut results, mut right) = (Vec::new(), Vec::new());
    for (side, name) in names.iter().enumerate() {
        let mut step = || {
            advance("judging", done, steps);
            done += 1;
        };
        let (bank, queries) = (&train.features[side], &test.features[side]);
        let scale = match counted == Some(side) {
            true => Scale::Meant,
            false => Scale::Any,
        };
        for score in asked.put(bank, queries, scale, &mut step)? {
            results.push(score.finding(name));
            right.push((*name, score.task, score.right));
        }
    }
    advance("judging", steps, steps);
    if asked.warps() {
        let of = |spec: &SourceSpec, part: &Embedded| frozen.timelines(spec, &part.items);
        if let (Some(bank), Some(queries)) = (of(&parts.train, &train)?, of(judged_on, &test)?) {
            advance("warping time", 0, 1);
            match asked.warp(&bank, &queries)? {
                Some(score) => results.push(score.finding("raw")),
                None => left_out.push(
                    "nearest neighbors by dynamic time warping: items are too many or too long for it".to_owned(),
                ),
            }
            advance("warping time", 1, 1);
        }
    }
    let intervals = Bootstrap {
        resamples: settings.resamples,
        seed,
        ..Bootstrap::default()
    };
    let compare = |who: &str, task: &str| -> Option<Interval> {
        let find = |who: &str| {
            let mut all = right.iter();
            let found =
                all.find(|(name, of, right)| *name == who && of == task && !right.is_empty());
            found.map(|(_, _, right)| right)
        };
        paired_difference(find("pretrained")?, find(who)?, &intervals).ok()
    };
    let main = format!("knn{}", settings.neighbors);
    let mut verdict = Verdict::of(&results, &[main.as_str(), "linear"], &compare);
    if frozen.saw_labels() {
        verdict = verdict.with_labels();
    }
    Ok(Judged {
        run: String::new(),
        data: String::new(),
        items: test_labels.len(),
        learned_from: train_labels.len(),
        classes: train.class_names.len(),
        verdict: verdict.surely(test_labels.len()).to_string(),
        set_aside,
        seen: set_aside && frozen.is_own(&parts.train),
        saw_labels: frozen.saw_labels(),
        results,
        left_out,
    })
}

fn one_class(train: &Embedded, spec: &SourceSpec) -> Error {
    let class = train.classes.iter().flatten().next();
    let name = class.and_then(|&class| train.class_names.get(class as usize));
    let error = Error::data(format!(
        "labels of one class only, `{}`",
        name.map_or("?", String::as_str)
    ))
    .expected("labels of two classes at least: there is nothing to tell apart");
    match &spec.path {
        Some(path) => error.at(path),
        None => error,
    }
}

fn labeled(embedded: Embedded, spec: &SourceSpec) -> Result<Embedded> {
    if embedded.classes.iter().all(Option::is_some) && !embedded.class_names.is_empty() {
        return Ok(embedded);
    }
    let error = Error::data("no labels to judge by")
        .expected("class folders, a file of labels, or labels in the data");
    let error = error.mend("name a file of labels with --labels (a CSV of name and label)");
    Err(match &spec.path {
        Some(path) => error.at(path),
        None => error,
    })
}

/// The classes by number; all are known once [`labeled`] has looked.
fn known(embedded: &Embedded) -> Vec<u32> {
    embedded.classes.iter().flatten().copied().collect()
}

/// The test items' classes under the numbers of the training items' classes.
fn same_classes(train: &Embedded, mut test: Embedded, spec: &SourceSpec) -> Result<Embedded> {
    if train.class_names == test.class_names {
        return Ok(test);
    }
    for class in test.classes.iter_mut().flatten() {
        let name = &test.class_names[*class as usize];
        let Some(number) = train.class_names.iter().position(|known| known == name) else {
            return Err(Error::data(format!(
                "a class `{name}` that the labels to learn from don't have"
            ))
            .at(spec.path.clone().unwrap_or_default())
            .expected(train.class_names.join(", ")));
        };
        *class = number as u32;
    }
    test.class_names.clone_from(&train.class_names);
    Ok(test)
}

/// Splits labeled items into those to learn from and those to judge on, class by class. Of windows that overlap none is
/// judged while another is learned from: it would be known already.
fn set_aside_items(all: &Embedded, share: f64, seed: u64) -> Result<(Embedded, Embedded)> {
    let of_class = |class: u32| -> Vec<usize> {
        let rows = 0..all.classes.len();
        rows.filter(|&row| all.classes[row] == Some(class))
            .collect()
    };
    let members: Vec<Vec<usize>> = (0..all.class_names.len() as u32).map(of_class).collect();
    let aside =
        |count: usize| ((count as f64 * share).round() as usize).min(count.saturating_sub(1));
    let windows = Windows::among(all.windows.clone());
    let (learn, judge) = match &windows {
        Some(windows) => windows.divide(&members, aside, seed),
        None => shuffled(members, aside, seed),
    };
    if judge.is_empty() {
        let apart = match windows {
            Some(_) => {
                "several of each class that share no steps, to learn from some and judge on others"
            }
            None => "several of each class, to learn from some and judge on others",
        };
        return Err(Error::data(format!("{} labeled items", all.classes.len())).expected(apart));
    }
    let take = |rows: &[usize]| -> Result<Embedded> {
        let windows = rows.iter().filter_map(|&row| all.windows.get(row).cloned());
        Ok(Embedded {
            items: rows.iter().map(|&row| all.items[row]).collect(),
            names: rows.iter().map(|&row| all.names[row].clone()).collect(),
            classes: rows.iter().map(|&row| all.classes[row]).collect(),
            class_names: all.class_names.clone(),
            features: all
                .features
                .iter()
                .map(|matrix: &Matrix| matrix.select(rows))
                .collect::<std::result::Result<_, _>>()
                .map_err(unfit)?,
            windows: windows.collect(),
            unreadable: all.unreadable.clone(),
            shortened: all.shortened,
            beyond: all.beyond,
        })
    };
    Ok((take(&learn)?, take(&judge)?))
}

/// Of each group, in any order, what is left and so many that are set aside.
fn shuffled(
    groups: Vec<Vec<usize>>,
    aside: impl Fn(usize) -> usize,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let mut rng = stream(seed, Purpose::Evaluation, &[0]);
    let (mut left, mut taken) = (Vec::new(), Vec::new());
    for mut members in groups {
        members.shuffle(&mut rng);
        taken.extend(members.drain(..aside(members.len())));
        left.extend(members);
    }
    (left, taken)
}

impl Parts {
    /// What there is to learn from and to judge on: the data's own parts, or other data named for the test.
    ///
    /// # Errors
    /// When the data can't be read.
    pub fn find(frozen: &dyn Frozen, data: &SourceSpec, test: Option<&SourceSpec>) -> Result<Self> {
        let part = |spec: &SourceSpec, part| SourceSpec {
            part,
            ..spec.clone()
        };
        if let Some(test) = test {
            // Test data that comes in parts is meant by its test part.
            let wanted = if frozen.splits(test)?.test {
                Some(Part::Test)
            } else {
                None
            };
            return Ok(Self {
                train: data.clone(),
                test: Some(part(test, wanted)),
            });
        }
        let splits = frozen.splits(data)?;
        Ok(Self {
            train: data.clone(),
            test: splits.test.then(|| part(data, Some(Part::Test))),
        })
    }
}

pub(super) fn unfit(error: EvalError) -> Error {
    Error::data("features that can't be judged").because(error)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    /// Items of two classes that take turns after 25 of each, which are these steps of these recordings.
    fn labeled_windows(windows: Vec<(usize, Range<usize>)>) -> Embedded {
        let count = windows.len();
        Embedded {
            items: (0..count).collect(),
            names: (0..count).map(|row| row.to_string()).collect(),
            classes: (0..count).map(|row| Some((row / 25 % 2) as u32)).collect(),
            class_names: vec!["a".to_owned(), "b".to_owned()],
            features: vec![Matrix::from_vec(count, 1, vec![0.0; count]).unwrap()],
            windows,
            unreadable: Vec::new(),
            shortened: 0,
            beyond: 0,
        }
    }

    #[test]
    fn no_step_that_is_judged_on_is_one_that_was_learned_from() {
        let windows = (0..200).map(|row| (0, 10 * row..10 * row + 20));
        let all = labeled_windows(windows.collect());
        for seed in 0..5 {
            let (learned, judged) = set_aside_items(&all, 0.2, seed).unwrap();
            assert_eq!(judged.items.len(), 40);
            assert!(learned.items.len() > 100);
            assert_eq!(judged.windows[0], all.windows[judged.items[0]]);
            for (_, one) in &judged.windows {
                let overlaps =
                    |other: &Range<usize>| one.start < other.end && other.start < one.end;
                assert!(!learned.windows.iter().any(|(_, other)| overlaps(other)));
            }
        }
    }

    #[test]
    fn of_items_that_share_no_recording_each_is_learned_from_or_judged_on() {
        let alone: Vec<(usize, Range<usize>)> = (0..200).map(|row| (row, 0..20)).collect();
        for windows in [alone.clone(), Vec::new()] {
            let mut all = labeled_windows(alone.clone());
            all.windows = windows;
            let (learned, judged) = set_aside_items(&all, 0.2, 0).unwrap();
            assert_eq!((learned.items.len(), judged.items.len()), (160, 40));
            assert_eq!(
                judged.windows.len(),
                if all.windows.is_empty() { 0 } else { 40 }
            );
        }
    }
}
