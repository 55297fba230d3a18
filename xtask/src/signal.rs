//! That windows over a raw signal give the same rows on every core, and what they cost.

use anyhow::{Context, Result, anyhow, ensure};
use flowlet::signal::{Detrending, Entry, Feature, Recipe, Samples, Schedule, Taper};
use flowlet::write::{Channel, Description, ModelFile, Signal};
use flowlet::{Libm, Memory, Model};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::data::{self, Rows};
use crate::{cycles, emulator, firmware, models};

/// Samples of a window.
const WINDOW: usize = 256;
/// Samples that are given.
const SAMPLES: usize = 2000;
/// Where one is NaN.
const GAP: usize = 700;
/// Cycles of a row, each channel, at most.
const CYCLES_A_CHANNEL: f64 = 60e3;

/// What condition monitoring takes of a channel.
const USUAL: [(Feature, bool); 5] = [
    (Feature::Mean, false),
    (Feature::Deviation, true),
    (Feature::CrestFactor, false),
    (Feature::Kurtosis, false),
    (Feature::Skewness, false),
];
/// The other features of a channel.
const OTHERS: [(Feature, bool); 7] = [
    (Feature::RootMeanSquare, false),
    (Feature::PeakToPeak, true),
    (Feature::ZeroCrossings, false),
    (Feature::DominantFrequency, false),
    (Feature::Correlation { with: 1 }, false),
    (Feature::BandEnergy { first: 100, end: WINDOW / 2 + 1 }, false),
    (Feature::Kurtosis, true),
];

/// Feeds a signal sample by sample to the firmware `signal` on a core of each kind, and compares every
/// bit of its rows and scores with the host's; counts what a sample and a row cost on a Cortex-M4.
pub fn check() -> Result<()> {
    let folder = crate::results("signal")?;
    let all = |channel: usize| {
        let others = OTHERS.into_iter().filter(move |_| channel == 0);
        USUAL.into_iter().chain(others).chain(bands())
    };
    let every = [
        ("every feature", Detrending::Line, Taper::Hann),
        ("without detrending and taper", Detrending::None, Taper::None),
    ];
    for (name, detrending, taper) in every {
        let signal = Signal { detrending, taper, ..signal(2, all) };
        let folder = crate::results(&format!("signal/{}", name.replace(' ', "_")))?;
        let path = folder.join("model.flow");
        let file = model(&signal);
        std::fs::write(&path, file.bytes())?;
        let samples = samples(2);
        samples.write(&folder.join("samples.f32"))?;
        let host = rows(&file, &samples).map_err(|error| anyhow!("{name}: {error}"))?;
        ensure!(host.iter().all(|value| value.is_finite()), "{name}: a number is not finite");
        for machine in emulator::MACHINES {
            let elf = firmware::build_for(machine.target, "signal", &path, &folder)?;
            let printed = String::from_utf8(emulator::run_on(machine, &elf, &folder)?)?;
            let device = data::read_floats(&folder.join("results.f32"))?;
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            ensure!(bits(&host) == bits(&device), "{name}, {machine:?}: the numbers differ");
            ensure!(printed.starts_with("gaps 1,"), "{name}, {machine:?}: {printed}");
            println!("{name}, {}: {} numbers of the same bits", machine.target, host.len());
        }
    }

    // What a row costs of the usual features.
    let signal = signal(2, |_| USUAL.into_iter().chain(bands()));
    let path = folder.join("model.flow");
    std::fs::write(&path, model(&signal).bytes())?;
    samples(2).write(&folder.join("samples.f32"))?;
    let elf = firmware::build("signal", &path, &folder)?;
    let costs = cycles::measure(&elf, cycles::Core::CortexM4F, &folder)?;
    let mut calls: Vec<f64> = costs
        .get("push")
        .context("no sample was pushed")?
        .iter()
        .map(|cost| cost.cycles as f64)
        .collect();
    calls.sort_unstable_by(f64::total_cmp);
    let most = calls[calls.len() - 1] / signal.channels.len() as f64;
    let median = calls[calls.len() / 2];
    let bytes = std::fs::read(&elf)?;
    let sizes = firmware::sizes(&bytes, std::fs::metadata(&path)?.len())?;
    println!(
        "windows of {WINDOW} samples with 6 bands: {most:.0} cycles a row and channel, {median:.0} a \
         sample, {} bytes of .data and {} of .bss",
        sizes.data, sizes.bss
    );
    ensure!(most <= CYCLES_A_CHANNEL, "{most} cycles a row and channel, above {CYCLES_A_CHANNEL}");
    ensure!(sizes.data + sizes.bss == 0, "the crate holds static memory");
    Ok(())
}

/// Six bands of equal widths in octaves.
fn bands() -> impl Iterator<Item = (Feature, bool)> {
    let edges = [1, 2, 5, 11, 25, 57, WINDOW / 2 + 1];
    (0..6).map(move |band| (Feature::BandEnergy { first: edges[band], end: edges[band + 1] }, true))
}

fn signal<I: Iterator<Item = (Feature, bool)>>(
    channels: usize,
    features: impl Fn(usize) -> I,
) -> Signal {
    let entries = (0..channels).flat_map(|channel| {
        features(channel).map(move |(feature, is_logarithm)| Entry {
            feature,
            channel,
            is_logarithm,
        })
    });
    let channel = |number| Channel {
        name: format!("channel {number}"),
        unit: "g".into(),
        resolution: 1.0 / 1024.0,
    };
    Signal {
        channels: (0..channels).map(channel).collect(),
        rate: 1000.0,
        window: WINDOW,
        hop: WINDOW / 2,
        detrending: Detrending::Mean,
        taper: Taper::Hann,
        entries: entries.collect(),
    }
}

/// A model without layers of the signal's rows.
fn model(signal: &Signal) -> ModelFile {
    let own = models::standardised(signal.entries.len());
    Description { signal: signal.words(), ..own }.to_file()
}

/// Noise, a tone and impulses above a constant, with a gap; then a dead sensor.
fn samples(channels: usize) -> Rows {
    let mut random = ChaCha8Rng::seed_from_u64(20);
    let mut uniform = move || random.next_u32() as f32 / u32::MAX as f32 - 0.5;
    let mut sample = |number: usize| -> Vec<f32> {
        let channel = |channel: usize| match number {
            GAP => f32::NAN,
            number if number > SAMPLES - 2 * WINDOW => 0.25,
            // Whole steps of 1 / 1024, as a sensor has them.
            _ => {
                let turn = (number * (17 + channel) % 256) as f32 / 256.0;
                let impulse = if uniform() > 0.49 { 2.0 } else { 0.0 };
                let value = 1.0 + (turn - 0.5).abs() + 0.2 * uniform() + impulse;
                (value * 1024.0).floor() / 1024.0
            }
        };
        (0..channels).map(channel).collect()
    };
    Rows((0..SAMPLES).map(&mut sample).collect())
}

/// The rows and scores that the device must come to.
fn rows(file: &ModelFile, samples: &Rows) -> Result<Vec<f32>, flowlet::Error> {
    let model = Model::<Libm>::from_bytes(file.bytes())?;
    let recipe: Recipe = model.recipe()?;
    let mut memory = Memory::of(&model);
    let mut schedule = Schedule::new(&recipe);
    let (mut results, mut scratch) = (Vec::new(), vec![0.0; recipe.window()]);
    for (number, sample) in samples.0.iter().enumerate() {
        if sample.iter().any(|value| value.is_nan()) {
            schedule.restart();
        } else if schedule.advance() {
            let own = samples.0[number + 1 - recipe.window()..=number].concat();
            let mut row = vec![0.0; recipe.features()];
            recipe.row(Samples { older: &own, newer: &[] }, &mut scratch, &mut row);
            let score = model.given(&[]).score(&row, &mut memory.scratch())?;
            results.extend(row.iter().chain([&score]));
        }
    }
    Ok(results)
}
