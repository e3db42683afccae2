//! Images: photographs, drawings, scans, cells.

mod batch;
pub mod encoder;
#[allow(
    clippy::module_inception,
    reason = "the type and its file bear the name of what they hold"
)]
mod image;
mod published;
pub mod source;
pub mod views;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use toml::Value;

use super::{
    Abilities, Change, Draw, Encoder, Likeness, Modality, Need, Picture, Pretext, Published, Rows,
    Rung, Sheet, Source, SourceSpec,
};
use crate::error::{Error, Result};
use crate::export::onnx::{Length, OnnxModel};
use crate::layers::Init;
use crate::layers::state::host;
use crate::random::{Purpose, stream};

pub use batch::ImageBatch;
pub use encoder::{Architecture, ImageEncoder, ImageNetwork, Stem};
pub use image::{Image, MOST_CHANNELS, Pixels};
pub use views::{ImageView, ImageViews, Normalization};

/// Images looked at before training.
const SURVEYED: usize = 4096;
/// The largest view that is chosen without being asked for, in pixels: what a processor trains in minutes.
const LARGEST_SIDE: usize = 96;
/// The largest image that enters a network through a 3×3 stem, in pixels.
const SMALL_STEM: usize = 64;
/// Share of the image that a view shows while learning from labels, least and largest: with less of it a class is often
/// out of sight, and runs with labels are short.
const LABELED_AREA: [f32; 2] = [0.4, 1.0];
/// Edge of the image that stands for raw pixels, in pixels, at most: 3072 values as in CIFAR-10.
const RAW_SIDE: usize = 32;
/// Widths of a ResNet-18 that a run with a budget may choose, and from how many images each pays. Guesses still: that 8
/// serves better than 16 below fifty thousand is all that was seen in a run.
const WIDTHS: [(i64, f64); 4] = [(8, 0.0), (16, 50e3), (32, 500e3), (64, 5e6)];
/// Edge of a dictionary's patches, in pixels.
const PATCH: usize = 6;
/// Images that a dictionary of patches is learned from, at most.
const LEARNED_FROM: usize = 5000;
/// Sizes of a dictionary that a run with a budget may choose, and from how many images each pays: about eight for each
/// feature, of which there are four an atom.
const ATOMS: [(i64, f64); 4] = [(256, 0.0), (512, 16e3), (1024, 33e3), (2048, 130e3)];
/// From how many images views of the data's own size pay, where that is large; a guess.
const LARGE_VIEWS_PAY_FROM: f64 = 20e3;

/// Images, as a recipe wants them seen.
#[derive(Debug, Clone)]
pub struct Images {
    views: ImageViews,
    network: ImageNetwork,
    normalization: Normalization,
    channels: usize,
    side: usize,
}

/// What was measured on the images before training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageMeasurements {
    /// 1 where all images are grey, 3 where they are color, or as many as they have.
    pub channels: usize,
    /// Mean of each channel, on a scale from 0 to 1.
    pub mean: Vec<f32>,
    /// Deviation of each channel, on a scale from 0 to 1.
    pub deviation: Vec<f32>,
    /// Median of the shorter edges, in pixels.
    pub side: usize,
}

impl Images {
    /// Whether an image can be seen with the channels that were measured: grey and color become each other, and nothing
    /// else becomes anything else.
    fn fits(&self, image: &Image) -> Result<()> {
        let visible = |channels: usize| matches!(channels, 1 | 3);
        let (found, wanted) = (image.channels(), self.channels);
        if found == wanted || visible(found) && visible(wanted) {
            return Ok(());
        }
        Err(Error::data(format!("holds images of {found} channels"))
            .expected(format!("{wanted}, as in the data that was learned from"))
            .mend("name data that was recorded alike, or begin a new run"))
    }
}

/// The edge of views whose size is left to the data, in pixels.
fn views_side(measured: &ImageMeasurements) -> usize {
    measured.side.clamp(8, LARGEST_SIDE) / 4 * 4
}

impl Modality for Images {
    const NAME: &'static str = "images";
    const SUMMARY: &'static str = "photographs, scans, satellite bands: files in folders, archives or Parquet, arrays, IDX, CIFAR, CSV lists";
    const ABLE: Abilities = Abilities {
        masks: true,
        reads_out: true,
        ..Abilities::NONE
    };
    const USUAL: &'static [&'static str] = &["width", "patch", "stride", "cells", "dim"];
    type Item = Image;
    type View = ImageView;
    type Batch = ImageBatch;
    type Encoder = ImageEncoder;
    type Views = ImageViews;
    type Network = ImageNetwork;
    type Measured = ImageMeasurements;

    fn recognizes(path: &Path) -> Likeness {
        // Where there are no images the source says what it found, and other kinds say when they are sure. But packed
        // tables another kind takes for its own by their names.
        if source::holds_tables_of_images(path) {
            Likeness::Clear
        } else {
            Likeness::Unclear
        }
    }

    fn open(from: &SourceSpec) -> Result<Box<dyn Source<Image>>> {
        source::open(from)
    }

    fn measure(source: &dyn Source<Image>, from: &SourceSpec) -> Result<ImageMeasurements> {
        let survey = source::survey(source, SURVEYED, from.seed);
        if survey.images == 0 {
            let example = survey.bad.into_iter().next().map(|(_, error)| error);
            let error = Error::data("not one image that can be read").expected("images");
            return Err(match example {
                Some(example) => error.because(example),
                None => error,
            });
        }
        Ok(ImageMeasurements {
            channels: survey.channels,
            mean: survey.mean,
            deviation: survey.deviation,
            side: survey.median_side,
        })
    }

    fn defaults(pretext: &Pretext, measured: &ImageMeasurements) -> (ImageViews, ImageNetwork) {
        let side = views_side(measured);
        let mut views = match (pretext.change, measured.channels) {
            (Change::Light | Change::Paired | Change::Overlapping, _) => ImageViews::light(side),
            // What changes colors means nothing to channels that aren't colors.
            (_, channels) if channels != 3 => ImageViews::grey(side),
            (Change::Strong, _) => ImageViews::strong(side),
            (Change::StrongUneven, _) => ImageViews::strong_uneven(side),
        };
        if views.slots().len() != pretext.views
            && let [only] = views.crops.as_mut_slice()
        {
            only.count = pretext.views;
        }
        // One setting for all views of this size.
        views.size = side;
        for crop in &mut views.crops {
            crop.size = 0;
        }
        let network = if pretext.needs == Need::Readout {
            ImageNetwork {
                name: Architecture::Patches,
                patch: PATCH.min(side),
                ..ImageNetwork::default()
            }
        } else if pretext.needs == Need::Hidden {
            ImageNetwork {
                name: Architecture::VitTiny,
                depth: 6,
                patch: (4..=side)
                    .find(|patch| side.is_multiple_of(*patch) && side / patch <= 12)
                    .unwrap_or(side),
                ..ImageNetwork::default()
            }
        } else {
            ImageNetwork {
                name: Architecture::ResNet18,
                width: 16,
                stem: if side <= SMALL_STEM {
                    Stem::Small
                } else {
                    Stem::Imagenet
                },
                ..ImageNetwork::default()
            }
        };
        (views, network)
    }

    fn new(
        views: &ImageViews,
        network: &ImageNetwork,
        measured: &ImageMeasurements,
    ) -> Result<Self> {
        let views = views.clone().with_size(views_side(measured));
        views.check()?;
        let slots = views.slots();
        let side = slots.iter().copied().max().unwrap_or(measured.side);
        if network.name.is_vit() && slots.iter().any(|&slot| slot != side) {
            return Err(Error::recipe("views of several sizes with a ViT")
                .expected("one size")
                .mend("give all views.crops one size, or take a convolutional encoder"));
        }
        if let Some(&least) = slots.iter().min() {
            network.fits(side, least)?;
        }
        if !(1..=MOST_CHANNELS).contains(&measured.channels)
            || measured.mean.len() != measured.channels
        {
            return Err(
                Error::recipe(format!("data.measured.channels = {}", measured.channels)).expected(
                    format!("1 to {MOST_CHANNELS}, and a mean and a deviation for each"),
                ),
            );
        }
        Ok(Self {
            views,
            network: network.clone(),
            normalization: Normalization::new(measured.mean.clone(), measured.deviation.clone())?,
            channels: measured.channels,
            side,
        })
    }

    fn ladder(
        views: &ImageViews,
        network: &ImageNetwork,
        measured: &ImageMeasurements,
    ) -> Vec<Rung> {
        if network.name == Architecture::Patches {
            return ATOMS
                .iter()
                .map(|&(atoms, pays_from)| Rung {
                    name: format!("{atoms} patches"),
                    settings: vec![("encoder.width", Value::from(atoms))],
                    pays_from,
                })
                .collect();
        }
        if network.name != Architecture::ResNet18 {
            return Vec::new();
        }
        let side = views_side(measured);
        let open = views.slots().contains(&0);
        let mut sizes: Vec<(i64, usize, f64)> = WIDTHS
            .iter()
            .map(|&(width, pays_from)| (width, side, pays_from))
            .collect();
        if open && side > SMALL_STEM {
            // While time is short, small views of many images bring more than large ones of few.
            sizes[0].2 = LARGE_VIEWS_PAY_FROM;
            sizes.insert(0, (WIDTHS[0].0, side / 2, 0.0));
        }
        let rung = |(width, size, pays_from): (i64, usize, f64)| {
            let mut settings = vec![("encoder.width", Value::from(width))];
            if open {
                settings.push(("views.size", Value::from(size as i64)));
            }
            Rung {
                name: format!("width {width}, {size} pixels"),
                settings,
                pays_from,
            }
        };
        sizes.into_iter().map(rung).collect()
    }

    fn published(path: &Path) -> Result<Option<Published>> {
        published::published(path)
    }

    fn one_view(&self) -> ImageViews {
        let mut views = ImageViews::light(self.side);
        for crop in &mut views.crops {
            crop.area = LABELED_AREA;
        }
        // Whether a mirrored image is still the same thing, the run has decided.
        views.flip = self.views.flip;
        views.vertical_flip = self.views.vertical_flip;
        views
    }

    fn slots(&self) -> usize {
        self.views.slots().len()
    }

    fn views(&self, items: &[(u64, Image)], draw: Draw) -> Result<Vec<Vec<ImageView>>> {
        let of_slot = |slot: usize| {
            items
                .iter()
                .map(|(id, image)| {
                    self.fits(image)?;
                    let mut rng = stream(draw.seed, Purpose::View, &[draw.epoch, *id, slot as u64]);
                    let views = &self.views;
                    Ok(views.draw(image, slot, &mut rng, &self.normalization, self.channels))
                })
                .collect()
        };
        (0..self.slots()).map(of_slot).collect()
    }

    fn plain(&self, items: &[(u64, Image)]) -> Result<Vec<ImageView>> {
        let view = |(_, image): &(u64, Image)| {
            self.fits(image)?;
            let (normalization, channels) = (&self.normalization, self.channels);
            Ok(views::plain(image, self.side, normalization, channels))
        };
        items.iter().map(view).collect()
    }

    fn collate(&self, views: &[ImageView], rows: &Rows, device: &Device) -> Result<ImageBatch> {
        let size = views.first().map_or(0, |view| view.size);
        if let Some(other) = views
            .iter()
            .find(|view| view.size != size || view.channels != self.channels)
        {
            return Err(Error::data(format!(
                "a view of {} pixels and {} channels in a batch",
                other.size, other.channels
            ))
            .expected(format!("{size} pixels and {} channels", self.channels)));
        }
        let pixels: Vec<f32> = views
            .iter()
            .flat_map(|view| &view.pixels)
            .copied()
            .collect();
        let shape = [views.len(), size, size, self.channels];
        Ok(ImageBatch {
            pixels: Tensor::from_data(TensorData::new(pixels, shape), device),
            turns: views
                .iter()
                .map(|view| u32::from(view.quarter_turns))
                .collect(),
            rows: rows.clone(),
        })
    }

    fn raw(&self, item: &Image) -> Vec<f32> {
        views::plain(
            item,
            self.side.min(RAW_SIDE),
            &self.normalization,
            self.channels,
        )
        .pixels
    }

    fn encoder(&self, init: &mut Init) -> Result<ImageEncoder> {
        self.network.build(self.side, self.channels, init)
    }

    fn begun(
        &self,
        encoder: &ImageEncoder,
        some: &mut dyn FnMut(usize) -> Result<Vec<(u64, Image)>>,
        seed: u64,
    ) -> Result<Option<(ImageEncoder, String)>> {
        if self.network.name != Architecture::Patches {
            return Ok(None);
        }
        let items = some(LEARNED_FROM)?;
        let views = self.plain(&items)?;
        let images: Vec<&[f32]> = views.iter().map(|view| view.pixels.as_slice()).collect();
        let mut rng = stream(seed, Purpose::Weights, &[1]);
        let learned = encoder.begun(&images, [self.side, self.channels], &mut rng)?;
        let line = format!("patches  learned from {} images", images.len());
        Ok(learned.map(|encoder| (encoder, line)))
    }

    fn abilities(&self) -> Abilities {
        self.network.abilities()
    }

    /// Input `pixels`, `[batch, channels, height, width]`: 0 (black) to 1 (white) if `raw`, else less the mean and over
    /// the deviation of the training images. Output `features`, `[batch, dim]`. A ViT and a dictionary take one size, the others any.
    fn onnx(&self, encoder: &ImageEncoder, raw: bool) -> Result<OnnxModel> {
        let mut onnx = OnnxModel::new("encoder");
        let (height, width) = match encoder {
            ImageEncoder::Vit(_) | ImageEncoder::Patches(_) => {
                (Length::Fixed(self.side), Length::Fixed(self.side))
            }
            _ => (Length::Open("height"), Length::Open("width")),
        };
        let shape = [
            Length::Open("batch"),
            Length::Fixed(self.channels),
            height,
            width,
        ];
        let mut pixels = onnx.input("pixels", &shape);
        let (mean, deviation) = (self.normalization.mean(), self.normalization.deviation());
        if raw {
            let shape = [1, self.channels, 1, 1];
            // Apart from what a network may call by the same names.
            let [mean, deviation] = onnx.within("pixels", |onnx| {
                [("mean", mean), ("deviation", deviation)]
                    .map(|(name, values)| onnx.floats(name, &shape, values))
            });
            pixels = onnx.node("Sub", &[&pixels, &mean], &[]);
            pixels = onnx.node("Div", &[&pixels, &deviation], &[]);
        }
        let features = encoder.draw(&mut onnx, &pixels, self.side);
        let shape = [Length::Open("batch"), Length::Fixed(encoder.dim())];
        onnx.output("features", &features, &shape);
        onnx.note("input", if raw { "0 to 1" } else { "normalized" });
        onnx.note("size", self.side.to_string());
        onnx.note("mean", format!("{mean:?}"));
        onnx.note("deviation", format!("{deviation:?}"));
        Ok(onnx)
    }

    fn sheet(&self, items: &[(u64, Image)], draw: Draw) -> Result<Sheet> {
        let images: Vec<Image> = items.iter().map(|(_, image)| image.clone()).collect();
        let columns = self.slots() * 8usize.div_ceil(self.slots());
        let sheet = views::sheet(
            &images,
            &self.views,
            &self.normalization,
            columns,
            draw.seed,
        )?;
        views::encode_png(&sheet).map(Sheet::Png)
    }

    fn picture(&self, item: &Image, edge: usize) -> Option<Picture> {
        Some(views::fitted(item, edge))
    }

    fn pictures(&self, batch: &ImageBatch) -> Vec<Picture> {
        let [_, size, _, channels] = batch.pixels.dims();
        host(batch.pixels.clone())
            .chunks_exact(size * size * channels)
            .map(|values| views::shown_values(values, size, channels, &self.normalization))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;

    #[test]
    fn views_too_small_for_a_dictionary_are_refused_before_training() {
        let measured = ImageMeasurements {
            channels: 3,
            mean: vec![0.5; 3],
            deviation: vec![0.25; 3],
            side: 96,
        };
        let network = ImageNetwork {
            name: Architecture::Patches,
            patch: 6,
            ..ImageNetwork::default()
        };
        let opened = |sizes: [usize; 2]| {
            let mut views = ImageViews::light(96);
            let crop = views.crops[0].clone();
            views.crops = sizes
                .map(|size| views::Crop {
                    size,
                    ..crop.clone()
                })
                .to_vec();
            Images::new(&views, &network, &measured)
        };
        // A patch every 4 pixels: of 9 there is one, of 10 there are two.
        for (size, fits) in [(96, true), (10, true), (9, false), (5, false)] {
            assert_eq!(opened([96, size]).is_ok(), fits, "{size}");
        }
    }

    #[test]
    fn no_two_numbers_of_a_graph_bear_one_name() {
        let measured = ImageMeasurements {
            channels: 3,
            mean: vec![0.5; 3],
            deviation: vec![0.25; 3],
            side: 16,
        };
        for name in [
            Architecture::Patches,
            Architecture::SmallConv,
            Architecture::ResNet18,
            Architecture::VitTiny,
        ] {
            let network = ImageNetwork {
                name,
                width: 12,
                depth: 1,
                ..ImageNetwork::default()
            };
            let images = Images::new(&ImageViews::light(16), &network, &measured).unwrap();
            let encoder = images.encoder(&mut Init::new(0, &tests_device())).unwrap();
            let onnx = images.onnx(&encoder, true).unwrap();
            let mut names = onnx.names();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{name:?}");
        }
    }
}
