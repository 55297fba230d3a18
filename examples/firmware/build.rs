//! Reads the model that is to be embedded, and writes the type that fits it.

use std::path::Path;
use std::{env, fs};

use flowlet::write::ModelFile;
use flowlet::{Error, LatentModel, Libm, Model};

fn main() {
    println!("cargo:rerun-if-env-changed=FLOWLET_MODEL");
    println!("cargo:rerun-if-changed=../memory.x");
    println!("cargo:rustc-link-search={}", fs::canonicalize("..").unwrap().display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rustc-link-arg=--nmagic");
    if env::var("CARGO_PKG_NAME").is_ok_and(|name| name == "score") {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }

    let path = env::var("FLOWLET_MODEL").unwrap_or_else(|_| {
        panic!("set FLOWLET_MODEL to the path of a model file, as `flowlet train` writes it")
    });
    let path = fs::canonicalize(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    println!("cargo:rerun-if-changed={}", path.display());
    println!("cargo:rustc-env=FLOWLET_MODEL={}", path.display());
    let file = ModelFile::new(&fs::read(&path).unwrap());
    println!("cargo:rustc-check-cfg=cfg(latent)");
    let detector = detector(&file).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("detector.rs"), detector).unwrap();
}

/// The type that fits the model, and its sizes; a latent model sets the cfg `latent` besides.
fn detector(file: &ModelFile) -> Result<String, Error> {
    let model = match Model::<Libm>::from_bytes(file.bytes()) {
        Err(Error::IsLatent) => return latent(file),
        model => model?,
    };
    let (features, width, context) = (model.features(), model.width(), model.context());
    Ok(format!(
        "/// The flow that fits the embedded model: {features} features, layers of up to {width} \
         units, {context} context values.\n\
         type Detector<'m> = flowlet::Flow<'m, {features}, {width}, flowlet::Libm, {context}>;\n\
         {}",
        sizes(features, context)
    ))
}

fn latent(file: &ModelFile) -> Result<String, Error> {
    println!("cargo:rustc-cfg=latent");
    let model = LatentModel::<Libm>::from_bytes(file.bytes())?;
    let (features, width, context) = (model.features(), model.width(), model.context());
    let (latents, modes) = (model.latents(), model.modes().unwrap_or(0));
    Ok(format!(
        "/// The latent model that fits the embedded one: {features} features, {latents} latent \
         values, layers of up to {width} units, {context} context values.\n\
         type Detector<'m> = \
         flowlet::Latent<'m, {features}, {latents}, {width}, flowlet::Libm, {context}>;\n\
         /// Values of a code.\n#[allow(dead_code)]\nconst LATENTS: usize = {latents};\n\
         /// Modes of a row, 0 where the prior is no mixture.\n\
         #[allow(dead_code)]\nconst MODES: usize = {modes};\n{}",
        sizes(features, context)
    ))
}

fn sizes(features: usize, context: usize) -> String {
    format!(
        "/// Values of a row.\nconst FEATURES: usize = {features};\n\
         /// Values behind them that the density is conditioned on.\n\
         const CONTEXT: usize = {context};\n"
    )
}
