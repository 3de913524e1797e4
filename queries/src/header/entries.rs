//! The lines of a header: `key: value` pairs, and the form `name (…) description` of their values.

use crate::text::nearest::{did_you_mean, nearest};

/// One `key: value` with the line that it starts on.
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Reads the header of a text; a fault names its line.
pub(crate) fn entries(text: &str, keys: &[&str]) -> Result<Vec<Entry>, (usize, String)> {
    let mut entries = Vec::<Entry>::new();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let header = lines.skip_while(|(_, line)| line.trim().is_empty()).map_while(|(number, line)| {
        let comment = line.trim_end().strip_prefix("--")?;
        Some((number, comment))
    });
    for (line, comment) in header.filter(|(_, comment)| !comment.trim().is_empty()) {
        if comment.starts_with("   ") {
            let entry = entries.last_mut().ok_or((line, "nothing stands above that this could continue".to_owned()))?;
            entry.value.push(' ');
            entry.value.push_str(comment.trim());
            continue;
        }
        let (key, value) = comment
            .split_once(':')
            .ok_or_else(|| (line, "expected `-- key: value`; end the header with an empty line".to_owned()))?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if !keys.contains(&key.as_str()) {
            let suggestion = did_you_mean(nearest(&key, keys).as_ref());
            return Err((line, format!("unknown key {key:?}{suggestion}; there are {}", keys.join(", "))));
        }
        if value.is_empty() {
            return Err((line, format!("{key} is empty")));
        }
        entries.push(Entry { line, key, value });
    }
    Ok(entries)
}

pub(crate) fn only<'a>(entries: &'a [Entry], key: &str) -> Result<Option<&'a Entry>, (usize, String)> {
    let mut found = entries.iter().filter(|entry| entry.key == key);
    let first = found.next();
    match found.next() {
        Some(second) => Err((second.line, format!("{key} stands there twice; keep one"))),
        None => Ok(first),
    }
}

pub(crate) fn unique<'a>(mut known: impl Iterator<Item = &'a String>, name: &String) -> Result<(), String> {
    if known.any(|known| known == name) { Err(format!("{name} is declared twice")) } else { Ok(()) }
}

/// Splits `name (attributes) description`.
pub(crate) fn read_named(value: &str) -> Result<(&str, &str, &str), String> {
    let parts = value.split_once('(').and_then(|(name, rest)| Some((name.trim(), rest.split_once(')')?)));
    let (name, (attributes, description)) = parts.ok_or("expected `name (…) description`")?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(format!("the name {name:?} may have only lower-case letters, digits and _"));
    }
    let description = description.trim();
    if description.is_empty() {
        return Err(format!("{name} has no description"));
    }
    Ok((name, attributes.trim(), description))
}
