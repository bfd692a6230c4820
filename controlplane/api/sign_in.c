/* What the steps of signing in share: see sign_in.h. */
#include "controlplane/api/sign_in.h"

#include <stdio.h>

#include "controlplane/api/page.h"
#include "controlplane/plane.h"
#include "lib/base/encode.h"
#include "lib/base/rand.h"
#include "lib/base/secret.h"

#define CONTEXT "sign-in"
#define LIMIT_COOKIE_BYTES 8192

void
sign_in_random(char ret_text[static SIGN_IN_RANDOM_BYTES + 1])
{
    unsigned char bytes[32];
    rand_bytes(bytes, sizeof(bytes));
    base64url_encode(bytes, sizeof(bytes), ret_text);
    secret_wipe(bytes, sizeof(bytes));
}

void
sign_in_challenge(struct slice verifier, char ret_text[static SIGN_IN_RANDOM_BYTES + 1])
{
    unsigned char digest[SHA256_BYTES];
    hash_sha256(verifier.at, verifier.len, digest);
    base64url_encode(digest, sizeof(digest), ret_text);
}

void
sign_in_redirect_uri(const struct plane *p, char *into, size_t room)
{
    snprintf(into, room, "%s/auth/callback", p->config.admin_public_url);
}

/* ---- what was begun, in a cookie ------------------------------------------------------------- */

struct member {
    const char *name;
    size_t offset, room;
};
#define MEMBER(field)                                                                              \
    {                                                                                              \
#field, offsetof(struct sign_in_request, field),                                           \
            sizeof(((struct sign_in_request *)0)->field)                                           \
    }
static const struct member members[] = {
    MEMBER(sign_in),  MEMBER(issuer),    MEMBER(state),         MEMBER(nonce),
    MEMBER(verifier), MEMBER(return_to), MEMBER(cli_challenge), MEMBER(cli_state),
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static int
write_request(const struct sign_in_request *q, struct buf *into)
{
    struct json *out = json_new_map();
    int err = out ? json_set_int(out, "begun_s", q->begun_s) : ERR_NOMEM;
    if (!err)
        err = json_set_int(out, "cli_port", q->cli_port);
    for (size_t i = 0; i < MEMBERS && !err; i++)
        err = json_set_str(out, members[i].name, (const char *)q + members[i].offset);
    if (!err)
        err = json_write(out, false, 0, into);
    json_free(out);
    return err;
}

int
sign_in_request_seal(struct secrets *s, const struct sign_in_request *q, struct buf *into)
{
    struct buf plain, sealed;
    buf_init(&plain, 0);
    buf_init(&sealed, 0);
    int err = write_request(q, &plain);
    if (!err)
        err = secrets_seal(s, SLICE(CONTEXT), buf_slice(&plain), &sealed);
    char *room = err ? NULL : buf_reserve(into, BASE64_BYTES(sealed.len));
    if (!err && !room)
        err = ERR_NOMEM;
    if (!err)
        buf_commit(into, base64url_encode(sealed.at, sealed.len, room));
    buf_wipe(&plain);
    buf_free(&plain);
    buf_free(&sealed);
    return err;
}

static int
read_request(struct slice plain, struct sign_in_request *ret)
{
    struct json *in = NULL;
    int err = json_parse(plain, &in, NULL, 0);
    if (!err)
        err = json_to_int(json_get(in, "begun_s"), &ret->begun_s);
    if (!err)
        err = json_to_int(json_get(in, "cli_port"), &ret->cli_port);
    for (size_t i = 0; i < MEMBERS && !err; i++) {
        struct slice text = json_str(json_get(in, members[i].name));
        if (!text.at || text.len >= members[i].room)
            err = ERR_SYNTAX;
        else
            memcpy((char *)ret + members[i].offset, text.at, text.len);
    }
    json_free(in);
    return err;
}

int
sign_in_request_open(struct secrets *s, struct slice cookie, int64_t now_s,
                     struct sign_in_request *ret)
{
    unsigned char sealed[LIMIT_COOKIE_BYTES];
    struct secret plain = {0};
    size_t len = 0;
    *ret = (struct sign_in_request){.begun_s = 0};
    if (cookie.len == 0 || cookie.len > sizeof(sealed) - 4 ||
        base64_decode(cookie, sealed, &len) != 0)
        return ERR_AUTH;
    int err = secrets_unseal(s, SLICE(CONTEXT), slice_make(sealed, len), &plain);
    if (!err)
        err = read_request(secret_reveal(&plain), ret);
    secret_free(&plain);
    if (err)
        return err == ERR_NOMEM ? err : ERR_AUTH;
    return now_s - ret->begun_s > SIGN_IN_LIFE_S || ret->begun_s > now_s ? ERR_AUTH : 0;
}

/* ---- the provider ---------------------------------------------------------------------------- */

int
sign_in_ready(struct api_request *r, struct api_reply *reply, const char *name, struct sign_in *ret)
{
    int err = sign_in_load(r->db, name, ret);
    if (err == ERR_NOT_FOUND)
        return page_refuse(r, reply, 404, "There is no way to sign in that is called '%.128s'.",
                           name);
    if (err)
        return page_fail(r, reply, err);
    if (ret->endpoints && ret->keys)
        return 0;
    err = page_refuse(r, reply, 503,
                      "The identity provider '%s' could not be reached yet%s%s. Try again in a "
                      "moment, or tell whoever runs this gateway.",
                      ret->name, ret->problem[0] ? ": " : "", ret->problem);
    sign_in_free(ret);
    return err;
}
