//! The rows of a file, and what models say of each, for the verbs that judge a model by them.

use std::path::Path;

use flowlet::write::ModelFile;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::message;
use crate::rows::table::Table;
use crate::signal::windows::{Judgeable, Source};

/// A row and what the model says of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Features and then context, less their offsets.
    pub row: Vec<f32>,
    /// Higher is less normal.
    pub score: f32,
    /// Nats, raw units; a latent model has none.
    pub log_density: Option<f32>,
    /// Its lower bounds, nats, raw units: the evidence lower bound and the importance-weighted one over
    /// all points in the file; a flow needs none.
    pub bounds: Option<[f32; 2]>,
    /// What the label says; of no row without labels.
    pub is_anomaly: bool,
}

#[cfg(test)]
impl Judged {
    /// A row whose score is minus its log-density, and whether it is an anomaly.
    pub fn of_score((score, is_anomaly): (f32, bool)) -> Self {
        Self { row: Vec::new(), score, log_density: Some(-score), bounds: None, is_anomaly }
    }
}

impl Judged {
    fn new(device: &mut dyn Device, row: Vec<f32>, is_anomaly: bool) -> Result<Self> {
        let score = device.score(&row)?;
        let Some(latent) = device.latent() else {
            let log_density = Some(device.log_density(&row)?);
            return Ok(Self { row, score, log_density, bounds: None, is_anomaly });
        };
        let bounds = match latent.points() {
            0 => None,
            points => Some([latent.bound(&row, 1)?, latent.bound(&row, points)?]),
        };
        Ok(Self { row, score, log_density: None, bounds, is_anomaly })
    }
}

/// A model that judges rows.
pub struct Judge<'m> {
    /// Where the user keeps it.
    pub path: &'m Path,
    /// What is there.
    pub file: &'m ModelFile,
    /// The model in it.
    pub device: Box<dyn Device + 'm>,
}

/// Opens the models in `files`, which were read from `paths`.
pub fn open<'m>(paths: &[&'m Path], files: &'m [ModelFile]) -> Result<Vec<Judge<'m>>> {
    if let [own, baseline] = files
        && own.bytes() == baseline.bytes()
    {
        let [own, baseline] =
            [0, 1].map(|place| message::path(&paths[place].display().to_string()));
        log::warn!("{baseline}: holds the same model as {own}");
    }
    let open = |(path, file): (&&'m Path, &'m ModelFile)| {
        Ok(Judge { path, file, device: device::open(file, &path.display().to_string())? })
    };
    paths.iter().zip(files).map(open).collect()
}

impl<'m> Judge<'m> {
    /// The columns that it reads.
    pub fn names(&self) -> Vec<String> {
        [self.device.feature_names(), self.device.context_names()].concat()
    }

    fn source(
        &self,
        table: &Table,
        segment: Option<&str>,
        label: Option<&str>,
    ) -> Result<Source<'m>> {
        Source::of(self.file, &*self.device, table, segment, label)
    }

    /// A model that reads the label would be judged by how well it repeats the answer.
    pub fn refuse_label(&self, label: &str) -> Result<()> {
        match self.names().iter().any(|column| column == label) {
            true => {
                let (model, name) = (self.path.display().to_string(), label.to_owned());
                Err(Error::LabelIsRead { model, name })
            }
            false => Ok(()),
        }
    }
}

/// What a model, and a baseline if there is one, say of the rows of `table`. All judge the same rows,
/// those that lack no value of any.
pub fn judge(
    judges: &mut [Judge],
    table: &mut Table,
    segment: Option<&str>,
    label: Option<&str>,
) -> Result<Vec<Vec<Judged>>> {
    let [own, baselines @ ..] = &*judges else { return Ok(Vec::new()) };
    let mut source = own.source(table, segment, label)?;
    for baseline in baselines {
        let refuse = |what| Error::Baseline { model: baseline.path.display().to_string(), what };
        let further = baseline.source(table, segment, label);
        let further = further.map_err(|error| refuse(error.to_string()))?;
        source = source.with(further).ok_or_else(|| {
            refuse(
                "its rows are not those of the other model, but windows of another kind: compare \
                 both on the rows that `flowlet features` makes"
                    .into(),
            )
        })?;
    }
    let offsets: Vec<Vec<f64>> = judges.iter().map(|judge| judge.device.offsets()).collect();
    let mut judged = vec![Vec::new(); judges.len()];
    while let Some(Judgeable { values, is_anomaly, .. }) = source.next(table)? {
        let Some(values) = values else { continue };
        let mut rest = &values[..];
        for ((judge, offsets), judged) in judges.iter_mut().zip(&offsets).zip(&mut judged) {
            let (own, behind) = rest.split_at(offsets.len());
            // A window has one row for all.
            rest = if source.is_signal() { rest } else { behind };
            let row = device::row(own, offsets);
            judged.push(Judged::new(&mut *judge.device, row, is_anomaly)?);
        }
    }
    table.check_rows()?;
    table.warn();
    source.check(judged[0].len(), table.path())?;
    Ok(judged)
}
