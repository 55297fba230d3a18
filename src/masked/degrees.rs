//! The degrees of a masked network's units (Germain et al. 2015), which say what each of them sees.

use crate::kernel::ROWS;
use crate::periodic::Periodic;

/// The rule that gives the units of a hidden layer their degrees.
///
/// Degrees run evenly from 1 to D - 1; with a context, which every unit sees, from 0 on, since the
/// first feature depends on it too. Where every degree can have 8 units, or 4 or 2, that many stand
/// together, so that no degree has units in two blocks without need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degrees {
    /// D, at least 2.
    pub features: usize,
    /// C, the context's size.
    pub context: usize,
}

impl Degrees {
    /// How many units of a layer of `width` see no more than the first `known` features.
    pub fn units(self, width: usize, known: usize) -> usize {
        let units = self.reach(width).after(known + self.first());
        if units < width { units } else { width }
    }

    /// Units of one degree stand in groups of so many: as many as let every degree have a group,
    /// and none lie in two blocks.
    fn group(self, width: usize) -> usize {
        let fits = |group| width.is_multiple_of(group) && width >= group * self.count();
        match () {
            () if fits(ROWS) => ROWS,
            () if fits(ROWS / 2) => ROWS / 2,
            () if fits(ROWS / 4) => ROWS / 4,
            () => 1,
        }
    }

    /// 1 if there are units of degree 0.
    pub(super) fn first(self) -> usize {
        usize::from(cfg!(feature = "context") && self.context > 0)
    }

    /// How many different degrees there are.
    fn count(self) -> usize {
        (self.features + self.first()).saturating_sub(1)
    }

    /// A layer of `width` with no feature known.
    pub(super) fn reach(self, width: usize) -> Reach {
        let unit = self.group(width);
        Reach { units: 0, unit, of: (width / unit).max(1), rest: 0, degrees: self.count().max(1) }
    }

    /// The degree of unit `unit` of a layer of `width`.
    pub fn degree(self, width: usize, unit: usize) -> usize {
        let Reach { unit: group, of, degrees, .. } = self.reach(width);
        // Group g is known after g degrees / of steps and one more.
        unit / group.max(1) * degrees / of.max(1) + 1 - self.first()
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

/// [`Degrees::units`] of one layer, from one number of known features to the next without a
/// division.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    /// Units that see no more than the features known.
    pub(super) units: usize,
    /// They become known so many at a time,
    pub(super) unit: usize,
    /// `of` times in all, spread evenly over
    pub(super) of: usize,
    /// the degrees.
    pub(super) degrees: usize,
    /// What is left over from the division.
    rest: usize,
}

impl Reach {
    /// Units known after `steps` from the start.
    fn after(self, steps: usize) -> usize {
        self.units + self.unit * (steps * self.of).div_ceil(self.degrees.max(1))
    }

    /// One more feature is known.
    pub(super) fn step(&mut self) {
        while self.rest < self.of {
            self.rest += self.degrees;
            self.units += self.unit;
        }
        self.rest -= self.of;
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
            width in 1usize..200,
        ) {
            let context = if cfg!(feature = "context") { context } else { 0 };
            let degrees = Degrees { features, context };
            for unit in 0..width {
                let degree = degrees.degree(width, unit);
                prop_assert!(degrees.units(width, degree) > unit);
                prop_assert!(degree == 0 || degrees.units(width, degree - 1) <= unit);
                prop_assert!(degree < features);
            }
        }
    }
}
