-- Public keys of token issuers, as they were fetched last. url is the issuer that they speak for: an item
-- that is given another one starts without keys.
CREATE TABLE issuer_keys (
    issuer     text COLLATE "C" NOT NULL, -- its name in the configuration
    url        text        NOT NULL,
    kid        text        NOT NULL,
    kind       text        NOT NULL CHECK (kind IN ('rsa', 'p256', 'ed25519')),
    der        bytea       NOT NULL, -- SubjectPublicKeyInfo
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, url, kid)
);

-- When each was asked last, for which revision of its item, and what came of it.
CREATE TABLE issuer_state (
    issuer     text COLLATE "C" PRIMARY KEY,
    revision   bigint      NOT NULL,
    tried_at   timestamptz NOT NULL DEFAULT now(),
    fetched_at timestamptz,
    problem    text        NOT NULL DEFAULT ''
);

GRANT SELECT, INSERT, UPDATE, DELETE ON issuer_keys, issuer_state TO headgate_app;
