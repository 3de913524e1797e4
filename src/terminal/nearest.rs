//! The known word that is most like one that is not known.

/// Below this likeness a known word is not worth suggesting (Jaro–Winkler, 0 to 1).
const LIKENESS: f64 = 0.75;

/// The nearest of the known words, if one is near.
pub(crate) fn nearest(word: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate.as_ref()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// `; did you mean …?` for the end of a message, or nothing.
pub(crate) fn hint(word: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    nearest(word, known).map(|candidate| format!("; did you mean {candidate}?")).unwrap_or_default()
}
