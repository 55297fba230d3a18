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

/// The inputs of a layer.
#[derive(Clone, Copy)]
pub(crate) enum Inputs<'a> {
    /// All of them.
    All(&'a [f32]),
    /// All of them, a context in front of the others.
    Given(&'a [f32], &'a [f32]),
    /// The non-zero ones.
    Active(Listed<'a>),
}

/// Units that are not zero: their values and their numbers, ascending.
#[derive(Clone, Copy, Default)]
pub(crate) struct Listed<'a> {
    values: &'a [f32],
    numbers: &'a [u16],
}

impl<'a> Inputs<'a> {
    /// `values` behind a `context`, which may be empty.
    #[inline(always)]
    pub fn given(context: &'a [f32], values: &'a [f32]) -> Self {
        match context {
            [_, ..] if cfg!(feature = "context") => Self::Given(context, values),
            _ => Self::All(values),
        }
    }
}

impl<'a> Listed<'a> {
    /// Their numbers, ascending.
    #[cfg(feature = "write")]
    pub fn numbers(self) -> &'a [u16] {
        self.numbers
    }

    /// Those behind the first `count`.
    #[inline(always)]
    pub fn behind(self, count: usize) -> Option<Self> {
        Some(Self { values: self.values.get(count..)?, numbers: self.numbers.get(count..)? })
    }
}

/// Memory for the values of one layer's units and, where only the non-zero ones are listed, for
/// their numbers.
#[derive(Debug)]
pub struct Units<'s> {
    values: &'s mut [f32],
    numbers: &'s mut [u16],
}

impl<'s> Units<'s> {
    /// Both as long as the layer has units, in whole blocks of [`ROWS`].
    pub fn new(values: &'s mut [f32], numbers: &'s mut [u16]) -> Self {
        Self { values, numbers }
    }

    /// The first `count` listed, if there is room for so many.
    #[inline(always)]
    pub(crate) fn listed(&self, count: usize) -> Option<Listed<'_>> {
        Some(Listed { values: self.values.get(..count)?, numbers: self.numbers.get(..count)? })
    }

    /// Lists the positive ones of `sums`, whose first row is unit `number`, behind the first
    /// `listed`; how many they are.
    #[inline(always)]
    pub(crate) fn list(
        &mut self,
        listed: usize,
        [a, b, c, d, e, f, g, h]: &Block,
        number: u16,
    ) -> usize {
        // A number has 16 bits, so the end does not overflow.
        let first = usize::from(listed as u16);
        let places = first..first + ROWS;
        let (Some(values), Some(numbers)) = (
            self.values.get_mut(places.clone()).and_then(|values| values.first_chunk_mut()),
            self.numbers.get_mut(places).and_then(|numbers| numbers.first_chunk_mut()),
        ) else {
            return 0;
        };
        let mut free = Free { values, numbers, listed: 0 };
        free.push(*a, number);
        free.push(*b, number + 1);
        free.push(*c, number + 2);
        free.push(*d, number + 3);
        free.push(*e, number + 4);
        free.push(*f, number + 5);
        free.push(*g, number + 6);
        free.push(*h, number + 7);
        free.listed
    }

    /// The values alone, in whole blocks.
    pub(crate) fn blocks(&mut self, count: usize) -> &mut [Block] {
        let (blocks, _) = self.values.as_chunks_mut();
        blocks.get_mut(..count).unwrap_or_default()
    }

    /// The first `count` values.
    pub(crate) fn values(&self, count: usize) -> &[f32] {
        self.values.get(..count).unwrap_or_default()
    }

    /// The first `count`, if there are so many.
    pub(crate) fn first(&mut self, count: usize) -> Option<Units<'_>> {
        Some(Units {
            values: self.values.get_mut(..count)?,
            numbers: self.numbers.get_mut(..count)?,
        })
    }
}

/// Blocks of a matrix with `rows` rows.
pub(crate) const fn blocks(rows: usize) -> usize {
    rows.div_ceil(ROWS)
}

/// Where the weight of (`row`, `column`) lies in the block of that row, in words.
#[cfg(feature = "write")]
pub(crate) fn position(row: usize, column: usize) -> usize {
    bias_position(row) + ROWS * (column + 1)
}

/// Where the bias of `row` lies in its block, in words.
#[cfg(feature = "write")]
pub(crate) fn bias_position(row: usize) -> usize {
    row % ROWS
}

/// Whether some blocks of a matrix may have fewer columns than others: those of a masked network in a
/// latent model.
const PREFIXES: bool = cfg!(all(feature = "latent", feature = "autoregressive"));

/// out = W inputs + bias, for as many blocks as `out` has. Returns the weights behind them.
///
/// `weights` holds the blocks one after the other, each a bias and its columns: as many, for the first
/// inputs, as its number in `counts` says, the bits of a whole number, and `columns` where those have come
/// to an end.
#[inline(never)]
pub(crate) fn apply<'m>(
    counts: &[f32],
    columns: usize,
    weights: &'m [Block],
    inputs: Inputs,
    out: &mut [Block],
) -> &'m [Block] {
    let (context, values) = match inputs {
        Inputs::Given(context, values) if cfg!(feature = "context") => (context, values),
        Inputs::All(values) | Inputs::Given(_, values) => (Default::default(), values),
        Inputs::Active(inputs) => {
            return each(counts, columns, weights, out, |sums, block| listed(sums, block, inputs));
        }
    };
    each(counts, context.len() + values.len(), weights, out, |sums, block| {
        given(sums, block, context, values)
    })
}

/// Computes each block of `out` from its bias and its columns.
#[inline(always)]
fn each<'m>(
    counts: &[f32],
    columns: usize,
    mut weights: &'m [Block],
    out: &mut [Block],
    sum: impl Fn(Block, &[Block]) -> Block,
) -> &'m [Block] {
    let mut counts = if PREFIXES { counts } else { &[] }.iter();
    for out in out {
        let columns = counts.next().map_or(columns, |count| count.to_bits() as usize);
        let Some((bias, rest)) = weights.split_first() else { break };
        let Some((block, rest)) = rest.split_at_checked(columns) else { break };
        *out = sum(*bias, block);
        weights = rest;
    }
    weights
}

/// sums + the columns of `context` and of `values`, as many as there are of both.
#[inline(always)]
pub(crate) fn seen(mut sums: Block, columns: &[Block], context: &[f32], values: &[f32]) -> Block {
    if cfg!(feature = "context") && !context.is_empty() {
        let (own, behind) = columns.split_at_checked(context.len()).unwrap_or_default();
        // Not unrolled: a context is short, and not every firmware has one.
        for (column, value) in own.iter().zip(context).chain(behind.iter().zip(values)) {
            sums = accumulate(sums, column, *value);
        }
        return sums;
    }
    let mut columns = columns.iter();
    let (values4, values) = values.as_chunks();
    for [s, t, u, v] in values4 {
        let Some(a) = columns.next() else { return sums };
        sums = accumulate(sums, a, *s);
        let Some(b) = columns.next() else { return sums };
        sums = accumulate(sums, b, *t);
        let Some(c) = columns.next() else { return sums };
        sums = accumulate(sums, c, *u);
        let Some(d) = columns.next() else { return sums };
        sums = accumulate(sums, d, *v);
    }
    each_of_all(sums, columns.as_slice(), values)
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
    each_of_all(sums, columns, values)
}

/// sums + the columns of `context`, all there, and of `values`, as many as there are of both.
#[inline(always)]
fn given(mut sums: Block, columns: &[Block], context: &[f32], values: &[f32]) -> Block {
    let (mut columns, mut behind) = (columns, None);
    let mut part = values;
    if cfg!(feature = "context") && !context.is_empty() {
        let (own, others) = columns.split_at_checked(context.len()).unwrap_or_default();
        (columns, part, behind) = (own, context, Some((others, values)));
    }
    // One copy of the loops for both parts.
    loop {
        if PREFIXES {
            let count = columns.len().min(part.len());
            columns = columns.get(..count).unwrap_or_default();
            part = part.get(..count).unwrap_or_default();
        }
        sums = all(sums, columns, part);
        let Some(next) = behind.take() else { return sums };
        (columns, part) = next;
    }
}

/// sums + the columns of `inputs`, as far as there are such columns.
#[inline(always)]
pub(crate) fn listed(mut sums: Block, columns: &[Block], inputs: Listed) -> Block {
    let column = |number: &u16| columns.get(usize::from(*number));
    let (values4, values) = inputs.values.as_chunks();
    let (numbers4, numbers) = inputs.numbers.as_chunks();
    for ([s, t, u, v], [a, b, c, d]) in values4.iter().zip(numbers4) {
        let Some(a) = column(a) else { return sums };
        sums = accumulate(sums, a, *s);
        let Some(b) = column(b) else { return sums };
        sums = accumulate(sums, b, *t);
        let Some(c) = column(c) else { return sums };
        sums = accumulate(sums, c, *u);
        let Some(d) = column(d) else { return sums };
        sums = accumulate(sums, d, *v);
    }
    each_listed(sums, columns, Listed { values, numbers })
}

/// [`all`], one by one.
#[inline(always)]
fn each_of_all(mut sums: Block, columns: &[Block], values: &[f32]) -> Block {
    for (column, value) in columns.iter().zip(values) {
        sums = accumulate(sums, column, *value);
    }
    sums
}

/// [`listed`], one by one.
#[inline(always)]
fn each_listed(mut sums: Block, columns: &[Block], inputs: Listed) -> Block {
    for (value, number) in inputs.values.iter().zip(inputs.numbers) {
        let Some(column) = columns.get(usize::from(*number)) else { break };
        sums = accumulate(sums, column, *value);
    }
    sums
}

/// sums + value column, spelled out so that it stays in registers at every optimisation level.
#[inline(always)]
fn accumulate(sums: Block, column: &Block, value: f32) -> Block {
    sum(sums, scale(column, value))
}

#[inline(always)]
fn accumulate_two(sums: Block, [a, b]: [&Block; 2], [s, t]: [f32; 2]) -> Block {
    let (a, b) = (scale(a, s), scale(b, t));
    sum(sum(sums, a), b)
}

#[inline(always)]
fn scale([a, b, c, d, e, f, g, h]: &Block, x: f32) -> Block {
    [a * x, b * x, c * x, d * x, e * x, f * x, g * x, h * x]
}

#[inline(always)]
fn sum([a, b, c, d, e, f, g, h]: Block, [s, t, u, v, w, x, y, z]: Block) -> Block {
    [a + s, b + t, c + u, d + v, e + w, f + x, g + y, h + z]
}

/// out += value column, as far as both go.
#[inline(never)]
pub(crate) fn add_scaled(out: &mut [f32], column: &[f32], value: f32) {
    let (out8, out) = out.as_chunks_mut();
    let (column8, column) = column.as_chunks();
    for (out, column) in out8.iter_mut().zip(column8) {
        *out = accumulate(*out, column, value);
    }
    for (out, column) in out.iter_mut().zip(column) {
        *out += column * value;
    }
}

/// Rectifies `values` and lists the positive ones in `units`.
///
/// Returns how many are listed, or none where more than four fifths are not negative: then
/// reading all of `values` costs less than visiting one by one, and nothing is listed.
///
/// No value is NaN ([`MAX_PARAMETER`](crate::MAX_PARAMETER)), so its bits as an integer have its
/// sign: integer comparisons save the transfer of the FPU's flags.
#[inline(never)]
pub(crate) fn rectify(values: &mut [Block], units: &mut Units) -> Option<usize> {
    let most = most_negatives(values.len() * ROWS);
    let mut negatives = 0;
    for block in values.iter() {
        let [a, b, c, d, e, f, g, h] = *block;
        negatives += sign(a) + sign(b) + sign(c) + sign(d);
        negatives += sign(e) + sign(f) + sign(g) + sign(h);
        if negatives > most {
            let (mut listed, mut number) = (0, 0);
            for block in values.iter() {
                listed += units.list(listed, block, number);
                number = number.wrapping_add(ROWS as u16);
            }
            return Some(listed);
        }
    }
    if negatives > 0 {
        for value in values.as_flattened_mut() {
            *value = if (value.to_bits() as i32) < 0 { 0.0 } else { *value };
        }
    }
    None
}

/// Most negative ones of so many units among which all are read, and none is listed.
pub(crate) const fn most_negatives(units: usize) -> usize {
    units / 5
}

/// 1 for a negative value, else 0.
fn sign(x: f32) -> usize {
    (x.to_bits() >> 31) as usize
}

/// Places for a block's units, the first ones taken.
struct Free<'s> {
    values: &'s mut Block,
    numbers: &'s mut [u16; ROWS],
    listed: usize,
}

impl Free<'_> {
    /// Lists `value` if it is positive.
    #[inline(always)]
    fn push(&mut self, value: f32, number: u16) {
        if value.to_bits() as i32 > 0 {
            let place = self.listed % ROWS;
            (self.values[place], self.numbers[place]) = (value, number);
            self.listed += 1;
        }
    }
}
