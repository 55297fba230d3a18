//! `cargo xtask bench --judgement`: whether p-values of normal rows are as small as often as they
//! promise, and whether an alarm blames the feature at fault.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::data::{self, Data};
use crate::host_tool::HostTool;

/// Rates that p-values are looked at.
const RATES: [f64; 3] = [0.1, 0.01, 0.001];
/// Rows of each set that get a fault.
const ROWS: usize = 300;
/// Standard deviations of an offset.
const OFFSET: f64 = 4.0;

/// What is done to one feature of a normal row.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// It is some standard deviations off.
    Offset,
    /// It is stuck at the first or the last hundredth of its training values.
    Stuck,
    /// It is that of another row.
    Swapped,
}

const FAULTS: [Fault; 3] = [Fault::Offset, Fault::Stuck, Fault::Swapped];

/// What was found on one set.
#[derive(Serialize)]
struct Row {
    name: String,
    normal_rows: usize,
    /// Rows that the p-values come from.
    held_out_rows: f64,
    /// Of each rate, the share of normal rows with so small a p-value.
    p_values: Vec<(f64, f64)>,
    /// Of each fault, rows with it, alarms that it raised, and alarms that blame its feature most.
    faults: Vec<(Fault, usize, usize, usize)>,
}

/// Trains the default model on each of `folders`, with further options of `flowlet train`.
pub fn run(folders: &[PathBuf], train: &[String]) -> Result<()> {
    let flowlet = HostTool::build()?;
    let results = crate::results("bench")?.join("judgement.json");
    let folder = crate::results("bench/judgement")?;
    let mut rows = Vec::new();
    for path in folders {
        let data = Data::find(path)?;
        println!("training on {}", data.name);
        let model = folder.join(format!("{}.flow", data.name));
        flowlet.train_quietly(&data.training, Some(&data.validation), train, &model)?;
        rows.push(judge(&flowlet, &data, &model, &folder)?);
        crate::write_json(&results, &serde_json::json!({ "rows": rows }))?;
    }
    println!("{}\nwritten: {}", table(&rows), results.display());
    Ok(())
}

fn judge(flowlet: &HostTool, data: &Data, model: &Path, folder: &Path) -> Result<Row> {
    let scores = folder.join("scores.csv");
    flowlet.score(&data.test, model, &scores)?;
    let labels = data::read_column(&data.test, data::LABEL)?;
    let p_values = data::read_column(&scores, "p_value")?;
    let alarms = data::read_column(&scores, "anomaly")?;
    let normal: Vec<usize> = (0..labels.len()).filter(|row| labels[*row] == 0.0).collect();
    ensure!(!normal.is_empty(), "{} has no normal test rows", data.name);
    let share = |rate: f64| {
        let small = normal.iter().filter(|row| f64::from(p_values[**row]) <= rate);
        (rate, small.count() as f64 / normal.len() as f64)
    };
    let quiet: Vec<usize> = normal.iter().copied().filter(|row| alarms[*row] == 0.0).collect();
    let summary = flowlet.inspect(model)?;
    let features: Vec<String> = serde_json::from_value(summary["features"].clone())?;
    Ok(Row {
        name: data.name.clone(),
        normal_rows: normal.len(),
        held_out_rows: summary["threshold"]["rows"].as_f64().context("it has a threshold")?,
        p_values: RATES.map(share).to_vec(),
        faults: faults(flowlet, data, model, folder, &quiet, &features)?,
    })
}

/// Writes faults into rows that raise no alarm, and looks at what the alarms they then raise blame.
fn faults(
    flowlet: &HostTool,
    data: &Data,
    model: &Path,
    folder: &Path,
    quiet: &[usize],
    features: &[String],
) -> Result<Vec<(Fault, usize, usize, usize)>> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut below = move |count: usize| random.next_u64() as usize % count;
    let test = columns(&data.test, features)?;
    let training = columns(&data.training, features)?;
    let (faulty, attributed) = (folder.join("faulty.csv"), folder.join("attributed.csv"));
    let mut writer = csv::Writer::from_path(&faulty)?;
    writer.write_record(features)?;
    let mut planted = Vec::new();
    for number in 0..ROWS {
        let row = quiet[number * quiet.len() / ROWS];
        let (fault, feature) = (FAULTS[number % FAULTS.len()], below(features.len()));
        let mut values: Vec<f64> = test.iter().map(|column| column[row]).collect();
        values[feature] = match fault {
            Fault::Offset => {
                let sign = [-1.0, 1.0][below(2)];
                values[feature] + sign * OFFSET * deviation(&training[feature])
            }
            Fault::Stuck => quantile(&training[feature], [0.01, 0.99][below(2)]),
            Fault::Swapped => test[feature][quiet[below(quiet.len())]],
        };
        writer.write_record(values.iter().map(f64::to_string))?;
        planted.push((fault, feature));
    }
    writer.flush()?;
    flowlet.attribute(&faulty, model, &attributed)?;
    let alarms = data::read_column(&attributed, "anomaly")?;
    let attributions = features
        .iter()
        .map(|name| data::read_column(&attributed, &format!("attribution_{name}")))
        .collect::<Result<Vec<_>>>()?;
    let blamed = |row: usize| {
        let of = |feature: &usize| attributions[*feature][row];
        (0..features.len()).max_by(|a, b| of(a).total_cmp(&of(b)))
    };
    let found = FAULTS.into_iter().enumerate().map(|(number, fault)| {
        let rows: Vec<usize> = (number..ROWS).step_by(FAULTS.len()).collect();
        let alarmed: Vec<usize> = rows.iter().copied().filter(|row| alarms[*row] == 1.0).collect();
        let right = alarmed.iter().filter(|row| blamed(**row) == Some(planted[**row].1)).count();
        (fault, rows.len(), alarmed.len(), right)
    });
    Ok(found.collect())
}

/// The numbers of columns of a CSV file, by their names.
fn columns(path: &Path, names: &[String]) -> Result<Vec<Vec<f64>>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
    let header = reader.headers()?.clone();
    let place = |name: &String| {
        header.iter().position(|own| own == name).with_context(|| format!("no column {name}"))
    };
    let places = names.iter().map(place).collect::<Result<Vec<_>>>()?;
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records() {
        let record = record?;
        for (column, place) in columns.iter_mut().zip(&places) {
            column.push(record[*place].parse()?);
        }
    }
    Ok(columns)
}

fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut ascending = values.to_vec();
    ascending.sort_unstable_by(f64::total_cmp);
    ascending[(share * (values.len() - 1) as f64).round() as usize]
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    let rates = RATES.map(|rate| format!("p <= {rate} (two standard errors)"));
    let faults =
        ["offset", "stuck", "swapped", "all"].map(|name| format!("blamed rightly, {name}"));
    let header = ["set".into(), "normal rows".into()].into_iter().chain(rates).chain(faults);
    table.set_header(header);
    for row in rows {
        let mut cells = vec![row.name.clone(), row.normal_rows.to_string()];
        cells.extend(row.p_values.iter().map(|(rate, share)| {
            // Of the normal rows, and of those that were held out.
            let samples = 1.0 / row.normal_rows as f64 + 1.0 / row.held_out_rows;
            let error = 2.0 * (rate * (1.0 - rate) * samples).sqrt();
            format!("{share:.4} ({error:.4})")
        }));
        let part = |alarms: usize, right: usize| match alarms {
            0 => "-".into(),
            _ => format!("{:.0} % of {alarms}", 100.0 * right as f64 / alarms as f64),
        };
        cells.extend(row.faults.iter().map(|(_, _, alarms, right)| part(*alarms, *right)));
        let sum = |of: fn(&(Fault, usize, usize, usize)) -> usize| row.faults.iter().map(of).sum();
        cells.push(part(sum(|own| own.2), sum(|own| own.3)));
        table.add_row(cells);
    }
    table
}
