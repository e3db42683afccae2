//! What all networks for series have to hold.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{SeriesEncoder, SeriesFamily, SeriesNetwork};
use crate::layers::Init;
use crate::layers::init::tests_device;
use crate::layers::masking::Mask;
use crate::layers::state::{host, state_of};
use crate::modality::series::batch::{SeriesBatch, Steps};
use crate::modality::{Encoder, Maskable, Need, Rows};
use crate::random::{Purpose, stream};

const ALL: [SeriesFamily; 5] = [
    SeriesFamily::Kernels,
    SeriesFamily::Dilated,
    SeriesFamily::ConvGru,
    SeriesFamily::Resnet1d,
    SeriesFamily::Patch,
];

/// A small one of each.
fn small(name: SeriesFamily) -> SeriesNetwork {
    SeriesNetwork {
        name,
        width: match name {
            SeriesFamily::Kernels => 84 * 4,
            _ => 8,
        },
        dim: 10,
        depth: 2,
        heads: 2,
        patch: 5,
        strides: vec![2, 3],
        ..SeriesNetwork::default()
    }
}

fn built(network: &SeriesNetwork, missing: bool, device: &Device) -> SeriesEncoder {
    let mut init = Init::new(0, device);
    network.build(3, missing, 24, &mut init).unwrap()
}

/// Rows of 24 steps of 3 values.
fn batch(lengths: &[usize], change: impl Fn(usize, usize) -> Option<f32>) -> SeriesBatch {
    on(&tests_device(), lengths, change)
}

fn on(
    device: &Device,
    lengths: &[usize],
    change: impl Fn(usize, usize) -> Option<f32>,
) -> SeriesBatch {
    of_length(24, device, lengths, change)
}

fn of_length(
    length: usize,
    device: &Device,
    lengths: &[usize],
    change: impl Fn(usize, usize) -> Option<f32>,
) -> SeriesBatch {
    let value = |row: usize, step: usize, channel: usize| {
        change(row, step).unwrap_or_else(|| ((row * 72 + step * 3 + channel) as f32 * 0.7).sin())
    };
    let rows = 0..lengths.len();
    let row = 0..3 * length;
    let values = rows.flat_map(|number| row.clone().map(move |at| (number, at / 3, at % 3)));
    let steps = Steps {
        length,
        channels: 3,
        values: values
            .map(|(row, step, channel)| value(row, step, channel))
            .collect(),
        lengths: lengths.to_vec(),
        starts: vec![0; lengths.len()],
    };
    SeriesBatch::new(steps, Rows::default(), device)
}

#[test]
fn tokens_and_vectors_have_their_shapes_also_where_values_are_missing_and_rows_end_early() {
    let device = tests_device();
    for name in ALL {
        let network = small(name);
        let tokens = match name {
            SeriesFamily::Kernels => 1,
            SeriesFamily::ConvGru => 4,
            SeriesFamily::Patch => 5,
            SeriesFamily::Dilated | SeriesFamily::Resnet1d => 24,
        };
        for missing in [false, true] {
            let encoder = built(&network, missing, &device);
            let whole = batch(&[24, 24], |_, _| None);
            let gap = |row, step| (missing && row == 1 && step == 3).then_some(f32::NAN);
            let ragged = batch(&[24, 7], gap);
            for batch in [whole, ragged] {
                let found = encoder.tokens(&batch);
                assert_eq!(found.values.dims(), [2, tokens, encoder.dim()], "{name:?}");
                let vector = host(encoder.encode(&batch));
                assert_eq!(vector.len(), 2 * encoder.dim());
                assert!(vector.iter().all(|x| x.is_finite()), "{name:?}");
            }
        }
    }
}

#[test]
fn what_follows_the_end_of_a_row_is_no_token_and_rows_do_not_see_each_other() {
    let device = tests_device().inner();
    for name in ALL {
        let encoder = built(&small(name), false, &tests_device());
        let encoder = encoder.valid();
        let vectors = |lengths: &[usize], change: fn(usize, usize) -> Option<f32>| {
            host(encoder.encode(&on(&device, lengths, change)))
        };
        let plain = vectors(&[24, 9], |_, _| None);
        let later = vectors(&[24, 9], |row, step| {
            (row == 1 && step >= 9).then_some(50.0)
        });
        assert_eq!(plain, later, "{name:?}: steps that are not real");
        let other = vectors(&[24, 9], |row, _| (row == 0).then_some(0.3));
        let dim = encoder.dim();
        for (found, expected) in other[dim..].iter().zip(&plain[dim..]) {
            assert!((found - expected).abs() < 1e-5, "{name:?}");
        }
    }
}

#[test]
fn a_vector_does_not_depend_on_how_long_the_other_rows_of_its_batch_are() {
    let device = tests_device().inner();
    for name in ALL {
        for missing in [false, true] {
            let encoder = built(&small(name), missing, &tests_device()).valid();
            let vectors = |batch: &SeriesBatch| {
                let first = |vectors: Tensor<2>| host(vectors.narrow(0, 0, 1));
                [first(encoder.encode(batch)), first(encoder.latest(batch))].concat()
            };
            let alone = vectors(&of_length(9, &device, &[9], |_, _| None));
            // The other row is longer; and where gaps are told, without one and with one.
            let gap = |row, step| (missing && row == 1 && step == 3).then_some(f32::NAN);
            for batch in [
                on(&device, &[9, 24], |_, _| None),
                on(&device, &[9, 24], gap),
            ] {
                for (found, expected) in vectors(&batch).iter().zip(&alone) {
                    assert!((found - expected).abs() < 1e-5, "{name:?}, {missing}");
                }
            }
        }
    }
}

#[test]
fn contexts_and_latents_see_nothing_that_comes_later() {
    let encoder = built(&small(SeriesFamily::ConvGru), false, &tests_device());
    let causal = encoder.causal().unwrap();
    assert_eq!((causal.stride(), causal.latent_width()), (6, 8));
    let plain = batch(&[24], |_, _| None);
    // The third token begins at step 12.
    let changed = batch(&[24], |_, step| (step >= 12).then_some(-4.0));
    let [latents, others] = [&plain, &changed].map(|batch| causal.latents(batch).values);
    let contexts = [&latents, &others].map(|latents| causal.context(latents.clone()));
    let pairs = [[latents, others], contexts];
    for pair in pairs {
        let [before, after] = [(0, 2), (2, 2)].map(|(from, count)| {
            let [a, b] = [&pair[0], &pair[1]].map(|x| host(x.clone().narrow(1, from, count)));
            a == b
        });
        assert!(before && !after);
    }
    let tokens = encoder.tokens(&plain).values;
    let context = causal.context(causal.latents(&plain).values);
    assert_eq!(host(tokens), host(context));
    for name in ALL {
        let network = small(name);
        let encoder = built(&network, false, &tests_device());
        assert_eq!(encoder.causal().is_some(), network.abilities().looks_ahead);
        assert_eq!(encoder.ordered().is_some(), network.abilities().ordered);
        assert_eq!(
            encoder.features_width().is_some(),
            network.abilities().reads_out
        );
    }
}

#[test]
fn the_dilated_network_has_the_published_names_and_shapes() {
    let network = SeriesNetwork {
        name: SeriesFamily::Dilated,
        ..SeriesNetwork::default()
    };
    let encoder = built(&network, false, &tests_device());
    let state = state_of(&encoder);
    let shape = |name: &str| state[name].shape.clone();
    assert_eq!(shape("input_fc.weight"), [64, 3]);
    assert_eq!(
        shape("feature_extractor.net.0.conv1.conv.weight"),
        [64, 64, 3]
    );
    assert_eq!(shape("feature_extractor.net.10.conv2.conv.bias"), [320]);
    assert_eq!(
        shape("feature_extractor.net.10.projector.weight"),
        [320, 64, 1]
    );
    // 10 blocks of 4 arrays, a last one of 6, and the first layer's.
    assert_eq!(state.len(), 10 * 4 + 6 + 2);
    let values: usize = state.values().map(|array| array.values.len()).sum();
    let convolution = |inputs: usize, outputs: usize, taps: usize| outputs * (inputs * taps + 1);
    let blocks = 20 * convolution(64, 64, 3);
    let last = convolution(64, 320, 3) + convolution(320, 320, 3) + convolution(64, 320, 1);
    assert_eq!(values, convolution(3, 64, 1) + blocks + last);
    // As the published code writes them: averaged.
    let mut averaged: crate::layers::state::State = state
        .iter()
        .map(|(name, array)| (format!("module.{name}"), array.clone()))
        .collect();
    averaged.insert("n_averaged".to_owned(), state["input_fc.bias"].clone());
    encoder.adopt(&mut averaged).unwrap();
    assert_eq!(averaged, state);
}

#[test]
fn steps_are_hidden_by_the_seed_while_learning_and_not_otherwise() {
    let encoder = built(&small(SeriesFamily::Dilated), false, &tests_device());
    let batch = || batch(&[24, 20], |_, _| None);
    let tokens = |seed| host(encoder.tokens(&batch().hidden_by(seed)).values);
    assert_eq!(tokens(Some(1)), tokens(Some(1)));
    assert_ne!(tokens(Some(1)), tokens(Some(2)));
    assert_ne!(tokens(Some(1)), tokens(None));
    let (frozen, device) = (encoder.valid(), tests_device().inner());
    let still = |seed| {
        let batch = on(&device, &[24, 20], |_, _| None).hidden_by(seed);
        host(frozen.tokens(&batch).values)
    };
    assert_eq!(still(Some(1)), still(None));
}

#[test]
fn the_true_values_cost_nothing_and_fill_the_hidden_places_with_what_was_there() {
    let device = tests_device();
    let encoder = built(&small(SeriesFamily::Patch), false, &device);
    let batch = batch(&[24, 12], |_, _| None);
    let mut rng = stream(0, Purpose::Method, &[]);
    let mask = Mask::random(2, encoder.places(), 0.5, &mut rng, &device);
    let visible = encoder.visible(&batch, &mask.keep).unwrap();
    assert_eq!(visible.dims(), [2, 2, encoder.width()]);
    assert!(host(visible).iter().all(|x| x.is_finite()));
    let padded = Tensor::cat(
        vec![batch.values.clone(), Tensor::zeros([2, 1, 3], &device)],
        1,
    );
    let targets = padded.reshape([2, 5, encoder.target_dim()]);
    let loss = |predictions| encoder.hidden_loss(predictions, &batch, &mask).unwrap();
    assert_eq!(host(loss(targets.clone()))[0], 0.0);
    // One more everywhere costs one, whatever counts.
    let off = host(loss(targets.clone().add_scalar(1.0)))[0];
    assert!((off - 1.0).abs() < 1e-5, "{off}");
    let filled = encoder.filled(&batch, &mask, Some(targets)).unwrap();
    assert_eq!(host(filled.values), host(batch.values.clone()));
    let given = host(encoder.filled(&batch, &mask, None).unwrap().values);
    let hidden = host(mask.hidden);
    for (place, value) in given.iter().enumerate() {
        let (row, step) = (place / 72, place % 72 / 3);
        assert_eq!(value.is_nan(), hidden[row * 5 + step / 5] > 0.5);
    }
}

#[test]
fn what_is_hidden_does_not_reach_the_visible_tokens() {
    let device = tests_device();
    let encoder = built(&small(SeriesFamily::Patch), false, &device);
    let keep = Tensor::from_data([[3, 0]], &device);
    let tokens = |batch: &SeriesBatch| host(encoder.visible(batch, &keep).unwrap());
    let plain = batch(&[24], |_, _| None);
    let altered = batch(&[24], |_, step| (5..15).contains(&step).then_some(9.0));
    assert_eq!(tokens(&plain), tokens(&altered));
}

#[test]
fn what_suits_a_task_can_be_built_and_serves_it() {
    for need in [
        Need::Vectors,
        Need::Hidden,
        Need::Readout,
        Need::Ordered,
        Need::Ahead,
    ] {
        for length in [1, 8, 24, 150, 3000] {
            let network = SeriesNetwork::suiting(need, length);
            assert!(network.abilities().serve(need));
            network.check(3, length).unwrap();
        }
    }
    let wrong = SeriesNetwork {
        strides: vec![5, 0],
        ..small(SeriesFamily::ConvGru)
    };
    let error = wrong.check(3, 24).unwrap_err().to_string();
    assert!(error.contains("encoder.strides = [5, 0]"), "{error}");
    let wide = SeriesNetwork {
        width: 9,
        ..small(SeriesFamily::Patch)
    };
    assert!(wide.check(3, 24).unwrap_err().to_string().contains("heads"));
}

#[test]
fn every_parameter_belongs_to_a_stage_and_every_stage_has_one() {
    for name in ALL {
        let encoder = built(&small(name), false, &tests_device());
        let mut seen = vec![false; encoder.stages()];
        for parameter in state_of(&encoder).keys() {
            seen[encoder.stage(parameter)] = true;
        }
        assert!(seen.iter().all(|&seen| seen), "{name:?}: {seen:?}");
    }
}
