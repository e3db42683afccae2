//! Series: recordings of sensors, time series.

mod batch;
pub mod encoder;
mod normalization;
mod reading;
mod resample;
#[allow(
    clippy::module_inception,
    reason = "the type and its file bear the name of what they hold"
)]
mod series;
pub mod source;
#[cfg(test)]
mod tests;
mod views;

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use super::{
    Abilities, Draw, Likeness, Modality, Picture, Pretext, ReadRows, Rows, Sheet, Source,
    SourceSpec, Stretch, Timeline,
};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::host;
use crate::random::{Purpose, stream};
use views::Frame;

pub use batch::{SeriesBatch, Steps};
pub use encoder::{SeriesEncoder, SeriesFamily, SeriesNetwork};
pub use normalization::SeriesMeasurements;
pub use reading::{Layout, SeriesReading};
pub use series::{MOST_CHANNELS, Series};
pub use views::{Disturbance, Permutation, SeriesView, SeriesViews};

/// Values that stand for a series where nothing is learned, at most.
const RAW: usize = 1024;
/// Pixels of a picture on a sheet.
const TILE: [usize; 2] = [240, 90];

/// Series, as a recipe wants them seen.
#[derive(Debug, Clone)]
pub struct SeriesData {
    views: SeriesViews,
    network: SeriesNetwork,
    measured: SeriesMeasurements,
}

impl SeriesData {
    /// Refuses a series of other channels than were measured.
    fn fits(&self, series: &Series) -> Result<()> {
        let (found, wanted) = (series.channels, self.measured.channels);
        if found == wanted {
            return Ok(());
        }
        Err(Error::data(format!("holds series of {found} channels"))
            .expected(format!("{wanted}, as in the data that was learned from"))
            .mend("name data that was recorded alike, or begin a new run"))
    }

    /// Steps of the longest view.
    fn longest(&self) -> usize {
        self.views.length.min(self.measured.longest).max(1)
    }

    /// Some steps of a series as the network will see them, undisturbed.
    fn cut(&self, series: &Series, (from, to): (usize, usize)) -> SeriesView {
        let channels = series.channels;
        SeriesView {
            values: (self.measured).normalize(&series.values[from * channels..to * channels]),
            channels,
            start: series.start + from,
            hiding: None,
        }
    }

    fn view(
        &self,
        item: &(u64, Series),
        slot: usize,
        frame: Frame,
        draw: Draw,
    ) -> Result<SeriesView> {
        let (id, series) = item;
        self.fits(series)?;
        let mut rng = stream(draw.seed, Purpose::View, &[draw.epoch, *id, slot as u64]);
        let place = frame.place(item, slot, draw, &mut rng);
        let mut view = self.cut(series, place);
        view.hiding = Some(rand::RngExt::random(&mut rng));
        self.views
            .disturb(&mut view.values, view.channels, slot, &mut rng);
        Ok(view)
    }
}

impl Modality for SeriesData {
    const NAME: &'static str = "series";
    const SUMMARY: &'static str = "time series, sensors: CSV, TSV, text tables, sktime's .ts, NumPy arrays, Parquet, in folders or archives";
    const ABLE: Abilities = Abilities {
        masks: true,
        reads_out: true,
        weighs: true,
        ends: true,
        ordered: true,
        looks_ahead: true,
        ..Abilities::NONE
    };
    const USUAL: &'static [&'static str] = &["width", "transforms", "pooling"];
    type Item = Series;
    type View = SeriesView;
    type Batch = SeriesBatch;
    type Encoder = SeriesEncoder;
    type Views = SeriesViews;
    type Network = SeriesNetwork;
    type Measured = SeriesMeasurements;

    fn recognizes(path: &Path) -> Likeness {
        source::looks_like_series(path)
    }

    fn open(from: &SourceSpec) -> Result<Box<dyn Source<Series>>> {
        source::open(from)
    }

    fn measure(source: &dyn Source<Series>, from: &SourceSpec) -> Result<SeriesMeasurements> {
        SeriesMeasurements::of(source, from.seed).map_err(|error| match &from.path {
            Some(path) => error.at(path),
            None => error,
        })
    }

    fn defaults(pretext: &Pretext, measured: &SeriesMeasurements) -> (SeriesViews, SeriesNetwork) {
        let views = SeriesViews::suiting(pretext, measured.longest);
        let network = SeriesNetwork::suiting(pretext.needs, views.length);
        (views, network)
    }

    fn new(
        views: &SeriesViews,
        network: &SeriesNetwork,
        measured: &SeriesMeasurements,
    ) -> Result<Self> {
        measured.check()?;
        views.check()?;
        let data = Self {
            views: views.clone(),
            network: network.clone(),
            measured: measured.clone(),
        };
        network.check(measured.channels, data.longest())?;
        Ok(data)
    }

    fn one_view(&self) -> SeriesViews {
        self.views.one()
    }

    fn slots(&self) -> usize {
        self.views.count
    }

    fn views(&self, items: &[(u64, Series)], draw: Draw) -> Result<Vec<Vec<SeriesView>>> {
        let of_slot = |slot: usize| {
            let frame = Frame::draw(&self.views, items, slot, draw);
            let views = items.iter().map(|item| self.view(item, slot, frame, draw));
            views.collect()
        };
        (0..self.slots()).map(of_slot).collect()
    }

    fn plain(&self, items: &[(u64, Series)]) -> Result<Vec<SeriesView>> {
        let view = |(_, series): &(u64, Series)| {
            self.fits(series)?;
            Ok(self.cut(series, (0, series.steps().min(self.views.length))))
        };
        items.iter().map(view).collect()
    }

    fn shortened(&self, item: &Series, plain: &SeriesView) -> bool {
        plain.steps() < item.steps()
    }

    fn collate(&self, views: &[SeriesView], rows: &Rows, device: &Device) -> Result<SeriesBatch> {
        let channels = self.measured.channels;
        if let Some(other) = views
            .iter()
            .find(|view| view.channels != channels || view.values.is_empty())
        {
            return Err(Error::data(format!(
                "a view of {} steps and {} channels in a batch",
                other.steps(),
                other.channels
            ))
            .expected(format!("at least one step, and {channels} channels")));
        }
        let length = views.iter().map(SeriesView::steps).max().unwrap_or(0);
        let mut values = Vec::with_capacity(views.len() * length * channels);
        for view in views {
            values.extend(&view.values);
            values.resize(values.len() + (length - view.steps()) * channels, 0.0);
        }
        let steps = Steps {
            length,
            channels,
            values,
            lengths: views.iter().map(SeriesView::steps).collect(),
            starts: views.iter().map(|view| view.start).collect(),
        };
        let hiding = views.first().and_then(|view| view.hiding);
        let measured = channels - self.measured.calendar;
        let batch = SeriesBatch::new(steps, rows.clone(), device);
        Ok(batch.of_measured(measured).hidden_by(hiding))
    }

    /// The normalized values, brought to the median length or as many as there is room for, without gaps.
    fn raw(&self, item: &Series) -> Vec<f32> {
        let channels = self.measured.channels;
        let length = self.measured.length.min(RAW / channels).max(1);
        if item.channels != channels {
            return vec![0.0; length * channels];
        }
        let values = self.measured.normalize(&item.values);
        resample::resampled(&values, channels, length)
    }

    fn timeline(&self, item: &Series) -> Option<Timeline> {
        (item.channels == self.measured.channels).then(|| Timeline {
            channels: item.channels,
            values: self.measured.normalize(&item.values),
        })
    }

    fn restore(&self, values: &mut [f32]) {
        self.measured.restore(values);
    }

    fn stretch(&self) -> Option<Stretch> {
        Some(Stretch {
            steps: self.longest(),
            channels: self.measured.channels,
        })
    }

    fn of_steps(&self, values: Vec<f32>, first: usize) -> Result<Series> {
        Series::new(self.measured.channels, values, first)
    }

    fn rows(&self, reading: &SourceSpec) -> Result<Box<dyn ReadRows>> {
        let reading = SeriesReading::of(reading)?;
        if reading.standardize > 0.0 {
            return Err(
                Error::recipe("data.reading.standardize, and steps as they arrive")
                    .expected("recordings on one scale: what comes first is no whole beginning")
                    .mend("pretrain without it, on recordings of one process"),
            );
        }
        if reading.resample > 0.0 {
            return Err(
                Error::recipe("data.reading.resample, and steps as they arrive")
                    .expected("a row a step: rows that arrive are taken as they come, and not averaged")
                    .mend("pretrain without it, on rows as far apart in time as those that will arrive"),
            );
        }
        Ok(Box::new(source::LiveRows::new(
            self.measured.channels,
            reading,
        )))
    }

    fn encoder(&self, init: &mut Init) -> Result<SeriesEncoder> {
        let missing = self.measured.missing > 0.0;
        (self.network).build(self.measured.channels, missing, self.longest(), init)
    }

    fn begun(
        &self,
        encoder: &SeriesEncoder,
        some: &mut dyn FnMut(usize) -> Result<Vec<(u64, Series)>>,
        seed: u64,
    ) -> Result<Option<(SeriesEncoder, String)>> {
        let able = self.network.abilities();
        if !able.reads_out && !able.weighs {
            return Ok(None);
        }
        let items = some(encoder::LEARNED_FROM)?;
        let views = self.plain(&items)?;
        let rows = Rows {
            ids: items.iter().map(|(id, _)| *id).collect(),
            classes: None,
        };
        let device = encoder.devices().into_iter().next().unwrap_or_default();
        let batch = self.collate(&views, &rows, &device)?;
        encoder.begun(&batch, &mut stream(seed, Purpose::Weights, &[1]))
    }

    fn abilities(&self) -> Abilities {
        self.network.abilities()
    }

    fn sheet(&self, items: &[(u64, Series)], draw: Draw) -> Result<Sheet> {
        let slots = self.views(items, draw)?;
        let rows: Vec<Vec<Picture>> = items
            .iter()
            .enumerate()
            .map(|(row, (_, series))| {
                let values = self.measured.normalize(&series.values);
                let whole = views::plot(&values, series.channels, TILE);
                let views = slots.iter().map(|slot| {
                    let view = &slot[row];
                    views::plot(&view.values, view.channels, TILE)
                });
                std::iter::once(whole).chain(views).collect()
            })
            .collect();
        if rows.is_empty() {
            return Err(Error::data("no series to show").expected("at least one"));
        }
        views::encode_png(&views::stack(&rows)).map(Sheet::Png)
    }

    fn picture(&self, item: &Series, edge: usize) -> Option<Picture> {
        let size = [edge.max(1), (edge / 2).max(1)];
        if item.channels != self.measured.channels {
            return None;
        }
        let values = self.measured.normalize(&item.values);
        Some(views::plot(&values, item.channels, size))
    }

    fn pictures(&self, batch: &SeriesBatch) -> Vec<Picture> {
        let [_, length, channels] = batch.values.dims();
        if length == 0 {
            return Vec::new();
        }
        let mut values = host(batch.values.clone());
        if let Some(present) = &batch.present {
            for (value, present) in values.iter_mut().zip(host(present.clone())) {
                if present == 0.0 {
                    *value = f32::NAN;
                }
            }
        }
        let rows = values.chunks_exact(length * channels).zip(&*batch.lengths);
        rows.map(|(values, &real)| {
            views::plot(&values[..real.min(length) * channels], channels, TILE)
        })
        .collect()
    }
}
