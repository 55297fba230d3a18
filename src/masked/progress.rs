//! How far a layer has come whose inputs become known one after the other.

use core::ops::Range;

use super::blocks::Blocks;
use super::degrees::Reach;
use crate::kernel::{self, Block, Listed, ROWS, Units};

/// How far one layer has come.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress<'m> {
    /// The present block and those behind it.
    blocks: Blocks<'m>,
    /// The present block's sums, once there are inputs in them.
    sums: Block,
    /// Inputs that are in the sums: columns of the first layer, listed units of the others.
    used: usize,
    /// Units that can be computed.
    reach: Reach,
    /// Units computed.
    units: usize,
    /// Those of them that are not zero, and listed.
    listed: usize,
}

impl<'m> Progress<'m> {
    /// At the front of a layer.
    #[inline(always)]
    pub fn new(blocks: Blocks<'m>, reach: Reach) -> Self {
        Self { blocks, reach, ..Self::default() }
    }

    /// Units computed that are not zero, and listed.
    #[inline(always)]
    pub fn listed(&self) -> usize {
        self.listed
    }

    /// Computes the first layer's units that can be after one more step, and lists them in `units`.
    #[inline(never)]
    pub fn step_given(&mut self, context: &[f32], known: &[f32], units: &mut Units) {
        self.step(
            units,
            |blocks, range, units, listed| {
                blocks.list_given((context, known), range, units, listed)
            },
            |layer| layer.add_given(context, known),
        );
    }

    /// The same of another layer, of whose `inputs` so many are listed.
    #[inline(never)]
    pub fn step_listed(&mut self, inputs: &Units, count: usize, units: &mut Units) {
        self.step(
            units,
            |blocks, range, units, listed| {
                blocks.list_listed(inputs.listed(0..count), range, units, listed)
            },
            |layer| layer.add_listed(inputs, count),
        );
    }

    /// One more step: `list` computes whole blocks, `add` the sums of one that is not whole.
    #[inline(always)]
    fn step(
        &mut self,
        units: &mut Units,
        list: impl Fn(&mut Blocks<'m>, Range<usize>, &mut Units, usize) -> usize,
        add: impl Fn(&mut Self),
    ) {
        self.reach.step();
        while self.units < self.reach.units {
            if let Some(range) = self.whole() {
                self.units = range.end;
                self.listed = list(&mut self.blocks, range, units, self.listed);
            } else {
                add(self);
                self.list(units);
            }
        }
    }

    /// The units of whole blocks that can be computed, if there are.
    #[inline(always)]
    fn whole(&self) -> Option<Range<usize>> {
        let end = self.reach.units / ROWS * ROWS;
        (self.units.is_multiple_of(ROWS) && self.units < end).then_some(self.units..end)
    }

    /// Puts the present block's first sums in place.
    #[inline(always)]
    fn start(&mut self, sums: impl FnOnce(&Block, &[Block]) -> Block) {
        if let Some((bias, own)) = { self.blocks }.next() {
            self.sums = sums(bias, own);
        }
    }

    /// Adds what is new among the first layer's inputs to the present block's sums. A context
    /// becomes known as a whole.
    #[inline(always)]
    fn add_given(&mut self, context: &[f32], known: &[f32]) {
        let (used, count) = (self.used, context.len() + known.len());
        if used == 0 {
            self.start(|bias, own| kernel::add_given(bias, own, context, known));
        } else if used < count {
            let new = known.get(used.saturating_sub(context.len())..).unwrap_or_default();
            self.sums = kernel::each_of_all(self.sums, self.blocks.columns(used), new);
        }
        self.used = count;
    }

    /// The same of another layer.
    #[inline(always)]
    fn add_listed(&mut self, inputs: &Units, count: usize) {
        if self.used == 0 {
            let inputs = inputs.listed(0..count);
            self.start(|bias, own| kernel::add_listed(bias, own, inputs));
        } else if self.used < count {
            let new = inputs.listed(self.used..count);
            self.sums = kernel::each_listed(self.sums, self.blocks.columns(0), new);
        }
        self.used = count;
    }

    /// Lists the present block's units that can be computed.
    #[inline(always)]
    fn list(&mut self, units: &mut Units) {
        let block_end = (self.units / ROWS + 1) * ROWS;
        let end = block_end.min(self.reach.units);
        self.listed += units.list_some(self.listed, &self.sums, self.units..end);
        self.units = end;
        if end == block_end {
            self.advance();
        }
    }

    /// The present block's sums over the first `count` of `inputs`, no fewer than the last time.
    #[inline(never)]
    pub fn sums(&mut self, inputs: &Units, count: usize) -> &Block {
        self.add_listed(inputs, count);
        &self.sums
    }

    /// The next block's sums over `inputs`.
    #[inline(always)]
    pub fn block(&mut self, inputs: Listed) -> Option<Block> {
        self.blocks.sums(inputs)
    }

    /// Goes to the block behind the present one.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.blocks.next();
        self.used = 0;
    }
}
