use burn_flex::FlexTensor;

use super::super::Conv2dOptions;
use super::super::shapes::Shapes;
use super::super::tests::naive;
use super::{
    forward, forward_pays, input_gradient, input_gradient_pays, weight_gradient,
    weight_gradient_pays,
};
use crate::buffer::{elements, threads};
use crate::oracle::{numbers, relative_error, tensor, values};
use crate::product::has_few_registers;
use crate::tile::Panels;

fn strided(stride: usize, padding: usize) -> Conv2dOptions {
    Conv2dOptions {
        stride: [stride; 2],
        padding: [padding; 2],
        ..Default::default()
    }
}

fn shapes(
    [batch, height, width, channels]: [usize; 4],
    out: usize,
    kernel: [usize; 2],
    options: Conv2dOptions,
) -> Shapes {
    Shapes {
        batch,
        input: [height, width],
        channels,
        output: options.output_size([height, width], kernel),
        out,
        kernel,
        options,
    }
}

/// All three results against naive loops, whatever would pay on this machine.
fn check(x: [usize; 4], out: usize, kernel: [usize; 2], options: Conv2dOptions) {
    for relu in [false, true] {
        let shapes = shapes(x, out, kernel, Conv2dOptions { relu, ..options });
        let [height, width] = shapes.output;
        let (x, weight) = (tensor(x, 1), tensor(shapes.weight(), 2));
        let bias = tensor([out], 3);
        let upstream = tensor([shapes.batch, height, width, out], 4);
        let expected = naive(&x, &weight, &bias, &values(&upstream), shapes.options);
        let [x, weight] = [values(&x), values(&weight)];
        let near = |what: &str, found: &FlexTensor, expected: &[f64]| {
            let error = relative_error(elements(found), expected);
            assert!(error < 2e-6, "{what} of {shapes:?}: {error:.2e}");
        };
        let output = forward(&shapes, &x, &weight, Some(&values(&bias)));
        near("output", &output, &expected.output);
        let mut gradient = values(&upstream);
        for (gradient, output) in gradient.iter_mut().zip(&expected.output) {
            if relu && *output == 0.0 {
                *gradient = 0.0;
            }
        }
        let of_input = input_gradient(&shapes, &weight, &gradient);
        near("gradient of the input", &of_input, &expected.x);
        let of_weight = weight_gradient(&shapes, &x, &gradient);
        near("gradient of the weight", &of_weight, &expected.weight);
    }
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for (x, out, kernel, options) in [
        ([1, 8, 8, 16], 32, 3, strided(2, 1)),
        ([3, 7, 9, 17], 35, 3, strided(2, 1)),
        ([2, 11, 10, 16], 33, 3, strided(3, 0)),
        ([2, 9, 8, 20], 32, 5, strided(2, 2)),
        ([1, 6, 7, 16], 40, 1, strided(2, 1)),
        ([2, 7, 6, 16], 32, 1, strided(2, 0)),
        ([5, 5, 6, 18], 33, 2, strided(1, 1)),
        ([2, 4, 4, 3], 5, 3, strided(2, 1)),
        // Several blocks of the depth, and images that no block of rows divides.
        ([19, 8, 8, 64], 70, 3, strided(2, 1)),
        ([2, 14, 13, 40], 64, 5, strided(1, 2)),
    ] {
        check(x, out, [kernel; 2], options);
    }
}

#[test]
fn windows_that_reach_far_out_of_the_image_match_naive_loops() {
    // An image narrower than the stride, and one that is nearly all padding.
    check([2, 5, 1, 16], 32, [3, 3], strided(2, 1));
    check([1, 2, 3, 16], 32, [5, 5], strided(2, 3));
    check([2, 1, 1, 16], 32, [3, 3], strided(3, 4));
}

#[test]
fn axes_are_independent() {
    let options = Conv2dOptions {
        stride: [1, 2],
        padding: [0, 2],
        ..Default::default()
    };
    // A row that is longer than a block.
    check([2, 1, 601, 16], 33, [1, 5], options);
    let options = Conv2dOptions {
        stride: [3, 1],
        padding: [2, 0],
        ..Default::default()
    };
    check([2, 9, 6, 16], 32, [4, 3], options);
}

#[test]
fn windows_longer_than_a_block_is_wide_match_naive_loops() {
    let shapes = shapes([2, 4, 3, 300], 256, [3, 3], strided(2, 1));
    let (x, weight) = (tensor([2, 4, 3, 300], 1), tensor(shapes.weight(), 2));
    let upstream = tensor([2, 2, 2, 256], 3);
    let bias = tensor([256], 4);
    let expected = naive(&x, &weight, &bias, &values(&upstream), shapes.options);
    let found = input_gradient(&shapes, &values(&weight), &values(&upstream));
    let error = relative_error(elements(&found), &expected.x);
    assert!(error < 2e-6, "{error:.2e}");
}

#[test]
fn an_empty_batch_gives_empty_results() {
    let shapes = shapes([0, 8, 8, 16], 32, [3, 3], strided(2, 1));
    let weight = numbers(32 * 16 * 9, 1);
    assert!(elements(&forward(&shapes, &[], &weight, None)).is_empty());
    assert!(elements(&input_gradient(&shapes, &weight, &[])).is_empty());
    let gradient = weight_gradient(&shapes, &[], &[]);
    assert!(elements(&gradient).iter().all(|value| *value == 0.0));
}

#[test]
fn runs_are_bit_identical_and_threads_change_no_pixel() {
    let shapes = shapes([13, 8, 8, 32], 48, [3, 3], strided(2, 1));
    let (x, weight) = (numbers(13 * 8 * 8 * 32, 1), numbers(48 * 32 * 9, 2));
    let gradient = numbers(13 * 4 * 4 * 48, 3);
    let bits = |found: FlexTensor| -> Vec<u32> {
        let values = elements(&found).iter();
        values.map(|value| value.to_bits()).collect()
    };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let pixels = [
                bits(forward(&shapes, &x, &weight, None)),
                bits(input_gradient(&shapes, &weight, &gradient)),
            ];
            (pixels, bits(weight_gradient(&shapes, &x, &gradient)))
        })
    };
    let [one, three, again] = [1, 3, 3].map(run);
    assert!(one.0 == three.0);
    assert!(three == again);
}

#[test]
fn what_it_is_not_made_for_goes_elsewhere() {
    let pays = |shapes: &Shapes| {
        [
            forward_pays(shapes),
            input_gradient_pays(shapes),
            weight_gradient_pays(shapes),
        ]
    };
    let batch = 4 * threads();
    let few = has_few_registers();
    let deep = shapes([batch, 16, 16, 512], 128, [3, 3], strided(2, 1));
    assert_eq!(pays(&deep), [false, false, few], "its windows are too long");
    let shallow = shapes([batch, 32, 32, 16], 32, [3, 3], strided(2, 1));
    assert_eq!(pays(&shallow), [false, false, few]);
    let both = shapes([batch, 8, 8, 64], 128, [3, 3], strided(2, 1));
    if Panels::new(64).widths() == [16, 8] {
        assert_eq!(pays(&both), [few; 3]);
    }
    let stem = shapes([batch, 32, 32, 3], 64, [7, 7], strided(2, 3));
    assert_eq!(pays(&stem), [false; 3]);
    for options in [
        Conv2dOptions {
            groups: 2,
            ..strided(2, 1)
        },
        Conv2dOptions {
            dilation: [1, 2],
            ..strided(1, 1)
        },
    ] {
        let other = shapes([batch, 16, 16, 512], 128, [3, 3], options);
        assert_eq!(pays(&other), [false; 3]);
    }
}
