#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact::method::{ForObjective, Objective, by_name};
use autodidact::modality::image::Images;
use autodidact::recipe::{Plan, Recipe};
use autodidact_fuzz::seeds;

/// Fills a recipe in and checks it, as for a run that is opened again.
struct Resolve<'a>(&'a Recipe);

impl ForObjective for Resolve<'_> {
    type Output = ();

    fn run<O: Objective>(self) {
        if let Ok(plan) = Plan::<Images, O>::resolve(self.0, None) {
            let written = plan
                .to_recipe()
                .expect("a plan that TOML can hold")
                .to_string();
            let again = Recipe::parse(&written).expect("what was written");
            assert_eq!(again.to_string(), written);
        }
    }
}

fuzz_target!(init: seeds::sow("recipe"), |text: &str| {
    let Ok(recipe) = Recipe::parse(text) else {
        return;
    };
    let _ = (recipe.data(), recipe.evaluate(), recipe.kind(), recipe.seed());
    let Ok(name) = autodidact::method::of(&recipe) else {
        return;
    };
    let _ = by_name(&name, Resolve(&recipe));
});
