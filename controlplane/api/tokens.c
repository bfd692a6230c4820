/* Admin tokens: list, create (the secret is shown once), revoke. */
#include <stdio.h>
#include <stdlib.h>

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
        json_set_str(out, "role", t->role) == 0 && json_set_str(out, "prefix", t->prefix) == 0 &&
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
    snprintf(t->name, sizeof(t->name), "%s", json_str(json_get(r->body, "name")).at);
    snprintf(t->role, sizeof(t->role), "%s", json_str(json_get(r->body, "role")).at);
    snprintf(t->created_by, sizeof(t->created_by), "%s", r->actor);
    if (!text.at)
        return 0;
    int err = clock_parse_rfc3339(text.at, &expires);
    if (!err)
        clock_rfc3339(expires, t->expires);
    return err;
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
    if (!err)
        err = token_insert(r->db, &t, digest);
    if (err == ERR_EXISTS) {
        err = api_problem(reply, 409, "exists", "there is a token '%s' already", t.name);
    } else if (err) {
        err = api_fail(r, reply, err);
    } else {
        reply->body = token_json(&t);
        reply->audit_detail = json_new_map();
        if (!reply->body || json_set_str(reply->body, "token", text) != 0 || !reply->audit_detail ||
            json_set_str(reply->audit_detail, "role", t.role) != 0)
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
    char name[201] = "";
    int err = token_delete(r->db, r->params[0], name);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no such token");
    if (err)
        return api_fail(r, reply, err);
    snprintf(reply->audit_object, sizeof(reply->audit_object), "tokens/%s", name);
    reply->status = 204;
    return 0;
}
