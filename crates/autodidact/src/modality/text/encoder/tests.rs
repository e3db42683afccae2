use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Family, Pooling, TextEncoder, TextNetwork};
use crate::layers::Init;
use crate::layers::init::tests_device;
use crate::layers::state::{host, state_of};
use crate::modality::text::batch::TextBatch;
use crate::modality::{Encoder, Maskable, Rows, Symbolic, Symbols, Vocabulary};

const FAMILIES: [Family; 4] = [
    Family::Bert,
    Family::Modern,
    Family::Gpt2,
    Family::ModernCausal,
];

fn vocabulary(size: usize) -> Vocabulary {
    Vocabulary {
        size,
        mask: 4,
        special: Arc::new((0..5).collect()),
        seams: Arc::default(),
        parts: Arc::default(),
    }
}

fn network(name: Family, dropout: f64) -> TextEncoder {
    let settings = TextNetwork {
        name,
        width: 16,
        depth: 2,
        heads: 2,
        dropout,
        head: true,
        ..TextNetwork::default()
    };
    settings.build(&vocabulary(30), 12, &mut Init::new(1, &tests_device()))
}

/// Rows of symbols and the documents that they belong to, all of one length.
fn batch(rows: &[(&[u32], &[u32])], device: &Device) -> TextBatch {
    let symbols = Symbols {
        length: rows[0].0.len(),
        ids: rows.iter().flat_map(|(ids, _)| ids.to_vec()).collect(),
        next: vec![None; rows.len() * rows[0].0.len()],
        documents: rows.iter().flat_map(|(_, of)| of.to_vec()).collect(),
    };
    TextBatch::new(symbols, None, Rows::default(), device)
}

fn near(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 2e-5, "{what}: {a} beside {b}");
    }
}

/// Names and shapes as `transformers` has them.
#[test]
fn names_and_shapes_are_those_of_transformers() {
    let base = |name| {
        let settings = TextNetwork {
            name,
            width: 24,
            depth: 2,
            heads: 2,
            head: true,
            ..TextNetwork::default()
        };
        state_of(&settings.build(&vocabulary(30), 12, &mut Init::new(0, &tests_device())))
    };
    let bert = base(Family::Bert);
    for (name, shape) in [
        ("bert.embeddings.word_embeddings.weight", &[30, 24][..]),
        ("bert.embeddings.position_embeddings.weight", &[12, 24]),
        ("bert.embeddings.token_type_embeddings.weight", &[2, 24]),
        ("bert.embeddings.LayerNorm.bias", &[24]),
        (
            "bert.encoder.layer.1.attention.self.query.weight",
            &[24, 24],
        ),
        ("bert.encoder.layer.1.attention.self.value.bias", &[24]),
        (
            "bert.encoder.layer.0.attention.output.dense.weight",
            &[24, 24],
        ),
        (
            "bert.encoder.layer.0.attention.output.LayerNorm.weight",
            &[24],
        ),
        ("bert.encoder.layer.0.intermediate.dense.weight", &[96, 24]),
        ("bert.encoder.layer.0.output.dense.weight", &[24, 96]),
        ("cls.predictions.transform.dense.weight", &[24, 24]),
        ("cls.predictions.transform.LayerNorm.weight", &[24]),
        ("cls.predictions.bias", &[30]),
    ] {
        assert_eq!(bert[name].shape, shape, "{name}");
    }
    // Five of the embeddings, sixteen a layer, five of the head.
    assert_eq!(bert.len(), 5 + 2 * 16 + 5);
    let gpt2 = base(Family::Gpt2);
    for (name, shape) in [
        ("transformer.wte.weight", &[30, 24][..]),
        ("transformer.wpe.weight", &[12, 24]),
        ("transformer.h.1.attn.c_attn.weight", &[72, 24]),
        ("transformer.h.1.mlp.c_proj.weight", &[24, 96]),
        ("transformer.ln_f.bias", &[24]),
    ] {
        assert_eq!(gpt2[name].shape, shape, "{name}");
    }
    assert_eq!(gpt2.len(), 2 + 2 * 12 + 2);
    let modern = base(Family::Modern);
    for (name, shape) in [
        ("model.embeddings.tok_embeddings.weight", &[30, 24][..]),
        ("model.layers.1.attn_norm.weight", &[24]),
        ("model.layers.0.attn.Wqkv.weight", &[72, 24]),
        ("model.layers.0.mlp.Wi.weight", &[128, 24]),
        ("model.final_norm.weight", &[24]),
        ("head.dense.weight", &[24, 24]),
    ] {
        assert_eq!(modern[name].shape, shape, "{name}");
    }
    assert!(!modern.contains_key("model.layers.0.attn_norm.weight"));
}

#[test]
fn documents_in_a_row_and_padding_change_nothing_for_each_other() {
    let device = tests_device().inner();
    for name in [Family::Modern, Family::ModernCausal] {
        use burn::module::Module;
        let network = network(name, 0.0).valid();
        let alone = batch(&[(&[7, 8, 9], &[1, 1, 1])], &device);
        let packed = batch(
            &[(&[7, 8, 9, 3, 11, 12, 0, 0], &[1, 1, 1, 2, 2, 2, 0, 0])],
            &device,
        );
        let [alone, packed] = [alone, packed].map(|batch| host(network.tokens(&batch).values));
        near(&alone, &packed[..3 * 16], &format!("{name:?}"));
        assert!(packed.iter().all(|value| value.is_finite()));
    }
    for name in FAMILIES {
        use burn::module::Module;
        let network = network(name, 0.0).valid();
        let short = batch(&[(&[7, 8, 9], &[1, 1, 1])], &device);
        let padded = batch(&[(&[7, 8, 9, 0, 0], &[1, 1, 1, 0, 0])], &device);
        let [short, padded] = [short, padded].map(|batch| host(network.encode(&batch)));
        near(&short, &padded, &format!("{name:?} padded"));
    }
}

#[test]
fn causal_networks_see_nothing_of_what_comes_and_the_others_do() {
    let device = tests_device().inner();
    for name in FAMILIES {
        use burn::module::Module;
        let network = network(name, 0.0).valid();
        let of = [1; 5];
        let [a, b] = [[7, 8, 9, 10, 11], [7, 8, 9, 20, 21]].map(|ids| {
            let batch = batch(&[(&ids, &of)], &device);
            host(network.tokens(&batch).values)
        });
        assert_eq!(a[..3 * 16] == b[..3 * 16], name.is_causal(), "{name:?}");
    }
}

#[test]
fn what_is_read_symbol_by_symbol_scores_as_what_is_read_at_once() {
    let device = tests_device().inner();
    for name in [Family::Gpt2, Family::ModernCausal] {
        use burn::module::Module;
        let network = network(name, 0.0).valid();
        let ids = [7u32, 8, 9, 20, 21, 5];
        let whole = batch(&[(&ids, &[1; 6])], &device);
        let tokens = network.tokens(&whole).values;
        let places: Vec<usize> = (0..6).collect();
        let expected = host(network.scores(tokens, &places));
        let mut reader = network.reader().unwrap();
        let mut read = |ids: &[u32]| {
            let numbers: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
            let data = TensorData::new(numbers, [1, ids.len()]);
            host(reader.extend(Tensor::<2, Int>::from_data(data, &device)))
        };
        near(&read(&ids[..3]), &expected[2 * 30..3 * 30], "three at once");
        for place in 3..6 {
            let scores = read(&ids[place..=place]);
            near(
                &scores,
                &expected[place * 30..][..30],
                &format!("{name:?} {place}"),
            );
        }
    }
    assert!(network(Family::Bert, 0.0).reader().is_err());
}

#[test]
fn scores_of_some_places_are_those_of_all() {
    let device = tests_device();
    for name in FAMILIES {
        let network = network(name, 0.0);
        let batch = batch(&[(&[7, 8, 9], &[1; 3]), (&[5, 6, 7], &[1; 3])], &device);
        let tokens = network.tokens(&batch).values;
        let all = host(network.scores(tokens.clone(), &[0, 1, 2, 3, 4, 5]));
        let some = host(network.scores(tokens, &[1, 4]));
        near(&some[..30], &all[30..60], "the second");
        near(&some[30..], &all[120..150], "the fifth");
    }
}

#[test]
fn dropout_goes_by_the_seed_and_is_off_outside_of_training() {
    for name in FAMILIES {
        use burn::module::Module;
        let network = network(name, 0.3);
        let run = |seed, device: &Device, network: &TextEncoder| {
            let mut batch = batch(&[(&[7, 8, 9], &[1; 3])], device);
            batch.dropout = seed;
            host(network.tokens(&batch).values)
        };
        let device = tests_device();
        let first = run(Some(1), &device, &network);
        assert_eq!(first, run(Some(1), &device, &network));
        assert_ne!(first, run(Some(2), &device, &network));
        let plain = run(None, &device, &network);
        assert_ne!(first, plain);
        near(
            &run(Some(1), &device.inner(), &network.valid()),
            &plain,
            "outside",
        );
    }
}

/// BERT tells the first text from the second; where all are of the first, it is as if nothing was said.
#[test]
fn the_second_of_two_texts_is_told_from_the_first() {
    use burn::module::Module;
    let device = tests_device().inner();
    let network = network(Family::Bert, 0.0).valid();
    let plain = batch(&[(&[2, 7, 3, 8, 3], &[1; 5])], &device);
    let run = |kinds: Option<[u32; 5]>| {
        let batch = match kinds {
            Some(kinds) => plain.clone().of_pairs(&kinds, Some(vec![1])),
            None => plain.clone(),
        };
        // What stands in other symbols' places keeps what is known of the places.
        let batch = batch.replaced(vec![2, 9, 3, 8, 3]);
        host(network.tokens(&batch).values)
    };
    near(&run(None), &run(Some([0; 5])), "all of the first");
    assert_ne!(run(None), run(Some([0, 0, 0, 1, 1])));
}

#[test]
fn what_is_left_of_the_second_of_two_texts_is_still_of_the_second() {
    let device = tests_device().inner();
    let network = network(Family::Bert, 0.0);
    let keep = [true, true, false, true, true, true];
    let plain = batch(&[(&[2, 7, 9, 3, 8, 3], &[1; 6])], &device);
    assert!(network.kept(&plain, &keep).kinds.is_none());
    let pair = plain.of_pairs(&[0, 0, 0, 0, 1, 1], Some(vec![1]));
    let kept = network.kept(&pair, &keep);
    assert_eq!(kept.symbols.ids, [2, 7, 3, 8, 3, 0]);
    let kinds: Vec<u32> = kept.kinds.unwrap().to_data().iter::<u32>().collect();
    assert_eq!(kinds, [0, 0, 0, 1, 1, 0]);
    assert_eq!(kept.own.unwrap().to_vec(), [1]);
}

/// What hides symbols from one network and shows the other what it said wants two of them.
#[test]
fn a_narrower_network_is_of_the_same_build() {
    let device = tests_device();
    for (name, width) in [(Family::Bert, 4), (Family::Modern, 4)] {
        let wide = network(name, 0.1);
        let narrow = wide.narrower(4, &mut Init::new(2, &device)).unwrap();
        assert_eq!((narrow.dim(), narrow.stages()), (width, wide.stages()));
        assert_eq!(narrow.vocabulary(), wide.vocabulary());
        let batch = batch(&[(&[7, 8, 9], &[1; 3])], &device);
        let scores = narrow.scores(narrow.tokens(&batch).values, &[1]);
        assert_eq!(scores.dims(), [1, 30]);
    }
}

/// The first symbol of a network that predicts has seen nothing but itself: the same vector for every text.
#[test]
fn the_first_symbol_stands_for_a_text_only_where_it_sees_the_others() {
    for name in FAMILIES {
        let first = TextNetwork {
            name,
            pooling: Pooling::First,
            ..TextNetwork::default()
        };
        match first.check() {
            Ok(()) => assert!(!name.is_causal(), "{name:?}"),
            Err(error) => {
                assert!(name.is_causal(), "{name:?}: {error}");
                let mend = error.remedy().unwrap();
                assert!(mend.contains("encoder.pooling = \"mean\""), "{mend}");
            }
        }
    }
}

fn vectors(normalize: Option<bool>) -> TextEncoder {
    let settings = TextNetwork {
        name: Family::Static,
        width: 6,
        normalize,
        ..TextNetwork::default()
    };
    settings.check().unwrap();
    let mut vocabulary = vocabulary(30);
    vocabulary.parts = Arc::new(vec![vec![1, 2]; 30]);
    settings.build(&vocabulary, 12, &mut Init::new(1, &tests_device()))
}

#[test]
fn a_text_is_the_mean_of_its_symbols_wherever_they_stand() {
    let device = tests_device();
    let mean = vectors(Some(false));
    let state = state_of(&mean);
    assert_eq!(state.len(), 1);
    let table = &state["embedding.weight"];
    assert_eq!(table.shape, [30, 6]);
    let expected: Vec<f32> = (0..6)
        .map(|place| {
            let of = [7, 8, 7].map(|symbol: usize| table.values[6 * symbol + place]);
            of.iter().sum::<f32>() / 3.0
        })
        .collect();
    let texts = |network: &TextEncoder| {
        let batch = batch(
            &[
                (&[7, 8, 7, 0, 0], &[1, 1, 1, 0, 0]),
                (&[8, 7, 7, 9, 9], &[1, 1, 1, 0, 0]),
            ],
            &device,
        );
        host(network.encode(&batch))
    };
    let found = texts(&mean);
    near(&found[..6], &expected, "the mean");
    near(&found[6..], &expected, "in another order");
    let length = expected.iter().map(|value| value * value).sum::<f32>();
    let scaled: Vec<f32> = expected.iter().map(|value| value / length.sqrt()).collect();
    near(&texts(&vectors(None))[..6], &scaled, "of length 1");

    let able = TextNetwork {
        name: Family::Static,
        ..TextNetwork::default()
    };
    assert_eq!(vectors(None).vocabulary().parts.len(), 30);
    assert!(able.abilities().averages && !able.abilities().compares && !able.abilities().predicts);
    assert_eq!((vectors(None).dim(), able.settled().width), (6, 768));
    let narrow = mean.narrower(2, &mut Init::new(2, &device)).unwrap();
    assert_eq!((narrow.dim(), narrow.stages()), (3, 1));
}

#[test]
fn vectors_of_symbols_are_taken_where_they_are_all_there_is() {
    let values: Vec<f32> = (0..30 * 6).map(|value| value as f32).collect();
    let taken = vectors(None).with_symbol_vectors(values.clone()).unwrap();
    assert_eq!(state_of(&taken)["embedding.weight"].values, values);
    assert!(vectors(None).with_symbol_vectors(vec![0.0; 7]).is_err());
    for name in FAMILIES {
        let error = network(name, 0.0).with_symbol_vectors(values.clone());
        assert!(
            error.unwrap_err().to_string().contains("static"),
            "{name:?}"
        );
    }
}

#[test]
fn vectors_of_symbols_have_no_blocks() {
    for (key, settings) in [
        (
            "depth",
            TextNetwork {
                depth: 2,
                ..TextNetwork::default()
            },
        ),
        (
            "heads",
            TextNetwork {
                heads: 2,
                ..TextNetwork::default()
            },
        ),
        (
            "dropout",
            TextNetwork {
                dropout: 0.1,
                ..TextNetwork::default()
            },
        ),
        (
            "positions",
            TextNetwork {
                positions: 9,
                ..TextNetwork::default()
            },
        ),
        (
            "pooling",
            TextNetwork {
                pooling: Pooling::First,
                ..TextNetwork::default()
            },
        ),
    ] {
        let settings = TextNetwork {
            name: Family::Static,
            ..settings
        };
        let error = settings.check().unwrap_err().to_string();
        assert!(
            error.contains(&format!("encoder.{key} for static")),
            "{error}"
        );
    }
}
