/* See vain.h. */
#include "controlplane/api/vain.h"

#include <stdarg.h>
#include <stdio.h>

#include "controlplane/store/items.h"

/* One quota or budget, and what it names. */
struct rule {
    struct db *db;
    const struct policy *policy;
    const struct change *change;
    struct json *warnings;
    struct buf *why;
    struct slice key, user, team, project, model, provider; /* at == NULL: any */
    struct item key_item;                                   /* where key is given */
};

static struct slice
member(const struct rule *u, const char *name)
{
    return json_str(json_get(u->change->after, name));
}

/* ---- saying so ------------------------------------------------------------------------------- */

static int explain(struct rule *u, const char *at, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static int
explain(struct rule *u, const char *at, const char *format, va_list args)
{
    const char *path = u->change->path;
    buf_clear(u->why);
    int err = buf_addf(u->why, "%s%s%s: ", path, path[0] ? "." : "", at);
    return err ? err : buf_vaddf(u->why, format, args);
}

static int never(struct rule *u, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
never(struct rule *u, const char *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = explain(u, at, format, args);
    va_end(args);
    return err ? err : ERR_SYNTAX;
}

static int
add_warning(struct rule *u)
{
    int err = u->warnings ? json_append(u->warnings, json_new_text(buf_slice(u->why))) : 0;
    buf_clear(u->why);
    return err;
}

static int warn(struct rule *u, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
warn(struct rule *u, const char *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = explain(u, at, format, args);
    va_end(args);
    return err ? err : add_warning(u);
}

/* ---- whose requests -------------------------------------------------------------------------- */

/* Another of the same than the key belongs to: no request is both. */
static int
check_of_key(struct rule *u, const char *what, struct slice wanted)
{
    struct slice has = json_str(json_get(u->key_item.body, what));
    if (!wanted.at || slice_eq(wanted, has))
        return 0;
    if (!has.at)
        return never(u, what, "never matches: the key '%.*s' has no %s", SLICE_ARG(u->key), what);
    return never(u, what, "never matches: the key '%.*s' is of %s '%.*s'", SLICE_ARG(u->key), what,
                 SLICE_ARG(has));
}

/* Requests may bring tags that the key does not have, but none that it has with another value. */
static int
check_tags(struct rule *u)
{
    struct json *tags = json_ref((struct json *)(uintptr_t)json_get(u->change->after, "tag")),
                *value;
    void *iter = NULL;
    const char *name;
    int err = 0;
    while (!err && tags && json_each(tags, &iter, &name, &value)) {
        struct slice has = json_str(json_get(json_get(u->key_item.body, "tags"), name));
        if (has.at && !slice_eq(has, json_str(value)))
            err = never(u, "tag", "never matches: the key '%.*s' has '%s' as '%.*s'",
                        SLICE_ARG(u->key), name, SLICE_ARG(has));
    }
    json_free(tags);
    return err;
}

static int
check_key(struct rule *u)
{
    if (!u->key.at)
        return 0;
    int err = items_find(u->db, kind_at(KIND_KEYS), u->key, &u->key_item);
    if (!err)
        err = check_of_key(u, "team", u->team);
    if (!err)
        err = check_of_key(u, "project", u->project);
    if (!err)
        err = check_of_key(u, "user", u->user);
    return err ? err : check_tags(u);
}

static int
check_project(struct rule *u)
{
    struct item project = {0};
    if (!u->project.at || !u->team.at)
        return 0;
    int err = items_find(u->db, kind_at(KIND_PROJECTS), u->project, &project);
    struct slice team = err ? SLICE("") : json_str(json_get(project.body, "team"));
    if (!err && !slice_eq(team, u->team))
        err = never(u, "project", "never matches: the project '%.*s' is of team '%.*s'",
                    SLICE_ARG(u->project), SLICE_ARG(team));
    item_free(&project);
    return err;
}

/* ---- for which models ------------------------------------------------------------------------ */

static bool
is_pattern(struct slice name)
{
    return slice_find(name, '*', 0) < name.len;
}

static bool
lists_model(const struct json *patterns, struct slice model)
{
    for (size_t i = 0; i < json_size(patterns); i++)
        if (glob_match(json_str(json_at(patterns, i)), model))
            return true;
    return false;
}

static bool
team_has_model(const struct policy_team *team, struct slice model)
{
    for (size_t i = 0; i < team->count; i++)
        if (glob_match(team->models[i], model))
            return true;
    return team->all_models;
}

/* A model that the key or the team may not use is asked for by nobody. */
static int
check_allowed(struct rule *u)
{
    const struct json *own = json_get(u->key_item.body, "models");
    struct slice name = u->key.at ? json_str(json_get(u->key_item.body, "team")) : u->team;
    const struct policy_team *team = name.at ? policy_find_team(u->policy, name) : NULL;
    if (!u->model.at || is_pattern(u->model))
        return 0;
    if (own && !lists_model(own, u->model))
        return never(u, "model", "never matches: the key '%.*s' may not use '%.*s'",
                     SLICE_ARG(u->key), SLICE_ARG(u->model));
    if (team && !team_has_model(team, u->model))
        return never(u, "model", "never matches: the team '%.*s' may not use '%.*s'",
                     SLICE_ARG(name), SLICE_ARG(u->model));
    return 0;
}

/* What was seen of the targets that a rule's requests can go to. */
struct reach {
    size_t targets, unpriced, free;
    const struct policy_target *example; /* one that has no price */
    struct slice example_model;
};

static void
look_at(const struct rule *u, const struct policy_model *m, struct reach *seen)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct policy_target *t = &m->targets[i];
        if (u->provider.at && !slice_eq(t->provider->name, u->provider))
            continue;
        seen->targets++;
        seen->free += t->price ? t->price->free : m->free;
        if (t->price || m->free)
            continue;
        seen->unpriced++;
        seen->example = t;
        seen->example_model = m->name;
    }
}

static struct reach
reach_of(const struct rule *u, struct policy_model *scratch, struct policy_target *target)
{
    struct reach seen = {0};
    if (u->model.at && !is_pattern(u->model)) {
        const struct policy_model *m = policy_find_model(u->policy, u->model, scratch, target);
        if (m)
            look_at(u, m, &seen);
        return seen;
    }
    for (size_t i = 0; i < policy_model_count(u->policy); i++) {
        const struct policy_model *m = policy_model_at(u->policy, i);
        if (!u->model.at || glob_match(u->model, m->name))
            look_at(u, m, &seen);
    }
    return seen;
}

/* Whether a pattern can match "PROVIDER/anything". */
static bool
names_directly(struct slice pattern, struct slice provider)
{
    size_t n = slice_find(pattern, '*', 0), whole = provider.len;
    struct slice start = slice_make(pattern.at, n < whole ? n : whole);
    if (n >= pattern.len)
        return false;
    return slice_starts(provider, start) && (n <= whole || pattern.at[whole] == '/');
}

static int
check_targets(struct rule *u, const struct reach *seen)
{
    if (!u->model.at || !u->provider.at || seen->targets || names_directly(u->model, u->provider))
        return 0;
    return never(u, "model", "never matches: '%.*s' does not go to provider '%.*s'",
                 SLICE_ARG(u->model), SLICE_ARG(u->provider));
}

/* Dollars are counted where something has a price. What has none, and is not free on purpose, is
 * refused when it is asked for. */
static int
check_prices(struct rule *u, const struct reach *seen)
{
    const char *at = u->model.at ? "model" : u->provider.at ? "provider" : "limit_usd";
    if (u->change->kind->id != KIND_BUDGETS || !json_get(u->change->after, "limit_usd"))
        return 0;
    if (seen->unpriced && seen->unpriced == seen->targets && u->model.at && !is_pattern(u->model))
        return never(u, at,
                     "'%.*s' has no price at provider '%.*s', so nothing bounds what it costs: add "
                     "one to `prices`, or say `free: true` of the model",
                     SLICE_ARG(u->model), SLICE_ARG(seen->example->provider->name));
    if (seen->unpriced)
        return warn(u, at,
                    "'%.*s' of model '%.*s' has no price at provider '%.*s': nothing bounds what "
                    "it costs, and it is refused until it has one",
                    SLICE_ARG(seen->example->model), SLICE_ARG(seen->example_model),
                    SLICE_ARG(seen->example->provider->name));
    if (seen->targets && seen->free == seen->targets && u->model.at)
        return warn(u, at, "all that '%.*s' matches is free: a budget in dollars never counts it",
                    SLICE_ARG(u->model));
    return 0;
}

static int
check_models(struct rule *u)
{
    struct policy_model scratch;
    struct policy_target target;
    struct reach seen = reach_of(u, &scratch, &target);
    int err = check_allowed(u);
    if (!err)
        err = check_targets(u, &seen);
    return err ? err : check_prices(u, &seen);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int
check_rule(struct rule *u)
{
    u->key = member(u, "key");
    u->user = member(u, "user");
    u->team = member(u, "team");
    u->project = member(u, "project");
    u->model = member(u, "model");
    u->provider = member(u, "provider");
    int err = check_key(u);
    if (!err)
        err = check_project(u);
    if (!err)
        err = check_models(u);
    item_free(&u->key_item);
    return err;
}

int
vain_check(struct db *db, const struct policy *p, const struct changes *c, bool refuses,
           struct json *warnings, struct buf *why)
{
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++) {
        struct rule u = {
            .db = db, .policy = p, .change = &c->at[i], .warnings = warnings, .why = why};
        if (!c->at[i].after ||
            (c->at[i].kind->id != KIND_QUOTAS && c->at[i].kind->id != KIND_BUDGETS))
            continue;
        err = check_rule(&u);
        if (err == ERR_SYNTAX && !refuses)
            err = add_warning(&u);
    }
    return err;
}
