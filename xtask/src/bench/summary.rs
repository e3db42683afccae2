//! From measures to a table: medians over the rounds, and ratios of neighbors in time.

use serde_json::{Value, json};

/// One piece of work on both sides.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    ours: Side,
    /// PyTorch's fastest variant.
    torch: Option<Side>,
    /// Our time over PyTorch's, lowest, median and highest of the rounds.
    ratio: Option<[f64; 3]>,
}

/// One side's medians over the rounds.
#[derive(Debug, Clone)]
struct Side {
    variant: String,
    total: f64,
    forward: f64,
    backward: f64,
    peak_mib: Option<f64>,
}

/// A row for each piece of work, in the order in which they were first measured.
pub(super) fn rows(measures: &[Value]) -> Vec<Row> {
    let mut names: Vec<String> = Vec::new();
    for measure in measures {
        let name = name(measure);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.iter().filter_map(|one| row(one, measures)).collect()
}

fn row(wanted: &str, measures: &[Value]) -> Option<Row> {
    let of = |side: &str| -> Vec<&Value> {
        let fits = |measure: &&Value| measure["side"] == side && name(measure) == wanted;
        measures.iter().filter(fits).collect()
    };
    let ours = of("autodidact");
    let torch = of("torch");
    let mut variants: Vec<&str> = torch.iter().map(|one| variant(one)).collect();
    variants.sort_unstable();
    variants.dedup();
    let fastest = variants
        .into_iter()
        .map(|wanted| {
            let fits = |one: &&Value| variant(one) == wanted;
            torch.iter().copied().filter(fits).collect::<Vec<_>>()
        })
        .filter_map(|of_variant| Some((side(&of_variant)?, of_variant)))
        .min_by(|a, b| a.0.total.total_cmp(&b.0.total));
    let ratio = fastest.as_ref().and_then(|(_, theirs)| {
        let mut ratios: Vec<f64> = ours
            .iter()
            .filter_map(|one| {
                let beside = theirs.iter().find(|other| other["round"] == one["round"])?;
                Some(total(one)? / total(beside)?)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let (first, last) = (*ratios.first()?, *ratios.last()?);
        Some([first, median(ratios)?, last])
    });
    Some(Row {
        name: wanted.to_owned(),
        ours: side(&ours)?,
        torch: fastest.map(|(side, _)| side),
        ratio,
    })
}

fn side(measures: &[&Value]) -> Option<Side> {
    let of = |get: &dyn Fn(&Value) -> Option<f64>| {
        median(measures.iter().filter_map(|one| get(one)).collect())
    };
    Some(Side {
        variant: variant(measures.first()?).to_owned(),
        total: of(&total)?,
        forward: of(&|one| time(&one["forward_ms"]))?,
        backward: of(&|one| time(&one["backward_ms"]))?,
        peak_mib: of(&|one| one["peak_mib"].as_f64()),
    })
}

/// A workload's name, or a case's kernel with its dimensions.
fn name(measure: &Value) -> String {
    if let Some(workload) = measure["workload"].as_str() {
        return workload.to_owned();
    }
    let case = &measure["case"];
    let dims = case["dims"].as_array();
    let dims: Vec<String> = dims.into_iter().flatten().map(Value::to_string).collect();
    let parts = [
        case["kernel"].as_str().unwrap_or_default(),
        &dims.join("×"),
        case["with"].as_str().unwrap_or_default(),
    ];
    parts.join(" ").trim_end().to_owned()
}

fn variant(measure: &Value) -> &str {
    measure["variant"].as_str().unwrap_or_default()
}

/// Milliseconds, of quartiles the median.
fn time(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.get(1)?.as_f64())
}

fn total(measure: &Value) -> Option<f64> {
    measure["ms"]
        .as_f64()
        .or_else(|| Some(time(&measure["forward_ms"])? + time(&measure["backward_ms"])?))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(values[middle - 1], upper))
}

/// A line to watch while it measures.
pub(super) fn progress(measure: &Value) -> String {
    let total = total(measure).map_or("no such kernel".to_owned(), |ms| format!("{ms:.2} ms"));
    format!(
        "round {}: {} {} {}: {total}",
        measure["round"],
        name(measure),
        measure["side"].as_str().unwrap_or_default(),
        variant(measure),
    )
}

/// For people; `rows` in their order.
pub(super) fn table(rows: &[Row]) -> String {
    let ms = |ms: f64| format!("{ms:.*}", if ms < 10.0 { 3 } else { 1 });
    let mib = |side: &Side| {
        side.peak_mib
            .map_or(String::new(), |mib| format!("{mib:.0}"))
    };
    let mut lines = vec![
        [
            "",
            "ms",
            "forward",
            "backward",
            "MiB",
            "PyTorch ms",
            "forward",
            "backward",
            "MiB",
            "variant",
            "ours ÷ PyTorch",
        ]
        .map(str::to_owned),
    ];
    for row in rows {
        let ratio = row.ratio.map_or(String::new(), |[low, middle, high]| {
            format!("{middle:.2} ({low:.2}–{high:.2})")
        });
        let times = |side: &Side| {
            [
                ms(side.total),
                ms(side.forward),
                ms(side.backward),
                mib(side),
            ]
        };
        let [a, b, c, d] = times(&row.ours);
        let [e, f, g, h] = row.torch.as_ref().map(times).unwrap_or_default();
        let variant = row.torch.as_ref().map(|side| side.variant.clone());
        let variant = variant.unwrap_or_default();
        lines.push([row.name.clone(), a, b, c, d, e, f, g, h, variant, ratio]);
    }
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let lines = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Row {
    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let side = |side: &Side| {
            json!({
                "variant": side.variant,
                "ms": side.total,
                "forward_ms": side.forward,
                "backward_ms": side.backward,
                "peak_mib": side.peak_mib,
            })
        };
        json!({
            "name": self.name,
            "ours": side(&self.ours),
            "torch": self.torch.as_ref().map(side),
            "ratio": self.ratio,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(side: &str, variant: &str, round: usize, ms: f64) -> Value {
        json!({
            "workload": "gru-cpc", "side": side, "variant": variant, "round": round,
            "ms": ms, "forward_ms": ms / 3.0, "backward_ms": ms / 2.0, "peak_mib": 100.0,
        })
    }

    #[test]
    fn the_ratio_is_to_the_fastest_variant_round_by_round() {
        let measures = [
            step("autodidact", "f32", 0, 10.0),
            step("torch", "f32", 0, 20.0),
            step("torch", "f32-channels-last", 0, 8.0),
            step("autodidact", "f32", 1, 30.0),
            step("torch", "f32", 1, 9.0),
            step("torch", "f32-channels-last", 1, 10.0),
            step("autodidact", "f32", 2, 12.0),
            step("torch", "f32", 2, 19.0),
            step("torch", "f32-channels-last", 2, 12.0),
        ];
        let rows = rows(&measures);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].ours.total, 12.0);
        let torch = rows[0].torch.as_ref().unwrap();
        assert_eq!(
            (torch.variant.as_str(), torch.total),
            ("f32-channels-last", 10.0)
        );
        assert_eq!(rows[0].ratio, Some([1.0, 1.25, 3.0]));
        assert!(table(&rows).contains("1.25 (1.00–3.00)"));
    }

    #[test]
    fn a_kernel_that_one_side_lacks_is_left_out_or_alone() {
        let case = json!({"kernel": "gru", "dims": [2, 3]});
        let ours = json!({"case": case, "side": "autodidact", "variant": "f32", "round": 0,
            "forward_ms": null, "backward_ms": null});
        let torch = json!({"case": case, "side": "torch", "variant": "f32", "round": 0,
            "forward_ms": [1.0, 2.0, 3.0], "backward_ms": [1.0, 4.0, 5.0]});
        assert!(rows(&[ours, torch.clone()]).is_empty());
        let mut ours = torch.clone();
        ours["side"] = "autodidact".into();
        let alone = rows(&[ours]);
        assert_eq!(alone[0].name, "gru 2×3");
        assert_eq!((alone[0].ours.total, alone[0].ratio), (6.0, None));
    }
}
