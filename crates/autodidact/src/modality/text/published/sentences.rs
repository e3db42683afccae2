//! What sentence-transformers keeps beside a network: how its tokens become the vector of a text.

use std::path::Path;

use serde_json::Value;

use super::json;
use crate::error::{Error, Result};
use crate::modality::text::encoder::Pooling;
use crate::modality::text::vocabulary::Words;

/// How tokens become the vector of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sentences {
    pub(super) pooling: Pooling,
    pub(super) normalize: bool,
    /// Symbols of a text that are looked at, at most; as many as the network takes in where it isn't said.
    pub(super) length: Option<usize>,
    /// Whether capitals are dropped, whatever the tokenizer does.
    lowercase: bool,
}

impl Sentences {
    /// What a folder says; the mean of all tokens where it says nothing.
    ///
    /// # Errors
    /// When vectors are made in a way that isn't known.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let mut sentences = Self {
            pooling: Pooling::Mean,
            normalize: false,
            length: None,
            lowercase: false,
        };
        let modules = folder.join("modules.json");
        if !modules.is_file() {
            return Ok(sentences);
        }
        let list = json(&modules)?;
        for module in list.as_array().into_iter().flatten() {
            let text = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or("");
            let at = folder.join(text("path"));
            match text("type").rsplit('.').next().unwrap_or("") {
                "Transformer" if text("path").is_empty() => {}
                "Transformer" => {
                    return Err(Error::data("a network in a folder of its own")
                        .at(&modules)
                        .expected("config.json and the weights beside modules.json")
                        .mend("move the files of that folder up, and make its path \"\""));
                }
                "Pooling" => {
                    let path = at.join("config.json");
                    sentences.pooling = pooling(&json(&path)?).map_err(|error| error.at(&path))?;
                }
                "Normalize" => sentences.normalize = true,
                other => {
                    return Err(
                        Error::data(format!("the module `{other}` after the network"))
                            .at(&modules)
                            .expected("Transformer, Pooling and Normalize"),
                    );
                }
            }
        }
        let settings = folder.join("sentence_bert_config.json");
        if settings.is_file() {
            let settings = json(&settings)?;
            let length = settings.get("max_seq_length").and_then(Value::as_u64);
            sentences.length = length.and_then(|length| usize::try_from(length).ok());
            sentences.lowercase = settings.get("do_lower_case") == Some(&Value::Bool(true));
        }
        Ok(sentences)
    }

    /// Refuses a tokenizer that puts other symbols around a text than are put there here, or keeps the capitals that are to
    /// be dropped.
    pub(super) fn fits(&self, words: &Words, causal: bool) -> Result<()> {
        const TEXT: &str = "A b c";
        let inner = words.encode(TEXT)?;
        if self.lowercase && inner != words.encode(&TEXT.to_lowercase())? {
            return Err(
                Error::data("do_lower_case with a tokenizer that keeps capitals")
                    .expected("a tokenizer that drops them itself"),
            );
        }
        let theirs = words.encode_framed(TEXT)?;
        let ours = [&[words.begin][..], &inner, &[words.end]].concat();
        // A tokenizer that says nothing leaves it to the program around it, and one that predicts starts in its own way.
        if causal || theirs == inner || theirs == ours {
            return Ok(());
        }
        let names = |ids: &[u32]| {
            let names: Vec<String> = ids.iter().map(|&id| words.name(id)).collect();
            names.join(" ")
        };
        Err(Error::data(format!(
            "a tokenizer that makes `{}` of `{TEXT}`",
            names(&theirs)
        ))
        .expected(format!("`{}`", names(&ours))))
    }
}

/// The one way of pooling that a `1_Pooling/config.json` names, as it does since version 5 or did before.
fn pooling(config: &Value) -> Result<Pooling> {
    let mut modes: Vec<String> = match config.get("pooling_mode") {
        Some(Value::String(mode)) => vec![mode.clone()],
        Some(Value::Array(modes)) => {
            let names = modes.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in config.as_object().into_iter().flatten() {
        if let (Some(mode), Some(true)) = (key.strip_prefix("pooling_mode_"), value.as_bool()) {
            modes.push(mode.trim_end_matches("_tokens").to_owned());
        }
    }
    match modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mean"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::First),
        _ => Err(
            Error::data(format!("the pooling `{}`", modes.join(" and ")))
                .expected("that of the mean or of the first token, alone"),
        ),
    }
}
