//! In which precision products are multiplied.
//!
//! Mixed precision in the sense of Micikevicius et al., *Mixed Precision Training* (2018), and
//! Kalamkar et al., *A Study of BFLOAT16 for Deep Learning Training* (2019): the operands of a
//! product are rounded to bf16, everything else stays `f32`: sums, activations, gradients, weights
//! and their updates. bf16 has the range of `f32`, so the loss needs no scaling.

#[cfg(feature = "flex")]
use std::cell::Cell;

#[cfg(feature = "flex")]
use crate::bfloat::Engine;

/// In which precision convolutions and linear layers multiply, forward and backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bf16, products summed in `f32`, where the machine has instructions for
    /// it; [`Precision::F32`] elsewhere.
    Bf16,
}

#[cfg(feature = "flex")]
thread_local! {
    /// What multiplies bf16 in the current scope, if anything should.
    static ENGINE: Cell<Option<Engine>> = const { Cell::new(None) };
}

impl Precision {
    /// Runs `work` with the operations that it calls on this thread in this precision. Their
    /// backward passes are in the same precision, whenever and on whatever thread they run.
    pub fn scope<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(feature = "flex")]
        {
            in_engine(self.engine(), work)
        }
        #[cfg(not(feature = "flex"))]
        work()
    }

    /// The instructions that this machine has for this precision, by name; none for
    /// [`Precision::Bf16`] means that the operations run in `f32`.
    pub fn instructions(self) -> Option<&'static str> {
        match self {
            Self::F32 => Some("f32"),
            #[cfg(feature = "flex")]
            Self::Bf16 => self.engine().map(Engine::name),
            #[cfg(not(feature = "flex"))]
            Self::Bf16 => None,
        }
    }

    #[cfg(feature = "flex")]
    fn engine(self) -> Option<Engine> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Engine::fastest(),
        }
    }
}

/// Runs `work` with this engine for bf16, or in `f32`.
#[cfg(feature = "flex")]
pub(crate) fn in_engine<R>(engine: Option<Engine>, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Engine>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ENGINE.set(self.0);
        }
    }
    let _restore = Restore(ENGINE.replace(engine));
    work()
}

/// What multiplies bf16 in the current scope, if anything should.
#[cfg(feature = "flex")]
pub(crate) fn engine() -> Option<Engine> {
    ENGINE.get()
}
