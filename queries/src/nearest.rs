//! The known name that a mistyped one was probably meant to be.

/// The candidate most like `name`, or nothing when none is like it.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate.to_owned())
}

/// A half sentence for messages: `; did you mean users?`, or nothing.
pub(crate) fn hint(suggestion: Option<&String>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_name_and_nonsense_finds_none() {
        let names = ["donations", "interactions", "users"];
        assert_eq!(nearest("donation", names).as_deref(), Some("donations"));
        assert_eq!(nearest("Interactoins", names).as_deref(), Some("interactions"));
        assert_eq!(nearest("qqq", names), None);
    }
}
