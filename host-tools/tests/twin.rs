//! The trainable flows against the device's: the same density, whatever the architecture.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use clap::ValueEnum;
use flowlet::write::{Description, Feature, ModelFile};
use flowlet::{Libm, Math, Memory, Model, Periodic};
use flowlet_tools::device;
use flowlet_tools::family::{self, Architecture, Base, Family, Flow, Image, Sizes};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// How far a start is magnified away from another one: far enough from the identity to matter,
/// not so far that an error of one ulp grows beyond the bound of the law. A family without an
/// entry does not compile.
fn gain(family: Family) -> f64 {
    match family {
        Family::RealNvp | Family::Glow | Family::Maf | Family::Iaf => 2.0,
        Family::SplineCoupling | Family::SplineAutoregressive => 3.0,
        // No weights but the base's, whose shares would no longer add up to 1.
        Family::Gmm | Family::Gaussian => 1.0,
    }
}

/// Multiplies every weight.
struct Magnify(f64);

impl ModuleMapper for Magnify {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Param::from_tensor(param.val() * self.0)
    }
}

/// A flow far from the identity.
fn flow(architecture: &Architecture, sizes: Sizes, seed: u64) -> Flow {
    let device = Device::flex();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut flow = Flow::new(architecture, sizes, &mut random, &device);
    if sizes.periodic.is_empty() {
        let other = Flow::new(architecture, sizes, &mut random, &device);
        family::average(&mut flow, &other, gain(architecture.family));
    } else {
        // Another one has other permutations, and with circles layers of other sizes.
        flow = flow.map(&mut Magnify(gain(architecture.family)));
    }
    let width = sizes.features + sizes.context;
    let rows: Vec<f32> = (0..32 * width).map(|_| StandardNormal.sample(&mut random)).collect();
    flow.initialise(Tensor::from_data(TensorData::new(rows, [32, width]), &device));
    flow
}

/// The flow in a file that standardises nothing.
fn file(flow: &Flow, sizes: Sizes) -> ModelFile {
    let Sizes { features, context, periodic } = sizes;
    let feature = |k| Feature {
        name: format!("f{k}"),
        centre: 0.0,
        scale: 1.0,
        low: -1.0,
        high: 1.0,
        periodic: periodic.contains(k),
        offset: 0.0,
        step: 0.0,
    };
    let (layers, base) = flow.export();
    let description = Description {
        features: (0..features).map(feature).collect(),
        context: (features..features + context).map(feature).collect(),
        layers,
        base,
        math: Libm::ID,
        ..Description::default()
    };
    description.to_file()
}

fn architectures() -> impl Strategy<Value = Architecture> {
    let family = proptest::sample::select(Family::value_variants().to_vec());
    let base = prop_oneof![
        Just(Base::StandardNormal),
        Just(Base::StudentT),
        (1usize..6).prop_map(|components| Base::Mixture { components }),
        (1usize..6).prop_map(|components| Base::StudentTMixture { components }),
    ];
    let hidden = proptest::collection::vec(1usize..40, 1..=3);
    let shapes = ["2x2x1", "4x4x1", "2x4x3", "8x2x2", "8x8x1"];
    let image = proptest::option::of(proptest::sample::select(shapes.to_vec()));
    (family, 1usize..7, hidden, base, image).prop_map(|(family, layers, hidden, base, image)| {
        let base = match (family.default_layers(), base) {
            (None, Base::Mixture { components }) => Base::Mixture { components },
            (None, _) => Base::Mixture { components: 1 },
            (Some(_), base) => base,
        };
        // Errors double with each layer of splines, and users take three.
        let layers = if family.default_layers() == Some(3) { layers.min(3) } else { layers };
        let shape = |text: &str| text.parse::<Image>().expect("an image that can be squeezed");
        let image = image.filter(|_| family == Family::Glow).map(shape);
        Architecture { family, layers, hidden, base, image }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// |a - b| <= 1e-4 max(1, |a|) on every row, out to ten standard deviations.
    #[test]
    fn burn_and_the_device_agree(
        architecture in architectures(),
        features in 2usize..13,
        context in 0usize..4,
        seed in any::<u64>(),
        spread in 0.1f32..10.0,
        circles in any::<u16>(),
    ) {
        let context = if architecture.family.default_layers().is_some() { context } else { 0 };
        let features = architecture.image.map_or(features, Image::values);
        let width = features + context;
        let numbers = (0..features).filter(|feature| circles >> feature & 1 == 1);
        let periodic: Periodic = match (architecture.family.maps_circles(), architecture.base) {
            (true, Base::StandardNormal) => numbers.collect(),
            _ => Periodic::default(),
        };
        let flow = flow(&architecture, Sizes { features, context, periodic }, seed);
        let file = file(&flow, Sizes { features, context, periodic });
        let mut device = device::open(&file, "the twin").expect("an exported flow is readable");

        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        let rows: Vec<f32> = (0..20 * width)
            .map(|_| -> f32 { StandardNormal.sample(&mut random) })
            .map(|x| x * spread)
            .collect();
        let data = TensorData::new(rows.clone(), [20, width]);
        let twin = flow.log_density(Tensor::from_data(data, &Device::flex()));
        let twin: Vec<f32> = twin.into_data().try_to_vec().expect("made of f32");
        for (row, twin) in rows.chunks(width).zip(twin) {
            let own = device.log_density(row).expect("a finite row");
            prop_assert!((own - twin).abs() <= 1e-4 * own.abs().max(1.0), "{own} {twin}");
        }
    }

    /// The other direction, of base samples: x, whose error grows with the largest value of the row,
    /// and log |det dx/dz|. On a circle, values a period apart are one.
    #[test]
    fn burn_and_the_device_agree_on_samples(
        architecture in architectures(),
        features in 2usize..13,
        context in 0usize..4,
        seed in any::<u64>(),
        circles in any::<u16>(),
    ) {
        let context = if architecture.family.default_layers().is_some() { context } else { 0 };
        let features = architecture.image.map_or(features, Image::values);
        let numbers = (0..features).filter(|feature| circles >> feature & 1 == 1);
        let periodic: Periodic = match (architecture.family.maps_circles(), architecture.base) {
            (true, Base::StandardNormal) => numbers.collect(),
            _ => Periodic::default(),
        };
        let sizes = Sizes { features, context, periodic };
        let flow = flow(&architecture, sizes, seed);
        let file = file(&flow, sizes);
        let model = Model::<Libm>::from_bytes(file.bytes()).expect("an exported flow is readable");
        let mut memory = Memory::of(&model);

        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        let mut draw = |count: usize| -> Vec<f32> {
            (0..count).map(|_| StandardNormal.sample(&mut random)).collect()
        };
        let (z, given) = (draw(20 * features), draw(20 * context));
        let tensor = |values: &[f32], width| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [20, width]), &Device::flex())
        };
        let given_tensor = (context > 0).then(|| tensor(&given, context));
        let (x, log_det) = flow.forward(tensor(&z, features), given_tensor.as_ref());
        let x: Vec<f32> = x.into_data().try_to_vec().expect("made of f32");
        let log_det: Vec<f32> = log_det.into_data().try_to_vec().expect("made of f32");
        for (number, (x, log_det)) in x.chunks(features).zip(log_det).enumerate() {
            let mut own = z[number * features..][..features].to_vec();
            let given = model.given(&given[number * context..][..context]);
            let own_log_det = given.forward(&mut own, &mut memory.scratch()).expect("finite");
            let size = own.iter().fold(1f32, |size, value| size.max(value.abs()));
            for (feature, (own, twin)) in own.iter().zip(x).enumerate() {
                let mut error = own - twin;
                if periodic.contains(feature) {
                    error -= 2.0 * (error / 2.0).round();
                }
                prop_assert!(error.abs() <= 1e-4 * size, "{own} {twin}");
            }
            let error = (own_log_det - log_det).abs();
            prop_assert!(error <= 1e-4 * own_log_det.abs().max(1.0), "{own_log_det} {log_det}");
        }
    }
}
