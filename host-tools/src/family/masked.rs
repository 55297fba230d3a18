//! The trainable twin of `flowlet::masked`: the rule of the degrees and its source stand there.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::{Degrees, write};
use rand_chacha::ChaCha8Rng;

use super::Sizes;
use super::network::{export, linear};

/// A masked network under training: its parameters for feature d depend on the features before d.
#[derive(Module, Debug)]
pub struct Masked {
    layers: Vec<Linear>,
    /// 1 where a unit sees its input and 0 elsewhere, shape [columns, rows] of each layer.
    masks: Vec<Tensor<2>>,
}

impl Masked {
    /// A network of `parameters` outputs a feature, which start near 0.
    pub fn new(
        Sizes { features, context, periodic }: Sizes,
        hidden: &[usize],
        parameters: usize,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let degrees = Degrees { features, context };
        let (mut layers, mut masks) = (Vec::new(), Vec::new());
        // The degree of each input: every unit sees the context, the features count from 1.
        let columns =
            |feature: usize| vec![feature + 1; 1 + usize::from(periodic.contains(feature))];
        let mut before = [vec![0; context], (0..features).flat_map(columns).collect()].concat();
        for (layer, width) in hidden.iter().enumerate() {
            let degree = |unit| degrees.degree(layer, *width, unit);
            let own: Vec<usize> = (0..*width).map(degree).collect();
            layers.push(linear(before.len(), *width, 1.0, random, device));
            masks.push(mask(&before, &own, device));
            before = own;
        }
        let own: Vec<usize> = (0..parameters).flat_map(|_| 0..features).collect();
        layers.push(linear(before.len(), own.len(), 0.01, random, device));
        masks.push(mask(&before, &own, device));
        Self { layers, masks }
    }

    /// Shape \[rows, C + D\], with further columns for periodic features, to \[rows, parameters * D\], each parameter for all features.
    pub fn run(&self, inputs: Tensor<2>) -> Tensor<2> {
        let mut values = inputs;
        for (number, (linear, mask)) in self.layers.iter().zip(&self.masks).enumerate() {
            values = values.matmul(linear.weight.val() * mask.clone());
            if let Some(bias) = &linear.bias {
                values = values + bias.val().unsqueeze();
            }
            if number + 1 < self.layers.len() {
                values = relu(values);
            }
        }
        values
    }

    /// The layers as the device's file holds them; its writer leaves out what the masks do.
    pub fn export(&self) -> Vec<write::Linear> {
        self.layers.iter().map(export).collect()
    }
}

/// 1 where a unit's degree is at least that of its input.
fn mask(inputs: &[usize], units: &[usize], device: &Device) -> Tensor<2> {
    let sees = |input: usize| units.iter().map(move |unit| f32::from(u8::from(*unit >= input)));
    let values: Vec<f32> = inputs.iter().flat_map(|input| sees(*input)).collect();
    Tensor::from_data(TensorData::new(values, [inputs.len(), units.len()]), device)
}
