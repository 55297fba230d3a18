//! A flow in f64, straight from its description: slow, obvious, and without a line of the crate.

use flowlet::bijection::Half;
use flowlet::write::{Description, Layer, Linear};

/// x to z. Returns log |det dz/dx|.
pub fn inverse(description: &Description, row: &mut Vec<f64>) -> f64 {
    let mut log_det_jacobian = 0.0;
    for (value, feature) in row.iter_mut().zip(&description.features) {
        *value = (*value - f64::from(feature.centre)) / f64::from(feature.scale);
        log_det_jacobian -= f64::from(feature.scale).ln();
    }
    for layer in &description.layers {
        match layer {
            Layer::Permutation(order) => {
                *row = order.iter().map(|from| row[*from as usize]).collect();
            }
            Layer::Coupling { transformed, clip, network } => {
                let (first, second) = row.split_at_mut(description.features.len() / 2);
                let (values, condition) = match transformed {
                    Half::First => (first, second),
                    Half::Second => (second, first),
                };
                let outputs = run(network, condition);
                let (shifts, raws) = outputs.split_at(values.len());
                for ((value, shift), raw) in values.iter_mut().zip(shifts).zip(raws) {
                    let log_scale = raw / (1.0 + raw.abs() / f64::from(*clip));
                    *value = (*value - shift) * (-log_scale).exp();
                    log_det_jacobian -= log_scale;
                }
            }
        }
    }
    log_det_jacobian
}

/// Natural logarithm of the density at `x`.
pub fn log_density(description: &Description, x: &[f32]) -> f64 {
    let mut row: Vec<f64> = x.iter().map(|value| f64::from(*value)).collect();
    let log_det_jacobian = inverse(description, &mut row);
    let normal = |z: &f64| -0.5 * z * z - 0.5 * (2.0 * std::f64::consts::PI).ln();
    row.iter().map(normal).sum::<f64>() + log_det_jacobian
}

/// log |det dz/dx| by central differences and Gaussian elimination.
pub fn log_det_by_differences(description: &Description, x: &[f32]) -> f64 {
    let size = x.len();
    let mut jacobian = vec![vec![0.0; size]; size];
    for column in 0..size {
        let step = 1e-6 * f64::from(description.features[column].scale);
        let at = |sign: f64| {
            let mut row: Vec<f64> = x.iter().map(|value| f64::from(*value)).collect();
            row[column] += sign * step;
            inverse(description, &mut row);
            row
        };
        for (line, (above, below)) in jacobian.iter_mut().zip(at(1.0).iter().zip(at(-1.0))) {
            line[column] = (above - below) / (2.0 * step);
        }
    }
    let mut log_det = 0.0;
    for pivot in 0..size {
        let largest = (pivot..size)
            .max_by(|a, b| jacobian[*a][pivot].abs().total_cmp(&jacobian[*b][pivot].abs()));
        jacobian.swap(pivot, largest.expect("a row is left"));
        let (above, below) = jacobian.split_at_mut(pivot + 1);
        let top = &above[pivot];
        for line in below {
            let factor = line[pivot] / top[pivot];
            for (value, top) in line.iter_mut().zip(top) {
                *value -= factor * top;
            }
        }
        log_det += jacobian[pivot][pivot].abs().ln();
    }
    log_det
}

fn run(network: &[Linear], inputs: &[f64]) -> Vec<f64> {
    let mut values = inputs.to_vec();
    for (number, linear) in network.iter().enumerate() {
        values = (0..linear.rows)
            .map(|row| {
                let weights = &linear.weights[row * linear.columns..][..linear.columns];
                let products = weights.iter().zip(&values).map(|(w, x)| f64::from(*w) * x);
                let sum = f64::from(linear.bias[row]) + products.sum::<f64>();
                if number + 1 < network.len() { sum.max(0.0) } else { sum }
            })
            .collect();
    }
    values
}
