//! What the names of folders say: parts (`train/`, `test/`) and classes (`cats/`, `dogs/`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, Result};
use crate::modality::source::{Labels, Part};

/// The parts that data comes in, with the one between the two that are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::modality) enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    /// What a folder, an archive or a cell of a list means.
    pub(in crate::modality) fn of_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" | "t10k" => Some(Self::Test),
            _ => None,
        }
    }
}

/// Which split to open, and the parts that this leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::modality) struct Choice {
    /// The split to open; `None` where the data is one whole.
    pub(in crate::modality) split: Option<Split>,
    /// The other parts.
    pub(in crate::modality) others: Vec<Part>,
}

impl Choice {
    /// The part that is opened, for people.
    pub(in crate::modality) fn shown(&self) -> &'static str {
        match self.split {
            Some(Split::Train) => ", training part",
            Some(Split::Test) => ", test part",
            Some(Split::Validation) => ", validation part",
            None => "",
        }
    }
}

/// Chooses among the splits that are `present`. Validation data serves as the test part where there is no other.
///
/// Without a wish the training part is opened, or what comes nearest where there is none.
/// Data that is one whole serves as its training part.
///
/// # Errors
/// When the wished part isn't there.
pub(in crate::modality) fn choose(
    present: &BTreeSet<Split>,
    wanted: Option<Part>,
    at: &Path,
) -> Result<Choice> {
    let test = [Split::Test, Split::Validation]
        .into_iter()
        .find(|split| present.contains(split));
    let train = present.get(&Split::Train).copied();
    let split = match wanted {
        None => train.or_else(|| present.first().copied()),
        Some(Part::Train) if present.is_empty() => None,
        Some(Part::Train) => Some(train.ok_or_else(|| {
            Error::data("has a test part and no training part").at(at)
                .expected("train/ beside test/")
                .mend("open the test part, or name a folder that holds both")
        })?),
        Some(Part::Test) => Some(test.ok_or_else(|| {
            let found = if train.is_some() { "has a training part and no test part" } else { "comes as one whole: it has no test part" };
            Error::data(found).at(at)
                .expected("train/ and test/ folders or archives, t10k files beside train files, test_batch.bin, or a list with a column split")
                .mend("name a folder that holds both parts")
        })?),
    };
    let mut others = Vec::new();
    if split != train && train.is_some() {
        others.push(Part::Train);
    }
    if split == train && test.is_some() {
        others.push(Part::Test);
    }
    Ok(Choice { split, others })
}

/// What the names of images say, item by item.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::modality) struct Layout {
    /// The split of each image; all `None` where there are no parts.
    pub(in crate::modality) splits: Vec<Option<Split>>,
    /// The classes, over all parts, if there are at least two.
    pub(in crate::modality) labels: Option<Labels>,
}

impl Layout {
    /// Reads the folders off the names of all images, of all parts.
    ///
    /// Folders that all images share say nothing. Then, if the folders at the top are parts, they are taken off, and
    /// so are the folders shared below them. The class is the folder at the top of what is left; or, where every image
    /// lies equally deep and deeper than one folder, all folders together (`Greek/character01`).
    pub(in crate::modality) fn of(names: &[&str]) -> Self {
        let mut folders: Vec<Vec<&str>> = names
            .iter()
            .map(|name| {
                let mut parts: Vec<&str> = name.split('/').collect();
                parts.pop();
                parts
            })
            .collect();
        strip_shared(&mut folders, |name| Split::of_name(name).is_none());
        let tops: BTreeSet<&str> = folders.iter().filter_map(|f| f.first().copied()).collect();
        let found: BTreeSet<Split> = tops
            .iter()
            .filter_map(|name| Split::of_name(name))
            .collect();
        // A class may be called train; a part has another part beside it, or nothing at all.
        let rooted = folders.iter().any(Vec::is_empty);
        let alone = found.len() == 1 && tops.len() == 1 && !rooted;
        let mut splits = vec![None; names.len()];
        if found.len() > 1 || alone {
            for (split, parts) in splits.iter_mut().zip(&mut folders) {
                *split = parts.first().and_then(|name| Split::of_name(name));
                if split.is_some() {
                    parts.remove(0);
                }
            }
            // What lies outside the parts has no say.
            let inside: Vec<bool> = splits.iter().map(Option::is_some).collect();
            let mut kept: Vec<Vec<&str>> = folders
                .iter()
                .zip(&inside)
                .filter(|(_, inside)| **inside)
                .map(|(f, _)| f.clone())
                .collect();
            strip_shared(&mut kept, |_| true);
            let mut kept = kept.into_iter();
            for (parts, inside) in folders.iter_mut().zip(inside) {
                *parts = if inside {
                    kept.next().unwrap_or_default()
                } else {
                    Vec::new()
                };
            }
        }
        Self {
            labels: classes(&folders),
            splits,
        }
    }

    /// The splits that are there.
    pub(in crate::modality) fn present(&self) -> BTreeSet<Split> {
        self.splits.iter().flatten().copied().collect()
    }
}

/// Takes off the folders that all share, as far as they may go.
fn strip_shared(folders: &mut [Vec<&str>], may: impl Fn(&str) -> bool) {
    let Some(first) = folders.first() else {
        return;
    };
    let is_shared = |at: usize, name: &str| {
        may(name) && folders.iter().all(|parts| parts.get(at) == Some(&name))
    };
    // Taken off at once: names of a hundred thousand folders cost a file next to nothing.
    let parts = first.iter().enumerate();
    let shared = parts.take_while(|(at, name)| is_shared(*at, name)).count();
    for parts in folders {
        parts.drain(..shared);
    }
}

fn classes(folders: &[Vec<&str>]) -> Option<Labels> {
    let depth = folders.first().map_or(0, Vec::len);
    let even = depth > 1 && folders.iter().all(|parts| parts.len() == depth);
    let names = folders.iter().map(|parts| {
        if even {
            Some(parts.join("/"))
        } else {
            parts.first().map(|&name| name.to_owned())
        }
    });
    number(names.collect(), None).filter(|labels| labels.classes.len() > 1)
}

/// Numbers the classes of items: in the order of their numbers where all are numbers, and of their bytes otherwise.
/// `order` gives each class a number of its own where the data does. `None` where no item has a class.
pub(in crate::modality) fn number(
    names: Vec<Option<String>>,
    order: Option<&BTreeMap<String, i64>>,
) -> Option<Labels> {
    let mut classes: Vec<String> = names
        .iter()
        .flatten()
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if let Some(order) = order {
        classes.sort_by_key(|class| order.get(class).copied().unwrap_or(i64::MAX));
    } else if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or(i64::MAX));
    }
    if classes.is_empty() {
        return None;
    }
    let numbers: BTreeMap<&str, u32> = classes
        .iter()
        .zip(0..)
        .map(|(class, i)| (class.as_str(), i))
        .collect();
    let of = names
        .iter()
        .map(|name| name.as_ref().map(|name| numbers[name.as_str()]))
        .collect();
    Some(Labels { of, classes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes_of(names: &[&str]) -> Vec<String> {
        Layout::of(names)
            .labels
            .map_or(Vec::new(), |labels| labels.classes)
    }

    #[test]
    fn classes_are_the_folders_at_the_top() {
        assert_eq!(classes_of(&["a/1.png", "b/2.png", "b/c/3.png"]), ["a", "b"]);
        assert_eq!(classes_of(&["x/y/a/1.png", "x/y/b/2.png"]), ["a", "b"]);
        assert!(classes_of(&["a/1.png", "a/2.png"]).is_empty());
        assert!(classes_of(&["1.png", "2.png"]).is_empty());
        assert_eq!(classes_of(&["9/1.png", "10/2.png"]), ["9", "10"]);
        assert_eq!(
            classes_of(&["o/Greek/c1/1.png", "o/Greek/c2/1.png", "o/Latin/c1/1.png"]),
            ["Greek/c1", "Greek/c2", "Latin/c1"]
        );
    }

    #[test]
    fn names_that_lie_deep_are_read_in_no_time() {
        let started = std::time::Instant::now();
        let deep = "a/".repeat(300_000);
        let names = [format!("{deep}b/1.png"), format!("{deep}c/2.png")];
        assert_eq!(classes_of(&[&names[0], &names[1]]), ["b", "c"]);
        // Folder by folder, each of which moves all others, it takes minutes.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn parts_share_their_classes() {
        let layout = Layout::of(&["d/test/dog/1.png", "d/train/cat/1.png", "d/train/dog/1.png"]);
        assert_eq!(
            layout.splits,
            [Some(Split::Test), Some(Split::Train), Some(Split::Train)]
        );
        let labels = layout.labels.unwrap();
        assert_eq!(labels.classes, ["cat", "dog"]);
        assert_eq!(labels.of, [Some(1), Some(0), Some(1)]);
        assert!(classes_of(&["train/1.png", "test/2.png"]).is_empty());
        assert!(classes_of(&["train/images/1.png", "test/images/2.png", "logo/1.png"]).is_empty());
    }

    #[test]
    fn a_class_may_be_called_train() {
        let layout = Layout::of(&["bus/1.png", "car/1.png", "train/1.png"]);
        assert!(layout.present().is_empty());
        assert_eq!(layout.labels.unwrap().classes, ["bus", "car", "train"]);
    }

    #[test]
    fn validation_serves_as_test_only_where_there_is_none() {
        let at = Path::new("x");
        let three = BTreeSet::from([Split::Train, Split::Validation, Split::Test]);
        let two = BTreeSet::from([Split::Train, Split::Validation]);
        let none = BTreeSet::new();
        assert_eq!(
            choose(&three, Some(Part::Test), at).unwrap().split,
            Some(Split::Test)
        );
        let choice = choose(&two, Some(Part::Test), at).unwrap();
        assert_eq!(
            (choice.split, choice.others),
            (Some(Split::Validation), vec![Part::Train])
        );
        assert_eq!(choose(&two, None, at).unwrap().others, [Part::Test]);
        assert!(choose(&none, Some(Part::Test), at).is_err());
        assert_eq!(choose(&none, Some(Part::Train), at).unwrap().split, None);
        assert!(choose(&BTreeSet::from([Split::Test]), Some(Part::Train), at).is_err());
    }
}
