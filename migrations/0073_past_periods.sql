-- How a budget stood in periods long past is forgotten: a budget by the hour and by end user makes a row for each
-- that asked, each hour. What was spent stays in the ledger.

-- Of one budget, periods that ended 90 days ago and of which nobody holds anything; at most so many, and how many there
-- were. Found by the primary key: what runs, and what never ends, is not read. A record that comes later than that
-- finds no row, makes one (headgate_budget_book), and that one is forgotten in its turn.
-- It works with its owner's rights: the application itself may not delete how a budget stands.
CREATE FUNCTION headgate_budget_forget(of_budget text, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    past timestamptz := now() - interval '90 days';
    n integer;
BEGIN
    WITH gone AS (
        SELECT p.subject, p.period_start FROM budget_periods p
        WHERE p.budget = of_budget AND p.period_start > to_timestamp(0) AND p.period_start < past
            AND p.period_end < past AND p.held = 0
            AND NOT EXISTS (SELECT FROM budget_slices s WHERE (s.budget, s.subject, s.period_start)
                = (p.budget, p.subject, p.period_start))
        ORDER BY p.period_start LIMIT most FOR UPDATE SKIP LOCKED -- another control plane forgets them
    ), crossed AS (
        DELETE FROM budget_crossings c USING gone g
        WHERE (c.budget, c.subject, c.period_start) = (of_budget, g.subject, g.period_start)
    ), deleted AS (
        DELETE FROM budget_periods p USING gone g
        WHERE (p.budget, p.subject, p.period_start) = (of_budget, g.subject, g.period_start)
        RETURNING 1
    ) SELECT count(*) INTO n FROM deleted;
    RETURN n;
END
$$;
REVOKE ALL ON FUNCTION headgate_budget_forget(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headgate_budget_forget(text, integer) TO headgate_app;
