//! Rows and options to trained flows, and those to a model file.

use std::time::{Duration, Instant};

use flowlet::write::ModelFile;

use super::architecture::{architecture, components};
use super::{Arguments, provenance};
use crate::error::{Error, Result};
use crate::family::Family;
use crate::rows::prepare::Prepared;
use crate::training::alarms::{self, Alarms};
use crate::training::ensemble::Member;
use crate::training::export::{self, Judgement};
use crate::training::fit::{self, Fitted, Options};
use crate::training::progress::Progress;
use crate::training::selection::{self, Candidate, Choice};
use crate::training::transform;

/// Time for all candidates of `--family auto`.
const AUTO_TIME: Duration = Duration::from_secs(600);

/// Most passes over the training rows.
pub(super) const EPOCHS: u32 = 200;
/// Epochs without a better validation loss after which training stops.
pub(super) const PATIENCE: u32 = 20;
/// Of AdamW, at the start.
pub(super) const LEARNING_RATE: f64 = 2e-3;

/// Rows and how to train on them.
pub struct Job<'a> {
    /// What the user asked for.
    pub arguments: &'a Arguments,
    /// How many of the columns, the last ones, are context.
    pub context: usize,
    /// What there is to train on.
    pub rows: &'a Prepared,
    /// How rows come from a raw signal, the words of a `Signal`; nothing where they come as they are.
    pub signal: &'a [u32],
}

/// The flows of a model and how they came about.
pub struct Trained {
    /// Each with its seed.
    pub flows: Vec<(Candidate, u64, Fitted)>,
    /// What was asked for, and what was picked.
    pub family: String,
    /// For all of them.
    pub time_limit: Option<Duration>,
    /// Whether it ended a training.
    pub out_of_time: bool,
}

impl Trained {
    /// The flows on their way into a file.
    pub fn members(&self) -> Vec<Member<'_>> {
        let flows = self.flows.iter();
        flows
            .map(|(candidate, seed, fitted)| Member { candidate: *candidate, seed: *seed, fitted })
            .collect()
    }
}

impl Job<'_> {
    /// Trains what was asked for.
    pub fn train(&self) -> Result<Trained> {
        match self.arguments.family {
            Choice::Fixed(family) => self.train_fixed(family),
            Choice::Auto | Choice::Vae => self.train_several(),
        }
    }

    /// The model file, which says how its flows came about.
    pub fn export(&self, trained: &Trained) -> Result<ModelFile> {
        let facts = provenance::of(self, trained);
        let Prepared { split, columns, .. } = self.rows;
        let judgement = self.judgement()?;
        export::export(&trained.members(), columns, self.context, split, &judgement, &facts)
    }

    /// What a file holds besides its flows.
    pub(super) fn judgement(&self) -> Result<Judgement> {
        let Arguments { math, score, false_alarm_rate, .. } = self.arguments;
        Ok(Judgement {
            math: math.id(),
            score: *score,
            false_alarm_rates: false_alarm_rate.clone(),
            alarms: self.alarms()?,
            signal: self.signal.to_vec(),
        })
    }

    /// What is asked of the detector.
    pub(super) fn alarms(&self) -> Result<Alarms> {
        let Prepared { columns, runs, rows, .. } = self.rows;
        let features = columns.len() - self.context;
        let sensors = alarms::sensors(&columns[..features], runs, *rows);
        let sensors = match self.signal {
            [] => sensors,
            _ => alarms::without_range(sensors),
        };
        Alarms::new(&self.arguments.alarms, sensors)
    }

    /// Number of flows, if the user wants one.
    fn count(&self) -> Option<usize> {
        self.arguments.ensemble.map(usize::from)
    }

    /// Trains flows of one family, of one seed behind the other; those that learn nothing are left
    /// out where there are others.
    fn train_fixed(&self, family: Family) -> Result<Trained> {
        let time_limit = self.arguments.time_limit.map(Duration::from);
        let candidate = Candidate { family, base: self.arguments.base };
        let start = Instant::now();
        let (mut flows, mut failures) = (Vec::new(), Vec::new());
        let count = self.count().unwrap_or(1);
        for number in 0..count {
            let left = (count - number) as u32;
            let share = time_limit.map(|limit| limit.saturating_sub(start.elapsed()) / left);
            let seed = self.arguments.seed.wrapping_add(number as u64);
            if count > 1 {
                log::info!("flow {number}, seed {seed}");
            }
            match self.fit(candidate, seed, share) {
                Ok(fitted) => flows.push((candidate, seed, fitted)),
                Err(error @ (Error::LearnedNothing { .. } | Error::Diverged { .. }))
                    if count > 1 =>
                {
                    log::warn!("flow {number}, seed {seed}, is left out: {error}");
                    failures.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        if flows.is_empty() {
            return Err(failures.swap_remove(0));
        }
        let out_of_time = flows.iter().any(|(_, _, fitted)| fitted.out_of_time);
        Ok(Trained { flows, family: family.to_string(), time_limit, out_of_time })
    }

    fn train_several(&self) -> Result<Trained> {
        let limit = self.arguments.time_limit.map_or(AUTO_TIME, Duration::from);
        let is_periodic = !self.arguments.periodic.is_empty();
        let candidates = selection::candidates(self.count(), is_periodic);
        let seed = self.arguments.seed;
        let trials = selection::train_all(&candidates, limit, |candidate, share| {
            let seconds = Duration::from_secs(share.as_secs());
            log::info!("{candidate}: {} at most", humantime::format_duration(seconds));
            self.fit(candidate, seed, Some(share))
        });
        let out_of_time = selection::is_out_of_time(&trials);
        let size = |candidate: Candidate, fitted: &Fitted| {
            let member = Member { candidate, seed, fitted };
            export::draft(&[member], &self.rows.columns, self.context)
        };
        log::info!("{}", selection::report(&trials, size)?);
        let picked = selection::pick(trials, self.count())?;
        // Of several, each says itself what it is.
        let family = match &picked[..] {
            [_] => format!("auto: picked {}", selection::names(&picked)),
            _ => "auto".into(),
        };
        let flow = |(candidate, fitted): (Candidate, Fitted)| (candidate, seed, fitted);
        let flows = picked.into_iter().map(flow).collect();
        Ok(Trained { flows, family, time_limit: Some(limit), out_of_time })
    }

    fn fit(&self, candidate: Candidate, seed: u64, time_limit: Option<Duration>) -> Result<Fitted> {
        self.fit_with(&self.options(candidate, seed, time_limit))
    }

    /// Most passes over the training rows.
    pub fn epochs(&self) -> u32 {
        self.arguments.epochs.unwrap_or(EPOCHS)
    }

    /// How a candidate is trained.
    pub fn options(
        &self,
        candidate: Candidate,
        seed: u64,
        time_limit: Option<Duration>,
    ) -> Options {
        let Self { arguments, context, rows: Prepared { split, .. }, .. } = self;
        let rows = split.training.lines.len();
        Options {
            architecture: architecture(arguments, candidate, rows),
            components: components(arguments, candidate.family),
            context: *context,
            transform: transform::Choice { marginal: arguments.marginal, whiten: arguments.whiten },
            epochs: self.epochs() as usize,
            batch_size: arguments.batch_size.map_or(default_batch_size(rows), |size| size as usize),
            learning_rate: arguments.learning_rate.unwrap_or(LEARNING_RATE),
            noise: arguments.noise,
            patience: arguments.patience.unwrap_or(PATIENCE) as usize,
            seed,
            time_limit,
        }
    }

    /// Trains as `options` say.
    pub fn fit_with(&self, options: &Options) -> Result<Fitted> {
        let Prepared { split, columns, .. } = self.rows;
        let progress = Progress::new(options.epochs);
        let (training, stopping) = (&split.training, &split.early_stopping);
        let fitted = fit::fit(options, training, stopping, columns, |epoch| progress.show(epoch));
        progress.finish();
        fitted
    }

    /// The flow that such a training would start from.
    pub fn untrained(&self, options: &Options) -> Result<Fitted> {
        let Prepared { split, columns, .. } = self.rows;
        fit::untrained(options, &split.training, &split.early_stopping, columns)
    }
}

/// Small sets take small steps, large sets larger ones for speed.
pub(super) fn default_batch_size(rows: usize) -> usize {
    (rows / 32).clamp(32, 256)
}
