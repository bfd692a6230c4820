-- Users and groups by what an identity provider calls them (userName, displayName: in any case), and by its
-- own name for them. The title is kept in the item only where it is not its name.
CREATE INDEX config_items_users_title ON config_items
    (lower(coalesce(body -> 'scim' ->> 'title', name) COLLATE "C")) WHERE kind = 'users';
CREATE INDEX config_items_groups_title ON config_items
    (lower(coalesce(body -> 'scim' ->> 'title', name) COLLATE "C")) WHERE kind = 'groups';
CREATE INDEX config_items_external ON config_items (kind, (body -> 'scim' ->> 'external_id'))
    WHERE body -> 'scim' ->> 'external_id' IS NOT NULL;
