use std::sync::Arc;

use faer::{Mat, Side};

use super::super::toy::{Toy, ToyBatch};
use super::*;
use crate::layers::init::tests_device;
use crate::layers::state::{State, load_state, state_of};

const AT: Step = Step {
    number: 3,
    part: 0,
    progress: 1.0,
    seed: 2,
};

/// Documents in one row, parted by the symbol 0, which stands for no data, with padding at the end.
fn batch(documents: &[&[u32]]) -> ToyBatch {
    let (mut ids, mut of) = (Vec::new(), Vec::new());
    for (number, document) in documents.iter().enumerate() {
        ids.push(0);
        ids.extend_from_slice(document);
        of.resize(ids.len(), number as u32 + 1);
    }
    ids.push(1);
    of.push(0);
    let mut batch = ToyBatch::new(&ids);
    let mut symbols = (*batch.symbols).clone();
    symbols.documents = of;
    batch.symbols = Arc::new(symbols);
    batch
}

/// Over so many symbols, made of these parts.
fn method(settings: &Ppmi, symbols: usize, parts: Vec<Vec<u32>>) -> PpmiMethod<Toy> {
    let device = tests_device();
    let toy = Toy {
        parts: Arc::new(parts),
        ..Toy::new(symbols, &device)
    };
    settings.build(toy, &mut Init::new(4, &device)).unwrap()
}

fn counted(method: PpmiMethod<Toy>, batches: &[ToyBatch]) -> PpmiMethod<Toy> {
    batches.iter().fold(method, |method, batch| {
        let (_, bags) = method.loss(vec![batch.clone()], &AT).unwrap();
        method.after_step(vec![bags], &AT)
    })
}

/// The vectors that come of some documents.
fn solved(settings: &Ppmi, symbols: usize, parts: Vec<Vec<u32>>, of: &[&[u32]]) -> Vec<Vec<f32>> {
    let method = counted(method(settings, symbols, parts), &[batch(of)]);
    let table = host(method.settled(&AT).unwrap().encoder.table.val());
    assert!(table.iter().all(|value| value.is_finite()));
    table.chunks(symbols).map(<[f32]>::to_vec).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}

fn near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < 1e-5,
            "{what}: {found} beside {expected}"
        );
    }
}

#[test]
fn counts_are_those_of_all_pairs_of_places() {
    let documents: [&[u32]; 2] = [&[1, 2, 2, 3], &[3, 1, 3]];
    let parts = vec![vec![], vec![0, 1], vec![1], vec![0, 2], vec![3]];
    let found = counted(
        method(&Ppmi::default(), 5, parts.clone()),
        &[batch(&documents)],
    );
    let mut company = vec![0f32; 25];
    let mut occurrences = vec![0f32; 5];
    let mut having = vec![0f32; 4];
    for document in documents {
        for &one in document {
            occurrences[one as usize] += 1.0;
            for &other in document {
                company[5 * one as usize + other as usize] += 1.0 / document.len() as f32;
            }
        }
        for (part, having) in having.iter_mut().enumerate() {
            let has = |symbol: &u32| parts[*symbol as usize].contains(&(part as u32));
            *having += f32::from(u8::from(document.iter().any(has)));
        }
    }
    let sums = host(found.company.val());
    near(&counts::matrix(&sums, 5), &company, "company");
    near(&host(found.occurrences.val()), &occurrences, "occurrences");
    near(&host(found.having.val()), &having, "having");
    assert_eq!(host(found.documents.val()), [2.0]);
}

#[test]
fn batches_come_to_what_one_of_all_comes_to_in_any_order() {
    let batches: [ToyBatch; 3] = [
        batch(&[&[1, 2, 3], &[4, 4, 1]]),
        batch(&[&[2, 5]]),
        batch(&[&[5, 4, 3, 2, 1]]),
    ];
    let fresh = || method(&Ppmi::default(), 6, Vec::new());
    let one_by_one = counted(fresh(), &batches);
    let [a, b, c] = batches;
    let backward = counted(fresh(), &[c.clone(), b.clone(), a.clone()]);
    let parts = [a, b, c].map(|batch| fresh().loss(vec![batch], &AT).unwrap().1);
    let together = fresh().after_step(parts.to_vec(), &AT);
    let [expected, backward, together] = [one_by_one, backward, together].map(|of| state_of(&of));
    for name in ["company", "occurrences", "having", "documents"] {
        near(&backward[name].values, &expected[name].values, name);
        near(&together[name].values, &expected[name].values, name);
    }
}

/// 1 and 2 stand beside the same symbols, 6 beside others.
#[test]
fn symbols_in_the_same_company_come_near_each_other() {
    let documents: [&[u32]; 8] = [
        &[1, 3, 4],
        &[2, 3, 4],
        &[1, 5, 3],
        &[2, 5, 3],
        &[6, 7, 8],
        &[6, 9, 7],
        &[6, 8, 9],
        &[6, 7, 9],
    ];
    let settings = Ppmi {
        share: 0.0,
        ..Ppmi::default()
    };
    let vectors = solved(&settings, 11, Vec::new(), &documents);
    assert!(cosine(&vectors[1], &vectors[2]) > 0.9);
    assert!(cosine(&vectors[1], &vectors[6]) < 0.3);
    // What stands for no data, and what was never seen.
    assert!(
        vectors[0]
            .iter()
            .chain(&vectors[10])
            .all(|value| *value == 0.0)
    );
}

#[test]
fn symbols_that_are_made_of_the_same_come_near_each_other() {
    let parts = vec![
        vec![],
        vec![0, 1, 2],
        vec![0, 1, 3],
        vec![4, 5, 6],
        vec![7, 8, 9],
        // Never seen.
        vec![0, 1, 10],
    ];
    let documents: [&[u32]; 8] = [&[1, 3], &[2, 4], &[1, 4], &[2, 3], &[1], &[2], &[3], &[4]];
    let settings = Ppmi {
        share: 1.0,
        ..Ppmi::default()
    };
    let vectors = solved(&settings, 6, parts, &documents);
    let to = |other: usize| cosine(&vectors[1], &vectors[other]);
    assert!(to(2) > to(3) + 0.2 && to(2) > to(4) + 0.2);
    assert!(to(5) > to(3) + 0.2, "{} {}", to(5), to(3));
    assert!(vectors[0].iter().all(|value| *value == 0.0));
}

/// Symbols 20 to 24 are never seen, and from 30 on they have no parts; the others' 15 parts have 13 axes.
#[test]
fn what_is_solved_among_symbols_is_what_parts_would_give() {
    let parts = (0..40).map(|symbol: u32| match symbol {
        1..30 => vec![symbol % 7, 7 + symbol % 5, 12 + symbol % 3],
        _ => Vec::new(),
    });
    let parts: Vec<Vec<u32>> = parts.collect();
    let documents = (0..60).map(|number: u32| {
        let symbols = (0..3 + number % 5).map(move |k| 1 + (number * (k + 2) + 5 * k * k) % 39);
        symbols.filter(|symbol| !(20..25).contains(symbol))
    });
    let documents: Vec<Vec<u32>> = documents.map(Iterator::collect).collect();
    let settings = Ppmi {
        share: 0.4,
        rounds: 12,
        ..Ppmi::default()
    };
    let slices: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
    let found = solved(&settings, 40, parts.clone(), &slices);

    let having = |part: u32| {
        let has = |document: &&Vec<u32>| {
            let mut own = document.iter().flat_map(|symbol| &parts[*symbol as usize]);
            own.any(|own| *own == part)
        };
        documents.iter().filter(has).count() as f64
    };
    let weights: Vec<f64> = (0..15)
        .map(|part| (61.0 / (1.0 + having(part))).ln() + 1.0)
        .collect();
    let spelling = Mat::from_fn(40, 15, |symbol, part| {
        match parts[symbol].contains(&(part as u32)) {
            true => weights[part],
            false => 0.0,
        }
    });
    let mut company = Mat::<f64>::zeros(40, 40);
    for document in &documents {
        for &one in document {
            for &other in document {
                company[(one as usize, other as usize)] += 1.0 / document.len() as f64;
            }
        }
    }
    let whole = spelling.transpose() * &company * &spelling;
    let axes = whole.self_adjoint_eigen(Side::Lower).unwrap();
    let table = &spelling * axes.U();
    // Ascending, as they come.
    let stretches: f64 = (2..15).map(|at| axes.S()[at]).sum();
    for place in 0..16 {
        let column: Vec<f64> = found.iter().map(|row| f64::from(row[place])).collect();
        let expected: Vec<f64> = (0..40)
            .map(|symbol| match place < 13 {
                true => table[(symbol, 14 - place)] * (60.0 / stretches).sqrt(),
                false => 0.0,
            })
            .collect();
        let along: f64 = column.iter().zip(&expected).map(|(a, b)| a * b).sum();
        for (found, expected) in column.iter().zip(&expected) {
            let found = found * along.signum();
            assert!(
                (found - expected).abs() < 1e-3,
                "{place}: {found} beside {expected}"
            );
        }
    }
}

#[test]
fn where_nothing_was_counted_or_has_parts_vectors_are_finite() {
    let some = vec![vec![], vec![0, 1], vec![1], vec![0, 2], vec![]];
    for (parts, company) in [(some.clone(), 0.0), (some, 1.0), (vec![vec![]; 5], 1.0)] {
        let vocabulary = Vocabulary {
            size: 5,
            mask: 0,
            special: Arc::new(vec![0]),
            seams: Arc::default(),
            parts: Arc::new(parts),
        };
        let counts = Counts {
            documents: company,
            occurrences: &[company as f32; 5],
            having: &[company as f32; 3],
            company: &[company as f32; 15],
        };
        let found = vectors(
            &counts,
            &vocabulary,
            4,
            &Ppmi::default(),
            &tests_device(),
            &mut AT.rng(),
        );
        let found = found.unwrap();
        assert!(found.iter().all(|value| value.is_finite()), "{found:?}");
        assert_eq!(found.iter().any(|value| *value != 0.0), company > 0.0);
    }
}

#[test]
fn both_parts_of_a_vector_weigh_the_same_in_documents() {
    let documents: [&[u32]; 4] = [&[1, 2, 3, 1], &[2, 4], &[3, 4, 5, 5], &[1, 5, 2]];
    let settings = Ppmi {
        share: 0.5,
        ..Ppmi::default()
    };
    let vectors = solved(&settings, 6, Vec::new(), &documents);
    for part in [0..3, 3..6] {
        let squares: f32 = documents
            .iter()
            .map(|document| {
                let along = |place: usize| -> f32 {
                    let values = document.iter().map(|&id| vectors[id as usize][place]);
                    values.sum()
                };
                let square: f32 = part.clone().map(|place| along(place).powi(2)).sum();
                square / document.len() as f32
            })
            .sum();
        assert!((squares / 4.0 - 1.0).abs() < 1e-3, "{part:?}: {squares}");
    }
}

#[test]
fn nothing_seen_changes_nothing_and_a_state_holds_what_was_seen() {
    let settings = Ppmi::default();
    let fresh = || method(&settings, 6, Vec::new());
    let before = host(fresh().encoder.table.val());
    let still = fresh().settled(&AT).unwrap();
    assert_eq!(before, host(still.encoder.table.val()));
    // A batch of nothing.
    let still = counted(fresh(), &[batch(&[&[0, 0]])]).settled(&AT).unwrap();
    assert_eq!(before, host(still.encoder.table.val()));

    let seen = counted(fresh(), &[batch(&[&[1, 2, 3], &[4, 4, 1], &[2, 5]])]);
    let state: State = state_of(&seen);
    let [first, second] = [seen, load_state(fresh(), &state).unwrap()]
        .map(|method| state_of(&method.settled(&AT).unwrap()));
    assert_eq!(first, second);
    assert_ne!(first["encoder.table"], state["encoder.table"]);
    // With nothing new, what was solved for stays.
    let again = load_state(fresh(), &first).unwrap();
    let later = Step { number: 9, ..AT };
    assert_eq!(state_of(&again.settled(&later).unwrap()), first);
}

/// A row of one symbol, another of two halves that are alike.
#[test]
fn halves_are_of_what_holds_data() {
    let symbols = Symbols {
        length: 6,
        ids: [[0, 3, 0, 0, 0, 1], [0, 1, 2, 1, 2, 0]].concat(),
        next: vec![None; 12],
        documents: [[1, 1, 1, 0, 0, 0], [1; 6]].concat(),
    };
    let vocabulary = Vocabulary {
        size: 4,
        mask: 0,
        special: Arc::new(vec![0]),
        seams: Arc::default(),
        parts: Arc::default(),
    };
    let [first, second] = halves(&symbols, &vocabulary).map(|half| {
        let places = half.iter().enumerate().filter(|(_, kept)| **kept);
        places.map(|(place, _)| place).collect::<Vec<_>>()
    });
    assert_eq!((first, second), (vec![1, 7, 8], vec![9, 10]));
}

#[test]
fn settings_out_of_range_are_named() {
    let usual = Ppmi::default;
    assert!(usual().check().is_ok());
    for (settings, key) in [
        (
            Ppmi {
                context: 1.5,
                ..usual()
            },
            "method.context",
        ),
        (
            Ppmi {
                share: -0.1,
                ..usual()
            },
            "method.share",
        ),
        (
            Ppmi {
                rarity: 5.0,
                ..usual()
            },
            "method.rarity",
        ),
        (
            Ppmi {
                rounds: 0,
                ..usual()
            },
            "method.rounds",
        ),
    ] {
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
