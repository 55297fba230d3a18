//! The prior of a latent model, and where a mixture starts.
//!
//! What a mixture prior comes to hangs on its start (Dilokthanakul et al. 2016, "Deep Unsupervised
//! Clustering with Gaussian Mixture Variational Autoencoders"). Two are tried: the clusters of the rows
//! themselves, whose codes give each component its moments, and the clusters of the codes.

use burn::tensor::Device;
use flowlet::Periodic;
use flowlet::write::Component;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::start::Components;
use crate::error::Result;
use crate::family::{self, Architecture, Family, Flow, Sizes};
use crate::training::mixture;

/// Couplings of a prior flow, and the widths of their hidden layers.
const FLOW: (usize, [usize; 2]) = (4, [32, 32]);

/// A density of the latent values.
#[derive(Clone, Debug)]
pub enum Prior {
    /// N(0, I).
    Normal,
    /// A mixture of Gaussians, which starts as these, or by chance where there are none.
    Mixture {
        /// How many.
        components: usize,
        /// As a file holds them.
        start: Vec<Component>,
    },
    /// A flow over N(0, I).
    Flow,
}

impl Prior {
    /// Over so many latent values.
    pub fn flow(&self, latents: usize, random: &mut ChaCha8Rng, device: &Device) -> Flow {
        let (layers, hidden) = FLOW;
        let normal = |layers| Architecture {
            family: Family::RealNvp,
            layers,
            hidden: hidden.to_vec(),
            base: family::Base::StandardNormal,
            image: None,
        };
        let architecture = match self {
            Self::Normal => normal(0),
            Self::Flow => normal(layers),
            Self::Mixture { components, start } if start.is_empty() => {
                let base = family::Base::Mixture { components: *components };
                Architecture { base, ..normal(0) }
            }
            Self::Mixture { start, .. } => return Flow::from_components(start, device),
        };
        let sizes = Sizes { features: latents, context: 0, periodic: Periodic::default() };
        Flow::new(&architecture, sizes, random, device)
    }
}

/// The starts of a mixture of so many components, each with its name: `rows` of `features` values,
/// row-major, and their linear model of `latents` latent values.
pub fn starts(
    rows: &[f32],
    features: usize,
    linear: &Components,
    latents: usize,
    components: usize,
    seed: u64,
) -> Vec<(&'static str, Prior)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x70_7269_6f72);
    let codes: Vec<f32> = rows
        .chunks_exact(features)
        .flat_map(|row| code(linear, row, latents, &mut random))
        .collect();
    let clusters: [(&str, Result<Vec<Component>>); 2] = [
        (
            "clusters of the rows",
            mixture::of_clusters(rows, features, &codes, latents, components, seed),
        ),
        ("clusters of the codes", mixture::of_codes(&codes, latents, components, seed)),
    ];
    let mut starts = Vec::new();
    for (name, found) in clusters {
        match found {
            Ok(start) => starts.push((name, Prior::Mixture { components, start })),
            Err(error) => log::info!("the prior does not start from {name}: {error}"),
        }
    }
    if starts.is_empty() {
        starts.push(("chance", Prior::Mixture { components, start: Vec::new() }));
    }
    starts
}

/// A draw of the linear model's latent values of a row.
fn code(linear: &Components, row: &[f32], latents: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let (mean, variances) = (linear.encode(row), linear.variances());
    let value = |index: usize| {
        let noise: f64 = StandardNormal.sample(random);
        let mean = mean.get(index).copied().unwrap_or(0.0);
        (mean + variances.get(index).map_or(1.0, |variance| variance.sqrt()) * noise) as f32
    };
    (0..latents).map(value).collect()
}
