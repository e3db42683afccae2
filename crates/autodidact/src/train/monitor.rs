//! Is it learning? Has it collapsed? Read off the embeddings of a fixed set of items, without labels.

use autodidact_eval::{EvalError, Matrix, knn, representation};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::modality::Labels;

/// Items whose two views are compared.
pub(super) const PAIRS: usize = 256;
/// Items that are embedded undisturbed: the last quarter asks the others for its class.
pub(super) const SAMPLE: usize = 1536;
/// The same where the loss itself keeps the embeddings apart, so that the look is for curves alone.
pub(super) const SMALL_SAMPLE: usize = 256;

/// How a representation is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkup {
    /// How many dimensions the embeddings make use of (Garrido et al. 2023), 1 to their number.
    pub rankme: f64,
    /// Number of dimensions.
    pub dimensions: usize,
    /// Deviation of each dimension of the normalized embeddings, averaged, times √dimensions: 1 is evenly spread, 0
    /// is collapsed.
    pub deviation: f64,
    /// Mean squared distance of two views of one item (Wang & Isola 2020), 0 to 4; small is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment: Option<f64>,
    /// Log of the mean Gaussian potential of pairs (Wang & Isola 2020), −8 to 0; low is good.
    pub uniformity: f64,
    /// Accuracy of the nearest neighbors on a fixed sample of the training items, where there are labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn: Option<f64>,
}

/// What a checkup gives reason to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

impl Warning {
    /// What it is about. The numbers in a warning, and with them its length, change from look to look; its beginning
    /// doesn't.
    pub(super) fn gist(&self) -> &str {
        let numbers = |letter: char| letter.is_ascii_digit();
        self.0.split(numbers).next().unwrap_or_default()
    }
}

impl Checkup {
    pub(super) fn new(
        plain: &Matrix,
        read: &[usize],
        labels: Option<&Labels>,
        pair: Option<(Vec<f32>, Vec<f32>)>,
        pairs: usize,
        neighbors: usize,
    ) -> Result<Self> {
        let dimensions = plain.columns();
        let matrix = |values: Vec<f32>| Matrix::from_vec(pairs, dimensions, values).map_err(unfit);
        let alignment = match pair {
            Some((first, second)) => {
                Some(representation::alignment(&matrix(first)?, &matrix(second)?).map_err(unfit)?)
            }
            None => None,
        };
        Ok(Self {
            rankme: representation::rankme(plain),
            dimensions,
            deviation: {
                let spread = representation::dimension_std(plain).map_err(unfit)?;
                spread.mean / spread.even
            },
            alignment,
            uniformity: representation::uniformity(plain).map_err(unfit)?,
            knn: labels.and_then(|labels| neighbors_accuracy(plain, read, labels, neighbors)),
        })
    }

    /// Plain words about a representation that is going wrong.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.deviation < 0.1 {
            warnings.push(Warning(format!(
                "the representation is collapsing: all items look nearly the same to the network (deviation {:.3} of 1). \
                 Try a lower learning rate, a larger batch, or a method with negatives such as simclr.",
                self.deviation
            )));
        } else if self.rankme < 0.05 * self.dimensions as f64 && self.rankme < 8.0 {
            warnings.push(Warning(format!(
                "the representation uses only about {:.0} of its {} dimensions. If that doesn't grow, try vicreg, \
                 stronger views or a lower learning rate.",
                self.rankme, self.dimensions
            )));
        }
        warnings
    }
}

/// A fixed sample of at most so many items: labeled ones first where there are labels.
pub(super) fn sample(indices: &[usize], labels: Option<&Labels>, most: usize) -> Vec<usize> {
    let labeled: Vec<usize> = match labels {
        Some(labels) => indices
            .iter()
            .copied()
            .filter(|&index| labels.of[index].is_some())
            .collect(),
        None => Vec::new(),
    };
    let from = if labeled.len() >= 40 {
        &labeled
    } else {
        indices
    };
    // Evenly over the data, which may be sorted by class; and the quarter that asks evenly over the sample.
    let count = from.len().min(most);
    (0..count).map(|i| from[i * from.len() / count]).collect()
}

fn neighbors_accuracy(
    plain: &Matrix,
    read: &[usize],
    labels: &Labels,
    neighbors: usize,
) -> Option<f64> {
    let known: Vec<(usize, u32)> = read
        .iter()
        .enumerate()
        .filter_map(|(row, &index)| labels.of[index].map(|class| (row, class)))
        .collect();
    if known.len() < 40 {
        return None;
    }
    let part = |asks: bool| -> (Vec<usize>, Vec<u32>) {
        known
            .iter()
            .enumerate()
            .filter(|(i, _)| (i % 4 == 3) == asks)
            .map(|(_, &known)| known)
            .unzip()
    };
    let ((bank, bank_labels), (queries, query_labels)) = (part(false), part(true));
    let (bank, queries) = (plain.select(&bank).ok()?, plain.select(&queries).ok()?);
    let votes = knn::classify(&bank, &bank_labels, &queries, neighbors, 0.1).ok()?;
    autodidact_eval::classification::accuracy(&votes, &query_labels).ok()
}

fn unfit(error: EvalError) -> Error {
    Error::training("embeddings that can't be measured")
        .because(error)
        .mend("go on from the last checkpoint with a lower train.learning_rate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_about_the_same_whatever_its_numbers() {
        let gists = |deviation, rankme: [f64; 2]| -> [String; 2] {
            rankme.map(|rankme| {
                let checkup = Checkup {
                    rankme,
                    dimensions: 512,
                    deviation,
                    alignment: None,
                    uniformity: -1.0,
                    knn: None,
                };
                checkup.warnings()[0].gist().to_owned()
            })
        };
        let [few, fewer] = gists(0.5, [7.2, 3.1]);
        assert_eq!(few, fewer);
        assert!(few.contains("uses only"), "{few}");
        let [collapsed, _] = gists(0.05, [7.2, 3.1]);
        assert!(collapsed.contains("collapsing"), "{collapsed}");
    }
}
