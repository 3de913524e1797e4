//! The chart of a report.

use std::fmt;

use serde::Serialize;

use crate::header::column::ReportColumn;
use crate::header::words::words;

/// A picture of the result.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// Form of the picture.
    pub kind: ChartKind,
    /// Column along the horizontal axis.
    pub x: String,
    /// Column that gives the height or, in a heat map, the row.
    pub y: String,
    /// Column that distinguishes lines or bars.
    pub series: Option<String>,
    /// Column that gives the shade of a heat map.
    pub value: Option<String>,
    /// Value of `x` that is not drawn: a total would dwarf its parts.
    pub without: Option<String>,
}

/// Form of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// Bars, for comparing.
    Bar,
    /// A line, for change over time.
    Line,
    /// A grid of shades.
    Heatmap,
}

words!(ChartKind, "bar" = Bar, "line" = Line, "heatmap" = Heatmap);

pub(crate) fn read_chart(value: &str, columns: &[ReportColumn]) -> Result<Chart, String> {
    let mut words = value.split_whitespace();
    let kind = ChartKind::parse(words.next().unwrap_or_default())?;
    let (mut x, mut y, mut series, mut shade, mut without) = (None, None, None, None, None);
    for word in words {
        let unknown = || format!("expected x=, y=, series=, value= or without=, not {word:?}");
        let (key, column) = word.split_once('=').ok_or_else(unknown)?;
        if key != "without" && !columns.iter().any(|known| known.name == column) {
            return Err(format!("the chart uses the column {column:?}, which the header does not have"));
        }
        let place = match key {
            "x" => &mut x,
            "y" => &mut y,
            "series" => &mut series,
            "value" => &mut shade,
            "without" => &mut without,
            _ => return Err(unknown()),
        };
        *place = Some(column.to_owned());
    }
    let (Some(x), Some(y)) = (x, y) else {
        return Err("a chart needs x=column and y=column".to_owned());
    };
    match (kind, &series, &shade) {
        (ChartKind::Heatmap, None, Some(_)) | (ChartKind::Bar | ChartKind::Line, _, None) => {}
        (ChartKind::Heatmap, ..) => return Err("a heat map needs x=, y= and value=, and has no series=".to_owned()),
        _ => return Err("only a heat map has value=; a line or bar chart has y= and perhaps series=".to_owned()),
    }
    Ok(Chart { kind, x, y, series, value: shade, without })
}
