//! Cuts text into statements at each `;` outside of quotes and comments.
//!
//! Only the shell's reading depends on it. The guard checks a statement later, by the parser's own reading, which
//! refuses a text of more than one statement.

use std::iter::Peekable;
use std::str::CharIndices;

/// A text, cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// The first statement, without its `;`; `None` when no `;` ends one.
    pub statement: Option<&'a str>,
    /// What follows it: further statements, or the beginning of one.
    pub rest: &'a str,
    /// Whether the text ends inside of quotes or a comment.
    pub is_open: bool,
}

/// Cuts the first statement off.
pub fn split(text: &str) -> Split<'_> {
    let mut scanner = Scanner::new(text);
    while let Some(piece) = scanner.next_piece() {
        if let Piece::End(at) = piece {
            let (statement, rest) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            return Split { statement: Some(statement), rest, is_open: false };
        }
    }
    Split { statement: None, rest: text, is_open: scanner.is_open }
}

/// Whether the text is empty except for white space, closed comments, and `;`.
pub fn is_blank(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    while let Some(piece) = scanner.next_piece() {
        if piece == Piece::Text {
            return false;
        }
    }
    !scanner.is_open
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// A `;` at this byte.
    End(usize),
    /// White space or a comment.
    Nothing,
    /// Anything else.
    Text,
}

struct Scanner<'a> {
    text: &'a str,
    characters: Peekable<CharIndices<'a>>,
    previous: Option<char>,
    before_previous: Option<char>,
    is_open: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let characters = text.char_indices().peekable();
        Self { text, characters, previous: None, before_previous: None, is_open: false }
    }

    fn advance(&mut self) -> Option<(usize, char)> {
        let next = self.characters.next();
        self.before_previous = self.previous;
        self.previous = next.map(|(_, character)| character);
        next
    }

    fn next_piece(&mut self) -> Option<Piece> {
        let has_backslash_escapes = self.is_escape_prefix();
        let (at, character) = self.advance()?;
        let next = self.characters.peek().map(|(_, next)| *next);
        Some(match (character, next) {
            (';', _) => Piece::End(at),
            ('-', Some('-')) => self.line_comment(),
            ('/', Some('*')) => self.block_comment(),
            ('\'', _) => self.quoted('\'', has_backslash_escapes),
            ('"' | '`', _) => self.quoted(character, false),
            ('$', _) => self.dollar_quoted(at),
            _ if character.is_whitespace() => Piece::Nothing,
            _ => Piece::Text,
        })
    }

    /// Whether a quote here would begin `E'…'`, in which a backslash escapes the quote.
    fn is_escape_prefix(&self) -> bool {
        let continues_a_word =
            self.before_previous.is_some_and(|character| character.is_alphanumeric() || character == '_');
        matches!(self.previous, Some('e' | 'E')) && !continues_a_word
    }

    fn line_comment(&mut self) -> Piece {
        while let Some((_, character)) = self.advance() {
            if character == '\n' {
                break;
            }
        }
        Piece::Nothing
    }

    /// Block comments nest.
    fn block_comment(&mut self) -> Piece {
        self.advance();
        let mut depth = 1_usize;
        while let Some((_, character)) = self.advance() {
            let next = self.characters.peek().map(|(_, next)| *next);
            match (character, next) {
                ('*', Some('/')) => {
                    self.advance();
                    depth -= 1;
                    if depth == 0 {
                        return Piece::Nothing;
                    }
                }
                ('/', Some('*')) => {
                    self.advance();
                    depth += 1;
                }
                _ => {}
            }
        }
        self.is_open = true;
        Piece::Nothing
    }

    /// A doubled quote ends the text and begins it again, which is equivalent.
    fn quoted(&mut self, quote: char, has_backslash_escapes: bool) -> Piece {
        while let Some((_, character)) = self.advance() {
            if character == '\\' && has_backslash_escapes {
                self.advance();
            } else if character == quote {
                return Piece::Text;
            }
        }
        self.is_open = true;
        Piece::Text
    }

    /// `$$…$$` or `$tag$…$tag$`; a `$` alone begins a placeholder.
    fn dollar_quoted(&mut self, at: usize) -> Piece {
        let after = self.text.get(at + 1..).unwrap_or_default();
        let tag_ends = after.find(|character: char| !(character.is_alphanumeric() || character == '_'));
        let is_tag = |end: &usize| after.get(*end..).is_some_and(|behind| behind.starts_with('$'));
        let Some(tag) = tag_ends.filter(is_tag).and_then(|end| after.get(..end)) else {
            return Piece::Text;
        };
        let delimiter = format!("${tag}$");
        let begins = at + delimiter.len();
        let ends = self.text.get(begins..).and_then(|body| body.find(&delimiter));
        self.is_open = ends.is_none();
        let goes_on = ends.map_or(self.text.len(), |length| begins + length + delimiter.len());
        while self.characters.peek().is_some_and(|(next, _)| *next < goes_on) {
            self.advance();
        }
        Piece::Text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

    use super::*;

    fn all(text: &str) -> (Vec<&str>, &str) {
        let (mut statements, mut rest) = (Vec::new(), text);
        loop {
            let cut = split(rest);
            rest = cut.rest;
            match cut.statement {
                Some(statement) => statements.push(statement.trim()),
                None => return (statements, rest.trim()),
            }
        }
    }

    #[test]
    fn a_statement_ends_at_a_bare_semicolon() {
        let cases: &[(&str, &[&str], &str)] = &[
            ("SELECT 1", &[], "SELECT 1"),
            ("SELECT 1;", &["SELECT 1"], ""),
            ("SELECT 1; SELECT 2;\n SELECT", &["SELECT 1", "SELECT 2"], "SELECT"),
            ("SELECT ';';", &["SELECT ';'"], ""),
            ("SELECT 'it''s;' ;", &["SELECT 'it''s;'"], ""),
            ("SELECT E'a\\';' ;", &["SELECT E'a\\';'"], ""),
            ("SELECT 'a\\' ; SELECT '';", &["SELECT 'a\\'", "SELECT ''"], ""),
            ("SELECT \"a;b\" FROM `c;d`;", &["SELECT \"a;b\" FROM `c;d`"], ""),
            ("SELECT 1 -- a; b\n;", &["SELECT 1 -- a; b"], ""),
            ("SELECT /* a; /* b; */ c; */ 1;", &["SELECT /* a; /* b; */ c; */ 1"], ""),
            ("SELECT $$a;b$$, $t$ $$ ; $t$;", &["SELECT $$a;b$$, $t$ $$ ; $t$"], ""),
            ("SELECT $1; SELECT $a;", &["SELECT $1", "SELECT $a"], ""),
            ("SELECT 'ü;€' ; x", &["SELECT 'ü;€'"], "x"),
        ];
        for (text, statements, rest) in cases {
            assert_eq!(all(text), (statements.to_vec(), *rest), "{text}");
        }
    }

    #[test]
    fn a_text_can_end_inside_a_comment() {
        for text in ["SELECT 'a;", "SELECT \"a;", "SELECT /* ;", "SELECT $$ ;", "SELECT $t$ $$;"] {
            assert!(split(text).is_open && split(text).statement.is_none(), "{text}");
        }
        for text in ["SELECT 'a'", "SELECT 1 -- it's", "SELECT 5 - 3 / 2"] {
            assert!(!split(text).is_open, "{text}");
        }
    }

    #[test]
    fn white_space_and_comments_say_nothing() {
        for text in ["", " \n\t", "-- a", "/* a; */ ;;", "--\n/**/"] {
            assert!(is_blank(text), "{text:?}");
        }
        for text in ["a", "-- a\n1", "''", "/* a"] {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    /// The parser sees as many semicolons in the text as the shell does.
    #[test]
    fn shell_and_parser_agree_where_statements_end() {
        let texts = [
            "SELECT 'a;b', E'\\';', \"c;d\", $$e;f$$, U&'\\0041;' ; SELECT X'41' ; SELECT N';' ;",
            "SELECT 1 /* ; /* ; */ ; */ ; -- ; \n SELECT 'x' -- '\n ; SELECT a.b, 1.5e3, c::INT[1] ;",
            "SELECT * FROM t WHERE a = 'it''s' AND b <> '' ; SELECT $1, $name, $$ $ ; $ $$ ;",
        ];
        for text in texts {
            let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().unwrap();
            let semicolons = tokens.iter().filter(|token| **token == Token::SemiColon).count();
            assert_eq!(all(text).0.len(), semicolons, "{text}");
        }
    }
}
