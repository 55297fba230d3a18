//! Marginal transforms: knots that give each feature the shape of a normal one.
//!
//! The knots are quantiles of a feature: x at the height of z among N(0, 1), for evenly spaced z,
//! so that z is standard normal there ("Gaussianization", Chen and Gopinath 2000). The formula
//! between them stands in the device's crate, with `flowlet::bijection::Marginal`.

/// Fewest and most knots of a feature.
const KNOTS: (usize, usize) = (9, 33);
/// Rows that lie beyond the outer knots on each side, at least.
const BEYOND: f64 = 5.0;
/// Largest height of a knot, standard deviations.
const HIGHEST: f64 = 3.0;
/// Smallest slope dx/dz between two knots: a peak may raise the density by a factor of 100.
const SMALLEST_SLOPE: f64 = 0.01;

/// The knots x, z and dx/dz of standardised values in ascending order.
pub fn knots(ascending: &[f32]) -> Vec<[f32; 3]> {
    let rows = ascending.len() as f64;
    let count = ((rows.sqrt() / 2.0) as usize).clamp(KNOTS.0, KNOTS.1);
    let mut steps = (1..=30).map(|step| HIGHEST * f64::from(step) / 30.0);
    let highest = steps.rfind(|z| below(-z) * rows >= BEYOND).unwrap_or(HIGHEST / 30.0);
    let step = 2.0 * highest / (count - 1) as f64;
    let zs: Vec<f64> = (0..count).map(|knot| knot as f64 * step - highest).collect();
    let mut xs: Vec<f64> = zs.iter().map(|z| quantile(ascending, below(*z))).collect();
    for knot in 1..count {
        xs[knot] = xs[knot].max(xs[knot - 1] + SMALLEST_SLOPE * step);
    }
    let secants: Vec<f64> = xs.windows(2).map(|pair| (pair[1] - pair[0]) / step).collect();
    // The geometric mean of the slopes at both sides of a knot; any positive slope is monotone.
    let slope = |knot: usize| {
        let left = secants[knot.max(1) - 1];
        let right = secants[knot.min(count - 2)];
        (left * right).sqrt()
    };
    (0..count).map(|knot| [xs[knot] as f32, zs[knot] as f32, slope(knot) as f32]).collect()
}

/// The share of N(0, 1) below `z`.
fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// The value with that share of the rows below it, between two rows by a straight line.
fn quantile(ascending: &[f32], share: f64) -> f64 {
    let last = ascending.len() - 1;
    let place = (share * ascending.len() as f64 - 0.5).clamp(0.0, last as f64);
    let (left, rest) = (place as usize, place.fract());
    let (left, right) = (ascending[left], ascending[(left + 1).min(last)]);
    f64::from(left) * (1.0 - rest) + f64::from(right) * rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn knots_ascend_whatever_the_rows(
            mut values in proptest::collection::vec(
                prop_oneof![-3f32..3.0, Just(0.5), -1e6f32..1e6], 8..2000,
            ),
        ) {
            values.sort_unstable_by(f32::total_cmp);
            let knots = knots(&values);
            prop_assert!((KNOTS.0..=KNOTS.1).contains(&knots.len()));
            for pair in knots.windows(2) {
                let [[x, z, slope], [x1, z1, _]] = [pair[0], pair[1]];
                prop_assert!(x1 > x && z1 > z && slope > 0.0, "{pair:?}");
            }
        }
    }
}
