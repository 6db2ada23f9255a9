//! Transitions that may run side by side in one transaction.

/// What a transition has to itself: it may run beside others of its kind that share none of its keys.
///
/// Side by side, the statements of one fall between those of another, and locks of rows do not keep them apart. So each of them decides by a
/// statement that also changes what it decided about, or under a [`hold`](super::Session::hold).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Those it may run beside.
    pub kind: Kind,
    /// What no two of them may have in common: ids of what they change, and keys of calls.
    pub keys: Vec<String>,
}

/// Kinds of transitions that may run beside others of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A new workflow.
    Create,
    /// Leases for an agent.
    Claim,
    /// The end of a worker's turn.
    Finish,
    /// What changes agents, one after the other: their rows come after those of workflows and tasks, also in a transaction of several callers.
    Last,
}

impl Beside {
    /// Of a kind; `keys` that are there.
    pub fn of<'a>(kind: Kind, keys: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self { kind, keys: keys.into_iter().flatten().map(str::to_owned).collect() }
    }

    /// Beside none, and after all others.
    pub fn last() -> Self {
        Self::of(Kind::Last, [])
    }

    /// Whether it comes after all others.
    pub fn is_last(&self) -> bool {
        self.kind == Kind::Last
    }

    /// Whether both may run at the same time.
    pub fn fits(&self, other: &Self) -> bool {
        self.kind == other.kind && !self.is_last() && self.keys.iter().all(|key| !other.keys.contains(key))
    }
}
