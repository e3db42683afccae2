use super::*;
use rayon::prelude::*;

#[test]
fn a_drawing_is_named_by_seed_part_and_index() {
    let train = Synthetic::new(3, Part::Train, 0);
    let test = Synthetic::new(3, Part::Test, 0);
    assert_eq!((train.len(), test.len()), (20_000, 4_000));
    assert_eq!(train.name(12), "synthetic/train/00012");
    assert_eq!(
        train.draw(7).unwrap(),
        Synthetic::new(3, Part::Train, 50).draw(7).unwrap()
    );
    assert_ne!(train.draw(7).unwrap(), test.draw(7).unwrap());
    assert_ne!(train.draw(7).unwrap(), train.draw(17).unwrap());
    assert_ne!(
        train.draw(7).unwrap(),
        Synthetic::new(4, Part::Train, 0).draw(7).unwrap()
    );
    assert_eq!(train.labels().of[7], Some(7));
}

/// Standardized pixels of unit length, and the class of each image.
fn vectors(set: &Synthetic) -> Vec<Vec<f32>> {
    let images: Vec<Image> = (0..set.len())
        .into_par_iter()
        .map(|index| set.draw(index).unwrap())
        .collect();
    let count = (images.len() * SIDE * SIDE) as f64;
    let mut mean = [0.0f64; 3];
    let mut square = [0.0f64; 3];
    for (at, &value) in images
        .iter()
        .flat_map(|image| image.pixels().iter().enumerate())
    {
        mean[at % 3] += f64::from(value) / count;
        square[at % 3] += f64::from(value).powi(2) / count;
    }
    let unit = |image: &Image| {
        let values = image.pixels().iter().enumerate().map(|(at, &value)| {
            let c = at % 3;
            ((f64::from(value) - mean[c]) / (square[c] - mean[c] * mean[c]).sqrt()) as f32
        });
        let values: Vec<f32> = values.collect();
        let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.into_iter().map(|value| value / norm).collect()
    };
    images.iter().map(unit).collect()
}

/// What pixels alone tell: above chance, so that there is something to see, and far below what shapes allow (about a
/// quarter at this size, 30 % among 10,000; the recipe `images/synthetic` tells what a representation reaches).
#[test]
fn pixel_neighbors_are_above_twice_chance_and_below_a_representation() {
    let train = vectors(&Synthetic::new(0, Part::Train, 5_000));
    let test = vectors(&Synthetic::new(0, Part::Test, 2_500));
    let right = test
        .par_iter()
        .enumerate()
        .filter(|(index, query)| {
            let mut near: Vec<(f32, usize)> = train
                .iter()
                .enumerate()
                .map(|(other, key)| {
                    (
                        key.iter().zip(*query).map(|(a, b)| a * b).sum::<f32>(),
                        other % 10,
                    )
                })
                .collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut votes = [0.0f32; 10];
            for (similarity, class) in &near[..20] {
                votes[*class] += (similarity / 0.07).exp();
            }
            let best = (0..10)
                .max_by(|&a, &b| votes[a].total_cmp(&votes[b]))
                .unwrap();
            best == index % 10
        })
        .count();
    let accuracy = right as f64 / test.len() as f64;
    assert!(
        (0.2..0.4).contains(&accuracy),
        "pixel neighbors are right for {accuracy:.3}"
    );
}
