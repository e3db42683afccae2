use pulp::{Scalar, Scalar128b, Simd};

use super::{Matrix, Part, multiply};
use crate::buffer::Shared;
use crate::oracle::{numbers, relative_error};

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
                bias: case.bias.as_deref(),
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
