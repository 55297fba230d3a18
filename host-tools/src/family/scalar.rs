//! The trainable twin of `flowlet::scalar`; the formula and its source stand there.

use burn::tensor::{Device, Int, Tensor, TensorData};
use flowlet::{Periodic, ScalarMap};

use super::direction::Direction;
use super::math::soft_clip;
use super::spline;

/// The affine map. A layer stretches or shrinks up to 1,100-fold: where the spread of a feature
/// hangs on another one, less costs nats.
pub const AFFINE: ScalarMap = ScalarMap::Affine { clip: 7.0 };

/// The spline, which leaves rows beyond five standard deviations as they are.
pub const SPLINE: ScalarMap = ScalarMap::Spline { bound: 5.0 };

/// Maps n features, shape [rows, n], the `periodic` ones on circles, given their parameters, shape
/// [rows, parameters * n], each for all n. Returns the logarithms of the slopes in that `direction`
/// with them.
pub fn apply(
    map: ScalarMap,
    direction: Direction,
    values: Tensor<2>,
    periodic: Periodic,
    parameters: Tensor<2>,
) -> (Tensor<2>, Tensor<2>) {
    match map {
        ScalarMap::Affine { clip } => affine(direction, values, parameters, clip.into()),
        ScalarMap::Spline { bound } => {
            splines(direction, values, periodic, parameters, bound.into())
        }
    }
}

/// Those on circles and the others apart.
fn splines(
    direction: Direction,
    values: Tensor<2>,
    periodic: Periodic,
    parameters: Tensor<2>,
    bound: f64,
) -> (Tensor<2>, Tensor<2>) {
    let [rows, features] = values.dims();
    let count = parameters.dims()[1] / features;
    let parameters: Tensor<3> = parameters.reshape([rows, count, features]);
    let (circles, others): (Vec<usize>, Vec<usize>) =
        (0..features).partition(|feature| periodic.contains(*feature));
    if circles.is_empty() {
        return spline::apply(direction, values, parameters, bound);
    }
    let device = values.device();
    let part = |numbers: &[usize]| {
        let numbers = indices(numbers, &device);
        (values.clone().select(1, numbers.clone()), parameters.clone().select(2, numbers))
    };
    let (own, own_parameters) = part(&circles);
    let (mut mapped, mut log_slopes) = spline::circular(direction, own, own_parameters);
    if !others.is_empty() {
        let (own, own_parameters) = part(&others);
        let (others, other_slopes) = spline::apply(direction, own, own_parameters, bound);
        mapped = Tensor::cat(vec![mapped, others], 1);
        log_slopes = Tensor::cat(vec![log_slopes, other_slopes], 1);
    }
    let order = [circles, others].concat();
    let mut back: Vec<usize> = (0..features).collect();
    back.sort_by_key(|place| order[*place]);
    let back = indices(&back, &device);
    (mapped.select(1, back.clone()), log_slopes.select(1, back))
}

fn indices(numbers: &[usize], device: &Device) -> Tensor<1, Int> {
    let count = numbers.len();
    let numbers: Vec<i64> = numbers.iter().map(|number| *number as i64).collect();
    Tensor::from_data(TensorData::new(numbers, [count]), device)
}

fn affine(
    direction: Direction,
    values: Tensor<2>,
    parameters: Tensor<2>,
    clip: f64,
) -> (Tensor<2>, Tensor<2>) {
    let [_, features] = values.dims();
    let shift = parameters.clone().narrow(1, 0, features);
    let log_scale = soft_clip(parameters.narrow(1, features, features), clip);
    match direction {
        Direction::Forward => (values * log_scale.clone().exp() + shift, log_scale),
        Direction::Inverse => {
            let log_slope = -log_scale;
            ((values - shift) * log_slope.clone().exp(), log_slope)
        }
    }
}
