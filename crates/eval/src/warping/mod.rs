//! Dynamic time warping, and the classifier that takes the class of the nearest series.
//!
//! A series is a [`Matrix`] with a row per step and a column per channel. Two series are matched step to step by a path
//! from both beginnings to both ends that never goes back; the distance is the root of the least sum over such paths of
//! the squared Euclidean distances of matched steps, all channels together (the dependent form of Shokoohi-Yekta et al.
//! 2017). A band keeps matched steps near in time (Sakoe and Chiba 1978); with a band of 0 it is the Euclidean distance.
//! The nearest neighbor by this distance is the baseline that the UCR archive reports (Dau et al. 2019).
//!
//! The search skips what can't be nearest by bounds from below: the first and last steps, then LB_Keogh (Keogh and
//! Ratanamahatana 2005), then the path itself, given up once it and what is left of the bound are too long (Rakthanmanon
//! et al. 2012). The answer is that of the full search.

mod envelope;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::labels::Encoded;
use crate::matrix::Matrix;
use envelope::Envelope;

/// Bounds and distances are sums in different orders: a bound counts only by more than rounding.
const ROUNDING: f64 = 1. - 1e-9;

/// The distance of two series of T and S steps, with the same channels, possibly of different lengths.
///
/// Steps further apart than `band` are not matched; a band below |T − S| is taken as that, as no path fits otherwise.
/// Takes T · S operations, or about T · `band`.
///
/// # Errors
///
/// If the channels differ.
///
/// ```
/// # use autodidact_eval::{Matrix, warping};
/// let early = Matrix::from_vec(5, 1, vec![0., 1., 2., 0., 0.])?;
/// let late = Matrix::from_vec(5, 1, vec![0., 0., 1., 2., 0.])?;
/// assert_eq!(warping::distance(&early, &late, None)?, 0.);
/// assert!(warping::distance(&early, &late, Some(0))? > 2.);
/// # Ok::<(), autodidact_eval::EvalError>(())
/// ```
pub fn distance(a: &Matrix, b: &Matrix, band: Option<usize>) -> Result<f64> {
    a.check_columns(b)?;
    let rest = vec![0.; a.rows() + 1];
    let mut rows = Rows::default();
    // Nothing is longer than infinity.
    let squared = rows.squared_distance(a, b, reach(a, b, band), &rest, f64::INFINITY);
    Ok(squared.unwrap_or(f64::INFINITY).sqrt())
}

/// The nearest series of the bank to each query, and its distance; the first among equally near ones.
///
/// # Errors
///
/// If there are no series in the bank, or the channels of any two series differ.
pub fn nearest(
    bank: &[Matrix],
    queries: &[Matrix],
    band: Option<usize>,
) -> Result<Vec<(usize, f64)>> {
    check(bank, queries)?;
    let envelopes = envelopes(bank, band);
    let search =
        |rows: &mut Rows, query: &Matrix| rows.nearest(bank, &envelopes, query, band, usize::MAX);
    Ok(queries.par_iter().map_init(Rows::default, search).collect())
}

/// The nearest *other* series to each series of the bank, and its distance.
///
/// # Errors
///
/// As [`nearest`], and if there is a single series.
pub fn nearest_within(bank: &[Matrix], band: Option<usize>) -> Result<Vec<(usize, f64)>> {
    check(bank, bank)?;
    if bank.len() < 2 {
        return Err(EvalError::FewRows {
            found: bank.len(),
            expected: 2,
        });
    }
    let envelopes = envelopes(bank, band);
    let search =
        |rows: &mut Rows, query: usize| rows.nearest(bank, &envelopes, &bank[query], band, query);
    Ok((0..bank.len())
        .into_par_iter()
        .map_init(Rows::default, search)
        .collect())
}

/// The class of the nearest series of the bank for each query.
///
/// # Errors
///
/// As [`nearest`], and if the labels are not one per series of the bank.
pub fn classify(
    bank: &[Matrix],
    labels: &[u32],
    queries: &[Matrix],
    band: Option<usize>,
) -> Result<Vec<u32>> {
    EvalError::check_length("labels", labels.len(), bank.len())?;
    let found = nearest(bank, queries, band)?;
    Ok(found
        .into_iter()
        .map(|(series, _)| labels[series])
        .collect())
}

/// The band under which most series of a training part have the class of their nearest other series, and that share
/// from 0 to 1: how the UCR archive chooses it. The first of the best wins, so let the candidates ascend.
///
/// # Errors
///
/// As [`nearest_within`], if the labels are not one per series or all of one class, or there are no candidates.
pub fn choose_band(bank: &[Matrix], labels: &[u32], candidates: &[usize]) -> Result<(usize, f64)> {
    EvalError::check_length("labels", labels.len(), bank.len())?;
    if let [class] = Encoded::new(labels)?.classes[..] {
        return Err(EvalError::OneClass { class });
    }
    let mut best: Option<(usize, f64)> = None;
    for &band in candidates {
        let found = nearest_within(bank, Some(band))?;
        let right = found
            .iter()
            .zip(labels)
            .filter(|((near, _), label)| labels[*near] == **label);
        let share = right.count() as f64 / labels.len() as f64;
        if best.is_none_or(|(_, highest)| share > highest) {
            best = Some((band, share));
        }
    }
    best.ok_or(EvalError::Empty { what: "bands" })
}

fn check(bank: &[Matrix], queries: &[Matrix]) -> Result<()> {
    let Some(first) = bank.first() else {
        return Err(EvalError::Empty { what: "series" });
    };
    let mut all = bank.iter().chain(queries);
    all.try_for_each(|series| first.check_columns(series))
}

/// How far apart in time two matched steps may be.
fn reach(a: &Matrix, b: &Matrix, band: Option<usize>) -> usize {
    match band {
        Some(band) => band.max(a.rows().abs_diff(b.rows())),
        None => a.rows().max(b.rows()),
    }
}

fn envelopes(bank: &[Matrix], band: Option<usize>) -> Vec<Envelope> {
    bank.par_iter()
        .map(|series| Envelope::new(series, band))
        .collect()
}

/// The squared distance of a step to another.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

/// Two rows of the table of shortest paths, used again and again.
#[derive(Default)]
struct Rows {
    last: Vec<f64>,
    this: Vec<f64>,
    /// The bound from below of what the steps from each on will add.
    rest: Vec<f64>,
}

impl Rows {
    /// The squared distance, or none once it is sure to be above `limit`, given that the steps of `a` from each on add
    /// at least `rest`.
    fn squared_distance(
        &mut self,
        a: &Matrix,
        b: &Matrix,
        reach: usize,
        rest: &[f64],
        limit: f64,
    ) -> Option<f64> {
        let (steps, others) = (a.rows(), b.rows());
        // Entry `other + 1` is the path to step `other`; what is not reached is infinitely far.
        self.last.clear();
        self.last.resize(others + 1, f64::INFINITY);
        self.this.clear();
        self.this.resize(others + 1, f64::INFINITY);
        self.last[0] = 0.;
        for step in 0..steps {
            let from = step.saturating_sub(reach);
            let to = step.saturating_add(reach).min(others - 1);
            let row = a.row(step);
            let mut least = f64::INFINITY;
            // Left of the band nothing is reached; what a row before the last left there is wiped.
            self.this[from] = f64::INFINITY;
            for other in from..=to {
                let before = self.last[other]
                    .min(self.last[other + 1])
                    .min(self.this[other]);
                let path = before + apart(row, b.row(other));
                self.this[other + 1] = path;
                least = least.min(path);
            }
            if (least + rest[step + 1]) * ROUNDING > limit {
                return None;
            }
            std::mem::swap(&mut self.last, &mut self.this);
        }
        Some(self.last[others])
    }

    fn nearest(
        &mut self,
        bank: &[Matrix],
        envelopes: &[Envelope],
        query: &Matrix,
        band: Option<usize>,
        left_out: usize,
    ) -> (usize, f64) {
        let mut best = (usize::MAX, f64::INFINITY);
        for (index, (series, envelope)) in bank.iter().zip(envelopes).enumerate() {
            if index == left_out {
                continue;
            }
            let last = query.rows() - 1;
            let ends = apart(query.row(0), series.row(0));
            // With a single step each the two ends are one match.
            let ends = if last == 0 && series.rows() == 1 {
                ends
            } else {
                ends + apart(query.row(last), series.row(series.rows() - 1))
            };
            if ends * ROUNDING > best.1 {
                continue;
            }
            let mut rest = std::mem::take(&mut self.rest);
            envelope.rest(query, &mut rest);
            if rest[0] * ROUNDING <= best.1 {
                let reach = reach(query, series, band);
                let found = self.squared_distance(query, series, reach, &rest, best.1);
                // The first candidate is taken even if it is infinitely far.
                if let Some(squared) = found
                    && (squared < best.1 || best.0 == usize::MAX)
                {
                    best = (index, squared);
                }
            }
            self.rest = rest;
        }
        (best.0, best.1.sqrt())
    }
}

#[cfg(test)]
mod tests;
