//! SimCLR on images: a ResNet-18 with the small stem, and three convolutions for small grey images.

use autodidact::layers::head::normalize;
use autodidact::layers::{BatchNorm, Conv2d, Init, Linear};
use autodidact::modality::image::encoder::{ResNet, Stem};
use autodidact::recipe::Train;
use autodidact_kernels::{Activation, nt_xent};
use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::{Draw, Workload};

/// Pairs of noisy copies of random images.
pub(super) struct Pairs<B: Backbone> {
    backbone: fn(usize, &mut Init) -> B,
    pairs: usize,
    /// Edge of an image in pixels.
    side: usize,
    channels: usize,
    /// Channels of the first stage.
    width: usize,
    /// Widths of the head: in, hidden, out.
    head: [usize; 3],
}

/// B: 11.5 million parameters, images of 32×32 in color.
pub(super) fn residual(full: bool) -> Pairs<ResNet> {
    let width = if full { 64 } else { 8 };
    Pairs {
        backbone: |width, init| ResNet::new(&[2; 4], false, width, Stem::Small, 3, init),
        pairs: if full { 64 } else { 8 },
        side: if full { 32 } else { 16 },
        channels: 3,
        width,
        head: [8 * width, 8 * width, if full { 128 } else { 16 }],
    }
}

/// G: 0.7 million parameters, as B with a quarter of its channels and four times its batch.
pub(super) fn narrow(full: bool) -> Pairs<ResNet> {
    let width = if full { 16 } else { 8 };
    Pairs {
        pairs: if full { 256 } else { 8 },
        width,
        head: [8 * width, 8 * width, if full { 128 } else { 16 }],
        ..residual(full)
    }
}

/// E: 0.1 million parameters, images of 28×28 in grey.
pub(super) fn small(full: bool) -> Pairs<Convolutions> {
    let width = if full { 32 } else { 8 };
    Pairs {
        backbone: Convolutions::new,
        pairs: if full { 256 } else { 16 },
        side: if full { 28 } else { 14 },
        channels: 1,
        width,
        head: [4 * width, 4 * width, 2 * width],
    }
}

/// From an image to tokens.
pub(super) trait Backbone: Module + ModuleDisplay {
    /// `[batch, height, width, channels]` → `[batch, positions, dim]`.
    fn positions(&self, images: Tensor<4>) -> Tensor<3>;
}

impl Backbone for ResNet {
    fn positions(&self, images: Tensor<4>) -> Tensor<3> {
        self.tokens(images)
    }
}

/// Three 3×3 convolutions of stride 2, each with batch norm and ReLU.
#[derive(Module, Debug)]
pub(super) struct Convolutions {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
}

impl Convolutions {
    fn new(width: usize, init: &mut Init) -> Self {
        let widths = [1, width, 2 * width, 4 * width];
        Self {
            convs: widths
                .windows(2)
                .map(|w| Conv2d::new(w[0], w[1], 3, 2, init))
                .collect(),
            norms: widths[1..]
                .iter()
                .map(|&width| BatchNorm::new(width, init))
                .collect(),
        }
    }
}

impl Backbone for Convolutions {
    fn positions(&self, mut x: Tensor<4>) -> Tensor<3> {
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            x = norm.relu(conv.forward(x));
        }
        x.flatten(1, 2)
    }
}

/// A backbone with SimCLR's head, without batch norm in it.
#[derive(Module, Debug)]
pub(super) struct Network<B: Backbone> {
    backbone: B,
    hidden: Linear,
    out: Linear,
}

impl<B: Backbone> Workload for Pairs<B> {
    type Network = Network<B>;
    type Batch = Tensor<4>;

    fn network(&self, init: &mut Init) -> Network<B> {
        let [dim, hidden, out] = self.head;
        Network {
            backbone: (self.backbone)(self.width, init),
            hidden: Linear::new(dim, hidden, true, init),
            out: Linear::new(hidden, out, true, init),
        }
    }

    fn batch(&self, draw: &mut Draw) -> Tensor<4> {
        let values = self.pairs * self.side * self.side * self.channels;
        let image = draw.normal(values);
        let noise = draw.normal(2 * values);
        let views = noise
            .iter()
            .zip(image.iter().cycle())
            .map(|(noise, image)| image + 0.3 * noise)
            .collect();
        draw.inputs(views, [2 * self.pairs, self.side, self.side, self.channels])
    }

    fn loss(&self, network: &Network<B>, images: &Tensor<4>) -> Tensor<1> {
        let positions = network.backbone.positions(images.clone());
        let pooled = positions.mean_dim(1).squeeze_dim::<2>(1);
        let hidden = network.hidden.activated(pooled, Activation::Relu);
        nt_xent(normalize(network.out.forward(hidden)), 0.5)
    }

    fn training(&self) -> Train {
        Train {
            learning_rate: 0.05,
            weight_decay: 0.0,
            ..Train::default()
        }
    }
}
