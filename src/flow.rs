//! A model with its sizes in its type: what a firmware holds.

use rand_core::Rng;

use crate::Error;
use crate::calibration::{Calibration, Threshold};
#[cfg(feature = "detector")]
use crate::detector::Detector;
use crate::kernel::Units;
use crate::math::{Libm, Math};
use crate::model::{Given, Model};
use crate::network::MAX_HIDDEN;
use crate::scratch::{SPARE, Scratch};

/// A normalizing flow of exactly `D` features with room for `H` hidden units a layer.
///
/// It borrows the model file, is a few words large, and may be copied and shared. A call's
/// memory lies on the stack and has a known size, [`Flow::SCRATCH_BYTES`]. Another model of D
/// features fits without a rebuild as long as its layers are no wider than `H`, a multiple of 8.
///
/// A model of p(x | context) takes the context's size as `C` and a context by [`Flow::given`].
#[derive(Clone, Copy, Debug)]
pub struct Flow<'m, const D: usize, const H: usize, M: Math = Libm, const C: usize = 0> {
    model: Model<'m, M>,
}

/// The memory of one call.
struct Memory<const D: usize, const H: usize, const C: usize> {
    row: [f32; D],
    spare: [[f32; D]; SPARE],
    context: [f32; C],
    values: [[f32; H]; MAX_HIDDEN],
    numbers: [[u16; H]; MAX_HIDDEN],
}

impl<const D: usize, const H: usize, const C: usize> Memory<D, H, C> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            row: [0.0; D],
            spare: [[0.0; D]; SPARE],
            context: [0.0; C],
            values: [[0.0; H]; MAX_HIDDEN],
            numbers: [[0; H]; MAX_HIDDEN],
        }
    }

    fn scratch(&mut self) -> Scratch<'_> {
        let [a, b, c] = &mut self.values;
        let [k, l, m] = &mut self.numbers;
        let units = [Units::new(a, k), Units::new(b, l), Units::new(c, m)];
        Scratch::new([&mut self.row, self.spare.as_flattened_mut()], &mut self.context, units)
    }
}

/// Of a model without a context.
impl<'m, const D: usize, const H: usize, M: Math> Flow<'m, D, H, M> {
    /// Natural logarithm of the density at `x`, in nats and raw units.
    pub fn log_density(&self, x: &[f32; D]) -> Result<f32, Error> {
        self.given(&[]).log_density(x)
    }

    /// The anomaly score, which grows with abnormality ([`Score`](crate::Score)).
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

    /// What the value of each feature adds to the score of `x`, 0 or more in the score's unit
    /// ([`mod@crate::attribution`]): ask after an alarm, it takes many scores.
    pub fn attribute(&self, x: &[f32; D]) -> Result<[f32; D], Error> {
        self.given(&[]).attribute(x)
    }

    /// x to z. Returns z and log |det dz/dx|.
    pub fn inverse(&self, x: &[f32; D]) -> Result<([f32; D], f32), Error> {
        self.given(&[]).inverse(x)
    }

    /// z to x. Returns x and log |det dx/dz|.
    pub fn forward(&self, z: &[f32; D]) -> Result<([f32; D], f32), Error> {
        self.given(&[]).forward(z)
    }

    /// A draw; `temperature` scales the base's standard deviation, 1 for the model's own density.
    pub fn sample<R: Rng>(&self, random: &mut R, temperature: f32) -> Result<[f32; D], Error> {
        self.given(&[]).sample(random, temperature)
    }
}

impl<'m, const D: usize, const H: usize, M: Math, const C: usize> Flow<'m, D, H, M, C> {
    /// Stack bytes of a call's memory, besides its frames.
    pub const SCRATCH_BYTES: usize = size_of::<Memory<D, H, C>>();

    /// Reads a model file in place, makes every check of [`crate::file`], and then checks that
    /// the model fits `D`, `H` and `C`.
    ///
    /// `bytes` is exactly one file on a 4-byte boundary, as
    /// [`include_model!`](crate::include_model) gives it.
    pub fn from_bytes(bytes: &'m [u8]) -> Result<Self, Error> {
        Self::new(Model::from_bytes(bytes)?)
    }

    /// Like [`Flow::from_bytes`], for a flash slot that may be longer than the file in it.
    pub fn from_slot(slot: &'m [u8]) -> Result<Self, Error> {
        Self::new(Model::from_slot(slot)?)
    }

    fn new(model: Model<'m, M>) -> Result<Self, Error> {
        if model.features() != D {
            return Err(Error::Features { file: model.features(), firmware: D });
        }
        if model.context() != C {
            return Err(Error::Context { file: model.context(), firmware: C });
        }
        if model.width() > H {
            return Err(Error::Width { file: model.width(), firmware: H });
        }
        Ok(Self { model })
    }

    /// The model itself: names, threshold, provenance, layers.
    pub fn model(&self) -> &Model<'m, M> {
        &self.model
    }

    /// What the scores of held-out rows were, if the file says so.
    pub fn calibration(&self) -> Option<Calibration<'m>> {
        self.model.calibration()
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

    /// The threshold that [`Flow::is_anomaly`] uses, if the file has one.
    pub fn threshold(&self) -> Option<Threshold> {
        self.model.threshold()
    }

    /// Share of normal rows that score `score` or more, at most ([`Calibration::p_value`]).
    pub fn p_value(&self, score: f32) -> Result<f32, Error> {
        self.model.p_value(score)
    }

    /// The score that at most a share `rate` of normal rows exceed ([`Calibration::threshold_at`]).
    pub fn threshold_at(&self, rate: f32) -> Result<f32, Error> {
        self.model.threshold_at(rate)
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

    /// The flow given a context, which its density is conditioned on: the same calls as those of a flow
    /// without one.
    pub fn given<'a>(&'a self, context: &'a [f32; C]) -> Given<'a, Self> {
        Given { of: self, context }
    }

    /// Computes the file's self-test vectors on this core and compares their bits with the
    /// host's. Returns how many there are.
    pub fn self_test(&self) -> Result<usize, Error> {
        self.model.self_test(&mut Memory::<D, H, C>::new().scratch())
    }
}

impl<'m, const D: usize, const H: usize, M: Math, const C: usize> Given<'_, Flow<'m, D, H, M, C>> {
    fn model(&self) -> Given<'_, Model<'m, M>> {
        Given { of: &self.of.model, context: self.context }
    }

    /// Natural logarithm of the density at `x`, in nats and raw units.
    pub fn log_density(self, x: &[f32; D]) -> Result<f32, Error> {
        self.model().log_density(x, &mut Memory::<D, H, C>::new().scratch())
    }

    /// The anomaly score, which grows with abnormality ([`Score`](crate::Score)).
    pub fn score(self, x: &[f32; D]) -> Result<f32, Error> {
        self.model().score(x, &mut Memory::<D, H, C>::new().scratch())
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(self, x: &[f32; D]) -> Result<bool, Error> {
        self.model().is_anomaly(x, &mut Memory::<D, H, C>::new().scratch())
    }

    /// Whether the score of `x` lies above the threshold for a false-alarm rate of `rate`.
    pub fn is_anomaly_at(self, x: &[f32; D], rate: f32) -> Result<bool, Error> {
        self.model().is_anomaly_at(x, rate, &mut Memory::<D, H, C>::new().scratch())
    }

    /// What the value of each feature adds to the score of `x`, 0 or more in the score's unit
    /// ([`mod@crate::attribution`]): ask after an alarm, it takes many scores.
    pub fn attribute(self, x: &[f32; D]) -> Result<[f32; D], Error> {
        let (mut row, mut attributions) = (*x, [0.0; D]);
        let mut memory = Memory::<D, H, C>::new();
        self.model().attribute(&mut row, &mut attributions, &mut memory.scratch())?;
        Ok(attributions)
    }

    /// x to z. Returns z and log |det dz/dx|.
    pub fn inverse(self, x: &[f32; D]) -> Result<([f32; D], f32), Error> {
        let mut row = *x;
        let mut memory = Memory::<D, H, C>::new();
        let log_det_jacobian = self.model().inverse(&mut row, &mut memory.scratch())?;
        Ok((row, log_det_jacobian))
    }

    /// z to x. Returns x and log |det dx/dz|.
    pub fn forward(self, z: &[f32; D]) -> Result<([f32; D], f32), Error> {
        let mut row = *z;
        let mut memory = Memory::<D, H, C>::new();
        let log_det_jacobian = self.model().forward(&mut row, &mut memory.scratch())?;
        Ok((row, log_det_jacobian))
    }

    /// A draw from the model; `temperature` scales the base's standard deviation, 1 for the
    /// model's own density.
    pub fn sample<R: Rng>(self, random: &mut R, temperature: f32) -> Result<[f32; D], Error> {
        let mut x = [0.0; D];
        let mut memory = Memory::<D, H, C>::new();
        self.model().sample(random, temperature, &mut x, &mut memory.scratch())?;
        Ok(x)
    }
}

/// Embeds a model file, aligned as [`Flow::from_bytes`] needs it; the path is relative to the
/// source file, as for [`include_bytes!`].
#[macro_export]
macro_rules! include_model {
    ($path:expr $(,)?) => {{
        #[repr(C, align(4))]
        struct Aligned<T: ?Sized>(T);
        static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &MODEL.0 as &'static [u8]
    }};
}
