//! The draws that a bound is taken over: a Sobol sequence with Owen's scrambling (Owen 1998,
//! "Scrambling Sobol' and Niederreiter-Xing points"), taken to a normal distribution. Their bound
//! varies less than that of as many random draws, and a firmware needs neither a generator nor the
//! normal quantile.

/// Coefficients of the normal quantile: of the middle and of the tails.
const MIDDLE: ([f64; 6], [f64; 5]) = (
    [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ],
    [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
    ],
);
const TAIL: ([f64; 6], [f64; 4]) = (
    [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ],
    [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416],
);
/// Probability below which a tail begins.
const TAIL_BEGINS: f64 = 0.02425;

/// `count` draws from N(0, I) of `latents` values each, one behind the other.
pub fn normal(count: usize, latents: usize, seed: u64) -> Vec<f32> {
    let seed = (seed ^ seed >> 32) as u32;
    let value = |index: usize, dimension: usize| {
        let uniform = sobol_burley::sample(index as u32, dimension as u32, seed);
        // In the middle of the steps that it comes in, hence never 0.
        let uniform =
            (f64::from(uniform) + 2f64.powi(-25)).clamp(2f64.powi(-25), 1.0 - 2f64.powi(-25));
        quantile(uniform) as f32
    };
    (0..count).flat_map(|index| (0..latents).map(move |own| value(index, own))).collect()
}

/// The quantile of a standard normal distribution, to 1e-9 (Acklam 2003, "An algorithm for computing
/// the inverse normal cumulative distribution function").
fn quantile(p: f64) -> f64 {
    let polynomial =
        |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    if p < TAIL_BEGINS {
        let q = (-2.0 * p.ln()).sqrt();
        let (above, below) = TAIL;
        return polynomial(&above, q) / (polynomial(&below, q) * q + 1.0);
    }
    let q = p - 0.5;
    let r = q * q;
    let (above, below) = MIDDLE;
    polynomial(&above, r) * q / (polynomial(&below, r) * r + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quantile_has_its_probability(p in 1e-8f64..0.99999999) {
            let probability = 0.5 * libm::erfc(-quantile(p) / 2f64.sqrt());
            prop_assert!((probability / p - 1.0).abs() < 1e-7, "{p}: {probability}");
        }

        /// Means and products of the values are nearer to those of N(0, I) than random draws'.
        #[test]
        fn points_are_normal(seed: u64, latents in 2usize..9) {
            let points = normal(128, latents, seed);
            let column = |own: usize| points.iter().skip(own).step_by(latents).map(|z| f64::from(*z));
            for own in 0..latents {
                let mean = column(own).sum::<f64>() / 128.0;
                let square = column(own).map(|z| z * z).sum::<f64>() / 128.0;
                prop_assert!(mean.abs() < 0.06 && (square - 1.0).abs() < 0.2, "{mean} {square}");
            }
        }
    }

    #[test]
    fn fewer_points_are_the_first_of_more() {
        assert_eq!(normal(8, 3, 5)[..], normal(32, 3, 5)[..24]);
    }
}
