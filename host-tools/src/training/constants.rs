//! How far off the constant of a column a value must be to count as an anomaly.
//!
//! A constant has a narrow density of its own, but how much a value off it costs depends on the
//! model, and the threshold on all columns. So it is measured, by the device's code.

use crate::device::Device;
use crate::error::Result;
use crate::rows::dataset::Dataset;

/// Rows that are looked at, the most normal ones.
const ROWS: usize = 50;
/// Each distance is so many times the one before it.
const FACTOR: f32 = 4.0;
/// Number of distances.
const DISTANCES: i32 = 12;

/// The distance from the constant of the column numbered `column` from which on all rows are
/// anomalies, whatever else they hold, tried from `least` on; nothing where not even the largest one
/// suffices.
pub fn reach(
    device: &mut dyn Device,
    rows: &Dataset,
    (column, constant): (usize, f32),
    least: f32,
) -> Result<Option<f32>> {
    let Some(threshold) = device.threshold() else { return Ok(None) };
    let mut scored = Vec::new();
    for mut row in rows.single_rows() {
        row[column] = constant;
        scored.push((device.score(&row)?, row));
    }
    scored.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    scored.truncate(ROWS);
    let mut reach = None;
    for power in (0..DISTANCES).rev() {
        let distance = least * FACTOR.powi(power);
        for (_, row) in &mut scored {
            for value in [constant - distance, constant + distance] {
                row[column] = value;
                if value.is_finite() && device.score(row)? <= threshold.score {
                    return Ok(reach);
                }
            }
        }
        // Twice as far, for rows yet more normal.
        reach = Some(2.0 * distance);
    }
    Ok(reach)
}
