//! How text becomes words: Elasticsearch's `standard` analyzer (Unicode words, lower case).
//!
//! Not by a library for Unicode's word boundaries (UAX 29): those know no words of Thai, Lao, Khmer and Burmese and make each letter one. Lucene
//! takes a run of them as a word, and so does this.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// The name under which the derived index knows the analyzer.
pub(super) const NAME: &str = "words";
/// A longer word is cut into pieces.
const LENGTH_MAX: usize = 255;

/// A word of a text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// In lower case.
    pub(super) text: String,
    /// Byte it begins at.
    pub(super) start: usize,
    /// Byte it ends before.
    pub(super) end: usize,
}

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let at = |place: usize| characters.get(place).map(|(_, character)| *character);
    let offset = |place: usize| characters.get(place).map_or(text.len(), |(offset, _)| *offset);
    let mut place = 0;
    while let Some(character) = at(place) {
        if !is_word(character) {
            place += 1;
            continue;
        }
        let begin = place;
        place += 1;
        if !is_ideograph(character) {
            while let Some(next) = at(place) {
                let joins = place - begin < LENGTH_MAX
                    && (is_word(next) && !is_ideograph(next)
                        || at(place + 1).zip(at(place - 1)).is_some_and(|(after, before)| inside(before, next, after)));
                if !joins {
                    break;
                }
                place += 1;
            }
        }
        let (start, end) = (offset(begin), offset(place));
        words.push(Word { text: text.get(start..end).unwrap_or_default().to_lowercase(), start, end });
    }
    words
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || is_mark(character)
}

/// Combining marks belong to the letter before.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{93a}'..='\u{94f}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Each stands for a word of its own.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3041}'..='\u{309f}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a sign between two characters belongs to the word: `don't`, `3.5`, `1,000`, `example.com`.
fn inside(before: char, sign: char, after: char) -> bool {
    let letters = before.is_alphabetic() && after.is_alphabetic() && !is_ideograph(before) && !is_ideograph(after);
    let digits = before.is_numeric() && after.is_numeric();
    match sign {
        '\'' | '\u{2019}' | '.' => letters || digits,
        ',' | ';' => digits,
        _ => false,
    }
}

/// The analyzer, for tantivy.
#[derive(Clone, Default)]
pub(super) struct Analyzer;

/// The words of one text, one after the other.
pub(super) struct Words {
    words: std::vec::IntoIter<Word>,
    token: Token,
}

impl Tokenizer for Analyzer {
    type TokenStream<'a> = Words;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Words {
        Words { words: words(text).into_iter(), token: Token::default() }
    }
}

impl TokenStream for Words {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        // The default position is the one before the first.
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = word.start;
        self.token.offset_to = word.end;
        self.token.text = word.text;
        true
    }
    fn token(&self) -> &Token {
        &self.token
    }
    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_those_of_the_standard_analyzer() {
        let words = |text| super::words(text).into_iter().map(|word| word.text).collect::<Vec<_>>();
        assert_eq!(words("The 2 QUICK Brown-Foxes, don't!"), ["the", "2", "quick", "brown", "foxes", "don't"]);
        assert_eq!(words("v3.5 costs 1,000.50 at example.com."), ["v3.5", "costs", "1,000.50", "at", "example.com"]);
        assert_eq!(words("Ünïcode 東京 snake_case a@b"), ["ünïcode", "東", "京", "snake_case", "a", "b"]);
        assert_eq!(super::words(&"x".repeat(300)).len(), 2);
        assert!(words(" -- ").is_empty());
    }
}
