//! Folders that can't be taken over are refused by what is wrong with them.

use super::*;

#[test]
fn what_cannot_be_taken_over_is_named() {
    let refused = |change: &dyn Fn(&Path), part: &str| {
        let folder = folder(&bert_config(), &bert_arrays());
        change(folder.path());
        let error = published(folder.path()).unwrap_err();
        let told = format!("{error}; {}", error.remedy().unwrap_or_default());
        assert!(told.contains(part), "{told}");
    };
    let config = |key: &'static str, value: Value| {
        move |folder: &Path| {
            let mut config = bert_config();
            config[key] = value.clone();
            std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        }
    };
    refused(
        &config("model_type", "t5".into()),
        "type `t5`; expected one of bert",
    );
    refused(&config("hidden_act", "relu".into()), "activation `relu`");
    refused(&config("is_decoder", true.into()), "is_decoder = true");
    refused(
        &config("position_embedding_type", "relative_key".into()),
        "position_embedding_type",
    );
    refused(
        &config("num_hidden_layers", 2.into()),
        "1 layers; expected 2",
    );
    refused(
        &config("vocab_size", 1_000_000_000.into()),
        "vocab_size = 1000000000",
    );
    refused(&config("hidden_size", json!(-4)), "hidden_size = -4");
    refused(&config("vocab_size", 5000.into()), "as config.json has it");
    refused(
        &|folder| {
            let path = folder.join("model.safetensors");
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..whole.len() - 100]).unwrap();
        },
        "no whole safetensors file",
    );
    refused(
        &|folder| std::fs::remove_file(folder.join("tokenizer.json")).unwrap(),
        "no tokenizer beside the weights",
    );
    refused(
        &|folder| {
            std::fs::rename(
                folder.join("model.safetensors"),
                folder.join("pytorch_model.bin"),
            )
            .unwrap();
        },
        "pickle",
    );
    refused(
        &|folder| {
            let reading = TextReading {
                vocabulary: 400,
                tokenizer: "bpe".to_owned(),
                ..TextReading::default()
            };
            let more = Words::learn(&reading, std::iter::once(TEXT.to_owned())).unwrap();
            std::fs::write(folder.join("tokenizer.json"), &*more.json()).unwrap();
        },
        "beside weights that have vectors for",
    );
    let none = tempfile::tempdir().unwrap();
    assert!(published(none.path()).unwrap().is_none());
    std::fs::write(none.path().join("config.json"), "{\"name\": \"other\"}").unwrap();
    assert!(published(none.path()).unwrap().is_none());
}

#[test]
fn every_layer_is_as_wide_as_its_config_says() {
    let refused = |config: &Value, state: &State, part: &str| {
        let error = published(folder(config, state).path()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    // Two layers, of which the second is the first again.
    let twice = |state: State, [first, second]: [&str; 2]| -> State {
        let again: Vec<(String, Array)> = (state.iter())
            .filter(|(name, _)| name.contains(first))
            .map(|(name, array)| (name.replace(first, second), array.clone()))
            .collect();
        state.into_iter().chain(again).collect()
    };
    let mut config = bert_config();
    config["num_hidden_layers"] = 2.into();
    let bert = twice(bert_arrays(), ["layer.0.", "layer.1."]);
    assert!(published(folder(&config, &bert).path()).is_ok());
    for name in [
        "encoder.layer.1.attention.self.query.weight",
        "encoder.layer.1.intermediate.dense.weight",
    ] {
        let mut state = bert.clone();
        state.extend(arrays(&[(name, &[WIDTH, 2 * WIDTH])]));
        refused(&config, &state, &format!("`bert.{name}` of shape [8, 16]"));
        state.remove(name);
        refused(&config, &state, &format!("no array for `bert.{name}`"));
    }
    let mut config = gpt2_config();
    config["n_layer"] = 2.into();
    let mut gpt2 = twice(gpt2_arrays(), ["h.0.", "h.1."]);
    assert!(published(folder(&config, &gpt2).path()).is_ok());
    gpt2.extend(arrays(&[("h.1.attn.c_attn.weight", &[WIDTH, WIDTH])]));
    refused(
        &config,
        &gpt2,
        "h.1.attn.c_attn.weight` of shape [8, 8]; expected [8, 24]",
    );
    // No number of a layer is too large to be counted.
    let mut state = bert_arrays();
    let last = format!("encoder.layer.{}.output.dense.bias", usize::MAX);
    state.extend(arrays(&[(last.as_str(), &[WIDTH])]));
    refused(
        &bert_config(),
        &state,
        &format!("{} layers; expected 1", usize::MAX),
    );
}

#[test]
fn changed_folders_never_panic() {
    use rand::RngExt;
    let folder = folder(&gpt2_config(), &gpt2_arrays());
    let mut rng = crate::random::stream(3, crate::random::Purpose::View, &[]);
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for _ in 0..150 {
            let mut changed = whole.clone();
            // Of weights the header tells.
            let place = rng.random_range(0..changed.len().min(2000));
            changed[place] ^= 1 << rng.random_range(0..8);
            std::fs::write(&path, changed).unwrap();
            if let Ok(Some(found)) = published(folder.path()) {
                let _ = (found.weights)();
            }
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert!(published(folder.path()).unwrap().is_some());
}
