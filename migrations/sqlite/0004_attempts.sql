-- A call with a key that was cut off can be settled: its attempt has a name, and its database can be asked what became of it.
-- The attempt that works on the call; whoever takes the call over writes its own name here, and the other may not commit any more.
ALTER TABLE idempotency ADD COLUMN attempt TEXT;
-- What its database knows it by, with `answer` as it will be if the effect stands; NULL before that, and after the end of the call.
ALTER TABLE idempotency ADD COLUMN proof TEXT;
