//! Life-cycle rules of a bucket by which old files of a lake get cheaper: ours beside those of others. Pure.
//!
//! S3 keeps all rules of a bucket in one text, which each write replaces. Ours are known by their ids; whatever else stands there
//! is not touched. They cover the partitions of the tables alone, and never the logs and documents beside them.

use std::{fmt, str::FromStr};

use aws_sdk_s3::{
    error::BuildError,
    types::{ExpirationStatus, LifecycleRule, LifecycleRuleFilter, Transition, TransitionStorageClass},
};
use sha2::{Digest as _, Sha256};

use crate::checkpoint::numbered::hex;

/// How our ids begin.
const OURS: &str = "bluelake ";
/// S3 takes no longer ones.
const ID_MAX: usize = 255;
/// S3 moves nothing to the first class that is younger.
const LEAST_DAYS: u32 = 30;

/// A class of storage that costs less than the usual one and is read as fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierClass {
    /// Cheaper to keep, dearer to read.
    StandardIa,
    /// S3 looks at what is read.
    IntelligentTiering,
    /// Still cheaper to keep and dearer to read.
    GlacierIr,
}

impl TierClass {
    const ALL: [Self; 3] = [Self::StandardIa, Self::IntelligentTiering, Self::GlacierIr];

    /// As S3 spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StandardIa => "STANDARD_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::GlacierIr => "GLACIER_IR",
        }
    }
}

impl fmt::Display for TierClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no [`TierClass`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTierClass {
    /// Its objects have to be restored before they are read.
    #[error("objects of the class {class} cannot be read at once, and a query would fail; use {}", names())]
    Slow {
        /// As it was written.
        class: String,
    },
    /// Not one that is used.
    #[error("not a class of storage for a lake; use {}", names())]
    Unknown,
}

fn names() -> String {
    TierClass::ALL.map(TierClass::name).join(", ")
}

impl FromStr for TierClass {
    type Err = NoTierClass;

    fn from_str(text: &str) -> Result<Self, NoTierClass> {
        match TierClass::ALL.into_iter().find(|class| class.name() == text) {
            Some(class) => Ok(class),
            None if is_slow(text) => Err(NoTierClass::Slow { class: text.to_owned() }),
            None => Err(NoTierClass::Unknown),
        }
    }
}

/// Whether objects of a class have to be restored before they are read.
pub(super) fn is_slow(class: &str) -> bool {
    ["GLACIER", "DEEP_ARCHIVE"].contains(&class)
}

/// When files move, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiering {
    /// Days after a file was written; `None`: never, and rules of ours go.
    pub after_days: Option<u32>,
    /// The class.
    pub class: TierClass,
}

impl Tiering {
    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let days = self.after_days?;
        (self.class == TierClass::StandardIa && days < LEAST_DAYS).then(|| {
            format!("S3 moves files to {} after {LEAST_DAYS} days at the earliest, not after {days}", self.class)
        })
    }
}

/// The files of a table: their rule's id, and how their keys begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFiles {
    pub(super) table: &'static str,
    pub(super) id: String,
    pub(super) keys: String,
}

impl TableFiles {
    /// Of a table by its folder in the bucket and the column that its partitions begin with. One bucket may hold many lakes.
    pub(crate) fn new(table: &'static str, folder: &str, column: &str) -> Self {
        let id = format!("{OURS}{folder}");
        let id =
            if id.len() <= ID_MAX && id.is_ascii() { id } else { format!("{OURS}{}", hex(&Sha256::digest(folder))) };
        Self { table, id, keys: format!("{folder}/{column}=") }
    }

    fn rule(&self, days: u32, class: TierClass) -> Result<LifecycleRule, BuildError> {
        let transition = Transition::builder()
            .days(i32::try_from(days).unwrap_or(i32::MAX))
            .storage_class(TransitionStorageClass::from(class.name()))
            .build();
        LifecycleRule::builder()
            .id(&self.id)
            .filter(LifecycleRuleFilter::builder().prefix(&self.keys).build())
            .status(ExpirationStatus::Enabled)
            .transitions(transition)
            .build()
    }
}

/// What is to be written, and how it differs from what is there.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    /// All rules, those of others as they are.
    pub(super) rules: Vec<LifecycleRule>,
    pub(super) changes: Vec<TierChange>,
}

impl Merged {
    pub(super) fn is_change(&self) -> bool {
        self.changes.iter().any(|change| change.was != change.becomes)
    }
}

/// The rule of one table as it was and becomes, in words; `None`: there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierChange {
    /// The table.
    pub table: &'static str,
    /// The rule's id.
    pub id: String,
    /// How the keys begin that it covers.
    pub keys: String,
    /// As it was.
    pub was: Option<String>,
    /// As it becomes.
    pub becomes: Option<String>,
}

/// Puts our rules among those that are there, each in the place of the one of its id.
pub(super) fn merge(there: &[LifecycleRule], tables: &[TableFiles], wanted: &Tiering) -> Result<Merged, BuildError> {
    let mut rules = there.to_vec();
    let mut changes = Vec::new();
    for files in tables {
        let place = rules.iter().position(|rule| rule.id() == Some(&files.id));
        let was = place.and_then(|place| rules.get(place)).cloned();
        let becomes = wanted.after_days.map(|days| files.rule(days, wanted.class)).transpose()?;
        // A second run writes nothing, also where the store fills in what we leave out.
        let becomes = becomes.map(|rule| was.clone().filter(|was| same(was, &rule)).unwrap_or(rule));
        changes.push(TierChange {
            table: files.table,
            id: files.id.clone(),
            keys: files.keys.clone(),
            was: was.as_ref().map(in_words),
            becomes: becomes.as_ref().map(in_words),
        });
        match (place, becomes) {
            (Some(place), Some(rule)) => drop(rules.get_mut(place).map(|there| *there = rule)),
            (Some(place), None) => drop(rules.remove(place)),
            (None, Some(rule)) => rules.push(rule),
            (None, None) => {}
        }
    }
    Ok(Merged { rules, changes })
}

/// Whether two rules do the same to the same files. An empty list and none at all are one.
pub(super) fn same(left: &LifecycleRule, right: &LifecycleRule) -> bool {
    in_words(left) == in_words(right) && keys_of(left) == keys_of(right) && left.id() == right.id()
}

/// What a rule does, in words. Two rules with the same words do the same.
fn in_words(rule: &LifecycleRule) -> String {
    let mut parts = Vec::new();
    for transition in rule.transitions() {
        let class = transition.storage_class().map_or("?", TransitionStorageClass::as_str);
        match (transition.days(), transition.date()) {
            (Some(days), _) => parts.push(format!("after {days} days {class}")),
            (None, Some(date)) => parts.push(format!("from {date} {class}")),
            (None, None) => parts.push(format!("at once {class}")),
        }
    }
    if let Some(expiration) = rule.expiration() {
        parts.push(format!("expiration {expiration:?}"));
    }
    if !rule.noncurrent_version_transitions().is_empty() || rule.noncurrent_version_expiration().is_some() {
        parts.push("older versions".to_owned());
    }
    if rule.abort_incomplete_multipart_upload().is_some() {
        parts.push("unfinished uploads".to_owned());
    }
    if rule.status() != &ExpirationStatus::Enabled {
        parts.push("switched off".to_owned());
    }
    let keys = keys_of(rule).unwrap_or_default();
    if is_narrowed(rule) {
        format!("{} below '{keys}', some objects", parts.join(", "))
    } else {
        format!("{} below '{keys}'", parts.join(", "))
    }
}

/// How the keys begin that a rule covers.
#[allow(deprecated)] // Rules of others may have the old form.
fn keys_of(rule: &LifecycleRule) -> Option<&str> {
    let filter = rule.filter();
    let within = filter.and_then(|filter| filter.and()).and_then(|and| and.prefix());
    filter.and_then(|filter| filter.prefix()).or(within).or(rule.prefix())
}

/// Whether a rule asks for more than how keys begin.
fn is_narrowed(rule: &LifecycleRule) -> bool {
    rule.filter().is_some_and(|filter| {
        filter.tag().is_some()
            || filter.object_size_greater_than().is_some()
            || filter.object_size_less_than().is_some()
            || filter.and().is_some()
    })
}

/// What rules of others do to files of the lake that it cannot bear.
pub(super) fn dangers(there: &[LifecycleRule], tables: &[TableFiles], lake: &str) -> Vec<String> {
    let mut dangers = Vec::new();
    for rule in there {
        let is_ours = tables.iter().any(|files| rule.id() == Some(&files.id));
        let keys = keys_of(rule).unwrap_or_default();
        let touches = keys.starts_with(lake) || lake.starts_with(keys);
        // Files of the lake have no tags.
        let tagged = rule
            .filter()
            .is_some_and(|filter| filter.tag().is_some() || filter.and().is_some_and(|and| !and.tags().is_empty()));
        if is_ours || !touches || tagged || rule.status() != &ExpirationStatus::Enabled {
            continue;
        }
        let id = rule.id().unwrap_or("without an id");
        let deletes =
            rule.expiration().is_some_and(|expiration| expiration.days().is_some() || expiration.date().is_some());
        if deletes {
            dangers.push(format!("rule '{id}' below '{keys}' deletes files of the lake"));
        }
        let slow =
            rule.transitions().iter().filter_map(Transition::storage_class).find(|class| is_slow(class.as_str()));
        if let Some(class) = slow {
            let class = class.as_str();
            dangers.push(format!(
                "rule '{id}' below '{keys}' moves files of the lake to {class}, which cannot be read at once"
            ));
        }
    }
    dangers
}

/// Elements of the rules' text that are read and written again. One of another name would be lost.
const KNOWN: [&str; 25] = [
    "LifecycleConfiguration",
    "Rule",
    "ID",
    "Prefix",
    "Filter",
    "And",
    "Tag",
    "Key",
    "Value",
    "ObjectSizeGreaterThan",
    "ObjectSizeLessThan",
    "Status",
    "Expiration",
    "Date",
    "Days",
    "ExpiredObjectDeleteMarker",
    "Transition",
    "StorageClass",
    "NoncurrentVersionTransition",
    "NoncurrentDays",
    "NewerNoncurrentVersions",
    "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
    "DaysAfterInitiation",
    "?xml",
];

/// The first element of the rules' text that this version does not know. In text a `<` is written otherwise.
pub(super) fn unknown_element(text: &str) -> Option<&str> {
    let names = text.split('<').skip(1).map(|rest| {
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        rest.split(|end: char| end.is_whitespace() || end == '>' || end == '/').next().unwrap_or_default()
    });
    names.map(|name| name.rsplit_once(':').map_or(name, |(_, name)| name)).find(|name| !KNOWN.contains(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use aws_sdk_s3::types::LifecycleExpiration;

    use super::*;

    const AFTER: Tiering = Tiering { after_days: Some(90), class: TierClass::GlacierIr };

    fn tables() -> Vec<TableFiles> {
        vec![TableFiles::new("transactions", "lake/transactions", "event_type")]
    }

    fn foreign(id: &str, keys: &str) -> LifecycleRule {
        let filter = LifecycleRuleFilter::builder().prefix(keys).build();
        let expiration = LifecycleExpiration::builder().days(7).build();
        let rule = LifecycleRule::builder().id(id).filter(filter).expiration(expiration);
        rule.status(ExpirationStatus::Enabled).build().unwrap()
    }

    #[test]
    fn rules_of_others_stay_as_they_are() {
        let others =
            [foreign("logs", "logs/"), foreign("bluelake other/transactions", "other/transactions/event_type=")];
        let first = merge(&others, &tables(), &AFTER).unwrap();
        assert_eq!(first.rules[..2], others);
        assert!(first.is_change());
        assert_eq!(first.rules[2].id(), Some("bluelake lake/transactions"));
        let keys = first.rules[2].filter().unwrap().prefix();
        assert_eq!(keys, Some("lake/transactions/event_type="), "never the logs and documents beside them");
        let again = merge(&first.rules, &tables(), &AFTER).unwrap();
        assert!(!again.is_change() && again.rules == first.rules);
        let other = Tiering { after_days: Some(31), ..AFTER };
        let changed = merge(&first.rules, &tables(), &other).unwrap();
        assert_eq!(
            changed.changes[0].was.as_deref(),
            Some("after 90 days GLACIER_IR below 'lake/transactions/event_type='")
        );
        assert_eq!((changed.rules.len(), &changed.rules[..2]), (3, &others[..]));
        let never = merge(&changed.rules, &tables(), &Tiering { after_days: None, ..AFTER }).unwrap();
        assert_eq!(never.rules, others);
    }

    #[test]
    fn classes_that_are_slow_are_refused_by_name() {
        for class in TierClass::ALL {
            assert_eq!(class.name().parse(), Ok(class));
        }
        for class in ["GLACIER", "DEEP_ARCHIVE"] {
            let refused = class.parse::<TierClass>().unwrap_err().to_string();
            assert!(refused.contains(class) && refused.contains("cannot be read at once"), "{refused}");
            assert!(refused.contains("GLACIER_IR"), "{refused}");
        }
        assert_eq!("ONEZONE_IA".parse::<TierClass>(), Err(NoTierClass::Unknown));
        let early = Tiering { after_days: Some(29), class: TierClass::StandardIa };
        assert!(early.fault().unwrap().contains("30 days"));
        assert_eq!(AFTER.fault(), None);
    }

    #[test]
    fn a_foreign_rule_harming_the_lake_is_named() {
        let within = foreign("sweep", "lake/transactions/_delta_log/");
        let slow = Transition::builder().days(1).storage_class(TransitionStorageClass::DeepArchive).build();
        let all =
            LifecycleRule::builder().id("freeze").transitions(slow).status(ExpirationStatus::Enabled).build().unwrap();
        let found = dangers(&[within, all, foreign("logs", "logs/")], &tables(), "lake/");
        let [sweep, freeze] = found.as_slice() else { panic!("{found:?}") };
        assert!(sweep.contains("sweep") && sweep.contains("deletes"), "{sweep}");
        assert!(freeze.contains("freeze") && freeze.contains("DEEP_ARCHIVE"), "{freeze}");
    }

    #[test]
    fn what_this_version_would_lose_is_seen() {
        let text = |inner: &str| {
            format!(
                "<?xml version=\"1.0\"?>\n<LifecycleConfiguration xmlns=\"x\"><Rule><ID>a &lt;b></ID>{inner}</Rule></LifecycleConfiguration>"
            )
        };
        assert_eq!(unknown_element(&text("<Filter/><Expiration><Days>1</Days></Expiration>")), None);
        assert_eq!(unknown_element(&text("<Filter><Newer>1</Newer></Filter>")), Some("Newer"));
        assert_eq!(unknown_element(&text("<!-- why -->")), Some("!--"));
    }

    #[test]
    fn a_long_lake_has_its_own_id() {
        let long = |end: &str| TableFiles::new("transactions", &format!("{}{end}", "x".repeat(300)), "event_type").id;
        assert!(long("a").len() <= ID_MAX && long("a") != long("b"));
    }
}
