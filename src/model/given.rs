//! What a model computes, given a context: a slice that most models take empty.

use rand_core::Rng;

use crate::Error;
use crate::attribution::{Search, attribute};
use crate::bijection::Work;
use crate::draw::draw;
use crate::math::{LogSumExp, Math};
use crate::member::Member;
use crate::model::Model;
use crate::preprocess::{check_row, standardise_context};
use crate::score::{Balance, Score, Terms, held};
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
    /// values between layers are held inside 2^20. Of an ensemble it is that of the flows' mixture.
    pub fn log_density(self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        self.check_row(x)?;
        if !self.of.is_ensemble() {
            return Ok(self.member_terms(self.of.first(), x, scratch)?.log_density());
        }
        let mut mixture = LogSumExp::default();
        for (member, log_share) in self.of.members().iter().zip(self.of.log_shares()) {
            mixture.add::<M>(log_share + self.member_terms(member, x, scratch)?.log_density());
        }
        Ok(mixture.value::<M>())
    }

    /// The anomaly score, which grows with abnormality ([`Score`]).
    pub fn score(self, x: &[f32], scratch: &mut Scratch) -> Result<f32, Error> {
        let Score::Balanced(balances) = self.of.score_kind() else {
            return self.log_density(x, scratch).map(|log_density| -log_density);
        };
        self.check_row(x)?;
        let members = self.of.members();
        let mut sum = 0.0;
        for (member, words) in members.iter().zip(balances) {
            let own = Balance::read(*words).score(self.member_terms(member, x, scratch)?);
            if !self.of.is_ensemble() {
                return Ok(own);
            }
            sum += held(own);
        }
        Ok(sum / members.len() as f32)
    }

    /// Whether the score of `x` lies above the threshold in the file.
    pub fn is_anomaly(self, x: &[f32], scratch: &mut Scratch) -> Result<bool, Error> {
        let threshold = self.of.threshold().ok_or(Error::NoCalibration)?;
        Ok(self.score(x, scratch)? > threshold.score)
    }

    /// Whether the score of `x` lies above the threshold for a false-alarm rate of `rate`.
    pub fn is_anomaly_at(self, x: &[f32], rate: f32, scratch: &mut Scratch) -> Result<bool, Error> {
        Ok(self.score(x, scratch)? > self.of.threshold_at(rate)?)
    }

    /// Writes into `attributions` what the value of each feature adds to the score of `x`, 0 or more in
    /// the score's unit; `x` is the same again afterwards ([`mod@crate::attribution`]).
    pub fn attribute(
        self,
        x: &mut [f32],
        attributions: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let quantiles = self.of.quantiles();
        attribute(quantiles, Search::Between, x, attributions, |row| self.score(row, scratch))
    }

    /// The terms of the log-density of the flow numbered `member`, from 0, at `x`.
    pub fn terms(self, member: usize, x: &[f32], scratch: &mut Scratch) -> Result<Terms, Error> {
        self.check_row(x)?;
        let flows = self.of.members();
        let flow = flows.get(member).ok_or(Error::NoMember { member, flows: flows.len() })?;
        self.member_terms(flow, x, scratch)
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
    /// Of an ensemble it draws a flow by its share, and then from it. The values lie on the steps of
    /// their columns, less their offsets.
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
        let member = self.drawn_member(random);
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
        match self.of.is_ensemble() {
            false => Ok(self.of.first()),
            true => Err(Error::Ensemble { reason: "each flow has a base of its own" }),
        }
    }

    /// The flow to sample from.
    fn drawn_member<R: Rng>(&self, random: &mut R) -> &Member<'m> {
        let first = self.of.first();
        if !self.of.is_ensemble() {
            return first;
        }
        let members = self.of.log_shares().iter().copied().zip(self.of.members());
        draw::<M, R, _>(members, random).unwrap_or(first)
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

    /// The terms of one flow's log-density, in the whole scratch.
    #[inline(always)]
    fn member_terms(
        &self,
        member: &Member<'m>,
        x: &[f32],
        scratch: &mut Scratch,
    ) -> Result<Terms, Error> {
        let (row, mut work) = self.prepare(member, scratch)?;
        for (value, x) in row.iter_mut().zip(x) {
            *value = *x;
        }
        Ok(member.terms::<M>(row, &mut work))
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
