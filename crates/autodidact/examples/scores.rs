//! How a run's network scores every symbol at every place of a text: one line of JSON with the text's symbols, `ids`, and
//! the `scores`, unnormalized, a row a place.
//!
//! `cargo run --release -p autodidact --example scores -- RUN "a text"`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::path::Path;

use autodidact::error::{Error, Result};
use autodidact::layers::Init;
use autodidact::layers::state::{State, host, load_state};
use autodidact::method::{ForObjective, Objective, by_name, of};
use autodidact::modality::text::{Passage, Texts};
use autodidact::modality::{Encoder, Modality, Rows};
use autodidact::recipe::{Plan, Recipe};
use autodidact::run::RunFolder;
use autodidact::train::device;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, text] = &arguments[..] else {
        return Err(Error::recipe("other arguments").expected("the folder of a run, and a text"));
    };
    let folder = RunFolder::open(Path::new(run))?;
    let (recipe, weights) = (folder.recipe()?, folder.encoder()?);
    let asked = Asked {
        recipe: &recipe,
        weights: &weights,
        text,
    };
    let (ids, scores) = by_name(&of(&recipe)?, asked)??;
    let rows: Vec<&[f32]> = scores.chunks(scores.len() / ids.len()).collect();
    println!("{}", serde_json::json!({ "ids": ids, "scores": rows }));
    Ok(())
}

struct Asked<'a> {
    recipe: &'a Recipe,
    weights: &'a State,
    text: &'a str,
}

impl ForObjective for Asked<'_> {
    type Output = Result<(Vec<u32>, Vec<f32>)>;
    fn run<O: Objective>(self) -> Self::Output {
        let texts = Plan::<Texts, O>::resolve(self.recipe, None)?.modality;
        let device = device::open("cpu")?;
        let untrained = texts.encoder(&mut Init::new(0, &device))?;
        let encoder = load_state(untrained, self.weights)?;
        let views = texts.plain(&[(0, Passage::Document(self.text.into()))])?;
        let batch = texts.collate(&views, &Rows::default(), &device)?;
        let places: Vec<usize> = (0..views[0].ids.len()).collect();
        let symbolic = encoder
            .symbolic()
            .ok_or_else(|| Error::recipe("a network whose tokens are no symbols"))?;
        let scores = symbolic.scores(encoder.tokens(&batch).values, &places);
        Ok((views[0].ids.clone(), host(scores)))
    }
}
