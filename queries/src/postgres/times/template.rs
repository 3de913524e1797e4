//! PostgreSQL's templates for dates and times: `YYYY-MM-DD HH24:MI:SS`.

use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion::common::exec_err;
use datafusion::error::DataFusionError;

/// A time to be written, with the abbreviation and the seconds of its zone if it has one.
pub(in crate::postgres) struct Moment {
    pub(in crate::postgres) time: NaiveDateTime,
    pub(in crate::postgres) zone: Option<(String, i32)>,
}

/// A template, taken apart.
#[derive(Debug)]
pub(in crate::postgres) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Field { name: &'static str, is_filled: bool, ordinal: Option<Case> },
}

#[derive(Clone, Copy, Debug)]
enum Case {
    Upper,
    Lower,
}

/// The fields, longer ones before their prefixes.
const FIELDS: [&str; 62] = [
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "A.M.",
    "P.M.", "a.m.", "p.m.", "AM", "PM", "am", "pm", "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "IDDD",
    "ID", "IW", "I", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM", "DAY", "Day", "day", "DY", "Dy", "dy",
    "DDD", "DD", "D", "WW", "W", "CC", "J", "Q", "RM", "rm", "TZH", "TZM", "TZ", "OF",
];
const REFUSED: [&str; 8] = ["BC", "AD", "B.C.", "A.D.", "FX", "TM", "SP", "tz"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
/// Width of the longest name of a month or day: shorter ones are filled with blanks.
const NAME_WIDTH: usize = 9;
const ROMAN_WIDTH: usize = 4;
/// Days between the beginning of Julian days and of chrono's.
const JULIAN: i64 = 1_721_425;

impl Template {
    /// # Errors
    /// The name of a field that is not supported.
    pub(in crate::postgres) fn parse(template: &str) -> Result<Self, DataFusionError> {
        let mut pieces = Vec::new();
        let (mut rest, mut has_field) = (template, false);
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let Some((text, behind)) = quoted.split_once('"') else {
                    return exec_err!("the template {template:?} of to_char has a \" without its end");
                };
                pieces.push(Piece::Text(text.to_owned()));
                rest = behind;
                continue;
            }
            let (behind, is_filled) = prefix(rest, "FM").map_or((rest, true), |behind| (behind, false));
            if let Some(name) = REFUSED.iter().find(|name| behind.starts_with(**name)) {
                return exec_err!(
                    "to_char does not write {name:?}: leave it out, or put a text into \"double quotes\""
                );
            }
            if let Some((name, behind)) = field(behind) {
                let (behind, ordinal) = ordinal(behind);
                pieces.push(Piece::Field { name, is_filled, ordinal });
                (rest, has_field) = (behind, true);
                continue;
            }
            let mut characters = rest.chars();
            match characters.next() {
                Some('\\') => pieces.extend(characters.next().map(|escaped| Piece::Text(escaped.to_string()))),
                // A letter outside of a field is more often a mistake than a text.
                Some(letter) if letter.is_ascii_alphabetic() && letter != 'T' => {
                    return exec_err!(
                        "to_char does not know {:?} in the template {template:?}: put texts into \"double quotes\", or use a format \
                         such as %Y-%m-%d",
                        letter.to_string()
                    );
                }
                Some(other) => pieces.push(Piece::Text(other.to_string())),
                None => {}
            }
            rest = characters.as_str();
        }
        if !has_field && !template.is_empty() {
            return exec_err!(
                "the template {template:?} of to_char has no field: write 'YYYY-MM-DD', or a format such as %Y-%m-%d"
            );
        }
        Ok(Self { pieces })
    }

    /// # Errors
    /// A field for the zone of a time without one.
    pub(in crate::postgres) fn write(&self, moment: &Moment) -> Result<String, DataFusionError> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Field { name, is_filled, ordinal } => {
                    let value = value(name, *is_filled, moment)?;
                    let ending = ordinal.map_or("", |case| ending(&value, case));
                    text.push_str(&value);
                    text.push_str(ending);
                }
            }
        }
        Ok(text)
    }
}

fn prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, behind) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(behind)
}

/// Names whose case has no meaning are accepted in capitals or in small letters.
fn field(text: &str) -> Option<(&'static str, &str)> {
    let exact = FIELDS.into_iter().filter_map(|name| Some((name, text.strip_prefix(name)?)));
    let small = FIELDS.into_iter().filter(|name| !has_case(name));
    let small = small.filter_map(|name| Some((name, text.strip_prefix(name.to_lowercase().as_str())?)));
    exact.chain(small).max_by_key(|(name, _)| name.len())
}

/// Whether the case of a field decides the case of its name.
fn has_case(name: &str) -> bool {
    ["month", "mon", "day", "dy", "am", "pm", "a.m.", "p.m.", "rm"].iter().any(|cased| cased.eq_ignore_ascii_case(name))
}

fn ordinal(text: &str) -> (&str, Option<Case>) {
    if let Some(behind) = text.strip_prefix("TH") {
        return (behind, Some(Case::Upper));
    }
    text.strip_prefix("th").map_or((text, None), |behind| (behind, Some(Case::Lower)))
}

fn ending(number: &str, case: Case) -> &'static str {
    let mut digits = number.chars().rev();
    let last = digits.next();
    let is_teen = digits.next() == Some('1');
    let (upper, lower) = match last {
        Some('1') if !is_teen => ("ST", "st"),
        Some('2') if !is_teen => ("ND", "nd"),
        Some('3') if !is_teen => ("RD", "rd"),
        _ => ("TH", "th"),
    };
    match case {
        Case::Upper => upper,
        Case::Lower => lower,
    }
}

fn value(name: &str, is_filled: bool, moment: &Moment) -> Result<String, DataFusionError> {
    let (time, date) = (moment.time, moment.time.date());
    let number = |number: i64, width: usize| if is_filled { format!("{number:0width$}") } else { number.to_string() };
    let last = |year: i32, digits: u32| number(i64::from(year.rem_euclid(10_i32.pow(digits))), width(digits));
    let hour12 = i64::from(if time.hour() % 12 == 0 { 12 } else { time.hour() % 12 });
    let seconds = i64::from(time.num_seconds_from_midnight());
    let (year, iso) = (date.year(), date.iso_week());
    let sunday = date.weekday().num_days_from_sunday();
    Ok(match name {
        "HH24" => number(time.hour().into(), 2),
        "HH12" | "HH" => number(hour12, 2),
        "MI" => number(time.minute().into(), 2),
        "SS" => number(time.second().into(), 2),
        "SSSSS" | "SSSS" => seconds.to_string(),
        "MS" => number((time.nanosecond() / 1_000_000).into(), 3),
        "US" => number((time.nanosecond() / 1_000).into(), 6),
        "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let digits = format!("{:06}", time.nanosecond() / 1_000);
            digits.chars().take(name.chars().nth(2).and_then(|count| count.to_digit(10)).map_or(6, width)).collect()
        }
        "AM" | "PM" | "am" | "pm" | "A.M." | "P.M." | "a.m." | "p.m." => half(name, time.hour() >= 12).to_owned(),
        "YYYY" => number(year.into(), 4),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYY" => last(year, 3),
        "YY" => last(year, 2),
        "Y" => last(year, 1),
        "IYYY" => number(iso.year().into(), 4),
        "IYY" => last(iso.year(), 3),
        "IY" => last(iso.year(), 2),
        "I" => last(iso.year(), 1),
        "IW" => number(iso.week().into(), 2),
        "ID" => number(date.weekday().number_from_monday().into(), 1),
        "IDDD" => number(i64::from(iso.week0() * 7 + date.weekday().number_from_monday()), 3),
        "MM" => number(date.month().into(), 2),
        "MONTH" | "Month" | "month" | "MON" | "Mon" | "mon" => called(name, nth(&MONTHS, date.month0()), is_filled),
        "DAY" | "Day" | "day" | "DY" | "Dy" | "dy" => called(name, nth(&DAYS, sunday), is_filled),
        "DDD" => number(date.ordinal().into(), 3),
        "DD" => number(date.day().into(), 2),
        "D" => number(i64::from(sunday + 1), 1),
        "WW" => number(i64::from(date.ordinal0() / 7 + 1), 2),
        "W" => number(i64::from(date.day0() / 7 + 1), 1),
        "CC" => number(i64::from((year - 1).div_euclid(100) + 1), 2),
        "J" => (i64::from(date.num_days_from_ce()) + JULIAN).to_string(),
        "Q" => number(i64::from(date.month0() / 3 + 1), 1),
        "RM" | "rm" => roman(name, date.month0(), is_filled),
        zone => return zoned(zone, moment),
    })
}

fn width(digits: u32) -> usize {
    usize::try_from(digits).unwrap_or_default()
}

fn nth(names: &[&'static str], place: u32) -> &'static str {
    names.get(width(place)).copied().unwrap_or_default()
}

fn half(name: &str, is_afternoon: bool) -> &'static str {
    match (name.contains('.'), name.starts_with(['A', 'P']), is_afternoon) {
        (false, true, false) => "AM",
        (false, true, true) => "PM",
        (false, false, false) => "am",
        (false, false, true) => "pm",
        (true, true, false) => "A.M.",
        (true, true, true) => "P.M.",
        (true, false, false) => "a.m.",
        (true, false, true) => "p.m.",
    }
}

/// A name in the case of its field, filled to its width.
fn called(field: &str, name: &str, is_filled: bool) -> String {
    let is_short = matches!(field.to_lowercase().as_str(), "mon" | "dy");
    let name = if is_short { name.get(..3).unwrap_or(name) } else { name };
    let name = match field.chars().nth(1) {
        Some(second) if second.is_uppercase() => name.to_uppercase(),
        _ if field.starts_with(|first: char| first.is_lowercase()) => name.to_lowercase(),
        _ => name.to_owned(),
    };
    if is_filled && !is_short { format!("{name:NAME_WIDTH$}") } else { name }
}

fn roman(field: &str, month0: u32, is_filled: bool) -> String {
    let number = nth(&ROMAN, month0);
    let number = if field == "rm" { number.to_lowercase() } else { number.to_owned() };
    if is_filled { format!("{number:ROMAN_WIDTH$}") } else { number }
}

fn zoned(field: &str, moment: &Moment) -> Result<String, DataFusionError> {
    let Some((abbreviation, seconds)) = &moment.zone else {
        return exec_err!("to_char cannot write {field}: the time has no zone");
    };
    let sign = if *seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() % 3600 / 60);
    Ok(match field {
        "TZH" => format!("{sign}{hours:02}"),
        "TZM" => format!("{minutes:02}"),
        "OF" if minutes == 0 => format!("{sign}{hours:02}"),
        "OF" => format!("{sign}{hours:02}:{minutes:02}"),
        _ => abbreviation.clone(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn templates_are_written_as_postgresql_writes_them() {
        let cases = [
            ("YYYY-MM", "2026-11"),
            ("Y,YYY IDDD HH12th Ddth", "2,026 312 03rd 55th"),
            ("FF1 FF6", "0 007012"),
            ("yyyy-mm-dd", "2026-11-05"),
            ("YYYY-MM-DD HH24:MI:SS", "2026-11-05 15:04:09"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS.US", "2026-11-05T15:04:09.007012"),
            ("HH:MI AM", "03:04 PM"),
            ("FMHH12:MI a.m.", "3:04 p.m."),
            ("Mon DD, YYYY", "Nov 05, 2026"),
            ("Month|", "November |"),
            ("FMMonth FMDDth", "November 5th"),
            ("DAY|Day|day", "THURSDAY |Thursday |thursday "),
            ("Dy", "Thu"),
            ("IYYY-\"W\"IW-ID", "2026-W45-4"),
            ("DDD WW W D Q CC", "309 45 1 5 4 21"),
            ("YY Y IY", "26 6 26"),
            ("MS US FF3 SSSS", "007 007012 007 54249"),
            ("RM", "XI  "),
            ("J", "2461350"),
            ("Q\"th quarter\"", "4th quarter"),
            ("TZH:TZM OF TZ", "-06:00 -06 CST"),
            ("", ""),
        ];
        let moment = Moment {
            time: NaiveDate::from_ymd_opt(2026, 11, 5).unwrap().and_hms_micro_opt(15, 4, 9, 7012).unwrap(),
            zone: Some(("CST".to_owned(), -21_600)),
        };
        for (template, expected) in cases {
            assert_eq!(Template::parse(template).unwrap().write(&moment).unwrap(), expected, "{template}");
        }
        for refused in ["YYYY BC", "hello", "FXYYYY", "YYYY \"open"] {
            assert!(Template::parse(refused).is_err(), "{refused}");
        }
        let without_zone = Moment { zone: None, ..moment };
        assert!(Template::parse("TZ").unwrap().write(&without_zone).is_err());
    }
}
