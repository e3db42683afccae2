//! Learning that goes on from what is watched: a few steps now and then on what was recorded last, beside what the run
//! learned from, so that it isn't forgotten (rehearsal: Robins 1995), and back to the last good state where it goes wrong.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::layers::state::State;
use crate::method::{REFERENCE_BATCH, Step};
use crate::recipe::Recipe;
use crate::run::{Checkpoint, Position, RunFolder};
use crate::train::{Session, reopen};

/// Rounds in a row that went wrong, after which nothing more is learned.
const PATIENCE: usize = 3;
/// The part of a stretch's values that may be missing before nothing is learned from it.
const MISSING: f64 = 0.5;

/// When and how much is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Steps of the recording from one round of learning to the next.
    pub every: usize,
    /// Training steps in a round.
    pub steps: u64,
    /// Training steps in all, at most.
    pub most: u64,
    /// The part of a batch that was recorded last, 0 to 1; the rest is what the run learned from.
    pub recent: f64,
    /// The learning rate, as a part of the run's own peak.
    pub rate: f64,
    /// By how much of itself the loss on what the run held out may grow before what was learned is taken back.
    pub forgets: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: 512,
            steps: 16,
            most: 2000,
            recent: 0.5,
            rate: 0.1,
            forgets: 0.1,
        }
    }
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Round {
    /// The encoder has learned something: the mean loss of its steps.
    Learned(f64),
    /// It went wrong, and everything is as it was before.
    TakenBack(String),
}

/// A run that goes on learning.
pub struct Adaptation {
    session: Box<dyn Session>,
    recipe: Recipe,
    position: Position,
    pace: Pace,
    /// Stretches that were recorded last: the replay of the stream, as many as a round takes in.
    recent: VecDeque<(Vec<f32>, usize)>,
    room: usize,
    /// The held-out loss before anything was learned here.
    held_out: Option<f64>,
    /// Steps of the recording since the last round.
    waited: usize,
    spent: u64,
    wrong: usize,
}

impl Adaptation {
    /// Takes up where a run ended.
    ///
    /// # Errors
    /// When it has no checkpoint, or learned from labels, or its data can't be read.
    pub fn open(folder: &RunFolder, pace: Pace) -> Result<Self> {
        let recipe = folder.recipe()?;
        let (checkpoint, _) = folder.checkpoint()?;
        let mut session = reopen(&recipe)?;
        if session.labeled().is_some() {
            return Err(Error::run("a run that learned from labels")
                .at(folder.path())
                .expected("one that can go on without them")
                .mend("let the run go on that it started from"));
        }
        let updates = checkpoint.position.updates;
        session.restore(
            &checkpoint.under("model"),
            &checkpoint.under("optimizer"),
            updates,
        )?;
        let batch = session.train().batch_size;
        let held_out = session.validate()?.map(|held| held.loss);
        let of_batch = (batch as f64 * pace.recent).round() as usize;
        Ok(Self {
            session,
            recipe,
            position: checkpoint.position,
            pace,
            recent: VecDeque::new(),
            room: (of_batch * pace.steps as usize).max(1),
            held_out,
            waited: 0,
            spent: 0,
            wrong: 0,
        })
    }

    /// Keeps a stretch that was recorded: its values, `[steps, channels]`, and the number of its first step. Of what is
    /// mostly missing nothing is kept.
    pub fn take(&mut self, values: Vec<f32>, first: usize) {
        self.waited += 1;
        let missing = values.iter().filter(|value| !value.is_finite()).count();
        if missing as f64 > MISSING * values.len() as f64 {
            return;
        }
        if self.recent.len() == self.room {
            self.recent.pop_front();
        }
        self.recent.push_back((values, first));
    }

    /// Whether it is time to learn.
    pub fn is_due(&self) -> bool {
        self.waited >= self.pace.every
            && !self.recent.is_empty()
            && self.spent < self.pace.most
            && self.wrong < PATIENCE
    }

    /// Learns from what was recorded last.
    ///
    /// # Errors
    /// When what the run learned from can't be read.
    pub fn learn(&mut self) -> Result<Round> {
        self.waited = 0;
        let (before, updates) = self.session.state();
        let outcome = self.steps().and_then(|loss| {
            let held_out = self.session.validate()?.map(|held| held.loss);
            Ok((loss, held_out))
        });
        let why = match outcome {
            Ok((loss, held_out)) => match self.worse(held_out) {
                None => {
                    self.wrong = 0;
                    return Ok(Round::Learned(loss));
                }
                Some(why) => why,
            },
            // A loss that is no number, above all.
            Err(error) if error.kind() == crate::error::Kind::Training => error.to_string(),
            Err(error) => return Err(error),
        };
        self.wrong += 1;
        let under = |prefix: &str| -> State {
            let of = before.iter().filter_map(|(name, array)| {
                Some((name.strip_prefix(prefix)?.to_owned(), array.clone()))
            });
            of.collect()
        };
        self.session
            .restore(&under("model."), &under("optimizer."), updates)?;
        let end = match self.wrong {
            PATIENCE => "; nothing more is learned",
            _ => "",
        };
        Ok(Round::TakenBack(format!("{why}{end}")))
    }

    /// The steps of a round; the mean of their losses.
    fn steps(&mut self) -> Result<f64> {
        let train = self.session.train();
        let (batch, seed) = (train.batch_size, train.seed);
        let rate = self.pace.rate * train.learning_rate * batch as f64 / REFERENCE_BATCH;
        let of_batch = ((batch as f64 * self.pace.recent).round() as usize).clamp(1, batch);
        let steps = self.pace.steps.min(self.pace.most - self.spent);
        let begun = self.position.progress.step();
        let mut sum = 0.0;
        for step in 0..steps {
            let at = Step {
                number: begun + self.spent,
                part: 0,
                progress: 1.0,
                seed,
            };
            // Evenly over what was kept, another place in each step.
            let count = of_batch.min(self.recent.len());
            let stretches: Vec<(Vec<f32>, usize)> = (0..count)
                .map(|place| {
                    let spread = (place * steps as usize + step as usize) * self.recent.len();
                    let at = spread / (count * steps as usize).max(1);
                    self.recent[at.min(self.recent.len() - 1)].clone()
                })
                .collect();
            sum += self.session.rehearse(&stretches, at, rate)?.loss;
            self.spent += 1;
        }
        self.session.settle(Step {
            number: begun + self.spent,
            part: 0,
            progress: 1.0,
            seed,
        })?;
        Ok(sum / steps.max(1) as f64)
    }

    /// Why the held-out loss is worse than it may be; `None` where it isn't.
    fn worse(&self, now: Option<f64>) -> Option<String> {
        let (before, now) = (self.held_out?, now?);
        let most = before + self.pace.forgets * before.abs();
        // Not a number is worse.
        let holds = now <= most;
        (!holds)
            .then(|| format!("the loss on what the run held out is {now:.4}, and was {before:.4}"))
    }

    /// The encoder as it is now.
    pub fn encoder(&self) -> State {
        self.session.encoder()
    }

    /// How many training steps were taken.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Writes what was learned as a run of its own, or over what was written before.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        let comment = "An encoder that went on learning from what it watched.";
        folder.write_recipe(&self.recipe, comment)?;
        let (state, updates) = self.session.state();
        folder.write_checkpoint(&Checkpoint {
            state,
            position: Position {
                updates,
                // The weights that scored best stay with the run that this one came from.
                best: None,
                stale: 0,
                ..self.position.clone()
            },
        })?;
        folder.write_encoder(&self.encoder())
    }
}
