//! What a file says of alarms: how rare false ones are to be, and what working sensors give
//! ([`flowlet::detector`]).

use std::str::FromStr;
use std::time::Duration;

use flowlet::detector::{Detector, MAX_CONFIRMATION_ROWS, Sensor, Settings};
use flowlet::write;

use crate::error::{Error, Result};
use crate::rows::standardise::Column;

/// Rows between two false alarms where nothing is asked.
const ROWS: f64 = 10_000.0;
/// Rows between two false alarms that may be asked for.
const POSSIBLE: std::ops::RangeInclusive<f64> = 2.0..=1e12;
/// k and n of the confirmation where nothing is asked.
const CONFIRMATION: [u32; 2] = [2, 8];
/// A working sensor goes beyond the range of the training rows by so many of its widths, on each side.
const MARGIN: f64 = 1.0;
/// A working sensor keeps its value so many times as long as it ever did in the training rows, and not
/// fewer rows than these: longest runs grow with the logarithm of the number of rows.
const RUNS: usize = 3;
const FEWEST_RUN: usize = 8;
/// Step of a drift's offset, as a share of the interquartile range of the scores.
const STEP: f32 = 1e-3;
/// Rows that an alarm takes at least, from which on that is told as a warning.
const SLOW: u32 = 20;

/// Options of the detector.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How often the detector may raise an alarm while nothing is wrong, in the mean and at most: 1/month
    /// with --every, or 1/10000rows, which is the default.
    #[arg(long, value_name = "COUNT/PERIOD")]
    pub false_alarms: Option<FalseAlarms>,
    /// Time from one row to the next on the machine, such as 1s or 20ms, for --false-alarms in time.
    #[arg(long, value_name = "TIME", requires = "false_alarms")]
    pub every: Option<humantime::Duration>,
    /// An alarm takes K of the last N rows that speak against the machine, so that no single one decides;
    /// by default 2/8.
    #[arg(long, value_name = "K/N")]
    pub confirm: Option<Confirmation>,
    /// Follow a slow drift of the normal state by an offset of the score, up to this much either way, in
    /// the score's unit; by default 0, none. What drifts so slowly is no alarm then.
    #[arg(long, value_name = "BOUND", value_parser = bound)]
    pub follow_drift: Option<f32>,
}

impl Options {
    /// Whether any is there.
    pub fn is_any(&self) -> bool {
        let Self { false_alarms, every: _, confirm, follow_drift } = self;
        false_alarms.is_some() || confirm.is_some() || follow_drift.is_some()
    }

    /// What is asked for; nothing where an option is not there.
    ///
    /// # Errors
    ///
    /// Where a period in time lacks the time of a row, or a number of rows has one, and where rows between
    /// false alarms are too few or too many.
    pub fn rows_between_false_alarms(&self) -> Result<Option<f64>> {
        let Some(asked) = &self.false_alarms else { return Ok(None) };
        let every = self.every.map(|every| every.as_secs_f64());
        let rows = match (asked.period, every) {
            (Period::Rows(rows), None) => rows,
            (Period::Rows(_), Some(_)) => {
                return Err(Error::Options { option: "--every", with: "--false-alarms in rows" });
            }
            (Period::Time(time), Some(every)) => time.as_secs_f64() / every,
            (Period::Time(_), None) => return Err(Error::NoPeriod { asked: asked.text.clone() }),
        };
        let rows = rows / asked.count;
        match POSSIBLE.contains(&rows) {
            true => Ok(Some(rows)),
            false => Err(Error::FalseAlarms { asked: asked.text.clone(), rows }),
        }
    }

    /// What a file says of its making.
    pub fn fact(&self) -> Option<String> {
        let asked = &self.false_alarms.as_ref()?.text;
        Some(match self.every {
            Some(every) => format!("{asked}, a row every {every}"),
            None => asked.clone(),
        })
    }
}

/// What is asked of false alarms, `1/month` on the command line.
#[derive(Clone, Debug)]
pub struct FalseAlarms {
    text: String,
    count: f64,
    period: Period,
}

/// What false alarms are counted in.
#[derive(Clone, Copy, Debug)]
enum Period {
    Rows(f64),
    Time(Duration),
}

impl FromStr for FalseAlarms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected a count and a period, such as 1/month, 2/30days or 1/10000rows".to_owned();
        let is_positive = |value: &f64| value.is_finite() && *value > 0.0;
        let (count, period) = text.split_once('/').ok_or_else(expected)?;
        let count = count.trim().parse().ok().filter(is_positive).ok_or_else(expected)?;
        let period = period.trim();
        let number = period.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = period[number.len()..].trim();
        let period = match unit {
            "row" | "rows" => {
                let rows = number.parse().ok().filter(is_positive).ok_or_else(expected)?;
                Period::Rows(rows)
            }
            _ => {
                let whole = if number.is_empty() { format!("1{unit}") } else { period.into() };
                let time = humantime::parse_duration(&whole).map_err(|_| expected())?;
                Period::Time(Some(time).filter(|time| !time.is_zero()).ok_or_else(expected)?)
            }
        };
        Ok(Self { text: text.trim().into(), count, period })
    }
}

/// k and n, `2/8` on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation([u32; 2]);

impl FromStr for Confirmation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(confirming, rows)| {
            Some([confirming.trim().parse().ok()?, rows.trim().parse().ok()?])
        });
        match numbers {
            Some([confirming, rows])
                if (1..=rows).contains(&confirming) && rows <= MAX_CONFIRMATION_ROWS =>
            {
                Ok(Self([confirming, rows]))
            }
            _ => Err(format!(
                "expected two numbers, 1 <= K <= N <= {MAX_CONFIRMATION_ROWS}, such as 2/8"
            )),
        }
    }
}

fn bound(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=1e6).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1000000".into()),
    }
}

/// What is asked of the detector in a file.
#[derive(Clone, Debug)]
pub struct Alarms {
    rows_between_false_alarms: f64,
    confirmation: [u32; 2],
    drift_bound: f32,
    sensors: Vec<Sensor>,
}

impl Alarms {
    /// What `options` ask for, else what is usual.
    pub fn new(options: &Options, sensors: Vec<Sensor>) -> Result<Self> {
        Ok(Self {
            rows_between_false_alarms: options.rows_between_false_alarms()?.unwrap_or(ROWS),
            confirmation: options.confirm.map_or(CONFIRMATION, |own| own.0),
            drift_bound: options.follow_drift.unwrap_or(0.0),
            sensors,
        })
    }

    /// What `options` ask for, else what a file says, but for its `sensors`.
    pub fn changed(settings: Settings, options: &Options, sensors: Vec<Sensor>) -> Result<Self> {
        let rows = f64::from(settings.rows_between_false_alarms());
        let own = options.confirm.map_or(settings.confirmation(), |own| own.0);
        Ok(Self {
            rows_between_false_alarms: options.rows_between_false_alarms()?.unwrap_or(rows),
            confirmation: own,
            drift_bound: options.follow_drift.unwrap_or(settings.drift().0),
            sensors,
        })
    }

    /// The detector of a file whose held-out scores have these `quantiles`, with the number of scores above
    /// each.
    pub fn detector(&self, quantiles: &[(f32, u32)], rows: u32) -> write::Detector {
        let quantile = |share: f32| {
            let left = ((1.0 - share) * rows as f32) as u32;
            let entry = quantiles.iter().find(|(_, above)| *above <= left);
            entry.map_or(0.0, |(score, _)| *score)
        };
        let step = STEP * (quantile(0.75) - quantile(0.25));
        write::Detector {
            rows_between_false_alarms: self.rows_between_false_alarms as f32,
            confirmation: self.confirmation,
            drift: (self.drift_bound, step.min(self.drift_bound)),
            sensors: self.sensors.clone(),
        }
    }
}

/// What working sensors of the features give, by what they gave in `rows` training rows: a margin beyond
/// their range, and the same value for some times their longest run. A feature on a circle has no range, a
/// constant one neither range nor run: what is off a constant is an anomaly.
pub fn sensors(columns: &[Column], runs: &[usize], rows: usize) -> Vec<Sensor> {
    columns
        .iter()
        .zip(runs)
        .map(|(column, run)| match column {
            Column { constant: true, .. } => UNKNOWN,
            Column { feature, .. } if feature.periodic => {
                Sensor { longest_run: longest_run(*run, rows), ..UNKNOWN }
            }
            Column { feature, .. } => sensor([feature.low, feature.high], *run, rows),
        })
        .collect()
}

/// The same of features of a raw signal's windows: how far out one is says something of the machine, such as
/// a deviation twice as large, and only that it never changes says that the sensor is broken.
pub fn without_range(sensors: Vec<Sensor>) -> Vec<Sensor> {
    sensors.into_iter().map(|own| Sensor { longest_run: own.longest_run, ..UNKNOWN }).collect()
}

/// A sensor of which nothing is known.
const UNKNOWN: Sensor = Sensor { low: f32::MIN, high: f32::MAX, longest_run: 0 };

/// A working sensor, by the range of its values and the longest run of one of them in so many rows.
pub fn sensor([low, high]: [f32; 2], run: usize, rows: usize) -> Sensor {
    let margin = MARGIN * (f64::from(high) - f64::from(low));
    let held = |x: f64| x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
    Sensor {
        low: held(f64::from(low) - margin),
        high: held(f64::from(high) + margin),
        longest_run: longest_run(run, rows),
    }
}

/// 0 where a column hardly ever changes, so that no run says anything.
fn longest_run(run: usize, rows: usize) -> u32 {
    let longest = (RUNS * run).max(FEWEST_RUN);
    if longest < rows { u32::try_from(longest).unwrap_or(0) } else { 0 }
}

/// Says what a detector promises and what an alarm takes.
pub fn report(detector: Result<Detector<{ flowlet::MAX_FEATURES }>>) {
    let detector = match detector {
        Ok(detector) => detector,
        Err(error) => {
            log::warn!("the file has no detector that works: {error}");
            return;
        }
    };
    log::info!("detector: {}", describe(&detector));
    let fewest = detector.fewest_rows();
    if fewest >= SLOW {
        log::warn!(
            "an alarm takes at least {fewest} rows, however bad they are: more held-out rows, or more \
             false alarms, make it faster"
        );
    }
}

/// For [`report`] and `inspect`.
pub fn describe(detector: &Detector<{ flowlet::MAX_FEATURES }>) -> String {
    let settings = detector.settings();
    let [confirming, rows] = settings.confirmation();
    let confirmation = match confirming {
        1 => String::new(),
        _ => format!(", {confirming} of the last {rows} speak against the machine"),
    };
    format!(
        "false alarms at least {} rows apart in the mean (evidence {:.2}, {:.3} charged a row), an \
         alarm takes {} rows at least{confirmation}",
        settings.rows_between_false_alarms(),
        detector.alarm_at(),
        detector.charge(),
        detector.fewest_rows()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(false_alarms: &str, every: Option<&str>) -> Result<f64, String> {
        let options = Options {
            false_alarms: Some(false_alarms.parse()?),
            every: every.map(|every| every.parse().unwrap()),
            confirm: None,
            follow_drift: None,
        };
        let rows = options.rows_between_false_alarms().map_err(|error| error.to_string())?;
        Ok(rows.expect("it is asked for"))
    }

    #[test]
    fn a_rate_is_rows_between_false_alarms() {
        assert_eq!(rows("1/10000rows", None), Ok(1e4));
        assert_eq!(rows("2/1e4 rows", None), Ok(5e3));
        assert_eq!(rows("1/hour", Some("1s")), Ok(3600.0));
        assert_eq!(rows("0.5/day", Some("20ms")), Ok(2.0 * 86400.0 * 50.0));
        assert_eq!(rows("3/30days", Some("1m")), Ok(14400.0));
        assert!(rows("1/month", Some("1s")).is_ok_and(|rows| (2.62e6..2.64e6).contains(&rows)));
        for text in ["1", "1/", "/day", "0/day", "-1/day", "1/rows", "1/0rows", "1/0s", "1/blue"] {
            assert!(rows(text, Some("1s")).is_err_and(|e| e.contains("1/month")), "{text}");
        }
        assert!(rows("1/day", None).is_err_and(|error| error.contains("--every")));
        assert!(rows("1/5rows", Some("1s")).is_err_and(|error| error.contains("--every")));
        assert!(rows("1/1s", Some("1s")).is_err_and(|error| error.contains("1 row")));
        for text in ["2/8", "1/1", "32/32"] {
            assert!(text.parse::<Confirmation>().is_ok(), "{text}");
        }
        for text in ["0/8", "9/8", "2/33", "2", "a/b"] {
            assert!(text.parse::<Confirmation>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_feature_of_a_window_is_never_out_of_range() {
        let own = without_range(vec![sensor([0.0, 4.0], 2, 1000)]);
        assert_eq!(own, [Sensor { low: f32::MIN, high: f32::MAX, longest_run: 8 }]);
    }

    #[test]
    fn a_sensor_has_a_margin_and_a_patience() {
        let own = sensor([1.0, 3.0], 1, 1000);
        assert_eq!(own, Sensor { low: -1.0, high: 5.0, longest_run: 8 });
        assert_eq!(sensor([1.0, 3.0], 50, 1000).longest_run, 150);
        assert_eq!(sensor([1.0, 3.0], 400, 1000).longest_run, 0);
        let widest = sensor([f32::MIN, f32::MAX], 1, 1000);
        assert_eq!((widest.low, widest.high), (f32::MIN, f32::MAX));
    }
}
