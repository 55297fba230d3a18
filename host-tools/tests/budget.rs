//! Models within a budget, and what they cost, through the command line.

mod command;

use std::fs;

use command::Folder;
use serde_json::Value;

/// Rows on a noisy curve, whose columns depend on one another.
fn rows(count: usize) -> String {
    let line = |k: usize| {
        let [a, b, c] = [0.7, 1.3, 2.1].map(|speed| (k as f64 * speed).sin());
        format!("{},{},{}\n", 20.0 + a, a * a + 0.2 * b, b * c)
    };
    ["inlet,outlet,flow\n".to_owned()].into_iter().chain((0..count).map(line)).collect()
}

fn inspected(folder: &Folder, options: &str) -> Value {
    serde_json::from_str(&folder.accepted(&format!("inspect new.flow --json {options}"))).unwrap()
}

/// Runs the tool, which must end with `code` and say every one of `words`.
fn refused(folder: &Folder, arguments: &str, code: i32, words: &[&str]) {
    let output = folder.command(arguments).assert().code(code).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    for word in words {
        assert!(said.contains(word), "{arguments}: no {word} in {said}");
    }
}

/// The number in front of the last `name` of a text.
fn number_before(text: &str, name: &str) -> f64 {
    let (before, _) = text.rsplit_once(name).unwrap_or_else(|| panic!("no {name} in {text}"));
    let word = before.split_whitespace().last().unwrap().trim_start_matches('(');
    word.parse().unwrap_or_else(|_| panic!("{word} before {name}"))
}

#[test]
fn a_search_keeps_within_its_budget_and_repeats() {
    let folder = Folder::new();
    folder.write("rows.csv", rows(700));
    // A flow fits the first, a mixture without layers the second too.
    for (cycles, family) in [(8000.0, "picked real-nvp"), (9500.0, "picked gmm")] {
        let train = format!(
            "train rows.csv --cycles {cycles} --flash 40K --epochs 6 --search-picture front.svg"
        );
        let said = folder.accepted(&format!("{train} -o new.flow"));
        let model = inspected(&folder, "");
        let cost = model["cost"].as_array().unwrap().iter().find(|own| own["core"] == "Cortex-M4F");
        let cost = &cost.unwrap()["cost"];
        // Counted on rows for early stopping there, and on the model's own draws here.
        assert!(cost["cycles"].as_f64().unwrap() < 1.05 * cycles, "{cost}");
        let length = fs::metadata(folder.path("new.flow")).unwrap().len();
        assert_eq!(cost["model_bytes"].as_u64(), Some(length));
        assert!(length + cost["code_bytes"].as_u64().unwrap() <= 40 << 10);
        assert!(model["provenance"]["family"].as_str().unwrap().contains("within --flash 40960"));
        // What was foretold is the file's length, but for digits of its provenance.
        let picked = said.lines().find(|line| line.starts_with("picked")).expect("it is said");
        assert!(picked.starts_with(family), "{picked}");
        let (own, _) = picked.split_once("the default model").unwrap_or((picked, ""));
        let foretold = number_before(own, "bytes of flash") - number_before(own, "of them code");
        assert!((foretold - length as f64).abs() < 100.0, "{foretold} for {length}");
        assert!(said.contains("the default model"), "{said}");
        assert!(said.contains("over the budget's flash, cycles"), "{said}");
        let picture = fs::read_to_string(folder.path("front.svg")).unwrap();
        assert!(picture.starts_with("<svg") && picture.contains("the default model"));

        let first = fs::read(folder.path("new.flow")).unwrap();
        folder.accepted(&format!("{train} -o new.flow"));
        assert_eq!(fs::read(folder.path("new.flow")).unwrap(), first);
    }
}

#[test]
fn a_budget_that_nothing_fits_names_the_smallest_model() {
    let folder = Folder::new();
    folder.write("rows.csv", rows(300));
    refused(
        &folder,
        "train rows.csv --cycles 100 -o new.flow",
        1,
        &["no model fits --cycles 100", "gaussian", "cycles a score", "allow more"],
    );
    refused(
        &folder,
        "train rows.csv --flash 64K --hidden 8 -o new.flow",
        2,
        &["--hidden", "means nothing with"],
    );
    refused(&folder, "train rows.csv --flash 64cakes -o new.flow", 2, &["64cakes", "64K"]);
    refused(&folder, "train rows.csv --board picco -o new.flow", 2, &["picco", "pico"]);
    assert!(!folder.path("new.flow").exists());
}

#[test]
fn a_board_says_what_a_model_takes_of_it() {
    let folder = Folder::new();
    folder.write("rows.csv", rows(300));
    folder.accepted("train rows.csv --family maf --hidden 8 --layers 2 --epochs 2 -o new.flow");
    let board = |name: &str| inspected(&folder, &format!("--board {name}"))["board"].clone();
    let (pico, nrf) = (board("pico"), board("nrf52840-dk"));
    let number = |board: &Value, name: &str| board[name].as_f64().unwrap();
    // No FPU, but twice the clock.
    assert!(number(&pico["cost"], "cycles") > 5.0 * number(&nrf["cost"], "cycles"));
    for board in [pico, nrf] {
        let expected = number(&board["cost"], "cycles") / number(&board["board"], "megahertz");
        assert!((number(&board, "microseconds") - expected).abs() < 1e-6 * expected);
    }
    let boards = folder.accepted("boards");
    assert!(boards.contains("nrf52840-dk") && boards.contains("Cortex-M0+"));
}
