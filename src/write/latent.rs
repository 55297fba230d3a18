//! The writer of latent models, the other half of [`crate::LatentModel`].

use alloc::string::String;
use alloc::vec::Vec;

use super::{
    Base, Calibration, Feature, Flow, Layer, Linear, ModelFile, attribution, bytes_of,
    column_words, envelope, names, self_test, standardisation_words,
};
use crate::file::tag;
use crate::kernel::{ROWS, blocks};
use crate::latent;
use crate::math::{Libm, Math};
use crate::network::MAX_HIDDEN;
use crate::periodic::Periodic;
use crate::record::Sizes;
use crate::scalar::ScalarMap;

/// Everything that the file of a latent model holds.
#[derive(Clone, Debug)]
pub struct LatentDescription {
    /// The features, in the order of a row. Those of a Bernoulli likelihood have centre 0 and scale 1.
    pub features: Vec<Feature>,
    /// What the model is conditioned on, in its order; nothing for most models.
    pub context: Vec<Feature>,
    /// L.
    pub latents: usize,
    /// H, values that the encoder gives the posterior flow.
    pub summary: usize,
    /// The density of a row given its latent values.
    pub likelihood: Likelihood,
    /// Layers of the network from context and row, C + D columns, to the H values, the posterior's L
    /// means and its L raw log-deviations.
    pub encoder: Vec<Linear>,
    /// Layers of the network from context and latent values, C + L columns, to the D means and then the
    /// D raw log-deviations or log-scales, or the D logits.
    pub decoder: Vec<Linear>,
    /// The posterior's flow, given H values, over a standard normal base.
    pub posterior: LatentFlow,
    /// The prior.
    pub prior: LatentFlow,
    /// Draws from N(0, I) that the bound is taken over, L values each.
    pub points: Vec<f32>,
    /// [`Math::ID`] of the arithmetic that the calibration and the self-test hold for.
    pub math: u32,
    /// What scores mean.
    pub calibration: Option<Calibration>,
    /// As in [`Description`](super::Description).
    pub signal: Vec<u32>,
    /// When scores become an alarm.
    #[cfg(feature = "detector")]
    pub detector: Option<super::Detector>,
    /// Training values of each feature that attribution tries, ascending, as many of each; nothing
    /// where there are none. Those of a Bernoulli likelihood are 0 and 1.
    pub quantiles: Vec<Vec<f32>>,
    /// Lines `key=value`.
    pub provenance: String,
    /// Raw rows, each with its context behind it, and their scores.
    pub self_test: Vec<(Vec<f32>, f32)>,
}

/// The density of a row given its latent values, see [`crate::Likelihood`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likelihood {
    /// Independent Gaussians.
    Gaussian {
        /// Least deviation, standardised.
        least: f32,
        /// Largest deviation, standardised.
        largest: f32,
    },
    /// Independent Student-t densities.
    StudentT {
        /// Least scale, standardised.
        least: f32,
        /// Largest scale, standardised.
        largest: f32,
        /// Their degrees of freedom.
        degrees_of_freedom: f32,
    },
    /// Independent features that are 0 or 1.
    Bernoulli,
}

/// A flow over latent values.
#[derive(Clone, Debug, Default)]
pub struct LatentFlow {
    /// The layers, in the order of the inverse (latent values to base).
    pub layers: Vec<Layer>,
    /// The density behind the last layer.
    pub base: Base,
}

impl Default for LatentDescription {
    /// No features, no networks, a standard normal posterior and prior, [`Libm`].
    fn default() -> Self {
        Self {
            features: Vec::new(),
            context: Vec::new(),
            latents: 0,
            summary: 0,
            likelihood: Likelihood::Gaussian { least: 0.01, largest: 4.0 },
            encoder: Vec::new(),
            decoder: Vec::new(),
            posterior: LatentFlow::default(),
            prior: LatentFlow::default(),
            points: Vec::new(),
            math: Libm::ID,
            calibration: None,
            signal: Vec::new(),
            #[cfg(feature = "detector")]
            detector: None,
            quantiles: Vec::new(),
            provenance: String::new(),
            self_test: Vec::new(),
        }
    }
}

impl LatentDescription {
    /// Writes the file.
    ///
    /// # Panics
    ///
    /// Where a network has no layer or more than four, or a matrix not the size it says. Whether the
    /// model makes sense is for [`LatentModel::from_bytes`](crate::LatentModel::from_bytes) to say.
    pub fn to_file(&self) -> ModelFile {
        let columns = || self.features.iter().chain(&self.context);
        let mut sections = alloc::vec![
            (tag::LATENT, bytes_of(&self.words())),
            (tag::STANDARDISATION, bytes_of(&standardisation_words(columns()))),
            (tag::NAMES, names(columns())),
        ];
        sections.extend(column_words(columns()).map(|words| (tag::COLUMNS, bytes_of(&words))));
        if !self.points.is_empty() {
            let words: Vec<u32> = self.points.iter().map(|value| value.to_bits()).collect();
            sections.push((tag::POINTS, bytes_of(&words)));
        }
        if let Some(calibration) = &self.calibration {
            sections.push((tag::CALIBRATION, calibration.contents()));
        }
        sections.extend(super::signal_section(&self.signal));
        #[cfg(feature = "detector")]
        if let Some(detector) = &self.detector {
            sections.push((tag::DETECTOR, detector.contents()));
        }
        sections.extend(attribution(&self.quantiles));
        if !self.provenance.is_empty() {
            sections.push((tag::PROVENANCE, self.provenance.clone().into_bytes()));
        }
        let vectors = self.self_test.iter();
        let vectors = vectors.map(|(row, score)| (&row[..], core::slice::from_ref(score)));
        sections.extend(self_test(vectors));
        envelope(&sections)
    }

    /// Section 13.
    fn words(&self) -> Vec<u32> {
        let (mut encoder, mut decoder) = (Vec::new(), Vec::new());
        append(&self.encoder, blocks, |row| row, &mut encoder);
        let features = self.features.len();
        let (kind, settings) = match self.likelihood {
            Likelihood::Gaussian { least, largest } => {
                (latent::Likelihood::GAUSSIAN, [least, largest, 0.0])
            }
            Likelihood::StudentT { least, largest, degrees_of_freedom } => {
                (latent::Likelihood::STUDENT_T, [least, largest, degrees_of_freedom])
            }
            Likelihood::Bernoulli => (latent::Likelihood::BERNOULLI, [0.0; 3]),
        };
        if self.likelihood == Likelihood::Bernoulli {
            append(&self.decoder, blocks, |row| row, &mut decoder);
        } else {
            let map = ScalarMap::Affine { clip: 1.0 };
            let place = |row: usize| map.row(row % features, row / features);
            append(&self.decoder, |_| map.rows(features) / ROWS, place, &mut decoder);
        }
        let [least, largest, tails] = settings.map(f32::to_bits);
        let posterior = self.flow(&self.posterior, self.summary);
        let sizes = [features, self.context.len(), self.latents, self.summary];
        let mut words: Vec<u32> = sizes.map(|size| size as u32).into();
        words.extend([kind, self.math]);
        words.extend([least, largest]);
        words.extend([encoder.len(), decoder.len(), posterior.len()].map(|count| count as u32));
        words.extend(shape(&self.encoder));
        words.extend(shape(&self.decoder));
        words.push(tails);
        words.extend(encoder.iter().chain(&decoder).map(|parameter| parameter.to_bits()));
        words.extend(posterior);
        words.extend(self.flow(&self.prior, 0));
        words
    }

    fn flow(&self, LatentFlow { layers, base }: &LatentFlow, context: usize) -> Vec<u32> {
        let sizes = Sizes { features: self.latents, context };
        Flow { sizes, periodic: Periodic::default(), layers, base }.words(self.math)
    }
}

/// Appends a network's matrices; the output layer lies in so many `blocks`, its rows at `place`.
fn append(
    network: &[Linear],
    output_blocks: impl Fn(usize) -> usize,
    place: impl Fn(usize) -> usize,
    parameters: &mut Vec<f32>,
) {
    let (output, hidden) = network.split_last().expect("a network has an output layer");
    for linear in hidden {
        linear.append(parameters, blocks(linear.rows), |row| row, |_| linear.columns);
    }
    output.append(parameters, output_blocks(output.rows), place, |_| output.columns);
}

/// The number of a network's hidden layers and their widths.
fn shape(network: &[Linear]) -> [u32; 1 + MAX_HIDDEN] {
    let mut shape = [0; 1 + MAX_HIDDEN];
    let (_, hidden) = network.split_last().expect("a network has an output layer");
    shape[0] = hidden.len() as u32;
    for (word, linear) in shape[1..].iter_mut().zip(hidden) {
        *word = linear.rows as u32;
    }
    shape
}
