//! The workspace's source files as code alone: without comments, and with nothing in the strings.

use std::fs;
use std::path::{Path, PathBuf};

/// A file, its path from the workspace's root with forward slashes, and its code; lines keep their numbers.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) code: String,
}

impl SourceFile {
    /// A file that only a test knows.
    pub(super) fn made(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            code: code_of(text),
        }
    }

    /// The file without what is compiled for tests only; nothing at all where the whole file is.
    pub(super) fn without_tests(&self) -> Self {
        let of_tests = self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || self.path.ends_with("/oracle.rs");
        Self {
            path: self.path.clone(),
            code: if of_tests {
                String::new()
            } else {
                strip_test_items(&self.code)
            },
        }
    }
}

/// Every source file of every crate.
pub(super) fn workspace() -> Vec<SourceFile> {
    let crates = folders("crates");
    assert!(crates.len() >= 4, "the crates are found: {crates:?}");
    crates
        .iter()
        .flat_map(|name| room(&format!("crates/{name}/src")))
        .collect()
}

/// The source files below a folder, named from the workspace's root.
pub(super) fn room(folder: &str) -> Vec<SourceFile> {
    let mut files = Vec::new();
    walk(&root().join(folder), &mut files);
    files.sort();
    let read = |path: &PathBuf| {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root()).unwrap_or(path);
        let parts: Vec<_> = path
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        SourceFile::made(&parts.join("/"), &text)
    };
    files.iter().map(read).collect()
}

/// The names of the folders in a folder.
pub(super) fn folders(folder: &str) -> Vec<String> {
    entries(&root().join(folder))
        .iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect()
}

/// A crate's `Cargo.toml`.
pub(super) fn manifest(name: &str) -> String {
    let path = root().join("crates").join(name).join("Cargo.toml");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    read.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// Blanks comments and the insides of strings and characters.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len())
                .find(|&j| at(j) == '\n')
                .unwrap_or(chars.len()),
            ('/', '*') => end_of_comment(&chars, i),
            ('"', _) => end_of_string(&chars, i),
            ('r', '"' | '#') if !in_word(&code) || code.ends_with('b') => {
                end_of_raw(&chars, i).unwrap_or(i)
            }
            ('\'', '\\') => (i + 3..chars.len())
                .find(|&j| at(j) == '\'')
                .map_or(chars.len(), |j| j + 1),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            code.push(at(i));
            i += 1;
            continue;
        }
        // Line breaks stay, so that lines keep their numbers; a space keeps neighbors apart.
        code.push(' ');
        code.extend((i..end).map(at).filter(|&c| c == '\n'));
        i = end;
    }
    code
}

fn in_word(code: &str) -> bool {
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    i
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"` or `r#"…"#`; nothing where it is a raw identifier.
fn end_of_raw(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |&i: &usize| {
        chars[i] == '"'
            && chars[i + 1..]
                .iter()
                .take(hashes)
                .filter(|&&c| c == '#')
                .count()
                == hashes
    };
    Some(
        (open + 1..chars.len())
            .find(closes)
            .map_or(chars.len(), |i| i + 1 + hashes),
    )
}

/// Blanks every item under `#[cfg(test)]` and the like: to its semicolon, or to the brace that closes it.
fn strip_test_items(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(") {
        let attribute_end = rest[start..]
            .find(']')
            .map_or(rest.len(), |end| start + end + 1);
        let attribute = &rest[start..attribute_end];
        let is_test = attribute == "#[cfg(test)]" || attribute.starts_with("#[cfg(all(test,");
        let end = if is_test {
            attribute_end + end_of_item(&rest[attribute_end..])
        } else {
            attribute_end
        };
        out.push_str(&rest[..start]);
        if is_test {
            out.extend(rest[start..end].chars().filter(|&c| c == '\n'));
        } else {
            out.push_str(attribute);
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn end_of_item(code: &str) -> usize {
    let mut depth = 0;
    for (i, letter) in code.char_indices() {
        match letter {
            ';' if depth == 0 => return i + 1,
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth -= 1;
                if depth == 0 && letter == '}' {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_and_strings_are_blank_and_lines_keep_their_numbers() {
    let code = code_of(
        "a // b\n/* c /* d */ e */ f \"g // h\" r#\"i \" j\"# 'k' '\\n' b\"l\" &'m x\n\"two\nlines\" end",
    );
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "f", "b", "&'m", "x", "end"]);
    assert_eq!(code.lines().count(), 4);
}

#[test]
fn test_items_go_and_what_follows_them_stays() {
    let code = "a();\n#[cfg(test)]\nmod tests { fn f([x]: [u8; 2]) { b(); } }\nc();\n#[cfg(test)]\nmod more;\nd();\n#[cfg(unix)]\ne();";
    let left = strip_test_items(code);
    assert!(
        ["a()", "c()", "d()", "e()", "#[cfg(unix)]"]
            .iter()
            .all(|kept| left.contains(kept)),
        "{left}"
    );
    assert!(!left.contains("b()") && !left.contains("more"), "{left}");
    assert_eq!(left.lines().count(), code.lines().count());
}
