//! That the device computes what the host does, for every family of `flowlet train`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use flowlet::write::ModelFile;
use flowlet::{Given, Libm, Memory, Model};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::data::{self, Data, Rows};
use crate::host_tool::{FAMILIES, HostTool};
use crate::{emulator, firmware, models, parallel};

/// Families with options that bring further parts of the device's code.
const VARIANTS: [(&str, &str); 11] = [
    ("auto", ""),
    ("real-nvp", "--marginal all --whiten"),
    ("real-nvp", "--base standard-normal --score log-density"),
    ("real-nvp", "--base mixture"),
    ("real-nvp", "--base student-t-mixture"),
    ("spline-coupling", "--context f8"),
    ("maf", "--context f1,f8"),
    ("spline-coupling", "--periodic f1=0..50,f5=-20..20"),
    ("spline-autoregressive", "--periodic f2=-5..5 --context f8"),
    ("maf", "--ensemble 3"),
    ("spline-coupling", "--ensemble 2"),
];

/// Of the bundled test rows, every so-manieth is compared.
const STEP: usize = 6;

/// Of the rows compared, every so-manieth is asked for attributions, which take many scores.
const ATTRIBUTED: usize = 16;

/// Extreme rows that are compared besides.
const EXTREMES: usize = 64;
/// Sensors of the bundled rows.
const SENSORS: usize = 9;
/// What the first column of the rows like time stamps is offset by; the second has steps of a tenth.
const OFFSET: f64 = 1_700_000_000.0;
/// Values of an image made of them.
const PIXELS: usize = 16;

/// Trains every family, every base, ensembles, images and rows with offsets shortly, and compares
/// host and device bit for bit, on rows of the data and on extreme ones, in both directions, and
/// samples.
pub fn check() -> Result<()> {
    let flowlet = HostTool::build()?;
    let data = Data::find(Path::new(data::BUNDLED))?;
    let images = images(&data, &crate::results("families/images")?)?;
    let stamped = stamped(&data, &crate::results("families/stamped")?)?;
    let offset = format!("--offset f1={OFFSET}");
    let rows = FAMILIES.map(|family| (family, "")).into_iter().chain(VARIANTS);
    let rows = rows.map(|(family, options)| (&data, family, options));
    let jobs = [(&images, "glow", "--image 4x4x1"), (&stamped, "real-nvp", &offset)];
    let jobs: Vec<_> = rows.chain(jobs).collect();
    parallel::each(
        jobs.into_iter().enumerate().collect(),
        |(number, (data, family, options))| {
            let options = format!("--family {family} --epochs 2 --hidden 16 {options}");
            let folder = crate::results(&format!("families/{number}"))?;
            let every = Every { row: STEP, attributed: ATTRIBUTED };
            compare(&flowlet, data, &crate::words(&options), every, &folder).context(options)
        },
        |(_, (_, family, options)), compared| {
            println!("{family} {options}: {} numbers of the same bits", compared?);
            Ok(())
        },
    )
}

/// Trains the default model on each folder, and holds that host and device agree to the bit on every
/// test row in its log-density, score, p-value and attributions.
pub fn every_row(folders: &[PathBuf], options: &[String]) -> Result<()> {
    let flowlet = HostTool::build()?;
    for path in folders {
        let data = Data::find(path)?;
        let folder = crate::results(&format!("families/{}", data.name))?;
        let every = Every { row: 1, attributed: 1 };
        let count = compare(&flowlet, &data, options, every, &folder)?;
        println!("{}: {count} numbers of the same bits", data.name);
    }
    Ok(())
}

/// Which rows are compared, and which of these are asked for attributions.
#[derive(Clone, Copy)]
struct Every {
    row: usize,
    attributed: usize,
}

/// Trains a model and takes rows through it on both sides; how many numbers they agree in.
fn compare(
    flowlet: &HostTool,
    data: &Data,
    options: &[String],
    every: Every,
    folder: &Path,
) -> Result<usize> {
    let path = folder.join("model.flow");
    flowlet.train_quietly(&data.training, Some(&data.validation), options, &path)?;
    let mut rows = Rows::read(&data.test, flowlet, &path)?.every(every.row);
    rows.0.extend(models::extreme_rows(EXTREMES, rows.0[0].len()));
    rows.write(&folder.join("rows.f32"))?;
    std::fs::write(folder.join("attributed.u32"), (every.attributed as u32).to_le_bytes())?;

    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {path:?}"))?;
    let file = ModelFile::new(&bytes);
    let model = Model::from_bytes(file.bytes()).map_err(|error| anyhow!("{path:?}: {error}"))?;
    let host = directions(&model, &rows, every.attributed)
        .map_err(|error| anyhow!("{path:?}: {error}"))?;
    emulator::run(&firmware::build("directions", &path, folder)?, folder)?;
    let device = data::read_floats(&folder.join("results.f32"))?;
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    ensure!(bits(&host) == bits(&device), "the device's numbers differ");
    ensure!(host.iter().all(|value| value.is_finite()), "a number is not finite");
    Ok(host.len())
}

/// What the firmware `directions` computes, on the host.
fn directions(
    model: &Model<Libm>,
    rows: &Rows,
    attributed: usize,
) -> Result<Vec<f32>, flowlet::Error> {
    let mut memory = Memory::of(model);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut results = Vec::new();
    for (number, row) in rows.0.iter().enumerate() {
        let (row, context) = row.split_at(model.features());
        let given = model.given(context);
        let score = given.score(row, &mut memory.scratch())?;
        let log_density = given.log_density(row, &mut memory.scratch())?;
        results.extend([log_density, score, model.p_value(score)?]);
        let mut sample = row.to_vec();
        given.sample(&mut random, 1.0, &mut sample, &mut memory.scratch())?;
        results.extend(sample);
        if model.log_shares().is_empty() {
            for direction in [Given::<Model<Libm>>::inverse, Given::<Model<Libm>>::forward] {
                let mut mapped = row.to_vec();
                let log_det = direction(given, &mut mapped, &mut memory.scratch())?;
                results.extend(mapped);
                results.push(log_det);
            }
        }
        if number.is_multiple_of(attributed) {
            let (mut x, mut attributions) = (row.to_vec(), vec![0.0; row.len()]);
            given.attribute(&mut x, &mut attributions, &mut memory.scratch())?;
            results.extend(attributions);
        }
    }
    Ok(results)
}

/// Rows of [`PIXELS`] values, large enough for an image of two levels: the first columns of `data`,
/// repeated.
fn images(data: &Data, folder: &Path) -> Result<Data> {
    let names = (0..PIXELS).map(|pixel| format!("p{pixel}")).collect();
    rewrite(data, folder, names, |sensors| {
        Ok(sensors.iter().take(PIXELS / 2).cycle().take(PIXELS).cloned().collect())
    })
}

/// The rows of `data` as though their first column were a time stamp, and their second had decimals.
fn stamped(data: &Data, folder: &Path) -> Result<Data> {
    let names = (1..=SENSORS).map(|sensor| format!("f{sensor}")).collect();
    rewrite(data, folder, names, |sensors| {
        let mut sensors = sensors.to_vec();
        sensors[0] = (OFFSET + sensors[0].parse::<f64>()?).to_string();
        sensors[1] = (sensors[1].parse::<f64>()? / 10.0).to_string();
        Ok(sensors)
    })
}

/// Writes the rows of `data` into `folder` with what `row` makes of the sensors, by the `names` of
/// the columns that come of it; a label stays.
fn rewrite(
    data: &Data,
    folder: &Path,
    names: Vec<String>,
    row: impl Fn(&[String]) -> Result<Vec<String>>,
) -> Result<Data> {
    for (path, name) in
        [(&data.training, "train.csv"), (&data.validation, "val.csv"), (&data.test, "test.csv")]
    {
        let mut reader = csv::Reader::from_path(path)?;
        let mut writer = csv::Writer::from_path(folder.join(name))?;
        let header: Vec<String> = reader.headers()?.deserialize(None)?;
        writer.write_record(names.iter().chain(&header[SENSORS..]))?;
        for record in reader.deserialize() {
            let record: Vec<String> = record?;
            let (sensors, label) = record.split_at(SENSORS);
            writer.write_record(row(sensors)?.iter().chain(label))?;
        }
        writer.flush()?;
    }
    Data::find(folder)
}
