use pulp::{Scalar, Scalar128b, Simd};

use super::{Gathered, Matrix, Part, Start, add_windows, multiply, multiply_windows};
use crate::buffer::Shared;
use crate::oracle::{numbers, relative_error};
use crate::tile::{Gather, Segment};

/// The values of both operands, each by rows or by columns, and the product by a naive loop.
struct Case {
    sizes: [usize; 3],
    by_columns: [bool; 2],
    left: Vec<f32>,
    right: Vec<f32>,
    bias: Option<Vec<f32>>,
    expected: Vec<f64>,
}

impl Case {
    fn new(sizes: [usize; 3], by_columns: [bool; 2], bias: bool) -> Self {
        let [rows, columns, depth] = sizes;
        let (left, right) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
        let bias = bias.then(|| numbers(columns, 3));
        let mut expected = vec![0.0; rows * columns];
        for row in 0..rows {
            for column in 0..columns {
                let products = (0..depth).map(|k| {
                    let left = if by_columns[0] {
                        left[k * rows + row]
                    } else {
                        left[row * depth + k]
                    };
                    let right = if by_columns[1] {
                        right[column * depth + k]
                    } else {
                        right[k * columns + column]
                    };
                    f64::from(left) * f64::from(right)
                });
                let bias = bias.as_ref().map_or(0.0, |bias| f64::from(bias[column]));
                expected[row * columns + column] = bias + products.sum::<f64>();
            }
        }
        Self {
            sizes,
            by_columns,
            left,
            right,
            bias,
            expected,
        }
    }

    fn operands(&self) -> [Matrix<'_>; 2] {
        let [rows, columns, depth] = self.sizes;
        let matrix = |values, [rows, columns]: [usize; 2], by_columns| {
            if by_columns {
                Matrix::new(values, [columns, rows]).transposed()
            } else {
                Matrix::new(values, [rows, columns])
            }
        };
        [
            matrix(&self.left, [rows, depth], self.by_columns[0]),
            matrix(&self.right, [depth, columns], self.by_columns[1]),
        ]
    }

    fn check(&self, found: &[f32]) {
        let error = relative_error(found, &self.expected);
        let (sizes, by_columns) = (self.sizes, self.by_columns);
        assert!(error < 1e-6, "{sizes:?} {by_columns:?}: {error:e}");
    }

    /// The product on all threads, doubled by what is done to its blocks.
    fn doubled(&self) -> Vec<f32> {
        let [left, right] = self.operands();
        let [rows, columns, _] = self.sizes;
        let mut dest = vec![f32::NAN; rows * columns];
        let at = Shared::new(dest.as_mut_ptr());
        // SAFETY: there is room for the product, and a block is finished by itself.
        unsafe {
            multiply(left, right, self.bias.as_deref(), at, |rows, wanted| {
                for row in rows {
                    let range = row * columns + wanted.start..row * columns + wanted.end;
                    at.part(range).iter_mut().for_each(|value| *value *= 2.0);
                }
            });
        }
        dest
    }
}

const BY_COLUMNS: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

#[test]
fn products_match_naive_loops_and_each_block_is_finished_once() {
    for by_columns in BY_COLUMNS {
        for (sizes, bias) in [
            ([1, 1, 1], true),
            ([3, 5, 2], false),
            ([8, 48, 16], true),
            ([9, 49, 17], true),
            ([130, 35, 300], false),
            ([47, 200, 65], true),
            // More than one block of depth, columns and rows.
            ([203, 700, 1100], true),
            ([600, 150, 530], false),
        ] {
            let case = Case::new(sizes, by_columns, bias);
            let halves: Vec<f32> = case.doubled().iter().map(|value| value / 2.0).collect();
            case.check(&halves);
        }
    }
}

/// The product with one kind of vectors, whatever this machine would choose.
fn check_width<S: Simd>(simd: S) {
    for by_columns in BY_COLUMNS {
        for sizes in [[21, 83, 33], [8, 16, 600]] {
            let case = Case::new(sizes, by_columns, true);
            let [left, right] = case.operands();
            let [rows, columns, _] = sizes;
            let mut dest = vec![f32::NAN; rows * columns];
            simd.vectorize(Part {
                passing: false,
                left,
                right,
                start: Start::of(case.bias.as_deref()),
                rows: 0..rows,
                columns: 0..columns,
                dest: dest.as_mut_ptr(),
                finish: &|_, _| {},
            });
            case.check(&dest);
        }
    }
}

#[test]
fn every_vector_width_matches_naive_loops() {
    check_width(Scalar);
    check_width(Scalar128b);
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V3::try_new() {
            check_width(simd);
        }
        if let Some(simd) = pulp::x86::V4::try_new() {
            check_width(simd);
        }
    }
}

#[test]
fn without_depth_the_bias_is_left_and_without_rows_nothing() {
    let case = Case::new([3, 50, 0], [false, true], true);
    let bias = case.bias.as_ref().unwrap();
    let doubled: Vec<f32> = bias.iter().map(|bias| 2.0 * bias).collect();
    assert_eq!(case.doubled(), doubled.repeat(3));
    for sizes in [[0, 5, 7], [5, 0, 7]] {
        assert!(Case::new(sizes, [false, false], false).doubled().is_empty());
    }
}

#[test]
fn two_runs_are_bit_identical() {
    let case = Case::new([150, 140, 1030], [true, false], false);
    let run = || case.doubled().into_iter().map(f32::to_bits);
    assert!(run().eq(run()));
}

/// Windows of a few segments, and the matrix that they are.
struct Windows {
    source: Vec<f32>,
    offsets: Vec<usize>,
    segments: Vec<Segment>,
    matrix: Vec<f32>,
}

impl Windows {
    fn new(count: usize, segments: &[[usize; 2]]) -> Self {
        let segments: Vec<Segment> = segments
            .iter()
            .map(|&[offset, length]| Segment { offset, length })
            .collect();
        let reach = segments.iter().map(|s| s.offset + s.length).max();
        let source = numbers(3 * count + reach.unwrap(), 4);
        // Neither in order nor at one distance.
        let offsets: Vec<usize> = (0..count).map(|row| row * 7 % (3 * count)).collect();
        let mut matrix = Vec::new();
        for offset in &offsets {
            for segment in &segments {
                let first = offset + segment.offset;
                matrix.extend_from_slice(&source[first..first + segment.length]);
            }
        }
        Self {
            source,
            offsets,
            segments,
            matrix,
        }
    }

    fn gathered(&self) -> Gathered<'_> {
        Gathered::new(Gather {
            source: &self.source,
            offsets: &self.offsets,
            segments: &self.segments,
        })
    }

    fn length(&self) -> usize {
        self.segments.iter().map(|segment| segment.length).sum()
    }
}

/// `start + left · right` of row-major matrices, by a naive loop.
fn product_of(left: &[f32], right: &[f32], depth: usize, start: f64) -> Vec<f64> {
    let columns = right.len() / depth;
    let mut product = Vec::new();
    for row in left.chunks_exact(depth) {
        for column in 0..columns {
            let terms = row.iter().enumerate().map(|(k, left)| {
                let right = right[k * columns + column];
                f64::from(*left) * f64::from(right)
            });
            product.push(start + terms.sum::<f64>());
        }
    }
    product
}

/// Windows of three runs that are no multiple of a vector, and such that need several blocks of the
/// depth and of the columns.
fn all_windows() -> [Windows; 3] {
    [
        Windows::new(1, &[[3, 9], [40, 17], [90, 33]]),
        Windows::new(109, &[[3, 9], [40, 17], [90, 33]]),
        Windows::new(530, &[[0, 500], [700, 333], [1100, 1270]]),
    ]
}

#[test]
fn rows_may_be_windows_of_either_operand() {
    for windows in all_windows() {
        let (count, length) = (windows.offsets.len(), windows.length());
        let (columns, rows) = (21, 13);
        let (right, bias) = (numbers(length * columns, 5), numbers(columns, 6));
        let mut found = vec![f32::NAN; count * columns];
        let at = Shared::new(found.as_mut_ptr());
        let matrix = Matrix::new(&right, [length, columns]);
        // SAFETY: there is room for the product, and a block is finished by itself.
        unsafe {
            multiply_windows(
                windows.gathered(),
                matrix,
                Some(&bias),
                at,
                |rows, wanted| {
                    for row in rows {
                        let range = row * columns + wanted.start..row * columns + wanted.end;
                        let finished = at.part(range.clone()).iter_mut().zip(&bias[wanted.clone()]);
                        finished.for_each(|(value, bias)| *value -= bias);
                    }
                },
            );
        }
        let expected = product_of(&windows.matrix, &right, length, 0.0);
        let error = relative_error(&found, &expected);
        assert!(error < 1e-6, "left, {count} windows of {length}: {error:e}");

        let left = numbers(rows * count, 7);
        let mut sum = vec![0.5; rows * length];
        let matrix = Matrix::new(&left, [rows, count]);
        add_windows(matrix, windows.gathered(), &mut sum);
        let expected = product_of(&left, &windows.matrix, count, 0.5);
        let error = relative_error(&sum, &expected);
        assert!(
            error < 1e-6,
            "right, {count} windows of {length}: {error:e}"
        );
    }
}

/// Both products with one kind of vectors, whatever this machine would choose.
fn check_windows<S: Simd>(simd: S) {
    for windows in all_windows() {
        let (count, length) = (windows.offsets.len(), windows.length());
        let right = numbers(length * 19, 5);
        let mut found = vec![f32::NAN; count * 19];
        simd.vectorize(Part {
            passing: false,
            left: windows.gathered(),
            right: Matrix::new(&right, [length, 19]),
            start: Start::Zero,
            rows: 0..count,
            columns: 0..19,
            dest: found.as_mut_ptr(),
            finish: &|_, _| {},
        });
        let expected = product_of(&windows.matrix, &right, length, 0.0);
        assert!(relative_error(&found, &expected) < 1e-6);

        let left = numbers(11 * count, 7);
        let mut sum = vec![-1.0; 11 * length];
        simd.vectorize(Part {
            passing: false,
            left: Matrix::new(&left, [11, count]),
            right: windows.gathered(),
            start: Start::Dest,
            rows: 0..11,
            columns: 0..length,
            dest: sum.as_mut_ptr(),
            finish: &|_, _| {},
        });
        let expected = product_of(&left, &windows.matrix, count, -1.0);
        assert!(relative_error(&sum, &expected) < 1e-6);
    }
}

#[test]
fn windows_match_naive_loops_in_every_vector_width() {
    check_windows(Scalar);
    check_windows(Scalar128b);
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V3::try_new() {
            check_windows(simd);
        }
        if let Some(simd) = pulp::x86::V4::try_new() {
            check_windows(simd);
        }
    }
}

#[test]
#[should_panic(expected = "window reaches past its source")]
fn windows_that_reach_past_their_source_are_refused() {
    let segments = [Segment {
        offset: 2,
        length: 3,
    }];
    Gathered::new(Gather {
        source: &[0.0; 9],
        offsets: &[0, 5],
        segments: &segments,
    });
}
