//! The loops of batch normalization over a block of memory, stretch by stretch: the numbers of the
//! channels come repeated over a stretch, so that all vectors are full.

use crate::vectorized::vectorized;

/// The sums of the differences from `shift` and of their squares.
pub(crate) fn shifted_sums(x: &[f32], shift: &[f32], sum: &mut [f32], square: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for x in x.chunks(shift.len()) {
                let sums = sum.iter_mut().zip(square.iter_mut());
                for (((sum, square), x), shift) in sums.zip(x).zip(shift) {
                    let d = x - shift;
                    *sum += d;
                    *square += d * d;
                }
            }
        },
    );
}

/// The output.
pub(crate) fn normalize(
    x: &[f32],
    (mean, scale, beta): (&[f32], &[f32], &[f32]),
    residual: Option<&[f32]>,
    relu: bool,
    dest: &mut [f32],
) {
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    let stretch = mean.len();
    vectorized(
        #[inline(always)]
        || match residual {
            Some(residual) => {
                let blocks = dest.chunks_mut(stretch).zip(x.chunks(stretch));
                for ((dest, x), residual) in blocks.zip(residual.chunks(stretch)) {
                    let constants = mean.iter().zip(scale).zip(beta);
                    let values = dest.iter_mut().zip(x).zip(residual);
                    for (((dest, x), residual), ((mean, scale), beta)) in values.zip(constants) {
                        let y = (x - mean) * scale + beta + residual;
                        *dest = if y < floor { floor } else { y };
                    }
                }
            }
            None => {
                for (dest, x) in dest.chunks_mut(stretch).zip(x.chunks(stretch)) {
                    let constants = mean.iter().zip(scale).zip(beta);
                    for ((dest, x), ((mean, scale), beta)) in dest.iter_mut().zip(x).zip(constants)
                    {
                        let y = (x - mean) * scale + beta;
                        *dest = if y < floor { floor } else { y };
                    }
                }
            }
        },
    );
}

/// The sums of a gradient, and of its products with what `x` differs by from the mean.
pub(crate) fn gradient_sums(
    gradient: &[f32],
    x: &[f32],
    mean: &[f32],
    sum: &mut [f32],
    product: &mut [f32],
) {
    let stretch = mean.len();
    vectorized(
        #[inline(always)]
        || {
            for (gradient, x) in gradient.chunks(stretch).zip(x.chunks(stretch)) {
                let sums = sum.iter_mut().zip(product.iter_mut()).zip(mean);
                for ((((sum, product), mean), g), x) in sums.zip(gradient).zip(x) {
                    *sum += g;
                    *product += g * (x - mean);
                }
            }
        },
    );
}

/// As [`gradient_sums`], of the gradient before a ReLU, whose input is made again of the mean, the
/// scale and beta.
pub(crate) fn gradient_sums_again(
    gradient: &[f32],
    x: &[f32],
    [mean, scale, beta]: [&[f32]; 3],
    sum: &mut [f32],
    product: &mut [f32],
) {
    let stretch = mean.len();
    vectorized(
        #[inline(always)]
        || {
            for (gradient, x) in gradient.chunks(stretch).zip(x.chunks(stretch)) {
                let sums = sum.iter_mut().zip(product.iter_mut());
                let constants = mean.iter().zip(scale).zip(beta);
                let values = gradient.iter().zip(x).zip(constants);
                for ((sum, product), ((g, x), ((mean, scale), beta))) in sums.zip(values) {
                    let d = x - mean;
                    let through = if d * scale + beta > 0.0 { *g } else { 0.0 };
                    *sum += through;
                    *product += through * d;
                }
            }
        },
    );
}

/// As [`gradient_sums`], of the gradient before a ReLU, which is written in place.
pub(crate) fn gradient_sums_relu(
    gradient: &mut [f32],
    output: &[f32],
    x: &[f32],
    mean: &[f32],
    sum: &mut [f32],
    product: &mut [f32],
) {
    let stretch = mean.len();
    vectorized(
        #[inline(always)]
        || {
            let blocks = gradient.chunks_mut(stretch).zip(output.chunks(stretch));
            for ((gradient, output), x) in blocks.zip(x.chunks(stretch)) {
                let sums = sum.iter_mut().zip(product.iter_mut()).zip(mean);
                let values = gradient.iter_mut().zip(output).zip(x);
                for (((sum, product), mean), ((gradient, output), x)) in sums.zip(values) {
                    let g = if *output > 0.0 { *gradient } else { 0.0 };
                    *gradient = g;
                    *sum += g;
                    *product += g * (x - mean);
                }
            }
        },
    );
}

/// The gradient of the input in place of that of the output; where there is a `beta`, of an output that
/// went through a ReLU.
pub(crate) fn input_gradient_in_place(
    gradient: &mut [f32],
    x: &[f32],
    constants: [&[f32]; 4],
    beta: Option<&[f32]>,
) {
    let [scale, offset, slope, mean] = constants;
    let stretch = mean.len();
    vectorized(
        #[inline(always)]
        || {
            for (gradient, x) in gradient.chunks_mut(stretch).zip(x.chunks(stretch)) {
                let constants = scale.iter().zip(offset).zip(slope).zip(mean);
                let values = gradient.iter_mut().zip(x).zip(constants);
                let Some(beta) = beta else {
                    for ((g, x), (((scale, offset), slope), mean)) in values {
                        *g = scale * (*g - offset - (x - mean) * slope);
                    }
                    continue;
                };
                for (((g, x), (((scale, offset), slope), mean)), beta) in values.zip(beta) {
                    let d = x - mean;
                    let through = if d * scale + beta > 0.0 { *g } else { 0.0 };
                    *g = scale * (through - offset - d * slope);
                }
            }
        },
    );
}

/// As [`input_gradient_in_place`], written elsewhere.
pub(crate) fn input_gradient(
    dest: &mut [f32],
    gradient: &[f32],
    x: &[f32],
    constants: [&[f32]; 4],
    beta: Option<&[f32]>,
) {
    let [scale, offset, slope, mean] = constants;
    let stretch = mean.len();
    vectorized(
        #[inline(always)]
        || {
            let blocks = dest.chunks_mut(stretch).zip(gradient.chunks(stretch));
            for ((dest, gradient), x) in blocks.zip(x.chunks(stretch)) {
                let constants = scale.iter().zip(offset).zip(slope).zip(mean);
                let values = dest.iter_mut().zip(gradient).zip(x).zip(constants);
                let Some(beta) = beta else {
                    for (((dest, g), x), (((scale, offset), slope), mean)) in values {
                        *dest = scale * (g - offset - (x - mean) * slope);
                    }
                    continue;
                };
                for ((((dest, g), x), (((scale, offset), slope), mean)), beta) in values.zip(beta) {
                    let d = x - mean;
                    let through = if d * scale + beta > 0.0 { *g } else { 0.0 };
                    *dest = scale * (through - offset - d * slope);
                }
            }
        },
    );
}
