//! Reads the model that is to be embedded, and writes the types that fit it.

use std::path::Path;
use std::{env, fs};

use flowlet::write::ModelFile;
use flowlet::{Libm, Model};

/// Of the fan that is only computed.
const SIMULATED: &str = "../model.flow";

/// As in the crate.
const CHANNELS: [&str; 3] = ["x", "y", "z"];
const RATE: f32 = 400.0;

fn main() {
    println!("cargo:rerun-if-env-changed=FLOWLET_MODEL");
    let given = env::var("FLOWLET_MODEL").ok();
    let path = given.as_deref().unwrap_or(SIMULATED);
    let path = fs::canonicalize(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    println!("cargo:rerun-if-changed={}", path.display());
    println!("cargo:rustc-env=FLOWLET_MODEL={}", path.display());
    let file = ModelFile::new(&fs::read(&path).unwrap());
    let types =
        types(&file, given.is_none()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("model.rs"), types).unwrap();
}

/// The sizes of the embedded model.
fn types(file: &ModelFile, is_simulated: bool) -> Result<String, String> {
    let model = Model::<Libm>::from_bytes(file.bytes()).map_err(|error| error.to_string())?;
    let recipe = model.recipe().map_err(|error| error.to_string())?;
    if model.context() > 0 {
        return Err(
            "its density is conditioned on a context, which these boards do not measure".into()
        );
    }
    let channels: Vec<_> = recipe.channel_names().map(|[name, _]| name).collect();
    if channels != CHANNELS {
        return Err(format!("its channels are {channels:?}; an accelerometer's are {CHANNELS:?}"));
    }
    if (recipe.rate() - RATE).abs() > 0.1 * RATE {
        return Err(format!(
            "its signal has {} samples a second; these boards take {RATE}",
            recipe.rate()
        ));
    }
    let (features, width, length) = (model.features(), model.width(), recipe.window());
    Ok(format!(
        "/// Features of a row.\npub const FEATURES: usize = {features};\n\
         /// Hidden units of the widest layer.\nconst WIDTH: usize = {width};\n\
         /// Samples of a window.\nconst LENGTH: usize = {length};\n\
         /// Whether the model is of the fan that is only computed.\n\
         pub const IS_SIMULATED: bool = {is_simulated};\n"
    ))
}
