//! Vectors of symbols, solved for from counts. Tables lie column by column, `[dimensions, symbols]`.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::Ppmi;
use super::counts::{matrix, parts_of};
use crate::error::Result;
use crate::layers::closed_form::{SymmetricMap, leading_axes, symmetric_product};
use crate::modality::Vocabulary;
use crate::random::Rng;

/// A symbol that is this part of all symbols weighs half as much as a rare one (Arora et al. 2017).
const COMMON: f64 = 1e-3;

/// What was counted.
pub(super) struct Counts<'a> {
    /// Documents.
    pub(super) documents: f64,
    /// How often each symbol occurs, `[symbols]`.
    pub(super) occurrences: &'a [f32],
    /// How many documents have each part of a symbol, `[parts]`.
    pub(super) having: &'a [f32],
    /// The company of pairs i ≤ j, row by row.
    pub(super) company: &'a [f32],
}

/// Vectors of `dim` numbers for all symbols, row by row: zeros for what stands for no data, and where there are fewer axes than
/// dimensions. Products of whole matrices are the device's.
///
/// # Errors
/// When the counts aren't finite.
pub(super) fn vectors(
    counts: &Counts<'_>,
    vocabulary: &Vocabulary,
    dim: usize,
    settings: &Ppmi,
    device: &Device,
    rng: &mut Rng,
) -> Result<Vec<f32>> {
    let size = vocabulary.size;
    let by_parts = ((settings.share * dim as f64).round() as usize).min(dim);
    let company = square(matrix(counts.company, size), size, device);
    let spelled = spelled(counts, &company, vocabulary, by_parts, settings, rng)?;
    let associated = associated(counts, &company, dim - by_parts, settings, rng)?;
    let mut rows = vec![0f32; size * dim];
    let tables = [(spelled, 0), (associated, by_parts)];
    for (table, from) in tables {
        for (number, column) in table.chunks(size).enumerate() {
            for (row, value) in rows.chunks_mut(dim).zip(column) {
                row[from + number] = *value;
            }
        }
    }
    Ok(rows)
}

fn square(values: Vec<f32>, size: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [size, size]), device)
}

/// The table of what symbols are made of: W·P, with P the leading axes of Wᵀ·company·W.
///
/// Symbols are mostly fewer than parts, so it is solved for among them. With K = W·Wᵀ and U the leading axes of company·K, of
/// length 1 by uᵀ·K·u, P is Wᵀ·U: of length 1, and Wᵀ·company·W stretches it as far as company·K does U. So W·P = K·U.
fn spelled(
    counts: &Counts<'_>,
    company: &Tensor<2>,
    vocabulary: &Vocabulary,
    dim: usize,
    settings: &Ppmi,
    rng: &mut Rng,
) -> Result<Vec<f32>> {
    if dim == 0 {
        return Ok(Vec::new());
    }
    let spelling = Spelling::new(counts, vocabulary, settings.rarity);
    let product = |columns: &[f32]| symmetric_product(company, columns);
    let in_common = |columns: &[f32]| spelling.in_common(columns);
    let map = SymmetricMap {
        size: vocabulary.size,
        map: &product,
        inner: Some(&in_common),
    };
    let axes = leading_axes(&map, dim, settings.rounds, rng)?;
    let table = spelling.in_common(&axes.vectors);
    // What an axis is stretched by is what documents' vectors have along it.
    let squares = axes.stretches.iter().sum();
    Ok(scaled(table, squares, counts.documents))
}

/// The table of company alone: the leading axes of positive pointwise mutual information, each by the root of how far it
/// stretches, and common symbols less.
fn associated(
    counts: &Counts<'_>,
    company: &Tensor<2>,
    dim: usize,
    settings: &Ppmi,
    rng: &mut Rng,
) -> Result<Vec<f32>> {
    if dim == 0 {
        return Ok(Vec::new());
    }
    let size = counts.occurrences.len();
    let (information, met) = information(matrix(counts.company, size), size, settings.context);
    let information = square(information, size, &company.device());
    let product = |columns: &[f32]| symmetric_product(&information, columns);
    let map = SymmetricMap {
        size,
        map: &product,
        inner: None,
    };
    let axes = leading_axes(&map, dim, settings.rounds, rng)?;
    drop(information);
    let all: f64 = counts
        .occurrences
        .iter()
        .map(|&count| f64::from(count))
        .sum();
    let weights: Vec<f64> = (counts.occurrences.iter().zip(&met))
        .map(|(&count, &met)| match met {
            true => COMMON / (COMMON + f64::from(count) / all),
            // Nothing is known of it; what its row holds is rounding.
            false => 0.0,
        })
        .collect();
    let mut table = axes.vectors;
    for (column, stretch) in table.chunks_mut(size).zip(&axes.stretches) {
        for (value, weight) in column.iter_mut().zip(&weights) {
            *value *= (stretch.sqrt() * weight) as f32;
        }
    }
    let met_with = symmetric_product(company, &table);
    let products = table.iter().zip(&met_with);
    let squares = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    Ok(scaled(table, squares, counts.documents))
}

/// A table scaled so that the vectors of documents, each the sum of its symbols' by the root of their number, have a mean square
/// of 1, where their squares come to so much.
fn scaled(mut table: Vec<f32>, squares: f64, documents: f64) -> Vec<f32> {
    if squares > 0.0 {
        let scale = (documents / squares).sqrt() as f32;
        table.iter_mut().for_each(|value| *value *= scale);
    }
    table
}

/// Positive pointwise mutual information of symbols, `[size, size]`, made symmetric, and which of them are met with any other.
/// The matrix of their company becomes it.
fn information(mut company: Vec<f32>, size: usize, context: f64) -> (Vec<f32>, Vec<bool>) {
    let sums: Vec<f64> = company
        .par_chunks(size)
        .enumerate()
        .map(|(symbol, row)| {
            let others = row.iter().enumerate().filter(|(other, _)| *other != symbol);
            others.map(|(_, &value)| f64::from(value)).sum::<f64>()
        })
        .collect();
    let met: Vec<bool> = sums.iter().map(|&sum| sum > 0.0).collect();
    let all: f64 = (sums.iter().filter(|sum| **sum > 0.0))
        .map(|sum| sum.powf(context))
        .sum();
    // Logarithms of r and of c; those of symbols that are met with no other aren't asked for.
    let own: Vec<f32> = sums.iter().map(|sum| sum.ln() as f32).collect();
    let by_chance: Vec<f32> = sums
        .iter()
        .map(|sum| (context * sum.ln() - all.ln()) as f32)
        .collect();
    company
        .par_chunks_mut(size)
        .enumerate()
        .for_each(|(symbol, row)| {
            for (other, value) in row.iter_mut().enumerate() {
                *value = match *value > 0.0 && other != symbol {
                    true => {
                        let together = value.ln();
                        let one = together - own[symbol] - by_chance[other];
                        let back = together - own[other] - by_chance[symbol];
                        0.5 * (one.max(0.0) + back.max(0.0))
                    }
                    false => 0.0,
                };
            }
        });
    (company, met)
}

/// The matrix W of symbols and their parts, each part weighed by how rare it is.
struct Spelling {
    /// The parts of each symbol; none of those that stand for no data.
    of: Vec<Vec<u32>>,
    /// `[parts]`.
    weights: Vec<f32>,
}

impl Spelling {
    fn new(counts: &Counts<'_>, vocabulary: &Vocabulary, rarity: f64) -> Self {
        let parts = parts_of(vocabulary);
        let of_symbol = |(symbol, of): (usize, &Vec<u32>)| match vocabulary.is_data(symbol as u32) {
            true => of.clone(),
            false => Vec::new(),
        };
        let weight = |&having: &f32| {
            let often = (1.0 + counts.documents) / (1.0 + f64::from(having));
            (often.ln() + 1.0).powf(rarity) as f32
        };
        Self {
            of: parts.iter().enumerate().map(of_symbol).collect(),
            weights: counts.having.iter().map(weight).collect(),
        }
    }

    /// K·y = W·Wᵀ·y of columns of symbols, `[_, symbols]`: entries of K say what two symbols have in common.
    fn in_common(&self, columns: &[f32]) -> Vec<f32> {
        self.of_symbols(&self.of_parts(columns))
    }

    /// W·x: columns of parts, `[_, parts]`, become columns of symbols.
    fn of_symbols(&self, columns: &[f32]) -> Vec<f32> {
        let (symbols, parts) = (self.of.len(), self.weights.len());
        let mut made = vec![0f32; columns.len() / parts * symbols];
        (made.par_chunks_mut(symbols).zip(columns.par_chunks(parts))).for_each(|(made, column)| {
            for (value, of) in made.iter_mut().zip(&self.of) {
                let weighed = |&part: &u32| self.weights[part as usize] * column[part as usize];
                *value = of.iter().map(weighed).sum();
            }
        });
        made
    }

    /// Wᵀ·y: columns of symbols, `[_, symbols]`, become columns of parts.
    fn of_parts(&self, columns: &[f32]) -> Vec<f32> {
        let (symbols, parts) = (self.of.len(), self.weights.len());
        let mut made = vec![0f32; columns.len() / symbols * parts];
        (made.par_chunks_mut(parts).zip(columns.par_chunks(symbols))).for_each(|(made, column)| {
            for (of, value) in self.of.iter().zip(column) {
                for &part in of {
                    made[part as usize] += value * self.weights[part as usize];
                }
            }
        });
        made
    }
}
