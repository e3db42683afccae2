//! The integration tests of the library, in one binary: linking is what takes the time.

mod fused;
mod report;
mod rooms;
mod training;
