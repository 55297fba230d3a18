//! The trainable twin of `flowlet::scalar`; the formula and its source stand there.

use burn::tensor::Tensor;
use flowlet::ScalarMap;

use super::spline;

/// The affine map. A layer stretches or shrinks up to 1,100-fold: where the spread of a feature
/// hangs on another one, less costs nats.
pub const AFFINE: ScalarMap = ScalarMap::Affine { clip: 7.0 };

/// The spline, which leaves rows beyond five standard deviations as they are.
pub const SPLINE: ScalarMap = ScalarMap::Spline { bound: 5.0 };

/// x to z of n features, shape [rows, n], given their parameters, shape [rows, parameters * n],
/// each for all n. Returns the logarithms of the slopes dz/dx with it.
pub fn inverse(map: ScalarMap, x: Tensor<2>, parameters: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    match map {
        ScalarMap::Affine { clip } => affine(x, parameters, clip.into()),
        ScalarMap::Spline { bound } => spline::inverse(x, parameters, bound.into()),
    }
}

fn affine(x: Tensor<2>, parameters: Tensor<2>, clip: f64) -> (Tensor<2>, Tensor<2>) {
    let [_, features] = x.dims();
    let shift = parameters.clone().narrow(1, 0, features);
    let log_scale = soft_clip(parameters.narrow(1, features, features), clip);
    let log_slope = -log_scale;
    ((x - shift) * log_slope.clone().exp(), log_slope)
}

/// r, held inside +-bound.
pub fn soft_clip<const N: usize>(raw: Tensor<N>, bound: f64) -> Tensor<N> {
    raw.clone() / (raw.abs() / bound + 1.0)
}
