//! Where a page of hits begins.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{canonical::canonical, json, json::Json, page},
    error::Error,
};

/// What a place of ours begins with on the wire; what follows is base64.
const MARK: &str = "after.";

/// Where a page of hits begins.
#[derive(Debug, Clone)]
pub enum After {
    /// Behind all hits with these sort values, which are the caller's own: a JSON array, one value for each key of the sort.
    Values(Json),
    /// Behind a hit of an answer before.
    Hit(Place),
}

impl After {
    /// The sort values: a JSON array.
    pub fn values(&self) -> &Json {
        match self {
            Self::Values(values) => values,
            Self::Hit(place) => &place.sort,
        }
    }
}

/// The place of a hit in the order of its search. Documents of different shards can have the same sort values, so those that were given
/// already are named.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its sort values: a JSON array.
    pub sort: Json,
    /// `_id`s of the hits with these sort values that were given, this one included.
    pub given: Vec<String>,
}

impl Place {
    /// The text for the wire. Sort values hold integers that a client with doubles would round, so no client gets to see them.
    ///
    /// `question` is what decides the order; a place of another question is refused.
    pub fn encode(&self, question: &str) -> String {
        let place = json::of(self);
        let (of, sum) = (page::fingerprint(question), page::fingerprint(place.get()));
        format!("{MARK}{}", URL_SAFE_NO_PAD.encode(format!("{of}.{sum}.{}", place.get())))
    }

    fn decode(text: &str, question: &str) -> Result<Self, Error> {
        let refuse = |message| Error::invalid("search_after", message).hint(HINT);
        let broken = || refuse("`search_after` is not what an answer before gave");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| broken().cause(error))?;
        let text = String::from_utf8(bytes).map_err(|error| broken().cause(error))?;
        let (of, place) = text.split_once('.').ok_or_else(broken)?;
        if of != page::fingerprint(question) {
            return Err(refuse("`search_after` comes from a search of another index or with another sort"));
        }
        let (sum, place) = place.split_once('.').ok_or_else(broken)?;
        if sum != page::fingerprint(place) {
            return Err(broken());
        }
        serde_json::from_str(place).map_err(|error| broken().cause(error))
    }

    /// Whether a text is what is left of one for the wire that lost its beginning. As a value of the caller's own it would find nothing.
    fn is_left_in(text: &str) -> bool {
        const MEMBER: &[u8] = b"\"given\":[";
        let text = text.rsplit('.').next().unwrap_or_default();
        let begins = 0..4.min(text.len());
        begins.filter_map(|skipped| text.get(skipped..)).any(|rest| {
            let whole = rest.get(..rest.len() / 4 * 4).unwrap_or_default();
            let bytes = URL_SAFE_NO_PAD.decode(whole).unwrap_or_default();
            bytes.windows(MEMBER.len()).any(|window| window == MEMBER)
        })
    }
}

/// What to do about a place that is none.
pub const HINT: &str = "pass `next.search_after` exactly as the previous answer gave it, with `index`, `query` and `sort` unchanged; \
                    or a list with one value for each key of `sort`";

/// Reads `search_after`: what an answer gave, as its list, the text in it or the whole `next`; or a list of the caller's own values.
///
/// # Errors
/// `invalid` when it is none of these, or belongs to another question.
pub fn read(given: &Json, question: &str) -> Result<After, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Next {
        search_after: Json,
    }
    let text = given.get().trim();
    if text.starts_with('{')
        && let Ok(next) = serde_json::from_str::<Next>(text)
    {
        return read(&next.search_after, question);
    }
    let refuse = || Error::invalid("search_after", "`search_after` takes a list of sort values").hint(HINT);
    let single = match serde_json::from_str::<String>(text) {
        Ok(single) => Some(single),
        Err(_) => match serde_json::from_str::<Vec<Json>>(text).map_err(|error| refuse().cause(error))?.as_slice() {
            [] => return Err(refuse()),
            values if values.iter().any(|value| value.get() == "null") => {
                return Err(
                    Error::invalid("search_after", "`search_after` holds null, which no value follows").hint(HINT)
                );
            }
            [only] => serde_json::from_str::<String>(only.get()).ok(),
            _ => None,
        },
    };
    match single.as_deref().map(str::trim).map(|single| (single.strip_prefix(MARK), single)) {
        Some((Some(place), _)) => Ok(After::Hit(Place::decode(place, question)?)),
        Some((None, single)) if text.starts_with('"') || Place::is_left_in(single) => Err(refuse()),
        _ => Ok(After::Values(given.clone())),
    }
}

/// What decides the order of a search.
pub fn question(indices: &[String], sort: Option<&Json>) -> String {
    format!("{}\0{}", indices.join(","), sort.map_or_else(String::new, |sort| canonical(sort.get()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_place_comes_back_digit_for_digit_in_every_form_it_is_handed_back() {
        let place = Place { sort: raw(r#"[9223372036854775807,"é",null]"#), given: vec!["a\"b".to_owned()] };
        let text = place.encode("q");
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        for form in [format!("[\"{text}\"]"), format!("\"{text}\""), format!("{{\"search_after\":[\"{text}\"]}}")] {
            let After::Hit(read) = read(&raw(&form), "q").unwrap() else { panic!("{form}") };
            assert_eq!((read.sort.get(), &read.given), (place.sort.get(), &place.given));
        }
    }

    #[test]
    fn what_is_no_place_of_this_question_is_refused_and_a_callers_own_values_are_taken() {
        let text = Place { sort: raw("[1]"), given: Vec::new() }.encode("q");
        // Cut at its end or beginning, or with one letter changed.
        let mut mangled = vec![text.split_at(text.len() - 3).0.to_owned()];
        mangled.extend((1..9).map(|cut| text.split_at(cut).1.to_owned()));
        mangled.push(text.replacen(text.get(40..41).unwrap(), "_", 1));
        let mut wrongs: Vec<String> = mangled.iter().map(|mangled| format!("[\"{mangled}\"]")).collect();
        wrongs.extend(["\"after.\"", "\"p-1\"", "[]", "7", "[null]", "[1,null]"].map(str::to_owned));
        for wrong in wrongs {
            let refused = read(&raw(&wrong), "q").unwrap_err();
            assert_eq!(refused.argument.as_deref(), Some("search_after"), "{wrong}");
        }
        assert!(read(&raw(&format!("[\"{text}\"]")), "another").unwrap_err().message.contains("another sort"));
        for own in ["[1.5,\"p-1\"]", "[\"p-1\"]", "[12]"] {
            assert!(matches!(read(&raw(own), "q"), Ok(After::Values(values)) if values.get() == own), "{own}");
        }
    }
}
