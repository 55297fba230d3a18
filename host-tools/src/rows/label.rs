//! The column that tells anomalies from normal rows.

use super::cell::{self, CellFault};
use super::table::Table;
use crate::error::Result;

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
