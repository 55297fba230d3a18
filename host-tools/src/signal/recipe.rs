//! From what the user says of a signal to the recipe that a model file holds.

use flowlet::signal::{Entry, Feature, MAX_CHANNELS};
use flowlet::write::{Channel, Signal};

use crate::error::{Error, Result};
use crate::rows::damage::{quantile, spread};
use crate::rows::steps;
use crate::signal::choice::{self, Choice};
use crate::signal::options::Options;

/// Rows that each distinct value of a channel of steps has at least.
const ROWS_A_STEP: usize = 4;
/// Of the gaps between the values of such a channel, the share below its resolution.
const SMALL_GAPS: f64 = 0.1;
/// Resolution of a channel without steps, in its deviations.
const FINE: f64 = 1e-4;

/// The recipe for channels of these names, and the names of its features.
pub fn make(
    path: &str,
    options: &Options,
    rate: f32,
    channels: &[String],
) -> Result<(Signal, Vec<String>)> {
    let refuse = |what: String| Err(Error::Signal { path: path.into(), what });
    if channels.is_empty() || channels.len() > MAX_CHANNELS {
        return refuse(format!(
            "a signal has 1 to {MAX_CHANNELS} channels, and {} columns are left as such: name them with \
             --channels",
            channels.len()
        ));
    }
    let window = options.window(rate);
    if !window.is_power_of_two() && options.features.iter().any(Choice::needs_spectrum) {
        let (below, above) = (window.next_power_of_two() / 2, window.next_power_of_two());
        return refuse(format!(
            "a spectrum takes a window whose length is a power of two, and {window} is none: take \
             --window {below} or {above}, or --features without bands and dominant-frequency"
        ));
    }
    let hz = f64::from(rate) / window as f64;
    let mut features = Vec::new();
    for choice in &options.features {
        match choice {
            Choice::Single(feature) => features.push(*feature),
            Choice::Correlation => {}
            Choice::Bands(count) => match choice::bins(*count, window) {
                Some(edges) => features.extend(bands(&edges)),
                None => {
                    return refuse(format!(
                        "{count} bands are too many for a window of {window} samples, whose spectrum \
                         has {} bins",
                        window / 2
                    ));
                }
            },
            Choice::Edges(edges) => {
                let bin = |edge: &f64| ((edge / hz).ceil() as usize).clamp(1, window / 2 + 1);
                let bins: Vec<usize> = edges.iter().map(bin).collect();
                if let Some(empty) = bins.windows(2).position(|pair| pair[0] == pair[1]) {
                    return refuse(format!(
                        "no bin of the spectrum lies from {} to {} Hz: bins are {hz:.4} Hz apart and \
                         end at {} Hz",
                        edges[empty],
                        edges[empty + 1],
                        rate / 2.0
                    ));
                }
                features.extend(bands(&bins));
            }
        }
    }
    let of_channel = |channel| {
        let entry = move |feature: &Feature| Entry {
            feature: *feature,
            channel,
            is_logarithm: is_logarithm(*feature),
        };
        features.iter().map(entry).collect::<Vec<_>>()
    };
    let mut entries: Vec<Entry> = (0..channels.len()).flat_map(of_channel).collect();
    if options.features.contains(&Choice::Correlation) {
        let pairs = (0..channels.len()).flat_map(|a| (a + 1..channels.len()).map(move |b| (a, b)));
        entries.extend(pairs.map(|(channel, with)| Entry {
            feature: Feature::Correlation { with },
            channel,
            is_logarithm: false,
        }));
    }
    let count = entries.len();
    if !(2..=flowlet::MAX_FEATURES).contains(&count) {
        return refuse(format!(
            "a window has {count} features, those of {} channels together; a flow takes 2 to {}: choose \
             --channels and --features",
            channels.len(),
            flowlet::MAX_FEATURES
        ));
    }
    let names: Vec<_> = entries.iter().map(|entry| name(*entry, channels, window, hz)).collect();
    if let Some(number) = (1..count).find(|number| names[..*number].contains(&names[*number])) {
        return refuse(format!("--features asks for `{}` twice", names[number]));
    }
    let channel = |name: &String| Channel {
        name: name.clone(),
        unit: unit(name).into(),
        // Until the samples are known.
        resolution: 1.0,
    };
    let signal = Signal {
        channels: channels.iter().map(channel).collect(),
        rate,
        window,
        hop: options.hop(window),
        detrending: options.detrending(),
        taper: options.taper(),
        entries,
    };
    Ok((signal, names))
}

fn bands(edges: &[usize]) -> impl Iterator<Item = Feature> {
    edges.windows(2).map(|pair| Feature::BandEnergy { first: pair[0], end: pair[1] })
}

/// Whether a feature is positive and so skewed that it is taken as its logarithm.
fn is_logarithm(feature: Feature) -> bool {
    matches!(
        feature,
        Feature::Deviation
            | Feature::RootMeanSquare
            | Feature::PeakToPeak
            | Feature::CrestFactor
            | Feature::Kurtosis
            | Feature::BandEnergy { .. }
    )
}

/// The unit that a column's name ends with in brackets, such as `g` of `x [g]` or `x (g)`.
fn unit(name: &str) -> &str {
    let inside = |open, close| name.trim().strip_suffix(close)?.rsplit_once(open);
    inside('[', ']').or_else(|| inside('(', ')')).map_or("", |(_, unit)| unit.trim())
}

/// What a feature is called in the header of rows and in the model file.
fn name(entry: Entry, channels: &[String], window: usize, hz: f64) -> String {
    let channel = &channels[entry.channel];
    let what = match entry.feature {
        Feature::Mean => "mean".into(),
        Feature::Deviation => "deviation".into(),
        Feature::RootMeanSquare => "rms".into(),
        Feature::PeakToPeak => "peak_to_peak".into(),
        Feature::CrestFactor => "crest_factor".into(),
        Feature::Skewness => "skewness".into(),
        Feature::Kurtosis => "kurtosis".into(),
        Feature::ZeroCrossings => "zero_crossings".into(),
        Feature::BandEnergy { first, end } => {
            format!(
                "band_{}_{}_Hz",
                digits(first as f64 * hz),
                digits(end.min(window / 2) as f64 * hz)
            )
        }
        Feature::DominantFrequency => "dominant_frequency".into(),
        Feature::Correlation { with } => format!("{}_correlation", channels[with]),
    };
    let log = if entry.is_logarithm { "log_" } else { "" };
    format!("{channel}_{log}{what}")
}

/// Three digits, as many as tell bands apart.
fn digits(hz: f64) -> String {
    let decimals = (2 - hz.abs().max(1e-9).log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{hz:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// The smallest step between two values of a channel, given all of them in ascending order: that of its
/// sensor where values repeat, else so small that it does not count.
pub fn resolution(ascending: &[f64]) -> f32 {
    let mut distinct = ascending.to_vec();
    distinct.dedup();
    let steps = steps::step(ascending).or_else(|| {
        let repeats = distinct.len() >= 2 && distinct.len() * ROWS_A_STEP <= ascending.len();
        let mut gaps: Vec<f64> = distinct.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable_by(f64::total_cmp);
        repeats.then(|| quantile(&gaps, SMALL_GAPS))
    });
    let size = ascending.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let fine = (FINE * spread(ascending)).max(1e-7 * size);
    (steps.unwrap_or(fine) as f32).clamp(1e-9, 1e12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_named_by_what_they_hold() {
        let options = Options {
            window: Some(64),
            features: vec![Choice::Edges(vec![0.0, 5.0, 25.1]), Choice::Correlation],
            ..Options::default()
        };
        let channels = ["x [g]".to_owned(), "y".to_owned()];
        let (signal, names) = make("a.csv", &options, 50.0, &channels).expect("possible");
        assert_eq!(names[0], "x [g]_log_band_0.781_5.47_Hz");
        assert_eq!(names[4], "x [g]_y_correlation");
        assert_eq!(signal.channels[0].unit, "g");
        let end = |number: usize| match signal.entries[number].feature {
            Feature::BandEnergy { first, end } => (first, end),
            other => panic!("{other:?}"),
        };
        assert_eq!((end(0), end(1)), ((1, 7), (7, 33)));
    }

    #[test]
    fn the_resolution_is_the_step_of_a_sensor() {
        // Steps of 1/64, printed with three digits: no exact grid.
        let mut values: Vec<f64> =
            (0..400).map(|n| (f64::from(n * 7 % 40) / 64.0 * 1e3).round() / 1e3).collect();
        values.sort_unstable_by(f64::total_cmp);
        assert!((resolution(&values) - 0.0155).abs() < 1e-3);
        let mut fine: Vec<f64> = (0..400).map(|n| f64::from(n).sin()).collect();
        fine.sort_unstable_by(f64::total_cmp);
        assert!(resolution(&fine) < 1e-3);
        assert!(resolution(&[5.0; 100]) > 0.0);
    }
}
