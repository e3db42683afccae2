//! Draws of a few labeled items per class, for scores that depend on which labels were at hand.

use rayon::prelude::*;

use crate::classification;
use crate::error::{EvalError, Result};
use crate::labels::Encoded;
use crate::matrix::Matrix;
use crate::probe::{Moments, Probe, ProbeSettings, Scaling};
use crate::sampling::{generator, permutation};

/// Index sets with `per_class` items of every class, each ascending; draw *i* is the same whatever the number of
/// draws.
///
/// # Errors
///
/// If there are no labels, `per_class` is 0, or a class has fewer items.
pub fn draws(labels: &[u32], per_class: usize, draws: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    EvalError::check_count("items per class", per_class)?;
    let encoded = Encoded::new(labels)?;
    let members = encoded.members();
    for (members, &class) in members.iter().zip(&encoded.classes) {
        if members.len() < per_class {
            return Err(EvalError::FewItems {
                class,
                found: members.len(),
                expected: per_class,
            });
        }
    }
    let draw = |index: usize| {
        let mut generator = generator(seed, index as u64);
        let mut drawn = Vec::with_capacity(per_class * members.len());
        for members in &members {
            let order = permutation(members.len(), &mut generator);
            drawn.extend(order[..per_class].iter().map(|&position| members[position]));
        }
        drawn.sort_unstable();
        drawn
    };
    Ok((0..draws).map(draw).collect())
}

/// The penalty of a probe on a few labels, which leave nothing to choose it on: scikit-learn's default, for rows about as
/// long as a unit vector.
const C: f64 = 1.;
/// The same where features are taken as they are, of length 1 and mostly 0; about the best for weighted counts of words.
const C_AS_THEY_ARE: f64 = 10.;
/// Rounds in which a few labels tell how features are to be scaled.
const ROUNDS: usize = 5;

/// What is drawn from, and what is judged by it.
#[derive(Clone, Copy, Debug)]
pub struct FewLabels<'a> {
    /// The items to draw from.
    pub train: &'a Matrix,
    /// Their classes.
    pub train_labels: &'a [u32],
    /// How the features of all training items vary, which needs no labels: a handful of drawn items can't tell. `None` takes
    /// features as they are.
    pub moments: Option<&'a Moments>,
    /// The items to judge by.
    pub test: &'a Matrix,
    /// Their classes.
    pub test_labels: &'a [u32],
}

impl FewLabels<'_> {
    /// Whether a linear probe that learned from `per_class` labeled items of each class is right about each test item,
    /// for each of several [`draws`] of those items.
    ///
    /// The penalty grows with the number of columns, so that it means the same for vectors of any width. The features are
    /// scaled together or each, whichever tells more of the drawn items by each other; together, where that is the same,
    /// or where there is one item of each class, which can't tell.
    ///
    /// # Errors
    ///
    /// As [`draws`], and if the columns differ or there is only one class.
    pub fn probe(&self, per_class: usize, draws: usize, seed: u64) -> Result<Vec<Vec<bool>>> {
        let (train, labels) = (self.train, self.train_labels);
        EvalError::check_length("training labels", labels.len(), train.rows())?;
        train.check_columns(self.test)?;
        let sets = self::draws(labels, per_class, draws, seed)?;
        let (scalings, c) = match self.moments {
            None => (vec![Scaling::Unscaled], C_AS_THEY_ARE),
            Some(_) => {
                let mut scalings = vec![Scaling::Together];
                if per_class > 1 {
                    scalings.push(Scaling::Each);
                }
                (scalings, C / train.columns().max(1) as f64)
            }
        };
        let settings = ProbeSettings {
            scalings,
            candidates: vec![c],
            rounds: ROUNDS,
            seed,
            ..ProbeSettings::default()
        };
        let judge = |set: &Vec<usize>| {
            let drawn = train.select(set)?;
            let classes: Vec<u32> = set.iter().map(|&row| labels[row]).collect();
            let probe = match self.moments {
                Some(moments) => Probe::fit_with(moments, &drawn, &classes, &settings)?,
                None => Probe::fit(&drawn, &classes, &settings)?,
            };
            classification::hits(&probe.predict(self.test)?, self.test_labels)
        };
        sets.par_iter().map(judge).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn more_labels_of_clear_classes_serve_better_and_the_scale_of_a_feature_does_not_matter() {
        let labels: Vec<u32> = (0..400).map(|row| row % 4).collect();
        let noise = |row: usize, step: f32| (row as f32 * step).sin() * 0.9;
        let matrix = |scale: f32| {
            let data = labels.iter().enumerate().flat_map(|(row, &label)| {
                let angle = label as f32 * std::f32::consts::FRAC_PI_2;
                [
                    scale * (angle.cos() + noise(row, 12.9)),
                    angle.sin() + noise(row, 78.2),
                ]
            });
            Matrix::from_vec(400, 2, data.collect()).unwrap()
        };
        let accuracy = |x: &Matrix, per_class| {
            let moments = Moments::of(x);
            let hits = both(x, &labels, &moments).probe(per_class, 8, 1).unwrap();
            assert_eq!(hits.len(), 8);
            let right = hits.iter().flatten().filter(|&&hit| hit).count();
            right as f64 / (8. * 400.)
        };
        let (few, many) = (accuracy(&matrix(1.), 1), accuracy(&matrix(1.), 50));
        assert!(0.4 < few && few + 0.05 < many, "{few} and {many}");
        assert!((accuracy(&matrix(1000.), 50) - many).abs() < 0.01);
        let x = matrix(1.);
        assert!(matches!(
            both(&x, &labels, &Moments::of(&x)).probe(101, 1, 0),
            Err(EvalError::FewItems { .. })
        ));
    }

    /// Items that are drawn from and judged by.
    fn both<'a>(x: &'a Matrix, labels: &'a [u32], moments: &'a Moments) -> FewLabels<'a> {
        FewLabels {
            train: x,
            train_labels: labels,
            moments: Some(moments),
            test: x,
            test_labels: labels,
        }
    }

    /// The first feature tells the classes. The second is large and tells nothing, so that each has to be scaled for itself.
    /// The third is all but the same in most training items, and far off in two that are seldom drawn.
    #[test]
    fn how_far_a_feature_varies_is_known_from_items_whose_labels_are_not() {
        let mut generator = generator(5, 0);
        let mut noise = || 2. * generator.random::<f32>() - 1.;
        let labels: Vec<u32> = (0..200).map(|row| row % 2).collect();
        let told = |label: u32| 2. * label as f32 - 1.;
        let data = labels.iter().enumerate().flat_map(|(row, &label)| {
            let third = match row {
                0 => 1000.,
                1 => -1000.,
                _ => 0.001 * noise(),
            };
            [told(label), 1000. * noise(), third]
        });
        let train = Matrix::from_vec(200, 3, data.collect()).unwrap();
        let data = labels.iter().enumerate().flat_map(|(row, &label)| {
            let third = if row / 2 % 2 == 0 { 10. } else { -10. };
            [told(label), 1000. * noise(), third]
        });
        let test = Matrix::from_vec(200, 3, data.collect()).unwrap();
        let moments = Moments::of(&train);
        let few = FewLabels {
            test: &test,
            ..both(&train, &labels, &moments)
        };
        let hits = few.probe(5, 8, 1).unwrap();
        let right = hits.iter().flatten().filter(|&&hit| hit).count();
        // By the drawn items alone the third decides, and half is right.
        assert!(right > 8 * 180, "{right}");
        let narrow = Moments::of(&Matrix::from_vec(1, 1, vec![1.]).unwrap());
        assert!(matches!(
            both(&train, &labels, &narrow).probe(5, 1, 1),
            Err(EvalError::Columns { .. })
        ));
    }

    #[test]
    fn every_class_is_drawn_equally_and_draws_differ() {
        let labels: Vec<u32> = (0..100)
            .map(|i| if i % 10 == 0 { 7 } else { i % 3 })
            .collect();
        let sets = draws(&labels, 4, 3, 11).unwrap();
        assert_eq!(sets.len(), 3);
        for set in &sets {
            assert!(set.is_sorted_by(|a, b| a < b));
            for class in [0, 1, 2, 7] {
                assert_eq!(set.iter().filter(|&&item| labels[item] == class).count(), 4);
            }
        }
        assert_ne!(sets[0], sets[1]);
        assert_eq!(sets[..1], draws(&labels, 4, 1, 11).unwrap());
        assert_ne!(sets, draws(&labels, 4, 3, 12).unwrap());
    }

    #[test]
    fn every_item_of_a_class_is_equally_likely() {
        let sets = draws(&[0; 5], 2, 5000, 3).unwrap();
        for item in 0..5 {
            let share = sets.iter().filter(|set| set.contains(&item)).count() as f64 / 5000.;
            assert!((share - 0.4).abs() < 0.03, "{share}");
        }
    }

    #[test]
    fn wrong_input_is_refused() {
        let error = draws(&[1, 1, 2], 2, 1, 0).unwrap_err();
        assert_eq!(
            error,
            EvalError::FewItems {
                class: 2,
                found: 1,
                expected: 2
            }
        );
        assert!(draws(&[], 1, 1, 0).is_err() && draws(&[1], 0, 1, 0).is_err());
    }
}
