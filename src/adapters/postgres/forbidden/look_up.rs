//! The question to the catalog about the words of a statement.

/// Every part starts from an index over names or from what is not part of every database: there are thousands of functions, and none of
/// the operators and casts that every database has is risky. Views and types are followed down to what they are made of: a view to the
/// functions in its text, but for those of the server and of extensions; a type to domains and casts, through arrays, ranges and composites.
///
/// A constant of a type is read while a statement is described, so a risky type fails the transaction before that (`stop`), by a division by
/// zero; the one who asks again, without `stop`, learns which type it was.
pub const LOOK_UP: &str = "-- forbidden_words
WITH RECURSIVE risky AS NOT MATERIALIZED (
    SELECT p.oid, p.proname, p.pronamespace = 'pg_catalog'::regnamespace AS system, p.prorettype, p.proargtypes
    FROM pg_catalog.pg_proc p
    WHERE (p.provolatile = 'v' OR p.prosecdef)
      AND NOT (p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY ($3 /* harmless */))
),
viewed (name, view) AS (
    SELECT c.relname, c.oid
    FROM pg_catalog.pg_class c
    WHERE c.relname = ANY ($1 /* names */) AND c.relkind = 'v' AND c.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION
    SELECT v.name, c.oid
    FROM viewed v
    JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.view
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
     AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind = 'v' AND c.oid >= 16384
),
made_of (name, relation, type) AS (
    SELECT t.typname, COALESCE(c.relkind <> 'c', false), t.oid
    FROM pg_catalog.pg_type t
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE t.typname = ANY ($1) AND t.oid >= 16384
    UNION
    SELECT m.name, m.relation, part.type
    FROM made_of m
    JOIN pg_catalog.pg_type t ON t.oid = m.type
    CROSS JOIN LATERAL (
        SELECT t.typbasetype AS type
        UNION ALL SELECT t.typelem
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0
    ) part
    WHERE part.type >= 16384 AND (NOT m.relation OR m.name = ANY ($5 /* names of types */))
)
SELECT r.proname::text, CASE WHEN r.system THEN 'system' ELSE 'function' END
FROM risky r
WHERE r.proname = ANY ($1)
  AND r.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'tsm_handler'::regtype)
  AND NOT 'internal'::regtype = ANY (r.proargtypes)
UNION ALL
SELECT p.proname::text, 'function'
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
WHERE p.proname = ANY ($1)
  AND EXISTS (SELECT FROM risky r WHERE r.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn))
UNION ALL
SELECT o.oprname::text, 'operator'
FROM pg_catalog.pg_operator o
JOIN risky r ON r.oid = o.oprcode
WHERE o.oprname = ANY ($2 /* operators */)
  AND o.oid >= 16384
  -- A new one whose name every database has is only suspect between types that every database has.
  AND (o.oprleft < 16384 AND o.oprright < 16384
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_operator b WHERE b.oprname = o.oprname AND b.oid < 16384))
UNION ALL
SELECT v.name::text, 'view'
FROM viewed v
JOIN pg_catalog.pg_rewrite w ON w.ev_class = v.view
CROSS JOIN LATERAL pg_catalog.regexp_matches(w.ev_action::text, ' :(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') called
JOIN risky r ON r.oid = called[1]::oid
WHERE r.proname::text <> ALL ($4 /* allowed */)
UNION ALL
SELECT m.name::text,
       CASE WHEN $6 /* stop */ AND m.name::text <> ALL ($4) THEN (1 / (m.type::int8 - m.type::int8))::text ELSE 'type' END
FROM made_of m
JOIN pg_catalog.pg_type t ON t.oid = m.type
WHERE (NOT m.relation OR m.name = ANY ($5))
  AND (EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN risky r ON r.oid = c.castfunc
               WHERE c.oid >= 16384 AND t.oid IN (c.castsource, c.casttarget) AND r.proname::text <> ALL ($4))
    OR t.typtype = 'd' AND EXISTS (SELECT FROM pg_catalog.pg_constraint c
               JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = c.oid
                AND d.refclassid = 'pg_catalog.pg_proc'::regclass
               JOIN risky r ON r.oid = d.refobjid
               WHERE c.contypid = t.oid AND r.proname::text <> ALL ($4)))
UNION ALL
SELECT n.nspname::text, 'schema'
FROM pg_catalog.pg_namespace n
WHERE n.nspname = ANY ($1)";
