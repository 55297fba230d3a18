//! The trainable twin of `flowlet::bijection::Coupling`; the formula and its source stand there.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::bijection::Half;
use flowlet::write;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Bound of the log-scale: no coupling stretches or shrinks more than 7.4-fold, which keeps the
/// density of rows far from the training rows low.
const CLIP: f64 = 2.0;

/// An affine coupling under training.
#[derive(Module, Debug)]
pub struct Coupling {
    network: Vec<Linear>,
    transforms_first: bool,
}

impl Coupling {
    /// A coupling that starts near the identity: its output layer is a hundredth of the usual.
    pub fn new(
        transformed: Half,
        features: usize,
        hidden: &[usize],
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let (outputs, inputs) = transformed.sizes(features);
        let mut network = Vec::new();
        let mut columns = inputs;
        for rows in hidden {
            network.push(linear(columns, *rows, 1.0, random, device));
            columns = *rows;
        }
        network.push(linear(columns, 2 * outputs, 0.01, random, device));
        Self { network, transforms_first: transformed == Half::First }
    }

    /// Moves every weight to `decay` of itself and the rest of `other`'s.
    pub fn average(&mut self, other: &Self, decay: f64) {
        for (own, other) in self.network.iter_mut().zip(&other.network) {
            own.weight = mix(&own.weight, &other.weight, decay);
            own.bias = own.bias.as_ref().zip(other.bias.as_ref()).map(|(a, b)| mix(a, b, decay));
        }
    }

    fn transformed(&self) -> Half {
        if self.transforms_first { Half::First } else { Half::Second }
    }

    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    pub fn inverse(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let [_, features] = x.dims();
        let half = features / 2;
        let first = x.clone().narrow(1, 0, half);
        let second = x.narrow(1, half, features - half);
        let (values, condition) = match self.transformed() {
            Half::First => (first, second),
            Half::Second => (second, first),
        };
        let [_, outputs] = values.dims();
        let parameters = self.run(condition.clone());
        let shift = parameters.clone().narrow(1, 0, outputs);
        let raw = parameters.narrow(1, outputs, outputs);
        let log_scale = raw.clone() / (raw.abs() / CLIP + 1.0);
        let log_det_jacobian = -log_scale.clone().sum_dim(1);
        let mapped = (values - shift) * (-log_scale).exp();
        let halves = match self.transformed() {
            Half::First => vec![mapped, condition],
            Half::Second => vec![condition, mapped],
        };
        (Tensor::cat(halves, 1), log_det_jacobian)
    }

    fn run(&self, inputs: Tensor<2>) -> Tensor<2> {
        let mut values = inputs;
        for (number, linear) in self.network.iter().enumerate() {
            values = linear.forward(values);
            if number + 1 < self.network.len() {
                values = relu(values);
            }
        }
        values
    }

    /// The coupling as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        let transformed = self.transformed();
        let network = self.network.iter().map(export).collect();
        write::Layer::Coupling { transformed, clip: CLIP as f32, network }
    }
}

/// A dense layer with weights and biases uniform in +-gain / sqrt(columns).
fn linear(
    columns: usize,
    rows: usize,
    gain: f32,
    random: &mut ChaCha8Rng,
    device: &Device,
) -> Linear {
    let bound = gain / (columns as f32).sqrt();
    let mut draw =
        |count| (0..count).map(|_| random.random_range(-bound..=bound)).collect::<Vec<_>>();
    let weight = TensorData::new(draw(columns * rows), [columns, rows]);
    let bias = TensorData::new(draw(rows), [rows]);
    Linear { weight: Param::from_data(weight, device), bias: Some(Param::from_data(bias, device)) }
}

fn mix<const N: usize>(
    own: &Param<Tensor<N>>,
    other: &Param<Tensor<N>>,
    decay: f64,
) -> Param<Tensor<N>> {
    Param::from_tensor(own.val() * decay + other.val().inner() * (1.0 - decay))
}

/// burn keeps weights as [columns, rows], the file's writer takes them row by row.
fn export(linear: &Linear) -> write::Linear {
    let [columns, rows] = linear.weight.dims();
    let weights = values(linear.weight.val().transpose());
    let bias = linear.bias.as_ref().map(|bias| values(bias.val())).expect("made with a bias");
    write::Linear { rows, columns, weights, bias }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("made of f32")
}
