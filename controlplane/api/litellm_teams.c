/* /team/new, /team/update, /team/delete, /team/info, /team/list, members, /team/block. */
#include <stdio.h>
#include <string.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/litellm_shim.h"
#include "controlplane/api/litellm_tables.h"

static const struct kind *
teams_kind(void)
{
    return kind_at(KIND_TEAMS);
}

static void
set_object(struct api_reply *reply, const char *name)
{
    (void)snprintf(reply->audit_object, sizeof(reply->audit_object), "teams/%s", name);
}

/* ---- what a body says of a team -------------------------------------------------------------- */

/* One name here, where LiteLLM has an id and an alias. */
static int
check_alias(struct shim *s, struct slice name)
{
    struct slice alias = shim_text(s, "team_alias");
    if (!alias.at || slice_eq(alias, name))
        return 0;
    return shim_refuse(s, 400, "unsupported", "team_alias",
                       "a team has one name here: leave it out, or make it the team_id");
}

static int
set_team(struct shim *s, struct json *input)
{
    const struct json *blocked = json_get(s->given, "blocked");
    struct json *allow =
        json_get(input, "allow") ? json_copy(json_get(input, "allow")) : json_new_map();
    int err = allow ? shim_set_models(s, allow) : api_fail(s->r, s->reply, ERR_NOMEM);
    (void)json_remove(input, "allow");
    if (!err && json_size(allow) > 0) {
        err = json_set(input, "allow", json_ref(allow)) ? api_fail(s->r, s->reply, ERR_NOMEM) : 0;
    }
    json_free(allow);
    if (!err && blocked && json_set(input, "disabled", json_copy(blocked)) != 0)
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    return err;
}

/* ---- members: users that have the team in their `teams` -------------------------------------- */

/* The same list without `team`; *ret_had: it was in it. */
static struct json *
without(const struct json *teams, const struct json *gone, bool *ret_had)
{
    struct json *out = json_new_list();
    for (size_t i = 0; out && i < json_size(teams); i++) {
        struct slice team = json_str(json_at(teams, i));
        bool goes = false;
        for (size_t k = 0; k < json_size(gone); k++)
            goes = goes || slice_eq(team, json_str(json_at(gone, k)));
        *ret_had = *ret_had || goes;
        if (!goes && json_append(out, json_new_text(team)) != 0) {
            json_free(out);
            return NULL;
        }
    }
    return out;
}

static int
put_teams(struct shim *s, const char *user, const struct item *stored, struct json *teams)
{
    const struct kind *kind = kind_at(KIND_USERS);
    struct json *input = stored ? shim_input(kind, stored) : json_new_map();
    int err = input && teams ? json_set_str(input, "name", user) : ERR_NOMEM;
    if (!err && json_size(teams) == 0)
        (void)json_remove(input, "teams");
    else if (!err)
        err = json_set(input, "teams", json_ref(teams));
    err = err ? api_fail(s->r, s->reply, err) : shim_put(s, kind, user, stored, input);
    json_free(input);
    return err;
}

/* Who is not there yet is made, as LiteLLM does. */
static int
add_member(struct shim *s, struct slice user, const char *team)
{
    struct item stored;
    bool had = false;
    char name[LIMIT_NAME_BYTES + 1];
    struct json *gone = json_new_list();
    (void)snprintf(name, sizeof(name), "%.*s", SLICE_ARG(user));
    if (shim_has(s, kind_at(KIND_USERS), name)) {
        json_free(gone);
        return 0;
    }
    int err = gone ? json_append(gone, json_new_text(slice_of(team))) : ERR_NOMEM;
    int found = err ? err : items_find(s->r->db, kind_at(KIND_USERS), user, &stored);
    if (found && found != ERR_NOT_FOUND) {
        json_free(gone);
        return api_fail(s->r, s->reply, found);
    }
    struct json *teams =
        found ? json_new_list() : without(json_get(stored.body, "teams"), gone, &had);
    if (!teams || json_append(teams, json_new_text(slice_of(team))) != 0)
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err && !had)
        err = put_teams(s, name, found ? NULL : &stored, teams);
    json_free(teams);
    json_free(gone);
    if (!found)
        item_free(&stored);
    return err;
}

static int
add_members(struct shim *s, const struct json *list, const char *member, const char *team)
{
    int err = 0;
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        char place[64];
        struct slice id = json_str(json_get(json_at(list, i), "user_id"));
        struct slice address = json_str(json_get(json_at(list, i), "user_email"));
        (void)snprintf(place, sizeof(place), "%s[%zu].user_id", member, i);
        if (!id.at && !address.at)
            err = shim_refuse(s, 400, "invalid_field", place, "is needed, or user_email");
        else if (id.at && address.at && !slice_eq(id, address))
            err = shim_refuse(s, 400, "unsupported", place,
                              "a user has one name here: give user_id or user_email");
        else
            err = add_member(s, id.at ? id : address, team);
    }
    return err;
}

/* ---- making and changing --------------------------------------------------------------------- */

static int
view_team(struct shim *s, const char *name, struct json **ret_view)
{
    int err = shim_view(s->r, s->reply, teams_kind(), name, ret_view);
    set_object(s->reply, name);
    if (!err && shim_add_members(s->r, *ret_view, name) != 0)
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    return err;
}

static int
new_team(struct shim *s)
{
    char name[LIMIT_NAME_BYTES + 1];
    struct slice id = shim_text(s, "team_id"), alias = shim_text(s, "team_alias");
    struct json *input = json_new_map();
    shim_name(id.at ? id : alias, "team", name);
    s->r->asked = true; /* change_commit() asks */
    int err = check_alias(s, slice_of(name));
    if (!err && (!input || json_set_str(input, "name", name) != 0))
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err = set_team(s, input);
    if (!err)
        err = shim_is_new(s, teams_kind(), name, id.at ? "team_id" : "team_alias");
    if (!err)
        err = shim_put(s, teams_kind(), name, NULL, input);
    if (!err)
        err = shim_limits(s, "team", name);
    if (!err)
        err = add_members(s, json_get(s->given, "members_with_roles"), "members_with_roles", name);
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    json_free(input);
    return err ? err : view_team(s, name, &s->reply->body);
}

int
litellm_team_new(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_team_fields, false);
    return shim_close(&s, err ? err : new_team(&s));
}

/* The team that the body names, for a call that changes it. */
static int
find_team(struct shim *s, const struct field_table *table, struct item *ret_team)
{
    int err = shim_body(s, table, false);
    return err ? err
               : shim_find(s->r, s->reply, teams_kind(), shim_text(s, "team_id"), "team_id",
                           ret_team);
}

static int
update(struct shim *s, const struct item *team, const bool *blocked)
{
    struct json *input = shim_input(teams_kind(), team);
    int err = input ? check_alias(s, slice_of(team->name)) : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err = set_team(s, input);
    if (!err && blocked && json_set_bool(input, "disabled", *blocked) != 0)
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err = shim_put(s, teams_kind(), team->name, team, input);
    if (!err)
        err = shim_limits(s, "team", team->name);
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    json_free(input);
    return err;
}

int
litellm_team_update(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    struct item team = {0};
    struct json *view = NULL;
    shim_open(&s, r, reply);
    int err = find_team(&s, &litellm_team_update_fields, &team);
    if (!err)
        err = update(&s, &team, NULL);
    if (!err)
        err = view_team(&s, team.name, &view);
    if (!err &&
        (!(reply->body = json_new_map()) || json_set_str(reply->body, "team_id", team.name) != 0 ||
         json_set(reply->body, "data", json_ref(view)) != 0))
        err = api_fail(r, reply, ERR_NOMEM);
    json_free(view);
    item_free(&team);
    return shim_close(&s, err);
}

static int
set_blocked(struct api_request *r, struct api_reply *reply, bool blocked)
{
    struct shim s;
    struct item team = {0};
    shim_open(&s, r, reply);
    int err = find_team(&s, &litellm_one_team_fields, &team);
    if (!err)
        err = update(&s, &team, &blocked);
    if (!err)
        err = view_team(&s, team.name, &reply->body);
    item_free(&team);
    return shim_close(&s, err);
}

int
litellm_team_block(struct api_request *r, struct api_reply *reply)
{
    return set_blocked(r, reply, true);
}

int
litellm_team_unblock(struct api_request *r, struct api_reply *reply)
{
    return set_blocked(r, reply, false);
}

/* ---- members --------------------------------------------------------------------------------- */

static int
answer_members(struct shim *s, const char *team)
{
    int err = view_team(s, team, &s->reply->body);
    struct json *users = err ? NULL : json_new_list();
    for (size_t i = 0; i < s->changes.count && !err; i++) {
        struct json *view = NULL;
        err = shim_view(s->r, s->reply, kind_at(KIND_USERS), s->changes.at[i].name, &view);
        if (!err && json_append(users, view) != 0)
            err = api_fail(s->r, s->reply, ERR_NOMEM);
    }
    if (err) {
        json_free(users);
        return err;
    }
    err = json_set(s->reply->body, "updated_users", users);
    if (!err)
        err = json_set(s->reply->body, "updated_team_memberships", json_new_list());
    return err ? api_fail(s->r, s->reply, err) : 0;
}

/* {"member": {...}} is {"member": [{...}]}. */
static int
list_member(struct api_request *r, struct api_reply *reply)
{
    struct json *member = json_get(r->body, "member"), *list;
    if (json_kind(member) != JSON_MAP)
        return 0;
    list = json_new_list();
    if (list && json_append(list, json_copy(member)) == 0)
        return json_set(r->body, "member", list) ? api_fail(r, reply, ERR_NOMEM) : 0;
    json_free(list);
    return api_fail(r, reply, ERR_NOMEM);
}

int
litellm_member_add(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    struct item team = {0};
    shim_open(&s, r, reply);
    int err = list_member(r, reply);
    if (!err)
        err = find_team(&s, &litellm_member_add_fields, &team);
    if (!err)
        err = add_members(&s, json_get(s.given, "member"), "member", team.name);
    if (!err)
        err = change_commit(r, reply, &s.changes);
    if (!err)
        err = answer_members(&s, team.name);
    item_free(&team);
    return shim_close(&s, err);
}

static int
remove_member(struct shim *s, const char *team)
{
    struct slice id = shim_text(s, "user_id"), address = shim_text(s, "user_email");
    struct item user = {0};
    bool had = false;
    struct json *gone = json_new_list(), *left = NULL;
    if (!id.at == !address.at) {
        json_free(gone);
        return shim_refuse(s, 400, "invalid_field", "user_id",
                           "give user_id or user_email, one of the two");
    }
    int err = gone && json_append(gone, json_new_text(slice_of(team))) == 0
                  ? 0
                  : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err =
            shim_find(s->r, s->reply, kind_at(KIND_USERS), id.at ? id : address, "user_id", &user);
    if (!err && !(left = without(json_get(user.body, "teams"), gone, &had)))
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err && !had)
        err = shim_refuse(s, 400, "invalid_field", "user_id", "is no member of this team");
    if (!err)
        err = put_teams(s, user.name, &user, left);
    json_free(gone);
    json_free(left);
    item_free(&user);
    return err;
}

int
litellm_member_delete(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    struct item team = {0};
    shim_open(&s, r, reply);
    int err = find_team(&s, &litellm_member_delete_fields, &team);
    if (!err)
        err = remove_member(&s, team.name);
    if (!err)
        err = change_commit(r, reply, &s.changes);
    if (!err)
        err = view_team(&s, team.name, &reply->body);
    item_free(&team);
    return shim_close(&s, err);
}

/* ---- deleting: with its keys, as LiteLLM does ------------------------------------------------ */

static int
drop_memberships(struct shim *s, const char *team, const struct json *gone)
{
    struct items users = {0};
    const struct item_query q = {.member_of = team, .limit = LIMIT_SHIM_ITEMS + 1};
    int err = items_search(s->r->db, kind_at(KIND_USERS), &q, &users, NULL);
    if (err)
        return api_fail(s->r, s->reply, err);
    if (users.count > LIMIT_SHIM_ITEMS)
        err = api_problem(s->reply, 400, "too_many", "a team has more than %d members",
                          LIMIT_SHIM_ITEMS);
    for (size_t i = 0; i < users.count && !err; i++) {
        bool had = false;
        if (shim_has(s, kind_at(KIND_USERS), users.at[i].name))
            continue;
        struct json *left = without(json_get(users.at[i].body, "teams"), gone, &had);
        err = put_teams(s, users.at[i].name, &users.at[i], left);
        json_free(left);
    }
    items_free(&users);
    return err;
}

static int
drop_team(struct shim *s, struct slice given, const char *place, struct json *names)
{
    struct item team = {0};
    int err = shim_find(s->r, s->reply, teams_kind(), given, place, &team);
    if (!err)
        err = shim_drop_keys(s, &(struct item_query){.team = team.name});
    if (!err)
        err = shim_limits_drop(s, "team", team.name);
    if (!err)
        err = shim_drop(s, teams_kind(), &team);
    if (!err && json_append(names, json_new_text(slice_of(team.name))) != 0)
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    item_free(&team);
    return err;
}

static int
delete_teams(struct shim *s)
{
    const struct json *ids = json_get(s->given, "team_ids");
    struct json *names = json_new_list();
    int err = names ? 0 : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err && json_size(ids) == 0)
        err = shim_refuse(s, 400, "invalid_field", "team_ids", "must not be empty");
    for (size_t i = 0; i < json_size(ids) && !err; i++) {
        char place[64];
        (void)snprintf(place, sizeof(place), "team_ids[%zu]", i);
        err = drop_team(s, json_str(json_at(ids, i)), place, names);
    }
    for (size_t i = 0; i < json_size(names) && !err; i++)
        err = drop_memberships(s, json_str(json_at(names, i)).at, names);
    if (!err)
        err = change_commit(s->r, s->reply, &s->changes);
    if (!err) {
        set_object(s->reply, json_str(json_at(names, 0)).at);
        s->reply->body = json_new_map();
        if (!s->reply->body || json_set(s->reply->body, "deleted_teams", json_ref(names)) != 0)
            err = api_fail(s->r, s->reply, ERR_NOMEM);
    }
    json_free(names);
    return err;
}

int
litellm_team_delete(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    shim_open(&s, r, reply);
    int err = shim_body(&s, &litellm_team_delete_fields, false);
    return shim_close(&s, err ? err : delete_teams(&s));
}

/* ---- reading --------------------------------------------------------------------------------- */

int
shim_keys_of(struct api_request *r, struct api_reply *reply, struct item_query q,
             struct json **ret_list)
{
    struct item_filter filter;
    struct items keys = {0};
    int err = authority_filter(r, reply, "keys.read", &filter);
    if (err)
        return err;
    q.filter = &filter;
    q.limit = LIMIT_SHIM_ITEMS;
    *ret_list = json_new_list();
    err = *ret_list ? items_search(r->db, kind_at(KIND_KEYS), &q, &keys, NULL) : ERR_NOMEM;
    if (!err)
        err = shim_views(r, kind_at(KIND_KEYS), &keys, *ret_list);
    items_free(&keys);
    return err ? api_fail(r, reply, err) : 0;
}

static int
team_info(struct shim *s, const char *name)
{
    struct json *body = s->reply->body = json_new_map(), *view = NULL, *keys = NULL;
    int err = body ? view_team(s, name, &view) : api_fail(s->r, s->reply, ERR_NOMEM);
    if (!err)
        err = shim_keys_of(s->r, s->reply, (struct item_query){.team = name}, &keys);
    if (!err && (json_set_str(body, "team_id", name) != 0 ||
                 json_set(body, "team_info", json_ref(view)) != 0 ||
                 json_set(body, "keys", json_ref(keys)) != 0 ||
                 json_set(body, "team_memberships", json_new_list()) != 0))
        err = api_fail(s->r, s->reply, ERR_NOMEM);
    json_free(view);
    json_free(keys);
    return err;
}

int
litellm_team_info(struct api_request *r, struct api_reply *reply)
{
    struct shim s;
    struct item team = {0};
    shim_open(&s, r, reply);
    int err = shim_find(r, reply, teams_kind(), api_query(r, "team_id"), "team_id", &team);
    if (!err)
        err = team_info(&s, team.name);
    item_free(&team);
    return shim_close(&s, err);
}

static bool
is_listed(const struct json *names, const char *name)
{
    for (size_t i = 0; i < json_size(names); i++)
        if (slice_is(json_str(json_at(names, i)), name))
            return true;
    return false;
}

/* Only those that are in this user's `teams`. */
static int
keep_those_of(struct api_request *r, struct api_reply *reply, const char *user_id,
              struct items *teams)
{
    struct item user;
    size_t kept = 0;
    if (!access_everywhere(r->access, permission_find(SLICE("users.read"))))
        return api_problem(reply, 403, "forbidden", "user_id: this takes permission users.read");
    int err = items_find(r->db, kind_at(KIND_USERS), slice_of(user_id), &user);
    if (err && err != ERR_NOT_FOUND)
        return api_fail(r, reply, err);
    const struct json *names = err ? NULL : json_get(user.body, "teams");
    for (size_t i = 0; i < teams->count; i++)
        if (is_listed(names, teams->at[i].name))
            teams->at[kept++] = teams->at[i];
        else
            item_free(&teams->at[i]);
    teams->count = kept;
    item_free(&user);
    return 0;
}

int
litellm_team_list(struct api_request *r, struct api_reply *reply)
{
    struct item_filter filter;
    struct items teams = {0};
    const char *user = shim_query(r, "user_id");
    struct item_query q = {.filter = &filter, .limit = LIMIT_SHIM_ITEMS + 1};
    int err = authority_filter(r, reply, r->route->permission, &filter);
    if (!err)
        err = shim_refuse_query(r, reply, "organization_id");
    if (!err && (err = items_search(r->db, teams_kind(), &q, &teams, NULL)) != 0)
        err = api_fail(r, reply, err);
    if (!err && teams.count > LIMIT_SHIM_ITEMS)
        err = api_problem(reply, 400, "too_many",
                          "there are more than %d teams: read them in pages with /v2/team/list",
                          LIMIT_SHIM_ITEMS);
    if (!err && user)
        err = keep_those_of(r, reply, user, &teams);
    if (!err) {
        reply->body = json_new_list();
        err = reply->body ? shim_views(r, teams_kind(), &teams, reply->body) : ERR_NOMEM;
        err = err ? api_fail(r, reply, err) : 0;
    }
    items_free(&teams);
    return err;
}

int
shim_paged(struct api_request *r, struct api_reply *reply, const struct kind *kind,
           struct item_query *q, const char *member)
{
    struct shim_page page;
    struct items found = {0};
    struct json *list = json_new_list(), *body = json_new_map();
    int err = shim_page(r, reply, "page_size", 25, &page);
    q->offset = (page.page - 1) * page.size;
    q->limit = page.size;
    if (!err) {
        err = list && body ? items_search(r->db, kind, q, &found, &page.total) : ERR_NOMEM;
        if (!err)
            err = shim_views(r, kind, &found, list);
        if (!err && (json_set(body, member, json_ref(list)) != 0 ||
                     json_set_int(body, "total", page.total) != 0 ||
                     json_set_int(body, "page", page.page) != 0 ||
                     json_set_int(body, "page_size", page.size) != 0 ||
                     json_set_int(body, "total_pages", shim_pages(&page)) != 0))
            err = ERR_NOMEM;
        reply->body = err ? NULL : json_ref(body);
        err = err ? api_fail(r, reply, err) : 0;
    }
    items_free(&found);
    json_free(list);
    json_free(body);
    return err;
}

int
litellm_team_list_v2(struct api_request *r, struct api_reply *reply)
{
    struct item_filter filter;
    const char *id = shim_query(r, "team_id"), *alias = shim_query(r, "team_alias");
    struct item_query q = {.filter = &filter, .name = id ? id : alias};
    int err = authority_filter(r, reply, r->route->permission, &filter);
    if (!err)
        err = shim_refuse_query(r, reply, "organization_id user_id sort_by sort_order");
    return err ? err : shim_paged(r, reply, teams_kind(), &q, "teams");
}
