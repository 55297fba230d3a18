//! Triangular matrices, packed by columns: product and solve, in place.
//!
//! Both walk the matrix once, column by column, each time adding a multiple of a column to the
//! rest of the row, so neither direction needs an inverse matrix (Golub and Van Loan, "Matrix
//! Computations", sections 3.1.3 and 3.1.4).

use crate::kernel::add_scaled;
use crate::math::{LogProduct, Math};

/// Smallest and largest magnitude of a diagonal entry: products of four stay finite and normal.
const SMALLEST: f32 = 1.0 / LARGEST;
const LARGEST: f32 = (1u32 << 20) as f32;

/// Whether `x` may be on a diagonal.
pub(crate) fn is_diagonal(x: f32) -> bool {
    (SMALLEST..=LARGEST).contains(&x.abs())
}

/// ln of the product of the magnitudes of `scales`, all of which [`is_diagonal`].
pub(crate) fn log_product<M: Math>(scales: impl Iterator<Item = f32>) -> f32 {
    let mut product = LogProduct::default();
    for scale in scales {
        product.multiply::<M>(scale.abs());
    }
    product.value::<M>()
}

/// A lower triangular matrix whose diagonal is 1: column j holds the entries below it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnitLower<'m> {
    size: usize,
    columns: &'m [f32],
}

impl<'m> UnitLower<'m> {
    /// Words of a matrix.
    pub const fn words(size: usize) -> usize {
        size * size.saturating_sub(1) / 2
    }

    /// From its packed columns.
    pub fn new(size: usize, columns: &'m [f32]) -> Self {
        Self { size, columns }
    }

    /// row = L row.
    pub fn multiply(self, row: &mut [f32]) {
        let mut columns = self.columns;
        // From the last column on, so that each entry is used before it is changed.
        for below in 0..self.size {
            let Some((rest, column)) = columns.split_at_checked(columns.len() - below) else {
                return;
            };
            columns = rest;
            let Some((_, tail)) = row.split_at_mut_checked(self.size - 1 - below) else { return };
            if let Some((x, out)) = tail.split_first_mut() {
                add_scaled(out, column, *x);
            }
        }
    }

    /// row = L^-1 row.
    pub fn solve(self, row: &mut [f32]) {
        let (mut columns, mut rest) = (self.columns, row);
        while let Some((x, below)) = rest.split_first_mut() {
            let Some((column, behind)) = columns.split_at_checked(below.len()) else { return };
            add_scaled(below, column, -*x);
            (columns, rest) = (behind, below);
        }
    }
}

/// An upper triangular matrix: column j holds the j entries above the diagonal, then that on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upper<'m> {
    size: usize,
    columns: &'m [f32],
}

impl<'m> Upper<'m> {
    /// Words of a matrix.
    pub const fn words(size: usize) -> usize {
        size * (size + 1) / 2
    }

    /// From its packed columns.
    pub fn new(size: usize, columns: &'m [f32]) -> Self {
        Self { size, columns }
    }

    /// The entries on the diagonal.
    pub fn diagonal(self) -> impl Iterator<Item = f32> + use<'m> {
        let mut columns = self.columns;
        (0..self.size).map_while(move |above| {
            let (column, rest) = columns.split_at_checked(above + 1)?;
            columns = rest;
            column.last().copied()
        })
    }

    /// row = U row.
    pub fn multiply(self, row: &mut [f32]) {
        let mut columns = self.columns;
        for above in 0..self.size {
            let Some((column, rest)) = columns.split_at_checked(above + 1) else { return };
            columns = rest;
            let Some((out, tail)) = row.split_at_mut_checked(above) else { return };
            let (Some(x), Some((diagonal, column))) = (tail.first_mut(), column.split_last())
            else {
                return;
            };
            add_scaled(out, column, *x);
            *x *= diagonal;
        }
    }

    /// row = U^-1 row.
    pub fn solve(self, row: &mut [f32]) {
        let mut columns = self.columns;
        for above in (0..self.size).rev() {
            let Some((rest, column)) = columns.split_at_checked(columns.len() - above - 1) else {
                return;
            };
            columns = rest;
            let Some((out, tail)) = row.split_at_mut_checked(above) else { return };
            let (Some(x), Some((diagonal, column))) = (tail.first_mut(), column.split_last())
            else {
                return;
            };
            *x /= diagonal;
            add_scaled(out, column, -*x);
        }
    }
}
