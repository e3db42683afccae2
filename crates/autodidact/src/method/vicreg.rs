//! VICReg: two views of an item agree, while each dimension keeps its variance and no two dimensions say the same.
//!
//! Loss: 25 · MSE(z₁, z₂) + 25 · ½ Σ_branch mean(relu(1 − √(var + 1e-4))) + Σ_branch ‖offdiagonal covariance‖² / D, with
//! unbiased variances over the batch; z is not normalized.
//!
//! Bardes, Ponce & LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning"
//! (arXiv 2105.04906); official code: facebookresearch/vicreg. Differs: AdamW instead of LARS (SGD at a contrastive
//! method's rate diverges: the loss is some 25 times larger), and a narrower expander.
//!
//! `autodidact pretrain DATA --method vicreg`

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, positive, take, within};
use crate::error::Result;
use crate::layers::{Init, Projector};
use crate::modality::{Change, Encoder, Maskable, Need, Pretext};

/// The recipe's `[method]` for VICReg.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VicReg {
    /// Weight of the agreement of two views, 0 to 1000.
    pub invariance: f64,
    /// Weight of keeping each dimension's deviation at 1, 0 to 1000.
    pub variance: f64,
    /// Weight of decorrelating the dimensions, 0 to 1000.
    pub covariance: f64,
    /// Width of the expander's hidden layers.
    pub hidden: usize,
    /// Width of the expansion.
    pub projection: usize,
}

impl Default for VicReg {
    fn default() -> Self {
        Self {
            invariance: 25.0,
            variance: 25.0,
            covariance: 1.0,
            hidden: 1024,
            projection: 1024,
        }
    }
}

impl Objective for VicReg {
    const NAME: &'static str = "vicreg";
    const SUMMARY: &'static str =
        "statistics of a batch: views agree, dimensions vary and don't repeat each other";
    const SOURCE: &'static str = "Bardes et al. 2022, arXiv 2105.04906, facebookresearch/vicreg";
    const NEEDS: Need = Need::Vectors;
    type Method<E: Maskable> = VicRegMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext::new(2, Change::Strong, Self::NEEDS)
    }

    fn training(&self) -> Training {
        Training::adamw(1e-3, 1e-4)
    }

    fn check(&self) -> Result<()> {
        within("invariance", self.invariance, 0.0, 1000.0)?;
        within("variance", self.variance, 0.0, 1000.0)?;
        within("covariance", self.covariance, 0.0, 1000.0)?;
        positive("hidden", self.hidden)?;
        positive("projection", self.projection)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<VicRegMethod<E>> {
        let widths = [encoder.dim(), self.hidden, self.hidden, self.projection];
        let projector = Projector::new(&widths, false, init);
        Ok(VicRegMethod {
            encoder,
            projector,
            weights: [self.invariance, self.variance, self.covariance],
        })
    }
}

/// An encoder and its expander.
#[derive(Module, Debug)]
pub struct VicRegMethod<E: Encoder> {
    encoder: E,
    projector: Projector,
    weights: [f64; 3],
}

impl<E: Encoder> Method<E> for VicRegMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let views: [E::Batch; 2] = take(views, "VICReg")?;
        let [a, b] = views.map(|view| self.projector.forward(self.encoder.encode(&view)));
        Ok((vicreg(a, b, self.weights), ()))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

/// The three terms over two branches `[batch, dim]`, weighted by `[invariance, variance, covariance]`.
fn vicreg(a: Tensor<2>, b: Tensor<2>, [invariance, variance, covariance]: [f64; 3]) -> Loss {
    let agree = (a.clone() - b.clone()).square().mean();
    let (std_a, cov_a) = spread(a);
    let (std_b, cov_b) = spread(b);
    let deviation = (std_a + std_b).mul_scalar(0.5);
    let redundancy = cov_a + cov_b;
    let total = agree.clone().mul_scalar(invariance)
        + deviation.clone().mul_scalar(variance)
        + redundancy.clone().mul_scalar(covariance);
    Loss::new(total)
        .part("invariance", &agree)
        .part("variance", &deviation)
        .part("covariance", &redundancy)
}

/// How far the deviations fall short of 1, and the mean squared covariance between dimensions.
fn spread(z: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    let [rows, dim] = z.dims();
    let centered = z.clone() - z.mean_dim(0);
    let bessel = (rows.max(2) - 1) as f64;
    let variance = centered.clone().square().sum_dim(0).div_scalar(bessel); // [1, dim]
    let short = relu(
        variance
            .clone()
            .add_scalar(1e-4)
            .sqrt()
            .neg()
            .add_scalar(1.0),
    )
    .mean();
    let covariance = centered
        .clone()
        .transpose()
        .matmul(centered)
        .div_scalar(bessel); // [dim, dim]
    let off_diagonal = covariance.square().sum() - variance.square().sum();
    (short, off_diagonal.div_scalar(dim as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use burn::tensor::TensorData;

    const WEIGHTS: [f64; 3] = [25.0, 25.0, 1.0];

    /// The formula of the header, term by term: (invariance, variance, covariance).
    fn naive(a: &[[f64; 2]], b: &[[f64; 2]]) -> [f64; 3] {
        let n = a.len() as f64;
        let agree = a
            .iter()
            .zip(b)
            .flat_map(|(a, b)| [0, 1].map(|d| (a[d] - b[d]).powi(2)))
            .sum::<f64>()
            / (2.0 * n);
        let (mut short, mut off) = (0.0, 0.0);
        for z in [a, b] {
            let mean = [0, 1].map(|d| z.iter().map(|row| row[d]).sum::<f64>() / n);
            let cov = |d: usize, e: usize| {
                z.iter()
                    .map(|row| (row[d] - mean[d]) * (row[e] - mean[e]))
                    .sum::<f64>()
                    / (n - 1.0)
            };
            short += 0.5
                * [0, 1]
                    .map(|d| (1.0 - (cov(d, d) + 1e-4).sqrt()).max(0.0))
                    .iter()
                    .sum::<f64>()
                / 2.0;
            off += (cov(0, 1).powi(2) + cov(1, 0).powi(2)) / 2.0;
        }
        [agree, short, off]
    }

    fn tensor(rows: &[[f64; 2]]) -> Tensor<2> {
        let values: Vec<f32> = rows.iter().flatten().map(|&x| x as f32).collect();
        Tensor::from_data(TensorData::new(values, [rows.len(), 2]), &tests_device())
    }

    fn scalar(t: &Tensor<1>) -> f32 {
        t.clone().into_scalar()
    }

    #[test]
    fn the_loss_has_its_closed_forms() {
        let (a, b) = (
            [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
            [[1.0, 0.5], [-0.5, 1.0], [1.0, -1.0]],
        );
        let loss = vicreg(tensor(&a), tensor(&b), WEIGHTS);
        assert!(
            (scalar(&loss.total) - 25.287_422).abs() < 1e-4,
            "{}",
            scalar(&loss.total)
        );
        for ((name, part), (expected, naive)) in loss
            .parts
            .iter()
            .zip([0.75, 0.244_761, 0.418_403].into_iter().zip(naive(&a, &b)))
        {
            assert!(
                (scalar(part) - expected).abs() < 1e-5,
                "{name}: {}",
                scalar(part)
            );
            assert!(
                (naive - f64::from(expected)).abs() < 1e-5,
                "{name} of the naive loop: {naive}"
            );
        }
        let zeros = [[0.0; 2]; 4];
        let loss = vicreg(tensor(&zeros), tensor(&zeros), WEIGHTS);
        assert!((scalar(&loss.total) - 24.75).abs() < 1e-5);
    }

    #[test]
    fn swapping_the_views_changes_nothing() {
        let (a, b) = (
            [[1.0, 0.3], [0.2, 1.0], [0.7, 1.0]],
            [[1.0, 0.5], [-0.5, 1.0], [1.0, -1.0]],
        );
        let there = vicreg(tensor(&a), tensor(&b), WEIGHTS).total;
        let back = vicreg(tensor(&b), tensor(&a), WEIGHTS).total;
        assert!((scalar(&there) - scalar(&back)).abs() < 1e-5);
    }
}
