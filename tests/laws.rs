//! The laws of a normalizing flow, stated over every kind of bijection.

mod models;

use std::collections::BTreeSet;

use flowlet::bijection::Kind;
use flowlet::write::{Base, Feature};
use flowlet::{Error, Flow, Given, Libm, Memory, Model, Periodic, Tail};
use models::{
    Example, Random, bases, circular, conditional, ensembles, examples, images, members, oracle,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Every example of every kind and base.
fn flows(seed: u64) -> impl Iterator<Item = Example> {
    let kinds = Kind::ALL.iter().flat_map(move |kind| examples(*kind, seed));
    let kinds = kinds.chain(bases(seed)).chain(conditional(seed));
    kinds.chain(circular(seed)).chain(images(seed))
}

/// The flows, and ensembles of them.
fn all(seed: u64) -> impl Iterator<Item = Example> {
    flows(seed).chain(ensembles(seed))
}

/// Rounding errors of f32 up to a layer, relative to its values.
const ROUNDING: f64 = 8.0 * (f32::EPSILON as f64);

/// Calls `law` with every example, its model, a fresh row and a fresh context.
fn for_all(
    examples: impl Iterator<Item = Example>,
    seed: u64,
    law: impl Fn(&Example, &Model<Libm>, &[f32], &[f32]),
) {
    for example in examples {
        let file = example.description.to_file();
        let model = Model::from_bytes(file.bytes()).expect("a model just written");
        let mut random = Random::new(seed ^ 0x5eed);
        for _ in 0..4 {
            let x = random.row(&example.description.features);
            law(&example, &model, &x, &random.row(&example.description.context));
        }
    }
}

fn assert_close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert_close_or(what, found, expected, tolerance, || 0.0);
}

/// As [`assert_close`], but a flow may be steep enough for the rounding of f32 alone to go beyond the
/// tolerance, as one in some ten thousand is: there the error may be larger by `rounding`.
fn assert_close_or(
    what: &str,
    found: f64,
    expected: f64,
    tolerance: f64,
    rounding: impl Fn() -> f64,
) {
    let error = (found - expected).abs();
    let allowed = tolerance * expected.abs().max(1.0);
    assert!(
        error <= allowed || error <= allowed + rounding(),
        "{what}: {found} instead of {expected}, error {error:e}"
    );
}

/// x, or of the values that stand for the same point of a circle the one nearest to `other`.
fn nearest(x: f32, other: f32, half_period: f32, is_periodic: bool) -> f64 {
    let [x, other, half_period] = [x, other, half_period].map(f64::from);
    if is_periodic { other + half_period * oracle::wrap((x - other) / half_period) } else { x }
}

/// How far rounding errors in a row move what `map` makes of it, the log-determinant last: the most
/// of several draws.
fn sensitivity(row: &[f32], map: impl Fn(&mut [f32]) -> f32) -> Vec<f64> {
    let mut random = Random::new(0);
    let mapped = |mut row: Vec<f32>| {
        let log_det = map(&mut row);
        row.into_iter().chain([log_det]).map(f64::from).collect::<Vec<_>>()
    };
    let here = mapped(row.to_vec());
    let mut most = vec![0.0; here.len()];
    for _ in 0..16 {
        let step = |x: &f32| x + ROUNDING as f32 * x.abs().max(1.0) * random.uniform().signum();
        let there = mapped(row.iter().map(step).collect());
        for ((most, here), there) in most.iter_mut().zip(&here).zip(there) {
            *most = f64::max(*most, (there - here).abs());
        }
    }
    most
}

fn assert_forward_undoes_inverse(seed: u64) {
    for_all(flows(seed), seed, |example, model, x, context| {
        let given = || model.given(context);
        let memory = || Memory::of(model);
        let inverse =
            |row: &mut [f32]| given().inverse(row, &mut memory().scratch()).expect("finite");
        let forward =
            |row: &mut [f32]| given().forward(row, &mut memory().scratch()).expect("finite");
        let mut z = x.to_vec();
        let there = inverse(&mut z);
        let mut row = z.clone();
        let back = forward(&mut row);
        let rounding = |value: usize| sensitivity(&z, forward)[value];
        let columns = x.iter().zip(&row).zip(&example.description.features);
        for (index, ((x, returned), feature)) in columns.enumerate() {
            let returned = nearest(*returned, *x, feature.scale, feature.periodic);
            let rounding = || rounding(index);
            assert_close_or(&example.name, returned, f64::from(*x), 2e-3, rounding);
        }
        let rounding = || rounding(x.len());
        assert_close_or(&example.name, f64::from(there), f64::from(-back), 2e-3, rounding);
    });
}

fn assert_inverse_undoes_forward(seed: u64) {
    for_all(flows(seed), seed, |example, model, x, context| {
        let given = || model.given(context);
        let memory = || Memory::of(model);
        let inverse =
            |row: &mut [f32]| given().inverse(row, &mut memory().scratch()).expect("finite");
        let forward =
            |row: &mut [f32]| given().forward(row, &mut memory().scratch()).expect("finite");
        let z: Vec<f32> = x.iter().map(|x| x * 0.1).collect();
        let mut x = z.clone();
        let there = forward(&mut x);
        let mut row = x.clone();
        let back = inverse(&mut row);
        let rounding = |value: usize| sensitivity(&x, inverse)[value];
        let columns = z.iter().zip(&row).zip(oracle::origins(&example.description));
        for (index, ((z, returned), from)) in columns.enumerate() {
            let is_periodic = example.description.features[from].periodic;
            let returned = nearest(*returned, *z, 1.0, is_periodic);
            let rounding = || rounding(index);
            assert_close_or(&example.name, returned, f64::from(*z), 5e-3, rounding);
        }
        let rounding = || rounding(z.len());
        assert_close_or(&example.name, f64::from(there), f64::from(-back), 5e-3, rounding);
    });
}

fn assert_log_density_is_the_one_in_double_precision(seed: u64) {
    for_all(all(seed), seed, |example, model, x, context| {
        let Example { name, description } = example;
        let scratch = &mut Memory::of(model);
        let found = model.given(context).log_density(x, &mut scratch.scratch()).expect("finite");
        let expected = oracle::log_density(description, x, context);
        let rounding = || oracle::sensitivity(description, x, context, ROUNDING);
        assert_close_or(name, f64::from(found), expected, 1e-4, rounding);
    });
}

/// Of one flow, and of several.
fn assert_score_is_the_one_in_double_precision(seed: u64) {
    let mut random = Random::new(seed);
    let mut balanced = |Example { name, mut description }: Example| {
        description.balances = random.balances(1 + description.others.len());
        Example { name, description }
    };
    let examples: Vec<_> = all(seed).chain(ensembles(seed)).map(&mut balanced).collect();
    for_all(examples.into_iter(), seed, |example, model, x, context| {
        let Example { name, description } = example;
        let scratch = &mut Memory::of(model);
        let found = model.given(context).score(x, &mut scratch.scratch()).expect("finite");
        let expected = oracle::score(description, x, context);
        // A deviation is .8 nats or more, and both terms count.
        let rounding = || 4.0 * oracle::sensitivity(description, x, context, ROUNDING);
        assert_close_or(name, f64::from(found), expected, 5e-4, rounding);
    });
}

fn assert_log_det_jacobian_is_that_of_the_jacobian(seed: u64) {
    for_all(flows(seed), seed, |example, model, x, context| {
        // Differences of 64 features take a minute and show what 17 show.
        if x.len() > 20 {
            return;
        }
        let Example { name, description } = example;
        let scratch = &mut Memory::of(model);
        let mut row = x.to_vec();
        let found = model.given(context).inverse(&mut row, &mut scratch.scratch()).expect("finite");
        let expected = oracle::log_det_by_differences(description, x, context);
        let rounding = || oracle::sensitivity(description, x, context, ROUNDING);
        assert_close_or(name, f64::from(found), expected, 1e-4, rounding);
    });
}

/// In each of these some flow is so steep that a law's tolerance is no more than its rounding errors.
#[test]
fn steep_flows_keep_the_laws() {
    for seed in [4205208426653149064, 10280799349476339943, 15722859013464424616] {
        assert_forward_undoes_inverse(seed);
        assert_inverse_undoes_forward(seed);
        assert_log_density_is_the_one_in_double_precision(seed);
        assert_log_det_jacobian_is_that_of_the_jacobian(seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forward_undoes_inverse(seed: u64) {
        assert_forward_undoes_inverse(seed);
    }

    #[test]
    fn inverse_undoes_forward(seed: u64) {
        assert_inverse_undoes_forward(seed);
    }

    #[test]
    fn log_density_is_the_one_in_double_precision(seed: u64) {
        assert_log_density_is_the_one_in_double_precision(seed);
    }

    #[test]
    fn score_is_the_one_in_double_precision(seed: u64) {
        assert_score_is_the_one_in_double_precision(seed);
    }

    #[test]
    fn log_det_jacobian_is_that_of_the_jacobian(seed: u64) {
        assert_log_det_jacobian_is_that_of_the_jacobian(seed);
    }

    #[test]
    fn no_finite_row_gives_anything_but_finite_numbers(seed: u64) {
        for_all(all(seed), seed, |example, model, x, context| {
            let mut random = Random::new(seed);
            let extremes = [1e-30, 1e30, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -1e-45, 0.0, -0.0];
            let mut mixed = || extremes[(random.uniform().abs() * extremes.len() as f32) as usize % extremes.len()];
            let rows = extremes.iter().map(|value| vec![*value; x.len()])
                .chain((0..8).map(|_| x.iter().map(|x| if *x > 0.0 { mixed() } else { *x }).collect()));
            for row in rows {
                let mut memory = Memory::of(model);
                let log_density = model.given(context).log_density(&row, &mut memory.scratch()).expect("a finite row");
                let score = model.given(context).score(&row, &mut memory.scratch()).expect("a finite row");
                assert!(log_density.is_finite() && score.is_finite(), "{}: {log_density}, {score} at {row:?}", example.name);
                // An ensemble has no directions.
                let both = [Given::<Model<Libm>>::inverse, Given::<Model<Libm>>::forward];
                for direction in both.into_iter().filter(|_| model.log_shares().is_empty()) {
                    let mut mapped = row.clone();
                    let log_det = direction(model.given(context), &mut mapped, &mut memory.scratch()).expect("a finite row");
                    assert!(log_det.is_finite(), "{}: {log_det} at {row:?}", example.name);
                    assert!(mapped.iter().all(|x| x.is_finite()), "{}: {mapped:?}", example.name);
                }
            }
        });
    }
}

/// A mask is the set of its features.
fn assert_is_set(features: &BTreeSet<usize>, first: usize, count: usize) {
    let periodic: Periodic = features.iter().copied().collect();
    let part = periodic.part(first, count);
    for feature in 0..70 {
        assert_eq!(periodic.contains(feature), features.contains(&feature));
        let is_inside = feature < count && features.contains(&(first + feature));
        assert_eq!(part.contains(feature), is_inside, "{features:?} {first} {count}");
    }
    assert_eq!(periodic.count(count), features.range(..count).count());
    assert_eq!(periodic.is_empty(), features.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mask_is_the_set_of_its_features(
        features in proptest::collection::btree_set(0usize..64, 0..64),
        first in 0usize..=64,
        count in 0usize..=64,
    ) {
        assert_is_set(&features, first, count);
    }

    #[test]
    fn a_whole_period_more_changes_no_density(seed: u64, periods in -3i32..=3) {
        for_all(circular(seed).into_iter(), seed, |example, model, x, context| {
            let mut memory = Memory::of(model);
            let here = model.given(context).log_density(x, &mut memory.scratch()).expect("finite");
            let columns = x.iter().zip(&example.description.features);
            let moved: Vec<f32> = columns
                .map(|(x, own)| if own.periodic { x + (2 * periods) as f32 * own.scale } else { *x })
                .collect();
            let there = model.given(context).log_density(&moved, &mut memory.scratch()).expect("finite");
            let rounding = || oracle::sensitivity(&example.description, x, context, 4.0 * ROUNDING);
            assert_close_or(&example.name, f64::from(there), f64::from(here), 5e-4, rounding);
        });
    }

    /// Across the end of the period, and that of a layer behind half a turn, it changes no more than
    /// beside them.
    #[test]
    fn a_density_on_a_circle_has_no_seam(seed: u64) {
        for_all(circular(seed).into_iter(), seed, |example, model, x, context| {
            let mut memory = Memory::of(model);
            for seam in [-1.0, 0.0, 1.0] {
                let mut at = |steps: f32| {
                    let columns = x.iter().zip(&example.description.features);
                    let value = |own: &Feature| own.centre + (seam + steps * 1e-5) * own.scale;
                    let row: Vec<f32> =
                        columns.map(|(x, own)| if own.periodic { value(own) } else { *x }).collect();
                    model.given(context).log_density(&row, &mut memory.scratch()).expect("finite")
                };
                let [a, b, c, d] = [-3.0, -1.0, 1.0, 3.0].map(&mut at);
                let beside = (a - b).abs() + (c - d).abs();
                let jump = (b - c).abs();
                assert!(jump <= beside + 5e-4 * b.abs().max(1.0), "{}: {jump} at {seam}", example.name);
            }
        });
    }
}

#[test]
fn a_density_on_a_circle_and_a_line_integrates_to_one_over_one_period() {
    let examples = circular(21).into_iter().filter(|example| {
        let periodic = example.description.features.iter().filter(|feature| feature.periodic);
        example.description.features.len() == 2 && periodic.count() == 1
    });
    let mut found = 0;
    for Example { name, description } in examples {
        found += 1;
        let file = description.to_file();
        let flow = Flow::<2, 16>::from_bytes(file.bytes()).expect("fits");
        let [a, b] = &description.features[..] else { panic!("two features") };
        assert!(a.periodic);
        let (around, along, reach) = (400, 1500, 15.0);
        let (turn, step) = (2.0 / around as f32, 2.0 * reach / along as f32);
        let mut integral = 0.0;
        for i in 0..around {
            for j in 0..along {
                // A period from anywhere on.
                let angle = (i as f32 + 0.5) * turn - 0.3;
                let x = [
                    a.centre + a.scale * angle,
                    b.centre + b.scale * ((j as f32 + 0.5) * step - reach),
                ];
                integral += f64::from(flow.log_density(&x).expect("finite")).exp();
            }
        }
        integral *= f64::from(turn * step * a.scale * b.scale);
        assert!((integral - 1.0).abs() < 1e-2, "{name}: the integral is {integral}");
    }
    assert_eq!(found, 2);
}

#[test]
fn samples_lie_in_the_period_and_go_back_to_the_base_at_any_temperature() {
    for Example { name, description } in circular(22) {
        if description.features.len() > 9 {
            continue;
        }
        let file = description.to_file();
        let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
        let (mut memory, mut own) = (Memory::of(&model), Random::new(22));
        let origins = oracle::origins(&description);
        let mut random = ChaCha8Rng::seed_from_u64(23);
        let count = 4000;
        for temperature in [0.5f32, 1.0] {
            let mut squares = vec![0.0; description.features.len()];
            for _ in 0..count {
                let context = own.row(&description.context);
                let mut row = vec![0.0; description.features.len()];
                let scratch = &mut memory.scratch();
                model
                    .given(&context)
                    .sample(&mut random, temperature, &mut row, scratch)
                    .expect("sound");
                for (x, feature) in
                    row.iter().zip(&description.features).filter(|(_, f)| f.periodic)
                {
                    assert!((x - feature.centre).abs() <= feature.scale, "{name}: {x} {feature:?}");
                }
                model.given(&context).inverse(&mut row, &mut memory.scratch()).expect("finite");
                squares.iter_mut().zip(row).for_each(|(sum, z)| *sum += f64::from(z * z));
            }
            for (square, from) in squares.into_iter().zip(&origins) {
                let expected = match description.features[*from].periodic {
                    true => 1.0 / 3.0,
                    false => f64::from(temperature * temperature),
                };
                let share = square / f64::from(count) / expected;
                // Five standard errors of the mean square of a Gaussian, those of a uniform are less.
                assert!(
                    (share - 1.0).abs() < 5.0 * (2.0 / f64::from(count)).sqrt(),
                    "{name}: {share}"
                );
            }
        }
    }
}

#[test]
fn a_second_call_gives_the_same_bits() {
    for_all(all(3), 3, |_, model, x, context| {
        let mut memory = Memory::of(model);
        let first = model.given(context).log_density(x, &mut memory.scratch()).expect("finite");
        let second = model.given(context).log_density(x, &mut memory.scratch()).expect("finite");
        assert_eq!(first.to_bits(), second.to_bits());
    });
}

#[test]
fn flow_gives_the_bits_of_model() {
    let description = flowlet::write::Description {
        features: Random::new(5).features(8),
        layers: Random::new(6).real_nvp(8, 5, &[64, 64]),
        ..Default::default()
    };
    let file = description.to_file();
    let flow = Flow::<8, 64>::from_bytes(file.bytes()).expect("fits");
    let roomy = Flow::<8, 128>::from_bytes(file.bytes()).expect("fits");
    let mut memory = Memory::of(flow.model());
    let mut random = Random::new(7);
    for _ in 0..100 {
        let x: [f32; 8] = random.row(&description.features).try_into().expect("8 features");
        let expected = flow.model().log_density(&x, &mut memory.scratch()).expect("finite");
        assert_eq!(flow.log_density(&x).expect("finite").to_bits(), expected.to_bits());
        assert_eq!(roomy.score(&x).expect("finite").to_bits(), (-expected).to_bits());
        let (z, log_det) = flow.inverse(&x).expect("finite");
        let mut row = x;
        assert_eq!(flow.model().inverse(&mut row, &mut memory.scratch()), Ok(log_det));
        assert_eq!(row, z);
    }
}

#[test]
fn a_context_must_be_there_and_finite() {
    for Example { description, .. } in conditional(1) {
        let file = description.to_file();
        let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
        let mut memory = Memory::of(&model);
        let mut random = Random::new(2);
        let x = random.row(&description.features);
        let mut context = random.row(&description.context);
        let expected = context.len();
        assert_eq!(
            model.log_density(&x, &mut memory.scratch()),
            Err(Error::ContextLength { found: 0, expected })
        );
        let before = model.given(&context).log_density(&x, &mut memory.scratch());
        context[expected - 1] += 0.5;
        assert_ne!(before, model.given(&context).log_density(&x, &mut memory.scratch()));
        context[expected - 1] = f32::NAN;
        assert_eq!(
            model.given(&context).log_density(&x, &mut memory.scratch()),
            Err(Error::ContextNotFinite { index: expected - 1 })
        );
    }
}

/// Of the examples of 8 features that fit `H` units.
fn assert_flow_gives_the_bits_of_model<const H: usize>(
    examples: impl IntoIterator<Item = Example>,
) {
    for Example { name, description } in examples {
        let file = description.to_file();
        let Ok(flow) = Flow::<8, H>::from_bytes(file.bytes()) else { continue };
        let mut memory = Memory::of(flow.model());
        let mut random = Random::new(7);
        for _ in 0..100 {
            let x: [f32; 8] = random.row(&description.features).try_into().expect("8 features");
            let expected = flow.model().log_density(&x, &mut memory.scratch());
            assert_eq!(flow.log_density(&x), expected, "{name}");
        }
        let mut random = [(); 2].map(|()| ChaCha8Rng::seed_from_u64(16));
        let mut x = [0.0; 8];
        let scratch = &mut memory.scratch();
        let drawn = flow.model().sample(&mut random[0], 1.0, &mut x, scratch).map(|()| x);
        assert_eq!(flow.sample(&mut random[1], 1.0), drawn, "{name}");
    }
}

#[test]
fn flow_gives_the_bits_of_model_on_a_circle() {
    assert_flow_gives_the_bits_of_model::<64>(circular(24));
}

#[test]
fn flow_gives_the_bits_of_model_given_a_context() {
    let Example { description, .. } = conditional(3).remove(4);
    let file = description.to_file();
    let flow = Flow::<8, 64, Libm, 2>::from_bytes(file.bytes()).expect("fits");
    let mut memory = Memory::of(flow.model());
    let mut random = Random::new(7);
    for _ in 0..100 {
        let x: [f32; 8] = random.row(&description.features).try_into().expect("8 features");
        let context: [f32; 2] = random.row(&description.context).try_into().expect("2 values");
        let model = flow.model().given(&context).log_density(&x, &mut memory.scratch());
        assert_eq!(flow.given(&context).log_density(&x), model);
    }
    assert_eq!(
        Flow::<8, 64>::from_bytes(file.bytes()).map(|_| ()),
        Err(Error::Context { file: 2, firmware: 0 })
    );
}

#[test]
fn a_density_of_two_features_integrates_to_one() {
    let flows = (0..4).map(|seed| flowlet::write::Description {
        features: Random::new(seed).features(2),
        layers: Random::new(seed).real_nvp(2, 4, &[16]),
        ..Default::default()
    });
    let heavy_tailed = flowlet::write::Description {
        features: Random::new(4).features(2),
        base: Base::StudentTMixture {
            degrees_of_freedom: 4.0,
            components: Random::new(4).components(2, 3, false),
        },
        ..Default::default()
    };
    for (number, description) in flows.chain([heavy_tailed]).enumerate() {
        let file = description.to_file();
        let flow = Flow::<2, 16>::from_bytes(file.bytes()).expect("fits");
        let [a, b] = &description.features[..] else { panic!("two features") };
        let (steps, reach) = (1500, 25.0);
        let step = 2.0 * reach / steps as f32;
        let mut integral = 0.0;
        for i in 0..steps {
            for j in 0..steps {
                let at = |index: i32| (index as f32 + 0.5) * step - reach;
                let x = [a.centre + a.scale * at(i), b.centre + b.scale * at(j)];
                integral += f64::from(flow.log_density(&x).expect("finite")).exp();
            }
        }
        integral *= f64::from(step * step * a.scale * b.scale);
        assert!((integral - 1.0).abs() < 1e-2, "number {number}: the integral is {integral}");
    }
}

/// By the members' own log-densities, in double precision.
#[test]
fn an_ensemble_is_what_its_members_come_to() {
    for_all(ensembles(11).into_iter(), 11, |example, model, x, context| {
        let mut memory = Memory::of(model);
        let found = model.given(context).log_density(x, &mut memory.scratch()).expect("finite");
        let own: Vec<f32> = members(&example.description)
            .iter()
            .map(|flow| {
                let file = flow.to_file();
                let model = Model::<Libm>::from_bytes(file.bytes()).expect("a flow of a model");
                let mut memory = Memory::of(&model);
                model.given(context).log_density(x, &mut memory.scratch()).expect("finite")
            })
            .collect();
        let terms = own.iter().zip(&example.description.log_shares);
        let density: f64 =
            terms.map(|(own, share)| (f64::from(*own) + f64::from(*share)).exp()).sum();
        assert_close(&example.name, f64::from(found), density.ln(), 1e-5);
    });
}

#[test]
fn an_ensemble_has_no_map_to_a_base_but_samples() {
    for Example { name, description } in ensembles(12) {
        let file = description.to_file();
        let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
        let mut memory = Memory::of(&model);
        let mut random = Random::new(13);
        let mut row = random.row(&description.features);
        let context = random.row(&description.context);
        let refused = |found: Error| assert!(matches!(found, Error::Ensemble { .. }), "{name}");
        let inverse = model.given(&context).inverse(&mut row, &mut memory.scratch());
        refused(inverse.expect_err("several bases"));
        let forward = model.given(&context).forward(&mut row, &mut memory.scratch());
        refused(forward.expect_err("several bases"));
        let mut random = ChaCha8Rng::seed_from_u64(14);
        let scratch = &mut memory.scratch();
        let sample = model.given(&context).sample(&mut random, 1.0, &mut row, scratch);
        assert_eq!(sample, Ok(()));
    }
}

#[test]
fn flow_gives_the_bits_of_model_for_ensembles_and_images() {
    assert_flow_gives_the_bits_of_model::<32>(ensembles(15).into_iter().chain(images(15)));
}

/// Two flows without layers, far from each other, and of another width.
fn far_apart(log_shares: Vec<f32>) -> flowlet::write::Description {
    let feature = |centre, scale| flowlet::write::Feature {
        name: "x".into(),
        centre,
        scale,
        low: centre - 3.0 * scale,
        high: centre + 3.0 * scale,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    flowlet::write::Description {
        features: vec![feature(-20.0, 1.0); 2],
        others: vec![flowlet::write::Member {
            features: vec![feature(20.0, 2.0); 2],
            context: Vec::new(),
            layers: Vec::new(),
            base: Default::default(),
        }],
        log_shares,
        ..Default::default()
    }
}

#[test]
fn a_mixture_of_flows_integrates_to_one() {
    let mut random = Random::new(17);
    let descriptions = ensembles(17).into_iter().map(|example| example.description);
    let mixtures = descriptions.filter(|description| description.features.len() == 2).take(1);
    let mut found = 0;
    for description in mixtures {
        found += 1;
        let file = description.to_file();
        let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
        let mut memory = Memory::of(&model);
        let [a, b] = &description.features[..] else { panic!("two features") };
        // Half of a Student-t's tail lies far out, so the sheet is wide.
        let (steps, reach) = (2000, 100.0);
        let step = 2.0 * reach / steps as f32;
        let mut integral = 0.0;
        for i in 0..steps {
            for j in 0..steps {
                let at = |index: i32| (index as f32 + 0.5) * step - reach;
                let x = [a.centre + a.scale * at(i), b.centre + b.scale * at(j)];
                let log_density = model.log_density(&x, &mut memory.scratch()).expect("finite");
                integral += f64::from(log_density).exp();
            }
        }
        integral *= f64::from(step * step * a.scale * b.scale);
        assert!((integral - 1.0).abs() < 1e-2, "the integral is {integral}");
    }
    assert_eq!(found, 1);
    // And far from every flow, where each density is 0 in f32, its logarithm is still right.
    let description = far_apart(vec![0.3f32.ln(), 0.7f32.ln()]);
    let file = description.to_file();
    let flow = Flow::<2, 0>::from_bytes(file.bytes()).expect("fits");
    for _ in 0..100 {
        let x = [1e3 * random.uniform(), 1e3 * random.uniform()];
        let found = f64::from(flow.log_density(&x).expect("finite"));
        assert_close("far away", found, oracle::log_density(&description, &x, &[]), 1e-5);
    }
}

#[test]
fn samples_of_a_mixture_come_from_each_flow_by_its_share() {
    let file = far_apart(vec![0.3f32.ln(), 0.7f32.ln()]).to_file();
    let flow = Flow::<2, 0>::from_bytes(file.bytes()).expect("fits");
    let mut random = ChaCha8Rng::seed_from_u64(18);
    let count = 20_000;
    let (mut firsts, mut squares) = (0, 0.0);
    for _ in 0..count {
        let [x, _] = flow.sample(&mut random, 1.0).expect("a sound generator");
        match x < 0.0 {
            true => firsts += 1,
            false => squares += f64::from((x - 20.0) * (x - 20.0)),
        }
    }
    let share = f64::from(firsts) / f64::from(count);
    // Five standard errors.
    let error = 5.0 * (0.3 * 0.7 / f64::from(count)).sqrt();
    assert!((share - 0.3).abs() < error, "the first flow's share is {share}");
    let variance = squares / f64::from(count - firsts);
    assert!((variance / 4.0 - 1.0).abs() < 0.1, "the second flow's variance is {variance}");
}

#[test]
fn samples_go_back_to_a_standard_normal() {
    let description = flowlet::write::Description {
        features: Random::new(8).features(5),
        layers: Random::new(9).real_nvp(5, 3, &[16]),
        ..Default::default()
    };
    let file = description.to_file();
    let flow = Flow::<5, 16>::from_bytes(file.bytes()).expect("fits");
    let mut random = ChaCha8Rng::seed_from_u64(10);
    let count = 20_000;
    let (mut sum, mut squares) = ([0.0; 5], [0.0; 5]);
    for _ in 0..count {
        let x = flow.sample(&mut random, 1.0).expect("a sound generator");
        let (z, _) = flow.inverse(&x).expect("finite");
        for ((sum, square), z) in sum.iter_mut().zip(&mut squares).zip(z) {
            *sum += f64::from(z);
            *square += f64::from(z * z);
        }
    }
    // Five standard errors: 1 / sqrt(n) for the mean, sqrt(2 / n) for the mean square.
    let error = 5.0 / f64::from(count).sqrt();
    for (sum, square) in sum.iter().zip(squares) {
        assert!((sum / f64::from(count)).abs() < error, "mean {}", sum / f64::from(count));
        assert!(
            (square / f64::from(count) - 1.0).abs() < 1.5 * error,
            "variance {}",
            square / f64::from(count)
        );
    }
}

/// Draws of a model, of one seed.
fn draws(description: &flowlet::write::Description, count: usize) -> Vec<Vec<f32>> {
    let file = description.to_file();
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
    let mut memory = Memory::of(&model);
    let mut random = ChaCha8Rng::seed_from_u64(34);
    let context = vec![0.5; model.context()];
    let mut draw = || {
        let mut x = vec![0.0; model.features()];
        let scratch = &mut memory.scratch();
        model.given(&context).sample(&mut random, 1.0, &mut x, scratch).expect("sound");
        x
    };
    (0..count).map(|_| draw()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn samples_are_the_nearest_steps_within_the_range(
        low in -1e6f32..1e6,
        steps in proptest::collection::vec((0.0f32..30.0).prop_map(f32::exp2), 3),
        count in 0u8..100,
    ) {
        let smooth = models::stepped();
        let mut stepped = smooth.clone();
        for (feature, step) in stepped.features.iter_mut().zip(&steps) {
            feature.step = step * 2f32.powi(-15);
            feature.low = low;
            feature.high = low + f32::from(count) * feature.step;
        }
        let mut smooth = stepped.clone();
        for feature in &mut smooth.features {
            feature.step = 0.0;
            feature.high = f32::MAX;
        }
        for (stepped_row, row) in draws(&stepped, 20).iter().zip(draws(&smooth, 20)) {
            for ((found, x), feature) in stepped_row.iter().zip(row).zip(&stepped.features) {
                let Feature { low, high, step, .. } = *feature;
                let is_value = |k: u8| *found == (low + f32::from(k) * step).min(high);
                prop_assert!((0..=count).any(is_value), "{found} of {feature:?}");
                let nearest = f64::from(x).clamp(f64::from(low), f64::from(high));
                let rounding = 4.0 * f64::from(f32::EPSILON) * f64::from(low.abs() + high.abs());
                let error = (f64::from(*found) - nearest).abs();
                prop_assert!(error <= 0.5 * f64::from(step) + rounding, "{found} for {x}");
            }
        }
    }
}

#[test]
fn samples_stay_finite_whatever_the_steps() {
    let extremes = [f32::MIN, -1.0, -1e-45, 0.0, f32::MIN_POSITIVE, 3.0, f32::MAX];
    for (index, low) in extremes.into_iter().enumerate() {
        for high in extremes.into_iter().skip(index) {
            for step in [1e-45, f32::MIN_POSITIVE, 1.0, f32::MAX] {
                let mut description = models::stepped();
                for feature in &mut description.features {
                    (feature.low, feature.high, feature.step) = (low, high, step);
                }
                for x in draws(&description, 4).into_iter().flatten() {
                    assert!((low..=high).contains(&x), "{x} of {low}..{high} in steps of {step}");
                }
            }
        }
    }
}

/// The mean of q(x) / p(x) over draws from p is 1 for every density q; where p has the heavier tails,
/// the ratio is bounded and its mean is soon known.
#[test]
fn samples_of_a_student_t_mixture_have_its_density() {
    for (features, degrees_of_freedom) in [(2, 1.0), (3, 3.0), (8, 3.0), (5, 1e3)] {
        let mut random = Random::new(31);
        let components = random.components(features, 2, false);
        let with = |base| flowlet::write::Description {
            features: Random::new(32).features(features),
            base,
            ..Default::default()
        };
        let base = Base::StudentTMixture { degrees_of_freedom, components: components.clone() };
        let file = with(base).to_file();
        let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
        let gaussians = components.into_iter().map(|mut component| {
            component.log_weight = 0.0;
            with(Base::Mixture(vec![component]))
        });
        for gaussian in gaussians {
            let mut memory = Memory::of(&model);
            let mut random = ChaCha8Rng::seed_from_u64(33);
            let (count, mut sum, mut squares) = (40_000, 0.0, 0.0);
            for _ in 0..count {
                let mut x = vec![0.0; features];
                model.sample(&mut random, 1.0, &mut x, &mut memory.scratch()).expect("sound");
                let own = model.log_density(&x, &mut memory.scratch()).expect("finite");
                let ratio = (oracle::log_density(&gaussian, &x, &[]) - f64::from(own)).exp();
                sum += ratio;
                squares += ratio * ratio;
            }
            let mean = sum / f64::from(count);
            let error = ((squares / f64::from(count) - mean * mean) / f64::from(count)).sqrt();
            assert!(error < 0.02, "{features} features: an error of {error} shows nothing");
            assert!((mean - 1.0).abs() < 5.0 * error, "{features} features: {mean} +- {error}");
        }
    }
}

#[test]
fn temperature_scales_the_base() {
    let file = models::small().to_file();
    let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("fits");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mode, _) = flow.forward(&[0.0; 3]).expect("finite");
    assert_eq!(flow.sample(&mut random, 0.0), Ok(mode));
    for temperature in [-1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(flow.sample(&mut random, temperature), Err(Error::Temperature));
    }
}

#[test]
fn a_stuck_generator_is_an_error_and_not_a_hang() {
    struct Stuck(u32);
    impl rand_chacha::rand_core::TryRng for Stuck {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(self.0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(u64::from(self.0))
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(self.0 as u8);
            Ok(())
        }
    }
    for (name, description) in models::goldens() {
        let file = description.to_file();
        let Ok(flow) = Flow::<3, 16>::from_bytes(file.bytes()) else { continue };
        for stuck in [0, u32::MAX] {
            let sample = flow.sample(&mut Stuck(stuck), 1.0);
            assert_eq!(sample, Err(Error::RandomSource), "{name}");
            assert_eq!(Stuck(stuck).next_u32(), stuck);
        }
    }
}

#[test]
fn a_dead_sensor_is_named() {
    let file = models::small().to_file();
    let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("fits");
    for feature in 0..3 {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [0.5; 3];
            x[feature] = value;
            let refusal = Error::NotFinite { feature };
            assert_eq!(flow.log_density(&x), Err(refusal));
            assert_eq!(flow.score(&x), Err(refusal));
            assert_eq!(flow.is_anomaly(&x), Err(refusal));
            assert_eq!(flow.attribute(&x), Err(refusal));
            assert_eq!(flow.inverse(&x), Err(refusal));
            assert_eq!(flow.forward(&x), Err(refusal));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The larger the score, the smaller its p-value; and what is above the threshold for a rate are
    /// the scores whose p-value is no larger, up to rounding in the tail.
    #[test]
    fn p_values_and_thresholds_say_the_same(
        shape in prop_oneof![Just(0.0f32), 0.001f32..2.0],
        scale in 0.01f32..10.0,
        rate in prop_oneof![1e-6f32..0.01, 0.01f32..0.9],
        score in -10f32..100.0,
        above in 0f32..10.0,
    ) {
        let mut description = models::small();
        let calibration = description.calibration.as_mut().expect("it has one");
        calibration.tail.as_mut().expect("it has one").shape = shape;
        calibration.tail.as_mut().expect("it has one").scale = scale;
        let file = description.to_file();
        let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("fits");
        let p_value = |score| flow.p_value(score).expect("calibrated");
        prop_assert!((0.0..=1.0).contains(&p_value(score)));
        prop_assert!(p_value(score + above) <= p_value(score));
        let threshold = flow.threshold_at(rate).expect("it has a tail");
        prop_assert!(p_value(threshold + 1e-4 * (1.0 + threshold.abs())) <= rate * 1.001);
        let is_anomaly = flow.score(&[0.5; 3]).expect("finite") > threshold;
        prop_assert_eq!(flow.is_anomaly_at(&[0.5; 3], rate), Ok(is_anomaly));
    }

    /// Against the formulas in double precision.
    #[test]
    fn a_tail_is_a_generalised_pareto_distribution(
        shape in prop_oneof![Just(0.0f32), 0.001f32..2.0],
        scale in 0.01f32..10.0,
        excess in 0f32..20.0,
    ) {
        let tail = Tail { start: 3.0, scale, shape, share: 0.1, shape_error: 0.1 };
        let score = 3.0 + excess * scale;
        let (shape, excess) = (f64::from(shape), f64::from((score - 3.0) / scale));
        let expected = 0.1 * match shape {
            0.0 => (-excess).exp(),
            shape => (1.0 + shape * excess).powf(-1.0 / shape),
        };
        let found = tail.p_value::<Libm>(score);
        // In f32, 1 + shape excess has lost some of a small shape.
        let lost = if shape > 0.0 { 1e-6 / shape } else { 0.0 };
        prop_assert!((f64::from(found) / expected - 1.0).abs() < 1e-4 + lost);
        if found > 1e-9 && excess > 0.01 {
            let back = f64::from(tail.quantile::<Libm>(found));
            prop_assert!((back - f64::from(score)).abs() < 2e-3 * f64::from(score.abs()), "{back} for {score}");
        }
    }
}

/// What a feature's value adds is not more than over the best on a fine grid, which it nearly
/// reaches, nor less than over the quantiles in the file.
#[test]
fn an_attribution_is_what_the_best_value_of_the_feature_saves() {
    let description = models::small();
    let file = description.to_file();
    let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("fits");
    let mut random = Random::new(3);
    let (mut found, mut possible) = (0.0, 0.0);
    for _ in 0..50 {
        let x: [f32; 3] = random.row(&description.features).try_into().expect("3 features");
        let score = flow.score(&x).expect("finite");
        let attributions = flow.attribute(&x).expect("finite");
        for (feature, attribution) in attributions.into_iter().enumerate() {
            let at = |value: f32| {
                let mut moved = x;
                moved[feature] = value;
                score - flow.score(&moved).expect("finite")
            };
            let values = &description.quantiles[feature];
            let tried = values.iter().map(|value| at(*value)).fold(0.0, f32::max);
            assert!(attribution >= tried, "{attribution} and {tried}");
            let (low, high) = (values[0], values[2]);
            let grid = (0..=400).map(|step| at(low + (high - low) * step as f32 / 400.0));
            let best = grid.fold(0.0, f32::max);
            assert!(attribution <= best + 0.01, "{attribution} and {best}");
            (found, possible) = (found + attribution, possible + best);
        }
    }
    assert!(found > 0.95 * possible, "{found} of {possible}");
}

#[test]
fn the_threshold_divides() {
    let description = models::small();
    let file = description.to_file();
    let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("fits");
    let threshold = flow.threshold().expect("it has one").score;
    let mut random = Random::new(2);
    let mut seen = [false; 2];
    for _ in 0..200 {
        let x: [f32; 3] = random.row(&description.features).try_into().expect("3 features");
        let anomaly = flow.score(&x).expect("finite") > threshold;
        assert_eq!(flow.is_anomaly(&x), Ok(anomaly));
        seen[usize::from(anomaly)] = true;
    }
    assert_eq!(seen, [true; 2], "rows on both sides");
}
