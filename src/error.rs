//! Every refusal, one variant each, with the numbers that explain it.

/// What can be wrong with a model file, with a row, or with their fit to the firmware.
///
/// The variants up to [`Error::Math`] come from loading a file, in the order of the checks in
/// [`crate::file`]; the rest come from using a loaded model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than the smallest model file has.
    #[error("{length} bytes are too few for a model file: it has at least {minimum}")]
    TooShort {
        /// Bytes given.
        length: usize,
        /// Bytes of header and checksum.
        minimum: usize,
    },
    /// The file does not start with `FLOW`.
    #[error("not a flowlet model file: it does not start with the bytes `FLOW`")]
    Magic,
    /// The file was written in a format this crate does not know.
    #[error("model file of format {found}, this reader knows format {supported}: update flowlet")]
    Version {
        /// Major version in the file.
        found: u8,
        /// Major version of this reader.
        supported: u8,
    },
    /// The file is longer or shorter than its header says.
    #[error(
        "the model file says it has {stated} bytes, but {actual} are there: it is cut or padded"
    )]
    Length {
        /// Length in the header.
        stated: u32,
        /// Bytes given.
        actual: usize,
    },
    /// The file was altered after it was written.
    #[error(
        "the model file is damaged: its checksum is {stated:#010x}, its bytes give {computed:#010x}"
    )]
    Checksum {
        /// CRC-32C in the file.
        stated: u32,
        /// CRC-32C of the bytes.
        computed: u32,
    },
    /// The bytes do not start on a 4-byte boundary.
    #[error(
        "the model file must start on a 4-byte boundary: embed it with include_model!, or align the buffer"
    )]
    Misaligned,
    /// The bytes behind the header are not the sections that the format describes.
    #[error("the model file's section {section} cannot be decoded")]
    Malformed {
        /// Number of the section, from 0.
        section: u32,
    },
    /// Bytes remain after the last section.
    #[error("{count} bytes follow the model file's last section")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A section that this reader must understand, but does not.
    #[error(
        "the model file needs section {tag}, which this version of flowlet does not know: update it"
    )]
    UnknownSection {
        /// Its tag.
        tag: u32,
    },
    /// A latent model where a flow was expected.
    #[error(
        "the file holds a latent model, no flow: load it with flowlet's Latent (Cargo feature `latent`)"
    )]
    IsLatent,
    /// A flow where a latent model was expected.
    #[error("the file holds a flow, no latent model: load it with flowlet's Flow")]
    IsFlow,
    /// A section that every file has is not there.
    #[error("the model file lacks its section {tag}")]
    MissingSection {
        /// Its tag.
        tag: u32,
    },
    /// A section that may stand only once stands twice.
    #[error("the model file has more than one section {tag}")]
    RepeatedSection {
        /// Its tag.
        tag: u32,
    },
    /// A section is longer or shorter than its contents.
    #[error("the model file's section {tag} has {actual} words where its contents take {expected}")]
    SectionLength {
        /// Its tag.
        tag: u32,
        /// Words there.
        actual: usize,
        /// Words that the counts in the file ask for.
        expected: usize,
    },
    /// More flows than an ensemble may have.
    #[error("the model file has more than {maximum} flows")]
    Members {
        /// Most flows of a file.
        maximum: usize,
    },
    /// A flow of an ensemble that is not like the first one.
    #[error("the ensemble's flow {member} has other features, context or math than its flow 0")]
    Member {
        /// The flow, from 0.
        member: usize,
    },
    /// A section for an ensemble in a file of one flow.
    #[error("the model file has shares of several flows, but one flow")]
    NoEnsemble,
    /// Shares of an ensemble's flows that do not add up to 1.
    #[error(
        "the ensemble's shares are not usable at flow {member}: ln weight <= 0; weights add up to 1"
    )]
    LogWeight {
        /// The flow, from 0; their number where the weights do not add up to 1.
        member: usize,
    },
    /// The number of features differs from the firmware's `D`.
    #[error("the model has {file} features, the firmware expects {firmware}: Flow::<{file}, _>")]
    Features {
        /// Features in the file.
        file: usize,
        /// `D`.
        firmware: usize,
    },
    /// The number of context values differs from the firmware's `C`.
    #[error(
        "the model is given {file} context values, the firmware expects {firmware}: Flow::<_, _, _, {file}>"
    )]
    Context {
        /// Context values in the file.
        file: usize,
        /// `C`.
        firmware: usize,
    },
    /// The widest hidden layer does not fit the firmware's `H`.
    #[error(
        "the model's widest hidden layer takes {file} units, the firmware has room for {firmware}: Flow::<_, {file}>"
    )]
    Width {
        /// Units that the file needs, in whole blocks of 8.
        file: usize,
        /// `H`.
        firmware: usize,
    },
    /// A latent model of other sizes than the firmware's type has.
    #[error(
        "the latent model fits a Latent::<{features}, {latents}, {width}, _, {context}>, the firmware's type differs"
    )]
    LatentFit {
        /// D of the file.
        features: usize,
        /// L of the file.
        latents: usize,
        /// Units that the file needs, in whole blocks of 8; a larger `H` fits too.
        width: usize,
        /// C of the file.
        context: usize,
    },
    /// A latent model's sizes or settings are not possible.
    #[error("the latent model has an impossible size or setting (word {word} of its section)")]
    LatentSetting {
        /// Word of section 13, from 0.
        word: usize,
    },
    /// A weight of the encoder or decoder is NaN, or larger than
    /// [`MAX_PARAMETER`](crate::MAX_PARAMETER).
    #[error(
        "the latent model has a parameter that is no number within 65536, at {index} of its networks"
    )]
    LatentParameter {
        /// The parameter, counted from the encoder's first.
        index: usize,
    },
    /// A flow of a latent model that does not fit the others.
    #[error(
        "the latent model's {name} has other latent values, context or math than the model, or a base that it cannot have"
    )]
    LatentFlow {
        /// Which one.
        name: &'static str,
    },
    /// A stored point that is no draw of a standard normal.
    #[error("the latent model has a point that is no number within 2^20, at {index}")]
    Point {
        /// The value, counted from the first point's first.
        index: usize,
    },
    /// A base density that this reader does not know.
    #[error(
        "the model's base density is of kind {kind}, which this version of flowlet does not know"
    )]
    Base {
        /// Its number in the file.
        kind: u32,
    },
    /// The base's settings are not possible.
    #[error("the model's base density has an impossible setting (word {word} of the flow)")]
    BaseSetting {
        /// Word of the flow's header, from 0.
        word: usize,
    },
    /// The parameters behind the layers are not those of the base.
    #[error("the model has {found} words behind its layers, its base density takes {expected}")]
    BaseParameters {
        /// Words there.
        found: usize,
        /// Words that the base takes.
        expected: usize,
    },
    /// A component that is no density, or shares that do not add up to 1.
    #[error(
        "the model's mixture is not usable at component {number}: ln weight <= 0, finite mean, diagonal not 0; weights add up to 1"
    )]
    Component {
        /// The component, from 0; their number where the weights do not add up to 1.
        number: usize,
    },
    /// A layer that this reader does not know.
    #[error(
        "the model's layer {layer} is of kind {kind}, which this version of flowlet does not know"
    )]
    Kind {
        /// Number of the layer, from 0.
        layer: usize,
        /// Its number in the file.
        kind: u32,
    },
    /// A part of the model that this build of flowlet leaves out.
    #[error("the model needs the Cargo feature `{name}` of flowlet: enable it")]
    Feature {
        /// Its name in Cargo.toml.
        name: &'static str,
    },
    /// A layer's counts or settings are not possible.
    #[error("the model's layer {layer} has an impossible shape (word {word} of its record)")]
    Shape {
        /// Number of the layer, from 0.
        layer: usize,
        /// Word of its record, from 0.
        word: usize,
    },
    /// A layer's parameters do not lie where they must.
    #[error(
        "the model's layer {layer} has parameters at {offset}+{length}, they belong at {expected_offset}+{expected_length}"
    )]
    Parameters {
        /// Number of the layer, from 0.
        layer: usize,
        /// First parameter word, as the file says.
        offset: u32,
        /// Number of parameter words, as the file says.
        length: u32,
        /// First parameter word, behind the layer before.
        expected_offset: usize,
        /// Number of parameter words that the layer's shape takes.
        expected_length: usize,
    },
    /// A weight is NaN, or larger than [`MAX_PARAMETER`](crate::MAX_PARAMETER).
    #[error("the model's layer {layer} has a parameter that is no number within 65536, at {index}")]
    Parameter {
        /// Number of the layer, from 0.
        layer: usize,
        /// The parameter within the layer, from 0.
        index: usize,
    },
    /// A block of a masked network has other columns than the degrees of its units say.
    #[error(
        "the model's layer {layer} has {found} columns in block {block} of its network, its degrees give {expected}"
    )]
    Columns {
        /// Number of the layer, from 0.
        layer: usize,
        /// Number of the block, from 0, counted over all of the network.
        block: usize,
        /// Columns that the file says.
        found: u32,
        /// Columns that its last unit sees.
        expected: usize,
    },
    /// A permutation that sends two features to one place.
    #[error(
        "the model's layer {layer} is not a permutation: feature {index} is out of range or repeated"
    )]
    Permutation {
        /// Number of the layer, from 0.
        layer: usize,
        /// Position of the wrong entry.
        index: usize,
    },
    /// A feature's centre, scale or range is not usable.
    #[error(
        "the model's standardisation of feature {feature} is not usable: finite centre, positive scale, low <= high"
    )]
    Standardisation {
        /// The feature, from 0.
        feature: usize,
    },
    /// A column's offset or step is not usable.
    #[error("the model's column {column} has no finite offset, or a negative or infinite step")]
    Column {
        /// The column, from 0: the features, then the context.
        column: usize,
    },
    /// A feature's name is missing or not UTF-8.
    #[error("the model's name of feature {feature} cannot be read")]
    Name {
        /// The feature, from 0.
        feature: usize,
    },
    /// A flow's part of the score is not usable.
    #[error(
        "the model's score is not usable at flow {member}: finite medians, positive deviations"
    )]
    Score {
        /// The flow, from 0.
        member: usize,
    },
    /// The calibration is not usable.
    #[error(
        "the model's calibration is not usable: a threshold, rates up to 1, scores that ascend"
    )]
    Calibration,
    /// The detector's settings are not possible.
    #[error("the model's detector has an impossible setting (word {word} of its section)")]
    Detector {
        /// Word of section 18, from 0.
        word: usize,
    },
    /// A feature's values for attribution are not usable.
    #[error("the model's quantiles of feature {feature} are not usable: finite, ascending")]
    Quantiles {
        /// The feature, from 0.
        feature: usize,
    },
    /// The recipe of a signal is not possible.
    #[error("the model's signal recipe has an impossible word {word}")]
    Signal {
        /// Word of section 16, from 0; of an entry its first one.
        word: usize,
    },
    /// The provenance is not UTF-8.
    #[error("the model's provenance is not UTF-8 text")]
    Provenance,
    /// The model was calibrated with another [`Math`](crate::Math).
    #[error(
        "the model was calibrated with math {file} (1 libm, 2 micromath), the firmware has {firmware}"
    )]
    Math {
        /// `Math::ID` in the file.
        file: u32,
        /// `M::ID`.
        firmware: u32,
    },

    /// A window of other sizes than the recipe's.
    #[error(
        "the model's rows fit a Window::<{channels}, {window}, {features}>, the firmware's type differs"
    )]
    SignalFit {
        /// Channels of the signal.
        channels: usize,
        /// Samples of a window.
        window: usize,
        /// Features of a row.
        features: usize,
    },
    /// The firmware's list of features is not the model's.
    #[error("feature {index} of the model has another name than the firmware expects")]
    FeatureName {
        /// The first one that differs, from 0.
        index: usize,
    },
    /// The firmware's context is not the model's.
    #[error("context value {index} of the model has another name than the firmware expects")]
    ContextName {
        /// The first one that differs, from 0.
        index: usize,
    },
    /// A row of the wrong length.
    #[error("a row of {found} values, the model has {expected} features")]
    RowLength {
        /// Values given.
        found: usize,
        /// Features of the model.
        expected: usize,
    },
    /// A context of the wrong length.
    #[error("a context of {found} values, the model has {expected}")]
    ContextLength {
        /// Values given.
        found: usize,
        /// Context values of the model.
        expected: usize,
    },
    /// Scratch too small for the model.
    #[error(
        "the scratch is too small: the model has {features} features, {context} context values and {width} hidden units"
    )]
    Scratch {
        /// Floats needed in the first row, and half or all of those in the second.
        features: usize,
        /// Floats needed for the context.
        context: usize,
        /// Units needed, in whole blocks of 8.
        width: usize,
    },
    /// A context value that is NaN or infinite.
    #[error("context value {index} is NaN or infinite")]
    ContextNotFinite {
        /// Its place in the context, from 0.
        index: usize,
    },
    /// A value that is NaN or infinite: a dead sensor, or an overflow before flowlet.
    #[error("feature {feature} is NaN or infinite")]
    NotFinite {
        /// The feature, from 0.
        feature: usize,
    },
    /// A value other than 0 and 1 of a model of binary features.
    #[error(
        "feature {feature} is neither 0 nor 1, and the model's likelihood is that of binary features"
    )]
    NotBinary {
        /// The feature, from 0.
        feature: usize,
    },
    /// Latent values, or a draw for them, of the wrong length.
    #[error("a code of {found} values, the model has {expected} latent values")]
    CodeLength {
        /// Values given.
        found: usize,
        /// Latent values of the model.
        expected: usize,
    },
    /// A latent value, or a draw for it, that is NaN or infinite.
    #[error("latent value {index} is NaN or infinite")]
    CodeNotFinite {
        /// Its place, from 0.
        index: usize,
    },
    /// A question for modes to a model without them.
    #[error("the model has no modes: its prior is no mixture")]
    NoModes,
    /// Room for another number of responsibilities than the prior has components.
    #[error("room for {found} responsibilities, the model's prior has {expected} components")]
    Responsibilities {
        /// Places given.
        found: usize,
        /// Components of the prior.
        expected: usize,
    },
    /// A bound over points that the file does not have.
    #[error("the model has not so many points for the bound: train it with --points")]
    NoPoints,
    /// A sample that is no finite number, or absurdly large: a gap in the signal.
    #[error("the sample of channel {channel} is NaN, infinite or beyond 1e12")]
    Sample {
        /// The channel, from 0.
        channel: usize,
    },
    /// The file says nothing of a signal.
    #[error("the model carries no signal recipe: its rows do not come from windows")]
    NoSignal,
    /// The file carries no calibration.
    #[error("the model carries no calibration, so that no score can be called an anomaly")]
    NoCalibration,
    /// The file carries no values for attribution.
    #[error("the model carries no quantiles of its features, so that none can be blamed")]
    NoQuantiles,
    /// A false-alarm rate that is none.
    #[error("a false-alarm rate must be less than 1, and 1e-9 or more")]
    Rate,
    /// A false-alarm rate that the calibration says nothing about.
    #[error("the model was calibrated on {rows} rows, too few for so low a false-alarm rate")]
    FewRows {
        /// Held-out normal rows.
        rows: u32,
    },
    /// A flow that the model does not have.
    #[error("the model has {flows} flows, there is no flow {member}")]
    NoMember {
        /// The flow asked for, from 0.
        member: usize,
        /// Flows of the model.
        flows: usize,
    },
    /// A question that an ensemble of several flows has no answer to.
    #[error("not possible for an ensemble of flows: {reason}")]
    Ensemble {
        /// Why.
        reason: &'static str,
    },
    /// A temperature that is negative, NaN or infinite.
    #[error("the temperature must be a finite number, 0 or more")]
    Temperature,
    /// The random source keeps repeating itself.
    #[error("the random number generator is stuck: 64 draws in a row outside of the unit disc")]
    RandomSource,
    /// The file says nothing of alarms.
    #[error("the model has no detector: `flowlet commission --false-alarms` gives it one")]
    NoDetector,
    /// Held-out rows so few that no row can speak against the machine.
    #[error("the model was calibrated on {rows} rows, too few for a detector")]
    DetectorRows {
        /// Held-out normal rows.
        rows: u32,
    },
    /// A score that is NaN or infinite.
    #[error("the score is NaN or infinite")]
    ScoreNotFinite,
    /// The state of a detector that was altered after it was saved.
    #[error("the saved state of the detector is damaged: start from a new one")]
    SavedDamaged,
    /// The state of a detector with other settings or another calibration.
    #[error("the saved state is that of another model or calibration: start from a new one")]
    SavedOther,
    /// More scores than there is room for.
    #[error("all {capacity} scores of the commissioning are gathered")]
    CommissioningFull {
        /// `N`.
        capacity: usize,
    },
    /// The arithmetic of this core gives other bits than the host's.
    #[error("self-test vector {vector} gives {computed:#010x} here, the host had {expected:#010x}")]
    SelfTest {
        /// The vector, from 0.
        vector: usize,
        /// Bits of the log-density or the score computed here.
        computed: u32,
        /// Bits of the same in the file.
        expected: u32,
    },
}
