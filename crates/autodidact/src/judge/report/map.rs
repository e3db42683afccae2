//! The map of the embeddings: what is near on it is near to the network.

use autodidact_eval::EvalError;
use autodidact_eval::projection::{TsneSettings, principal_components, tsne};
use serde::Serialize;

use super::curves::count;
use super::observer::{Observer, Seen};
use super::page::Picture;
use crate::error::{Error, Result};
use crate::modality;

/// Items on the map, at most.
const ITEMS: usize = 2000;
/// Dimensions that the map is made from: the rest is mostly noise, and slow.
const DIMENSIONS: usize = 50;
/// Edge of the pictures that stand behind the points, in pixels, at most.
const EDGE: usize = 48;
/// Pictures in a row of their sheet.
const COLUMNS: usize = 45;
/// Letters of an item's name, at most: the end says more than the beginning.
const LETTERS: usize = 80;

/// Points in the unit square, and what stands behind them.
#[derive(Debug, Serialize)]
pub(super) struct Map {
    /// How many items, for people.
    pub(super) count: String,
    /// What the script draws.
    pub(super) plane: Plane,
    /// Small pictures of the items in the order of the points; `None` where there are none.
    pub(super) sheet: Option<Picture>,
}

/// The points by themselves.
#[derive(Debug, Serialize)]
pub(super) struct Plane {
    /// Two coordinates from 0 to 1 and the class, −1 where it isn't known.
    pub(super) points: Vec<(f64, f64, i64)>,
    /// The items' names.
    pub(super) names: Vec<String>,
    /// Names of the classes.
    pub(super) classes: Vec<String>,
    /// Pictures in a row of the sheet.
    pub(super) columns: usize,
    /// Edge of one of them in pixels; 0 where there are none.
    pub(super) edge: usize,
}

/// Draws the map of what was seen: of the first rows of a random `order` where there are more than fit.
///
/// # Errors
/// When the embeddings are too large to be compared.
pub(super) fn map(observer: &dyn Observer, seen: &Seen, order: &[usize], seed: u64) -> Result<Map> {
    let unfit =
        |error: EvalError| Error::data("embeddings that no map can be drawn of").because(error);
    let mut rows: Vec<usize> = order.iter().copied().take(ITEMS).collect();
    rows.sort_unstable();
    let embeddings = seen
        .features
        .select(&rows)
        .map_err(unfit)?
        .normalized_rows();
    let components = principal_components(&embeddings, DIMENSIONS, seed).map_err(unfit)?;
    let settings = TsneSettings {
        seed,
        ..TsneSettings::default()
    };
    let places = into_unit_square(tsne(&components, &settings).map_err(unfit)?);
    let items: Vec<usize> = rows.iter().map(|&row| seen.items[row]).collect();
    let sheet = modality::Picture::sheet(&observer.pictures(&items, EDGE), COLUMNS);
    let edge = sheet.as_ref().map_or(0, |(_, edge)| *edge);
    let plane = Plane {
        points: places
            .iter()
            .zip(&rows)
            .map(|([x, y], &row)| (*x, *y, seen.classes[row].map_or(-1, i64::from)))
            .collect(),
        names: items
            .iter()
            .map(|&item| ending(&observer.name(item)))
            .collect(),
        classes: observer.class_names().to_vec(),
        columns: COLUMNS.min(rows.len()),
        edge,
    };
    let sheet = sheet.map(|(sheet, _)| Picture::of(&sheet)).transpose()?;
    let count = count(rows.len());
    Ok(Map {
        count,
        plane,
        sheet,
    })
}

/// The points moved and scaled, alike in both directions, into the unit square.
fn into_unit_square(points: Vec<[f32; 2]>) -> Vec<[f64; 2]> {
    let ends = |axis: usize| {
        let values = points.iter().map(|point| f64::from(point[axis]));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let ((left, right), (top, bottom)) = (ends(0), ends(1));
    let extent = (right - left).max(bottom - top).max(f64::MIN_POSITIVE);
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let middle = [(left + right) / 2.0, (top + bottom) / 2.0];
    let place = |point: [f32; 2]| {
        [0, 1].map(|axis| round((f64::from(point[axis]) - middle[axis]) / extent + 0.5))
    };
    points.into_iter().map(place).collect()
}

fn ending(name: &str) -> String {
    match name.char_indices().rev().nth(LETTERS - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &name[at..]),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_fill_the_square_without_being_stretched() {
        let placed = into_unit_square(vec![[-2.0, 0.0], [2.0, 2.0], [0.0, 1.0]]);
        assert_eq!(placed, [[0.0, 0.25], [1.0, 0.75], [0.5, 0.5]]);
        assert_eq!(into_unit_square(vec![[3.0, 3.0]; 2]), [[0.5, 0.5]; 2]);
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(ending("a/b.png"), "a/b.png");
        let long = "ä".repeat(100);
        assert_eq!(ending(&long), format!("…{}", "ä".repeat(80)));
    }
}
