//! Every way in which a user's files can be wrong: what, where, and what to do.

use std::io;
use std::path::PathBuf;

use crate::family::Image;

/// Result of the host tool.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Bad input. The messages name the file, its line (from 1, the header is line 1) and column.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened or read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// As the user named it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}; nothing was changed", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output is one of the files that are read.
    #[error(
        "{output}: is the same file as {input}, which would be lost; give the output another name"
    )]
    OutputIsInput {
        /// As the user named the output.
        output: String,
        /// As the user named the input.
        input: String,
    },
    /// No byte in the file, or no header.
    #[error(
        "{path}: is empty; expected a header line with the feature names and then one row a line"
    )]
    Empty {
        /// The file.
        path: String,
    },
    /// A header without rows.
    #[error("{path}: has a header but no rows")]
    NoRows {
        /// The file.
        path: String,
    },
    /// Not text.
    #[error("{path}, line {line}: is not text in UTF-8; expected a CSV file")]
    NotText {
        /// The file.
        path: String,
        /// The line.
        line: u64,
    },
    /// Numbers where names belong.
    #[error(
        "{path}, line 1: is a row of numbers; expected a header with the feature names: add one"
    )]
    NoHeader {
        /// The file.
        path: String,
    },
    /// Another separator.
    #[error(
        "{path}, line 1: columns are separated by `{separator}`; expected commas: convert the file"
    )]
    Separator {
        /// The file.
        path: String,
        /// What was found.
        separator: char,
    },
    /// The same name twice, or none.
    #[error(
        "{path}, line 1: column {column} is {}; every column needs a name of its own",
        described(name)
    )]
    ColumnName {
        /// The file.
        path: String,
        /// Column, from 1.
        column: usize,
        /// Its name.
        name: String,
    },
    /// A row with too many or too few cells.
    #[error("{path}, line {line}: has {found} cells; expected {expected} as in the header")]
    Ragged {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// Cells found.
        found: usize,
        /// Columns.
        expected: usize,
    },
    /// A cell that is no finite f32.
    #[error("{path}, line {line}, column `{column}`: is {found}; expected a {expected}{advice}")]
    Cell {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// Name of the column.
        column: String,
        /// The cell, described.
        found: String,
        /// What it should be.
        expected: &'static str,
        /// What to do, after a colon.
        advice: &'static str,
    },
    /// A column that is not there.
    #[error("{path}: has no column `{name}`{}; it has {found}", nearest.as_ref().map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default())]
    NoColumn {
        /// The file.
        path: String,
        /// The column asked for.
        name: String,
        /// The most similar one.
        nearest: Option<String>,
        /// All of them.
        found: String,
    },
    /// Too few rows to learn from.
    #[error("{path}: has {rows} rows; training needs at least {minimum}")]
    TooFewRows {
        /// The file.
        path: String,
        /// Rows found.
        rows: usize,
        /// Rows needed.
        minimum: usize,
    },
    /// One feature, or more than a model holds.
    #[error("{path}: has {features} feature columns{}; a flow takes 2 to {}", if *features == 1 { ", and a flow maps features given other features" } else { "" }, flowlet::MAX_FEATURES)]
    Features {
        /// The file.
        path: String,
        /// Columns that are not excluded.
        features: usize,
    },
    /// Rows that are no images of the shape asked for.
    #[error("{path}: has {features} feature columns; --image {image} takes {}", image.values())]
    Image {
        /// The file.
        path: String,
        /// The shape.
        image: Image,
        /// Columns that are features.
        features: usize,
    },
    /// A model file that the device crate refuses.
    #[error("{path}: {source}")]
    Model {
        /// The file.
        path: String,
        /// The refusal.
        source: flowlet::Error,
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
    /// Standard output, a pipe or a device does not take the result.
    #[error("{name}: cannot be written: {source}")]
    Output {
        /// How the user knows it.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The label is one of the columns that the model reads.
    #[error(
        "{model}: the label column `{name}` is one of the columns that the model was trained on, so it would judge rows by their answer; train it again with --exclude {name}"
    )]
    LabelIsRead {
        /// The model file.
        model: String,
        /// The column.
        name: String,
    },
}

impl Error {
    /// Whether the reader of our output went away, which is no error (`flowlet score ... | head`).
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output { source, .. } | Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn described(name: &str) -> String {
    match name {
        "" => "without a name".into(),
        name => format!("named `{name}` like one before it"),
    }
}
