/* Sessions: list, end; and to sign out. */
#include <stdio.h>

#include "controlplane/api/cookie.h"
#include "controlplane/api/handlers.h"
#include "controlplane/plane.h"
#include "controlplane/store/access.h"
#include "controlplane/store/sessions.h"
#include "lib/base/rand.h"

/* Whose sessions this caller may see or end: everybody's (NULL), or its own. */
static const char *
whose(const struct api_request *r)
{
    int permission = permission_find(api_route_foreign(r->route));
    return access_everywhere(r->access, permission) ? NULL : r->user;
}

static int
mark_current(const struct api_request *r, struct json *data)
{
    int err = 0;
    for (size_t i = 0; i < json_size(data) && !err; i++) {
        struct json *one = json_at(data, i);
        bool current = r->session && slice_is(json_str(json_get(one, "id")), r->session->id);
        err = json_set_bool(one, "current", current);
    }
    return err;
}

int
sessions_list(struct api_request *r, struct api_reply *reply)
{
    int64_t limit;
    const char *after;
    unsigned char id[16];
    int err = api_page(r, reply, &limit, &after);
    if (err)
        return err;
    if (*after && uuid_parse(after, strlen(after), id) != 0)
        return api_problem(reply, 400, "invalid_parameter", "cursor: not one of this list");
    struct slice user = api_query(r, "user");
    const char *only = whose(r);
    if (user.at && (!only || slice_is(user, only)))
        only = user.at;
    else if (user.at)
        return api_problem(reply, 403, "forbidden",
                           "user: to see those of others takes permission sessions.read");
    struct json *data = json_new_list();
    err = data ? session_page(r->db, only, after, limit + 1, data) : ERR_NOMEM;
    const char *next = NULL;
    if (!err && json_size(data) > (size_t)limit) {
        struct json *less = json_new_list();
        err = less ? 0 : ERR_NOMEM;
        for (size_t i = 0; i < (size_t)limit && !err; i++)
            err = json_append(less, json_ref(json_at(data, i)));
        json_free(data);
        data = less;
        if (!err)
            next =
                arena_strdup(&r->arena, json_str(json_get(json_at(data, (size_t)limit - 1), "id")));
    }
    if (!err)
        err = mark_current(r, data);
    if (!err)
        return api_page_reply(r, reply, data, next);
    json_free(data);
    return api_fail(r, reply, err);
}

int
sessions_delete(struct api_request *r, struct api_reply *reply)
{
    unsigned char id[16];
    char text[37];
    int err = ERR_NOT_FOUND;
    if (uuid_parse(r->params[0].at, r->params[0].len, id) == 0) {
        uuid_format(id, text);
        err = session_delete(r->db, text, whose(r));
        snprintf(reply->audit_object, sizeof(reply->audit_object), "sessions/%s", text);
    }
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no such session");
    reply->status = 204;
    return err ? api_fail(r, reply, err) : 0;
}

int
sign_out(struct api_request *r, struct api_reply *reply)
{
    if (!r->session)
        return api_problem(reply, 400, "no_session",
                           "this is an admin token, which does not sign out: revoke it with DELETE "
                           "/api/v1/tokens/%s",
                           r->actor);
    int err = session_delete(r->db, r->session->id, r->user);
    if (!err && r->session->kind == SESSION_BROWSER)
        err = cookie_add(r->plane, &reply->cookies, COOKIE_SESSION, SLICE(""), 0);
    snprintf(reply->audit_object, sizeof(reply->audit_object), "sessions/%s", r->session->id);
    reply->status = 204;
    return err ? api_fail(r, reply, err) : 0;
}
