//! Rows of data: folders of CSV files, and the binary form in which the device takes them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::host_tool::HostTool;

/// The rows that come with flowlet.
pub const BUNDLED: &str = "examples/data/shuttle";

/// The column that is 0 for normal rows and 1 for anomalies.
pub const LABEL: &str = "label";

/// The files of a folder of rows.
pub struct Data {
    /// The folder's own name.
    pub name: String,
    /// Normal rows.
    pub training: PathBuf,
    /// Further normal rows.
    pub validation: PathBuf,
    /// Rows with a column [`LABEL`].
    pub test: PathBuf,
}

impl Data {
    /// Looks for `folder` here, then in the repository.
    pub fn find(folder: &Path) -> Result<Self> {
        let file = |name: &str| {
            let path = folder.join(name);
            let path = if path.exists() { path } else { crate::root().join(path) };
            ensure!(path.exists(), "{} has no {name}", folder.display());
            Ok(path)
        };
        Ok(Self {
            name: folder.file_name().unwrap_or(folder.as_os_str()).display().to_string(),
            training: file("train.csv")?,
            validation: file("val.csv")?,
            test: file("test.csv")?,
        })
    }

    /// Like [`Data::find`]; a folder whose test.csv has no anomalies has them in
    /// test_injected.csv.
    pub fn with_anomalies(folder: &Path) -> Result<Self> {
        let mut data = Self::find(folder)?;
        if !has_anomalies(&data.test)? {
            data.test.set_file_name("test_injected.csv");
            ensure!(
                data.test.exists() && has_anomalies(&data.test)?,
                "{} has anomalies neither in test.csv nor in test_injected.csv: the column \
                 `{LABEL}` must be 1 for some rows",
                folder.display()
            );
        }
        Ok(data)
    }
}

fn has_anomalies(path: &Path) -> Result<bool> {
    Ok(read_column(path, LABEL)?.iter().any(|label| *label != 0.0))
}

/// Rows of a CSV file as the device takes them.
pub struct Rows(pub Vec<Vec<f32>>);

impl Rows {
    /// Reads the columns that are the model's features, in the model's order, less their offsets.
    pub fn read(path: &Path, flowlet: &HostTool, model: &Path) -> Result<Self> {
        let summary = flowlet.inspect(model)?;
        let list = |key: &str| summary[key].as_array().cloned().context("inspect lists them");
        let features = [list("features")?, list("context")?].concat();
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
        let header = reader.headers()?.clone();
        let column = |name: &Value| {
            header.iter().position(|own| Some(own) == name.as_str()).context("a feature is missing")
        };
        let columns = features.iter().map(column).collect::<Result<Vec<_>>>()?;
        let offset = |name: &Value| {
            let own = summary["columns"].as_array()?.iter().find(|own| own["name"] == *name)?;
            own["offset"].as_f64()
        };
        let offsets = features.iter().map(|name| offset(name).unwrap_or(0.0));
        let columns: Vec<_> = columns.into_iter().zip(offsets).collect();
        let row = |record: Result<csv::StringRecord, csv::Error>| {
            let record = record?;
            let value = |(column, offset): &(usize, f64)| {
                anyhow::Ok((record[*column].parse::<f64>()? - offset) as f32)
            };
            columns.iter().map(value).collect()
        };
        Ok(Self(reader.records().map(row).collect::<Result<_>>()?))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Every `step`-th row.
    pub fn every(&self, step: usize) -> Self {
        Self(self.0.iter().step_by(step.max(1)).cloned().collect())
    }

    /// Writes the rows as little-endian f32, one after the other.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<u8> =
            self.0.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(path, bytes).with_context(|| format!("cannot write {path:?}"))
    }
}

/// The numbers of one column of a CSV file.
pub fn read_column(path: &Path, name: &str) -> Result<Vec<f32>> {
    let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path);
    let mut reader = reader.with_context(|| format!("cannot read {path:?}"))?;
    let column = reader.headers()?.iter().position(|own| own == name);
    let column = column.with_context(|| format!("{path:?} has no column `{name}`"))?;
    reader.records().map(|record| Ok(record?[column].parse()?)).collect()
}

/// The little-endian f32 of a file.
pub fn read_floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {path:?}"))?;
    let (words, rest) = bytes.as_chunks::<4>();
    ensure!(rest.is_empty(), "{path:?} ends within a value");
    Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
}
