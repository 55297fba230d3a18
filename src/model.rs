//! A model whose sizes are known at run time: the whole path from a row to its log-density.
//!
//! [`Flow`](crate::Flow) is this with its sizes in its type.

use core::marker::PhantomData;

use rand_core::Rng;

use crate::Error;
use crate::base::StandardNormal;
use crate::bijection::{Layer, Record, Work};
use crate::file::{self, File, tag};
use crate::kernel::Unit;
use crate::math::{Libm, Math};
use crate::network::{self, MAX_PARAMETER};
use crate::preprocess::Standardisation;

/// Most features of a model.
pub const MAX_FEATURES: usize = 64;

/// Words in front of the layers' records.
pub(crate) const HEADER: usize = 8;

/// A normalizing flow borrowed from a model file, with the file's standardisation, threshold and
/// names.
///
/// It owns nothing: the parameters stay where the file lies, in flash. The type parameter is
/// the arithmetic of exp, ln and sqrt.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m, M: Math = Libm> {
    features: usize,
    width: usize,
    records: &'m [[u32; Record::WORDS]],
    parameters: &'m [f32],
    standardisation: &'m [[f32; Standardisation::WORDS]],
    log_scale_sum: f32,
    threshold: Option<Threshold>,
    names: &'m [u8],
    provenance: &'m str,
    self_test: &'m [u32],
    math: PhantomData<M>,
}

/// The score above which a row is an anomaly, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Threshold {
    /// Number of held-out normal rows that it was computed from.
    pub rows: u32,
    /// Share of normal rows that it lets score above it.
    pub false_alarm_rate: f32,
    /// The score, in nats: minus the log-density in raw units.
    pub score: f32,
}

/// Memory for a [`Model`]'s calls; [`Flow`](crate::Flow) keeps its own on the stack.
#[derive(Debug)]
pub struct Scratch<'s> {
    row: &'s mut [f32],
    work: Work<'s>,
}

impl<'s> Scratch<'s> {
    /// `rows` each hold [`Model::features`] floats, `values` and `units` each
    /// [`Model::width`] elements.
    pub fn new(
        rows: [&'s mut [f32]; 2],
        values: [&'s mut [f32]; 2],
        units: &'s mut [Unit],
    ) -> Self {
        let [row, spare] = rows;
        Self { row, work: Work { row: spare, network: network::Scratch { values, units } } }
    }

    /// Bytes for a model of `features` and `width`.
    pub const fn bytes(features: usize, width: usize) -> usize {
        2 * features * size_of::<f32>() + width * (2 * size_of::<f32>() + size_of::<Unit>())
    }

    /// Shortens every part to what the model uses, or refuses.
    fn fit(&mut self, features: usize, width: usize) -> Option<(&mut [f32], Work<'_>)> {
        let Work { row, network: network::Scratch { values: [here, there], units } } =
            &mut self.work;
        let work = Work {
            row: row.get_mut(..features)?,
            network: network::Scratch {
                values: [here.get_mut(..width)?, there.get_mut(..width)?],
                units: units.get_mut(..width)?,
            },
        };
        Some((self.row.get_mut(..features)?, work))
    }
}

impl<'m, M: Math> Model<'m, M> {
    /// Reads a model file in place and makes every check of [`crate::file`].
    ///
    /// `bytes` is exactly one file and starts on a 4-byte boundary.
    pub fn from_bytes(bytes: &'m [u8]) -> Result<Self, Error> {
        let file = File::open(bytes)?;
        let flow = file.flow.ok_or(Error::MissingSection { tag: tag::FLOW })?;
        let names = file.names.ok_or(Error::MissingSection { tag: tag::NAMES })?;
        let standardisation =
            file.standardisation.ok_or(Error::MissingSection { tag: tag::STANDARDISATION })?;

        let length = |tag, actual, expected| Error::SectionLength { tag, actual, expected };
        let (header, body) =
            flow.split_first_chunk::<HEADER>().ok_or(length(tag::FLOW, flow.len(), HEADER))?;
        let [features, context, base, math, layers, parameters, ..] = *header;
        for word in [1, 6, 7] {
            if header.get(word) != Some(&0) {
                return Err(Error::Reserved { tag: tag::FLOW, word });
            }
        }
        let _ = context;
        let (features, layers, parameters) =
            (features as usize, layers as usize, parameters as usize);
        if !(2..=MAX_FEATURES).contains(&features) {
            return Err(Error::Features { file: features, firmware: MAX_FEATURES });
        }
        if base != StandardNormal::KIND {
            return Err(Error::Base { kind: base });
        }
        let expected = layers
            .checked_mul(Record::WORDS)
            .and_then(|words| words.checked_add(parameters))
            .unwrap_or(usize::MAX);
        let wrong_flow = length(tag::FLOW, body.len(), expected);
        if body.len() != expected {
            return Err(wrong_flow);
        }
        let (records, parameters) =
            body.split_at_checked(layers * Record::WORDS).ok_or(wrong_flow)?;
        let (records, _) = records.as_chunks();
        let parameters: &[f32] = bytemuck::must_cast_slice(parameters);

        let (standardisation, rest) =
            bytemuck::must_cast_slice::<u32, f32>(standardisation).as_chunks();
        if standardisation.len() != features || !rest.is_empty() {
            let actual = standardisation.len() * Standardisation::WORDS + rest.len();
            let expected = features * Standardisation::WORDS;
            return Err(length(tag::STANDARDISATION, actual, expected));
        }

        let mut model = Self {
            features,
            width: 0,
            records,
            parameters,
            standardisation,
            log_scale_sum: 0.0,
            threshold: None,
            names,
            provenance: "",
            self_test: &[],
            math: PhantomData,
        };
        model.check_layers()?;
        for (feature, standardisation) in model.standardisations().enumerate() {
            standardisation.check(feature)?;
            model.log_scale_sum += standardisation.log_scale();
        }
        model.check_names()?;
        if let Some(words) = file.calibration {
            model.threshold = Some(read_threshold(words)?);
        }
        if let Some(text) = file.provenance {
            model.provenance = core::str::from_utf8(text).map_err(|_| Error::Provenance)?;
        }
        if let Some(words) = file.self_test {
            let vector = features + 1;
            if !words.len().is_multiple_of(vector) {
                let expected = words.len().next_multiple_of(vector);
                return Err(length(tag::SELF_TEST, words.len(), expected));
            }
            model.self_test = words;
        }
        if math != M::ID {
            return Err(Error::Math { file: math, firmware: M::ID });
        }
        Ok(model)
    }

    /// Like [`Model::from_bytes`], for a flash slot that may be longer than the file in it.
    pub fn from_slot(slot: &'m [u8]) -> Result<Self, Error> {
        let stated = file::stated_length(slot)?;
        let bytes = usize::try_from(stated).ok().and_then(|length| slot.get(..length));
        Self::from_bytes(bytes.ok_or(Error::Length { stated, actual: slot.len() })?)
    }

    /// Reads every layer once, so that no later walk can fail, and notes the widest.
    fn check_layers(&mut self) -> Result<(), Error> {
        let mut rest = self.parameters;
        for (number, words) in self.records.iter().enumerate() {
            let record = Record { layer: number, words };
            let [kind, offset, length, ..] = *words;
            let layer = Layer::new(&record, self.features, rest)
                .ok_or(Error::Kind { layer: number, kind })?;
            let expected_offset = self.parameters.len() - rest.len();
            let expected_length = layer.check(&record, self.features)?;
            if (offset as usize, length as usize) != (expected_offset, expected_length) {
                let layer = number;
                return Err(Error::Parameters {
                    layer,
                    offset,
                    length,
                    expected_offset,
                    expected_length,
                });
            }
            let (own, behind) = rest.split_at_checked(expected_length).unwrap_or_default();
            if let Some(index) = own.iter().position(|parameter| !is_bounded(*parameter)) {
                return Err(Error::Parameter { layer: number, index });
            }
            self.width = self.width.max(layer.width());
            rest = behind;
        }
        match rest.len() {
            0 => Ok(()),
            extra => {
                let expected =
                    HEADER + self.records.len() * Record::WORDS + self.parameters.len() - extra;
                Err(Error::SectionLength { tag: tag::FLOW, actual: expected + extra, expected })
            }
        }
    }

    fn check_names(&self) -> Result<(), Error> {
        let mut rest = self.names;
        for feature in 0..self.features {
            (_, rest) =
                postcard::take_from_bytes::<&str>(rest).map_err(|_| Error::Name { feature })?;
        }
        match rest.len() {
            0 => Ok(()),
            _ => Err(Error::Name { feature: self.features }),
        }
    }

    /// Number of features, D.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Units of the widest hidden layer, in whole blocks of 8.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Names of the features, in their order.
    pub fn feature_names(&self) -> impl Iterator<Item = &'m str> + use<'m, M> {
        let mut rest = self.names;
        core::iter::from_fn(move || {
            let (name, behind) = postcard::take_from_bytes::<&str>(rest).ok()?;
            rest = behind;
            Some(name)
        })
    }

    /// Refuses a firmware that fills its rows in another order than the model was trained in.
    pub fn expect_features(&self, names: &[&str]) -> Result<(), Error> {
        if names.len() != self.features {
            return Err(Error::RowLength { found: names.len(), expected: self.features });
        }
        match self.feature_names().zip(names).position(|(model, firmware)| model != *firmware) {
            Some(index) => Err(Error::FeatureName { index }),
            None => Ok(()),
        }
    }

    /// How each feature is standardised, in the order of the features.
    pub fn standardisations(
        &self,
    ) -> impl DoubleEndedIterator<Item = Standardisation> + use<'m, M> {
        self.standardisation.iter().map(|words| Standardisation::read(*words))
    }

    /// The sum of ln scale over the features: log-density of the standardised row minus that of
    /// the raw row, in nats.
    pub fn log_scale_sum(&self) -> f32 {
        self.log_scale_sum
    }

    /// The layers, in the order of the inverse (x to z).
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = Layer<'m>> + use<'m, M> {
        let (features, parameters) = (self.features, self.parameters);
        self.records.iter().enumerate().filter_map(move |(layer, words)| {
            // Each was made once before, in `check_layers`, hence none is left out here.
            let record = Record { layer, words };
            let [_, offset, ..] = *words;
            Layer::new(&record, features, parameters.get(offset as usize..)?)
        })
    }

    /// Products of one log-density, the zeros that a ReLU makes included.
    pub fn multiply_adds(&self) -> usize {
        self.layers().map(|layer| layer.multiply_adds()).sum()
    }

    /// Number of parameters: weights, biases and entries of permutations.
    pub fn parameters(&self) -> usize {
        self.parameters.len()
    }

    /// The threshold in the file, if it has one.
    pub fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }

    /// Where the model came from: lines `key=value`.
    pub fn provenance(&self) -> &'m str {
        self.provenance
    }

    /// Maps a raw row to the base, in place. Returns log |det dz/dx|, in nats.
    pub fn inverse(&self, row: &mut [f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.check_row(row)?;
        let (_, mut work) = scratch.fit(self.features, self.width).ok_or(self.scratch_error())?;
        Ok(self.do_inverse(row, &mut work))
    }

    /// Maps a base sample to a raw row, in place. Returns log |det dx/dz|, in nats.
    pub fn forward(&self, row: &mut [f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.check_row(row)?;
        let (_, mut work) = scratch.fit(self.features, self.width).ok_or(self.scratch_error())?;
        Ok(self.do_forward(row, &mut work))
    }

    /// Natural logarithm of the density at `x`, in nats and raw units.
    ///
    /// Finite for every finite row: far outside of the training rows it saturates, since
    /// values between layers are held inside 2^20.
    pub fn log_density(&self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.check_row(x)?;
        let (row, mut work) = scratch.fit(self.features, self.width).ok_or(self.scratch_error())?;
        for (value, x) in row.iter_mut().zip(x) {
            *value = *x;
        }
        let log_det_jacobian = self.do_inverse(row, &mut work);
        Ok(StandardNormal.log_density(row) + log_det_jacobian)
    }

    /// The anomaly score: minus the log-density, so that it grows with abnormality.
    pub fn score(&self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.log_density(x, scratch).map(|log_density| -log_density)
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(&self, x: &[f32], scratch: &mut Scratch) -> Result<bool, Error> {
        let threshold = self.threshold.ok_or(Error::NoThreshold)?;
        Ok(self.score(x, scratch)? > threshold.score)
    }

    /// Fills `x` with a draw from the model; `temperature` scales the base's standard
    /// deviation, 1 for the model's own density.
    pub fn sample<R: Rng>(
        &self,
        random: &mut R,
        temperature: f32,
        x: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        if !(0.0..=f32::MAX).contains(&temperature) {
            return Err(Error::Temperature);
        }
        StandardNormal.sample::<M, R>(random, temperature, x)?;
        self.forward(x, scratch).map(|_| ())
    }

    /// Computes the log-densities of the file's self-test vectors and compares their bits with
    /// the host's. Returns how many there are.
    pub fn self_test(&self, scratch: &mut Scratch) -> Result<usize, Error> {
        let mut vectors = 0;
        for (vector, words) in self.self_test.chunks((self.features + 1).max(1)).enumerate() {
            let Some((expected, row)) = words.split_last() else { break };
            let computed = self.log_density(bytemuck::must_cast_slice(row), scratch)?.to_bits();
            if computed != *expected {
                return Err(Error::SelfTest { vector, computed, expected: *expected });
            }
            vectors = vector + 1;
        }
        Ok(vectors)
    }

    // Not inlined, so that every size of `Flow` and every caller shares one copy.
    #[inline(never)]
    fn do_forward(&self, row: &mut [f32], work: &mut Work) -> f32 {
        let mut log_det_jacobian = self.log_scale_sum;
        for layer in self.layers().rev() {
            log_det_jacobian += layer.forward::<M>(row, work);
        }
        for (value, standardisation) in row.iter_mut().zip(self.standardisations()) {
            *value = standardisation.forward(*value);
        }
        log_det_jacobian
    }

    #[inline(never)]
    fn do_inverse(&self, row: &mut [f32], work: &mut Work) -> f32 {
        for (value, standardisation) in row.iter_mut().zip(self.standardisations()) {
            *value = standardisation.inverse(*value);
        }
        let mut log_det_jacobian = -self.log_scale_sum;
        for layer in self.layers() {
            log_det_jacobian += layer.inverse::<M>(row, work);
        }
        log_det_jacobian
    }

    fn check_row(&self, row: &[f32]) -> Result<(), Error> {
        if row.len() != self.features {
            return Err(Error::RowLength { found: row.len(), expected: self.features });
        }
        match row.iter().position(|value| !value.is_finite()) {
            Some(feature) => Err(Error::NotFinite { feature }),
            None => Ok(()),
        }
    }

    fn scratch_error(&self) -> Error {
        Error::Scratch { features: self.features, width: self.width }
    }
}

/// Whether |x| is at most [`MAX_PARAMETER`], and a number.
fn is_bounded(x: f32) -> bool {
    x.abs() <= MAX_PARAMETER
}

fn read_threshold(words: &[u32]) -> Result<Threshold, Error> {
    let expected = 3;
    let ([rows, rate, score], _) = words.split_first_chunk().ok_or(Error::SectionLength {
        tag: tag::CALIBRATION,
        actual: words.len(),
        expected,
    })?;
    let (false_alarm_rate, score) = (f32::from_bits(*rate), f32::from_bits(*score));
    if (0.0..=1.0).contains(&false_alarm_rate) && score.is_finite() {
        Ok(Threshold { rows: *rows, false_alarm_rate, score })
    } else {
        Err(Error::Calibration)
    }
}
