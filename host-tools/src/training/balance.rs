//! What the terms of each flow's log-density are over normal rows, for the balanced score
//! ([`flowlet::Score`]).

use flowlet::{Balance, Terms};

use crate::rows::damage::quantile;

/// Of a normal distribution, the distance between the quantiles of a tenth and nine tenths.
const TENTHS: f64 = 2.563;
/// Deviations below it, in nats, are rounding: the base then counts in such steps, and the
/// log-determinant not at all.
const SMALLEST: f64 = 0.01;

/// Of each flow, given the terms of all flows at each of some rows that they were not fitted to.
pub fn of(terms: &[Vec<Terms>]) -> Vec<Balance> {
    let flows = terms.first().map_or(0, Vec::len);
    let balance = |flow: usize| {
        let of = |term: fn(&Terms) -> f32| spread(terms.iter().map(|row| term(&row[flow])));
        let (base, s_b) = of(|terms| terms.base);
        let (log_det_jacobian, s_l) = of(|terms| terms.log_det_jacobian);
        let s_l = if s_l < SMALLEST { 0.0 } else { s_l };
        let terms = |base: f64, log_det_jacobian: f64| Terms {
            base: base as f32,
            log_det_jacobian: log_det_jacobian as f32,
        };
        Balance { median: terms(base, log_det_jacobian), deviation: terms(s_b.max(SMALLEST), s_l) }
    };
    (0..flows).map(balance).collect()
}

/// Median and deviation, which a tenth of the values on either side do not move.
fn spread(values: impl Iterator<Item = f32>) -> (f64, f64) {
    let mut ascending: Vec<f64> = values.map(f64::from).collect();
    ascending.sort_unstable_by(f64::total_cmp);
    let quantile = |share| quantile(&ascending, share);
    (quantile(0.5), (quantile(0.9) - quantile(0.1)) / TENTHS)
}
