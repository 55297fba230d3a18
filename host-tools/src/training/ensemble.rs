//! Several flows that judge a row together.
//!
//! Their density is a mixture, whose shares are those under which the rows for early stopping are most
//! probable. The likelihood of a mixture is concave in its shares, and expectation maximisation climbs
//! it from equal ones (McLachlan and Peel 2000, "Finite Mixture Models", section 2.8).

use crate::training::fit::Fitted;
use crate::training::selection::Candidate;

/// Steps of expectation maximisation.
const STEPS: usize = 100;
/// No flow's share is less, so that a row which only it knows is not improbable.
const SMALLEST_SHARE: f64 = 0.05;

/// ln of the shares of flows with these log-densities at some rows, a list a row.
pub fn log_shares(log_densities: &[Vec<f64>], flows: usize) -> Vec<f32> {
    let mut shares = vec![1.0 / flows as f64; flows];
    for _ in 0..STEPS {
        let mut sums = vec![0.0; flows];
        for row in log_densities {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let terms =
                || row.iter().zip(&shares).map(|(own, share)| share * (own - largest).exp());
            let total: f64 = terms().sum();
            for (sum, term) in sums.iter_mut().zip(terms()) {
                *sum += term / total;
            }
        }
        let rows = log_densities.len().max(1) as f64;
        shares = sums.into_iter().map(|sum| sum / rows).collect();
    }
    let free = 1.0 - SMALLEST_SHARE * flows as f64;
    shares.into_iter().map(|share| (SMALLEST_SHARE + free * share).ln() as f32).collect()
}

/// A trained flow on its way into a file.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What was trained.
    pub candidate: Candidate,
    /// Of its draws.
    pub seed: u64,
    /// What came of it.
    pub fitted: &'a Fitted,
}

impl Member<'_> {
    /// What a file of several flows says of this one.
    pub fn provenance(&self) -> String {
        let Fitted { best, epochs, .. } = self.fitted;
        let epochs = match epochs {
            0 => String::new(),
            epochs => format!("epochs {} of {epochs}, ", best.number),
        };
        format!(
            "{}, seed {}, {epochs}log-density {:.4} in training, {:.4} on validation rows",
            self.candidate, self.seed, -best.training_loss, -best.validation_loss
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn likelihood(rows: &[Vec<f64>], shares: &[f64]) -> f64 {
        let density = |row: &Vec<f64>| {
            row.iter().zip(shares).map(|(own, share)| share * own.exp()).sum::<f64>()
        };
        rows.iter().map(|row| density(row).ln()).sum()
    }

    proptest! {
        /// Up to what the smallest share takes away.
        #[test]
        fn no_other_shares_make_the_rows_more_probable(
            rows in prop::collection::vec(prop::collection::vec(-5f64..5.0, 2), 20..60),
            other in 0.05f64..0.95,
        ) {
            let found: Vec<f64> =
                log_shares(&rows, 2).into_iter().map(|share| f64::from(share).exp()).collect();
            prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-6);
            prop_assert!(found.iter().all(|share| *share >= SMALLEST_SHARE - 1e-6));
            let loss = rows.len() as f64 * -(1.0 - 2.0 * SMALLEST_SHARE).ln();
            prop_assert!(likelihood(&rows, &found) >= likelihood(&rows, &[other, 1.0 - other]) - loss);
        }
    }
}
