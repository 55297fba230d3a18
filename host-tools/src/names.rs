//! Options that name columns: one name, which may hold commas, or several between commas.

use std::str::FromStr;

use crate::error::Result;

/// What an option says of one column.
pub trait Named: FromStr<Err = String> + Clone {
    /// The column.
    fn name(&self) -> &str;
}

/// A column, of which nothing is said but its name.
#[derive(Clone, Debug)]
pub struct Name(pub String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.trim().into()))
    }
}

impl Named for Name {
    fn name(&self) -> &str {
        &self.0
    }
}

/// One value of an option, which only the names of the columns tell to be one column or a list.
#[derive(Clone, Debug)]
pub struct Names<T> {
    whole: Option<T>,
    parts: Option<Vec<T>>,
}

impl<T: Named> FromStr for Names<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<T>, String> = text.split(',').map(T::from_str).collect();
        match (text.parse().ok(), parts) {
            (None, Err(error)) => Err(error),
            (whole, parts) => Ok(Self { whole, parts: parts.ok() }),
        }
    }
}

impl<T: Named> Names<T> {
    /// The column of this name where `columns` has one, else the columns between commas.
    fn resolve(&self, columns: &[String]) -> Vec<T> {
        let is_column = |named: &T| columns.iter().any(|column| column == named.name());
        match (&self.whole, &self.parts) {
            (Some(whole), Some(_)) if is_column(whole) => vec![whole.clone()],
            (_, Some(parts)) => parts.clone(),
            (whole, None) => whole.iter().cloned().collect(),
        }
    }
}

/// All columns that the values of an option name, of which `columns` may lack some.
pub fn resolve<T: Named>(values: &[Names<T>], columns: &[String]) -> Vec<T> {
    values.iter().flat_map(|value| value.resolve(columns)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_column_can_be_named_and_any_list_without_commas(
            columns in proptest::collection::hash_set("[a-z=,]{0,4}[a-z]", 1..6)
        ) {
            let columns: Vec<String> = columns.into_iter().collect();
            let named = |texts: &[String]| -> Vec<String> {
                let values: Vec<Names<Name>> = texts.iter().map(|t| t.parse().unwrap()).collect();
                resolve(&values, &columns).into_iter().map(|name| name.0).collect()
            };
            prop_assert_eq!(named(&columns), columns.clone());
            let plain: Vec<String> =
                columns.iter().filter(|name| !name.contains(',')).cloned().collect();
            let list = plain.join(",");
            if !plain.is_empty() && !columns.contains(&list) {
                prop_assert_eq!(named(&[list]), plain);
            }
        }
    }
}
