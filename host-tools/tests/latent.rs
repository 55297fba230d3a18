//! Latent variable models: the trainable twin against the device's code, and the verbs.

mod command;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use command::Folder;
use flowlet::write::{Feature, LatentDescription};
use flowlet::{LatentMemory, LatentModel, Libm};
use flowlet_tools::family::Family;
use flowlet_tools::family::network::Network;
use flowlet_tools::latent::prior::Prior;
use flowlet_tools::latent::start::Components;
use flowlet_tools::latent::twin::{Autoencoder, Decoder, Posterior, Terms};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Multiplies every weight, so that the model is far from where training starts.
struct Magnify(f64);

impl ModuleMapper for Magnify {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Param::from_tensor(param.val() * self.0)
    }
}

fn feature(name: usize) -> Feature {
    Feature {
        name: format!("f{name}"),
        centre: 0.0,
        scale: 1.0,
        low: 0.0,
        high: 1.0,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    }
}

fn normals(count: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| StandardNormal.sample(random)).collect()
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("made of f32")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// |a - b| <= 2e-4 max(1, |a|) on every row.
    #[test]
    fn burn_and_the_device_agree(
        features in 2usize..12,
        context in 0usize..3,
        latents in 2usize..7,
        hidden in proptest::collection::vec(8usize..40, 1..=3),
        likelihood in prop_oneof![
            Just(Decoder::Gaussian),
            Just(Decoder::StudentT),
            Just(Decoder::Bernoulli),
        ],
        posterior in 0..3usize,
        prior in 0..3usize,
        seed in any::<u64>(),
    ) {
        let device = Device::flex();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let flow = |family| Posterior::Flow { family, layers: 2, hidden: vec![16] };
        let posterior =
            [Posterior::Gaussian, flow(Family::Iaf), flow(Family::RealNvp)][posterior].clone();
        let prior = match prior {
            0 => Prior::Normal,
            1 => Prior::Mixture { components: 3, start: Vec::new() },
            _ => Prior::Flow,
        };
        let summary = posterior.summary();
        let mut network = |inputs, outputs| {
            Network::new(inputs, &hidden, outputs, &mut random, &device).export()
        };
        let encoder = network(context + features, summary + 2 * latents);
        let decoder = network(context + latents, likelihood.outputs(features));
        let prior = prior.flow(latents, &mut random, &device);
        let networks = [&encoder[..], &decoder[..]];
        let sizes = [context, latents];
        let model =
            Autoencoder::new(sizes, likelihood, networks, &posterior, prior, &mut random, &device);
        let model = model.map(&mut Magnify(1.3));

        let (encoder, decoder, posterior, prior) = model.export();
        let file = LatentDescription {
            features: (0..features).map(feature).collect(),
            context: (features..features + context).map(feature).collect(),
            latents,
            summary,
            likelihood: model.likelihood(),
            encoder,
            decoder,
            posterior,
            prior,
            ..LatentDescription::default()
        }
        .to_file();
        let own = LatentModel::<Libm>::from_bytes(file.bytes()).expect("an exported model");
        let mut memory = LatentMemory::of(&own);

        let (rows, width) = (8, features + context);
        let mut x = normals(rows * width, &mut random);
        if likelihood == Decoder::Bernoulli {
            let all = x.chunks_mut(width).flat_map(|row| &mut row[..features]);
            all.for_each(|x| *x = f32::from(u8::from(*x > 0.0)));
        }
        let noise = normals(rows * latents, &mut random);
        let tensor = |values: &[f32], width| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, width]), &device)
        };
        let Terms { reconstruction, prior, posterior } =
            model.terms(tensor(&x, width), tensor(&noise, latents));
        let twin = values(reconstruction + prior - posterior);
        for ((row, noise), twin) in x.chunks(width).zip(noise.chunks(latents)).zip(twin) {
            let (x, context) = row.split_at(features);
            let weight = own.given(context).log_weight(x, noise, &mut memory.scratch());
            let weight = weight.expect("a finite row");
            prop_assert!((weight - twin).abs() <= 2e-4 * weight.abs().max(1.0), "{weight} {twin}");
        }
    }

    /// The networks compute what the linear model does, whatever their hidden layers: with its true
    /// posterior, and a noise alike in all features, each draw has the same weight.
    #[test]
    fn the_start_is_the_linear_model(
        seed: u64,
        latents in 2usize..4,
        extra in 0usize..20,
        depth in 1usize..=3,
        context in 0usize..3,
    ) {
        let device = Device::flex();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let features = 5;
        // Features of two directions and noise, the same in all of them.
        let map = normals(features * 2, &mut random);
        let rows: Vec<f32> = (0..500)
            .flat_map(|_| {
                let (z, noise) = (normals(2, &mut random), normals(features, &mut random));
                let x = |i: usize| 1.0 + map[2 * i] * z[0] + map[2 * i + 1] * z[1] + 0.2 * noise[i];
                (0..features).map(x).collect::<Vec<f32>>()
            })
            .collect();
        let linear = Components::of(&rows, features, latents);
        let hidden = vec![2 * latents + extra; depth];
        prop_assert!(linear.fits(&hidden) && !linear.fits(&[2 * latents - 1]));
        let mut network = |inputs, outputs| {
            Network::new(inputs, &hidden, outputs, &mut random, &device).export()
        };
        let mut encoder = network(context + features, 2 * latents);
        let mut decoder = network(context + latents, 2 * features);
        linear.set_encoder(&mut encoder, context, 0, latents);
        linear.set_decoder(&mut decoder, context, latents);
        // What is not of the linear model is 0.
        for (linear, rows) in [(&mut encoder, 2 * latents), (&mut decoder, 2 * features)] {
            let output = linear.last_mut().expect("an output layer");
            for row in 0..rows {
                let weights = &mut output.weights[row * output.columns..][..output.columns];
                weights[2 * latents..].fill(0.0);
                if row >= rows / 2 {
                    weights.fill(0.0);
                }
            }
        }
        let file = LatentDescription {
            features: (0..features).map(feature).collect(),
            context: (features..features + context).map(feature).collect(),
            latents,
            encoder,
            decoder,
            ..LatentDescription::default()
        }
        .to_file();
        let model = LatentModel::<Libm>::from_bytes(file.bytes()).expect("a start");
        let mut memory = LatentMemory::of(&model);
        let context = normals(context, &mut random);
        for row in rows.chunks(features).take(5) {
            let mut code = vec![0.0; latents];
            model.given(&context).encode(row, &mut code, &mut memory.scratch()).expect("a row");
            for (own, expected) in code.iter().zip(linear.encode(row)) {
                prop_assert!((f64::from(*own) - expected).abs() < 1e-4);
            }
            let weights: Vec<f32> = (0..4)
                .map(|_| normals(latents, &mut random))
                .map(|noise| model.given(&context).log_weight(row, &noise, &mut memory.scratch()))
                .map(|weight| weight.expect("finite"))
                .collect();
            let spread = weights.iter().map(|weight| (weight - weights[0]).abs()).fold(0.0, f32::max);
            // The noise of 500 rows is only nearly alike in all features.
            prop_assert!(spread < 1.5, "{weights:?}");
        }
    }
}

/// A pump at 4 speeds: 6 sensors, their levels set by the speed and a load within it.
fn pump(rows: usize, seed: u64) -> (String, Vec<usize>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut lines, mut speeds) =
        ("flow,pressure,power,current,vibration,heat\n".to_owned(), Vec::new());
    for row in 0..rows {
        let speed = row % 4;
        let level = [1.0f32, 2.2, 3.1, 4.4][speed];
        let load = 0.15 * normals(1, &mut random)[0];
        let noise = normals(6, &mut random);
        let sensors = [
            level + load,
            level * level * 0.4 - load,
            level * 1.5 + 0.5 * load,
            6.0 - level + 0.7 * load,
            [0.5, 2.0, 0.2, 1.4][speed] + 0.3 * load,
            20.0 + 2.0 * level,
        ];
        let cells: Vec<String> =
            sensors.iter().zip(&noise).map(|(x, noise)| (x + 0.05 * noise).to_string()).collect();
        lines += &format!("{}\n", cells.join(","));
        speeds.push(speed);
    }
    (lines, speeds)
}

/// The columns of a CSV text whose names start with `prefix`, row by row.
fn columns(text: &str, prefix: &str) -> Vec<Vec<f32>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let wanted = |cells: Vec<&str>| {
        let cells = header.iter().zip(cells).filter(|(name, _)| name.starts_with(prefix));
        cells.map(|(_, cell)| cell.parse().expect("a number")).collect()
    };
    lines.map(|line| wanted(line.split(',').collect())).collect()
}

fn printed(folder: &Folder, arguments: &str) -> String {
    let output = folder.command(arguments).assert().success().get_output().clone();
    String::from_utf8(output.stdout).expect("text")
}

fn refused(folder: &Folder, arguments: &str, code: i32) -> String {
    let output = folder.command(arguments).assert().code(code).get_output().clone();
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_pump_s_speeds_are_its_modes() {
    let folder = Folder::new();
    folder.write("pump.csv", pump(2000, 1).0);
    let (test, speeds) = pump(400, 2);
    folder.write("test.csv", test);
    let train =
        "train pump.csv --split random --family vae --latent 2 --posterior gaussian --epochs 40";
    let said = folder.accepted(&format!("{train} --prior mixture --components 4 -o modes.flow"));
    assert!(said.contains("prior that starts from clusters of the rows"), "{said}");
    assert!(said.contains("2 of 2 latent values are active"), "{said}");
    folder.accepted(&format!("{train} -o normal.flow"));

    let scores = printed(&folder, "score modes.flow test.csv --modes --bound 1");
    let shares = columns(&scores, "mode_");
    let modes: Vec<usize> =
        columns(&scores, "mode").iter().map(|row| row[0] as usize - 1).collect();
    for (mode, shares) in modes.iter().zip(&shares) {
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        assert!(shares.iter().all(|share| *share <= shares[*mode]));
    }
    // Each speed has a mode of its own.
    let of_speed = |speed| (0..400).find(|row| speeds[*row] == speed).map(|row| modes[row]);
    let names: Vec<_> = (0..4).filter_map(of_speed).collect();
    let right = modes.iter().zip(&speeds).filter(|(mode, speed)| **mode == names[**speed]).count();
    assert!(right >= 396, "{right} of 400 rows have the mode of their speed");
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 4);

    let mean =
        |bounds: Vec<Vec<f32>>| bounds.iter().map(|row| row[0]).sum::<f32>() / bounds.len() as f32;
    let normal = printed(&folder, "score normal.flow test.csv --bound 1");
    let gain = mean(columns(&scores, "bound")) - mean(columns(&normal, "bound"));
    assert!(gain > 0.4, "the mixture gains {gain} nats");
    let tighter =
        mean(columns(&printed(&folder, "score normal.flow test.csv --bound 32"), "bound"));
    assert!(tighter >= mean(columns(&normal, "bound")), "the bound rises with its points");
}

/// What is encoded and decoded comes near to the row, the nearer the more latent values; on normal rows
/// residuals are about standard normal, and of a sensor that is off they show it.
#[test]
fn rows_are_encoded_and_decoded() {
    let folder = Folder::new();
    folder.write("pump.csv", pump(1500, 3).0);
    let (test, _) = pump(300, 4);
    folder.write("test.csv", &test);
    let rows = columns(&test, "");
    let mut errors = Vec::new();
    for latents in [2, 4] {
        let options = "--split random --family vae --posterior gaussian --epochs 30 -o new.flow";
        let said = folder.accepted(&format!("train pump.csv --latent {latents} {options}"));
        assert!(said.contains("decode(encode) of `heat`: error 0."), "{said}");
        assert!(printed(&folder, "inspect new.flow").contains("round_trip_explained"), "{said}");
        folder.accepted("encode new.flow test.csv -o codes.csv");
        folder.accepted("decode new.flow codes.csv -o decoded.csv");
        let decoded = columns(&std::fs::read_to_string(folder.path("decoded.csv")).unwrap(), "");
        let squares = rows.iter().flatten().zip(decoded.iter().flatten());
        let squares: f32 = squares.map(|(x, y)| (x - y).powi(2)).sum();
        errors.push((squares / rows.len() as f32).sqrt());
    }
    assert!(errors[1] < errors[0], "{errors:?}");
    // evaluate tells the same of each feature, but for the largest hundredth of the squares.
    let labelled = test.lines().enumerate().map(|(number, line)| match number {
        0 => format!("{line},label\n"),
        number => format!("{line},{}\n", u8::from(number == 300)),
    });
    folder.write("labelled.csv", labelled.collect::<String>());
    let evaluated = printed(&folder, "evaluate new.flow labelled.csv --label label --json");
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated).expect("JSON");
    let own = evaluated["round_trip"].as_array().expect("a list of features");
    let squares: f64 = own.iter().map(|own| own["error"].as_f64().expect("a number").powi(2)).sum();
    let whole = f64::from(errors[1]);
    assert!((0.8 * whole..=whole).contains(&squares.sqrt()), "{own:?} {whole}");
    assert_eq!((own.len(), &own[5]["feature"]), (6, &serde_json::json!("heat")));
    assert!(own.iter().all(|own| own["explained"].as_f64().is_some_and(|share| share > 0.9)));
    let text = printed(&folder, "evaluate new.flow labelled.csv --label label");
    assert!(text.contains("error of decode(encode): heat"), "{text}");
    let text = printed(&folder, "encode new.flow test.csv --residuals");
    assert!(text.starts_with("z1,z2,z3,z4,residual_flow,"), "{text}");
    for sensor in 0..6 {
        let own: Vec<f32> = columns(&text, "residual_").iter().map(|row| row[sensor]).collect();
        let mean = own.iter().sum::<f32>() / 300.0;
        let deviation = (own.iter().map(|r| (r - mean).powi(2)).sum::<f32>() / 300.0).sqrt();
        // The code is fitted to the row, so that a little less is left.
        assert!(mean.abs() < 0.3 && (0.5..1.3).contains(&deviation), "{mean} {deviation}");
    }
    let lines: Vec<String> = test
        .lines()
        .enumerate()
        .map(|(number, line)| match line.split(',').collect::<Vec<_>>()[..] {
            [a, b, c, d, e, _] if number > 0 => format!("{a},{b},{c},{d},{e},33"),
            _ => line.to_owned(),
        })
        .collect();
    folder.write("hot.csv", lines.join("\n"));
    let hot = columns(&printed(&folder, "encode new.flow hot.csv --residuals"), "residual_");
    let largest = |row: &Vec<f32>| (0..6).max_by(|a, b| row[*a].abs().total_cmp(&row[*b].abs()));
    let found = hot.iter().filter(|row| largest(row) == Some(5)).count();
    assert!(found > 240, "the hot sensor is named in {found} of 300 rows");
    let scores = printed(&folder, "score new.flow hot.csv --attribution");
    assert!(columns(&scores, "anomaly").iter().filter(|row| row[0] == 1.0).count() > 290);
    let blamed = columns(&scores, "attribution_");
    assert!(blamed.iter().flatten().all(|own| *own >= 0.0));
    let found = blamed.iter().filter(|row| largest(row) == Some(5)).count();
    assert!(found > 290, "the hot sensor is to blame for {found} of 300 rows");
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let folder = Folder::new();
    folder.write("pump.csv", pump(400, 5).0);
    for (name, seed) in [("a", 7), ("b", 7), ("c", 8)] {
        let options = "--family vae --latent 3 --prior flow --hidden 16,16 --epochs 4";
        folder.accepted(&format!("train pump.csv {options} --seed {seed} -o {name}.flow"));
    }
    let [a, b, c] = ["a", "b", "c"]
        .map(|name| std::fs::read(folder.path(&format!("{name}.flow"))).expect("written"));
    assert_eq!(a, b);
    assert_ne!(a, c);
    let samples = printed(&folder, "sample a.flow -n 50 --seed 3");
    assert_eq!(samples, printed(&folder, "sample b.flow -n 50 --seed 3"));
    assert_eq!(samples.lines().count(), 51);
    let facts = printed(&folder, "inspect a.flow");
    for fact in ["latent values   3", "points          32", "Latent::<6, 3, ", "\"latent\""] {
        assert!(facts.contains(fact), "{fact}: {facts}");
    }
}

#[test]
fn binary_rows_have_a_likelihood_of_their_own() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    // A constant one, and one that is hardly ever 1.
    let mut lines = "a,b,c,d,e,f,never,rare\n".to_owned();
    for row in 0..800 {
        // Two halves that go together, each bit wrong one time in twenty.
        let halves: [bool; 2] = [random.random(), random.random()];
        let bit = |own: usize, random: &mut ChaCha8Rng| {
            u8::from(halves[own / 3] != (random.random_range(0..20) == 0)).to_string()
        };
        let bits: Vec<String> = (0..6).map(|own| bit(own, &mut random)).collect();
        lines += &format!("{},0,{}\n", bits.join(","), u8::from(row % 200 == 0));
    }
    folder_of(&lines, |folder| {
        let train = "train rows.csv --split random --family vae --likelihood bernoulli --latent 2";
        let said =
            folder.accepted(&format!("{train} --posterior gaussian --epochs 120 -o new.flow"));
        assert!(said.contains("validation bound"), "{said}");
        let bounds = columns(&printed(folder, "score new.flow rows.csv --bound 32"), "bound");
        let mean = bounds.iter().map(|row| row[0]).sum::<f32>() / bounds.len() as f32;
        // Independent bits have 6 ln 2 = 4.16 nats, the true density 2.53, and the rare one .03.
        assert!((-3.4..-2.4).contains(&mean), "{mean}");
        assert!(!said.contains("apart from the usual ones"), "{said}");
        let drawn = printed(folder, "sample new.flow -n 20");
        assert!(columns(&drawn, "").iter().flatten().all(|bit| *bit == 0.0 || *bit == 1.0));
        let odd = format!("{lines}0,1,0.5,0,0,0,0,0\n");
        folder.write("odd.csv", odd);
        let error = refused(folder, "score new.flow odd.csv", 1);
        assert!(error.contains("neither 0 nor 1"), "{error}");
        let error = refused(
            folder,
            &train.replace("rows.csv", "odd.csv").replace("train", "train -o x.flow"),
            1,
        );
        assert!(error.contains("line 802, column `c`: 0.5 is neither 0 nor 1"), "{error}");
    });
}

fn folder_of(rows: &str, test: impl FnOnce(&Folder)) {
    let folder = Folder::new();
    folder.write("rows.csv", rows);
    test(&folder);
}

#[test]
fn a_verb_that_does_not_suit_a_file_says_so() {
    let folder = Folder::new();
    folder.write("pump.csv", pump(300, 7).0);
    folder.accepted("train pump.csv --family gaussian -o flow.flow");
    let options = "--family vae --posterior gaussian --hidden 16 --epochs 2 --points 4";
    folder.accepted(&format!("train pump.csv {options} -o latent.flow"));
    for (line, code, expected) in [
        ("encode flow.flow pump.csv", 1, "flow.flow: holds a flow, which has no latent values"),
        ("decode flow.flow pump.csv", 1, "flow.flow: holds a flow, which has no latent values"),
        ("score flow.flow pump.csv --modes", 1, "flow.flow: holds a flow, which has no modes"),
        ("score flow.flow pump.csv --bound 1", 1, "flow.flow: holds a flow, which has no bound"),
        ("score latent.flow pump.csv --modes", 1, "latent.flow: has no modes"),
        ("score latent.flow pump.csv --bound 5", 1, "latent.flow: holds 4 points"),
        ("decode latent.flow pump.csv", 1, "pump.csv: has no column `z1`"),
        (
            "train pump.csv --latent 2 -o x",
            2,
            "--latent means nothing with another family than vae",
        ),
        ("train pump.csv --prior flow --family maf -o x", 2, "--prior means nothing with another"),
        (
            "train pump.csv --family vae --whiten -o x",
            2,
            "--whiten means nothing with --family vae",
        ),
        (
            "train pump.csv --family vae --score log-density -o x",
            2,
            "means nothing with --family vae",
        ),
        ("train pump.csv --family vae --ensemble 2 -o x", 2, "--ensemble means nothing with"),
        ("train pump.csv --family vae --components 3 -o x", 2, "another prior than mixture"),
        (
            "train pump.csv --family vae --layers 3 -o x",
            2,
            "--layers means nothing with --posterior",
        ),
        ("train pump.csv --family vae --latent 1 -o x", 2, "--latent"),
        (
            "train pump.csv --family vae --likelihood bernoulli -o x",
            1,
            "which --likelihood bernoulli is for",
        ),
    ] {
        let error = refused(&folder, line, code);
        assert!(error.contains(expected), "{line}: {error}");
        assert!(!folder.path("x").exists());
    }
}

/// A few wild rows rule the bound of Gaussian features, not that of Student-t ones.
#[test]
fn student_t_features_bear_wild_rows() {
    let folder = Folder::new();
    folder.write("pump.csv", pump(1200, 9).0);
    let (mut test, _) = pump(200, 10);
    test += "1,0.4,1.5,5,0.5,30\n";
    folder.write("test.csv", test);
    let bound = |likelihood: &str| {
        let options = "--split random --family vae --latent 3 --posterior gaussian --epochs 20";
        folder.accepted(&format!(
            "train pump.csv {options} --likelihood {likelihood} -o {likelihood}"
        ));
        let bounds =
            columns(&printed(&folder, &format!("score {likelihood} test.csv --bound 1")), "bound");
        bounds.iter().map(|row| row[0]).sum::<f32>() / bounds.len() as f32
    };
    let (gaussian, student_t) = (bound("gaussian"), bound("student-t"));
    assert!(student_t > gaussian + 1.0, "{student_t} and {gaussian}");
    let facts = printed(&folder, "inspect student-t");
    assert!(facts.contains("Student-t, ") && facts.contains("\"student-t\""), "{facts}");
    assert_eq!(printed(&folder, "sample student-t -n 5").lines().count(), 6);
}

/// What a flow's training warns of, that of a latent model does too.
#[test]
fn training_warns_as_for_a_flow() {
    let folder = Folder::new();
    folder.write("pump.csv", pump(400, 11).0);
    let options = "--split random --family vae --latent 2 --posterior gaussian -o new.flow";
    let said = folder
        .accepted(&format!("train pump.csv {options} --epochs 3 --false-alarm-rate 0.01,0.0001"));
    assert!(said.contains("40 rows are left for the threshold"), "{said}");
    assert!(said.contains("a false-alarm rate of 0.0001 needs 9999"), "{said}");
    let said = folder.accepted(&format!("train pump.csv {options} --epochs 4 --learning-rate 0.9"));
    assert!(said.contains("the learning rate 0.9 is too high, epoch 1 ended worse"), "{said}");
    // Two regimes, in one of which all sensors hardly vary.
    let mut random = ChaCha8Rng::seed_from_u64(12);
    let mut lines = "a,b,c,d\n".to_owned();
    for row in 0..2000 {
        let width = if row % 2 == 0 { 1.0 } else { 0.002 };
        let cells: Vec<String> =
            normals(4, &mut random).iter().map(|x| (x * width).to_string()).collect();
        lines += &format!("{}\n", cells.join(","));
    }
    folder.write("regimes.csv", lines);
    let said = folder.accepted(&format!("train regimes.csv {options} --epochs 60"));
    assert!(said.contains("differs by operating point"), "{said}");
    assert!(said.contains("score of a latent model does not allow for it"), "{said}");
}

/// Rows that are damaged, repeated or given a context are treated as those of flows are.
#[test]
fn rows_are_prepared_as_for_a_flow() {
    let folder = Folder::new();
    let (pump, _) = pump(600, 8);
    folder.write("wild.csv", pump.replacen('\n', "\n1,1,1,1,1,999999\n", 1));
    let options = "--family vae --posterior gaussian --hidden 16 --epochs 3 -o new.flow";
    let said = folder.accepted(&format!("train wild.csv {options}"));
    assert!(said.contains("1 row has a value apart from the usual ones"), "{said}");
    assert!(printed(&folder, "inspect new.flow").contains("wild_rows       1 in training"));
    let said = folder.accepted(&format!("train wild.csv {options} --context flow --exclude heat"));
    assert!(said.contains("best epoch"), "{said}");
    let text = printed(&folder, "encode new.flow wild.csv");
    assert!(text.starts_with("z1,z2,z3\n"), "{text}");
    let drawn = printed(&folder, "sample new.flow -n 3 --given flow=2");
    assert!(drawn.starts_with("pressure,power,current,vibration\n"), "{drawn}");
    let codes = text.lines().enumerate().take(4).map(|(number, line)| match number {
        0 => format!("{line},flow\n"),
        _ => format!("{line},2\n"),
    });
    folder.write("codes.csv", codes.collect::<String>());
    assert_eq!(printed(&folder, "decode new.flow codes.csv").lines().count(), 4);
    let labelled = pump.lines().enumerate().map(|(number, line)| match number {
        0 => format!("{line},label\n"),
        number => format!("{line},{}\n", number % 2),
    });
    folder.write("labelled.csv", labelled.collect::<String>());
    let evaluated = printed(&folder, "evaluate new.flow labelled.csv --label label --json");
    assert!(evaluated.contains("\"mean_log_density\": null"), "{evaluated}");
    assert!(!evaluated.contains("\"mean_elbo_standardized\": null"), "{evaluated}");
}
