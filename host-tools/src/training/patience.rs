//! The learning rate from epoch to epoch, and when training ends.
//!
//! It is halved where the validation loss stays, and training ends where it stays for long (Prechelt
//! 1998, "Early Stopping - But When?"). An epoch that ends worse than where training started took too
//! long steps: training starts again with shorter ones.

/// Nats for each feature by which such an epoch is worse than the start.
const WORSE: f64 = 0.1;
/// What the learning rate is multiplied by then.
const SHORTER: f64 = 0.25;
/// What it is multiplied by where the loss stays for a third of the patience.
const SLOWER: f64 = 0.5;

/// How training goes, told by the validation loss of each epoch.
#[derive(Clone, Debug)]
pub struct Patience {
    learning_rate: f64,
    /// Epochs without a better loss after which training ends.
    epochs: usize,
    /// First epoch whose loss is one to go by.
    first: usize,
    /// Loss of a model that took too long steps.
    worst: f64,
    best: Option<(usize, f64)>,
    since_change: usize,
}

impl Patience {
    /// So many `epochs` of it, for a model of so many features that starts at `start_loss`. In the
    /// first `warm_up` epochs, the objective is still another one.
    pub fn new(
        learning_rate: f64,
        epochs: usize,
        warm_up: usize,
        start_loss: f64,
        features: usize,
    ) -> Self {
        let worst = start_loss + WORSE * features as f64;
        Self { learning_rate, epochs, first: warm_up, worst, best: None, since_change: 0 }
    }

    /// As it is now.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// The epoch of the lowest loss, 0 before there is one.
    pub fn best(&self) -> usize {
        self.best.map_or(0, |(number, _)| number)
    }

    /// Notes that epoch `number`, from 1, ended with `loss`; whether none was lower.
    pub fn note(&mut self, number: usize, loss: f64) -> bool {
        let is_best = loss.is_finite() && self.best.is_none_or(|(_, lowest)| loss < lowest);
        if is_best {
            self.best = Some((number, loss));
            self.since_change = 0;
        } else if number >= self.first {
            self.since_change += 1;
        }
        is_best
    }

    /// Whether the loss has not fallen for as long as there is patience, after epoch `number`.
    pub fn is_over(&self, number: usize) -> bool {
        number - self.best().max(self.first.min(number)) >= self.epochs
    }

    /// Sets the learning rate of the next epoch. Whether training starts again, since epoch `number`
    /// ended worse than the start.
    pub fn starts_again(&mut self, number: usize, loss: f64) -> bool {
        // No number is no less either.
        let is_near = loss <= self.worst;
        if number >= self.first && !is_near {
            let shorter = self.learning_rate * SHORTER;
            log::warn!(
                "the learning rate {} is too high, epoch {number} ended worse than the start: training \
                 starts again at {shorter}",
                self.learning_rate
            );
            (self.learning_rate, self.since_change) = (shorter, 0);
            return true;
        }
        if self.since_change * 3 >= self.epochs {
            (self.learning_rate, self.since_change) = (self.learning_rate * SLOWER, 0);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through these losses, none of which but the last may end training or start it again; whether
    /// that one does either.
    fn follow(patience: &mut Patience, losses: &[f64]) -> [bool; 2] {
        let mut last = [false; 2];
        for (number, loss) in (1..).zip(losses) {
            assert_eq!(last, [false; 2], "before epoch {number}");
            patience.note(number, *loss);
            last = [patience.is_over(number), patience.starts_again(number, *loss)];
        }
        last
    }

    #[test]
    fn a_loss_that_stays_halves_the_rate_and_ends_training() {
        let mut patience = Patience::new(0.1, 6, 0, 5.0, 2);
        assert_eq!(follow(&mut patience, &[4.0, 3.0, 3.0, 3.0]), [false, false]);
        assert_eq!((patience.learning_rate(), patience.best()), (0.05, 2));
        let mut patience = Patience::new(0.1, 6, 0, 5.0, 2);
        assert_eq!(follow(&mut patience, &[4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]), [true, false]);
        assert_eq!(patience.best(), 2);
    }

    #[test]
    fn a_loss_beyond_the_start_starts_again() {
        for loss in [5.21, f64::NAN, f64::INFINITY] {
            let mut patience = Patience::new(0.1, 6, 0, 5.0, 2);
            assert_eq!(follow(&mut patience, &[4.0, loss]), [false, true], "{loss}");
            assert_eq!((patience.learning_rate(), patience.best()), (0.025, 1));
        }
    }

    #[test]
    fn what_comes_in_a_warm_up_neither_ends_training_nor_slows_it() {
        let mut patience = Patience::new(0.1, 3, 8, 5.0, 2);
        assert_eq!(follow(&mut patience, &[4.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]), [false, false]);
        assert_eq!(patience.learning_rate(), 0.1);
    }
}
