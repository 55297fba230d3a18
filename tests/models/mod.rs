//! Models to state laws over, and the same arithmetic in f64 to hold them against.
#![allow(dead_code, reason = "each test file uses a part")]

#[cfg(feature = "latent")]
pub mod latent;
pub mod oracle;

use flowlet::bijection::{Half, Kind, Side};
use flowlet::write::{
    Base, Calibration, Component, Description, Feature, Layer, Linear, Member, ModelFile,
};
use flowlet::{Balance, Memory, Model, Periodic, ScalarMap, Tail, Usual};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A named model.
pub struct Example {
    pub name: String,
    pub description: Description,
}

/// Models that contain `kind`, its odd variants among them. A kind without an entry does not
/// compile.
pub fn examples(kind: Kind, seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    let mut examples = Vec::new();
    let mut add = |random: &mut Random, name: String, count, layers| {
        let features = random.features(count);
        let description = Description { features, layers, ..Description::default() };
        let name = format!("{kind:?}/{count} features, {name}");
        examples.push(Example { name, description });
    };
    let shapes = [
        (2, vec![8]),
        (3, vec![5, 13]),
        (5, vec![16, 16, 16]),
        (8, vec![64, 64]),
        (9, vec![1, 33, 7]),
        (64, vec![32, 32]),
    ];
    match kind {
        Kind::Permutation => {
            for count in [2, 3, 8, 64] {
                let layers = vec![random.permutation(count)];
                add(&mut random, "alone".into(), count, layers);
            }
        }
        Kind::Coupling => {
            for (count, hidden) in &shapes {
                for (transformed, map) in [
                    (Half::First, AFFINE),
                    (Half::Second, AFFINE),
                    (Half::First, SPLINE),
                    (Half::Second, SPLINE),
                ] {
                    let layers = vec![random.coupling(*count, transformed, map, hidden)];
                    add(
                        &mut random,
                        format!("{transformed:?} half, {map:?}, {hidden:?}"),
                        *count,
                        layers,
                    );
                }
            }
            for (count, depth) in [(2, 4), (8, 5), (7, 12)] {
                let layers = random.real_nvp(count, depth, &[24, 24]);
                add(&mut random, format!("{depth} deep"), count, layers);
            }
        }
        Kind::ActNorm => {
            for count in [2, 3, 8, 64] {
                let layers = vec![random.act_norm(count)];
                add(&mut random, "alone".into(), count, layers);
            }
        }
        Kind::LuLinear => {
            for count in [2, 3, 8, 64] {
                let layers = vec![random.lu_linear(count)];
                add(&mut random, "alone".into(), count, layers);
            }
            for (count, depth) in [(3, 4), (8, 3)] {
                let mut layers = Vec::new();
                for number in 0..depth {
                    let half = if number % 2 == 0 { Half::Second } else { Half::First };
                    layers.push(random.act_norm(count));
                    layers.push(random.lu_linear(count));
                    layers.push(random.coupling(count, half, AFFINE, &[16]));
                }
                add(&mut random, format!("Glow, {depth} deep"), count, layers);
            }
        }
        Kind::Marginal => {
            for (count, knots) in [(2, 2), (3, 5), (8, 33), (64, 9)] {
                let marginal = random.marginal(count, knots);
                let layers = vec![marginal, random.coupling(count, Half::First, AFFINE, &[8])];
                add(&mut random, format!("{knots} knots"), count, layers);
            }
        }
        Kind::Autoregressive => {
            for (count, hidden) in &shapes {
                for (given, map) in
                    [(Side::X, AFFINE), (Side::Z, AFFINE), (Side::X, SPLINE), (Side::Z, SPLINE)]
                {
                    let layers = vec![random.autoregressive(*count, given, map, hidden)];
                    add(
                        &mut random,
                        format!("given {given:?}, {map:?}, {hidden:?}"),
                        *count,
                        layers,
                    );
                }
            }
            for (count, given) in [(2, Side::X), (8, Side::X), (8, Side::Z), (17, Side::X)] {
                let reverse = Layer::Permutation((0..count as u32).rev().collect());
                let layers = vec![
                    random.autoregressive(count, given, AFFINE, &[24, 24]),
                    reverse.clone(),
                    random.autoregressive(count, given, SPLINE, &[64, 40]),
                    reverse,
                    random.autoregressive(count, given, AFFINE, &[56]),
                ];
                add(&mut random, format!("given {given:?}, 3 deep"), count, layers);
            }
        }
    }
    examples
}

/// Models of p(x | context), of every kind of layer that a context conditions.
pub fn conditional(seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    let mut examples = Vec::new();
    for (count, context, hidden) in
        [(2, 1, vec![8]), (3, 5, vec![5, 13]), (8, 2, vec![64, 64]), (9, 3, vec![7, 40, 24])]
    {
        for map in [AFFINE, SPLINE] {
            let layers = vec![
                random.coupling_given(context, count, Half::Both, map, &hidden),
                random.coupling_given(context, count, Half::First, map, &hidden),
                random.permutation(count),
                random.autoregressive_given(context, count, Side::X, map, &hidden),
                random.autoregressive_given(context, count, Side::Z, map, &hidden),
            ];
            let features = random.features(count);
            let context = random.features(context);
            let name = format!("{count} given {}, {map:?}, {hidden:?}", context.len());
            let description = Description { features, context, layers, ..Description::default() };
            examples.push(Example { name, description });
        }
    }
    examples
}

/// Multi-scale models: some values leave for the base before others, and linear maps over the
/// channels of images.
pub fn images(seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    let mut examples = Vec::new();
    for levels in [
        vec![(1, 4)],
        vec![(4, 1), (1, 2)],
        vec![(2, 4), (1, 4)],
        vec![(4, 4), (2, 4), (1, 4)],
        vec![(3, 6), (3, 3)],
        vec![(16, 4), (4, 8), (4, 4)],
    ] {
        let (positions, channels) = levels[0];
        let layers = random.image(&levels, &[8, 16]);
        let features = random.features(positions * channels);
        let name = format!("image, levels of {levels:?} positions and channels");
        let description = Description { features, layers, ..Description::default() };
        examples.push(Example { name, description });
    }
    // Splits between layers of every other kind, and a second one that keeps all.
    let features = random.features(9);
    let layers = vec![
        random.autoregressive(9, Side::X, SPLINE, &[24]),
        Layer::Split(7),
        random.coupling(7, Half::Second, SPLINE, &[8]),
        Layer::Split(7),
        random.autoregressive(7, Side::Z, AFFINE, &[24]),
        Layer::Split(2),
        random.permutation(2),
        random.coupling(2, Half::First, AFFINE, &[8]),
    ];
    let description = Description { features, layers, ..Description::default() };
    examples.push(Example { name: "splits between other layers".into(), description });
    examples
}

/// Models of rows with periodic features, of every kind of layer that maps them.
pub fn circular(seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    let mut examples = Vec::new();
    for (count, context, periodic, hidden) in [
        (2, 0, vec![0], vec![8]),
        (2, 0, vec![0, 1], vec![16, 16]),
        (3, 0, vec![1], vec![5, 13]),
        (3, 5, vec![0, 2], vec![5, 13]),
        (8, 0, vec![2, 3, 7], vec![64, 64]),
        (9, 2, (0..9).collect(), vec![7, 40, 24]),
        (64, 0, (0..64).step_by(3).collect(), vec![32]),
    ] {
        let mut features = random.features(count);
        for feature in &periodic {
            features[*feature].periodic = true;
        }
        let context = random.features(context);
        let given = (context.len(), count);
        let of = |numbers: &[usize]| numbers.iter().copied().collect::<Periodic>();
        let (order, moved) = random.moved(count, &periodic);
        let (periodic, moved) = (of(&periodic), of(&moved));
        let structures = [
            (
                "couplings",
                vec![
                    random.circular_coupling(given, Half::Second, periodic, &hidden),
                    random.circular_coupling(given, Half::First, periodic, &hidden),
                    order.clone(),
                    random.circular_coupling(given, Half::Second, moved, &hidden),
                ],
            ),
            (
                "autoregressive",
                vec![
                    random.circular_autoregressive(given, Side::X, periodic, &hidden),
                    order,
                    random.circular_autoregressive(given, Side::Z, moved, &hidden),
                ],
            ),
        ];
        for (structure, layers) in structures {
            let (features, context) = (features.clone(), context.clone());
            let name = format!("{structure} of {count} given {}, {hidden:?}", context.len());
            let description = Description { features, context, layers, ..Description::default() };
            examples.push(Example { name, description });
        }
    }
    examples
}

/// A model of every base behind a coupling. A base without an entry does not compile.
pub fn bases(seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    let mut bases = Vec::new();
    for count in [2, 3, 8] {
        let own = vec![
            Base::StandardNormal,
            Base::StudentT { degrees_of_freedom: 1.0 },
            Base::StudentT { degrees_of_freedom: 4.5 },
            Base::Mixture(random.components(count, 1, true)),
            Base::Mixture(random.components(count, 5, false)),
            Base::Mixture(random.components(count, 3, true)),
            Base::StudentTMixture {
                degrees_of_freedom: 1.0,
                components: random.components(count, 1, false),
            },
            Base::StudentTMixture {
                degrees_of_freedom: 6.5,
                components: random.components(count, 5, false),
            },
            Base::StudentTMixture {
                degrees_of_freedom: 1e4,
                components: random.components(count, 3, false),
            },
        ];
        for base in own {
            let name = match &base {
                Base::StandardNormal => "standard normal".into(),
                Base::StudentT { degrees_of_freedom } => format!("Student-t {degrees_of_freedom}"),
                Base::Mixture(components) => format!("mixture of {}", components.len()),
                Base::StudentTMixture { degrees_of_freedom, components } => {
                    format!("mixture of {} Student-t {degrees_of_freedom}", components.len())
                }
            };
            let features = random.features(count);
            let layers = vec![random.coupling(count, Half::Second, AFFINE, &[8])];
            let description = Description { features, layers, base, ..Description::default() };
            bases.push(Example { name: format!("{name}, {count} features"), description });
        }
    }
    bases
}

/// Ensembles of two to four unlike flows, of either score.
pub fn ensembles(seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    let mut examples = Vec::new();
    for (count, context, members) in [(2, 0, 2), (3, 0, 4), (8, 0, 3), (5, 2, 3)] {
        for score in ["log-density", "balanced"] {
            let name = format!("{score} of {members}, {count} features given {context}");
            let columns = random.features(count + context);
            let flows = (0..members).map(|number| random.member(number, &columns, context));
            let flows = flows.collect();
            let mut description = ensemble(flows, random.shares(members));
            if score == "balanced" {
                description.balances = random.balances(members);
            }
            examples.push(Example { name, description });
        }
    }
    examples
}

/// The model of these flows.
fn ensemble(mut flows: Vec<Member>, log_shares: Vec<f32>) -> Description {
    let Member { features, context, layers, base } = flows.remove(0);
    let others = flows;
    Description { features, context, layers, base, others, log_shares, ..Description::default() }
}

/// Each flow of a model as a model of its own.
pub fn members(description: &Description) -> Vec<Description> {
    let Description { features, context, layers, base, others, math, .. } = description.clone();
    let first = Member { features, context, layers, base };
    let alone = |flow| Description { math, ..ensemble(vec![flow], Vec::new()) };
    [first].into_iter().chain(others).map(alone).collect()
}

pub const AFFINE: ScalarMap = ScalarMap::Affine { clip: 3.0 };
pub const SPLINE: ScalarMap = ScalarMap::Spline { bound: 3.0 };

/// Seeded random parameters.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in -1..1.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    }

    /// A row around the origin of standardised space, in raw units.
    pub fn row(&mut self, features: &[Feature]) -> Vec<f32> {
        features.iter().map(|f| f.centre + 2.0 * f.scale * self.uniform()).collect()
    }

    pub fn features(&mut self, count: usize) -> Vec<Feature> {
        let feature = |number| {
            let centre = 10.0 * self.uniform();
            let scale = 0.5 + self.uniform().abs();
            let name = format!("feature {number}");
            let (low, high) = (centre - 3.0 * scale, centre + 3.0 * scale);
            Feature { name, centre, scale, low, high, periodic: false, offset: 0.0, step: 0.0 }
        };
        (0..count).map(feature).collect()
    }

    pub fn linear(&mut self, rows: usize, columns: usize, gain: f32) -> Linear {
        let gain = gain / (columns as f32).sqrt();
        let weights = (0..rows * columns).map(|_| gain * self.uniform()).collect();
        let bias = (0..rows).map(|_| 0.3 * self.uniform()).collect();
        Linear { rows, columns, weights, bias }
    }

    /// A network whose output layer is small, so that maps stay moderate.
    pub fn network(&mut self, inputs: usize, hidden: &[usize], outputs: usize) -> Vec<Linear> {
        let mut network = Vec::new();
        let mut columns = inputs;
        for rows in hidden {
            network.push(self.linear(*rows, columns, 2.0));
            columns = *rows;
        }
        network.push(self.linear(outputs, columns, 0.5));
        network
    }

    pub fn coupling(
        &mut self,
        features: usize,
        transformed: Half,
        map: ScalarMap,
        hidden: &[usize],
    ) -> Layer {
        self.coupling_given(0, features, transformed, map, hidden)
    }

    pub fn coupling_given(
        &mut self,
        context: usize,
        features: usize,
        transformed: Half,
        map: ScalarMap,
        hidden: &[usize],
    ) -> Layer {
        let (outputs, inputs) = transformed.sizes(features);
        let network = self.network(context + inputs, hidden, map.parameters() * outputs);
        Layer::Coupling { transformed, map, network }
    }

    pub fn autoregressive(
        &mut self,
        features: usize,
        given: Side,
        map: ScalarMap,
        hidden: &[usize],
    ) -> Layer {
        self.autoregressive_given(0, features, given, map, hidden)
    }

    pub fn autoregressive_given(
        &mut self,
        context: usize,
        features: usize,
        given: Side,
        map: ScalarMap,
        hidden: &[usize],
    ) -> Layer {
        let network = self.network(context + features, hidden, map.parameters() * features);
        Layer::Autoregressive { given, map, network }
    }

    /// A permutation, and where it moves the features `periodic` to.
    fn moved(&mut self, features: usize, periodic: &[usize]) -> (Layer, Vec<usize>) {
        let layer = self.permutation(features);
        let Layer::Permutation(order) = &layer else { unreachable!("a permutation") };
        let is_periodic = |to: &usize| periodic.contains(&(order[*to] as usize));
        let moved = (0..features).filter(is_periodic).collect();
        (layer, moved)
    }

    fn circular_coupling(
        &mut self,
        (context, features): (usize, usize),
        transformed: Half,
        periodic: Periodic,
        hidden: &[usize],
    ) -> Layer {
        let (outputs, inputs) = transformed.sizes(features);
        let (_, seen) = transformed.periodic(periodic, features);
        let inputs = context + inputs + seen.count(inputs);
        let network = self.network(inputs, hidden, SPLINE.parameters_of(periodic) * outputs);
        Layer::Coupling { transformed, map: SPLINE, network }
    }

    fn circular_autoregressive(
        &mut self,
        (context, features): (usize, usize),
        given: Side,
        periodic: Periodic,
        hidden: &[usize],
    ) -> Layer {
        let inputs = context + features + periodic.count(features);
        let network = self.network(inputs, hidden, SPLINE.parameters_of(periodic) * features);
        Layer::Autoregressive { given, map: SPLINE, network }
    }

    pub fn act_norm(&mut self, features: usize) -> Layer {
        let mut draw = |centre: f32| (0..features).map(|_| centre + 0.5 * self.uniform()).collect();
        let (shift, mut scale): (_, Vec<f32>) = (draw(0.0), draw(1.0));
        scale[0] = -scale[0];
        Layer::ActNorm { shift, scale }
    }

    pub fn lu_linear(&mut self, features: usize) -> Layer {
        let small = 0.7 / (features as f32).sqrt();
        let mut matrix = || -> Vec<f32> {
            let entry = |index: usize| match index % (features + 1) {
                0 => (1.0 + 0.5 * self.uniform()) * if index % 4 == 1 { -1.0 } else { 1.0 },
                _ => small * self.uniform(),
            };
            (0..features * features).map(entry).collect()
        };
        Layer::LuLinear { channels: features, lower: matrix(), upper: matrix() }
    }

    /// Glow's multi-scale architecture: `levels` of a shuffle, act-norm, 1 x 1 convolution and
    /// affine coupling over (positions, channels), each with half of the channels of the one before.
    pub fn image(&mut self, levels: &[(usize, usize)], hidden: &[usize]) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (level, (positions, channels)) in levels.iter().enumerate() {
            let count = positions * channels;
            if level > 0 {
                layers.push(Layer::Split(count));
            }
            layers.push(self.permutation(count));
            for half in [Half::First, Half::Second] {
                layers.push(self.act_norm(count));
                layers.push(self.lu_linear(*channels));
                layers.push(self.coupling(count, half, AFFINE, hidden));
            }
        }
        layers
    }

    /// Every third feature stays as it is.
    pub fn marginal(&mut self, features: usize, knots: usize) -> Layer {
        let mut own = |feature: usize| {
            let (mut x, mut z) = (-1.5, -2.0);
            let mut knot = |_| {
                x += (0.2 + self.uniform().abs()) * 4.0 / knots as f32;
                z += (0.5 + self.uniform().abs()) * 4.0 / knots as f32;
                [x, z, 0.6 + 0.5 * self.uniform()]
            };
            let count = if feature % 3 == 2 { 0 } else { knots };
            (0..count).map(&mut knot).collect()
        };
        Layer::Marginal((0..features).map(&mut own).collect())
    }

    pub fn components(&mut self, features: usize, count: usize, full: bool) -> Vec<Component> {
        let raw: Vec<f32> = (0..count).map(|_| self.uniform()).collect();
        let sum: f32 = raw.iter().map(|raw| raw.exp()).sum();
        let component = |raw: f32| {
            let mean = (0..features).map(|_| 2.0 * self.uniform()).collect();
            let entry = |index: usize| match index % (features + 1) {
                0 => 1.5 + self.uniform(),
                _ if full => 0.5 * self.uniform(),
                _ => 1.5 + self.uniform(),
            };
            let words = if full { features * features } else { features };
            let precision_factor = (0..words).map(entry).collect();
            Component { log_weight: (raw - sum.ln()).min(0.0), mean, precision_factor }
        };
        raw.into_iter().map(component).collect()
    }

    /// Shares of a mixture of flows.
    pub fn shares(&mut self, members: usize) -> Vec<f32> {
        let raw: Vec<f32> = (0..members).map(|_| self.uniform()).collect();
        let sum: f32 = raw.iter().map(|raw| raw.exp()).sum();
        raw.into_iter().map(|raw| (raw - sum.ln()).min(0.0)).collect()
    }

    /// How a score balances so many flows: some have a log-determinant that does not vary.
    pub fn balances(&mut self, members: usize) -> Vec<Balance> {
        let mut balance = |member: usize| {
            let [m_b, m_l, s_b, s_l] =
                [-3.0, -3.0, 0.8, 0.8].map(|scale| scale * (1.5 + self.uniform()));
            let s_l = if member % 3 == 2 { 0.0 } else { s_l };
            Balance {
                base: Usual { median: m_b, deviation: s_b },
                log_det_jacobian: Usual { median: m_l, deviation: s_l },
            }
        };
        (0..members).map(&mut balance).collect()
    }

    /// Flow `number` of an ensemble, unlike the ones before it: in its layers, its width, its
    /// base, and where it takes the centre of the columns to be.
    fn member(&mut self, number: usize, columns: &[Feature], context: usize) -> Member {
        let mut features = columns.to_vec();
        for feature in &mut features {
            feature.centre += 0.5 * number as f32 * feature.scale;
            feature.scale *= 1.0 + 0.2 * number as f32;
        }
        let count = columns.len() - context;
        let context = features.split_off(count);
        let given = context.len();
        let (layer, base) = match number {
            0 => (
                self.coupling_given(given, count, Half::Second, AFFINE, &[8]),
                Base::StandardNormal,
            ),
            1 => (
                self.autoregressive_given(given, count, Side::X, AFFINE, &[24, 9]),
                Base::StudentT { degrees_of_freedom: 4.5 },
            ),
            2 => (self.lu_linear(count), Base::Mixture(self.components(count, 2, true))),
            _ => {
                (self.coupling_given(given, count, Half::First, SPLINE, &[5]), Base::StandardNormal)
            }
        };
        Member { features, context, layers: vec![layer], base }
    }

    pub fn permutation(&mut self, features: usize) -> Layer {
        let mut order: Vec<u32> = (0..features as u32).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.0.next_u32() as usize % (last + 1));
        }
        Layer::Permutation(order)
    }

    pub fn real_nvp(&mut self, features: usize, couplings: usize, hidden: &[usize]) -> Vec<Layer> {
        let mut layers = Vec::new();
        for number in 0..couplings {
            if number > 0 {
                layers.push(self.permutation(features));
            }
            let transformed = if number % 2 == 0 { Half::Second } else { Half::First };
            layers.push(self.coupling(features, transformed, AFFINE, hidden));
        }
        layers
    }
}

/// The small model of every test that alters bytes.
pub fn small() -> Description {
    let mut random = Random::new(1);
    let features = random.features(3);
    let layers = random.real_nvp(3, 2, &[5]);
    complete(&mut random, Description { features, layers, ..Description::default() })
}

/// A small model of every kind of layer and of base, by the names of their golden files.
pub fn goldens() -> Vec<(String, Description)> {
    let mut random = Random::new(2);
    let mut goldens = vec![("small".to_owned(), small())];
    let mut add = |random: &mut Random, name: &str, layers: Vec<Layer>, base: Base| {
        let features = random.features(3);
        let description = Description { features, layers, base, ..Description::default() };
        goldens.push((name.to_owned(), complete(random, description)));
    };
    for kind in Kind::ALL {
        let (name, layer) = match kind {
            // In the small model, and behind the others.
            Kind::Permutation | Kind::Marginal => continue,
            Kind::Coupling => ("spline", random.coupling(3, Half::First, SPLINE, &[5, 9])),
            Kind::ActNorm => ("act_norm", random.act_norm(3)),
            Kind::LuLinear => ("lu_linear", random.lu_linear(3)),
            Kind::Autoregressive => {
                ("autoregressive", random.autoregressive(3, Side::X, AFFINE, &[5, 16, 9]))
            }
        };
        add(&mut random, name, vec![layer], Base::StandardNormal);
    }
    let iaf = vec![random.autoregressive(3, Side::Z, SPLINE, &[8])];
    add(&mut random, "autoregressive_given_z", iaf, Base::StudentT { degrees_of_freedom: 4.5 });
    for (name, full) in [("mixture_diagonal", false), ("mixture_full", true)] {
        let base = Base::Mixture(random.components(3, 2, full));
        add(&mut random, name, Vec::new(), base);
    }
    // Of its own numbers, like the image, so that the files behind it stay as they are.
    let mut own = Random::new(4);
    let components = own.components(3, 2, false);
    let base = Base::StudentTMixture { degrees_of_freedom: 6.5, components };
    add(&mut own, "mixture_student_t", Vec::new(), base);
    let features = random.features(8);
    let layers = random.image(&[(2, 4), (1, 4)], &[5]);
    let image = Description { features, layers, ..Description::default() };
    goldens.push(("image".to_owned(), complete(&mut Random::new(3), image)));
    let features = random.features(3);
    let context = random.features(2);
    let layers = vec![
        Random::new(4).coupling_given(2, 3, Half::Both, AFFINE, &[4]),
        random.coupling_given(2, 3, Half::First, AFFINE, &[5]),
        random.autoregressive_given(2, 3, Side::X, AFFINE, &[8]),
    ];
    let conditional = Description { features, context, layers, ..Description::default() };
    goldens.push(("context".to_owned(), complete(&mut random, conditional)));
    for name in ["ensemble", "ensemble_balanced"] {
        let columns = random.features(3);
        let flows = (0..3).map(|number| random.member(number, &columns, 0)).collect();
        let mut description = ensemble(flows, random.shares(3));
        if name == "ensemble_balanced" {
            description.balances = random.balances(3);
        }
        goldens.push((name.to_owned(), complete(&mut random, description)));
    }
    let features = random.features(3);
    let layers = vec![random.marginal(3, 4)];
    let marginal = Description { features, layers, ..Description::default() };
    goldens.push(("marginal".to_owned(), complete(&mut random, marginal)));
    let mut features = random.features(3);
    features[1].periodic = true;
    let (order, moved) = random.moved(3, &[1]);
    let [periodic, moved] = [vec![1], moved].map(Periodic::from_iter);
    let layers = vec![
        random.circular_coupling((0, 3), Half::First, periodic, &[5]),
        order,
        random.circular_autoregressive((0, 3), Side::X, moved, &[8]),
    ];
    let circular = Description { features, layers, ..Description::default() };
    goldens.push(("circular".to_owned(), complete(&mut random, circular)));
    goldens.push(("columns".to_owned(), complete(&mut random, stepped())));
    #[cfg(feature = "signal")]
    goldens.push(("signal".to_owned(), complete(&mut Random::new(6), vibration())));
    #[cfg(feature = "detector")]
    goldens.push(("detector".to_owned(), detecting()));
    goldens
}

/// A model of windows of 16 samples of one channel.
#[cfg(feature = "signal")]
pub fn vibration() -> Description {
    use flowlet::signal::{Detrending, Entry, Feature, Taper};
    use flowlet::write::{Channel, Signal};
    let entry = |feature, is_logarithm| Entry { feature, channel: 0, is_logarithm };
    let signal = Signal {
        channels: vec![Channel { name: "x".into(), unit: "g".into(), resolution: 0.004 }],
        rate: 1000.0,
        window: 16,
        hop: 8,
        detrending: Detrending::Mean,
        taper: Taper::Hann,
        entries: vec![
            entry(Feature::Deviation, true),
            entry(Feature::Kurtosis, false),
            entry(Feature::BandEnergy { first: 1, end: 5 }, true),
        ],
    };
    let mut random = Random::new(6);
    let features = random.features(3);
    let layers = random.real_nvp(3, 2, &[5]);
    Description { features, layers, signal: signal.words(), ..Description::default() }
}

/// The small model with a detector.
#[cfg(feature = "detector")]
pub fn detecting() -> Description {
    let sensor = |low, high, longest_run| flowlet::detector::Sensor { low, high, longest_run };
    let detector = flowlet::write::Detector {
        rows_between_false_alarms: 1000.0,
        confirmation: [2, 8],
        drift: (0.5, 0.001),
        sensors: vec![sensor(-100.0, 100.0, 3), sensor(-100.0, 100.0, 0), sensor(-9.0, 9.0, 30)],
    };
    Description { detector: Some(detector), ..small() }
}

/// A model of columns with offsets and steps.
pub fn stepped() -> Description {
    let mut random = Random::new(5);
    let mut features = random.features(3);
    let mut context = random.features(1);
    (features[0].offset, features[0].step) = (1_700_000_000.25, 0.5);
    features[1].step = 0.1;
    context[0].offset = -1e9;
    let layers = vec![random.coupling_given(1, 3, Half::First, AFFINE, &[8])];
    Description { features, context, layers, ..Description::default() }
}

/// With a balanced score where it is one flow, a calibration, provenance and two self-test vectors.
fn complete(random: &mut Random, mut description: Description) -> Description {
    if description.others.is_empty() {
        description.balances = random.balances(1);
    }
    description.calibration = Some(Calibration {
        rows: 120,
        thresholds: vec![(0.01, 9.5), (0.001, 14.0)],
        quantiles: vec![(-1.5, 60), (2.25, 12), (9.0, 1), (9.5, 0)],
        tail: Some(Tail { start: 2.0, scale: 1.5, shape: 0.25, share: 0.1, shape_error: 0.2 }),
    });
    let values = |feature: &Feature| [-1.0, 0.1, 0.8].map(|at| feature.centre + at * feature.scale);
    description.quantiles = description.features.iter().map(|own| values(own).to_vec()).collect();
    description.provenance = "generator=tests\n".into();
    let columns = [&description.features[..], &description.context].concat();
    let rows: Vec<_> = (0..2).map(|_| random.row(&columns)).collect();
    let file = description.to_file();
    let model = Model::<flowlet::Libm>::from_bytes(file.bytes()).expect("a model just written");
    let vector = |row: Vec<f32>| {
        let (x, context) = row.split_at(description.features.len());
        let scratch = &mut Memory::of(&model);
        let log_density = model.given(context).log_density(x, &mut scratch.scratch());
        let score = model.given(context).score(x, &mut scratch.scratch());
        (row.clone(), [log_density, score].map(|result| result.expect("a finite row")))
    };
    let self_test = rows.into_iter().map(vector).collect();
    Description { self_test, ..description }
}

/// The log-density of one row.
pub fn log_density(file: &ModelFile, row: &[f32]) -> f32 {
    let model = Model::<flowlet::Libm>::from_bytes(file.bytes()).expect("a model just written");
    model.log_density(row, &mut Memory::of(&model).scratch()).expect("a finite row")
}
