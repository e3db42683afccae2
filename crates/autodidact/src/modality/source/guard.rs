//! What other people's readers do with files that were made to harm.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does what calls a crate that reads Parquet, TIFF or tokenizers. They mean to answer damage with errors; files that were made to
/// harm, and some that weren't, have made them panic all the same, and that ends here, as `None`.
pub(in crate::modality) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
