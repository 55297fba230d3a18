//! The trainable twin of `flowlet::bijection::LuLinear`; the formula and its source stand there.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::write;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::values;

/// Bound of the entries beside the diagonals at the start.
const START: f32 = 0.01;

/// An invertible linear map under training.
#[derive(Module, Debug)]
pub struct LuLinear {
    /// L, of which what lies below the diagonal is used.
    lower: Param<Tensor<2>>,
    /// U, of which what lies above the diagonal is used.
    upper: Param<Tensor<2>>,
    /// U's diagonal, which is positive as it was at the start.
    log_diagonal: Param<Tensor<1>>,
}

impl LuLinear {
    /// A map that starts near the identity.
    pub fn new(features: usize, random: &mut ChaCha8Rng, device: &Device) -> Self {
        let mut draw = || {
            let entries = (0..features * features).map(|_| random.random_range(-START..=START));
            let entries = TensorData::new(entries.collect::<Vec<_>>(), [features, features]);
            Param::from_data(entries, device)
        };
        let (lower, upper) = (draw(), draw());
        let log_diagonal = Param::from_tensor(Tensor::zeros([features], device));
        Self { lower, upper, log_diagonal }
    }

    /// L and U.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let features = self.log_diagonal.dims()[0];
        let identity = Tensor::<2>::eye(features, &self.lower.device());
        let diagonal = self.log_diagonal.val().exp().unsqueeze::<2>();
        let lower = self.lower.val().tril(-1) + identity.clone();
        let upper = self.upper.val().triu(1) + identity * diagonal;
        (lower, upper)
    }

    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    pub fn inverse(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [rows, _] = x.dims();
        let (lower, upper) = self.factors();
        let z = x.matmul(upper.transpose()).matmul(lower.transpose());
        let log_det_jacobian = self.log_diagonal.val().sum().unsqueeze::<2>();
        (z, log_det_jacobian.repeat_dim(0, rows))
    }

    /// The map as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let (lower, upper) = self.factors();
        write::Layer::LuLinear { lower: values(lower), upper: values(upper) }
    }
}
