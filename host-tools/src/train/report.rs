//! What a user is told before and after training.

use flowlet::write::ModelFile;
use flowlet::{Calibration, MAX_ENSEMBLE_SCORE};

use super::job::{Job, Trained};
use super::{conflicts, provenance};
use crate::device::{self, BalanceSummary, Device};
use crate::error::Result;
use crate::inspect::describe_shares;
use crate::message::{self, excerpt, word};
use crate::output;
use crate::rows::label::is_label;
use crate::rows::prepare::Prepared;
use crate::rows::standardise::Column;
use crate::training::fit::Fitted;
use crate::training::{alarms, calibrate, constants};

/// Share of the log-determinant's deviation that the base's is, below which operating points differ.
pub const OPERATING_POINTS: f32 = 0.3;

/// Features that are named for what the context says of them.
const MOST_NAMED: usize = 3;

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

/// Says which features shift and scale with the context: the more, the less the rows could be told
/// apart without it.
fn describe_context(columns: &[Column], gains: &[Option<f64>]) -> String {
    let gains = columns.iter().zip(gains);
    let mut gains: Vec<(&str, f64)> =
        gains.filter_map(|(column, gain)| Some((column.feature.name.as_str(), (*gain)?))).collect();
    gains.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let most = gains.iter().take(MOST_NAMED);
    let most: Vec<_> = most.map(|(name, gain)| format!("{} {gain:.2}", excerpt(name))).collect();
    format!(
        "given the context, {} of {} features shift and scale, which gains {:.2} nats a row on \
         validation rows (most: {})",
        gains.len(),
        columns.len(),
        gains.iter().map(|(_, gain)| gain).sum::<f64>(),
        most.join(", ")
    )
}

/// Says what came of it.
pub fn report(job: &Job, file: &ModelFile, trained: &Trained) -> Result<()> {
    if job.context > 0
        && let Some((_, _, fitted)) = trained.flows.first()
    {
        let features = &job.rows.columns[..job.rows.columns.len() - job.context];
        match fitted.transform.context_gains.iter().any(Option::is_some) {
            true => log::info!("{}", describe_context(features, &fitted.transform.context_gains)),
            false => log::warn!(
                "the context tells nothing of any feature's place and spread: its columns may be of \
                 no use"
            ),
        }
    }
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
    calibrate::report(&*device);
    let thresholds: Vec<_> =
        device.calibration().iter().flat_map(Calibration::thresholds).collect();
    for (threshold, rate) in thresholds.into_iter().zip(&job.arguments.false_alarm_rate) {
        if summary.balances.len() > 1 && threshold.score >= MAX_ENSEMBLE_SCORE {
            log::warn!(
                "no row scores above the threshold for a false-alarm rate of {rate}: the score of an \
                 ensemble stays below {MAX_ENSEMBLE_SCORE}"
            );
        }
    }
    alarms::report(device::detector(file, "the trained model"));
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
