//! Sums in a fixed order: over the rows of a matrix, and within a row.

use burn_flex::FlexTensor;

use crate::buffer::{Shared, elements, in_parts, part, threads};
use crate::vectorized::vectorized;

/// Blocks of so many rows keep each single-precision sum short, and so its rounding small.
const ROWS: usize = 256;

/// The sum of each of `columns` columns.
pub(crate) fn column_sums(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len().checked_div(columns).unwrap_or(0);
    let parts = threads().min(rows.div_ceil(1024)).max(1);
    let sums = in_parts(parts, |index| {
        let rows = part(rows, parts, index);
        let matrix = &matrix[rows.start * columns..rows.end * columns];
        let mut total = vec![0.0f64; columns];
        let mut sum = vec![0.0f32; columns];
        for block in matrix.chunks((ROWS * columns).max(1)) {
            sum.fill(0.0);
            vectorized(
                #[inline(always)]
                || {
                    for row in block.chunks_exact(columns) {
                        for (sum, value) in sum.iter_mut().zip(row) {
                            *sum += value;
                        }
                    }
                },
            );
            for (total, sum) in total.iter_mut().zip(&sum) {
                *total += f64::from(*sum);
            }
        }
        total
    });
    add_up(&sums, columns)
}

/// Multiplies a matrix with another, element by element, and sums its columns on the way.
pub(crate) fn scale_and_sum_columns(
    mut matrix: FlexTensor,
    factors: &FlexTensor,
    columns: usize,
) -> (FlexTensor, Vec<f32>) {
    let factors = elements(factors);
    let values = matrix.storage_mut::<f32>();
    assert_eq!(values.len(), factors.len());
    let dest = Shared::new(values.as_mut_ptr());
    let rows = factors.len().checked_div(columns).unwrap_or(0);
    let parts = threads().min(rows.div_ceil(ROWS)).max(1);
    let sums = in_parts(parts, |index| {
        let rows = part(rows, parts, index);
        let range = rows.start * columns..rows.end * columns;
        // SAFETY: the parts are disjoint, and the matrix is ours alone.
        let matrix = unsafe { dest.part(range.clone()) };
        let factors = &factors[range];
        let mut total = vec![0.0f64; columns];
        let mut sum = vec![0.0f32; columns];
        let length = (ROWS * columns).max(1);
        for (block, factors) in matrix.chunks_mut(length).zip(factors.chunks(length)) {
            sum.fill(0.0);
            vectorized(
                #[inline(always)]
                || {
                    let rows = block.chunks_exact_mut(columns);
                    for (row, factors) in rows.zip(factors.chunks_exact(columns)) {
                        for ((sum, value), factor) in sum.iter_mut().zip(row).zip(factors) {
                            *value *= factor;
                            *sum += *value;
                        }
                    }
                },
            );
            for (total, sum) in total.iter_mut().zip(&sum) {
                *total += f64::from(*sum);
            }
        }
        total
    });
    (matrix, add_up(&sums, columns))
}

/// Adds up the columns' sums of all parts.
fn add_up(sums: &[Vec<f64>], columns: usize) -> Vec<f32> {
    (0..columns)
        .map(|column| sums.iter().map(|sum| sum[column]).sum::<f64>() as f32)
        .collect()
}

/// Partial sums that a row is cut into, so that its additions fill the vector units.
const LANES: usize = 32;

/// `Σ f(a)` over a row, in a fixed order whatever the machine.
#[inline(always)]
pub(crate) fn row_sum(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    each_lane(
        &mut lanes,
        a,
        #[inline(always)]
        |lane, a| lane + f(a),
    );
    fold(lanes, add)
}

/// `Σ f(a, b)` over two rows of the same length, in a fixed order whatever the machine.
#[inline(always)]
pub(crate) fn row_sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(*a, *b);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(rest) {
        *lane += f(*a, *b);
    }
    fold(lanes, add)
}

/// The largest number of a row, or minus infinity if it is empty.
#[inline(always)]
pub(crate) fn row_max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    each_lane(&mut lanes, a, larger);
    fold(lanes, larger)
}

#[inline(always)]
fn add(a: f32, b: f32) -> f32 {
    a + b
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Folds each number of a row into the lane that it belongs to.
#[inline(always)]
fn each_lane(lanes: &mut [f32; LANES], a: &[f32], f: impl Fn(f32, f32) -> f32) {
    /// What is left of a row is taken by so many, because a loop of unknown length has no vectors.
    const FEW: usize = 8;
    let chunks = a.chunks_exact(LANES);
    let rest = chunks.remainder();
    for a in chunks {
        for (lane, a) in lanes.iter_mut().zip(a) {
            *lane = f(*lane, *a);
        }
    }
    let few = rest.chunks_exact(FEW);
    let last = few.remainder();
    let done = rest.len() - last.len();
    for (lanes, a) in lanes.chunks_exact_mut(FEW).zip(few) {
        for (lane, a) in lanes.iter_mut().zip(a) {
            *lane = f(*lane, *a);
        }
    }
    for (lane, a) in lanes[done..].iter_mut().zip(last) {
        *lane = f(*lane, *a);
    }
}

/// All lanes as one, half by half.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = f(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}
