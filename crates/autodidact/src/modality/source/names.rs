//! Finding items by names that people wrote: with or without folders in front, with or without an extension.

use std::collections::HashMap;

/// Items by name.
pub(in crate::modality) struct Names<'a> {
    names: &'a [&'a str],
    exact: HashMap<&'a str, usize>,
    /// Items by the last part of their name without its extension.
    stems: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Names<'a> {
    /// Reads the names of all items.
    pub(in crate::modality) fn new(names: &'a [&'a str]) -> Self {
        let mut stems: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            stems
                .entry(last(without_extension(name)))
                .or_default()
                .push(index);
        }
        let exact = names
            .iter()
            .enumerate()
            .map(|(index, &name)| (name, index))
            .collect();
        Self {
            names,
            exact,
            stems,
        }
    }

    /// The item that `wanted` means: the one of that very name, or the only one whose name it is but for leading
    /// folders (of either) and the extension.
    pub(in crate::modality) fn find(&self, wanted: &str) -> Option<usize> {
        let wanted = wanted.trim().replace('\\', "/");
        let wanted = wanted.trim_start_matches("./").trim_start_matches('/');
        if wanted.is_empty() {
            return None;
        }
        if let Some(&index) = self.exact.get(wanted) {
            return Some(index);
        }
        let stem = last(wanted);
        let candidates = [
            Some(stem),
            Some(without_extension(stem)).filter(|s| *s != stem),
        ];
        let mut found = candidates
            .into_iter()
            .flatten()
            .filter_map(|stem| self.stems.get(stem))
            .flatten()
            .filter(|&&index| {
                let name = self.names[index];
                ends_alike(name, wanted) || ends_alike(without_extension(name), wanted)
            });
        let first = *found.next()?;
        found.next().is_none().then_some(first)
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn without_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending))
            if !ending.contains('/') && !stem.is_empty() && !stem.ends_with('/') =>
        {
            stem
        }
        _ => name,
    }
}

/// Whether one path is the other with folders in front.
fn ends_alike(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    long.strip_suffix(short)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_unless_they_are_ambiguous() {
        let names = ["cats/1.jpg", "cats/2.b.png", "dogs/1.jpg", "3.png", "3.jpg"];
        let names = Names::new(&names);
        assert_eq!(names.find("cats/1.jpg"), Some(0));
        assert_eq!(names.find("./dogs/1"), Some(2));
        assert_eq!(names.find("data/train/dogs/1.jpg"), Some(2));
        assert_eq!(names.find("1.jpg"), None);
        assert_eq!(names.find("2.b"), Some(1));
        assert_eq!(names.find("2.b.png"), Some(1));
        assert_eq!(names.find("3"), None);
        assert_eq!(names.find("3.png"), Some(3));
        assert_eq!(names.find("3.gif"), None);
        assert_eq!(names.find("s/1.jpg"), None);
    }
}
