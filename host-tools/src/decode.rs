//! `flowlet decode`: rows of sensors again, from latent values.

use std::path::{Path, PathBuf};

use crate::device;
use crate::encode;
use crate::error::{Error, Result};
use crate::output;
use crate::rows::missing::Missing;
use crate::rows::precision::with_offset;
use crate::rows::table::Table;

/// Decode latent values by the model that encoded them.
///
/// Reads the columns z1, z2 and so on, as `flowlet encode` writes them, and those of the model's
/// context; writes the mean of each feature in its own unit, of binary features the probability of
/// a one.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// File of a latent model, as `flowlet train --family vae` writes it.
    model: PathBuf,
    /// CSV file of latent values; `-` for standard input.
    codes: PathBuf,
    /// What becomes of rows that lack a value: those that are dropped have empty cells in the output.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// CSV file to write; standard output without it, or for `-`.
    #[arg(short, long, value_name = "CSV")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let inputs: [&Path; 2] = [&arguments.model, &arguments.codes];
    output::Table::check(arguments.output.as_deref(), &inputs)?;
    let file = device::read(&arguments.model)?;
    let path = arguments.model.display().to_string();
    let mut device = device::open(&file, &path)?;
    let (names, context) = (device.feature_names(), device.context_names());
    let offsets = device.offsets();
    let (own, behind) = offsets.split_at(names.len());
    let latent = device.latent().ok_or(Error::NoLatents { path, what: "latent values" })?;
    let latents = latent.latents();
    let mut table = Table::open(&arguments.codes)?.with_missing(arguments.missing);
    let columns = encode::names(latents).into_iter().chain(context);
    let columns = columns.map(|name| table.column(&name)).collect::<Result<Vec<_>>>()?;
    let offsets: Vec<f64> =
        std::iter::repeat_n(0.0, latents).chain(behind.iter().copied()).collect();
    let mut output = output::Table::create(arguments.output.as_deref(), &names)?;
    while table.advance()? {
        let Some(values) = table.values(&columns)? else {
            output.row(names.iter().map(|_| String::new()))?;
            continue;
        };
        let row = device::row(values, &offsets);
        let (code, context) = row.split_at(latents);
        let x = latent.decode(code, context)?;
        output.row(x.iter().zip(own).map(|(x, offset)| match offset {
            0.0 => x.to_string(),
            offset => with_offset(*x, *offset).to_string(),
        }))?;
    }
    table.warn();
    output.finish()
}
