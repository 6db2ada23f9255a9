//! The words that need no look into the catalog.

use crate::domain::sql::guard::{Name, SETTINGS};

/// Why a volatile or SECURITY DEFINER function is refused.
pub const MORE_THAN_READS: &str = "it is a function that may do more than read";
/// Why an operator or type is refused.
pub const CALLS_MORE: &str = "it calls a function that may do more than read";
/// Why a relation or setting is refused.
pub const HOLDS_SECRETS: &str = "it holds secrets, paths, or what other users do";
const RUNS_TEXT: &str = "it runs SQL passed to it as text";
const READS_FILES: &str = "it reaches files, large objects or other servers";
const SHOWS_SESSIONS: &str = "it shows what other users do";

/// Volatile functions of PostgreSQL itself that only compute or look.
pub const HARMLESS: [&str; 34] = [
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sequence_last_value",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_xact_commit_timestamp",
    "pg_xact_status",
    "random",
    "random_normal",
    "timeofday",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

/// Relations that hold secrets, or samples of what tables hold whatever the rights on those.
const SECRETS: [&str; 42] = [
    "_pg_foreign_data_wrappers",
    "_pg_foreign_servers",
    "_pg_foreign_tables",
    "_pg_user_mappings",
    "foreign_data_wrapper_options",
    "foreign_server_options",
    "foreign_table_options",
    "pg_authid",
    "pg_config",
    "pg_db_role_setting",
    "pg_dist_authinfo",
    "pg_file_settings",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_largeobject",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_settings",
    "pg_shadow",
    "pg_show_all_file_settings",
    "pg_show_all_settings",
    "pg_stat_activity",
    "pg_stat_gssapi",
    "pg_stat_monitor",
    "pg_stat_replication",
    "pg_stat_ssl",
    "pg_stat_statements",
    "pg_stat_subscription",
    "pg_stat_wal_receiver",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_subscription",
    "pg_tablespace_location",
    "pg_user_mapping",
    "pg_user_mappings",
    "user_mapping_options",
    "user_mappings",
];

/// Functions that are refused whatever the catalog says of them, by name or by how the name begins.
const ALWAYS: [(&str, &str); 25] = [
    ("connectby", RUNS_TEXT),
    ("crosstab*", RUNS_TEXT),
    ("cursor_to_xml*", RUNS_TEXT),
    ("database_to_xml*", RUNS_TEXT),
    ("query_to_xml*", RUNS_TEXT),
    ("schema_to_xml*", RUNS_TEXT),
    ("table_to_xml*", RUNS_TEXT),
    ("ts_stat", RUNS_TEXT),
    ("xpath_table", RUNS_TEXT),
    ("dblink*", READS_FILES),
    ("pg_current_logfile", READS_FILES),
    ("pg_file_*", READS_FILES),
    ("pg_get_wal_*", READS_FILES),
    ("pg_logdir_ls", READS_FILES),
    ("pg_ls_*", READS_FILES),
    ("pg_read_*", READS_FILES),
    ("pg_stat_file", READS_FILES),
    ("xslt_process", READS_FILES),
    ("pg_toast*", HOLDS_SECRETS),
    ("pg_cursor", SHOWS_SESSIONS),
    ("pg_prepared_statement", SHOWS_SESSIONS),
    ("pg_stat_get_activity", SHOWS_SESSIONS),
    ("pg_stat_get_backend_*", SHOWS_SESSIONS),
    ("pg_stat_get_wal_*", SHOWS_SESSIONS),
    ("pg_stat_get_subscription*", SHOWS_SESSIONS),
];

/// Why a volatile function of PostgreSQL itself is refused.
pub fn of_system(name: &str) -> &'static str {
    match name {
        "nextval" | "setval" => "it changes a sequence; a column's default calls it where rows are inserted",
        "currval" | "lastval" => {
            "it knows the calls of nextval in its own session only, in which a query never makes one"
        }
        "pg_sleep" | "pg_sleep_for" | "pg_sleep_until" => "it only waits, and holds a connection meanwhile",
        "setseed" | "set_config" => "it changes the session for statements that follow on it",
        _ if name.contains("advisory") => {
            "it takes or frees locks of the session, which calls share; manage_lock does it for agents"
        }
        _ => MORE_THAN_READS,
    }
}

/// Why a word is refused wherever it stands, if it is.
pub fn always(word: &str) -> Option<&'static str> {
    if SECRETS.contains(&word) {
        return Some(HOLDS_SECRETS);
    }
    let of = |(name, why): &(&str, &'static str)| {
        let is = match name.strip_suffix('*') {
            Some(beginning) => word.starts_with(beginning) && !is_role(word),
            None => word == *name,
        };
        is.then_some(*why)
    };
    ALWAYS.iter().find_map(of)
}

/// `pg_read_all_data` and its like are roles: `pg_has_role('pg_read_all_data', …)` names them in a string, a query may in a name.
fn is_role(word: &str) -> bool {
    matches!(word, "pg_read_all_data" | "pg_read_all_settings" | "pg_read_all_stats")
}

/// Whether `current_setting` may be asked for it.
pub fn is_harmless_setting(setting: &str) -> bool {
    SETTINGS.iter().any(|known| known.eq_ignore_ascii_case(setting))
}

/// Reserved in every version of PostgreSQL, so that nothing has such a name unless it is quoted or stands behind a point.
const GRAMMAR: [&str; 28] = [
    "and", "as", "asc", "case", "desc", "distinct", "else", "end", "false", "from", "group", "having", "in", "limit",
    "not", "null", "offset", "on", "or", "order", "select", "then", "true", "union", "using", "when", "where", "with",
];

/// Whether a word of a statement can only be a part of its grammar.
pub fn is_grammar(name: &Name<'_>) -> bool {
    !name.quoted && !name.after_point && GRAMMAR.contains(&name.name)
}
