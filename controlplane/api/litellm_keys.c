/* /key/generate, /key/update, /key/delete, /key/info, /key/list, /key/block, /key/regenerate. */
#include <stdio.h>
#include <string.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/litellm_shim.h"
#include "controlplane/api/litellm_tables.h"
#include "controlplane/api/resources.h"
#include "controlplane/compat/litellm.h"
#include "controlplane/plane.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/secret.h"

#define DEFAULT_TEAM "default" /* whose a key is for which no team was named */
#define TOO_MANY_KEYS "more than %d keys would go: delete those first (/key/delete)"

static const struct kind *
keys_kind(void)
{
    return kind_at(KIND_KEYS);
}

static void
set_object(struct api_reply *reply, const char *name)
{
    (void)snprintf(reply->audit_object, sizeof(reply->audit_object), "keys/%s", name);
}

/* ---- which key ------------------------------------------------------------------------------- */

/* The name of the key that this is the text of. The text itself goes no further. */
static int
name_of_text(struct api_request *r, struct slice text, char ret_name[static LIMIT_NAME_BYTES + 1])
{
    unsigned char digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    struct item key;
    int err = secrets_key_digest(r->plane->secrets, text, digest);
    if (err)
        return err;
    hex_encode(digest, sizeof(digest), hex);
    err = items_find_key(r->db, hex, &key);
    if (!err)
        (void)snprintf(ret_name, LIMIT_NAME_BYTES + 1, "%s", key.name);
    item_free(&key);
    return err;
}

/* By its text, its token id or its alias. 0 or a problem. */
static int
find_key(struct api_request *r, struct api_reply *reply, struct slice given, const char *member,
         struct item *ret_item)
{
    char name[LIMIT_NAME_BYTES + 1] = "";
    *ret_item = (struct item){0};
    if (!slice_starts(given, SLICE("sk-")))
        return shim_find(r, reply, keys_kind(), given, member, ret_item);
    int err = name_of_text(r, given, name);
    if (err && err != ERR_NOT_FOUND)
        return api_fail(r, reply, err);
    return shim_find(r, reply, keys_kind(), slice_of(name), member, ret_item);
}

/* ---- what a body says of a key --------------------------------------------------------------- */

#define refuse(s, member, ...) shim_refuse((s), 400, "invalid_field", (member), __VA_ARGS__)

static int
set_member(struct shim *s, struct json *input, const char *ours, const char *theirs)
{
    const struct json *v = json_get(s->given, theirs);
    if (!v && shim_is_null(s, theirs))
        (void)json_remove(input, ours);
    return v && json_set(input, ours, json_copy(v)) != 0 ? api_fail(s->r, s->reply, ERR_NOMEM) : 0;
}

/* [] and the names that stand for all models are no limit. */
int
shim_set_models(struct shim *s, struct json *input)
{
    const struct json *models = json_get(s->given, "models");
    bool all = shim_is_null(s, "models") || (models && json_size(models) == 0);
    for (size_t i = 0; i < json_size(models); i++) {
        struct slice name = json_str(json_at(models, i));
        all = all || slice_is(name, "all-proxy-models") || slice_is(name, "all-team-models");
        if (slice_is(name, "no-default-models"))
            return refuse(s, "models", "'no-default-models' has no counterpart: block it instead");
    }
    if (all)
        (void)json_remove(input, "models");
    else if (models && json_set(input, "models", json_copy(models)) != 0)
        return api_fail(s->r, s->reply, ERR_NOMEM);
    return 0;
}

static int
set_expiry(struct shim *s, struct json *input)
{
    struct slice duration = shim_text(s, "duration");
    int64_t at;
    char text[32];
    if (shim_is_null(s, "duration"))
        (void)json_remove(input, "expires");
    if (!duration.at)
        return 0;
    if (litellm_after(duration, clock_wall_ms(), &at) != 0)
        return refuse(s, "duration",
                      "must be a number and s, m, h, d, w or mo, up to a hundred years: \"30d\"");
    clock_rfc3339(at, text);
    return json_set_str(input, "expires", text) ? api_fail(s->r, s->reply, ERR_NOMEM) : 0;
}

static int
add_listed_tags(struct shim *s, const struct json *list, const char *member, struct json *tags)
{
    int err = 0;
    if (json_kind(list) != JSON_LIST)
        return refuse(s, member, "must be a list of texts");
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        struct slice text = json_str(json_at(list, i));
        err = text.at ? litellm_add_tag(tags, text) : ERR_SYNTAX;
    }
    if (err == ERR_SYNTAX)
        return refuse(s, member, "must be a list of texts such as \"a\" or \"a:b\"");
    return err ? api_fail(s->r, s->reply, err) : 0;
}

/* Texts, numbers and truth values are tags; `tags` in it is LiteLLM's own list. */
static int
add_metadata(struct shim *s, struct json *tags)
{
    void *iter = NULL;
    const char *name;
    struct json *value, *map = json_copy(s->metadata);
    char decimal[JSON_DECIMAL_BYTES];
    int err = map ? 0 : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err && json_kind(map) != JSON_MAP)
        err = refuse(s, "metadata", "must be a map");
    while (!err && json_each(map, &iter, &name, &value)) {
        struct slice text = json_str(value);
        bool is_true = json_is_true(value);
        if (strcmp(name, "tags") == 0) {
            err = add_listed_tags(s, value, "metadata.tags", tags);
            continue;
        }
        if (is_true || json_kind(value) == JSON_FALSE_)
            text = is_true ? SLICE("true") : SLICE("false");
        else if (!text.at && json_decimal(value, decimal) == 0)
            text = slice_of(decimal);
        if (!text.at)
            err = refuse(s, "metadata",
                         "'%.64s': a key's metadata are tags here: texts, numbers, true, "
                         "false",
                         name);
        else if (json_set_text(tags, name, text) != 0)
            err = api_fail(s->r, s->reply, ERR_NOMEM);
    }
    json_free(map);
    return err;
}

/* Both are the key's tags; what is given replaces what is there. */
static int
set_tags(struct shim *s, struct json *input)
{
    const struct json *list = json_get(s->given, "tags");
    bool given = s->metadata || list || shim_is_null(s, "tags");
    struct json *tags = given ? json_new_map() : NULL;
    int err = given && !tags ? api_fail(s->r, s->reply, ERR_NOMEM) : 0;
    if (!given)
        return 0;
    if (!err && s->metadata && json_kind(s->metadata) != JSON_NULL_)
        err = add_metadata(s, tags);
    if (!err && list)
        err = add_listed_tags(s, list, "tags", tags);
    (void)json_remove(input, "tags");
    if (!err && json_size(tags) > 0)
        return json_set(input, "tags", tags) ? api_fail(s->r, s->reply, ERR_NOMEM) : 0;
    json_free(tags);
    return err;
}

static int
set_key(struct shim *s, struct json *input)
{
    int err = set_member(s, input, "team", "team_id");
    if (!err)
        err = set_member(s, input, "user", "user_id");
    if (!err)
        err = set_member(s, input, "project", "project_id");
    if (!err)
        err = set_member(s, input, "disabled", "blocked");
    if (!err)
        err = shim_set_models(s, input);
    if (!err)
        err = set_expiry(s, input);
    if (!err)
        err = set_tags(s, input);
    if (!err && !json_get(input, "team") && json_set_str(input, "team", DEFAULT_TEAM) != 0)
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    return err;
}

/* ---- the answers ----------------------------------------------------------------------------- */

/* The key as it is now; text: what stands in `key`, or NULL. */
static int
answer_key(struct shim *s, const char *name, const char *text)
{
    int err = shim_view(s->r, s->reply, keys_kind(), name, &s->reply->body);
    if (!err && text && json_set_str(s->reply->body, "key", text) != 0)
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    set_object(s->reply, name);
    return err;
}

static int
refuse_stranger(struct shim *s, const char *name, const struct json *input)
{
    int err = authority_over(s->r, "keys.create", keys_kind(), name, input);
    if (err == ERR_DENIED)
        return api_problem(s->reply, 403, "forbidden", "no permission keys.create for a key there");
    return err ? api_fail(s->r, s->reply, err) : 0;
}

int
shim_add_key(struct shim *s, const char *name, struct json *input)
{
    int err = json_set_str(input, "name", name) ? api_fail(s->r, s->reply, ERR_NOMEM) : 0;
    if (!err)
        err = set_expiry(s, input);
    if (!err)
        err = refuse_stranger(s, name, input);
    if (!err)
        err = shim_is_new(s, keys_kind(), name, "key_alias");
    return err ? err : shim_put(s, keys_kind(), name, NULL, input);
}

/* ---- making and changing --------------------------------------------------------------------- */

static int
generate(struct shim *s)
{
    char name[LIMIT_NAME_BYTES + 1];
    struct json *input = json_new_map();
    shim_name(shim_text(s, "key_alias"), "key", name);
    shim_ignore(s, "send_invite_email");
    int err = input ? set_key(s, input) : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err = shim_add_key(s, name, input);
    if (!err)
        err = shim_limits(s, "key", name);
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    json_free(input);
    return err ? err : answer_key(s, name, s->minted.text);
}

int
litellm_key_generate(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_key_fields, true);
    return shim_close(&s, err ? err : generate(&s));
}

static int
update(struct shim *s, const struct item *key)
{
    struct json *input = shim_input(keys_kind(), key);
    struct slice alias = shim_text(s, "key_alias");
    int err = input ? 0 : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err && alias.at && !slice_is(alias, key->name))
        err = refuse(s, "key_alias", "is the key's name, which cannot be changed");
    if (!err && shim_is_null(s, "team_id"))
        err = refuse(s, "team_id", "each key belongs to a team");
    if (!err)
        err = set_key(s, input);
    if (!err)
        err = shim_put(s, keys_kind(), key->name, key, input);
    if (!err)
        err = shim_limits(s, "key", key->name);
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    json_free(input);
    return err ? err : answer_key(s, key->name, shim_text(s, "key").at);
}

int
litellm_key_update(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    struct item key = {0};
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_key_update_fields, true);
    if (!err)
        err = find_key(r, reply, shim_text(&s, "key"), "key", &key);
    if (!err)
        err = update(&s, &key);
    item_free(&key);
    return shim_close(&s, err);
}

static int
set_blocked(struct api_request *r, struct api_reply *reply, bool blocked)
{
    struct shim s;
    struct item key = {0};
    struct json *input = NULL;
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_one_key_fields, false);
    if (!err)
        err = find_key(r, reply, shim_text(&s, "key"), "key", &key);
    if (!err && (!(input = shim_input(keys_kind(), &key)) ||
                 json_set_bool(input, "disabled", blocked) != 0))
        err = api_fail(r, reply, ERR_NOMEM);
    if (!err)
        err = shim_put(&s, keys_kind(), key.name, &key, input);
    if (!err)
        err = change_commit(r, reply, &s.changes);
    if (!err)
        err = answer_key(&s, key.name, NULL);
    json_free(input);
    item_free(&key);
    return shim_close(&s, err);
}

int
litellm_key_block(struct api_request *r, struct api_reply *reply)
{
    return set_blocked(r, reply, true);
}

int
litellm_key_unblock(struct api_request *r, struct api_reply *reply)
{
    return set_blocked(r, reply, false);
}

/* A new text; the one before is refused at once, as LiteLLM does. */
static int
regenerate(struct shim *s, const struct item *key)
{
    struct json *body = NULL;
    struct change *one = NULL;
    int err = keys_rotated_body(s->r, key, 0, &s->minted, &body);
    if (!err && !(one = changes_put(&s->changes, keys_kind(), key->name, key, body)))
        err = ERR_NOMEM;
    if (err)
        return api_fail(s->r, s->reply, err);
    one->permission = "keys.rotate";
    err = change_commit(s->r, s->reply, &s->changes);
    return err ? err : answer_key(s, key->name, s->minted.text);
}

int
litellm_key_regenerate(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    struct item key = {0};
    struct slice in_path = r->params[0];
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_regenerate_fields, false);
    struct slice in_body = err ? in_path : shim_text(&s, "key");
    if (!err && !in_path.at == !in_body.at)
        err = refuse(&s, "key", "name the key in the path or in the body, one of the two");
    if (!err)
        err = find_key(r, reply, in_path.at ? in_path : in_body, "key", &key);
    if (!err)
        err = regenerate(&s, &key);
    item_free(&key);
    return shim_close(&s, err);
}

/* ---- deleting -------------------------------------------------------------------------------- */

static int
drop_key(struct shim *s, const struct item *key)
{
    int err = shim_drop(s, keys_kind(), key);
    return err ? err : shim_limits_drop(s, "key", key->name);
}

static int
drop_listed(struct shim *s, const char *member)
{
    const struct json *list = json_get(s->given, member);
    int err = 0;
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        char place[64];
        struct item key = {0};
        (void)snprintf(place, sizeof(place), "%s[%zu]", member, i);
        err = find_key(s->r, s->reply, json_str(json_at(list, i)), place, &key);
        if (!err)
            err = drop_key(s, &key);
        item_free(&key);
    }
    return err;
}

int
shim_drop_keys(struct shim *s, const struct item_query *q)
{
    struct items keys = {0};
    struct item_query asked = *q;
    asked.limit = LIMIT_SHIM_ITEMS + 1;
    int err = items_search(s->r->db, keys_kind(), &asked, &keys, NULL);
    if (err)
        return api_fail(s->r, s->reply, err);
    if (keys.count > LIMIT_SHIM_ITEMS)
        err = api_problem(s->reply, 400, "too_many", TOO_MANY_KEYS, LIMIT_SHIM_ITEMS);
    for (size_t i = 0; i < keys.count && !err; i++)
        err = drop_key(s, &keys.at[i]);
    items_free(&keys);
    return err;
}

static int
delete_keys(struct shim *s)
{
    const struct json *keys = json_get(s->given, "keys");
    const struct json *aliases = json_get(s->given, "key_aliases");
    if (json_size(keys) + json_size(aliases) == 0)
        return refuse(s, "keys", "give keys or key_aliases");
    int err = drop_listed(s, "keys");
    if (!err)
        err = drop_listed(s, "key_aliases");
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    if (err)
        return err;
    set_object(s->reply, s->changes.count ? s->changes.at[0].name : "");
    s->reply->body = json_new_map();
    err = s->reply->body ? json_set(s->reply->body, "deleted_keys",
                                    json_copy(json_size(keys) ? keys : aliases))
                         : ERR_NOMEM;
    return err ? api_fail(s->r, s->reply, err) : 0;
}

int
litellm_key_delete(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_key_delete_fields, false);
    return shim_close(&s, err ? err : delete_keys(&s));
}

/* ---- reading --------------------------------------------------------------------------------- */

int
litellm_key_info(struct api_request *r, struct api_reply *reply)
{
    struct item key = {0};
    struct json *view = NULL;
    struct slice given = api_query(r, "key");
    if (!given.len)
        return api_problem(reply, 400, "invalid_parameter",
                           "key: its text, its token or its alias is needed");
    int err = find_key(r, reply, given, "key", &key);
    if (!err)
        err = shim_view(r, reply, keys_kind(), key.name, &view);
    item_free(&key);
    if (err)
        return err;
    reply->body = json_new_map();
    err = reply->body ? json_set_text(reply->body, "key", given) : ERR_NOMEM;
    if (!err) {
        err = json_set(reply->body, "info", view);
        view = NULL;
    }
    json_free(view);
    return err ? api_fail(r, reply, err) : 0;
}

static int
list_keys(struct api_request *r, const struct items *keys, bool full, struct json *into)
{
    int err = full ? shim_views(r, keys_kind(), keys, into) : 0;
    for (size_t i = 0; i < keys->count && !full && !err; i++)
        err = json_append(into, json_new_text(slice_of(keys->at[i].id)));
    return err;
}

/* key_hash: the token id, which is not a name. */
static int
name_of_token(struct api_request *r, struct api_reply *reply, const char **ret_name)
{
    struct item key;
    const char *token = shim_query(r, "key_hash");
    if (!token)
        return 0;
    int err = items_find(r->db, keys_kind(), slice_of(token), &key);
    *ret_name = err ? "" : arena_strdup(&r->arena, slice_of(key.name)); /* "": matches nothing */
    item_free(&key);
    if (err && err != ERR_NOT_FOUND)
        return api_fail(r, reply, err);
    return *ret_name ? 0 : api_fail(r, reply, ERR_NOMEM);
}

static int
search(struct api_request *r, struct api_reply *reply, struct item_query *q, struct shim_page *page,
       bool full)
{
    struct items keys = {0};
    struct json *list = json_new_list(), *body = json_new_map();
    q->offset = (page->page - 1) * page->size;
    q->limit = page->size;
    int err = list && body ? items_search(r->db, keys_kind(), q, &keys, &page->total) : ERR_NOMEM;
    if (!err)
        err = list_keys(r, &keys, full, list);
    items_free(&keys);
    if (!err) {
        err = json_set(body, "keys", list);
        list = NULL;
    }
    if (!err)
        err = json_set_int(body, "total_count", page->total);
    if (!err)
        err = json_set_int(body, "current_page", page->page);
    if (!err)
        err = json_set_int(body, "total_pages", shim_pages(page));
    json_free(list);
    reply->body = body;
    return err ? api_fail(r, reply, err) : 0;
}

int
litellm_key_list(struct api_request *r, struct api_reply *reply)
{
    struct item_filter filter;
    struct shim_page page = {0};
    bool full = false, unused = false;
    struct item_query q = {.filter = &filter,
                           .newest_first = true,
                           .name = shim_query(r, "key_alias"),
                           .team = shim_query(r, "team_id"),
                           .user = shim_query(r, "user_id")};
    int err = authority_filter(r, reply, r->route->permission, &filter);
    if (!err)
        err = shim_refuse_query(r, reply, "organization_id sort_by sort_order");
    if (!err)
        err = shim_page(r, reply, "size", 10, &page);
    if (!err)
        err = shim_flag(r, reply, "return_full_object", &full);
    if (!err) /* all that the caller may see is listed anyway */
        err = shim_flag(r, reply, "include_team_keys", &unused);
    if (!err)
        err = name_of_token(r, reply, &q.name);
    return err ? err : search(r, reply, &q, &page, full);
}
