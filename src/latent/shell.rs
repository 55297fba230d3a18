//! A latent model with its sizes in its type: what a firmware holds.

use rand_core::Rng;

use crate::Error;
use crate::calibration::{Calibration, Threshold};
#[cfg(feature = "detector")]
use crate::detector::Detector;
use crate::kernel::Units;
use crate::latent::scratch::LATENT_ROWS;
use crate::latent::{LatentModel, LatentScratch, LatentTerms, MAX_SUMMARY};
use crate::math::{Libm, Math};
use crate::model::Given;
use crate::network::MAX_HIDDEN;

/// A latent variable model of exactly `D` features and `L` latent values, with room for `H` hidden
/// units a layer; the arithmetic `M`, and `C` context values.
///
/// It borrows the model file, is a few words large, and may be copied and shared. A call's memory
/// lies on the stack and has a known size, [`Latent::SCRATCH_BYTES`].
///
/// ```
/// use flowlet::{Latent, include_model};
///
/// let latent = Latent::<3, 2, 16>::from_bytes(include_model!("../../tests/golden/latent.flow"))?;
/// let x = [1.0, 20.5, 0.3];
/// let code = latent.encode(&x)?; // 2 numbers to send by radio
/// let like_x = latent.decode(&code)?;
/// let residuals = latent.residuals(&x)?; // which sensor is off, in deviations
/// assert!(latent.score(&x)?.is_finite());
/// # let _ = (like_x, residuals);
/// # Ok::<(), flowlet::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Latent<
    'm,
    const D: usize,
    const L: usize,
    const H: usize,
    M: Math = Libm,
    const C: usize = 0,
> {
    model: LatentModel<'m, M>,
}

/// The memory of one call.
struct Memory<const D: usize, const L: usize, const H: usize, const C: usize> {
    row: [f32; D],
    context: [f32; C],
    latents: [[f32; L]; LATENT_ROWS],
    values: [[f32; H]; MAX_HIDDEN],
    numbers: [[u16; H]; MAX_HIDDEN],
}

impl<const D: usize, const L: usize, const H: usize, const C: usize> Memory<D, L, H, C> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            row: [0.0; D],
            context: [0.0; C],
            latents: [[0.0; L]; LATENT_ROWS],
            values: [[0.0; H]; MAX_HIDDEN],
            numbers: [[0; H]; MAX_HIDDEN],
        }
    }

    fn scratch(&mut self) -> LatentScratch<'_> {
        let [a, b, c] = &mut self.values;
        let [k, l, m] = &mut self.numbers;
        let units = [Units::new(a, k), Units::new(b, l), Units::new(c, m)];
        let latents = self.latents.as_flattened_mut();
        LatentScratch::new(&mut self.row, &mut self.context, latents, units)
    }
}

/// Of a model without a context.
impl<'m, const D: usize, const L: usize, const H: usize, M: Math> Latent<'m, D, L, H, M> {
    /// As [`Given::score`] of a [`LatentModel`].
    pub fn score(&self, x: &[f32; D]) -> Result<f32, Error> {
        self.given(&[]).score(x)
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(&self, x: &[f32; D]) -> Result<bool, Error> {
        self.given(&[]).is_anomaly(x)
    }

    /// Whether the score of `x` lies above the threshold for a false-alarm rate of `rate`.
    pub fn is_anomaly_at(&self, x: &[f32; D], rate: f32) -> Result<bool, Error> {
        self.given(&[]).is_anomaly_at(x, rate)
    }

    /// What the value of each feature adds to the score of `x`, 0 or more in nats
    /// ([`mod@crate::attribution`]): ask after an alarm, it takes many scores.
    pub fn attribute(&self, x: &[f32; D]) -> Result<[f32; D], Error> {
        self.given(&[]).attribute(x)
    }

    /// The three terms of the score.
    pub fn terms(&self, x: &[f32; D]) -> Result<LatentTerms, Error> {
        self.given(&[]).terms(x)
    }

    /// The latent values that stand for `x`.
    pub fn encode(&self, x: &[f32; D]) -> Result<[f32; L], Error> {
        self.given(&[]).encode(x)
    }

    /// The mean of a row with the latent values `z`, raw units.
    pub fn decode(&self, z: &[f32; L]) -> Result<[f32; D], Error> {
        self.given(&[]).decode(z)
    }

    /// The deviation of each feature of a row with the latent values `z`, raw units.
    pub fn deviations(&self, z: &[f32; L]) -> Result<[f32; D], Error> {
        self.given(&[]).deviations(z)
    }

    /// How far each feature lies from what the latent values explain, in the decoder's deviations.
    pub fn residuals(&self, x: &[f32; D]) -> Result<[f32; D], Error> {
        self.given(&[]).residuals(x)
    }

    /// The mode of `x`, a component of a mixture prior, and the probability of each one.
    pub fn mode<const K: usize>(&self, x: &[f32; D]) -> Result<(usize, [f32; K]), Error> {
        self.given(&[]).mode(x)
    }

    /// The importance-weighted bound of the log-density over the points in the file.
    pub fn bound(&self, x: &[f32; D]) -> Result<f32, Error> {
        self.given(&[]).bound(x)
    }

    /// ln of the importance weight of a draw `noise` from N(0, I).
    pub fn log_weight(&self, x: &[f32; D], noise: &[f32; L]) -> Result<f32, Error> {
        self.given(&[]).log_weight(x, noise)
    }

    /// A draw; `temperature` scales the standard deviations, 1 for the model's own density.
    pub fn sample<R: Rng>(&self, random: &mut R, temperature: f32) -> Result<[f32; D], Error> {
        self.given(&[]).sample(random, temperature)
    }
}

impl<'m, const D: usize, const L: usize, const H: usize, M: Math, const C: usize>
    Latent<'m, D, L, H, M, C>
{
    /// Stack bytes of a call's memory, besides its frames.
    pub const SCRATCH_BYTES: usize =
        size_of::<Memory<D, L, H, C>>() + MAX_SUMMARY * size_of::<f32>();

    /// Reads a model file in place, makes every check of [`mod@crate::file`], and then checks that the
    /// model fits `D`, `L`, `H` and `C`.
    ///
    /// `bytes` is exactly one file on a 4-byte boundary, as
    /// [`include_model!`](crate::include_model) gives it.
    pub fn from_bytes(bytes: &'m [u8]) -> Result<Self, Error> {
        Self::new(LatentModel::from_bytes(bytes)?)
    }

    /// Like [`Latent::from_bytes`], for a flash slot that may be longer than the file in it.
    pub fn from_slot(slot: &'m [u8]) -> Result<Self, Error> {
        Self::new(LatentModel::from_slot(slot)?)
    }

    fn new(model: LatentModel<'m, M>) -> Result<Self, Error> {
        let [features, latents, context] = [model.features(), model.latents(), model.context()];
        let width = model.width();
        match [features, latents, context] == [D, L, C] && width <= H {
            true => Ok(Self { model }),
            false => Err(Error::LatentFit { features, latents, width, context }),
        }
    }

    /// The model itself: names, threshold, provenance, parts.
    pub fn model(&self) -> &LatentModel<'m, M> {
        &self.model
    }

    /// What the scores of held-out rows were, if the file says so.
    pub fn calibration(&self) -> Option<Calibration<'m>> {
        self.model.calibration()
    }

    /// Share of normal rows that score `score` or more, at most ([`Calibration::p_value`]).
    pub fn p_value(&self, score: f32) -> Result<f32, Error> {
        self.model.p_value(score)
    }

    /// The score that at most a share `rate` of normal rows exceed ([`Calibration::threshold_at`]).
    pub fn threshold_at(&self, rate: f32) -> Result<f32, Error> {
        self.model.threshold_at(rate)
    }

    /// The same model judged by another calibration, such as one of the machine on site
    /// ([`Commissioning`](crate::detector::Commissioning)).
    #[cfg(feature = "detector")]
    pub fn with_calibration(self, calibration: Calibration<'m>) -> Self {
        Self { model: self.model.with_calibration(calibration) }
    }

    /// What turns its scores into alarms.
    ///
    /// # Errors
    ///
    /// Where the file says nothing of alarms, or its calibration has too few rows.
    #[cfg(feature = "detector")]
    pub fn detector(&self) -> Result<Detector<'m, D>, Error> {
        let settings = self.model.detector_settings().ok_or(Error::NoDetector)?;
        Detector::new(settings, self.calibration().ok_or(Error::NoCalibration)?)
    }

    /// The threshold that [`Latent::is_anomaly`] uses, if the file has one.
    pub fn threshold(&self) -> Option<Threshold> {
        self.model.threshold()
    }

    /// How rows come from the windows of a raw signal ([`signal::Window`](crate::signal::Window)).
    ///
    /// # Errors
    ///
    /// [`Error::NoSignal`] where the model was trained on rows.
    #[cfg(feature = "signal")]
    pub fn recipe(&self) -> Result<crate::signal::Recipe<'m>, Error> {
        self.model.recipe()
    }

    /// What must be subtracted from the sensor's value of column `index`, the features and then the
    /// context, before it is an f32: in f64, or in the sensor's own integers. 0 for most columns.
    pub fn offset(&self, index: usize) -> f64 {
        self.model.offset(index)
    }

    /// Refuses a firmware that fills its rows in another order than the model was trained in.
    pub fn expect_features(&self, names: &[&str; D]) -> Result<(), Error> {
        self.model.expect_features(names)
    }

    /// Refuses a firmware that fills its context in another order than the model was trained in.
    pub fn expect_context(&self, names: &[&str; C]) -> Result<(), Error> {
        self.model.expect_context(names)
    }

    /// The model given a context: the same calls as those of a model without one.
    pub fn given<'a>(&'a self, context: &'a [f32; C]) -> Given<'a, Self> {
        Given { of: self, context }
    }

    /// Computes the file's self-test vectors on this core and compares their bits with the host's.
    /// Returns how many there are.
    pub fn self_test(&self) -> Result<usize, Error> {
        self.model.self_test(&mut Memory::<D, L, H, C>::new().scratch())
    }
}

impl<'m, const D: usize, const L: usize, const H: usize, M: Math, const C: usize>
    Given<'_, Latent<'m, D, L, H, M, C>>
{
    fn model(&self) -> Given<'_, LatentModel<'m, M>> {
        Given { of: &self.of.model, context: self.context }
    }

    /// As [`Given::score`] of a [`LatentModel`].
    pub fn score(self, x: &[f32; D]) -> Result<f32, Error> {
        self.model().score(x, &mut Memory::<D, L, H, C>::new().scratch())
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(self, x: &[f32; D]) -> Result<bool, Error> {
        self.model().is_anomaly(x, &mut Memory::<D, L, H, C>::new().scratch())
    }

    /// Whether the score of `x` lies above the threshold for a false-alarm rate of `rate`.
    pub fn is_anomaly_at(self, x: &[f32; D], rate: f32) -> Result<bool, Error> {
        self.model().is_anomaly_at(x, rate, &mut Memory::<D, L, H, C>::new().scratch())
    }

    /// What the value of each feature adds to the score of `x`, 0 or more in nats
    /// ([`mod@crate::attribution`]): ask after an alarm, it takes many scores.
    pub fn attribute(self, x: &[f32; D]) -> Result<[f32; D], Error> {
        let (mut row, mut attributions) = (*x, [0.0; D]);
        let mut memory = Memory::<D, L, H, C>::new();
        self.model().attribute(&mut row, &mut attributions, &mut memory.scratch())?;
        Ok(attributions)
    }

    /// The three terms of the score.
    pub fn terms(self, x: &[f32; D]) -> Result<LatentTerms, Error> {
        self.model().terms(x, &mut Memory::<D, L, H, C>::new().scratch())
    }

    /// The latent values that stand for `x`.
    pub fn encode(self, x: &[f32; D]) -> Result<[f32; L], Error> {
        let mut z = [0.0; L];
        self.model().encode(x, &mut z, &mut Memory::<D, L, H, C>::new().scratch())?;
        Ok(z)
    }

    /// The mean of a row with the latent values `z`, raw units; of a Bernoulli likelihood the
    /// probabilities of ones.
    pub fn decode(self, z: &[f32; L]) -> Result<[f32; D], Error> {
        let mut x = [0.0; D];
        self.model().decode(z, &mut x, &mut Memory::<D, L, H, C>::new().scratch())?;
        Ok(x)
    }

    /// The deviation of each feature of a row with the latent values `z`, raw units.
    pub fn deviations(self, z: &[f32; L]) -> Result<[f32; D], Error> {
        let mut x = [0.0; D];
        self.model().deviations(z, &mut x, &mut Memory::<D, L, H, C>::new().scratch())?;
        Ok(x)
    }

    /// How far each feature lies from what the latent values explain, in the decoder's deviations.
    pub fn residuals(self, x: &[f32; D]) -> Result<[f32; D], Error> {
        let mut residuals = [0.0; D];
        let mut memory = Memory::<D, L, H, C>::new();
        self.model().residuals(x, &mut residuals, &mut memory.scratch())?;
        Ok(residuals)
    }

    /// The mode of `x`, a component of a mixture prior, and the probability of each of the `K`.
    pub fn mode<const K: usize>(self, x: &[f32; D]) -> Result<(usize, [f32; K]), Error> {
        let mut shares = [0.0; K];
        let mut memory = Memory::<D, L, H, C>::new();
        let mode = self.model().mode(x, &mut shares, &mut memory.scratch())?;
        Ok((mode, shares))
    }

    /// The importance-weighted bound of the log-density over the points in the file.
    pub fn bound(self, x: &[f32; D]) -> Result<f32, Error> {
        self.model().bound(x, &mut Memory::<D, L, H, C>::new().scratch())
    }

    /// ln of the importance weight of a draw `noise` from N(0, I).
    pub fn log_weight(self, x: &[f32; D], noise: &[f32; L]) -> Result<f32, Error> {
        self.model().log_weight(x, noise, &mut Memory::<D, L, H, C>::new().scratch())
    }

    /// A draw from the model; `temperature` scales the standard deviations, 1 for the model's own
    /// density.
    pub fn sample<R: Rng>(self, random: &mut R, temperature: f32) -> Result<[f32; D], Error> {
        let mut x = [0.0; D];
        let mut memory = Memory::<D, L, H, C>::new();
        self.model().sample(random, temperature, &mut x, &mut memory.scratch())?;
        Ok(x)
    }
}
