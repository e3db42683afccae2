//! Networks for text.

mod bert;
mod gpt2;
mod modern;
mod pass;
mod reader;
mod settings;
mod size;
mod static_vectors;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use autodidact_kernels::mean_pool;
use burn::module::{Module, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};

use super::STEP;
use super::batch::TextBatch;
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::head::normalize;
use crate::layers::state::State;
use crate::modality::{Encoder, Maskable, Need, Seam, Symbolic, Symbols, Tokens, Vocabulary};

pub use bert::Bert;
pub use gpt2::Gpt2;
pub use modern::Modern;
use pass::Pass;
pub(super) use reader::Reader;
pub use settings::{Family, Gelu, Pooling, TextNetwork};
pub use size::Size;
pub use static_vectors::StaticVectors;

/// A vector for each of some symbols or places, under the name that PyTorch's embeddings have.
#[derive(Module, Debug)]
struct Table {
    /// `[rows, dim]`.
    weight: Param<Tensor<2>>,
}

/// A network for text.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one encoder in a program, and Burn's derive wants it unboxed"
)]
pub enum TextEncoder {
    /// As BERT was published.
    Bert(Bert),
    /// As they are built today.
    Modern(Modern),
    /// As GPT-2 was published.
    Gpt2(Gpt2),
    /// A vector for each symbol.
    Static(StaticVectors),
}

/// What is no weight of a network.
#[derive(Module, Debug)]
struct About {
    causal: bool,
    dropout: f64,
    /// Symbols there are.
    symbols: usize,
    /// The one that stands for a hidden one.
    mask: usize,
    /// Those that stand for no text.
    special: Vec<usize>,
    /// How they join to words.
    #[module(skip)]
    seams: Arc<Vec<Seam>>,
    /// What they are made of.
    #[module(skip)]
    parts: Arc<Vec<Vec<u32>>>,
    /// What it was built by.
    #[module(skip)]
    settings: TextNetwork,
    /// Symbols at once, at most.
    length: usize,
}

impl Encoder for TextEncoder {
    type Batch = TextBatch;

    fn tokens(&self, batch: &TextBatch) -> Tokens {
        let about = self.about();
        let pass = Pass::new(batch, about.causal, about.dropout);
        let ids = batch.ids.clone();
        let values = match self {
            Self::Bert(network) => network.tokens(ids, &pass),
            Self::Modern(network) => network.tokens(ids, &pass),
            Self::Gpt2(network) => network.tokens(ids, &pass),
            Self::Static(network) => network.tokens(ids),
        };
        let documents = &batch.symbols.documents;
        let valid = documents.contains(&0).then(|| {
            let valid: Vec<bool> = documents.iter().map(|&document| document > 0).collect();
            let data = TensorData::new(valid, batch.ids.dims());
            Tensor::<2, Bool>::from_data(data, &batch.ids.device())
        });
        Tokens { values, valid }
    }

    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        let settings = &self.about().settings;
        let pooled = match settings.pooling {
            Pooling::Mean => mean_of_valid(tokens),
            Pooling::First => tokens.values.narrow(1, 0, 1).squeeze_dim(1),
        };
        match settings.normalizes() {
            true => normalize(pooled),
            false => pooled,
        }
    }

    fn dim(&self) -> usize {
        match self {
            Self::Bert(network) => network.dim(),
            Self::Modern(network) => network.dim(),
            Self::Gpt2(network) => network.dim(),
            Self::Static(network) => network.dim(),
        }
    }

    fn stages(&self) -> usize {
        let depth = match self {
            Self::Bert(network) => network.depth(),
            Self::Modern(network) => network.depth(),
            Self::Gpt2(network) => network.depth(),
            Self::Static(_) => 0,
        };
        depth + 1
    }

    /// The symbols' vectors, then block by block; what comes after the last belongs to it.
    fn stage(&self, parameter: &str) -> usize {
        let mut parts = parameter.split('.');
        let embeds = ["embeddings", "wte", "wpe"];
        let block = parts.clone().find_map(|part| part.parse::<usize>().ok());
        match block {
            Some(block) => (block + 1).min(self.stages() - 1),
            None if parts.any(|part| embeds.contains(&part)) => 0,
            None => self.stages() - 1,
        }
    }

    fn adopt(&self, state: &mut State) -> Result<Vec<String>> {
        let own = crate::layers::state::state_of(self);
        let strange = |name: &String| {
            let head = ["cls.", "head.", "bert.pooler."];
            !own.contains_key(name) && head.iter().any(|prefix| name.starts_with(prefix))
        };
        let left: Vec<String> = state.keys().filter(|name| strange(name)).cloned().collect();
        for name in &left {
            state.remove(name);
        }
        let mut lines = Vec::new();
        if let Some(first) = left.first() {
            let count = left.len();
            lines.push(format!(
                "{count} arrays of its head left out, such as {first}"
            ));
        }
        // A network that was published without its head can learn a new one.
        let of_head = |name: &String| name.starts_with("cls.") || name.starts_with("head.");
        if !state.keys().any(of_head) {
            let missing = own.into_iter().filter(|(name, _)| of_head(name));
            let before = state.len();
            state.extend(missing);
            if state.len() > before {
                lines.push(
                    "no head in it: what says which symbol was hidden is learned anew".to_owned(),
                );
            }
        }
        Ok(lines)
    }

    fn symbolic(&self) -> Option<&dyn Symbolic<TextBatch>> {
        Some(self)
    }

    fn with_symbol_vectors(self, vectors: Vec<f32>) -> Result<Self> {
        match self {
            Self::Static(network) => network.with_vectors(vectors).map(Self::Static),
            _ => Err(Error::recipe(
                "a network with more to it than its symbols' own vectors, to be given others",
            )
            .expected(Need::Averages.describe())),
        }
    }
}

impl Maskable for TextEncoder {
    /// As deep, with heads as wide as they were as long as there are several.
    fn narrower(&self, times: usize, init: &mut Init) -> Result<Self> {
        let about = self.about();
        let of = &about.settings;
        // Some have none.
        let heads = (of.heads / times).max(of.heads.min(1));
        let step = (2 * heads).max(1);
        let settings = TextNetwork {
            width: (of.width / times).max(1).next_multiple_of(step),
            heads,
            inner: of.inner.div_ceil(times),
            head: true,
            ..of.clone()
        };
        settings.check()?;
        Ok(settings.build(&self.vocabulary(), about.length, init))
    }
}

impl Symbolic<TextBatch> for TextEncoder {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            size: self.about().symbols,
            mask: self.about().mask as u32,
            special: Arc::new(self.about().special.iter().map(|&id| id as u32).collect()),
            seams: Arc::clone(&self.about().seams),
            parts: Arc::clone(&self.about().parts),
        }
    }

    fn symbols<'a>(&self, batch: &'a TextBatch) -> &'a Arc<Symbols> {
        &batch.symbols
    }

    fn replaced(&self, batch: &TextBatch, ids: Vec<u32>) -> TextBatch {
        batch.replaced(ids)
    }

    fn kept(&self, batch: &TextBatch, keep: &[bool]) -> TextBatch {
        // Nobody sees padding, so that any symbol can stand for it.
        let left = |symbols: &Symbols| symbols.kept(keep, 0, STEP);
        let (dropout, rows, device) = (batch.dropout, batch.rows.clone(), batch.ids.device());
        let kept = TextBatch::new(left(&batch.symbols), dropout, rows, &device);
        let Some(kinds) = &batch.kinds else {
            return kept;
        };
        // Which of two texts a symbol belongs to goes along with it.
        let kinds = Symbols {
            ids: kinds.to_data().iter::<u32>().collect(),
            ..(*batch.symbols).clone()
        };
        kept.of_pairs(&left(&kinds).ids, batch.own.as_deref().cloned())
    }

    fn scores(&self, tokens: Tensor<3>, places: &[usize]) -> Tensor<2> {
        let [batch, length, dim] = tokens.dims();
        let tokens = tokens.reshape([batch * length, dim]);
        if places.len() == batch * length {
            return self.score(tokens);
        }
        let numbers: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let data = TensorData::new(numbers, [places.len()]);
        let places = Tensor::<1, Int>::from_data(data, &tokens.device());
        self.score(tokens.select(0, places))
    }
}

impl TextEncoder {
    fn about(&self) -> &About {
        match self {
            Self::Bert(network) => &network.about,
            Self::Modern(network) => &network.about,
            Self::Gpt2(network) => &network.about,
            Self::Static(network) => &network.about,
        }
    }

    fn score(&self, tokens: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Bert(network) => network.scores(tokens),
            Self::Modern(network) => network.scores(tokens),
            Self::Gpt2(network) => network.scores(tokens),
            Self::Static(network) => network.scores(tokens),
        }
    }
}

/// The mean of the tokens that are no padding.
fn mean_of_valid(tokens: Tokens) -> Tensor<2> {
    let Some(valid) = tokens.valid else {
        return mean_pool(tokens.values);
    };
    let weights = valid.float(); // [batch, tokens]
    let count = weights.clone().sum_dim(1).clamp_min(1.0); // [batch, 1]
    let weights = weights.unsqueeze_dim::<3>(2);
    (tokens.values * weights).sum_dim(1).squeeze_dim::<2>(1) / count
}
