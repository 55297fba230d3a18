//! How far training is.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::training::fit::Epoch;

/// A bar on a terminal, a line now and then elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    epochs: usize,
}

impl Progress {
    /// For a run of at most `epochs`.
    pub fn new(epochs: usize) -> Self {
        let quiet = !log::log_enabled!(log::Level::Info);
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let style =
                ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}");
            let bar = ProgressBar::new(epochs as u64);
            bar.set_style(style.expect("a constant template"));
            bar
        });
        Self { bar, epochs }
    }

    /// Shows what the last epoch came to.
    pub fn show(&self, epoch: Epoch) {
        let Epoch { number, training_loss, validation_loss, best } = epoch;
        let losses =
            format!("training loss {training_loss:.4}, validation loss {validation_loss:.4}");
        self.tell(number, best, &losses);
    }

    /// Shows `losses`, what epoch `number` came to; the best one so far is `best`.
    pub fn tell(&self, number: usize, best: usize, losses: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(number as u64);
                bar.set_message(format!("{losses}, best epoch {best}"));
            }
            None if number == 1 || number.is_multiple_of(10) => {
                log::info!(
                    "epoch {number} of at most {}: {losses}, best epoch {best}",
                    self.epochs
                );
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
