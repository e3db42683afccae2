use pulp::{Scalar, Scalar128b, Simd};

use super::{Correlate, Gather, Panels, Product, Segment};
use crate::oracle::{numbers, relative_error};

/// Runs both tiles with one kind of vectors, whatever this machine would choose.
fn check<S: Simd>(simd: S) {
    for columns in [1, 3, 8, 16, 17, 32, 45] {
        let panels = Panels {
            lanes: S::F32_LANES,
            columns,
        };
        let segments = [
            Segment {
                offset: 2,
                length: 9,
            },
            Segment {
                offset: 40,
                length: 37,
            },
        ];
        let depth = 46;
        let offsets: Vec<usize> = (0..31).map(|pixel| pixel * 5).collect();
        let gather = Gather {
            source: &numbers(300, 1),
            offsets: &offsets,
            segments: &segments,
        };
        let element = |pixel: usize, k: usize| {
            let at = if k < 9 { 2 + k } else { 40 + k - 9 };
            f64::from(gather.source[offsets[pixel] + at])
        };
        let padded = panels.padded();
        let weight = numbers(depth * padded, 2);
        // Where element (k, column) is in the panels.
        let place = |k: usize, column: usize| {
            let (first, _, width) = panels.panel(column / (2 * S::F32_LANES));
            depth * first + k * width + column - first
        };

        let mut dest = vec![0.0; 31 * columns];
        let dest_offsets: Vec<usize> = (0..31).map(|pixel| pixel * columns).collect();
        let bias = numbers(padded, 3);
        simd.vectorize(Product {
            gather,
            depth,
            weight: &weight,
            bias: Some(&bias),
            panels,
            dest: dest.as_mut_ptr(),
            dest_offsets: &dest_offsets,
        });
        let mut expected = Vec::new();
        for pixel in 0..31 {
            for column in 0..columns {
                let products =
                    (0..depth).map(|k| element(pixel, k) * f64::from(weight[place(k, column)]));
                expected.push(f64::from(bias[column]) + products.sum::<f64>());
            }
        }
        assert!(
            relative_error(&dest, &expected) < 1e-6,
            "product of {columns} columns"
        );

        let gradient = numbers(31 * padded, 4);
        let gradient_offsets: Vec<usize> = (0..31).map(|pixel| pixel * padded).collect();
        // A fresh sum is not read; the second time adds to it.
        let mut sum = vec![f32::NAN; depth * padded];
        for fresh in [true, false] {
            simd.vectorize(Correlate {
                gather,
                depth,
                gradient: &gradient,
                gradient_offsets: &gradient_offsets,
                panels,
                sum: &mut sum,
                fresh,
            });
        }
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for k in 0..depth {
            for column in 0..columns {
                found.push(sum[place(k, column)]);
                let at = |pixel: usize| f64::from(gradient[pixel * padded + column]);
                expected.push(2.0 * (0..31).map(|p| element(p, k) * at(p)).sum::<f64>());
            }
        }
        assert!(
            relative_error(&found, &expected) < 1e-6,
            "correlation of {columns} columns"
        );
    }
}

#[test]
fn every_vector_width_matches_naive_loops() {
    check(Scalar);
    check(Scalar128b);
    #[cfg(target_arch = "x86_64")]
    {
        pulp::x86::V3::try_new().into_iter().for_each(check);
        pulp::x86::V4::try_new().into_iter().for_each(check);
    }
}
