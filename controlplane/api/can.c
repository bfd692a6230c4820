/* Who is calling, and why something is allowed or not. */
#include <stdio.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/can_ask.h"
#include "controlplane/api/cookie.h"
#include "controlplane/api/dispatch.h"
#include "controlplane/api/handlers.h"

struct json *
can_grant_json(const struct grant *g)
{
    const char *const members[][2] = {
        {"role", g->role}, {"binding", g->binding}, {"group", g->group},
        {"team", g->team}, {"project", g->project},
    };
    struct json *out = json_new_map();
    int err = out ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && !err; i++)
        err = json_set_str(out, members[i][0], members[i][1][0] ? members[i][1] : NULL);
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

/* ---- who is calling -------------------------------------------------------------------------- */

/* What is allowed in the whole organisation; "*" when that is everything. */
static struct json *
permissions_json(const struct access *a)
{
    char name[PERMISSION_TEXT_BYTES];
    struct json *list = json_new_list();
    size_t had = 0;
    int err = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < permission_count(); i++)
        had += access_everywhere(a, (int)i);
    if (!err && had == permission_count())
        err = json_append(list, json_new_text(SLICE("*")));
    for (size_t i = 0; i < permission_count() && had < permission_count() && !err; i++) {
        permission_name(i, name);
        if (access_everywhere(a, (int)i))
            err = json_append(list, json_new_text(slice_of(name)));
    }
    if (!err)
        return list;
    json_free(list);
    return NULL;
}

static struct json *
grants_json(const struct access *a)
{
    struct json *list = json_new_list();
    int err = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < a->count && !err; i++)
        err = json_append(list, can_grant_json(&a->at[i]));
    if (!err)
        return list;
    json_free(list);
    return NULL;
}

static bool
holds(const struct json *list, const char *text)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (slice_is(json_str(json_at(list, i)), text))
            return true;
    return false;
}

/* Names of roles, each once, wherever they are for. */
static struct json *
roles_json(const struct access *a)
{
    struct json *list = json_new_list();
    int err = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < a->count && !err; i++)
        if (!holds(list, a->at[i].role))
            err = json_append(list, json_new_text(slice_of(a->at[i].role)));
    if (!err)
        return list;
    json_free(list);
    return NULL;
}

static struct json *
session_json(const struct api_request *r)
{
    const struct session *s = r->session;
    char token[CSRF_TOKEN_BYTES + 1];
    bool browser = s->kind == SESSION_BROWSER;
    struct json *out = json_new_map();
    const char *const members[][2] = {
        {"id", s->id},
        {"sign_in", s->sign_in},
        {"kind", browser ? "browser" : "cli"},
        {"created_at", s->created_at},
        {"idle_ends_at", s->idle_ends_at},
        {"ends_at", s->ends_at},
    };
    int err = out ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && !err; i++)
        err = json_set_str(out, members[i][0], members[i][1]);
    if (browser)
        api_csrf_token(cookie_find(r->plane, r->cookie, COOKIE_SESSION), token);
    if (!err)
        err = json_set_str(out, "csrf_token", browser ? token : NULL);
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

int
system_whoami(struct api_request *r, struct api_reply *reply)
{
    struct json *body = reply->body = json_new_map();
    int err = body ? json_set_str(body, "name", r->actor) : ERR_NOMEM;
    if (!err)
        err = json_set_str(body, "role", r->role[0] ? r->role : NULL);
    if (!err)
        err = json_set_str(body, "user", r->user[0] ? r->user : NULL);
    if (!err)
        err = json_set(body, "roles", roles_json(r->access));
    if (!err)
        err = json_set(body, "permissions", permissions_json(r->access));
    if (!err)
        err = json_set(body, "grants", grants_json(r->access));
    if (!err)
        err = json_set(body, "session", r->session ? session_json(r) : json_new_null());
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- why ------------------------------------------------------------------------------------- */

struct question {
    const char *subject, *action;
    int permission;
    struct slice resource; /* as it was given; at == NULL: the organisation */
    struct item_place place;
    const struct access *access;
    struct access loaded; /* of another than the caller */
};

static int
read_action(struct api_request *r, struct api_reply *reply, struct question *q)
{
    struct slice action = api_query(r, "action");
    if (!action.at)
        return api_problem(reply, 400, "missing_parameter",
                           "action: a permission, such as keys.create; or an endpoint, when the "
                           "resource is model:NAME");
    q->action = action.at;
    q->permission = permission_find(action);
    if (q->permission < 0)
        return api_problem(reply, 400, "invalid_parameter", "action: no permission is called '%s'",
                           action.at);
    return 0;
}

/* About others only those are told who may see the bindings anyway. */
static int
read_subject(struct api_request *r, struct api_reply *reply, struct question *q)
{
    struct slice as = api_query(r, "as");
    q->subject = r->user[0] ? r->user : r->actor;
    q->access = r->access;
    if (!as.at || slice_is(as, q->subject))
        return 0;
    if (!access_everywhere(r->access, permission_find(SLICE("bindings.read"))))
        return api_problem(reply, 403, "forbidden",
                           "as: to ask for others takes permission bindings.read");
    int err = access_user(r->db, as.at);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no user '%s', or it is disabled",
                           as.at);
    if (!err)
        err = access_load(r->db, as.at, NULL, &q->loaded);
    q->subject = as.at;
    q->access = &q->loaded;
    return err ? api_fail(r, reply, err) : 0;
}

static int
find_place(struct api_request *r, struct question *q, const struct kind *kind, struct slice name)
{
    char read[PERMISSION_TEXT_BYTES];
    struct item item, project = {0};
    int err = items_find(r->db, kind, name, &item);
    if (err)
        return err;
    snprintf(read, sizeof(read), "%s.read", kind->plural);
    err = authority_over(r, read, kind, item.name, item.body);
    struct item_place place = item_place(kind, slice_of(item.name), item.body);
    if (!err && place.team.len == 0 && place.project.len > 0 &&
        items_find(r->db, kind_at(KIND_PROJECTS), place.project, &project) == 0)
        place.team = json_str(json_get(project.body, "team"));
    q->place.team = arena_copy(&r->arena, place.team);
    q->place.project = arena_copy(&r->arena, place.project);
    item_free(&item);
    item_free(&project);
    return err == ERR_DENIED ? ERR_NOT_FOUND : err;
}

/* "keys/ci": where that is. One out of reach is as if it were not there. */
static int
read_resource(struct api_request *r, struct api_reply *reply, struct question *q)
{
    struct slice name = q->resource = api_query(r, "resource");
    q->place = (struct item_place){SLICE(""), SLICE("")};
    if (!name.at)
        return 0;
    const struct kind *kind = kind_find(slice_cut(&name, '/'));
    if (!kind || name.len == 0)
        return api_problem(reply, 400, "invalid_parameter",
                           "resource: a kind and a name, such as keys/ci or teams/research");
    int err = find_place(r, q, kind, name);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no %s '%.*s'", kind->noun,
                           (int)(name.len < 200 ? name.len : 200), name.at);
    return err ? api_fail(r, reply, err) : 0;
}

/* "team 'a', project 'b'": where the permission is there. */
static int
add_places(struct buf *text, const struct question *q)
{
    const char *comma = "";
    int err = 0;
    for (size_t i = 0; i < q->access->count && !err; i++) {
        const struct grant *g = &q->access->at[i];
        if (!permissions_has(&g->permissions, q->permission))
            continue;
        err = buf_addf(text, "%s%s '%s' (role '%s')", comma, g->project[0] ? "project" : "team",
                       g->project[0] ? g->project : g->team, g->role);
        comma = ", ";
    }
    return err;
}

static int
set_missing(struct json *body, const struct question *q)
{
    struct buf text;
    buf_init(&text, 0);
    int err = 0;
    if (q->access->count == 0)
        err = buf_addf(&text, "no binding gives '%s' a role", q->subject);
    else if (!access_somewhere(q->access, q->permission))
        err = buf_addf(&text, "none of the roles of '%s' has the permission %s", q->subject,
                       q->action);
    else if ((err = buf_addf(&text, "'%s' has %s only for ", q->subject, q->action)) == 0)
        err = add_places(&text, q);
    if (!err)
        err = json_set(body, "missing", json_new_text(buf_slice(&text)));
    buf_free(&text);
    return err;
}

static int
set_answer(struct json *body, const struct question *q)
{
    const struct grant *why = access_find(q->access, q->permission, q->place);
    int err = json_set_bool(body, "allowed", why != NULL);
    if (!err)
        err = json_set_str(body, "subject", q->subject);
    if (!err)
        err = json_set_str(body, "action", q->action);
    if (!err)
        err = json_set(body, "resource",
                       q->resource.at ? json_new_text(q->resource) : json_new_null());
    if (!err)
        err = json_set(body, "because", why ? can_grant_json(why) : json_new_null());
    if (!err)
        err = why ? json_set(body, "missing", json_new_null()) : set_missing(body, q);
    return err;
}

int
system_can(struct api_request *r, struct api_reply *reply)
{
    struct question q = {0};
    struct slice model;
    if (can_is_about_model(api_query(r, "resource"), &model))
        return can_ask(r, reply, model);
    int err = read_action(r, reply, &q);
    if (!err)
        err = read_subject(r, reply, &q);
    if (!err)
        err = read_resource(r, reply, &q);
    if (!err) {
        reply->body = json_new_map();
        if (!reply->body || set_answer(reply->body, &q) != 0)
            err = api_fail(r, reply, ERR_NOMEM);
    }
    access_free(&q.loaded);
    return err;
}

/* ---- what there is to be allowed ------------------------------------------------------------- */

static struct json *
builtin_json(const struct builtin_role *role)
{
    struct slice rest = slice_of(role->permissions);
    struct json *out = json_new_map(), *list = json_new_list();
    int err = out && list ? json_set_str(out, "name", role->name) : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "description", role->help);
    while (rest.len > 0 && !err)
        err = json_append(list, json_new_text(slice_cut(&rest, ' ')));
    if (!err && json_set(out, "permissions", json_ref(list)) == 0) {
        json_free(list);
        return out;
    }
    json_free(list);
    json_free(out);
    return NULL;
}

int
permissions_list(struct api_request *r, struct api_reply *reply)
{
    char name[PERMISSION_TEXT_BYTES];
    struct json *names = json_new_list(), *roles = json_new_list();
    int err = names && roles && (reply->body = json_new_map()) ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < permission_count() && !err; i++) {
        permission_name(i, name);
        err = json_append(names, json_new_text(slice_of(name)));
    }
    for (size_t i = 0; builtin_role_at(i) && !err; i++)
        err = json_append(roles, builtin_json(builtin_role_at(i)));
    if (!err)
        err = json_set(reply->body, "data", json_ref(names));
    if (!err)
        err = json_set(reply->body, "builtin_roles", json_ref(roles));
    json_free(names);
    json_free(roles);
    return err ? api_fail(r, reply, err) : 0;
}
