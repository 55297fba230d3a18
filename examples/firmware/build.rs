//! Reads the model that is to be embedded, and writes the type that fits it.

use std::path::Path;
use std::{env, fs};

use flowlet::write::ModelFile;
use flowlet::{Error, Libm, Model};

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
    let [features, width, context] =
        sizes(&file).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let detector = format!(
        "/// The flow that fits the embedded model: {features} features, layers of up to {width} \
         units, {context} context values.\n\
         type Detector = flowlet::Flow<'static, {features}, {width}, flowlet::Libm, {context}>;\n\
         /// Values of a row.\nconst FEATURES: usize = {features};\n\
         /// Values behind them that the density is conditioned on.\n\
         const CONTEXT: usize = {context};\n"
    );
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("detector.rs"), detector).unwrap();
}

fn sizes(file: &ModelFile) -> Result<[usize; 3], Error> {
    let model = Model::<Libm>::from_bytes(file.bytes())?;
    Ok([model.features(), model.width(), model.context()])
}
