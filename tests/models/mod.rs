//! Models to state laws over, and the same arithmetic in f64 to hold them against.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod oracle;

use flowlet::bijection::{Half, Kind};
use flowlet::write::{Description, Feature, Layer, Linear, ModelFile};
use flowlet::{Math, Model, Scratch, Unit};
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
    let mut add = |name: &str, features, layers| {
        let description = Description { features, layers, ..Description::default() };
        examples.push(Example { name: format!("{kind:?}/{name}"), description });
    };
    match kind {
        Kind::Permutation => {
            for features in [2, 3, 8, 64] {
                let layers = vec![random.permutation(features)];
                add(&format!("{features} features"), random.features(features), layers);
            }
        }
        Kind::Coupling => {
            for (features, hidden) in [
                (2, vec![8]),
                (3, vec![5, 13]),
                (5, vec![16, 16, 16]),
                (8, vec![64, 64]),
                (9, vec![1, 33, 7]),
                (64, vec![32, 32]),
            ] {
                for transformed in [Half::First, Half::Second] {
                    let layers = vec![random.coupling(features, transformed, &hidden)];
                    let name = format!("{features} features, {transformed:?} half, {hidden:?}");
                    add(&name, random.features(features), layers);
                }
            }
            for (features, depth) in [(2, 4), (8, 5), (7, 12)] {
                let layers = random.real_nvp(features, depth, &[24, 24]);
                add(
                    &format!("{features} features, {depth} deep"),
                    random.features(features),
                    layers,
                );
            }
        }
    }
    examples
}

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
            Feature { name, centre, scale, low: centre - 3.0 * scale, high: centre + 3.0 * scale }
        };
        (0..count).map(feature).collect()
    }

    pub fn linear(&mut self, rows: usize, columns: usize, gain: f32) -> Linear {
        let gain = gain / (columns as f32).sqrt();
        let weights = (0..rows * columns).map(|_| gain * self.uniform()).collect();
        let bias = (0..rows).map(|_| 0.3 * self.uniform()).collect();
        Linear { rows, columns, weights, bias }
    }

    pub fn coupling(&mut self, features: usize, transformed: Half, hidden: &[usize]) -> Layer {
        let (outputs, inputs) = transformed.sizes(features);
        let mut network = Vec::new();
        let mut columns = inputs;
        for rows in hidden {
            network.push(self.linear(*rows, columns, 2.0));
            columns = *rows;
        }
        network.push(self.linear(2 * outputs, columns, 0.5));
        Layer::Coupling { transformed, clip: 3.0, network }
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
            layers.push(self.coupling(features, transformed, hidden));
        }
        layers
    }
}

/// Scratch on the heap.
pub struct Memory {
    rows: [Vec<f32>; 2],
    values: [Vec<f32>; 2],
    units: Vec<Unit>,
}

impl Memory {
    pub fn of<M: Math>(model: &Model<M>) -> Self {
        let row = vec![0.0; model.features()];
        let values = vec![0.0; model.width()];
        let units = vec![Unit::default(); model.width()];
        Self { rows: [row.clone(), row], values: [values.clone(), values], units }
    }

    pub fn scratch(&mut self) -> Scratch<'_> {
        let ([row, spare], [here, there]) = (&mut self.rows, &mut self.values);
        Scratch::new([row, spare], [here, there], &mut self.units)
    }
}

/// The small model of the golden file and of every test that alters bytes.
pub fn small() -> Description {
    let mut random = Random::new(1);
    let mut description = Description {
        features: random.features(3),
        layers: random.real_nvp(3, 2, &[5]),
        threshold: Some(flowlet::Threshold { rows: 120, false_alarm_rate: 0.01, score: 9.5 }),
        provenance: "generator=tests\n".into(),
        ..Description::default()
    };
    let rows: Vec<_> = (0..2).map(|_| random.row(&description.features)).collect();
    let file = description.to_file();
    description.self_test =
        rows.into_iter().map(|row| (row.clone(), log_density(&file, &row))).collect();
    description
}

/// The log-density of one row.
pub fn log_density(file: &ModelFile, row: &[f32]) -> f32 {
    let model = Model::<flowlet::Libm>::from_bytes(file.bytes()).expect("a model just written");
    model.log_density(row, &mut Memory::of(&model).scratch()).expect("a finite row")
}
