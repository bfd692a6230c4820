-- The application's role. The owner (who runs migrations) holds the tables; the daemon works as
-- headgate_app with the grants each migration gives, and nothing else. An operator may have made the
-- role beforehand, with a password; then it is left as it is.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headgate_app') THEN
        CREATE ROLE headgate_app LOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database of this cluster was migrated at the same moment
END
$$;

GRANT USAGE ON SCHEMA public TO headgate_app;
GRANT SELECT ON schema_migrations TO headgate_app;
