//! The inner loops: nearly all of a log-density's time is spent here.
//!
//! A matrix is stored in blocks of [`ROWS`] output rows. A block is its bias followed by its
//! columns, each a [`Block`] of [`ROWS`] weights, so the weights lie in flash in the order in
//! which they are read, and eight sums stay in registers. On a Cortex-M4 a multiply-accumulate
//! instruction takes three cycles where a product and a sum take one each, hence eight products
//! first and eight sums after them. Only non-zero inputs are visited: after a ReLU about half
//! of them. Both loops give the same bits, since adding a zero product changes no sum.

/// Output rows of a block.
pub const ROWS: usize = 8;

/// One weight for each row of a block.
pub type Block = [f32; ROWS];

/// A non-zero input of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unit {
    /// The value's bits: the list is made by integer instructions.
    bits: u32,
    index: u32,
}

/// The inputs of a layer: all of them, or the non-zero ones in ascending order.
#[derive(Clone, Copy)]
pub(crate) enum Inputs<'a> {
    All(&'a [f32]),
    Active(&'a [Unit]),
}

impl<'a> Inputs<'a> {
    /// What [`rectify`] left: the first `listed` of `units`, or all of `values`.
    pub fn rectified(values: &'a [f32], units: &'a [Unit], listed: Option<usize>) -> Self {
        match listed {
            Some(count) => Self::Active(units.get(..count).unwrap_or_default()),
            None => Self::All(values),
        }
    }
}

/// Blocks of a matrix with `rows` rows.
pub(crate) const fn blocks(rows: usize) -> usize {
    rows.div_ceil(ROWS)
}

/// Where the weight of (`row`, `column`) lies in a matrix of `columns` columns, in words.
pub fn position(columns: usize, row: usize, column: usize) -> usize {
    bias_position(columns, row) + ROWS * (column + 1)
}

/// Where the bias of `row` lies in a matrix of `columns` columns, in words.
pub fn bias_position(columns: usize, row: usize) -> usize {
    row / ROWS * ROWS * (columns + 1) + row % ROWS
}

/// out = W inputs + bias, for as many blocks as `out` has.
///
/// `weights` holds the blocks one after the other, each `columns` + 1 long.
#[inline(never)]
pub(crate) fn apply(columns: usize, weights: &[Block], inputs: Inputs, out: &mut [Block]) {
    let mut weights = weights;
    for out in out {
        let Some((bias, rest)) = weights.split_first() else { return };
        let Some((block, rest)) = rest.split_at_checked(columns) else { return };
        *out = match inputs {
            Inputs::All(values) => all(bias, block, values),
            Inputs::Active(units) => active(bias, block, units),
        };
        weights = rest;
    }
}

#[inline(always)]
fn all(bias: &Block, columns: &[Block], values: &[f32]) -> Block {
    let mut sums = *bias;
    let (columns8, columns) = columns.as_chunks();
    let (values8, values) = values.as_chunks();
    for ([a, b, c, d, e, f, g, h], [s, t, u, v, w, x, y, z]) in columns8.iter().zip(values8) {
        sums = accumulate(sums, a, *s);
        sums = accumulate(sums, b, *t);
        sums = accumulate(sums, c, *u);
        sums = accumulate(sums, d, *v);
        sums = accumulate(sums, e, *w);
        sums = accumulate(sums, f, *x);
        sums = accumulate(sums, g, *y);
        sums = accumulate(sums, h, *z);
    }
    for (column, value) in columns.iter().zip(values) {
        sums = accumulate(sums, column, *value);
    }
    sums
}

#[inline(always)]
fn active(bias: &Block, columns: &[Block], units: &[Unit]) -> Block {
    let mut sums = *bias;
    for unit in units {
        let Some(column) = columns.get(unit.index as usize) else { return sums };
        sums = accumulate(sums, column, f32::from_bits(unit.bits));
    }
    sums
}

/// sums + value column, spelled out so that it stays in registers at every optimisation level.
#[inline(always)]
fn accumulate(sums: Block, column: &Block, value: f32) -> Block {
    let [a, b, c, d, e, f, g, h] = column;
    let [a, b, c, d] = [a * value, b * value, c * value, d * value];
    let [e, f, g, h] = [e * value, f * value, g * value, h * value];
    let [s, t, u, v, w, x, y, z] = sums;
    [s + a, t + b, u + c, v + d, w + e, x + f, y + g, z + h]
}

/// Rectifies `values` and lists the positive ones in `units`.
///
/// Returns how many are listed, or none where more than four fifths are not negative: then
/// reading all of `values` costs less than visiting one by one, and nothing is listed.
///
/// No value is NaN ([`MAX_PARAMETER`](crate::MAX_PARAMETER)), so its bits as an integer have its
/// sign: integer comparisons save the transfer of the FPU's flags.
#[inline(never)]
pub(crate) fn rectify(values: &mut [Block], units: &mut [Unit]) -> Option<usize> {
    let most = values.len() * ROWS / 5;
    let mut negatives = 0;
    for block in values.iter() {
        let [a, b, c, d, e, f, g, h] = *block;
        negatives += sign(a) + sign(b) + sign(c) + sign(d);
        negatives += sign(e) + sign(f) + sign(g) + sign(h);
        if negatives > most {
            return Some(list(values.as_flattened(), units));
        }
    }
    if negatives > 0 {
        for value in values.as_flattened_mut() {
            *value = if (value.to_bits() as i32) < 0 { 0.0 } else { *value };
        }
    }
    None
}

/// 1 for a negative value, else 0.
fn sign(x: f32) -> usize {
    (x.to_bits() >> 31) as usize
}

/// Lists the positive ones of `values` in `units`. Returns how many they are.
#[inline(always)]
fn list(values: &[f32], units: &mut [Unit]) -> usize {
    let room = units.len();
    let mut free = units.iter_mut();
    for (index, value) in (0..).zip(values) {
        if value.to_bits() as i32 > 0
            && let Some(unit) = free.next()
        {
            *unit = Unit { bits: value.to_bits(), index };
        }
    }
    room - free.len()
}
