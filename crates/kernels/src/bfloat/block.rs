//! The micro-kernel: a block of at most 2×2 tiles of sums.

use super::Engine;
use super::rounded::widened;

/// One step of a sum: how many bytes after the operands' starts its tiles lie.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) left: usize,
    pub(super) right: usize,
}

/// `to = from + Σ left · right` over the steps; strides are in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Where the left tiles of rows 0 to 15 and of rows 16 to 31 begin.
    pub(super) left: [*const u16; 2],
    /// From one row of a left tile to the next, of 32 numbers each.
    pub(super) left_stride: usize,
    /// Where the right tile of columns 0 to 15 begins; that of columns 16 to 31 follows it.
    pub(super) right: *const u16,
    pub(super) steps: *const Step,
    pub(super) count: usize,
    /// What the sums of rows 0 to 15 and of rows 16 to 31 begin with; nothing where null.
    pub(super) from: [*const f32; 2],
    pub(super) from_stride: usize,
    pub(super) to: [*mut f32; 2],
    pub(super) to_stride: usize,
}

/// The engine made ready on this thread, until dropped.
pub(super) struct Ready {
    engine: Engine,
    /// The tiles are set up for one thread.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Ready {
    pub(super) fn new(engine: Engine) -> Self {
        #[cfg(target_arch = "x86_64")]
        if engine == Engine::Tiles {
            tiles::configure();
        }
        Self {
            engine,
            _thread: std::marker::PhantomData,
        }
    }

    /// Computes the sums of a block of `tiles` rows and columns of tiles, 1 or 2 each.
    ///
    /// # Safety
    /// All of `block` must be as it says: for each step 16 rows of 32 numbers in each left tile,
    /// and 512 numbers in each right tile; 16 floats in each row of the tiles to read from and to
    /// write to, which nothing else may touch meanwhile.
    #[inline]
    pub(super) unsafe fn run(&self, block: &Block, tiles: [usize; 2]) {
        // SAFETY: by the caller's promise; the engine is only there where its instructions are.
        unsafe {
            match self.engine {
                #[cfg(target_arch = "x86_64")]
                Engine::Tiles => match tiles {
                    [2, 2] => tiles::block22(block),
                    [2, _] => tiles::block21(block),
                    [_, 2] => tiles::block12(block),
                    _ => tiles::block11(block),
                },
                #[cfg(target_arch = "x86_64")]
                Engine::Vectors => match tiles[1] {
                    2 => vectors::block::<2>(block, tiles[0]),
                    _ => vectors::block::<1>(block, tiles[0]),
                },
                Engine::Plain => plain(block, tiles),
            }
        }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        if self.engine == Engine::Tiles {
            tiles::release();
        }
    }
}

/// # Safety
/// As [`Ready::run`].
unsafe fn plain(block: &Block, [rows, columns]: [usize; 2]) {
    for row in 0..16 * rows {
        let (tile, row) = (row / 16, row % 16);
        for column in 0..16 * columns {
            // SAFETY: by the caller's promise.
            unsafe {
                let mut sum = if block.from[tile].is_null() {
                    0.0
                } else {
                    let from = block.from[tile].byte_add(row * block.from_stride);
                    *from.add(column)
                };
                for step in 0..block.count {
                    let step = *block.steps.add(step);
                    let left = block.left[tile]
                        .byte_add(step.left)
                        .wrapping_byte_add(row.wrapping_mul(block.left_stride));
                    let right = block.right.byte_add(step.right);
                    let right = right.add(column / 16 * 512 + column % 16 * 2);
                    for k in 0..32 {
                        let right = *right.add(k / 2 * 32 + k % 2);
                        sum += widened(*left.add(k)) * widened(right);
                    }
                }
                *block.to[tile].byte_add(row * block.to_stride).add(column) = sum;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use core::arch::x86_64::*;

    use super::Block;

    /// Rows whose sums are kept in registers at once.
    const ROWS: usize = 8;

    /// # Safety
    /// As `Ready::run`, on a machine with these features.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn block<const COLUMNS: usize>(block: &Block, rows: usize) {
        for strip in 0..16 * rows / ROWS {
            let (tile, first) = (strip * ROWS / 16, strip * ROWS % 16);
            // SAFETY: by the caller's promise.
            unsafe {
                let mut sum = [[_mm512_setzero_ps(); COLUMNS]; ROWS];
                if !block.from[tile].is_null() {
                    for (row, sum) in sum.iter_mut().enumerate() {
                        let from = block.from[tile].byte_add((first + row) * block.from_stride);
                        for (column, sum) in sum.iter_mut().enumerate() {
                            *sum = _mm512_loadu_ps(from.add(16 * column));
                        }
                    }
                }
                for step in 0..block.count {
                    let step = *block.steps.add(step);
                    let left = block.left[tile]
                        .byte_add(step.left)
                        .wrapping_byte_add(first.wrapping_mul(block.left_stride));
                    let right = block.right.byte_add(step.right);
                    for pair in 0..16 {
                        let mut rights = [_mm512_setzero_si512(); COLUMNS];
                        for (column, to) in rights.iter_mut().enumerate() {
                            let right = right.add(512 * column + 32 * pair);
                            *to = _mm512_loadu_si512(right.cast());
                        }
                        for (row, sum) in sum.iter_mut().enumerate() {
                            let left = left
                                .wrapping_byte_add(row.wrapping_mul(block.left_stride))
                                .add(2 * pair)
                                .cast::<i32>()
                                .read_unaligned();
                            let left = _mm512_set1_epi32(left);
                            for (sum, right) in sum.iter_mut().zip(rights) {
                                *sum = _mm512_dpbf16_ps(
                                    *sum,
                                    core::mem::transmute::<__m512i, __m512bh>(left),
                                    core::mem::transmute::<__m512i, __m512bh>(right),
                                );
                            }
                        }
                    }
                }
                for (row, sum) in sum.iter().enumerate() {
                    let to = block.to[tile].byte_add((first + row) * block.to_stride);
                    for (column, sum) in sum.iter().enumerate() {
                        _mm512_storeu_ps(to.add(16 * column), *sum);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod tiles {
    //! AMX. Rust has no type for a tile, so a block is one piece of assembly from the first load
    //! of its sums to their last store.

    use core::arch::asm;
    use core::mem::offset_of;

    use super::Block;

    /// Palette 1: eight tiles of 16 rows of 64 bytes.
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        columns: [u16; 16],
        rows: [u8; 16],
    }

    static CONFIGURATION: Configuration = Configuration {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        columns: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
        rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    pub(super) fn configure() {
        // SAFETY: the engine is only there where the tiles are; no code but ours uses them.
        unsafe {
            asm!(
                "ldtilecfg [{configuration}]",
                configuration = in(reg) &raw const CONFIGURATION,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(readonly, nostack, preserves_flags),
            );
        }
    }

    /// Tells the system that there is nothing in the tiles to save any more.
    pub(super) fn release() {
        // SAFETY: as above.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }

    /// A block whose sums are tiles 0 to 3, row by row, left operands 4 and 5, right ones 6 and 7.
    ///
    /// In each part, `{p}` points at tiles of which a row is `{s}` bytes long; in `step`, `{p}` is
    /// the left tile of the upper rows, `{p} + {d}` that of the lower ones, `{q}` the right tile.
    macro_rules! block {
        ($name:ident, upper: $load_upper:literal, lower: $load_lower:literal, zero: $zero:literal,
         step: $step:literal, store_upper: $store_upper:literal, store_lower: $store_lower:literal) => {
            /// # Safety
            /// As `Ready::run`, after `configure`.
            pub(super) unsafe fn $name(block: &Block) {
                // SAFETY: by the caller's promise.
                unsafe {
                    asm!(
                        "mov {p}, [{block} + {from}]",
                        "test {p}, {p}",
                        "jz 2f",
                        "mov {s}, [{block} + {from_stride}]",
                        $load_upper,
                        "mov {p}, [{block} + {from} + 8]",
                        $load_lower,
                        "jmp 3f",
                        "2:",
                        $zero,
                        "3:",
                        "mov {left}, [{block} + {left_at}]",
                        "mov {d}, [{block} + {left_at} + 8]",
                        "sub {d}, {left}",
                        "mov {s}, [{block} + {left_stride}]",
                        "mov {right}, [{block} + {right_at}]",
                        "mov {step}, [{block} + {steps}]",
                        "mov {count}, [{block} + {count_at}]",
                        "mov {t:e}, 64",
                        "test {count}, {count}",
                        "jz 5f",
                        "4:",
                        "mov {p}, [{step}]",
                        "mov {q}, [{step} + 8]",
                        "add {step}, 16",
                        "add {p}, {left}",
                        "add {q}, {right}",
                        $step,
                        "dec {count}",
                        "jnz 4b",
                        "5:",
                        "mov {s}, [{block} + {to_stride}]",
                        "mov {p}, [{block} + {to}]",
                        $store_upper,
                        "mov {p}, [{block} + {to} + 8]",
                        $store_lower,
                        block = in(reg) core::ptr::from_ref(block),
                        p = out(reg) _, q = out(reg) _, s = out(reg) _, t = out(reg) _, d = out(reg) _,
                        left = out(reg) _, right = out(reg) _, step = out(reg) _, count = out(reg) _,
                        from = const offset_of!(Block, from),
                        from_stride = const offset_of!(Block, from_stride),
                        left_at = const offset_of!(Block, left),
                        left_stride = const offset_of!(Block, left_stride),
                        right_at = const offset_of!(Block, right),
                        steps = const offset_of!(Block, steps),
                        count_at = const offset_of!(Block, count),
                        to = const offset_of!(Block, to),
                        to_stride = const offset_of!(Block, to_stride),
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        };
    }

    block!(block22,
        upper: "tileloadd tmm0, [{p} + {s}*1]\ntileloadd tmm1, [{p} + {s}*1 + 64]",
        lower: "tileloadd tmm2, [{p} + {s}*1]\ntileloadd tmm3, [{p} + {s}*1 + 64]",
        zero: "tilezero tmm0\ntilezero tmm1\ntilezero tmm2\ntilezero tmm3",
        step: "tileloadd tmm4, [{p} + {s}*1]
               tileloadd tmm6, [{q} + {t}*1]
               tdpbf16ps tmm0, tmm4, tmm6
               tileloadd tmm7, [{q} + {t}*1 + 1024]
               tdpbf16ps tmm1, tmm4, tmm7
               add {p}, {d}
               tileloadd tmm5, [{p} + {s}*1]
               tdpbf16ps tmm2, tmm5, tmm6
               tdpbf16ps tmm3, tmm5, tmm7",
        store_upper: "tilestored [{p} + {s}*1], tmm0\ntilestored [{p} + {s}*1 + 64], tmm1",
        store_lower: "tilestored [{p} + {s}*1], tmm2\ntilestored [{p} + {s}*1 + 64], tmm3");

    block!(block21,
        upper: "tileloadd tmm0, [{p} + {s}*1]",
        lower: "tileloadd tmm2, [{p} + {s}*1]",
        zero: "tilezero tmm0\ntilezero tmm2",
        step: "tileloadd tmm4, [{p} + {s}*1]
               tileloadd tmm6, [{q} + {t}*1]
               tdpbf16ps tmm0, tmm4, tmm6
               add {p}, {d}
               tileloadd tmm5, [{p} + {s}*1]
               tdpbf16ps tmm2, tmm5, tmm6",
        store_upper: "tilestored [{p} + {s}*1], tmm0",
        store_lower: "tilestored [{p} + {s}*1], tmm2");

    block!(block12,
        upper: "tileloadd tmm0, [{p} + {s}*1]\ntileloadd tmm1, [{p} + {s}*1 + 64]",
        lower: "",
        zero: "tilezero tmm0\ntilezero tmm1",
        step: "tileloadd tmm4, [{p} + {s}*1]
               tileloadd tmm6, [{q} + {t}*1]
               tdpbf16ps tmm0, tmm4, tmm6
               tileloadd tmm7, [{q} + {t}*1 + 1024]
               tdpbf16ps tmm1, tmm4, tmm7",
        store_upper: "tilestored [{p} + {s}*1], tmm0\ntilestored [{p} + {s}*1 + 64], tmm1",
        store_lower: "");

    block!(block11,
        upper: "tileloadd tmm0, [{p} + {s}*1]",
        lower: "",
        zero: "tilezero tmm0",
        step: "tileloadd tmm4, [{p} + {s}*1]
               tileloadd tmm6, [{q} + {t}*1]
               tdpbf16ps tmm0, tmm4, tmm6",
        store_upper: "tilestored [{p} + {s}*1], tmm0",
        store_lower: "");
}
