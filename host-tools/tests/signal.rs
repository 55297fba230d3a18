//! From a raw signal to scores, through the command line.

mod command;

use std::fmt::Write as _;

use command::Folder;
use flowlet::signal::Window;
use flowlet_tools::device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What is known of each sample but its channels.
struct Sample<'a> {
    segment: &'a str,
    label: u8,
}

/// Two channels of a machine: a tone and noise, and where `label` is 1 a second tone.
fn machine(samples: &[Sample], seed: u64) -> Vec<[f64; 2]> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let sample = |(number, Sample { label, .. }): (usize, &Sample)| {
        let time = number as f64;
        let mut noise = || random.random_range(-0.5..0.5) + random.random_range(-0.5..0.5);
        let fault = f64::from(*label) * (1.9 * time).sin();
        let own = [(0.3 * time).sin() + 0.4 * noise() + 1.0, 0.5 * noise()];
        own.map(|value| ((value + fault) * 256.0).round() / 256.0)
    };
    samples.iter().enumerate().map(sample).collect()
}

fn csv(samples: &[Sample], seed: u64, has_label: bool) -> String {
    let mut text = format!("run,x,y{}\n", if has_label { ",label" } else { "" });
    for (Sample { segment, label }, [x, y]) in samples.iter().zip(machine(samples, seed)) {
        let label = if has_label { format!(",{label}") } else { String::new() };
        writeln!(text, "{segment},{x},{y}{label}").expect("memory");
    }
    text
}

fn normal(segment: &str, count: usize) -> impl Iterator<Item = Sample<'_>> {
    (0..count).map(move |_| Sample { segment, label: 0 })
}

/// A signal of two recordings, and a model of its windows.
fn trained() -> Folder {
    let folder = Folder::new();
    let training: Vec<_> = normal("a", 3000).chain(normal("b", 3500)).collect();
    folder.write("signal.csv", csv(&training, 0, false));
    let said = folder.accepted(
        "train signal.csv --rate 100 --window 64 --hop 32 --segment run --family gaussian -o m.flow",
    );
    assert!(said.contains("798 windows of 64 samples, 8 apart (32 on the device)"), "{said}");
    folder
}

/// The columns of a table, by their names.
fn column<'t>(table: &'t str, name: &str) -> Vec<&'t str> {
    let mut lines = table.lines();
    let header = lines.next().expect("a header");
    let place = header.split(',').position(|own| own == name).expect("the column");
    lines.map(|line| line.split(',').nth(place).expect("a cell")).collect()
}

fn print(folder: &Folder, arguments: &str) -> String {
    let output = folder.command(arguments).assert().success().get_output().clone();
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_signal_is_judged_by_its_windows_and_a_label_is_that_of_most_samples() {
    let folder = trained();
    let anomalous = |count| (0..count).map(|_| Sample { segment: "c", label: 1 });
    // 1000 is no multiple of the hop, so that one window is mixed half and half, and counts as normal.
    let test: Vec<_> = normal("c", 992).chain(anomalous(1024)).collect();
    folder.write("test.csv", csv(&test, 1, true));
    let json = print(&folder, "evaluate m.flow test.csv --label label --json");
    let found: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&found["rows"], &found["anomalies"]), (&62.into(), &31.into()));
    assert!(found["auroc"].as_f64().expect("a number") > 0.98, "{json}");
    assert!(found["false_alarm_rate"].as_f64().expect("a number") < 0.15, "{json}");
    let scores = print(&folder, "score m.flow test.csv");
    let expected: Vec<_> = (0..62).map(|number| (32 * number).to_string()).collect();
    assert_eq!(column(&scores, "sample"), expected);
}

/// A baseline judges the same windows, or else the rows that `features` makes of them.
#[test]
fn models_of_a_signal_are_compared_on_the_same_windows() {
    let folder = trained();
    let anomalous = (0..1500).map(|_| Sample { segment: "d", label: 1 });
    let test: Vec<_> = normal("c", 1500).chain(anomalous).collect();
    folder.write("test.csv", csv(&test, 1, true));
    let train = "train signal.csv --rate 100 --hop 32 --segment run";
    folder.accepted(&format!("{train} --window 64 --family gmm -o gmm.flow"));
    folder.accepted(&format!("{train} --window 128 --family gaussian -o long.flow"));
    let compare = |test: &str, baseline: &str| {
        format!("evaluate m.flow {test} --label label --baseline {baseline}.flow")
    };
    let said = folder.accepted(&compare("test.csv", "gmm"));
    assert!(said.contains("baseline"), "{said}");
    let output = folder.command(&compare("test.csv", "long")).assert().code(1).get_output().clone();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("long.flow: is no baseline on these rows"), "{said}");
    assert!(said.contains("compare both on the rows that `flowlet features` makes"), "{said}");
    let features = "features test.csv --rate 100 --window 64 --hop 32 --segment run --label label";
    folder.accepted(&format!("{features} -o rows.csv"));
    folder.accepted(&compare("rows.csv", "gmm"));
}

#[test]
fn a_signal_and_its_features_have_the_same_scores() {
    let folder = trained();
    folder
        .accepted("features signal.csv --rate 100 --window 64 --hop 32 --segment run -o rows.csv");
    let of_signal = print(&folder, "score m.flow signal.csv --p-value");
    let of_rows = print(&folder, "score m.flow rows.csv --p-value");
    for name in ["score", "log_density", "anomaly", "p_value"] {
        assert_eq!(column(&of_signal, name), column(&of_rows, name), "{name}");
    }
}

/// What a firmware computes, sample by sample.
#[test]
fn the_rows_are_those_of_a_window_on_the_device() {
    let folder = trained();
    folder
        .accepted("features signal.csv --rate 100 --window 64 --hop 32 --segment run -o rows.csv");
    let rows = std::fs::read_to_string(folder.path("rows.csv")).expect("just written");
    let mut rows = rows.lines().skip(1);
    let file = device::read(&folder.path("m.flow")).expect("just written");
    let recipe = device::recipe(&file).expect("a recipe");
    let mut window = Window::<2, 64, 22>::new(recipe).expect("its sizes");
    let samples: Vec<_> = normal("a", 3000).chain(normal("b", 3500)).collect();
    for (number, [x, y]) in machine(&samples, 0).into_iter().enumerate() {
        if number == 3000 {
            window.restart();
        }
        if let Some(row) = window.push(&[x as f32, y as f32]).expect("a number") {
            let own = row.map(|value| value.to_string()).join(",");
            assert_eq!(rows.next(), Some(&*format!("{},{own}", number - 63)));
        }
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn no_window_lies_across_a_gap_a_segment_or_a_change_of_context() {
    let folder = Folder::new();
    let rows = |text: &str, options: &str| {
        folder.write("signal.csv", text);
        let line = format!(
            "features signal.csv --rate 10 --window 8 --hop 8 --features mean,rms {options}"
        );
        let table = print(&folder, &line);
        column(&table, "sample").join(" ")
    };
    let signal = |line: &dyn Fn(usize) -> String| -> String {
        ["run,speed,x\n".to_owned()].into_iter().chain((0..40).map(line)).collect()
    };
    let run = |n: usize| if n < 12 { "a" } else { "b" };
    let text = signal(&|n| format!("{},7,{n}\n", run(n)));
    assert_eq!(rows(&text, "--channels x"), "0 8 16 24 32");
    assert_eq!(rows(&text, "--segment run --context speed"), "0 12 20 28");
    let text = signal(&|n| format!("a,{},{n}\n", usize::from(n >= 12)));
    assert_eq!(rows(&text, "--exclude run --context speed"), "0 12 20 28");
    let text = signal(&|n| if n == 12 { "a,7,\n".into() } else { format!("a,7,{n}\n") });
    assert_eq!(rows(&text, "--channels x --missing drop"), "0 13 21 29");
}

#[test]
fn a_model_shows_its_recipe() {
    let folder = trained();
    let text = print(&folder, "inspect m.flow");
    for fact in [
        "channels        x (resolution 0.00390625), y (resolution 0.00390625)",
        "rate            100 samples a second",
        "window          64 samples, 32 apart, less its mean, Hann taper, 512 bytes of RAM",
        "segment         run",
        "let mut window = Window::<2, 64, 22>::new(flow.recipe()?)?;",
        "\"signal\"",
    ] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
}

#[test]
fn what_a_signal_lacks_is_said() {
    let folder = trained();
    let refused = |arguments: &str, code: i32, said: &str| {
        let output = folder.command(arguments).assert().code(code).get_output().clone();
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains(said), "{arguments}: {error}");
        assert!(!folder.path("new").exists(), "{arguments}");
    };
    let train = |options: &str, code, said: &str| {
        refused(&format!("train signal.csv {options} -o new"), code, said);
    };
    train("--window 64", 2, "--rate <HZ>");
    train("--rate 0", 2, "expected the samples a second");
    train("--rate 100 --channels x,u", 1, "has no column `u`");
    train("--rate 100 --channels x,x", 2, "the same column twice");
    train("--rate 100 --segment rum", 1, "did you mean `run`?");
    train("--rate 100 --segment run --window 100", 1, "take --window 64 or 128");
    train("--rate 100 --segment run --window 4096", 1, "the 4096 samples of a window");
    train("--rate 100 --segment run --window 2048", 1, "training needs at least");
    train("--rate 100 --segment run --features bands:10-10.1-50", 1, "no bin of the spectrum lies");
    train("--rate 100 --segment run --features rms,rms", 1, "asks for `x_log_rms` twice");
    train("--rate 100 --segment run --features bands:32,mean", 1, "a flow takes 2 to 64");
    train("--rate 100 --features kurtosys", 2, "did you mean `kurtosis`?");
    train("--rate 100 --split random", 2, "a raw signal (--rate)");
    refused("features signal.csv --segment run -o new", 2, "--rate");
    refused("score m.flow other.csv -o new", 1, "other.csv");
    folder.write("other.csv", "x,z\n1,2\n3,4\n");
    refused("score m.flow other.csv -o new", 1, "has no column `y`");
    folder.write("other.csv", "x,y\n1,2\n3,4\n");
    refused("score m.flow other.csv -o new", 1, "the 64 samples of the model's window");
    folder.write("other.csv", "x,y\n1,2\n3,2e20\n");
    refused("score m.flow other.csv -o new", 1, "line 3, column `y`");
}
