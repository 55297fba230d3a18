//! Integrals over the real line of functions given by their logarithm.

/// ln of the integral of exp(f) between the bounds by the trapezoidal rule, which is exact but for
/// rounding where f is smooth and exp(f) has died away at both (Trefethen and Weideman 2014, "The
/// Exponentially Convergent Trapezoidal Rule").
pub fn log_integral(bounds: std::ops::Range<f64>, intervals: usize, f: impl Fn(f64) -> f64) -> f64 {
    let step = (bounds.end - bounds.start) / intervals as f64;
    let values: Vec<f64> =
        (0..=intervals).map(|point| f(bounds.start + step * point as f64)).collect();
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| (value - largest).exp()).sum();
    largest + (sum * step).ln()
}

/// ln N(difference; 0, variance) in f64.
pub fn log_normal(difference: f64, variance: f64) -> f64 {
    -0.5 * (difference * difference / variance + (2.0 * std::f64::consts::PI * variance).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_integrates_to_1() {
        let integral = log_integral(-12.0..13.0, 400, |x| log_normal(x - 0.5, 0.7));
        assert!(integral.abs() < 1e-12, "{integral}");
    }
}
