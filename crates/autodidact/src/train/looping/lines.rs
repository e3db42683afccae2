//! What is told and written of steps: a line for whoever watches, and lines of metrics, each the mean of its steps.

use super::Run;
use crate::error::Result;
use crate::run::Line;
use crate::train::{Event, StepReport};

/// Running means for the progress line.
pub(super) struct Smooth {
    loss: f64,
    seconds: f64,
    items: f64,
    waited: f64,
}

impl Run<'_> {
    /// Adds a step to the means of the line being gathered.
    pub(super) fn gather(&mut self, report: &StepReport, seconds: f64) {
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

    /// Writes the line that was gathered.
    pub(super) fn write_line(&mut self, learning_rate: f64) -> Result<()> {
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

    /// Tells whoever watches.
    pub(super) fn tell(&mut self, report: &StepReport, seconds: f64) {
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
}
