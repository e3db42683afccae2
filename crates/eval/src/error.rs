//! What can be wrong with the numbers handed in.

use std::ops::Range;

/// The result of an evaluation.
pub type Result<T> = std::result::Result<T, EvalError>;

/// Why an evaluation was refused: what was found, what was expected, how to mend it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// There is nothing to evaluate.
    #[error("found no {what}, expected at least one")]
    Empty {
        /// What is missing, in the plural.
        what: &'static str,
    },
    /// The number of values is not that of the shape.
    #[error(
        "found {found} values for a matrix of {rows} rows and {columns} columns, expected rows x columns"
    )]
    Shape {
        /// Number of values handed in.
        found: usize,
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
    },
    /// A feature is NaN or infinite.
    #[error(
        "found {value} in row {row}, column {column}, expected finite features; \
         either the item is damaged or the encoder has diverged"
    )]
    NotFinite {
        /// Row of the first such value, from 0.
        row: usize,
        /// Its column, from 0.
        column: usize,
        /// The value itself.
        value: f32,
    },
    /// Two things which go together item by item have different lengths.
    #[error("found {found} {what}, expected {expected}: one per item")]
    Length {
        /// What is too long or too short.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The number of items.
        expected: usize,
    },
    /// Two matrices hold features of different widths.
    #[error("found {found} columns, expected {expected}; embed both sides with the same encoder")]
    Columns {
        /// Columns of the second matrix.
        found: usize,
        /// Columns of the first matrix.
        expected: usize,
    },
    /// An index points past the last row.
    #[error("found index {index}, expected less than {rows}, the number of rows")]
    Index {
        /// The index.
        index: usize,
        /// The number of rows.
        rows: usize,
    },
    /// A classifier was asked to learn a single class.
    #[error("found only class {class} among the labels, expected two classes at least")]
    OneClass {
        /// The one class present.
        class: u32,
    },
    /// A class has fewer items than are to be drawn or compared.
    #[error("found {found} items of class {class}, expected {expected} at least")]
    FewItems {
        /// The class.
        class: u32,
        /// Its items.
        found: usize,
        /// The items needed.
        expected: usize,
    },
    /// There are fewer rows than the measure needs.
    #[error("found {found} rows, expected {expected} at least")]
    FewRows {
        /// Number of rows.
        found: usize,
        /// The rows needed.
        expected: usize,
    },
    /// A setting is outside its range.
    #[error("found {name} {found}, expected {expected}")]
    Setting {
        /// The name of the setting.
        name: &'static str,
        /// Its value.
        found: f64,
        /// Its range, in words.
        expected: &'static str,
    },
    /// A stretch of a series is empty, or reaches past its end or into another one.
    #[error(
        "found {what} from step {start} to {end} of a series of {steps} steps, expected it inside the series, \
         not empty, and after the one before it"
    )]
    Stretch {
        /// What the stretch is.
        what: &'static str,
        /// Its first step, from 0.
        start: usize,
        /// The step after its last.
        end: usize,
        /// The steps of the series.
        steps: usize,
    },
    /// A computation left the range of its numbers.
    #[error(
        "{what} overflowed, expected features of moderate size; standardize or normalize them first"
    )]
    Overflow {
        /// What was being computed.
        what: &'static str,
    },
}

impl EvalError {
    /// Checks that something with one entry per item has as many as there are items.
    pub(crate) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            Ok(())
        } else {
            Err(Self::Length {
                what,
                found,
                expected,
            })
        }
    }

    /// Checks a setting which must be a positive, finite number.
    pub(crate) fn check_positive(name: &'static str, found: f64) -> Result<()> {
        if found.is_finite() && found > 0. {
            Ok(())
        } else {
            Err(Self::Setting {
                name,
                found,
                expected: "a positive number",
            })
        }
    }

    /// Checks that each stretch lies in a series of so many steps and, but for the first, after the one before it.
    pub(crate) fn check_stretches(
        what: &'static str,
        stretches: &[Range<usize>],
        steps: usize,
    ) -> Result<()> {
        let mut last_end = 0;
        for &Range { start, end } in stretches {
            if start >= end || end > steps || start < last_end {
                return Err(Self::Stretch {
                    what,
                    start,
                    end,
                    steps,
                });
            }
            last_end = end;
        }
        Ok(())
    }

    /// Checks that there are numbers and that all of them are finite.
    pub(crate) fn check_scores(scores: &[f64]) -> Result<()> {
        if scores.is_empty() {
            return Err(Self::Empty { what: "scores" });
        }
        match scores.iter().position(|score| !score.is_finite()) {
            Some(row) => Err(Self::NotFinite {
                row,
                column: 0,
                value: scores[row] as f32,
            }),
            None => Ok(()),
        }
    }

    /// Checks a count which must be one at least.
    pub(crate) fn check_count(name: &'static str, found: usize) -> Result<()> {
        if found > 0 {
            Ok(())
        } else {
            Err(Self::Setting {
                name,
                found: 0.,
                expected: "1 at least",
            })
        }
    }
}
