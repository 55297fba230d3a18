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
    /// After how many steps from the start unit `unit` is known.
    fn steps(self, unit: usize) -> usize {
        let group = unit.checked_div(self.unit).unwrap_or(0);
        (group * self.degrees).checked_div(self.of).unwrap_or(0) + 1
    }

    /// Units known after `steps` from the start.
    fn after(self, steps: usize) -> usize {
        let groups = steps * self.of + self.degrees.saturating_sub(1);
        self.units + self.unit * groups.checked_div(self.degrees).unwrap_or(0)
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

/// Columns of the blocks of a layer, one after the other.
#[derive(Clone, Copy)]
enum Columns {
    Hidden { own: Reach, before: Reach, width: usize, end: usize, curves: Curves },
    Output { before: Reach, map: ScalarMap, features: usize, end: usize, left: usize },
}

impl Iterator for Columns {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Hidden { own, before, width, end, curves } => {
                *end = (*end + ROWS).min(*width);
                // A block sees what its last unit sees.
                let steps = own.steps(end.saturating_sub(1));
                Some(before.after(steps) + curves.after(steps))
            }
            Self::Output { before, map, features, end, left } => {
                if *left == 0 {
                    *left = map.blocks();
                    *end = (*end + map.group()).min(*features);
                }
                *left -= 1;
                // The last feature of a group sees the others.
                Some(before.after(end.saturating_sub(1)))
            }
        }
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
        let map = self.map;
        match self.widths.get(layer) {
            Some(width) => {
                let width = *width as usize;
                let curves = match layer {
                    0 => Curves { periodic: self.periodic, first: self.degrees.first() },
                    _ => Curves::default(),
                };
                Columns::Hidden { own: self.degrees.reach(width), before, width, end: 0, curves }
            }
            None => {
                // With a context, its step comes before those of the features.
                let first = self.degrees.first();
                let features = self.degrees.features + first;
                Columns::Output { before, map, features, end: first, left: 0 }
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

    /// Runs the hidden layers, all features given, as `row` shows them; the output layer is run by [`Outputs`]
    /// as it is read.
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

/// So many inputs cost less one by one than a call of the kernel for all of them.
const FEW: usize = 3;

/// How far one layer has come.
#[derive(Clone, Copy)]
struct Progress<'m> {
    /// The present block, and all behind it.
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
    /// Nothing is computed.
    #[inline(always)]
    fn start(weights: &'m [Block], reach: Reach, width: usize) -> Self {
        Self { weights, sums: [0.0; ROWS], used: 0, width, reach, units: 0, listed: 0 }
    }

    /// Adds columns, those of `inputs`, to the sums, or to the bias where there are none yet.
    #[inline(always)]
    fn push(&mut self, inputs: Inputs, skipped: usize) {
        let Some((bias, columns)) = self.weights.split_first() else { return };
        let columns = columns.get(skipped..).unwrap_or_default();
        if self.used == 0 {
            self.sums = kernel::add(bias, columns, inputs);
        } else if inputs.len() <= FEW {
            inputs.each(|number, value| {
                if let Some(column) = columns.get(number) {
                    kernel::add_column(&mut self.sums, column, value);
                }
            });
        } else {
            let start = self.sums;
            self.sums = kernel::add(&start, columns, inputs);
        }
    }

    /// Goes to the block behind the present one of `columns` columns.
    #[inline(always)]
    fn advance(&mut self, columns: usize) {
        self.weights = self.weights.get(1 + columns..).unwrap_or_default();
        self.used = 0;
    }

    /// Computes the units that can be, once those in front of them are, and lists them in `units`.
    ///
    /// `inputs(used)` are the inputs known, but for the first `used`, and how many columns to skip
    /// for those; `known` how many there are, and `columns` how many a block of them has.
    #[inline(always)]
    fn extend<'i>(
        &mut self,
        inputs: impl Fn(usize) -> (Inputs<'i>, usize),
        known: usize,
        columns: usize,
        units: &mut Units,
    ) {
        self.reach.step();
        while self.units < self.reach.units {
            if self.used < known || self.used == 0 {
                let (new, skipped) = inputs(self.used);
                self.push(new, skipped);
                self.used = known;
            }
            let start = self.units;
            let block = start / ROWS * ROWS;
            let end = (block + ROWS).min(self.reach.units);
            if end - start == ROWS {
                let mut free = Free::new(units, self.listed);
                let room = free.len();
                free.list(&self.sums, start as u16);
                self.listed += room - free.len();
            } else {
                for unit in start..end {
                    let value = self.sums.get(unit % ROWS).copied().unwrap_or_default();
                    self.listed += usize::from(units.list(self.listed, value, unit as u16));
                }
            }
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
        let (mut rest, _) = network.parameters.as_chunks();
        let count = network.widths.len();
        let mut start = |number| {
            let Some(width) = network.widths.get(number) else {
                return Progress::start(&[], Reach::default(), 0);
            };
            let words = network.words(number);
            let (own, behind) = rest.split_at_checked(words).unwrap_or_default();
            rest = behind;
            let width = *width as usize;
            Progress::start(own, network.degrees.reach(width), width)
        };
        let layers = [start(0), start(1), start(2)];
        let output = Progress::start(rest, Reach::default(), 0);
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
        let inputs = |used: usize| match used.checked_sub(context.len()) {
            Some(used_features) => {
                (Inputs::All(known.get(used_features..).unwrap_or_default()), used)
            }
            None => (Inputs::given(context, known), 0),
        };
        first.extend(inputs, count, count, units);
        let (mut before, mut above) = (first, units);
        for (layer, units) in layers.iter_mut().zip(rest).take(self.count.saturating_sub(1)) {
            let listed = before.listed;
            let inputs = |used| (above.listed(used..listed), 0);
            layer.extend(inputs, listed, before.units, units);
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
            output.push(units.listed(output.used..listed), 0);
            output.used = listed;
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
