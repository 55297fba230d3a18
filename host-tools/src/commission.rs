//! `flowlet commission`: a model for one machine, without training it again.

use std::path::{Path, PathBuf};

use flowlet::detector::{FEWEST_SCORES, Sensor, Settings};
use flowlet::file::tag;
use flowlet::write::{self, ModelFile};

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::message::{self, escape};
use crate::output::{self, Draft};
use crate::rows::damage::{self, Damage};
use crate::rows::dataset::Dataset;
use crate::rows::missing::Missing;
use crate::rows::order::Order;
use crate::rows::runs;
use crate::rows::table::Table;
use crate::training::alarms::{self, Alarms, Options};
use crate::training::{calibrate, export};

/// Fit a model to the machine that it watches, without training it again.
///
/// The scores of normal rows of this machine take the place of those that were held out in training: p-values,
/// thresholds and the detector then mean this machine. The flow and its score stay as they are. Without rows only
/// the detector's options change. On a device `Commissioning` does the same.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// CSV file of normal rows of the machine, from every state in which it is run; `-` for standard input.
    rows: Option<PathBuf>,
    /// Where to write the new model file; `-` for standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What becomes of rows that lack a value, such as an empty cell or NaN.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    #[command(flatten)]
    alarms: Options,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { model, rows, output, missing, alarms } = arguments;
    if rows.is_none() && !alarms.is_any() {
        return Err(Error::NothingToDo);
    }
    let inputs: Vec<&Path> =
        [Some(model), rows.as_ref()].into_iter().flatten().map(|p| &**p).collect();
    Draft::check(output, &inputs)?;
    let path = model.display().to_string();
    let old = device::read(model)?;
    let mut device = device::open(&old, &path)?;
    let settings = device::detector_settings(&old, &path)?;
    let mut facts = vec![("false_alarms", alarms.fact())];
    let mut file = old.clone();
    let mut sensors = settings.map(|settings| settings.sensors().collect::<Vec<_>>());
    if let Some(rows) = rows {
        let site = Site::read(&mut *device, &mut Table::open(rows)?.with_missing(*missing))?;
        facts.push(("commissioned_rows", Some(site.rows.lines.len().to_string())));
        sensors = Some(site.sensors(sensors, device.feature_names().len()));
        file = recalibrate(&mut *device, &file, &site.rows)?;
    }
    let sensors = sensors.ok_or(Error::NoSensors { path: path.clone() })?;
    let file = with_facts(&with_alarms(&file, settings, alarms, sensors)?, &*device, facts)?;
    let made = device::open(&file, "the new model")?;
    Draft::create(output)?.complete(file.bytes())?;
    if rows.is_some() {
        calibrate::report(&*made);
    }
    alarms::report(device::detector(&file, "the new model"));
    log::info!("{}: {} bytes", message::path(&output::shown(output)), file.bytes().len());
    Ok(())
}

/// Normal rows of the machine.
struct Site {
    /// Less their offsets, without wild ones.
    rows: Dataset,
    /// The longest run of each column.
    runs: Vec<usize>,
}

impl Site {
    /// Reads the rows, leaves out wild ones, and says what is odd.
    fn read(device: &mut dyn Device, table: &mut Table) -> Result<Self> {
        let names = [device.feature_names(), device.context_names()].concat();
        let mut rows = table.read_columns(names)?;
        rows.subtract(&device.offsets());
        let path = message::path(&rows.path);
        let runs = runs::longest(&rows, &vec![0.0; rows.names.len()]);
        let fences = damage::fences(&rows);
        let damage = Damage::find(&rows, &fences);
        if !damage.rows.is_empty() && !damage.is_shift(rows.lines.len()) {
            let (count, are) = match damage.rows.len() {
                1 => ("1 row with a wild value".into(), "is"),
                count => (format!("{count} rows with wild values"), "are"),
            };
            log::warn!("{path}: {count} {are} left out: {damage}");
            let whole: Vec<usize> =
                (0..rows.lines.len()).filter(|place| !damage.contains(*place)).collect();
            rows = rows.part(&whole);
        }
        let count = rows.lines.len();
        if count < FEWEST_SCORES as usize {
            return Err(Error::FewSiteRows {
                path: rows.path,
                rows: count,
                minimum: FEWEST_SCORES,
            });
        }
        let order = Order::find(&rows, &fences);
        if order.correlated.is_some() {
            let worth = (count as f64 / order.correlation_time).ceil();
            log::warn!(
                "{path}: rows depend on those before them: {count} are worth about {worth} independent \
                 ones, and false alarms may come more often than promised; take rows farther apart"
            );
        }
        Ok(Self { rows, runs })
    }

    /// What working sensors give: what the file says, and what they gave here, if that is more.
    fn sensors(&self, of_file: Option<Vec<Sensor>>, features: usize) -> Vec<Sensor> {
        let count = self.rows.lines.len();
        let here = (0..features).map(|feature| {
            let ascending = self.rows.ascending(feature);
            let range = [ascending[0], ascending[count - 1]].map(|x| x as f32);
            alarms::sensor(range, self.runs[feature], count)
        });
        let Some(of_file) = of_file else { return here.collect() };
        let both = |(own, here): (Sensor, Sensor)| Sensor {
            low: own.low.min(here.low),
            high: own.high.max(here.high),
            // 0 is any number of rows.
            longest_run: match (own.longest_run, here.longest_run) {
                (0, _) | (_, 0) => 0,
                (own, here) => own.max(here),
            },
        };
        of_file.into_iter().zip(here).map(both).collect()
    }
}

/// The file with the scores of `rows` in its calibration, and thresholds for the rates that it has them for.
fn recalibrate(device: &mut dyn Device, file: &ModelFile, rows: &Dataset) -> Result<ModelFile> {
    let rates: Vec<f64> = device
        .calibration()
        .iter()
        .flat_map(flowlet::Calibration::thresholds)
        .map(|threshold| f64::from(threshold.false_alarm_rate))
        .collect();
    let rates = if rates.is_empty() { vec![0.01] } else { rates };
    let calibration = calibrate::of_rows(device, rows)?;
    let with = |calibration: Option<write::Calibration>| match calibration {
        None => file.clone(),
        Some(own) => write::with_section(file.bytes(), tag::CALIBRATION, own.contents())
            .expect("the file was opened"),
    };
    let calibration = export::with_thresholds(with, calibration, &rates, rows.independent())?;
    Ok(with(Some(calibration)))
}

/// The file with the detector that is asked for.
fn with_alarms(
    file: &ModelFile,
    settings: Option<Settings>,
    options: &Options,
    sensors: Vec<Sensor>,
) -> Result<ModelFile> {
    let alarms = match settings {
        Some(settings) => Alarms::changed(settings, options, sensors)?,
        None => Alarms::new(options, sensors)?,
    };
    let device = device::open(file, "the new model")?;
    let calibration = device.calibration().ok_or(flowlet::Error::NoCalibration)?;
    let quantiles: Vec<_> = calibration.quantiles().collect();
    let detector = alarms.detector(&quantiles, calibration.rows());
    Ok(write::with_section(file.bytes(), tag::DETECTOR, detector.contents())?)
}

/// The file with further facts in its provenance, in place of those of the same name.
fn with_facts(
    file: &ModelFile,
    device: &dyn Device,
    facts: Vec<(&str, Option<String>)>,
) -> Result<ModelFile> {
    let is_new = |key: &str| facts.iter().any(|(own, value)| *own == key && value.is_some());
    let old = device.summary().provenance;
    let old = old.into_iter().filter(|(key, _)| !is_new(key));
    let new = facts.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)));
    let line = |(key, value): (String, String)| format!("{key}={}\n", escape(&value));
    let text: String = old.chain(new).map(line).collect();
    Ok(write::with_section(file.bytes(), tag::PROVENANCE, text.into_bytes())?)
}
