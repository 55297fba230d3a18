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
    #[cfg(feature = "detector")]
    detector::<M>(&flow)?;
    #[cfg(feature = "signal")]
    {
        window::<1, 16, 9, 0>(flow.recipe()?)?;
        window::<2, 100, 9, 0>(flow.recipe()?)?;
        window::<3, 256, 9, 3>(given.recipe()?)?;
        window::<1, 1024, 9, 0>(flow.recipe()?)?;
        #[cfg(feature = "signal-4096")]
        window::<1, 4096, 9, 0>(flow.recipe()?)?;
    }
    Ok(flow.score(&x)? + flow.log_density(&x)?)
}

/// Every function of a detector and of a commissioning.
#[cfg(feature = "detector")]
fn detector<M: Math>(flow: &Flow<'static, 9, 64, M>) -> Result<(), Error> {
    use flowlet::detector::{Commissioning, Detector, Saved};

    let mut commissioning = black_box(Commissioning::<100>::new());
    black_box((commissioning.rows(), commissioning.is_full()));
    commissioning.add(black_box(1.0))?;
    commissioning.scores().for_each(touch);
    let file = flow.calibration().ok_or(Error::NoCalibration)?;
    let flow = flow.with_calibration(commissioning.calibration(&file)?);
    black_box(flow.model().with_calibration(file).detector_settings());
    let mut detector = black_box(flow.detector()?);
    let x = black_box([0.5; 9]);
    black_box(detector.step(&x, || flow.score(&x))?.code());
    black_box((detector.state(), detector.evidence(), detector.alarm_at(), detector.charge()));
    black_box((detector.fewest_rows(), detector.offset(), detector.save()));
    detector.follow(black_box(false));
    detector.restore(black_box(&Saved { words: [0; Saved::WORDS] }))?;
    let settings = detector.settings();
    black_box((settings.features(), settings.rows_between_false_alarms()));
    black_box((settings.confirmation(), settings.drift()));
    settings.sensors().for_each(touch);
    black_box(Detector::<70>::new(settings, black_box(file))?);
    Ok(())
}

/// Every function of a window over a signal.
#[cfg(feature = "signal")]
fn window<const CHANNELS: usize, const LENGTH: usize, const D: usize, const C: usize>(
    recipe: flowlet::signal::Recipe<'static>,
) -> Result<(), Error> {
    use flowlet::signal::{Samples, Schedule, Window};
    let mut window = Window::<CHANNELS, LENGTH, D, C>::new(recipe)?;
    let sample = black_box([0.5; CHANNELS]);
    window.set_context(&black_box([0.5; C]))?;
    black_box(window.push(&sample)?);
    black_box(window.push_at(black_box(7), &sample)?);
    black_box(window.push_counts(&black_box([7; CHANNELS]), black_box(0.1))?);
    window.gap();
    window.restart();
    black_box((window.context(), window.gaps(), window.recipe()));
    let (mut scratch, mut row) = (black_box([0.5; LENGTH]), [0.0; D]);
    let samples = Samples { older: black_box(&[0.5; 64]), newer: black_box(&[0.5; 7]) };
    recipe.row(samples, &mut scratch, &mut row);
    black_box(row);
    let mut schedule = Schedule::new(&recipe);
    black_box(schedule.advance());
    schedule.restart();
    recipe.channel_names().for_each(touch);
    recipe.entries().for_each(|entry| touch((entry, entry.feature.is_positive())));
    black_box((
        recipe.rate(),
        recipe.detrending(),
        recipe.taper(),
        recipe.resolution(black_box(9)),
    ));
    Ok(())
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
    #[cfg(feature = "detector")]
    black_box((latent.detector()?, latent.model().detector_settings()));
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
