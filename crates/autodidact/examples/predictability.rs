//! Does CPC learn what there is to learn? Series of symbols that stay the same with a known probability, each a short
//! pattern under noise: how much a past tells of what follows is known in closed form, and the InfoNCE estimate on series that
//! were not learned from, with negatives from other series, should come near it or to the logarithm of the candidates,
//! whichever is less, and not above it.
//!
//! `cargo run --release -p autodidact --example predictability`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::fmt::Write;
use std::sync::atomic::AtomicBool;

use autodidact::error::{Error, Result};
use autodidact::recipe::Recipe;
use autodidact::run::RunFolder;
use autodidact::train;
use mimalloc::MiMalloc;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Symbols of a series, steps of a symbol, series.
const LENGTH: usize = 24;
const STEPS: usize = 8;
const SERIES: usize = 3000;
const SEEDS: u64 = 3;

fn main() -> Result<()> {
    println!(
        "symbols  stays  candidates   true  log N  attainable  estimate of {SEEDS} runs on fresh series"
    );
    for (symbols, stays, batch) in [(8usize, 0.8, 128usize), (64, 0.98, 8)] {
        // A latent covers its own symbol and the one before: one ahead the past knows one of the two, two ahead none.
        let first = (symbols as f64).ln();
        let second = information(symbols, stays);
        let most = (batch as f64).ln();
        let attainable = 0.5 * (first.min(most) + second.min(most));
        let found: Vec<f64> = (0..SEEDS)
            .map(|seed| estimate(symbols, stays, batch, seed))
            .collect::<Result<_>>()?;
        let mean = found.iter().sum::<f64>() / SEEDS as f64;
        let squares: f64 = found.iter().map(|one| (one - mean).powi(2)).sum();
        let error = (squares / (SEEDS * (SEEDS - 1)) as f64).sqrt();
        println!(
            "{symbols:7}  {stays:5.2}  {batch:10}  {:5.3}  {most:5.3}  {attainable:10.3}  {mean:.3} ± {error:.3}",
            0.5 * (first + second)
        );
    }
    Ok(())
}

/// What a symbol tells of the next one, in nats, where it stays with a probability and is drawn anew otherwise.
fn information(symbols: usize, stays: f64) -> f64 {
    let count = symbols as f64;
    let (same, other) = (stays + (1.0 - stays) / count, (1.0 - stays) / count);
    count.ln() + same * same.ln() + (count - 1.0) * other * other.ln()
}

/// The estimate on what was held out, at the end of a run.
fn estimate(symbols: usize, stays: f64, batch: usize, seed: u64) -> Result<f64> {
    let scratch = tempfile::tempdir().map_err(|error| Error::io("a temporary folder", error))?;
    let path = scratch.path().join("series.tsv");
    std::fs::write(&path, table(symbols, stays, seed)).map_err(|error| Error::io(&path, error))?;
    let recipe = Recipe::parse(&format!(
        "[data]\npath = {path:?}\nkind = \"series\"\nvalidation = 0.3\nreading = {{ layout = \"rows\" }}\n\
         [method]\nname = \"cpc\"\nsteps = 2\nnegatives = \"across\"\n\
         [encoder]\nname = \"conv_gru\"\nwidth = 64\ndim = 64\nstrides = [{STEPS}]\n\
         [train]\nsteps = 500\nbatch_size = {batch}\nlearning_rate = {}\nseed = {seed}",
        2e-3 * 256.0 / batch as f64
    ))?;
    let mut session = train::open(&recipe)?;
    let folder = RunFolder::create(Some(&scratch.path().join("run")), "")?;
    let stop = AtomicBool::new(false);
    train::pretrain(session.as_mut(), &folder, None, None, &stop, &mut |_| ())?;
    let held_out = session.validate()?;
    let parts = held_out.map_or_else(Vec::new, |held| held.parts);
    let found = parts.into_iter().find(|(name, _)| *name == "information");
    found
        .map(|(_, value)| value)
        .ok_or_else(|| Error::training("nothing was held out"))
}

/// A row a series.
fn table(symbols: usize, stays: f64, seed: u64) -> String {
    let mut patterns = Pcg64Mcg::seed_from_u64(99);
    let patterns: Vec<[f64; STEPS]> = (0..symbols)
        .map(|_| std::array::from_fn(|_| patterns.random_range(-1.5..1.5)))
        .collect();
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut rows = String::new();
    for _ in 0..SERIES {
        let mut symbol = rng.random_range(0..symbols);
        for place in 0..LENGTH {
            if rng.random_range(0.0..1.0) >= stays {
                symbol = rng.random_range(0..symbols);
            }
            for (step, value) in patterns[symbol].iter().enumerate() {
                let tab = if place + step > 0 { "\t" } else { "" };
                let _ = write!(rows, "{tab}{:.4}", value + rng.random_range(-0.05..0.05));
            }
        }
        rows.push('\n');
    }
    rows
}
