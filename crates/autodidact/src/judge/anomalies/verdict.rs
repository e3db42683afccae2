//! Whether pretraining helped to find what is not normal, in words.
//!
//! Of two detectors that are worth the same, one is always a little ahead. So what counts is how far apart they are over
//! draws of the recordings, the same draws for both.

use autodidact_eval::anomaly::areas::Areas;
use autodidact_eval::interval::Interval;

use super::{DETECTORS, Judged, PLAIN, PRETRAINED, UNTRAINED};
use crate::judge::verdict::Finding;

/// The verdict, from the measures and the areas of all detectors; `rate` is the part of normal steps that may be alarms.
pub(super) fn verdict(
    results: &[Finding],
    areas: &[Areas],
    judged: &[Judged],
    rate: f64,
) -> autodidact_eval::Result<String> {
    let said = |metric: &str| {
        let found = Finding::find(results, DETECTORS[PRETRAINED].0, "alarms", metric);
        100.0 * found.map_or(0.0, |found| found.value)
    };
    Ok(format!(
        "{} With a threshold for {:.1} % of false alarms, set without labels, {:.1} % of the abnormal steps are found, \
         {:.1} % of the normal ones are alarms, and {:.1} % of the alarms are right. The adjusted F1 counts a whole stretch \
         as found where one step of it is: it flatters, chance too.",
        compared(areas, judged)?,
        100.0 * rate,
        said("recall"),
        said("false_alarms"),
        said("precision"),
    ))
}

/// This network's detector beside that of the untrained network and beside the best that needs no network.
fn compared(areas: &[Areas], judged: &[Judged]) -> autodidact_eval::Result<String> {
    let area = |at: usize| areas[at].value();
    let against = |at: usize| areas[PRETRAINED].difference(&areas[at]);
    // Which of the plain ones is spoken of is chosen by what is judged on; which of this network's isn't, so that it can only
    // seem worse than it is.
    let plain = (PLAIN..DETECTORS.len()).max_by(|&a, &b| area(a).total_cmp(&area(b)));
    let plain = plain.unwrap_or(PLAIN);
    let (ours, chance) = (area(PRETRAINED), area(DETECTORS.len() - 1));
    let (words, simple) = (DETECTORS[PRETRAINED].1, DETECTORS[plain].1);
    let by = "By the area under precision and recall,";
    let untrained = "the untrained network";
    Ok(match (against(UNTRAINED)?, against(plain)?) {
        (Some(taught), Some(beaten)) => format!(
            "{} {by} {words} comes to {ours:.3}, chance to {chance:.3}. {} {} The ranges are 95 % intervals over {} \
             recordings; what another training seed would change, one run can't say.",
            opening(taught, beaten),
            beside(untrained, area(UNTRAINED), taught),
            beside(simple, area(plain), beaten),
            judged.len(),
        ),
        _ => format!(
            "Whether pretraining helped can't be told. {by} {words} comes to {ours:.3}, {untrained} to {:.3}, {simple} to \
             {:.3}, chance to {chance:.3}; {} can't say how sure that is, nor one run what another training seed would \
             change.",
            area(UNTRAINED),
            area(plain),
            too_few(judged),
        ),
    })
}

fn opening(taught: Interval, beaten: Interval) -> &'static str {
    match (taught.low > 0.0, beaten.low > 0.0) {
        // Whatever plain detectors are worth: what it began with was better.
        _ if taught.high < 0.0 => "Pretraining did more harm than good.",
        (true, true) => "Pretraining helped.",
        (true, false) => {
            "Pretraining taught the network something, but a plain detector serves as well or better."
        }
        (false, true) => "Pretraining did not help: the untrained network serves as well.",
        (false, false) => "Pretraining did not help.",
    }
}

/// This network's detector beside another one, by how far its area is above `theirs`.
fn beside(words: &str, theirs: f64, difference: Interval) -> String {
    let Interval { value, low, high } = difference;
    if low > 0.0 {
        format!("It beats {words} ({theirs:.3}) by {value:.3} ({low:+.3} to {high:+.3}).")
    } else if high < 0.0 {
        let (value, low, high) = (-value, -high, -low);
        format!("It falls behind {words} ({theirs:.3}) by {value:.3} ({low:+.3} to {high:+.3}).")
    } else {
        format!("It can't be told from {words} ({theirs:.3}; difference {low:+.3} to {high:+.3}).")
    }
}

/// Who can't say how sure a difference is.
fn too_few(judged: &[Judged]) -> String {
    let abnormal = judged.iter().filter(|one| one.abnormal.contains(&true));
    match abnormal.count() {
        1 => "one recording with abnormal steps".to_owned(),
        count => format!("{count} recordings with abnormal steps"),
    }
}

#[cfg(test)]
mod tests {
    use autodidact_eval::interval::Bootstrap;

    use super::super::detectors::Said;
    use super::super::measures::areas;
    use super::*;

    /// Recordings of fifty steps, five of them abnormal, of which each detector finds so many as `found` says of its place
    /// and of the recording.
    fn judged(recordings: usize, found: impl Fn(usize, usize) -> usize) -> Vec<Judged> {
        let abnormal = |step: usize| step % 10 == 3;
        let said = |detector: usize, recording: usize| {
            let score = |step: usize| {
                let chance = ((step * 37 + recording * 11) % 50) as f64 / 50.0;
                let finds = abnormal(step) && step / 10 < found(detector, recording);
                chance + f64::from(u8::from(finds))
            };
            Said {
                scores: (0..50).map(score).collect(),
                thresholds: vec![1.0; 50],
            }
        };
        let one = |recording: usize| Judged {
            abnormal: (0..50).map(abnormal).collect(),
            known: 100,
            said: (0..DETECTORS.len())
                .map(|detector| said(detector, recording))
                .collect(),
        };
        (0..recordings).map(one).collect()
    }

    fn words(judged: &[Judged]) -> String {
        let settings = Bootstrap {
            resamples: 200,
            ..Bootstrap::default()
        };
        let areas = areas(judged, &settings).unwrap();
        verdict(&[], &areas, judged, 0.02).unwrap()
    }

    /// What is said where the network, the untrained one and levels alone find so many of five, and others none.
    fn of(ours: usize, untrained: usize, levels: usize) -> String {
        words(&judged(8, |detector, _| match detector {
            PRETRAINED => ours,
            UNTRAINED => untrained,
            PLAIN => levels,
            _ => 0,
        }))
    }

    #[test]
    fn it_says_whether_pretraining_helped_and_by_how_much() {
        let said = of(5, 3, 2);
        assert!(
            said.starts_with(
                "Pretraining helped. By the area under precision and recall, distance by this network and levels comes to \
                 1.000, chance to 0."
            ),
            "{said}"
        );
        assert!(
            said.contains("It beats the untrained network (0.") && said.contains(" by 0."),
            "{said}"
        );
        assert!(
            said.contains("It beats distance by levels alone (0.") && said.contains(" (+0."),
            "{said}"
        );
        assert!(said.contains("95 % intervals over 8 recordings"), "{said}");
        let said = of(5, 3, 5);
        assert!(
            said.contains("a plain detector serves as well or better"),
            "{said}"
        );
        let said = of(5, 5, 3);
        assert!(
            said.starts_with("Pretraining did not help: the untrained network serves as well."),
            "{said}"
        );
        let said = of(3, 5, 2);
        assert!(
            said.starts_with("Pretraining did more harm than good.")
                && said.contains("It falls behind the untrained network (1.000) by 0."),
            "{said}"
        );
    }

    #[test]
    fn the_same_and_what_is_ahead_by_chance_can_not_be_told_apart() {
        let said = of(4, 4, 4);
        assert!(said.starts_with("Pretraining did not help. By"), "{said}");
        for words in ["the untrained network", "distance by levels alone"] {
            let start = format!("It can't be told from {words} (");
            assert!(said.contains(&start), "{said}");
        }
        assert!(said.contains("; difference +0.000 to +0.000)."), "{said}");
        // Ahead in five recordings of eight and behind in three.
        let near = judged(8, |detector, recording| match detector {
            PRETRAINED => 3 + usize::from(recording < 5),
            UNTRAINED => 3 + usize::from(recording >= 5),
            _ => 0,
        });
        let said = words(&near);
        assert!(
            said.contains("It can't be told from the untrained network"),
            "{said}"
        );
    }

    #[test]
    fn too_few_recordings_decide_nothing() {
        for (recordings, expected) in [
            (1, "one recording with abnormal steps can't say"),
            (5, "5 recordings with abnormal steps can't say"),
        ] {
            let found = judged(recordings, |detector, _| match detector {
                PRETRAINED => 5,
                _ => 0,
            });
            let said = words(&found);
            assert!(
                said.starts_with("Whether pretraining helped can't be told."),
                "{said}"
            );
            assert!(said.contains(expected), "{said}");
        }
    }
}
