//! The degrees of a masked network's units (Germain et al. 2015), which say what each of them sees.

use crate::kernel::{ROWS, blocks};
use crate::periodic::Periodic;

/// The rule that gives the units of a hidden layer their degrees.
///
/// The 8 units of a block have one degree, so that a block can be computed whole, as soon as what
/// it sees is known. The degrees of a layer's blocks run evenly from 1 to D - 1; with a context,
/// which every unit sees, from 0 on, since the first feature depends on it too. A layer with fewer
/// blocks than that leaves degrees out: features between two of them depend on the same ones before
/// them, and not on one another. A layer of one block has the degree in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degrees {
    /// D, at least 2.
    pub features: usize,
    /// C, the context's size.
    pub context: usize,
}

impl Degrees {
    /// The degree of unit `unit` of a layer of `width`.
    pub fn degree(self, width: usize, unit: usize) -> usize {
        let (least, count) = self.range();
        match blocks(width) {
            1 => self.middle(),
            blocks => least + unit / ROWS * count / blocks.max(1),
        }
    }

    /// How many units of a layer of `width` see no more than the first `known` features.
    pub fn units(self, width: usize, known: usize) -> usize {
        let (least, count) = self.range();
        let known = match blocks(width) {
            1 => usize::from(known >= self.middle()),
            // Block b is if b count / blocks < known + 1 - least.
            blocks => (blocks * (known + 1).saturating_sub(least)).div_ceil(count.max(1)),
        };
        width.min(known * ROWS)
    }

    fn middle(self) -> usize {
        self.features / 2
    }

    /// The least degree, and how many there are from it on.
    fn range(self) -> (usize, usize) {
        let least = usize::from(cfg!(not(feature = "context")) || self.context == 0);
        (least, self.features.saturating_sub(least))
    }

    /// How many of a layer's inputs are seen by what sees the first `known` features: columns of
    /// the row and its context, or units of the layer `before` it, if there is one, of that width.
    pub(crate) fn seen(self, periodic: Periodic, before: Option<usize>, known: usize) -> usize {
        match before {
            None => self.context + known + periodic.count(known),
            Some(width) => self.units(width, known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A unit is among those that see no more than its degree, and not among those of one less.
        #[test]
        fn a_unit_has_one_degree(
            features in 2usize..=64,
            context in prop_oneof![Just(0usize), 1usize..5],
            width in 1usize..600,
        ) {
            let context = if cfg!(feature = "context") { context } else { 0 };
            let degrees = Degrees { features, context };
            for unit in 0..width {
                let degree = degrees.degree(width, unit);
                prop_assert!(degrees.units(width, degree) > unit);
                prop_assert!(degree == 0 || degrees.units(width, degree - 1) <= unit);
                prop_assert!(degree < features && (degree > 0 || context > 0));
            }
        }

        /// Where there are blocks enough, every degree has one.
        #[test]
        fn no_degree_is_left_out_without_need(features in 2usize..=64, more in 0usize..10) {
            let degrees = Degrees { features, context: 0 };
            let width = ROWS * (features - 1 + more);
            let own = |degree| (0..width).any(|unit| degrees.degree(width, unit) == degree);
            prop_assert!((1..features).all(own));
        }
    }
}
