use burn::tensor::Tensor;

use super::{gelu, gelu_reference};
use crate::linear::Activation;
use crate::oracle::{activation, assert_close, device, double, relative_error, tensor, values};

fn check<const D: usize>(x: Tensor<D>) {
    let shape = x.dims();
    let x = x.detach().require_grad();
    let upstream = tensor(shape, 2);
    let output = gelu(x.clone());
    let gradients = (output.clone() * upstream.clone()).sum().backward();
    let (input, up) = (double(&x), double(&upstream));
    let exact = |&x: &f64| activation(Activation::Gelu, x);
    let expected: Vec<f64> = input.iter().map(|x| exact(x).0).collect();
    let slopes: Vec<f64> = (input.iter().zip(&up))
        .map(|(x, up)| up * exact(x).1)
        .collect();
    assert_close(&format!("output {shape:?}"), &output, &expected);
    let twin = gelu_reference(x.clone());
    assert_close(&format!("twin {shape:?}"), &twin, &expected);
    let of_twin = (twin * upstream).sum().backward();
    let error = |gradient: Tensor<D>| relative_error(&values(&gradient), &slopes);
    let found = error(x.grad(&gradients).unwrap());
    let of_twin = error(x.grad(&of_twin).unwrap());
    assert!(
        found < 1e-6_f64.max(2.0 * of_twin),
        "x {shape:?}: relative error {found:.1e}, of the twin {of_twin:.1e}"
    );
}

#[test]
fn values_and_gradients_match_the_integral() {
    check(tensor([1, 1], 1));
    check(tensor([7], 1) * 4.0);
    check(tensor([3, 7, 33], 1));
    check(tensor([4, 24, 9], 1).swap_dims(1, 2));
    check(tensor([2, 3, 5, 16], 1) * 3.0);
}

#[test]
fn many_elements_in_parts_are_what_few_are() {
    let x: Tensor<2> = tensor([300, 97], 5);
    let whole = values(&gelu(x.clone()));
    for row in [0, 150, 299] {
        let alone = values(&gelu(x.clone().narrow(0, row, 1)));
        assert_eq!(alone, whole[row * 97..(row + 1) * 97]);
    }
    assert_eq!(gelu(Tensor::<2>::zeros([0, 3], &device())).dims(), [0, 3]);
}
