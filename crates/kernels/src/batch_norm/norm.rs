//! A norm between the passes over its maps: the numbers of its channels.

use burn_flex::FlexTensor;

use super::fused::Columns;
use crate::buffer::{elements, tensor};

/// A norm by a mean and a variance.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    /// γ by the deviation.
    scale: Vec<f32>,
    beta: FlexTensor,
}

impl Norm {
    pub(crate) fn new(
        mean: Vec<f32>,
        variance: &[f32],
        [gamma, beta]: [&FlexTensor; 2],
        epsilon: f64,
    ) -> Self {
        let inverse_deviation: Vec<f32> = variance
            .iter()
            .map(|variance| (1.0 / (f64::from(*variance) + epsilon).sqrt()) as f32)
            .collect();
        let scale = inverse_deviation.iter().zip(elements(gamma));
        Self {
            scale: scale.map(|(inverse, gamma)| inverse * gamma).collect(),
            mean,
            inverse_deviation,
            beta: beta.clone(),
        }
    }

    /// The mean, the scale and the shift over a stretch.
    pub(crate) fn constants(&self, columns: Columns) -> [Vec<f32>; 3] {
        [&self.mean, &self.scale, elements(&self.beta)].map(|values| columns.tile(values))
    }

    /// What makes the gradient of the norm's input of that of its output, over a stretch: see
    /// [`input_gradient`](super::stretches::input_gradient).
    pub(crate) fn slopes(
        &self,
        columns: Columns,
        (sum, product): &(Vec<f64>, Vec<f64>),
        rows: f64,
    ) -> [Vec<f32>; 4] {
        let offset: Vec<f32> = sum.iter().map(|sum| (sum / rows) as f32).collect();
        let slope: Vec<f32> = product
            .iter()
            .zip(&self.inverse_deviation)
            .map(|(product, inverse)| (product / rows * f64::from(*inverse).powi(2)) as f32)
            .collect();
        [&self.scale, &offset, &slope, &self.mean].map(|values| columns.tile(values))
    }

    /// Those of gamma and beta.
    pub(crate) fn gradients(&self, (sum, product): &(Vec<f64>, Vec<f64>)) -> [FlexTensor; 2] {
        let gamma = product.iter().zip(&self.inverse_deviation);
        let gamma: Vec<f32> = gamma
            .map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32)
            .collect();
        let beta: Vec<f32> = sum.iter().map(|sum| *sum as f32).collect();
        [gamma, beta].map(|values| {
            let channels = values.len();
            tensor(values, [channels])
        })
    }
}
