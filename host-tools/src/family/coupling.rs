//! The trainable twin of `flowlet::bijection::Coupling`; the formula and its source stand there.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowlet::bijection::Half;
use flowlet::write;
use flowlet::{Periodic, ScalarMap};
use rand_chacha::ChaCha8Rng;

use super::direction::Direction;
use super::network::Network;
use super::periodic;
use super::scalar;
use super::{Sizes, given};

/// A coupling under training.
#[derive(Module, Debug)]
pub struct Coupling {
    #[module(skip)]
    transformed: Half,
    #[module(skip)]
    map: ScalarMap,
    /// Among the features of the row.
    #[module(skip)]
    periodic: Periodic,
    network: Network,
}

impl Coupling {
    /// A coupling that starts near the identity.
    pub fn new(
        transformed: Half,
        map: ScalarMap,
        sizes: Sizes,
        hidden: &[usize],
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let (outputs, inputs) = transformed.sizes(sizes.features);
        let Sizes { features, context, periodic } = sizes;
        let (_, seen) = transformed.periodic(periodic, features);
        let inputs = context + inputs + seen.count(inputs);
        let outputs = map.parameters_of(periodic) * outputs;
        let network = Network::new(inputs, hidden, outputs, random, device);
        Self { transformed, map, periodic, network }
    }

    /// Maps the rows, shape [rows, D], and returns log |det| of the Jacobian in that `direction`,
    /// shape [rows, 1], with them.
    pub fn apply(
        &self,
        direction: Direction,
        rows: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<2>) {
        let [_, features] = rows.dims();
        let half = features / 2;
        let first = rows.clone().narrow(1, 0, half);
        let second = rows.narrow(1, half, features - half);
        let (values, condition) = match self.transformed {
            Half::First => (first, second),
            Half::Second => (second, first),
        };
        let (circles, seen) = self.transformed.periodic(self.periodic, features);
        let inputs = given(context, periodic::seen(condition.clone(), seen));
        let parameters = self.network.run(inputs);
        let (mapped, log_slopes) = scalar::apply(self.map, direction, values, circles, parameters);
        let halves = match self.transformed {
            Half::First => vec![mapped, condition],
            Half::Second => vec![condition, mapped],
        };
        (Tensor::cat(halves, 1), log_slopes.sum_dim(1))
    }

    /// The coupling as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let Self { transformed, map, .. } = *self;
        write::Layer::Coupling { transformed, map, network: self.network.export() }
    }
}
