//! Evaluation of embeddings: numbers in, numbers out.
//!
//! An encoder turns items into rows of a [`Matrix`]; this crate says how good those rows are. With labels:
//! [`knn`], [`probe`], [`retrieval`], [`few_shot`], scored by [`classification`] and bounded by [`interval`];
//! [`calibration`] makes probabilities of a classifier's scores.
//! [`tf_idf`] counts words and weighs the counts; [`correlation`] holds vectors of pairs against what people say of them.
//! For time series: [`svm`] and [`warping`] tell classes apart, [`forecast`] reads the next steps off, [`anomaly`] says what
//! scores of steps are worth. Without labels: [`representation`] and [`cluster`]; [`projection`] draws a map of them.
//!
//! *Architecture invariants.* Nothing here reads, writes or prints, and nothing knows which framework made the
//! embeddings. A [`Matrix`] is never empty and holds finite numbers only, so what takes one need not check again.
//! Work is cut into chunks whose sizes depend on the shapes alone and is summed in chunk order: a result depends
//! neither on the number of threads nor on which of them was quick.

pub mod anomaly;
pub mod calibration;
pub mod classification;
pub mod cluster;
pub mod correlation;
mod error;
mod euclidean;
pub mod few_shot;
pub mod forecast;
pub mod interval;
pub mod knn;
mod labels;
mod lbfgs;
mod matrix;
pub mod probe;
mod product;
pub mod projection;
pub mod representation;
pub mod retrieval;
mod sampling;
pub mod span;
mod sparse;
mod spectrum;
pub mod svm;
pub mod tf_idf;
pub mod warping;

pub use error::{EvalError, Result};
pub use matrix::Matrix;
