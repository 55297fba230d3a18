//! How near flows come to posteriors whose log evidence is known: a line of JSON for each figure, for
//! `cargo xtask bench --latent`.
//!
//! `cargo run --release -p flowlet-tools --example known_posteriors [SEED]`

use burn::tensor::Device;
use flowlet_tools::error::Result;
use flowlet_tools::family::Family;
use flowlet_tools::inference::amortised;
use flowlet_tools::inference::descent::Schedule;
use flowlet_tools::inference::latent::{
    BimodalPosterior, CurvedPosterior, LatentModel, LinearGaussian,
};
use flowlet_tools::inference::target::Known;
use flowlet_tools::inference::target::banana::Banana;
use flowlet_tools::inference::target::eight_schools::{EightSchools, Parameters};
use flowlet_tools::inference::target::funnel::Funnel;
use flowlet_tools::inference::target::regression::Regression;
use flowlet_tools::inference::{Options, fit_posterior};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Rows that an amortised posterior is judged by, and draws of each.
const JUDGED: (usize, usize) = (300, 256);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(0), |seed| seed.parse());
    let seed: u64 = seed.map_err(|error| format!("SEED: {error}"))?;
    let print = |name: &str, value: f64| {
        println!("{}", serde_json::json!({ "name": name, "seed": seed, "value": value }));
    };
    let fitted = |name: &str, target: &dyn Judged| -> Result<()> {
        let (gap, effective_share) = target.judge(seed)?;
        print(&format!("{name}_gap"), gap);
        print(&format!("{name}_effective_share"), effective_share);
        Ok(())
    };
    fitted("regression", &Regression::default())?;
    fitted("banana", &Banana)?;
    fitted("schools_non_centred", &EightSchools(Parameters::NonCentred))?;
    fitted("schools_centred", &EightSchools(Parameters::Centred))?;
    fitted("funnel", &Funnel)?;
    amortised("linear_gaussian", &LinearGaussian, 2, 1000, seed, print)?;
    amortised("banana_posterior", &CurvedPosterior, 4, 2000, seed, print)?;
    amortised("bimodal_posterior", &BimodalPosterior, 4, 3000, seed, print)?;
    Ok(())
}

/// A target as an object.
trait Judged {
    /// Gap to the log evidence, and ESS/N.
    fn judge(&self, seed: u64) -> Result<(f64, f64)>;
}

impl<T: Known> Judged for T {
    fn judge(&self, seed: u64) -> Result<(f64, f64)> {
        let options = Options { seed, ..self.options() };
        let diagnostics = fit_posterior(self, &options)?.diagnostics;
        Ok((self.log_evidence() - diagnostics.elbo, diagnostics.effective_share))
    }
}

/// The gap of one posterior for all rows, of a Real NVP with so many couplings and of a diagonal
/// Gaussian.
fn amortised(
    name: &str,
    model: &impl LatentModel,
    couplings: usize,
    steps: usize,
    seed: u64,
    print: impl Fn(&str, f64),
) -> Result<()> {
    let (rows, draws) = JUDGED;
    let x = model.draw(rows, &mut ChaCha8Rng::seed_from_u64(!seed), &Device::flex());
    for (kind, flow) in [("flow", Some((Family::RealNvp, couplings))), ("diagonal", None)] {
        let schedule = Schedule { steps, learning_rate: 2e-3 };
        let options = amortised::Options { flow, schedule, rows: 128, draws: 4, seed };
        let posterior = amortised::fit(model, &options)?;
        print(&format!("{name}_{kind}_gap"), posterior.gap(model, x.clone(), draws, seed));
    }
    Ok(())
}
