//! Tests of json.rs.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Whether the whole text is one value, and its faults; the same with a look ahead as without.
fn scan(text: &str) -> Result<Faults, NotJson> {
    let whole = |mut scanner: Scanner<'_>| {
        scanner.skip_white_space();
        let value = scanner.value(0)?;
        scanner.skip_white_space();
        if scanner.peek().is_some() { Err(NotJson) } else { Ok((value, scanner.faults)) }
    };
    let mut ahead = Scanner::new(text, 0);
    ahead.look_ahead();
    let scanned = whole(Scanner::new(text, 0));
    assert_eq!(whole(ahead), scanned, "{text:?}");
    scanned.map(|(_, faults)| faults)
}

/// serde_json's grammar without its limits on depth, numbers and surrogates.
fn serde_accepts(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Pieces that make text that is nearly JSON.
fn json_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"a\"",
            "\"\"",
            "0",
            "-0",
            "01",
            "1.5",
            "1.",
            ".5",
            "1e9",
            "1E+",
            "+1",
            "-",
            "true",
            "false",
            "null",
            "nul",
            "NaN",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "\"\\udc00\"",
            "\"\\x\"",
            "\"",
            "\\",
            "'a'",
            "//",
            "\u{1}",
            "é",
            "\"é\"",
            "\"a\":",
            "\"b\": 1",
            "\"tab\t\"",
            "\"\\ud800\\u12\"",
            "\u{feff}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Valid JSON of any shape, printed by serde_json.
fn valid_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_grammar_is_exactly_that_of_serde_json(text in json_like()) {
        prop_assert_eq!(scan(&text).is_ok(), serde_accepts(&text), "{:?}", text);
    }

    #[test]
    fn json_that_serde_reads_has_only_nul_faults(text in json_like()) {
        let has_nul = |faults: &Faults| matches!(faults.string, Some((ReasonCode::BadString, _)));
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            let faults = scan(&text).unwrap();
            prop_assert!(faults.string.is_none() || has_nul(&faults), "{:?}", text);
        }
    }

    #[test]
    fn valid_json_is_accepted_but_its_prefixes_not(value in valid_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        prop_assert!(scan(&text).is_ok());
        let cut = text.char_indices().next_back().unwrap().0;
        prop_assert_eq!(scan(&text[..cut]).is_ok(), serde_accepts(&text[..cut]));
    }

    #[test]
    fn a_stop_is_found_wherever_it_is(prefix in "[ -!#-\\[\\]-~é😀]{0,40}", stop in proptest::sample::select(vec!['"', '\\', '\n', '\u{1f}'])) {
        let text = format!("{prefix}{stop}{prefix}");
        let mut scanner = Scanner::new(&text, 0);
        scanner.skip_plain();
        prop_assert_eq!(scanner.position(), prefix.len());
    }
}

#[test]
fn a_look_ahead_ends_at_the_first_backslash_or_control_character() {
    for plain in [0, 1, 15, 16, 17, 31, 32, 33, 100] {
        for (odd, is_plain) in [("", true), ("\\", false), ("\n", false), ("\u{1f}", false), ("\"", true), ("é", true)]
        {
            let text = format!("{}{odd}{}", "x".repeat(plain), " ".repeat(20));
            let mut scanner = Scanner::new(&text, 0);
            scanner.look_ahead();
            assert_eq!(scanner.plain_to, if is_plain { text.len() } else { plain }, "{text:?}");
        }
    }
}

#[test]
fn number_forms_that_json_lacks_are_refused() {
    for text in ["01", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "-", "--1", "1e", "1e+", "-01", "1_000"] {
        assert_eq!(scan(text), Err(NotJson), "{text}");
        assert_eq!(scan(&format!("{{\"a\":{text}}}")), Err(NotJson), "{text}");
    }
    for text in ["0", "-0", "10", "1.5", "1e9", "1E-9", "-0.0e+1", "123456789012345678901234567890"] {
        assert!(scan(text).is_ok(), "{text}");
    }
}

#[test]
fn depth_33_is_too_deep_but_not_32() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(scan(&nested(32)).unwrap().too_deep, None);
        assert!(scan(&nested(33)).unwrap().too_deep.is_some());
    }
}

#[test]
fn containers_close_in_order_at_any_depth() {
    for depth in [1, 31, 63, 64, 65, 127, 128, 129, 1000] {
        let open: String = (0..depth).map(|level| if level % 3 == 0 { "[" } else { "{\"a\":" }).collect();
        let close: String = (0..depth).rev().map(|level| if level % 3 == 0 { "]" } else { "}" }).collect();
        assert!(scan(&format!("{open}1{close}")).is_ok(), "{depth}");
        let wrong = close.replacen(']', "}", 1);
        assert_eq!(scan(&format!("{open}1{wrong}")), Err(NotJson), "{depth}");
    }
}

#[test]
fn half_a_million_brackets_need_no_stack() {
    let scanned = std::thread::Builder::new().stack_size(64 * 1024).spawn(|| {
        let open = "[".repeat(500_000);
        assert_eq!(scan(&open), Err(NotJson));
        assert!(scan(&format!("{open}{}", "]".repeat(500_000))).unwrap().too_deep.is_some());
        assert_eq!(scan(&"{\"a\":".repeat(500_000)), Err(NotJson));
    });
    scanned.unwrap().join().unwrap();
}
