//! What looks after the lake: compaction, and the doctor.

pub(crate) mod compaction;
mod doctor;
