//! Which fields a log has, what stands in where it lacks them, and how many dollars hang on that. Counts; knows no trace and no configuration.

use crate::gateway::money::Money;

/// How well a log covers what a replay wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Rows of the log.
    pub rows: u64,
    /// The fields, in the order of reports.
    pub fields: Vec<Field>,
}

/// One field of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What it is called: `output tokens`.
    pub name: &'static str,
    /// What is assumed for a row that lacks it.
    pub instead: String,
    /// Rows that have it.
    pub rows: u64,
    /// The dollars of the rows that lack it: recorded where the log has them, else re-priced.
    pub hanging: Money,
}

impl Coverage {
    /// An empty count of these fields, each with what is assumed instead.
    pub fn of(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let field = |(name, instead)| Field { name, instead, rows: 0, hanging: Money::ZERO };
        Self { rows: 0, fields: fields.into_iter().map(field).collect() }
    }

    /// Counts a row worth `amount` by whether it has each of the fields, in their order.
    ///
    /// # Panics
    /// If `has` is not as long as the list of fields.
    pub fn add(&mut self, has: &[bool], amount: Money) {
        assert_eq!(has.len(), self.fields.len(), "one answer for each field");
        self.rows += 1;
        for (field, has) in self.fields.iter_mut().zip(has) {
            if *has {
                field.rows += 1;
            } else {
                field.hanging += amount;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dollars_of_a_row_hang_on_what_it_lacks() {
        let mut coverage = Coverage::of([("status", String::new()), ("cost", String::new())]);
        coverage.add(&[true, false], Money(5));
        coverage.add(&[false, false], Money(7));
        coverage.add(&[true, true], Money(11));
        let found: Vec<_> = coverage.fields.iter().map(|field| (field.name, field.rows, field.hanging)).collect();
        assert_eq!((coverage.rows, found), (3, vec![("status", 2, Money(7)), ("cost", 1, Money(12))]));
    }
}
