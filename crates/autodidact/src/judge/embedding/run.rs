//! The network of a run, as it was left, around an encoder's weights.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use autodidact_eval::Matrix;
use burn::module::Module;
use burn::tensor::Device;
use rayon::prelude::*;

use super::{Embedded, Frozen, Pairs, Splits, Which, Whom, evenly};
use crate::error::{Error, Result};
use crate::export::onnx::OnnxModel;
use crate::judge::following::{Followed, Following, Values};
use crate::judge::halves::Halves;
use crate::judge::levels::levels;
use crate::judge::protocol::unfit;
use crate::layers::Init;
use crate::layers::state::{State, host, load_state};
use crate::method::{ForObjective, Objective};
use crate::modality::{
    self, Encoder, ForModality, Labels, Modality, Part, Publication, Raw, ReadRows, Rows, Source,
    SourceSpec, Stretch,
};
use crate::recipe::{Plan, Recipe};
use crate::train::device;
use crate::train::features::{Who, features};

/// Builds the network of a recipe, as a run leaves it, around an encoder's weights.
///
/// # Errors
/// When the recipe isn't one of a run, or the weights are another network's.
pub fn frozen(recipe: &Recipe, encoder: &State, at: &Path) -> Result<Box<dyn Frozen>> {
    let built = modality::by_name(&recipe.kind()?, OfKind { recipe, encoder })?;
    // Published weights lie in a file of another name.
    let file = at.join("encoder.safetensors");
    built.map_err(|error| error.at(if file.is_file() { &file } else { at }))
}

struct OfKind<'a> {
    recipe: &'a Recipe,
    encoder: &'a State,
}

impl ForModality for OfKind<'_> {
    type Output = Result<Box<dyn Frozen>>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        let planned = Planned {
            recipe: self.recipe,
            kind: PhantomData::<M>,
        };
        let (modality, seed, device, unreadable, saw_labels) =
            crate::method::on::<M, _>(&name, planned)??;
        let device = device::open(&device)?;
        let untrained = modality.encoder(&mut Init::new(seed, &device))?;
        let pretrained = load_state(untrained.clone(), self.encoder)?;
        Ok(Box::new(FrozenRun {
            pretrained: pretrained.valid(),
            untrained: untrained.valid(),
            modality,
            device,
            unreadable,
            saw_labels,
            own: self.recipe.data()?.path,
        }))
    }
}

/// Resolves the plan for a method known by name; embedding needs nothing else of it.
struct Planned<'a, M> {
    recipe: &'a Recipe,
    kind: PhantomData<M>,
}

impl<M: Modality> ForObjective for Planned<'_, M> {
    type Output = Result<(M, u64, String, f64, bool)>;
    fn run<O: Objective>(self) -> Self::Output {
        let plan = Plan::<M, O>::resolve(self.recipe, None)?;
        Ok((
            plan.modality,
            plan.train.seed,
            plan.train.device,
            plan.data.unreadable,
            plan.objective.needs_classes(),
        ))
    }
}

pub(in crate::judge) struct FrozenRun<M: Modality> {
    pub(in crate::judge) modality: M,
    pretrained: M::Encoder,
    untrained: M::Encoder,
    device: Device,
    /// The part of the items that may be unreadable.
    unreadable: f64,
    saw_labels: bool,
    /// Where the data lies that the run learned from; `None` where it is embedded.
    own: Option<PathBuf>,
}

impl<M: Modality> FrozenRun<M> {
    /// The other networks among those who are asked.
    pub(in crate::judge) fn others(&self, whom: &[Whom]) -> Result<Vec<Option<M::Encoder>>> {
        let network = |whom: &Whom| match whom {
            Whom::Other(state) => load_state(self.untrained.clone(), state).map(Some),
            _ => Ok(None),
        };
        whom.iter().map(network).collect()
    }

    pub(in crate::judge) fn who<'a>(
        &'a self,
        whom: &[Whom],
        others: &'a [Option<M::Encoder>],
    ) -> Vec<Who<'a, M::Encoder>> {
        let one = |(whom, other): (&Whom, &'a Option<M::Encoder>)| match (whom, other) {
            (Whom::Pretrained, _) => Who::Network(&self.pretrained, &self.device),
            (_, Some(other)) => Who::Network(other, &self.device),
            (Whom::Raw, _) => Who::Raw,
            (Whom::Untrained | Whom::Other(_), None) => Who::Network(&self.untrained, &self.device),
        };
        whom.iter().zip(others).map(one).collect()
    }

    /// Refuses more unreadable items than the recipe allows.
    fn bear(&self, unreadable: &[(String, String)], count: usize) -> Result<()> {
        if unreadable.len() as f64 <= (count as f64 * self.unreadable).max(1.0) {
            return Ok(());
        }
        let examples = unreadable.iter().take(3).map(|(_, why)| why.as_str());
        let examples: Vec<_> = examples.collect();
        Err(Error::data(format!(
            "{} unreadable items among {count}, such as: {}",
            unreadable.len(),
            examples.join("; ")
        ))
        .expected(format!("at most {:.0} %", 100.0 * self.unreadable))
        .mend("mend or remove them, or allow more with data.unreadable in the run's recipe.toml"))
    }
}

impl<M: Modality> Frozen for FrozenRun<M> {
    fn embed(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        which: Which,
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Embedded> {
        let source = M::open(data)?;
        let labels = source.labels();
        let (mut indices, mut beyond): (Vec<usize>, usize) = ((0..source.len()).collect(), 0);
        if let (Some(labels), Which::Labeled(most)) = (labels, which) {
            indices.retain(|&index| labels.of[index].is_some());
            let all = indices.len();
            indices = evenly(indices, most);
            beyond = all - indices.len();
        }
        let others = self.others(whom)?;
        let who = self.who(whom, &others);
        let (count, mut done) = (indices.len(), 0);
        let embedded = features(&self.modality, source.as_ref(), &indices, &who, |items| {
            done += items;
            advance(done, count);
        })?;
        let (read, features) = (embedded.read, embedded.matrices);
        let windows = match source.recordings() {
            Some(of) => read.iter().map(|&index| of.window(index)).collect(),
            None => Vec::new(),
        };
        let unreadable: Vec<_> = embedded
            .unreadable
            .into_iter()
            .map(|(index, why)| (source.name(index), why))
            .collect();
        self.bear(&unreadable, count)?;
        Ok(Embedded {
            items: read.clone(),
            names: read.iter().map(|&index| source.name(index)).collect(),
            classes: read
                .iter()
                .map(|&index| labels.and_then(|labels| labels.of[index]))
                .collect(),
            class_names: labels.map_or_else(Vec::new, |Labels { classes, .. }| classes.clone()),
            features,
            windows,
            unreadable,
            shortened: embedded.shortened,
            beyond,
        })
    }

    fn timelines(&self, data: &SourceSpec, items: &[usize]) -> Result<Option<Vec<Matrix>>> {
        // Before the data is read again.
        if self.modality.stretch().is_none() {
            return Ok(None);
        }
        let source = M::open(data)?;
        let measured = source.recordings().map(|all| all.measured().len());
        let read = |&index: &usize| -> Result<Option<Matrix>> {
            let Some(timeline) = self.modality.timeline(&source.get(index)?) else {
                return Ok(None);
            };
            let measured = measured.unwrap_or(timeline.channels);
            Values::of(&timeline, measured).map(|values| Some(values.known))
        };
        items.iter().map(read).collect()
    }

    fn counted(&self, data: &SourceSpec, items: &[usize]) -> Result<Vec<Vec<u64>>> {
        let source = M::open(data)?;
        counted(&self.modality, source.as_ref(), items)
    }

    fn embed_pairs(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Pairs> {
        let source = Halves::<M>::new(M::open(data)?);
        let scores = source.scores().ok_or_else(|| {
            Error::data("no pairs with scores")
                .at(data.path.clone().unwrap_or_default())
                .expected("two items and a number of how alike they are, in each row of a table")
                .mend("name the columns in data.reading")
        })?;
        let indices: Vec<usize> = (0..source.len()).collect();
        let others = self.others(whom)?;
        let (count, mut done) = (indices.len(), 0);
        let who = self.who(whom, &others);
        let embedded = features(&self.modality, &source, &indices, &who, |items| {
            done += items;
            advance(done, count);
        })?;
        let unreadable = embedded.unreadable.into_iter();
        let unreadable: Vec<_> = unreadable
            .map(|(half, why)| (source.name(half), why))
            .collect();
        self.bear(&unreadable, count)?;
        // Rows of both halves of a pair stand side by side where both could be read.
        let rows = embedded.read.windows(2).enumerate();
        let whole = rows.filter(|(_, of)| of[0] % 2 == 0 && of[1] == of[0] + 1);
        let (rows, scores): (Vec<usize>, Vec<f64>) =
            whole.map(|(row, of)| (row, scores[of[0] / 2])).unzip();
        let halves = |matrix: Matrix| -> Result<[Matrix; 2]> {
            let second: Vec<usize> = rows.iter().map(|row| row + 1).collect();
            let select = |rows: &[usize]| matrix.select(rows).map_err(unfit);
            Ok([select(&rows)?, select(&second)?])
        };
        Ok(Pairs {
            items: rows.iter().map(|&row| embedded.read[row] / 2).collect(),
            features: embedded
                .matrices
                .into_iter()
                .map(halves)
                .collect::<Result<_>>()?,
            scores,
            unreadable,
        })
    }

    fn counted_halves(&self, data: &SourceSpec, pairs: &[usize]) -> Result<Vec<Vec<u64>>> {
        let source = Halves::<M>::new(M::open(data)?);
        let halves = pairs.iter().flat_map(|&pair| [2 * pair, 2 * pair + 1]);
        counted(&self.modality, &source, &halves.collect::<Vec<_>>())
    }

    fn follow(&self, data: &SourceSpec, context: usize) -> Result<Box<dyn Following + '_>> {
        let followed = Followed::new(self, M::open(data)?, context);
        let followed = followed.map_err(|error| match &data.path {
            Some(path) => error.at(path),
            None => error,
        })?;
        Ok(Box::new(followed))
    }

    fn stretch(&self) -> Option<Stretch> {
        self.modality.stretch()
    }

    fn ends(&self, stretches: &[(Vec<f32>, usize)]) -> Result<Matrix> {
        let item = |(values, first): &(Vec<f32>, usize)| {
            let item = self.modality.of_steps(values.clone(), *first)?;
            Ok((*first as u64, item))
        };
        let items: Vec<_> = stretches.iter().map(item).collect::<Result<_>>()?;
        let views = self.modality.plain(&items)?;
        let rows = Rows {
            ids: items.iter().map(|(id, _)| *id).collect(),
            classes: None,
        };
        let batch = self.modality.collate(&views, &rows, &self.device)?;
        let vectors = self.pretrained.latest(&batch);
        let [count, dim] = vectors.dims();
        Matrix::from_vec(count, dim, host(vectors)).map_err(unfit)
    }

    fn levels(&self, stretches: &[(Vec<f32>, usize)], measured: usize) -> Result<Matrix> {
        let (mut stood, mut width) = (Vec::new(), 0);
        for (values, first) in stretches {
            let item = self.modality.of_steps(values.clone(), *first)?;
            let timeline = self.modality.timeline(&item).ok_or_else(|| {
                Error::data("steps of other channels than the network knows")
                    .expected("steps that were recorded like what was learned from")
            })?;
            let values = Values::of(&timeline, measured)?.known;
            let levels = levels(&values, values.rows())?;
            width = levels.columns();
            stood.extend_from_slice(levels.row(levels.rows() - 1));
        }
        Matrix::from_vec(stretches.len(), width, stood).map_err(unfit)
    }

    fn rows(&self, data: &SourceSpec) -> Result<Box<dyn ReadRows>> {
        self.modality.rows(data)
    }

    fn onnx(&self, raw: bool) -> Result<OnnxModel> {
        self.modality.onnx(&self.pretrained, raw)
    }

    fn publication(&self) -> Result<Publication> {
        self.modality.publication(&self.pretrained)
    }

    fn splits(&self, data: &SourceSpec) -> Result<Splits> {
        let source = M::open(data)?;
        Ok(Splits {
            test: source.other_parts().contains(&Part::Test),
            description: source.describe(),
            items: source.len(),
            labeled: source.labels().is_some(),
            scored: source.scores().is_some(),
        })
    }

    fn raw(&self) -> Raw {
        M::RAW
    }

    fn is_own(&self, data: &SourceSpec) -> bool {
        same_place(self.own.as_deref(), data.path.as_deref())
    }

    fn saw_labels(&self) -> bool {
        self.saw_labels
    }
}

/// What is counted of some items of a source, by their numbers.
fn counted<M: Modality>(
    modality: &M,
    source: &dyn Source<M::Item>,
    items: &[usize],
) -> Result<Vec<Vec<u64>>> {
    let of = |&item: &usize| -> Result<Vec<u64>> { Ok(modality.counted(&source.get(item)?)) };
    items.par_iter().map(of).collect()
}

/// Whether data lies at the same place, by whatever path; `None` is the embedded data.
fn same_place(one: Option<&Path>, other: Option<&Path>) -> bool {
    let place = |path: &Path| {
        // Sets that are named without what tells their parts apart lie nowhere themselves.
        let found = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        found.unwrap_or_else(|_| path.to_path_buf())
    };
    one.map(place) == other.map(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_the_runs_own_by_whatever_path_and_other_data_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        std::fs::create_dir(root.join("inner")).unwrap();
        std::fs::write(root.join("a.csv"), "x").unwrap();
        let same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|name| root.join(name));
            same_place(Some(&one), Some(&other))
        };
        assert!(same("a.csv", "inner/../a.csv"));
        assert!(!same("a.csv", "inner"));
        // There is no such file, only those of its parts.
        assert!(same("Adiac", "Adiac") && !same("Adiac", "Beef"));
        assert!(same_place(None, None) && !same_place(None, Some(root)));
    }
}
