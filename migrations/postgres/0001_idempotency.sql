-- What was answered to calls with an idempotency key. Kept for 24 hours.
CREATE TABLE callboard.idempotency (
    key text PRIMARY KEY NOT NULL,
    -- SHA-256 of the tool and its arguments: the same key for another call is refused.
    request_hash text NOT NULL,
    -- JSON; NULL between the begin and the end of the call.
    answer text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX idempotency_by_expiry ON callboard.idempotency (expires_at);
