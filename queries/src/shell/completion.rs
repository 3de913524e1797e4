//! Completions of a partial word.

use super::command::COMMANDS;
use super::statements::split;

/// Words of the SQL that the shell accepts; others (`INSERT`, `COPY`, …) would be refused anyway.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS",
    "DATE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "QUALIFY",
    "RECURSIVE",
    "RIGHT",
    "SELECT",
    "SHOW",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Words after which only a table can follow.
const BEFORE_TABLES: [&str; 3] = ["FROM", "JOIN", "DESCRIBE"];

/// The names that can be completed.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    relations: Vec<(String, Vec<String>)>,
    functions: Vec<String>,
}

/// The start of a word, and its completions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completions {
    /// Byte at which the candidates begin.
    pub start: usize,
    /// Whole words, sorted, each once.
    pub candidates: Vec<String>,
}

impl Vocabulary {
    /// Tables and views with their columns, and the names of functions.
    pub fn new(relations: Vec<(String, Vec<String>)>, functions: Vec<String>) -> Self {
        Self { relations, functions }
    }

    /// Candidates for the word that ends at byte `position` of the text.
    pub fn complete(&self, text: &str, position: usize) -> Completions {
        let before = text.get(..position).unwrap_or(text);
        if before.trim_start().starts_with('\\') {
            return self.complete_command(before);
        }
        let statement = last_statement(before);
        let start = before.len() - trailing_word(before).len();
        if split(statement).is_open {
            return Completions { start, candidates: Vec::new() };
        }
        // Columns may be written before the table, so the words behind the cursor count too.
        let behind = split(text.get(position..).unwrap_or_default());
        let whole = format!("{statement}{}", behind.statement.unwrap_or(behind.rest));
        Completions { start, candidates: self.candidates(before, start, &words(&whole)) }
    }

    fn candidates(&self, before: &str, start: usize, words: &[&str]) -> Vec<String> {
        let word = before.get(start..).unwrap_or_default();
        let leading = before.get(..start).unwrap_or_default();
        if let Some(qualified) = leading.strip_suffix('.') {
            return matching(word, self.columns_of(trailing_word(qualified), words));
        }
        let previous = trailing_word(leading.trim_end());
        if BEFORE_TABLES.iter().any(|keyword| keyword.eq_ignore_ascii_case(previous)) {
            return matching(word, self.names());
        }
        if word.is_empty() {
            return matching(word, self.names());
        }
        let is_lower = word.starts_with(|first: char| first.is_lowercase());
        let keyword = |keyword: &&str| if is_lower { keyword.to_lowercase() } else { (*keyword).to_owned() };
        let names = self.names().chain(self.columns_in_reach(words)).chain(self.functions.iter().map(String::as_str));
        let mut candidates = matching(word, names);
        candidates.extend(KEYWORDS.iter().filter(|known| begins_with(known, word)).map(keyword));
        candidates.sort();
        candidates.dedup();
        candidates
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.relations.iter().map(|(name, _)| name.as_str())
    }

    /// Columns of the relations that the statement names, or of all when it names none yet.
    fn columns_in_reach<'a>(&'a self, words: &[&str]) -> impl Iterator<Item = &'a str> {
        let is_named = |name: &str| words.iter().any(|word| word.eq_ignore_ascii_case(name));
        let named: Vec<_> = self.relations.iter().filter(|(name, _)| is_named(name)).collect();
        let relations = if named.is_empty() { self.relations.iter().collect() } else { named };
        relations.into_iter().flat_map(|(_, columns)| columns.iter().map(String::as_str))
    }

    /// Columns of the relation that goes by this name or alias in the statement.
    fn columns_of<'a>(&'a self, qualifier: &str, words: &[&str]) -> impl Iterator<Item = &'a str> {
        let find = |name: &str| self.relations.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let aliased = |(at, word): (usize, &&str)| {
            let is_alias = |offset: usize| {
                words.get(at + offset).is_some_and(|alias: &&str| alias.eq_ignore_ascii_case(qualifier))
            };
            let behind_as = words.get(at + 1).is_some_and(|word: &&str| word.eq_ignore_ascii_case("AS"));
            find(word).filter(|_| is_alias(if behind_as { 2 } else { 1 }))
        };
        let relation = find(qualifier).or_else(|| words.iter().enumerate().find_map(aliased));
        relation.into_iter().flat_map(|(_, columns)| columns.iter().map(String::as_str))
    }

    fn complete_command(&self, before: &str) -> Completions {
        let line = before.trim_start();
        let Some((name, argument)) = line.split_once(char::is_whitespace) else {
            return Completions {
                start: before.len() - line.len(),
                candidates: matching(line, COMMANDS.iter().map(|command| command.name)),
            };
        };
        let argument = argument.trim_start();
        let words = COMMANDS.iter().filter(|command| command.name == name).flat_map(|command| command.words);
        let names = self.names().filter(|_| name == "\\d");
        let candidates = matching(argument, words.copied().chain(names));
        Completions { start: before.len() - argument.len(), candidates }
    }
}

fn last_statement(mut text: &str) -> &str {
    loop {
        let cut = split(text);
        text = cut.rest;
        if cut.statement.is_none() {
            return text;
        }
    }
}

fn is_part_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn trailing_word(text: &str) -> &str {
    text.rfind(|character| !is_part_of_word(character)).map_or(text, |at| {
        let length = text.get(at..).and_then(|tail| tail.chars().next()).map_or(1, char::len_utf8);
        text.get(at + length..).unwrap_or_default()
    })
}

fn words(text: &str) -> Vec<&str> {
    text.split(|character| !is_part_of_word(character)).filter(|word| !word.is_empty()).collect()
}

fn begins_with(candidate: &str, word: &str) -> bool {
    candidate.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word))
}

fn matching<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<_> = candidates.filter(|known| begins_with(known, word)).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let relations = vec![
            ("donations".to_owned(), columns(&["donor_id", "points", "local_date"])),
            ("users".to_owned(), columns(&["user_id", "user_kind", "zip_code"])),
        ];
        Vocabulary::new(relations, columns(&["sum", "substr"]))
    }

    /// `|` marks the cursor in the text.
    fn complete(text: &str) -> (usize, Vec<String>) {
        let position = text.find('|').unwrap_or(text.len());
        let completions = vocabulary().complete(&text.replace('|', ""), position);
        (completions.start, completions.candidates)
    }

    #[test]
    fn words_become_names_columns_functions_and_keywords() {
        let cases: &[(&str, usize, &[&str])] = &[
            ("SEL|", 0, &["SELECT"]),
            ("sel|", 0, &["select"]),
            ("SELECT * FROM |", 14, &["donations", "users"]),
            ("SELECT * FROM us|", 14, &["users"]),
            ("SELECT do| FROM donations", 7, &["donations", "donor_id"]),
            ("SELECT user_| FROM donations", 7, &[]),
            ("SELECT user_|", 7, &["user_id", "user_kind"]),
            ("SELECT d.| FROM donations d", 9, &["donor_id", "local_date", "points"]),
            ("SELECT x.p| FROM donations AS x", 9, &["points"]),
            ("SELECT users.z|", 13, &["zip_code"]),
            ("SELECT y.z| FROM users x", 9, &[]),
            ("SELECT su|", 7, &["substr", "sum"]),
            ("SELECT 1; SELECT * FROM donations WHERE zip|", 40, &[]),
            ("SELECT 'us|", 8, &[]),
            ("SELECT 1 -- us\n FROM us|", 21, &["users"]),
            ("SELECT 'ü' FROM us|", 17, &["users"]),
        ];
        for (text, start, candidates) in cases {
            let (found_start, found) = complete(text);
            assert_eq!(
                (found_start, found),
                (*start, candidates.iter().map(|&word| word.to_owned()).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn commands_and_their_arguments_are_completed() {
        assert_eq!(complete("\\ti|"), (0, vec!["\\timing".to_owned()]));
        assert_eq!(complete("\\d u|"), (3, vec!["users".to_owned()]));
        assert_eq!(complete("\\format n|"), (8, vec!["ndjson".to_owned()]));
        assert_eq!(complete("\\timing |"), (8, vec!["off".to_owned(), "on".to_owned()]));
        assert_eq!(complete("\\i fi|"), (3, vec![]));
    }
}
