//! The trainable twin of `flowlet::bijection::ActNorm`; the formula and its source stand there.
//!
//! In an image all positions of a channel share a shift and a scale.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use flowlet::write;

use super::channels::channels_last;
use super::values;

/// Smallest scale to start from, for features that are constant in a batch.
const SMALLEST: f64 = 1e-3;

/// An act-norm under training.
#[derive(Module, Debug)]
pub struct ActNorm {
    positions: usize,
    /// One a channel.
    shift: Param<Tensor<1>>,
    log_scale: Param<Tensor<1>>,
}

impl ActNorm {
    /// The identity over so many positions, one in a row that is no image.
    pub fn new(channels: usize, positions: usize, device: &Device) -> Self {
        let zeros = || Param::from_tensor(Tensor::zeros([channels], device));
        Self { positions, shift: zeros(), log_scale: zeros() }
    }

    /// Sets mean and deviation of each channel of z to 0 and 1 on these rows.
    pub fn initialise(&mut self, x: Tensor<2>) {
        let x = channels_last(x, self.positions);
        let [count, channels] = x.dims();
        let mean = x.clone().mean_dim(0);
        let squares = (x - mean.clone()).square().sum_dim(0) / count as f64;
        let scale = squares.sqrt().clamp_min(SMALLEST);
        self.shift = Param::from_tensor(mean.reshape([channels]).detach());
        self.log_scale = Param::from_tensor(scale.log().reshape([channels]).detach());
    }

    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    pub fn inverse(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [rows, _] = x.dims();
        let shift = self.each(&self.shift).unsqueeze::<2>();
        let log_slope = -self.each(&self.log_scale).unsqueeze::<2>();
        let log_det_jacobian = log_slope.clone().sum_dim(1).repeat_dim(0, rows);
        ((x - shift) * log_slope.exp(), log_det_jacobian)
    }

    /// z to x, shape [rows, D], and log |det dx/dz|, shape [rows, 1].
    pub fn forward(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [rows, _] = z.dims();
        let shift = self.each(&self.shift).unsqueeze::<2>();
        let log_slope = self.each(&self.log_scale).unsqueeze::<2>();
        let log_det_jacobian = log_slope.clone().sum_dim(1).repeat_dim(0, rows);
        (z * log_slope.exp() + shift, log_det_jacobian)
    }

    /// One a channel, for each value of the row.
    fn each(&self, parameter: &Param<Tensor<1>>) -> Tensor<1> {
        let parameter: Tensor<2> = parameter.val().unsqueeze_dim(1);
        parameter.repeat_dim(1, self.positions).flatten(0, 1)
    }

    /// The act-norm as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let (shift, scale) = (self.each(&self.shift), self.each(&self.log_scale).exp());
        write::Layer::ActNorm { shift: values(shift), scale: values(scale) }
    }
}
