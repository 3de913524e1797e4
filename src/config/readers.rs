//! Readers of settings: each parses a text, or reports its fault. [`super::Layers`] adds the key and the origin of the
//! text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bluelake_ingest::{MemoryBudget, OnGap};
use bluelake_lake::{Heartbeats, TierClass};
use bluelake_queries::{did_you_mean, nearest};
use bytesize::ByteSize;
use chrono::DateTime;
use chrono_tz::Tz;

use super::{HistoryFile, Retention, StartPosition};
use crate::terminal::logging::LogFormat;

/// The largest sizes and times: sums of them and moments that far ahead do not overflow.
const SIZE_MAX: ByteSize = ByteSize::pib(1);
const SPAN_MAX: Duration = Duration::from_secs(3_650 * 24 * 3_600);

pub(super) fn not_empty(text: &str) -> Result<String> {
    anyhow::ensure!(!text.trim().is_empty(), "must not be empty");
    Ok(text.to_owned())
}

pub(super) fn byte_size(text: &str) -> Result<ByteSize> {
    let size: ByteSize =
        text.parse().map_err(|_| anyhow::anyhow!("not a size; write for example 128MiB, 64MB or 1GiB"))?;
    anyhow::ensure!(size.as_u64() > 0, "must be more than nothing");
    anyhow::ensure!(size <= SIZE_MAX, "must be at most {}", SIZE_MAX.display().iec());
    anyhow::ensure!(usize::try_from(size.as_u64()).is_ok(), "is more than this machine can address");
    Ok(size)
}

#[expect(clippy::unnecessary_wraps, reason = "a reader of settings like the others")]
pub(super) fn path(text: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(text))
}

pub(super) fn memory_budget(text: &str) -> Result<ByteSize> {
    at_least(text, ByteSize(u64::try_from(MemoryBudget::MINIMUM.0)?))
}

/// Less memory is not enough to sort even a short list.
pub(super) fn query_memory(text: &str) -> Result<ByteSize> {
    at_least(text, ByteSize::mib(16))
}

pub(super) fn truth(text: &str) -> Result<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => anyhow::bail!("neither true nor false{}", did_you_mean(nearest(text, ["true", "false"]).as_ref())),
    }
}

pub(super) fn price(text: &str) -> Result<f64> {
    let price: f64 = text.parse().map_err(|_| anyhow::anyhow!("not a price; write for example 0.023"))?;
    anyhow::ensure!(price.is_finite() && price >= 0.0, "must be nothing or more");
    Ok(price)
}

/// Less memory is not enough for two large open files.
pub(super) fn care_memory(text: &str) -> Result<ByteSize> {
    at_least(text, ByteSize::mib(64))
}

/// A batch or a task may wait an hour for its commit, and clocks differ.
pub(super) fn orphan_age(text: &str) -> Result<Duration> {
    let age = duration(text)?;
    anyhow::ensure!(
        age >= Duration::from_secs(24 * 3600),
        "must be at least 1d: younger files may be about to be committed"
    );
    Ok(age)
}

/// Days are told apart by their partitions: a part of one cannot leave.
pub(crate) fn retention(text: &str) -> Result<Retention> {
    const DAY: u64 = 24 * 3_600;
    if text == "never" {
        return Ok(Retention::Never);
    }
    let span = duration(text).context("write whole days, such as 30d, or never")?;
    let is_whole = span.as_secs().is_multiple_of(DAY) && span.subsec_nanos() == 0;
    anyhow::ensure!(is_whole, "must be whole days, such as 30d, or never");
    Ok(Retention::Days(u32::try_from(span.as_secs() / DAY)?))
}

pub(super) fn tier_class(text: &str) -> Result<TierClass> {
    Ok(text.parse()?)
}

pub(super) fn spill_limit(text: &str) -> Result<ByteSize> {
    at_least(text, ByteSize::mib(1))
}

fn at_least(text: &str, least: ByteSize) -> Result<ByteSize> {
    let size = byte_size(text)?;
    anyhow::ensure!(size >= least, "must be at least {}; write for example 128MiB or 1GiB", least.display().iec());
    Ok(size)
}

/// As Kinesis takes it.
pub(super) fn consumer_name(text: &str) -> Result<String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    anyhow::ensure!(
        (1..=128).contains(&text.len()) && text.chars().all(fits),
        "not a name of 1 to 128 letters, digits, '_', '.' and '-'"
    );
    Ok(text.to_owned())
}

pub(super) fn any_duration(text: &str) -> Result<Duration> {
    let span = humantime::parse_duration(text).context("not a duration; write for example 60s, 5m or 1h 30m")?;
    anyhow::ensure!(span <= SPAN_MAX, "must be at most {}", humantime::format_duration(SPAN_MAX));
    Ok(span)
}

pub(crate) fn duration(text: &str) -> Result<Duration> {
    let span = any_duration(text)?;
    anyhow::ensure!(!span.is_zero(), "must be longer than nothing");
    Ok(span)
}

#[expect(clippy::unnecessary_wraps, reason = "a reader of settings like the others")]
pub(super) fn history_file(text: &str) -> Result<HistoryFile> {
    Ok(if text == "none" { HistoryFile::None } else { HistoryFile::File(PathBuf::from(text)) })
}

pub(super) fn time_zone(text: &str) -> Result<Tz> {
    bluelake_queries::parse_time_zone(text).map_err(|unknown| match unknown.suggestion {
        Some(meant) => anyhow::anyhow!("not a time zone; did you mean {meant}?"),
        None => anyhow::anyhow!("not a time zone; write for example UTC or America/New_York"),
    })
}

pub(super) fn start_position(text: &str) -> Result<StartPosition> {
    match text {
        "trim-horizon" => Ok(StartPosition::TrimHorizon),
        "latest" => Ok(StartPosition::Latest),
        time => DateTime::parse_from_rfc3339(time).map(|at| StartPosition::At(at.to_utc())).map_err(|_| {
            let meant = did_you_mean(nearest(text, ["trim-horizon", "latest"]).as_ref());
            anyhow::anyhow!("neither trim-horizon, latest nor a time such as 2026-10-01T00:00:00Z{meant}")
        }),
    }
}

pub(super) fn worker_id(text: &str) -> Result<String> {
    anyhow::ensure!(Heartbeats::is_valid_id(text), "not a name of 1 to 100 letters, digits, '.', '_' and '-'");
    Ok(text.to_owned())
}

pub(super) fn positive(text: &str) -> Result<usize> {
    let number: usize = text.parse().map_err(|_| anyhow::anyhow!("not a whole number"))?;
    anyhow::ensure!(number > 0, "must be at least 1");
    Ok(number)
}

pub(super) fn on_gap(text: &str) -> Result<OnGap> {
    match text {
        "stop" => Ok(OnGap::Stop),
        "continue" => Ok(OnGap::Continue),
        _ => anyhow::bail!("neither stop nor continue{}", did_you_mean(nearest(text, ["stop", "continue"]).as_ref())),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| anyhow::anyhow!("not an address and port; write for example 127.0.0.1:9464 or [::1]:9464"))
}

pub(super) fn log_format(text: &str) -> Result<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => anyhow::bail!("neither text nor json{}", did_you_mean(nearest(text, ["text", "json"]).as_ref())),
    }
}
