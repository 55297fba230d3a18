//! The device's own code on the host: whatever this tool evaluates, it computes with the crate
//! that the firmware links, bit for bit.

use std::fs;
use std::path::Path;

use flowlet::bijection::{Half, Layer};
use flowlet::write::ModelFile;
use flowlet::{Libm, Math, Micromath, Model, Scratch, Threshold, Unit};
use rand::Rng;

use crate::error::{Error, Result};

/// Reads a model file into aligned memory; nothing is checked yet.
pub fn read(path: &Path) -> Result<ModelFile> {
    match fs::read(path) {
        Ok(bytes) => Ok(ModelFile::new(&bytes)),
        Err(source) => Err(Error::Read { path: path.display().to_string(), source }),
    }
}

/// Opens the model in `file` with the arithmetic that it was calibrated with.
pub fn open<'m>(file: &'m ModelFile, path: &str) -> Result<Box<dyn Device + 'm>> {
    let refuse = |source| Error::Model { path: path.into(), source };
    match Model::<Libm>::from_bytes(file.bytes()) {
        Ok(model) => Ok(Box::new(Loaded::new(model, "libm"))),
        Err(flowlet::Error::Math { file: Micromath::ID, .. }) => {
            let model = Model::<Micromath>::from_bytes(file.bytes()).map_err(refuse)?;
            Ok(Box::new(Loaded::new(model, "micromath")))
        }
        Err(source) => Err(refuse(source)),
    }
}

/// The verbs of [`Model`], whichever its [`Math`].
pub trait Device {
    /// Number of features, D.
    fn features(&self) -> usize;
    /// Names of the features.
    fn feature_names(&self) -> Vec<String>;
    /// Natural logarithm of the density at `x`, nats, raw units.
    fn log_density(&mut self, x: &[f32]) -> Result<f32>;
    /// Fills `x` with a draw.
    fn sample(&mut self, random: &mut dyn Rng, temperature: f32, x: &mut [f32]) -> Result<()>;
    /// Number of self-test vectors, all of which gave the bits in the file.
    fn self_test(&mut self) -> Result<usize>;
    /// The threshold in the file.
    fn threshold(&self) -> Option<Threshold>;
    /// Sum of ln scale: log-density of the standardised row minus that of the raw one.
    fn log_scale_sum(&self) -> f32;
    /// What the file says of itself.
    fn summary(&self) -> Summary;
}

/// What `inspect` shows.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Summary {
    /// Names of the features, in their order.
    pub features: Vec<String>,
    /// One description a layer, in the order of the inverse (x to z).
    pub layers: Vec<String>,
    /// Units of the widest hidden layer, in whole blocks of 8.
    pub width: usize,
    /// Weights, biases and entries of permutations.
    pub parameters: usize,
    /// Products of one log-density.
    pub multiply_adds: usize,
    /// Stack bytes of a call's memory on a 32-bit core.
    pub ram_bytes: usize,
    /// Name of the arithmetic.
    pub math: &'static str,
    /// Lines `key=value`.
    pub provenance: Vec<(String, String)>,
}

struct Loaded<'m, M: Math> {
    model: Model<'m, M>,
    math: &'static str,
    rows: [Vec<f32>; 2],
    values: [Vec<f32>; 2],
    units: Vec<Unit>,
}

impl<'m, M: Math> Loaded<'m, M> {
    fn new(model: Model<'m, M>, math: &'static str) -> Self {
        let (row, values) = (vec![0.0; model.features()], vec![0.0; model.width()]);
        let units = vec![Unit::default(); model.width()];
        Self { model, math, rows: [row.clone(), row], values: [values.clone(), values], units }
    }

    fn parts(&mut self) -> (&Model<'m, M>, Scratch<'_>) {
        let ([row, spare], [here, there]) = (&mut self.rows, &mut self.values);
        (&self.model, Scratch::new([row, spare], [here, there], &mut self.units))
    }
}

impl<M: Math> Device for Loaded<'_, M> {
    fn features(&self) -> usize {
        self.model.features()
    }

    fn feature_names(&self) -> Vec<String> {
        self.model.feature_names().map(String::from).collect()
    }

    fn log_density(&mut self, x: &[f32]) -> Result<f32> {
        let (model, mut scratch) = self.parts();
        Ok(model.log_density(x, &mut scratch)?)
    }

    fn sample(&mut self, mut random: &mut dyn Rng, temperature: f32, x: &mut [f32]) -> Result<()> {
        let (model, mut scratch) = self.parts();
        Ok(model.sample(&mut random, temperature, x, &mut scratch)?)
    }

    fn self_test(&mut self) -> Result<usize> {
        let (model, mut scratch) = self.parts();
        Ok(model.self_test(&mut scratch)?)
    }

    fn threshold(&self) -> Option<Threshold> {
        self.model.threshold()
    }

    fn log_scale_sum(&self) -> f32 {
        self.model.log_scale_sum()
    }

    fn summary(&self) -> Summary {
        let model = &self.model;
        let line = |line: &str| {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            (key.to_string(), value.to_string())
        };
        Summary {
            features: self.feature_names(),
            layers: model.layers().map(describe).collect(),
            width: model.width(),
            parameters: model.parameters(),
            multiply_adds: model.multiply_adds(),
            ram_bytes: Scratch::bytes(model.features(), model.width()),
            math: self.math,
            provenance: model.provenance().lines().map(line).collect(),
        }
    }
}

fn describe(layer: Layer) -> String {
    match layer {
        Layer::Coupling(coupling) => {
            let half = match coupling.transformed() {
                Half::First => "first",
                Half::Second => "second",
            };
            let widths: Vec<_> =
                coupling.network().hidden().map(|width| width.to_string()).collect();
            format!("affine coupling of the {half} half, hidden layers {}", widths.join(", "))
        }
        Layer::Permutation(permutation) => {
            let order: Vec<_> = permutation.order().map(|from| from.to_string()).collect();
            format!("permutation {}", order.join(" "))
        }
    }
}
