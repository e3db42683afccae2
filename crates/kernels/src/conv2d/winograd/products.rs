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

/// Products, of channels and terms, that are summed one after another. More of them are summed in parts,
/// whose sums lose fewer digits.
const DEPTH: usize = 64;

/// `products[tile, product] = Σ taken[tile, left] · right[right]` over terms, for so many tiles.
///
/// Tiles are done in whole units: what follows them in the operands is read and written, too.
pub(super) fn multiply<S: Simd, const L: usize, const P: usize>(
    simd: S,
    taken: (&[f32], Plan<L>),
    right: &Right,
    terms: &[Term],
    tiles: usize,
    products: (&mut [f32], Plan<P>),
) {
    apart(
        simd,
        Multiply {
            taken,
            right,
            terms,
            tiles,
            products,
        },
    );
}

/// Which components are multiplied, and to which component of the product theirs is added: sums are over
/// all terms of the same product, which stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) product: usize,
}

impl Term {
    /// Each component with its own.
    pub(super) fn each<const N: usize>() -> &'static [Self] {
        static EACH: [Term; 24] = {
            let mut each = [Term::of(0); 24];
            let mut component = 0;
            while component < 24 {
                each[component] = Term::of(component);
                component += 1;
            }
            each
        };
        &EACH[..components(N)]
    }

    pub(super) const fn of(component: usize) -> Self {
        Self {
            left: component,
            right: component,
            product: component,
        }
    }
}

/// Compiles `work` into a function of its own. The loops of products need all registers, and what the
/// compiler keeps in them of the steps before and after would be one sum less there.
#[inline(never)]
fn apart<S: Simd, W: WithSimd>(simd: S, work: W) -> W::Output {
    simd.vectorize(work)
}

struct Multiply<'a, const L: usize, const P: usize> {
    taken: (&'a [f32], Plan<L>),
    right: &'a Right,
    terms: &'a [Term],
    tiles: usize,
    products: (&'a mut [f32], Plan<P>),
}

impl<const L: usize, const P: usize> WithSimd for Multiply<'_, L, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            taken: (taken, left),
            right,
            terms,
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
        assert!(terms.iter().all(|term| term.left < components(L)
            && term.product < components(P)
            && term.right < right.components()));
        let lanes = S::F32_LANES;
        assert!(terms.is_sorted_by_key(|term| term.product));
        // Terms that are summed one after another: of no more than so many products together.
        let together = (DEPTH / right.depth.max(1)).max(1);
        for terms in terms.chunk_by(|one, next| one.product == next.product) {
            let component = terms[0].product;
            for first in (0..panels.columns).step_by(2 * lanes) {
                let both = panels.columns - first > lanes;
                let width = if both { 2 * lanes } else { lanes };
                let (mut more, mut rest) = (false, terms);
                while !rest.is_empty() {
                    let count = match rest.len().min(together) {
                        1 => 1,
                        2 | 3 => 2,
                        _ => 4,
                    };
                    let terms = &rest[..count];
                    rest = &rest[count..];
                    for depth in (0..right.depth).step_by(DEPTH) {
                        let panel = Panel {
                            taken: taken[depth * components(L)..].as_ptr(),
                            left,
                            right,
                            place: right.depth * first + depth * width,
                            terms,
                            depth: DEPTH.min(right.depth - depth),
                            more,
                            dest: products[components(P) * first + component * lanes..]
                                .as_mut_ptr(),
                            product,
                            tiles,
                        };
                        more = true;
                        // SAFETY: the operands have all channels of the tiles, in whole vectors, and the
                        // components of the terms, and the tiles are whole units.
                        unsafe {
                            match count {
                                1 => panel.run::<S, 1>(simd, both),
                                2 => panel.run::<S, 2>(simd, both),
                                _ => panel.run::<S, 4>(simd, both),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The columns of a panel of a component of the product, of some terms and a part of the depth.
struct Panel<'a, const L: usize, const P: usize> {
    taken: *const f32,
    left: Plan<L>,
    right: &'a Right,
    /// Where the panel begins in a component of the right operand.
    place: usize,
    terms: &'a [Term],
    depth: usize,
    /// Whether there is a sum already, to which this is added.
    more: bool,
    dest: *mut f32,
    product: Plan<P>,
    tiles: usize,
}

impl<const L: usize, const P: usize> Panel<'_, L, P> {
    /// # Safety
    /// As for [`Panel::multiply`], of a panel of two vectors or of one.
    #[inline(always)]
    unsafe fn run<S: Simd, const K: usize>(&self, simd: S, both: bool) {
        // SAFETY: by the caller's promise.
        unsafe {
            match (S::REGISTER_COUNT >= 32, both) {
                (true, true) => self.multiply::<S, 12, 2, K>(simd),
                (true, false) => self.multiply::<S, 12, 1, K>(simd),
                (false, true) => self.multiply::<S, 6, 2, K>(simd),
                (false, false) => self.multiply::<S, 6, 1, K>(simd),
            }
        }
    }

    /// # Safety
    /// The operands must have all channels of the tiles, whose number must be a multiple of T, and the
    /// components of the K terms, and the right one a panel of V vectors.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const T: usize, const V: usize, const K: usize>(&self, simd: S) {
        let lanes = S::F32_LANES;
        // Unrolled further, the loop is scheduled in a way that may need more registers than there are.
        let unrolled = lanes.min(4);
        let steps = std::hint::black_box(lanes / unrolled);
        assert_eq!(self.terms.len(), K);
        let mut operands = [(self.taken, self.taken); K];
        for (operands, term) in operands.iter_mut().zip(self.terms) {
            let weight = self.right.component(term.right);
            *operands = (
                self.taken.wrapping_add(term.left * lanes),
                weight[self.place..].as_ptr(),
            );
        }
        for first in (0..self.tiles).step_by(T) {
            // SAFETY: by the caller's promise.
            unsafe {
                let mut sum = [[simd.splat_f32s(0.0); V]; T];
                for term in 0..K {
                    let (taken, mut weight) = operands[term];
                    let mut left = [taken; T];
                    for t in 0..T {
                        left[t] = taken.add((first + t) * self.left.tile());
                    }
                    for _ in 0..self.depth / lanes {
                        for step in 0..steps {
                            for k in 0..unrolled {
                                let mut right = [simd.splat_f32s(0.0); V];
                                for v in 0..V {
                                    right[v] = load(simd, weight.add((k * V + v) * lanes));
                                }
                                for t in 0..T {
                                    let left = simd.splat_f32s(*left[t].add(unrolled * step + k));
                                    for v in 0..V {
                                        sum[t][v] = simd.mul_add_e_f32s(left, right[v], sum[t][v]);
                                    }
                                }
                            }
                            weight = weight.add(unrolled * V * lanes);
                        }
                        for t in 0..T {
                            left[t] = left[t].wrapping_add(components(L) * lanes);
                        }
                    }
                }
                for t in 0..T {
                    let dest = self.dest.add((first + t) * self.product.tile());
                    for v in 0..V {
                        let dest = dest.add(v * components(P) * lanes);
                        if self.more {
                            sum[t][v] = simd.add_f32s(load(simd, dest), sum[t][v]);
                        }
                        store(simd, dest, sum[t][v]);
                    }
                }
            }
        }
    }
}

/// Adds `Σ_tile taken[tile, left, k] · spread[tile, product, column]` of each term to the sums of its
/// right component, laid out as the right operand of [`multiply`].
#[inline(always)]
pub(super) fn correlate<S: Simd, const L: usize, const P: usize>(
    simd: S,
    (taken, left): (&[f32], Plan<L>),
    (spread, right): (&[f32], Plan<P>),
    terms: &[Term],
    panels: Panels,
    tiles: usize,
    sums: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let area = left.channels * panels.columns;
    assert!(right.channels == panels.columns && sums.len() == terms.len() * area);
    assert!(left.channels.is_multiple_of(lanes) && panels.columns.is_multiple_of(lanes));
    assert!(left.channels.is_multiple_of(MULTIPLE));
    assert!(left.length(tiles) <= taken.len() && right.length(tiles) <= spread.len());
    assert!(terms.iter().all(|term| term.left < components(L)
        && term.product < components(P)
        && term.right < terms.len()));
    for term in terms {
        for index in 0..panels.count() {
            let (first, _, width) = panels.panel(index);
            let sums = Sum {
                taken: taken[term.left * lanes..].as_ptr(),
                left,
                spread: spread[components(P) * first + term.product * lanes..].as_ptr(),
                right,
                tiles,
                dest: sums[term.right * area + left.channels * first..].as_mut_ptr(),
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
struct Sum<const L: usize, const P: usize> {
    taken: *const f32,
    left: Plan<L>,
    spread: *const f32,
    right: Plan<P>,
    tiles: usize,
    dest: *mut f32,
}

impl<const L: usize, const P: usize> Sum<L, P> {
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
                places[i] = channel / lanes * lanes * components(L) + channel % lanes;
            }
            let (mut left, mut right) = (self.taken, self.spread);
            for _ in 0..self.tiles {
                let mut columns = [simd.splat_f32s(0.0); V];
                for v in 0..V {
                    columns[v] = load(simd, right.add(v * components(P) * lanes));
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
