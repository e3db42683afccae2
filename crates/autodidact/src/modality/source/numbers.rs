//! Whether a text is a table of numbers rather than prose, words or a list of files, told without knowing how it is written.

use std::io::Read;
use std::path::Path;

use super::packed::unpacked;
use super::storage::Member;
use crate::error::{AtPath, Result};

/// Bytes at the start of a file that are looked at.
const HEAD: u64 = 1 << 14;
/// Lines of them.
const LOOKED_AT: usize = 100;
/// The part of the fields that are numbers, or times, in a table of numbers.
const SHARE: f64 = 0.6;
/// What stands for a number that is missing, in small letters.
const MISSING: [&str; 5] = ["?", "nan", "na", "null", "none"];
/// Endings of files that a list may name.
const FILES: [&str; 8] = [
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff",
];

/// Whether a text is a table of numbers, by its beginning.
///
/// # Errors
/// When it can't be read.
pub(in crate::modality) fn holds_numbers(member: &Member) -> Result<bool> {
    let (stream, _) = unpacked(member)?;
    let mut head = Vec::new();
    stream
        .take(HEAD)
        .read_to_end(&mut head)
        .at_path(&member.shown)?;
    Ok(are_numbers(&head))
}

/// The same of a file by its path; no where it can't be read.
pub(in crate::modality) fn is_table_of_numbers(path: &Path) -> bool {
    holds_numbers(&Member::of_file(path)).unwrap_or(false)
}

fn are_numbers(head: &[u8]) -> bool {
    if head.contains(&0) {
        return false;
    }
    let text = String::from_utf8_lossy(head);
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with(['#', '%', '@']));
    // The first may be a header, the last be cut short.
    let lines: Vec<&str> = lines.take(LOOKED_AT).collect();
    let lines = lines.get(1..).unwrap_or_default();
    let fields: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split([',', ';', '|', '\t', ' ']))
        .map(|field| field.trim().trim_matches('"'))
        .filter(|field| !field.is_empty())
        .collect();
    let names_file = |field: &&str| {
        let field = field.to_ascii_lowercase();
        FILES.iter().any(|ending| field.ends_with(ending))
    };
    let numbers = fields.iter().filter(|field| is_number(field)).count();
    !fields.is_empty()
        && numbers as f64 >= SHARE * fields.len() as f64
        && !fields.iter().any(names_file)
}

/// Whether a field is a number, a date, a time of day, or stands for a missing number.
fn is_number(field: &str) -> bool {
    let of_numbers = |c: char| c.is_ascii_digit() || "+-.eE:/TZ()".contains(c);
    let number = field.contains(|c: char| c.is_ascii_digit()) && field.chars().all(of_numbers);
    number || MISSING.contains(&field.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_numbers_are_told_from_other_texts() {
        for (text, expected) in [
            ("x,y\n1,2\n,4\n", true),
            ("1\t-0.5\t2e-3\n2\t1\t?\n", true),
            (
                "time;x\n2014-04-01 00:00:00;20,5\n2014-04-01 00:05:00;NaN\n",
                true,
            ),
            ("normal\n\t-1\t63\n\t0\t62\n\nlost\n", true),
            ("S1,S2,S3,OUTPUT\n1,2,3,Sharp-Turn\n", true),
            (
                "Of man's first disobedience,\nand the fruit of that\n",
                false,
            ),
            ("file,x,y,z\n1.png,1,2,3\n", false),
            ("name,label\na,1\nb,2\n", false),
            ("x,y\n", false),
            ("", false),
            ("a\n1\x002", false),
        ] {
            assert_eq!(are_numbers(text.as_bytes()), expected, "{text:?}");
        }
    }
}
