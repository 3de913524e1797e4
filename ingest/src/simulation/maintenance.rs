//! Maintenance beside ingest: maintainers that compact, expire, undo, vacuum and claim, and another program that changes the
//! table without asking anybody. A file is the set of its rows. Tasks and their commits are the real ones
//! (`lake/src/maintenance/`); what is planned is by the rules of the design, in `plans.rs`.

mod commit;
mod crew;
mod erasure;
mod foreign;
mod kept_table;
mod ledger;
mod maintainer;
mod plans;
mod vacuum;

pub(super) use crew::Crew;
pub(super) use ledger::Ledger;
pub(super) use plans::ORPHAN_AGE;
