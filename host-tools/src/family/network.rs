//! The trainable twin of `flowlet::network`: dense layers with rectifiers between them.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::write;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::values;

/// A network under training.
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Linear>,
}

impl Network {
    /// A network whose outputs start near 0: its output layer is a hundredth of the usual.
    pub fn new(
        inputs: usize,
        hidden: &[usize],
        outputs: usize,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let mut layers = Vec::new();
        let mut columns = inputs;
        for rows in hidden {
            layers.push(linear(columns, *rows, 1.0, random, device));
            columns = *rows;
        }
        layers.push(linear(columns, outputs, 0.01, random, device));
        Self { layers }
    }

    /// From its layers as the device's file holds them.
    pub fn from_layers(layers: &[write::Linear], device: &Device) -> Self {
        let layer = |linear: &write::Linear| {
            let write::Linear { rows, columns, weights, bias } = linear;
            let weight = TensorData::new(weights.clone(), [*rows, *columns]);
            let weight = Tensor::<2>::from_data(weight, device).transpose();
            let bias = Param::from_data(TensorData::new(bias.clone(), [*rows]), device);
            Linear { weight: Param::from_tensor(weight), bias: Some(bias) }
        };
        Self { layers: layers.iter().map(layer).collect() }
    }

    /// Shape [rows, inputs] to [rows, outputs].
    pub fn run(&self, inputs: Tensor<2>) -> Tensor<2> {
        let mut values = inputs;
        for (number, linear) in self.layers.iter().enumerate() {
            values = linear.forward(values);
            if number + 1 < self.layers.len() {
                values = relu(values);
            }
        }
        values
    }

    /// The layers as the device's file holds them.
    pub fn export(&self) -> Vec<write::Linear> {
        self.layers.iter().map(export).collect()
    }
}

/// A dense layer with weights and biases uniform in +-gain / sqrt(columns).
pub fn linear(
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

/// burn keeps weights as [columns, rows], the file's writer takes them row by row.
pub fn export(linear: &Linear) -> write::Linear {
    let [columns, rows] = linear.weight.dims();
    let weights = values(linear.weight.val().transpose());
    let bias = linear.bias.as_ref().map(|bias| values(bias.val())).expect("made with a bias");
    write::Linear { rows, columns, weights, bias }
}
