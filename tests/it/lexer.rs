//! The lexer of SQL text: it reads everything, in linear time, and cuts where PostgreSQL cuts.

use std::time::Instant;

use callboard::domain::sql::lexer::{self, Kind};
use proptest::prelude::*;
use tokio_postgres::{Client, NoTls, error::ErrorPosition};

use crate::support::{cases::cases, patience::SOON, postgres};

/// What SQL's tokens are made of, so that random text is full of beginnings and ends.
const PIECES: [&str; 44] = [
    "'", "'", "\"", "\"", "$", "$$", "$a$", "$1", "\\", "--", "/*", "*/", "\n", "\r", " ", "\t", "E'", "e'", "U&'",
    "U&\"", "B'", "X'", "N'", "a", "b", "é", "1", "23", ".", "..", "+", "-", "*", "/", "<", ">", "=", "@", "!", "(",
    ")", ",", "::", "select",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn tokens_stand_in_order_between_characters(text in text()) {
        if let Ok(tokens) = lexer::tokens(&text, 10_000) {
            let mut end = 0;
            for token in tokens {
                prop_assert!(token.start >= end && token.end > token.start, "{:?}", token);
                prop_assert!(text.get(token.start..token.end).is_some());
                end = token.end;
            }
            prop_assert!(end <= text.len());
        }
    }

    #[test]
    fn any_text_at_all_is_read(text in ".{0,300}") {
        lexer::tokens(&text, 10_000).ok();
    }

    #[test]
    fn a_quoted_value_comes_back(value in "[^\0]{1,20}") {
        let tokens = lexer::tokens(&format!("'{}'", value.replace('\'', "''")), 10).unwrap();
        prop_assert_eq!(tokens.len(), 1);
        prop_assert_eq!(&tokens[0].kind, &Kind::Text(value.clone()));
        let tokens = lexer::tokens(&format!("\"{}\"", value.replace('"', "\"\"")), 10).unwrap();
        prop_assert_eq!(tokens.len(), 1);
        if value.len() <= lexer::NAME_BYTES_MAX {
            prop_assert_eq!(&tokens[0].kind, &Kind::Quoted(value));
        }
    }
}

#[test]
fn time_grows_with_length_only() {
    for piece in
        ["(", "'a'\n", "$a", "$a$b", "/*", "--\n", "a$", "\"\"", "U&\"a\" ", "+-", "1.", "E'\\", "é", "'a'  ", "@-"]
    {
        let text = piece.repeat(1_000_000 / piece.len());
        // A million steps are a moment, their square would be hours.
        let started = Instant::now();
        lexer::tokens(&text, usize::MAX).ok();
        assert!(started.elapsed() < SOON, "{piece}: {:?}", started.elapsed());
    }
}

/// A random statement is nearly always a syntax error, and PostgreSQL says at which token: so it tells where it cuts.
#[tokio::test]
async fn postgresql_cuts_at_the_same_places() {
    let url = postgres::shared().database();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let asking = async move { ask(&client).await };
    let (compared, ended) = tokio::join!(asking, connection);
    ended.unwrap();
    assert!(compared > 1_000, "only {compared} statements said where they are cut");
}

async fn ask(client: &Client) -> usize {
    let mut random = Random(0x5eed_cafe);
    let mut compared = 0;
    for _ in 0..4_000 {
        let count = 1 + random.below(14);
        let mut statement = "select ".to_owned();
        for _ in 0..count {
            statement.push_str(PIECES[random.below(PIECES.len())]);
        }
        compared += usize::from(compare(client, &statement).await);
    }
    compared
}

/// Whether PostgreSQL named a token; panics when the lexer sees no such token there.
async fn compare(client: &Client, statement: &str) -> bool {
    let ours = lexer::tokens(statement, usize::MAX);
    let Err(error) = client.prepare(statement).await else {
        assert!(ours.is_ok(), "{statement:?}: PostgreSQL reads it, the lexer says {ours:?}");
        return false;
    };
    let Some(error) = error.as_db_error() else { panic!("{statement:?}: {error}") };
    let message = error.message();
    if ["trailing junk", "escape", "byte sequence"].iter().any(|known| message.contains(known)) {
        return false;
    }
    if message.starts_with("unterminated") || message.starts_with("zero-length") {
        assert!(ours.is_err(), "{statement:?}: {message}, the lexer says {ours:?}");
        return false;
    }
    let Some(near) = message.strip_prefix("syntax error at or near \"").and_then(|rest| rest.strip_suffix('"')) else {
        return false;
    };
    let Some(ErrorPosition::Original(position)) = error.position() else { return false };
    let start = statement.char_indices().nth(*position as usize - 1).map_or(statement.len(), |(byte, _)| byte);
    match ours {
        Ok(tokens) => {
            let own = tokens.iter().find(|token| token.start == start);
            let Some(own) = own else { panic!("{statement:?}: {message} at byte {start}, the lexer says {tokens:?}") };
            // A Unicode string's own text ends before what its UESCAPE is looked for in.
            let text = &statement[own.start..own.end];
            let symbol = matches!(own.kind, Kind::Symbol(_)) && near.starts_with(text);
            assert!(
                text == near || symbol || text.starts_with(['U', 'u', 'N', '$']),
                "{statement:?}: {message}, the lexer says {text:?}"
            );
        }
        Err(fault) => assert!(fault.at >= start, "{statement:?}: {message} at byte {start}, the lexer says {fault:?}"),
    }
    true
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }
}
