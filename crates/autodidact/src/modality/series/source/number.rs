//! Numbers, and what stands for none, as tables write them.

/// What is written where a value is missing, in small letters.
const MISSING: [&str; 13] = [
    "", "?", "nan", "na", "n/a", "#n/a", "null", "none", "nil", "nat", "-", "--", "missing",
];
/// Larger values are no measurements but marks that loggers leave (1e30, 3.4e38), and their squares have no place in 32
/// bits.
pub(super) const LARGEST: f32 = 1e18;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// A number.
    Number(f32),
    /// Nothing, or a word for it.
    Missing,
    /// A number that can't be one that was measured: infinite, or beyond [`LARGEST`].
    Beyond,
    /// Something else.
    Other,
}

impl Cell {
    /// Reads a field; with `comma` that stands for the decimal point.
    pub(super) fn of(field: &[u8], comma: bool) -> Self {
        let Ok(text) = std::str::from_utf8(field) else {
            return Self::Other;
        };
        let text = text.trim();
        let parsed = match comma && text.contains(',') {
            true => text.replacen(',', ".", 1).parse::<f32>(),
            false => text.parse::<f32>(),
        };
        match parsed {
            Ok(value) if value.is_nan() => Self::Missing,
            Ok(value) if value.abs() > LARGEST => Self::Beyond,
            Ok(value) => Self::Number(value),
            Err(_) => Self::of_word(&text.to_ascii_lowercase()),
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "true" => Self::Number(1.0),
            "false" => Self::Number(0.0),
            word if MISSING.contains(&word) => Self::Missing,
            _ => Self::Other,
        }
    }
}

/// A number as an array holds it; what can't have been measured is missing.
pub(super) fn measured(value: f32) -> f32 {
    if value.abs() > LARGEST {
        f32::NAN
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_words_for_none_and_marks_are_told_apart() {
        for (field, expected) in [
            ("1.5", Cell::Number(1.5)),
            (" -3e-2 ", Cell::Number(-0.03)),
            ("TRUE", Cell::Number(1.0)),
            ("", Cell::Missing),
            ("NaN", Cell::Missing),
            ("?", Cell::Missing),
            ("1e30", Cell::Beyond),
            ("-inf", Cell::Beyond),
            ("1e400", Cell::Beyond),
            ("walk", Cell::Other),
            ("1,5", Cell::Other),
        ] {
            assert_eq!(Cell::of(field.as_bytes(), false), expected, "{field}");
        }
        assert_eq!(Cell::of(b"1,5", true), Cell::Number(1.5));
        assert_eq!(Cell::of(b"1.5", true), Cell::Number(1.5));
        assert_eq!(Cell::of(b"\xff", false), Cell::Other);
        assert!(measured(f32::INFINITY).is_nan() && measured(2.0) == 2.0);
    }
}
