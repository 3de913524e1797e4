//! The known word that a mistyped one probably means.

/// The least similarity of a suggested word (Jaro–Winkler, 0 to 1).
const LIKENESS: f64 = 0.75;

/// The known word most similar to `word`, without regard to case; `None` if none is similar.
pub fn nearest(word: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.as_ref().to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// `; did you mean users?` for the end of a message, or nothing.
#[must_use]
pub fn did_you_mean(suggestion: Option<&String>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean {word}?"))
}

/// The name that was probably meant, or all names without one.
pub(crate) fn nearest_or_all(suggestion: Option<&String>, known: &[String], there_are: &str) -> String {
    match suggestion {
        Some(_) => did_you_mean(suggestion),
        None if known.is_empty() => format!("; {there_are} none"),
        None => format!("; {there_are} {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_typing_error_finds_its_name() {
        let names = ["donations", "interactions", "users"];
        assert_eq!(nearest("donation", names).as_deref(), Some("donations"));
        assert_eq!(nearest("Interactoins", names).as_deref(), Some("interactions"));
        assert_eq!(nearest("qqq", names), None);
    }
}
