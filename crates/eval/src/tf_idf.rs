//! Counts of words, weighted by how rare each word is: the baseline of texts.
//!
//! `x = n · (ln((1 + N) / (1 + d)) + 1)`, n being the count of a word in a text and d the number of the N training texts
//! that have it; each text is then divided by its length. Spärck Jones, *A Statistical Interpretation of Term Specificity
//! and Its Application in Retrieval* (1972), smoothed as scikit-learn does it.

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// Training and test texts `[texts, words]` of counts, weighted by the training texts.
///
/// # Errors
///
/// If their columns differ.
pub fn tf_idf(train: &Matrix, test: &Matrix) -> Result<(Matrix, Matrix)> {
    train.check_columns(test)?;
    let having = train.column_sums(|_, count| f64::from(u8::from(count > 0.)));
    let texts = train.rows() as f64;
    let rarity: Vec<f64> = having
        .iter()
        .map(|having| ((1. + texts) / (1. + having)).ln() + 1.)
        .collect();
    let weigh = |counts: &Matrix| {
        let data: Vec<f32> = counts
            .data()
            .chunks_exact(counts.columns())
            .flat_map(|row| {
                row.iter()
                    .zip(&rarity)
                    .map(|(&count, rarity)| (f64::from(count) * rarity) as f32)
            })
            .collect();
        Matrix::from_vec(counts.rows(), counts.columns(), data)
            .map(|weighted| weighted.normalized_rows())
            .map_err(|_| EvalError::Overflow {
                what: "the weighted counts",
            })
    };
    Ok((weigh(train)?, weigh(test)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_weigh_more_and_texts_are_of_one_length() {
        let train = Matrix::from_vec(3, 2, vec![1., 0., 1., 0., 1., 2.]).unwrap();
        let test = Matrix::from_vec(2, 2, vec![1., 1., 0., 0.]).unwrap();
        let (train, test) = tf_idf(&train, &test).unwrap();
        let rare = (4f64 / 2.).ln() + 1.;
        let length = (1. + rare * rare).sqrt();
        assert!((f64::from(test.row(0)[0]) - 1. / length).abs() < 1e-6);
        assert!((f64::from(test.row(0)[1]) - rare / length).abs() < 1e-6);
        assert_eq!((train.row(0), test.row(1)), (&[1., 0.][..], &[0., 0.][..]));
    }
}
