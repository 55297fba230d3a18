//! What a detector promises: how often it is wrong, that every state is left, and what it refuses.

mod models;

use flowlet::detector::{
    Commissioning, Detector, FEWEST_SCORES, Saved, Sensor, SensorFault, Settings, State,
};
use flowlet::file::tag;
use flowlet::write::{self, Calibration, Description, LatentDescription, ModelFile, envelope};
use flowlet::{Error, Flow, LatentModel, Libm, Model};
use models::{Random, detecting, latent, small};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Rows that anything goes for.
const SENSOR: Sensor = Sensor { low: f32::MIN, high: f32::MAX, longest_run: 0 };

/// A detector's section of three features.
fn section(rows_between_false_alarms: f32, drift: (f32, f32), sensor: Sensor) -> write::Detector {
    let sensors = vec![sensor; 3];
    write::Detector { rows_between_false_alarms, confirmation: [2, 8], drift, sensors }
}

/// A table of all of `scores`.
fn table(scores: &[f32]) -> Calibration {
    let mut ascending = scores.to_vec();
    ascending.sort_unstable_by(f32::total_cmp);
    let rows = ascending.len();
    let entry = |alike: &[f32], below: &mut usize| {
        *below += alike.len();
        (alike[0], (rows - *below) as u32)
    };
    let quantiles = ascending.chunk_by(|a, b| a == b).scan(0, |below, own| Some(entry(own, below)));
    Calibration {
        rows: rows as u32,
        thresholds: vec![(0.01, 0.0)],
        quantiles: quantiles.collect(),
        tail: None,
    }
}

/// The small model with that calibration and detector.
fn file(calibration: Calibration, detector: write::Detector) -> ModelFile {
    let (calibration, detector) = (Some(calibration), Some(detector));
    Description { calibration, detector, ..small() }.to_file()
}

/// The settings and the detector of a file.
fn detector(file: &ModelFile) -> Detector<'_, 3> {
    Flow::<3, 8>::from_bytes(file.bytes()).and_then(|flow| flow.detector()).expect("it has one")
}

/// Takes a row that differs from all others, with this score.
fn step(detector: &mut Detector<3>, score: f32) -> State {
    detector.step(&[0.5; 3], || Ok(score)).expect("a row of three features")
}

fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// n scores that are uniform on 0..1.
fn scores(random: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| uniform(random) as f32).collect()
}

/// b(p), in f64.
fn bet(p_value: f64) -> f64 {
    [0.5, 0.25, 0.125].iter().map(|e| e * p_value.powf(e - 1.0)).sum::<f64>() / 3.0
}

/// The mean pay of uniform scores, whose p-values follow from the uniform `scores` of a table.
fn mean_pay(scores: &[f32]) -> f64 {
    let mut ascending: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
    ascending.sort_unstable_by(f64::total_cmp);
    ascending.push(1.0);
    let (rows, mut last, mut mean) = (scores.len() as f64, 0.0, 0.0);
    for (below, score) in ascending.iter().enumerate() {
        mean += (score - last) * bet((rows - below as f64 + 1.0) / (rows + 1.0));
        last = *score;
    }
    mean
}

/// The promise of the module: of all tables at most 5 % have a mean pay above e^c.
#[test]
fn the_charge_covers_what_a_table_is_wrong_by() {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    for (rows, tables) in [(20, 4000), (100, 2000), (336, 1000), (1840, 500)] {
        let mut beyond = 0;
        for _ in 0..tables {
            let scores = scores(&mut random, rows);
            let file = file(table(&scores), section(1000.0, (0.0, 0.0), SENSOR));
            let charge = f64::from(detector(&file).charge());
            beyond += usize::from(mean_pay(&scores).ln() > charge);
        }
        let (share, error) = (beyond as f64 / f64::from(tables), (0.05 / f64::from(tables)).sqrt());
        assert!(share < 0.05 + 3.0 * error, "{share} of the tables of {rows} rows");
    }
    // A large table costs next to nothing, a small one much.
    let charge = |rows: usize| {
        let scores: Vec<f32> = (0..rows).map(|row| row as f32).collect();
        detector(&file(table(&scores), section(1000.0, (0.0, 0.0), SENSOR))).charge()
    };
    assert!(charge(5000) < 0.05 && charge(30) > 0.15, "{} {}", charge(5000), charge(30));
}

/// Each table its own mean, of independent rows: at least A, whatever the number of its rows.
#[test]
fn false_alarms_are_as_rare_as_asked() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for rows in [40, 200, 1000] {
        let mut fewer = 0;
        for _ in 0..20 {
            let scores = scores(&mut random, rows);
            let file = file(table(&scores), section(50.0, (0.0, 0.0), SENSOR));
            let mut detector = detector(&file);
            let (mut alarms, mut last) = (0, State::Normal);
            for _ in 0..20_000 {
                let state = step(&mut detector, uniform(&mut random) as f32);
                alarms += u32::from(state == State::Alarm && last != State::Alarm);
                last = state;
            }
            fewer += u32::from(20_000.0 / f64::from(alarms.max(1)) < 50.0);
        }
        assert!(fewer <= 1, "{fewer} of 20 tables of {rows} rows alarm more often than asked");
    }
}

/// Rows above all held-out ones alarm, after two of them at the least and as soon as the detector says.
#[test]
fn a_fault_alarms_and_its_end_ends_the_alarm() {
    let held_out: Vec<f32> = (0..400).map(|row| row as f32).collect();
    for rows_between in [2.0, 1e3, 1e6, 1e12] {
        let file = file(table(&held_out), section(rows_between, (0.0, 0.0), SENSOR));
        let mut detector = detector(&file);
        let fewest = detector.fewest_rows();
        assert!(fewest >= 2);
        for row in 1..=fewest {
            let state = step(&mut detector, 1e9);
            assert_eq!(state == State::Alarm, row == fewest, "row {row} of {fewest}");
        }
        // However long the fault.
        for _ in 0..1000 {
            assert_eq!(step(&mut detector, 1e9), State::Alarm);
            assert_eq!(detector.evidence(), detector.alarm_at());
        }
        let back = (0..100).position(|_| step(&mut detector, 10.0) == State::Normal);
        assert!(back.is_some_and(|rows| (rows as f32) < 1.0 + detector.alarm_at()), "{back:?}");
    }
}

/// One row never decides, however large the table: its pay may reach ln A.
#[test]
fn no_single_row_is_an_alarm() {
    let calibration = Calibration {
        rows: 4_000_000_000,
        thresholds: vec![(0.01, 0.0)],
        quantiles: vec![(0.0, 2_000_000_000), (1.0, 1), (2.0, 0)],
        tail: None,
    };
    let file = file(calibration, section(1000.0, (0.0, 0.0), SENSOR));
    let mut detector = detector(&file);
    assert_eq!(detector.fewest_rows(), 2);
    assert_eq!(step(&mut detector, 3.0), State::Suspect);
    assert_eq!(detector.evidence(), detector.alarm_at());
    assert_eq!(step(&mut detector, 3.0), State::Alarm);
}

#[test]
fn a_sensors_fault_is_told_from_an_anomaly() {
    let sensor = Sensor { low: -10.0, high: 10.0, longest_run: 3 };
    let held_out: Vec<f32> = (0..400).map(|row| row as f32).collect();
    let file = file(table(&held_out), section(1000.0, (0.0, 0.0), sensor));
    let mut detector = detector(&file);
    let mut row = 0.0;
    let mut step = |detector: &mut Detector<3>, place: usize, value: Option<f32>| {
        row += 0.001;
        let mut x = [row; 3];
        x[place] = value.unwrap_or(row);
        // A row of a broken sensor is not scored.
        detector.step(&x, || Ok(1e9)).expect("a row of three features")
    };
    for column in 0..3 {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let missing = State::Sensor(SensorFault::Missing { column });
            assert_eq!(step(&mut detector, column, Some(value)), missing);
        }
        for value in [10.001, -11.0, f32::MAX] {
            let out_of_range = State::Sensor(SensorFault::OutOfRange { column });
            assert_eq!(step(&mut detector, column, Some(value)), out_of_range);
        }
        for run in 1..10 {
            let before = detector.evidence();
            let state = step(&mut detector, column, Some(5.0));
            let stuck = State::Sensor(SensorFault::Stuck { column });
            assert_eq!(state == stuck, run > 3, "{state:?} after {run} rows");
            if run > 3 {
                assert_eq!(detector.evidence(), before, "the evidence waits");
            }
        }
        assert!(!matches!(step(&mut detector, column, None), State::Sensor(_)));
    }
    let x = [f32::NAN, 99.0, 0.5];
    let first = State::Sensor(SensorFault::Missing { column: 0 });
    assert_eq!(detector.step(&x, || panic!("it is not scored")), Ok(first));
}

/// A slow rise is followed as far as the file says, and no further.
#[test]
fn a_drift_is_followed_within_its_bound() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let held_out = scores(&mut random, 1000);
    let run = |bound: f32, follows: bool, rise: f32, random: &mut ChaCha8Rng| {
        let file = file(table(&held_out), section(1e6, (bound, bound / 500.0), SENSOR));
        let mut detector = detector(&file);
        detector.follow(follows);
        let alarmed = (0..40_000).any(|row| {
            let score = uniform(random) as f32 + rise * row as f32 / 40_000.0;
            step(&mut detector, score) == State::Alarm
        });
        (alarmed, detector.offset())
    };
    let (alarmed, offset) = run(0.5, true, 0.4, &mut random);
    assert!(!alarmed && (0.3..0.5).contains(&offset), "{alarmed} {offset}");
    assert!(run(0.5, false, 0.4, &mut random).0, "not followed");
    let (alarmed, offset) = run(0.1, true, 0.4, &mut random);
    assert!(alarmed && offset <= 0.1, "{offset}, beyond the bound");
    // Without a drift it stays near 0.
    let (alarmed, offset) = run(0.5, true, 0.0, &mut random);
    assert!(!alarmed && offset.abs() < 0.1, "{alarmed} {offset}");
}

/// What a caller may do.
#[derive(Clone, Debug)]
enum Call {
    Row([f32; 3], f32),
    Follow(bool),
    Restart,
}

/// Values as a broken sensor gives them, and others.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(0.25),
        -1.5f32..1.5,
        any::<u32>().prop_map(f32::from_bits)
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        20 => ([value(), value(), value()], prop_oneof![value(), -1f32..2.0])
            .prop_map(|(x, score)| Call::Row(x, score)),
        1 => any::<bool>().prop_map(Call::Follow),
        1 => Just(Call::Restart),
    ]
}

/// Of any settings.
fn any_section() -> impl Strategy<Value = write::Detector> {
    (2f32..1e6, 1u32..=4, 4u32..=32, 0f32..0.3, 0f32..=1.0, 1u32..5).prop_map(
        |(rows_between_false_alarms, confirming, rows, bound, step, longest_run)| write::Detector {
            rows_between_false_alarms,
            confirmation: [confirming, rows],
            drift: (bound, bound * step),
            sensors: vec![Sensor { low: -2.0, high: 2.0, longest_run }; 3],
        },
    )
}

proptest! {
    /// Whatever was said before, some normal rows lead back to the normal state, and numbers stay numbers.
    #[test]
    fn every_state_is_left_again(
        section in any_section(),
        held_out in prop::collection::vec(-1f32..1.0, 20..300),
        calls in prop::collection::vec(call(), 0..400),
    ) {
        let file = file(table(&held_out), section);
        let mut own = detector(&file);
        for call in calls {
            match call {
                Call::Row(x, score) => match own.step(&x, || Ok(score)) {
                    Ok(_) => {}
                    Err(error) => prop_assert_eq!(error, Error::ScoreNotFinite),
                },
                Call::Follow(follows) => own.follow(follows),
                Call::Restart => {
                    let saved = own.save();
                    own = detector(&file);
                    prop_assert_eq!(own.restore(&saved), Ok(()));
                }
            }
            let (bound, _) = own.settings().drift();
            prop_assert!(own.evidence().is_finite() && own.evidence() <= own.alarm_at());
            prop_assert!(own.offset().abs() <= bound);
        }
        let back = (0..200).any(|row| {
            own.step(&[row as f32 / 100.0; 3], || Ok(-2.0)) == Ok(State::Normal)
        });
        prop_assert!(back, "{:?} is not left", own.state());
    }

    /// A detector that was saved and restored goes on as the one that was not.
    #[test]
    fn a_restart_changes_nothing(
        section in any_section(),
        held_out in prop::collection::vec(-1f32..1.0, 20..100),
        scores in prop::collection::vec(-1f32..2.0, 2..200),
        place: prop::sample::Index,
        flip in 0usize..32 * Saved::WORDS,
    ) {
        let file = file(table(&held_out), section);
        let (mut whole, mut first) = (detector(&file), detector(&file));
        let (before, after) = scores.split_at(place.index(scores.len()));
        let row = |detector: &mut Detector<3>, number: usize, score: f32| {
            detector.step(&[number as f32 * 1e-3; 3], || Ok(score))
        };
        for (number, score) in before.iter().enumerate() {
            prop_assert_eq!(row(&mut whole, number, *score), row(&mut first, number, *score));
        }
        let saved = first.save();
        let mut second = detector(&file);
        prop_assert_eq!(second.restore(&saved), Ok(()));
        prop_assert_eq!(second.save(), saved);
        for (number, score) in (before.len()..).zip(after) {
            prop_assert_eq!(row(&mut whole, number, *score), row(&mut second, number, *score));
            prop_assert_eq!(whole.save(), second.save());
        }
        // Any changed bit is found, and changes nothing.
        let mut damaged = saved;
        damaged.words[flip / 32] ^= 1 << (flip % 32);
        let before = second.save();
        prop_assert_eq!(second.restore(&damaged), Err(Error::SavedDamaged));
        prop_assert_eq!(second.save(), before);
    }

    /// The table of a commissioning is that of its scores, in whatever order they come.
    #[test]
    fn commissioning_makes_the_table_of_its_scores(
        scores in prop_oneof![
            prop::collection::vec(-100f32..100.0, 0..200),
            prop::collection::vec((-5i8..5).prop_map(f32::from), 0..200),
        ],
        question in -120f32..120.0,
    ) {
        let mut commissioning = Commissioning::<200>::new();
        for score in &scores {
            prop_assert_eq!(commissioning.add(*score), Ok(()));
        }
        let mut ascending: Vec<f32> = scores.iter().map(|score| score + 0.0).collect();
        ascending.sort_unstable_by(f32::total_cmp);
        prop_assert_eq!(commissioning.scores().collect::<Vec<_>>(), ascending.clone());
        let file = small().to_file();
        let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("a model just written");
        let old = flow.calibration().expect("it has one");
        let rows = scores.len() as u32;
        if rows < FEWEST_SCORES {
            prop_assert_eq!(commissioning.calibration(&old).map(drop), Err(Error::FewRows { rows }));
            return Ok(());
        }
        let new = commissioning.calibration(&old).expect("scores enough");
        prop_assert_eq!(new.rows(), rows);
        for own in scores.iter().copied().chain([question]) {
            let above = scores.iter().filter(|score| **score >= own).count() as f32;
            prop_assert_eq!(new.conformal_p_value(own), (1.0 + above) / (1.0 + rows as f32));
        }
        prop_assert_eq!(new.thresholds().count(), old.thresholds().count());
        let largest = ascending[ascending.len() - 1];
        for (new, old) in new.thresholds().zip(old.thresholds()) {
            prop_assert_eq!(new.false_alarm_rate, old.false_alarm_rate);
            prop_assert!(new.rows == rows && new.score.is_finite());
            // Where 5 scores and more decide, the threshold is theirs.
            let above = scores.iter().filter(|score| **score > new.score).count() as f32;
            prop_assert!(above <= (new.false_alarm_rate * (1.0 + rows as f32)).max(5.0));
            prop_assert!(new.score >= ascending[0] && new.score <= largest.max(2e3));
        }
        let again: Vec<f32> = commissioning.scores().collect();
        let mut other = Commissioning::<200>::new();
        again.iter().for_each(|score| other.add(*score).expect("there is room"));
        prop_assert_eq!(other.scores().collect::<Vec<_>>(), ascending);
    }
}

/// Two million values of every kind.
#[test]
fn no_value_is_too_much() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let held_out = scores(&mut random, 300);
    let sensor = Sensor { low: -1e30, high: 1e30, longest_run: 4 };
    let file = file(table(&held_out), section(100.0, (0.1, 0.001), sensor));
    let mut detector = detector(&file);
    let mut seen = [0; 6];
    let mut x = [0.0; 3];
    for _ in 0..700_000 {
        for value in &mut x {
            let bits = random.next_u32();
            match bits % 16 {
                0 => *value = f32::from_bits(random.next_u32()),
                1 => {}
                _ => *value = bits as f32 / 1e9,
            }
        }
        let kind = random.next_u32() % 64;
        let score = match kind {
            0 => f32::from_bits(random.next_u32()),
            _ => uniform(&mut random) as f32 * if kind < 9 { 30.0 } else { 1.0 },
        };
        let state = match detector.step(&x, || Ok(score)) {
            Ok(state) => state,
            Err(error) => {
                assert_eq!(error, Error::ScoreNotFinite);
                continue;
            }
        };
        assert!(detector.evidence().is_finite() && detector.offset().is_finite());
        seen[match state {
            State::Normal => 0,
            State::Suspect => 1,
            State::Alarm => 2,
            State::Sensor(SensorFault::Missing { .. }) => 3,
            State::Sensor(SensorFault::OutOfRange { .. }) => 4,
            State::Sensor(SensorFault::Stuck { .. }) => 5,
        }] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// A file with word `word` of section 18 replaced.
fn with_word(word: usize, value: u32) -> Result<(), Error> {
    let description = detecting();
    let mut contents = description.detector.as_ref().expect("it has one").contents();
    contents[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
    with_section(contents)
}

/// The small model with such a section 18.
fn with_section(contents: Vec<u8>) -> Result<(), Error> {
    let file = write::with_section(small().to_file().bytes(), tag::DETECTOR, contents)?;
    Model::<Libm>::from_bytes(file.bytes()).map(drop)
}

#[test]
fn each_word_that_makes_no_sense_has_its_refusal() {
    let bits = |value: f32| value.to_bits();
    let cases = [
        (0, bits(1.0)),
        (0, bits(f32::NAN)),
        (0, bits(1e13)),
        (1, 0),
        (1, 9),
        (1, u32::MAX),
        (2, 33),
        (3, bits(-1.0)),
        (3, bits(f32::INFINITY)),
        (4, bits(0.6)),
        (4, bits(f32::NAN)),
        (5, bits(f32::NEG_INFINITY)),
        (6, bits(f32::NAN)),
        (9, bits(-101.0)),
        (12, bits(f32::INFINITY)),
    ];
    for (word, value) in cases {
        assert_eq!(with_word(word, value), Err(Error::Detector { word }), "word {word}");
    }
    assert_eq!(with_word(7, u32::MAX), Ok(()));
    let whole = detecting().detector.expect("it has one").contents();
    for words in (0..20).filter(|words| *words != 14) {
        let mut contents = whole.clone();
        contents.resize(4 * words, 0);
        let length = Error::SectionLength { tag: tag::DETECTOR, actual: words, expected: 14 };
        assert_eq!(with_section(contents), Err(length));
    }
}

#[test]
fn what_is_not_there_is_said() {
    let file = small().to_file();
    let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("a model just written");
    assert_eq!(flow.detector().map(drop), Err(Error::NoDetector));
    let bare = Description { calibration: None, ..detecting() }.to_file();
    let flow = Flow::<3, 8>::from_bytes(bare.bytes()).expect("a model just written");
    assert_eq!(flow.detector().map(drop), Err(Error::NoCalibration));
    let few = table(&[1.0, 2.0, 3.0, 4.0, 5.0]);
    let few = Description { calibration: Some(few), ..detecting() }.to_file();
    let flow = Flow::<3, 8>::from_bytes(few.bytes()).expect("a model just written");
    assert_eq!(flow.detector().map(drop), Err(Error::DetectorRows { rows: 5 }));
    let file = detecting().to_file();
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("a model just written");
    let (settings, calibration) =
        (model.detector_settings().unwrap(), model.calibration().unwrap());
    let refused = Detector::<2>::new(settings, calibration).map(drop);
    assert_eq!(refused, Err(Error::Features { file: 3, firmware: 2 }));
    let mut detector = Detector::<64>::new(settings, calibration).expect("there is room");
    let short = Error::RowLength { found: 2, expected: 3 };
    assert_eq!(detector.step(&[0.0; 2], || Ok(0.0)), Err(short));
    assert_eq!(detector.step(&[0.0; 3], || Ok(f32::NAN)), Err(Error::ScoreNotFinite));
    assert_eq!(detector.step(&[0.0; 3], || Err(Error::Temperature)), Err(Error::Temperature));
    let context = Err(Error::ContextNotFinite { index: 1 });
    let missing = State::Sensor(SensorFault::Missing { column: 4 });
    assert_eq!(detector.step(&[0.0; 3], || context), Ok(missing));
    let mut commissioning = Commissioning::<2>::new();
    assert_eq!(commissioning.add(f32::INFINITY), Err(Error::ScoreNotFinite));
    assert_eq!((commissioning.add(1.0), commissioning.add(1.0)), (Ok(()), Ok(())));
    assert_eq!(commissioning.add(1.0), Err(Error::CommissioningFull { capacity: 2 }));
}

/// Settings are read as they were written, and a saved state of other ones is refused.
#[test]
fn the_file_says_how_to_judge() {
    let (description, file) = (detecting(), detecting().to_file());
    let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("a model just written");
    let settings: Settings = flow.model().detector_settings().expect("it has some");
    let written = description.detector.as_ref().expect("it has one");
    assert_eq!(settings.sensors().collect::<Vec<_>>(), written.sensors);
    assert_eq!(settings.confirmation(), written.confirmation);
    assert_eq!(settings.drift(), written.drift);
    assert_eq!(settings.rows_between_false_alarms(), written.rows_between_false_alarms);
    let saved = flow.detector().expect("it has one").save();
    let mut commissioning = Commissioning::<50>::new();
    (0..50).for_each(|score| commissioning.add(score as f32).expect("there is room"));
    let site = commissioning.calibration(&flow.calibration().expect("it has one"));
    let mut detector = flow.with_calibration(site.expect("scores enough")).detector().expect("one");
    assert_eq!(detector.restore(&saved), Err(Error::SavedOther));
    let mut other = detecting();
    other.detector.as_mut().expect("it has one").rows_between_false_alarms = 999.0;
    let other = other.to_file();
    let mut detector = self::detector(&other);
    assert_eq!(detector.restore(&saved), Err(Error::SavedOther));
}

/// A latent model has the same detector.
#[test]
fn a_latent_model_alarms_alike() {
    let mut random = Random::new(1);
    let (_, plain) = latent::goldens().swap_remove(0);
    let detector = detecting().detector;
    let file = LatentDescription { detector, ..plain.clone() }.to_file();
    let model = LatentModel::<Libm>::from_bytes(file.bytes()).expect("a model just written");
    let calibration = model.calibration().expect("it has one");
    let settings = model.detector_settings().expect("it has some");
    let mut detector = Detector::<3>::new(settings, calibration).expect("rows enough");
    let latent = flowlet::Latent::<3, 2, 16>::from_bytes(file.bytes()).expect("it fits");
    let mut shell = latent.detector().expect("it has one");
    for _ in 0..20 {
        let x = random.row_of(&plain);
        let score = latent.score(x.first_chunk::<3>().expect("three features"));
        assert_eq!(detector.step(&x, || score), shell.step(&x, || score));
        assert_eq!(detector.save(), shell.save());
    }
    let other = envelope(&[]);
    assert!(LatentModel::<Libm>::from_bytes(other.bytes()).is_err());
}
