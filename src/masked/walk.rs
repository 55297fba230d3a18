//! A masked network where each feature follows from those before it: every unit is computed once, as
//! soon as what it sees is known.

use super::Masked;
use super::blocks::Blocks;
use super::degrees::Reach;
use super::progress::Progress;
use crate::kernel::{Block, Units, blocks};
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

impl<'m, 's, 'w> Walk<'m, 's, 'w> {
    /// Starts with no feature known.
    #[inline(always)]
    pub fn new(network: Masked<'m>, context: &'w [f32], scratch: &'w mut Scratch<'s>) -> Self {
        let (columns, weights) = network.parts();
        let mut next = Blocks::new(columns, weights);
        let mut layers = [Progress::default(); MAX_HIDDEN];
        for (layer, width) in layers.iter_mut().zip(network.hidden()) {
            *layer = Progress::new(next, network.degrees.reach(width));
            next = next.behind(blocks(width));
        }
        Self {
            context,
            layers,
            count: network.widths.len(),
            output: Progress::new(next, Reach::default()),
            scratch,
        }
    }

    /// Computes every hidden unit that sees no more than `known`, one feature more than before.
    #[inline(always)]
    fn hidden(&mut self, known: &[f32]) {
        let context = if cfg!(feature = "context") { self.context } else { &[] };
        if context.is_empty() && known.is_empty() {
            return;
        }
        let [first, layers @ ..] = &mut self.layers;
        let [units, rest @ ..] = &mut *self.scratch;
        first.step_given(context, known, units);
        let (mut listed, mut before) = (first.listed(), units);
        for (layer, units) in layers.iter_mut().zip(rest).take(self.count.saturating_sub(1)) {
            layer.step_listed(before, listed, units);
            (listed, before) = (layer.listed(), units);
        }
    }

    /// Computes the hidden units that see no more than `known`; lends the output layer and its
    /// inputs, of which so many are listed.
    #[inline(always)]
    fn output(&mut self, known: &[f32]) -> (&mut Progress<'m>, &Units<'s>, usize) {
        self.hidden(known);
        let [a, b, c] = &self.layers;
        let [k, l, m] = &*self.scratch;
        let (last, units) = match self.count {
            1 => (a, k),
            2 => (b, l),
            _ => (c, m),
        };
        (&mut self.output, units, last.listed())
    }

    /// The affine map of the next feature, given all `known` before it.
    #[inline(always)]
    pub fn affine(&mut self, known: &[f32], clip: f32) -> Affine {
        let (output, inputs, listed) = self.output(known);
        let sums = output.sums(inputs, listed);
        let place = known.len() % GROUP;
        let map = Affine::of(sums, place, clip);
        if place + 1 == GROUP {
            output.advance();
        }
        map
    }

    /// Parameters of the spline of the next feature, given all `known` before it.
    #[inline(always)]
    pub fn spline(&mut self, known: &[f32]) -> [Block; Spline::BLOCKS] {
        let (output, inputs, listed) = self.output(known);
        let mut parameters = [Block::default(); Spline::BLOCKS];
        for own in &mut parameters {
            let Some(sums) = output.block(inputs.listed(0..listed)) else { break };
            *own = sums;
        }
        parameters
    }
}
