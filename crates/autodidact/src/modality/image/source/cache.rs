//! Decoded images kept in memory, as far as memory is allowed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::modality::image::Image;
use crate::modality::source::{Labels, Part, Source};

/// Bytes that a kept image costs besides its pixels: the slot and the counts of the shared pointer.
const OVERHEAD: u64 = 64;

/// A source that decodes an image once and keeps it, until `limit` bytes are in use.
///
/// Images are kept in the order in which they are first asked for and never dropped: an epoch asks for each once, so
/// that replacing one by another would gain nothing. Whatever is kept, the images are the same.
pub struct Cached<S> {
    source: S,
    slots: Vec<OnceLock<Image>>,
    used: AtomicU64,
    limit: u64,
}

impl<S: Source<Image>> Cached<S> {
    /// Wraps `source`; at most `limit` bytes are kept.
    pub fn new(source: S, limit: u64) -> Self {
        let slots = (0..source.len()).map(|_| OnceLock::new()).collect();
        Self {
            source,
            slots,
            used: AtomicU64::new(0),
            limit,
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn keep(&self, index: usize, image: &Image) {
        let bytes = image.values().bytes() as u64 + OVERHEAD;
        let reserve = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        if self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve)
            .is_ok()
            && self.slots[index].set(image.clone()).is_err()
        {
            // Another thread was first with the same image.
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl<S: Source<Image>> Source<Image> for Cached<S> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn get(&self, index: usize) -> Result<Image> {
        if let Some(image) = self.slots.get(index).and_then(OnceLock::get) {
            return Ok(image.clone());
        }
        let image = self.source.get(index)?;
        self.keep(index, &image);
        Ok(image)
    }

    fn labels(&self) -> Option<&Labels> {
        self.source.labels()
    }

    fn other_parts(&self) -> &[Part] {
        self.source.other_parts()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::sync::atomic::AtomicUsize;

    struct Counting(AtomicUsize);

    impl Source<Image> for Counting {
        fn len(&self) -> usize {
            100
        }
        fn name(&self, index: usize) -> String {
            index.to_string()
        }
        fn get(&self, index: usize) -> Result<Image> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Image::new(6, 6, 1, vec![index as u8; 36])
        }
        fn labels(&self) -> Option<&Labels> {
            None
        }
        fn other_parts(&self) -> &[Part] {
            &[]
        }
        fn describe(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn keeps_up_to_the_limit_and_decodes_the_rest_again() {
        for (limit, kept) in [(0, 0), (1_000, 10), (1_000_000, 100)] {
            let cached = Cached::new(Counting(AtomicUsize::new(0)), limit);
            for _ in 0..2 {
                for index in 0..100 {
                    assert_eq!(cached.get(index).unwrap().pixels()[0], index as u8);
                }
            }
            assert_eq!(cached.source.0.load(Ordering::Relaxed), 200 - kept);
            assert_eq!(cached.used(), kept as u64 * 100);
        }
    }

    #[test]
    fn threads_that_race_for_one_image_count_it_once() {
        let cached = Cached::new(Counting(AtomicUsize::new(0)), 2_000);
        (0..2_000usize).into_par_iter().for_each(|i| {
            assert_eq!(cached.get(i % 4).unwrap().pixels()[0], (i % 4) as u8);
        });
        assert_eq!(cached.used(), 400);
    }
}
