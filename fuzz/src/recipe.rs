//! As much of the library's room of this name as the readers of series need.

#[path = "../../crates/autodidact/src/recipe/table.rs"]
mod table;

pub use table::fill;
