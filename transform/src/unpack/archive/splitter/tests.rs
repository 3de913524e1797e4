//! Tests of splitter.rs.

use proptest::prelude::*;

use super::*;

/// All pieces of a text that comes in windows of `step` bytes, none larger than `limit` allows.
fn split(text: &[u8], step: usize) -> Vec<(usize, &[u8])> {
    let (mut pieces, mut from, mut until) = (Vec::new(), 0, 0);
    let mut indent = LineIndent::default();
    loop {
        until = (until + step).min(text.len());
        let end = if until == text.len() { WindowEnd::Final } else { WindowEnd::GoesOn };
        let window = &text[from..until];
        let mut splitter = Splitter::new(window, end).on_line(indent);
        while let Piece::Record(range) = splitter.next_piece() {
            pieces.push((from + range.start, &window[range]));
        }
        indent = splitter.line_indent();
        from += splitter.position();
        if end == WindowEnd::Final {
            return pieces;
        }
    }
}

fn texts(text: &str) -> Vec<&str> {
    split(text.as_bytes(), text.len().max(1)).into_iter().map(|piece| std::str::from_utf8(piece.1).unwrap()).collect()
}

#[test]
fn values_are_split_with_or_without_lines() {
    assert_eq!(texts("{\"a\":1}\n{\"b\":2}\r\n\n"), ["{\"a\":1}", "{\"b\":2}"]);
    assert_eq!(texts("{\"a\":1}{\"b\":\"}{\"} [1] 7"), ["{\"a\":1}", "{\"b\":\"}{\"}", "[1]", "7"]);
    assert_eq!(texts("{\n  \"a\": [\n    1\n  ]\n}\n{}"), ["{\n  \"a\": [\n    1\n  ]\n}", "{}"]);
    assert_eq!(texts("\u{feff}{\"a\":1}\n\u{feff}{}"), ["\u{feff}{\"a\":1}", "\u{feff}{}"]);
    assert_eq!(texts(" \n\t"), Vec::<&str>::new());
}

#[test]
fn what_breaks_the_grammar_ends_with_its_line() {
    assert_eq!(texts("hello world\n{}\n"), ["hello world", "{}"]);
    assert_eq!(texts("{\"a\": 1\n{\"b\":2}\n{\"c\":3}"), ["{\"a\": 1", "{\"b\":2}", "{\"c\":3}"]);
    assert_eq!(texts("{\"a\":\n{\"b\":2}\n{\"c\":3}"), ["{\"a\":", "{\"b\":2}", "{\"c\":3}"]);
    assert_eq!(texts("{\"a\": \"cut\n{\"b\":2}"), ["{\"a\": \"cut", "{\"b\":2}"]);
    assert_eq!(texts("{} trailing\n{}"), ["{}", "trailing", "{}"]);
    assert_eq!(texts("01\n+1\n[1,]\n{}"), ["01", "+1", "[1,]", "{}"]);
    assert_eq!(texts("[1,\n2\n"), ["[1,", "2"]);
}

#[test]
fn a_seam_after_a_fault_ends_the_broken() {
    assert_eq!(texts(r#"{"a":1}{"b":tru}{"c":3}{"d":4}"#), [r#"{"a":1}"#, r#"{"b":tru}"#, r#"{"c":3}"#, r#"{"d":4}"#]);
    // Cut inside of a string: the next quote ends the string, and the record of that quote is lost with it.
    assert_eq!(texts(r#"{"a":"cut{"b":2}{"c":3}"#), [r#"{"a":"cut{"b":2}"#, r#"{"c":3}"#]);
    // A whole object inside of a broken one is no record.
    assert_eq!(texts(r#"{"wrap":{"b":2}{"c":3}"#), [r#"{"wrap":{"b":2}"#, r#"{"c":3}"#]);
    assert_eq!(texts(r#"{"a":1,}{ } {x}"#), [r#"{"a":1,}"#, "{ }", "{x}"]);
}

#[test]
fn a_broken_multi_line_object_spares_its_followers() {
    let event = "{\n  \"a\": {\n    \"b\": [\n      1\n    ]\n  },\n  \"c\": 1\n}";
    for broken in [
        "{\n  \"c\": 1,\n}",
        "{\n  \"c\": tru,\n  \"d\": {\n    \"e\": 1\n  }\n}",
        "{\n  \"a\": {\n    \"b\": 1,\n  },\n  \"c\": 1\n}",
        "{\n  \"c\": \"never closed,\n  \"d\": 1\n}",
        "{\n  \"a\": [\n    {\n      \"b\": 1\n    }{\n      \"b\": 2\n    }\n  ]\n}",
        "{\n  \"a\": [\n    1\n}",
        "{\n  \"a\": [\n    1\n  }]\n}",
        "{\n\"c\": 1,\n\"d\": tru\n}",
        "{\n\"a\": {\n\"b\": 1,\n},\n\"c\": 1\n}",
        "{\n\t\"c\": 1\n\t\"d\": 1\n}",
        "{\r\n  \"c\": 1,\r\n}",
        "\u{feff}{\n  \"c\": 1,\n}",
    ] {
        for between in ["", "\n", " ", "\r\n", "\n\n"] {
            let text = [event, broken, event, event, broken, event].join(between);
            assert_eq!(texts(&text), [event, broken, event, event, broken, event], "{text}");
        }
    }
}

#[test]
fn record_lines_are_apart_from_a_broken_one() {
    for broken in ["{\"a\": 1", "{\"a\":", "{\"a\": \"cut", "{\"a\" 1}", "}"] {
        for record in ["\"a text\"", " {\"b\":1}", "\t{\"b\":1}", "7", "[1]", "null", "\"a\\\": \""] {
            // Behind a colon a value may stand on the next line.
            if broken.ends_with(':') && record.starts_with([' ', '\t']) {
                continue;
            }
            let text = [broken, record, "{}"].join("\n");
            assert_eq!(texts(&text), [broken, record.trim(), "{}"], "{text}");
        }
    }
    assert_eq!(texts("}{\n  \"a\": 1\n}"), ["}", "{\n  \"a\": 1\n}"]);
}

#[test]
fn a_cut_object_ends_where_the_next_begins() {
    let event = "{\n  \"a\": \"x\",\n  \"c\": 1\n}";
    for cut in
        ["{\n  \"a\": \"x\",\n  \"c", "{\n  \"a\": \"x", "{\n  \"a\": \"x\"", "{\n  \"a\": 12", "{\"a\": 12", "oh no"]
    {
        let text = [event, cut, event, event].concat();
        assert_eq!(texts(&text), [event, cut, event, event], "{text}");
        let text = [event, cut, "\n", event, event].concat();
        assert_eq!(texts(&text), [event, cut, event, event], "{text}");
    }
}

#[test]
fn an_indented_text_is_split_as_well() {
    let event = "{\n      \"a\": 1\n    }";
    let broken = "{\n      \"a\": 1,\n    }";
    let text = ["    ", event, broken, event, "\n    ", broken, "\n    ", event].concat();
    assert_eq!(texts(&text), [event, broken, event, broken, event]);
    assert_eq!(texts(" {\"a\":1\n {\"b\":2}\n {\"c\":3}"), ["{\"a\":1", "{\"b\":2}", "{\"c\":3}"]);
}

#[test]
fn lines_after_a_broken_one_are_records() {
    assert_eq!(
        texts("{\"a\":1,\n  \"b\":tru}{\"c\":2}{\"d\":3}\n{\"e\":4}"),
        ["{\"a\":1,\n  \"b\":tru}", "{\"c\":2}", "{\"d\":3}", "{\"e\":4}"]
    );
    assert_eq!(texts("{\n  \"a\": 1,\n{\"b\":2}\n"), ["{\n  \"a\": 1,", "{\"b\":2}"]);
}

#[test]
fn bytes_outside_utf8_end_with_their_line() {
    let text = b"{\"a\":1}\n{\"b\":\"\xff\"}\n{\"c\":3}\n\xfe\xfe\n{}";
    let pieces: Vec<_> = split(text, text.len()).into_iter().map(|piece| piece.1.to_vec()).collect();
    let expected: [&[u8]; 5] = [b"{\"a\":1}", b"{\"b\":\"\xff\"}", b"{\"c\":3}", b"\xfe\xfe", b"{}"];
    assert_eq!(pieces, expected);
}

#[test]
fn a_too_deep_value_is_cut_as_broken() {
    let deep = format!("{}{}\n{{}}", "[".repeat(500_000), "]".repeat(500_000));
    let pieces = texts(&deep);
    assert_eq!((pieces.len(), pieces[0].len(), pieces[1]), (2, 1_000_000, "{}"));
}

#[test]
fn a_full_window_ends_an_unfinished_value() {
    let text = format!("[{}", "1,".repeat(100));
    let mut splitter = Splitter::new(text.as_bytes(), WindowEnd::GoesOn);
    assert_eq!((splitter.next_piece(), splitter.position()), (Piece::Unfinished, 0));
    let mut splitter = Splitter::new(text.as_bytes(), WindowEnd::Final);
    assert_eq!(splitter.next_piece(), Piece::Record(0..text.len()));
    assert_eq!(splitter.next_piece(), Piece::End);
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "\\{\"[a-z]{1,4}\":(\"[a-z}{é]{0,6}\"|[0-9]{1,3}|true|null|\\[1,2\\]|\\{\\})\\}".prop_map(String::into_bytes),
        2 => Just(b"\n".to_vec()),
        1 => "\\{\n( {0,2}\"[a-z]\": (1|tru|\\{|\"x),?\n){1,3} {0,2}\\}".prop_map(String::into_bytes),
        1 => Just(b"\r\n ".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => "[\\[\\]{}\",:0-9a-z\\\\\n]{0,8}".prop_map(String::into_bytes),
    ]
}

proptest! {
    /// Every split into windows gives the same pieces, with only white space between them.
    #[test]
    fn windows_do_not_matter(fragments in prop::collection::vec(fragment(), 0..30), step in 1_usize..50) {
        let text = fragments.concat();
        let whole = split(&text, text.len().max(1));
        prop_assert_eq!(&split(&text, step), &whole);
        let mut from = 0;
        for (start, piece) in whole {
            prop_assert!(text[from..start].iter().all(u8::is_ascii_whitespace));
            prop_assert!(!piece.is_empty());
            from = start + piece.len();
        }
        prop_assert!(text[from..].iter().all(u8::is_ascii_whitespace));
    }
}
