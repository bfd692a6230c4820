#include "dataplane/upstream/credential.h"

#include <string.h>

#include "lib/base/secret.h"
#include "lib/json/view.h"

static void
add(struct credential *c, struct slice name, struct slice value)
{
    c->fields[c->count++] = (struct http_field){name, value, true};
}

/* A key that is a single token: "NAME: PREFIX KEY". */
static int
add_plain(struct credential *c, struct slice name, struct slice prefix, struct slice key,
          const char **ret_why)
{
    if (key.len == 0)
        return 0;
    if (prefix.len + key.len > sizeof(c->text)) {
        *ret_why = "the credential is too long";
        return ERR_AUTH;
    }
    c->text_bytes = prefix.len + key.len;
    memcpy(c->text, prefix.at, prefix.len);
    memcpy(c->text + prefix.len, key.at, key.len);
    struct slice value = slice_make(c->text, c->text_bytes);
    if (!http_is_field_value(value)) {
        *ret_why = "the credential is no single line of text";
        return ERR_AUTH;
    }
    add(c, name, value);
    return 0;
}

static int
add_bearer(struct credential *c, struct slice key, const char **ret_why)
{
    return add_plain(c, SLICE("authorization"), SLICE("Bearer "), key, ret_why);
}

/* --- AWS -------------------------------------------------------------------------------------- */

enum { AWS_ACCESS, AWS_SECRET, AWS_SESSION, AWS_MEMBERS };
static const char *const aws_members[AWS_MEMBERS] = {"access_key_id", "secret_access_key",
                                                     "session_token"};

/* The text between its quotes: AWS's keys hold nothing that JSON escapes but '/', and tokens
 * neither
 * ('+', '/', '='); one that has an escape is refused rather than guessed. */
static bool
plain_text(struct json_view v, struct slice *ret)
{
    *ret = (struct slice){0};
    if (!json_view_is_set(v))
        return true;
    if (v.kind != JSON_TEXT || memchr(v.raw.at, '\\', v.raw.len))
        return false;
    *ret = slice_make(v.raw.at + 1, v.raw.len - 2);
    return true;
}

static bool
read_aws(struct slice document, struct sigv4_key *ret)
{
    struct json_view at[AWS_MEMBERS];
    json_view_fields(json_view_of(document), aws_members, AWS_MEMBERS, at);
    return plain_text(at[AWS_ACCESS], &ret->access_key) &&
           plain_text(at[AWS_SECRET], &ret->secret_key) &&
           plain_text(at[AWS_SESSION], &ret->session_token) && ret->access_key.len &&
           ret->secret_key.len;
}

static int
add_signature(struct credential *c, const struct credential_call *call, const char **ret_why)
{
    struct slice target = call->target, path = slice_cut(&target, '?');
    const struct sigv4_header type = {SLICE("content-type"), call->content_type};
    struct sigv4_key key;
    struct sigv4_request r = {
        .method = call->method,
        .host = call->authority,
        .path = path,
        .query = target,
        .headers = &type,
        .header_count = call->content_type.len ? 1 : 0,
        .body = call->body,
        .body_count = call->body_count,
        .region = call->provider->region,
        .service = SLICE("bedrock"),
        .wall_ms = call->wall_ms,
    };
    if (!read_aws(secret_reveal(&call->provider->credential), &key)) {
        *ret_why = "the AWS credential needs access_key_id and secret_access_key as plain texts";
        return ERR_AUTH;
    }
    if (key.session_token.len > sizeof(c->session)) {
        *ret_why = "the AWS session token is too long";
        return ERR_AUTH;
    }
    c->has_signature = true;
    int err = sigv4_sign(&r, &key, &c->signature);
    if (err) {
        *ret_why = "the request cannot be signed for AWS";
        return ERR_AUTH;
    }
    add(c, SLICE("authorization"), slice_of(c->signature.authorization));
    add(c, SLICE("x-amz-date"), slice_of(c->signature.date));
    if (key.session_token.len) {
        c->session_bytes = key.session_token.len;
        memcpy(c->session, key.session_token.at, key.session_token.len);
        add(c, SLICE("x-amz-security-token"), slice_make(c->session, key.session_token.len));
    }
    return 0;
}

static bool
is_document(struct slice credential)
{
    return credential.len && credential.at[0] == '{';
}

/* --- all of them ------------------------------------------------------------------------------ */

int
credential_make(struct credential *c, const struct credential_call *call, const char **ret_why)
{
    struct slice key = secret_reveal(&call->provider->credential);
    c->count = c->text_bytes = c->session_bytes = 0;
    c->has_signature = false;
    if (call->token.len)
        return add_bearer(c, call->token, ret_why);
    switch (provider_kind_row(call->provider->kind)->auth) {
    case PROVIDER_AUTH_NONE:
        break;
    case PROVIDER_AUTH_BEARER:
        return add_bearer(c, key, ret_why);
    case PROVIDER_AUTH_X_API_KEY:
        return add_plain(c, SLICE("x-api-key"), SLICE(""), key, ret_why);
    case PROVIDER_AUTH_GOOGLE: /* of no service account: an access token, or an API key */
        if (slice_starts(key, SLICE("ya29.")))
            return add_bearer(c, key, ret_why);
        return add_plain(c, SLICE("x-goog-api-key"), SLICE(""), key, ret_why);
    case PROVIDER_AUTH_X_GOOG_API_KEY:
        return add_plain(c, SLICE("x-goog-api-key"), SLICE(""), key, ret_why);
    case PROVIDER_AUTH_AZURE:
        return add_plain(c, SLICE("api-key"), SLICE(""), key, ret_why);
    case PROVIDER_AUTH_AWS:
        return is_document(key) ? add_signature(c, call, ret_why) : add_bearer(c, key, ret_why);
    }
    return 0;
}

void
credential_wipe(struct credential *c)
{
    secret_wipe(c->text, c->text_bytes);
    secret_wipe(c->session, c->session_bytes);
    if (c->has_signature)
        secret_wipe(&c->signature, sizeof(c->signature));
    c->count = 0;
}
