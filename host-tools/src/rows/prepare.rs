//! From the rows as they were read to those that training sees, and what is odd about them.

use std::fmt::Display;

use crate::error::Result;
use crate::message::{self, excerpt, word};
use crate::rows::copies::{self, Copies};
use crate::rows::damage::{self, Damage, Fence};
use crate::rows::dataset::Dataset;
use crate::rows::order::Order;
use crate::rows::period::Period;
use crate::rows::precision::{self, Precision};
use crate::rows::roles::Roles;
use crate::rows::runs;
use crate::rows::split::{self, Division, Rows, Split};
use crate::rows::standardise::{self, Column, Spread};

/// Distinct rows below which their number is told.
const FEW_DISTINCT: usize = 100;
/// What a model file calls the rows of a validation file: it holds no path.
const VALIDATION: &str = "validation";
/// Share of a validation file's rows that may stand in the training file too.
const COMMON: f64 = 0.05;

/// What becomes of rows with a wild value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wild {
    /// Neither training nor the threshold sees them.
    #[default]
    Drop,
    /// They are rows like all others.
    Keep,
    /// There are none: of values that are 0 or 1 the rarer one is not damaged.
    #[value(skip)]
    None,
}

/// What the user says of the rows.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What the columns are for; those of the context are the last ones.
    pub roles: &'a Roles,
    /// How the rows are divided.
    pub division: Division,
    /// What becomes of wild rows.
    pub wild: Wild,
    /// Of the division.
    pub seed: u64,
}

/// Rows that are ready for training.
pub struct Prepared {
    /// Divided, their offsets subtracted.
    pub split: Split,
    /// How each column is standardised.
    pub columns: Vec<Column>,
    /// Numbers of the features that have one value.
    pub constants: Vec<usize>,
    /// What is odd about the rows, for the model file, as key and value.
    pub facts: Vec<(&'static str, String)>,
    /// The longest run of each column, in all rows as they were read, copies among them.
    pub runs: Vec<usize>,
    /// The number of those rows.
    pub rows: usize,
}

/// Looks at the rows, says what is odd, leaves out copies and wild ones, subtracts offsets, divides and standardises.
pub fn prepare(
    training: Dataset,
    validation: Option<Dataset>,
    request: &Request,
) -> Result<Prepared> {
    let mut notes = Notes::default();
    notes.read(&training, "training");
    if let Some(validation) = &validation {
        notes.read(validation, VALIDATION);
        notes.common(validation, &training);
    }
    let offsets = precision::offsets(&training, &request.roles.offsets)?;
    let all = || [Some(&training), validation.as_ref()].into_iter().flatten();
    let mut runs = vec![0; training.names.len()];
    for longest in all().map(|rows| runs::longest(rows, &offsets)) {
        runs.iter_mut().zip(longest).for_each(|(run, own)| *run = own.max(*run));
    }
    let read = all().map(|rows| rows.lines.len()).sum();
    if !request.roles.exclude.is_empty() {
        notes.fact("excluded_columns", request.roles.exclude.len().to_string());
    }
    let mut training = notes.distinct(training, "training");
    let mut validation = validation.map(|validation| notes.distinct(validation, VALIDATION));
    let fences = fences(&training, &request.roles.periods)?;
    let damage = notes.damage(&training, &fences, request.wild, "training");
    let beside = validation.as_ref().map(|rows| notes.damage_beside(rows, &fences, request.wild));
    for period in &request.roles.periods {
        let column = training.column(&period.column)?;
        notes.period(&training, period, &tame(&training, column, &fences));
    }
    for dataset in [Some(&mut training), validation.as_mut()].into_iter().flatten() {
        dataset.subtract(&offsets);
    }
    let fences: Vec<Fence> =
        fences.iter().zip(&offsets).map(|(fence, offset)| fence.less(*offset)).collect();
    for column in 0..training.names.len() {
        notes.precision(&training, column, &tame(&training, column, &fences));
    }
    let order = Order::find(&training, &fences);
    notes.order(&training, &order, request.division, request.roles.context.len());
    let alike = Copies::find(&training);
    let rows = Rows { dataset: &training, damage: &damage, copies: &alike, order: &order };
    let split = match (&validation, &beside) {
        (Some(validation), Some(damage)) => {
            let order = Order::find(validation, &fences);
            let copies = Copies::find(validation);
            let validation = Rows { dataset: validation, damage, copies: &copies, order: &order };
            split::divide_validation(&rows, &validation, request.division, request.seed)?
        }
        _ => {
            let split = split::divide(&rows, request.division, request.seed)?;
            let count = split.early_stopping.lines.len() + split.held_out.lines.len();
            let path = message::path(&training.path);
            log::info!("{path}: {count} rows are set aside for validation");
            split
        }
    };
    let (context, periods) = (request.roles.context.len(), &request.roles.periods);
    let columns = standardise::fit(&split.training, context, periods, &offsets)?;
    let features = columns.len() - context;
    let mut constants = Vec::new();
    for (number, column) in columns.iter().enumerate() {
        let is_constant = notes.column(&training, number, column, number >= features, &damage);
        if is_constant && number < features {
            constants.push(number);
        }
    }
    Ok(Prepared { split, columns, constants, facts: notes.facts, runs, rows: read })
}

/// The fence of each column.
fn fences(dataset: &Dataset, periods: &[Period]) -> Result<Vec<Fence>> {
    let mut fences = damage::fences(dataset);
    for period in periods {
        let column = dataset.column(&period.column)?;
        fences[column] = Fence::of_period(&dataset.ascending(column), period.length());
    }
    Ok(fences)
}

/// The values of a column within its fence, ascending.
fn tame(dataset: &Dataset, column: usize, fences: &[Fence]) -> Vec<f64> {
    let mut ascending = dataset.ascending(column);
    ascending.retain(|x| fences[column].holds(*x));
    ascending
}

/// Tells what is odd and what follows from it, at once, since it may be why an error follows, and
/// collects it for the model file.
#[derive(Default)]
struct Notes {
    facts: Vec<(&'static str, String)>,
}

impl Notes {
    fn warn(&self, warning: String) {
        log::warn!("{warning}");
    }

    /// Facts of one key stand behind one another.
    fn fact(&mut self, key: &'static str, value: impl Display) {
        match self.facts.iter_mut().find(|(own, _)| *own == key) {
            Some((_, facts)) => *facts += &format!(", {value}"),
            None => self.facts.push((key, value.to_string())),
        }
    }

    /// Rows that lack a value were told when they were read.
    fn read(&mut self, dataset: &Dataset, part: &str) {
        let lacking = dataset.read - dataset.lines.len() as u64;
        if lacking > 0 {
            self.fact("rows_without_a_value", format!("{lacking} of {} in {part}", dataset.read));
        }
    }

    fn common(&mut self, validation: &Dataset, training: &Dataset) {
        let (common, rows) = (copies::common(validation, training), validation.lines.len());
        let by_nature = Copies::find(training);
        let expected = if by_nature.are_copies { 0.0 } else { by_nature.share() };
        if common as f64 > (COMMON + expected) * rows as f64 {
            self.fact("validation_rows_of_training", common);
            self.warn(format!(
                "{}: {common} of its {rows} rows stand in {} too: the threshold comes from rows that \
                 the model has seen, and fresh rows will raise more false alarms",
                message::path(&validation.path),
                message::path(&training.path)
            ));
        }
    }

    /// The rows of `dataset`, each once if it holds copies.
    fn distinct(&mut self, dataset: Dataset, part: &str) -> Dataset {
        let copies = Copies::find(&dataset);
        let (rows, distinct) = (copies.rows(), copies.distinct);
        let path = message::path(&dataset.path);
        if copies.are_copies {
            self.fact("distinct_rows", format!("{distinct} of {rows} in {part}"));
            self.warn(format!(
                "{path}: only {distinct} of its {rows} rows are distinct, the others are copies: \
                 each is used once"
            ));
            return dataset.part(&copies.places());
        }
        if distinct < FEW_DISTINCT && 2 * distinct < rows {
            self.fact("distinct_rows", format!("{distinct} of {rows} in {part}"));
            self.warn(format!(
                "{path}: only {distinct} of its {rows} rows are distinct: a density has little to \
                 learn from them"
            ));
        }
        dataset
    }

    fn damage(&mut self, dataset: &Dataset, fences: &[Fence], wild: Wild, part: &str) -> Damage {
        let damage = Damage::find(dataset, fences);
        if damage.rows.is_empty() || wild == Wild::None {
            return Damage::default();
        }
        let (rows, path) = (damage.rows.len(), message::path(&dataset.path));
        self.fact("wild_rows", format!("{rows} in {part}"));
        for name in damage.names() {
            self.fact("wild_column", name);
        }
        let have = if rows == 1 { "row has" } else { "rows have" };
        let what = format!("{path}: {rows} {have} a value apart from the usual ones: {damage}");
        if wild == Wild::Keep {
            self.fact("wild", "kept");
            self.warn(format!("{what}; with --wild keep training learns them"));
            return Damage::default();
        }
        self.warn(format!(
            "{what}; neither training nor the threshold sees such rows (--wild keep takes them in)"
        ));
        damage
    }

    /// Of a validation file, by the fences of the training rows.
    fn damage_beside(&mut self, dataset: &Dataset, fences: &[Fence], wild: Wild) -> Damage {
        if wild == Wild::None {
            return Damage::default();
        }
        let damage = Damage::find(dataset, fences);
        let (far, rows, path) =
            (damage.rows.len(), dataset.lines.len(), message::path(&dataset.path));
        if damage.is_shift(rows) {
            self.fact("shifted_rows", format!("{far} in {VALIDATION}"));
            self.warn(format!(
                "{path}: {far} of its {rows} rows have a value apart from those of training: {damage}; \
                 these are too many for damage: the threshold rests on them"
            ));
            return Damage::default();
        }
        self.damage(dataset, fences, wild, VALIDATION)
    }

    fn period(&mut self, dataset: &Dataset, period: &Period, ascending: &[f64]) {
        if let Some(misfit) = period.check(ascending) {
            let [low, high] = period.ends();
            self.warn(format!(
                "{}: column `{}`: {misfit}; is {low}..{high} its period, in its unit?",
                message::path(&dataset.path),
                excerpt(&period.column)
            ));
        }
    }

    fn precision(&mut self, dataset: &Dataset, column: usize, ascending: &[f64]) {
        let (path, full) = (message::path(&dataset.path), &dataset.names[column]);
        let name = excerpt(full);
        match Precision::of(ascending) {
            Precision::Enough => {}
            Precision::Coarse { step, offset } => {
                self.fact("coarse_column", full);
                self.warn(format!(
                    "{path}: column `{name}` loses precision: its values differ by few steps of f32, \
                     which are {step} there; have {offset} subtracted first, with --offset \
                     \"{name}={offset}\""
                ));
            }
            Precision::TooSmall => {
                self.fact("coarse_column", full);
                self.warn(format!(
                    "{path}: column `{name}` loses precision: its values differ by less than f32 \
                     holds; use a smaller unit, so that its numbers are larger"
                ));
            }
        }
    }

    fn order(&mut self, dataset: &Dataset, order: &Order, division: Division, context: usize) {
        let (path, rows) = (message::path(&dataset.path), dataset.lines.len());
        // Rows sorted by their operating point are no mistake.
        let features = dataset.names.len() - context;
        for column in order.one_way.iter().filter(|column| **column < features) {
            let name = &dataset.names[*column];
            self.fact("one_way_column", name);
            self.warn(format!(
                "{path}: column `{}` only rises or only falls: if it is a running number or a time \
                 stamp, later rows lie beyond what was learned and will be alarms, so leave it out \
                 with --exclude {}; if the file is sorted by it, take --split random",
                excerpt(name),
                word(name)
            ));
        }
        if let Some((column, correlation)) = order.correlated {
            let name = &dataset.names[column];
            let worth = (rows as f64 / order.correlation_time).ceil();
            let neighbours = match division {
                Division::Blocks => "",
                Division::Random => {
                    ", and with --split random neighbours of training rows set the threshold, too low"
                }
            };
            self.fact("autocorrelation", format!("{correlation:.2} of {name}"));
            let name = excerpt(name);
            self.warn(format!(
                "{path}: rows are in time order, column `{name}` has an autocorrelation of \
                 {correlation:.2}: the {rows} rows are worth about {worth} independent ones, so that \
                 the false-alarm rate may not hold on another day{neighbours}"
            ));
        }
        if let Some((column, deviations)) = order.drift {
            let name = &dataset.names[column];
            self.fact("drift", format!("{deviations:.1} deviations of {name}"));
            let name = excerpt(name);
            self.warn(format!(
                "{path}: column `{name}` drifts by {deviations:.1} of its deviations from the first \
                 fifth of the rows to the last: the false-alarm rate holds for rows like these, not \
                 for what it drifts to"
            ));
        }
    }

    /// Whether all values of a column are one.
    fn column(
        &mut self,
        dataset: &Dataset,
        number: usize,
        column: &Column,
        is_context: bool,
        damage: &Damage,
    ) -> bool {
        let full = &column.feature.name;
        let (path, name, value) = (message::path(&dataset.path), excerpt(full), column.constant());
        if let Spread::Atom { .. } = column.spread
            && !is_context
        {
            log::info!("{path}: column `{name}` has one value in many rows: training spreads it");
        }
        let is_one = |wanted: &dyn Fn(usize) -> bool| {
            let mut values = (0..dataset.lines.len())
                .filter(|place| wanted(*place))
                .map(|place| dataset.value(place, number));
            let first = values.next();
            values.all(|value| Some(value) == first)
        };
        // What differs in f64 alone is told as a loss of precision.
        if !column.constant || !is_one(&|place| !damage.contains(place)) {
            return false;
        }
        let but = if is_one(&|_| true) { "" } else { " in all rows that are not wild" };
        self.fact("constant_column", full);
        self.warn(match is_context {
            true => format!(
                "{path}: column `{name}` of the context is constant ({value}){but}: nothing is learned \
                 from it, and what holds at another one is not known"
            ),
            false => format!(
                "{path}: column `{name}` is constant ({value}){but}: nothing is learned of other \
                 values; leave it out with --exclude {} if they may occur",
                word(full)
            ),
        });
        true
    }
}
