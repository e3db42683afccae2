//! Weights for fixed features by how far two views of an item agree on each, in closed form.
//!
//! What two views of an item share is what the item is; what they don't is how it was looked at. With f a feature of a
//! view and f⁺ the same feature of the item's other view, each over all items,
//!
//! ```text
//! w = cov(f, f⁺) / (var(f) + floor)
//! ```
//!
//! is the part of the feature's variance that is the item's own: the reliability of a measurement that is taken twice
//! (Spearman 1910). The vector is (f − mean)·w, feature by feature. That is [`super::spectral`] with the matrices of the
//! features taken for diagonal, as their shrinkage towards the diagonal ends where items are few (Ledoit & Wolf 2004):
//! a map between features has to be learned from many more items than there are features, a weight from a few dozen.
//! Nothing is learned by gradient; steps only sum up.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, take, within};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::{host, replaced};
use crate::modality::{Change, Encoder, Maskable, Need, Pretext, Readout};

/// The recipe's `[method]` for weights by reliability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reliability {
    /// Added to the variance of each feature, as a part of the mean variance, 1e-6 to 10: the more, the less does a
    /// feature count that hardly varies.
    pub floor: f64,
    /// The part of the variance that is the item's own, to this power, is the weight, 0 to 4.
    pub sharpness: f64,
}

impl Default for Reliability {
    fn default() -> Self {
        Self {
            floor: 0.01,
            sharpness: 1.0,
        }
    }
}

impl Objective for Reliability {
    const NAME: &'static str = "reliability";
    const SUMMARY: &'static str =
        "fixed features, each weighed by how far two views agree on it: no gradients, few items do";
    const SOURCE: &'static str = "Spearman 1910; Ledoit & Wolf 2004; this project";
    const NEEDS: Need = Need::Weights;
    type Method<E: Maskable> = ReliabilityMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext::new(2, Change::Strong, Self::NEEDS)
    }

    fn training(&self) -> Training {
        Training::none()
    }

    /// What is estimated of each feature is two numbers: 8,000 pairs do, and of few items some views of each.
    fn steps(&self) -> Option<u64> {
        Some(32)
    }

    fn check(&self) -> Result<()> {
        within("floor", self.floor, 1e-6, 10.0)?;
        within("sharpness", self.sharpness, 0.0, 4.0)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<ReliabilityMethod<E>> {
        let features = encoder.features_width().filter(|&n| n == encoder.dim());
        let features = features.ok_or_else(unweighable)?;
        let nothing = || init.constant([features], 0.0).set_require_grad(false);
        Ok(ReliabilityMethod {
            mean: nothing(),
            square: nothing(),
            product: nothing(),
            seen: init.constant([1], 0.0).set_require_grad(false),
            floor: self.floor,
            sharpness: self.sharpness,
            // Weights are solved for and not stepped toward.
            encoder: encoder.no_grad(),
        })
    }
}

fn unweighable() -> Error {
    Error::recipe("a network whose vector isn't its fixed features")
        .expected(Need::Weights.describe())
}

/// An encoder, and what was summed up of its features.
#[derive(Module, Debug)]
pub struct ReliabilityMethod<E: Encoder> {
    encoder: E,
    /// Pairs of views seen, `[1]`.
    seen: Param<Tensor<1>>,
    /// Of each feature over all views, `[features]`.
    mean: Param<Tensor<1>>,
    /// The mean of f² over all views, `[features]`.
    square: Param<Tensor<1>>,
    /// The mean of f·f⁺ over pairs of views, `[features]`.
    product: Param<Tensor<1>>,
    floor: f64,
    sharpness: f64,
}

/// The means of a batch.
#[derive(Debug, Clone)]
pub struct Means {
    pairs: usize,
    mean: Tensor<1>,
    square: Tensor<1>,
    product: Tensor<1>,
}

impl<E: Encoder> Method<E> for ReliabilityMethod<E> {
    type Carry = Means;

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, Means)> {
        let views: [E::Batch; 2] = take(views, "reliability")?;
        let [f, g] = views.map(|view| self.encoder.features(&view));
        let (Some(f), Some(g)) = (f, g) else {
            return Err(unweighable());
        };
        let pairs = f.dims()[0];
        let mean_of = |x: Tensor<2>| -> Tensor<1> { x.mean_dim(0).squeeze_dim(0) };
        let means = Means {
            pairs,
            mean: mean_of((f.clone() + g.clone()).mul_scalar(0.5)),
            square: mean_of((f.clone().square() + g.clone().square()).mul_scalar(0.5)),
            product: mean_of(f * g),
        };
        // What is not the items' own of the variance within the batch, over all features.
        let of_mean = means.mean.clone().square();
        let shared = (means.product.clone() - of_mean.clone()).sum();
        let variance = (means.square.clone() - of_mean).sum();
        let part = shared.div(variance.add_scalar(1e-12));
        Ok((Loss::new(part.neg().add_scalar(1.0)), means))
    }

    fn after_step(self, carries: Vec<Means>, _: &Step) -> Self {
        carries.into_iter().fold(self, Self::taken_in)
    }

    fn settled(self, _: &Step) -> Result<Self> {
        if host(self.seen.val())[0] == 0.0 {
            return Ok(self);
        }
        let mean = host(self.mean.val());
        let (square, product) = (host(self.square.val()), host(self.product.val()));
        let weights = weights(&mean, &square, &product, self.floor, self.sharpness);
        let encoder = self
            .encoder
            .with_readout(Readout::Weights { mean, weights })?;
        Ok(Self { encoder, ..self })
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

impl<E: Encoder> ReliabilityMethod<E> {
    /// Means over what was seen before and a batch.
    fn taken_in(self, means: Means) -> Self {
        let before = f64::from(host(self.seen.val())[0]);
        let after = before + means.pairs as f64;
        let (old, new) = (before / after, means.pairs as f64 / after);
        let mixed = |of: Param<Tensor<1>>, seen: Tensor<1>| {
            of.map(|mean| (mean.mul_scalar(old) + seen.mul_scalar(new)).set_require_grad(false))
        };
        Self {
            mean: mixed(self.mean, means.mean),
            square: mixed(self.square, means.square),
            product: mixed(self.product, means.product),
            seen: replaced(self.seen, vec![after as f32]),
            ..self
        }
    }
}

/// The weight of each feature, from its mean, the mean of its square and the mean of its product with itself in the other
/// view.
fn weights(mean: &[f32], square: &[f32], product: &[f32], floor: f64, sharpness: f64) -> Vec<f32> {
    let centered = |of: &[f32]| -> Vec<f64> {
        let both = of.iter().zip(mean);
        both.map(|(&x, &mean)| f64::from(x) - f64::from(mean) * f64::from(mean))
            .collect()
    };
    let (variance, shared) = (centered(square), centered(product));
    let typical = variance.iter().sum::<f64>() / variance.len().max(1) as f64;
    // Where nothing varies at all, nothing tells items apart.
    let floor = floor * typical.max(1e-12);
    let both = variance.iter().zip(&shared);
    both.map(|(variance, shared)| {
        let own = shared / (variance.max(0.0) + floor);
        own.clamp(0.0, 1.0).powf(sharpness) as f32
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::{load_state, state_of};
    use crate::method::toy::{Bare, Given};
    use crate::random::{Purpose, stream};
    use rand::RngExt;

    /// How much of each feature's variance is the item's own, and how large that variance is.
    const SHARED: [f32; 4] = [0.9, 0.5, 0.1, 0.8];
    const SPREAD: [f32; 4] = [1.0, 2.0, 1.0, 0.0];
    const FEATURES: usize = SHARED.len();

    fn pairs(count: usize) -> [Vec<f32>; 2] {
        let mut rng = stream(1, Purpose::Synthetic, &[]);
        let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
        let mut views = [Vec::new(), Vec::new()];
        for _ in 0..count {
            let item: Vec<f32> = (0..FEATURES).map(|_| normal()).collect();
            for view in &mut views {
                view.extend((0..FEATURES).map(|i| {
                    let own = SHARED[i].sqrt() * item[i];
                    3.0 + SPREAD[i] * (own + (1.0 - SHARED[i]).sqrt() * normal())
                }));
            }
        }
        views
    }

    fn batch(values: &[f32]) -> Given {
        Given::new(values, FEATURES, &tests_device())
    }

    fn method(settings: &Reliability) -> ReliabilityMethod<Bare> {
        let mut init = Init::new(0, &tests_device());
        let encoder = Bare::weighing(FEATURES, &mut init);
        settings.build(encoder, &mut init).unwrap()
    }

    const AT: Step = Step {
        number: 0,
        part: 0,
        progress: 0.0,
        seed: 0,
    };

    /// Takes the pairs in, so many at a time.
    fn learned(
        settings: &Reliability,
        views: &[Vec<f32>; 2],
        each: usize,
    ) -> ReliabilityMethod<Bare> {
        let mut method = method(settings);
        let [first, second] = views.each_ref().map(|view| view.chunks(FEATURES * each));
        for (a, b) in first.zip(second) {
            let (_, means) = method.loss(vec![batch(a), batch(b)], &AT).unwrap();
            method = method.after_step(vec![means], &AT);
        }
        method.settled(&AT).unwrap()
    }

    #[test]
    fn a_feature_weighs_what_of_it_is_the_items_own() {
        let settings = Reliability {
            floor: 1e-4,
            ..Reliability::default()
        };
        let views = pairs(6000);
        let found = host(
            learned(&settings, &views, 500)
                .encoder
                .weights
                .as_ref()
                .unwrap()
                .val(),
        );
        for (place, (found, shared)) in found.iter().zip(SHARED).enumerate() {
            // What never varies tells nothing.
            let expected = if SPREAD[place] == 0.0 { 0.0 } else { shared };
            assert!((found - expected).abs() < 0.05, "{found} {expected}");
        }
        let sharper = Reliability {
            sharpness: 2.0,
            ..settings
        };
        let sharper = host(
            learned(&sharper, &views, 500)
                .encoder
                .weights
                .as_ref()
                .unwrap()
                .val(),
        );
        for (sharper, found) in sharper.iter().zip(&found) {
            assert!((sharper - found * found).abs() < 1e-3, "{sharper} {found}");
        }
    }

    #[test]
    fn the_loss_is_what_is_not_shared_of_all_variance() {
        let views = pairs(50);
        let (loss, _) = method(&Reliability::default())
            .loss(views.each_ref().map(|view| batch(view)).to_vec(), &AT)
            .unwrap();
        let (mut shared, mut variance) = (0.0, 0.0);
        for i in 0..FEATURES {
            let of = |view: usize| views[view].iter().skip(i).step_by(FEATURES);
            let both: Vec<(f64, f64)> = of(0)
                .zip(of(1))
                .map(|(&f, &g)| (f64::from(f), f64::from(g)))
                .collect();
            let mean = both.iter().map(|(f, g)| f + g).sum::<f64>() / 100.0;
            for (f, g) in both {
                shared += (f - mean) * (g - mean) / 50.0;
                variance += ((f - mean).powi(2) + (g - mean).powi(2)) / 100.0;
            }
        }
        let expected = 1.0 - shared / variance;
        let found = f64::from(loss.total.into_scalar::<f32>());
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }

    #[test]
    fn batches_come_to_what_one_of_all_comes_to_and_a_state_holds_it() {
        let settings = Reliability::default();
        let views = pairs(600);
        let parts = state_of(&learned(&settings, &views, 100));
        let whole = state_of(&learned(&settings, &views, 600));
        for name in ["mean", "square", "product", "seen", "encoder.weights"] {
            for (a, b) in parts[name].values.iter().zip(&whole[name].values) {
                assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{name}: {a} {b}");
            }
        }
        let again = load_state(method(&settings), &whole).unwrap();
        let again = state_of(&again.settled(&AT).unwrap());
        assert_eq!(
            again["encoder.weights"].values,
            whole["encoder.weights"].values
        );
        // Before anything was seen, nothing changes.
        let still = method(&settings).settled(&AT).unwrap();
        assert_eq!(
            host(still.encoder.weights.as_ref().unwrap().val()),
            [1.0; FEATURES]
        );
    }
}
