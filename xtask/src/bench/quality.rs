//! How well a model tells anomalies from normal rows.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::host_tool::HostTool;

/// The figures of `flowlet evaluate` that say so; those that the test rows do not define are
/// missing.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub struct Quality {
    /// Probability that an anomaly scores above a normal row.
    pub auroc: Option<f64>,
    /// Mean precision over the recall steps.
    pub average_precision: Option<f64>,
    /// Share of the anomalies above the threshold.
    pub detection_rate: Option<f64>,
    /// Share of the normal rows above the threshold.
    pub false_alarm_rate: Option<f64>,
}

impl Quality {
    /// How many figures there are.
    pub const FIGURES: usize = 4;

    /// Evaluates `model` on labelled rows.
    pub fn of(flowlet: &HostTool, test: &Path, model: &Path) -> Result<Self> {
        let evaluation = flowlet.evaluate(test, model)?;
        serde_json::from_value(evaluation).context("flowlet evaluate --json lacks a figure")
    }

    /// The mean of each figure, in their order above.
    pub fn means(all: &[Self]) -> [Option<f64>; Self::FIGURES] {
        [
            |own: &Self| own.auroc,
            |own: &Self| own.average_precision,
            |own: &Self| own.detection_rate,
            |own: &Self| own.false_alarm_rate,
        ]
        .map(|figure| mean(all.iter().filter_map(figure)))
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "AUROC {}, average precision {}, detected {}, false alarms {}",
            number(self.auroc),
            number(self.average_precision),
            number(self.detection_rate),
            number(self.false_alarm_rate)
        )
    }
}

/// The mean of some values, if there are any.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// With four decimals; a dash for a figure that is missing.
pub fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}
