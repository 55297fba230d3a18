//! The trainable twin of `flowlet::spline`; the formula and its source stand there.
//!
//! No NaN may arise in what a selection throws away, for its gradient would be NaN as well: a
//! value beyond the bound is replaced before the formula, and the result chosen after it.

use burn::tensor::{Int, Tensor};

use super::direction::Direction;
use super::math::soft_clip;
use super::periodic::wrap;

/// Bins.
const BINS: usize = 8;
/// Smallest width or height of a bin, as a share of all.
const SMALLEST: f64 = 1e-3;
/// Smallest share of a bin before the shares are made to add up.
const SHARE: f64 = 1e-3;
/// Bound of a knot's raw slope.
const CLIP: f64 = 10.0;
/// Under it, a discriminant is no number that the formula can come to but a rounding error.
const SMALLEST_DISCRIMINANT: f64 = 1e-12;

/// Maps values, shape [rows, n], given the parameters, shape [rows, 23, n] (or 24, of which one is
/// not used): the raw widths, heights and slopes. Returns the logarithms of the slopes in that
/// `direction` with them.
pub fn apply(
    direction: Direction,
    values: Tensor<2>,
    parameters: Tensor<3>,
    bound: f64,
) -> (Tensor<2>, Tensor<2>) {
    let [rows, features] = values.dims();
    let outside = values.clone().abs().greater_equal_elem(bound);
    let inside = values.clone().mask_fill(outside.clone(), 0.0);
    let outer = Tensor::ones([rows, 1, features], &values.device());
    let (mapped, log_slope) = within(direction, inside, parameters, outer, bound);
    (mapped.mask_where(outside.clone(), values), log_slope.mask_fill(outside, 0.0))
}

/// The same on circles, given the parameters, shape [rows, 24, n].
pub fn circular(
    direction: Direction,
    values: Tensor<2>,
    parameters: Tensor<3>,
) -> (Tensor<2>, Tensor<2>) {
    let outer = slopes(parameters.clone().narrow(1, 3 * BINS - 1, 1));
    match direction {
        Direction::Forward => {
            let (x, log_slope) = within(direction, wrap(values), parameters, outer, 1.0);
            (wrap(x + 1.0), log_slope)
        }
        Direction::Inverse => within(direction, wrap(values + 1.0), parameters, outer, 1.0),
    }
}

/// The same between the outer knots, where the slope is `outer`.
fn within(
    direction: Direction,
    values: Tensor<2>,
    parameters: Tensor<3>,
    outer: Tensor<3>,
    bound: f64,
) -> (Tensor<2>, Tensor<2>) {
    let inside: Tensor<3> = values.unsqueeze_dim(1);
    let raw = |first: usize, count: usize| parameters.clone().narrow(1, first, count);
    let widths = sizes(raw(0, BINS), bound);
    let heights = sizes(raw(BINS, BINS), bound);
    let inner = slopes(raw(2 * BINS, BINS - 1));
    let slopes = Tensor::cat(vec![outer.clone(), inner, outer], 1);
    let (knots_z, knots_x) = (knots(&widths, bound), knots(&heights, bound));

    let known = match direction {
        Direction::Forward => &knots_z,
        Direction::Inverse => &knots_x,
    };
    let passed = known.clone().narrow(1, 1, BINS - 1).lower_equal(inside.clone());
    let bin: Tensor<3, Int> = passed.int().sum_dim(1);
    let of_bin = |values: Tensor<3>| values.gather(1, bin.clone());
    let (z, x_start) = (of_bin(knots_z), of_bin(knots_x));
    let (width, height) = (of_bin(widths), of_bin(heights));
    let (d0, d1) = (of_bin(slopes.clone()), slopes.gather(1, bin.clone() + 1));

    let s = height.clone() / width.clone();
    let curve = d0.clone() + d1.clone() - s.clone() * 2.0;
    let theta = match direction {
        Direction::Forward => (inside - z.clone()) / width.clone(),
        Direction::Inverse => {
            let y = inside - x_start.clone();
            let a = height.clone() * (s.clone() - d0.clone()) + y.clone() * curve.clone();
            let b = height.clone() * d0.clone() - y.clone() * curve.clone();
            let c = -(s.clone() * y);
            let discriminant = b.clone() * b.clone() - a.clone() * c.clone() * 4.0;
            let root = discriminant.clamp_min(SMALLEST_DISCRIMINANT).sqrt();
            // Chosen before the division: the form that is not used may divide by 0.
            let negative = b.clone().lower_elem(0.0);
            let numerator = (c * 2.0).mask_where(negative.clone(), root.clone() - b.clone());
            let denominator = (-b - root).mask_where(negative, a * 2.0);
            numerator / denominator
        }
    };
    let theta = theta.clamp(0.0, 1.0);
    let rest = -theta.clone() + 1.0;
    let across = theta.clone() * rest.clone();
    let denominator = s.clone() + curve * across.clone();
    let numerator = d1 * theta.clone() * theta.clone()
        + s.clone() * across.clone() * 2.0
        + d0.clone() * rest.clone() * rest;
    let slope = s.clone() * s.clone() * numerator / (denominator.clone() * denominator.clone());
    let log_slope = slope.log();
    let (mapped, log_slope) = match direction {
        Direction::Forward => {
            let rise = height * (s * theta.clone() * theta + d0 * across) / denominator;
            (x_start + rise, log_slope)
        }
        Direction::Inverse => (z + theta * width, -log_slope),
    };
    (mapped.squeeze_dim(1), log_slope.squeeze_dim(1))
}

/// The bins' sizes along one side, which add up to 2 bound.
fn sizes(raw: Tensor<3>, bound: f64) -> Tensor<3> {
    let limit = f64::from(flowlet::LIMIT);
    let shares = fourth_power(raw.clamp(-limit, limit)) + SHARE;
    let shares = shares.clone() / shares.sum_dim(1);
    (shares * (1.0 - BINS as f64 * SMALLEST) + SMALLEST) * (2.0 * bound)
}

/// The knots' slopes, fourth powers where raw >= 0, else the inverse of that of -raw. The magnitude
/// would have no gradient at 0, where training starts.
fn slopes(raw: Tensor<3>) -> Tensor<3> {
    let raw = soft_clip(raw, CLIP);
    let is_negative = raw.clone().lower_elem(0.0);
    let rise = raw.clone().mask_fill(is_negative.clone(), 0.0);
    let fall = raw.mask_fill(is_negative.bool_not(), 0.0);
    fourth_power(rise) / fourth_power(-fall)
}

/// (1 + r/4)^4.
fn fourth_power(raw: Tensor<3>) -> Tensor<3> {
    (raw * 0.25 + 1.0).square().square()
}

/// The start of each bin.
fn knots(sizes: &Tensor<3>, bound: f64) -> Tensor<3> {
    sizes.clone().cumsum(1) - sizes.clone() - bound
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    use super::*;
    use crate::family::values;

    proptest! {
        /// At the knots, beyond the bound and with bins as steep as they can be.
        #[test]
        fn values_and_gradients_are_finite(
            raws in proptest::collection::vec(-30f32..30.0, 24),
            spread in prop_oneof![Just(0f32), 0f32..1.0, Just(1e3)],
            inside in -3f32..3.0,
        ) {
            let device = Device::flex().autodiff();
            let rows = [inside, -3.0, 3.0, -1.0, 1.0, 0.0, 1e30, -1e30].to_vec();
            let count = rows.len();
            let raws = raws.iter().map(|raw| raw * spread).collect::<Vec<_>>();
            let both = [Direction::Forward, Direction::Inverse];
            for (is_circular, direction) in [false, true].into_iter().flat_map(|c| both.map(|d| (c, d))) {
                let x = Tensor::<2>::from_data(TensorData::new(rows.clone(), [count, 1]), &device);
                let x = x.require_grad();
                let data = TensorData::new(raws.clone(), [1, 24, 1]);
                let parameters = Tensor::<3>::from_data(data, &device).require_grad();
                let of_all = parameters.clone().repeat_dim(0, count);
                let (z, log_slope) = match is_circular {
                    false => apply(direction, x.clone(), of_all, 3.0),
                    true => circular(direction, x.clone(), of_all),
                };
                let sum = z.clone().clamp(-3.0, 3.0).sum() + log_slope.clone().sum();
                let gradients = sum.backward();
                let x = x.grad(&gradients).expect("x was used");
                let parameters = parameters.grad(&gradients).expect("parameters were used");
                for tensor in [z.inner(), log_slope.inner(), x, parameters.squeeze_dim(2)] {
                    let values = values(tensor);
                    prop_assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
                }
            }
        }
    }
}
