//! What holds for the reader of lines and the reader of messages, whatever bytes come.

use callboard::mcp::{
    message::{self, Incoming},
    stdio::lines::{Line, Lines},
};
use proptest::prelude::*;
use rmcp::model::ErrorCode;
use serde::de::IgnoredAny;

use crate::support::cases::cases;

/// Messages to start from: each kind that the reader tells apart.
const MESSAGES: [&str; 8] = [
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count_rows","arguments":{"table":"t","n":[1.50,"\u00e9"]},"_meta":{"progressToken":7}}}"#,
    r#"{"jsonrpc":"2.0","id":"a\"b","method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#,
    r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/list"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"late"}}"#,
    r#"{"jsonrpc":"2.0","id":2,"result":{}}"#,
    r#"[{"jsonrpc":"2.0","id":3,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]"#,
    r#"{"jsonrpc":"2.0","id":null,"method":"ping","params":null}"#,
    r#"{"id":4,"id":5,"method":{},"params":[]}"#,
];

/// Bytes in which line breaks, white space and byte order marks are common.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..12),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b" \t ".to_vec()),
        1 => Just(b"\xef\xbb\xbf".to_vec()),
        2 => proptest::sample::select(&MESSAGES[..]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// The lines of a whole stream, cut the plain way.
fn lines_of(bytes: &[u8]) -> Vec<Line> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let trimmed = lines.map(|line| line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii());
    trimmed.filter(|line| !line.is_empty()).map(|line| Line::Text(line.to_vec())).collect()
}

/// A message with a few bytes changed, taken out or put in.
fn mutation() -> impl Strategy<Value = Vec<u8>> {
    let signs = proptest::sample::select(&b"{}[]\",:\\u0n1-.e \xff\xc3d8"[..]);
    let change = (any::<prop::sample::Index>(), 0..3, prop_oneof![3 => signs, 1 => any::<u8>()]);
    (proptest::sample::select(&MESSAGES[..]), proptest::collection::vec(change, 0..5)).prop_map(|(text, changes)| {
        let mut bytes = text.as_bytes().to_vec();
        for (place, kind, byte) in changes {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// A line is called "not JSON" exactly when it is none.
fn is_judged_as_json(bytes: &[u8]) {
    let Ok(text) = message::text(bytes.trim_ascii()) else { return };
    let valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match message::read(text) {
        Incoming::Refused(refusal) => {
            assert_eq!(refusal.code != ErrorCode::PARSE_ERROR, valid, "{text} → {}", refusal.message);
            assert!(!refusal.message.is_empty());
        }
        Incoming::Batch(messages) => {
            assert!(valid, "{text}");
            messages.iter().for_each(|message| is_judged_as_json(message.as_bytes()));
        }
        Incoming::Request { id, .. } | Incoming::Cancelled { id, .. } => {
            assert!(valid, "{text}");
            assert!(serde_json::from_str::<IgnoredAny>(id.as_json()).is_ok(), "{text}");
        }
        Incoming::Nothing => assert!(valid, "{text}"),
    }
}

#[test]
fn the_messages_to_start_from_reach_each_kind() {
    let kinds = MESSAGES.map(|text| match message::read(message::text(text.as_bytes()).unwrap()) {
        Incoming::Request { .. } => 'r',
        Incoming::Cancelled { .. } => 'c',
        Incoming::Batch(_) => 'b',
        Incoming::Nothing => 'n',
        Incoming::Refused(_) => 'x',
    });
    assert_eq!(kinds, ['r', 'r', 'r', 'c', 'n', 'b', 'x', 'x']);
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn every_line_comes_out_once_and_in_order_however_it_is_cut(
        bytes in stream(),
        sizes in proptest::collection::vec(1_usize..40, 1..8),
    ) {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let (mut rest, mut sizes) = (&bytes[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            lines.room().extend_from_slice(chunk);
            seen.extend(std::iter::from_fn(|| lines.next()));
            rest = later;
        }
        lines.end();
        seen.extend(std::iter::from_fn(|| lines.next()));
        prop_assert_eq!(seen, lines_of(&bytes));
    }

    #[test]
    fn a_changed_message_is_judged_as_json_is(bytes in mutation()) {
        is_judged_as_json(&bytes);
    }

    #[test]
    fn any_bytes_are_judged_as_json_is(bytes in stream()) {
        is_judged_as_json(&bytes);
    }
}
