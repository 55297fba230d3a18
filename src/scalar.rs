//! Scalar maps: what a coupling or an autoregressive layer does to one value, given the
//! parameters that its network computed from other values.

use crate::math::{Math, bounded};

/// The affine map x = z exp(s) + t with a soft-clipped log-scale (Dinh et al. 2017, "Density
/// estimation using Real NVP", eq. 4; the clip is zuko's):
///
/// s = c r / (c + |r|), so that |s| < c whatever the network says, and s = r near 0.
///
/// Both directions return the logarithm of their own slope with the mapped value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine {
    shift: f32,
    log_scale: f32,
}

impl Affine {
    /// From the network's two outputs, the shift t and the raw log-scale r, and the clip c.
    pub fn new(shift: f32, raw: f32, clip: f32) -> Self {
        let raw = bounded(raw);
        Self { shift, log_scale: clip * raw / (clip + raw.abs()) }
    }

    /// z to x, with +s.
    pub fn forward<M: Math>(self, z: f32) -> (f32, f32) {
        (bounded(z * M::exp(self.log_scale) + self.shift), self.log_scale)
    }

    /// x to z, with -s.
    pub fn inverse<M: Math>(self, x: f32) -> (f32, f32) {
        (bounded((x - self.shift) * M::exp(-self.log_scale)), -self.log_scale)
    }
}
