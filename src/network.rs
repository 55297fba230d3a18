//! The network inside a bijection: dense layers with a ReLU between them.
//!
//! h_0 = inputs, h_l = max(0, W_l h_(l-1) + b_l), outputs = W_n h_(n-1) + b_n, with one to
//! [`MAX_HIDDEN`] hidden layers (Nair and Hinton 2010 for the ReLU).

use crate::Error;
use crate::kernel::{self, Block, Inputs, ROWS, Units, blocks};
use crate::record::Record;
use crate::scalar;

/// Most hidden layers of one network.
pub const MAX_HIDDEN: usize = 3;

/// Most units of one hidden layer, far beyond what fits a microcontroller's flash.
pub const MAX_WIDTH: usize = 1 << 14;

/// Largest magnitude of a parameter. With 128 inputs held inside 2^20, 64 more of periodic features
/// inside 1, and [`MAX_WIDTH`], three hidden layers stay inside 2^104: no sum in them overflows,
/// hence none is NaN.
pub const MAX_PARAMETER: f32 = (1u32 << 16) as f32;

/// Whether |x| is at most [`MAX_PARAMETER`], and a number.
pub(crate) fn is_bounded(x: f32) -> bool {
    x.abs() <= MAX_PARAMETER
}

/// Takes a dense layer of `rows` x `columns`, each at most [`MAX_WIDTH`], from the front of
/// `parameters`: its blocks, and what remains.
fn take(rows: usize, columns: usize, parameters: &[f32]) -> Option<(&[Block], &[f32])> {
    let words = blocks(rows) * (columns + 1) * ROWS;
    let (weights, rest) = parameters.split_at_checked(words)?;
    let (weights, _) = weights.as_chunks();
    Some((weights, rest))
}

/// A network borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Network<'m> {
    inputs: usize,
    /// Widths of the hidden layers.
    widths: &'m [u32],
    outputs: usize,
    /// Of all layers, one behind the other, and what follows them.
    parameters: &'m [f32],
}

impl<'m> Network<'m> {
    /// Words that describe a network: the number of its hidden layers and their widths.
    pub(crate) const WORDS: usize = 1 + MAX_HIDDEN;

    /// Views the network described from word `first` of `record` on.
    pub(crate) fn new(
        record: &Record<'m>,
        first: usize,
        inputs: usize,
        outputs: usize,
        parameters: &'m [f32],
    ) -> Self {
        Self { inputs, widths: record.slice(first + 1, record.word(first)), outputs, parameters }
    }

    /// Views the network that `shape` describes.
    #[cfg(feature = "latent")]
    pub(crate) fn of_shape(
        shape: &'m [u32; 1 + MAX_HIDDEN],
        inputs: usize,
        outputs: usize,
        parameters: &'m [f32],
    ) -> Self {
        let [count, widths @ ..] = shape;
        let widths = widths.get(..*count as usize).unwrap_or_default();
        Self { inputs, widths, outputs, parameters }
    }

    /// Refuses what is no network, or does not fit its parameters. Returns how many of them it
    /// takes.
    pub(crate) fn check(&self, record: &Record<'m>, first: usize) -> Result<usize, Error> {
        let count = record.word(first);
        if !(1..=MAX_HIDDEN).contains(&count) {
            return Err(record.shape(first));
        }
        record.unused(first + 1 + count..first + Self::WORDS)?;
        self.take_all().map_err(|word| record.shape(first + word))
    }

    /// How many parameters it takes, or the word of its shape that does not fit them.
    pub(crate) fn take_all(&self) -> Result<usize, usize> {
        let (mut columns, mut rest) = (self.inputs, self.parameters);
        for (word, rows) in (1..).zip(self.hidden()) {
            if !(1..=MAX_WIDTH).contains(&rows) {
                return Err(word);
            }
            (_, rest) = take(rows, columns, rest).ok_or(word)?;
            columns = rows;
        }
        (_, rest) = take(self.outputs, columns, rest).ok_or(0usize)?;
        Ok(self.parameters.len() - rest.len())
    }

    /// Number of values that it sees.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
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
        let columns = [self.inputs].into_iter().chain(self.hidden());
        let rows = self.hidden().chain([self.outputs]);
        rows.zip(columns).map(|(rows, columns)| rows * columns).sum()
    }

    /// Rows of its output layer.
    #[cfg(feature = "write")]
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Runs the hidden layers on `inputs`; the output layer is run by [`Outputs`] as it is read.
    pub(crate) fn run<'s>(&self, inputs: Inputs, scratch: &'s mut Scratch<'_>) -> Outputs<'m, 's> {
        self.run_noting(inputs, scratch, |_| ())
    }

    /// The same, and tells `note` of each hidden layer how many units are listed, none where so many are
    /// open that all are read.
    #[inline(always)]
    pub(crate) fn run_noting<'s>(
        &self,
        inputs: Inputs,
        scratch: &'s mut Scratch<'_>,
        note: impl FnMut(Option<usize>),
    ) -> Outputs<'m, 's> {
        let (weights, _) = self.parameters.as_chunks();
        let layers = Layers { counts: &[], columns: self.inputs, weights };
        layers.run(self.hidden(), inputs, scratch, note)
    }
}

/// The layers of a network that are still to be run.
#[derive(Clone, Copy)]
pub(crate) struct Layers<'m> {
    /// Columns of each block of a masked network, [`crate::masked`]; none of any other.
    pub counts: &'m [f32],
    /// Columns of the blocks of the next layer where there are no `counts`.
    pub columns: usize,
    pub weights: &'m [Block],
}

impl<'m> Layers<'m> {
    /// Runs the hidden ones, of which `hidden` has the widths; see [`Network::run_noting`].
    #[inline(always)]
    pub fn run<'s>(
        mut self,
        hidden: impl Iterator<Item = usize>,
        inputs: Inputs,
        scratch: &'s mut Scratch<'_>,
        mut note: impl FnMut(Option<usize>),
    ) -> Outputs<'m, 's> {
        let [here, there, units] = scratch;
        let (mut here, mut there) = (here, there);
        let mut listed = None;
        for (number, rows) in hidden.enumerate() {
            let source = match number {
                0 => inputs,
                _ => rectified(here, units, self.columns, listed),
            };
            let out = there.blocks(blocks(rows));
            self.apply(source, out);
            listed = kernel::rectify(out, units);
            note(listed);
            core::mem::swap(&mut here, &mut there);
            self.columns = rows;
        }
        let inputs = rectified(here, units, self.columns, listed);
        Outputs { layers: self, inputs }
    }

    /// Computes the next blocks.
    #[inline(always)]
    fn apply(&mut self, inputs: Inputs, out: &mut [Block]) {
        let Self { counts, columns, weights } = self;
        *weights = kernel::apply(counts, *columns, weights, inputs, out);
        *counts = counts.get(out.len()..).unwrap_or_default();
    }
}

/// Memory of a network: one [`Units`] for each hidden layer that it may have, [`Network::width`]
/// long. A network run layer by layer keeps two layers' values and a list of the non-zero ones.
pub(crate) type Scratch<'s> = [Units<'s>; MAX_HIDDEN];

/// What [`kernel::rectify`] left: the first `listed` of `units`, or `count` of `values`.
fn rectified<'s>(
    values: &'s Units,
    units: &'s Units,
    count: usize,
    listed: Option<usize>,
) -> Inputs<'s> {
    match listed {
        Some(listed) => Inputs::Active(units.listed(listed).unwrap_or_default()),
        None => Inputs::All(values.values(count)),
    }
}

/// A network's outputs.
pub(crate) struct Outputs<'m, 's> {
    /// The output layer alone.
    layers: Layers<'m>,
    inputs: Inputs<'s>,
}

impl scalar::Outputs for Outputs<'_, '_> {
    #[inline(always)]
    fn read(&mut self, out: &mut [Block]) {
        self.layers.apply(self.inputs, out);
    }
}

#[cfg(feature = "latent")]
impl Iterator for Outputs<'_, '_> {
    type Item = Block;

    /// The next [`ROWS`] outputs.
    fn next(&mut self) -> Option<Block> {
        let mut out = [Block::default()];
        (!self.layers.weights.is_empty()).then(|| scalar::Outputs::read(self, &mut out))?;
        let [out] = out;
        Some(out)
    }
}
