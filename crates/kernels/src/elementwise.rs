//! Functions of single elements over whole tensors, in parts and, where the memory is ours, in
//! place.

use burn_flex::FlexTensor;

use crate::buffer::{Shared, elements, in_parts, part, threads};
use crate::vectorized::vectorized;

/// Lets `f` replace the values of each of several stretches, told where it begins; a tensor whose
/// memory is shared is copied first.
pub(crate) fn stretches_in_place(
    mut x: FlexTensor,
    f: &(dyn Fn(usize, &mut [f32]) + Send + Sync),
) -> FlexTensor {
    let values = x.storage_mut::<f32>();
    let length = values.len();
    let dest = Shared::new(values.as_mut_ptr());
    let parts = parts(length);
    in_parts(parts, |index| {
        let range = part(length, parts, index);
        // SAFETY: the parts are disjoint, and the tensor is ours alone.
        f(range.start, unsafe { dest.part(range) });
    });
    x
}

/// Replaces each `x` by `f(x, y)`, with `y` the element of `of` beside it; a tensor whose memory is
/// shared is copied first.
pub(crate) fn zip_in_place(
    mut x: FlexTensor,
    of: &FlexTensor,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync,
) -> FlexTensor {
    let of = elements(of);
    let values = x.storage_mut::<f32>();
    assert_eq!(values.len(), of.len());
    let dest = Shared::new(values.as_mut_ptr());
    let parts = parts(of.len());
    in_parts(parts, |index| {
        let range = part(of.len(), parts, index);
        // SAFETY: the parts are disjoint, and the tensor is ours alone.
        let values = unsafe { dest.part(range.clone()) };
        let of = &of[range];
        vectorized(
            #[inline(always)]
            || {
                for (x, y) in values.iter_mut().zip(of) {
                    *x = f(*x, *y);
                }
            },
        );
    });
    x
}

/// Into how many parts so many elements are cut; each comes out the same whoever computes it.
pub(crate) fn parts(length: usize) -> usize {
    (4 * threads()).min(length / 4096).max(1)
}
