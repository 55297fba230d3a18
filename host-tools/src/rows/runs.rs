//! How long the columns keep their values, from which a stuck sensor is told.

use crate::rows::dataset::Dataset;

/// For each column the most rows in a row whose value, less its offset, has the same bits as an f32.
pub fn longest(dataset: &Dataset, offsets: &[f64]) -> Vec<usize> {
    let bits = |row: &[f64], column: usize| ((row[column] - offsets[column]) as f32).to_bits();
    let longest = |column: usize| {
        let values: Vec<u32> = dataset.rows().map(|row| bits(row, column)).collect();
        values.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0)
    };
    (0..dataset.names.len()).map(longest).collect()
}
