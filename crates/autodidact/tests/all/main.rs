//! The integration tests of the library, in one binary: linking is what takes the time.

mod rooms;
mod training;
