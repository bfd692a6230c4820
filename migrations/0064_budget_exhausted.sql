-- How an attempt can end: also cut by the gateway, because it cost more than was reserved for it. What stands
-- in the table keeps to the shorter list, so it is not read again.
ALTER TABLE usage_events DROP CONSTRAINT usage_events_outcome_check;
ALTER TABLE usage_events ADD CONSTRAINT usage_events_outcome_check CHECK (outcome IN
    ('done', 'client_gone', 'upstream_failed', 'deadline', 'shutdown', 'lost', 'budget_exhausted')) NOT VALID;
