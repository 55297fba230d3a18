//! A curved ridge: z1 ~ N(0, 2), z2 ~ N(z1^2 / 2, 1), after Haario et al. (1999, "Adaptive proposal
//! distribution for random walk Metropolis algorithm").

use burn::tensor::Tensor;

use super::{Known, Target, column, log_normal};
use crate::family::Family;
use crate::inference::Options;

/// The density, with its constant.
#[derive(Clone, Copy, Debug)]
pub struct Banana;

impl Target for Banana {
    fn name(&self) -> &str {
        "banana"
    }

    fn names(&self) -> Vec<String> {
        vec!["along".into(), "across".into()]
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        let (along, across) = (column(&z, 0), column(&z, 1));
        let log_deviation = Tensor::full_like(&along, 0.5 * 2f64.ln());
        let bend = along.clone().square() * 0.5;
        log_normal(along, log_deviation.clone())
            + log_normal(across - bend, Tensor::zeros_like(&log_deviation))
    }
}

impl Known for Banana {
    fn log_evidence(&self) -> f64 {
        0.0
    }

    fn options(&self) -> Options {
        Options::new(Family::RealNvp, Some(4))
    }
}
