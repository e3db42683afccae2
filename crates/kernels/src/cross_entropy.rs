//! Cross-entropy of class scores.
//!
//! `ℓ = 1/n · Σᵢ (log Σ_k exp(x_ik) − x_{i,t(i)})` over the n rows whose target counts. With a
//! smoothing of s, the target's part of each row is `1 − s` and every class has `s / classes`;
//! Szegedy et al., *Rethinking the Inception Architecture for Computer Vision* (2016), as torch
//! does it.
//!
//! The logarithms are of sums whose largest term is one, so nothing overflows. A row stays in the
//! cache between its passes: forward reads each score once from memory (4 bytes) and keeps two
//! floats a row beside the scores, backward reads it once more and writes the gradient (8 bytes).
//! No matrix of probabilities is ever stored.

use burn::tensor::{Int, Tensor};

#[cfg(feature = "flex")]
mod fused;

/// The mean cross-entropy over the rows whose target isn't `ignored`.
///
/// # Shapes
/// - `logits`: `[rows, classes]`, scores of any size
/// - `targets`: `[rows]`, from 0 to `classes - 1`, or `ignored`
/// - returns `[1]`; zero, with a gradient of zero, where no row counts
///
/// # Panics
/// If there isn't one target for each row, or, on the CPU, if one is out of range. (On other
/// devices the targets aren't looked at, as that would wait for them.)
pub fn cross_entropy(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    ignored: Option<i64>,
) -> Tensor<1> {
    cross_entropy_smoothed(logits, targets, ignored, 0.0)
}

/// [`cross_entropy`] whose targets share `smoothing`, from 0 to 1, among all classes.
///
/// # Panics
/// As [`cross_entropy`], or if the smoothing is out of range.
pub fn cross_entropy_smoothed(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    ignored: Option<i64>,
    smoothing: f64,
) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    assert_eq!(
        targets.dims(),
        [rows],
        "cross_entropy: there must be one target for each row of the scores [{rows}, {classes}]",
    );
    assert!(
        (0.0..=1.0).contains(&smoothing),
        "cross_entropy: found a smoothing of {smoothing}, expected one from 0 to 1",
    );
    #[cfg(feature = "flex")]
    {
        let (logits, targets) = (logits.into_dispatch(), targets.into_dispatch());
        if crate::operation::fusible(&[&logits])
            && let Some(targets) = crate::operation::integers(&targets)
        {
            let labels = labels(&targets, classes, ignored);
            return Tensor::from_dispatch(fused::cross_entropy(logits, labels, smoothing));
        }
        let (logits, targets) = (
            Tensor::from_dispatch(logits),
            Tensor::from_dispatch(targets),
        );
        cross_entropy_reference(logits, targets, ignored, smoothing)
    }
    #[cfg(not(feature = "flex"))]
    cross_entropy_reference(logits, targets, ignored, smoothing)
}

/// The class of each row, or nothing where it is ignored.
#[cfg(feature = "flex")]
fn labels(targets: &[i64], classes: usize, ignored: Option<i64>) -> Vec<Option<usize>> {
    let label = |(row, target): (usize, &i64)| {
        if ignored == Some(*target) {
            return None;
        }
        let label = usize::try_from(*target)
            .ok()
            .filter(|label| *label < classes);
        assert!(
            label.is_some(),
            "cross_entropy: the target of row {row} is {target}, expected a class below {classes}{}",
            ignored.map_or_else(String::new, |ignored| format!(
                ", or {ignored} to ignore the row"
            )),
        );
        label
    };
    targets.iter().enumerate().map(label).collect()
}

/// [`cross_entropy_smoothed`] composed of Burn's own operations, for any device.
pub fn cross_entropy_reference(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    ignored: Option<i64>,
    smoothing: f64,
) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let ignored = ignored.map(|ignored| targets.clone().equal_elem(ignored)); // [rows]
    let classes = match &ignored {
        Some(ignored) => targets.mask_fill(ignored.clone(), 0),
        None => targets,
    };
    let log = burn::tensor::activation::log_softmax(logits, 1);
    let of_target = log.clone().gather(1, classes.unsqueeze_dim::<2>(1)); // [rows, 1]
    let losses = of_target * (1.0 - smoothing) + log.mean_dim(1) * smoothing;
    let losses = losses.squeeze_dim::<1>(1);
    match ignored {
        Some(ignored) => {
            let count = ignored.clone().bool_not().float().sum().clamp_min(1.0);
            losses.mask_fill(ignored, 0.0).sum().neg() / count
        }
        None => losses.sum().neg() / rows.max(1) as f64,
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
