//! Variables that nothing reads, with a name that is nearly one of ours: a typo must not silently leave a setting off.

use super::{
    database::{DATABASE_DESCRIPTIONS, MORE_DATABASES},
    setting::Setting,
    table,
};

/// What people write who mean one of our names, and what is too far from it to be a typo.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("DATABASE_DSN", "DATABASE_URL"),
    ("POSTGRES_DSN", "POSTGRES_URL"),
    ("POSTGRESQL_URL", "POSTGRES_URL"),
    ("POSTGRESQL_HOST", "POSTGRES_HOST"),
    ("POSTGRES_HOSTNAME", "POSTGRES_HOST"),
    ("PG_URL", "POSTGRES_URL"),
    ("PG_HOSTNAME", "PGHOST"),
    ("PGHOSTNAME", "PGHOST"),
    ("ELASTIC_URL", "ELASTICSEARCH_URL"),
    ("ELASTIC_HOST", "ELASTICSEARCH_URL"),
    ("ELASTIC_HOSTS", "ELASTICSEARCH_HOSTS"),
    ("ELASTIC_API_KEY", "ELASTICSEARCH_API_KEY"),
    ("ELASTIC_SEARCH_URL", "ELASTICSEARCH_URL"),
    ("ELASTICSEARCH_NODE", "ELASTICSEARCH_URL"),
    ("ELASTICSEARCH_NODES", "ELASTICSEARCH_HOSTS"),
    ("ELASTICSEARCH_USER", "ELASTICSEARCH_USERNAME"),
    ("ES_HOST", "ES_URL"),
    ("ES_HOSTS", "ELASTICSEARCH_HOSTS"),
    ("ES_USER", "ES_USERNAME"),
    ("OPENSEARCH_HOST", "OPENSEARCH_URL"),
    ("OPENSEARCH_HOSTS", "OPENSEARCH_URL"),
    ("OPENSEARCH_USER", "OPENSEARCH_USERNAME"),
];

/// Names of other programs that are near one of ours and mean something else.
const OTHER_PROGRAMS: &[&str] = &[
    "PGDATA",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGHOSTS_FILE",
    "REDIS_URI",
    "NATS_URI",
    "POSTGRES_HOST_AUTH_METHOD",
    "ELASTIC_PASSWORD",
    "ES_HOME",
];

/// Each of them leads to a PostgreSQL.
const ADDRESSES: [&str; 4] = ["DATABASE_URL", "PGHOST", "PGDATABASE", "POSTGRES_HOST"];

/// Letters of the shortest name that can be misspelt; shorter ones are near too much.
const LETTERS_LEAST: usize = 6;

/// A sentence for each variable that is nearly a setting. `found` is the name under which a setting is set; none while it is not.
pub fn warnings<'a, 'found>(
    variables: impl Iterator<Item = &'a str>,
    found: impl Fn(&Setting) -> Option<&'found str>,
) -> Vec<String> {
    let set_as = |name: &str| found(table::find(name)?);
    let is_set = |name: &str| set_as(name).is_some();
    let has_address = ADDRESSES.iter().any(|name| is_set(name));
    let warning = |name: &'a str| {
        if name == "PGSERVICE" && !has_address {
            return Some(
                "`PGSERVICE` is set, but no service file is read; write the address into `DATABASE_URL`".to_owned(),
            );
        }
        let meant = suggestion(name, &is_set)?;
        Some(format!("`{name}` is set, but no setting has that name; did you mean `{meant}`?"))
    };
    variables.filter_map(warning).chain(without_host(set_as)).collect()
}

/// Parts of an address that a file for containers sets for the database beside this server, and that say nothing without its host.
fn without_host<'found>(set_as: impl Fn(&str) -> Option<&'found str>) -> Option<String> {
    if ADDRESSES.iter().any(|name| set_as(name).is_some()) {
        return None;
    }
    let part = ["POSTGRES_DATABASE", "POSTGRES_USER", "POSTGRES_PASSWORD"].iter().find_map(|name| set_as(name))?;
    Some(format!("`{part}` is set, but PostgreSQL is used only where `POSTGRES_HOST` or `DATABASE_URL` is set too"))
}

/// The setting that a name stands for which is not one.
fn suggestion(name: &str, is_set: &dyn Fn(&str) -> bool) -> Option<String> {
    let plain = name.to_ascii_uppercase().replace(['-', '.'], "_");
    if OTHER_PROGRAMS.contains(&plain.as_str()) {
        return None;
    }
    if let Some((_, meant)) = OTHER_WORDS.iter().find(|(other, _)| *other == plain) {
        return (!is_set(meant)).then(|| (*meant).to_owned());
    }
    let names = table::settings().flat_map(Setting::names);
    let nearest = names.filter_map(|known| Some((edits(&plain, known)?, known))).min();
    if let Some((_, known)) = nearest {
        return Some(known.to_owned());
    }
    if let Some(rest) = plain.strip_suffix("_FILE") {
        let secrets = table::settings().filter(|setting| setting.secret).flat_map(Setting::names);
        let nearest = secrets.filter_map(|known| Some((edits(rest, known)?, known))).min();
        return nearest.map(|(_, known)| format!("{known}_FILE"));
    }
    [MORE_DATABASES, DATABASE_DESCRIPTIONS].iter().find_map(|prefix| {
        let (at, _) = plain.match_indices('_').nth(1)?;
        let (head, rest) = (plain.get(..at)?, plain.get(at + 1..).filter(|rest| !rest.is_empty())?);
        edits(head, prefix.trim_end_matches('_')).map(|_| format!("{prefix}{rest}"))
    })
}

/// How many letters one has to change to get from one name to the other, when they are few: a typo changes letters inside a word, or forgets an
/// underscore. None when they are too many.
fn edits(given: &str, known: &str) -> Option<usize> {
    if given.len() < LETTERS_LEAST || known.len() < LETTERS_LEAST {
        return None;
    }
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (known.split('_').collect(), given.split('_').collect());
    if ours.len() == theirs.len() {
        let words = ours.iter().zip(&theirs).map(|(ours, theirs)| {
            let distance = strsim::osa_distance(ours, theirs);
            let allowed = match ours.len() {
                0..=2 => usize::from(is_swap(ours, theirs)),
                3..=7 => 1,
                _ => 2,
            };
            (distance <= allowed).then_some(distance)
        });
        return words.sum::<Option<usize>>().filter(|distance| *distance <= 2);
    }
    let distance = strsim::osa_distance(&known.replace('_', ""), &given.replace('_', ""));
    (distance <= 1).then_some(distance)
}

fn is_swap(one: &str, other: &str) -> bool {
    one.chars().rev().eq(other.chars())
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn a_typo_is_found() {
        for (name, setting) in [
            ("DATABSE_URL", "DATABASE_URL"),
            ("DATABASE_ULR", "DATABASE_URL"),
            ("DATABASEURL", "DATABASE_URL"),
            ("DATABASE-URL", "DATABASE_URL"),
            ("database_url", "DATABASE_URL"),
            ("DATABSE_URL_FILE", "DATABASE_URL_FILE"),
            ("DATABSE_URL_SALES", "DATABASE_URL_SALES"),
            ("ELASTIC_URL", "ELASTICSEARCH_URL"),
            ("ELASTICSEARCH_HOST", "ELASTICSEARCH_HOSTS"),
            ("ELASTICSERCH_URL", "ELASTICSEARCH_URL"),
            ("ES_APIKEY", "ES_API_KEY"),
            ("ES_ULR", "ES_URL"),
            ("OPENSERCH_URL", "OPENSEARCH_URL"),
            ("REDIS_ULR", "REDIS_URL"),
            ("PGHOSTS", "PGHOST"),
            ("PG_HOST", "PGHOST"),
            ("PGPASWORD", "PGPASSWORD"),
            ("POSTGRES_HOSTNAME", "POSTGRES_HOST"),
            ("POSTGRE_URL", "POSTGRES_URL"),
            ("CALLBORD_READ_ONLY", "CALLBOARD_READ_ONLY"),
            ("CALLBOARD-READ-ONLY", "CALLBOARD_READ_ONLY"),
            ("callboard_read_only", "CALLBOARD_READ_ONLY"),
            ("CALBOARD_DATA_DIR", "CALLBOARD_DATA_DIR"),
        ] {
            assert_eq!(suggestion(name, &|_| false).as_deref(), Some(setting), "{name}");
        }
    }

    #[test]
    fn names_of_other_programs_are_no_typos() {
        for name in [
            "PATH",
            "HOME",
            "LANG",
            "TERM",
            "USER",
            "SHELL",
            "HTTP_PROXY",
            "http_proxy",
            "NO_PROXY",
            "DNS",
            "SND",
            "PGDATA",
            "PGTZ",
            "PGOPTIONS",
            "PGAPPNAME",
            "PGSERVICE",
            "PGSERVICEFILE",
            "PGCLIENTENCODING",
            "PGSSLCRL",
            "PGSSLCRLDIR",
            "PGREQUIRESSL",
            "PGCONNECT_TIMEOUT",
            "PGTARGETSESSIONATTRS",
            "PGGSSENCMODE",
            "PGSYSCONFDIR",
            "PGREALM",
            "PGDATESTYLE",
            "PGGEQO",
            "PGHOME",
            "DATABASE_NAME",
            "DATABASE_USER",
            "DATABASE_PASSWORD",
            "DATABASE_HOST",
            "DATABASE_PORT",
            "DATABASE_SSL",
            "DATABASE_DIR",
            "DATABASE_ID",
            "DB_NAME",
            "DB_USER",
            "DB_HOST",
            "DB_PORT",
            "DB_PASSWORD",
            "MY_URL",
            "FB_URL",
            "JS_URL",
            "APP_URL",
            "API_URL",
            "ES_JAVA_HOME",
            "ES_JAVA_OPTS",
            "ES_PATH_CONF",
            "ES_HOME",
            "ES_TMPDIR",
            "ELASTIC_PASSWORD",
            "ELASTIC_VERSION",
            "POSTGRES_INITDB_ARGS",
            "POSTGRES_INITDB_WALDIR",
            "POSTGRES_HOST_AUTH_METHOD",
            "REDIS_URI",
            "REDIS_TLS_URL",
            "REDIS_SSL",
            "REDIS_POOL",
            "NATS_URI",
            "NATS_USER",
            "NATS_SERVER",
            "OPENSEARCH_JAVA_OPTS",
            "OPENSEARCH_INITIAL_ADMIN_PASSWORD",
            "MYSQL_URL",
            "MONGODB_URL",
            "TEST_DATABASE_URL",
            "SHADOW_DATABASE_URL",
            "DATABASE_POOL_SIZE",
            "SERVER_URL",
            "BASE_URL",
            "XDG_DATA_HOME",
            "CARGO_HOME",
            "JAVA_HOME",
        ] {
            assert_eq!(suggestion(name, &|_| false), None, "{name}");
        }
    }

    #[test]
    fn another_word_is_no_typo_where_the_setting_is_set() {
        assert_eq!(suggestion("ELASTICSEARCH_USER", &|_| true), None);
    }
}
