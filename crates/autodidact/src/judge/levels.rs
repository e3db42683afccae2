//! What a stretch of a recording is seen by: what a network makes of it, and how high its channels stood.
//!
//! A fault is often a level: a pressure that is too high, a valve that stays shut. Networks hardly see these, since
//! kernels without a mean, normalized windows and objectives that views of any level share all take levels away. So
//! the mean, the highest and the lowest value of each channel over the stretch stand beside its vector, both parts with
//! the same weight. Vectors are brought to one scale by a single number, since how far each of their values varies is
//! what the network learned; levels each by itself.

use std::collections::VecDeque;

use autodidact_eval::Matrix;

use super::protocol::unfit;
use crate::error::Result;

/// What is said of each channel: its mean, the highest and the lowest of it.
const OF_CHANNEL: usize = 3;
/// Levels vary so much at least, in deviations of their channel over what was learned from: a channel that stood still
/// may move a little.
const LEAST: f64 = 0.01;

/// How the channels of `values`, `[steps, channels]`, stood over the stretch that ends with each step, and that is as
/// much shorter as there are fewer steps: `[steps, 3·channels]`.
pub(super) fn levels(values: &Matrix, stretch: usize) -> Result<Matrix> {
    let (steps, channels) = (values.rows(), values.columns());
    let stretch = stretch.max(1);
    let mut levels = vec![0.0; steps * channels * OF_CHANNEL];
    for channel in 0..channels {
        let own: Vec<f32> = (0..steps).map(|step| values.row(step)[channel]).collect();
        let falling: Vec<f32> = own.iter().map(|value| -value).collect();
        let (highest, lowest) = (highest(&own, stretch), highest(&falling, stretch));
        let mut sum = 0.0;
        for step in 0..steps {
            sum += f64::from(own[step]);
            if step >= stretch {
                sum -= f64::from(own[step - stretch]);
            }
            let mean = sum / (step + 1).min(stretch) as f64;
            let first = (step * channels + channel) * OF_CHANNEL;
            levels[first..first + OF_CHANNEL].copy_from_slice(&[
                mean as f32,
                highest[step],
                -lowest[step],
            ]);
        }
    }
    Matrix::from_vec(steps, channels * OF_CHANNEL, levels).map_err(unfit)
}

/// The highest of the values up to each, so many of them at most.
fn highest(values: &[f32], stretch: usize) -> Vec<f32> {
    // The places of those that may still be the highest, each lower than the one before.
    let mut waiting: VecDeque<usize> = VecDeque::new();
    (values.iter().enumerate())
        .map(|(place, value)| {
            while waiting.back().is_some_and(|&last| values[last] <= *value) {
                waiting.pop_back();
            }
            waiting.push_back(place);
            if waiting[0] + stretch <= place {
                waiting.pop_front();
            }
            values[waiting[0]]
        })
        .collect()
}

/// On which scale vectors and levels are seen, by what is known of them.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    vectors: f32,
    levels: Vec<f32>,
}

impl Sight {
    /// Takes what is known, `[steps, dimensions]` and `[steps, levels]`.
    pub(super) fn of(vectors: &Matrix, levels: &Matrix) -> Self {
        let total: f64 = variances(vectors).iter().sum();
        let share = (levels.columns().max(1) as f64).sqrt();
        let scale = |variance: f64| (1.0 / (variance.sqrt().max(LEAST) * share)) as f32;
        Self {
            // Vectors that were all alike are told from others all the same.
            vectors: (1.0 / total.max(1e-12).sqrt()) as f32,
            levels: variances(levels).into_iter().map(scale).collect(),
        }
    }

    /// Both parts of some steps, side by side.
    ///
    /// # Errors
    /// When they are of other numbers of steps, or of levels.
    pub(super) fn both(&self, vectors: &Matrix, levels: &Matrix) -> Result<Matrix> {
        let levels = self.levels(levels)?;
        let columns = vectors.columns() + levels.columns();
        let mut both = Vec::with_capacity(vectors.rows() * columns);
        for step in 0..vectors.rows() {
            both.extend(vectors.row(step).iter().map(|value| value * self.vectors));
            both.extend_from_slice(levels.row(step));
        }
        Matrix::from_vec(vectors.rows(), columns, both).map_err(unfit)
    }

    /// Levels alone.
    ///
    /// # Errors
    /// When they are not as many as those that are known.
    pub(super) fn levels(&self, levels: &Matrix) -> Result<Matrix> {
        let scaled = (levels.data().chunks_exact(self.levels.len().max(1)))
            .flat_map(|row| row.iter().zip(&self.levels).map(|(value, by)| value * by));
        Matrix::from_vec(levels.rows(), self.levels.len(), scaled.collect()).map_err(unfit)
    }
}

/// How far each column varies, squared.
fn variances(matrix: &Matrix) -> Vec<f64> {
    let rows = matrix.rows().max(1) as f64;
    let sum = |of: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0; matrix.columns()];
        for row in 0..matrix.rows() {
            for (column, (sum, value)) in sums.iter_mut().zip(matrix.row(row)).enumerate() {
                *sum += of(column, f64::from(*value));
            }
        }
        sums.iter().map(|sum| sum / rows).collect::<Vec<f64>>()
    };
    let means = sum(&|_, value| value);
    sum(&|column, value| (value - means[column]).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_of_the_steps_up_to_each_and_of_no_others() {
        let values = vec![1.0, 5.0, 3.0, -5.0, 2.0, 0.0, 8.0, 1.0, -4.0, 2.0];
        let values = Matrix::from_vec(5, 2, values).unwrap();
        for stretch in [1usize, 2, 3, 9] {
            let found = levels(&values, stretch).unwrap();
            for step in 0..values.rows() {
                let from = (step + 1).saturating_sub(stretch);
                for channel in 0..2 {
                    let seen: Vec<f32> = (from..=step).map(|at| values.row(at)[channel]).collect();
                    let mean = seen.iter().sum::<f32>() / seen.len() as f32;
                    let of = |pick: fn(f32, f32) -> f32| seen.iter().copied().reduce(pick).unwrap();
                    let expected = [mean, of(f32::max), of(f32::min)];
                    let own = &found.row(step)[channel * 3..][..3];
                    for (found, expected) in own.iter().zip(expected) {
                        assert!(
                            (found - expected).abs() < 1e-6,
                            "{stretch} {step} {channel}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn both_parts_weigh_the_same_and_what_stood_still_may_move_a_little() {
        // Vectors of very uneven values, and a level beside one that never changed.
        let vectors: Vec<f32> = (0..200)
            .flat_map(|step| [100.0 * (step as f32).sin(), (step as f32 * 1.7).cos()])
            .collect();
        let vectors = Matrix::from_vec(200, 2, vectors).unwrap();
        let levels: Vec<f32> = (0..200)
            .flat_map(|step| [(step as f32 * 0.9).sin() * 7.0, 3.0])
            .collect();
        let levels = Matrix::from_vec(200, 2, levels).unwrap();
        let sight = Sight::of(&vectors, &levels);
        let both = sight.both(&vectors, &levels).unwrap();
        let variances = variances(&both);
        assert!(
            (variances[0] + variances[1] - 1.0).abs() < 1e-3,
            "{variances:?}"
        );
        // The uneven values stay as uneven; of the levels one varies, and counts as one of two.
        assert!(
            (variances[0] / variances[1] - 1e4).abs() < 300.0,
            "{variances:?}"
        );
        assert!((variances[2] - 0.5).abs() < 1e-3 && variances[3] == 0.0);
        let moved = Matrix::from_vec(1, 2, vec![0.0, 3.01]).unwrap();
        let still = Matrix::from_vec(1, 2, vec![0.0, 3.0]).unwrap();
        let [moved, still] = [moved, still].map(|level| sight.levels(&level).unwrap());
        let apart = moved.row(0)[1] - still.row(0)[1];
        assert!((apart - 0.5f32.sqrt()).abs() < 1e-2, "{apart}");
    }
}
