//! Latent models on folders of rows.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::quality::mean;
use crate::data::{self, Data};
use crate::host_tool::HostTool;
use crate::latent;

/// Sets of which every test row is asked of the device too.
pub const ON_THE_DEVICE: [&str; 4] = ["annthyroid", "pendigits", "skab_valve1_raw", "digits64"];
/// The set whose rows are made binary, and the ink from which on a pixel is a one.
pub const BINARY: &str = "digits64";
const INK: f64 = 8.0;
/// Numbers of points of a bound, the last one as many as a file holds.
const POINTS: [usize; 4] = [1, 8, 32, 128];
/// The set of whose bounds all are told.
const BOUNDS: &str = "pendigits";

/// Figures and their names.
pub type Figures = Vec<(String, f64)>;

/// Trains the default latent model on a set: its bound on validation rows, standardised, what the flow
/// posterior gained, and how well it detects.
pub fn measure(
    flowlet: &HostTool,
    data: &Data,
    seed: u64,
    train: &[String],
    folder: &Path,
) -> Result<Figures> {
    let name = &data.name;
    let model = folder.join(format!("{name}-{seed}.flow"));
    let options = format!("--family vae --points {} --seed {seed}", POINTS[3]);
    let options = [&crate::words(&options), train].concat();
    flowlet.train_quietly(&data.training, Some(&data.validation), &options, &model)?;
    let summary = flowlet.inspect(&model)?;
    let mut figures = Vec::new();
    let mut add = |what: &str, value: f64| figures.push((format!("{name}_{what}"), value));
    if let Some(gain) = summary["provenance"]["flow_posterior_gain"].as_str() {
        add("flow_posterior_gain", gain.parse()?);
    }
    let mut bounds = Vec::new();
    for points in POINTS {
        bounds.push(bound(flowlet, &summary, data, &model, points, folder)?);
        if points > 1 && name != BOUNDS {
            break;
        }
    }
    add("elbo", bounds[0]);
    if name == BOUNDS {
        for (points, bound) in POINTS.iter().zip(&bounds) {
            add(&format!("bound_{points}"), *bound);
        }
        let rises = bounds.windows(2).map(|pair| pair[1] - pair[0]);
        add("bound_least_rise", rises.fold(f64::INFINITY, f64::min));
    }
    let evaluation = flowlet.evaluate(&data.test, &model)?;
    add("auroc", evaluation["auroc"].as_f64().context("evaluate tells the AUROC")?);
    Ok(figures)
}

/// Mean over the validation rows of the bound over so many points, standardised, nats.
fn bound(
    flowlet: &HostTool,
    summary: &Value,
    data: &Data,
    model: &Path,
    points: usize,
    folder: &Path,
) -> Result<f64> {
    let scores = model.with_extension(format!("{points}.csv"));
    let scores = folder.join(scores.file_name().context("a file has a name")?);
    let options = crate::words(&format!("--bound {points}"));
    flowlet.score_with(&data.validation, model, &options, &scores)?;
    let bounds = data::read_column(&scores, "bound")?;
    let scale = summary["latent"]["log_scale_sum"].as_f64();
    let scale = scale.context("inspect tells the scales of a latent model")?;
    Ok(mean(bounds.iter().map(|bound| f64::from(*bound))).context("there are rows")? + scale)
}

/// 1 where all numbers of every test row are equal on host and device; another is an error.
pub fn compare(
    flowlet: &HostTool,
    data: &Data,
    seed: u64,
    train: &[String],
    folder: &Path,
) -> Result<Figures> {
    let own = folder.join(format!("device-{}-{seed}", data.name));
    std::fs::create_dir_all(&own)?;
    let options = crate::words(&format!("--family vae --posterior iaf --seed {seed}"));
    latent::compare(flowlet, data, &[&options, train].concat(), 1, &own)
        .with_context(|| format!("{}, seed {seed}", data.name))?;
    Ok(vec![(format!("{}_device_equals_host", data.name), 1.0)])
}

/// Trains a Bernoulli decoder on the pixels of a set made binary: its bound on validation rows.
pub fn measure_binary(
    flowlet: &HostTool,
    data: &Data,
    seed: u64,
    train: &[String],
    folder: &Path,
) -> Result<Figures> {
    let own = folder.join(format!("binary-{seed}"));
    std::fs::create_dir_all(&own)?;
    for (path, name) in [(&data.training, "train.csv"), (&data.validation, "val.csv")] {
        let mut reader = csv::Reader::from_path(path)?;
        let mut writer = csv::Writer::from_path(own.join(name))?;
        writer.write_record(reader.headers()?)?;
        for record in reader.deserialize() {
            let pixels: Vec<f64> = record?;
            writer.write_record(pixels.iter().map(|pixel| if *pixel > INK { "1" } else { "0" }))?;
        }
        writer.flush()?;
    }
    let [training, validation] = ["train.csv", "val.csv"].map(|name| own.join(name));
    let binary = Data { name: data.name.clone(), test: validation.clone(), training, validation };
    let model = own.join("model.flow");
    let options = format!("--family vae --likelihood bernoulli --seed {seed} --points 32");
    let options = [&crate::words(&options), train].concat();
    flowlet.train_quietly(&binary.training, Some(&binary.validation), &options, &model)?;
    let summary = flowlet.inspect(&model)?;
    let elbo = bound(flowlet, &summary, &binary, &model, 1, &own)?;
    Ok(vec![(format!("binary_{}_elbo", data.name), elbo)])
}
