-- A request that was answered from the response cache: there was no attempt, it cost nothing, and is
-- here so that every answer has its row.
ALTER TABLE usage_events
    ADD COLUMN cached boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT cached_is_free CHECK (NOT cached OR cost_nanos = 0);
