//! Autoregressive bijections: each feature is mapped by a scalar map whose parameters a masked
//! network computes from the features before it.
//!
//! Given x, this is the masked autoregressive flow (Papamakarios et al. 2017, "Masked
//! Autoregressive Flow for Density Estimation"); given z, the inverse autoregressive flow (Kingma
//! et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow"). The Jacobian
//! is triangular, so its log-determinant is the sum of the maps' log-slopes. Elsewhere one
//! direction takes D passes of the network; here both cost about one ([`crate::masked`]).
//!
//! In a file, the settings are: 0 or 1 for given x or z, the clip or bound of the map (f32), the
//! number of hidden layers, their three widths, the kind of map, and the mask of the row's periodic
//! features, of which the network sees two values each ([`Periodic`]).

use super::{Bijection, Work};
use crate::Error;
use crate::direction::Direction;
#[cfg(feature = "latent")]
use crate::kernel::Inputs;
use crate::masked::{Masked, Walk};
use crate::math::Math;
use crate::periodic::Periodic;
use crate::record::{Record, Sizes};
use crate::scalar::ScalarMap;
use crate::spline;

/// First setting of the network.
const NETWORK: usize = 2;

/// A side of a bijection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side of the data.
    X,
    /// The side of the base.
    Z,
}

impl Side {
    /// The side that `direction` starts from.
    pub(crate) fn of_inputs(direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self::Z,
            Direction::Inverse => Self::X,
        }
    }
}

/// An autoregressive bijection borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Autoregressive<'m> {
    given: Side,
    map: ScalarMap,
    network: Masked<'m>,
}

impl<'m> Autoregressive<'m> {
    /// The side whose earlier features condition each feature.
    pub fn given(&self) -> Side {
        self.given
    }

    /// What is done to each feature.
    pub fn map(&self) -> ScalarMap {
        self.map
    }

    /// The features of the row that lie on a circle.
    pub fn periodic(&self) -> Periodic {
        self.network.periodic()
    }

    /// The network that conditions it.
    pub fn network(&self) -> &Masked<'m> {
        &self.network
    }

    /// Maps every feature. Returns the sum of the log-slopes.
    #[inline(always)]
    fn apply<M: Math>(&self, direction: Direction, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        match Side::of_inputs(direction) == self.given {
            true => self.run::<M>(direction, row, work),
            false => self.walk::<M>(direction, row, work),
        }
    }

    /// Maps all features at once: all that conditions them is given.
    #[inline(never)]
    fn run<M: Math>(&self, direction: Direction, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        let seen = self.periodic().seen(row, work.row);
        let outputs = self.network.run(work.context, seen, &mut work.network);
        self.map.apply::<M>(direction, row, self.periodic(), outputs)
    }

    /// Maps feature by feature: what is produced conditions what follows.
    // Not inlined, so that the other direction does not take its stack too.
    #[inline(never)]
    fn walk<M: Math>(&self, direction: Direction, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        let periodic = self.periodic();
        let mut walk = Walk::new(self.network, work.context, &mut work.network);
        let (mut log_det_jacobian, mut columns) = (0.0, 0);
        for feature in 0..row.len() {
            let Some((known, [value, ..])) = row.split_at_mut_checked(feature) else { break };
            let (mapped, log_slope) = match self.map {
                ScalarMap::Spline { bound } if cfg!(feature = "spline") => {
                    let seen = work.row.get(..columns).unwrap_or_default();
                    let parameters = walk.spline(if periodic.is_empty() { known } else { seen });
                    let bound = if periodic.contains(feature) { None } else { Some(bound) };
                    let (mapped, slope) = spline::apply::<M>(direction, &parameters, bound, *value);
                    (mapped, direction.log_slope(M::ln(slope)))
                }
                // A spline without its feature is refused by `check`.
                ScalarMap::Affine { clip } | ScalarMap::Spline { bound: clip } => {
                    walk.affine(known, clip).apply::<M>(direction, *value)
                }
            };
            *value = mapped;
            if !periodic.is_empty() {
                columns = periodic.append(feature, mapped, work.row, columns);
            }
            log_det_jacobian += log_slope;
        }
        log_det_jacobian
    }
}

impl<'m> Bijection<'m> for Autoregressive<'m> {
    fn new(record: &Record<'m>, sizes: Sizes, parameters: &'m [f32]) -> Self {
        let given = if record.word(0) == 0 { Side::X } else { Side::Z };
        let map = ScalarMap::read(record);
        Self { given, map, network: Masked::new(record, NETWORK, sizes, map, parameters) }
    }

    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
        if record.word(0) > 1 {
            return Err(record.shape(0));
        }
        self.map.check(record, features)?;
        self.network.check(record, NETWORK)
    }

    fn inverse<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        self.apply::<M>(Direction::Inverse, row, work)
    }

    fn forward<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        self.apply::<M>(Direction::Forward, row, work)
    }

    #[cfg(feature = "latent")]
    #[inline(always)]
    fn direct<M: Math>(&self, direction: Direction, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        let seen = self.periodic().seen(row, work.row);
        let inputs = Inputs::given(work.context, seen);
        let outputs = self.network.run_prefixes(inputs, &mut work.network);
        self.map.apply::<M>(direction, row, self.periodic(), outputs)
    }

    fn width(&self) -> usize {
        self.network.width()
    }

    fn multiply_adds(&self) -> usize {
        self.network.multiply_adds()
    }
}
