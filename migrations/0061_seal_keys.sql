-- Sealing keys that are replaced: who has which, and what may be changed for it.

-- Ids with blanks between, the sealing one first; '' where they were not told.
ALTER TABLE control_planes ADD COLUMN seal_keys text NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN seal_keys text NOT NULL DEFAULT '';

-- The application may not change settings, revisions and kept answers, but for one thing: a sealed value gives
-- way to another one, when it is still the one that was read.
CREATE FUNCTION headgate_reseal_setting(which text, old bytea, new bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (
        UPDATE public.settings SET value = translate(encode(new, 'base64'), E'\n', '')
        WHERE name = which
            AND CASE WHEN name IN ('pepper', 'fingerprint') THEN decode(value, 'base64') = old ELSE false END
        RETURNING 1)
    SELECT count(*) > 0 FROM done
$$;

CREATE FUNCTION headgate_reseal_revision(which bigint, item_kind text, item text, side text, old bytea, new bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (
        UPDATE public.revision_changes SET
            before = CASE side WHEN 'before' THEN jsonb_set(before, '{credential,sealed}',
                to_jsonb(translate(encode(new, 'base64'), E'\n', ''))) ELSE before END,
            after = CASE side WHEN 'after' THEN jsonb_set(after, '{credential,sealed}',
                to_jsonb(translate(encode(new, 'base64'), E'\n', ''))) ELSE after END
        WHERE revision = which AND kind = item_kind AND kind IN ('providers', 'alerts') AND name = item
            AND decode((CASE side WHEN 'before' THEN before WHEN 'after' THEN after END)
                -> 'credential' ->> 'sealed', 'base64') = old
        RETURNING 1)
    SELECT count(*) > 0 FROM done
$$;

CREATE FUNCTION headgate_reseal_answer(who text, which text, old bytea, new bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (
        UPDATE public.idempotency_keys SET answer = new WHERE actor = who AND key = which AND answer = old
        RETURNING 1)
    SELECT count(*) > 0 FROM done
$$;

REVOKE ALL ON FUNCTION headgate_reseal_setting(text, bytea, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION headgate_reseal_revision(bigint, text, text, text, bytea, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headgate_reseal_setting(text, bytea, bytea) TO headgate_app;
GRANT EXECUTE ON FUNCTION headgate_reseal_revision(bigint, text, text, text, bytea, bytea) TO headgate_app;
REVOKE ALL ON FUNCTION headgate_reseal_answer(text, text, bytea, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headgate_reseal_answer(text, text, bytea, bytea) TO headgate_app;
