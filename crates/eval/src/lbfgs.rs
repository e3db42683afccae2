//! Minimization of a smooth function with L-BFGS.
//!
//! The two-loop recursion of Nocedal and Wright 2006, "Numerical Optimization", algorithms 7.4 and 7.5, with the
//! bracketing line search of Lewis and Overton 2013 for the (weak) Wolfe conditions, which are what keeps the
//! curvature pairs positive. Near the minimum, where rounding hides the decrease of the value, the approximate
//! conditions of Hager and Zhang 2005 decide by the slope instead.

/// Curvature pairs remembered.
const HISTORY: usize = 10;
/// Evaluations one line search may take.
const SEARCH_LIMIT: usize = 40;
/// The decrease asked for, as a share of what the slope promises.
const DECREASE: f64 = 1e-4;
/// The slope accepted at the end of a step, as a share of that at its start.
const CURVATURE: f64 = 0.9;
/// Relative changes of the value below this may be rounding, as the products behind it are in `f32`.
const ROUNDING: f64 = 1e-6;

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The largest entry of the gradient at which the point counts as the minimum.
    pub(crate) tolerance: f64,
    pub(crate) max_iterations: usize,
}

/// Where the search ended.
pub(crate) struct Minimum {
    pub(crate) point: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) iterations: usize,
    /// Whether the gradient came below the tolerance.
    pub(crate) converged: bool,
}

/// Minimizes `objective`, which returns its value at a point and writes its gradient there.
pub(crate) fn minimize(
    start: Vec<f64>,
    limits: Limits,
    mut objective: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Minimum {
    let mut gradient = vec![0.; start.len()];
    let value = objective(&start, &mut gradient);
    let mut at = Point {
        position: start,
        gradient,
        value,
    };
    let mut pairs: Vec<Pair> = Vec::with_capacity(HISTORY);
    let mut iterations = 0;
    while iterations < limits.max_iterations
        && at.value.is_finite()
        && largest(&at.gradient) > limits.tolerance
    {
        let mut direction = descent_direction(&at.gradient, &pairs);
        if dot(&direction, &at.gradient) >= 0. {
            pairs.clear();
            direction = descent_direction(&at.gradient, &pairs);
        }
        // Without curvature the gradient's length means nothing; a first step of length at most 1 is safe.
        let first = if pairs.is_empty() {
            (1. / norm(&at.gradient)).min(1.)
        } else {
            1.
        };
        let Some(next) = line_search(&at, &direction, first, &mut objective) else {
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        };
        iterations += 1;
        let pair = Pair::between(&at, &next);
        if pair.product > f64::EPSILON * dot(&pair.gradient_change, &pair.gradient_change) {
            if pairs.len() == HISTORY {
                pairs.remove(0);
            }
            pairs.push(pair);
        }
        at = next;
    }
    let converged = at.value.is_finite() && largest(&at.gradient) <= limits.tolerance;
    Minimum {
        point: at.position,
        value: at.value,
        iterations,
        converged,
    }
}

struct Point {
    position: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

/// A step taken and the change of the gradient along it.
struct Pair {
    step: Vec<f64>,
    gradient_change: Vec<f64>,
    product: f64,
}

impl Pair {
    fn between(from: &Point, to: &Point) -> Self {
        let step = difference(&to.position, &from.position);
        let gradient_change = difference(&to.gradient, &from.gradient);
        let product = dot(&step, &gradient_change);
        Self {
            step,
            gradient_change,
            product,
        }
    }
}

/// Minus the gradient times the inverse Hessian the pairs imply.
fn descent_direction(gradient: &[f64], pairs: &[Pair]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|entry| -entry).collect();
    let mut shares = vec![0.; pairs.len()];
    for (share, pair) in shares.iter_mut().zip(pairs).rev() {
        *share = dot(&pair.step, &direction) / pair.product;
        add(&mut direction, -*share, &pair.gradient_change);
    }
    if let Some(last) = pairs.last() {
        let scale = last.product / dot(&last.gradient_change, &last.gradient_change);
        direction.iter_mut().for_each(|entry| *entry *= scale);
    }
    for (share, pair) in shares.iter().zip(pairs) {
        let correction = share - dot(&pair.gradient_change, &direction) / pair.product;
        add(&mut direction, correction, &pair.step);
    }
    direction
}

/// A point along the direction which decreases the value and flattens the slope enough, if one is found.
fn line_search(
    from: &Point,
    direction: &[f64],
    first: f64,
    objective: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Option<Point> {
    let slope = dot(direction, &from.gradient);
    let (mut low, mut high, mut length) = (0., f64::INFINITY, first);
    for _ in 0..SEARCH_LIMIT {
        let mut position = from.position.clone();
        add(&mut position, length, direction);
        let mut gradient = vec![0.; position.len()];
        let value = objective(&position, &mut gradient);
        let end_slope = dot(direction, &gradient);
        let decreased = value <= from.value + DECREASE * length * slope;
        let level = value <= from.value + ROUNDING * from.value.abs() && end_slope <= 0.8 * -slope;
        if value.is_finite() && end_slope.is_finite() && (decreased || level) {
            if end_slope >= CURVATURE * slope {
                return Some(Point {
                    position,
                    gradient,
                    value,
                });
            }
            low = length;
        } else {
            high = length;
        }
        length = if high.is_finite() {
            0.5 * (low + high)
        } else {
            2. * low
        };
        if low == 0. {
            // The minimum of the parabola through the start, its slope and the end just refused.
            let minimum = -slope * high * high / (2. * (value - from.value - high * slope));
            if minimum.is_finite() {
                length = minimum.clamp(0.1 * high, 0.5 * high);
            }
        }
    }
    None
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn largest(a: &[f64]) -> f64 {
    a.iter()
        .fold(0., |largest, entry| f64::max(largest, entry.abs()))
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn add(a: &mut [f64], scale: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += scale * b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_minimum_of_rosenbrocks_valley() {
        let limits = Limits {
            tolerance: 1e-8,
            max_iterations: 200,
        };
        let minimum = minimize(vec![-1.2, 1.], limits, |x, gradient| {
            gradient[0] = -400. * x[0] * (x[1] - x[0] * x[0]) - 2. * (1. - x[0]);
            gradient[1] = 200. * (x[1] - x[0] * x[0]);
            100. * (x[1] - x[0] * x[0]).powi(2) + (1. - x[0]).powi(2)
        });
        assert!(
            minimum.converged && minimum.iterations < 100,
            "{} iterations",
            minimum.iterations
        );
        assert!(minimum.point.iter().all(|entry| (entry - 1.).abs() < 1e-6));
    }

    #[test]
    fn it_finds_the_minimum_of_an_ill_conditioned_bowl() {
        let limits = Limits {
            tolerance: 1e-9,
            max_iterations: 2000,
        };
        let minimum = minimize(vec![1.; 50], limits, |x, gradient| {
            let mut value = 0.;
            for (i, (x, gradient)) in x.iter().zip(gradient).enumerate() {
                let curvature = 10_f64.powf(i as f64 / 12.);
                *gradient = curvature * x;
                value += 0.5 * curvature * x * x;
            }
            value
        });
        // SciPy's L-BFGS takes 1224 iterations here.
        assert!(minimum.converged && minimum.value < 1e-15);
        assert!(
            minimum.iterations < 1500,
            "{} iterations",
            minimum.iterations
        );
    }

    #[test]
    fn it_stops_where_there_is_no_minimum_or_no_number() {
        let limits = Limits {
            tolerance: 1e-9,
            max_iterations: 20,
        };
        let slide = minimize(vec![0.], limits, |x, gradient| {
            gradient[0] = -1.;
            -x[0]
        });
        assert!(!slide.converged);
        let hole = minimize(vec![0.], limits, |_, gradient| {
            gradient[0] = f64::NAN;
            f64::NAN
        });
        assert!(!hole.converged);
    }
}
