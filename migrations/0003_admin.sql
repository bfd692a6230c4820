-- Who may call the admin API, what was answered to repeated calls, what was done by whom.

-- A token is stored as its SHA-256 only.
CREATE TABLE admin_tokens (
    id         uuid        PRIMARY KEY,
    name       text COLLATE "C" NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    role       text        NOT NULL CHECK (role IN ('admin', 'read-only')),
    digest     bytea       NOT NULL UNIQUE CHECK (length(digest) = 32),
    prefix     text        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);

-- The answer is sealed: it may hold a key that is shown once.
CREATE TABLE idempotency_keys (
    actor       text        NOT NULL,
    key         text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    route       text        NOT NULL,
    body_digest bytea       NOT NULL CHECK (length(body_digest) = 32),
    status      integer     NOT NULL,
    answer      bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Append-only, without gaps. hash = SHA-256(prev_hash || canonical row), where the canonical row is
-- the JSON {"action","actor","at","detail","object","request_id","seq"} with sorted members.
CREATE TABLE audit_log (
    seq        bigint      PRIMARY KEY CHECK (seq > 0),
    at         timestamptz NOT NULL,
    actor      text        NOT NULL,
    action     text        NOT NULL,
    object     text        NOT NULL,
    detail     jsonb       NOT NULL,
    request_id text        NOT NULL,
    prev_hash  bytea       NOT NULL CHECK (length(prev_hash) = 32),
    hash       bytea       NOT NULL CHECK (length(hash) = 32)
);

-- Facts about this installation: cluster_id, pepper (sealed, base64).
CREATE TABLE settings (
    name       text        PRIMARY KEY,
    value      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, DELETE ON admin_tokens, idempotency_keys TO headgate_app;
GRANT SELECT, INSERT ON audit_log, settings TO headgate_app;
