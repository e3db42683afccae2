//! A network as a folder that transformers and sentence-transformers load.

use serde_json::{Map, Value, json};

use super::CONFIG;
use super::names::{tables, turn};
use crate::error::{Error, Result};
use crate::layers::state::{Array, State};
use crate::modality::Publication;
use crate::modality::text::encoder::{Family, Gelu, Pooling, TextNetwork};
use crate::modality::text::vocabulary::Words;
use crate::modality::text::{TextViews, VOCABULARY};

/// What BERT was published with, and GPT-2.
const EPSILONS: [f64; 2] = [1e-12, 1e-5];

/// The folder of a network of some settings, with its weights under our names.
///
/// # Errors
/// When transformers has no network of its layout.
pub(in crate::modality::text) fn publication(
    network: &TextNetwork,
    views: &TextViews,
    words: &Words,
    mut state: State,
) -> Result<Publication> {
    if network.name == Family::Static {
        return Ok(vectors_alone(network, words, state));
    }
    let Some([table, places]) = tables(&state) else {
        let name = match network.name {
            Family::ModernCausal => "modern_causal",
            _ => "modern",
        };
        return Err(
            Error::recipe(format!("an encoder `{name}` as a folder of transformers"))
                .expected("bert or gpt2, whose layouts transformers has")
                .mend("export it as safetensors"),
        );
    };
    let (symbols, places) = (table.shape[0], places.shape[0]);
    let inner = match network.inner {
        0 => 4 * network.width,
        inner => inner,
    };
    let activation = match network.gelu {
        Gelu::Exact => "gelu",
        Gelu::Tanh => "gelu_new",
    };
    let causal = network.name.is_causal();
    let epsilon = match network.epsilon {
        0.0 => EPSILONS[usize::from(causal)],
        epsilon => epsilon,
    };
    let length = views.length.min(places);
    let mut notes = Vec::new();
    let config = if causal {
        for (name, array) in &mut state {
            if name.contains(".c_") && name.ends_with(".weight") {
                turn(array);
            }
        }
        json!({
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": symbols,
            "n_embd": network.width,
            "n_layer": network.depth,
            "n_head": network.heads,
            "n_inner": inner,
            "n_positions": places,
            "activation_function": activation,
            "layer_norm_epsilon": epsilon,
            "resid_pdrop": network.dropout,
            "embd_pdrop": network.dropout,
            "attn_pdrop": 0.0,
            "initializer_range": 0.02,
            "bos_token_id": words.end,
            "eos_token_id": words.end,
            "pad_token_id": words.padding,
            "tie_word_embeddings": true,
            "torch_dtype": "float32",
        })
    } else {
        let head = state.keys().any(|name| name.starts_with("cls."));
        if !head {
            state = body_alone(state, network.width);
            notes.push(
                "BertModel has a pooler, which nothing here learns or uses: it is written as the identity".to_owned(),
            );
        }
        json!({
            "model_type": "bert",
            "architectures": [if head { "BertForMaskedLM" } else { "BertModel" }],
            "vocab_size": symbols,
            "hidden_size": network.width,
            "num_hidden_layers": network.depth,
            "num_attention_heads": network.heads,
            "intermediate_size": inner,
            "max_position_embeddings": places,
            "type_vocab_size": 2,
            "hidden_act": activation,
            "layer_norm_eps": epsilon,
            "hidden_dropout_prob": network.dropout,
            "attention_probs_dropout_prob": 0.0,
            "initializer_range": 0.02,
            "pad_token_id": words.padding,
            "position_embedding_type": "absolute",
            "tie_word_embeddings": true,
            "torch_dtype": "float32",
        })
    };
    let names = special_names(words, causal);
    let mut tokenizer = Map::from_iter([
        (
            "tokenizer_class".to_owned(),
            json!("PreTrainedTokenizerFast"),
        ),
        ("model_max_length".to_owned(), json!(length)),
        ("clean_up_tokenization_spaces".to_owned(), json!(false)),
    ]);
    tokenizer.extend(names.clone());
    let mut files = vec![
        (CONFIG.to_owned(), pretty(&config)),
        (VOCABULARY.to_owned(), vocabulary(words, causal)?),
        (
            "tokenizer_config.json".to_owned(),
            pretty(&tokenizer.into()),
        ),
        ("special_tokens_map.json".to_owned(), pretty(&names.into())),
    ];
    if !causal {
        files.extend(sentences(network, length));
    }
    Ok(Publication {
        weights: state,
        weights_in: String::new(),
        files,
        notes,
    })
}

/// The folder of vectors of symbols, as sentence-transformers loads its `StaticEmbedding`.
fn vectors_alone(network: &TextNetwork, words: &Words, state: State) -> Publication {
    const FOLDER: &str = "0_StaticEmbedding";
    let mut modules = vec![module(0, "StaticEmbedding", FOLDER)];
    if network.normalizes() {
        modules.push(module(1, "Normalize", "1_Normalize"));
    }
    let tell = |id: &u32| {
        let mut tables = state.values();
        tables.any(|table| {
            let width = table.shape.last().copied().unwrap_or(0);
            let mut row = table.values.iter().skip(*id as usize * width).take(width);
            row.any(|value| *value != 0.0)
        })
    };
    let mut notes = Vec::new();
    if !network.normalizes() || [words.begin, words.end].iter().any(tell) {
        notes.push(
            "sentence-transformers puts no begin and end around a text: its means are without them"
                .to_owned(),
        );
    }
    Publication {
        weights: state,
        weights_in: FOLDER.to_owned(),
        files: vec![
            ("modules.json".to_owned(), pretty(&modules.into())),
            (format!("{FOLDER}/{VOCABULARY}"), words.json().to_vec()),
        ],
        notes,
    }
}

/// The arrays of `BertModel`, which has no head to its body's name, and a pooler.
fn body_alone(state: State, width: usize) -> State {
    let plain = |name: String| match name.strip_prefix("bert.") {
        Some(plain) => plain.to_owned(),
        None => name,
    };
    let mut state: State = state
        .into_iter()
        .map(|(name, array)| (plain(name), array))
        .collect();
    let mut identity = vec![0.0; width * width];
    identity
        .iter_mut()
        .step_by(width + 1)
        .for_each(|one| *one = 1.0);
    let pooler = [
        ("weight", vec![width, width], identity),
        ("bias", vec![width], vec![0.0; width]),
    ];
    for (part, shape, values) in pooler {
        state.insert(format!("pooler.dense.{part}"), Array { shape, values });
    }
    state
}

/// What the symbols that stand for no text are called in transformers.
fn special_names(words: &Words, causal: bool) -> Map<String, Value> {
    let mut names = Map::new();
    let mut name = |role: &str, id: u32| {
        names.insert(format!("{role}_token"), words.name(id).into());
    };
    name("pad", words.padding);
    if causal {
        name("bos", words.end);
        name("eos", words.end);
    } else {
        name("cls", words.begin);
        name("sep", words.end);
        if words.mask != words.end {
            name("mask", words.mask);
        }
    }
    if let Some(unknown) = words.unknown() {
        names.insert("unk_token".to_owned(), unknown.into());
    }
    names
}

/// The tokenizer's file. One that was learned here puts begin and end around a text; a network that predicts has learned
/// that each text follows an end.
fn vocabulary(words: &Words, causal: bool) -> Result<Vec<u8>> {
    let json = words.json();
    let framed = words.encode_framed("")?;
    if !causal || framed != [words.begin, words.end] {
        return Ok(json.to_vec());
    }
    let mut tokenizer: Value = serde_json::from_slice(&json)
        .map_err(|error| Error::run("a vocabulary that is no JSON").because(error))?;
    let end = words.name(words.end);
    let symbol = json!({ "SpecialToken": { "id": &end, "type_id": 0 } });
    let text = |which: &str| json!({ "Sequence": { "id": which, "type_id": 0 } });
    let special = (
        end.clone(),
        json!({ "id": &end, "ids": [words.end], "tokens": [&end] }),
    );
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [&symbol, text("A")],
        "pair": [&symbol, text("A"), &symbol, text("B")],
        "special_tokens": Map::from_iter([special]),
    });
    Ok(pretty(&tokenizer))
}

/// A module of sentence-transformers, and the folder of its settings.
fn module(number: usize, name: &str, path: &str) -> Value {
    json!({
        "idx": number,
        "name": number.to_string(),
        "path": path,
        "type": format!("sentence_transformers.models.{name}"),
    })
}

/// What sentence-transformers reads: how tokens become the vector of a text.
fn sentences(network: &TextNetwork, length: usize) -> Vec<(String, Vec<u8>)> {
    let mut modules = vec![
        module(0, "Transformer", ""),
        module(1, "Pooling", "1_Pooling"),
    ];
    if network.normalizes() {
        modules.push(module(2, "Normalize", "2_Normalize"));
    }
    let pooling = json!({
        "word_embedding_dimension": network.width,
        "pooling_mode_cls_token": network.pooling == Pooling::First,
        "pooling_mode_mean_tokens": network.pooling == Pooling::Mean,
        "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false,
    });
    let settings = json!({ "max_seq_length": length, "do_lower_case": false });
    vec![
        ("modules.json".to_owned(), pretty(&modules.into())),
        ("1_Pooling/config.json".to_owned(), pretty(&pooling)),
        ("sentence_bert_config.json".to_owned(), pretty(&settings)),
    ]
}

/// JSON that people can read.
fn pretty(value: &Value) -> Vec<u8> {
    // What was made of literals can always be written.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}
