//! The memory of one call, in the sizes that a model needs.

use crate::kernel::Units;
use crate::network::MAX_HIDDEN;

/// Rows that a call needs besides the one that it maps: one, or two where a network sees two values
/// of a periodic feature.
pub(crate) const SPARE: usize = if cfg!(feature = "spline") { 2 } else { 1 };

/// Memory for a [`Model`](crate::Model)'s calls; [`Flow`](crate::Flow) keeps its own on the stack.
#[derive(Debug)]
pub struct Scratch<'s> {
    rows: [&'s mut [f32]; 2],
    context: &'s mut [f32],
    units: [Units<'s>; MAX_HIDDEN],
}

impl<'s> Scratch<'s> {
    /// Of a model's D features, C context values and width: the first of `rows` holds D floats, the
    /// second 2 D, without the Cargo feature `spline` D; `context` holds C, and each of `units` the
    /// width.
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
    pub(crate) fn fit(
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
