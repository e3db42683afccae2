//! How well a run's predictions hold.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Kind, Result};
use crate::layers::state::State;
use crate::method::{ForObjective, Objective};
use crate::modality::{self, ForModality, Modality, SourceSpec};
use crate::recipe::{Plan, Recipe};
use crate::train::{self, Likelihood};

/// What a run's predictions come to: on all of `data` where it is named, and else on what the run held out of its own.
/// `None` for a method that predicts no symbols, or where nothing was held out.
///
/// # Errors
/// When the data can't be read, or the weights are another network's.
pub fn likelihood(
    recipe: &Recipe,
    encoder: &State,
    at: &Path,
    data: Option<&SourceSpec>,
) -> Result<Option<Likelihood>> {
    let of_kind = OfKind {
        recipe,
        encoder,
        at,
        data,
    };
    modality::by_name(&recipe.kind()?, of_kind)?
}

struct OfKind<'a> {
    recipe: &'a Recipe,
    encoder: &'a State,
    /// The folder that the weights are from.
    at: &'a Path,
    data: Option<&'a SourceSpec>,
}

impl ForModality for OfKind<'_> {
    type Output = Result<Option<Likelihood>>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        crate::method::on::<M, _>(&name, OfMethod(self, PhantomData::<M>))?
    }
}

struct OfMethod<'a, M>(OfKind<'a>, PhantomData<M>);

impl<M: Modality> ForObjective for OfMethod<'_, M> {
    type Output = Result<Option<Likelihood>>;
    fn run<O: Objective>(self) -> Self::Output {
        let asked = self.0;
        let plan = Plan::<M, O>::resolve(asked.recipe, None)?;
        if !plan.objective.predicts_symbols() {
            return Ok(None);
        }
        let own = plan.data.source(plan.train.seed, None);
        let source = Arc::from(M::open(asked.data.unwrap_or(&own))?);
        let part = match asked.data {
            Some(_) => 1.0,
            None => plan.data.validation,
        };
        let found = train::likelihood(&plan, asked.encoder, &source, part);
        // Published weights lie in a file of another name.
        let file = asked.at.join("encoder.safetensors");
        found.map_err(|error| match error.kind() {
            Kind::Run if file.is_file() => error.at(file),
            Kind::Run => error.at(asked.at),
            // What is wrong with the data names the data.
            _ => error,
        })
    }
}
