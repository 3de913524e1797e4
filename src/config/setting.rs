//! The definition of one setting. Everything that shows a setting (`--help`, `config show`, `docs/configuration.md`) or
//! reads it is made from this.
//!
//! Texts are Markdown with backticks only; on a terminal these are left out.

use anyhow::Result;

use super::machine::Worked;

/// The prefix of all our environment variables.
pub(super) const VARIABLE_PREFIX: &str = "BLUELAKE_";

/// One setting: its forms in the file, in the environment and (for some) as a flag, and its reader.
#[derive(Debug)]
pub(crate) struct Setting<T> {
    /// Its description.
    pub(super) about: About,
    /// Parses its text. The error names the fault; [`super::Layers`] adds the setting's key.
    pub(super) reader: fn(&str) -> Result<T>,
}

/// The description of a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// Dotted key of the file, for example `ingest.buffer-size`.
    pub(crate) key: &'static str,
    /// Its default.
    pub(crate) default: DefaultValue,
    /// The flag that sets it, if there is one.
    pub(crate) flag: Option<Flag>,
    /// One line for `config show` and `--help`.
    meaning: &'static str,
    /// A longer meaning for `docs/configuration.md`.
    details: Option<&'static str>,
}

/// The default of a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DefaultValue {
    /// This text.
    Text(&'static str),
    /// A text that is computed from the machine.
    Worked {
        /// Works it out.
        by: fn() -> Worked,
        /// The result, in words.
        words: &'static str,
    },
    /// No text. The words describe the effect and fit before `if not set`.
    Unset(&'static str),
}

/// A flag that sets a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// With its dashes.
    pub(crate) name: &'static str,
    /// The name of its value in `--help`.
    pub(crate) value_name: &'static str,
    /// Its commands, such as `sql` or `report run`; empty: all of them.
    pub(crate) commands: &'static [&'static str],
    /// The value of the bare flag; `None`: a value is required.
    pub(crate) alone: Option<&'static str>,
}

impl<T> Setting<T> {
    /// A setting without a flag.
    pub(super) const fn new(
        key: &'static str,
        default: DefaultValue,
        reader: fn(&str) -> Result<T>,
        meaning: &'static str,
    ) -> Self {
        Self { about: About { key, default, flag: None, meaning, details: None }, reader }
    }

    /// With a flag of these commands.
    pub(super) const fn flag(
        mut self,
        name: &'static str,
        value_name: &'static str,
        commands: &'static [&'static str],
    ) -> Self {
        self.about.flag = Some(Flag { name, value_name, commands, alone: None });
        self
    }

    /// Adds the value of the bare flag.
    pub(super) const fn flag_alone(mut self, value: &'static str) -> Self {
        if let Some(flag) = &mut self.about.flag {
            flag.alone = Some(value);
        }
        self
    }

    /// Adds a longer meaning for the documentation.
    pub(super) const fn details(mut self, details: &'static str) -> Self {
        self.about.details = Some(details);
        self
    }
}

impl About {
    /// The environment variable, for example `BLUELAKE_INGEST_BUFFER_SIZE`.
    pub(crate) fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.replace(['.', '-'], "_").to_ascii_uppercase())
    }

    /// The meaning as `config show` prints it: `name of …; polling if not set`.
    pub(crate) fn meaning(&self) -> String {
        match self.default {
            DefaultValue::Unset(words) => plain(&format!("{}; {words} if not set", self.meaning)),
            DefaultValue::Text(_) | DefaultValue::Worked { .. } => plain(self.meaning),
        }
    }

    /// The help of its flag: `Name of … [default: polling]`.
    pub(crate) fn help(&self) -> String {
        let mut meaning = self.meaning.chars();
        let first = meaning.next().into_iter().flat_map(char::to_uppercase);
        let meaning = first.chain(meaning).collect::<String>();
        plain(&format!("{meaning}{} [default: {}]", self.alone(), self.default.words()))
    }

    /// The row of the table in `docs/configuration.md`.
    #[cfg(test)]
    pub(super) fn row(&self) -> String {
        let flag = self.flag.map(|flag| flag.markdown()).unwrap_or_default();
        let default = match self.default {
            DefaultValue::Text(text) => format!("`{text}`"),
            DefaultValue::Worked { words, .. } | DefaultValue::Unset(words) => words.to_owned(),
        };
        let (meaning, alone) = (self.details.unwrap_or(self.meaning), self.alone());
        let row = format!("| `{}` | `{}` | {flag} | {default} | {meaning}{alone} |", self.key, self.variable());
        row.replace("|  |", "| |")
    }

    fn alone(&self) -> String {
        let alone = self.flag.and_then(|flag| flag.alone);
        alone.map(|value| format!("; the flag alone means `{value}`")).unwrap_or_default()
    }
}

impl DefaultValue {
    fn words(&self) -> &'static str {
        match self {
            Self::Text(words) | Self::Worked { words, .. } | Self::Unset(words) => words,
        }
    }
}

impl Flag {
    #[cfg(test)]
    fn markdown(&self) -> String {
        let value = self.alone.map(|_| format!("[={}]", self.value_name)).unwrap_or_default();
        let commands =
            if self.commands.is_empty() { String::new() } else { format!(" ({})", self.commands.join(", ")) };
        format!("`{}{value}`{commands}", self.name)
    }
}

fn plain(markdown: &str) -> String {
    markdown.replace('`', "")
}
