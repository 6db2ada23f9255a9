//! What every store of tasks must do: each row of the table of tasks, and what is said about order, keys and many at once.

mod beside;
mod claims;
mod dependencies;
mod many;

use std::sync::Arc;

use callboard::{
    domain::{
        json,
        money::Micros,
        tasks::{Cost, Failure, Lease, NewTask, OnDependencyFailure, Outcome, State, answers::Change},
        workflows::{self, OnTaskFailure},
    },
    store::{
        Sql, Store,
        tasks::{LeaseRefused, ManageRefused, Update},
    },
};

use crate::support::flows::{Board, LEASE_MS, Made, after_or, completed, failed, flow, json as text, task};

/// A workflow of one task.
async fn alone(board: &Board, task: NewTask) -> Made {
    board.create(flow(OnTaskFailure::Continue, vec![task])).await
}

/// That the lease has ended, and the state the task is in.
fn lost(refused: LeaseRefused) -> State {
    match refused {
        LeaseRefused::Lost { state, .. } => state,
        other => panic!("{other:?}"),
    }
}

async fn a_task_is_enqueued_by_its_dependencies_and_its_time(store: &Arc<Store>) {
    let board = Board::new(store, "enqueued");
    let later = Some(board.now().plus_ms(60_000));
    let past = Some(board.now().plus_ms(-60_000));
    let blocked = after_or("blocked", &[0], OnDependencyFailure::Cancel);
    let tasks = vec![
        task("ready"),
        blocked,
        NewTask { run_at: later, ..task("scheduled") },
        NewTask { run_at: past, ..task("past") },
    ];
    let made = board.create(flow(OnTaskFailure::Fail, tasks)).await;
    let (state, tasks) = board.states(&made.id).await;
    assert_eq!(state, workflows::State::Pending);
    assert_eq!(tasks, [State::Ready, State::Blocked, State::Scheduled, State::Ready]);
    assert_eq!(board.task(&made.tasks[2]).await.run_at, later);
    assert_eq!(store.next_due(Some(vec![board.queue.clone()])).await.unwrap(), later);
    board.pass_ms(59_999);
    board.sweep().await;
    assert_eq!(board.task(&made.tasks[2]).await.state, State::Scheduled);
    board.pass_ms(1);
    board.sweep().await;
    assert_eq!(board.task(&made.tasks[2]).await.state, State::Ready);
}

async fn a_claim_leases_under_a_new_fence(store: &Arc<Store>) {
    let board = Board::new(store, "leased");
    let made = alone(&board, NewTask { input: Some(text(r#"{"week":47.10}"#)), ..task("a") }).await;
    let claimed = board.one().await;
    assert_eq!((claimed.lease.fence, claimed.attempt), (1, 1));
    assert_eq!(claimed.lease_until, board.now().plus_ms(LEASE_MS));
    assert_eq!(claimed.input.as_ref().unwrap().get(), r#"{"week":47.10}"#);
    let view = board.task(&made.tasks[0]).await;
    assert_eq!((view.state, view.fence, view.agent_id.as_deref()), (State::Leased, 1, Some("agent")));
    assert!(board.claim("other", 1).await.is_empty(), "it is leased");
}

async fn only_the_token_of_the_lease_gives_a_right(store: &Arc<Store>) {
    let board = Board::new(store, "guards");
    let made = alone(&board, task("a")).await;
    let lease = board.one().await.lease;
    let wrong = [
        Lease { fence: 0, ..lease.clone() },
        Lease { fence: 2, ..lease.clone() },
        Lease { secret: "guessed".into(), ..lease.clone() },
    ];
    for lease in &wrong {
        for outcome in [completed(), failed("x"), Outcome::Released] {
            let refused = board.finish(lease, outcome).await.unwrap_err();
            let expected = LeaseRefused::Lost { state: State::Leased, fence: 1, agent_id: Some("agent".into()) };
            assert_eq!(refused, expected);
        }
        assert_eq!(lost(board.update(lease).await.unwrap_err()), State::Leased);
        assert_eq!(lost(board.park(lease).await.unwrap_err()), State::Leased);
    }
    let nobody = Lease { task_id: "tk_none".into(), ..lease.clone() };
    assert_eq!(board.finish(&nobody, completed()).await.unwrap_err(), LeaseRefused::NoSuchTask);
    assert_eq!(board.update(&nobody).await.unwrap_err(), LeaseRefused::NoSuchTask);
    assert_eq!(board.task(&made.tasks[0]).await.state, State::Leased);
    assert!(board.update(&lease).await.unwrap().lease_until.is_some());
}

async fn of_one_lease_one_end_is_accepted(store: &Arc<Store>) {
    let board = Board::new(store, "ends");
    let made = alone(&board, task("a")).await;
    let lease = board.one().await.lease;
    let done = board.finish(&lease, completed()).await.unwrap();
    assert_eq!((done.state, done.workflow_state), (State::Completed, Some(workflows::State::Completed)));
    for outcome in [completed(), failed("x"), Outcome::Released] {
        let refused = board.finish(&lease, outcome).await.unwrap_err();
        assert_eq!(refused, LeaseRefused::Lost { state: State::Completed, fence: 1, agent_id: None });
    }
    assert_eq!(lost(board.update(&lease).await.unwrap_err()), State::Completed);
    let view = board.task(&made.tasks[0]).await;
    assert_eq!(view.result.unwrap().get(), r#"{"rows":12}"#);
    // Ten who say so at once: one is heard.
    let made = alone(&board, task("b")).await;
    let lease = board.one().await.lease;
    let racing = (0..10).map(|n| {
        let (board, lease) = (&board, &lease);
        async move { board.finish(lease, if n % 2 == 0 { completed() } else { Outcome::Released }).await }
    });
    let ends = futures_util::future::join_all(racing).await;
    assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1, "{ends:?}");
    board.look(&made.id).await;
}

async fn a_failure_is_tried_again_later(store: &Arc<Store>) {
    let board = Board::new(store, "retry");
    let made = alone(&board, NewTask { attempts_max: 3, ..task("a") }).await;
    let id = made.tasks[0].as_str();
    for (attempt, longest) in [(1, 5_000), (2, 10_000)] {
        let claimed = board.one().await;
        assert_eq!(claimed.attempt, attempt);
        let jitter = f64::from(u8::try_from(attempt - 1).unwrap());
        let finish = callboard::store::tasks::Finish {
            lease: claimed.lease.clone(),
            outcome: failed("flaky"),
            cost: None,
            jitter,
            key: None,
            now: board.now(),
        };
        let finished = store.finish_task(finish).await.unwrap().unwrap();
        assert_eq!(finished.state, State::RetryWait);
        let wait = if jitter > 0.5 { longest } else { longest / 2 };
        assert_eq!(finished.next_run_at, Some(board.now().plus_ms(wait)));
        let view = board.task(id).await;
        assert_eq!((view.fence, view.state), (claimed.lease.fence + 1, State::RetryWait));
        assert_eq!(lost(board.finish(&claimed.lease, completed()).await.unwrap_err()), State::RetryWait);
        assert!(board.claim("agent", 1).await.is_empty(), "not before its time");
        board.pass_ms(wait);
    }
    let last = board.one().await;
    let finished = board.finish(&last.lease, failed("flaky")).await.unwrap();
    assert_eq!((finished.state, finished.next_run_at), (State::Dead, None));
    let (_, tasks) = board.look(&made.id).await;
    assert_eq!((tasks[0].attempts, tasks[0].error.as_ref().unwrap().code.as_deref()), (3, Some("flaky")));
}

async fn a_worker_may_say_how_long_to_wait(store: &Arc<Store>) {
    let board = Board::new(store, "retry_after");
    alone(&board, task("a")).await;
    let lease = board.one().await.lease;
    let failure = Failure { code: None, message: "busy".into(), retryable: None, retry_after_ms: Some(77_000) };
    let finished = board.finish(&lease, Outcome::Failed(failure)).await.unwrap();
    assert_eq!(finished.next_run_at, Some(board.now().plus_ms(77_000)));
    board.pass_ms(77_000);
    board.one().await;
}

async fn some_failures_are_for_good(store: &Arc<Store>) {
    let board = Board::new(store, "for_good");
    for code in ["invalid", "denied", "not_found", "budget"] {
        let made = alone(&board, task(code)).await;
        let lease = board.one().await.lease;
        let finished = board.finish(&lease, failed(code)).await.unwrap();
        assert_eq!(finished.state, State::Dead);
        let refused = board.finish(&lease, completed()).await.unwrap_err();
        assert_eq!(refused, LeaseRefused::Lost { state: State::Dead, fence: 2, agent_id: None });
        board.look(&made.id).await;
    }
    // What the worker says of it can end it, and cannot go on against the code.
    let said = [
        (None, false, State::Dead),
        (Some("flaky"), false, State::Dead),
        (Some("invalid"), true, State::Dead),
        (Some("flaky"), true, State::RetryWait),
    ];
    for (code, retryable, state) in said {
        let made = alone(&board, task("said")).await;
        let lease = board.one().await.lease;
        let code = code.map(str::to_owned);
        let failure = Failure { code, message: "m".into(), retryable: Some(retryable), retry_after_ms: Some(600_000) };
        assert_eq!(board.finish(&lease, Outcome::Failed(failure.clone())).await.unwrap().state, state);
        let (_, tasks) = board.look(&made.id).await;
        assert_eq!(
            (tasks[0].attempts, tasks[0].error.as_ref()),
            (1, Some(&Failure { retry_after_ms: None, ..failure }))
        );
    }
}

async fn the_last_twenty_failures_are_kept(store: &Arc<Store>) {
    let board = Board::new(store, "errors");
    let made = alone(&board, NewTask { attempts_max: 22, ..task("a") }).await;
    for n in 0..22 {
        let lease = board.one().await.lease;
        let failure = Failure { code: None, message: format!("failure {n}"), retryable: None, retry_after_ms: Some(0) };
        board.finish(&lease, Outcome::Failed(failure)).await.unwrap();
    }
    let id = made.tasks[0].clone();
    assert_eq!(board.task(&id).await.error.unwrap().message, "failure 21");
    let kept = store.read(id, |session, id| {
        Box::pin(async move {
            let sql = "-- kept\nSELECT errors FROM task WHERE id = $1";
            session.query(Sql::both(sql), &[id.into()]).await?.remove(0).text()
        })
    });
    let kept: Vec<serde_json::Value> = serde_json::from_str(&kept.await.unwrap()).unwrap();
    let messages: Vec<&str> = kept.iter().map(|failure| failure["message"].as_str().unwrap()).collect();
    let expected: Vec<String> = (2..22).rev().map(|n| format!("failure {n}")).collect();
    assert_eq!(messages, expected);
    assert_eq!(kept[0]["agent_id"], "agent");
}

async fn a_released_task_is_as_if_never_claimed(store: &Arc<Store>) {
    let board = Board::new(store, "released");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("first"), task("second")])).await;
    let claimed = board.one().await;
    assert_eq!(claimed.task_id, made.tasks[0]);
    board.pass_ms(1_000);
    board.create(flow(OnTaskFailure::Fail, vec![task("third")])).await;
    let released = board.finish(&claimed.lease, Outcome::Released).await.unwrap();
    assert_eq!(released.state, State::Ready);
    let view = board.task(&made.tasks[0]).await;
    assert_eq!((view.state, view.fence, view.attempts), (State::Ready, 2, 0));
    let again = board.one().await;
    assert_eq!((&again.task_id, again.attempt, again.lease.fence), (&made.tasks[0], 1, 3), "at its old place");
    assert_eq!(lost(board.finish(&claimed.lease, completed()).await.unwrap_err()), State::Leased);
}

async fn a_parked_task_goes_on_with_the_answer(store: &Arc<Store>) {
    let board = Board::new(store, "parked");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("asks"), task("other")])).await;
    let id = made.tasks[0].as_str();
    let lease = board.one().await.lease;
    let parked = board.park(&lease).await.unwrap();
    assert_eq!((parked.state, parked.lease_until), (State::Parked, None));
    let view = board.task(id).await;
    assert_eq!((view.state, view.fence, view.question.unwrap().get()), (State::Parked, 2, r#""which?""#));
    // Its lease has ended with the question.
    assert_eq!(lost(board.update(&lease).await.unwrap_err()), State::Parked);
    assert_eq!(lost(board.finish(&lease, completed()).await.unwrap_err()), State::Parked);
    board.pass_ms(60_000);
    board.sweep().await;
    board.manage(Change::Answer(Some(text(r#"{"it":"b"}"#))), &[id]).await.unwrap();
    let again = board.one().await;
    assert_eq!(again.task_id, id, "at its old place, before the other one");
    assert_eq!((again.attempt, again.lease.fence), (1, 3));
    assert_eq!(again.checkpoint.unwrap().get(), r#"{"page":3}"#);
    assert_eq!(again.question.unwrap().get(), r#""which?""#);
    assert_eq!(again.answer.unwrap().get(), r#"{"it":"b"}"#);
    let refused = board.manage(Change::Answer(None), &[id]).await.unwrap_err();
    assert_eq!(refused, ManageRefused::State { tasks: vec![(id.to_owned(), State::Leased)] });
}

async fn a_lease_that_runs_out_is_another_s_and_a_late_completion_counts_until_then(store: &Arc<Store>) {
    let board = Board::new(store, "expired");
    let made = alone(&board, task("a")).await;
    let id = made.tasks[0].as_str();
    let lease = board.one().await.lease;
    board.pass_ms(LEASE_MS - 1);
    board.sweep().await;
    assert_eq!(board.task(id).await.state, State::Leased);
    board.update(&lease).await.unwrap();
    board.pass_ms(LEASE_MS);
    // It has run out, although nobody has put the task back yet.
    assert_eq!(lost(board.update(&lease).await.unwrap_err()), State::Ready);
    assert_eq!(lost(board.finish(&lease, failed("x")).await.unwrap_err()), State::Ready);
    board.sweep().await;
    let view = board.task(id).await;
    assert_eq!((view.state, view.fence, view.agent_id.as_deref()), (State::Ready, 1, Some("agent")));
    // Late: only a completion is accepted, once.
    assert_eq!(lost(board.update(&lease).await.unwrap_err()), State::Ready);
    assert_eq!(lost(board.park(&lease).await.unwrap_err()), State::Ready);
    assert_eq!(lost(board.finish(&lease, failed("x")).await.unwrap_err()), State::Ready);
    assert_eq!(lost(board.finish(&lease, Outcome::Released).await.unwrap_err()), State::Ready);
    assert_eq!(board.finish(&lease, completed()).await.unwrap().workflow_state, Some(workflows::State::Completed));
    assert_eq!(lost(board.finish(&lease, completed()).await.unwrap_err()), State::Completed);
    board.look(&made.id).await;
    // Claimed since, the first one is too late.
    let made = alone(&board, task("b")).await;
    let first = board.one().await.lease;
    board.pass_ms(LEASE_MS);
    let second = board.one().await;
    assert_eq!((second.lease.fence, second.attempt), (2, 2), "a claim puts back what has run out");
    assert_eq!(lost(board.finish(&first, completed()).await.unwrap_err()), State::Leased);
    board.finish(&second.lease, completed()).await.unwrap();
    board.look(&made.id).await;
}

async fn a_task_that_breaks_its_workers_dies(store: &Arc<Store>) {
    let board = Board::new(store, "stalled");
    let waits = after_or("waits", &[0], OnDependencyFailure::Continue);
    let made = board.create(flow(OnTaskFailure::Continue, vec![NewTask { attempts_max: 1, ..task("a") }, waits])).await;
    for lost_leases in 1..=6 {
        assert_eq!(board.one().await.task_id, made.tasks[0]);
        board.pass_ms(LEASE_MS);
        board.sweep().await;
        let state = board.task(&made.tasks[0]).await.state;
        assert_eq!(state, if lost_leases <= 5 { State::Ready } else { State::Dead }, "{lost_leases}");
    }
    let dead = board.task(&made.tasks[0]).await;
    assert_eq!(dead.error.unwrap().code.as_deref(), Some("stalled"));
    assert_eq!(board.states(&made.id).await.1, [State::Dead, State::Ready]);
}

async fn one_attempt_may_take_so_long_and_no_longer(store: &Arc<Store>) {
    let board = Board::new(store, "runtime");
    let made = alone(&board, NewTask { runtime_ms_max: Some(LEASE_MS + 5_000), ..task("a") }).await;
    let end = board.now().plus_ms(LEASE_MS + 5_000);
    let claimed = board.one().await;
    board.pass_ms(10_000);
    assert_eq!(board.update(&claimed.lease).await.unwrap().lease_until, Some(end));
    board.pass_ms(LEASE_MS - 5_000);
    board.sweep().await;
    assert_eq!(board.task(&made.tasks[0]).await.state, State::Ready);
}

async fn open_tasks_are_cancelled_and_dead_ones_tried_again(store: &Arc<Store>) {
    let board = Board::new(store, "cancelled");
    let later = Some(board.now().plus_ms(1_000_000));
    let tasks = vec![
        task("leased"),
        task("parked"),
        task("retries"),
        task("ready"),
        NewTask { run_at: later, ..task("later") },
        after_or("blocked", &[4], OnDependencyFailure::Cancel),
        task("dies"),
    ];
    let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
    let ids: Vec<&str> = made.tasks.iter().map(String::as_str).collect();
    let leased = board.one().await.lease;
    let (parked, retried) = (board.one().await.lease, board.one().await.lease);
    board.park(&parked).await.unwrap();
    board.finish(&retried, failed("x")).await.unwrap();
    let all = board.claim("agent", 9).await;
    board.finish(&all[0].lease, Outcome::Released).await.unwrap();
    board.finish(&all[1].lease, failed("invalid")).await.unwrap();
    let states = board.states(&made.id).await.1;
    use State::{Blocked, Cancelled, Dead, Leased, Parked, Ready, RetryWait, Scheduled};
    assert_eq!(states, [Leased, Parked, RetryWait, Ready, Scheduled, Blocked, Dead]);
    let managed = board.manage(Change::Cancel, &ids[..6]).await.unwrap();
    assert_eq!(managed.affected, 6);
    let (state, states) = board.states(&made.id).await;
    assert_eq!(states, [Cancelled, Cancelled, Cancelled, Cancelled, Cancelled, Cancelled, Dead]);
    assert_eq!(state, workflows::State::Completed, "all that could be done is over");
    assert_eq!(board.task(ids[0]).await.fence, 2);
    for outcome in [completed(), failed("x"), Outcome::Released] {
        assert_eq!(lost(board.finish(&leased, outcome).await.unwrap_err()), Cancelled);
    }
}

async fn a_dead_task_is_tried_again_with_all_its_attempts(store: &Arc<Store>) {
    let board = Board::new(store, "redriven");
    let capable = vec!["redriving".to_owned()];
    let dies = NewTask { attempts_max: 1, capabilities: capable, ..task("dies") };
    let made = board.create(flow(OnTaskFailure::Continue, vec![dies, task("other")])).await;
    let id = made.tasks[0].as_str();
    claims::register(&board, "able", &["redriving"]).await;
    let lease = board.claim("able", 1).await.remove(0).lease;
    board.finish(&lease, failed("x")).await.unwrap();
    board.pass_ms(5_000);
    board.manage(Change::Retry, &[id]).await.unwrap();
    let view = board.task(id).await;
    assert_eq!((view.state, view.fence, view.attempts), (State::Ready, 3, 0));
    assert_eq!(board.one().await.task_id, made.tasks[1], "its capabilities are still asked for");
    let again = board.claim("able", 1).await.remove(0);
    assert_eq!((again.task_id.as_str(), again.attempt, again.lease.fence), (id, 1, 4));
    assert_eq!(lost(board.finish(&lease, completed()).await.unwrap_err()), State::Leased);
    board.finish(&again.lease, completed()).await.unwrap();
    board.look(&made.id).await;
}

async fn what_is_said_is_kept_and_what_is_spent_is_counted(store: &Arc<Store>) {
    let board = Board::new(store, "said");
    let made = alone(&board, task("a")).await;
    let lease = board.one().await.lease;
    let cost = Cost { amount: Micros(10_000), model: Some("m".into()), input_tokens: 5, output_tokens: 7 };
    let update = Update {
        progress: Some(0.5),
        message: Some("half ä €".into()),
        checkpoint: Some(text("[1, 2.50]")),
        cost: Some(cost.clone()),
        ..board.update_of(&lease)
    };
    store.update_task(update).await.unwrap().unwrap();
    let (workflow, tasks) = board.look(&made.id).await;
    assert_eq!((tasks[0].progress, tasks[0].message.as_deref()), (Some(0.5), Some("half ä €")));
    assert_eq!((workflow.cost, tasks[0].cost), (Micros(10_000), Micros(10_000)));
    board.pass_ms(LEASE_MS);
    let again = board.one().await;
    assert_eq!(again.checkpoint.unwrap().get(), "[1, 2.50]");
    let finish = callboard::store::tasks::Finish {
        lease: again.lease,
        outcome: Outcome::Completed { result: Some(json::of(&"x".repeat(300_000))) },
        cost: Some(cost),
        jitter: 0.0,
        key: None,
        now: board.now(),
    };
    store.finish_task(finish).await.unwrap().unwrap();
    let (workflow, tasks) = board.look(&made.id).await;
    assert_eq!((workflow.cost, tasks[0].cost), (Micros(20_000), Micros(20_000)));
    assert_eq!(tasks[0].result.as_ref().unwrap().get().len(), 300_002);
}

async fn a_task_needs_no_workflow(store: &Arc<Store>) {
    let board = Board::new(store, "lone");
    let tasks = vec![task("a"), after_or("b", &[0], OnDependencyFailure::Cancel)];
    let enqueued = store.enqueue_tasks(board.enqueue(None, tasks)).await.unwrap().unwrap();
    assert_eq!(enqueued.iter().map(|task| task.state).collect::<Vec<_>>(), [State::Ready, State::Blocked]);
    let lease = board.one().await.lease;
    let done = board.finish(&lease, completed()).await.unwrap();
    assert_eq!((done.workflow_state, done.unblocked), (None, vec![enqueued[1].task_id.clone()]));
    let second = board.one().await;
    assert_eq!(second.dependency_results.get("a").map(|result| result.get()), Some(r#"{"rows":12}"#));
    board.park(&second.lease).await.unwrap();
    board.manage(Change::Answer(None), &[&second.task_id]).await.unwrap();
    let lease = board.one().await.lease;
    board.finish(&lease, failed("invalid")).await.unwrap();
    board.manage(Change::Retry, &[&second.task_id]).await.unwrap();
    board.manage(Change::Cancel, &[&second.task_id]).await.unwrap();
    assert_eq!(board.task(&second.task_id).await.state, State::Cancelled);
}

async fn holds(store: Arc<Store>, other: Arc<Store>) {
    let store = &store;
    a_task_is_enqueued_by_its_dependencies_and_its_time(store).await;
    a_claim_leases_under_a_new_fence(store).await;
    only_the_token_of_the_lease_gives_a_right(store).await;
    of_one_lease_one_end_is_accepted(store).await;
    a_failure_is_tried_again_later(store).await;
    a_worker_may_say_how_long_to_wait(store).await;
    some_failures_are_for_good(store).await;
    the_last_twenty_failures_are_kept(store).await;
    a_released_task_is_as_if_never_claimed(store).await;
    a_parked_task_goes_on_with_the_answer(store).await;
    a_lease_that_runs_out_is_another_s_and_a_late_completion_counts_until_then(store).await;
    a_task_that_breaks_its_workers_dies(store).await;
    one_attempt_may_take_so_long_and_no_longer(store).await;
    open_tasks_are_cancelled_and_dead_ones_tried_again(store).await;
    a_dead_task_is_tried_again_with_all_its_attempts(store).await;
    what_is_said_is_kept_and_what_is_spent_is_counted(store).await;
    a_task_needs_no_workflow(store).await;
    dependencies::hold(store).await;
    claims::hold(store, &other).await;
    many::hold(store).await;
    beside::hold(store).await;
}

on_both_stores!(holds);
