//! Whether all changes of a version have an order in which each was right when it happened: the search of Wing and Gong (1993), with Lowe's
//! memory of what was tried (2017).

use std::collections::HashSet;

use super::worker::{Told, What};

/// A call or its return, in the order of time.
struct Entry {
    call: usize,
    is_return: bool,
}

/// Entries that are still to be placed, as a list from which they can be lifted and put back.
struct Left {
    entries: Vec<Entry>,
    /// Of each call the place of its return, if it has one.
    returns: Vec<Option<usize>>,
    next: Vec<usize>,
    before: Vec<usize>,
}

/// In front of the first entry.
const HEAD: usize = 0;
const END: usize = usize::MAX;

impl Left {
    fn of(calls: &[&Told]) -> Self {
        let mut moments: Vec<(u64, usize, bool)> = Vec::new();
        for (call, told) in calls.iter().enumerate() {
            moments.push((told.from, call, false));
            moments.extend(told.to.map(|to| (to, call, true)));
        }
        // Of one moment first the calls: then they overlap.
        moments.sort_by_key(|(at, _, is_return)| (*at, *is_return));
        let entries: Vec<Entry> = std::iter::once(Entry { call: END, is_return: false })
            .chain(moments.into_iter().map(|(_, call, is_return)| Entry { call, is_return }))
            .collect();
        let mut returns = vec![None; calls.len()];
        for (place, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.is_return) {
            returns[entry.call] = Some(place);
        }
        let count = entries.len();
        let next = (1..count).chain([END]).collect();
        Self { entries, returns, next, before: (0..count).map(|place| place.wrapping_sub(1)).collect() }
    }

    fn take(&mut self, place: usize) {
        let (before, next) = (self.before[place], self.next[place]);
        self.next[before] = next;
        if next != END {
            self.before[next] = before;
        }
    }

    fn put_back(&mut self, place: usize) {
        let (before, next) = (self.before[place], self.next[place]);
        self.next[before] = place;
        if next != END {
            self.before[next] = place;
        }
    }

    fn lift(&mut self, place: usize) {
        self.take(place);
        if let Some(of_return) = self.returns[self.entries[place].call] {
            self.take(of_return);
        }
    }

    fn unlift(&mut self, place: usize) {
        if let Some(of_return) = self.returns[self.entries[place].call] {
            self.put_back(of_return);
        }
        self.put_back(place);
    }
}

/// The version after a call, if it can have happened at `version`. Others may raise it too: an agent that is lost is at a new one.
fn after(version: i64, what: &What) -> Option<i64> {
    match what {
        What::Change { expected, .. } => (version <= *expected).then_some(expected + 1),
        What::Conflict { expected, version: seen, .. } => (version <= *seen && seen != expected).then_some(*seen),
        _ => None,
    }
}

/// Whether the calls have an order. One that has no return may have happened or not.
fn has_order(calls: &[&Told]) -> bool {
    let mut left = Left::of(calls);
    let (mut version, mut at) = (1, left.next[HEAD]);
    let mut placed = vec![0_u64; calls.len().div_ceil(64)];
    let mut tried: HashSet<(Vec<u64>, i64)> = HashSet::new();
    let mut way: Vec<(usize, i64)> = Vec::new();
    loop {
        if at == END {
            // Only calls without a return are left.
            return true;
        }
        let call = left.entries[at].call;
        if !left.entries[at].is_return {
            let flip = |placed: &mut Vec<u64>| placed[call / 64] ^= 1 << (call % 64);
            if let Some(next) = after(version, &calls[call].what) {
                flip(&mut placed);
                if tried.insert((placed.clone(), next)) {
                    way.push((at, version));
                    version = next;
                    left.lift(at);
                    at = left.next[HEAD];
                    continue;
                }
                flip(&mut placed);
            }
            at = left.next[at];
            continue;
        }
        let Some((last, version_before)) = way.pop() else { return false };
        let call = left.entries[last].call;
        placed[call / 64] ^= 1 << (call % 64);
        version = version_before;
        left.unlift(last);
        at = left.next[last];
    }
}

/// Every register by itself.
pub fn check_versions(told: &[Told], words: &str) {
    let of = |told: &Told| match told.what {
        What::Change { register, .. } | What::Conflict { register, .. } => Some(register),
        _ => None,
    };
    let registers: HashSet<u64> = told.iter().filter_map(of).collect();
    assert!(!registers.is_empty());
    for register in registers {
        let calls: Vec<&Told> = told.iter().filter(|told| of(told) == Some(register)).collect();
        let changes = calls.iter().filter(|told| told.to.is_some() && matches!(told.what, What::Change { .. }));
        assert!(changes.count() > 10, "{words}: hardly a change");
        assert!(has_order(&calls), "{words}: the versions of register {register} have no order: {calls:#?}");
    }
}

#[test]
fn an_order_is_found_where_there_is_one_and_not_where_there_is_none() {
    let told = |from: u64, to: Option<u64>, what: What| Told { worker: 0, from, to, what };
    let change = |expected: i64| What::Change { register: 0, expected };
    let conflict = |expected: i64, version: i64| What::Conflict { register: 0, expected, version };
    for (calls, right) in [
        (vec![told(0, Some(2), change(1)), told(1, Some(3), change(2))], true),
        // The second ended before the first began.
        (vec![told(4, Some(5), change(1)), told(1, Some(3), change(2))], false),
        // Two from the same version.
        (vec![told(0, Some(9), change(1)), told(1, Some(9), change(1))], false),
        // One of unknown outcome explains what was seen, or did not happen.
        (vec![told(0, None, change(1)), told(5, Some(6), conflict(1, 2))], true),
        (vec![told(0, None, change(1)), told(5, Some(6), change(1))], true),
        // What was seen is older than what was answered before.
        (vec![told(0, Some(1), change(1)), told(1, Some(2), change(2)), told(3, Some(4), conflict(1, 2))], false),
        (vec![told(0, Some(4), change(1)), told(1, Some(2), conflict(3, 2)), told(2, Some(5), change(2))], true),
    ] {
        let calls: Vec<&Told> = calls.iter().collect();
        assert_eq!(has_order(&calls), right, "{calls:?}");
    }
}
