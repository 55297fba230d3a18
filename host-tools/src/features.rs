//! `flowlet features`: a raw signal in, the rows of its windows out.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::names::{self, Name, Names};
use crate::output;
use crate::rows::missing::Missing;
use crate::rows::table::Table;
use crate::signal::options::Options;
use crate::signal::windows::{self, Made, Request};

/// Write what the windows of a raw signal come to, as `flowlet train --rate` would learn it.
///
/// Writes a row a window: `sample`, the number of its first sample from 0, its features as the device
/// would compute them, the columns of --context, and with --label whether most of its samples are
/// anomalies. Numbers are written so that they read back to the same bits.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// CSV file with a header and one sample a line, in time order; `-` for standard input.
    signal: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Columns that are no channels.
    #[arg(long, value_name = "COLUMN,...")]
    exclude: Vec<Names<Name>>,
    /// Columns that rows are given, such as a speed that was set: a window lies within one value.
    #[arg(long, value_name = "COLUMN,...")]
    context: Vec<Names<Name>>,
    /// Column that holds 0 for normal samples and 1 for anomalies.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// What becomes of samples that lack a value: where they are dropped no window lies across.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// CSV file to write; standard output without it, or for `-`.
    #[arg(short, long, value_name = "CSV")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { signal, options, exclude, context, label, missing, output } = arguments;
    output::Table::check(output.as_deref(), &[signal])?;
    let Some(rate) = options.rate else {
        return Err(Error::NoRate);
    };
    let table = Table::open(signal)?.with_missing(*missing);
    let named = |values| -> Vec<String> {
        names::resolve::<Name>(values, table.names()).into_iter().map(|name| name.0).collect()
    };
    let (exclude, context) = (named(exclude), named(context));
    let label = label.as_deref();
    let (exclude, context_names) = (&exclude, &context);
    let request =
        Request { options, rate, exclude, context: context_names, label, is_training: false };
    let Made { rows, labels, .. } = windows::make(table, &request)?;
    let mut header = vec!["sample".to_owned()];
    header.extend(rows.names.iter().cloned());
    header.extend(label.map(String::from));
    let mut table = output::Table::create(output.as_deref(), &header)?;
    for ((row, window), is_anomaly) in rows.rows().zip(&rows.windows).zip(labels) {
        let features = row.len() - context.len();
        let cells = row.iter().enumerate().map(|(number, value)| match number < features {
            true => (*value as f32).to_string(),
            false => value.to_string(),
        });
        let label = label.map(|_| u8::from(is_anomaly).to_string());
        table.row([window.first.to_string()].into_iter().chain(cells).chain(label))?;
    }
    table.finish()
}
