//! A slow copy of a network: the EMA teacher (Tarvainen & Valpola 2017; BYOL, MoCo, DINO).

use std::collections::VecDeque;

use burn::module::{Module, ModuleDisplay, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// Holds a copy of a student that learns nothing by gradient and follows it by exponential moving average.
///
/// The copy shares nothing with the student: its parameters have identities of their own (an optimizer that goes by
/// identity would otherwise train whichever of the two it met first), they take no gradient, and its running
/// statistics are its own, moved by its own forward passes as in the papers' code.
#[derive(Module, Debug)]
pub struct Teacher<M: Module + ModuleDisplay> {
    network: M,
}

impl<M: Module + ModuleDisplay> Teacher<M> {
    /// A teacher that starts equal to its student.
    pub fn of(student: &M) -> Self {
        Self {
            network: student.clone().map(&mut Detached).set_require_grad(false),
        }
    }

    /// The network, to look through. What comes out of it carries no gradient once detached.
    pub fn network(&self) -> &M {
        &self.network
    }

    /// teacher ← momentum · teacher + (1 − momentum) · student, for everything that the student learns by gradient.
    #[must_use]
    pub fn follow(self, student: &M, momentum: f64) -> Self {
        let mut learned = Learned::default();
        student.visit(&mut learned);
        let mut blend = Blend {
            student: learned.values,
            momentum,
        };
        Self {
            network: self.network.map(&mut blend),
        }
    }
}

/// Gives every parameter a value and an identity of its own.
struct Detached;

impl ModuleMapper for Detached {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (_, value, mapper) = param.consume();
        Param::from_mapped_value(ParamId::new(), value.detach(), mapper)
    }
}

/// What the student learns by gradient, in visiting order; `None` for what it does not (running statistics).
#[derive(Default)]
struct Learned {
    values: VecDeque<Option<Tensor<1>>>,
}

impl ModuleVisitor for Learned {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        self.values.push_back(
            value
                .is_require_grad()
                .then(|| value.detach().flatten(0, D - 1)),
        );
    }
}

struct Blend {
    student: VecDeque<Option<Tensor<1>>>,
    momentum: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(student) = self.student.pop_front().flatten() else {
            return param;
        };
        let momentum = self.momentum;
        param.map(|teacher| {
            let student = student.reshape(teacher.shape());
            (teacher.mul_scalar(momentum) + student.mul_scalar(1.0 - momentum)).detach()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::{BatchNorm, Init};
    use burn::tensor::TensorData;

    fn values(norm: &BatchNorm) -> [f32; 2] {
        let first = |t: Tensor<1>| t.into_data().try_to_vec::<f32>().unwrap()[0];
        [first(norm.weight.val()), first(norm.running_mean.value())]
    }

    #[test]
    fn the_teacher_shares_nothing_with_the_student() {
        let device = tests_device();
        let student = BatchNorm::new(2, &Init::new(0, &device));
        let teacher = Teacher::of(&student);
        let x = Tensor::<2>::from_data(TensorData::from([[5.0f32, 1.0], [7.0, 2.0]]), &device);
        student.forward(x.clone());
        assert_eq!(
            values(teacher.network()),
            [1.0, 0.0],
            "the student's forward moved the teacher"
        );
        teacher.network().forward(x.mul_scalar(10.0));
        assert!(
            (values(&student)[1] - 0.6).abs() < 1e-6,
            "the teacher's forward moved the student"
        );
        assert_ne!(student.weight.id, teacher.network().weight.id);
        assert!(student.weight.val().is_require_grad());
        assert!(!teacher.network().weight.val().is_require_grad());
    }

    #[test]
    fn it_follows_by_the_momentum_and_not_at_all_at_one() {
        let device = tests_device();
        let student = BatchNorm::new(2, &Init::new(0, &device));
        let teacher = Teacher::of(&student);
        let mut moved = student.clone();
        moved.weight = student
            .weight
            .map(|w| w.mul_scalar(3.0).detach().require_grad());
        let still = teacher.clone().follow(&moved, 1.0);
        assert_eq!(values(still.network())[0], 1.0);
        let followed = teacher.follow(&moved, 0.75);
        assert!((values(followed.network())[0] - 1.5).abs() < 1e-6);
        assert!(!followed.network().weight.val().is_require_grad());
    }
}
