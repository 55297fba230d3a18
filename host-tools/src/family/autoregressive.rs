//! The trainable twin of `flowlet::bijection::Autoregressive`; the formula and its sources stand
//! there.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowlet::bijection::Side;
use flowlet::write;
use flowlet::{Periodic, ScalarMap};
use rand_chacha::ChaCha8Rng;

use super::masked::Masked;
use super::periodic;
use super::scalar;
use super::{Sizes, given};

/// An autoregressive bijection under training.
#[derive(Module, Debug)]
pub struct Autoregressive {
    #[module(skip)]
    given: Side,
    #[module(skip)]
    map: ScalarMap,
    #[module(skip)]
    periodic: Periodic,
    network: Masked,
}

impl Autoregressive {
    /// A bijection that starts near the identity.
    pub fn new(
        given: Side,
        map: ScalarMap,
        sizes: Sizes,
        hidden: &[usize],
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let periodic = sizes.periodic;
        let parameters = map.parameters_of(periodic);
        let network = Masked::new(sizes, hidden, parameters, random, device);
        Self { given, map, periodic, network }
    }

    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    pub fn inverse(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        let (z, log_slopes) = match self.given {
            Side::X => {
                let seen = periodic::seen(x.clone(), self.periodic);
                let parameters = self.network.run(given(context, seen));
                scalar::inverse(self.map, x, self.periodic, parameters)
            }
            Side::Z => self.inverse_given_z(x, context),
        };
        (z, log_slopes.sum_dim(1))
    }

    /// Feature by feature, for each needs those of z before it: D passes of the network.
    fn inverse_given_z(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        let [rows, features] = x.dims();
        let (mut z, mut log_slopes) = (Vec::new(), Vec::new());
        for feature in 0..features {
            let unknown = Tensor::zeros([rows, features - feature], &x.device());
            let known = Tensor::cat(z.iter().cloned().chain([unknown]).collect(), 1);
            let seen = periodic::seen(known, self.periodic);
            let parameters = self.network.run(given(context, seen));
            let own = (0..self.map.parameters_of(self.periodic))
                .map(|parameter| parameters.clone().narrow(1, parameter * features + feature, 1));
            let own = Tensor::cat(own.collect(), 1);
            let value = x.clone().narrow(1, feature, 1);
            let circle = self.periodic.part(feature, 1);
            let (mapped, log_slope) = scalar::inverse(self.map, value, circle, own);
            z.push(mapped);
            log_slopes.push(log_slope);
        }
        (Tensor::cat(z, 1), Tensor::cat(log_slopes, 1))
    }

    /// The bijection as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let Self { given, map, .. } = *self;
        write::Layer::Autoregressive { given, map, network: self.network.export() }
    }
}
