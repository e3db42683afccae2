//! Probabilities that mean what they say: of the items predicted with a confidence of 0.8, eight in ten are right.
//!
//! Networks are mostly too sure. Temperature scaling divides all scores (logits) by one number chosen on held-out
//! items; it changes no prediction. Guo, Pleiss, Sun and Weinberger, *On Calibration of Modern Neural Networks* (2017).

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// Bins of the expected calibration error, as in Guo et al.
const BINS: usize = 15;
/// Where a temperature is looked for.
const RANGE: [f64; 2] = [0.05, 20.];
/// Halvings of the search, which leave 1e-6 of the range.
const NARROWINGS: usize = 30;

/// Class scores as probabilities, `[N, C]` → `[N, C]`: softmax(scores / temperature) of each row.
///
/// # Errors
///
/// If the temperature is not positive.
pub fn probabilities(logits: &Matrix, temperature: f64) -> Result<Matrix> {
    EvalError::check_positive("temperature", temperature)?;
    let mut data = Vec::with_capacity(logits.data().len());
    for row in 0..logits.rows() {
        let row = logits.row(row);
        let shift = logarithm_of_sum(row, temperature);
        data.extend(
            row.iter()
                .map(|&score| (f64::from(score) / temperature - shift).exp() as f32),
        );
    }
    Matrix::from_vec(logits.rows(), logits.columns(), data)
}

/// The mean of −log p of the items' own classes, in nats; `labels` are columns of the scores.
///
/// # Errors
///
/// If the labels are not one per row or no column, or the temperature is not positive.
pub fn negative_log_likelihood(logits: &Matrix, labels: &[u32], temperature: f64) -> Result<f64> {
    EvalError::check_positive("temperature", temperature)?;
    check_labels(logits, labels)?;
    let of_row = |(row, &label): (usize, &u32)| {
        let row = logits.row(row);
        logarithm_of_sum(row, temperature) - f64::from(row[label as usize]) / temperature
    };
    Ok(labels.iter().enumerate().map(of_row).sum::<f64>() / labels.len() as f64)
}

/// The expected calibration error, from 0 to 1: how far confidence is from accuracy, over 15 bins of confidence of
/// equal width, weighted by their items.
///
/// # Errors
///
/// As [`negative_log_likelihood`].
pub fn expected_calibration_error(
    logits: &Matrix,
    labels: &[u32],
    temperature: f64,
) -> Result<f64> {
    check_labels(logits, labels)?;
    let probabilities = probabilities(logits, temperature)?;
    // Of each bin: the sum of the confidences, and the number that is right.
    let mut bins = [(0., 0.); BINS];
    for (row, &label) in labels.iter().enumerate() {
        let (class, confidence) = most_likely(probabilities.row(row));
        let confidence = f64::from(confidence);
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += confidence;
        bin.1 += f64::from(u8::from(class == label));
    }
    let apart: f64 = bins
        .iter()
        .map(|(sure, right)| f64::abs(sure - right))
        .sum();
    Ok(apart / labels.len() as f64)
}

/// The temperature under which held-out items are likeliest, between 0.05 and 20.
///
/// The negative log-likelihood is convex in 1/temperature, so that a golden-section search finds its one minimum.
///
/// # Errors
///
/// As [`negative_log_likelihood`].
pub fn fit_temperature(logits: &Matrix, labels: &[u32]) -> Result<f64> {
    check_labels(logits, labels)?;
    let golden = (5f64.sqrt() - 1.) / 2.;
    let cost = |logarithm: f64| negative_log_likelihood(logits, labels, logarithm.exp());
    let [mut low, mut high] = RANGE.map(f64::ln);
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (cost(left)?, cost(right)?);
    for _ in 0..NARROWINGS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = cost(left)?;
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = cost(right)?;
        }
    }
    Ok((0.5 * (low + high)).exp())
}

/// The class of the largest value of a row, the first among equals, and that value.
pub fn most_likely(row: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &value) in (0..).zip(row) {
        if value > best.1 {
            best = (class, value);
        }
    }
    best
}

/// log Σ exp(score / temperature), which no score makes overflow.
fn logarithm_of_sum(row: &[f32], temperature: f64) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max)) / temperature;
    let rest: f64 = row
        .iter()
        .map(|&score| (f64::from(score) / temperature - largest).exp())
        .sum();
    largest + rest.ln()
}

fn check_labels(logits: &Matrix, labels: &[u32]) -> Result<()> {
    EvalError::check_length("labels", labels.len(), logits.rows())?;
    match labels
        .iter()
        .find(|&&label| label as usize >= logits.columns())
    {
        Some(&label) => Err(EvalError::Index {
            index: label as usize,
            rows: logits.columns(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::generator;
    use rand::RngExt;

    /// Scores of three classes, and labels drawn from the probabilities that they stand for, so that a temperature of
    /// 1 is right by construction.
    fn honest(items: usize) -> (Matrix, Vec<u32>) {
        let mut generator = generator(5, 0);
        let scores: Vec<f32> = (0..3 * items)
            .map(|_| 6. * generator.random::<f32>() - 3.)
            .collect();
        let logits = Matrix::from_vec(items, 3, scores).unwrap();
        let probabilities = probabilities(&logits, 1.).unwrap();
        let draw = |row: usize| {
            let mut left = generator.random::<f32>();
            let within = |&p: &f32| {
                left -= p;
                left < 0.
            };
            probabilities.row(row).iter().position(within).unwrap_or(2) as u32
        };
        let labels = (0..items).map(draw).collect();
        (logits, labels)
    }

    #[test]
    fn a_network_that_is_too_sure_is_brought_back() {
        let (logits, labels) = honest(20_000);
        let fitted = fit_temperature(&logits, &labels).unwrap();
        assert!((fitted - 1.).abs() < 0.03, "{fitted}");
        let sure: Vec<f32> = logits.data().iter().map(|score| 3. * score).collect();
        let sure = Matrix::from_vec(20_000, 3, sure).unwrap();
        let temperature = fit_temperature(&sure, &labels).unwrap();
        assert!((temperature - 3. * fitted).abs() < 0.01, "{temperature}");
        let error = |t| expected_calibration_error(&sure, &labels, t).unwrap();
        assert!(error(1.) > 0.1 && error(temperature) < 0.015);
        let cost = |t| negative_log_likelihood(&sure, &labels, t).unwrap();
        for other in [0.5, 0.9, 1.1, 2.] {
            assert!(cost(temperature) < cost(other * temperature));
        }
    }

    #[test]
    fn a_small_case_by_hand() {
        let logits = Matrix::from_vec(2, 2, vec![2., 0., 0., 0.]).unwrap();
        let p = probabilities(&logits, 2.).unwrap();
        let e = std::f32::consts::E;
        assert!((p.row(0)[0] - e / (e + 1.)).abs() < 1e-6 && p.row(1) == [0.5, 0.5]);
        let cost = negative_log_likelihood(&logits, &[1, 0], 1.).unwrap();
        let naive = 0.5 * ((2f64.exp() + 1.).ln() + 2f64.ln());
        assert!((cost - naive).abs() < 1e-9);
        // The first is 0.881 sure and wrong, the second 0.5 sure and right: two bins of one item.
        let apart = expected_calibration_error(&logits, &[1, 0], 1.).unwrap();
        let sure = 2f64.exp() / (2f64.exp() + 1.);
        assert!((apart - 0.5 * (sure + 0.5)).abs() < 1e-6);
        assert_eq!(most_likely(&[0.2, 0.4, 0.4]), (1, 0.4));
    }

    #[test]
    fn huge_scores_overflow_nothing_and_wrong_input_is_refused() {
        let logits = Matrix::from_vec(1, 2, vec![1e30, -1e30]).unwrap();
        assert_eq!(probabilities(&logits, 0.05).unwrap().row(0), [1., 0.]);
        assert!(fit_temperature(&logits, &[0]).unwrap() > 0.);
        assert!(probabilities(&logits, 0.).is_err());
        assert!(negative_log_likelihood(&logits, &[2], 1.).is_err());
        assert!(expected_calibration_error(&logits, &[0, 1], 1.).is_err());
    }
}
