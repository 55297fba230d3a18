//! Guide, step 3: a flow is fitted to a density that has no rows, Neal's funnel, and judged.
//!
//! `cargo run --release -p flowlet-tools --example guide_3_inference [PICTURE.svg]`

#[path = "guide/panels.rs"]
mod panels;

use flowlet::Flow;
use flowlet_tools::family::Family;
use flowlet_tools::inference::target::funnel::Funnel;
use flowlet_tools::inference::target::{Known, Target};
use flowlet_tools::inference::{Options, fit_posterior};
use panels::{BLUE, ORANGE, Panel};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Draws in the picture.
const DRAWS: usize = 800;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut normal = || -> f32 { StandardNormal.sample(&mut random) };
    let mut truth = Vec::new();
    for _ in 0..DRAWS {
        let v = 3.0 * normal();
        truth.push([(0.5 * v).exp() * normal(), v]);
    }
    let panel = |title, colour, points| {
        let (axes, ranges) = (["x1", "v"], [-15.0..15.0, -9.0..9.0]);
        Panel { title, axes, ranges, points: vec![(colour, points)], lines: vec![] }
    };
    let mut panels = vec![panel("the density itself", ORANGE, truth)];
    let best = Funnel.options();
    let couplings = Options { schedule: best.schedule, ..Options::new(Family::RealNvp, Some(4)) };
    for (title, options) in [("four couplings", couplings), ("three autoregressive layers", best)] {
        let posterior = fit_posterior(&Funnel, &options)?;
        let gap = Funnel.log_evidence() - posterior.diagnostics.elbo;
        println!("{}, {title}: gap {gap:.4} nats\n{}", Funnel.name(), posterior.diagnostics);
        let flow = Flow::<10, 64>::from_bytes(posterior.file.bytes())?;
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let draw = |_| flow.sample(&mut random, 1.0).map(|[v, x, ..]| [x, v]);
        panels.push(panel(title, BLUE, (0..DRAWS).map(draw).collect::<Result<_, _>>()?));
    }
    panels::draw(&panels::path("inference"), "Neal's funnel and two flows fitted to it", &panels)
}
