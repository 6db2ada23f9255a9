//! What every adapter of a port must do, run on every real server.

/// Tests of `$holds` on both record stores: it is given a store, and the same one as another process opens it.
macro_rules! on_both_stores {
    ($holds:ident) => {
        #[tokio::test]
        async fn sqlite() {
            let home = tempfile::tempdir().unwrap();
            let (store, other_process) =
                crate::contract::records::opened_twice(&crate::contract::records::in_file(home.path()));
            $holds(store, other_process).await;
        }

        #[tokio::test]
        async fn postgresql() {
            let url = crate::support::postgres::shared().database();
            let (store, other_process) =
                crate::contract::records::opened_twice(&crate::contract::records::on_postgres(&url));
            $holds(store, other_process).await;
            let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
            let name = crate::support::postgres::name_of(&url);
            assert_eq!(crate::support::postgres::shared().psql(name, deadlocks), "0");
        }
    };
}

mod agents;
mod idempotency;
mod late;
mod locks;
pub mod records;
mod search;
pub mod sessions;
mod sql;
mod tasks;
mod upkeep;
mod webhooks;
mod workflows;
