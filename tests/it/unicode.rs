//! What comes back cannot hide anything from whoever reads it.

use serde_json::{Value, json};

use crate::support::{binary::Binary, cases::cases, harness::Harness};

/// The name of an unknown argument is shown in the error.
async fn shown(name: &str) -> (Value, String) {
    let board = Harness::embedded();
    let text = board.refused_text("count_rows", &json!({ "table": "t", name: 1 }).to_string()).await;
    (serde_json::from_str(&text).unwrap(), text)
}

#[tokio::test]
async fn bidirectional_controls_and_tag_characters_are_taken_out_and_counted() {
    for hidden in ["\u{202e}", "\u{2066}", "\u{200f}", "\u{61c}", "\u{e0041}", "\u{e0001}"] {
        let (failure, text) = shown(&format!("na{hidden}me")).await;
        assert_eq!(failure["argument"], "name", "{text}");
        // Once in the argument, once in the message.
        assert_eq!(failure["removed_characters"], 2, "{text}");
        assert!(text.starts_with(r#"{"removed_characters":2,"#), "{text}");
    }
}

#[tokio::test]
async fn control_characters_are_escaped() {
    for (control, escaped) in [
        ("\u{1}", "\\u0001"),
        ("\u{7f}", "\\u007f"),
        ("\u{85}", "\\u0085"),
        ("\u{9b}", "\\u009b"),
        ("\u{2028}", "\\u2028"),
    ] {
        let (failure, text) = shown(&format!("na{control}me")).await;
        assert_eq!(failure["argument"], format!("na{control}me"), "{text}");
        assert!(text.contains(escaped), "{text}");
        assert!(!text.contains(control), "{text}");
        assert!(failure.get("removed_characters").is_none());
    }
}

#[tokio::test]
async fn harmless_text_of_all_scripts_stays_as_it_is() {
    for text in ["größe", "名前", "שלום", "مرحبا", "🦀👩‍👩‍👧", "e\u{301}", "zero\u{200b}width", "back\\slash \"quoted\""]
    {
        let (failure, shown) = shown(text).await;
        assert_eq!(failure["argument"], text, "{shown}");
        assert!(failure.get("removed_characters").is_none(), "{shown}");
    }
}

#[test]
fn escapes_inside_documents_are_cleaned_like_the_characters_themselves() {
    use callboard::mcp::clean::clean;
    let cases = [
        (r#"{"a":"x\u202Ey"}"#, r#"{"removed_characters":1,"a":"xy"}"#),
        (r#"{"a":"\udb40\udc41\uDB40\uDC42"}"#, r#"{"removed_characters":2,"a":""}"#),
        // An escaped backslash before the letters of an escape is text.
        (r#"{"a":"\\u202e"}"#, r#"{"a":"\\u202e"}"#),
        (r#"{"a":"\\\u202e"}"#, r#"{"removed_characters":1,"a":"\\"}"#),
        (r#"{"a":"\ud83e\udd80\n\t\u0001"}"#, r#"{"a":"\ud83e\udd80\n\t\u0001"}"#),
        (r#"{"a":"\u00e9é"}"#, r#"{"a":"\u00e9é"}"#),
        // Halves of characters would make strict readers refuse the whole answer.
        (r#"{"a":"\ud800x\udc00\uD83E\ud83e\udd80"}"#, r#"{"a":"\ufffdx\ufffd\ufffd\ud83e\udd80"}"#),
        ("{}", "{}"),
    ];
    for (given, expected) in cases {
        assert_eq!(clean(given.to_owned()), expected);
    }
}

#[tokio::test]
async fn half_of_a_character_in_stored_json_does_not_spoil_the_answer() {
    let board = Harness::embedded();
    board.answer("create_table", r#"{"table":"t","columns":[{"name":"a","type":"json"}]}"#).await;
    board.answer("insert_data", r#"{"table":"t","row":{"a":{"half":"x\ud800"}}}"#).await;
    let answer = board.answer("execute_query", r#"{"query":"select a from t"}"#).await;
    assert_eq!(answer["rows"], json!([[{"half": "x\u{fffd}"}]]));
}

#[test]
fn strings_that_others_write_as_json_hide_nothing() {
    let mut value = json!({"a": ["x\u{202e}y", {"b": "\u{85}line\n\u{2028}"}], "n": 1});
    callboard::mcp::clean::strings(&mut value);
    assert_eq!(value, json!({"a": ["x\u{fffd}y", {"b": "\u{fffd}line\n\u{fffd}"}], "n": 1}));
}

proptest::proptest! {
    #![proptest_config(cases(256))]

    /// Cleaning yields JSON that says the same without what hides, whatever the text and however it is escaped.
    #[test]
    fn cleaning_removes_exactly_what_hides(text in "\\PC*|[\u{0}-\u{ff}\u{2000}-\u{2070}\u{e0000}-\u{e0080}🦀\\\\\"]*", ascii: bool) {
        let mut json = serde_json::to_string(&json!({ "a": text })).unwrap();
        if ascii {
            json = json.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect()
            }).collect();
        }
        let cleaned: Value = serde_json::from_str(&callboard::mcp::clean::clean(json)).unwrap();
        let hides = |c: &char| matches!(u32::from(*c), 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069 | 0xe0000..=0xe007f);
        let kept: String = text.chars().filter(|c| !hides(c)).collect();
        let removed = text.chars().filter(hides).count();
        proptest::prop_assert_eq!(cleaned["a"].as_str().unwrap(), kept);
        proptest::prop_assert_eq!(cleaned["removed_characters"].as_u64().unwrap_or(0), removed as u64);
    }
}

#[test]
fn a_method_with_hidden_characters_is_shown_without_them() {
    let mut board = Binary::serve();
    let answer = board.request("do\u{202e}it\u{7}", &json!({}));
    assert_eq!(answer["error"]["code"], -32601);
    assert_eq!(answer["error"]["message"], "no method `do\u{fffd}it\u{fffd}`");
}
