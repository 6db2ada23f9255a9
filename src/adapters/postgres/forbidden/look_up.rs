//! The questions to the catalog about the words of a statement.

use std::sync::LazyLock;

use super::words::HARMLESS;

/// Functions of extensions that are volatile and only compute, with the library they are in. Only a superuser can make a function in C, so
/// none of a user's own passes by its name, and none that an extension's owner added to it.
const HARMLESS_IN_EXTENSIONS: &str = "{pgcrypto gen_random_bytes,pgcrypto gen_random_uuid,pgcrypto gen_salt,\
     pgcrypto pgp_pub_encrypt,pgcrypto pgp_pub_encrypt_bytea,pgcrypto pgp_sym_encrypt,pgcrypto pgp_sym_encrypt_bytea,\
     tablefunc normal_rand,uuid-ossp uuid_generate_v1,uuid-ossp uuid_generate_v1mc,uuid-ossp uuid_generate_v4}";

/// The condition that a row of pg_proc under the alias `p` is a function that may do more than read.
fn risky(p: &str) -> String {
    let harmless = HARMLESS.join(",");
    format!(
        "(({p}.provolatile = 'v' OR {p}.prosecdef) AND NOT (
    {p}.oid < 16384 AND {p}.pronamespace = 'pg_catalog'::regnamespace AND {p}.proname = ANY ('{{{harmless}}}'::name[])
    OR {p}.oid >= 16384 AND {p}.prolang = 13
     AND pg_catalog.concat(pg_catalog.regexp_replace({p}.probin, '^\\$libdir/', ''), ' ', {p}.proname) = ANY ('{HARMLESS_IN_EXTENSIONS}')
     AND EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = {p}.oid AND e.deptype = 'e')))"
    )
}

/// The condition that the function under the alias `p` can stand in a query: triggers and what only the server calls cannot.
fn callable(p: &str) -> String {
    format!(
        "{p}.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'tsm_handler'::regtype)
  AND NOT 'internal'::regtype = ANY ({p}.proargtypes)"
    )
}

/// Names of the functions that every database of this server has and that may do more than read.
pub static SHIPPED: LazyLock<String> = LazyLock::new(|| {
    let (risky, callable) = (risky("p"), callable("p"));
    format!(
        "-- shipped_functions
SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc p WHERE p.oid < 16384 AND {risky} AND {callable}"
    )
});

/// Of a statement that calls nothing: what users made under its words, each with its kind; `known` is what nothing stands against and what is not
/// among `$5`. Each part starts from an index over names, and from objects of users, since none of the operators and casts that every
/// database has is risky.
///
/// What it finds of the kinds in `$4` fails the transaction, by a division by zero, so that what is on its way behind this is refused: a
/// constant of a type is read while a statement is described, and a repeated statement runs without waiting.
///
/// A list stands in a SELECT of its own, which hides its length from the planner: knowing it, PostgreSQL would plan this anew for each
/// statement of few words, which takes twenty times as long as running it.
pub static LOOK_UP: LazyLock<String> = LazyLock::new(|| look_up(""));

/// The same for one that calls what has the names in `$6`.
pub static LOOK_UP_CALLS: LazyLock<String> = LazyLock::new(|| {
    let (callable, risky_p, risky_r) = (callable("p"), risky("p"), risky("r"));
    look_up(&format!(
        "SELECT p.proname::text,
       CASE WHEN CASE WHEN p.prokind = 'a'
                 THEN EXISTS (SELECT FROM pg_catalog.pg_aggregate a
                              JOIN pg_catalog.pg_proc r
                                ON r.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
                              WHERE a.aggfnoid = p.oid AND {risky_r})
                 ELSE {risky_p} AND {callable} END
            THEN CASE WHEN p.pronamespace = 'pg_catalog'::regnamespace THEN 'system' ELSE 'function' END ELSE 'known' END,
       p.oid,
       (SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.oid = p.pronamespace),
       -- Reached without a schema. One that takes arguments is not hidden by another of the same types: names of arguments tell them apart.
       (SELECT n.nspname = ANY (pg_catalog.current_schemas(true)) FROM pg_catalog.pg_namespace n WHERE n.oid = p.pronamespace)
           AND (p.pronargs > 0 OR pg_catalog.pg_function_is_visible(p.oid)),
       -- An aggregate is called by (*) without arguments, and by () with those of WITHIN GROUP.
       p.prokind = 'a' OR p.provariadic <> 0 OR p.pronargs = p.pronargdefaults,
       p.prokind = 'a' OR p.pronargs > 0
FROM pg_catalog.pg_proc p
WHERE p.proname = ANY ((SELECT $6 /* called */)::name[]) AND p.oid >= 16384
UNION ALL
"
    ))
});

fn look_up(calls: &str) -> String {
    let risky_r = risky("r");
    format!(
        "-- forbidden_words
SELECT f.word, CASE WHEN f.kind = ANY ($4 /* stops at */) THEN (1 / (f.oid::int8 - f.oid::int8))::text ELSE f.kind END, f.oid,
       f.schema, f.reached, f.without_arguments, f.with_arguments
FROM (
{calls}SELECT o.oprname::text,
       CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_proc r WHERE r.oid = o.oprcode AND {risky_r})
              -- A new one whose name every database has is only suspect between types that every database has.
              AND (o.oprleft < 16384 AND o.oprright < 16384
                   OR NOT EXISTS (SELECT FROM pg_catalog.pg_operator b WHERE b.oprname = o.oprname AND b.oid < 16384))
            THEN 'operator' ELSE 'known' END,
       o.oid, NULL, NULL::bool, NULL::bool, NULL::bool
FROM pg_catalog.pg_operator o
WHERE o.oprname = ANY ((SELECT $2 /* operators */)::name[]) AND o.oid >= 16384
UNION ALL
SELECT t.typname::text,
       CASE WHEN t.typtype = 'd' AND (t.typbasetype >= 16384 OR EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid))
              OR t.typelem >= 16384
              OR t.typtype = 'r'
              OR t.typtype = 'c' AND (t.typname = ANY ((SELECT $3 /* written as types */)::name[])
                  OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
              OR EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc r ON r.oid = c.castfunc
                         WHERE c.oid >= 16384 AND t.oid IN (c.castsource, c.casttarget) AND {risky_r})
            THEN 'type' ELSE 'known' END,
       t.oid, NULL, NULL, NULL, NULL
FROM pg_catalog.pg_type t
WHERE t.typname = ANY ((SELECT $1 /* names */)::name[]) AND t.oid >= 16384
UNION ALL
SELECT c.relname::text, 'view', c.oid, NULL, NULL, NULL, NULL
FROM pg_catalog.pg_class c
WHERE c.relname = ANY ((SELECT $1)::name[]) AND c.relkind = 'v' AND c.oid >= 16384
OFFSET 0 -- keeps the conditions from being written into each part
) f (word, kind, oid, schema, reached, without_arguments, with_arguments)
WHERE f.kind <> 'known' OR f.oid <> ALL ((SELECT $5 /* known */)::oid[])"
    )
}

/// Which of the names are schemas.
pub const SCHEMAS: &str = "-- schemas
SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($1 /* names */)";

/// Types of a statement that reach a function that may do more than read: by a cast, or by the check of a domain that they are or are made
/// of, through arrays, ranges and composites.
pub static TYPES: LazyLock<String> = LazyLock::new(|| {
    let risky = risky("p");
    format!(
        "-- forbidden_types
WITH RECURSIVE made_of (name, type) AS (
    SELECT t.typname, t.oid
    FROM pg_catalog.pg_type t
    WHERE t.typname = ANY ($1 /* names */) AND t.oid >= 16384
      AND (t.typname = ANY ($2 /* written as types */)
           OR NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c'))
    UNION
    SELECT m.name, part.type
    FROM made_of m
    CROSS JOIN LATERAL (
        SELECT t.typbasetype AS type FROM pg_catalog.pg_type t WHERE t.oid = m.type
        UNION ALL SELECT t.typelem FROM pg_catalog.pg_type t WHERE t.oid = m.type
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = m.type
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
                  WHERE t.oid = m.type
    ) part
    WHERE part.type >= 16384
)
SELECT DISTINCT m.name::text
FROM made_of m
CROSS JOIN LATERAL (
    SELECT c.castfunc AS called FROM pg_catalog.pg_cast c WHERE c.oid >= 16384 AND m.type IN (c.castsource, c.casttarget)
    UNION ALL
    SELECT d.refobjid FROM pg_catalog.pg_constraint c
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = c.oid
     AND d.refclassid = 'pg_catalog.pg_proc'::regclass
    WHERE c.contypid = m.type
    OFFSET 0
) reached
JOIN pg_catalog.pg_proc p ON p.oid = reached.called
WHERE {risky} AND p.proname::text <> ALL ($3 /* allowed */)"
    )
});

/// Views of a statement that call a function that may do more than read, themselves or by a view in them. What the server or an extension
/// brings is trusted.
pub static VIEWS: LazyLock<String> = LazyLock::new(|| {
    let risky = risky("p");
    format!(
        "-- forbidden_views
WITH RECURSIVE viewed (name, view) AS (
    SELECT c.relname, c.oid
    FROM pg_catalog.pg_class c
    WHERE c.relname = ANY ($1 /* names */) AND c.relkind = 'v' AND c.oid >= 16384
    UNION
    SELECT v.name, part.view
    FROM viewed v
    CROSS JOIN LATERAL (
        SELECT c.oid AS view
        FROM pg_catalog.pg_rewrite w
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
         AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid >= 16384
        JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind = 'v'
        WHERE w.ev_class = v.view
        OFFSET 0
    ) part
)
SELECT DISTINCT v.name::text
FROM viewed v
CROSS JOIN LATERAL (
    SELECT (pg_catalog.regexp_matches(w.ev_action::text, ' :(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g'))[1]::oid AS called
    FROM pg_catalog.pg_rewrite w WHERE w.ev_class = v.view
    OFFSET 0
) reached
JOIN pg_catalog.pg_proc p ON p.oid = reached.called
WHERE {risky} AND p.proname::text <> ALL ($2 /* allowed */)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = v.view AND d.deptype = 'e')"
    )
});
