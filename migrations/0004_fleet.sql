-- What was published, and what the workers made of it.

-- Drawn at every start of a publisher: epochs only grow.
CREATE SEQUENCE publisher_epoch;

CREATE TABLE snapshots (
    epoch        bigint      NOT NULL,
    version      bigint      NOT NULL,
    revision     bigint      NOT NULL,
    root_sha256  bytea       NOT NULL CHECK (length(root_sha256) = 32),
    envelope     bytea       NOT NULL,
    sections     integer     NOT NULL,
    bytes        bigint      NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (epoch, version)
);

-- One row a worker slot of a node. refused_*: the last snapshot it would not take, cleared when it
-- takes a newer one.
CREATE TABLE workers (
    node            text        NOT NULL,
    slot            integer     NOT NULL CHECK (slot >= 0),
    pid             integer     NOT NULL,
    host            text        NOT NULL,
    build           text        NOT NULL,
    started_at      timestamptz NOT NULL,
    seen_at         timestamptz NOT NULL,
    held_epoch      bigint      NOT NULL DEFAULT 0,
    held_version    bigint      NOT NULL DEFAULT 0,
    applied_at      timestamptz,
    refused_epoch   bigint,
    refused_version bigint,
    refused_error   text,
    refused_detail  text,
    refused_at      timestamptz,
    spool_records   bigint      NOT NULL DEFAULT 0,
    spool_bytes     bigint      NOT NULL DEFAULT 0,
    requests        bigint      NOT NULL DEFAULT 0,
    open_streams    bigint      NOT NULL DEFAULT 0,
    draining        boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (node, slot)
);

GRANT USAGE, SELECT ON SEQUENCE publisher_epoch TO headgate_app;
GRANT SELECT, INSERT, DELETE ON snapshots TO headgate_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO headgate_app;
