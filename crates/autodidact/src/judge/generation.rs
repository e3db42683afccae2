//! What a run's network goes on with.

use std::marker::PhantomData;

use burn::module::Module;

use crate::error::Result;
use crate::layers::Init;
use crate::layers::state::{State, load_state};
use crate::method::{ForObjective, Objective};
use crate::modality::{self, ForModality, Modality, Sampling};
use crate::recipe::{Plan, Recipe};
use crate::train::device;

/// Goes on from a beginning with a run's network, and hands what comes to `hear` as it comes, until that says no more.
///
/// # Errors
/// When the run's network doesn't predict what comes next, or the weights are another network's.
pub fn generate(
    recipe: &Recipe,
    encoder: &State,
    beginning: &str,
    how: &Sampling,
    hear: &mut dyn FnMut(&str) -> bool,
) -> Result<()> {
    let asked = Asked {
        recipe,
        encoder,
        beginning,
        how,
        hear,
    };
    modality::by_name(&recipe.kind()?, asked)?
}

struct Asked<'a> {
    recipe: &'a Recipe,
    encoder: &'a State,
    beginning: &'a str,
    how: &'a Sampling,
    hear: &'a mut dyn FnMut(&str) -> bool,
}

impl ForModality for Asked<'_> {
    type Output = Result<()>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        crate::method::on::<M, _>(&name, OfMethod(self, PhantomData::<M>))?
    }
}

struct OfMethod<'a, M>(Asked<'a>, PhantomData<M>);

impl<M: Modality> ForObjective for OfMethod<'_, M> {
    type Output = Result<()>;
    fn run<O: Objective>(self) -> Self::Output {
        let asked = self.0;
        let plan = Plan::<M, O>::resolve(asked.recipe, None)?;
        let device = device::open(&plan.train.device)?;
        let network = plan
            .modality
            .encoder(&mut Init::new(plan.train.seed, &device))?;
        let network = load_state(network, asked.encoder)?.valid();
        (plan.modality).generate(&network, asked.beginning, asked.how, asked.hear)
    }
}
