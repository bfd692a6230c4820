/* Keys, teams and users as LiteLLM shows them: with their limits beside them, and what they spent.
 */
#include "controlplane/api/litellm_shim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/limits.h"
#include "controlplane/compat/litellm.h"
#include "controlplane/ledger/query.h"
#include "lib/base/money.h"

/* What is shown beside the items of one list. */
struct beside {
    struct items budgets, quotas;
    struct json *standing; /* [{"name", "status"}] of the budgets */
    struct db_rows *spend; /* name, nanodollars */
};

struct json *
shim_usd(int64_t amount)
{
    return json_new_number((double)amount / (double)NANOS_PER_USD);
}

static const char *
subject_of(const struct kind *kind)
{
    return kind->noun; /* "key", "team", "user": as selectors name them */
}

/* The limit of this item, if it counts nothing else. */
static const struct item *
limit_of(const struct items *limits, const struct kind *kind, const struct item *item)
{
    char name[SHIM_NAME_BYTES];
    shim_limit_name(subject_of(kind), slice_of(item->name), name);
    const struct item *found = name[0] ? items_get(limits, slice_of(name)) : NULL;
    bool own = found && shim_limit_is_of(found->body, subject_of(kind), slice_of(item->name));
    return own ? found : NULL;
}

/* How its budget stands, in the period that is now; NULL: none. */
static const struct json *
standing_of(const struct beside *b, const struct item *budget)
{
    for (size_t i = 0; budget && i < json_size(b->standing); i++)
        if (slice_is(json_str(json_get(json_at(b->standing, i), "name")), budget->name))
            return json_at(json_get(json_at(b->standing, i), "status"), 0);
    return NULL;
}

/* ---- what is loaded for all of them at once -------------------------------------------------- */

static int
load_limits(struct api_request *r, const struct kind *kind, const struct items *list,
            struct beside *b)
{
    struct json *names = json_new_list();
    int err = names ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < list->count && !err; i++) {
        char name[SHIM_NAME_BYTES];
        shim_limit_name(subject_of(kind), slice_of(list->at[i].name), name);
        if (name[0])
            err = json_append(names, json_new_text(slice_of(name)));
    }
    if (!err)
        err = items_load(r->db, kind_at(KIND_BUDGETS), names, &b->budgets);
    if (!err)
        err = items_load(r->db, kind_at(KIND_QUOTAS), names, &b->quotas);
    json_free(names);
    return err;
}

static int
load_standing(struct api_request *r, struct beside *b)
{
    const struct kind *kind = kind_at(KIND_BUDGETS);
    int err = (b->standing = json_new_list()) ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < b->budgets.count && !err; i++)
        err = json_append(b->standing, change_view(kind, &b->budgets.at[i]));
    return err ? err : limits_add_status(r, kind, b->standing);
}

/* Spending counts from the beginning of the budget's period, as LiteLLM's does from its last reset;
 * and from when there was this item, since names come back. */
static int
add_wanted(const struct beside *b, const struct kind *kind, const struct item *item,
           struct json *wanted)
{
    const struct json *standing = standing_of(b, limit_of(&b->budgets, kind, item));
    struct slice since = slice_of(item->created_at);
    struct slice start = json_str(json_get(standing, "period_start"));
    struct json *one = json_new_map();
    int err = one ? json_set_str(one, "name", item->name) : ERR_NOMEM;
    if (!err)
        err = json_set_text(one, "created", since);
    if (!err && start.at)
        err = json_set_text(one, "start", start);
    if (!err)
        return json_append(wanted, one);
    json_free(one);
    return err;
}

static int
load_spend(struct api_request *r, const struct kind *kind, const struct items *list,
           struct beside *b)
{
    struct json *wanted = json_new_list();
    struct buf text;
    const char *lent = NULL;
    int err = wanted ? 0 : ERR_NOMEM;
    buf_init(&text, 0);
    for (size_t i = 0; i < list->count && !err; i++)
        err = add_wanted(b, kind, &list->at[i], wanted);
    if (!err)
        err = json_write(wanted, false, 0, &text);
    if (!err && !(lent = buf_str(&text)))
        err = ERR_NOMEM;
    if (!err)
        err = query_spend(r->db, subject_of(kind), lent, &b->spend);
    buf_free(&text);
    json_free(wanted);
    return err;
}

/* ---- one of them ----------------------------------------------------------------------------- */

static int
set_list(struct json *out, const char *name, const struct json *list)
{
    return json_set(out, name, list ? json_copy(list) : json_new_list());
}

static int
set_text_or_null(struct json *out, const char *name, struct slice text)
{
    return json_set(out, name, text.at ? json_new_text(text) : json_new_null());
}

static int
set_maps(struct json *out, const char *const *names, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = json_set(out, names[i], json_new_map());
    return err;
}

static int
add_budget(struct json *out, const struct beside *b, const struct item *budget)
{
    const struct json *usd = budget ? json_get(budget->body, "limit_usd") : NULL;
    struct slice period = budget ? json_str(json_get(budget->body, "period")) : SLICE("");
    const char *duration = litellm_duration(period);
    char text[JSON_DECIMAL_BYTES];
    int64_t amount = 0;
    if (usd && (json_decimal(usd, text) != 0 || money_parse_usd(slice_of(text), &amount) != 0))
        return ERR_IO;
    int err = json_set(out, "max_budget", usd ? shim_usd(amount) : json_new_null());
    if (!err)
        err = json_set_str(out, "budget_duration", duration);
    return err ? err
               : set_text_or_null(out, "budget_reset_at",
                                  duration
                                      ? json_str(json_get(standing_of(b, budget), "period_end"))
                                      : (struct slice){NULL, 0});
}

static int
add_quota(struct json *out, const struct item *quota)
{
    int err = 0;
    for (size_t i = 0; i < LITELLM_RATES && !err; i++) {
        const struct json *v = quota ? json_get(quota->body, litellm_rates[i].member) : NULL;
        err = json_set(out, litellm_rates[i].limit, v ? json_copy(v) : json_new_null());
    }
    return err;
}

static int
add_spend(struct json *out, const struct beside *b, const struct item *item)
{
    int64_t amount = 0;
    for (size_t i = 0; i < db_count(b->spend); i++)
        if (slice_is(db_slice(b->spend, i, 0), item->name))
            amount = db_int(b->spend, i, 1);
    return json_set(out, "spend", shim_usd(amount));
}

/* Whether the caller may see what stands beside this item: 1, 0, or the database's error. */
static int
may_see(struct api_request *r, const char *permission, const struct kind *kind,
        const struct item *item)
{
    int err = authority_over(r, permission, kind, item->name, item->body);
    return err == ERR_DENIED ? 0 : err ? err : 1;
}

/* What all three have. What the caller may not see elsewhere is null here. */
static int
add_common(struct api_request *r, struct json *out, const struct beside *b, const struct kind *kind,
           const struct item *item)
{
    int usage = may_see(r, "usage.read", kind, item);
    int budgets = may_see(r, "budgets.read", kind, item);
    int quotas = may_see(r, "quotas.read", kind, item);
    int err = usage < 0 ? usage : budgets < 0 ? budgets : quotas < 0 ? quotas : 0;
    if (!err)
        err = usage ? add_spend(out, b, item) : json_set(out, "spend", json_new_null());
    if (!err)
        err = add_budget(out, b, budgets ? limit_of(&b->budgets, kind, item) : NULL);
    if (!err)
        err = add_quota(out, quotas ? limit_of(&b->quotas, kind, item) : NULL);
    if (!err)
        err = json_set_bool(out, "blocked", json_is_true(json_get(item->body, "disabled")));
    if (!err)
        err = json_set_str(out, "created_at", item->created_at);
    return err ? err : json_set_str(out, "updated_at", item->updated_at);
}

/* "a", "b:c": as they were given. */
static int
add_tags(struct json *out, const struct json *tags)
{
    struct json *list = json_new_list(), *map = tags ? json_copy(tags) : json_new_map();
    void *iter = NULL;
    const char *name;
    struct json *value;
    struct buf text;
    int err = list && map ? 0 : ERR_NOMEM;
    buf_init(&text, 0);
    while (!err && json_each(map, &iter, &name, &value)) {
        struct slice v = json_str(value);
        buf_clear(&text);
        err = slice_is(v, "true") ? buf_add_str(&text, name)
                                  : buf_addf(&text, "%s:%.*s", name, SLICE_ARG(v));
        if (!err)
            err = json_append(list, json_new_text(buf_slice(&text)));
    }
    buf_free(&text);
    if (!err) {
        err = json_set(out, "tags", list);
        return err ? (json_free(map), err) : json_set(out, "metadata", map);
    }
    json_free(list);
    json_free(map);
    return err;
}

static int
add_key(struct json *out, const struct item *item)
{
    static const char *const empty[] = {"aliases", "config", "permissions", "model_max_budget"};
    char shown[32];
    struct slice prefix = json_str(json_get(item->body, "prefix"));
    (void)snprintf(shown, sizeof(shown), "%.*s...", (int)(prefix.len < 16 ? prefix.len : 16),
                   prefix.at ? prefix.at : "");
    int err = json_set_str(out, "token", item->id);
    if (!err)
        err = json_set_str(out, "token_id", item->id);
    if (!err)
        err = json_set_str(out, "key_name", shown);
    if (!err)
        err = json_set_str(out, "key_alias", item->name);
    if (!err)
        err = set_text_or_null(out, "team_id", json_str(json_get(item->body, "team")));
    if (!err)
        err = set_text_or_null(out, "user_id", json_str(json_get(item->body, "user")));
    if (!err)
        err = set_text_or_null(out, "project_id", json_str(json_get(item->body, "project")));
    if (!err)
        err = set_text_or_null(out, "expires", json_str(json_get(item->body, "expires")));
    if (!err)
        err = set_list(out, "models", json_get(item->body, "models"));
    if (!err)
        err = add_tags(out, json_get(item->body, "tags"));
    return err ? err : set_maps(out, empty, sizeof(empty) / sizeof(empty[0]));
}

static int
add_team(struct json *out, const struct item *item)
{
    static const char *const empty[] = {"metadata"};
    int err = json_set_str(out, "team_id", item->name);
    if (!err)
        err = json_set_str(out, "team_alias", item->name);
    if (!err)
        err = json_set(out, "organization_id", json_new_null());
    if (!err)
        err = set_list(out, "models", json_get(json_get(item->body, "allow"), "models"));
    return err ? err : set_maps(out, empty, 1);
}

static int
add_user(struct json *out, const struct item *item)
{
    static const char *const empty[] = {"metadata"};
    struct slice name = slice_of(item->name);
    bool is_address = slice_find(name, '@', 0) < name.len;
    int err = json_set_str(out, "user_id", item->name);
    if (!err)
        err = json_set_str(out, "user_email", is_address ? item->name : NULL);
    if (!err)
        err = json_set_str(out, "user_role", "internal_user");
    if (!err)
        err = set_list(out, "teams", json_get(item->body, "teams"));
    if (!err)
        err = json_set(out, "models", json_new_list());
    return err ? err : set_maps(out, empty, 1);
}

static int
add_view(struct api_request *r, const struct beside *b, const struct kind *kind,
         const struct item *item, struct json *into)
{
    struct json *out = json_new_map();
    int err = !out                     ? ERR_NOMEM
              : kind->id == KIND_KEYS  ? add_key(out, item)
              : kind->id == KIND_TEAMS ? add_team(out, item)
                                       : add_user(out, item);
    if (!err)
        err = add_common(r, out, b, kind, item);
    if (!err)
        return json_append(into, out);
    json_free(out);
    return err;
}

int
shim_views(struct api_request *r, const struct kind *kind, const struct items *list,
           struct json *into)
{
    struct beside b = {.standing = NULL};
    int err = list->count ? load_limits(r, kind, list, &b) : 0;
    if (!err && list->count)
        err = load_standing(r, &b);
    if (!err && list->count)
        err = load_spend(r, kind, list, &b);
    for (size_t i = 0; i < list->count && !err; i++)
        err = add_view(r, &b, kind, &list->at[i], into);
    items_free(&b.budgets);
    items_free(&b.quotas);
    json_free(b.standing);
    db_rows_free(b.spend);
    return err;
}

int
shim_view(struct api_request *r, struct api_reply *reply, const struct kind *kind, const char *name,
          struct json **ret_view)
{
    struct json *views = json_new_list();
    struct items one = {calloc(1, sizeof(struct item)), 0};
    int err = views && one.at ? items_find(r->db, kind, slice_of(name), &one.at[0]) : ERR_NOMEM;
    one.count = err ? 0 : 1;
    if (!err)
        err = shim_views(r, kind, &one, views);
    if (!err)
        *ret_view = json_ref(json_at(views, 0));
    items_free(&one);
    json_free(views);
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- a team's members ------------------------------------------------------------------------ */

static int
add_member(struct json *members, const char *user)
{
    struct json *one = json_new_map();
    struct slice name = slice_of(user);
    int err = one ? json_set_str(one, "user_id", user) : ERR_NOMEM;
    if (!err)
        err = json_set_str(one, "user_email", slice_find(name, '@', 0) < name.len ? user : NULL);
    if (!err)
        err = json_set_str(one, "role", "user");
    if (!err)
        return json_append(members, one);
    json_free(one);
    return err;
}

/* Who may not see users is told of no members. */
int
shim_add_members(struct api_request *r, struct json *view, const char *team)
{
    struct items users = {0};
    struct json *members = json_new_list();
    const struct item_query q = {.member_of = team, .limit = LIMIT_SHIM_ITEMS};
    bool may = access_everywhere(r->access, permission_find(SLICE("users.read")));
    int err = members ? 0 : ERR_NOMEM;
    if (!err && may)
        err = items_search(r->db, kind_at(KIND_USERS), &q, &users, NULL);
    for (size_t i = 0; i < users.count && !err; i++)
        err = add_member(members, users.at[i].name);
    items_free(&users);
    if (!err)
        return json_set(view, "members_with_roles", members);
    json_free(members);
    return err;
}
