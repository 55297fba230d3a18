//! What a model file says of its rows and of its training, in words.

/// What is told of a key, in the order of the page.
struct Known {
    key: &'static str,
    title: &'static str,
    meaning: &'static str,
}

const fn known(key: &'static str, title: &'static str, meaning: &'static str) -> Known {
    Known { key, title, meaning }
}

/// How the model came about.
const TRAINING: [Known; 15] = [
    known("family", "Family", ""),
    known("ensemble", "Density", ""),
    known("flow_0", "Flow 0", ""),
    known("flow_1", "Flow 1", ""),
    known("flow_2", "Flow 2", ""),
    known("flow_3", "Flow 3", ""),
    known("active_latents", "Active latent values", "the others, if any, say nothing of the rows"),
    known("epochs", "Best epoch", ""),
    known("training_rows", "Rows that trained", ""),
    known("early_stopping_rows", "Rows that stopped training", ""),
    known("held_out_rows", "Rows that set the threshold", ""),
    known("split", "Divided by", ""),
    known("seed", "Seed", ""),
    known("time_limit", "Time limit", ""),
    known("tool", "Trained by", ""),
];

/// What was odd about the rows.
const FINDINGS: [Known; 16] = [
    known(
        "wild_rows",
        "Rows with a wild value",
        "A glitch, an error code, or a flag that was set once: a value apart from all others. Neither \
         training nor the threshold saw these rows.",
    ),
    known("wild_column", "Columns with wild values", "Look at these sensors first."),
    known("wild", "Wild rows", "They were kept, so that training learned them as normal."),
    known(
        "rows_without_a_value",
        "Rows that lack a value",
        "They were left out. The device refuses a row that is not finite: report the sensor, or score \
         the row with a stand-in value of your choice.",
    ),
    known(
        "distinct_rows",
        "Repeated rows",
        "Copies say nothing new, and where they are many each row was used once.",
    ),
    known(
        "validation_rows_of_training",
        "Validation rows that also trained",
        "The threshold comes from rows that the model has seen: fresh rows will raise more false alarms.",
    ),
    known(
        "shifted_rows",
        "Validation rows apart from those of training",
        "They are too many for damage: the threshold rests on them.",
    ),
    known(
        "drift",
        "Drift",
        "From the first fifth of the rows to the last. The false-alarm rate holds for rows like these, \
         not for what the column drifts to.",
    ),
    known(
        "autocorrelation",
        "Rows in time order",
        "Neighbouring rows are alike, so that they are worth fewer independent ones, and the false-alarm \
         rate may not hold on another day.",
    ),
    known(
        "one_way_column",
        "Columns that only rise or only fall",
        "A running number or a time stamp goes beyond what was learned: leave it out with --exclude.",
    ),
    known(
        "constant_column",
        "Constant columns",
        "Nothing was learned of other values than the one.",
    ),
    known(
        "coarse_column",
        "Columns that lose precision as f32",
        "Their values differ by few steps of f32: have an --offset subtracted first.",
    ),
    known(
        "dequantised",
        "Columns in steps, or with one value in many rows",
        "Training spread the steps, or that value; samples lie on the steps.",
    ),
    known("excluded_columns", "Columns left out", "The user excluded them."),
    known(
        "marginal",
        "Features given a normal shape first",
        "By a fixed monotone map, fitted to their quantiles.",
    ),
    known("whitened", "Whitened", "A fixed linear map gives the features a unit covariance first."),
];

/// A fact and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub title: &'static str,
    /// What the file says.
    pub value: String,
    /// What follows from it; empty where that is plain.
    pub meaning: &'static str,
}

/// How the model came about, by the lines of its file.
pub fn training(provenance: &[(String, String)]) -> Vec<Fact> {
    of(&TRAINING, provenance)
}

/// What was odd about its rows.
pub fn findings(provenance: &[(String, String)]) -> Vec<Fact> {
    of(&FINDINGS, provenance)
}

fn of(known: &[Known], provenance: &[(String, String)]) -> Vec<Fact> {
    let fact = |Known { key, title, meaning }: &Known| {
        // Of a key twice, the first is the tool's own.
        let (_, value) = provenance.iter().find(|(own, value)| own == key && !value.is_empty())?;
        Some(Fact { title, value: value.clone(), meaning })
    };
    known.iter().filter_map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_key_is_told_and_an_empty_one_is_not() {
        let lines = [("drift", "2 of a"), ("drift", "forged"), ("dequantised", ""), ("x", "y")];
        let lines = lines.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let found = findings(&lines);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].title, &*found[0].value), ("Drift", "2 of a"));
    }
}
