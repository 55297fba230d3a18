//! The families of flows, and their trainable twins of the device's bijections.
//!
//! A twin has the file name of the bijection it mirrors in the crate `flowlet`. It exists for
//! gradients only: every number that leaves this tool is computed by the device's code, and
//! `tests/twin.rs` holds the two together.

mod coupling;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use flowlet::bijection::Half;
use flowlet::write::Layer;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use coupling::Coupling;

/// A family of normalizing flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    /// Affine couplings on alternating halves, permutations between them (Dinh et al. 2017).
    RealNvp,
}

/// How large a flow is.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// Which family.
    pub family: Family,
    /// Number of couplings.
    pub layers: usize,
    /// Widths of the hidden layers of each conditioner.
    pub hidden: Vec<usize>,
}

/// A flow under training. Rows are standardised.
#[derive(Module, Debug)]
pub struct Flow {
    couplings: Vec<Coupling>,
    /// One fewer than couplings, row-major: permutation k stands behind coupling k.
    orders: Vec<Vec<usize>>,
}

impl Flow {
    /// A flow near the identity, its weights drawn from `random`.
    pub fn new(
        architecture: &Architecture,
        features: usize,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let Architecture { family: Family::RealNvp, layers, hidden } = architecture;
        let mut couplings = Vec::new();
        let mut orders = Vec::new();
        for number in 0..*layers {
            if number > 0 {
                let mut order: Vec<usize> = (0..features).collect();
                order.shuffle(random);
                orders.push(order);
            }
            let transformed = if number % 2 == 0 { Half::Second } else { Half::First };
            couplings.push(Coupling::new(transformed, features, hidden, random, device));
        }
        Self { couplings, orders }
    }

    /// Natural logarithm of the density of standardised rows, shape [rows, D] to [rows, 1].
    pub fn log_density(&self, x: Tensor<2>) -> Tensor<2> {
        let [_, features] = x.dims();
        let device = x.device();
        let mut z = x;
        let mut log_det_jacobian = None;
        for (number, coupling) in self.couplings.iter().enumerate() {
            if let Some(order) = number.checked_sub(1).map(|before| &self.orders[before]) {
                let order: Vec<i64> = order.iter().map(|from| *from as i64).collect();
                let order = TensorData::new(order, [features]);
                z = z.select(1, Tensor::<1, Int>::from_data(order, &device));
            }
            let (mapped, log_det) = coupling.inverse(z);
            z = mapped;
            log_det_jacobian = Some(match log_det_jacobian {
                None => log_det,
                Some(sum) => sum + log_det,
            });
        }
        let constant = 0.5 * features as f64 * (2.0 * std::f64::consts::PI).ln();
        let base = (z.clone() * z).sum_dim(1) * -0.5 - constant;
        match log_det_jacobian {
            None => base,
            Some(log_det) => base + log_det,
        }
    }

    /// Moves every weight to `decay` of itself and the rest of `other`'s.
    pub fn average(&mut self, other: &Self, decay: f64) {
        for (own, other) in self.couplings.iter_mut().zip(&other.couplings) {
            own.average(other, decay);
        }
    }

    /// The layers as the device's file holds them.
    pub fn export(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (number, coupling) in self.couplings.iter().enumerate() {
            if number > 0 {
                let order = &self.orders[number - 1];
                layers.push(Layer::Permutation(order.iter().map(|from| *from as u32).collect()));
            }
            layers.push(coupling.export());
        }
        layers
    }
}
