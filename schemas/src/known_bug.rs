//! Bugs that systems like this one have had, to be brought back one at a time, so that tests can be seen to fail. Without
//! the feature `failpoints` no bug is ever on, and nothing of them is compiled.
//!
//! The environment variable `KNOWN_BUG` names the one that is on. Each is asked for in the one place where it would
//! live, in whatever room that is: hence this module in the lowest of them.

/// A bug that can be brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBug {
    /// A batch is committed wherever its shards stand.
    SkipTheFence,
    /// Sequence numbers are compared as text.
    CompareAsText,
    /// A batch's positions are committed before its rows.
    PositionBeforeRows,
    /// A batch's files are deleted when its commit was not acknowledged.
    DeleteFilesOnUnknownOutcome,
    /// A batch of which every event was rejected is not committed.
    ForgetAllRejected,
    /// Reading resumes at the position, not after it.
    ResumeAt,
    /// A child of a split or merge starts at the tip.
    ChildrenAtLatest,
    /// An expired iterator is renewed from what is committed, not from what was read.
    RenewFromCommit,
    /// `rejected_events` takes the files of the newest document, whatever it took before.
    FollowWithoutOrder,
    /// Fields that the contract does not know are dropped.
    DropTheExtras,
    /// A child is read while its parents still are.
    ChildrenBeforeParents,
    /// An empty page of a closed shard is taken for its tip, and the shard for drained.
    TipOfAClosedShard,
}

impl KnownBug {
    /// Every bug.
    pub const ALL: [Self; 12] = [
        Self::SkipTheFence,
        Self::CompareAsText,
        Self::PositionBeforeRows,
        Self::DeleteFilesOnUnknownOutcome,
        Self::ForgetAllRejected,
        Self::ResumeAt,
        Self::ChildrenAtLatest,
        Self::RenewFromCommit,
        Self::FollowWithoutOrder,
        Self::DropTheExtras,
        Self::ChildrenBeforeParents,
        Self::TipOfAClosedShard,
    ];

    /// The name in `KNOWN_BUG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipTheFence => "skip_the_fence",
            Self::CompareAsText => "compare_as_text",
            Self::PositionBeforeRows => "position_before_rows",
            Self::DeleteFilesOnUnknownOutcome => "delete_files_on_unknown_outcome",
            Self::ForgetAllRejected => "forget_all_rejected",
            Self::ResumeAt => "resume_at",
            Self::ChildrenAtLatest => "children_at_latest",
            Self::RenewFromCommit => "renew_from_commit",
            Self::FollowWithoutOrder => "follow_without_order",
            Self::DropTheExtras => "drop_the_extras",
            Self::ChildrenBeforeParents => "children_before_parents",
            Self::TipOfAClosedShard => "tip_of_a_closed_shard",
        }
    }

    /// Whether the program has the bug now.
    #[cfg(not(feature = "failpoints"))]
    #[must_use]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether the program has the bug now.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn is_on(self) -> bool {
        static ON: std::sync::LazyLock<Option<KnownBug>> = std::sync::LazyLock::new(|| {
            let name = std::env::var("KNOWN_BUG").ok()?;
            KnownBug::ALL.into_iter().find(|bug| bug.name() == name)
        });
        *ON == Some(self)
    }
}
