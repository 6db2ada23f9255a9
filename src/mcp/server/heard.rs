//! Which agent makes a call, as far as its arguments say.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;

/// Longer ones are no names.
const NAME_BYTES_MAX: usize = 800;

/// Who calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// By name.
    pub(super) agent: Option<String>,
    /// By a task it holds.
    pub(super) lease: Option<String>,
}

impl Caller {
    /// Arguments that say who calls. What these name has given a sign of life.
    pub(super) const ARGUMENTS: [&str; 3] = ["agent_id", "subscriber_agent_id", "lease_token"];

    /// Of a call's arguments.
    pub(super) fn of(arguments: &str) -> Self {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow, alias = "subscriber_agent_id")]
            agent_id: Option<Cow<'a, str>>,
            #[serde(borrow)]
            lease_token: Option<Cow<'a, str>>,
        }
        let holds = |word: &str| memmem::find(arguments.as_bytes(), word.as_bytes()).is_some();
        if !(holds("agent_id\"") || holds("lease_token\"")) {
            return Self::default();
        }
        let Ok(named) = serde_json::from_str::<Named<'_>>(arguments) else { return Self::default() };
        let short = |name: &Cow<'_, str>| (1..=NAME_BYTES_MAX).contains(&name.len());
        Self {
            agent: named.agent_id.filter(short).map(Cow::into_owned),
            lease: named.lease_token.filter(short).map(Cow::into_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Caller;

    #[test]
    fn who_calls_stands_in_the_arguments() {
        let agent = |text: &str| Caller::of(text).agent;
        assert_eq!(agent(r#"{"agent_id":"a\u0031","x":{"agent_id":"b"}}"#).as_deref(), Some("a1"));
        for text in ["{}", "", "null", r#"{"x":{"agent_id":"b"}}"#, r#"{"agent_id":7}"#, r#"{"agent_id":""}"#] {
            assert_eq!(agent(text), None, "{text}");
        }
        assert_eq!(Caller::of(r#"{"lease_token":"tk_1.1.s"}"#).lease.as_deref(), Some("tk_1.1.s"));
    }
}
