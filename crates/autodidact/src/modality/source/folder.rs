//! The files of a folder tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::storage::{Member, Place};
use crate::error::{AtPath, Error, Result};

/// How deep folders may lie in each other.
const DEEPEST: usize = 32;

/// Lists all files below `root` that aren't hidden, sorted by the bytes of their names.
///
/// Links are followed, but never into a folder that is being listed.
///
/// # Errors
/// When a folder can't be read or lies too deep.
pub(in crate::modality) fn list(root: &Path) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    walk(root, "", &mut Vec::new(), &mut members)?;
    members.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(members)
}

/// Names that operating systems and archivers leave behind.
pub(in crate::modality) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX" || name == "Thumbs.db" || name == "desktop.ini"
}

/// How many files of each kind there are, for messages: `12 .heic, 3 .txt`.
pub(in crate::modality) fn kinds<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let file = name.rsplit('/').next().unwrap_or(name);
        let kind = match file.rsplit_once('.') {
            Some((_, ending)) => format!(".{}", ending.to_ascii_lowercase()),
            None => "without an extension".to_owned(),
        };
        *counts.entry(kind).or_default() += 1;
    }
    if counts.is_empty() {
        return "nothing".to_owned();
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let more = counts.len().saturating_sub(4);
    let mut text: Vec<String> = counts
        .iter()
        .take(4)
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if more > 0 {
        text.push(format!("{more} more kinds"));
    }
    text.join(", ")
}

fn walk(
    folder: &Path,
    prefix: &str,
    above: &mut Vec<PathBuf>,
    members: &mut Vec<Member>,
) -> Result<()> {
    if above.len() >= DEEPEST {
        return Err(
            Error::data(format!("lies more than {DEEPEST} folders deep"))
                .at(folder)
                .mend("name a folder further down"),
        );
    }
    let real = folder.canonicalize().at_path(folder)?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for entry in std::fs::read_dir(folder).at_path(folder)? {
        let entry = entry.at_path(folder)?;
        let part = entry.file_name().to_string_lossy().into_owned();
        if is_hidden(&part) {
            continue;
        }
        let path = entry.path();
        // The listing says what an entry is; only links have to be asked. One that leads nowhere is no file.
        let kind = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind,
            _ => match std::fs::metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(_) => continue,
            },
        };
        let name = if prefix.is_empty() {
            part
        } else {
            format!("{prefix}/{part}")
        };
        if kind.is_dir() {
            walk(&path, &name, above, members)?;
        } else if kind.is_file() {
            members.push(Member {
                name,
                shown: path.display().to_string(),
                place: Place::File(path),
            });
        }
    }
    above.pop();
    Ok(())
}

/// An error for a path that isn't there, where `expected` was, with the names beside it that look like it.
pub(in crate::modality) fn missing(path: &Path, expected: &str) -> Error {
    let error = Error::data("is not there").at(path).expected(expected);
    let wanted = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(parent) else {
        return error.mend(format!(
            "check the path: {} can't be listed either",
            parent.display()
        ));
    };
    let mut near: Vec<(usize, String)> = entries
        .flatten()
        .take(10_000)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !is_hidden(name))
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= 2.max(wanted.chars().count() / 4)
                || (!wanted.is_empty() && name.to_lowercase().starts_with(&wanted))
        })
        .collect();
    near.sort();
    match near.first() {
        Some((_, name)) => error.mend(format!("did you mean {}?", parent.join(name).display())),
        None => error.mend("check the path"),
    }
}

/// Levenshtein's distance: insertions, deletions and changes of one character.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let next = (diagonal + usize::from(left != *right))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_characters() {
        assert_eq!(distance("cifar10", "cifar10"), 0);
        assert_eq!(distance("cifra10", "cifar10"), 2);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_missing_path_names_the_nearest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("flowers")).unwrap();
        let error = missing(&folder.path().join("flower"), "a folder");
        assert!(error.remedy().unwrap().contains("flowers"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("x.png"), b"x").unwrap();
        std::fs::write(inner.join(".hidden.png"), b"x").unwrap();
        std::os::unix::fs::symlink(folder.path(), inner.join("loop")).unwrap();
        let names: Vec<String> = list(folder.path())
            .unwrap()
            .into_iter()
            .map(|m| m.name)
            .collect();
        assert_eq!(names, ["a/x.png"]);
    }
}
