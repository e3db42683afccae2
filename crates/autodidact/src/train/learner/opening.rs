//! How a learner comes to be: the data opened and divided, the recipe filled in, the networks built.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::Learner;
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::trained;
use crate::method::{Method, Objective};
use crate::modality::{Labels, Modality};
use crate::recipe::{Plan, Recipe};
use crate::train::division::{bound, divide, enough};
use crate::train::loader::Items;
use crate::train::optimizer::Optimizer;
use crate::train::start::start_from;
use crate::train::{device, labeled};

impl<M: Modality, O: Objective> Learner<M, O> {
    /// A `fresh` run reads the weights that it starts from, if the recipe names any.
    pub(in crate::train) fn open(recipe: &Recipe, fresh: bool) -> Result<Self> {
        let began = Instant::now();
        let data = recipe.data()?;
        let seed = recipe.seed();
        let source = M::open(&data.source(seed, None))?;
        let source: Arc<dyn crate::modality::Source<M::Item>> = Arc::from(source);
        let mut plan = Plan::<M, O>::resolve(recipe, Some(source.as_ref()))?;
        let device = device::open(&plan.train.device)?.autodiff();

        let mut usable: Vec<usize> = (0..source.len()).collect();
        let mut labels: Option<&Labels> = None;
        if plan.objective.needs_classes() {
            let of_data = source.labels().ok_or_else(|| {
                Error::data(format!("no labels, which {} learns from", O::NAME))
                    .expected("class folders or a file of labels")
                    .mend("name one with --labels")
            });
            let chosen = of_data.and_then(|of_data| {
                labels = Some(of_data);
                labeled::choose(of_data, &plan.data, plan.train.seed)
            });
            usable = chosen.map_err(|error| match &plan.data.path {
                Some(path) => error.at(path),
                None => error,
            })?;
        }
        let asked = plan.train.batch_size;
        let cut = match labels {
            // Labels are of items, not of pieces.
            Some(_) => None,
            None => {
                let (part, seed) = (plan.data.validation, plan.train.seed);
                plan.modality.pieces(&source, &usable, part, seed)?
            }
        };
        let (sources, learned, held) = match &cut {
            Some(cut) => {
                let count = cut.learned.len();
                enough(count, "pieces", &plan.train, None)?;
                plan.train.batch_size = bound(&plan.train, count);
                let held = (0..cut.held_out.len()).collect();
                let sources = [&cut.learned, &cut.held_out].map(Arc::clone);
                (sources, (0..count).collect(), held)
            }
            None => {
                enough(usable.len(), "items", &plan.train, source.advice())?;
                let (learned, held) =
                    divide(&mut plan.train, &plan.data, source.as_ref(), usable, labels);
                ([&source, &source].map(Arc::clone), learned, held)
            }
        };
        let batch = plan.train.batch_size;
        if let Some(labels) = labels {
            plan.objective
                .see_classes(&labeled::counts(labels, &learned));
        }
        let items = |source, indices, device| {
            Items::new(
                source,
                plan.modality.clone(),
                indices,
                plan.objective.needs_classes(),
                plan.train.seed,
                device,
                plan.data.unreadable,
            )
        };
        let [learned_from, held_from] = sources;
        let (items, held_out) = (
            items(learned_from, learned, device.clone()),
            items(held_from, held, device.clone().inner()),
        );

        let mut init = Init::new(plan.train.seed, &device);
        let mut encoder = plan.modality.encoder(&mut init)?;
        let mut notes = Vec::new();
        if batch < asked {
            notes.push(format!(
                "batch    {batch} items and not {asked}: there are no more"
            ));
        }
        if let (true, Some(path)) = (fresh, &plan.train.init) {
            let (adopted, lines) = start_from(encoder, path)?;
            encoder = adopted;
            notes.extend(lines);
        }
        let model = plan.objective.build(encoder, &mut init)?;
        let rates: BTreeMap<String, f64> = trained(&model)
            .into_iter()
            .map(|name| (name.clone(), model.rate(&name)))
            .filter(|(_, rate)| *rate != 1.0)
            .collect();
        Ok(Self {
            optimizer: Optimizer::new(&plan.train).with_rates(rates),
            plan,
            model: Some(model),
            device,
            items: Arc::new(items),
            held_out,
            pieces: cut.map(|cut| cut.bytes_per_symbol),
            loader: None,
            notes,
            opened_in: began.elapsed(),
        })
    }
}
