//! Milliseconds of whole training steps, forward, backward and update.
//!
//! `cargo bench -p autodidact -p autodidact-cli --bench steps -- [NAME or LETTER ...] [--steps N] [--json] [--bf16] [--unfused] [--profile] [--device NAME]`
//!
//! Each workload runs in a process of its own, so that its peak memory is its own. Times are medians after the first
//! quarter of the steps. `--profile` prints where the time goes by operation, beside what the machine would allow.
//! `RAYON_NUM_THREADS` sets the number of threads. `--device wgpu` trains on a GPU, in a build with
//! `--features autodidact-cli/wgpu`: there a step's parts say when its work was asked for, and only the whole when it was
//! done. `cargo xtask bench` sets the same beside PyTorch. The binary's package is named so that cargo takes the features of the program, with which Burn may already
//! be built.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod roofline;
mod workloads;

use std::process::{Command, ExitCode};
use std::time::Duration;

use autodidact::train::device;
use autodidact_kernels::{Precision, Recycling, profile, unfused};
use burn::tensor::Device;
use mimalloc::MiMalloc;
use roofline::Machine;
use serde_json::{Value, json};
use workloads::{ALL, Change, Size, Step, Training};

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: Recycling<MiMalloc> = Recycling::new(MiMalloc, 8 << 30);

/// What was asked for.
#[derive(Debug)]
struct Wanted {
    names: Vec<&'static str>,
    steps: usize,
    json: bool,
    unfused: bool,
    precision: Precision,
    profile: bool,
    device: (String, Device),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = match parse(&arguments) {
        Ok(wanted) => wanted,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            return ExitCode::from(2);
        }
    };
    if let [name] = wanted.names[..] {
        if wanted.profile {
            print!("{}", wanted.precision.scope(|| profiled(name, &wanted)));
            return ExitCode::SUCCESS;
        }
        let run = || wanted.precision.scope(|| measure(name, &wanted));
        let report = if wanted.unfused { unfused(run) } else { run() };
        let report = described(report, &wanted);
        if wanted.json {
            println!("{report}");
        } else {
            println!("{}", line(&report));
        }
        return ExitCode::SUCCESS;
    }
    for name in &wanted.names {
        if let Err(trouble) = alone(name, &arguments) {
            eprintln!("error: {name}: {trouble}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        names: Vec::new(),
        steps: 20,
        json: false,
        unfused: false,
        precision: Precision::F32,
        profile: false,
        device: ("cpu".to_owned(), open("cpu")?),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--steps" => {
                let steps = arguments.next().and_then(|steps| steps.parse().ok());
                wanted.steps = steps
                    .filter(|&steps| steps > 0)
                    .ok_or("--steps wants a number above 0")?;
            }
            "--json" => wanted.json = true,
            "--unfused" => wanted.unfused = true,
            "--profile" => wanted.profile = true,
            "--device" => {
                let name = arguments.next().ok_or("--device wants a name")?;
                wanted.device = (name.clone(), open(name)?);
            }
            "--bf16" => wanted.precision = Precision::Bf16,
            // What cargo bench says to every bench.
            "--bench" => {}
            name => wanted.names.push(named(name)?),
        }
    }
    if wanted.names.is_empty() {
        wanted.names = ALL.iter().map(|(name, _)| *name).collect();
    }
    Ok(wanted)
}

fn open(device: &str) -> Result<Device, String> {
    device::open(device).map_err(|error| error.to_string())
}

fn named(asked: &str) -> Result<&'static str, String> {
    let fits = |(name, letter): &&(&str, char)| {
        *name == asked || letter.to_string() == asked.to_uppercase()
    };
    ALL.iter().find(fits).map(|(name, _)| *name).ok_or_else(|| {
        let known: Vec<_> = ALL
            .iter()
            .map(|(name, letter)| format!("{name} ({letter})"))
            .collect();
        format!(
            "no workload or option `{asked}`; there are {}, --steps N, --json, --bf16, --unfused, --profile, --device NAME",
            known.join(", ")
        )
    })
}

/// Runs one of several workloads in a process of its own, with the options that this one was given.
fn alone(name: &str, arguments: &[String]) -> Result<(), String> {
    let options = arguments.iter().filter(|argument| named(argument).is_err());
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new(program).arg(name).args(options).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn started(name: &str, wanted: &Wanted) -> Box<dyn Training> {
    workloads::start_on(&wanted.device.1, name, Size::Full, Change::default())
}

/// Trains for so many steps.
fn measure(name: &str, wanted: &Wanted) -> Value {
    let mut training = started(name, wanted);
    let steps: Vec<Step> = (0..wanted.steps).map(|_| training.step()).collect();
    let median = |part: fn(&Step) -> Duration| {
        let mut times: Vec<f64> = steps[steps.len() / 4..]
            .iter()
            .map(|step| part(step).as_secs_f64() * 1e3)
            .collect();
        times.sort_by(f64::total_cmp);
        let middle = times.len() / 2;
        if times.len() % 2 == 1 {
            times[middle]
        } else {
            f64::midpoint(times[middle - 1], times[middle])
        }
    };
    json!({
        "workload": name,
        "steps": steps.len(),
        "ms": median(Step::total),
        "forward_ms": median(|step| step.forward),
        "backward_ms": median(|step| step.backward),
        "update_ms": median(|step| step.update),
        "first_loss": steps[0].loss,
        "last_loss": steps[steps.len() - 1].loss,
        "parameters": training.parameters(),
        "peak_mib": peak_mib(),
    })
}

/// Trains for so many steps, after two that warm up, and says where their time went.
fn profiled(name: &str, wanted: &Wanted) -> String {
    let machine = Machine::measure(wanted.precision);
    let mut training = started(name, wanted);
    training.step();
    training.step();
    let (steps, measured): (Vec<Step>, _) =
        profile(|| (0..wanted.steps).map(|_| training.step()).collect());
    let whole = steps.iter().map(Step::total).sum();
    let update = steps.iter().map(|step| step.update).sum();
    let table = roofline::table(&machine, &measured, steps.len(), whole, update);
    format!("{name}\n{table}")
}

/// The measures, and under which conditions they were taken.
fn described(mut report: Value, wanted: &Wanted) -> Value {
    report["side"] = "autodidact".into();
    // The machine decides what becomes of bf16: AMX, AVX512-BF16, or f32 where it has neither.
    let variant = match wanted.precision {
        _ if wanted.unfused => "unfused",
        Precision::F32 => "f32",
        Precision::Bf16 => Precision::Bf16.instructions().unwrap_or("f32"),
    };
    report["variant"] = variant.into();
    report["device"] = wanted.device.0.as_str().into();
    report["threads"] = rayon::current_num_threads().into();
    report
}

/// The largest resident memory of this process so far, in MiB; nothing where the system doesn't tell.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

fn line(report: &Value) -> String {
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    format!(
        "{:14} {:8.1} ms = {:.1} forward + {:.1} backward + {:.1} update; loss {:.4} → {:.4}; {} parameters, {:.0} MiB",
        report["workload"].as_str().unwrap_or_default(),
        number("ms"),
        number("forward_ms"),
        number("backward_ms"),
        number("update_ms"),
        number("first_loss"),
        number("last_loss"),
        report["parameters"],
        number("peak_mib"),
    )
}
