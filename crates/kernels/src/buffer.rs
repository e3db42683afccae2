//! Output buffers that are written once, by several threads, and work shared out in fixed parts.

use std::ops::Range;

use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;

/// Memory for a tensor, not yet written.
pub(crate) struct Unwritten(Vec<f32>);

impl Unwritten {
    /// Room for `length` floats, without the cost of zeroing them.
    pub(crate) fn new(length: usize) -> Self {
        Self(Vec::with_capacity(length))
    }

    /// The address of the first element, to be shared among threads that write disjoint parts.
    pub(crate) fn pointer(&mut self) -> Shared {
        Shared(self.0.as_mut_ptr())
    }

    /// The tensor of this shape.
    ///
    /// # Safety
    /// Every element of the shape must have been written.
    pub(crate) unsafe fn written(self, shape: impl Into<Shape>) -> FlexTensor {
        let shape = shape.into();
        // SAFETY: by the caller's promise.
        tensor(unsafe { self.into_vec(shape.num_elements()) }, shape)
    }

    /// The first `length` floats.
    ///
    /// # Safety
    /// All of them must have been written.
    pub(crate) unsafe fn into_vec(mut self, length: usize) -> Vec<f32> {
        assert!(length <= self.0.capacity());
        // SAFETY: within the capacity, and initialized by the caller's promise.
        unsafe { self.0.set_len(length) };
        self.0
    }
}

/// A Flex tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    let shape = shape.into();
    assert_eq!(values.len(), shape.num_elements());
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape),
        DType::F32,
    )
}

/// The elements of a contiguous tensor.
pub(crate) fn elements(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice()
        .expect("inputs were made contiguous f32 before the operation")
}

/// An address that several threads write to, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: the address alone is harmless; whoever writes through it promises to stay in its part.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Shares an address.
    pub(crate) fn new(pointer: *mut f32) -> Self {
        Self(pointer)
    }

    /// The address itself.
    pub(crate) fn pointer(self) -> *mut f32 {
        self.0
    }

    /// The elements of a range.
    ///
    /// # Safety
    /// The range must lie in the buffer, hold no unwritten element that is read before it is
    /// written, and belong to the caller alone for as long as the slice lives.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part<'a>(self, range: Range<usize>) -> &'a mut [f32] {
        // SAFETY: by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

/// The number of threads, of which alone the number of parts may depend that work which is summed
/// afterwards is cut into: so sums come out the same whenever the number of threads is the same.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// The `index`-th of `parts` nearly equal ranges of `0..total`.
pub(crate) fn part(total: usize, parts: usize, index: usize) -> Range<usize> {
    total * index / parts..total * (index + 1) / parts
}

/// Runs `work` once for each part and gathers the results in the order of the parts, whichever
/// thread they ran on.
pub(crate) fn in_parts<R: Send>(parts: usize, work: impl Fn(usize) -> R + Send + Sync) -> Vec<R> {
    if parts == 1 {
        return vec![work(0)];
    }
    (0..parts)
        .into_par_iter()
        .with_max_len(1)
        .map(work)
        .collect()
}
