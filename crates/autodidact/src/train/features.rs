//! Embeddings of many items, with nothing learned on the way.

use std::sync::mpsc::sync_channel;

use autodidact_eval::Matrix;
use burn::tensor::Device;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::layers::state::host;
use crate::modality::{Encoder, Modality, Rows, Source};

/// Items per forward pass, at most.
const CHUNK: usize = 256;
/// Chunks among which views that differ in length are sorted.
const SORTED: usize = 16;
/// Items times length per forward pass, at most, where views differ in length: more would leave the caches.
const ROOM: usize = 4096;

/// What an item is described by.
pub enum Who<'a, E> {
    /// The pooled vector of a network, on a device.
    Network(&'a E, &'a Device),
    /// What a network makes of an item's end ([`Encoder::latest`]), on a device.
    Latest(&'a E, &'a Device),
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
    /// How many are longer than a network takes in, so that it saw a part of them only.
    pub shortened: usize,
}

/// One vector per readable item among `indices`, for each of `who`. Items are read and viewed while the network is busy
/// with those before them.
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
    let (mut unreadable, mut trouble, mut shortened) = (Vec::new(), None, 0);
    let wanted = Wanted {
        views: !who.iter().all(|who| matches!(who, Who::Raw)),
        raw: who.iter().any(|who| matches!(who, Who::Raw)),
    };
    let window = if M::RAGGED { SORTED * CHUNK } else { CHUNK };
    let mut take = |seen: Result<Seen<M>>| -> Result<()> {
        let mut seen = seen?;
        let embedded = embed(modality, &seen, who, &mut advance)?;
        for (own, values) in embedded.into_iter().zip(&mut values) {
            match own {
                Some(vectors) => values.extend(vectors),
                None => values.extend_from_slice(&seen.raw),
            }
        }
        read.append(&mut seen.read);
        unreadable.append(&mut seen.unreadable);
        trouble = seen.trouble.take().or(trouble.take());
        shortened += seen.shortened;
        Ok(())
    };
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(1);
        scope.spawn(move || {
            for chunk in indices.chunks(window) {
                // Nobody listens once something went wrong.
                if send.send(see(modality, source, chunk, wanted)).is_err() {
                    break;
                }
            }
        });
        receive.into_iter().try_for_each(&mut take)
    })?;
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
        shortened,
    })
}

/// What is asked of the items.
#[derive(Clone, Copy)]
struct Wanted {
    views: bool,
    raw: bool,
}

/// Some items, read and viewed.
struct Seen<M: Modality> {
    /// Those that could be read, in order.
    read: Vec<usize>,
    /// Their plain views, short ones first, and which of `read` each is of.
    views: Vec<M::View>,
    places: Vec<usize>,
    /// Their own numbers, one after the other.
    raw: Vec<f32>,
    unreadable: Vec<(usize, String)>,
    trouble: Option<Error>,
    shortened: usize,
}

/// Reads and views items.
fn see<M: Modality>(
    modality: &M,
    source: &dyn Source<M::Item>,
    indices: &[usize],
    wanted: Wanted,
) -> Result<Seen<M>> {
    let found: Vec<_> = indices
        .par_iter()
        .map(|&index| (index, source.get(index)))
        .collect();
    let mut items = Vec::with_capacity(indices.len());
    let (mut unreadable, mut trouble) = (Vec::new(), None);
    for (index, item) in found {
        match item {
            Ok(item) => items.push((index as u64, item)),
            Err(error) => {
                unreadable.push((index, error.to_string()));
                trouble = Some(error);
            }
        }
    }
    let plain = match wanted.views && !items.is_empty() {
        true => modality.plain(&items)?,
        false => Vec::new(),
    };
    let shortened = (items.iter().zip(&plain))
        .filter(|((_, item), view)| modality.shortened(item, view))
        .count();
    let mut views: Vec<(usize, M::View)> = plain.into_iter().enumerate().collect();
    views.sort_by_key(|(_, view)| M::extent(view));
    let (places, views) = views.into_iter().unzip();
    let raw: Vec<Vec<f32>> = match wanted.raw {
        true => items
            .par_iter()
            .map(|(_, item)| modality.raw(item))
            .collect(),
        false => Vec::new(),
    };
    Ok(Seen {
        read: items.iter().map(|(index, _)| *index as usize).collect(),
        views,
        places,
        raw: raw.concat(),
        unreadable,
        trouble,
        shortened,
    })
}

/// The vectors of some items, one after the other in their order, by each network among `who`.
fn embed<M: Modality>(
    modality: &M,
    seen: &Seen<M>,
    who: &[Who<'_, M::Encoder>],
    advance: &mut impl FnMut(usize),
) -> Result<Vec<Option<Vec<f32>>>> {
    let count = seen.read.len();
    let mut vectors: Vec<Option<Vec<f32>>> = who
        .iter()
        .map(|who| (!matches!(who, Who::Raw)).then(Vec::new))
        .collect();
    advance(seen.unreadable.len() + count - seen.views.len());
    let mut from = 0;
    while from < seen.views.len() {
        let to = from + batch::<M>(&seen.views[from..]);
        let places = &seen.places[from..to];
        let rows = Rows {
            ids: places
                .iter()
                .map(|&place| seen.read[place] as u64)
                .collect(),
            classes: None,
        };
        for (who, vectors) in who.iter().zip(&mut vectors) {
            let (Who::Network(encoder, device) | Who::Latest(encoder, device), Some(vectors)) =
                (who, vectors)
            else {
                continue;
            };
            let batch = modality.collate(&seen.views[from..to], &rows, device)?;
            let encoded = match who {
                Who::Latest(..) => encoder.latest(&batch),
                _ => encoder.encode(&batch),
            };
            let dim = encoded.dims()[1];
            vectors.resize(count * dim, 0.0);
            for (vector, &place) in host(encoded).chunks_exact(dim).zip(places) {
                vectors[place * dim..][..dim].copy_from_slice(vector);
            }
        }
        advance(to - from);
        from = to;
    }
    Ok(vectors)
}

/// How many of the views, which are sorted by length, go through a network together.
fn batch<M: Modality>(views: &[M::View]) -> usize {
    let fits = |(number, view): &(usize, &M::View)| (number + 1) * M::extent(view) <= ROOM;
    let room = views.iter().enumerate().take(CHUNK).take_while(fits);
    room.count().max(1)
}
