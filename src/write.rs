//! The writer of model files, the other half of [`crate::file`] (feature `write`, for the host).
//!
//! ```
//! use flowlet::Model;
//! use flowlet::bijection::Half;
//! use flowlet::write::{Description, Feature, Layer, Linear};
//!
//! let feature = |name: &str| Feature { name: name.into(), centre: 20.0, scale: 2.0, low: 15.0, high: 25.0 };
//! let linear = |rows, columns| Linear { rows, columns, weights: vec![0.1; rows * columns], bias: vec![0.0; rows] };
//! let description = Description {
//!     features: vec![feature("inlet"), feature("outlet")],
//!     layers: vec![Layer::Coupling { transformed: Half::Second, clip: 2.0, network: vec![linear(8, 1), linear(2, 8)] }],
//!     ..Description::default()
//! };
//! let file = description.to_file();
//! assert_eq!(Model::<flowlet::Libm>::from_bytes(file.bytes())?.features(), 2);
//! # Ok::<(), flowlet::Error>(())
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::base::StandardNormal;
use crate::bijection::{Half, Kind, Record, log_scale_row, shift_row};
use crate::file::{MAGIC, Section, VERSION, checksum, tag};
use crate::kernel::{ROWS, bias_position, blocks, position};
use crate::math::{Libm, Math};
use crate::model::{HEADER, Threshold};

/// Everything that a model file holds.
#[derive(Clone, Debug)]
pub struct Description {
    /// The features, in the order of a row.
    pub features: Vec<Feature>,
    /// The layers, in the order of the inverse (x to z).
    pub layers: Vec<Layer>,
    /// [`Math::ID`] of the arithmetic that the threshold and the self-test hold for.
    pub math: u32,
    /// The score above which a row is an anomaly.
    pub threshold: Option<Threshold>,
    /// Lines `key=value`.
    pub provenance: String,
    /// Raw rows with their log-densities.
    pub self_test: Vec<(Vec<f32>, f32)>,
}

impl Default for Description {
    /// No features, no layers, [`Libm`].
    fn default() -> Self {
        Self {
            features: Vec::new(),
            layers: Vec::new(),
            math: Libm::ID,
            threshold: None,
            provenance: String::new(),
            self_test: Vec::new(),
        }
    }
}

/// A feature's name and standardisation, in its own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// As in the header of the training rows.
    pub name: String,
    /// Subtracted from each value.
    pub centre: f32,
    /// Divides the difference; positive.
    pub scale: f32,
    /// Smallest training value.
    pub low: f32,
    /// Largest training value.
    pub high: f32,
}

/// One bijection with its parameters.
#[derive(Clone, Debug)]
pub enum Layer {
    /// z_i = x_p(i).
    Permutation(Vec<u32>),
    /// See [`crate::bijection::Coupling`].
    Coupling {
        /// The half that is transformed.
        transformed: Half,
        /// Bound of the log-scale.
        clip: f32,
        /// The network's layers. The last one has a row for the shift of each transformed
        /// feature, then a row for the raw log-scale of each.
        network: Vec<Linear>,
    },
}

/// A dense layer.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Row-major, `rows` x `columns`.
    pub weights: Vec<f32>,
    /// One an output.
    pub bias: Vec<f32>,
}

/// A model file in memory, on a 4-byte boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    words: Vec<u32>,
    length: usize,
}

impl ModelFile {
    /// Copies the bytes of a file to an aligned place.
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = alloc::vec![0u32; bytes.len().div_ceil(4)];
        for (place, byte) in
            bytemuck::must_cast_slice_mut::<u32, u8>(&mut words).iter_mut().zip(bytes)
        {
            *place = *byte;
        }
        Self { words, length: bytes.len() }
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::must_cast_slice(&self.words)[..self.length]
    }
}

impl Description {
    /// Writes the file.
    ///
    /// # Panics
    ///
    /// Where a matrix does not have the size it says. Whether the model makes sense is for
    /// [`Model::from_bytes`](crate::Model::from_bytes) to say.
    pub fn to_file(&self) -> ModelFile {
        let mut sections = alloc::vec![
            (tag::FLOW, bytes_of(&self.flow_words())),
            (tag::STANDARDISATION, bytes_of(&self.standardisation_words())),
            (tag::NAMES, self.names()),
        ];
        if let Some(Threshold { rows, false_alarm_rate, score }) = self.threshold {
            let words = [rows, false_alarm_rate.to_bits(), score.to_bits()];
            sections.push((tag::CALIBRATION, bytes_of(&words)));
        }
        if !self.provenance.is_empty() {
            sections.push((tag::PROVENANCE, self.provenance.clone().into_bytes()));
        }
        if !self.self_test.is_empty() {
            let floats = self
                .self_test
                .iter()
                .flat_map(|(row, log_density)| row.iter().chain([log_density]));
            let words: Vec<u32> = floats.map(|value| value.to_bits()).collect();
            sections.push((tag::SELF_TEST, bytes_of(&words)));
        }
        envelope(&sections)
    }

    fn flow_words(&self) -> Vec<u32> {
        let features = self.features.len();
        let mut records = Vec::new();
        let mut parameters: Vec<f32> = Vec::new();
        for layer in &self.layers {
            let offset = parameters.len();
            let (kind, settings) = layer.append(features, &mut parameters);
            let mut record =
                alloc::vec![kind as u32, offset as u32, (parameters.len() - offset) as u32];
            record.extend(settings);
            record.resize(Record::WORDS, 0);
            records.extend(record);
        }
        let mut words = alloc::vec![
            features as u32,
            0,
            StandardNormal::KIND,
            self.math,
            self.layers.len() as u32,
            parameters.len() as u32,
        ];
        words.resize(HEADER, 0);
        words.extend(records);
        words.extend(parameters.iter().map(|parameter| parameter.to_bits()));
        words
    }

    fn standardisation_words(&self) -> Vec<u32> {
        let values = self.features.iter().flat_map(|f| [f.centre, f.scale, f.low, f.high]);
        values.map(f32::to_bits).collect()
    }

    fn names(&self) -> Vec<u8> {
        self.features.iter().flat_map(|feature| encode(&feature.name.as_str())).collect()
    }
}

impl Layer {
    /// Appends the layer's parameters and returns its kind and settings.
    fn append(&self, features: usize, parameters: &mut Vec<f32>) -> (Kind, Vec<u32>) {
        match self {
            Self::Permutation(order) => {
                parameters.extend(order.iter().map(|entry| f32::from_bits(*entry)));
                (Kind::Permutation, Vec::new())
            }
            Self::Coupling { transformed, clip, network } => {
                let (outputs, _) = transformed.sizes(features);
                let (output, hidden) = network.split_last().expect("a network has an output layer");
                for linear in hidden {
                    linear.append(parameters, linear.rows, |row| row);
                }
                // The kernel reads the shifts and log-scales of four features in one block.
                let rows = log_scale_row(outputs.max(1) - 1) + 1;
                output.append(parameters, rows, |row| match row.checked_sub(outputs) {
                    None => shift_row(row),
                    Some(feature) => log_scale_row(feature),
                });
                let half = match transformed {
                    Half::First => 0,
                    Half::Second => 1,
                };
                let mut settings = alloc::vec![half, clip.to_bits(), hidden.len() as u32];
                settings.extend(hidden.iter().map(|linear| linear.rows as u32));
                (Kind::Coupling, settings)
            }
        }
    }
}

impl Linear {
    /// Appends the matrix in the kernel's order, with row r at `place(r)` of `rows`.
    fn append(&self, parameters: &mut Vec<f32>, rows: usize, place: impl Fn(usize) -> usize) {
        assert_eq!(self.weights.len(), self.rows * self.columns, "weights are rows x columns");
        assert_eq!(self.bias.len(), self.rows, "one bias a row");
        let start = parameters.len();
        parameters.resize(start + blocks(rows) * ROWS * (self.columns + 1), 0.0);
        let matrix = &mut parameters[start..];
        for row in 0..self.rows {
            matrix[bias_position(self.columns, place(row))] = self.bias[row];
            for column in 0..self.columns {
                let weight = self.weights[row * self.columns + column];
                matrix[position(self.columns, place(row), column)] = weight;
            }
        }
    }
}

/// Packs sections of (tag, contents) into a file, each aligned, with length and checksum.
pub fn envelope(sections: &[(u32, Vec<u8>)]) -> ModelFile {
    let mut bytes = encode(&(MAGIC, VERSION, [0u8; 4], sections.len() as u32));
    for (tag, contents) in sections {
        // The pad's own length is one byte whatever it is, so one trial tells what is missing.
        let behind = encode(&Section { tag: *tag, pad: &[], contents }).len() - contents.len();
        let pad = (bytes.len() + behind).next_multiple_of(4) - (bytes.len() + behind);
        bytes.extend(encode(&Section { tag: *tag, pad: &[0; 3][..pad], contents }));
    }
    let length = bytes.len() + 4;
    bytes[6..10].copy_from_slice(&(length as u32).to_le_bytes());
    bytes.extend(checksum(&bytes).to_le_bytes());
    ModelFile::new(&bytes)
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    bytemuck::must_cast_slice(words).to_vec()
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("postcard encodes into memory that grows")
}
