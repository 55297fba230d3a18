//! The laws of latent variable models, their files and their refusals.

mod models;

use flowlet::bijection::Side;
use flowlet::file::{Section, tag};
use flowlet::write::{
    Base, Component, Feature, LatentDescription, LatentFlow, Likelihood, ModelFile, envelope,
};
use flowlet::{Error, Flow, Given, Latent, LatentMemory, LatentModel, Libm, Model};
use models::latent::{
    GAUSSIAN, examples, goldens, linear_network, log_weight, over, quantiles, with_model,
};
use models::{AFFINE, Random, oracle, small};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Calls `law` with every example, its model, a row and a context.
fn for_all(
    seed: u64,
    mut law: impl FnMut(&LatentDescription, &LatentModel<Libm>, &mut LatentMemory, &[f32], &[f32]),
) {
    for example in examples(seed) {
        let mut random = Random::new(seed ^ 0x5eed);
        with_model(&example.description.to_file(), |model, memory| {
            for _ in 0..4 {
                let x = random.row_of(&example.description);
                let context = random.row(&example.description.context);
                law(&example.description, model, memory, &x, &context);
            }
        });
    }
}

fn assert_close(what: &str, found: f32, expected: f64, tolerance: f64) {
    let error = (f64::from(found) - expected).abs();
    assert!(error <= tolerance * expected.abs().max(1.0), "{what}: {found} instead of {expected}");
}

#[test]
fn importance_weights_are_those_of_f64() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        for_all(seed, |description, model, memory, x, context| {
            let u: Vec<f64> = (0..model.latents()).map(|_| f64::from(random.uniform())).collect();
            let (noise, expected) = log_weight(description, x, context, &u);
            let found = model.given(context).log_weight(x, &noise, &mut memory.scratch());
            assert_close("log weight", found.expect("a finite row"), expected, 5e-4);
        });
    }
}

#[test]
fn the_score_is_minus_the_log_weight_of_the_draw_0() {
    for_all(5, |_, model, memory, x, context| {
        let given = model.given(context);
        let score = given.score(x, &mut memory.scratch()).expect("a finite row");
        let zeros = vec![0.0; model.latents()];
        let weight = given.log_weight(x, &zeros, &mut memory.scratch()).expect("a finite row");
        assert_eq!(score.to_bits(), (-weight).to_bits());
        let terms = given.terms(x, &mut memory.scratch()).expect("a finite row");
        assert_eq!(terms.log_weight().to_bits(), weight.to_bits());
        assert!(score.is_finite());
        let again = given.score(x, &mut memory.scratch()).expect("a finite row");
        assert_eq!(score.to_bits(), again.to_bits(), "a call leaves nothing behind");
    });
}

#[test]
fn the_bound_is_the_log_of_the_mean_weight_over_the_points() {
    for_all(6, |_, model, memory, x, context| {
        let given = model.given(context);
        let weights: Vec<f32> = (0..model.points())
            .map(|index| model.point(index).expect("a point"))
            .map(|point| given.log_weight(x, point, &mut memory.scratch()).expect("finite"))
            .collect();
        assert_eq!(weights.len(), 3);
        for (first, weight) in weights.iter().enumerate() {
            let one = given.bound_of(x, first, 1, &mut memory.scratch()).expect("one point");
            assert_eq!(one.to_bits(), weight.to_bits());
        }
        let terms: Vec<f64> = weights.iter().map(|weight| f64::from(*weight)).collect();
        let expected = oracle::log_sum_exp(&terms) - 3f64.ln();
        let bound = given.bound(x, &mut memory.scratch()).expect("three points");
        assert_close("bound", bound, expected, 1e-5);
        for (first, count) in [(0, 0), (0, 4), (3, 1), (usize::MAX, 1)] {
            let refused = given.bound_of(x, first, count, &mut memory.scratch());
            assert_eq!(refused, Err(Error::NoPoints));
        }
    });
}

#[test]
fn residuals_are_what_decoding_the_code_leaves() {
    for_all(7, |description, model, memory, x, context| {
        let given = model.given(context);
        let (mut z, mut mean) = (vec![0.0; model.latents()], vec![0.0; model.features()]);
        let (mut deviation, mut residuals) = (mean.clone(), mean.clone());
        given.encode(x, &mut z, &mut memory.scratch()).expect("a finite row");
        given.decode(&z, &mut mean, &mut memory.scratch()).expect("a finite code");
        given.deviations(&z, &mut deviation, &mut memory.scratch()).expect("a finite code");
        given.residuals(x, &mut residuals, &mut memory.scratch()).expect("a finite row");
        for (feature, (x, residual)) in x.iter().zip(&residuals).enumerate() {
            let (mean, deviation) = (f64::from(mean[feature]), f64::from(deviation[feature]));
            let expected = (f64::from(*x) - mean) / deviation;
            // Its own digits are lost where a sensor's value is large beside its deviation.
            let rounding = f64::from(x.abs()) * 2e-7 / deviation;
            let error = (f64::from(*residual) - expected).abs();
            assert!(error <= 1e-3 * expected.abs().max(1.0) + rounding, "{residual} {expected}");
        }
        if description.likelihood == Likelihood::Bernoulli {
            assert!(mean.iter().all(|p| (0.0..=1.0).contains(p)));
        }
    });
}

/// A draw of a decoder whose deviations know nothing of z has the mean and deviations that it says, and
/// tails heavier than a Gaussian's.
#[test]
fn samples_of_student_t_features_have_their_deviations_and_tails() {
    let likelihood = Likelihood::StudentT { least: 0.5, largest: 2.0, degrees_of_freedom: 6.0 };
    let description = LatentDescription {
        likelihood,
        decoder: linear_network(2, &vec![vec![0.0; 2]; 6], &[1.0, 0.0, -1.0, 0.3, 0.0, -0.3]),
        ..linear_gaussian(1.0)
    };
    let mut random = ChaCha8Rng::seed_from_u64(4);
    with_model(&description.to_file(), |model, memory| {
        let (mut mean, mut deviation) = ([0.0; 3], [0.0; 3]);
        let given = model.given(&[]);
        given.decode(&[0.0; 2], &mut mean, &mut memory.scratch()).expect("a finite code");
        given.deviations(&[0.0; 2], &mut deviation, &mut memory.scratch()).expect("a finite code");
        let draws = 40_000;
        let mut moments = [[0.0f64; 3]; 3];
        let mut row = [0.0f32; 3];
        for _ in 0..draws {
            given.sample(&mut random, 1.0, &mut row, &mut memory.scratch()).expect("a draw");
            for feature in 0..3 {
                let z = f64::from((row[feature] - mean[feature]) / deviation[feature]);
                for (power, own) in moments[feature].iter_mut().zip([z, z.powi(2), z.powi(4)]) {
                    *power += own / f64::from(draws);
                }
            }
        }
        for [first, second, fourth] in moments {
            assert!(first.abs() < 0.03 && (second - 1.0).abs() < 0.06, "{first} {second}");
            // Of 6 degrees of freedom it is 6, of a Gaussian 3; its own tails make it uncertain.
            assert!(fourth > 4.0, "{fourth}");
        }
    });
}

/// What a feature's value adds is not less than over any of the values in the file, nor more than over
/// the best on a fine grid; of features that are 0 or 1 it is just what the other value saves.
#[test]
fn an_attribution_is_what_the_best_value_of_the_feature_saves() {
    let (mut found, mut possible) = (0.0, 0.0);
    for example in examples(12).iter().filter(|example| example.description.features.len() < 10) {
        let values = quantiles(&example.description);
        let description =
            LatentDescription { quantiles: values.clone(), ..example.description.clone() };
        let mut random = Random::new(12);
        with_model(&description.to_file(), |model, memory| {
            for _ in 0..8 {
                let x = random.row_of(&description);
                let context = random.row(&description.context);
                let given = model.given(&context);
                let mut score = |x: &[f32]| given.score(x, &mut memory.scratch()).expect("finite");
                let own = score(&x);
                let mut saved = |feature: usize, values: &[f32]| {
                    let at = |value: &f32| {
                        let mut moved = x.clone();
                        moved[feature] = *value;
                        own - score(&moved)
                    };
                    values.iter().map(at).fold(0.0, f32::max)
                };
                let tried: Vec<f32> =
                    values.iter().enumerate().map(|(index, own)| saved(index, own)).collect();
                let grid = |(index, own): (usize, &Vec<f32>)| {
                    let (low, high) = (own[0], own[own.len() - 1]);
                    let grid: Vec<f32> =
                        (0..=300).map(|step| low + (high - low) * step as f32 / 300.0).collect();
                    saved(index, if own.len() == 2 { own } else { &grid })
                };
                let best: Vec<f32> = values.iter().enumerate().map(grid).collect();
                let (mut row, mut attributions) = (x.clone(), vec![0.0; x.len()]);
                given
                    .attribute(&mut row, &mut attributions, &mut memory.scratch())
                    .expect("the file has values");
                assert_eq!(row, x, "the row is as it was");
                for ((attribution, tried), best) in attributions.iter().zip(&tried).zip(&best) {
                    assert!(attribution >= tried, "{attribution} and {tried}");
                    assert!(*attribution <= best + 0.01 * best.max(1.0), "{attribution} {best}");
                    (found, possible) = (found + attribution, possible + best);
                }
            }
        });
    }
    assert!(found > 0.95 * possible, "{found} of {possible}");
}

#[test]
fn modes_are_the_components_by_their_probability() {
    let mut mixtures = 0;
    for_all(8, |description, model, memory, x, context| {
        let given = model.given(context);
        let Some(count) = model.modes() else {
            let refused = given.mode(x, &mut [], &mut memory.scratch());
            assert_eq!(refused, Err(Error::NoModes));
            return;
        };
        mixtures += 1;
        let mut shares = vec![0.0; count];
        let mode = given.mode(x, &mut shares, &mut memory.scratch()).expect("a finite row");
        let mut z = vec![0.0; model.latents()];
        given.encode(x, &mut z, &mut memory.scratch()).expect("a finite row");
        // Each component alone, in f64.
        let terms: Vec<f64> = (0..count)
            .map(|number| {
                let mut prior = over(model.latents(), 0, &description.prior);
                let log_weight = keep(&mut prior.base, number);
                f64::from(log_weight) + oracle::log_density(&prior, &z, &[])
            })
            .collect();
        let all = oracle::log_sum_exp(&terms);
        for (share, term) in shares.iter().zip(&terms) {
            assert_close("share", *share, (term - all).exp(), 2e-3);
        }
        assert!(shares.iter().all(|share| *share <= shares[mode]));
        let found = count + 1;
        let refused = given.mode(x, &mut vec![0.0; found], &mut memory.scratch());
        assert_eq!(refused, Err(Error::Responsibilities { found, expected: count }));
    });
    assert!(mixtures > 0);
}

/// Leaves one component of a mixture, of all the weight; ln of what it had.
fn keep(base: &mut Base, number: usize) -> f32 {
    let (Base::Mixture(components) | Base::StudentTMixture { components, .. }) = base else {
        panic!("a mixture")
    };
    *components = vec![components[number].clone()];
    std::mem::replace(&mut components[0].log_weight, 0.0)
}

#[test]
fn the_type_with_sizes_gives_the_same_bits() {
    let [plain, given, bits, tails]: [(String, LatentDescription); 4] =
        goldens().try_into().expect("four golden files");
    assert_same::<3, 2, 16, 0>(&plain.1);
    assert_same::<3, 3, 24, 1>(&given.1);
    assert_same::<5, 2, 8, 0>(&bits.1);
    assert_same::<3, 2, 8, 0>(&tails.1);
    // With room to spare.
    assert_same::<3, 2, 64, 0>(&plain.1);
    let file = plain.1.to_file();
    let refusal = Error::LatentFit { features: 3, latents: 2, width: 16, context: 0 };
    assert_eq!(Latent::<3, 2, 8>::from_bytes(file.bytes()).map(|_| ()), Err(refusal));
    assert_eq!(Latent::<3, 3, 16>::from_bytes(file.bytes()).map(|_| ()), Err(refusal));
    assert_eq!(Latent::<4, 2, 16>::from_bytes(file.bytes()).map(|_| ()), Err(refusal));
    assert_eq!(Latent::<3, 2, 16, Libm, 1>::from_bytes(file.bytes()).map(|_| ()), Err(refusal));
}

fn assert_same<const D: usize, const L: usize, const H: usize, const C: usize>(
    description: &LatentDescription,
) {
    let file = description.to_file();
    let latent = Latent::<D, L, H, Libm, C>::from_bytes(file.bytes()).expect("it fits");
    assert_eq!(latent.self_test(), Ok(2));
    assert_eq!(latent.threshold().map(|own| (own.rows, own.score)), Some((120, 9.5)));
    assert_eq!(latent.p_value(20.0), Ok(1.0 / 121.0));
    let mut random = Random::new(3);
    with_model(&file, |model, memory| {
        for seed in 0..4 {
            let x: [f32; D] = random.row_of(description).try_into().expect("D values");
            let context: [f32; C] = random.row(&description.context).try_into().expect("C values");
            let (own, other): (Given<_>, Given<_>) =
                (latent.given(&context), model.given(&context));
            let scratch = &mut memory.scratch();
            assert_eq!(own.score(&x), other.score(&x, scratch));
            assert_eq!(own.is_anomaly(&x), other.is_anomaly(&x, scratch));
            assert_eq!(own.is_anomaly_at(&x, 0.1), other.is_anomaly_at(&x, 0.1, scratch));
            assert_eq!(own.terms(&x), other.terms(&x, scratch));
            assert_eq!(own.bound(&x), other.bound(&x, scratch));
            let (mut z, mut row) = ([0.0; L], [0.0; D]);
            other.encode(&x, &mut z, scratch).expect("a finite row");
            assert_eq!(own.encode(&x), Ok(z));
            assert_eq!(own.log_weight(&x, &z), other.log_weight(&x, &z, scratch));
            other.decode(&z, &mut row, scratch).expect("a finite code");
            assert_eq!(own.decode(&z), Ok(row));
            other.deviations(&z, &mut row, scratch).expect("a finite code");
            assert_eq!(own.deviations(&z), Ok(row));
            other.attribute(&mut x.clone(), &mut row, scratch).expect("a finite row");
            assert_eq!(own.attribute(&x), Ok(row));
            other.residuals(&x, &mut row, scratch).expect("a finite row");
            assert_eq!(own.residuals(&x), Ok(row));
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            other.sample(&mut generator, 0.7, &mut row, scratch).expect("a draw");
            assert_eq!(own.sample(&mut ChaCha8Rng::seed_from_u64(seed), 0.7), Ok(row));
        }
    });
}

/// x = W z + b + s e with orthogonal columns of W, so that the posterior is a diagonal Gaussian
/// (Tipping and Bishop 1999, "Probabilistic Principal Component Analysis", eq. 6); the encoder gives
/// that one, its deviations `factor` times as large.
fn linear_gaussian(factor: f32) -> LatentDescription {
    let (columns, deviation) = ([[1.2f32, 0.6, -0.6], [0.4, 0.4, 1.2]], 0.5f32);
    let mut encoder = Vec::new();
    let mut bias = vec![0.0; 2];
    for column in columns {
        let precision = column.iter().map(|w| w * w).sum::<f32>() / (deviation * deviation) + 1.0;
        let scale = 1.0 / (precision * deviation * deviation);
        encoder.push(column.map(|w| w * scale).to_vec());
        let log = (factor / precision.sqrt()).ln();
        bias.push(7.0 * log / (7.0 - log.abs()));
    }
    encoder.extend([vec![0.0; 3], vec![0.0; 3]]);
    let mut decoder: Vec<Vec<f32>> =
        (0..3).map(|feature| columns.map(|column| column[feature]).to_vec()).collect();
    decoder.extend(vec![vec![0.0; 2]; 3]);
    let (low, high) = (0.01f32.ln(), 4f32.ln());
    let log = deviation.ln() - 0.5 * (low + high);
    let clip = 0.5 * (high - low);
    let raw = clip * log / (clip - log.abs());
    let feature = |number| Feature {
        name: format!("f{number}"),
        centre: 0.0,
        scale: 1.0,
        low: -4.0,
        high: 4.0,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    LatentDescription {
        features: (0..3).map(feature).collect(),
        latents: 2,
        encoder: linear_network(3, &encoder, &bias),
        decoder: linear_network(2, &decoder, &[0.0, 0.0, 0.0, raw, raw, raw]),
        ..LatentDescription::default()
    }
}

/// log N(x; 0, W W^T + s^2 I), by the same columns.
fn linear_gaussian_log_density(x: &[f32]) -> f64 {
    let columns = [[1.2f64, 0.6, -0.6], [0.4, 0.4, 1.2]];
    let norms = columns.map(|column| column.iter().map(|w| w * w).sum::<f64>());
    let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let mut rest: f64 = x.iter().map(|x| x * x).sum();
    let mut log_density = 0.0;
    for (column, norm) in columns.iter().zip(norms) {
        let along = column.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>() / norm.sqrt();
        rest -= along * along;
        log_density -= 0.5 * (along * along / (norm + 0.25) + (norm + 0.25).ln());
    }
    log_density -= 0.5 * (rest / 0.25 + 0.25f64.ln());
    log_density - 1.5 * (2.0 * std::f64::consts::PI).ln()
}

fn normals(random: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    let mut uniform = || (f64::from(random.next_u32()) + 0.5) / 2f64.powi(32);
    let normal = |_| {
        let (u, angle) = (uniform(), 2.0 * std::f64::consts::PI * uniform());
        ((-2.0 * u.ln()).sqrt() * angle.cos()) as f32
    };
    (0..count).map(normal).collect()
}

/// With the true posterior every draw has the same weight, p(x).
#[test]
fn every_weight_is_the_density_where_the_posterior_is_the_true_one() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    with_model(&linear_gaussian(1.0).to_file(), |model, memory| {
        for _ in 0..50 {
            let (x, noise) = (normals(&mut random, 3), normals(&mut random, 2));
            let expected = linear_gaussian_log_density(&x);
            let given = model.given(&[]);
            let weight = given.log_weight(&x, &noise, &mut memory.scratch()).expect("finite");
            assert_close("weight", weight, expected, 2e-5);
            let score = given.score(&x, &mut memory.scratch()).expect("finite");
            assert_close("score", -score, expected, 2e-5);
        }
    });
}

/// With another posterior the mean log-weight is below log p(x) by the Kullback-Leibler divergence,
/// and the bound rises with the number of draws.
#[test]
fn the_bound_rises_to_the_density_with_the_draws() {
    let factor = 1.6;
    let mut random = ChaCha8Rng::seed_from_u64(2);
    with_model(&linear_gaussian(factor).to_file(), |model, memory| {
        let x = [0.9, -0.4, 0.3];
        let log_density = linear_gaussian_log_density(&x);
        let draws = 4096;
        let weights: Vec<f64> = (0..draws)
            .map(|_| normals(&mut random, 2))
            .map(|noise| model.given(&[]).log_weight(&x, &noise, &mut memory.scratch()))
            .map(|weight| f64::from(weight.expect("finite")))
            .collect();
        let bound = |count: usize| {
            let groups = weights.chunks_exact(count);
            let logs = groups.map(|group| oracle::log_sum_exp(group) - (count as f64).ln());
            logs.sum::<f64>() / (draws / count) as f64
        };
        let bounds = [1, 4, 16, 64].map(bound);
        assert!(bounds.is_sorted(), "{bounds:?}");
        assert!(bounds[3] <= log_density + 0.01, "{bounds:?} {log_density}");
        assert!(log_density - bounds[3] < 0.02, "{bounds:?} {log_density}");
        // Of two Gaussians in each of two dimensions.
        let square = f64::from(factor).powi(2);
        let divergence = 2.0 * 0.5 * (square - 1.0 - square.ln());
        assert!((log_density - bounds[0] - divergence).abs() < 0.05, "{bounds:?} {log_density}");
    });
}

#[test]
fn samples_have_the_model_s_covariance() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    with_model(&linear_gaussian(1.0).to_file(), |model, memory| {
        let draws = 20_000;
        let (mut sums, mut row) = ([[0.0f64; 3]; 3], [0.0f32; 3]);
        for _ in 0..draws {
            model
                .given(&[])
                .sample(&mut random, 1.0, &mut row, &mut memory.scratch())
                .expect("a draw");
            for (line, a) in sums.iter_mut().zip(row) {
                line.iter_mut().zip(row).for_each(|(sum, b)| *sum += f64::from(a * b));
            }
        }
        let columns = [[1.2f64, 0.6, -0.6], [0.4, 0.4, 1.2]];
        for i in 0..3 {
            for j in 0..3 {
                let own: f64 = columns.iter().map(|column| column[i] * column[j]).sum();
                let expected = own + if i == j { 0.25 } else { 0.0 };
                let found = sums[i][j] / f64::from(draws);
                assert!((found - expected).abs() < 0.06, "{i} {j}: {found} {expected}");
            }
        }
        model.given(&[]).sample(&mut random, 0.0, &mut row, &mut memory.scratch()).expect("a draw");
        assert_eq!(row, [0.0; 3], "the centre");
    });
}

#[test]
fn extreme_rows_give_numbers() {
    const EXTREMES: [f32; 8] =
        [1e30, -1e30, 1e-30, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 0.0, -0.0];
    for example in examples(9) {
        let LatentDescription { features, context, likelihood, latents, .. } = &example.description;
        with_model(&example.description.to_file(), |model, memory| {
            for (number, extreme) in EXTREMES.into_iter().enumerate() {
                let value = match likelihood {
                    Likelihood::Gaussian { .. } | Likelihood::StudentT { .. } => extreme,
                    Likelihood::Bernoulli => f32::from(number as u8 % 2),
                };
                let (x, context) = (vec![value; features.len()], vec![extreme; context.len()]);
                let given = model.given(&context);
                let scratch = &mut memory.scratch();
                assert!(given.score(&x, scratch).expect("finite").is_finite(), "{}", example.name);
                assert!(given.bound(&x, scratch).expect("finite").is_finite());
                let noise = vec![extreme; *latents];
                assert!(given.log_weight(&x, &noise, scratch).expect("finite").is_finite());
                let mut row = vec![0.0; features.len()];
                for what in 0..3 {
                    match what {
                        0 => given.decode(&noise, &mut row, scratch),
                        1 => given.deviations(&noise, &mut row, scratch),
                        _ => given.residuals(&x, &mut row, scratch),
                    }
                    .expect("finite");
                    assert!(row.iter().all(|value| value.is_finite()), "{}", example.name);
                }
            }
        });
    }
}

#[test]
fn what_is_no_row_code_or_context_is_refused() {
    let [(_, plain), (_, given), (_, bits), _]: [(String, LatentDescription); 4] =
        goldens().try_into().expect("four golden files");
    with_model(&plain.to_file(), |model, memory| {
        let scratch = &mut memory.scratch();
        let given = model.given(&[]);
        let not_finite = Err(Error::NotFinite { feature: 1 });
        assert_eq!(given.score(&[1.0, f32::NAN, 1.0], scratch), not_finite);
        let length = Error::RowLength { found: 2, expected: 3 };
        assert_eq!(given.score(&[1.0; 2], scratch), Err(length));
        assert_eq!(given.decode(&[0.0; 2], &mut [0.0; 2], scratch), Err(length));
        assert_eq!(given.residuals(&[0.0; 3], &mut [0.0; 2], scratch), Err(length));
        let code = Error::CodeLength { found: 3, expected: 2 };
        assert_eq!(given.decode(&[0.0; 3], &mut [0.0; 3], scratch), Err(code));
        assert_eq!(given.encode(&[0.0; 3], &mut [0.0; 3], scratch), Err(code));
        assert_eq!(given.log_weight(&[0.0; 3], &[0.0; 3], scratch), Err(code));
        let nan = Err(Error::CodeNotFinite { index: 1 });
        assert_eq!(given.decode(&[0.0, f32::INFINITY], &mut [0.0; 3], scratch), nan);
        assert_eq!(given.deviations(&[0.0, f32::NAN], &mut [0.0; 3], scratch), nan);
        let context = Err(Error::ContextLength { found: 1, expected: 0 });
        assert_eq!(model.given(&[1.0]).score(&[1.0; 3], scratch), context);
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let temperature = Err(Error::Temperature);
        assert_eq!(given.sample(&mut random, -1.0, &mut [0.0; 3], scratch), temperature);
    });
    with_model(&given.to_file(), |model, memory| {
        let refused = model.given(&[f32::NAN]).score(&[1.0; 3], &mut memory.scratch());
        assert_eq!(refused, Err(Error::ContextNotFinite { index: 0 }));
        assert_eq!((model.offset(1), model.step(1)), (1e9, 0.5));
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut row = [0.0; 3];
        let scratch = &mut memory.scratch();
        model.given(&[0.0]).sample(&mut random, 1.0, &mut row, scratch).expect("a draw");
        let steps = (row[1] - given.features[1].low) / 0.5;
        assert_eq!(steps, steps.round(), "a value on the steps of its column");
    });
    with_model(&bits.to_file(), |model, memory| {
        let refused = model.given(&[]).score(&[0.0, 1.0, 0.5, 0.0, 0.0], &mut memory.scratch());
        assert_eq!(refused, Err(Error::NotBinary { feature: 2 }));
        let (mut random, mut row) = (ChaCha8Rng::seed_from_u64(0), [0.5; 5]);
        model.given(&[]).sample(&mut random, 1.0, &mut row, &mut memory.scratch()).expect("a draw");
        assert!(row.iter().all(|bit| *bit == 0.0 || *bit == 1.0));
    });
    let bare =
        LatentDescription { calibration: None, points: Vec::new(), quantiles: Vec::new(), ..plain };
    with_model(&bare.to_file(), |model, memory| {
        let scratch = &mut memory.scratch();
        assert_eq!(model.given(&[]).is_anomaly(&[0.0; 3], scratch), Err(Error::NoCalibration));
        assert_eq!(model.given(&[]).bound(&[0.0; 3], scratch), Err(Error::NoPoints));
        let refused = model.given(&[]).attribute(&mut [0.0; 3], &mut [0.0; 3], scratch);
        assert_eq!(refused, Err(Error::NoQuantiles));
    });
}

fn open(bytes: &[u8]) -> Result<(), Error> {
    LatentModel::<Libm>::from_bytes(ModelFile::new(bytes).bytes()).map(|_| ())
}

fn golden_path(name: &str) -> String {
    format!("{}/tests/golden/{name}.flow", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_golden_files_are_what_is_written_today() {
    for (name, description) in goldens() {
        let (path, file) = (golden_path(&name), description.to_file());
        if std::env::var_os("FLOWLET_OVERWRITE").is_some() {
            std::fs::write(&path, file.bytes()).expect("tests/golden is writable");
        }
        let golden = std::fs::read(&path).expect("a golden file");
        assert_eq!(file.bytes(), golden, "{name}: a changed format: see tests/format.rs");
        with_model(&ModelFile::new(&golden), |model, memory| {
            assert_eq!(model.self_test(&mut memory.scratch()), Ok(2), "{name}");
            assert_eq!(model.provenance(), "generator=tests\n");
            let expected = [&description.features[..], &description.context].concat();
            let names = model.feature_names().chain(model.context_names());
            assert!(names.eq(expected.iter().map(|column| column.name.as_str())));
        });
    }
}

#[test]
fn every_truncation_and_every_flip_of_one_bit_is_refused() {
    for (_, description) in goldens() {
        let file = description.to_file();
        let bytes = file.bytes();
        for length in 0..bytes.len() {
            assert!(open(&bytes[..length]).is_err(), "{length}");
        }
        for bit in 0..8 * bytes.len() {
            // The minor version and nothing else is free to change, under the checksum.
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_flow_and_a_latent_model_are_told_apart() {
    let (flow, latent) = (small().to_file(), goldens()[0].1.to_file());
    assert_eq!(open(flow.bytes()), Err(Error::IsFlow));
    assert_eq!(Model::<Libm>::from_bytes(latent.bytes()).map(|_| ()), Err(Error::IsLatent));
    assert_eq!(Flow::<3, 16>::from_bytes(latent.bytes()).map(|_| ()), Err(Error::IsLatent));
    let with = |tag| {
        let section = sections(&flow).into_iter().find(|(own, _)| *own == tag).expect("there");
        open(envelope(&[sections(&latent), vec![section]].concat()).bytes())
    };
    assert_eq!(with(tag::FLOW), Err(Error::UnknownSection { tag: tag::FLOW }));
    let repeated = Err(Error::RepeatedSection { tag: tag::STANDARDISATION });
    assert_eq!(with(tag::STANDARDISATION), repeated);
}

fn sections(file: &ModelFile) -> Vec<(u32, Vec<u8>)> {
    let message = &file.bytes()[10..file.bytes().len() - 4];
    let (count, mut rest) = postcard::take_from_bytes::<u32>(message).expect("a count");
    let section = |_| {
        let (section, behind) = postcard::take_from_bytes::<Section>(rest).expect("a section");
        rest = behind;
        (section.tag, section.contents.to_vec())
    };
    (0..count).map(section).collect()
}

/// The file with word `word` of section `tag` replaced, its checksum right.
fn with_word(description: &LatentDescription, tag: u32, word: usize, value: u32) -> ModelFile {
    let mut sections = sections(&description.to_file());
    let (_, contents) = sections.iter_mut().find(|(other, _)| *other == tag).expect("the section");
    contents[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
    envelope(&sections)
}

#[test]
fn each_word_that_makes_no_sense_has_its_refusal() {
    let description = goldens().remove(0).1;
    let latent = tag::LATENT;
    let setting = |word| Error::LatentSetting { word };
    let nan = f32::NAN.to_bits();
    // Encoder 3 -> 5 -> 9 -> 4, decoder 2 -> 5 -> 9 -> 6, in blocks of 8 rows.
    let encoder = 8 * 4 + 16 * 6 + 8 * 10;
    let decoder = 8 * 3 + 16 * 6 + 8 * 10;
    let posterior = 20 + encoder + decoder;
    let cases = [
        (latent, 0, 1, setting(0)),
        (latent, 0, 65, setting(0)),
        (latent, 1, 65, setting(1)),
        (latent, 2, 1, setting(2)),
        (latent, 2, 65, setting(2)),
        (latent, 3, 17, setting(3)),
        (latent, 4, 0, setting(4)),
        (latent, 4, 4, setting(4)),
        // A Student-t likelihood without degrees of freedom, and what another does not have.
        (latent, 4, 3, setting(19)),
        (latent, 19, 5f32.to_bits(), setting(19)),
        // Settings that a Bernoulli likelihood does not have.
        (latent, 4, 2, setting(6)),
        (latent, 5, 7, Error::LatentFlow { name: "posterior" }),
        (latent, 6, nan, setting(6)),
        (latent, 6, 0, setting(6)),
        (latent, 6, (-1f32).to_bits(), setting(6)),
        (latent, 6, 5f32.to_bits(), setting(7)),
        (latent, 7, f32::INFINITY.to_bits(), setting(7)),
        (latent, 8, 0, setting(12)),
        (latent, 8, u32::MAX, setting(8)),
        (latent, 8, encoder as u32 + 8, setting(8)),
        (latent, 9, u32::MAX, setting(9)),
        (latent, 9, decoder as u32 + 8, setting(9)),
        (latent, 10, u32::MAX, setting(10)),
        (latent, 11, 0, setting(11)),
        (latent, 11, 4, setting(11)),
        (latent, 11, 1, setting(11)),
        (latent, 12, 0, setting(12)),
        (latent, 12, u32::MAX, setting(12)),
        (latent, 14, 1, setting(11)),
        (latent, 15, 3, setting(18)),
        (latent, 16, 0, setting(16)),
        (latent, 20, nan, Error::LatentParameter { index: 0 }),
        (latent, 20 + encoder + 2, 1e9f32.to_bits(), Error::LatentParameter { index: encoder + 2 }),
        // The posterior's flow: of other sizes, over another base.
        (latent, posterior, 3, Error::LatentFlow { name: "posterior" }),
        (latent, posterior + 1, 1, Error::LatentFlow { name: "posterior" }),
        (latent, posterior + 3, 2, Error::LatentFlow { name: "posterior" }),
        (latent, posterior + 4, 1, Error::SectionLength { tag: 13, actual: 0, expected: 13 }),
        (latent, posterior + 2, 9, Error::Base { kind: 9 }),
        (latent, posterior + 8 + 3, 2, Error::LatentFlow { name: "prior" }),
        (tag::STANDARDISATION, 5, 0, Error::Standardisation { feature: 1 }),
        (tag::POINTS, 3, nan, Error::Point { index: 3 }),
        (tag::POINTS, 0, 1e9f32.to_bits(), Error::Point { index: 0 }),
        (tag::CALIBRATION, 4, nan, Error::Calibration),
        (tag::ATTRIBUTION, 2, nan, Error::Quantiles { feature: 0 }),
        (tag::ATTRIBUTION, 4, f32::MAX.to_bits(), Error::Quantiles { feature: 1 }),
        (tag::ATTRIBUTION, 0, 2, Error::SectionLength { tag: 8, actual: 10, expected: 7 }),
        (tag::NAMES, 0, 0xffff_ff0f, Error::Name { feature: 0 }),
        (tag::PROVENANCE, 0, u32::MAX, Error::Provenance),
    ];
    let wrong: Vec<_> = cases
        .into_iter()
        .map(|case| (case, open(with_word(&description, case.0, case.1, case.2).bytes())))
        .filter(|((.., refusal), found)| *found != Err(*refusal))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let wrong = |flow: LatentFlow| {
        let own = LatentDescription { posterior: flow, ..description.clone() };
        open(own.to_file().bytes())
    };
    let base = Base::StudentT { degrees_of_freedom: 3.0 };
    let refusal = Err(Error::LatentFlow { name: "posterior" });
    assert_eq!(wrong(LatentFlow { layers: Vec::new(), base }), refusal);
    let base = Base::StandardNormal;
    let walked = Random::new(1).autoregressive_given(0, 2, Side::X, AFFINE, &[8]);
    assert_eq!(wrong(LatentFlow { layers: vec![walked], base }), refusal);
    let autoregressive = Random::new(1).autoregressive_given(0, 2, Side::X, AFFINE, &[8]);
    let layers = vec![autoregressive];
    let prior = LatentFlow { layers, base: Base::StandardNormal };
    let own = LatentDescription { prior, ..description.clone() };
    assert_eq!(open(own.to_file().bytes()), Err(Error::LatentFlow { name: "prior" }));
    let components =
        vec![Component { log_weight: 0.0, mean: vec![0.0; 2], precision_factor: vec![0.0; 2] }];
    let prior = LatentFlow { layers: Vec::new(), base: Base::Mixture(components) };
    let own = LatentDescription { prior, ..description.clone() };
    assert_eq!(open(own.to_file().bytes()), Err(Error::Component { number: 0 }));
    let mut binary = goldens().remove(2).1;
    binary.features[3].centre = 0.5;
    assert_eq!(open(binary.to_file().bytes()), Err(Error::Standardisation { feature: 3 }));
    let mut binary = goldens().remove(2).1;
    binary.quantiles[4][1] = 0.5;
    assert_eq!(open(binary.to_file().bytes()), Err(Error::Quantiles { feature: 4 }));
    assert_eq!(GAUSSIAN, description.likelihood);
}

#[test]
fn sections_missing_or_cut_are_refused() {
    let all = sections(&goldens()[0].1.to_file());
    for (tag, _) in &all {
        let without: Vec<_> = all.iter().filter(|(other, _)| other != tag).cloned().collect();
        let expected = match *tag {
            tag::LATENT => Err(Error::IsFlow),
            tag::POINTS => Ok(()),
            tag if tag % 2 == 0 => Ok(()),
            tag => Err(Error::MissingSection { tag }),
        };
        assert_eq!(open(envelope(&without).bytes()), expected, "without section {tag}");
        let again: Vec<_> =
            all.iter().chain(all.iter().filter(|(other, _)| other == tag)).cloned().collect();
        assert_eq!(open(envelope(&again).bytes()), Err(Error::RepeatedSection { tag: *tag }));
        for change in [-1isize, 1] {
            let mut altered = all.clone();
            let (_, contents) = altered.iter_mut().find(|(other, _)| other == tag).expect("there");
            contents.resize((contents.len() as isize + 4 * change) as usize, b'x');
            let found = open(envelope(&altered).bytes());
            let fine = *tag == tag::PROVENANCE;
            assert_eq!(found.is_ok(), fine, "section {tag}, {change} words: {found:?}");
        }
    }
}
