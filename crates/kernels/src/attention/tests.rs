use burn::tensor::{Bool, Tensor, TensorData};

use super::{attention, attention_reference};
use crate::oracle::{assert_close, device, double, tensor, values};

struct Naive {
    output: Vec<f64>,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
}

fn naive(
    [q, k, v]: [&Tensor<4>; 3],
    scale: f64,
    valid: Option<&[bool]>,
    upstream: &[f64],
) -> Naive {
    let ([batch, heads, queries, dim], keys, out) = (q.dims(), k.dims()[2], v.dims()[3]);
    let [q, k, v] = [q, k, v].map(double);
    let mut naive = Naive {
        output: vec![0.0; upstream.len()],
        q: vec![0.0; q.len()],
        k: vec![0.0; k.len()],
        v: vec![0.0; v.len()],
    };
    for pair in 0..batch * heads {
        for i in 0..queries {
            let q_row = (pair * queries + i) * dim;
            let k_row = |j: usize| (pair * keys + j) * dim;
            let v_row = |j: usize| (pair * keys + j) * out;
            let seen = |j: usize| valid.is_none_or(|valid| valid[pair / heads * keys + j]);
            let weight = |j: usize| {
                let score = (0..dim)
                    .map(|d| q[q_row + d] * k[k_row(j) + d])
                    .sum::<f64>();
                if seen(j) { (score * scale).exp() } else { 0.0 }
            };
            let sum: f64 = (0..keys).map(weight).sum();
            if sum == 0.0 {
                continue;
            }
            let up = &upstream[(pair * queries + i) * out..][..out];
            let slope = |j: usize| (0..out).map(|d| up[d] * v[v_row(j) + d]).sum::<f64>();
            let mean: f64 = (0..keys).map(|j| weight(j) / sum * slope(j)).sum();
            for j in 0..keys {
                let weight = weight(j) / sum;
                for d in 0..out {
                    naive.output[(pair * queries + i) * out + d] += weight * v[v_row(j) + d];
                    naive.v[v_row(j) + d] += weight * up[d];
                }
                let score = weight * (slope(j) - mean) * scale;
                for d in 0..dim {
                    naive.q[q_row + d] += score * k[k_row(j) + d];
                    naive.k[k_row(j) + d] += score * q[q_row + d];
                }
            }
        }
    }
    naive
}

fn check(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, valid: Option<Vec<bool>>) {
    let ([batch, heads, queries, _], keys, out) = (q.dims(), k.dims()[2], v.dims()[3]);
    let [q, k, v] = [q, k, v].map(Tensor::require_grad);
    let upstream = tensor([batch, heads, queries, out], 4);
    let expected = naive([&q, &k, &v], 0.7, valid.as_deref(), &double(&upstream));
    let mask = valid.map(|valid| {
        Tensor::<2, Bool>::from_data(TensorData::new(valid, [batch, keys]), &device())
    });
    let name = format!("{:?} keys {keys} masked {}", q.dims(), mask.is_some());
    let output = attention(q.clone(), k.clone(), v.clone(), 0.7, mask.clone());
    assert_close(&format!("output {name}"), &output, &expected.output);
    let gradients = (output * upstream).sum().backward();
    assert_close(
        &format!("q {name}"),
        &q.grad(&gradients).unwrap(),
        &expected.q,
    );
    assert_close(
        &format!("k {name}"),
        &k.grad(&gradients).unwrap(),
        &expected.k,
    );
    assert_close(
        &format!("v {name}"),
        &v.grad(&gradients).unwrap(),
        &expected.v,
    );
    let twin = attention_reference(q, k, v, 0.7, mask);
    assert_close(&format!("twin {name}"), &twin, &expected.output);
}

#[test]
fn values_and_gradients_match_naive_loops() {
    let shape = [2, 3, 17, 9];
    check(tensor(shape, 1), tensor(shape, 2), tensor(shape, 3), None);
    let shape = [1, 1, 1, 4];
    check(tensor(shape, 1), tensor(shape, 2), tensor(shape, 3), None);
    check(
        tensor([2, 2, 5, 8], 1),
        tensor([2, 2, 11, 8], 2),
        tensor([2, 2, 11, 3], 3),
        None,
    );
}

#[test]
fn many_queries_are_taken_in_blocks() {
    check(
        tensor([1, 2, 300, 8], 1),
        tensor([1, 2, 500, 8], 2),
        tensor([1, 2, 500, 8], 3),
        None,
    );
}

#[test]
fn invalid_keys_are_not_seen() {
    let shape = [2, 2, 6, 8];
    let valid = vec![
        true, true, false, true, false, false, // The first image sees three keys,
        false, false, false, false, false, false, // the second none.
    ];
    check(
        tensor(shape, 1),
        tensor(shape, 2),
        tensor(shape, 3),
        Some(valid),
    );
}

#[test]
fn permuted_heads_are_read_right() {
    let split = |seed| tensor([2, 7, 3, 8], seed).swap_dims(1, 2);
    check(split(1), split(2), split(3), None);
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let [q, k, v] = [1, 2, 3].map(|seed| tensor([4, 4, 65, 32], seed).require_grad());
        let output = attention(q.clone(), k.clone(), v.clone(), 0.2, None);
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let [q, k, v] = [q, k, v].map(|tensor| values(&tensor.grad(&gradients).unwrap()));
        [values(&output), q, k, v].map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
