-- Workflows, tasks, agents, locks, and their history. Hot rows are narrow and apart from what they carry.

-- A workflow. Its tasks are counted here, so that no search tells when it is over.
CREATE TABLE callboard.workflow (
    id text PRIMARY KEY NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    -- Of its end, UTC: 2026-11-21; and how long it took from its start.
    ended_day text,
    duration_ms bigint,
    changed_at timestamptz NOT NULL,
    deadline_at timestamptz,
    -- When a cancelled workflow takes its leases back.
    cancel_at timestamptz,
    -- fail, pause or continue.
    on_task_failure text NOT NULL,
    parent_id text,
    forked_from text,
    -- Why it is paused, cancelled or failed.
    reason text,
    needs_attention boolean NOT NULL,
    budget_micros bigint,
    cost_micros bigint NOT NULL,
    tasks bigint NOT NULL,
    tasks_open bigint NOT NULL,
    tasks_parked bigint NOT NULL,
    tasks_completed bigint NOT NULL,
    tasks_dead bigint NOT NULL,
    tasks_cancelled bigint NOT NULL
);
CREATE INDEX workflow_open ON callboard.workflow (created_at, id) WHERE completed_at IS NULL;
CREATE INDEX workflow_by_time ON callboard.workflow (created_at, id);
CREATE INDEX workflow_by_state ON callboard.workflow (state);
CREATE INDEX workflow_by_end ON callboard.workflow (completed_at, id) WHERE completed_at IS NOT NULL;
CREATE INDEX workflow_by_deadline ON callboard.workflow (deadline_at) WHERE completed_at IS NULL AND deadline_at IS NOT NULL;
CREATE INDEX workflow_by_cancel ON callboard.workflow (cancel_at) WHERE completed_at IS NULL AND cancel_at IS NOT NULL;

-- What a workflow carries.
CREATE TABLE callboard.workflow_result (
    workflow_id text PRIMARY KEY NOT NULL,
    -- JSON.
    input text,
    -- JSON, zstd when it is large.
    result bytea,
    error text
);

-- What a task is and carries.
CREATE TABLE callboard.task (
    id text PRIMARY KEY NOT NULL,
    workflow_id text,
    key text,
    title text,
    description text,
    -- JSON.
    input text,
    -- JSON, zstd when it is large.
    result bytea,
    -- JSON: the last 20 failures, newest first.
    errors text NOT NULL,
    -- JSON.
    checkpoint text,
    -- JSON: what a parked task waits for, and what it was answered.
    question text,
    answer text,
    progress double precision,
    message text,
    -- Sorted, as JSON.
    capabilities text NOT NULL,
    max_attempts bigint NOT NULL,
    max_runtime_ms bigint,
    on_dependency_failure text NOT NULL,
    queue text NOT NULL,
    priority bigint NOT NULL,
    cost_micros bigint NOT NULL,
    redrive_count bigint NOT NULL,
    created_at timestamptz NOT NULL,
    completed_at timestamptz,
    -- How it ended, and what its queue row said then: completed, dead or cancelled.
    ended text,
    fence bigint NOT NULL,
    attempt bigint NOT NULL,
    owner text
);
CREATE INDEX task_by_workflow ON callboard.task (workflow_id, id);
CREATE INDEX task_by_end ON callboard.task (completed_at, id) WHERE completed_at IS NOT NULL;
CREATE INDEX task_dead ON callboard.task (completed_at, id) WHERE ended = 'dead';

-- The queue row of a task that is not over: what is claimed, leased and waited for.
CREATE TABLE callboard.task_run (
    task_id text PRIMARY KEY NOT NULL,
    workflow_id text,
    queue text NOT NULL,
    state text NOT NULL,
    priority bigint NOT NULL,
    -- Order of claims: run_at in milliseconds less a minute for each level of priority.
    sort_key bigint NOT NULL,
    run_at timestamptz NOT NULL,
    -- Its workflow is paused: not to be claimed.
    held boolean NOT NULL,
    -- Row of capability_set; 0 for none.
    capability_set bigint NOT NULL,
    fence bigint NOT NULL,
    attempt bigint NOT NULL,
    infra_failures bigint NOT NULL,
    -- Dependencies that are not settled.
    open_dependencies bigint NOT NULL,
    owner text,
    session_id text,
    -- Proves a lease, besides the fence.
    secret text,
    lease_until timestamptz,
    -- The hard end of this attempt.
    runs_until timestamptz,
    claimed_at timestamptz,
    -- The newest signal its worker was told.
    signals_seen bigint NOT NULL,
    -- When it became what it is.
    since timestamptz NOT NULL
);
CREATE INDEX task_run_ready ON callboard.task_run (queue, sort_key, task_id, since) WHERE state = 'ready' AND NOT held;
CREATE INDEX task_run_ready_any ON callboard.task_run (sort_key, task_id) WHERE state = 'ready' AND NOT held;
CREATE INDEX task_run_due ON callboard.task_run (run_at) WHERE state IN ('scheduled', 'retry_wait');
CREATE INDEX task_run_leased ON callboard.task_run (lease_until) WHERE state = 'leased';
CREATE INDEX task_run_owner ON callboard.task_run (owner) WHERE state = 'leased';
CREATE INDEX task_run_session ON callboard.task_run (session_id) WHERE state = 'leased';
CREATE INDEX task_run_by_workflow ON callboard.task_run (workflow_id, task_id);
CREATE INDEX task_run_by_state ON callboard.task_run (state, held, queue, since);

-- Which task waits for which.
CREATE TABLE callboard.task_dependency (
    depends_on text NOT NULL,
    task_id text NOT NULL,
    -- The one waited for is completed, or its end was counted otherwise: never counted twice.
    settled boolean NOT NULL,
    PRIMARY KEY (depends_on, task_id)
);
CREATE INDEX task_dependency_by_task ON callboard.task_dependency (task_id);

-- Each combination of capabilities that some task asks for.
CREATE TABLE callboard.capability_set (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Sorted, as JSON.
    capabilities text NOT NULL UNIQUE
);

-- What a workflow's workers are told.
CREATE TABLE callboard.signal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id text NOT NULL,
    name text NOT NULL,
    -- JSON.
    payload text,
    at timestamptz NOT NULL
);
CREATE INDEX signal_by_workflow ON callboard.signal (workflow_id, id);

CREATE TABLE callboard.agent (
    id text PRIMARY KEY NOT NULL,
    role text NOT NULL,
    status text NOT NULL,
    version bigint NOT NULL,
    -- Sorted, as JSON.
    capabilities text NOT NULL,
    -- JSON objects.
    metadata text,
    metrics text,
    token text NOT NULL,
    session_id text,
    registered_at timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    tasks_completed bigint NOT NULL,
    tasks_failed bigint NOT NULL,
    -- Time its finished tasks were worked on.
    busy_ms bigint NOT NULL
);
CREATE INDEX agent_by_heartbeat ON callboard.agent (heartbeat_at);

-- A server process.
CREATE TABLE callboard.session (
    id text PRIMARY KEY NOT NULL,
    -- The machine since it was started, so that process numbers mean something.
    boot_id text NOT NULL,
    pid bigint NOT NULL,
    -- When the process was started, in the machine's own count: numbers are used again.
    pid_start bigint NOT NULL,
    started_at timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX session_open ON callboard.session (heartbeat_at) WHERE ended_at IS NULL;

CREATE TABLE callboard.lock (
    resource text PRIMARY KEY NOT NULL,
    -- NULL when nobody holds it.
    owner text,
    -- Never used twice.
    fence bigint NOT NULL,
    secret text,
    session_id text,
    acquired_at timestamptz,
    expires_at timestamptz
);

-- Who does the work of all: one process at a time for each name.
CREATE TABLE callboard.leader (
    name text PRIMARY KEY NOT NULL,
    holder text NOT NULL,
    until timestamptz NOT NULL
);

-- History and audit. Only added to.
CREATE TABLE callboard.event (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    -- workflow, task, agent, session, lock, webhook.
    entity text NOT NULL,
    entity_id text NOT NULL,
    workflow_id text,
    type text NOT NULL,
    -- Who did it: an agent, or NULL for the server itself.
    actor text,
    -- JSON object.
    data text,
    -- Readers stop before what a transaction that still runs may have written earlier numbers of.
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX event_by_workflow ON callboard.event (workflow_id, seq) WHERE workflow_id IS NOT NULL;
CREATE INDEX event_by_entity ON callboard.event (entity_id, seq);
CREATE INDEX event_by_time ON callboard.event (at);
-- What webhooks are told of.
CREATE INDEX event_of_ends ON callboard.event (seq)
    WHERE type IN ('workflow_completed', 'workflow_failed', 'workflow_cancelled', 'workflow_timed_out');

-- Who takes events to the world outside, and how far it is: every event up to there is confirmed.
CREATE TABLE callboard.sink (
    name text PRIMARY KEY NOT NULL,
    seq bigint NOT NULL
);

-- Who is told of a workflow's end. Lives as long as the workflow.
CREATE TABLE callboard.webhook (
    id text PRIMARY KEY NOT NULL,
    workflow_id text NOT NULL,
    url text NOT NULL,
    secret text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX webhook_by_workflow ON callboard.webhook (workflow_id);

CREATE TABLE callboard.webhook_delivery (
    id text PRIMARY KEY NOT NULL,
    webhook_id text NOT NULL,
    workflow_id text NOT NULL,
    -- The event it tells of: one delivery for each.
    seq bigint NOT NULL,
    type text NOT NULL,
    -- JSON, sent as it is.
    body text NOT NULL,
    -- waiting, sending, delivered, dead.
    state text NOT NULL,
    attempt bigint NOT NULL,
    due_at timestamptz NOT NULL,
    last_status bigint,
    last_error text,
    created_at timestamptz NOT NULL,
    completed_at timestamptz,
    UNIQUE (webhook_id, seq)
);
CREATE INDEX webhook_delivery_due ON callboard.webhook_delivery (due_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX webhook_delivery_by_workflow ON callboard.webhook_delivery (workflow_id);

-- Money and work by day, type of workflow, agent and model.
CREATE TABLE callboard.cost_daily (
    day text NOT NULL,
    type text NOT NULL,
    agent_id text NOT NULL,
    model text NOT NULL,
    cost_micros bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reports bigint NOT NULL,
    PRIMARY KEY (day, type, agent_id, model)
);

-- Costs that are not in cost_daily yet: written without a lock that others wait for.
CREATE TABLE callboard.cost (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    day text NOT NULL,
    type text NOT NULL,
    agent_id text NOT NULL,
    model text NOT NULL,
    cost_micros bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL
);
