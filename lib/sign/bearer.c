/* See bearer.h. What is believed of a token, and when; the arithmetic is in bearer_key.c. */
#include "lib/sign/bearer.h"

#include "lib/base/encode.h"
#include "lib/json/scan.h"

#define LIMIT_KEY_ID_BYTES 200

static const struct json_limits limits = {.depth = 16, .tokens = 2000};

/* The scan of an object for some members. */
static int
scan(struct slice json, const char *const *names, size_t count, struct json_span *ret_spans)
{
    struct json_error why;
    struct json_span root;
    int err = json_scan(json, &limits, names, count, ret_spans, &root, &why);
    return err ? err : root.kind == JSON_MAP ? 0 : ERR_SYNTAX;
}

/* --- its form --------------------------------------------------------------------------------- */

static bool
is_base64url(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return s.len > 0;
}

/* Three parts of base64url, the first of which begins as {" does. */
static bool
split(struct slice token, struct slice parts[static 3])
{
    struct slice rest = token;
    for (size_t i = 0; i < 3; i++) {
        parts[i] = slice_cut(&rest, '.');
        if (!is_base64url(parts[i]))
            return false;
    }
    return !rest.at && slice_starts(token, SLICE("eyJ"));
}

bool
bearer_looks_like(struct slice text)
{
    struct slice parts[3];
    return split(text, parts);
}

static int
decode(struct slice text, struct arena *a, struct slice *ret)
{
    size_t len = 0;
    char *at = arena_alloc(a, text.len / 4 * 3 + 4);
    if (!at)
        return ERR_NOMEM;
    int err = base64_decode(text, at, &len);
    *ret = slice_make(at, len);
    return err;
}

/* --- its header ------------------------------------------------------------------------------- */

enum { ALG, KID, TYP, CRIT, B64, HEADER_MEMBERS };
static const char *const header_members[HEADER_MEMBERS] = {"alg", "kid", "typ", "crit", "b64"};

static const struct {
    const char *name;
    enum bearer_kind kind;
} algorithms[] = {{"RS256", BEARER_RSA}, {"ES256", BEARER_P256}, {"EdDSA", BEARER_ED25519}};

static int
read_header(struct slice json, struct arena *a, struct bearer *ret)
{
    struct json_span at[HEADER_MEMBERS];
    struct slice alg;
    int err = scan(json, header_members, HEADER_MEMBERS, at);
    if (err)
        return err;
    if (at[CRIT].kind != JSON_ABSENT || at[B64].kind != JSON_ABSENT)
        return ERR_SYNTAX;
    if (json_text(json, at[ALG], a, &alg) != 0 || json_text(json, at[KID], a, &ret->key_id) != 0)
        return ERR_SYNTAX;
    if (at[TYP].kind != JSON_ABSENT && json_text(json, at[TYP], a, &ret->type) != 0)
        return ERR_SYNTAX;
    if (ret->key_id.len == 0 || ret->key_id.len > LIMIT_KEY_ID_BYTES)
        return ERR_LIMIT;
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (slice_is(alg, algorithms[i].name)) {
            ret->kind = algorithms[i].kind;
            return 0;
        }
    return ERR_SYNTAX; /* "none" too */
}

int
bearer_read(struct slice token, size_t limit_bytes, struct arena *a, struct bearer *ret)
{
    struct slice parts[3], header;
    *ret = (struct bearer){.kind = 0};
    if (token.len > limit_bytes)
        return ERR_LIMIT;
    if (!split(token, parts))
        return ERR_SYNTAX;
    ret->signed_text = slice_make(token.at, parts[0].len + 1 + parts[1].len);
    int err = decode(parts[0], a, &header);
    if (!err)
        err = decode(parts[1], a, &ret->payload);
    if (!err)
        err = decode(parts[2], a, &ret->signature);
    if (!err)
        err = read_header(header, a, ret);
    if (!err && bearer_claim(ret, "iss", a, &ret->issuer) != 0)
        err = ERR_SYNTAX;
    return err;
}

/* --- its claims ------------------------------------------------------------------------------- */

int
bearer_claim(const struct bearer *b, const char *name, struct arena *a, struct slice *ret_text)
{
    struct json_span at;
    if (scan(b->payload, &name, 1, &at) != 0 || json_text(b->payload, at, a, ret_text) != 0)
        return ERR_NOT_FOUND;
    return 0;
}

enum { AUD, EXP, NBF, CLAIMS };
static const char *const claims[CLAIMS] = {"aud", "exp", "nbf"};

static bool
is_text(struct slice json, struct json_span at, struct slice wanted)
{
    struct arena a;
    struct slice text;
    arena_init(&a, LIMIT_BEARER_BYTES);
    bool same = json_text(json, at, &a, &text) == 0 && slice_eq(text, wanted);
    arena_free(&a);
    return same;
}

/* A text, or a list of texts. */
static bool
is_for(struct slice json, struct json_span at, struct slice audience)
{
    struct json_span name, value;
    size_t cursor = at.start;
    if (at.kind != JSON_LIST)
        return is_text(json, at, audience);
    while (json_next(json, at, &cursor, &name, &value))
        if (is_text(json, value, audience))
            return true;
    return false;
}

int
bearer_check(const struct bearer *b, struct slice audience, int64_t now_s, int64_t *ret_expires_s,
             const char **ret_why)
{
    struct json_span at[CLAIMS];
    int64_t nbf;
    *ret_why = "its claims are malformed";
    if (scan(b->payload, claims, CLAIMS, at) != 0)
        return ERR_AUTH;
    *ret_why = "it is for another audience";
    if (!is_for(b->payload, at[AUD], audience))
        return ERR_AUTH;
    *ret_why = "it has no end (exp), or one that is no integer";
    if (at[EXP].kind != JSON_NUMBER || json_int(b->payload, at[EXP], ret_expires_s) != 0 ||
        *ret_expires_s < 1 || *ret_expires_s > INT64_MAX / 2000)
        return ERR_AUTH;
    *ret_why = "it has expired";
    if (*ret_expires_s + BEARER_LEEWAY_S <= now_s)
        return ERR_AUTH;
    *ret_why = "it is not valid yet, or its nbf is no integer";
    if (at[NBF].kind != JSON_ABSENT &&
        (at[NBF].kind != JSON_NUMBER || json_int(b->payload, at[NBF], &nbf) != 0 ||
         nbf > now_s + BEARER_LEEWAY_S))
        return ERR_AUTH;
    *ret_why = "";
    return 0;
}
