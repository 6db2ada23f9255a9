//! How workflows end, and what is left of them.

use std::sync::Arc;

use callboard::{
    domain::{
        money::Micros,
        tasks::{Cost, NewTask, OnDependencyFailure::Continue, State as Task, answers::Change},
        workflows::{
            Action, NewWorkflow, OnTaskFailure, State,
            figures::{GroupBy, Metric, Question},
        },
    },
    store::{
        Sql, Store,
        tasks::{ListTasks, Update},
        workflows::{ChangeRefused, Complete, Control, Find},
    },
};

use crate::support::flows::{Board, NOW, after, after_or, completed, failed, flow, json, task};

async fn is_completed_with_its_last_task(store: &Arc<Store>) {
    let board = Board::new(store, "last");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
    let claimed = board.claim("agent", 2).await;
    board.pass_ms(5_000);
    assert_eq!(board.finish(&claimed[0].lease, completed()).await.unwrap().workflow_state, Some(State::Running));
    assert_eq!(board.finish(&claimed[1].lease, completed()).await.unwrap().workflow_state, Some(State::Completed));
    let (workflow, _) = board.look(&made.id).await;
    assert_eq!(workflow.completed_at, Some(board.now()));
    // A cancelled task is over too; all cancelled is a cancelled workflow.
    for (done, state) in [(true, State::Completed), (false, State::Cancelled)] {
        let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
        let lease = board.one().await.lease;
        if done {
            board.finish(&lease, completed()).await.unwrap();
            board.manage(Change::Cancel, &[&made.tasks[1]]).await.unwrap();
        } else {
            board.manage(Change::Cancel, &[&made.tasks[0], &made.tasks[1]]).await.unwrap();
        }
        assert_eq!(board.states(&made.id).await.0, state);
    }
}

async fn times_out_at_its_deadline(store: &Arc<Store>) {
    let board = Board::new(store, "deadline");
    let make = async || {
        let tasks = vec![task("a"), task("b"), after("c", &[0])];
        let deadline_at = Some(board.now().plus_ms(10_000));
        board.create(NewWorkflow { deadline_at, ..flow(OnTaskFailure::Fail, tasks) }).await
    };
    let (running, waiting) = (make().await, make().await);
    let leases = board.claim("agent", 4).await;
    for claimed in leases.iter().filter(|claimed| claimed.workflow_id.as_ref() == Some(&waiting.id)) {
        board.park(&claimed.lease).await.unwrap();
    }
    let (paused, pending) = (make().await, make().await);
    board.control(&paused.id, Action::Pause).await.unwrap();
    board.pass_ms(9_999);
    board.sweep().await;
    for made in [&running, &waiting, &pending, &paused] {
        assert!(board.states(&made.id).await.0.is_open());
    }
    board.pass_ms(1);
    board.sweep().await;
    for made in [&running, &waiting, &pending] {
        let (workflow, tasks) = board.look(&made.id).await;
        assert_eq!(workflow.state, State::TimedOut);
        assert!(tasks.iter().all(|task| task.state == Task::Cancelled));
    }
    assert!(board.finish(&leases[0].lease, completed()).await.is_err());
    // What is paused is not worked on, and ends when it goes on.
    assert_eq!(board.states(&paused.id).await.0, State::Paused);
    board.control(&paused.id, Action::Resume).await.unwrap();
    board.sweep().await;
    assert_eq!(board.states(&paused.id).await.0, State::TimedOut);
}

async fn is_ended_by_word(store: &Arc<Store>) {
    let board = Board::new(store, "by_word");
    let complete = |id: &str, outcome: State| store.complete_workflow(board.complete_of(id, outcome));
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
    let lease = board.one().await.lease;
    let refused = complete(&made.id, State::Completed).await.unwrap().unwrap_err();
    assert_eq!(refused, ChangeRefused::OpenTasks { open: 2, state: State::Running, version: 3 });
    let failing = Complete {
        result: Some(json(r#"{"part":1}"#)),
        error: Some("gave up".into()),
        ..board.complete_of(&made.id, State::Failed)
    };
    assert_eq!(store.complete_workflow(failing).await.unwrap().unwrap().state, State::Failed);
    assert_eq!(board.states(&made.id).await.1, [Task::Cancelled, Task::Cancelled]);
    assert!(board.finish(&lease, completed()).await.is_err());
    let find = Find { id: made.id.clone(), carried: true, tasks: None, stalled_before: board.now() };
    let carried = store.find_workflow(find).await.unwrap().unwrap().carried;
    assert_eq!((carried.result.unwrap().get(), carried.error.as_deref()), (r#"{"part":1}"#, Some("gave up")));
    for outcome in [State::Completed, State::Failed, State::Cancelled] {
        let refused = complete(&made.id, outcome).await.unwrap().unwrap_err();
        assert_eq!(refused, ChangeRefused::State { state: State::Failed, version: 4 }, "an ended workflow stays ended");
    }
    for action in [Action::Start, Action::Pause, Action::Resume, Action::Cancel, Action::Signal] {
        assert!(board.control(&made.id, action).await.is_err(), "{action:?}");
    }
    // One without tasks; one that is paused; one that is being cancelled.
    let empty = board.create(flow(OnTaskFailure::Fail, vec![])).await;
    assert_eq!(complete(&empty.id, State::Completed).await.unwrap().unwrap().state, State::Completed);
    let paused = board.create(flow(OnTaskFailure::Fail, vec![task("a")])).await;
    board.control(&paused.id, Action::Pause).await.unwrap();
    assert_eq!(complete(&paused.id, State::Cancelled).await.unwrap().unwrap().state, State::Cancelled);
    let cancelled = board.create(flow(OnTaskFailure::Fail, vec![task("a")])).await;
    board.one().await;
    board.control(&cancelled.id, Action::Cancel).await.unwrap();
    let refused = complete(&cancelled.id, State::Completed).await.unwrap().unwrap_err();
    assert!(matches!(refused, ChangeRefused::State { state: State::Cancelling, .. }));
    assert_eq!(complete(&cancelled.id, State::Cancelled).await.unwrap().unwrap().state, State::Cancelled);
    assert_eq!(board.states(&cancelled.id).await.1, [Task::Cancelled]);
}

async fn is_told_what_came_of_it_after_its_last_task(store: &Arc<Store>) {
    let board = Board::new(store, "told_later");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a")])).await;
    let lease = board.one().await.lease;
    board.finish(&lease, completed()).await.unwrap();
    let ended = board.look(&made.id).await.0;
    let result = Some(json(r#"{"all":1}"#));
    let with = |outcome: State, error: Option<&str>| Complete {
        result: result.clone(),
        error: error.map(str::to_owned),
        ..board.complete_of(&made.id, outcome)
    };
    // Its end stays as it was; only what came of it was not said yet.
    for refused in [
        with(State::Failed, None),
        with(State::Cancelled, None),
        with(State::Completed, Some("no")),
        board.complete_of(&made.id, State::Completed),
        Complete { expected_version: Some(ended.version - 1), ..with(State::Completed, None) },
    ] {
        assert!(store.complete_workflow(refused).await.unwrap().is_err());
    }
    assert_eq!(board.look(&made.id).await.0.version, ended.version);
    board.pass_ms(5);
    let told = store.complete_workflow(with(State::Completed, None)).await.unwrap().unwrap();
    assert_eq!((told.state, told.version), (State::Completed, ended.version + 1));
    let find = Find { id: made.id.clone(), carried: true, tasks: None, stalled_before: board.now() };
    let found = store.find_workflow(find).await.unwrap().unwrap();
    assert_eq!(found.carried.result.unwrap().get(), r#"{"all":1}"#);
    assert_eq!(found.workflow.unwrap().completed_at, ended.completed_at);
    let twice = store.complete_workflow(with(State::Completed, None)).await.unwrap().unwrap_err();
    assert_eq!(twice, ChangeRefused::State { state: State::Completed, version: told.version });
}

async fn is_forked_from_its_completed_tasks(store: &Arc<Store>) {
    let board = Board::new(store, "forked");
    let tasks = vec![
        NewTask { input: Some(json("[1]")), ..task("a") },
        after("b", &[0]),
        after("c", &[1]),
        after_or("d", &[0, 2], Continue),
    ];
    let workflow = NewWorkflow {
        input: Some(json(r#"{"week":47}"#)),
        budget: Some(Micros(9)),
        ..flow(OnTaskFailure::Fail, tasks)
    };
    let made = board.create(workflow).await;
    assert!(board.control(&made.id, Action::Fork).await.is_err(), "only what has ended");
    let lease = board.one().await.lease;
    board.finish(&lease, completed()).await.unwrap();
    let lease = board.one().await.lease;
    board.finish(&lease, failed("invalid")).await.unwrap();
    let full = Control { active_max: 0, ..board.control_of(&made.id, Action::Fork) };
    assert_eq!(store.control_workflow(full).await.unwrap().unwrap_err(), ChangeRefused::TooMany { active_max: 0 });
    let changed = board.control(&made.id, Action::Fork).await.unwrap();
    assert_eq!(changed.state, State::Failed);
    let fork = changed.fork.unwrap();
    assert_eq!(fork.tasks.len(), 3);
    let (workflow, tasks) = board.look(&fork.workflow_id).await;
    assert_eq!((workflow.state, workflow.forked_from.as_ref()), (State::Pending, Some(&made.id)));
    assert_eq!((workflow.budget, workflow.name.as_str()), (Some(Micros(9)), "test"));
    let mut states: Vec<(&str, Task)> = tasks.iter().map(|task| (task.key.as_deref().unwrap(), task.state)).collect();
    states.sort();
    let (blocked, ready) = (Task::Blocked, Task::Ready);
    assert_eq!(states, [("a", Task::Completed), ("b", ready), ("c", blocked), ("d", blocked)]);
    for key in ["b", "c", "d"] {
        let claimed = board.one().await;
        assert_eq!((claimed.key.as_deref(), claimed.attempt), (Some(key), 1));
        assert_eq!(claimed.dependency_results.contains_key("a"), key != "c");
        board.finish(&claimed.lease, completed()).await.unwrap();
    }
    assert_eq!(board.states(&fork.workflow_id).await.0, State::Completed);
    // Where nothing is left to do there is nothing to wait for.
    let fork = board.control(&fork.workflow_id, Action::Fork).await.unwrap().fork.unwrap();
    assert_eq!(fork.state, State::Completed);
    board.look(&fork.workflow_id).await;
}

async fn is_counted_in_figures(store: &Arc<Store>) {
    let board = Board::new(store, "figures");
    board.pass_ms(40 * 86_400_000);
    let since = board.now();
    for (n, outcome) in [completed(), failed("invalid"), completed()].into_iter().enumerate() {
        let workflow = NewWorkflow { kind: format!("figure {}", n % 2), ..flow(OnTaskFailure::Fail, vec![task("a")]) };
        board.create(workflow).await;
        let lease = board.one().await.lease;
        let cost = Cost { amount: Micros(10), model: Some(format!("m{n}")), input_tokens: 3, output_tokens: 4 };
        store.update_task(Update { cost: Some(cost), ..board.update_of(&lease) }).await.unwrap().unwrap();
        board.pass_ms(1_000 * (i64::try_from(n).unwrap() + 1));
        board.finish(&lease, outcome).await.unwrap();
    }
    // Of many days the last ones are shown.
    let last = async |metric: Metric, group_by: GroupBy| {
        let since = NOW;
        let figures = store.analytics(Question { metric, group_by, since, most: 1, offset: 0 }).await.unwrap();
        figures[0].group.clone()
    };
    for metric in [Metric::Throughput, Metric::Cost] {
        for group_by in [GroupBy::Day, GroupBy::DayAndType] {
            assert_eq!(last(metric, group_by).await, Some(since.day()), "{metric:?} {group_by:?}");
        }
    }
    let metrics = [Metric::SuccessRate, Metric::Duration, Metric::Cost, Metric::Throughput, Metric::Failures];
    let groups = [
        GroupBy::Type,
        GroupBy::Day,
        GroupBy::DayAndType,
        GroupBy::Workflow,
        GroupBy::State,
        GroupBy::Agent,
        GroupBy::Model,
        GroupBy::Nothing,
    ];
    let ask = async |metric: Metric, group_by: GroupBy| {
        store.analytics(Question { metric, group_by, since, most: 10, offset: 0 }).await.unwrap()
    };
    for metric in metrics {
        for group_by in groups {
            assert!(!ask(metric, group_by).await.is_empty(), "{metric:?} {group_by:?}");
        }
    }
    let by_type = ask(Metric::SuccessRate, GroupBy::Type).await;
    let counts: Vec<_> = by_type.iter().map(|row| (row.group.as_deref().unwrap(), row.completed, row.failed)).collect();
    assert_eq!(counts, [("figure 0", 2, 0), ("figure 1", 0, 1)]);
    assert_eq!((by_type[0].duration_ms_mean, by_type[0].duration_ms_max), (Some(2_000.0), Some(3_000)));
    let models = ask(Metric::Cost, GroupBy::Model).await;
    let costs: Vec<_> =
        models.iter().map(|row| (row.group.as_deref().unwrap(), row.cost_micros, row.input_tokens)).collect();
    assert_eq!(costs, [("m0", 10, 3), ("m1", 10, 3), ("m2", 10, 3)]);
    let failures = ask(Metric::Failures, GroupBy::Type).await;
    assert_eq!((failures.len(), failures[0].error.as_deref()), (1, Some("it did not work")));
    let days = ask(Metric::Throughput, GroupBy::Day).await;
    assert_eq!((days[0].group.as_deref(), days[0].count), (Some(since.day().as_str()), 3));
}

/// All rows that could be left of anything.
async fn rows(store: &Store) -> Vec<u64> {
    let counts = store.read((), |session, ()| {
        Box::pin(async move {
            let mut counts = Vec::new();
            for sql in [
                "-- count_workflow\nSELECT count(*) FROM workflow",
                "-- count_task\nSELECT count(*) FROM task",
                "-- count_run\nSELECT count(*) FROM task_run",
                "-- count_dependency\nSELECT count(*) FROM task_dependency",
                "-- count_result\nSELECT count(*) FROM workflow_result",
                "-- count_signal\nSELECT count(*) FROM signal",
                "-- count_event\nSELECT count(*) FROM event WHERE entity IN ('workflow', 'task')",
            ] {
                counts.push(session.query(Sql::both(sql), &[]).await?.remove(0).count()?);
            }
            Ok(counts)
        })
    });
    counts.await.unwrap()
}

async fn is_forgotten_long_after_its_end_and_never_before(store: &Arc<Store>) {
    let board = Board::new(store, "forgotten");
    // Whatever the others left goes first.
    store.forget_workflows(NOW.plus_ms(365 * 86_400_000), 100_000).await.unwrap();
    let before = rows(store).await;
    board.pass_ms(400 * 86_400_000);
    let make = async |carried: bool| {
        let input = carried.then(|| json("1"));
        let tasks = vec![task("a"), after("b", &[0])];
        board.create(NewWorkflow { input, ..flow(OnTaskFailure::Fail, tasks) }).await
    };
    let (old, older, open) = (make(true).await, make(true).await, make(false).await);
    board.control(&older.id, Action::Signal).await.unwrap();
    let lone = vec![task("x"), after("y", &[0])];
    let lone = store.enqueue_tasks(board.enqueue(None, lone)).await.unwrap().unwrap();
    board.manage(Change::Cancel, &[&lone[0].task_id]).await.unwrap();
    // The order of their ends, not of their ids, nor of how long they took.
    board.control(&older.id, Action::Cancel).await.unwrap();
    board.pass_ms(1_000);
    board.control(&old.id, Action::Cancel).await.unwrap();
    let ended = board.now();
    assert_eq!(store.forget_workflows(board.now().plus_ms(-1_000), 10).await.unwrap(), 0, "younger than asked for");
    assert_eq!(store.forget_workflows(ended.plus_ms(1), 1).await.unwrap(), 2, "a workflow and a task");
    let find = |id: &str| Find { id: id.to_owned(), carried: true, tasks: None, stalled_before: board.now() };
    assert!(store.find_workflow(find(&older.id)).await.unwrap().is_none());
    assert!(store.find_workflow(find(&old.id)).await.unwrap().is_some());
    board.pass_ms(1_000 * 86_400_000);
    assert_eq!(store.forget_workflows(board.now(), 100).await.unwrap(), 2);
    assert!(store.find_workflow(find(&old.id)).await.unwrap().is_none());
    assert_eq!(store.forget_workflows(board.now(), 100).await.unwrap(), 0);
    // What is open stays, however old.
    assert_eq!(board.states(&open.id).await, (State::Pending, vec![Task::Ready, Task::Blocked]));
    board.control(&open.id, Action::Cancel).await.unwrap();
    assert_eq!(store.forget_workflows(board.now().plus_ms(1), 100).await.unwrap(), 1);
    assert_eq!(rows(store).await, before, "nothing is left of them");
    let list = ListTasks {
        filter: Default::default(),
        ids: vec![lone[1].task_id.clone()],
        after: None,
        most: 1,
        carried: false,
        carried_bytes_max: 0,
    };
    assert!(store.list_tasks(list).await.unwrap().is_empty());
}

pub(super) async fn hold(store: &Arc<Store>) {
    is_completed_with_its_last_task(store).await;
    times_out_at_its_deadline(store).await;
    is_ended_by_word(store).await;
    is_told_what_came_of_it_after_its_last_task(store).await;
    is_forked_from_its_completed_tasks(store).await;
    is_counted_in_figures(store).await;
    is_forgotten_long_after_its_end_and_never_before(store).await;
}
