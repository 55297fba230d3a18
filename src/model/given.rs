//! What a model computes, given a context: a slice that most models take empty.

use rand_core::Rng;

use crate::Error;
use crate::bijection::Work;
use crate::draw::draw;
use crate::ensemble::Combination;
use crate::math::{LogSumExp, Math};
use crate::member::Member;
use crate::model::Model;
use crate::preprocess::{check_row, standardise_context};
use crate::scratch::Scratch;

/// A [`Model`] or a [`Flow`](crate::Flow) and the context that its density is conditioned on.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a, F> {
    pub(crate) of: &'a F,
    pub(crate) context: &'a [f32],
}

impl<'m, M: Math> Given<'_, Model<'m, M>> {
    /// Natural logarithm of the density at `x`, in nats and raw units.
    ///
    /// Finite for every finite row: far outside of the training rows it saturates, since
    /// values between layers are held inside 2^20. Of an ensemble it is what its
    /// [`Combination`] says.
    pub fn log_density(self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.check_row(x)?;
        match self.of.combination() {
            None => self.member_log_density(self.of.first(), x, scratch),
            Some(combination) => self.combined(combination, x, scratch),
        }
    }

    /// The anomaly score: minus the log-density, so that it grows with abnormality.
    pub fn score(self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.log_density(x, scratch).map(|log_density| -log_density)
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(self, x: &[f32], scratch: &mut Scratch) -> Result<bool, Error> {
        let threshold = self.of.threshold().ok_or(Error::NoThreshold)?;
        Ok(self.score(x, scratch)? > threshold.score)
    }

    /// Maps a raw row to the base, in place. Returns log |det dz/dx|, in nats.
    ///
    /// An ensemble has no such map: each of its flows has a base of its own.
    pub fn inverse(self, row: &mut [f32], scratch: &mut Scratch) -> Result<f32, Error> {
        let flow = self.only()?;
        self.check_row(row)?;
        let (_, mut work) = self.prepare(flow, scratch)?;
        Ok(flow.inverse::<M>(row, &mut work))
    }

    /// Maps a base sample to a raw row, in place. Returns log |det dx/dz|, in nats.
    ///
    /// An ensemble has no such map: each of its flows has a base of its own.
    pub fn forward(self, row: &mut [f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.member_forward(self.only()?, row, scratch)
    }

    /// Fills `x` with a draw from the model; `temperature` scales the base's standard
    /// deviation, 1 for the model's own density.
    ///
    /// Of a mixture it draws a member by its share, and then from it. A mean of log-densities is
    /// no density, and refused. The values lie on the steps of their columns, less their offsets.
    pub fn sample<R: Rng>(
        self,
        random: &mut R,
        temperature: f32,
        x: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        if !(0.0..=f32::MAX).contains(&temperature) {
            return Err(Error::Temperature);
        }
        let member = self.drawn_member(random)?;
        member.base().sample::<M, R>(random, temperature, x)?;
        self.member_forward(member, x, scratch)?;
        for ((index, value), standardisation) in
            x.iter_mut().enumerate().zip(member.standardisations())
        {
            *value = standardisation.on_step(*value, self.of.step(index));
        }
        Ok(())
    }

    /// The flow of a model that is no ensemble.
    fn only(&self) -> Result<&Member<'m>, Error> {
        match self.of.combination() {
            None => Ok(self.of.first()),
            Some(_) => Err(Error::Ensemble { reason: "each flow has a base of its own" }),
        }
    }

    /// The flow to sample from.
    fn drawn_member<R: Rng>(&self, random: &mut R) -> Result<&Member<'m>, Error> {
        let first = self.of.first();
        match self.of.combination() {
            None => Ok(first),
            Some(Combination::Mixture(log_weights)) => {
                let members = log_weights.iter().copied().zip(self.of.members());
                Ok(draw::<M, R, _>(members, random).unwrap_or(first))
            }
            Some(Combination::Mean) => {
                let reason = "a mean of log-densities is no density to sample from";
                Err(Error::Ensemble { reason })
            }
        }
    }

    #[inline(always)]
    fn member_forward(
        &self,
        member: &Member<'m>,
        row: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        self.check_row(row)?;
        let (_, mut work) = self.prepare(member, scratch)?;
        Ok(member.forward::<M>(row, &mut work))
    }

    #[inline(always)]
    fn member_log_density(
        &self,
        member: &Member<'m>,
        x: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        let (row, mut work) = self.prepare(member, scratch)?;
        for (value, x) in row.iter_mut().zip(x) {
            *value = *x;
        }
        Ok(member.log_density::<M>(row, &mut work))
    }

    /// The members' log-densities one after the other, each in the whole scratch, and what they
    /// come to.
    fn combined(
        &self,
        combination: Combination,
        x: &[f32],
        scratch: &mut Scratch,
    ) -> Result<f32, Error> {
        let members = self.of.members();
        let (mut sum, mut mixture) = (0.0, LogSumExp::default());
        for (number, member) in members.iter().enumerate() {
            let own = self.member_log_density(member, x, scratch)?;
            match combination {
                Combination::Mean => sum += own,
                Combination::Mixture(log_weights) => {
                    mixture.add::<M>(log_weights.get(number).copied().unwrap_or(0.0) + own);
                }
            }
        }
        Ok(match combination {
            Combination::Mean => sum / members.len() as f32,
            Combination::Mixture(_) => mixture.value::<M>(),
        })
    }

    /// Standardises the context into the scratch as `member` does, and shortens every part of it
    /// to what the model uses; a row, and what a layer is given.
    #[inline(always)]
    fn prepare<'w>(
        &self,
        member: &Member<'m>,
        scratch: &'w mut Scratch,
    ) -> Result<(&'w mut [f32], Work<'w>), Error> {
        let model = self.of;
        let (features, expected, width) = (model.features(), model.context(), model.width());
        if self.context.len() != expected {
            return Err(Error::ContextLength { found: self.context.len(), expected });
        }
        let too_small = Error::Scratch { features, context: expected, width };
        let (row, own, spare, network) = scratch.fit(features, expected, width).ok_or(too_small)?;
        if cfg!(not(feature = "context")) {
            return Ok((row, Work { context: &[], row: spare, network }));
        }
        standardise_context(self.context, own, member.context_standardisations())?;
        Ok((row, Work { context: own, row: spare, network }))
    }

    fn check_row(&self, row: &[f32]) -> Result<(), Error> {
        check_row(row, self.of.features())
    }
}
