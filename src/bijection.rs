//! Bijections: invertible maps of a whole row with tractable log-determinants.
//!
//! A bijection is two methods. In a file each one is a record of fixed size and the
//! parameters that it points to; it is read where it lies, checked when the file is loaded.
//!
//! A layer maps the first n values of the row, never more than the layer before it. Those behind
//! them pass every further layer unchanged and so go straight to the base: this is the split of a
//! multi-scale architecture (Dinh et al. 2017, "Density estimation using Real NVP", section 3.6).

mod act_norm;
mod autoregressive;
mod coupling;
mod lu_linear;
mod marginal;
mod permutation;

pub use act_norm::ActNorm;
pub use autoregressive::{Autoregressive, Side};
pub use coupling::{Coupling, Half};
pub use lu_linear::LuLinear;
pub use marginal::Marginal;
pub use permutation::Permutation;

use crate::Error;
#[cfg(feature = "latent")]
use crate::direction::Direction;
use crate::math::Math;
use crate::network::Scratch;
use crate::record::{Record, Sizes};

/// An invertible map of a row, or of its first values, onto itself.
pub(crate) trait Bijection<'m>: Copy {
    /// Views the layer that `record` describes; `parameters` starts at its offset.
    fn new(record: &Record<'m>, sizes: Sizes, parameters: &'m [f32]) -> Self;

    /// Refuses what no such layer can be. Returns how many parameter words it takes.
    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error>;

    /// x to z, in place. Returns log |det dz/dx|.
    fn inverse<M: Math>(&self, row: &mut [f32], scratch: &mut Work<'_>) -> f32;

    /// z to x, in place. Returns log |det dx/dz|.
    fn forward<M: Math>(&self, row: &mut [f32], scratch: &mut Work<'_>) -> f32;

    /// Either way, of a layer of which [`Layer::is_direct`] holds that way.
    #[cfg(feature = "latent")]
    #[inline(always)]
    fn direct<M: Math>(&self, direction: Direction, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        match direction {
            Direction::Forward => self.forward::<M>(row, work),
            Direction::Inverse => self.inverse::<M>(row, work),
        }
    }

    /// Hidden units of its widest network layer, in whole blocks.
    fn width(&self) -> usize {
        0
    }

    /// Products of one call, either way.
    fn multiply_adds(&self) -> usize {
        0
    }
}

/// What a bijection is given besides the row: a context, a spare row, and what a network needs.
#[derive(Debug)]
pub(crate) struct Work<'s> {
    /// Standardised.
    pub context: &'s [f32],
    /// [`SPARE`](crate::scratch::SPARE) times as long as the row.
    pub row: &'s mut [f32],
    pub network: Scratch<'s>,
}

macro_rules! feature_name {
    () => {
        None
    };
    ($feature:literal) => {
        Some($feature)
    };
}

/// Makes the kinds of layers, their list, and the dispatch over them, from one table.
macro_rules! bijections {
    ($($(#[$doc:meta])* $name:ident = $number:literal $(if $feature:literal)?,)*) => {
        /// The kinds of layers that a file can hold, by their number in it. A number is
        /// never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$name,)*];

            /// The Cargo feature that a firmware needs for it.
            pub const fn cargo_feature(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => feature_name!($($feature)?),)*
                }
            }
        }

        /// A layer borrowed from a model file.
        #[derive(Clone, Copy, Debug)]
        pub enum Layer<'m> {
            $($(#[$doc])* $name($name<'m>),)*
        }

        impl<'m> Layer<'m> {
            /// Views the layer of `record`; none if its kind is unknown.
            #[inline(always)]
            pub(crate) fn new(
                record: &Record<'m>,
                sizes: Sizes,
                parameters: &'m [f32],
            ) -> Option<Self> {
                let [kind, ..] = *record.words;
                match kind {
                    $($number if true $(&& cfg!(feature = $feature))? => Some(Self::$name($name::new(record, sizes, parameters))),)*
                    _ => None,
                }
            }

            /// Why there is no layer of this kind: this build leaves it out, or nobody knows it.
            pub(crate) fn refusal(layer: usize, kind: u32) -> Error {
                match kind {
                    $($($number if !cfg!(feature = $feature) => Error::Feature { name: $feature },)?)*
                    kind => Error::Kind { layer, kind },
                }
            }

            /// Refuses what no such layer can be. Returns how many parameter words it takes.
            pub(crate) fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
                match self {
                    $(Self::$name(layer) => {
                        layer.check(record, features)
                    })*
                }
            }

            /// The layer's kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$name,)* }
            }

            /// The Cargo features that a firmware needs for the layer and for its map.
            pub fn cargo_features(&self) -> [Option<&'static str>; 2] {
                let map = match self {
                    Self::Coupling(layer) => layer.map().cargo_feature(),
                    Self::Autoregressive(layer) => layer.map().cargo_feature(),
                    _ => None,
                };
                [self.kind().cargo_feature(), map]
            }

            pub(crate) fn inverse<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
                match self {
                    $(Self::$name(layer) if true $(&& cfg!(feature = $feature))? => {
                        layer.inverse::<M>(row, work)
                    })*
                    // Refused by `check`.
                    _ => 0.0,
                }
            }

            pub(crate) fn forward<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
                match self {
                    $(Self::$name(layer) if true $(&& cfg!(feature = $feature))? => {
                        layer.forward::<M>(row, work)
                    })*
                    // Refused by `check`.
                    _ => 0.0,
                }
            }

            /// Whether the context alone decides its log-determinant.
            pub(crate) fn is_of_context(&self) -> bool {
                match self {
                    Self::Coupling(layer) if cfg!(feature = "context") => {
                        layer.transformed() == Half::Both
                    }
                    _ => false,
                }
            }

            /// Whether it goes that way layer by layer through its network, and not feature by
            /// feature.
            #[cfg(feature = "latent")]
            pub(crate) fn is_direct(&self, direction: Direction) -> bool {
                match self {
                    Self::Autoregressive(layer) => layer.given() == Side::of_inputs(direction),
                    _ => true,
                }
            }

            /// Either way, where it [`Layer::is_direct`].
            #[cfg(feature = "latent")]
            pub(crate) fn direct<M: Math>(
                &self,
                direction: Direction,
                row: &mut [f32],
                work: &mut Work<'_>,
            ) -> f32 {
                match self {
                    $(Self::$name(layer) if true $(&& cfg!(feature = $feature))? => {
                        layer.direct::<M>(direction, row, work)
                    })*
                    // Refused by `check`.
                    _ => 0.0,
                }
            }

            pub(crate) fn width(&self) -> usize {
                match self { $(Self::$name(layer) => layer.width(),)* }
            }

            /// Products of one call, either way.
            pub fn multiply_adds(&self) -> usize {
                match self { $(Self::$name(layer) => layer.multiply_adds(),)* }
            }
        }
    };
}

bijections! {
    /// One half of the row is mapped as the other half says.
    Coupling = 1,
    /// Fixed permutation of the features.
    Permutation = 2,
    /// A shift and a scale of each feature.
    ActNorm = 3 if "linear",
    /// An invertible linear map in LU form.
    LuLinear = 4 if "linear",
    /// Each feature is mapped as those before it say.
    Autoregressive = 5 if "autoregressive",
    /// A fixed monotone map of each feature for itself.
    Marginal = 6 if "marginal",
}
