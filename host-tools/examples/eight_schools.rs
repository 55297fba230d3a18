//! Eight schools, in centred and in non-centred parameters: one posterior, of which only the second
//! form is easy.
//!
//! `cargo run --release -p flowlet-tools --example eight_schools [MODEL.flow]` writes the second one.

use std::path::Path;

use flowlet_tools::error::Result;
use flowlet_tools::inference::target::eight_schools::{EightSchools, Parameters};
use flowlet_tools::inference::target::{Known, Target};
use flowlet_tools::inference::{Posterior, fit_posterior};

fn main() -> Result<()> {
    fit(Parameters::Centred)?;
    let posterior = fit(Parameters::NonCentred)?;
    std::env::args().nth(1).map_or(Ok(()), |path| posterior.write(Path::new(&path)))
}

fn fit(parameters: Parameters) -> Result<Posterior> {
    let target = EightSchools(parameters);
    let posterior = fit_posterior(&target, &target.options())?;
    let gap = target.log_evidence() - posterior.diagnostics.elbo;
    println!("{}: gap to the log evidence {gap:.4} nats", target.name());
    println!("{}", posterior.diagnostics);
    Ok(posterior)
}
