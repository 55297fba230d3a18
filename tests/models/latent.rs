//! Latent models to state laws over, and their importance weights in f64.

use flowlet::bijection::{Half, Side};
use flowlet::write::{
    Base, Calibration, Description, Feature, LatentDescription, LatentFlow, Likelihood, Linear,
    ModelFile,
};
use flowlet::{LatentMemory, LatentModel, Libm};

use super::{AFFINE, Random, SPLINE, oracle};

pub const GAUSSIAN: Likelihood = Likelihood::Gaussian { least: 0.01, largest: 4.0 };

pub const STUDENT_T: Likelihood =
    Likelihood::StudentT { least: 0.01, largest: 4.0, degrees_of_freedom: 3.5 };

/// A named latent model.
pub struct Example {
    pub name: String,
    pub description: LatentDescription,
}

/// The flow of a posterior, over so many values given so many.
type Posterior = fn(&mut Random, usize, usize) -> LatentFlow;
/// The prior over so many values.
type Prior = fn(&mut Random, usize) -> LatentFlow;
/// Name, D, C, L and H, widths of hidden layers, and the parts.
type Shape<'a> = (&'a str, [usize; 4], &'a [usize], Likelihood, Posterior, Prior);

/// Models of every kind of likelihood, posterior and prior.
pub fn examples(seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    let shapes: [Shape; 12] = [
        ("plain", [3, 0, 2, 0], &[8], GAUSSIAN, gaussian, normal),
        ("modes", [8, 0, 6, 0], &[64, 64], GAUSSIAN, gaussian, diagonal),
        ("iaf", [8, 0, 6, 16], &[64, 64], GAUSSIAN, iaf, normal),
        ("real-nvp", [5, 2, 3, 4], &[16], GAUSSIAN, real_nvp, flow),
        ("deep", [9, 3, 4, 5], &[7, 40, 24], GAUSSIAN, iaf, diagonal),
        ("full", [5, 0, 4, 0], &[16], GAUSSIAN, gaussian, full),
        ("wide code", [3, 0, 5, 3], &[12, 12], GAUSSIAN, splines, student_t),
        ("tails", [8, 0, 6, 16], &[64, 64], STUDENT_T, iaf, normal),
        ("tails given", [5, 2, 3, 0], &[16], STUDENT_T, gaussian, full),
        ("pixels", [64, 0, 8, 16], &[32, 32], Likelihood::Bernoulli, iaf, student_t_mixture),
        ("bits", [4, 1, 2, 1], &[5], Likelihood::Bernoulli, gaussian, normal),
        ("most", [64, 64, 64, 16], &[8], GAUSSIAN, gaussian, normal),
    ];
    let mut example = |(name, sizes, hidden, likelihood, posterior, prior): Shape| {
        let [_, _, latents, summary] = sizes;
        let description = LatentDescription {
            posterior: posterior(&mut random, latents, summary),
            prior: prior(&mut random, latents),
            ..random.autoencoder(sizes, hidden, likelihood)
        };
        Example { name: format!("{name} {sizes:?}, {hidden:?}"), description }
    };
    shapes.map(&mut example).into()
}

fn gaussian(_: &mut Random, _: usize, _: usize) -> LatentFlow {
    LatentFlow::default()
}

fn iaf(random: &mut Random, size: usize, given: usize) -> LatentFlow {
    let layers = vec![
        random.autoregressive_given(given, size, Side::Z, AFFINE, &[24, 16]),
        random.permutation(size),
        random.autoregressive_given(given, size, Side::Z, AFFINE, &[16]),
    ];
    LatentFlow { layers, base: Base::StandardNormal }
}

fn real_nvp(random: &mut Random, size: usize, given: usize) -> LatentFlow {
    let layers = vec![
        random.coupling_given(given, size, Half::First, AFFINE, &[16]),
        random.coupling_given(given, size, Half::Second, AFFINE, &[8, 8]),
    ];
    LatentFlow { layers, base: Base::StandardNormal }
}

fn splines(random: &mut Random, size: usize, given: usize) -> LatentFlow {
    let layers = vec![random.coupling_given(given, size, Half::Second, SPLINE, &[8])];
    LatentFlow { layers, base: Base::StandardNormal }
}

fn normal(_: &mut Random, _: usize) -> LatentFlow {
    LatentFlow::default()
}

fn flow(random: &mut Random, size: usize) -> LatentFlow {
    let layers = random.real_nvp(size, 2, &[8]);
    LatentFlow { layers, base: Base::StandardNormal }
}

fn student_t(_: &mut Random, _: usize) -> LatentFlow {
    LatentFlow { layers: Vec::new(), base: Base::StudentT { degrees_of_freedom: 5.0 } }
}

fn diagonal(random: &mut Random, size: usize) -> LatentFlow {
    LatentFlow { layers: Vec::new(), base: Base::Mixture(random.components(size, 3, false)) }
}

fn full(random: &mut Random, size: usize) -> LatentFlow {
    LatentFlow { layers: Vec::new(), base: Base::Mixture(random.components(size, 4, true)) }
}

fn student_t_mixture(random: &mut Random, size: usize) -> LatentFlow {
    let components = random.components(size, 2, false);
    let base = Base::StudentTMixture { degrees_of_freedom: 6.5, components };
    LatentFlow { layers: random.real_nvp(size, 2, &[8]), base }
}

impl Random {
    /// Random networks, a Gaussian posterior and a standard normal prior.
    fn autoencoder(
        &mut self,
        [features, context, latents, summary]: [usize; 4],
        hidden: &[usize],
        likelihood: Likelihood,
    ) -> LatentDescription {
        let mut own = self.features(features);
        let outputs = match likelihood {
            Likelihood::Gaussian { .. } | Likelihood::StudentT { .. } => 2 * features,
            Likelihood::Bernoulli => {
                own.iter_mut()
                    .for_each(|f| (f.centre, f.scale, f.low, f.high) = (0.0, 1.0, 0.0, 1.0));
                features
            }
        };
        LatentDescription {
            features: own,
            context: self.features(context),
            latents,
            summary,
            likelihood,
            encoder: self.network(context + features, hidden, summary + 2 * latents),
            decoder: self.network(context + latents, hidden, outputs),
            points: (0..3 * latents).map(|_| 2.0 * self.uniform()).collect(),
            ..LatentDescription::default()
        }
    }

    /// A raw row of the model.
    pub fn row_of(&mut self, description: &LatentDescription) -> Vec<f32> {
        match description.likelihood {
            Likelihood::Gaussian { .. } | Likelihood::StudentT { .. } => {
                self.row(&description.features)
            }
            Likelihood::Bernoulli => {
                let bit = |_: &Feature| f32::from(u8::from(self.uniform() > 0.0));
                description.features.iter().map(bit).collect()
            }
        }
    }
}

/// Small models by the names of their golden files.
pub fn goldens() -> Vec<(String, LatentDescription)> {
    let mut random = Random::new(11);
    let mut plain = random.autoencoder([3, 0, 2, 0], &[5, 9], GAUSSIAN);
    plain.prior = diagonal(&mut random, 2);
    let mut given = random.autoencoder([3, 1, 3, 2], &[8], GAUSSIAN);
    given.posterior = iaf(&mut random, 3, 2);
    (given.features[1].offset, given.features[1].step) = (1e9, 0.5);
    let bits = random.autoencoder([5, 0, 2, 0], &[8], Likelihood::Bernoulli);
    let tails = random.autoencoder([3, 0, 2, 0], &[8], STUDENT_T);
    let goldens = [
        ("latent", plain),
        ("latent_iaf", given),
        ("latent_bernoulli", bits),
        ("latent_student_t", tails),
    ];
    goldens.map(|(name, own)| (name.to_owned(), complete(&mut random, own))).into()
}

/// Values that attribution tries.
pub fn quantiles(description: &LatentDescription) -> Vec<Vec<f32>> {
    let own = |feature: &Feature| match description.likelihood {
        Likelihood::Gaussian { .. } | Likelihood::StudentT { .. } => {
            [-1.5, 0.0, 1.5].map(|z| feature.centre + z * feature.scale).into()
        }
        Likelihood::Bernoulli => vec![0.0, 1.0],
    };
    description.features.iter().map(own).collect()
}

/// With a threshold, values for attribution, provenance and two self-test vectors.
fn complete(random: &mut Random, mut description: LatentDescription) -> LatentDescription {
    description.calibration = Some(Calibration {
        rows: 120,
        thresholds: vec![(0.01, 9.5)],
        quantiles: vec![(1.5, 90), (9.5, 1), (11.25, 0)],
        tail: None,
    });
    description.quantiles = quantiles(&description);
    description.provenance = "generator=tests\n".into();
    for _ in 0..2 {
        let (x, context) = (random.row_of(&description), random.row(&description.context));
        let file = description.to_file();
        let score = with_model(&file, |model, memory| {
            model.given(&context).score(&x, &mut memory.scratch()).expect("a finite row")
        });
        description.self_test.push(([x, context].concat(), score));
    }
    description
}

/// Opens `file`, which must be a latent model's.
pub fn with_model<T>(
    file: &ModelFile,
    call: impl FnOnce(&LatentModel<Libm>, &mut LatentMemory) -> T,
) -> T {
    let model = LatentModel::from_bytes(file.bytes()).expect("a model just written");
    call(&model, &mut LatentMemory::of(&model))
}

/// A draw that stands for the place `u` of the posterior flow, and ln of its importance weight.
pub fn log_weight(
    description: &LatentDescription,
    x: &[f32],
    context: &[f32],
    u: &[f64],
) -> (Vec<f32>, f64) {
    let LatentDescription { latents, summary, .. } = *description;
    let standardised = |row: &[f32], columns: &[Feature]| -> Vec<f64> {
        let value = |(x, own): (&f32, &Feature)| {
            (f64::from(*x) - f64::from(own.centre)) / f64::from(own.scale)
        };
        row.iter().zip(columns).map(value).collect()
    };
    let (row, given) =
        (standardised(x, &description.features), standardised(context, &description.context));
    let outputs = oracle::run(&description.encoder, &[&given[..], &row].concat());
    let (h, rest) = outputs.split_at(summary);
    let (mean, raw) = rest.split_at(latents);
    let log_deviations: Vec<f64> = raw.iter().map(|raw| oracle::soft_clip(*raw, 7.0)).collect();

    let (mut noise, h) = (u.to_vec(), h.iter().map(|h| *h as f32).collect::<Vec<_>>());
    let posterior = over(latents, summary, &description.posterior);
    let log_det = oracle::inverse(&posterior, &mut noise, &h);
    let single: Vec<f32> = noise.iter().map(|e| *e as f32).collect();
    let log_normal = |z: f64| -0.5 * z * z - 0.5 * (2.0 * std::f64::consts::PI).ln();
    let log_q = noise.iter().map(|e| log_normal(*e)).sum::<f64>() + log_det
        - log_deviations.iter().sum::<f64>();

    let places = u.iter().zip(mean).zip(&log_deviations);
    let z: Vec<f64> = places.map(|((u, mean), log)| mean + log.exp() * u).collect();
    let outputs = oracle::run(&description.decoder, &[&given[..], &z].concat());
    let reconstruction: f64 = match description.likelihood {
        Likelihood::Gaussian { least, largest } | Likelihood::StudentT { least, largest, .. } => {
            let (low, high) = (f64::from(least).ln(), f64::from(largest).ln());
            let (means, raws) = outputs.split_at(row.len());
            let features = row.iter().zip(means).zip(raws).zip(&description.features);
            features
                .map(|(((x, mean), raw), own)| {
                    let log_deviation =
                        0.5 * (low + high) + oracle::soft_clip(*raw, 0.5 * (high - low));
                    let residual = (x - mean) * (-log_deviation).exp();
                    let density = match description.likelihood {
                        Likelihood::StudentT { degrees_of_freedom, .. } => {
                            oracle::student_t(f64::from(degrees_of_freedom), residual)
                        }
                        _ => log_normal(residual),
                    };
                    density - log_deviation - f64::from(own.scale).ln()
                })
                .sum()
        }
        Likelihood::Bernoulli => {
            let log_mass = |(x, logit): (&f64, &f64)| -(-(2.0 * x - 1.0) * logit).exp().ln_1p();
            row.iter().zip(&outputs).map(log_mass).sum()
        }
    };
    let single_z: Vec<f32> = z.iter().map(|z| *z as f32).collect();
    let prior = oracle::log_density(&over(latents, 0, &description.prior), &single_z, &[]);
    (single, reconstruction + prior - log_q)
}

/// A flow over latent values as a model of its own.
pub fn over(latents: usize, context: usize, flow: &LatentFlow) -> Description {
    let feature = |number| Feature {
        name: format!("z{number}"),
        centre: 0.0,
        scale: 1.0,
        low: 0.0,
        high: 0.0,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    let columns = |count| (0..count).map(feature).collect();
    let LatentFlow { layers, base } = flow.clone();
    Description {
        features: columns(latents),
        context: columns(context),
        layers,
        base,
        ..Description::default()
    }
}

/// A network that computes `weights` x + `bias` of `columns` inputs, by a ReLU of each of them and of
/// its negative.
pub fn linear_network(columns: usize, weights: &[Vec<f32>], bias: &[f32]) -> Vec<Linear> {
    let mut pairs = vec![0.0; 2 * columns * columns];
    for column in 0..columns {
        pairs[2 * column * columns + column] = 1.0;
        pairs[(2 * column + 1) * columns + column] = -1.0;
    }
    let hidden =
        Linear { rows: 2 * columns, columns, weights: pairs, bias: vec![0.0; 2 * columns] };
    let output = Linear {
        rows: bias.len(),
        columns: 2 * columns,
        weights: weights.iter().flatten().flat_map(|w| [*w, -*w]).collect(),
        bias: bias.to_vec(),
    };
    vec![hidden, output]
}
