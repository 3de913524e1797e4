//! Instants, days and differences in the zone of the session.

pub(crate) mod intervals;
pub(crate) mod local_day;
pub(crate) mod local_times;
pub(crate) mod parts;
pub(crate) mod shifted;
pub(crate) mod template;
pub(crate) mod text_time;
pub(crate) mod to_char;
pub(crate) mod truncate;
pub(crate) mod zone;
