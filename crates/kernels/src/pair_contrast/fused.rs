//! The contrast of two views on Flex.

use std::mem::take;
use std::ops::Range;

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::Among;
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::elementwise::stretches_in_place;
use crate::matrix::{Packed, Rows};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_max, row_sum};
use crate::special::exp;
use crate::vectorized::vectorized;

/// Tokens of both views up to which all similarities of a group are kept from the loss to the gradient: a megabyte.
const WHOLE: usize = 512;

/// Similarities of larger groups that are worked on at once, so that they stay in the second-level cache.
const BLOCK_FLOATS: usize = 64 * 1024;

pub(super) fn pair_contrast(a: DispatchTensor, b: DispatchTensor, among: Among) -> DispatchTensor {
    apply(PairContrast { among }, [a, b]).0
}

#[derive(Clone, Copy, Debug)]
struct PairContrast {
    among: Among,
}

/// The gradients of both views, of a loss whose own gradient is one.
#[derive(Clone, Debug)]
struct Saved([FlexTensor; 2]);

/// Where the tokens of each group lie.
#[derive(Clone, Copy)]
struct Groups {
    among: Among,
    moments: usize,
    dim: usize,
    /// How many groups there are.
    count: usize,
    /// How many tokens of one view are in each.
    size: usize,
}

impl Groups {
    fn of(among: Among, tokens: &FlexTensor) -> Self {
        let shape = tokens.layout().shape();
        let [items, moments, dim] = [shape[0], shape[1], shape[2]];
        let [count, size] = match among {
            Among::Items => [moments, items],
            Among::Moments => [items, moments],
        };
        Self {
            among,
            moments,
            dim,
            count,
            size,
        }
    }

    /// Where in its view a token of a group lies.
    fn token(&self, group: usize, member: usize) -> Range<usize> {
        let [item, moment] = match self.among {
            Among::Items => [member, group],
            Among::Moments => [group, member],
        };
        let first = (item * self.moments + moment) * self.dim;
        first..first + self.dim
    }
}

/// What one thread works on, kept from group to group.
#[derive(Default)]
struct Desk {
    tokens: Vec<f32>,
    right: Vec<f32>,
    left: Vec<f32>,
    similarities: Vec<f32>,
    log_sums: Vec<f32>,
    pulls: Vec<f32>,
}

impl Desk {
    /// The sum of the losses of a group's tokens in both views; `dest` takes `scale` times the gradient of it.
    fn group(
        &mut self,
        groups: &Groups,
        group: usize,
        views: [&[f32]; 2],
        dest: Option<([Shared; 2], f32)>,
    ) -> f64 {
        let (n, dim) = (groups.size, groups.dim);
        let both = 2 * n;
        self.tokens.clear();
        for view in views {
            for member in 0..n {
                self.tokens
                    .extend_from_slice(&view[groups.token(group, member)]);
            }
        }
        let tokens = Rows {
            values: &self.tokens,
            pitch: dim,
            count: both,
        };
        let right = Packed::from_columns(take(&mut self.right), tokens, dim, 1.0);
        let block = if both <= WHOLE {
            both
        } else {
            (BLOCK_FLOATS / both).clamp(24, both)
        };
        let blocks = || {
            (0..both)
                .step_by(block)
                .map(|first| first..(first + block).min(both))
        };
        self.similarities.resize(block * both, 0.0);
        let similar = |rows: Range<usize>, dest: &mut [f32]| {
            right.multiply(&tokens.values[rows.start * dim..rows.end * dim], dest);
            for (token, row) in rows.zip(dest.chunks_exact_mut(both)) {
                row[token] = f32::NEG_INFINITY;
            }
        };

        let log_sums = &mut self.log_sums;
        log_sums.clear();
        let mut loss = 0.0;
        for rows in blocks() {
            let similarities = &mut self.similarities[..rows.len() * both];
            similar(rows.clone(), similarities);
            vectorized(
                #[inline(always)]
                || {
                    for row in similarities.chunks_exact(both) {
                        let max = row_max(row);
                        log_sums.push(max + row_sum(row, |s| exp(s - max)).ln());
                    }
                },
            );
            for (token, row) in rows.zip(similarities.chunks_exact(both)) {
                loss += f64::from(log_sums[token]) - f64::from(row[(token + n) % both]);
            }
        }

        if let Some((dest, scale)) = dest {
            let left = Packed::from_rows(take(&mut self.left), tokens, dim);
            for rows in blocks() {
                let similarities = &mut self.similarities[..rows.len() * both];
                if block < both {
                    similar(rows.clone(), similarities);
                }
                pull(similarities, rows.clone(), log_sums);
                self.pulls.resize(rows.len() * dim, 0.0);
                let pulls = &mut self.pulls[..rows.len() * dim];
                left.multiply(similarities, pulls);
                for (token, pull) in rows.zip(pulls.chunks_exact(dim)) {
                    let place = groups.token(group, token % n);
                    // SAFETY: each token of a view is in one group, and each group on one desk.
                    let dest = unsafe { dest[token / n].part(place) };
                    vectorized(
                        #[inline(always)]
                        || {
                            for (dest, pull) in dest.iter_mut().zip(pull) {
                                *dest = pull * scale;
                            }
                        },
                    );
                }
            }
            self.left = left.values;
        }
        self.right = right.values;
        loss
    }
}

/// Turns rows of similarities into what each token of the group pulls with on that row's token: the softmax of a row
/// pulls through it and, the similarities being symmetric, through every other row. As in NT-Xent,
/// `P_ik + P_ki − 2·[k = p(i)]`, with `P_ik = exp(s_ik − L_i)`.
fn pull(similarities: &mut [f32], rows: Range<usize>, log_sums: &[f32]) {
    let both = log_sums.len();
    vectorized(
        #[inline(always)]
        || {
            for (token, row) in rows.clone().zip(similarities.chunks_exact_mut(both)) {
                let own = log_sums[token];
                for (s, other) in row.iter_mut().zip(log_sums) {
                    *s = exp(*s - own) + exp(*s - other);
                }
                row[(token + both / 2) % both] -= 2.0;
            }
        },
    );
}

impl Operation for PairContrast {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], tracked: &[bool]) -> [f64; 2] {
        let groups = Groups::of(self.among, &inputs[0]);
        let both = (2 * groups.size) as f64;
        let product = 2.0 * both * both * (groups.count * groups.dim) as f64;
        let products = match (tracked.contains(&true), 2 * groups.size <= WHOLE) {
            (false, _) => 1.0,
            (true, true) => 2.0,
            (true, false) => 3.0,
        };
        // The gradients are found with the loss.
        [products * product, 0.0]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let groups = Groups::of(self.among, &inputs[0]);
        let shape = inputs[0].layout().shape().clone();
        let views = [elements(&inputs[0]), elements(&inputs[1])];
        let tokens = 2 * groups.count * groups.size;
        let mut gradients = tracked
            .contains(&true)
            .then(|| views.map(|view| Unwritten::new(view.len())));
        let dest = gradients.as_mut().map(|gradients| {
            let dest = gradients.each_mut().map(Unwritten::pointer);
            (dest, 1.0 / tokens as f32)
        });
        let parts = (4 * threads()).min(groups.count);
        let losses = in_parts(parts, |index| {
            let mut desk = Desk::default();
            part(groups.count, parts, index)
                .map(|group| desk.group(&groups, group, views, dest))
                .sum::<f64>()
        });
        let loss = losses.iter().sum::<f64>() / tokens as f64;
        let saved = gradients.map(|gradients| {
            // SAFETY: every token of both views is in a group, and so its gradient was written.
            Saved(gradients.map(|of| unsafe { of.written(shape.clone()) }))
        });
        Forward {
            output: tensor(vec![loss as f32], [1]),
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let upstream = elements(&gradient)[0];
        let scaled = |gradient| {
            stretches_in_place(gradient, &|_, values| {
                vectorized(
                    #[inline(always)]
                    || values.iter_mut().for_each(|value| *value *= upstream),
                );
            })
        };
        let gradients = saved.0.into_iter().zip(wanted);
        gradients
            .map(|(gradient, &wanted)| wanted.then(|| scaled(gradient)))
            .collect()
    }
}
