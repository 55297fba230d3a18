//! The network inside a bijection: dense layers with a ReLU between them.
//!
//! h_0 = inputs, h_l = max(0, W_l h_(l-1) + b_l), outputs = W_n h_(n-1) + b_n, with one to
//! [`MAX_HIDDEN`] hidden layers (Nair and Hinton 2010 for the ReLU).

use crate::Error;
use crate::bijection::Record;
use crate::kernel::{self, Block, Inputs, ROWS, Unit, blocks};

/// Most hidden layers of one network.
pub const MAX_HIDDEN: usize = 3;

/// A dense layer: W in blocks of rows, each with its bias in front.
#[derive(Clone, Copy, Debug, Default)]
struct Linear<'m> {
    rows: usize,
    columns: usize,
    weights: &'m [Block],
}

impl<'m> Linear<'m> {
    /// Words that `rows` x `columns` weights and their biases take.
    fn words(rows: usize, columns: usize) -> Option<usize> {
        blocks(rows).checked_mul(columns.checked_add(1)?)?.checked_mul(ROWS)
    }

    /// Takes the layer from the front of `parameters`.
    fn take(rows: usize, columns: usize, parameters: &'m [f32]) -> Option<(Self, &'m [f32])> {
        let (weights, rest) = parameters.split_at_checked(Self::words(rows, columns)?)?;
        let (weights, _) = weights.as_chunks();
        Some((Self { rows, columns, weights }, rest))
    }
}

/// A network borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Network<'m> {
    hidden: [Linear<'m>; MAX_HIDDEN],
    hidden_count: usize,
    output: Linear<'m>,
}

impl<'m> Network<'m> {
    /// Words of a layer's record that describe its network: the number of hidden layers and
    /// their widths.
    pub(crate) const WORDS: usize = 1 + MAX_HIDDEN;

    /// Reads the network described from word `first` of `record` on.
    ///
    /// `parameters` is what follows the bijection's offset; returned with the network is what
    /// remains behind its weights.
    pub(crate) fn take(
        record: &Record,
        first: usize,
        inputs: usize,
        outputs: usize,
        parameters: &'m [f32],
    ) -> Result<(Self, &'m [f32]), Error> {
        let hidden_count = record.word(first);
        if !(1..=MAX_HIDDEN).contains(&hidden_count) {
            return Err(record.shape(first));
        }
        let mut hidden = [Linear::default(); MAX_HIDDEN];
        let mut columns = inputs;
        let mut rest = parameters;
        for (number, layer) in hidden.iter_mut().enumerate() {
            let word = first + 1 + number;
            let rows = record.word(word);
            if (number < hidden_count) != (rows > 0) || rows > usize::from(u16::MAX) {
                return Err(record.shape(word));
            }
            if rows > 0 {
                (*layer, rest) = Linear::take(rows, columns, rest).ok_or(record.shape(word))?;
                columns = rows;
            }
        }
        let (output, rest) = Linear::take(outputs, columns, rest).ok_or(record.shape(first))?;
        Ok((Self { hidden, hidden_count, output }, rest))
    }

    /// Widths of the hidden layers.
    pub fn hidden(&self) -> impl Iterator<Item = usize> {
        self.hidden.iter().take(self.hidden_count).map(|layer| layer.rows)
    }

    /// Units of the widest hidden layer, in whole blocks.
    pub(crate) fn width(&self) -> usize {
        self.hidden().map(blocks).max().unwrap_or(0) * ROWS
    }

    /// Products of one pass, the zeros that a ReLU makes included.
    pub(crate) fn multiply_adds(&self) -> usize {
        let layers = self.hidden.iter().take(self.hidden_count).chain([&self.output]);
        layers.map(|layer| layer.rows * layer.columns).sum()
    }

    /// Runs the hidden layers on `inputs`; the output layer is run by [`Outputs`] as it is read.
    pub(crate) fn run<'s>(&self, inputs: &[f32], scratch: &'s mut Scratch<'_>) -> Outputs<'m, 's> {
        let Scratch { values: [here, there], units } = scratch;
        let (mut here, mut there): (&mut [f32], &mut [f32]) = (here, there);
        let (mut width, mut listed) = (0, None);
        for (number, layer) in self.hidden.iter().take(self.hidden_count).enumerate() {
            let source = match number {
                0 => Inputs::All(inputs),
                _ => Inputs::rectified(here.get(..width).unwrap_or_default(), units, listed),
            };
            let (blocks_there, _) = there.as_chunks_mut();
            let out = blocks_there.get_mut(..blocks(layer.rows)).unwrap_or_default();
            kernel::apply(layer.columns, layer.weights, source, out);
            core::mem::swap(&mut here, &mut there);
            width = layer.rows;
            listed = kernel::rectify(here.get_mut(..width).unwrap_or_default(), units);
        }
        let values = here.get(..width).unwrap_or_default();
        Outputs { layer: self.output, inputs: Inputs::rectified(values, units, listed) }
    }
}

/// Memory of a network: two layers' values and a list of the non-zero ones, each
/// [`Network::width`] long.
#[derive(Debug)]
pub(crate) struct Scratch<'s> {
    pub values: [&'s mut [f32]; 2],
    pub units: &'s mut [Unit],
}

/// A network's outputs, computed as they are read, so that no buffer has to hold them.
pub(crate) struct Outputs<'m, 's> {
    layer: Linear<'m>,
    inputs: Inputs<'s>,
}

impl Iterator for Outputs<'_, '_> {
    type Item = Block;

    /// The next [`ROWS`] outputs.
    fn next(&mut self) -> Option<Block> {
        let Linear { columns, weights, .. } = self.layer;
        let (block, rest) = weights.split_at_checked(columns + 1)?;
        let mut out = [[0.0; ROWS]];
        kernel::apply(columns, block, self.inputs, &mut out);
        self.layer.weights = rest;
        let [out] = out;
        Some(out)
    }
}
