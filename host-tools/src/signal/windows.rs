//! From samples to the rows of their windows.

use std::collections::VecDeque;
use std::path::Path;

use flowlet::signal::{Recipe, Schedule};
use flowlet::write::{ModelFile, Signal};

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::message;
use crate::names::{self, Name};
use crate::rows::dataset::{Dataset, Window};
use crate::rows::label;
use crate::rows::missing::Missing;
use crate::rows::table::Table;
use crate::signal::options::Options;
use crate::signal::recipe;
use crate::signal::samples::{Columns, Sample, Samples};

/// The row of a window.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its features and then its context.
    pub values: Vec<f64>,
    /// Line of its first sample in the file.
    pub line: u64,
    /// Where it lies.
    pub window: Window,
    /// Whether most of its samples are labelled as anomalies.
    pub is_anomaly: bool,
}

/// In training, of a window's length the part between two windows' starts, and the rows from which on it is
/// larger: windows that overlap more tell less and less, but where there are few they make the density
/// smoother and the threshold steadier.
const DENSITY: (usize, usize) = (8, 4000);

/// The last samples, and a row every hop.
pub struct Windows<'m> {
    recipe: Recipe<'m>,
    schedule: Schedule,
    samples: VecDeque<Sample>,
    flat: Vec<f32>,
    scratch: Vec<f32>,
}

impl<'m> Windows<'m> {
    /// Before the first sample.
    pub fn new(recipe: Recipe<'m>) -> Self {
        let schedule = Schedule::new(&recipe);
        let scratch = vec![0.0; recipe.window()];
        Self { recipe, schedule, samples: VecDeque::new(), flat: Vec::new(), scratch }
    }

    /// Takes the next sample; the row of the window that ends with it, if one is due.
    pub fn push(&mut self, sample: Sample) -> Option<Row> {
        if sample.is_new {
            self.samples.clear();
            self.schedule.restart();
        }
        if self.samples.len() == self.recipe.window() {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.schedule.advance().then(|| self.row()).flatten()
    }

    fn row(&mut self) -> Option<Row> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let channels = self.recipe.channels();
        self.flat.clear();
        self.flat.extend(self.samples.iter().flat_map(|sample| &sample.values[..channels]));
        let samples = flowlet::signal::Samples { older: &self.flat, newer: &[] };
        let mut row = vec![0.0; self.recipe.features()];
        self.recipe.row(samples, &mut self.scratch, &mut row);
        let anomalies = self.samples.iter().filter(|sample| sample.is_anomaly).count();
        let window = Window { stretch: first.stretch, first: first.number, end: last.number + 1 };
        Some(Row {
            values: row
                .iter()
                .map(|x| f64::from(*x))
                .chain(first.context.iter().copied())
                .collect(),
            line: first.line,
            window,
            is_anomaly: 2 * anomalies > self.samples.len(),
        })
    }
}

/// A whole signal with its recipe and its rows.
pub struct Made {
    /// What the model file holds.
    pub signal: Signal,
    /// The column that tells recordings apart.
    pub segment: Option<String>,
    /// Samples from one of the windows below to the next.
    pub hop: usize,
    /// A row a window.
    pub rows: Dataset,
    /// What the label says of each, where there is one.
    pub labels: Vec<bool>,
}

/// What a signal's columns are for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What the user says of the signal.
    pub options: &'a Options,
    /// Samples a second.
    pub rate: f32,
    /// Columns that are no channels.
    pub exclude: &'a [String],
    /// Columns that rows are given.
    pub context: &'a [String],
    /// The column that tells anomalies.
    pub label: Option<&'a str>,
    /// Whether rows are trained on: few windows are then taken closer together than on the device.
    pub is_training: bool,
}

/// Reads a signal and makes its recipe and its rows.
pub fn make(mut table: Table, request: &Request) -> Result<Made> {
    let Request { options, rate, exclude, context, label, is_training } = *request;
    let path = table.path().to_owned();
    let segment = options.segment.clone();
    let channels = channels(&table, request)?;
    let (mut signal, mut names) = recipe::make(&path, options, rate, &channels)?;
    for name in exclude {
        table.column(name)?;
    }
    let mut samples = Samples::new(columns(&table, &channels, context, segment.as_deref(), label)?);
    let mut all = Vec::new();
    while let Some(sample) = samples.next(&mut table)? {
        all.push(sample);
    }
    table.check_rows()?;
    table.warn();
    for (number, channel) in signal.channels.iter_mut().enumerate() {
        let values = all.iter().map(|sample| f64::from(sample.values[number]));
        let mut ascending: Vec<f64> = values.collect();
        ascending.sort_unstable_by(f64::total_cmp);
        channel.resolution = recipe::resolution(&ascending);
        if ascending.first() == ascending.last() {
            log::warn!(
                "{}: channel `{}` is {} in every sample: is its sensor connected?",
                message::path(&path),
                message::excerpt(&channel.name),
                ascending[0]
            );
        }
    }
    names.extend(context.iter().cloned());
    let hop = if is_training { dense_hop(&signal, all.len()) } else { signal.hop };
    let (rows, labels) = rows(&signal, hop, &path, names, all)?;
    Ok(Made { signal, segment, hop, rows, labels })
}

/// Reads a further signal by a recipe that is made.
pub fn read(path: &Path, missing: Missing, made: &Made, context: &[String]) -> Result<Dataset> {
    let mut table = Table::open(path)?.with_missing(missing);
    let channels: Vec<_> = made.signal.channels.iter().map(|own| own.name.clone()).collect();
    let columns = columns(&table, &channels, context, made.segment.as_deref(), None)?;
    let mut samples = Samples::new(columns);
    let mut all = Vec::new();
    while let Some(sample) = samples.next(&mut table)? {
        all.push(sample);
    }
    table.check_rows()?;
    table.warn();
    Ok(rows(&made.signal, made.hop, table.path(), made.rows.names.clone(), all)?.0)
}

/// The channels that the user names, or all columns that are left.
fn channels(table: &Table, request: &Request) -> Result<Vec<String>> {
    let Request { options, exclude, context, label, .. } = *request;
    let named = names::resolve::<Name>(&options.channels, table.names());
    let named: Vec<String> = named.into_iter().map(|name| name.0).collect();
    let others = || {
        let others = exclude.iter().chain(context).chain(&options.segment);
        others.map(String::as_str).chain(label)
    };
    for (number, name) in named.iter().enumerate() {
        let with = match () {
            () if named[..number].contains(name) => "the same column twice",
            () if context.contains(name) => "the same column in --context",
            () if others().any(|other| other == name) => "the same column in another option",
            () => continue,
        };
        return Err(Error::Roles { option: "--channels", with, column: name.clone() });
    }
    if !named.is_empty() {
        return Ok(named);
    }
    let is_channel = |name: &&String| others().all(|other| other != *name);
    Ok(table.names().iter().filter(is_channel).cloned().collect())
}

fn columns(
    table: &Table,
    channels: &[String],
    context: &[String],
    segment: Option<&str>,
    label: Option<&str>,
) -> Result<Columns> {
    let number = |name: &String| table.column(name);
    Ok(Columns {
        values: channels.iter().chain(context).map(number).collect::<Result<_>>()?,
        channels: channels.len(),
        segment: segment.map(|name| table.column(name)).transpose()?,
        label: label.map(|name| table.column(name)).transpose()?,
    })
}

/// Samples between the windows that are trained on, of so many samples.
fn dense_hop(signal: &Signal, samples: usize) -> usize {
    let (part, rows) = DENSITY;
    let dense = (signal.window / part).max(1);
    let mut hops = std::iter::successors(Some(dense), |hop| Some(2 * hop));
    let hop = hops.find(|hop| *hop >= signal.hop || samples / hop <= rows);
    hop.map_or(signal.hop, |hop| hop.min(signal.hop))
}

/// The rows of all samples, `hop` apart, with what their labels say.
fn rows(
    signal: &Signal,
    hop: usize,
    path: &str,
    names: Vec<String>,
    samples: Vec<Sample>,
) -> Result<(Dataset, Vec<bool>)> {
    let words = Signal { hop, ..signal.clone() }.words();
    let mut windows = Windows::new(Recipe::from_words(&words)?);
    let read = samples.len();
    let stretches = samples.iter().filter(|sample| sample.is_new).count();
    let rows: Vec<Row> = samples.into_iter().filter_map(|sample| windows.push(sample)).collect();
    if rows.is_empty() {
        let what = format!(
            "none of its {stretches} stretches without a gap or a change of segment or context has the \
             {} samples of a window: take a shorter --window{}",
            signal.window,
            if names.len() > signal.entries.len() {
                ", and as --context only what stays as it is, such as a speed that is set; what is \
                 measured anew with each sample is a channel"
            } else {
                ""
            }
        );
        return Err(Error::Signal { path: path.into(), what });
    }
    log::info!(
        "{}: {} windows of {} samples, {hop} apart{}, of {read} samples at {} a second in {stretches} \
         stretch{}",
        message::path(path),
        rows.len(),
        signal.window,
        if hop == signal.hop { String::new() } else { format!(" ({} on the device)", signal.hop) },
        signal.rate,
        if stretches == 1 { "" } else { "es" }
    );
    let labels = rows.iter().map(|row| row.is_anomaly).collect();
    let dataset = Dataset {
        path: path.into(),
        names,
        values: rows.iter().flat_map(|row| row.values.iter().copied()).collect(),
        lines: rows.iter().map(|row| row.line).collect(),
        windows: rows.iter().map(|row| row.window).collect(),
        read: rows.len() as u64,
    };
    Ok((dataset, labels))
}

/// What a model judges: the lines of a table, or the windows of the signal in it.
pub enum Source<'m> {
    /// Each line is a row.
    Lines {
        /// The columns that the model takes.
        columns: Vec<usize>,
        /// The column that tells anomalies.
        label: Option<usize>,
    },
    /// The lines are samples.
    Signal(Box<(Samples, Windows<'m>)>),
}

/// What a model may be asked to judge.
pub struct Judgeable {
    /// Number of the window's first sample, from 0; none of a line.
    pub sample: Option<u64>,
    /// The features and then the context; none of a line that lacks a value and is left out.
    pub values: Option<Vec<f64>>,
    /// What the label says.
    pub is_anomaly: bool,
}

impl<'m> Source<'m> {
    /// Of a table and the model in `file`: windows where the model has a recipe and the table has its
    /// channels, and not the features.
    pub fn of(
        file: &'m ModelFile,
        device: &dyn Device,
        table: &Table,
        segment: Option<&str>,
        label: Option<&str>,
    ) -> Result<Self> {
        let recipe = device::recipe(file);
        let has_all = |names: &[String]| names.iter().all(|name| table.names().contains(name));
        let Some(recipe) = recipe.filter(|_| !has_all(&device.feature_names())) else {
            if segment.is_some() {
                let with = "a model or a file of rows";
                return Err(Error::Options { option: "--segment", with });
            }
            let label = label.map(|name| table.column(name)).transpose()?;
            return Ok(Self::Lines { columns: device::columns(device, table)?, label });
        };
        let channels: Vec<_> = recipe.channel_names().map(|[name, _]| name.to_owned()).collect();
        // The column of training, where there is one of its name.
        let of_training = device::segment(device).filter(|name| table.names().contains(name));
        let segment = segment.map(String::from).or(of_training);
        let context = device.context_names();
        let columns = columns(table, &channels, &context, segment.as_deref(), label)?;
        Ok(Self::Signal(Box::new((Samples::new(columns), Windows::new(recipe)))))
    }

    /// The same rows for a further model, whose own source is `other`: the values of a line are then
    /// those of this one and behind them those of the other, and a window has the same for both. None
    /// where the two do not read the same rows.
    pub fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Lines { columns, label }, Self::Lines { columns: further, .. }) => {
                Some(Self::Lines { columns: [columns, further].concat(), label })
            }
            (Self::Signal(own), Self::Signal(other)) => {
                let is_same =
                    own.0.columns() == other.0.columns() && own.1.recipe == other.1.recipe;
                is_same.then_some(Self::Signal(own))
            }
            _ => None,
        }
    }

    /// Whether rows are windows of a signal.
    pub fn is_signal(&self) -> bool {
        matches!(self, Self::Signal(_))
    }

    /// Refuses a signal of `count` windows if that is none.
    pub fn check(&self, count: usize, path: &str) -> Result<()> {
        match self {
            Self::Signal(both) if count == 0 => {
                let (_, windows) = &**both;
                let what = format!(
                    "no stretch without a gap has the {} samples of the model's window",
                    windows.recipe.window()
                );
                Err(Error::Signal { path: path.into(), what })
            }
            _ => Ok(()),
        }
    }

    /// The next row; none at the end.
    pub fn next(&mut self, table: &mut Table) -> Result<Option<Judgeable>> {
        match self {
            Self::Lines { columns, label } => {
                if !table.advance()? {
                    return Ok(None);
                }
                let values = table.values(columns)?.map(<[f64]>::to_vec);
                let label = label.filter(|_| values.is_some());
                let label = label.map(|label| label::is_anomaly(table, label)).transpose()?;
                let (values, is_anomaly) = match label {
                    Some(None) => (None, false),
                    Some(Some(is_anomaly)) => (values, is_anomaly),
                    None => (values, false),
                };
                Ok(Some(Judgeable { sample: None, values, is_anomaly }))
            }
            Self::Signal(both) => {
                let (samples, windows) = &mut **both;
                while let Some(sample) = samples.next(table)? {
                    if let Some(Row { values, window, is_anomaly, .. }) = windows.push(sample) {
                        let (sample, values) = (Some(window.first), Some(values));
                        return Ok(Some(Judgeable { sample, values, is_anomaly }));
                    }
                }
                Ok(None)
            }
        }
    }
}
