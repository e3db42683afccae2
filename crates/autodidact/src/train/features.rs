//! Embeddings of many items, with nothing learned on the way.

use autodidact_eval::Matrix;
use burn::tensor::Device;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::layers::state::host;
use crate::modality::{Encoder, Modality, Rows, Source};

/// Items per forward pass.
const CHUNK: usize = 256;

/// What an item is described by.
pub enum Who<'a, E> {
    /// The pooled vector of a network, on a device.
    Network(&'a E, &'a Device),
    /// The item's own numbers.
    Raw,
}

/// What was made of some items.
pub struct Features {
    /// The items that could be read, row by row.
    pub read: Vec<usize>,
    /// `[items, dimensions]`, one for each who was asked.
    pub matrices: Vec<Matrix>,
    /// The items that couldn't, and what was wrong with them.
    pub unreadable: Vec<(usize, String)>,
}

/// One vector per readable item among `indices`, for each of `who`.
///
/// # Errors
/// When none can be read, or the views can't be made.
pub fn features<M: Modality>(
    modality: &M,
    source: &dyn Source<M::Item>,
    indices: &[usize],
    who: &[Who<'_, M::Encoder>],
    mut advance: impl FnMut(usize),
) -> Result<Features> {
    let mut read = Vec::with_capacity(indices.len());
    let mut values: Vec<Vec<f32>> = who.iter().map(|_| Vec::new()).collect();
    let (mut unreadable, mut trouble) = (Vec::new(), None);
    for chunk in indices.chunks(CHUNK) {
        let found: Vec<_> = chunk
            .par_iter()
            .map(|&index| (index, source.get(index)))
            .collect();
        let mut items = Vec::with_capacity(chunk.len());
        for (index, item) in found {
            match item {
                Ok(item) => items.push((index as u64, item)),
                Err(error) => {
                    unreadable.push((index, error.to_string()));
                    trouble = Some(error);
                }
            }
        }
        advance(chunk.len());
        if items.is_empty() {
            continue;
        }
        read.extend(items.iter().map(|(index, _)| *index as usize));
        let views = if who.iter().any(|who| matches!(who, Who::Network(..))) {
            modality.plain(&items)?
        } else {
            Vec::new()
        };
        let rows = Rows {
            ids: items.iter().map(|(id, _)| *id).collect(),
            classes: None,
        };
        for (who, values) in who.iter().zip(&mut values) {
            match who {
                Who::Network(encoder, device) => {
                    let batch = modality.collate(&views, &rows, device)?;
                    values.extend(host(encoder.encode(&batch)));
                }
                Who::Raw => {
                    let raw: Vec<_> = items
                        .par_iter()
                        .map(|(_, item)| modality.raw(item))
                        .collect();
                    values.extend(raw.into_iter().flatten());
                }
            }
        }
    }
    if read.is_empty() {
        return Err(trouble.unwrap_or_else(|| Error::data("no items").expected("at least one")));
    }
    let count = read.len();
    let matrices = values
        .into_iter()
        .map(|values| {
            let columns = values.len() / count;
            Matrix::from_vec(count, columns, values)
                .map_err(|error| Error::data("features that don't fit").because(error))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Features {
        read,
        matrices,
        unreadable,
    })
}
