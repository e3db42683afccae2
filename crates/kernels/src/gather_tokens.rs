//! Some of each item's tokens, in a given order.
//!
//! `y[b, i] = x[b, positions[b, i]]`, and backward the sum of what came back to each token. It
//! leaves hidden tokens out, puts what was shuffled into order again with a blank where there is
//! nothing to put, and puts a class token before the others.
//!
//! Whole tokens are copied, at the cost of [`embedding`](crate::embedding()), with the tokens in
//! the part of the entries.

use burn::tensor::{Int, Tensor};

/// Picks tokens of each item by their positions.
///
/// # Shapes
/// - `tokens`: `[batch, tokens, dim]`
/// - `positions`: `[batch, picked]`, from 0 to `tokens - 1`, each as often as one likes
/// - returns `[batch, picked, dim]`
///
/// # Panics
/// If the batches differ, or, on the CPU, if a position is out of range. (On other devices the
/// positions aren't looked at, as that would wait for them.)
pub fn gather_tokens(tokens: Tensor<3>, positions: Tensor<2, Int>) -> Tensor<3> {
    let [batch, count, dim] = tokens.dims();
    let picked = positions.dims()[1];
    check_batch("gather_tokens", batch, &positions);
    #[cfg(feature = "flex")]
    {
        let (tokens, positions) = (tokens.into_dispatch(), positions.into_dispatch());
        if crate::operation::fusible(&[&tokens])
            && let Some(numbers) = crate::operation::integers(&positions)
        {
            let number = |(place, position): (usize, &i64)| {
                let number = usize::try_from(*position).ok().filter(|at| *at < count);
                let Some(number) = number else {
                    let (item, place) = (place / picked, place % picked);
                    panic!(
                        "gather_tokens: found the position {position} at [{item}, {place}], \
                         expected one below the number of tokens, {count}"
                    )
                };
                place / picked * count + number
            };
            let index = numbers.iter().enumerate().map(number).collect();
            let shape = [batch, picked, dim].into();
            return Tensor::from_dispatch(crate::rows::take(tokens, None, index, shape));
        }
        let tokens = Tensor::from_dispatch(tokens);
        gather_tokens_reference(tokens, Tensor::from_dispatch(positions))
    }
    #[cfg(not(feature = "flex"))]
    gather_tokens_reference(tokens, positions)
}

/// [`gather_tokens`] composed of Burn's own operations, for any device.
pub fn gather_tokens_reference(tokens: Tensor<3>, positions: Tensor<2, Int>) -> Tensor<3> {
    let ([_, _, dim], [batch, picked]) = (tokens.dims(), positions.dims());
    let index = positions.unsqueeze_dim::<3>(2).expand([batch, picked, dim]);
    tokens.gather(1, index)
}

/// Picks tokens of each item by their positions, and the same `blank` token wherever a position is
/// beyond the tokens: what a decoder of masked tokens begins with.
///
/// # Shapes
/// - `tokens`: `[batch, tokens, dim]`
/// - `blank`: `[1, 1, dim]`
/// - `positions`: `[batch, picked]`, at least 0
/// - returns `[batch, picked, dim]`
///
/// # Panics
/// If the shapes don't fit one another, or, on the CPU, if a position is negative.
pub fn gather_tokens_or(
    tokens: Tensor<3>,
    blank: Tensor<3>,
    positions: Tensor<2, Int>,
) -> Tensor<3> {
    let [batch, count, dim] = tokens.dims();
    let picked = positions.dims()[1];
    check_batch("gather_tokens_or", batch, &positions);
    assert_eq!(
        blank.dims(),
        [1, 1, dim],
        "gather_tokens_or: the blank must be one token as wide as the others"
    );
    #[cfg(feature = "flex")]
    {
        let [tokens, blank] = [tokens.into_dispatch(), blank.into_dispatch()];
        let positions = positions.into_dispatch();
        if crate::operation::fusible(&[&tokens, &blank])
            && let Some(numbers) = crate::operation::integers(&positions)
        {
            let number = |(place, position): (usize, &i64)| {
                let (item, place) = (place / picked, place % picked);
                let Ok(number) = usize::try_from(*position) else {
                    panic!(
                        "gather_tokens_or: found the position {position} at [{item}, {place}], \
                         expected none below zero"
                    )
                };
                if number < count {
                    item * count + number
                } else {
                    batch * count
                }
            };
            let index = numbers.iter().enumerate().map(number).collect();
            let shape = [batch, picked, dim].into();
            return Tensor::from_dispatch(crate::rows::take(tokens, Some(blank), index, shape));
        }
        let [tokens, blank] = [tokens, blank].map(Tensor::from_dispatch);
        gather_tokens_or_reference(tokens, blank, Tensor::from_dispatch(positions))
    }
    #[cfg(not(feature = "flex"))]
    gather_tokens_or_reference(tokens, blank, positions)
}

/// [`gather_tokens_or`] composed of Burn's own operations, for any device.
pub fn gather_tokens_or_reference(
    tokens: Tensor<3>,
    blank: Tensor<3>,
    positions: Tensor<2, Int>,
) -> Tensor<3> {
    let [batch, count, dim] = tokens.dims();
    let tokens = Tensor::cat(vec![tokens, blank.expand([batch, 1, dim])], 1);
    gather_tokens_reference(tokens, positions.clamp_max(count as i64))
}

/// Puts the same token before those of each item.
///
/// # Shapes
/// - `token`: `[1, 1, dim]`
/// - `tokens`: `[batch, tokens, dim]`
/// - returns `[batch, 1 + tokens, dim]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn prepend_token(token: Tensor<3>, tokens: Tensor<3>) -> Tensor<3> {
    let [batch, count, dim] = tokens.dims();
    assert_eq!(
        token.dims(),
        [1, 1, dim],
        "prepend_token: expected one token as wide as the others"
    );
    #[cfg(feature = "flex")]
    {
        let [token, tokens] = [token.into_dispatch(), tokens.into_dispatch()];
        if crate::operation::fusible(&[&token, &tokens]) {
            let item =
                |item| std::iter::once(batch * count).chain(item * count..(item + 1) * count);
            let index = (0..batch).flat_map(item).collect();
            let shape = [batch, 1 + count, dim].into();
            return Tensor::from_dispatch(crate::rows::take(tokens, Some(token), index, shape));
        }
        let [token, tokens] = [token, tokens].map(Tensor::from_dispatch);
        prepend_token_reference(token, tokens)
    }
    #[cfg(not(feature = "flex"))]
    prepend_token_reference(token, tokens)
}

/// [`prepend_token`] composed of Burn's own operations, for any device.
pub fn prepend_token_reference(token: Tensor<3>, tokens: Tensor<3>) -> Tensor<3> {
    let [batch, _, dim] = tokens.dims();
    Tensor::cat(vec![token.expand([batch, 1, dim]), tokens], 1)
}

#[track_caller]
fn check_batch(name: &str, batch: usize, positions: &Tensor<2, Int>) {
    let items = positions.dims()[0];
    assert_eq!(
        items, batch,
        "{name}: found positions for {items} items, expected them for the {batch} of the tokens"
    );
}

#[cfg(all(test, feature = "flex"))]
mod tests;
