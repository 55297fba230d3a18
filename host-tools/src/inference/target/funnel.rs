//! Neal's funnel: v ~ N(0, 3^2), and x1 to x9 ~ N(0, exp(v)) given v (Neal 2003, "Slice sampling",
//! section 8).

use burn::tensor::Tensor;

use super::{Known, Target, column, log_normal};
use crate::family::Family;
use crate::inference::Options;
use crate::inference::descent::Schedule;

/// Values whose spread v decides.
const VALUES: usize = 9;

/// The density, with its constant.
#[derive(Clone, Copy, Debug)]
pub struct Funnel;

impl Target for Funnel {
    fn name(&self) -> &str {
        "Neal's funnel"
    }

    fn names(&self) -> Vec<String> {
        let values = (1..=VALUES).map(|number| format!("x{number}"));
        std::iter::once("v".into()).chain(values).collect()
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        let v = column(&z, 0);
        let log_deviation = Tensor::full_like(&v, 3f64.ln());
        let own = log_normal(v.clone(), log_deviation);
        let values = z.narrow(1, 1, VALUES);
        own + log_normal(values, (v * 0.5).repeat_dim(1, VALUES)).sum_dim(1)
    }
}

impl Known for Funnel {
    fn log_evidence(&self) -> f64 {
        0.0
    }

    /// Each spread hangs on v, which autoregressive layers express more directly than couplings.
    fn options(&self) -> Options {
        let schedule = Schedule { steps: 4000, learning_rate: 3e-3 };
        Options { schedule, ..Options::new(Family::Iaf, Some(3)) }
    }
}
