//! Where results go: no input is lost, files appear whole or not at all, and pipes, devices,
//! permissions, full disks and signals are met as by any Unix tool.
#![cfg(unix)]

mod command;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use command::Folder;
use flowlet::write::{Calibration, Description, Feature};

/// Options of a training that takes no time.
const QUICK: &str = "--family gaussian";

fn rows(count: usize) -> String {
    let line = |k: usize| format!("{},{}\n", (k as f64 * 0.7).sin(), (k as f64 * 1.3).cos());
    ["a,b\n".to_owned()].into_iter().chain((0..count).map(line)).collect()
}

/// A folder with rows and their model.
fn folder() -> Folder {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    let folder = Folder::new();
    folder.write("rows.csv", rows(600));
    let model = MODEL.get_or_init(|| {
        folder.accepted(&format!("train rows.csv -o model.flow {QUICK}"));
        fs::read(folder.path("model.flow")).unwrap()
    });
    folder.write("model.flow", model);
    folder
}

/// Runs a script of bash in `folder`, where `flowlet` is the tool.
fn bash(folder: &Folder, script: &str) -> Output {
    let script =
        format!("flowlet() {{ command {} \"$@\"; }}\n{script}", env!("CARGO_BIN_EXE_flowlet"));
    Command::new("bash").args(["-c", &script]).current_dir(folder.path("")).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The verbs that write a result, without their `-o`.
fn verbs() -> [String; 3] {
    let score = "score model.flow rows.csv";
    [format!("train rows.csv {QUICK}"), score.into(), "sample model.flow".into()]
}

/// The names in a folder, hidden ones too.
fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path("")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn no_output_replaces_an_input() {
    let folder = folder();
    folder.write("val.csv", rows(300));
    fs::create_dir(folder.path("sub")).unwrap();
    let train = format!("train rows.csv --validation val.csv {QUICK}");
    let score = "score model.flow rows.csv";
    let cases = [
        (&train[..], "rows.csv"),
        (&train, "val.csv"),
        (score, "rows.csv"),
        (score, "model.flow"),
        ("sample model.flow", "model.flow"),
    ];
    for (arguments, input) in cases {
        let before = fs::read(folder.path(input)).unwrap();
        symlink(input, folder.path("link")).unwrap();
        symlink("link", folder.path("chain")).unwrap();
        fs::hard_link(folder.path(input), folder.path("hard")).unwrap();
        let absolute = folder.path(input).display().to_string();
        let other = [format!("./{input}"), format!("sub/../{input}"), absolute];
        for output in ["link", "chain", "hard", input].map(String::from).into_iter().chain(other) {
            let run = folder.command(&format!("{arguments} -o {output}")).assert().code(1);
            let said = text(&run.get_output().stderr);
            assert!(said.starts_with(&format!("error: {output}: is the same file as ")), "{said}");
            assert_eq!(fs::read(folder.path(input)).unwrap(), before);
        }
        // The input may be the one that is spelled otherwise.
        let through = arguments.replace(input, "link");
        folder.command(&format!("{through} -o {input}")).assert().code(1);
        assert_eq!(fs::read(folder.path(input)).unwrap(), before);
        for name in ["link", "chain", "hard"] {
            fs::remove_file(folder.path(name)).unwrap();
        }
    }
    // Redirections are inputs and outputs too.
    let before = fs::read(folder.path("rows.csv")).unwrap();
    for script in [
        "flowlet score model.flow - -o rows.csv < rows.csv",
        "flowlet score model.flow rows.csv >> rows.csv",
        "flowlet sample model.flow >> model.flow",
    ] {
        let run = bash(&folder, script);
        assert_eq!(run.status.code(), Some(1), "{script}");
        assert!(text(&run.stderr).contains("is the same file as"), "{script}");
    }
    assert_eq!(fs::read(folder.path("rows.csv")).unwrap(), before);
    folder.accepted("inspect model.flow");
}

#[test]
fn what_cannot_be_written_is_found_before_any_work() {
    let folder = folder();
    fs::create_dir(folder.path("taken")).unwrap();
    folder.write("file", "");
    symlink("circle", folder.path("circle")).unwrap();
    symlink("missing/file", folder.path("dangling")).unwrap();
    let long = "x".repeat(300);
    let before = names(&folder);
    for output in [
        "missing/",
        "missing/new",
        "new/.",
        "file/new",
        "file/",
        "taken",
        "taken/",
        ".",
        "..",
        "circle",
        "dangling",
        "/dev/fd/77",
        "/dev/stdin",
        &long,
        "",
    ] {
        for verb in verbs() {
            let mut command = folder.command(&verb);
            let run = command.args(["-o", output]).assert().failure();
            let said = text(&run.get_output().stderr);
            assert!(
                !said.contains("log-density") && !said.contains("rows are set aside"),
                "{said}"
            );
            assert!(said.starts_with("error: ") && said.len() < 500, "{output}: {said}");
        }
    }
    assert_eq!(names(&folder), before);
}

#[test]
fn permissions_are_those_of_the_umask_or_of_the_file_replaced() {
    let folder = folder();
    let mode = |name: &str| fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o7777;
    for verb in verbs() {
        for (umask, expected) in [("077", 0o600), ("022", 0o644), ("002", 0o664)] {
            bash(&folder, &format!("umask {umask}; rm -f new; flowlet {verb} -o new"));
            assert_eq!(mode("new"), expected, "{verb} with umask {umask}");
        }
        for kept in [0o600, 0o640, 0o666, 0o755] {
            folder.write("old", "");
            fs::set_permissions(folder.path("old"), fs::Permissions::from_mode(kept)).unwrap();
            folder.accepted(&format!("{verb} -o old"));
            assert_eq!(mode("old"), kept, "{verb}");
        }
    }
}

#[test]
fn a_link_stays_and_what_it_points_to_is_written() {
    let folder = folder();
    fs::create_dir(folder.path("sub")).unwrap();
    for verb in verbs() {
        for target in ["sub/there", "sub/new"] {
            folder.write("sub/there", "old");
            symlink(target, folder.path("link")).unwrap();
            folder.accepted(&format!("{verb} -o link"));
            assert!(fs::symlink_metadata(folder.path("link")).unwrap().is_symlink());
            assert!(fs::metadata(folder.path(target)).unwrap().len() > 10);
            fs::remove_file(folder.path("link")).unwrap();
        }
    }
}

/// Nothing stops root.
#[test]
fn what_is_read_only_stays() {
    let folder = folder();
    folder.write("old", "precious");
    let read_only = fs::Permissions::from_mode(0o444);
    fs::set_permissions(folder.path("old"), read_only).unwrap();
    if fs::File::options().append(true).open(folder.path("old")).is_ok() {
        return;
    }
    for verb in verbs() {
        let run = folder.command(&format!("{verb} -o old")).assert().code(1);
        let said = text(&run.get_output().stderr);
        assert!(said.starts_with("error: old: cannot be written"), "{said}");
        assert_eq!(fs::read(folder.path("old")).unwrap(), b"precious");
    }
}

#[test]
fn streams_get_what_a_file_gets() {
    for verb in verbs() {
        let folder = folder();
        folder.accepted(&format!("{verb} -o expected"));
        let expected = fs::read(folder.path("expected")).unwrap();
        for script in [
            "flowlet VERB -o - > got",
            "flowlet VERB -o /dev/stdout > got",
            "flowlet VERB -o /dev/fd/1 > got",
            "flowlet VERB -o /dev/stdout | cat > got",
            "ln -s /dev/stdout link; flowlet VERB -o link > got",
            "flowlet VERB -o /dev/fd/7 7>> got",
            "flowlet -qqq VERB -o /dev/stderr 2> got",
            "flowlet VERB -o /dev/fd/7 7>&1 > /dev/null | cat > got",
            "mkfifo p; cat p > got & flowlet VERB -o p && wait && [ -p p ]",
            "flowlet VERB -o >(cat > part; mv part got); while [ ! -e got ]; do sleep .01; done",
        ] {
            let run = bash(&folder, &script.replace("VERB", &verb));
            assert!(run.status.success(), "{script}: {}", text(&run.stderr));
            assert_eq!(fs::read(folder.path("got")).unwrap(), expected, "{verb}: {script}");
            bash(&folder, "rm -f got link p");
        }
        // What stood there and what comes before and after stay.
        for script in [
            "echo above > got; flowlet VERB -o - >> got; echo below >> got",
            "(echo above; flowlet VERB -o /dev/stdout; echo below) > got",
            "(echo above >&7; flowlet VERB -o /dev/fd/7; echo below >&7) 7>> got",
            "(echo above >&2; flowlet -qqq VERB -o /dev/stderr; echo below >&2) 2> got",
        ] {
            bash(&folder, "rm -f got");
            bash(&folder, &script.replace("VERB", &verb));
            let framed = [b"above\n", &expected[..], b"below\n"].concat();
            assert_eq!(fs::read(folder.path("got")).unwrap(), framed, "{verb}: {script}");
        }
        assert!(!names(&folder).contains(&"-".into()));
    }
}

#[test]
fn a_lost_result_is_an_error_and_a_lost_message_is_none() {
    let folder = folder();
    if !fs::exists("/dev/full").unwrap() {
        return;
    }
    let printing =
        ["inspect model.flow", "inspect --json model.flow", "completions fish", "--help"];
    let printing = printing.map(String::from).into_iter().chain(verbs().into_iter().skip(1));
    for verb in printing {
        let run = bash(&folder, &format!("flowlet {verb} > /dev/full"));
        assert_eq!(run.status.code(), Some(1), "{verb}");
        assert!(text(&run.stderr).starts_with("error: standard output: cannot be written"));
    }
    for verb in verbs() {
        let run = bash(&folder, &format!("flowlet {verb} -o /dev/full"));
        assert_eq!(run.status.code(), Some(1), "{verb}");
        assert!(text(&run.stderr).contains("error: /dev/full: cannot be written"));
    }
    for (arguments, code) in [
        (&format!("train rows.csv -o new {QUICK}")[..], 0),
        ("inspect none.flow", 1),
        ("train rows.csv -o new --layers 0", 2),
    ] {
        for closed in ["2> /dev/full", "2>&-", "2>&1 | true; exit ${PIPESTATUS[0]}"] {
            let run = bash(&folder, &format!("flowlet {arguments} {closed}"));
            assert_eq!(run.status.code(), Some(code), "{arguments} {closed}");
        }
    }
}

/// What is written to the same number later would overwrite it.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_open_under_a_number_and_does_not_append_is_refused() {
    let folder = folder();
    for verb in verbs() {
        let script = "(echo above >&7; flowlet VERB -o /dev/fd/7; echo $? >&7) 7> got";
        let run = bash(&folder, &script.replace("VERB", &verb));
        assert_eq!(fs::read(folder.path("got")).unwrap(), b"above\n1\n", "{verb}");
        let said = text(&run.stderr);
        assert!(said.contains("error: /dev/fd/7: cannot be written") && said.contains("7>> FILE"));
    }
}

#[test]
fn standard_output_that_is_open_for_reading_alone_is_refused() {
    let folder = folder();
    for verb in verbs().into_iter().map(|verb| verb + " -o -").chain(["inspect model.flow".into()])
    {
        let run = bash(&folder, &format!("flowlet {verb} 1< rows.csv"));
        assert_eq!(run.status.code(), Some(1), "{verb}");
        let said = text(&run.stderr);
        assert!(said.contains("error: standard output: cannot be written"), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_file_sizes_is_an_error_like_a_full_disk() {
    let folder = folder();
    folder.write("old", "precious");
    let before = names(&folder);
    for verb in ["score model.flow rows.csv", "sample model.flow -n 1000"] {
        let run = bash(&folder, &format!("ulimit -f 1; flowlet {verb} -o old"));
        assert_eq!(run.status.code(), Some(1), "{verb}: {}", text(&run.stderr));
        assert!(text(&run.stderr).contains("error: old: cannot be written: File too large"));
        assert_eq!(
            (names(&folder), fs::read(folder.path("old")).unwrap()),
            (before.clone(), b"precious".to_vec())
        );
    }
}

#[test]
fn what_the_system_refuses_is_said_in_its_words() {
    let folder = folder();
    for (script, said) in [
        ("flowlet sample model.flow -o none/new", "its folder does not exist; make it first"),
        ("flowlet sample model.flow -o none/", "it is a folder; name a file in it"),
        ("ulimit -n 5; flowlet sample model.flow -o new", "Too many open files"),
        ("mkdir gone; cd gone; rmdir ../gone; flowlet sample ../model.flow -o new", "No such file"),
    ] {
        let run = bash(&folder, script);
        assert_eq!(run.status.code(), Some(1), "{script}");
        assert!(text(&run.stderr).contains(said), "{script}: {}", text(&run.stderr));
    }
}

#[test]
fn half_a_model_is_an_error() {
    let folder = folder();
    let train = &verbs()[0];
    for script in [
        "{ sleep .3; flowlet VERB -o -; } | true; exit ${PIPESTATUS[0]}",
        "{ sleep .3; flowlet VERB -o /dev/stdout; } | true; exit ${PIPESTATUS[0]}",
    ] {
        let run = bash(&folder, &script.replace("VERB", train));
        assert_eq!(run.status.code(), Some(1), "{script}");
        assert!(text(&run.stderr).contains("cannot be written: Broken pipe"), "{script}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_work_quietly() {
    let folder = folder();
    for verb in [
        "--help",
        "completions zsh",
        "inspect model.flow",
        "score model.flow rows.csv",
        "sample model.flow -n 100000000",
        "sample model.flow -n 100000000 -o /dev/stdout",
    ] {
        let run = bash(&folder, &format!("flowlet {verb} | true; exit ${{PIPESTATUS[0]}}"));
        assert_eq!((run.status.code(), text(&run.stderr)), (Some(0), String::new()), "{verb}");
    }
}

/// Starts the tool, sends `signal` once it is at work, and waits for the end.
fn interrupted(folder: &Folder, arguments: &str, signal: &str) -> Option<i32> {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_flowlet"))
        .args(arguments.split_whitespace())
        .current_dir(folder.path(""))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(tool.stderr.take().unwrap());
    // For score, which then waits for further rows.
    tool.stdin.as_mut().unwrap().write_all(b"a,b\n0.1,0.2\n").unwrap();
    let start = Instant::now();
    if arguments.starts_with("train") {
        let lines = said.by_ref().lines();
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with("epoch 1 ")));
    } else {
        let is_temporary = |name: &String| name.starts_with(".flowlet-");
        while !names(folder).iter().any(is_temporary) {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is written");
        }
    }
    let kill = format!("kill -{signal} {}", tool.id());
    assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
    // Not `wait` alone, which would end the standard input first.
    let rows = tool.stdin.take();
    let status = tool.wait().unwrap();
    drop(rows);
    status.signal()
}

#[test]
fn an_interruption_leaves_no_file() {
    let folder = folder();
    folder.write("old", "precious");
    let before = names(&folder);
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("QUIT", 3)] {
        for arguments in [
            "sample model.flow -n 100000000 -o old",
            "score model.flow - -o old",
            "train rows.csv -o old --family real-nvp --epochs 100000 --patience 99999",
        ] {
            assert_eq!(interrupted(&folder, arguments, signal), Some(number), "{arguments}");
            assert_eq!(names(&folder), before);
            assert_eq!(fs::read(folder.path("old")).unwrap(), b"precious");
        }
    }
}

/// As under nohup.
#[cfg(target_os = "linux")]
#[test]
fn an_ignored_hang_up_stays_ignored() {
    let folder = folder();
    let script = "trap '' HUP; flowlet sample model.flow -n 300000 -o new & \
                  until ls .flowlet-* > /dev/null 2>&1; do :; done; kill -HUP $!; wait $!";
    let run = bash(&folder, script);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(text(&fs::read(folder.path("new")).unwrap()).lines().count(), 300_001);
}

#[test]
fn messages_are_short_however_long_the_words_are() {
    let folder = folder();
    let word = "x".repeat(3000);
    for arguments in [
        format!("inspect {word}"),
        format!("train rows.csv -o {word}"),
        format!("train rows.csv -o new --{word}"),
        format!("train rows.csv -o new --family {word}"),
        format!("evaluate model.flow rows.csv --label {word}"),
        word.clone(),
    ] {
        let run = folder.command(&arguments).assert().failure();
        let said = text(&run.get_output().stderr);
        assert!(said.starts_with("error: ") && said.chars().count() <= 500, "{said}");
    }
    // Help is no message.
    let help = text(&folder.command("").assert().code(2).get_output().stderr);
    assert!(["train", "inspect"].iter().all(|verb| help.contains(verb)), "{help}");
}

#[test]
fn a_name_forges_no_fact() {
    let folder = folder();
    let line = |k: usize| format!("{},{}\n", (k % 7) as f64 * 0.1, (k as f64 * 1.3).cos());
    let rows: String = (0..400).map(line).collect();
    let train = format!("train rows.csv --seed 5 -o forged.flow {QUICK}");
    for refused in ["\"a\nseed=99\"", "a\rseed=99", "a\u{1b}[2J"] {
        folder.write("rows.csv", format!("{refused},b\n{rows}"));
        folder.command(&train).assert().code(1);
    }
    let name = "a\u{2028}seed=99\u{2028}threshold 1";
    folder.write("rows.csv", format!("{name},b\n{rows}"));
    folder.accepted(&train);
    let shown = folder.accepted("inspect forged.flow");
    assert!(shown.contains("dequantised     a\\"), "no fact holds the name: {shown}");
    is_one_fact_a_line(&shown);
    let json: serde_json::Value =
        serde_json::from_str(&folder.accepted("inspect --json forged.flow")).unwrap();
    assert_eq!(json["provenance"]["seed"], "5");
    assert_eq!(json["features"][0], name);
}

/// Whatever wrote it, a model file may hold any name.
#[test]
fn a_name_in_a_model_forges_no_fact() {
    let folder = folder();
    let name = "a\nseed=99\r\nthreshold 1\u{1b}[2J";
    let feature = |name: &str| Feature {
        name: name.into(),
        centre: 0.0,
        scale: 1.0,
        low: -1.0,
        high: 1.0,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    let calibration =
        Calibration { rows: 100, thresholds: vec![(0.01, 9.0)], ..Calibration::default() };
    let description = Description {
        features: vec![feature(name), feature("b")],
        calibration: Some(calibration),
        provenance: "seed=5\n".into(),
        ..Description::default()
    };
    folder.write("forged.flow", description.to_file().bytes());
    is_one_fact_a_line(&folder.accepted("inspect forged.flow"));
}

/// The names above, which hold a seed and a threshold, add no line, and nothing else to a terminal.
fn is_one_fact_a_line(shown: &str) {
    let facts = |start: &str| shown.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((facts("seed "), facts("seed="), facts("threshold ")), (1, 0, 1), "{shown}");
    let may_move = |c: char| c.is_control() && c != '\n' || c == '\u{2028}';
    assert!(!shown.contains(may_move), "{shown:?}");
}

#[test]
fn labels_that_the_model_has_read_are_refused() {
    let folder = folder();
    folder.write("test.csv", "a,b,Label\n0.1,0.2,0\n0.3,0.1,1\n");
    folder.accepted("evaluate model.flow test.csv --label Label");
    for column in ["a", "b"] {
        let arguments = format!("evaluate model.flow test.csv --label {column}");
        let run = folder.command(&arguments).assert().code(1);
        let said = text(&run.get_output().stderr);
        let parts =
            [format!("model.flow: the label column `{column}`"), format!("--exclude {column}")];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn labels_the_wrong_way_round_are_told() {
    let folder = folder();
    let line = |k: usize| match k % 2 {
        0 => format!("{},{},0,1\n", (k as f64 * 0.7).sin(), (k as f64 * 1.3).cos()),
        _ => format!("{},9,1,0\n", 5 + k % 3),
    };
    let rows: String = (0..100).map(line).collect();
    folder.write("test.csv", format!("a,b,label,ok\n{rows}"));
    let said = folder.accepted("evaluate model.flow test.csv --label ok");
    assert!(said.starts_with("warn: test.csv: AUROC is 0.000, "), "{said}");
    assert!(said.contains("labels are reversed"), "{said}");
    let said = folder.accepted("evaluate model.flow test.csv --label label");
    assert!(said.starts_with("rows "), "{said}");
}
