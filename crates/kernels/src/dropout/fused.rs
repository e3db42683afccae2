//! Dropout on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::{BLOCK, Mask};
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, threads};
use crate::operation::{Forward, Operation, apply};
use crate::vectorized::vectorized;

pub(super) fn dropout(x: DispatchTensor, mask: Mask) -> DispatchTensor {
    apply(Dropout { mask }, [x]).0
}

#[derive(Clone, Debug)]
struct Dropout {
    mask: Mask,
}

impl Operation for Dropout {
    type Saved = Mask;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Mask> {
        let x = elements(&inputs[0]);
        let mut output = Unwritten::new(x.len());
        let dest = output.pointer();
        in_blocks(x.len(), |block, range| {
            // SAFETY: the blocks are disjoint and cover the output once.
            let dest = unsafe { dest.part(range.clone()) };
            let x = &x[range];
            let mask = self.mask.block(block);
            vectorized(
                #[inline(always)]
                || {
                    for (place, (dest, x)) in dest.iter_mut().zip(x).enumerate() {
                        *dest = mask.one(place as u32, *x);
                    }
                },
            );
        });
        Forward {
            // SAFETY: every block was written.
            output: unsafe { output.written(inputs[0].layout().shape().clone()) },
            statistics: Vec::new(),
            saved: tracked[0].then_some(self.mask),
        }
    }

    fn backward(mask: Mask, mut gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        if !wanted[0] {
            return vec![None];
        }
        let values = gradient.storage_mut::<f32>();
        let length = values.len();
        let dest = Shared::new(values.as_mut_ptr());
        in_blocks(length, |block, range| {
            // SAFETY: the blocks are disjoint, and the gradient is ours alone.
            let gradient = unsafe { dest.part(range) };
            let mask = mask.block(block);
            vectorized(
                #[inline(always)]
                || mask.apply(gradient),
            );
        });
        vec![Some(gradient)]
    }
}

/// Runs `work` on the number and the range of each block of so many elements.
fn in_blocks(length: usize, work: impl Fn(usize, std::ops::Range<usize>) + Send + Sync) {
    let blocks = length.div_ceil(BLOCK);
    let parts = (4 * threads()).min(blocks).max(1);
    in_parts(parts, |index| {
        for block in part(blocks, parts, index) {
            work(block, block * BLOCK..((block + 1) * BLOCK).min(length));
        }
    });
}
