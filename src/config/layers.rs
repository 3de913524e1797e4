//! Layers of raw values: the text of each setting and its origin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use bluelake_queries::nearest;

use super::setting::VARIABLE_PREFIX;
use super::{
    About, DEFAULT_FILE, DefaultValue, SETTINGS, ScheduledReport, Setting, TargetSettings, complaint, scheduled,
    targets,
};
use crate::terminal::failure::WrongUsage;

/// Names the file to read, like `--config`.
const FILE_VARIABLE: &str = "BLUELAKE_CONFIG";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// Computed from the machine, with an explanation.
    Machine(String),
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Variable(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Machine(words) => write!(formatter, "default: {words}"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Variable(name) => write!(formatter, "variable {name}"),
            Self::Flag(flag) => write!(formatter, "flag {flag}"),
        }
    }
}

/// A setting's text and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// As it was written.
    pub(crate) text: String,
    /// Where it was written.
    pub(crate) origin: Origin,
}

/// A flag that sets a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    key: &'static str,
    text: String,
    flag: &'static str,
}

impl Override {
    /// `flag` (with its dashes) gives the setting `key` this text.
    pub(crate) fn new(key: &'static str, text: impl Into<String>, flag: &'static str) -> Self {
        Self { key, text: text.into(), flag }
    }
}

/// The winning text of every setting that has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    values: BTreeMap<&'static str, Value>,
    scheduled: Vec<ScheduledReport>,
    targets: Vec<TargetSettings>,
}

impl Layers {
    /// Combines defaults, file, environment and flags.
    ///
    /// # Errors
    /// [`WrongUsage`] for a file that cannot be read, or for unknown keys and variables.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
        flags: Vec<Override>,
    ) -> Result<Self> {
        let variables = own_variables(environment)?;
        let mut layers = Self::default();
        for setting in SETTINGS {
            match setting.default {
                DefaultValue::Text(text) => layers.put(setting.key, text.to_owned(), Origin::Default),
                DefaultValue::Worked { by, .. } => {
                    let worked = by();
                    layers.put(setting.key, worked.text, Origin::Machine(worked.from));
                }
                DefaultValue::Unset(_) => {}
            }
        }
        layers.lay_file(file.or(variables.file.as_deref()))?;
        layers.lay_variables(variables.settings)?;
        for flag in flags {
            layers.put(flag.key, flag.text, Origin::Flag(flag.flag));
        }
        Ok(layers)
    }

    /// The winning value of `key`, if it has one.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The reports that the file lists.
    pub(super) fn scheduled(&self) -> &[ScheduledReport] {
        &self.scheduled
    }

    /// The targets that the file lists.
    pub(super) fn targets(&self) -> &[TargetSettings] {
        &self.targets
    }

    /// Reads a setting that always has a value.
    pub(super) fn read<T>(&self, setting: &Setting<T>) -> Result<T> {
        let value = self.read_optional(setting)?;
        value.ok_or_else(|| WrongUsage::new(format!("{} is not set", setting.about.key)).into())
    }

    /// Reads a setting that may have no value.
    pub(super) fn read_optional<T>(&self, setting: &Setting<T>) -> Result<Option<T>> {
        let key = setting.about.key;
        let Some(value) = self.values.get(key) else { return Ok(None) };
        (setting.reader)(&value.text).map(Some).map_err(|detail| complaint(key, value, format!("{detail:#}")))
    }

    fn put(&mut self, key: &'static str, text: String, origin: Origin) {
        self.values.insert(key, Value { text, origin });
    }

    fn lay_file(&mut self, named: Option<&Path>) -> Result<()> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let usage = WrongUsage::new(format!("cannot read the configuration file {}", path.display()));
                return Err(anyhow::Error::new(error).context(usage));
            }
        };
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // Not the line itself: it may hold a password.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            WrongUsage::new(format!("{} is not valid TOML: line {line}: {}", path.display(), error.message()))
        })?;
        if let Some(list) = table.remove("report") {
            self.scheduled = scheduled::read(list, path)?;
        }
        if let Some(list) = table.remove("target") {
            self.targets = targets::read(list, path)?;
        }
        let mut found = Vec::new();
        flatten(&table, "", &mut found);
        for (key, value) in found {
            let known = SETTINGS.iter().find(|setting| setting.key == key);
            let Some(setting) = known else {
                return Err(unknown(
                    &format!("key {key} in {}", path.display()),
                    &key,
                    SETTINGS.iter().map(|s| s.key.to_owned()),
                ));
            };
            let text = scalar(value).ok_or_else(|| {
                WrongUsage::new(format!("{key} in {} must be a text or a whole number", path.display()))
            })?;
            self.put(setting.key, text, Origin::File(path.to_owned()));
        }
        Ok(())
    }

    fn lay_variables(&mut self, variables: Vec<(String, String)>) -> Result<()> {
        for (name, text) in variables {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) else {
                let known = SETTINGS.iter().map(About::variable).chain([FILE_VARIABLE.to_owned()]);
                return Err(unknown(&format!("environment variable {name}"), &name, known));
            };
            self.put(setting.key, text, Origin::Variable(name));
        }
        Ok(())
    }
}

/// The variables of Bluelake that are not empty.
#[derive(Debug, Default)]
struct Variables {
    /// Name and text of each variable of a setting.
    settings: Vec<(String, String)>,
    /// The file that one of them names.
    file: Option<PathBuf>,
}

fn own_variables(environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Variables> {
    let mut variables = Variables::default();
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
        if text.is_empty() {
            continue;
        }
        if name == FILE_VARIABLE {
            variables.file = Some(PathBuf::from(text));
            continue;
        }
        let text =
            text.into_string().map_err(|_| WrongUsage::new(format!("environment variable {name} is not UTF-8")))?;
        variables.settings.push((name.to_owned(), text));
    }
    variables.settings.sort();
    Ok(variables)
}

fn flatten<'a>(table: &'a toml::Table, prefix: &str, found: &mut Vec<(String, &'a toml::Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => flatten(inner, &key, found),
            // An empty section of ours has no effect; any other is an unknown key.
            toml::Value::Table(_) if is_section(&key) => {}
            _ => found.push((key, value)),
        }
    }
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// The text of a value other than a list or table.
pub(super) fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Datetime(time) => Some(time.to_string()),
        _ => None,
    }
}

fn unknown(what: &str, key: &str, known: impl Iterator<Item = String>) -> anyhow::Error {
    let hint = match nearest(key, known) {
        Some(candidate) => format!("did you mean {candidate}?"),
        None => "`bluelake config show` lists the known ones".to_owned(),
    };
    WrongUsage::new(format!("unknown {what}; {hint}")).into()
}
