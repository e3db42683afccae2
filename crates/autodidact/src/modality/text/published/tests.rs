mod refusals;

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::published;
use crate::export::write_publication;
use crate::judge::{Which, Whom, frozen};
use crate::layers::state::{Array, State};
use crate::modality::text::reading::TextReading;
use crate::modality::text::vocabulary::Words;
use crate::modality::{Need, Published, SourceSpec};
use crate::recipe::Recipe;
use crate::run::{RunFolder, write_weights};

const WIDTH: usize = 8;
const INNER: usize = 12;
const PLACES: usize = 16;
const TEXT: &str = "the fox sees the hen and the hen sees the fox";

fn words() -> Words {
    let reading = TextReading {
        vocabulary: 60,
        ..TextReading::default()
    };
    Words::learn(&reading, std::iter::once(TEXT.to_owned())).unwrap()
}

fn symbols() -> usize {
    words().vocabulary().size
}

/// Arrays of these shapes, with a value of its own in each place.
fn arrays(shapes: &[(&str, &[usize])]) -> State {
    let mut next = 0.0;
    let mut array = |shape: &[usize]| {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|_| {
            next += 1.0;
            (next * 0.37_f32).sin() * 0.3
        });
        Array {
            shape: shape.to_vec(),
            values: values.collect(),
        }
    };
    shapes
        .iter()
        .map(|(name, shape)| ((*name).to_owned(), array(shape)))
        .collect()
}

/// A folder as it is published.
fn folder(config: &Value, state: &State) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("config.json"), config.to_string()).unwrap();
    std::fs::write(at("tokenizer.json"), &*words().json()).unwrap();
    write_weights(&at("model.safetensors"), state, HashMap::new()).unwrap();
    folder
}

fn bert_config() -> Value {
    json!({
        "model_type": "bert", "vocab_size": symbols(), "hidden_size": WIDTH, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": INNER, "max_position_embeddings": PLACES,
        "hidden_act": "gelu", "layer_norm_eps": 1e-6,
    })
}

/// `BertModel` as transformers writes it, with what is no weight of ours.
fn bert_arrays() -> State {
    let symbols = symbols();
    let (square, long) = ([WIDTH, WIDTH], [WIDTH]);
    arrays(&[
        ("embeddings.word_embeddings.weight", &[symbols, WIDTH]),
        ("embeddings.position_embeddings.weight", &[PLACES, WIDTH]),
        ("embeddings.token_type_embeddings.weight", &[2, WIDTH]),
        ("embeddings.position_ids", &[1, PLACES]),
        ("embeddings.LayerNorm.gamma", &long),
        ("embeddings.LayerNorm.beta", &long),
        ("encoder.layer.0.attention.self.query.weight", &square),
        ("encoder.layer.0.attention.self.query.bias", &long),
        ("encoder.layer.0.attention.self.key.weight", &square),
        ("encoder.layer.0.attention.self.key.bias", &long),
        ("encoder.layer.0.attention.self.value.weight", &square),
        ("encoder.layer.0.attention.self.value.bias", &long),
        ("encoder.layer.0.attention.output.dense.weight", &square),
        ("encoder.layer.0.attention.output.dense.bias", &long),
        ("encoder.layer.0.attention.output.LayerNorm.weight", &long),
        ("encoder.layer.0.attention.output.LayerNorm.bias", &long),
        ("encoder.layer.0.intermediate.dense.weight", &[INNER, WIDTH]),
        ("encoder.layer.0.intermediate.dense.bias", &[INNER]),
        ("encoder.layer.0.output.dense.weight", &[WIDTH, INNER]),
        ("encoder.layer.0.output.dense.bias", &long),
        ("encoder.layer.0.output.LayerNorm.weight", &long),
        ("encoder.layer.0.output.LayerNorm.bias", &long),
        ("pooler.dense.weight", &square),
        ("pooler.dense.bias", &long),
    ])
}

fn gpt2_config() -> Value {
    json!({
        "model_type": "gpt2", "vocab_size": symbols(), "n_embd": WIDTH, "n_layer": 1, "n_head": 2,
        "n_inner": null, "n_positions": PLACES, "activation_function": "gelu_new",
    })
}

/// `GPT2Model` as it was first published.
fn gpt2_arrays() -> State {
    arrays(&[
        ("wte.weight", &[symbols(), WIDTH]),
        ("wpe.weight", &[PLACES, WIDTH]),
        ("h.0.ln_1.weight", &[WIDTH]),
        ("h.0.ln_1.bias", &[WIDTH]),
        ("h.0.attn.bias", &[1, 1, PLACES, PLACES]),
        ("h.0.attn.c_attn.weight", &[WIDTH, 3 * WIDTH]),
        ("h.0.attn.c_attn.bias", &[3 * WIDTH]),
        ("h.0.attn.c_proj.weight", &[WIDTH, WIDTH]),
        ("h.0.attn.c_proj.bias", &[WIDTH]),
        ("h.0.ln_2.weight", &[WIDTH]),
        ("h.0.ln_2.bias", &[WIDTH]),
        ("h.0.mlp.c_fc.weight", &[WIDTH, 4 * WIDTH]),
        ("h.0.mlp.c_fc.bias", &[4 * WIDTH]),
        ("h.0.mlp.c_proj.weight", &[4 * WIDTH, WIDTH]),
        ("h.0.mlp.c_proj.bias", &[WIDTH]),
        ("ln_f.weight", &[WIDTH]),
        ("ln_f.bias", &[WIDTH]),
    ])
}

fn found(folder: &Path) -> Published {
    published(folder).unwrap().unwrap()
}

fn setting<'a>(published: &'a Published, path: &str) -> &'a toml::Value {
    let all = [&published.fixed, &published.open, &published.alone];
    let mut all = all.into_iter().flatten();
    let setting = all.find(|(name, _)| *name == path);
    &setting.unwrap_or_else(|| panic!("no {path}")).1
}

/// Vectors of two texts by the network of a folder, and how many texts were too long for it.
fn vectors(folder: &Path, texts: &str) -> (Vec<f32>, usize) {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("texts.csv");
    std::fs::write(&path, format!("text\n{texts}")).unwrap();
    let run = RunFolder::open(folder).unwrap();
    let recipe = run.recipe().unwrap();
    let spec = SourceSpec {
        path: Some(path),
        ..recipe.data().unwrap().source(0, None)
    };
    let frozen = frozen(&recipe, &run.encoder().unwrap(), folder).unwrap();
    let embedded = frozen
        .embed(&spec, &[Whom::Pretrained], Which::All, &mut |_, _| {})
        .unwrap();
    (embedded.features[0].data().to_vec(), embedded.shortened)
}

#[test]
fn a_network_is_taken_over_under_its_own_names() {
    let given = bert_arrays();
    let folder = folder(&bert_config(), &given);
    let published = found(folder.path());
    assert_eq!(published.need, Need::Vectors);
    for (path, value) in [
        ("encoder.name", "bert".into()),
        ("encoder.inner", 12.into()),
        ("encoder.positions", 16.into()),
        ("encoder.epsilon", 1e-6.into()),
        ("encoder.head", false.into()),
        ("views.length", toml::Value::from(16)),
    ] {
        assert_eq!(setting(&published, path), &value, "{path}");
    }
    let (state, lines) = (published.weights)().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("2 of its arrays left out, such as pooler"));
    assert_eq!(state.len(), given.len() - 3);
    for (own, theirs) in [
        (
            "bert.embeddings.LayerNorm.weight",
            "embeddings.LayerNorm.gamma",
        ),
        (
            "bert.encoder.layer.0.attention.self.key.weight",
            "encoder.layer.0.attention.self.key.weight",
        ),
    ] {
        assert_eq!(state[own], given[theirs], "{own}");
    }
    let (vectors, shortened) = vectors(folder.path(), "the fox\na hen\n");
    assert_eq!((vectors.len(), shortened), (2 * WIDTH, 0));
}

#[test]
fn matrices_of_gpt2_are_turned_over() {
    let given = gpt2_arrays();
    let folder = folder(&gpt2_config(), &given);
    let published = found(folder.path());
    assert_eq!(published.need, Need::Next);
    assert_eq!(setting(&published, "encoder.gelu"), &"tanh".into());
    assert_eq!(setting(&published, "encoder.inner"), &32.into());
    let (state, lines) = (published.weights)().unwrap();
    assert!(lines.is_empty(), "{lines:?}");
    let (own, theirs) = (
        &state["transformer.h.0.attn.c_attn.weight"],
        &given["h.0.attn.c_attn.weight"],
    );
    assert_eq!(own.shape, [3 * WIDTH, WIDTH]);
    assert_eq!(own.values[5 * WIDTH + 2], theirs.values[2 * 3 * WIDTH + 5]);
    vectors(folder.path(), "the fox\n");
    // Other vectors than their own score the symbols.
    let mut untied = given.clone();
    let mut scores = given["wte.weight"].clone();
    untied.insert("lm_head.weight".to_owned(), scores.clone());
    let tied = self::folder(&gpt2_config(), &untied);
    assert!((found(tied.path()).weights)().is_ok());
    scores.values[0] += 1.0;
    untied.insert("lm_head.weight".to_owned(), scores);
    let untied = self::folder(&gpt2_config(), &untied);
    let error = (found(untied.path()).weights)().unwrap_err().to_string();
    assert!(error.contains("other vectors"), "{error}");
}

/// BERT's arrays under the names of its kin, and their config.
fn kin(rename: &[(&str, &str)], changes: Value) -> (Value, State) {
    let mut config = bert_config();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let mut state = bert_arrays();
    state.retain(|name, _| !name.contains("pooler") && !name.contains("position_ids"));
    let renamed = state.into_iter().map(|(name, array)| {
        let name = name.replace(".gamma", ".weight").replace(".beta", ".bias");
        let mut parts = rename.iter();
        let found = parts.find(|(ours, _)| name.contains(ours));
        (
            found.map_or(name.clone(), |(ours, theirs)| {
                name.replacen(ours, theirs, 1)
            }),
            array,
        )
    });
    (config, renamed.collect())
}

#[test]
fn the_kin_of_bert_are_the_same_network() {
    let bert = folder(&bert_config(), &bert_arrays());
    let texts = "the fox\nthe hen sees the fox\n";
    let expected = vectors(bert.path(), texts).0;
    let distil = [
        (
            "encoder.layer.0.attention.self.query",
            "transformer.layer.0.attention.q_lin",
        ),
        (
            "encoder.layer.0.attention.self.key",
            "transformer.layer.0.attention.k_lin",
        ),
        (
            "encoder.layer.0.attention.self.value",
            "transformer.layer.0.attention.v_lin",
        ),
        (
            "encoder.layer.0.attention.output.dense",
            "transformer.layer.0.attention.out_lin",
        ),
        (
            "encoder.layer.0.attention.output.LayerNorm",
            "transformer.layer.0.sa_layer_norm",
        ),
        (
            "encoder.layer.0.intermediate.dense",
            "transformer.layer.0.ffn.lin1",
        ),
        (
            "encoder.layer.0.output.dense",
            "transformer.layer.0.ffn.lin2",
        ),
        (
            "encoder.layer.0.output.LayerNorm",
            "transformer.layer.0.output_layer_norm",
        ),
        ("embeddings.", "distilbert.embeddings."),
    ];
    let (config, mut state) = kin(&distil, json!({ "model_type": "distilbert" }));
    // It knows no pairs: its words have the first kind's vector in them.
    let kinds = state
        .remove("distilbert.embeddings.token_type_embeddings.weight")
        .unwrap();
    let places = state
        .get_mut("distilbert.embeddings.position_embeddings.weight")
        .unwrap();
    for place in places.values.chunks_exact_mut(WIDTH) {
        place
            .iter_mut()
            .zip(&kinds.values)
            .for_each(|(a, b)| *a += b);
    }
    let distil = folder(&config, &state);
    let roberta = [
        ("embeddings.", "roberta.embeddings."),
        ("encoder.", "roberta.encoder."),
    ];
    let changes = json!({
        "model_type": "roberta", "max_position_embeddings": PLACES + 2, "pad_token_id": 1, "type_vocab_size": 1,
    });
    let (config, mut state) = kin(&roberta, changes);
    let before = arrays(&[("", &[2, WIDTH])]).remove("").unwrap();
    let places = state
        .get_mut("roberta.embeddings.position_embeddings.weight")
        .unwrap();
    places.values.splice(0..0, before.values);
    places.shape[0] += 2;
    let kinds = state
        .get_mut("roberta.embeddings.token_type_embeddings.weight")
        .unwrap();
    kinds.values.truncate(WIDTH);
    kinds.shape[0] = 1;
    let roberta = folder(&config, &state);
    // What it adds to every symbol is also for the second of a pair.
    let read = found(roberta.path()).weights;
    let kinds = &read().unwrap().0["bert.embeddings.token_type_embeddings.weight"];
    assert_eq!(kinds.values[..WIDTH], kinds.values[WIDTH..]);
    for (name, folder) in [("distilbert", distil), ("roberta", roberta)] {
        let found = vectors(folder.path(), texts).0;
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-5,
                "{name}: {found} beside {expected}"
            );
        }
    }
}

#[test]
fn what_sentence_transformers_keeps_beside_a_network_is_heeded() {
    let folder = folder(&bert_config(), &bert_arrays());
    let write = |name: &str, value: Value| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    let module =
        |kind: &str, path: &str| json!({ "type": format!("x.models.{kind}"), "path": path });
    let modules = |last: &str| {
        json!([
            module("Transformer", ""),
            module("Pooling", "1_Pooling"),
            module(last, "2_Last")
        ])
    };
    write("modules.json", modules("Normalize"));
    write("sentence_bert_config.json", json!({ "max_seq_length": 12 }));
    write("1_Pooling/config.json", json!({ "pooling_mode": "cls" }));
    let published = found(folder.path());
    assert_eq!(setting(&published, "encoder.pooling"), &"first".into());
    assert_eq!(setting(&published, "views.length"), &12.into());
    let long = "the fox sees the hen and the hen sees the fox and the fox\nthe fox\n";
    let (vectors, shortened) = vectors(folder.path(), long);
    assert_eq!(shortened, 1);
    for vector in vectors.chunks_exact(WIDTH) {
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    let old = json!({ "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false });
    write("1_Pooling/config.json", old);
    assert_eq!(
        setting(&found(folder.path()), "encoder.pooling"),
        &"mean".into()
    );
    let refused = |part: &str| {
        let error = super::published(folder.path()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let both = json!({ "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true });
    write("1_Pooling/config.json", both);
    refused("the pooling `");
    write("modules.json", modules("Dense"));
    write("1_Pooling/config.json", json!({ "pooling_mode": "mean" }));
    refused("the module `Dense`");
}

#[test]
fn symbols_that_the_tokenizer_does_not_have_are_left_out_and_counted() {
    let mut config = bert_config();
    config["vocab_size"] = (symbols() + 4).into();
    let mut state = bert_arrays();
    let words = state.get_mut("embeddings.word_embeddings.weight").unwrap();
    words.shape[0] += 4;
    words.values.extend([9.0; 4 * WIDTH]);
    let folder = folder(&config, &state);
    let published = found(folder.path());
    let (own, lines) = (published.weights)().unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("vectors of 4 symbols left out"))
    );
    let name = "bert.embeddings.word_embeddings.weight";
    assert_eq!(own[name].shape, [symbols(), WIDTH]);
    assert!(!own[name].values.contains(&9.0));
    vectors(folder.path(), "the fox\n");
}

#[test]
fn what_is_written_is_taken_over_again() {
    let (bert, gpt2) = (
        folder(&bert_config(), &bert_arrays()),
        folder(&gpt2_config(), &gpt2_arrays()),
    );
    for (folder, architecture) in [(bert, "BertModel"), (gpt2, "GPT2LMHeadModel")] {
        let run = RunFolder::open(folder.path()).unwrap();
        let frozen = frozen(
            &run.recipe().unwrap(),
            &run.encoder().unwrap(),
            folder.path(),
        )
        .unwrap();
        let out = tempfile::tempdir().unwrap();
        write_publication(out.path(), &frozen.publication().unwrap()).unwrap();
        let config = std::fs::read(out.path().join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["architectures"][0], architecture);
        assert_eq!(
            RunFolder::open(out.path()).unwrap().encoder().unwrap(),
            run.encoder().unwrap()
        );
        let texts = "the fox\nthe hen\n";
        assert_eq!(vectors(out.path(), texts), vectors(folder.path(), texts));
    }
    // A network that transformers doesn't have.
    let words = words();
    let modern = super::publication(
        &crate::modality::text::TextNetwork {
            name: crate::modality::text::Family::Modern,
            ..Default::default()
        },
        &Default::default(),
        &words,
        State::new(),
    );
    assert!(modern.unwrap_err().to_string().contains("`modern`"));
}

#[test]
fn a_recipe_cannot_ask_for_more_places_than_there_are() {
    let folder = folder(&bert_config(), &bert_arrays());
    let run = RunFolder::open(folder.path()).unwrap();
    let mut recipe: Recipe = run.recipe().unwrap();
    recipe.put("views.length", 17).unwrap();
    let error = frozen(&recipe, &run.encoder().unwrap(), folder.path())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("a network of 16 places"),
        "{error}"
    );
}
