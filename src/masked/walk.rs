//! A masked network where each feature follows from those before it: every block is computed once,
//! as soon as what it sees is known.

use super::Masked;
use super::layer::{Blocks, Layer};
use crate::kernel::{self, Block, Units, blocks};
use crate::network::{MAX_HIDDEN, Scratch};
use crate::scalar::{Affine, GROUP};
use crate::spline::Spline;

/// A walk through a masked network, feature by feature.
pub(crate) struct Walk<'m, 's, 'w> {
    context: &'w [f32],
    layers: [Layer<'m>; MAX_HIDDEN],
    /// Number of hidden layers.
    count: usize,
    output: Output<'m>,
    scratch: &'w mut Scratch<'s>,
}

impl<'m, 's, 'w> Walk<'m, 's, 'w> {
    /// Starts with no feature known.
    #[inline(always)]
    pub fn new(network: Masked<'m>, context: &'w [f32], scratch: &'w mut Scratch<'s>) -> Self {
        let mut next = network.blocks();
        let mut layer = |index: usize| {
            let Some(width) = network.widths.get(index) else { return Layer::default() };
            let (own, behind) = Layer::of(next, blocks(*width as usize));
            next = Blocks::new(behind, own.skip());
            own
        };
        let layers = [layer(0), layer(1), layer(2)];
        let output = Output { blocks: next, columns: &[], sums: Block::default(), used: 0 };
        Self { context, layers, count: network.widths.len(), output, scratch }
    }

    /// Computes every hidden unit that sees no more than `known`; lends the output layer and the
    /// units that are its inputs, of which so many are listed.
    #[inline(always)]
    fn output(&mut self, known: &[f32]) -> (&mut Output<'m>, &Units<'s>, usize) {
        let context = if cfg!(feature = "context") { self.context } else { &[] };
        let [a, b, c] = &mut self.layers;
        let [k, l, m] = &mut *self.scratch;
        // Each is asked first, for a call in vain costs more.
        if a.is_ready(context.len() + known.len()) {
            a.list_given(context, known, k);
        }
        if self.count == 1 {
            return (&mut self.output, k, a.listed());
        }
        if b.is_ready(a.units()) {
            b.list_listed(a, k, l);
        }
        if self.count == 2 {
            return (&mut self.output, l, b.listed());
        }
        if c.is_ready(b.units()) {
            c.list_listed(b, l, m);
        }
        (&mut self.output, m, c.listed())
    }

    /// The affine map of the next feature, given all `known` before it.
    #[inline(always)]
    pub fn affine(&mut self, known: &[f32], clip: f32) -> Affine {
        let (output, units, listed) = self.output(known);
        let [shift, raw] = output.rows(known.len() % GROUP, units, listed);
        Affine::new(shift, raw, clip)
    }

    /// Parameters of the spline of the next feature, given all `known` before it.
    #[inline(always)]
    pub fn spline(&mut self, known: &[f32]) -> [Block; Spline::BLOCKS] {
        let (output, units, listed) = self.output(known);
        let inputs = units.listed(listed).unwrap_or_default();
        core::array::from_fn(|_| output.blocks.sums(inputs).unwrap_or_default())
    }
}

/// How far the output layer of affine maps has come.
struct Output<'m> {
    /// The blocks that are not begun.
    blocks: Blocks<'m>,
    /// The columns of the one that is,
    columns: &'m [Block],
    /// its sums over the units listed so far,
    sums: Block,
    /// and how many those are.
    used: usize,
}

impl Output<'_> {
    /// The shift and the raw log-scale of feature `place` of the four that a block serves, whose
    /// inputs are the `listed` first of `units`. All of the block's sums go on with what was not
    /// known before: it is zero in the rows that do not see it.
    #[inline(always)]
    fn rows(&mut self, place: usize, units: &Units, listed: usize) -> [f32; 2] {
        let (mut sums, mut used) = (self.sums, self.used);
        if place == 0
            && let Some((bias, columns)) = self.blocks.next()
        {
            self.columns = columns;
            (sums, used) = (*bias, 0);
        }
        if place == 0 || used < listed {
            if let Some(new) = units.listed(listed).and_then(|all| all.behind(used)) {
                sums = kernel::listed(sums, self.columns, new);
            }
            (self.sums, self.used) = (sums, listed);
        }
        let rows = &self.sums[place % GROUP..];
        [rows[0], rows[GROUP]]
    }
}
