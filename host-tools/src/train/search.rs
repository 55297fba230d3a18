//! `train` within a budget: sizes, families and ensembles compete for the highest log-density on the
//! rows for early stopping.
//!
//! What a model will cost is known before it is trained, since it follows from its shape; only which
//! units stay open is not, and half of them is assumed. So those that fit are listed first, alone and
//! in teams of flows of different families. Then they are trained by successive halving (Jamieson and
//! Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization"): all of
//! them for a few epochs, the flows of the best teams for more, and those of the last few to the end.
//! A team's log-density is that of its mixture. The costs of trained flows are counted again, on rows.
//! The default model is trained too, whatever it costs: it says what the budget costs in quality.

mod picture;

use std::fmt;
use std::path::PathBuf;

use comfy_table::{Table, presets};
use flowlet::tally::Question;

use super::architecture::architecture;
use super::job::{Job, Trained};
use super::provenance;
use crate::cost::budget::Budget;
use crate::cost::{self, Cost};
use crate::device;
use crate::error::{Error, Result};
use crate::training::curve;
use crate::training::ensemble::{Member, log_shares};
use crate::training::export;
use crate::training::fit::Fitted;
use crate::training::loss;
use crate::training::selection::{self, Candidate, Choice};

/// Options of a search.
#[derive(clap::Args, Debug, Default)]
pub struct Options {
    #[command(flatten)]
    pub budget: Budget,
    /// Draw what a search within a budget tried, quality over cycles, as an SVG file.
    #[arg(long, value_name = "FILE")]
    pub search_picture: Option<PathBuf>,
}

/// Layers of affine maps and of splines, and widths of hidden layers, from small to large. The last but
/// one are the default for few rows, the last one for many.
const SIZES: [(usize, usize, &[usize]); 6] = [
    (2, 2, &[8]),
    (2, 2, &[16]),
    (3, 2, &[16, 16]),
    (5, 3, &[32, 16]),
    (5, 3, &[32, 32]),
    (5, 3, &[64, 64]),
];
/// Most sizes that the flows of a team lie apart.
const APART: usize = 1;
/// Most flows of a team.
const TEAM: usize = 3;

/// Epochs of each round but the last one, and how many flows go on.
const ROUNDS: [(u32, usize); 2] = [(5, 8), (20, 4)];

/// Rows that tell which units are open.
const COUNTED: usize = 64;

/// Bytes that a provenance takes of what training finds out: for any model, for one flow, and for
/// several and for each of them.
const FINDINGS: (usize, usize, (usize, usize)) = (20, 76, (28, 112));
/// Bytes that the curve of a training, as long as it is not known, takes of it at most.
const CURVE: usize = 140;

/// A flow that competes.
struct Flow {
    candidate: Candidate,
    layers: usize,
    hidden: Vec<usize>,
    /// Its place in [`SIZES`].
    size: usize,
    /// Whether it is part of the default model.
    is_default: bool,
    /// As it would start, or as it was trained last.
    fitted: Fitted,
    /// Most epochs it was trained for.
    epochs: u32,
    /// Log-density of each row for early stopping; none before it was trained.
    log_densities: Vec<f64>,
    failure: Option<String>,
}

impl fmt::Display for Flow {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}", self.candidate)?;
        let widths: Vec<String> = self.hidden.iter().map(usize::to_string).collect();
        match self.layers {
            0 => Ok(()),
            layers => write!(formatter, " {layers} x {}", widths.join(",")),
        }
    }
}

/// Flows that judge a row together, or one alone.
#[derive(Clone, Debug)]
struct Team {
    /// Their places among all flows.
    flows: Vec<usize>,
    cost: Cost,
    /// On the rows for early stopping, mean in nats over standardised rows; none before training.
    log_density: Option<f64>,
    is_default: bool,
}

/// A search under way.
struct Search<'a> {
    job: &'a Job<'a>,
    budget: &'a Budget,
    flows: Vec<Flow>,
    /// Sum of ln scale, which a log-density of standardised rows has more than one of raw rows.
    log_scale_sum: f64,
}

/// Trains what fits the budget best.
pub fn run(job: &Job) -> Result<Trained> {
    let Options { budget, search_picture } = &job.arguments.search;
    let mut search = Search { job, budget, flows: Vec::new(), log_scale_sum: 0.0 };
    search.list()?;
    let mut teams = search.teams()?;
    let count = teams.len();
    let smallest =
        teams.iter().min_by(|a, b| budget.share(&a.cost).total_cmp(&budget.share(&b.cost)));
    let refusal = smallest.map(|team| search.refusal(team));
    let mut tried: Vec<Team> = Vec::new();
    teams.retain(|team| team.is_default || budget.excess(&team.cost).is_empty());
    let fitting = teams.iter().filter(|team| budget.excess(&team.cost).is_empty()).count();
    if let (0, Some(refusal)) = (fitting, refusal) {
        return Err(refusal);
    }
    log::info!(
        "{fitting} of {count} models fit {budget}: they compete for the highest log-density"
    );
    for (round, (epochs, survivors)) in ROUNDS.into_iter().enumerate() {
        let epochs = epochs.min(job.epochs());
        let taking_part = search.flows_of(&teams, usize::MAX);
        let all = taking_part.len();
        log::info!("round {}: {all} flows, {epochs} epochs each", round + 1);
        for flow in taking_part {
            search.train(flow, epochs)?;
        }
        search.judge(&mut teams)?;
        tried.extend(teams.iter().cloned());
        let ahead = search.flows_of(&teams, survivors);
        teams.retain(|team| team.is_default || team.flows.iter().all(|flow| ahead.contains(flow)));
    }
    let last = search.flows_of(&teams, usize::MAX);
    log::info!("round {}: {} flows to the end", ROUNDS.len() + 1, last.len());
    for flow in last {
        search.train(flow, job.epochs())?;
    }
    search.judge(&mut teams)?;
    tried.extend(teams.iter().cloned());
    // The last round of a team says most of it.
    let mut latest: Vec<Team> = Vec::new();
    for team in tried.into_iter().rev() {
        if latest.iter().all(|own| own.flows != team.flows) {
            latest.push(team);
        }
    }
    latest.sort_by(|a, b| a.cost.cycles.total_cmp(&b.cost.cycles));
    let fits = |team: &&Team| team.log_density.is_some() && budget.excess(&team.cost).is_empty();
    let best = |teams: &[Team]| {
        let fitting = teams.iter().filter(fits);
        fitting.max_by(|a, b| a.log_density.partial_cmp(&b.log_density).expect("no NaN")).cloned()
    };
    let Some(picked) = best(&teams) else { return Err(search.failure(&teams)) };
    log::info!("{}", search.table(&latest, &picked));
    log::info!("{}", search.price(&latest, &picked));
    if let Some(path) = search_picture {
        picture::draw(path, &search, &latest, &picked)?;
    }
    Ok(search.trained(&picked))
}

impl Search<'_> {
    /// Lists the flows in every size, untrained; those without layers are trained at once.
    fn list(&mut self) -> Result<()> {
        let arguments = self.job.arguments;
        let is_periodic = !arguments.periodic.is_empty();
        let candidates = match arguments.family {
            Choice::Fixed(family) => vec![Candidate { family, base: arguments.base }],
            _ => selection::within_budget(is_periodic),
        };
        let rows = self.job.rows.split.training.lines.len();
        let together = selection::candidates(None, is_periodic);
        for candidate in candidates {
            let default = architecture(arguments, candidate, rows);
            if candidate.family.default_layers().is_none() {
                let options = self.job.options(candidate, arguments.seed, None);
                match self.job.fit_with(&options) {
                    Ok(fitted) => self.push(candidate, (0, Vec::new()), (0, false), fitted),
                    Err(error) => log::warn!("{candidate} is left out: {error}"),
                }
                continue;
            }
            for (size, (affine, splines, hidden)) in SIZES.into_iter().enumerate() {
                let layers = if default.layers == 3 { splines } else { affine };
                let is_default = together.contains(&candidate)
                    && (layers, hidden) == (default.layers, &default.hidden[..]);
                let mut options = self.job.options(candidate, arguments.seed, None);
                options.architecture.layers = layers;
                options.architecture.hidden = hidden.to_vec();
                let fitted = self.job.untrained(&options)?;
                self.push(candidate, (layers, hidden.to_vec()), (size, is_default), fitted);
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        candidate: Candidate,
        (layers, hidden): (usize, Vec<usize>),
        (size, is_default): (usize, bool),
        fitted: Fitted,
    ) {
        self.flows.push(Flow {
            candidate,
            layers,
            hidden,
            size,
            is_default,
            fitted,
            epochs: 0,
            log_densities: Vec::new(),
            failure: None,
        });
    }

    /// Every flow alone, and flows of different families and about one size together.
    fn teams(&self) -> Result<Vec<Team>> {
        let mut teams: Vec<Vec<usize>> = (0..self.flows.len()).map(|flow| vec![flow]).collect();
        let mut first = 0;
        for _ in 1..TEAM {
            let last = teams.len();
            let shorter = teams[first..last].to_vec();
            for team in shorter {
                for (next, own) in self.flows.iter().enumerate().skip(team[team.len() - 1] + 1) {
                    let goes_with = |other: &usize| {
                        let other = &self.flows[*other];
                        other.candidate != own.candidate && other.size.abs_diff(own.size) <= APART
                    };
                    if own.layers > 0
                        && self.flows[team[0]].layers > 0
                        && team.iter().all(goes_with)
                    {
                        teams.push(team.iter().copied().chain([next]).collect());
                    }
                }
            }
            first = last;
        }
        // The default model's flows need not be of one size.
        let default: Vec<usize> =
            (0..self.flows.len()).filter(|flow| self.flows[*flow].is_default).collect();
        if default.len() > 1 && !teams.contains(&default) {
            teams.push(default.clone());
        }
        let team = |flows: Vec<usize>| {
            let is_default = flows == default;
            Ok(Team { cost: self.cost(&flows)?, flows, log_density: None, is_default })
        };
        teams.into_iter().map(team).collect()
    }

    fn members(&self, flows: &[usize]) -> Vec<Member<'_>> {
        let member = |flow: &usize| {
            let Flow { candidate, fitted, .. } = &self.flows[*flow];
            Member { candidate: *candidate, seed: self.job.arguments.seed, fitted }
        };
        flows.iter().map(member).collect()
    }

    /// What flows cost together, by the rows that they know, and else by their shape.
    fn cost(&self, flows: &[usize]) -> Result<Cost> {
        let Job { context, rows, .. } = self.job;
        let members = self.members(flows);
        let facts = provenance::of_rows(self.job, "", None, false);
        let (of_any, of_one, (of_several, of_each)) = FINDINGS;
        let findings = match flows.len() {
            1 => of_any + of_one,
            count => of_any + of_several + of_each * count,
        };
        let known: usize = facts.iter().map(|(key, fact)| key.len() + fact.len() + 2).sum();
        let curve_bytes = |flow: &usize| match &self.flows[*flow].fitted {
            // Without layers there are no epochs, ever.
            _ if self.flows[*flow].candidate.family.default_layers().is_none() => 0,
            Fitted { epochs: 0, .. } => CURVE,
            Fitted { curve, best, .. } => {
                curve::KEYS[0].len() + 2 + curve.thinned(best.number).to_string().len()
            }
        };
        let curves: usize = flows.iter().map(curve_bytes).sum();
        let text = known + self.picked(flows).len() + findings + curves;
        let held_out = rows.split.held_out.lines.len();
        let judgement = self.job.judgement()?;
        let file = export::sketch(&members, &rows.columns, *context, held_out, &judgement, text);
        let mut device = device::open(&file, "a candidate")?;
        let is_trained = flows.iter().all(|flow| !self.flows[*flow].log_densities.is_empty());
        let tally = if is_trained {
            let stopping: Vec<Vec<f32>> = rows.split.early_stopping.single_rows().collect();
            let step = stopping.len().div_ceil(COUNTED).max(1);
            let counted = stopping.iter().step_by(step).map(Vec::as_slice);
            cost::tally_of_rows(&mut *device, counted)?
        } else {
            device.tally(None, Question::Score)?
        };
        Ok(Cost::of(&device.summary(), file.bytes().len(), &tally, self.budget.core()))
    }

    /// The flows of the best teams that fit, of so many teams that no more than `most` flows are in
    /// them, and those of the default model.
    fn flows_of(&self, teams: &[Team], most: usize) -> Vec<usize> {
        let mut order: Vec<&Team> =
            teams.iter().filter(|team| self.budget.excess(&team.cost).is_empty()).collect();
        let height = |team: &Team| team.log_density.unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|a, b| height(b).total_cmp(&height(a)));
        let mut flows: Vec<usize> = Vec::new();
        for team in order {
            let new: Vec<usize> =
                team.flows.iter().copied().filter(|flow| !flows.contains(flow)).collect();
            if flows.len() + new.len() <= most || flows.is_empty() {
                flows.extend(new);
            }
        }
        let default = teams.iter().filter(|team| team.is_default).flat_map(|team| &team.flows);
        for flow in default {
            if !flows.contains(flow) {
                flows.push(*flow);
            }
        }
        flows.sort_unstable();
        flows.retain(|flow| self.flows[*flow].failure.is_none());
        flows
    }

    /// Trains a flow anew for at most so many epochs; one that fails takes no further part.
    fn train(&mut self, flow: usize, epochs: u32) -> Result<()> {
        let Flow { candidate, layers, hidden, epochs: before, .. } = &self.flows[flow];
        if *layers > 0 && *before < epochs {
            let mut options = self.job.options(*candidate, self.job.arguments.seed, None);
            options.architecture.layers = *layers;
            options.architecture.hidden.clone_from(hidden);
            options.epochs = epochs as usize;
            log::info!("{}", self.flows[flow]);
            match self.job.fit_with(&options) {
                Ok(fitted) => self.flows[flow].fitted = fitted,
                Err(error @ (Error::LearnedNothing { .. } | Error::Diverged { .. })) => {
                    log::warn!("{} is left out: {error}", self.flows[flow]);
                    self.flows[flow].failure = Some(error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            self.flows[flow].epochs = epochs;
        } else if !self.flows[flow].log_densities.is_empty() {
            return Ok(());
        }
        let Job { context, rows, .. } = self.job;
        let file = export::draft(&self.members(&[flow]), &rows.columns, *context);
        let mut device = device::open(&file, "a candidate")?;
        self.log_scale_sum = f64::from(device.log_scale_sum());
        let stopping = rows.split.early_stopping.single_rows();
        let log_densities = stopping.map(|row| Ok(f64::from(device.log_density(&row)?)));
        self.flows[flow].log_densities = log_densities.collect::<Result<_>>()?;
        Ok(())
    }

    /// Judges every team whose flows were trained, and counts its cost again.
    fn judge(&self, teams: &mut Vec<Team>) -> Result<()> {
        teams.retain(|team| team.flows.iter().all(|flow| self.flows[*flow].failure.is_none()));
        for team in teams {
            let own = |flow: &usize| &self.flows[*flow].log_densities;
            if team.flows.iter().any(|flow| own(flow).is_empty()) {
                continue;
            }
            let rows: Vec<Vec<f64>> = (0..own(&team.flows[0]).len())
                .map(|row| team.flows.iter().map(|flow| own(flow)[row]).collect())
                .collect();
            let shares = log_shares(&rows, team.flows.len());
            let scale = self.log_scale_sum;
            let losses: Vec<f64> = rows.iter().map(|row| -mixture(row, &shares) - scale).collect();
            team.log_density = Some(-loss::mean(&losses));
            team.cost = self.cost(&team.flows)?;
        }
        Ok(())
    }

    fn name(&self, team: &Team) -> String {
        let names: Vec<String> =
            team.flows.iter().map(|flow| self.flows[*flow].to_string()).collect();
        names.join(" + ")
    }

    /// What a file says of flows that were picked.
    fn picked(&self, flows: &[usize]) -> String {
        let names: Vec<String> = flows.iter().map(|flow| self.flows[*flow].to_string()).collect();
        format!("within {}: picked {}", self.budget, names.join(", "))
    }

    /// That no model fits, of which `smallest` takes the least of the budget.
    fn refusal(&self, smallest: &Team) -> Error {
        Error::Budget {
            budget: self.budget.to_string(),
            smallest: self.name(smallest),
            excess: self.budget.excess(&smallest.cost).join(" and "),
            cost: describe(&smallest.cost),
        }
    }

    /// Why no team is left at the end.
    fn failure(&self, teams: &[Team]) -> Error {
        let fitted = teams
            .iter()
            .min_by(|a, b| self.budget.share(&a.cost).total_cmp(&self.budget.share(&b.cost)));
        match fitted {
            Some(team) => self.refusal(team),
            None => Error::NoneTrained {
                reason: self
                    .flows
                    .iter()
                    .find_map(|flow| flow.failure.clone())
                    .unwrap_or_else(|| "none was trained".into()),
            },
        }
    }

    /// What was tried, by its cycles: every flow alone, and the teams that no other model of fewer cycles
    /// is above.
    fn table(&self, teams: &[Team], picked: &Team) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "model",
            "epochs",
            "validation log-density",
            "flash, bytes",
            "stack, bytes",
            "cycles a score",
            "",
        ]);
        let mut highest = f64::NEG_INFINITY;
        for team in teams {
            let is_ahead = team.log_density.is_some_and(|value| value > highest);
            highest = team.log_density.map_or(highest, |value| highest.max(value));
            let is_one = team.flows.len() == 1 || team.is_default || team.flows == picked.flows;
            if !is_ahead && !is_one {
                continue;
            }
            let epochs = team.flows.iter().map(|flow| self.flows[*flow].epochs).max().unwrap_or(0);
            let excess = self.budget.excess(&team.cost);
            let note = match () {
                () if team.flows == picked.flows => "picked".into(),
                () if !excess.is_empty() => format!("over the budget's {}", excess.join(", ")),
                () => String::new(),
            };
            let default = if team.is_default { "the default model" } else { "" };
            let notes = [default.to_owned(), note];
            let notes: Vec<_> = notes.into_iter().filter(|note| !note.is_empty()).collect();
            table.add_row([
                self.name(team),
                if epochs == 0 { "-".into() } else { epochs.to_string() },
                team.log_density.map_or("-".into(), |value| format!("{value:.3}")),
                team.cost.flash_bytes().to_string(),
                team.cost.stack_bytes.to_string(),
                format!("{:.0}", team.cost.cycles),
                notes.join(", "),
            ]);
        }
        table
    }

    /// What the budget costs in quality.
    fn price(&self, teams: &[Team], picked: &Team) -> String {
        let height = |team: &Team| team.log_density.unwrap_or(f64::NEG_INFINITY);
        let own = height(picked);
        let (name, cost) = (self.name(picked), describe(&picked.cost));
        let mut text = format!("picked {name}: validation log-density {own:.3} nats; {cost}");
        if let Some(board) = self.budget.board {
            text += &format!("; on {}", board.describe(&picked.cost));
        }
        let default = teams.iter().find(|team| team.is_default && team.log_density.is_some());
        text + &match default {
            None => String::new(),
            Some(default) if default.flows == picked.flows => {
                "; it is the default model: the budget costs nothing".into()
            }
            Some(default) => {
                let (cost, difference) = (describe(&default.cost), own - height(default));
                let verdict = match difference {
                    gain if gain >= 0.0 => format!("{gain:.3} nats less, so the budget costs none"),
                    loss => format!("{:.3} nats more, which the budget costs", -loss),
                };
                format!("; the default model has {verdict} ({cost})")
            }
        }
    }

    fn trained(self, picked: &Team) -> Trained {
        let family = self.picked(&picked.flows);
        let seed = self.job.arguments.seed;
        let flow = |flow: &usize| {
            let Flow { candidate, fitted, .. } = &self.flows[*flow];
            (*candidate, seed, fitted.clone())
        };
        let flows = picked.flows.iter().map(flow).collect();
        Trained { flows, family, time_limit: None, out_of_time: false }
    }
}

/// ln of the sum of the shares times the densities.
fn mixture(row: &[f64], log_shares: &[f32]) -> f64 {
    let terms = || row.iter().zip(log_shares).map(|(own, share)| own + f64::from(*share));
    // Alone, the smallest share leaves a flow less than all.
    if row.len() == 1 {
        return row[0];
    }
    let largest = terms().fold(f64::NEG_INFINITY, f64::max);
    largest + terms().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

fn describe(cost: &Cost) -> String {
    format!(
        "{} bytes of flash ({} of them code), {} of stack, {:.0} cycles a score",
        cost.flash_bytes(),
        cost.code_bytes,
        cost.stack_bytes,
        cost.cycles
    )
}
