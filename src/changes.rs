//! Who waits for what, within this process. Stores tell it what a commit has touched; services register before they look, and wait.
//!
//! A wake-up says "look again", never what is there: it may come without a change, and a waiter looks again after a while all the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// What a commit can touch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A task of this queue can be claimed.
    Queue(String),
    /// A workflow or one of its tasks is not what it was.
    Workflow(String),
    /// A lock was let go of.
    Lock(String),
    /// There are events to publish.
    Events,
}

impl Topic {
    /// As one word, for other processes.
    pub fn word(&self) -> String {
        match self {
            Self::Queue(name) => format!("q:{name}"),
            Self::Workflow(id) => format!("w:{id}"),
            Self::Lock(resource) => format!("l:{resource}"),
            Self::Events => "e".to_owned(),
        }
    }

    /// Reads [`Topic::word`].
    pub fn parse(word: &str) -> Option<Self> {
        if word == "e" {
            return Some(Self::Events);
        }
        let (kind, name) = word.split_once(':')?;
        match kind {
            "q" => Some(Self::Queue(name.to_owned())),
            "w" => Some(Self::Workflow(name.to_owned())),
            "l" => Some(Self::Lock(name.to_owned())),
            _ => None,
        }
    }
}

/// What somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Interest {
    /// One topic.
    In(Topic),
    /// A task of any queue.
    AnyQueue,
}

/// Who waits in this process. Share it by `Arc`.
#[derive(Debug)]
pub struct Changes {
    waiting: Mutex<Waiting>,
    count: watch::Sender<usize>,
    told: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    newest: u64,
    /// Nobody waits longer than this: the process is about to end.
    until: Option<Instant>,
    by_interest: HashMap<Interest, HashMap<u64, Arc<Notify>>>,
}

/// A place among those who wait. Dropping it gives it up.
#[derive(Debug)]
pub struct Watch {
    changes: Arc<Changes>,
    interests: Vec<Interest>,
    number: u64,
    notify: Arc<Notify>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { waiting: Mutex::default(), count: watch::Sender::new(0), told: watch::Sender::new(0) }
    }
}

impl Changes {
    /// Waits for any of `interests`. What changes from now on wakes it, also before [`Watch::changed`] is called.
    pub fn watch(self: &Arc<Self>, interests: Vec<Interest>) -> Watch {
        let notify = Arc::new(Notify::new());
        let number = {
            let mut waiting = self.waiting();
            waiting.newest += 1;
            let number = waiting.newest;
            for interest in &interests {
                waiting.by_interest.entry(interest.clone()).or_default().insert(number, Arc::clone(&notify));
            }
            number
        };
        self.count.send_modify(|count| *count += 1);
        Watch { changes: Arc::clone(self), interests, number, notify }
    }

    /// Wakes who waits for one of `topics`.
    pub fn tell<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) {
        let waiting = self.waiting();
        let wake = |interest: &Interest| {
            waiting.by_interest.get(interest).into_iter().flatten().for_each(|(_, notify)| notify.notify_one());
        };
        let mut topics = topics.into_iter().peekable();
        if topics.peek().is_some() {
            self.told.send_modify(|times| *times += 1);
        }
        for topic in topics {
            if matches!(topic, Topic::Queue(_)) {
                wake(&Interest::AnyQueue);
            }
            wake(&Interest::In(topic.clone()));
        }
    }

    /// Wakes everybody: something changed, and it is not known what.
    pub fn tell_all(&self) {
        let waiting = self.waiting();
        waiting.by_interest.values().flatten().for_each(|(_, notify)| notify.notify_one());
    }

    /// Nobody waits longer than until `by`, whatever was asked for: the process is about to end.
    pub fn end_waits(&self, by: Instant) {
        {
            let mut waiting = self.waiting();
            waiting.until = Some(waiting.until.map_or(by, |until| until.min(by)));
        }
        self.tell_all();
    }

    /// Until when a call may wait that wants to wait until `deadline`. To be asked after [`Changes::watch`], so that a change of it wakes.
    pub fn no_later_than(&self, deadline: Instant) -> Instant {
        self.waiting().until.map_or(deadline, |until| until.min(deadline))
    }

    /// How many wait, for who looks for changes on their behalf only while somebody does.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// How often something was told here. Who looks at this does not count as waiting.
    pub fn told(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Resolves at once when something changed since the last time, else when it does.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = self.changes.waiting();
        for interest in &self.interests {
            if let Some(places) = waiting.by_interest.get_mut(interest) {
                places.remove(&self.number);
                if places.is_empty() {
                    waiting.by_interest.remove(interest);
                }
            }
        }
        drop(waiting);
        self.changes.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::{Changes, Interest, Topic};

    #[tokio::test]
    async fn who_waits_is_woken_for_what_it_waits_for_and_forgotten_when_it_goes() {
        let changes = Arc::new(Changes::default());
        let any = changes.watch(vec![Interest::AnyQueue]);
        let one =
            changes.watch(vec![Interest::In(Topic::Queue("a".into())), Interest::In(Topic::Workflow("w".into()))]);
        changes.tell(&[Topic::Queue("b".into())]);
        assert!(any.changed().now_or_never().is_some() && one.changed().now_or_never().is_none());
        changes.tell(&[Topic::Workflow("w".into())]);
        assert!(any.changed().now_or_never().is_none() && one.changed().now_or_never().is_some());
        changes.tell_all();
        assert!(any.changed().now_or_never().is_some() && one.changed().now_or_never().is_some());
        assert_eq!(*changes.count().borrow(), 2);
        let (soon, late) = (Instant::now(), Instant::now() + Duration::from_mins(1));
        assert_eq!(changes.no_later_than(late), late);
        changes.end_waits(soon);
        changes.end_waits(late);
        assert!(any.changed().now_or_never().is_some());
        assert_eq!(changes.no_later_than(late), soon);
        drop((any, one));
        assert_eq!(*changes.count().borrow(), 0);
        assert!(changes.waiting().by_interest.is_empty());
    }

    #[test]
    fn a_topic_travels_as_a_word() {
        for topic in
            [Topic::Queue("a:b".into()), Topic::Workflow("wf_1".into()), Topic::Lock("x".into()), Topic::Events]
        {
            assert_eq!(Topic::parse(&topic.word()), Some(topic));
        }
        assert_eq!(Topic::parse("nonsense"), None);
    }
}
