//! A model whose sizes are known at run time: the whole path from a row to its log-density.
//!
//! [`Flow`](crate::Flow) is this with its sizes in its type.

use core::marker::PhantomData;

use rand_core::Rng;

use crate::Error;
use crate::base::Base;
use crate::bijection::{Layer, Record, Sizes, Work};
use crate::file::{self, File, tag};
use crate::kernel::Units;
use crate::math::{Libm, Math};
use crate::network::{MAX_HIDDEN, MAX_PARAMETER};
use crate::preprocess::Standardisation;

/// Most features of a model.
pub const MAX_FEATURES: usize = 64;

/// Most values of a context.
pub const MAX_CONTEXT: usize = 64;

/// Words in front of the layers' records.
pub(crate) const HEADER: usize = 8;

/// A normalizing flow borrowed from a model file, with the file's standardisation, threshold and
/// names.
///
/// It owns nothing: the parameters stay where the file lies, in flash. The type parameter is
/// the arithmetic of exp, ln and sqrt.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m, M: Math = Libm> {
    sizes: Sizes,
    width: usize,
    records: &'m [[u32; Record::WORDS]],
    parameters: &'m [f32],
    base: Base<'m>,
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
    rows: [&'s mut [f32]; 2],
    context: &'s mut [f32],
    units: [Units<'s>; MAX_HIDDEN],
}

impl<'s> Scratch<'s> {
    /// `rows` each hold [`Model::features`] floats, `context` [`Model::context`], and `units` each
    /// [`Model::width`] units.
    pub fn new(
        rows: [&'s mut [f32]; 2],
        context: &'s mut [f32],
        units: [Units<'s>; MAX_HIDDEN],
    ) -> Self {
        Self { rows, context, units }
    }

    /// Bytes for a model of `features`, `context` and `width`.
    pub const fn bytes(features: usize, context: usize, width: usize) -> usize {
        (2 * features + context) * size_of::<f32>()
            + MAX_HIDDEN * width * (size_of::<f32>() + size_of::<u16>())
    }

    /// Every part, shortened to what a model uses, if it is that long: the row, the context, the
    /// spare row and the units.
    #[inline(always)]
    #[expect(clippy::type_complexity, reason = "named where it is taken apart")]
    fn fit(
        &mut self,
        features: usize,
        context: usize,
        width: usize,
    ) -> Option<(&mut [f32], &mut [f32], &mut [f32], [Units<'_>; MAX_HIDDEN])> {
        let ([row, spare], [a, b, c]) = (&mut self.rows, &mut self.units);
        let units = [a.first(width)?, b.first(width)?, c.first(width)?];
        let (row, spare) = (row.get_mut(..features)?, spare.get_mut(..features)?);
        Some((row, self.context.get_mut(..context)?, spare, units))
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
        let [features, context, base, math, layers, parameters, first, second] = *header;
        let sizes = Sizes { features: features as usize, context: context as usize };
        let (layers, parameters) = (layers as usize, parameters as usize);
        let Sizes { features, context } = sizes;
        if context > MAX_CONTEXT {
            return Err(Error::Context { file: context, firmware: MAX_CONTEXT });
        }
        if context > 0 && cfg!(not(feature = "context")) {
            return Err(Error::Feature { name: "context" });
        }
        if !(2..=MAX_FEATURES).contains(&features) {
            return Err(Error::Features { file: features, firmware: MAX_FEATURES });
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
        if standardisation.len() != features + context || !rest.is_empty() {
            let actual = standardisation.len() * Standardisation::WORDS + rest.len();
            let expected = (features + context) * Standardisation::WORDS;
            return Err(length(tag::STANDARDISATION, actual, expected));
        }

        let mut model = Self {
            sizes,
            width: 0,
            records,
            parameters,
            base: Base::StandardNormal,
            standardisation,
            log_scale_sum: 0.0,
            threshold: None,
            names,
            provenance: "",
            self_test: &[],
            math: PhantomData,
        };
        let behind = model.check_layers()?;
        model.base = Base::read(base, [first, second], features, behind)?;
        for (feature, words) in model.standardisation.iter().enumerate() {
            Standardisation::read(*words).check(feature)?;
        }
        for standardisation in model.standardisations() {
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
            let vector = features + context + 1;
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

    /// Reads every layer once, so that no later walk can fail, and notes the widest. Returns the
    /// parameters behind them.
    fn check_layers(&mut self) -> Result<&'m [f32], Error> {
        let mut rest = self.parameters;
        for (number, words) in self.records.iter().enumerate() {
            let record = Record { layer: number, words };
            let [kind, offset, length, ..] = *words;
            let layer = Layer::new(&record, self.sizes, rest)
                .ok_or_else(|| Layer::refusal(number, kind))?;
            let expected_offset = self.parameters.len() - rest.len();
            let expected_length = layer.check(&record, self.sizes.features)?;
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
        Ok(rest)
    }

    fn check_names(&self) -> Result<(), Error> {
        let mut rest = self.names;
        let count = self.features() + self.context();
        for feature in 0..count {
            (_, rest) =
                postcard::take_from_bytes::<&str>(rest).map_err(|_| Error::Name { feature })?;
        }
        match rest.len() {
            0 => Ok(()),
            _ => Err(Error::Name { feature: count }),
        }
    }

    /// Number of features, D.
    pub fn features(&self) -> usize {
        self.sizes.features
    }

    /// Number of values of the context that the density is conditioned on, C; 0 for most models.
    pub fn context(&self) -> usize {
        if cfg!(feature = "context") { self.sizes.context } else { 0 }
    }

    /// Units of the widest hidden layer, in whole blocks of 8.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Names of the features, in their order.
    pub fn feature_names(&self) -> impl Iterator<Item = &'m str> + use<'m, M> {
        self.names().take(self.features())
    }

    /// Names of the context's values, in their order.
    pub fn context_names(&self) -> impl Iterator<Item = &'m str> + use<'m, M> {
        self.names().skip(self.features())
    }

    fn names(&self) -> impl Iterator<Item = &'m str> + use<'m, M> {
        let mut rest = self.names;
        core::iter::from_fn(move || {
            let (name, behind) = postcard::take_from_bytes::<&str>(rest).ok()?;
            rest = behind;
            Some(name)
        })
    }

    /// Refuses a firmware that fills its rows in another order than the model was trained in.
    pub fn expect_features(&self, names: &[&str]) -> Result<(), Error> {
        if names.len() != self.features() {
            return Err(Error::RowLength { found: names.len(), expected: self.features() });
        }
        match self.feature_names().zip(names).position(|(model, firmware)| model != *firmware) {
            Some(index) => Err(Error::FeatureName { index }),
            None => Ok(()),
        }
    }

    /// Refuses a firmware that fills its context in another order than the model was trained in.
    pub fn expect_context(&self, names: &[&str]) -> Result<(), Error> {
        if names.len() != self.context() {
            return Err(Error::ContextLength { found: names.len(), expected: self.context() });
        }
        match self.context_names().zip(names).position(|(model, firmware)| model != *firmware) {
            Some(index) => Err(Error::ContextName { index }),
            None => Ok(()),
        }
    }

    /// How each feature is standardised.
    pub fn standardisations(
        &self,
    ) -> impl DoubleEndedIterator<Item = Standardisation> + use<'m, M> {
        let features = self.standardisation.get(..self.features()).unwrap_or_default();
        features.iter().map(|words| Standardisation::read(*words))
    }

    /// How each value of the context is standardised.
    pub fn context_standardisations(&self) -> impl Iterator<Item = Standardisation> + use<'m, M> {
        let context = self.standardisation.get(self.features()..).unwrap_or_default();
        context.iter().map(|words| Standardisation::read(*words))
    }

    /// The sum of ln scale over the features: log-density of the standardised row minus that of
    /// the raw row, in nats.
    pub fn log_scale_sum(&self) -> f32 {
        self.log_scale_sum
    }

    /// The layers, in the order of the inverse (x to z).
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = Layer<'m>> + use<'m, M> {
        let (sizes, parameters) = (self.sizes, self.parameters);
        self.records.iter().enumerate().filter_map(move |(layer, words)| {
            // Each was made once before, in `check_layers`, hence none is left out here.
            let record = Record { layer, words };
            let [_, offset, ..] = *words;
            Layer::new(&record, sizes, parameters.get(offset as usize..)?)
        })
    }

    /// Products of one log-density, the zeros that a ReLU makes included.
    pub fn multiply_adds(&self) -> usize {
        let layers: usize = self.layers().map(|layer| layer.multiply_adds()).sum();
        layers + self.base.multiply_adds()
    }

    /// The Cargo features of this crate that the model needs; one may come more than once.
    pub fn cargo_features(&self) -> impl Iterator<Item = &'static str> + use<'m, M> {
        let layers = self.layers().flat_map(|layer| layer.cargo_features());
        let context = (self.context() > 0).then_some("context");
        layers.chain([self.base.cargo_feature(), context]).flatten()
    }

    /// The base density.
    pub fn base(&self) -> Base<'m> {
        self.base
    }

    /// Number of parameters: weights, biases, entries of permutations, and those of the base.
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
        self.inverse_given(row, &[], scratch)
    }

    /// [`Model::inverse`] given a context.
    pub fn inverse_given(
        &self,
        row: &mut [f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        self.check_row(row)?;
        let (_, mut work) = self.prepare(context, scratch)?;
        Ok(self.do_inverse(row, &mut work))
    }

    /// Maps a base sample to a raw row, in place. Returns log |det dx/dz|, in nats.
    pub fn forward(&self, row: &mut [f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.forward_given(row, &[], scratch)
    }

    /// [`Model::forward`] given a context.
    pub fn forward_given(
        &self,
        row: &mut [f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        self.check_row(row)?;
        let (_, mut work) = self.prepare(context, scratch)?;
        Ok(self.do_forward(row, &mut work))
    }

    /// Natural logarithm of the density at `x`, in nats and raw units.
    ///
    /// Finite for every finite row: far outside of the training rows it saturates, since
    /// values between layers are held inside 2^20.
    pub fn log_density(&self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.log_density_given(x, &[], scratch)
    }

    /// Natural logarithm of the conditional density p(x | context), in nats and raw units.
    pub fn log_density_given(
        &self,
        x: &[f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        self.check_row(x)?;
        let (row, mut work) = self.prepare(context, scratch)?;
        for (value, x) in row.iter_mut().zip(x) {
            *value = *x;
        }
        let log_det_jacobian = self.do_inverse(row, &mut work);
        Ok(self.base.log_density::<M>(row, work.row) + log_det_jacobian)
    }

    /// The anomaly score: minus the log-density, so that it grows with abnormality.
    pub fn score(&self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.score_given(x, &[], scratch)
    }

    /// [`Model::score`] given a context.
    pub fn score_given(
        &self,
        x: &[f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        self.log_density_given(x, context, scratch).map(|log_density| -log_density)
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(&self, x: &[f32], scratch: &mut Scratch) -> Result<bool, Error> {
        self.is_anomaly_given(x, &[], scratch)
    }

    /// [`Model::is_anomaly`] given a context.
    pub fn is_anomaly_given(
        &self,
        x: &[f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<bool, Error> {
        let threshold = self.threshold.ok_or(Error::NoThreshold)?;
        Ok(self.score_given(x, context, scratch)? > threshold.score)
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
        self.sample_given(random, temperature, x, &[], scratch)
    }

    /// [`Model::sample`] given a context.
    pub fn sample_given<R: Rng>(
        &self,
        random: &mut R,
        temperature: f32,
        x: &mut [f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        if !(0.0..=f32::MAX).contains(&temperature) {
            return Err(Error::Temperature);
        }
        self.base.sample::<M, R>(random, temperature, x)?;
        self.forward_given(x, context, scratch).map(|_| ())
    }

    /// Computes the log-densities of the file's self-test vectors and compares their bits with
    /// the host's. Returns how many there are.
    pub fn self_test(&self, scratch: &mut Scratch) -> Result<usize, Error> {
        let mut vectors = 0;
        let words = (self.features() + self.context() + 1).max(1);
        for (vector, words) in self.self_test.chunks(words).enumerate() {
            let Some((expected, row)) = words.split_last() else { break };
            let row: &[f32] = bytemuck::must_cast_slice(row);
            let Some((x, context)) = row.split_at_checked(self.features()) else { break };
            let computed = self.log_density_given(x, context, scratch)?.to_bits();
            if computed != *expected {
                return Err(Error::SelfTest { vector, computed, expected: *expected });
            }
            vectors = vector + 1;
        }
        Ok(vectors)
    }

    /// Standardises the context into the scratch, and shortens every part of it to what the model
    /// uses; a row, and what a layer is given.
    #[inline(always)]
    fn prepare<'w>(
        &self,
        context: &[f32],
        scratch: &'w mut Scratch,
    ) -> Result<(&'w mut [f32], Work<'w>), Error> {
        let (features, expected, width) = (self.features(), self.context(), self.width);
        if context.len() != expected {
            return Err(Error::ContextLength { found: context.len(), expected });
        }
        let too_small = Error::Scratch { features, context: expected, width };
        let (row, own, spare, network) = scratch.fit(features, expected, width).ok_or(too_small)?;
        if cfg!(not(feature = "context")) {
            return Ok((row, Work { context: &[], row: spare, network }));
        }
        for ((index, value), own) in context.iter().enumerate().zip(own.iter_mut()) {
            if !value.is_finite() {
                return Err(Error::ContextNotFinite { index });
            }
            *own = *value;
        }
        for (own, standardisation) in own.iter_mut().zip(self.context_standardisations()) {
            *own = standardisation.inverse(*own);
        }
        Ok((row, Work { context: own, row: spare, network }))
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
        if row.len() != self.features() {
            return Err(Error::RowLength { found: row.len(), expected: self.features() });
        }
        match row.iter().position(|value| !value.is_finite()) {
            Some(feature) => Err(Error::NotFinite { feature }),
            None => Ok(()),
        }
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
