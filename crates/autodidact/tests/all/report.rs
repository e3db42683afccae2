//! Pages of tiny runs: what stands on them, what doesn't, and what becomes of runs that aren't whole.

use std::fs;
use std::path::Path;

use autodidact::judge::{Report, report};
use autodidact::modality::SourceSpec;
use autodidact::recipe::Recipe;
use autodidact::run::RunFolder;

use super::training::{recipe, recipes, run};

/// The page of a run, of its own data or of other data.
fn page(folder: &Path, data: Option<&Path>) -> Report {
    page_of(folder, data, 1000)
}

/// The same, of so many items at most.
fn page_of(folder: &Path, data: Option<&Path>, items: usize) -> Report {
    let folder = RunFolder::open(folder).unwrap();
    let recipe = folder.recipe().unwrap();
    let mut spec: SourceSpec = recipe.data().unwrap().source(recipe.seed(), None);
    if let Some(data) = data {
        spec.path = Some(data.to_path_buf());
    }
    let page = report(&folder, &spec, items, &mut |_, _, _| {}).unwrap();
    loads_nothing(&page.html);
    page
}

/// A page that opens offline: its own script and data, pictures in it, and not an address.
fn loads_nothing(html: &str) {
    assert!(html.starts_with("<!doctype html>"), "{}", &html[..200]);
    for outside in [
        "http:", "https:", "src=\"/", "src=\".", "@import", "url(", "fetch(",
    ] {
        assert!(!html.contains(outside), "{outside} in the page");
    }
    assert!(html.contains("default-src 'none'"));
    assert_eq!(
        html.matches("<script").count(),
        2,
        "the data and the script"
    );
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    for tag in html.split("<img").skip(1) {
        let tag = tag.split('>').next().unwrap();
        assert!(
            tag.contains("alt=") && tag.contains("src=\"data:image/"),
            "{}",
            &tag[..60]
        );
    }
}

/// Writes `count` small pictures that differ, in a folder.
fn pictures(folder: &Path, names: impl Fn(usize) -> String, count: usize) {
    for number in 0..count {
        let path = folder.join(names(number));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let level = |x: usize| ((x * (number + 1) * 7) % 251) as u8;
        let pixels: Vec<u8> = (0..16 * 16 * 3).map(level).collect();
        let color = image::ExtendedColorType::Rgb8;
        image::save_buffer_with_format(&path, &pixels, 16, 16, color, image::ImageFormat::Png)
            .unwrap();
    }
}

fn recipe_of(data: &Path) -> Recipe {
    let mut recipe = recipe("simclr");
    recipe.put("data.path", data.to_str().unwrap()).unwrap();
    recipe
}

const SECTIONS: &[&str] = &[
    "map",
    "neighbors",
    "views",
    "duplicates",
    "outliers",
    "curves",
    "recipe",
];

fn has(html: &str, section: &str) -> bool {
    html.contains(&format!("<h2 id=\"{section}\">"))
}

#[test]
fn a_finished_run_is_shown_whole_and_alike_each_time() {
    let scratch = tempfile::tempdir().unwrap();
    run(&recipe("simclr"), scratch.path(), None);
    fs::write(
        scratch.path().join("evaluation.json"),
        r#"{"run": "x", "data": "digits & <letters>", "items": 7, "learned_from": 20, "classes": 2,
            "verdict": "Pretraining helped. By much.", "set_aside": true, "results": [
            {"who": "pretrained", "task": "knn20", "metric": "accuracy", "value": 0.625, "low": 0.5, "high": 0.75},
            {"who": "raw", "task": "knn20", "metric": "accuracy", "value": 0.25, "low": 0.125, "high": 0.375}]}"#,
    )
    .unwrap();
    let found = page(scratch.path(), None);
    for section in SECTIONS {
        assert!(has(&found.html, section), "{section} is missing");
    }
    for text in [
        "Pretraining helped.",
        "62.5 %",
        "12.5–37.5",
        "20 nearest neighbors",
        "digits &amp; &lt;letters&gt;",
        "6 steps",
        "simclr: ",
        "All 64 items were looked at",
        "synthetic_items = 64",
        "share their item&#x27;s class",
    ] {
        assert!(found.html.contains(text), "{text} is missing");
    }
    // This method restores nothing.
    assert!(!has(&found.html, "restored"));
    assert_eq!(found, page(scratch.path(), None));
}

#[test]
fn a_part_of_the_data_has_its_classes_though_they_come_in_turn() {
    let scratch = tempfile::tempdir().unwrap();
    run(&recipe("simclr"), scratch.path(), None);
    let found = page_of(scratch.path(), None, 32);
    assert!(found.html.contains("32 of 64 items were looked at"));
    let data = found.html.split("id=\"data\">").nth(1).unwrap();
    let data = data.split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let points = data["map"]["points"].as_array().unwrap();
    let mut classes: Vec<_> = points
        .iter()
        .map(|point| point[2].as_i64().unwrap())
        .collect();
    assert_eq!(classes.len(), 32);
    classes.sort_unstable();
    classes.dedup();
    // Every second item is of every second class, five of ten.
    assert!(classes.len() > 7, "{classes:?}");
}

#[test]
fn a_method_that_restores_shows_what() {
    let scratch = tempfile::tempdir().unwrap();
    run(&recipe("mae"), scratch.path(), None);
    let html = page(scratch.path(), None).html;
    assert!(has(&html, "restored") && has(&html, "views") && has(&html, "map"));
    assert_eq!(html.matches("mostly hidden\"").count(), 8);
}

/// What is read instead of looked at: neighbors in words, blanks filled in before and after training, samples.
#[test]
fn what_is_read_is_shown_in_words() {
    let scratch = tempfile::tempdir().unwrap();
    let (blanks, writes) = (scratch.path().join("blanks"), scratch.path().join("writes"));
    run(&recipes("masked_lm").remove(0), &blanks, None);
    let html = page(&blanks, None).html;
    for section in ["map", "neighbors", "views", "restored", "curves"] {
        assert!(has(&html, section), "{section} is missing");
    }
    assert_eq!(html.matches("restored before training").count(), 8);
    assert!(html.contains("[MASK]") && html.contains("<h3>Perplexity</h3>"));
    // Neighbors as they were written, with their capitals.
    let neighbors = html.split("<h2 id=\"neighbors\">").nth(1).unwrap();
    let neighbors = neighbors.split("</section>").next().unwrap();
    assert!(neighbors.contains(". The "), "{neighbors}");
    assert!(!has(&html, "samples"));
    run(&recipes("causal_lm").remove(0), &writes, None);
    let html = page(&writes, None).html;
    assert!(has(&html, "samples") && html.contains("before training") && !has(&html, "restored"));
}

#[test]
fn an_interrupted_run_is_shown_as_far_as_it_came() {
    let scratch = tempfile::tempdir().unwrap();
    run(&recipe("simclr"), scratch.path(), Some(2));
    let found = page(scratch.path(), None);
    assert!(
        found.warnings[0].contains("stopped after 2 of about 6 steps"),
        "{:?}",
        found.warnings
    );
    assert!(found.html.contains("Nothing was judged yet."));
    for section in SECTIONS {
        assert!(has(&found.html, section), "{section} is missing");
    }
    // Killed in the middle of a line.
    let metrics = scratch.path().join("metrics.jsonl");
    let mut text = fs::read_to_string(&metrics).unwrap_or_default();
    text.push_str("{\"step\": 3, \"lo");
    fs::write(&metrics, text).unwrap();
    assert!(has(&page(scratch.path(), None).html, "map"));
}

#[test]
fn names_that_are_markup_stay_names() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let evil = "script><img src=x onerror=alert(1)>";
    pictures(
        &data,
        |number| match number % 2 {
            0 => format!("<b>x<{}{evil}{number}.png", '/'),
            _ => format!("plain/\"onclick='alert(2)' {number}.png"),
        },
        24,
    );
    run(&recipe_of(&data), &scratch.path().join("run"), None);
    let html = page(&scratch.path().join("run"), None).html;
    assert!(
        !html.contains("<img src=x") && !html.contains("<b>x"),
        "a name became markup"
    );
    assert!(!html.contains("\"onclick='"), "a name left its attribute");
    assert!(
        html.contains("&lt;b&gt;x&lt;"),
        "the class is there, escaped"
    );
}

#[test]
fn a_run_without_labels_and_without_evaluation_has_a_page_and_so_has_one_whose_data_is_gone() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, folder) = (scratch.path().join("data"), scratch.path().join("run"));
    pictures(&data, |number| format!("{number:02}.png"), 24);
    fs::copy(data.join("03.png"), data.join("copy of 03.png")).unwrap();
    fs::write(data.join("broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    run(&recipe_of(&data), &folder, None);
    let found = page(&folder, None);
    for section in SECTIONS {
        assert!(has(&found.html, section), "{section} is missing");
    }
    assert!(!has(&found.html, "evaluation") && !found.html.contains("share their item"));
    assert!(
        found
            .warnings
            .iter()
            .any(|warning| warning.contains("broken.png")),
        "{:?}",
        found.warnings
    );
    let duplicates = found.html.split("<h2 id=\"duplicates\">").nth(1).unwrap();
    assert!(
        duplicates
            .split("</section>")
            .next()
            .unwrap()
            .contains("title=\"copy of 03.png\"")
    );

    let moved = scratch.path().join("elsewhere");
    fs::rename(&data, &moved).unwrap();
    let without = page(&folder, None);
    assert!(has(&without.html, "curves") && !has(&without.html, "map"));
    assert!(
        without
            .warnings
            .iter()
            .any(|warning| warning.contains("--data")),
        "{:?}",
        without.warnings
    );
    assert!(has(&page(&folder, Some(&moved)).html, "map"));
}

#[test]
fn a_damaged_checkpoint_leaves_what_the_encoder_shows() {
    let scratch = tempfile::tempdir().unwrap();
    run(&recipe("mae"), scratch.path(), None);
    let last = scratch.path().join("checkpoints/last.safetensors");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    let html = page(scratch.path(), None).html;
    assert!(has(&html, "map") && has(&html, "neighbors") && !has(&html, "restored"));
    fs::remove_file(scratch.path().join("encoder.safetensors")).unwrap();
    let html = page(scratch.path(), None).html;
    assert!(has(&html, "curves") && !has(&html, "map"));
}
