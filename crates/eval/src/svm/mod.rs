//! Support vector machines with the Gaussian kernel (Cortes and Vapnik 1995), as scikit-learn's `SVC` fits them.
//!
//! A machine for each pair of classes minimizes ½ ‖w‖² + C Σ max(0, 1 − y f(x)) in the feature space of the kernel
//! exp(−γ |a − b|²); the classes then vote, one vote a pair, and the lowest class wins a tie. [`Svm`] is the classifier,
//! [`svm_probe`] the protocol around it by which TS2Vec and others after it are compared.

mod kernel;
mod protocol;
mod solver;

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::euclidean::Points;
use crate::labels::Encoded;
use crate::matrix::Matrix;
use kernel::{KEPT, Kernel, scale, similarity};
pub use protocol::{SvmProbe, SvmResult, svm_probe};
use solver::{Limits, Solver};

/// Rows whose votes are counted by one task.
const CHUNK: usize = 64;
/// What an infinite C amounts to: no item of a problem that can be separated comes near it, unless two items of
/// different classes are all but equal; and where C is larger, rounding is in the way.
const LARGEST: f64 = 1e8;

/// How to fit support vector machines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Svm {
    /// The weight of the violations of the margin; infinite, the margin is hard. Default 1.
    pub c: f64,
    /// Of the kernel exp(−γ |a − b|²). Default: 1 / (columns x variance of all entries), scikit-learn's `scale`.
    pub gamma: Option<f64>,
    /// A machine has converged once no optimality condition is violated by more. Default 1e-3, as in LIBSVM.
    pub tolerance: f64,
    /// Of each machine. Default 1,000,000.
    pub max_iterations: usize,
}

impl Default for Svm {
    fn default() -> Self {
        Self {
            c: 1.,
            gamma: None,
            tolerance: 1e-3,
            max_iterations: 1_000_000,
        }
    }
}

/// Fitted machines, one for each pair of classes.
#[derive(Clone, Debug)]
pub struct SvmModel {
    /// The classes told apart, ascending.
    pub classes: Vec<u32>,
    /// The γ of the kernel.
    pub gamma: f64,
    /// Whether all machines converged before their iterations ran out.
    pub converged: bool,
    /// Steps taken by all machines together.
    pub iterations: usize,
    /// The training rows that carry weight in some machine, ascending.
    pub support: Vec<usize>,
    points: Points,
    origin: Vec<f64>,
    machines: Vec<Machine>,
}

/// One pair of classes: f(x) = Σ coefficient · k(x, support) + bias, above 0 for the first.
#[derive(Clone, Debug)]
struct Machine {
    classes: [usize; 2],
    /// Positions among the supports, and coefficients.
    coefficients: Vec<(usize, f64)>,
    bias: f64,
}

impl Svm {
    /// Fits a machine to each pair of classes.
    ///
    /// Takes memory for the kernel of all pairs of rows up to 512 MiB (11,585 rows); with more rows it is slow.
    ///
    /// # Errors
    ///
    /// If the labels are not one per row or all of one class, or a setting is not positive.
    ///
    /// ```
    /// # use autodidact_eval::{Matrix, svm::Svm};
    /// let corners = Matrix::from_vec(4, 2, vec![0., 0., 1., 1., 0., 1., 1., 0.])?;
    /// let model = Svm { c: 100., ..Svm::default() }.fit(&corners, &[5, 5, 7, 7])?;
    /// assert_eq!(model.predict(&corners)?, [5, 5, 7, 7]);
    /// # Ok::<(), autodidact_eval::EvalError>(())
    /// ```
    pub fn fit(&self, features: &Matrix, labels: &[u32]) -> Result<SvmModel> {
        let mut models = self.fit_each(features, labels, &[self.c])?;
        Ok(models.remove(0))
    }

    /// Fits with each of several C, at the price of little more than the dearest: the kernel is computed once, and each
    /// machine begins where that of the next smaller C ended. `self.c` doesn't count.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit), and if there is no C.
    pub fn fit_each(
        &self,
        features: &Matrix,
        labels: &[u32],
        candidates: &[f64],
    ) -> Result<Vec<SvmModel>> {
        self.fit_within(features, labels, candidates, KEPT)
    }

    /// As [`fit_each`](Self::fit_each), holding at most `kept` entries of the kernel.
    fn fit_within(
        &self,
        features: &Matrix,
        labels: &[u32],
        candidates: &[f64],
        kept: usize,
    ) -> Result<Vec<SvmModel>> {
        EvalError::check_length("labels", labels.len(), features.rows())?;
        self.check(candidates)?;
        let encoded = Encoded::new(labels)?;
        if let [class] = encoded.classes[..] {
            return Err(EvalError::OneClass { class });
        }
        // Class by class, so that the kernel of a pair is made of blocks.
        let order: Vec<usize> = encoded.members().concat();
        let blocks = blocks(&encoded);
        let gamma = self.gamma.unwrap_or_else(|| scale(features));
        let (sorted, origin) = (features.select(&order)?, features.column_means());
        let kernel = Kernel::new(Points::new(&sorted, &origin), gamma, kept);

        let count = blocks.len();
        let pairs: Vec<[usize; 2]> = (0..count)
            .flat_map(|first| (first + 1..count).map(move |second| [first, second]))
            .collect();
        let mut ascending: Vec<usize> = (0..candidates.len()).collect();
        ascending.sort_by(|&a, &b| candidates[a].total_cmp(&candidates[b]));
        let limits = Limits {
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
        };
        let fit_pair = |&[first, second]: &[usize; 2]| -> Vec<(Machine, bool, usize)> {
            let mut solver = Solver::new(&kernel, blocks[first].clone(), blocks[second].clone());
            let fit = |&candidate: &usize| {
                let solution = solver.solve(candidates[candidate].min(LARGEST), limits);
                let machine = Machine {
                    classes: [first, second],
                    coefficients: solver.supports().collect(),
                    bias: solution.bias,
                };
                (machine, solution.converged, solution.iterations)
            };
            ascending.iter().map(fit).collect()
        };
        let fitted: Vec<Vec<_>> = pairs.par_iter().map(fit_pair).collect();

        let mut by_pair: Vec<_> = fitted.into_iter().map(Vec::into_iter).collect();
        let mut models: Vec<Option<SvmModel>> = candidates.iter().map(|_| None).collect();
        for &candidate in &ascending {
            let (mut machines, mut converged, mut iterations) = (Vec::new(), true, 0);
            for (machine, machine_converged, steps) in by_pair.iter_mut().filter_map(Iterator::next)
            {
                machines.push(machine);
                converged &= machine_converged;
                iterations += steps;
            }
            let (support, points) = keep_support(&mut machines, &order, features, &origin)?;
            models[candidate] = Some(SvmModel {
                classes: encoded.classes.clone(),
                gamma,
                converged,
                iterations,
                support,
                points,
                origin: origin.clone(),
                machines,
            });
        }
        Ok(models.into_iter().flatten().collect())
    }

    fn check(&self, candidates: &[f64]) -> Result<()> {
        if candidates.is_empty() {
            return Err(EvalError::Empty {
                what: "candidates for c",
            });
        }
        for &c in candidates {
            if c != f64::INFINITY {
                EvalError::check_positive("c", c)?;
            }
        }
        if let Some(gamma) = self.gamma {
            EvalError::check_positive("gamma", gamma)?;
        }
        EvalError::check_positive("tolerance", self.tolerance)?;
        EvalError::check_count("max_iterations", self.max_iterations)
    }
}

/// Where each class lies once the items are ordered by class.
fn blocks(encoded: &Encoded) -> Vec<Range<usize>> {
    let mut start = 0;
    let block = |members: Vec<usize>| {
        let block = start..start + members.len();
        start = block.end;
        block
    };
    encoded.members().into_iter().map(block).collect()
}

/// The training rows that some machine leans on, as indices and points; the machines then name their positions there.
fn keep_support(
    machines: &mut [Machine],
    order: &[usize],
    features: &Matrix,
    origin: &[f64],
) -> Result<(Vec<usize>, Points)> {
    let coefficients = machines.iter().flat_map(|machine| &machine.coefficients);
    let mut support: Vec<usize> = coefficients.map(|&(row, _)| order[row]).collect();
    support.sort_unstable();
    support.dedup();
    for machine in machines {
        for (row, _) in &mut machine.coefficients {
            *row = support.partition_point(|&kept| kept < order[*row]);
        }
    }
    let points = Points::new(&features.select(&support)?, origin);
    Ok((support, points))
}

impl SvmModel {
    /// The class of each row, by the votes of the pairs; the lowest class wins a tie.
    ///
    /// # Errors
    ///
    /// If the width of the rows is not that of the features fitted to.
    pub fn predict(&self, features: &Matrix) -> Result<Vec<u32>> {
        let width = self.machines.len();
        let vote = |decisions: &[f64]| {
            let mut votes = vec![0_u32; self.classes.len()];
            for (machine, &decision) in self.machines.iter().zip(decisions) {
                votes[machine.classes[usize::from(decision <= 0.)]] += 1;
            }
            let mut winner = 0;
            for class in 1..votes.len() {
                if votes[class] > votes[winner] {
                    winner = class;
                }
            }
            self.classes[winner]
        };
        Ok(self.values(features)?.chunks(width).map(vote).collect())
    }

    /// What the machines say, `[N, C (C − 1) / 2]`: above 0 for the lower class of a pair, the pairs in the order 0 1,
    /// 0 2, up to 1 2 and so on of positions in `classes`.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict), and if a value is too large for `f32`.
    pub fn decisions(&self, features: &Matrix) -> Result<Matrix> {
        let values = self.values(features)?;
        let values = values.into_iter().map(|value| value as f32).collect();
        Matrix::from_vec(features.rows(), self.machines.len(), values).map_err(|_| {
            EvalError::Overflow {
                what: "the decisions",
            }
        })
    }

    fn values(&self, features: &Matrix) -> Result<Vec<f64>> {
        if features.columns() != self.origin.len() {
            return Err(EvalError::Columns {
                found: features.columns(),
                expected: self.origin.len(),
            });
        }
        let points = Points::new(features, &self.origin);
        let (width, count) = (self.machines.len(), self.points.rows());
        let mut values = vec![0.; features.rows() * width];
        values
            .par_chunks_mut(CHUNK * width)
            .enumerate()
            .for_each(|(chunk, out)| {
                let (first, rows) = (chunk * CHUNK, out.len() / width);
                let mut kernel = vec![0.; rows * count];
                points.squared_distances(first..first + rows, &self.points, &mut kernel);
                for entry in &mut kernel {
                    *entry = similarity(self.gamma, *entry);
                }
                for (out, kernel) in out.chunks_exact_mut(width).zip(kernel.chunks_exact(count)) {
                    for (value, machine) in out.iter_mut().zip(&self.machines) {
                        let terms = machine.coefficients.iter();
                        *value = machine.bias + terms.map(|&(row, c)| c * kernel[row]).sum::<f64>();
                    }
                }
            });
        Ok(values)
    }
}

#[cfg(test)]
mod tests;
