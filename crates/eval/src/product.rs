//! The matrix product of the `gemm` crate behind a safe, bounds-checked face.
//!
//! Every call runs on one thread: callers split their rows into fixed chunks and hand the chunks to rayon, which
//! keeps the order of the sums, and thus every bit of the result, independent of the scheduling.

use gemm::{Parallelism, gemm};

/// A number the product is defined for.
pub(crate) trait Real: Copy + 'static {
    const ZERO: Self;
    const ONE: Self;
}

impl Real for f32 {
    const ZERO: Self = 0.;
    const ONE: Self = 1.;
}

impl Real for f64 {
    const ZERO: Self = 0.;
    const ONE: Self = 1.;
}

/// A read-only matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// A row-major matrix; a last, incomplete row is left out.
    pub(crate) fn new(data: &'a [T], columns: usize) -> Self {
        Self {
            data,
            rows: data.len() / columns,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// The columns from `start` on.
    pub(crate) fn columns_from(self, start: usize) -> Self {
        assert!(start < self.columns);
        Self {
            data: &self.data[start * self.column_stride..],
            columns: self.columns - start,
            ..self
        }
    }

    /// The first `columns` columns.
    pub(crate) fn first_columns(self, columns: usize) -> Self {
        assert!(columns <= self.columns);
        Self { columns, ..self }
    }

    fn extent(&self) -> usize {
        1 + (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride
    }
}

/// How the product is laid out in its slice and whether it replaces or adds to what is there.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
    pub(crate) accumulate: bool,
}

/// `out = left · right`, or `out += left · right`.
///
/// # Panics
///
/// If the inner dimensions differ or a slice is too short; both would be mistakes of this crate.
pub(crate) fn multiply<T: Real>(
    out: &mut [T],
    target: Target,
    left: View<'_, T>,
    right: View<'_, T>,
) {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    assert_eq!(depth, right.rows, "inner dimensions");
    assert!(rows > 0 && columns > 0 && depth > 0, "empty product");
    assert!(
        left.extent() <= left.data.len() && right.extent() <= right.data.len(),
        "operands"
    );
    let extent = 1 + (rows - 1) * target.row_stride + (columns - 1) * target.column_stride;
    assert!(extent <= out.len(), "output");
    let (wide, tall) = (target.column_stride == 1, target.row_stride == 1);
    assert!(
        wide && target.row_stride >= columns || tall && target.column_stride >= rows,
        "overlapping output"
    );
    // SAFETY: the three extents were checked against their slices above, `out` is borrowed uniquely, and its
    // strides keep its entries apart.
    unsafe {
        gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            target.column_stride as isize,
            target.row_stride as isize,
            target.accumulate,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            if target.accumulate { T::ONE } else { T::ZERO },
            T::ONE,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `out = left · right` into a row-major slice.
pub(crate) fn multiply_into<T: Real>(out: &mut [T], left: View<'_, T>, right: View<'_, T>) {
    let target = Target {
        row_stride: right.columns,
        column_stride: 1,
        accumulate: false,
    };
    multiply(out, target, left, right);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_layouts_equal_the_plain_loop() {
        let (rows, depth, columns) = (7, 5, 9);
        let left: Vec<f64> = (0..rows * depth).map(|i| (i as f64 * 0.7).sin()).collect();
        let right: Vec<f64> = (0..depth * columns)
            .map(|i| (i as f64 * 0.3).cos())
            .collect();
        let mut expected = vec![0.; rows * columns];
        for row in 0..rows {
            for column in 0..columns {
                for inner in 0..depth {
                    expected[row * columns + column] +=
                        left[row * depth + inner] * right[inner * columns + column];
                }
            }
        }
        let mut out = vec![0.; rows * columns];
        multiply_into(
            &mut out,
            View::new(&left, depth),
            View::new(&right, columns),
        );
        assert!(
            out.iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-12)
        );

        let mut flipped = vec![1.; rows * columns];
        let target = Target {
            row_stride: 1,
            column_stride: rows,
            accumulate: true,
        };
        multiply(
            &mut flipped,
            target,
            View::new(&left, depth),
            View::new(&right, columns),
        );
        for row in 0..rows {
            for column in 0..columns {
                assert!(
                    (flipped[column * rows + row] - 1. - expected[row * columns + column]).abs()
                        < 1e-12
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn a_product_of_unlike_shapes_is_a_mistake_of_ours() {
        multiply_into(
            &mut [0_f32; 4],
            View::new(&[0.; 6], 3),
            View::new(&[0.; 4], 2),
        );
    }
}
