//! `cargo xtask bench --glitch`: what a single wild value among the training rows does to
//! detection.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::quality::{Quality, mean, number};
use crate::data::Data;
use crate::host_tool::HostTool;
use crate::parallel;

/// What sensors and their buses give when they fail.
const GLITCHES: [&str; 8] =
    ["65535", "-127", "1e6", "-1e6", "-32768", "4294967295", "-999", "9999"];

/// Options of `flowlet train` where none are given: one small flow and few passes, since it is
/// trained many times.
const QUICK: &str = "--family real-nvp --epochs 20";

#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Glitches to try in each set, one after the other.
    #[arg(long, default_value_t = 50, requires = "glitch", conflicts_with_all = ["names", "families", "detection", "detector", "judgement", "latent"])]
    places: usize,
    /// Training rows of each set, its first ones.
    #[arg(long, default_value_t = 1000, requires = "glitch", conflicts_with_all = ["names", "families", "detection", "detector", "judgement", "latent"])]
    rows: usize,
}

/// The cell of a training row that a glitch is written to.
#[derive(Clone, Serialize)]
struct Glitch {
    row: usize,
    column: String,
    value: &'static str,
}

/// What one training came to.
#[derive(Serialize)]
struct Row {
    name: String,
    /// None for the rows as they are.
    glitch: Option<Glitch>,
    /// None where training or evaluation failed.
    quality: Option<Quality>,
    error: Option<String>,
}

/// The first training rows of a set, in memory.
struct Training {
    header: csv::StringRecord,
    rows: Vec<csv::StringRecord>,
}

impl Training {
    fn read(path: &Path, count: usize) -> Result<Self> {
        let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path);
        let mut reader = reader.with_context(|| format!("cannot read {path:?}"))?;
        let header = reader.headers()?.clone();
        let rows = reader.records().take(count).collect::<Result<Vec<_>, _>>()?;
        ensure!(!rows.is_empty(), "{path:?} has no rows");
        Ok(Self { header, rows })
    }

    /// Glitches at `count` seeded random places.
    fn glitches(&self, count: usize) -> Vec<Glitch> {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut below = |end: usize| random.next_u32() as usize % end;
        let glitch = |_| Glitch {
            row: below(self.rows.len()),
            column: self.header[below(self.header.len())].to_owned(),
            value: GLITCHES[below(GLITCHES.len())],
        };
        (0..count).map(glitch).collect()
    }

    /// Writes the rows with `glitch` in them.
    fn write(&self, path: &Path, glitch: Option<&Glitch>) -> Result<()> {
        let mut writer = csv::Writer::from_path(path)?;
        writer.write_record(&self.header)?;
        for (number, row) in self.rows.iter().enumerate() {
            writer.write_record(self.header.iter().zip(row).map(
                |(column, cell)| match glitch {
                    Some(glitch) if glitch.row == number && glitch.column == column => glitch.value,
                    _ => cell,
                },
            ))?;
        }
        Ok(writer.flush()?)
    }
}

/// For each of `folders`, trains on its first rows as they are and then with one glitch after the
/// other, with further options of `flowlet train`, and tells how detection changes.
pub fn run(folders: &[PathBuf], options: &Options, train: &[String]) -> Result<()> {
    let mut sets = Vec::new();
    for folder in folders {
        match Data::with_anomalies(folder) {
            Ok(data) => sets.push((Training::read(&data.training, options.rows)?, data)),
            Err(error) => println!("left out: {error:#}"),
        }
    }
    ensure!(!sets.is_empty(), "no folder of --data has labelled anomalies");
    let train = if train.is_empty() { crate::words(QUICK) } else { train.to_vec() };
    let flowlet = HostTool::build()?;
    let results = crate::results("bench")?.join("glitch.json");
    let folder = tempfile::tempdir()?;
    let jobs = sets.iter().flat_map(|(training, data)| {
        let glitches = training.glitches(options.places).into_iter().map(Some);
        [None].into_iter().chain(glitches).map(move |glitch| (training, data, glitch))
    });
    let jobs: Vec<_> = jobs.enumerate().collect();
    let mut rows = Vec::new();
    parallel::each(
        jobs,
        |(number, (training, data, glitch))| {
            let file = folder.path().join(format!("{number}.csv"));
            let model = file.with_extension("flow");
            training.write(&file, glitch.as_ref())?;
            flowlet.train_quietly(&file, None, &train, &model)?;
            Quality::of(&flowlet, &data.test, &model)
        },
        |(_, (_, data, glitch)), quality| {
            let place =
                glitch.as_ref().map_or("as it is".into(), |Glitch { row, column, value }| {
                    format!("{value} in row {row} of {column}")
                });
            let said =
                quality.as_ref().map_or_else(|error| format!("{error:#}"), |q| q.to_string());
            println!("{}, {place}: {said}", data.name);
            let error = quality.as_ref().err().map(|error| format!("{error:#}"));
            rows.push(Row { name: data.name.clone(), glitch, quality: quality.ok(), error });
            crate::write_json(&results, &serde_json::json!({ "options": train, "rows": rows }))
        },
    )?;
    println!("{}\nwritten: {}", table(&sets, &rows)?, results.display());
    Ok(())
}

fn table(sets: &[(Training, Data)], rows: &[Row]) -> Result<Table> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "set",
        "AUROC",
        "mean change",
        "largest",
        "detected",
        "mean change",
        "largest",
        "failed",
    ]);
    for (_, data) in sets {
        let of_set = || rows.iter().filter(|row| row.name == data.name);
        let clean = of_set().find(|row| row.glitch.is_none()).and_then(|row| row.quality);
        let clean = clean.with_context(|| format!("{}: no model without a glitch", data.name))?;
        let glitched: Vec<Quality> =
            of_set().filter(|row| row.glitch.is_some()).filter_map(|row| row.quality).collect();
        let failed = of_set().filter(|row| row.quality.is_none()).count();
        let mut cells = vec![data.name.clone()];
        for figure in [|own: &Quality| own.auroc, |own: &Quality| own.detection_rate] {
            let changes = glitched.iter().filter_map(|own| Some(figure(own)? - figure(&clean)?));
            let changes: Vec<f64> = changes.collect();
            let largest = changes.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
            cells.push(number(figure(&clean)));
            cells.extend([mean(changes.iter().copied()), largest].map(number));
        }
        cells.push(failed.to_string());
        table.add_row(cells);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glitch_changes_one_cell_of_the_rows_that_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("train.csv");
        std::fs::write(&path, "a,b\n0.1,0.2\n0.3,0.4\n0.5,0.6\n").expect("written");
        let training = Training::read(&path, 2).expect("rows");
        let glitch = Glitch { row: 1, column: "b".into(), value: "-127" };
        training.write(&path, Some(&glitch)).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "a,b\n0.1,0.2\n0.3,-127\n");
        for glitch in training.glitches(100) {
            assert!(glitch.row < 2 && ["a", "b"].contains(&glitch.column.as_str()));
        }
    }
}
