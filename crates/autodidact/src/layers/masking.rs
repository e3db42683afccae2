//! Which tokens a masked method hides.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::seq::SliceRandom;

use crate::random::Rng;

/// A random split of every item's tokens into kept and hidden ones.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Positions of the kept tokens, in random order, `[batch, kept]`.
    pub keep: Tensor<2, Int>,
    /// For each position, where its token stands when the kept ones come first and the hidden ones after them,
    /// `[batch, tokens]`.
    pub restore: Tensor<2, Int>,
    /// 1 is hidden, 0 is kept, `[batch, tokens]`.
    pub hidden: Tensor<2>,
}

impl Mask {
    /// Hides `ratio` of the tokens of each item, at least one and never all of them.
    pub fn random(batch: usize, tokens: usize, ratio: f32, rng: &mut Rng, device: &Device) -> Self {
        let kept = kept_tokens(tokens, ratio);
        let mut order: Vec<usize> = (0..tokens).collect();
        let (mut keep, mut restore) =
            (Vec::with_capacity(batch * kept), vec![0i32; batch * tokens]);
        let mut hidden = vec![0f32; batch * tokens];
        for item in 0..batch {
            order.shuffle(rng);
            for (rank, &position) in order.iter().enumerate() {
                restore[item * tokens + position] = rank as i32;
                if rank < kept {
                    keep.push(position as i32);
                } else {
                    hidden[item * tokens + position] = 1.0;
                }
            }
        }
        Self {
            keep: Tensor::from_data(TensorData::new(keep, [batch, kept]), device),
            restore: Tensor::from_data(TensorData::new(restore, [batch, tokens]), device),
            hidden: Tensor::from_data(TensorData::new(hidden, [batch, tokens]), device),
        }
    }
}

/// How many of `tokens` stay visible when `ratio` of them is hidden.
pub fn kept_tokens(tokens: usize, ratio: f32) -> usize {
    // A ratio such as 0.6 is a little more than that as a number of 32 bits.
    let kept = (tokens as f64 * (1.0 - f64::from(ratio)) * (1.0 + 1e-6)) as usize;
    kept.clamp(1, tokens.saturating_sub(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::random::{Purpose, stream};
    use autodidact_kernels::gather_tokens;

    #[test]
    fn kept_and_hidden_make_a_whole_and_restore_undoes_the_shuffle() {
        let device = tests_device();
        let mask = Mask::random(3, 16, 0.75, &mut stream(0, Purpose::Method, &[]), &device);
        let keep: Vec<i32> = mask
            .keep
            .clone()
            .into_data()
            .convert::<i32>()
            .try_to_vec()
            .unwrap();
        let restore: Vec<i32> = mask
            .restore
            .into_data()
            .convert::<i32>()
            .try_to_vec()
            .unwrap();
        let hidden: Vec<f32> = mask.hidden.into_data().try_to_vec().unwrap();
        assert_eq!((keep.len(), restore.len()), (12, 48));
        for item in 0..3 {
            assert_eq!(hidden[item * 16..][..16].iter().sum::<f32>(), 12.0);
            for (rank, &position) in keep[item * 4..][..4].iter().enumerate() {
                assert_eq!(restore[item * 16 + position as usize], rank as i32);
                assert_eq!(hidden[item * 16 + position as usize], 0.0);
            }
        }
        let values: Vec<f32> = (0..48).map(|x| x as f32).collect();
        let tokens = Tensor::<3>::from_data(TensorData::new(values, [3, 16, 1]), &device);
        let picked: Vec<f32> = gather_tokens(tokens, mask.keep)
            .into_data()
            .try_to_vec()
            .unwrap();
        let expected: Vec<f32> = keep
            .iter()
            .enumerate()
            .map(|(i, &p)| (i / 4 * 16) as f32 + p as f32)
            .collect();
        assert_eq!(picked, expected);
    }

    #[test]
    fn something_is_always_kept_and_something_hidden() {
        assert_eq!(kept_tokens(64, 0.75), 16);
        assert_eq!((kept_tokens(10, 0.6), kept_tokens(100, 0.6)), (4, 40));
        assert_eq!(kept_tokens(4, 0.99), 1);
        assert_eq!(kept_tokens(4, 0.0), 3);
    }
}
