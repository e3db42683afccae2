//! A slow copy of a network: the EMA teacher (Tarvainen & Valpola 2017; BYOL, MoCo, DINO).

use autodidact_kernels::optimizer::moving_average;
use burn::module::{Module, ModuleDisplay, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use super::emptied::take_out;

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
        let learned = Values::of(student, true);
        let mut chosen = learned.chosen.into_iter();
        let (emptied, values) = take_out(self.network, |_, _| chosen.next().unwrap_or(false));
        Self {
            network: emptied.fill(moving_average(values, learned.values, momentum)),
        }
    }

    /// As [`Teacher::follow`], for a network that is never looked through while learning: what the student doesn't learn
    /// by gradient, such as running statistics, is taken over as it is, since no forward pass of its own moves it.
    #[must_use]
    pub fn mixed_in(self, student: &M, momentum: f64) -> Self {
        let others = Values::of(student, false);
        let mut chosen = others.chosen.into_iter();
        let followed = self.follow(student, momentum).network;
        let (emptied, _) = take_out(followed, |_, _| chosen.next().unwrap_or(false));
        Self {
            network: emptied.fill(others.values),
        }
    }

    /// The network alone.
    pub fn into_network(self) -> M {
        self.network
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

/// Values of a network, in visiting order: those that it learns by gradient, or those that it doesn't (running
/// statistics).
struct Values {
    learned: bool,
    chosen: Vec<bool>,
    values: Vec<Tensor<1>>,
}

impl Values {
    fn of<M: Module>(network: &M, learned: bool) -> Self {
        let mut values = Self {
            learned,
            chosen: Vec::new(),
            values: Vec::new(),
        };
        network.visit(&mut values);
        values
    }
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let chosen = value.is_require_grad() == self.learned;
        self.chosen.push(chosen);
        if chosen {
            let length = value.shape().num_elements();
            self.values.push(value.without_autodiff().reshape([length]));
        }
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
        let student_is_autodiff = student.weight.val().is_autodiff();
        moved.weight = student
            .weight
            .map(|w| w.mul_scalar(3.0).detach().require_grad());
        let still = teacher.clone().follow(&moved, 1.0);
        assert_eq!(values(still.network())[0], 1.0);
        let followed = teacher.follow(&moved, 0.75);
        assert!((values(followed.network())[0] - 1.5).abs() < 1e-6);
        assert!(!followed.network().weight.val().is_require_grad());
        assert_eq!(
            followed.network().weight.val().is_autodiff(),
            student_is_autodiff
        );
    }

    /// A teacher starts in its student's memory and later changes its own in place.
    #[test]
    fn what_others_hold_of_student_and_teacher_stays() {
        let device = tests_device();
        let student = BatchNorm::new(2, &Init::new(0, &device));
        let teacher = Teacher::of(&student);
        let mut moved = student.clone();
        moved.weight = moved
            .weight
            .map(|w| w.mul_scalar(3.0).detach().require_grad());
        let teacher = teacher.follow(&moved, 0.5);
        assert_eq!(values(&student)[0], 1.0);
        let held = teacher.clone();
        let teacher = teacher.follow(&moved, 0.5);
        assert_eq!(values(held.network())[0], 2.0);
        assert_eq!(values(teacher.network())[0], 2.5);
        assert_eq!(values(&moved)[0], 3.0);
    }

    #[test]
    fn an_average_takes_statistics_over_as_they_are_and_shares_nothing() {
        let device = tests_device();
        let student = BatchNorm::new(2, &Init::new(0, &device));
        let average = Teacher::of(&student);
        let mut moved = student.clone();
        moved.weight = moved
            .weight
            .map(|w| w.mul_scalar(3.0).detach().require_grad());
        let x = Tensor::<2>::from_data(TensorData::from([[5.0f32, 1.0], [7.0, 2.0]]), &device);
        moved.forward(x.clone());
        let average = average.mixed_in(&moved, 0.5);
        let [weight, mean] = values(average.network());
        assert!((weight - 2.0).abs() < 1e-6 && (mean - 0.6).abs() < 1e-6);
        moved.forward(x);
        assert_eq!(values(average.network()), [weight, mean]);
        assert!(!average.network().weight.val().is_require_grad());
        assert_eq!(values(&average.into_network()), [weight, mean]);
    }
}
