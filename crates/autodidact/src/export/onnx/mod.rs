//! A network as an ONNX graph: what other engines run.
//!
//! Each layer writes itself into a [`OnnxModel`], under the path of its fields, so that weights bear the names that they
//! have in `encoder.safetensors`. ONNX's images are channels-first, `[batch, channels, height, width]`, and so are the
//! weights of convolutions here; only the order of the activations differs from the network that was trained.
//!
//! Operators are those of set 17, the first with `LayerNormalization`.

mod proto;

use burn::tensor::Tensor;
use prost::Message;

use crate::layers::state::host;

/// The operator set.
const OPSET: i64 = 17;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;

/// A graph being written, from its input to its output.
#[derive(Debug, Clone, Default)]
pub struct OnnxModel {
    proto: proto::GraphProto,
    metadata: Vec<proto::Entry>,
    scope: Vec<String>,
}

/// A tensor in a graph: what a node puts out or a weight holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

/// The length of a dimension of an input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Always this.
    Fixed(usize),
    /// Whatever comes, under this name.
    Open(&'static str),
}

/// What modifies an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
}

impl OnnxModel {
    /// A graph with nothing in it.
    pub fn new(name: &str) -> Self {
        let mut graph = Self::default();
        graph.proto.name = name.to_owned();
        graph
    }

    /// What is written by `draw` stands under `name`, as the fields of a module stand under it.
    pub fn within<T>(
        &mut self,
        name: impl std::fmt::Display,
        draw: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.scope.push(name.to_string());
        let drawn = draw(self);
        self.scope.pop();
        drawn
    }

    /// An input of 32-bit floats.
    pub fn input(&mut self, name: &str, shape: &[Length]) -> Value {
        self.proto.input.push(info(name, shape));
        Value(name.to_owned())
    }

    /// Makes `value` an output, under a name of its own.
    pub fn output(&mut self, name: &str, value: &Value, shape: &[Length]) {
        self.proto.node.push(proto::Node {
            input: vec![value.0.clone()],
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: "Identity".to_owned(),
            attribute: Vec::new(),
        });
        self.proto.output.push(info(name, shape));
    }

    /// A note in the file, for whoever runs it.
    pub fn note(&mut self, key: &str, value: impl Into<String>) {
        self.metadata.push(proto::Entry {
            key: key.to_owned(),
            value: value.into(),
        });
    }

    /// A weight.
    pub fn weight<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Value {
        let shape = tensor.dims();
        self.floats(name, &shape, &host(tensor))
    }

    /// Fixed numbers.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(name, shape, proto::FLOAT, bytes.collect())
    }

    /// Fixed integers, in one dimension: a shape, or bounds.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        let name = format!("integers_{}", self.proto.initializer.len());
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(&name, &[values.len()], proto::INT64, bytes.collect())
    }

    /// Names of all fixed numbers.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<&str> {
        let fixed = self.proto.initializer.iter();
        fixed.map(|tensor| tensor.name.as_str()).collect()
    }

    /// An operator's first output.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let name = self.path(&format!("{operator}_{}", self.proto.node.len()));
        self.proto.node.push(proto::Node {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute: attributes
                .iter()
                .map(|(name, attribute)| attribute.written(name))
                .collect(),
        });
        Value(name)
    }

    /// Another shape; 0 keeps the length at that place, −1 takes what is left.
    pub fn reshape(&mut self, value: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", &[value, &shape], &[])
    }

    /// The dimensions in another order.
    pub fn transpose(&mut self, value: &Value, order: &[i64]) -> Value {
        let order = Attribute::Ints(order.to_vec());
        self.node("Transpose", &[value], &[("perm", order)])
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        proto::Model {
            ir_version: Some(IR_VERSION),
            producer_name: "autodidact".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.proto.clone()),
            opset_import: vec![proto::OperatorSet {
                domain: Some(String::new()),
                version: Some(OPSET),
            }],
            metadata: self.metadata.clone(),
        }
        .encode_to_vec()
    }

    fn constant(&mut self, name: &str, shape: &[usize], kind: i32, bytes: Vec<u8>) -> Value {
        let name = self.path(name);
        self.proto.initializer.push(proto::TensorProto {
            dims: shape.iter().map(|&length| length as i64).collect(),
            data_type: Some(kind),
            name: name.clone(),
            raw_data: bytes,
        });
        Value(name)
    }

    fn path(&self, name: &str) -> String {
        let scope = self.scope.iter().map(String::as_str);
        scope.chain([name]).collect::<Vec<_>>().join(".")
    }
}

impl Attribute {
    fn written(&self, name: &str) -> proto::AttributeProto {
        let mut written = proto::AttributeProto {
            name: name.to_owned(),
            ..Default::default()
        };
        match self {
            Self::Float(value) => {
                written.float = Some(*value);
                written.kind = Some(proto::ATTRIBUTE_FLOAT);
            }
            Self::Int(value) => {
                written.int = Some(*value);
                written.kind = Some(proto::ATTRIBUTE_INT);
            }
            Self::Ints(values) => {
                written.ints.clone_from(values);
                written.kind = Some(proto::ATTRIBUTE_INTS);
            }
        }
        written
    }
}

fn info(name: &str, shape: &[Length]) -> proto::ValueInfo {
    let dim = shape
        .iter()
        .map(|length| match length {
            Length::Fixed(length) => proto::Dimension {
                length: Some(*length as i64),
                name: None,
            },
            Length::Open(name) => proto::Dimension {
                length: None,
                name: Some((*name).to_owned()),
            },
        })
        .collect();
    proto::ValueInfo {
        name: name.to_owned(),
        kind: Some(proto::TypeProto {
            tensor: Some(proto::TensorType {
                element: Some(proto::FLOAT),
                shape: Some(proto::Shape { dim }),
            }),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes by hand, from the wire format and the field numbers of `onnx.proto`.
    #[test]
    fn an_attribute_of_zero_is_written_and_fields_have_their_numbers() {
        let axis = Attribute::Int(0).written("axis").encode_to_vec();
        assert_eq!(axis, b"\x0a\x04axis\x18\x00\xa0\x01\x02");
        let perm = Attribute::Ints(vec![1, 0]).written("p").encode_to_vec();
        assert_eq!(perm, b"\x0a\x01p\x40\x01\x40\x00\xa0\x01\x07");
    }

    #[test]
    fn names_follow_the_scope_and_every_input_was_made_before() {
        let mut graph = OnnxModel::new("g");
        let x = graph.input("x", &[Length::Open("batch"), Length::Fixed(2)]);
        let y = graph.within("layer", |graph| {
            let bias = graph.floats("bias", &[2], &[1.0, -2.0]);
            graph.node("Add", &[&x, &bias], &[])
        });
        graph.output("y", &y, &[Length::Open("batch"), Length::Fixed(2)]);
        let model = proto::Model::decode(graph.encode().as_slice()).unwrap();
        assert_eq!(model.opset_import[0].version, Some(17));
        let graph = model.graph.unwrap();
        assert_eq!(graph.initializer[0].name, "layer.bias");
        assert_eq!(
            graph.initializer[0].raw_data,
            [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]
        );
        assert_eq!(graph.node[0].input, ["x", "layer.bias"]);
        assert_eq!(graph.node[1].input, graph.node[0].output);
        assert_eq!(graph.node[1].output, ["y"]);
    }
}
