//! Labels that the user brings along.

use std::collections::BTreeSet;
use std::path::Path;

use super::layout;
use super::names::Names;
use crate::error::{AtPath, Error, Result};
use crate::modality::source::Labels;

/// Reads the labels of the items called `names`: a CSV of name and label, or one label a line in item order.
///
/// A header is optional. The classes are all that the file names, so that the parts of a set that share a file share
/// their classes. Also returns the number of rows that match no item.
///
/// # Errors
/// When the file can't be read, matches no item at all, or has another number of lines than there are items.
pub(in crate::modality) fn read(path: &Path, names: &[&str]) -> Result<(Labels, usize)> {
    let text = std::fs::read(path).at_path(path)?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_start_matches('\u{feff}');
    let rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
        .into_records()
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|source| Error::data("is no CSV").at(path).because(source))?;
    match rows.first() {
        None => Err(Error::data("holds no labels")
            .at(path)
            .expected("rows of name and label, or one label a line")),
        Some(first) if first.len() > 1 => by_name(path, names, &rows),
        Some(_) => by_line(path, names, text),
    }
}

fn by_line(path: &Path, names: &[&str], text: &str) -> Result<(Labels, usize)> {
    // Line by line, since an empty line is an item without a label.
    let mut lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim().trim_matches('"'))
        .collect();
    if lines.len() == names.len() + 1 && is_label_column(lines[0]) {
        lines.remove(0);
    }
    while lines.len() > names.len() && lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    if lines.len() != names.len() {
        return Err(Error::data(format!(
            "holds {} labels for {} items",
            lines.len(),
            names.len()
        ))
        .at(path)
        .expected("one label a line, as many as there are items, in the order of the items")
        .mend("write rows of name and label instead, so that order and number don't matter"));
    }
    let classes = lines
        .iter()
        .map(|line| (!line.is_empty()).then(|| (*line).to_owned()))
        .collect();
    let labels = layout::number(classes, None).ok_or_else(|| {
        Error::data("holds only empty lines")
            .at(path)
            .expected("labels")
    })?;
    Ok((labels, 0))
}

fn by_name(path: &Path, names: &[&str], rows: &[csv::StringRecord]) -> Result<(Labels, usize)> {
    let index = Names::new(names);
    let (name_at, label_at, rows) = columns(rows, &index);
    let mut classes = BTreeSet::new();
    let mut of = vec![None; names.len()];
    let mut unmatched = 0;
    let mut example = None;
    for row in rows {
        let (Some(name), Some(label)) = (row.get(name_at), row.get(label_at)) else {
            continue;
        };
        if label.is_empty() {
            continue;
        }
        classes.insert(label.to_owned());
        match index.find(name) {
            Some(item) => of[item] = Some(label.to_owned()),
            None => {
                unmatched += 1;
                example.get_or_insert(name);
            }
        }
    }
    if of.iter().all(Option::is_none) {
        let item = names.first().copied().unwrap_or_default();
        return Err(Error::data(format!(
            "none of its {unmatched} names is an item, the first being {:?}",
            example.unwrap_or_default()
        ))
        .at(path)
        .expected(format!(
            "names such as {item:?}, with or without folders and extension"
        )));
    }
    // Number all classes of the file, also those without an item here.
    let items = of.len();
    of.extend(classes.into_iter().map(Some));
    let mut labels = layout::number(of, None).ok_or_else(|| {
        Error::data("holds no labels")
            .at(path)
            .expected("rows of name and label")
    })?;
    labels.of.truncate(items);
    Ok((labels, unmatched))
}

/// The columns of names and of labels, and the rows below the header, where there is one.
///
/// Where a header names only one of the two as it is known, the other is the first that is left. Such a row, which may be an
/// item too, is a header if it stands for no item and no class while rows below it stand for some.
fn columns<'a>(
    rows: &'a [csv::StringRecord],
    index: &Names<'_>,
) -> (usize, usize, &'a [csv::StringRecord]) {
    let (header, below) = (&rows[0], &rows[1..]);
    let beside = |taken: usize| usize::from(taken == 0);
    let (name_at, label_at) = match (
        header.iter().position(is_name_column),
        header.iter().position(is_label_column),
    ) {
        (Some(name), Some(label)) => return (name, label, below),
        (Some(name), None) => (name, beside(name)),
        (None, Some(label)) => (beside(label), label),
        (None, None) => (0, 1),
    };
    let is_item = |row: &csv::StringRecord| {
        row.get(name_at)
            .is_some_and(|name| index.find(name).is_some())
    };
    // The first row may be an item of a part that isn't open; then its class most likely comes again.
    let is_class = || {
        below
            .iter()
            .any(|row| row.get(label_at) == header.get(label_at))
    };
    if !is_item(header) && below.iter().any(is_item) && !is_class() {
        (name_at, label_at, below)
    } else {
        (0, 1, rows)
    }
}

/// Whether a header names the column of items.
pub(in crate::modality) fn is_name_column(header: &str) -> bool {
    let names = [
        "file",
        "filename",
        "file_name",
        "path",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "img",
        "name",
        "item",
        "id",
    ];
    names.contains(&header.trim().to_ascii_lowercase().as_str())
}

/// Whether a header names the column of labels.
pub(in crate::modality) fn is_label_column(header: &str) -> bool {
    ["label", "class", "labels", "target", "category"]
        .contains(&header.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str, names: &[&str]) -> Result<(Labels, usize)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, names)
    }

    #[test]
    fn rows_of_name_and_label_match_with_and_without_a_header() {
        let names = ["a/1.png", "a/2.png", "b/3.png"];
        for header in ["", "name,label\n", "\u{feff}name,label\r\n"] {
            let (labels, unmatched) =
                from(&format!("{header}3,dog\n1.png,cat\nother,eel\n"), &names).unwrap();
            assert_eq!(labels.classes, ["cat", "dog", "eel"]);
            assert_eq!(labels.of, [Some(0), None, Some(1)]);
            assert_eq!(unmatched, 1);
        }
        let error = from("x,cat\ny,dog\n", &names).unwrap_err().to_string();
        assert!(
            error.contains("none of its 2 names") && error.contains("a/1.png"),
            "{error}"
        );
    }

    #[test]
    fn a_header_is_told_from_an_item_where_its_names_are_not_known() {
        let names = ["a/1.png", "a/2.png", "b/3.png"];
        for text in [
            "image_id,label\n1,10\n2,9\n3,10\n",
            "id,breed\n1,10\n2,9\n3,10\n",
            "id_code,diagnosis\n1,10\n2,9\n3,10\n",
            "image_id,eye,label\n1,left,10\n2,right,9\n3,left,10\n",
            "label,image_id\n10,1\n9,2\n10,3\n",
            // Of another part.
            "id_code,diagnosis\n0,10\n1,10\n2,9\n3,10\n",
        ] {
            let (labels, unmatched) = from(text, &names).unwrap();
            assert_eq!(labels.classes, ["9", "10"], "{text}");
            assert_eq!(labels.of, [Some(1), Some(0), Some(1)], "{text}");
            assert_eq!(unmatched, usize::from(text.contains("\n0,")), "{text}");
        }
    }

    #[test]
    fn an_item_is_no_header() {
        let names = ["a/1.png", "a/2.png", "b/3.png"];
        // Its class is called like a column, or it is of another part.
        for text in [
            "1.png,target\n2.png,dog\n3.png,target\n",
            "0.png,dog\n2.png,dog\n1.png,target\n3.png,target\n",
        ] {
            let (labels, _) = from(text, &names).unwrap();
            assert_eq!(labels.classes, ["dog", "target"], "{text}");
            assert_eq!(labels.of, [Some(1), Some(0), Some(1)], "{text}");
        }
        let error = from("image_id,label\nx,cat\ny,dog\n", &names).unwrap_err();
        assert!(error.to_string().contains("is an item"), "{error}");
    }

    #[test]
    fn lines_match_in_order_and_in_number() {
        let (labels, _) = from("label\n10\n\n9\n", &["a", "b", "c"]).unwrap();
        assert_eq!(
            (labels.classes.as_slice(), labels.of.as_slice()),
            (
                &["9".to_owned(), "10".to_owned()][..],
                &[Some(1), None, Some(0)][..]
            )
        );
        let error = from("1\n2\n", &["a", "b", "c"]).unwrap_err();
        assert!(
            error.to_string().contains("holds 2 labels for 3 items"),
            "{error}"
        );
        assert!(from("", &["a"]).is_err());
    }
}
