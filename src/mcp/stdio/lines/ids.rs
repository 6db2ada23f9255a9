//! The ids of the messages in a line that is not kept: read as its bytes pass, so that whoever waits for an answer gets one.

use serde_json::value::RawValue;

/// Bytes of all ids of a line that are kept.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Ids of one line; a batch takes no more messages.
const IDS_MAX: usize = 1_000;
/// `"id"` with each letter escaped.
const KEY_BYTES_MAX: usize = 14;

/// Reads a line in pieces. What is nested inside of a message is passed over.
#[derive(Default)]
pub struct Ids {
    /// Objects and lists that are open.
    depth: usize,
    /// The depth at which members of messages stand: 1, in a batch 2. 0: the line has not begun.
    level: usize,
    in_string: bool,
    escaped: bool,
    message: Option<Message>,
    found: Vec<Box<str>>,
    found_bytes: usize,
    /// Not a line of messages, or too many of them.
    hopeless: bool,
}

/// The message whose members are being read.
#[derive(Default)]
struct Message {
    place: Place,
    /// The name of the member, or its value when it is the id; cut where it is too long to count.
    token: Vec<u8>,
    id: Option<Box<str>>,
    /// The id stands there twice, or is none.
    unclear: bool,
    asks: bool,
    answers: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Name,
    Id,
    Elsewhere,
}

impl Ids {
    /// Of a whole text.
    pub fn of(text: &str) -> Vec<Box<str>> {
        let mut ids = Self::default();
        ids.pass(text.as_bytes());
        ids.end()
    }

    /// Nothing that comes can change that there are none.
    pub fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    /// The next bytes of the line.
    pub fn pass(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).filter(|_| !self.hopeless) {
            at += 1;
            if self.in_string {
                if !self.escaped && !self.listens() {
                    // Strings that nobody wants are most of what is passed over.
                    let rest = bytes.get(at - 1..).unwrap_or_default();
                    let Some(found) = memchr::memchr2(b'"', b'\\', rest) else { return };
                    at += found;
                    self.string(rest.get(found).copied().unwrap_or(b'"'));
                } else {
                    self.string(*byte);
                }
            } else {
                self.sign(*byte);
            }
        }
    }

    /// The ids of requests, as JSON, in their order: none of them where it is not plain which one it is.
    pub fn end(mut self) -> Vec<Box<str>> {
        self.message_ends();
        if self.hopeless { Vec::new() } else { self.found }
    }

    fn listens(&self) -> bool {
        self.depth == self.level && self.message.as_ref().is_some_and(|message| message.place != Place::Elsewhere)
    }

    fn keep(&mut self, byte: u8) {
        if self.listens()
            && let Some(message) = &mut self.message
        {
            let most = if message.place == Place::Name { KEY_BYTES_MAX } else { KEPT_BYTES_MAX };
            // One more shows that it is too long.
            if message.token.len() <= most {
                message.token.push(byte);
            }
        }
    }

    /// A byte of a string.
    fn string(&mut self, byte: u8) {
        self.keep(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    /// A byte between strings.
    fn sign(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                // Inside of a token it is one too many, which the parser tells.
                if self.message.as_ref().is_some_and(|message| !message.token.is_empty()) {
                    self.keep(byte);
                }
                return;
            }
            // A byte order mark.
            0xef | 0xbb | 0xbf if self.level == 0 => return,
            b'{' | b'[' if self.level == 0 => self.level = if byte == b'{' { 1 } else { 2 },
            // Something stands before or behind the messages.
            _ if self.depth == 0 => return self.hopeless = true,
            _ => {}
        }
        match byte {
            b'{' | b'[' => {
                self.keep(byte);
                self.depth += 1;
                if self.depth == self.level {
                    self.message = (byte == b'{').then(Message::default);
                }
            }
            b'}' | b']' => {
                if self.depth == self.level {
                    self.message_ends();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b'"' => {
                self.in_string = true;
                self.keep(byte);
            }
            b':' | b',' if self.depth == self.level => {
                if let Some(message) = &mut self.message {
                    if byte == b':' { message.name_ends() } else { message.value_ends() }
                }
            }
            _ => self.keep(byte),
        }
    }

    fn message_ends(&mut self) {
        let Some(mut message) = self.message.take() else { return };
        message.value_ends();
        let Some(id) = message.id.filter(|_| !message.unclear && (message.asks || !message.answers)) else { return };
        self.found_bytes += id.len();
        self.found.push(id);
        self.hopeless |= self.found.len() > IDS_MAX || self.found_bytes > KEPT_BYTES_MAX;
    }
}

impl Message {
    fn name_ends(&mut self) {
        let name: Option<String> = serde_json::from_slice(&self.token).ok();
        self.token.clear();
        self.asks |= name.as_deref() == Some("method");
        self.answers |= matches!(name.as_deref(), Some("result" | "error"));
        self.place = if name.as_deref() == Some("id") { Place::Id } else { Place::Elsewhere };
    }

    fn value_ends(&mut self) {
        if self.place == Place::Id {
            let value = serde_json::from_slice::<&RawValue>(&self.token).ok().map(RawValue::get);
            let value =
                value.filter(|value| value.starts_with(['"', '-']) || value.starts_with(|c: char| c.is_ascii_digit()));
            self.unclear |= self.id.is_some() || value.is_none();
            self.id = value.map(Into::into);
        }
        self.token.clear();
        self.place = Place::Name;
    }
}

#[cfg(test)]
mod tests {
    use super::Ids;

    fn cut(text: &str, size: usize) -> Vec<Box<str>> {
        let mut ids = Ids::default();
        text.as_bytes().chunks(size).for_each(|piece| ids.pass(piece));
        ids.end()
    }

    #[test]
    fn ids_are_found_wherever_they_stand() {
        for (text, ids) in [
            (r#"{"id":1,"method":"m","params":{"id":2}}"#, vec!["1"]),
            (r#"{"method":"m","params":{"id":2,"x":[{"id":3}]},"id":"a\"b"}"#, vec![r#""a\"b""#]),
            (r#"{"method":"m", "id" : -1.5e3 ,"params":{"t":"\",\"id\":9,{"}}"#, vec!["-1.5e3"]),
            (r#"{"\u0069\u0064":7,"method":"m"}"#, vec!["7"]),
            (r#"{"params":{"method":"x"},"id":7"#, vec!["7"]),
            (r#"{"id":7,"method":"m","params":{"t":"cut"#, vec!["7"]),
            ("\u{feff} {\"id\":7,\"method\":\"m\"} \r", vec!["7"]),
            (
                r#"[{"id":1,"method":"m"},{"method":"n"},5,[{"id":3}],{"params":[{"id":4}],"id":"b"}]"#,
                vec!["1", r#""b""#],
            ),
            (r#"{"id":1,"result":{}}"#, vec![]),
            (r#"{"id":1,"result":{},"method":"m"}"#, vec!["1"]),
            (r#"{"id":1,"id":1,"method":"m"}"#, vec![]),
            (r#"{"id":null,"method":"m"}"#, vec![]),
            (r#"{"id":{"id":1},"method":"m"}"#, vec![]),
            (r#"{"id":[1],"method":"m"}"#, vec![]),
            (r#"{"id":true,"method":"m"}"#, vec![]),
            (r#"{"id":1 2,"method":"m"}"#, vec![]),
            (r#"{          "id"               :            5          ,"method":"m"}"#, vec!["5"]),
            (r#"{"idx":1,"xid":2,"ID":3,"method":"m"}"#, vec![]),
            (r#"{"method":"m","params":"id","x":"id"}"#, vec![]),
            (r#"{"id":1,"method":"m"} {"id":2}"#, vec![]),
            ("nonsense", vec![]),
            (r#""id""#, vec![]),
            ("", vec![]),
        ] {
            let wanted: Vec<Box<str>> = ids.into_iter().map(Into::into).collect();
            assert_eq!(Ids::of(text), wanted, "{text}");
            for size in [1, 2, 3, 7] {
                assert_eq!(cut(text, size), wanted, "{text} in pieces of {size}");
            }
        }
        let long = "x".repeat(70_000);
        assert_eq!(Ids::of(&format!(r#"{{"id":"{long}","method":"m"}}"#)), Vec::new());
        let many = format!("[{}]", vec![r#"{"id":1,"method":"m"}"#; 1_001].join(","));
        assert_eq!(Ids::of(&many), Vec::new());
    }
}
