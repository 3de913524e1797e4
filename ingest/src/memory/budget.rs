//! One memory budget for the process, shared out by fixed rules. Pure.
//!
//! | share | for | measured in |
//! | --- | --- | --- |
//! | 1/8 | pages on their way from Kinesis to a buffer, over all streams; as much again for rows of records that unpack to far more than they weigh, out of the share for writing | data weighs four times as much with its answer and its rows |
//! | 1/4 | rows that are buffered, written ahead or committed, shared out over the streams | Arrow buffers |
//! | 1/4 | writing those: sorted copies, column writers, files before their upload | – |
//! | 1/4 | event ids of the deduplication windows, shared out over the streams | 64 bytes an id |
//! | 1/8 | everything else: the program, the tables' logs, connections | – |

/// A page's data, its answer as text, its records and its rows are in memory at once.
pub(crate) const PAGE_COPIES: usize = 4;
/// All rows of a stream may end in one batch, whose text columns hold 2 GiB each.
const MAX_ROW_BYTES: usize = 1 << 30;
/// An id with its position, its time and the free room of the hash table.
const BYTES_PER_ID: usize = 64;

/// The memory that ingest may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget(pub usize);

impl MemoryBudget {
    /// The least useful budget: the program itself and a page or two.
    pub const MINIMUM: Self = Self(128 << 20);

    /// Bytes of record data on their way, over all streams.
    #[must_use]
    pub fn page_bytes(self) -> usize {
        self.0 / 8 / PAGE_COPIES
    }

    /// Bytes of rows that each of N streams may hold.
    #[must_use]
    pub fn row_bytes(self, streams: usize) -> usize {
        (self.0 / 4 / streams.max(1)).min(MAX_ROW_BYTES)
    }

    /// Event ids that each of N streams may remember.
    #[must_use]
    pub fn dedup_ids(self, streams: usize) -> usize {
        self.0 / 4 / BYTES_PER_ID / streams.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_stay_within_the_budget() {
        for total in [MemoryBudget::MINIMUM.0, 256 << 20, 1 << 30] {
            for streams in 1..=3 {
                let budget = MemoryBudget(total);
                let rows = budget.row_bytes(streams) * streams;
                let ids = budget.dedup_ids(streams) * streams * BYTES_PER_ID;
                let sum = budget.page_bytes() * PAGE_COPIES + 2 * rows + ids;
                assert!(sum <= total - total / 8 && sum > total * 8 / 10, "{sum} of {total}");
            }
        }
        assert_eq!(MemoryBudget(1 << 30).row_bytes(2), 128 << 20);
        assert_eq!(MemoryBudget(1 << 40).row_bytes(1), 1 << 30, "no column comes near 2 GiB");
    }
}
