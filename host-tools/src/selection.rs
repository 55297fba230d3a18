//! `--family auto`: several families trained on the same rows, and the one taken, or for an
//! ensemble those, under which other rows are most probable.
//!
//! All candidates share one standardisation, so their log-densities compare. The rows that
//! decide are those for early stopping, with the same noise of their steps for everyone; the
//! threshold comes from rows that neither saw.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use comfy_table::{Table, presets};
use flowlet::write::ModelFile;

use crate::device::{self, Summary};
use crate::error::{Error, Result};
use crate::family::Family;
use crate::fit::Fitted;

/// What is tried, in this order, so that little time is spent where it suffices: first those
/// without layers, which take seconds, then flows as they did in trials, the best detector and
/// the highest densities before others.
const CANDIDATES: [Family; 7] = [
    Family::Gaussian,
    Family::Gmm,
    Family::RealNvp,
    Family::SplineAutoregressive,
    Family::Maf,
    Family::SplineCoupling,
    Family::Glow,
];

/// Cortex-M4 cycles of a multiply-add, measured over a whole Real NVP, its exponentials included
/// (the README's table: 73,240 for 24,320).
const CYCLES_PER_MULTIPLY_ADD: f64 = 3.0;
/// Cortex-M4 cycles of a spline, an estimate: 18 exponentials at 101, a logarithm at 97, a root at
/// 60, and about 600 for its divisions and the search of the bin.
const CYCLES_PER_SPLINE: f64 = 2600.0;

/// The value of `--family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The best of several.
    Auto,
    /// This one.
    Fixed(Family),
}

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<Choice>> = LazyLock::new(|| {
            let families = Family::value_variants().iter().copied().map(Choice::Fixed);
            [Choice::Auto].into_iter().chain(families).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Auto => Some(PossibleValue::new("auto").help(
                "Several families, one after the other, and of these the one with the highest \
                 log-density on the rows for early stopping",
            )),
            Self::Fixed(family) => family.to_possible_value(),
        }
    }
}

/// A family that was to be tried.
#[derive(Debug)]
pub struct Candidate {
    /// Which one.
    pub family: Family,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a candidate.
#[derive(Debug)]
pub enum Outcome {
    /// A flow.
    Trained(Box<Fitted>),
    /// No flow.
    Failed(Error),
    /// The others took all of the time.
    NotTried,
}

/// The families that are tried; those without layers know no context.
pub fn candidates(is_conditional: bool) -> Vec<Family> {
    let all = CANDIDATES.into_iter();
    all.filter(|family| !is_conditional || family.default_layers().is_some()).collect()
}

/// Trains the candidates one after the other, each with its share of the time that the ones
/// before it left.
pub fn train_all(
    families: &[Family],
    time: Duration,
    mut train: impl FnMut(Family, Duration) -> Result<Fitted>,
) -> Vec<Candidate> {
    let start = Instant::now();
    let candidate = |(number, family)| {
        let share = time.saturating_sub(start.elapsed()) / (families.len() - number) as u32;
        let outcome = if number > 0 && share.is_zero() {
            Outcome::NotTried
        } else {
            match train(family, share) {
                Ok(fitted) => Outcome::Trained(Box::new(fitted)),
                Err(error) => Outcome::Failed(error),
            }
        };
        Candidate { family, outcome }
    };
    families.iter().copied().enumerate().map(candidate).collect()
}

/// Whether the clock had a part in what came of them.
pub fn is_out_of_time(candidates: &[Candidate]) -> bool {
    candidates.iter().any(|candidate| match &candidate.outcome {
        Outcome::Trained(fitted) => fitted.out_of_time,
        Outcome::Failed(_) => false,
        Outcome::NotTried => true,
    })
}

/// Takes the one with the highest validation log-density, or that many of the highest, or the
/// first error where there is none, and says why.
pub fn pick(candidates: Vec<Candidate>, count: usize) -> Result<Vec<(Family, Fitted)>> {
    let mut trained = Vec::new();
    let mut failures = Vec::new();
    for Candidate { family, outcome } in candidates {
        match outcome {
            Outcome::Trained(fitted) => trained.push((family, *fitted)),
            Outcome::Failed(error) => failures.push(error),
            Outcome::NotTried => {}
        }
    }
    if trained.is_empty() {
        return Err(failures.swap_remove(0));
    }
    trained.sort_by(|(_, a), (_, b)| a.best.validation_loss.total_cmp(&b.best.validation_loss));
    let loss = |(_, fitted): &(Family, Fitted)| fitted.best.validation_loss;
    let picked = names(trained.iter().take(count).map(|(family, _)| *family));
    let taken = trained.len().min(count);
    if taken < count {
        log::warn!("only {taken} of the {count} flows asked for could be trained");
    }
    let its = if taken == 1 {
        "its validation log-density is"
    } else {
        "their validation log-densities are"
    };
    match (trained.get(taken - 1), trained.get(taken)) {
        (Some(last), Some(next)) => log::info!(
            "picked {picked}: {its} the highest, {:.3} nats above that of {}",
            loss(next) - loss(last),
            next.0
        ),
        _ if taken == 1 => log::info!("picked {picked}: the only one that was trained"),
        _ => log::info!("picked {picked}: all that were trained"),
    }
    trained.truncate(taken);
    Ok(trained)
}

/// The families' names, in their order.
pub fn names(families: impl Iterator<Item = Family>) -> String {
    families.map(|family| family.to_string()).collect::<Vec<_>>().join(", ")
}

/// What the candidates reach and what they would cost; `export` makes the file of one.
pub fn report(
    candidates: &[Candidate],
    export: impl Fn(Family, &Fitted) -> Result<ModelFile>,
) -> Result<String> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "family",
        "validation log-density",
        "best epoch",
        "flash, bytes",
        "multiply-adds a row",
        "cycles a row (estimate)",
    ]);
    for candidate in candidates {
        let mut row = vec![candidate.family.to_string()];
        match &candidate.outcome {
            Outcome::Trained(fitted) => {
                let file = export(candidate.family, fitted)?;
                let summary = device::open(&file, "a candidate")?.summary();
                row.extend([
                    format!("{:.4}", -fitted.best.validation_loss),
                    epochs(fitted),
                    file.bytes().len().to_string(),
                    summary.multiply_adds.to_string(),
                    format!("{:.0}", cycles(&summary)),
                ]);
            }
            Outcome::Failed(error) => row.push(format!("failed: {error}")),
            Outcome::NotTried => row.push("not tried: no time was left".into()),
        }
        table.add_row(row);
    }
    Ok(format!(
        "{table}\nLog-densities are means in nats over standardised rows. Cycles are an estimate \
         for a Cortex-M4: {CYCLES_PER_MULTIPLY_ADD} a multiply-add, as measured for real-nvp, and \
         {CYCLES_PER_SPLINE} a spline."
    ))
}

fn epochs(fitted: &Fitted) -> String {
    let stopped = if fitted.out_of_time { ", time over" } else { "" };
    match fitted.epochs {
        0 => format!("-{stopped}"),
        epochs => format!("{} of {epochs}{stopped}", fitted.best.number),
    }
}

fn cycles(summary: &Summary) -> f64 {
    CYCLES_PER_MULTIPLY_ADD * summary.multiply_adds as f64
        + CYCLES_PER_SPLINE * summary.splines as f64
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::family::Flow;
    use crate::fit::Epoch;
    use crate::transform::Transform;

    fn fitted(validation_loss: f64) -> Fitted {
        let best = Epoch { number: 1, training_loss: 0.0, validation_loss, best: 1 };
        let flow = Flow::from_components(&[], &Device::flex());
        let transform = Transform::identity(2);
        Fitted { transform, flow, best, epochs: 1, out_of_time: false }
    }

    fn families(picked: &[(Family, Fitted)]) -> Vec<Family> {
        picked.iter().map(|(family, _)| *family).collect()
    }

    fn failure(family: Family) -> Error {
        Error::Diverged { learning_rate: if family == CANDIDATES[0] { 0.5 } else { 0.1 } }
    }

    #[test]
    fn the_highest_log_density_is_picked_and_failures_are_passed_over() {
        let candidates = train_all(&CANDIDATES, Duration::from_secs(60), |family, share| {
            assert!(share >= Duration::from_secs(8));
            match family {
                Family::Gaussian | Family::Glow => Err(failure(family)),
                Family::Maf => Ok(fitted(-2.0)),
                _ => Ok(fitted(1.0)),
            }
        });
        assert!(!is_out_of_time(&candidates));
        let picked = pick(candidates, 1).expect("five were trained");
        assert_eq!(families(&picked), [Family::Maf]);
        assert_eq!(picked[0].1.best.validation_loss, -2.0);
    }

    #[test]
    fn an_ensemble_takes_the_highest_in_their_order() {
        let candidates = train_all(&CANDIDATES, Duration::from_secs(60), |family, _| {
            let place = CANDIDATES.iter().position(|other| *other == family);
            Ok(fitted(-(place.expect("a candidate") as f64)))
        });
        let picked = pick(candidates, 3).expect("all were trained");
        let [.., third, second, first] = CANDIDATES;
        assert_eq!(families(&picked), [first, second, third]);
    }

    #[test]
    fn without_time_only_the_first_is_tried() {
        let candidates = train_all(&CANDIDATES, Duration::ZERO, |_, _| Ok(fitted(1.0)));
        assert!(is_out_of_time(&candidates));
        let picked = pick(candidates, 3).expect("one was trained");
        assert_eq!(families(&picked), CANDIDATES[..1]);
    }

    #[test]
    fn where_all_fail_the_first_error_is_told() {
        let candidates =
            train_all(&CANDIDATES, Duration::from_secs(60), |family, _| Err(failure(family)));
        let error = pick(candidates, 2).expect_err("none was trained");
        assert!(matches!(error, Error::Diverged { learning_rate: 0.5 }), "{error}");
    }
}
