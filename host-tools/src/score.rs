//! `flowlet score`: one line out for each row in, as the device would compute it.

use std::path::{Path, PathBuf};

use crate::device;
use crate::error::Result;
use crate::output;
use crate::rows::missing::Missing;
use crate::rows::table::Table;

/// Score the rows of a CSV file.
///
/// Writes the columns log_density (nats, raw units), score (what the row is judged by, higher is less
/// normal), p_value (share of normal rows that score as high, at most) and anomaly (1 where the score
/// is above the model's threshold); the last two are empty where the model has no calibration. Columns are
/// matched by name, others are ignored, and rows are read as they come, so that a file may be
/// larger than memory. Numbers are written so that they read back to the same bits.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// CSV file of rows; `-` for standard input.
    rows: PathBuf,
    /// What becomes of rows that lack a value, such as an empty cell or NaN: those that are
    /// dropped have empty cells in the output.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// CSV file to write; standard output without it, or for `-`.
    #[arg(short, long, value_name = "CSV")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let inputs: [&Path; 2] = [&arguments.model, &arguments.rows];
    output::Table::check(arguments.output.as_deref(), &inputs)?;
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &arguments.model.display().to_string())?;
    let threshold = device.threshold();
    let mut table = Table::open(&arguments.rows)?.with_missing(arguments.missing);
    let columns = device::columns(&*device, &table)?;
    let offsets = device.offsets();
    let header = ["log_density", "score", "p_value", "anomaly"];
    let mut output = output::Table::create(arguments.output.as_deref(), &header)?;
    while table.advance()? {
        let Some(values) = table.values(&columns)? else {
            output.row([const { String::new() }; 4])?;
            continue;
        };
        let row = device::row(values, &offsets);
        let (log_density, score) = (device.log_density(&row)?, device.score(&row)?);
        let p_value = device.p_value(score).map_or(String::new(), |p_value| p_value.to_string());
        let anomaly = match threshold {
            Some(threshold) => u8::from(score > threshold.score).to_string(),
            None => String::new(),
        };
        output.row([log_density.to_string(), score.to_string(), p_value, anomaly])?;
    }
    table.warn();
    output.finish()
}
