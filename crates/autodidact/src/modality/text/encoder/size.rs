//! Sizes of networks, by their names.

use serde::{Deserialize, Serialize};

/// How large a network is, by a name.
///
/// They are the published miniatures of BERT (Turc et al. 2019, arXiv 1908.08962) up to BERT itself, and as `nano` the one
/// that nanoGPT's README has for processors. A name says the same of every network: GPT-2's smallest is `base` here, as
/// large as BERT, and what is called GPT-2 medium has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// 2 blocks of 128, 2 heads.
    Tiny,
    /// 4 blocks of 128, 4 heads.
    Nano,
    /// 4 blocks of 256, 4 heads.
    Mini,
    /// 4 blocks of 512, 8 heads.
    Small,
    /// 8 blocks of 512, 8 heads.
    Medium,
    /// 12 blocks of 768, 12 heads.
    Base,
}

impl Size {
    /// Width, blocks and heads.
    pub fn numbers(self) -> [usize; 3] {
        match self {
            Self::Tiny => [128, 2, 2],
            Self::Nano => [128, 4, 4],
            Self::Mini => [256, 4, 4],
            Self::Small => [512, 4, 8],
            Self::Medium => [512, 8, 8],
            Self::Base => [768, 12, 12],
        }
    }

    /// As recipes name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Nano => "nano",
            Self::Mini => "mini",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Base => "base",
        }
    }
}
