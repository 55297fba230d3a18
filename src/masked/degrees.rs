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
///
/// A layer with more blocks than degrees has some twice. The first layer doubles high degrees and
/// those behind it low ones, so that a block sees fewer units of the layer before it: with 8
/// features and layers of 64 units, an eighth fewer products than with the same degrees in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degrees {
    /// D, at least 2.
    pub features: usize,
    /// C, the context's size.
    pub context: usize,
}

impl Degrees {
    /// The degree of unit `unit` of hidden layer `layer`, counted from 0, of `width` units.
    pub fn degree(self, layer: usize, width: usize, unit: usize) -> usize {
        let (least, count) = self.range();
        let (block, blocks) = (unit / ROWS, blocks(width));
        match blocks {
            1 => self.middle(),
            _ if self.doubles_high(layer, blocks) => {
                least + ((block + 1) * count).div_ceil(blocks).saturating_sub(1)
            }
            _ => least + block * count / blocks.max(1),
        }
    }

    /// How many units of hidden layer `layer`, of `width` units, see no more than the first `known`
    /// features.
    pub fn units(self, layer: usize, width: usize, known: usize) -> usize {
        let (least, count) = self.range();
        let blocks = blocks(width);
        // `count` times the number of their blocks, before that is rounded.
        let product = blocks * (known + 1).saturating_sub(least);
        let known = match blocks {
            1 => usize::from(known >= self.middle()),
            _ if self.doubles_high(layer, blocks) => product / count.max(1),
            _ => product.div_ceil(count.max(1)),
        };
        width.min(known * ROWS)
    }

    fn middle(self) -> usize {
        self.features / 2
    }

    /// Whether it is the high degrees that layer `layer` has twice.
    fn doubles_high(self, layer: usize, blocks: usize) -> bool {
        let (_, count) = self.range();
        layer == 0 && blocks > count
    }

    /// The least degree, and how many there are from it on.
    fn range(self) -> (usize, usize) {
        let least = usize::from(cfg!(not(feature = "context")) || self.context == 0);
        (least, self.features.saturating_sub(least))
    }

    /// How many inputs are seen by what sees the first `known` features: columns of the row and its
    /// context, or units of the hidden layer `before`, its number and its width.
    pub(crate) fn seen(
        self,
        periodic: Periodic,
        before: Option<(usize, usize)>,
        known: usize,
    ) -> usize {
        match before {
            None => self.context + known + periodic.count(known),
            Some((layer, width)) => self.units(layer, width, known),
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
            layer in 0usize..2,
            width in 1usize..600,
        ) {
            let context = if cfg!(feature = "context") { context } else { 0 };
            let degrees = Degrees { features, context };
            for unit in 0..width {
                let degree = degrees.degree(layer, width, unit);
                prop_assert!(degrees.units(layer, width, degree) > unit);
                prop_assert!(degree == 0 || degrees.units(layer, width, degree - 1) <= unit);
                prop_assert!(degree < features && (degree > 0 || context > 0));
            }
        }

        /// Where there are blocks enough, every degree has one.
        #[test]
        fn no_degree_is_left_out_without_need(
            features in 2usize..=64,
            layer in 0usize..2,
            more in 0usize..10,
        ) {
            let degrees = Degrees { features, context: 0 };
            let width = ROWS * (features - 1 + more);
            let own = |degree| (0..width).any(|unit| degrees.degree(layer, width, unit) == degree);
            prop_assert!((1..features).all(own));
        }
    }
}
