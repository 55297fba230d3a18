//! The page of `flowlet report`: what it must hold and must not, and in a browser that it is readable.

mod command;

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use command::Folder;

/// Names that would be markup, or a template's, if they were not escaped.
const HOSTILE: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"'><img src=//example.org onload=x>",
    "{{ style }}{% raw %}\u{202e}",
    "</style></pre></svg><!-- a very long name that no axis has room for, nor any heading -->",
];
const PLAIN: [&str; 4] = ["a", "b", "c", "d"];

/// Normal rows whose third column follows the first, the last one a slow wave, and a column of labels;
/// every tenth row is an anomaly if wanted, by its third column.
fn rows(names: [&str; 4], count: usize, has_anomalies: bool) -> String {
    let quoted: Vec<String> =
        names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let line = |k: usize| {
        let (t, is_anomaly) = (k as f64, has_anomalies && k % 10 == 9);
        let a = (t * 0.7).sin() + (t * 2.3).cos();
        let noise = 0.2 * (t * 12.9898).sin();
        let c = a * a + noise + if is_anomaly { 9.0 + 0.5 * t } else { 0.0 };
        let b = (t * 1.3).sin();
        format!("{a:.5},{b:.5},{c:.5},{:.5},{}\n", (t * 0.11).cos(), u8::from(is_anomaly))
    };
    format!("{},label\n", quoted.join(",")) + &(0..count).map(line).collect::<String>()
}

/// What each model of the folder is trained with.
const MODELS: [(&str, &str); 4] = [
    ("flow", "--family real-nvp --epochs 4 --layers 2 --hidden 8"),
    (
        "ensemble",
        "--family real-nvp --ensemble 2 --epochs 3 --layers 2 --hidden 8 --false-alarm-rate 0.01,0.001",
    ),
    ("latent", "--family vae --latent 2 --posterior gaussian --epochs 3 --hidden 16"),
    ("conditional", "--family real-nvp --epochs 3 --layers 2 --hidden 8"),
];

/// Models over columns of these names, and rows to judge.
fn folder(names: [&str; 4]) -> Folder {
    let folder = Folder::new();
    folder.write("train.csv", rows(names, 400, false));
    folder.write("test.csv", rows(names, 300, true));
    for (model, options) in MODELS {
        let options = format!("train train.csv --exclude label {options} -o {model}.flow");
        let mut command = folder.command(&options);
        if model == "conditional" {
            command.args(["--context", names[3]]);
        }
        command.assert().success();
    }
    folder
}

fn plain() -> &'static Folder {
    static FOLDER: OnceLock<Folder> = OnceLock::new();
    FOLDER.get_or_init(|| folder(PLAIN))
}

fn hostile() -> &'static Folder {
    static FOLDER: OnceLock<Folder> = OnceLock::new();
    FOLDER.get_or_init(|| folder(HOSTILE))
}

/// How a report may be asked for.
const REQUESTS: [&str; 5] = [
    "",
    "--test test.csv",
    "--test test.csv --unlabelled",
    "--test test.csv --baseline ensemble.flow",
    "--test test.csv --unlabelled --baseline conditional.flow",
];

fn page(folder: &Folder, model: &str, request: &str) -> String {
    let output = folder.command(&format!("report {model}.flow {request} -o -")).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).expect("a page is UTF-8")
}

/// The page for every model and request.
fn pages(folder: &Folder) -> Vec<(String, String)> {
    let page = |(model, request): (&str, &str)| {
        (format!("{model} {request}"), page(folder, model, request))
    };
    let requests = |model| REQUESTS.into_iter().map(move |request| (model, request));
    MODELS.into_iter().flat_map(|(model, _)| requests(model)).map(page).collect()
}

/// What stands between < and >, without the text around it.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).map(|tag| tag.split_once('>').expect("a tag ends").0).collect()
}

#[test]
fn a_page_runs_nothing_and_asks_no_other_place_for_anything() {
    for (name, page) in pages(hostile()) {
        for tag in tags(&page) {
            let element = tag.split_whitespace().next().unwrap_or_default();
            assert!(
                ![
                    "script", "img", "iframe", "object", "embed", "link", "base", "a", "form",
                    "use", "image"
                ]
                .contains(&element.trim_start_matches('/')),
                "{name}: <{tag}>"
            );
            let attributes = tag.split_whitespace().filter_map(|word| word.split_once('='));
            for (attribute, _) in attributes {
                assert!(!attribute.starts_with("on"), "{name}: <{tag}>");
                assert!(
                    !["src", "href", "xlink:href", "xmlns"].contains(&attribute),
                    "{name}: <{tag}>"
                );
            }
            assert!(!tag.contains("://") && !tag.contains("url("), "{name}: <{tag}>");
        }
        let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>"));
        let (style, _) = style.expect("a page has a style");
        assert!(!style.contains("url(") && !style.contains('@') || !style.contains("@import"));
        assert!(
            page.contains("default-src 'none'"),
            "{name}: the browser is not told to ask nobody"
        );
    }
}

/// The markup of a page is that of the same page with harmless names.
#[test]
fn a_name_is_text_wherever_it_stands() {
    for ((name, hostile), (_, plain)) in pages(hostile()).iter().zip(pages(plain())) {
        assert_eq!(tags(hostile), tags(&plain), "{name}");
        assert!(hostile.contains("&lt;script&gt;") || hostile.contains("&lt;script>"), "{name}");
        assert!(!hostile.contains('\u{202e}'), "{name}");
    }
}

#[test]
fn a_page_says_what_is_known_and_not_what_is_not() {
    let parts = [
        ("flow", "", "no rows were given"),
        ("flow", "", "held-out rows"),
        ("flow", "--test test.csv", "auroc"),
        ("flow", "--test test.csv", "the last bar is of"),
        ("flow", "--test test.csv", "precision over recall"),
        ("flow", "--test test.csv --unlabelled", "rows, all taken as normal"),
        ("flow", "", "flow::&lt;4, 8&gt;::from_bytes(include_model!"),
        ("ensemble", "--test test.csv", "flow 1: real-nvp"),
        ("ensemble", "--test test.csv", "fewer than the 999 that the rate needs"),
        ("latent", "--test test.csv", "latent.residuals(&amp;row)"),
        ("latent", "", "evidence lower bound"),
        ("conditional", "", "given the context of rows"),
        ("conditional", "--test test.csv", "flow.given(&amp;context).attribute(&amp;row)"),
        ("conditional", "--test test.csv", "what the epochs of training reached"),
    ];
    for (model, request, part) in parts {
        let page = page(plain(), model, request).to_lowercase();
        assert!(page.contains(part), "{model} {request}: `{part}` is missing");
    }
    for (model, request) in [("flow", ""), ("flow", "--test test.csv --unlabelled")] {
        assert!(!page(plain(), model, request).contains("AUROC"), "{model} {request}");
    }
}

/// What training finds in the rows stands on the page.
#[test]
fn a_page_tells_of_damaged_and_drifting_rows() {
    let folder = Folder::new();
    let drifting = |k: usize| {
        let t = k as f64;
        let glitch = if k == 77 { 65535.0 } else { (t * 0.9).sin() };
        let missing = if k == 99 { String::new() } else { format!("{:.4}", (t * 2.1).cos()) };
        format!("{glitch:.4},{missing},{:.4},7\n", t * 0.01 + (t * 1.7).sin())
    };
    let lines: String = (0..600).map(drifting).collect();
    folder.write("train.csv", format!("glitch,missing,drift,constant\n{lines}"));
    folder.accepted("train train.csv --missing drop --family gaussian -o damaged.flow");
    let page = page(&folder, "damaged", "");
    for part in [
        "Rows with a wild value</b>: 1 in training",
        "Columns with wild values</b>: glitch",
        "Rows that lack a value</b>: 1 of 600 in training",
        "deviations of drift",
        "Constant columns</b>: constant",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

/// The section of a page that sets a baseline beside the model.
fn beside(folder: &Folder, model: &str, request: &str) -> String {
    let page = page(folder, model, &format!("--test test.csv {request}"));
    let (_, section) = page.split_once("<h2>Beside the baseline").expect("there is a baseline");
    section.split_once("</section>").expect("a section ends").0.to_owned()
}

#[test]
fn a_model_beside_itself_makes_no_difference() {
    for (model, _) in MODELS {
        let said = beside(plain(), model, &format!("--baseline {model}.flow"));
        assert!(said.contains("No difference: AUROC is"), "{model}: {said}");
        let rows = said.split("<tr>").filter(|row| row.contains("<td class=\"number\">"));
        for row in rows {
            let cells: Vec<&str> = row.split("<td class=\"number\">").skip(1).collect();
            let values = cells.iter().map(|cell| cell.split_once('<').expect("a cell ends").0);
            let values: Vec<&str> = values.collect();
            assert!(values.len() == 2 && values[0] == values[1], "{model}: {row}");
        }
    }
    let said = plain().accepted("evaluate flow.flow test.csv --label label --baseline flow.flow");
    assert!(said.contains("flow.flow: holds the same model as flow.flow"), "{said}");
}

#[test]
fn a_baseline_stands_beside_the_model() {
    let parts = [
        ("flow", "--baseline ensemble.flow", "No difference: AUROC is 1.0000 for both models"),
        ("flow", "--baseline ensemble.flow", "anomalies above the threshold for a rate of 0.001"),
        ("flow", "--baseline conditional.flow", "log p(x, c) = log p(x | c) + log p(c)"),
        (
            "flow",
            "--baseline conditional.flow",
            "of 4 features, that of the baseline of 3 features given d",
        ),
        ("flow", "--baseline latent.flow", "a latent model has no log-density"),
        (
            "flow",
            "--baseline ensemble.flow --unlabelled",
            "it takes normal rows, anomalies and a label",
        ),
        (
            "flow",
            "--baseline ensemble.flow --unlabelled",
            "rows above the threshold for a rate of 0.01",
        ),
        ("latent", "--baseline flow.flow", "cycles of a score, about, Cortex-M0+"),
    ];
    for (model, request, part) in parts {
        let said = beside(plain(), model, request);
        // What the template escapes.
        let said = said.replace("&#x2f;", "/").replace("&#x27;", "'");
        assert!(said.contains(part), "{model} {request}: `{part}` is missing in {said}");
    }
    let unlabelled = beside(plain(), "flow", "--baseline ensemble.flow --unlabelled");
    assert!(!unlabelled.contains("AUROC") && !unlabelled.contains("<svg"), "{unlabelled}");
}

/// Both judge the rows that lack no value of either, and of the same rows each says what it says alone.
#[test]
fn both_models_judge_the_same_rows() {
    let folder = Folder::new();
    folder.write("train.csv", rows(PLAIN, 400, false));
    let whole = rows(PLAIN, 300, true);
    let lacking =
        |(number, line): (usize, &str)| match (number, line.split(',').collect::<Vec<_>>()) {
            // Of d, which only one of the models reads.
            (7 | 40, cells) => format!("{},{},{},,{}\n", cells[0], cells[1], cells[2], cells[4]),
            _ => format!("{line}\n"),
        };
    folder.write("gaps.csv", whole.lines().enumerate().map(lacking).collect::<String>());
    folder.write("test.csv", whole);
    folder.accepted("train train.csv --exclude label,d --family gaussian -o three.flow");
    folder.accepted("train train.csv --exclude label,c --family gmm -o blind.flow");
    let found = |arguments: &str| -> serde_json::Value {
        let mut command = folder.command(&format!("evaluate {arguments} --label label --json"));
        let output = command.assert().success().get_output().stdout.clone();
        serde_json::from_slice(&output).expect("JSON")
    };
    let both = found("three.flow gaps.csv --missing drop --baseline blind.flow");
    assert_eq!((&both["rows"], &both["baseline"]["rows"]), (&298.into(), &298.into()));
    let both = found("three.flow test.csv --baseline blind.flow");
    let [own, baseline] =
        ["three.flow", "blind.flow"].map(|model| found(&format!("{model} test.csv")));
    for (key, value) in own.as_object().expect("an object") {
        assert_eq!((&both[key], &both["baseline"][key]), (value, &baseline[key]), "{key}");
    }
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    let difference = &both["auroc_difference"];
    let [low, high] = [0, 1].map(|end| number(&difference["interval"][end]));
    let value = number(&difference["value"]);
    assert!((value - (number(&own["auroc"]) - number(&baseline["auroc"]))).abs() < 1e-9);
    assert!(low <= value && value <= high);
    // Anomalies show in c alone.
    let said = folder.accepted("evaluate three.flow test.csv --label label --baseline blind.flow");
    assert!(said.contains("The model detects better than the baseline: AUROC is 1.0000"), "{said}");
    assert!(said.contains("the densities are of different features"), "{said}");
}

#[test]
fn the_same_files_give_the_same_page() {
    let once = || page(plain(), "ensemble", "--test test.csv --baseline flow.flow");
    assert_eq!(once(), once());
}

#[test]
fn what_cannot_be_reported_is_refused_and_nothing_is_written() {
    let folder = plain();
    folder.write("other.csv", "a,b\n1,2\n");
    folder.accepted("train train.csv --exclude label,c,d --family gaussian -o two.flow");
    folder.write("odd.csv", rows(PLAIN, 30, false).replace(",0\n", ",7\n"));
    let refusals = [
        ("report none.flow -o new.html", 1, "none.flow: cannot be read"),
        ("report flow.flow --test other.csv -o new.html", 1, "other.csv: has no column `c`"),
        ("report flow.flow --test odd.csv -o new.html", 1, "odd.csv"),
        (
            "report flow.flow --test test.csv --label a -o new.html",
            1,
            "train it again with --exclude a",
        ),
        ("report flow.flow --label label -o new.html", 2, "--test"),
        ("report flow.flow --test test.csv -o test.csv", 1, "test.csv"),
        ("report flow.flow --baseline latent.flow -o new.html", 2, "--test"),
        (
            "report flow.flow --test test.csv --baseline latent.flow -o latent.flow",
            1,
            "latent.flow",
        ),
        ("report flow.flow --test test.csv --baseline none.flow -o new.html", 1, "none.flow"),
        (
            "report two.flow --test other.csv --baseline flow.flow -o new.html",
            1,
            "flow.flow: is no baseline on these rows: other.csv: has no column `c`",
        ),
        (
            "report two.flow --test test.csv --label c --baseline flow.flow -o new.html",
            1,
            "train it again with --exclude c",
        ),
    ];
    for (arguments, code, part) in refusals {
        let before = fs::read_dir(folder.path("")).unwrap().count();
        let output = folder.command(arguments).assert().code(code).get_output().clone();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(part), "{arguments}: {said}");
        assert!(!folder.path("new.html").exists());
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), before, "{arguments}");
    }
    folder.accepted("report flow.flow --test odd.csv --unlabelled -o odd.html");
}

#[test]
fn evaluate_names_the_feature_that_anomalies_blame() {
    for model in ["flow", "ensemble", "latent"] {
        let folder = plain();
        let said = folder.accepted(&format!("evaluate {model}.flow test.csv --label label"));
        assert!(said.contains("alarms of anomalies"), "{said}");
        assert!(said.contains("  c, mean "), "{said}");
        let json = format!("evaluate {model}.flow test.csv --label label --json");
        let output = folder.command(&json).assert().success().get_output().clone();
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let blame = &found["blame"];
        assert_eq!(blame["rows"], "anomalies");
        assert_eq!(blame["features"][0]["feature"], "c", "{model}: {blame}");
        assert!(blame["features"][0]["most_blamed"].as_f64() > Some(0.5), "{model}: {blame}");
    }
}

/// Names of the browser, by system.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// At the width of a telephone and of a desk, in the light and in the dark: nothing is wider than the
/// page, no label of a picture is cut or too small, and all text stands out from what is behind it.
#[test]
#[ignore = "needs Chromium, which `cargo xtask setup` installs"]
fn a_page_is_readable_in_a_browser() {
    let pages: Vec<_> = pages(plain()).into_iter().chain(pages(hostile())).collect();
    let frame = |(name, page): &(String, String), width: u32| {
        let page = page.replace('&', "&amp;").replace('"', "&quot;");
        format!(
            "<iframe title=\"{name}, {width} pixels\" style=\"width: {width}px; height: 900px; border: 0\" \
             srcdoc=\"{page}\"></iframe>\n"
        )
    };
    let frames: String = [400, 1400]
        .into_iter()
        .flat_map(|width| pages.iter().map(move |page| frame(page, width)))
        .collect();
    let folder = Folder::new();
    let script = include_str!("browser/check.js");
    folder.write(
        "pages.html",
        format!("<!DOCTYPE html><meta charset=\"utf-8\"><body>{frames}<script>{script}</script>"),
    );
    let is_there = |browser: &&&str| Command::new(browser).arg("--version").output().is_ok();
    let browser = BROWSERS.iter().find(is_there).expect("Chromium is installed");
    for (scheme, number) in [("dark", 0), ("light", 1)] {
        let output = Command::new(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--user-data-dir={}", folder.path("profile").display()))
            .arg(format!("--blink-settings=preferredColorScheme={number}"))
            .args(["--window-size=1600,1000", "--dump-dom"])
            .arg(format!("file://{}", folder.path("pages.html").display()))
            .output()
            .expect("the browser starts");
        let seen = String::from_utf8_lossy(&output.stdout);
        let expected = format!("<body>{} pages in the {scheme}</body>", 2 * pages.len());
        assert!(seen.contains(&expected), "{browser} said: {seen}");
    }
}
