//! The trainable twin of `flowlet::bijection::ActNorm`; the formula and its source stand there.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use flowlet::write;

use super::values;

/// Smallest scale to start from, for features that are constant in a batch.
const SMALLEST: f64 = 1e-3;

/// An act-norm under training.
#[derive(Module, Debug)]
pub struct ActNorm {
    shift: Param<Tensor<1>>,
    log_scale: Param<Tensor<1>>,
}

impl ActNorm {
    /// The identity.
    pub fn new(features: usize, device: &Device) -> Self {
        let zeros = || Param::from_tensor(Tensor::zeros([features], device));
        Self { shift: zeros(), log_scale: zeros() }
    }

    /// Sets mean and deviation of each feature of z to 0 and 1 on these rows.
    pub fn initialise(&mut self, x: Tensor<2>) {
        let [rows, features] = x.dims();
        let mean = x.clone().mean_dim(0);
        let squares = (x - mean.clone()).square().sum_dim(0) / rows as f64;
        let scale = squares.sqrt().clamp_min(SMALLEST);
        self.shift = Param::from_tensor(mean.reshape([features]).detach());
        self.log_scale = Param::from_tensor(scale.log().reshape([features]).detach());
    }

    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    pub fn inverse(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [rows, _] = x.dims();
        let shift: Tensor<2> = self.shift.val().unsqueeze();
        let log_slope: Tensor<2> = -self.log_scale.val().unsqueeze::<2>();
        let log_det_jacobian = log_slope.clone().sum_dim(1).repeat_dim(0, rows);
        ((x - shift) * log_slope.exp(), log_det_jacobian)
    }

    /// The act-norm as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let (shift, scale) = (values(self.shift.val()), values(self.log_scale.val().exp()));
        write::Layer::ActNorm { shift, scale }
    }
}
