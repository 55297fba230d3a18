//! Guide, step 1: one coupling, its Jacobian, and what it makes of a normal density.
//!
//! `cargo run --release -p flowlet-tools --example guide_1_bijection [PICTURE.svg]`

#[path = "guide/panels.rs"]
mod panels;

use flowlet::bijection::Half;
use flowlet::write::{Description, Feature, Layer, Linear};
use flowlet::{Flow, ScalarMap};
use panels::{BLUE, INK, ORANGE, Panel};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = description().to_file();
    let flow = Flow::<2, 8>::from_bytes(file.bytes())?;

    // The log-determinant is the logarithm of how much the map enlarges a small square.
    let z = [0.6, -0.4];
    let (x, log_det_jacobian) = flow.forward(&z)?;
    let step = 1e-2;
    let ([a, b], _) = flow.forward(&[z[0] + step, z[1]])?;
    let ([c, d], _) = flow.forward(&[z[0], z[1] + step])?;
    let area = (a - x[0]) * (d - x[1]) - (b - x[1]) * (c - x[0]);
    println!("forward of {z:?} is {x:?}");
    println!(
        "log |det dx/dz| {log_det_jacobian:.4}, by differences {:.4}",
        (area / step / step).ln()
    );

    // So log p(x) = log p(z) - log |det dx/dz|, p(z) being N(0, I).
    let log_base = -0.5 * (z[0] * z[0] + z[1] * z[1]) - (2.0 * std::f32::consts::PI).ln();
    println!(
        "log-density of x {:.4}, by the formula {:.4}",
        flow.log_density(&x)?,
        log_base - log_det_jacobian
    );

    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut panels = [("base samples z", ["z1", "z2"]), ("rows x = forward(z)", ["x1", "x2"])].map(
        |(title, axes)| {
            let ranges = [-3.5..3.5, -3.5..4.5];
            Panel { title, axes, ranges, points: vec![(BLUE, vec![])], lines: vec![] }
        },
    );
    for _ in 0..400 {
        let x = flow.sample(&mut random, 1.0)?;
        panels[0].points[0].1.push(flow.inverse(&x)?.0);
        panels[1].points[0].1.push(x);
    }
    for (colour, swap) in [(INK, false), (ORANGE, true)] {
        for line in -3..=3 {
            let along = (-60..=60).map(|step| step as f32 / 20.0);
            let at = |t| if swap { [t, line as f32] } else { [line as f32, t] };
            let z: Vec<[f32; 2]> = along.map(at).collect();
            let x =
                z.iter().map(|z| Ok(flow.forward(z)?.0)).collect::<Result<_, flowlet::Error>>()?;
            panels[0].lines.push((colour, z));
            panels[1].lines.push((colour, x));
        }
    }
    panels::draw(
        &panels::path("bijection"),
        "A bijection bends space, and densities with it",
        &panels,
    )
}

/// x1 = z1, x2 = z2 exp(s) + |z1|, s = z1 / 4 - 1 / 5 but for its soft clip.
fn description() -> Description {
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
    // Two hidden units, max(z1, 0) and max(-z1, 0); the outputs are the shift and the raw log-scale.
    let hidden = Linear { rows: 2, columns: 1, weights: vec![1.0, -1.0], bias: vec![0.0; 2] };
    let outputs =
        Linear { rows: 2, columns: 2, weights: vec![1.0, 1.0, 0.25, -0.25], bias: vec![0.0, -0.2] };
    Description {
        features: vec![feature("x1"), feature("x2")],
        layers: vec![Layer::Coupling {
            transformed: Half::Second,
            map: ScalarMap::Affine { clip: 2.0 },
            network: vec![hidden, outputs],
        }],
        ..Description::default()
    }
}
