//! Wing and Gong's search: whether there is an order in which operations that overlapped could have happened one after the other, so that
//! each was answered what it was.

use std::{collections::HashSet, hash::Hash};

/// What was asked of one thing, and what was answered. Times are microseconds since 1970.
#[derive(Debug, Clone)]
pub struct Op<A> {
    /// It cannot have happened before.
    pub began: i64,
    /// It has happened by then. None: nobody knows whether it ever did.
    pub ended: Option<i64>,
    /// Question and answer.
    pub what: A,
}

/// How a thing behaves to which one operation happens at a time.
pub trait Model {
    type State: Clone + Eq + Hash + std::fmt::Debug;
    type Op: std::fmt::Debug;

    fn start(&self) -> Self::State;

    /// What it is after the operation; none: it would have been answered otherwise, or, where there was no answer, would have changed nothing.
    fn next(&self, state: &Self::State, op: &Op<Self::Op>) -> Option<Self::State>;
}

/// An order of all that were answered; else how far the longest got, with what it was then.
pub fn order<M: Model>(model: &M, ops: &[Op<M::Op>]) -> Result<(), String> {
    let mut sorted: Vec<&Op<M::Op>> = ops.iter().collect();
    sorted.sort_by_key(|op| op.began);
    let mut search = Search { model, ops: sorted, done: Vec::new(), seen: HashSet::new(), longest: (0, String::new()) };
    search.done.resize(search.ops.len(), false);
    if search.has_an_order(model.start()) {
        return Ok(());
    }
    let (count, at) = search.longest;
    let all: String = search.ops.iter().map(|op| format!("{op:?}\n")).collect();
    Err(format!("{count} of {} operations have an order, then: {at}\nall:\n{all}", search.ops.len()))
}

struct Search<'a, M: Model> {
    model: &'a M,
    ops: Vec<&'a Op<M::Op>>,
    done: Vec<bool>,
    seen: HashSet<(Vec<bool>, M::State)>,
    longest: (usize, String),
}

/// A state on the way, with the operations that may come next and that are not tried yet.
struct Step<S> {
    state: S,
    open: std::vec::IntoIter<usize>,
    /// The one that was tried last.
    tried: Option<usize>,
}

impl<M: Model> Search<'_, M> {
    /// Depth first, over a path of its own: a history is longer than a thread's stack is deep.
    fn has_an_order(&mut self, start: M::State) -> bool {
        let Some(open) = self.open(&start) else { return true };
        let mut path = vec![Step { state: start, open: open.into_iter(), tried: None }];
        while let Some(step) = path.last_mut() {
            if let Some(place) = step.tried.take() {
                self.done[place] = false;
            }
            let Some(place) = step.open.next() else {
                path.pop();
                continue;
            };
            let Some(next) = self.model.next(&step.state, self.ops[place]) else { continue };
            self.done[place] = true;
            step.tried = Some(place);
            let Some(open) = self.open(&next) else { return true };
            path.push(Step { state: next, open: open.into_iter(), tried: None });
        }
        false
    }

    /// The operations that may come next; none of them where this was tried before. None: all that were answered are done.
    fn open(&mut self, state: &M::State) -> Option<Vec<usize>> {
        let left = |(place, op): (usize, &&Op<M::Op>)| (!self.done[place]).then_some(op.ended).flatten();
        // Whoever has ended by then must come before what begins later.
        let first_end = self.ops.iter().enumerate().filter_map(left).min()?;
        if !self.seen.insert((self.done.clone(), state.clone())) {
            return Some(Vec::new());
        }
        let open = |place: &usize| !self.done[*place] && self.ops[*place].began <= first_end;
        let mut open: Vec<usize> = (0..self.ops.len()).filter(open).collect();
        let count = self.done.iter().filter(|done| **done).count();
        if count >= self.longest.0 {
            let ops: Vec<_> = open.iter().map(|place| self.ops[*place]).collect();
            self.longest = (count, format!("{state:?} and {ops:?}"));
        }
        // What nobody was told of is needed only where the others have no order without it.
        open.sort_by_key(|place| self.ops[*place].ended.is_none());
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::{Model, Op, order};

    /// A number that is set, and read.
    struct Register;

    #[derive(Debug)]
    enum Said {
        Set(i32),
        Read(i32),
    }

    impl Model for Register {
        type State = i32;
        type Op = Said;

        fn start(&self) -> i32 {
            0
        }

        fn next(&self, state: &i32, op: &Op<Said>) -> Option<i32> {
            match op.what {
                Said::Set(value) => Some(value),
                Said::Read(value) => (value == *state).then_some(value),
            }
        }
    }

    fn op(began: i64, ended: Option<i64>, what: Said) -> Op<Said> {
        Op { began, ended, what }
    }

    #[test]
    fn what_overlapped_may_have_happened_in_either_order_and_nothing_else() {
        use Said::{Read, Set};
        let overlapping = |read| [op(0, Some(10), Set(1)), op(5, Some(15), Set(2)), op(20, Some(25), Read(read))];
        assert!(order(&Register, &overlapping(1)).is_ok() && order(&Register, &overlapping(2)).is_ok());
        assert!(order(&Register, &overlapping(0)).is_err());
        let apart = [op(0, Some(1), Set(1)), op(2, Some(3), Set(2)), op(4, Some(5), Read(1))];
        assert!(order(&Register, &apart).is_err());
        // What nobody was told of may have happened late, or never.
        for read in [[0, 0, 1], [0, 1, 1], [0, 0, 0]] {
            let reads = read.iter().zip([10, 20, 30]).map(|(value, at)| op(at, Some(at + 5), Read(*value)));
            let history: Vec<_> = reads.chain([op(0, None, Set(1))]).collect();
            assert!(order(&Register, &history).is_ok(), "{read:?}");
        }
        let back = [op(0, None, Set(1)), op(10, Some(15), Read(1)), op(20, Some(25), Read(0))];
        assert!(order(&Register, &back).is_err());
    }
}
