//! Builds and runs the host tool `flowlet`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::data::{self, Data};

/// As `flowlet train --family` names them.
pub const FAMILIES: [&str; 8] = [
    "real-nvp",
    "glow",
    "maf",
    "iaf",
    "spline-coupling",
    "spline-autoregressive",
    "gmm",
    "gaussian",
];

/// The binary.
pub struct HostTool {
    path: PathBuf,
}

impl HostTool {
    /// Builds it if need be.
    pub fn build() -> Result<Self> {
        println!("building the host tool (minutes, the first time)");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--package", "flowlet-tools"]);
        crate::run(cargo.current_dir(crate::root()))?;
        Ok(Self { path: crate::root().join("target/release/flowlet") })
    }

    fn verb(&self, name: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(name);
        command
    }

    /// Trains a model on the rows of `data`, with further options of `flowlet train`.
    pub fn train(&self, data: &Data, options: &[String], model: &Path) -> Result<()> {
        println!("training on {}: {}", data.training.display(), options.join(" "));
        let mut train = self.verb("train");
        train.arg(&data.training).arg("--validation").arg(&data.validation);
        crate::run(train.args(options).arg("--output").arg(model))
    }

    /// Trains a model without a word, beside others; without `validation` the tool sets some of the
    /// training rows aside.
    pub fn train_quietly(
        &self,
        training: &Path,
        validation: Option<&Path>,
        options: &[String],
        model: &Path,
    ) -> Result<()> {
        let mut train = self.verb("train");
        train.arg(training).arg("--quiet");
        if let Some(validation) = validation {
            train.arg("--validation").arg(validation);
        }
        let train = train.args(options).arg("--output").arg(model);
        let output = train.stdin(Stdio::null()).output().with_context(|| crate::spell(train))?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", message.trim());
        Ok(())
    }

    /// What `flowlet evaluate` says of labelled rows.
    pub fn evaluate(&self, test: &Path, model: &Path) -> Result<Value> {
        let mut evaluate = self.verb("evaluate");
        evaluate.arg(model).arg(test).args(["--label", data::LABEL, "--json"]);
        Ok(serde_json::from_slice(&crate::read(&mut evaluate)?)?)
    }

    /// The scores of the rows of `test`, which are left in `file` too, with their p-values.
    pub fn score(&self, test: &Path, model: &Path, file: &Path) -> Result<Vec<f32>> {
        let mut score = self.verb("score");
        crate::run(score.arg(model).arg(test).arg("--p-value").arg("--output").arg(file))?;
        data::read_column(file, "score")
    }

    /// Scores the rows of `test` into `file`, with further options of `flowlet score`.
    pub fn score_with(
        &self,
        test: &Path,
        model: &Path,
        options: &[String],
        file: &Path,
    ) -> Result<()> {
        crate::run(self.verb("score").arg(model).arg(test).args(options).arg("--output").arg(file))
    }

    /// Leaves the scores of the rows of `test` in `file`, with what each feature adds to them.
    pub fn attribute(&self, test: &Path, model: &Path, file: &Path) -> Result<()> {
        self.score_with(test, model, &["--attribution".into()], file)
    }

    /// Writes the page about a model, judged by the labelled rows of `test`, to `file`.
    pub fn report(&self, test: &Path, model: &Path, file: &Path) -> Result<()> {
        let mut report = self.verb("report");
        report.arg(model).arg("--test").arg(test).args(["--label", data::LABEL]);
        crate::run(report.arg("--output").arg(file))
    }

    /// What `flowlet inspect` says of a model.
    pub fn inspect(&self, model: &Path) -> Result<Value> {
        Ok(serde_json::from_slice(&crate::read(self.verb("inspect").arg(model).arg("--json"))?)?)
    }
}
