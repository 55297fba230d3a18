//! Guide, step 5: a latent variable model learns decoder, posterior and prior from rows, and its mixture
//! prior finds the modes of operation that no sensor tells.
//!
//! `cargo run --release -p flowlet-tools --example guide_5_latent [PICTURE.svg]`

#[path = "guide/panels.rs"]
mod panels;

use flowlet::write::{Base, Component, LatentDescription};
use flowlet::{Latent, LatentTerms};
use flowlet_tools::family::Family;
use flowlet_tools::latent::fit::{Options, fit};
use flowlet_tools::latent::prior::Prior;
use flowlet_tools::latent::start::Components;
use flowlet_tools::latent::twin::{Decoder, Posterior};
use flowlet_tools::latent::{export, points, prior};
use flowlet_tools::rows::dataset::Dataset;
use flowlet_tools::rows::standardise::{self, Column};
use flowlet_tools::training::export::quantiles;
use panels::{BLUE, INK, ORANGE, Panel};
use plotters::style::RGBColor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Sensors of the pump, and numbers that a row is encoded to.
const SENSORS: [&str; 6] = ["flow", "pressure", "power", "current", "vibration", "heat"];
const LATENTS: usize = 2;
/// Its speeds, which are the modes.
const SPEEDS: usize = 4;
/// A colour for each, which people who do not see red and green can tell apart.
const COLOURS: [RGBColor; SPEEDS] = [BLUE, ORANGE, RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
/// Points of the bound.
const POINTS: usize = 32;
const SEED: u64 = 0;

type Pump<'m> = Latent<'m, { SENSORS.len() }, LATENTS, 64>;
type Row = [f32; SENSORS.len()];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let (training, validation) = (dataset(2000, &mut random), dataset(500, &mut random));
    let columns = standardise::fit(&training, 0, &[], &[0.0; SENSORS.len()])?;
    let flow = Posterior::Flow { family: Family::Iaf, layers: 2, hidden: vec![64] };
    let mixture = modes(&training, &columns);
    let mut models = Vec::new();
    for (name, posterior, prior) in [
        ("a Gaussian posterior and the prior N(0, I)", Posterior::Gaussian, Prior::Normal),
        ("a Gaussian posterior and a mixture prior", Posterior::Gaussian, mixture.clone()),
        ("a flow posterior and a mixture prior", flow, mixture),
    ] {
        let fitted = fit(&options(posterior, prior), &training, &validation, &columns, |_| {})?;
        println!("{name}: validation bound {:.3} nats", fitted.best.validation.elbo);
        let points = points::normal(POINTS, LATENTS, SEED);
        let quantiles = quantiles(&training, SENSORS.len());
        let model = export::describe(&fitted, &columns);
        models.push(LatentDescription { points, quantiles, ..model });
    }

    // From here on, it is the device's code.
    let components = components(&models[1]);
    let files: Vec<_> = models.iter().map(LatentDescription::to_file).collect();
    let [normal, modes, flow] = &files[..] else { return Err("three models".into()) };
    let without_modes = Pump::from_bytes(normal.bytes())?;
    let pump = Pump::from_bytes(modes.bytes())?;
    let rows: Vec<(Row, usize)> = (0..800).map(|number| row(number, &mut random)).collect();
    let mut codes = vec![Vec::new(); SPEEDS];
    let (mut by_mode, mut samples) = (codes.clone(), codes.clone());
    let mut seen = [[0; SPEEDS]; SPEEDS];
    for (x, speed) in &rows {
        codes[*speed].push(without_modes.encode(x)?);
        let (mode, _) = pump.mode::<SPEEDS>(x)?;
        by_mode[mode].push(pump.encode(x)?);
        seen[mode][*speed] += 1;
        let drawn = pump.sample(&mut random, 1.0)?;
        samples[pump.mode::<SPEEDS>(&drawn)?.0].push([drawn[0], drawn[4]]);
    }
    // A mode has the colour of the speed that most of its rows have.
    let speeds = seen.map(|of_mode| (0..SPEEDS).max_by_key(|speed| of_mode[*speed]).unwrap_or(0));
    let most: usize = seen.iter().flat_map(|of_mode| of_mode.iter().max()).sum();
    println!("{most} of {} rows have the speed of most rows of their mode", rows.len());

    let (x, _) = rows[0];
    let code = pump.encode(&x)?;
    println!("{x:.2?}\n  is encoded to {code:.2?}, decoded to {:.2?}", pump.decode(&code)?);
    let mut faulty = x;
    faulty[4] += 1.0;
    println!(
        "  with 1 more vibration the score rises from {:.1} to {:.1}",
        pump.score(&x)?,
        pump.score(&faulty)?
    );
    println!("  its residuals are {:.1?}", pump.residuals(&faulty)?);
    println!("  its attribution is {:.1?}", pump.attribute(&faulty)?);
    let LatentTerms { reconstruction, prior, posterior } = pump.terms(&x)?;
    println!("  reconstruction {reconstruction:.2}, prior {prior:.2}, posterior {posterior:.2}");
    for (name, file) in [("Gaussian", modes), ("flow", flow)] {
        let latent = Pump::from_bytes(file.bytes())?;
        let (one, all) = (bound(&latent, &rows, 1)?, bound(&latent, &rows, POINTS)?);
        println!("{name} posterior: bound {one:.3} with 1 point, {all:.3} with {POINTS}");
    }

    let panel = |title, axes, ranges, colours: [usize; SPEEDS], points: Vec<Vec<[f32; 2]>>| Panel {
        title,
        axes,
        ranges,
        points: colours.map(|speed| COLOURS[speed]).into_iter().zip(points).collect(),
        lines: vec![],
    };
    let own = std::array::from_fn(|speed| speed);
    let (latent, square) = (["z1", "z2"], [-3.2..3.2, -3.2..3.2]);
    let plain = panel("prior N(0, I): codes by speed", latent, square.clone(), own, codes);
    let mut found = panel("mixture prior: codes by mode", latent, square, speeds, by_mode);
    found.lines = components.iter().map(|component| (INK, ellipse(component))).collect();
    let (sensors, range) = (["flow", "vibration"], [0.0..5.5, -0.2..2.6]);
    let panels = [plain, found, panel("samples by mode", sensors, range, speeds, samples)];
    panels::draw(&panels::path("latent"), "A pump's six sensors in two numbers", &panels)
}

/// Row number `number` and its speed, which sets the levels of the sensors; a load moves them within it.
fn row(number: usize, random: &mut ChaCha8Rng) -> (Row, usize) {
    let mut normal = || -> f32 { StandardNormal.sample(random) };
    let speed = number % SPEEDS;
    let level = [1.0, 2.2, 3.1, 4.4][speed];
    let load = 0.15 * normal();
    let sensors = [
        level + load,
        0.4 * level * level - load,
        1.5 * level + 0.5 * load,
        6.0 - level + 0.7 * load,
        [0.5, 2.0, 0.2, 1.4][speed] + 0.3 * load,
        20.0 + 2.0 * level,
    ];
    (sensors.map(|sensor| sensor + 0.05 * normal()), speed)
}

/// Rows as training takes them.
fn dataset(rows: usize, random: &mut ChaCha8Rng) -> Dataset {
    Dataset {
        path: "the pump".into(),
        names: SENSORS.map(String::from).into(),
        values: (0..rows).flat_map(|number| row(number, random).0.map(f64::from)).collect(),
        lines: (0..rows as u64).collect(),
        windows: Vec::new(),
        read: rows as u64,
    }
}

fn options(posterior: Posterior, prior: Prior) -> Options {
    Options {
        latents: LATENTS,
        hidden: vec![64, 64],
        likelihood: Decoder::Gaussian,
        posterior,
        prior,
        context: 0,
        epochs: 200,
        batch_size: 64,
        learning_rate: 2e-3,
        noise: 0.0,
        patience: 20,
        seed: SEED,
        time_limit: None,
    }
}

/// A mixture of as many components as the pump has speeds, which starts from clusters of the rows.
fn modes(training: &Dataset, columns: &[Column]) -> Prior {
    let rows = training.rows().flat_map(|row| row.iter().zip(columns));
    let rows: Vec<f32> = rows.map(|(x, column)| column.standardise(*x)).collect();
    let linear = Components::of(&rows, SENSORS.len(), LATENTS);
    prior::starts(&rows, SENSORS.len(), &linear, LATENTS, SPEEDS, SEED).swap_remove(0).1
}

/// The mean bound over `points` points, nats, raw units.
fn bound(latent: &Pump, rows: &[(Row, usize)], points: usize) -> Result<f32, flowlet::Error> {
    let mut memory = flowlet::LatentMemory::of(latent.model());
    let own = |(x, _): &(Row, usize)| {
        latent.model().given(&[]).bound_of(x, 0, points, &mut memory.scratch())
    };
    Ok(rows.iter().map(own).sum::<Result<f32, _>>()? / rows.len() as f32)
}

/// The components of a model's mixture prior.
fn components(model: &LatentDescription) -> Vec<Component> {
    match &model.prior.base {
        Base::Mixture(components) => components.clone(),
        _ => Vec::new(),
    }
}

/// Where a component's density is that of two standard deviations: |U (z - mean)| = 2.
fn ellipse(component: &Component) -> Vec<[f32; 2]> {
    let (mean, factor) = (&component.mean, &component.precision_factor);
    let (across, down) =
        (if factor.len() > LATENTS { factor[1] } else { 0.0 }, factor[factor.len() - 1]);
    let point = |step: u16| {
        let angle = f32::from(step) / 60.0 * std::f32::consts::TAU;
        let second = 2.0 * angle.sin() / down;
        let first = (2.0 * angle.cos() - across * second) / factor[0];
        [mean[0] + first, mean[1] + second]
    };
    (0..=60).map(point).collect()
}
