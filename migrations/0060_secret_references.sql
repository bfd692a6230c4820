-- What secret managers hold for providers: the last good value of each reference, sealed, and how it stands.
CREATE SEQUENCE secret_versions;
CREATE TABLE secret_references (
    reference   text        PRIMARY KEY,
    sealed      bytea,       -- NULL before the first success
    version     bigint      NOT NULL DEFAULT 0, -- another one with every other value
    resolved_at timestamptz, -- of the last success
    tried_at    timestamptz,
    claimed_at  timestamptz, -- by the daemon that asks now
    wanted_at   timestamptz, -- somebody asked for it out of turn
    problem     text        NOT NULL DEFAULT '' -- of the last try
);

GRANT SELECT, INSERT, UPDATE, DELETE ON secret_references TO headgate_app;
GRANT USAGE ON SEQUENCE secret_versions TO headgate_app;
