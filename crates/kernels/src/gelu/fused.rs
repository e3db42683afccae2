//! GELU on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::buffer::{Unwritten, elements, in_parts, part};
use crate::elementwise::{parts, zip_in_place};
use crate::operation::{Forward, Operation, apply};
use crate::special;
use crate::vectorized::vectorized;

pub(super) fn gelu(x: DispatchTensor) -> DispatchTensor {
    apply(Gelu, [x]).0
}

#[derive(Clone, Debug)]
struct Gelu;

impl Operation for Gelu {
    type Saved = FlexTensor;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<FlexTensor> {
        let x = elements(&inputs[0]);
        let mut output = Unwritten::new(x.len());
        let dest = output.pointer();
        let parts = parts(x.len());
        in_parts(parts, |index| {
            let range = part(x.len(), parts, index);
            // SAFETY: the parts are disjoint and cover the output once.
            let dest = unsafe { dest.part(range.clone()) };
            let x = &x[range];
            vectorized(
                #[inline(always)]
                || {
                    for (dest, x) in dest.iter_mut().zip(x) {
                        *dest = special::gelu(*x);
                    }
                },
            );
        });
        Forward {
            // SAFETY: every part was written.
            output: unsafe { output.written(inputs[0].layout().shape().clone()) },
            statistics: Vec::new(),
            saved: tracked[0].then(|| inputs[0].clone()),
        }
    }

    fn backward(x: FlexTensor, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        if !wanted[0] {
            return vec![None];
        }
        let gradient = zip_in_place(
            gradient,
            &x,
            #[inline(always)]
            |gradient, x| gradient * special::gelu_derivative(x),
        );
        vec![Some(gradient)]
    }
}
