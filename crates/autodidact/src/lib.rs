//! Self-supervised learning from unlabeled data: images, text and series, and every other kind through the same contracts.
//!
//! The data makes its own labels, a network learns from them, and what it learned then needs only a handful of
//! real labels. The rooms, from the data to the run folder: [`modality`] reads items and makes views of them,
//! [`method`] says what to learn from the views, [`train`] runs the one loop, [`run`] keeps what came out,
//! [`judge`] says honestly whether it worked, [`adapt`] makes a predictor of it with labels. [`datasets`] fetches
//! published data by name, [`recipe`] is what the user wrote, [`layers`] what several rooms share.

pub mod adapt;
pub mod datasets;
pub mod error;
pub mod export;
pub mod judge;
pub mod layers;
pub mod method;
pub mod modality;
pub mod random;
pub mod recipe;
pub mod run;
pub mod train;

pub use error::{Error, Result};
