//! Loops in the widest vectors of the machine.

use pulp::{Arch, Simd, WithSimd};

/// Runs `work`, a closure marked `#[inline(always)]`, compiled for the widest vectors that this
/// processor has. What is called inside must be inlined.
///
/// pulp takes closures as they are, too, but calls them once, and a closure that could be called
/// often is called once through an adapter that no attribute reaches. Where the compiler leaves
/// that adapter alone, as it does with long loops, they stay in the narrow vectors of the baseline.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnMut() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnMut() -> R> WithSimd for Work<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Work(work))
}
