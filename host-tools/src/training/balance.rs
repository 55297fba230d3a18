//! What the terms of each flow's log-density are over normal rows, for the balanced score
//! ([`flowlet::Score`]).

use flowlet::{Balance, Terms, Usual};

use crate::rows::damage::quantile;

/// Of a normal distribution, the distance between the quantiles of a tenth and nine tenths.
const TENTHS: f64 = 2.563;
/// Deviations below it, in nats, are rounding: the base then counts in such steps, and the
/// log-determinant not at all.
const SMALLEST: f32 = 0.01;

/// Of each flow, given the terms of all flows at each of some rows that they were not fitted to.
pub fn of(terms: &[Vec<Terms>]) -> Vec<Balance> {
    let flows = terms.first().map_or(0, Vec::len);
    let balance = |flow: usize| {
        let of = |term: fn(&Terms) -> f32| usual(terms.iter().map(|row| term(&row[flow])));
        let (mut base, mut log_det_jacobian) =
            (of(|terms| terms.base), of(|terms| terms.log_det_jacobian));
        base.deviation = base.deviation.max(SMALLEST);
        if log_det_jacobian.deviation < SMALLEST {
            log_det_jacobian.deviation = 0.0;
        }
        Balance { base, log_det_jacobian }
    };
    (0..flows).map(balance).collect()
}

/// What a tenth of the values on either side do not move.
fn usual(values: impl Iterator<Item = f32>) -> Usual {
    let mut ascending: Vec<f64> = values.map(f64::from).collect();
    ascending.sort_unstable_by(f64::total_cmp);
    let quantile = |share| quantile(&ascending, share);
    let deviation = (quantile(0.9) - quantile(0.1)) / TENTHS;
    Usual { median: quantile(0.5) as f32, deviation: deviation as f32 }
}
