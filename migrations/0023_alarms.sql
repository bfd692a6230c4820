-- What an operator must look at: all three should be zero.
--   quarantined  records that could not be booked
--   missing      sequence numbers of spools that never came: a worker set damaged records aside
--   unforeseen   attempts outside every day's partition (counted up to 1000): a clock far off
CREATE VIEW ledger_alarms AS
    SELECT (SELECT count(*) FROM usage_quarantine) AS quarantined,
           (SELECT coalesce(sum(missing), 0)::bigint FROM usage_spools) AS missing,
           (SELECT count(*) FROM (SELECT FROM usage_events_default LIMIT 1000) d) AS unforeseen;
GRANT SELECT ON ledger_alarms TO headgate_app;
