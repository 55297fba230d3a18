//! `flowlet evaluate`: how well a model tells labelled rows apart.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::blame::Blame;
use crate::comparison::Comparison;
use crate::device::{self, Device};
use crate::error::Result;
use crate::judged::{self, Judge, Judged};
use crate::latent::round_trip::{FeatureError, RoundTrip};
use crate::message::{self, escape};
use crate::output;
use crate::rows::damage::quantile;
use crate::rows::missing::Missing;
use crate::rows::table::Table;

/// Evaluate a model on labelled rows.
///
/// The columns are matched by name; the label column holds 0 for normal and 1 for anomaly. A model of a
/// raw signal reads its samples, and a window of them is an anomaly if most of them are.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// CSV file of labelled rows; `-` for standard input.
    test: PathBuf,
    /// Name of the label column.
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// Of a raw signal, the column that tells recordings apart; by default that of training.
    #[arg(long, value_name = "COLUMN")]
    segment: Option<String>,
    /// What becomes of rows that lack a value, such as an empty cell or NaN.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// A second model to compare the first one with, on the same rows.
    #[arg(long, value_name = "MODEL")]
    baseline: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Standard errors below 0.5 from which on an AUROC is no chance.
const CLEARLY: f64 = 3.0;

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
    /// Of a latent model in place of the log-density: the mean evidence lower bound of normal rows,
    /// nats, standardised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_elbo_standardized: Option<f64>,
    /// The same of the importance-weighted bound over all points in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_bound_standardized: Option<f64>,
    /// The median in place of the mean, which a few wild rows do not move.
    pub median_log_density: Option<f64>,
    /// The same of standardised rows.
    pub median_log_density_standardized: Option<f64>,
    /// The log-density that 1 % of the normal rows are below.
    pub log_density_quantile_01: Option<f64>,
    /// The same of standardised rows.
    pub log_density_quantile_01_standardized: Option<f64>,
    /// Of a latent model: what decoding the code of a normal row is off in each feature.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub round_trip: Vec<FeatureError>,
    /// Share of the normal rows above the model's threshold.
    pub false_alarm_rate: Option<f64>,
    /// Share of the anomalies above it.
    pub detection_rate: Option<f64>,
    /// Number of normal rows so far below the others that the mean says more of them; 0 if none.
    #[serde(skip)]
    pub rows_that_rule_the_mean: usize,
    /// Which features the alarms of anomalies blame, or all alarms where no anomaly raised one.
    pub blame: Option<Blame>,
}

/// What is printed.
#[derive(Serialize)]
struct Findings {
    #[serde(flatten)]
    evaluation: Evaluation,
    #[serde(flatten)]
    baseline: Option<Baseline>,
}

/// What the same rows say of a baseline.
#[derive(Serialize)]
struct Baseline {
    #[serde(rename = "baseline")]
    evaluation: Evaluation,
    #[serde(flatten)]
    comparison: Comparison,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let paths = [Some(&*arguments.model), arguments.baseline.as_deref()];
    let paths: Vec<&Path> = paths.into_iter().flatten().collect();
    let files = paths.iter().map(|path| device::read(path)).collect::<Result<Vec<_>>>()?;
    let mut judges = judged::open(&paths, &files)?;
    for judge in &judges {
        judge.refuse_label(&arguments.label)?;
    }
    let mut table = Table::open(&arguments.test)?.with_missing(arguments.missing);
    table.column(&arguments.label)?;
    let (segment, label) = (arguments.segment.as_deref(), Some(&*arguments.label));
    let judged = judged::judge(&mut judges, &mut table, segment, label)?;
    let mut evaluations = evaluations(&judges, &judged, &table);
    for ((judge, judged), own) in judges.iter_mut().zip(&judged).zip(&mut evaluations) {
        own.blame = Blame::of(&mut *judge.device, judged)?;
        own.round_trip = round_trip(&mut *judge.device, judged)?;
    }
    let comparison = Comparison::between(&judges, &judged);
    let mut evaluations = evaluations.into_iter();
    let Some(evaluation) = evaluations.next() else { return Ok(()) };
    let baseline = evaluations.next().zip(comparison);
    let baseline = baseline.map(|(evaluation, comparison)| Baseline { evaluation, comparison });
    let findings = Findings { evaluation, baseline };
    output::print(&if arguments.json { findings.json() } else { findings.text() })
}

/// What each of some models, the first one and its baselines, says of the rows of a table. The user is
/// warned of what misleads in the figures.
pub fn evaluations(judges: &[Judge], judged: &[Vec<Judged>], table: &Table) -> Vec<Evaluation> {
    let table = message::path(table.path());
    let mut evaluations = Vec::new();
    for (number, (Judge { path, device, .. }, judged)) in judges.iter().zip(judged).enumerate() {
        let threshold = device.threshold().map(|own| own.score);
        let own = Evaluation::new(judged, threshold, f64::from(device.log_scale_sum()));
        for warning in own.warnings() {
            match number {
                0 => log::warn!("{table}: {warning}"),
                _ => log::warn!(
                    "{table}, judged by {}: {warning}",
                    message::path(&path.display().to_string())
                ),
            }
        }
        evaluations.push(own);
    }
    evaluations
}

/// Of a latent model, what decoding the codes of normal rows is off.
fn round_trip(device: &mut dyn Device, judged: &[Judged]) -> Result<Vec<FeatureError>> {
    let names = device.feature_names();
    let Some(latent) = device.latent() else { return Ok(Vec::new()) };
    let mut round_trip = RoundTrip::default();
    for own in judged.iter().filter(|own| !own.is_anomaly) {
        round_trip.add(latent, &own.row, names.len())?;
    }
    Ok(round_trip.errors(&names))
}

impl Evaluation {
    /// Of rows of both kinds.
    pub fn new(judged: &[Judged], threshold: Option<f32>, log_scale_sum: f64) -> Self {
        let rows = judged.len();
        let anomalies = judged.iter().filter(|row| row.is_anomaly).count();
        let normals = rows - anomalies;
        let both = anomalies > 0 && normals > 0;
        let normal = || judged.iter().filter(|row| !row.is_anomaly);
        let mut ascending: Vec<f64> =
            normal().filter_map(|row| row.log_density).map(f64::from).collect();
        ascending.sort_unstable_by(f64::total_cmp);
        let densities = ascending.len();
        let mean = ascending.iter().sum::<f64>() / densities as f64;
        let bound = |which: usize| {
            let bounds = normal().filter_map(|row| row.bounds).map(|own| f64::from(own[which]));
            let mean = bounds.clone().sum::<f64>() / bounds.clone().count() as f64;
            (bounds.count() > 0).then_some(mean + log_scale_sum)
        };
        let mut scores: Vec<(f32, bool)> =
            judged.iter().map(|row| (row.score, row.is_anomaly)).collect();
        let share = |wanted: bool, count: usize| {
            let threshold = threshold.filter(|_| count > 0)?;
            let above = scores.iter().filter(|(score, a)| *a == wanted && *score > threshold);
            Some(above.count() as f64 / count as f64)
        };
        let (false_alarm_rate, detection_rate) = (share(false, normals), share(true, anomalies));
        scores.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let (auroc, average_precision) = ranking(&scores, anomalies, normals);
        let quantile = |share| (densities > 0).then(|| quantile(&ascending, share));
        let (median, low) = (quantile(0.5), quantile(0.01));
        let standardized = |value: Option<f64>| value.map(|value| value + log_scale_sum);
        Self {
            rows,
            anomalies,
            auroc: both.then_some(auroc),
            average_precision: both.then_some(average_precision),
            mean_log_density: (densities > 0).then_some(mean),
            mean_log_density_standardized: (densities > 0).then_some(mean + log_scale_sum),
            mean_elbo_standardized: bound(0),
            mean_bound_standardized: bound(1),
            median_log_density: median,
            median_log_density_standardized: standardized(median),
            log_density_quantile_01: low,
            log_density_quantile_01_standardized: standardized(low),
            round_trip: Vec::new(),
            false_alarm_rate,
            detection_rate,
            rows_that_rule_the_mean: rows_that_rule_the_mean(&ascending),
            blame: None,
        }
    }

    /// What a reader of the figures should know.
    pub fn warnings(&self) -> Vec<String> {
        let below = self.standard_errors_below_half().filter(|below| *below > CLEARLY);
        let reversed = below.zip(self.auroc).map(|(below, auroc)| {
            format!(
                "AUROC is {auroc:.3}, {below:.0} standard errors below 0.5: the anomalies look \
                 more normal than the normal rows; perhaps the labels are reversed (expected 0 for \
                 normal, 1 for anomaly)"
            )
        });
        let few = self.rows_that_rule_the_mean;
        let ruled = self.mean_log_density.zip(self.median_log_density).filter(|_| few > 0);
        let ruled = ruled.map(|(mean, median)| {
            let normals = self.rows - self.anomalies;
            format!(
                "{few} of {normals} rows labelled normal lie so far out that they make the mean \
                 log-density {mean:.4}, while the median is {median:.4}: compare models by the \
                 median, and look at the rows with the highest scores"
            )
        });
        reversed.into_iter().chain(ruled).collect()
    }

    /// How far AUROC is below that of scores which know nothing of the labels, in its standard
    /// error there (Mann and Whitney 1947, equation 5, without ties).
    fn standard_errors_below_half(&self) -> Option<f64> {
        let (anomalies, normals) = (self.anomalies as f64, (self.rows - self.anomalies) as f64);
        let variance = (anomalies + normals + 1.0) / (12.0 * anomalies * normals);
        self.auroc.map(|auroc| (0.5 - auroc) / variance.sqrt())
    }
}

/// Number of the lowest values, 5 % at most but one at least, if they make up more than half of
/// what the mean is below the median, and this is more than the middle half of all values spans.
fn rows_that_rule_the_mean(ascending: &[f64]) -> usize {
    if ascending.is_empty() {
        return 0;
    }
    let median = quantile(ascending, 0.5);
    let gap: f64 = ascending.iter().map(|value| median - value).sum();
    let spread = quantile(ascending, 0.75) - quantile(ascending, 0.25);
    if gap <= ascending.len() as f64 * spread.max(1.0) {
        return 0;
    }
    let most = ascending.len().div_ceil(20);
    let sums = ascending.iter().take(most).scan(0.0, |sum, value| {
        *sum += median - value;
        Some(*sum)
    });
    sums.enumerate().find(|(_, sum)| *sum > gap / 2.0).map_or(0, |(place, _)| place + 1)
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

impl Findings {
    fn json(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }

    /// A fact a line, and that of the baseline beside it.
    fn text(&self) -> String {
        let Self { evaluation, baseline } = self;
        let sides = [Some(evaluation), baseline.as_ref().map(|own| &own.evaluation)];
        let sides: Vec<Vec<_>> = sides.into_iter().flatten().map(Evaluation::lines).collect();
        let mut names: Vec<&str> = sides.iter().flatten().map(|(name, _)| *name).collect();
        let mut told = BTreeSet::new();
        names.retain(|name| told.insert(*name));
        let line = |name: &str| {
            let value = |side: &Vec<(&str, String)>| {
                let value = side.iter().find(|(own, _)| *own == name);
                format!(" {:>12}", value.map_or("-", |(_, value)| value))
            };
            format!("{name:<40}{}\n", sides.iter().map(value).collect::<String>())
        };
        let header =
            (sides.len() > 1).then(|| format!("{:<40} {:>12} {:>12}\n", "", "model", "baseline"));
        let lines = names.into_iter().map(line);
        let error = |own: &FeatureError| {
            let name = format!("error of decode(encode): {}", escape(&own.feature));
            format!("{name:<40} {own}\n")
        };
        let errors = evaluation.round_trip.iter().map(error);
        let verdict = baseline.as_ref().map(|Baseline { comparison, .. }| {
            format!("{}\n{}\n", comparison.verdict(), comparison.density_verdict())
        });
        let blame = evaluation.blame.as_ref().map(Blame::text);
        header.into_iter().chain(lines).chain(errors).chain(blame).chain(verdict).collect()
    }
}

impl Evaluation {
    /// What it says, without what is told of each feature.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let standardized = "  the same, standardised units";
        let lines = [
            ("rows", self.rows.to_string()),
            ("anomalies", self.anomalies.to_string()),
            ("AUROC", number(self.auroc)),
            ("average precision", number(self.average_precision)),
            ("mean log-density of normal rows (nats)", number(self.mean_log_density)),
            (standardized, number(self.mean_log_density_standardized)),
            ("median log-density of normal rows", number(self.median_log_density)),
            (standardized, number(self.median_log_density_standardized)),
            ("1 % of normal rows are below", number(self.log_density_quantile_01)),
            (standardized, number(self.log_density_quantile_01_standardized)),
            ("false-alarm rate at the threshold", number(self.false_alarm_rate)),
            ("detection rate at the threshold", number(self.detection_rate)),
        ];
        let bounds = [
            ("mean evidence lower bound, standardised", self.mean_elbo_standardized),
            ("mean importance-weighted bound", self.mean_bound_standardized),
        ];
        // Of a latent model alone.
        let bounds = bounds.into_iter().filter(|(_, value)| value.is_some());
        lines.into_iter().chain(bounds.map(|(name, value)| (name, number(value)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows whose score is minus the log-density.
    fn evaluation(
        scores: impl IntoIterator<Item = (f32, bool)>,
        threshold: Option<f32>,
        log_scale_sum: f64,
    ) -> Evaluation {
        let judged: Vec<Judged> = scores.into_iter().map(Judged::of_score).collect();
        Evaluation::new(&judged, threshold, log_scale_sum)
    }

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
            let found = evaluation(scores, None, 0.0).auroc.expect("both classes");
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
            let found = evaluation(scores, None, 0.0).average_precision.expect("both classes");
            prop_assert!((found - expected).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn at_most_its_share_is_below_a_quantile_and_at_most_the_rest_above(
            mut values in proptest::collection::vec((0u8..20).prop_map(f64::from), 1..80),
            share in 0.0..=1.0,
        ) {
            values.sort_unstable_by(f64::total_cmp);
            let found = quantile(&values, share);
            let steps = (values.len() - 1) as f64;
            let below = values.iter().filter(|value| **value < found - 1e-9).count() as f64;
            let above = values.iter().filter(|value| **value > found + 1e-9).count() as f64;
            prop_assert!(below <= (share * steps).ceil() && above <= ((1.0 - share) * steps).ceil());
        }

        #[test]
        fn reversed_labels_lie_as_far_on_the_other_side_of_one_half(scores in rows()) {
            let reversed = scores.iter().map(|(score, anomaly)| (*score, !anomaly)).collect();
            let [right, reversed] =
                [scores, reversed].map(|scores| evaluation(scores, None, 0.0));
            let below = |evaluation: &Evaluation| evaluation.standard_errors_below_half();
            let sum = below(&right).zip(below(&reversed)).map(|(right, reversed)| right + reversed);
            prop_assert!(sum.is_some_and(|sum| sum.abs() < 1e-9));
        }
    }

    /// The normal rows score 0 to 1, the anomalies higher by `shift`.
    fn shifted(rows: u16, shift: f32) -> Evaluation {
        let score = |row| f32::from(row) / f32::from(rows);
        let normal = (0..rows).map(|row| (score(row), false));
        let scores: Vec<_> =
            normal.chain((0..rows).map(|row| (score(row) + shift, true))).collect();
        evaluation(scores, None, 0.0)
    }

    #[test]
    fn labels_are_suspect_where_chance_does_not_explain_auroc() {
        let said = |rows, shift| shifted(rows, shift).warnings().join(" ");
        assert!(said(100, -0.9).contains("labels are reversed"));
        assert!(said(100, -2.0).contains("labels are reversed"));
        assert_eq!(said(100, 0.9), "");
        assert_eq!(said(100, -0.05), "");
        // Of two rows, the wrong one scores higher half of the time.
        assert_eq!(said(1, -2.0), "");
    }

    #[test]
    fn few_rows_that_rule_the_mean_are_told() {
        let normal = |row: u16| (3.0 + f32::from(row % 7), false);
        let with = |wild: &[f32]| {
            let wild = wild.iter().map(|score| (*score, false));
            evaluation((0..200).map(normal).chain(wild), None, 0.0)
        };
        let (even, ruled) = (with(&[]), with(&[9000.0, 5.0, 4000.0]));
        assert_eq!((even.rows_that_rule_the_mean, even.warnings()), (0, vec![]));
        assert_eq!(ruled.rows_that_rule_the_mean, 1);
        assert!(ruled.warnings()[0].starts_with("1 of 203 rows labelled normal"));
        assert_eq!(ruled.median_log_density, even.median_log_density);
        assert_eq!(with(&[9000.0, 9001.0, 9002.0]).rows_that_rule_the_mean, 2);
        // What many rows share is no outlier, however low.
        assert_eq!(with(&[9000.0; 90]).rows_that_rule_the_mean, 0);
    }

    #[test]
    fn what_the_rows_do_not_define_is_none() {
        let normal = evaluation(vec![(1.0, false), (3.0, false)], Some(2.0), 0.5);
        assert_eq!(
            (normal.auroc, normal.average_precision, normal.detection_rate),
            (None, None, None)
        );
        assert_eq!(normal.false_alarm_rate, Some(0.5));
        assert_eq!(
            (normal.mean_log_density, normal.mean_log_density_standardized),
            (Some(-2.0), Some(-1.5))
        );
        let quantiles = (normal.median_log_density, normal.log_density_quantile_01_standardized);
        assert_eq!(quantiles, (Some(-2.0), Some(-2.48)));
        let anomalous = evaluation(vec![(1.0, true)], None, 0.0);
        assert_eq!((anomalous.mean_log_density, anomalous.detection_rate), (None, None));
        assert_eq!((anomalous.median_log_density, anomalous.warnings()), (None, vec![]));
    }
}
