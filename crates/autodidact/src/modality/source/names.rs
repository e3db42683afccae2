//! Finding items by names that people wrote: with or without folders in front, with or without an extension.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Items by name.
pub(in crate::modality) struct Names<'a> {
    names: &'a [&'a str],
    exact: HashMap<&'a str, usize>,
    /// Items in the order of their names read backwards, with their extension and without: names that end alike stand
    /// together, however many there are. They are ordered where a name isn't found by itself.
    orders: OnceLock<[Vec<usize>; 2]>,
}

impl<'a> Names<'a> {
    /// Reads the names of all items.
    pub(in crate::modality) fn new(names: &'a [&'a str]) -> Self {
        let exact = names
            .iter()
            .enumerate()
            .map(|(index, &name)| (name, index))
            .collect();
        Self {
            names,
            exact,
            orders: OnceLock::new(),
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
        let [whole, bare] = self.orders.get_or_init(|| {
            let name = |index: usize| self.names[index];
            [
                self.ordered(name),
                self.ordered(|index| without_extension(name(index))),
            ]
        });
        let mut found = self.alike(whole, |name| name, wanted);
        found.extend(self.alike(bare, without_extension, wanted));
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// All items in the order of their texts read backwards.
    fn ordered<'b>(&self, text: impl Fn(usize) -> &'b str) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by(|&a, &b| text(a).bytes().rev().cmp(text(b).bytes().rev()));
        order
    }

    /// Items whose text is `wanted`, or is so with folders in front of either: of several ways to it, two items each at the
    /// most, since more than one is too many.
    fn alike(&self, order: &[usize], text: impl Fn(&str) -> &str, wanted: &str) -> Vec<usize> {
        let mut found = Vec::new();
        let mut take = |least: &dyn Fn(&str) -> bool, fits: &dyn Fn(&str) -> bool| {
            let start = order.partition_point(|&index| least(text(self.names[index])));
            let rest = order[start..].iter().copied();
            let fitting = rest.take_while(|&index| fits(text(self.names[index])));
            found.extend(fitting.take(2));
        };
        let backwards = || wanted.bytes().rev();
        take(
            &|text| text.bytes().rev().lt(backwards().chain([b'/'])),
            &|text| {
                text.strip_suffix(wanted)
                    .is_some_and(|rest| rest.ends_with('/'))
            },
        );
        let folders = wanted.match_indices('/').map(|(at, _)| at + 1);
        for ending in std::iter::once(0)
            .chain(folders)
            .map(|from| &wanted[from..])
        {
            take(
                &|text| text.bytes().rev().lt(ending.bytes().rev()),
                &|text| text == ending,
            );
        }
        found
    }
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
        assert_eq!(names.find("x/y/cats/2.b"), Some(1));
        assert_eq!(names.find("cats/"), None);
        let twice = ["a/1.png", "a/1.png", "b/2"];
        let twice = Names::new(&twice);
        assert_eq!(twice.find("1.png"), None);
        assert_eq!(twice.find("c/b/2"), Some(2));
    }

    #[test]
    fn names_that_end_alike_are_found_as_quickly_as_others() {
        let started = std::time::Instant::now();
        let names: Vec<String> = (0..100_000).map(|i| format!("{i:06}/image.png")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let index = Names::new(&names);
        for (number, name) in names.iter().enumerate() {
            assert_eq!(index.find(&format!("data/{name}")), Some(number));
        }
        // Where each is compared with all others it takes minutes.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
}
