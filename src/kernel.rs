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
    match inputs {
        Inputs::All(values) => {
            each(values.len(), weights, out, |sums, block| all(sums, block, values));
        }
        Inputs::Active(units) => {
            each(columns, weights, out, |sums, block| active(sums, block, units));
        }
    }
}

/// Computes each block of `out` from its bias and its columns.
#[inline(always)]
fn each(
    columns: usize,
    mut weights: &[Block],
    out: &mut [Block],
    sum: impl Fn(Block, &[Block]) -> Block,
) {
    for out in out {
        let Some((bias, rest)) = weights.split_first() else { return };
        let Some((block, rest)) = rest.split_at_checked(columns) else { return };
        *out = sum(*bias, block);
        weights = rest;
    }
}

#[inline(always)]
fn all(mut sums: Block, columns: &[Block], values: &[f32]) -> Block {
    let (columns8, columns) = columns.as_chunks();
    let (values8, values) = values.as_chunks();
    for ([a, b, c, d, e, f, g, h], [s, t, u, v, w, x, y, z]) in columns8.iter().zip(values8) {
        sums = accumulate_two(sums, [a, b], [*s, *t]);
        sums = accumulate_two(sums, [c, d], [*u, *v]);
        sums = accumulate_two(sums, [e, f], [*w, *x]);
        sums = accumulate_two(sums, [g, h], [*y, *z]);
    }
    let (columns4, columns) = columns.as_chunks();
    let (values4, values) = values.as_chunks();
    for ([a, b, c, d], [s, t, u, v]) in columns4.iter().zip(values4) {
        sums = accumulate_two(sums, [a, b], [*s, *t]);
        sums = accumulate_two(sums, [c, d], [*u, *v]);
    }
    for (column, value) in columns.iter().zip(values) {
        sums = accumulate(sums, column, *value);
    }
    sums
}

#[inline(always)]
fn active(mut sums: Block, columns: &[Block], units: &[Unit]) -> Block {
    let column = |unit: &Unit| columns.get(unit.index as usize);
    let (units4, units) = units.as_chunks();
    for [a, b, c, d] in units4 {
        let Some(column_a) = column(a) else { return sums };
        let Some(column_b) = column(b) else { return sums };
        let Some(column_c) = column(c) else { return sums };
        let Some(column_d) = column(d) else { return sums };
        sums = accumulate(sums, column_a, f32::from_bits(a.bits));
        sums = accumulate(sums, column_b, f32::from_bits(b.bits));
        sums = accumulate(sums, column_c, f32::from_bits(c.bits));
        sums = accumulate(sums, column_d, f32::from_bits(d.bits));
    }
    for unit in units {
        let Some(column) = column(unit) else { return sums };
        sums = accumulate(sums, column, f32::from_bits(unit.bits));
    }
    sums
}

/// sums + value column, spelled out so that it stays in registers at every optimisation level.
#[inline(always)]
fn accumulate(sums: Block, column: &Block, value: f32) -> Block {
    add(sums, scale(column, value))
}

#[inline(always)]
fn accumulate_two(sums: Block, [a, b]: [&Block; 2], [s, t]: [f32; 2]) -> Block {
    let (a, b) = (scale(a, s), scale(b, t));
    add(add(sums, a), b)
}

#[inline(always)]
fn scale([a, b, c, d, e, f, g, h]: &Block, x: f32) -> Block {
    [a * x, b * x, c * x, d * x, e * x, f * x, g * x, h * x]
}

#[inline(always)]
fn add([a, b, c, d, e, f, g, h]: Block, [s, t, u, v, w, x, y, z]: Block) -> Block {
    [a + s, b + t, c + u, d + v, e + w, f + x, g + y, h + z]
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
            return Some(list(values, units));
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
fn list(values: &[Block], units: &mut [Unit]) -> usize {
    let room = units.len();
    let mut free = units.iter_mut();
    for (block, index) in values.iter().zip((0..).step_by(ROWS)) {
        let [a, b, c, d, e, f, g, h] = block;
        push(&mut free, *a, index);
        push(&mut free, *b, index + 1);
        push(&mut free, *c, index + 2);
        push(&mut free, *d, index + 3);
        push(&mut free, *e, index + 4);
        push(&mut free, *f, index + 5);
        push(&mut free, *g, index + 6);
        push(&mut free, *h, index + 7);
    }
    room - free.len()
}

/// Lists `value` if it is positive.
#[inline(always)]
fn push(free: &mut core::slice::IterMut<Unit>, value: f32, index: u32) {
    let bits = value.to_bits();
    if bits as i32 > 0
        && let Some(unit) = free.next()
    {
        *unit = Unit { bits, index };
    }
}
