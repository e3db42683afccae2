//! What a method asks of the data and of the network, and what a network can do.

#[cfg(doc)]
use super::{Batch, Causal, Encoder, Maskable, Ordered, Symbolic};

/// What a method asks of the data: how many views, how different from each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pretext {
    /// Views per item.
    pub views: usize,
    /// How much a view differs from its item.
    pub change: Change,
    /// What the network must be able to do.
    pub needs: Need,
}

impl Pretext {
    /// So many views of each item, changed so much.
    pub fn new(views: usize, change: Change, needs: Need) -> Self {
        Self {
            views,
            change,
            needs,
        }
    }
}

/// What a method needs of a network, beyond vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Vectors,
    /// To run on a visible subset of its tokens and be told what the hidden ones were ([`Maskable`]).
    Hidden,
    /// To say what symbol stands where another was put in its place, from both sides ([`Symbolic`]).
    Replaced,
    /// To take other symbols in the place of its own, and see both sides of each ([`Symbolic`]).
    Symbols,
    /// To say which symbol comes next, from those before alone ([`Symbolic`]).
    Next,
    /// A vector that is a linear map of fixed features ([`Encoder::features`]).
    Readout,
    /// A vector that is fixed features, each weighed ([`Encoder::features`]).
    Weights,
    /// A vector that is the mean of its symbols' own, and nothing else ([`Encoder::with_symbol_vectors`]).
    Averages,
    /// Any vectors, of data in which one stretch follows another ([`Change::Paired`]).
    Stretches,
    /// Any vectors, of items whose last steps can be cut off and told ([`Batch::ending`]).
    Ending,
    /// Tokens in the order of time ([`Ordered`]).
    Ordered,
    /// Tokens in the order of time, of which none has seen what comes after it ([`Causal`]).
    Ahead,
}

impl Need {
    /// What is asked, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Vectors => "any encoder",
            Self::Hidden => "an encoder that can be masked, such as vit_tiny",
            Self::Replaced => {
                "an encoder that restores symbols from both sides, such as bert or modern"
            }
            Self::Symbols => "an encoder over symbols that sees both sides, such as bert or modern",
            Self::Next => "an encoder that predicts the next symbol, such as gpt2 or modern_causal",
            Self::Readout => "an encoder of fixed features, such as patches",
            Self::Weights => {
                "an encoder whose vector is fixed features, such as kernels with vector = \"features\""
            }
            Self::Averages => {
                "an encoder whose vector is the mean of its symbols' own, such as static"
            }
            Self::Stretches => "data in which one stretch follows another, such as documents",
            Self::Ending => "data of steps, such as series",
            Self::Ordered => "an encoder whose tokens stand in the order of time, such as dilated",
            Self::Ahead => "an encoder that goes through time step by step, such as conv_gru",
        }
    }
}

/// How much a view differs from its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// As much as leaves the content recognizable: what contrastive methods need.
    Strong,
    /// As [`Change::Strong`], but not the same for every view, as BYOL has it.
    StrongUneven,
    /// A little: masking or a label does the rest.
    Light,
    /// Two crops that overlap, undisturbed otherwise: what they share is the same moment seen in other surroundings.
    Overlapping,
    /// As [`Change::Light`], and a view is two stretches in a row, of which the second follows the first in the item or is
    /// another item's, at even odds: [`Batch::own_labels`] says which, 0 or 1.
    Paired,
}

impl Change {
    /// Whether a view shows its item as it is, or nearly so.
    pub fn is_light(self) -> bool {
        matches!(self, Self::Light | Self::Paired)
    }
}

/// What a network can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Run on a visible subset of the tokens and be told what the hidden ones were ([`Maskable`]).
    pub masks: bool,
    /// Say what symbol stands where another was put in its place ([`Symbolic`]).
    pub restores: bool,
    /// Take other symbols in the place of its own, and see both sides of each ([`Symbolic`]).
    pub compares: bool,
    /// Say which symbol comes next ([`Symbolic`]).
    pub predicts: bool,
    /// Hand out fixed features, and take another linear map of them ([`Encoder::features`]).
    pub reads_out: bool,
    /// Hand out fixed features, and take another weight for each ([`Encoder::features`]).
    pub weighs: bool,
    /// Be the mean of its symbols' own vectors, and take others for them ([`Encoder::with_symbol_vectors`]).
    pub averages: bool,
    /// Take two stretches of which one may follow the other ([`Change::Paired`]).
    pub pairs: bool,
    /// Take items without their last steps, and tell these ([`Batch::ending`]).
    pub ends: bool,
    /// Say at which moment each token stands ([`Ordered`]).
    pub ordered: bool,
    /// See nothing at each moment that comes after it ([`Causal`]).
    pub looks_ahead: bool,
}

impl Abilities {
    /// Nothing beyond vectors.
    pub const NONE: Self = Self {
        masks: false,
        restores: false,
        compares: false,
        predicts: false,
        reads_out: false,
        weighs: false,
        averages: false,
        pairs: false,
        ends: false,
        ordered: false,
        looks_ahead: false,
    };

    /// Whether they serve a need.
    pub const fn serve(self, need: Need) -> bool {
        match need {
            Need::Vectors => true,
            Need::Hidden => self.masks,
            Need::Replaced => self.restores,
            Need::Symbols => self.compares,
            Need::Next => self.predicts,
            Need::Readout => self.reads_out,
            Need::Weights => self.weighs,
            Need::Averages => self.averages,
            Need::Stretches => self.pairs,
            Need::Ending => self.ends,
            Need::Ordered => self.ordered,
            Need::Ahead => self.looks_ahead,
        }
    }
}
