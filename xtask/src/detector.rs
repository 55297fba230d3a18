//! That the device's detector says what the host's does.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use flowlet::detector::{Commissioning, Detector, Settings, State};
use flowlet::write::ModelFile;
use flowlet::{Calibration, Error, LatentMemory, LatentModel, Libm, Memory, Model};

use crate::data::{self, Data, Rows};
use crate::host_tool::HostTool;
use crate::{emulator, firmware, models, parallel};

/// Options of models that differ in how they score.
const VARIANTS: [&str; 3] = [
    "--family real-nvp --epochs 2 --false-alarms 1/1000rows --follow-drift 0.5",
    "--family maf --layers 2 --hidden 8 --epochs 2 --context f8 --false-alarms 1/month --every 1s --confirm 3/10",
    "--family vae --epochs 2 --hidden 16 --false-alarms 1/100rows --follow-drift 2",
];
/// Every so-manieth bundled test row is watched.
const STEP: usize = 4;
/// Extreme rows between them.
const EXTREMES: usize = 64;
/// As in the firmware.
const SCORES: usize = 150;

/// Trains shortly on the bundled rows and watches test rows, extreme ones, broken sensors and stuck ones, on the host
/// and on an emulated Cortex-M4: states, evidence and offsets have the same bits.
pub fn check() -> Result<()> {
    let flowlet = HostTool::build()?;
    let data = Data::find(Path::new(data::BUNDLED))?;
    parallel::each(
        VARIANTS.into_iter().enumerate().collect(),
        |(number, options)| {
            let folder = crate::results(&format!("detector/{number}"))?;
            compare(&flowlet, &data, &crate::words(options), &folder).context(*options)
        },
        |(_, options), compared| {
            let (numbers, states) = compared?;
            println!("{options}: {numbers} numbers of the same bits, {states} kinds of states");
            Ok(())
        },
    )
}

/// How many numbers agree, and how many kinds of states there were.
fn compare(
    flowlet: &HostTool,
    data: &Data,
    options: &[String],
    folder: &Path,
) -> Result<(usize, usize)> {
    let path = folder.join("model.flow");
    flowlet.train_quietly(&data.training, Some(&data.validation), options, &path)?;
    let rows = rows(data, flowlet, &path)?;
    rows.write(&folder.join("rows.f32"))?;
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {path:?}"))?;
    let host =
        states(&ModelFile::new(&bytes), &rows).map_err(|error| anyhow!("{path:?}: {error}"))?;
    emulator::run(&firmware::build("detect", &path, folder)?, folder)?;
    let device = data::read_floats(&folder.join("states.f32"))?;
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    ensure!(bits(&host.numbers) == bits(&device), "the device's states differ from the host's");
    ensure!(host.numbers.iter().all(|value| value.is_finite()), "a number is not finite");
    ensure!(host.kinds.len() == 6, "of 6 kinds of states there were only {:?}", host.kinds);
    Ok((host.numbers.len(), host.kinds.len()))
}

/// Normal rows first, for the commissioning, then all that there may be.
fn rows(data: &Data, flowlet: &HostTool, model: &Path) -> Result<Rows> {
    let mut rows = Rows::read(&data.validation, flowlet, model)?.every(2).0;
    rows.truncate(2 * SCORES);
    let test = Rows::read(&data.test, flowlet, model)?.every(STEP).0;
    let length = test[0].len();
    let extremes = models::extreme_rows(EXTREMES, length);
    for (number, row) in test.into_iter().enumerate() {
        let column = number % length;
        match number % 40 {
            7 => rows.push(extremes[number % EXTREMES].clone()),
            17 => {
                let mut missing = row.clone();
                missing[column] = [f32::NAN, f32::INFINITY][number % 2];
                rows.push(missing);
            }
            // Some ever so slightly different rows with one sensor stuck, longer than any may be.
            27 => rows.extend(std::iter::repeat_n(row.clone(), 20)),
            _ => {}
        }
        rows.push(row);
    }
    Ok(Rows(rows))
}

/// What the firmware `detect` writes, and which kinds of states there were.
#[derive(Default)]
struct States {
    numbers: Vec<f32>,
    kinds: std::collections::BTreeSet<u32>,
}

/// Does on the host what the firmware `detect` does.
fn states(file: &ModelFile, rows: &Rows) -> Result<States, Error> {
    match Model::<Libm>::from_bytes(file.bytes()) {
        Err(Error::IsLatent) => {
            let model = LatentModel::<Libm>::from_bytes(file.bytes())?;
            let mut memory = LatentMemory::of(&model);
            let judgement = (model.detector_settings(), model.calibration());
            watch(judgement, model.features(), rows, |x, context| {
                model.given(context).score(x, &mut memory.scratch())
            })
        }
        model => {
            let model = model?;
            let mut memory = Memory::of(&model);
            let judgement = (model.detector_settings(), model.calibration());
            watch(judgement, model.features(), rows, |x, context| {
                model.given(context).score(x, &mut memory.scratch())
            })
        }
    }
}

fn watch(
    (settings, calibration): (Option<Settings>, Option<Calibration>),
    features: usize,
    rows: &Rows,
    mut score: impl FnMut(&[f32], &[f32]) -> Result<f32, Error>,
) -> Result<States, Error> {
    let settings = settings.ok_or(Error::NoDetector)?;
    let calibration = calibration.ok_or(Error::NoCalibration)?;
    let mut commissioning = Commissioning::<SCORES>::new();
    let mut states = States::default();
    let mut rest = rows.0.iter();
    let mut detector = Detector::<{ flowlet::MAX_FEATURES }>::new(settings, calibration)?;
    for row in rest.by_ref() {
        let (state, score) = states.add(&mut detector, row, features, &mut score)?;
        if state == State::Normal {
            commissioning.add(score)?;
            if commissioning.is_full() {
                break;
            }
        }
    }
    let site = commissioning.calibration(&calibration)?;
    states.numbers.extend(site.thresholds().map(|threshold| threshold.score));
    let mut detector = Detector::<{ flowlet::MAX_FEATURES }>::new(settings, site)?;
    for row in rest {
        states.add(&mut detector, row, features, &mut score)?;
    }
    Ok(states)
}

impl States {
    /// Watches a row; the state after it, and its score where it was asked for.
    fn add<const D: usize>(
        &mut self,
        detector: &mut Detector<D>,
        row: &[f32],
        features: usize,
        mut score: impl FnMut(&[f32], &[f32]) -> Result<f32, Error>,
    ) -> Result<(State, f32), Error> {
        let (x, context) = row.split_at(features);
        let mut own = 0.0;
        let state = detector.step(x, || {
            own = score(x, context)?;
            Ok(own)
        })?;
        let code = state.code();
        self.kinds.insert(if code < 1000 { code } else { 2 + code / 1000 });
        let (evidence, offset) = (detector.evidence(), detector.offset());
        self.numbers.extend([code as f32, evidence, offset, detector.charge()]);
        Ok((state, own))
    }
}
