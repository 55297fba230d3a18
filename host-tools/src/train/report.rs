//! What a user is told before and after training.

use flowlet::write::ModelFile;
use flowlet::{Calibration, MAX_ENSEMBLE_SCORE, Threshold};

use super::job::{Job, Trained};
use super::{conflicts, provenance};
use crate::device::{self, BalanceSummary, Device};
use crate::error::Result;
use crate::inspect::describe_shares;
use crate::message::{self, excerpt, word};
use crate::output;
use crate::rows::prepare::Prepared;
use crate::training::calibrate::{self, Basis};
use crate::training::constants;
use crate::training::fit::Fitted;

/// Share of the log-determinant's deviation that the base's is, below which operating points differ.
const OPERATING_POINTS: f32 = 0.3;

/// Says what is odd about the options and the names of the columns.
pub fn warn(job: &Job) {
    for option in conflicts::unused(job.arguments) {
        log::warn!("{option} means nothing with a family without layers: it is not used");
    }
    let training = &job.rows.split.training;
    for name in training.names.iter().filter(|name| is_label(name)) {
        log::warn!(
            "{}: column `{}` is used as a feature; --exclude {} if it is not one",
            message::path(&training.path),
            excerpt(name),
            word(name)
        );
    }
}

/// Says what a false-alarm rate rests on, if that is little.
pub(super) fn warn_of_few_rows(device: &dyn Device, threshold: Threshold, rate: f64) {
    let (held_out, needed) = (threshold.rows as usize, calibrate::rows_needed(rate));
    let above = held_out as f64 * rate;
    if above >= calibrate::HANDFUL {
        return;
    }
    let basis = |calibration| Basis::of(&calibration, threshold.false_alarm_rate);
    let rests = match device.calibration().map_or(Basis::Rows, basis) {
        Basis::Exponential(_) => {
            "it follows an exponential tail fitted to the largest of their scores".into()
        }
        Basis::Extrapolation(tail) => {
            let [low, high] = calibrate::extrapolated_rates(tail, threshold.score);
            format!(
                "it is extrapolated along a tail fitted to the largest of their scores, of shape {:.2} \
                 with a standard error of {:.2}, by which the rate may be from {low:.1e} to {high:.1e}",
                tail.shape, tail.shape_error
            )
        }
        Basis::Rows if held_out < needed => "the largest of their scores is taken".into(),
        Basis::Rows => "a handful of rows decides it".into(),
    };
    let steadier = (calibrate::HANDFUL / rate).ceil();
    if held_out < needed {
        log::warn!(
            "only {held_out} rows are left for the threshold, a false-alarm rate of {rate} needs \
             {needed}: {rests}; {steadier} would make it steady"
        );
    } else {
        log::warn!(
            "{held_out} rows are left for the threshold, of which a false-alarm rate of {rate} lets \
             {above:.0} score higher: {rests}; {steadier} would make it steady"
        );
    }
}

/// What rows are judged by where the densities of operating points differ.
#[derive(Clone, Copy)]
pub(super) enum Judged {
    /// By a score that allows for it.
    Balanced,
    /// By the score of a latent model, which does not.
    Score,
}

/// Says where the density of normal rows differs so much that it says little of their kind.
pub(super) fn warn_of_operating_points(job: &Job, balances: &[BalanceSummary], judged: Judged) {
    let ratio = |own: &BalanceSummary| own.base_deviation / own.log_det_jacobian_deviation;
    let least = balances.iter().map(ratio).fold(f32::INFINITY, f32::min);
    if least < OPERATING_POINTS {
        let columns = job.rows.split.training.names.len() - job.context;
        let ratio = 1.0 / least;
        let why = match judged {
            Judged::Balanced => format!(
                "its log-determinant varies {ratio:.1} times as much as the base's log-density. The \
                 balanced score allows for it, a threshold on the log-density would not"
            ),
            Judged::Score => format!(
                "what decoder and posterior say of its width varies {ratio:.1} times as much as how far \
                 rows are from it. The score of a latent model does not allow for it, the balanced score \
                 of a flow does"
            ),
        };
        log::warn!(
            "the density of normal rows differs by operating point: {why}{}",
            if job.context == 0 && columns > 2 {
                "; a column that sets the operating point may be a --context"
            } else {
                ""
            }
        );
    }
}

/// Whether a column is called like what tells anomalies from normal rows.
fn is_label(name: &str) -> bool {
    let name = name.to_lowercase().replace([' ', '-'], "_");
    ["label", "labels", "anomaly", "is_anomaly", "outlier", "is_outlier"].contains(&&*name)
}

/// Says what came of it.
pub fn report(job: &Job, file: &ModelFile, trained: &Trained) -> Result<()> {
    let mut device = device::open(file, "the trained model")?;
    let summary = device.summary();
    for ((family, seed, fitted), flow) in trained.flows.iter().zip(&summary.members) {
        let how = match fitted.epochs {
            0 => flow.base.clone(),
            epochs => format!("best epoch {} of {epochs}", fitted.best.number),
        };
        let which = match trained.flows.len() {
            1 => String::new(),
            _ => format!("{family}, seed {seed}: "),
        };
        let stopped = if fitted.out_of_time { ", stopped by the time limit" } else { "" };
        log::info!(
            "{which}{how}{stopped}: log-density {:.3} in training, {:.3} on validation rows \
             (standardised units, nats)",
            -fitted.best.training_loss,
            -fitted.best.validation_loss
        );
        if fitted.unfinished {
            log::warn!(
                "{which}a plain Gaussian is better on the validation rows after {} epochs: let it \
                 train longer",
                fitted.epochs
            );
        }
    }
    if let [(_, _, Fitted { transform, .. }), ..] = &trained.flows[..] {
        for (key, value) in provenance::of_transform(job, transform) {
            log::info!("{key}: {value}");
        }
    }
    if !summary.shares.is_empty() {
        log::info!("{}", describe_shares(&summary.shares));
    }
    log::info!("score: {}", summary.score);
    for threshold in device.calibration().iter().flat_map(Calibration::thresholds) {
        let Threshold { rows, false_alarm_rate, score } = threshold;
        log::info!(
            "threshold {score} at a false-alarm rate of {false_alarm_rate}, from {rows} rows"
        );
    }
    let thresholds: Vec<_> =
        device.calibration().iter().flat_map(Calibration::thresholds).collect();
    for (threshold, rate) in thresholds.into_iter().zip(&job.arguments.false_alarm_rate) {
        warn_of_few_rows(&*device, threshold, *rate);
        if summary.balances.len() > 1 && threshold.score >= MAX_ENSEMBLE_SCORE {
            log::warn!(
                "no row scores above the threshold for a false-alarm rate of {rate}: the score of an \
                 ensemble stays below {MAX_ENSEMBLE_SCORE}"
            );
        }
    }
    warn_of_operating_points(job, &summary.balances, Judged::Balanced);
    off_constants(job, &mut *device)?;
    log::info!(
        "{}: {} bytes of flash, {} bytes of stack, {} multiply-adds a row",
        message::path(&output::shown(&job.arguments.output)),
        file.bytes().len(),
        summary.ram_bytes,
        summary.multiply_adds
    );
    Ok(())
}

/// Says from where on a value off a constant is an anomaly.
pub(super) fn off_constants(job: &Job, device: &mut dyn Device) -> Result<()> {
    let Prepared { split, columns, constants, .. } = job.rows;
    for number in constants {
        let (column, feature) = (&columns[*number], &columns[*number].feature);
        // On a circle far values come round to it.
        if feature.periodic {
            continue;
        }
        let (name, constant) = (&feature.name, column.constant());
        let least = column.off_constant();
        match constants::reach(device, &split.held_out, (*number, feature.low), least)? {
            Some(reach) => log::warn!(
                "column `{name}`: values off {constant} by {} or more count as anomalies",
                two_digits(reach)
            ),
            None => log::warn!(
                "column `{name}`: values off {constant} need not count as anomalies: rows that set \
                 the threshold are as improbable"
            ),
        }
    }
    Ok(())
}

/// As many digits as a reader needs.
fn two_digits(x: f32) -> f32 {
    format!("{x:.1e}").parse().unwrap_or(x)
}
