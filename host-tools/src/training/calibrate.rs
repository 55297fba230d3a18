//! The threshold: a quantile of the scores of normal rows that training never saw.

use flowlet::Threshold;

use crate::device::Device;
use crate::error::Result;
use crate::rows::dataset::Dataset;

/// Rows from which on `false_alarm_rate` can be met: with fewer, even the largest score lets
/// more rows through.
pub fn rows_needed(false_alarm_rate: f64) -> usize {
    (1.0 / false_alarm_rate).ceil() as usize - 1
}

/// The smallest score that at most `false_alarm_rate` of further normal rows exceed, and of those
/// that were trained on.
///
/// Split conformal prediction (Vovk et al. 2005; Lei et al. 2018, "Distribution-free predictive
/// inference for regression", section 2.2): of the scores of n held-out rows, the
/// ceil((n + 1)(1 - rate))-th smallest, or the largest where there is none. Rows in time order may
/// lack a state of the plant among those few; a model knows training rows best, so that a threshold
/// which more than the rate of them exceed is too low.
pub fn threshold(
    device: &mut dyn Device,
    training: &Dataset,
    held_out: &Dataset,
    false_alarm_rate: f64,
) -> Result<Threshold> {
    let mut quantile_of = |rows: &Dataset| -> Result<f32> {
        let scores = rows.single_rows().map(|row| Ok(-device.log_density(&row)?));
        Ok(quantile(&mut scores.collect::<Result<Vec<f32>>>()?, false_alarm_rate))
    };
    let score = quantile_of(held_out)?.max(quantile_of(training)?);
    let rows = held_out.lines.len() as u32;
    Ok(Threshold { rows, false_alarm_rate: false_alarm_rate as f32, score })
}

fn quantile(scores: &mut [f32], rate: f64) -> f32 {
    scores.sort_unstable_by(f32::total_cmp);
    // Without the small change, (n + 1)(1 - rate) just above a whole number would round up.
    let rank = ((scores.len() + 1) as f64 * (1.0 - rate) - 1e-9).ceil() as usize;
    scores[rank.clamp(1, scores.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Among n + 1 exchangeable rows, each is as likely to be the new one: the share of
        /// them that would raise an alarm is at most the rate.
        #[test]
        fn a_new_row_exceeds_it_at_most_as_often_as_promised(
            mut all in proptest::collection::vec(-100f32..100.0, 101..400),
            rate in 0.01f64..0.5,
        ) {
            let mut alarms = 0;
            for new in 0..all.len() {
                let score = all.swap_remove(new);
                let mut others = all.clone();
                alarms += usize::from(score > quantile(&mut others, rate));
                all.push(score);
                let last = all.len() - 1;
                all.swap(new, last);
            }
            prop_assert!(alarms as f64 <= rate * all.len() as f64 + 1e-6);
        }
    }

    #[test]
    fn too_few_rows_take_the_largest_score() {
        assert_eq!(rows_needed(0.01), 99);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.01), 3.0);
        let mut hundred: Vec<f32> = (1..=100).map(|n| n as f32).collect();
        assert_eq!(quantile(&mut hundred, 0.01), 100.0);
        let mut ninety_nine: Vec<f32> = (1..=99).map(|n| n as f32).collect();
        assert_eq!(quantile(&mut ninety_nine, 0.01), 99.0);
        let mut two_hundred: Vec<f32> = (1..=199).map(|n| n as f32).collect();
        assert_eq!(quantile(&mut two_hundred, 0.01), 198.0);
    }
}
