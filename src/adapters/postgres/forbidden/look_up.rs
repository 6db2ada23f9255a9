//! The questions to the catalog about the words of a statement.

/// The function `p` only computes or looks: one of PostgreSQL's own of the names in this parameter, or one of an extension that comes with it.
/// Only a superuser can make a function in C, so none of a user's own passes by its name, and none that an extension's owner added to it.
macro_rules! harmless {
    ($names:literal) => {
        concat!(
            "(p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (",
            $names,
            " /* harmless */)
  OR p.oid >= 16384 AND p.prolang = 13 AND (pg_catalog.regexp_replace(p.probin, '^\\$libdir/', ''), p.proname) IN (
       ('pgcrypto', 'gen_random_bytes'), ('pgcrypto', 'gen_random_uuid'), ('pgcrypto', 'gen_salt'),
       ('pgcrypto', 'pgp_pub_encrypt'), ('pgcrypto', 'pgp_pub_encrypt_bytea'),
       ('pgcrypto', 'pgp_sym_encrypt'), ('pgcrypto', 'pgp_sym_encrypt_bytea'), ('tablefunc', 'normal_rand'),
       ('uuid-ossp', 'uuid_generate_v1'), ('uuid-ossp', 'uuid_generate_v1mc'), ('uuid-ossp', 'uuid_generate_v4'))
     AND EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e'))"
        )
    };
}

/// Of every statement. Every part starts from an index over names or from what is not part of every database: there are thousands of
/// functions, and none of the operators and casts that every database has is risky.
///
/// A constant of a type is read while a statement is described, which is on its way behind this. So a type that is risky, or may be by what
/// it is made of, fails the transaction where `stop` says so, by a division by zero.
pub const LOOK_UP: &str = concat!(
    "-- forbidden_words
WITH risky AS NOT MATERIALIZED (
    SELECT p.oid, p.proname, p.pronamespace = 'pg_catalog'::regnamespace AS system, p.prorettype, p.proargtypes
    FROM pg_catalog.pg_proc p
    WHERE (p.provolatile = 'v' OR p.prosecdef)
      AND NOT ",
    harmless!("$3"),
    "
),
found (word, kind, function) AS NOT MATERIALIZED (
SELECT r.proname::text, CASE WHEN r.system THEN 'system' ELSE 'function' END, r.oid
FROM risky r
WHERE r.proname = ANY ($1 /* names */)
  AND r.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'tsm_handler'::regtype)
  AND NOT 'internal'::regtype = ANY (r.proargtypes)
UNION ALL
SELECT p.proname::text, 'function', p.oid
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
WHERE p.proname = ANY ($1)
  AND EXISTS (SELECT FROM risky r WHERE r.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn))
UNION ALL
SELECT o.oprname::text, 'operator', NULL
FROM pg_catalog.pg_operator o
JOIN risky r ON r.oid = o.oprcode
WHERE o.oprname = ANY ($2 /* operators */)
  AND o.oid >= 16384
  -- A new one whose name every database has is only suspect between types that every database has.
  AND (o.oprleft < 16384 AND o.oprright < 16384
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_operator b WHERE b.oprname = o.oprname AND b.oid < 16384))
UNION ALL
SELECT t.typname::text, CASE WHEN $5 /* stop */ THEN (1 / (t.oid::int8 - t.oid::int8))::text ELSE 'types' END, NULL
FROM pg_catalog.pg_type t
WHERE t.typname = ANY ($1) AND t.oid >= 16384
  AND (t.typtype = 'd' AND (t.typbasetype >= 16384 OR EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid))
    OR t.typelem >= 16384
    OR t.typtype = 'r'
    OR t.typtype = 'c' AND (t.typname = ANY ($4 /* written as types */)
        OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
    OR EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN risky r ON r.oid = c.castfunc
               WHERE c.oid >= 16384 AND t.oid IN (c.castsource, c.casttarget)))
UNION ALL
SELECT c.relname::text, 'views', NULL
FROM pg_catalog.pg_class c
WHERE c.relname = ANY ($1) AND c.relkind = 'v' AND c.oid >= 16384
UNION ALL
SELECT n.nspname::text, 'schema', NULL
FROM pg_catalog.pg_namespace n
WHERE n.nspname = ANY ($1)
)
SELECT f.word, f.kind, n.nspname::text,
       -- Reached without a schema. One that takes arguments is not hidden by another of the same types: names of arguments tell them apart.
       n.nspname = ANY (pg_catalog.current_schemas(true)) AND (p.pronargs > 0 OR pg_catalog.pg_function_is_visible(p.oid)),
       -- An aggregate is called by (*) without arguments, and by () with those of WITHIN GROUP.
       p.prokind = 'a' OR p.provariadic <> 0 OR p.pronargs = p.pronargdefaults, p.prokind = 'a' OR p.pronargs > 0
FROM found f
LEFT JOIN pg_catalog.pg_proc p ON p.oid = f.function
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
);

/// Types of a statement that reach a function that may do more than read: by a cast, or by the check of a domain that they are or are made
/// of, through arrays, ranges and composites.
pub const TYPES: &str = concat!(
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
WHERE (p.provolatile = 'v' OR p.prosecdef)
  AND NOT ",
    harmless!("$3"),
    "
  AND p.proname::text <> ALL ($4 /* allowed */)"
);

/// Views of a statement that call a function that may do more than read, themselves or by a view in them. What the server or an extension
/// brings is trusted.
pub const VIEWS: &str = concat!(
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
WHERE (p.provolatile = 'v' OR p.prosecdef)
  AND NOT ",
    harmless!("$2"),
    "
  AND p.proname::text <> ALL ($3 /* allowed */)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = v.view AND d.deptype = 'e')"
);
