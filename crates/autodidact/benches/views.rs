//! Two SimCLR views of a decoded image on one thread: images per second.
//!
//! `cargo bench -p autodidact --bench views [-- --sheet FILE.png]`
//!
//! Prints a line of JSON for each size. `xtask/torch/views.py` does the same with torchvision and albumentations on the
//! same picture; `--sheet` writes what it made of it, to be laid beside theirs.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::hint::black_box;
use std::time::Instant;

use autodidact::modality::image::views::{encode_png, sheet};
use autodidact::modality::image::{Image, ImageViews, Normalization};
use autodidact::random::{Purpose, stream};

/// Rounds of each measurement; the middle one counts.
const ROUNDS: usize = 7;
/// Seconds of a round.
const SECONDS: f64 = 0.7;

fn main() -> autodidact::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments
        .iter()
        .position(|argument| argument == "--sheet")
        .and_then(|at| arguments.get(at + 1));
    for (width, height, size) in [(32, 32, 32), (500, 375, 224)] {
        let image = picture(width, height)?;
        let views = ImageViews::strong(size);
        let normalization = Normalization::imagenet();
        let mut item = 0;
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let begin = Instant::now();
                let mut images = 0;
                while begin.elapsed().as_secs_f64() < SECONDS {
                    for slot in 0..2 {
                        let mut rng = stream(0, Purpose::View, &[item, slot as u64]);
                        black_box(views.draw(&image, slot, &mut rng, &normalization, 3));
                    }
                    item += 1;
                    images += 1;
                }
                f64::from(images) / begin.elapsed().as_secs_f64()
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!(
            "{{\"pipeline\": \"autodidact\", \"image\": [{width}, {height}], \"view\": {size}, \"images_per_second\": {:.1}, \
             \"least\": {:.1}, \"most\": {:.1}}}",
            rounds[ROUNDS / 2],
            rounds[0],
            rounds[ROUNDS - 1],
        );
        let mut sums = [0.0; 2];
        let draws = 400;
        for i in 0..draws {
            let mut rng = stream(1, Purpose::View, &[i]);
            let view = views.draw(&image, 0, &mut rng, &normalization, 3);
            let n = view.pixels.len() as f64;
            let mean = view.pixels.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let square = view
                .pixels
                .iter()
                .map(|&x| f64::from(x).powi(2))
                .sum::<f64>()
                / n;
            sums[0] += mean / draws as f64;
            sums[1] += (square - mean * mean).sqrt() / draws as f64;
        }
        println!(
            "{{\"pipeline\": \"autodidact\", \"view\": {size}, \"mean\": {:.4}, \"deviation\": {:.4}}}",
            sums[0], sums[1]
        );
        if let (Some(file), 224) = (file, size) {
            let rows = vec![image; 4];
            let drawn = sheet(&rows, &views, &normalization, 8, 0)?;
            std::fs::write(file, encode_png(&drawn)?)
                .map_err(|error| autodidact::Error::io(file, error))?;
        }
    }
    Ok(())
}

/// A picture with edges, textures and colors, by the same formula as in `views.py`.
fn picture(width: usize, height: usize) -> autodidact::Result<Image> {
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f64 / width as f64, y as f64 / height as f64);
            let wave = (40.0 * u * v).sin();
            let ring = ((u - 0.6).powi(2) + (v - 0.4).powi(2)).sqrt();
            let inside = if ring < 0.25 { 70.0 } else { 0.0 };
            let level = [
                90.0 + 60.0 * u + 40.0 * wave + inside,
                120.0 + 50.0 * v - 30.0 * wave,
                80.0 + 60.0 * (9.0 * u).cos() + inside * 0.5,
            ];
            pixels.extend(level.map(|level| level.clamp(0.0, 255.0) as u8));
        }
    }
    Image::new(width, height, 3, pixels)
}
