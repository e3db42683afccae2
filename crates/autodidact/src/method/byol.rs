//! BYOL: predict how a slowly moving copy of the network sees another view of the same item; no negatives.
//!
//! Loss: the mean over both directions of 2 − 2 cos(q(z₁), sg z₂′), where z′ comes from the teacher, an exponential moving
//! average of the student, q is the predictor and sg stops the gradient. Momentum rises to 1 along a cosine.
//!
//! Grill et al. 2020, "Bootstrap Your Own Latent" (arXiv 2006.07733); official code: deepmind/deepmind-research/byol.
//! Differs: SGD instead of LARS, narrower heads, and as suits short runs a teacher momentum of 0.97 (the paper's 0.996 is
//! for long ones) and a learning rate of 0.45 (0.2).
//!
//! `autodidact pretrain DATA --method byol`

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, positive, take, within};
use crate::error::Result;
use crate::layers::head::normalize;
use crate::layers::schedule::cosine_between;
use crate::layers::{Init, Projector, Teacher};
use crate::modality::{Change, Encoder, Maskable, Need, Pretext};

/// The recipe's `[method]` for BYOL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Byol {
    /// How much of the teacher stays at each step at the start of the run, 0 to 1; it rises to 1.
    pub momentum: f64,
    /// Width of the hidden layers of projector and predictor.
    pub hidden: usize,
    /// Width of the projection.
    pub projection: usize,
}

impl Default for Byol {
    fn default() -> Self {
        Self {
            momentum: 0.97,
            hidden: 1024,
            projection: 256,
        }
    }
}

impl Objective for Byol {
    const NAME: &'static str = "byol";
    const SUMMARY: &'static str =
        "predict what a slow copy of the network makes of another view; no negatives";
    const SOURCE: &'static str = "Grill et al. 2020, arXiv 2006.07733, deepmind/deepmind-research";
    const NEEDS: Need = Need::Vectors;
    type Method<E: Maskable> = ByolMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext::new(2, Change::StrongUneven, Self::NEEDS)
    }

    fn training(&self) -> Training {
        Training::sgd(0.45, 1e-4)
    }

    fn check(&self) -> Result<()> {
        within("momentum", self.momentum, 0.0, 1.0)?;
        positive("hidden", self.hidden)?;
        positive("projection", self.projection)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<ByolMethod<E>> {
        let projector = Projector::new(&[encoder.dim(), self.hidden, self.projection], false, init);
        let predictor = Projector::new(
            &[self.projection, self.hidden, self.projection],
            false,
            init,
        );
        let student = Branch { encoder, projector };
        Ok(ByolMethod {
            teacher: Teacher::of(&student),
            student,
            predictor,
            momentum: self.momentum,
        })
    }
}

/// A student, its predictor and its teacher.
#[derive(Module, Debug)]
pub struct ByolMethod<E: Encoder> {
    student: Branch<E>,
    predictor: Projector,
    teacher: Teacher<Branch<E>>,
    momentum: f64,
}

/// What student and teacher have alike.
#[derive(Module, Debug)]
struct Branch<E: Encoder> {
    encoder: E,
    projector: Projector,
}

impl<E: Encoder> Branch<E> {
    fn project(&self, view: &E::Batch) -> Tensor<2> {
        self.projector.forward(self.encoder.encode(view))
    }
}

impl<E: Encoder> Method<E> for ByolMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let views: [E::Batch; 2] = take(views, "BYOL")?;
        let [target_a, target_b] = [0, 1].map(|i| self.teacher.network().project(&views[i]));
        let [a, b] = [0, 1].map(|i| self.predictor.forward(self.student.project(&views[i])));
        let total = (regression(a, target_b) + regression(b, target_a)).mul_scalar(0.5);
        Ok((Loss::new(total), ()))
    }

    fn after_step(self, _: Vec<()>, at: &Step) -> Self {
        let momentum = cosine_between(self.momentum, 1.0, at.progress);
        Self {
            teacher: self.teacher.follow(&self.student, momentum),
            ..self
        }
    }

    fn encoder(&self) -> &E {
        &self.student.encoder
    }

    fn into_encoder(self) -> E {
        self.student.encoder
    }
}

/// 2 − 2 cos, averaged over the rows; no gradient goes to the target.
fn regression(prediction: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    let cosine = (normalize(prediction) * normalize(target.detach())).sum_dim(1);
    cosine.mean().mul_scalar(-2.0).add_scalar(2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use burn::tensor::TensorData;

    #[test]
    fn the_loss_is_two_less_two_cosines() {
        let device = tests_device();
        let row = |values: [f32; 4]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [2, 2]), &device)
        };
        let loss = |a, b| -> f32 { regression(row(a), row(b)).into_scalar() };
        assert!(
            loss([1.0, 0.0, 0.0, 3.0], [2.0, 0.0, 0.0, 1.0]).abs() < 1e-5,
            "the same directions cost nothing"
        );
        assert!(
            (loss([1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]) - 2.0).abs() < 1e-5,
            "orthogonal ones cost 2"
        );
        assert!(
            (loss([1.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 1.0, 0.0]) - 2.0).abs() < 1e-5,
            "the mean of 4 and 0"
        );
        // cos(45°) and cos(0°), by hand.
        let expected = 2.0 - 2.0 * (0.5f32.sqrt() + 1.0) / 2.0;
        assert!((loss([1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]) - expected).abs() < 1e-5);
    }

    #[test]
    fn the_loss_agrees_with_a_loop_and_no_gradient_reaches_the_target() {
        let device = tests_device();
        let draw = || Tensor::<2>::random([5, 7], burn::tensor::Distribution::Default, &device);
        let (prediction, target) = (draw().require_grad(), draw().require_grad());
        let loss = regression(prediction.clone(), target.clone());
        let (p, t) = (
            crate::layers::state::host(prediction.clone()),
            crate::layers::state::host(target.clone()),
        );
        let mut sum = 0.0;
        for row in 0..5 {
            let (p, t) = (&p[row * 7..][..7], &t[row * 7..][..7]);
            let dot = |a: &[f32], b: &[f32]| {
                a.iter()
                    .zip(b)
                    .map(|(&a, &b)| f64::from(a) * f64::from(b))
                    .sum::<f64>()
            };
            sum += 2.0 - 2.0 * dot(p, t) / (dot(p, p) * dot(t, t)).sqrt();
        }
        let gradients = loss.backward();
        let loss: f32 = loss.into_scalar();
        assert!(
            (f64::from(loss) - sum / 5.0).abs() < 1e-5,
            "{loss} beside {}",
            sum / 5.0
        );
        assert!(prediction.grad(&gradients).is_some());
        assert!(target.grad(&gradients).is_none());
    }

    #[test]
    fn nothing_of_the_teacher_learns_by_gradient() {
        let device = tests_device();
        let mut init = Init::new(0, &device);
        let projector = Projector::new(&[4, 8, 2], false, &mut init);
        let teacher = Teacher::of(&projector);
        assert_eq!(
            crate::layers::state::trained(&teacher),
            Vec::<String>::new()
        );
        assert_eq!(crate::layers::state::trained(&projector).len(), 5);
    }
}
