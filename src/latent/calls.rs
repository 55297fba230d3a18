//! What a latent model computes, given a context: a slice that most models take empty.

use rand_core::Rng;

use crate::Error;
use crate::attribution::{Search, attribute};
use crate::bijection::Work;
use crate::direction::Direction;
use crate::kernel::Inputs;
use crate::latent::scratch::{Fitted, LatentScratch};
use crate::latent::{LatentModel, Likelihood};
use crate::math::{LogSumExp, Math, bounded, soft_clip};
use crate::model::Given;
use crate::network::Outputs;
use crate::preprocess::{check_row, standardise_context};

/// Bound of ln of the posterior's deviations.
const POSTERIOR_CLIP: f32 = 7.0;

/// ln of an importance weight in its terms, in nats and raw units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LatentTerms {
    /// log p(x | z): how well the latent values explain the row.
    pub reconstruction: f32,
    /// log p(z): how usual the latent values are.
    pub prior: f32,
    /// log q(z | x) of the posterior that they were drawn from.
    pub posterior: f32,
}

impl LatentTerms {
    /// ln w = log p(x | z) + log p(z) - log q(z | x).
    pub fn log_weight(self) -> f32 {
        self.reconstruction + self.prior - self.posterior
    }
}

/// A call under way: the posterior of a row's latent values, and the memory behind it.
struct Call<'a, 'm, 'w, M: Math> {
    model: &'a LatentModel<'m, M>,
    /// D values, standardised.
    row: &'w mut [f32],
    /// C values, standardised.
    context: &'w [f32],
    /// The posterior's means and deviations, L values each.
    mean: &'w [f32],
    deviation: &'w [f32],
    /// Sum of ln of the deviations.
    log_deviations: f32,
    /// H values, which condition the posterior flow.
    summary: &'w [f32],
    /// A draw of N(0, I), or the latent values that it stands for.
    z: &'w mut [f32],
    work: Work<'w>,
}

impl<'a, 'm, M: Math> Given<'a, LatentModel<'m, M>> {
    /// The anomaly score: -ln w of the draw 0, so that it grows with abnormality; nats, raw units.
    ///
    /// One pass of encoder, posterior, decoder and prior, without a random draw. It is not minus a
    /// log-density: no bound of it holds for one draw.
    pub fn score(self, x: &[f32], scratch: &mut LatentScratch) -> Result<f32, Error> {
        self.terms(x, scratch).map(|terms| -terms.log_weight())
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(self, x: &[f32], scratch: &mut LatentScratch) -> Result<bool, Error> {
        let threshold = self.of.threshold().ok_or(Error::NoCalibration)?;
        Ok(self.score(x, scratch)? > threshold.score)
    }

    /// Whether the score of `x` lies above the threshold for a false-alarm rate of `rate`.
    pub fn is_anomaly_at(
        self,
        x: &[f32],
        rate: f32,
        scratch: &mut LatentScratch,
    ) -> Result<bool, Error> {
        Ok(self.score(x, scratch)? > self.of.threshold_at(rate)?)
    }

    /// Writes into `attributions` what the value of each feature adds to the score of `x`, 0 or more in
    /// nats; `x` is the same again afterwards ([`mod@crate::attribution`]).
    ///
    /// [`Given::residuals`] asks what the latent values of the row as it is do not explain. A fault
    /// changes these too; this asks for each feature what the row would be without it.
    pub fn attribute(
        self,
        x: &mut [f32],
        attributions: &mut [f32],
        scratch: &mut LatentScratch,
    ) -> Result<(), Error> {
        let search = match self.of.likelihood() {
            Likelihood::Gaussian { .. } | Likelihood::StudentT { .. } => Search::Between,
            Likelihood::Bernoulli => Search::Listed,
        };
        attribute(self.of.quantiles(), search, x, attributions, |row| self.score(row, scratch))
    }

    /// The three terms of the score.
    pub fn terms(self, x: &[f32], scratch: &mut LatentScratch) -> Result<LatentTerms, Error> {
        let mut call = self.encoded(x, scratch)?;
        call.draw_centre();
        Ok(call.terms())
    }

    /// Writes the latent values that stand for `x`, those of the draw 0, into `z`, L values.
    pub fn encode(
        self,
        x: &[f32],
        z: &mut [f32],
        scratch: &mut LatentScratch,
    ) -> Result<(), Error> {
        self.check_code(z)?;
        let mut call = self.encoded(x, scratch)?;
        call.centre();
        copy(call.z, z);
        Ok(())
    }

    /// Writes the mean of a row with the latent values `z` into `x`, raw units; of a Bernoulli
    /// likelihood the probabilities of ones.
    pub fn decode(
        self,
        z: &[f32],
        x: &mut [f32],
        scratch: &mut LatentScratch,
    ) -> Result<(), Error> {
        let likelihood = self.of.likelihood();
        self.decoded(z, x, scratch, |row, outputs| likelihood.mean::<M>(row, outputs))?;
        for (x, standardisation) in x.iter_mut().zip(self.of.standardisations()) {
            *x = standardisation.forward(*x);
        }
        Ok(())
    }

    /// Writes the deviation of each feature of a row with the latent values `z` into `x`, raw units.
    pub fn deviations(
        self,
        z: &[f32],
        x: &mut [f32],
        scratch: &mut LatentScratch,
    ) -> Result<(), Error> {
        let likelihood = self.of.likelihood();
        self.decoded(z, x, scratch, |row, outputs| likelihood.deviation::<M>(row, outputs))?;
        for (x, standardisation) in x.iter_mut().zip(self.of.standardisations()) {
            *x = finite(*x * standardisation.scale);
        }
        Ok(())
    }

    /// Writes how far each feature of `x` lies from what its latent values explain, in the deviations
    /// of the decoder, into `residuals`: of mean 0 and deviation 1, about, on normal rows.
    pub fn residuals(
        self,
        x: &[f32],
        residuals: &mut [f32],
        scratch: &mut LatentScratch,
    ) -> Result<(), Error> {
        self.check_length(residuals)?;
        let mut call = self.encoded(x, scratch)?;
        call.centre();
        let likelihood = self.of.likelihood();
        call.decode(|row, outputs| likelihood.residuals::<M>(row, outputs));
        copy(call.row, residuals);
        Ok(())
    }

    /// The component of a mixture prior that the latent values of `x` most likely belong to, from 0;
    /// the probability of each, p(c | z), into `responsibilities`, as many as there are components.
    pub fn mode(
        self,
        x: &[f32],
        responsibilities: &mut [f32],
        scratch: &mut LatentScratch,
    ) -> Result<usize, Error> {
        let expected = self.of.modes().ok_or(Error::NoModes)?;
        if responsibilities.len() != expected {
            return Err(Error::Responsibilities { found: responsibilities.len(), expected });
        }
        let mut call = self.encoded(x, scratch)?;
        call.centre();
        let prior = self.of.prior();
        call.work.context = &[];
        prior.direct::<M>(Direction::Inverse, call.z, &mut call.work);
        Ok(prior.base().responsibilities::<M>(call.z, call.work.row, responsibilities))
    }

    /// ln of the mean importance weight over the points in the file: a lower bound of the
    /// log-density, the tighter the more points. The encoder runs once.
    pub fn bound(self, x: &[f32], scratch: &mut LatentScratch) -> Result<f32, Error> {
        self.bound_of(x, 0, self.of.points(), scratch)
    }

    /// The same over `count` points of the file from number `first` on.
    pub fn bound_of(
        self,
        x: &[f32],
        first: usize,
        count: usize,
        scratch: &mut LatentScratch,
    ) -> Result<f32, Error> {
        let latents = self.of.latents();
        let last = first.checked_add(count).ok_or(Error::NoPoints)?;
        if count == 0 || last > self.of.points() {
            return Err(Error::NoPoints);
        }
        let points = self.of.points.chunks_exact(latents.max(1)).skip(first).take(count);
        let mut call = self.encoded(x, scratch)?;
        let mut sum = LogSumExp::default();
        for point in points {
            copy(point, call.z);
            sum.add::<M>(call.terms().log_weight());
        }
        Ok(sum.value::<M>() - M::ln(count as f32))
    }

    /// ln of the importance weight of the draw that `noise` stands for, L values of N(0, I).
    pub fn log_weight(
        self,
        x: &[f32],
        noise: &[f32],
        scratch: &mut LatentScratch,
    ) -> Result<f32, Error> {
        self.check_code(noise)?;
        let mut call = self.encoded(x, scratch)?;
        copy(noise, call.z);
        Ok(call.terms().log_weight())
    }

    /// Fills `x` with a draw from the model; `temperature` scales the standard deviation of the
    /// prior's base and of the likelihood, 1 for the model's own density. The values lie on the
    /// steps of their columns, less their offsets.
    pub fn sample<R: Rng>(
        self,
        random: &mut R,
        temperature: f32,
        x: &mut [f32],
        scratch: &mut LatentScratch,
    ) -> Result<(), Error> {
        if !(0.0..=f32::MAX).contains(&temperature) {
            return Err(Error::Temperature);
        }
        self.check_length(x)?;
        let model = self.of;
        let mut call = self.prepare(None, scratch)?;
        let prior = model.prior();
        prior.base().sample::<M, R>(random, temperature, call.z)?;
        model.likelihood().noise().sample::<M, R>(random, temperature, call.row)?;
        call.work.context = &[];
        prior.direct::<M>(Direction::Forward, call.z, &mut call.work);
        let likelihood = model.likelihood();
        call.decode(|row, outputs| likelihood.draw::<M, R>(random, row, outputs));
        let columns = call.row.iter().zip(model.standardisations()).enumerate();
        for (x, (index, (value, standardisation))) in x.iter_mut().zip(columns) {
            *x = standardisation.on_step(standardisation.forward(*value), model.step(index));
        }
        Ok(())
    }

    /// Gives what the decoder makes of `z` to `take`, with `x` as the row.
    #[inline(always)]
    fn decoded(
        &self,
        z: &[f32],
        x: &mut [f32],
        scratch: &mut LatentScratch,
        take: impl FnOnce(&mut [f32], Outputs),
    ) -> Result<(), Error> {
        self.check_code(z)?;
        self.check_length(x)?;
        let mut call = self.prepare(None, scratch)?;
        copy(z, call.z);
        call.decode(take);
        copy(call.row, x);
        Ok(())
    }

    /// A call whose row the encoder has read.
    fn encoded<'w>(
        &self,
        x: &[f32],
        scratch: &'w mut LatentScratch,
    ) -> Result<Call<'a, 'm, 'w, M>, Error> {
        check_row(x, self.of.features())?;
        if self.of.likelihood() == Likelihood::Bernoulli
            && let Some(feature) = x.iter().position(|value| *value != 0.0 && *value != 1.0)
        {
            return Err(Error::NotBinary { feature });
        }
        self.prepare(Some(x), scratch)
    }

    /// Shortens every part of the scratch to what the model uses, standardises the context, and lets
    /// the encoder read the row, if there is one.
    // Not inlined, so that every call shares one copy.
    #[inline(never)]
    fn prepare<'w>(
        &self,
        x: Option<&[f32]>,
        scratch: &'w mut LatentScratch,
    ) -> Result<Call<'a, 'm, 'w, M>, Error> {
        let model = self.of;
        let (features, context, width) = (model.features(), model.context(), model.width());
        if self.context.len() != context {
            return Err(Error::ContextLength { found: self.context.len(), expected: context });
        }
        let sizes = [features, context, model.latents(), model.summary(), width];
        let too_small = Error::Scratch { features, context, width };
        let Fitted { row, context, mean, deviation, summary, z, spare, mut network } =
            scratch.fit(sizes).ok_or(too_small)?;
        standardise_context(self.context, context, model.context_standardisations())?;
        let mut log_deviations = 0.0;
        if let Some(x) = x {
            for ((own, x), standardisation) in row.iter_mut().zip(x).zip(model.standardisations()) {
                *own = standardisation.inverse(*x);
            }
            let outputs = model.parts.encoder.run(Inputs::given(context, row), &mut network);
            let mut outputs = outputs.flatten();
            for part in [&mut *summary, &mut *mean, &mut *deviation] {
                for (place, output) in part.iter_mut().zip(&mut outputs) {
                    *place = bounded(output);
                }
            }
            for deviation in deviation.iter_mut() {
                let log_deviation = soft_clip(*deviation, POSTERIOR_CLIP);
                log_deviations += log_deviation;
                *deviation = M::exp(log_deviation);
            }
        }
        let work = Work { context: &[], row: spare, network };
        Ok(Call { model, row, context, mean, deviation, log_deviations, summary, z, work })
    }

    /// Refuses what is no code: L finite values.
    fn check_code(&self, z: &[f32]) -> Result<(), Error> {
        let expected = self.of.latents();
        if z.len() != expected {
            return Err(Error::CodeLength { found: z.len(), expected });
        }
        match z.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(Error::CodeNotFinite { index }),
            None => Ok(()),
        }
    }

    /// Refuses a place for a row that is not of its length.
    fn check_length(&self, row: &[f32]) -> Result<(), Error> {
        let expected = self.of.features();
        match row.len() == expected {
            true => Ok(()),
            false => Err(Error::RowLength { found: row.len(), expected }),
        }
    }
}

impl<M: Math> Call<'_, '_, '_, M> {
    fn draw_centre(&mut self) {
        self.z.fill(0.0);
    }

    /// The latent values of the draw 0.
    fn centre(&mut self) {
        self.draw_centre();
        self.place();
    }

    /// Takes the draw in `z` to latent values. Returns log q(z | x).
    fn place(&mut self) -> f32 {
        let posterior = self.model.posterior();
        let log_density = posterior.base().log_density::<M>(self.z, self.work.row);
        self.work.context = self.summary;
        let log_det_jacobian = posterior.direct::<M>(Direction::Forward, self.z, &mut self.work);
        for ((z, mean), deviation) in self.z.iter_mut().zip(self.mean).zip(self.deviation) {
            *z = bounded(mean + deviation * *z);
        }
        log_density - log_det_jacobian - self.log_deviations
    }

    /// ln of the importance weight of the draw in `z`, in its terms.
    #[inline(never)]
    fn terms(&mut self) -> LatentTerms {
        let posterior = self.place();
        let (model, mut reconstruction) = (self.model, -self.model.log_scale_sum());
        self.decode(|row, outputs| {
            reconstruction += model.likelihood().log_density::<M>(row, outputs);
        });
        self.work.context = &[];
        let prior = model.prior();
        let log_det_jacobian = prior.direct::<M>(Direction::Inverse, self.z, &mut self.work);
        let base = prior.base().log_density::<M>(self.z, self.work.row);
        LatentTerms { reconstruction, prior: base + log_det_jacobian, posterior }
    }

    /// Gives the row and what the decoder makes of `z` to `take`.
    #[inline(always)]
    fn decode(&mut self, take: impl FnOnce(&mut [f32], Outputs)) {
        let inputs = Inputs::given(self.context, self.z);
        let outputs = self.model.parts.decoder.run(inputs, &mut self.work.network);
        take(self.row, outputs);
    }
}

/// As far as both go, and within the bounds of values between layers.
fn copy(from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = bounded(*from);
    }
}

/// Held inside the finite numbers.
fn finite(x: f32) -> f32 {
    if x < f32::MAX { x } else { f32::MAX }
}
