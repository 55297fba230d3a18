//! The trainable twins of `flowlet::Base`; the formulas and their sources stand there.

use burn::module::{Module, Param};
use burn::tensor::activation::{log_softmax, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::{Periodic, write};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::values;

/// Smallest squared radius of a Student-t draw over that of its point in the disc.
const SMALLEST_SQUARE: f64 = 1e-12;

/// A base density under training.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a flow has one base")]
pub enum Base {
    /// N(0, I).
    StandardNormal(Normal),
    /// Independent Student-t densities.
    StudentT(StudentT),
    /// A mixture of Gaussians, or of multivariate Student-t densities.
    Mixture(Mixture),
}

impl Base {
    /// Natural logarithm of the density at `z`, shape [rows, D] to [rows, 1].
    pub fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        match self {
            Self::StandardNormal(base) => base.log_density(z),
            Self::StudentT(base) => base.log_density(z),
            Self::Mixture(base) => base.log_density(z),
        }
    }

    /// Draws, shape \[rows, D\], differentiable in what the base trains; none of a mixture.
    pub fn draw(
        &self,
        shape: [usize; 2],
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Option<Tensor<2>> {
        match self {
            Self::StandardNormal(base) => Some(base.draw(shape, random, device)),
            Self::StudentT(base) => Some(base.draw(shape, random, device)),
            Self::Mixture(_) => None,
        }
    }

    /// The base as the device's file holds it.
    pub fn export(&self) -> write::Base {
        match self {
            Self::StandardNormal(_) => write::Base::StandardNormal,
            Self::StudentT(base) => base.export(),
            Self::Mixture(base) => base.export(),
        }
    }
}

/// Has nothing to train.
#[derive(Module, Debug)]
pub struct Normal {
    #[module(skip)]
    periodic: Periodic,
}

impl Normal {
    /// Uniform where features are periodic.
    pub fn new(periodic: Periodic) -> Self {
        Self { periodic }
    }

    fn draw(&self, shape: [usize; 2], random: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
        let [rows, features] = shape;
        let mut draw = |feature| match self.periodic.contains(feature) {
            true => random.random_range(-1.0..1.0),
            false => StandardNormal.sample(random),
        };
        let draws = (0..rows * features).map(|number| draw(number % features));
        Tensor::from_data(TensorData::new(draws.collect::<Vec<f32>>(), shape), device)
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        if self.periodic.is_empty() {
            return standard_normal(z);
        }
        let [_, features] = z.dims();
        let is_normal = |feature| f32::from(u8::from(!self.periodic.contains(feature)));
        let normal: Vec<f32> = (0..features).map(is_normal).collect();
        let normal = Tensor::<2>::from_data(TensorData::new(normal, [1, features]), &z.device());
        let circles = self.periodic.count(features) as f64;
        // A circle's 0 in place of its value leaves of the normal density its constant.
        let constant = circles * (0.5 * (2.0 * std::f64::consts::PI).ln() - 2f64.ln());
        standard_normal(z * normal) + constant
    }
}

/// log N(z) over the last dimension.
fn standard_normal<const N: usize>(z: Tensor<N>) -> Tensor<N> {
    let features = z.dims()[N - 1];
    let constant = 0.5 * features as f64 * (2.0 * std::f64::consts::PI).ln();
    (z.clone() * z).sum_dim(N - 1) * -0.5 - constant
}

/// Student-t densities with trainable degrees of freedom.
#[derive(Module, Debug)]
pub struct StudentT {
    /// Degrees of freedom n = [`StudentT::LEAST`] + [`StudentT::RANGE`] sigmoid(raw), so that
    /// the variance is finite; a hundred are a Gaussian in all but name.
    raw: Param<Tensor<1>>,
}

impl StudentT {
    const LEAST: f64 = 2.0;
    const RANGE: f64 = 98.0;
    const START: f64 = 10.0;

    /// Ten degrees of freedom.
    pub fn new(device: &Device) -> Self {
        let share = (Self::START - Self::LEAST) / Self::RANGE;
        let raw = (share / (1.0 - share)).ln() as f32;
        Self { raw: Param::from_data(TensorData::from([raw]), device) }
    }

    /// n.
    fn degrees_of_freedom(&self) -> Tensor<1> {
        sigmoid(self.raw.val()) * Self::RANGE + Self::LEAST
    }

    /// The device's polar method (Bailey 1994): given a point of the unit disc, whose density knows
    /// nothing of n, z = u sqrt(n (w^(-2/n) - 1) / w) with w = u^2 + v^2 is a smooth function of n.
    fn draw(&self, shape: [usize; 2], random: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
        let [rows, features] = shape;
        let points: Vec<(f32, f32)> = (0..rows * features).map(|_| in_disc(random)).collect();
        let tensor = |of: fn(&(f32, f32)) -> f32| {
            let values = points.iter().map(of).collect::<Vec<f32>>();
            Tensor::<2>::from_data(TensorData::new(values, shape), device)
        };
        let u = tensor(|(u, _)| *u);
        let w = tensor(|(u, v)| u * u + v * v);
        let n: Tensor<2> = self.degrees_of_freedom().unsqueeze();
        let power = (w.clone().log() * -2.0 / n.clone()).exp() - 1.0;
        // At the edge of the disc it may round to 0, where a root has no gradient.
        u * (n * power / w).clamp_min(SMALLEST_SQUARE).sqrt()
    }

    /// Of rows of independent values, shape \[rows, 1\].
    pub fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        let [_, features] = z.dims();
        let n: Tensor<2> = self.degrees_of_freedom().unsqueeze();
        let constant = constant(n.clone());
        let logs = (z.square() / n.clone()).log1p().sum_dim(1);
        constant * features as f64 - (n + 1.0) * 0.5 * logs
    }

    /// One density over the whole of the last dimension, around 0 and of unit scale.
    fn multivariate_log_density(&self, y: Tensor<3>) -> Tensor<3> {
        let [_, _, features] = y.dims();
        let n: Tensor<3> = self.degrees_of_freedom().unsqueeze();
        let odd = features % 2;
        let pairs = features / 2;
        let mut constant = match odd {
            1 => constant(n.clone()),
            _ => Tensor::zeros_like(&n),
        };
        for pair in 0..pairs {
            constant = constant + (n.clone().recip() * (odd + 2 * pair) as f64).log1p();
        }
        let constant = constant - pairs as f64 * (2.0 * std::f64::consts::PI).ln();
        let logs = (y.square().sum_dim(2) / n.clone()).log1p();
        constant - (n + features as f64) * 0.5 * logs
    }

    /// n, as a file holds it.
    pub fn exported_degrees_of_freedom(&self) -> f32 {
        values(self.degrees_of_freedom())[0]
    }

    fn export(&self) -> write::Base {
        write::Base::StudentT { degrees_of_freedom: self.exported_degrees_of_freedom() }
    }
}

/// A point of the unit disc without its centre and its edge.
fn in_disc(random: &mut ChaCha8Rng) -> (f32, f32) {
    loop {
        let (u, v) = (random.random_range(-1.0..=1.0f32), random.random_range(-1.0..=1.0f32));
        let square = u * u + v * v;
        if square > 1e-12 && square < 1.0 {
            return (u, v);
        }
    }
}

/// ln gamma((n + 1)/2) - ln gamma(n / 2) - ln(n pi)/2.
fn constant<const N: usize>(n: Tensor<N>) -> Tensor<N> {
    gamma_ratio(n.clone() * 0.5) - (n * std::f64::consts::PI).log() * 0.5
}

/// ln gamma(x + 1/2) - ln gamma(x), x >= 1, to 1e-7: the asymptotic series in 1/x (Abramowitz
/// and Stegun 1964, 6.1.40, the two series subtracted) at x + 4, then down by the recurrence.
/// The difference of two logarithms of gamma would lose digits.
fn gamma_ratio<const N: usize>(x: Tensor<N>) -> Tensor<N> {
    const STEPS: usize = 4;
    let mut steps = Tensor::zeros_like(&x);
    for step in 0..STEPS {
        let x = x.clone() + step as f64;
        steps = steps + (x.recip() * 0.5).log1p();
    }
    let x = x + STEPS as f64;
    let inverse = x.clone().recip();
    let square = inverse.clone().square();
    let series = (square.clone() * (-1.0 / 640.0) + 1.0 / 192.0) * square - 0.125;
    x.log() * 0.5 + series * inverse - steps
}

/// A mixture, trained with the flow or, alone and of Gaussians, by [`crate::training::mixture`].
#[derive(Module, Debug)]
pub struct Mixture {
    /// The weights are their softmax, shape \[K\].
    raw_weights: Param<Tensor<1>>,
    /// Shape [K, D].
    means: Param<Tensor<2>>,
    /// ln of the diagonals of U, shape \[K, D\].
    log_diagonals: Param<Tensor<2>>,
    /// Full covariances: U above the diagonal, shape [K, D, D]; what lies elsewhere is not used.
    uppers: Option<Param<Tensor<3>>>,
    /// The components are Student-t densities.
    tails: Option<StudentT>,
}

impl Mixture {
    /// Components of equal weights and unit covariances, with means near 0.
    pub fn new(
        features: usize,
        components: usize,
        full: bool,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let means: Vec<f32> =
            (0..components * features).map(|_| StandardNormal.sample(random)).collect();
        let means = means.iter().map(|mean| 0.5 * mean).collect::<Vec<_>>();
        let uppers = full.then(|| {
            let entries = (0..components * features * features)
                .map(|_| random.random_range(-0.01..=0.01f32))
                .collect::<Vec<_>>();
            let shape = [components, features, features];
            Param::from_data(TensorData::new(entries, shape), device)
        });
        Self {
            raw_weights: Param::from_tensor(Tensor::zeros([components], device)),
            means: Param::from_data(TensorData::new(means, [components, features]), device),
            log_diagonals: Param::from_tensor(Tensor::zeros([components, features], device)),
            uppers,
            tails: None,
        }
    }

    /// The same of diagonal Student-t densities.
    pub fn of_student_t(
        features: usize,
        components: usize,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let tails = Some(StudentT::new(device));
        Self { tails, ..Self::new(features, components, false, random, device) }
    }

    /// From the components as the device's file holds them, with full covariances.
    pub fn from_components(components: &[write::Component], device: &Device) -> Self {
        let count = components.len();
        let features = components.first().map_or(0, |component| component.mean.len());
        let of_all = |values: fn(&write::Component) -> Vec<f32>| -> Vec<f32> {
            components.iter().flat_map(values).collect()
        };
        let log_diagonal = |component: &write::Component| {
            let stride = component.mean.len() + 1;
            component.precision_factor.iter().step_by(stride).map(|entry| entry.ln()).collect()
        };
        let raw_weights = of_all(|component| vec![component.log_weight]);
        let means = of_all(|component| component.mean.clone());
        let uppers = of_all(|component| component.precision_factor.clone());
        let uppers = TensorData::new(uppers, [count, features, features]);
        let log_diagonals = TensorData::new(of_all(log_diagonal), [count, features]);
        Self {
            raw_weights: Param::from_data(TensorData::new(raw_weights, [count]), device),
            means: Param::from_data(TensorData::new(means, [count, features]), device),
            log_diagonals: Param::from_data(log_diagonals, device),
            uppers: Some(Param::from_data(uppers, device)),
            tails: None,
        }
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        let z: Tensor<3> = z.unsqueeze_dim(0);
        // Shapes [K, rows, D].
        let difference = z - self.means.val().unsqueeze_dim(1);
        let log_diagonals: Tensor<3> = self.log_diagonals.val().unsqueeze_dim(1);
        let mut whitened = difference.clone() * log_diagonals.clone().exp();
        if let Some(uppers) = &self.uppers {
            whitened = whitened + difference.matmul(uppers.val().triu(1).transpose());
        }
        let log_weights = log_softmax(self.raw_weights.val(), 0);
        let log_weights: Tensor<3> = log_weights.unsqueeze_dims(&[1, 2]);
        let kernel = match &self.tails {
            Some(tails) => tails.multivariate_log_density(whitened),
            None => standard_normal(whitened),
        };
        let own = kernel + log_diagonals.sum_dim(2) + log_weights;
        let largest = own.clone().max_dim(0).detach();
        let sum = (own - largest.clone()).exp().sum_dim(0).log() + largest;
        sum.squeeze_dim(0)
    }

    fn export(&self) -> write::Base {
        let [count, features] = self.means.dims();
        let log_weights = values(log_softmax(self.raw_weights.val(), 0));
        let means = values(self.means.val());
        let diagonals = values(self.log_diagonals.val().exp());
        let uppers = self.uppers.as_ref().map(|uppers| values(uppers.val().triu(1)));
        let component = |number: usize| {
            let diagonal = &diagonals[number * features..][..features];
            let precision_factor = match &uppers {
                None => diagonal.to_vec(),
                Some(uppers) => {
                    let size = features * features;
                    let mut factor = uppers[number * size..][..size].to_vec();
                    let places = factor.iter_mut().step_by(features + 1);
                    places.zip(diagonal).for_each(|(place, entry)| *place = *entry);
                    factor
                }
            };
            let mean = means[number * features..][..features].to_vec();
            // Rounding may lift the only weight over 1.
            let log_weight = log_weights[number].min(0.0);
            write::Component { log_weight, mean, precision_factor }
        };
        let components = (0..count).map(component).collect();
        match &self.tails {
            Some(tails) => write::Base::StudentTMixture {
                degrees_of_freedom: tails.exported_degrees_of_freedom(),
                components,
            },
            None => write::Base::Mixture(components),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Their mean square is the variance n / (n - 2), and its gradient in n that of the formula.
    #[test]
    fn student_t_draws_are_differentiable() {
        let device = Device::flex().autodiff();
        let base = StudentT::new(&device);
        let random = &mut ChaCha8Rng::seed_from_u64(1);
        let mean_square = base.draw([200_000, 1], random, &device).square().mean();
        let gradients = mean_square.clone().backward();
        let gradient = values(base.raw.val().grad(&gradients).expect("a gradient"))[0];
        let n = StudentT::START as f32;
        let slope = {
            let share = (n - StudentT::LEAST as f32) / StudentT::RANGE as f32;
            StudentT::RANGE as f32 * share * (1.0 - share)
        };
        let expected = -2.0 / (n - 2.0).powi(2) * slope;
        let variance = values(mean_square.inner())[0];
        assert!((variance - n / (n - 2.0)).abs() < 0.02, "{variance}");
        assert!((gradient / expected - 1.0).abs() < 0.05, "{gradient} {expected}");
    }
}
