//! Horizontal bars: label, bar, number. Negative numbers go to the left of the zero line.

use super::chart::{Point, Points, padded, right_aligned, shortened, steps, width_of};

/// A full block and its eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const STEPS_PER_BLOCK: usize = 8;
/// Labels and numbers may each take this fraction of the width (one in N).
const LABEL_SHARE: usize = 3;

/// Columns of the parts of a chart.
struct Layout {
    labels: usize,
    numbers: usize,
    /// Blocks to the left of the zero line.
    negative: usize,
    /// Blocks to its right.
    positive: usize,
    low: f64,
    high: f64,
}

pub(super) fn draw(points: &Points, width: usize) -> String {
    let layout = Layout::new(points, width);
    points.points.iter().map(|point| layout.row(point) + "\n").collect()
}

impl Layout {
    fn new(points: &Points, width: usize) -> Self {
        let widest = |text: fn(&Point) -> &str| points.points.iter().map(|point| width_of(text(point))).max();
        let labels = widest(|point| &point.label).unwrap_or(0).min(width / LABEL_SHARE);
        let numbers = widest(|point| &point.text).unwrap_or(0).min(width / LABEL_SHARE);
        // The parts are separated by a space, the zero line and a space.
        let blocks = width.saturating_sub(labels + numbers + 3);
        let (low, high) = points.range();
        // Each side with a bar has room for one block.
        let most = if high > 0.0 { blocks.saturating_sub(1).max(1) } else { blocks.max(1) };
        let negative = if low < 0.0 { steps(-low / (high - low), blocks).clamp(1, most) } else { 0 };
        Self { labels, numbers, negative, positive: blocks.saturating_sub(negative), low, high }
    }

    fn row(&self, point: &Point) -> String {
        let label = padded(&shortened(&point.label, self.labels), self.labels);
        let number = shortened(&point.text, self.numbers);
        let value = point.value.unwrap_or(0.0);
        let left = if value < 0.0 { self.left_bar(value / self.low) } else { String::new() };
        let right = if value > 0.0 { self.right_bar(value / self.high) } else { String::new() };
        let row = format!("{label} {}│{}", right_aligned(&left, self.negative), padded(&right, self.positive));
        format!("{row} {}", right_aligned(&number, self.numbers))
    }

    /// In eighths of a block, at least one: a small number is not zero.
    fn right_bar(&self, share: f64) -> String {
        let eighths = steps(share, self.positive * STEPS_PER_BLOCK).max(1);
        let end = EIGHTHS.get(eighths % STEPS_PER_BLOCK).copied().unwrap_or_default();
        "█".repeat(eighths / STEPS_PER_BLOCK) + end
    }

    /// In halves of a block: Unicode has no finer ones that begin at the right.
    fn left_bar(&self, share: f64) -> String {
        let halves = steps(share, self.negative * 2).max(1);
        let end = if halves % 2 == 1 { "▐" } else { "" };
        end.to_owned() + &"█".repeat(halves / 2)
    }
}
