//! What each line of `cases.json` means and how it is run.
//!
//! | kernel | dims |
//! |---|---|
//! | `matmul` | rows, depth, columns; a linear layer without a bias |
//! | `linear` | rows, in, out |
//! | `attention` | batch, heads, tokens, dim |
//! | `conv2d`, `conv1d` | batch, side, in, out, kernel, stride; padded by half the kernel |
//! | `gru` | batch, times, in, hidden |
//! | `batch_norm` | batch, side, channels |
//! | `layer_norm` | batch, tokens, dim |
//! | `nt_xent` | rows, dim |
//! | `cross_entropy` | rows, classes |
//! | `embedding` | words, dim, batch, length |
//!
//! Images of one or three channels are taken to be the data, which wants no gradient.

use autodidact_kernels::{
    Activation, Conv2dOptions, attention, batch_norm_train, conv2d, layer_norm, linear, nt_xent,
};
use burn::tensor::{Device, Distribution, Tensor};
use serde_json::Value;

/// One kernel with its shape.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) kernel: String,
    dims: Vec<usize>,
    /// The activation, or whatever else belongs to it.
    with: String,
    /// Whether the input of a convolution wants no gradient, so that the backward pass is that of the
    /// weight.
    pub(crate) fixed: bool,
    /// As it stands in the file.
    pub(crate) value: Value,
}

/// Runs forward and hands back what runs backward.
pub(crate) type Run = Box<dyn Fn() -> Box<dyn FnOnce()>>;

impl Case {
    /// Those of `cases.json`.
    pub(crate) fn all() -> Vec<Self> {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("cases.json")).expect("a list of cases");
        cases.into_iter().map(Self::new).collect()
    }

    fn new(value: Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let dims = value["dims"].as_array().expect("dims, a list");
        Self {
            kernel: text("kernel"),
            dims: dims
                .iter()
                .map(|dim| dim.as_u64().expect("a whole number") as usize)
                .collect(),
            with: text("with"),
            fixed: false,
            value,
        }
    }

    pub(crate) fn label(&self) -> String {
        let dims: Vec<_> = self.dims.iter().map(ToString::to_string).collect();
        format!("{} {} {}", self.kernel, dims.join("×"), self.with)
    }

    /// Multiplications and additions of the forward pass; 0 for kernels that memory bounds.
    pub(crate) fn flops(&self) -> f64 {
        let product = |dims: &[usize]| dims.iter().map(|&dim| dim as f64).product::<f64>();
        match (self.kernel.as_str(), self.dims.as_slice()) {
            ("matmul" | "linear", dims) => 2.0 * product(dims),
            ("attention", &[batch, heads, tokens, dim]) => {
                4.0 * product(&[batch, heads, tokens, tokens, dim])
            }
            ("conv2d", &[batch, side, inputs, outputs, kernel, stride]) => {
                let side = side.div_ceil(stride);
                2.0 * product(&[batch, side, side, inputs, outputs, kernel, kernel])
            }
            ("conv1d", &[batch, length, inputs, outputs, kernel, stride]) => {
                2.0 * product(&[batch, length.div_ceil(stride), inputs, outputs, kernel])
            }
            ("gru", &[batch, times, inputs, hidden]) => {
                6.0 * product(&[batch, times, inputs + hidden, hidden])
            }
            ("nt_xent", &[rows, dim]) => 2.0 * product(&[rows, rows, dim]),
            _ => 0.0,
        }
    }

    /// Whether the backward pass makes a gradient of the input too.
    pub(crate) fn gradient_of_input(&self) -> bool {
        self.kernel != "conv2d" || (!self.fixed && ![1, 3].contains(&self.dims[2]))
    }

    /// The kernel on random numbers, or nothing where there is no such kernel yet.
    pub(crate) fn run(&self) -> Option<Run> {
        let with = |word: &str| self.with.split(' ').any(|part| part == word);
        let activation = match self.with.as_str() {
            "gelu" => Activation::Gelu,
            "relu" => Activation::Relu,
            _ => Activation::None,
        };
        Some(match (self.kernel.as_str(), self.dims.as_slice()) {
            ("matmul", &[rows, depth, columns]) => {
                let (x, weight) = (random([rows, depth]), random([columns, depth]));
                pass(move || linear(x.clone(), weight.clone(), None, Activation::None))
            }
            ("linear", &[rows, inputs, outputs]) => {
                let (x, weight) = (random([rows, inputs]), random([outputs, inputs]));
                let bias = random([outputs]);
                pass(move || linear(x.clone(), weight.clone(), Some(bias.clone()), activation))
            }
            ("attention", &[batch, heads, tokens, dim]) => {
                let [q, k, v] = [(); 3].map(|()| random([batch, heads, tokens, dim]));
                let scale = 1.0 / (dim as f32).sqrt();
                pass(move || attention(q.clone(), k.clone(), v.clone(), scale, None))
            }
            ("conv2d", &[batch, side, inputs, outputs, kernel, stride]) => {
                let weight = random([outputs, inputs, kernel, kernel]);
                let mut x = random([batch, side, side, inputs]);
                if !self.gradient_of_input() {
                    x = x.detach();
                }
                let options = Conv2dOptions {
                    stride: [stride; 2],
                    padding: [kernel / 2; 2],
                    ..Conv2dOptions::default()
                };
                pass(move || conv2d(x.clone(), weight.clone(), None, options))
            }
            ("batch_norm", &[batch, side, channels]) => {
                let shape = [batch, side, side, channels];
                let (x, gamma, beta) = (random(shape), random([channels]), random([channels]));
                let residual = with("residual").then(|| random(shape));
                let relu = with("relu");
                pass(move || {
                    let (gamma, beta) = (gamma.clone(), beta.clone());
                    batch_norm_train(x.clone(), gamma, beta, residual.clone(), relu, 1e-5).output
                })
            }
            ("layer_norm", &[batch, tokens, dim]) => {
                let (x, gamma, beta) = (random([batch, tokens, dim]), random([dim]), random([dim]));
                pass(move || layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-5))
            }
            ("nt_xent", &[rows, dim]) => {
                let z: Tensor<2> = random([rows, dim]);
                let z = z.clone() / z.square().sum_dim(1).sqrt();
                let z = z.detach().require_grad();
                pass(move || nt_xent(z.clone(), 0.5))
            }
            _ => return None,
        })
    }
}

/// Normal numbers that want a gradient.
fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let device = Device::flex().autodiff();
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device).require_grad()
}

/// The backward pass starts from a gradient of ones, shaped as the output.
fn pass<const D: usize>(forward: impl Fn() -> Tensor<D> + 'static) -> Run {
    Box::new(move || {
        let output = forward();
        Box::new(move || drop(output.backward()))
    })
}
