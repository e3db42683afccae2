//! Looks at the representation: when there are any, what is written of them, and which weights are kept as the best.

use std::time::Instant;

use super::Run;
use crate::error::Result;
use crate::method::Step;
use crate::recipe::Best;
use crate::run::{Checkpoint, Line};
use crate::train::Event;

/// A run is looked at in every tenth of it and after every pass over the data, but not before as many items were
/// learned from as take this many times as long as a look.
const LOOK_COSTS: f64 = 10.0;
/// From which part of a run on looks that find nothing better count: before, the rate is so high that a loss may grow
/// before it falls.
const PATIENT: f64 = 0.5;
/// Held-out items below which a lower mean of their losses is no evidence by itself.
const FEW_HELD: usize = 500;

impl Run<'_> {
    /// Goes by steps and progress alone, so that a repeated run looks at the same steps.
    pub(super) fn look_is_due(&mut self) -> bool {
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

    /// Looks, writes what is seen, and keeps the weights where they are the best so far.
    pub(super) fn look(&mut self) -> Result<()> {
        let began = Instant::now();
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
        let loss = validation.as_ref().map(|held| held.loss);
        put("alignment", checkup.alignment);
        put("knn", checkup.knn);
        put("validation_loss", loss);
        let symbols = validation.as_ref().and_then(|held| held.symbols);
        put("perplexity", symbols.map(f64::exp));
        for (name, value) in validation.iter().flat_map(|held| &held.parts) {
            values.push((format!("validation/{name}"), *value));
        }
        self.metrics.write(&Line { step, values })?;
        let score = match self.session.train().best {
            Best::Validation => validation.map(|held| (held.loss, held.each)),
            Best::Knn => checkup.knn.map(|accuracy| (-accuracy, Vec::new())),
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
            validation: loss,
            checkup,
        });
        if let Some((score, each)) = score {
            self.compare(score, &each)?;
        }
        self.look_takes = Some(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Keeps the weights where their score is the best so far, and else counts a look that found nothing better. `each` is
    /// what held-out items cost and weigh, where the score is their mean.
    fn compare(&mut self, score: f64, each: &[[f64; 2]]) -> Result<()> {
        let by_item = self.goes_by_item(each);
        let better = match self.position.best {
            None => true,
            Some(_) if by_item && self.position.best_costs.len() == each.len() => {
                surely_less(each, &self.position.best_costs)
            }
            Some(best) => score < best,
        };
        if better {
            self.position.best = Some(score);
            self.position.best_costs = match by_item {
                true => each.iter().map(|[cost, _]| *cost).collect(),
                false => Vec::new(),
            };
            self.position.stale = 0;
            return self.snapshot()?.write(&self.folder.best());
        }
        if self.position.progress.done() >= PATIENT {
            self.position.stale += 1;
        }
        Ok(())
    }

    /// Whether a score has to be better item by item. What a run began with may be better than anything that it comes to;
    /// of ten looks at a handful of items one has a lower mean all the same, by chance.
    fn goes_by_item(&self, each: &[[f64; 2]]) -> bool {
        let train = self.session.train();
        train.patience > 0
            && train.init.is_some()
            && (1..FEW_HELD).contains(&each.len())
            && each.iter().all(|[cost, _]| cost.is_finite())
    }

    /// Goes back to the weights that scored best.
    pub(super) fn take_best(&mut self) -> Result<()> {
        if self.session.train().patience == 0 || self.position.best.is_none() {
            return Ok(());
        }
        match Checkpoint::read(&self.folder.best()) {
            Ok(best) => {
                let (model, optimizer) = (best.under("model"), best.under("optimizer"));
                self.session
                    .restore(&model, &optimizer, best.position.updates)
            }
            // Weights that are nearly as good are worth more than a run that can't end.
            Err(error) => self.say(&format!(
                "the best weights can't be read ({error}); the last ones are kept in their place"
            )),
        }
    }
}

/// Whether items cost less now by more than one standard error of the mean difference, taken item by item: `now` holds what
/// each costs and weighs, `kept` what it cost the weights that are kept. Of a single item nothing is sure.
fn surely_less(now: &[[f64; 2]], kept: &[f64]) -> bool {
    let all: f64 = now.iter().map(|[_, weight]| weight).sum();
    let differences: Vec<(f64, f64)> = now
        .iter()
        .zip(kept)
        .map(|([cost, weight], kept)| (cost - kept, weight / all))
        .collect();
    let mean: f64 = differences.iter().map(|(by, share)| share * by).sum();
    let squares: f64 = differences
        .iter()
        .map(|(by, share)| (share * (by - mean)).powi(2))
        .sum();
    let count = differences.len() as f64;
    let error = (squares * count / (count - 1.0)).sqrt();
    differences.len() > 1 && -mean > error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_mean_of_a_handful_is_no_evidence_by_itself() {
        let alike = |costs: &[f64]| -> Vec<[f64; 2]> { costs.iter().map(|&c| [c, 1.0]).collect() };
        // Differences -0.8, 0.6, 0, 0, 0: their mean is -0.04, and its standard error 0.22.
        let scattered = alike(&[0.2, 1.6, 1.0, 1.0, 1.0]);
        assert!(!surely_less(&scattered, &[1.0; 5]));
        // A mean of -0.24, and a standard error of 0.019.
        let all = alike(&[0.7, 0.8, 0.75, 0.8, 0.75]);
        assert!(surely_less(&all, &[1.0; 5]));
        assert!(!surely_less(&alike(&[1.0; 5]), &[0.7; 5]));
        assert!(!surely_less(&alike(&[1.0; 5]), &[1.0; 5]));
        assert!(!surely_less(&alike(&[0.1]), &[1.0]));
        // Of the same mean difference, -0.1, many tell more than few: its error is 0.113 and 0.035.
        let mixed = |count| alike(&[0.6, 1.2].repeat(count));
        assert!(!surely_less(&mixed(4), &[1.0; 8]));
        assert!(surely_less(&mixed(37), &[1.0; 74]));
    }

    #[test]
    fn items_count_by_what_they_weigh() {
        // The second item costs more; where it weighs next to nothing, that isn't seen.
        let costs = |weight: f64| [[0.5, 1.0], [0.5, 1.0], [0.4, 1.0], [3.0, weight]];
        assert!(surely_less(&costs(1e-3), &[1.0; 4]));
        assert!(!surely_less(&costs(1.0), &[1.0; 4]));
        assert!(!surely_less(&[[0.5, 0.0], [0.5, 0.0]], &[1.0; 2]));
    }
}
