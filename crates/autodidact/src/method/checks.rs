//! What methods check alike, and say alike where something doesn't fit.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use crate::error::{Error, Result};

/// Refuses a value outside its range.
///
/// # Errors
/// Names the key, the value and the range.
pub(super) fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::recipe(format!("method.{key} = {value}"))
        .expected(format!("a number from {low} to {high}")))
}

/// Refuses zero.
///
/// # Errors
/// Names the key.
pub(super) fn positive(key: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::recipe(format!("method.{key} = 0")).expected("at least 1"))
}

/// Refuses another number of views than the method takes.
///
/// # Errors
/// Says how many there are and how many are wanted.
pub(super) fn take<const N: usize, B>(views: Vec<B>, method: &str) -> Result<[B; N]> {
    let found = views.len();
    views.try_into().map_err(|_| {
        Error::recipe(format!("{found} views per item for {method}"))
            .expected(format!("{N}"))
            .mend("change the number of crops in [views]")
    })
}

/// The part of `count` questions whose true candidate scores highest: `scores`, `[questions, candidates]`, `targets` the true
/// ones, below 0 where a question doesn't count.
pub(super) fn share_right(scores: Tensor<2>, targets: Tensor<1, Int>, count: usize) -> Tensor<1> {
    let highest = scores.detach().argmax(1).squeeze_dim::<1>(1);
    highest
        .equal(targets)
        .float()
        .sum()
        .div_scalar(count as f64)
}

/// Refuses a network whose tokens are no symbols.
pub(super) fn wordless(method: &str) -> Error {
    Error::recipe(format!(
        "{method} with a network whose tokens are no symbols"
    ))
    .expected("a network over symbols, such as words")
}

/// Refuses a network whose tokens stand in no order of time, or see what comes after them.
pub(super) fn timeless(method: &str) -> Error {
    Error::recipe(format!("{method} with a network that knows no time"))
        .expected("a network whose tokens stand in the order of time")
}

/// The device that a module lives on.
pub(super) fn device_of<M: Module>(module: &M) -> Device {
    module.devices().into_iter().next().unwrap_or_default()
}
