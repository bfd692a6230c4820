-- The configuration: what is in force, and every change that led to it.

-- kind is the list's name in the configuration file ("providers", "keys", ...). body holds the item
-- without its name, in canonical form and without defaults. Two members never leave the database in
-- clear: a provider's literal credential ({"sealed": base64, "fingerprint": hex}) and a key's
-- "digest" (hex of HMAC-SHA-256 under the pepper), beside its display "prefix".
CREATE TABLE config_items (
    kind       text        NOT NULL CHECK (kind ~ '^[a-z][a-z_]{1,31}$'),
    name       text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    id         uuid        NOT NULL UNIQUE,
    body       jsonb       NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    revision   bigint      NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
-- A digest finds one key only, whatever a hand-written statement does.
CREATE UNIQUE INDEX config_items_digest ON config_items ((body ->> 'digest')) WHERE kind = 'keys';

-- Who refers to a team, project or user, among very many keys.
CREATE INDEX config_items_team ON config_items (kind, (body ->> 'team'));
CREATE INDEX config_items_project ON config_items (kind, (body ->> 'project'))
    WHERE body ->> 'project' IS NOT NULL;
CREATE INDEX config_items_user ON config_items (kind, (body ->> 'user'))
    WHERE body ->> 'user' IS NOT NULL;

CREATE TABLE revisions (
    revision   bigint      PRIMARY KEY CHECK (revision > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    author     text        NOT NULL,
    note       text        NOT NULL DEFAULT '',
    source     text        NOT NULL CHECK (source IN ('api', 'apply', 'rollback')),
    rollback_of bigint     REFERENCES revisions (revision)
);

-- before NULL: created. after NULL: deleted. Bodies as in config_items. item_created_at lets a
-- rollback give a deleted item its first date again.
CREATE TABLE revision_changes (
    revision   bigint NOT NULL REFERENCES revisions (revision),
    kind       text   NOT NULL,
    name       text COLLATE "C" NOT NULL,
    id         uuid   NOT NULL,
    before     jsonb,
    after      jsonb,
    item_created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (revision, kind, name),
    CHECK (before IS NOT NULL OR after IS NOT NULL)
);
CREATE INDEX revision_changes_item ON revision_changes (kind, name, revision);

GRANT SELECT, INSERT, UPDATE, DELETE ON config_items TO headgate_app;
GRANT SELECT, INSERT ON revisions, revision_changes TO headgate_app;
