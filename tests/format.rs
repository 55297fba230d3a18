//! The model file: what is written is read, and everything else is refused.

mod models;

use flowlet::file::{MAGIC, Section, VERSION, checksum, tag};
use flowlet::write::{Base, Component, Description, Layer, Member, ModelFile, envelope};
use flowlet::{Error, Flow, Libm, Memory, Model, Scratch, Threshold, Units};
use models::{Random, goldens, small};

const GOLDEN: &[u8] = include_bytes!("golden/small.flow");

/// Opens a copy of `bytes` on an aligned place.
fn open(bytes: &[u8]) -> Result<(), Error> {
    Model::<Libm>::from_bytes(ModelFile::new(bytes).bytes()).map(|_| ())
}

/// Writes the length and checksum that `bytes` should have.
fn repair(bytes: &mut [u8]) {
    let length = bytes.len();
    bytes[6..10].copy_from_slice(&(length as u32).to_le_bytes());
    let sum = checksum(&bytes[..length - 4]);
    bytes[length - 4..].copy_from_slice(&sum.to_le_bytes());
}

/// The whole message by plain serde: proof that nothing in it is special.
#[derive(serde::Deserialize)]
struct Message<'m> {
    magic: [u8; 4],
    version: [u8; 2],
    length: [u8; 4],
    #[serde(borrow)]
    sections: Vec<Section<'m>>,
    checksum: [u8; 4],
}

/// The sections of a file, owned.
fn sections(file: &ModelFile) -> Vec<(u32, Vec<u8>)> {
    let message: Message = postcard::from_bytes(file.bytes()).expect("one postcard message");
    message.sections.iter().map(|section| (section.tag, section.contents.to_vec())).collect()
}

/// A file with word `word` of section `tag` replaced, its checksum right.
fn with_word(description: &Description, tag: u32, word: usize, value: u32) -> ModelFile {
    let mut sections = sections(&description.to_file());
    let (_, contents) = sections.iter_mut().find(|(other, _)| *other == tag).expect("the section");
    contents[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
    envelope(&sections)
}

/// Where the golden file of this name lies.
fn golden_path(name: &str) -> String {
    format!("{}/tests/golden/{name}.flow", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_golden_files_are_what_is_written_today() {
    for (name, description) in goldens() {
        let (path, file) = (golden_path(&name), description.to_file());
        if std::env::var_os("FLOWLET_OVERWRITE").is_some() {
            std::fs::write(&path, file.bytes()).expect("tests/golden is writable");
        }
        assert_eq!(
            file.bytes(),
            std::fs::read(&path).expect("a golden file"),
            "{name}: a changed format: renew with FLOWLET_OVERWRITE=1 and raise the version"
        );
    }
}

#[test]
fn the_golden_files_give_the_densities_that_they_gave() {
    for (name, _) in goldens() {
        let file = ModelFile::new(&std::fs::read(golden_path(&name)).expect("a golden file"));
        let model = Model::<Libm>::from_bytes(file.bytes()).expect("a golden file stays readable");
        assert_eq!(model.self_test(&mut Memory::of(&model).scratch()), Ok(2), "{name}");
    }
}

#[test]
fn the_golden_file_is_read_as_it_was() {
    let file = ModelFile::new(GOLDEN);
    let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("a golden file stays readable");
    let expected: Vec<_> = small().features.iter().map(|feature| feature.name.clone()).collect();
    assert_eq!(flow.model().feature_names().collect::<Vec<_>>(), expected);
    let calibration = small().calibration.expect("it has one");
    let (rate, score) = calibration.thresholds[0];
    let first = Threshold { rows: calibration.rows, false_alarm_rate: rate, score };
    assert_eq!(flow.threshold(), Some(first));
    let read = flow.calibration().expect("it has one");
    assert_eq!(read.quantiles().collect::<Vec<_>>(), calibration.quantiles);
    assert_eq!(read.thresholds().count(), calibration.thresholds.len());
    assert_eq!(read.tail(), calibration.tail);
    let quantiles = flow.model().quantiles().expect("it has some");
    let read: Vec<_> = (0..3).map(|feature| quantiles.of(feature).to_vec()).collect();
    assert_eq!(read, small().quantiles);
    assert_eq!((quantiles.count(), quantiles.of(3)), (3, &[][..]));
    assert_eq!(flow.model().score_kind().balances().collect::<Vec<_>>(), small().balances);
    assert_eq!(flow.model().provenance(), "generator=tests\n");
    assert_eq!(flow.self_test(), Ok(2));
    assert_eq!(flow.model().members()[0].layers().count(), 3);
}

#[test]
fn a_file_is_one_postcard_message() {
    let message: Message = postcard::from_bytes(GOLDEN).expect("decodes");
    assert_eq!((message.magic, message.version), (MAGIC, VERSION));
    assert_eq!(u32::from_le_bytes(message.length) as usize, GOLDEN.len());
    assert_eq!(u32::from_le_bytes(message.checksum), checksum(&GOLDEN[..GOLDEN.len() - 4]));
    for Section { tag, contents, pad } in message.sections {
        let offset = contents.as_ptr() as usize - GOLDEN.as_ptr() as usize;
        assert!(offset.is_multiple_of(4), "section {tag} starts at {offset}");
        assert!(pad.len() < 4);
    }
}

#[test]
fn every_truncation_is_refused() {
    for length in 0..GOLDEN.len() {
        let refusal = open(&GOLDEN[..length]).expect_err("a cut file");
        match length {
            0..14 => assert_eq!(refusal, Error::TooShort { length, minimum: 14 }),
            _ => assert_eq!(refusal, Error::Length { stated: GOLDEN.len() as u32, actual: length }),
        }
    }
}

#[test]
fn every_flip_of_one_bit_is_refused() {
    for bit in 0..8 * GOLDEN.len() {
        let mut bytes = GOLDEN.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refusal = open(&bytes).expect_err("a flipped bit");
        match bit / 8 {
            0..4 => assert_eq!(refusal, Error::Magic),
            4 => assert!(matches!(refusal, Error::Version { supported: 1, .. }), "{refusal}"),
            6..10 => assert!(matches!(refusal, Error::Length { .. }), "{refusal}"),
            _ => assert!(matches!(refusal, Error::Checksum { .. }), "bit {bit}: {refusal}"),
        }
    }
}

#[test]
fn bytes_behind_the_file_are_refused_but_in_a_slot() {
    for extra in 1..=64 {
        let mut bytes = GOLDEN.to_vec();
        bytes.resize(GOLDEN.len() + extra, 0xff);
        let stated = GOLDEN.len() as u32;
        assert_eq!(open(&bytes), Err(Error::Length { stated, actual: bytes.len() }));
        let slot = ModelFile::new(&bytes);
        assert!(Model::<Libm>::from_slot(slot.bytes()).is_ok());
        assert!(Flow::<3, 8>::from_slot(slot.bytes()).is_ok());
        repair(&mut bytes);
        assert_eq!(open(&bytes), Err(Error::TrailingBytes { count: extra }));
    }
    let short = Model::<Libm>::from_slot(&GOLDEN[..100]).map(|_| ());
    assert_eq!(short, Err(Error::Length { stated: GOLDEN.len() as u32, actual: 100 }));
}

#[test]
fn a_buffer_off_the_boundary_is_refused() {
    let mut shifted = vec![0; GOLDEN.len() + 3];
    let start =
        (0..4).find(|shift| (shifted[*shift..].as_ptr() as usize) % 4 == 1).expect("one in four");
    let place = &mut shifted[start..start + GOLDEN.len()];
    place.copy_from_slice(GOLDEN);
    assert_eq!(Model::<Libm>::from_bytes(place).map(|_| ()), Err(Error::Misaligned));
}

/// The model of rows with a periodic feature that is in the golden files.
fn circular() -> Description {
    golden("circular")
}

#[test]
fn masks_beyond_the_features_are_refused_and_those_within_are_needed_parts() {
    let description = circular();
    let records = [FIRST_RECORD, FIRST_RECORD + 2 * RECORD];
    for (layer, record) in [0, 2].into_iter().zip(records) {
        for (word, bit) in [(11, 3), (11, 31), (12, 0), (12, 31)] {
            let file = with_word(&description, tag::FLOW, record + word, 1 << bit);
            assert_eq!(open(file.bytes()), Err(Error::Shape { layer, word }));
        }
    }
    for (word, bit) in [(6, 3), (6, 31), (7, 0), (7, 31)] {
        let file = with_word(&description, tag::FLOW, word, 1 << bit);
        assert_eq!(open(file.bytes()), Err(Error::BaseSetting { word }));
    }
    let base = Description { layers: Vec::new(), ..description };
    let file = base.to_file();
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("a base alone");
    assert_eq!(model.cargo_features().collect::<Vec<_>>(), ["spline"]);
    let mut affine = small();
    affine.features[0].periodic = true;
    assert_eq!(open(affine.to_file().bytes()), Err(Error::Shape { layer: 0, word: 11 }));
}

/// A closed list: a new variant does not compile until a test produces it.
fn is_tested(error: &Error) -> bool {
    match error {
        // Above and in `laws.rs`.
        Error::TooShort { .. } | Error::Magic | Error::Version { .. } | Error::Length { .. } => {
            true
        }
        Error::Checksum { .. } | Error::Misaligned | Error::TrailingBytes { .. } => true,
        Error::NotFinite { .. } | Error::Temperature | Error::RandomSource => true,
        // Below.
        Error::Malformed { .. } | Error::UnknownSection { .. } | Error::MissingSection { .. } => {
            true
        }
        Error::RepeatedSection { .. } | Error::SectionLength { .. } => true,
        // In `latent.rs`.
        Error::IsLatent | Error::IsFlow | Error::LatentFit { .. } => true,
        Error::LatentSetting { .. } | Error::LatentParameter { .. } => true,
        Error::LatentFlow { .. } | Error::Point { .. } | Error::NotBinary { .. } => true,
        Error::CodeLength { .. } | Error::CodeNotFinite { .. } => true,
        Error::NoModes | Error::Responsibilities { .. } | Error::NoPoints => true,
        // In `features.rs`.
        Error::Feature { .. } => true,
        Error::BaseSetting { .. } | Error::BaseParameters { .. } | Error::Component { .. } => true,
        Error::Context { .. } | Error::ContextName { .. } => true,
        Error::ContextLength { .. } | Error::ContextNotFinite { .. } => true,
        Error::Features { .. } | Error::Width { .. } | Error::Base { .. } | Error::Kind { .. } => {
            true
        }
        Error::Shape { .. } | Error::Parameters { .. } | Error::Parameter { .. } => true,
        Error::Columns { .. } => true,
        Error::Permutation { .. } | Error::Standardisation { .. } | Error::Name { .. } => true,
        Error::Calibration | Error::Provenance | Error::Math { .. } => true,
        Error::Column { .. } => true,
        Error::FeatureName { .. } | Error::RowLength { .. } | Error::Scratch { .. } => true,
        Error::Quantiles { .. } | Error::NoQuantiles => true,
        Error::NoCalibration | Error::Rate | Error::FewRows { .. } => true,
        Error::SelfTest { .. } | Error::NoMember { .. } => true,
        Error::Members { .. } | Error::Member { .. } | Error::NoEnsemble => true,
        Error::LogWeight { .. } | Error::Ensemble { .. } | Error::Score { .. } => true,
        // In `detector.rs`.
        Error::Detector { .. } | Error::NoDetector | Error::DetectorRows { .. } => true,
        Error::ScoreNotFinite | Error::SavedDamaged | Error::SavedOther => true,
        Error::CommissioningFull { .. } => true,
        _ => false,
    }
}

/// Words of section 1: the header, then records of 13.
const FIRST_RECORD: usize = 8;
const RECORD: usize = 13;

#[test]
fn a_block_with_other_columns_than_its_degrees_say_is_refused() {
    let (_, description) =
        goldens().into_iter().find(|(name, _)| name == "autoregressive").expect("a golden file");
    // Hidden layers of 5, 16 and 9 units in 1, 2 and 2 blocks, and one block of outputs.
    for (block, expected) in [1, 5, 5, 8, 16, 9].into_iter().enumerate() {
        for found in [0, expected as u32 - 1, expected as u32 + 1, u32::MAX] {
            let word = FIRST_RECORD + RECORD + block;
            let file = with_word(&description, tag::FLOW, word, found);
            let refusal = Error::Columns { layer: 0, block, found, expected };
            assert_eq!(open(file.bytes()), Err(refusal));
        }
    }
}

#[test]
fn each_word_that_makes_no_sense_has_its_refusal() {
    let nan = f32::NAN.to_bits();
    let description = small();
    let coupling = FIRST_RECORD;
    let permutation = FIRST_RECORD + RECORD;
    let parameters = FIRST_RECORD + 3 * RECORD;
    let Layer::Coupling { network, .. } = &description.layers[0] else {
        panic!("a coupling first")
    };
    assert_eq!((network[0].rows, network[0].columns), (5, 1));
    // 8 rows x (1 bias + 1 column), then 8 rows x (1 bias + 5 columns).
    let words_of_coupling = 8 * 2 + 8 * 6;
    let flow = tag::FLOW;
    let attribution =
        |expected| Error::SectionLength { tag: tag::ATTRIBUTION, actual: 10, expected };
    let calibration =
        |expected| Error::SectionLength { tag: tag::CALIBRATION, actual: 20, expected };
    let cases = [
        (flow, 0, 1, Error::Features { file: 1, firmware: 64 }),
        (flow, 0, 65, Error::Features { file: 65, firmware: 64 }),
        (flow, 1, 1, Error::SectionLength { tag: 5, actual: 12, expected: 16 }),
        (flow, 1, 65, Error::Context { file: 65, firmware: 64 }),
        (flow, 2, 0, Error::Base { kind: 0 }),
        (flow, 3, 7, Error::Math { file: 7, firmware: 1 }),
        (flow, 4, 4, Error::SectionLength { tag: 1, actual: 178, expected: 191 }),
        (
            flow,
            4,
            u32::MAX,
            Error::SectionLength { tag: 1, actual: 178, expected: u32::MAX as usize * 13 + 139 },
        ),
        (flow, 5, 0, Error::SectionLength { tag: 1, actual: 178, expected: 39 }),
        // Periodic features beyond the last one.
        (flow, 6, 8, Error::BaseSetting { word: 6 }),
        (flow, 7, 1, Error::BaseSetting { word: 7 }),
        (flow, coupling, 0, Error::Kind { layer: 0, kind: 0 }),
        (flow, coupling, 99, Error::Kind { layer: 0, kind: 99 }),
        (
            flow,
            coupling + 1,
            4,
            Error::Parameters {
                layer: 0,
                offset: 4,
                length: 64,
                expected_offset: 0,
                expected_length: 64,
            },
        ),
        (
            flow,
            coupling + 2,
            1,
            Error::Parameters {
                layer: 0,
                offset: 0,
                length: 1,
                expected_offset: 0,
                expected_length: 64,
            },
        ),
        (flow, coupling + 3, 1, Error::Shape { layer: 0, word: 3 }),
        (flow, coupling + 3, 4, Error::Shape { layer: 0, word: 3 }),
        (flow, coupling + 3, u32::MAX, Error::Shape { layer: 0, word: 3 }),
        // A coupling of two values has a network of the same size as this one of three.
        (flow, coupling + 3, 2, Error::Shape { layer: 1, word: 3 }),
        // Both halves without a context, and a half that does not exist.
        (flow, coupling + 4, 2, Error::Shape { layer: 0, word: 4 }),
        (flow, coupling + 4, 3, Error::Shape { layer: 0, word: 4 }),
        (flow, coupling + 5, nan, Error::Shape { layer: 0, word: 5 }),
        (flow, coupling + 5, 0, Error::Shape { layer: 0, word: 5 }),
        (flow, coupling + 5, 81f32.to_bits(), Error::Shape { layer: 0, word: 5 }),
        (flow, coupling + 6, 0, Error::Shape { layer: 0, word: 6 }),
        (flow, coupling + 6, 4, Error::Shape { layer: 0, word: 6 }),
        (flow, coupling + 6, 2, Error::Shape { layer: 0, word: 8 }),
        (flow, coupling + 7, 0, Error::Shape { layer: 0, word: 7 }),
        (flow, coupling + 7, u32::MAX, Error::Shape { layer: 0, word: 7 }),
        (
            flow,
            coupling + 7,
            9,
            Error::Parameters {
                layer: 0,
                offset: 0,
                length: 64,
                expected_offset: 0,
                expected_length: 112,
            },
        ),
        (flow, coupling + 7, 65_535, Error::Shape { layer: 0, word: 7 }),
        (flow, coupling + 8, 1, Error::Shape { layer: 0, word: 8 }),
        // Periodic features of an affine map.
        (flow, coupling + 11, 1, Error::Shape { layer: 0, word: 11 }),
        (flow, coupling + 12, 1, Error::Shape { layer: 0, word: 12 }),
        (flow, permutation + 6, 1, Error::Shape { layer: 1, word: 6 }),
        (flow, parameters + 2, nan, Error::Parameter { layer: 0, index: 2 }),
        (flow, parameters, f32::INFINITY.to_bits(), Error::Parameter { layer: 0, index: 0 }),
        (flow, parameters + words_of_coupling, 3, Error::Permutation { layer: 1, index: 0 }),
        (tag::STANDARDISATION, 0, nan, Error::Standardisation { feature: 0 }),
        (tag::STANDARDISATION, 5, 0, Error::Standardisation { feature: 1 }),
        (tag::STANDARDISATION, 5, (-1f32).to_bits(), Error::Standardisation { feature: 1 }),
        (tag::STANDARDISATION, 5, 1, Error::Standardisation { feature: 1 }),
        (tag::STANDARDISATION, 10, 1e9f32.to_bits(), Error::Standardisation { feature: 2 }),
        // Its deviations.
        (tag::SCORE, 0, nan, Error::Score { member: 0 }),
        (tag::SCORE, 1, 0, Error::Score { member: 0 }),
        (tag::SCORE, 2, f32::INFINITY.to_bits(), Error::Score { member: 0 }),
        (tag::SCORE, 3, (-1f32).to_bits(), Error::Score { member: 0 }),
        // Fewer rows than there are scores.
        (tag::CALIBRATION, 0, 60, Error::Calibration),
        (tag::CALIBRATION, 1, u32::MAX, calibration(8_589_934_601)),
        (tag::CALIBRATION, 1, 3, calibration(22)),
        (tag::CALIBRATION, 2, u32::MAX, calibration(8_589_934_597)),
        (tag::CALIBRATION, 2, 5, calibration(22)),
        (tag::CALIBRATION, 2, 2, calibration(16)),
        // A threshold's rate and score.
        (tag::CALIBRATION, 3, nan, Error::Calibration),
        (tag::CALIBRATION, 3, 1.5f32.to_bits(), Error::Calibration),
        (tag::CALIBRATION, 4, nan, Error::Calibration),
        // The second score, and what is above it.
        (tag::CALIBRATION, 9, nan, Error::Calibration),
        (tag::CALIBRATION, 9, (-1.5f32).to_bits(), Error::Calibration),
        (tag::CALIBRATION, 10, 60, Error::Calibration),
        // The tail's start, scale, shape, share and error.
        (tag::CALIBRATION, 15, nan, Error::Calibration),
        (tag::CALIBRATION, 16, 0, Error::Calibration),
        (tag::CALIBRATION, 17, (-0.1f32).to_bits(), Error::Calibration),
        (tag::CALIBRATION, 17, 1e-4f32.to_bits(), Error::Calibration),
        (tag::CALIBRATION, 18, 0, Error::Calibration),
        (tag::CALIBRATION, 19, nan, Error::Calibration),
        (tag::ATTRIBUTION, 0, 0, attribution(4)),
        (tag::ATTRIBUTION, 0, 4, attribution(13)),
        (tag::ATTRIBUTION, 0, u32::MAX, attribution(12_884_901_886)),
        (tag::ATTRIBUTION, 3, nan, Error::Quantiles { feature: 0 }),
        (tag::ATTRIBUTION, 4, f32::INFINITY.to_bits(), Error::Quantiles { feature: 1 }),
        (tag::ATTRIBUTION, 7, f32::MAX.to_bits(), Error::Quantiles { feature: 2 }),
        (tag::NAMES, 0, 0xffff_ff0f, Error::Name { feature: 0 }),
        (tag::PROVENANCE, 0, u32::MAX, Error::Provenance),
    ];
    for (tag, word, value, refusal) in cases {
        assert!(is_tested(&refusal));
        let file = with_word(&description, tag, word, value);
        let found = Model::<Libm>::from_bytes(file.bytes()).map(|_| ());
        assert_eq!(found, Err(refusal), "section {tag}, word {word} = {value:#x}");
    }
    // The same feature twice.
    let mut twice = small();
    twice.layers[1] = Layer::Permutation(vec![2, 0, 2]);
    assert_eq!(open(twice.to_file().bytes()), Err(Error::Permutation { layer: 1, index: 2 }));
}

#[test]
fn parts_that_make_no_sense_have_their_refusal() {
    let with = |layers, base| Description { layers, base, ..small() };
    let component = |log_weight, mean: f32, diagonal: f32| Component {
        log_weight,
        mean: vec![mean; 3],
        precision_factor: vec![diagonal; 3],
    };
    let mixture = |components| with(Vec::new(), Base::Mixture(components));
    let sound = vec![component(0.0, 0.0, 1.0)];
    let heavy_tailed = |degrees_of_freedom, components| {
        with(Vec::new(), Base::StudentTMixture { degrees_of_freedom, components })
    };
    let norm = |scale: f32| Layer::ActNorm { shift: vec![0.0; 3], scale: vec![1.0, scale, 1.0] };
    let linear =
        |channels, upper: Vec<f32>| Layer::LuLinear { channels, lower: upper.clone(), upper };
    let ones = |channels| linear(channels, vec![1.0; channels * channels]);
    let mut upper = vec![1.0; 9];
    upper[4] = 0.0;
    // Of features 0 and 2, the last knot of the latter as given.
    let marginal = |last: [f32; 3]| {
        let knots = |last| vec![[-1.0, -1.5, 0.8], [0.0, 0.1, 1.2], last];
        let layer = Layer::Marginal(vec![knots([1.0, 1.0, 1.0]), Vec::new(), knots(last)]);
        with(vec![layer], Base::StandardNormal)
    };
    let marginal_refusal = |knot: usize| Error::Parameter { layer: 0, index: 3 * knot };
    let split = |mapped, layer| with(vec![norm(1.0), Layer::Split(mapped), layer], Base::default());
    let order = |size: u32| Layer::Permutation((0..size).collect());
    let cases = [
        // Channels that do not divide the row, or the part of it that is mapped.
        (with(vec![ones(2)], Base::StandardNormal), Error::Shape { layer: 0, word: 4 }),
        (with(vec![ones(4)], Base::StandardNormal), Error::Shape { layer: 0, word: 4 }),
        (with(vec![ones(0)], Base::StandardNormal), Error::Shape { layer: 0, word: 4 }),
        (split(2, ones(3)), Error::Shape { layer: 1, word: 4 }),
        // More values than the row has, than the layer before maps, or too few.
        (split(4, order(4)), Error::Shape { layer: 1, word: 3 }),
        (split(1, order(1)), Error::Shape { layer: 1, word: 3 }),
        (split(0, order(0)), Error::Shape { layer: 1, word: 3 }),
        (
            with(vec![Layer::Split(2), order(2), Layer::Split(3), order(3)], Base::StandardNormal),
            Error::Shape { layer: 1, word: 3 },
        ),
        (with(vec![norm(0.0)], Base::StandardNormal), Error::Parameter { layer: 0, index: 4 }),
        (with(vec![norm(1e-9)], Base::StandardNormal), Error::Parameter { layer: 0, index: 4 }),
        (
            with(vec![linear(3, upper)], Base::StandardNormal),
            // 3 words of L, then columns of 1 and 2 words.
            Error::Parameter { layer: 0, index: 5 },
        ),
        (marginal([0.0, 1.0, 1.0]), marginal_refusal(5)),
        (marginal([1.0, 0.1, 1.0]), marginal_refusal(5)),
        (marginal([f32::NAN, 1.0, 1.0]), marginal_refusal(5)),
        (marginal([1.0, 1.0, 0.0]), marginal_refusal(5)),
        (marginal([1.0, 1.0, f32::INFINITY]), Error::Parameter { layer: 0, index: 17 }),
        (
            with(Vec::new(), Base::StudentT { degrees_of_freedom: 0.5 }),
            Error::BaseSetting { word: 6 },
        ),
        (
            with(Vec::new(), Base::StudentT { degrees_of_freedom: f32::NAN }),
            Error::BaseSetting { word: 6 },
        ),
        (mixture(Vec::new()), Error::BaseSetting { word: 6 }),
        (mixture(vec![component(0.5, 0.0, 1.0)]), Error::Component { number: 0 }),
        (mixture(vec![component(0.0, f32::NAN, 1.0)]), Error::Component { number: 0 }),
        (mixture(vec![component(0.0, 0.0, 0.0)]), Error::Component { number: 0 }),
        (mixture(vec![component(0.0, 0.0, 1.0); 2]), Error::Component { number: 2 }),
        (mixture(vec![component(-1.0, 0.0, 1.0)]), Error::Component { number: 1 }),
        (heavy_tailed(0.99, sound.clone()), Error::BaseSetting { word: 7 }),
        (heavy_tailed(1.1e4, sound.clone()), Error::BaseSetting { word: 7 }),
        (heavy_tailed(-3.0, sound.clone()), Error::BaseSetting { word: 7 }),
        (heavy_tailed(f32::NAN, sound.clone()), Error::BaseSetting { word: 7 }),
        (heavy_tailed(3.0, Vec::new()), Error::BaseSetting { word: 6 }),
        (heavy_tailed(3.0, vec![component(0.0, 0.0, 0.0)]), Error::Component { number: 0 }),
        (heavy_tailed(3.0, vec![component(-1.0, 0.0, 1.0)]), Error::Component { number: 1 }),
    ];
    for degrees_of_freedom in [1.0, 1e4] {
        let file = heavy_tailed(degrees_of_freedom, sound.clone()).to_file();
        assert_eq!(open(file.bytes()), Ok(()));
    }
    for (description, refusal) in cases {
        assert!(is_tested(&refusal));
        assert_eq!(open(description.to_file().bytes()), Err(refusal));
    }
    // The number of knots, and the bits of the features.
    let sound = marginal([1.0, 1.0, 1.0]);
    assert_eq!(open(sound.to_file().bytes()), Ok(()));
    for (word, value) in [(4, 0), (4, 1), (4, u32::MAX), (5, 0), (5, 0b1101), (6, 1), (7, 1)] {
        let file = with_word(&sound, tag::FLOW, FIRST_RECORD + word, value);
        assert_eq!(open(file.bytes()), Err(Error::Shape { layer: 0, word }), "{word}: {value:#b}");
    }
    for layer in [ones(1), ones(2)] {
        assert_eq!(open(split(2, layer).to_file().bytes()), Ok(()));
    }
    // A word between the layers and the end that no part owns.
    let short = with_word(&with(vec![norm(1.0)], Base::StandardNormal), tag::FLOW, 2, 3);
    assert!(open(short.bytes()).is_err());
    let owned = mixture(vec![component(0.0, 0.0, 1.0)]);
    assert_eq!(open(owned.to_file().bytes()), Ok(()));
    let ownerless = with_word(&owned, tag::FLOW, 2, 1);
    // Its first setting is then a mask.
    assert_eq!(open(ownerless.bytes()), Err(Error::BaseParameters { found: 7, expected: 0 }));
    let more = with_word(&owned, tag::FLOW, 6, 2);
    assert_eq!(open(more.bytes()), Err(Error::BaseParameters { found: 7, expected: 14 }));
}

#[test]
fn sections_missing_repeated_unknown_or_cut_are_refused() {
    let all = sections(&small().to_file());
    for (tag, _) in &all {
        let without: Vec<_> = all.iter().filter(|(other, _)| other != tag).cloned().collect();
        let expected = match *tag {
            tag::FLOW | tag::NAMES | tag::STANDARDISATION => {
                Err(Error::MissingSection { tag: *tag })
            }
            _ => Ok(()),
        };
        assert_eq!(open(envelope(&without).bytes()), expected, "without section {tag}");
        let again: Vec<_> =
            all.iter().chain(all.iter().filter(|(other, _)| other == tag)).cloned().collect();
        let expected = match *tag {
            // A second flow needs its share of the mixture.
            tag::FLOW => Error::MissingSection { tag: tag::SHARES },
            tag => Error::RepeatedSection { tag },
        };
        assert_eq!(open(envelope(&again).bytes()), Err(expected));
        // A word more or less in each.
        for change in [-1isize, 1] {
            let mut altered = all.clone();
            let (_, contents) = altered.iter_mut().find(|(other, _)| other == tag).expect("there");
            contents.resize((contents.len() as isize + 4 * change) as usize, b'x');
            let found = open(envelope(&altered).bytes());
            assert_eq!(
                found.is_ok(),
                *tag == tag::PROVENANCE,
                "section {tag}, {change} words: {found:?}"
            );
        }
    }
    let with = |tag| [all.clone(), vec![(tag, vec![1, 2, 3])]].concat();
    assert_eq!(open(envelope(&with(999)).bytes()), Err(Error::UnknownSection { tag: 999 }));
    assert_eq!(open(envelope(&with(1000)).bytes()), Ok(()), "an even section may be skipped");
    // A count of sections that the bytes do not hold.
    let mut bytes = GOLDEN.to_vec();
    bytes[10] += 1;
    repair(&mut bytes);
    assert_eq!(open(&bytes), Err(Error::Malformed { section: 8 }));
}

/// The golden file of this name.
fn golden(name: &str) -> Description {
    let found = goldens().into_iter().find(|(other, _)| other == name);
    found.expect("a golden file of this name").1
}

#[test]
fn offsets_and_steps_are_read_and_absurd_ones_refused() {
    let description = golden("columns");
    let file = description.to_file();
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("a golden file");
    let columns = [&description.features[..], &description.context].concat();
    assert_eq!(columns.len(), 4);
    for (index, column) in columns.iter().enumerate() {
        assert_eq!((model.offset(index), model.step(index)), (column.offset, column.step));
    }
    assert_eq!((model.offset(4), model.step(4)), (0.0, 0.0));
    let flow = Flow::<3, 8, Libm, 1>::from_bytes(file.bytes()).expect("fits");
    assert_eq!(flow.offset(0), columns[0].offset);

    let [infinite, nan] = [f64::INFINITY, f64::NAN].map(|value| (value.to_bits() >> 32) as u32);
    for column in 0..columns.len() {
        for (word, value) in [
            (1, infinite),
            (1, infinite | 1 << 31),
            (1, nan),
            (2, f32::NAN.to_bits()),
            (2, f32::INFINITY.to_bits()),
            (2, (-1f32).to_bits()),
        ] {
            let file = with_word(&description, tag::COLUMNS, 3 * column + word, value);
            assert_eq!(open(file.bytes()), Err(Error::Column { column }), "{word}: {value:#x}");
        }
    }
    let all = sections(&file);
    let columns = all.iter().position(|(other, _)| *other == tag::COLUMNS).expect("the section");
    let mut without = all.clone();
    let section = without.remove(columns);
    let bare = envelope(&without);
    let model = Model::<Libm>::from_bytes(bare.bytes()).expect("most files have none");
    assert!((0..4).all(|index| model.offset(index) == 0.0 && model.step(index) == 0.0));
    let again = [all.clone(), vec![section]].concat();
    let repeated = Error::RepeatedSection { tag: tag::COLUMNS };
    assert_eq!(open(envelope(&again).bytes()), Err(repeated));
    for actual in [0, 9, 11, 13, 24] {
        let mut altered = all.clone();
        altered[columns].1.resize(4 * actual, 0);
        let refusal = Error::SectionLength { tag: tag::COLUMNS, actual, expected: 12 };
        assert_eq!(open(envelope(&altered).bytes()), Err(refusal));
    }
    // The small model, which has neither, takes no section for them.
    assert!(sections(&small().to_file()).iter().all(|(other, _)| *other != tag::COLUMNS));
}

/// `members` flows, each the small one's.
fn ensemble(members: usize) -> Description {
    sharing(members, vec![-(members as f32).ln(); members])
}

/// The same in other shares.
fn sharing(members: usize, log_shares: Vec<f32>) -> Description {
    let Description { features, context, layers, base, .. } = small();
    let other = Member { features, context, layers, base };
    let balances = vec![small().balances[0]; members];
    let others = vec![other; members - 1];
    Description { others, log_shares, balances, self_test: Vec::new(), ..small() }
}

#[test]
fn flows_that_make_no_ensemble_are_refused() {
    let refused = |description: &Description, refusal: Error| {
        assert!(is_tested(&refusal));
        assert_eq!(open(description.to_file().bytes()), Err(refusal));
    };
    for members in 2..=4 {
        assert_eq!(open(ensemble(members).to_file().bytes()), Ok(()));
    }
    refused(&ensemble(5), Error::Members { maximum: 4 });

    let equal = |members: usize| vec![-(members as f32).ln(); members];
    let mixture = |log_shares| sharing(3, log_shares);
    let length = |tag, actual, expected| Error::SectionLength { tag, actual, expected };
    refused(&mixture(equal(2)), length(tag::SHARES, 2, 3));
    refused(&mixture(equal(4)), length(tag::SHARES, 4, 3));
    for members in [1, 2, 4] {
        let balances = vec![small().balances[0]; members];
        let actual = 4 * members;
        refused(&Description { balances, ..ensemble(3) }, length(tag::SCORE, actual, 12));
    }
    refused(&mixture(vec![0.5, -1.0, -1.0]), Error::LogWeight { member: 0 });
    refused(&mixture(vec![-1.0, f32::NAN, -1.0]), Error::LogWeight { member: 1 });
    refused(&mixture(vec![-1.0, -1.0, f32::NEG_INFINITY]), Error::LogWeight { member: 2 });
    refused(&mixture(vec![-2.0; 3]), Error::LogWeight { member: 3 });

    // Flows that do not take the same rows.
    let mut wider = ensemble(2);
    let other = &mut wider.others[0];
    (other.layers, other.features) = (Vec::new(), Random::new(1).features(4));
    refused(&wider, Error::Member { member: 1 });
    let mut given = ensemble(3);
    let other = &mut given.others[1];
    (other.layers, other.context) = (Vec::new(), Random::new(1).features(1));
    refused(&given, Error::Member { member: 2 });
    let mut sections = sections(&ensemble(2).to_file());
    sections[1].1[12] = 2;
    assert_eq!(open(envelope(&sections).bytes()), Err(Error::Member { member: 1 }));
}

#[test]
fn an_ensemble_without_its_sections_is_refused() {
    let mut unlike = ensemble(3);
    unlike.others[0].features[0].centre += 1.0;
    let all = sections(&unlike.to_file());
    let without = |tag, count| {
        let mut left = count;
        let mut keep = |other| {
            other != tag || left == 0 || {
                left -= 1;
                false
            }
        };
        all.iter().filter(|(other, _)| keep(*other)).cloned().collect::<Vec<_>>()
    };
    let cases = [
        (without(tag::SHARES, 1), Error::MissingSection { tag: tag::SHARES }),
        (without(tag::STANDARDISATION, 1), Error::MissingSection { tag: tag::STANDARDISATION }),
        (without(tag::FLOW, 1), Error::RepeatedSection { tag: tag::STANDARDISATION }),
    ];
    for (sections, refusal) in cases {
        assert_eq!(open(envelope(&sections).bytes()), Err(refusal));
    }
    let again = [all.clone(), vec![(tag::SHARES, vec![1, 0, 0, 0])]].concat();
    let repeated = Error::RepeatedSection { tag: tag::SHARES };
    assert_eq!(open(envelope(&again).bytes()), Err(repeated));
    let alone = [sections(&small().to_file()), vec![(tag::SHARES, vec![1, 0, 0, 0])]].concat();
    assert_eq!(open(envelope(&alone).bytes()), Err(Error::NoEnsemble));
}

#[test]
fn flows_of_one_standardisation_share_it() {
    let shared = sections(&ensemble(3).to_file());
    let standardisation = shared.iter().find(|(other, _)| *other == tag::STANDARDISATION).cloned();
    let own = vec![standardisation.expect("a standardisation"); 2];
    let [shared, apart] = [&shared, &[&shared[..], &own].concat()].map(|all| envelope(all));
    assert!(shared.bytes().len() < apart.bytes().len());
    let mut random = Random::new(3);
    for _ in 0..20 {
        let row = random.row(&small().features);
        assert_eq!(models::log_density(&shared, &row), models::log_density(&apart, &row));
    }
}

#[test]
fn a_firmware_of_another_size_is_told_which() {
    let file = small().to_file();
    let features = Flow::<4, 8>::from_bytes(file.bytes()).map(|_| ());
    assert_eq!(features, Err(Error::Features { file: 3, firmware: 4 }));
    let width = Flow::<3, 7>::from_bytes(file.bytes()).map(|_| ());
    assert_eq!(width, Err(Error::Width { file: 8, firmware: 7 }));
}

#[test]
fn wrong_use_is_told_apart() {
    let description = small();
    let file = description.to_file();
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("fits");
    let mut memory = Memory::of(&model);
    let short = model.log_density(&[1.0; 2], &mut memory.scratch());
    assert_eq!(short, Err(Error::RowLength { found: 2, expected: 3 }));
    let (mut a, mut b, mut values) = ([0.0; 3], [0.0; 6], [[0.0; 8]; 3]);
    let (mut full, mut cut) = ([[0; 8]; 2], [0; 7]);
    let ([c, d, e], [k, l]) = (&mut values, &mut full);
    let units = [Units::new(c, k), Units::new(d, l), Units::new(e, &mut cut)];
    let mut tight = Scratch::new([&mut a, &mut b], &mut [], units);
    assert_eq!(
        model.log_density(&[1.0; 3], &mut tight),
        Err(Error::Scratch { features: 3, context: 0, width: 8 })
    );

    let names = ["feature 0", "feature 1", "feature 2"];
    assert_eq!(model.expect_features(&names), Ok(()));
    assert_eq!(
        model.expect_features(&["feature 0", "feature 2", "feature 1"]),
        Err(Error::FeatureName { index: 1 })
    );
    assert_eq!(model.expect_features(&names[..2]), Err(Error::RowLength { found: 2, expected: 3 }));

    let bare = Description { calibration: None, quantiles: Vec::new(), ..small() }.to_file();
    let flow = Flow::<3, 8>::from_bytes(bare.bytes()).expect("fits");
    assert_eq!(flow.is_anomaly(&[0.0; 3]), Err(Error::NoCalibration));
    assert_eq!(flow.is_anomaly_at(&[0.0; 3], 0.1), Err(Error::NoCalibration));
    assert_eq!(flow.p_value(1.0), Err(Error::NoCalibration));
    assert_eq!(flow.attribute(&[0.0; 3]), Err(Error::NoQuantiles));

    for result in 0..2 {
        let mut broken = small();
        let (_, results) = &mut broken.self_test[1];
        let computed = results[result].to_bits();
        let expected = computed ^ 1;
        results[result] = f32::from_bits(expected);
        let file = broken.to_file();
        let flow = Flow::<3, 8>::from_bytes(file.bytes()).expect("fits");
        assert_eq!(flow.self_test(), Err(Error::SelfTest { vector: 1, computed, expected }));
    }
}

/// Every header and record word x absurd values, checksums right: a typed refusal, or a model
/// whose every finite row has a finite score.
#[test]
fn a_forged_file_never_gives_a_wrong_number() {
    let values = [
        0,
        1,
        2,
        3,
        u32::MAX,
        u32::MAX - 1,
        1 << 31,
        1 << 30,
        0x7f7f_ffff,
        0xff7f_ffff,
        0x0080_0000,
        1 << 16,
    ];
    let mut loaded = 0;
    let mut check = |file: ModelFile| {
        let Ok(model) = Model::<Libm>::from_bytes(file.bytes()) else { return };
        loaded += 1;
        let mut memory = Memory::of(&model);
        let mut random = Random::new(4);
        for scale in [1.0, 1e-30, 1e30] {
            let row: Vec<f32> = (0..model.features()).map(|_| scale * random.uniform()).collect();
            let context = vec![scale; model.context()];
            let score = model.given(&context).score(&row, &mut memory.scratch());
            let score = score.expect("a finite row");
            assert!(score.is_finite(), "{score}");
            let Ok(p_value) = model.p_value(score) else { continue };
            assert!((0.0..=1.0).contains(&p_value), "{p_value}");
            for rate in [0.5, 0.01, 1e-9] {
                let threshold = model.threshold_at(rate);
                assert!(
                    threshold.is_ok_and(f32::is_finite)
                        || matches!(threshold, Err(Error::FewRows { .. }))
                );
            }
            // An ensemble has no such map.
            if !model.log_shares().is_empty() {
                continue;
            }
            let mut row = row;
            let forward = model.given(&context).forward(&mut row, &mut memory.scratch());
            forward.expect("a finite row");
            assert!(row.iter().all(|value| value.is_finite()), "{row:?}");
        }
    };
    let (image, heavy_tailed) = (golden("image"), golden("mixture_student_t"));
    for description in [small(), image, ensemble(2), circular(), heavy_tailed, golden("columns")] {
        for (tag, contents) in sections(&description.to_file()) {
            for word in 0..contents.len() / 4 {
                for value in values {
                    check(with_word(&description, tag, word, value));
                }
            }
        }
    }
    // Every weight at once as large as a float can be: sums overflow to infinity and NaN.
    for sign in [1.0f32, -1.0] {
        let mut description = small();
        for layer in &mut description.layers {
            let Layer::Coupling { network, .. } = layer else { continue };
            for (number, linear) in network.iter_mut().enumerate() {
                for (index, weight) in linear.weights.iter_mut().enumerate() {
                    *weight = if (index + number) % 2 == 0 { f32::MAX } else { sign * f32::MAX };
                }
            }
        }
        check(description.to_file());
    }
    assert!(loaded > 100, "only {loaded} of the forged files load: the test tests nothing");
}
