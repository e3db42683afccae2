//! SimCLR: two views of one item should be nearer to each other than to the views of every other item in the batch.
//!
//! Loss (NT-Xent), over the 2N projected and normalized views: the mean of −s(i, p)/τ + log Σ_{k≠i} e^{s(i, k)/τ}, where
//! p is the other view of the same item and s the cosine.
//!
//! Chen, Kornblith, Norouzi & Hinton 2020, "A Simple Framework for Contrastive Learning of Visual Representations"
//! (arXiv 2002.05709); official code: google-research/simclr. Differs: SGD instead of LARS (batches here are small).
//!
//! `autodidact pretrain DATA --method simclr`

use autodidact_kernels::nt_xent;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, positive, take, within};
use crate::error::Result;
use crate::layers::head::normalize;
use crate::layers::{Init, Projector};
use crate::modality::{Change, Encoder, Maskable, Need, Pretext};

/// The recipe's `[method]` for SimCLR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimClr {
    /// τ: how sharply the nearest negatives count, 0.01 to 10.
    pub temperature: f64,
    /// Width of the projector's hidden layer.
    pub hidden: usize,
    /// Width of the projection.
    pub projection: usize,
}

impl Default for SimClr {
    fn default() -> Self {
        Self {
            temperature: 0.5,
            hidden: 512,
            projection: 128,
        }
    }
}

impl Objective for SimClr {
    const NAME: &'static str = "simclr";
    const SUMMARY: &'static str =
        "contrast: two views of an item agree, views of different items don't";
    const SOURCE: &'static str = "Chen et al. 2020, arXiv 2002.05709, google-research/simclr";
    const NEEDS: Need = Need::Vectors;
    type Method<E: Maskable> = SimClrMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext::new(2, Change::Strong, Self::NEEDS)
    }

    fn training(&self) -> Training {
        Training::sgd(0.12, 5e-4)
    }

    fn check(&self) -> Result<()> {
        within("temperature", self.temperature, 0.01, 10.0)?;
        positive("hidden", self.hidden)?;
        positive("projection", self.projection)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<SimClrMethod<E>> {
        let projector = Projector::new(&[encoder.dim(), self.hidden, self.projection], true, init);
        Ok(SimClrMethod {
            encoder,
            projector,
            temperature: self.temperature,
        })
    }
}

/// An encoder and its projector.
#[derive(Module, Debug)]
pub struct SimClrMethod<E: Encoder> {
    encoder: E,
    projector: Projector,
    temperature: f64,
}

impl<E: Encoder> Method<E> for SimClrMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let views: [E::Batch; 2] = take(views, "SimCLR")?;
        let projected =
            views.map(|view| normalize(self.projector.forward(self.encoder.encode(&view))));
        let z = Tensor::cat(projected.to_vec(), 0); // [2N, projection]
        Ok((Loss::new(nt_xent(z, self.temperature)), ()))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use burn::tensor::TensorData;

    fn loss_of(rows: Vec<Vec<f32>>, temperature: f32) -> f32 {
        let (n, d) = (rows.len(), rows[0].len());
        let z = Tensor::<2>::from_data(TensorData::new(rows.concat(), [n, d]), &tests_device());
        nt_xent(normalize(z), f64::from(temperature)).into_scalar()
    }

    /// The formula of the header, term by term.
    fn naive(rows: &[Vec<f32>], temperature: f64) -> f64 {
        let unit = |row: &Vec<f32>| {
            let length = row
                .iter()
                .map(|&x| f64::from(x).powi(2))
                .sum::<f64>()
                .sqrt();
            row.iter()
                .map(|&x| f64::from(x) / length)
                .collect::<Vec<_>>()
        };
        let z: Vec<_> = rows.iter().map(unit).collect();
        let (n, s) = (z.len() / 2, |i: usize, k: usize| {
            z[i].iter().zip(&z[k]).map(|(a, b)| a * b).sum::<f64>() / temperature
        });
        let term = |i: usize| {
            let rest: f64 = (0..2 * n).filter(|&k| k != i).map(|k| s(i, k).exp()).sum();
            rest.ln() - s(i, (i + n) % (2 * n))
        };
        (0..2 * n).map(term).sum::<f64>() / (2 * n) as f64
    }

    #[test]
    fn the_loss_has_its_closed_forms() {
        let same = loss_of(vec![vec![1.0, 2.0]; 8], 0.5);
        assert!(
            (same - 7f32.ln()).abs() < 1e-5,
            "identical embeddings: log(2N − 1), not {same}"
        );
        let axis = |i: usize| {
            (0..4)
                .map(|k| f32::from(u8::from(k == i)))
                .collect::<Vec<_>>()
        };
        let orthonormal = loss_of((0..8).map(|i| axis(i % 4)).collect(), 0.5);
        assert!((orthonormal - 0.594_438).abs() < 1e-5, "{orthonormal}");
        let fixture = [
            [1.0, 0.0],
            [0.0, 1.0],
            [1.0, 1.0],
            [1.0, 0.5],
            [-0.5, 1.0],
            [1.0, -1.0],
        ];
        let rows: Vec<Vec<f32>> = fixture.map(|row| row.to_vec()).to_vec();
        for (temperature, expected) in [(0.1, 3.029_13), (0.5, 1.371_141), (1.0, 1.393_239)] {
            let loss = loss_of(rows.clone(), temperature);
            assert!((loss - expected).abs() < 1e-5, "τ {temperature}: {loss}");
            assert!((naive(&rows, f64::from(temperature)) - f64::from(expected)).abs() < 1e-5);
        }
    }
}
