//! The trainable flows against the device's: the same density, whatever the architecture.

use burn::tensor::{Device, Tensor, TensorData};
use flowlet::Libm;
use flowlet::Math;
use flowlet::write::{Description, Feature};
use flowlet_tools::device;
use flowlet_tools::family::{Architecture, Family, Flow};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A flow far from the identity: a start has small weights, and away from another start its own
/// are magnified.
fn flow(architecture: &Architecture, features: usize, seed: u64) -> Flow {
    let device = Device::flex();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut flow = Flow::new(architecture, features, &mut random, &device);
    let other = Flow::new(architecture, features, &mut random, &device);
    flow.average(&other, 3.0);
    flow
}

fn architectures() -> impl Strategy<Value = Architecture> {
    (1usize..7, proptest::collection::vec(1usize..40, 1..=3))
        .prop_map(|(layers, hidden)| Architecture { family: Family::RealNvp, layers, hidden })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// |a - b| <= 1e-4 max(1, |a|) on every row, out to ten standard deviations.
    #[test]
    fn burn_and_the_device_agree(
        architecture in architectures(),
        features in 2usize..13,
        seed in any::<u64>(),
        spread in 0.1f32..10.0,
    ) {
        let flow = flow(&architecture, features, seed);
        let feature = |k| Feature { name: format!("f{k}"), centre: 0.0, scale: 1.0, low: -1.0, high: 1.0 };
        let description = Description {
            features: (0..features).map(feature).collect(),
            layers: flow.export(),
            math: Libm::ID,
            ..Description::default()
        };
        let file = description.to_file();
        let mut device = device::open(&file, "the twin").expect("an exported flow is readable");

        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        let rows: Vec<f32> = (0..20 * features)
            .map(|_| -> f32 { StandardNormal.sample(&mut random) })
            .map(|x| x * spread)
            .collect();
        let data = TensorData::new(rows.clone(), [20, features]);
        let twin = flow.log_density(Tensor::from_data(data, &Device::flex()));
        let twin: Vec<f32> = twin.into_data().try_to_vec().expect("made of f32");
        for (row, twin) in rows.chunks(features).zip(twin) {
            let own = device.log_density(row).expect("a finite row");
            prop_assert!((own - twin).abs() <= 1e-4 * own.abs().max(1.0), "{own} {twin}");
        }
    }
}
