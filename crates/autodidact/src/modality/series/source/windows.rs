//! What of a recording is an item: all of it, or windows.

use super::collect::{Collect, Recording};
use crate::modality::series::reading::SeriesReading;

/// Steps of the longest recording without a class that is one item.
const LONGEST_WHOLE: usize = 4096;
/// Steps of a window of longer ones.
const WINDOW: usize = 256;
/// Steps of a window where classes change: 2.56 seconds at 50 Hz, as most work on movements has it.
const WINDOW_OF_CLASSES: usize = 128;
/// Steps of a recording.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) recording: usize,
    pub(super) from: usize,
    pub(super) steps: usize,
}

impl Item {
    pub(super) fn name(&self, recordings: &[Recording], windowed: bool) -> String {
        let name = &recordings[self.recording].name;
        if windowed {
            format!("{name}/{:06}", self.from)
        } else {
            name.clone()
        }
    }
}

/// How recordings become items.
pub(super) struct Cut {
    /// Steps of a window and from one to the next; `None` where recordings are items.
    pub(super) window: Option<(usize, usize)>,
    /// Why, for people.
    pub(super) why: String,
}

impl Cut {
    pub(super) fn of(collect: &Collect, reading: &SeriesReading) -> Self {
        let recordings = &collect.recordings;
        let longest = recordings.iter().map(|recording| recording.steps).max();
        let longest = longest.unwrap_or(0);
        let labeled = recordings.iter().any(|recording| {
            let mut marks = recording.marks.iter();
            marks.any(|mark| mark.class.is_some())
        });
        let changing = recordings.iter().any(|recording| {
            // A step without a class among others is no change.
            let mut classes = recording.marks.iter().filter_map(|mark| mark.class);
            let first = classes.next();
            classes.any(|class| Some(class) != first)
        });
        let half = |window: usize| (window / 2).max(1);
        let (window, stride, why) = match reading.window {
            0 if changing => {
                let why = ", as classes change within recordings";
                (WINDOW_OF_CLASSES, half(WINDOW_OF_CLASSES), why.to_owned())
            }
            0 if longest > LONGEST_WHOLE && !labeled => {
                let why = format!(", as the longest recording has {longest}");
                (WINDOW, half(WINDOW), why)
            }
            0 => {
                return Self {
                    window: None,
                    why: String::new(),
                };
            }
            window if reading.stride == 0 => (window, half(window), String::new()),
            window => (window, reading.stride, String::new()),
        };
        let shorter = recordings
            .iter()
            .filter(|recording| recording.steps < window)
            .count();
        let shorter = match shorter {
            0 => String::new(),
            n => format!("; {n} recordings are shorter and taken whole"),
        };
        Self {
            window: Some((window, stride)),
            why: format!("; windows of {window} steps every {stride}{why}{shorter}"),
        }
    }

    /// The items of some steps of a recording.
    pub(super) fn items(
        &self,
        recording: usize,
        within: std::ops::Range<usize>,
        items: &mut Vec<Item>,
    ) {
        let (window, stride) = match self.window {
            Some((window, stride)) if window < within.len() => (window, stride),
            _ => {
                items.extend((!within.is_empty()).then_some(Item {
                    recording,
                    from: within.start,
                    steps: within.len(),
                }));
                return;
            }
        };
        let mut from = within.start;
        while from + window <= within.end {
            items.push(Item {
                recording,
                from,
                steps: window,
            });
            from += stride;
        }
    }
}
