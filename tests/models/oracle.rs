//! A flow in f64, straight from its description: slow, obvious, and without a line of the crate.

use flowlet::bijection::{Half, Side};
use flowlet::write::{Base, Component, Description, Feature, Layer, Linear};
use flowlet::{Degrees, ScalarMap};

use super::{Random, members};

/// A row on its way through a flow, in front of a layer.
#[derive(Clone)]
struct Row {
    values: Vec<f64>,
    /// Which of them lie on a circle.
    periodic: Vec<bool>,
    /// Values that a split has left for the base.
    left: Vec<f64>,
    /// Standardised.
    context: Vec<f64>,
}

/// x to z, given the raw context. Returns log |det dz/dx|.
pub fn inverse(description: &Description, row: &mut Vec<f64>, context: &[f32]) -> f64 {
    walk(description, row, context, |row, layer| row.inverse(layer))
}

/// How far a step of `amount` in each value in front of each layer, up or down by chance, moves a
/// log-density: the most of several draws. What f32 rounds moves it about as much, and much where
/// a flow is steep.
pub fn sensitivity(description: &Description, x: &[f32], context: &[f32], amount: f64) -> f64 {
    let mut random = Random::new(0);
    let mut disturbed = |row: &mut Row, layer: &Layer| {
        for value in &mut row.values {
            *value += amount * value.abs().max(1.0) * f64::from(random.uniform().signum());
        }
        row.inverse(layer)
    };
    let here = log_density(description, x, context);
    let draw = |_| (log_density_by(description, x, context, &mut disturbed) - here).abs();
    (0..16).map(draw).fold(0.0, f64::max)
}

/// Standardises the row and has `step` take it through each layer; the sum of the log-determinants
/// that it returns.
fn walk(
    description: &Description,
    values: &mut Vec<f64>,
    context: &[f32],
    mut step: impl FnMut(&mut Row, &Layer) -> f64,
) -> f64 {
    let standardised =
        |value: f64, own: &Feature| (value - f64::from(own.centre)) / f64::from(own.scale);
    let own = description.features.iter();
    let context = context.iter().map(|value| f64::from(*value)).zip(&description.context);
    let mut row = Row {
        values: values.iter().zip(own.clone()).map(|(x, own)| standardised(*x, own)).collect(),
        periodic: own.clone().map(|own| own.periodic).collect(),
        left: Vec::new(),
        context: context.map(|(value, own)| standardised(value, own)).collect(),
    };
    let scale: f64 = own.map(|own| f64::from(own.scale).ln()).sum();
    let layers = description.layers.iter();
    let log_det_jacobian = layers.map(|layer| step(&mut row, layer)).sum::<f64>() - scale;
    *values = row.all();
    log_det_jacobian
}

impl Row {
    /// The values, and behind them those that were left.
    fn all(&self) -> Vec<f64> {
        [&self.values[..], &self.left].concat()
    }

    /// Through one layer. Returns the logarithm of the determinant.
    fn inverse(&mut self, layer: &Layer) -> f64 {
        let Self { values: row, periodic, left, context } = self;
        let mut log_det_jacobian = 0.0;
        match layer {
            Layer::Split(mapped) => {
                *left = [row.split_off(*mapped), std::mem::take(left)].concat();
                periodic.truncate(*mapped);
            }
            Layer::Permutation(order) => {
                *row = order.iter().map(|from| row[*from as usize]).collect();
                *periodic = order.iter().map(|from| periodic[*from as usize]).collect();
            }
            Layer::Coupling { transformed, map, network } => {
                let middle = row.len() / 2;
                let (first, second) = row.split_at_mut(middle);
                let (values, condition) = match transformed {
                    Half::First => (first, second),
                    Half::Second => (second, first),
                    Half::Both => (&mut row[..], &mut [][..]),
                };
                let (first, second) = periodic.split_at(middle);
                let (circles, circles_seen) = match transformed {
                    Half::First => (first, second),
                    Half::Second => (second, first),
                    Half::Both => (&periodic[..], &[][..]),
                };
                let condition = seen(condition, circles_seen);
                let outputs = run(network, &[&context[..], &condition].concat());
                let count = values.len();
                for (index, value) in values.iter_mut().enumerate() {
                    let own: Vec<f64> =
                        outputs.iter().skip(index).step_by(count).copied().collect();
                    let (mapped, log_slope) = scalar(*map, circles[index], &own, *value);
                    *value = mapped;
                    log_det_jacobian += log_slope;
                }
            }
            Layer::Autoregressive { given, map, network } => {
                let size = row.len();
                let degrees = Degrees { features: size, context: context.len() };
                let network = masked(network, degrees, periodic);
                let x = row.clone();
                for feature in 0..size {
                    // What lies at and behind `feature` is masked, whatever it is.
                    let known = match given {
                        Side::X => &x,
                        Side::Z => &*row,
                    };
                    let known = seen(known, periodic);
                    let outputs = run(&network, &[&context[..], &known].concat());
                    let own: Vec<f64> =
                        outputs.iter().skip(feature).step_by(size).copied().collect();
                    let (mapped, log_slope) = scalar(*map, periodic[feature], &own, x[feature]);
                    row[feature] = mapped;
                    log_det_jacobian += log_slope;
                }
            }
            Layer::Marginal(knots) => {
                for (value, knots) in row.iter_mut().zip(knots) {
                    let (mapped, log_slope) = marginal(knots, *value);
                    *value = mapped;
                    log_det_jacobian += log_slope;
                }
            }
            Layer::ActNorm { shift, scale } => {
                for ((value, shift), scale) in row.iter_mut().zip(shift).zip(scale) {
                    *value = (*value - f64::from(*shift)) / f64::from(*scale);
                    log_det_jacobian -= f64::from(scale.abs()).ln();
                }
            }
            Layer::LuLinear { channels, lower, upper } => {
                let (size, positions) = (*channels, row.len() / channels);
                let entry = |matrix: &[f32], i: usize, j: usize| f64::from(matrix[i * size + j]);
                for position in 0..positions {
                    let at = |channel: usize| position + channel * positions;
                    let middle: Vec<f64> = (0..size)
                        .map(|i| (i..size).map(|j| entry(upper, i, j) * row[at(j)]).sum())
                        .collect();
                    for i in 0..size {
                        let below: f64 = (0..i).map(|j| entry(lower, i, j) * middle[j]).sum();
                        row[at(i)] = middle[i] + below;
                        log_det_jacobian += entry(upper, i, i).abs().ln();
                    }
                }
            }
        }
        log_det_jacobian
    }
}

/// u, a whole number of periods away, in [-1, 1).
pub fn wrap(u: f64) -> f64 {
    u - 2.0 * ((u + 1.0) / 2.0).floor()
}

/// What a network sees of a row: of what lies on a circle, the point of a curve.
fn seen(values: &[f64], circles: &[bool]) -> Vec<f64> {
    let parabola = |u: f64| 4.0 * wrap(u) * (1.0 - wrap(u).abs());
    let columns = values.iter().zip(circles).flat_map(|(u, is_circle)| match is_circle {
        true => vec![parabola(*u), parabola(*u + 0.5)],
        false => vec![*u],
    });
    columns.collect()
}

/// x to z by one scalar map, given its parameters. Returns z and the log-slope.
fn scalar(map: ScalarMap, on_circle: bool, parameters: &[f64], x: f64) -> (f64, f64) {
    match map {
        ScalarMap::Spline { .. } if on_circle => {
            let outer = slope(soft_clip(parameters[23], 10.0));
            spline(parameters, 1.0, outer, wrap(x + 1.0))
        }
        ScalarMap::Affine { clip } => {
            let log_scale = soft_clip(parameters[1], f64::from(clip));
            ((x - parameters[0]) * (-log_scale).exp(), -log_scale)
        }
        ScalarMap::Spline { bound } if x.abs() >= f64::from(bound) => (x, 0.0),
        ScalarMap::Spline { bound } => spline(parameters, f64::from(bound), 1.0, x),
    }
}

pub fn soft_clip(raw: f64, bound: f64) -> f64 {
    raw / (1.0 + raw.abs() / bound)
}

/// Of a bin, before all are made to add up.
fn share(raw: f64) -> f64 {
    1e-3 + (1.0 + raw / 4.0).powi(4)
}

/// Of a knot: (1 + r/4)^4 where r >= 0, else 1 over that of -r.
fn slope(raw: f64) -> f64 {
    let power = (1.0 + raw.abs() / 4.0).powi(4);
    if raw < 0.0 { 1.0 / power } else { power }
}

/// Within +-bound, where its slope is `outer`. The spline is monotone, so its inverse is found by
/// halving intervals.
fn spline(parameters: &[f64], bound: f64, outer: f64, x: f64) -> (f64, f64) {
    let knots = |raw: &[f64]| {
        let sum: f64 = raw.iter().map(|raw| share(*raw)).sum();
        let size = |raw: &f64| 2.0 * bound * (1e-3 + (1.0 - 8e-3) * share(*raw) / sum);
        let sizes = raw.iter().map(size);
        [-bound]
            .into_iter()
            .chain(sizes.scan(-bound, |end, size| {
                *end += size;
                Some(*end)
            }))
            .collect::<Vec<f64>>()
    };
    let (zs, xs) = (knots(&parameters[..8]), knots(&parameters[8..16]));
    let slopes: Vec<f64> = [outer]
        .into_iter()
        .chain(parameters[16..23].iter().map(|raw| slope(soft_clip(*raw, 10.0))))
        .chain([outer])
        .collect();
    rational_quadratic(&zs, &xs, &slopes, x)
}

/// Rational quadratics between the knots, straight lines beyond them.
fn marginal(knots: &[[f32; 3]], x: f64) -> (f64, f64) {
    let column = |index: usize| knots.iter().map(|knot| f64::from(knot[index])).collect::<Vec<_>>();
    let (xs, zs, slopes) = (column(0), column(1), column(2));
    let Some(last) = knots.len().checked_sub(1) else { return (x, 0.0) };
    let line = |end: usize| (zs[end] + (x - xs[end]) / slopes[end], -slopes[end].ln());
    match x {
        x if x < xs[0] => line(0),
        x if x >= xs[last] => line(last),
        x => rational_quadratic(&zs, &xs, &slopes, x),
    }
}

/// z with g(z) = x, found by halving intervals, and its log-slope.
fn rational_quadratic(zs: &[f64], xs: &[f64], slopes: &[f64], x: f64) -> (f64, f64) {
    let last = zs.len() - 2;
    let bin = (0..last).find(|bin| x < xs[bin + 1]).unwrap_or(last);
    let (width, height) = (zs[bin + 1] - zs[bin], xs[bin + 1] - xs[bin]);
    let (s, d0, d1) = (height / width, slopes[bin], slopes[bin + 1]);
    let at = |t: f64| {
        let denominator = s + (d1 + d0 - 2.0 * s) * t * (1.0 - t);
        xs[bin] + height * (s * t * t + d0 * t * (1.0 - t)) / denominator
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if at(middle) < x { low = middle } else { high = middle }
    }
    let t = 0.5 * (low + high);
    let denominator = s + (d1 + d0 - 2.0 * s) * t * (1.0 - t);
    let numerator = d1 * t * t + 2.0 * s * t * (1.0 - t) + d0 * (1.0 - t) * (1.0 - t);
    (zs[bin] + t * width, -(s * s * numerator / (denominator * denominator)).ln())
}

/// The network with 0 where a unit may not see its input.
fn masked(network: &[Linear], degrees: Degrees, periodic: &[bool]) -> Vec<Linear> {
    let Degrees { features, context } = degrees;
    // The degrees of the inputs.
    let columns = |feature: usize| vec![feature + 1; 1 + usize::from(periodic[feature])];
    let mut before = [vec![0; context], (0..features).flat_map(columns).collect()].concat();
    let mut layers = network.to_vec();
    let last = layers.len() - 1;
    for (number, linear) in layers.iter_mut().enumerate() {
        let degree = |row| match number == last {
            true => row % features,
            false => degrees.degree(number, linear.rows, row),
        };
        let own: Vec<usize> = (0..linear.rows).map(degree).collect();
        for (row, own) in own.iter().enumerate() {
            for (column, before) in before.iter().enumerate() {
                if before > own {
                    linear.weights[row * linear.columns + column] = 0.0;
                }
            }
        }
        before = own;
    }
    layers
}

/// Natural logarithm of the density at `x`.
pub fn log_density(description: &Description, x: &[f32], context: &[f32]) -> f64 {
    log_density_by(description, x, context, &mut |row, layer| row.inverse(layer))
}

/// The same, where `step` takes a row through each layer.
fn log_density_by(
    description: &Description,
    x: &[f32],
    context: &[f32],
    step: &mut impl FnMut(&mut Row, &Layer) -> f64,
) -> f64 {
    let flows = members(description);
    let own: Vec<f64> = flows.iter().map(|flow| flow_log_density(flow, x, context, step)).collect();
    match &own[..] {
        [own] => *own,
        several => {
            let terms = several.iter().zip(&description.log_shares);
            log_sum_exp(&terms.map(|(own, share)| own + f64::from(*share)).collect::<Vec<_>>())
        }
    }
}

/// The anomaly score of `x`.
pub fn score(description: &Description, x: &[f32], context: &[f32]) -> f64 {
    if description.balances.is_empty() {
        return -log_density(description, x, context);
    }
    let own = members(description).into_iter().zip(&description.balances).map(|(flow, balance)| {
        let [m_b, s_b, m_l, s_l] = [
            balance.base.median,
            balance.base.deviation,
            balance.log_det_jacobian.median,
            balance.log_det_jacobian.deviation,
        ]
        .map(f64::from);
        let (b, l) =
            flow_terms(&flow, x, context, &mut |row, layer| match (row.inverse(layer), layer) {
                // What the context alone decides accuses no feature.
                (_, Layer::Coupling { transformed: Half::Both, .. }) => 0.0,
                (log_det_jacobian, _) => log_det_jacobian,
            });
        let volume =
            if s_l > 0.0 { (s_b / s_l).min(1.0) * ((m_l - l) / s_l).max(0.0) } else { 0.0 };
        (m_b - b) / s_b + volume
    });
    let own: Vec<f64> = own.collect();
    match &own[..] {
        [own] => *own,
        several => {
            several.iter().map(|s| s / (1.0 + s.abs() / 10.0)).sum::<f64>() / several.len() as f64
        }
    }
}

/// That of the first flow.
fn flow_log_density(
    description: &Description,
    x: &[f32],
    context: &[f32],
    step: &mut impl FnMut(&mut Row, &Layer) -> f64,
) -> f64 {
    let (base, log_det_jacobian) = flow_terms(description, x, context, step);
    base + log_det_jacobian
}

/// The base's log-density and the log-determinant of the first flow.
fn flow_terms(
    description: &Description,
    x: &[f32],
    context: &[f32],
    step: &mut impl FnMut(&mut Row, &Layer) -> f64,
) -> (f64, f64) {
    let mut row: Vec<f64> = x.iter().map(|value| f64::from(*value)).collect();
    let log_det_jacobian = walk(description, &mut row, context, step);
    let origins = origins(description).into_iter().map(|from| &description.features[from]);
    let (circles, others): (Vec<_>, Vec<_>) =
        row.iter().zip(origins).partition(|(_, f)| f.periodic);
    let others: Vec<f64> = others.into_iter().map(|(z, _)| *z).collect();
    (base(&description.base, &others) - circles.len() as f64 * 2f64.ln(), log_det_jacobian)
}

/// The feature that each value of a row of the base comes from.
pub fn origins(description: &Description) -> Vec<usize> {
    let mut order: Vec<usize> = (0..description.features.len()).collect();
    for layer in &description.layers {
        if let Layer::Permutation(own) = layer {
            // Behind a split it moves the first values alone.
            let moved: Vec<usize> = own.iter().map(|from| order[*from as usize]).collect();
            order.splice(..moved.len(), moved);
        }
    }
    order
}

/// The log-density of a Student-t distribution of n degrees of freedom.
pub fn student_t(n: f64, z: f64) -> f64 {
    let constant = libm::lgamma(0.5 * (n + 1.0))
        - libm::lgamma(0.5 * n)
        - 0.5 * (n * std::f64::consts::PI).ln();
    constant - 0.5 * (n + 1.0) * (z * z / n).ln_1p()
}

fn base(base: &Base, z: &[f64]) -> f64 {
    let ln_two_pi = (2.0 * std::f64::consts::PI).ln();
    match base {
        Base::StandardNormal => z.iter().map(|z| -0.5 * z * z - 0.5 * ln_two_pi).sum(),
        Base::StudentT { degrees_of_freedom } => {
            z.iter().map(|z| student_t(f64::from(*degrees_of_freedom), *z)).sum()
        }
        Base::Mixture(components) => {
            let constant = -0.5 * z.len() as f64 * ln_two_pi;
            mixture(components, z, |square| constant - 0.5 * square)
        }
        Base::StudentTMixture { degrees_of_freedom, components } => {
            let (n, size) = (f64::from(*degrees_of_freedom), z.len() as f64);
            let constant = libm::lgamma(0.5 * (n + size))
                - libm::lgamma(0.5 * n)
                - 0.5 * size * (n * std::f64::consts::PI).ln();
            mixture(components, z, |square| constant - 0.5 * (n + size) * (square / n).ln_1p())
        }
    }
}

pub fn log_sum_exp(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::MIN, f64::max);
    largest + terms.iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

/// `kernel` is ln of the density around 0 of unit scale, given the squared distance from there.
fn mixture(components: &[Component], z: &[f64], kernel: impl Fn(f64) -> f64) -> f64 {
    let terms: Vec<f64> = components
        .iter()
        .map(|component| {
            let (square, log_det) = whitened(component, z);
            f64::from(component.log_weight) + log_det + kernel(square)
        })
        .collect();
    log_sum_exp(&terms)
}

/// |U (z - mean)|^2 and ln |det U|.
fn whitened(component: &Component, z: &[f64]) -> (f64, f64) {
    let size = z.len();
    let full = component.precision_factor.len() > size;
    let entry = |i: usize, j: usize| match full {
        true => f64::from(component.precision_factor[i * size + j]),
        false if i == j => f64::from(component.precision_factor[i]),
        false => 0.0,
    };
    let (mut square, mut log_det) = (0.0, 0.0);
    for i in 0..size {
        let y: f64 = (i..size).map(|j| entry(i, j) * (z[j] - f64::from(component.mean[j]))).sum();
        square += y * y;
        log_det += entry(i, i).abs().ln();
    }
    (square, log_det)
}

/// log |det dz/dx| by central differences, layer by layer: those of the whole flow would lose in
/// f64 as many digits as it is near to a singular one.
pub fn log_det_by_differences(description: &Description, x: &[f32], context: &[f32]) -> f64 {
    let mut row = x.iter().map(|value| f64::from(*value)).collect();
    walk(description, &mut row, context, |row, layer| {
        let log_det = log_det(jacobian(row, layer));
        row.inverse(layer);
        log_det
    })
}

/// The transposed Jacobian of one layer.
fn jacobian(row: &Row, layer: &Layer) -> Vec<Vec<f64>> {
    // So small that hardly ever a unit of a network opens or closes on the way.
    let step = 1e-8;
    let size = row.values.len();
    let at = |column: usize, step: f64| {
        let mut row = row.clone();
        row.values[column] += step;
        row.inverse(layer);
        row.all()
    };
    let line = |column| {
        let (above, below) = (at(column, step), at(column, -step));
        above
            .iter()
            .zip(below)
            .take(size)
            .map(|(above, below)| (above - below) / (2.0 * step))
            .collect()
    };
    (0..size).map(line).collect()
}

/// The logarithm of the magnitude of a determinant, by Gaussian elimination.
fn log_det(mut matrix: Vec<Vec<f64>>) -> f64 {
    let size = matrix.len();
    let mut log_det = 0.0;
    for pivot in 0..size {
        let largest = (pivot..size)
            .max_by(|a, b| matrix[*a][pivot].abs().total_cmp(&matrix[*b][pivot].abs()));
        matrix.swap(pivot, largest.expect("a row is left"));
        let (above, below) = matrix.split_at_mut(pivot + 1);
        let top = &above[pivot];
        for line in below {
            let factor = line[pivot] / top[pivot];
            for (value, top) in line.iter_mut().zip(top) {
                *value -= factor * top;
            }
        }
        log_det += matrix[pivot][pivot].abs().ln();
    }
    log_det
}

pub fn run(network: &[Linear], inputs: &[f64]) -> Vec<f64> {
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
