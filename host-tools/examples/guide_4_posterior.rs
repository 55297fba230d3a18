//! Guide, step 4: one posterior q(z | x) for all rows of a latent variable model, and what the flow
//! brings over a Gaussian.
//!
//! `cargo run --release -p flowlet-tools --example guide_4_posterior [PICTURE.svg]`

#[path = "guide/panels.rs"]
mod panels;

use burn::tensor::{Device, Tensor, TensorData};
use flowlet_tools::family::Family;
use flowlet_tools::inference::amortised::{self, Options};
use flowlet_tools::inference::descent::Schedule;
use flowlet_tools::inference::latent::{CurvedPosterior, LatentModel};
use panels::{BLUE, ORANGE, Panel};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// The row whose posteriors are shown.
const ROW: [f32; 2] = [0.8, 0.0];
/// Draws in the picture.
const DRAWS: usize = 800;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = CurvedPosterior;
    let device = Device::flex();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let judged = model.draw(300, &mut random, &device);
    let row = || Tensor::<2>::from_data(TensorData::new(ROW.to_vec(), [1, 2]), &device);
    let panel = |title, colour, points| {
        let (axes, ranges) = (["z1", "z2"], [-3.0..3.0, -4.0..2.5]);
        Panel { title, axes, ranges, points: vec![(colour, points)], lines: vec![] }
    };
    let truth = true_posterior(&model, row(), &mut random);
    let mut panels = vec![panel("the true posterior", ORANGE, truth)];
    let kinds =
        [("a diagonal Gaussian", None), ("a flow of four couplings", Some((Family::RealNvp, 4)))];
    for (title, flow) in kinds {
        let schedule = Schedule { steps: 2000, learning_rate: 2e-3 };
        let options = Options { flow, schedule, rows: 128, draws: 4, seed: 0 };
        let posterior = amortised::fit(&model, &options)?;
        let gap = posterior.gap(&model, judged.clone(), 256, 0);
        println!("{title}: gap to log p(x) {gap:.4} nats in the mean over 300 rows");
        let z = posterior.sample(row(), DRAWS, &mut random);
        let z: Vec<f32> = z.into_data().try_to_vec().expect("made of f32");
        panels.push(panel(title, BLUE, z.chunks(2).map(|z| [z[0], z[1]]).collect()));
    }
    panels::draw(
        &panels::path("posterior"),
        "The posterior of one row, and two fits to it",
        &panels,
    )
}

/// Draws of the prior, kept in proportion to their likelihood.
fn true_posterior(
    model: &impl LatentModel,
    x: Tensor<2>,
    random: &mut ChaCha8Rng,
) -> Vec<[f32; 2]> {
    let count = 100_000;
    let z: Vec<f32> = (0..2 * count).map(|_| StandardNormal.sample(random)).collect();
    let rows = Tensor::<2>::from_data(TensorData::new(z.clone(), [count, 2]), &x.device());
    let log_joint = model.log_joint(x.repeat_dim(0, count), rows);
    let log_joint: Vec<f32> = log_joint.into_data().try_to_vec().expect("made of f32");
    let log_likelihood = |(z, joint): (&[f32], f32)| joint + 0.5 * (z[0] * z[0] + z[1] * z[1]);
    let likelihoods: Vec<f32> = z.chunks(2).zip(log_joint).map(log_likelihood).collect();
    let largest = likelihoods.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let kept = z.chunks(2).zip(likelihoods);
    let kept = kept.filter(|(_, own)| random.random::<f32>() < (own - largest).exp());
    kept.map(|(z, _)| [z[0], z[1]]).take(DRAWS).collect()
}
