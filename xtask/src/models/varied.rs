//! Models of every kind of step that a call may take, in many sizes: what cycles are fitted to, and
//! others that a prediction is held against.

use flowlet::bijection::Side;
use flowlet::write::{
    Base, Component, Description, Feature, LatentDescription, LatentFlow, Layer, Likelihood,
    Member, ModelFile,
};

use flowlet::{LatentModel, Libm, Model};

use super::{AFFINE, BALANCE, DEGREES_OF_FREEDOM, FAMILIES, Random, SPLINE, Step, standardised};

/// A model and rows for it.
pub struct Varied {
    pub name: String,
    pub file: ModelFile,
    /// Values of a row, its context included.
    pub columns: usize,
    /// Whether no smaller model takes a step of its.
    pub is_needed: bool,
    /// Products of a score.
    pub multiply_adds: usize,
    /// Whether the rows are of zeros and ones.
    pub is_binary: bool,
    /// Whether coefficients are fitted to it; the others only test them.
    pub is_fitted: bool,
}

/// Features and widths of hidden layers that each family is fitted in, and those that test the fit.
const FITTED: [(usize, &[usize]); 5] =
    [(6, &[16]), (13, &[32, 32]), (20, &[32, 16]), (8, &[64, 64]), (33, &[24, 40])];
const TESTING: [(usize, &[usize]); 2] = [(3, &[8, 8]), (10, &[32, 32, 32])];

/// Steps of each flow: few, for a step costs what the others do.
const STEPS: usize = 2;

/// Every one.
pub fn all() -> Vec<Varied> {
    let mut models = Vec::new();
    for (sizes, is_fitted) in [(&FITTED[..], true), (&TESTING[..], false)] {
        for (family, _, step) in FAMILIES {
            for (number, (features, hidden)) in sizes.iter().enumerate() {
                let base = bases(*features)[number % 2].clone();
                let description = flow(*features, hidden, 0, step, base);
                let widths: Vec<String> = hidden.iter().map(usize::to_string).collect();
                let name = format!("{family}_d{features}_{}", widths.join("x"));
                models.push(of(name, &description, is_fitted));
            }
        }
    }
    for (features, is_fitted) in [(4, true), (13, true), (21, true), (9, false)] {
        for (base, name) in bases(features).into_iter().zip(BASES) {
            let description = Description { base, ..standardised(features) };
            models.push(of(format!("{name}_d{features}"), &description, is_fitted));
        }
    }
    for (features, context, is_fitted) in [(6, 1, true), (12, 3, true), (9, 2, false)] {
        for (family, _, step) in [FAMILIES[0], FAMILIES[2], FAMILIES[3], FAMILIES[5]] {
            let description = flow(features, &[24, 16], context, step, Base::StandardNormal);
            models.push(of(format!("{family}_d{features}_c{context}"), &description, is_fitted));
        }
    }
    for (features, circles, is_fitted) in [(6, 2, true), (12, 8, true), (9, 5, false)] {
        for (family, _, step) in &FAMILIES[4..] {
            let description = on_circles(features, circles, *step);
            let name = format!("{family}_d{features}_circles{circles}");
            let model = of(name, &description, is_fitted);
            models.push(Varied { is_needed: features == 6, ..model });
        }
    }
    for (features, knots, is_fitted) in [(5, 8, true), (14, 33, true), (9, 16, false)] {
        let layers = vec![marginal(features, knots)];
        let description = Description { layers, ..standardised(features) };
        models.push(of(format!("marginal_d{features}_{knots}"), &description, is_fitted));
    }
    for (levels, is_fitted) in [(&[(4usize, 4usize), (1, 8)], true), (&[(9, 4), (3, 6)], false)] {
        let layers = Random::new().glow_image(levels, 2);
        let features = levels[0].0 * levels[0].1;
        let description = Description { layers, ..standardised(features) };
        models.push(of(format!("glow_image_{features}"), &description, is_fitted));
    }
    for (features, is_fitted) in [(7, true), (13, true), (10, false)] {
        let model = of(format!("ensemble_d{features}"), &ensemble(features), is_fitted);
        models.push(Varied { is_needed: features == 7, ..model });
    }
    models.extend(latents());
    models
}

const BASES: [&str; 5] =
    ["student_t", "mixture", "standard_normal", "student_t_mixture", "full_mixture"];

/// Every base, those that flows are trained with by default first.
fn bases(features: usize) -> [Base; 5] {
    let full = || Random::new().components(features).split_off(5);
    let diagonal = || {
        let mut components = full();
        for Component { precision_factor, .. } in &mut components {
            *precision_factor = precision_factor.iter().copied().step_by(features + 1).collect();
        }
        components
    };
    // Half of ten components, whose shares must add up to 1.
    let whole = |mut components: Vec<Component>| {
        for component in &mut components {
            component.log_weight += 2f32.ln();
        }
        components
    };
    let degrees_of_freedom = DEGREES_OF_FREEDOM;
    [
        Base::StudentT { degrees_of_freedom },
        Base::Mixture(whole(diagonal())),
        Base::StandardNormal,
        Base::StudentTMixture { degrees_of_freedom, components: whole(diagonal()) },
        Base::Mixture(whole(full())),
    ]
}

fn of(name: String, description: &Description, is_fitted: bool) -> Varied {
    let columns = description.features.len() + description.context.len();
    let file = description.to_file();
    let model = Model::<Libm>::from_bytes(file.bytes()).expect("a sound description");
    let multiply_adds = model.multiply_adds();
    Varied { name, file, columns, is_needed: false, multiply_adds, is_binary: false, is_fitted }
}

fn flow(
    features: usize,
    hidden: &'static [usize],
    context: usize,
    step: Step,
    base: Base,
) -> Description {
    let mut random = Random { hidden, context, ..Random::new() };
    let layers = (0..STEPS).flat_map(|number| step(&mut random, number, features)).collect();
    let context = standardised(context).features;
    Description { context: named("c", context), layers, base, ..standardised(features) }
}

fn named(prefix: &str, features: Vec<Feature>) -> Vec<Feature> {
    let named = |(number, feature)| Feature { name: format!("{prefix}{number}"), ..feature };
    features.into_iter().enumerate().map(named).collect()
}

/// A flow whose first `circles` features are periodic.
fn on_circles(features: usize, circles: usize, step: Step) -> Description {
    let mut description = flow(features, &[24, 16], 0, step, Base::StandardNormal);
    for feature in description.features.iter_mut().take(circles) {
        feature.periodic = true;
    }
    // What networks see and say depends on where the circles are when a layer comes.
    let mut places: Vec<bool> = (0..features).map(|feature| feature < circles).collect();
    let mut random = Random { hidden: &[24, 16], ..Random::new() };
    for layer in &mut description.layers {
        match layer {
            Layer::Permutation(order) => {
                places = order.iter().map(|from| places[*from as usize]).collect();
            }
            Layer::Coupling { transformed, network, .. } => {
                let (own, other) = transformed.sizes(features);
                let (first, second) = places.split_at(features / 2);
                let (own_places, seen) = match transformed {
                    flowlet::bijection::Half::First => (first, second),
                    _ => (second, first),
                };
                let more = seen.iter().filter(|is_circle| **is_circle).count();
                let is_circular = own_places.contains(&true);
                *network = random.network(other + more, if is_circular { 24 } else { 23 } * own);
            }
            Layer::Autoregressive { network, .. } => {
                *network = random.network(features + circles, 24 * features);
            }
            _ => {}
        }
    }
    description
}

/// A marginal transform of every feature, near the identity.
fn marginal(features: usize, knots: usize) -> Layer {
    let knot = |number: usize| {
        let x = 6.0 * (number as f32 / (knots - 1) as f32) - 3.0;
        [x, x + 0.1 * x.sin(), 1.0]
    };
    Layer::Marginal(vec![(0..knots).map(knot).collect(); features])
}

/// The three flows of the default model.
fn ensemble(features: usize) -> Description {
    let member = |family: usize, hidden, base: usize| {
        let (_, _, step) = FAMILIES[family];
        flow(features, hidden, 0, step, bases(features)[base].clone())
    };
    let further = |description: Description| Member {
        features: description.features,
        context: Vec::new(),
        layers: description.layers,
        base: description.base,
    };
    Description {
        others: vec![further(member(2, &[32, 32], 0)), further(member(4, &[32, 16], 0))],
        log_shares: vec![-(3f32.ln()); 3],
        balances: vec![BALANCE; 3],
        ..member(0, &[32, 32], 1)
    }
}

fn latents() -> Vec<Varied> {
    type Sizes = (usize, usize, usize, usize);
    let sizes: [(Sizes, &'static [usize], bool, bool); 6] = [
        ((8, 4, 0, 0), &[32], false, true),
        ((14, 6, 2, 16), &[32, 32], false, true),
        ((20, 3, 1, 4), &[16, 24], false, true),
        ((9, 3, 0, 0), &[32], true, true),
        ((11, 5, 2, 8), &[48], false, false),
        ((16, 4, 0, 0), &[40, 16], true, false),
    ];
    let model = |(sizes, hidden, is_binary, is_fitted): (Sizes, _, _, _)| {
        let (features, latents, layers, summary) = sizes;
        let mut random = Random { hidden, ..Random::new() };
        let encoder = random.network(features, summary + 2 * latents);
        let outputs = if is_binary { features } else { 2 * features };
        let decoder = random.network(latents, outputs);
        let mut posterior = Vec::new();
        for number in 0..layers {
            if number > 0 {
                posterior.push(Layer::Permutation((0..latents as u32).rev().collect()));
            }
            let network = random.network(summary + latents, 2 * latents);
            posterior.push(Layer::Autoregressive { given: Side::Z, map: AFFINE, network });
        }
        let prior = if !latents.is_multiple_of(2) {
            LatentFlow { layers: Vec::new(), base: bases(latents)[1].clone() }
        } else {
            let layers = random.coupling_step(0, latents, SPLINE);
            LatentFlow { layers, base: Base::StandardNormal }
        };
        let description = LatentDescription {
            features: standardised(features).features,
            latents,
            summary,
            likelihood: match is_binary {
                true => Likelihood::Bernoulli,
                false => LatentDescription::default().likelihood,
            },
            encoder,
            decoder,
            posterior: LatentFlow { layers: posterior, base: Base::StandardNormal },
            prior,
            points: random.many(4 * latents, 0.0, 2.0),
            ..LatentDescription::default()
        };
        let kind = if is_binary { "bernoulli" } else { "gaussian" };
        let name = format!("latent_{kind}_d{features}_l{latents}_iaf{layers}");
        let file = description.to_file();
        let model = LatentModel::<Libm>::from_bytes(file.bytes()).expect("a sound description");
        let multiply_adds = model.multiply_adds();
        Varied {
            name,
            file,
            columns: features,
            is_needed: is_fitted && features < 10,
            multiply_adds,
            is_binary,
            is_fitted,
        }
    };
    sizes.into_iter().map(model).collect()
}
