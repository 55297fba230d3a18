//! The monotone rational-quadratic spline (Durkan et al. 2019, "Neural Spline Flows", section 3.1
//! and appendix A).
//!
//! Within +-bound the map x = g(z) runs through nine knots; between two knots it is a quotient
//! of quadratics, with the slopes of the knots at both ends. Beyond the bound it is the identity,
//! so the outer knots lie at +-bound with slope 1. The parameters of one feature are three
//! blocks: eight raw widths of the bins (along z), eight raw heights (along x), and seven raw
//! slopes of the inner knots; the last row is not used.
//!
//! widths = 2 bound (m + (1 - 8 m) softmax(raw)), m = [`SMALLEST`]; heights alike;
//! slope = exp(soft clip of raw to +-[`CLIP`]). All-zero parameters are the identity.
//!
//! The spline of a periodic feature is circular (Rezende et al. 2020, "Normalizing Flows on Tori
//! and Spheres", section 2.1.2): it covers one period, its bound is 1, and the last row is the raw
//! slope at its outer knots, which are one point of the circle. Half a turn follows it,
//! x = wrap(g(z) + 1), so that the outer knots of the next one, which stay where they are, lie
//! opposite.

use crate::direction::Direction;
use crate::kernel::{Block, ROWS};
use crate::math::{Math, bounded, soft_clip};
use crate::periodic::wrap;

/// Bins, one a row of a block.
const BINS: usize = ROWS;

/// Smallest width or height of a bin, as a share of all.
pub const SMALLEST: f32 = 1e-3;

/// Bound of a knot's log-slope.
pub const CLIP: f32 = 5.0;

/// Sizes of a spline's parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spline;

impl Spline {
    /// Blocks of one feature's parameters: widths, heights, slopes.
    pub const BLOCKS: usize = 3;
    /// Parameters in use.
    pub const PARAMETERS: usize = 3 * BINS - 1;
    /// The same of a circular one.
    pub const CIRCULAR_PARAMETERS: usize = 3 * BINS;

    /// Whether a spline may have this bound.
    pub fn is_bound(bound: f32) -> bool {
        (0.5..=1024.0).contains(&bound)
    }
}

/// One bin: from knot (z, x) on, its width, its height and the slopes dx/dz at its ends.
pub(crate) struct Bin {
    pub z: f32,
    pub x: f32,
    pub width: f32,
    pub height: f32,
    pub slopes: [f32; 2],
}

/// The mapped value, and the logarithm of the slope in that direction; without a bound, on a
/// circle.
#[inline(never)]
pub(crate) fn apply<M: Math>(
    direction: Direction,
    parameters: &[Block; Spline::BLOCKS],
    bound: Option<f32>,
    value: f32,
) -> (f32, f32) {
    match (bound, direction) {
        (Some(bound), _) if !(value > -bound && value < bound) => (value, 0.0),
        (Some(_), _) => within::<M>(direction, parameters, bound, value),
        (None, Direction::Forward) => {
            let (x, log_slope) = within::<M>(direction, parameters, bound, wrap(value));
            (wrap(x + 1.0), log_slope)
        }
        (None, Direction::Inverse) => {
            let (z, log_slope) = within::<M>(direction, parameters, bound, wrap(value + 1.0));
            (wrap(z), log_slope)
        }
    }
}

/// The same of a value between the outer knots, without the half turn.
#[inline(never)]
fn within<M: Math>(
    direction: Direction,
    parameters: &[Block; Spline::BLOCKS],
    bound: Option<f32>,
    value: f32,
) -> (f32, f32) {
    Bin::of::<M>(direction, parameters, bound, value).apply::<M>(direction, value)
}

impl Bin {
    /// Maps a value that lies in the bin.
    pub fn apply<M: Math>(self, direction: Direction, value: f32) -> (f32, f32) {
        let Self { z, x, width, height, slopes: [d0, d1] } = self;
        let s = height / width;
        let curve = d1 + d0 - 2.0 * s;
        // theta is how far into the bin the value lies along z: eq. 29 to 32 for the inverse, of
        // whose two forms of the root the one that subtracts no numbers of one size.
        let theta = share(match direction {
            Direction::Forward => (value - z) / width,
            Direction::Inverse => {
                let y = value - x;
                let a = height * (s - d0) + y * curve;
                let b = height * d0 - y * curve;
                let c = -s * y;
                let discriminant = b * b - 4.0 * a * c;
                let root = if discriminant > 0.0 { M::sqrt(discriminant) } else { 0.0 };
                if b < 0.0 { (root - b) / (2.0 * a) } else { 2.0 * c / (-b - root) }
            }
        });
        let rest = 1.0 - theta;
        let denominator = s + curve * theta * rest;
        let slope = s * s * (d1 * theta * theta + 2.0 * s * theta * rest + d0 * rest * rest)
            / (denominator * denominator);
        let log_slope = M::ln(slope);
        match direction {
            Direction::Forward => {
                let rise = height * (s * theta * theta + d0 * theta * rest) / denominator;
                (bounded(x + rise), log_slope)
            }
            Direction::Inverse => (bounded(z + theta * width), -log_slope),
        }
    }

    /// The bin that `value` lies in, on the side that `direction` starts from.
    fn of<M: Math>(
        direction: Direction,
        [widths, heights, slopes]: &[Block; Spline::BLOCKS],
        bound: Option<f32>,
        value: f32,
    ) -> Self {
        let [inner @ .., last] = slopes;
        // The outer knots continue the identity, or each other.
        let outer = if bound.is_none() { Some(last) } else { None };
        let bound = bound.unwrap_or(1.0);
        let widths = sizes::<M>(widths, bound);
        let heights = sizes::<M>(heights, bound);
        let (mut z, mut x) = (-bound, -bound);
        let mut raws = [outer, outer];
        let mut size = (0.0, 0.0);
        let ends = inner.iter().map(Some).chain([outer]);
        for (left, ((width, height), raw)) in
            (0..BINS).rev().zip(widths.iter().zip(&heights).zip(ends))
        {
            let [_, before] = raws;
            raws = [before, raw];
            size = (*width, *height);
            let end = match direction {
                Direction::Forward => z + width,
                Direction::Inverse => x + height,
            };
            if value < end || left == 0 {
                break;
            }
            (z, x) = (z + width, x + height);
        }
        let slope = |raw: Option<&f32>| raw.map_or(1.0, |raw| M::exp(soft_clip(*raw, CLIP)));
        let [left, right] = raws;
        let (width, height) = size;
        Self { z, x, width, height, slopes: [slope(left), slope(right)] }
    }
}

/// The bins' sizes along one side, which add up to 2 bound.
fn sizes<M: Math>(raws: &Block, bound: f32) -> Block {
    let raws = raws.map(bounded);
    let largest = raws.iter().fold(raws[0], |a, b| if *b > a { *b } else { a });
    let shares = raws.map(|raw| M::exp(raw - largest));
    let mut sum = 0.0;
    for share in shares {
        sum += share;
    }
    let factor = (1.0 - BINS as f32 * SMALLEST) / sum;
    shares.map(|share| 2.0 * bound * (SMALLEST + factor * share))
}

/// x held inside 0..=1; NaN becomes 0.
fn share(x: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    if x < 1.0 { x } else { 1.0 }
}
