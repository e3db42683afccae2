//! Where the time of a training step goes, and how near each operation comes to the machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Forward or backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// From inputs to output.
    Forward,
    /// From the gradient of the output to those of the inputs.
    Backward,
}

/// The calls of one operation with one shape of output, in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The operation, as its type is called.
    pub operation: &'static str,
    /// Forward or backward.
    pub pass: Pass,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// How often it ran.
    pub calls: usize,
    /// Wall time of all calls.
    pub time: Duration,
    /// Floating-point operations of the products in all calls; those of elementwise functions
    /// aren't counted.
    pub flops: f64,
    /// Bytes that had to be read or written in all calls: each input and output once.
    pub bytes: f64,
}

/// Runs `work` and measures every fused operation that this thread starts in it, and their
/// backward passes wherever these run. What Burn's own operations take isn't seen.
///
/// ```
/// use autodidact_kernels::{Activation, Pass, linear, profile};
/// use burn::tensor::{Device, Tensor};
///
/// let x = Tensor::<2>::ones([4, 8], &Device::default());
/// let weight = Tensor::<2>::ones([16, 8], &Device::default());
/// let (y, measured) = profile(|| linear(x, weight, None, Activation::None));
/// assert_eq!(y.dims(), [4, 16]);
/// # if cfg!(feature = "flex") {
/// assert_eq!(measured[0].pass, Pass::Forward);
/// assert_eq!(measured[0].flops, 2.0 * 4.0 * 8.0 * 16.0);
/// # }
/// ```
pub fn profile<R>(work: impl FnOnce() -> R) -> (R, Vec<Measured>) {
    struct Restore(Option<Arc<Profile>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let profile = Arc::new(Profile::default());
    let _restore = Restore(CURRENT.replace(Some(profile.clone())));
    let result = work();
    (result, profile.measured())
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Profile>>> = const { RefCell::new(None) };
}

/// The profile that this thread is inside of.
#[cfg(feature = "flex")]
pub(crate) fn current() -> Option<Arc<Profile>> {
    CURRENT.with_borrow(Clone::clone)
}

type Key = (&'static str, Pass, Vec<usize>);

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    entries: Mutex<BTreeMap<Key, (usize, Duration, f64, f64)>>,
}

impl Profile {
    #[cfg(feature = "flex")]
    pub(crate) fn add(
        &self,
        (operation, pass, shape): Key,
        time: Duration,
        flops: f64,
        bytes: f64,
    ) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry((operation, pass, shape)).or_default();
        entry.0 += 1;
        entry.1 += time;
        entry.2 += flops;
        entry.3 += bytes;
    }

    /// The slowest first.
    fn measured(&self) -> Vec<Measured> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut measured: Vec<Measured> = entries
            .iter()
            .map(
                |((operation, pass, shape), &(calls, time, flops, bytes))| Measured {
                    operation,
                    pass: *pass,
                    shape: shape.clone(),
                    calls,
                    time,
                    flops,
                    bytes,
                },
            )
            .collect();
        measured.sort_by_key(|entry| std::cmp::Reverse(entry.time));
        measured
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::{Activation, linear};

    #[test]
    fn both_passes_are_counted_and_nothing_outside() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::ones([4, 8], &device);
        let weight = Tensor::<2>::ones([16, 8], &device).require_grad();
        let multiply = || linear(x.clone(), weight.clone(), None, Activation::None);
        multiply();
        let (_, measured) = profile(|| {
            multiply();
            multiply().sum().backward()
        });
        multiply();
        let find = |pass| measured.iter().find(|entry| entry.pass == pass).unwrap();
        let forward = find(Pass::Forward);
        assert_eq!((forward.operation, forward.calls), ("Linear", 2));
        assert_eq!(forward.shape, [4, 16]);
        assert_eq!(forward.flops, 2.0 * 2.0 * 4.0 * 8.0 * 16.0);
        assert_eq!(
            forward.bytes,
            2.0 * 4.0 * f64::from(4 * 8 + 16 * 8 + 4 * 16)
        );
        let backward = find(Pass::Backward);
        // The input wants no gradient, so there is one product.
        assert_eq!(backward.flops, 2.0 * 4.0 * 8.0 * 16.0);
        assert_eq!(backward.calls, 1);
        assert!(backward.time > Duration::ZERO);
        assert_eq!(measured.len(), 2);
        assert!(current().is_none());
    }
}
