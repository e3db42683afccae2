//! The integration tests of the library, in one binary: linking is what takes the time.

mod fused;
mod rooms;
mod training;
