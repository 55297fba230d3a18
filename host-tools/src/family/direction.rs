//! The twin of `flowlet::direction`.

/// Which way a map is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// z to x.
    Forward,
    /// x to z.
    Inverse,
}
