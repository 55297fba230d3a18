//! Two models on the same rows: which one detects better, and whether so few rows can tell.
//!
//! A model's AUROC is the mean over the anomalies of the share of normal rows that score lower, ties
//! counted half, and just as well the mean over the normal rows of the share of anomalies that score
//! higher. With d the difference of the two models' shares for a row, the difference of their AUROCs
//! is the mean of d over the rows of either kind. Its variance is var(d) / m over the m anomalies plus
//! var(d) / n over the n normal rows (DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under
//! two or more correlated receiver operating characteristic curves"). This holds for independent rows.
//! Rows that follow each other are alike and tell less, so each term is multiplied by the correlation
//! time of its d in the order of the file.
//!
//! A context is set and no chance, as in p(x | context). Where it has few values, var(d) is that within
//! the rows of each: what is said holds for these operating points, in this mix, and no others. Where the
//! correlation time is not small beside the rows that follow each other at one point, the interval is too
//! short: at 17 points of 27 rows it left the truth out in 9 % of simulated cases with a time of 6, and in
//! 15 % with a time of 12, in place of 5 %.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::device::Summary;
use crate::judged::{Judge, Judged};
use crate::message;
use crate::rows::order::correlation_time;

/// Rows of a kind from which on the interval covers what it promises.
const FEWEST: usize = 10;
/// Standard errors on either side of 95 % of a normal distribution.
const ERRORS: f64 = 1.96;
/// A correlation time from which on a reader is told of it.
const CORRELATED: f64 = 1.5;

/// What the model has more than the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Of the model less that of the baseline.
    pub value: f64,
    /// What it is within, with 95 % confidence; infinite where rows are too alike to tell.
    pub interval: [f64; 2],
    /// Number of rows that follow each other and tell as much as one that is independent; 1 where rows
    /// are independent.
    pub correlation_time: f64,
}

/// What the same rows say of a model and of a baseline, in this order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Normal rows and anomalies.
    #[serde(skip)]
    rows: [usize; 2],
    /// Values of the context, for which alone the intervals hold; 1 without any, or with too many.
    pub operating_points: usize,
    /// None without rows of both kinds.
    #[serde(skip)]
    aurocs: Option<[f64; 2]>,
    /// None where rows of either kind are too few to tell.
    pub auroc_difference: Option<Difference>,
    /// What the log-density of each is of.
    #[serde(skip)]
    pub densities: [String; 2],
    /// Of the mean log-density of normal rows, nats; none where the densities do not compare.
    pub log_density_difference: Option<Difference>,
    /// Why they do not.
    #[serde(skip)]
    obstacle: Option<&'static str>,
}

impl Comparison {
    /// Of a model and a baseline, if there is one, and what each says of the same rows.
    pub fn between(judges: &[Judge], judged: &[Vec<Judged>]) -> Option<Self> {
        let ([own, baseline], [of_own, of_baseline]) = (judges, judged) else { return None };
        let [own, baseline] = [own, baseline].map(|judge| judge.device.summary());
        Some(Self::of([&own, &baseline], [of_own, of_baseline]))
    }

    /// Of two models and what each says of the same rows, in the order of their file.
    pub fn of(models: [&Summary; 2], judged: [&[Judged]; 2]) -> Self {
        let shares = judged.map(shares);
        let points = operating_points(models, judged);
        let [normal, anomalous] =
            [0, 1].map(|kind| Mean::of(shares.each_ref().map(|own| &own[kind][..]), &points[kind]));
        let rows = [normal.rows, anomalous.rows];
        let aurocs = (!rows.contains(&0)).then(|| shares.map(|[_, shares]| mean(&shares)));
        let auroc_difference = aurocs.map(|[own, baseline]| {
            let variance = normal.variance + anomalous.variance;
            let time = normal.correlation_time.max(anomalous.correlation_time);
            Difference::new(own - baseline, variance, time)
        });
        let densities = judged.map(|judged| {
            let normal = judged.iter().filter(|own| !own.is_anomaly);
            normal.filter_map(|own| own.log_density).map(f64::from).collect::<Vec<_>>()
        });
        let obstacle = obstacle(models);
        let density = Mean::of(densities.each_ref().map(|own| &own[..]), &points[0]);
        let compares = obstacle.is_none() && density.rows >= FEWEST;
        Self {
            rows,
            operating_points: number_of(&points),
            aurocs,
            auroc_difference: auroc_difference.filter(|_| rows.iter().all(|own| *own >= FEWEST)),
            densities: models.map(density_of),
            log_density_difference: compares.then(|| {
                Difference::new(density.value, density.variance, density.correlation_time)
            }),
            obstacle,
        }
    }

    /// Which model detects better, by how much, and whether so few rows can tell.
    pub fn verdict(&self) -> String {
        let [normals, anomalies] = self.rows;
        let Some([own, baseline]) = self.aurocs else {
            return "These rows do not tell which model detects better: it takes normal rows, anomalies \
                    and a label."
                .into();
        };
        let Some(difference) = self.auroc_difference else {
            return format!(
                "{normals} normal rows and {anomalies} anomalies are too few to tell which model detects \
                 better: it takes {FEWEST} of each. AUROC is {own:.4}, that of the baseline {baseline:.4}."
            );
        };
        let Difference { value, interval: [low, high], .. } = difference;
        let interval = difference.describe_interval();
        let at = match self.operating_points {
            1 => String::new(),
            points => format!(", at the {points} operating points of these rows"),
        };
        let more = match value {
            _ if value == 0.0 && low == high => {
                return format!("No difference: AUROC is {own:.4} for both models.");
            }
            _ if low > 0.0 => "better",
            _ if high < 0.0 => "worse",
            _ => {
                return format!(
                    "The difference in AUROC, {own:.4} against {baseline:.4} of the baseline, is within \
                     what so few rows can tell{at}: {value:+.4}, {interval}."
                );
            }
        };
        format!(
            "The model detects {more} than the baseline{at}: AUROC is {own:.4} against {baseline:.4}, \
             {value:+.4}, {interval}."
        )
    }

    /// Under which model normal rows are more probable, or why that is no question.
    pub fn density_verdict(&self) -> String {
        let [own, baseline] = &self.densities;
        // Without an anomaly all rows are taken as normal.
        let rows = if self.rows[1] == 0 { "rows" } else { "normal rows" };
        if let Some(obstacle) = self.obstacle {
            return format!(
                "Its density is {own}, that of the baseline {baseline}: they do not compare, since {obstacle}."
            );
        }
        let Some(difference) = self.log_density_difference else {
            return format!(
                "Fewer than {FEWEST} {rows} do not tell under which they are more probable."
            );
        };
        let Difference { value, interval: [low, high], .. } = difference;
        let interval = difference.describe_interval();
        match () {
            () if value == 0.0 && low == high => {
                format!("The {rows} are as probable under both models.")
            }
            () if low <= 0.0 && high >= 0.0 => format!(
                "The difference in mean log-density of {rows} is within what so few can tell: \
                 {value:+.4} nats, {interval}."
            ),
            () => format!(
                "The {rows} are {} probable than under the baseline: mean log-density {value:+.4} nats, \
                 {interval}.",
                if value > 0.0 { "more" } else { "less" }
            ),
        }
    }
}

impl Difference {
    fn new(value: f64, variance: f64, correlation_time: f64) -> Self {
        let error = ERRORS * variance.sqrt();
        Self { value, interval: [value - error, value + error], correlation_time }
    }

    /// The interval, and what it allows for.
    pub fn describe_interval(&self) -> String {
        let Self { interval: [low, high], correlation_time: time, .. } = self;
        let alike = match *time > CORRELATED {
            true => format!(", in which about {time:.0} rows that follow each other count as one"),
            false => String::new(),
        };
        match low.is_finite() {
            true => format!("95 % interval {low:+.4} to {high:+.4}{alike}"),
            false => format!("about {time:.0} rows that follow each other count as one"),
        }
    }
}

/// What the density of a model is of.
fn density_of(summary: &Summary) -> String {
    let features = summary.features.len();
    match &summary.context[..] {
        [] => format!("of {features} features"),
        context => format!("of {features} features given {}", message::list(context)),
    }
}

/// Why the log-densities of two models say nothing of which is better; none where they do.
fn obstacle(models: [&Summary; 2]) -> Option<&'static str> {
    if models.iter().any(|own| own.latent.is_some()) {
        return Some("a latent model has no log-density");
    }
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    let features = models.map(|own| sorted(own.features.clone()));
    let columns = models.map(|own| sorted([&own.features[..], &own.context].concat()));
    match features[0] == features[1] {
        true => None,
        false if columns[0] == columns[1] => Some(
            "the density of a context is in one and not in the other: log p(x, c) = log p(x | c) + log p(c)",
        ),
        false => Some("the densities are of different features"),
    }
}

/// The mean of a difference over rows of a kind.
struct Mean {
    rows: usize,
    value: f64,
    /// Of the mean.
    variance: f64,
    correlation_time: f64,
}

impl Mean {
    /// Of the values of two models for the same rows, of which each lies at one of some `points`.
    fn of([own, baseline]: [&[f64]; 2], points: &[usize]) -> Self {
        let values = own.iter().zip(baseline).map(|(own, baseline)| own - baseline);
        let values: Vec<f64> = values.collect();
        let (rows, value) = (values.len(), mean(&values));
        let mut sums = BTreeMap::<usize, (f64, f64)>::new();
        for (value, point) in values.iter().zip(points) {
            let (sum, count) = sums.entry(*point).or_default();
            (*sum, *count) = (*sum + value, *count + 1.0);
        }
        let centred = values.iter().zip(points).map(|(value, point)| {
            let (sum, count) = sums[point];
            value - sum / count
        });
        let centred: Vec<f64> = centred.collect();
        let squares: f64 = centred.iter().map(|own| own * own).sum();
        let correlation_time = correlation_time(&centred);
        // Each mean takes a degree of freedom, which is worth as many rows as are alike.
        let freedom = rows as f64 - sums.len() as f64 * correlation_time;
        let variance = match squares {
            0.0 => 0.0,
            _ if freedom <= 0.0 => f64::INFINITY,
            _ => squares / freedom / rows as f64 * correlation_time,
        };
        Self { rows, value, variance, correlation_time }
    }
}

/// Of the normal rows and of the anomalies, which of the values of the context each has: that of the
/// model, or if it has none of the baseline. All have the same where they are too many for the rows.
fn operating_points(models: [&Summary; 2], judged: [&[Judged]; 2]) -> [Vec<usize>; 2] {
    let which = usize::from(models[0].context.is_empty());
    let features = models[which].features.len();
    let mut numbers = BTreeMap::<Vec<u32>, usize>::new();
    let mut points = [Vec::new(), Vec::new()];
    for own in judged[which] {
        let context = own.row.iter().skip(features).map(|value| value.to_bits()).collect();
        let number = numbers.len();
        let number = *numbers.entry(context).or_insert(number);
        points[usize::from(own.is_anomaly)].push(number);
    }
    let are_few = |kind: &Vec<usize>| kind.len() >= FEWEST * numbers.len() || kind.is_empty();
    match points.iter().all(are_few) {
        true => points,
        false => points.map(|kind| vec![0; kind.len()]),
    }
}

fn number_of(points: &[Vec<usize>; 2]) -> usize {
    points.iter().flatten().max().map_or(1, |last| last + 1)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// For each normal row the share of anomalies that score higher, and for each anomaly the share of
/// normal rows that score lower, ties counted half.
fn shares(judged: &[Judged]) -> [Vec<f64>; 2] {
    let of_kind = |is_anomaly| judged.iter().filter(move |own| own.is_anomaly == is_anomaly);
    let ascending = [false, true].map(|is_anomaly| {
        let mut scores: Vec<f32> = of_kind(is_anomaly).map(|own| own.score).collect();
        scores.sort_unstable_by(f32::total_cmp);
        scores
    });
    [false, true].map(|is_anomaly| {
        let others = &ascending[usize::from(!is_anomaly)];
        let share = |own: &Judged| {
            let lower = others.partition_point(|other| *other < own.score);
            let ties = others.partition_point(|other| *other <= own.score) - lower;
            let lower = (lower as f64 + ties as f64 / 2.0) / others.len() as f64;
            if is_anomaly { lower } else { 1.0 - lower }
        };
        of_kind(is_anomaly).map(share).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn summary(features: &[&str], context: &[&str]) -> Summary {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        Summary { features: names(features), context: names(context), ..Summary::default() }
    }

    fn judged(rows: impl IntoIterator<Item = (f32, bool)>) -> Vec<Judged> {
        rows.into_iter().map(Judged::of_score).collect()
    }

    fn compare(own: &[Judged], baseline: &[Judged]) -> Comparison {
        let model = summary(&["a", "b"], &[]);
        Comparison::of([&model, &model], [own, baseline])
    }

    /// Rows of both kinds with two scores each.
    fn rows() -> impl Strategy<Value = Vec<(u8, u8, bool)>> {
        let row = (0u8..30, 0u8..30, any::<bool>());
        prop::collection::vec(row, 60..200).prop_filter("both kinds", |rows| {
            let anomalies = rows.iter().filter(|(.., is_anomaly)| *is_anomaly).count();
            anomalies >= FEWEST && rows.len() - anomalies >= FEWEST
        })
    }

    proptest! {
        #[test]
        fn the_difference_is_that_of_the_shares_of_pairs_in_order(rows in rows()) {
            let own = judged(rows.iter().map(|(own, _, kind)| (f32::from(*own), *kind)));
            let other = judged(rows.iter().map(|(_, other, kind)| (f32::from(*other), *kind)));
            let pairs = |judged: &[Judged]| {
                let (mut sum, mut count) = (0.0, 0.0);
                for anomaly in judged.iter().filter(|own| own.is_anomaly) {
                    for normal in judged.iter().filter(|own| !own.is_anomaly) {
                        count += 1.0;
                        sum += match anomaly.score.total_cmp(&normal.score) {
                            std::cmp::Ordering::Greater => 1.0,
                            std::cmp::Ordering::Equal => 0.5,
                            std::cmp::Ordering::Less => 0.0,
                        };
                    }
                }
                sum / count
            };
            let found = compare(&own, &other).auroc_difference.expect("rows enough");
            prop_assert!((found.value - (pairs(&own) - pairs(&other))).abs() < 1e-9);
            // The other way round it is as large, with the other sign.
            let back = compare(&other, &own).auroc_difference.expect("rows enough");
            prop_assert!((found.value + back.value).abs() < 1e-12);
            prop_assert!((found.interval[0] + back.interval[1]).abs() < 1e-12);
        }

        #[test]
        fn a_model_beside_itself_makes_no_difference(rows in rows()) {
            let own = judged(rows.iter().map(|(own, _, kind)| (f32::from(*own), *kind)));
            let found = compare(&own, &own);
            let nothing = Difference { value: 0.0, interval: [0.0; 2], correlation_time: 1.0 };
            prop_assert_eq!(found.auroc_difference, Some(nothing));
            prop_assert_eq!(found.log_density_difference, Some(nothing));
            prop_assert!(found.verdict().starts_with("No difference"), "{}", found.verdict());
        }
    }

    /// Two models at 8 operating points, of which the baseline takes the normal rows at `odd` of them for
    /// anomalies; neighbours are at the same point. The model is given what point it is, if `is_given`.
    fn at_points(seed: u64, odd: u16, is_given: bool) -> Comparison {
        let mut normal = StandardNormal.sample_iter(ChaCha8Rng::seed_from_u64(seed));
        let mut normal = move || normal.next().expect("noise has no end");
        let mut both = [Vec::new(), Vec::new()];
        for row in 0u16..800 {
            let (is_anomaly, point) = (row >= 400, row % 400 / 50);
            let (row, shift): (f32, f32) = (normal(), if is_anomaly { 2.0 } else { 0.0 });
            let excess = if !is_anomaly && point < odd { 2.0 } else { 0.0 };
            for (judged, excess) in both.iter_mut().zip([0.0, excess]) {
                let score = row + normal() + shift + excess;
                let context = if is_given { vec![f32::from(point)] } else { Vec::new() };
                let row = [vec![0.0; 2], context].concat();
                judged.push(Judged { row, score, log_density: None, bounds: None, is_anomaly });
            }
        }
        let [given, plain] = [summary(&["a", "b"], &["point"]), summary(&["a", "b"], &[])];
        Comparison::of([if is_given { &given } else { &plain }, &plain], [&both[0], &both[1]])
    }

    /// A point where one model fails may be chance if another day had other points; not at those that were
    /// set. Of models that are equally good there, one in twenty intervals leaves 0 out.
    #[test]
    fn operating_points_that_were_set_are_no_chance() {
        let given = at_points(1, 2, true);
        assert_eq!(given.operating_points, 8);
        assert!(given.verdict().contains("better than the baseline, at the 8 operating points"));
        let plain = at_points(1, 2, false);
        assert_eq!(plain.operating_points, 1);
        assert!(
            plain.verdict().contains("within what so few rows can tell"),
            "{}",
            plain.verdict()
        );
        let is_told = |seed: &u64| {
            let found = at_points(*seed, 0, true).auroc_difference.expect("rows enough");
            found.interval[0] > 0.0 || found.interval[1] < 0.0
        };
        let share = (0..400).filter(is_told).count() as f64 / 400.0;
        assert!((0.01..0.09).contains(&share), "{share}");
    }

    /// Two models whose scores are what a row is, and as much noise of each, which `repeats` rows that
    /// follow each other share; anomalies are off by `shifts`.
    fn noisy(seed: u64, repeats: usize, shifts: [f32; 2]) -> Comparison {
        let mut normal = StandardNormal.sample_iter(ChaCha8Rng::seed_from_u64(seed));
        let mut normal = move || normal.next().expect("noise has no end");
        let mut both = [Vec::new(), Vec::new()];
        for row in 0..400 / repeats {
            let (row, is_anomaly): (f32, bool) = (normal(), row % 4 == 0);
            for (scores, shift) in both.iter_mut().zip(shifts) {
                let score = row + normal() + if is_anomaly { shift } else { 0.0 };
                scores.extend(std::iter::repeat_n((score, is_anomaly), repeats));
            }
        }
        let [own, baseline] = both.map(judged);
        compare(&own, &baseline)
    }

    /// Of models that are equally good, one in twenty intervals leaves 0 out, and not many more where
    /// rows are copies of those before them.
    #[test]
    fn chance_is_seldom_called_a_difference() {
        let share = |repeats: usize| {
            let is_told = |seed| {
                let Difference { interval: [low, high], .. } =
                    noisy(seed, repeats, [1.5; 2]).auroc_difference.expect("rows enough");
                low > 0.0 || high < 0.0
            };
            (0..400).filter(|seed| is_told(*seed)).count() as f64 / 400.0
        };
        assert!((0.01..0.09).contains(&share(1)), "{}", share(1));
        assert!((0.01..0.14).contains(&share(5)), "{}", share(5));
    }

    #[test]
    fn the_better_model_is_told() {
        let said = |shifts| noisy(1, 1, shifts).verdict();
        assert!(said([3.0, 1.0]).starts_with("The model detects better than the baseline"));
        assert!(said([1.0, 3.0]).starts_with("The model detects worse than the baseline"));
        assert!(
            said([1.5, 1.52]).contains("within what so few rows can tell"),
            "{}",
            said([1.5, 1.52])
        );
    }

    #[test]
    fn what_the_rows_do_not_tell_is_not_said() {
        let normal = judged((0..50).map(|row| (row as f32, false)));
        let found = compare(&normal, &normal);
        assert_eq!(found.auroc_difference, None);
        assert!(found.verdict().contains("do not tell"), "{}", found.verdict());
        let few = judged((0..50).map(|row| (row as f32, row > 45)));
        let found = compare(&few, &few);
        assert_eq!(found.auroc_difference, None);
        assert!(found.verdict().contains("46 normal rows and 4 anomalies are too few"));
        let none = compare(&[], &[]);
        assert_eq!((none.auroc_difference, none.log_density_difference), (None, None));
    }

    #[test]
    fn densities_compare_where_they_are_of_the_same_features() {
        let [plain, turned] = [summary(&["a", "b"], &[]), summary(&["b", "a"], &["speed"])];
        let [joint, other] = [summary(&["a", "b", "speed"], &[]), summary(&["a", "c"], &[])];
        let why = |models: [&Summary; 2]| obstacle(models).unwrap_or_default();
        assert_eq!(why([&plain, &turned]), "");
        assert!(why([&turned, &joint]).contains("log p(x, c) = log p(x | c) + log p(c)"));
        assert!(why([&plain, &other]).contains("different features"));
        assert_eq!(density_of(&turned), "of 2 features given speed");
        let rows = judged((0..50).map(|row| (row as f32, false)));
        let found = Comparison::of([&turned, &joint], [&rows, &rows]);
        assert_eq!(found.log_density_difference, None);
        assert!(
            found
                .density_verdict()
                .contains("of 2 features given speed, that of the baseline of 3")
        );
    }
}
