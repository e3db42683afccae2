//! The parameters of a network taken out of it, so that one pass can change all of them where they are.

use std::collections::VecDeque;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Shape, Tensor};

use super::state::Path;

/// A network without the parameters that were taken out of it; [`Emptied::fill`] makes it whole again.
///
/// While a network holds a parameter, nobody can change it in place. So the chosen ones leave the network, which
/// keeps an empty tensor in their stead.
pub(crate) struct Emptied<M> {
    network: M,
    places: VecDeque<Option<Place>>,
}

/// What a parameter was like that was taken out.
struct Place {
    shape: Shape,
    autodiff: bool,
    learns: bool,
}

/// Takes the parameters that `chosen` says yes to out of a network, flat and without a graph, in visiting order.
/// It is asked about each parameter and running statistic by name, with the number of its [`axes`].
pub(crate) fn take_out<M: Module>(
    network: M,
    chosen: impl FnMut(&str, usize) -> bool,
) -> (Emptied<M>, Vec<Tensor<1>>) {
    let mut take = Take {
        path: Path::default(),
        chosen,
        places: VecDeque::new(),
        values: Vec::new(),
    };
    let network = network.map(&mut take);
    let places = take.places;
    (Emptied { network, places }, take.values)
}

impl<M: Module> Emptied<M> {
    /// Puts values in the places of those that were taken out, in the same order.
    ///
    /// # Panics
    /// If there are fewer values than were taken out, or their lengths differ.
    pub(crate) fn fill(self, values: impl IntoIterator<Item = Tensor<1>>) -> M {
        let mut put = Put {
            places: self.places,
            values: values.into_iter(),
        };
        self.network.map(&mut put)
    }
}

struct Take<F> {
    path: Path,
    chosen: F,
    places: VecDeque<Option<Place>>,
    values: Vec<Tensor<1>>,
}

impl<F: FnMut(&str, usize) -> bool> ModuleMapper for Take<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dims = param.val().dims();
        if !(self.chosen)(&self.path.name(), axes(&dims)) {
            self.places.push_back(None);
            return param;
        }
        param.map(|value| {
            let device = value.device();
            self.places.push_back(Some(Place {
                shape: value.shape(),
                autodiff: value.is_autodiff(),
                learns: value.is_require_grad(),
            }));
            let flat = value
                .without_autodiff()
                .reshape([dims.iter().product::<usize>()]);
            self.values.push(flat);
            Tensor::empty([0; D], &device)
        })
    }
}

/// How many axes a parameter has. A token is laid out as one of a batch, `[1, 1, dim]`, and has one as the vector that it
/// is; a matrix has two, even of one row or one column.
fn axes(dims: &[usize]) -> usize {
    let Some((_, leading)) = dims.split_last() else {
        return 0;
    };
    if leading.len() < 2 {
        return dims.len();
    }
    1 + leading.iter().skip_while(|&&edge| edge == 1).count()
}

struct Put<I> {
    places: VecDeque<Option<Place>>,
    values: I,
}

impl<I: Iterator<Item = Tensor<1>>> ModuleMapper for Put<I> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(place) = self.places.pop_front().flatten() else {
            return param;
        };
        let value = self
            .values
            .next()
            .expect("as many values as were taken out");
        param.map(|_| {
            let value = value.reshape(place.shape);
            let value = if place.autodiff {
                value.autodiff()
            } else {
                value
            };
            if place.learns {
                value.require_grad()
            } else {
                value
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;
    use crate::layers::{BatchNorm, Conv1d, Init, Linear};

    #[derive(Module, Debug)]
    struct Mixed {
        last: Linear,
        conv: Conv1d,
        token: Param<Tensor<3>>,
        positions: Param<Tensor<3>>,
    }

    /// By their axes an optimizer tells matrices, which are decayed, from vectors, which aren't.
    #[test]
    fn a_matrix_of_one_row_is_a_matrix_and_a_token_is_a_vector() {
        let device = tests_device();
        let mut init = Init::new(0, &device);
        let mixed = Mixed {
            last: Linear::new(3, 1, true, &mut init),
            conv: Conv1d::plain(1, 4, 1, 0, &mut init),
            token: init.normal([1, 1, 3], 1.0),
            positions: init.normal([1, 5, 3], 1.0),
        };
        let mut found = Vec::new();
        take_out(mixed, |name, axes| {
            found.push((name.to_owned(), axes));
            false
        });
        let found: Vec<(&str, usize)> = (found.iter())
            .map(|(name, axes)| (name.as_str(), *axes))
            .collect();
        let expected = [
            ("last.weight", 2),
            ("last.bias", 1),
            ("conv.weight", 3),
            ("token", 1),
            ("positions", 2),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_taken_out_and_put_back_is_the_network_again() {
        let norm = BatchNorm::new(3, &Init::new(0, &tests_device()));
        let before = state_of(&norm);
        let id = norm.weight.id;
        let mut names = Vec::new();
        let (emptied, values) = take_out(norm, |name, axes| {
            names.push((name.to_owned(), axes));
            name == "weight"
        });
        assert!(names.contains(&("running_mean".to_owned(), 1)));
        assert_eq!(values.len(), 1);
        assert!(!values[0].is_autodiff());
        assert_eq!(emptied.network.weight.dims(), [0]);
        let norm = emptied.fill(values);
        assert_eq!(state_of(&norm), before);
        assert!(norm.weight.val().is_require_grad());
        assert_eq!(norm.weight.id, id);
    }
}
