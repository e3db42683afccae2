//! A network's numbers by name: what checkpoints, exports and optimizers go by.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use crate::error::{Error, Result};

/// A named array of 32-bit floats on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The values, last dimension fastest.
    pub values: Vec<f32>,
}

/// Arrays by name, in the order of their names.
pub type State = BTreeMap<String, Array>;

/// Every parameter and running statistic of a network, under the dotted path of its fields
/// (`layer1.0.conv1.weight`): the ecosystem's own names, because the fields bear them.
pub fn state_of<M: Module>(module: &M) -> State {
    let mut collect = Collect {
        path: Path::default(),
        state: State::new(),
    };
    module.visit(&mut collect);
    collect.state
}

/// Replaces every parameter and running statistic by the array of its name.
///
/// # Errors
/// When a name is missing, a shape differs, or the state holds names that the network doesn't have.
pub fn load_state<M: Module>(module: M, state: &State) -> Result<M> {
    let mut load = Load {
        path: Path::default(),
        state,
        used: 0,
        trouble: None,
    };
    let module = module.map(&mut load);
    if let Some(trouble) = load.trouble {
        return Err(trouble);
    }
    if load.used != state.len() {
        let own = state_of(&module);
        let strangers: Vec<_> = state
            .keys()
            .filter(|name| !own.contains_key(*name))
            .take(3)
            .cloned()
            .collect();
        return Err(Error::run(format!(
            "{} arrays that this network doesn't have, such as {}",
            state.len() - load.used,
            strangers.join(", ")
        ))
        .expected("the weights of the network that the recipe names")
        .mend("check [encoder] in the recipe against the file"));
    }
    Ok(module)
}

/// Names of the parameters that learn by gradient, in visiting order.
pub fn trained<M: Module>(module: &M) -> Vec<String> {
    let mut list = List {
        path: Path::default(),
        names: Vec::new(),
    };
    module.visit(&mut list);
    list.names
}

/// Number of values that learn by gradient.
pub fn trained_values<M: Module>(module: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_require_grad() {
                self.0 += value.shape().num_elements();
            }
        }
    }
    let mut count = Count(0);
    module.visit(&mut count);
    count.0
}

/// The path of the fields. An enum of networks adds nothing to it, so that a ResNet is named like a ResNet
/// whether or not it stands in an enum. `self_` is the published name `self`, which no field may have.
#[derive(Default)]
pub(crate) struct Path {
    parts: Vec<Option<String>>,
}

impl Path {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.parts
            .push((!container.starts_with("Enum:")).then(|| name.trim_end_matches('_').to_owned()));
    }

    pub(crate) fn exit(&mut self) {
        self.parts.pop();
    }

    pub(crate) fn name(&self) -> String {
        self.parts
            .iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(".")
    }
}

struct Collect {
    path: Path,
    state: State,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let array = Array {
            shape: value.dims().to_vec(),
            values: host(value),
        };
        self.state.insert(self.path.name(), array);
    }
}

struct Load<'a> {
    path: Path,
    state: &'a State,
    used: usize,
    trouble: Option<Error>,
}

impl ModuleMapper for Load<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let shape = param.val().dims().to_vec();
        match self.state.get(&name) {
            Some(array) if array.shape == shape => {
                self.used += 1;
                let data = TensorData::new(array.values.clone(), array.shape.clone());
                param.map(|old| {
                    let learns = old.is_require_grad();
                    Tensor::from_data(data, &old.device()).set_require_grad(learns)
                })
            }
            found => {
                let found = match found {
                    Some(array) => format!("`{name}` of shape {:?}", array.shape),
                    None => format!("no array named `{name}`"),
                };
                self.trouble.get_or_insert_with(|| {
                    Error::run(found).expected(format!("`{name}` of shape {shape:?}"))
                });
                param
            }
        }
    }
}

struct List {
    path: Path,
    names: Vec<String>,
}

impl ModuleVisitor for List {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.names.push(self.path.name());
        }
    }
}

/// A parameter with other values of the same number, which learns by gradient or not as before.
pub(crate) fn replaced<const D: usize>(of: Param<Tensor<D>>, values: Vec<f32>) -> Param<Tensor<D>> {
    of.map(|old| {
        let learns = old.is_require_grad();
        let data = TensorData::new(values, old.dims());
        Tensor::from_data(data, &old.device()).set_require_grad(learns)
    })
}

/// A parameter whose values were changed on the host, which learns by gradient or not as before. Where nobody else holds the
/// tensor and it lies in the host's memory, they are changed where they are: neither way copies them.
pub(crate) fn changed<const D: usize>(
    of: Param<Tensor<D>>,
    change: impl FnOnce(&mut [f32]),
) -> Param<Tensor<D>> {
    of.map(|old| {
        let (learns, shape, device) = (old.is_require_grad(), old.dims(), old.device());
        let data = old.detach().into_data().convert::<f32>();
        let mut values = data
            .try_into_vec::<f32>()
            .expect("converted to f32 in the line above");
        change(&mut values);
        Tensor::from_data(TensorData::new(values, shape), &device).set_require_grad(learns)
    })
}

/// A tensor's values on the host.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .detach()
        .into_data()
        .convert::<f32>()
        .try_to_vec()
        .expect("converted to f32 in the line above")
}
