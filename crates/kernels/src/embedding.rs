//! Vectors looked up by number.
//!
//! `y = W[ids]`, and backward the sum of what came back to each entry.
//!
//! Cost: forward reads and writes each float of the output (8 bytes). Backward, a counting sort of
//! the ids (O(ids + entries)) brings together what belongs to an entry; then each float of the
//! gradient is read and each of the weight's written once. An entry is added up by one thread in
//! the order of the ids, so that sums don't depend on the threads; many ids of the same entry are
//! work for that one thread.

use burn::tensor::{Int, Tensor};

/// Looks up the entry of each id.
///
/// # Shapes
/// - `weight`: `[entries, dim]`
/// - `ids`: `[batch, length]`, from 0 to `entries - 1`
/// - returns `[batch, length, dim]`
///
/// # Panics
/// On the CPU, if an id is out of range. (On other devices the ids aren't looked at, as that would
/// wait for them.)
pub fn embedding(weight: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    {
        let ([entries, dim], [batch, length]) = (weight.dims(), ids.dims());
        let (weight, ids) = (weight.into_dispatch(), ids.into_dispatch());
        if crate::operation::fusible(&[&weight])
            && let Some(numbers) = crate::operation::integers(&ids)
        {
            let number = |(place, id): (usize, &i64)| {
                let number = usize::try_from(*id).ok().filter(|id| *id < entries);
                number.unwrap_or_else(|| {
                    let (row, column) = (place / length, place % length);
                    panic!(
                        "embedding: found the id {id} at [{row}, {column}], expected one below the \
                         number of entries, {entries}"
                    )
                })
            };
            let index = numbers.iter().enumerate().map(number).collect();
            let shape = [batch, length, dim].into();
            return Tensor::from_dispatch(crate::rows::take(weight, None, index, shape));
        }
        embedding_reference(Tensor::from_dispatch(weight), Tensor::from_dispatch(ids))
    }
    #[cfg(not(feature = "flex"))]
    embedding_reference(weight, ids)
}

/// [`embedding`] composed of Burn's own operations, for any device.
pub fn embedding_reference(weight: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    let ([_, dim], [batch, length]) = (weight.dims(), ids.dims());
    let rows = weight.select(0, ids.reshape([batch * length])); // [batch · length, dim]
    rows.reshape([batch, length, dim])
}

#[cfg(all(test, feature = "flex"))]
mod tests;
