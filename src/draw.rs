//! Draws that need no more than uniform numbers.

use rand_core::Rng;

use crate::math::Math;

/// One of several by its share, given ln of each share; none where there are none.
pub(crate) fn draw<M: Math, R: Rng, T>(
    shares: impl Iterator<Item = (f32, T)>,
    random: &mut R,
) -> Option<T> {
    let mut left = 0.5 + 0.5 * symmetric_uniform(random);
    let mut chosen = None;
    for (log_weight, one) in shares {
        chosen = Some(one);
        left -= M::exp(log_weight.max(-80.0));
        if left < 0.0 {
            break;
        }
    }
    chosen
}

/// Uniform in (-1, 1), on the odd multiples of 2^-24, so never 0.
pub(crate) fn symmetric_uniform<R: Rng>(random: &mut R) -> f32 {
    let steps = (random.next_u32() >> 8) as i32 - (1 << 23);
    (steps as f32 + 0.5) / (1u32 << 23) as f32
}
