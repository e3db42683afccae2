use super::Engine;
use super::block::{Block, Ready, Step};
use super::rounded::{Items, Line, nearest, numbers_mut, pair_row, round, widened};
use crate::oracle::numbers;

/// Every engine of this machine.
fn engines() -> Vec<Engine> {
    Engine::available()
        .into_iter()
        .chain([Engine::Plain])
        .collect()
}

#[test]
fn rounding_is_to_the_nearest_and_to_even() {
    for (value, expected) in [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3f80),
        (1.0 + 1.0 / 256.0, 0x3f80), // a tie: down to even
        (1.0 + 3.0 / 256.0, 0x3f82), // a tie: up to even
        (1.0 + 1.01 / 256.0, 0x3f81),
        (f32::MAX, 0x7f80),
        (f32::NEG_INFINITY, 0xff80),
    ] {
        assert_eq!(nearest(value), expected, "{value}");
    }
    assert!(widened(nearest(f32::from_bits(0x7f80_0001))).is_nan());
    for value in numbers(1000, 1) {
        let error = (widened(nearest(value)) - value).abs();
        assert!(error <= value.abs() / 256.0);
    }
}

#[test]
fn every_engine_rounds_alike() {
    let mut values = numbers(1000, 1);
    values.extend([
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
        0.0,
        f32::MAX,
        f32::INFINITY,
    ]);
    for engine in engines() {
        for length in [0, 1, 15, 16, 17, 31, 32, 33, values.len()] {
            let values = &values[values.len() - length..];
            let mut found = vec![0; length];
            round(engine, values, &mut found);
            let expected: Vec<u16> = values.iter().map(|value| nearest(*value)).collect();
            assert_eq!(found, expected, "{engine:?} {length}");
        }
    }
}

#[test]
fn every_engine_arranges_alike() {
    let pitch = 5 * 32;
    let source: Vec<u16> = (0..32 * pitch as u16).collect();
    let items = Items {
        numbers: &source,
        pitch,
    };
    for engine in engines() {
        for lines in [16, 32] {
            for start in [0, 32, 96] {
                let mut pairs = vec![Line::ZERO; lines];
                let mut transposed = vec![Line::ZERO; lines];
                items.tiles(engine, start, false, &mut pairs);
                items.tiles(engine, start, true, &mut transposed);
                for item in 0..32 {
                    for column in 0..lines {
                        let (tile, row) = (16 * (column / 16), column % 16);
                        let expected = source[item * pitch + start + column];
                        let pair = pairs[tile + item / 2].0[2 * row + item % 2];
                        assert_eq!(pair, expected, "{engine:?} {lines} {start}");
                        assert_eq!(transposed[column].0[item], expected, "{engine:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_engine_packs_rows_of_pairs_alike() {
    let (even, odd) = (numbers(400, 1), numbers(400, 2));
    for engine in engines() {
        for stride in [1, 9, 25] {
            for columns in [0, 1, 7, 16, 40] {
                for odd in [None, Some(odd.as_slice())] {
                    let mut line = Line([7; 32]);
                    pair_row(engine, &even, odd, stride, columns, &mut line);
                    for column in 0..16 {
                        let expected = |values: Option<&[f32]>| match values {
                            Some(values) if column < columns => nearest(values[column * stride]),
                            _ => 0,
                        };
                        assert_eq!(line.0[2 * column], expected(Some(&even)), "{engine:?}");
                        assert_eq!(line.0[2 * column + 1], expected(odd), "{engine:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_engine_sums_blocks_of_every_size() {
    // Left tiles 40 numbers apart from row to row, right tiles in pairs, steps in no order.
    let (pitch, steps) = (40, [2usize, 0, 1]);
    let left: Vec<u16> = numbers(100 * pitch, 1).into_iter().map(nearest).collect();
    let mut right = vec![Line::ZERO; 3 * 32];
    round(
        Engine::Plain,
        &numbers(3 * 32 * 32, 2),
        numbers_mut(&mut right),
    );
    let begin = numbers(32 * 32, 3);
    for engine in engines() {
        for tiles in [[1, 1], [1, 2], [2, 1], [2, 2]] {
            for from in 0..3 {
                for count in 0..=steps.len() {
                    let listed = steps.map(|step| Step {
                        left: step * 20,
                        right: step * 2048,
                    });
                    let mut found = vec![f32::NAN; 32 * 32];
                    let to = found.as_mut_ptr();
                    let block = Block {
                        left: [left.as_ptr(), left[17 * pitch..].as_ptr()],
                        left_stride: 2 * pitch,
                        right: right.as_ptr().cast(),
                        steps: listed.as_ptr(),
                        count,
                        from: match from {
                            0 => [std::ptr::null(); 2],
                            1 => [begin.as_ptr(); 2],
                            _ => [begin.as_ptr(), begin[16 * 32..].as_ptr()],
                        },
                        from_stride: if from == 1 { 0 } else { 128 },
                        to: [to, to.wrapping_add(16 * 32)],
                        to_stride: 128,
                    };
                    // SAFETY: tiles, sums and steps are as large as the block says.
                    unsafe { Ready::new(engine).run(&block, tiles) };
                    for row in 0..32 {
                        for column in 0..32 {
                            let found = found[32 * row + column];
                            if row >= 16 * tiles[0] || column >= 16 * tiles[1] {
                                assert!(found.is_nan(), "written outside of the block");
                                continue;
                            }
                            let mut expected = match from {
                                0 => 0.0,
                                1 => f64::from(begin[column]),
                                _ => f64::from(begin[32 * row + column]),
                            };
                            for step in &steps[..count] {
                                let first = (row + row / 16) * pitch + step * 10;
                                for k in 0..32 {
                                    let pair = right[step * 32 + column / 16 * 16 + k / 2].0;
                                    expected += f64::from(widened(left[first + k]))
                                        * f64::from(widened(pair[column % 16 * 2 + k % 2]));
                                }
                            }
                            assert!(
                                (f64::from(found) - expected).abs() < 1e-5,
                                "{engine:?} {tiles:?} {from} {count}: {found} {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
