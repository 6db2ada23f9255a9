-- Workflows, tasks, agents, locks, and their history. Hot rows are narrow and apart from what they carry.

-- A workflow. Its tasks are counted here, so that no search tells when it is over.
CREATE TABLE workflow (
    id text PRIMARY KEY NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    state text NOT NULL,
    version integer NOT NULL,
    created_at integer NOT NULL,
    started_at integer,
    completed_at integer,
    -- Of its end, UTC: 2026-11-21; and how long it took from its start.
    ended_day text,
    duration_ms integer,
    changed_at integer NOT NULL,
    deadline_at integer,
    -- When a cancelled workflow takes its leases back.
    cancel_at integer,
    -- fail, pause or continue.
    on_task_failure text NOT NULL,
    parent_id text,
    forked_from text,
    -- Why it is paused, cancelled or failed.
    reason text,
    needs_attention integer NOT NULL,
    budget_micros integer,
    cost_micros integer NOT NULL,
    tasks integer NOT NULL,
    tasks_open integer NOT NULL,
    tasks_parked integer NOT NULL,
    tasks_completed integer NOT NULL,
    tasks_dead integer NOT NULL,
    tasks_cancelled integer NOT NULL
) STRICT;
CREATE INDEX workflow_open ON workflow (created_at, id) WHERE completed_at IS NULL;
CREATE INDEX workflow_by_time ON workflow (created_at, id);
CREATE INDEX workflow_by_state ON workflow (state);
CREATE INDEX workflow_by_end ON workflow (completed_at, id) WHERE completed_at IS NOT NULL;
CREATE INDEX workflow_by_deadline ON workflow (deadline_at) WHERE completed_at IS NULL AND deadline_at IS NOT NULL;
CREATE INDEX workflow_by_cancel ON workflow (cancel_at) WHERE completed_at IS NULL AND cancel_at IS NOT NULL;

-- What a workflow carries.
CREATE TABLE workflow_result (
    workflow_id text PRIMARY KEY NOT NULL,
    -- JSON.
    input text,
    -- JSON, zstd when it is large.
    result blob,
    error text
) STRICT;

-- What a task is and carries.
CREATE TABLE task (
    id text PRIMARY KEY NOT NULL,
    workflow_id text,
    key text,
    title text,
    description text,
    -- JSON.
    input text,
    -- JSON, zstd when it is large.
    result blob,
    -- JSON: the last 20 failures, newest first.
    errors text NOT NULL,
    -- JSON.
    checkpoint text,
    -- JSON: what a parked task waits for, and what it was answered.
    question text,
    answer text,
    progress real,
    message text,
    -- Sorted, as JSON.
    capabilities text NOT NULL,
    max_attempts integer NOT NULL,
    max_runtime_ms integer,
    on_dependency_failure text NOT NULL,
    queue text NOT NULL,
    priority integer NOT NULL,
    cost_micros integer NOT NULL,
    redrive_count integer NOT NULL,
    created_at integer NOT NULL,
    completed_at integer,
    -- How it ended, and what its queue row said then: completed, dead or cancelled.
    ended text,
    fence integer NOT NULL,
    attempt integer NOT NULL,
    owner text
) STRICT;
CREATE INDEX task_by_workflow ON task (workflow_id, id);
CREATE INDEX task_by_end ON task (completed_at, id) WHERE completed_at IS NOT NULL;
CREATE INDEX task_dead ON task (completed_at, id) WHERE ended = 'dead';

-- The queue row of a task that is not over: what is claimed, leased and waited for.
CREATE TABLE task_run (
    task_id text PRIMARY KEY NOT NULL,
    workflow_id text,
    queue text NOT NULL,
    state text NOT NULL,
    priority integer NOT NULL,
    -- Order of claims: run_at in milliseconds less a minute for each level of priority.
    sort_key integer NOT NULL,
    run_at integer NOT NULL,
    -- Its workflow is paused: not to be claimed.
    held integer NOT NULL,
    -- Row of capability_set; 0 for none.
    capability_set integer NOT NULL,
    fence integer NOT NULL,
    attempt integer NOT NULL,
    infra_failures integer NOT NULL,
    -- Dependencies that are not settled.
    open_dependencies integer NOT NULL,
    owner text,
    session_id text,
    -- Proves a lease, besides the fence.
    secret text,
    lease_until integer,
    -- The hard end of this attempt.
    runs_until integer,
    claimed_at integer,
    -- The newest signal its worker was told.
    signals_seen integer NOT NULL,
    -- When it became what it is.
    since integer NOT NULL
) STRICT;
CREATE INDEX task_run_ready ON task_run (queue, sort_key, task_id, since) WHERE state = 'ready' AND NOT held;
CREATE INDEX task_run_ready_any ON task_run (sort_key, task_id) WHERE state = 'ready' AND NOT held;
CREATE INDEX task_run_due ON task_run (run_at) WHERE state IN ('scheduled', 'retry_wait');
CREATE INDEX task_run_leased ON task_run (lease_until) WHERE state = 'leased';
CREATE INDEX task_run_owner ON task_run (owner) WHERE state = 'leased';
CREATE INDEX task_run_session ON task_run (session_id) WHERE state = 'leased';
CREATE INDEX task_run_by_workflow ON task_run (workflow_id, task_id);
CREATE INDEX task_run_by_state ON task_run (state, held, queue, since);

-- Which task waits for which.
CREATE TABLE task_dependency (
    depends_on text NOT NULL,
    task_id text NOT NULL,
    -- The one waited for is completed, or its end was counted otherwise: never counted twice.
    settled integer NOT NULL,
    PRIMARY KEY (depends_on, task_id)
) STRICT;
CREATE INDEX task_dependency_by_task ON task_dependency (task_id);

-- Each combination of capabilities that some task asks for.
CREATE TABLE capability_set (
    id integer PRIMARY KEY AUTOINCREMENT,
    -- Sorted, as JSON.
    capabilities text NOT NULL UNIQUE
) STRICT;

-- What a workflow's workers are told.
CREATE TABLE signal (
    id integer PRIMARY KEY AUTOINCREMENT,
    workflow_id text NOT NULL,
    name text NOT NULL,
    -- JSON.
    payload text,
    at integer NOT NULL
) STRICT;
CREATE INDEX signal_by_workflow ON signal (workflow_id, id);

CREATE TABLE agent (
    id text PRIMARY KEY NOT NULL,
    role text NOT NULL,
    status text NOT NULL,
    version integer NOT NULL,
    -- Sorted, as JSON.
    capabilities text NOT NULL,
    -- JSON objects.
    metadata text,
    metrics text,
    token text NOT NULL,
    session_id text,
    registered_at integer NOT NULL,
    heartbeat_at integer NOT NULL,
    tasks_completed integer NOT NULL,
    tasks_failed integer NOT NULL,
    -- Time its finished tasks were worked on.
    busy_ms integer NOT NULL
) STRICT;
CREATE INDEX agent_by_heartbeat ON agent (heartbeat_at);

-- A server process.
CREATE TABLE session (
    id text PRIMARY KEY NOT NULL,
    -- The machine since it was started, so that process numbers mean something.
    boot_id text NOT NULL,
    pid integer NOT NULL,
    -- When the process was started, in the machine's own count: numbers are used again.
    pid_start integer NOT NULL,
    started_at integer NOT NULL,
    heartbeat_at integer NOT NULL,
    ended_at integer
) STRICT;
CREATE INDEX session_open ON session (heartbeat_at) WHERE ended_at IS NULL;

CREATE TABLE lock (
    resource text PRIMARY KEY NOT NULL,
    -- NULL when nobody holds it.
    owner text,
    -- Never used twice.
    fence integer NOT NULL,
    secret text,
    session_id text,
    acquired_at integer,
    expires_at integer
) STRICT;

-- Who does the work of all: one process at a time for each name.
CREATE TABLE leader (
    name text PRIMARY KEY NOT NULL,
    holder text NOT NULL,
    until integer NOT NULL
) STRICT;

-- History and audit. Only added to.
CREATE TABLE event (
    seq integer PRIMARY KEY AUTOINCREMENT,
    at integer NOT NULL,
    -- workflow, task, agent, session, lock, webhook.
    entity text NOT NULL,
    entity_id text NOT NULL,
    workflow_id text,
    type text NOT NULL,
    -- Who did it: an agent, or NULL for the server itself.
    actor text,
    -- JSON object.
    data text
) STRICT;
CREATE INDEX event_by_workflow ON event (workflow_id, seq) WHERE workflow_id IS NOT NULL;
CREATE INDEX event_by_entity ON event (entity_id, seq);
CREATE INDEX event_by_time ON event (at);
-- What webhooks are told of.
CREATE INDEX event_of_ends ON event (seq)
    WHERE type IN ('workflow_completed', 'workflow_failed', 'workflow_cancelled', 'workflow_timed_out');

-- Who takes events to the world outside, and how far it is: every event up to there is confirmed.
CREATE TABLE sink (
    name text PRIMARY KEY NOT NULL,
    seq integer NOT NULL
) STRICT;

-- Who is told of a workflow's end. Lives as long as the workflow.
CREATE TABLE webhook (
    id text PRIMARY KEY NOT NULL,
    workflow_id text NOT NULL,
    url text NOT NULL,
    secret text NOT NULL,
    created_at integer NOT NULL
) STRICT;
CREATE INDEX webhook_by_workflow ON webhook (workflow_id);

CREATE TABLE webhook_delivery (
    id text PRIMARY KEY NOT NULL,
    webhook_id text NOT NULL,
    workflow_id text NOT NULL,
    -- The event it tells of: one delivery for each.
    seq integer NOT NULL,
    type text NOT NULL,
    -- JSON, sent as it is.
    body text NOT NULL,
    -- waiting, sending, delivered, dead.
    state text NOT NULL,
    attempt integer NOT NULL,
    due_at integer NOT NULL,
    last_status integer,
    last_error text,
    created_at integer NOT NULL,
    completed_at integer,
    UNIQUE (webhook_id, seq)
) STRICT;
CREATE INDEX webhook_delivery_due ON webhook_delivery (due_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX webhook_delivery_by_workflow ON webhook_delivery (workflow_id);

-- Money and work by day, type of workflow, agent and model.
CREATE TABLE cost_daily (
    day text NOT NULL,
    type text NOT NULL,
    agent_id text NOT NULL,
    model text NOT NULL,
    cost_micros integer NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    reports integer NOT NULL,
    PRIMARY KEY (day, type, agent_id, model)
) STRICT;

-- Costs that are not in cost_daily yet: written without a lock that others wait for.
CREATE TABLE cost (
    id integer PRIMARY KEY AUTOINCREMENT,
    at integer NOT NULL,
    day text NOT NULL,
    type text NOT NULL,
    agent_id text NOT NULL,
    model text NOT NULL,
    cost_micros integer NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL
) STRICT;
