//! Marginal transforms: a fixed monotone map of each feature for itself, fitted to its quantiles,
//! so that a flow behind it starts from features of a normal shape.
//!
//! x = g(z) runs through knots (z, x) with a slope at each; between two knots it is the
//! rational quadratic of [`crate::spline`] (Gregory and Delbourgo 1982, "Piecewise rational
//! quadratic interpolation to monotonic data"), so the density has no jumps; beyond the outer knots
//! it goes on in a straight line. The log-determinant is the sum of the log-slopes.
//!
//! In a file, the settings are: the number of knots of a feature, and the features that are
//! transformed as the bits of two words, the lower first. Parameters: for each of these features
//! its knots, ascending, each x, z and the slope dx/dz.

use super::{Bijection, Work};
use crate::Error;
use crate::direction::Direction;
use crate::math::{Math, bounded};
use crate::record::{Record, Sizes};
use crate::spline::Bin;

/// x, z and dx/dz.
type Knot = [f32; 3];

/// Most knots of a feature.
const MAX_KNOTS: usize = 1 << 10;

/// Smallest slope of a knot and smallest step from one to the next; with the largest of a
/// parameter, the quotients of a rational quadratic stay finite and above 0.
const SMALLEST: f32 = 1.0 / (1u32 << 16) as f32;

/// The marginal transforms of a row, borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Marginal<'m> {
    /// Bit i: feature i is transformed.
    transformed: u64,
    /// Knots of one feature.
    count: usize,
    knots: &'m [Knot],
}

impl Marginal<'_> {
    /// Knots of each transformed feature.
    pub fn knots(&self) -> usize {
        self.count
    }

    /// The features that are transformed.
    pub fn transformed(&self) -> impl Iterator<Item = usize> + use<> {
        let transformed = self.transformed;
        (0..u64::BITS as usize).filter(move |feature| is_set(transformed, *feature))
    }

    /// How many values of `row` lie beyond their outer knots.
    #[cfg(feature = "write")]
    pub(crate) fn beyond(&self, direction: Direction, row: &[f32]) -> usize {
        let values = self.transformed().filter_map(|feature| row.get(feature));
        let own = self.knots.chunks(self.count.max(1)).zip(values);
        own.filter(|(knots, value)| !(1..self.count).contains(&below(direction, knots, **value)))
            .count()
    }

    /// Maps each transformed feature. Returns the sum of the log-slopes.
    #[inline(never)]
    fn apply<M: Math>(&self, direction: Direction, row: &mut [f32]) -> f32 {
        let mut knots = self.knots;
        let mut log_det_jacobian = 0.0;
        for (feature, value) in row.iter_mut().enumerate() {
            if !is_set(self.transformed, feature) {
                continue;
            }
            let Some((own, behind)) = knots.split_at_checked(self.count) else { break };
            let (mapped, log_slope) = map::<M>(direction, own, *value);
            (*value, knots) = (mapped, behind);
            log_det_jacobian += log_slope;
        }
        log_det_jacobian
    }
}

fn is_set(bits: u64, index: usize) -> bool {
    u32::try_from(index)
        .ok()
        .and_then(|index| bits.checked_shr(index))
        .is_some_and(|bits| bits & 1 == 1)
}

fn is_steep([_, _, slope]: &Knot) -> bool {
    *slope >= SMALLEST
}

/// How many of the knots lie at `value` or below it.
fn below(direction: Direction, knots: &[Knot], value: f32) -> usize {
    knots.partition_point(|[x, z, _]| match direction {
        Direction::Forward => *z <= value,
        Direction::Inverse => *x <= value,
    })
}

/// The mapped value, and the logarithm of the slope in that direction.
fn map<M: Math>(direction: Direction, knots: &[Knot], value: f32) -> (f32, f32) {
    let below = below(direction, knots, value);
    let left = below.checked_sub(1).and_then(|left| knots.get(left));
    let (mapped, slope) = match (left, knots.get(below)) {
        (Some([x, z, d0]), Some([x1, z1, d1])) => {
            let bin = Bin { z: *z, x: *x, width: z1 - z, height: x1 - x, slopes: [*d0, *d1] };
            bin.apply::<M>(direction, value)
        }
        (Some([x, z, slope]), None) | (None, Some([x, z, slope])) => match direction {
            Direction::Forward => (bounded((value - z) * slope + x), *slope),
            Direction::Inverse => (bounded((value - x) / slope + z), *slope),
        },
        (None, None) => return (value, 0.0),
    };
    (mapped, direction.log_slope(M::ln(slope)))
}

impl<'m> Bijection<'m> for Marginal<'m> {
    fn new(record: &Record<'m>, _: Sizes, parameters: &'m [f32]) -> Self {
        let (low, high) = (record.word(1) as u64, record.word(2) as u64);
        let transformed = low | high << 32;
        let count = record.word(0);
        let words = count.checked_mul(transformed.count_ones() as usize);
        let (knots, _) = parameters.as_chunks();
        let knots = words.and_then(|words| knots.get(..words)).unwrap_or_default();
        Self { transformed, count, knots }
    }

    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
        record.unused(3..Record::SETTINGS)?;
        if !(2..=MAX_KNOTS).contains(&self.count) {
            return Err(record.shape(0));
        }
        let last = self.transformed().last();
        if last.is_none_or(|last| last >= features) {
            return Err(record.shape(if record.word(2) == 0 { 1 } else { 2 }));
        }
        if self.knots.len() != self.count * self.transformed().count() {
            return Err(record.shape(0));
        }
        let size = size_of::<Knot>() / size_of::<f32>();
        let refuse = |knot| Err(Error::Parameter { layer: record.layer, index: knot * size });
        for (number, own) in self.knots.chunks(self.count.max(1)).enumerate() {
            let first = number * self.count;
            if let Some(knot) = own.iter().position(|knot| !is_steep(knot)) {
                return refuse(first + knot);
            }
            let is_step =
                |([x, z, _], [x1, z1, _]): (&Knot, &Knot)| x1 - x >= SMALLEST && z1 - z >= SMALLEST;
            let mut steps = own.iter().zip(own.iter().skip(1));
            if let Some(knot) = steps.position(|step| !is_step(step)) {
                return refuse(first + knot + 1);
            }
        }
        Ok(self.knots.len() * size)
    }

    fn inverse<M: Math>(&self, row: &mut [f32], _: &mut Work<'_>) -> f32 {
        self.apply::<M>(Direction::Inverse, row)
    }

    fn forward<M: Math>(&self, row: &mut [f32], _: &mut Work<'_>) -> f32 {
        self.apply::<M>(Direction::Forward, row)
    }
}
