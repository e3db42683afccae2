//! A dictionary of what occurs often.

use rand::seq::index::sample;
use rayon::prelude::*;

use crate::random::Rng;

/// Rows that a task compares with the whole dictionary.
const CHUNK: usize = 2048;

/// `count` directions of length 1 that rows `[_, width]` lie along: spherical k-means (Dhillon & Modha 2001; Coates & Ng
/// 2012 for whitened patches), from rows drawn at random, by so many rounds. A direction that no row is nearest to begins
/// again at a random row. Rows are few enough to be held; where there are fewer than directions, rows occur twice.
pub fn spherical_kmeans(
    rows: &[f32],
    width: usize,
    count: usize,
    rounds: usize,
    rng: &mut Rng,
) -> Vec<f32> {
    let total = rows.len() / width;
    if total == 0 || count == 0 {
        return Vec::new();
    }
    let row = |index: usize| &rows[index * width..(index + 1) * width];
    let mut directions: Vec<f32> = sample(rng, total, count.min(total))
        .into_iter()
        .cycle()
        .take(count)
        .flat_map(|index| row(index).iter().copied())
        .collect();
    normalize(&mut directions, width);
    for _ in 0..rounds {
        // Sums are made chunk by chunk and joined in order, so that they come out the same on any number of threads.
        let sums: Vec<Vec<f32>> = rows
            .par_chunks(CHUNK * width)
            .map(|chunk| sums_along(chunk, &directions, width))
            .collect();
        let mut next = vec![0.0f32; directions.len()];
        for sum in sums {
            next.iter_mut()
                .zip(sum)
                .for_each(|(next, sum)| *next += sum);
        }
        for direction in next.chunks_exact_mut(width) {
            if direction.iter().all(|x| *x == 0.0) {
                let [index] = sample(rng, total, 1).into_vec()[..] else {
                    continue;
                };
                direction.copy_from_slice(row(index));
            }
        }
        normalize(&mut next, width);
        directions = next;
    }
    directions
}

/// For each direction the sum of the rows nearest to it, by how far they go along it.
fn sums_along(rows: &[f32], directions: &[f32], width: usize) -> Vec<f32> {
    let (total, count) = (rows.len() / width, directions.len() / width);
    let mut along = vec![0.0f32; total * count];
    faer::linalg::matmul::matmul(
        faer::MatMut::from_row_major_slice_mut(&mut along, total, count),
        faer::Accum::Replace,
        faer::MatRef::from_row_major_slice(rows, total, width),
        faer::MatRef::from_row_major_slice(directions, count, width).transpose(),
        1.0,
        // A task is a thread's.
        faer::Par::Seq,
    );
    let mut sums = vec![0.0f32; directions.len()];
    for (row, along) in rows.chunks_exact(width).zip(along.chunks_exact(count)) {
        let mut best = (0, f32::NEG_INFINITY);
        for (index, &length) in along.iter().enumerate() {
            if length > best.1 {
                best = (index, length);
            }
        }
        let sum = &mut sums[best.0 * width..(best.0 + 1) * width];
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += best.1.max(0.0) * value;
        }
    }
    sums
}

fn normalize(rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 1e-12 {
            row.iter_mut().for_each(|x| *x /= length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};
    use rand::RngExt;

    #[test]
    fn directions_are_found_and_the_same_on_any_number_of_threads() {
        let mut rng = stream(1, Purpose::Synthetic, &[]);
        let truth = [[1.0f32, 0.0, 0.0], [0.0, 0.6, 0.8], [-0.6, 0.8, 0.0]];
        let rows: Vec<f32> = (0..6000)
            .flat_map(|index| {
                let length = 1.0 + rng.random::<f32>();
                let noise = [(); 3].map(|()| 0.05 * (rng.random::<f32>() - 0.5));
                let axis = truth[index % 3];
                [0, 1, 2].map(|place| length * axis[place] + noise[place])
            })
            .collect();
        let learn = || spherical_kmeans(&rows, 3, 3, 10, &mut stream(3, Purpose::Weights, &[]));
        let found = learn();
        for axis in truth {
            let best = found
                .chunks(3)
                .map(|direction| direction.iter().zip(axis).map(|(a, b)| a * b).sum::<f32>())
                .fold(f32::NEG_INFINITY, f32::max);
            assert!(best > 0.999, "{axis:?}: {best}");
        }
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(alone.install(learn), found);
    }

    #[test]
    fn few_rows_and_none_are_no_trouble() {
        let mut rng = stream(1, Purpose::Weights, &[]);
        let found = spherical_kmeans(&[3.0, 4.0], 2, 3, 2, &mut rng);
        assert_eq!(found.len(), 6);
        assert!(found.iter().all(|x| x.is_finite()));
        assert!(spherical_kmeans(&[], 2, 3, 2, &mut rng).is_empty());
    }
}
