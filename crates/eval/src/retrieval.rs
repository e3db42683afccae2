//! Scores of a search among embeddings.

use crate::error::{EvalError, Result};
use crate::knn;
use crate::matrix::Matrix;

/// Recall@k: the share of queries with a row of their own label among the `k` nearest of the bank, from 0 to 1.
/// Where each label occurs once in the bank, as with pairs of image and caption, it is the share of queries whose
/// partner is found.
///
/// # Errors
///
/// If the columns differ, the labels are not one per row, or `k` is 0.
pub fn recall(
    bank: &Matrix,
    bank_labels: &[u32],
    queries: &Matrix,
    query_labels: &[u32],
    k: usize,
) -> Result<f64> {
    EvalError::check_length("bank labels", bank_labels.len(), bank.rows())?;
    EvalError::check_length("query labels", query_labels.len(), queries.rows())?;
    Ok(share_found(
        &knn::neighbors(bank, queries, k)?,
        bank_labels,
        query_labels,
    ))
}

/// Recall@k of each row of the bank among its other rows, as metric learning reports it.
///
/// # Errors
///
/// As [`recall`], and if the bank has a single row.
pub fn recall_within(bank: &Matrix, labels: &[u32], k: usize) -> Result<f64> {
    EvalError::check_length("labels", labels.len(), bank.rows())?;
    Ok(share_found(
        &knn::neighbors_within(bank, k)?,
        labels,
        labels,
    ))
}

/// For each of `counts`, whether each row of the bank has one of its own label among that many nearest other rows, as
/// [`interval`](crate::interval) takes them. Their mean is [`recall_within`].
///
/// # Errors
///
/// As [`recall_within`], and if `counts` is empty.
pub fn found_within(bank: &Matrix, labels: &[u32], counts: &[usize]) -> Result<Vec<Vec<bool>>> {
    EvalError::check_length("labels", labels.len(), bank.rows())?;
    let Some(&most) = counts.iter().max() else {
        return Err(EvalError::Empty {
            what: "numbers of neighbors",
        });
    };
    let neighbors = knn::neighbors_within(bank, most)?;
    let found = |count: &usize| {
        neighbors
            .iter()
            .zip(labels)
            .map(|(near, label)| {
                near.iter()
                    .take(*count)
                    .any(|&(row, _)| labels[row] == *label)
            })
            .collect()
    };
    Ok(counts.iter().map(found).collect())
}

fn share_found(neighbors: &[Vec<(usize, f32)>], bank_labels: &[u32], query_labels: &[u32]) -> f64 {
    let found = neighbors
        .iter()
        .zip(query_labels)
        .filter(|(neighbors, label)| {
            neighbors
                .iter()
                .any(|&(row, _)| bank_labels[row] == **label)
        });
    found.count() as f64 / query_labels.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_queries_with_a_match() {
        let angles = |angles: &[f32]| {
            Matrix::from_vec(
                angles.len(),
                2,
                angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect(),
            )
            .unwrap()
        };
        let (bank, queries) = (angles(&[0., 0.2, 1., 2.]), angles(&[0.05, 0.9, 1.9]));
        let recall_at = |k| recall(&bank, &[0, 1, 2, 3], &queries, &[1, 2, 1], k).unwrap();
        assert!((recall_at(1) - 1. / 3.).abs() < 1e-12);
        assert!((recall_at(2) - 2. / 3.).abs() < 1e-12);
        assert_eq!(recall_at(9), 1.);
        assert_eq!(recall_within(&bank, &[0, 0, 1, 1], 1).unwrap(), 0.75);
        let found = found_within(&bank, &[0, 0, 1, 1], &[1, 2]).unwrap();
        assert_eq!(found[0], [true, true, false, true]);
        for (count, found) in [1, 2].into_iter().zip(found) {
            let share = found.iter().filter(|&&found| found).count() as f64 / 4.;
            assert_eq!(share, recall_within(&bank, &[0, 0, 1, 1], count).unwrap());
        }
        assert!(found_within(&bank, &[0, 0, 1, 1], &[]).is_err());
        assert!(matches!(
            recall_within(&bank, &[0], 1),
            Err(EvalError::Length { .. })
        ));
    }
}
