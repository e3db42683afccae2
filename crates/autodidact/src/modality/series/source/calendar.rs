//! Where a time stands in the day, the week and the year: known of every step, also of those that nothing was measured at.

use std::f64::consts::TAU;

use crate::error::{Error, Result};
use crate::modality::series::MOST_CHANNELS;

/// What is told of a time, two channels each, and how many seconds it takes to come round.
const CYCLES: [(&str, f64); 3] = [("day", DAY), ("week", 7.0 * DAY), ("year", 365.2425 * DAY)];
const DAY: f64 = 86_400.0;

/// Channels of a time.
const WIDTH: usize = 2 * CYCLES.len();

/// Channels that the calendar adds where it is asked for.
pub(super) fn width(asked: bool) -> usize {
    if asked { WIDTH } else { 0 }
}

/// The sine and the cosine of the phase of a time in each cycle; not numbers where there is no time. `time` is in seconds
/// since 1970, in the zone that the data is written in.
pub(super) fn of(time: Option<f64>) -> [f32; WIDTH] {
    let time = time.unwrap_or(f64::NAN);
    let mut channels = [0.0; WIDTH];
    for ((_, length), pair) in CYCLES.iter().zip(channels.chunks_exact_mut(2)) {
        let angle = TAU * time.rem_euclid(*length) / length;
        pair[0] = angle.sin() as f32;
        pair[1] = angle.cos() as f32;
    }
    channels
}

/// Refuses what leaves no room for the calendar.
///
/// # Errors
/// When there are too many channels already.
pub(super) fn check(measured: usize) -> Result<()> {
    if measured + WIDTH <= MOST_CHANNELS {
        return Ok(());
    }
    Err(Error::recipe(format!(
        "data.reading.calendar, and {measured} channels that were measured"
    ))
    .expected(format!(
        "{} at most beside the calendar",
        MOST_CHANNELS - WIDTH
    ))
    .mend("name fewer channels with data.reading.columns"))
}

/// What is added, for people.
pub(super) fn note() -> String {
    let cycles: Vec<&str> = CYCLES.iter().map(|(name, _)| *name).collect();
    format!(
        "{WIDTH} of the channels tell the time of {}",
        cycles.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_come_round() {
        let near = |time: f64, expected: [f32; 2], at: usize| {
            let found = of(Some(time));
            let close = (found[at] - expected[0]).abs() + (found[at + 1] - expected[1]).abs();
            assert!(close < 1e-6, "{time}: {found:?}");
        };
        // Midnight and six o'clock; the beginning of 1970 was a Thursday, half a week before it a Sunday at noon.
        near(0.0, [0.0, 1.0], 0);
        near(0.25 * DAY, [1.0, 0.0], 0);
        near(-0.25 * DAY, [-1.0, 0.0], 0);
        near(1000.25 * DAY, [1.0, 0.0], 0);
        near(-3.5 * DAY, [0.0, -1.0], 2);
        near(40.0 * 365.2425 * DAY, [0.0, 1.0], 4);
        assert!(of(None).iter().all(|value| value.is_nan()));
        assert!(check(MOST_CHANNELS - WIDTH).is_ok() && check(MOST_CHANNELS).is_err());
    }
}
