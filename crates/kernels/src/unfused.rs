//! Doing without the fused kernels for a while, to compare with them.

use std::cell::Cell;

thread_local! {
    static UNFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with every operation that this thread starts composed of Burn's own, as on a device
/// that has no kernels.
///
/// It holds for this thread alone, until `work` returns or panics, and may be nested. A backward
/// pass follows the operations that were recorded, wherever it is run.
///
/// ```
/// use autodidact_kernels::{layer_norm, layer_norm_reference, unfused};
/// use burn::tensor::{Device, Tensor};
///
/// let x = Tensor::<2>::from_data([[1.0, 2.0, 4.0]], &Device::default());
/// let [one, zero] = [x.ones_like(), x.zeros_like()].map(|x| x.reshape([3]));
/// let composed = unfused(|| layer_norm(x.clone(), one.clone(), zero.clone(), 1e-5));
/// let reference = layer_norm_reference(x, one, zero, 1e-5);
/// composed.into_data().assert_eq(&reference.into_data(), true);
/// ```
pub fn unfused<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            UNFUSED.set(self.0);
        }
    }
    let _restore = Restore(UNFUSED.replace(true));
    work()
}

/// Whether this thread is inside [`unfused`].
#[cfg(feature = "flex")]
pub(crate) fn is_unfused() -> bool {
    UNFUSED.get()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::oracle::{tensor, values};

    #[test]
    fn nothing_is_fused_inside_on_this_thread_and_everything_afterwards() {
        let x = tensor([2, 3], 1).into_dispatch();
        let fusible = || crate::operation::fusible(&[&x]);
        assert!(fusible());
        unfused(|| {
            assert!(!fusible());
            unfused(|| assert!(!fusible()));
            assert!(!fusible(), "the inner scope ended the outer one");
            std::thread::scope(|scope| {
                let other = scope.spawn(is_unfused).join();
                assert!(!other.expect("no panic"), "another thread's kernels");
            });
        });
        assert!(fusible());
        let panic = catch_unwind(AssertUnwindSafe(|| unfused(|| panic!("on purpose"))));
        assert!(panic.is_err());
        assert!(fusible(), "a panic left the kernels off");
    }

    #[test]
    fn it_is_burns_own_operations_bit_for_bit() {
        let (x, weight) = (tensor([5, 7], 1), tensor([3, 7], 2));
        let linear = || {
            let none = crate::Activation::None;
            crate::linear(x.clone(), weight.clone(), None, none)
        };
        let reference = || {
            let none = crate::Activation::None;
            crate::linear_reference(x.clone(), weight.clone(), None, none)
        };
        assert_eq!(values(&unfused(linear)), values(&reference()));
    }
}
