//! Sentences: where a text may be parted so that what follows is really the next.

/// What ends a sentence before white space.
const STOPS: [char; 4] = ['.', '!', '?', '…'];
/// What ends a sentence without any, in scripts that have none.
const WIDE_STOPS: [char; 3] = ['。', '！', '？'];
/// What may stand between the stop and the white space.
const CLOSING: [char; 8] = ['"', '\'', ')', ']', '”', '’', '»', '}'];

/// The sentences of a text, in order and without gaps: white space belongs to the sentence after it, as byte-level
/// tokenizers have it.
///
/// A sentence ends with its line, or with a stop that white space and no small letter follow, unless that is the stop of
/// an initial (`J. Doe`). Other abbreviations (`Mr. Doe`) end one where they shouldn't.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    // Whether anything was said since, and whether it may have come to its end.
    let (mut said, mut ended) = (false, false);
    // What stands right before, and before that.
    let mut before = [' ', ' '];
    for (at, letter) in text.char_indices() {
        let line_ends = letter == '\n' && said;
        let stop_counts = ended && letter.is_whitespace() && !small_letter_follows(&text[at..]);
        if line_ends || stop_counts {
            found.push(&text[from..at]);
            (from, said, ended) = (at, false, false);
        } else if letter.is_whitespace() {
            ended = false;
        } else if WIDE_STOPS.contains(&letter) && said {
            let end = at + letter.len_utf8();
            found.push(&text[from..end]);
            (from, said, ended) = (end, false, false);
        } else {
            let initial = before[0].is_uppercase() && !before[1].is_alphanumeric();
            ended = match letter {
                '.' => said && !initial,
                stop if STOPS.contains(&stop) => said,
                closing if CLOSING.contains(&closing) => ended,
                _ => false,
            };
            said = true;
        }
        before = [letter, before[0]];
    }
    if said || found.is_empty() {
        found.push(&text[from..]);
    } else if let Some(last) = found.last_mut() {
        // White space at the end of all belongs to the last.
        *last = &text[from - last.len()..];
    }
    found
}

fn small_letter_follows(text: &str) -> bool {
    let next = text.trim_start().chars().next();
    next.is_some_and(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(text: &str) -> Vec<&str> {
        let found = sentences(text);
        assert_eq!(found.concat(), text);
        found.into_iter().map(str::trim).collect()
    }

    #[test]
    fn a_text_is_parted_at_stops_and_lines() {
        assert_eq!(
            parted(
                "He left. \"Why?\" she asked!  Nobody (not even J. Doe.) knew, at 3.50 e.g. then\nA new line\n\n"
            ),
            [
                "He left.",
                "\"Why?\" she asked!",
                "Nobody (not even J. Doe.) knew, at 3.50 e.g. then",
                "A new line",
            ]
        );
        // As Wikipedia's texts are published: signs stand apart.
        assert_eq!(
            parted(" = A heading = \n \n It began . It ended , as such things do . \n"),
            [
                "= A heading =",
                "It began .",
                "It ended , as such things do ."
            ]
        );
        assert_eq!(parted("你好。世界！"), ["你好。", "世界！"]);
        assert_eq!(parted("... and so on"), ["... and so on"]);
        for nothing in ["", " ", "\n\n", "no end"] {
            assert_eq!(sentences(nothing), [nothing]);
        }
    }
}
