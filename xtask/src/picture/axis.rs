//! An axis of scores that shows normal rows in detail and yet has room for any anomaly.

use std::ops::{Range, RangeInclusive};

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Share of the normal rows on each side that the linear part may leave out.
const OUTSIDE: f64 = 0.005;
/// Room around the linear part's rows and threshold, as a share of its length.
const ROOM: f64 = 0.1;
/// What each logarithmic part may take of the picture, measured in linear parts.
const LONGEST: f64 = 1.0;
/// Least distance of two ticks, as a share of the axis.
const TICK_GAP: f64 = 0.075;
/// Powers of ten that scores of f32 have.
const POWERS: RangeInclusive<i32> = -6..=38;

/// Maps scores to positions of 0 to 1: linear where nearly all normal rows and the threshold lie,
/// logarithmic in the distance from there on both sides.
pub struct Axis {
    /// Ends of the linear part.
    linear: [f64; 2],
    /// How steeply each logarithmic part rises.
    steepness: [f64; 2],
    /// The unscaled positions of the smallest and the largest score.
    ends: [f64; 2],
}

impl Axis {
    /// The axis for these scores, of which there is at least one, and the threshold.
    pub fn new(normal: &[f64], anomalies: &[f64], threshold: Option<f64>) -> Self {
        let all = || normal.iter().chain(anomalies).copied().chain(threshold);
        let least = all().fold(f64::INFINITY, f64::min);
        let most = all().fold(f64::NEG_INFINITY, f64::max);

        let detailed = if normal.is_empty() { anomalies } else { normal };
        let [low, high] = [OUTSIDE, 1.0 - OUTSIDE].map(|share| quantile(detailed, share));
        let [low, high] = threshold.map_or([low, high], |at| [low.min(at), high.max(at)]);
        // Scores that are all the same get some room too.
        let room = (ROOM * (high - low)).max(1e-6 * high.abs()).max(1e-6);
        let linear = [low - room, high + room];

        let length = linear[1] - linear[0];
        let [below, above] = [linear[0] - least, most - linear[1]];
        // A logarithmic part rises as steeply as the linear one where they meet, unless it would
        // be too long.
        let steepness = [below, above].map(|beyond| match (beyond.max(0.0) / length).ln_1p() {
            rise if rise > LONGEST => LONGEST / rise,
            _ => 1.0,
        });
        let mut axis = Self { linear, steepness, ends: [0.0, 1.0] };
        axis.ends = [axis.unscaled(least.min(linear[0])), axis.unscaled(most.max(linear[1]))];
        axis
    }

    /// Where `score` lies between 0 and 1; beyond them if it is none of the scores.
    pub fn position(&self, score: f64) -> f64 {
        (self.unscaled(score) - self.ends[0]) / (self.ends[1] - self.ends[0])
    }

    /// The score at a position.
    pub fn score(&self, position: f64) -> f64 {
        let [low, high] = self.linear;
        let unscaled = self.ends[0] + position * (self.ends[1] - self.ends[0]);
        if unscaled < 0.0 {
            low - (high - low) * (-unscaled / self.steepness[0]).exp_m1()
        } else if unscaled > 1.0 {
            high + (high - low) * ((unscaled - 1.0) / self.steepness[1]).exp_m1()
        } else {
            low + (high - low) * unscaled
        }
    }

    /// Where the axis is logarithmic, in words; nothing where it is not.
    pub fn describe(&self) -> String {
        let [low, high] = self.linear;
        let decimals = (1.0 - (high - low).log10().floor()).max(0.0) as usize;
        let below = (self.ends[0] < 0.0).then(|| format!("below {low:.decimals$}"));
        let above = (self.ends[1] > 1.0).then(|| format!("above {high:.decimals$}"));
        let parts: Vec<_> = [below, above].into_iter().flatten().collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!(", logarithmic {}", parts.join(" and "))
        }
    }

    /// Round scores in their order that lie at least `gap` apart, so that their labels do not touch.
    pub fn ticks(&self, gap: f64) -> Vec<f64> {
        let mut ticks: Vec<f64> = Vec::new();
        let mut add = |score: f64, gap: f64| {
            let at = self.position(score);
            let is_free = ticks.iter().all(|tick| (self.position(*tick) - at).abs() >= gap);
            if (0.0..=1.0).contains(&at) && is_free {
                ticks.push(score);
            }
        };
        self.evenly_spaced(gap).for_each(|score| add(score, gap));
        self.powers_of_ten().for_each(|score| add(score, gap));
        // Where the powers leave a wide part without a label.
        self.next_to_the_linear_part().for_each(|score| add(score, 1.5 * gap));
        ticks.sort_unstable_by(f64::total_cmp);
        ticks
    }

    /// The linear part's multiples of the smallest step of 1, 2 or 5 times a power of ten that is
    /// no shorter than `gap`.
    fn evenly_spaced(&self, gap: f64) -> impl Iterator<Item = f64> {
        let [low, high] = self.linear;
        let shortest = gap * (high - low) / (self.position(high) - self.position(low));
        let power = shortest.log10().floor() as i32;
        let steps = [(1.0, power), (2.0, power), (5.0, power), (1.0, power + 1)];
        let (factor, power) =
            steps.into_iter().find(|(f, p)| times(*f, *p) >= shortest).unwrap_or(steps[3]);
        let step = times(factor, power);
        let multiples = (low / step).ceil() as i64..=(high / step).floor() as i64;
        multiples.map(move |multiple| times(multiple as f64 * factor, power))
    }

    /// The powers of ten and their negatives, and 0, those near the linear part first.
    fn powers_of_ten(&self) -> impl Iterator<Item = f64> {
        let powers = POWERS.flat_map(|power| [times(1.0, power), times(-1.0, power)]);
        let mut scores: Vec<f64> = powers.chain([0.0]).collect();
        scores.sort_unstable_by(|a, b| {
            self.distance_from_middle(*a).total_cmp(&self.distance_from_middle(*b))
        });
        scores.into_iter()
    }

    fn distance_from_middle(&self, score: f64) -> f64 {
        let [low, high] = self.linear;
        (self.position(score) - (self.position(low) + self.position(high)) / 2.0).abs()
    }

    /// For each power of ten, the largest first, some multiples of it on both sides of the linear
    /// part.
    fn next_to_the_linear_part(&self) -> impl Iterator<Item = f64> {
        let [low, high] = self.linear;
        POWERS.rev().flat_map(move |power| {
            let [below, above] = [low, high].map(|end| end / times(1.0, power));
            (0..10).flat_map(move |away| {
                let away = f64::from(away);
                [times(below.floor() - away, power), times(above.ceil() + away, power)]
            })
        })
    }

    /// 0 to 1 in the linear part.
    fn unscaled(&self, score: f64) -> f64 {
        let [low, high] = self.linear;
        let length = high - low;
        if score < low {
            -self.steepness[0] * ((low - score) / length).ln_1p()
        } else if score > high {
            1.0 + self.steepness[1] * ((score - high) / length).ln_1p()
        } else {
            (score - low) / length
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, score: &f64, (left, right): (i32, i32)) -> i32 {
        left + (self.position(*score) * f64::from(right - left)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks(TICK_GAP)
    }

    fn range(&self) -> Range<f64> {
        self.score(0.0)..self.score(1.0)
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(score: &f64) -> String {
        label(*score)
    }
}

/// `factor` times a power of ten; dividing keeps 0.3 what it is.
fn times(factor: f64, power: i32) -> f64 {
    let scale = 10f64.powi(power.abs());
    if power < 0 { factor / scale } else { factor * scale }
}

/// The value that a share of the values lies below.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).round() as usize).copied().unwrap_or_default()
}

/// A tick's label: large scores as powers of ten.
pub fn label(score: f64) -> String {
    let sign = if score < 0.0 { "−" } else { "" };
    let size = score.abs();
    if size < 1e5 {
        return format!("{sign}{}", with_separators(size));
    }
    let power = size.log10().floor();
    let digits = "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().collect::<Vec<_>>();
    let superscript: String =
        power.to_string().bytes().map(|digit| digits[usize::from(digit - b'0')]).collect();
    match (size / 10f64.powf(power)).round() {
        1.0 => format!("{sign}10{superscript}"),
        factor => format!("{sign}{factor}·10{superscript}"),
    }
}

/// A number with a comma before each three digits.
pub fn with_separators(number: f64) -> String {
    let text = number.to_string();
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let groups: Vec<_> = whole.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{}{fraction}", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of normal rows, of anomalies, and thresholds, of every spread.
    fn spreads() -> Vec<(Vec<f64>, Vec<f64>, Option<f64>)> {
        let normal = |centre: f64, spread: f64| {
            (0..1000).map(|k| centre + spread * (f64::from(k) / 500.0 - 1.0)).collect::<Vec<_>>()
        };
        vec![
            (normal(0.0, 3.0), vec![5.0, 40.0, 1.6e12], Some(2.9)),
            (normal(-20.0, 10.0), vec![5.0, 1e38], Some(-9.0)),
            (normal(8.0, 0.01), vec![8.5, 9.0], None),
            (normal(1e6, 5.0), vec![-1e9, 1e9], Some(1e7)),
            (vec![7.0], vec![], None),
            (vec![], vec![-1e-3, 0.0], Some(3.0)),
        ]
    }

    #[test]
    fn a_higher_score_lies_further_right() {
        for (normal, anomalies, threshold) in spreads() {
            let axis = Axis::new(&normal, &anomalies, threshold);
            let mut scores = [&normal[..], &anomalies].concat();
            scores.extend(threshold);
            scores.sort_unstable_by(f64::total_cmp);
            for pair in scores.windows(2).filter(|pair| pair[0] < pair[1]) {
                assert!(axis.position(pair[0]) < axis.position(pair[1]), "{pair:?}");
            }
            for score in scores {
                let position = axis.position(score);
                assert!((0.0..=1.0).contains(&position), "{score}");
                let error = axis.score(position) - score;
                assert!(error.abs() <= 1e-9 * score.abs().max(1.0), "{score}");
            }
        }
    }

    #[test]
    fn ticks_are_within_the_axis_and_apart() {
        for (normal, anomalies, threshold) in spreads() {
            let axis = Axis::new(&normal, &anomalies, threshold);
            let ticks = axis.ticks(0.08);
            let positions: Vec<_> = ticks.iter().map(|tick| axis.position(*tick)).collect();
            assert!((4..=13).contains(&ticks.len()), "{ticks:?}");
            assert!(positions.iter().all(|at| (0.0..=1.0).contains(at)), "{ticks:?}");
            assert!(positions.windows(2).all(|pair| pair[1] - pair[0] >= 0.08), "{ticks:?}");
        }
    }

    #[test]
    fn normal_rows_have_a_third_of_the_axis() {
        for (normal, anomalies, threshold) in spreads() {
            let axis = Axis::new(&normal, &anomalies, threshold);
            assert!(axis.position(axis.linear[1]) - axis.position(axis.linear[0]) > 0.33);
        }
    }

    #[test]
    fn labels_are_short() {
        let labels = [0.0, -2.5, 12_000.0, 1e5, -2e12, 1e38].map(label);
        assert_eq!(labels, ["0", "−2.5", "12,000", "10⁵", "−2·10¹²", "10³⁸"]);
    }
}
