//! What stands together, counted document by document.

use std::sync::Arc;

use crate::modality::{Symbols, Vocabulary};

/// The symbols of a document that stand for data, ascending, each with how often it stands there.
pub(super) type Bag = Vec<(u32, f32)>;

/// What symbols are made of; where nothing is known of that, each is made of itself.
pub(super) fn parts_of(vocabulary: &Vocabulary) -> Arc<Vec<Vec<u32>>> {
    match vocabulary.parts.is_empty() {
        false => Arc::clone(&vocabulary.parts),
        true => Arc::new((0..vocabulary.size as u32).map(|own| vec![own]).collect()),
    }
}

/// Pairs of so many symbols, each with itself included.
pub(super) fn pairs(size: usize) -> usize {
    size * (size + 1) / 2
}

/// Where among all pairs those of the symbol begin: that with symbol j, not before it, is j further.
fn row(symbol: usize, size: usize) -> usize {
    symbol * size - symbol * (symbol + 1) / 2
}

/// The documents in the rows of a batch that hold any data.
pub(super) fn bags(symbols: &Symbols, vocabulary: &Vocabulary) -> Vec<Bag> {
    let length = symbols.length.max(1);
    let rows = symbols.ids.chunks(length);
    let mut bags = Vec::new();
    for (ids, documents) in rows.zip(symbols.documents.chunks(length)) {
        let mut from = 0;
        for document in documents.chunk_by(|a, b| a == b) {
            let to = from + document.len();
            if document[0] > 0 {
                bags.push(bag(&ids[from..to], vocabulary));
            }
            from = to;
        }
    }
    bags.retain(|bag| !bag.is_empty());
    bags
}

fn bag(ids: &[u32], vocabulary: &Vocabulary) -> Bag {
    let data = ids.iter().copied().filter(|&id| vocabulary.is_data(id));
    let mut data: Vec<u32> = data.collect();
    data.sort_unstable();
    data.chunk_by(|a, b| a == b)
        .map(|same| (same[0], same.len() as f32))
        .collect()
}

/// Adds how often each symbol occurs.
pub(super) fn count_symbols(occurrences: &mut [f32], bags: &[Bag]) {
    for &(symbol, times) in bags.iter().flatten() {
        occurrences[symbol as usize] += times;
    }
}

/// Adds the documents to those that have each part, each once.
pub(super) fn count_parts(having: &mut [f32], bags: &[Bag], parts: &[Vec<u32>]) {
    let mut last = vec![usize::MAX; having.len()];
    for (number, bag) in bags.iter().enumerate() {
        let own = bag.iter().flat_map(|(symbol, _)| &parts[*symbol as usize]);
        for &part in own {
            if last[part as usize] != number {
                last[part as usize] = number;
                having[part as usize] += 1.0;
            }
        }
    }
}

/// Adds the company that symbols keep: x·xᵀ / |x| of each document.
pub(super) fn keep_company(company: &mut [f32], size: usize, bags: &[Bag]) {
    for bag in bags {
        let count: f32 = bag.iter().map(|(_, times)| times).sum();
        for (rank, &(symbol, times)) in bag.iter().enumerate() {
            let (row, share) = (row(symbol as usize, size), times / count);
            for &(other, times) in &bag[rank..] {
                company[row + other as usize] += share * times;
            }
        }
    }
}

/// The company of all symbols as a matrix, `[size, size]`.
pub(super) fn matrix(company: &[f32], size: usize) -> Vec<f32> {
    let mut matrix = vec![0f32; size * size];
    for symbol in 0..size {
        let own = row(symbol, size);
        for other in symbol..size {
            let value = company[own + other];
            matrix[symbol * size + other] = value;
            matrix[other * size + symbol] = value;
        }
    }
    matrix
}
