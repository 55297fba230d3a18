//! The two directions of every map.

/// Which way a map is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// z to x.
    Forward,
    /// x to z.
    Inverse,
}

impl Direction {
    /// ln of the slope in this direction, given that of dx/dz.
    pub fn log_slope(self, forward: f32) -> f32 {
        match self {
            Self::Forward => forward,
            Self::Inverse => -forward,
        }
    }
}
