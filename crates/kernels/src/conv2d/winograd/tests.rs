use burn::tensor::Tensor;

use pulp::{Scalar, Scalar128b, Simd, WithSimd};

use super::super::shapes::Shapes;
use super::super::tests::{Naive, check, naive};
use super::super::{Conv2dOptions, conv2d, conv2d_reference};
use super::convolution::Right;
use super::products::Term;
use super::tiles::Plan;
use super::{UNIT, applies, components, products, strided, transform, wide};
use crate::oracle::{device, numbers, relative_error, tensor, values};
use crate::tile::Panels;

fn padded(padding: [usize; 2]) -> Conv2dOptions {
    Conv2dOptions {
        padding,
        ..Default::default()
    }
}

fn shapes(
    [batch, height, width, channels]: [usize; 4],
    out: usize,
    options: Conv2dOptions,
) -> Shapes {
    Shapes {
        batch,
        input: [height, width],
        channels,
        output: options.output_size([height, width], [3, 3]),
        out,
        kernel: [3, 3],
        options,
    }
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for (shape, out, padding) in [
        ([1, 4, 4, 16], 16, [1, 1]),
        ([2, 8, 6, 32], 16, [1, 1]),
        ([2, 7, 9, 16], 48, [1, 1]),
        ([1, 10, 12, 48], 32, [0, 0]),
        ([3, 9, 8, 16], 32, [0, 1]),
        ([1, 6, 8, 32], 32, [2, 3]),
        ([13, 4, 4, 64], 80, [1, 1]),
        ([5, 31, 29, 16], 16, [1, 1]),
    ] {
        for relu in [false, true] {
            let options = Conv2dOptions {
                relu,
                ..padded(padding)
            };
            assert!(applies(&shapes(shape, out, options)), "{shape:?} {out}");
            check(tensor(shape, 1), out, [3, 3], options);
        }
    }
}

/// The errors of the output and of both gradients, at most twice those of Burn's own operations.
fn check_errors(shape: [usize; 4], out: usize, options: Conv2dOptions) {
    let run = |convolve: fn(Tensor<4>, Tensor<4>, Conv2dOptions) -> Tensor<4>| {
        let x = tensor(shape, 1).require_grad();
        let weight = tensor([out, shape[3], 3, 3], 2).require_grad();
        let output = convolve(x.clone(), weight.clone(), options);
        let upstream = tensor(output.dims(), 3);
        let gradients = (output.clone() * upstream.clone()).sum().backward();
        let bias = Tensor::zeros([out], &device());
        let exact = naive(&x, &weight, &bias, &values(&upstream), options);
        let found = [
            values(&output),
            values(&x.grad(&gradients).unwrap()),
            values(&weight.grad(&gradients).unwrap()),
        ];
        let Naive {
            output, x, weight, ..
        } = exact;
        let exact = [output, x, weight];
        std::array::from_fn::<f64, 3, _>(|i| relative_error(&found[i], &exact[i]))
    };
    let ours = run(|x, weight, options| conv2d(x, weight, None, options));
    let twins = run(|x, weight, options| conv2d_reference(x, weight, None, options));
    for (part, (ours, twins)) in ours.iter().zip(twins).enumerate() {
        assert!(
            *ours <= 2.0 * twins,
            "{part} of {shape:?} to {out}: {ours:.2e}, {twins:.2e}"
        );
    }
}

#[test]
fn errors_are_at_most_twice_those_of_burns_own_operations() {
    for (shape, out) in [
        ([2, 16, 16, 16], 16),
        ([2, 8, 8, 64], 64),
        ([1, 8, 8, 128], 96),
        ([3, 4, 4, 256], 64),
    ] {
        check_errors(shape, out, padded([1, 1]));
    }
}

#[test]
fn so_are_those_with_a_stride() {
    for (shape, out) in [
        ([2, 16, 16, 16], 32),
        ([3, 9, 15, 16], 16),
        ([1, 8, 10, 64], 128),
        ([7, 7, 7, 48], 16),
        ([13, 8, 7, 32], 64),
        ([2, 8, 8, 128], 64),
        ([2, 8, 8, 80], 48),
    ] {
        let options = Conv2dOptions {
            stride: [2, 2],
            ..padded([1, 1])
        };
        let taken = shapes(shape, out, options);
        assert!(strided::applies(&taken), "{shape:?}");
        check_errors(shape, out, options);
    }
}

#[test]
fn with_a_stride_an_empty_batch_gives_an_empty_output() {
    let options = Conv2dOptions {
        stride: [2, 2],
        ..padded([1, 1])
    };
    let x = Tensor::<4>::zeros([0, 8, 8, 16], &device()).require_grad();
    let weight = tensor([16, 16, 3, 3], 1).require_grad();
    let output = conv2d(x.clone(), weight.clone(), None, options);
    assert_eq!(output.dims(), [0, 4, 4, 16]);
    let gradients = output.sum().backward();
    assert_eq!(x.grad(&gradients).unwrap().dims(), x.dims());
    let gradient = values(&weight.grad(&gradients).unwrap());
    assert!(gradient.iter().all(|value| *value == 0.0));
}

#[test]
fn nothing_infinite_or_undefined_is_hidden() {
    for (value, relu) in [(f32::NAN, true), (f32::NAN, false), (f32::INFINITY, false)] {
        let mut x = numbers(6 * 6 * 16, 1);
        x[100] = value;
        let x = Tensor::<1>::from_floats(x.as_slice(), &device()).reshape([1, 6, 6, 16]);
        let options = Conv2dOptions {
            relu,
            ..padded([1, 1])
        };
        let output = values(&conv2d(x, tensor([16, 16, 3, 3], 2), None, options));
        assert!(output.iter().any(|value| !value.is_finite()));
    }
}

#[test]
fn an_empty_batch_gives_an_empty_output() {
    let x = Tensor::<4>::zeros([0, 4, 4, 16], &device()).require_grad();
    let weight = tensor([16, 16, 3, 3], 1).require_grad();
    let output = conv2d(x.clone(), weight.clone(), None, padded([1, 1]));
    assert_eq!(output.dims(), [0, 4, 4, 16]);
    let gradients = output.sum().backward();
    assert_eq!(x.grad(&gradients).unwrap().dims(), x.dims());
    let gradient = values(&weight.grad(&gradients).unwrap());
    assert!(gradient.iter().all(|value| *value == 0.0));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn it_goes_before_vectors_of_pairs_and_not_before_tiles() {
    use crate::bfloat::Engine;
    use crate::conv2d::mixed::multiplies;

    let taken = shapes([8, 4, 4, 64], 64, padded([1, 1]));
    assert!(!multiplies(Engine::Vectors, &taken) && multiplies(Engine::Tiles, &taken));
    let left = shapes([8, 3, 3, 64], 64, padded([1, 1]));
    assert!(multiplies(Engine::Vectors, &left));
}

#[test]
fn where_tiles_would_reach_far_past_the_image_the_convolution_is_direct() {
    assert!(!applies(&shapes([8, 1, 1, 64], 64, padded([1, 1]))));
    assert!(!applies(&shapes([8, 3, 3, 64], 64, padded([1, 1]))));
    assert!(applies(&shapes([8, 4, 4, 64], 64, padded([1, 1]))));
    // Three channels fill no vector.
    assert!(!applies(&shapes([8, 32, 32, 3], 64, padded([1, 1]))));
}

#[test]
fn wide_tiles_are_taken_where_they_multiply_less() {
    for (size, expected) in [
        ([8, 2], false),
        ([8, 3], false),
        ([3, 8], false),
        ([4, 4], true),
        ([8, 6], false),
        ([8, 7], true),
        ([32, 32], true),
    ] {
        assert_eq!(wide(size), expected, "{size:?}");
    }
}

#[test]
fn a_kernel_of_one_pixel_in_the_middle_copies_it() {
    let mut taps = [0.0; 9];
    taps[4] = 1.0;
    let mut values = [0.0; components(4)];
    transform::kernel::<4>(&taps, &mut values);
    // G e G' of the middle: the outer product of (0, ½, −½, 0) with itself.
    let column = [0.0, 0.5, -0.5, 0.0];
    for (i, row) in values.chunks(4).enumerate() {
        for (j, value) in row.iter().enumerate() {
            assert_eq!(*value, column[i] * column[j]);
        }
    }
}

/// Both products of one width of vectors against naive loops.
struct Products<const L: usize, const P: usize> {
    terms: &'static [Term],
    depth: usize,
    columns: usize,
    tiles: usize,
}

impl<const L: usize, const P: usize> WithSimd for Products<L, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            terms,
            depth,
            columns,
            tiles,
        } = self;
        let lanes = S::F32_LANES;
        let panels = Panels::of_lanes(lanes, columns);
        let (left, product) = (Plan::<L>::new(depth), Plan::<P>::new(columns));
        let room = tiles.next_multiple_of(UNIT);
        let in_vectors = |components: usize, component: usize, channel: usize| {
            (channel / lanes * components + component) * lanes + channel % lanes
        };
        let taken_at = |tile: usize, component: usize, channel: usize| {
            tile * left.tile() + in_vectors(components(L), component, channel)
        };
        let product_at = |tile: usize, component: usize, channel: usize| {
            tile * product.tile() + in_vectors(components(P), component, channel)
        };
        let packed = |k: usize, column: usize| {
            let (first, _, width) = panels.panel(column / (2 * lanes));
            depth * first + k * width + column - first
        };
        let pitch = depth * columns;
        let taken = numbers(left.length(room), 1);
        let right = Right {
            values: numbers(terms.len() * pitch, 2),
            pitch,
            depth,
            panels,
        };
        let mut found = vec![0.0; product.length(room)];
        let taken_by = (&taken[..], left);
        products::multiply(simd, taken_by, &right, terms, tiles, (&mut found, product));
        let spread = numbers(product.length(tiles), 3);
        let spread_by = (&spread[..], product);
        let mut sums = vec![1.0; terms.len() * pitch];
        products::correlate(simd, taken_by, spread_by, terms, panels, tiles, &mut sums);

        let (mut multiplied, mut expected) = (Vec::new(), Vec::new());
        let (mut summed, mut expected_sums) = (Vec::new(), Vec::new());
        for column in 0..columns {
            for terms in terms.chunk_by(|one, next| one.product == next.product) {
                for tile in 0..tiles {
                    multiplied.push(found[product_at(tile, terms[0].product, column)]);
                    let sum = |term: &Term| -> f64 {
                        let weight = right.component(term.right);
                        let products = (0..depth).map(|k| {
                            let taken = taken[taken_at(tile, term.left, k)];
                            f64::from(taken) * f64::from(weight[packed(k, column)])
                        });
                        products.sum()
                    };
                    expected.push(terms.iter().map(sum).sum::<f64>());
                }
            }
            for term in terms {
                for k in 0..depth {
                    summed.push(sums[term.right * pitch + packed(k, column)]);
                    let products = (0..tiles).map(|tile| {
                        let spread = spread[product_at(tile, term.product, column)];
                        f64::from(taken[taken_at(tile, term.left, k)]) * f64::from(spread)
                    });
                    expected_sums.push(1.0 + products.sum::<f64>());
                }
            }
        }
        let errors = [
            relative_error(&multiplied, &expected),
            relative_error(&summed, &expected_sums),
        ];
        assert!(
            errors.iter().all(|error| *error < 1e-6),
            "{depth} -> {columns} of {tiles} tiles, {} terms, in vectors of {lanes}: {errors:?}",
            terms.len(),
        );
    }
}

fn check_products<S: Simd>(simd: S) {
    for (depth, columns, tiles) in [
        (16, 16, 5),
        (48, 16, 12),
        (32, 48, 25),
        (64, 80, 1),
        (80, 32, 7),
    ] {
        fn of<const L: usize, const P: usize>(
            terms: &'static [Term],
            [depth, columns, tiles]: [usize; 3],
        ) -> Products<L, P> {
            Products {
                terms,
                depth,
                columns,
                tiles,
            }
        }
        let sizes = [depth, columns, tiles];
        simd.vectorize(of::<4, 4>(Term::each::<4>(), sizes));
        simd.vectorize(of::<6, 6>(Term::each::<6>(), sizes));
        simd.vectorize(of::<7, 3>(&strided::FORWARD, sizes));
        simd.vectorize(of::<4, 7>(&strided::BACKWARD, sizes));
    }
}

#[test]
fn products_of_every_vector_width_match_naive_loops() {
    check_products(Scalar);
    check_products(Scalar128b);
    #[cfg(target_arch = "x86_64")]
    {
        pulp::x86::V3::try_new()
            .into_iter()
            .for_each(check_products);
        pulp::x86::V4::try_new()
            .into_iter()
            .for_each(check_products);
    }
}
