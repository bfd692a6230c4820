-- Admin tokens of users: what such a token may do follows from the bindings of its user. A token without
-- a user has a role of its own: admin is the built-in role owner, read-only is auditor.
ALTER TABLE admin_tokens ALTER COLUMN role DROP NOT NULL;
ALTER TABLE admin_tokens ADD COLUMN user_name text;
ALTER TABLE admin_tokens ADD CONSTRAINT admin_tokens_principal CHECK ((role IS NULL) <> (user_name IS NULL));
CREATE INDEX admin_tokens_user ON admin_tokens (user_name) WHERE user_name IS NOT NULL;

-- Whom a binding gives a role; what a group is in. There are few of them among very many keys.
CREATE INDEX config_items_bindings ON config_items (name) WHERE kind = 'bindings';
CREATE INDEX config_items_groups ON config_items (name) WHERE kind = 'groups';

-- When a key was last used.
CREATE INDEX usage_hourly_key ON usage_hourly (key, hour);
