//! Fixed sine and cosine positions on a grid.

use burn::tensor::{Device, Tensor, TensorData};

/// The 2-d sine-cosine table of MAE (He et al. 2021, `pos_embed.py`): the first half of the width encodes the column,
/// the second the row, each as sines then cosines of positions over 10000^(i / quarter).
///
/// # Shapes
/// `[1, extra + rows · columns, dim]`, the `extra` first tokens all zero. `dim` must be a multiple of four.
pub fn sine_cosine_grid(
    rows: usize,
    columns: usize,
    dim: usize,
    extra: usize,
    device: &Device,
) -> Tensor<3> {
    let quarter = dim / 4;
    let wave =
        |position: usize, i: usize| position as f64 / 10000f64.powf(i as f64 / quarter as f64);
    let mut values = vec![0f32; extra * dim];
    for row in 0..rows {
        for column in 0..columns {
            for position in [column, row] {
                values.extend((0..quarter).map(|i| wave(position, i).sin() as f32));
                values.extend((0..quarter).map(|i| wave(position, i).cos() as f32));
            }
        }
    }
    Tensor::from_data(
        TensorData::new(values, [1, extra + rows * columns, dim]),
        device,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;

    #[test]
    fn the_table_is_that_of_mae() {
        let table = sine_cosine_grid(1, 2, 8, 1, &tests_device());
        assert_eq!(table.dims(), [1, 3, 8]);
        let values: Vec<f32> = table.into_data().try_to_vec().unwrap();
        assert_eq!(&values[..8], &[0.0; 8]);
        assert_eq!(&values[8..16], &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        let second = [
            1f32.sin(),
            0.01f32.sin(),
            1f32.cos(),
            0.01f32.cos(),
            0.0,
            0.0,
            1.0,
            1.0,
        ];
        for (value, expected) in values[16..].iter().zip(second) {
            assert!((value - expected).abs() < 1e-6);
        }
    }
}
