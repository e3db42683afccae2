//! Sequential minimal optimization of one two-class machine.
//!
//! In signed coefficients β = y α the problem is: maximize y·β − ½ βᵀ K β where Σ β = 0, and β of an item lies between 0
//! and C for the first class, between −C and 0 for the second. A step moves two coefficients by the same amount in
//! opposite directions. The pair is chosen as in Fan, Chen and Lin 2005, "Working Set Selection Using Second Order
//! Information for Training Support Vector Machines" (JMLR 6), which LIBSVM uses: the item that most wants to rise, and
//! with it the one that gains most.

use std::ops::Range;

use super::kernel::Kernel;

/// The least curvature, as in LIBSVM: two equal items have none.
const CURVATURE: f64 = 1e-12;

/// Where a solution is given up or good enough.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Of the largest violation of the optimality conditions.
    pub(super) tolerance: f64,
    pub(super) max_iterations: usize,
}

/// A two-class machine on its way to the optimum.
pub(super) struct Solver<'a> {
    kernel: &'a Kernel,
    /// The rows of the kernel of the two classes.
    classes: [Range<usize>; 2],
    /// β, those of the first class first.
    coefficients: Vec<f64>,
    /// y − K β: how far below its target each item is, less the bias.
    shortfalls: Vec<f64>,
}

/// What is known at the end.
pub(super) struct Solution {
    pub(super) bias: f64,
    pub(super) converged: bool,
    pub(super) iterations: usize,
}

impl<'a> Solver<'a> {
    pub(super) fn new(kernel: &'a Kernel, first: Range<usize>, second: Range<usize>) -> Self {
        let mut shortfalls = vec![1.; first.len()];
        shortfalls.resize(first.len() + second.len(), -1.);
        Self {
            kernel,
            coefficients: vec![0.; shortfalls.len()],
            classes: [first, second],
            shortfalls,
        }
    }

    /// The rows of the kernel with a coefficient that is not 0, and those.
    pub(super) fn supports(&self) -> impl Iterator<Item = (usize, f64)> {
        let rows = self.classes.iter().cloned().flatten();
        rows.zip(self.coefficients.iter().copied())
            .filter(|&(_, coefficient)| coefficient != 0.)
    }

    /// Goes on from where it is, the origin or the solution for a smaller `c`, to the solution for `c`.
    pub(super) fn solve(&mut self, c: f64, limits: Limits) -> Solution {
        let mut iterations = 0;
        loop {
            let (rising, highest) = self.rising(c);
            let row = self.kernel.row(self.row_of(rising));
            let (falling, lowest) = self.falling(c, highest, &row);
            let partner = falling.filter(|_| highest - lowest >= limits.tolerance);
            let Some(falling) = partner.filter(|_| iterations < limits.max_iterations) else {
                return Solution {
                    bias: self.bias(c, highest, lowest),
                    converged: partner.is_none(),
                    iterations,
                };
            };
            let other = self.kernel.row(self.row_of(falling));
            self.step(c, [rising, falling], [&row, &other]);
            iterations += 1;
        }
    }

    fn first(&self) -> usize {
        self.classes[0].len()
    }

    fn row_of(&self, item: usize) -> usize {
        match item.checked_sub(self.first()) {
            None => self.classes[0].start + item,
            Some(item) => self.classes[1].start + item,
        }
    }

    /// The lowest and highest coefficient of an item.
    fn bounds(&self, item: usize, c: f64) -> (f64, f64) {
        if item < self.first() {
            (0., c)
        } else {
            (-c, 0.)
        }
    }

    /// The item furthest below its target among those whose coefficient may rise.
    fn rising(&self, c: f64) -> (usize, f64) {
        let mut best = (0, f64::NEG_INFINITY);
        for (item, &coefficient) in self.coefficients.iter().enumerate() {
            let shortfall = self.shortfalls[item];
            if shortfall > best.1 && coefficient < self.bounds(item, c).1 {
                best = (item, shortfall);
            }
        }
        best
    }

    /// Among the items whose coefficient may fall, the one that gains most together with the rising one, whose row of
    /// the kernel is given; and the lowest shortfall.
    fn falling(&self, c: f64, highest: f64, row: &[f32]) -> (Option<usize>, f64) {
        let (mut best, mut gain, mut lowest) = (None, f64::NEG_INFINITY, f64::INFINITY);
        let mut item = 0;
        for class in &self.classes {
            for &similarity in &row[class.clone()] {
                if self.coefficients[item] > self.bounds(item, c).0 {
                    let shortfall = self.shortfalls[item];
                    lowest = lowest.min(shortfall);
                    let gap = highest - shortfall;
                    let gains = gap * gap / curvature(similarity);
                    if gap > 0. && gains > gain {
                        (best, gain) = (Some(item), gains);
                    }
                }
                item += 1;
            }
        }
        (best, lowest)
    }

    fn step(&mut self, c: f64, [rising, falling]: [usize; 2], [row, other]: [&[f32]; 2]) {
        let curvature = curvature(row[self.row_of(falling)]);
        let wanted = (self.shortfalls[rising] - self.shortfalls[falling]) / curvature;
        let (upper, lower) = (self.bounds(rising, c).1, self.bounds(falling, c).0);
        let (up, down) = (
            upper - self.coefficients[rising],
            self.coefficients[falling] - lower,
        );
        let step = wanted.min(up).min(down);
        // What meets a bound is put on it, so that rounding leaves nothing almost there.
        self.coefficients[rising] = if step == up {
            upper
        } else {
            self.coefficients[rising] + step
        };
        self.coefficients[falling] = if step == down {
            lower
        } else {
            self.coefficients[falling] - step
        };
        let mut shortfalls = self.shortfalls.iter_mut();
        for class in &self.classes {
            let pairs = row[class.clone()].iter().zip(&other[class.clone()]);
            for ((a, b), shortfall) in pairs.zip(&mut shortfalls) {
                *shortfall -= step * (f64::from(*a) - f64::from(*b));
            }
        }
    }

    /// The mean shortfall of the items strictly between their bounds, which is the same for all at the optimum; without
    /// any the middle of what is possible.
    fn bias(&self, c: f64, highest: f64, lowest: f64) -> f64 {
        let (mut sum, mut count) = (0., 0.);
        for (item, &coefficient) in self.coefficients.iter().enumerate() {
            let (lower, upper) = self.bounds(item, c);
            if lower < coefficient && coefficient < upper {
                sum += self.shortfalls[item];
                count += 1.;
            }
        }
        if count > 0. {
            sum / count
        } else {
            0.5 * (highest + lowest)
        }
    }
}

/// |φ(a) − φ(b)|² of two items of the given similarity; each has the similarity 1 with itself.
fn curvature(similarity: f32) -> f64 {
    (2. - 2. * f64::from(similarity)).max(CURVATURE)
}

#[cfg(test)]
mod tests {
    use super::super::kernel::KEPT;
    use super::*;
    use crate::euclidean::Points;
    use crate::matrix::Matrix;

    const LIMITS: Limits = Limits {
        tolerance: 1e-6,
        max_iterations: 100_000,
    };

    fn kernel(columns: usize, data: Vec<f32>, gamma: f64) -> Kernel {
        let rows = Matrix::from_vec(data.len() / columns, columns, data).unwrap();
        Kernel::new(Points::new(&rows, &vec![0.; columns]), gamma, KEPT)
    }

    #[test]
    fn two_items_have_their_closed_form() {
        // With similarity k, 2β − β²(1 − k) is largest at 1 / (1 − k), within C.
        let k = f64::from((-0.5_f64 * 4.).exp() as f32);
        let kernel = kernel(1, vec![0., 2.], 0.5);
        for (c, expected) in [(0.5, 0.5), (100., 1. / (1. - k))] {
            let mut solver = Solver::new(&kernel, 0..1, 1..2);
            let solution = solver.solve(c, LIMITS);
            let found: Vec<_> = solver.supports().collect();
            assert_eq!((found[0].0, found[1].0), (0, 1));
            assert!((found[0].1 - expected).abs() < 1e-9 && found[0].1 == -found[1].1);
            assert!(solution.bias.abs() < 1e-9 && solution.converged);
        }
    }

    #[test]
    fn the_optimality_conditions_hold_and_no_feasible_move_gains() {
        // Two clouds that overlap.
        let wave =
            |i: usize| (i as f32 * 12.9898).sin() * 2. + f32::from(i < 140 && i.is_multiple_of(2));
        let kernel = kernel(2, (0..240).map(wave).collect(), 0.7);
        let (first, second) = (0..70, 70..120);
        let limits = Limits {
            tolerance: 1e-4,
            ..LIMITS
        };
        let mut warm = Solver::new(&kernel, first.clone(), second.clone());
        for c in [0.01, 0.3, 5., 1000.] {
            let warm_solution = warm.solve(c, limits);
            let mut cold = Solver::new(&kernel, first.clone(), second.clone());
            let cold_solution = cold.solve(c, limits);
            for (solver, solution) in [(&warm, &warm_solution), (&cold, &cold_solution)] {
                assert!(solution.converged && solver.coefficients.iter().sum::<f64>().abs() < 1e-8);
                for item in 0..120 {
                    let beta = solver.coefficients[item];
                    let (lower, upper) = solver.bounds(item, c);
                    assert!((lower..=upper).contains(&beta));
                    let value: f64 = (0..120)
                        .map(|other| {
                            solver.coefficients[other] * f64::from(kernel.row(other)[item])
                        })
                        .sum();
                    let label = if item < 70 { 1. } else { -1. };
                    let (margin, alpha) = (label * (value + solution.bias), label * beta);
                    // Without a coefficient beyond the margin, at the bound within it, between the two on it.
                    if alpha == 0. {
                        assert!(margin > 1. - 2e-4, "{margin}");
                    } else if alpha == c {
                        assert!(margin < 1. + 2e-4, "{margin}");
                    } else {
                        assert!((margin - 1.).abs() < 2e-4, "{margin}");
                    }
                }
            }
            let value = |solver: &Solver<'_>| {
                // y·β − ½ βᵀKβ, with Kβ = y − shortfall.
                let terms = solver.coefficients.iter().zip(&solver.shortfalls);
                terms
                    .enumerate()
                    .map(|(item, (beta, shortfall))| {
                        let label = if item < 70 { 1. } else { -1. };
                        beta * (label + shortfall) / 2.
                    })
                    .sum::<f64>()
            };
            let (warm, cold) = (value(&warm), value(&cold));
            assert!((warm - cold).abs() < 1e-3 * cold.abs(), "{warm} {cold}");
        }
    }

    #[test]
    fn four_items_of_exclusive_or_share_one_coefficient() {
        // By symmetry all |β| are equal: β (1 + k_diagonal − 2 k_side) = 1 and the bias is 0.
        let kernel = kernel(2, vec![0., 0., 1., 1., 0., 1., 1., 0.], 1.);
        let mut solver = Solver::new(&kernel, 0..2, 2..4);
        let solution = solver.solve(100., LIMITS);
        let expected = 1. / (1. + (-2_f64).exp() - 2. * (-1_f64).exp());
        for (row, beta) in solver.supports() {
            let sign = if row < 2 { 1. } else { -1. };
            assert!((beta - sign * expected).abs() < 1e-5, "{beta} {expected}");
        }
        assert!(solution.bias.abs() < 1e-6 && solver.supports().count() == 4);
    }

    #[test]
    fn equal_items_of_both_classes_end_at_the_bound() {
        let kernel = kernel(1, vec![1., 5., 1., -4.], 1.);
        let mut solver = Solver::new(&kernel, 0..2, 2..4);
        let solution = solver.solve(1e8, LIMITS);
        assert!(solution.converged && solver.coefficients[0] == 1e8);
        assert_eq!(solver.coefficients[2], -1e8);
        let hasty = Limits {
            max_iterations: 0,
            ..LIMITS
        };
        assert!(!Solver::new(&kernel, 0..2, 2..4).solve(1., hasty).converged);
    }
}
