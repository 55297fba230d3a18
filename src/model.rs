//! A model whose sizes are known at run time: the whole path from a row to its log-density.
//!
//! [`Flow`](crate::Flow) is this with its sizes in its type.

use core::marker::PhantomData;

use rand_core::Rng;

use crate::Error;
use crate::bijection::Work;
use crate::draw::draw;
use crate::ensemble::Combination;
use crate::file::{self, File, MEMBERS, tag};
use crate::kernel::Units;
use crate::math::{Libm, LogSumExp, Math};
use crate::member::Member;
use crate::network::MAX_HIDDEN;
use crate::preprocess::Column;

/// A normalizing flow borrowed from a model file, or an ensemble of up to
/// [`MAX_MEMBERS`](crate::MAX_MEMBERS), with the file's threshold and names.
///
/// It owns nothing: the parameters stay where the file lies, in flash. The type parameter is
/// the arithmetic of exp, ln and sqrt.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m, M: Math = Libm> {
    /// The first `count`; the rest of the places repeat the first one.
    members: [Member<'m>; MEMBERS],
    count: usize,
    combination: Option<Combination<'m>>,
    threshold: Option<Threshold>,
    names: &'m [u8],
    /// Of the features, then the context; none in a file without offsets and steps.
    columns: &'m [[u32; Column::WORDS]],
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

/// Rows that a call needs besides the one that it maps: one, or two where a network sees two values
/// of a periodic feature.
pub(crate) const SPARE: usize = if cfg!(feature = "spline") { 2 } else { 1 };

/// Memory for a [`Model`]'s calls; [`Flow`](crate::Flow) keeps its own on the stack.
#[derive(Debug)]
pub struct Scratch<'s> {
    rows: [&'s mut [f32]; 2],
    context: &'s mut [f32],
    units: [Units<'s>; MAX_HIDDEN],
}

impl<'s> Scratch<'s> {
    /// The first of `rows` holds [`Model::features`] floats and the second twice as many, without the
    /// Cargo feature `spline` as many; `context` holds [`Model::context`], and `units` each
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
        ((1 + SPARE) * features + context) * size_of::<f32>()
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
        let (row, spare) = (row.get_mut(..features)?, spare.get_mut(..SPARE * features)?);
        Some((row, self.context.get_mut(..context)?, spare, units))
    }
}

impl<'m, M: Math> Model<'m, M> {
    /// Reads a model file in place and makes every check of [`crate::file`].
    ///
    /// `bytes` is exactly one file and starts on a 4-byte boundary.
    pub fn from_bytes(bytes: &'m [u8]) -> Result<Self, Error> {
        let file = File::open(bytes)?;
        let missing = |tag| Error::MissingSection { tag };
        let [flow, ..] = file.flows;
        let flow = flow.ok_or(missing(tag::FLOW))?;
        let names = file.names.ok_or(missing(tag::NAMES))?;
        let [standardisation, ..] = file.standardisations;
        let standardisation = standardisation.ok_or(missing(tag::STANDARDISATION))?;
        let (first, math) = Member::read(flow, standardisation)?;
        let mut model = Self {
            members: [first; MEMBERS],
            count: 1,
            combination: None,
            threshold: None,
            names,
            columns: &[],
            provenance: "",
            self_test: &[],
            math: PhantomData,
        };
        if cfg!(feature = "ensemble") {
            model.read_others(&file, math)?;
        }
        model.check_names()?;
        if let Some(words) = file.columns {
            model.read_columns(words)?;
        }
        if let Some(words) = file.calibration {
            model.threshold = Some(read_threshold(words)?);
        }
        if let Some(text) = file.provenance {
            model.provenance = core::str::from_utf8(text).map_err(|_| Error::Provenance)?;
        }
        if let Some(words) = file.self_test {
            let vector = model.vector();
            if !words.len().is_multiple_of(vector) {
                let (actual, expected) = (words.len(), words.len().next_multiple_of(vector));
                return Err(Error::SectionLength { tag: tag::SELF_TEST, actual, expected });
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

    /// Reads the flows behind the first one, whose arithmetic is `math`, and how their
    /// log-densities become one.
    fn read_others(&mut self, file: &File<'m>, math: u32) -> Result<(), Error> {
        let [first, places @ ..] = &mut self.members;
        let [_, flows @ ..] = &file.flows;
        let [_, standardisations @ ..] = &file.standardisations;
        for (place, sections) in places.iter_mut().zip(flows.iter().zip(standardisations)) {
            let (flow, standardisation) = match sections {
                (Some(flow), Some(standardisation)) => (flow, standardisation),
                (Some(_), None) => return Err(Error::MissingSection { tag: tag::STANDARDISATION }),
                (None, Some(_)) => {
                    return Err(Error::RepeatedSection { tag: tag::STANDARDISATION });
                }
                (None, None) => break,
            };
            let (member, own) = Member::read(flow, standardisation)?;
            if (member.sizes(), own) != (first.sizes(), math) {
                return Err(Error::Member { member: self.count });
            }
            *place = member;
            self.count += 1;
        }
        self.combination = match (self.count, file.ensemble) {
            (1, None) => None,
            (1, Some(_)) => return Err(Error::NoEnsemble),
            (_, None) => return Err(Error::MissingSection { tag: tag::ENSEMBLE }),
            (count, Some(words)) => Some(Combination::read(words, count)?),
        };
        Ok(())
    }

    fn read_columns(&mut self, words: &'m [u32]) -> Result<(), Error> {
        let expected = (self.features() + self.context()) * Column::WORDS;
        if words.len() != expected {
            let actual = words.len();
            return Err(Error::SectionLength { tag: tag::COLUMNS, actual, expected });
        }
        (self.columns, _) = words.as_chunks();
        let mut columns = self.columns.iter().enumerate();
        columns.try_for_each(|(number, words)| Column::read(*words).check(number))
    }

    /// Words of a self-test vector.
    fn vector(&self) -> usize {
        // A model has features, but the compiler cannot know, and would keep a panic for 0 words.
        (self.features() + self.context() + 1).max(1)
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
        self.first().sizes().features
    }

    /// Number of values of the context that the density is conditioned on, C; 0 for most models.
    pub fn context(&self) -> usize {
        if cfg!(feature = "context") { self.first().sizes().context } else { 0 }
    }

    /// Units of the widest hidden layer, in whole blocks of 8.
    pub fn width(&self) -> usize {
        self.members().iter().map(Member::width).fold(0, usize::max)
    }

    /// The flows: one, or those of an ensemble.
    pub fn members(&self) -> &[Member<'m>] {
        let count = if cfg!(feature = "ensemble") { self.count } else { 1 };
        self.members.get(..count).unwrap_or_default()
    }

    /// How the log-densities of an ensemble become one; none where there is one flow.
    pub fn combination(&self) -> Option<Combination<'m>> {
        if cfg!(feature = "ensemble") { self.combination } else { None }
    }

    fn first(&self) -> &Member<'m> {
        let [first, ..] = &self.members;
        first
    }

    /// The flow of a model that is no ensemble.
    fn only(&self) -> Result<&Member<'m>, Error> {
        match self.combination() {
            None => Ok(self.first()),
            Some(_) => Err(Error::Ensemble { reason: "each flow has a base of its own" }),
        }
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

    fn column(&self, index: usize) -> Column {
        let words = self.columns.get(index).copied();
        Column::read(words.unwrap_or_default())
    }

    /// What must be subtracted from the sensor's value of column `index`, the features and then the
    /// context, before it is an f32: in f64, or in the sensor's own integers. 0 for most columns.
    pub fn offset(&self, index: usize) -> f64 {
        self.column(index).offset
    }

    /// Width of the steps that column `index`, counted alike, comes in; 0 where it has none.
    pub fn step(&self, index: usize) -> f32 {
        self.column(index).step
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

    /// The sum of ln scale over the features: log-density of the standardised row minus that of
    /// the raw row, in nats. In an ensemble the members' mean, which is exact for a mean of
    /// log-densities and for flows of one standardisation.
    pub fn log_scale_sum(&self) -> f32 {
        let sum: f32 = self.members().iter().map(Member::log_scale_sum).sum();
        sum / self.members().len() as f32
    }

    /// Products of one log-density, the zeros that a ReLU makes included.
    pub fn multiply_adds(&self) -> usize {
        self.members().iter().map(Member::multiply_adds).sum()
    }

    /// The Cargo features of this crate that the model needs; one may come more than once.
    pub fn cargo_features(&self) -> impl Iterator<Item = &'static str> + use<'m, M> {
        let ensemble = self.combination().map(|_| "ensemble");
        let members = self.members.into_iter().take(self.members().len());
        members.flat_map(|member| member.cargo_features()).chain(ensemble)
    }

    /// Number of parameters: weights, biases, entries of permutations, and those of the bases.
    pub fn parameters(&self) -> usize {
        self.members().iter().map(Member::parameters).sum()
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
    ///
    /// An ensemble has no such map: each of its flows has a base of its own.
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
        let flow = self.only()?;
        self.check_row(row)?;
        let (_, mut work) = self.prepare(flow, context, scratch)?;
        Ok(flow.inverse::<M>(row, &mut work))
    }

    /// Maps a base sample to a raw row, in place. Returns log |det dx/dz|, in nats.
    ///
    /// An ensemble has no such map: each of its flows has a base of its own.
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
        self.member_forward(self.only()?, row, context, scratch)
    }

    #[inline(always)]
    fn member_forward(
        &self,
        member: &Member<'m>,
        row: &mut [f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        self.check_row(row)?;
        let (_, mut work) = self.prepare(member, context, scratch)?;
        Ok(member.forward::<M>(row, &mut work))
    }

    /// Natural logarithm of the density at `x`, in nats and raw units.
    ///
    /// Finite for every finite row: far outside of the training rows it saturates, since
    /// values between layers are held inside 2^20. Of an ensemble it is what its
    /// [`Combination`] says.
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
        match self.combination() {
            None => self.member_log_density(self.first(), x, context, scratch),
            Some(combination) => self.combined(combination, x, context, scratch),
        }
    }

    #[inline(always)]
    fn member_log_density(
        &self,
        member: &Member<'m>,
        x: &[f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        let (row, mut work) = self.prepare(member, context, scratch)?;
        for (value, x) in row.iter_mut().zip(x) {
            *value = *x;
        }
        Ok(member.log_density::<M>(row, &mut work))
    }

    /// The members' log-densities one after the other, each in the whole scratch, and what they
    /// come to.
    fn combined(
        &self,
        combination: Combination,
        x: &[f32],
        context: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        let members = self.members();
        let (mut sum, mut mixture) = (0.0, LogSumExp::default());
        for (number, member) in members.iter().enumerate() {
            let own = self.member_log_density(member, x, context, scratch)?;
            match combination {
                Combination::Mean => sum += own,
                Combination::Mixture(log_weights) => {
                    mixture.add::<M>(log_weights.get(number).copied().unwrap_or(0.0) + own);
                }
            }
        }
        Ok(match combination {
            Combination::Mean => sum / members.len() as f32,
            Combination::Mixture(_) => mixture.value::<M>(),
        })
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
    ///
    /// Of a mixture it draws a member by its share, and then from it. A mean of log-densities is
    /// no density, and refused. The values lie on the steps of their columns, less their offsets.
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
        let member = match self.combination() {
            None => self.first(),
            Some(Combination::Mixture(log_weights)) => {
                let members = log_weights.iter().copied().zip(self.members());
                draw::<M, R, _>(members, random).unwrap_or(self.first())
            }
            Some(Combination::Mean) => {
                let reason = "a mean of log-densities is no density to sample from";
                return Err(Error::Ensemble { reason });
            }
        };
        member.base().sample::<M, R>(random, temperature, x)?;
        self.member_forward(member, x, context, scratch)?;
        for ((index, value), standardisation) in
            x.iter_mut().enumerate().zip(member.standardisations())
        {
            *value = standardisation.on_step(*value, self.step(index));
        }
        Ok(())
    }

    /// Computes the log-densities of the file's self-test vectors and compares their bits with
    /// the host's. Returns how many there are.
    pub fn self_test(&self, scratch: &mut Scratch) -> Result<usize, Error> {
        let mut vectors = 0;
        for (vector, words) in self.self_test.chunks(self.vector()).enumerate() {
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

    /// Standardises the context into the scratch as `member` does, and shortens every part of it
    /// to what the model uses; a row, and what a layer is given.
    #[inline(always)]
    fn prepare<'w>(
        &self,
        member: &Member<'m>,
        context: &[f32],
        scratch: &'w mut Scratch,
    ) -> Result<(&'w mut [f32], Work<'w>), Error> {
        let (features, expected, width) = (self.features(), self.context(), self.width());
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
        for (own, standardisation) in own.iter_mut().zip(member.context_standardisations()) {
            *own = standardisation.inverse(*own);
        }
        Ok((row, Work { context: own, row: spare, network }))
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
