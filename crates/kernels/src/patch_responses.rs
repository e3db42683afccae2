//! How much the patches of an image are like those of a dictionary (Coates, Lee & Ng 2011, *An Analysis of Single-Layer
//! Networks in Unsupervised Feature Learning*).
//!
//! Every square patch of the image, less its mean and over its deviation, meets every atom of the dictionary; what is
//! above the atom's offset counts, and its mean over each cell of a coarse grid is the output. A convolution can't say
//! that, for each patch is normalized by itself, and would write what this only sums: at 1024 atoms the responses of an
//! image of 32 × 32 are 3 MB, their means over 2 × 2 cells 16 KB.
//!
//! The features are fixed: no gradient passes. The product of `patches × (size² · channels) × atoms` multiply-adds is all
//! of the cost; responses are summed while their block is in the second-level cache.

use burn::tensor::{Tensor, activation::relu};

#[cfg(feature = "flex")]
mod fused;

/// How patches are cut, normalized and gathered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patches {
    /// Edge of a patch in pixels.
    pub size: usize,
    /// Pixels from one patch to the next.
    pub stride: usize,
    /// Cells of the grid along each axis.
    pub cells: usize,
    /// Added to a patch's variance before it divides, so that noise in flat patches stays small.
    pub floor: f32,
}

impl Patches {
    /// Patches along each axis of an image of `[height, width]` pixels.
    ///
    /// # Panics
    /// If the image holds fewer patches along an axis than there are cells, or a size is zero.
    pub fn along(&self, size: [usize; 2]) -> [usize; 2] {
        assert!(
            self.size > 0 && self.stride > 0 && self.cells > 0,
            "patches: size, stride and cells must be at least 1"
        );
        size.map(|length| {
            let count = length
                .checked_sub(self.size)
                .map_or(0, |free| free / self.stride + 1);
            assert!(
                count >= self.cells,
                "patches: {count} patches of {} pixels along {length} pixels are too few for {} cells",
                self.size,
                self.cells
            );
            count
        })
    }

    /// What part each patch has in the mean of each cell, `[cells · cells, rows · columns]`.
    pub fn shares(&self, [rows, columns]: [usize; 2]) -> Vec<f32> {
        let (cells, positions) = (self.cells_of([rows, columns]), rows * columns);
        let sizes = self.sizes(&cells);
        let mut shares = vec![0.0; sizes.len() * positions];
        for (position, &cell) in cells.iter().enumerate() {
            shares[cell * positions + position] = 1.0 / sizes[cell] as f32;
        }
        shares
    }

    /// How many of the patches are in each cell.
    fn sizes(&self, cells: &[usize]) -> Vec<usize> {
        let mut sizes = vec![0; self.cells * self.cells];
        for &cell in cells {
            sizes[cell] += 1;
        }
        sizes
    }

    /// The cell of each patch, row by row: both axes are cut into nearly equal parts.
    fn cells_of(&self, [rows, columns]: [usize; 2]) -> Vec<usize> {
        let cell = |place: usize, count: usize| place * self.cells / count;
        (0..rows)
            .flat_map(|row| {
                (0..columns).map(move |column| cell(row, rows) * self.cells + cell(column, columns))
            })
            .collect()
    }
}

/// The mean response of each atom over each cell of a grid: `mean(max(0, patch · atom − offset))` over normalized patches.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]`
/// - `atoms`: `[atoms, size · size · channels]`, each laid out as a patch of such an image
/// - `offsets`: `[atoms]`
/// - returns `[batch, cells · cells, atoms]`, cells row by row, without a gradient
///
/// # Panics
/// If the shapes don't fit one another, or the image is too small, see [`Patches::along`].
pub fn patch_responses(
    x: Tensor<4>,
    atoms: Tensor<2>,
    offsets: Tensor<1>,
    patches: Patches,
) -> Tensor<3> {
    let [_, height, width, channels] = x.dims();
    patches.along([height, width]);
    let ([count, values], expected) = (atoms.dims(), patches.size * patches.size * channels);
    assert!(
        values == expected && offsets.dims() == [count],
        "patch_responses: atoms {:?} and offsets {:?} for patches of {expected} values",
        atoms.dims(),
        offsets.dims()
    );
    let (x, atoms, offsets) = (x.detach(), atoms.detach(), offsets.detach());
    #[cfg(feature = "flex")]
    {
        let [x, atoms] = [x.into_dispatch(), atoms.into_dispatch()];
        let offsets = offsets.into_dispatch();
        if values <= crate::product::SHALLOW && crate::operation::fusible(&[&x, &atoms, &offsets]) {
            return Tensor::from_dispatch(fused::patch_responses(x, atoms, offsets, patches));
        }
        let (x, atoms) = (Tensor::from_dispatch(x), Tensor::from_dispatch(atoms));
        patch_responses_reference(x, atoms, Tensor::from_dispatch(offsets), patches)
    }
    #[cfg(not(feature = "flex"))]
    patch_responses_reference(x, atoms, offsets, patches)
}

/// [`patch_responses`] composed of Burn's own operations, for any device.
pub fn patch_responses_reference(
    x: Tensor<4>,
    atoms: Tensor<2>,
    offsets: Tensor<1>,
    patches: Patches,
) -> Tensor<3> {
    let [batch, height, width, channels] = x.dims();
    let along = patches.along([height, width]);
    let (values, count) = (atoms.dims()[1], atoms.dims()[0]);
    let (device, positions) = (x.device(), along[0] * along[1]);
    let window = burn::tensor::ops::UnfoldOptions::new([patches.stride; 2], [0; 2], [1; 2]);
    // Values of a patch come channel by channel, and go pixel by pixel.
    let cut = burn::tensor::module::unfold4d(x.permute([0, 3, 1, 2]), [patches.size; 2], window)
        .reshape([batch, channels, values / channels.max(1), positions])
        .permute([0, 3, 2, 1])
        .reshape([batch * positions, values]);
    let centered = cut.clone() - cut.mean_dim(1);
    let variance = centered.clone().square().mean_dim(1);
    let normalized = centered / variance.add_scalar(patches.floor).sqrt();
    let above = relu(normalized.matmul(atoms.transpose()) - offsets.unsqueeze());
    let grid = patches.cells * patches.cells;
    if batch == 0 {
        return Tensor::zeros([0, grid, count], &device);
    }
    let shares = burn::tensor::TensorData::new(patches.shares(along), [1, grid, positions]);
    Tensor::<3>::from_data(shares, &device)
        .expand([batch, grid, positions])
        .matmul(above.reshape([batch, positions, count]))
}

#[cfg(all(test, feature = "flex"))]
mod tests;
