//! How unusual a step is, by how far its vector lies from those of steps that are known, and whether that is an alarm.

use autodidact_eval::Matrix;
use autodidact_eval::anomaly::neighbors::{distances, distances_within};
use autodidact_eval::anomaly::threshold::{conformal, p_values};

use super::protocol::unfit;
use crate::error::Result;

/// Known steps whose distances are averaged.
pub(super) const NEIGHBORS: usize = 5;

/// What is known of a process, and how far apart what is known lies.
#[derive(Debug, Clone)]
pub struct Detector {
    bank: Matrix,
    /// The distance of each known step from the others, without those that share a part with it.
    known: Vec<f64>,
}

impl Detector {
    /// Takes known steps, `[steps, dimensions]`, in the order of time; those less than `apart` rows from each other share a
    /// part.
    ///
    /// # Errors
    /// When there are fewer than two stretches that share nothing.
    pub fn new(bank: Matrix, apart: usize) -> Result<Self> {
        let known = distances_within(&bank, NEIGHBORS, apart.max(1)).map_err(unfit)?;
        Ok(Self { bank, known })
    }

    /// How far steps are from what is known, `[steps, dimensions]` to a number each.
    ///
    /// # Errors
    /// When they are of other dimensions.
    pub fn distances(&self, steps: &Matrix) -> Result<Vec<f64>> {
        distances(&self.bank, steps, NEIGHBORS).map_err(unfit)
    }

    /// How far known steps are from each other.
    pub fn known(&self) -> &[f64] {
        &self.known
    }

    /// The distance at which a step that is like the known ones lies with so small a probability.
    ///
    /// # Errors
    /// When so few are known that no distance is enough for it.
    pub fn threshold(&self, rate: f64) -> Result<f64> {
        conformal(&self.known, rate).map_err(unfit)
    }

    /// How likely a distance as large as each of these is of a step like the known ones.
    ///
    /// # Errors
    /// When one is no finite number.
    pub fn likelihoods(&self, distances: &[f64]) -> Result<Vec<f64>> {
        p_values(&self.known, distances).map_err(unfit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_from_all_that_is_known_is_an_alarm_and_what_is_known_is_not() {
        let at = |step: usize| {
            let angle = step as f32 * 0.37;
            [angle.cos(), angle.sin()]
        };
        let known: Vec<f32> = (0..400).flat_map(at).collect();
        let detector = Detector::new(Matrix::from_vec(400, 2, known).unwrap(), 4).unwrap();
        let threshold = detector.threshold(0.01).unwrap();
        let new: Vec<f32> = (1000..1100).flat_map(at).chain([3.0, 0.0]).collect();
        let found = detector.distances(&Matrix::from_vec(101, 2, new).unwrap());
        let found = found.unwrap();
        let alarms = found
            .iter()
            .filter(|&&distance| distance >= threshold)
            .count();
        assert!((1..=5).contains(&alarms), "{alarms}");
        assert!(found[100] >= threshold);
        let likely = detector.likelihoods(&found).unwrap();
        assert!((likely[100] - 1.0 / 401.0).abs() < 1e-12);
        let likeliest = likely[..100].iter().copied().fold(0.0, f64::max);
        assert!(likeliest > 0.5, "{likeliest}");
        assert!(Detector::new(Matrix::from_vec(3, 1, vec![1.0; 3]).unwrap(), 2).is_err());
    }
}
