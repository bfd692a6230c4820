-- A partition a day (UTC) of usage_events and ledger_entries. The application's role may not create
-- tables; it may call this.

-- Makes what is missing from first_day to last_day; returns how many were made. A day whose rows
-- already stand in the default partition stays there: everything works, it is only slower.
CREATE FUNCTION headgate_make_partitions(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    part text;
    day date;
    made integer := 0;
BEGIN
    IF last_day - first_day > 400 THEN
        RAISE EXCEPTION 'at most 400 days at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('headgate_make_partitions', 0));
    FOR offset_days IN 0 .. last_day - first_day LOOP
        day := first_day + offset_days;
        FOREACH parent IN ARRAY ARRAY['usage_events', 'ledger_entries'] LOOP
            part := parent || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(part) IS NOT NULL;
            BEGIN
                -- Made apart and attached: the table stays open for writing meanwhile.
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                    part, parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    parent, part, headgate_attempt_floor(day::timestamp AT TIME ZONE 'UTC'),
                    headgate_attempt_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                RAISE WARNING 'the default partition already holds rows of % in %', day, parent;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION headgate_make_partitions(date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headgate_make_partitions(date, date) TO headgate_app;

SELECT headgate_make_partitions((now() AT TIME ZONE 'UTC')::date - 2,
                                (now() AT TIME ZONE 'UTC')::date + 14);
