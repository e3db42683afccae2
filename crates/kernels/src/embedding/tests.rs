use burn::tensor::{Int, Tensor, TensorData};

use super::{embedding, embedding_reference};
use crate::oracle::{assert_close, device, double, tensor, values};

fn numbers(ids: Vec<i64>, shape: [usize; 2]) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(ids, shape), &device())
}

/// Ids of which some are frequent and, where there are enough entries, some never occur.
fn spread(count: usize, entries: usize) -> Vec<i64> {
    (0..count)
        .map(|i| {
            if i % 3 == 0 {
                0
            } else {
                (i * i * 5 % entries) as i64
            }
        })
        .collect()
}

fn check(weight: Tensor<2>, ids: Tensor<2, Int>) {
    let ([entries, dim], [batch, length]) = (weight.dims(), ids.dims());
    let weight = weight.require_grad();
    let upstream = tensor([batch, length, dim], 3);
    let output = embedding(weight.clone(), ids.clone());
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (w, up) = (double(&weight), double(&upstream));
    let places: Vec<i64> = ids
        .clone()
        .into_data()
        .convert::<i64>()
        .try_to_vec()
        .unwrap();
    let mut expected_output = vec![0.0; up.len()];
    let mut expected_weight = vec![0.0; w.len()];
    for (place, id) in places.iter().enumerate() {
        for d in 0..dim {
            expected_output[place * dim + d] = w[*id as usize * dim + d];
            expected_weight[*id as usize * dim + d] += up[place * dim + d];
        }
    }
    let name = format!("[{entries}, {dim}] by [{batch}, {length}]");
    assert_close(&format!("output of {name}"), &output, &expected_output);
    assert_close(
        &format!("weight of {name}"),
        &weight.grad(&gradients).unwrap(),
        &expected_weight,
    );
    let twin = embedding_reference(weight, ids);
    assert_close(&format!("twin of {name}"), &twin, &expected_output);
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for (entries, dim, batch, length) in [
        (1, 1, 1, 1),
        (5, 3, 2, 4),
        (4, 17, 1, 50),
        (1000, 33, 3, 7),
        (50, 64, 16, 128),
    ] {
        let ids = numbers(spread(batch * length, entries), [batch, length]);
        check(tensor([entries, dim], 1), ids);
    }
}

#[test]
fn transposed_inputs_are_read_right() {
    let ids = numbers(spread(24, 9), [4, 6]).transpose();
    check(tensor([8, 9], 1).transpose(), ids);
}

#[test]
fn no_ids_make_an_empty_output_and_a_gradient_of_zero() {
    let weight = tensor([4, 3], 1).require_grad();
    let ids = numbers(vec![0, 1], [1, 2]).slice([0..0, 0..2]);
    let output = embedding(weight.clone(), ids);
    assert_eq!(output.dims(), [0, 2, 3]);
    let gradients = output.sum().backward();
    assert_eq!(values(&weight.grad(&gradients).unwrap()), [0.0; 12]);
}

#[test]
#[should_panic(expected = "found the id 4 at [1, 0], expected one below the number of entries, 4")]
fn an_id_out_of_range_is_named() {
    embedding(tensor([4, 3], 1), numbers(vec![0, 3, 4, 1], [2, 2]));
}

#[test]
#[should_panic(expected = "found the id -1 at [0, 1]")]
fn a_negative_id_is_named() {
    embedding(tensor([4, 3], 1), numbers(vec![0, -1], [1, 2]));
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let weight = tensor([301, 48], 1).require_grad();
        let output = embedding(weight.clone(), numbers(spread(4096, 301), [32, 128]));
        let gradients = output.clone().powi_scalar(2).sum().backward();
        [values(&output), values(&weight.grad(&gradients).unwrap())]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
