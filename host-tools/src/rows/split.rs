//! Which rows training sees, which stop it, and which it never sees.

use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::rows::dataset::Dataset;
use crate::rows::roles::Roles;
use crate::rows::table::Table;

/// Fewest training rows.
const MINIMUM_ROWS: usize = 50;
/// Fewest rows for early stopping and for the threshold.
const MINIMUM_HELD_OUT: usize = 4;

/// The three parts of the rows.
pub struct Split {
    /// What the weights are fitted to.
    pub training: Dataset,
    /// What decides when training stops, and between families.
    pub early_stopping: Dataset,
    /// What the threshold is a quantile of.
    pub held_out: Dataset,
}

/// Reads the rows of `training`, without the excluded columns and with those of the context at the
/// end, and divides them, or those of `validation`, by chance.
pub fn split(
    training: Table,
    validation: Option<&Path>,
    roles: &Roles,
    seed: u64,
) -> Result<Split> {
    let missing = training.missing();
    let training = training.read(&roles.exclude, &roles.context)?;
    let features = training.names.len() - roles.context.len();
    if !(2..=flowlet::MAX_FEATURES).contains(&features) {
        return Err(Error::Features { path: training.path, features });
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x73_706c_6974);
    let (training, validation) = match validation {
        Some(path) => {
            let mut validation = Table::open(path)?.with_missing(missing);
            let validation = validation.read_columns(training.names.clone())?;
            (training, validation)
        }
        None => {
            let fifth = training.rows().len() / 5;
            log::info!("{}: {fifth} rows are set aside for validation", training.path);
            let (validation, training) = divide(&training, fifth, &mut random);
            (training, validation)
        }
    };
    let rows = training.rows().len();
    if rows < MINIMUM_ROWS {
        return Err(Error::TooFewRows { path: training.path, rows, minimum: MINIMUM_ROWS });
    }
    let half = validation.rows().len() / 2;
    if half < MINIMUM_HELD_OUT {
        let (path, rows) = (validation.path.clone(), validation.rows().len());
        return Err(Error::TooFewRows { path, rows, minimum: 2 * MINIMUM_HELD_OUT });
    }
    let (held_out, early_stopping) = divide(&validation, half, &mut random);
    Ok(Split { training, early_stopping, held_out })
}

/// `count` rows of `dataset` by chance, and the rest, both in their old order.
fn divide(dataset: &Dataset, count: usize, random: &mut ChaCha8Rng) -> (Dataset, Dataset) {
    let mut chosen = vec![false; dataset.rows().len()];
    chosen[..count].fill(true);
    chosen.shuffle(random);
    let part = |wanted: bool| {
        let is_wanted = |place: &usize| chosen[*place] == wanted;
        let places: Vec<usize> = (0..chosen.len()).filter(is_wanted).collect();
        dataset.part(&places)
    };
    (part(true), part(false))
}
