//! What the tool reads as rows, and what it says of files that hold none: what is wrong, on which
//! line, and what to do.

mod command;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use command::Folder;
use flowlet_tools::error::{Error, Result};
use flowlet_tools::rows::dataset::Dataset;
use flowlet_tools::rows::missing::Missing;
use flowlet_tools::rows::table::Table;
use proptest::collection::vec;
use proptest::prelude::*;

/// Good rows of the columns `temp`, `press` and `vib`, with a text column `note`.
fn rows(count: usize) -> Vec<String> {
    let row = |k: usize| {
        let x = (k as f64 * 0.7).sin();
        format!("{x:.4},{:.4},{:.4},ok", x * x + (k as f64 * 1.3).cos(), (k as f64 * 2.1).sin())
    };
    ["temp,press,vib,note".to_owned()].into_iter().chain((0..count).map(row)).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// A model of `rows`, trained once.
fn model() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = Folder::new();
        folder.write("rows.csv", text(&rows(200)));
        folder.accepted("train rows.csv -o model.flow --family gaussian --exclude note");
        fs::read(folder.path("model.flow")).unwrap()
    })
}

/// A folder with the model and `input.csv`.
fn folder(contents: impl AsRef<[u8]>) -> Folder {
    let folder = Folder::new();
    folder.write("model.flow", model());
    folder.write("input.csv", contents);
    folder
}

const TRAIN: &str = "train input.csv -o new --family gaussian --exclude note";
const SCORE: &str = "score model.flow input.csv -o new";
const EVALUATE: &str = "evaluate model.flow input.csv --label note";

/// The tool refuses and writes nothing. Returns what it said.
#[track_caller]
fn refused(folder: &Folder, arguments: &str) -> String {
    let output = folder.command(arguments).assert().code(1).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    let error = said.split("error: ").nth(1).expect("a message");
    assert!(error.chars().count() < 490, "{error}");
    assert!(!folder.path("new").exists(), "something was written");
    error.trim_end().to_owned()
}

/// All rows of a text, or its refusal.
fn read(text: impl AsRef<[u8]>, missing: Missing) -> Result<Dataset> {
    let input = std::io::Cursor::new(text.as_ref().to_vec());
    let table = Table::new("input.csv".into(), Box::new(input))?;
    table.with_missing(missing).read(&[], &[])
}

/// Each text is refused, by a message with each of its parts.
#[track_caller]
fn all_refused(cases: &[(&[u8], &[&str])]) {
    for (text, parts) in cases {
        let error = read(text, Missing::Refuse).expect_err(&String::from_utf8_lossy(text));
        let said = error.to_string();
        for part in *parts {
            assert!(said.contains(part), "`{part}` is missing from: {said}");
        }
    }
}

#[test]
fn files_without_rows() {
    all_refused(&[
        (b"", &["input.csv: is empty", "expected a header"]),
        (b"\n\r\n \n", &["input.csv: is empty"]),
        (b"a,b,c\n", &["input.csv: has a header but no rows"]),
        (b"\x7fELF\0\x01,\xfe\xff", &["input.csv, line 1: is not text"]),
    ]);
}

#[test]
fn headers() {
    all_refused(&[
        (b"a,b,a\n1,2,3\n", &["line 1: column 3 is named `a` like one before it"]),
        (b"a,,c\n1,2,3\n", &["line 1: column 2 is without a name"]),
        (b",a,b\n0,2,3\n", &["line 1: column 1", "index", "pandas"]),
        (b"a,b,\n1,2,\n", &["line 1: ends in a comma"]),
        (b"a,b,,,\n1,2,,,\n", &["line 1: ends in a comma"]),
        (b"a,b\n1,2,\n", &["line 2: ends in a comma"]),
        (b"1,2,3\n4,5,6\n", &["line 1: is a row of data (`1`)", "header"]),
        (b"\n1,2,3\n4,5,6\n", &["line 2: is a row of data (`1`)", "header"]),
        (b"ok,2.5\nok,3.5\n", &["line 1: is a row of data (`2.5`)", "header"]),
        (b"2024-05-01 10:00:00,ok\nx,1\n", &["line 1: is a row of data (`2024-05-01 10:00:00`)"]),
        (b"\"1,5\",\"2,5\"\n\"1,5\",\"2,5\"\n", &["line 1: is a row of data (`1,5`)", "header"]),
        (b"a;b;c\n1;2;3\n", &["line 1: columns are separated by `;`", "commas"]),
        (b"a;b\n1,5;2,5\n", &["line 1: columns are separated by `;`"]),
        (b"\"a, m\";b\n1;2\n", &["line 1: columns are separated by `;`"]),
        (b"a, m;b;c\n1;2;3\n", &["columns are separated by `;`"]),
        (b"a, m;b, s\n1,5;2,5\n", &["columns are separated by `;`"]),
        (b"a\tb\n1\t2\n", &["columns are separated by tabs"]),
        (b"a|b\n1|2\n", &["columns are separated by `|`"]),
        (b"a b\n1 2\n", &["line 1: is `a b` alone", "names between commas"]),
        (b"Logger of May\na,b\n1,2\n", &["line 1: is `Logger of May`", "above the header"]),
        (b"Pump data,,\na,b,c\n1,2,3\n", &["line 1: is `Pump data` alone", "above the header"]),
        (b",,,\na,b,c,d\n1,2,3,4\n", &["line 1: is a line of empty cells", "remove the line"]),
        (b"Serial,12345\na,b\n1,2\n", &["line 1: is a row of data (`12345`)", "above it"]),
        (b"\"a,b\"\n\"1,2\"\n", &["line 1: is `a,b` alone", "quotation marks around"]),
        (b"a:b\n1:2\n", &["line 1: columns are separated by `:`"]),
        (b"{\"a\": 1, \"b\": 2}\n", &["line 1: is `{\"a\": 1, \"b\": 2}` alone"]),
        (b"sep=,\na,b\n1,2\n", &["line 1: is a `sep=` line", "remove it"]),
        (b"\"sep=;\"\na;b\n1;2\n", &["line 1: is a `sep=` line"]),
        (b"# May, 2024\na,b\n1,2\n", &["line 1: begins with `#` like a comment"]),
        (b"// May\na,b\n1,2\n", &["line 1: begins with `//` like a comment"]),
        (b"\"a\nb=1\",c\n1,2\n", &["line 1: cell 1", "quotation mark"]),
        (b"\"a\rb=1\",c\n1,2\n", &["line 1: cell 1", "quotation mark"]),
        (b"a,b\x1bc\n1,2\n", &["line 1: the name of column 2, `b\\u{1b}c`", "control"]),
    ]);
}

#[test]
fn rows_that_are_none() {
    all_refused(&[
        (b"a,b,c\n1,2,3\n1,2\n", &["line 3: has 2 cells; expected 3"]),
        (b"a,b,c\n1,2,3,4\n", &["line 2: has 4 cells; expected 3"]),
        (b"a,b,c\n1,2,3\n\"1,2\",3\n", &["line 3: has 2 cells", "quotation marks"]),
        (b"a,b\n1,5,2,5\n", &["line 2: has 4 cells", "decimal commas"]),
        (b"a,b\n1,2\n#3,4\n", &["line 3: begins with `#` like a comment"]),
        (b"a,b\n1,2\n# pump swapped\n3,4\n", &["line 3: begins with `#` like a comment"]),
        (b"a,b\n1,2\n; pump swapped\n3,4\n", &["line 3: begins with `;` like a comment"]),
        (b"a,b\n1,2\n\nend\n", &["line 4: is `end`, one cell of text; expected 2 cells"]),
        (b"a,b\n1,2\na,b\n3,4\n", &["line 3: holds the header again", "remove it"]),
        (b"\xef\xbb\xbfa,b\n1,2\n\xef\xbb\xbf\"a\",b\n3,4\n", &["line 3: holds the header again"]),
        (b"a,b\n1,2\nb,a\n3,4\n", &["line 3: holds the header again"]),
        (b"a,b,c\n1,2,3\nA,B,d\n3,4,5\n", &["line 3: holds the header again"]),
        (b"a,b,c\n1,2,3a,b,c\n3,4,5\n", &["line 2: holds the header again"]),
        (b"a,b\n1,2\nend of log, all\n", &["line 3, column `a`: is `end of log`"]),
        (
            b"a,b\n1,2\n(9 rows affected)\n",
            &["line 3: is `(9 rows affected)`", "remark", "2 cells"],
        ),
        (b"a,b\n1;2\n", &["line 2: columns are separated by `;`"]),
        (b"EOF\na,b\n1,2\n", &["line 2: has 2 cells", "`EOF` alone", "remove lines above"]),
        (b"a,b\n1,5,2\n2,6,3\n", &["line 2: has 3 cells; expected 2", "an index", "row.names"]),
        (b"a,b\n%,bar\n1,2\n", &["line 2: is a row of text, `%` in column `a`", "units"]),
        (b"a,b\n'1','2'\n", &["line 2, column `a`: is `'1'`, a number in quotation marks"]),
        (b"a,b\n45%,12%\n", &["line 2, column `a`: is `45%`, a number with a unit"]),
        (b"t,b\n2024-05-01 10:00:00,2\n", &["line 2, column `t`: is `2024-05-01 10:00:00`"]),
        (b"a,b\ndegC,bar\n1,2\n", &["line 2: is a row of text, `degC` in column `a`", "units"]),
        (b"a,b,c,d,e\n-,bar,,1,mm/s\n1,2,3,4,5\n", &["line 2: is a row of text, `bar`", "units"]),
        (b"a,b,c\n,bar,1\n1,2,3\n", &["line 2, column `b`: is `bar`"]),
        (b"a,b\n1,2\n3,\"4\n5,6\n", &["line 3: cell 2", "quotation mark"]),
        (b"a,b\n1,2\n\"3,4\n5,6\n7\",8\n", &["line 3: cell 1", "quotation mark"]),
    ]);
}

#[test]
fn cells_that_are_no_numbers() {
    all_refused(&[
        (b"a,b,c\n1,on,3\n", &["line 2, column `b`: is `on`; expected a finite", "--exclude"]),
        (b"a,b,c\n1,2,3\n1,2,NaN\n", &["line 3, column `c`: is a missing value (`NaN`)"]),
        (b"a,b,c\n1,,3\n", &["line 2, column `b`: is a missing value (empty)", "--missing drop"]),
        (b"a,b,c\n1,#N/A,3\n", &["line 2, column `b`: is a missing value (`#N/A`)"]),
        (b"a,b\n#N/A,3\n", &["line 2, column `a`: is a missing value"]),
        (b"a,b,c\n1,inf,3\n", &["line 2, column `b`: is infinite"]),
        (b"a,b,c\n1e39,2,3\n", &["line 2, column `a`: is 1e39, beyond f32"]),
        (b"a,b\n\"1,5\",2\n", &["line 2, column `a`: is `1,5`, with a decimal comma"]),
        (b"a,b\n\"1,234.5\",2\n", &["line 2, column `a`: is `1,234.5`", "thousands"]),
        (b"a,b\n1,\"\t<\x1b[31m>\"\n", &["line 2, column `b`: is `<\\u{1b}[31m>`"]),
    ]);
}

#[test]
fn other_encodings() {
    let utf_16 = |text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.iter().copied().chain(text.encode_utf16().flat_map(bytes)).collect()
    };
    let rows = "temp,press\r\n1,2\r\n";
    for file in [
        utf_16(rows, b"\xff\xfe", u16::to_le_bytes),
        utf_16(rows, b"", u16::to_le_bytes),
        utf_16(rows, b"\xfe\xff", u16::to_be_bytes),
        utf_16(rows, b"", u16::to_be_bytes),
    ] {
        all_refused(&[(&file, &["line 1: is not text in UTF-8: it is UTF-16"])]);
    }
    all_refused(&[
        (b"\x1f\x8b\x08\0\0\0\"", &["line 1: is not text in UTF-8: it is packed by gzip"]),
        (b"PK\x03\x04\x14\0\x06\0", &["line 1: is not text in UTF-8: it is a zip archive or a sp"]),
        (b"temp \xb0C,b\n1,2\n", &["line 1: is not text in UTF-8", "0xb0, in Latin-1 `\u{b0}`"]),
        (b"a,b\n1,\xff3\n", &["line 2: is not text in UTF-8"]),
        (b"a,b\n1,2\n\n1,2\0\n", &["line 4: is not text in UTF-8: it holds a NUL byte"]),
        (b"a,b\n1,2\n\0\0\0\0\0\0", &["line 3: is not text in UTF-8: it holds a NUL byte"]),
        (b"\xff\xfe\0\0a\0\0\0", &["line 1: is not text in UTF-8: it is UTF-32"]),
        (model(), &["line 1: is not text in UTF-8: it is a model file"]),
    ]);
}

#[test]
fn odd_files_that_are_read() {
    let value = |text: &str| read(text, Missing::Refuse).unwrap().values;
    for text in [
        "a,b\n1,2\n",
        "\u{feff}a,b\r\n1,2\r\n",
        "\u{feff}\"a\",\"b\"\r\n\"1\",\"2\"",
        "\n\na , b\r\n\r\n 1 ,\t2 \r\n  \r\n",
        "a,b\r1,2\r",
        "a|b,c;d\n1,2\n",
        "%RH,\"x; y; z\"\n1,2\n",
        "Na,inf\n1,2\n",
        "#,\"5\"\" pipe, left\"\n1,2\n",
    ] {
        assert_eq!(value(text), [1.0, 2.0], "{text:?}");
    }
}

#[test]
fn every_verb_tells_the_line_of_the_editor() {
    let bad = |cells: &[u8]| {
        let mut text = b"\n".to_vec();
        text.extend(rows(60).join("\r\n\r\n").bytes());
        text.extend(b"\r\n\r\n");
        text.extend(cells);
        text
    };
    for (cells, parts) in [
        (&b"1,oops,3,0"[..], &["line 124, column `press`: is `oops`"][..]),
        (b"1,2,3", &["line 124: has 3 cells; expected 4"]),
        (b"1,2,3,\xb0", &["line 124: is not text"]),
        (b"1,2,\"3,0\r\n1,2,3\",0", &["line 124: cell 3 begins with a quotation mark"]),
        (b"1,2,3,\"open\r\n1,2,3,0", &["line 124: cell 4 begins with a quotation mark"]),
        (b"1,NA,3,0", &["line 124, column `press`: is a missing value (`NA`)"]),
    ] {
        let text = bad(cells);
        let labelled = String::from_utf8_lossy(&text).into_owned().replace(",ok", ",0");
        for (folder, verb) in [(folder(&text), TRAIN), (folder(&text), SCORE)] {
            let said = refused(&folder, verb);
            assert!(parts.iter().all(|part| said.contains(part)), "{verb}: {said}");
        }
        if !cells.contains(&0xb0) {
            let said = refused(&folder(labelled), EVALUATE);
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }
    let said = refused(&folder(bad(b"").to_ascii_lowercase()), EVALUATE);
    assert!(said.contains("line 4, column `note`: is `ok`; expected a label, 0 for"), "{said}");
}

#[test]
fn a_byte_order_mark_may_come_in_parts() {
    let folder = folder("");
    let mut scoring = Command::new(env!("CARGO_BIN_EXE_flowlet"))
        .args(["score", "model.flow", "-"])
        .current_dir(folder.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = scoring.stdin.take().unwrap();
    for part in [&b"\xef"[..], b"\xbb", b"\xbftemp,pre", b"ss,vib\r", b"\n1,2,3\r\n"] {
        input.write_all(part).unwrap();
        input.flush().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(input);
    let output = scoring.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn rows_that_lack_a_value_can_be_left_out() {
    let mut lines = rows(200);
    for (line, row) in [(12, ",1,2,ok"), (57, "1,NA,2,ok"), (61, "NaN,null,2,ok"), (90, "1,-,2,")] {
        lines[line - 1] = row.into();
    }
    let folder = folder(text(&lines));
    assert!(refused(&folder, TRAIN).contains("line 12, column `temp`: is a missing value"));
    let said = folder.accepted(&format!("{TRAIN} --missing drop"));
    let told = "input.csv: 4 rows lack a value and are left out: lines 12, 57, 61, 90";
    assert!(said.contains(&format!("warn: {told}")), "{said}");

    folder.accepted("score model.flow input.csv -o scores.csv --missing drop");
    let scores = fs::read_to_string(folder.path("scores.csv")).unwrap();
    let scores: Vec<_> = scores.lines().collect();
    assert_eq!(scores.len(), lines.len());
    for (number, score) in (1..).zip(&scores) {
        assert_eq!(*score == ",,", [12, 57, 61, 90].contains(&number), "line {number}: {score}");
    }

    let mut labelled: Vec<String> = lines.iter().map(|row| row.replace(",ok", ",0")).collect();
    labelled[149].pop();
    folder.write("labelled.csv", text(&labelled));
    let evaluate = "evaluate model.flow labelled.csv --label note --json --missing drop";
    let said = folder.accepted(evaluate);
    assert!(said.contains("5 rows lack a value and are left out: lines 12, 57, 61, 90, 150\n"));
    assert!(said.contains("\"rows\": 195"), "{said}");

    fs::remove_file(folder.path("new")).unwrap();
    // Rows that are wrong in another way are no missing values.
    folder.write("input.csv", text(&lines) + "NA,inf,2,ok\n");
    for verb in [TRAIN, SCORE] {
        let said = refused(&folder, &format!("{verb} --missing drop"));
        assert!(said.contains("line 202, column `press`: is infinite"), "{said}");
    }
    folder.write("input.csv", text(&lines.iter().map(|row| format!("{row},")).collect::<Vec<_>>()));
    assert!(refused(&folder, &format!("{SCORE} --missing drop")).contains("ends in a comma"));
    folder.write("input.csv", "temp,press,vib,note\nNA,1,2,0\n,1,2,1\n");
    let said = refused(&folder, &format!("{TRAIN} --missing drop"));
    assert!(said.contains("each of its 2 rows lacks a value, the first one in column `temp`"));
    // Even then, a row of scores stands for each row.
    assert!(folder.accepted("score model.flow input.csv --missing drop").ends_with("\n,,\n,,\n"));
}

#[test]
fn names_that_are_like_others_are_names_of_their_own() {
    for header in ["temp,Temp", "🌡\u{fe0f},💨", "e\u{301},é", "--help,-o", "a\u{2028}seed=9,b"]
    {
        let names: Vec<&str> = header.split(',').collect();
        let read = read(format!("{header}\n1,2\n"), Missing::Refuse).unwrap();
        assert_eq!(read.names, names);
    }
    let said = read("🌡\u{fe0f},b\nwarm,\n2,3\n", Missing::Refuse).unwrap_err().to_string();
    assert!(said.contains("in column `🌡\u{fe0f}`"), "{said}");
}

#[test]
fn many_rows_left_out_are_told_in_one_line() {
    let text = "a,b\n".to_owned() + &"1,\n2,3\n".repeat(1000);
    let folder = Folder::new();
    folder.write("input.csv", text);
    let said = folder.accepted("train input.csv -o new --family gaussian --missing drop");
    assert!(said.contains("1000 rows lack a value and are left out: lines 2, 4, 6, 8, 10, …\n"));
}

#[test]
fn columns_whose_names_hold_commas_can_be_named() {
    let header = "temp,\"speed, rpm\",\"a=b,c\",\"head, deg\",load";
    let row = |k: usize| {
        let x = k as f64;
        format!("{},{},{},{},{k}", x.sin(), (x * 1.3).cos(), (x * 2.1).sin(), k * 37 % 360)
    };
    let lines: Vec<String> = [header.into()].into_iter().chain((0..200).map(row)).collect();
    let folder = Folder::new();
    folder.write("input.csv", text(&lines));
    let train = |options: &[&str]| {
        let mut command = folder.command("train input.csv -o model.flow --epochs 1 --hidden 8");
        command.args(options).assert().success();
        let inspected = folder.accepted("inspect model.flow --json");
        serde_json::from_str::<serde_json::Value>(&inspected).unwrap()
    };
    let gaussian = ["--family", "gaussian", "--exclude", "load,temp"];
    assert_eq!(
        train(&gaussian)["features"],
        serde_json::json!(["speed, rpm", "a=b,c", "head, deg"])
    );
    let found = train(&[&gaussian[..], &["--exclude", "speed, rpm"]].concat());
    assert_eq!(found["features"], serde_json::json!(["a=b,c", "head, deg"]));
    let periodic = ["--periodic", "head, deg=0..360", "--family", "spline-coupling"];
    assert_eq!(train(&periodic)["periodic"][0]["feature"], "head, deg");
    let lists = ["--periodic", "temp=-1..1,load=0..300", "--family", "spline-coupling"];
    assert_eq!(train(&lists)["periodic"].as_array().unwrap().len(), 2);

    let context = ["--context", "a=b,c", "--context", "speed, rpm", "--family", "maf"];
    assert_eq!(train(&context)["context"], serde_json::json!(["a=b,c", "speed, rpm"]));
    let given = ["--given", "speed, rpm=3", "--given", "a=b,c=0.5"];
    folder.command("sample model.flow -n 3").args(given).assert().success();
    train(&["--context", "temp,load", "--family", "maf"]);
    folder.accepted("sample model.flow -n 3 --given temp=1,load=2");
    folder.accepted("sample model.flow -n 3 --given temp=1 --given load=2");

    let said = refused(&folder, "train input.csv -o new --exclude tmep,load");
    assert!(said.contains("no column `tmep` (did you mean `temp`?)"), "{said}");
    let twice = folder.command("train input.csv -o new --context load,load --family maf");
    let said = { twice }.assert().code(2).get_output().stderr.clone();
    assert!(String::from_utf8(said).unwrap().contains("the same column twice, `load`"));
}

#[test]
fn a_file_whose_columns_all_have_other_roles_has_no_feature() {
    let folder = folder(text(&rows(60)));
    for options in ["--exclude note,temp,press,vib", "--exclude note --context temp,press,vib"] {
        let said = refused(&folder, &format!("train input.csv -o new --family maf {options}"));
        assert!(said.contains("no feature is left: --exclude and --context name all of its 4 c"));
    }
}

#[test]
fn messages_are_short() {
    let names: Vec<String> = (0..500).map(|k| format!("sensor_{k}")).collect();
    let wide = format!("{}\n{}\n", names.join(","), vec!["1.5"; 500].join(","));
    let name = "n".repeat(100_000);
    let cell = "x\u{7}".repeat(100_000);
    for text in [
        wide.clone(),
        format!("{name},b\n1,oops\n"),
        format!("{name},{name}\n1,2\n"),
        format!("{name} {name}\n1,2\n"),
        format!("a,{name}\n1,{cell}\n"),
        format!("a,b\n1,{}\n", "7".repeat(3_000_000)),
        format!("a,b\n1,\"{}\"\n", "7,".repeat(30_000)),
        format!("a,{cell}\n1,2\n"),
        format!("{name}1,2\n3,4\n", name = "1".repeat(100_000)),
        format!("a,b\n{}\n", ",".repeat(100_000)),
    ] {
        let folder = folder(text);
        refused(&folder, "train input.csv -o new --family gaussian");
        refused(&folder, SCORE);
    }
    let folder = folder(wide);
    assert!(refused(&folder, TRAIN).contains("`note`; it has sensor_0, sensor_1"));
    let exclude = folder.command("train input.csv -o new --exclude").arg(&name).assert().code(1);
    assert!(exclude.get_output().stderr.len() < 500);
    // So are warnings, here of a constant and of a running number.
    let row = |k: usize| format!("{k},5,{},{}\n", (k as f64).sin(), (k as f64 * 1.3).cos());
    let rows: String = (0..200).map(row).collect();
    folder.write("input.csv", format!("{name},a{name},x,y\n{rows}"));
    let said = folder.accepted("train input.csv -o new --family gaussian");
    assert_eq!(said.matches("leave it out with --exclude").count(), 2, "{said}");
    assert!(said.lines().all(|line| line.chars().count() < 500), "{said}");
    // Finding the most similar name takes no time that grows with their lengths.
    assert!(folder.command("score new rows.csv").assert().code(1).get_output().stderr.len() < 500);
}

/// A text cell that may hold anything but line breaks, and is no text that stands for a number.
fn note() -> impl Strategy<Value = String> {
    "[^\\p{Cc}\u{2028}\u{feff}]{0,12}"
}

/// A file as the csv crate writes it.
fn written(rows: &[(f64, f64, String)], style: csv::QuoteStyle) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
    writer.write_record(["a", "note, \"all\"", "b"]).unwrap();
    for (a, b, note) in rows {
        writer.write_record([a.to_string(), note.clone(), b.to_string()]).unwrap();
    }
    writer.into_inner().unwrap()
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f32>().prop_filter("finite", |x| x.is_finite()).prop_map(f64::from)
}

proptest! {
    #[test]
    fn what_the_csv_crate_writes_is_read_back(
        rows in vec((finite(), finite(), note()), 1..20),
        style in prop::sample::select(vec![csv::QuoteStyle::Always, csv::QuoteStyle::Necessary]),
    ) {
        let bytes = written(&rows, style);
        let table = Table::new("t".into(), Box::new(std::io::Cursor::new(bytes))).unwrap();
        let read = table.read(&["note, \"all\"".into()], &[]).unwrap();
        prop_assert_eq!(read.names, ["a", "b"]);
        let values: Vec<f64> = rows.iter().flat_map(|(a, b, _)| [*a, *b]).collect();
        prop_assert_eq!(read.values, values);
        prop_assert_eq!(read.lines, (2..).take(rows.len()).collect::<Vec<u64>>());
    }

    #[test]
    fn a_bad_cell_is_reported_on_its_line(
        blanks in vec(0usize..3, 1..30),
        end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
        fault in prop::sample::select(vec!["1,x", "1,", "1", "1,2,3", "1,\"2", "\"1,2", "1,\0", "#"]),
    ) {
        let mut text = "a,b".to_owned();
        for count in &blanks {
            text += &end.repeat(count + 1);
            text += "1,2";
        }
        let line = 1 + text.matches(end).count() as u64 + 1;
        text.extend([end, fault, end, "3,4\"", end]);
        match read(text, Missing::Refuse) {
            Err(Error::Line { line: found, .. } | Error::Cell { line: found, .. }) => {
                prop_assert_eq!(found, line);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_in_a_short_message(bytes in vec(any::<u8>(), 0..300)) {
        for start in [&b""[..], b"a,b\n", b"a,b\n1,2\n"] {
            if let Err(error) = read([start, &bytes].concat(), Missing::Drop) {
                prop_assert!(error.to_string().chars().count() < 490);
            }
        }
    }

    #[test]
    fn csv_like_texts_are_read_or_refused_in_a_short_message(
        text in "([0-9a-z,;#\"\t .=|/-]{0,20}(\n|\r\n)?){0,20}"
    ) {
        if let Err(error) = read(text, Missing::Drop) {
            prop_assert!(error.to_string().chars().count() < 490);
        }
    }
}
