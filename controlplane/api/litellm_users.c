/* /user/new, /user/update, /user/delete, /user/info, /user/list. */
#include <stdio.h>
#include <string.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/litellm_shim.h"
#include "controlplane/api/litellm_tables.h"

static const struct kind *
users_kind(void)
{
    return kind_at(KIND_USERS);
}

static void
set_object(struct api_reply *reply, const char *name)
{
    (void)snprintf(reply->audit_object, sizeof(reply->audit_object), "users/%s", name);
}

/* The user_id, else the user_email: a user has one name here. */
static struct slice
name_given(struct shim *s)
{
    struct slice id = shim_text(s, "user_id"), address = shim_text(s, "user_email");
    if (id.at && address.at && !slice_eq(id, address))
        shim_ignore(s, "user_email");
    shim_ignore(s, "user_alias");
    shim_ignore(s, "send_invite_email");
    return id.at ? id : address;
}

static int
set_user(struct shim *s, struct json *input)
{
    const struct json *blocked = json_get(s->given, "blocked"),
                      *teams = json_get(s->given, "teams");
    int err = blocked ? json_set(input, "disabled", json_copy(blocked)) : 0;
    if (!err && json_size(teams) > 0)
        err = json_set(input, "teams", json_copy(teams));
    return err ? api_fail(s->r, s->reply, err) : 0;
}

/* ---- making, with a key unless auto_create_key says no --------------------------------------- */

static bool
wants_key(const struct shim *s)
{
    const struct json *flag = json_get(s->given, "auto_create_key");
    return !flag || json_is_true(flag);
}

/* Of the user's first team. */
static int
add_key(struct shim *s, const char *user, const char *key)
{
    struct slice team = json_str(json_at(json_get(s->given, "teams"), 0));
    struct json *input = json_new_map();
    int err = input ? json_set_text(input, "team", team.at ? team : SLICE("default")) : ERR_NOMEM;
    if (!err)
        err = json_set_str(input, "user", user);
    err = err ? api_fail(s->r, s->reply, err) : shim_add_key(s, key, input);
    json_free(input);
    return err;
}

static int
refuse_key_members(struct shim *s)
{
    static const char *const of_a_key[] = {"key_alias", "duration"};
    for (size_t i = 0; i < 2; i++)
        if (json_get(s->given, of_a_key[i]))
            return shim_refuse(s, 400, "invalid_field", of_a_key[i],
                               "is of a key, and auto_create_key is false");
    return 0;
}

static int
answer_new(struct shim *s, const char *user, const char *key)
{
    static const char *const members[] = {"token",     "token_id", "key_name",
                                          "key_alias", "expires",  "team_id"};
    struct json *view = NULL;
    int err = shim_view(s->r, s->reply, users_kind(), user, &s->reply->body);
    set_object(s->reply, user);
    if (err || !key)
        return err;
    err = shim_view(s->r, s->reply, kind_at(KIND_KEYS), key, &view);
    if (err)
        return err;
    err = json_set_str(s->reply->body, "key", s->minted.text);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && !err; i++)
        err = json_set(s->reply->body, members[i], json_copy(json_get(view, members[i])));
    json_free(view);
    return err ? api_fail(s->r, s->reply, err) : 0;
}

static int
new_user(struct shim *s)
{
    char name[LIMIT_NAME_BYTES + 1], key[LIMIT_NAME_BYTES + 1];
    bool with_key = wants_key(s);
    struct json *input = json_new_map();
    shim_name(name_given(s), "user", name);
    shim_name(shim_text(s, "key_alias"), "key", key);
    int err = input && json_set_str(input, "name", name) == 0 ? set_user(s, input)
                                                              : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err = shim_is_new(s, users_kind(), name, "user_id");
    if (!err)
        err = shim_put(s, users_kind(), name, NULL, input);
    if (!err)
        err = shim_limits(s, "user", name);
    if (!err)
        err = with_key ? add_key(s, name, key) : refuse_key_members(s);
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    json_free(input);
    return err ? err : answer_new(s, name, with_key ? key : NULL);
}

int
litellm_user_new(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_user_fields, false);
    return shim_close(&s, err ? err : new_user(&s));
}

/* ---- changing and deleting ------------------------------------------------------------------- */

static int
update(struct shim *s, const struct item *user)
{
    struct json *input = shim_input(users_kind(), user), *view = NULL;
    int err = input ? set_user(s, input) : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err = shim_put(s, users_kind(), user->name, user, input);
    if (!err)
        err = shim_limits(s, "user", user->name);
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    if (!err)
        err = shim_view(s->r, s->reply, users_kind(), user->name, &view);
    set_object(s->reply, user->name);
    if (!err && (!(s->reply->body = json_new_map()) ||
                 json_set_str(s->reply->body, "user_id", user->name) != 0 ||
                 json_set(s->reply->body, "data", json_ref(view)) != 0))
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    json_free(input);
    json_free(view);
    return err;
}

int
litellm_user_update(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    struct item user = {0};
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_user_update_fields, false);
    if (!err)
        err = shim_find(r, reply, users_kind(), name_given(&s), "user_id", &user);
    if (!err)
        err = update(&s, &user);
    item_free(&user);
    return shim_close(&s, err);
}

static int
drop_user(struct shim *s, struct slice given, const char *place)
{
    struct item user = {0};
    int err = shim_find(s->r, s->reply, users_kind(), given, place, &user);
    if (!err)
        err = shim_drop_keys(s, &(struct item_query){.user = user.name});
    if (!err)
        err = shim_limits_drop(s, "user", user.name);
    if (!err)
        err = shim_drop(s, users_kind(), &user);
    if (!err)
        set_object(s->reply, user.name);
    item_free(&user);
    return err;
}

/* LiteLLM answers with how many there were. */
static int
delete_users(struct shim *s)
{
    const struct json *ids = json_get(s->given, "user_ids");
    int64_t count = 0;
    int err =
        json_size(ids) ? 0 : shim_refuse(s, 400, "invalid_field", "user_ids", "must not be empty");
    for (size_t i = 0; i < json_size(ids) && !err; i++) {
        char place[64];
        (void)snprintf(place, sizeof(place), "user_ids[%zu]", i);
        err = drop_user(s, json_str(json_at(ids, i)), place);
    }
    for (size_t i = 0; i < s->changes.count; i++)
        count += s->changes.at[i].kind == users_kind();
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    if (err)
        return err;
    s->reply->body = json_new_int(count);
    return s->reply->body ? 0 : api_fail(s->r, s->reply, ERR_NOMEM);
}

int
litellm_user_delete(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_user_delete_fields, false);
    return shim_close(&s, err ? err : delete_users(&s));
}

/* ---- reading --------------------------------------------------------------------------------- */

static int
teams_of(struct api_request *r, struct api_reply *reply, const struct item *user,
         struct json **ret_list)
{
    const struct json *names = json_get(user->body, "teams");
    struct items teams = {0};
    bool may = access_everywhere(r->access, permission_find(SLICE("teams.read")));
    *ret_list = json_new_list();
    int err = *ret_list ? 0 : ERR_NOMEM;
    if (!err && names && may)
        err = items_load(r->db, kind_at(KIND_TEAMS), names, &teams);
    if (!err)
        err = shim_views(r, kind_at(KIND_TEAMS), &teams, *ret_list);
    items_free(&teams);
    return err ? api_fail(r, reply, err) : 0;
}

int
litellm_user_info(struct api_request *r, struct api_reply *reply)
{
    struct item user = {0};
    struct json *view = NULL, *keys = NULL, *teams = NULL, *body = json_new_map();
    int err = shim_find(r, reply, users_kind(), api_query(r, "user_id"), "user_id", &user);
    if (!err)
        err = shim_view(r, reply, users_kind(), user.name, &view);
    if (!err)
        err = shim_keys_of(r, reply, (struct item_query){.user = user.name}, &keys);
    if (!err)
        err = teams_of(r, reply, &user, &teams);
    if (!err && (!body || json_set_str(body, "user_id", user.name) != 0 ||
                 json_set(body, "user_info", json_ref(view)) != 0 ||
                 json_set(body, "keys", json_ref(keys)) != 0 ||
                 json_set(body, "teams", json_ref(teams)) != 0))
        err = api_fail(r, reply, ERR_NOMEM);
    if (!err)
        reply->body = json_ref(body);
    json_free(view);
    json_free(keys);
    json_free(teams);
    json_free(body);
    item_free(&user);
    return err;
}

int
litellm_user_list(struct api_request *r, struct api_reply *reply)
{
    struct item_query q = {.name = shim_query(r, "user_ids"), .member_of = shim_query(r, "team")};
    int err = shim_refuse_query(r, reply, "role sso_user_ids user_email sort_by sort_order");
    if (!err && q.name && strchr(q.name, ','))
        err = api_problem(reply, 400, "unsupported", "user_ids: one at a time");
    return err ? err : shim_paged(r, reply, users_kind(), &q, "users");
}
