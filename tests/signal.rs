//! The laws of windows and their features, held against the formulas in f64.

mod models;

use std::f64::consts::PI;

use flowlet::signal::{
    Detrending, Entry, Feature, MAX_SAMPLE, Recipe, Samples, Schedule, Taper, Window,
};
use flowlet::write::{Channel, Signal};
use flowlet::{Error, Flow, Libm, Model};
use models::vibration;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Every feature of each of `channels` channels, as it is and as its logarithm.
fn entries(channels: usize, window: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for channel in 0..channels {
        let mut features = vec![
            Feature::Mean,
            Feature::Deviation,
            Feature::RootMeanSquare,
            Feature::PeakToPeak,
            Feature::CrestFactor,
            Feature::Skewness,
            Feature::Kurtosis,
            Feature::ZeroCrossings,
        ];
        if window.is_power_of_two() {
            let half = window / 2;
            features.extend([
                Feature::BandEnergy { first: 1, end: half / 2 },
                Feature::BandEnergy { first: half / 2, end: half + 1 },
                Feature::DominantFrequency,
            ]);
        }
        if channels > 1 {
            features.push(Feature::Correlation { with: (channel + 1) % channels });
        }
        for feature in features {
            entries.push(Entry { feature, channel, is_logarithm: false });
            if feature.is_positive() {
                entries.push(Entry { feature, channel, is_logarithm: true });
            }
        }
    }
    entries
}

fn signal(channels: usize, window: usize, hop: usize, entries: Vec<Entry>) -> Signal {
    let channel =
        |number| Channel { name: format!("channel {number}"), unit: "g".into(), resolution: 1e-3 };
    let channels = (0..channels).map(channel).collect();
    let (detrending, taper) = (Detrending::Mean, Taper::Hann);
    Signal { channels, rate: 800.0, window, hop, detrending, taper, entries }
}

/// The row of one window, whose samples lie one after the other.
fn row(signal: &Signal, samples: &[f32]) -> Vec<f32> {
    let words = signal.words();
    let recipe = Recipe::from_words(&words).expect("a possible recipe");
    let (mut scratch, mut row) = (vec![0.0; signal.window], vec![0.0; signal.entries.len()]);
    recipe.row(Samples { older: samples, newer: &[] }, &mut scratch, &mut row);
    row
}

/// A feature by its formula.
fn oracle(signal: &Signal, entry: Entry, samples: &[f32]) -> f64 {
    let count = signal.window as f64;
    let channels = signal.channels.len();
    let x = |channel: usize| -> Vec<f64> {
        samples.iter().skip(channel).step_by(channels).map(|value| f64::from(*value)).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let own = x(entry.channel);
    let center = mean(&own);
    let times: Vec<f64> = (0..signal.window).map(|n| n as f64 - (count - 1.0) / 2.0).collect();
    let slope = match signal.detrending {
        Detrending::Line => {
            let products = times.iter().zip(&own).map(|(t, value)| t * (value - center));
            products.sum::<f64>() / times.iter().map(|t| t * t).sum::<f64>()
        }
        _ => 0.0,
    };
    let level = if signal.detrending == Detrending::None { 0.0 } else { center };
    let y: Vec<f64> = own.iter().zip(&times).map(|(value, t)| value - level - slope * t).collect();
    let of_y = mean(&y);
    let moment = |power: i32| mean(&y.iter().map(|v| (v - of_y).powi(power)).collect::<Vec<_>>());
    let rms = mean(&y.iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
    let (low, high) = y.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let power = |bin: usize| {
        let hann = signal.taper == Taper::Hann;
        let (mut re, mut im) = (0.0, 0.0);
        for (n, value) in y.iter().enumerate() {
            let turn = 2.0 * PI * n as f64 / count;
            let weight = if hann { 0.5 - 0.5 * turn.cos() } else { 1.0 };
            re += weight * value * (turn * bin as f64).cos();
            im -= weight * value * (turn * bin as f64).sin();
        }
        let sides = if bin == signal.window / 2 { 1.0 } else { 2.0 };
        sides * (re * re + im * im) / (count * count * if hann { 0.375 } else { 1.0 })
    };
    let hz = f64::from(signal.rate) / count;
    let q = 1e-3;
    let (value, floor) = match entry.feature {
        Feature::Mean => (center, 0.0),
        Feature::Deviation => (moment(2).sqrt(), q / 12f64.sqrt()),
        Feature::RootMeanSquare => (rms, q / 12f64.sqrt()),
        Feature::PeakToPeak => (high - low, q),
        Feature::CrestFactor => (high.max(-low) / rms, 1e-3),
        Feature::Skewness => (moment(3) / moment(2).powf(1.5), 0.0),
        Feature::Kurtosis => (moment(4) / moment(2).powi(2), 1e-3),
        Feature::ZeroCrossings => {
            let changes = y.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
            (changes as f64 * hz, hz)
        }
        Feature::BandEnergy { first, end } => {
            let share = (end - first) as f64 / (count / 2.0);
            ((first..end).map(power).sum(), q * q / 12.0 * share)
        }
        Feature::DominantFrequency => {
            let powers: Vec<f64> = (0..=signal.window / 2).map(power).collect();
            let bins = 1..powers.len();
            let peak = bins.max_by(|a, b| powers[*a].total_cmp(&powers[*b])).expect("bins");
            let near = || (1..powers.len()).filter(|bin| bin.abs_diff(peak) <= 1);
            let weight: f64 = near().map(|bin| powers[bin]).sum();
            (near().map(|bin| bin as f64 * powers[bin]).sum::<f64>() / weight * hz, hz)
        }
        Feature::Correlation { with } => {
            let (other, at) = (x(with), mean(&x(with)));
            let product = |a: &[f64], m: f64, b: &[f64], n: f64| -> f64 {
                a.iter().zip(b).map(|(a, b)| (a - m) * (b - n)).sum()
            };
            let scale = product(&own, center, &own, center) * product(&other, at, &other, at);
            (product(&own, center, &other, at) / scale.sqrt(), 0.0)
        }
    };
    if entry.is_logarithm { (value + floor).ln() } else { value }
}

/// Vibration on a slope above a large constant: noise, a tone, and an impulse now and then.
fn vibrating(random: &mut ChaCha8Rng, samples: usize, channels: usize) -> Vec<f32> {
    let mut uniform = || random.next_u32() as f32 / u32::MAX as f32 - 0.5;
    let (level, slope, pitch) = (uniform() * 4.0, uniform() * 2.0, 0.5 + uniform() * 0.9);
    let sample = |number: usize| {
        let time = (number / channels) as f32;
        let tone = (time * (pitch + 0.3 * (number % channels) as f32)).sin();
        let impulse = if uniform() > 0.48 { 2.0 } else { 0.0 };
        level + slope * time / samples as f32 + tone + 0.4 * uniform() + impulse
    };
    (0..samples * channels).map(sample).collect()
}

#[test]
fn features_are_their_formulas() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (window, channels) in
        [(8, 1), (16, 2), (50, 3), (64, 3), (100, 1), (128, 2), (256, 1), (1024, 2)]
    {
        for detrending in [Detrending::None, Detrending::Mean, Detrending::Line] {
            for taper in [Taper::None, Taper::Hann] {
                let entries = entries(channels, window);
                for part in entries.chunks(64) {
                    let own = signal(channels, window, 1, part.to_vec());
                    let own = Signal { detrending, taper, ..own };
                    let samples = vibrating(&mut random, window, channels);
                    let row = row(&own, &samples);
                    for (entry, value) in own.entries.iter().zip(&row) {
                        let expected = oracle(&own, *entry, &samples);
                        let error = (f64::from(*value) - expected).abs();
                        let allowed = 2e-4 * expected.abs().max(1.0);
                        assert!(
                            error <= allowed,
                            "{window} {detrending:?} {taper:?} {entry:?}: {value}, not {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_tone_is_found_where_it_is() {
    let entries = vec![
        Entry { feature: Feature::DominantFrequency, channel: 0, is_logarithm: false },
        Entry {
            feature: Feature::BandEnergy { first: 10, end: 15 },
            channel: 0,
            is_logarithm: false,
        },
        Entry {
            feature: Feature::BandEnergy { first: 20, end: 33 },
            channel: 0,
            is_logarithm: false,
        },
    ];
    let own = signal(1, 64, 64, entries);
    for bin in [11.5f32, 12.0, 12.25] {
        let tone = |n: usize| 3.0 * (2.0 * std::f32::consts::PI * bin * n as f32 / 64.0).sin();
        let samples: Vec<_> = (0..64).map(tone).collect();
        let row = row(&own, &samples);
        let hz = bin * 800.0 / 64.0;
        assert!((row[0] - hz).abs() < 0.3 * 800.0 / 64.0, "{} Hz of {hz}", row[0]);
        assert!((row[1] / 4.5 - 1.0).abs() < 0.05, "{} of the tone's mean square", row[1]);
        assert!(row[2] < 1e-3, "{} elsewhere", row[2]);
    }
}

proptest! {
    /// Parseval: all bands together are the variance.
    #[test]
    fn the_bands_hold_the_whole_variance(seed: u64) {
        let all = Feature::BandEnergy { first: 1, end: 129 };
        let entry = |feature| Entry { feature, channel: 0, is_logarithm: false };
        let mut own = signal(1, 256, 1, vec![entry(all), entry(Feature::Deviation)]);
        own.taper = Taper::None;
        let samples = vibrating(&mut ChaCha8Rng::seed_from_u64(seed), 256, 1);
        let row = row(&own, &samples);
        prop_assert!((row[0] / (row[1] * row[1]) - 1.0).abs() < 1e-4, "{row:?}");
    }

    /// What has no unit does not change with the unit, from the smallest signal to the largest.
    #[test]
    fn ratios_have_no_unit(seed: u64, power in -40i32..36) {
        let ratios = [
            Feature::CrestFactor, Feature::Skewness, Feature::Kurtosis, Feature::ZeroCrossings,
            Feature::DominantFrequency, Feature::Correlation { with: 1 },
        ];
        let entry = |feature| Entry { feature, channel: 0, is_logarithm: false };
        let own = signal(2, 64, 1, ratios.map(entry).to_vec());
        let samples = vibrating(&mut ChaCha8Rng::seed_from_u64(seed), 64, 2);
        let scaled: Vec<_> = samples.iter().map(|value| value * 2f32.powi(power)).collect();
        prop_assert_eq!(row(&own, &samples), row(&own, &scaled));
    }

    /// A dead sensor gives numbers that no live one gives.
    #[test]
    fn a_constant_window_is_finite_and_apart(value in -1e12f32..1e12, length in 8usize..200) {
        let mut own = signal(2, length, 1, entries(2, length));
        own.entries.truncate(64);
        for detrending in [Detrending::None, Detrending::Mean, Detrending::Line] {
            own.detrending = detrending;
            for (entry, feature) in own.entries.iter().zip(row(&own, &vec![value; 2 * length])) {
                prop_assert!(feature.is_finite(), "{:?}", entry);
                let is_apart = match entry.feature {
                    _ if entry.is_logarithm => true,
                    Feature::Mean => (feature / value - 1.0).abs() < 1e-5,
                    Feature::RootMeanSquare if detrending == Detrending::None => true,
                    Feature::CrestFactor if detrending == Detrending::None => feature <= 1.001,
                    // Without detrending a constant is the spectrum of a constant.
                    _ if entry.feature.needs_spectrum() && detrending == Detrending::None => true,
                    _ => feature == 0.0,
                };
                prop_assert!(is_apart, "{:?} {:?}: {}", detrending, entry, feature);
            }
        }
    }

    /// However samples come, a row is that of the last window without a gap.
    #[test]
    fn a_row_is_that_of_its_window(
        seed: u64, hop in 1usize..40, gaps in proptest::collection::vec(0usize..300, 0..6),
    ) {
        let own = signal(2, 32, hop, entries(2, 32).into_iter().step_by(2).collect());
        let words = own.words();
        let recipe = Recipe::from_words(&words).expect("a possible recipe");
        let mut window = Window::<2, 32, 21>::new(recipe).expect("its sizes");
        let mut schedule = Schedule::new(&recipe);
        let samples = vibrating(&mut ChaCha8Rng::seed_from_u64(seed), 300, 2);
        let (samples, _) = samples.as_chunks::<2>();
        let (mut since, mut expected_gaps) = (0, 0);
        for (number, sample) in samples.iter().enumerate() {
            if gaps.contains(&number) {
                expected_gaps += u32::from(number > since);
                prop_assert_eq!(window.push(&[0.0, f32::NAN]), Err(Error::Sample { channel: 1 }));
                schedule.restart();
                since = number;
            }
            let yielded = window.push(sample).expect("a finite sample");
            prop_assert_eq!(yielded.is_some(), schedule.advance());
            let filled = number + 1 - since;
            prop_assert_eq!(yielded.is_some(), filled >= 32 && (filled - 32) % hop == 0);
            if let Some(yielded) = yielded {
                let of_window = row(&own, samples[number - 31..=number].as_flattened());
                prop_assert_eq!(yielded.map(f32::to_bits).to_vec(), of_window.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(window.gaps(), expected_gaps);
    }
}

/// Two million samples of everything that a sensor may do wrong.
#[test]
fn nothing_that_a_sensor_does_makes_a_row_that_is_no_number() {
    let own = signal(3, 64, 64, entries(3, 64));
    for part in own.entries.chunks(54) {
        let words = signal(3, 64, 61, part.to_vec()).words();
        match part.len() {
            54 => torture::<54>(&words),
            _ => torture::<9>(&words),
        }
    }
}

fn torture<const FEATURES: usize>(words: &[u32]) {
    let recipe = Recipe::from_words(words).expect("a possible recipe");
    let mut window = Window::<3, 64, FEATURES>::new(recipe).expect("its sizes");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut rows, mut stuck, mut scale, mut time) = (0, [0f32; 3], 1f32, 0u64);
    for number in 0..1_000_000 {
        let mut draw = || random.next_u32();
        if number % 200 == 0 {
            // From the smallest float to the largest sample.
            scale = f32::from_bits(draw() % MAX_SAMPLE.to_bits());
            stuck = [(); 3].map(|()| f32::from_bits(draw()));
        }
        let noise = |bits: u32| scale * (bits as f32 / u32::MAX as f32 - 0.5);
        let (mode, what) = (number / 200 % 5, draw() % 5000);
        let sample = match (mode, what) {
            (_, 0) => [f32::NAN, 0.0, 0.0],
            (_, 1) => [0.0, f32::INFINITY, 0.0],
            (_, 2) => [0.0, 0.0, 1.1 * MAX_SAMPLE],
            (0, _) => [(); 3].map(|()| noise(draw())),
            (1, _) => stuck,
            (2, _) => [noise(draw()), -0.0, MAX_SAMPLE],
            (3, _) => [(); 3].map(|()| if draw() % 2 == 0 { MAX_SAMPLE } else { -MAX_SAMPLE }),
            (_, _) => [scale, 1e9 + scale, f32::from_bits(number)],
        };
        time += if what == 3 { u64::from(draw()) } else { 1250 };
        match window.push_at(time, &sample) {
            Ok(None) => {}
            Ok(Some(row)) => {
                rows += 1;
                assert!(row.iter().all(|value| value.is_finite()), "{number}: {row:?}");
            }
            Err(Error::Sample { channel }) => {
                assert!(sample[channel].is_nan() || sample[channel].abs() > MAX_SAMPLE)
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(rows > 5000 && window.gaps() > 500, "{rows} rows, {} gaps", window.gaps());
    // And after all of it the window is as good as new.
    window.restart();
    let own = (0..64).find_map(|_| window.push(&[1.0, 2.0, 3.0]).expect("a number"));
    let mut fresh = Window::<3, 64, FEATURES>::new(recipe).expect("its sizes");
    let other = (0..64).find_map(|_| fresh.push(&[1.0, 2.0, 3.0]).expect("a number"));
    assert!(own.is_some() && own == other);
}

#[test]
fn a_clock_that_jumps_is_a_gap() {
    let words = signal(1, 8, 8, vec![entries(1, 8)[0]]).words();
    let recipe = Recipe::from_words(&words).expect("a possible recipe");
    // 800 samples a second: 1250 microseconds.
    let gaps_of = |times: &[u64]| {
        let mut window = Window::<1, 8, 1>::new(recipe).expect("its sizes");
        for time in times {
            assert!(window.push_at(*time, &[0.0]).is_ok());
        }
        window.gaps()
    };
    assert_eq!(gaps_of(&[0, 1250, 2500, 3750]), 0);
    assert_eq!(gaps_of(&[u64::MAX - 1300, u64::MAX - 50]), 0);
    assert_eq!(gaps_of(&[0, 1700, 2500, 4200]), 0, "late by less than half a period");
    assert_eq!(gaps_of(&[0, 1250, 3750, 5000]), 1, "a missed sample");
    assert_eq!(gaps_of(&[0, 1250, 1250]), 1, "the same sample twice");
    assert_eq!(gaps_of(&[5000, 1250, 2500]), 1, "a clock set back");
    assert_eq!(gaps_of(&[0, u64::MAX]), 1);
}

#[test]
fn a_window_has_one_context() {
    let words = signal(1, 8, 8, vec![entries(1, 8)[0]]).words();
    let recipe = Recipe::from_words(&words).expect("a possible recipe");
    let mut window = Window::<1, 8, 1, 1>::new(recipe).expect("its sizes");
    let mut rows = Vec::new();
    for number in 0..36 {
        // Windows of 8 samples end at 7, and then at 20 - 1 + 8 and 8 further.
        window.set_context(&[if number < 20 { 100.0 } else { 200.0 }]).expect("finite");
        if window.push(&[1.0]).expect("a number").is_some() {
            rows.push((number, window.context()[0]));
        }
    }
    assert_eq!(rows, [(7, 100.0), (15, 100.0), (27, 200.0), (35, 200.0)]);
    assert_eq!(window.gaps(), 0);
    let refused = window.set_context(&[f32::NAN]);
    assert_eq!(refused, Err(Error::ContextNotFinite { index: 0 }));
    assert_eq!(window.context(), &[200.0]);
}

#[test]
fn integers_are_their_scaled_floats() {
    let words = signal(1, 8, 1, vec![entries(1, 8)[0]]).words();
    let recipe = Recipe::from_words(&words).expect("a possible recipe");
    let mut windows = [(); 2].map(|()| Window::<1, 8, 1>::new(recipe).expect("its sizes"));
    for count in [i16::MIN, -3, 0, 1, 16384, i16::MAX].into_iter().cycle().take(20) {
        let [a, b] = &mut windows;
        let scale = 1.0 / 16384.0;
        assert_eq!(a.push_counts(&[count], scale), b.push(&[f32::from(count) * scale]));
    }
}

#[test]
fn a_recipe_is_read_as_it_was_written() {
    let mut own = signal(3, 256, 128, entries(3, 256)[..60].to_vec());
    own.channels[1].unit.clear();
    let words = own.words();
    let recipe = Recipe::from_words(&words).expect("a possible recipe");
    assert_eq!(recipe.entries().collect::<Vec<_>>(), own.entries);
    assert_eq!((recipe.channels(), recipe.window(), recipe.hop()), (3, 256, 128));
    assert_eq!((recipe.rate(), recipe.resolution(2)), (800.0, 1e-3));
    let names: Vec<_> = recipe.channel_names().collect();
    assert_eq!(names, [["channel 0", "g"], ["channel 1", ""], ["channel 2", "g"]]);
    let fit = Error::SignalFit { channels: 3, window: 256, features: 60 };
    assert_eq!(Window::<3, 256, 59>::new(recipe).map(|_| ()), Err(fit));
    assert_eq!(Window::<2, 256, 60>::new(recipe).map(|_| ()), Err(fit));
    assert_eq!(Window::<3, 128, 60>::new(recipe).map(|_| ()), Err(fit));
    assert!(Window::<3, 256, 60>::new(recipe).is_ok());
}

#[test]
fn every_impossible_word_is_refused() {
    let band =
        Entry { feature: Feature::BandEnergy { first: 1, end: 9 }, channel: 0, is_logarithm: true };
    let with = Entry { feature: Feature::Correlation { with: 1 }, channel: 0, is_logarithm: false };
    let mean = Entry { feature: Feature::Mean, channel: 1, is_logarithm: false };
    let words = signal(2, 16, 8, vec![band, with, mean]).words();
    assert!(Recipe::from_words(&words).is_ok());
    let nan = f32::NAN.to_bits();
    for (word, values) in [
        (0, &[0, 9, u32::MAX][..]),
        (1, &[0, nan, f32::INFINITY.to_bits(), (-1f32).to_bits()]),
        (2, &[0, 7, 4097, u32::MAX]),
        (3, &[0, (1 << 20) + 1]),
        (4, &[3, u32::MAX]),
        (5, &[2]),
        (6, &[0, 65, u32::MAX]),
        (7, &[u32::MAX]),
        (8, &[0, 12, u32::MAX]),
    ] {
        for value in values {
            let mut words = words.clone();
            words[word] = *value;
            assert_eq!(Recipe::from_words(&words).map(|_| ()), Err(Error::Signal { word }));
        }
    }
    // Refused with the entry that they belong to, or with the text.
    for (word, value, refused) in [
        (2, 15, 8),  // a spectrum of 15 samples
        (9, 2, 8),   // a third channel
        (10, 0, 8),  // a band from bin 0
        (10, 9, 8),  // an empty band
        (11, 10, 8), // a band beyond the spectrum
        (12, 2, 8),  // neither with nor without a logarithm
        (15, 0, 13), // a correlation with itself
        (15, 2, 13),
        (16, 1, 13), // a setting without a meaning
        (17, 1, 13), // the logarithm of a correlation
        (20, 1, 18),
        (22, 1, 18),
        (23, 0, 23), // no resolution
        (24, nan, 24),
        (25, u32::MAX, 25), // no UTF-8
    ] {
        let mut words = words.clone();
        words[word] = value;
        let found = Recipe::from_words(&words).map(|_| ());
        assert_eq!(found, Err(Error::Signal { word: refused }), "word {word} = {value}");
    }
    for length in 0..words.len() {
        assert!(Recipe::from_words(&words[..length]).is_err(), "{length} words");
    }
    let more = [&words[..], &[0]].concat();
    assert!(Recipe::from_words(&more).is_err());
}

#[test]
fn a_model_says_whether_its_rows_come_from_a_signal() {
    let file = vibration().to_file();
    let flow = Flow::<3, 16>::from_bytes(file.bytes()).expect("a model just written");
    assert_eq!(flow.recipe().expect("a recipe").hop(), 8);
    assert!(flow.model().cargo_features().any(|name| name == "signal"));
    let mut fewer = vibration();
    fewer.signal = signal(1, 16, 8, entries(1, 16)[..2].to_vec()).words();
    let refused = Model::<Libm>::from_bytes(fewer.to_file().bytes()).map(|_| ());
    assert_eq!(refused, Err(Error::Signal { word: 6 }));
    let file = models::small().to_file();
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
    assert_eq!(model.recipe().map(|_| ()), Err(Error::NoSignal));
}
