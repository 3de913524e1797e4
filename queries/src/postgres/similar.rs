//! `SIMILAR TO`: a pattern of the SQL standard that matches the whole text. Also regular expressions with a backslash.
//!
//! The engine takes it for a regular expression that may match anywhere. <https://github.com/apache/datafusion/issues/22263>

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::kernels::regexp::regexp_is_match;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{exec_datafusion_err, exec_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::functions::regex::regexp_like;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Like, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit, not,
};

/// Pattern of `SIMILAR TO` without `ESCAPE`.
const ESCAPE: char = '\\';

/// Replaces the engine's operator by our function.
pub(super) fn rewrite(expr: Expr) -> Transformed<Expr> {
    let Expr::SimilarTo(Like { negated, expr, pattern, escape_char, .. }) = expr else { return Transformed::no(expr) };
    let escape = escape_char.unwrap_or(ESCAPE).to_string();
    let similar = ScalarUDF::new_from_impl(SimilarTo::default()).call(vec![*expr, *pattern, lit(escape)]);
    Transformed::yes(if negated { not(similar) } else { similar })
}

/// Keeps a regular expression with a literal backslash from the engine's rule that makes it a LIKE, where `\` is an
/// escape. With a flag the function stays as it is; `s` lets a point match a line break too, as in PostgreSQL.
pub(super) fn keep_backslashes(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (flags, is_negated) = match op {
                Operator::RegexMatch => ("s", false),
                Operator::RegexNotMatch => ("s", true),
                Operator::RegexIMatch => ("is", false),
                Operator::RegexNotIMatch => ("is", true),
                _ => ("", false),
            };
            if flags.is_empty() || !may_ask_for_backslash(&right) {
                return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
            }
            let matches = regexp_like().call(vec![*left, *right, lit(flags)]);
            Transformed::yes(if is_negated { not(matches) } else { matches })
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if func.name() == regexp_like().name() && args.get(1).is_some_and(may_ask_for_backslash) =>
        {
            let flags = match args.get(2) {
                None => Some(lit("s")),
                Some(Expr::Literal(flags, _)) if flags.try_as_str().flatten() == Some("i") => Some(lit("is")),
                Some(_) => None,
            };
            let Some(flags) = flags else {
                return Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }));
            };
            Transformed::yes(func.call(args.into_iter().take(2).chain([flags]).collect()))
        }
        other => Transformed::no(other),
    }
}

/// Decides for a literal, by the ways to write a backslash.
fn may_ask_for_backslash(pattern: &Expr) -> bool {
    let Expr::Literal(pattern, _) = pattern else { return false };
    let pattern = pattern.try_as_str().flatten();
    pattern.is_some_and(|pattern| [r"\\", r"\x", r"\u", r"\U"].iter().any(|written| pattern.contains(written)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SimilarTo {
    signature: Signature,
}

impl Default for SimilarTo {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SimilarTo {
    fn name(&self) -> &'static str {
        "similar_to"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        if types.iter().all(|data_type| data_type.is_string() || data_type.is_null() || is_dictionary(data_type)) {
            Ok(vec![DataType::Utf8; types.len()])
        } else {
            plan_err!("SIMILAR TO compares texts: cast what is none to VARCHAR")
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [texts, patterns, escapes] = ColumnarValue::values_to_arrays(&arguments.args)?
            .try_into()
            .map_err(|_| exec_datafusion_err!("similar_to takes a text, a pattern and an escape"))?;
        let escape = escapes.as_string::<i32>().iter().flatten().next().unwrap_or_default().chars().next();
        Ok(ColumnarValue::Array(matches(&texts, &patterns, escape)?))
    }
}

fn matches(texts: &ArrayRef, patterns: &ArrayRef, escape: Option<char>) -> Result<ArrayRef, DataFusionError> {
    // Mostly one pattern for all rows.
    let mut last: Option<(&str, String)> = None;
    let regexes = patterns.as_string::<i32>().iter().map(|pattern| {
        let Some(pattern) = pattern else { return Ok(None) };
        let regex = match last.take() {
            Some((known, regex)) if known == pattern => regex,
            _ => translate(pattern, escape)?,
        };
        last = Some((pattern, regex.clone()));
        Ok(Some(regex))
    });
    let regexes = regexes.collect::<Result<StringArray, DataFusionError>>()?;
    let matches = regexp_is_match(texts.as_string::<i32>(), &regexes, None::<&StringArray>)
        .map_err(|error| exec_datafusion_err!("a pattern of SIMILAR TO cannot be used: {error}"))?;
    Ok(Arc::new(matches))
}

fn is_dictionary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(_, value) if value.is_string())
}

/// A literal character.
fn literal(character: char, regex: &mut String) {
    if character.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(character);
}

/// The regular expression that matches the same texts as the pattern.
fn translate(pattern: &str, escape: Option<char>) -> Result<String, DataFusionError> {
    let mut regex = String::from("(?s)^(?:");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => match characters.next() {
                Some('"') => {
                    return exec_err!("SIMILAR TO cannot mark a part of the pattern {pattern:?} to be cut out");
                }
                Some(escaped) => literal(escaped, &mut regex),
                None => return exec_err!("the pattern {pattern:?} of SIMILAR TO ends with its escape"),
            },
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '|' | '*' | '+' | '?' | ')' => regex.push(character),
            '{' => {
                regex.push('{');
                let (count, rest) = characters.as_str().split_once('}').unwrap_or((characters.as_str(), ""));
                regex.push_str(count);
                regex.push('}');
                characters = rest.chars();
            }
            // A group of regular expressions may be something else: `(?i)`.
            '(' => regex.push_str("(?:"),
            '[' => class(&mut characters, escape, &mut regex, pattern)?,
            other => literal(other, &mut regex),
        }
    }
    regex.push_str(")$");
    Ok(regex)
}

/// The rest of a class of characters, behind its bracket.
fn class(
    characters: &mut std::str::Chars<'_>,
    escape: Option<char>,
    regex: &mut String,
    pattern: &str,
) -> Result<(), DataFusionError> {
    let open = || exec_datafusion_err!("the pattern {pattern:?} of SIMILAR TO has a [ without ]");
    regex.push('[');
    let mut is_first = true;
    loop {
        let character = characters.next().ok_or_else(open)?;
        match character {
            ']' if !is_first => break,
            '^' if is_first => {
                regex.push('^');
                continue;
            }
            '[' if characters.as_str().starts_with(':') => {
                let (name, rest) = characters.as_str().split_once(":]").ok_or_else(open)?;
                regex.push_str(&format!("[{name}:]"));
                *characters = rest.chars();
            }
            _ if Some(character) == escape => {
                literal(characters.next().ok_or_else(open)?, regex);
            }
            '-' => regex.push('-'),
            other => literal(other, regex),
        }
        is_first = false;
    }
    regex.push(']');
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn is_match(text: &str, pattern: &str, escape: char) -> bool {
        let array = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        matches(&array(text), &array(pattern), Some(escape)).unwrap().as_boolean().value(0)
    }

    #[test]
    fn a_pattern_stands_for_the_whole_text() {
        let cases = [
            ("abc", "a%", true),
            ("abc", "b", false),
            ("abc", "abc", true),
            ("abc", "%(b|d)%", true),
            ("abc", "(b|c)%", false),
            ("abc", "a_c", true),
            ("a.c", "a.c", true),
            ("abc", "a.c", false),
            ("Mill", "[A-M]%", true),
            ("Nile", "[A-M]%", false),
            ("Nile", "[^A-M]%", true),
            ("aaa", "a{3}", true),
            ("aaaa", "a{2,3}", false),
            ("5", "[[:digit:]]", true),
            ("a%", "a\\%", true),
            ("ab", "a\\%", false),
            ("two\nlines", "two%", true),
            ("^a$", "^a$", true),
            ("a]b", "a[]]b", true),
            ("a&b", "a[&&]b", true),
            ("", "", true),
            ("", "%", true),
        ];
        for (text, pattern, expected) in cases {
            assert_eq!(is_match(text, pattern, ESCAPE), expected, "{text:?} SIMILAR TO {pattern:?}");
        }
        assert!(is_match("a%", "a!%", '!'));
        assert!(translate("a\\", Some(ESCAPE)).is_err());
        assert!(translate("a[b", Some(ESCAPE)).is_err());
    }
}
