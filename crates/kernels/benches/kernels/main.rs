//! Milliseconds of single kernels, forward and backward.
//!
//! `cargo bench -p autodidact-kernels -p autodidact-cli --bench kernels -- [KERNEL ...] [--json] [--unfused] [--fixed]`
//!
//! The shapes are those of `cases.json`, which `xtask/torch/kernels.py` reads as well; `cargo xtask
//! bench kernels` sets the two side by side. A time is the median of the repetitions of about half a
//! second after a few to warm up, with the quartiles beside it. `RAYON_NUM_THREADS` sets the number
//! of threads. With `--fixed` the inputs of `conv2d` want no gradient, so that its backward pass makes
//! that of the weight alone.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod cases;

use std::process::ExitCode;
use std::time::Instant;

use autodidact_kernels::{Recycling, unfused};
use cases::{Case, Run};
use mimalloc::MiMalloc;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Recycling<MiMalloc> = Recycling::new(MiMalloc, 8 << 30);

fn main() -> ExitCode {
    let (mut as_json, mut burns, mut fixed, mut kernels) = (false, false, false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => as_json = true,
            "--unfused" => burns = true,
            "--fixed" => fixed = true,
            // What cargo bench says to every bench.
            "--bench" => {}
            option if option.starts_with('-') => {
                eprintln!("error: no option `{option}`; there are --json, --unfused and --fixed");
                return ExitCode::from(2);
            }
            _ => kernels.push(argument),
        }
    }
    let cases = Case::all();
    if let Some(unknown) = kernels
        .iter()
        .find(|kernel| cases.iter().all(|case| case.kernel != **kernel))
    {
        eprintln!("error: no kernel named `{unknown}` in cases.json");
        return ExitCode::from(2);
    }
    for mut case in cases {
        if !kernels.is_empty() && !kernels.contains(&case.kernel) {
            continue;
        }
        case.fixed = fixed;
        let times = case.run().map(|run| {
            if burns {
                unfused(|| measure(run))
            } else {
                measure(run)
            }
        });
        if as_json {
            println!("{}", report(&case, times, burns));
        } else {
            println!("{}", line(&case, times));
        }
    }
    ExitCode::SUCCESS
}

/// Lower quartile, median and upper quartile, in milliseconds.
type Quartiles = [f64; 3];

/// The forward and the backward pass.
fn measure(run: Run) -> [Quartiles; 2] {
    let mut times = [Vec::new(), Vec::new()];
    let mut warm = 0;
    let mut begin = Instant::now();
    while times[0].len() < 5 || begin.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        let backward = run();
        let middle = Instant::now();
        backward();
        let end = Instant::now();
        if warm < 3 {
            warm += 1;
            begin = Instant::now();
            continue;
        }
        times[0].push((middle - start).as_secs_f64() * 1e3);
        times[1].push((end - middle).as_secs_f64() * 1e3);
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| times[(times.len() - 1) * quarter / 4])
    })
}

fn report(case: &Case, times: Option<[Quartiles; 2]>, burns: bool) -> Value {
    json!({
        "case": case.value,
        "side": "autodidact",
        "variant": if burns { "unfused" } else { "f32" },
        "threads": rayon::current_num_threads(),
        "forward_ms": times.map(|times| times[0]),
        "backward_ms": times.map(|times| times[1]),
        "forward_flops": case.flops(),
    })
}

fn line(case: &Case, times: Option<[Quartiles; 2]>) -> String {
    let Some([forward, backward]) = times else {
        return format!("{:40} no kernel", case.label());
    };
    let spread = |[low, middle, high]: Quartiles| format!("{middle:9.3} ({low:.3}–{high:.3})");
    let rate = match case.flops() {
        0.0 => String::new(),
        // The backward pass takes as many again for each of its two gradients.
        flops => {
            let parts = if case.gradient_of_input() { 3.0 } else { 2.0 };
            format!(
                "{:8.0} GFLOP/s",
                parts * flops / (forward[1] + backward[1]) / 1e6
            )
        }
    };
    format!(
        "{:40} {:30} {:30} {rate}",
        case.label(),
        spread(forward),
        spread(backward),
    )
}
