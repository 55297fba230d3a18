//! A curved ridge: a flow bends to it, which a Gaussian cannot.
//!
//! `cargo run --release -p flowlet-tools --example banana [MODEL.flow]`

use std::path::Path;

use flowlet_tools::error::Result;
use flowlet_tools::inference::fit_posterior;
use flowlet_tools::inference::target::banana::Banana;
use flowlet_tools::inference::target::{Known, Target};

fn main() -> Result<()> {
    let target = Banana;
    let posterior = fit_posterior(&target, &target.options())?;
    let gap = target.log_evidence() - posterior.diagnostics.elbo;
    println!("{}: gap to the log evidence {gap:.4} nats", target.name());
    println!("{}", posterior.diagnostics);
    std::env::args().nth(1).map_or(Ok(()), |path| posterior.write(Path::new(&path)))
}
