//! The products of all components of a block of tiles.

// Loops over `0..P` and `0..V` unroll into registers; iterators over the arrays keep them in memory.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use super::convolution::Right;
use super::tiles::Plan;
use super::{UNIT, components};
use crate::tile::{Panels, load, store};

/// What the channels of a weight's gradient must be a multiple of: the rows of its smallest tile.
pub(super) const MULTIPLE: usize = 4;

/// Channels that are summed one after another. More of them are summed in parts, whose sums lose fewer
/// digits.
const DEPTH: usize = 64;

/// `products[tile, component] = taken[tile, component] · right[component]` for so many tiles.
///
/// Tiles are done in whole units: what follows them in the operands is read and written, too.
pub(super) fn multiply<S: Simd, const N: usize>(
    simd: S,
    taken: (&[f32], Plan<N>),
    right: &Right<N>,
    tiles: usize,
    products: (&mut [f32], Plan<N>),
) {
    apart(
        simd,
        Multiply {
            taken,
            right,
            tiles,
            products,
        },
    );
}

/// Compiles `work` into a function of its own. The loops of products need all registers, and what the
/// compiler keeps in them of the steps before and after would be one sum less there.
#[inline(never)]
fn apart<S: Simd, W: WithSimd>(simd: S, work: W) -> W::Output {
    simd.vectorize(work)
}

struct Multiply<'a, const N: usize> {
    taken: (&'a [f32], Plan<N>),
    right: &'a Right<N>,
    tiles: usize,
    products: (&'a mut [f32], Plan<N>),
}

impl<const N: usize> WithSimd for Multiply<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            taken: (taken, left),
            right,
            tiles,
            products: (products, product),
        } = self;
        let panels = right.panels;
        let tiles = tiles.next_multiple_of(UNIT);
        assert!(left.channels == right.depth && product.channels == panels.columns);
        assert!(
            right.depth.is_multiple_of(S::F32_LANES) && panels.columns.is_multiple_of(S::F32_LANES)
        );
        assert!(left.length(tiles) <= taken.len() && product.length(tiles) <= products.len());
        let lanes = S::F32_LANES;
        for component in 0..components(N) {
            let weight = right.component(component);
            for first in (0..panels.columns).step_by(2 * lanes) {
                let both = panels.columns - first > lanes;
                let width = if both { 2 * lanes } else { lanes };
                for depth in (0..right.depth).step_by(DEPTH) {
                    let panel = Panel {
                        taken: taken[(depth * components(N)) + component * lanes..].as_ptr(),
                        left,
                        weight: weight[right.depth * first + depth * width..].as_ptr(),
                        depth: DEPTH.min(right.depth - depth),
                        more: depth > 0,
                        dest: products[components(N) * first + component * lanes..].as_mut_ptr(),
                        product,
                        tiles,
                    };
                    // SAFETY: the operands have all channels of the tiles, in whole vectors, the weight has
                    // the panel, and the tiles are whole units.
                    unsafe {
                        match (S::REGISTER_COUNT >= 32, both) {
                            (true, true) => panel.multiply::<S, 12, 2>(simd),
                            (true, false) => panel.multiply::<S, 12, 1>(simd),
                            (false, true) => panel.multiply::<S, 6, 2>(simd),
                            (false, false) => panel.multiply::<S, 6, 1>(simd),
                        }
                    }
                }
            }
        }
    }
}

/// The columns of a panel of a component, of a part of the depth.
struct Panel<const N: usize> {
    taken: *const f32,
    left: Plan<N>,
    weight: *const f32,
    depth: usize,
    /// Whether there is a sum already, to which this is added.
    more: bool,
    dest: *mut f32,
    product: Plan<N>,
    tiles: usize,
}

impl<const N: usize> Panel<N> {
    /// # Safety
    /// The operands must have all channels of the tiles, whose number must be a multiple of P, and
    /// the weight a panel of V vectors.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const P: usize, const V: usize>(&self, simd: S) {
        let lanes = S::F32_LANES;
        // Unrolled further, the loop is scheduled in a way that may need more registers than there are.
        let together = lanes.min(4);
        let steps = std::hint::black_box(lanes / together);
        for first in (0..self.tiles).step_by(P) {
            // SAFETY: by the caller's promise.
            unsafe {
                let mut sum = [[simd.splat_f32s(0.0); V]; P];
                let mut left = [self.taken; P];
                for p in 0..P {
                    left[p] = left[p].add((first + p) * self.left.tile());
                }
                let mut weight = self.weight;
                for _ in 0..self.depth / lanes {
                    for step in 0..steps {
                        for k in 0..together {
                            let mut right = [simd.splat_f32s(0.0); V];
                            for v in 0..V {
                                right[v] = load(simd, weight.add((k * V + v) * lanes));
                            }
                            for p in 0..P {
                                let left = simd.splat_f32s(*left[p].add(together * step + k));
                                for v in 0..V {
                                    sum[p][v] = simd.mul_add_e_f32s(left, right[v], sum[p][v]);
                                }
                            }
                        }
                        weight = weight.add(together * V * lanes);
                    }
                    for p in 0..P {
                        left[p] = left[p].wrapping_add(components(N) * lanes);
                    }
                }
                for p in 0..P {
                    let dest = self.dest.add((first + p) * self.product.tile());
                    for v in 0..V {
                        let dest = dest.add(v * components(N) * lanes);
                        if self.more {
                            sum[p][v] = simd.add_f32s(load(simd, dest), sum[p][v]);
                        }
                        store(simd, dest, sum[p][v]);
                    }
                }
            }
        }
    }
}

/// Adds `Σ_tile taken[tile, component, k] · spread[tile, component, column]` to the sums of each
/// component, laid out as the right operand of [`multiply`].
#[inline(always)]
pub(super) fn correlate<S: Simd, const N: usize>(
    simd: S,
    [(taken, left), (spread, right)]: [(&[f32], Plan<N>); 2],
    panels: Panels,
    tiles: usize,
    sums: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let area = left.channels * panels.columns;
    assert!(right.channels == panels.columns && sums.len() == components(N) * area);
    assert!(left.channels.is_multiple_of(lanes) && panels.columns.is_multiple_of(lanes));
    assert!(left.channels.is_multiple_of(MULTIPLE));
    assert!(left.length(tiles) <= taken.len() && right.length(tiles) <= spread.len());
    for component in 0..components(N) {
        for index in 0..panels.count() {
            let (first, _, width) = panels.panel(index);
            let sums = Sum {
                taken: taken[component * lanes..].as_ptr(),
                left,
                spread: spread[components(N) * first + component * lanes..].as_ptr(),
                right,
                tiles,
                dest: sums[component * area + left.channels * first..].as_mut_ptr(),
            };
            let mut row = 0;
            while row < left.channels {
                let rest = left.channels - row;
                // SAFETY: the operands have all channels of the tiles, in whole vectors, and there is
                // room for the panel. What is left of the channels is a multiple of MULTIPLE.
                unsafe {
                    row += match (S::REGISTER_COUNT >= 32, width > lanes) {
                        (true, true) if rest >= 12 => sums.correlate::<S, 12, 2>(simd, row),
                        (true, false) if rest >= 12 => sums.correlate::<S, 12, 1>(simd, row),
                        (false, true) if rest.is_multiple_of(6) => {
                            sums.correlate::<S, 6, 2>(simd, row)
                        }
                        // Twelve sums or ten keep the units busy, eight don't.
                        (false, true) if rest != 4 && rest != 8 => {
                            sums.correlate::<S, 5, 2>(simd, row)
                        }
                        (_, true) => sums.correlate::<S, MULTIPLE, 2>(simd, row),
                        (_, false) => sums.correlate::<S, MULTIPLE, 1>(simd, row),
                    };
                }
            }
        }
    }
}

/// The sum of a panel of a component.
struct Sum<const N: usize> {
    taken: *const f32,
    left: Plan<N>,
    spread: *const f32,
    right: Plan<N>,
    tiles: usize,
    dest: *mut f32,
}

impl<const N: usize> Sum<N> {
    /// Sums K channels from `row` on, and returns K.
    ///
    /// # Safety
    /// The operands must have these channels of the tiles, and the sum a panel of V vectors.
    #[inline(always)]
    unsafe fn correlate<S: Simd, const K: usize, const V: usize>(
        &self,
        simd: S,
        row: usize,
    ) -> usize {
        let lanes = S::F32_LANES;
        // SAFETY: by the caller's promise.
        unsafe {
            let mut sum = [[simd.splat_f32s(0.0); V]; K];
            let mut places = [0; K];
            for i in 0..K {
                let channel = row + i;
                places[i] = channel / lanes * lanes * components(N) + channel % lanes;
            }
            let (mut left, mut right) = (self.taken, self.spread);
            for _ in 0..self.tiles {
                let mut columns = [simd.splat_f32s(0.0); V];
                for v in 0..V {
                    columns[v] = load(simd, right.add(v * components(N) * lanes));
                }
                for i in 0..K {
                    let left = simd.splat_f32s(*left.add(places[i]));
                    for v in 0..V {
                        sum[i][v] = simd.mul_add_e_f32s(left, columns[v], sum[i][v]);
                    }
                }
                left = left.wrapping_add(self.left.tile());
                right = right.wrapping_add(self.right.tile());
            }
            let dest = self.dest.add(row * V * lanes);
            for i in 0..K {
                for v in 0..V {
                    let dest = dest.add((i * V + v) * lanes);
                    store(simd, dest, simd.add_f32s(load(simd, dest), sum[i][v]));
                }
            }
        }
        K
    }
}
