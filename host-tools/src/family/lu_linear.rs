//! The trainable twin of `flowlet::bijection::LuLinear`; the formula and its source stand there.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::write;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::channels::channels_last;
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
    /// A map of so many channels that starts near the identity.
    pub fn new(channels: usize, random: &mut ChaCha8Rng, device: &Device) -> Self {
        let mut draw = || {
            let entries = (0..channels * channels).map(|_| random.random_range(-START..=START));
            let entries = TensorData::new(entries.collect::<Vec<_>>(), [channels, channels]);
            Param::from_data(entries, device)
        };
        let (lower, upper) = (draw(), draw());
        let log_diagonal = Param::from_tensor(Tensor::zeros([channels], device));
        Self { lower, upper, log_diagonal }
    }

    fn channels(&self) -> usize {
        self.log_diagonal.dims()[0]
    }

    /// L and U.
    fn factors(&self) -> (Tensor<2>, Tensor<2>) {
        let identity = Tensor::<2>::eye(self.channels(), &self.lower.device());
        let diagonal = self.log_diagonal.val().exp().unsqueeze::<2>();
        let lower = self.lower.val().tril(-1) + identity.clone();
        let upper = self.upper.val().triu(1) + identity * diagonal;
        (lower, upper)
    }

    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    pub fn inverse(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [rows, values] = x.dims();
        let positions = values / self.channels();
        let (lower, upper) = self.factors();
        let x = channels_last(x, positions);
        let z = x.matmul(upper.transpose()).matmul(lower.transpose());
        let z = z.reshape([rows, positions, self.channels()]).swap_dims(1, 2);
        let log_det_jacobian = self.log_diagonal.val().sum().unsqueeze::<2>() * positions as f64;
        (z.reshape([rows, values]), log_det_jacobian.repeat_dim(0, rows))
    }

    /// The map as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let (lower, upper) = self.factors();
        let [channels, _] = lower.dims();
        write::Layer::LuLinear { channels, lower: values(lower), upper: values(upper) }
    }
}
