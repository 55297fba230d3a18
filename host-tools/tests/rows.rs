//! Laws of what training does with rows that are odd: damaged, repeated, in time order, beyond f32,
//! constant; and with training that comes to nothing.

mod command;

use std::fs;

use command::Folder;
use flowlet_tools::device;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Options of a training that takes no time, and of one of a flow in a second or two.
const GAUSSIAN: &str = "--family gaussian";
const FLOW: &str = "--family real-nvp --epochs 12 --hidden 16";

type Rows = Vec<Vec<f64>>;

/// A plant whose four features follow a load: temperature, pressure, vibration and current.
fn plant(count: usize, seed: u64) -> Rows {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut row = |_| {
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        let load = normal();
        vec![
            40.0 + 2.4 * load + 0.6 * normal(),
            2.2 + 0.2 * load + 0.03 * normal(),
            1.0 + 0.1 * load * load + 0.2 * normal(),
            5.0 + 0.4 * load + 0.08 * normal(),
        ]
    };
    (0..count).map(&mut row).collect()
}

/// Normal rows, labelled 0, and some whose pressure and current are those of other rows, labelled 1.
fn labelled(count: usize) -> Rows {
    let normal = plant(count, 1000).into_iter().map(|row| [row, vec![0.0]].concat());
    let others = plant(count, 1001).into_iter().zip(plant(count, 1002));
    let anomalies = others.map(|(a, b)| vec![a[0], b[1], a[2], b[3], 1.0]);
    normal.chain(anomalies).collect()
}

fn csv(header: &str, rows: &Rows) -> String {
    let line = |row: &Vec<f64>| {
        let cells: Vec<_> = row.iter().map(f64::to_string).collect();
        cells.join(",") + "\n"
    };
    format!("{header}\n") + &rows.iter().map(line).collect::<String>()
}

/// What a model makes of labelled rows.
#[derive(Debug)]
struct Judgement {
    said: String,
    threshold: f64,
    auroc: f64,
    detected: f64,
    false_alarms: f64,
}

/// A folder with the rows `in.csv` and the labelled rows `test.csv` of columns called `header`.
fn folder(header: &str, rows: &Rows, test: &Rows) -> Folder {
    let folder = Folder::new();
    folder.write("in.csv", csv(header, rows));
    folder.write("test.csv", csv(&format!("{header},label"), test));
    folder
}

/// Trains on `in.csv` and evaluates on `test.csv`.
fn judge(folder: &Folder, options: &str) -> Judgement {
    let said = folder.accepted(&format!("train in.csv -o m.flow {options}"));
    let evaluated = folder.command("evaluate m.flow test.csv --label label --json").output();
    let json: serde_json::Value = serde_json::from_slice(&evaluated.unwrap().stdout).unwrap();
    let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"));
    let file = device::read(&folder.path("m.flow")).unwrap();
    let threshold = device::open(&file, "m.flow").unwrap().threshold().unwrap();
    Judgement {
        said,
        threshold: f64::from(threshold.score),
        auroc: number("auroc"),
        detected: number("detection_rate"),
        false_alarms: number("false_alarm_rate"),
    }
}

const PLANT: &str = "temp,press,vib,amps";

fn judge_plant(rows: &Rows, options: &str) -> Judgement {
    judge(&folder(PLANT, rows, &labelled(500)), options)
}

/// The lines of `said` that warn.
fn warnings(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("warn")).collect()
}

fn warns(said: &str, parts: &[&str]) -> bool {
    warnings(said).iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// The scores of the rows of a file.
fn scores(folder: &Folder, model: &str, rows: &str) -> String {
    let output = folder.command(&format!("score {model} {rows}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn alarms(scores: &str) -> usize {
    scores.lines().filter(|line| line.split(',').nth(2) == Some("1")).count()
}

// Damage.

/// One row of 1000 may have been the one that set the threshold, or next to it.
fn assert_alike(damaged: &Judgement, clean: &Judgement, what: &str) {
    let (threshold, auroc) = (clean.threshold, clean.auroc);
    assert!((damaged.threshold - threshold).abs() < 1.5, "{what}: {damaged:?} and {clean:?}");
    assert!((damaged.auroc - auroc).abs() < 0.01, "{what}: {damaged:?} and {clean:?}");
    assert!(damaged.false_alarms < 0.04, "{what}: {damaged:?}");
}

#[test]
fn a_glitch_anywhere_is_named_and_changes_nothing() {
    let clean_rows = plant(1000, 1);
    let clean = judge_plant(&clean_rows, GAUSSIAN);
    assert!(!clean.said.contains("apart from the usual"), "{}", clean.said);
    // Blocks of every part are among these places.
    for (number, place) in (3..1000).step_by(83).enumerate() {
        let (column, name, glitch) = [
            (0, "temp", 0.0),
            (1, "press", 65535.0),
            (3, "amps", -9999.0),
            (2, "vib", 1e30),
            (0, "temp", 1e-30),
        ][number % 5];
        let mut rows = clean_rows.clone();
        rows[place][column] = glitch;
        let damaged = judge_plant(&rows, GAUSSIAN);
        let line = format!("line {} (", place + 2);
        let named = warns(&damaged.said, &["in.csv", &line, &format!("`{name}`"), "apart"]);
        assert!(named, "{}", damaged.said);
        assert_alike(&damaged, &clean, &line);
    }
}

#[test]
fn a_glitch_changes_no_flow() {
    let mut rows = plant(1000, 1);
    let options = format!("{FLOW} --marginal auto");
    let clean = judge_plant(&rows, &options);
    rows[458][1] = 65535.0;
    let damaged = judge_plant(&rows, &options);
    assert!(warns(&damaged.said, &["line 460 (65535)", "`press`"]), "{}", damaged.said);
    assert_alike(&damaged, &clean, "line 460");
}

#[test]
fn a_glitch_in_the_validation_file_is_named_with_that_file() {
    let folder = folder(PLANT, &plant(800, 1), &labelled(500));
    let mut rows = plant(400, 2);
    folder.write("val.csv", csv(PLANT, &rows));
    let options = format!("{GAUSSIAN} --validation val.csv");
    let clean = judge(&folder, &options);
    for place in [7, 50, 333] {
        rows[place][2] = -32768.0;
    }
    folder.write("val.csv", csv(PLANT, &rows));
    let damaged = judge(&folder, &options);
    let parts = ["val.csv", "3 rows", "`vib`", "line 9 (-32768), line 52 (-32768), line 335 ("];
    assert!(warns(&damaged.said, &parts), "{}", damaged.said);
    assert_alike(&damaged, &clean, "val.csv");
}

/// Codes of two sensors are told of each; a code says nothing however often, up to a twentieth.
#[test]
fn error_codes_are_left_out_and_a_state_of_the_plant_is_kept() {
    let clean_rows = plant(1000, 1);
    let clean = judge_plant(&clean_rows, GAUSSIAN);
    for every in [97, 33] {
        let mut rows = clean_rows.clone();
        for place in (5..1000).step_by(every) {
            rows[place][0] = -127.0;
        }
        rows[990][3] = 85.0;
        let damaged = judge_plant(&rows, GAUSSIAN);
        assert!(warns(&damaged.said, &["`temp`, line 7 (-127)", "and others"]), "{}", damaged.said);
        assert!(warns(&damaged.said, &["`amps`, line 992 (85)"]), "{}", damaged.said);
        assert_alike(&damaged, &clean, "codes");
    }
    // Idle in a tenth of the rows, each time a little otherwise.
    let idle = |rows: Rows| -> Rows {
        let row = |(place, row): (usize, Vec<f64>)| match place % 10 {
            0 => vec![row[0] - 200.0, row[1], row[2], row[3]],
            _ => row,
        };
        rows.into_iter().enumerate().map(row).collect()
    };
    let folder = folder(PLANT, &idle(clean_rows), &idle(plant(600, 3)));
    let said = folder.accepted("train in.csv -o m.flow --family gmm");
    assert!(!said.contains("apart from the usual"), "{said}");
    folder.write("next.csv", csv(PLANT, &idle(plant(1000, 3))));
    assert!(alarms(&scores(&folder, "m.flow", "next.csv")) < 40);
}

#[test]
fn a_flag_that_was_set_once_is_wild_and_its_column_constant() {
    let mut rows: Rows = plant(600, 1);
    rows.iter_mut().for_each(|row| row.push(0.0));
    rows[123][4] = 1.0;
    let folder = folder(&format!("{PLANT},alarm"), &rows, &vec![]);
    let said = folder.accepted(&format!("train in.csv -o m.flow {GAUSSIAN}"));
    assert!(warns(&said, &["1 row has", "`alarm`, line 125 (1)"]), "{said}");
    assert!(warns(&said, &["`alarm` is constant (0) in all rows that are not wild"]), "{said}");
    let scored = scores(&folder, "m.flow", "in.csv");
    assert_eq!(scored.lines().nth(124).unwrap().split(',').nth(2), Some("1"));
}

#[test]
fn wild_rows_are_learned_where_the_user_says_so() {
    let mut rows = plant(1000, 1);
    let places = [58, 258, 458, 658, 858];
    places.iter().for_each(|place| rows[*place][1] = 65535.0);
    let folder = folder(PLANT, &rows, &vec![]);
    // Of the one that the model knows best; not all are training rows.
    let [dropped, kept] = ["drop", "keep"].map(|wild| {
        let said = folder.accepted(&format!("train in.csv -o m.flow {GAUSSIAN} --wild {wild}"));
        assert!(warns(&said, &["5 rows", "line 60 (65535)"]), "{said}");
        assert_eq!(said.contains("training learns them"), wild == "keep", "{said}");
        let scores = scores(&folder, "m.flow", "in.csv");
        let lines: Vec<_> = scores.lines().collect();
        let score =
            |place: &usize| -> f64 { lines[place + 1].split(',').nth(1).unwrap().parse().unwrap() };
        places.iter().map(score).fold(f64::INFINITY, f64::min)
    });
    assert!(dropped > 1e6 && kept < 1e4, "{dropped} and {kept}");
}

/// Headings around north are near each other; what no turn explains is not.
#[test]
fn on_a_circle_values_come_round() {
    let mut rows = plant(400, 1);
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for row in &mut rows {
        let z: f64 = StandardNormal.sample(&mut random);
        row[0] = (350.0 + 4.5 * z).rem_euclid(360.0);
    }
    assert!(rows.iter().any(|row| row[0] < 20.0));
    let folder = folder(PLANT, &rows, &vec![]);
    let train = "train in.csv -o m.flow --family spline-coupling --epochs 1 --hidden 8 \
                 --periodic temp=0..360";
    let said = folder.accepted(train);
    assert!(!said.contains("apart from the usual"), "{said}");
    rows[77][0] = 65535.0;
    folder.write("in.csv", csv(PLANT, &rows));
    assert!(warns(&folder.accepted(train), &["`temp`, line 79 (65535)"]));
}

// Copies.

/// A model of copied rows is the model of the rows.
#[test]
fn copies_are_told_and_used_once() {
    let rows = plant(400, 1);
    let twice: Rows = rows.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
    let half = [rows.clone(), rows[..200].to_vec()].concat();
    let folder = folder(PLANT, &rows, &vec![]);
    for options in [GAUSSIAN, FLOW] {
        folder.write("in.csv", csv(PLANT, &rows));
        folder.accepted(&format!("train in.csv -o once.flow {options}"));
        for copied in [twice.clone(), vec![rows.clone(); 3].concat(), half.clone()] {
            folder.write("in.csv", csv(PLANT, &copied));
            let said = folder.accepted(&format!("train in.csv -o copied.flow {options}"));
            let count = format!("only 400 of its {} rows are distinct", copied.len());
            assert!(warns(&said, &["in.csv", &count, "copies"]), "{said}");
            let [once, copied] =
                ["once.flow", "copied.flow"].map(|model| scores(&folder, model, "in.csv"));
            assert_eq!(once, copied);
        }
    }
    let mut shuffled = vec![rows.clone(); 2].concat();
    shuffled.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    folder.write("in.csv", csv(PLANT, &shuffled));
    let said = folder.accepted(&format!("train in.csv -o m.flow {GAUSSIAN}"));
    assert!(warns(&said, &["only 400 of its 800 rows are distinct", "copies"]), "{said}");
}

/// Two switches that stay as they are for a while, and a plant that stands still in between.
#[test]
fn repeats_by_nature_are_learned_as_they_are() {
    let switches = |seed: u64| -> Rows {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut state = [0.0, 0.0];
        let mut row = |_| {
            state = state.map(|own| if random.random_bool(0.1) { 1.0 - own } else { own });
            state.to_vec()
        };
        (0..1000).map(&mut row).collect()
    };
    let standing = |seed: u64| -> Rows {
        let running = switches(seed).into_iter().zip(plant(1000, seed));
        running.map(|(on, row)| if on[0] > 0.0 { row } else { vec![0.0; 4] }).collect()
    };
    for (header, rows, fresh, family) in [
        ("a,b", switches(1), switches(2), "gmm"),
        (PLANT, standing(1), standing(2), "gmm"),
        (PLANT, standing(1), standing(2), "real-nvp --epochs 12 --hidden 16"),
    ] {
        let folder = folder(header, &rows, &vec![]);
        let said = folder.accepted(&format!("train in.csv -o m.flow --family {family}"));
        assert!(!said.contains("copies"), "{said}");
        folder.write("fresh.csv", csv(header, &fresh));
        let alarms = alarms(&scores(&folder, "m.flow", "fresh.csv"));
        assert!(alarms < 60, "{header}, {family}: {alarms} alarms\n{said}");
    }
}

#[test]
fn training_rows_among_validation_rows_are_told() {
    let rows = plant(400, 1);
    let mut shuffled = rows.clone();
    shuffled.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let turned: Rows = rows.iter().map(|row| row.iter().rev().copied().collect()).collect();
    let own = plant(400, 2);
    let some = [rows[..100].to_vec(), own[..300].to_vec()].concat();
    let folder = folder(PLANT, &rows, &vec![]);
    let train = |header: &str, rows: &Rows| {
        folder.write("val.csv", csv(header, rows));
        folder.accepted(&format!("train in.csv --validation val.csv -o m.flow {GAUSSIAN}"))
    };
    for (header, validation, common) in [
        (PLANT, &shuffled, "400 of its 400 rows"),
        ("amps,vib,press,temp", &turned, "400 of its 400 rows"),
        (PLANT, &some, "100 of its 400 rows"),
    ] {
        let said = train(header, validation);
        assert!(warns(&said, &["val.csv", common, "stand in in.csv too"]), "{said}");
    }
    assert!(!train(PLANT, &own).contains("stand in in.csv too"));
}

// Order.

#[test]
fn an_order_of_the_rows_is_told_and_none_is_not() {
    let rows = plant(800, 1);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut said = |extra: &mut dyn FnMut(f64, f64) -> f64| {
        let mut rows = rows.clone();
        for (place, row) in rows.iter_mut().enumerate() {
            row.push(extra(place as f64, StandardNormal.sample(&mut random)));
        }
        let folder = folder(&format!("{PLANT},extra"), &rows, &vec![]);
        folder.accepted(&format!("train in.csv -o m.flow {GAUSSIAN}"))
    };
    let none = said(&mut |_, z| z);
    for word in ["time order", "drifts", "only rises"] {
        assert!(!none.contains(word), "{none}");
    }
    for mut counter in [|n: f64, _| 5000.0 - 3.0 * n, |n: f64, z: f64| 60.0 * n + 20.0 * z.tanh()] {
        let said = said(&mut counter);
        let parts = ["`extra` only rises or only falls", "--exclude extra", "--split random"];
        assert!(warns(&said, &parts), "{said}");
    }
    // A battery whose noise hides the fall from row to row.
    let battery = said(&mut |n, z| 4.2 - n / 1000.0 + 0.1 * z);
    assert!(warns(&battery, &["`extra` drifts by -"]), "{battery}");
    // A counter that starts again stays within what was learned.
    let again = said(&mut |n, _| n % 100.0);
    assert!(warns(&again, &["time order", "`extra`"]), "{again}");
    assert!(!again.contains("only rises"), "{again}");
}

/// Each speed is recorded once, in sequence, and none is missing from training.
#[test]
fn operating_points_in_sequence_are_all_learned() {
    let points = |seed: u64, noise: f64| -> Rows {
        let rows = plant(900, seed).into_iter().enumerate();
        let row = |(place, row): (usize, Vec<f64>)| {
            let speed = 600.0 + 300.0 * (place / 90) as f64;
            vec![speed + noise * row[0], row[1] + speed / 300.0, row[2], row[3] + speed / 500.0]
        };
        rows.map(row).collect()
    };
    for noise in [0.0, 1.0] {
        let (normal, others) = (points(7, noise), points(8, noise));
        let mixed = others.iter().zip(others.iter().rev());
        let anomalies = mixed.map(|(a, b)| vec![a[0], b[1], a[2], b[3], 1.0]);
        let normal = normal.into_iter().map(|row| [row, vec![0.0]].concat());
        let folder = folder(PLANT, &points(1, noise), &normal.chain(anomalies).collect());
        let judged = judge(&folder, "--family gmm");
        // Those of the two middle speeds are hardly any.
        assert!(judged.auroc > 0.9 && judged.detected > 0.7, "{noise}: {judged:?}");
        assert!(judged.false_alarms < 0.06, "{noise}: {judged:?}");
    }
}

/// x follows itself: beside a training row there is no new one.
#[test]
fn rows_are_divided_as_the_user_says() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut x = 0.0;
    let mut row = |_| {
        let [a, b]: [f64; 2] = [0; 2].map(|_| StandardNormal.sample(&mut random));
        x = 0.98 * x + 0.2 * a;
        vec![x, b]
    };
    let rows: Rows = (0..1000).map(&mut row).collect();
    let folder = folder("x,y", &rows, &vec![]);
    let train = |split: &str| {
        let said =
            folder.accepted(&format!("train in.csv -o {split}.flow {GAUSSIAN} --split {split}"));
        assert!(warns(&said, &["time order", "`x`"]), "{said}");
        (
            said.contains("neighbours of training rows"),
            scores(&folder, &format!("{split}.flow"), "in.csv"),
        )
    };
    let (blocks, random) = (train("blocks"), train("random"));
    assert!(!blocks.0 && random.0);
    assert_ne!(blocks.1, random.1);
}

// Precision.

#[test]
fn a_column_beyond_f32_is_named_with_the_offset_that_helps() {
    for (centre, spread) in [(5e7, 3.0), (1.7e9, 10.0), (101_325.0, 0.02), (0.0, 1e-40)] {
        let mut rows = plant(300, 1);
        rows.iter_mut().for_each(|row| row[1] = centre + spread * (row[1] - 2.2) / 0.2);
        let folder = folder(PLANT, &rows, &vec![]);
        let said = folder.accepted(&format!("train in.csv -o m.flow {GAUSSIAN}"));
        assert!(warns(&said, &["in.csv", "`press` loses precision"]), "{said}");
        assert!(!said.contains("constant"), "{said}");
        let Some((_, advice)) = said.split_once("--offset \"") else {
            assert!(centre == 0.0 && said.contains("smaller unit"), "{said}");
            continue;
        };
        let (advice, _) = advice.split_once('"').unwrap();
        let said = folder.accepted(&format!("train in.csv -o m.flow {GAUSSIAN} --offset {advice}"));
        assert!(!said.contains("precision"), "{said}");
    }
}

/// The offset is exact in f64, so that the columns with and without it are the same.
#[test]
fn an_offset_gives_the_scores_of_the_column_without_it() {
    let offset = 16_777_216.0;
    let without = |rows: Rows| -> Rows {
        let round = |x: f64| (x * 1024.0).round() / 1024.0;
        rows.into_iter().map(|row| vec![row[0], round(row[1]), row[2], row[3]]).collect()
    };
    let with = |mut rows: Rows| -> Rows {
        rows.iter_mut().for_each(|row| row[1] += offset);
        rows
    };
    let (rows, test) = (without(plant(500, 1)), labelled(200));
    let test: Rows = without(test.clone())
        .into_iter()
        .zip(&test)
        .map(|(row, own)| [row, vec![own[4]]].concat())
        .collect();
    let folder = folder(PLANT, &rows, &test);
    for options in [GAUSSIAN, FLOW, "--family maf --epochs 3 --hidden 16 --context press"] {
        folder.write("in.csv", csv(PLANT, &rows));
        folder.write("test.csv", csv(&format!("{PLANT},label"), &test));
        let plain = judge(&folder, options);
        let own = scores(&folder, "m.flow", "test.csv");
        folder.write("in.csv", csv(PLANT, &with(rows.clone())));
        folder.write("test.csv", csv(&format!("{PLANT},label"), &with(test.clone())));
        let moved = judge(&folder, &format!("{options} --offset press={offset}"));
        assert!(!moved.said.contains("precision"), "{}", moved.said);
        assert_eq!(scores(&folder, "m.flow", "test.csv"), own, "{options}");
        assert_eq!(moved.auroc, plain.auroc, "{options}");
        let shown = folder.accepted("inspect m.flow");
        assert!(shown.contains("offset") && shown.contains("16777216"), "{shown}");
        if options != GAUSSIAN {
            continue;
        }
        folder.accepted("sample m.flow -n 500 -o drawn.csv");
        let drawn = fs::read_to_string(folder.path("drawn.csv")).unwrap();
        let press = |line: &str| line.split(',').nth(1).unwrap().parse::<f64>().unwrap();
        let mean = drawn.lines().skip(1).map(press).sum::<f64>() / 500.0;
        assert!((mean - offset - 2.2).abs() < 0.1, "{mean}");
        assert!(alarms(&scores(&folder, "m.flow", "drawn.csv")) < 25);
    }
}

// Constants.

/// A flow meter that reads 0 in three fifths of the rows hides nothing.
#[test]
fn zeros_in_part_of_the_rows_do_no_harm() {
    let metered = |mut rows: Rows, seed: u64| -> Rows {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for row in &mut rows {
            row[2] = if random.random_bool(0.6) { 0.0 } else { row[2] + 3.0 };
        }
        rows
    };
    let test = metered(labelled(500), 9);
    let folder = folder(PLANT, &metered(plant(1000, 1), 8), &test);
    let judged = judge(&folder, FLOW);
    let plain = judge_plant(&plant(1000, 1), FLOW);
    assert!(!judged.said.contains("constant"), "{}", judged.said);
    assert!(judged.auroc > plain.auroc - 0.02, "{judged:?} and {plain:?}");
    assert!(judged.false_alarms < 0.04, "{judged:?}");
}

#[test]
fn what_is_said_of_values_off_a_constant_is_what_score_does() {
    let row = |volt: f64| move |row: &Vec<f64>| [&row[..], &[volt]].concat();
    let rows = plant(400, 1);
    let header = format!("{PLANT},volt");
    for volt in [230.0, 0.0, -5.0, 1e30] {
        let folder = folder(&header, &rows.iter().map(row(volt)).collect(), &vec![]);
        let families: &[&str] = match volt {
            230.0 => &["gaussian", "real-nvp", "maf", "spline-coupling", "glow", "auto"],
            _ => &["gaussian", "real-nvp"],
        };
        for family in families {
            let options = match *family {
                "gaussian" => String::new(),
                _ => "--epochs 5 --hidden 8".into(),
            };
            let said =
                folder.accepted(&format!("train in.csv -o m.flow --family {family} {options}"));
            assert!(warns(&said, &["in.csv: column `volt` is constant (", "--exclude volt"]));
            let (_, reach) = said.split_once("column `volt`: values off ").expect("what is off it");
            let (reach, _) = reach.split_once(" or more count as anomalies").unwrap();
            let (value, reach) = reach.split_once(" by ").unwrap();
            assert_eq!(value.parse::<f64>().unwrap() as f32, volt as f32, "{said}");
            let reach: f64 = reach.parse().unwrap();
            for distance in [reach, -reach, 3.0 * reach, -100.0 * reach, 1e6 * reach] {
                let off = row(volt + 1.001 * distance);
                folder.write("off.csv", csv(&header, &rows[..100].iter().map(off).collect()));
                let alarms = alarms(&scores(&folder, "m.flow", "off.csv"));
                assert_eq!(alarms, 100, "{family}, {volt}, {distance}: {said}");
            }
            assert!(alarms(&scores(&folder, "m.flow", "in.csv")) < 20, "{family}, {volt}");
        }
    }
}

/// Where the rows that set the threshold vary in it, no one is told that such values are anomalies.
#[test]
fn a_constant_that_varies_in_the_validation_file_promises_nothing() {
    let header = format!("{PLANT},volt");
    let constant = plant(400, 1).iter().map(|row| [&row[..], &[230.0]].concat()).collect();
    let varied = plant(200, 2).iter().map(|row| [&row[..], &[230.0 + row[0]]].concat()).collect();
    let folder = folder(&header, &constant, &vec![]);
    folder.write("val.csv", csv(&header, &varied));
    let said = folder.accepted(&format!("train in.csv --validation val.csv -o m.flow {GAUSSIAN}"));
    assert!(
        warns(&said, &["val.csv: 200 of its 200 rows", "`volt`", "too many for damage"]),
        "{said}"
    );
    let alarms = alarms(&scores(&folder, "m.flow", "val.csv"));
    assert!(alarms <= 5, "{alarms}: {said}");
    if let Some((_, reach)) = said.split_once("column `volt`: values off 230 by ") {
        let reach: f64 = reach.split_once(" or more").unwrap().0.parse().unwrap();
        assert!(reach > 40.0, "{said}");
    }
}

// Training that comes to nothing.

#[test]
fn steps_that_are_too_long_are_shortened() {
    let rows = plant(600, 1);
    let usual = judge_plant(&rows, FLOW);
    for family in ["real-nvp", "maf", "glow", "spline-coupling"] {
        let options = format!("--family {family} --epochs 12 --hidden 16 --learning-rate 0.9");
        let judged = judge_plant(&rows, &options);
        let parts = ["the learning rate 0.9 is too high", "starts again at 0.225"];
        assert!(warns(&judged.said, &parts), "{family}: {}", judged.said);
        assert!(judged.auroc > usual.auroc - 0.05, "{family}: {judged:?} and {usual:?}");
    }
}

/// One epoch of long steps is worse than a Gaussian for some seeds.
#[test]
fn what_learned_nothing_is_refused_or_left_out_with_its_seed() {
    let folder = folder(PLANT, &plant(600, 1), &vec![]);
    let train = "train in.csv -o m.flow --family maf --epochs 1 --hidden 16";
    let refused = folder.command(&format!("{train} --learning-rate 0.9")).assert().code(1);
    let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(said.contains("lower --learning-rate (it is 0.9)"), "{said}");
    assert!(!folder.path("m.flow").exists());

    let mut in_part = false;
    for rate in [0.1, 0.15, 0.2, 0.25, 0.3] {
        let train = format!("{train} --learning-rate {rate} --ensemble 4");
        let output = folder.command(&train).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let left_out: Vec<_> = (0..4)
            .filter(|seed| warns(&said, &[&format!("flow {seed}, seed {seed}, is left out")]))
            .collect();
        assert_eq!(output.status.success(), left_out.len() < 4, "{said}");
        if output.status.success() {
            let json: serde_json::Value =
                serde_json::from_str(&folder.accepted("inspect m.flow --json")).unwrap();
            assert_eq!(json["members"].as_array().unwrap().len(), 4 - left_out.len());
            in_part |= !left_out.is_empty();
        }
    }
    assert!(in_part, "no rate leaves out some of the flows and not all");
}
