//! What turns an encoder's vectors into probabilities of classes.

use std::collections::HashMap;

use autodidact_eval::{EvalError, Matrix, calibration};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layers::state::{Array, State};
use crate::run::{RunFolder, read_weights, write_weights};

/// The file in a run's folder.
const FILE: &str = "classifier.safetensors";
/// Key of what isn't an array among the file's notes. One note, since the order of several is left to chance, and the
/// same classifier is to be the same bytes.
const NOTE: &str = "autodidact.classifier";

/// What isn't an array.
#[derive(Serialize, Deserialize)]
struct Note {
    classes: Vec<String>,
    temperature: f64,
}

/// A linear layer over an encoder's vectors, with the names of its classes and the temperature that makes its
/// probabilities honest.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// What scores are divided by before they become probabilities; 1 where there was nothing to calibrate on.
    pub temperature: f64,
    /// `[classes, dimensions]`.
    weight: Matrix,
    /// One for each class.
    bias: Vec<f32>,
}

impl Classifier {
    /// The classifier among everything that a run of the method `supervised` has learned.
    ///
    /// # Errors
    /// When there is none, or it has fewer places than there are classes.
    pub(super) fn of(learned: &State, classes: Vec<String>) -> Result<Self> {
        let array = |part: &str| {
            let name = format!("model.classifier.{part}");
            learned.get(&name).ok_or_else(|| {
                Error::run(format!("no `{name}`")).expected("a run that learned from labels")
            })
        };
        Self::new(classes, 1.0, array("weight")?, array("bias")?)
    }

    fn new(classes: Vec<String>, temperature: f64, weight: &Array, bias: &Array) -> Result<Self> {
        let unfit = || {
            Error::run(format!(
                "a classifier of shapes {:?} and {:?} for {} classes",
                weight.shape,
                bias.shape,
                classes.len()
            ))
            .expected("a row of weights and a bias for each class")
        };
        let (count, [places, dim]) = match weight.shape[..] {
            [places, dim] => (classes.len(), [places, dim]),
            _ => return Err(unfit()),
        };
        let fits = bias.shape == [places] && count > 0 && count <= places;
        let divides = temperature.is_finite() && temperature > 0.0;
        if !(fits && divides) {
            return Err(unfit());
        }
        // Room beyond the classes that there are is never right.
        let rows = weight.values.get(..count * dim).ok_or_else(unfit)?.to_vec();
        Ok(Self {
            weight: Matrix::from_vec(count, dim, rows).map_err(|error| unfit().because(error))?,
            bias: bias.values[..count].to_vec(),
            classes,
            temperature,
        })
    }

    /// Reads a run's classifier.
    ///
    /// # Errors
    /// When the run has none, or the file is damaged.
    pub fn read(folder: &RunFolder) -> Result<Self> {
        let path = folder.file(FILE);
        if !path.is_file() {
            let run = folder.path().display();
            return Err(Error::run("this run has no classifier")
                .at(folder.path())
                .expected("a run that learned from labels")
                .mend(format!("`autodidact finetune {run} LABELED` makes one")));
        }
        let (state, notes) = read_weights(&path)?;
        let broken = || {
            Error::run("no whole classifier")
                .at(&path)
                .mend("fine-tune again")
        };
        let note: Option<Note> = notes
            .get(NOTE)
            .and_then(|text| serde_json::from_str(text).ok());
        match (note, state.get("weight"), state.get("bias")) {
            (Some(note), Some(weight), Some(bias)) => {
                Self::new(note.classes, note.temperature, weight, bias)
                    .map_err(|error| error.at(&path))
            }
            _ => Err(broken()),
        }
    }

    /// Writes it into a run's folder.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        let path = folder.file(FILE);
        let note = Note {
            classes: self.classes.clone(),
            temperature: self.temperature,
        };
        let note = serde_json::to_string(&note).map_err(|error| {
            Error::run("names of classes that JSON can't hold")
                .at(&path)
                .because(error)
        })?;
        let array = |shape: Vec<usize>, values: &[f32]| Array {
            shape,
            values: values.to_vec(),
        };
        let (places, dim) = (self.weight.rows(), self.weight.columns());
        let state = State::from([
            (
                "weight".to_owned(),
                array(vec![places, dim], self.weight.data()),
            ),
            ("bias".to_owned(), array(vec![places], &self.bias)),
        ]);
        write_weights(&path, &state, HashMap::from([(NOTE.to_owned(), note)]))
    }

    /// The scores of vectors, `[items, dimensions]` → `[items, classes]`, before the temperature.
    ///
    /// # Errors
    /// When the vectors are another encoder's.
    pub fn logits(&self, vectors: &Matrix) -> Result<Matrix> {
        let products = vectors.times_transposed(&self.weight).map_err(unfit)?;
        let (rows, columns) = (products.rows(), products.columns());
        let mut scores = products.into_data();
        for row in scores.chunks_exact_mut(columns) {
            for (score, bias) in row.iter_mut().zip(&self.bias) {
                *score += bias;
            }
        }
        Matrix::from_vec(rows, columns, scores).map_err(unfit)
    }

    /// The probabilities of the classes, `[items, classes]`.
    ///
    /// # Errors
    /// As [`Classifier::logits`].
    pub fn probabilities(&self, vectors: &Matrix) -> Result<Matrix> {
        calibration::probabilities(&self.logits(vectors)?, self.temperature).map_err(unfit)
    }
}

pub(super) fn unfit(error: EvalError) -> Error {
    Error::run("vectors that the classifier can't judge")
        .because(error)
        .expected("those of the encoder that it learned with")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> State {
        let array = |shape: &[usize], values: &[f32]| Array {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        State::from([
            (
                "model.classifier.weight".to_owned(),
                array(&[3, 2], &[1.0, 0.0, 0.0, 2.0, 9.0, 9.0]),
            ),
            (
                "model.classifier.bias".to_owned(),
                array(&[3], &[0.5, -1.0, 9.0]),
            ),
        ])
    }

    fn classes(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn it_reads_as_it_was_written_and_its_scores_are_those_of_a_linear_layer() {
        let mut classifier = Classifier::of(&learned(), classes(&["a, \"b\"", "c"])).unwrap();
        let vectors = Matrix::from_vec(1, 2, vec![3.0, 4.0]).unwrap();
        // The third place has no class, and so no say.
        assert_eq!(classifier.logits(&vectors).unwrap().data(), [3.5, 7.0]);
        classifier.temperature = 1.75;
        let p = classifier.probabilities(&vectors).unwrap();
        assert!((p.data()[1] - 1.0 / (1.0 + (-2f32).exp())).abs() < 1e-6);
        let scratch = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
        let none = Classifier::read(&folder).unwrap_err();
        assert!(none.to_string().contains("no classifier"), "{none}");
        assert!(none.remedy().unwrap().contains("autodidact finetune"));
        classifier.write(&folder).unwrap();
        assert_eq!(Classifier::read(&folder).unwrap(), classifier);
        let whole = std::fs::read(folder.file(FILE)).unwrap();
        for cut in [0, 7, 60, whole.len() - 1] {
            std::fs::write(folder.file(FILE), &whole[..cut]).unwrap();
            assert!(Classifier::read(&folder).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let names = classes(&["a", "b", "c", "d"]);
        assert!(Classifier::of(&learned(), names).is_err());
        assert!(Classifier::of(&learned(), Vec::new()).is_err());
        assert!(Classifier::of(&State::new(), classes(&["a"])).is_err());
        let classifier = Classifier::of(&learned(), classes(&["a", "b"])).unwrap();
        let wide = Matrix::from_vec(1, 3, vec![0.0; 3]).unwrap();
        assert!(classifier.logits(&wide).is_err());
    }
}
