//! What a model costs on a device, told without a build: bytes of flash and stack, and cycles.
//!
//! Flash is the model file, whose length is known from its architecture, and the code of the parts of
//! flowlet that it needs. Stack is the memory of a call, known from its types, and the frames. The
//! cycles of a call are a sum over its steps ([`flowlet::tally`]): how often it takes each one is
//! counted on rows, or while nobody knows the weights on a typical row, half of whose hidden units are
//! open. What each takes on a core, and the code and the frames, are the two tables beside this file.
//! `cargo xtask bench --cost --renew` writes them: the cycles as the non-negative least squares fit to
//! the traced calls of models of every kind, by the timing in the cores' manuals and without wait
//! states of the flash, the code as the same fit to firmware around such models, the frames as the
//! most that any took. No number in them is set by hand.

pub mod board;
pub mod budget;

use std::sync::LazyLock;

use flowlet::tally::{Question, Tally};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::device::{Device, Summary};
use crate::error::Result;

/// Rows that a model draws to tell how many of its units are open.
const DRAWS: usize = 64;

/// A core whose timing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Core {
    /// Three stages, no FPU.
    CortexM0,
    /// Two stages, no FPU.
    #[value(name = "cortex-m0plus")]
    CortexM0Plus,
    /// No FPU.
    CortexM3,
    /// With an FPU of single precision.
    CortexM4f,
}

impl Core {
    /// Every core, in the order of the tables' columns.
    pub const ALL: [Core; 4] =
        [Core::CortexM0, Core::CortexM0Plus, Core::CortexM3, Core::CortexM4f];

    /// As a person writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CortexM0 => "Cortex-M0",
            Self::CortexM0Plus => "Cortex-M0+",
            Self::CortexM3 => "Cortex-M3",
            Self::CortexM4f => "Cortex-M4F",
        }
    }
}

/// A row of a table: its name and a number for each core.
type Row = (String, [f64; Core::ALL.len()]);

static CYCLES: LazyLock<Vec<Row>> = LazyLock::new(|| rows(include_str!("cost/cycles.csv")));
static SIZES: LazyLock<Vec<Row>> = LazyLock::new(|| rows(include_str!("cost/sizes.csv")));

fn rows(text: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let row = |row: csv::Result<(String, f64, f64, f64, f64)>| {
        let (name, m0, m0_plus, m3, m4f) = row.expect("the table is a part of the program");
        (name, [m0, m0_plus, m3, m4f])
    };
    reader.deserialize().map(row).collect()
}

fn number(table: &[Row], name: &str, core: Core) -> f64 {
    let row = table.iter().find(|(own, _)| own == name);
    row.map_or(0.0, |(_, numbers)| numbers[core as usize])
}

/// What one score costs.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Bytes of the model file.
    pub model_bytes: usize,
    /// Bytes of code: of flowlet, of its elementary functions, and of floating-point numbers where the
    /// core has no FPU.
    pub code_bytes: usize,
    /// Bytes of stack, the frames of the calls included.
    pub stack_bytes: usize,
    /// Of one score.
    pub cycles: f64,
}

impl Cost {
    /// What the model that `summary` tells of costs on `core`; its file has `model_bytes`, and `tally`
    /// is what one score takes.
    pub fn of(summary: &Summary, model_bytes: usize, tally: &Tally, core: Core) -> Self {
        let parts = ["code"].iter().chain(&summary.cargo_features);
        let code: f64 = parts.map(|part| number(&SIZES, part, core)).sum();
        Self {
            model_bytes,
            code_bytes: code as usize,
            stack_bytes: summary.ram_bytes + number(&SIZES, "frames", core) as usize,
            cycles: cycles(tally, core),
        }
    }

    /// Bytes of model file and code.
    pub fn flash_bytes(&self) -> usize {
        self.model_bytes + self.code_bytes
    }
}

/// Cycles of a call that takes `tally`.
pub fn cycles(tally: &Tally, core: Core) -> f64 {
    tally.steps().map(|(step, count)| count * number(&CYCLES, step.name(), core)).sum()
}

/// What a score takes on rows that the model itself draws, the same ones each time; a context is at the
/// centre of its training values. A model without a generator's luck has none, and counts a typical row.
pub fn tally_of_draws(device: &mut dyn Device) -> Result<Tally> {
    let (features, context) = (device.feature_names().len(), device.centre_of_context());
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut rows = Vec::new();
    for _ in 0..DRAWS {
        let mut row = vec![0.0; features];
        device.sample(&mut random, 1.0, &mut row, &context)?;
        row.extend(&context);
        rows.push(row);
    }
    tally_of_rows(device, rows.iter().map(Vec::as_slice))
}

/// What a score takes on `rows`, each with its context, in the mean.
pub fn tally_of_rows<'a>(
    device: &mut dyn Device,
    rows: impl Iterator<Item = &'a [f32]>,
) -> Result<Tally> {
    let tallies = rows.map(|row| device.tally(Some(row), Question::Score));
    Ok(Tally::mean(&tallies.collect::<Result<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use flowlet::tally::Step;

    use super::*;

    #[test]
    fn every_step_and_every_core_has_its_number() {
        for step in Step::ALL {
            assert!(CYCLES.iter().any(|(name, _)| name == step.name()), "{step:?}");
        }
        for core in Core::ALL {
            assert!(number(&SIZES, "code", core) > 0.0 && number(&SIZES, "frames", core) > 0.0);
            assert!(number(&CYCLES, Step::ListedColumn.name(), core) > 0.0);
        }
    }

    #[test]
    fn a_pipeline_of_one_stage_more_is_no_faster() {
        for step in Step::ALL {
            let of = |core| number(&CYCLES, step.name(), core);
            // Each column is fitted for itself: hold the one that most of the time goes into.
            if matches!(step, Step::ListedColumn | Step::SplineValue | Step::MaskedColumn) {
                assert!(of(Core::CortexM0) >= of(Core::CortexM0Plus), "{step:?}");
                assert!(of(Core::CortexM0Plus) > 3.0 * of(Core::CortexM4f), "{step:?}");
            }
        }
    }
}
