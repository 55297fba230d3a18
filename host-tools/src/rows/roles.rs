//! What the columns of a table are for.

use crate::error::{Error, Result};
use crate::names::{self, Name, Named, Names};
use crate::rows::period::Period;
use crate::rows::precision::Offset;
use crate::rows::table::Table;

/// The columns that are not, or not only, features.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// Those left out.
    pub exclude: Vec<String>,
    /// Those that the density is conditioned on.
    pub context: Vec<String>,
    /// Those on circles.
    pub periods: Vec<Period>,
    /// Those from which something is subtracted.
    pub offsets: Vec<Offset>,
}

impl Named for Period {
    fn name(&self) -> &str {
        &self.column
    }
}

impl Named for Offset {
    fn name(&self) -> &str {
        &self.column
    }
}

impl Roles {
    /// The columns of `table` that the options --exclude, --context, --periodic and --offset name.
    pub fn new(
        table: &Table,
        exclude: &[Names<Name>],
        context: &[Names<Name>],
        periodic: &[Names<Period>],
        offset: &[Names<Offset>],
    ) -> Result<Self> {
        let columns = table.names();
        let named = |values| -> Vec<String> {
            names::resolve::<Name>(values, columns).into_iter().map(|name| name.0).collect()
        };
        let (exclude, context) = (named(exclude), named(context));
        let periods = names::resolve(periodic, columns);
        let roles = Self { exclude, context, periods, offsets: names::resolve(offset, columns) };
        roles.check()?;
        let circles = roles.periods.iter().map(|period| &period.column);
        let offsets = roles.offsets.iter().map(|offset| &offset.column);
        for column in roles.exclude.iter().chain(&roles.context).chain(circles).chain(offsets) {
            table.column(column)?;
        }
        Ok(roles)
    }

    /// Refuses a column with two roles.
    fn check(&self) -> Result<()> {
        let circles: Vec<String> = self.periods.iter().map(|own| own.column.clone()).collect();
        let offsets: Vec<String> = self.offsets.iter().map(|own| own.column.clone()).collect();
        let Self { exclude, context, .. } = self;
        let in_exclude = "the same column in --exclude";
        refuse("--context", shared(context, exclude), in_exclude)?;
        refuse("--context", repeated(context), "the same column twice")?;
        refuse("--periodic", shared(&circles, exclude), in_exclude)?;
        refuse("--periodic", shared(&circles, context), "the same column in --context")?;
        refuse("--periodic", repeated(&circles), "the same column twice")?;
        refuse("--offset", shared(&offsets, exclude), in_exclude)?;
        refuse("--offset", shared(&offsets, &circles), "the same column in --periodic")?;
        refuse("--offset", repeated(&offsets), "the same column twice")
    }
}

/// The first of `names` that is one of `others` too.
fn shared<'a>(names: &'a [String], others: &[String]) -> Option<&'a String> {
    names.iter().find(|name| others.contains(name))
}

/// The first of `names` that is named before.
fn repeated(names: &[String]) -> Option<&String> {
    let mut numbered = names.iter().enumerate();
    numbered.find(|(place, name)| names[..*place].contains(name)).map(|(_, name)| name)
}

fn refuse(option: &'static str, column: Option<&String>, with: &'static str) -> Result<()> {
    match column.cloned() {
        Some(column) => Err(Error::Roles { option, with, column }),
        None => Ok(()),
    }
}
