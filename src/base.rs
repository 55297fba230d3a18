//! Base densities: what the row is once every bijection is undone.

use rand_core::Rng;

use crate::Error;
use crate::math::{Math, bounded};

/// ln(2 pi) / 2.
const HALF_LN_TWO_PI: f32 = 0.918_938_5;

/// Pairs of draws after which a generator counts as stuck: a sound one gets that far once in
/// 10^42 times.
const MAX_DRAWS: usize = 64;

/// The standard normal density N(0, I) of a row.
///
/// log N(z) = -1/2 sum z_i^2 - D/2 ln(2 pi), summed in the order of the features.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StandardNormal;

impl StandardNormal {
    /// Its number in a file.
    pub const KIND: u32 = 1;

    /// Natural logarithm of the density at `z`.
    pub fn log_density(self, z: &[f32]) -> f32 {
        let mut squares = 0.0;
        for z in z {
            squares += z * z;
        }
        -0.5 * squares - z.len() as f32 * HALF_LN_TWO_PI
    }

    /// Fills `z` with draws of standard deviation `temperature`, two at a time by the polar
    /// method (Marsaglia and Bray 1964), which needs neither tables nor double precision.
    #[inline(never)]
    pub fn sample<M: Math, R: Rng>(
        self,
        random: &mut R,
        temperature: f32,
        z: &mut [f32],
    ) -> Result<(), Error> {
        for pair in z.chunks_mut(2) {
            let (u, v, square) = (0..MAX_DRAWS)
                .map(|_| {
                    let (u, v) = (symmetric_uniform(random), symmetric_uniform(random));
                    (u, v, u * u + v * v)
                })
                .find(|(_, _, square)| *square > 0.0 && *square < 1.0)
                .ok_or(Error::RandomSource)?;
            let radius = temperature * M::sqrt(-2.0 * M::ln(square) / square);
            for (z, direction) in pair.iter_mut().zip([u, v]) {
                *z = bounded(direction * radius);
            }
        }
        Ok(())
    }
}

/// Uniform in (-1, 1), on the odd multiples of 2^-24, so never 0.
fn symmetric_uniform<R: Rng>(random: &mut R) -> f32 {
    let steps = (random.next_u32() >> 8) as i32 - (1 << 23);
    (steps as f32 + 0.5) / (1u32 << 23) as f32
}
