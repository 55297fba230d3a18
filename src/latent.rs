//! Latent variable models: a few hidden values z explain a row x, in a variational autoencoder
//! (Kingma and Welling 2014, "Auto-Encoding Variational Bayes") whose posterior may be a flow
//! (Rezende and Mohamed 2015, "Variational Inference with Normalizing Flows").
//!
//! The model is p(x, z) = p(z) p(x | z). The prior p(z) is a base density, perhaps behind a flow;
//! the decoder network gives the density of each feature, [`Likelihood`]. What z a row stands for,
//! p(z | x), is intractable. The encoder network gives an approximation to it, q(z | x): a draw e
//! from N(0, I) goes through the posterior flow, conditioned on up to [`MAX_SUMMARY`] values h of the
//! encoder, and then through an affine map whose mean m and deviation s the encoder gives too,
//!
//! z = m + s f(e; h), log q(z | x) = log N(e) - log |det df/de| - sum ln s.
//!
//! The importance weight of a draw is w = p(x, z) / q(z | x). The mean of ln w is the evidence lower
//! bound of log p(x), and ln of the mean of w over k draws a tighter one (Burda et al. 2016,
//! "Importance Weighted Autoencoders", eq. 8). The score is -ln w at e = 0: one pass, without a
//! generator, and so one number a row; it is no log-density.
//!
//! # Section 13, latent model
//!
//! Instead of section 1 (words):
//!
//! | word | contents |
//! |---|---|
//! | 0 | D, number of features, 2 to 64 |
//! | 1 | C, number of context values, which encoder and decoder see in front of their other inputs, 0 to 64 |
//! | 2 | L, number of latent values, 2 to 64 |
//! | 3 | H, number of values h, 0 to 16 |
//! | 4 | likelihood: 1 = Gaussian, 2 = Bernoulli, 3 = Student-t |
//! | 5 | math that the file was calibrated with: 1 = libm, 2 = micromath |
//! | 6, 7 | least and largest deviation of a Gaussian likelihood, scale of a Student-t one, standardised, `f32`; 0 of a Bernoulli one |
//! | 8, 9 | words of the encoder's parameters, of the decoder's |
//! | 10 | words of the posterior flow |
//! | 11 .. 15 | number of the encoder's hidden layers, their three widths |
//! | 15 .. 19 | the same of the decoder |
//! | 19 | degrees of freedom of a Student-t likelihood, `f32`, from 2.01; 0 of another |
//! | .. | the encoder's parameters, the decoder's, the posterior flow and the prior, one behind the other |
//!
//! The encoder's outputs are h, m and L raw log-deviations r, ln s = 7 r / (7 + |r|); those of the
//! decoder are said with [`Likelihood`]. The two flows stand as section 1 describes, over L values and
//! with the math of word 5; the posterior's is given H values and has a standard normal base, the
//! prior is given none. Every call takes one pass of each network: autoregressive layers of the posterior,
//! which is taken forward alone, are given z, and the prior, which is taken both ways, has none.
//!
//! Section 5 stands once. Section 15, points (at most one; words): L `f32` for each draw e that the
//! bound is taken over. The values of section 8 are 0 or 1 with a Bernoulli likelihood. The
//! self-test's vectors hold a row's score alone. There is no
//! section 7 and no section 11.

mod calls;
mod likelihood;
mod record;
mod scratch;
mod shell;

pub use calls::LatentTerms;
pub use likelihood::Likelihood;
pub use record::MAX_SUMMARY;
#[cfg(feature = "write")]
pub(crate) use scratch::LATENT_ROWS;
pub use scratch::LatentScratch;
pub use shell::Latent;

use core::marker::PhantomData;

use crate::Error;
use crate::attribution::Quantiles;
use crate::base::Mixture;
use crate::calibration::{Calibration, Threshold};
use crate::columns::Columns;
#[cfg(feature = "detector")]
use crate::detector::Settings;
use crate::file::{self, File, tag};
use crate::math::{LIMIT, Libm, Math};
use crate::member::Member;
use crate::model::Given;
use crate::preprocess::Standardisation;
use record::Parts;

/// A latent variable model borrowed from a model file, its sizes known at run time.
///
/// [`Latent`] is this with its sizes in its type. Its calls are those of [`Given`], which
/// [`LatentModel::given`] makes; a model without a context takes an empty one.
#[derive(Clone, Copy, Debug)]
pub struct LatentModel<'m, M: Math = Libm> {
    parts: Parts<'m>,
    standardisation: &'m [[f32; Standardisation::WORDS]],
    log_scale_sum: f32,
    calibration: Option<Calibration<'m>>,
    #[cfg(feature = "detector")]
    detector: Option<Settings<'m>>,
    quantiles: Option<Quantiles<'m>>,
    columns: Columns<'m>,
    provenance: &'m str,
    self_test: &'m [u32],
    #[cfg(feature = "signal")]
    signal: Option<crate::signal::Recipe<'m>>,
    /// L floats each.
    points: &'m [f32],
    math: PhantomData<M>,
}

impl<'m, M: Math> LatentModel<'m, M> {
    /// Reads a model file in place and makes every check of [`mod@crate::file`].
    ///
    /// `bytes` is exactly one file and starts on a 4-byte boundary.
    pub fn from_bytes(bytes: &'m [u8]) -> Result<Self, Error> {
        let file = File::open(bytes)?;
        let missing = |tag| Error::MissingSection { tag };
        let words = file.latent.ok_or(Error::IsFlow)?;
        let [flow, ..] = file.flows;
        let [standardisation, others @ ..] = file.standardisations;
        let of_flows = [(flow, tag::FLOW), (file.shares, tag::SHARES), (file.score, tag::SCORE)];
        if let Some((_, tag)) = of_flows.into_iter().find(|(words, _)| words.is_some()) {
            return Err(Error::UnknownSection { tag });
        }
        if others.iter().any(Option::is_some) {
            return Err(Error::RepeatedSection { tag: tag::STANDARDISATION });
        }
        let names = file.names.ok_or(missing(tag::NAMES))?;
        let standardisation = standardisation.ok_or(missing(tag::STANDARDISATION))?;
        let (parts, math) = Parts::read(words)?;
        let standardisation = Standardisation::read_all(standardisation, parts.sizes)?;
        if parts.likelihood == Likelihood::Bernoulli {
            check_binary(standardisation, parts.sizes.features)?;
        }
        let mut model = Self {
            parts,
            standardisation,
            log_scale_sum: Standardisation::log_scale_sum(standardisation, parts.sizes.features),
            calibration: None,
            #[cfg(feature = "detector")]
            detector: None,
            quantiles: None,
            columns: Columns::read(parts.sizes, names, file.columns)?,
            provenance: "",
            self_test: &[],
            #[cfg(feature = "signal")]
            signal: None,
            points: &[],
            math: PhantomData,
        };
        if let Some(words) = file.calibration {
            model.calibration = Some(Calibration::read(words)?);
        }
        #[cfg(feature = "signal")]
        if let Some(words) = file.signal {
            model.signal = Some(crate::signal::Recipe::for_features(words, model.features())?);
        }
        #[cfg(feature = "detector")]
        if let Some(words) = file.detector {
            model.detector = Some(Settings::read(words, model.features())?);
        }
        if let Some(words) = file.attribution {
            let quantiles = Quantiles::read(words, model.features())?;
            if parts.likelihood == Likelihood::Bernoulli {
                quantiles.check_binary(model.features())?;
            }
            model.quantiles = Some(quantiles);
        }
        if let Some(text) = file.provenance {
            model.provenance = core::str::from_utf8(text).map_err(|_| Error::Provenance)?;
        }
        let vectors = |tag, words: &'m [u32], length: usize| match words.len() % length.max(1) {
            0 => Ok(words),
            _ => {
                let (actual, expected) = (words.len(), words.len().next_multiple_of(length.max(1)));
                Err(Error::SectionLength { tag, actual, expected })
            }
        };
        if let Some(words) = file.self_test {
            model.self_test = vectors(tag::SELF_TEST, words, model.vector())?;
        }
        if let Some(words) = file.points {
            let words = vectors(tag::POINTS, words, parts.latents)?;
            model.points = bytemuck::must_cast_slice(words);
            let is_usable = |value: &f32| value.abs() <= LIMIT;
            if let Some(index) = model.points.iter().position(|value| !is_usable(value)) {
                return Err(Error::Point { index });
            }
        }
        if math != M::ID {
            return Err(Error::Math { file: math, firmware: M::ID });
        }
        Ok(model)
    }

    /// Like [`LatentModel::from_bytes`], for a flash slot that may be longer than the file in it.
    pub fn from_slot(slot: &'m [u8]) -> Result<Self, Error> {
        let stated = file::stated_length(slot)?;
        let bytes = usize::try_from(stated).ok().and_then(|length| slot.get(..length));
        Self::from_bytes(bytes.ok_or(Error::Length { stated, actual: slot.len() })?)
    }

    /// Words of a self-test vector.
    fn vector(&self) -> usize {
        // A model has features, but the compiler cannot know, and would keep a panic for 0 words.
        (self.features() + self.context() + 1).max(1)
    }

    /// Number of features, D.
    pub fn features(&self) -> usize {
        self.parts.sizes.features
    }

    /// Number of values of the context that the model is conditioned on, C; 0 for most models.
    pub fn context(&self) -> usize {
        self.parts.sizes.context
    }

    /// Number of latent values, L.
    pub fn latents(&self) -> usize {
        self.parts.latents
    }

    /// Number of values that the encoder gives the posterior flow, H; 0 where there is no flow.
    pub fn summary(&self) -> usize {
        self.parts.summary
    }

    /// Units of the widest hidden layer, in whole blocks of 8.
    pub fn width(&self) -> usize {
        let Parts { encoder, decoder, posterior, prior, .. } = &self.parts;
        let networks = encoder.width().max(decoder.width());
        networks.max(posterior.width()).max(prior.width())
    }

    /// The density of a row given its latent values.
    pub fn likelihood(&self) -> Likelihood {
        self.parts.likelihood
    }

    /// The flow of the posterior, over L values; without layers a Gaussian one.
    pub fn posterior(&self) -> &Member<'m> {
        &self.parts.posterior
    }

    /// The density of the latent values.
    pub fn prior(&self) -> &Member<'m> {
        &self.parts.prior
    }

    /// Encoder and decoder.
    #[cfg(feature = "write")]
    pub(crate) fn networks(&self) -> [crate::Network<'m>; 2] {
        [self.parts.encoder, self.parts.decoder]
    }

    /// Widths of the encoder's hidden layers.
    pub fn encoder_hidden(&self) -> impl Iterator<Item = usize> + use<'m, M> {
        self.parts.encoder.hidden()
    }

    /// Widths of the decoder's hidden layers.
    pub fn decoder_hidden(&self) -> impl Iterator<Item = usize> + use<'m, M> {
        self.parts.decoder.hidden()
    }

    /// Number of the prior's components, the modes of [`Given::mode`]; none where it is no mixture.
    pub fn modes(&self) -> Option<usize> {
        self.prior().base().mixture().map(Mixture::components)
    }

    /// Number of points that the bound is taken over.
    pub fn points(&self) -> usize {
        self.points.len() / self.latents().max(1)
    }

    /// Point `index`, a draw from N(0, I): L values.
    pub fn point(&self, index: usize) -> Option<&'m [f32]> {
        self.points.chunks_exact(self.latents().max(1)).nth(index)
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

    /// As of a [`Model`](crate::Model).
    pub fn offset(&self, index: usize) -> f64 {
        self.columns.offset(index)
    }

    /// As of a [`Model`](crate::Model).
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

    /// The sum of ln scale over the features: a bound for the standardised row minus that for the
    /// raw row, in nats.
    pub fn log_scale_sum(&self) -> f32 {
        self.log_scale_sum
    }

    /// Products of one score, the zeros that a ReLU makes included.
    pub fn multiply_adds(&self) -> usize {
        let Parts { encoder, decoder, posterior, prior, .. } = &self.parts;
        let networks = encoder.multiply_adds() + decoder.multiply_adds();
        networks + posterior.multiply_adds() + prior.multiply_adds()
    }

    /// Products of one more point of the bound.
    pub fn multiply_adds_of_a_point(&self) -> usize {
        self.multiply_adds() - self.parts.encoder.multiply_adds()
    }

    /// Number of parameters: weights, biases, entries of permutations, and those of the bases.
    pub fn parameters(&self) -> usize {
        let Parts { posterior, prior, .. } = &self.parts;
        self.parts.network_parameters + posterior.parameters() + prior.parameters()
    }

    /// The Cargo features of this crate that the model needs; one may come more than once.
    pub fn cargo_features(&self) -> impl Iterator<Item = &'static str> + use<'m, M> {
        let Parts { posterior, prior, .. } = self.parts;
        let flows = posterior.cargo_features().chain(prior.cargo_features());
        let parts =
            core::iter::once("latent").chain(self.likelihood().cargo_feature()).chain(flows);
        #[cfg(feature = "signal")]
        let parts = parts.chain(self.signal.and_then(|recipe| recipe.cargo_feature()));
        parts
    }

    /// What the scores of held-out rows were, if the file says so.
    pub fn calibration(&self) -> Option<Calibration<'m>> {
        self.calibration
    }

    /// As of a [`Model`](crate::Model).
    #[cfg(feature = "detector")]
    pub fn with_calibration(self, calibration: Calibration<'m>) -> Self {
        Self { calibration: Some(calibration), ..self }
    }

    /// When scores become an alarm, if the file says so.
    #[cfg(feature = "detector")]
    pub fn detector_settings(&self) -> Option<Settings<'m>> {
        self.detector
    }

    /// The threshold that [`Given::is_anomaly`] uses, if the file has one.
    pub fn threshold(&self) -> Option<Threshold> {
        self.calibration?.thresholds().next()
    }

    /// The values that [`Given::attribute`] tries, if the file has any.
    pub fn quantiles(&self) -> Option<Quantiles<'m>> {
        self.quantiles
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

    /// The model given a context, which is empty for most models: from it all calls are made.
    pub fn given<'a>(&'a self, context: &'a [f32]) -> Given<'a, Self> {
        Given { of: self, context }
    }

    /// Computes the scores of the file's self-test vectors and compares their bits with the host's.
    /// Returns how many there are.
    pub fn self_test(&self, scratch: &mut LatentScratch) -> Result<usize, Error> {
        let mut vectors = 0;
        for (vector, words) in self.self_test.chunks(self.vector()).enumerate() {
            let Some((expected, row)) = words.split_last() else { break };
            let row: &[f32] = bytemuck::must_cast_slice(row);
            let Some((x, context)) = row.split_at_checked(self.features()) else { break };
            let computed = self.given(context).score(x, scratch)?.to_bits();
            if computed != *expected {
                return Err(Error::SelfTest { vector, computed, expected: *expected });
            }
            vectors = vector + 1;
        }
        Ok(vectors)
    }
}

/// Refuses features that are 0 and 1 no more once standardised.
fn check_binary(all: &[[f32; Standardisation::WORDS]], features: usize) -> Result<(), Error> {
    let is_plain = |words: &[f32; Standardisation::WORDS]| {
        let Standardisation { centre, scale, .. } = Standardisation::read(*words);
        centre == 0.0 && scale == 1.0
    };
    match all.iter().take(features).position(|words| !is_plain(words)) {
        Some(feature) => Err(Error::Standardisation { feature }),
        None => Ok(()),
    }
}
