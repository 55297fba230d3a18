//! The start of a latent model with a Gaussian likelihood: probabilistic principal components
//! (Tipping and Bishop 1999, "Probabilistic Principal Component Analysis").
//!
//! The best linear model, x = W z + m + s e with W = U (A - s^2 I)^(1/2) of the L largest eigenvalues
//! A of the covariance and s^2 the mean of the others, has a diagonal posterior,
//! z_j ~ N(w_j (x - m) / a_j, s^2 / a_j). Both networks start as these linear maps: a pair of units,
//! one for a projection and one for its negative, carries it through their ReLUs. The deviation of
//! each feature starts as what the linear model leaves of it. From there training has no reason to give
//! latent values up, as it often has from a random start (Lucas et al. 2019, "Don't Blame the ELBO! A
//! Linear VAE Perspective on Posterior Collapse").

use flowlet::write::Linear;

use super::twin::{DEVIATIONS, POSTERIOR_CLIP, log_deviations};

/// Least variance of what the components leave, standardised: of rows that they determine.
const LEAST_VARIANCE: f64 = 1e-4;
/// Off-diagonal entries below it, relative to the trace, count as 0.
const TOLERANCE: f64 = 1e-14;
/// Sweeps of Jacobi's method; it takes six or seven.
const SWEEPS: usize = 50;

/// A linear latent model of standardised rows.
pub struct Components {
    /// m.
    mean: Vec<f64>,
    /// Columns of W.
    columns: Vec<Vec<f64>>,
    /// What the mean of z is multiplied from x - m by, one line for each column.
    projections: Vec<Vec<f64>>,
    /// Variances of the posterior.
    variances: Vec<f64>,
    /// Deviation of each feature that the model leaves.
    deviations: Vec<f64>,
}

impl Components {
    /// Of rows of `features` values, row-major: at most `latents` components.
    pub fn of(rows: &[f32], features: usize, latents: usize) -> Self {
        let count = (rows.len() / features) as f64;
        let rows = || rows.chunks_exact(features);
        let mut mean = vec![0.0; features];
        for row in rows() {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / count);
        }
        let centred = |row: &[f32]| -> Vec<f64> {
            row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect()
        };
        let mut covariance = vec![vec![0.0; features]; features];
        for row in rows().map(centred) {
            for (line, a) in covariance.iter_mut().zip(&row) {
                line.iter_mut().zip(&row).for_each(|(entry, b)| *entry += a * b / count);
            }
        }
        let pairs = eigen(covariance);
        let kept = latents.min(features);
        let left = &pairs[kept..];
        let noise = left.iter().map(|(value, _)| value).sum::<f64>() / left.len().max(1) as f64;
        let noise = noise.max(LEAST_VARIANCE);
        let (mut columns, mut projections, mut variances) = (Vec::new(), Vec::new(), Vec::new());
        for (value, vector) in &pairs[..kept] {
            let (value, scale) = (value.max(noise), (value - noise).max(0.0).sqrt());
            columns.push(vector.iter().map(|entry| entry * scale).collect::<Vec<f64>>());
            projections.push(vector.iter().map(|entry| entry * scale / value).collect());
            variances.push(noise / value);
        }
        let deviations = Vec::new();
        let mut model = Self { mean, columns, projections, variances, deviations };
        let mut squares = vec![0.0; features];
        for row in rows() {
            let left = model.left(row);
            squares.iter_mut().zip(left).for_each(|(sum, left)| *sum += left * left / count);
        }
        for (column, variance) in model.columns.iter().zip(&model.variances) {
            squares.iter_mut().zip(column).for_each(|(sum, w)| *sum += w * w * variance);
        }
        model.deviations = squares.iter().map(|square| square.sqrt()).collect();
        model
    }

    /// Number of components.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    /// The posterior's mean of a row.
    pub fn encode(&self, row: &[f32]) -> Vec<f64> {
        let line = |line: &Vec<f64>| {
            let terms = line.iter().zip(row).zip(&self.mean);
            terms.map(|((w, x), mean)| w * (f64::from(*x) - mean)).sum()
        };
        self.projections.iter().map(line).collect()
    }

    /// The posterior's variances, those of every row.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// What the mean of the latent values leaves of a row.
    fn left(&self, row: &[f32]) -> Vec<f64> {
        let z = self.encode(row);
        let explained = |feature: usize| -> f64 {
            self.columns.iter().zip(&z).map(|(column, z)| column[feature] * z).sum()
        };
        let features = row.iter().zip(&self.mean).enumerate();
        features.map(|(index, (x, mean))| f64::from(*x) - mean - explained(index)).collect()
    }

    /// Whether networks with these hidden layers have room for the pairs.
    pub fn fits(&self, hidden: &[usize]) -> bool {
        hidden.iter().all(|width| *width >= 2 * self.count())
    }

    /// Makes a network, whose inputs are `context` values and then a row, and whose outputs are
    /// `summary` values, means and raw log-deviations, the linear model's encoder.
    pub fn set_encoder(
        &self,
        network: &mut [Linear],
        context: usize,
        summary: usize,
        latents: usize,
    ) {
        let lines = self.projections.iter().map(|line| {
            let bias: f64 = line.iter().zip(&self.mean).map(|(w, mean)| -w * mean).sum();
            (line.iter().map(|w| *w as f32).collect(), bias as f32)
        });
        carry(network, context, &lines.collect::<Vec<_>>());
        let output = network.last_mut().expect("a network has an output layer");
        for (component, variance) in self.variances.iter().enumerate() {
            let row = summary + component;
            clear_pairs(output, row, self.count());
            add_pair(output, row, component, 1.0);
            output.bias[row] = 0.0;
            output.bias[row + latents] = unclipped(0.5 * variance.ln(), POSTERIOR_CLIP);
        }
    }

    /// Makes a network, whose inputs are `context` values and then latent ones, and whose outputs are
    /// means and raw log-deviations, the linear model's decoder.
    pub fn set_decoder(&self, network: &mut [Linear], context: usize, latents: usize) {
        let line = |component: usize| {
            let mut line = vec![0.0; latents];
            line[component] = 1.0;
            (line, 0.0)
        };
        carry(network, context, &(0..self.count()).map(line).collect::<Vec<_>>());
        let output = network.last_mut().expect("a network has an output layer");
        let features = self.mean.len();
        let (centre, clip) = log_deviations();
        let (least, largest) = DEVIATIONS;
        for feature in 0..features {
            clear_pairs(output, feature, self.count());
            for (component, column) in self.columns.iter().enumerate() {
                add_pair(output, feature, component, column[feature] as f32);
            }
            output.bias[feature] = self.mean[feature] as f32;
            let deviation = self.deviations[feature].clamp(f64::from(least), f64::from(largest));
            output.bias[features + feature] = unclipped(deviation.ln() - centre, clip);
        }
    }
}

/// r with c r / (c + |r|) = s, where s is not too near to +-c.
fn unclipped(s: f64, clip: f64) -> f32 {
    let s = s.clamp(-0.9 * clip, 0.9 * clip);
    (clip * s / (clip - s.abs())) as f32
}

/// Makes units 2 j and 2 j + 1 of every hidden layer the ReLU of projection j of what stands behind the
/// first `skipped` inputs, and of its negative.
fn carry(network: &mut [Linear], skipped: usize, projections: &[(Vec<f32>, f32)]) {
    let hidden = network.len() - 1;
    for (number, linear) in network[..hidden].iter_mut().enumerate() {
        for (component, (line, bias)) in projections.iter().enumerate() {
            for (unit, sign) in [(2 * component, 1.0), (2 * component + 1, -1.0)] {
                let weights = &mut linear.weights[unit * linear.columns..][..linear.columns];
                weights.fill(0.0);
                linear.bias[unit] = 0.0;
                if number == 0 {
                    let own = weights[skipped..].iter_mut().zip(line);
                    own.for_each(|(weight, w)| *weight = sign * w);
                    linear.bias[unit] = sign * bias;
                } else {
                    weights[unit] = 1.0;
                }
            }
        }
    }
}

/// Sets what an output takes of the pairs to 0.
fn clear_pairs(output: &mut Linear, row: usize, pairs: usize) {
    output.weights[row * output.columns..][..2 * pairs].fill(0.0);
}

/// Adds `weight` times the projection that a pair of units carries to an output.
fn add_pair(output: &mut Linear, row: usize, component: usize, weight: f32) {
    let weights = &mut output.weights[row * output.columns..][..output.columns];
    weights[2 * component] = weight;
    weights[2 * component + 1] = -weight;
}

/// Eigenvalues of a symmetric matrix, the largest first, with their vectors: Jacobi's method (Golub
/// and Van Loan, "Matrix Computations", section 8.5).
fn eigen(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let size = a.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let trace: f64 = (0..size).map(|i| a[i][i].abs()).sum();
    for _ in 0..SWEEPS {
        let mut largest = 0.0f64;
        for p in 0..size {
            for q in p + 1..size {
                largest = largest.max(a[p][q].abs());
                if a[p][q].abs() <= TOLERANCE * trace {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for line in a.iter_mut().chain(&mut vectors) {
                    (line[p], line[q]) = (c * line[p] - s * line[q], s * line[p] + c * line[q]);
                }
                let (above, below) = a.split_at_mut(q);
                for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
        if largest <= TOLERANCE * trace {
            break;
        }
    }
    let column = |j: usize| vectors.iter().map(|line| line[j]).collect();
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..size).map(|j| (a[j][j], column(j))).collect();
    pairs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A v = a v, orthogonal vectors of length 1, in the order of the values.
        #[test]
        fn eigenvectors_are_mapped_to_multiples_of_themselves(
            entries in prop::collection::vec(-2f64..2.0, 36),
            size in 1usize..=6,
        ) {
            let entry = |i: usize, j: usize| entries[i.min(j) * 6 + i.max(j)];
            let matrix: Vec<Vec<f64>> =
                (0..size).map(|i| (0..size).map(|j| entry(i, j)).collect()).collect();
            let pairs = eigen(matrix.clone());
            prop_assert!(pairs.is_sorted_by(|(a, _), (b, _)| a >= b));
            for (value, vector) in &pairs {
                for (line, own) in matrix.iter().zip(vector) {
                    let mapped: f64 = line.iter().zip(vector).map(|(a, v)| a * v).sum();
                    prop_assert!((mapped - value * own).abs() < 1e-9);
                }
                let length: f64 = vector.iter().map(|v| v * v).sum();
                prop_assert!((length - 1.0).abs() < 1e-9);
            }
        }
    }
}
