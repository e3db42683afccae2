//! TS2Vec: what two overlapping crops share is the same moment seen in other surroundings; at every moment and on every
//! scale of time it should look more like itself than like other moments and other items.
//!
//! Of the tokens that both crops of an item have, zᵢₜ and z′ᵢₜ, and with plain inner products,
//!
//! ```text
//! instance:  −log e^{zᵢₜ·z′ᵢₜ} / Σⱼ (e^{zᵢₜ·z′ⱼₜ} + [j ≠ i] e^{zᵢₜ·zⱼₜ})     other items at the same moment
//! temporal:  −log e^{zᵢₜ·z′ᵢₜ} / Σₛ (e^{zᵢₜ·z′ᵢₛ} + [s ≠ t] e^{zᵢₜ·zᵢₛ})     other moments of the same item
//! ```
//!
//! are averaged over items, moments and both directions, and halved together. Then each pair of neighboring moments becomes
//! one by the larger of each value, and again, until one is left; the loss is the mean over these scales. What is kept is
//! the mean of the weights of all steps.
//!
//! Yue, Wang, Duan, Yang, Huang, Tong & Xu 2022, "TS2Vec: Towards Universal Representation of Time Series" (AAAI, arXiv
//! 2106.10466); official code: yuezhihan/ts2vec. Differs: where rows share more moments than others of the batch, a random
//! stretch of them counts; the rate follows the schedule of all runs.
//!
//! `autodidact pretrain DATA --method ts2vec`

use autodidact_kernels::{Among, Pool2dOptions, gather_tokens, max_pool2d, pair_contrast};
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, take, timeless, within};
use crate::error::{Error, Result};
use crate::layers::{Init, Teacher};
use crate::modality::{Change, Encoder, Maskable, Need, Pretext, Track};
use crate::random::Rng;

/// The recipe's `[method]` for TS2Vec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ts2Vec {
    /// The part of the contrast between items in the loss, 0 to 1; the rest is that between moments.
    pub instance: f64,
    /// How often moments are joined in pairs before they are told apart; more saves time and memory on long items.
    pub temporal_unit: usize,
    /// Whether the mean of the weights of all steps is kept, and not those of the last step.
    pub averaged: bool,
}

impl Default for Ts2Vec {
    fn default() -> Self {
        Self {
            instance: 0.5,
            temporal_unit: 0,
            averaged: true,
        }
    }
}

impl Objective for Ts2Vec {
    const NAME: &'static str = "ts2vec";
    const SUMMARY: &'static str =
        "contrast over time: the same moment in two crops agrees, other moments and items don't";
    const SOURCE: &'static str = "Yue et al. 2022, arXiv 2106.10466, yuezhihan/ts2vec";
    const NEEDS: Need = Need::Ordered;
    type Method<E: Maskable> = Ts2VecMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext::new(2, Change::Overlapping, Self::NEEDS)
    }

    fn training(&self) -> Training {
        Training::adamw(1e-3, 0.01).for_batch(16)
    }

    fn batch(&self) -> Option<usize> {
        Some(16)
    }

    fn check(&self) -> Result<()> {
        within("instance", self.instance, 0.0, 1.0)
    }

    fn build<E: Maskable>(&self, encoder: E, _: &mut Init) -> Result<Ts2VecMethod<E>> {
        encoder.ordered().ok_or_else(|| timeless(Self::NAME))?;
        Ok(Ts2VecMethod {
            average: self.averaged.then(|| Teacher::of(&encoder)),
            encoder,
            instance: self.instance,
            temporal_unit: self.temporal_unit,
        })
    }
}

/// An encoder, and the mean of what it was.
#[derive(Module, Debug)]
pub struct Ts2VecMethod<E: Encoder> {
    encoder: E,
    average: Option<Teacher<E>>,
    instance: f64,
    temporal_unit: usize,
}

impl<E: Encoder> Method<E> for Ts2VecMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, ())> {
        let views: [E::Batch; 2] = take(views, Ts2Vec::NAME)?;
        let network = self.encoder.ordered();
        let network = network.ok_or_else(|| timeless(Ts2Vec::NAME))?;
        let tracks = [0, 1].map(|view| network.tracks(&views[view]));
        let shared = Shared::of(&tracks, network.stride(), &mut at.rng())?;
        let [a, b] = [0, 1].map(|view| {
            let tokens = self.encoder.tokens(&views[view]).values;
            picked(tokens, &shared.from[view], shared.length)
        });
        Ok((hierarchical(a, b, self.instance, self.temporal_unit), ()))
    }

    fn after_step(self, _: Vec<()>, at: &Step) -> Self {
        // The initial weights count as those of a step.
        let before = (at.number + 1) as f64;
        let average = self
            .average
            .map(|average| average.mixed_in(&self.encoder, before / (before + 1.0)));
        Self { average, ..self }
    }

    fn encoder(&self) -> &E {
        match &self.average {
            Some(average) => average.network(),
            None => &self.encoder,
        }
    }

    fn into_encoder(self) -> E {
        match self.average {
            Some(average) => average.into_network(),
            None => self.encoder,
        }
    }
}

/// The moments that two views of each row share, as many of each row.
#[derive(Debug, PartialEq, Eq)]
struct Shared {
    length: usize,
    /// The first of them, for each view and row: the number of its token.
    from: [Vec<usize>; 2],
}

impl Shared {
    fn of([a, b]: &[Vec<Track>; 2], stride: usize, rng: &mut Rng) -> Result<Self> {
        // For each row, the first token of the one view that the other has too, which that is, and how many follow.
        let rows: Vec<[i64; 3]> = a
            .iter()
            .zip(b)
            .map(|(a, b)| {
                let ahead = ahead(a, b, stride.max(1) as i64);
                let first = ahead.max(0);
                let end = (a.tokens as i64).min(b.tokens as i64 + ahead);
                [first, first - ahead, end - first]
            })
            .collect();
        let length = rows.iter().map(|[_, _, count]| *count).min().unwrap_or(0);
        if length < 1 {
            return Err(Error::recipe("two views of an item that share no moment")
                .expected("crops that overlap")
                .mend("leave [views] to the method, or make the crops longer"));
        }
        let mut from = [Vec::new(), Vec::new()];
        for [first, other, count] in rows {
            let skipped = rng.random_range(0..=count - length);
            from[0].push((first + skipped) as usize);
            from[1].push((other + skipped) as usize);
        }
        Ok(Self {
            length: length as usize,
            from,
        })
    }
}

/// How many tokens `b` begins after `a`. Where the starts lie no whole tokens apart, those are taken together that are
/// nearest; but of crops that share steps, one token at least is of both.
fn ahead(a: &Track, b: &Track, stride: i64) -> i64 {
    let [of_a, of_b] = [a, b].map(|track| track.tokens as i64);
    let apart = b.start as i64 - a.start as i64;
    let near = (apart as f64 / stride as f64).round() as i64;
    if -of_b * stride < apart && apart < of_a * stride {
        // No `clamp`, which panics where a crop has no tokens.
        return near.min(of_a - 1).max(1 - of_b);
    }
    near
}

/// `length` tokens of each row from a place of its own, `[batch, tokens, dim]` → `[batch, length, dim]`.
fn picked(tokens: Tensor<3>, from: &[usize], length: usize) -> Tensor<3> {
    if let [first, rest @ ..] = from
        && rest.iter().all(|other| other == first)
    {
        return tokens.narrow(1, *first, length);
    }
    let numbers = from
        .iter()
        .flat_map(|&first| (first..first + length).map(|place| place as i64));
    let data = TensorData::new(numbers.collect::<Vec<i64>>(), [from.len(), length]);
    let places = Tensor::<2, Int>::from_data(data, &tokens.device());
    gather_tokens(tokens, places)
}

/// The loss of the header over tokens `[batch, moments, dim]` of the same moments in either view.
fn hierarchical(mut a: Tensor<3>, mut b: Tensor<3>, instance: f64, temporal_unit: usize) -> Loss {
    let device = a.device();
    let [mut items, mut moments] = [(); 2].map(|()| Tensor::<1>::zeros([1], &device));
    let mut scales = 0;
    loop {
        let length = a.dims()[1];
        if instance > 0.0 {
            items = items + pair_contrast(a.clone(), b.clone(), Among::Items);
        }
        // A single moment has none to be told apart from.
        if instance < 1.0 && scales >= temporal_unit && length > 1 {
            moments = moments + pair_contrast(a.clone(), b.clone(), Among::Moments);
        }
        scales += 1;
        if length == 1 {
            break;
        }
        [a, b] = [a, b].map(joined);
    }
    let [items, moments] = [items, moments].map(|sum| sum.div_scalar(scales as f64));
    let mut total = items.clone().mul_scalar(instance) + moments.clone().mul_scalar(1.0 - instance);
    // Few moments may be one before any are told apart.
    if instance == 0.0 && scales <= temporal_unit.saturating_add(1) {
        total = total + nothing(a);
    }
    Loss::new(total)
        .part("items", &items)
        .part("moments", &moments)
}

/// 0, and still of the graph: a step that tells nothing apart is one whose gradients are 0, not one without any.
fn nothing(x: Tensor<3>) -> Tensor<1> {
    // Bounded first: 0 times an infinite sum is no number.
    x.tanh().sum().mul_scalar(0.0)
}

/// The larger of each value of two neighboring moments, `[batch, moments, dim]` → `[batch, ⌊moments / 2⌋, dim]`.
fn joined(x: Tensor<3>) -> Tensor<3> {
    let options = Pool2dOptions {
        kernel: [1, 2],
        stride: [1, 2],
        padding: [0, 0],
    };
    max_pool2d(x.unsqueeze_dim::<4>(1), options).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::super::toy::{Clock, ClockBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::{host, trained};
    use crate::random::{Purpose, stream};

    const AT: Step = Step {
        number: 0,
        part: 0,
        progress: 0.0,
        seed: 3,
    };

    fn scalar(tensor: Tensor<1>) -> f64 {
        f64::from(tensor.into_scalar::<f32>())
    }

    /// One view of tokens, `[item][moment][value]`.
    type View = Vec<Vec<Vec<f64>>>;

    /// The formulas of the header, term by term.
    fn naive(mut views: [View; 2], instance: f64, temporal_unit: usize) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (mut sum, mut scales) = (0.0, 0);
        loop {
            let (items, moments) = (views[0].len(), views[0][0].len());
            let (mut of_items, mut of_moments) = (0.0, 0.0);
            for view in 0..2 {
                for i in 0..items {
                    for t in 0..moments {
                        let own = &views[view][i][t];
                        let s = |v: usize, j: usize, u: usize| dot(own, &views[v][j][u]).exp();
                        let other = 1 - view;
                        let itself = s(view, i, t);
                        let over_items: f64 =
                            (0..items).map(|j| s(view, j, t) + s(other, j, t)).sum();
                        let over_moments: f64 =
                            (0..moments).map(|u| s(view, i, u) + s(other, i, u)).sum();
                        of_items -= (s(other, i, t) / (over_items - itself)).ln();
                        of_moments -= (s(other, i, t) / (over_moments - itself)).ln();
                    }
                }
            }
            let count = (2 * items * moments) as f64;
            sum += instance * of_items / count;
            if scales >= temporal_unit && moments > 1 {
                sum += (1.0 - instance) * of_moments / count;
            }
            scales += 1;
            if moments == 1 {
                return sum / f64::from(u32::try_from(scales).unwrap());
            }
            let join = |item: &Vec<Vec<f64>>| {
                item.chunks_exact(2)
                    .map(|pair| {
                        pair[0]
                            .iter()
                            .zip(&pair[1])
                            .map(|(a, b)| a.max(*b))
                            .collect()
                    })
                    .collect()
            };
            views = views.map(|view| view.iter().map(join).collect());
        }
    }

    fn drawn([items, moments, dim]: [usize; 3], seed: u64) -> View {
        let mut rng = stream(seed, Purpose::Method, &[]);
        let mut row = || (0..dim).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect();
        (0..items)
            .map(|_| (0..moments).map(|_| row()).collect())
            .collect()
    }

    fn tensor(view: &View) -> Tensor<3> {
        let shape = [view.len(), view[0].len(), view[0][0].len()];
        let values: Vec<f32> = view.concat().concat().iter().map(|&x| x as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), &tests_device())
    }

    #[test]
    fn tokens_that_are_all_alike_cost_what_guessing_costs() {
        let zeros = || Tensor::<3>::zeros([4, 8, 5], &tests_device());
        let loss = scalar(hierarchical(zeros(), zeros(), 0.5, 0).total);
        // Items: log 7 on each of four scales; moments: log 15, log 7, log 3 and nothing.
        assert!((loss - 1.692_027).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn the_loss_agrees_with_a_loop_over_items_and_moments() {
        for (shape, instance, unit) in [
            ([3, 10, 4], 0.5, 0),
            ([5, 3, 2], 0.3, 0),
            ([2, 7, 3], 0.5, 1),
            ([1, 4, 3], 0.5, 0),
            ([4, 1, 3], 0.5, 0),
            ([3, 4, 3], 1.0, 0),
            ([3, 4, 3], 0.0, 2),
        ] {
            let views = [drawn(shape, 1), drawn(shape, 2)];
            let [a, b] = [&views[0], &views[1]].map(tensor);
            let found = scalar(hierarchical(a, b, instance, unit).total);
            let expected = naive(views, instance, unit);
            assert!(
                (found - expected).abs() < 1e-5,
                "{shape:?}: {found} {expected}"
            );
        }
    }

    #[test]
    fn the_moments_that_views_share_are_found_whatever_the_strides() {
        let track = |start, tokens| Track { start, tokens };
        let rng = || stream(0, Purpose::Method, &[]);
        let tracks = [
            vec![track(2, 6), track(10, 4)],
            vec![track(4, 6), track(9, 5)],
        ];
        let shared = Shared::of(&tracks, 1, &mut rng()).unwrap();
        assert_eq!(shared.length, 4);
        assert_eq!(shared.from, [vec![2, 0], vec![0, 1]]);
        let tracks = [vec![track(0, 5)], vec![track(13, 5)]];
        let shared = Shared::of(&tracks, 4, &mut rng()).unwrap();
        assert_eq!((shared.length, shared.from), (2, [vec![3], vec![0]]));
        for (apart, stride) in [([(0, 3), (3, 3)], 1), ([(0, 2), (16, 2)], 8)] {
            let tracks = apart.map(|(start, tokens)| vec![track(start, tokens)]);
            let error = Shared::of(&tracks, stride, &mut rng());
            let error = error.unwrap_err().to_string();
            assert!(error.contains("no moment"), "{error}");
        }
    }

    /// The nearest token may lie beyond the end of a crop.
    #[test]
    fn crops_that_share_fewer_steps_than_half_a_token_share_one() {
        for (crops, expected) in [
            ([(0, 1), (5, 1)], [0usize, 0]),
            ([(5, 1), (0, 1)], [0, 0]),
            ([(0, 2), (15, 3)], [1, 0]),
            ([(21, 3), (1, 3)], [0, 2]),
        ] {
            let tracks = crops.map(|(start, tokens)| vec![Track { start, tokens }]);
            let mut rng = stream(0, Purpose::Method, &[]);
            let shared = Shared::of(&tracks, 8, &mut rng).unwrap();
            assert_eq!(shared.length, 1, "{crops:?}");
            assert_eq!(shared.from, expected.map(|first| vec![first]), "{crops:?}");
        }
    }

    #[test]
    fn a_step_that_tells_nothing_apart_has_gradients_and_they_are_zero() {
        for moments in [1usize, 2, 7] {
            let device = tests_device();
            // As large as values get: their sum is infinite.
            let tokens = || Tensor::<3>::full([2, moments, 3], f32::MAX, &device);
            let a = tokens().require_grad();
            let loss = hierarchical(a.clone(), tokens(), 0.0, 2);
            let gradients = loss.total.backward();
            assert_eq!(scalar(loss.total), 0.0);
            let of_a = host(a.grad(&gradients).unwrap());
            assert!(of_a.iter().all(|&value| value == 0.0), "{of_a:?}");
        }
    }

    #[test]
    fn the_same_moments_are_compared_and_the_average_learns_nothing_by_gradient() {
        let device = tests_device();
        // A recording of three values a moment, seen from 2 to 8 and from 5 to 11; and another, seen otherwise.
        let recording = drawn([2, 20, 3], 4);
        let seen = |from: [usize; 2]| -> View {
            let of = |item: usize| recording[item][from[item]..from[item] + 6].to_vec();
            vec![of(0), of(1)]
        };
        let [first, second] = [[2, 7], [5, 4]];
        let shared = |starts: [usize; 2]| -> View {
            let of = |item: usize| recording[item][starts[item]..starts[item] + 3].to_vec();
            vec![of(0), of(1)]
        };
        let batch = |starts: [usize; 2]| {
            let tracks = starts.map(|start| [start, 6]);
            ClockBatch::new(tensor(&seen(starts)), &tracks)
        };
        let clock = Clock::new(3, &device);
        let factor: Vec<f64> = host(clock.factor.val())
            .iter()
            .map(|&x| f64::from(x))
            .collect();
        let scaled = |mut view: View| {
            for value in view.iter_mut().flatten() {
                value.iter_mut().zip(&factor).for_each(|(x, by)| *x *= by);
            }
            view
        };
        let of_both = scaled(shared([5, 7]));
        let method = Ts2Vec::default()
            .build(clock, &mut Init::new(0, &device))
            .unwrap();
        assert_eq!(trained(&method), ["encoder.factor"]);
        let views = vec![batch(first), batch(second)];
        let (loss, ()) = method.loss(views, &AT).unwrap();
        let gradients = loss.total.backward();
        assert!(method.encoder.factor.val().grad(&gradients).is_some());
        let expected = naive([of_both.clone(), of_both], 0.5, 0);
        let found = scalar(loss.total);
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }

    #[test]
    fn what_is_kept_is_the_mean_of_the_weights_of_all_steps() {
        let device = tests_device();
        let clock = Clock::new(1, &device);
        let start = host(clock.factor.val())[0];
        let mut method = Ts2Vec::default()
            .build(clock, &mut Init::new(0, &device))
            .unwrap();
        for number in 0..3 {
            let factor = method.encoder.factor;
            method.encoder.factor = factor.map(|x| x.add_scalar(1.0).detach().require_grad());
            method = method.after_step(vec![()], &Step { number, ..AT });
        }
        let kept = host(method.encoder().factor.val())[0];
        // The mean of those at 0, 1, 2 and 3 steps.
        assert!((kept - (start + 1.5)).abs() < 1e-6, "{kept} {start}");
        let own = host(method.encoder.factor.val())[0];
        assert!((own - (start + 3.0)).abs() < 1e-6);
        assert_eq!(host(method.into_encoder().factor.val())[0], kept);
    }
}
