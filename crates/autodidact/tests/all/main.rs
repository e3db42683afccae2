//! The integration tests of the library, in one binary: linking is what takes the time.

mod adapt;
mod finetuning;
mod fused;
mod lengths;
mod report;
mod rooms;
mod training;
