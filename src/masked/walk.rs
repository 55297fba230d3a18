//! A masked network where each feature follows from those before it: every unit is computed once, as
//! soon as what it sees is known.

use core::ops::Range;

use super::degrees::Reach;
use super::{Masked, block};
use crate::kernel::{self, Block, Free, Inputs, ROWS, Units};
use crate::network::{MAX_HIDDEN, Scratch};
use crate::scalar::{Affine, GROUP};
use crate::spline::Spline;

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
        // A context becomes known as a whole.
        let inputs = |range: Range<usize>| match range.start.checked_sub(context.len()) {
            Some(start) => (Inputs::All(known.get(start..).unwrap_or_default()), range.start),
            None => (Inputs::given(context, known), 0),
        };
        first.extend(inputs, count, count, units);
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
