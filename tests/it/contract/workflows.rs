//! What every store of workflows must do: each row of the table of workflows, and what is said about versions, limits and retention.

mod ends;
mod races;

use std::sync::Arc;

use callboard::{
    domain::{
        idempotency::Repeat,
        money::Micros,
        tasks::{
            Cost, NewTask,
            OnDependencyFailure::{Continue, Park},
            State as Task,
            answers::Change,
        },
        workflows::{Action, NewWorkflow, OnTaskFailure, State},
    },
    store::{
        Store,
        tasks::{EnqueueRefused, Finish, LeaseRefused, Update},
        workflows::{ChangeRefused, Control, Create, CreateRefused, Find, History, List, Part},
    },
};

use crate::support::flows::{Board, LEASE_MS, after, after_or, completed, failed, flow, json, key, task};

async fn begins_with_its_first_claim_or_when_it_is_started(store: &Arc<Store>) {
    let board = Board::new(store, "begins");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
    let (workflow, _) = board.look(&made.id).await;
    assert_eq!((workflow.state, workflow.version, workflow.started_at), (State::Pending, 1, None));
    board.pass_ms(1_000);
    let started = board.now();
    board.one().await;
    board.pass_ms(1_000);
    board.one().await;
    let (workflow, _) = board.look(&made.id).await;
    assert_eq!((workflow.state, workflow.version, workflow.started_at), (State::Running, 4, Some(started)));
    let refused = board.control(&made.id, Action::Start).await.unwrap_err();
    assert_eq!(refused, ChangeRefused::State { state: State::Running, version: 4 });
    let made = board.create(flow(OnTaskFailure::Fail, vec![])).await;
    let changed = board.control(&made.id, Action::Start).await.unwrap();
    assert_eq!((changed.state, changed.version), (State::Running, 2));
    // Started when all that could be done waits for an answer, it waits too.
    let made = board.create(flow(OnTaskFailure::Continue, vec![task("a"), after_or("b", &[0], Park)])).await;
    board.manage(Change::Cancel, &[&made.tasks[0]]).await.unwrap();
    assert_eq!(board.states(&made.id).await, (State::Pending, vec![Task::Cancelled, Task::Parked]));
    assert_eq!(board.control(&made.id, Action::Start).await.unwrap().state, State::Waiting);
    board.look(&made.id).await;
}

async fn gives_nothing_to_do_while_it_is_paused(store: &Arc<Store>) {
    let board = Board::new(store, "paused");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b"), after("c", &[0])])).await;
    let claimed = board.one().await;
    assert_eq!(board.control(&made.id, Action::Pause).await.unwrap().state, State::Paused);
    assert!(board.claim("agent", 9).await.is_empty());
    // Leases run on, and what is added or freed is held too.
    assert!(board.update(&claimed.lease).await.unwrap().lease_until.is_some());
    store.enqueue_tasks(board.enqueue(Some(&made.id), vec![task("d")])).await.unwrap().unwrap();
    let done = board.finish(&claimed.lease, completed()).await.unwrap();
    assert_eq!((done.workflow_state, done.unblocked), (Some(State::Paused), vec![]));
    assert!(board.claim("agent", 9).await.is_empty());
    assert_eq!(board.states(&made.id).await.1, [Task::Completed, Task::Ready, Task::Ready, Task::Ready]);
    assert!(board.control(&made.id, Action::Pause).await.is_err());
    assert!(!board.look(&made.id).await.0.needs_attention);
    assert_eq!(board.control(&made.id, Action::Resume).await.unwrap().state, State::Running);
    assert_eq!(board.claim("agent", 9).await.len(), 3);
    // What was paused before its first claim is pending again.
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a")])).await;
    let pause = Control { reason: Some("lunch".into()), ..board.control_of(&made.id, Action::Pause) };
    store.control_workflow(pause).await.unwrap().unwrap();
    let (workflow, _) = board.look(&made.id).await;
    assert_eq!((workflow.reason.as_deref(), workflow.needs_attention), (Some("lunch"), false), "somebody knows");
    assert!(board.claim("agent", 9).await.is_empty());
    assert_eq!(board.control(&made.id, Action::Resume).await.unwrap().state, State::Pending);
    let lease = board.one().await.lease;
    // Ended while it is paused, it is over when it goes on.
    board.control(&made.id, Action::Pause).await.unwrap();
    assert_eq!(board.finish(&lease, completed()).await.unwrap().workflow_state, Some(State::Paused));
    assert_eq!(board.control(&made.id, Action::Resume).await.unwrap().state, State::Completed);
    let refused = board.control(&made.id, Action::Resume).await.unwrap_err();
    assert!(matches!(refused, ChangeRefused::State { state: State::Completed, .. }));
}

async fn waits_when_all_that_is_live_waits(store: &Arc<Store>) {
    let board = Board::new(store, "waits");
    let tasks = vec![task("a"), task("b"), after("c", &[0])];
    let made = board.create(flow(OnTaskFailure::Fail, tasks)).await;
    let claimed = board.claim("agent", 2).await;
    board.park(&claimed[0].lease).await.unwrap();
    assert_eq!(board.states(&made.id).await.0, State::Running, "another one is worked on");
    board.park(&claimed[1].lease).await.unwrap();
    assert_eq!(board.states(&made.id).await, (State::Waiting, vec![Task::Parked, Task::Parked, Task::Blocked]));
    board.manage(Change::Answer(Some(json("1"))), &[&made.tasks[0]]).await.unwrap();
    assert_eq!(board.states(&made.id).await.0, State::Running);
    let again = board.one().await;
    board.park(&again.lease).await.unwrap();
    assert_eq!(board.states(&made.id).await.0, State::Waiting);
    // Paused and resumed, it waits still.
    board.control(&made.id, Action::Pause).await.unwrap();
    assert_eq!(board.control(&made.id, Action::Resume).await.unwrap().state, State::Waiting);
    // A signal is an answer to all.
    let changed = board.control(&made.id, Action::Signal).await.unwrap();
    assert_eq!(changed.state, State::Running);
    assert_eq!(board.states(&made.id).await.1, [Task::Ready, Task::Ready, Task::Blocked]);
    let again = board.claim("agent", 2).await;
    let answer: serde_json::Value = serde_json::from_str(again[0].answer.as_ref().unwrap().get()).unwrap();
    assert_eq!(answer, serde_json::json!({"signal": "go", "payload": [1]}));
    // What is added can be done: it does not wait any more.
    for claimed in &again {
        board.park(&claimed.lease).await.unwrap();
    }
    store.enqueue_tasks(board.enqueue(Some(&made.id), vec![task("d")])).await.unwrap().unwrap();
    assert_eq!(board.states(&made.id).await.0, State::Running);
    let lease = board.one().await.lease;
    assert_eq!(board.finish(&lease, completed()).await.unwrap().workflow_state, Some(State::Waiting));
    // Cancelled instead of answered, the rest goes on or is over.
    board.manage(Change::Cancel, &[&made.tasks[0], &made.tasks[1]]).await.unwrap();
    assert_eq!(board.states(&made.id).await.0, State::Completed);
}

async fn tells_its_workers_what_it_is_told(store: &Arc<Store>) {
    let board = Board::new(store, "signals");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
    let lease = board.one().await.lease;
    assert!(board.update(&lease).await.unwrap().signals.is_empty());
    board.control(&made.id, Action::Signal).await.unwrap();
    let told = board.update(&lease).await.unwrap().signals;
    assert_eq!((told.len(), told[0].name.as_str(), told[0].payload.as_ref().unwrap().get()), (1, "go", "[1]"));
    assert!(board.update(&lease).await.unwrap().signals.is_empty(), "once");
    let other = board.one().await.lease;
    assert_eq!(board.update(&other).await.unwrap().signals.len(), 1, "each of them");
}

async fn is_cancelled_at_once_or_when_its_workers_have_let_go(store: &Arc<Store>) {
    let board = Board::new(store, "cancels");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), after("b", &[0])])).await;
    let cancel = Control { reason: Some("not needed".into()), ..board.control_of(&made.id, Action::Cancel) };
    assert_eq!(store.control_workflow(cancel).await.unwrap().unwrap().state, State::Cancelled);
    assert_eq!(board.look(&made.id).await.0.reason.as_deref(), Some("not needed"));
    for paused in [false, true] {
        let tasks = (0..5).map(|n| task(&n.to_string())).chain([after("later", &[0])]).collect();
        let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
        let leases: Vec<_> = board.claim("agent", 4).await.into_iter().map(|task| task.lease).collect();
        if paused {
            board.control(&made.id, Action::Pause).await.unwrap();
        }
        assert_eq!(board.control(&made.id, Action::Cancel).await.unwrap().state, State::Cancelling);
        assert!(board.control(&made.id, Action::Cancel).await.is_err(), "once");
        assert!(board.update(&leases[0]).await.unwrap().cancel_requested);
        assert!(board.claim("agent", 9).await.is_empty());
        let refused = store.enqueue_tasks(board.enqueue(Some(&made.id), vec![task("x")])).await.unwrap().unwrap_err();
        assert!(matches!(refused, EnqueueRefused::State { state: State::Cancelling, .. }));
        // A completion counts still; whoever fails, releases or asks gives up.
        assert_eq!(board.finish(&leases[0], completed()).await.unwrap().state, Task::Completed);
        assert_eq!(board.finish(&leases[1], failed("x")).await.unwrap().state, Task::Cancelled);
        assert_eq!(board.park(&leases[2]).await.unwrap().state, Task::Cancelled);
        assert_eq!(board.states(&made.id).await.0, State::Cancelling);
        let last = board.finish(&leases[3], callboard::domain::tasks::Outcome::Released).await.unwrap();
        assert_eq!((last.state, last.workflow_state), (Task::Cancelled, Some(State::Cancelled)));
        assert_eq!(board.look(&made.id).await.0.counts.completed, 1);
    }
}

async fn takes_its_leases_back_when_a_minute_has_passed(store: &Arc<Store>) {
    let board = Board::new(store, "grace");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
    let claimed = board.claim("agent", 2).await;
    board.pass_ms(LEASE_MS - 30_000);
    board.update(&claimed[1].lease).await.unwrap();
    board.control(&made.id, Action::Cancel).await.unwrap();
    // One that runs out meanwhile is cancelled, not put back.
    board.pass_ms(30_000);
    board.sweep().await;
    assert_eq!(board.states(&made.id).await, (State::Cancelling, vec![Task::Cancelled, Task::Leased]));
    board.pass_ms(29_999);
    board.sweep().await;
    assert_eq!(board.states(&made.id).await.0, State::Cancelling);
    board.pass_ms(1);
    board.sweep().await;
    assert_eq!(board.states(&made.id).await, (State::Cancelled, vec![Task::Cancelled, Task::Cancelled]));
    let refused = board.finish(&claimed[1].lease, completed()).await.unwrap_err();
    assert_eq!(refused, LeaseRefused::Lost { state: Task::Cancelled, fence: 2, agent_id: None });
}

async fn follows_the_death_of_a_task_by_its_policy(store: &Arc<Store>) {
    let board = Board::new(store, "policy");
    for (policy, state) in [
        (OnTaskFailure::Fail, State::Failed),
        (OnTaskFailure::Pause, State::Paused),
        (OnTaskFailure::Continue, State::Running),
    ] {
        let made = board.create(flow(policy, vec![task("a"), task("b"), after_or("c", &[0], Continue)])).await;
        let claimed = board.claim("agent", 2).await;
        let done = board.finish(&claimed[0].lease, failed("invalid")).await.unwrap();
        assert_eq!((done.state, done.workflow_state), (Task::Dead, Some(state)));
        let (workflow, tasks) = board.look(&made.id).await;
        let tasks: Vec<Task> = tasks.iter().map(|task| task.state).collect();
        assert_eq!(workflow.needs_attention, policy == OnTaskFailure::Pause);
        if policy == OnTaskFailure::Fail {
            assert_eq!(tasks, [Task::Dead, Task::Cancelled, Task::Cancelled]);
            assert!(board.finish(&claimed[1].lease, completed()).await.is_err());
            continue;
        }
        assert_eq!(tasks, [Task::Dead, Task::Leased, Task::Ready]);
        if policy == OnTaskFailure::Pause {
            assert!(board.claim("agent", 1).await.is_empty());
            board.manage(Change::Retry, &[&made.tasks[0]]).await.unwrap();
            assert_eq!(board.control(&made.id, Action::Resume).await.unwrap().state, State::Running);
            assert!(!board.look(&made.id).await.0.needs_attention);
        }
        board.finish(&claimed[1].lease, completed()).await.unwrap();
        for claimed in board.claim("agent", 9).await {
            board.finish(&claimed.lease, completed()).await.unwrap();
        }
        assert_eq!(board.states(&made.id).await.0, State::Completed);
    }
    // Dead while it is paused, it fails when it goes on.
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
    let lease = board.one().await.lease;
    board.control(&made.id, Action::Pause).await.unwrap();
    board.finish(&lease, failed("invalid")).await.unwrap();
    assert_eq!(board.control(&made.id, Action::Resume).await.unwrap().state, State::Failed);
    board.look(&made.id).await;
    // The other policy has paused it already, but somebody has to look now.
    let made = board.create(flow(OnTaskFailure::Pause, vec![task("a"), task("b")])).await;
    let lease = board.one().await.lease;
    board.control(&made.id, Action::Pause).await.unwrap();
    board.finish(&lease, failed("invalid")).await.unwrap();
    let (workflow, _) = board.look(&made.id).await;
    assert_eq!((workflow.reason.as_deref(), workflow.needs_attention), (Some("a task is dead"), true));
}

async fn pauses_when_its_budget_is_reached(store: &Arc<Store>) {
    let board = Board::new(store, "budget");
    let spent =
        |micros: i64| Some(Cost { amount: Micros(micros), model: Some("m".into()), input_tokens: 1, output_tokens: 2 });
    let workflow = NewWorkflow { budget: Some(Micros(100)), ..flow(OnTaskFailure::Fail, vec![task("a"), task("b")]) };
    let made = board.create(workflow).await;
    let lease = board.one().await.lease;
    store.update_task(Update { cost: spent(99), ..board.update_of(&lease) }).await.unwrap().unwrap();
    assert_eq!(board.states(&made.id).await.0, State::Running);
    store.update_task(Update { cost: spent(1), ..board.update_of(&lease) }).await.unwrap().unwrap();
    let (workflow, _) = board.look(&made.id).await;
    assert_eq!((workflow.state, workflow.reason.as_deref()), (State::Paused, Some("budget")));
    assert!(workflow.needs_attention);
    assert!(board.claim("agent", 1).await.is_empty());
    // Resumed, it is paused no second time.
    board.control(&made.id, Action::Resume).await.unwrap();
    store.update_task(Update { cost: spent(500), ..board.update_of(&lease) }).await.unwrap().unwrap();
    assert_eq!(board.states(&made.id).await.0, State::Running);
    // Reached with the end of a turn.
    let workflow = NewWorkflow { budget: Some(Micros(100)), ..flow(OnTaskFailure::Fail, vec![task("c"), task("d")]) };
    let made = board.create(workflow).await;
    board.one().await;
    let lease = board.one().await.lease;
    let finish = Finish { lease, outcome: completed(), cost: spent(101), jitter: 0.0, key: None, now: board.now() };
    assert_eq!(store.finish_task(finish).await.unwrap().unwrap().workflow_state, Some(State::Paused));
    board.look(&made.id).await;
    // Reached while it is paused: whoever makes it go on is told before.
    let workflow = NewWorkflow { budget: Some(Micros(100)), ..flow(OnTaskFailure::Fail, vec![task("e"), task("f")]) };
    let made = board.create(workflow).await;
    let lease = board.one().await.lease;
    board.control(&made.id, Action::Pause).await.unwrap();
    store.update_task(Update { cost: spent(100), ..board.update_of(&lease) }).await.unwrap().unwrap();
    let (workflow, _) = board.look(&made.id).await;
    assert_eq!((workflow.state, workflow.reason.as_deref()), (State::Paused, Some("budget")));
    assert!(workflow.needs_attention);
    assert_eq!(board.control(&made.id, Action::Resume).await.unwrap().state, State::Running);
    assert!(!board.look(&made.id).await.0.needs_attention);
}

async fn is_changed_by_who_knows_its_version(store: &Arc<Store>) {
    let board = Board::new(store, "versions");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a")])).await;
    let expect = |version: i64| Some(version);
    let pause = Control { expected_version: expect(7), ..board.control_of(&made.id, Action::Pause) };
    assert_eq!(
        store.control_workflow(pause).await.unwrap().unwrap_err(),
        ChangeRefused::Version { state: State::Pending, version: 1 }
    );
    let racing = (0..5).map(|_| {
        let signal = Control { expected_version: expect(1), ..board.control_of(&made.id, Action::Signal) };
        store.control_workflow(signal)
    });
    let done = futures_util::future::join_all(racing).await;
    assert_eq!(done.iter().filter(|done| done.as_ref().unwrap().is_ok()).count(), 1);
    let complete = callboard::store::workflows::Complete {
        expected_version: expect(1),
        ..board.complete_of(&made.id, State::Failed)
    };
    assert_eq!(
        store.complete_workflow(complete).await.unwrap().unwrap_err(),
        ChangeRefused::Version { state: State::Pending, version: 2 }
    );
    let nobody = board.control("wf_none", Action::Pause).await.unwrap_err();
    assert_eq!(nobody, ChangeRefused::NoSuchWorkflow);
    // Each change is seen in the version.
    let mut last = 2;
    let lease = board.one().await.lease;
    let mut newer = async |what: &str| {
        let version = board.look(&made.id).await.0.version;
        assert!(version > last, "{what}: {version}");
        last = version;
    };
    newer("started").await;
    store.enqueue_tasks(board.enqueue(Some(&made.id), vec![task("b")])).await.unwrap().unwrap();
    newer("enqueued").await;
    board.finish(&lease, failed("x")).await.unwrap();
    newer("failed").await;
    board.pass_ms(5_000);
    let claimed = board.claim("agent", 2).await;
    board.park(&claimed[0].lease).await.unwrap();
    newer("parked").await;
    board.manage(Change::Answer(None), &[&claimed[0].task_id]).await.unwrap();
    newer("answered").await;
    board.control(&made.id, Action::Pause).await.unwrap();
    newer("paused").await;
}

async fn is_made_once_and_not_beyond_the_limit(store: &Arc<Store>) {
    let board = Board::new(store, "made");
    let workflow = flow(OnTaskFailure::Fail, vec![NewTask { queue: "made".into(), id: "tk_made".into(), ..task("a") }]);
    let create = Create { workflow, active_max: 10_000, key: key("create", "1"), now: board.now() };
    let first = store.create_workflow(create.clone()).await.unwrap().unwrap();
    let mut again = create.clone();
    again.workflow.id = "wf_other".into();
    assert_eq!(store.create_workflow(again.clone()).await.unwrap().unwrap(), first);
    again.key = key("create", "2");
    assert_eq!(store.create_workflow(again).await.unwrap().unwrap_err(), CreateRefused::Repeat(Repeat::OtherRequest));
    let open = store.overview(board.now()).await.unwrap().workflows;
    let open: u64 = open.iter().filter(|(state, _)| state.is_open()).map(|(_, count)| count).sum();
    let one_more = |active_max: u64| Create {
        workflow: flow(OnTaskFailure::Fail, vec![]),
        active_max,
        key: None,
        now: board.now(),
    };
    for active_max in [open, 1, 0] {
        let refused = store.create_workflow(one_more(active_max)).await.unwrap().unwrap_err();
        assert_eq!(refused, CreateRefused::TooMany { active_max });
    }
    store.create_workflow(one_more(open + 1)).await.unwrap().unwrap();
    assert_eq!(board.look(&first.workflow_id).await.0.state, State::Pending, "nothing active makes room");
    let child = NewWorkflow { parent_id: Some("wf_none".into()), ..flow(OnTaskFailure::Fail, vec![]) };
    let create = Create { workflow: child, active_max: 10_000, key: None, now: board.now() };
    assert_eq!(store.create_workflow(create).await.unwrap().unwrap_err(), CreateRefused::NoParent);
    let signal = || Control { key: key("signal", "1"), ..board.control_of(&first.workflow_id, Action::Signal) };
    let told = store.control_workflow(signal()).await.unwrap().unwrap();
    assert_eq!(store.control_workflow(signal()).await.unwrap().unwrap().version, told.version);
}

async fn is_listed_and_its_history_told(store: &Arc<Store>) {
    let board = Board::new(store, "listed");
    board.pass_ms(3_600_000);
    let since = board.now().plus_ms(-1);
    let mut ids = Vec::new();
    for n in 0..3 {
        let workflow = NewWorkflow {
            name: format!("100%_{n}! Ä"),
            kind: format!("kind {}", n % 2),
            ..flow(OnTaskFailure::Fail, vec![task("a")])
        };
        ids.insert(0, board.create(workflow).await.id);
    }
    let all = List {
        states: vec![],
        kind: None,
        created_after: Some(since),
        text: None,
        before: None,
        most: 10,
        stalled_before: board.now(),
    };
    let list = async |list: List| {
        let found = store.list_workflows(list).await.unwrap();
        found.into_iter().map(|workflow| workflow.id).collect::<Vec<_>>()
    };
    assert_eq!(list(all.clone()).await, ids);
    assert_eq!(list(List { kind: Some("kind 0".into()), ..all.clone() }).await, [ids[0].clone(), ids[2].clone()]);
    for (text, found) in
        [("100%_1! ", 1), ("%_", 3), ("100_", 0), ("00%%", 0), ("!", 3), ("! Ä", 3), (&ids[1].to_uppercase(), 1)]
    {
        assert_eq!(list(List { text: Some(text.to_owned()), ..all.clone() }).await.len(), found, "{text}");
    }
    assert_eq!(list(List { states: vec![State::Pending, State::Paused], ..all.clone() }).await.len(), 3);
    assert!(list(List { states: vec![State::Completed], ..all.clone() }).await.is_empty());
    let before = Some((board.now(), ids[0].clone()));
    assert_eq!(list(List { before, most: 1, ..all.clone() }).await, [ids[1].clone()]);
    let lease = board.claim("agent", 1).await.remove(0).lease;
    let stalled_before = board.now().plus_ms(LEASE_MS);
    let first = store.list_workflows(List { stalled_before, ..all }).await.unwrap().pop().unwrap();
    assert_eq!((first.id.as_str(), first.stalled), (ids[2].as_str(), true));
    board.finish(&lease, completed()).await.unwrap();
    let of = async |part: Part, most: u64| store.events(History { part, most }).await.unwrap();
    let events = of(Part::Workflow { id: ids[2].clone(), after: 0 }, 100).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let expected = [
        "workflow_created",
        "task_enqueued",
        "task_claimed",
        "workflow_started",
        "task_completed",
        "workflow_completed",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(of(Part::Workflow { id: ids[2].clone(), after: events[3].seq }, 100).await.len(), 2);
    let last = of(Part::EndOfWorkflow { id: ids[2].clone() }, 2).await;
    assert_eq!(last.iter().map(|event| event.seq).collect::<Vec<_>>(), [events[4].seq, events[5].seq]);
    assert_eq!(of(Part::Entity { id: lease.task_id.clone(), after: 0 }, 100).await.len(), 3);
    assert_eq!(of(Part::All { after: events[4].seq }, 1).await[0].seq, events[5].seq);
    let find = Find { id: lease.task_id, carried: true, tasks: None, stalled_before: board.now() };
    let found = store.find_workflow(find.clone()).await.unwrap().unwrap();
    assert_eq!((found.workflow.unwrap().id, found.task.unwrap().state), (ids[2].clone(), Task::Completed));
    assert!(store.find_workflow(Find { id: "wf_none".into(), ..find }).await.unwrap().is_none());
    let overview = store.overview(board.now()).await.unwrap();
    let queue = overview.queues.iter().find(|queue| queue.queue == "listed").unwrap();
    assert_eq!(queue.ready, 2);
}

async fn holds(store: Arc<Store>, other: Arc<Store>) {
    let (store, other) = (&store, &other);
    begins_with_its_first_claim_or_when_it_is_started(store).await;
    gives_nothing_to_do_while_it_is_paused(store).await;
    waits_when_all_that_is_live_waits(store).await;
    tells_its_workers_what_it_is_told(store).await;
    is_cancelled_at_once_or_when_its_workers_have_let_go(store).await;
    takes_its_leases_back_when_a_minute_has_passed(store).await;
    follows_the_death_of_a_task_by_its_policy(store).await;
    pauses_when_its_budget_is_reached(store).await;
    is_changed_by_who_knows_its_version(store).await;
    is_made_once_and_not_beyond_the_limit(store).await;
    is_listed_and_its_history_told(store).await;
    ends::hold(store).await;
    races::hold(store, other).await;
}

on_both_stores!(holds);
