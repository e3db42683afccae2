//! Filling a table's defaults in, and saying which key was meant.

use toml::{Table as Toml, Value};

use crate::error::{Error, Result};
use crate::modality::Table;

/// `defaults`, with what the user wrote laid over them. Tables are joined key by key; everything else is replaced.
///
/// # Errors
/// Names the key that isn't one and the nearest that is, or the value that doesn't fit.
pub fn fill<T: Table>(defaults: &T, user: Option<&Toml>, section: &str) -> Result<T> {
    let Some(user) = user else {
        return Ok(defaults.clone());
    };
    let mut table = Value::try_from(defaults).map_err(|error| {
        Error::recipe(format!("[{section}] whose defaults TOML can't hold")).because(error)
    })?;
    if let Some(table) = table.as_table_mut() {
        lay_over(table, user);
    }
    table.try_into().map_err(|error: toml::de::Error| {
        // Serde doesn't say which value doesn't fit: the one that doesn't fit alone either.
        let misfit = user.iter().find_map(|(key, value)| {
            let mut table = Toml::try_from(defaults).ok()?;
            lay_over(&mut table, &Toml::from_iter([(key.clone(), value.clone())]));
            let error = table.try_into::<T>().err()?;
            Some((key, error))
        });
        match misfit {
            Some((key, error)) if !error.message().starts_with("unknown field") => {
                let found = error.message().trim();
                Error::recipe(format!("{}: {found}", place(section, key)))
            }
            _ => explain(&error, section),
        }
    })
}

fn lay_over(below: &mut Toml, above: &Toml) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            // 1 is a good way to write 1.0.
            (Some(slot @ Value::Float(_)), Value::Integer(whole)) => {
                *slot = Value::Float(*whole as f64)
            }
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Serde's message, made into one of ours.
fn explain(error: &toml::de::Error, section: &str) -> Error {
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((key, known)) if message.starts_with("unknown field") => {
            unknown_key(key, known, section)
        }
        _ => Error::recipe(format!("[{section}] {}", message.trim())),
    }
}

/// A key as it is written on the command line.
fn place(section: &str, key: &str) -> String {
    match section {
        "" => key.to_owned(),
        _ => format!("{section}.{key}"),
    }
}

/// An error for a key that isn't one, with the nearest that is.
pub(super) fn unknown_key(key: &str, known: &[&str], section: &str) -> Error {
    let mut error =
        Error::recipe(format!("unknown key `{}`", place(section, key))).expected(known.join(", "));
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(name, key), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, name)) = nearest.filter(|(likeness, _)| *likeness > 0.7) {
        error = error.mend(format!("did you mean `{}`?", place(section, name)));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        rate: f64,
        inner: Inner,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        width: usize,
        depth: usize,
    }

    fn outer() -> Outer {
        Outer {
            rate: 0.5,
            inner: Inner { width: 1, depth: 2 },
        }
    }

    #[test]
    fn what_is_written_wins_and_the_rest_stays() {
        let user: Toml = "rate = 2\n[inner]\nwidth = 7".parse().unwrap();
        let filled = fill(&outer(), Some(&user), "train").unwrap();
        assert_eq!(
            (filled.rate, filled.inner.width, filled.inner.depth),
            (2.0, 7, 2)
        );
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let user: Toml = "rate = 2\ninner = { width = \"wide\" }".parse().unwrap();
        let error = fill(&outer(), Some(&user), "train").unwrap_err();
        assert!(error.to_string().contains("train.inner: "), "{error}");
        assert!(error.to_string().contains("\"wide\""), "{error}");
    }

    #[test]
    fn a_misspelled_key_names_the_nearest() {
        let user: Toml = "[inner]\nwidht = 7".parse().unwrap();
        let error = fill(&outer(), Some(&user), "train").unwrap_err();
        assert!(error.to_string().contains("widht"), "{error}");
        assert!(
            error.remedy().unwrap().contains("width"),
            "{:?}",
            error.remedy()
        );
    }
}
