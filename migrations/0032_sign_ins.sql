-- Signing in with an identity provider.

-- What each provider said of itself last: its endpoints, and its public keys as [{"kid","kind","der"}].
-- issuer is whom that speaks for: an item that is given another one starts without.
CREATE TABLE sign_in_providers (
    sign_in    text COLLATE "C" PRIMARY KEY, -- its name in the configuration
    issuer     text        NOT NULL,
    revision   bigint      NOT NULL,         -- of the item that was followed
    endpoints  jsonb,                        -- NULL: never reached
    keys       jsonb,
    tried_at   timestamptz NOT NULL DEFAULT now(),
    fetched_at timestamptz,
    problem    text        NOT NULL DEFAULT ''
);

-- Answers of providers that were taken: each once. Kept while the request that they answer could be valid.
CREATE TABLE sign_in_answers (
    digest  bytea       PRIMARY KEY CHECK (length(digest) = 32),
    used_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_answers_age ON sign_in_answers (used_at);

-- Whom a provider's account stands for, from its first time on: a name that is given to another account
-- there does not inherit anything here.
CREATE TABLE sign_in_accounts (
    issuer     text        NOT NULL,
    user_name  text COLLATE "C" NOT NULL,
    subject    text        NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, user_name)
);
CREATE INDEX sign_in_accounts_user ON sign_in_accounts (user_name);

-- Codes for the command line, good once and for a minute. challenge: RFC 7636, S256.
CREATE TABLE sign_in_codes (
    digest    bytea       PRIMARY KEY CHECK (length(digest) = 32),
    challenge text        NOT NULL CHECK (length(challenge) = 43),
    user_name text COLLATE "C" NOT NULL,
    sign_in   text COLLATE "C" NOT NULL,
    claims    jsonb       NOT NULL,
    made_at   timestamptz NOT NULL DEFAULT now()
);

-- A session: of a browser, with a cookie; or of the command line, with a token. Only the SHA-256 of
-- either is here. claims: the provider's names of groups, of those that the item maps.
CREATE TABLE admin_sessions (
    id         uuid        PRIMARY KEY,
    digest     bytea       NOT NULL UNIQUE CHECK (length(digest) = 32),
    kind       text        NOT NULL CHECK (kind IN ('browser', 'cli')),
    user_name  text COLLATE "C" NOT NULL,
    sign_in    text COLLATE "C" NOT NULL,
    claims     jsonb       NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    idle_s     integer     NOT NULL CHECK (idle_s > 0),
    ends_at    timestamptz NOT NULL
);
CREATE INDEX admin_sessions_user ON admin_sessions (user_name);
CREATE INDEX admin_sessions_end ON admin_sessions (ends_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_providers, admin_sessions TO headgate_app;
GRANT SELECT, INSERT, DELETE ON sign_in_answers, sign_in_accounts, sign_in_codes TO headgate_app;
