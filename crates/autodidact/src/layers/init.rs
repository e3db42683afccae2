//! Initial weights, drawn on the host so that they depend on the seed alone and not on the device.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

use crate::random::{Purpose, Rng, stream};

/// Draws the weights of one network, in the order in which its layers are built.
#[derive(Debug)]
pub struct Init {
    rng: Rng,
    device: Device,
}

impl Init {
    /// Weights for a network on `device`, decided by `seed`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            rng: stream(seed, Purpose::Weights, &[]),
            device: device.clone(),
        }
    }

    /// Where the weights will live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Every value the same.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.parameter(shape, vec![value; shape.iter().product()])
    }

    /// Normal draws with a standard deviation.
    pub fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        deviation: f32,
    ) -> Param<Tensor<D>> {
        let values = (0..shape.iter().product())
            .map(|_| deviation * self.gaussian())
            .collect();
        self.parameter(shape, values)
    }

    /// Normal draws cut at two standard deviations, as ViT and MAE use for tokens and linear layers.
    pub fn truncated_normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        deviation: f32,
    ) -> Param<Tensor<D>> {
        let mut draw = || loop {
            let x = self.gaussian();
            if x.abs() <= 2.0 {
                break deviation * x;
            }
        };
        let values = (0..shape.iter().product()).map(|_| draw()).collect();
        self.parameter(shape, values)
    }

    /// Uniform draws in ±bound.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        let values = (0..shape.iter().product())
            .map(|_| bound * (2.0 * self.rng.random::<f32>() - 1.0))
            .collect();
        self.parameter(shape, values)
    }

    /// He et al. 2015 for layers before a ReLU: normal with deviation √(2 / fan), fan counted on the output side
    /// as torchvision's ResNets do.
    pub fn kaiming_normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        fan: usize,
    ) -> Param<Tensor<D>> {
        self.normal(shape, (2.0 / fan.max(1) as f32).sqrt())
    }

    /// Glorot & Bengio 2010: uniform in ±√(6 / (inputs + outputs)).
    pub fn xavier_uniform(&mut self, outputs: usize, inputs: usize) -> Param<Tensor<2>> {
        self.uniform([outputs, inputs], (6.0 / (inputs + outputs) as f32).sqrt())
    }

    fn parameter<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Param<Tensor<D>> {
        Param::from_data(TensorData::new(values, shape), &self.device)
    }

    /// One standard normal draw (Box & Muller 1958).
    fn gaussian(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.rng.random::<f64>();
        (radius * angle.cos()) as f32
    }
}

/// The device that tests run on.
#[cfg(test)]
pub(crate) fn tests_device() -> Device {
    crate::train::device::open("cpu")
        .expect("the CPU is always there")
        .autodiff()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_asked_for_spread_and_repeat() {
        let device = crate::layers::init::tests_device();
        let draw = |seed| -> Vec<f32> {
            Init::new(seed, &device)
                .kaiming_normal([100, 100], 50)
                .val()
                .into_data()
                .try_to_vec()
                .unwrap()
        };
        let values = draw(1);
        let variance: f32 = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
        assert!((variance - 2.0 / 50.0).abs() < 0.002, "variance {variance}");
        assert_eq!(values, draw(1));
        assert_ne!(values, draw(2));
    }
}
