//! A raw signal, read sample by sample, and where it breaks off.

use std::rc::Rc;

use flowlet::signal::{MAX_CHANNELS, MAX_SAMPLE};

use crate::error::{Error, Result};
use crate::rows::label;
use crate::rows::table::Table;

/// What the columns of a signal are, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The channels and then the context.
    pub values: Vec<usize>,
    /// How many of them are channels.
    pub channels: usize,
    /// The column that tells recordings apart.
    pub segment: Option<usize>,
    /// The column that tells anomalies.
    pub label: Option<usize>,
}

/// One sample.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its number in the file, from 0.
    pub number: u64,
    /// Its line in the file.
    pub line: u64,
    /// A value for each channel, zeros behind them.
    pub values: [f32; MAX_CHANNELS],
    /// What it is given; shared by the samples that follow each other.
    pub context: Rc<[f64]>,
    /// Number of its stretch of one recording and one context, from 0.
    pub stretch: usize,
    /// Whether it does not follow the sample before it: a window starts.
    pub is_new: bool,
    /// What its label says.
    pub is_anomaly: bool,
}

/// Reads the samples of a table.
pub struct Samples {
    columns: Columns,
    segment: String,
    context: Rc<[f64]>,
    stretch: usize,
    /// Whether a sample was left out since the last one.
    has_gap: bool,
    is_first: bool,
}

impl Samples {
    /// Of a table with these columns, from its present row on.
    pub fn new(columns: Columns) -> Self {
        let context = Rc::from([]);
        Self {
            columns,
            segment: String::new(),
            context,
            stretch: 0,
            has_gap: false,
            is_first: true,
        }
    }

    /// The columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The next sample; none at the end.
    ///
    /// A line that lacks a value and is left out is a gap: no window lies across it.
    pub fn next(&mut self, table: &mut Table) -> Result<Option<Sample>> {
        while table.advance()? {
            match self.read(table)? {
                Some(sample) => return Ok(Some(sample)),
                None => self.has_gap = true,
            }
        }
        Ok(None)
    }

    /// The sample of the present row; none where it is left out.
    fn read(&mut self, table: &mut Table) -> Result<Option<Sample>> {
        let Columns { values, channels, segment, label } = &self.columns;
        let Some(own) = table.values(values)? else { return Ok(None) };
        let (own, context) = own.split_at(*channels);
        let mut single = [0.0; MAX_CHANNELS];
        single.iter_mut().zip(own).for_each(|(place, value)| *place = *value as f32);
        let is_absurd = |value: &f32| value.abs() > MAX_SAMPLE;
        let absurd = single.iter().position(is_absurd);
        let bits = |context: &[f64]| context.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let mut is_other = self.is_first || bits(context) != bits(&self.context);
        if is_other {
            self.context = Rc::from(context);
        }
        if let Some(channel) = absurd {
            let column = table.names()[values[channel]].clone();
            let (path, line) = (table.path().into(), table.line());
            return Err(Error::Sample { path, line, column, value: single[channel] });
        }
        if let Some(column) = segment
            && table.text(*column) != self.segment
        {
            self.segment = table.text(*column).to_owned();
            is_other = true;
        }
        let is_anomaly = match label {
            None => false,
            Some(label) => match label::is_anomaly(table, *label)? {
                Some(is_anomaly) => is_anomaly,
                None => return Ok(None),
            },
        };
        self.stretch += usize::from(is_other && !self.is_first);
        self.is_first = false;
        let is_new = std::mem::take(&mut self.has_gap) || is_other;
        Ok(Some(Sample {
            number: table.rows() - 1,
            line: table.line(),
            values: single,
            context: self.context.clone(),
            stretch: self.stretch,
            is_new,
            is_anomaly,
        }))
    }
}
