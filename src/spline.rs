//! The monotone rational-quadratic spline (Durkan et al. 2019, "Neural Spline Flows", section 3.1
//! and appendix A).
//!
//! Within +-bound the map x = g(z) runs through nine knots; between two knots it is a quotient
//! of quadratics, with the slopes of the knots at both ends. Beyond the bound it is the identity,
//! so the outer knots lie at +-bound with slope 1. The parameters of one feature are three
//! blocks: eight raw widths of the bins (along z), eight raw heights (along x), and seven raw
//! slopes of the inner knots; the last row is not used.
//!
//! widths = 2 bound (m + (1 - 8 m) p(raw) / sum of all p(raw)), m = [`SMALLEST`]; heights alike, with
//! p(r) = 1/1000 + (1 + r/4)^4; slope = (1 + r/4)^4 where r >= 0, else 1 / (1 - r/4)^4, with r the soft
//! clip of raw to +-[`CLIP`]. All-zero parameters are the identity.
//!
//! The paper takes a softmax and a softplus for what must be positive, whose eighteen exponentials would
//! be most of what a value costs. Fourth powers are near exp(r) around 0 too, and only products; a size
//! may reach its floor and come back.
//!
//! The spline of a periodic feature is circular (Rezende et al. 2020, "Normalizing Flows on Tori
//! and Spheres", section 2.1.2): it covers one period, its bound is 1, and the last row is the raw
//! slope at its outer knots, which are one point of the circle. Half a turn follows it,
//! x = wrap(g(z) + 1), so that the outer knots of the next one, which stay where they are, lie
//! opposite.

use crate::direction::Direction;
use crate::kernel::{Block, ROWS};
use crate::math::{LIMIT, Math, bounded, soft_clip};
use crate::periodic::wrap;

/// Bins, one a row of a block.
const BINS: usize = ROWS;

/// Smallest width or height of a bin, as a share of all.
pub const SMALLEST: f32 = 1e-3;

/// Smallest p(r): a sum of them is not 0.
pub const SHARE: f32 = 1e-3;

/// Smallest sum of p(r) among which may be that of a magnitude beyond [`LIMIT`].
const MOST: f32 = fourth_power(LIMIT / 4.0);

/// Bound of a knot's raw slope; the slope itself lies between 1/150 and 150.
pub const CLIP: f32 = 10.0;

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

/// The mapped value, and the slope dx/dz there, between 1e-9 and 1e4; without a bound, on a circle.
#[inline(never)]
pub(crate) fn apply<M: Math>(
    direction: Direction,
    parameters: &[Block; Spline::BLOCKS],
    bound: Option<f32>,
    value: f32,
) -> (f32, f32) {
    match (bound, direction) {
        (Some(bound), _) if !(value > -bound && value < bound) => (value, 1.0),
        (Some(_), _) => within::<M>(direction, parameters, bound, value),
        (None, Direction::Forward) => {
            let (x, slope) = within::<M>(direction, parameters, bound, wrap(value));
            (wrap(x + 1.0), slope)
        }
        (None, Direction::Inverse) => {
            let (z, slope) = within::<M>(direction, parameters, bound, wrap(value + 1.0));
            (wrap(z), slope)
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
    Bin::of(direction, parameters, bound, value).apply::<M>(direction, value)
}

impl Bin {
    /// Maps a value that lies in the bin; the slope dx/dz there comes with it.
    pub fn apply<M: Math>(self, direction: Direction, value: f32) -> (f32, f32) {
        let Self { z, x, width, height, slopes: [d0, d1] } = self;
        let s = height / width;
        let curve = d1 + d0 - 2.0 * s;
        // theta is how far into the bin the value lies along z: eq. 29 to 32 for the inverse, of
        // whose two forms of the root the one that subtracts no numbers of one size.
        let theta = within_bin(match direction {
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
        match direction {
            Direction::Forward => {
                let rise = height * (s * theta * theta + d0 * theta * rest) / denominator;
                (bounded(x + rise), slope)
            }
            Direction::Inverse => (bounded(z + theta * width), slope),
        }
    }

    /// The bin that `value` lies in, on the side that `direction` starts from.
    fn of(
        direction: Direction,
        [widths, heights, slopes]: &[Block; Spline::BLOCKS],
        bound: Option<f32>,
        value: f32,
    ) -> Self {
        let mut raws = *slopes;
        // The outer knots continue the identity, whose raw slope is 0, or each other.
        if bound.is_some() {
            raws[BINS - 1] = 0.0;
        }
        let bound = bound.unwrap_or(1.0);
        let (widths, heights) = (sizes(widths, bound), sizes(heights, bound));
        let (known, other) = match direction {
            Direction::Forward => (&widths, &heights),
            Direction::Inverse => (&heights, &widths),
        };
        let (mut bin, mut start) = (0, -bound);
        for size in &known[..BINS - 1] {
            let end = start + size;
            if value < end {
                break;
            }
            (bin, start) = (bin + 1, end);
        }
        let mut other_start = -bound;
        for size in other.iter().take(bin) {
            other_start += size;
        }
        let (z, x) = match direction {
            Direction::Forward => (start, other_start),
            Direction::Inverse => (other_start, start),
        };
        // The knot in front of the first bin is the one behind the last.
        let slopes = [slope(raws[(bin + BINS - 1) % BINS]), slope(raws[bin % BINS])];
        Self { z, x, width: widths[bin % BINS], height: heights[bin % BINS], slopes }
    }
}

/// The bins' sizes along one side, which add up to 2 bound.
fn sizes(raws: &Block, bound: f32) -> Block {
    // One comparison tells that no raw size is far out, and none of a trained network is.
    let (shares, sum) = shares(raws);
    if sum < MOST { scaled(shares, sum, bound) } else { sizes_of_far(raws, bound) }
}

/// The same of raw sizes that would overflow.
#[cold]
#[inline(never)]
fn sizes_of_far(raws: &Block, bound: f32) -> Block {
    let (shares, sum) = shares(&raws.map(bounded));
    scaled(shares, sum, bound)
}

/// p of each raw size, and their sum. Spelled out, as below, so that all stay in registers.
#[inline(always)]
fn shares([a, b, c, d, e, f, g, h]: &Block) -> (Block, f32) {
    let share = |raw: &f32| SHARE + fourth_power(1.0 + 0.25 * raw);
    let [a, b, c, d] = [share(a), share(b), share(c), share(d)];
    let [e, f, g, h] = [share(e), share(f), share(g), share(h)];
    ([a, b, c, d, e, f, g, h], ((a + b) + (c + d)) + ((e + f) + (g + h)))
}

/// Shares, made to add up to 2 bound.
#[inline(always)]
fn scaled([a, b, c, d, e, f, g, h]: Block, sum: f32, bound: f32) -> Block {
    let smallest = 2.0 * bound * SMALLEST;
    let factor = 2.0 * bound * (1.0 - BINS as f32 * SMALLEST) / sum;
    let size = |share| smallest + factor * share;
    [size(a), size(b), size(c), size(d), size(e), size(f), size(g), size(h)]
}

/// The slope of a knot.
fn slope(raw: f32) -> f32 {
    let raw = soft_clip(raw, CLIP);
    let power = fourth_power(1.0 + 0.25 * raw.abs());
    if raw < 0.0 { 1.0 / power } else { power }
}

#[inline(always)]
const fn fourth_power(x: f32) -> f32 {
    let square = x * x;
    square * square
}

/// x held inside 0..=1; NaN becomes 0.
fn within_bin(x: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    if x < 1.0 { x } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Libm;

    /// What a network may say, and what none does.
    fn raws() -> impl Strategy<Value = Block> {
        let raw = prop_oneof![-20f32..20.0, Just(-4.0), -3e6f32..3e6, Just(1e31), Just(-1e31)];
        prop::array::uniform8(raw)
    }

    proptest! {
        #[test]
        fn bins_fill_the_bound(raws in raws(), bound in 0.5f32..1024.0) {
            let sizes = sizes(&raws, bound);
            let sum: f32 = sizes.iter().sum();
            prop_assert!((sum / (2.0 * bound) - 1.0).abs() < 1e-5, "{sizes:?}");
            let smallest = 2.0 * bound * SMALLEST;
            prop_assert!(sizes.iter().all(|size| *size >= smallest), "{sizes:?}");
        }

        #[test]
        fn four_slopes_multiply_to_a_normal_number(
            parameters in prop::array::uniform3(raws()),
            value in -1f32..1.0,
            bound in prop_oneof![Just(None), Just(Some(1.0))],
        ) {
            for direction in [Direction::Forward, Direction::Inverse] {
                let (mapped, slope) = apply::<Libm>(direction, &parameters, bound, value);
                prop_assert!(mapped.abs() <= 1.0 + 1e-6, "{mapped}");
                prop_assert!((1e-9..1e4).contains(&slope), "{slope}");
            }
        }
    }
}
