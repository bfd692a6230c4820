-- The control planes of the fleet, one row a state directory, written by each once a second. An epoch of 0
-- says that another one has that office; a daemon that hangs cannot say so any more, and seen_at tells.
CREATE TABLE control_planes (
    instance      text        NOT NULL PRIMARY KEY,
    host          text        NOT NULL,
    pid           integer     NOT NULL,
    build         text        NOT NULL,
    admin         text        NOT NULL, -- where its admin API listens
    started_at    timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL DEFAULT now(),
    publish_epoch bigint      NOT NULL DEFAULT 0,
    lease_epoch   bigint      NOT NULL DEFAULT 0
);

GRANT SELECT, INSERT, UPDATE, DELETE ON control_planes TO headgate_app;
