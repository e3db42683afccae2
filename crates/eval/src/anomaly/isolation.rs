//! The isolation forest: anomalies are few and different, and random cuts set them apart soon.
//!
//! Liu, Ting and Zhou 2008, "Isolation Forest". A tree cuts a few hundred rows at a random place of a random column until
//! each is alone or the tree is as deep as a balanced one. A row's score is 2^(−E(h) / c(n)), where h is the depth at
//! which it ends in a tree, plus what a tree of the rows that end there with it would add, and c(n) the mean depth of an
//! unsuccessful search in a binary tree of n rows. It differs from the paper in that columns which are constant among
//! the rows of a node are never cut, as in scikit-learn.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;
use crate::sampling::{generator, permutation};

/// Euler's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

/// How to grow a forest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IsolationForest {
    /// Default 100, the paper's.
    pub trees: usize,
    /// Rows that each tree is grown on, drawn without replacement; all, where there are fewer. Default 256, the paper's.
    pub rows: usize,
    /// Default 0.
    pub seed: u64,
}

impl Default for IsolationForest {
    fn default() -> Self {
        Self {
            trees: 100,
            rows: 256,
            seed: 0,
        }
    }
}

/// A grown forest.
#[derive(Clone, Debug)]
pub struct Forest {
    trees: Vec<Vec<Node>>,
    columns: usize,
    /// c(n), by which depths are measured.
    unit: f64,
}

#[derive(Clone, Debug)]
enum Node {
    /// Rows at or below `place` in `column` go to the next node, the others to the given one.
    Cut {
        column: usize,
        place: f64,
        above: usize,
    },
    /// The depth that a row ends at.
    End(f64),
}

impl IsolationForest {
    /// Grows a forest on rows, most of which are normal. The same settings grow the same forest.
    ///
    /// # Errors
    ///
    /// If a setting is 0 or there are fewer than two rows.
    pub fn fit(&self, rows: &Matrix) -> Result<Forest> {
        EvalError::check_count("trees", self.trees)?;
        EvalError::check_count("rows per tree", self.rows)?;
        let size = self.rows.min(rows.rows());
        if size < 2 {
            return Err(EvalError::FewRows {
                found: size,
                expected: 2,
            });
        }
        let deepest = (size as f64).log2().ceil() as usize;
        let tree = |tree: usize| {
            let mut generator = generator(self.seed, tree as u64);
            let mut drawn = permutation(rows.rows(), &mut generator);
            drawn.truncate(size);
            let mut nodes = Vec::new();
            grow(&mut nodes, rows, &mut drawn, 0, deepest, &mut generator);
            nodes
        };
        Ok(Forest {
            trees: (0..self.trees).into_par_iter().map(tree).collect(),
            columns: rows.columns(),
            unit: mean_depth(size),
        })
    }
}

/// Grows the node of the given rows and all below it, the lower side first.
fn grow(
    nodes: &mut Vec<Node>,
    rows: &Matrix,
    members: &mut [usize],
    depth: usize,
    deepest: usize,
    generator: &mut Pcg64Mcg,
) {
    let cut = if depth < deepest && members.len() > 1 {
        random_cut(rows, members, generator)
    } else {
        None
    };
    let Some((column, place)) = cut else {
        nodes.push(Node::End(depth as f64 + mean_depth(members.len())));
        return;
    };
    let mut below = 0;
    for at in 0..members.len() {
        if f64::from(rows.row(members[at])[column]) <= place {
            members.swap(at, below);
            below += 1;
        }
    }
    let (lower, upper) = members.split_at_mut(below);
    let node = nodes.len();
    nodes.push(Node::Cut {
        column,
        place,
        above: 0,
    });
    grow(nodes, rows, lower, depth + 1, deepest, generator);
    let first_above = nodes.len();
    if let Node::Cut { above, .. } = &mut nodes[node] {
        *above = first_above;
    }
    grow(nodes, rows, upper, depth + 1, deepest, generator);
}

/// A random place in a random column among those that vary, with rows on both sides.
fn random_cut(rows: &Matrix, members: &[usize], generator: &mut Pcg64Mcg) -> Option<(usize, f64)> {
    let columns = rows.columns();
    let extent = |column: usize| {
        let values = members.iter().map(|&row| f64::from(rows.row(row)[column]));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    // Mostly a column drawn at random varies; only where several in a row do not are all of them looked at.
    for _ in 0..8 {
        let column = generator.random_range(0..columns);
        let (low, high) = extent(column);
        if low < high {
            return Some((column, place_between(low, high, generator)));
        }
    }
    let varying: Vec<(usize, f64, f64)> = (0..columns)
        .map(|column| (column, extent(column)))
        .filter(|(_, (low, high))| low < high)
        .map(|(column, (low, high))| (column, low, high))
        .collect();
    if varying.is_empty() {
        return None;
    }
    let (column, low, high) = varying[generator.random_range(0..varying.len())];
    Some((column, place_between(low, high, generator)))
}

/// From `low` to below `high`.
fn place_between(low: f64, high: f64, generator: &mut Pcg64Mcg) -> f64 {
    let place = low + generator.random::<f64>() * (high - low);
    if place < high { place } else { low }
}

/// c(n) = 2 H(n − 1) − 2 (n − 1) / n, with the harmonic number H(i) as ln i + Euler's constant.
fn mean_depth(rows: usize) -> f64 {
    match rows {
        0 | 1 => 0.,
        2 => 1.,
        _ => {
            let others = (rows - 1) as f64;
            2. * (others.ln() + EULER) - 2. * others / rows as f64
        }
    }
}

impl Forest {
    /// The score of each row: near 1 for what is cut off at once, about ½ where nothing stands out, below for what lies
    /// deep among others.
    ///
    /// # Errors
    ///
    /// If the width of the rows is not that of those grown on.
    pub fn scores(&self, rows: &Matrix) -> Result<Vec<f64>> {
        if rows.columns() != self.columns {
            return Err(EvalError::Columns {
                found: rows.columns(),
                expected: self.columns,
            });
        }
        let score = |row: usize| {
            let row = rows.row(row);
            let depths = self.trees.iter().map(|nodes| depth(nodes, row));
            let mean = depths.sum::<f64>() / self.trees.len() as f64;
            (-mean / self.unit).exp2()
        };
        Ok((0..rows.rows())
            .into_par_iter()
            .with_min_len(16)
            .map(score)
            .collect())
    }
}

fn depth(nodes: &[Node], row: &[f32]) -> f64 {
    let mut node = 0;
    loop {
        match nodes[node] {
            Node::End(depth) => return depth,
            Node::Cut {
                column,
                place,
                above,
            } => {
                node = if f64::from(row[column]) <= place {
                    node + 1
                } else {
                    above
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ranking::roc_auc;
    use super::*;

    #[test]
    fn mean_depths_are_the_papers() {
        assert_eq!([0, 1, 2].map(mean_depth), [0., 0., 1.]);
        // The paper's c(256) by its formula, and close to the exact 2 Σ 1/i − 2 · 255 / 256.
        let exact = 2. * (1..256).map(|i| 1. / f64::from(i)).sum::<f64>() - 2. * 255. / 256.;
        assert!((mean_depth(256) - 10.244_770_920_119).abs() < 1e-9);
        assert!((mean_depth(256) - exact).abs() < 0.005);
    }

    #[test]
    fn two_rows_are_cut_once_and_score_one_half() {
        let rows = Matrix::from_vec(2, 3, vec![1., 7., 7., 2., 7., 7.]).unwrap();
        let forest = IsolationForest::default().fit(&rows).unwrap();
        assert!(forest.trees.iter().all(|tree| tree.len() == 3));
        assert_eq!(forest.scores(&rows).unwrap(), [0.5, 0.5]);
        for tree in &forest.trees {
            let Node::Cut { column, place, .. } = tree[0] else {
                panic!("the first column can be cut")
            };
            assert!(column == 0 && (1. ..2.).contains(&place));
        }
        // What can't be cut ends where it begins.
        let equal = Matrix::from_vec(4, 1, vec![3.; 4]).unwrap();
        let forest = IsolationForest::default().fit(&equal).unwrap();
        let scores = forest.scores(&equal).unwrap();
        assert!(scores.iter().all(|score| (score - 0.5).abs() < 1e-12));
    }

    #[test]
    fn three_rows_have_the_expected_depth() {
        // At 0, 1 and 10: the far one is cut off first in nine of ten trees, depth 1, else 2 with one beside it.
        let rows = Matrix::from_vec(3, 1, vec![0., 1., 10.]).unwrap();
        let settings = IsolationForest {
            trees: 20_000,
            ..IsolationForest::default()
        };
        let scores = settings.fit(&rows).unwrap().scores(&rows).unwrap();
        let depth = |score: f64| -score.log2() * mean_depth(3);
        // The first is alone at once in a tenth, else cut from the second at 2; the second always ends at 2.
        for (score, expected) in scores.into_iter().zip([1.9, 2., 1.1]) {
            assert!((depth(score) - expected).abs() < 0.02, "{}", depth(score));
        }
    }

    #[test]
    fn strangers_stand_out_and_threads_and_calls_change_nothing() {
        let labels: Vec<bool> = (0..500).map(|row| row % 50 == 7).collect();
        let data = labels.iter().enumerate().flat_map(|(row, &odd)| {
            let angle = row as f32 * 2.399;
            let radius = if odd {
                4.
            } else {
                (row as f32 * 0.618).fract()
            };
            [radius * angle.cos(), radius * angle.sin(), 1.]
        });
        let rows = Matrix::from_vec(500, 3, data.collect()).unwrap();
        let scores = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let settings = IsolationForest {
                seed,
                ..IsolationForest::default()
            };
            pool.install(|| settings.fit(&rows).unwrap().scores(&rows).unwrap())
        };
        let found = scores(1, 0);
        assert!(roc_auc(&found, &labels).unwrap() > 0.99);
        assert!(found.iter().all(|score| (0. ..1.).contains(score)));
        assert!(found == scores(3, 0) && found != scores(1, 1));
    }

    #[test]
    fn wrong_input_is_refused() {
        let rows = Matrix::from_vec(2, 2, vec![0., 1., 2., 3.]).unwrap();
        let settings = IsolationForest::default();
        assert!(settings.fit(&rows.select(&[0]).unwrap()).is_err());
        assert!(
            IsolationForest {
                trees: 0,
                ..settings
            }
            .fit(&rows)
            .is_err()
        );
        assert!(
            IsolationForest {
                rows: 0,
                ..settings
            }
            .fit(&rows)
            .is_err()
        );
        assert!(
            IsolationForest {
                rows: 1,
                ..settings
            }
            .fit(&rows)
            .is_err()
        );
        let narrow = Matrix::from_vec(1, 1, vec![0.]).unwrap();
        assert!(settings.fit(&rows).unwrap().scores(&narrow).is_err());
    }
}
