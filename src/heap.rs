//! Memory for a model's calls on the heap, for hosts (feature `write`).

use alloc::vec;
use alloc::vec::Vec;

use crate::kernel::Units;
use crate::math::Math;
use crate::model::Model;
use crate::network::MAX_HIDDEN;
use crate::scratch::{SPARE, Scratch};

/// Owns what a [`LatentScratch`](crate::LatentScratch) borrows.
#[cfg(feature = "latent")]
#[derive(Clone, Debug)]
pub struct LatentMemory {
    row: Vec<f32>,
    context: Vec<f32>,
    latents: Vec<f32>,
    values: [Vec<f32>; MAX_HIDDEN],
    numbers: [Vec<u16>; MAX_HIDDEN],
}

#[cfg(feature = "latent")]
impl LatentMemory {
    /// As much as `model` needs.
    pub fn of<M: Math>(model: &crate::LatentModel<M>) -> Self {
        let width = model.width();
        Self {
            row: vec![0.0; model.features()],
            context: vec![0.0; model.context()],
            latents: vec![0.0; crate::latent::LATENT_ROWS * model.latents()],
            values: [(); MAX_HIDDEN].map(|()| vec![0.0; width]),
            numbers: [(); MAX_HIDDEN].map(|()| vec![0; width]),
        }
    }

    /// The memory of one call.
    pub fn scratch(&mut self) -> crate::LatentScratch<'_> {
        let ([a, b, c], [k, l, m]) = (&mut self.values, &mut self.numbers);
        let units = [Units::new(a, k), Units::new(b, l), Units::new(c, m)];
        crate::LatentScratch::new(&mut self.row, &mut self.context, &mut self.latents, units)
    }
}

/// Owns what a [`Scratch`] borrows.
#[derive(Clone, Debug)]
pub struct Memory {
    rows: [Vec<f32>; 2],
    context: Vec<f32>,
    values: [Vec<f32>; MAX_HIDDEN],
    numbers: [Vec<u16>; MAX_HIDDEN],
}

impl Memory {
    /// As much as `model` needs.
    pub fn of<M: Math>(model: &Model<M>) -> Self {
        let (features, width) = (model.features(), model.width());
        Self {
            rows: [1, SPARE].map(|count| vec![0.0; count * features]),
            context: vec![0.0; model.context()],
            values: [(); MAX_HIDDEN].map(|()| vec![0.0; width]),
            numbers: [(); MAX_HIDDEN].map(|()| vec![0; width]),
        }
    }

    /// The memory of one call.
    pub fn scratch(&mut self) -> Scratch<'_> {
        let ([row, spare], [a, b, c]) = (&mut self.rows, &mut self.values);
        let [k, l, m] = &mut self.numbers;
        let units = [Units::new(a, k), Units::new(b, l), Units::new(c, m)];
        Scratch::new([row, spare], &mut self.context, units)
    }
}
