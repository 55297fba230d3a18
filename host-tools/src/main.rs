//! The command line of flowlet.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_verbosity_flag::{InfoLevel, Verbosity};
use flowlet_tools::error::Result;
use flowlet_tools::{evaluate, inspect, sample, score, train};

/// Normalizing flows for microcontrollers: train on a laptop, score on a Cortex-M.
///
/// The score of a row is minus its log-density in nats: it grows with abnormality. Results go
/// to standard output, everything else to standard error. Exit code 1 stands for bad data, 2
/// for a wrong command line.
#[derive(Parser, Debug)]
#[command(name = "flowlet", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    verbosity: Verbosity<InfoLevel>,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Train(train::Arguments),
    Evaluate(evaluate::Arguments),
    Score(score::Arguments),
    Sample(sample::Arguments),
    Inspect(inspect::Arguments),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .filter_module("flowlet_tools", arguments.verbosity.log_level_filter())
        .format(|out, record| match record.level() {
            log::Level::Info => writeln!(out, "{}", record.args()),
            level => writeln!(out, "{}: {}", level.as_str().to_lowercase(), record.args()),
        })
        .init();
    match run(&arguments.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) if error.is_usage() => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Train(arguments) => train::run(arguments),
        Verb::Evaluate(arguments) => evaluate::run(arguments),
        Verb::Score(arguments) => score::run(arguments),
        Verb::Sample(arguments) => sample::run(arguments),
        Verb::Inspect(arguments) => inspect::run(arguments),
        Verb::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(*shell, &mut command, "flowlet", &mut std::io::stdout());
            Ok(())
        }
    }
}
