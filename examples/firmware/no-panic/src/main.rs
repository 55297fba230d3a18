//! Links only where no panic can be reached from any function of the crate.
//!
//! The panic handler calls a function that does not exist. It is dropped, and the call with it,
//! only if nothing panics.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use flowlet::bijection::Layer;
use flowlet::{Base, Degrees, Error, Flow, Libm, Math, Member, Periodic};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    unsafe extern "C" {
        fn a_panic_is_reachable() -> !;
    }
    // SAFETY: never linked.
    unsafe { a_panic_is_reachable() }
}

#[entry]
fn main() -> ! {
    let bytes: &[u8] = black_box(&[]);
    let _ = black_box(everything::<Libm>(bytes));
    #[cfg(feature = "micromath")]
    let _ = black_box(everything::<flowlet::Micromath>(bytes));
    #[cfg(feature = "planted")]
    black_box(bytes[black_box(1)]);
    loop {
        core::hint::spin_loop();
    }
}

/// Every function of the crate's interface, on a file and rows that the compiler cannot know.
fn everything<M: Math>(bytes: &'static [u8]) -> Result<f32, Error> {
    let x = black_box([0.5; 9]);
    let mut random = ChaCha8Rng::seed_from_u64(black_box(0));
    let flow = match black_box(true) {
        true => Flow::<9, 64, M>::from_bytes(bytes)?,
        false => Flow::<9, 64, M>::from_slot(bytes)?,
    };
    let given = Flow::<9, 64, M, 3>::from_bytes(bytes)?;
    let context = black_box([0.5; 3]);
    given.expect_context(black_box(&["a"; 3]))?;
    let at = given.given(&context);
    black_box((at.is_anomaly_at(&x, black_box(0.1))?, at.score(&x)?, at.log_density(&x)?));
    black_box((at.is_anomaly(&x)?, at.forward(&x)?, at.inverse(&x)?));
    black_box(at.sample(&mut random, black_box(1.0))?);
    black_box((given.offset(black_box(11)), given.model().step(black_box(11))));
    given.model().context_names().for_each(touch);
    given.model().cargo_features().for_each(touch);
    flow.expect_features(black_box(&["a"; 9]))?;
    black_box(flow.self_test()?);
    black_box(flow.is_anomaly(&x)?);
    black_box(flow.is_anomaly_at(&x, black_box(0.1))?);
    black_box((flow.attribute(&x)?, at.attribute(&x)?));
    if let Some(quantiles) = flow.model().quantiles() {
        black_box((quantiles.count(), quantiles.of(black_box(70))));
    }
    black_box((flow.p_value(black_box(1.0))?, flow.threshold_at(black_box(0.1))?));
    if let Some(calibration) = flow.calibration() {
        calibration.quantiles().for_each(touch);
        calibration.thresholds().for_each(touch);
        black_box((calibration.rows(), calibration.tail()));
    }
    flow.model().score_kind().balances().for_each(touch);
    black_box(flow.forward(&x)?);
    black_box(flow.inverse(&x)?);
    black_box(flow.sample(&mut random, black_box(1.0))?);
    let model = flow.model();
    black_box((flow.threshold(), model.multiply_adds(), model.parameters(), model.provenance()));
    model.feature_names().for_each(touch);
    black_box((model.log_scale_sum(), model.log_shares()));
    for member in model.members() {
        view(member);
    }
    let degrees = Degrees { features: black_box(9), context: black_box(0) };
    let (layer, width) = (black_box(0), black_box(64));
    black_box(degrees.units(layer, width, degrees.degree(layer, width, black_box(3))));
    #[cfg(feature = "latent")]
    latent::<M>(bytes)?;
    Ok(flow.score(&x)? + flow.log_density(&x)?)
}

/// Every function of a latent model.
#[cfg(feature = "latent")]
fn latent<M: Math>(bytes: &'static [u8]) -> Result<(), Error> {
    let (x, z, context) = (black_box([0.5; 9]), black_box([0.5; 4]), black_box([0.5; 3]));
    let mut random = ChaCha8Rng::seed_from_u64(black_box(0));
    let latent = match black_box(true) {
        true => flowlet::Latent::<9, 4, 64, M>::from_bytes(bytes)?,
        false => flowlet::Latent::<9, 4, 64, M>::from_slot(bytes)?,
    };
    latent.expect_features(black_box(&["a"; 9]))?;
    black_box((latent.self_test()?, latent.threshold(), latent.offset(black_box(11))));
    black_box((latent.score(&x)?, latent.is_anomaly(&x)?, latent.terms(&x)?.log_weight()));
    black_box((latent.encode(&x)?, latent.decode(&z)?, latent.deviations(&z)?));
    black_box((latent.attribute(&x)?, latent.is_anomaly_at(&x, black_box(0.1))?));
    black_box((latent.residuals(&x)?, latent.bound(&x)?, latent.log_weight(&x, &z)?));
    black_box((latent.mode::<3>(&x)?, latent.sample(&mut random, black_box(1.0))?));
    let given = flowlet::Latent::<9, 4, 64, M, 3>::from_bytes(bytes)?;
    given.expect_context(black_box(&["a"; 3]))?;
    let at = given.given(&context);
    black_box((at.attribute(&x)?, latent.model().quantiles().map(|own| own.count())));
    black_box((at.score(&x)?, at.mode::<3>(&x)?, at.sample(&mut random, black_box(1.0))?));
    let model = latent.model();
    black_box((model.multiply_adds(), model.multiply_adds_of_a_point(), model.parameters()));
    black_box((model.likelihood(), model.summary(), model.modes(), model.points()));
    black_box((model.point(black_box(7)), model.step(black_box(7)), model.provenance()));
    model.feature_names().chain(model.context_names()).for_each(touch);
    model.cargo_features().for_each(touch);
    model.standardisations().chain(model.context_standardisations()).for_each(touch);
    model.encoder_hidden().chain(model.decoder_hidden()).for_each(touch);
    view(model.posterior());
    view(model.prior());
    Ok(())
}

/// Every view of a flow.
fn view(member: &Member<'static>) {
    black_box((member.width(), member.multiply_adds(), member.parameters()));
    black_box((member.log_scale_sum(), member.base().cargo_features()));
    member.standardisations().for_each(touch);
    member.context_standardisations().for_each(touch);
    member.cargo_features().for_each(touch);
    if let Base::Mixture(mixture) | Base::StudentTMixture { mixture, .. } = member.base() {
        black_box((mixture.components(), mixture.is_full()));
    }
    for layer in member.layers() {
        black_box((layer.kind().cargo_feature(), layer.multiply_adds()));
        match layer {
            Layer::Coupling(layer) => {
                black_box((layer.transformed().sizes(black_box(9)), layer.map()));
                black_box(layer.transformed().periodic(layer.periodic(), black_box(9)));
                layer.network().hidden().for_each(touch);
            }
            Layer::Autoregressive(layer) => {
                black_box((layer.given(), layer.map().parameters(), layer.map().cargo_feature()));
                circles(layer.periodic());
                layer.network().hidden().for_each(touch);
            }
            Layer::Permutation(layer) => layer.order().for_each(touch),
            Layer::Marginal(layer) => {
                black_box(layer.knots());
                layer.transformed().for_each(touch);
            }
            Layer::ActNorm(_) | Layer::LuLinear(_) => {}
        }
    }
}

/// Every view of a mask.
fn circles(periodic: Periodic) {
    let (first, count) = (black_box(3), black_box(70));
    black_box((periodic.contains(first), periodic.count(count), periodic.part(first, count)));
    black_box(periodic.permuted(black_box(&[3, 99]).iter().copied()));
}

fn touch<T>(value: T) {
    black_box(value);
}
