//! A lexer that reads SQL text exactly as PostgreSQL's scanner does (`src/backend/parser/scan.l`), with
//! `standard_conforming_strings = on`.
//!
//! It only cuts text into tokens; what they mean together is nobody's business here. No recursion, one pass. Where PostgreSQL's versions
//! differ (`1_000`, `0x1F`, `1abc`) it cuts as the older ones do: the pieces are then names too, and names are what is looked at.

mod unicode;

/// Why text cannot be cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, as the end of the sentence "the statement has …".
    pub what: &'static str,
    /// Byte where it begins.
    pub at: usize,
}

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Byte where it begins.
    pub start: usize,
    /// Byte behind it.
    pub end: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An unquoted keyword or name, folded and cut to 63 bytes as PostgreSQL does.
    Word(String),
    /// A name in double quotes (also `U&"…"`), decoded and cut to 63 bytes.
    Quoted(String),
    /// A string constant without escapes, and its value.
    Text(String),
    /// Any other string constant: `E'…'`, `$tag$…$tag$`, `U&'…'`, `B'…'`, `X'…'`.
    OtherText,
    /// A number.
    Number,
    /// `$1`.
    Parameter,
    /// An operator of one or more of the characters that operators are made of.
    Operator,
    /// Any other single character.
    Symbol(char),
}

/// Longest name, in bytes: `NAMEDATALEN - 1`.
pub const NAME_BYTES_MAX: usize = 63;

/// Cuts `text` into tokens, comments and white space left out; at most `most` of them.
///
/// # Errors
/// What never ends or cannot be decoded; one token more than `most` allows is `too many tokens`.
pub fn tokens(text: &str, most: usize) -> Result<Vec<Token>, Fault> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, signs_end: 0 };
    let mut tokens: Vec<Token> = Vec::new();
    loop {
        scanner.skip_blanks()?;
        let start = scanner.at;
        let Some(kind) = scanner.next()? else { return Ok(tokens) };
        if tokens.len() >= most {
            return Err(Fault { what: TOO_MANY, at: start });
        }
        tokens.push(Token { kind, start, end: scanner.at });
    }
}

/// [`Fault::what`] of a statement with too many tokens.
pub const TOO_MANY: &str = "too many tokens";

/// What a quote or backslash means inside a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Two quotes are one.
    Plain,
    /// And a backslash takes the next character with it.
    Escapes,
    /// The digits of a bit string: every quote ends it.
    Digits,
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Up to here everything is known to be signs that stand alone, so that a long run of them is looked at once.
    signs_end: usize,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn fault<T>(&self, what: &'static str, at: usize) -> Result<T, Fault> {
        Err(Fault { what, at })
    }

    /// White space, `-- …` to the end of the line (a carriage return ends it too), and nested `/* … */`.
    fn skip_blanks(&mut self) -> Result<(), Fault> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c), _) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => self.skip_block()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n' && byte != b'\r') {
            self.at += 1;
        }
    }

    fn skip_block(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return self.fault("a comment that never ends", start),
            }
        }
    }

    fn next(&mut self) -> Result<Option<Kind>, Fault> {
        let Some(byte) = self.peek(0) else { return Ok(None) };
        let kind = match byte {
            b'\'' => self.plain_text()?,
            b'"' => Kind::Quoted(cut(self.quoted_name()?)),
            b'$' => self.dollar()?,
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            _ if starts_name(byte) => self.word()?,
            _ if is_operator(byte) => self.operator(),
            _ => self.symbol(),
        };
        Ok(Some(kind))
    }

    fn symbol(&mut self) -> Kind {
        let character = self.text.get(self.at..).and_then(|rest| rest.chars().next()).unwrap_or('\0');
        self.at += character.len_utf8();
        Kind::Symbol(character)
    }

    /// A word, or a string or name with a letter before its quote.
    fn word(&mut self) -> Result<Kind, Fault> {
        let kind = match (self.peek(0), self.peek(1), self.peek(2)) {
            (Some(b'e' | b'E'), Some(b'\''), _) => {
                self.at += 1;
                self.text_body(Inside::Escapes)?;
                Kind::OtherText
            }
            (Some(b'b' | b'B' | b'x' | b'X'), Some(b'\''), _) => {
                self.at += 1;
                self.text_body(Inside::Digits)?;
                Kind::OtherText
            }
            (Some(b'u' | b'U'), Some(b'&'), Some(b'\'')) => {
                self.at += 2;
                self.text_body(Inside::Plain)?;
                self.escape_clause()?;
                Kind::OtherText
            }
            (Some(b'u' | b'U'), Some(b'&'), Some(b'"')) => {
                let start = self.at;
                self.at += 2;
                let name = self.quoted_name()?;
                let escape = self.escape_clause()?.unwrap_or('\\');
                match unicode::decode(&name, escape) {
                    Some(name) => Kind::Quoted(cut(name)),
                    None => return self.fault("a Unicode escape that cannot be read", start),
                }
            }
            _ => {
                let start = self.at;
                while self.peek(0).is_some_and(continues_name) {
                    self.at += 1;
                }
                Kind::Word(cut(self.slice(start, self.at).to_ascii_lowercase()))
            }
        };
        Ok(kind)
    }

    /// `UESCAPE 'x'` behind a Unicode string or name.
    fn escape_clause(&mut self) -> Result<Option<char>, Fault> {
        let behind = self.at;
        self.skip_blanks()?;
        let start = self.at;
        if !self.slice(start, start + 7).eq_ignore_ascii_case("uescape") || self.peek(7).is_some_and(continues_name) {
            self.at = behind;
            return Ok(None);
        }
        self.at += 7;
        self.skip_blanks()?;
        let Some(b'\'') = self.peek(0) else { return self.fault("a UESCAPE without its character", start) };
        let Kind::Text(escape) = self.plain_text()? else {
            return self.fault("a UESCAPE without its character", start);
        };
        let mut characters = escape.chars();
        match (characters.next(), characters.next()) {
            (Some(escape), None) if unicode::may_escape(escape) => Ok(Some(escape)),
            _ => self.fault("a UESCAPE that is not one character", start),
        }
    }

    fn plain_text(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        self.text_body(Inside::Plain)?;
        let inner = self.slice(start + 1, self.at.saturating_sub(1));
        // Continued over lines, the value has quotes in it that are none; nobody compares those.
        Ok(Kind::Text(inner.replace("''", "'")))
    }

    /// From the opening quote to behind the closing one, with all continuations on further lines, which are read in the same way.
    fn text_body(&mut self, inside: Inside) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => return self.fault("a string that never ends", start),
                Some(b'\\') if inside == Inside::Escapes => {
                    self.at += 1;
                    if self.peek(0).is_some() {
                        self.symbol();
                    }
                }
                Some(b'\'') => {
                    self.at += 1;
                    if self.peek(0) == Some(b'\'') && inside != Inside::Digits {
                        self.at += 1;
                    } else if !self.continued() {
                        return Ok(());
                    }
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Whether the string goes on behind white space with a line end in it; then the scanner is behind the next quote.
    fn continued(&mut self) -> bool {
        let behind = self.at;
        let mut line_end = false;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'\n' | b'\r'), _) => {
                    line_end = true;
                    self.at += 1;
                }
                (Some(b' ' | b'\t' | 0x0b | 0x0c), _) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.skip_line(),
                (Some(b'\''), _) if line_end => {
                    self.at += 1;
                    return true;
                }
                _ => {
                    self.at = behind;
                    return false;
                }
            }
        }
    }

    fn quoted_name(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.at += 1;
        let inner = self.at;
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return self.fault("a quoted name that never ends", start),
                (Some(b'"'), Some(b'"')) => self.at += 2,
                (Some(b'"'), _) => {
                    let name = self.slice(inner, self.at).replace("\"\"", "\"");
                    self.at += 1;
                    if name.is_empty() {
                        return self.fault("an empty quoted name", start);
                    }
                    return Ok(name);
                }
                (Some(_), _) => self.at += 1,
            }
        }
    }

    /// `$1`, `$tag$ … $tag$`, or a lone `$`.
    fn dollar(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
            while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1;
            }
            return Ok(Kind::Parameter);
        }
        let mut end = start + 1;
        if self.bytes.get(end).is_some_and(|byte| starts_name(*byte)) {
            while self.bytes.get(end).is_some_and(|byte| continues_name(*byte) && *byte != b'$') {
                end += 1;
            }
        }
        if self.bytes.get(end) != Some(&b'$') {
            return Ok(self.symbol());
        }
        let tag = self.slice(start, end + 1).to_owned();
        match self.text.get(end + 1..).and_then(|rest| rest.find(&tag)) {
            Some(found) => {
                self.at = end + 1 + found + tag.len();
                Ok(Kind::OtherText)
            }
            None => self.fault("a dollar-quoted string that never ends", start),
        }
    }

    fn digits(&mut self) {
        while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// Digits, a point that is not the first of two, an exponent if it has digits.
    fn number(&mut self) -> Kind {
        self.digits();
        if self.peek(0) == Some(b'.') && self.peek(1) != Some(b'.') {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if self.peek(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1 + sign;
                self.digits();
            }
        }
        Kind::Number
    }

    /// The longest run of operator characters, up to a comment; a trailing `+` or `-` belongs to it only if it has a character that
    /// standard SQL's operators never have.
    fn operator(&mut self) -> Kind {
        let start = self.at;
        if start < self.signs_end {
            self.at += 1;
            return Kind::Operator;
        }
        let mut end = start;
        while let Some(byte) = self.bytes.get(end).copied().filter(|byte| is_operator(*byte)) {
            let next = self.bytes.get(end + 1);
            if end > start && (byte == b'/' && next == Some(&b'*') || byte == b'-' && next == Some(&b'-')) {
                break;
            }
            end += 1;
        }
        let own = self.bytes.get(start..end).unwrap_or_default();
        let mut length = own.len();
        let before_last = own.split_last().map_or(own, |(_, before)| before);
        if !before_last.iter().any(|byte| b"~!@#^&|`?%".contains(byte)) {
            while length > 1 && matches!(own.get(length - 1), Some(b'+' | b'-')) {
                length -= 1;
                self.signs_end = end;
            }
        }
        self.at = start + length.max(1);
        Kind::Operator
    }
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

/// As PostgreSQL cuts a name that is too long: at a character's end.
fn cut(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        let mut end = NAME_BYTES_MAX;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
    }
    name
}
