//! The memory of one call of a latent model.

use crate::kernel::Units;
use crate::latent::MAX_SUMMARY;
use crate::network::{self, MAX_HIDDEN};
use crate::scratch::SPARE;

/// Rows of L values: the posterior's means and deviations, the latent values, and what layers need
/// besides them.
pub(crate) const LATENT_ROWS: usize = 3 + SPARE;

/// Memory for a [`LatentModel`](crate::LatentModel)'s calls; [`Latent`](crate::Latent) keeps its own
/// on the stack.
#[derive(Debug)]
pub struct LatentScratch<'s> {
    row: &'s mut [f32],
    context: &'s mut [f32],
    latents: &'s mut [f32],
    summary: [f32; MAX_SUMMARY],
    units: [Units<'s>; MAX_HIDDEN],
}

/// The parts of a scratch, in the lengths of a model.
pub(crate) struct Fitted<'w> {
    /// D values, standardised.
    pub row: &'w mut [f32],
    /// C values, standardised.
    pub context: &'w mut [f32],
    /// The posterior's means, L.
    pub mean: &'w mut [f32],
    /// The posterior's deviations, L.
    pub deviation: &'w mut [f32],
    /// Latent values, L.
    pub z: &'w mut [f32],
    /// [`SPARE`] times L.
    pub spare: &'w mut [f32],
    /// H values.
    pub summary: &'w mut [f32],
    pub network: network::Scratch<'w>,
}

impl<'s> LatentScratch<'s> {
    /// Of a model's D features, C context values, L latent values and width: `row` holds D floats,
    /// `context` C, `latents` 5 L, and each of `units` the width.
    pub fn new(
        row: &'s mut [f32],
        context: &'s mut [f32],
        latents: &'s mut [f32],
        units: [Units<'s>; MAX_HIDDEN],
    ) -> Self {
        Self { row, context, latents, summary: [0.0; MAX_SUMMARY], units }
    }

    /// Bytes for a model of `features`, `context`, `latents` and `width`.
    pub const fn bytes(features: usize, context: usize, latents: usize, width: usize) -> usize {
        (features + context + LATENT_ROWS * latents + MAX_SUMMARY) * size_of::<f32>()
            + MAX_HIDDEN * width * (size_of::<f32>() + size_of::<u16>())
    }

    /// Every part, shortened to what a model uses, if it is that long.
    #[inline(always)]
    pub(crate) fn fit(
        &mut self,
        [features, context, latents, summary, width]: [usize; 5],
    ) -> Option<Fitted<'_>> {
        let [a, b, c] = &mut self.units;
        let (mean, rest) = self.latents.split_at_mut_checked(latents)?;
        let (deviation, rest) = rest.split_at_mut_checked(latents)?;
        let (z, rest) = rest.split_at_mut_checked(latents)?;
        Some(Fitted {
            row: self.row.get_mut(..features)?,
            context: self.context.get_mut(..context)?,
            mean,
            deviation,
            z,
            spare: rest.get_mut(..SPARE * latents)?,
            summary: self.summary.get_mut(..summary)?,
            network: [a.first(width)?, b.first(width)?, c.first(width)?],
        })
    }
}
