//! A line of braille dots, two by four in each character, with its numbers at the left and its ends below.

use crate::text::figures::whole;

use super::chart::{Points, right_aligned, shortened, steps, width_of};

/// Lines of the terminal that the picture takes.
const HEIGHT: usize = 12;
const DOTS_ACROSS: usize = 2;
const DOTS_DOWN: usize = 4;
/// Bits of a braille character by row and column.
const DOTS: [[u32; DOTS_ACROSS]; DOTS_DOWN] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
const BRAILLE_BLANK: u32 = 0x2800;
/// The most columns of the numbers at the left.
const NUMBERS_MAX: usize = 20;

pub(super) fn draw(points: &Points, width: usize) -> String {
    let (low, high) = points.range();
    let (top, zero, bottom) = (number(high), number(0.0), number(low));
    let numbers = [&top, &bottom].map(|text| width_of(text)).into_iter().max().unwrap_or(0).min(NUMBERS_MAX);
    let mut canvas = Canvas::new(width.saturating_sub(numbers + 2).max(1));
    canvas.draw(points, low, high);
    let height = if high > low { high - low } else { 1.0 };
    let zero_row = HEIGHT - 1 - steps(-low / height, HEIGHT - 1);
    let mut text = String::new();
    for (row, cells) in canvas.rows().enumerate() {
        let label = match row {
            0 if high > 0.0 => &top,
            _ if row == HEIGHT - 1 && low < 0.0 => &bottom,
            _ if row == zero_row => &zero,
            _ => "",
        };
        text += &format!("{} ┤{cells}\n", right_aligned(&shortened(label, numbers), numbers));
    }
    text + &" ".repeat(numbers + 2) + &ends(points, canvas.width) + "\n"
}

/// The first and the last label below the ends of the line.
fn ends(points: &Points, width: usize) -> String {
    let label = |point: Option<&super::chart::Point>| point.map_or("", |point| point.label.as_str()).to_owned();
    let half = (width / 2).saturating_sub(1).max(1);
    let first = shortened(&label(points.points.first()), half);
    let last = if points.points.len() > 1 { shortened(&label(points.points.last()), half) } else { String::new() };
    let between = width.saturating_sub(width_of(&first) + width_of(&last));
    format!("{first}{}{last}", " ".repeat(between))
}

/// A number for an axis: short rather than exact.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.2e}");
    }
    let text = if value.fract() == 0.0 { format!("{size:.0}") } else { format!("{size:.3}") };
    let (digits, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if value < 0.0 { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", whole(digits))
}

/// Dots, row by row from the top.
struct Canvas {
    /// In characters.
    width: usize,
    cells: Vec<u32>,
}

impl Canvas {
    fn new(width: usize) -> Self {
        Self { width, cells: vec![0; width * HEIGHT] }
    }

    fn draw(&mut self, points: &Points, low: f64, high: f64) {
        let (across, down) = (self.width * DOTS_ACROSS - 1, HEIGHT * DOTS_DOWN - 1);
        let last = points.points.len().saturating_sub(1).max(1);
        let height = if high > low { high - low } else { 1.0 };
        let mut previous = None;
        for (at, point) in points.points.iter().enumerate() {
            let dot = point.value.map(|value| (at * across / last, down - steps((value - low) / height, down)));
            match (previous, dot) {
                (Some(from), Some(to)) => self.connect(from, to),
                (None, Some((x, y))) => self.set(x, y),
                (_, None) => {}
            }
            previous = dot;
        }
    }

    /// A straight line between two dots.
    fn connect(&mut self, from: (usize, usize), to: (usize, usize)) {
        let length = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |from: usize, to: usize, step: usize| (from * (length - step) + to * step + length / 2) / length;
        for step in 0..=length {
            self.set(between(from.0, to.0, step), between(from.1, to.1, step));
        }
    }

    fn set(&mut self, x: usize, y: usize) {
        let bit = DOTS.get(y % DOTS_DOWN).and_then(|row| row.get(x % DOTS_ACROSS)).copied().unwrap_or(0);
        if let Some(cell) = self.cells.get_mut(y / DOTS_DOWN * self.width + x / DOTS_ACROSS) {
            *cell |= bit;
        }
    }

    fn rows(&self) -> impl Iterator<Item = String> {
        let character = |cell: &u32| char::from_u32(BRAILLE_BLANK + cell).filter(|_| *cell != 0).unwrap_or(' ');
        self.cells.chunks(self.width).map(move |row| row.iter().map(character).collect::<String>())
    }
}
