//! `flowlet evaluate`: how well a model tells labelled rows apart.

use std::path::PathBuf;

use serde::Serialize;

use crate::device;
use crate::error::Result;
use crate::output;
use crate::rows::dataset::Table;

/// Evaluate a model on labelled rows.
///
/// The columns are matched by name; the label column holds 0 for normal and 1 for anomaly.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// CSV file of labelled rows; `-` for standard input.
    test: PathBuf,
    /// Name of the label column.
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What an evaluation finds; none where the rows do not define it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Rows read.
    pub rows: usize,
    /// Rows labelled as anomalies.
    pub anomalies: usize,
    /// Probability that an anomaly scores above a normal row, ties counted half.
    pub auroc: Option<f64>,
    /// Mean precision over the recall steps.
    pub average_precision: Option<f64>,
    /// Of the normal rows, nats, raw units.
    pub mean_log_density: Option<f64>,
    /// The same of standardised rows, which compares across data sets.
    pub mean_log_density_standardized: Option<f64>,
    /// Share of the normal rows above the model's threshold.
    pub false_alarm_rate: Option<f64>,
    /// Share of the anomalies above it.
    pub detection_rate: Option<f64>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &arguments.model.display().to_string())?;
    let mut table = Table::open(&arguments.test)?;
    let label = table.column(&arguments.label)?;
    let columns = device::columns(&*device, &table)?;
    let mut scores = Vec::new();
    let mut row = Vec::new();
    while table.advance()? {
        let anomaly = match table.text(label).to_ascii_lowercase().as_str() {
            "0" | "0.0" | "false" | "normal" => false,
            "1" | "1.0" | "true" | "anomaly" => true,
            other => {
                let found = format!("`{other}`");
                return Err(table.cell_error(
                    label,
                    found,
                    "label",
                    ": 0 for normal, 1 for anomaly",
                ));
            }
        };
        row.clear();
        for column in &columns {
            row.push(table.value(*column)? as f32);
        }
        scores.push((-device.log_density(&row)?, anomaly));
    }
    if scores.is_empty() {
        return Err(crate::error::Error::NoRows { path: table.path().into() });
    }
    let threshold = device.threshold().map(|threshold| threshold.score);
    let evaluation = Evaluation::new(scores, threshold, f64::from(device.log_scale_sum()));
    output::print(&if arguments.json { evaluation.json() } else { evaluation.text() })
}

impl Evaluation {
    /// From (score, is an anomaly) of each row.
    pub fn new(mut scores: Vec<(f32, bool)>, threshold: Option<f32>, log_scale_sum: f64) -> Self {
        let rows = scores.len();
        let anomalies = scores.iter().filter(|(_, anomaly)| *anomaly).count();
        let normals = rows - anomalies;
        let both = anomalies > 0 && normals > 0;
        let normal_scores = scores.iter().filter(|(_, anomaly)| !anomaly);
        let mean = -normal_scores.map(|(score, _)| f64::from(*score)).sum::<f64>() / normals as f64;
        let share = |wanted: bool, count: usize| {
            let threshold = threshold.filter(|_| count > 0)?;
            let above = scores.iter().filter(|(score, a)| *a == wanted && *score > threshold);
            Some(above.count() as f64 / count as f64)
        };
        let (false_alarm_rate, detection_rate) = (share(false, normals), share(true, anomalies));
        scores.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let (auroc, average_precision) = ranking(&scores, anomalies, normals);
        Self {
            rows,
            anomalies,
            auroc: both.then_some(auroc),
            average_precision: both.then_some(average_precision),
            mean_log_density: (normals > 0).then_some(mean),
            mean_log_density_standardized: (normals > 0).then_some(mean + log_scale_sum),
            false_alarm_rate,
            detection_rate,
        }
    }
}

/// AUROC and average precision of scores in descending order; rows of equal score count as one
/// step of both curves.
fn ranking(descending: &[(f32, bool)], anomalies: usize, normals: usize) -> (f64, f64) {
    let (mut detected, mut alarms) = (0.0, 0.0);
    let (mut area, mut precision) = (0.0, 0.0);
    for ties in descending.chunk_by(|(a, _), (b, _)| a == b) {
        let hits = ties.iter().filter(|(_, anomaly)| *anomaly).count() as f64;
        let misses = ties.len() as f64 - hits;
        area += misses * (detected + hits / 2.0);
        detected += hits;
        alarms += misses;
        precision += hits * detected / (detected + alarms);
    }
    (area / (anomalies as f64 * normals as f64), precision / anomalies as f64)
}

impl Evaluation {
    fn json(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }

    fn text(&self) -> String {
        let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let lines = [
            ("rows", self.rows.to_string()),
            ("anomalies", self.anomalies.to_string()),
            ("AUROC", number(self.auroc)),
            ("average precision", number(self.average_precision)),
            ("mean log-density of normal rows (nats)", number(self.mean_log_density)),
            ("the same, standardised units", number(self.mean_log_density_standardized)),
            ("false-alarm rate at the threshold", number(self.false_alarm_rate)),
            ("detection rate at the threshold", number(self.detection_rate)),
        ];
        lines.iter().map(|(name, value)| format!("{name:<40} {value:>12}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<(f32, bool)>> {
        proptest::collection::vec(((0u8..20).prop_map(f32::from), any::<bool>()), 2..80)
            .prop_filter("both classes", |rows| {
                rows.iter().any(|(_, anomaly)| *anomaly) && rows.iter().any(|(_, anomaly)| !anomaly)
            })
    }

    proptest! {
        #[test]
        fn auroc_is_the_share_of_pairs_in_order(scores in rows()) {
            let (mut pairs, mut ordered) = (0.0, 0.0);
            for (anomaly, _) in scores.iter().filter(|(_, anomaly)| *anomaly) {
                for (normal, _) in scores.iter().filter(|(_, anomaly)| !anomaly) {
                    pairs += 1.0;
                    ordered += match anomaly.total_cmp(normal) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                }
            }
            let found = Evaluation::new(scores, None, 0.0).auroc.expect("both classes");
            prop_assert!((found - ordered / pairs).abs() < 1e-9);
        }

        #[test]
        fn average_precision_is_the_mean_over_anomalies_of_the_precision_at_their_score(scores in rows()) {
            let precision = |threshold: f32| {
                let above: Vec<_> = scores.iter().filter(|(score, _)| *score >= threshold).collect();
                above.iter().filter(|(_, anomaly)| *anomaly).count() as f64 / above.len() as f64
            };
            let at: Vec<f64> = scores.iter().filter(|(_, a)| *a).map(|(score, _)| precision(*score)).collect();
            let expected = at.iter().sum::<f64>() / at.len() as f64;
            let found = Evaluation::new(scores, None, 0.0).average_precision.expect("both classes");
            prop_assert!((found - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn what_the_rows_do_not_define_is_none() {
        let normal = Evaluation::new(vec![(1.0, false), (3.0, false)], Some(2.0), 0.5);
        assert_eq!(
            (normal.auroc, normal.average_precision, normal.detection_rate),
            (None, None, None)
        );
        assert_eq!(normal.false_alarm_rate, Some(0.5));
        assert_eq!(
            (normal.mean_log_density, normal.mean_log_density_standardized),
            (Some(-2.0), Some(-1.5))
        );
        let anomalous = Evaluation::new(vec![(1.0, true)], None, 0.0);
        assert_eq!((anomalous.mean_log_density, anomalous.detection_rate), (None, None));
    }
}
