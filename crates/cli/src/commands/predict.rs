//! `autodidact predict`.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use autodidact::adapt::{Adaptation, Pace, Round, predict};
use autodidact::error::{Error, Result};
use autodidact::export::{PredictionFormat, write_predictions};
use autodidact::judge::{Watch, frozen};
use autodidact::layers::state::State;
use autodidact::modality::Part;
use autodidact::run::RunFolder;

use super::{ahead, reading_as, report_unreadable, source_of};
use crate::arguments::Predict;
use crate::progress::Bar;

pub(crate) fn run(arguments: &Predict) -> Result<ExitCode> {
    if let Some(horizon) = arguments.forecast {
        return ahead::run(arguments, horizon);
    }
    let Some(data) = &arguments.data else {
        return stream(arguments);
    };
    // Before the work, not after it.
    PredictionFormat::of(&arguments.out)?;
    let folder = RunFolder::open(&arguments.run)?;
    let part = arguments.test_part.then_some(Part::Test);
    let recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    let spec = source_of(&recipe, Some(data), arguments.labels.as_deref(), part)?;
    let bar = Bar::new();
    let predictions = predict(&folder, &spec, &mut |done, all| {
        bar.show("predicting", done, all);
    });
    bar.finish();
    let predictions = predictions?;
    write_predictions(&arguments.out, &predictions)?;
    println!(
        "{} items, {} classes",
        predictions.names.len(),
        predictions.classes.len()
    );
    for (class, name) in (0..).zip(&predictions.classes) {
        let count = predictions
            .predicted
            .iter()
            .filter(|&&found| found == class)
            .count();
        if count > 0 && predictions.classes.len() <= MOST_SHOWN {
            println!("  {count:>8}  {name}");
        }
    }
    if let Some((accuracy, labeled)) = predictions.accuracy {
        println!(
            "right in {:.2} % of the {labeled} items whose label is known",
            100.0 * accuracy
        );
    }
    report_unreadable(&predictions.unreadable);
    println!("written to {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Watches what comes in, row by row.
fn stream(arguments: &Predict) -> Result<ExitCode> {
    let folder = RunFolder::open(&arguments.run)?;
    let mut recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    recipe.set(&format!("evaluate.false_alarms={}", arguments.false_alarms))?;
    let rate = recipe.evaluate()?.false_alarms;
    let spec = source_of(&recipe, None, None, None)?;
    let mut learning = match &arguments.adapt {
        Some(path) => Some(Learning::new(&folder, path, arguments)?),
        None => None,
    };
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let mut rows = encoder.rows(&spec)?;
    let bar = Bar::new();
    let watch = Watch::new(encoder, &spec, rate, &mut |done, all| {
        bar.show("embedding what is known", done, all);
    });
    bar.finish();
    let mut watch = watch?;
    eprintln!(
        "{} steps of {} are known; an alarm from a distance of {:.4} on",
        watch.known(),
        spec.path.clone().unwrap_or_default().display(),
        watch.threshold()
    );
    // Lines are read while the network is busy with those before them, and then go through it together.
    let (send, lines) = sync_channel(ROWS);
    let reader = std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let failed = line.is_err();
            if send.send((Instant::now(), line.map(text_of))).is_err() || failed {
                break;
            }
        }
    });
    let mut latency = Latency::default();
    let mut out = std::io::stdout().lock();
    let mut say = |text: &str| match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read has gone away.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::io("standard output", error)),
        Ok(()) => Ok(true),
    };
    let mut heard = say("step,distance,likelihood,alarm\n")?;
    let mut wrong = None;
    while heard
        && wrong.is_none()
        && let Ok(first) = lines.recv()
    {
        let more = lines.try_iter().take(ROWS - 1);
        let (mut steps, mut came) = (Vec::new(), Vec::new());
        for (at, line) in std::iter::once(first).chain(more) {
            let line = line.map_err(|error| Error::io("standard input", error));
            match line.and_then(|line| rows.read(&line)) {
                Ok(Some(step)) => {
                    steps.push(step);
                    came.push(at);
                }
                Ok(None) => {}
                // Those before it are answered first.
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
        }
        let mut text = String::new();
        for seen in watch.take(&steps)? {
            let alarm = u8::from(seen.alarm);
            text.push_str(&format!(
                "{},{:.6},{:.6},{alarm}\n",
                seen.step, seen.distance, seen.likelihood
            ));
        }
        heard = say(&text)?;
        came.iter().for_each(|at| latency.take(at.elapsed()));
        if let Some(learning) = &mut learning
            && let Some(encoder) = learning.after(&watch)?
        {
            let encoder = frozen(&recipe, &encoder, folder.path())?;
            watch = watch.renewed(encoder, &spec, rate)?;
        }
    }
    if let Some(learning) = learning {
        learning.finish()?;
    }
    drop(lines);
    if let Some(error) = wrong {
        return Err(error);
    }
    if heard && reader.join().is_err() {
        return Err(Error::io(
            "standard input",
            std::io::Error::other("could not be read"),
        ));
    }
    eprintln!("{}", latency.describe());
    Ok(ExitCode::SUCCESS)
}

/// A line as files are read: bytes that are no UTF-8, such as those of a unit in a header, end nothing.
fn text_of(line: Vec<u8>) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(&line);
    String::from_utf8_lossy(line).into_owned()
}

/// An encoder that goes on learning from what is watched, and where it is kept.
struct Learning {
    adaptation: Adaptation,
    folder: RunFolder,
    rounds: usize,
}

impl Learning {
    fn new(run: &RunFolder, path: &Path, arguments: &Predict) -> Result<Self> {
        let pace = Pace {
            every: arguments.learn_every.max(1),
            steps: arguments.learn_steps.max(1),
            most: arguments.learn_most,
            ..Pace::default()
        };
        let adaptation = Adaptation::open(run, pace)?;
        let folder = RunFolder::create(Some(path), "")?;
        Ok(Self {
            adaptation,
            folder,
            rounds: 0,
        })
    }

    /// Takes what was watched last, and learns from it where it is time to; then gives the encoder that came out.
    fn after(&mut self, watch: &Watch) -> Result<Option<State>> {
        for (values, first) in watch.ended() {
            self.adaptation.take(values.clone(), *first);
        }
        if !self.adaptation.is_due() {
            return Ok(None);
        }
        self.rounds += 1;
        match self.adaptation.learn()? {
            Round::Learned(loss) => {
                self.adaptation.write(&self.folder)?;
                eprintln!("round {} of learning: loss {loss:.4}", self.rounds);
                Ok(Some(self.adaptation.encoder()))
            }
            Round::TakenBack(why) => {
                eprintln!("round {} of learning was taken back: {why}", self.rounds);
                Ok(None)
            }
        }
    }

    fn finish(self) -> Result<()> {
        self.adaptation.write(&self.folder)?;
        eprintln!(
            "{} training steps in {} rounds; the encoder is in {}",
            self.adaptation.spent(),
            self.rounds,
            self.folder.path().display()
        );
        Ok(())
    }
}

/// How long rows took from when they came to when they were answered, by powers of 2^¼ of a microsecond, so that a million
/// of them take no more memory than one.
struct Latency {
    counts: [u64; 160],
    rows: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            counts: [0; 160],
            rows: 0,
        }
    }
}

impl Latency {
    fn take(&mut self, time: Duration) {
        let micros = (time.as_nanos() as f64 / 1e3).max(1.0);
        let place = (4.0 * micros.log2()) as usize;
        self.counts[place.min(self.counts.len() - 1)] += 1;
        self.rows += 1;
    }

    /// Milliseconds that so large a part of the rows was answered within, rounded up to a power of 2^¼.
    fn within(&self, part: f64) -> f64 {
        let wanted = (part * self.rows as f64).ceil() as u64;
        let mut so_far = 0;
        let place = self.counts.iter().position(|count| {
            so_far += count;
            so_far >= wanted
        });
        2f64.powf((place.unwrap_or(0) + 1) as f64 / 4.0) / 1e3
    }

    fn describe(&self) -> String {
        match self.rows {
            0 => "no rows came".to_owned(),
            rows => format!(
                "{rows} rows, each answered within {:.2} ms (half of them) and {:.2} ms (99 %)",
                self.within(0.5),
                self.within(0.99)
            ),
        }
    }
}

/// Rows that go through the network together, at most.
const ROWS: usize = 64;
/// Classes whose counts are shown, at most.
const MOST_SHOWN: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_hold_bytes_that_are_no_utf_8() {
        assert_eq!(
            text_of(b"time,T in \xb0C\r".to_vec()),
            "time,T in \u{fffd}C"
        );
        assert_eq!(text_of("µm,2".into()), "µm,2");
    }

    #[test]
    fn latencies_are_those_of_so_large_a_part_of_the_rows() {
        let mut latency = Latency::default();
        assert_eq!(latency.describe(), "no rows came");
        for _ in 0..98 {
            latency.take(Duration::from_millis(1));
        }
        latency.take(Duration::from_secs(1));
        latency.take(Duration::from_secs(3600 * 24 * 365));
        assert!(
            (1.0..1.2).contains(&latency.within(0.5)),
            "{}",
            latency.within(0.5)
        );
        assert!((1000.0..1200.0).contains(&latency.within(0.99)));
    }
}
