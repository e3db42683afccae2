//! Which column of a Parquet file is which, by the file's notes, or else by types and names.

use std::sync::Arc;

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::{ConvertedType, Type};
use parquet::schema::types::ColumnDescriptor;

use super::super::labels::is_label_column;
use crate::error::{Error, Result};

/// What columns of images are called where nothing else tells which it is.
const IMAGE_NAMES: [&str; 8] = [
    "image", "img", "picture", "photo", "jpg", "jpeg", "png", "bytes",
];

/// The column of encoded images: the one that the notes name, or that is a struct with `bytes`, or that is called for
/// it, or the only one that holds bytes.
pub(super) fn image_column(leaves: &[Arc<ColumnDescriptor>], notes: &Notes) -> Result<usize> {
    let found = candidates(leaves);
    let column = told_column(leaves, &found, notes)
        .or_else(|| found.first().copied().filter(|_| found.len() == 1));
    column.ok_or_else(|| {
        let names: Vec<String> = leaves.iter().map(|leaf| leaf.path().string()).collect();
        Error::data(format!(
            "has no column of images (columns: {})",
            names.join(", ")
        ))
        .expected("a column of bytes called image, or of structs with bytes in them")
        .mend("write encoded images (JPEG, PNG, …) as bytes into a column called image")
    })
}

/// Whether a column says of itself that it holds images, by its name if by nothing else.
pub(super) fn tells_of_images(leaves: &[Arc<ColumnDescriptor>], notes: &Notes) -> bool {
    told_column(leaves, &candidates(leaves), notes).is_some()
}

/// The names that stand beside the images in their struct.
pub(super) fn path_column(leaves: &[Arc<ColumnDescriptor>], image: usize) -> Option<usize> {
    let parent = leaves[image].path().parts().split_last()?.1;
    leaves.iter().position(|leaf| {
        let parts = leaf.path().parts();
        is_text(leaf)
            && parts
                .split_last()
                .is_some_and(|(last, above)| last == "path" && above == parent && !above.is_empty())
    })
}

/// The columns of bytes, by themselves or in a struct.
fn candidates(leaves: &[Arc<ColumnDescriptor>]) -> Vec<usize> {
    let fits = |at: &usize| {
        let leaf = &leaves[*at];
        let parts = leaf.path().parts();
        let plain = leaf.physical_type() == Type::BYTE_ARRAY && !is_text(leaf);
        let inside = parts.len() == 2 && parts[1] == "bytes";
        plain && leaf.max_rep_level() == 0 && (parts.len() == 1 || inside)
    };
    (0..leaves.len()).filter(fits).collect()
}

/// The one of these that the notes name, that is a struct, or that is called for images.
fn told_column(leaves: &[Arc<ColumnDescriptor>], found: &[usize], notes: &Notes) -> Option<usize> {
    let parts = |at: usize| leaves[at].path().parts();
    let first = |wanted: &dyn Fn(usize) -> bool| found.iter().copied().find(|&at| wanted(at));
    let by_name = || {
        let mut names = IMAGE_NAMES.iter();
        names.find_map(|name| first(&|at| parts(at)[0].eq_ignore_ascii_case(name)))
    };
    first(&|at| notes.is_image(&parts(at)[0]))
        .or_else(|| first(&|at| parts(at).len() == 2))
        .or_else(by_name)
}

/// The column of labels: the one that the notes give classes to, `label` before others, or that is called for it.
pub(super) fn label_column(leaves: &[Arc<ColumnDescriptor>], notes: &Notes) -> Option<usize> {
    let fits = |at: &usize| {
        let leaf = &leaves[*at];
        let number = matches!(leaf.physical_type(), Type::INT32 | Type::INT64);
        (number || is_text(leaf)) && leaf.max_rep_level() == 0 && leaf.path().parts().len() == 1
    };
    let found: Vec<usize> = (0..leaves.len()).filter(fits).collect();
    let first = |wanted: &dyn Fn(&str) -> bool| {
        let mut found = found.iter().copied();
        found.find(|&at| wanted(&leaves[at].path().parts()[0]))
    };
    let classes = |name: &str| notes.classes(name).is_some();
    first(&|name| name == "label" && classes(name))
        .or_else(|| first(&classes))
        .or_else(|| first(&is_label_column))
}

fn is_text(leaf: &ColumnDescriptor) -> bool {
    leaf.physical_type() == Type::BYTE_ARRAY && leaf.converted_type() == ConvertedType::UTF8
}

/// What the file says about its columns under `huggingface`.
pub(super) struct Notes(serde_json::Map<String, serde_json::Value>);

impl Notes {
    pub(super) fn of(metadata: &ArrowReaderMetadata) -> Self {
        let notes = metadata.metadata().file_metadata().key_value_metadata();
        let text = notes
            .and_then(|notes| notes.iter().find(|note| note.key == "huggingface"))
            .and_then(|note| note.value.as_deref());
        // Without notes, or with other ones, the columns' names and types have to tell.
        let features = text
            .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
            .and_then(|value| value.pointer("/info/features")?.as_object().cloned());
        Self(features.unwrap_or_default())
    }

    fn is_image(&self, column: &str) -> bool {
        self.0
            .get(column)
            .is_some_and(|note| note["_type"] == "Image")
    }

    pub(super) fn classes(&self, column: &str) -> Option<Vec<String>> {
        let names = self.0.get(column)?["names"].as_array()?;
        let names = names.iter().map(|name| name.as_str().map(str::to_owned));
        names
            .collect::<Option<Vec<_>>>()
            .filter(|names| !names.is_empty())
    }
}
