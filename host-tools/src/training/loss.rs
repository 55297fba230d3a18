//! What flows are compared by: losses that no single row decides.
//!
//! A loss is the negative log-density of a row, standardised units, nats. The mean of losses
//! hangs on the wildest row; a mean without the largest hundredth does not (Huber 1981, "Robust
//! Statistics", section 1.3), and ranks epochs and families by what the other rows say.

use crate::rows::order::correlation_time;

/// Share of the largest losses that count for nothing, one at least.
const TRIMMED: f64 = 0.01;
/// Fewest rows of which one is left out.
const ROWS: usize = 20;
/// Most nats for each feature that a row counts for when two flows are compared.
const MOST: f64 = 10.0;
/// Nats for each feature, and standard errors, by which a flow must be behind a Gaussian before it
/// counts as one that learned nothing.
const BEHIND: (f64, f64) = (0.05, 3.0);

/// Mean of the losses without the largest ones; not finite where more than those are not.
pub fn mean(losses: &[f64]) -> f64 {
    let mut ascending: Vec<f64> =
        losses.iter().map(|loss| if loss.is_nan() { f64::INFINITY } else { *loss }).collect();
    ascending.sort_unstable_by(f64::total_cmp);
    let kept = &ascending[..ascending.len() - trimmed(ascending.len())];
    kept.iter().sum::<f64>() / kept.len().max(1) as f64
}

/// Whether the losses of a flow of so many features are larger than those of a plain Gaussian on
/// the same rows, in their order, beyond all doubt: rows that follow each other are few.
pub fn is_behind(flow: &[f64], gaussian: &[f64], features: usize) -> bool {
    let most = MOST * features as f64;
    let behind = flow.iter().zip(gaussian).map(|(flow, gaussian)| match flow - gaussian {
        difference if difference.is_nan() => most,
        difference => difference.clamp(-most, most),
    });
    let behind: Vec<f64> = behind.collect();
    let mut ascending = behind.clone();
    ascending.sort_unstable_by(f64::total_cmp);
    let cut = trimmed(ascending.len());
    let (low, high) = (ascending[cut], ascending[ascending.len() - 1 - cut]);
    let count = behind.len() as f64;
    let held = || behind.iter().map(|own| own.clamp(low, high));
    let mean = held().sum::<f64>() / count;
    let centred: Vec<f64> = held().map(|own| own - mean).collect();
    let variance = centred.iter().map(|own| own * own).sum::<f64>() / count;
    let error = (variance * correlation_time(&centred) / count).sqrt();
    let (nats, errors) = BEHIND;
    mean > nats * features as f64 + errors * error
}

fn trimmed(count: usize) -> usize {
    if count < ROWS { 0 } else { ((TRIMMED * count as f64) as usize).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// One row, whatever its loss, moves the mean by no more than the others are apart.
        #[test]
        fn one_row_moves_little(
            mut losses in prop::collection::vec(-10f64..10.0, 30..200),
            wild in prop_oneof![Just(f64::INFINITY), Just(f64::NAN), 1e3f64..1e30],
            place: prop::sample::Index,
        ) {
            let before = mean(&losses);
            let place = place.index(losses.len());
            losses[place] = wild;
            prop_assert!((mean(&losses) - before).abs() <= 20.0 / (losses.len() - 1) as f64 * 2.0);
        }

        #[test]
        fn a_flow_is_behind_by_what_it_loses(
            gaussian in prop::collection::vec(-10f64..10.0, 30..200),
            lost in -3f64..3.0,
        ) {
            let flow: Vec<f64> = gaussian.iter().map(|loss| loss + lost).collect();
            prop_assert_eq!(is_behind(&flow, &gaussian, 8), lost > 0.05 * 8.0);
            for nothing in [f64::NAN, f64::INFINITY] {
                prop_assert!(is_behind(&vec![nothing; flow.len()], &gaussian, 8));
            }
            // However much rows differ.
            let far: Vec<f64> = (0..flow.len()).map(|row| 10f64.powi(row as i32)).collect();
            prop_assert!(is_behind(&far, &gaussian, 8));
        }
    }
}
