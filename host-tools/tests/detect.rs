//! From the command line to alarms: what the detector says of rows in their order, and how a model is fitted to one
//! machine.

mod command;

use std::fs;
use std::sync::OnceLock;

use command::Folder;

/// Rows of a plant of three columns, `shift` deviations off; in no order.
fn rows(count: usize, shift: f64) -> String {
    let line = |k: usize| {
        let at = |step: f64| (k as f64 * step).sin() + (k as f64 * step * 1.7).cos();
        format!("{},{},{}\n", at(1.1) + shift, at(2.3) - shift, at(0.7) + at(1.9))
    };
    ["a,b,c\n".to_owned()].into_iter().chain((0..count).map(line)).collect()
}

/// A model, trained once.
fn model() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = Folder::new();
        folder.write("rows.csv", rows(2000, 0.0));
        let options = "--family gaussian --split random --false-alarms 1/hour --every 500ms";
        let said = folder.accepted(&format!("train rows.csv {options} -o model.flow"));
        assert!(said.contains("false alarms at least 7200 rows apart"), "{said}");
        fs::read(folder.path("model.flow")).unwrap()
    })
}

fn folder(input: &str) -> Folder {
    let folder = Folder::new();
    folder.write("model.flow", model());
    folder.write("input.csv", input);
    folder
}

/// The columns of a table that the tool printed, without its header.
fn printed(folder: &Folder, arguments: &str) -> Vec<Vec<String>> {
    let output = folder.command(arguments).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let cells = |line: &str| line.split(',').map(String::from).collect();
    text.lines().skip(1).map(cells).collect()
}

/// The tool's refusal, after which nothing is written.
#[track_caller]
fn refused(folder: &Folder, arguments: &str, code: i32, part: &str) {
    let output = folder.command(arguments).assert().code(code).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(part), "`{part}` is missing from: {said}");
    assert!(!folder.path("new.flow").exists(), "something was written");
}

#[test]
fn a_fault_is_an_alarm_until_it_ends() {
    let normal = rows(300, 0.0);
    let faulty = rows(50, 4.0);
    let after = rows(200, 0.0);
    let body = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    let folder = folder(&(normal + &body(&faulty) + &body(&after)));
    let states = printed(&folder, "detect model.flow input.csv");
    assert_eq!(states.len(), 550);
    let state = |row: usize| states[row][0].as_str();
    assert!((0..300).all(|row| state(row) != "alarm"));
    assert!((310..350).all(|row| state(row) == "alarm"));
    assert!((400..550).all(|row| state(row) != "alarm"));
    assert!(states.iter().all(|row| row[3].is_empty() && row[4].is_empty()));
    // The scores are those of `score`.
    let scores = printed(&folder, "score model.flow input.csv");
    assert!(states.iter().zip(&scores).all(|(own, other)| own[2] == other[1]));
}

#[test]
fn a_broken_sensor_is_no_alarm() {
    let mut lines: Vec<String> = rows(100, 0.0).lines().map(String::from).collect();
    lines[10] = "0.1,,0.2".into();
    lines[11] = "inf,0.1,0.2".into();
    lines[12] = "0.1,0.2,1e9".into();
    for (number, line) in lines.iter_mut().enumerate().skip(50).take(30) {
        *line = format!("{},0.25,0.1", number as f64 / 100.0);
    }
    let folder = folder(&(lines.join("\n") + "\n"));
    let states = printed(&folder, "detect model.flow input.csv");
    let row = |line: usize| (&*states[line - 1][0], &*states[line - 1][3], &*states[line - 1][4]);
    assert_eq!(row(10), ("sensor", "missing", "b"));
    assert_eq!(row(11), ("sensor", "missing", "a"));
    assert_eq!(row(12), ("sensor", "out of range", "c"));
    assert_eq!(row(57), ("normal", "", ""));
    assert_eq!(row(58), ("sensor", "stuck", "b"));
    assert_eq!(row(79), ("sensor", "stuck", "b"));
    assert_eq!(row(80).0, "normal");
    assert!(states[57][2].is_empty(), "a row of a broken sensor has no score");
}

/// A machine that runs a little otherwise alarms without end, until the model is commissioned on it.
#[test]
fn commissioning_fits_a_model_to_a_machine() {
    let folder = folder(&rows(1200, 2.0));
    folder.write("site.csv", rows(600, 2.0));
    let alarms = |model: &str| {
        let states = printed(&folder, &format!("detect {model} input.csv"));
        states.iter().filter(|row| row[0] == "alarm").count()
    };
    assert!(alarms("model.flow") > 600);
    let said = folder.accepted("commission model.flow site.csv -o new.flow");
    assert!(said.contains("from 600 rows") && said.contains("at least 7200 rows apart"), "{said}");
    assert_eq!(alarms("new.flow"), 0);
    let shown = folder.accepted("inspect new.flow");
    assert!(shown.contains("commissioned_rows 600"), "{shown}");
    // The flow and its score are the same.
    let scores = |model: &str| printed(&folder, &format!("score {model} site.csv"));
    let pairs = scores("model.flow").into_iter().zip(scores("new.flow"));
    assert!(pairs.into_iter().all(|(old, new)| old[..2] == new[..2]));
    // Without rows only what is asked of the detector changes.
    let options = "--false-alarms 2/1000rows --confirm 3/9 --follow-drift 0.5";
    folder.accepted(&format!("commission new.flow {options} -o again.flow"));
    let shown = folder.accepted("inspect again.flow");
    for part in ["at least 500 rows apart", "3 of the last 9", "followed within 0.5", "600 rows"] {
        assert!(shown.contains(part), "`{part}` is missing from: {shown}");
    }
}

/// One wild row among those of the machine is told and changes nothing.
#[test]
fn a_wild_row_commissions_nothing() {
    let clean = rows(400, 0.5);
    let folder = folder(&clean);
    let mut lines: Vec<&str> = clean.lines().collect();
    lines.insert(200, "0.1,65535,0.2");
    folder.write("wild.csv", lines.join("\n") + "\n");
    folder.accepted("commission model.flow input.csv -o clean.flow");
    let said = folder.accepted("commission model.flow wild.csv -o wild.flow");
    assert!(
        said.contains("1 row with a wild value is left out") && said.contains("65535"),
        "{said}"
    );
    let bytes = |name: &str| fs::read(folder.path(name)).unwrap();
    assert!(bytes("clean.flow") == bytes("wild.flow"));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let folder = folder(&rows(19, 0.0));
    let commission = "commission model.flow -o new.flow";
    refused(&folder, commission, 2, "nothing to commission");
    refused(&folder, &format!("{commission} --false-alarms 1/day"), 2, "--every");
    refused(&folder, &format!("{commission} --every 1s"), 2, "--false-alarms");
    refused(&folder, &format!("{commission} --false-alarms often"), 2, "1/month");
    refused(&folder, &format!("{commission} --false-alarms 1/1rows"), 2, "one in 1 row");
    refused(&folder, &format!("{commission} --confirm 9/8"), 2, "1 <= K <= N");
    refused(&folder, &format!("{commission} --false-alarms 2/9rows --every 1s"), 2, "--every");
    let few = "commission model.flow input.csv -o new.flow";
    refused(&folder, few, 1, "19 rows that can be used; commissioning needs at least 20");
    refused(&folder, "train input.csv --false-alarms 1/day -o new.flow", 2, "--every");
    refused(&folder, "commission model.flow input.csv -o model.flow", 1, "same file");
    folder.write("other.csv", "x,y\n1,2\n");
    refused(&folder, "detect model.flow other.csv -o new.flow", 1, "no column `a`");
    folder.write("empty.csv", "a,b,c\n");
    refused(&folder, "detect model.flow empty.csv -o new.flow", 1, "no rows");
    folder.write("text.csv", "a,b,c\n1,2,3\n1,2,x\n");
    refused(&folder, "detect model.flow text.csv -o new.flow", 1, "line 3, column `c`");
}
