//! Scalar maps: what a coupling or an autoregressive layer does to one value, given the
//! parameters that its network computed from other values.
//!
//! In a file, a layer's setting 6 is the map: 0 = affine, 1 = spline; its setting 1 (f32) is the
//! affine map's clip or the spline's bound. The network's output layer has its rows in blocks of
//! 8, in the order in which the map reads them: an affine map takes the shifts of four features
//! and then their raw log-scales from one block, a spline three blocks for each feature
//! ([`crate::spline`]). Rows beyond the last feature are zero. Settings 7 and 8 are the mask of the
//! periodic features, none with an affine map ([`crate::Periodic`]).

use crate::Error;
use crate::direction::Direction;
use crate::kernel::{Block, ROWS};
use crate::math::{LogProduct, Math, bounded, soft_clip};
use crate::periodic::Periodic;
use crate::record::Record;
use crate::spline::{self, Spline};

/// Features that one block of an affine map's parameters serves.
pub(crate) const GROUP: usize = ROWS / 2;

/// Largest clip: exp(80) and exp(-80) are finite and not subnormal.
const MAX_CLIP: f32 = 80.0;

/// Settings of the clip or bound, and of the mask of periodic features.
const BOUND: usize = 1;
const PERIODIC: usize = ScalarMap::KIND + 1;

/// A network's outputs, computed as they are read, so that no buffer has to hold them all.
pub(crate) trait Outputs {
    /// Computes the next blocks of [`ROWS`] outputs, as many as `out` takes.
    fn read(&mut self, out: &mut [Block]);
}

/// The kind of map, with what all of a layer's maps share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScalarMap {
    /// Shift and scale.
    Affine {
        /// Bound of the log-scale.
        clip: f32,
    },
    /// Monotone rational-quadratic spline.
    Spline {
        /// The spline lies within +-bound; beyond, the map is the identity.
        bound: f32,
    },
}

impl ScalarMap {
    /// Setting of the kind of map.
    pub(crate) const KIND: usize = 6;

    pub(crate) fn read(record: &Record) -> Self {
        let bound = f32::from_bits(record.word(BOUND) as u32);
        match record.word(Self::KIND) {
            0 => Self::Affine { clip: bound },
            _ => Self::Spline { bound },
        }
    }

    /// The features of the row that lie on a circle.
    pub(crate) fn periodic(record: &Record) -> Periodic {
        if cfg!(not(feature = "spline")) {
            return Periodic::default();
        }
        Periodic::new([PERIODIC, PERIODIC + 1].map(|index| record.word(index) as u32))
    }

    pub(crate) fn check(self, record: &Record, features: usize) -> Result<(), Error> {
        if record.word(Self::KIND) > 1 {
            return Err(record.shape(Self::KIND));
        }
        if cfg!(not(feature = "spline")) && record.word(Self::KIND) == 1 {
            return Err(Error::Feature { name: "spline" });
        }
        let used = match self {
            Self::Affine { .. } => PERIODIC,
            Self::Spline { .. } => PERIODIC + 2,
        };
        record.unused(used..Record::SETTINGS)?;
        if let Some(word) = Self::periodic(record).word_beyond(features) {
            return Err(record.shape(PERIODIC + word));
        }
        let usable = match self {
            Self::Affine { clip } => (f32::MIN_POSITIVE..=MAX_CLIP).contains(&clip),
            Self::Spline { bound } => Spline::is_bound(bound),
        };
        if usable { Ok(()) } else { Err(record.shape(BOUND)) }
    }

    /// Its number in a file, and its clip or bound.
    #[cfg(feature = "write")]
    pub(crate) fn settings(self) -> (u32, f32) {
        match self {
            Self::Affine { clip } => (0, clip),
            Self::Spline { bound } => (1, bound),
        }
    }

    /// Parameters of one feature.
    pub const fn parameters(self) -> usize {
        match self {
            Self::Affine { .. } => 2,
            Self::Spline { .. } => Spline::PARAMETERS,
        }
    }

    /// Parameters of one feature in a layer that maps `periodic` ones: one more for each if there
    /// are any.
    pub fn parameters_of(self, periodic: Periodic) -> usize {
        match self {
            Self::Spline { .. } if !periodic.is_empty() => Spline::CIRCULAR_PARAMETERS,
            map => map.parameters(),
        }
    }

    /// The Cargo feature that a firmware needs for it.
    pub const fn cargo_feature(self) -> Option<&'static str> {
        match self {
            Self::Affine { .. } => None,
            Self::Spline { .. } => Some("spline"),
        }
    }

    /// Maps each of `values`, in place, by the parameters that `outputs` gives; `periodic` says which
    /// lie on a circle. Returns the sum of the log-slopes.
    #[inline(always)]
    pub(crate) fn apply<M: Math>(
        self,
        direction: Direction,
        values: &mut [f32],
        periodic: Periodic,
        mut outputs: impl Outputs,
    ) -> f32 {
        match self {
            Self::Affine { clip } => {
                let mut log_det_jacobian = 0.0;
                let mut parameters = [Block::default()];
                for values in values.chunks_mut(GROUP) {
                    outputs.read(&mut parameters);
                    let (shifts, log_scales) = parameters.as_flattened().split_at(GROUP);
                    for ((value, shift), raw) in values.iter_mut().zip(shifts).zip(log_scales) {
                        let map = Affine::new(*shift, *raw, clip);
                        let (mapped, log_slope) = map.apply::<M>(direction, *value);
                        *value = mapped;
                        log_det_jacobian += log_slope;
                    }
                }
                log_det_jacobian
            }
            Self::Spline { bound } if cfg!(feature = "spline") => {
                let mut parameters = [Block::default(); Spline::BLOCKS];
                let mut slopes = LogProduct::default();
                for (feature, value) in values.iter_mut().enumerate() {
                    outputs.read(&mut parameters);
                    let bound = if periodic.contains(feature) { None } else { Some(bound) };
                    let (mapped, slope) = spline::apply::<M>(direction, &parameters, bound, *value);
                    *value = mapped;
                    slopes.multiply::<M>(slope);
                }
                direction.log_slope(slopes.value::<M>())
            }
            // Refused by `check`.
            Self::Spline { .. } => 0.0,
        }
    }

    /// Features whose parameters lie in one group of blocks.
    pub(crate) const fn group(self) -> usize {
        match self {
            Self::Affine { .. } => GROUP,
            Self::Spline { .. } => 1,
        }
    }

    /// Blocks of a group.
    pub(crate) const fn blocks(self) -> usize {
        match self {
            Self::Affine { .. } => 1,
            Self::Spline { .. } => Spline::BLOCKS,
        }
    }

    /// Rows of an output layer for `features` features, whole blocks.
    pub(crate) const fn rows(self, features: usize) -> usize {
        features.div_ceil(self.group()) * self.blocks() * ROWS
    }

    /// Row of the output layer that computes parameter `parameter` of feature `feature`.
    #[cfg(feature = "write")]
    pub(crate) fn row(self, feature: usize, parameter: usize) -> usize {
        match self {
            Self::Affine { .. } => feature / GROUP * ROWS + parameter * GROUP + feature % GROUP,
            Self::Spline { .. } => feature * Spline::BLOCKS * ROWS + parameter,
        }
    }
}

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
        Self { shift, log_scale: soft_clip(raw, clip) }
    }

    /// z to x, with +s.
    #[inline(always)]
    pub fn forward<M: Math>(self, z: f32) -> (f32, f32) {
        (bounded(z * M::exp(self.log_scale) + self.shift), self.log_scale)
    }

    /// x to z, with -s.
    #[inline(always)]
    pub fn inverse<M: Math>(self, x: f32) -> (f32, f32) {
        (bounded((x - self.shift) * M::exp(-self.log_scale)), -self.log_scale)
    }

    /// Either way.
    #[inline(always)]
    pub fn apply<M: Math>(self, direction: Direction, value: f32) -> (f32, f32) {
        match direction {
            Direction::Forward => self.forward::<M>(value),
            Direction::Inverse => self.inverse::<M>(value),
        }
    }
}
