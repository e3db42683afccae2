//! Direct forecasts: from what came so far, say all at once what comes next, as far as the horizon.
//!
//! The end of each view is cut off; from what the network makes of the rest at its last moment, a linear map tells by how much
//! each step that was cut off differs from the last one before it (NLinear's normalization):
//!
//! ```text
//! L = mean over items, steps k ≤ H and channels of (x₍ₜ₊ₖ₎ − xₜ − (W h(x₁ … xₜ) + b)ₖ)²
//! ```
//!
//! Values that are missing don't count, nor those that are known beforehand, such as the calendar. Beside the loss stands the error of the last value itself: a forecast that isn't
//! below it is none.
//!
//! Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?" (arXiv 2205.13504), for the map from the last
//! value; that a task's own horizon teaches a network end to end is as old as networks that forecast. With `--init RUN` it
//! fine-tunes what another method has taught; `evaluate RUN --forecast` then judges it beside that and beside what needs no
//! network.
//!
//! `autodidact pretrain DATA --method direct_forecast`

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, positive, take};
use crate::error::{Error, Result};
use crate::layers::{Init, Linear};
use crate::modality::{Batch, Encoder, Ending, Maskable, Need};

/// The recipe's `[method]` for direct forecasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectForecast {
    /// Steps that are foretold, cut off at the end of each view.
    pub horizon: usize,
}

impl Default for DirectForecast {
    fn default() -> Self {
        Self { horizon: 24 }
    }
}

impl Objective for DirectForecast {
    const NAME: &'static str = "direct_forecast";
    const SUMMARY: &'static str = "foretell the values of the next steps from those before";
    const SOURCE: &'static str = "Zeng et al. 2023, arXiv 2205.13504";
    const NEEDS: Need = Need::Ending;
    type Method<E: Maskable> = DirectForecastMethod<E>;

    fn training(&self) -> Training {
        Training::adamw(1e-3, 0.01).for_batch(32)
    }

    fn batch(&self) -> Option<usize> {
        Some(32)
    }

    fn may_collapse(&self) -> bool {
        false
    }

    fn check(&self) -> Result<()> {
        positive("horizon", self.horizon)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<DirectForecastMethod<E>> {
        let told = self.horizon * encoder.channels();
        if told == 0 {
            return Err(timeless());
        }
        Ok(DirectForecastMethod {
            foretell: Linear::new(encoder.dim(), told, true, init),
            horizon: self.horizon,
            encoder,
        })
    }
}

/// An encoder and its map to what comes next.
#[derive(Module, Debug)]
pub struct DirectForecastMethod<E: Encoder> {
    encoder: E,
    /// `[horizon · channels, dim]`.
    foretell: Linear,
    horizon: usize,
}

impl<E: Encoder> Method<E> for DirectForecastMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, DirectForecast::NAME)?;
        let ending = batch.ending(self.horizon).ok_or_else(timeless)?;
        let rows = batch.rows().ids.len();
        let told = self.foretell.forward(self.encoder.latest(&ending.given));
        let count = f64::from(ending.there.clone().sum().into_scalar::<f32>());
        if count == 0.0 {
            return Err(Error::training(format!(
                "{rows} views of no more steps than the {} that are to be foretold",
                self.horizon
            ))
            .expected("longer ones: what is foretold is cut off at their end")
            .mend("make method.horizon smaller, or data.reading.window larger"));
        }
        let (loss, naive) = errors(told, &ending, count);
        let loss = Loss::new(loss).part("last_value", &naive);
        Ok((loss.over(count as usize), ()))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

/// The mean squared error of what was told of each step beside the last one, `[batch, steps · channels]`, and that of the last
/// value; over `count` values.
fn errors<B>(told: Tensor<2>, ending: &Ending<B>, count: f64) -> (Tensor<1>, Tensor<1>) {
    let change = ending.came.clone() - ending.last.clone().unsqueeze_dim::<3>(1);
    let told = told.reshape(change.dims());
    let mean = |off: Tensor<3>| {
        let off = off * ending.there.clone();
        (off.clone() * off).sum().div_scalar(count)
    };
    (mean(change.clone() - told), mean(change))
}

fn timeless() -> Error {
    Error::recipe("forecasts of items that have no steps").expected(Need::Ending.describe())
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::super::toy::{Clock, ClockBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::host;

    #[test]
    fn the_error_is_that_of_the_plain_loop_and_missing_values_do_not_count() {
        let device = tests_device();
        let tensor = |shape: [usize; 3], of: &dyn Fn(usize) -> f32| {
            let values: Vec<f32> = (0..shape.iter().product()).map(of).collect();
            Tensor::<3>::from_data(TensorData::new(values, shape), &device)
        };
        let (rows, steps, channels) = (3, 4, 2);
        let shape = [rows, steps, channels];
        let last = |place: usize| (place as f32 * 0.9).cos();
        let came = |place: usize| (place as f32 * 1.7).sin();
        let there = |place: usize| f32::from(u8::from(!place.is_multiple_of(5)));
        let told = |place: usize| (place as f32 * 0.3).sin();
        let ending = Ending {
            given: (),
            last: tensor([rows, 1, channels], &last).squeeze_dim::<2>(1),
            came: tensor(shape, &came),
            there: tensor(shape, &there),
        };
        let (mut squares, mut naive, mut count) = (0.0, 0.0, 0.0);
        for place in (0..rows * steps * channels).filter(|place| !place.is_multiple_of(5)) {
            let row = place / (steps * channels);
            let change = came(place) - last(row * channels + place % channels);
            squares += f64::from(change - told(place)).powi(2);
            naive += f64::from(change).powi(2);
            count += 1.0;
        }
        let flat = tensor([rows, 1, steps * channels], &told).squeeze_dim::<2>(1);
        let (loss, last_value) = errors(flat, &ending, count);
        let scalar = |tensor: Tensor<1>| f64::from(tensor.into_scalar::<f32>());
        assert!((scalar(loss) - squares / count).abs() < 1e-6);
        assert!((scalar(last_value) - naive / count).abs() < 1e-6);
    }

    #[test]
    fn what_is_to_be_told_is_not_seen() {
        let device = tests_device();
        let objective = DirectForecast { horizon: 2 };
        let method = objective.build(Clock::new(2, &device), &mut Init::new(3, &device));
        let method = method.unwrap();
        let values = |place: usize| (place as f32 * 0.8).sin();
        let batch = (0..2 * 5 * 2).map(values).collect::<Vec<f32>>();
        let batch = Tensor::<3>::from_data(TensorData::new(batch, [2, 5, 2]), &device);
        let batch = ClockBatch::new(batch, &[[0, 5], [0, 5]]);
        let at = Step {
            number: 0,
            part: 0,
            progress: 0.0,
            seed: 0,
        };
        let (loss, ()) = method.loss(vec![batch], &at).unwrap();
        assert_eq!(loss.predictions, Some(8));
        let loss = loss.total;
        // Of each row three moments are given: the vector is their mean, times the network's factors.
        let factor = host(method.encoder.factor.val());
        let weight = host(method.foretell.weight.val());
        let bias = host(method.foretell.bias.as_ref().unwrap().val());
        let mut squares = 0.0;
        for row in 0..2 {
            let value = |moment: usize, channel: usize| values((row * 5 + moment) * 2 + channel);
            let vector = [0, 1].map(|channel| {
                factor[channel] * (0..3).map(|moment| value(moment, channel)).sum::<f32>() / 3.0
            });
            for (place, bias) in bias.iter().enumerate() {
                let map = &weight[place * 2..place * 2 + 2];
                let told = bias + map[0] * vector[0] + map[1] * vector[1];
                let (ahead, channel) = (place / 2, place % 2);
                let change = value(3 + ahead, channel) - value(2, channel);
                squares += f64::from(change - told).powi(2);
            }
        }
        let loss = f64::from(loss.into_scalar::<f32>());
        assert!((loss - squares / 8.0).abs() < 1e-6, "{loss}");
    }
}
