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
        let second = rows.clone().narrow(1, half, features - half);
        let (circles, seen) = self.transformed.periodic(self.periodic, features);
        let apply = |values: Tensor<2>, inputs: Tensor<2>| {
            let parameters = self.network.run(inputs);
            scalar::apply(self.map, direction, values, circles, parameters)
        };
        let given = |condition| given(context, periodic::seen(condition, seen));
        let (mapped, log_slopes) = match (self.transformed, context) {
            (Half::First, _) => {
                let (mapped, log_slopes) = apply(first, given(second.clone()));
                (Tensor::cat(vec![mapped, second], 1), log_slopes)
            }
            (Half::Second, _) => {
                let (mapped, log_slopes) = apply(second, given(first.clone()));
                (Tensor::cat(vec![first, mapped], 1), log_slopes)
            }
            (Half::Both, Some(context)) => apply(rows, context.clone()),
            (Half::Both, None) => unreachable!("made for a context alone"),
        };
        (mapped, log_slopes.sum_dim(1))
    }

    /// The coupling as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let Self { transformed, map, .. } = *self;
        write::Layer::Coupling { transformed, map, network: self.network.export() }
    }
}
