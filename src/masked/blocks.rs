//! The blocks of a masked network's layers, and the loops that compute them whole.

use core::ops::Range;

use crate::kernel::{self, Block, Listed, ROWS, Units};

/// Blocks that follow one another, each taken as its bias and its columns.
#[derive(Clone, Copy, Default)]
pub(super) struct Blocks<'m> {
    /// How many columns each has.
    columns: &'m [f32],
    weights: &'m [Block],
}

impl<'m> Blocks<'m> {
    /// Of the front of these parameters.
    pub fn new(columns: &'m [f32], weights: &'m [Block]) -> Self {
        Self { columns, weights }
    }

    /// Those behind the first `count`.
    pub fn behind(self, count: usize) -> Self {
        let (own, columns) = self.columns.split_at_checked(count).unwrap_or_default();
        let words = own.iter().map(|columns| 1 + columns.to_bits() as usize).sum::<usize>();
        Self { columns, weights: self.weights.get(words..).unwrap_or_default() }
    }

    /// The next block's columns from `first` on, and what lies behind them.
    #[inline(always)]
    pub fn columns(&self, first: usize) -> &'m [Block] {
        self.weights.get(1 + first..).unwrap_or_default()
    }

    /// The next block's sums over `inputs`.
    #[inline(always)]
    pub fn sums(&mut self, inputs: Listed) -> Option<Block> {
        self.next().map(|(bias, columns)| kernel::add_listed(bias, columns, inputs))
    }

    /// Computes the first layer's units in `range`, whole blocks, from the context and the features
    /// that are known. Lists them in `units` behind the first `listed`; how many are listed then.
    #[inline(never)]
    pub fn list_given(
        &mut self,
        (context, known): (&[f32], &[f32]),
        range: Range<usize>,
        units: &mut Units,
        listed: usize,
    ) -> usize {
        self.list(range, units, listed, |bias, own| kernel::seen(*bias, own, context, known))
    }

    /// The same of a layer behind it, from the `inputs` that are listed.
    #[inline(never)]
    pub fn list_listed(
        &mut self,
        inputs: Listed,
        range: Range<usize>,
        units: &mut Units,
        listed: usize,
    ) -> usize {
        self.list(range, units, listed, |bias, own| kernel::listed(*bias, own, inputs))
    }

    #[inline(always)]
    fn list(
        &mut self,
        range: Range<usize>,
        units: &mut Units,
        mut listed: usize,
        sums: impl Fn(&Block, &[Block]) -> Block,
    ) -> usize {
        let mut blocks = *self;
        for unit in range.step_by(ROWS) {
            let Some((bias, columns)) = blocks.next() else { break };
            listed += units.list(listed, &sums(bias, columns), unit as u16);
        }
        *self = blocks;
        listed
    }
}

impl<'m> Iterator for Blocks<'m> {
    type Item = (&'m Block, &'m [Block]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (count, columns) = self.columns.split_first()?;
        let (bias, rest) = self.weights.split_first()?;
        let (own, weights) = rest.split_at_checked(count.to_bits() as usize)?;
        *self = Self { columns, weights };
        Some((bias, own))
    }
}
