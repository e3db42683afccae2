//! The classes of new items.

use autodidact_eval::calibration::most_likely;
use autodidact_eval::{Matrix, classification};

use super::classifier::Classifier;
use crate::error::{Error, Result};
use crate::judge::{Embedded, Which, Whom, frozen};
use crate::modality::SourceSpec;
use crate::run::RunFolder;

/// What a run's classifier says of items.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// Names of the items.
    pub names: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The likeliest class of each item.
    pub predicted: Vec<u32>,
    /// Calibrated probabilities, `[items, classes]`.
    pub probabilities: Matrix,
    /// Items that couldn't be read: name and what was wrong.
    pub unreadable: Vec<(String, String)>,
    /// The share of the labeled items that was told rightly, and their number, where the data has labels of classes
    /// that the run knows.
    pub accuracy: Option<(f64, usize)>,
}

/// Names the classes of all items of some data. `advance` hears how many items are done.
///
/// # Errors
/// When the run has no classifier, or the data can't be read.
pub fn predict(
    folder: &RunFolder,
    data: &SourceSpec,
    advance: &mut dyn FnMut(usize, usize),
) -> Result<Predictions> {
    let classifier = Classifier::read(folder)?;
    let encoder = frozen(&folder.recipe()?, &folder.encoder()?, folder.path())?;
    let embedded = encoder.embed(data, &[Whom::Pretrained], Which::All, advance)?;
    let probabilities = classifier.probabilities(vectors(&embedded)?)?;
    let predicted: Vec<u32> = (0..probabilities.rows())
        .map(|row| most_likely(probabilities.row(row)).0)
        .collect();
    let (rows, labels) = labels(&embedded, &classifier.classes);
    let of_labeled: Vec<u32> = rows.iter().map(|&row| predicted[row]).collect();
    let accuracy = classification::accuracy(&of_labeled, &labels).ok();
    Ok(Predictions {
        names: embedded.names,
        classes: classifier.classes,
        predicted,
        probabilities,
        unreadable: embedded.unreadable,
        accuracy: accuracy.map(|accuracy| (accuracy, labels.len())),
    })
}

/// The vectors of the one who was asked.
pub(super) fn vectors(embedded: &Embedded) -> Result<&Matrix> {
    embedded
        .features
        .first()
        .ok_or_else(|| Error::data("no vectors").expected("at least one"))
}

/// The rows whose class is among `classes`, and its number there.
pub(super) fn labels(embedded: &Embedded, classes: &[String]) -> (Vec<usize>, Vec<u32>) {
    let numbers: Vec<Option<u32>> = embedded
        .class_names
        .iter()
        .map(|name| classes.iter().position(|class| class == name))
        .map(|place| place.map(|place| place as u32))
        .collect();
    let known = embedded.classes.iter().enumerate();
    known
        .filter_map(|(row, class)| Some((row, (*numbers.get((*class)? as usize)?)?)))
        .unzip()
}
