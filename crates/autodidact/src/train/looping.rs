//! The loop: step, log, look, keep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::device;
use super::monitor::Checkup;
use super::session::{Session, StepReport};
use crate::error::{Error, Result};
use crate::layers::schedule::warmup_cosine;
use crate::method::{REFERENCE_BATCH, Step};
use crate::recipe::{Best, Duration, Length};
use crate::run::{AppendLog, Checkpoint, Line, Metrics, Position, Progress, RunFolder};

/// A run is looked at in every tenth of it and after every pass over the data, but not before as many items were
/// learned from as take this many times as long as a look.
const LOOK_COSTS: f64 = 10.0;
/// From which part of a run on looks that find nothing better count: before, the rate is so high that a loss may grow
/// before it falls.
const PATIENT: f64 = 0.5;

/// What the loop tells whoever watches.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A run begins, or goes on, at a step.
    Begun {
        /// What the data, the method and the network are.
        lines: Vec<String>,
        /// Steps taken before.
        step: u64,
    },
    /// A step is done.
    Stepped {
        /// Steps taken.
        step: u64,
        /// Steps in all, as thought now.
        total: u64,
        /// Passes over the data.
        epochs: f64,
        /// Smoothed.
        loss: f64,
        /// Items per second, smoothed.
        speed: f64,
        /// Share of the time spent waiting for data, 0 to 1.
        waiting: f64,
        /// Seconds until the end.
        seconds_left: Option<f64>,
    },
    /// The representation was looked at.
    Looked {
        /// Steps taken.
        step: u64,
        /// Loss on the held-out items.
        validation: Option<f64>,
        /// How the representation is doing.
        checkup: Checkup,
    },
    /// Something that a person should know.
    Warned(String),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub stop: Stop,
    /// Steps taken in all.
    pub steps: u64,
    /// Seconds spent in all.
    pub seconds: f64,
    /// The last look at the representation.
    pub checkup: Option<Checkup>,
    /// Unreadable items: name and what was wrong.
    pub unreadable: Vec<(String, String)>,
    /// Whether it came to its end early, because nothing got better any more.
    pub early: bool,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It came to its end.
    Finished,
    /// Someone asked it to stop; a checkpoint is there.
    Asked,
}

/// Trains until the end or until `stop` is set, from a checkpoint if there is one; `more` goes on from there for
/// another length instead of for what was left.
///
/// # Errors
/// When the loss isn't finite (the last good checkpoint is kept), the data can't be read, or the folder not be written.
pub fn pretrain(
    session: &mut dyn Session,
    folder: &RunFolder,
    from: Option<Checkpoint>,
    more: Option<Length>,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    let mut run = Run::begin(session, folder, from, more, watch)?;
    while !run.ended() {
        if stop.load(Ordering::Relaxed) {
            run.checkpoint()?;
            return Ok(run.outcome(Stop::Asked));
        }
        run.step()?;
        if run.look_is_due() {
            run.look()?;
        }
        // The checkpoint that says that all is done comes after the encoder: see `finish`.
        let due =
            run.checkpointed.elapsed().as_secs_f64() >= run.session.train().checkpoint_every.0;
        if due && !run.ended() {
            run.checkpoint()?;
        }
    }
    run.finish()?;
    Ok(run.outcome(Stop::Finished))
}

struct Run<'a> {
    session: &'a mut dyn Session,
    folder: &'a RunFolder,
    watch: &'a mut dyn FnMut(&Event),
    metrics: Metrics,
    log: AppendLog,
    position: Position,
    ticked: Instant,
    checkpointed: Instant,
    smooth: Option<Smooth>,
    looked: Option<Checkup>,
    batch: usize,
}

/// Running means for the progress line.
struct Smooth {
    loss: f64,
    seconds: f64,
    items: f64,
    waited: f64,
}

impl<'a> Run<'a> {
    fn begin(
        session: &'a mut dyn Session,
        folder: &'a RunFolder,
        from: Option<Checkpoint>,
        more: Option<Length>,
        watch: &'a mut dyn FnMut(&Event),
    ) -> Result<Self> {
        let resumed = from.is_some();
        // What a start costs is time that the run has spent: it counts with the first step.
        let ticked = Instant::now();
        let per_epoch = session.steps_per_epoch();
        let mut position = match from {
            Some(checkpoint) => {
                let (model, optimizer) = (checkpoint.under("model"), checkpoint.under("optimizer"));
                session.restore(&model, &optimizer, checkpoint.position.updates)?;
                checkpoint.position
            }
            None => Position {
                progress: Progress::new(
                    session.train().length(),
                    per_epoch,
                    &session.train().corrections,
                ),
                updates: 0,
                metrics: 0,
                best: None,
                stale: 0,
                gathered: Vec::new(),
                checkups: [0, 0, 0],
                warned: Vec::new(),
            },
        };
        if let Some(length) = more {
            position.progress = position.progress.extended(length, per_epoch);
            position.checkups[0] = 0;
            position.stale = 0;
        }
        if position.ended(session.train().patience) {
            return Err(Error::run(format!(
                "a run that is finished after {} steps",
                position.progress.step()
            ))
            .at(folder.path())
            .expected("one with something left to do")
            .mend("say for how much longer: --epochs, --steps or --budget"));
        }
        if !resumed {
            folder.write_recipe(
                &session.recipe()?,
                "What this run does, complete: `autodidact pretrain --recipe` repeats it.",
            )?;
        }
        let step = position.progress.step();
        let begun = match resumed {
            true => Vec::new(),
            false => session.begin()?,
        };
        let mut lines = session.describe();
        lines.extend(begun);
        lines.push(format!("machine  {}", device::machine()));
        lines.push(format!("folder   {}", folder.path().display()));
        let mut log = AppendLog::open(&folder.file("train.log"), u64::MAX)?;
        for line in &lines {
            log.append(format!("{line}\n").as_bytes())?;
        }
        watch(&Event::Begun { lines, step });
        session.start(step);
        let metrics = Metrics::open(folder.path(), position.metrics, step)?;
        let batch = session.train().batch_size;
        let mut run = Self {
            session,
            folder,
            watch,
            metrics,
            log,
            position,
            ticked,
            checkpointed: Instant::now(),
            smooth: None,
            looked: None,
            batch,
        };
        if !resumed {
            // Nothing may come to be better than the weights that a run which keeps the best began with. Untrained ones are not
            // among what is kept: few items that are held out would find them less wrong than what is too sure.
            let train = run.session.train();
            if train.patience > 0 && train.init.is_some() {
                run.look()?;
            }
            // From here on there is always something to go on from.
            run.checkpoint()?;
        }
        Ok(run)
    }

    fn step(&mut self) -> Result<()> {
        let train = self.session.train();
        let progress = &self.position.progress;
        let peak = train.learning_rate * self.batch as f64 / REFERENCE_BATCH;
        let rate = warmup_cosine(peak, train.warmup, train.floor, progress.done());
        let (log_every, seed) = (train.log_every, train.seed);
        let at = Step {
            number: progress.step(),
            part: 0,
            progress: progress.done(),
            seed,
        };
        let report = self.session.step(at, rate)?;
        // What happened between the steps, looks and checkpoints, is time that the run has spent too.
        let seconds = self.ticked.elapsed().as_secs_f64();
        self.ticked = Instant::now();
        self.position.progress.advance(seconds);
        let step = self.position.progress.step();
        self.gather(&report, seconds);
        if step.is_multiple_of(log_every) || self.position.progress.finished() {
            self.write_line(rate)?;
        }
        self.tell(&report, seconds);
        Ok(())
    }

    /// Adds a step to the means of the line being gathered.
    fn gather(&mut self, report: &StepReport, seconds: f64) {
        let mut values = vec![("loss".to_owned(), report.loss)];
        values.extend(
            report
                .parts
                .iter()
                .map(|(name, value)| (format!("loss/{name}"), *value)),
        );
        values.push(("gradient_norm".to_owned(), report.gradient_norm));
        values.push(("time/seconds".to_owned(), seconds));
        values.push(("time/items".to_owned(), report.items as f64));
        values.push(("time/waiting".to_owned(), report.waited.as_secs_f64()));
        values.push(("steps".to_owned(), 1.0));
        if self.position.gathered.is_empty() {
            self.position.gathered = values;
        } else {
            for (sum, (_, value)) in self.position.gathered.iter_mut().zip(values) {
                sum.1 += value;
            }
        }
    }

    fn write_line(&mut self, learning_rate: f64) -> Result<()> {
        let gathered = std::mem::take(&mut self.position.gathered);
        let sum = |wanted: &str| {
            gathered
                .iter()
                .find(|(name, _)| name == wanted)
                .map_or(0.0, |(_, value)| *value)
        };
        let (steps, seconds) = (sum("steps").max(1.0), sum("time/seconds").max(1e-9));
        let mut values: Vec<(String, f64)> = gathered
            .iter()
            .filter(|(name, _)| !name.starts_with("time/") && name != "steps")
            .map(|(name, value)| (name.clone(), value / steps))
            .collect();
        let step = self.position.progress.step();
        values.push(("learning_rate".to_owned(), learning_rate));
        values.push((
            "epoch".to_owned(),
            step as f64 / self.session.steps_per_epoch() as f64,
        ));
        values.push(("progress".to_owned(), self.position.progress.done()));
        values.push((
            "time/items_per_second".to_owned(),
            sum("time/items") / seconds,
        ));
        values.push(("time/waiting".to_owned(), sum("time/waiting") / seconds));
        values.push(("time/elapsed".to_owned(), self.position.progress.elapsed));
        self.metrics.write(&Line { step, values })
    }

    fn tell(&mut self, report: &StepReport, seconds: f64) {
        let now = Smooth {
            loss: report.loss,
            seconds,
            items: report.items as f64,
            waited: report.waited.as_secs_f64(),
        };
        let blend = |old: f64, new: f64| 0.9 * old + 0.1 * new;
        let smooth = match self.smooth.take() {
            None => now,
            Some(old) => Smooth {
                loss: blend(old.loss, now.loss),
                seconds: blend(old.seconds, now.seconds),
                items: blend(old.items, now.items),
                waited: blend(old.waited, now.waited),
            },
        };
        let progress = &self.position.progress;
        let event = Event::Stepped {
            step: progress.step(),
            total: progress.total(),
            epochs: progress.step() as f64 / self.session.steps_per_epoch() as f64,
            loss: smooth.loss,
            speed: smooth.items / smooth.seconds.max(1e-9),
            waiting: (smooth.waited / smooth.seconds.max(1e-9)).min(1.0),
            seconds_left: progress.seconds_left(),
        };
        self.smooth = Some(smooth);
        (self.watch)(&event);
    }

    /// Goes by steps and progress alone, so that a repeated run looks at the same steps.
    fn look_is_due(&mut self) -> bool {
        let progress = &self.position.progress;
        let tenth = (progress.done() * 10.0 + 1e-9) as u64;
        let epoch = progress.step() / self.session.steps_per_epoch();
        let [last_tenth, last_epoch, looked] = self.position.checkups;
        let learned = (progress.step() - looked.min(progress.step())) * self.batch as u64;
        let due = if self.session.train().patience > 0 {
            // A run that may end early goes by its looks, so it has all of them, evenly over the run: passes over a few
            // items would use its patience up before it has learned anything.
            tenth > last_tenth
        } else {
            let costly = LOOK_COSTS * self.session.look_cost();
            (tenth > last_tenth || epoch > last_epoch) && learned as f64 >= costly
        };
        if due {
            self.position.checkups = [tenth, epoch, progress.step()];
        }
        due
    }

    fn look(&mut self) -> Result<()> {
        self.session.settle(Step {
            number: self.position.progress.step(),
            part: 0,
            progress: self.position.progress.done(),
            seed: self.session.train().seed,
        })?;
        let validation = self.session.validate()?;
        let checkup = self.session.checkup()?;
        let step = self.position.progress.step();
        let mut values = vec![
            ("checkup/rankme".to_owned(), checkup.rankme),
            ("checkup/deviation".to_owned(), checkup.deviation),
            ("checkup/uniformity".to_owned(), checkup.uniformity),
        ];
        let mut put = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                values.push((format!("checkup/{name}"), value));
            }
        };
        put("alignment", checkup.alignment);
        put("knn", checkup.knn);
        put("validation_loss", validation.as_ref().map(|held| held.loss));
        let symbols = validation.as_ref().and_then(|held| held.symbols);
        put("perplexity", symbols.map(f64::exp));
        for (name, value) in validation.iter().flat_map(|held| &held.parts) {
            values.push((format!("validation/{name}"), *value));
        }
        let validation = validation.map(|held| held.loss);
        self.metrics.write(&Line { step, values })?;
        let score = match self.session.train().best {
            Best::Validation => validation,
            Best::Knn => checkup.knn.map(|accuracy| -accuracy),
        };
        let warnings = match self.session.may_collapse() {
            true => checkup.warnings(),
            false => Vec::new(),
        };
        for warning in warnings {
            let gist = warning.gist();
            if !self.position.warned.iter().any(|said| said == gist) {
                self.position.warned.push(gist.to_owned());
                self.say(&warning.0)?;
            }
        }
        self.position.checkups[2] = step;
        self.looked = Some(checkup.clone());
        (self.watch)(&Event::Looked {
            step,
            validation,
            checkup,
        });
        let Some(score) = score else {
            return Ok(());
        };
        if self.position.best.is_none_or(|best| score < best) {
            self.position.best = Some(score);
            self.position.stale = 0;
            let best = self.snapshot()?;
            best.write(&self.folder.best())?;
        } else if self.position.progress.done() >= PATIENT {
            self.position.stale += 1;
        }
        Ok(())
    }

    fn ended(&self) -> bool {
        self.position.ended(self.session.train().patience)
    }

    /// Goes back to the weights that scored best.
    fn take_best(&mut self) -> Result<()> {
        if self.session.train().patience == 0 || self.position.best.is_none() {
            return Ok(());
        }
        let best = Checkpoint::read(&self.folder.best())?;
        let (model, optimizer) = (best.under("model"), best.under("optimizer"));
        self.session
            .restore(&model, &optimizer, best.position.updates)
    }

    fn say(&mut self, text: &str) -> Result<()> {
        self.log.append(format!("warning: {text}\n").as_bytes())?;
        (self.watch)(&Event::Warned(text.to_owned()));
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Checkpoint> {
        let (state, updates) = self.session.state();
        self.position.updates = updates;
        self.position.metrics = self.metrics.sync()?;
        Ok(Checkpoint {
            state,
            position: self.position.clone(),
        })
    }

    fn checkpoint(&mut self) -> Result<()> {
        let snapshot = self.snapshot()?;
        self.folder.write_checkpoint(&snapshot)?;
        let keep = self.session.train().keep;
        if keep > 0 {
            snapshot.write(&self.folder.numbered(self.position.progress.step()))?;
            self.folder.prune(keep)?;
        }
        self.checkpointed = Instant::now();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.looked.is_none() || self.position.checkups[2] != self.position.progress.step() {
            self.look()?;
        }
        self.take_best()?;
        self.folder.write_encoder(&self.session.encoder())?;
        let mut recipe = self.session.recipe()?;
        let progress = &self.position.progress;
        let mut comment =
            "What this run did, complete: `autodidact pretrain --recipe` repeats it.".to_owned();
        if progress.began() > 0 {
            comment = format!(
                "The last leg of this run, which went on after {} steps. Repeating it alone begins from new weights.",
                progress.began()
            );
        }
        if !progress.corrections().is_empty() || progress.began() > 0 {
            // Time can't be repeated; steps can.
            let steps = progress.step() - progress.began();
            comment.push_str(&format!(
                "\nIt took {steps} steps in {}.",
                Duration(progress.elapsed)
            ));
            for key in ["budget", "epochs", "corrections"] {
                recipe.remove("train", key);
            }
            recipe.put("train.steps", steps as i64)?;
            let pairs: Vec<toml::Value> = progress
                .corrections()
                .iter()
                .map(|pair| toml::Value::from(pair.map(|n| n as i64).to_vec()))
                .collect();
            if !pairs.is_empty() {
                recipe.put("train.corrections", pairs)?;
            }
        }
        self.folder.write_recipe(&recipe, &comment)?;
        // Last of all: killed before this, the run goes on from an earlier checkpoint and comes here again.
        self.checkpoint()
    }

    fn outcome(&mut self, stop: Stop) -> Outcome {
        Outcome {
            stop,
            steps: self.position.progress.step(),
            seconds: self.position.progress.elapsed,
            checkup: self.looked.take(),
            unreadable: self.session.unreadable(),
            early: self.ended() && !self.position.progress.finished(),
        }
    }
}
