//! Numbers made uncorrelated and of about equal size.

use faer::{Mat, MatRef, Side};

use crate::error::{Error, Result};

/// x → (x − mean) · map: zero-phase whitening (ZCA; Bell & Sejnowski 1997), which leaves every number where it was as well
/// as uncorrelated numbers can.
#[derive(Debug, Clone, PartialEq)]
pub struct Whitening {
    /// `[width]`.
    pub mean: Vec<f32>,
    /// `[width, width]`, symmetric.
    pub map: Vec<f32>,
}

impl Whitening {
    /// That of `rows`, `[count, width]`. `floor` is added to the variance along each axis, so that what hardly varies isn't
    /// blown up: C^(−½) becomes (C + floor)^(−½).
    ///
    /// # Errors
    /// When there are no rows, or their numbers aren't finite.
    pub fn of(rows: &[f32], width: usize, floor: f64) -> Result<Self> {
        let count = rows.len() / width.max(1);
        if count == 0 {
            return Err(Error::data("nothing to whiten").expected("at least one row"));
        }
        let rows = MatRef::from_row_major_slice(rows, count, width);
        let ones = Mat::from_fn(1, count, |_, _| 1.0 / count as f32);
        let mean = &ones * rows;
        let second = rows.transpose() * rows;
        let covariance = Mat::from_fn(width, width, |i, j| {
            f64::from(second[(i, j)]) / count as f64
                - f64::from(mean[(0, i)]) * f64::from(mean[(0, j)])
        });
        let axes = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| {
            Error::data("numbers whose covariance has no axes").expected("finite numbers")
        })?;
        let scaled = Mat::from_fn(width, width, |i, j| {
            axes.U()[(i, j)] / (axes.S()[j].max(0.0) + floor).sqrt()
        });
        let map = &scaled * axes.U().transpose();
        Ok(Self {
            mean: (0..width).map(|i| mean[(0, i)]).collect(),
            map: (0..width * width)
                .map(|at| map[(at / width, at % width)] as f32)
                .collect(),
        })
    }

    /// `rows`, `[count, width]`, whitened.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let centered: Vec<f32> = rows
            .chunks_exact(self.mean.len())
            .flat_map(|row| row.iter().zip(&self.mean).map(|(x, mean)| x - mean))
            .collect();
        self.turn(&centered)
    }

    /// Directions, `[count, width]`, times the map: what is along one of whitened rows is along this one of rows as they
    /// are, since the map is symmetric.
    pub fn turn(&self, directions: &[f32]) -> Vec<f32> {
        let width = self.mean.len();
        let count = directions.len() / width;
        let mut turned = vec![0.0; count * width];
        faer::linalg::matmul::matmul(
            faer::MatMut::from_row_major_slice_mut(&mut turned, count, width),
            faer::Accum::Replace,
            MatRef::from_row_major_slice(directions, count, width),
            MatRef::from_row_major_slice(&self.map, width, width),
            1.0,
            faer::get_global_parallelism(),
        );
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};
    use rand::RngExt;

    #[test]
    fn what_is_whitened_has_no_covariance_left() {
        let mut rng = stream(0, Purpose::Synthetic, &[]);
        let rows: Vec<f32> = (0..4000)
            .flat_map(|_| {
                let [a, b, c]: [f32; 3] = [rng.random(), rng.random(), rng.random()];
                [a + 3.0, a + 0.3 * b, 5.0 * c - a]
            })
            .collect();
        let whitening = Whitening::of(&rows, 3, 0.0).unwrap();
        let white = whitening.apply(&rows);
        for i in 0..3 {
            for j in 0..3 {
                let mean: f32 = white.chunks(3).map(|row| row[i] * row[j]).sum::<f32>() / 4000.0;
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((mean - expected).abs() < 1e-2, "{i} {j}: {mean}");
                let there = (whitening.map[3 * i + j], whitening.map[3 * j + i]);
                assert!((there.0 - there.1).abs() < 1e-4, "{there:?}");
            }
        }
        // What doesn't vary stays finite.
        let flat = Whitening::of(&[1.0; 12], 3, 0.1).unwrap();
        assert!(flat.apply(&[1.0, 2.0, 3.0]).iter().all(|x| x.is_finite()));
        assert!(Whitening::of(&[], 3, 0.1).is_err());
    }
}
