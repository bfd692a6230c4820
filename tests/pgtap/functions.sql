-- Functions that work with their owner's rights, and who may call what.
BEGIN;
SELECT plan(4);

CREATE TEMP VIEW ours AS
    SELECT p.* FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e');

SELECT results_eq('SELECT oid::regprocedure::text FROM ours WHERE prosecdef ORDER BY 1',
    $$VALUES ('headgate_budget_forget(text,integer)'), -- periods long past, and no other
      ('headgate_make_partitions(date,date)'),
      -- a sealed value gives way to another one, and nothing else
      ('headgate_reseal_answer(text,text,bytea,bytea)'),
      ('headgate_reseal_revision(bigint,text,text,text,bytea,bytea)'),
      ('headgate_reseal_setting(text,bytea,bytea)')$$, 'these run as their owner, and no others');
SELECT is_empty($$SELECT proname FROM ours WHERE prosecdef
      AND NOT ('search_path=public, pg_temp' = ANY (coalesce(proconfig, '{}')))$$,
    'each of them has its search path fixed, with what anybody may make last');
SELECT is_empty($$SELECT o.oid::regprocedure FROM ours o
      WHERE o.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(o.proacl) WHERE grantee = 0)$$,
    'everybody may call none of our functions');
SELECT is_empty($$SELECT oid::regprocedure FROM ours WHERE NOT has_function_privilege('headgate_app', oid, 'EXECUTE')$$,
    'the application may call each');
SELECT * FROM finish();
ROLLBACK;
