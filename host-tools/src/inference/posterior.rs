//! A flow fitted to a density by reverse KL, and its model file.
//!
//! KL(q | p) is the mean of ln q(z) - ln p(z) over draws z of q, up to the constant that p lacks.
//! Its gradient is taken along the path of the draws alone (Roeder et al. 2017, "Sticking the
//! Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference"): z = forward
//! of a base draw carries the gradient, and ln q(z) is evaluated by the inverse of a copy of the flow
//! whose weights do not. What is left out has mean 0, and the rest vanishes where q is p.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::Periodic;
use flowlet::write::{Description, Feature, ModelFile};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::descent::{self, Schedule};
use super::importance::{Diagnostics, LogWeights};
use super::target::{Standardisation, Target};
use crate::device;
use crate::error::{Error, Result};
use crate::family::{self, Architecture, Base, Family, Flow, Sizes};
use crate::message::escape;
use crate::output::Draft;

/// Draws that one call of the density is given when a posterior is judged.
const BATCH: usize = 1024;
/// Fewest draws that Pareto-k is told from.
const FEWEST_JUDGED: usize = 100;
/// Self-test vectors in a file.
const VECTORS: usize = 4;

/// How to fit.
#[derive(Clone, Debug)]
pub struct Options {
    /// One with layers.
    pub family: Family,
    /// Number of couplings or autoregressive layers.
    pub layers: usize,
    /// Widths of the hidden layers of each conditioner.
    pub hidden: Vec<usize>,
    /// Standard normal or Student-t, whose draws have a gradient.
    pub base: Base,
    /// Steps of the descent, and its learning rate.
    pub schedule: Schedule,
    /// Draws of one step.
    pub draws: usize,
    /// Draws that the finished flow is judged by.
    pub judged_draws: usize,
    /// Of every draw: the same seed gives the same file to the bit.
    pub seed: u64,
}

impl Options {
    /// Of a family with so many layers, or with its own number of them: hidden layers of 64 units,
    /// 2,000 steps of 128 draws.
    pub fn new(family: Family, layers: Option<usize>) -> Self {
        Self {
            family,
            layers: layers.or(family.default_layers()).unwrap_or(0),
            hidden: vec![64, 64],
            base: Base::StandardNormal,
            schedule: Schedule { steps: 2000, learning_rate: 3e-3 },
            draws: 128,
            judged_draws: 20_000,
            seed: 0,
        }
    }

    fn architecture(&self) -> Architecture {
        let Self { family, layers, hidden, base, .. } = self;
        Architecture {
            family: *family,
            layers: *layers,
            hidden: hidden.clone(),
            base: *base,
            image: None,
        }
    }
}

/// A fitted flow.
#[derive(Debug)]
pub struct Posterior {
    /// Its model file: the parameters are the features, there is no threshold.
    pub file: ModelFile,
    /// What its draws say of it.
    pub diagnostics: Diagnostics,
    /// What they were computed from.
    pub log_weights: LogWeights,
}

impl Posterior {
    /// Writes the model file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        Draft::create(path)?.complete(self.file.bytes())
    }
}

/// Fits a flow to `target` and judges it by draws that the device's own code makes of its file.
pub fn fit_posterior(target: &impl Target, options: &Options) -> Result<Posterior> {
    let flow = fit(target, options)?;
    let (rows, log_weights) = judge(target, &describe(target, options, &flow).to_file(), options)?;
    let diagnostics = log_weights.diagnostics();
    let mut description = describe(target, options, &flow);
    let width = description.features.len();
    for (index, feature) in description.features.iter_mut().enumerate() {
        let values = || rows.iter().skip(index).step_by(width).copied();
        feature.low = values().fold(f32::INFINITY, f32::min);
        feature.high = values().fold(f32::NEG_INFINITY, f32::max);
    }
    let facts = [
        ("elbo", format!("{:.4}", diagnostics.elbo)),
        ("log_evidence", format!("{:.4}", diagnostics.log_evidence)),
        ("effective_share", format!("{:.4}", diagnostics.effective_share)),
        ("pareto_shape", format!("{:.4}", diagnostics.pareto_shape)),
    ];
    description.provenance.extend(facts.map(|(key, value)| format!("{key}={value}\n")));
    let draft = description.to_file();
    let mut device = device::open(&draft, "the fitted posterior")?;
    for row in rows.chunks(width).take(VECTORS) {
        let results = [device.log_density(row)?, device.score(row)?];
        description.self_test.push((row.to_vec(), results));
    }
    let file = description.to_file();
    device::open(&file, "the finished posterior")?.self_test()?;
    Ok(Posterior { file, diagnostics, log_weights })
}

/// The flow alone, without gradients.
fn fit(target: &impl Target, options: &Options) -> Result<Flow> {
    let Options { family, base, .. } = *options;
    let parameters = target.names().len();
    if family.default_layers().is_none() {
        return Err(Error::NoLayers { family });
    }
    if matches!(base, Base::Mixture { .. } | Base::StudentTMixture { .. }) {
        return Err(Error::NoReparameterisation);
    }
    if !(2..=flowlet::MAX_FEATURES).contains(&parameters) {
        return Err(Error::Parameters { parameters });
    }
    let columns = target.standardisation();
    let is_usable = |column: &Standardisation| column.scale > 0.0 && column.scale.is_finite();
    if columns.len() != parameters || !columns.iter().all(is_usable) {
        return Err(Error::Standardisation { parameters });
    }
    for (draws, least) in [(options.draws, 1), (options.judged_draws, FEWEST_JUDGED)] {
        if draws < least {
            return Err(Error::FewDraws { draws, minimum: FEWEST_JUDGED });
        }
    }
    let sizes = Sizes { features: parameters, context: 0, periodic: Periodic::default() };
    let device = Device::flex().autodiff();
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let flow = Flow::new(&options.architecture(), sizes, &mut random, &device);
    descent::descend(flow, options.schedule, |flow| {
        let base = flow.draw_base(options.draws, parameters, &mut random, &device);
        path_loss(flow, base.expect("no mixture"), target).mean()
    })
}

/// ln q(z) - ln p(z) of the draws that `base` maps to, shape \[draws, 1\], with the path gradient;
/// without the constant of the standardisation.
fn path_loss(flow: &Flow, base: Tensor<2>, target: &impl Target) -> Tensor<2> {
    let (standardised, _) = flow.forward(base, None);
    let log_q = flow.clone().no_grad().log_density(standardised.clone());
    let columns = target.standardisation();
    let row = |of: fn(&Standardisation) -> f32| {
        let values: Vec<f32> = columns.iter().map(of).collect();
        Tensor::<2>::from_data(TensorData::new(values, [1, columns.len()]), &log_q.device())
    };
    let z = standardised * row(|column| column.scale) + row(|column| column.centre);
    log_q - target.log_density(z)
}

/// The file of `flow` without what draws tell of it.
fn describe(target: &impl Target, options: &Options, flow: &Flow) -> Description {
    let Options { family, layers, schedule, draws, seed, .. } = options;
    let feature = |(name, column): (String, Standardisation)| Feature {
        name,
        centre: column.centre,
        scale: column.scale,
        low: column.centre - column.scale,
        high: column.centre + column.scale,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    let facts = [
        ("tool", format!("flowlet {}", env!("CARGO_PKG_VERSION"))),
        ("kind", "posterior, fitted to a density and not to rows".into()),
        ("density", escape(target.name())),
        ("family", format!("{family}, {layers} layers")),
        ("seed", seed.to_string()),
        ("steps", format!("{} of {draws} draws", schedule.steps)),
    ];
    let (layers, base) = flow.export();
    Description {
        features: target.names().into_iter().zip(target.standardisation()).map(feature).collect(),
        layers,
        base,
        provenance: facts.iter().map(|(key, value)| format!("{key}={value}\n")).collect(),
        ..Description::default()
    }
}

/// Draws of the flow in `file`, row-major, and their importance weights.
fn judge(
    target: &impl Target,
    file: &ModelFile,
    options: &Options,
) -> Result<(Vec<f32>, LogWeights)> {
    let mut device = device::open(file, "the fitted posterior")?;
    let width = target.names().len();
    let mut random = ChaCha8Rng::seed_from_u64(!options.seed);
    let mut rows = vec![0.0; options.judged_draws * width];
    for row in rows.chunks_mut(width) {
        device.sample(&mut random, 1.0, row, &[])?;
    }
    let mut log_weights = Vec::with_capacity(options.judged_draws);
    for batch in rows.chunks(BATCH * width) {
        let data = TensorData::new(batch.to_vec(), [batch.len() / width, width]);
        let log_p = target.log_density(Tensor::from_data(data, &Device::flex()));
        for (row, log_p) in batch.chunks(width).zip(family::values(log_p)) {
            log_weights.push(f64::from(log_p) - f64::from(device.log_density(row)?));
        }
    }
    Ok((rows, LogWeights::new(log_weights)?))
}

#[cfg(test)]
mod tests {
    use burn::module::{ModuleVisitor, Param};

    use super::*;

    /// A flow as the density to fit.
    struct Own(Flow);

    impl Target for Own {
        fn name(&self) -> &str {
            "a flow"
        }

        fn names(&self) -> Vec<String> {
            (0..4).map(|number| format!("z{number}")).collect()
        }

        fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
            self.0.log_density(z)
        }
    }

    /// The largest entry of all gradients.
    struct Largest<'a>(&'a burn::tensor::Gradients, f32);

    impl ModuleVisitor for Largest<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.0) {
                self.1 = family::values(gradient).iter().fold(self.1, |a, b| a.max(b.abs()));
            }
        }
    }

    fn largest_gradient(loss: &Tensor<2>, flow: &Flow) -> f32 {
        let gradients = loss.clone().mean().backward();
        let mut largest = Largest(&gradients, 0.0);
        flow.visit(&mut largest);
        largest.1
    }

    /// Where q is the density itself, no draw has a path gradient, while the whole gradient is 0 only
    /// in the mean; away from it there is one.
    #[test]
    fn the_path_gradient_vanishes_at_the_optimum() {
        let device = Device::flex().autodiff();
        let bases = [Base::StandardNormal, Base::StudentT];
        let families = [Family::RealNvp, Family::Glow, Family::Iaf, Family::SplineCoupling];
        for (family, base) in families.into_iter().flat_map(|f| bases.map(|base| (f, base))) {
            let hidden = vec![16, 16];
            let architecture = Architecture { family, layers: 3, hidden, base, image: None };
            let sizes = Sizes { features: 4, context: 0, periodic: Periodic::default() };
            let mut random = ChaCha8Rng::seed_from_u64(4);
            let mut new = || Flow::new(&architecture, sizes, &mut random, &device);
            let mut flow = new().valid();
            family::average(&mut flow, &new(), 2.0);
            let flow = flow.train();
            let other = Own(new().no_grad());
            let own = Own(flow.clone().no_grad());
            // A graph is gone once a gradient has been taken along it.
            let draws = || {
                let mut random = ChaCha8Rng::seed_from_u64(5);
                flow.draw_base(64, 4, &mut random, &device).expect("draws")
            };
            let at_optimum = largest_gradient(&path_loss(&flow, draws(), &own), &flow);
            let elsewhere = largest_gradient(&path_loss(&flow, draws(), &other), &flow);
            let (z, _) = flow.forward(draws(), None);
            let whole = flow.log_density(z.clone()) - own.log_density(z);
            let whole = largest_gradient(&whole, &flow);
            assert!(at_optimum < 1e-4, "{family} {base:?}: {at_optimum}");
            assert!(elsewhere > 1e-2 && whole > 1e-2, "{family} {base:?}: {elsewhere} {whole}");
        }
    }
}
