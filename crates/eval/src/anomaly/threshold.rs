//! Thresholds from scores that nobody labeled, for a false-alarm rate chosen beforehand.
//!
//! Conformal prediction (Vovk, Gammerman and Shafer 2005; Laxhammar and Falkman 2010 for anomalies): where n known scores
//! and a new normal one are exchangeable, the new one is among the k highest of all n + 1 with probability k / (n + 1).
//! The plain quantile of n scores forgets the new one and is too low by about one place.

use crate::error::{EvalError, Result};

/// The lowest threshold at or above which a new normal score lies with probability `rate` at most, on average over known
/// scores and new ones.
///
/// The known scores have to be of normal items which the detector has not been fitted to, exchangeable with the new
/// ones; of a series that drifts, or of overlapping windows, they are so only roughly. Anomalies among them make the
/// threshold higher: fewer alarms, never more false ones.
///
/// # Errors
///
/// If a score is not finite, the rate is not between 0 and 1, or there are fewer scores than 1 / rate − 1, which no
/// finite threshold is enough for.
///
/// ```
/// # use autodidact_eval::anomaly::{alarms, threshold::conformal};
/// let known: Vec<f64> = (1..=99).map(f64::from).collect();
/// let threshold = conformal(&known, 0.05)?;
/// assert_eq!(alarms(&[95., 95.5], threshold), [false, true]);
/// # Ok::<(), autodidact_eval::EvalError>(())
/// ```
pub fn conformal(known: &[f64], rate: f64) -> Result<f64> {
    EvalError::check_scores(known)?;
    check_rate(rate)?;
    // The new score may be among the `alarms` highest of all n + 1: it then exceeds all but `alarms` − 1 known ones. The
    // slack keeps rounding from losing one where the product is a whole number.
    let share = (known.len() + 1) as f64 * rate * (1. + 1e-12);
    let alarms = (share as usize).min(known.len());
    if alarms == 0 {
        return Err(EvalError::FewRows {
            found: known.len(),
            expected: (1. / rate - 1. - 1e-9).ceil().min(usize::MAX as f64) as usize,
        });
    }
    let mut sorted = known.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    // An alarm has to be above this score, so the threshold is the next number.
    Ok(sorted[known.len() - alarms].next_up())
}

/// For each new score how likely one as high would be of a normal item: (1 + known scores at or above it) / (n + 1). An
/// alarm at p-values up to `rate` is one at [`conformal`]'s threshold, but for rounding.
///
/// # Errors
///
/// If a score is not finite or there are none.
pub fn p_values(known: &[f64], scores: &[f64]) -> Result<Vec<f64>> {
    EvalError::check_scores(known)?;
    EvalError::check_scores(scores)?;
    let mut sorted = known.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let p_value = |&score: &f64| {
        let below = sorted.partition_point(|&known| known < score);
        (1 + sorted.len() - below) as f64 / (sorted.len() + 1) as f64
    };
    Ok(scores.iter().map(p_value).collect())
}

fn check_rate(rate: f64) -> Result<()> {
    if rate > 0. && rate < 1. {
        return Ok(());
    }
    Err(EvalError::Setting {
        name: "false-alarm rate",
        found: rate,
        expected: "between 0 and 1",
    })
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::super::alarms;
    use super::*;
    use crate::sampling::generator;

    #[test]
    fn the_place_among_the_known_scores_is_exact() {
        let known: Vec<f64> = (1..=19).map(f64::from).collect();
        // Of 20 scores one may alarm at 5 %: the new one has to exceed all; at 10 % all but one.
        for (rate, above) in [
            (0.05, 19.),
            (0.0999, 19.),
            (0.1, 18.),
            (0.5, 10.),
            (0.95, 1.),
        ] {
            let threshold = conformal(&known, rate).unwrap();
            assert_eq!(
                alarms(&[above, above + 0.1], threshold),
                [false, true],
                "{rate}"
            );
            let new: Vec<f64> = (0..=40).map(|i| f64::from(i) / 2.).collect();
            let by_p_value: Vec<bool> = p_values(&known, &new)
                .unwrap()
                .iter()
                .map(|&p| p <= rate + 1e-12)
                .collect();
            assert_eq!(alarms(&new, threshold), by_p_value);
        }
        assert_eq!(
            conformal(&known, 0.04),
            Err(EvalError::FewRows {
                found: 19,
                expected: 24
            })
        );
    }

    #[test]
    fn the_rate_is_kept_on_average_and_the_plain_quantile_does_not_keep_it() {
        let (mut kept, mut plain) = (0, 0);
        for trial in 0..20_000 {
            let mut generator = generator(3, trial);
            let known: Vec<f64> = (0..30).map(|_| generator.random::<f64>()).collect();
            let new = generator.random::<f64>();
            kept += u32::from(new >= conformal(&known, 0.1).unwrap());
            let mut sorted = known;
            sorted.sort_unstable_by(f64::total_cmp);
            plain += u32::from(new > sorted[27 - 1]);
        }
        let (kept, plain) = (f64::from(kept) / 20_000., f64::from(plain) / 20_000.);
        // Three of 31 are at most a tenth: 0.0968; and the 90 % quantile has four of 31 above: 0.129.
        assert!((kept - 3. / 31.).abs() < 0.008, "{kept}");
        assert!((plain - 4. / 31.).abs() < 0.008, "{plain}");
    }

    #[test]
    fn equal_scores_raise_no_alarm_among_themselves() {
        let threshold = conformal(&[2.; 50], 0.1).unwrap();
        assert_eq!(alarms(&[2., 2.1], threshold), [false, true]);
    }

    #[test]
    fn wrong_input_is_refused() {
        assert!(conformal(&[], 0.1).is_err() && conformal(&[f64::NAN], 0.9).is_err());
        for rate in [0., 1., -0.1, f64::NAN] {
            assert!(conformal(&[1.; 100], rate).is_err());
        }
        assert!(conformal(&[1.; 100], 1_f64.next_down()).is_ok());
        assert!(p_values(&[], &[1.]).is_err() && p_values(&[1.], &[]).is_err());
    }
}
