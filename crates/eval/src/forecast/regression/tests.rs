use super::*;

/// `count` samples of waves.
struct Waves {
    count: usize,
    inputs: usize,
    outputs: usize,
}

impl Samples for Waves {
    fn shape(&self) -> (usize, usize, usize) {
        (self.count, self.inputs, self.outputs)
    }

    fn input(&self, sample: usize, out: &mut [f64]) {
        for (at, value) in out.iter_mut().enumerate() {
            *value = 3. + ((sample * self.inputs + at) as f64 * 0.77).sin();
        }
    }

    fn output(&self, sample: usize, out: &mut [f64]) {
        let mut input = vec![0.; self.inputs];
        self.input(sample, &mut input);
        for (at, value) in out.iter_mut().enumerate() {
            let noise = 0.2 * ((sample * 7 + at) as f64 * 1.9).sin();
            *value = input[at % self.inputs] * (at + 1) as f64 - 5. + noise;
        }
    }
}

#[test]
fn the_gradient_is_zero_at_the_solution() {
    let samples = Waves {
        count: 300,
        inputs: 70,
        outputs: 3,
    };
    let model = Equations::of(&samples).solve(0.7).unwrap();
    // Of ½ Σ |y − f(x)|² + ½ α |W|² by plain loops, and the residuals have the mean 0.
    let (mut gradient, mut residuals) = (vec![0.; 210], [0.; 3]);
    for (at, weight) in model.weights.iter().enumerate() {
        gradient[at] = 0.7 * weight;
    }
    let (mut input, mut output) = (vec![0.; 70], vec![0.; 3]);
    for sample in 0..300 {
        samples.input(sample, &mut input);
        samples.output(sample, &mut output);
        let values = model.values(&samples, sample, 1);
        for (k, (value, truth)) in values.iter().zip(&output).enumerate() {
            residuals[k] += value - truth;
            for (j, x) in input.iter().enumerate() {
                gradient[k * 70 + j] += (value - truth) * x;
            }
        }
    }
    assert!(residuals.iter().all(|sum: &f64| sum.abs() < 1e-9));
    assert!(gradient.iter().all(|entry: &f64| entry.abs() < 1e-7));
}

/// Some of another's samples.
struct Picked<'a>(&'a Waves, Vec<usize>);

impl Samples for Picked<'_> {
    fn shape(&self) -> (usize, usize, usize) {
        (self.1.len(), self.0.inputs, self.0.outputs)
    }

    fn input(&self, sample: usize, out: &mut [f64]) {
        self.0.input(self.1[sample], out);
    }

    fn output(&self, sample: usize, out: &mut [f64]) {
        self.0.output(self.1[sample], out);
    }
}

#[test]
fn equations_without_some_samples_are_those_of_the_others() {
    let all = Waves {
        count: 300,
        inputs: 6,
        outputs: 3,
    };
    let some = Picked(&all, (40..190).collect());
    let others = Picked(&all, (0..40).chain(190..300).collect());
    let found = Equations::of(&all).without(&Equations::of(&some));
    let expected = Equations::of(&others);
    assert_eq!(found.count, 150.);
    for (found, expected) in [
        (&found.input_means, &expected.input_means),
        (&found.output_means, &expected.output_means),
        (&found.gram, &expected.gram),
        (&found.cross, &expected.cross),
    ] {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }
    // What is told around zero differs by the means of the outputs alone.
    let means = expected.output_means.clone();
    let around_zero = Equations::of(&others).around_zero().solve(1.).unwrap();
    let plain = expected.solve(1.).unwrap();
    let pairs = plain
        .predict(&some)
        .into_iter()
        .zip(around_zero.predict(&some));
    for (at, (plain, around_zero)) in pairs.enumerate() {
        assert!((f64::from(plain - around_zero) - means[at % 3]).abs() < 1e-4);
    }
    let nothing = Picked(&all, vec![5]);
    let mut truth = [0.; 3];
    nothing.output(0, &mut truth);
    let squared = truth.iter().map(|value| value * value).sum::<f64>() / 3.;
    let absolute = truth.iter().map(|value| value.abs()).sum::<f64>() / 3.;
    assert!((score_of_zero(&nothing) - squared.sqrt() - absolute).abs() < 1e-12);
}

#[test]
fn one_input_has_its_closed_form() {
    let samples = Waves {
        count: 50,
        inputs: 1,
        outputs: 1,
    };
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for sample in 0..50 {
        let (mut input, mut output) = ([0.], [0.]);
        samples.input(sample, &mut input);
        samples.output(sample, &mut output);
        x.push(input[0]);
        y.push(output[0]);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / 50.;
    let (mx, my) = (mean(&x), mean(&y));
    let xy: f64 = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum();
    let xx: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
    let model = Equations::of(&samples).solve(2.).unwrap();
    assert!((model.weights[0] - xy / (xx + 2.)).abs() < 1e-12);
}

#[test]
fn the_penalty_with_the_best_validation_score_is_kept() {
    let (train, validation) = (
        Waves {
            count: 40,
            inputs: 5,
            outputs: 2,
        },
        Waves {
            count: 300,
            inputs: 5,
            outputs: 2,
        },
    );
    let model = fit(&train, &validation, &[1000., 0.1, 10.]).unwrap();
    assert_eq!(model.alpha, 0.1);
    assert_eq!(model.validation.len(), 3);
    let naive = {
        let predictions = model.predict(&validation);
        let (mut squared, mut absolute, mut truth) = (0., 0., vec![0.; 2]);
        for sample in 0..300 {
            validation.output(sample, &mut truth);
            for at in 0..2 {
                let error = f64::from(predictions[sample * 2 + at]) - truth[at];
                squared += error * error / 600.;
                absolute += error.abs() / 600.;
            }
        }
        f64::sqrt(squared) + absolute
    };
    assert!((model.validation[1].1 - naive).abs() < 1e-5);
    assert!(fit(&train, &validation, &[]).is_err());
    assert!(fit(&train, &validation, &[0.]).is_err());
}

#[test]
fn a_factor_times_its_transpose_is_the_matrix_and_no_number_is_refused() {
    let mut matrix = [4., 2., 0.4, 2., 5., 1., 0.4, 1., 3.];
    let original = matrix;
    cholesky(&mut matrix, 3).unwrap();
    for row in 0..3 {
        for column in 0..=row {
            let product: f64 = (0..=column)
                .map(|k| matrix[row * 3 + k] * matrix[column * 3 + k])
                .sum();
            assert!((product - original[row * 3 + column]).abs() < 1e-12);
        }
    }
    assert!(cholesky(&mut [1., 0., 2., 1.], 2).is_err());
    assert!(cholesky(&mut [f64::NAN], 1).is_err());
}
