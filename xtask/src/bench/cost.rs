//! `cargo xtask bench NAME`: what a row costs on a Cortex-M4.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::data::{self, Data, Rows};
use crate::host_tool::HostTool;
use crate::measure::{self, FEW, Measurement};
use crate::models;

/// The model that is trained, its figures held against limits.
const TRAINED: &str = "real_nvp_d8_5x64x64";

/// Measures the models whose names contain one of `parts`, or is `all`; the trained one alone
/// where there are none.
pub fn run(parts: &[String]) -> Result<Vec<Measurement>> {
    let folder = crate::results("bench")?;
    let wanted = |name: &str| parts.iter().any(|part| part == "all" || name.contains(part));
    let mut measurements = Vec::new();
    if parts.is_empty() || wanted(TRAINED) {
        measurements.extend(trained(&folder)?);
    }
    // The trained model stands for the random one of the same name.
    let flows = models::all().into_iter().filter(|(name, _)| name != TRAINED);
    let flows = flows.map(|(name, model)| (name, model.features.len(), model.to_file()));
    let latents = models::latents().into_iter();
    let latents = latents.map(|(name, model)| (name, model.features.len(), model.to_file()));
    for (name, features, file) in flows.chain(latents).filter(|(name, ..)| wanted(name)) {
        println!("measuring {name}");
        let model = folder.join("random.flow");
        std::fs::write(&model, file.bytes())?;
        let rows = Rows(models::rows(FEW, features));
        measurements.extend(measure::measure(&name, &model, &rows, &folder)?);
    }
    ensure!(!measurements.is_empty(), "no model is called {}", parts.join(" or "));

    println!("{}", measure::table(&measurements));
    println!("Cycles by the timing tables of the Cortex-M4's manual, without flash wait states.");
    let path = folder.join("bench.json");
    crate::write_json(&path, &serde_json::json!({ "rows": measurements }))?;
    println!("written: {}", path.display());
    Ok(measurements)
}

/// Trains [`TRAINED`] and weighs it on typical rows, and its density in the worst case.
fn trained(folder: &Path) -> Result<Vec<Measurement>> {
    let data = Data::find(Path::new(data::BUNDLED))?;
    let model = folder.join("real_nvp_d8.flow");
    let flowlet = HostTool::build()?;
    let options = crate::words(
        "--family real-nvp --base standard-normal --exclude f9 --layers 5 --hidden 64,64",
    );
    flowlet.train(&data, &options, &model)?;
    let rows = Rows::read(&data.test, &flowlet, &model)?;

    let mut measurements = measure::measure(TRAINED, &model, &rows, folder)?;
    let worst = folder.join("real_nvp_d8_worst.flow");
    std::fs::write(&worst, models::all_units_active().to_file().bytes())?;
    let mut costs = measure::measure("worst", &worst, &rows, folder)?;
    costs.retain(|measurement| measurement.name == "worst/log_density");
    for mut measurement in costs {
        measurement.name = format!("{TRAINED}/log_density_worst");
        measurements.insert(1, measurement);
    }
    Ok(measurements)
}
