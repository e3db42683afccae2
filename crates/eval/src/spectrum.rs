//! Eigenvalues of symmetric matrices, and the Gram matrices they are wanted of.
//!
//! Everything here is in `f64`: the squares of singular values span twice the decades, and in `f32` rounding would
//! lift the small ones of a collapsed representation enough to pass for rank.

use rayon::prelude::*;

use crate::product::{Target, View, multiply};

/// Rows of the result computed by one task.
const STRIP: usize = 128;
/// Inner dimension handled at once; what a strip multiplies then stays in cache.
const DEPTH: usize = 512;
/// Trailing matrices smaller than this are not worth sharing out.
const SERIAL_BELOW: usize = 256;

/// The eigenvalues of `Fᵀ F`, descending, for the matrix F of `entry(row, column)`: the squares of its singular
/// values. The smaller of `Fᵀ F` and `F Fᵀ` is formed, so there are min(rows, columns) of them.
pub(crate) fn gram_eigenvalues(
    rows: usize,
    columns: usize,
    entry: impl Fn(usize, usize) -> f64 + Sync,
) -> Vec<f64> {
    let mut eigenvalues = if rows < columns {
        symmetric_eigenvalues(gram(columns, rows, |depth, item| entry(item, depth)), rows)
    } else {
        symmetric_eigenvalues(gram(rows, columns, entry), columns)
    };
    // A Gram matrix has none below zero but for rounding.
    eigenvalues
        .iter_mut()
        .for_each(|eigenvalue| *eigenvalue = eigenvalue.max(0.));
    eigenvalues
}

/// The inner products of the columns of a matrix given by its entries: `[depth, size]` gives `[size, size]`.
pub(crate) fn gram(
    depth: usize,
    size: usize,
    entry: impl Fn(usize, usize) -> f64 + Sync,
) -> Vec<f64> {
    let mut products = vec![0.; size * size];
    let mut block = vec![0.; DEPTH.min(depth) * size];
    for start in (0..depth).step_by(DEPTH) {
        let length = DEPTH.min(depth - start);
        let block = &mut block[..length * size];
        block
            .par_chunks_mut(size)
            .enumerate()
            .for_each(|(offset, row)| {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(column, value)| *value = entry(start + offset, column));
            });
        let columns = View::new(block, size);
        products
            .par_chunks_mut(STRIP * size)
            .enumerate()
            .for_each(|(strip, out)| {
                // Only what lies right of the strip's first column; the rest is the mirror image.
                let (first, rows) = (strip * STRIP, out.len() / size);
                let target = Target {
                    row_stride: size,
                    column_stride: 1,
                    accumulate: true,
                };
                multiply(
                    &mut out[first..],
                    target,
                    columns.columns_from(first).first_columns(rows).transposed(),
                    columns.columns_from(first),
                );
            });
    }
    for row in 0..size {
        for column in 0..row {
            products[row * size + column] = products[column * size + row];
        }
    }
    products
}

/// The eigenvalues, descending, of a symmetric matrix in full storage.
///
/// Householder reduction to a tridiagonal matrix and the implicit QL algorithm, as in Golub and Van Loan 2013,
/// "Matrix Computations", sections 8.3.1 and 8.3.3, without the vectors.
pub(crate) fn symmetric_eigenvalues(mut matrix: Vec<f64>, size: usize) -> Vec<f64> {
    let largest = matrix
        .iter()
        .fold(0., |largest, entry| f64::max(largest, entry.abs()));
    if largest == 0. {
        return vec![0.; size];
    }
    // Scaled to entries of at most 1, so that no square overflows.
    matrix.par_iter_mut().for_each(|entry| *entry /= largest);
    let (mut diagonal, mut beside) = tridiagonal(matrix, size);
    implicit_ql(&mut diagonal, &mut beside);
    diagonal
        .iter_mut()
        .for_each(|eigenvalue| *eigenvalue *= largest);
    diagonal.sort_unstable_by(|a, b| b.total_cmp(a));
    diagonal
}

/// The diagonal and the entries beside it (the last is 0) of a similar tridiagonal matrix.
fn tridiagonal(mut matrix: Vec<f64>, size: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside) = (vec![0.; size], vec![0.; size]);
    for step in 0..size {
        diagonal[step] = matrix[step * size + step];
        let rest = size - step - 1;
        if rest == 0 {
            break;
        }
        // By symmetry the row right of the diagonal is the column below it.
        let mut reflector = matrix[step * size + step + 1..(step + 1) * size].to_vec();
        let tail = dot(&reflector[1..], &reflector[1..]);
        if tail == 0. {
            beside[step] = reflector[0];
            continue;
        }
        let image = -reflector[0].signum() * (tail + reflector[0] * reflector[0]).sqrt();
        beside[step] = image;
        reflector[0] -= image;
        let scale = 2. / (tail + reflector[0] * reflector[0]);

        let trailing = &mut matrix[(step + 1) * size..];
        let row_of = |row: &[f64]| scale * dot(&row[step + 1..], &reflector);
        let mut update: Vec<f64> = if rest < SERIAL_BELOW {
            trailing.chunks_exact(size).map(row_of).collect()
        } else {
            trailing
                .par_chunks_exact(size)
                .with_min_len(32)
                .map(row_of)
                .collect()
        };
        let along = 0.5 * scale * dot(&update, &reflector);
        update
            .iter_mut()
            .zip(&reflector)
            .for_each(|(update, entry)| *update -= along * entry);

        let apply = |(index, row): (usize, &mut [f64])| {
            let (ours, theirs) = (reflector[index], update[index]);
            for ((entry, reflector), update) in
                row[step + 1..].iter_mut().zip(&reflector).zip(&update)
            {
                *entry -= ours * update + theirs * reflector;
            }
        };
        if rest < SERIAL_BELOW {
            trailing.chunks_exact_mut(size).enumerate().for_each(apply);
        } else {
            trailing
                .par_chunks_exact_mut(size)
                .with_min_len(32)
                .enumerate()
                .for_each(apply);
        }
    }
    (diagonal, beside)
}

/// Turns the diagonal of a tridiagonal matrix into its eigenvalues, in no particular order.
fn implicit_ql(diagonal: &mut [f64], beside: &mut [f64]) {
    let size = diagonal.len();
    for start in 0..size {
        // Two or three rounds are usual; the bound only guards against a loop without end.
        for _ in 0..100 {
            let small = |at: usize| {
                beside[at].abs() <= f64::EPSILON * (diagonal[at].abs() + diagonal[at + 1].abs())
            };
            let end = (start..size - 1).find(|&at| small(at)).unwrap_or(size - 1);
            if end == start {
                break;
            }
            let half_gap = (diagonal[start + 1] - diagonal[start]) / (2. * beside[start]);
            let length = half_gap.hypot(1.).copysign(half_gap);
            let mut shifted = diagonal[end] - diagonal[start] + beside[start] / (half_gap + length);
            let (mut sine, mut cosine, mut carried) = (1., 1., 0.);
            let mut split = false;
            for at in (start..end).rev() {
                let (outer, inner) = (sine * beside[at], cosine * beside[at]);
                let length = outer.hypot(shifted);
                beside[at + 1] = length;
                if length == 0. {
                    diagonal[at + 1] -= carried;
                    split = true;
                    break;
                }
                (sine, cosine) = (outer / length, shifted / length);
                let shifted_diagonal = diagonal[at + 1] - carried;
                let turned = (diagonal[at] - shifted_diagonal) * sine + 2. * cosine * inner;
                carried = sine * turned;
                diagonal[at + 1] = shifted_diagonal + carried;
                shifted = cosine * turned - inner;
            }
            if !split {
                diagonal[start] -= carried;
                beside[start] = shifted;
            }
            beside[end] = 0.;
        }
    }
}

/// The inner product in eight partial sums, which the compiler may then compute side by side.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.; 8];
    let (a_groups, b_groups) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_groups
        .remainder()
        .iter()
        .zip(b_groups.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_groups.zip(b_groups) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gram_matrices_are_those_of_the_plain_loop() {
        let (depth, size) = (600, 150);
        let entry = |row: usize, column: usize| ((row * size + column) as f64 * 0.37).sin();
        let found = gram(depth, size, entry);
        for a in 0..size {
            for b in 0..size {
                let expected: f64 = (0..depth).map(|row| entry(row, a) * entry(row, b)).sum();
                assert!((found[a * size + b] - expected).abs() < 1e-9, "{a} {b}");
            }
        }
    }

    #[test]
    fn eigenvalues_of_the_second_difference_are_known() {
        // The matrix of 2 beside −1 has the eigenvalues 2 − 2 cos(π i / (n + 1)).
        let size = 300;
        let mut matrix = vec![0.; size * size];
        for row in 0..size {
            matrix[row * size + row] = 2.;
            if row > 0 {
                matrix[row * size + row - 1] = -1.;
                matrix[(row - 1) * size + row] = -1.;
            }
        }
        for (i, found) in symmetric_eigenvalues(matrix, size).iter().rev().enumerate() {
            let expected =
                2. - 2. * (std::f64::consts::PI * (i + 1) as f64 / (size + 1) as f64).cos();
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_full_matrix_keeps_its_spectrum_under_reflections() {
        // Known eigenvalues 1..n, hidden by two reflections; large enough for the shared-out path.
        let size = 320;
        let mut matrix = vec![0.; size * size];
        (0..size).for_each(|i| matrix[i * size + i] = 1. + i as f64);
        for step in [0.7, 1.9] {
            let normal: Vec<f64> = (0..size).map(|i| (i as f64 * step).sin()).collect();
            let square = dot(&normal, &normal);
            let reflect = |matrix: &[f64]| -> Vec<f64> {
                // (I − 2 n nᵀ / n·n) A, transposed: twice that is the similarity transform.
                let along: Vec<f64> = (0..size)
                    .map(|c| {
                        (0..size)
                            .map(|r| normal[r] * matrix[r * size + c])
                            .sum::<f64>()
                            * 2.
                            / square
                    })
                    .collect();
                (0..size * size)
                    .map(|at| (at % size, at / size))
                    .map(|(r, c)| matrix[r * size + c] - normal[r] * along[c])
                    .collect()
            };
            matrix = reflect(&reflect(&matrix));
        }
        for (i, found) in symmetric_eigenvalues(matrix, size).iter().rev().enumerate() {
            assert!((found - 1. - i as f64).abs() < 1e-10, "{i}: {found}");
        }
    }

    #[test]
    fn degenerate_matrices_have_their_spectra() {
        assert_eq!(symmetric_eigenvalues(vec![0.; 9], 3), [0.; 3]);
        assert_eq!(symmetric_eigenvalues(vec![-3.], 1), [-3.]);
        let ones = symmetric_eigenvalues(vec![1.; 16], 4);
        assert!(
            (ones[0] - 4.).abs() < 1e-12
                && ones[1..].iter().all(|eigenvalue| eigenvalue.abs() < 1e-12)
        );
        let identity: Vec<f64> = (0..25).map(|at| f64::from(u8::from(at % 6 == 0))).collect();
        assert_eq!(symmetric_eigenvalues(identity, 5), [1.; 5]);
    }

    #[test]
    fn wide_and_tall_have_the_same_singular_values() {
        let entry =
            |row: usize, column: usize| ((row * 7 + column * 13) as f64).sin() + row as f64 * 0.1;
        let (tall, wide) = (
            gram_eigenvalues(9, 4, entry),
            gram_eigenvalues(4, 9, |row, column| entry(column, row)),
        );
        assert_eq!((tall.len(), wide.len()), (4, 4));
        assert!(
            tall.iter()
                .zip(&wide)
                .all(|(a, b)| (a - b).abs() < 1e-9 * tall[0])
        );
    }
}
