//! Scores of predicted classes against true ones.

use crate::error::{EvalError, Result};
use crate::labels::distinct;

/// The share of predictions that are right, from 0 to 1.
///
/// # Errors
///
/// If there are none or their number is not that of the labels.
pub fn accuracy(predictions: &[u32], labels: &[u32]) -> Result<f64> {
    let hits = hits(predictions, labels)?;
    Ok(hits.iter().filter(|&&hit| hit).count() as f64 / hits.len() as f64)
}

/// Whether each prediction is right, as [`interval`](crate::interval) takes them.
///
/// # Errors
///
/// As [`accuracy`].
pub fn hits(predictions: &[u32], labels: &[u32]) -> Result<Vec<bool>> {
    check(predictions, labels)?;
    Ok(predictions
        .iter()
        .zip(labels)
        .map(|(prediction, label)| prediction == label)
        .collect())
}

/// The mean of the classes' F1 scores; classes that occur among predictions or labels count alike, and one never
/// predicted rightly has the score 0. That of scikit-learn's `f1_score(average="macro")`.
///
/// # Errors
///
/// As [`accuracy`].
pub fn macro_f1(predictions: &[u32], labels: &[u32]) -> Result<f64> {
    Ok(Confusion::new(predictions, labels)?.macro_f1())
}

/// The mean over the classes among the labels of the share of their items that are found, from 0 to 1: accuracy
/// as if all classes were of one size. That of scikit-learn's `balanced_accuracy_score`.
///
/// # Errors
///
/// As [`accuracy`].
pub fn balanced_accuracy(predictions: &[u32], labels: &[u32]) -> Result<f64> {
    Ok(Confusion::new(predictions, labels)?.balanced_accuracy())
}

/// How often each class was taken for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// The classes among predictions and labels, ascending.
    pub classes: Vec<u32>,
    /// For each true class a row of counts of the predicted ones, `[C, C]`, row after row.
    pub counts: Vec<u64>,
}

impl Confusion {
    /// Counts predictions by true class.
    ///
    /// # Errors
    ///
    /// As [`accuracy`].
    pub fn new(predictions: &[u32], labels: &[u32]) -> Result<Self> {
        check(predictions, labels)?;
        let classes = distinct(predictions.iter().chain(labels).copied());
        let position = |label: u32| classes.partition_point(|&class| class < label);
        let mut counts = vec![0; classes.len() * classes.len()];
        for (&prediction, &label) in predictions.iter().zip(labels) {
            counts[position(label) * classes.len() + position(prediction)] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// See [`macro_f1`].
    pub fn macro_f1(&self) -> f64 {
        let scores = (0..self.classes.len()).map(|class| {
            // Twice the hits over all mentions of the class; each class occurs, hence has a mention.
            2. * self.hits(class) / (self.true_items(class) + self.predicted_items(class))
        });
        scores.sum::<f64>() / self.classes.len() as f64
    }

    /// See [`balanced_accuracy`].
    pub fn balanced_accuracy(&self) -> f64 {
        let present = (0..self.classes.len()).filter(|&class| self.true_items(class) > 0.);
        let (count, sum) = present.fold((0., 0.), |(count, sum), class| {
            (count + 1., sum + self.hits(class) / self.true_items(class))
        });
        sum / count
    }

    fn hits(&self, class: usize) -> f64 {
        self.counts[class * self.classes.len() + class] as f64
    }

    fn true_items(&self, class: usize) -> f64 {
        let width = self.classes.len();
        self.counts[class * width..(class + 1) * width]
            .iter()
            .sum::<u64>() as f64
    }

    fn predicted_items(&self, class: usize) -> f64 {
        self.counts
            .iter()
            .skip(class)
            .step_by(self.classes.len())
            .sum::<u64>() as f64
    }
}

fn check(predictions: &[u32], labels: &[u32]) -> Result<()> {
    EvalError::check_length("predictions", predictions.len(), labels.len())?;
    if labels.is_empty() {
        Err(EvalError::Empty { what: "labels" })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_a_small_case_by_hand() {
        // Class 0: 2 of 3 found; class 5: 1 of 1 found, 2 predicted; class 9: only ever predicted.
        let (predictions, labels) = ([0, 0, 5, 5, 9], [0, 0, 0, 5, 5]);
        let confusion = Confusion::new(&predictions, &labels).unwrap();
        assert_eq!(confusion.classes, [0, 5, 9]);
        assert_eq!(confusion.counts, [2, 1, 0, 0, 1, 1, 0, 0, 0]);
        assert!((accuracy(&predictions, &labels).unwrap() - 0.6).abs() < 1e-12);
        assert!((macro_f1(&predictions, &labels).unwrap() - (0.8 + 0.5 + 0.) / 3.).abs() < 1e-12);
        assert!(
            (balanced_accuracy(&predictions, &labels).unwrap() - (2. / 3. + 0.5) / 2.).abs()
                < 1e-12
        );
        assert_eq!(
            hits(&predictions, &labels).unwrap(),
            [true, true, false, true, false]
        );
    }

    #[test]
    fn wrong_input_is_refused() {
        assert!(matches!(
            accuracy(&[1], &[1, 2]),
            Err(EvalError::Length {
                found: 1,
                expected: 2,
                ..
            })
        ));
        assert!(matches!(macro_f1(&[], &[]), Err(EvalError::Empty { .. })));
    }
}
