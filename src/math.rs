//! The elementary functions that a flow needs, as a type parameter.
//!
//! | f32 against f64 | [`Libm`] | `Micromath` |
//! |---|---|---|
//! | exp, -87..88, largest relative error | 7.2e-8 | 2.4e-3 |
//! | ln, 1e-3..1e3, largest absolute error | 2.6e-7 | 0.118 |
//! | sqrt, largest relative error | 6.0e-8 | 6.1e-2 |
//! | Cortex-M4 cycles of exp / ln / sqrt | 101 / 97 / 60 | 128 / 78 / 19 |
//!
//! `cargo test --test math --all-features` measures the errors again.

/// Elementary functions in f32. Every implementation gives the same bits on every core.
pub trait Math: Copy + 'static {
    /// Its number in a model file: a threshold holds only for the arithmetic that it was
    /// calibrated with, so a file for another `Math` is refused.
    const ID: u32;
    /// e to the power of x; finite for every |x| <= 80.
    fn exp(x: f32) -> f32;
    /// Natural logarithm of a positive x.
    fn ln(x: f32) -> f32;
    /// Square root of a non-negative x.
    fn sqrt(x: f32) -> f32;
}

/// The `libm` crate: within 1 ulp for exp, ln and sqrt, the same bits on every core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Libm;

impl Math for Libm {
    const ID: u32 = 1;
    fn exp(x: f32) -> f32 {
        libm::expf(x)
    }
    fn ln(x: f32) -> f32 {
        libm::logf(x)
    }
    fn sqrt(x: f32) -> f32 {
        libm::sqrtf(x)
    }
}

/// The `micromath` crate: rough (the table above), and on a Cortex-M4 with an FPU slower than
/// [`Libm`] for a log-density, which only takes exp. It may pay on a core without an FPU.
#[cfg(feature = "micromath")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Micromath;

#[cfg(feature = "micromath")]
impl Math for Micromath {
    const ID: u32 = 2;
    fn exp(x: f32) -> f32 {
        // micromath's exp is NaN from 88.73 on, and panics there in debug builds.
        let x = if x < 87.0 { x } else { 87.0 };
        micromath::F32(if x > -87.0 { x } else { -87.0 }).exp().0
    }
    fn ln(x: f32) -> f32 {
        // and its ln of zero or less is a number.
        micromath::F32(if x > f32::MIN_POSITIVE { x } else { f32::MIN_POSITIVE }).ln().0
    }
    fn sqrt(x: f32) -> f32 {
        if x > 0.0 { micromath::F32(x).sqrt().0 } else { 0.0 }
    }
}

/// Largest magnitude that a value has between two layers. Standardised values and the outputs
/// of a network are held inside, so that no infinity and no NaN arises on the way.
pub const LIMIT: f32 = (1u32 << 20) as f32;

/// x held inside -[`LIMIT`]..=[`LIMIT`]; NaN becomes [`LIMIT`].
pub(crate) fn bounded(x: f32) -> f32 {
    if x.abs() < LIMIT { x } else { limit(x) }
}

/// Of its own, so that what is always tested is one comparison.
#[cold]
#[inline(never)]
fn limit(x: f32) -> f32 {
    if x <= -LIMIT { -LIMIT } else { LIMIT }
}

/// r, held inside +-bound by a soft clip.
pub(crate) fn soft_clip(raw: f32, bound: f32) -> f32 {
    let raw = bounded(raw);
    bound * raw / (bound + raw.abs())
}

/// ln of a product, factor by factor, one logarithm for four: four of them multiply to a normal number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogProduct {
    sum: f32,
    /// Of the last factors, fewer than four.
    product: f32,
    count: usize,
}

impl Default for LogProduct {
    fn default() -> Self {
        Self { sum: 0.0, product: 1.0, count: 0 }
    }
}

impl LogProduct {
    /// Multiplies by a positive factor.
    #[inline(always)]
    pub fn multiply<M: Math>(&mut self, factor: f32) {
        self.product *= factor;
        self.count += 1;
        if self.count == 4 {
            *self = Self { sum: self.sum + M::ln(self.product), ..Self::default() };
        }
    }

    /// ln of the product of them all.
    pub fn value<M: Math>(self) -> f32 {
        if self.count > 0 { self.sum + M::ln(self.product) } else { self.sum }
    }
}

/// ln of a sum of exponentials, term by term, without an exponential that overflows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSumExp {
    largest: f32,
    /// Relative to the largest term.
    sum: f32,
}

impl Default for LogSumExp {
    fn default() -> Self {
        Self { largest: f32::MIN, sum: 0.0 }
    }
}

impl LogSumExp {
    /// Adds exp(term).
    #[inline(always)]
    pub fn add<M: Math>(&mut self, term: f32) {
        if term > self.largest {
            self.sum = self.sum * exp_of_difference::<M>(self.largest, term) + 1.0;
            self.largest = term;
        } else {
            self.sum += exp_of_difference::<M>(term, self.largest);
        }
    }

    /// ln of the sum of one term or more.
    pub fn value<M: Math>(self) -> f32 {
        self.largest + M::ln(self.sum)
    }
}

/// exp(small - large), 0 where that is beyond f32.
fn exp_of_difference<M: Math>(small: f32, large: f32) -> f32 {
    let difference = small - large;
    if difference > -80.0 { M::exp(difference) } else { 0.0 }
}
