//! Several flows that judge a row together.
//!
//! The mean of their log-densities is usually the better detector, the mixture of them a density.
//! Both formulas stand in the device's crate, with [`flowlet::Combination`].

use flowlet::write::Combination;

use crate::training::fit::Fitted;
use crate::training::selection::Candidate;

/// What the log-densities of the flows come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Combine {
    /// Their mean: usually the better detector, but no normalised density, and cannot be sampled.
    #[default]
    Mean,
    /// The log-density of a mixture of the flows in equal shares: a density, with samples.
    Mixture,
}

impl Combine {
    /// As the file of so many flows holds it.
    pub fn of(self, members: usize) -> Combination {
        match self {
            Self::Mean => Combination::Mean,
            Self::Mixture => Combination::Mixture(vec![-(members as f32).ln(); members]),
        }
    }

    /// For a reader.
    pub fn describe(self, members: usize) -> String {
        match self {
            Self::Mean => format!("mean of {members} flows"),
            Self::Mixture => format!("mixture of {members} flows"),
        }
    }
}

/// A trained flow on its way into a file.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What was trained.
    pub candidate: Candidate,
    /// Of its draws.
    pub seed: u64,
    /// What came of it.
    pub fitted: &'a Fitted,
}

impl Member<'_> {
    /// What a file of several flows says of this one.
    pub fn provenance(&self) -> String {
        let Fitted { best, epochs, .. } = self.fitted;
        let epochs = match epochs {
            0 => String::new(),
            epochs => format!("epochs {} of {epochs}, ", best.number),
        };
        format!(
            "{}, seed {}, {epochs}log-density {:.4} in training, {:.4} on validation rows",
            self.candidate, self.seed, -best.training_loss, -best.validation_loss
        )
    }
}
