//! Evaluation of embeddings: numbers in, numbers out.
//!
//! An encoder turns items into rows of a [`Matrix`]; this crate says how good those rows are. With labels:
//! [`knn`], [`probe`], [`retrieval`], [`few_shot`], scored by [`classification`] and bounded by [`interval`];
//! [`calibration`] makes probabilities of a classifier's scores.
//! [`tf_idf`] weighs counts of words. Without labels: [`representation`] and [`cluster`]; [`projection`] draws a map of them.
//!
//! *Architecture invariants.* Nothing here reads, writes or prints, and nothing knows which framework made the
//! embeddings. A [`Matrix`] is never empty and holds finite numbers only, so what takes one need not check again.
//! Work is cut into chunks whose sizes depend on the shapes alone and is summed in chunk order: a result depends
//! neither on the number of threads nor on which of them was quick.

pub mod calibration;
pub mod classification;
pub mod cluster;
mod error;
pub mod few_shot;
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
mod spectrum;
pub mod tf_idf;

pub use error::{EvalError, Result};
pub use matrix::Matrix;
