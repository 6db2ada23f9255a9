//! What only one may have at a time: from when to when a worker surely had it.

use std::collections::HashMap;

use super::worker::{LEASE_MS, Told, What};

/// From when to when, by whom. Microseconds.
#[derive(Debug)]
struct Span {
    from: u64,
    to: u64,
    worker: usize,
    number: i64,
}

/// When the worker's server was killed next, after `from`.
fn gone(told: &[Told], worker: usize, from: u64) -> u64 {
    let gone = told.iter().filter(|told| told.worker == worker && matches!(told.what, What::Gone));
    gone.map(|told| told.from).filter(|at| *at >= from).min().unwrap_or(u64::MAX)
}

fn apart<K: std::fmt::Debug>(kept: HashMap<K, Vec<Span>>, words: &str) {
    for (what, mut spans) in kept {
        spans.sort_by_key(|span| span.from);
        for (place, span) in spans.iter().enumerate() {
            let others = spans.iter().skip(place + 1).take_while(|other| other.from < span.to);
            for other in others {
                assert!(
                    (other.number, other.worker) == (span.number, span.worker),
                    "{words}: {what:?} was held twice: {span:?} and {other:?}"
                );
            }
        }
    }
}

/// Of each lock one holder at a time, fences in the order in which it was held, and ends that never move back.
pub fn check_locks(told: &[Told], words: &str) {
    let mut spans: HashMap<u64, Vec<Span>> = HashMap::new();
    let mut ends: HashMap<(u64, i64), Vec<(&Told, &str)>> = HashMap::new();
    for one in told {
        let (What::Lock { resource, fence, ttl, expires_at }, Some(to)) = (&one.what, one.to) else { continue };
        let released = told.iter().find(
            |later| matches!(later.what, What::Unlock { resource: r, fence: f } if (r, f) == (*resource, *fence)),
        );
        let end =
            (one.from + ttl).min(gone(told, one.worker, one.from)).min(released.map_or(u64::MAX, |told| told.from));
        if to < end {
            spans.entry(*resource).or_default().push(Span { from: to, to: end, worker: one.worker, number: *fence });
        }
        ends.entry((*resource, *fence)).or_default().push((one, expires_at));
        for later in told {
            let What::Lock { resource: other, fence: next, .. } = &later.what else { continue };
            assert!(
                other != resource || later.from <= to || next >= fence,
                "{words}: a fence went back: {one:?} and then {later:?}"
            );
        }
    }
    for (lock, answers) in ends {
        for (one, end) in &answers {
            let back = answers.iter().find(|(later, other)| Some(later.from) > one.to && other < end);
            assert!(back.is_none(), "{words}: the end of {lock:?} moved back from {one:?} to {back:?}");
        }
    }
    assert!(spans.values().map(Vec::len).sum::<usize>() > 10, "{words}: hardly a lock was held");
    apart(spans, words);
}

/// Of each task one worker at a time, and one end.
pub fn check_tasks(told: &[Told], words: &str) {
    let mut spans: HashMap<&str, Vec<Span>> = HashMap::new();
    let mut finished: HashMap<&str, Vec<&Told>> = HashMap::new();
    for one in told {
        match (&one.what, one.to) {
            (What::Claim { task, attempt }, Some(to)) => {
                let asked = told.iter().find(
                    |later| matches!(&later.what, What::Finish { task: t, attempt: a } if (t, a) == (task, attempt)),
                );
                let end = (one.from + LEASE_MS * 1_000).min(gone(told, one.worker, one.from));
                let end = end.min(asked.map_or(u64::MAX, |told| told.from));
                if to < end {
                    spans.entry(task).or_default().push(Span {
                        from: to,
                        to: end,
                        worker: one.worker,
                        number: *attempt,
                    });
                }
                let claims =
                    told.iter().filter(|later| matches!(&later.what, What::Claim { task: t, .. } if t == task));
                for later in claims.filter(|later| later.from > to) {
                    let What::Claim { attempt: next, .. } = &later.what else { continue };
                    assert!(next > attempt, "{words}: an attempt came again: {one:?} and then {later:?}");
                }
            }
            (What::Finish { task, .. }, Some(_)) => finished.entry(task).or_default().push(one),
            _ => {}
        }
    }
    for (task, ends) in &finished {
        assert!(ends.len() == 1, "{words}: {task} was finished twice: {ends:?}");
    }
    assert!(finished.len() > 10, "{words}: hardly a task was finished");
    apart(spans, words);
}
