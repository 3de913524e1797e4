//! The filter of the log: the requested levels, within records that are proven to hold no personal data and no secrets.
//!
//! Libraries log their data: the AWS SDK the bodies of its calls, the SQL engine literals and the least and greatest
//! values of files. So a library is silent at every level, unless [`LIBRARIES`] names its harmless part; a new library
//! is silent by itself.

use std::str::FromStr;

use anyhow::{Result, bail};
use bluelake_queries::{did_you_mean, nearest};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

/// The rooms, by the names under which they log. Their own records never hold an event.
const ROOMS: [&str; 10] = [
    "bluelake",
    "bluelake_care",
    "bluelake_deliver",
    "bluelake_embedded_kinesis",
    "bluelake_generate",
    "bluelake_ingest",
    "bluelake_lake",
    "bluelake_queries",
    "bluelake_schemas",
    "bluelake_transform",
];

/// Parts of libraries whose records were reviewed, up to this level: they hold names of files, hosts, profiles and
/// settings. The longest name that fits a record counts.
const LIBRARIES: [(&str, LevelFilter); 7] = [
    ("aws_config", LevelFilter::WARN),
    // Access keys and external ids.
    ("aws_config::profile::credentials", LevelFilter::OFF),
    // The provider of the credentials, not the credentials.
    ("aws_config::meta", LevelFilter::DEBUG),
    ("aws_config::imds::region", LevelFilter::DEBUG),
    ("aws_runtime::env_config::source", LevelFilter::WARN),
    ("deltalake_core::protocol", LevelFilter::WARN),
    // Addresses that are connected to.
    ("hyper_util::client::legacy::connect", LevelFilter::DEBUG),
];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Every crate of the program, and so every possible target of a record.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The filter of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFilter {
    /// For what no directive names.
    others: LevelFilter,
    /// The level of a target and everything below it; a later one of the same target wins.
    directives: Vec<(String, LevelFilter)>,
    /// A plain level is for Bluelake only: the records of libraries at `info` would bury its own.
    rooms_only: bool,
}

impl LogFilter {
    /// Whether a record of this target and level is written.
    pub(crate) fn enables(&self, target: &str, level: Level) -> bool {
        let level = LevelFilter::from_level(level);
        level <= self.asked(target) && level <= harmless(target)
    }

    /// The highest level of all.
    pub(crate) fn highest(&self) -> LevelFilter {
        self.directives.iter().map(|(_, level)| *level).fold(self.others, LevelFilter::max)
    }

    /// The libraries with a requested level that is never written.
    pub(crate) fn kept_back(&self) -> Option<String> {
        let more = |(target, level): &&(String, LevelFilter)| *level > harmless(target);
        let names: Vec<_> = self.directives.iter().filter(more).map(|(target, _)| target.as_str()).collect();
        Some(names.join(", ")).filter(|names| !names.is_empty())
    }

    fn asked(&self, target: &str) -> LevelFilter {
        let named = self.directives.iter().filter(|(prefix, _)| is_below(target, prefix));
        match named.max_by_key(|(prefix, _)| prefix.len()) {
            Some((_, level)) => *level,
            None if self.rooms_only && !is_room(target) => self.others.min(LevelFilter::WARN),
            None => self.others,
        }
    }
}

impl FromStr for LogFilter {
    type Err = anyhow::Error;

    /// `LEVEL`, or directives separated by commas: `LEVEL` for all, `TARGET=LEVEL`, or `TARGET` for all of it.
    fn from_str(text: &str) -> Result<Self> {
        let mut others = None;
        let mut directives = Vec::new();
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                None if LEVELS.contains(&directive.to_ascii_lowercase().as_str()) => others = Some(level(directive)?),
                None => directives.push((target(directive, &LEVELS)?, LevelFilter::TRACE)),
                Some((name, word)) => directives.push((target(name.trim(), &[])?, level(word.trim())?)),
            }
        }
        let rooms_only = directives.is_empty();
        Ok(Self { others: others.unwrap_or(LevelFilter::WARN), directives, rooms_only })
    }
}

fn level(word: &str) -> Result<LevelFilter> {
    let lower = word.to_ascii_lowercase();
    match lower.parse() {
        Ok(level) if LEVELS.contains(&lower.as_str()) => Ok(level),
        _ => bail!(
            "{word:?} is no level{}; there are {}",
            did_you_mean(nearest(&lower, LEVELS).as_ref()),
            LEVELS.join(", ")
        ),
    }
}

/// The target, if it is in one of the program's crates; `words` are suggested too.
fn target(name: &str, words: &[&'static str]) -> Result<String> {
    if name.contains(['[', '{', '"']) {
        bail!("{name:?}: records are chosen by level and target only; write for example info,bluelake_ingest=debug");
    }
    let first = name.split("::").next().unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    if !first.is_empty() && crates().any(|known| known == first) {
        return Ok(name.to_owned());
    }
    let known = LIBRARIES.map(|(library, _)| library);
    let meant = words.iter().copied().chain(ROOMS).chain(known);
    let what = if words.is_empty() { "no crate of Bluelake" } else { "neither a level nor a crate of Bluelake" };
    bail!(
        "{name:?} is {what}{}; write error, warn, info, debug or trace, or for example info,bluelake_ingest=debug",
        did_you_mean(nearest(&lower, meant).as_ref())
    )
}

/// Names of the program's crates, as in code.
fn crates() -> impl Iterator<Item = String> {
    let names = LOCK.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.map(|name| name.replace('-', "_"))
}

fn harmless(target: &str) -> LevelFilter {
    if is_room(target) {
        return LevelFilter::TRACE;
    }
    let named = LIBRARIES.iter().filter(|(prefix, _)| is_below(target, prefix));
    named.max_by_key(|(prefix, _)| prefix.len()).map_or(LevelFilter::OFF, |(_, level)| *level)
}

fn is_room(target: &str) -> bool {
    ROOMS.iter().any(|room| is_below(target, room))
}

/// Whether the target is this one or lies in it.
fn is_below(target: &str, prefix: &str) -> bool {
    target.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filter(text: &str) -> LogFilter {
        text.parse().unwrap()
    }

    #[test]
    fn a_plain_level_is_for_bluelake_only() {
        let debug = filter("debug");
        assert!(debug.enables("bluelake_ingest::round", Level::DEBUG) && debug.enables("bluelake", Level::DEBUG));
        assert!(!debug.enables("bluelake", Level::TRACE));
        assert!(!debug.enables("hyper_util::client::legacy::connect::http", Level::DEBUG));
        assert!(debug.enables("aws_config::provider_config", Level::WARN));
    }

    #[test]
    fn no_filter_brings_what_can_hold_data() {
        let dangerous = [
            "aws_smithy_runtime::client::orchestrator",
            "aws_smithy_runtime_api",
            "aws_sdk_kinesis",
            "aws_sdk_s3",
            "aws_config::profile::credentials",
            "aws_config::credential_process",
            "aws_sigv4::http_request",
            "hyper::proto::h1",
            "h2::codec",
            "reqwest",
            "object_store::client",
            "datafusion_optimizer",
            "parquet",
            "deltalake_core::delta_datafusion",
            "deltalake_core",
            "buoyant_kernel",
            "ferrokinesis",
            "log",
            "a_library_of_tomorrow",
            "bluelake_of_others",
        ];
        for text in
            ["trace", "info,aws_config=trace", "trace,hyper=trace", "aws_smithy_runtime=trace,datafusion", "h2=trace"]
        {
            for target in dangerous {
                assert!(!filter(text).enables(target, Level::INFO), "{text}: {target}");
            }
        }
    }

    #[test]
    fn every_room_of_the_workspace_may_log() {
        let manifest = include_str!("../../../Cargo.toml");
        let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
        let rooms =
            members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.contains('/'));
        for room in rooms {
            let target = format!("bluelake_{}", room.replace('-', "_"));
            assert!(ROOMS.contains(&target.as_str()), "what {target} logs is dropped");
        }
    }

    #[test]
    fn the_longest_directive_counts() {
        let some = filter("bluelake_ingest=debug, bluelake_ingest::pages=error,aws_config=debug");
        assert!(some.enables("bluelake_ingest::round", Level::DEBUG));
        assert!(!some.enables("bluelake_ingest::pages", Level::WARN));
        assert!(some.enables("bluelake_lake", Level::WARN) && !some.enables("bluelake_lake", Level::INFO));
        assert!(some.enables("aws_config::meta::credentials::chain", Level::DEBUG));
        assert!(!filter("off").enables("bluelake", Level::ERROR));
    }

    #[test]
    fn a_target_kept_back_is_named() {
        let kept_back = |text| filter(text).kept_back();
        assert_eq!(kept_back("info,hyper=trace,bluelake=trace").as_deref(), Some("hyper"));
        assert_eq!(kept_back("trace"), None);
    }

    #[test]
    fn a_mistyped_level_gets_the_nearest() {
        for (text, nearest) in [
            ("inof", "info"),
            ("DEBIG", "debug"),
            ("info,bluelake_ingest=debgu", "debug"),
            ("info,bluelake_ingst=debug", "bluelake_ingest"),
            ("bluelake_laek", "bluelake_lake"),
            ("aws_confg=debug", "aws_config"),
        ] {
            let message = text.parse::<LogFilter>().unwrap_err().to_string();
            assert!(message.contains(&format!("did you mean {nearest}?")), "{text}: {message}");
        }
        for text in ["", "info,", "=debug", "info=", "bluelake[span{field=1}]=debug", "5", "zzz=info"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
    }
}
