//! Words of a command that is suggested to a person: what is copied into a shell must arrive there as it was meant.

/// The text as one word for a POSIX shell: in quotes, unless it is plain.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./:@,+%".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_plain_word_is_left_as_it_is() {
        for text in ["s3://bucket/points", "./lake", "a_b-c.d:e@f,g+h%i"] {
            assert_eq!(shell_word(text), text);
        }
    }

    #[test]
    fn a_shell_gets_every_text_back_as_one_word() {
        for text in [
            "",
            "my lake",
            "it's",
            "''",
            "$HOME",
            "`id`",
            "$(id)",
            "a;b",
            "a&b|c>d<e",
            "*",
            "~",
            "a\\",
            "\"x\"",
            "!!",
            "#x",
            "=ls",
            "é",
            "two  blanks",
            "[a]{b,c}?",
            "(x)",
            "\u{1b}[31m",
            "tab\tand\nline",
        ] {
            let script = format!("printf %s {}", shell_word(text));
            let printed = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(printed.stdout).unwrap(), text, "{script}");
        }
    }
}
