//! Learns from the embedded images for a few steps, then asks the frozen encoder which of them are alike.
//!
//! `cargo run --release -p autodidact --example pretrain`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::atomic::AtomicBool;

use autodidact::judge::{Which, Whom, frozen, nearest};
use autodidact::modality::Part;
use autodidact::recipe::Recipe;
use autodidact::run::RunFolder;
use autodidact::train::{Event, open, pretrain};

fn main() -> autodidact::Result<()> {
    // What is left out is filled in: a recipe says only what matters to you.
    let recipe = Recipe::parse(
        r#"
        [data]
        synthetic_items = 500
        [method]
        name = "simclr"
        [encoder]
        name = "small_conv"
        width = 16
        [train]
        steps = 20
        batch_size = 64
        "#,
    )?;

    // The next free folder: runs/example, runs/example-2, …
    let folder = RunFolder::create(None, "example")?;
    let mut session = open(&recipe)?;
    // Set by whoever wants to end the run early; the run then leaves a checkpoint to go on from.
    let stop = AtomicBool::new(false);
    let outcome = pretrain(
        session.as_mut(),
        &folder,
        None,
        None,
        &stop,
        &mut |event| match event {
            Event::Begun { lines, .. } => println!("{}", lines.join("\n")),
            Event::Stepped {
                step, total, loss, ..
            } => println!("step {step:2} of {total}: loss {loss:.3}"),
            Event::Looked { checkup, .. } => println!(
                "uses {:.1} of {} dimensions",
                checkup.rankme, checkup.dimensions
            ),
            Event::Warned(text) => println!("warning: {text}"),
        },
    )?;
    println!("{} steps in {:.1} s", outcome.steps, outcome.seconds);

    // From here on as in another program, another day: all that is needed is in the folder.
    let recipe = folder.recipe()?;
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let unseen = recipe.data()?.source(recipe.seed(), Some(Part::Test));
    let embedded = encoder.embed(&unseen, &[Whom::Pretrained], Which::All, &mut |_, _| {})?;
    println!(
        "{} vectors of {} dimensions",
        embedded.names.len(),
        embedded.features[0].columns()
    );
    // Two, because the nearest to an item is the item itself.
    for found in nearest(&embedded, &embedded, 2)?.iter().take(5) {
        if let [_, hit] = found.hits.as_slice() {
            println!(
                "{} is most like {} ({:.3})",
                found.query, hit.name, hit.similarity
            );
        }
    }
    Ok(())
}
