//! `--family auto`: different flows trained on the same rows.
//!
//! Flows of different families and bases err on different rows, so that the mean of their
//! log-densities is a steadier detector than any one of them: that is the default, always of the
//! same three. With `--ensemble N` more are tried, and taken are those N under which other rows
//! are most probable, which makes a good density, and with N = 1 a small file.
//!
//! All candidates share one standardisation, so their log-densities compare. The rows that
//! decide are those for early stopping, with the same noise of their steps for everyone; the
//! threshold comes from rows that neither saw.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use comfy_table::{Table, presets};
use flowlet::write::ModelFile;

use crate::cost::{self, Core};
use crate::device;
use crate::error::{Error, Result};
use crate::family::Family;
use crate::training::fit::Fitted;

/// What is tried, in this order, so that little time is spent where it suffices: first those
/// without layers, which take seconds.
const CANDIDATES: [Candidate; 7] = [
    Candidate::of(Family::Gaussian),
    Candidate::of(Family::Gmm),
    Candidate::of(Family::RealNvp),
    Candidate::of(Family::Maf),
    Candidate::of(Family::SplineCoupling),
    Candidate::of(Family::SplineAutoregressive),
    Candidate::of(Family::Glow),
];

/// Those that judge together by default: of several on seven public data sets with anomalies, the
/// smallest ones that detected as much as any.
const TOGETHER: [Candidate; 3] = [
    Candidate::over(Family::RealNvp, Base::Mixture),
    Candidate::over(Family::Maf, Base::StudentT),
    Candidate::over(Family::SplineCoupling, Base::StudentT),
];

/// What competes within a budget, by its size: those that judge together, and what takes no time.
const WITHIN_BUDGET: [Candidate; 5] = [
    Candidate::over(Family::RealNvp, Base::Mixture),
    Candidate::over(Family::Maf, Base::StudentT),
    Candidate::over(Family::SplineCoupling, Base::StudentT),
    Candidate::of(Family::Gaussian),
    Candidate::of(Family::Gmm),
];

/// What takes their place where features lie on circles.
const ON_CIRCLES: Candidate = Candidate::of(Family::SplineCoupling);

/// The value of `--family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Several, or the best of several.
    Auto,
    /// This one.
    Fixed(Family),
    /// No flow but a latent variable model.
    Vae,
}

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<Choice>> = LazyLock::new(|| {
            let families = Family::value_variants().iter().copied().map(Choice::Fixed);
            [Choice::Auto].into_iter().chain(families).chain([Choice::Vae]).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Auto => Some(PossibleValue::new("auto").help(
                "Different flows that judge a row together, or with --ensemble the ones with the \
                 highest log-density on the rows for early stopping",
            )),
            Self::Fixed(family) => family.to_possible_value(),
            Self::Vae => Some(PossibleValue::new("vae").help(
                "Variational autoencoder: encodes rows to a few latent values, decodes them, names \
                 modes and shows residuals; as a detector no better than a flow",
            )),
        }
    }
}

/// The density that a flow maps rows to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Base {
    /// N(0, I).
    StandardNormal,
    /// Student-t densities, whose tails are heavier; their degrees of freedom are trained.
    StudentT,
    /// Mixture of Gaussians of diagonal covariance, trained with the flow.
    Mixture,
    /// Mixture of Student-t densities, trained with the flow: several modes with heavier tails.
    StudentTMixture,
}

/// A kind of flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its family.
    pub family: Family,
    /// Its base, where it is not that of the family.
    pub base: Option<Base>,
}

impl Candidate {
    const fn of(family: Family) -> Self {
        Self { family, base: None }
    }

    const fn over(family: Family, base: Base) -> Self {
        Self { family, base: Some(base) }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}", self.family)?;
        match self.base.and_then(|base| base.to_possible_value()) {
            Some(base) => write!(formatter, " over {}", base.get_name()),
            None => Ok(()),
        }
    }
}

/// A flow that was to be tried.
#[derive(Debug)]
pub struct Trial {
    /// Which one.
    pub candidate: Candidate,
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

/// What is tried to find the `count` best, or where no number is given what judges together by
/// default. Circles know only splines, over no other base.
pub fn candidates(count: Option<usize>, is_periodic: bool) -> Vec<Candidate> {
    let all = match count {
        Some(_) => &CANDIDATES[..],
        None if is_periodic => &[ON_CIRCLES],
        None => &TOGETHER[..],
    };
    that_fit(all, is_periodic)
}

/// What competes within a budget.
pub fn within_budget(is_periodic: bool) -> Vec<Candidate> {
    let all = if is_periodic { &[ON_CIRCLES][..] } else { &WITHIN_BUDGET };
    that_fit(all, is_periodic)
}

fn that_fit(all: &[Candidate], is_periodic: bool) -> Vec<Candidate> {
    let all = all.iter().copied();
    let all = all.filter(|Candidate { family, .. }| !is_periodic || family.maps_circles());
    match is_periodic {
        true => all.map(|candidate| Candidate::of(candidate.family)).collect(),
        false => all.collect(),
    }
}

/// Trains the candidates one after the other, each with its share of the time that the ones
/// before it left.
pub fn train_all(
    candidates: &[Candidate],
    time: Duration,
    mut train: impl FnMut(Candidate, Duration) -> Result<Fitted>,
) -> Vec<Trial> {
    let start = Instant::now();
    let trial = |(number, candidate)| {
        let share = time.saturating_sub(start.elapsed()) / (candidates.len() - number) as u32;
        let outcome = if number > 0 && share.is_zero() {
            Outcome::NotTried
        } else {
            match train(candidate, share) {
                Ok(fitted) => Outcome::Trained(Box::new(fitted)),
                Err(error) => {
                    log::warn!("{candidate} is left out: {error}");
                    Outcome::Failed(error)
                }
            }
        };
        Trial { candidate, outcome }
    };
    candidates.iter().copied().enumerate().map(trial).collect()
}

/// Whether the clock had a part in what came of them.
pub fn is_out_of_time(trials: &[Trial]) -> bool {
    trials.iter().any(|trial| match &trial.outcome {
        Outcome::Trained(fitted) => fitted.out_of_time,
        Outcome::Failed(_) => false,
        Outcome::NotTried => true,
    })
}

/// Takes the `count` with the highest validation log-densities, or where no number is given all,
/// or the first error where none was trained, and says why.
pub fn pick(trials: Vec<Trial>, count: Option<usize>) -> Result<Vec<(Candidate, Fitted)>> {
    let mut trained = Vec::new();
    let mut failures = Vec::new();
    let tried = trials.len();
    for Trial { candidate, outcome } in trials {
        match outcome {
            Outcome::Trained(fitted) => trained.push((candidate, *fitted)),
            Outcome::Failed(error) => failures.push(error),
            Outcome::NotTried => {}
        }
    }
    if trained.is_empty() {
        return Err(failures.swap_remove(0));
    }
    let wanted = count.unwrap_or(tried);
    let taken = trained.len().min(wanted);
    if taken < wanted {
        log::warn!("only {taken} of the {wanted} flows asked for could be trained");
    }
    if count.is_none() {
        log::info!(
            "picked {}: together they are the steadiest detector; --ensemble 1 picks the one of \
             the highest validation log-density",
            names(&trained)
        );
        return Ok(trained);
    }
    trained.sort_by(|(_, a), (_, b)| a.best.validation_loss.total_cmp(&b.best.validation_loss));
    let loss = |(_, fitted): &(Candidate, Fitted)| fitted.best.validation_loss;
    let picked = names(&trained[..taken]);
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

/// The candidates' names, in their order.
pub fn names(picked: &[(Candidate, Fitted)]) -> String {
    picked.iter().map(|(candidate, _)| candidate.to_string()).collect::<Vec<_>>().join(", ")
}

/// What the candidates reach and what they cost; `export` makes the file of one.
pub fn report(
    trials: &[Trial],
    export: impl Fn(Candidate, &Fitted) -> ModelFile,
) -> Result<String> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "flow",
        "validation log-density",
        "best epoch",
        "flash, bytes",
        "multiply-adds a row",
        "cycles a row",
    ]);
    let mut sum = (0, 0, 0.0);
    for Trial { candidate, outcome } in trials {
        let mut row = vec![candidate.to_string()];
        match outcome {
            Outcome::Trained(fitted) => {
                let own = cost(&export(*candidate, fitted))?;
                row.extend([format!("{:.4}", -fitted.best.validation_loss), epochs(fitted)]);
                row.extend(cells(own));
                sum = (sum.0 + own.0, sum.1 + own.1, sum.2 + own.2);
            }
            Outcome::Failed(error) => row.push(format!("failed: {error}")),
            Outcome::NotTried => row.push("not tried: no time was left".into()),
        }
        table.add_row(row);
    }
    let mut row = vec!["all together".to_owned(), String::new(), String::new()];
    row.extend(cells(sum));
    table.add_row(row);
    Ok(format!(
        "{table}\nLog-densities are means in nats over standardised rows. Cycles are those of a {}, \
         predicted from what was measured on such cores.",
        Core::CortexM4f.name()
    ))
}

/// Bytes of a flow's file, its products and its cycles.
fn cost(file: &ModelFile) -> Result<(usize, usize, f64)> {
    let mut device = device::open(file, "a candidate")?;
    let cycles = cost::cycles(&cost::tally_of_draws(&mut *device)?, Core::CortexM4f);
    Ok((file.bytes().len(), device.summary().multiply_adds, cycles))
}

/// In the order of the table's columns.
fn cells((flash, multiply_adds, cycles): (usize, usize, f64)) -> [String; 3] {
    [flash.to_string(), multiply_adds.to_string(), format!("{cycles:.0}")]
}

fn epochs(fitted: &Fitted) -> String {
    let stopped = if fitted.out_of_time { ", time over" } else { "" };
    match fitted.epochs {
        0 => format!("-{stopped}"),
        epochs => format!("{} of {epochs}{stopped}", fitted.best.number),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::family::Flow;
    use crate::training::curve::Curve;
    use crate::training::fit::Epoch;
    use crate::training::transform::Transform;

    fn fitted(validation_loss: f64) -> Fitted {
        let best = Epoch { number: 1, training_loss: 0.0, validation_loss, best: 1 };
        let flow = Flow::from_components(&[], &Device::flex());
        let transform = Transform::identity(2, 0);
        let curve = Curve::default();
        Fitted { transform, flow, best, epochs: 1, curve, out_of_time: false, unfinished: false }
    }

    /// All of them.
    fn candidates() -> Vec<Candidate> {
        super::candidates(Some(1), false)
    }

    fn picked_of(picked: &[(Candidate, Fitted)]) -> Vec<Candidate> {
        picked.iter().map(|(candidate, _)| *candidate).collect()
    }

    fn failure(candidate: Candidate) -> Error {
        Error::Diverged { learning_rate: if candidate == CANDIDATES[0] { 0.5 } else { 0.1 } }
    }

    #[test]
    fn candidates_fit_the_rows() {
        for count in [None, Some(1)] {
            let all = super::candidates(count, false);
            assert!((2..=CANDIDATES.len()).contains(&all.len()));
            let periodic = super::candidates(count, true);
            assert!(!periodic.is_empty());
            for Candidate { family, base } in periodic {
                assert!(family.maps_circles() && base.is_none());
            }
        }
        assert!(super::candidates(None, false).len() <= flowlet::MAX_MEMBERS);
    }

    #[test]
    fn the_highest_log_density_is_picked_and_failures_are_passed_over() {
        let trials = train_all(&candidates(), Duration::from_secs(60), |candidate, share| {
            assert!(share >= Duration::from_secs(8));
            match candidate.family {
                Family::Gaussian | Family::Glow => Err(failure(candidate)),
                Family::Maf => Ok(fitted(-2.0)),
                _ => Ok(fitted(1.0)),
            }
        });
        assert!(!is_out_of_time(&trials));
        let picked = pick(trials, Some(1)).expect("five were trained");
        assert_eq!(picked_of(&picked)[0].family, Family::Maf);
        assert_eq!(picked[0].1.best.validation_loss, -2.0);
    }

    /// The later, the better.
    fn train_in_order(candidate: Candidate) -> Result<Fitted> {
        let place = CANDIDATES.iter().position(|other| *other == candidate);
        Ok(fitted(-(place.unwrap_or(0) as f64)))
    }

    #[test]
    fn an_ensemble_takes_the_highest_in_their_order() {
        let trials = train_all(&candidates(), Duration::from_secs(60), |candidate, _| {
            train_in_order(candidate)
        });
        let picked = pick(trials, Some(3)).expect("all were trained");
        let [.., third, second, first] = CANDIDATES;
        assert_eq!(picked_of(&picked), [first, second, third]);
    }

    #[test]
    fn without_a_number_all_that_could_be_trained_are_taken() {
        let together = super::candidates(None, false);
        let trials = train_all(&together, Duration::from_secs(60), |candidate, _| {
            if candidate == together[0] { Err(failure(candidate)) } else { Ok(fitted(1.0)) }
        });
        let picked = pick(trials, None).expect("most were trained");
        assert_eq!(picked_of(&picked), together[1..]);
    }

    #[test]
    fn without_time_only_the_first_is_tried() {
        let trials = train_all(&candidates(), Duration::ZERO, |_, _| Ok(fitted(1.0)));
        assert!(is_out_of_time(&trials));
        let picked = pick(trials, Some(3)).expect("one was trained");
        assert_eq!(picked_of(&picked), CANDIDATES[..1]);
    }

    #[test]
    fn where_all_fail_the_first_error_is_told() {
        let trials = train_all(&candidates(), Duration::from_secs(60), |candidate, _| {
            Err(failure(candidate))
        });
        let error = pick(trials, Some(2)).expect_err("none was trained");
        assert!(matches!(error, Error::Diverged { learning_rate: 0.5 }), "{error}");
    }
}
