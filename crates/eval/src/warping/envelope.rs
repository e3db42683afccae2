//! What a series reaches within the band around each step, and the bound LB_Keogh that follows from it.

use std::collections::VecDeque;

use crate::matrix::Matrix;

/// The lowest and highest value of each channel near each step of a series.
pub(super) struct Envelope {
    /// Steps of the series.
    steps: usize,
    channels: usize,
    /// For each step and channel, or for each channel alone where steps are not told apart.
    low: Vec<f32>,
    high: Vec<f32>,
    /// The lowest and highest of all steps, for queries of other lengths, whose bands lie elsewhere.
    overall: [Vec<f32>; 2],
}

impl Envelope {
    pub(super) fn new(series: &Matrix, band: Option<usize>) -> Self {
        let (steps, channels) = (series.rows(), series.columns());
        let column = |channel: usize| series.data()[channel..].iter().step_by(channels).copied();
        let fold = |start, choose: fn(f32, f32) -> f32| -> Vec<f32> {
            (0..channels)
                .map(|channel| column(channel).fold(start, choose))
                .collect()
        };
        let overall = [
            fold(f32::INFINITY, f32::min),
            fold(f32::NEG_INFINITY, f32::max),
        ];
        let (mut low, mut high) = (Vec::new(), Vec::new());
        if let Some(band) = band.filter(|&band| band < steps) {
            low.resize(steps * channels, 0.);
            high.resize(steps * channels, 0.);
            for channel in 0..channels {
                let values: Vec<f32> = column(channel).collect();
                let lows = sliding(&values, band, |new, old| new <= old);
                let highs = sliding(&values, band, |new, old| new >= old);
                for step in 0..steps {
                    low[step * channels + channel] = lows[step];
                    high[step * channels + channel] = highs[step];
                }
            }
        }
        Self {
            steps,
            channels,
            low,
            high,
            overall,
        }
    }

    /// For each step of the query the least that it and all later ones add to the squared distance, and 0 after the last:
    /// every step is matched at least once, and what it is matched with lies in the envelope.
    pub(super) fn rest(&self, query: &Matrix, rest: &mut Vec<f64>) {
        rest.clear();
        rest.resize(query.rows() + 1, 0.);
        let by_step = query.rows() == self.steps && !self.low.is_empty();
        for step in (0..query.rows()).rev() {
            let (low, high) = if by_step {
                let at = step * self.channels..(step + 1) * self.channels;
                (&self.low[at.clone()], &self.high[at])
            } else {
                (&self.overall[0][..], &self.overall[1][..])
            };
            let outside = |((&value, &low), &high): ((&f32, &f32), &f32)| {
                let (value, low, high) = (f64::from(value), f64::from(low), f64::from(high));
                (value - high).max(low - value).max(0.).powi(2)
            };
            let channels = query.row(step).iter().zip(low).zip(high);
            rest[step] = rest[step + 1] + channels.map(outside).sum::<f64>();
        }
    }
}

/// For each position the value within `band` of it that beats the others, in one pass (Lemire 2009): the queue holds what
/// can still win, the winner first.
fn sliding(values: &[f32], band: usize, beats: fn(f32, f32) -> bool) -> Vec<f32> {
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut next = 0;
    let mut winners = Vec::with_capacity(values.len());
    for position in 0..values.len() {
        while next < values.len() && next <= position + band {
            while queue
                .back()
                .is_some_and(|&last| beats(values[next], values[last]))
            {
                queue.pop_back();
            }
            queue.push_back(next);
            next += 1;
        }
        while queue.front().is_some_and(|&first| first + band < position) {
            queue.pop_front();
        }
        winners.push(queue.front().map_or(f32::NAN, |&first| values[first]));
    }
    winners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_of_a_sliding_window_are_those_of_the_plain_loop() {
        let values: Vec<f32> = (0..60)
            .map(|i| ((i * i) as f32 * 0.37).sin().round())
            .collect();
        for band in [0, 1, 4, 59, 1000] {
            let (low, high) = (
                sliding(&values, band, |new, old| new <= old),
                sliding(&values, band, |new, old| new >= old),
            );
            for position in 0..60_usize {
                let near = &values[position.saturating_sub(band)..(position + band + 1).min(60)];
                let fold = |choose: fn(f32, f32) -> f32| near.iter().copied().reduce(choose);
                assert_eq!(Some(low[position]), fold(f32::min));
                assert_eq!(Some(high[position]), fold(f32::max));
            }
        }
    }

    #[test]
    fn what_lies_outside_the_envelope_is_summed_from_behind() {
        let series = Matrix::from_vec(3, 1, vec![0., 1., 5.]).unwrap();
        let query = Matrix::from_vec(3, 1, vec![2., 0.5, 7.]).unwrap();
        let rest = |band, query: &Matrix| {
            let mut rest = Vec::new();
            Envelope::new(&series, band).rest(query, &mut rest);
            rest
        };
        // Within one step: 0 to 1, 0 to 5, 1 to 5.
        assert_eq!(rest(Some(1), &query), [5., 4., 4., 0.]);
        assert_eq!(rest(Some(0), &query), [4. + 0.25 + 4., 4.25, 4., 0.]);
        assert_eq!(rest(None, &query), [4., 4., 4., 0.]);
        let shorter = Matrix::from_vec(2, 1, vec![-1., 5.]).unwrap();
        assert_eq!(rest(Some(0), &shorter), [1., 0., 0.]);
    }
}
