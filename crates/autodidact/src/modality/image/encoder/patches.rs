//! A dictionary of patches, and a linear map of how often each occurs where.
//!
//! Coates, Lee & Ng 2011 (*An Analysis of Single-Layer Networks in Unsupervised Feature Learning*): patches of the images,
//! whitened, are gathered around a few hundred directions by k-means; an image is how much its patches go along each, over
//! a coarse grid. Nothing of that is learned by gradient, and all of it in seconds. What a method then learns is the linear
//! map from these features to a short vector, in closed form or by gradient.

use autodidact_kernels::{Activation, Patches, linear, patch_responses};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use rand::RngExt;

use crate::error::{Error, Result};
use crate::export::onnx::{Attribute, OnnxModel, Value};
use crate::layers::Init;
use crate::layers::closed_form::{Whitening, spherical_kmeans};
use crate::layers::state::replaced;
use crate::modality::Readout;
use crate::random::Rng;

/// Added to the variance of a patch of normalized pixels: about what the noise of a sensor comes to.
const FLOOR: f32 = 2.5e-3;
/// Added to the variance along the axes of patches before they are whitened, of those of 1 in all.
const WHITENING_FLOOR: f64 = 0.1;
/// How far a patch has to go along an atom to count, in deviations of white noise.
const THRESHOLD: f32 = 1.0;
/// Rounds of k-means.
const ROUNDS: usize = 10;
/// Values of the patches that a dictionary is learned from, about: 200,000 patches of 6 × 6 pixels in color.
const VALUES: usize = 200_000 * 108;

/// Fixed features of patches, and a linear map that learns.
#[derive(Module, Debug)]
pub struct PatchDictionary {
    /// What patches are compared with, `[atoms, size · size · channels]`, whitening included.
    pub atoms: Param<Tensor<2>>,
    /// What a response has to be above, `[atoms]`.
    pub offsets: Param<Tensor<1>>,
    /// The mean of the features, `[cells · cells · atoms]`.
    pub mean: Param<Tensor<1>>,
    /// From features to the vector, `[dim, cells · cells · atoms]`.
    pub readout: Param<Tensor<2>>,
    size: usize,
    stride: usize,
    cells: usize,
}

impl PatchDictionary {
    /// Random atoms and a random map, for images of `channels` values a pixel.
    pub fn new(
        atoms: usize,
        [size, stride, cells]: [usize; 3],
        dim: usize,
        channels: usize,
        init: &mut Init,
    ) -> Self {
        let values = size * size * channels;
        let features = cells * cells * atoms;
        // Of length 1, about, as those that are learned.
        let random = init.normal([atoms, values], (values as f32).sqrt().recip());
        Self {
            atoms: random.set_require_grad(false),
            offsets: init.constant([atoms], THRESHOLD).set_require_grad(false),
            mean: init.constant([features], 0.0).set_require_grad(false),
            readout: init.normal([dim, features], (features as f32).sqrt().recip()),
            size,
            stride,
            cells,
        }
    }

    fn patches(&self) -> Patches {
        Patches {
            size: self.size,
            stride: self.stride,
            cells: self.cells,
            floor: FLOOR,
        }
    }

    /// The square root of each atom's mean response in each cell, `[batch, height, width, channels]` →
    /// `[batch, cells · cells · atoms]`, without a gradient. The root makes the much of a common patch count less beside
    /// the little of a rare one.
    pub fn features(&self, pixels: Tensor<4>) -> Tensor<2> {
        let (atoms, offsets) = (self.atoms.val(), self.offsets.val());
        patch_responses(pixels, atoms, offsets, self.patches())
            .sqrt()
            .flatten(1, 2)
    }

    /// The vector of each image, `[batch, dim]`.
    pub fn encode(&self, pixels: Tensor<4>) -> Tensor<2> {
        let centered = self.features(pixels) - self.mean.val().unsqueeze();
        linear(centered, self.readout.val(), None, Activation::None)
    }

    /// What each cell contributes, times the number of cells, so that the mean of the tokens is the vector:
    /// `[batch, cells · cells, dim]`.
    pub fn tokens(&self, pixels: Tensor<4>) -> Tensor<3> {
        let centered = self.features(pixels) - self.mean.val().unsqueeze();
        let ([batch, features], dim) = (centered.dims(), self.dim());
        let cells = self.cells * self.cells;
        let atoms = features / cells;
        let centered = centered.reshape([batch, cells, atoms]).swap_dims(0, 1);
        let maps = self.readout.val().reshape([dim, cells, atoms]);
        let maps = maps.permute([1, 2, 0]);
        centered
            .matmul(maps)
            .swap_dims(0, 1)
            .mul_scalar(cells as f64)
    }

    /// Length of the vector.
    pub fn dim(&self) -> usize {
        self.readout.dims()[0]
    }

    /// How many features there are.
    pub fn width(&self) -> usize {
        self.readout.dims()[1]
    }

    /// The same network with another map.
    ///
    /// # Errors
    /// When it is one of other features.
    pub fn with_readout(self, readout: Readout) -> Result<Self> {
        let (width, dim) = (self.width(), self.dim());
        let Readout::Map { mean, map } = readout else {
            return Err(
                Error::run("weights of features for a network that maps them")
                    .expected(format!("a map to {dim} values")),
            );
        };
        if mean.len() != width || map.len() != width * dim {
            return Err(Error::run(format!(
                "a map of {} values for {width} features",
                map.len()
            ))
            .expected(format!("{dim} for each feature")));
        }
        Ok(Self {
            mean: replaced(self.mean, mean),
            readout: replaced(self.readout, map),
            ..self
        })
    }

    /// The same network with atoms learned from images, each `side` pixels square.
    ///
    /// # Errors
    /// When there are no images, or they hold no numbers.
    pub fn learned(
        self,
        images: &[&[f32]],
        [side, channels]: [usize; 2],
        rng: &mut Rng,
    ) -> Result<Self> {
        let [count, width] = self.atoms.dims();
        let positions = side - self.size + 1;
        let each = (VALUES / width)
            .div_ceil(images.len().max(1))
            .min(positions * positions);
        let line = self.size * channels;
        let mut rows = Vec::with_capacity(images.len() * each * width);
        for image in images {
            for _ in 0..each {
                let [top, left] = [(); 2].map(|()| rng.random_range(0..positions));
                let first = rows.len();
                for y in top..top + self.size {
                    let at = (y * side + left) * channels;
                    rows.extend_from_slice(&image[at..at + line]);
                }
                normalize(&mut rows[first..]);
            }
        }
        let whitening = Whitening::of(&rows, width, WHITENING_FLOOR)?;
        let directions = spherical_kmeans(&whitening.apply(&rows), width, count, ROUNDS, rng);
        // A direction of whitened patches, seen from patches as they are: the map is symmetric.
        let atoms = whitening.turn(&directions);
        let offsets: Vec<f32> = atoms
            .chunks_exact(width)
            .map(|atom| {
                let still: f32 = atom.iter().zip(&whitening.mean).map(|(a, m)| a * m).sum();
                still + THRESHOLD
            })
            .collect();
        Ok(Self {
            atoms: replaced(self.atoms, atoms),
            offsets: replaced(self.offsets, offsets),
            ..self
        })
    }

    /// [`PatchDictionary::encode`] as a graph, for images of `side` pixels square: `[batch, channels, side, side]` →
    /// `[batch, dim]`.
    pub fn draw(&self, onnx: &mut OnnxModel, pixels: &Value, side: usize) -> Value {
        let [atoms, values] = self.atoms.dims();
        let (size, cells) = (self.size, self.cells);
        let channels = values / (size * size);
        // Patches come pixel by pixel, and convolutions want them channel by channel.
        let kernel = self
            .atoms
            .val()
            .reshape([atoms, size, size, channels])
            .permute([0, 3, 1, 2]);
        let sums = self.atoms.val().sum_dim(1).reshape([1, atoms, 1, 1]);
        let window = [
            ("strides", Attribute::Ints(vec![self.stride as i64; 2])),
            ("pads", Attribute::Ints(vec![0; 4])),
        ];
        let kernel = onnx.weight("atoms", kernel);
        let mean_of = vec![(values as f32).recip(); values];
        let average = onnx.floats("average", &[1, channels, size, size], &mean_of);
        let sums = onnx.weight("sums", sums);
        let offsets = onnx.weight("offsets", self.offsets.val().reshape([1, atoms, 1, 1]));
        let floor = onnx.floats("floor", &[1], &[FLOOR]);
        let zero = onnx.floats("zero", &[1], &[0.0]);

        let along = onnx.node("Conv", &[pixels, &kernel], &window);
        let mean = onnx.node("Conv", &[pixels, &average], &window);
        let squares = onnx.node("Mul", &[pixels, pixels], &[]);
        let squares = onnx.node("Conv", &[&squares, &average], &window);
        let of_mean = onnx.node("Mul", &[&mean, &mean], &[]);
        let variance = onnx.node("Sub", &[&squares, &of_mean], &[]);
        // Rounding may leave a flat patch a little below zero.
        let variance = onnx.node("Max", &[&variance, &zero], &[]);
        let variance = onnx.node("Add", &[&variance, &floor], &[]);
        let deviation = onnx.node("Sqrt", &[&variance], &[]);
        let still = onnx.node("Mul", &[&mean, &sums], &[]);
        let response = onnx.node("Sub", &[&along, &still], &[]);
        let response = onnx.node("Div", &[&response, &deviation], &[]);
        let response = onnx.node("Sub", &[&response, &offsets], &[]);
        let response = onnx.node("Relu", &[&response], &[]);

        // The mean over a cell is a product with what part each position has in it.
        let along = self.patches().along([side, side]);
        let positions = along[0] * along[1];
        let shares = self.patches().shares(along);
        let shares = onnx.floats(
            "shares",
            &[positions, cells * cells],
            &transposed(&shares, positions),
        );
        let response = onnx.reshape(&response, &[0, atoms as i64, positions as i64]);
        let means = onnx.node("MatMul", &[&response, &shares], &[]);
        let means = onnx.transpose(&means, &[0, 2, 1]);
        let features = onnx.node("Sqrt", &[&means], &[]);
        let features = onnx.node("Flatten", &[&features], &[]);
        let mean = onnx.weight("mean", self.mean.val());
        let map = onnx.weight("readout", self.readout.val().transpose());
        let centered = onnx.node("Sub", &[&features, &mean], &[]);
        onnx.node("MatMul", &[&centered, &map], &[])
    }
}

/// `[rows, columns]` → `[columns, rows]`.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns.max(1);
    (0..values.len())
        .map(|k| values[k % rows * columns + k / rows])
        .collect()
}

/// Takes the mean off a patch and divides by its deviation, as the kernel does.
fn normalize(patch: &mut [f32]) {
    let size = patch.len() as f32;
    let mean = patch.iter().sum::<f32>() / size;
    let variance = patch.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / size;
    let scale = (variance + FLOOR).sqrt().recip();
    patch.iter_mut().for_each(|x| *x = (*x - mean) * scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::host;
    use crate::random::{Purpose, stream};
    use burn::tensor::TensorData;

    fn network(cells: usize) -> PatchDictionary {
        let mut init = Init::new(0, &tests_device());
        PatchDictionary::new(7, [3, 1, cells], 5, 2, &mut init)
    }

    fn pixels(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = stream(seed, Purpose::Synthetic, &[]);
        (0..count).map(|_| rng.random::<f32>() - 0.5).collect()
    }

    #[test]
    fn the_mean_of_the_tokens_is_the_vector() {
        let network = network(2);
        let x = TensorData::new(pixels(3 * 8 * 8 * 2, 1), [3, 8, 8, 2]);
        let x = Tensor::<4>::from_data(x, &tests_device());
        assert_eq!(network.features(x.clone()).dims(), [3, network.width()]);
        let whole = host(network.encode(x.clone()));
        let tokens = network.tokens(x);
        assert_eq!(tokens.dims(), [3, 4, 5]);
        for (whole, mean) in whole.iter().zip(host(tokens.mean_dim(1))) {
            assert!((whole - mean).abs() < 1e-5, "{whole} {mean}");
        }
    }

    #[test]
    fn learned_atoms_are_what_occurs() {
        // Images that are one patch over and over.
        let tile = pixels(3 * 3 * 2, 5);
        let image: Vec<f32> = (0..9 * 9 * 2)
            .map(|at| {
                let (y, x, channel) = (at / 18, at / 2 % 9, at % 2);
                tile[(y % 3 * 3 + x % 3) * 2 + channel]
            })
            .collect();
        let images: Vec<&[f32]> = vec![&image; 20];
        let mut rng = stream(0, Purpose::Weights, &[]);
        let before = network(1);
        let data = |image: &[f32]| {
            let x = TensorData::new(image.to_vec(), [1, 9, 9, 2]);
            Tensor::<4>::from_data(x, &tests_device())
        };
        let learned = before.clone().learned(&images, [9, 2], &mut rng).unwrap();
        let response = |network: &PatchDictionary, image: &[f32]| -> f32 {
            host(network.features(data(image))).iter().sum()
        };
        let noise = pixels(9 * 9 * 2, 6);
        let gain = |network| response(network, &image) / response(network, &noise).max(1e-6);
        assert!(
            gain(&learned) > 1.5 * gain(&before),
            "{} {}",
            gain(&learned),
            gain(&before)
        );
        let again = before.learned(&images, [9, 2], &mut stream(0, Purpose::Weights, &[]));
        assert_eq!(host(again.unwrap().atoms.val()), host(learned.atoms.val()));
    }

    #[test]
    fn a_map_of_other_features_is_refused() {
        let readout = Readout::Map {
            mean: vec![0.0; 3],
            map: vec![0.0; 15],
        };
        assert!(network(1).with_readout(readout).is_err());
    }
}
