//! The ids of the messages in a line that is too long or not JSON: read as its bytes pass, so that whoever waits for an answer gets one.
//! See [decision 20](../../../docs/decisions/0020-who-is-told-of-a-broken-line.md).

use serde_json::value::RawValue;

/// Bytes of all ids of a line that are kept.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Ids of one line; a batch takes no more messages.
const IDS_MAX: usize = 1_000;
/// `"id"` with each letter escaped.
const KEY_BYTES_MAX: usize = 14;
/// Levels of which it is kept whether they are objects or lists.
const KINDS_MAX: usize = 128;

/// Reads a line in pieces. What is nested inside of a message is passed over.
#[derive(Default)]
pub struct Ids {
    /// Objects and lists that are open.
    depth: usize,
    /// A bit for each of the first of them: whether it is a list.
    lists: u128,
    /// The depth at which members of messages stand: 1, in a batch 2. 0: between messages.
    level: usize,
    in_string: bool,
    escaped: bool,
    message: Option<Message>,
    found: Vec<Box<str>>,
    found_bytes: usize,
    /// Nothing that comes counts any more.
    done: bool,
}

/// The message whose members are being read.
#[derive(Default)]
struct Message {
    place: Place,
    /// The name of the member, or its value when it is the id; cut where it is too long to count.
    token: Vec<u8>,
    /// A value stands where one is expected.
    begun: bool,
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
    /// Of a whole line.
    pub fn of(line: &[u8]) -> Vec<Box<str>> {
        let mut ids = Self::default();
        ids.pass(line);
        ids.end()
    }

    /// Nothing that comes can change what was found.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The next bytes of the line.
    pub fn pass(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).filter(|_| !self.done) {
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
        self.found
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
            // What is left of a transfer: NUL bytes, a byte order mark.
            0..b' ' | 0x7f | 0xef | 0xbb | 0xbf if self.level == 0 => return,
            b'{' | b'[' if self.level == 0 => self.level = if byte == b'{' { 1 } else { 2 },
            // Something else stands before or behind the messages.
            _ if self.level == 0 => return self.done = true,
            _ => {}
        }
        if self.depth == self.level
            && let Some(message) = &mut self.message
        {
            match byte {
                b':' => return message.name_ends(),
                b',' => return message.value_ends(),
                b'}' | b']' => {}
                // A comma is missing.
                b'"' if message.begun => message.value_ends(),
                _ => message.begun = message.place != Place::Name,
            }
        }
        match byte {
            b'{' | b'[' => self.opens(byte),
            b'}' | b']' => self.closes(byte),
            _ => {
                self.in_string = byte == b'"';
                self.keep(byte);
            }
        }
    }

    fn opens(&mut self, byte: u8) {
        self.keep(byte);
        if self.depth < KINDS_MAX {
            let bit = 1 << self.depth;
            self.lists = if byte == b'[' { self.lists | bit } else { self.lists & !bit };
        }
        self.depth += 1;
        if self.depth == self.level {
            self.message = (byte == b'{').then(Message::default);
        }
    }

    fn closes(&mut self, byte: u8) {
        let inside = self.depth.saturating_sub(1);
        if inside < KINDS_MAX && (self.lists >> inside & 1 == 1) != (byte == b']') {
            // From here on nobody can tell what stands inside of what.
            self.message_ends();
            return self.done = true;
        }
        if self.depth == self.level {
            self.message_ends();
        }
        self.depth = inside;
        if self.depth == 0 {
            self.level = 0;
        }
    }

    fn message_ends(&mut self) {
        let Some(mut message) = self.message.take() else { return };
        message.value_ends();
        let Some(id) = message.id.filter(|_| !message.unclear && (message.asks || !message.answers)) else { return };
        self.found_bytes += id.len();
        self.found.push(id);
        if self.found.len() > IDS_MAX || self.found_bytes > KEPT_BYTES_MAX {
            self.found.clear();
            self.done = true;
        }
    }
}

impl Message {
    fn name_ends(&mut self) {
        let name: Option<String> = serde_json::from_slice(&self.token).ok();
        self.token.clear();
        self.asks |= name.as_deref() == Some("method");
        self.answers |= matches!(name.as_deref(), Some("result" | "error"));
        self.place = if name.as_deref() == Some("id") { Place::Id } else { Place::Elsewhere };
        self.begun = false;
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
        self.begun = false;
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
            (r#"{"id":1,"method":"m"} {"id":2} "#, vec!["1", "2"]),
            (r#"[{"id":1,"method":"m"}] {"params":{"id":3},"id":2}"#, vec!["1", "2"]),
            (r#"{"id":1,"method":"m"}} {"id":2}"#, vec!["1"]),
            (r#"{"id":1,"method":"m"}, {"id":2}"#, vec!["1"]),
            (r#"{"id":1,"method":"m""#, vec!["1"]),
            (r#"{"id":1,"params":{"a":[2}}"#, vec!["1"]),
            (r#"{"params":{"a":[2},"id":3},"id":1}"#, vec![]),
            (r#"{"params":{"a":[2]],"id":3},"id":1}"#, vec![]),
            (r#"{"method":"m","id":1]"#, vec!["1"]),
            (r#"[{"method":"m","id":1},{"id":2,"method":}]"#, vec!["1", "2"]),
            (r#"[{"method":"m","id":1}},{"id":2}]"#, vec!["1"]),
            (r#"{"method":"m","params":{"name":},"id":1}"#, vec!["1"]),
            (r#"{"method":"m","params":,"id":1}"#, vec!["1"]),
            (r#"{"method":"m" "id":1,"x":2}"#, vec!["1"]),
            (r#"{"params":{}"id":"a" "method":"m"}"#, vec![r#""a""#]),
            (r#"{"id":1 "id":2}"#, vec![]),
            (r#"{"method":"m" "id" "x":2}"#, vec![]),
            (r#"{"id":01,"method":"m"}"#, vec![]),
            (r#"{id:1,"method":"m"}"#, vec![]),
            (r"{'id':1,'method':'m'}", vec![]),
            ("\0\0{\"id\":1,\0\"method\":\"m\"}\0", vec!["1"]),
            (r#"log {"id":1,"method":"m"}"#, vec![]),
            ("nonsense", vec![]),
            (r#""id""#, vec![]),
            ("", vec![]),
        ] {
            let wanted: Vec<Box<str>> = ids.into_iter().map(Into::into).collect();
            assert_eq!(Ids::of(text.as_bytes()), wanted, "{text}");
            for size in [1, 2, 3, 7] {
                assert_eq!(cut(text, size), wanted, "{text} in pieces of {size}");
            }
        }
        assert_eq!(Ids::of(b"{\"id\":1,\"x\":\"\xff\xc3\"}"), ["1".into()]);
        assert_eq!(Ids::of(b"{\"id\":\"\xff\"}"), Vec::new());
        let deep = |inner: &str| format!(r#"{{"x":{}{inner}{},"id":1}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(Ids::of(deep(r#"{"id":2}"#).as_bytes()), ["1".into()]);
        assert_eq!(Ids::of("[".repeat(10_000).as_bytes()), Vec::new());
        let long = "x".repeat(70_000);
        assert_eq!(Ids::of(format!(r#"{{"id":"{long}","method":"m"}}"#).as_bytes()), Vec::new());
        let many = format!("[{}]", vec![r#"{"id":1,"method":"m"}"#; 1_001].join(","));
        assert_eq!(Ids::of(many.as_bytes()), Vec::new());
    }
}
