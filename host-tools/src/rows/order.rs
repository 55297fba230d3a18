//! Whether the rows stand in an order, such as that of time, and what it does to a split.
//!
//! Rows that are like their neighbours are fewer than they look: n rows with a correlation time of
//! t rows tell as much as n / t independent ones, and a row beside a training row is no new row
//! (Bergmeir and Benitez 2012, "On the use of cross-validation for time series predictor
//! evaluation").

use crate::rows::damage::Fence;
use crate::rows::dataset::Dataset;

/// Correlation with the row before from which on it is told.
const CORRELATED: f64 = 0.3;
/// A correlation below this ends the sum of the correlation time.
const UNCORRELATED: f64 = 0.05;
/// Deviations between the first and the last fifth of the rows that are called a drift, and
/// standard errors.
const DRIFT: (f64, f64) = (0.7, 5.0);
/// Values that a column which only rises has at least.
const RISING: usize = 10;
/// Share of its rows in which it may fall all the same, and of its range, by how much in all.
const AGAINST: (f64, f64) = (0.01, 0.1);
/// Of the rows, most in which an operating point may change.
const CHANGES: f64 = 0.05;

/// What the order of the rows shows; columns by their number.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Columns that only rise, or only fall: a time stamp, a running number, a counter.
    pub one_way: Vec<usize>,
    /// The column that is most like itself in the row before, with that correlation, if it is high.
    pub correlated: Option<(usize, f64)>,
    /// The column that has moved most from the first fifth of the rows to the last, in its
    /// deviations, if that is far.
    pub drift: Option<(usize, f64)>,
    /// Correlation time of the slowest column, in rows: 1 where rows are independent.
    pub correlation_time: f64,
    /// The same within the stretches.
    pub correlation_time_within: f64,
    /// Where stretches of one operating point start, the first at 0.
    pub stretches: Vec<usize>,
}

impl Order {
    /// Looks at the rows of `dataset` as they stand, its wild values held at the `fences`.
    pub fn find(dataset: &Dataset, fences: &[Fence]) -> Self {
        let columns: Vec<Vec<f64>> = (0..dataset.names.len())
            .map(|column| {
                let Fence { low, high } = fences[column];
                dataset.rows().map(|row| row[column].clamp(low, high)).collect()
            })
            .collect();
        let mut order = Self {
            one_way: (0..columns.len()).filter(|column| is_one_way(&columns[*column])).collect(),
            correlation_time: 1.0,
            correlation_time_within: 1.0,
            stretches: stretches(&columns),
            ..Self::default()
        };
        for (number, values) in columns.iter().enumerate() {
            if order.one_way.contains(&number) {
                continue;
            }
            let centred = centred(values, &[0]);
            let Some(deviation) = deviation(&centred) else { continue };
            let next = correlation(&centred, 1);
            let least = CORRELATED.max(6.0 / (values.len() as f64).sqrt());
            if next > order.correlated.map_or(least, |(_, most)| most) {
                order.correlated = Some((number, next));
            }
            let time = correlation_time(&without_line(&centred));
            order.correlation_time = order.correlation_time.max(time);
            let moved = drift(&centred) / deviation;
            let error = (2.0 * time / (values.len() as f64 / 5.0)).sqrt();
            let far = DRIFT.0.max(DRIFT.1 * error);
            if moved.abs() > order.drift.map_or(far, |(_, most): (usize, f64)| most.abs()) {
                order.drift = Some((number, moved));
            }
            let within = correlation_time(&self::centred(values, &order.stretches));
            order.correlation_time_within = order.correlation_time_within.max(within);
        }
        order
    }
}

/// Where one operating point ends and another starts: where a column of few values changes that
/// seldom does.
fn stretches(columns: &[Vec<f64>]) -> Vec<usize> {
    let mut starts = vec![0];
    for values in columns {
        let changes = (1..values.len()).filter(|place| values[*place] != values[place - 1]);
        let changes: Vec<usize> = changes.collect();
        if changes.len() as f64 <= CHANGES * values.len() as f64 {
            starts.extend(changes);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Whether the values only rise or only fall, but for a few steps that lead nowhere; those of a
/// counter that starts again lead back.
fn is_one_way(values: &[f64]) -> bool {
    let mut ascending = values.to_vec();
    ascending.sort_unstable_by(f64::total_cmp);
    let range = ascending[ascending.len() - 1] - ascending[0];
    ascending.dedup();
    let is_few = |against: Vec<f64>| {
        against.len() as f64 <= AGAINST.0 * values.len() as f64
            && against.iter().sum::<f64>() <= AGAINST.1 * range
    };
    let steps = || values.windows(2).map(|pair| pair[1] - pair[0]);
    ascending.len() >= RISING
        && (is_few(steps().filter(|step| *step < 0.0).map(f64::abs).collect())
            || is_few(steps().filter(|step| *step > 0.0).collect()))
}

/// The values without the mean of the stretch that each lies in.
fn centred(values: &[f64], stretches: &[usize]) -> Vec<f64> {
    let ends = stretches.iter().skip(1).copied().chain([values.len()]);
    let stretch = |(start, end): (&usize, usize)| {
        let own = &values[*start..end];
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        own.iter().map(move |x| x - mean).collect::<Vec<_>>()
    };
    stretches.iter().zip(ends).flat_map(stretch).collect()
}

/// The values without their regression line, whose slope is no correlation.
fn without_line(centred: &[f64]) -> Vec<f64> {
    let middle = (centred.len() - 1) as f64 / 2.0;
    let times = || (0..centred.len()).map(|place| place as f64 - middle);
    let squares: f64 = times().map(|time| time * time).sum();
    let products: f64 = times().zip(centred).map(|(time, x)| time * x).sum();
    times().zip(centred).map(|(time, x)| x - time * products / squares.max(1.0)).collect()
}

/// None where all values are one.
fn deviation(centred: &[f64]) -> Option<f64> {
    let squares: f64 = centred.iter().map(|x| x * x).sum();
    let deviation = (squares / centred.len() as f64).sqrt();
    (deviation > 0.0).then_some(deviation)
}

/// With the value so many rows before.
fn correlation(centred: &[f64], lag: usize) -> f64 {
    let squares: f64 = centred.iter().map(|x| x * x).sum();
    let products: f64 = centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// 1 + 2 sum over the lags of the correlation, up to the first that is small; between lags further
/// and further apart it is taken as constant.
pub fn correlation_time(centred: &[f64]) -> f64 {
    let (mut time, mut lag) = (1.0, 1);
    while lag < centred.len() / 4 {
        let correlation = correlation(centred, lag);
        if correlation < UNCORRELATED.max(2.0 / (centred.len() as f64).sqrt()) {
            break;
        }
        let next = (lag * 6 / 5).max(lag + 1);
        time += 2.0 * correlation * (next - lag) as f64;
        lag = next;
    }
    time
}

/// Mean of the last fifth minus that of the first.
fn drift(centred: &[f64]) -> f64 {
    let fifth = (centred.len() / 5).max(1);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    mean(&centred[centred.len() - fifth..]) - mean(&centred[..fifth])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::damage;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn find(dataset: &Dataset) -> Order {
        Order::find(dataset, &damage::fences(dataset))
    }

    fn dataset(columns: &[Vec<f64>]) -> Dataset {
        let rows = columns[0].len();
        let row = |place| columns.iter().map(move |column: &Vec<f64>| column[place]);
        Dataset {
            path: "rows.csv".into(),
            names: (0..columns.len()).map(|column| format!("f{column}")).collect(),
            lines: (0..rows as u64).map(|place| place + 2).collect(),
            values: (0..rows).flat_map(row).collect(),
            windows: Vec::new(),
            read: 0,
        }
    }

    /// x_t = r x_(t-1) + noise, with unit variance; r = 0 is white noise.
    fn autoregressive(seed: u64, rows: usize, r: f64) -> Vec<f64> {
        let noise = StandardNormal.sample_iter(ChaCha8Rng::seed_from_u64(seed));
        let step = |x: &mut f64, noise: f64| {
            *x = r * *x + (1.0 - r * r).sqrt() * noise;
            Some(*x)
        };
        noise.scan(0.0, step).take(rows).collect()
    }

    proptest! {
        #[test]
        fn rows_without_an_order_have_none(seed: u64, rows in 100usize..2000) {
            let columns: Vec<_> =
                (0..5).map(|column| autoregressive(seed ^ column, rows, 0.0)).collect();
            let order = find(&dataset(&columns));
            prop_assert!(order.one_way.is_empty() && order.drift.is_none(), "{:?}", order);
            prop_assert!(order.correlated.is_none() && order.correlation_time < 2.0, "{:?}", order);
        }

        /// The correlation time of a first-order process is (1 + r) / (1 - r), which the 80 independent
        /// rows that 8000 of the slowest are worth tell roughly.
        #[test]
        fn neighbours_that_are_alike_are_found(seed: u64, r in 0.7f64..0.98) {
            let columns = [autoregressive(seed, 8000, 0.0), autoregressive(!seed, 8000, r)];
            let order = find(&dataset(&columns));
            let (column, correlation) = order.correlated.expect("neighbours are alike");
            prop_assert!(column == 1 && (correlation - r).abs() < 0.1);
            let expected = (1.0 + r) / (1.0 - r);
            prop_assert!((0.3..4.0).contains(&(order.correlation_time / expected)), "{:?}", order);
        }

        #[test]
        fn counters_and_drifts_are_found(seed: u64, rows in 200usize..1000) {
            let noise = autoregressive(seed, rows, 0.0);
            let counter: Vec<f64> = (0..rows).map(|row| row as f64).collect();
            let falling: Vec<f64> = counter.iter().map(|row| 90.0 - row / 7.0).collect();
            let warming: Vec<f64> =
                noise.iter().zip(&counter).map(|(x, t)| x + 4.0 * t / rows as f64).collect();
            let again: Vec<f64> = counter.iter().map(|row| row % 64.0).collect();
            let order = find(&dataset(&[noise, counter, falling, warming, again]));
            prop_assert_eq!(order.one_way, vec![1, 2]);
            prop_assert_eq!(order.drift.expect("a drift").0, 3);
        }
    }

    /// Inside of each operating point rows are independent, though a speed follows itself.
    #[test]
    fn operating_points_are_stretches() {
        let speed: Vec<f64> = (0..1200).map(|row| f64::from(row / 100 * 5 % 12) * 5.0).collect();
        let noise = autoregressive(1, 1200, 0.0);
        let vibration: Vec<f64> = speed.iter().zip(&noise).map(|(v, x)| 0.3 * v + x).collect();
        let order = find(&dataset(&[speed, vibration]));
        assert_eq!(order.stretches, (0..12).map(|point| point * 100).collect::<Vec<_>>());
        assert!(order.correlation_time_within < 3.0 && order.correlation_time > 30.0, "{order:?}");
    }
}
