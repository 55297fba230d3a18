//! The two directions of every map.

/// Which way a map is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// z to x.
    Forward,
    /// x to z.
    Inverse,
}
