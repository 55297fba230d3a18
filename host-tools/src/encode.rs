//! `flowlet encode`: the latent values of each row, as the device would compute them.

use std::path::{Path, PathBuf};

use crate::device;
use crate::error::{Error, Result};
use crate::output;
use crate::rows::missing::Missing;
use crate::rows::table::Table;

/// Encode the rows of a CSV file by a latent model.
///
/// Writes the columns z1, z2 and so on; with --residuals also how far each feature lies from what these
/// values explain, in the decoder's deviations, as `residual_NAME`. Columns are matched by name, others
/// are ignored. Numbers are written so that they read back to the same bits.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// File of a latent model, as `flowlet train --family vae` writes it.
    model: PathBuf,
    /// CSV file of rows; `-` for standard input.
    rows: PathBuf,
    /// Write the residuals of the features too.
    #[arg(long)]
    residuals: bool,
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
    let path = arguments.model.display().to_string();
    let mut device = device::open(&file, &path)?;
    let no_codes = || Error::NoLatents { path: path.clone(), what: "latent values" };
    let latents = device.latent().ok_or_else(no_codes)?.latents();
    let mut table = Table::open(&arguments.rows)?.with_missing(arguments.missing);
    let columns = device::columns(&*device, &table)?;
    let offsets = device.offsets();
    let mut header = names(latents);
    if arguments.residuals {
        header.extend(device.feature_names().iter().map(|name| format!("residual_{name}")));
    }
    let mut output = output::Table::create(arguments.output.as_deref(), &header)?;
    let latent = device.latent().ok_or_else(no_codes)?;
    while table.advance()? {
        let Some(values) = table.values(&columns)? else {
            output.row(header.iter().map(|_| String::new()))?;
            continue;
        };
        let row = device::row(values, &offsets);
        let mut cells = latent.encode(&row)?;
        if arguments.residuals {
            cells.extend(latent.residuals(&row)?);
        }
        output.row(cells.iter().map(f32::to_string))?;
    }
    table.warn();
    output.finish()
}

/// Names of the columns of latent values.
pub fn names(latents: usize) -> Vec<String> {
    (1..=latents).map(|number| format!("z{number}")).collect()
}
