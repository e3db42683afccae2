use burn::tensor::{Bool, Tensor, TensorData};

use super::{
    Spans, attention, attention_packed, attention_packed_reference, attention_packed_within,
    attention_packed_within_reference, attention_reference, attention_within,
    attention_within_reference,
};
use crate::oracle::{assert_close, device, double, numbers, tensor, values};

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
    let keys = k.dims()[2];
    let seen =
        |image: usize, _: usize, key: usize| valid.is_none_or(|valid| valid[image * keys + key]);
    naive_seen([q, k, v], scale, &seen, upstream)
}

/// Where `seen(image, query, key)`.
fn naive_seen(
    [q, k, v]: [&Tensor<4>; 3],
    scale: f64,
    seen: &dyn Fn(usize, usize, usize) -> bool,
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
            let seen = |j: usize| seen(pair / heads, i, j);
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
fn a_query_that_is_no_number_is_none_that_sees_nothing() {
    let shape = [1, 1, 3, 4];
    let mut queries = numbers(12, 1);
    queries[4..8].fill(f32::NAN);
    let q = Tensor::<4>::from_data(TensorData::new(queries, shape), &device());
    let [k, v] = [2, 3].map(|seed| tensor(shape, seed));
    let mask = TensorData::new(vec![true, true, false], [1, 3]);
    let mask = Tensor::<2, Bool>::from_data(mask, &device());
    let outputs = [
        attention(q.clone(), k.clone(), v.clone(), 0.7, None),
        attention(q.clone(), k.clone(), v.clone(), 0.7, Some(mask)),
        attention_within(q, k, v, 0.7, &Spans::new(vec![[0, 2]; 3], 3)),
    ];
    for output in outputs {
        for (query, row) in values(&output).chunks_exact(4).enumerate() {
            assert!(row.iter().all(|value| value.is_nan() == (query == 1)));
        }
    }
}

#[test]
fn permuted_heads_are_read_right() {
    let split = |seed| tensor([2, 7, 3, 8], seed).swap_dims(1, 2);
    check(split(1), split(2), split(3), None);
}

/// The packed form against the separate one, which is checked above.
fn check_packed([batch, tokens, heads, dim]: [usize; 4], valid: Option<Vec<bool>>) {
    let width = heads * dim;
    let qkv = tensor([batch, tokens, 3 * width], 1).require_grad();
    let upstream = tensor([batch, tokens, width], 2);
    let split = |tensor: Tensor<3>| {
        tensor
            .reshape([batch, tokens, heads, dim])
            .swap_dims(1, 2)
            .detach()
    };
    let parts = [0, 1, 2].map(|i| split(qkv.clone().narrow(2, i * width, width)));
    let up = double(&split(upstream.clone()));
    let [q, k, v] = &parts;
    let expected = naive([q, k, v], 0.7, valid.as_deref(), &up);
    // From [batch, heads, tokens, dim] to where the packed tensors have it.
    let packed = |parts: &[&[f64]]| {
        let mut rows = vec![0.0; parts.len() * batch * tokens * width];
        for (part, values) in parts.iter().enumerate() {
            for (i, value) in values.iter().enumerate() {
                let (d, token) = (i % dim, i / dim % tokens);
                let (head, image) = (i / (dim * tokens) % heads, i / (dim * tokens * heads));
                let row = (image * tokens + token) * parts.len() + part;
                rows[row * width + head * dim + d] = *value;
            }
        }
        rows
    };
    let mask = valid.map(|valid| {
        Tensor::<2, Bool>::from_data(TensorData::new(valid, [batch, tokens]), &device())
    });
    let name = format!(
        "packed {:?} of {heads} masked {}",
        qkv.dims(),
        mask.is_some()
    );
    let output = attention_packed(qkv.clone(), heads, 0.7, mask.clone());
    let expected_output = packed(&[&expected.output]);
    assert_close(&format!("output {name}"), &output, &expected_output);
    let gradients = (output * upstream).sum().backward();
    assert_close(
        &format!("gradient {name}"),
        &qkv.grad(&gradients).unwrap(),
        &packed(&[&expected.q, &expected.k, &expected.v]),
    );
    let twin = attention_packed_reference(qkv, heads, 0.7, mask);
    assert_close(&format!("twin {name}"), &twin, &expected_output);
}

#[test]
fn packed_heads_are_read_and_written_where_they_lie() {
    check_packed([1, 1, 1, 1], None);
    check_packed([2, 17, 3, 9], None);
    check_packed([3, 33, 2, 16], None);
    check_packed([1, 300, 2, 8], None);
    let valid = (0..2 * 7).map(|i| i != 3 && i < 10).collect();
    check_packed([2, 7, 2, 8], Some(valid));
}

#[test]
fn a_packed_batch_may_be_empty() {
    let qkv = tensor([2, 3, 12], 1).slice([0..0, 0..3, 0..12]);
    assert_eq!(attention_packed(qkv, 2, 1.0, None).dims(), [0, 3, 4]);
}

#[test]
#[should_panic(expected = "14 features can't be queries, keys and values of 2 heads")]
fn a_width_that_heads_do_not_divide_is_refused() {
    attention_packed(tensor([1, 3, 14], 1), 2, 1.0, None);
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

/// Two documents and padding in one row, causal or not; nothing at all in the other.
fn packed_spans(causal: bool) -> Vec<[u32; 2]> {
    let stretches = [(0u32, 4u32), (4, 9), (9, 12)];
    let row = stretches.iter().flat_map(|&(from, to)| {
        (from..to).map(move |token| match (from, causal) {
            (9, _) => [9, 9],
            (_, true) => [from, token + 1],
            (_, false) => [from, to],
        })
    });
    row.chain((0..12).map(|_| [0, 0])).collect()
}

fn check_within(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, of: Vec<[u32; 2]>) {
    let ([batch, heads, queries, _], keys, out) = (q.dims(), k.dims()[2], v.dims()[3]);
    let [q, k, v] = [q, k, v].map(Tensor::require_grad);
    let upstream = tensor([batch, heads, queries, out], 4);
    let seen = |image: usize, query: usize, key: usize| {
        let [from, to] = of[image * queries + query];
        (from as usize..to as usize).contains(&key)
    };
    let expected = naive_seen([&q, &k, &v], 0.7, &seen, &double(&upstream));
    let spans = Spans::new(of.clone(), keys);
    let name = format!("within {:?} keys {keys}", q.dims());
    let output = attention_within(q.clone(), k.clone(), v.clone(), 0.7, &spans);
    assert_close(&format!("output {name}"), &output, &expected.output);
    let gradients = (output * upstream).sum().backward();
    for (side, tensor, expected) in [
        ("q", &q, &expected.q),
        ("k", &k, &expected.k),
        ("v", &v, &expected.v),
    ] {
        let gradient = tensor.grad(&gradients).unwrap();
        assert_close(&format!("{side} {name}"), &gradient, expected);
    }
    let twin = attention_within_reference(q, k, v, 0.7, &spans);
    assert_close(&format!("twin {name}"), &twin, &expected.output);
}

#[test]
fn each_query_sees_its_own_stretch_and_nothing_else() {
    for causal in [false, true] {
        let shape = [2, 3, 12, 8];
        let [q, k, v] = [1, 2, 3].map(|seed| tensor(shape, seed));
        check_within(q, k, v, packed_spans(causal));
    }
    // Queries at the end of more keys, as with a cache of what was read before.
    let spans = vec![[0, 7], [0, 8], [0, 9]];
    check_within(
        tensor([1, 2, 3, 8], 1),
        tensor([1, 2, 9, 8], 2),
        tensor([1, 2, 9, 5], 3),
        spans,
    );
    // Several blocks of queries.
    let causal = (0..400).map(|token| [0, token + 1]).collect();
    let shape = [1, 1, 400, 8];
    check_within(tensor(shape, 1), tensor(shape, 2), tensor(shape, 3), causal);
}

#[test]
fn packed_stretches_are_the_separate_ones() {
    let (batch, tokens, heads, dim) = (2, 12, 3, 8);
    let spans = Spans::new(packed_spans(true), tokens);
    let qkv = tensor([batch, tokens, 3 * heads * dim], 1).require_grad();
    let upstream = tensor([batch, tokens, heads * dim], 2);
    let fused = attention_packed_within(qkv.clone(), heads, 0.7, &spans);
    let twin = attention_packed_within_reference(qkv.clone(), heads, 0.7, &spans);
    assert_close("packed within", &fused, &double(&twin));
    let [fused, twin] = [fused, twin].map(|output| {
        let gradients = (output * upstream.clone()).sum().backward();
        qkv.grad(&gradients).unwrap()
    });
    assert_close("gradient of packed within", &fused, &double(&twin));
    assert_eq!(
        Spans::causal(2, 2),
        Spans::new(vec![[0, 1], [0, 2], [0, 1], [0, 2]], 2)
    );
}

#[test]
#[should_panic(expected = "query 1 sees the keys 2 to 5 of 4")]
fn a_stretch_beyond_the_keys_is_refused() {
    Spans::new(vec![[0, 4], [2, 5]], 4);
}
