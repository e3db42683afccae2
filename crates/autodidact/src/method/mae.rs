//! MAE: hide most of an item, encode only what is left, restore what was hidden.
//!
//! Keep 25 % of the places, encode only these, put a learned mask token where the others were, decode all of them with a
//! narrow decoder, and take the mean squared error on the hidden places, each normalized by its own mean and deviation.
//!
//! He, Chen, Xie, Li, Dollár & Girshick 2021, "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377);
//! official code: facebookresearch/mae. Differs: a smaller decoder and a higher learning rate, for small networks and
//! short runs.
//!
//! `autodidact pretrain DATA --method mae`

use autodidact_kernels::gather_tokens_or;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Restored, Step, Training, device_of, positive, take, within};
use crate::error::{Error, Result};
use crate::layers::masking::Mask;
use crate::layers::{Init, LayerNorm, Linear, TransformerBlock};
use crate::modality::{Batch, Maskable, Need};

/// The recipe's `[method]` for MAE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mae {
    /// Part of the places that is hidden, 0 to 1.
    pub mask_ratio: f64,
    /// Width of the decoder, a multiple of four times its heads.
    pub decoder_width: usize,
    /// Blocks of the decoder.
    pub decoder_depth: usize,
    /// Heads of the decoder.
    pub decoder_heads: usize,
}

impl Default for Mae {
    fn default() -> Self {
        Self {
            mask_ratio: 0.75,
            decoder_width: 96,
            decoder_depth: 1,
            decoder_heads: 4,
        }
    }
}

impl Objective for Mae {
    const NAME: &'static str = "mae";
    const SUMMARY: &'static str =
        "restore what was hidden: encode a quarter of the patches, predict the others";
    const SOURCE: &'static str = "He et al. 2021, arXiv 2111.06377, facebookresearch/mae";
    const NEEDS: Need = Need::Hidden;
    type Method<E: Maskable> = MaeMethod<E>;

    fn training(&self) -> Training {
        Training::adamw(1e-3, 0.05)
    }

    fn check(&self) -> Result<()> {
        within("mask_ratio", self.mask_ratio, 0.0, 1.0)?;
        positive("decoder_depth", self.decoder_depth)?;
        positive("decoder_heads", self.decoder_heads)?;
        if self.decoder_width == 0 || !self.decoder_width.is_multiple_of(4 * self.decoder_heads) {
            return Err(
                Error::recipe(format!("method.decoder_width = {}", self.decoder_width))
                    .expected(format!("a multiple of {}", 4 * self.decoder_heads)),
            );
        }
        Ok(())
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<MaeMethod<E>> {
        let (width, device) = (self.decoder_width, init.device().clone());
        let positions = encoder.positions(width, &device)?;
        Ok(MaeMethod {
            embed: Linear::xavier(encoder.width(), width, init),
            mask_token: init.normal([1, 1, width], 0.02),
            positions: Param::from_tensor(positions).set_require_grad(false),
            blocks: (0..self.decoder_depth)
                .map(|_| TransformerBlock::new(width, self.decoder_heads, init))
                .collect(),
            norm: LayerNorm::new(width, 1e-6, init),
            predict: Linear::xavier(width, encoder.target_dim(), init),
            mask_ratio: self.mask_ratio,
            encoder,
        })
    }
}

/// An encoder and its decoder.
#[derive(Module, Debug)]
pub struct MaeMethod<E: Maskable> {
    encoder: E,
    embed: Linear,
    mask_token: Param<Tensor<3>>,
    positions: Param<Tensor<3>>,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    predict: Linear,
    mask_ratio: f64,
}

impl<E: Maskable> MaeMethod<E> {
    /// What is hidden of a batch in a step.
    fn mask(&self, batch: &E::Batch, at: &Step) -> Mask {
        let (items, places) = (batch.rows().ids.len(), self.encoder.places());
        let device = device_of(&self.encoder);
        Mask::random(
            items,
            places,
            self.mask_ratio as f32,
            &mut at.rng(),
            &device,
        )
    }

    /// `[batch, places, target_dim]`: what the hidden places are thought to be.
    fn restore(&self, batch: &E::Batch, mask: &Mask) -> Result<Tensor<3>> {
        let seen = self.embed.forward(self.encoder.visible(batch, &mask.keep)?);
        let [items, _, width] = seen.dims();
        let (extra, places) = (self.encoder.extra(), self.encoder.places());
        let mut order = mask.restore.clone().add_scalar(extra as i64);
        let mut positions = self.positions.val();
        if extra > 0 {
            // Tokens that stand for the whole item are decoded along, without a position, as in MAE.
            let device = positions.device();
            let leading = Tensor::<1, Int>::arange(0..extra as i64, &device)
                .unsqueeze_dim::<2>(0)
                .expand([items, extra]);
            order = Tensor::cat(vec![leading, order], 1);
            positions = Tensor::cat(
                vec![Tensor::zeros([1, extra, width], &device), positions],
                1,
            );
        }
        // The kept tokens stand before the hidden ones in `restore`, which are not there.
        let mut x = gather_tokens_or(seen, self.mask_token.val(), order) + positions;
        for block in &self.blocks {
            x = block.forward(x, None);
        }
        let predictions = self.predict.forward(self.norm.forward(x));
        Ok(predictions.narrow(1, extra, places))
    }
}

impl<E: Maskable> Method<E> for MaeMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, "MAE")?;
        let mask = self.mask(&batch, at);
        let predictions = self.restore(&batch, &mask)?;
        Ok((
            Loss::new(self.encoder.hidden_loss(predictions, &batch, &mask)?),
            (),
        ))
    }

    fn restored(&self, views: Vec<E::Batch>, at: &Step) -> Result<Option<Restored<E::Batch>>> {
        let [batch]: [E::Batch; 1] = take(views, "MAE")?;
        let mask = self.mask(&batch, at);
        let predictions = self.restore(&batch, &mask)?;
        Ok(Some(Restored {
            given: self.encoder.filled(&batch, &mask, None)?,
            restored: self.encoder.filled(&batch, &mask, Some(predictions))?,
        }))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}
