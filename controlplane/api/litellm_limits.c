/* max_budget, rpm_limit and their like: a budget and a quota that belong to a key, team or user. */
#include "controlplane/api/litellm_shim.h"

#include <stdio.h>
#include <string.h>

#include "controlplane/compat/litellm.h"

void
shim_limit_name(const char *subject, struct slice name, char ret[static SHIM_NAME_BYTES])
{
    int n = snprintf(ret, SHIM_NAME_BYTES, "%s-%.*s", subject, SLICE_ARG(name));
    if (n < 0 || n > LIMIT_NAME_BYTES)
        ret[0] = '\0';
}

bool
shim_limit_is_of(const struct json *body, const char *subject, struct slice name)
{
    static const char *const selectors[] = {"key",      "user", "team",     "project", "model",
                                            "provider", "tag",  "end_user", "per"};
    for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
        if (strcmp(selectors[i], subject) != 0 && json_get(body, selectors[i]))
            return false;
    return slice_eq(json_str(json_get(body, subject)), name);
}

/* One of the two, while it is worked on. */
struct limit {
    const struct kind *kind;
    char name[SHIM_NAME_BYTES];
    struct item stored;
    bool is_there; /* and counts this subject only */
};

/* 0; ERR_EXISTS: another limit has the name; or the database's error. The caller frees stored. */
static int
find(struct api_request *r, enum kind_id id, const char *subject, struct slice of, struct limit *l)
{
    *l = (struct limit){.kind = kind_at(id)};
    shim_limit_name(subject, of, l->name);
    int err =
        l->name[0] ? items_find(r->db, l->kind, slice_of(l->name), &l->stored) : ERR_NOT_FOUND;
    if (err)
        return err == ERR_NOT_FOUND ? 0 : err;
    l->is_there = shim_limit_is_of(l->stored.body, subject, of);
    return l->is_there ? 0 : ERR_EXISTS;
}

/* What is to be written: as it is, or a new one that counts the subject. member: for messages. */
static int
begin(struct shim *s, struct limit *l, const char *subject, const char *of, const char *member,
      struct json **ret_input)
{
    if (!l->name[0])
        return shim_refuse(s, 400, "invalid_field", member,
                           "the name is too long for a limit of its own: at most %zu bytes",
                           LIMIT_NAME_BYTES - strlen(subject) - 1);
    struct json *input = l->is_there ? shim_input(l->kind, &l->stored) : json_new_map();
    int err = input ? 0 : ERR_NOMEM;
    if (!err && !l->is_there && !(err = json_set_str(input, "name", l->name)))
        err = json_set_str(input, subject, of);
    *ret_input = input;
    return err ? api_fail(s->r, s->reply, err) : 0;
}

static int
refuse_foreign(struct shim *s, const struct limit *l, const char *member)
{
    return shim_refuse(
        s, 409, "exists", member,
        "there is a %s '%s' that counts something else: rename it, or set the limit there",
        l->kind->noun, l->name);
}

/* ---- the budget ------------------------------------------------------------------------------ */

static int
set_period(struct shim *s, struct json *input)
{
    struct slice duration = shim_text(s, "budget_duration");
    const char *period = duration.at ? litellm_period(duration) : NULL;
    if (duration.at && !period)
        return shim_refuse(
            s, 400, "invalid_field", "budget_duration",
            "must be an hour (1h), a day (1d), a week (7d) or a month of the calendar "
            "(30d, 1mo); without it the budget is for good");
    if (!period && json_get(input, "period") && !shim_is_null(s, "budget_duration"))
        return 0;
    int err = json_set_str(input, "period", period ? period : "lifetime");
    return err ? api_fail(s->r, s->reply, err) : 0;
}

static int
put_budget(struct shim *s, struct limit *l, const char *subject, const char *of)
{
    struct json *input = NULL;
    const struct json *usd = json_get(s->given, "max_budget");
    int err = begin(s, l, subject, of, "max_budget", &input);
    if (!err && usd) {
        (void)json_remove(input, "limit_tokens");
        if (json_set(input, "limit_usd", json_copy(usd)) != 0)
            err = api_fail(s->r, s->reply, ERR_NOMEM);
    }
    if (!err)
        err = set_period(s, input);
    if (!err)
        err = shim_put(s, l->kind, l->name, l->is_there ? &l->stored : NULL, input);
    json_free(input);
    return err;
}

static int
budget(struct shim *s, const char *subject, const char *of)
{
    bool given = json_get(s->given, "max_budget") || json_get(s->given, "budget_duration");
    bool gone = shim_is_null(s, "max_budget");
    struct limit l;
    if (!given && !gone && !shim_is_null(s, "budget_duration"))
        return 0;
    int err = find(s->r, KIND_BUDGETS, subject, slice_of(of), &l);
    if (err == ERR_EXISTS)
        err = given ? refuse_foreign(s, &l, "max_budget") : 0;
    else if (err)
        err = api_fail(s->r, s->reply, err);
    else if (gone && json_get(s->given, "budget_duration"))
        err = shim_refuse(s, 400, "invalid_field", "budget_duration", "needs a max_budget");
    else if (gone)
        err = l.is_there ? shim_drop(s, l.kind, &l.stored) : 0;
    else if (!l.is_there && !json_get(s->given, "max_budget"))
        err = given ? shim_refuse(s, 400, "invalid_field", "budget_duration", "needs a max_budget")
                    : 0;
    else
        err = put_budget(s, &l, subject, of);
    item_free(&l.stored);
    return err;
}

/* ---- the quota ------------------------------------------------------------------------------- */

static int
set_rates(struct shim *s, struct json *input)
{
    int err = 0;
    for (size_t i = 0; i < LITELLM_RATES && !err; i++) {
        const struct json *limit = json_get(s->given, litellm_rates[i].limit);
        if (limit)
            err = json_set(input, litellm_rates[i].member, json_copy(limit));
        else if (shim_is_null(s, litellm_rates[i].limit))
            (void)json_remove(input, litellm_rates[i].member);
    }
    return err ? api_fail(s->r, s->reply, err) : 0;
}

static bool
limits_nothing(const struct json *input)
{
    for (size_t i = 0; i < QUOTA_RATES; i++)
        if (json_get(input, quota_rates[i].member))
            return false;
    return true;
}

static int
put_quota(struct shim *s, struct limit *l, const char *subject, const char *of, const char *member)
{
    struct json *input = NULL;
    int err = begin(s, l, subject, of, member, &input);
    if (!err)
        err = set_rates(s, input);
    if (!err && !limits_nothing(input))
        err = shim_put(s, l->kind, l->name, l->is_there ? &l->stored : NULL, input);
    else if (!err && l->is_there)
        err = shim_drop(s, l->kind, &l->stored);
    json_free(input);
    return err;
}

static int
quota(struct shim *s, const char *subject, const char *of)
{
    const char *given = NULL, *gone = NULL;
    struct limit l;
    for (size_t i = 0; i < LITELLM_RATES; i++) {
        const char *limit = litellm_rates[i].limit;
        given = json_get(s->given, limit) ? limit : given;
        gone = shim_is_null(s, limit) ? limit : gone;
    }
    if (!given && !gone)
        return 0;
    int err = find(s->r, KIND_QUOTAS, subject, slice_of(of), &l);
    if (err == ERR_EXISTS)
        err = given ? refuse_foreign(s, &l, given) : 0;
    else if (err)
        err = api_fail(s->r, s->reply, err);
    else if (given || l.is_there)
        err = put_quota(s, &l, subject, of, given ? given : gone);
    item_free(&l.stored);
    return err;
}

int
shim_limits(struct shim *s, const char *subject, const char *name)
{
    int err = budget(s, subject, name);
    return err ? err : quota(s, subject, name);
}

int
shim_limits_drop(struct shim *s, const char *subject, const char *name)
{
    static const enum kind_id both[] = {KIND_BUDGETS, KIND_QUOTAS};
    int err = 0;
    for (size_t i = 0; i < 2 && !err; i++) {
        struct limit l;
        err = find(s->r, both[i], subject, slice_of(name), &l);
        if (err && err != ERR_EXISTS)
            err = api_fail(s->r, s->reply, err);
        else
            err = l.is_there ? shim_drop(s, l.kind, &l.stored) : 0;
        item_free(&l.stored);
    }
    return err;
}
