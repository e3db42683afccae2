//! The recipe's `[encoder]` for text: which network, of what size, and what is taken of it.

use std::sync::Arc;

use autodidact_kernels::Activation;
use serde::{Deserialize, Serialize};

use super::{About, Bert, Gpt2, Modern, Size, StaticVectors, TextEncoder};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::modality::{Abilities, Need, Vocabulary};

/// Width of vectors that are each symbol's own, where nothing else is said.
const STATIC_WIDTH: usize = 768;
/// The widest vectors.
const WIDEST: usize = 1 << 16;

/// The recipe's `[encoder]` for text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextNetwork {
    /// `bert`, `modern`, `gpt2`, `modern_causal` or `static`, of which the next settings are only `width` and `normalize`.
    pub name: Family,
    /// A short name for the next three, from what two cores train in minutes to BERT: `tiny`, `nano`, `mini`, `small`,
    /// `medium` or `base` ([`Size`]). One or two of the three beside it win over it; all three have to agree with it. Left
    /// out, it is `nano`: 4 blocks of 128 and 4 heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Width of a token, a multiple of twice the heads; 0 takes that of the size, and 768 for `static`.
    pub width: usize,
    /// Blocks, 1000 at most; 0 takes those of the size.
    pub depth: usize,
    /// Heads of attention; 0 takes those of the size.
    pub heads: usize,
    /// Width inside a block; 0 takes four times the width, and for gated blocks two thirds of that.
    pub inner: usize,
    /// The part of the values that is dropped while learning, 0 to 0.9.
    pub dropout: f64,
    /// Whether it has the part that says which symbol was hidden (`bert`, `modern`).
    pub head: bool,
    /// Places that there are vectors for (`bert`, `gpt2`); 0 takes as many as a view is long.
    pub positions: usize,
    /// The GELU inside blocks: `exact`, or `tanh`, the approximation that GPT-2 was published with (`bert`, `gpt2`).
    pub gelu: Gelu,
    /// What is added to variances (`bert`, `gpt2`), 0 to 0.1; 0 takes what was published with the network.
    pub epsilon: f64,
    /// What the vector of a text is: `mean` of its tokens, or the `first` of them.
    pub pooling: Pooling,
    /// Whether vectors are brought to length 1. Left out, those of `static` are, and the others not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
}

impl Default for TextNetwork {
    fn default() -> Self {
        Self {
            name: Family::Bert,
            size: None,
            width: 0,
            depth: 0,
            heads: 0,
            inner: 0,
            dropout: 0.0,
            head: false,
            positions: 0,
            gelu: Gelu::Exact,
            epsilon: 0.0,
            pooling: Pooling::Mean,
            normalize: None,
        }
    }
}

/// Which form of the GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gelu {
    /// By the error function.
    Exact,
    /// By the hyperbolic tangent.
    Tanh,
}

impl Gelu {
    pub(super) fn activation(self) -> Activation {
        match self {
            Self::Exact => Activation::Gelu,
            Self::Tanh => Activation::GeluTanh,
        }
    }
}

/// What of its tokens is the vector of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of those that are no padding, as sentence-transformers has it.
    Mean,
    /// The first, which stands for the whole in networks that were trained so.
    First,
}

/// How a network is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Devlin et al. 2018, as published.
    Bert,
    /// Pre-norm, rotary positions, gated, no biases.
    Modern,
    /// Radford et al. 2019.
    Gpt2,
    /// As `modern`, predicting what comes next.
    ModernCausal,
    /// Joulin et al. 2016: a vector for each symbol, and their mean.
    Static,
}

impl Family {
    /// Whether symbols see only what came before them.
    pub fn is_causal(self) -> bool {
        matches!(self, Self::Gpt2 | Self::ModernCausal)
    }

    /// Whether there is a vector for each place, and so an end of them.
    pub fn has_places(self) -> bool {
        matches!(self, Self::Bert | Self::Gpt2)
    }
}

impl TextNetwork {
    /// What suits a pretext task.
    pub(in crate::modality::text) fn suiting(need: Need) -> Self {
        Self {
            name: match need {
                Need::Next => Family::Gpt2,
                Need::Averages => Family::Static,
                _ => Family::Bert,
            },
            head: need == Need::Replaced,
            ..Self::default()
        }
    }

    /// With width, depth and heads in numbers: those that are given, for the rest those of the size.
    pub(in crate::modality::text) fn settled(&self) -> Self {
        let or = |given: usize, of_size: usize| match given {
            0 => of_size,
            given => given,
        };
        let [width, depth, heads] = match self.name {
            Family::Static => [STATIC_WIDTH, 0, 0],
            _ => self.size.unwrap_or(Size::Nano).numbers(),
        };
        Self {
            size: None,
            width: or(self.width, width),
            depth: or(self.depth, depth),
            heads: or(self.heads, heads),
            ..self.clone()
        }
    }

    /// Whether vectors are brought to length 1.
    pub(in crate::modality::text) fn normalizes(&self) -> bool {
        self.normalize.unwrap_or(self.name == Family::Static)
    }

    /// What the network can do.
    pub fn abilities(&self) -> Abilities {
        let averages = self.name == Family::Static;
        let both_sides = !self.name.is_causal() && !averages;
        Abilities {
            restores: both_sides && self.head,
            compares: both_sides,
            predicts: self.name.is_causal(),
            averages,
            pairs: !averages,
            ..Abilities::default()
        }
    }

    /// Refuses what can't be.
    pub(in crate::modality::text) fn check(&self) -> Result<()> {
        if self.name == Family::Static {
            return self.check_static();
        }
        let given = [self.width, self.depth, self.heads];
        if let Some(size) = self.size
            && !given.contains(&0)
            && given != size.numbers()
        {
            let ([width, depth, heads], name) = (given, size.name());
            return Err(Error::recipe(format!(
                "encoder.size = \"{name}\" beside encoder.width = {width}, encoder.depth = {depth} and \
                 encoder.heads = {heads}, which leave it nothing to say"
            ))
            .expected("a size, or all three numbers")
            .mend("leave encoder.size out, or set to 0 what it is to decide"));
        }
        let Self {
            width,
            depth,
            heads,
            ..
        } = self.settled();
        if depth > 1000 {
            return Err(Error::recipe(format!("encoder.depth = {depth}"))
                .expected("1 to 1000, or 0 for that of the size"));
        }
        if width > WIDEST || !width.is_multiple_of(2 * heads) {
            return Err(
                Error::recipe(format!("encoder.width = {width} for {heads} heads"))
                    .expected("a multiple of twice the heads, at most 65536"),
            );
        }
        if !(0.0..=0.9).contains(&self.dropout) {
            return Err(Error::recipe(format!("encoder.dropout = {}", self.dropout))
                .expected("a number from 0 to 0.9"));
        }
        if !(0.0..=0.1).contains(&self.epsilon) {
            return Err(Error::recipe(format!("encoder.epsilon = {}", self.epsilon))
                .expected("a number from 0 to 0.1"));
        }
        if self.positions > 1 << 16 {
            return Err(
                Error::recipe(format!("encoder.positions = {}", self.positions))
                    .expected("0 to 65536"),
            );
        }
        let published = Self::default();
        let others = [
            self.positions > 0,
            self.epsilon > 0.0,
            self.gelu != published.gelu,
        ];
        if !self.name.has_places() && others.contains(&true) {
            return Err(Error::recipe(
                "encoder.positions, encoder.epsilon or encoder.gelu for a network that has no such choice",
            )
            .expected("bert or gpt2 with them")
            .mend("leave them out"));
        }
        if self.name.is_causal() && self.pooling == Pooling::First {
            return Err(
                Error::recipe("encoder.pooling = \"first\" for a network that predicts")
                    .expected("\"mean\": its first symbol sees itself alone, in all texts alike")
                    .mend("set encoder.pooling = \"mean\", or take the encoder bert or modern"),
            );
        }
        Ok(())
    }

    /// Refuses what a vector for each symbol has no use for. (A head is ignored, as by `gpt2`.)
    fn check_static(&self) -> Result<()> {
        let usual = Self::default();
        let said = [
            ("size", self.size.is_some()),
            ("depth", self.depth > 0),
            ("heads", self.heads > 0),
            ("inner", self.inner > 0),
            ("dropout", self.dropout != 0.0),
            ("positions", self.positions > 0),
            ("gelu", self.gelu != usual.gelu),
            ("epsilon", self.epsilon != 0.0),
            ("pooling", self.pooling != usual.pooling),
        ];
        if let Some((key, _)) = said.iter().find(|(_, said)| *said) {
            return Err(Error::recipe(format!(
                "encoder.{key} for static, which is a vector for each symbol and their mean"
            ))
            .expected("encoder.width and encoder.normalize, and no other")
            .mend(format!("leave encoder.{key} out")));
        }
        if self.width > WIDEST {
            return Err(Error::recipe(format!("encoder.width = {}", self.width))
                .expected(format!("1 to {WIDEST}, or 0 for {STATIC_WIDTH}")));
        }
        Ok(())
    }

    pub(super) fn epsilon_or(&self, published: f64) -> f64 {
        match self.epsilon {
            0.0 => published,
            epsilon => epsilon,
        }
    }

    /// Builds the network for a vocabulary and at most `length` symbols at once.
    pub(in crate::modality::text) fn build(
        &self,
        vocabulary: &Vocabulary,
        length: usize,
        init: &mut Init,
    ) -> TextEncoder {
        let settings = self.settled();
        let (width, depth, heads) = (settings.width, settings.depth, settings.heads);
        let inner = match (self.inner, self.name) {
            (0, Family::Modern | Family::ModernCausal) => (width * 8 / 3).next_multiple_of(16),
            (0, _) => 4 * width,
            (inner, _) => inner,
        };
        let sizes = [width, depth, heads, inner];
        let places = match self.positions {
            0 => length,
            positions => positions,
        };
        let about = About {
            causal: self.name.is_causal(),
            dropout: self.dropout,
            symbols: vocabulary.size,
            mask: vocabulary.mask as usize,
            special: vocabulary.special.iter().map(|&id| id as usize).collect(),
            seams: Arc::clone(&vocabulary.seams),
            parts: Arc::clone(&vocabulary.parts),
            settings,
            length,
        };
        match self.name {
            Family::Bert => TextEncoder::Bert(Bert::new(about, places, sizes, self.head, init)),
            Family::Gpt2 => TextEncoder::Gpt2(Gpt2::new(about, places, sizes, init)),
            Family::Static => TextEncoder::Static(StaticVectors::new(about, width, init)),
            Family::Modern | Family::ModernCausal => {
                TextEncoder::Modern(Modern::new(about, sizes, self.head, init))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;
    use crate::modality::{Encoder, Maskable};
    use crate::recipe::fill;

    /// Width, blocks and heads of what a recipe's `[encoder]` says.
    fn numbers(table: &str) -> Result<[usize; 3]> {
        let said: toml::Table = table.parse().unwrap();
        let network = fill(&TextNetwork::default(), Some(&said), "encoder")?;
        network.check()?;
        let network = network.settled();
        Ok([network.width, network.depth, network.heads])
    }

    #[test]
    fn sizes_are_those_that_were_published() {
        for (name, expected) in [
            ("tiny", [128, 2, 2]),
            ("nano", [128, 4, 4]),
            ("mini", [256, 4, 4]),
            ("small", [512, 4, 8]),
            ("medium", [512, 8, 8]),
            ("base", [768, 12, 12]),
        ] {
            let found = numbers(&format!("size = \"{name}\"")).unwrap();
            assert_eq!(found, expected, "{name}");
        }
        // The published files have a pooler as well, which nothing here has: one layer from a vector to a vector.
        let pooler = |width: usize| width * width + width;
        let vocabulary = Vocabulary {
            size: 30_522,
            mask: 103,
            special: Arc::default(),
            seams: Arc::default(),
            parts: Arc::default(),
        };
        for (size, width, published) in
            [(Size::Tiny, 128, 4_385_920), (Size::Mini, 256, 11_170_560)]
        {
            let network = TextNetwork {
                size: Some(size),
                ..TextNetwork::default()
            };
            let encoder = network.build(&vocabulary, 512, &mut Init::new(0, &tests_device()));
            let arrays = state_of(&encoder);
            let values: usize = arrays.values().map(|array| array.values.len()).sum();
            assert_eq!(values + pooler(width), published, "{size:?}");
            // A network beside it goes by the same numbers.
            let narrow = encoder.narrower(2, &mut Init::new(0, &tests_device()));
            assert_eq!(narrow.unwrap().dim(), width / 2, "{size:?}");
        }
    }

    #[test]
    fn what_is_given_beside_a_size_wins_and_the_size_says_the_rest() {
        for (table, expected) in [
            ("", [128, 4, 4]),
            ("width = 256", [256, 4, 4]),
            ("width = 256\ndepth = 2\nheads = 4", [256, 2, 4]),
            ("size = \"small\"\ndepth = 6", [512, 6, 8]),
            ("size = \"base\"\nwidth = 384\nheads = 6", [384, 12, 6]),
            (
                "size = \"mini\"\nwidth = 0\ndepth = 0\nheads = 0",
                [256, 4, 4],
            ),
            (
                "size = \"mini\"\nwidth = 256\ndepth = 4\nheads = 4",
                [256, 4, 4],
            ),
        ] {
            assert_eq!(numbers(table).unwrap(), expected, "{table}");
        }
    }

    #[test]
    fn a_size_that_has_nothing_left_to_say_or_does_not_fit_is_refused() {
        for (table, part) in [
            (
                "size = \"base\"\nwidth = 384\ndepth = 6\nheads = 12",
                "encoder.size = \"base\" beside encoder.width = 384",
            ),
            (
                "size = \"small\"\nheads = 6",
                "encoder.width = 512 for 6 heads",
            ),
            ("depth = 1001", "encoder.depth = 1001"),
            ("size = \"huge\"", "encoder.size: "),
            ("size = \"huge\"", "`medium`"),
        ] {
            let error = numbers(table).unwrap_err().to_string();
            assert!(error.contains(part), "{table}: {error}");
        }
    }

    #[test]
    fn a_size_is_written_as_it_was_said() {
        for table in ["size = \"small\"\ndepth = 6", "width = 64", ""] {
            let said: toml::Table = table.parse().unwrap();
            let network = fill(&TextNetwork::default(), Some(&said), "encoder").unwrap();
            let written = toml::Table::try_from(&network).unwrap();
            let again = fill(&TextNetwork::default(), Some(&written), "encoder").unwrap();
            assert_eq!(again, network, "{table}");
            assert_eq!(written.get("size"), said.get("size"), "{table}");
        }
    }
}
