-- What was answered to calls with an idempotency key. Kept for 24 hours.
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY NOT NULL,
    -- SHA-256 of the tool and its arguments: the same key for another call is refused.
    request_hash TEXT NOT NULL,
    -- JSON; NULL between the begin and the end of the call.
    answer TEXT,
    -- Microseconds since 1970 UTC.
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
