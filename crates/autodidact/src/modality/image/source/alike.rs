//! Images of one sort: all that people see, or all with as many channels as the first.

use crate::error::{Error, Result};
use crate::modality::image::Image;
use crate::modality::source::{Labels, Part, Source};

/// Images looked at for one that can be read.
const LOOKED_AT: usize = 16;

/// A source whose images of another sort than the first that can be read count as unreadable.
pub(super) struct Alike<S> {
    source: S,
    /// The first one's channels; 3 for grey and color, which become each other.
    channels: Option<usize>,
}

impl<S: Source<Image>> Alike<S> {
    pub(super) fn new(source: S) -> Self {
        let first = (0..source.len().min(LOOKED_AT)).find_map(|index| source.get(index).ok());
        Self {
            channels: first.map(|image| sort(image.channels())),
            source,
        }
    }
}

fn sort(channels: usize) -> usize {
    if channels == 1 { 3 } else { channels }
}

impl<S: Source<Image>> Source<Image> for Alike<S> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn get(&self, index: usize) -> Result<Image> {
        let image = self.source.get(index)?;
        match self.channels {
            Some(channels) if channels != sort(image.channels()) => {
                let found = format!("holds {} channels", image.channels());
                Err(Error::data(found)
                    .at(self.source.name(index))
                    .expected(match channels {
                        3 => "grey or color, as the first image".to_owned(),
                        channels => format!("{channels}, as the first image"),
                    }))
            }
            _ => Ok(image),
        }
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
