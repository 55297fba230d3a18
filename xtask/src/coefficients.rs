//! The cost model's table: what each step of a call takes on each core, and how it is found.
//!
//! `host-tools/src/cost/cycles.csv` has a row for each [`Step`] and a column for each core. The
//! cycles of a call are the sum of its tally times a column. A column is the non-negative least
//! squares fit of the relative errors over traced calls (Lawson and Hanson 1974, "Solving Least
//! Squares Problems", chapter 23, here by coordinate descent): no coefficient is set by hand. Many
//! models are traced in one firmware that has every part, a few in firmware of their own, as a product
//! has them and with three times the weight; what the former takes more a call, a layer or a block is
//! fitted beside and left out.
//! `sizes.csv` beside it has what a firmware takes besides the model file, the same way: bytes of
//! code without any part and for each Cargo feature, and the most stack that frames ever took.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flowlet::tally::{Step, Tally};

/// The cores, as the tables head their columns.
pub const CORES: [&str; 4] = ["cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4f"];

/// Rows of `sizes.csv` that are no Cargo features.
pub const CODE: &str = "code";
pub const FRAMES: &str = "frames";

/// Where the tables are.
pub fn path(name: &str) -> PathBuf {
    crate::root().join("host-tools/src/cost").join(name)
}

/// A table: a number for each core, by the names of its rows.
pub type Table = BTreeMap<String, [f64; CORES.len()]>;

/// Reads a table.
pub fn read(path: &Path) -> Result<Table> {
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("{path:?}"))?;
    let rows = reader.deserialize().map(|row| {
        let (name, m0, m0_plus, m3, m4f) = row?;
        Ok((name, [m0, m0_plus, m3, m4f]))
    });
    rows.collect::<Result<_>>().with_context(|| format!("{path:?}"))
}

/// Writes a table, its rows in the order of `names`.
pub fn write<'a>(
    path: &Path,
    table: &Table,
    names: impl Iterator<Item = &'a str>,
    digits: usize,
) -> Result<()> {
    let mut writer = csv::Writer::from_path(path).with_context(|| format!("{path:?}"))?;
    writer.write_record(["name"].iter().chain(&CORES))?;
    for name in names {
        let numbers = table.get(name).copied().unwrap_or_default();
        let cells = numbers.map(|number| format!("{number:.digits$}"));
        writer.write_record([name.to_owned()].iter().chain(&cells))?;
    }
    Ok(writer.flush()?)
}

/// What a tally comes to by column `core` of a table.
pub fn predict(table: &Table, core: usize, tally: &Tally) -> f64 {
    let of = |step: Step| table.get(step.name()).map_or(0.0, |numbers| numbers[core]);
    tally.steps().map(|(step, count)| count * of(step)).sum()
}

/// What a fit is made to: what was counted, what that came to, and how much it weighs.
pub struct Point {
    pub counts: Vec<f64>,
    pub sum: f64,
    pub weight: f64,
}

/// Non-negative b that make sum (weight (counts b / sum - 1))^2 over `points` least, and among several
/// the smallest: where two counts always come together, neither takes all.
pub fn fit(points: &[Point]) -> Vec<f64> {
    const SMALL: f64 = 1e-8;
    const SWEEPS: usize = 200_000;
    const SETTLED: f64 = 1e-9;
    let count = points.first().map_or(0, |point| point.counts.len());
    let mut products = vec![vec![0.0; count]; count];
    let mut sums = vec![0.0; count];
    for Point { counts, sum, weight } in points {
        let row: Vec<f64> = counts.iter().map(|count| weight * count / sum).collect();
        for (i, a) in row.iter().enumerate() {
            sums[i] += weight * a;
            for (j, b) in row.iter().enumerate() {
                products[i][j] += a * b;
            }
        }
    }
    for (i, row) in products.iter_mut().enumerate() {
        row[i] *= 1.0 + SMALL;
    }
    let mut fitted = vec![0.0; count];
    for _ in 0..SWEEPS {
        let mut change: f64 = 0.0;
        for i in 0..count {
            let own = products[i][i];
            if own == 0.0 {
                continue;
            }
            let others: f64 = products[i].iter().zip(&fitted).map(|(p, b)| p * b).sum();
            let next = (fitted[i] + (sums[i] - others) / own).max(0.0);
            change = change.max((next - fitted[i]).abs() * own.sqrt());
            fitted[i] = next;
        }
        if change < SETTLED {
            break;
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_samples_were_made_of_is_found() {
        let truth = [3.0, 0.0, 0.5];
        let sample = |x: [f64; 3]| {
            let sum = x.iter().zip(truth).map(|(x, b)| x * b).sum();
            super::Point { counts: x.to_vec(), sum, weight: 1.0 }
        };
        let samples = [[1.0, 2.0, 0.0], [4.0, 1.0, 9.0], [2.0, 7.0, 1.0], [5.0, 0.0, 3.0]];
        let fitted = super::fit(&samples.map(sample));
        for (fitted, truth) in fitted.iter().zip(truth) {
            assert!((fitted - truth).abs() < 1e-4, "{fitted} for {truth}");
        }
    }
}
