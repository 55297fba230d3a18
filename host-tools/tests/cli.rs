//! What the tool says of wrong input: the file, the line, the column, what was expected; the exit
//! code; and that nothing was written.

mod command;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use command::Folder;

/// A small model of the columns `a`, `b` and `c`, trained once.
fn model() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = Folder::new();
        folder.write("rows.csv", rows(300));
        folder.accepted(
            "train rows.csv --family real-nvp --epochs 2 --layers 2 --hidden 8 -o model.flow",
        );
        fs::read(folder.path("model.flow")).unwrap()
    })
}

fn rows(count: usize) -> String {
    let line = |k: usize| {
        let x = (k as f64 * 0.7).sin();
        format!("{x},{},{}\n", x * x + (k as f64 * 1.3).cos() * 0.1, (k as f64 * 2.1).sin())
    };
    ["a,b,c\n".to_owned()].into_iter().chain((0..count).map(line)).collect()
}

/// A folder with the model, good rows, and a file `input.csv` of `contents`.
fn folder(contents: impl AsRef<[u8]>) -> Folder {
    let folder = Folder::new();
    folder.write("model.flow", model());
    folder.write("rows.csv", rows(50));
    folder.write("input.csv", contents);
    folder
}

/// The tool refuses: exit code, every part of its message, and no new file in the folder.
#[track_caller]
fn refused(folder: &Folder, arguments: &str, code: i32, parts: &[&str]) {
    let files = || fs::read_dir(folder.path("")).unwrap().count();
    let before = files();
    let output = folder.command(arguments).assert().code(code).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing from: {said}");
    }
    assert!(code == 2 || said.starts_with("error: ") || said.contains("\nerror: "), "{said}");
    assert_eq!(files(), before, "something was written");
}

const TRAIN: &str = "train input.csv -o new.flow";
const SCORE: &str = "score model.flow input.csv -o new.csv";

#[test]
fn rows_for_training() {
    for (count, rows) in [(1, "1 row"), (20, "20 rows"), (61, "61 rows")] {
        let said = format!("input.csv: has {rows}; training needs at least 62");
        refused(&folder(self::rows(count)), TRAIN, 1, &[&said]);
    }
    folder(rows(70)).accepted(&format!("{TRAIN} --family gaussian"));
    // Copies and rows that lack a value are rows of the file.
    let copied = rows(30) + rows(30).trim_start_matches("a,b,c\n") + "1,2,\n";
    let said = "input.csv: has 61 rows, of which 30 can be used; training needs at least 62";
    refused(&folder(copied), &format!("{TRAIN} --missing drop"), 1, &[said, "30 of its 60 rows"]);
    refused(&folder("a\n1\n2\n"), TRAIN, 1, &["input.csv: has 1 feature columns", "2 to 64"]);
    let wide: Vec<String> = (0..65).map(|k| format!("f{k}")).collect();
    let wide = format!("{}\n{}\n", wide.join(","), vec!["1"; 65].join(","));
    refused(&folder(wide), TRAIN, 1, &["input.csv: has 65 feature columns; a flow takes 2 to 64"]);
    let folder = folder(rows(200));
    refused(&folder, "train none.csv -o new.flow", 1, &["none.csv: cannot be read"]);
    refused(
        &folder,
        "train input.csv -o new.flow --exclude speed",
        1,
        &["input.csv: has no column `speed`; it has a, b, c"],
    );
    refused(
        &folder,
        "train input.csv -o new.flow --periodic speed=0..1",
        1,
        &["input.csv: has no column `speed`; it has a, b, c"],
    );
    folder.write("other.csv", "a,b,d\n1,2,3\n");
    refused(
        &folder,
        "train input.csv --validation other.csv -o new.flow",
        1,
        &["other.csv: has no column `c`"],
    );
}

#[test]
fn usage() {
    let folder = folder(rows(200));
    for arguments in [
        "",
        "teach rows.csv",
        "train input.csv",
        "train input.csv -o new.flow --family glow9",
        "train input.csv -o new.flow --hidden 8,8,8,8",
        "train input.csv -o new.flow --hidden 0",
        "train input.csv -o new.flow --hidden 8,wide",
        "train input.csv -o new.flow --layers 0",
        "train input.csv -o new.flow --learning-rate -1",
        "train input.csv -o new.flow --time-limit 10",
        "train input.csv -o new.flow --time-limit soon",
        "train input.csv -o new.flow --family gmm --components 0",
        "train input.csv -o new.flow --family glow --image 8x8",
        "train input.csv -o new.flow --family glow --image 8x8x2",
        "train input.csv -o new.flow --family glow --image 8x7x1",
        "train input.csv -o new.flow --family glow --image 0x8x1",
        "train input.csv -o new.flow --family glow --image 2x2xx",
        "train input.csv -o new.flow --false-alarm-rate 2",
        "train input.csv -o new.flow --ensemble 0",
        "train input.csv -o new.flow --ensemble 5",
        "train input.csv -o new.flow --score median",
        "train input.csv -o new.flow --periodic a",
        "train input.csv -o new.flow --periodic a=360",
        "train input.csv -o new.flow --periodic a=360..0",
        "train input.csv -o new.flow --periodic a=0..inf",
        "train input.csv -o new.flow --periodic a=0..1,b=0..north",
        "evaluate model.flow input.csv",
        "sample model.flow --temperature=-1",
        "sample model.flow --temperature NaN",
    ] {
        refused(&folder, arguments, 2, &["--help"]);
    }
}

#[test]
fn a_context_must_be_complete() {
    let folder = folder(rows(200));
    let train = "train input.csv --family maf --epochs 1 --hidden 8 --context";
    folder.accepted(&format!("{train} c -o given.flow"));
    refused(&folder, &format!("{train} d -o new.flow"), 1, &["no column `d`"]);
    refused(&folder, &format!("{train} b,c -o new.flow"), 1, &["features"]);
    folder.write("short.csv", "a,b\n1,2\n");
    refused(&folder, "score given.flow short.csv -o new.csv", 1, &["short.csv", "no column `c`"]);
    let sample = "sample given.flow -n 3 -o new.csv";
    refused(&folder, sample, 1, &["conditioned on c", "--given"]);
    refused(&folder, &format!("{sample} --given d=1"), 1, &["conditioned on c"]);
    refused(&folder, &format!("{sample} --given c=x"), 2, &["`x`"]);
    refused(&folder, "sample model.flow -n 3 --given c=1 -o new.csv", 1, &["no context"]);
    let inspected = folder.accepted("inspect given.flow");
    assert!(inspected.contains("given           c"), "{inspected}");
    assert!(inspected.contains("Flow::<2, 8, Libm, 1>"), "{inspected}");
}

#[test]
fn ensembles() {
    let folder = folder(rows(200));
    let train = "train input.csv --family maf --epochs 1 --layers 2 --hidden 8 --ensemble";
    let said = folder.accepted(&format!("{train} 3 -o three.flow"));
    for seed in 0..3 {
        assert!(said.contains(&format!("maf, seed {seed}: best epoch 1 of 1")), "{said}");
    }
    folder.accepted(&format!("{train} 2 --score log-density -o two.flow"));

    let inspected = folder.accepted("inspect three.flow");
    assert!(inspected.contains("ensemble        mixture of 3 flows, shares "), "{inspected}");
    assert_eq!(inspected.matches("affine autoregressive").count(), 6, "{inspected}");
    assert!(inspected.contains("\"ensemble\""), "{inspected}");
    assert!(inspected.contains("flow_2          maf, seed 2, epochs 1 of 1"), "{inspected}");
    let json = |name: &str| -> serde_json::Value {
        let json = folder.accepted(&format!("inspect {name} --json"));
        serde_json::from_str(&json).unwrap()
    };
    let [three, two] = ["three.flow", "two.flow"].map(json);
    for key in ["multiply_adds", "parameters"] {
        let members = three["members"].as_array().unwrap().iter();
        let sum: u64 = members.map(|member| member[key].as_u64().unwrap()).sum();
        assert_eq!(three[key], sum, "{key}");
        assert_eq!(two[key], sum / 3 * 2, "{key}");
    }
    assert_eq!(three["ram_bytes"], two["ram_bytes"]);
    assert_eq!(three["provenance"]["ensemble"], "mixture of 3 flows");
    let shares: Vec<f64> =
        two["shares"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
    assert!(shares.len() == 2 && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-3, "{shares:?}");
    assert_eq!(three["balances"].as_array().unwrap().len(), 3);
    assert_eq!(two["balances"].as_array().unwrap().len(), 0);

    for name in ["three", "two"] {
        folder.accepted(&format!("score {name}.flow rows.csv -o {name}.csv"));
        folder.accepted(&format!("sample {name}.flow -n 5 -o samples.csv"));
    }
    folder.accepted("train input.csv --family gmm --components 2 --ensemble 2 -o gmm.flow");
    folder.accepted("train input.csv --family gmm --components 2 --context c -o gmm.flow");
    folder.accepted("score gmm.flow rows.csv -o gmm.csv");
    folder.accepted(&format!("{train} 2 --context c -o given.flow"));
    assert!(folder.accepted("inspect given.flow").contains("Flow::<2, 8, Libm, 1>"));
}

#[test]
fn options_that_do_not_go_together() {
    let folder = folder(rows(200));
    for (options, message) in [
        ("--layers 3", "--layers means nothing with --family auto"),
        ("--base student-t", "--base means nothing with --family auto"),
        ("--family auto --components 3", "--components means nothing with --family auto"),
        ("--image 2x2x1", "--image means nothing with --family auto"),
        ("--family maf --image 2x2x1", "--image means nothing with another family than glow"),
        ("--context a --exclude a", "--context means nothing with the same column in --exclude"),
        (
            "--periodic a=0..1 --exclude a",
            "--periodic means nothing with the same column in --exclude",
        ),
        (
            "--periodic a=0..1 --context a",
            "--periodic means nothing with the same column in --context",
        ),
        ("--periodic a=0..1,a=0..2", "--periodic means nothing with the same column twice"),
        (
            "--family maf --periodic a=0..1",
            "--periodic means nothing with a family without splines",
        ),
        (
            "--family spline-coupling --periodic a=0..1 --base student-t",
            "--periodic means nothing with another base than standard-normal",
        ),
        ("--family gmm --layers 3", "--layers means nothing with a family without layers"),
        ("--family gaussian --layers 3", "--layers means nothing with a family without layers"),
        ("--family gmm --base mixture", "--base means nothing with a family without layers"),
        ("--family gaussian --components 2", "--components means nothing with a family and base"),
        (
            "--family maf --components 3",
            "--components means nothing with a family and base without mixtures",
        ),
        (
            "--family maf --base student-t --components 3",
            "--components means nothing with a family and base without mixtures",
        ),
    ] {
        refused(&folder, &format!("{TRAIN} {options}"), 2, &[message, "--help"]);
    }
}

#[test]
fn rows_that_are_no_such_images() {
    let folder = folder(rows(200));
    let train = format!("{TRAIN} --family glow --image 2x2x1");
    let said = "input.csv: has 3 feature columns; --image 2x2x1 takes 4";
    refused(&folder, &train, 1, &[said]);
    let said = "input.csv: has 2 feature columns; --image 2x2x1 takes 4";
    refused(&folder, &format!("{train} --context a"), 1, &[said]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = folder(rows(200));
    fs::create_dir(folder.path("taken")).unwrap();
    let said = &["cannot be written", "nothing was changed"];
    refused(&folder, "train input.csv -o missing/new.flow", 1, said);
    refused(&folder, "train input.csv -o taken", 1, said);
    refused(&folder, "score model.flow rows.csv -o missing/new.csv", 1, said);
    refused(&folder, "sample model.flow -o taken", 1, said);
}

/// The system stops a file that grows beyond the limit, as a full disk would.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let folder = folder(rows(2000));
    folder.write("old.csv", "precious");
    let before = fs::read_dir(folder.path("")).unwrap().count();
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} score model.flow input.csv -o old.csv",
        env!("CARGO_BIN_EXE_flowlet")
    );
    let mut shell = Command::new("bash");
    let output = shell.args(["-c", &script]).current_dir(folder.path("")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("old.csv: cannot be written"), "{said}");
    assert_eq!(fs::read(folder.path("old.csv")).unwrap(), b"precious");
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_written_and_not_replaced() {
    let folder = folder("");
    let said = folder.accepted("score model.flow rows.csv -o /dev/null");
    assert_eq!(said, "");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    folder.command("score model.flow rows.csv -o /dev/full").assert().code(1);
    assert!(!fs::metadata("/dev/full").unwrap().is_file());
}

#[test]
fn one_standard_input_is_read_once() {
    let folder = folder(rows(200));
    refused(&folder, "train - --validation - -o new.flow", 2, &["--validation -", "rows from `-`"]);
}

/// Where a model was read from or what its rows were called does not change it.
#[test]
fn the_model_file_holds_no_path() {
    let folder = folder(rows(200) + "900,0,0\n");
    folder.write("moved.csv", rows(200) + "900,0,0\n");
    folder.write("val.csv", rows(300) + "900,0,0\n");
    for options in ["", "--validation val.csv"] {
        let train = |input: &str| {
            let said =
                folder.accepted(&format!("train {input} -o new.flow --family gaussian {options}"));
            assert!(said.contains("apart from the usual ones"), "{said}");
            fs::read(folder.path("new.flow")).unwrap()
        };
        assert_eq!(train("input.csv"), train("./moved.csv"));
    }
}

#[test]
fn a_constant_is_told_as_it_stands_in_the_file() {
    let line = |k: usize| format!("101325,{},{}\n", (k as f64 * 0.7).sin(), (k as f64 * 1.3).cos());
    let folder = folder("p,a,b\n".to_owned() + &(0..200).map(line).collect::<String>());
    for offset in ["", "--offset p=101000", "--offset p=101325"] {
        let said = folder.accepted(&format!("{TRAIN} --family gaussian {offset}"));
        assert!(said.contains("column `p` is constant (101325)"), "{said}");
        assert!(said.contains("column `p`: values off 101325 by"), "{said}");
    }
    let train = format!("{TRAIN} --family spline-coupling --epochs 1 --hidden 8");
    let said = folder.accepted(&format!("{train} --periodic p=101000..102000"));
    // On a circle no value is far from the constant.
    assert!(said.contains("is constant (101325)") && !said.contains("values off"), "{said}");
}

#[test]
fn a_killed_training_leaves_nothing() {
    let folder = folder(rows(2000));
    let before = fs::read_dir(folder.path("")).unwrap().count();
    let mut training = Command::new(env!("CARGO_BIN_EXE_flowlet"))
        .args(["train", "input.csv", "-o", "new.flow", "--family", "real-nvp"])
        .args(["--epochs", "100000", "--patience", "99999"])
        .current_dir(folder.path(""))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(training.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.starts_with("epoch 1 ")));
    training.kill().unwrap();
    training.wait().unwrap();
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), before);
}

#[test]
fn models() {
    let folder = folder(rows(20));
    let model = model();
    folder.write("short.flow", &model[..model.len() - 7]);
    let mut altered = model.to_vec();
    altered[model.len() / 2] ^= 4;
    folder.write("altered.flow", &altered);
    let mut newer = model.to_vec();
    newer[4] = 2;
    folder.write("newer.flow", &newer);
    folder.write("empty.flow", "");
    let is_unix = fs::exists("/dev/zero").unwrap();
    let endless = is_unix.then_some(("/dev/zero", "/dev/zero: not a flowlet model file"));
    let cases = [
        ("none.flow", "none.flow: cannot be read"),
        ("input.csv", "input.csv: "),
        ("empty.flow", "empty.flow: "),
        ("short.flow", "short.flow: "),
        ("altered.flow", "altered.flow: "),
        ("newer.flow", "newer.flow: "),
    ];
    for (name, part) in cases.into_iter().chain(endless) {
        for arguments in [
            format!("inspect {name}"),
            format!("sample {name} -o new.csv"),
            format!("score {name} rows.csv -o new.csv"),
            format!("evaluate {name} rows.csv --label c"),
        ] {
            refused(&folder, &arguments, 1, &[part]);
        }
    }
}

#[test]
fn columns_that_differ_from_the_models() {
    let folder = folder("a,b,d\n1,2,3\n");
    refused(&folder, SCORE, 1, &["input.csv: has no column `c`", "a, b, d"]);
    refused(
        &folder,
        "evaluate model.flow rows.csv --label labl",
        1,
        &["rows.csv: has no column `labl`"],
    );
    folder.write("labelled.csv", "a,b,c,label\n0.1,0.2,0.3,odd\n");
    refused(
        &folder,
        "evaluate model.flow labelled.csv --label label",
        1,
        &["labelled.csv, line 2, column `label`: is `odd`; expected "],
    );
    // Matched by name: another order and further columns change nothing.
    folder.write("swapped.csv", "note,c,a,b\nx,0.3,0.1,0.2\n");
    folder.write("plain.csv", "a,b,c\n0.1,0.2,0.3\n");
    assert_eq!(
        folder.accepted("score model.flow swapped.csv"),
        folder.accepted("score model.flow plain.csv")
    );
}

#[test]
fn rows_are_scored_as_they_come() {
    let folder = folder("");
    let mut scoring = Command::new(env!("CARGO_BIN_EXE_flowlet"))
        .args(["score", "model.flow", "-"])
        .current_dir(folder.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = scoring.stdin.take().unwrap();
    let mut scores = BufReader::new(scoring.stdout.take().unwrap()).lines();
    // Far more rows than the buffers on the way hold, and no end of them: scores come before it.
    writeln!(rows, "a,b,c").unwrap();
    let feeder = std::thread::spawn(move || {
        for row in 0..20_000 {
            if writeln!(rows, "0.{row},0.2,0.3").is_err() {
                return;
            }
        }
    });
    assert_eq!(scores.next().unwrap().unwrap(), "log_density,score,anomaly");
    for _ in 0..10_000 {
        assert_eq!(scores.next().unwrap().unwrap().split(',').count(), 3);
    }
    // The reader leaves; that is no error.
    drop(scores);
    feeder.join().unwrap();
    assert!(scoring.wait().unwrap().success());
}

#[test]
fn evaluation_as_json_has_the_promised_keys() {
    let folder = folder("a,b,c,label\n0.1,0.02,0.3,0\n9,9,9,1\n0.2,0.05,0.1,0\n");
    let json = folder.accepted("evaluate model.flow input.csv --label label --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "rows",
            "anomalies",
            "auroc",
            "average_precision",
            "mean_log_density",
            "mean_log_density_standardized",
            "median_log_density",
            "median_log_density_standardized",
            "log_density_quantile_01",
            "log_density_quantile_01_standardized",
            "false_alarm_rate",
            "detection_rate",
            "blame"
        ]
    );
    assert_eq!((&json["rows"], &json["anomalies"]), (&3.into(), &1.into()));
    assert_eq!(json["auroc"], 1.0);
}
