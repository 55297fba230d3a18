//! Models of every family with random weights, for what a row costs does not hang on what was
//! learned.

pub mod varied;

use flowlet::bijection::{Half, Side};
use flowlet::write::{
    Base, Component, Description, Feature, LatentDescription, LatentFlow, Layer, Linear,
};
use flowlet::{Balance, ScalarMap, Usual};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers of features that a model is made for.
const FEATURES: [usize; 4] = [8, 16, 32, 64];
/// Widths of every network's hidden layers.
const HIDDEN: [usize; 2] = [64, 64];
/// Components of a mixture.
const COMPONENTS: usize = 10;
/// Of every Student-t.
const DEGREES_OF_FREEDOM: f32 = 5.0;

/// What every score weighs; a log-determinant above the median costs a row less.
const BALANCE: Balance = Balance {
    base: Usual { median: -10.0, deviation: 3.0 },
    log_det_jacobian: Usual { median: 100.0, deviation: 5.0 },
};

const AFFINE: ScalarMap = ScalarMap::Affine { clip: 2.0 };
const SPLINE: ScalarMap = ScalarMap::Spline { bound: 5.0 };

/// The layers of one step of a flow, given its number and the number of features.
type Step = fn(&mut Random, usize, usize) -> Vec<Layer>;

/// Families that have layers, with their numbers of steps.
const FAMILIES: [(&str, usize, Step); 6] = [
    ("real_nvp", 5, |random, number, features| random.coupling_step(number, features, AFFINE)),
    ("glow", 5, |random, number, features| random.glow_step(number, features, features)),
    ("maf", 5, |random, number, features| {
        random.autoregressive_step(number, features, Side::X, AFFINE)
    }),
    ("iaf", 5, |random, number, features| {
        random.autoregressive_step(number, features, Side::Z, AFFINE)
    }),
    ("spline_coupling", 3, |random, number, features| {
        random.coupling_step(number, features, SPLINE)
    }),
    ("spline_autoregressive", 3, |random, number, features| {
        random.autoregressive_step(number, features, Side::X, SPLINE)
    }),
];

/// Every model with its name.
pub fn all() -> Vec<(String, Description)> {
    let mut models = Vec::new();
    for (family, steps, step) in FAMILIES {
        for features in FEATURES {
            let mut random = Random::new();
            let layers = (0..steps).flat_map(|number| step(&mut random, number, features));
            let description = Description { layers: layers.collect(), ..standardised(features) };
            models.push((format!("{family}_d{features}_{steps}x64x64"), description));
        }
    }
    let layers = Random::new().glow_image(&[(16, 4), (4, 8), (1, 16)], 4);
    models.push(("glow_image_8x8x1".into(), Description { layers, ..standardised(64) }));
    for features in FEATURES {
        let base = Base::Mixture(Random::new().components(features));
        let description = Description { base, ..standardised(features) };
        models.push((format!("gmm_d{features}_{COMPONENTS}"), description));
    }
    models.extend(
        bases(8)
            .map(|(name, base)| (format!("{name}_d8"), Description { base, ..standardised(8) })),
    );
    models
}

/// Latent models of 8 features with 6 latent values, by name: of a Gaussian posterior, and of two
/// inverse autoregressive layers.
pub fn latents() -> Vec<(String, LatentDescription)> {
    let (features, latents) = (8, 6);
    let model = |layers: usize, summary: usize| {
        let mut random = Random::new();
        let network = |random: &mut Random, inputs, outputs| random.network(inputs, outputs);
        let encoder = network(&mut random, features, summary + 2 * latents);
        let decoder = network(&mut random, latents, 2 * features);
        let mut posterior = Vec::new();
        for number in 0..layers {
            if number > 0 {
                posterior.push(Layer::Permutation((0..latents as u32).rev().collect()));
            }
            let first = random.linear(64, summary + latents);
            let network = vec![first, random.linear(2 * latents, 64)];
            posterior.push(Layer::Autoregressive { given: Side::Z, map: AFFINE, network });
        }
        let posterior = LatentFlow { layers: posterior, base: Base::StandardNormal };
        let features = standardised(features).features;
        let points = random.many(32 * latents, 0.0, 2.0);
        let (own, prior) = (LatentDescription::default(), LatentFlow::default());
        LatentDescription {
            features,
            latents,
            summary,
            encoder,
            decoder,
            posterior,
            prior,
            points,
            ..own
        }
    };
    vec![("latent_d8_l6_gaussian".into(), model(0, 0)), ("latent_d8_l6_iaf2".into(), model(2, 16))]
}

/// The bases that a flow may have instead of a mixture of Gaussians, by name.
fn bases(features: usize) -> [(&'static str, Base); 3] {
    let degrees_of_freedom = DEGREES_OF_FREEDOM;
    let mut components = Random::new().components(features);
    for component in &mut components {
        // A mixture of Student-t has a diagonal alone.
        component.precision_factor =
            component.precision_factor.iter().copied().step_by(features + 1).collect();
    }
    [
        ("standard_normal", Base::StandardNormal),
        ("student_t", Base::StudentT { degrees_of_freedom }),
        ("student_t_mixture", Base::StudentTMixture { degrees_of_freedom, components }),
    ]
}

/// Rows of standard normal values.
pub fn rows(count: usize, features: usize) -> Vec<Vec<f32>> {
    let mut random = Random::new();
    (0..count).map(|_| (0..features).map(|_| random.normal()).collect()).collect()
}

/// Rows of the largest, the smallest and subnormal numbers: first rows of one number, then
/// mixtures of them with ordinary ones.
pub fn extreme_rows(count: usize, length: usize) -> Vec<Vec<f32>> {
    const EXTREMES: [f32; 10] =
        [1e30, -1e30, 1e-30, -1e-30, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, 0.0, -0.0];
    let mut random = Random::new();
    let mut value = || match random.generator.next_u32() as usize % (2 * EXTREMES.len()) {
        index if index < EXTREMES.len() => EXTREMES[index],
        _ => 50.0 * random.normal(),
    };
    let equal = EXTREMES.iter().map(|value| vec![*value; length]).collect::<Vec<_>>();
    let mixed = std::iter::repeat_with(|| (0..length).map(|_| value()).collect());
    equal.into_iter().chain(mixed).take(count).collect()
}

/// A Real NVP of 8 features with biases so large that no hidden unit is ever zero.
pub fn all_units_active() -> Description {
    let feature = |number| Feature {
        name: format!("f{number}"),
        centre: 0.0,
        scale: 1e4,
        low: -1e4,
        high: 1e4,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    let linear = |rows: usize, columns: usize, bias: f32| {
        let weights = (0..rows * columns).map(|k| ((k * 37 % 101) as f32 - 50.0) * 1e-3).collect();
        Linear { rows, columns, weights, bias: vec![bias; rows] }
    };
    let coupling = |number: usize| Layer::Coupling {
        transformed: alternating(number),
        map: AFFINE,
        network: vec![linear(64, 4, 100.0), linear(64, 64, 1000.0), linear(8, 64, 0.0)],
    };
    let mut layers = vec![coupling(0)];
    for number in 1..5 {
        layers.push(Layer::Permutation((0..8).map(|i| (3 * i + 1) % 8).collect()));
        layers.push(coupling(number));
    }
    let features = (1..=8).map(feature).collect();
    Description { features, layers, balances: vec![BALANCE], ..Description::default() }
}

/// A model without layers whose features need no standardisation.
pub fn standardised(features: usize) -> Description {
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
    let features = (1..=features).map(feature).collect();
    Description { features, balances: vec![BALANCE], ..Description::default() }
}

/// The half that coupling `number` transforms.
fn alternating(number: usize) -> Half {
    if number.is_multiple_of(2) { Half::Second } else { Half::First }
}

/// Seeded random parameters.
pub struct Random {
    generator: ChaCha8Rng,
    /// Widths of every network's hidden layers.
    hidden: &'static [usize],
    /// Context values of every network.
    context: usize,
}

impl Random {
    fn new() -> Self {
        Self::seeded(0)
    }

    pub fn seeded(seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed), hidden: &HIDDEN, context: 0 }
    }

    /// Uniform in -1..1.
    fn uniform(&mut self) -> f32 {
        (self.generator.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    }

    /// From N(0, 1), by Box and Muller's method.
    pub fn normal(&mut self) -> f32 {
        let (u, angle) = (0.5 - 0.5 * self.uniform(), std::f32::consts::PI * self.uniform());
        (-2.0 * u.ln()).sqrt() * angle.cos()
    }

    /// Uniform in centre +- spread.
    fn many(&mut self, count: usize, centre: f32, spread: f32) -> Vec<f32> {
        (0..count).map(|_| centre + spread * self.uniform()).collect()
    }

    fn linear(&mut self, rows: usize, columns: usize) -> Linear {
        let weights = self.many(rows * columns, 0.0, 1.0 / (columns as f32).sqrt());
        Linear { rows, columns, weights, bias: self.many(rows, 0.0, 0.1) }
    }

    fn network(&mut self, inputs: usize, outputs: usize) -> Vec<Linear> {
        let columns = [self.context + inputs].into_iter().chain(self.hidden.iter().copied());
        let rows = self.hidden.iter().copied().chain([outputs]);
        rows.zip(columns).map(|(rows, columns)| self.linear(rows, columns)).collect()
    }

    fn coupling(&mut self, number: usize, features: usize, map: ScalarMap) -> Layer {
        let transformed = alternating(number);
        let (outputs, inputs) = transformed.sizes(features);
        Layer::Coupling {
            transformed,
            map,
            network: self.network(inputs, map.parameters() * outputs),
        }
    }

    fn coupling_step(&mut self, number: usize, features: usize, map: ScalarMap) -> Vec<Layer> {
        let coupling = self.coupling(number, features, map);
        if number > 0 {
            return vec![coupling];
        }
        let order = (0..features as u32).step_by(2).chain((1..features as u32).step_by(2));
        vec![Layer::Permutation(order.collect()), coupling]
    }

    fn permutation(&mut self, features: usize) -> Layer {
        let mut order: Vec<u32> = (0..features as u32).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.generator.next_u32() as usize % (last + 1));
        }
        Layer::Permutation(order)
    }

    /// The linear map is over the channels of a row or of each of its positions.
    fn glow_step(&mut self, number: usize, features: usize, channels: usize) -> Vec<Layer> {
        let act_norm = Layer::ActNorm {
            shift: self.many(features, 0.0, 0.1),
            scale: self.many(features, 1.0, 0.1),
        };
        let (lower, upper) = (self.triangular(channels), self.triangular(channels));
        let linear = Layer::LuLinear { channels, lower, upper };
        vec![act_norm, linear, self.coupling(number, features, AFFINE)]
    }

    /// Levels of a multi-scale Glow, each a permutation and then steps over so many positions and
    /// channels.
    fn glow_image(&mut self, levels: &[(usize, usize)], steps: usize) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (positions, channels) in levels {
            let features = positions * channels;
            layers.extend([Layer::Split(features), self.permutation(features)]);
            for number in 0..steps {
                layers.extend(self.glow_step(number, features, *channels));
            }
        }
        layers
    }

    fn autoregressive_step(
        &mut self,
        number: usize,
        features: usize,
        given: Side,
        map: ScalarMap,
    ) -> Vec<Layer> {
        let network = self.network(features, map.parameters() * features);
        let layer = Layer::Autoregressive { given, map, network };
        match number {
            0 => vec![layer],
            _ => vec![Layer::Permutation((0..features as u32).rev().collect()), layer],
        }
    }

    /// A matrix near the identity, of which the layer takes a half.
    fn triangular(&mut self, size: usize) -> Vec<f32> {
        let mut matrix = self.many(size * size, 0.0, 0.1 / (size as f32).sqrt());
        for diagonal in matrix.iter_mut().step_by(size + 1) {
            *diagonal += 1.0;
        }
        matrix
    }

    /// Gaussians of full covariance and equal shares.
    fn components(&mut self, features: usize) -> Vec<Component> {
        let component = |_| Component {
            log_weight: -(COMPONENTS as f32).ln(),
            mean: self.many(features, 0.0, 1.0),
            precision_factor: self.triangular(features),
        };
        (0..COMPONENTS).map(component).collect()
    }
}
