//! Coupling (Dinh et al. 2017, "Density estimation using Real NVP", eqs. 4 and 7; with a spline,
//! Durkan et al. 2019, "Neural Spline Flows", section 3.1).
//!
//! The row is split into two halves. One, the condition, passes unchanged; each value of the
//! other is mapped by a scalar map whose parameters a network computes from the condition, behind
//! the context where there is one (Winkler et al. 2019, "Learning Likelihoods with Conditional
//! Normalizing Flows"). The Jacobian is triangular, so its log-determinant is the sum of the maps'
//! log-slopes. Where both halves are transformed, the context alone is the condition: an affine map
//! then gives each feature the shift and the scale that it has at that operating point.
//!
//! In a file, the settings are: 0, 1 or 2 for the half that is transformed, the clip or bound of
//! the map (f32), the number of hidden layers, their three widths, the kind of map, and the mask of
//! the row's periodic features, of which the network sees two values each ([`Periodic`]). The
//! output layer's rows lie as [`ScalarMap`] says.

use super::{Bijection, Work};
use crate::Error;
use crate::direction::Direction;
use crate::kernel::Inputs;
use crate::math::Math;
use crate::network::Network;
use crate::periodic::Periodic;
use crate::record::{Record, Sizes};
use crate::scalar::ScalarMap;

/// First setting of the network.
const NETWORK: usize = 2;

/// The half of a row that a coupling transforms, as a file numbers them from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Features 0 to D/2 (rounded down), given the rest.
    First,
    /// Features from D/2 (rounded down) on, given those before.
    Second,
    /// Every feature, given nothing but the context.
    Both,
}

impl Half {
    /// Numbers of the features transformed and of those that condition them.
    pub fn sizes(self, features: usize) -> (usize, usize) {
        let first = features / 2;
        match self {
            Self::First => (first, features - first),
            Self::Second => (features - first, first),
            Self::Both => (features, 0),
        }
    }

    /// The periodic ones among the features transformed and among those that condition them.
    pub fn periodic(self, row: Periodic, features: usize) -> (Periodic, Periodic) {
        if row.is_empty() {
            return (row, row);
        }
        let middle = features / 2;
        let (first, second) = (row.part(0, middle), row.part(middle, features - middle));
        match self {
            Self::First => (first, second),
            Self::Second => (second, first),
            Self::Both => (row, Periodic::default()),
        }
    }

    /// Splits a row into (transformed, condition).
    fn split(self, row: &mut [f32]) -> (&mut [f32], &[f32]) {
        if cfg!(feature = "context") && self == Self::Both {
            return (row, &[]);
        }
        let (first, second) = row.split_at_mut_checked(row.len() / 2).unwrap_or_default();
        if self == Self::First { (first, second) } else { (second, first) }
    }
}

/// A coupling borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Coupling<'m> {
    transformed: Half,
    map: ScalarMap,
    periodic: Periodic,
    network: Network<'m>,
}

impl<'m> Coupling<'m> {
    /// The half that is transformed.
    pub fn transformed(&self) -> Half {
        self.transformed
    }

    /// What is done to each transformed feature.
    pub fn map(&self) -> ScalarMap {
        self.map
    }

    /// The features of the row that lie on a circle.
    pub fn periodic(&self) -> Periodic {
        self.periodic
    }

    /// The network that conditions it.
    pub fn network(&self) -> &Network<'m> {
        &self.network
    }

    /// Maps the transformed half. Returns the sum of the log-slopes.
    #[inline(never)]
    fn apply<M: Math>(&self, direction: Direction, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        let (periodic, seen) = self.transformed.periodic(self.periodic, row.len());
        let (transformed, condition) = self.transformed.split(row);
        let inputs = Inputs::given(work.context, seen.seen(condition, work.row));
        let outputs = self.network.run(inputs, &mut work.network);
        self.map.apply::<M>(direction, transformed, periodic, outputs)
    }
}

impl<'m> Bijection<'m> for Coupling<'m> {
    fn new(record: &Record<'m>, sizes: Sizes, parameters: &'m [f32]) -> Self {
        let transformed = match record.word(0) {
            0 => Half::First,
            1 => Half::Second,
            _ => Half::Both,
        };
        let (outputs, inputs) = transformed.sizes(sizes.features);
        let periodic = ScalarMap::periodic(record);
        let (_, seen) = transformed.periodic(periodic, sizes.features);
        let inputs = sizes.context + inputs + seen.count(inputs);
        let map = ScalarMap::read(record);
        let network = Network::new(record, NETWORK, inputs, map.rows(outputs), parameters);
        Self { transformed, map, periodic, network }
    }

    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
        // A network without inputs has nothing to say.
        if record.word(0) > 2 || self.network.inputs() == 0 {
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

    fn width(&self) -> usize {
        self.network.width()
    }

    fn multiply_adds(&self) -> usize {
        self.network.multiply_adds()
    }
}
