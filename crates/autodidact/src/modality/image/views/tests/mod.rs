//! The views against torchvision's and Pillow's figures: `reference.py` makes `reference.json`.

mod distributions;
mod operations;
mod shapes;

use serde::Deserialize;

use crate::modality::image::Image;

#[derive(Deserialize)]
struct Reference {
    width: usize,
    height: usize,
    source: Vec<u8>,
    cases: Vec<Case>,
    statistics: Vec<Statistics>,
    pixels: Pixels,
}

/// What one operation makes of the image, or of its upper left 8 × 8 pixels.
#[derive(Deserialize)]
struct Case {
    name: String,
    parameters: Vec<f32>,
    values: Vec<f32>,
}

/// Mean and the quantiles 5, 25, 50, 75 and 95 % over many draws.
#[derive(Deserialize)]
struct Statistics {
    name: String,
    parameters: Vec<f32>,
    area: [f64; 6],
    aspect: [f64; 6],
    x: [f64; 6],
    y: [f64; 6],
}

#[derive(Deserialize)]
struct Pixels {
    mean: [f64; 3],
    deviation: [f64; 3],
    inside: [f64; 3],
}

impl Reference {
    fn read() -> Self {
        serde_json::from_str(include_str!("../reference.json")).unwrap()
    }

    fn image(&self) -> Image {
        Image::new(self.width, self.height, 3, self.source.clone()).unwrap()
    }

    /// The left part of the image that is as wide as high.
    fn square(&self) -> Image {
        let rows = self.source.chunks_exact(self.width * 3);
        let pixels: Vec<u8> = rows
            .flat_map(|row| &row[..self.height * 3])
            .copied()
            .collect();
        Image::new(self.height, self.height, 3, pixels).unwrap()
    }
}
