use burn::tensor::{Tensor, TensorData};

use super::{nt_xent, nt_xent_reference};
use crate::oracle::{assert_close, device, double, tensor, values};

fn unit_rows(views: usize, dim: usize) -> Tensor<2> {
    let z = tensor([views, dim], 1);
    z.clone() / z.square().sum_dim(1).sqrt()
}

fn naive(z: &[f64], views: usize, temperature: f64) -> (f64, Vec<f64>) {
    let dim = z.len() / views;
    let similarity = |i: usize, k: usize| {
        (0..dim)
            .map(|d| z[i * dim + d] * z[k * dim + d])
            .sum::<f64>()
            / temperature
    };
    let mut loss = 0.0;
    let mut gradient = vec![0.0; z.len()];
    for i in 0..views {
        let pair = (i + views / 2) % views;
        let sum: f64 = (0..views)
            .filter(|k| *k != i)
            .map(|k| similarity(i, k).exp())
            .sum();
        loss += (sum.ln() - similarity(i, pair)) / views as f64;
        for k in (0..views).filter(|k| *k != i) {
            let slope = similarity(i, k).exp() / sum - f64::from(u8::from(k == pair));
            for d in 0..dim {
                gradient[i * dim + d] += slope * z[k * dim + d] / temperature / views as f64;
                gradient[k * dim + d] += slope * z[i * dim + d] / temperature / views as f64;
            }
        }
    }
    (loss, gradient)
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for (views, dim, temperature) in [(2, 3, 0.5), (10, 7, 0.1), (130, 33, 0.2), (600, 16, 0.5)] {
        let z = unit_rows(views, dim).detach().require_grad();
        let (loss, gradient) = naive(&double(&z), views, temperature);
        let found = nt_xent(z.clone(), temperature);
        let name = format!("[{views}, {dim}] at {temperature}");
        assert_close(&format!("loss {name}"), &found, &[loss]);
        let gradients = (found * 3.0).backward();
        let found = z.grad(&gradients).unwrap() / 3.0;
        if views > 2 {
            assert_close(&format!("gradient {name}"), &found, &gradient);
        }
        let twin = nt_xent_reference(z, temperature);
        assert!(
            (f64::from(values(&twin)[0]) - loss).abs() < 1e-5,
            "twin {name}"
        );
    }
}

#[test]
fn closed_forms() {
    let same = Tensor::<2>::from_data(
        TensorData::new([1.0f32, 0.0].repeat(12), [12, 2]),
        &device(),
    );
    assert_close("identical embeddings", &nt_xent(same, 0.3), &[11f64.ln()]);
    let mut rows = vec![0.0f32; 8 * 4];
    (0..8).for_each(|view| rows[view * 4 + view % 4] = 1.0);
    let orthonormal = Tensor::<2>::from_data(TensorData::new(rows, [8, 4]), &device());
    let loss = values(&nt_xent(orthonormal, 0.5))[0];
    assert!((loss - 0.594_438).abs() < 1e-6, "found {loss}");
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let z = unit_rows(512, 64).detach().require_grad();
        let loss = nt_xent(z.clone(), 0.2);
        let gradients = loss.backward();
        let all = [values(&loss), values(&z.grad(&gradients).unwrap())];
        all.map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
