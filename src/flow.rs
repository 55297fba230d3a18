//! A model with its sizes in its type: what a firmware holds.

use rand_core::Rng;

use crate::kernel::Units;
use crate::math::{Libm, Math};
use crate::model::{Model, SPARE, Scratch};
use crate::{Error, MAX_HIDDEN, Threshold};

/// A normalizing flow of exactly `D` features with room for `H` hidden units a layer.
///
/// It borrows the model file, is a few words large, and may be copied and shared. A call's
/// memory lies on the stack and has a known size, [`Flow::SCRATCH_BYTES`]. Another model of D
/// features fits without a rebuild as long as its layers are no wider than `H`, a multiple of 8.
///
/// A model of p(x | context) takes the context's size as `C`, and its methods end in `_given`.
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

impl<'m, const D: usize, const H: usize, M: Math> Flow<'m, D, H, M> {
    /// Natural logarithm of the density at `x`, in nats and raw units.
    pub fn log_density(&self, x: &[f32; D]) -> Result<f32, Error> {
        self.log_density_given(x, &[])
    }

    /// The anomaly score: minus the log-density, so that it grows with abnormality.
    pub fn score(&self, x: &[f32; D]) -> Result<f32, Error> {
        self.score_given(x, &[])
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(&self, x: &[f32; D]) -> Result<bool, Error> {
        self.is_anomaly_given(x, &[])
    }

    /// x to z. Returns z and log |det dz/dx|.
    pub fn inverse(&self, x: &[f32; D]) -> Result<([f32; D], f32), Error> {
        self.inverse_given(x, &[])
    }

    /// z to x. Returns x and log |det dx/dz|.
    pub fn forward(&self, z: &[f32; D]) -> Result<([f32; D], f32), Error> {
        self.forward_given(z, &[])
    }

    /// A draw from the model; `temperature` scales the base's standard deviation, 1 for the
    /// model's own density.
    pub fn sample<R: Rng>(&self, random: &mut R, temperature: f32) -> Result<[f32; D], Error> {
        self.sample_given(random, temperature, &[])
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

    /// The threshold in the file, if it has one.
    pub fn threshold(&self) -> Option<Threshold> {
        self.model.threshold()
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

    /// Natural logarithm of the conditional density p(x | context), in nats and raw units.
    pub fn log_density_given(&self, x: &[f32; D], context: &[f32; C]) -> Result<f32, Error> {
        self.model.log_density_given(x, context, &mut Memory::<D, H, C>::new().scratch())
    }

    /// The anomaly score given a context: minus the log-density.
    pub fn score_given(&self, x: &[f32; D], context: &[f32; C]) -> Result<f32, Error> {
        self.model.score_given(x, context, &mut Memory::<D, H, C>::new().scratch())
    }

    /// Whether the score given a context lies above the threshold in the file.
    pub fn is_anomaly_given(&self, x: &[f32; D], context: &[f32; C]) -> Result<bool, Error> {
        self.model.is_anomaly_given(x, context, &mut Memory::<D, H, C>::new().scratch())
    }

    /// x to z, given a context. Returns z and log |det dz/dx|.
    pub fn inverse_given(
        &self,
        x: &[f32; D],
        context: &[f32; C],
    ) -> Result<([f32; D], f32), Error> {
        let mut row = *x;
        let scratch = &mut Memory::<D, H, C>::new();
        let log_det_jacobian =
            self.model.inverse_given(&mut row, context, &mut scratch.scratch())?;
        Ok((row, log_det_jacobian))
    }

    /// z to x, given a context. Returns x and log |det dx/dz|.
    pub fn forward_given(
        &self,
        z: &[f32; D],
        context: &[f32; C],
    ) -> Result<([f32; D], f32), Error> {
        let mut row = *z;
        let scratch = &mut Memory::<D, H, C>::new();
        let log_det_jacobian =
            self.model.forward_given(&mut row, context, &mut scratch.scratch())?;
        Ok((row, log_det_jacobian))
    }

    /// A draw from p(x | context); `temperature` scales the base's standard deviation.
    pub fn sample_given<R: Rng>(
        &self,
        random: &mut R,
        temperature: f32,
        context: &[f32; C],
    ) -> Result<[f32; D], Error> {
        let mut x = [0.0; D];
        let scratch = &mut Memory::<D, H, C>::new();
        self.model.sample_given(random, temperature, &mut x, context, &mut scratch.scratch())?;
        Ok(x)
    }

    /// Computes the file's self-test vectors on this core and compares their bits with the
    /// host's. Returns how many there are.
    pub fn self_test(&self) -> Result<usize, Error> {
        self.model.self_test(&mut Memory::<D, H, C>::new().scratch())
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
