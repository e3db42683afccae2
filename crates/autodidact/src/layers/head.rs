//! Projection and prediction heads of the joint-embedding methods.

use burn::module::Module;
use burn::tensor::Tensor;

use super::init::Init;
use super::linear::Linear;
use super::norm::BatchNorm;

/// Linear layers with batch norm and ReLU between them; the last one is plain linear, with batch norm after it where
/// the method asks for it.
#[derive(Module, Debug)]
pub struct Projector {
    layers: Vec<Linear>,
    norms: Vec<BatchNorm>,
    last: Linear,
    last_norm: Option<BatchNorm>,
}

impl Projector {
    /// Widths from input to output, at least two of them.
    pub fn new(widths: &[usize], normalize_output: bool, init: &mut Init) -> Self {
        let (inner, outer) = widths.split_at(widths.len() - 1);
        let pairs = inner.windows(2);
        // A bias right before a batch norm is subtracted again by it.
        let layers = pairs
            .clone()
            .map(|w| Linear::new(w[0], w[1], false, init))
            .collect();
        let norms = pairs.map(|w| BatchNorm::new(w[1], init)).collect();
        let last = Linear::new(inner[inner.len() - 1], outer[0], !normalize_output, init);
        let last_norm = normalize_output.then(|| BatchNorm::new(outer[0], init));
        Self {
            layers,
            norms,
            last,
            last_norm,
        }
    }

    /// `[batch, first width]` → `[batch, last width]`.
    pub fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (layer, norm) in self.layers.iter().zip(&self.norms) {
            x = norm.relu(layer.forward(x));
        }
        let x = self.last.forward(x);
        match &self.last_norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

/// Rows scaled to length 1.
pub fn normalize(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().square().sum_dim(1).add_scalar(1e-12).sqrt();
    x / length
}
