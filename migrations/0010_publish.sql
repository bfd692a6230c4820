-- Sections of published snapshots that are not made from key shards alone: sealed values differ with
-- every sealing, so the control planes that do not publish take these bytes instead of making their own.
CREATE TABLE snapshot_sections (
    sha256       bytea       PRIMARY KEY CHECK (length(sha256) = 32),
    name         text        NOT NULL,
    bytes        bytea       NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX snapshots_newest ON snapshots (epoch DESC, version DESC);

GRANT SELECT, INSERT, DELETE ON snapshot_sections TO headgate_app;
