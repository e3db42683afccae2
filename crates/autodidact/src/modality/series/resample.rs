//! Series of another number of steps, without gaps: the item's own numbers, laid out alike.

/// Values `[time, channels]` brought to `length` steps by straight lines; what is missing is bridged by such as well, at the
/// ends by the nearest value, and is 0 in a channel without any.
pub(super) fn resampled(values: &[f32], channels: usize, length: usize) -> Vec<f32> {
    let steps = values.len() / channels.max(1);
    let mut out = vec![0.0; length * channels];
    for channel in 0..channels {
        let there: Vec<(usize, f32)> = (0..steps)
            .map(|step| (step, values[step * channels + channel]))
            .filter(|(_, value)| value.is_finite())
            .collect();
        let (Some(&first), Some(&last)) = (there.first(), there.last()) else {
            continue;
        };
        let mut next = 0;
        for place in 0..length {
            let at = match length {
                1 => (steps - 1) as f64 / 2.0,
                _ => place as f64 * (steps - 1) as f64 / (length - 1) as f64,
            };
            while next < there.len() && (there[next].0 as f64) < at {
                next += 1;
            }
            let value = match next {
                0 => first.1,
                next if next == there.len() => last.1,
                next => {
                    let (left, right) = (there[next - 1], there[next]);
                    let part = (at - left.0 as f64) / (right.0 - left.0) as f64;
                    (f64::from(left.1) + part * (f64::from(right.1) - f64::from(left.1))) as f32
                }
            };
            out[place * channels + channel] = value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_between_values_and_over_gaps() {
        let gap = f32::NAN;
        assert_eq!(resampled(&[0.0, 2.0, 4.0], 1, 5), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(resampled(&[0.0, 2.0, 4.0], 1, 2), [0.0, 4.0]);
        assert_eq!(resampled(&[0.0, 2.0, 4.0], 1, 1), [2.0]);
        let values = [gap, 1.0, 2.0, gap, gap, gap, 8.0, gap];
        // Steps of two channels: [gap, 1], [2, gap], [gap, gap], [8, gap].
        let found = resampled(&values, 2, 4);
        assert_eq!(found, [2.0, 1.0, 2.0, 1.0, 5.0, 1.0, 8.0, 1.0]);
        assert_eq!(resampled(&[gap, gap], 1, 3), [0.0; 3]);
    }
}
