//! Did it work? The features of a run beside those of honest baselines, then the verdict in words.

mod card;
mod embedding;
mod generation;
mod halves;
mod likelihood;
mod nearest;
mod protocol;
mod report;
mod similarity;
mod tasks;
mod verdict;

pub use embedding::{Embedded, Frozen, Pairs, Splits, Whom, frozen, views_sheet};
pub use generation::generate;
pub use likelihood::likelihood;
pub use nearest::{Found, Hit, nearest};
pub use protocol::{Judged, Parts, evaluate};
pub use report::{Report, report};
pub use similarity::{Similarity, similarity};
pub use verdict::{Finding, Verdict};
