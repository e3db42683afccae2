//! Did it work? The features of a run beside those of honest baselines, then the verdict in words.

mod anomalies;
mod card;
mod counted;
mod detector;
mod embedding;
mod following;
mod forecast;
mod generation;
mod halves;
mod levels;
mod likelihood;
mod nearest;
mod protocol;
mod report;
mod similarity;
mod stream;
mod tasks;
mod verdict;

pub use anomalies::{Anomalies, Watched, anomalies};
pub use detector::Detector;
pub use embedding::{Embedded, Frozen, Pairs, Splits, Which, Whom, frozen, views_sheet};
pub use following::{Following, Values};
pub use forecast::{Ahead, Curve, Example, Forecasts, Foretold, Upcoming, forecasts, foretell};
pub use generation::generate;
pub use likelihood::likelihood;
pub use nearest::{Found, Hit, nearest};
pub use protocol::{Judged, Parts, evaluate};
pub use report::{Report, report};
pub use similarity::{Similarity, similarity};
pub use stream::{Seen, Watch};
pub use verdict::{Finding, Verdict};
