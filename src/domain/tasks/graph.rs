//! The graph of a workflow's tasks: who waits for whom.

use std::collections::{HashMap, VecDeque};

/// What is wrong with a graph. Numbers are places in the list of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Two tasks have the same key.
    SameKey {
        /// The later one.
        task: usize,
        /// The key.
        key: String,
    },
    /// A task waits for a key that no task has.
    UnknownKey {
        /// Which task.
        task: usize,
        /// The key it names.
        key: String,
    },
    /// Tasks wait for each other in a circle.
    Cycle {
        /// Keys, in the order in which they wait.
        keys: Vec<String>,
    },
    /// The longest chain of tasks is longer than allowed.
    TooDeep {
        /// Tasks in the longest chain.
        depth: usize,
    },
}

/// For each task, given by its key and the keys it names, the places of those it waits for, each once. Nobody waits for one without a key.
///
/// # Errors
/// The first fault found.
pub fn resolve(tasks: &[(Option<&str>, &[String])], depth_max: usize) -> Result<Vec<Vec<usize>>, Fault> {
    let mut places = HashMap::new();
    for (place, (key, _)) in tasks.iter().enumerate() {
        if let Some(key) = key
            && places.insert(*key, place).is_some()
        {
            return Err(Fault::SameKey { task: place, key: (*key).to_owned() });
        }
    }
    let mut waits_for = Vec::with_capacity(tasks.len());
    for (task, (_, named)) in tasks.iter().enumerate() {
        let mut found = Vec::with_capacity(named.len());
        for key in *named {
            let place =
                places.get(key.as_str()).copied().ok_or_else(|| Fault::UnknownKey { task, key: key.clone() })?;
            if !found.contains(&place) {
                found.push(place);
            }
        }
        waits_for.push(found);
    }
    match longest_chain(&waits_for) {
        None => Err(Fault::Cycle { keys: cycle(tasks, &waits_for) }),
        Some(depth) if depth > depth_max => Err(Fault::TooDeep { depth }),
        Some(_) => Ok(waits_for),
    }
}

/// Tasks in the longest chain; none when there is a circle. Takes away what waits for nothing, over and over (Kahn 1962).
fn longest_chain(waits_for: &[Vec<usize>]) -> Option<usize> {
    let mut open: Vec<usize> = waits_for.iter().map(Vec::len).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); waits_for.len()];
    for (task, named) in waits_for.iter().enumerate() {
        for place in named {
            dependents.get_mut(*place)?.push(task);
        }
    }
    let mut depth = vec![1_usize; waits_for.len()];
    let mut free: VecDeque<usize> = (0..open.len()).filter(|task| open.get(*task) == Some(&0)).collect();
    let mut taken = 0;
    while let Some(task) = free.pop_front() {
        taken += 1;
        let below = *depth.get(task)?;
        for dependent in dependents.get(task)? {
            let level = depth.get_mut(*dependent)?;
            *level = (*level).max(below + 1);
            let left = open.get_mut(*dependent)?;
            *left -= 1;
            if *left == 0 {
                free.push_back(*dependent);
            }
        }
    }
    (taken == waits_for.len()).then(|| depth.into_iter().max().unwrap_or_default())
}

/// One circle: from a task that is part of one, along the first that is, until one comes again.
fn cycle(tasks: &[(Option<&str>, &[String])], waits_for: &[Vec<usize>]) -> Vec<String> {
    // Whoever is left when all that waits for nothing is taken away waits for somebody who is left.
    let mut left: Vec<bool> = vec![true; waits_for.len()];
    while let Some(free) = (0..left.len()).find(|task| {
        left.get(*task) == Some(&true)
            && waits_for.get(*task).is_some_and(|named| named.iter().all(|place| left.get(*place) != Some(&true)))
    }) {
        if let Some(place) = left.get_mut(free) {
            *place = false;
        }
    }
    let Some(mut task) = left.iter().position(|is_left| *is_left) else { return Vec::new() };
    let mut path: Vec<usize> = Vec::new();
    while !path.contains(&task) {
        path.push(task);
        let next = waits_for.get(task).and_then(|named| named.iter().find(|place| left.get(**place) == Some(&true)));
        match next {
            Some(next) => task = *next,
            None => return Vec::new(),
        }
    }
    let start = path.iter().position(|place| *place == task).unwrap_or_default();
    let key = |place: &usize| tasks.get(*place).and_then(|(key, _)| key.map(str::to_owned));
    path.get(start..).unwrap_or_default().iter().chain([&task]).filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::{Fault, resolve};

    fn graph(tasks: &[(&'static str, &[&str])]) -> Result<Vec<Vec<usize>>, Fault> {
        let owned: Vec<(&str, Vec<String>)> =
            tasks.iter().map(|(key, named)| (*key, named.iter().map(|name| (*name).to_owned()).collect())).collect();
        let borrowed: Vec<(Option<&str>, &[String])> =
            owned.iter().map(|(key, named)| (Some(*key).filter(|key| !key.is_empty()), named.as_slice())).collect();
        resolve(&borrowed, 3)
    }

    #[test]
    fn a_graph_is_resolved_or_its_fault_named() {
        assert_eq!(graph(&[]), Ok(vec![]));
        assert_eq!(graph(&[("b", &["a", "a"]), ("a", &[])]), Ok(vec![vec![1], vec![]]));
        assert_eq!(graph(&[("a", &[]), ("a", &[])]), Err(Fault::SameKey { task: 1, key: "a".into() }));
        // Without a key there may be many, and none is waited for.
        assert_eq!(graph(&[("", &["a"]), ("", &["a"]), ("a", &[])]), Ok(vec![vec![2], vec![2], vec![]]));
        assert_eq!(graph(&[("", &[]), ("a", &[""])]), Err(Fault::UnknownKey { task: 1, key: String::new() }));
        assert_eq!(graph(&[("a", &["x"])]), Err(Fault::UnknownKey { task: 0, key: "x".into() }));
        assert_eq!(graph(&[("a", &["a"])]), Err(Fault::Cycle { keys: vec!["a".into(), "a".into()] }));
        let Err(Fault::Cycle { keys }) = graph(&[("s", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]) else {
            panic!("a circle")
        };
        assert_eq!(keys.len(), 4);
        assert_eq!(keys.first(), keys.last());
        assert!(!keys.contains(&"s".to_owned()));
        assert_eq!(graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"])]), Err(Fault::TooDeep { depth: 4 }));
    }
}
