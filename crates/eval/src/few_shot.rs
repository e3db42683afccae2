//! Draws of a few labeled items per class, for scores that depend on which labels were at hand.

use crate::error::{EvalError, Result};
use crate::labels::Encoded;
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

#[cfg(test)]
mod tests {
    use super::*;

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
