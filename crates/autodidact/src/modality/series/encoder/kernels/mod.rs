//! Many fixed kernels, and what is made of how often a series looks like each.
//!
//! MiniRocket (Dempster, Schmidt & Webb 2021, arXiv 2012.08791) with what MultiRocket adds to it (Tan et al. 2022, arXiv
//! 2102.00457): 84 kernels of nine taps slide over the series and over its differences, at dilations up to the length of
//! the series, each over a few channels together. A feature is the part of the responses above a threshold; thresholds are
//! quantiles of what the kernels respond to series of the data. Nothing of that is learned by gradient, and all of it in
//! seconds. What a method then learns is a weight for each feature, or the linear map from them to a short vector, in closed
//! form or by
//! gradient.
//!
//! Differs: of a part of responses its root is the feature, since a part that is estimated from few responses is the less
//! certain the nearer it is to a half; and deviations are brought halfway to 1 (to their root), where the published
//! classifiers bring them all the way afterwards: what hardly varies is mostly noise.

mod bank;
mod responses;

use std::sync::Arc;

use autodidact_kernels::{Activation, linear};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use rand::RngExt;
use rayon::prelude::*;

use super::super::batch::SeriesBatch;
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::{host, replaced};
use crate::modality::Readout;
use crate::random::Rng;

use bank::{Bank, kernels, quantile};
use responses::{Channels, Slide, pooled, quantile_of};

pub use bank::Transform;
pub use responses::Pooling;

/// Added to the variance of a feature before it is scaled by it: features that hardly vary stay small.
const FLOOR: f64 = 2e-3;

/// Fixed features of responses, and a linear map that learns.
#[derive(Module, Debug)]
pub struct RandomKernels {
    /// What responses are held against, `[features / poolings]`.
    pub thresholds: Param<Tensor<1>>,
    /// What features are multiplied by, `[features]`.
    pub scale: Param<Tensor<1>>,
    /// The mean of the features, `[features]`.
    pub mean: Param<Tensor<1>>,
    /// From features to the vector, `[dim, features]`, where it is a map of them.
    pub readout: Option<Param<Tensor<2>>>,
    /// What each feature counts, `[features]`, where the vector is the features.
    pub weights: Option<Param<Tensor<1>>>,
    #[module(skip)]
    plan: Arc<Plan>,
}

/// What is no weight of the network.
#[derive(Debug)]
struct Plan {
    bank: Bank,
    kernels: Vec<[usize; 3]>,
    poolings: Vec<Pooling>,
    channels: usize,
}

impl Plan {
    fn width(&self) -> usize {
        self.bank.thresholds() * self.poolings.len()
    }

    /// The features of rows `[time, channels]` of which the first so many steps are real, `[rows, features]`.
    fn features(&self, values: &[f32], lengths: &[usize], thresholds: &[f32]) -> Vec<f32> {
        let width = self.width();
        let row = values.len() / lengths.len().max(1);
        let mut features = vec![0.0; lengths.len() * width];
        let rows = values.par_chunks(row.max(1)).zip(lengths);
        features.par_chunks_mut(width.max(1)).zip(rows).for_each(
            |(features, (values, &length))| {
                let series = Channels::of(values, length, self.channels);
                let how = (thresholds, self.poolings.as_slice());
                pooled(&self.bank, &self.kernels, &series, how, features);
            },
        );
        features
    }

    /// Quantiles of the responses to series drawn at random, one for each kernel of each group.
    fn thresholds(&self, values: &[f32], lengths: &[usize], rng: &mut Rng) -> Vec<f32> {
        let row = values.len() / lengths.len();
        let reach = self.bank.reach();
        let mut tasks = Vec::new();
        let mut first = 0;
        for group in &self.bank.groups {
            for kernel in 0..self.kernels.len() {
                tasks.push((group, kernel, rng.random_range(0..lengths.len()), first));
                first += group.thresholds;
            }
        }
        let quantiles = |&(group, kernel, chosen, first): &(&bank::Group, usize, usize, usize)| {
            let values = &values[chosen * row..(chosen + 1) * row];
            let series = Channels::of(values, lengths[chosen], self.channels);
            let planes = series.transformed(group.transform, reach);
            let slide = Slide::new(group, &planes, reach);
            let mut buffer = Vec::new();
            let responses = slide.responses(kernel, self.kernels[kernel], &mut buffer);
            let mut sorted = responses.to_vec();
            sorted.sort_unstable_by(f32::total_cmp);
            let numbers = first..first + group.thresholds;
            numbers
                .map(|number| quantile_of(&sorted, quantile(number)))
                .collect()
        };
        let all: Vec<Vec<f32>> = tasks.par_iter().map(quantiles).collect();
        all.concat()
    }
}

impl RandomKernels {
    /// Values in a step.
    pub(super) fn channels(&self) -> usize {
        self.plan.channels
    }

    /// Thresholds by chance and a random map, for series of `length` steps of `channels` values, with some `width`
    /// features and never more, unless that is less than one for each kernel.
    pub(super) fn new(
        [length, channels]: [usize; 2],
        width: usize,
        dim: Option<usize>,
        (transforms, poolings): (&[Transform], &[Pooling]),
        init: &mut Init,
    ) -> Self {
        let thresholds = width / poolings.len().max(1);
        let plan = Plan {
            bank: Bank::new([length, channels], transforms, thresholds),
            kernels: kernels(),
            poolings: poolings.to_vec(),
            channels,
        };
        let (thresholds, features) = (plan.bank.thresholds(), plan.width());
        let fixed = |parameter: Param<Tensor<1>>| parameter.set_require_grad(false);
        // A kernel's taps have squares that add up to 18: what white noise is met with.
        let deviation = 18f32.sqrt();
        Self {
            thresholds: fixed(init.normal([thresholds], deviation)),
            scale: fixed(init.constant([features], 1.0)),
            mean: fixed(init.constant([features], 0.0)),
            readout: dim
                .map(|dim| init.normal([dim, features], (features.max(1) as f32).sqrt().recip())),
            weights: dim.is_none().then(|| init.constant([features], 1.0)),
            plan: Arc::new(plan),
        }
    }

    /// The features of a batch, `[batch, features]`, without a gradient.
    pub(super) fn features(&self, batch: &SeriesBatch) -> Tensor<2> {
        let thresholds = host(self.thresholds.val());
        let values = host(batch.values.clone());
        let features = self.plan.features(&values, &batch.lengths, &thresholds);
        let shape = [batch.lengths.len(), self.width()];
        let features =
            Tensor::<2>::from_data(TensorData::new(features, shape), &batch.values.device());
        features * self.scale.val().unsqueeze()
    }

    /// The vector of each series, `[batch, dim]`.
    pub(super) fn encode(&self, batch: &SeriesBatch) -> Tensor<2> {
        let centered = self.features(batch) - self.mean.val().unsqueeze();
        match (&self.readout, &self.weights) {
            (Some(map), _) => linear(centered, map.val(), None, Activation::None),
            (None, Some(weights)) => centered * weights.val().unsqueeze(),
            (None, None) => centered,
        }
    }

    /// Length of the vector.
    pub(super) fn dim(&self) -> usize {
        match &self.readout {
            Some(map) => map.dims()[0],
            None => self.width(),
        }
    }

    /// How many features there are.
    pub(super) fn width(&self) -> usize {
        self.mean.dims()[0]
    }

    /// The same network with another map, or other weights.
    ///
    /// # Errors
    /// When it is one of other features, or the network has the other of the two.
    pub(super) fn with_readout(self, readout: Readout) -> Result<Self> {
        let (width, dim) = (self.width(), self.dim());
        let unfit = |found: usize, what: &str| {
            Err(Error::run(format!("{found} values for {width} features")).expected(what))
        };
        match (self.readout, self.weights, readout) {
            (Some(own), None, Readout::Map { mean, map }) => {
                if mean.len() != width || map.len() != width * dim {
                    return unfit(map.len(), "a map, and a mean of each");
                }
                Ok(Self {
                    mean: replaced(self.mean, mean),
                    readout: Some(replaced(own, map)),
                    weights: None,
                    ..self
                })
            }
            (None, Some(own), Readout::Weights { mean, weights }) => {
                if mean.len() != width || weights.len() != width {
                    return unfit(weights.len(), "a weight and a mean of each");
                }
                Ok(Self {
                    mean: replaced(self.mean, mean),
                    weights: Some(replaced(own, weights)),
                    readout: None,
                    ..self
                })
            }
            _ => Err(
                Error::recipe("a map for a network that weighs its features, or the reverse")
                    .expected("encoder.vector = \"map\" for a map, \"features\" for weights"),
            ),
        }
    }

    /// The same network with thresholds, scales and the mean learned from series.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn learned(self, batch: &SeriesBatch, rng: &mut Rng) -> Result<Self> {
        let lengths = batch.lengths.as_slice();
        if lengths.is_empty() {
            return Err(Error::data("no series to learn thresholds from").expected("at least one"));
        }
        let values = host(batch.values.clone());
        let thresholds = self.plan.thresholds(&values, lengths, rng);
        let features = self.plan.features(&values, lengths, &thresholds);
        let (mean, scale) = standardization(&features, self.plan.width());
        Ok(Self {
            thresholds: replaced(self.thresholds, thresholds),
            mean: replaced(self.mean, mean),
            scale: replaced(self.scale, scale),
            ..self
        })
    }
}

/// What each of `width` features is multiplied by, and its mean after that, as `(mean, scale)`: its deviation becomes the
/// root of what it was.
fn standardization(features: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = (features.len() / width.max(1)).max(1) as f64;
    let (mut sums, mut squares) = (vec![0.0f64; width], vec![0.0f64; width]);
    for row in features.chunks_exact(width.max(1)) {
        for ((sum, square), &x) in sums.iter_mut().zip(&mut squares).zip(row) {
            *sum += f64::from(x);
            *square += f64::from(x) * f64::from(x);
        }
    }
    let both = sums.iter().zip(&squares);
    both.map(|(sum, square)| {
        let mean = sum / rows;
        let variance = (square / rows - mean * mean).max(0.0);
        let scale = (variance + FLOOR).powf(-0.25);
        ((mean * scale) as f32, scale as f32)
    })
    .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::modality::Rows;
    use crate::modality::series::batch::Steps;
    use crate::random::{Purpose, stream};

    const POOLINGS: [Pooling; 2] = [Pooling::Proportion, Pooling::Stretch];

    fn network() -> RandomKernels {
        let transforms = [Transform::Values, Transform::Difference];
        let how = (transforms.as_slice(), POOLINGS.as_slice());
        RandomKernels::new(
            [30, 2],
            84 * 8,
            Some(5),
            how,
            &mut Init::new(0, &tests_device()),
        )
    }

    /// Waves of one of two frequencies, by turns, of which some end early.
    fn waves(count: usize) -> SeriesBatch {
        let mut rng = stream(1, Purpose::Synthetic, &[]);
        let values = (0..count).flat_map(|row| {
            let (shift, fast) = (rng.random::<f32>() * 6.0, 1.0 + (row % 2) as f32);
            (0..60).map(move |place| (shift + fast * (place / 2) as f32 * 0.4).sin())
        });
        let steps = Steps {
            length: 30,
            channels: 2,
            values: values.collect(),
            lengths: (0..count).map(|row| 30 - row % 3).collect(),
            starts: vec![0; count],
        };
        SeriesBatch::new(steps, Rows::default(), &tests_device())
    }

    #[test]
    fn learned_features_are_centered_and_vary_about_alike() {
        let batch = waves(40);
        let rng = || stream(0, Purpose::Weights, &[]);
        let network = network().learned(&batch, &mut rng()).unwrap();
        let width = network.width();
        assert_eq!(width, 84 * 8);
        let features = network.features(&batch);
        assert_eq!(features.dims(), [40, width]);
        let mean = host(features.clone().mean_dim(0));
        for (found, expected) in mean.iter().zip(host(network.mean.val())) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
        let deviation = host(features.var(0).sqrt());
        let most = deviation.iter().copied().fold(0.0, f32::max);
        assert!((0.4..1.05).contains(&most), "{most}");
        let again = self::network().learned(&batch, &mut rng()).unwrap();
        assert_eq!(host(again.thresholds.val()), host(network.thresholds.val()));
    }

    #[test]
    fn what_follows_the_end_of_a_row_is_not_looked_at() {
        let network = network();
        let batch = waves(3);
        let mut longer = batch.clone();
        longer.values = batch.values.clone().slice_fill([2..3, 28..30, 0..2], 7.0);
        let features = |batch: &SeriesBatch| host(network.features(batch));
        assert_eq!(features(&batch), features(&longer));
    }

    #[test]
    fn a_map_of_other_features_is_refused() {
        let readout = Readout::Map {
            mean: vec![0.0; 3],
            map: vec![0.0; 15],
        };
        assert!(network().with_readout(readout).is_err());
        let network = network();
        let weights = Readout::Weights {
            mean: vec![0.0; network.width()],
            weights: vec![1.0; network.width()],
        };
        assert!(network.with_readout(weights).is_err());
    }
}
