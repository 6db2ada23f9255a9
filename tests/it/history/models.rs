//! What locks, tasks and versions do when one operation happens at a time.

use super::search::{Model, Op};

/// A server process: each has a name of its own as agent.
pub type Process = String;

/// Of one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// Taken, under this fence and until then.
    Taken {
        by: Process,
        fence: i64,
        until: i64,
    },
    /// Somebody wanted it, and was told that this one holds it.
    Held {
        by: Process,
    },
    /// Prolonged until then.
    Renewed {
        fence: i64,
        until: i64,
    },
    Released {
        fence: i64,
    },
    /// Renewing or releasing came too late.
    Lost {
        fence: i64,
    },
    /// It was asked for, and nobody knows what came of it.
    Wanted {
        by: Process,
    },
    /// The same of letting it go.
    Returned {
        fence: i64,
    },
    /// The process was killed.
    Gone {
        process: Process,
    },
}

/// A holder; none of what is unknown of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    by: Process,
    fence: Option<i64>,
    until: Option<i64>,
}

pub struct Locks;

impl Model for Locks {
    /// The newest fence, and who holds it.
    type State = (i64, Option<Holder>);
    type Op = Lock;

    fn start(&self) -> Self::State {
        (0, None)
    }

    fn next(&self, (newest, holder): &Self::State, op: &Op<Lock>) -> Option<Self::State> {
        let holds = |fence: i64| holder.as_ref().filter(|holder| holder.fence == Some(fence));
        let ended = |holder: &Holder| holder.until.is_none_or(|until| op.ended.is_some_and(|ended| until <= ended));
        match &op.what {
            Lock::Taken { by, fence, until } => {
                let is_free = holder.as_ref().is_none_or(ended) && fence > newest;
                // It was let go of, or so it was said, and goes on.
                let goes_on = holder.as_ref().is_some_and(|holder| holder.by == *by && holder.fence == Some(*fence));
                let taken = Holder { by: by.clone(), fence: Some(*fence), until: Some(*until) };
                (is_free || goes_on).then_some((*fence, Some(taken)))
            }
            Lock::Held { by } => {
                holder.as_ref().is_some_and(|holder| holder.by == *by).then(|| (*newest, holder.clone()))
            }
            // An end that was answered never moves back.
            Lock::Renewed { fence, until } => holds(*fence)
                .filter(|holder| holder.until.is_none_or(|answered| answered <= *until))
                .map(|holder| (*newest, Some(Holder { until: Some(*until), ..holder.clone() }))),
            Lock::Released { fence } => holds(*fence).map(|_| (*newest, None)),
            Lock::Lost { fence } => holds(*fence).is_none_or(ended).then(|| (*newest, holder.clone())),
            Lock::Wanted { by } => {
                let taken = Holder { by: by.clone(), fence: None, until: None };
                Some((*newest, Some(taken))).filter(|_| holder.as_ref().is_none_or(|holder| holder.until.is_none()))
            }
            Lock::Returned { fence } => holds(*fence).map(|_| (*newest, None)),
            Lock::Gone { process } => {
                holder.as_ref().is_some_and(|holder| holder.by == *process).then_some((*newest, None))
            }
        }
    }
}

/// Of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    Claimed {
        by: Process,
        fence: i64,
    },
    /// Its turn was ended: it is completed, or free again.
    Ended {
        fence: i64,
        completed: bool,
    },
    /// That came too late.
    Lost {
        fence: i64,
        completed: bool,
    },
    /// A process asked for some task, and nobody knows which it got.
    Wanted {
        by: Process,
    },
    /// Somebody ended its turn, and nobody knows whether that counted.
    Returned {
        fence: i64,
        completed: bool,
    },
    /// The process was killed.
    Gone {
        process: Process,
    },
}

pub struct Tasks;

impl Model for Tasks {
    /// Its fence, who has it, whether it is done.
    type State = (i64, Option<Process>, bool);
    type Op = Task;

    fn start(&self) -> Self::State {
        (0, None, false)
    }

    fn next(&self, (fence, holder, done): &Self::State, op: &Op<Task>) -> Option<Self::State> {
        let is_free = !done && holder.is_none();
        // One whose process is gone can be completed as long as nobody has claimed it since, and not let go of.
        let may_end = |of: i64, completed: bool| !done && of == *fence && (completed || holder.is_some());
        match &op.what {
            Task::Claimed { by, fence: new } => (is_free && *new == fence + 1).then(|| (*new, Some(by.clone()), false)),
            Task::Wanted { by } => is_free.then(|| (fence + 1, Some(by.clone()), false)),
            Task::Ended { fence: of, completed } | Task::Returned { fence: of, completed } => {
                let next = if *completed { (*fence, None, true) } else { (fence + 1, None, false) };
                may_end(*of, *completed).then_some(next)
            }
            Task::Lost { fence: of, completed } => (!may_end(*of, *completed)).then(|| (*fence, holder.clone(), *done)),
            Task::Gone { process } => (holder.as_ref() == Some(process)).then_some((*fence, None, false)),
        }
    }
}

/// Of one workflow's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Changed by who knew this one.
    Changed { expected: i64 },
    /// Refused, because it was this one.
    Refused { expected: i64, current: i64 },
    /// Nobody knows.
    Wanted { expected: i64 },
}

/// From the version on that it was made with.
pub struct Versions(pub i64);

impl Model for Versions {
    type State = i64;
    type Op = Version;

    fn start(&self) -> i64 {
        self.0
    }

    fn next(&self, version: &i64, op: &Op<Version>) -> Option<i64> {
        match op.what {
            Version::Changed { expected } | Version::Wanted { expected } => {
                (expected == *version).then_some(version + 1)
            }
            Version::Refused { expected, current } => (current == *version && expected != current).then_some(current),
        }
    }
}
