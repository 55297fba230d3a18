//! A latent model's file, run by the device's own code.

use std::collections::BTreeSet;

use flowlet::signal::Recipe;
use flowlet::tally::{self, Question, Tally};
use flowlet::write::ModelFile;
use flowlet::{
    Calibration, LatentMemory, LatentModel, LatentScratch, LatentTerms, Libm, Likelihood, Math,
    Micromath, Terms, Threshold,
};
use rand::Rng;

use crate::device::{ColumnSummary, Device, MemberSummary, Summary, facts, summary};
use crate::error::{Error, Result};

/// What only a latent model can be asked. A row is as for a [`Device`].
pub trait Latent {
    /// Number of latent values.
    fn latents(&self) -> usize;
    /// Number of a mixture prior's components; none of another prior.
    fn modes(&self) -> Option<usize>;
    /// Number of points that a bound may be taken over.
    fn points(&self) -> usize;
    /// The latent values that stand for a row.
    fn encode(&mut self, row: &[f32]) -> Result<Vec<f32>>;
    /// The mean of a row with these latent values, given a context.
    fn decode(&mut self, code: &[f32], context: &[f32]) -> Result<Vec<f32>>;
    /// The deviation of each feature of a row with these latent values, given a context.
    fn deviations(&mut self, code: &[f32], context: &[f32]) -> Result<Vec<f32>>;
    /// How far each feature of a row lies from what its latent values explain, in deviations.
    fn residuals(&mut self, row: &[f32]) -> Result<Vec<f32>>;
    /// The terms of a row's score.
    fn latent_terms(&mut self, row: &[f32]) -> Result<LatentTerms>;
    /// The mode of a row and the probability of each.
    fn mode(&mut self, row: &[f32]) -> Result<(usize, Vec<f32>)>;
    /// The importance-weighted bound of a row over `points` of the points, the mean over all disjoint
    /// groups of so many; over 1 it is the evidence lower bound.
    fn bound(&mut self, row: &[f32], points: usize) -> Result<f32>;
}

/// What `inspect` shows of a latent model.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LatentSummary {
    /// Number of latent values.
    pub latents: usize,
    /// Widths of the encoder's hidden layers.
    pub encoder: Vec<usize>,
    /// Widths of the decoder's hidden layers.
    pub decoder: Vec<usize>,
    /// The density of a row given its latent values.
    pub likelihood: String,
    /// Values that the encoder gives the posterior flow.
    pub summary: usize,
    /// Number of points that a bound may be taken over.
    pub points: usize,
    /// Products of each further point of a bound.
    pub multiply_adds_of_a_point: usize,
    /// Number of a mixture prior's components.
    pub modes: Option<usize>,
    /// Sum of ln scale: a bound for the standardised row minus that for the raw one.
    pub log_scale_sum: f32,
}

/// Opens the latent model in `file` with the arithmetic that it was calibrated with.
pub fn open<'m>(file: &'m ModelFile, path: &str) -> Result<Box<dyn Device + 'm>> {
    let refuse = |source| Error::Model { path: path.into(), source };
    match LatentModel::<Libm>::from_bytes(file.bytes()) {
        Ok(model) => Ok(Box::new(Loaded::new(model, "libm"))),
        Err(flowlet::Error::Math { file: Micromath::ID, .. }) => {
            let model = LatentModel::<Micromath>::from_bytes(file.bytes()).map_err(refuse)?;
            Ok(Box::new(Loaded::new(model, "micromath")))
        }
        Err(source) => Err(refuse(source)),
    }
}

/// How the rows of the latent model in `file` come from a raw signal, if they do.
pub fn recipe(file: &ModelFile) -> Option<Recipe<'_>> {
    match LatentModel::<Libm>::from_bytes(file.bytes()) {
        Err(flowlet::Error::Math { .. }) => {
            LatentModel::<Micromath>::from_bytes(file.bytes()).ok()?.recipe().ok()
        }
        model => model.ok()?.recipe().ok(),
    }
}

struct Loaded<'m, M: Math> {
    model: LatentModel<'m, M>,
    math: &'static str,
    memory: LatentMemory,
}

impl<'m, M: Math> Loaded<'m, M> {
    fn new(model: LatentModel<'m, M>, math: &'static str) -> Self {
        let memory = LatentMemory::of(&model);
        Self { model, math, memory }
    }
}

impl<M: Math> Device for Loaded<'_, M> {
    fn feature_names(&self) -> Vec<String> {
        self.model.feature_names().map(String::from).collect()
    }

    fn context_names(&self) -> Vec<String> {
        self.model.context_names().map(String::from).collect()
    }

    fn offsets(&self) -> Vec<f64> {
        let columns = self.model.features() + self.model.context();
        (0..columns).map(|index| self.model.offset(index)).collect()
    }

    fn log_density(&mut self, _: &[f32]) -> Result<f32> {
        Err(flowlet::Error::IsLatent.into())
    }

    fn score(&mut self, row: &[f32]) -> Result<f32> {
        let (x, context) = row.split_at(self.model.features());
        Ok(self.model.given(context).score(x, &mut self.memory.scratch())?)
    }

    fn attribute(&mut self, row: &[f32]) -> Result<Vec<f32>> {
        let (x, context) = row.split_at(self.model.features());
        let (mut x, mut attributions) = (x.to_vec(), vec![0.0; x.len()]);
        let given = self.model.given(context);
        given.attribute(&mut x, &mut attributions, &mut self.memory.scratch())?;
        Ok(attributions)
    }

    fn terms(&mut self, _: &[f32]) -> Result<Vec<Terms>> {
        Err(flowlet::Error::IsLatent.into())
    }

    fn sample(
        &mut self,
        mut random: &mut dyn Rng,
        temperature: f32,
        x: &mut [f32],
        context: &[f32],
    ) -> Result<()> {
        let mut scratch = self.memory.scratch();
        Ok(self.model.given(context).sample(&mut random, temperature, x, &mut scratch)?)
    }

    fn self_test(&mut self) -> Result<usize> {
        Ok(self.model.self_test(&mut self.memory.scratch())?)
    }

    fn threshold(&self) -> Option<Threshold> {
        self.model.threshold()
    }

    fn calibration(&self) -> Option<Calibration<'_>> {
        self.model.calibration()
    }

    fn p_value(&self, score: f32) -> Option<f32> {
        self.model.p_value(score).ok()
    }

    fn threshold_at(&self, rate: f32) -> Result<f32> {
        Ok(self.model.threshold_at(rate)?)
    }

    fn log_scale_sum(&self) -> f32 {
        self.model.log_scale_sum()
    }

    fn latent(&mut self) -> Option<&mut dyn Latent> {
        Some(self)
    }

    fn tally(&self, row: Option<&[f32]>, _: Question) -> Result<Tally> {
        let Some(row) = row else { return Ok(tally::of_latent_shape(&self.model)) };
        let (x, context) = row.split_at(self.model.features());
        Ok(tally::of_latent_row(&self.model, x, context)?)
    }

    fn centre_of_context(&self) -> Vec<f32> {
        self.model.context_standardisations().map(|own| own.centre).collect()
    }

    fn summary(&self) -> Summary {
        let model = &self.model;
        let names = model.feature_names().chain(model.context_names()).enumerate();
        let column = |(index, name): (usize, &str)| ColumnSummary {
            name: name.into(),
            offset: model.offset(index),
            step: model.step(index),
        };
        let (features, context) = (model.features(), model.context());
        Summary {
            features: self.feature_names(),
            context: self.context_names(),
            columns: names.map(column).collect(),
            periodic: Vec::new(),
            members: [model.posterior(), model.prior()].map(|member| summary(member)).into(),
            shares: Vec::new(),
            score: "minus the log-weight of the draw 0, in nats: no log-density",
            balances: Vec::new(),
            cargo_features: model.cargo_features().collect::<BTreeSet<_>>().into_iter().collect(),
            width: model.width(),
            parameters: model.parameters(),
            multiply_adds: model.multiply_adds(),
            ram_bytes: LatentScratch::bytes(features, context, model.latents(), model.width()),
            math: self.math,
            provenance: facts(model.provenance()),
            latent: Some(LatentSummary {
                latents: model.latents(),
                encoder: model.encoder_hidden().collect(),
                decoder: model.decoder_hidden().collect(),
                likelihood: describe_likelihood(model.likelihood()),
                summary: model.summary(),
                points: model.points(),
                multiply_adds_of_a_point: model.multiply_adds_of_a_point(),
                modes: model.modes(),
                log_scale_sum: model.log_scale_sum(),
            }),
        }
    }
}

impl<M: Math> Latent for Loaded<'_, M> {
    fn latents(&self) -> usize {
        self.model.latents()
    }

    fn modes(&self) -> Option<usize> {
        self.model.modes()
    }

    fn points(&self) -> usize {
        self.model.points()
    }

    fn encode(&mut self, row: &[f32]) -> Result<Vec<f32>> {
        let (x, context) = row.split_at(self.model.features());
        let mut code = vec![0.0; self.model.latents()];
        self.model.given(context).encode(x, &mut code, &mut self.memory.scratch())?;
        Ok(code)
    }

    fn decode(&mut self, code: &[f32], context: &[f32]) -> Result<Vec<f32>> {
        let mut x = vec![0.0; self.model.features()];
        self.model.given(context).decode(code, &mut x, &mut self.memory.scratch())?;
        Ok(x)
    }

    fn deviations(&mut self, code: &[f32], context: &[f32]) -> Result<Vec<f32>> {
        let mut x = vec![0.0; self.model.features()];
        self.model.given(context).deviations(code, &mut x, &mut self.memory.scratch())?;
        Ok(x)
    }

    fn residuals(&mut self, row: &[f32]) -> Result<Vec<f32>> {
        let (x, context) = row.split_at(self.model.features());
        let mut residuals = vec![0.0; x.len()];
        self.model.given(context).residuals(x, &mut residuals, &mut self.memory.scratch())?;
        Ok(residuals)
    }

    fn latent_terms(&mut self, row: &[f32]) -> Result<LatentTerms> {
        let (x, context) = row.split_at(self.model.features());
        Ok(self.model.given(context).terms(x, &mut self.memory.scratch())?)
    }

    fn mode(&mut self, row: &[f32]) -> Result<(usize, Vec<f32>)> {
        let (x, context) = row.split_at(self.model.features());
        let mut shares = vec![0.0; self.model.modes().unwrap_or(0)];
        let mode = self.model.given(context).mode(x, &mut shares, &mut self.memory.scratch())?;
        Ok((mode, shares))
    }

    fn bound(&mut self, row: &[f32], points: usize) -> Result<f32> {
        let (x, context) = row.split_at(self.model.features());
        let groups = self.model.points() / points.max(1);
        let mut scratch = self.memory.scratch();
        let mut sum = 0.0;
        for group in 0..groups {
            let given = self.model.given(context);
            sum += f64::from(given.bound_of(x, group * points, points, &mut scratch)?);
        }
        match groups {
            0 => Err(flowlet::Error::NoPoints.into()),
            _ => Ok((sum / groups as f64) as f32),
        }
    }
}

fn describe_likelihood(likelihood: Likelihood) -> String {
    let within = |centre: f32, clip: f32| {
        let (least, largest) = ((centre - clip).exp(), (centre + clip).exp());
        format!("from {least:.3} to {largest:.3} standardised units")
    };
    match likelihood {
        Likelihood::Gaussian { centre, clip } => {
            format!("Gaussian, deviations {}", within(centre, clip))
        }
        Likelihood::StudentT { centre, clip, degrees_of_freedom } => format!(
            "Student-t, {degrees_of_freedom} degrees of freedom, scales {}",
            within(centre, clip)
        ),
        Likelihood::Bernoulli => "Bernoulli".into(),
    }
}

/// A line about the posterior and the prior, whose summaries these are.
pub fn describe_flows(posterior: &MemberSummary, prior: &MemberSummary) -> [String; 2] {
    let layers = |member: &MemberSummary, base: &str| match &member.layers[..] {
        [] => base.to_owned(),
        layers => format!("{base} behind {}", layers.join(", then ")),
    };
    [layers(posterior, "Gaussian"), layers(prior, &prior.base)]
}
