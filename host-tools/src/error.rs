//! Every way in which a user's files can be wrong: what, where, and what to do.

use std::io;

use crate::family::{Family, Image};
use crate::message::{self, excerpt};
use crate::rows::cell::CellFault;
use crate::rows::fault::LineFault;

/// Result of the host tool.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Bad input. The messages name the file, its line (from 1, the header is line 1) and column.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened or read.
    #[error("{}: cannot be read: {source}", message::path(path))]
    Read {
        /// As the user named it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}; nothing was changed", message::path(path))]
    Write {
        /// As the user named it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The output is one of the files that are read.
    #[error(
        "{}: is the same file as {}, which would be lost; give the output another name",
        message::path(output),
        message::path(input)
    )]
    OutputIsInput {
        /// As the user named the output.
        output: String,
        /// As the user named the input.
        input: String,
    },
    /// No byte in the file, or no header.
    #[error(
        "{}: is empty; expected a header line with the feature names and then one row a line",
        message::path(path)
    )]
    Empty {
        /// The file.
        path: String,
    },
    /// A header without rows.
    #[error("{}: has a header but no rows", message::path(path))]
    NoRows {
        /// The file.
        path: String,
    },
    /// A header without rows that have a value in every column.
    #[error(
        "{}: each of its {count} rows lacks a value, the first one in column `{}`: leave out the columns that have none",
        message::path(path),
        excerpt(column)
    )]
    AllRowsLack {
        /// The file.
        path: String,
        /// Rows found.
        count: u64,
        /// Where the first row lacks one.
        column: String,
    },
    /// A line that is no header, or no row as the header tells.
    #[error("{}, line {line}: {fault}", message::path(path))]
    Line {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// A cell that is no finite f32, or no label.
    #[error("{}, line {line}, column `{}`: {fault}", message::path(path), excerpt(column))]
    Cell {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// Name of the column.
        column: String,
        /// What is wrong with it.
        fault: CellFault,
    },
    /// A column that is not there.
    #[error("{}: has no column `{}`{}; it has {found}", message::path(path), excerpt(name), nearest.as_ref().map(|near| format!(" (did you mean `{}`?)", excerpt(near))).unwrap_or_default())]
    NoColumn {
        /// The file.
        path: String,
        /// The column asked for.
        name: String,
        /// The most similar one.
        nearest: Option<String>,
        /// The first of them.
        found: String,
    },
    /// Every column is excluded or a part of the context.
    #[error(
        "{}: no feature is left: --exclude and --context name all of its {columns} columns",
        message::path(path)
    )]
    NoFeatures {
        /// The file.
        path: String,
        /// Its columns.
        columns: usize,
    },
    /// A raw signal whose windows make no rows, or not those asked for.
    #[error("{}: {what}", message::path(path))]
    Signal {
        /// The file.
        path: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A raw signal of an unknown rate.
    #[error("how many samples a second has the signal? Say so with --rate")]
    NoRate,
    /// A sample that no feature can be taken of.
    #[error(
        "{}, line {line}, column `{}`: {value} is no sample, which is within 1e12: use a larger unit, or repair the sensor",
        message::path(path),
        excerpt(column)
    )]
    Sample {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// The channel.
        column: String,
        /// The value.
        value: f32,
    },
    /// Too few rows to learn from.
    #[error("{}: has {read} row{}{}; training needs at least {minimum}", message::path(path), if *read == 1 { "" } else { "s" }, if *read > *rows as u64 { format!(", of which {rows} can be used") } else { String::new() })]
    TooFewRows {
        /// The file.
        path: String,
        /// Rows found.
        read: u64,
        /// Those that are whole and no copies.
        rows: usize,
        /// Rows needed.
        minimum: usize,
    },
    /// One feature, or more than a model holds.
    #[error("{}: has {features} feature columns{}; a flow takes 2 to {}", message::path(path), if *features == 1 { ", and a flow maps features given other features" } else { "" }, flowlet::MAX_FEATURES)]
    Features {
        /// The file.
        path: String,
        /// Columns that are not excluded.
        features: usize,
    },
    /// Rows that are no images of the shape asked for.
    #[error("{}: has {features} feature columns; --image {image} takes {}", message::path(path), image.values())]
    Image {
        /// The file.
        path: String,
        /// The shape.
        image: Image,
        /// Columns that are features.
        features: usize,
    },
    /// A model file that the device crate refuses.
    #[error("{}: {source}", message::path(path))]
    Model {
        /// The file.
        path: String,
        /// The refusal.
        source: flowlet::Error,
    },
    /// A file of a flow where a latent model is needed.
    #[error(
        "{}: holds a flow, which has no {what}: train a latent model with --family vae",
        message::path(path)
    )]
    NoLatents {
        /// The file.
        path: String,
        /// What it lacks.
        what: &'static str,
    },
    /// A latent model that lacks what is asked for.
    #[error("{}: {what}", message::path(path))]
    LatentLacks {
        /// The file.
        path: String,
        /// What it lacks, and what to do.
        what: String,
    },
    /// A value of binary features that is neither 0 nor 1.
    #[error(
        "{}, line {line}, column `{}`: {value} is neither 0 nor 1, which --likelihood bernoulli is for; leave the column out with --exclude, or take the gaussian likelihood",
        message::path(path),
        excerpt(column)
    )]
    NotBinary {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// The value.
        value: f64,
    },
    /// A row that the device crate refuses.
    #[error(transparent)]
    Device(#[from] flowlet::Error),
    /// Training came to nothing.
    #[error(
        "training did not reach a finite likelihood in any epoch; lower --learning-rate (it is {learning_rate})"
    )]
    Diverged {
        /// The learning rate used.
        learning_rate: f64,
    },
    /// A flow below what needs no flow.
    #[error(
        "training learned nothing: the log-density on validation rows ends at {reached:.3}, below the {gaussian:.3} of a plain Gaussian, after {epochs} epochs; lower --learning-rate (it is {learning_rate}), give it more --epochs, or take --family gaussian"
    )]
    LearnedNothing {
        /// Mean log-density on the rows for early stopping, standardised units, nats.
        reached: f64,
        /// The same of a Gaussian.
        gaussian: f64,
        /// The learning rate used.
        learning_rate: f64,
        /// Epochs run.
        epochs: usize,
    },
    /// A posterior cannot be fitted without layers.
    #[error(
        "{family} has no layers to fit to a posterior; take real-nvp, glow, maf, iaf, spline-coupling or spline-autoregressive"
    )]
    NoLayers {
        /// What was asked for.
        family: Family,
    },
    /// A posterior cannot be fitted over a base whose draws have no gradient.
    #[error(
        "a posterior cannot be fitted over a mixture, whose choice of a component has no gradient; take a standard normal or a Student-t base"
    )]
    NoReparameterisation,
    /// One parameter, or more than a model holds.
    #[error("the density has {parameters} parameter{}; a flow takes 2 to {}", if *parameters == 1 { "" } else { "s" }, flowlet::MAX_FEATURES)]
    Parameters {
        /// Its parameters.
        parameters: usize,
    },
    /// A centre and a scale for other than the parameters, or a scale that is none.
    #[error(
        "the standardisation of the density must hold a centre and a positive scale for each of its {parameters} parameters"
    )]
    Standardisation {
        /// Its parameters.
        parameters: usize,
    },
    /// A gradient that was no number, step after step.
    #[error(
        "the loss of steps {first} to {last} is no finite number: the density to fit must be finite for every finite row, and the learning rate (it is {learning_rate}) may be too high"
    )]
    NoGradient {
        /// The first such step, from 1.
        first: usize,
        /// The last one.
        last: usize,
        /// The learning rate at the start.
        learning_rate: f64,
    },
    /// Too few draws to judge a fitted flow by, or to fit it with.
    #[error("{draws} draws are too few: a step takes at least 1, and judging at least {minimum}")]
    FewDraws {
        /// Those asked for.
        draws: usize,
        /// Those that are needed to judge.
        minimum: usize,
    },
    /// Draws that cannot be judged.
    #[error(
        "the log-density at draw {draw} of the fitted flow is {value}: the density to fit must be finite for every finite row"
    )]
    Weight {
        /// Its number, from 0.
        draw: usize,
        /// What it came to.
        value: f64,
    },
    /// No mixture of Gaussians fits.
    #[error(
        "no mixture of {components} or fewer Gaussians fits the rows; lower --components, or look for columns that are copies of each other"
    )]
    Mixture {
        /// Most components tried.
        components: usize,
    },
    /// A conditional model without all of its context, or with more.
    #[error("the model is conditioned on {names}: give each a value, --given COLUMN=VALUE,...")]
    Given {
        /// Names of the context's columns.
        names: String,
    },
    /// A context for a model that has none.
    #[error("the model has no context: leave --given out")]
    NoContext,
    /// Options of the command line that do not go together.
    #[error("{option} means nothing with {with}; for more information, try --help")]
    Options {
        /// The one too many.
        option: &'static str,
        /// What it was used with.
        with: &'static str,
    },
    /// False alarms in time without the time of a row.
    #[error("--false-alarms {asked} needs the time from one row to the next, such as --every 1s")]
    NoPeriod {
        /// What was asked for.
        asked: String,
    },
    /// False alarms that are too frequent, or too rare to be told from none.
    #[error("--false-alarms {asked} is one in {rows} row{}; ask for one in 2 to 1e12 rows", if *rows == 1.0 { "" } else { "s" })]
    FalseAlarms {
        /// What was asked for.
        asked: String,
        /// Rows between two.
        rows: f64,
    },
    /// A commissioning without rows and without options.
    #[error(
        "nothing to commission: give normal rows of the machine, or --false-alarms, --confirm or --follow-drift"
    )]
    NothingToDo,
    /// Too few normal rows of a machine to judge it by.
    #[error(
        "{}: has {rows} rows that can be used; commissioning needs at least {minimum}",
        message::path(path)
    )]
    FewSiteRows {
        /// The file.
        path: String,
        /// Rows found.
        rows: usize,
        /// Rows needed.
        minimum: u32,
    },
    /// A file without a detector, which says nothing of sensors.
    #[error(
        "{}: says nothing of its sensors, since an older version wrote it: commission it with normal rows",
        message::path(path)
    )]
    NoSensors {
        /// The file.
        path: String,
    },
    /// A column that two options name, or one twice.
    #[error(
        "{option} means nothing with {with}, `{}`; for more information, try --help",
        excerpt(column)
    )]
    Roles {
        /// The one too many.
        option: &'static str,
        /// What it was used with.
        with: &'static str,
        /// The column.
        column: String,
    },
    /// No model is small enough.
    #[error(
        "no model fits {budget}: the smallest, {smallest}, is over its {excess} with {cost}; allow more, or \
         leave out columns"
    )]
    Budget {
        /// The options that set it.
        budget: String,
        /// What it is made of.
        smallest: String,
        /// What of the budget it is over.
        excess: String,
        /// All that it costs.
        cost: String,
    },
    /// Nothing within a budget learned anything.
    #[error("no model within the budget could be trained: {reason}")]
    NoneTrained {
        /// Of the first one.
        reason: String,
    },
    /// A picture cannot be drawn.
    #[error(
        "{}: the picture cannot be drawn: {reason}; please report this as a bug",
        message::path(name)
    )]
    Picture {
        /// What it shows, or where it was to be.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// Standard output, a pipe or a device does not take the result.
    #[error("{}: cannot be written: {source}", message::path(name))]
    Output {
        /// How the user knows it.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The page of a report that does not come about.
    #[error("the page cannot be written: {0}; please report this as a bug")]
    Page(#[from] minijinja::Error),
    /// A baseline that cannot judge the rows that the model judges.
    #[error("{}: is no baseline on these rows: {what}", message::path(model))]
    Baseline {
        /// The baseline's file.
        model: String,
        /// What is in the way, and what to do.
        what: String,
    },
    /// The label is one of the columns that the model reads.
    #[error(
        "{}: the label column `{}` is one of the columns that the model was trained on, so it would judge rows by their answer; train it again with --exclude {}",
        message::path(model),
        excerpt(name),
        message::word(name)
    )]
    LabelIsRead {
        /// The model file.
        model: String,
        /// The column.
        name: String,
    },
}

impl Error {
    /// Whether the command line is wrong, rather than a file.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Options { .. }
                | Self::Roles { .. }
                | Self::NoRate
                | Self::NoPeriod { .. }
                | Self::FalseAlarms { .. }
                | Self::NothingToDo
        )
    }

    /// Whether the reader of our output went away, which is no error (`flowlet score ... | head`).
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output { source, .. } | Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
