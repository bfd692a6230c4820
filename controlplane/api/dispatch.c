/* See dispatch.h. The steps stand in dispatch_known() in their order. */
#include "controlplane/api/dispatch.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/cookie.h"
#include "controlplane/api/litellm.h"
#include "controlplane/api/throttle.h"
#include "controlplane/publish/publish.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/audit.h"
#include "controlplane/store/tokens.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"
#include "lib/base/near.h"
#include "lib/http/message.h"

#define LIMIT_ARENA_BYTES ((size_t)1 << 20)
#define LIMIT_KEY_BYTES 255 /* of an Idempotency-Key */
#define SHOWN_BYTES 8       /* of a token: its prefix, as lists of tokens have it */

struct dispatch {
    struct api_request request;
    struct api_reply reply;
    const struct api_call *call;
    struct token caller; /* or what stands for a session: its id, "user:NAME" */
    struct session session;
    struct access access;
    char idempotency_key[LIMIT_KEY_BYTES + 1]; /* "": none */
    bool replayed;
};

/* ---- who calls, and may they ----------------------------------------------------------------- */

static bool
is_ours(struct slice text, const char *prefix)
{
    return text.len == TOKEN_TEXT_BYTES && slice_starts(text, slice_of(prefix));
}

static bool
of_litellm(const struct api_call *call, const struct route *route)
{
    return route && route->access & API_LITELLM && call->litellm_key.at;
}

/* The one token that a call shows to a route on purpose; at == NULL: none, or more than one.
 * LiteLLM's field holds it with or without the scheme. */
static struct slice
token_of(const struct api_call *call, const struct route *route)
{
    bool litellm = of_litellm(call, route);
    struct slice rest = litellm ? call->litellm_key : call->authorization;
    if (call->authorizations > (litellm ? 0 : 1))
        return slice_none();
    if (litellm && is_ours(rest, TOKEN_PREFIX))
        return rest;
    struct slice scheme = slice_cut(&rest, ' ');
    bool ours = is_ours(rest, TOKEN_PREFIX) || is_ours(rest, SESSION_PREFIX);
    return slice_eq_nocase(scheme, SLICE("bearer")) && ours ? rest : slice_none();
}

struct credential {
    struct slice text; /* at == NULL: nothing of our form */
    bool is_cookie;
};

/* A token that is shown on purpose comes before a cookie, which a browser adds by itself. */
static struct credential
credential_of(const struct plane *plane, const struct api_call *call, const struct route *route)
{
    if (call->authorization.at || of_litellm(call, route))
        return (struct credential){token_of(call, route), false};
    struct slice cookie = cookie_find(plane, call->cookie, COOKIE_SESSION);
    return (struct credential){is_ours(cookie, SESSION_PREFIX) ? cookie : slice_none(), true};
}

bool
api_caller_plausible(const struct plane *plane, const struct api_call *call,
                     const struct route *route)
{
    return credential_of(plane, call, route).text.at != NULL;
}

/* Of a token the log may have what lists have; of a session it has nothing. */
static struct attempt_by
attempt_of(const struct api_call *call, struct slice shown)
{
    struct slice account = slice_make(shown.at, SHOWN_BYTES);
    return (struct attempt_by){.peer = call->peer,
                               .account = account,
                               .said = is_ours(shown, TOKEN_PREFIX) ? account : SLICE("a session"),
                               .credential = shown};
}

int
api_caller_wait_s(const struct plane *plane, const struct api_call *call, const struct route *route)
{
    struct slice shown = credential_of(plane, call, route).text;
    const struct attempt_by by = attempt_of(call, shown);
    return shown.at ? throttle_wait_s(plane->throttle, &by, clock_mono_ns()) : 0;
}

static int
unauthorized(struct dispatch *d)
{
    return api_problem(&d->reply, 401, "unauthorized",
                       "send an admin token: Authorization: Bearer hgat_...");
}

static int
take_token(struct dispatch *d, struct slice token)
{
    unsigned char digest[SHA256_BYTES];
    hash_sha256(token.at, token.len, digest);
    int err = token_find(d->request.db, digest, &d->caller);
    if (!err && d->caller.expired)
        err = ERR_NOT_FOUND;
    return err ? err : authority_of_token(d->request.db, &d->caller, &d->access);
}

static int
take_session(struct dispatch *d, enum session_kind kind, struct slice text)
{
    unsigned char digest[SHA256_BYTES];
    hash_sha256(text.at, text.len, digest);
    int err = session_find(d->request.db, kind, digest, &d->session);
    if (!err)
        err = authority_of_session(d->request.db, &d->session, &d->access);
    if (!err && d->session.stale)
        err = session_touch(d->request.db, &d->session);
    if (err)
        return err;
    snprintf(d->caller.id, sizeof(d->caller.id), "%s", d->session.id);
    snprintf(d->caller.name, sizeof(d->caller.name), "user:%s", d->session.user);
    snprintf(d->caller.user, sizeof(d->caller.user), "%s", d->session.user);
    d->request.session = &d->session;
    return 0;
}

static int
look_up(struct dispatch *d, const struct credential *c)
{
    if (is_ours(c->text, TOKEN_PREFIX))
        return take_token(d, c->text);
    return take_session(d, c->is_cookie ? SESSION_BROWSER : SESSION_CLI, c->text);
}

/* The server has asked already whether to wait; what was in the queue meanwhile is asked again. */
static int
authenticate(struct dispatch *d)
{
    struct throttle *throttle = d->request.plane->throttle;
    const struct credential c = credential_of(d->request.plane, d->call, d->request.route);
    if (!c.text.at)
        return unauthorized(d);
    const struct attempt_by by = attempt_of(d->call, c.text);
    d->reply.retry_after_s = throttle_wait_s(throttle, &by, clock_mono_ns());
    if (d->reply.retry_after_s > 0)
        return api_problem(&d->reply, 429, "too_many_failures", "%s", API_WAIT);
    int err = look_up(d, &c);
    if (err == ERR_NOT_FOUND) {
        throttle_failed(throttle, &by, clock_mono_ns());
        return unauthorized(d);
    }
    if (err)
        return api_fail(&d->request, &d->reply, err);
    throttle_passed(throttle, &by, clock_mono_ns());
    d->request.actor = d->caller.name;
    d->request.role = d->caller.role;
    d->request.user = d->caller.user;
    d->request.access = &d->access;
    return 0;
}

/* ---- is it the browser's own page that asks ---------------------------------------------------
 */

void
api_csrf_token(struct slice session_cookie, char ret_text[static CSRF_TOKEN_BYTES + 1])
{
    unsigned char digest[SHA256_BYTES];
    const struct slice pieces[] = {SLICE("headgate csrf v1 "), session_cookie};
    hash_sha256_pieces(pieces, 2, digest);
    base64url_encode(digest, sizeof(digest), ret_text);
}

/* A cookie comes along whoever made the browser call. What changes something must be from a page of
 * our own origin, by two witnesses: the browser, and a token that only such a page can know. */
static int
check_origin(struct dispatch *d)
{
    const struct api_call *call = d->call;
    char token[CSRF_TOKEN_BYTES + 1];
    if (!d->request.session || d->session.kind != SESSION_BROWSER ||
        slice_is(d->request.method, "GET"))
        return 0;
    if ((!call->origin.at && !call->fetch_site.at) ||
        (call->origin.at && !slice_is(call->origin, d->request.plane->config.admin_public_url)) ||
        (call->fetch_site.at && !slice_is(call->fetch_site, "same-origin")))
        return api_problem(&d->reply, 403, "cross_site",
                           "with a session's cookie only pages of %s may do this; other programs "
                           "send a token",
                           d->request.plane->config.admin_public_url);
    api_csrf_token(cookie_find(d->request.plane, call->cookie, COOKIE_SESSION), token);
    if (call->csrf_token.len == CSRF_TOKEN_BYTES &&
        secret_equal(call->csrf_token.at, token, CSRF_TOKEN_BYTES))
        return 0;
    return api_problem(
        &d->reply, 403, "csrf_token",
        "send the header X-CSRF-Token with the csrf_token that GET /api/v1/me gives");
}

/* Whether it is allowed in the whole organisation, or the route knows how to tell places apart. */
static bool
may_call(const struct dispatch *d, int permission)
{
    if (d->request.route->access & API_SCOPED)
        return access_somewhere(&d->access, permission);
    return access_everywhere(&d->access, permission);
}

static int
authorize(struct dispatch *d)
{
    const char *permission = d->request.route->permission;
    int number = permission_find(slice_of(permission));
    if (strcmp(permission, "self") == 0 || api_route_foreign(d->request.route).at ||
        may_call(d, number))
        return 0;
    return api_problem(&d->reply, 403, "forbidden",
                       access_somewhere(&d->access, number)
                           ? "this takes permission %s for the organisation, not for a part of it"
                           : "this caller has no permission %s",
                       permission);
}

/* A handler that answers somebody with limits without asking about them has forgotten them. */
static int
check_asked(struct dispatch *d)
{
    const struct route *route = d->request.route;
    if (!(route->access & API_SCOPED) || d->request.asked ||
        access_everywhere(&d->access, permission_find(slice_of(route->permission))))
        return 0;
    log_error("api.unasked", F_STR("request_id", d->call->request_id), F_STR("route", route->path));
    json_free(d->reply.body);
    d->reply.body = NULL;
    buf_wipe(&d->reply.text);
    return api_problem(&d->reply, 500, "internal", "this call cannot be limited to a team");
}

/* ---- what is asked --------------------------------------------------------------------------- */

static int
decode_params(struct dispatch *d)
{
    struct api_request *r = &d->request;
    for (size_t i = 0; i < 4 && r->params[i].at; i++)
        if (api_percent_decode(&r->arena, r->params[i], false, &r->params[i]) != 0)
            return api_problem(&d->reply, 400, "invalid_path",
                               "the path has a malformed %% sequence");
    return 0;
}

static bool
is_listed(const char *names, struct slice name)
{
    struct slice rest = slice_of(names);
    while (rest.len > 0)
        if (slice_eq(slice_cut(&rest, ' '), name))
            return true;
    return false;
}

static struct slice
nearest_listed(const char *names, struct slice name)
{
    struct slice rest = slice_of(names), best = {NULL, 0};
    size_t least = SIZE_MAX;
    while (rest.len > 0) {
        struct slice one = slice_cut(&rest, ' ');
        size_t d = near_distance(name, one);
        if (d < least && near_enough(name, one, d)) {
            least = d;
            best = one;
        }
    }
    return best;
}

/* A filter that is misspelt must not show everything. */
static int
check_query(struct dispatch *d)
{
    const char *known = d->request.route->query;
    struct slice rest = d->request.query, decoded;
    while (rest.len > 0) {
        struct slice one = slice_cut(&rest, '&');
        struct slice name = slice_cut(&one, '=');
        if (name.len == 0 && !one.at)
            continue;
        if (!is_listed(known, name)) {
            struct slice near = nearest_listed(known, name);
            return api_problem(
                &d->reply, 400, "unknown_parameter", "unknown query parameter '%.*s'%s%.*s%s",
                (int)(name.len < 64 ? name.len : 64), name.at ? name.at : "",
                near.at ? "; did you mean '" : "", SLICE_ARG(near), near.at ? "'?" : "");
        }
        if (api_percent_decode(&d->request.arena, one, true, &decoded) != 0)
            return api_problem(&d->reply, 400, "invalid_parameter",
                               "%.*s: has a malformed %% sequence", SLICE_ARG(name));
    }
    return 0;
}

static bool
body_is_optional(const struct field_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].required)
            return false;
    return table != &api_any_object;
}

static int
check_content_type(struct dispatch *d)
{
    struct slice rest = d->call->content_type;
    struct slice type = slice_trim(slice_cut(&rest, ';'));
    bool patch = strcmp(d->request.route->method, "PATCH") == 0;
    bool scim = api_is_scim(d->request.path);
    if (slice_eq_nocase(type, SLICE("application/json")) ||
        (scim && slice_eq_nocase(type, SLICE("application/scim+json"))) ||
        (patch && !scim && slice_eq_nocase(type, SLICE("application/merge-patch+json"))))
        return 0;
    return api_problem(&d->reply, 415, "unsupported_media_type", "send the body as application/%s",
                       scim ? "scim+json" : "json");
}

static int
read_body(struct dispatch *d)
{
    const struct field_table *table = d->request.route->body;
    struct slice text = d->call->body;
    char message[256];
    struct buf why;
    if (!table)
        return text.len == 0
                   ? 0
                   : api_problem(&d->reply, 400, "unexpected_body", "this call takes no body");
    if (text.len == 0 && body_is_optional(table)) {
        d->request.body = json_new_map();
        return d->request.body ? 0 : api_fail(&d->request, &d->reply, ERR_NOMEM);
    }
    int err = check_content_type(d);
    if (err)
        return err;
    err = json_parse(text, &d->request.body, message, sizeof(message));
    if (err == ERR_NOMEM)
        return api_fail(&d->request, &d->reply, err);
    if (err)
        return api_problem(&d->reply, 400, "invalid_json", "the body is not JSON: %s", message);
    if (json_kind(d->request.body) != JSON_MAP)
        return api_problem(&d->reply, 400, "invalid_body", "the body must be a JSON object");
    if (table == &api_any_object)
        return 0;
    buf_init(&why, 8192);
    err = json_check(d->request.body, table, "", &why);
    if (err)
        err = err == ERR_NOMEM ? api_fail(&d->request, &d->reply, err)
                               : api_problem_at(&d->reply, 400, "invalid_field", &why);
    buf_free(&why);
    return err;
}

/* ---- repeated calls -------------------------------------------------------------------------- */

static int
take_idempotency_key(struct dispatch *d)
{
    struct slice key = d->call->idempotency_key;
    if (!key.at || strcmp(d->request.route->method, "POST") != 0)
        return 0;
    for (size_t i = 0; i < key.len; i++)
        if (key.at[i] < 0x21 || key.at[i] > 0x7e)
            key.len = 0;
    if (key.len == 0 || key.len > LIMIT_KEY_BYTES)
        return api_problem(&d->reply, 400, "invalid_idempotency_key",
                           "Idempotency-Key: 1 to %d visible ASCII characters", LIMIT_KEY_BYTES);
    memcpy(d->idempotency_key, key.at, key.len);
    return 0;
}

static struct slice
answer_context(struct dispatch *d, char *into, size_t room)
{
    int n = snprintf(into, room, "answer/%s/%s", d->caller.id, d->idempotency_key);
    return slice_make(into, n > 0 && (size_t)n < room ? (size_t)n : 0);
}

static int
replay(struct dispatch *d, const struct kept_answer *kept)
{
    unsigned char digest[SHA256_BYTES];
    char context[600];
    struct secret plain = {0};
    hash_sha256(d->call->body.at, d->call->body.len, digest);
    if (memcmp(digest, kept->body_digest, sizeof(digest)) != 0 ||
        !slice_is(d->request.path, kept->route))
        return api_problem(&d->reply, 409, "idempotency_key_reused",
                           "this Idempotency-Key was used for another call: take a new one");
    int err = secrets_unseal(d->request.plane->secrets, answer_context(d, context, sizeof(context)),
                             buf_slice(&kept->sealed), &plain);
    if (!err && plain.len > 0)
        err = json_parse(secret_reveal(&plain), &d->reply.body, NULL, 0);
    secret_free(&plain);
    if (err)
        return api_fail(&d->request, &d->reply, err);
    d->reply.status = kept->status;
    d->replayed = true;
    return 0;
}

/* 1: the answer of an earlier call is in the reply. */
static int
look_for_earlier(struct dispatch *d)
{
    struct kept_answer kept;
    if (!d->idempotency_key[0])
        return 0;
    int err = idempotency_find(d->request.db, d->caller.id, d->idempotency_key, &kept);
    if (err == ERR_NOT_FOUND)
        err = 0;
    else if (err)
        err = api_fail(&d->request, &d->reply, err);
    else
        err = replay(d, &kept) ?: 1;
    buf_free(&kept.sealed);
    return err;
}

static int
keep_answer(struct dispatch *d)
{
    struct kept_answer kept = {.status = d->reply.status};
    struct buf plain;
    char context[600];
    if (!d->idempotency_key[0])
        return 0;
    buf_init(&plain, 0);
    buf_init(&kept.sealed, 0);
    snprintf(kept.route, sizeof(kept.route), "%.*s", SLICE_ARG(d->request.path));
    hash_sha256(d->call->body.at, d->call->body.len, kept.body_digest);
    int err = d->reply.body ? json_write(d->reply.body, false, 0, &plain) : 0;
    if (!err)
        err = secrets_seal(d->request.plane->secrets, answer_context(d, context, sizeof(context)),
                           buf_slice(&plain), &kept.sealed);
    if (!err)
        err = idempotency_keep(d->request.db, d->caller.id, d->idempotency_key, &kept);
    buf_wipe(&plain);
    buf_free(&plain);
    buf_free(&kept.sealed);
    return err;
}

/* ---- reading and writing --------------------------------------------------------------------- */

static int
append_audit(struct dispatch *d)
{
    struct json *empty = d->reply.audit_detail ? NULL : json_new_map();
    struct audit_row row = {.actor = d->caller.name,
                            .action = d->request.route->audit,
                            .object = d->reply.audit_object,
                            .request_id = d->request.request_id,
                            .detail = d->reply.audit_detail ? d->reply.audit_detail : empty};
    int err = row.detail ? audit_append(d->request.db, &row) : ERR_NOMEM;
    json_free(empty);
    return err;
}

/* Everything inside the transaction but its end. */
static int
write_inside(struct dispatch *d)
{
    int err = db_query(d->request.db, API_WRITE_LOCK, NULL, 0, NULL);
    if (err)
        return api_fail(&d->request, &d->reply, err);
    err = look_for_earlier(d);
    if (err)
        return err < 0 ? err : 0;
    err = d->request.route->handler(&d->request, &d->reply);
    if (!err)
        err = check_asked(d);
    if (err || d->reply.discard)
        return err;
    err = d->reply.unchanged ? 0 : append_audit(d);
    if (!err)
        err = keep_answer(d);
    if (!err && d->reply.changed)
        err = db_query(d->request.db, "NOTIFY " PUBLISH_CHANNEL, NULL, 0, NULL);
    return err ? api_fail(&d->request, &d->reply, err) : 0;
}

static int
write_all(struct dispatch *d)
{
    struct db *db = d->request.db;
    int err = db_begin(db);
    if (err)
        return api_fail(&d->request, &d->reply, err);
    err = write_inside(d);
    if (err || d->reply.discard || d->replayed) {
        db_rollback(db);
        return err;
    }
    err = db_commit(db);
    if (err) {
        d->reply.retry_after_s = 1;
        d->reply.etag[0] = d->reply.location[0] = '\0';
        log_warn("api.commit_failed", F_STR("request_id", d->request.request_id), F_ERR(err));
        return api_problem(&d->reply, 503, "outcome_unknown",
                           "the database went away while this was committed: look whether it was "
                           "done, or repeat the call with the same Idempotency-Key");
    }
    if (d->reply.changed && d->request.plane->publisher)
        publisher_kick(d->request.plane->publisher);
    return 0;
}

static int
dispatch_known(struct dispatch *d)
{
    int err = authorize(d);
    if (!err)
        err = decode_params(d);
    if (!err)
        err = check_query(d);
    if (!err)
        err = read_body(d);
    if (!err)
        err = take_idempotency_key(d);
    if (err)
        return err;
    if (d->request.route->access & API_WRITE)
        return write_all(d);
    err = d->request.route->handler(&d->request, &d->reply);
    return err ? err : check_asked(d);
}

static int
dispatch_any(struct dispatch *d, struct api_answer *answer)
{
    struct api_request *r = &d->request;
    r->route = api_route_find(r->plane->config.litellm_shim, r->method, r->path, r->params,
                              answer->allow, sizeof(answer->allow));
    if (r->route && strcmp(r->route->permission, "public") == 0) {
        int unread = r->route->body ? read_body(d) : 0;
        return unread ? unread : r->route->handler(r, &d->reply);
    }
    /* Strangers do not learn which paths there are. */
    int err = !r->route && api_path_is_public(r->path) ? 0 : authenticate(d);
    if (!err)
        err = check_origin(d);
    if (err)
        return err;
    if (r->route)
        return dispatch_known(d);
    if (answer->allow[0])
        return api_problem(&d->reply, 405, "method_not_allowed", "this path has %s", answer->allow);
    return api_problem(&d->reply, 404, "no_such_path", "there is no such path");
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void
render(struct dispatch *d, struct api_answer *answer)
{
    struct api_reply *reply = &d->reply;
    bool problem = reply->status >= 400 && json_get(reply->body, "code");
    bool theirs = problem && d->request.route && d->request.route->access & API_LITELLM;
    answer->status = reply->status;
    answer->retry_after_s = reply->retry_after_s;
    answer->replayed = d->replayed;
    memcpy(answer->etag, reply->etag, sizeof(answer->etag));
    memcpy(answer->location, reply->location, sizeof(answer->location));
    memcpy(answer->ignored, reply->ignored, sizeof(answer->ignored));
    memcpy(answer->next, reply->next, sizeof(answer->next));
    answer->cookies = reply->cookies; /* its memory goes along */
    buf_init(&reply->cookies, 0);
    if (answer->status != 405)
        answer->allow[0] = '\0';
    bool scim = api_is_scim(d->request.path);
    int err = 0;
    if (theirs)
        err = litellm_error(d->request.route, &reply->body);
    else if (problem && scim)
        err = api_problem_as_scim(reply);
    else if (problem)
        err = json_set_str(reply->body, "request_id", d->call->request_id);
    if (!err && reply->body)
        err = json_write(reply->body, false, 0, &answer->body);
    else if (!err && reply->text.len > 0)
        err = buf_add_slice(&answer->body, buf_slice(&reply->text));
    if (err) {
        buf_clear(&answer->body);
        answer->status = 503;
        return;
    }
    if (reply->body)
        answer->content_type = scim                 ? "application/scim+json"
                               : problem && !theirs ? "application/problem+json"
                                                    : "application/json";
    else if (reply->text.len > 0)
        answer->content_type =
            reply->text_type ? reply->text_type : "text/plain; version=0.0.4; charset=utf-8";
}

/* Probes that go well are not worth a line each. */
static void
log_call(const struct dispatch *d, const struct api_answer *answer, int64_t us)
{
    const struct route *route = d->request.route;
    bool probe = route && strcmp(route->permission, "public") == 0 && answer->status < 400;
    log_at(probe ? LOG_DEBUG : LOG_INFO, "api.request", F_STR("request_id", d->call->request_id),
           F_SLICE("method", d->call->method), F_STR("route", route ? route->path : "-"),
           F_STR("actor", d->request.actor), F_INT("status", answer->status), F_INT("us", us));
}

void
api_dispatch(struct plane *plane, struct db *db, const struct api_call *call,
             struct api_answer *ret_answer)
{
    struct dispatch d = {.call = call, .reply = {.status = 200}};
    struct slice rest = call->target;
    int64_t started_ns = clock_mono_ns();
    *ret_answer = (struct api_answer){0};
    buf_init(&ret_answer->body, 0);
    buf_init(&ret_answer->cookies, 0);
    arena_init(&d.request.arena, LIMIT_ARENA_BYTES);
    buf_init(&d.reply.text, 0);
    buf_init(&d.reply.cookies, 0);
    d.request.plane = plane;
    d.request.db = db;
    d.request.method = call->method;
    d.request.path = slice_cut(&rest, '?');
    d.request.query = rest;
    d.request.if_match = call->if_match;
    d.request.accept = call->accept;
    d.request.cookie = call->cookie;
    d.request.actor = "";
    d.request.role = d.request.user = "";
    d.request.request_id = call->request_id;
    d.request.peer = call->peer ? call->peer : "";
    (void)dispatch_any(&d, ret_answer);
    render(&d, ret_answer);
    atomic_fetch_add(&plane->requests, 1);
    if (ret_answer->status >= 500)
        atomic_fetch_add(&plane->request_failures, 1);
    log_call(&d, ret_answer, (clock_mono_ns() - started_ns) / 1000);
    access_free(&d.access);
    session_free(&d.session);
    json_free(d.request.body);
    json_free(d.reply.body);
    json_free(d.reply.audit_detail);
    buf_wipe(&d.reply.text);
    buf_free(&d.reply.text);
    arena_free(&d.request.arena);
}

void
api_answer_free(struct api_answer *a)
{
    buf_wipe(&a->body); /* it may hold a key that is shown once */
    buf_free(&a->body);
    buf_wipe(&a->cookies);
    buf_free(&a->cookies);
}
