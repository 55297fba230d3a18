//! What a row pays, and what its bet must cost.
//!
//! Of n held-out rows and a further one, scores without ties, any order is as likely as any other: the
//! probability that the further one falls between two neighbours is a random gap, and the n + 1 gaps are
//! jointly those of n uniform points on a line, g_i = E_i / sum E with independent exponential E. A row in gap i
//! pays b_i, so that the mean pay of rows to come, given the table, is m = sum g_i b_i. With N = n + 1, mean mu and variance
//! v of the b_i, their largest mu + w, and l = ln(1 / 0.05) / N, Bernstein's inequality for gamma variables (Boucheron et al.
//! 2013, section 2.4) says of sum (b_i - mu - d) E_i that it is positive with a probability of at most 5 % for
//!
//! `d = (w l + sqrt(2 l (w^2 l^2 + v (1 - 2 l)))) / (1 - 2 l)`
//!
//! and then m <= mu + d with a confidence of 95 %; c = ln(mu + d).

use crate::calibration::Calibration;
use crate::math::{Libm, Math};

/// Share of all tables of held-out scores for which the promise holds.
pub const CONFIDENCE: f32 = 0.95;

/// -ln(1 - [`CONFIDENCE`]).
const LOG_DOUBT: f32 = 2.995_732_3;

/// b(p), for p in 0..=1, not 0: by square roots alone.
fn bet(p_value: f32) -> f32 {
    let half = Libm::sqrt(p_value);
    let quarter = Libm::sqrt(half);
    let eighth = Libm::sqrt(quarter);
    let powers = 0.5 / half + 0.25 / (half * quarter) + 0.125 / (half * quarter * eighth);
    powers / 3.0
}

/// What a row adds to the evidence, in nats.
pub(super) fn gain(p_value: f32, charge: f32) -> f32 {
    Libm::ln(bet(p_value)) - charge
}

/// What a row above all held-out ones adds to the evidence, in nats.
pub(super) fn largest_gain(calibration: Calibration, charge: f32) -> f32 {
    gain(calibration.conformal_p_value(f32::INFINITY), charge)
}

/// c; none where there are too few rows for any to add to the evidence.
pub(super) fn charge(calibration: Calibration) -> Option<f32> {
    let places = calibration.rows() as f32 + 1.0;
    let mean_of = |value: &dyn Fn(f32) -> f32| {
        let mut sum = 0.0;
        for (p_value, count) in calibration.places() {
            sum += count * value(bet(p_value));
        }
        sum / places
    };
    let mean = mean_of(&|bet| bet);
    let variance = mean_of(&|bet| (bet - mean) * (bet - mean));
    let largest = bet(calibration.conformal_p_value(f32::INFINITY)) - mean;
    let doubt = LOG_DOUBT / places;
    let left = 1.0 - 2.0 * doubt;
    if left <= 0.0 {
        return None;
    }
    let first = largest * doubt;
    let excess = (first + Libm::sqrt(2.0 * doubt * (first * first + variance * left))) / left;
    let charge = Libm::ln(mean + excess);
    (largest_gain(calibration, charge) > 0.0).then_some(charge)
}
