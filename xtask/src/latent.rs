//! That the device computes what the host does, for latent models of every kind.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use flowlet::write::ModelFile;
use flowlet::{Error, LatentMemory, LatentModel, Libm};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::data::{self, Data, Rows};
use crate::host_tool::HostTool;
use crate::{emulator, firmware, models, parallel};

/// Options that bring further parts of the device's code.
const VARIANTS: [&str; 5] = [
    "--posterior gaussian --likelihood gaussian --hidden 64",
    "--posterior iaf --prior mixture --components 3 --hidden 16",
    "--posterior real-nvp --prior flow --latent 3 --hidden 16,24,16",
    "--posterior iaf --likelihood gaussian --context f8 --hidden 16",
    "--posterior gaussian --offset f1=40 --hidden 24 --points 3",
];

/// Of the bundled test rows, every so-manieth is compared.
const STEP: usize = 12;
/// Extreme rows that are compared besides.
const EXTREMES: usize = 64;

/// Trains latent models shortly on the bundled rows, and compares host and device bit for bit, on rows
/// of the data and on extreme ones: score, terms, code, decoded row, deviations, residuals,
/// attributions, bound, mode and a sample of each.
pub fn check() -> Result<()> {
    let flowlet = HostTool::build()?;
    let data = Data::find(Path::new(data::BUNDLED))?;
    parallel::each(
        VARIANTS.into_iter().enumerate().collect(),
        |(number, options)| {
            let line = format!("--family vae --epochs 2 {options}");
            let folder = crate::results(&format!("latent/{number}"))?;
            compare(&flowlet, &data, &crate::words(&line), STEP, &folder).context(*options)
        },
        |(_, options), compared| {
            println!("{options}: {} numbers of the same bits", compared?);
            Ok(())
        },
    )
}

/// Trains a model and asks it of every `step`-th test row, and of extreme ones, on both sides; how many
/// numbers they agree in.
pub fn compare(
    flowlet: &HostTool,
    data: &Data,
    options: &[String],
    step: usize,
    folder: &Path,
) -> Result<usize> {
    let path = folder.join("model.flow");
    flowlet.train_quietly(&data.training, Some(&data.validation), options, &path)?;
    let mut rows = Rows::read(&data.test, flowlet, &path)?.every(step);
    rows.0.extend(models::extreme_rows(EXTREMES, rows.0[0].len()));
    rows.write(&folder.join("rows.f32"))?;

    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {path:?}"))?;
    let file = ModelFile::new(&bytes);
    let refused = |error: Error| anyhow!("{path:?}: {error}");
    let model = LatentModel::from_bytes(file.bytes()).map_err(refused)?;
    let host = answers(&model, &rows).map_err(refused)?;
    std::fs::write(folder.join("attributed.u32"), 1u32.to_le_bytes())?;
    emulator::run(&firmware::build("directions", &path, folder)?, folder)?;
    let device = data::read_floats(&folder.join("results.f32"))?;
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    ensure!(bits(&host) == bits(&device), "the device's numbers differ");
    ensure!(host.iter().all(|value| value.is_finite()), "a number is not finite");
    Ok(host.len())
}

/// What the firmware `directions` computes, on the host.
fn answers(model: &LatentModel<Libm>, rows: &Rows) -> Result<Vec<f32>, Error> {
    let mut memory = LatentMemory::of(model);
    let scratch = &mut memory.scratch();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut answers = Vec::new();
    for row in &rows.0 {
        let (row, context) = row.split_at(model.features());
        let given = model.given(context);
        let score = given.score(row, scratch)?;
        let terms = given.terms(row, scratch)?;
        answers.extend([score, model.p_value(score)?]);
        answers.extend([terms.reconstruction, terms.prior, terms.posterior]);
        let (mut code, mut x) = (vec![0.0; model.latents()], row.to_vec());
        given.encode(row, &mut code, scratch)?;
        answers.extend(&code);
        given.decode(&code, &mut x, scratch)?;
        answers.extend(&x);
        given.deviations(&code, &mut x, scratch)?;
        answers.extend(&x);
        given.residuals(row, &mut x, scratch)?;
        answers.extend(&x);
        given.attribute(&mut row.to_vec(), &mut x, scratch)?;
        answers.extend(&x);
        answers.extend([given.bound(row, scratch)?, given.log_weight(row, &code, scratch)?]);
        if let Some(modes) = model.modes() {
            let mut shares = vec![0.0; modes];
            answers.push(given.mode(row, &mut shares, scratch)? as f32);
            answers.extend(shares);
        }
        given.sample(&mut random, 1.0, &mut x, scratch)?;
        answers.extend(&x);
    }
    Ok(answers)
}
