//! How fast it is, and beside PyTorch on the same machine in the same minutes.
//!
//! Both sides run the same work in processes of their own, one after the other, several rounds; a round's ratio sets
//! neighbors in time beside each other, so that a machine whose speed drifts doesn't decide the outcome. The work is
//! defined twice: `crates/autodidact/benches/steps` and `torch/steps.py`, `crates/kernels/benches/kernels` and
//! `torch/kernels.py`.

mod sides;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use sides::{Program, Torch};

/// The workloads of `steps`: name, letter, and whether PyTorch has two layouts for their data.
const WORKLOADS: [(&str, &str, bool); 6] = [
    ("resnet-simclr", "B", true),
    ("bert-mlm", "C", false),
    ("vit-mae", "D", false),
    ("conv-simclr", "E", true),
    ("gru-cpc", "F", false),
    ("narrow-simclr", "G", true),
];

/// The shapes that both sides of `kernels` run.
const CASES: &str = "crates/kernels/benches/kernels/cases.json";

/// What was asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    /// The Python that has torch.
    against_torch: Option<PathBuf>,
    /// Where every measure goes.
    json: Option<PathBuf>,
    rounds: usize,
    steps: usize,
    threads: usize,
    bf16: bool,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    /// Whole training steps, by name.
    Steps(Vec<&'static str>),
    /// Single kernels, by name; all of them where none is named.
    Kernels(Vec<String>),
}

/// Reads the arguments after `bench`.
pub(crate) fn parse(arguments: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        against_torch: None,
        json: None,
        rounds: 3,
        steps: 20,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        bf16: false,
        what: What::Steps(Vec::new()),
    };
    let mut arguments = arguments.iter();
    let mut names = Vec::new();
    while let Some(&argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next().copied();
            value.ok_or_else(|| format!("{argument} wants a value"))
        };
        match argument {
            "--against-torch" => options.against_torch = Some(value()?.into()),
            "--json" => options.json = Some(value()?.into()),
            "--rounds" => options.rounds = number(argument, value()?)?,
            "--steps" => options.steps = number(argument, value()?)?,
            "--threads" => options.threads = number(argument, value()?)?,
            "--bf16" => options.bf16 = true,
            option if option.starts_with('-') => return Err(format!("no option `{option}`")),
            name => names.push(name),
        }
    }
    options.what = match names.split_first() {
        Some((&"kernels", kernels)) => {
            What::Kernels(kernels.iter().map(ToString::to_string).collect())
        }
        Some(_) => {
            let named: Result<_, String> = names.iter().map(|name| workload(name)).collect();
            What::Steps(named?)
        }
        None => What::Steps(WORKLOADS.iter().map(|(name, ..)| *name).collect()),
    };
    Ok(options)
}

fn number(option: &str, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("{option} {text}: expected a number above 0"))
}

fn workload(asked: &str) -> Result<&'static str, String> {
    let fits = |(name, letter, _): &&(&str, &str, bool)| {
        *name == asked || letter.eq_ignore_ascii_case(asked)
    };
    let found = WORKLOADS.iter().find(fits);
    found.map(|(name, ..)| *name).ok_or_else(|| {
        let known = WORKLOADS.map(|(name, letter, _)| format!("{name} ({letter})"));
        format!(
            "no workload named `{asked}`; there are {}, and `kernels`",
            known.join(", ")
        )
    })
}

/// Measures, prints a table, and writes everything down if asked to.
pub(crate) fn run(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let measures = match &options.what {
        What::Steps(names) => steps(options, names)?,
        What::Kernels(names) => kernels(options, names)?,
    };
    let rows = summary::rows(&measures);
    println!("{}", summary::table(&rows));
    if let Some(path) = &options.json {
        let rows: Vec<Value> = rows.iter().map(summary::Row::to_json).collect();
        let all = json!({
            "processor": sides::processor(),
            "threads": options.threads,
            "rounds": options.rounds,
            "summary": rows,
            "measures": measures,
        });
        let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n")
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn steps(options: &Options, names: &[&str]) -> Result<Vec<Value>, String> {
    let ours = Program::build("autodidact", "steps", options.threads)?;
    let torch = Torch::new(options, "steps.py");
    let mut measures = Vec::new();
    for round in 0..options.rounds {
        for &name in names {
            let steps = options.steps.to_string();
            let mut own = vec![name, "--steps", &steps, "--json"];
            own.extend(options.bf16.then_some("--bf16"));
            let mut turns: Vec<Turn> = vec![Box::new(|| ours.run(&own))];
            if let Some(torch) = &torch {
                for variant in variants(options, name) {
                    let arguments = [name, "--steps", &steps, "--variant", variant];
                    let arguments = arguments.map(ToString::to_string);
                    turns.push(Box::new(move || torch.run(&arguments)));
                }
            }
            take_turns(round, &turns, &mut measures)?;
        }
    }
    Ok(measures)
}

fn variants(options: &Options, name: &str) -> Vec<&'static str> {
    let images = WORKLOADS
        .iter()
        .any(|(known, _, images)| *known == name && *images);
    let both = if options.bf16 {
        ["bf16", "bf16-channels-last"]
    } else {
        ["f32", "f32-channels-last"]
    };
    both[..if images { 2 } else { 1 }].to_vec()
}

fn kernels(options: &Options, names: &[String]) -> Result<Vec<Value>, String> {
    if options.bf16 {
        return Err("--bf16 is for whole steps".to_owned());
    }
    let ours = Program::build("autodidact-kernels", "kernels", options.threads)?;
    let torch = Torch::new(options, "kernels.py");
    let cases = sides::root().join(CASES);
    let text = std::fs::read_to_string(&cases).map_err(|error| format!("{CASES}: {error}"))?;
    let known: Vec<Value> =
        serde_json::from_str(&text).map_err(|error| format!("{CASES}: {error}"))?;
    let mut wanted: Vec<String> = Vec::new();
    for case in known {
        let kernel = case["kernel"].as_str().unwrap_or_default().to_owned();
        if (names.is_empty() || names.contains(&kernel)) && !wanted.contains(&kernel) {
            wanted.push(kernel);
        }
    }
    if let Some(unknown) = names.iter().find(|name| !wanted.contains(name)) {
        return Err(format!("no kernel named `{unknown}` in {CASES}"));
    }
    let mut measures = Vec::new();
    for round in 0..options.rounds {
        for kernel in &wanted {
            let own = [kernel.as_str(), "--json"];
            let theirs = [cases.display().to_string(), kernel.clone()];
            let mut turns: Vec<Turn> = vec![Box::new(|| ours.run(&own))];
            if let Some(torch) = &torch {
                turns.push(Box::new(|| torch.run(&theirs)));
            }
            take_turns(round, &turns, &mut measures)?;
        }
    }
    Ok(measures)
}

/// What one side does in a round.
type Turn<'a> = Box<dyn Fn() -> Result<Vec<Value>, String> + 'a>;

/// Lets each side have its turn, in one order in even rounds and in the other in odd ones.
fn take_turns(round: usize, turns: &[Turn], measures: &mut Vec<Value>) -> Result<(), String> {
    let forward: Vec<usize> = (0..turns.len()).collect();
    let order: Vec<usize> = if round.is_multiple_of(2) {
        forward
    } else {
        forward.into_iter().rev().collect()
    };
    for turn in order {
        for mut measure in turns[turn]()? {
            measure["round"] = round.into();
            eprintln!("{}", summary::progress(&measure));
            measures.push(measure);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_go_by_name_and_letter() {
        let options = parse(&["b", "vit-mae", "--rounds", "5"]).unwrap();
        assert_eq!(options.what, What::Steps(vec!["resnet-simclr", "vit-mae"]));
        assert_eq!(options.rounds, 5);
        let all = parse(&[]).unwrap();
        assert!(matches!(all.what, What::Steps(names) if names.len() == WORKLOADS.len()));
        let kernels = parse(&["kernels", "conv2d"]).unwrap();
        assert_eq!(kernels.what, What::Kernels(vec!["conv2d".to_owned()]));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            ["Z"].as_slice(),
            &["--rounds"],
            &["--rounds", "0"],
            &["--loud"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn both_sides_know_the_same_workloads() {
        for file in [
            "crates/autodidact/benches/steps/workloads/mod.rs",
            "xtask/torch/steps.py",
        ] {
            let text = std::fs::read_to_string(sides::root().join(file)).unwrap();
            for (name, letter, _) in WORKLOADS {
                let pairs = [
                    format!("(\"{name}\", '{letter}')"),
                    format!("\"{name}\": \"{letter}\""),
                ];
                assert!(
                    pairs.iter().any(|pair| text.contains(pair)),
                    "{file}: {name}"
                );
            }
        }
    }

    #[test]
    fn every_case_is_known_to_both_sides() {
        let read = |file: &str| std::fs::read_to_string(sides::root().join(file)).unwrap();
        let cases: Vec<Value> = serde_json::from_str(&read(CASES)).unwrap();
        let ours = read("crates/kernels/benches/kernels/cases.rs");
        let theirs = read("xtask/torch/kernels.py");
        for case in cases {
            let kernel = case["kernel"].as_str().unwrap();
            assert!(ours.contains(&format!("`{kernel}`")), "{kernel}");
            assert!(theirs.contains(&format!("def {kernel}(")), "{kernel}");
        }
    }
}
