//! What a method makes of a batch.

use burn::tensor::Tensor;

/// A loss and what it is made of.
#[derive(Debug, Clone)]
pub struct Loss {
    /// What is minimized, a scalar.
    pub total: Tensor<1>,
    /// Named parts for the curves, scalars.
    pub parts: Vec<(&'static str, Tensor<1>)>,
    /// How many predictions it is the mean of, for a method whose batches of as many items may hold more or fewer of
    /// them; `None` where items count alike.
    pub predictions: Option<u64>,
    /// What its items weigh together, for a method whose items don't count alike; `None` where they do.
    pub weight: Option<f64>,
    /// The mean −log p of the predicted symbols, where the total has other things in it as well.
    pub symbols: Option<Tensor<1>>,
    /// What each item costs, where the total is their mean by these weights: what two networks are compared by item by item.
    pub each: Option<(Tensor<1>, Vec<f64>)>,
}

impl Loss {
    /// A loss of one part.
    pub fn new(total: Tensor<1>) -> Self {
        Self {
            total,
            parts: Vec::new(),
            predictions: None,
            weight: None,
            symbols: None,
            each: None,
        }
    }

    /// Says how many predictions the loss is the mean of.
    #[must_use]
    pub fn over(mut self, predictions: usize) -> Self {
        self.predictions = Some(predictions as u64);
        self
    }

    /// Says what its items weigh together: what the batch counts for among others.
    #[must_use]
    pub fn weighing(mut self, weight: f64) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Says what of it is the mean −log p of the predicted symbols.
    #[must_use]
    pub fn of_symbols(mut self, symbols: &Tensor<1>) -> Self {
        self.symbols = Some(symbols.clone().detach());
        self
    }

    /// Says what each item costs, and what it weighs in the total, which is their mean.
    #[must_use]
    pub fn of_items(mut self, costs: &Tensor<1>, weights: Vec<f64>) -> Self {
        self.each = Some((costs.clone().detach(), weights));
        self
    }

    /// What a batch of so many items counts for beside others: by what its items weigh or by its predictions, where the
    /// method says so, so that the losses of parts of a batch come together to that of the whole batch. A method that adds
    /// up means over different things (symbols and pairs, say) has one such weight for all of them, and the sum of its parts
    /// is exact for what it counts alone.
    pub(crate) fn counts_for(&self, items: usize) -> f64 {
        let predictions = self.predictions.map(|predictions| predictions as f64);
        self.weight.or(predictions).unwrap_or(items as f64)
    }

    /// Adds a named part for the curves.
    #[must_use]
    pub fn part(mut self, name: &'static str, value: &Tensor<1>) -> Self {
        self.parts.push((name, value.clone().detach()));
        self
    }
}
