//! `autodidact finetune`.

use std::process::ExitCode;

use autodidact::adapt::{Calibration, Finetuned, Layers, Setting, Share, finetune};
use autodidact::error::{Error, Result};
use autodidact::judge::frozen;
use autodidact::recipe::{Duration, Recipe};
use autodidact::run::RunFolder;
use autodidact::train::Stop;

use super::{Listening, STOP, hear_ctrl_c, put_data, put_path, report_unreadable, source_of};
use crate::arguments::{Finetune, Mode};
use crate::progress::Progress;

pub(crate) fn run(arguments: &Finetune) -> Result<ExitCode> {
    hear_ctrl_c()?;
    let mut progress = Progress::new();
    let mut watch = |event: &autodidact::train::Event| progress.show(event);
    let listening = Listening::begin();
    let done = match (&arguments.resume, &arguments.run) {
        (Some(path), _) => {
            let folder = RunFolder::resume(path)?;
            let recipe = folder.recipe()?;
            let test = arguments.test.as_deref();
            let test = test
                .map(|path| source_of(&recipe, Some(path), None, None))
                .transpose()?;
            finetune(
                None,
                recipe,
                test.as_ref(),
                || Ok(folder),
                &STOP,
                &mut watch,
            )
        }
        (None, Some(from)) => {
            let from = RunFolder::open(from)?;
            let setting = setting(arguments)?;
            let recipe = recipe(arguments, &setting, &from)?;
            let test = arguments.test.as_deref();
            let test = test
                .map(|path| source_of(&recipe, Some(path), arguments.labels.as_deref(), None))
                .transpose()?;
            if let Some(test) = &test {
                // Data that isn't there is better missed before the work than after it.
                frozen(&from.recipe()?, &from.encoder()?, from.path())?.splits(test)?;
            }
            let folder = || RunFolder::create(arguments.out.as_deref(), &name(&from, arguments));
            let setting = Some(&setting);
            finetune(setting, recipe, test.as_ref(), folder, &STOP, &mut watch)
        }
        (None, None) => Err(Error::recipe("no run")
            .expected("the folder of a run to start from")
            .mend("autodidact finetune RUN LABELED")),
    };
    progress.finish();
    drop(listening);
    let (folder, outcome, report) = done?;
    println!(
        "{} after {} steps in {}",
        match outcome.stop {
            Stop::Asked => "stopped",
            Stop::Finished if outcome.early => "finished early, as held-out items got no better,",
            Stop::Finished => "finished",
        },
        outcome.steps,
        Duration(outcome.seconds.round()),
    );
    report_unreadable(&outcome.unreadable);
    let path = folder.path().display();
    let Some(report) = report else {
        println!("a checkpoint is written; go on with\n  autodidact finetune --resume {path}");
        return Ok(ExitCode::from(130));
    };
    show(&report);
    println!("the predictor is in {path}; what next:");
    println!("  autodidact predict {path} DATA      a class for each item, and how sure that is");
    println!("  autodidact evaluate {path} DATA     how good are its vectors now?");
    Ok(ExitCode::SUCCESS)
}

fn setting(arguments: &Finetune) -> Result<Setting> {
    if arguments.stages.is_some() && arguments.mode != Mode::Last {
        return Err(Error::recipe("--stages without --mode last")
            .expected("--mode last, which lets the last stages learn")
            .mend("add --mode last, or leave --stages out"));
    }
    let layers = match arguments.mode {
        Mode::Frozen => Layers::Frozen,
        Mode::Last => Layers::Last(arguments.stages.unwrap_or(1)),
        Mode::All => Layers::All,
    };
    if arguments.from_scratch && layers != Layers::All {
        return Err(
            Error::recipe("--from-scratch with stages that stay as they are")
                .expected("--mode all: untrained stages have nothing to keep")
                .mend("leave --mode out, or --from-scratch"),
        );
    }
    let share = match (arguments.labels_fraction, arguments.labels_per_class) {
        (Some(fraction), _) => Share::Fraction(fraction),
        (_, Some(count)) => Share::PerClass(count),
        _ => Share::All,
    };
    Ok(Setting {
        layers,
        share,
        balance: arguments.balance,
        from_scratch: arguments.from_scratch,
    })
}

fn recipe(arguments: &Finetune, setting: &Setting, from: &RunFolder) -> Result<Recipe> {
    let mut recipe = setting.recipe(from)?;
    if let Some(data) = &arguments.data {
        recipe.remove("data", "labels");
        put_data(&mut recipe, Some(data))?;
    }
    put_path(&mut recipe, "data.labels", arguments.labels.as_deref())?;
    if let Some(epochs) = arguments.epochs {
        recipe.put("train.epochs", epochs)?;
    }
    if let Some(steps) = arguments.steps {
        recipe.put("train.steps", i64::try_from(steps).unwrap_or(i64::MAX))?;
    }
    if let Some(budget) = arguments.budget {
        recipe.put("train.budget", budget.to_string())?;
    }
    if let Some(batch) = arguments.batch_size {
        recipe.put("train.batch_size", batch)?;
    }
    if let Some(decay) = arguments.layer_decay {
        recipe.put("method.layer_decay", decay)?;
    }
    if let Some(seed) = arguments.seed {
        recipe.put("train.seed", i64::from(seed))?;
    }
    for assignment in &arguments.set {
        recipe.set(assignment)?;
    }
    Ok(recipe)
}

/// `<run>-finetuned`, or `<run>-from-scratch`.
fn name(from: &RunFolder, arguments: &Finetune) -> String {
    let run = from.path().file_name().map(|name| name.to_string_lossy());
    let ending = if arguments.from_scratch {
        "from-scratch"
    } else {
        "finetuned"
    };
    format!("{}-{ending}", run.as_deref().unwrap_or("run"))
}

fn show(report: &Finetuned) {
    let items: usize = report.learned_from.iter().sum();
    println!(
        "\nlearned from {items} labeled items of {} classes; {} more were held out",
        report
            .learned_from
            .iter()
            .filter(|&&count| count > 0)
            .count(),
        report.held_out
    );
    let few: Vec<String> = report
        .classes
        .iter()
        .zip(&report.learned_from)
        .filter(|(_, count)| **count < 2)
        .map(|(class, count)| format!("{class} ({count})"))
        .collect();
    if !few.is_empty() && few.len() < report.classes.len() {
        println!(
            "classes with fewer than two items to learn from: {}",
            few.join(", ")
        );
    }
    if let Some(all) = report.refitted {
        println!(
            "no step of training was better than a linear classifier of the vectors, which then learned from all {all} labels; \
             what is told of held-out items is from before"
        );
    }
    if let Some(held) = &report.validation {
        println!("{}", line("held-out items", held));
    }
    if !report.calibrated {
        println!(
            "held-out items are too few to calibrate on: take the confidence for a rank, not for a probability"
        );
    }
    match (&report.test, &report.untested) {
        (Some(test), _) => println!("{}", line("test part", test)),
        (None, Some(why)) => println!("the data's test part could not be judged on: {why}"),
        (None, None) => println!("no test part; name one with --test to know how good it is"),
    }
    println!();
}

fn line(what: &str, judged: &Calibration) -> String {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let [[nll_before, nll], [error_before, error]] =
        [judged.negative_log_likelihood, judged.calibration_error];
    let unknown = match judged.unknown {
        0 => String::new(),
        unknown => format!(", {unknown} of them of classes that it doesn't know"),
    };
    format!(
        "{what:<15} {} right ({}–{}), the most frequent class alone {}; balanced {}, macro-F1 {}; {} items{unknown}\n{:<15} \
         calibration: −log p {nll_before:.3} before, {nll:.3} after; expected error of the confidence {} before, {} after",
        percent(judged.accuracy),
        percent(judged.low),
        percent(judged.high),
        percent(judged.majority),
        percent(judged.balanced_accuracy),
        percent(judged.macro_f1),
        judged.items,
        "",
        percent(error_before),
        percent(error),
    )
}
