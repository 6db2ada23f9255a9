//! Which agent makes a call, as far as its arguments say.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;

use crate::tools::group_of;

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
    /// Of a call. The arguments of tools that know no agents are not looked at: they may be large.
    pub(super) fn of(tool: &str, arguments: &str) -> Self {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow, alias = "subscriber_agent_id")]
            agent_id: Option<Cow<'a, str>>,
            #[serde(borrow)]
            lease_token: Option<Cow<'a, str>>,
        }
        let knows_agents = matches!(group_of(tool), Some("workflows" | "tasks" | "agents" | "memory" | "discoveries"));
        let holds = |word: &str| memmem::find(arguments.as_bytes(), word.as_bytes()).is_some();
        if !knows_agents || !(holds("agent_id\"") || holds("lease_token\"")) {
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
        let agent = |tool: &str, text: &str| Caller::of(tool, text).agent;
        assert_eq!(agent("update_agent", r#"{"agent_id":"a\u0031","x":{"agent_id":"b"}}"#).as_deref(), Some("a1"));
        for text in ["{}", "", "null", r#"{"x":{"agent_id":"b"}}"#, r#"{"agent_id":7}"#, r#"{"agent_id":""}"#] {
            assert_eq!(agent("update_agent", text), None, "{text}");
        }
        assert_eq!(agent("execute_query", r#"{"agent_id":"a"}"#), None);
        assert_eq!(Caller::of("update_agent", r#"{"lease_token":"tk_1.1.s"}"#).lease.as_deref(), Some("tk_1.1.s"));
    }
}
