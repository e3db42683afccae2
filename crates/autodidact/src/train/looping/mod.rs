//! The loop: step, log, look, keep.
//!
//! What is told and written of steps is in `lines`; when there is a look, and what it keeps, in `looks`.

mod lines;
mod looks;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use lines::Smooth;

use super::device;
use super::event::{Event, Outcome, Stop};
use super::monitor::Checkup;
use super::session::Session;
use crate::error::{Error, Result};
use crate::layers::schedule::warmup_cosine;
use crate::method::{REFERENCE_BATCH, Step};
use crate::recipe::{Duration, Length};
use crate::run::{AppendLog, Checkpoint, Metrics, Position, Progress, RunFolder};

/// The part of what is left of a budget that opening the data may take away from learning.
const OPENING: f64 = 0.5;

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
    /// Seconds before the run that count with its first step.
    before: f64,
    checkpointed: Instant,
    smooth: Option<Smooth>,
    looked: Option<Checkup>,
    /// Seconds of the last look and of the last checkpoint: a budget has to have room for another one of each at the end.
    look_takes: Option<f64>,
    checkpoint_takes: f64,
    batch: usize,
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
        folder.sweep();
        // What a start costs is time that the run has spent: it counts with the first step.
        let ticked = Instant::now();
        let per_epoch = session.steps_per_epoch();
        let enough = session.train().enough;
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
                )
                .up_to(enough, per_epoch),
                updates: 0,
                metrics: 0,
                best: None,
                stale: 0,
                best_costs: Vec::new(),
                gathered: Vec::new(),
                checkups: [0, 0, 0],
                warned: Vec::new(),
            },
        };
        if let Some(length) = more {
            let longer = position.progress.extended(length, per_epoch);
            position.progress = longer.up_to(enough, per_epoch);
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
        let step = position.progress.step();
        let mut begun = Vec::new();
        if !resumed {
            // Before what may take long, so that the folder is taken; and again where that settled something.
            let comment =
                "What this run does, complete: `autodidact pretrain --recipe` repeats it.";
            let recipe = session.recipe()?;
            folder.write_recipe(&recipe, comment)?;
            begun = session.begin()?;
            let settled = session.recipe()?;
            if settled != recipe {
                folder.write_recipe(&settled, comment)?;
            }
        }
        let mut lines = session.describe();
        lines.extend(begun);
        if let (Some(enough), Some(budget)) = (enough, position.progress.budget()) {
            let budget = Duration(budget);
            lines.push(format!(
                "length   {enough}, in which the method learns all there is; {budget} at most"
            ));
        }
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
        // Opening the data is part of the time that was given, but something is to be learned in it, too.
        let before = position.progress.budget().map_or(0.0, |budget| {
            let left = (budget - position.progress.elapsed).max(0.0);
            session.opened_in().as_secs_f64().min(OPENING * left)
        });
        let mut run = Self {
            session,
            folder,
            watch,
            metrics,
            log,
            position,
            ticked,
            before,
            checkpointed: Instant::now(),
            smooth: None,
            looked: None,
            look_takes: None,
            checkpoint_takes: 0.0,
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
        let look = match (self.look_takes, &self.smooth) {
            (Some(seconds), _) => seconds,
            (None, Some(_)) => self.session.look_cost() / self.batch as f64 * seconds,
            // In the first step is what a start costs.
            (None, None) => 0.0,
        };
        let progress = &mut self.position.progress;
        progress.closes_in(look + self.checkpoint_takes);
        progress.advance(seconds + std::mem::take(&mut self.before));
        let step = self.position.progress.step();
        self.gather(&report, seconds);
        if step.is_multiple_of(log_every) || self.position.progress.finished() {
            self.write_line(rate)?;
        }
        self.tell(&report, seconds);
        Ok(())
    }

    fn ended(&self) -> bool {
        self.position.ended(self.session.train().patience)
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
        let began = Instant::now();
        let snapshot = self.snapshot()?;
        self.folder.write_checkpoint(&snapshot)?;
        let keep = self.session.train().keep;
        if keep > 0 {
            snapshot.write(&self.folder.numbered(self.position.progress.step()))?;
            self.folder.prune(keep)?;
        }
        self.checkpoint_takes = began.elapsed().as_secs_f64();
        self.checkpointed = Instant::now();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.looked.is_none() || self.position.checkups[2] != self.position.progress.step() {
            self.look()?;
        }
        self.take_best()?;
        self.folder.write_encoder(&self.session.encoder())?;
        self.position.progress.elapsed += self.ticked.elapsed().as_secs_f64();
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
