//! The protocol around the machines: C chosen by cross-validation on the training part.

use rayon::prelude::*;

use super::{Svm, SvmModel};
use crate::classification::accuracy;
use crate::error::{EvalError, Result};
use crate::labels::{Encoded, distinct};
use crate::matrix::Matrix;
use crate::sampling::{generator, permutation};

/// Fewer rows than this leave nothing to choose on.
const FEWEST_ROWS: usize = 50;
/// Nor do fewer rows per class than this.
const FEWEST_PER_CLASS: usize = 5;
/// Up to this many rows the kernels of all folds are held at the same time, 320 MiB for five.
const TOGETHER: usize = 4500;

/// How to choose and fit.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmProbe {
    /// The values of C to choose from; the first of the best wins. Default 1e-4, 1e-3, up to 1e4, and infinity.
    pub candidates: Vec<f64>,
    /// The C where the training part is too small to choose. Default infinity.
    pub fallback: f64,
    /// Parts of the cross-validation, 2 at least. Default 5.
    pub folds: usize,
    /// At most this many rows, drawn class by class, are chosen on and fitted to. Default 10,000.
    pub max_fit_rows: usize,
    /// Of that draw. Default 0.
    pub seed: u64,
    /// γ, tolerance and iterations of each fit; its C doesn't count.
    pub svm: Svm,
}

impl Default for SvmProbe {
    fn default() -> Self {
        Self {
            candidates: (-4..=4)
                .map(|power| 10_f64.powi(power))
                .chain([f64::INFINITY])
                .collect(),
            fallback: f64::INFINITY,
            folds: 5,
            max_fit_rows: 10_000,
            seed: 0,
            svm: Svm::default(),
        }
    }
}

/// What the machines say about a test part.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmResult {
    /// The predicted class of each test row.
    pub predictions: Vec<u32>,
    /// The chosen C.
    pub chosen_c: f64,
    /// Each candidate and its accuracy, the mean over the folds, from 0 to 1; empty where nothing was chosen.
    pub validation_accuracy: Vec<(f64, f64)>,
    /// Whether the final fit converged.
    pub converged: bool,
}

/// Chooses C on the training part, fits to all of it and predicts the test part.
///
/// The protocol of Franceschi, Dieuleveut and Jaggi 2019, "Unsupervised Scalable Representation Learning for
/// Multivariate Time Series", which TS2Vec (Yue et al. 2022, `tasks/_eval_protocols.py`) took over: the accuracies of
/// five folds, stratified and unshuffled as scikit-learn's `StratifiedKFold` makes them, are averaged; with fewer than
/// 50 rows, or fewer than 5 per class on average, C is infinite. The features are taken as they are. It differs in
/// three things: an infinite C is 1e8, the stratified subset of a part of more than 10,000 rows is another draw, and a
/// fold whose training rows are all of one class predicts that class where scikit-learn fails.
///
/// # Errors
///
/// If the labels are not one per row or all of one class, the columns differ, or a setting is out of its range.
pub fn svm_probe(
    train: &Matrix,
    train_labels: &[u32],
    test: &Matrix,
    settings: &SvmProbe,
) -> Result<SvmResult> {
    EvalError::check_length("training labels", train_labels.len(), train.rows())?;
    train.check_columns(test)?;
    EvalError::check_count("max_fit_rows", settings.max_fit_rows)?;
    if settings.folds < 2 {
        return Err(EvalError::Setting {
            name: "folds",
            found: settings.folds as f64,
            expected: "2 at least",
        });
    }
    settings.svm.check(&settings.candidates)?;
    settings.svm.check(&[settings.fallback])?;

    let encoded = Encoded::new(train_labels)?;
    let (rows, classes) = (train.rows(), encoded.classes.len());
    let fit_final = |features: &Matrix, labels: &[u32], c| {
        let model = Svm { c, ..settings.svm }.fit(features, labels)?;
        Ok::<_, EvalError>((model.predict(test)?, model.converged))
    };
    if rows < FEWEST_ROWS || rows / classes < FEWEST_PER_CLASS {
        let (predictions, converged) = fit_final(train, train_labels, settings.fallback)?;
        return Ok(SvmResult {
            predictions,
            chosen_c: settings.fallback,
            validation_accuracy: Vec::new(),
            converged,
        });
    }
    let subset = stratified_subset(&encoded, settings.max_fit_rows, settings.seed);
    let features = train.select(&subset)?;
    let labels: Vec<u32> = subset.iter().map(|&row| train_labels[row]).collect();

    let validation_accuracy = cross_validate(&features, &labels, settings)?;
    let mut best = 0;
    for candidate in 1..validation_accuracy.len() {
        if validation_accuracy[candidate].1 > validation_accuracy[best].1 {
            best = candidate;
        }
    }
    let chosen_c = settings.candidates[best];
    let (predictions, converged) = fit_final(&features, &labels, chosen_c)?;
    Ok(SvmResult {
        predictions,
        chosen_c,
        validation_accuracy,
        converged,
    })
}

/// Each candidate and the mean of its accuracies on the folds.
fn cross_validate(
    features: &Matrix,
    labels: &[u32],
    settings: &SvmProbe,
) -> Result<Vec<(f64, f64)>> {
    let fold_of = stratified_folds(labels, settings.folds)?;
    let judge = |fold: usize| -> Result<Vec<f64>> {
        let part = |held: bool| -> Result<(Matrix, Vec<u32>)> {
            let rows: Vec<usize> = (0..labels.len())
                .filter(|&row| (fold_of[row] == fold) == held)
                .collect();
            let labels = rows.iter().map(|&row| labels[row]).collect();
            Ok((features.select(&rows)?, labels))
        };
        let ((fit, fit_labels), (held, held_labels)) = (part(false)?, part(true)?);
        if let [class] = distinct(fit_labels.iter().copied())[..] {
            let guess = accuracy(&vec![class; held.rows()], &held_labels)?;
            return Ok(vec![guess; settings.candidates.len()]);
        }
        let score = |model: &SvmModel| accuracy(&model.predict(&held)?, &held_labels);
        let models = settings
            .svm
            .fit_each(&fit, &fit_labels, &settings.candidates)?;
        models.iter().map(score).collect()
    };
    let folds = 0..settings.folds;
    let scores: Result<Vec<Vec<f64>>> = if labels.len() <= TOGETHER {
        folds.into_par_iter().map(judge).collect()
    } else {
        folds.map(judge).collect()
    };
    let scores = scores?;
    let mean = |candidate: usize| {
        scores.iter().map(|fold| fold[candidate]).sum::<f64>() / settings.folds as f64
    };
    Ok(settings
        .candidates
        .iter()
        .enumerate()
        .map(|(candidate, &c)| (c, mean(candidate)))
        .collect())
}

/// The fold of each row, as scikit-learn's `StratifiedKFold` without shuffling: the first rows of a class are the first
/// fold, and the folds are of about one size also where the classes don't divide evenly.
///
/// # Errors
///
/// If no class has a row for each fold.
fn stratified_folds(labels: &[u32], folds: usize) -> Result<Vec<usize>> {
    // Classes are numbered as they first appear.
    let mut classes: Vec<u32> = Vec::new();
    let mut class_of = Vec::with_capacity(labels.len());
    let encoded = Encoded::new(labels)?;
    let mut number = vec![usize::MAX; encoded.classes.len()];
    for &position in &encoded.positions {
        if number[position] == usize::MAX {
            number[position] = classes.len();
            classes.push(encoded.classes[position]);
        }
        class_of.push(number[position]);
    }
    let mut sizes = vec![0; classes.len()];
    class_of.iter().for_each(|&class| sizes[class] += 1);
    let largest = sizes.iter().copied().max().unwrap_or(0);
    if largest < folds {
        return Err(EvalError::FewItems {
            class: classes[sizes.iter().position(|&size| size == largest).unwrap_or(0)],
            found: largest,
            expected: folds,
        });
    }
    let mut sorted = class_of.clone();
    sorted.sort_unstable();
    // `shares[class][fold]`: every `folds`-th row of the sorted list.
    let mut shares = vec![vec![0; folds]; classes.len()];
    for (rank, &class) in sorted.iter().enumerate() {
        shares[class][rank % folds] += 1;
    }
    let mut place = |class: usize| {
        let fold = shares[class].iter().position(|&left| left > 0).unwrap_or(0);
        shares[class][fold] -= 1;
        fold
    };
    Ok(class_of.iter().map(|&class| place(class)).collect())
}

/// At most `limit` rows, each class with its share of them, ascending.
fn stratified_subset(encoded: &Encoded, limit: usize, seed: u64) -> Vec<usize> {
    let rows = encoded.positions.len();
    if rows <= limit {
        return (0..rows).collect();
    }
    let members = encoded.members();
    let mut shares: Vec<usize> = members
        .iter()
        .map(|members| members.len() * limit / rows)
        .collect();
    // What rounding down left over goes to the largest remainders.
    let mut by_remainder: Vec<usize> = (0..members.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(members[class].len() * limit % rows));
    let left = limit - shares.iter().sum::<usize>();
    for &class in &by_remainder[..left] {
        shares[class] += 1;
    }
    let mut subset = Vec::with_capacity(limit);
    for (class, (members, &share)) in members.iter().zip(&shares).enumerate() {
        let order = permutation(members.len(), &mut generator(seed, class as u64));
        subset.extend(order[..share].iter().map(|&position| members[position]));
    }
    subset.sort_unstable();
    subset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_moons(count: usize) -> (Matrix, Vec<u32>) {
        let labels: Vec<u32> = (0..count as u32).map(|row| row % 2).collect();
        let data = labels.iter().enumerate().flat_map(|(row, &label)| {
            let angle = (row as f32 * 0.618).fract() * std::f32::consts::PI;
            let noise = |step: f32| 0.15 * (row as f32 * step).sin();
            let (x, y) = (angle.cos(), angle.sin());
            let (x, y) = if label == 0 {
                (x, y)
            } else {
                (1. - x, 0.4 - y)
            };
            [x + noise(78.2), y + noise(37.7)]
        });
        (Matrix::from_vec(count, 2, data.collect()).unwrap(), labels)
    }

    #[test]
    fn a_c_is_chosen_without_the_test_part_and_the_moons_are_told_apart() {
        let (train, labels) = two_moons(200);
        let (test, truth) = two_moons(501);
        let result = svm_probe(&train, &labels, &test, &SvmProbe::default()).unwrap();
        assert!(accuracy(&result.predictions, &truth).unwrap() > 0.97 && result.converged);
        assert_eq!(result.validation_accuracy.len(), 10);
        let best = result
            .validation_accuracy
            .iter()
            .map(|&(_, accuracy)| accuracy)
            .fold(0., f64::max);
        let first = result
            .validation_accuracy
            .iter()
            .find(|(_, accuracy)| *accuracy == best);
        assert_eq!(first.unwrap().0, result.chosen_c);
        // So small a C leaves every item at its bound, and the machine compares mean similarities.
        assert!(result.validation_accuracy[0].1 < best - 0.02 && best > 0.97);
    }

    #[test]
    fn a_small_part_is_fitted_with_a_hard_margin() {
        let (train, labels) = two_moons(49);
        let result = svm_probe(&train, &labels, &train, &SvmProbe::default()).unwrap();
        assert!(result.chosen_c == f64::INFINITY && result.validation_accuracy.is_empty());
        assert_eq!(result.predictions, labels);
        let (train, _) = two_moons(60);
        let labels: Vec<u32> = (0..60).map(|row| row / 4).collect();
        let result = svm_probe(&train, &labels, &train, &SvmProbe::default()).unwrap();
        assert!(result.chosen_c == f64::INFINITY && result.validation_accuracy.is_empty());
    }

    #[test]
    fn folds_are_those_of_scikit_learn() {
        // What `StratifiedKFold(3)` says of these labels. Class 7 has the ranks 0 to 4 and so two, two and one of the
        // folds; class 2 the ranks 5 to 8: one, one and two; class 9 one and one.
        let labels = [7, 2, 7, 7, 2, 2, 7, 9, 7, 2, 9];
        let expected = [0, 0, 0, 1, 1, 2, 1, 0, 2, 2, 1];
        assert_eq!(stratified_folds(&labels, 3).unwrap(), expected);
        assert_eq!(
            stratified_folds(&[1, 2, 3, 2], usize::MAX),
            Err(EvalError::FewItems {
                class: 2,
                found: 2,
                expected: usize::MAX
            })
        );
    }

    #[test]
    fn a_subset_keeps_the_shares_of_the_classes() {
        let labels: Vec<u32> = (0..1000).map(|row| u32::from(row % 10 == 0)).collect();
        let encoded = Encoded::new(&labels).unwrap();
        let subset = stratified_subset(&encoded, 105, 3);
        assert!(subset.len() == 105 && subset.is_sorted_by(|a, b| a < b));
        let rare = subset.iter().filter(|&&row| labels[row] == 1).count();
        assert!((10..=11).contains(&rare), "{rare}");
        assert_ne!(subset, stratified_subset(&encoded, 105, 4));
        assert_eq!(stratified_subset(&encoded, 1000, 3).len(), 1000);
    }

    #[test]
    fn a_class_with_one_item_only_stops_nothing() {
        let (train, mut labels) = two_moons(60);
        labels.fill(4);
        labels[59] = 5;
        let result = svm_probe(&train, &labels, &train, &SvmProbe::default()).unwrap();
        assert_eq!(result.validation_accuracy.len(), 10);
        // Four folds without the odd item are right throughout, the fifth misses it.
        let share = (4. + 11. / 12.) / 5.;
        assert!((result.validation_accuracy[0].1 - share).abs() < 1e-12);
    }

    #[test]
    fn wrong_input_is_refused() {
        let (train, labels) = two_moons(60);
        let probe = |settings: &SvmProbe| svm_probe(&train, &labels, &train, settings);
        let settings = SvmProbe::default();
        for wrong in [
            SvmProbe {
                folds: 1,
                ..settings.clone()
            },
            SvmProbe {
                candidates: vec![],
                ..settings.clone()
            },
            SvmProbe {
                candidates: vec![-1.],
                ..settings.clone()
            },
            SvmProbe {
                max_fit_rows: 0,
                ..settings.clone()
            },
            SvmProbe {
                fallback: f64::NAN,
                ..settings.clone()
            },
        ] {
            assert!(probe(&wrong).is_err(), "{wrong:?}");
        }
        assert!(svm_probe(&train, &labels[1..], &train, &settings).is_err());
        assert!(svm_probe(&train, &[1; 60], &train, &settings).is_err());
    }
}
