/* Admin tokens: list, create (the secret is shown once), revoke. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/tokens.h"
#include "lib/base/clock.h"
#include "lib/base/secret.h"

static struct json *
token_json(const struct token *t)
{
    struct json *out = json_new_map();
    if (out && json_set_str(out, "name", t->name) == 0 && json_set_str(out, "id", t->id) == 0 &&
        json_set_str(out, "role", t->role[0] ? t->role : NULL) == 0 &&
        json_set_str(out, "user", t->user[0] ? t->user : NULL) == 0 &&
        json_set_str(out, "prefix", t->prefix) == 0 &&
        json_set_str(out, "expires", t->expires[0] ? t->expires : NULL) == 0 &&
        json_set_str(out, "created_by", t->created_by) == 0 &&
        json_set_str(out, "created_at", t->created_at) == 0)
        return out;
    json_free(out);
    return NULL;
}

int
tokens_list(struct api_request *r, struct api_reply *reply)
{
    int64_t limit;
    const char *after;
    size_t count = 0;
    int err = api_page(r, reply, &limit, &after);
    if (err)
        return err;
    struct token *tokens = calloc((size_t)limit + 1, sizeof(*tokens));
    struct json *data = json_new_list();
    err = tokens && data ? token_page(r->db, after, tokens, (size_t)limit + 1, &count) : ERR_NOMEM;
    bool more = count > (size_t)limit;
    size_t n = more ? (size_t)limit : count;
    for (size_t i = 0; i < n && !err; i++)
        err = json_append(data, token_json(&tokens[i]));
    if (err) {
        json_free(data);
        err = api_fail(r, reply, err);
    } else {
        err = api_page_reply(r, reply, data, more ? tokens[n - 1].name : NULL);
    }
    free(tokens);
    return err;
}

static int
fill_token(struct api_request *r, struct token *t)
{
    int64_t expires;
    struct slice text = json_str(json_get(r->body, "expires"));
    struct slice role = json_str(json_get(r->body, "role"));
    struct slice user = json_str(json_get(r->body, "user"));
    snprintf(t->name, sizeof(t->name), "%s", json_str(json_get(r->body, "name")).at);
    snprintf(t->role, sizeof(t->role), "%s", role.at ? role.at : "");
    snprintf(t->user, sizeof(t->user), "%s", user.at ? user.at : "");
    snprintf(t->created_by, sizeof(t->created_by), "%s", r->actor);
    if (!text.at)
        return 0;
    int err = clock_parse_rfc3339(text.at, &expires);
    if (!err)
        clock_rfc3339(expires, t->expires);
    return err;
}

/* A token is somebody's, or has one of the two roles by itself. */
static int
check_principal(struct api_request *r, struct api_reply *reply, const struct token *t)
{
    if (!t->role[0] == !t->user[0])
        return api_problem(reply, 400, "invalid_field",
                           "give the token a user, or a role of its own: one of the two");
    int err = t->user[0] ? access_user(r->db, t->user) : 0;
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 400, "unknown_reference",
                           "user: there is no user '%s', or it is disabled", t->user);
    return err ? api_fail(r, reply, err) : authority_over_token(r, reply, t);
}

int
tokens_create(struct api_request *r, struct api_reply *reply)
{
    struct token t = {0};
    char text[TOKEN_TEXT_BYTES + 1];
    unsigned char digest[SHA256_BYTES];
    secrets_mint_token(text);
    hash_sha256(text, TOKEN_TEXT_BYTES, digest);
    snprintf(t.prefix, sizeof(t.prefix), "%.8s", text);
    int err = fill_token(r, &t);
    err = err ? api_fail(r, reply, err) : check_principal(r, reply, &t);
    if (err)
        return err;
    err = token_insert(r->db, &t, digest);
    if (err == ERR_EXISTS) {
        err = api_problem(reply, 409, "exists", "there is a token '%s' already", t.name);
    } else if (err) {
        err = api_fail(r, reply, err);
    } else {
        reply->body = token_json(&t);
        reply->audit_detail = json_new_map();
        if (!reply->body || json_set_str(reply->body, "token", text) != 0 || !reply->audit_detail ||
            json_set_str(reply->audit_detail, t.user[0] ? "user" : "role",
                         t.user[0] ? t.user : t.role) != 0)
            err = api_fail(r, reply, ERR_NOMEM);
        else
            reply->status = 201;
    }
    snprintf(reply->audit_object, sizeof(reply->audit_object), "tokens/%s", t.name);
    secret_wipe(text, sizeof(text));
    return err;
}

int
tokens_delete(struct api_request *r, struct api_reply *reply)
{
    struct token t;
    int err = token_get(r->db, r->params[0], &t);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no such token");
    err = err ? api_fail(r, reply, err) : authority_over_token(r, reply, &t);
    if (err)
        return err;
    err = token_delete(r->db, t.id);
    if (err)
        return api_fail(r, reply, err);
    snprintf(reply->audit_object, sizeof(reply->audit_object), "tokens/%s", t.name);
    reply->status = 204;
    return 0;
}
