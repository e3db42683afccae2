//! Items whose own numbers are counts, as vectors: each column is something that many of the items have, such as a word, weighed
//! by how rare it is (TF-IDF).

use autodidact_eval::tf_idf::{Columns, tf_idf};
use autodidact_eval::{Matrix, Result};

/// Columns at most. What is rarer stands in too few items to learn much from it, and each costs as much room as any other.
const COLUMNS: usize = 8192;

/// Vectors of the items that are learned from and of others, of what is counted of each. What the columns are and how much each
/// weighs is settled by those that are learned from.
pub(super) fn weighed(learned: &[Vec<u64>], others: &[Vec<u64>]) -> Result<(Matrix, Matrix)> {
    let columns = Columns::of(learned, COLUMNS);
    tf_idf(columns.count(learned)?, columns.count(others)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_others_have_is_no_column() {
        let (learned, others) = weighed(&[vec![1, 2], vec![2]], &[vec![3, 2, 3]]).unwrap();
        assert_eq!(learned.columns(), 2);
        assert_eq!(others.data(), [0.0, 1.0]);
    }

    #[test]
    fn of_many_there_are_as_many_columns_as_are_allowed() {
        let all: Vec<u64> = (0..2 * COLUMNS as u64).collect();
        let (learned, _) = weighed(&[all, vec![9]], &[vec![9]]).unwrap();
        assert_eq!(learned.columns(), COLUMNS);
        assert_eq!(
            learned.row(1).iter().position(|&value| value > 0.0),
            Some(9)
        );
    }
}
