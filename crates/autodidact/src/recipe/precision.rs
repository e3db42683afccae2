//! `train.precision`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// In which precision convolutions and linear layers multiply while training. Weights and their updates are `f32` in
/// both, and so is everything after training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bf16 and products summed in `f32`, on processors that have instructions for it.
    Bf16,
}

impl Precision {
    /// What the kernels call it.
    pub(crate) fn of_kernels(self) -> autodidact_kernels::Precision {
        match self {
            Self::F32 => autodidact_kernels::Precision::F32,
            Self::Bf16 => autodidact_kernels::Precision::Bf16,
        }
    }

    /// A line for people: what this comes to on this machine.
    pub(crate) fn describe(self, device: &str) -> String {
        match (self, self.of_kernels().instructions()) {
            (Self::F32, _) => "f32".to_owned(),
            (Self::Bf16, _) if device != "cpu" => {
                format!("f32, since {device} has no bf16 yet; it is for the device cpu")
            }
            (Self::Bf16, Some(instructions)) => {
                format!(
                    "bf16 into f32 in convolutions and linear layers where that is faster ({instructions}), f32 in all else"
                )
            }
            (Self::Bf16, None) => {
                "f32, since this processor has no bf16: neither AMX nor AVX512-BF16".to_owned()
            }
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::F32, Self::Bf16]
            .into_iter()
            .find(|precision| precision.to_string() == text)
            .ok_or_else(|| {
                Error::recipe(format!("`{text}` for a precision")).expected("f32 or bf16")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_reads_as_it_is_written() {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(
                precision.to_string().parse::<Precision>().unwrap(),
                precision
            );
            let value = toml::Value::try_from(precision).unwrap();
            assert_eq!(value.as_str(), Some(precision.to_string().as_str()));
        }
        assert!("f16".parse::<Precision>().is_err());
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(Precision::F32.describe("cpu"), "f32");
        assert!(
            Precision::Bf16
                .describe("wgpu")
                .starts_with("f32, since wgpu")
        );
        let instructions = autodidact_kernels::Precision::Bf16.instructions();
        let expected = if instructions.is_some() {
            "bf16"
        } else {
            "f32, since"
        };
        assert!(Precision::Bf16.describe("cpu").starts_with(expected));
    }
}
