//! A value that the forward pass moves: the running mean and variance of batch normalization.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param, ParamId,
};
use burn::tensor::{Device, Tensor};

/// An exponential moving average, updated in place and at once.
///
/// Unlike Burn's `RunningState`, a clone has a value of its own (an EMA teacher made by cloning never moves
/// its student's statistics), and an update is there as soon as it is made (a checkpoint never lags behind).
pub struct RunningStatistic {
    id: ParamId,
    value: Mutex<Tensor<1>>,
}

impl RunningStatistic {
    /// Starts from `value`.
    pub fn new(value: Tensor<1>) -> Self {
        Self {
            id: ParamId::new(),
            value: Mutex::new(value.detach()),
        }
    }

    /// The value now.
    pub fn value(&self) -> Tensor<1> {
        self.value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// value ← (1 − momentum) · value + momentum · seen.
    pub fn update(&self, seen: Tensor<1>, momentum: f64) {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *value = (value.clone().mul_scalar(1.0 - momentum) + seen.detach().mul_scalar(momentum))
            .detach();
    }

    fn with(&self, value: Tensor<1>) -> Self {
        Self {
            id: self.id,
            value: Mutex::new(value),
        }
    }
}

impl Clone for RunningStatistic {
    fn clone(&self) -> Self {
        self.with(self.value())
    }
}

impl fmt::Debug for RunningStatistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunningStatistic({})", self.id)
    }
}

impl Module for RunningStatistic {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.value()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let mapped = mapper.map_float(Param::initialized(self.id, self.value()));
        let (id, value, _) = mapped.consume();
        Self {
            id,
            value: Mutex::new(value.set_require_grad(false)),
        }
    }

    fn to_device(self, device: &Device) -> Self {
        self.with(self.value().to_device(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.with(self.value().without_autodiff())
    }

    fn train(self) -> Self {
        self.with(Tensor::from_inner(self.value()))
    }
}

impl ModuleDisplayDefault for RunningStatistic {
    fn content(&self, content: Content) -> Option<Content> {
        content
            .add_formatted(&"RunningStatistic".to_string())
            .optional()
    }
}

impl ModuleDisplay for RunningStatistic {}
