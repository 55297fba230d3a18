//! The families of flows, and their trainable twins of the device's bijections and bases.
//!
//! A twin has the file name of what it mirrors in the crate `flowlet`, and the formula stands
//! there. It exists for gradients only: every number that leaves this tool is computed by the
//! device's code, and `tests/twin.rs` holds the two together.

mod act_norm;
mod autoregressive;
pub(crate) mod base;
mod channels;
mod coupling;
mod direction;
mod image;
mod lu_linear;
mod masked;
pub(crate) mod math;
pub mod network;
mod periodic;
mod permutation;
mod scalar;
mod spline;

use std::fmt;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use clap::ValueEnum;
use flowlet::Periodic;
use flowlet::bijection::{Half, Side};
use flowlet::write;
use rand_chacha::ChaCha8Rng;

use act_norm::ActNorm;
use autoregressive::Autoregressive;
use coupling::Coupling;
use direction::Direction;
use image::Split;
use lu_linear::LuLinear;
use permutation::Permutation;
use scalar::SPLINE;

pub use image::Image;
pub use scalar::AFFINE;

/// Widths of hidden layers unless the user wants others: few rows fill no more.
const NARROW_HIDDEN: [usize; 2] = [32, 32];
/// The same of a spline coupling, whose last layer, with 23 parameters a feature, is the largest.
const NARROW_SPLINE_HIDDEN: [usize; 2] = [32, 16];
/// Widths for many rows.
const WIDE_HIDDEN: [usize; 2] = [64, 64];
/// Training rows that are many.
const MANY_ROWS: usize = 10_000;

/// A family of densities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// Affine couplings on the even and the odd features in turn (Dinh et al. 2017).
    RealNvp,
    /// Act-norm, linear map in LU form and affine coupling at each step (Kingma and Dhariwal
    /// 2018).
    Glow,
    /// Masked autoregressive flow, affine (Papamakarios et al. 2017).
    Maf,
    /// Inverse autoregressive flow, affine (Kingma et al. 2016).
    Iaf,
    /// Couplings like real-nvp's with rational-quadratic splines (Durkan et al. 2019).
    SplineCoupling,
    /// Autoregressive flow like maf with rational-quadratic splines (Durkan et al. 2019).
    SplineAutoregressive,
    /// Mixture of Gaussians of full covariance, no flow.
    Gmm,
    /// One Gaussian of full covariance, no flow.
    Gaussian,
}

impl Family {
    /// Layers unless the user says otherwise; `None` for a family without layers.
    pub fn default_layers(self) -> Option<usize> {
        match self {
            Self::RealNvp | Self::Glow | Self::Maf | Self::Iaf => Some(5),
            Self::SplineCoupling | Self::SplineAutoregressive => Some(3),
            Self::Gmm | Self::Gaussian => None,
        }
    }

    /// Widths of hidden layers for so many training rows unless the user says otherwise.
    pub fn default_hidden(self, rows: usize) -> &'static [usize] {
        match self {
            Self::SplineCoupling if rows < MANY_ROWS => &NARROW_SPLINE_HIDDEN,
            _ if rows < MANY_ROWS => &NARROW_HIDDEN,
            _ => &WIDE_HIDDEN,
        }
    }

    /// Whether its layers can map a feature on a circle.
    pub fn maps_circles(self) -> bool {
        matches!(self, Self::SplineCoupling | Self::SplineAutoregressive)
    }
}

/// As on the command line.
impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let value = self.to_possible_value().expect("no family is hidden");
        formatter.pad(value.get_name())
    }
}

/// The density that a flow maps rows to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// N(0, I).
    StandardNormal,
    /// Independent Student-t densities, their degrees of freedom trained.
    StudentT,
    /// A mixture of Gaussians: diagonal behind layers, full where it is all of the model.
    Mixture {
        /// Number of Gaussians.
        components: usize,
    },
    /// A mixture of diagonal multivariate Student-t densities, behind layers.
    StudentTMixture {
        /// Number of densities.
        components: usize,
    },
}

/// How large a flow is.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// Which family.
    pub family: Family,
    /// Number of couplings or autoregressive layers, a level where rows are images.
    pub layers: usize,
    /// Widths of the hidden layers of each conditioner.
    pub hidden: Vec<usize>,
    /// What stands behind the layers.
    pub base: Base,
    /// The shape of the images that the rows are, for Glow.
    pub image: Option<Image>,
}

/// Lengths of a row and of its context, and what of the row lies on a circle.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// D.
    pub features: usize,
    /// C, 0 without context.
    pub context: usize,
    /// The features that are periodic.
    pub periodic: Periodic,
}

/// A flow under training. Rows are standardised, each with its context behind it.
#[derive(Module, Debug)]
pub struct Flow {
    /// C.
    #[module(skip)]
    context: usize,
    /// In the order of the inverse (x to z).
    layers: Vec<Layer>,
    base: base::Base,
}

/// A bijection under training.
#[derive(Module, Debug)]
enum Layer {
    Permutation(Permutation),
    Coupling(Coupling),
    Autoregressive(Autoregressive),
    ActNorm(ActNorm),
    LuLinear(LuLinear),
    Split(Split),
}

impl Flow {
    /// A flow near the identity, its weights drawn from `random`.
    pub fn new(
        architecture: &Architecture,
        mut sizes: Sizes,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let Architecture { family, layers: count, hidden, base, image } = architecture;
        let mut layers = Vec::new();
        if let Some(image) = image {
            layers = image::levels(*image, *count, sizes.context, hidden, random, device);
        } else if family.default_layers().is_some() {
            for number in 0..*count {
                append_step(&mut layers, *family, number, &mut sizes, hidden, random, device);
            }
        }
        let base = match *base {
            Base::StandardNormal => base::Base::StandardNormal(base::Normal::new(sizes.periodic)),
            Base::StudentT => base::Base::StudentT(base::StudentT::new(device)),
            Base::Mixture { components } => base::Base::Mixture(base::Mixture::new(
                sizes.features,
                components,
                layers.is_empty(),
                random,
                device,
            )),
            Base::StudentTMixture { components } => base::Base::Mixture(
                base::Mixture::of_student_t(sizes.features, components, random, device),
            ),
        };
        Self { context: sizes.context, layers, base }
    }

    /// A mixture without layers, its components of full covariance.
    pub fn from_components(components: &[write::Component], device: &Device) -> Self {
        let mixture = base::Mixture::from_components(components, device);
        Self { context: 0, layers: Vec::new(), base: base::Base::Mixture(mixture) }
    }

    /// A shift and a scale of every feature given the context alone, over Student-t densities.
    pub fn conditional(
        sizes: Sizes,
        hidden: &[usize],
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let sizes = Sizes { periodic: Periodic::default(), ..sizes };
        let coupling = Coupling::new(Half::Both, AFFINE, sizes, hidden, random, device);
        let base = base::Base::StudentT(base::StudentT::new(device));
        Self { context: sizes.context, layers: vec![Layer::Coupling(coupling)], base }
    }

    /// The same flow of rows with `context` values behind them, which it does not look at.
    pub fn beside(self, context: usize) -> Self {
        Self { context, ..self }
    }

    /// Sets what starts from data, given a batch of rows.
    pub fn initialise(&mut self, rows: Tensor<2>) {
        let (mut x, context) = self.split(rows);
        for layer in &mut self.layers {
            if let Layer::ActNorm(layer) = layer {
                layer.initialise(x.clone());
            }
            (x, _) = layer.inverse(x, context.as_ref());
        }
    }

    /// x and, if there is one, the context.
    fn split(&self, rows: Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        let features = rows.dims()[1] - self.context;
        match self.context {
            0 => (rows, None),
            count => (rows.clone().narrow(1, 0, features), Some(rows.narrow(1, features, count))),
        }
    }

    /// Natural logarithm of the density of standardised rows, shape \[rows, D + C\] to
    /// \[rows, 1\].
    pub fn log_density(&self, rows: Tensor<2>) -> Tensor<2> {
        let (mut z, context) = self.split(rows);
        let mut log_det_jacobian = Tensor::zeros([z.dims()[0], 1], &z.device());
        let mut parts = Vec::new();
        for layer in &self.layers {
            if let Layer::Split(split) = layer {
                parts.push(split.rest(&z));
            }
            let (mapped, log_det) = layer.inverse(z, context.as_ref());
            z = mapped;
            log_det_jacobian = log_det_jacobian + log_det;
        }
        parts.push(z);
        parts.reverse();
        self.base.log_density(Tensor::cat(parts, 1)) + log_det_jacobian
    }

    /// Base samples to standardised rows, given the context, if there is one, shape \[rows, C\].
    /// Returns x, shape \[rows, D\], and log |det dx/dz|, shape \[rows, 1\].
    pub fn forward(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        let ([rows, features], device) = (z.dims(), z.device());
        // Values of the row in front of each split, and behind the last one.
        let splits = self.layers.iter().filter_map(|layer| match layer {
            Layer::Split(split) => Some(split.mapped()),
            _ => None,
        });
        let mut sizes: Vec<usize> = std::iter::once(features).chain(splits).collect();
        let mut mapped = sizes.pop().unwrap_or(features);
        let mut x = z.clone().narrow(1, 0, mapped);
        let mut log_det_jacobian = Tensor::zeros([rows, 1], &device);
        for layer in self.layers.iter().rev() {
            if let Layer::Split(_) = layer {
                let all = sizes.pop().unwrap_or(features);
                x = Tensor::cat(vec![x, z.clone().narrow(1, mapped, all - mapped)], 1);
                mapped = all;
                continue;
            }
            let (own, log_det) = layer.forward(x, context);
            x = own;
            log_det_jacobian = log_det_jacobian + log_det;
        }
        (x, log_det_jacobian)
    }

    /// Draws of the base, shape \[rows, D\], which carry the gradient of what the base trains; none
    /// of a mixture, whose choice of a component has no gradient.
    pub fn draw_base(
        &self,
        rows: usize,
        features: usize,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Option<Tensor<2>> {
        self.base.draw([rows, features], random, device)
    }

    /// The layers and the base as the device's file holds them.
    pub fn export(&self) -> (Vec<write::Layer>, write::Base) {
        (self.layers.iter().map(Layer::export).collect(), self.base.export())
    }
}

/// Appends step `number` of a flow to layers in front of which a row has these `sizes`.
fn append_step(
    layers: &mut Vec<Layer>,
    family: Family,
    number: usize,
    sizes: &mut Sizes,
    hidden: &[usize],
    random: &mut ChaCha8Rng,
    device: &Device,
) {
    let features = sizes.features;
    let mut permute = |sizes: &mut Sizes, order: Vec<usize>| {
        sizes.periodic = sizes.periodic.permuted(order.iter().copied());
        layers.push(Layer::Permutation(Permutation::new(order)));
    };
    let half = alternating(number);
    match family {
        Family::RealNvp | Family::SplineCoupling => {
            if number == 0 {
                // Neighbours are often alike, and each then conditions the other.
                permute(sizes, apart(0..features));
            }
            let map = if family == Family::RealNvp { AFFINE } else { SPLINE };
            let coupling = Coupling::new(half, map, *sizes, hidden, random, device);
            layers.push(Layer::Coupling(coupling));
        }
        Family::Glow => {
            layers.push(Layer::ActNorm(ActNorm::new(features, 1, device)));
            layers.push(Layer::LuLinear(LuLinear::new(features, random, device)));
            let coupling = Coupling::new(half, AFFINE, *sizes, hidden, random, device);
            layers.push(Layer::Coupling(coupling));
        }
        Family::Maf | Family::Iaf | Family::SplineAutoregressive => {
            if number > 0 {
                // In reverse, and neighbours apart: features that one layer's degrees do not tell
                // apart then condition one another in the next.
                permute(sizes, apart((0..features).rev()));
            }
            let given = if family == Family::Iaf { Side::Z } else { Side::X };
            let map = if family == Family::SplineAutoregressive { SPLINE } else { AFFINE };
            let layer = Autoregressive::new(given, map, *sizes, hidden, random, device);
            layers.push(Layer::Autoregressive(layer));
        }
        Family::Gmm | Family::Gaussian => {}
    }
}

/// Every other one of `order` from its first on, then the others.
fn apart(order: impl Iterator<Item = usize> + Clone) -> Vec<usize> {
    order.clone().step_by(2).chain(order.skip(1).step_by(2)).collect()
}

/// The half that coupling `number` transforms.
fn alternating(number: usize) -> Half {
    if number.is_multiple_of(2) { Half::Second } else { Half::First }
}

impl Layer {
    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    fn inverse(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Permutation(layer) => layer.inverse(x),
            Self::Coupling(layer) => layer.apply(Direction::Inverse, x, context),
            Self::Autoregressive(layer) => layer.apply(Direction::Inverse, x, context),
            Self::ActNorm(layer) => layer.inverse(x),
            Self::LuLinear(layer) => layer.inverse(x),
            Self::Split(layer) => layer.inverse(x),
        }
    }

    /// z to x, shape [rows, D], and log |det dx/dz|, shape [rows, 1]. A split, behind which z lacks
    /// what it let go, is the flow's task.
    fn forward(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Permutation(layer) => layer.forward(z),
            Self::Coupling(layer) => layer.apply(Direction::Forward, z, context),
            Self::Autoregressive(layer) => layer.apply(Direction::Forward, z, context),
            Self::ActNorm(layer) => layer.forward(z),
            Self::LuLinear(layer) => layer.forward(z),
            Self::Split(_) => unreachable!("the flow joins what a split parted"),
        }
    }

    /// The layer as the device's file holds it.
    fn export(&self) -> write::Layer {
        match self {
            Self::Permutation(layer) => layer.export(),
            Self::Coupling(layer) => layer.export(),
            Self::Autoregressive(layer) => layer.export(),
            Self::ActNorm(layer) => layer.export(),
            Self::LuLinear(layer) => layer.export(),
            Self::Split(layer) => layer.export(),
        }
    }
}

/// What a conditioner sees: the context, if there is one, and then `values`.
pub(crate) fn given(context: Option<&Tensor<2>>, values: Tensor<2>) -> Tensor<2> {
    match context {
        Some(context) => Tensor::cat(vec![context.clone(), values], 1),
        None => values,
    }
}

/// Moves every weight of a module to `decay` of itself and the rest of `other`'s, which is built
/// alike.
pub fn average<M: Module>(module: &mut M, other: &M, decay: f64) {
    let mut weights = Weights(Vec::new());
    other.visit(&mut weights);
    let mut mix = Mix { others: weights.0.into_iter(), decay };
    *module = module.clone().map(&mut mix);
}

/// All weights of a module, in the order of its fields, flattened.
struct Weights(Vec<Tensor<1>>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().inner().flatten(0, D as i64 - 1));
    }
}

/// Mixes the weights of a module with those of another.
struct Mix {
    others: std::vec::IntoIter<Tensor<1>>,
    decay: f64,
}

impl ModuleMapper for Mix {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let own = param.val();
        let other = self.others.next().expect("modules of one architecture");
        let other = other.reshape(own.dims());
        Param::from_tensor(own * self.decay + other * (1.0 - self.decay))
    }
}

/// The entries of a tensor, row-major.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("made of f32")
}
