//! A page to look at: what a run learned, how it went, what its network takes for alike.
//!
//! It stands here and not beside the run's files, because it looks at data through a frozen network, as the judge does.
//! The kind of data draws the pictures ([`Modality::picture`], [`Modality::pictures`]), the method says what it restored
//! ([`Method::restored`]), and nothing here knows which they are: where neither shows anything, the page does without.
//!
//! [`Modality::picture`]: crate::modality::Modality::picture
//! [`Modality::pictures`]: crate::modality::Modality::pictures
//! [`Method::restored`]: crate::method::Method::restored

mod curves;
mod facts;
mod map;
mod observer;
mod page;
mod recorded;
mod relations;

use std::path::Path;

use rand::seq::SliceRandom;

use crate::error::{AtPath, Error, Result};
use crate::modality::SourceSpec;
use crate::random::{Purpose, stream};
use crate::run::{Checkpoint, RunFolder};
use curves::{History, count, short};
use facts::Evaluation;
use observer::{Look, Observer, Seen, Weights};
use page::{Group, Page, Picture, Restoring, Section, Stage, Tile};
use relations::{NEIGHBORS, Relations};

/// Longer edge of a picture on the page, in pixels, at most.
const EDGE: usize = 112;
/// Letters of an item on the page, at most.
const LETTERS: usize = 240;
/// Symbols of a sample.
const SAMPLED: usize = 200;
/// Items whose neighbors are shown.
const ASKED: usize = 8;
/// Neighbors of each that are shown.
const SHOWN: usize = 7;
/// Items whose views are shown, and views of each, at most.
const VIEWED: (usize, usize) = (6, 8);
/// Items that are shown restored.
const RESTORED: usize = 8;
/// Pairs of near-duplicates that are shown.
const PAIRS: usize = 12;
/// Outliers that are shown.
const OUTLIERS: usize = 16;

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One HTML file: nothing in it is loaded from anywhere else.
    pub html: String,
    /// The warnings at its head.
    pub warnings: Vec<String>,
}

/// Draws the page of a run that is finished or was interrupted. Up to `items` items of `data` are embedded, evenly over
/// it; `advance` hears what is being done and how far. What can't be shown, because the data has gone or nothing was
/// judged, is said on the page instead.
///
/// # Errors
/// When the folder holds no recipe that can be read.
pub fn report(
    folder: &RunFolder,
    data: &SourceSpec,
    items: usize,
    advance: &mut dyn FnMut(&str, usize, usize),
) -> Result<Report> {
    let recipe = folder.recipe()?;
    let log = text(&folder.file("train.log"))?;
    let history = History::read(&text(&folder.file("metrics.jsonl"))?);
    let (checkpoint, trouble) = match Checkpoint::read(&folder.last()) {
        Ok(checkpoint) => (Some(checkpoint), None),
        Err(error) => (None, Some(error)),
    };
    let position = checkpoint.as_ref().map(|checkpoint| &checkpoint.position);
    let mut page = Page {
        title: name_of(folder.path()),
        facts: facts::facts(&recipe, &log, position, &history),
        warnings: facts::warnings(&log, position, &history),
        charts: history.charts(),
        recipe: text(&folder.file("recipe.toml"))?,
        ..Page::default()
    };
    match evaluation(folder) {
        Ok(evaluation) => page.scores = evaluation.and_then(|found| found.scores()),
        Err(error) => page.warnings.push(error.to_string()),
    }
    match recorded::recorded(folder) {
        Ok(recorded) => page.recorded = recorded,
        Err(error) => page.warnings.push(error.to_string()),
    }
    let weights = match (&checkpoint, trouble) {
        (Some(checkpoint), _) => Ok(Weights::Model(checkpoint.under("model"))),
        (None, trouble) => folder
            .encoder()
            .map(Weights::Encoder)
            .map_err(|error| trouble.unwrap_or(error)),
    };
    let looked = weights.and_then(|weights| {
        let observer = observer::observer(&recipe, &weights, data)?;
        look(&mut page, observer.as_ref(), items, recipe.seed(), advance)
    });
    if let Err(error) = looked {
        page.warnings.push(format!(
            "There is nothing of the data to see: {error}. If it has moved, name it with --data."
        ));
    }
    Ok(Report {
        warnings: page.warnings.clone(),
        html: page.render()?,
    })
}

/// Looks at the data through the network and fills in what there is to see.
fn look(
    page: &mut Page,
    observer: &dyn Observer,
    limit: usize,
    seed: u64,
    advance: &mut dyn FnMut(&str, usize, usize),
) -> Result<()> {
    let seen = observer.look(limit, &mut |done, all| advance("embedding", done, all))?;
    if let Some((name, why)) = seen.unreadable.first() {
        page.warnings.push(format!(
            "{} items could not be read, such as {name}: {why}",
            seen.unreadable.len()
        ));
    }
    let (looked, all) = (seen.items.len(), observer.len());
    let share = if looked == all {
        format!("All {} items", count(all))
    } else {
        format!("{} of {} items", count(looked), count(all))
    };
    let evenly = if looked == all {
        ""
    } else {
        ", evenly over the data"
    };
    page.looked_at = format!("{share} were looked at{evenly}: {}.", observer.describe());
    let rows = seen.items.len();
    let gallery = Gallery { observer, seen };
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut stream(seed, Purpose::Evaluation, &[0x7265_706f_7274]));
    if rows > 1 {
        advance("comparing", 0, 4);
        let relations = Relations::of(&gallery.seen.features)?;
        page.neighbors = gallery.neighbors(&relations, &order)?;
        page.duplicates = gallery.duplicates(&relations)?;
        page.outliers = gallery.outliers(&relations)?;
    }
    advance("drawing the map", 1, 4);
    page.map = Some(map::map(observer, &gallery.seen, &order, seed)?);
    advance("drawing views", 2, 4);
    page.views = gallery.views(&order)?;
    advance("restoring", 3, 4);
    page.restored = gallery.restored(&order)?;
    page.samples = gallery.observer.samples(SAMPLED);
    advance("restoring", 4, 4);
    Ok(())
}

/// What was seen, and the eyes to see more of it.
struct Gallery<'a> {
    observer: &'a dyn Observer,
    seen: Seen,
}

impl Gallery<'_> {
    /// A tile for each row, with a note on it.
    fn tiles(&self, rows: &[(usize, String)]) -> Result<Vec<Tile>> {
        let items: Vec<usize> = rows.iter().map(|&(row, _)| self.seen.items[row]).collect();
        let pictures = self.observer.pictures(&items, EDGE);
        let looks = pictures
            .into_iter()
            .zip(self.observer.words(&items, LETTERS));
        let tile = |((row, note), (picture, words)): (
            &(usize, String),
            (Option<crate::modality::Picture>, _),
        )| {
            let class = self.class(*row);
            Ok(Tile {
                picture: picture.as_ref().map(Picture::of).transpose()?,
                words,
                name: self.observer.name(self.seen.items[*row]),
                class: class.map(str::to_owned),
                note: note.clone(),
                ..Tile::default()
            })
        };
        rows.iter().zip(looks).map(tile).collect()
    }

    fn class(&self, row: usize) -> Option<&str> {
        let class = self.seen.classes[row]?;
        let names = self.observer.class_names();
        names.get(class as usize).map(String::as_str)
    }

    fn neighbors(&self, relations: &Relations, order: &[usize]) -> Result<Option<Section>> {
        let group = |&row: &usize| {
            let near = &relations.nearest[row];
            let mut rows = vec![(row, String::new())];
            rows.extend(
                near.iter()
                    .take(SHOWN)
                    .map(|&(other, cosine)| (other, similarity(cosine))),
            );
            let mut tiles = self.tiles(&rows)?;
            mark_other_classes(&mut tiles);
            Ok(Group { tiles })
        };
        let groups = order
            .iter()
            .take(ASKED)
            .map(group)
            .collect::<Result<Vec<_>>>()?;
        let agreement = relations.agreement(&self.seen.classes).map(|share| {
            format!(
                " Of the {NEIGHBORS} nearest neighbors of all items, {:.1} % share their item's class; the network never \
                 saw a label unless its method learns from them.",
                100.0 * share
            )
        });
        Ok(Some(Section {
            about: format!(
                "Items drawn at random, each with the items nearest to it and the cosine of their embeddings.{}",
                agreement.unwrap_or_default()
            ),
            groups,
        }))
    }

    fn duplicates(&self, relations: &Relations) -> Result<Option<Section>> {
        let found = relations.near_duplicates();
        let rule = if found.told {
            format!(
                "at least twenty times nearer to each other than an item and its nearest neighbor usually are (a cosine of {} \
             or more)",
                similarity(found.threshold)
            )
        } else {
            "so near to each other that rounding hides the difference; the others are nearly as near, so this says little"
                .to_owned()
        };
        let about = match found.pairs.len() {
            0 => format!("None: no two items are {rule}."),
            1 => format!("One pair of items is {rule}. Look before you delete."),
            pairs if pairs <= PAIRS => {
                format!("{pairs} pairs of items are {rule}. Look before you delete.")
            }
            pairs => format!(
                "{} pairs of items are {rule}; the nearest {PAIRS} are shown. Look before you delete.",
                count(pairs)
            ),
        };
        let group = |&(a, b, cosine): &(usize, usize, f32)| {
            let mut tiles = self.tiles(&[(a, String::new()), (b, similarity(cosine))])?;
            mark_other_classes(&mut tiles);
            Ok(Group { tiles })
        };
        let groups = found
            .pairs
            .iter()
            .take(PAIRS)
            .map(group)
            .collect::<Result<_>>()?;
        Ok(Some(Section { about, groups }))
    }

    fn outliers(&self, relations: &Relations) -> Result<Option<Section>> {
        let rows: Vec<_> = relations
            .outliers(OUTLIERS)
            .into_iter()
            .map(|(row, times)| (row, format!("{} ×", short(f64::from(times)))))
            .collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let tiles = self.tiles(&rows)?;
        Ok(Some(Section {
            about: format!(
                "The items farthest from their {NEIGHBORS} nearest neighbors, and how many times farther than usual: what \
                 is rare, damaged or doesn't belong."
            ),
            groups: vec![Group { tiles }],
        }))
    }

    fn views(&self, order: &[usize]) -> Result<Option<Section>> {
        let rows: Vec<_> = order
            .iter()
            .take(VIEWED.0)
            .map(|&row| (row, String::new()))
            .collect();
        let items: Vec<usize> = rows.iter().map(|&(row, _)| self.seen.items[row]).collect();
        let views = self.observer.views(&items)?;
        if views.len() != rows.len() {
            return Ok(None);
        }
        let group = |(tile, views): (Tile, Vec<Look>)| {
            let mut tiles = vec![tile];
            for (slot, view) in views.into_iter().take(VIEWED.1).enumerate() {
                let (picture, words) = shown(view)?;
                tiles.push(Tile {
                    picture,
                    words,
                    name: format!("view {}", slot + 1),
                    ..Tile::default()
                });
            }
            Ok(Group { tiles })
        };
        let tiles = self.tiles(&rows)?.into_iter();
        Ok(Some(Section {
            about: "Items drawn at random, and their views in the first pass over the data, as the network saw them."
                .to_owned(),
            groups: tiles.zip(views).map(group).collect::<Result<_>>()?,
        }))
    }

    fn restored(&self, order: &[usize]) -> Result<Vec<Restoring>> {
        let rows = order.iter().take(RESTORED);
        let items: Vec<usize> = rows.map(|&row| self.seen.items[row]).collect();
        let restored = self.observer.restored(&items)?;
        let one = |(item, found): (&usize, observer::Restoration)| {
            let name = self.observer.name(*item);
            let stage = |caption, alt: String, look: Look| {
                let (picture, words) = shown(look)?;
                Ok(Stage {
                    caption,
                    alt,
                    picture,
                    words,
                })
            };
            let mut stages = vec![
                stage("as it is", name.clone(), found.whole)?,
                stage("given", format!("{name}, mostly hidden"), found.given)?,
            ];
            if let Some(before) = found.before {
                stages.push(stage("restored before training", name.clone(), before)?);
            }
            stages.push(stage(
                "restored",
                format!("{name}, restored"),
                found.restored,
            )?);
            Ok(Restoring { name, stages })
        };
        items.iter().zip(restored).map(one).collect()
    }
}

/// A look as the page holds it.
fn shown(look: Look) -> Result<(Option<Picture>, Option<String>)> {
    Ok(match look {
        Look::Picture(picture) => (Some(Picture::of(&picture)?), None),
        Look::Words(words) => (None, Some(words)),
    })
}

/// Says of which tiles the class is another than that of the first.
fn mark_other_classes(tiles: &mut [Tile]) {
    if let Some((first, others)) = tiles.split_first_mut() {
        for tile in others {
            tile.differs =
                first.class.is_some() && tile.class.is_some() && tile.class != first.class;
        }
    }
}

/// A cosine with as many digits as tell it from 1, three to six.
fn similarity(cosine: f32) -> String {
    let digits = (1.0 - (1.0 - f64::from(cosine)).max(1e-6).log10()).ceil() as usize;
    format!("{cosine:.*}", digits.clamp(3, 6))
}

/// A file's text; empty where there is no such file, since an interrupted run may not have come to writing it.
fn text(path: &Path) -> Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).at_path(path),
    }
}

fn evaluation(folder: &RunFolder) -> Result<Option<Evaluation>> {
    let path = folder.file("evaluation.json");
    let text = text(&path)?;
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Error::run("findings that can't be read")
            .at(&path)
            .because(error)
    })
}

/// The last part of the folder's path that is a name.
fn name_of(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let name = absolute.file_name().unwrap_or(absolute.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarities_have_the_digits_that_tell_them_apart() {
        for (cosine, text) in [
            (-0.5, "-0.500"),
            (0.9, "0.900"),
            (0.998_765, "0.9988"),
            (0.999_987, "0.999987"),
            (1.0, "1.000000"),
        ] {
            assert_eq!(similarity(cosine), text);
        }
    }
}
