//! Guide, step 2: a flow learns rows by maximum likelihood, and a firmware's code samples it.
//!
//! `cargo run --release -p flowlet-tools --example guide_2_flow [PICTURE.svg]`

#[path = "guide/panels.rs"]
mod panels;

use burn::tensor::{Device, Tensor, TensorData};
use flowlet::Periodic;
use flowlet::write::{Description, Feature};
use flowlet_tools::family::{Architecture, Base, Family, Flow, Sizes};
use flowlet_tools::inference::descent::{Schedule, descend};
use panels::{BLUE, ORANGE, Panel};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Rows of one step.
const ROWS: usize = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let architecture = Architecture {
        family: Family::RealNvp,
        layers: 8,
        hidden: vec![64, 64],
        base: Base::StandardNormal,
        image: None,
    };
    let sizes = Sizes { features: 2, context: 0, periodic: Periodic::default() };
    let flow = Flow::new(&architecture, sizes, &mut random, &device);

    // Maximum likelihood: the rows' mean log-density, by the inverse direction, is raised.
    let schedule = Schedule { steps: 3000, learning_rate: 3e-3 };
    let flow = descend(flow, schedule, |flow| {
        let rows = moons(ROWS, &mut random).concat();
        let rows = Tensor::from_data(TensorData::new(rows, [ROWS, 2]), &device);
        -flow.log_density(rows).mean()
    })?;

    // From here on, it is the device's code.
    let feature = |name: &str| Feature {
        name: name.into(),
        centre: 0.0,
        scale: 1.0,
        low: -3.0,
        high: 3.0,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    let (layers, base) = flow.export();
    let features = vec![feature("x1"), feature("x2")];
    let file = Description { features, layers, base, ..Description::default() }.to_file();
    let flow = flowlet::Flow::<2, 64>::from_bytes(file.bytes())?;
    let rows = moons(600, &mut random);
    let samples: Vec<[f32; 2]> =
        (0..600).map(|_| flow.sample(&mut random, 1.0)).collect::<Result<_, _>>()?;
    let codes: Vec<[f32; 2]> =
        rows.iter().map(|row| Ok(flow.inverse(row)?.0)).collect::<Result<_, flowlet::Error>>()?;
    let mean = rows.iter().map(|row| flow.log_density(row)).sum::<Result<f32, _>>()? / 600.0;
    println!(
        "a model file of {} bytes, mean log-density of new rows {mean:.3}",
        file.bytes().len()
    );

    let panel = |title, axes, colour, points| {
        let (ranges, lines) = ([-3.2..3.2, -3.2..3.2], vec![]);
        Panel { title, axes, ranges, points: vec![(colour, points)], lines }
    };
    let panels = [
        panel("rows", ["x1", "x2"], ORANGE, rows),
        panel("the rows' base samples, inverse(x)", ["z1", "z2"], ORANGE, codes),
        panel("samples of the flow", ["x1", "x2"], BLUE, samples),
    ];
    panels::draw(&panels::path("flow"), "A flow makes rows normal, and normal draws rows", &panels)
}

/// Two half-circles that reach into each other.
fn moons(count: usize, random: &mut ChaCha8Rng) -> Vec<[f32; 2]> {
    let mut moon = |number: usize| {
        let angle = random.random_range(0.0..std::f32::consts::PI);
        let side = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
        let mut noise = || -> f32 {
            0.12 * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, random)
        };
        [1.5 * angle.cos() - 0.75 * side + noise(), side * (1.5 * angle.sin() - 0.4) + noise()]
    };
    (0..count).map(&mut moon).collect()
}
