//! Counts of words, weighted by how rare each word is: the baseline of texts. Words are numbers, such as hashes of them, and
//! those that most of the training texts have are [`Columns`].
//!
//! `x = n · (ln((1 + N) / (1 + d)) + 1)`, n being the count of a word in a text and d the number of the N training texts
//! that have it; each text is then divided by its length. Spärck Jones, *A Statistical Interpretation of Term Specificity
//! and Its Application in Retrieval* (1972), smoothed as scikit-learn does it.

use std::cmp::Reverse;
use std::collections::HashMap;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::matrix::{Matrix, normalize};

/// Which words are columns of a matrix of counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Ascending.
    words: Vec<u64>,
}

impl Columns {
    /// The words that stand in most of some texts, so many of them at most; of those in equally many the lower numbers. A text
    /// is its words, each as often as it stands there, in any order.
    ///
    /// ```
    /// # use autodidact_eval::tf_idf::Columns;
    /// let columns = Columns::of(&[vec![7, 3], vec![7, 5, 5]], 2);
    /// assert_eq!(columns.count(&[vec![7, 3, 9, 7]])?.row(0), [1., 2.]);
    /// # Ok::<(), autodidact_eval::EvalError>(())
    /// ```
    pub fn of(texts: &[Vec<u64>], most: usize) -> Self {
        let mut having: HashMap<u64, usize> = HashMap::new();
        let mut distinct: Vec<u64> = Vec::new();
        for text in texts {
            distinct.clone_from(text);
            distinct.sort_unstable();
            distinct.dedup();
            for &word in &distinct {
                *having.entry(word).or_default() += 1;
            }
        }
        let mut common: Vec<(u64, usize)> = having.into_iter().collect();
        common.sort_unstable_by_key(|&(word, having)| (Reverse(having), word));
        common.truncate(most);
        let mut words: Vec<u64> = common.into_iter().map(|(word, _)| word).collect();
        words.sort_unstable();
        Self { words }
    }

    /// How often each of these words stands in each of some texts, `[texts, words]`, the words ascending; other words are left
    /// out. Where there are no words at all it is one column of zeros, since a matrix is never empty.
    ///
    /// # Errors
    ///
    /// If there are no texts.
    pub fn count(&self, texts: &[Vec<u64>]) -> Result<Matrix> {
        let columns = self.words.len().max(1);
        let mut data = vec![0f32; texts.len() * columns];
        data.par_chunks_exact_mut(columns)
            .zip(texts)
            .for_each(|(row, text)| {
                for word in text {
                    if let Ok(column) = self.words.binary_search(word) {
                        row[column] += 1.;
                    }
                }
            });
        Matrix::from_vec(texts.len(), columns, data)
    }
}

/// Training and test texts `[texts, words]` of counts, weighted by the training texts, each in the place of its counts: of
/// many texts a copy would take as much memory again.
///
/// # Errors
///
/// If their columns differ, or counts are so large that weighted ones overflow.
pub fn tf_idf(train: Matrix, test: Matrix) -> Result<(Matrix, Matrix)> {
    train.check_columns(&test)?;
    let having = train.column_sums(|_, count| f64::from(u8::from(count > 0.)));
    let texts = train.rows() as f64;
    let rarity: Vec<f64> = having
        .iter()
        .map(|having| ((1. + texts) / (1. + having)).ln() + 1.)
        .collect();
    let weigh = |counts: Matrix| {
        let (rows, columns) = (counts.rows(), counts.columns());
        let mut data = counts.into_data();
        data.par_chunks_exact_mut(columns).for_each(|row| {
            for (value, rarity) in row.iter_mut().zip(&rarity) {
                *value = (f64::from(*value) * rarity) as f32;
            }
            // What overflowed is NaN after that.
            normalize(row);
        });
        Matrix::from_vec(rows, columns, data).map_err(|_| EvalError::Overflow {
            what: "the weighted counts",
        })
    };
    Ok((weigh(train)?, weigh(test)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_the_words_that_most_texts_have() {
        // 9 stands there most often, but in one text alone.
        let texts = [vec![4, 2, 9, 9, 9, 9], vec![2, 4, 8], vec![8, 2, 6]];
        let chosen = |most| Columns::of(&texts, most).words;
        assert_eq!(chosen(1), [2]);
        // Of 4 and 8, in two texts each, and of 6 and 9, in one each, the lower comes first.
        assert_eq!(chosen(2), [2, 4]);
        assert_eq!(chosen(4), [2, 4, 6, 8]);
        assert_eq!(chosen(100), [2, 4, 6, 8, 9]);
    }

    #[test]
    fn words_are_counted_as_often_as_they_stand_there_and_unknown_ones_are_left_out() {
        let columns = Columns::of(&[vec![u64::MAX, 5], vec![5]], 8192);
        let counts = columns.count(&[vec![5, 7, 5, u64::MAX], vec![7], vec![]]);
        assert_eq!(counts.unwrap().data(), [2., 1., 0., 0., 0., 0.]);
        assert_eq!(columns.count(&[]), Err(EvalError::Empty { what: "rows" }));
    }

    #[test]
    fn texts_without_words_have_one_column_that_says_nothing() {
        for (texts, most) in [(vec![Vec::new(); 3], 8192), (vec![vec![1]; 3], 0)] {
            let counts = Columns::of(&texts, most).count(&texts).unwrap();
            assert_eq!((counts.rows(), counts.columns()), (3, 1));
            let (train, test) = tf_idf(counts.clone(), counts).unwrap();
            assert_eq!((train.data(), test.data()), (&[0.; 3][..], &[0.; 3][..]));
        }
    }

    #[test]
    fn rare_words_weigh_more_and_texts_are_of_one_length() {
        let train = Matrix::from_vec(3, 2, vec![1., 0., 1., 0., 1., 2.]).unwrap();
        let test = Matrix::from_vec(2, 2, vec![1., 1., 0., 0.]).unwrap();
        let places = [&train, &test].map(|counts| counts.data().as_ptr());
        let (train, test) = tf_idf(train, test).unwrap();
        assert_eq!([&train, &test].map(|counts| counts.data().as_ptr()), places);
        let rare = (4f64 / 2.).ln() + 1.;
        let length = (1. + rare * rare).sqrt();
        assert!((f64::from(test.row(0)[0]) - 1. / length).abs() < 1e-6);
        assert!((f64::from(test.row(0)[1]) - rare / length).abs() < 1e-6);
        assert_eq!((train.row(0), test.row(1)), (&[1., 0.][..], &[0., 0.][..]));
    }

    #[test]
    fn counts_that_are_too_large_to_be_weighted_are_refused() {
        let train = Matrix::from_vec(2, 2, vec![1., 1., 1., 0.]).unwrap();
        let test = Matrix::from_vec(1, 2, vec![1., f32::MAX]).unwrap();
        let what = "the weighted counts";
        assert_eq!(tf_idf(train, test), Err(EvalError::Overflow { what }));
    }
}
