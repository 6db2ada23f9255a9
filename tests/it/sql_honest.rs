//! Queries that analysts write: all of them pass the guard and answer.

use serde_json::json;

use crate::support::{
    harness::Harness,
    postgres::{self, name_of},
};

const GROUND: &str = r#"
    CREATE TABLE customers (id int PRIMARY KEY, name text, email text, country char(2), created_at timestamptz DEFAULT now(), data jsonb);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total numeric(10,2), status text, placed_on date, tags text[]);
    CREATE TABLE "Order Lines" ("orderId" int, "update" int, "into" text);
    CREATE TABLE tree (id int, parent int);
    CREATE TABLE lineorder (lo_orderkey int, lo_revenue int);
    INSERT INTO customers SELECT n, 'name ' || n, n || '@example.com', 'DE', '2026-01-01', jsonb_build_object('n', n, 'list', jsonb_build_array(1, 2))
        FROM generate_series(1, 50) n;
    INSERT INTO orders SELECT n, n % 50 + 1, n * 1.5, CASE n % 2 WHEN 0 THEN 'paid' ELSE 'open' END, date '2026-01-01' + n, ARRAY['x', 'y']
        FROM generate_series(1, 200) n;
    INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2);
"#;

const HONEST: &[&str] = &[
    "select 1",
    "SELECT count(*) FROM orders;",
    "select * from orders order by placed_on desc limit 10 offset 5",
    "select status, sum(total) as total, avg(total)::numeric(10,2) from orders group by status having count(*) > 1 order by 2 desc",
    "select c.name, count(o.id) from customers c left join orders o on o.customer_id = c.id group by c.id, c.name order by count(o.id) desc",
    "with paid as (select * from orders where status = 'paid') select date_trunc('month', placed_on) as month, sum(total) from paid group by 1",
    "with recursive up(id, depth) as (select id, 0 from tree where parent is null union all select t.id, depth + 1 from tree t join up on t.parent = up.id) select * from up",
    "select id, total, rank() over (partition by status order by total desc) from orders window w as (order by id)",
    "select id, lag(total) over w, sum(total) over (order by id rows between 2 preceding and current row) from orders window w as (order by id)",
    "select * from customers where data @> '{\"n\": 3}' and data ->> 'n' = '3' and data #>> '{list,0}' = '1'",
    "select jsonb_array_elements(data -> 'list') from customers limit 3",
    "select jsonb_path_query(data, '$.list[*] ? (@ > 1)') from customers limit 3",
    "select * from orders where 'x' = any(tags) and tags && array['y'] and tags[1] = 'x'",
    "select unnest(tags), count(*) from orders group by 1",
    "select string_agg(name, ', ' order by name) from customers",
    "select array_agg(distinct status) from orders",
    "select percentile_cont(0.5) within group (order by total) from orders",
    "select status, count(*) filter (where total > 100) from orders group by rollup (status)",
    "select status, placed_on, sum(total) from orders group by grouping sets ((status), (placed_on), ()) limit 5",
    "select * from orders where placed_on between '2026-01-01' and current_date",
    "select now() - interval '1 day', extract(year from now()), age(now(), '2020-01-01'), current_timestamp at time zone 'UTC'",
    "select to_char(created_at, 'YYYY-MM-DD \"at\" HH24:MI') from customers limit 1",
    "select generate_series(date '2026-01-01', date '2026-01-05', interval '1 day')",
    "select substring(name from 1 for 3), position('a' in name), trim(both ' ' from name), overlay(name placing 'x' from 1 for 1) from customers",
    "select name ~ '^name [0-9]+$', name ilike '%1%', regexp_replace(name, '\\s+', ' ') from customers",
    "select case when total > 100 then 'big' when total > 10 then 'mid' else 'small' end, count(*) from orders group by 1",
    "select coalesce(nullif(status, 'open'), 'none'), greatest(1, 2), least(1, 2) from orders limit 1",
    "select * from orders o where exists (select 1 from customers c where c.id = o.customer_id) limit 1",
    "select * from orders where customer_id in (select id from customers where country = 'DE') limit 1",
    "(select id from orders limit 1) union all (select id from customers limit 1) except select 7",
    "values (1, 'one'), (2, 'two')",
    "table tree",
    "select o.* from orders o, lateral (select max(total) as most from orders i where i.customer_id = o.customer_id) m where o.total = m.most limit 1",
    "select * from orders tablesample bernoulli (50) limit 1",
    "select * from orders tablesample system (50) repeatable (1) limit 1",
    "select \"orderId\", \"update\", \"into\" from \"Order Lines\"",
    "select 'it''s', E'tab\\t', $$a 'quoted' ; string$$, U&'\\0041', B'101', X'1F'",
    "select 1 /* a /* nested */ comment; */ -- and another; one",
    "select random() < 2, gen_random_uuid() is not null, clock_timestamp() > now() - interval '1 h'",
    "select pg_size_pretty(pg_total_relation_size('orders')), pg_relation_size('orders'), pg_database_size(current_database())",
    "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' order by 1, 2",
    "select relname, n_live_tup from pg_stat_user_tables",
    "select schemaname, tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
    "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relname = 'orders'",
    "select conname, pg_get_constraintdef(oid) from pg_constraint where conrelid = 'orders'::regclass",
    "select version(), current_user, current_database(), current_setting('TimeZone'), current_schemas(true)",
    "select lo_orderkey, sum(lo_revenue) from lineorder group by lo_orderkey",
    "select md5('x'), encode(sha256('x'), 'hex'), length('é'), upper('x') || lower('Y')",
    "select row_number() over () as \"#\", name as \"select\" from customers limit 2",
    "select width_bucket(total, 0, 300, 5), count(*) from orders group by 1 order by 1",
    "select corr(id, total), stddev(total), regr_slope(total, id) from orders",
    "select a.id, b.id from tree a cross join tree b where a.id <> b.id and not (a.id = 1 and b.id is distinct from 2)",
    "select json_agg(t) from (select id, parent from tree order by id) t",
    "select t from tree t",
    "select to_tsvector('english', name) @@ to_tsquery('english', 'name') from customers limit 1",
    "explain select * from orders where total > 5",
    "explain (format json, verbose, costs off) select * from orders",
    "show timezone",
    "show transaction isolation level",
    "select daterange(placed_on, placed_on + 7) @> placed_on, placed_on::timestamp::date from orders limit 1",
    "select count(*) total, max(id) as \"max\" from orders;  ; ",
];

#[tokio::test]
async fn every_honest_query_answers() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), GROUND);
    let board = Harness::postgres(&url);
    let mut refused = Vec::new();
    for query in HONEST {
        let called = board.call("execute_query", &json!({"query": query}).to_string()).await;
        if called.is_error {
            refused.push(format!("{query}\n  → {}", called.text));
        }
    }
    assert!(refused.is_empty(), "{} of {}:\n{}", refused.len(), HONEST.len(), refused.join("\n"));
}
