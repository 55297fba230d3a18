//! The masked network of an autoregressive layer (Germain et al. 2015, "MADE: Masked Autoencoder
//! for Distribution Estimation"), whose outputs for feature d depend on the features before d.
//!
//! Each hidden unit has a degree m: it sees the first m features, and in the next layer only
//! units of at least its degree see it. Here the units of a layer stand in the order of their
//! degrees, 8 of one degree in each block, so every block sees a prefix of the layer before it. A mask
//! is then a length, and the zero half of the weights is neither stored nor multiplied.
//!
//! With all features given, the network runs layer by layer (`Masked::run`). Where each feature
//! follows from those before it, a `Walk` computes each block once, as soon as the features that it
//! needs are known: one pass too, in more and smaller steps.
//!
//! A periodic feature has two columns, one behind the other, so that what sees the first m features
//! sees a prefix of the columns still.
//!
//! In a file, the parameters are first the number of columns of each block of 8 rows, of all layers
//! (`u32`), then the blocks: a bias and as many columns as the last row sees; what the other rows do
//! not see is zero.

mod degrees;
mod layer;
#[cfg(feature = "latent")]
mod prefixes;
mod walk;

use crate::Error;
use crate::kernel::{Block, Listed, ROWS, Units, blocks};
use crate::network::{MAX_HIDDEN, MAX_WIDTH, Scratch};
use crate::periodic::Periodic;
use crate::record::{Record, Sizes};
use crate::scalar::{self, ScalarMap};
use layer::{Blocks, Layer};

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
        let columns = self.blocks().counts();
        let mut words = columns.len();
        let layers = self.block_counts().enumerate();
        let places = layers.flat_map(|(layer, count)| (0..count).map(move |block| (layer, block)));
        for (block, (layer, own)) in places.enumerate() {
            let found = columns.get(block).ok_or(record.shape(first))?.to_bits();
            let expected = self.columns(layer, own);
            if found as usize != expected {
                return Err(Error::Columns { layer: record.layer, block, found, expected });
            }
            words += ROWS * (1 + expected);
        }
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
        self.blocks().map(|(_, columns)| columns.len()).sum::<usize>() * ROWS
    }

    /// Columns of block `block` of `layer`: as many as its last row sees. The output layer stands
    /// behind the hidden ones.
    fn columns(&self, layer: usize, block: usize) -> usize {
        let width = |layer: usize| self.widths.get(layer).map(|width| *width as usize);
        let known = match width(layer) {
            Some(width) => self.degrees.degree(layer, width, block * ROWS),
            None => {
                let behind = (block / self.map.blocks() + 1) * self.map.group();
                behind.min(self.degrees.features) - 1
            }
        };
        let before = layer.checked_sub(1).and_then(|layer| Some((layer, width(layer)?)));
        self.degrees.seen(self.periodic, before, known)
    }

    /// Blocks of each layer.
    fn block_counts(&self) -> impl Iterator<Item = usize> {
        self.hidden().map(blocks).chain([self.output_blocks()])
    }

    fn output_blocks(&self) -> usize {
        blocks(self.map.rows(self.degrees.features))
    }

    /// The number of columns of each block of each layer, the output layer's last.
    #[cfg(feature = "write")]
    pub(crate) fn columns_of_blocks(&self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        let counts = self.block_counts().enumerate();
        counts.map(move |(layer, count)| (0..count).map(move |block| self.columns(layer, block)))
    }

    /// The blocks of all layers.
    #[inline(always)]
    fn blocks(&self) -> Blocks<'m> {
        let (columns, weights) = self.counts_and_weights();
        Blocks::new(columns, weights)
    }

    /// How many columns each block has, and the blocks.
    #[inline(always)]
    fn counts_and_weights(&self) -> (&'m [f32], &'m [Block]) {
        // `block_counts` would be a call for each row.
        let count = self.hidden().map(blocks).sum::<usize>() + self.output_blocks();
        let (columns, weights) = self.parameters.split_at_checked(count).unwrap_or_default();
        let (weights, _) = weights.as_chunks();
        (columns, weights)
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
        self.run_noting(context, row, scratch, |_| ())
    }

    /// The same, and tells `note` of each hidden layer which units are listed.
    #[inline(always)]
    pub(crate) fn run_noting<'s>(
        &self,
        context: &[f32],
        row: &[f32],
        scratch: &'s mut Scratch<'_>,
        mut note: impl FnMut(Listed),
    ) -> Outputs<'m, 's> {
        let mut next = self.blocks();
        let mut before: Option<(Layer, &Units)> = None;
        for (units, width) in scratch.iter_mut().zip(self.hidden()) {
            let (mut layer, behind) = Layer::of(next, blocks(width));
            match before {
                None => layer.list_given(context, row, units),
                Some((before, inputs)) => layer.list_listed(&before, inputs, units),
            }
            next = Blocks::new(behind, layer.behind());
            note(units.listed(layer.listed()).unwrap_or_default());
            before = Some((layer, units));
        }
        // No network is without hidden layers.
        let inputs = before.and_then(|(layer, units)| units.listed(layer.listed()));
        let inputs = inputs.unwrap_or_default();
        Outputs { blocks: next, inputs }
    }
}

/// A masked network's outputs, computed as they are read.
pub(crate) struct Outputs<'m, 's> {
    blocks: Blocks<'m>,
    inputs: Listed<'s>,
}

impl scalar::Outputs for Outputs<'_, '_> {
    #[inline(always)]
    fn read(&mut self, out: &mut [Block]) {
        for block in out {
            *block = self.blocks.sums(self.inputs).unwrap_or_default();
        }
    }
}
