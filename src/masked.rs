//! The masked network of an autoregressive layer (Germain et al. 2015, "MADE: Masked Autoencoder
//! for Distribution Estimation"), whose outputs for feature d depend on the features before d.
//!
//! Each hidden unit has a degree m: it sees the first m features, and in the next layer only
//! units of at least its degree see it. Here the units of a layer stand in the order of their
//! degrees, so every unit sees a prefix of the layer before it. A mask is then a length, and the
//! zero half of the weights is neither stored nor multiplied.
//!
//! With all features given, the network runs layer by layer (`Masked::run`). Where each feature
//! follows from those before it, a `Walk` computes each unit once, as soon as the features that it
//! needs are known: one pass too, in more and smaller steps.
//!
//! A periodic feature has two columns, one behind the other, so that what sees the first m features
//! sees a prefix of the columns still.
//!
//! In a file, a block of 8 rows holds its bias and as many columns as its last row sees; what
//! its other rows do not see is zero.

use core::ops::Range;

use crate::Error;
use crate::bijection::{Record, Sizes};
use crate::kernel::{self, Block, Free, Inputs, ROWS, Units, blocks};
use crate::network::{MAX_HIDDEN, MAX_WIDTH, Scratch};
use crate::periodic::Periodic;
use crate::scalar::{Affine, GROUP, ScalarMap};
use crate::spline::Spline;

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
    fn first(self) -> usize {
        usize::from(cfg!(feature = "context") && self.context > 0)
    }

    /// How many different degrees there are.
    fn count(self) -> usize {
        (self.features + self.first()).saturating_sub(1)
    }

    /// The context and the features, as a layer: the first step makes all of the context known.
    fn inputs(self) -> Reach {
        Reach { units: self.context.saturating_sub(1), ..self.reach(self.count()) }
    }

    /// A layer of `width` with no feature known.
    fn reach(self, width: usize) -> Reach {
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
struct Reach {
    /// Units that see no more than the features known.
    units: usize,
    /// They become known so many at a time,
    unit: usize,
    /// `of` times in all, spread evenly over
    of: usize,
    /// the degrees.
    degrees: usize,
    /// What is left over from the division.
    rest: usize,
}

impl Reach {
    /// Units known after `steps` from the start.
    fn after(self, steps: usize) -> usize {
        self.units + self.unit * (steps * self.of).div_ceil(self.degrees.max(1))
    }

    /// One more feature is known.
    fn step(&mut self) {
        while self.rest < self.of {
            self.rest += self.degrees;
            self.units += self.unit;
        }
        self.rest -= self.of;
    }
}

/// Second columns of the periodic features, among the inputs.
#[derive(Clone, Copy, Debug, Default)]
struct Curves {
    periodic: Periodic,
    /// Steps before that of the first feature.
    first: usize,
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
struct Columns {
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
    fn new(
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

/// A masked network borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Masked<'m> {
    degrees: Degrees,
    map: ScalarMap,
    periodic: Periodic,
    /// Widths of the hidden layers.
    widths: &'m [u32],
    /// Of all layers, one behind the other, and what follows them.
    parameters: &'m [f32],
}

impl<'m> Masked<'m> {
    /// Views the network described from word `first` of `record` on.
    pub(crate) fn new(
        record: &Record<'m>,
        first: usize,
        Sizes { features, context }: Sizes,
        map: ScalarMap,
        parameters: &'m [f32],
    ) -> Self {
        let widths = record.slice(first + 1, record.word(first));
        let (degrees, periodic) = (Degrees { features, context }, ScalarMap::periodic(record));
        Self { degrees, map, periodic, widths, parameters }
    }

    /// The features of the row that lie on a circle.
    pub(crate) fn periodic(&self) -> Periodic {
        self.periodic
    }

    /// Refuses what is no network, or does not fit its parameters. Returns how many of them it
    /// takes.
    pub(crate) fn check(&self, record: &Record<'m>, first: usize) -> Result<usize, Error> {
        let count = record.word(first);
        if !(1..=MAX_HIDDEN).contains(&count) {
            return Err(record.shape(first));
        }
        record.unused(first + 1 + count..first + 1 + MAX_HIDDEN)?;
        for (word, width) in (first + 1..).zip(self.hidden()) {
            if !(1..=MAX_WIDTH).contains(&width) {
                return Err(record.shape(word));
            }
        }
        // At most 3 layers of 2^11 blocks of 2^14 columns: no overflow, even in 32 bits.
        let words = (0..=count).map(|layer| self.words(layer)).sum::<usize>() * ROWS;
        if words > self.parameters.len() { Err(record.shape(first)) } else { Ok(words) }
    }

    /// Widths of the hidden layers.
    pub fn hidden(&self) -> impl Iterator<Item = usize> + use<'m> {
        self.widths.iter().map(|width| *width as usize)
    }

    /// Units of the widest hidden layer, in whole blocks.
    pub(crate) fn width(&self) -> usize {
        self.hidden().map(blocks).max().unwrap_or(0) * ROWS
    }

    /// Products of one pass, the zeros that a ReLU makes included.
    pub(crate) fn multiply_adds(&self) -> usize {
        let layers = 0..=self.widths.len();
        layers.map(|layer| self.words(layer) - self.block_count(layer)).sum::<usize>() * ROWS
    }

    fn reach(&self, layer: Option<usize>) -> Reach {
        match layer.and_then(|layer| self.widths.get(layer)) {
            Some(width) => self.degrees.reach(*width as usize),
            None => self.degrees.inputs(),
        }
    }

    /// Columns of each block of `layer`; the output layer stands behind the hidden ones.
    #[inline(always)]
    fn columns(&self, layer: usize) -> Columns {
        let before = self.reach(layer.checked_sub(1));
        // With a context, its step comes before those of the features.
        let first = self.degrees.first();
        match self.widths.get(layer) {
            Some(width) => {
                let curves = match layer {
                    0 => Curves { periodic: self.periodic, first },
                    _ => Curves::default(),
                };
                // Group g of units can be computed after g degrees / of + 1 steps, and the last
                // one in block b is (b + 1) groups - 1.
                let Reach { unit, of, degrees, .. } = self.degrees.reach(*width as usize);
                let groups = ROWS / unit.max(1);
                let last = (of - 1) * degrees / of.max(1) + 1;
                let steps = [(groups - 1) * degrees, groups * degrees, of];
                Columns::new((before, curves), steps, 1, last)
            }
            None => {
                // The last feature of a group sees the others.
                let (group, blocks) = (self.map.group(), self.map.blocks());
                let last = (first + self.degrees.features).saturating_sub(1);
                let steps = [(group - 1) * blocks, group, blocks];
                Columns::new((before, Curves::default()), steps, first, last)
            }
        }
    }

    fn block_count(&self, layer: usize) -> usize {
        match self.widths.get(layer) {
            Some(width) => blocks(*width as usize),
            None => blocks(self.map.rows(self.degrees.features)),
        }
    }

    /// Words of eight parameters that `layer` takes: biases and columns.
    fn words(&self, layer: usize) -> usize {
        self.columns(layer).take(self.block_count(layer)).map(|columns| 1 + columns).sum()
    }

    /// Runs the hidden layers, all features given, as `row` shows them; the output layer is run by
    /// [`Outputs`] as it is read.
    #[inline(always)]
    pub(crate) fn run<'s>(
        &self,
        context: &[f32],
        row: &[f32],
        scratch: &'s mut Scratch<'_>,
    ) -> Outputs<'m, 's> {
        let (mut weights, _) = self.parameters.as_chunks();
        let mut before: Option<(&mut Units, usize)> = None;
        for (number, (units, width)) in scratch.iter_mut().zip(self.hidden()).enumerate() {
            let mut inputs = match &before {
                None => Known { inputs: Inputs::given(context, row), seen: 0 },
                Some((units, listed)) => Known { inputs: units.listed(0..*listed), seen: 0 },
            };
            let mut free = Free::new(units, 0);
            let room = free.len();
            for (start, columns) in (0..width as u16).step_by(ROWS).zip(self.columns(number)) {
                let Some((sums, rest)) = block(weights, columns, inputs.of(columns)) else { break };
                free.list(&sums, start);
                weights = rest;
            }
            let listed = room - free.len();
            before = Some((units, listed));
        }
        let inputs = match before {
            Some((units, listed)) => units.listed(0..listed),
            // No network is without hidden layers.
            None => Inputs::All(&[]),
        };
        let inputs = Known { inputs, seen: 0 };
        Outputs { columns: self.columns(self.widths.len()), weights, inputs }
    }
}

/// The inputs of a layer, of which each block sees no fewer than the one before it.
struct Known<'a> {
    inputs: Inputs<'a>,
    /// Listed ones that the last block saw.
    seen: usize,
}

impl<'a> Known<'a> {
    /// Those that lie within the first `columns`.
    #[inline(always)]
    fn of(&mut self, columns: usize) -> Inputs<'a> {
        match self.inputs {
            Inputs::All(values) => Inputs::All(values.get(..columns).unwrap_or(values)),
            Inputs::Given(context, values) => {
                let count = columns.saturating_sub(context.len());
                Inputs::Given(context, values.get(..count).unwrap_or(values))
            }
            Inputs::Active(values, numbers) => {
                let within = |number: &u16| usize::from(*number) < columns;
                while numbers.get(self.seen).is_some_and(within) {
                    self.seen += 1;
                }
                Inputs::Active(
                    values.get(..self.seen).unwrap_or(values),
                    numbers.get(..self.seen).unwrap_or(numbers),
                )
            }
        }
    }
}

/// Computes the first block of `weights`, of this many `columns`; returns what lies behind it too.
#[inline(always)]
fn block<'m>(weights: &'m [Block], columns: usize, inputs: Inputs) -> Option<(Block, &'m [Block])> {
    let (bias, rest) = weights.split_first()?;
    let (own, rest) = rest.split_at_checked(columns)?;
    Some((kernel::add(bias, own, inputs), rest))
}

/// A masked network's outputs, computed as they are read.
pub(crate) struct Outputs<'m, 's> {
    columns: Columns,
    weights: &'m [Block],
    inputs: Known<'s>,
}

impl Iterator for Outputs<'_, '_> {
    type Item = Block;

    /// The next [`ROWS`] outputs.
    #[inline(always)]
    fn next(&mut self) -> Option<Block> {
        let columns = self.columns.next()?;
        let (sums, rest) = block(self.weights, columns, self.inputs.of(columns))?;
        self.weights = rest;
        Some(sums)
    }
}

/// A walk through a masked network, feature by feature.
pub(crate) struct Walk<'m, 's, 'w> {
    context: &'w [f32],
    layers: [Progress<'m>; MAX_HIDDEN],
    /// Number of hidden layers.
    count: usize,
    output: Progress<'m>,
    scratch: &'w mut Scratch<'s>,
}

/// How far one layer has come.
#[derive(Clone, Copy, Default)]
struct Progress<'m> {
    /// From the present block on.
    weights: &'m [Block],
    /// The present block's sums, once there are inputs in them.
    sums: Block,
    /// Inputs that are in the sums: columns of the first layer, listed units of the others.
    used: usize,
    /// Units in all.
    width: usize,
    /// Units that can be computed.
    reach: Reach,
    /// Units computed.
    units: usize,
    /// Those of them that are not zero, and listed.
    listed: usize,
}

impl<'m> Progress<'m> {
    /// Adds the columns of the inputs up to `known` to the sums, but for those that are in them.
    #[inline(always)]
    fn push<'i>(&mut self, inputs: impl Fn(Range<usize>) -> (Inputs<'i>, usize), known: usize) {
        let Some((bias, columns)) = self.weights.split_first() else { return };
        let (inputs, skipped) = inputs(self.used..known);
        let columns = columns.get(skipped..).unwrap_or_default();
        if self.used == 0 {
            self.sums = kernel::add(bias, columns, inputs);
        } else {
            kernel::add_few(&mut self.sums, columns, inputs);
        }
        self.used = known;
    }

    /// Goes to the block behind the present one of `columns` columns.
    #[inline(always)]
    fn advance(&mut self, columns: usize) {
        self.weights = self.weights.get(1 + columns..).unwrap_or_default();
        self.used = 0;
    }

    /// Computes the units that can be, once those in front of them are, and lists them in `units`.
    ///
    /// `known` of its inputs are, and a block has `columns` of them; `inputs` gives a part of them,
    /// and how many columns lie before the first one's.
    #[inline(always)]
    fn extend<'i>(
        &mut self,
        inputs: impl Fn(Range<usize>) -> (Inputs<'i>, usize),
        known: usize,
        columns: usize,
        units: &mut Units,
    ) {
        self.reach.step();
        while self.units < self.reach.units {
            if self.used < known || self.used == 0 {
                self.push(&inputs, known);
            }
            let start = self.units;
            let block = start / ROWS * ROWS;
            let end = (block + ROWS).min(self.reach.units);
            self.listed += if end - start == ROWS {
                let mut free = Free::new(units, self.listed);
                let room = free.len();
                free.list(&self.sums, start as u16);
                room - free.len()
            } else {
                units.list(self.listed, &self.sums, start..end)
            };
            self.units = end;
            if end == block + ROWS || end == self.width {
                self.advance(columns);
            }
        }
    }
}

impl<'m, 's, 'w> Walk<'m, 's, 'w> {
    /// Starts with no feature known.
    #[inline(always)]
    pub fn new(network: Masked<'m>, context: &'w [f32], scratch: &'w mut Scratch<'s>) -> Self {
        let (mut weights, _) = network.parameters.as_chunks();
        let count = network.widths.len();
        let mut layers = [Progress::default(); MAX_HIDDEN];
        for ((number, layer), width) in layers.iter_mut().enumerate().zip(network.hidden()) {
            (layer.weights, layer.width) = (weights, width);
            layer.reach = network.degrees.reach(width);
            weights = weights.get(network.words(number)..).unwrap_or_default();
        }
        let output = Progress { weights, ..Progress::default() };
        Self { context, layers, count, output, scratch }
    }

    /// Computes every unit that sees no more than `known`, one feature more than before.
    #[inline(always)]
    fn hidden(&mut self, known: &[f32]) {
        let context = if cfg!(feature = "context") { self.context } else { &[] };
        let count = context.len() + known.len();
        if count == 0 {
            return;
        }
        let [first, layers @ ..] = &mut self.layers;
        let [units, rest @ ..] = &mut *self.scratch;
        first.extend(|range| Inputs::given(context, known).part(range), count, count, units);
        let (mut before, mut above) = (first, units);
        for (layer, units) in layers.iter_mut().zip(rest).take(self.count.saturating_sub(1)) {
            layer.extend(|range| (above.listed(range), 0), before.listed, before.units, units);
            (before, above) = (layer, units);
        }
    }

    /// Computes the hidden units that see no more than `known`; lends the output layer and its
    /// inputs: how many of them are listed, and how many there are.
    #[inline(always)]
    fn output(&mut self, known: &[f32]) -> (&mut Progress<'m>, &Units<'s>, [usize; 2]) {
        self.hidden(known);
        let [a, b, c] = &self.layers;
        let [k, l, m] = &*self.scratch;
        let (last, units) = match self.count {
            1 => (a, k),
            2 => (b, l),
            _ => (c, m),
        };
        (&mut self.output, units, [last.listed, last.units])
    }

    /// The affine map of the next feature, given all `known` before it.
    #[inline(always)]
    pub fn affine(&mut self, known: &[f32], clip: f32) -> Affine {
        let (output, units, [listed, columns]) = self.output(known);
        if output.used < listed || output.used == 0 {
            output.push(|range| (units.listed(range), 0), listed);
        }
        let place = known.len() % GROUP;
        let map = Affine::of(&output.sums, place, clip);
        if place + 1 == GROUP {
            output.advance(columns);
        }
        map
    }

    /// Parameters of the spline of the next feature, given all `known` before it.
    #[inline(always)]
    pub fn spline(&mut self, known: &[f32]) -> [Block; Spline::BLOCKS] {
        let (output, units, [listed, columns]) = self.output(known);
        let mut parameters = [Block::default(); Spline::BLOCKS];
        for own in &mut parameters {
            let inputs = units.listed(0..listed);
            let Some((sums, rest)) = block(output.weights, columns, inputs) else { break };
            (*own, output.weights) = (sums, rest);
        }
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A block has the columns that the degree of its last unit says, in every layer.
        #[test]
        fn columns_follow_the_degrees(
            features in 2usize..=64,
            context in prop_oneof![Just(0usize), 1usize..5],
            widths in [1u32..200, 1u32..200],
            is_affine: bool,
        ) {
            let context = if cfg!(feature = "context") { context } else { 0 };
            let degrees = Degrees { features, context };
            let map = match is_affine {
                true => ScalarMap::Affine { clip: 1.0 },
                false => ScalarMap::Spline { bound: 1.0 },
            };
            let periodic = Periodic::default();
            let network = Masked { degrees, map, periodic, widths: &widths, parameters: &[] };
            let [first, second] = widths.map(|width| width as usize);
            let columns = |layer| network.columns(layer).take(network.block_count(layer));
            let last = |block: usize, width: usize| (block * ROWS + ROWS).min(width) - 1;
            for (block, columns) in columns(0).enumerate() {
                prop_assert_eq!(columns, context + degrees.degree(first, last(block, first)));
            }
            for (block, columns) in columns(1).enumerate() {
                let degree = degrees.degree(second, last(block, second));
                prop_assert_eq!(columns, degrees.units(first, degree));
            }
            for (block, columns) in columns(2).enumerate() {
                let behind = (block / map.blocks() + 1) * map.group();
                let feature = behind.min(features) - 1;
                prop_assert_eq!(columns, degrees.units(second, feature));
            }
        }
    }
}
