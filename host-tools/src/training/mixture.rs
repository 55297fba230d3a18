//! Expectation maximisation: rows to a mixture of Gaussians of full covariance (Dempster et al.
//! 1977), their number by the Bayesian information criterion (Schwarz 1978).
//!
//! Each number of Gaussians starts several times from k-means++ (Arthur and Vassilvitskii 2007,
//! "k-means++: the advantages of careful seeding"), and the starts that are best after a few steps
//! go on (Biernacki et al. 2003, "Choosing starting values for the EM algorithm"). All of it is in
//! f64, and sums of densities are log-sum-exps.

use std::ops::RangeInclusive;

use burn::tensor::Device;
use flowlet::write::Component;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::family::Flow;
use crate::rows::standardise::WILD;

/// Added to the variances, standardised units: the first with which the fit succeeds.
const REGULARISERS: [f64; 3] = [1e-6, 1e-4, 1e-2];
/// Of the mean log-likelihood, nats: less gain ends the iteration.
const TOLERANCE: f64 = 1e-5;
const MAX_STEPS: usize = 500;
/// Starts of each number of Gaussians, on at most so many of the rows, and the steps after which the
/// best few of them go on with all.
const STARTS: usize = 10;
const FIRST_STEPS: usize = 25;
const FIRST_ROWS: usize = 5000;
const KEPT: usize = 3;
/// Steps of k-means at each start.
const K_MEANS_STEPS: usize = 10;

/// ln(2 pi) / 2.
const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// Fits mixtures of `components` Gaussians to standardised rows, row-major, and returns the best
/// one, and whether time was over before all numbers of Gaussians were tried. Rows with a wild
/// value, which no Gaussian explains, are left out.
pub fn fit(
    rows: &[f32],
    features: usize,
    components: RangeInclusive<usize>,
    seed: u64,
    is_time_over: impl Fn() -> bool,
) -> Result<(Flow, bool)> {
    let (mixture, out_of_time) = best(&Rows::tame(rows, features), components, seed, is_time_over)?;
    Ok((Flow::from_components(&mixture.components(), &Device::flex()), out_of_time))
}

/// Gaussians over `codes`, one row of `latents` values for each of `rows`: the moments of the clusters
/// that `components` Gaussians find in the rows themselves.
pub fn of_clusters(
    rows: &[f32],
    features: usize,
    codes: &[f32],
    latents: usize,
    components: usize,
    seed: u64,
) -> Result<Vec<Component>> {
    let refusal = || Error::Mixture { components };
    let (mixture, _) = best(&Rows::tame(rows, features), components..=components, seed, || false)?;
    let all = Rows { features, values: rows.iter().map(|x| f64::from(*x)).collect() };
    let codes: Vec<f64> = codes.iter().map(|z| f64::from(*z)).collect();
    let mut moments = vec![Moments::new(latents); components];
    let (mut own, mut whitened) = (vec![0.0; components], vec![0.0; features]);
    for (row, code) in all.iter().zip(codes.chunks_exact(latents)) {
        mixture.responsibilities(row, &mut own, &mut whitened);
        for (responsibility, moments) in own.iter().zip(&mut moments) {
            moments.add(code, *responsibility);
        }
    }
    // One may have so few rows that the codes of no further ones tell it apart.
    moments.retain(|moments| moments.weight > latents as f64 + 1.0);
    let mut fits = REGULARISERS.iter();
    let mixture = fits.find_map(|regulariser| Mixture::of(&moments, *regulariser));
    Ok(mixture.ok_or_else(refusal)?.components())
}

/// Gaussians fitted to `codes`.
pub fn of_codes(
    codes: &[f32],
    latents: usize,
    components: usize,
    seed: u64,
) -> Result<Vec<Component>> {
    let (mixture, _) = best(&Rows::tame(codes, latents), components..=components, seed, || false)?;
    Ok(mixture.components())
}

/// The best mixture of so many Gaussians, and whether time was over before all numbers were tried.
fn best(
    rows: &Rows,
    components: RangeInclusive<usize>,
    seed: u64,
    is_time_over: impl Fn() -> bool,
) -> Result<(Mixture, bool)> {
    let features = rows.features;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut best: Option<(f64, Mixture)> = None;
    let mut out_of_time = false;
    for number in components.clone().filter(|number| *number <= rows.count()) {
        out_of_time = best.is_some() && is_time_over();
        if out_of_time {
            break;
        }
        let mut fits = REGULARISERS.iter();
        let Some((mixture, mean)) = fits.find_map(|r| fit_number(rows, number, *r, &mut random))
        else {
            continue;
        };
        let parameters = number * (1 + features + features * (features + 1) / 2) - 1;
        let count = rows.count() as f64;
        let criterion = parameters as f64 * count.ln() - 2.0 * count * mean;
        if best.as_ref().is_none_or(|(least, _)| criterion < *least) {
            best = Some((criterion, mixture));
        }
    }
    let (_, mixture) = best.ok_or(Error::Mixture { components: *components.end() })?;
    Ok((mixture, out_of_time))
}

/// The best of several starts with `number` Gaussians, and its mean log-likelihood; none where
/// every one of them ends with a Gaussian on fewer rows than it has dimensions, a spike and no
/// density.
fn fit_number(
    rows: &Rows,
    number: usize,
    regulariser: f64,
    random: &mut ChaCha8Rng,
) -> Option<(Mixture, f64)> {
    let starts = if number == 1 { 1 } else { STARTS };
    let mut begun: Vec<(Mixture, f64)> = Vec::new();
    let some = rows.some(FIRST_ROWS, random);
    for _ in 0..starts {
        let start = Mixture::start(&some, number, regulariser, random);
        begun.extend(start.and_then(|start| start.climb(&some, FIRST_STEPS, regulariser)));
    }
    begun.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    begun.truncate(KEPT);
    let needed = (rows.features + 1) as f64 / rows.count() as f64;
    let ends = begun.into_iter().filter_map(|(start, _)| start.climb(rows, MAX_STEPS, regulariser));
    let is_sound = |(mixture, _): &(Mixture, f64)| {
        number == 1 || mixture.gaussians.iter().all(|gaussian| gaussian.weight >= needed)
    };
    ends.filter(is_sound).max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// Standardised rows, row-major.
struct Rows {
    features: usize,
    values: Vec<f64>,
}

impl Rows {
    /// Those without a wild value, which no Gaussian explains.
    fn tame(rows: &[f32], features: usize) -> Self {
        let tame = |row: &&[f32]| row.iter().all(|x| f64::from(x.abs()) <= WILD);
        let values = rows.chunks_exact(features).filter(tame).flatten().map(|x| f64::from(*x));
        Self { features, values: values.collect() }
    }

    fn count(&self) -> usize {
        self.values.len() / self.features
    }

    fn iter(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.features)
    }

    fn row(&self, number: usize) -> &[f64] {
        &self.values[number * self.features..][..self.features]
    }

    /// At most `most` rows by chance, in their order.
    fn some(&self, most: usize, random: &mut ChaCha8Rng) -> Self {
        let chosen = rand::seq::index::sample(random, self.count(), most.min(self.count()));
        let mut chosen = chosen.into_vec();
        chosen.sort_unstable();
        let values = chosen.into_iter().flat_map(|number| self.row(number)).copied().collect();
        Self { features: self.features, values }
    }
}

struct Mixture {
    gaussians: Vec<Gaussian>,
}

impl Mixture {
    /// The Gaussians of the clusters that k-means finds.
    fn start(
        rows: &Rows,
        number: usize,
        regulariser: f64,
        random: &mut ChaCha8Rng,
    ) -> Option<Self> {
        let mut centres = plus_plus(rows, number, random);
        let mut moments = Vec::new();
        for _ in 0..K_MEANS_STEPS {
            moments = vec![Moments::new(rows.features); number];
            for row in rows.iter() {
                let (nearest, _) = nearest(&centres, row);
                moments[nearest].add(row, 1.0);
            }
            for (centre, moments) in centres.iter_mut().zip(&moments) {
                if moments.weight > 0.0 {
                    *centre = moments.mean();
                }
            }
        }
        Self::of(&moments, regulariser)
    }

    /// The Gaussians of these moments; none where one of them has no covariance.
    fn of(moments: &[Moments], regulariser: f64) -> Option<Self> {
        let all: f64 = moments.iter().map(|moments| moments.weight).sum();
        let gaussian = |moments: &Moments| Gaussian::of(moments, all, regulariser);
        Some(Self { gaussians: moments.iter().map(gaussian).collect::<Option<_>>()? })
    }

    /// Steps of expectation and maximisation until the mean log-likelihood stays. Returns it too.
    fn climb(mut self, rows: &Rows, steps: usize, regulariser: f64) -> Option<(Self, f64)> {
        let mut before = f64::NEG_INFINITY;
        let mut own = vec![0.0; self.gaussians.len()];
        let mut whitened = vec![0.0; rows.features];
        for step in 0.. {
            let mut moments = vec![Moments::new(rows.features); self.gaussians.len()];
            let mut sum = 0.0;
            for row in rows.iter() {
                sum += self.responsibilities(row, &mut own, &mut whitened);
                for (responsibility, moments) in own.iter().zip(&mut moments) {
                    // What a Gaussian has no part in does not move it.
                    if *responsibility > 1e-12 {
                        moments.add(row, *responsibility);
                    }
                }
            }
            let mean = sum / rows.count() as f64;
            if !mean.is_finite() {
                return None;
            }
            if step == steps || mean - before < TOLERANCE {
                return Some((self, mean));
            }
            before = mean;
            self = Self::of(&moments, regulariser)?;
        }
        None
    }

    /// The probability of each Gaussian given a row, into `own`; returns the row's log-density.
    fn responsibilities(&self, row: &[f64], own: &mut [f64], whitened: &mut [f64]) -> f64 {
        for (own, gaussian) in own.iter_mut().zip(&self.gaussians) {
            *own = gaussian.weight.ln() + gaussian.log_density(row, whitened);
        }
        let largest = own.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all = largest + own.iter().map(|own| (own - largest).exp()).sum::<f64>().ln();
        own.iter_mut().for_each(|own| *own = (*own - all).exp());
        all
    }

    /// The components as the device's file holds them.
    fn components(&self) -> Vec<Component> {
        let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect();
        let component = |gaussian: &Gaussian| Component {
            log_weight: gaussian.weight.ln().min(0.0) as f32,
            mean: single(&gaussian.mean),
            precision_factor: single(&gaussian.upper),
        };
        self.gaussians.iter().map(component).collect()
    }
}

/// Centres far from each other: each next one is a row, the likelier the farther it lies from
/// those before it.
fn plus_plus(rows: &Rows, number: usize, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let mut centres = vec![rows.row(random.random_range(0..rows.count())).to_vec()];
    while centres.len() < number {
        let squares: Vec<f64> = rows.iter().map(|row| nearest(&centres, row).1).collect();
        let mut place = random.random::<f64>() * squares.iter().sum::<f64>();
        let chosen = squares.iter().position(|square| {
            place -= square;
            place < 0.0
        });
        centres.push(rows.row(chosen.unwrap_or(0)).to_vec());
    }
    centres
}

/// The centre nearest to `row`, and the square of its distance.
fn nearest(centres: &[Vec<f64>], row: &[f64]) -> (usize, f64) {
    let square = |centre: &Vec<f64>| centre.iter().zip(row).map(|(a, b)| (a - b).powi(2)).sum();
    let squares = centres.iter().map(square).enumerate();
    squares.min_by(|(_, a), (_, b): &(usize, f64)| a.total_cmp(b)).unwrap_or((0, 0.0))
}

/// Sums over weighted rows, from which a mean and a covariance follow.
#[derive(Clone)]
struct Moments {
    weight: f64,
    sum: Vec<f64>,
    /// Of products of two features, the second not before the first, row-major.
    products: Vec<f64>,
}

impl Moments {
    fn new(features: usize) -> Self {
        Self { weight: 0.0, sum: vec![0.0; features], products: vec![0.0; features * features] }
    }

    fn add(&mut self, row: &[f64], weight: f64) {
        self.weight += weight;
        let lines = self.products.chunks_exact_mut(row.len());
        for (i, (line, sum)) in lines.zip(&mut self.sum).enumerate() {
            let own = weight * row[i];
            *sum += own;
            for (product, x) in line[i..].iter_mut().zip(&row[i..]) {
                *product += own * x;
            }
        }
    }

    fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.weight).collect()
    }
}

/// One Gaussian: N(x) = |det U| N(U (x - mean); 0, I), with U^T U the inverse covariance.
struct Gaussian {
    weight: f64,
    mean: Vec<f64>,
    /// U, row-major, zero below the diagonal.
    upper: Vec<f64>,
    log_det: f64,
}

impl Gaussian {
    /// Of the moments of rows that weigh `all` together; none where the covariance is singular.
    fn of(moments: &Moments, all: f64, regulariser: f64) -> Option<Self> {
        let (mean, features) = (moments.mean(), moments.sum.len());
        let covariance = |i: usize, j: usize| {
            let product = moments.products[i * features + j] / moments.weight;
            product - mean[i] * mean[j] + if i == j { regulariser } else { 0.0 }
        };
        // R upper triangular with R R^T the covariance, from its last column to the first, as
        // Cholesky's method does in the other order; then U is the inverse of R.
        let mut root = vec![0.0; features * features];
        for j in (0..features).rev() {
            for i in (0..=j).rev() {
                let behind = j + 1..features;
                let dot: f64 =
                    behind.map(|k| root[i * features + k] * root[j * features + k]).sum();
                let rest = covariance(i, j) - dot;
                if i == j && !(rest > 0.0 && rest.is_finite()) {
                    return None;
                }
                root[i * features + j] =
                    if i == j { rest.sqrt() } else { rest / root[j * features + j] };
            }
        }
        let mut upper = vec![0.0; features * features];
        for j in 0..features {
            upper[j * features + j] = 1.0 / root[j * features + j];
            for i in (0..j).rev() {
                let between = i + 1..=j;
                let dot: f64 =
                    between.map(|k| root[i * features + k] * upper[k * features + j]).sum();
                upper[i * features + j] = -dot / root[i * features + i];
            }
        }
        let log_det = (0..features).map(|i| upper[i * features + i].ln()).sum();
        Some(Self { weight: moments.weight / all, mean, upper, log_det })
    }

    fn log_density(&self, row: &[f64], whitened: &mut [f64]) -> f64 {
        for ((own, x), mean) in whitened.iter_mut().zip(row).zip(&self.mean) {
            *own = x - mean;
        }
        let features = row.len();
        let lines = self.upper.chunks_exact(features).enumerate();
        let squares = lines.map(|(i, line)| {
            let dot: f64 = line[i..].iter().zip(&whitened[i..]).map(|(u, x)| u * x).sum();
            dot * dot
        });
        -0.5 * squares.sum::<f64>() - features as f64 * HALF_LN_TWO_PI + self.log_det
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(count: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
        (0..count).map(|_| StandardNormal.sample(random)).collect()
    }

    proptest! {
        /// U^T U times the covariance is the identity, whatever the rows.
        #[test]
        fn the_factor_is_that_of_the_inverse_covariance(seed: u64, features in 1usize..6) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let rows = Rows { features, values: normal(50 * features, &mut random) };
            let mut moments = Moments::new(features);
            rows.iter().for_each(|row| moments.add(row, 1.0));
            let Gaussian { mean, upper, .. } = Gaussian::of(&moments, 50.0, 0.0).unwrap();
            let covariance = |i: usize, j: usize| {
                rows.iter().map(|row| (row[i] - mean[i]) * (row[j] - mean[j])).sum::<f64>() / 50.0
            };
            for i in 0..features {
                for j in 0..features {
                    let precision = |k: usize| -> f64 {
                        (0..features).map(|l| upper[l * features + i] * upper[l * features + k]).sum()
                    };
                    let entry: f64 = (0..features).map(|k| precision(k) * covariance(k, j)).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    prop_assert!((entry - expected).abs() < 1e-8, "{i} {j}: {entry}");
                }
            }
        }
    }

    /// No step lowers the likelihood, and well separated clusters are found as they were drawn.
    #[test]
    fn clusters_are_found_and_the_likelihood_climbs() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let centres = [[-6.0, 0.0], [6.0, 0.0], [0.0, 9.0]];
        let mut values = normal(2 * 900, &mut random);
        for (number, row) in values.chunks_exact_mut(2).enumerate() {
            row[0] += centres[number % 3][0];
            row[1] += centres[number % 3][1];
        }
        let rows = Rows { features: 2, values };
        let mut mixture = Mixture::start(&rows, 3, 1e-6, &mut random).unwrap();
        let mut before = f64::NEG_INFINITY;
        for _ in 0..20 {
            let mean;
            (mixture, mean) = mixture.climb(&rows, 1, 1e-6).unwrap();
            assert!(mean >= before - 1e-12);
            before = mean;
        }
        let (mixture, _) = fit_number(&rows, 3, 1e-6, &mut random).unwrap();
        for centre in centres {
            let near = mixture.gaussians.iter().any(|gaussian| {
                let distance = |i: usize| (gaussian.mean[i] - centre[i]).abs();
                distance(0) < 0.3 && distance(1) < 0.3 && (gaussian.weight - 1.0 / 3.0).abs() < 0.02
            });
            assert!(near, "no Gaussian at {centre:?}");
        }
    }
}
