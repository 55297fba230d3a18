//! Reads the model that is to be embedded, and writes the type that fits it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use flowlet::signal::Recipe;
use flowlet::write::ModelFile;
use flowlet::{Error, LatentModel, Libm, Model};

fn main() {
    println!("cargo:rerun-if-env-changed=FLOWLET_MODEL");
    println!("cargo:rerun-if-changed=../machines");
    println!("cargo:rustc-link-search={}", memory_map().display());
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

/// Where the linker finds the memory.x of the machine that QEMU has this core on.
fn memory_map() -> PathBuf {
    // What is counted runs on the largest machine, which knows the instructions of the smaller cores.
    let is_counted = ["bench", "steps"].contains(&&*env::var("CARGO_PKG_NAME").unwrap());
    let machine = match &env::var("TARGET").unwrap()[..] {
        _ if is_counted => "mps2-an386",
        "thumbv6m-none-eabi" => "microbit",
        "thumbv8m.main-none-eabihf" => "mps2-an505",
        _ => "mps2-an386",
    };
    fs::canonicalize("../machines").unwrap().join(machine)
}

/// The type that fits the model, and its sizes; a latent model sets the cfg `latent` besides.
fn detector(file: &ModelFile) -> Result<String, Error> {
    let model = match Model::<Libm>::from_bytes(file.bytes()) {
        Err(Error::IsLatent) => return latent(file),
        model => model?,
    };
    let (features, width, context) = (model.features(), model.width(), model.context());
    let window = model.recipe().map_or(String::new(), window);
    Ok(format!(
        "/// The flow that fits the embedded model: {features} features, layers of up to {width} \
         units, {context} context values.\n\
         type Detector<'m> = flowlet::Flow<'m, {features}, {width}, flowlet::Libm, {context}>;\n\
         {window}{}",
        sizes(features, context)
    ))
}

/// The window that fits a model of a signal.
fn window(recipe: Recipe) -> String {
    let (channels, length) = (recipe.channels(), recipe.window());
    format!(
        "/// The window that fits: {channels} channels, {length} samples.\n\
         #[allow(dead_code)]\ntype SignalWindow = \
         flowlet::signal::Window<'static, CHANNELS, {length}, FEATURES, CONTEXT>;\n\
         /// Channels of a sample.\n#[allow(dead_code)]\nconst CHANNELS: usize = {channels};\n"
    )
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
