//! A model whose sizes are known at run time: the whole path from a row to its log-density.
//!
//! [`Flow`](crate::Flow) is this with its sizes in its type.

mod given;

pub use given::Given;

use core::marker::PhantomData;

use rand_core::Rng;

use crate::Error;
use crate::attribution::Quantiles;
use crate::calibration::{Calibration, Threshold};
use crate::columns::Columns;
#[cfg(feature = "detector")]
use crate::detector::Settings;
use crate::ensemble::read_log_shares;
use crate::file::{self, File, MEMBERS, tag};
use crate::math::{Libm, Math};
use crate::member::Member;
use crate::score::Score;
use crate::scratch::Scratch;

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
    /// ln of each flow's share of an ensemble's mixture; none where there is one flow.
    log_shares: &'m [f32],
    score: Score<'m>,
    calibration: Option<Calibration<'m>>,
    quantiles: Option<Quantiles<'m>>,
    #[cfg(feature = "detector")]
    detector: Option<Settings<'m>>,
    columns: Columns<'m>,
    provenance: &'m str,
    self_test: &'m [u32],
    #[cfg(feature = "signal")]
    signal: Option<crate::signal::Recipe<'m>>,
    math: PhantomData<M>,
}

impl<'m, M: Math> Model<'m, M> {
    /// Reads a model file in place and makes every check of [`crate::file`].
    ///
    /// `bytes` is exactly one file and starts on a 4-byte boundary.
    pub fn from_bytes(bytes: &'m [u8]) -> Result<Self, Error> {
        let file = File::open(bytes)?;
        let missing = |tag| Error::MissingSection { tag };
        if file.latent.or(file.points).is_some() {
            return Err(Error::IsLatent);
        }
        let [flow, ..] = file.flows;
        let flow = flow.ok_or(missing(tag::FLOW))?;
        let names = file.names.ok_or(missing(tag::NAMES))?;
        let [standardisation, ..] = file.standardisations;
        let standardisation = standardisation.ok_or(missing(tag::STANDARDISATION))?;
        let (first, math) = Member::read(flow, standardisation)?;
        let columns = Columns::read(first.sizes(), names, file.columns)?;
        let mut model = Self {
            members: [first; MEMBERS],
            count: 1,
            log_shares: &[],
            score: Score::LogDensity,
            calibration: None,
            quantiles: None,
            #[cfg(feature = "detector")]
            detector: None,
            columns,
            provenance: "",
            self_test: &[],
            #[cfg(feature = "signal")]
            signal: None,
            math: PhantomData,
        };
        if cfg!(feature = "ensemble") {
            model.read_others(&file, math)?;
        }
        if let Some(words) = file.score {
            model.score = Score::read(words, model.members().len())?;
        }
        if let Some(words) = file.calibration {
            model.calibration = Some(Calibration::read(words)?);
        }
        if let Some(words) = file.attribution {
            model.quantiles = Some(Quantiles::read(words, model.features())?);
        }
        #[cfg(feature = "signal")]
        if let Some(words) = file.signal {
            model.signal = Some(crate::signal::Recipe::for_features(words, model.features())?);
        }
        #[cfg(feature = "detector")]
        if let Some(words) = file.detector {
            model.detector = Some(Settings::read(words, model.features())?);
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

    /// Reads the flows behind the first one, whose arithmetic is `math`, and their shares.
    fn read_others(&mut self, file: &File<'m>, math: u32) -> Result<(), Error> {
        let [first, places @ ..] = &mut self.members;
        let [_, flows @ ..] = &file.flows;
        let [all, standardisations @ ..] = &file.standardisations;
        let is_shared = standardisations.iter().all(Option::is_none);
        for (place, sections) in places.iter_mut().zip(flows.iter().zip(standardisations)) {
            let (flow, standardisation) = match sections {
                (Some(flow), Some(standardisation)) => (flow, standardisation),
                (Some(flow), None) => {
                    let shared = all.as_ref().filter(|_| is_shared);
                    let missing = Error::MissingSection { tag: tag::STANDARDISATION };
                    (flow, shared.ok_or(missing)?)
                }
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
        self.log_shares = match (self.count, file.shares) {
            (1, None) => &[],
            (1, Some(_)) => return Err(Error::NoEnsemble),
            (_, None) => return Err(Error::MissingSection { tag: tag::SHARES }),
            (count, Some(words)) => read_log_shares(words, count)?,
        };
        Ok(())
    }

    /// Words of a self-test vector.
    fn vector(&self) -> usize {
        // A model has features, but the compiler cannot know, and would keep a panic for 0 words.
        (self.features() + self.context() + 2).max(1)
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

    /// ln of each flow's share of an ensemble's mixture; none where there is one flow.
    pub fn log_shares(&self) -> &'m [f32] {
        if cfg!(feature = "ensemble") { self.log_shares } else { &[] }
    }

    /// Whether the density is a mixture of several flows.
    pub(crate) fn is_ensemble(&self) -> bool {
        !self.log_shares().is_empty()
    }

    fn first(&self) -> &Member<'m> {
        let [first, ..] = &self.members;
        first
    }

    /// Names of the features, in their order.
    pub fn feature_names(&self) -> impl Iterator<Item = &'m str> + use<'m, M> {
        self.columns.feature_names()
    }

    /// Names of the context's values, in their order.
    pub fn context_names(&self) -> impl Iterator<Item = &'m str> + use<'m, M> {
        self.columns.context_names()
    }

    /// How rows come from the windows of a raw signal.
    ///
    /// # Errors
    ///
    /// [`Error::NoSignal`] where the model was trained on rows.
    #[cfg(feature = "signal")]
    pub fn recipe(&self) -> Result<crate::signal::Recipe<'m>, Error> {
        self.signal.ok_or(Error::NoSignal)
    }

    /// What must be subtracted from the sensor's value of column `index`, the features and then the
    /// context, before it is an f32: in f64, or in the sensor's own integers. 0 for most columns.
    pub fn offset(&self, index: usize) -> f64 {
        self.columns.offset(index)
    }

    /// Width of the steps that column `index`, counted alike, comes in; 0 where it has none.
    pub fn step(&self, index: usize) -> f32 {
        self.columns.step(index)
    }

    /// Refuses a firmware that fills its rows in another order than the model was trained in.
    pub fn expect_features(&self, names: &[&str]) -> Result<(), Error> {
        self.columns.expect_features(names)
    }

    /// Refuses a firmware that fills its context in another order than the model was trained in.
    pub fn expect_context(&self, names: &[&str]) -> Result<(), Error> {
        self.columns.expect_context(names)
    }

    /// The sum of ln scale over the features: log-density of the standardised row minus that of
    /// the raw row, in nats. In an ensemble the members' mean, which is exact for flows of one
    /// standardisation.
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
        let ensemble = self.is_ensemble().then_some("ensemble");
        let members = self.members.into_iter().take(self.members().len());
        let members = members.flat_map(|member| member.cargo_features());
        #[cfg(feature = "signal")]
        let ensemble =
            ensemble.into_iter().chain(self.signal.and_then(|recipe| recipe.cargo_feature()));
        members.chain(ensemble)
    }

    /// Number of parameters: weights, biases, entries of permutations, and those of the bases.
    pub fn parameters(&self) -> usize {
        self.members().iter().map(Member::parameters).sum()
    }

    /// What the score of a row is.
    pub fn score_kind(&self) -> Score<'m> {
        self.score
    }

    /// What the scores of held-out rows were, if the file says so.
    pub fn calibration(&self) -> Option<Calibration<'m>> {
        self.calibration
    }

    /// The same model judged by another calibration, such as one of the machine on site
    /// ([`Commissioning`](crate::detector::Commissioning)).
    #[cfg(feature = "detector")]
    pub fn with_calibration(self, calibration: Calibration<'m>) -> Self {
        Self { calibration: Some(calibration), ..self }
    }

    /// When scores become an alarm, if the file says so.
    #[cfg(feature = "detector")]
    pub fn detector_settings(&self) -> Option<Settings<'m>> {
        self.detector
    }

    /// The values of the features that [`Model::attribute`] tries, if the file has them.
    pub fn quantiles(&self) -> Option<Quantiles<'m>> {
        self.quantiles
    }

    /// The threshold that [`Model::is_anomaly`] uses, if the file has one.
    pub fn threshold(&self) -> Option<Threshold> {
        self.calibration?.thresholds().next()
    }

    /// Share of normal rows that score `score` or more, at most ([`Calibration::p_value`]).
    pub fn p_value(&self, score: f32) -> Result<f32, Error> {
        Ok(self.calibration.ok_or(Error::NoCalibration)?.p_value::<M>(score))
    }

    /// The score that at most a share `rate` of normal rows exceed ([`Calibration::threshold_at`]).
    pub fn threshold_at(&self, rate: f32) -> Result<f32, Error> {
        self.calibration.ok_or(Error::NoCalibration)?.threshold_at::<M>(rate)
    }

    /// Where the model came from: lines `key=value`.
    pub fn provenance(&self) -> &'m str {
        self.provenance
    }

    /// The model given a context, which its density is conditioned on: the same calls as here, which
    /// are those of a model without one.
    pub fn given<'a>(&'a self, context: &'a [f32]) -> Given<'a, Self> {
        Given { of: self, context }
    }

    /// Natural logarithm of the density at `x`, in nats and raw units.
    pub fn log_density(&self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.given(&[]).log_density(x, scratch)
    }

    /// The anomaly score, which grows with abnormality ([`Score`]).
    pub fn score(&self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.given(&[]).score(x, scratch)
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(&self, x: &[f32], scratch: &mut Scratch) -> Result<bool, Error> {
        self.given(&[]).is_anomaly(x, scratch)
    }

    /// Whether the score of `x` lies above the threshold for a false-alarm rate of `rate`.
    pub fn is_anomaly_at(
        &self,
        x: &[f32],
        rate: f32,
        scratch: &mut Scratch,
    ) -> Result<bool, Error> {
        self.given(&[]).is_anomaly_at(x, rate, scratch)
    }

    /// Writes into `attributions` what the value of each feature adds to the score of `x`, which is
    /// the same again afterwards ([`mod@crate::attribution`]).
    pub fn attribute(
        &self,
        x: &mut [f32],
        attributions: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.given(&[]).attribute(x, attributions, scratch)
    }

    /// Maps a raw row to the base, in place. Returns log |det dz/dx|, in nats.
    pub fn inverse(&self, row: &mut [f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.given(&[]).inverse(row, scratch)
    }

    /// Maps a base sample to a raw row, in place. Returns log |det dx/dz|, in nats.
    pub fn forward(&self, row: &mut [f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.given(&[]).forward(row, scratch)
    }

    /// Fills `x` with a draw; `temperature` scales the base's standard deviation.
    pub fn sample<R: Rng>(
        &self,
        random: &mut R,
        temperature: f32,
        x: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.given(&[]).sample(random, temperature, x, scratch)
    }

    /// Computes the log-densities and scores of the file's self-test vectors and compares their bits
    /// with the host's. Returns how many there are.
    pub fn self_test(&self, scratch: &mut Scratch) -> Result<usize, Error> {
        let mut vectors = 0;
        for (vector, words) in self.self_test.chunks(self.vector()).enumerate() {
            let Some((row, expected)) = words.split_last_chunk::<2>() else { break };
            let row: &[f32] = bytemuck::must_cast_slice(row);
            let Some((x, context)) = row.split_at_checked(self.features()) else { break };
            let given = self.given(context);
            let computed = [given.log_density(x, scratch)?, given.score(x, scratch)?];
            for (computed, expected) in computed.map(f32::to_bits).into_iter().zip(*expected) {
                if computed != expected {
                    return Err(Error::SelfTest { vector, computed, expected });
                }
            }
            vectors = vector + 1;
        }
        Ok(vectors)
    }
}
