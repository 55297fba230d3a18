//! The normal density over tensors.

use burn::tensor::Tensor;

/// ln N(difference; 0, exp(log_deviation)^2), each entry for itself.
pub fn log_normal(difference: Tensor<2>, log_deviation: Tensor<2>) -> Tensor<2> {
    let standardised = difference * (-log_deviation.clone()).exp();
    let constant = 0.5 * (2.0 * std::f64::consts::PI).ln();
    -(standardised.square() * 0.5) - log_deviation - constant
}
