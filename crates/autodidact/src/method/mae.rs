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
        let places = encoder.places();
        if places < 2 {
            return Err(Error::recipe(format!("items of {places} place"))
                .expected("two at least, so that one can be hidden and one seen")
                .mend("make encoder.patch smaller, or the views larger"));
        }
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

#[cfg(test)]
mod tests {
    use autodidact_kernels::gather_tokens;
    use burn::tensor::Device;

    use super::super::toy::ClockBatch;
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::positions::sine_cosine_grid;
    use crate::modality::{Encoder, Tokens};

    const AT: Step = Step {
        number: 2,
        part: 0,
        progress: 0.0,
        seed: 1,
    };

    /// A network whose tokens are its batch's values times a factor; each stands for a place.
    #[derive(Module, Debug)]
    struct Plain {
        factor: Param<Tensor<1>>,
        places: usize,
    }

    impl Encoder for Plain {
        type Batch = ClockBatch;

        fn tokens(&self, batch: &ClockBatch) -> Tokens {
            Tokens {
                values: batch.values.clone() * self.factor.val().unsqueeze(),
                valid: None,
            }
        }

        fn pool(&self, tokens: Tokens) -> Tensor<2> {
            tokens.values.mean_dim(1).squeeze_dim(1)
        }

        fn dim(&self) -> usize {
            self.factor.dims()[0]
        }
    }

    impl Maskable for Plain {
        fn places(&self) -> usize {
            self.places
        }

        fn target_dim(&self) -> usize {
            self.dim()
        }

        fn positions(&self, dim: usize, device: &Device) -> Result<Tensor<3>> {
            Ok(sine_cosine_grid(1, self.places, dim, 0, device))
        }

        fn visible(&self, batch: &ClockBatch, keep: &Tensor<2, Int>) -> Result<Tensor<3>> {
            Ok(gather_tokens(self.tokens(batch).values, keep.clone()))
        }
    }

    fn built(places: usize, init: &mut Init) -> Result<MaeMethod<Plain>> {
        let encoder = Plain {
            factor: init.normal([5], 1.0),
            places,
        };
        let settings = Mae {
            decoder_width: 16,
            decoder_depth: 2,
            ..Mae::default()
        };
        settings.build(encoder, init)
    }

    #[test]
    fn what_was_kept_is_decoded_where_it_stood_and_the_mask_token_elsewhere() {
        let device = tests_device();
        let mut init = Init::new(4, &device);
        let (items, places) = (3, 7);
        let method = built(places, &mut init).unwrap();
        let values = init.normal([items, places, 5], 1.0).val();
        let batch = ClockBatch::new(values, &[[0, places]; 3]);
        let mask = Mask::random(items, places, 0.6, &mut AT.rng(), &device);
        let found = method.restore(&batch, &mask).unwrap();
        assert_eq!(found.dims(), [items, places, 5]);
        // All tokens where they are, and the mask token over those that are hidden.
        let tokens = method.embed.forward(method.encoder.tokens(&batch).values);
        let hidden = mask.hidden.clone().unsqueeze_dim::<3>(2);
        let mut x = tokens * hidden.clone().neg().add_scalar(1.0)
            + method.mask_token.val() * hidden
            + method.positions.val();
        for block in &method.blocks {
            x = block.forward(x, None);
        }
        let expected = method.predict.forward(method.norm.forward(x));
        let difference = (found - expected).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn items_of_a_single_place_are_refused() {
        let mut init = Init::new(0, &tests_device());
        assert!(built(2, &mut init).is_ok());
        let error = built(1, &mut init).unwrap_err().to_string();
        assert!(error.contains("items of 1 place"), "{error}");
    }
}
