//! The trainable twin of `flowlet::bijection::LuLinear`; the formula and its source stand there.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::write;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::channels::{channels_first, channels_last};
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
        (channels_first(z, positions), self.log_det_jacobian(positions).repeat_dim(0, rows))
    }

    /// z to x, shape [rows, D], and log |det dx/dz|, shape [rows, 1].
    pub fn forward(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [rows, values] = z.dims();
        let channels = self.channels();
        let positions = values / channels;
        let (lower, upper) = self.factors();
        let y = substitute(&lower, channels_last(z, positions), 0..channels);
        let x = substitute(&upper, y, (0..channels).rev());
        (channels_first(x, positions), -self.log_det_jacobian(positions).repeat_dim(0, rows))
    }

    /// log |det dz/dx|, shape \[1, 1\].
    fn log_det_jacobian(&self, positions: usize) -> Tensor<2> {
        self.log_diagonal.val().sum().unsqueeze::<2>() * positions as f64
    }

    /// The map as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let (lower, upper) = self.factors();
        let [channels, _] = lower.dims();
        write::Layer::LuLinear { channels, lower: values(lower), upper: values(upper) }
    }
}

/// Each row v solved for u with T u = v, T triangular, its entries in the `order` in which each
/// needs none that is still unknown.
fn substitute(
    triangular: &Tensor<2>,
    rows: Tensor<2>,
    order: impl Iterator<Item = usize>,
) -> Tensor<2> {
    let [count, channels] = rows.dims();
    let unknown = Tensor::zeros([count, 1], &rows.device());
    let mut solved = vec![unknown; channels];
    for channel in order {
        let line = triangular.clone().narrow(0, channel, 1);
        let known = Tensor::cat(solved.clone(), 1).matmul(line.clone().transpose());
        let rest = rows.clone().narrow(1, channel, 1) - known;
        solved[channel] = rest / line.narrow(1, channel, 1);
    }
    Tensor::cat(solved, 1)
}
