#include "dataplane/upstream/oauth_grant.h"

#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/json/scan.h"
#include "lib/sign/jwt.h"

#define LIMIT_FORM_BYTES 65536 /* reserved at once: it never moves and leaves no copy behind */
#define LIMIT_ENTRA_TEXT_BYTES 1024
#define LIMIT_ERROR_CODE_BYTES 48
#define DEFAULT_LIFE_S 300 /* where the endpoint says none */

static const char google_scope[] = "https://www.googleapis.com/auth/cloud-platform";
static const char google_grant[] = "urn:ietf:params:oauth:grant-type:jwt-bearer";
static const char entra_scope[] = "https://cognitiveservices.azure.com/.default";
static const char entra_authority[] = "https://login.microsoftonline.com";

static int
refuse(const char **ret_why, int err, const char *why)
{
    *ret_why = why;
    return err;
}

/* --- forms ------------------------------------------------------------------------------------ */

static bool
is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int
add_field(struct buf *form, const char *name, struct slice value)
{
    int err = buf_addf(form, "%s%s=", form->len > 0 ? "&" : "", name);
    for (size_t i = 0; i < value.len && err == 0; i++)
        err = is_unreserved(value.at[i])
                  ? buf_add(form, value.at + i, 1)
                  : buf_addf(form, "%%%02X", (unsigned)(unsigned char)value.at[i]);
    return err;
}

static bool
start_form(struct buf *form)
{
    buf_init(form, LIMIT_FORM_BYTES);
    return buf_reserve(form, LIMIT_FORM_BYTES) != NULL;
}

static int
end_form(struct buf *form, int err, struct secret *ret_body)
{
    if (err == 0)
        err = secret_set(ret_body, form->at, form->len);
    buf_wipe(form);
    return err;
}

static int
take_url(struct slice text, struct arena *a, struct url *ret_url, const char **ret_why)
{
    const char *ignored;
    struct slice kept = arena_copy(a, text);
    if (!kept.at)
        return refuse(ret_why, ERR_NOMEM, "no memory");
    if (url_parse(kept, ret_url, &ignored) != 0)
        return ERR_SYNTAX;
    if (ret_url->path.len == 0)
        ret_url->path = SLICE("/");
    return 0;
}

/* --- Google ----------------------------------------------------------------------------------- */

static int
sign_google(const struct service_account *account, int64_t wall_ms, struct secret *ret_body,
            const char **ret_why)
{
    struct secret assertion;
    struct buf form;
    int err = jwt_make(account, slice_of(google_scope), wall_ms / 1000, &assertion);
    if (err != 0)
        return refuse(ret_why, err, "private_key must be an RSA key of 2048 bits or more (PEM)");
    err = start_form(&form) ? add_field(&form, "grant_type", slice_of(google_grant)) : ERR_NOMEM;
    if (err == 0)
        err = add_field(&form, "assertion", secret_reveal(&assertion));
    secret_free(&assertion);
    err = end_form(&form, err, ret_body);
    return err != 0 ? refuse(ret_why, err, "no memory") : 0;
}

static int
make_google(struct slice credential, int64_t wall_ms, struct arena *a, struct oauth_grant *g,
            const char **ret_why)
{
    struct service_account account;
    int err = service_account_read(credential, &account, ret_why);
    if (err != 0)
        return err;
    err = take_url(slice_of(account.token_uri), a, &g->url, ret_why);
    if (err == ERR_SYNTAX)
        err = refuse(ret_why, err, "token_uri must be an http(s) URL");
    if (err == 0)
        err = sign_google(&account, wall_ms, &g->body, ret_why);
    service_account_free(&account);
    return err;
}

/* --- Microsoft Entra -------------------------------------------------------------------------- */

enum entra_member { TENANT, CLIENT, CLIENT_SECRET, AUTHORITY, ENTRA_MEMBERS };
static const char *const entra_members[ENTRA_MEMBERS] = {
    [TENANT] = "tenant_id",
    [CLIENT] = "client_id",
    [CLIENT_SECRET] = "client_secret",
    [AUTHORITY] = "authority",
};
static const char *const entra_rules[ENTRA_MEMBERS] = {
    [TENANT] = "tenant_id must be a text of letters, digits, '-' and '.'",
    [CLIENT] = "client_id must be a text of 1 to 1024 bytes",
    [CLIENT_SECRET] = "client_secret must be a text of 1 to 1024 bytes",
    [AUTHORITY] = "authority must be an http(s) URL without a query",
};

static bool
is_tenant(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_unreserved(text.at[i]) || text.at[i] == '_' || text.at[i] == '~')
            return false;
    return text.at[0] != '.';
}

static int
read_entra(struct slice credential, struct arena *a, struct slice texts[static ENTRA_MEMBERS],
           const char **ret_why)
{
    struct json_span spans[ENTRA_MEMBERS];
    struct json_error error;
    if (json_scan(credential, &json_limits_default, entra_members, ENTRA_MEMBERS, spans, NULL,
                  &error) != 0)
        return refuse(ret_why, ERR_SYNTAX, "client credentials are one JSON object");
    for (size_t i = 0; i < ENTRA_MEMBERS; i++) {
        if (i == AUTHORITY && spans[i].kind == JSON_ABSENT)
            texts[i] = slice_of(entra_authority);
        else if (json_text(credential, spans[i], a, &texts[i]) != 0 || texts[i].len == 0 ||
                 texts[i].len > LIMIT_ENTRA_TEXT_BYTES)
            return refuse(ret_why, ERR_SYNTAX, entra_rules[i]);
    }
    return is_tenant(texts[TENANT]) ? 0 : refuse(ret_why, ERR_SYNTAX, entra_rules[TENANT]);
}

static int
address_entra(const struct slice texts[static ENTRA_MEMBERS], struct arena *a, struct url *ret_url,
              const char **ret_why)
{
    struct slice authority = texts[AUTHORITY];
    while (authority.len > 0 && authority.at[authority.len - 1] == '/')
        authority.len--;
    char *text = arena_printf(a, "%.*s/%.*s/oauth2/v2.0/token", SLICE_ARG(authority),
                              SLICE_ARG(texts[TENANT]));
    if (!text)
        return refuse(ret_why, ERR_NOMEM, "no memory");
    int err = take_url(slice_of(text), a, ret_url, ret_why);
    if (err == ERR_SYNTAX || slice_find(authority, '?', 0) < authority.len)
        return refuse(ret_why, ERR_SYNTAX, entra_rules[AUTHORITY]);
    return err;
}

/* A text that had escapes was decoded into memory that nobody wipes. */
static void
wipe_copy(struct slice text, struct slice credential)
{
    if (text.len > 0 && (text.at < credential.at || text.at >= credential.at + credential.len))
        secret_wipe((char *)(uintptr_t)text.at, text.len);
}

static int
make_entra(struct slice credential, struct arena *a, struct oauth_grant *g, const char **ret_why)
{
    struct slice texts[ENTRA_MEMBERS] = {{0}};
    struct arena scratch;
    struct buf form;
    arena_init(&scratch, 2 * LIMIT_ACCOUNT_BYTES);
    int err = credential.len > LIMIT_ACCOUNT_BYTES
                  ? refuse(ret_why, ERR_LIMIT, "client credentials have at most 64 KiB")
                  : read_entra(credential, &scratch, texts, ret_why);
    if (err == 0)
        err = address_entra(texts, a, &g->url, ret_why);
    if (err == 0) {
        err = start_form(&form) ? add_field(&form, "client_id", texts[CLIENT]) : ERR_NOMEM;
        err = err != 0 ? err : add_field(&form, "scope", slice_of(entra_scope));
        err = err != 0 ? err : add_field(&form, "client_secret", texts[CLIENT_SECRET]);
        err = err != 0 ? err : add_field(&form, "grant_type", SLICE("client_credentials"));
        err = end_form(&form, err, &g->body);
        if (err != 0)
            *ret_why = "no memory";
    }
    wipe_copy(texts[CLIENT_SECRET], credential);
    arena_free(&scratch);
    return err;
}

int
oauth_grant_make(enum oauth_kind kind, struct slice credential, int64_t wall_ms, struct arena *a,
                 struct oauth_grant *ret_grant, const char **ret_why)
{
    *ret_grant = (struct oauth_grant){0};
    switch (kind) {
    case OAUTH_GOOGLE:
        return make_google(credential, wall_ms, a, ret_grant, ret_why);
    case OAUTH_ENTRA:
        return make_entra(credential, a, ret_grant, ret_why);
    }
    return ERR_BAD_STATE;
}

/* --- answers ---------------------------------------------------------------------------------- */

enum answer_member { ACCESS_TOKEN, EXPIRES_IN, TOKEN_TYPE, ERROR_CODE, ANSWER_MEMBERS };
static const char *const answer_members[ANSWER_MEMBERS] = {
    [ACCESS_TOKEN] = "access_token",
    [EXPIRES_IN] = "expires_in",
    [TOKEN_TYPE] = "token_type",
    [ERROR_CODE] = "error",
};

struct answer {
    struct slice body;
    struct json_span spans[ANSWER_MEMBERS];
    struct arena arena;
    char *why;
    size_t why_bytes;
};

static int
fail(struct answer *r, int err, const char *why)
{
    snprintf(r->why, r->why_bytes, "%s", why);
    return err;
}

/* An error code is repeated only where it looks like one: it might be anything. */
static bool
is_error_code(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.at[i] >= 'a' && s.at[i] <= 'z') || s.at[i] == '_'))
            return false;
    return s.len > 0 && s.len <= LIMIT_ERROR_CODE_BYTES;
}

static int
read_refusal(struct answer *r, int status)
{
    struct slice code = {0};
    bool named =
        json_text(r->body, r->spans[ERROR_CODE], &r->arena, &code) == 0 && is_error_code(code);
    if (named)
        snprintf(r->why, r->why_bytes, "the token endpoint answered %d (%.*s)", status,
                 SLICE_ARG(code));
    else
        snprintf(r->why, r->why_bytes, "the token endpoint answered %d", status);
    if (status == 429 || status >= 500)
        return ERR_UNAVAILABLE;
    return status >= 400 ? ERR_AUTH : ERR_PROTOCOL;
}

static int64_t
read_life_s(struct answer *r)
{
    struct slice digits = json_raw(r->body, r->spans[EXPIRES_IN]);
    unsigned long long life;
    if (r->spans[EXPIRES_IN].kind == JSON_TEXT) /* as some versions of Entra write it */
        digits = slice_make(digits.at + 1, digits.len - 2);
    int err =
        r->spans[EXPIRES_IN].kind == JSON_ABSENT ? ERR_NOT_FOUND : slice_to_u64(digits, &life);
    if (err == ERR_NOT_FOUND)
        return DEFAULT_LIFE_S;
    if (err == ERR_RANGE)
        return LIMIT_OAUTH_LIFE_S;
    return err != 0 || life == 0       ? -1
           : life > LIMIT_OAUTH_LIFE_S ? LIMIT_OAUTH_LIFE_S
                                       : (int64_t)life;
}

/* What may stand behind "Bearer " in a field (RFC 6750 2.1, and a little more). */
static bool
is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= ' ' || s.at[i] == 0x7f)
            return false;
    return s.len > 0 && s.len <= LIMIT_OAUTH_TOKEN_BYTES;
}

static int
read_token(struct answer *r, struct secret *ret_token, int64_t *ret_life_ms)
{
    struct slice token, type = SLICE("Bearer");
    int64_t life = read_life_s(r);
    if (json_text(r->body, r->spans[ACCESS_TOKEN], &r->arena, &token) != 0 || !is_token(token))
        return fail(r, ERR_PROTOCOL, "the token endpoint's answer has no usable access_token");
    if (r->spans[TOKEN_TYPE].kind != JSON_ABSENT &&
        json_text(r->body, r->spans[TOKEN_TYPE], &r->arena, &type) != 0)
        type = (struct slice){0};
    if (!slice_eq_nocase(type, SLICE("bearer")))
        return fail(r, ERR_PROTOCOL, "the token endpoint's answer is for another token_type");
    if (life < 0)
        return fail(r, ERR_PROTOCOL, "the token endpoint's answer has a malformed expires_in");
    *ret_life_ms = life * 1000;
    return secret_set(ret_token, token.at, token.len) == 0 ? 0 : fail(r, ERR_NOMEM, "no memory");
}

int
oauth_grant_read(int status, struct slice body, struct secret *ret_token, int64_t *ret_life_ms,
                 char *why, size_t why_bytes)
{
    struct answer r = {.body = body, .why = why, .why_bytes = why_bytes};
    struct json_error error;
    int err = json_scan(body, &json_limits_default, answer_members, ANSWER_MEMBERS, r.spans, NULL,
                        &error);
    if (err != 0)
        memset(r.spans, 0, sizeof r.spans);
    arena_init(&r.arena, 2 * LIMIT_OAUTH_ANSWER_BYTES);
    if (status != 200)
        err = read_refusal(&r, status);
    else if (err != 0)
        err = fail(&r, ERR_PROTOCOL, "the token endpoint's answer is no JSON object");
    else
        err = read_token(&r, ret_token, ret_life_ms);
    arena_free(&r.arena);
    return err;
}
