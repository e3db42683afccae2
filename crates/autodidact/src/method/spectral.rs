//! Spectral contrastive learning in closed form (HaoChen, Wei, Gaidon & Ma 2021; Balestriero & LeCun 2022).
//!
//! Over features that don't change, the linear map that makes two views of an item agree, and items differ, is the solution
//! of an eigenproblem ([`shared_directions`]). Steps only sum up two matrices: the covariance of the features over all
//! views, and that between the two views of an item. Now and then, and at the end, the problem is solved. Nothing is
//! learned by gradient; the loss is there to be looked at.
//!
//! With z the vector of a view before its last scaling, z⁺ that of the item's other view, the spectral contrastive loss is
//!
//! ```text
//! L = −2·E[z·z⁺] + ‖E[z zᵀ]‖²
//! ```
//!
//! for centered features. Along direction i, z has the variance λᵢ, and L = −Σ λᵢ².

use autodidact_kernels::{Activation, linear};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, positive, take, within};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::closed_form::{Moments, shared_directions};
use crate::layers::state::{host, replaced};
use crate::modality::{Change, Encoder, Maskable, Need, Pretext, Readout};

/// The recipe's `[method]` for spectral contrastive learning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spectral {
    /// Added to the variance of each feature, as a part of the mean variance, 1e-6 to 10: the more, the less does a
    /// direction count along which items hardly differ.
    pub ridge: f64,
    /// Each direction is scaled by how far views agree along it (0 to 1) to this power, 0 to 4: at 0.5 the vector
    /// minimizes the loss, above it what views share less counts less.
    pub sharpness: f64,
    /// Rounds of subspace iteration each time the problem is solved, where features are many; it goes on from where it was.
    pub rounds: usize,
}

impl Default for Spectral {
    fn default() -> Self {
        Self {
            ridge: 0.01,
            sharpness: 1.0,
            rounds: 6,
        }
    }
}

impl Objective for Spectral {
    const NAME: &'static str = "spectral";
    const SUMMARY: &'static str =
        "what two views share of fixed features, in closed form: no gradients, one pass may do";
    const SOURCE: &'static str =
        "HaoChen et al. 2021, arXiv 2106.04156; Balestriero & LeCun 2022, arXiv 2205.11508";
    const NEEDS: Need = Need::Readout;
    type Method<E: Maskable> = SpectralMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext::new(2, Change::Strong, Self::NEEDS)
    }

    fn training(&self) -> Training {
        Training::none()
    }

    fn check(&self) -> Result<()> {
        within("ridge", self.ridge, 1e-6, 10.0)?;
        within("sharpness", self.sharpness, 0.0, 4.0)?;
        positive("rounds", self.rounds)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<SpectralMethod<E>> {
        let dim = encoder.dim();
        let features = encoder.features_width().ok_or_else(|| {
            Error::recipe("spectral with a network without fixed features")
                .expected(Need::Readout.describe())
        })?;
        let nothing = |shape| init.constant(shape, 0.0).set_require_grad(false);
        Ok(SpectralMethod {
            // The map is solved for and not stepped toward.
            encoder: encoder.no_grad(),
            seen: init.constant([1], 0.0).set_require_grad(false),
            mean: init.constant([features], 0.0).set_require_grad(false),
            total: nothing([features, features]),
            between: nothing([features, features]),
            strengths: init.constant([dim], 1.0).set_require_grad(false),
            directions: nothing([dim, features]),
            ridge: self.ridge,
            sharpness: self.sharpness,
            rounds: self.rounds,
        })
    }
}

/// An encoder, and what was summed up of its features.
#[derive(Module, Debug)]
pub struct SpectralMethod<E: Encoder> {
    encoder: E,
    /// Pairs of views seen, `[1]`.
    seen: Param<Tensor<1>>,
    /// Of the features over all views, `[features]`.
    mean: Param<Tensor<1>>,
    /// The mean of f·fᵀ over all views, `[features, features]`.
    total: Param<Tensor<2>>,
    /// The mean of f·gᵀ over pairs of views, `[features, features]`.
    between: Param<Tensor<2>>,
    /// How far views agreed along each direction when last asked, `[dim]`.
    strengths: Param<Tensor<1>>,
    /// The directions themselves, `[dim, features]`.
    directions: Param<Tensor<2>>,
    ridge: f64,
    sharpness: f64,
    rounds: usize,
}

/// The sums of a batch.
#[derive(Debug, Clone)]
pub struct Sums {
    pairs: usize,
    mean: Tensor<1>,
    total: Tensor<2>,
    between: Tensor<2>,
}

impl<E: Encoder> Method<E> for SpectralMethod<E> {
    type Carry = Sums;

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, Sums)> {
        let views: [E::Batch; 2] = take(views, "spectral")?;
        let [f, g] = views.map(|view| self.encoder.features(&view));
        let (Some(f), Some(g)) = (f, g) else {
            return Err(Error::recipe("a network without fixed features")
                .expected(Need::Readout.describe()));
        };
        let pairs = f.dims()[0];
        let both = Tensor::cat(vec![f.clone(), g.clone()], 0);
        // Features by views: their inner products are those of a linear layer without inputs of its own.
        let [of_both, of_f, of_g] = [&both, &f, &g].map(|features| features.clone().transpose());
        let inner = |a: Tensor<2>, b: Tensor<2>| linear(a, b, None, Activation::None);
        let share = 1.0 / pairs.max(1) as f64;
        let sums = Sums {
            pairs,
            mean: both.mean_dim(0).squeeze_dim(0),
            total: inner(of_both.clone(), of_both).mul_scalar(0.5 * share),
            between: inner(of_f, of_g).mul_scalar(share),
        };
        // The map as it was when last solved, scaled so that it minimizes the loss.
        let scale = self.strengths.val().sqrt().unsqueeze::<2>();
        let map = self.directions.val().transpose();
        let project =
            |x: Tensor<2>| (x - self.mean.val().unsqueeze()).matmul(map.clone()) * scale.clone();
        let (z, other) = (project(f), project(g));
        Ok((spectral_loss(z, other), sums))
    }

    fn after_step(self, carries: Vec<Sums>, _: &Step) -> Self {
        carries.into_iter().fold(self, Self::taken_in)
    }

    fn settled(self, at: &Step) -> Result<Self> {
        if host(self.seen.val())[0] == 0.0 {
            return Ok(self);
        }
        let [mean, total, between] = [
            host(self.mean.val()),
            host(self.total.val()),
            host(self.between.val()),
        ];
        let before = host(self.directions.val());
        let known = before.iter().any(|x| *x != 0.0);
        let moments = Moments {
            mean: &mean,
            total: &total,
            between: &between,
        };
        let dim = self.encoder.dim();
        let found = shared_directions(
            moments,
            self.ridge,
            dim,
            // Random directions take longer than those of before.
            if known { self.rounds } else { 2 * self.rounds },
            known.then_some(before.as_slice()),
            &mut at.rng(),
        )?;
        let (mut vectors, mut strengths) = (found.vectors, found.strengths);
        // Where there are fewer features than the vector is long, the rest of it is nothing.
        vectors.resize(dim * mean.len(), 0.0);
        strengths.resize(dim, 0.0);
        let map = vectors
            .chunks_exact(mean.len())
            .zip(&strengths)
            .flat_map(|(vector, strength)| {
                let scale = strength.powf(self.sharpness as f32);
                vector.iter().map(move |x| scale * x)
            })
            .collect();
        let encoder = self.encoder.with_readout(Readout::Map { mean, map })?;
        Ok(Self {
            encoder,
            strengths: replaced(self.strengths, strengths),
            directions: replaced(self.directions, vectors),
            ..self
        })
    }

    fn settling_cost(&self) -> f64 {
        // Of n features an item costs some 24·n² operations: three products of n² for its sums, and as much again and more
        // for the features. A round with d directions costs 9·n²·d, at the half of the speed, which doubles have.
        (self.rounds + 1) as f64 * self.encoder.dim() as f64 * 0.75
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

impl<E: Encoder> SpectralMethod<E> {
    /// Means over what was seen before and a batch.
    fn taken_in(self, sums: Sums) -> Self {
        let before = f64::from(host(self.seen.val())[0]);
        let after = before + sums.pairs as f64;
        let (old, new) = (before / after, sums.pairs as f64 / after);
        fn mixed<const D: usize>(
            of: Param<Tensor<D>>,
            seen: Tensor<D>,
            [old, new]: [f64; 2],
        ) -> Param<Tensor<D>> {
            of.map(|mean| (mean.mul_scalar(old) + seen.mul_scalar(new)).set_require_grad(false))
        }
        Self {
            mean: mixed(self.mean, sums.mean, [old, new]),
            total: mixed(self.total, sums.total, [old, new]),
            between: mixed(self.between, sums.between, [old, new]),
            seen: replaced(self.seen, vec![after as f32]),
            ..self
        }
    }
}

/// The loss of the header over vectors `[pairs, dim]` of either view.
pub(super) fn spectral_loss(z: Tensor<2>, other: Tensor<2>) -> Loss {
    let pairs = z.dims()[0].max(1) as f64;
    let agreement = (z.clone() * other.clone()).sum().div_scalar(pairs);
    let both = Tensor::cat(vec![z, other], 0);
    let spread = both
        .clone()
        .transpose()
        .matmul(both)
        .div_scalar(2.0 * pairs)
        .square()
        .sum();
    Loss::new(agreement.clone().mul_scalar(-2.0) + spread.clone())
        .part("agreement", &agreement)
        .part("spread", &spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::{load_state, state_of};
    use crate::method::toy::{Bare, Given};
    use crate::random::{Purpose, stream};
    use burn::tensor::TensorData;
    use rand::RngExt;

    const FEATURES: usize = 6;
    const DIM: usize = 3;

    /// Two views of so many items: sources 0, 1 and 2 are shared, less and less; all are mixed, and the mean isn't zero.
    fn pairs(count: usize, seed: u64) -> [Vec<f32>; 2] {
        let mut rng = stream(seed, Purpose::Synthetic, &[]);
        let mut views = [Vec::new(), Vec::new()];
        for _ in 0..count {
            let mut normal = || {
                let sum: f32 = (0..12).map(|_| rng.random::<f32>()).sum();
                sum - 6.0
            };
            let item: Vec<f32> = (0..FEATURES).map(|_| normal()).collect();
            for view in &mut views {
                let sources: Vec<f32> = (0..FEATURES)
                    .map(|i| {
                        let shared = [0.9f32, 0.6, 0.3, 0.0, 0.0, 0.0][i];
                        shared.sqrt() * item[i] + (1.0 - shared).sqrt() * normal()
                    })
                    .collect();
                view.extend((0..FEATURES).map(|i| {
                    2.0 + sources[i] + 0.5 * sources[(i + 1) % FEATURES]
                        - 0.3 * sources[(i + 4) % FEATURES]
                }));
            }
        }
        views
    }

    fn batch(values: &[f32]) -> Given {
        Given::new(values, FEATURES, &tests_device())
    }

    fn method(sharpness: f64) -> SpectralMethod<Bare> {
        let mut init = Init::new(0, &tests_device());
        let encoder = Bare::mapping(FEATURES, DIM, &mut init);
        let settings = Spectral {
            ridge: 1e-6,
            sharpness,
            ..Spectral::default()
        };
        settings.build(encoder, &mut init).unwrap()
    }

    const AT: Step = Step {
        number: 0,
        part: 0,
        progress: 0.0,
        seed: 0,
    };

    /// Takes the pairs in, a few at a time.
    fn learned(sharpness: f64, views: &[Vec<f32>; 2]) -> SpectralMethod<Bare> {
        let mut method = method(sharpness);
        let chunks = views[0]
            .chunks(FEATURES * 300)
            .zip(views[1].chunks(FEATURES * 300));
        for (a, b) in chunks {
            let (_, sums) = method.loss(vec![batch(a), batch(b)], &AT).unwrap();
            method = method.after_step(vec![sums], &AT);
        }
        method.settled(&AT).unwrap()
    }

    /// The loss of vectors, item by item.
    fn naive(z: &[f32], other: &[f32]) -> f64 {
        let count = z.len() / DIM;
        let at = |x: &[f32], item: usize, d: usize| f64::from(x[item * DIM + d]);
        let mut agreement = 0.0;
        for item in 0..count {
            for d in 0..DIM {
                agreement += at(z, item, d) * at(other, item, d) / count as f64;
            }
        }
        let mut spread = 0.0;
        for d in 0..DIM {
            for e in 0..DIM {
                let mean: f64 = (0..count)
                    .map(|item| {
                        at(z, item, d) * at(z, item, e) + at(other, item, d) * at(other, item, e)
                    })
                    .sum();
                spread += (mean / (2.0 * count as f64)).powi(2);
            }
        }
        spread - 2.0 * agreement
    }

    #[test]
    fn the_loss_is_the_naive_one_and_least_where_it_was_solved() {
        let views = pairs(4000, 1);
        let method = learned(0.5, &views);
        let [a, b] = [0, 1].map(|view| method.encoder.encode(&batch(&views[view])));
        let loss = |a: &Tensor<2>, b: &Tensor<2>| -> f64 {
            f64::from(
                spectral_loss(a.clone(), b.clone())
                    .total
                    .into_scalar::<f32>(),
            )
        };
        let least = loss(&a, &b);
        assert!((least - naive(&host(a.clone()), &host(b.clone()))).abs() < 1e-4);
        // −Σ λ², with what the sources share; mixing them changes nothing.
        let strengths = host(method.strengths.val());
        for (found, shared) in strengths.iter().zip([0.9, 0.6, 0.3]) {
            assert!((found - shared).abs() < 0.05, "{strengths:?}");
        }
        let expected: f64 = strengths.iter().map(|x| -f64::from(x * x)).sum();
        assert!((least - expected).abs() < 1e-3, "{least} {expected}");
        // Any other map is worse.
        for direction in 0..DIM * DIM {
            let mut turn = vec![0.0f32; DIM * DIM];
            (0..DIM).for_each(|d| turn[d * DIM + d] = 1.0);
            turn[direction] += 0.2;
            let turn = Tensor::<2>::from_data(TensorData::new(turn, [DIM, DIM]), &tests_device());
            let other = loss(&a.clone().matmul(turn.clone()), &b.clone().matmul(turn));
            assert!(other > least, "{direction}: {other} {least}");
        }
        // The method tells that loss of what it was given.
        let (told, _) = method
            .loss(views.each_ref().map(|view| batch(view)).to_vec(), &AT)
            .unwrap();
        let told = f64::from(told.total.into_scalar::<f32>());
        assert!((told - least).abs() < 1e-3, "{told} {least}");
    }

    #[test]
    fn batches_come_to_what_one_of_all_comes_to_and_a_state_holds_it() {
        let views = pairs(900, 2);
        let parts = learned(1.0, &views);
        let whole = method(1.0);
        let (_, sums) = whole
            .loss(views.each_ref().map(|view| batch(view)).to_vec(), &AT)
            .unwrap();
        let whole = whole.after_step(vec![sums], &AT).settled(&AT).unwrap();
        let (parts, whole) = (state_of(&parts), state_of(&whole));
        for name in ["total", "between", "mean", "seen", "strengths"] {
            for (a, b) in parts[name].values.iter().zip(&whole[name].values) {
                assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{name}: {a} {b}");
            }
        }
        let again = load_state(method(1.0), &whole).unwrap();
        assert_eq!(
            state_of(&again.settled(&AT).unwrap())["encoder.map"].shape,
            [DIM, FEATURES]
        );
    }

    #[test]
    fn what_is_shared_less_counts_less_and_nothing_seen_changes_nothing() {
        let views = pairs(2000, 3);
        let scale = |sharpness| -> Vec<f32> {
            let method = learned(sharpness, &views);
            let z = host(method.encoder.encode(&batch(&views[0])));
            (0..DIM)
                .map(|d| {
                    let square: f32 = z.chunks(DIM).map(|row| row[d] * row[d]).sum();
                    (square / 2000.0).sqrt()
                })
                .collect()
        };
        for (scale, expected) in scale(1.0).iter().zip([0.9, 0.6, 0.3]) {
            assert!((scale - expected).abs() < 0.06, "{scale} {expected}");
        }
        for scale in scale(0.0) {
            assert!((scale - 1.0).abs() < 0.05, "{scale}");
        }
        let before = host(method(1.0).encoder.map.as_ref().unwrap().val());
        let after = method(1.0).settled(&AT).unwrap();
        assert_eq!(before, host(after.encoder.map.as_ref().unwrap().val()));
    }
}
