use burn::tensor::{Int, Tensor, TensorData};

use super::{
    gather_tokens, gather_tokens_or, gather_tokens_or_reference, gather_tokens_reference,
    prepend_token, prepend_token_reference,
};
use crate::oracle::{assert_close, device, double, tensor};

fn check(tokens: Tensor<3>, positions: &[i64]) {
    let [batch, count, dim] = tokens.dims();
    let picked = positions.len() / batch;
    let tokens = tokens.require_grad();
    let upstream = tensor([batch, picked, dim], 3);
    let index = Tensor::<2, Int>::from_data(
        TensorData::new(positions.to_vec(), [batch, picked]),
        &device(),
    );
    let output = gather_tokens(tokens.clone(), index.clone());
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (input, up) = (double(&tokens), double(&upstream));
    let mut expected_output = vec![0.0; up.len()];
    let mut expected_tokens = vec![0.0; input.len()];
    for (place, position) in positions.iter().enumerate() {
        let from = (place / picked * count + *position as usize) * dim;
        for d in 0..dim {
            expected_output[place * dim + d] = input[from + d];
            expected_tokens[from + d] += up[place * dim + d];
        }
    }
    let name = format!("[{batch}, {count}, {dim}] by {picked}");
    assert_close(&format!("output of {name}"), &output, &expected_output);
    assert_close(
        &format!("tokens of {name}"),
        &tokens.grad(&gradients).unwrap(),
        &expected_tokens,
    );
    let twin = gather_tokens_reference(tokens.clone(), index);
    assert_close(&format!("twin of {name}"), &twin, &expected_output);
    let gradients = (twin * upstream).sum().backward();
    assert_close(
        &format!("twin's gradient of {name}"),
        &tokens.grad(&gradients).unwrap(),
        &expected_tokens,
    );
}

#[test]
fn values_and_gradients_match_naive_loops() {
    check(tensor([1, 1, 3], 1), &[0]);
    check(tensor([2, 4, 5], 1), &[3, 0, 2, 2, 2, 1]);
    let positions: Vec<i64> = (0..16 * 40).map(|i| i * i * 3 % 65).collect();
    check(tensor([16, 65, 96], 1), &positions);
    check(tensor([3, 8, 4], 1).swap_dims(1, 2), &[3, 1, 0, 0, 2, 3]);
}

#[test]
#[should_panic(
    expected = "found the position 4 at [1, 0], expected one below the number of tokens"
)]
fn a_position_out_of_range_is_named() {
    check(tensor([2, 4, 5], 1), &[3, 0, 4, 2]);
}

/// Compares an operation on a blank (or a class) token and others with its twin, and with the
/// numbers of the rows that it takes, of which the one after the last is the blank.
fn check_blank(
    shape: [usize; 3],
    rows: &[usize],
    operation: impl Fn(Tensor<3>, Tensor<3>) -> Tensor<3>,
    twin: impl Fn(Tensor<3>, Tensor<3>) -> Tensor<3>,
) {
    let dim = shape[2];
    let [tokens, blank] = [tensor(shape, 1), tensor([1, 1, dim], 2)].map(Tensor::require_grad);
    let all = [double(&tokens), double(&blank)].concat();
    let picked = rows.len() / shape[0];
    let upstream = tensor([shape[0], picked, dim], 3);
    let up = double(&upstream);
    let mut expected_output = Vec::new();
    let mut expected = vec![0.0; all.len()];
    for (place, row) in rows.iter().enumerate() {
        expected_output.extend_from_slice(&all[row * dim..(row + 1) * dim]);
        for d in 0..dim {
            expected[row * dim + d] += up[place * dim + d];
        }
    }
    let (expected_tokens, expected_blank) = expected.split_at(all.len() - dim);
    for (name, output) in [
        ("kernel", operation(tokens.clone(), blank.clone())),
        ("twin", twin(tokens.clone(), blank.clone())),
    ] {
        let name = format!("{name} on {shape:?} by {picked}");
        assert_close(&format!("output of {name}"), &output, &expected_output);
        let gradients = (output * upstream.clone()).sum().backward();
        let of = |tensor: &Tensor<3>| tensor.grad(&gradients).unwrap();
        assert_close(&format!("tokens of {name}"), &of(&tokens), expected_tokens);
        assert_close(&format!("blank of {name}"), &of(&blank), expected_blank);
    }
}

#[test]
fn positions_beyond_the_tokens_are_blank() {
    for (shape, picked) in [([1, 1, 1], 2), ([2, 3, 5], 4), ([16, 17, 96], 65)] {
        let [batch, count, _] = shape;
        let positions: Vec<i64> = (0..batch * picked)
            .map(|i| (i * 7 % (2 * count)) as i64)
            .collect();
        let row = |(place, position): (usize, &i64)| match *position as usize {
            position if position < count => place / picked * count + position,
            _ => batch * count,
        };
        let rows: Vec<usize> = positions.iter().enumerate().map(row).collect();
        let index =
            Tensor::<2, Int>::from_data(TensorData::new(positions, [batch, picked]), &device());
        check_blank(
            shape,
            &rows,
            |tokens, blank| gather_tokens_or(tokens, blank, index.clone()),
            |tokens, blank| gather_tokens_or_reference(tokens, blank, index.clone()),
        );
    }
}

#[test]
fn a_token_is_put_before_the_others() {
    for shape in [[1, 1, 1], [2, 3, 5], [16, 16, 96]] {
        let [batch, count, _] = shape;
        let item = |item| std::iter::once(batch * count).chain(item * count..(item + 1) * count);
        let rows: Vec<usize> = (0..batch).flat_map(item).collect();
        check_blank(
            shape,
            &rows,
            |tokens, token| prepend_token(token, tokens),
            |tokens, token| prepend_token_reference(token, tokens),
        );
    }
}

#[test]
fn sums_of_many_rows_round_little() {
    let tokens = tensor([1, 2, 3], 1).require_grad();
    let positions = Tensor::<2, Int>::zeros([1, 100_000], &device());
    let upstream = tensor([1, 100_000, 3], 2) + 1.0;
    let up = double(&upstream);
    let gradients = (gather_tokens(tokens.clone(), positions) * upstream)
        .sum()
        .backward();
    let mut expected = [0.0; 6];
    for row in up.chunks(3) {
        (0..3).for_each(|d| expected[d] += row[d]);
    }
    assert_close("gradient", &tokens.grad(&gradients).unwrap(), &expected);
}
