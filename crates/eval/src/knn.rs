//! Exact nearest neighbors by cosine, and the classifier that votes among them.
//!
//! The weighted vote is that of Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance
//! Discrimination" (arXiv:1805.01978): neighbor *i* of similarity *s* votes for its class with weight exp(*s*/*t*).
//! The usual settings are 20 neighbors (200 on ImageNet) and *t* = 0.1 (0.07 there).

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::labels::Encoded;
use crate::matrix::Matrix;
use crate::product::{View, multiply_into};
use crate::sparse::SparseRows;

/// Queries handled by one task.
const QUERIES: usize = 128;
/// Bank rows scored at once: with [`QUERIES`] queries their similarities take 1 MiB, which a core's cache holds.
const BANK: usize = 2048;
/// Similarities compared together with the worst neighbor kept so far.
const GROUP: usize = 32;

/// The `k` rows of the bank most similar to each query: pairs of row and cosine, the most similar first and the
/// lower row first among equals. `k` is clamped to the rows of the bank.
///
/// # Shapes
///
/// Bank `[N, D]`, queries `[M, D]`: M lists of min(k, N) pairs.
///
/// # Errors
///
/// If the columns differ or `k` is 0.
pub fn neighbors(bank: &Matrix, queries: &Matrix, k: usize) -> Result<Vec<Vec<(usize, f32)>>> {
    bank.check_columns(queries)?;
    EvalError::check_count("number of neighbors", k)?;
    if let Some(found) = nearest_sparse(bank, queries, k, false) {
        return Ok(found);
    }
    Ok(nearest(
        &bank.normalized_rows(),
        &queries.normalized_rows(),
        k,
        false,
    ))
}

/// The `k` other rows most similar to each row of the bank, as in [`neighbors`]; no row is its own neighbor.
///
/// # Errors
///
/// If the bank has a single row or `k` is 0.
pub fn neighbors_within(bank: &Matrix, k: usize) -> Result<Vec<Vec<(usize, f32)>>> {
    EvalError::check_count("number of neighbors", k)?;
    if bank.rows() < 2 {
        return Err(EvalError::FewRows {
            found: bank.rows(),
            expected: 2,
        });
    }
    if let Some(found) = nearest_sparse(bank, bank, k, true) {
        return Ok(found);
    }
    let bank = bank.normalized_rows();
    Ok(nearest(&bank, &bank, k, true))
}

/// The class of each query by the weighted vote of its `k` nearest neighbors; the lowest class wins a tie.
///
/// # Errors
///
/// If the columns differ, the labels are not one per row of the bank, `k` is 0 or the temperature not positive.
pub fn classify(
    bank: &Matrix,
    bank_labels: &[u32],
    queries: &Matrix,
    k: usize,
    temperature: f64,
) -> Result<Vec<u32>> {
    check_vote(bank, bank_labels, temperature)?;
    vote(&neighbors(bank, queries, k)?, bank_labels, temperature)
}

/// [`classify`] for several numbers of neighbors at the price of the largest: for each of `counts` the class of each
/// query.
///
/// # Errors
///
/// As [`classify`], and if `counts` is empty.
pub fn classify_each(
    bank: &Matrix,
    bank_labels: &[u32],
    queries: &Matrix,
    counts: &[usize],
    temperature: f64,
) -> Result<Vec<Vec<u32>>> {
    check_vote(bank, bank_labels, temperature)?;
    let Some(&most) = counts.iter().max() else {
        return Err(EvalError::Empty {
            what: "numbers of neighbors",
        });
    };
    for &count in counts {
        EvalError::check_count("number of neighbors", count)?;
    }
    let found = neighbors(bank, queries, most)?;
    counts
        .iter()
        .map(|&count| {
            let nearest: Vec<&[(usize, f32)]> = found
                .iter()
                .map(|neighbors| &neighbors[..count.min(neighbors.len())])
                .collect();
            vote(&nearest, bank_labels, temperature)
        })
        .collect()
}

/// The class of each row of the bank by the vote of its `k` nearest *other* rows: leave-one-out, for when there is
/// no test part.
///
/// # Errors
///
/// As [`classify`], and if the bank has a single row.
pub fn classify_within(
    bank: &Matrix,
    bank_labels: &[u32],
    k: usize,
    temperature: f64,
) -> Result<Vec<u32>> {
    check_vote(bank, bank_labels, temperature)?;
    vote(&neighbors_within(bank, k)?, bank_labels, temperature)
}

fn check_vote(bank: &Matrix, bank_labels: &[u32], temperature: f64) -> Result<()> {
    EvalError::check_length("bank labels", bank_labels.len(), bank.rows())?;
    EvalError::check_positive("temperature", temperature)
}

fn vote<N: AsRef<[(usize, f32)]> + Sync>(
    neighbors: &[N],
    bank_labels: &[u32],
    temperature: f64,
) -> Result<Vec<u32>> {
    let Encoded { classes, positions } = Encoded::new(bank_labels)?;
    let winners = neighbors.par_iter().map_init(
        || vec![0.; classes.len()],
        |votes, neighbors| {
            let neighbors = neighbors.as_ref();
            votes.fill(0.);
            // Subtracting the best similarity scales all votes alike and keeps small temperatures finite.
            let best = neighbors
                .first()
                .map_or(0., |&(_, similarity)| f64::from(similarity));
            for &(row, similarity) in neighbors {
                votes[positions[row]] += ((f64::from(similarity) - best) / temperature).exp();
            }
            let mut winner = 0;
            for class in 1..votes.len() {
                if votes[class] > votes[winner] {
                    winner = class;
                }
            }
            classes[winner]
        },
    );
    Ok(winners.collect())
}

/// Searches normalized rows: block by block, so that similarities take bounded memory whatever the shapes.
fn nearest(
    bank: &Matrix,
    queries: &Matrix,
    k: usize,
    leave_self_out: bool,
) -> Vec<Vec<(usize, f32)>> {
    let width = bank.columns();
    let k = k.min(bank.rows() - usize::from(leave_self_out));
    let chunks = queries.data().par_chunks(QUERIES * width).enumerate();
    let found: Vec<Vec<Vec<(usize, f32)>>> = chunks
        .map(|(chunk, queries)| {
            let mut best = vec![Vec::with_capacity(k + 1); queries.len() / width];
            let mut similarities = vec![0.; best.len() * BANK.min(bank.rows())];
            for (block, rows) in bank.data().chunks(BANK * width).enumerate() {
                let length = rows.len() / width;
                let similarities = &mut similarities[..best.len() * length];
                multiply_into(
                    similarities,
                    View::new(queries, width),
                    View::new(rows, width).transposed(),
                );
                for (query, (best, similarities)) in best
                    .iter_mut()
                    .zip(similarities.chunks_exact_mut(length))
                    .enumerate()
                {
                    let itself = (chunk * QUERIES + query).checked_sub(block * BANK);
                    if let Some(itself) = itself.filter(|&itself| leave_self_out && itself < length)
                    {
                        similarities[itself] = f32::NEG_INFINITY;
                    }
                    keep_best(best, similarities, block * BANK, k);
                }
            }
            best
        })
        .collect();
    found.into_iter().flatten().collect()
}

/// Searches rows that are mostly 0 and of any length, where each query meets only the rows that share a column with it; `None`
/// where bank or queries are not so.
fn nearest_sparse(
    bank: &Matrix,
    queries: &Matrix,
    k: usize,
    leave_self_out: bool,
) -> Option<Vec<Vec<(usize, f32)>>> {
    let sparse = |rows: &Matrix| SparseRows::of(rows.data(), rows.columns());
    let queries = sparse(queries)?.normalized();
    let having = sparse(bank)?.normalized().transposed();
    let k = k.min(bank.rows() - usize::from(leave_self_out));
    let found = (0..queries.rows()).into_par_iter().map_init(
        || vec![0f32; bank.rows()],
        |similarities, query| {
            similarities.fill(0.);
            for (column, value) in queries.row(query) {
                for (row, other) in having.row(column) {
                    similarities[row] += value * other;
                }
            }
            if leave_self_out {
                similarities[query] = f32::NEG_INFINITY;
            }
            let mut best = Vec::with_capacity(k + 1);
            keep_best(&mut best, similarities, 0, k);
            best
        },
    );
    Some(found.collect())
}

/// Merges a block of similarities into the sorted list of the `k` best so far.
fn keep_best(best: &mut Vec<(usize, f32)>, similarities: &[f32], first_row: usize, k: usize) {
    let worst_of = |best: &Vec<(usize, f32)>| {
        if best.len() < k {
            f32::NEG_INFINITY
        } else {
            best[k - 1].1
        }
    };
    let mut worst = worst_of(best);
    for (group, values) in similarities.chunks(GROUP).enumerate() {
        // Nearly all groups hold nothing better; this test without branches is the whole cost of those.
        if !values
            .iter()
            .fold(false, |any, &value| any | (value > worst))
        {
            continue;
        }
        for (offset, &value) in values.iter().enumerate() {
            if value > worst {
                // Rows come in ascending order, so that after all equals is after all lower rows.
                let position = best.partition_point(|&(_, kept)| kept >= value);
                best.insert(position, (first_row + group * GROUP + offset, value));
                best.truncate(k);
                worst = worst_of(best);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(rows: usize, columns: usize, step: f32) -> Matrix {
        Matrix::from_vec(
            rows,
            columns,
            (0..rows * columns)
                .map(|i| (i as f32 * step).sin())
                .collect(),
        )
        .unwrap()
    }

    /// All similarities by plain loops, fully sorted.
    fn slow(
        bank: &Matrix,
        queries: &Matrix,
        k: usize,
        leave_self_out: bool,
    ) -> Vec<Vec<(usize, f64)>> {
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| {
                a.iter()
                    .zip(b)
                    .map(|(&a, &b)| f64::from(a) * f64::from(b))
                    .sum::<f64>()
            };
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        (0..queries.rows())
            .map(|query| {
                let mut all: Vec<(usize, f64)> = (0..bank.rows())
                    .filter(|&row| !(leave_self_out && row == query))
                    .map(|row| (row, cosine(bank.row(row), queries.row(query))))
                    .collect();
                all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                all.truncate(k);
                all
            })
            .collect()
    }

    #[test]
    fn neighbors_are_those_of_the_plain_loop() {
        let (bank, queries) = (wave(5000, 6, 0.731), wave(300, 6, 0.417));
        for (fast, slow) in [
            (
                neighbors(&bank, &queries, 9).unwrap(),
                slow(&bank, &queries, 9, false),
            ),
            (
                neighbors_within(&queries, 4).unwrap(),
                slow(&queries, &queries, 4, true),
            ),
        ] {
            assert_eq!(fast.len(), slow.len());
            for (fast, slow) in fast.iter().zip(&slow) {
                assert_eq!(fast.len(), slow.len());
                assert!(
                    fast.iter()
                        .zip(slow)
                        .all(|(a, b)| (f64::from(a.1) - b.1).abs() < 1e-6)
                );
            }
        }
    }

    #[test]
    fn equal_similarities_keep_the_lower_rows_across_blocks() {
        let bank = Matrix::from_vec(BANK + 100, 1, vec![1.; BANK + 100]).unwrap();
        let found = neighbors(&bank, &bank.select(&[7]).unwrap(), 3).unwrap();
        assert_eq!(found, [[(0, 1.), (1, 1.), (2, 1.)]]);
        assert_eq!(neighbors_within(&bank, 2).unwrap()[0], [(1, 1.), (2, 1.)]);
        assert_eq!(
            neighbors_within(&bank, 2).unwrap()[BANK + 3],
            [(0, 1.), (1, 1.)]
        );
    }

    /// Rows of four ones and minus ones among 600 columns, so that cosines are quarters to the bit and many are equal; each
    /// ninth row is empty.
    fn quarters(rows: usize) -> Matrix {
        let mut data = vec![0.; rows * 600];
        for (row, values) in data.chunks_exact_mut(600).enumerate() {
            for part in 0..4 {
                let column = 150 * part + row * (part + 3) % 7;
                values[column] = match (row % 9, (row + part) % 5) {
                    (0, _) => 0.,
                    (_, 0) => -1.,
                    _ => 1.,
                };
            }
        }
        Matrix::from_vec(rows, 600, data).unwrap()
    }

    #[test]
    fn neighbors_of_sparse_rows_are_those_of_dense_ones_in_the_same_order() {
        let (bank, queries) = (quarters(BANK + 500), quarters(200));
        let [dense_bank, dense_queries] = [&bank, &queries].map(Matrix::normalized_rows);
        let expected = nearest(&dense_bank, &dense_queries, 9, false);
        assert_eq!(nearest_sparse(&bank, &queries, 9, false), Some(expected));
        let expected = nearest(&dense_queries, &dense_queries, 150, true);
        assert_eq!(
            nearest_sparse(&queries, &queries, 150, true),
            Some(expected)
        );
        // What is narrow or full is searched as it was.
        let [narrow, full] = [wave(4, 3, 1.1), wave(4, 600, 1.1)];
        assert_eq!(nearest_sparse(&narrow, &narrow, 2, false), None);
        assert_eq!(nearest_sparse(&full, &queries, 2, false), None);
    }

    #[test]
    fn k_is_clamped_and_no_row_is_its_own_neighbor() {
        let bank = wave(4, 3, 1.1);
        assert!(
            neighbors(&bank, &bank, 100)
                .unwrap()
                .iter()
                .all(|found| found.len() == 4)
        );
        for (row, found) in neighbors_within(&bank, 100).unwrap().iter().enumerate() {
            assert_eq!(found.len(), 3);
            assert!(
                found
                    .iter()
                    .all(|&(other, similarity)| other != row && similarity.is_finite())
            );
        }
    }

    #[test]
    fn votes_are_weighted_by_the_temperature() {
        // Cosines 1, .8, .8: two votes of weight e^8 against one of e^10 lose at t = .1, but win at t = 1.
        let bank = Matrix::from_vec(3, 2, vec![1., 0., 0.8, 0.6, 0.8, -0.6]).unwrap();
        let query = Matrix::from_vec(1, 2, vec![2., 0.]).unwrap();
        assert_eq!(classify(&bank, &[7, 3, 3], &query, 3, 0.1).unwrap(), [7]);
        assert_eq!(classify(&bank, &[7, 3, 3], &query, 3, 1.).unwrap(), [3]);
        assert_eq!(classify(&bank, &[7, 3, 3], &query, 3, 1e-6).unwrap(), [7]);
    }

    #[test]
    fn the_lowest_class_wins_a_tie() {
        let bank = Matrix::from_vec(2, 1, vec![1., 1.]).unwrap();
        assert_eq!(
            classify(&bank, &[u32::MAX, 5], &bank, 2, 0.1).unwrap(),
            [5, 5]
        );
        assert_eq!(classify_within(&bank, &[9, 5], 2, 0.1).unwrap(), [5, 9]);
    }

    #[test]
    fn wrong_input_is_refused() {
        let (bank, narrow) = (wave(3, 2, 1.), wave(3, 1, 1.));
        assert_eq!(
            neighbors(&bank, &narrow, 1),
            Err(EvalError::Columns {
                found: 1,
                expected: 2
            })
        );
        assert!(neighbors(&bank, &bank, 0).is_err());
        assert!(neighbors_within(&bank.select(&[0]).unwrap(), 1).is_err());
        assert!(matches!(
            classify(&bank, &[1], &bank, 1, 0.1),
            Err(EvalError::Length { .. })
        ));
        assert!(classify(&bank, &[1, 2, 3], &bank, 1, 0.).is_err());
        assert!(classify(&bank, &[1, 2, 3], &bank, 1, f64::NAN).is_err());
    }

    #[test]
    fn several_numbers_of_neighbors_at_once_vote_as_each_alone() {
        let values: Vec<f32> = (0..240).map(|i| (i as f32 * 1.7).sin()).collect();
        let bank = Matrix::from_vec(60, 4, values).unwrap();
        let queries = Matrix::from_vec(20, 4, bank.data()[7..87].to_vec()).unwrap();
        let labels: Vec<u32> = (0..60).map(|row| row % 3).collect();
        let counts = [1, 5, 20, 200];
        let each = classify_each(&bank, &labels, &queries, &counts, 0.1).unwrap();
        for (count, votes) in counts.into_iter().zip(each) {
            assert_eq!(
                votes,
                classify(&bank, &labels, &queries, count, 0.1).unwrap()
            );
        }
        assert!(classify_each(&bank, &labels, &queries, &[], 0.1).is_err());
        assert!(classify_each(&bank, &labels, &queries, &[0, 1], 0.1).is_err());
    }
}
