/* See can_ask.h. */
#include "controlplane/api/can_ask.h"

#include <stdarg.h>
#include <stdio.h>

#include "controlplane/api/authority.h"
#include "lib/policy/policy.h"

struct inquiry {
    struct api_request *r;
    struct api_reply *reply;
    struct slice as, endpoint, model;
    const char *user;      /* whose roles count; "": nobody's */
    struct item key, team; /* of a key; else body == NULL */
    struct access grants;
    const struct grant *because;
    bool says_nothing;  /* no role of the user has an `allow` */
    struct buf missing; /* empty: it is allowed */
};

static int missing(struct inquiry *q, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int
missing(struct inquiry *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = buf_vaddf(&q->missing, format, args);
    va_end(args);
    return err ? api_fail(q->r, q->reply, err) : 0;
}

/* ---- the question ---------------------------------------------------------------------------- */

bool
can_is_about_model(struct slice resource, struct slice *ret_model)
{
    static const struct slice prefix = {"model:", 6};
    *ret_model = resource.at ? slice_from(resource, prefix.len) : resource;
    return resource.at && slice_starts(resource, prefix) && ret_model->len > 0;
}

static int
read_endpoint(struct inquiry *q)
{
    q->endpoint = api_query(q->r, "action");
    for (size_t i = 0; policy_endpoint_names[i]; i++)
        if (slice_is(q->endpoint, policy_endpoint_names[i]))
            return 0;
    return api_problem(q->reply, 400, "invalid_parameter",
                       "action: no endpoint is called '%.*s'; with model:NAME it is one, such as "
                       "chat.completions",
                       SLICE_ARG(q->endpoint));
}

static int
not_found(struct inquiry *q, const char *noun, struct slice name)
{
    if (name.len > 200)
        name.len = 200;
    return api_problem(q->reply, 404, "not_found", "there is no %s '%.*s', or it is disabled", noun,
                       SLICE_ARG(name));
}

static int
find_key(struct inquiry *q, struct slice name)
{
    const struct kind *kind = kind_at(KIND_KEYS);
    int err = items_find(q->r->db, kind, name, &q->key);
    if (!err)
        err = authority_over(q->r, "keys.read", kind, q->key.name, q->key.body);
    if (!err)
        err = items_find(q->r->db, kind_at(KIND_TEAMS), json_str(json_get(q->key.body, "team")),
                         &q->team);
    if (err == ERR_NOT_FOUND || err == ERR_DENIED)
        return not_found(q, "key", name);
    struct slice user = err ? SLICE("") : json_str(json_get(q->key.body, "user"));
    q->user = user.at ? user.at : "";
    return err ? api_fail(q->r, q->reply, err) : 0;
}

/* About others only those are told who may see the bindings anyway. */
static int
find_user(struct inquiry *q)
{
    q->user = q->as.at ? q->as.at : q->r->user;
    if (!q->user[0])
        return api_problem(q->reply, 400, "missing_parameter",
                           "as: whose requests? A user, or keys/NAME; this token is of no user");
    if (!slice_is(slice_of(q->user), q->r->user) &&
        !access_everywhere(q->r->access, permission_find(SLICE("bindings.read"))))
        return api_problem(q->reply, 403, "forbidden",
                           "as: to ask for others takes permission bindings.read");
    int err = access_user(q->r->db, q->user);
    if (err == ERR_NOT_FOUND)
        return not_found(q, "user", slice_of(q->user));
    return err ? api_fail(q->r, q->reply, err) : 0;
}

static int
read_subject(struct inquiry *q)
{
    static const struct slice keys = {"keys/", 5};
    q->as = api_query(q->r, "as");
    int err = q->as.at && slice_starts(q->as, keys) ? find_key(q, slice_from(q->as, keys.len))
                                                    : find_user(q);
    if (!err && q->user[0] && (err = access_load(q->r->db, q->user, NULL, &q->grants)) != 0)
        err = api_fail(q->r, q->reply, err);
    return err;
}

/* ---- what decides ---------------------------------------------------------------------------- */

/* A list that is not given limits nothing. */
static bool
lists(const struct json *patterns, struct slice name)
{
    for (size_t i = 0; i < json_size(patterns); i++)
        if (glob_match(json_str(json_at(patterns, i)), name))
            return true;
    return !patterns;
}

static int
check_model(struct inquiry *q)
{
    struct item found = {0};
    int err = items_find(q->r->db, kind_at(KIND_MODELS), q->model, &found);
    size_t slash = slice_find(q->model, '/', 0);
    if (err == ERR_NOT_FOUND && slash < q->model.len)
        err = items_find(q->r->db, kind_at(KIND_PROVIDERS), slice_make(q->model.at, slash), &found);
    item_free(&found);
    if (err == ERR_NOT_FOUND)
        return missing(q, "there is no model '%.*s', nor a provider that it begins with",
                       SLICE_ARG(q->model));
    return err ? api_fail(q->r, q->reply, err) : 0;
}

static int
check_scope(struct inquiry *q, const struct item *of, const struct json *scope, const char *noun)
{
    if (json_is_true(json_get(of->body, "disabled")))
        return missing(q, "the %s '%s' is disabled", noun, of->name);
    if (!lists(json_get(scope, "models"), q->model))
        return missing(q, "the `models` of %s '%s' do not include '%.*s'", noun, of->name,
                       SLICE_ARG(q->model));
    if (!lists(json_get(scope, "endpoints"), q->endpoint))
        return missing(q, "the `endpoints` of %s '%s' do not include '%.*s'", noun, of->name,
                       SLICE_ARG(q->endpoint));
    return 0;
}

static int
check_key(struct inquiry *q)
{
    int err = check_scope(q, &q->key, q->key.body, "key");
    if (err || q->missing.len)
        return err;
    return check_scope(q, &q->team, json_get(q->team.body, "allow"), "team");
}

/* For a key: where it belongs. For a user: anywhere. */
static bool
reaches(const struct inquiry *q, const struct grant *g)
{
    if (!q->key.body)
        return true;
    if (g->project[0])
        return slice_is(json_str(json_get(q->key.body, "project")), g->project);
    return !g->team[0] || slice_is(json_str(json_get(q->key.body, "team")), g->team);
}

/* 1: the role has an `allow`; *ret_allows: and it allows this. */
static int
look_at_role(struct inquiry *q, const struct grant *g, bool *ret_allows)
{
    struct item role = {0};
    int err = items_find(q->r->db, kind_at(KIND_ROLES), slice_of(g->role), &role);
    const struct json *allow = err ? NULL : json_get(role.body, "allow");
    *ret_allows = allow && lists(json_get(allow, "models"), q->model) &&
                  lists(json_get(allow, "endpoints"), q->endpoint);
    bool speaks = allow != NULL;
    item_free(&role);
    return err && err != ERR_NOT_FOUND ? err : speaks; /* built-in roles are no items */
}

static int
check_roles(struct inquiry *q)
{
    size_t speak = 0, here = 0;
    for (size_t i = 0; i < q->grants.count && !q->because; i++) {
        const struct grant *g = &q->grants.at[i];
        bool allows;
        int got = look_at_role(q, g, &allows);
        if (got < 0)
            return api_fail(q->r, q->reply, got);
        speak += (size_t)got;
        here += got && reaches(q, g);
        if (allows && reaches(q, g))
            q->because = g;
    }
    q->says_nothing = speak == 0;
    if (q->because || speak == 0)
        return 0;
    if (here == 0)
        return missing(q, "the roles of user '%s' that allow requests are bound elsewhere",
                       q->user);
    return missing(q, "no role of user '%s' allows '%.*s' for model '%.*s'", q->user,
                   SLICE_ARG(q->endpoint), SLICE_ARG(q->model));
}

static int
decide(struct inquiry *q)
{
    int err = check_model(q);
    if (!err && !q->missing.len && q->key.body)
        err = check_key(q);
    return err || q->missing.len ? err : check_roles(q);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static const char *
note_of(const struct inquiry *q)
{
    if (q->missing.len)
        return NULL;
    if (q->key.body)
        return q->says_nothing ? "the key and its team allow it, and no role of its user says more"
                               : "the key and its team allow it too";
    return q->says_nothing ? "no role of this user says what may be asked of models: each key and "
                             "its team decide"
                           : "within what each key and its team allow";
}

static int
set_answer(struct inquiry *q)
{
    struct json *body = q->reply->body = json_new_map();
    struct slice why = buf_slice(&q->missing);
    int err = body ? json_set_bool(body, "allowed", why.len == 0) : ERR_NOMEM;
    if (!err)
        err = json_set_str(body, "subject", q->as.at ? q->as.at : q->user);
    if (!err)
        err = json_set_text(body, "action", q->endpoint);
    if (!err)
        err = json_set_text(body, "resource", api_query(q->r, "resource"));
    if (!err)
        err = json_set(body, "because", q->because ? can_grant_json(q->because) : json_new_null());
    if (!err)
        err = json_set(body, "missing", why.len ? json_new_text(why) : json_new_null());
    return err ? err : json_set_str(body, "note", note_of(q));
}

int
can_ask(struct api_request *r, struct api_reply *reply, struct slice model)
{
    struct inquiry q = {.r = r, .reply = reply, .model = model};
    buf_init(&q.missing, 4096);
    int err = read_endpoint(&q);
    if (!err)
        err = read_subject(&q);
    if (!err)
        err = decide(&q);
    if (!err && set_answer(&q) != 0)
        err = api_fail(r, reply, ERR_NOMEM);
    item_free(&q.key);
    item_free(&q.team);
    access_free(&q.grants);
    buf_free(&q.missing);
    return err;
}
