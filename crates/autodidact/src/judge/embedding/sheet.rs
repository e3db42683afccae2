//! Views of some items, before any training.

use std::marker::PhantomData;

use super::evenly;
use crate::error::{Error, Result};
use crate::method::{ForObjective, Objective};
use crate::modality::{self, Draw, ForModality, Modality, Sheet};
use crate::recipe::{Plan, Recipe};

/// A sheet of views of some items, before any training.
///
/// # Errors
/// When the data can't be read or the recipe doesn't fit it.
pub fn views_sheet(recipe: &Recipe, items: usize) -> Result<Sheet> {
    let recipe = &recipe.begun()?;
    modality::by_name(&recipe.kind()?, SheetOf { recipe, items })?
}

struct SheetOf<'a> {
    recipe: &'a Recipe,
    items: usize,
}

impl ForModality for SheetOf<'_> {
    type Output = Result<Sheet>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        let of_method = SheetOfMethod {
            recipe: self.recipe,
            items: self.items,
            kind: PhantomData::<M>,
        };
        crate::method::on::<M, _>(&name, of_method)?
    }
}

struct SheetOfMethod<'a, M> {
    recipe: &'a Recipe,
    items: usize,
    kind: PhantomData<M>,
}

impl<M: Modality> ForObjective for SheetOfMethod<'_, M> {
    type Output = Result<Sheet>;
    fn run<O: Objective>(self) -> Self::Output {
        let seed = self.recipe.seed();
        let source = M::open(&self.recipe.data()?.source(seed, None))?;
        let plan = Plan::<M, O>::resolve(self.recipe, Some(source.as_ref()))?;
        let mut items = Vec::new();
        for index in evenly((0..source.len()).collect(), self.items.max(1)) {
            if let Ok(item) = source.get(index) {
                items.push((index as u64, item));
            }
        }
        if items.is_empty() {
            return Err(Error::data("no item that can be read").expected("at least one"));
        }
        plan.modality.sheet(&items, Draw { seed, epoch: 0 })
    }
}
