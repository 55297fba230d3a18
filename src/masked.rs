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

mod degrees;
mod walk;

use crate::Error;
use crate::bijection::{Record, Sizes};
use crate::kernel::{self, Block, Free, Inputs, ROWS, Units, blocks};
use crate::network::{MAX_HIDDEN, MAX_WIDTH, Scratch};
use crate::periodic::Periodic;
use crate::scalar::ScalarMap;
use degrees::{Columns, Curves, Reach};

pub use degrees::Degrees;
pub(crate) use walk::Walk;

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
