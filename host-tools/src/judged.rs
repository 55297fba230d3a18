//! The rows of a file, and what a model says of each, for the verbs that judge a model by them.

use crate::device::{self, Device};
use crate::error::Result;
use crate::rows::cell::{self, CellFault};
use crate::rows::table::Table;
use crate::signal::windows::{Judgeable, Source};

/// A row and what the model says of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Features and then context, less their offsets.
    pub row: Vec<f32>,
    /// Higher is less normal.
    pub score: f32,
    /// Nats, raw units; a latent model has none.
    pub log_density: Option<f32>,
    /// Its lower bounds, nats, raw units: the evidence lower bound and the importance-weighted one over
    /// all points in the file; a flow needs none.
    pub bounds: Option<[f32; 2]>,
    /// What the label says; of no row without labels.
    pub is_anomaly: bool,
}

impl Judged {
    fn new(device: &mut dyn Device, row: Vec<f32>, is_anomaly: bool) -> Result<Self> {
        let score = device.score(&row)?;
        let Some(latent) = device.latent() else {
            let log_density = Some(device.log_density(&row)?);
            return Ok(Self { row, score, log_density, bounds: None, is_anomaly });
        };
        let bounds = match latent.points() {
            0 => None,
            points => Some([latent.bound(&row, 1)?, latent.bound(&row, points)?]),
        };
        Ok(Self { row, score, log_density: None, bounds, is_anomaly })
    }
}

/// Judges the rows that `source` makes of `table`, but those that lack a value.
pub fn judge(
    device: &mut dyn Device,
    table: &mut Table,
    source: &mut Source,
) -> Result<Vec<Judged>> {
    let offsets = device.offsets();
    let mut judged = Vec::new();
    while let Some(Judgeable { values, is_anomaly, .. }) = source.next(table)? {
        let Some(values) = values else { continue };
        let row = device::row(&values, &offsets);
        judged.push(Judged::new(device, row, is_anomaly)?);
    }
    table.check_rows()?;
    table.warn();
    source.check(judged.len(), table.path())?;
    Ok(judged)
}

/// What the label of the present row says; none where it has none and such rows are left out.
pub(crate) fn is_anomaly(table: &mut Table, label: usize) -> Result<Option<bool>> {
    let text = table.text(label).to_owned();
    match (text.to_ascii_lowercase().as_str(), cell::number(&text)) {
        ("false" | "normal", _) | (_, Ok(0.0)) => Ok(Some(false)),
        ("true" | "anomaly", _) | (_, Ok(1.0)) => Ok(Some(true)),
        (_, Err(CellFault::Missing(_))) if table.drops(label) => Ok(None),
        _ => Err(table.cell_error(label, CellFault::Label(text))),
    }
}

/// Whether a column is called like what tells anomalies from normal rows.
pub fn is_label(name: &str) -> bool {
    let name = name.to_lowercase().replace([' ', '-'], "_");
    ["label", "labels", "anomaly", "is_anomaly", "outlier", "is_outlier"].contains(&&*name)
}
