//! Where the time of a step goes, and what the machine would allow.
//!
//! The roofline of Williams, Waterman and Patterson (2009): an operation can take no less than its floating-point
//! operations at the peak of the machine, and no less than its bytes, each input and output once, at the bandwidth of
//! memory. Operations whose data stays in a cache can beat the second.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use autodidact_kernels::{Measured, Pass, Precision};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// What the machine can do with all threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// Floating-point operations a second in `f32`, measured on registers.
    pub(crate) flops: f64,
    /// The same for products in the precision of the step.
    pub(crate) product_flops: f64,
    /// Bytes a second, read and written, measured on a copy that no cache of a core holds.
    pub(crate) bandwidth: f64,
}

impl Machine {
    pub(crate) fn measure(precision: Precision) -> Self {
        let flops = best_rate(|| {
            let flops = rayon::broadcast(|_| Arch::new().dispatch(Multiply));
            flops.iter().sum()
        });
        let source = vec![1.0f32; 16 << 20];
        let mut dest = vec![0.0f32; source.len()];
        let bandwidth = best_rate(|| {
            let part = source.len() / rayon::current_num_threads();
            dest.par_chunks_mut(part)
                .zip(source.par_chunks(part))
                .for_each(|(dest, source)| dest.copy_from_slice(source));
            black_box(&dest);
            (source.len() * 8) as f64
        });
        // By the manuals, a core of AMX multiplies and adds 512 pairs a cycle; the widest `f32` units 32. AVX512-BF16
        // halves the number of instructions.
        let factor = match (precision, precision.instructions()) {
            (Precision::Bf16, Some("AMX-BF16")) => 16.0,
            (Precision::Bf16, Some("AVX512-BF16")) => 2.0,
            _ => 1.0,
        };
        Self {
            flops,
            product_flops: factor * flops,
            bandwidth,
        }
    }

    /// The least seconds for so much work.
    fn attainable(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.product_flops).max(bytes / self.bandwidth)
    }
}

/// The best of several readings of `work`, which says how much it did.
fn best_rate(mut work: impl FnMut() -> f64) -> f64 {
    let rates = (0..15).map(|_| {
        let start = Instant::now();
        let done = work();
        done / start.elapsed().as_secs_f64()
    });
    rates.fold(0.0, f64::max)
}

/// Independent chains of multiply-adds, enough to fill the units; returns the number of operations.
struct Multiply;

impl WithSimd for Multiply {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // As many chains as the registers hold beside the factor and the term.
        if S::REGISTER_COUNT >= 32 {
            multiply::<S, 24>(simd)
        } else {
            multiply::<S, 12>(simd)
        }
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see the comment in the loop")]
fn multiply<S: Simd, const CHAINS: usize>(simd: S) -> f64 {
    // Some milliseconds, beside which waking the threads is nothing.
    const ROUNDS: usize = 1 << 21;
    let factor = simd.splat_f32s(black_box(0.999));
    let term = simd.splat_f32s(black_box(0.001));
    let mut sums = [simd.splat_f32s(black_box(1.0)); CHAINS];
    for _ in 0..ROUNDS {
        // By number: through references the sums would stay in memory.
        for i in 0..CHAINS {
            sums[i] = simd.mul_add_f32s(sums[i], factor, term);
        }
    }
    for sum in sums {
        black_box(simd.reduce_sum_f32s(sum));
    }
    (2 * CHAINS * ROUNDS * S::F32_LANES) as f64
}

/// What was measured of one operation in one pass.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    calls: usize,
    seconds: f64,
    flops: f64,
    bytes: f64,
    /// The least seconds that the machine would need.
    least: f64,
}

/// One line for each operation and pass, the slowest first, then the rest of the step.
pub(crate) fn table(
    machine: &Machine,
    measured: &[Measured],
    steps: usize,
    whole: Duration,
    update: Duration,
) -> String {
    let mut rows: BTreeMap<(&str, Pass), Row> = BTreeMap::new();
    for entry in measured {
        let row = rows.entry((entry.operation, entry.pass)).or_default();
        row.calls += entry.calls;
        row.seconds += entry.time.as_secs_f64();
        row.flops += entry.flops;
        row.bytes += entry.bytes;
        row.least += machine.attainable(entry.flops, entry.bytes);
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|(_, a), (_, b)| b.seconds.total_cmp(&a.seconds));
    let steps = steps as f64;
    let whole = whole.as_secs_f64() / steps;
    let update = update.as_secs_f64() / steps;
    let mut text = format!(
        "machine: {:.0} GFLOP/s in f32{}, {:.0} GB/s\n",
        machine.flops / 1e9,
        if machine.product_flops > machine.flops {
            format!(", {:.0} in bf16 products", machine.product_flops / 1e9)
        } else {
            String::new()
        },
        machine.bandwidth / 1e9
    );
    let _ = writeln!(
        text,
        "| operation | pass | calls | ms | share | GFLOP/s | GB/s | attainable ms | achieved |\n|---|---|---|---|---|---|---|---|---|"
    );
    let (mut sum, mut attainable) = (0.0, 0.0);
    for ((operation, pass), row) in rows {
        let Row {
            calls,
            seconds,
            flops,
            bytes,
            least,
        } = row;
        let _ = writeln!(
            text,
            "| {operation} | {} | {:.0} | {:.2} | {:.1} % | {} | {:.0} | {:.2} | {:.0} % |",
            match pass {
                Pass::Forward => "forward",
                Pass::Backward => "backward",
            },
            calls as f64 / steps,
            seconds / steps * 1e3,
            100.0 * seconds / steps / whole,
            if flops > 0.0 {
                format!("{:.0}", flops / seconds / 1e9)
            } else {
                "–".to_owned()
            },
            bytes / seconds / 1e9,
            least / steps * 1e3,
            100.0 * least / seconds,
        );
        sum += seconds / steps;
        attainable += least / steps;
    }
    let rest = whole - sum - update;
    for (name, seconds) in [("optimizer", update), ("everything else", rest)] {
        let (ms, share) = (seconds * 1e3, 100.0 * seconds / whole);
        let _ = writeln!(text, "| {name} | | | {ms:.2} | {share:.1} % | | | | |");
    }
    let _ = writeln!(
        text,
        "| step | | | {:.2} | 100 % | | | {:.2} | {:.0} % |",
        whole * 1e3,
        attainable * 1e3,
        100.0 * attainable / whole
    );
    text
}
