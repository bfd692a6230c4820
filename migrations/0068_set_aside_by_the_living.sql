-- A slice that its worker forgot is of no process (started_ms below zero), and was given back with those of earlier
-- ones: also while the worker lives and its last records of it are not booked, when another leader begins. Its
-- sequence, of no use any more, says whose it was (0071).
CREATE OR REPLACE FUNCTION headgate_budget_release(of_node text, of_slot integer, before_ms bigint,
    most integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT id FROM budget_slices
        WHERE node = of_node AND slot = of_slot AND started_ms < before_ms
            AND (started_ms >= 0 OR sequence < before_ms) ORDER BY started_ms DESC LIMIT most);
BEGIN
    PERFORM headgate_budget_give_back(ids);
    RETURN cardinality(ids);
END
$$;
