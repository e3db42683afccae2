use burn::tensor::Tensor;

use super::{Patches, patch_responses, patch_responses_reference};
use crate::oracle::{double, relative_error, tensor, values};

/// The definition, patch by patch, in double precision.
fn naive(x: &Tensor<4>, atoms: &Tensor<2>, offsets: &Tensor<1>, patches: Patches) -> Vec<f64> {
    let [batch, height, width, channels] = x.dims();
    let [rows, columns] = patches.along([height, width]);
    let (pixels, directions, offsets) = (double(x), double(atoms), double(offsets));
    let (count, grid) = (offsets.len(), patches.cells * patches.cells);
    let mut sums = vec![0.0; batch * grid * count];
    let mut sizes = vec![0.0; grid];
    for item in 0..batch {
        for row in 0..rows {
            for column in 0..columns {
                let mut patch = Vec::new();
                for y in 0..patches.size {
                    for x in 0..patches.size {
                        for channel in 0..channels {
                            let (y, x) = (row * patches.stride + y, column * patches.stride + x);
                            patch.push(
                                pixels[((item * height + y) * width + x) * channels + channel],
                            );
                        }
                    }
                }
                let size = patch.len() as f64;
                let mean = patch.iter().sum::<f64>() / size;
                let variance = patch.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / size;
                let scale = (variance + f64::from(patches.floor)).sqrt();
                let cell =
                    row * patches.cells / rows * patches.cells + column * patches.cells / columns;
                if item == 0 {
                    sizes[cell] += 1.0;
                }
                for atom in 0..count {
                    let direction = &directions[atom * patch.len()..][..patch.len()];
                    let response: f64 = direction
                        .iter()
                        .zip(&patch)
                        .map(|(d, v)| d * (v - mean) / scale)
                        .sum();
                    sums[(item * grid + cell) * count + atom] +=
                        (response - offsets[atom]).max(0.0);
                }
            }
        }
    }
    for (place, sum) in sums.iter_mut().enumerate() {
        *sum /= sizes[place / count % grid];
    }
    sums
}

#[test]
fn responses_are_those_of_the_definition() {
    for (shape, size, stride, cells, atoms) in [
        ([3, 9, 9, 3], 4, 1, 2, 7),
        ([1, 12, 10, 1], 6, 1, 1, 70),
        ([2, 16, 15, 3], 5, 2, 3, 129),
        ([5, 6, 6, 2], 6, 1, 1, 3),
        ([0, 8, 8, 3], 4, 1, 2, 5),
        // More images than meet the dictionary together.
        ([35, 7, 7, 1], 4, 1, 2, 5),
        // Patches too deep for a product in passing.
        ([2, 11, 11, 4], 9, 1, 1, 6),
    ] {
        let patches = Patches {
            size,
            stride,
            cells,
            floor: 0.01,
        };
        let x = tensor(shape, 1);
        let (directions, offsets) = (
            tensor([atoms, size * size * shape[3]], 2),
            tensor([atoms], 3),
        );
        let expected = naive(&x, &directions, &offsets, patches);
        let reference =
            patch_responses_reference(x.clone(), directions.clone(), offsets.clone(), patches);
        let found = patch_responses(x, directions, offsets, patches);
        assert_eq!(found.dims(), [shape[0], cells * cells, atoms]);
        let limit = 2.0 * relative_error(&values(&reference), &expected) + 1e-7;
        let error = relative_error(&values(&found), &expected);
        assert!(error <= limit, "{shape:?}: {error:.1e} of {limit:.1e}");
    }
}

#[test]
fn a_flat_patch_is_like_nothing() {
    let patches = Patches {
        size: 3,
        stride: 1,
        cells: 1,
        floor: 1e-3,
    };
    let flat = tensor([1, 5, 5, 3], 1).zeros_like().add_scalar(0.7);
    let found = patch_responses(
        flat,
        tensor([4, 27], 2),
        tensor([4], 3).zeros_like(),
        patches,
    );
    for value in values(&found) {
        assert!(value.abs() < 1e-4, "{value}");
    }
}

#[test]
fn an_image_that_is_no_number_is_not_one_that_is_like_nothing() {
    let patches = Patches {
        size: 3,
        stride: 1,
        cells: 1,
        floor: 1e-3,
    };
    let image = |seed| tensor([1, 5, 5, 1], seed);
    let x = Tensor::cat(vec![image(1).mul_scalar(f32::NAN), image(2)], 0);
    let found = values(&patch_responses(
        x,
        tensor([4, 9], 2),
        tensor([4], 3),
        patches,
    ));
    let (first, second) = found.split_at(4);
    assert!(first.iter().all(|value| value.is_nan()), "{first:?}");
    assert!(second.iter().all(|value| value.is_finite()), "{second:?}");
}

#[test]
fn no_gradient_passes() {
    let patches = Patches {
        size: 3,
        stride: 1,
        cells: 1,
        floor: 1e-3,
    };
    let (x, scale) = (
        tensor([2, 5, 5, 1], 1).require_grad(),
        tensor([1, 1, 4], 4).require_grad(),
    );
    let found = patch_responses(x.clone(), tensor([4, 9], 2), tensor([4], 3), patches);
    let gradients = ((found * scale.clone()).sum() + x.clone().sum().mul_scalar(0.0)).backward();
    let reached = x.grad(&gradients).expect("by way of the sum alone");
    assert!(values(&reached).iter().all(|gradient| *gradient == 0.0));
    assert!(scale.grad(&gradients).is_some());
}

#[test]
#[should_panic(expected = "too few for 4 cells")]
fn an_image_smaller_than_its_grid_is_refused() {
    let patches = Patches {
        size: 3,
        stride: 1,
        cells: 4,
        floor: 1e-3,
    };
    patches.along([5, 32]);
}
