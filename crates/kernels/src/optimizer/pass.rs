//! Work on many flat tensors at once, cut into pieces that threads share.

use std::mem::MaybeUninit;

use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::buffer::{elements, tensor};

/// Values in a piece. With AdamW's four arrays it takes a quarter of a megabyte, which the
/// second-level cache holds; and a tensor of a million values is 64 pieces, enough to balance.
pub(super) const PIECE: usize = 16 * 1024;

/// Runs `work` on every piece and gathers the results in the order of the pieces. `values` are how
/// many there are in all: a few aren't worth waking other threads for.
pub(super) fn each<T: Send, R: Send>(
    pieces: Vec<T>,
    values: usize,
    work: impl Fn(T) -> R + Send + Sync,
) -> Vec<R> {
    if values <= 2 * PIECE {
        pieces.into_iter().map(work).collect()
    } else {
        pieces.into_par_iter().map(work).collect()
    }
}

/// A flat tensor about to be overwritten by a function of itself.
pub(super) enum Target {
    /// Nobody else holds it.
    InPlace(FlexTensor),
    /// Somebody else holds `from`; `to` is memory for its successor, not yet written.
    Copied { from: FlexTensor, to: Vec<f32> },
}

impl Target {
    /// A target whose old values are those of a contiguous tensor.
    pub(super) fn of(tensor: FlexTensor) -> Self {
        if tensor.is_unique() {
            return Self::InPlace(tensor);
        }
        let to = Vec::with_capacity(elements(&tensor).len());
        Self::Copied { from: tensor, to }
    }

    /// A target whose old values are `length` zeros.
    pub(super) fn zeros(length: usize) -> Self {
        Self::InPlace(tensor(vec![0.0; length], [length]))
    }

    /// The old values.
    pub(super) fn old(&self) -> &[f32] {
        match self {
            Self::InPlace(tensor) | Self::Copied { from: tensor, .. } => elements(tensor),
        }
    }

    /// The target in pieces.
    pub(super) fn pieces(&mut self) -> Vec<Piece<'_>> {
        match self {
            Self::InPlace(tensor) => {
                let values = tensor.storage_mut::<f32>();
                values.chunks_mut(PIECE).map(Piece::InPlace).collect()
            }
            Self::Copied { from, to } => {
                let from = elements(from);
                let to = &mut to.spare_capacity_mut()[..from.len()];
                from.chunks(PIECE)
                    .zip(to.chunks_mut(PIECE))
                    .map(|(from, to)| Piece::Copied { from, to })
                    .collect()
            }
        }
    }

    /// The tensor with the new values.
    ///
    /// # Safety
    /// Every one of the [`Target::pieces`] must have been opened.
    pub(super) unsafe fn finish(self) -> FlexTensor {
        match self {
            Self::InPlace(tensor) => tensor,
            Self::Copied { from, mut to } => {
                let length = elements(&from).len();
                // SAFETY: the capacity was asked for in the constructor, and opening the pieces,
                // which cover it, has initialized it.
                unsafe { to.set_len(length) };
                tensor(to, [length])
            }
        }
    }
}

/// A part of a [`Target`].
pub(super) enum Piece<'a> {
    InPlace(&'a mut [f32]),
    Copied {
        from: &'a [f32],
        to: &'a mut [MaybeUninit<f32>],
    },
}

impl<'a> Piece<'a> {
    /// The old values where the new ones belong. What has to be copied is copied here, by the
    /// thread that goes on to use it, while the piece is in its cache.
    pub(super) fn open(self) -> &'a mut [f32] {
        match self {
            Piece::InPlace(values) => values,
            Piece::Copied { from, to } => to.write_copy_of_slice(from),
        }
    }
}
