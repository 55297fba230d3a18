//! The errors of each `Math` against f64, and of a log-density computed with it: one table,
//! printed with `cargo test --test math --all-features -- --nocapture`.

mod models;

use flowlet::bijection::Kind;
use flowlet::{Libm, Math, Memory, Micromath, Model};
use models::{Random, examples, oracle};

/// Largest absolute or relative error over a grid of `steps` from `low` to `high`.
fn largest(low: f32, high: f32, error: impl Fn(f32) -> f64) -> f64 {
    let steps = 100_000;
    let at = |step: u32| low + (high - low) * step as f32 / steps as f32;
    (0..=steps).map(|step| error(at(step))).fold(0.0, f64::max)
}

fn relative(found: f32, expected: f64) -> f64 {
    (f64::from(found) - expected).abs() / expected.abs()
}

/// exp, ln, sqrt and log-density: the largest errors, in that order.
fn errors<M: Math>() -> [f64; 4] {
    let mut log_density = 0.0f64;
    for kind in Kind::ALL {
        for mut example in examples(*kind, 1) {
            example.description.math = M::ID;
            let file = example.description.to_file();
            let model = Model::<M>::from_bytes(file.bytes()).expect("a model just written");
            let mut memory = Memory::of(&model);
            let mut random = Random::new(2);
            for _ in 0..20 {
                let x = random.row(&example.description.features);
                let found = model.log_density(&x, &mut memory.scratch()).expect("finite");
                let expected = oracle::log_density(&example.description, &x, &[]);
                let error = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
                log_density = log_density.max(error);
            }
        }
    }
    [
        largest(-80.0, 80.0, |x| relative(M::exp(x), f64::from(x).exp())),
        largest(1e-3, 1e3, |x| (f64::from(M::ln(x)) - f64::from(x).ln()).abs()),
        largest(1e-3, 1e3, |x| relative(M::sqrt(x), f64::from(x).sqrt())),
        log_density,
    ]
}

#[test]
fn errors_against_f64() {
    // Documented in src/math.rs; the last is relative to max(1, |log-density|).
    let bounds = [
        ("libm", errors::<Libm>(), [1.2e-7, 3e-7, 6.1e-8, 1e-4]),
        ("micromath", errors::<Micromath>(), [2.5e-3, 0.119, 6.2e-2, 0.15]),
    ];
    println!(
        "{:<10} {:>10} {:>10} {:>10} {:>12}",
        "", "exp rel", "ln abs", "sqrt rel", "log-density"
    );
    for (name, [exp, ln, sqrt, log_density], _) in bounds {
        println!("{name:<10} {exp:>10.1e} {ln:>10.1e} {sqrt:>10.1e} {log_density:>12.1e}");
    }
    for (name, errors, bounds) in bounds {
        for (error, bound) in errors.iter().zip(bounds) {
            assert!(*error <= bound, "{name}: {error:e} exceeds {bound:e}");
            assert!(
                *error > bound / 1000.0,
                "{name}: a bound of {bound:e} is far too wide for {error:e}"
            );
        }
    }
}

#[test]
fn micromath_is_finite_where_the_crate_is_not() {
    for x in [88.8, 89.4, f32::MAX, -100.0, f32::MIN] {
        assert!(Micromath::exp(x).is_finite(), "exp({x})");
    }
    for x in [0.0, -0.0, -1.0, f32::MIN_POSITIVE] {
        assert!(Micromath::ln(x).is_finite() && Micromath::sqrt(x).is_finite(), "at {x}");
    }
}

/// The bits that every core must give: a hash over arguments spread over all of f32.
#[test]
fn libm_gives_the_bits_it_always_gave() {
    let hash = |function: fn(f32) -> f32| {
        (0..=u32::MAX).step_by(4099).map(f32::from_bits).filter(|x| x.is_finite()).fold(
            0xcbf2_9ce4_8422_2325u64,
            |hash, x| {
                let y = function(x);
                let bits = if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() };
                (hash ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3)
            },
        )
    };
    let hashes = [hash(Libm::exp), hash(Libm::ln), hash(Libm::sqrt)];
    assert_eq!(format!("{hashes:016x?}"), include_str!("golden/libm.txt").trim());
}
