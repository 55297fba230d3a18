//! `flowlet sample`: rows drawn from the learned density.

use std::path::PathBuf;
use std::str::FromStr;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::device;
use crate::error::{Error, Result};
use crate::message;
use crate::names::{self, Named, Names};
use crate::output;
use crate::rows::precision::with_offset;

/// Draw rows from a model.
///
/// The generator is ChaCha8 of the rand_chacha crate, seeded by its `seed_from_u64`: a firmware
/// with the same generator and seed draws the same rows, bit for bit.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// Number of rows.
    #[arg(short = 'n', long, default_value_t = 10)]
    rows: u64,
    /// Seed of the generator.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Standard deviation of the base: below 1 for more typical rows, above for rarer ones. The
    /// base of a periodic feature is uniform and has none.
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    temperature: f32,
    /// The context of a conditional model, a value for each of its columns. May be given once for
    /// each column, whose name may then hold commas.
    #[arg(long, value_name = "COLUMN=VALUE,...")]
    given: Vec<Names<Given>>,
    /// CSV file to write; standard output without it, or for `-`.
    #[arg(short, long, value_name = "CSV")]
    output: Option<PathBuf>,
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("expected a finite number, 0 or more".into()),
    }
}

/// The value of one column of the context.
#[derive(Clone, Debug)]
struct Given {
    column: String,
    value: f64,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, value) = text.rsplit_once('=').ok_or("expected COLUMN=VALUE")?;
        match value.trim().parse::<f64>() {
            Ok(value) if (value as f32).is_finite() => {
                Ok(Self { column: column.trim().into(), value })
            }
            _ => Err(format!("`{value}` is no finite number")),
        }
    }
}

impl Named for Given {
    fn name(&self) -> &str {
        &self.column
    }
}

/// The value of each of `names`, in their order, out of `given`.
fn context(names: &[String], given: &[Names<Given>]) -> Result<Vec<f64>> {
    let given = names::resolve(given, names);
    let value = |name: &String| given.iter().find(|own| own.column == *name).map(|own| own.value);
    let values: Option<Vec<f64>> = names.iter().map(value).collect();
    match values.filter(|values| values.len() == given.len()) {
        Some(values) => Ok(values),
        None if names.is_empty() => Err(Error::NoContext),
        None => Err(Error::Given { names: message::list(names) }),
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    output::Table::check(arguments.output.as_deref(), &[&arguments.model])?;
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &arguments.model.display().to_string())?;
    let mut random = ChaCha8Rng::seed_from_u64(arguments.seed);
    let context = context(&device.context_names(), &arguments.given)?;
    let names = device.feature_names();
    let offsets = device.offsets();
    let (own, behind) = offsets.split_at(names.len());
    let context = device::row(&context, behind);
    let mut row = vec![0.0; names.len()];
    let mut output = output::Table::create(arguments.output.as_deref(), &names)?;
    for _ in 0..arguments.rows {
        device.sample(&mut random, arguments.temperature, &mut row, &context)?;
        output.row(row.iter().zip(own).map(|(x, offset)| raw(*x, *offset)))?;
    }
    output.finish()
}

/// The text of a value with its column's offset added again.
fn raw(x: f32, offset: f64) -> String {
    match offset {
        0.0 => x.to_string(),
        offset => with_offset(x, offset).to_string(),
    }
}
