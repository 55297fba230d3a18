//! The trainable twin of `flowlet::scalar`; the formula and its source stand there.

use burn::tensor::{Device, Int, Tensor, TensorData};
use flowlet::{Periodic, ScalarMap};

use super::math::soft_clip;
use super::spline;

/// The affine map. A layer stretches or shrinks up to 1,100-fold: where the spread of a feature
/// hangs on another one, less costs nats.
pub const AFFINE: ScalarMap = ScalarMap::Affine { clip: 7.0 };

/// The spline, which leaves rows beyond five standard deviations as they are.
pub const SPLINE: ScalarMap = ScalarMap::Spline { bound: 5.0 };

/// x to z of n features, shape [rows, n], the `periodic` ones on circles, given their parameters,
/// shape [rows, parameters * n], each for all n. Returns the logarithms of the slopes dz/dx with it.
pub fn inverse(
    map: ScalarMap,
    x: Tensor<2>,
    periodic: Periodic,
    parameters: Tensor<2>,
) -> (Tensor<2>, Tensor<2>) {
    match map {
        ScalarMap::Affine { clip } => affine(x, parameters, clip.into()),
        ScalarMap::Spline { bound } => splines(x, periodic, parameters, bound.into()),
    }
}

/// Those on circles and the others apart.
fn splines(
    x: Tensor<2>,
    periodic: Periodic,
    parameters: Tensor<2>,
    bound: f64,
) -> (Tensor<2>, Tensor<2>) {
    let [rows, features] = x.dims();
    let count = parameters.dims()[1] / features;
    let parameters: Tensor<3> = parameters.reshape([rows, count, features]);
    let (circles, others): (Vec<usize>, Vec<usize>) =
        (0..features).partition(|feature| periodic.contains(*feature));
    if circles.is_empty() {
        return spline::inverse(x, parameters, bound);
    }
    let device = x.device();
    let part = |numbers: &[usize]| {
        let numbers = indices(numbers, &device);
        (x.clone().select(1, numbers.clone()), parameters.clone().select(2, numbers))
    };
    let (own, own_parameters) = part(&circles);
    let (mut z, mut log_slopes) = spline::circular(own, own_parameters);
    if !others.is_empty() {
        let (own, own_parameters) = part(&others);
        let (other_z, other_slopes) = spline::inverse(own, own_parameters, bound);
        z = Tensor::cat(vec![z, other_z], 1);
        log_slopes = Tensor::cat(vec![log_slopes, other_slopes], 1);
    }
    let order = [circles, others].concat();
    let mut back: Vec<usize> = (0..features).collect();
    back.sort_by_key(|place| order[*place]);
    let back = indices(&back, &device);
    (z.select(1, back.clone()), log_slopes.select(1, back))
}

fn indices(numbers: &[usize], device: &Device) -> Tensor<1, Int> {
    let count = numbers.len();
    let numbers: Vec<i64> = numbers.iter().map(|number| *number as i64).collect();
    Tensor::from_data(TensorData::new(numbers, [count]), device)
}

fn affine(x: Tensor<2>, parameters: Tensor<2>, clip: f64) -> (Tensor<2>, Tensor<2>) {
    let [_, features] = x.dims();
    let shift = parameters.clone().narrow(1, 0, features);
    let log_scale = soft_clip(parameters.narrow(1, features, features), clip);
    let log_slope = -log_scale;
    ((x - shift) * log_slope.clone().exp(), log_slope)
}
