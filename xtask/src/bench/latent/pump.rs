//! A simulated pump that runs at one of 4 speeds, which no sensor tells: a mixture prior is to find them.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::sets::Figures;
use crate::data;
use crate::host_tool::HostTool;
use crate::models::Random;

/// Speeds of the pump and rows of a file.
const SPEEDS: usize = 4;
const ROWS: usize = 2000;
/// Sensors of the pump.
const SENSORS: [&str; 6] = ["flow", "pressure", "power", "current", "vibration", "heat"];

/// How well the modes are the speeds, by the adjusted Rand index, and what the mixture prior gains over
/// N(0, I), nats a row.
pub fn measure(flowlet: &HostTool, seed: u64, train: &[String], folder: &Path) -> Result<Figures> {
    let own = folder.join(format!("pump-{seed}"));
    std::fs::create_dir_all(&own)?;
    let [training, test] = ["train.csv", "test.csv"].map(|name| own.join(name));
    let mut random = Random::seeded(seed);
    std::fs::write(&training, rows(&mut random).0)?;
    let (text, speeds) = rows(&mut random);
    std::fs::write(&test, text)?;
    let mut bounds = Vec::new();
    let mut index = 0.0;
    for prior in ["normal", "mixture --components 4"] {
        let model = own.join("model.flow");
        let options =
            format!("--family vae --split random --latent 2 --prior {prior} --seed {seed}");
        let options = [&crate::words(&options), train].concat();
        flowlet.train_quietly(&training, None, &options, &model)?;
        let scores = own.join("scores.csv");
        let modes = if prior == "normal" { "" } else { "--modes" };
        let options = crate::words(&format!("--bound 1 {modes}"));
        flowlet.score_with(&test, &model, &options, &scores)?;
        let bound = data::read_column(&scores, "bound")?;
        bounds.push(bound.iter().map(|own| f64::from(*own)).sum::<f64>() / bound.len() as f64);
        if prior != "normal" {
            let modes = data::read_column(&scores, "mode")?;
            let modes: Vec<usize> = modes.iter().map(|mode| *mode as usize - 1).collect();
            index = adjusted_rand_index(&modes, &speeds).context("there are rows")?;
        }
    }
    Ok(vec![
        ("pump_adjusted_rand_index".into(), index),
        ("pump_mixture_prior_gain".into(), bounds[1] - bounds[0]),
    ])
}

/// A CSV of rows and the speed of each.
fn rows(random: &mut Random) -> (String, Vec<usize>) {
    let (mut text, mut speeds) = (SENSORS.join(",") + "\n", Vec::new());
    for row in 0..ROWS {
        let speed = row % SPEEDS;
        let level = [1.0, 2.2, 3.1, 4.4][speed];
        let load = 0.15 * random.normal();
        let sensors = [
            level + load,
            0.4 * level * level - load,
            1.5 * level + 0.5 * load,
            6.0 - level + 0.7 * load,
            [0.5, 2.0, 0.2, 1.4][speed] + 0.3 * load,
            20.0 + 2.0 * level,
        ];
        for (sensor, value) in sensors.iter().enumerate() {
            let comma = if sensor > 0 { "," } else { "" };
            let _ = write!(text, "{comma}{}", value + 0.05 * random.normal());
        }
        text.push('\n');
        speeds.push(speed);
    }
    (text, speeds)
}

/// How far two partitions of the same rows agree beyond chance: 1 where they are one (Hubert and Arabie
/// 1985, "Comparing partitions").
fn adjusted_rand_index(a: &[usize], b: &[usize]) -> Option<f64> {
    let size = 1 + a.iter().chain(b).max()?;
    let mut table = vec![vec![0.0f64; size]; size];
    a.iter().zip(b).for_each(|(a, b)| table[*a][*b] += 1.0);
    let pairs = |count: f64| count * (count - 1.0) / 2.0;
    let both: f64 = table.iter().flatten().map(|count| pairs(*count)).sum();
    let of_a: f64 = table.iter().map(|line| pairs(line.iter().sum())).sum();
    let of_b: f64 = (0..size).map(|b| pairs(table.iter().map(|line| line[b]).sum())).sum();
    let expected = of_a * of_b / pairs(a.len() as f64);
    Some((both - expected) / (0.5 * (of_a + of_b) - expected))
}

#[cfg(test)]
mod tests {
    use super::adjusted_rand_index;

    #[test]
    fn partitions_agree_whatever_their_names() {
        let a = [0, 0, 1, 1, 2, 2, 2];
        assert_eq!(adjusted_rand_index(&a, &[2, 2, 0, 0, 1, 1, 1]), Some(1.0));
        let mixed = adjusted_rand_index(&a, &[0, 1, 0, 1, 0, 1, 0]).unwrap();
        assert!(mixed < 0.1, "{mixed}");
        assert_eq!(adjusted_rand_index(&[], &[]), None);
    }
}
