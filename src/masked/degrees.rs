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

    /// The context and the features, as a layer: the first step makes all of the context known.
    pub(super) fn inputs(self) -> Reach {
        Reach { units: self.context.saturating_sub(1), ..self.reach(self.count()) }
    }

    /// A layer of `width` with no feature known.
    pub(super) fn reach(self, width: usize) -> Reach {
        let unit = self.group(width);
        Reach { units: 0, unit, of: (width / unit).max(1), rest: 0, degrees: self.count().max(1) }
    }

    /// The degree of unit `unit` of a layer of `width`.
    pub fn degree(self, width: usize, unit: usize) -> usize {
        (0..self.features).find(|known| self.units(width, *known) > unit).unwrap_or(self.features)
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

/// Second columns of the periodic features, among the inputs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Curves {
    pub(super) periodic: Periodic,
    /// Steps before that of the first feature.
    pub(super) first: usize,
}

impl Curves {
    /// Columns known after `steps` from the start.
    #[inline(always)]
    fn after(self, steps: usize) -> usize {
        self.periodic.count(steps.saturating_sub(self.first))
    }
}

/// Columns of the blocks of a layer, one after the other: what is known of the layer before it
/// once the last unit of a block can be computed.
///
/// That of block b can after (start + b `step`) / `of` steps, rounded down, and `behind` more, but
/// after no more than `last`. Steps are counted without a division.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    before: Reach,
    curves: Curves,
    /// Steps of the next block,
    steps: usize,
    /// and the division's remainder.
    rest: usize,
    of: usize,
    /// Quotient and remainder of `step` / `of`.
    step: [usize; 2],
    last: usize,
}

impl Columns {
    pub(super) fn new(
        (before, curves): (Reach, Curves),
        [start, step, of]: [usize; 3],
        behind: usize,
        last: usize,
    ) -> Self {
        let of = of.max(1);
        let (steps, rest, step) = (start / of + behind, start % of, [step / of, step % of]);
        Self { before, curves, steps, rest, of, step, last }
    }
}

impl Iterator for Columns {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let steps = self.steps.min(self.last);
        let [quotient, remainder] = self.step;
        self.steps += quotient;
        self.rest += remainder;
        if self.rest >= self.of {
            self.rest -= self.of;
            self.steps += 1;
        }
        Some(self.before.after(steps) + self.curves.after(steps))
    }
}
