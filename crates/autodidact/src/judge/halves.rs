//! Pairs taken apart: a source of the halves of another's items.

use crate::error::{Error, Result};
use crate::modality::{Labels, Modality, Part, Source};

/// The halves of pairs, one after the other.
pub(super) struct Halves<M: Modality>(Box<dyn Source<M::Item>>);

impl<M: Modality> Halves<M> {
    /// The halves of the items of a source.
    pub(super) fn new(of: Box<dyn Source<M::Item>>) -> Self {
        Self(of)
    }
}

impl<M: Modality> Source<M::Item> for Halves<M> {
    fn len(&self) -> usize {
        2 * self.0.len()
    }

    fn name(&self, index: usize) -> String {
        self.0.name(index / 2)
    }

    fn get(&self, index: usize) -> Result<M::Item> {
        let halves = M::halves(&self.0.get(index / 2)?).ok_or_else(|| {
            Error::data(format!("{} is no pair", self.name(index)))
                .expected("an item of two halves")
        })?;
        let [first, second] = halves;
        Ok(if index.is_multiple_of(2) {
            first
        } else {
            second
        })
    }

    fn labels(&self) -> Option<&Labels> {
        None
    }

    fn scores(&self) -> Option<&[f64]> {
        self.0.scores()
    }

    fn other_parts(&self) -> &[Part] {
        &[]
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
