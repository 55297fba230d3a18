//! What a trained latent model is on rows that it did not train on, and what is told of it.

use flowlet::Terms;

use super::{Bound, Epoch, Job, Trained};
use crate::device::{BalanceSummary, Device};
use crate::error::Result;
use crate::latent::device::{Latent, describe_flows};
use crate::latent::round_trip::{FeatureError, RoundTrip, mean_explained};
use crate::latent::twin::Decoder;
use crate::message::escape;
use crate::rows::dataset::Dataset;
use crate::train::report;
use crate::training::{balance, calibrate};

/// Variance over rows below which a latent value says nothing of them (Burda et al. 2016, section 5.2).
const ACTIVE: f64 = 0.01;

/// What is found.
pub struct Findings {
    /// Whether each latent value varies over rows.
    active: Vec<bool>,
    /// What the code keeps of each feature.
    round_trip: Vec<FeatureError>,
    /// How far the densities of rows differ by what they are and by how dense their kind is; of binary
    /// rows none.
    balances: Vec<BalanceSummary>,
}

impl Findings {
    /// Of a model on the rows for early stopping, and, of its round trip, on those that set the threshold.
    pub fn of(job: &Job, trained: &Trained, device: &mut dyn Device) -> Result<Self> {
        let split = &job.rows.split;
        let names = device.feature_names();
        let latent = device.latent().expect("a latent model");
        let mut round_trip = RoundTrip::default();
        for row in split.held_out.single_rows() {
            round_trip.add(latent, &row, names.len())?;
        }
        let balances = match trained.fitted.options.likelihood {
            Decoder::Bernoulli => Vec::new(),
            Decoder::Gaussian | Decoder::StudentT => {
                balances(latent, &split.early_stopping, names.len())?
            }
        };
        let active = active(latent, &split.early_stopping)?;
        Ok(Self { active, round_trip: round_trip.errors(&names), balances })
    }

    /// For the file.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let active = self.active.iter().filter(|is_active| **is_active).count();
        let mut facts = vec![("active_latents", format!("{active} of {}", self.active.len()))];
        let explained = mean_explained(&self.round_trip);
        facts.extend(explained.map(|share| ("round_trip_explained", format!("{share:.4}"))));
        facts
    }

    /// Says what came of it.
    pub fn tell(&self, job: &Job, trained: &Trained, device: &dyn Device) {
        let Trained { fitted, out_of_time, .. } = trained;
        let summary = device.summary();
        if let [posterior, prior] = &summary.members[..] {
            let [posterior, prior] = describe_flows(posterior, prior);
            log::info!("posterior: {posterior}; prior: {prior}");
        }
        let stopped = if *out_of_time { ", stopped by the time limit" } else { "" };
        let Epoch { number, training, validation, .. } = &fitted.best;
        log::info!(
            "best epoch {number} of {}{stopped}, bounds in standardised units, nats",
            fitted.epochs
        );
        log::info!("training bound {}", terms(training));
        log::info!("validation bound {}", terms(validation));
        if fitted.unfinished {
            log::warn!(
                "a Gaussian for each feature alone is better on the validation rows after {} epochs: \
                 let it train longer",
                fitted.epochs
            );
        }
        self.tell_codes(job);
        log::info!("score: {}", summary.score);
        calibrate::report(device);
        report::warn_of_operating_points(job, &self.balances, report::Judged::Score);
    }

    /// Says what the latent values are worth.
    fn tell_codes(&self, job: &Job) {
        let collapsed: Vec<String> = (1..)
            .zip(&self.active)
            .filter(|(_, is_active)| !**is_active)
            .map(|(number, _)| format!("z{number}"))
            .collect();
        let (latents, active) = (self.active.len(), self.active.len() - collapsed.len());
        log::info!("{active} of {latents} latent values are active");
        if !collapsed.is_empty() {
            log::warn!(
                "{} say nothing of the rows (collapsed): {active} latent values would do, --latent {}",
                collapsed.join(", "),
                active.max(2)
            );
        }
        let features = job.rows.columns.len() - job.context;
        if latents > features {
            log::warn!(
                "{latents} latent values are more than the {features} features: nothing is compressed"
            );
        }
        for own in &self.round_trip {
            log::info!("decode(encode) of `{}`: error {own}", escape(&own.feature));
        }
    }
}

/// Whether each latent value varies over `rows`.
fn active(latent: &mut dyn Latent, rows: &Dataset) -> Result<Vec<bool>> {
    let codes = rows.single_rows().map(|row| latent.encode(&row)).collect::<Result<Vec<_>>>()?;
    let varies = |own: usize| {
        let values = || codes.iter().map(|code| f64::from(code[own]));
        let mean = values().sum::<f64>() / codes.len() as f64;
        values().map(|z| (z - mean).powi(2)).sum::<f64>() / codes.len() as f64 > ACTIVE
    };
    Ok((0..codes.first().map_or(0, Vec::len)).map(varies).collect())
}

/// The spread of ln w at the draw 0 in two parts: how far a row lies from what its code explains and the
/// code from the prior's middle, as of a flow its base's log-density; and how narrow the decoder and how
/// wide the posterior are there, as of a flow its log-determinant.
fn balances(
    latent: &mut dyn Latent,
    rows: &Dataset,
    features: usize,
) -> Result<Vec<BalanceSummary>> {
    let mut terms = Vec::new();
    for row in rows.single_rows() {
        let code = latent.encode(&row)?;
        let deviations = latent.deviations(&code, &row[features..])?;
        let own = latent.latent_terms(&row)?;
        let narrow: f32 = deviations.iter().map(|deviation| -deviation.ln()).sum();
        let log_det_jacobian = narrow - own.posterior;
        terms.push(vec![Terms {
            base: own.log_weight() - log_det_jacobian,
            log_det_jacobian,
            of_context: 0.0,
        }]);
    }
    Ok(balance::of(&terms).into_iter().map(BalanceSummary::from).collect())
}

/// A bound and its terms.
pub fn terms(Bound { elbo, reconstruction, prior, posterior }: &Bound) -> String {
    format!(
        "{elbo:.4} (reconstruction {reconstruction:.4}, prior {prior:.4}, posterior {posterior:.4})"
    )
}
