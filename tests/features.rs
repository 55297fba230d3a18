//! A file that needs a part which this build leaves out says which Cargo feature adds it.

mod models;

use flowlet::bijection::Kind;
use flowlet::{Error, Libm, Model};
use models::{bases, circular, conditional, ensembles, examples, images};

fn is_on(feature: &str) -> bool {
    match feature {
        "autoregressive" => cfg!(feature = "autoregressive"),
        "context" => cfg!(feature = "context"),
        "ensemble" => cfg!(feature = "ensemble"),
        "latent" => cfg!(feature = "latent"),
        "linear" => cfg!(feature = "linear"),
        "marginal" => cfg!(feature = "marginal"),
        "signal" => cfg!(feature = "signal"),
        "mixture" => cfg!(feature = "mixture"),
        "spline" => cfg!(feature = "spline"),
        "student-t" => cfg!(feature = "student-t"),
        unknown => panic!("{unknown} is no feature of the crate"),
    }
}

#[test]
fn a_missing_part_is_named() {
    let kinds = Kind::ALL.iter().flat_map(|kind| examples(*kind, 1));
    let others = bases(1).into_iter().chain(conditional(1)).chain(circular(1)).chain(images(1));
    for example in kinds.chain(others).chain(ensembles(1)) {
        let file = example.description.to_file();
        match Model::<Libm>::from_bytes(file.bytes()) {
            Ok(model) => {
                let needed = model.cargo_features();
                needed.for_each(|name| assert!(is_on(name), "{} without {name}", example.name));
            }
            Err(Error::Feature { name }) => assert!(!is_on(name), "{}: {name}", example.name),
            Err(other) => panic!("{}: {other}", example.name),
        }
    }
}

/// Who has the rows needs no windows.
#[test]
fn a_file_of_a_signal_scores_rows_without_that_part() {
    let file = flowlet::write::ModelFile::new(include_bytes!("golden/signal.flow"));
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("a section that may be skipped");
    assert_eq!(model.self_test(&mut flowlet::Memory::of(&model).scratch()), Ok(2));
    let needs_it = model.cargo_features().any(|name| name == "signal");
    assert_eq!(needs_it, cfg!(feature = "signal"));
}

#[test]
fn a_latent_model_needs_its_own_part() {
    let bytes = include_bytes!("golden/latent.flow");
    let file = flowlet::write::ModelFile::new(bytes);
    assert_eq!(Model::<Libm>::from_bytes(file.bytes()).map(|_| ()), Err(Error::IsLatent));
    #[cfg(feature = "latent")]
    for example in models::latent::examples(1) {
        let file = example.description.to_file();
        match flowlet::LatentModel::<Libm>::from_bytes(file.bytes()) {
            Ok(model) => {
                let needed = model.cargo_features();
                needed.for_each(|name| assert!(is_on(name), "{} without {name}", example.name));
            }
            Err(Error::Feature { name }) => assert!(!is_on(name), "{}: {name}", example.name),
            Err(other) => panic!("{}: {other}", example.name),
        }
    }
}
