//! The command line of flowlet.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_verbosity_flag::{InfoLevel, Verbosity};
use flowlet_tools::cost::board;
use flowlet_tools::error::Result;
use flowlet_tools::{
    commission, decode, detect, encode, evaluate, features, inspect, message, output, report,
    sample, score, train,
};

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
    Train(Box<train::Arguments>),
    Evaluate(evaluate::Arguments),
    Score(score::Arguments),
    Detect(detect::Arguments),
    Commission(commission::Arguments),
    Features(features::Arguments),
    Encode(encode::Arguments),
    Decode(decode::Arguments),
    Sample(sample::Arguments),
    Report(report::Arguments),
    Inspect(inspect::Arguments),
    Boards(board::Arguments),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return reply(&answer),
    };
    start_log(arguments.verbosity);
    match run(&arguments.verb) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads rows may have enough of them; half a model is lost.
        Err(error) if error.is_broken_pipe() && !makes_a_model(&arguments.verb) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

/// Whether its result is one whole that nobody can do with a part of.
fn makes_a_model(verb: &Verb) -> bool {
    matches!(verb, Verb::Train(_) | Verb::Commission(_))
}

/// Prints what the parser says instead of arguments: help, the version, or a refusal.
fn reply(answer: &clap::Error) -> ExitCode {
    let text = answer.render().to_string();
    let printed = match text.strip_prefix("error: ").filter(|error| message::is_too_long(error)) {
        // The parser repeats the word that swells it.
        Some(error) => {
            complain(&format!("{}; try --help", error.lines().next().unwrap_or_default()));
            Ok(())
        }
        None => answer.print().and_then(|()| io::stdout().flush()),
    };
    match printed {
        // Help that is lost is a lost result, unless nobody wants to read it.
        Err(error) if !answer.use_stderr() && error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("standard output: cannot be written: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2)),
    }
}

/// Says what went wrong. A message that cannot be written is lost: `eprintln!` would panic.
fn complain(error: &str) {
    let line = format!("error: {}\n", message::short(error));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Information may have several lines, each of the others is one.
fn start_log(verbosity: Verbosity<InfoLevel>) {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .filter_module("flowlet_tools", verbosity.log_level_filter())
        .format(|out, record| {
            let text = record.args().to_string();
            match record.level() {
                log::Level::Info => {
                    text.lines().try_for_each(|line| writeln!(out, "{}", message::escape(line)))
                }
                level => {
                    writeln!(out, "{}: {}", level.as_str().to_lowercase(), message::short(&text))
                }
            }
        })
        .init();
}

fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Train(arguments) => train::run(arguments),
        Verb::Evaluate(arguments) => evaluate::run(arguments),
        Verb::Score(arguments) => score::run(arguments),
        Verb::Detect(arguments) => detect::run(arguments),
        Verb::Commission(arguments) => commission::run(arguments),
        Verb::Features(arguments) => features::run(arguments),
        Verb::Encode(arguments) => encode::run(arguments),
        Verb::Decode(arguments) => decode::run(arguments),
        Verb::Sample(arguments) => sample::run(arguments),
        Verb::Report(arguments) => report::run(arguments),
        Verb::Inspect(arguments) => inspect::run(arguments),
        Verb::Boards(arguments) => board::run(arguments),
        Verb::Completions { shell } => completions(*shell),
    }
}

/// The generator panics where it cannot write, so it writes to memory.
fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "flowlet", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
