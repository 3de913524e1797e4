//! The names of indices: the prefix of the target, the table, and the month of the events. What is loaded beside an index in
//! use has the number of its generation in its name. Pure.

/// The first generation, whose indices have no number in their names.
pub(super) const FIRST: u64 = 1;

/// The names that belong to a table of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    prefix: String,
    table: &'static str,
}

impl Names {
    pub(super) fn new(prefix: &str, table: &'static str) -> Self {
        Self { prefix: prefix.to_owned(), table }
    }

    /// The name under which readers find all rows; also that of the template.
    pub(super) fn alias(&self) -> String {
        format!("{}-{}", self.prefix, self.table)
    }

    /// What all indices of the table are called, of every generation.
    pub(super) fn pattern(&self) -> String {
        format!("{}-*", self.alias())
    }

    /// The index of a day's rows.
    pub(super) fn index(&self, generation: u64, day: &str) -> String {
        let month = day.get(..7).unwrap_or(day).replace('-', ".");
        match generation {
            FIRST => format!("{}-{month}", self.alias()),
            other => format!("{}-r{other}-{month}", self.alias()),
        }
    }

    /// The generation and the month of an index; `None`: it is none of the table.
    pub(super) fn parsed(&self, index: &str) -> Option<(u64, String)> {
        let rest = index.strip_prefix(&self.alias())?.strip_prefix('-')?;
        let (generation, month) = match rest.strip_prefix('r') {
            Some(rest) => {
                let (number, month) = rest.split_once('-')?;
                (number.parse().ok().filter(|number| *number > FIRST)?, month)
            }
            None => (FIRST, rest),
        };
        let is_month = month.len() == 7
            && month
                .bytes()
                .enumerate()
                .all(|(place, byte)| if place == 4 { byte == b'.' } else { byte.is_ascii_digit() });
        (is_month && self.index(generation, month) == index).then(|| (generation, month.replace('.', "-")))
    }
}

/// The index with the positions of a target.
pub(super) fn progress_index(prefix: &str) -> String {
    format!("{prefix}-progress")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_made() {
        let names = Names::new("points", "transactions");
        assert_eq!(names.index(1, "2026-11-30"), "points-transactions-2026.11");
        assert_eq!(names.index(12, "2026-11-30"), "points-transactions-r12-2026.11");
        for generation in [1, 2, 12] {
            let parsed = names.parsed(&names.index(generation, "2026-11-30"));
            assert_eq!(parsed, Some((generation, "2026-11".to_owned())));
        }
    }

    #[test]
    fn indices_of_others_are_not_taken_for_own() {
        let names = Names::new("points", "transactions");
        for other in [
            "points-transactions",
            "points-transactions-2026",
            "points-transactions-2026.1x",
            "points-transactions-r1-2026.11",
            "points-transactions-r02-2026.11",
            "points-transactions-rx-2026.11",
            "points-transactions-archive-2026.11",
            "points-transactions-transactions-2026.11",
            "points-user_events-2026.11",
            "more-points-transactions-2026.11",
        ] {
            assert_eq!(names.parsed(other), None, "{other}");
        }
    }
}
