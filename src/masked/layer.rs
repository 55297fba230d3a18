//! A layer of a masked network and the loops that compute it.

use crate::kernel::{self, Block, Listed, ROWS, Units};

/// Blocks that follow one another, each taken as its bias and its columns.
#[derive(Clone, Copy, Default)]
pub(super) struct Blocks<'m> {
    /// How many columns each has, as the file says: the bits are a whole number.
    counts: &'m [f32],
    weights: &'m [Block],
}

impl<'m> Blocks<'m> {
    /// Of the front of these weights.
    pub fn new(counts: &'m [f32], weights: &'m [Block]) -> Self {
        Self { counts, weights }
    }

    /// How many columns each has.
    pub fn counts(&self) -> &'m [f32] {
        self.counts
    }

    /// The first `count` of them, with the weights of all, and the numbers of columns behind them.
    #[inline(always)]
    fn split(self, count: usize) -> (Self, &'m [f32]) {
        let (own, behind) = self.counts.split_at_checked(count).unwrap_or_default();
        (Self { counts: own, ..self }, behind)
    }

    /// Columns of the next one, if there is one.
    #[inline(always)]
    fn columns(&self) -> Option<usize> {
        self.counts.first().map(|count| count.to_bits() as usize)
    }

    /// The next one's sums over `inputs`.
    #[inline(always)]
    pub fn sums(&mut self, inputs: Listed) -> Option<Block> {
        let (bias, columns) = self.next()?;
        Some(kernel::listed(*bias, columns, inputs))
    }
}

impl<'m> Iterator for Blocks<'m> {
    type Item = (&'m Block, &'m [Block]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (count, counts) = self.counts.split_first()?;
        let (bias, rest) = self.weights.split_first()?;
        let (own, weights) = rest.split_at_checked(count.to_bits() as usize)?;
        *self = Self { counts, weights };
        Some((bias, own))
    }
}

/// A hidden layer, computed block by block: each once all that it sees is known.
#[derive(Clone, Copy, Default)]
pub(super) struct Layer<'m> {
    /// The blocks that are still to be computed.
    blocks: Blocks<'m>,
    /// Units computed.
    units: usize,
    /// Those of them that are not zero, and listed.
    listed: usize,
}

impl<'m> Layer<'m> {
    /// The first `count` of `blocks`, and the numbers of columns behind them.
    #[inline(always)]
    pub fn of(blocks: Blocks<'m>, count: usize) -> (Self, &'m [f32]) {
        let (blocks, behind) = blocks.split(count);
        (Self { blocks, units: 0, listed: 0 }, behind)
    }

    /// The weights behind it, once all of it is computed.
    #[inline(always)]
    pub fn behind(&self) -> &'m [Block] {
        self.blocks.weights
    }

    /// The weights behind it before that.
    #[inline(always)]
    pub fn skip(&self) -> &'m [Block] {
        let count = |columns: &f32| 1 + columns.to_bits() as usize;
        let (fours, rest) = self.blocks.counts.as_chunks();
        let mut words = rest.iter().map(count).sum();
        for [a, b, c, d] in fours {
            words += count(a) + count(b) + count(c) + count(d);
        }
        self.blocks.weights.get(words..).unwrap_or_default()
    }

    /// Units computed.
    #[inline(always)]
    pub fn units(&self) -> usize {
        self.units
    }

    /// Those of them that are not zero, and listed.
    #[inline(always)]
    pub fn listed(&self) -> usize {
        self.listed
    }

    /// Whether the next block sees no more than the first `known` inputs.
    #[inline(always)]
    pub fn is_ready(&self, known: usize) -> bool {
        self.blocks.columns().is_some_and(|columns| columns <= known)
    }

    /// Computes the blocks that see no more than the context and the features that are known, and
    /// lists their units in `units`.
    #[inline(never)]
    pub fn list_given(&mut self, context: &[f32], known: &[f32], units: &mut Units) {
        self.list(context.len() + known.len(), units, |bias, own| {
            kernel::seen(*bias, own, context, known)
        });
    }

    /// The same of a layer behind `before`, whose units `inputs` lists.
    #[inline(never)]
    pub fn list_listed(&mut self, before: &Layer, inputs: &Units, units: &mut Units) {
        let Some(inputs) = inputs.listed(before.listed) else { return };
        self.list(before.units, units, |bias, own| kernel::listed(*bias, own, inputs));
    }

    #[inline(always)]
    fn list(&mut self, known: usize, units: &mut Units, sums: impl Fn(&Block, &[Block]) -> Block) {
        let mut own = *self;
        while own.is_ready(known) {
            let Some((bias, columns)) = own.blocks.next() else { break };
            own.listed += units.list(own.listed, &sums(bias, columns), own.units as u16);
            own.units += ROWS;
        }
        *self = own;
    }
}
