//! Running a fused operation on Flex tensors and recording its gradient.
//!
//! Burn decides the backend of a tensor at run time. An operation here works on plain Flex
//! tensors and says nothing of the graph; [`apply`] unwraps the inputs, runs the operation, and,
//! where one of the inputs is tracked, registers one node whose backward pass calls the
//! operation's own. Every checkpointing strategy takes the same road: the node counts as
//! compute-bound, so it is never recomputed and keeps what it needs itself.

use std::any::type_name;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, Flex,
    TensorMetadata,
};
use burn::tensor::{BoolStore, DType};
use burn_flex::FlexTensor;

use crate::profile::{Pass, Profile};

/// A Flex tensor with its place in the graph.
type AutodiffTensor = FloatTensor<Autodiff<Flex>>;

/// What a forward pass hands back.
pub(crate) struct Forward<S> {
    /// The output that gradients flow through.
    pub(crate) output: FlexTensor,
    /// Further outputs that carry no gradient.
    pub(crate) statistics: Vec<FlexTensor>,
    /// What the backward pass needs; present where an input is tracked.
    pub(crate) saved: Option<S>,
}

/// A function of Flex tensors with its own gradient.
///
/// Inputs and gradients arrive contiguous, as `f32`.
pub(crate) trait Operation: Clone + Send + Debug + 'static {
    /// What is kept from the forward to the backward pass.
    type Saved: Clone + Send + Debug + 'static;

    /// The floating-point operations of the products of the forward pass, and those of the
    /// backward pass where these inputs want a gradient. None, where elementwise work is all.
    fn flops(&self, _inputs: &[FlexTensor], _tracked: &[bool]) -> [f64; 2] {
        [0.0; 2]
    }

    /// Runs the function; `tracked` says which inputs will want a gradient.
    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Self::Saved>;

    /// The gradient of each input of which one is wanted, from that of the output.
    fn backward(
        saved: Self::Saved,
        gradient: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>>;
}

/// Whether every tensor is an `f32` tensor of Flex, tracked or not, and the kernels are wanted.
pub(crate) fn fusible(tensors: &[&DispatchTensor]) -> bool {
    if crate::unfused::is_unfused() {
        return false;
    }
    tensors.iter().all(|tensor| {
        let kind = match &tensor.kind {
            DispatchTensorKind::Autodiff(kind) => kind,
            kind => kind,
        };
        #[allow(unreachable_patterns)] // Where Flex is the only backend.
        let on_flex = matches!(
            kind,
            DispatchTensorKind::Flex(BackendTensor::Float(_) | BackendTensor::Autodiff(_))
        );
        on_flex && tensor.dtype() == DType::F32
    })
}

/// The elements of a bool tensor on Flex, or nothing if it is elsewhere.
pub(crate) fn truths(tensor: &DispatchTensor) -> Option<Vec<bool>> {
    #[allow(unreachable_patterns)] // Where Flex is the only backend.
    match &tensor.kind {
        DispatchTensorKind::Flex(BackendTensor::Bool(tensor)) => {
            let tensor = contiguous(tensor);
            let byte = DType::Bool(BoolStore::Native).size();
            (tensor.dtype().size() == byte).then(|| {
                tensor
                    .storage::<u8>()
                    .iter()
                    .map(|value| *value != 0)
                    .collect()
            })
        }
        _ => None,
    }
}

/// The elements of an int tensor on Flex, or nothing if it is elsewhere.
pub(crate) fn integers(tensor: &DispatchTensor) -> Option<Vec<i64>> {
    #[allow(unreachable_patterns)] // Where Flex is the only backend.
    let tensor = match &tensor.kind {
        DispatchTensorKind::Flex(BackendTensor::Int(tensor)) => contiguous(tensor),
        _ => return None,
    };
    match tensor.dtype() {
        DType::I64 => Some(tensor.storage::<i64>().to_vec()),
        DType::I32 => {
            let values = tensor.storage::<i32>().iter();
            Some(values.map(|value| i64::from(*value)).collect())
        }
        _ => None,
    }
}

/// Runs `operation`; the first output is part of the graph, the statistics aren't.
///
/// # Panics
/// If the inputs aren't [`fusible`].
pub(crate) fn apply<O: Operation, const N: usize>(
    operation: O,
    inputs: [DispatchTensor; N],
) -> (DispatchTensor, Vec<DispatchTensor>) {
    let context = inputs
        .iter()
        .fold(DispatchAutodiffContext::Disabled, |context, input| {
            context.merge(input.autodiff)
        });
    if context == DispatchAutodiffContext::Disabled {
        let inputs = inputs.map(|input| contiguous(&plain(input.kind)));
        let forward = run(operation, &inputs, &[false; N]).0;
        let wrap = |tensor| DispatchTensor {
            kind: DispatchTensorKind::Flex(BackendTensor::Float(tensor)),
            autodiff: context,
        };
        return (
            wrap(forward.output),
            forward.statistics.into_iter().map(wrap).collect(),
        );
    }

    let inputs = inputs.map(|input| lift(input.kind));
    let tracked = inputs.each_ref().map(AutodiffTensor::is_tracked);
    let nodes = inputs.each_ref().map(AutodiffTensor::node);
    let plain = inputs.map(|input| contiguous(input.primitive()));
    let (forward, measure) = run(operation, &plain, &tracked);
    drop(plain);
    let node = Node::<O>(std::marker::PhantomData);
    let output = match node
        .prepare::<NoCheckpointing>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => {
            let saved = forward
                .saved
                .expect("a tracked forward pass keeps its state");
            prep.finish((saved, measure), forward.output)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward.output),
    };
    let wrap = |tensor| {
        let inner = DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor));
        DispatchTensor {
            kind: DispatchTensorKind::Autodiff(Box::new(inner)),
            autodiff: context,
        }
    };
    let statistics = forward
        .statistics
        .into_iter()
        .map(|tensor| wrap(AutodiffTensor::new(tensor)))
        .collect();
    (wrap(output), statistics)
}

/// What a profile will want to know of a backward pass.
#[derive(Clone, Debug)]
struct Measure {
    profile: Arc<Profile>,
    flops: f64,
    /// Bytes of the inputs of the forward pass, about what the backward pass reads beside the
    /// gradient.
    inputs: f64,
}

fn bytes<'a>(tensors: impl IntoIterator<Item = &'a FlexTensor>) -> f64 {
    let bytes = |tensor: &FlexTensor| tensor.shape().num_elements() * tensor.dtype().size();
    tensors.into_iter().map(bytes).sum::<usize>() as f64
}

/// The operation without its module's path and parameters.
fn name<O>() -> &'static str {
    let path = type_name::<O>();
    let path = path.split('<').next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path)
}

/// The forward pass, measured where a profile is taken.
fn run<O: Operation>(
    operation: O,
    inputs: &[FlexTensor],
    tracked: &[bool],
) -> (Forward<O::Saved>, Option<Measure>) {
    let Some(profile) = crate::profile::current() else {
        return (operation.forward(inputs, tracked), None);
    };
    let [forward_flops, flops] = operation.flops(inputs, tracked);
    let start = Instant::now();
    let forward = operation.forward(inputs, tracked);
    let time = start.elapsed();
    let inputs = bytes(inputs);
    let key = (name::<O>(), Pass::Forward, forward.output.shape().to_vec());
    let moved = inputs + bytes([&forward.output]);
    profile.add(key, time, forward_flops, moved);
    let measure = Measure {
        profile,
        flops,
        inputs,
    };
    (forward, Some(measure))
}

/// The backward pass, measured where a profile was being taken in the forward pass.
fn run_back<O: Operation>(
    (saved, measure): (O::Saved, Option<Measure>),
    gradient: FlexTensor,
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let Some(measure) = measure else {
        return O::backward(saved, gradient, wanted);
    };
    let shape = gradient.shape().to_vec();
    let read = measure.inputs + bytes([&gradient]);
    let start = Instant::now();
    let gradients = O::backward(saved, gradient, wanted);
    let time = start.elapsed();
    let moved = read + bytes(gradients.iter().flatten());
    let key = (name::<O>(), Pass::Backward, shape);
    measure.profile.add(key, time, measure.flops, moved);
    gradients
}

/// The Flex tensor of an untracked input.
fn plain(kind: DispatchTensorKind) -> FlexTensor {
    #[allow(unreachable_patterns)] // Where Flex is the only backend.
    match kind {
        DispatchTensorKind::Flex(tensor) => tensor.float(),
        _ => unreachable!("the caller has checked that the inputs are on Flex"),
    }
}

/// The autodiff tensor of an input; one without a graph enters as a constant.
fn lift(kind: DispatchTensorKind) -> AutodiffTensor {
    match kind {
        DispatchTensorKind::Autodiff(inner) => {
            #[allow(unreachable_patterns)] // Where Flex is the only backend.
            match *inner {
                DispatchTensorKind::Flex(tensor) => tensor.autodiff(),
                _ => unreachable!("the caller has checked that the inputs are on Flex"),
            }
        }
        kind => AutodiffTensor::new(plain(kind)),
    }
}

/// The tensor itself where its elements fill its buffer in order, or a copy that does.
fn contiguous(tensor: &FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// The graph node of an operation.
#[derive(Debug)]
struct Node<O>(std::marker::PhantomData<O>);

impl<O: Operation, const N: usize> Backward<Flex, N> for Node<O> {
    type State = (O::Saved, Option<Measure>);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let wanted = ops.parents.each_ref().map(Option::is_some);
        // The operation may reuse the gradient's memory where nothing else holds it.
        let gradient = {
            let gradient = grads.consume::<Flex>(&ops.node);
            contiguous(&gradient)
        };
        let gradients = run_back::<O>(ops.state, gradient, &wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
