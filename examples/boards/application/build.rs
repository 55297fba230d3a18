//! Reads the model that is to be embedded, and writes the types that fit it.

use std::path::Path;
use std::{env, fs};

use flowlet::write::ModelFile;
use flowlet::{Libm, Model};

/// Of the fan that is only computed.
const SIMULATED: &str = "../model.flow";

fn main() {
    println!("cargo:rerun-if-env-changed=FLOWLET_MODEL");
    let given = env::var("FLOWLET_MODEL").ok();
    let path = given.as_deref().unwrap_or(SIMULATED);
    let path = fs::canonicalize(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    println!("cargo:rerun-if-changed={}", path.display());
    println!("cargo:rustc-env=FLOWLET_MODEL={}", path.display());
    let file = ModelFile::new(&fs::read(&path).unwrap());
    let model = Model::<Libm>::from_bytes(file.bytes())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (features, width, context) = (model.features(), model.width(), model.context());
    let types = format!(
        "/// The flow that fits the embedded model: {features} features, layers of up to {width} \
         units, {context} context values.\n\
         type Detector = flowlet::Flow<'static, {features}, {width}, flowlet::Libm, {context}>;\n\
         /// Values of a row.\npub const FEATURES: usize = {features};\n\
         /// Values that the density is conditioned on.\npub const CONTEXT: usize = {context};\n\
         /// Whether the model is of the fan that is only computed.\n\
         pub const IS_SIMULATED: bool = {};\n",
        given.is_none()
    );
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("model.rs"), types).unwrap();
}
