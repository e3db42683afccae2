//! Class labels as positions among the distinct classes, so that a label of four billion costs nothing.

use crate::error::{EvalError, Result};

/// The distinct classes of a list of labels and each item's position among them.
pub(crate) struct Encoded {
    /// Distinct labels, ascending.
    pub(crate) classes: Vec<u32>,
    /// For each item the position of its label in `classes`.
    pub(crate) positions: Vec<usize>,
}

impl Encoded {
    pub(crate) fn new(labels: &[u32]) -> Result<Self> {
        let classes = distinct(labels.iter().copied());
        if classes.is_empty() {
            return Err(EvalError::Empty { what: "labels" });
        }
        let positions = labels
            .iter()
            .map(|label| classes.partition_point(|class| class < label))
            .collect();
        Ok(Self { classes, positions })
    }

    /// The indices of the items of each class, ascending.
    pub(crate) fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.classes.len()];
        for (item, &position) in self.positions.iter().enumerate() {
            members[position].push(item);
        }
        members
    }
}

/// The distinct labels, ascending.
pub(crate) fn distinct(labels: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut classes: Vec<u32> = labels.collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}
