//! How well scores put anomalies before everything else, whatever the threshold.

use super::{by_falling_score, check_both};
use crate::error::Result;

/// The average precision: the sum over thresholds of the precision there times the recall gained there. Of scores that
/// know nothing it is the share of anomalies; at best it is 1. That of scikit-learn's `average_precision_score`, and the
/// area under the precision-recall curve taken as steps; straight lines between its points would flatter (Davis and
/// Goadrich 2006).
///
/// # Errors
///
/// If a score is not finite, the labels are not one per score, or all steps are anomalous or none is.
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Result<f64> {
    check_both(scores, labels)?;
    let anomalies = labels.iter().filter(|&&label| label).count() as f64;
    let (mut alarms, mut found, mut sum) = (0., 0., 0.);
    for (_, steps) in by_falling_score(scores) {
        alarms += steps.len() as f64;
        let gained = steps.iter().filter(|&&step| labels[step]).count() as f64;
        found += gained;
        sum += gained / anomalies * (found / alarms);
    }
    Ok(sum)
}

/// The area under the ROC curve: how often an anomalous step scores above a normal one, equal scores counting half. Of
/// scores that know nothing it is 0.5; at best it is 1. Where anomalies are rare, a high value still goes with mostly
/// wrong alarms.
///
/// # Errors
///
/// As [`average_precision`].
pub fn roc_auc(scores: &[f64], labels: &[bool]) -> Result<f64> {
    check_both(scores, labels)?;
    let anomalies = labels.iter().filter(|&&label| label).count() as f64;
    let normal = labels.len() as f64 - anomalies;
    let (mut above, mut sum) = (0., 0.);
    for (_, steps) in by_falling_score(scores) {
        let gained = steps.iter().filter(|&&step| labels[step]).count() as f64;
        let others = steps.len() as f64 - gained;
        sum += others * (above + 0.5 * gained);
        above += gained;
    }
    Ok(sum / (anomalies * normal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tied() -> (Vec<f64>, Vec<bool>) {
        let scores = (0..200).map(|i| ((i * 37 % 101) / 6) as f64).collect();
        (scores, (0..200).map(|i| i % 13 < 3).collect())
    }

    #[test]
    fn a_small_case_by_hand() {
        // Right, wrong, right, wrong: precision 1 at recall ½ and ⅔ at recall 1; three of four pairs in order.
        let (scores, labels) = ([4., 3., 2., 1.], [true, false, true, false]);
        assert!((average_precision(&scores, &labels).unwrap() - (0.5 + 1. / 3.)).abs() < 1e-12);
        assert_eq!(roc_auc(&scores, &labels).unwrap(), 0.75);
        // Where all are equal, the share of anomalies and one half.
        assert_eq!(average_precision(&[2.; 4], &labels).unwrap(), 0.5);
        assert_eq!(roc_auc(&[2.; 4], &labels).unwrap(), 0.5);
        assert_eq!(average_precision(&[0., -0.], &[true, false]).unwrap(), 0.5);
    }

    #[test]
    fn areas_are_those_of_the_plain_loops() {
        let (scores, labels) = tied();
        let (mut pairs, mut ordered) = (0., 0.);
        for i in (0..200).filter(|&i| labels[i]) {
            for j in (0..200).filter(|&j| !labels[j]) {
                pairs += 1.;
                ordered += match scores[i].total_cmp(&scores[j]) {
                    std::cmp::Ordering::Greater => 1.,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.,
                };
            }
        }
        assert!((roc_auc(&scores, &labels).unwrap() - ordered / pairs).abs() < 1e-12);
        // Of each anomaly the precision at its own score, averaged.
        let precision = |threshold: f64| {
            let alarms: Vec<usize> = (0..200).filter(|&i| scores[i] >= threshold).collect();
            alarms.iter().filter(|&&i| labels[i]).count() as f64 / alarms.len() as f64
        };
        let anomalies: Vec<usize> = (0..200).filter(|&i| labels[i]).collect();
        let naive = anomalies.iter().map(|&i| precision(scores[i])).sum::<f64>();
        let found = average_precision(&scores, &labels).unwrap();
        assert!((found - naive / anomalies.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn wrong_input_is_refused() {
        let (scores, labels) = tied();
        assert!(roc_auc(&scores[1..], &labels).is_err());
        assert!(roc_auc(&scores, &[true; 200]).is_err());
        assert!(average_precision(&scores, &[false; 200]).is_err());
        assert!(average_precision(&[], &[]).is_err());
        assert!(average_precision(&[f64::INFINITY, 0.], &[true, false]).is_err());
    }
}
