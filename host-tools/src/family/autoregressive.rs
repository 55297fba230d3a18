//! The trainable twin of `flowlet::bijection::Autoregressive`; the formula and its sources stand
//! there.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowlet::bijection::Side;
use flowlet::write;
use flowlet::{Periodic, ScalarMap};
use rand_chacha::ChaCha8Rng;

use super::direction::Direction;
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

    /// Maps the rows, shape [rows, D], and returns log |det| of the Jacobian in that `direction`,
    /// shape [rows, 1], with them.
    pub fn apply(
        &self,
        direction: Direction,
        rows: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<2>) {
        let side = match direction {
            Direction::Forward => Side::Z,
            Direction::Inverse => Side::X,
        };
        let (mapped, log_slopes) = if side == self.given {
            let seen = periodic::seen(rows.clone(), self.periodic);
            let parameters = self.network.run(given(context, seen));
            scalar::apply(self.map, direction, rows, self.periodic, parameters)
        } else {
            self.walk(direction, rows, context)
        };
        (mapped, log_slopes.sum_dim(1))
    }

    /// Feature by feature, for each needs those that are mapped before it: D passes of the network.
    fn walk(
        &self,
        direction: Direction,
        from: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<2>) {
        let [rows, features] = from.dims();
        let (mut to, mut log_slopes) = (Vec::<Tensor<2>>::new(), Vec::new());
        for feature in 0..features {
            let unknown = Tensor::zeros([rows, features - feature], &from.device());
            let known = Tensor::cat(to.iter().cloned().chain([unknown]).collect(), 1);
            let seen = periodic::seen(known, self.periodic);
            let parameters = self.network.run(given(context, seen));
            let own = (0..self.map.parameters_of(self.periodic))
                .map(|parameter| parameters.clone().narrow(1, parameter * features + feature, 1));
            let own = Tensor::cat(own.collect(), 1);
            let value = from.clone().narrow(1, feature, 1);
            let circle = self.periodic.part(feature, 1);
            let (mapped, log_slope) = scalar::apply(self.map, direction, value, circle, own);
            to.push(mapped);
            log_slopes.push(log_slope);
        }
        (Tensor::cat(to, 1), Tensor::cat(log_slopes, 1))
    }

    /// The bijection as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let Self { given, map, .. } = *self;
        write::Layer::Autoregressive { given, map, network: self.network.export() }
    }
}
