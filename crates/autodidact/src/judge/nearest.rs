//! The items most like another.

use autodidact_eval::{EvalError, knn};
use serde::Serialize;

use super::embedding::Embedded;
use crate::error::{Error, Result};

/// What was found for one query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The query's name.
    pub query: String,
    /// The nearest items, nearest first.
    pub hits: Vec<Hit>,
}

/// An item near a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// The item's name.
    pub name: String,
    /// Its class, where it is known.
    pub label: Option<String>,
    /// Cosine of the two vectors, −1 to 1.
    pub similarity: f32,
}

/// The `k` items of `bank` nearest to each of `queries`, by cosine, exactly.
///
/// # Errors
/// When the two were embedded by different networks.
pub fn nearest(bank: &Embedded, queries: &Embedded, k: usize) -> Result<Vec<Found>> {
    let unfit = |error: EvalError| Error::data("vectors that can't be compared").because(error);
    let missing = || Error::data("no vectors").expected("at least one");
    let (items, asked) = (
        bank.features.first().ok_or_else(missing)?,
        queries.features.first().ok_or_else(missing)?,
    );
    let rows = knn::neighbors(items, asked, k.max(1)).map_err(unfit)?;
    let hit = |(row, similarity): (usize, f32)| Hit {
        name: bank.names[row].clone(),
        label: bank.classes[row].and_then(|class| bank.class_names.get(class as usize).cloned()),
        similarity,
    };
    let found = rows
        .into_iter()
        .zip(&queries.names)
        .map(|(hits, query)| Found {
            query: query.clone(),
            hits: hits.into_iter().map(hit).collect(),
        });
    Ok(found.collect())
}
