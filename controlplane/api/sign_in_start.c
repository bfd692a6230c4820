/* GET /auth/login: to the identity provider. */
#include <stdio.h>

#include "controlplane/api/cookie.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/page.h"
#include "controlplane/api/sign_in.h"
#include "controlplane/plane.h"
#include "controlplane/secrets/ask.h"
#include "lib/base/clock.h"

/* ---- what is asked for ----------------------------------------------------------------------- */

/* A path of ours, and nothing that a browser could take for another host: "//", "/\". */
static bool
is_own_path(struct slice path)
{
    if (path.len == 0 || path.len > LIMIT_RETURN_BYTES || path.at[0] != '/' ||
        (path.len > 1 && path.at[1] == '/'))
        return false;
    for (size_t i = 0; i < path.len; i++)
        if (path.at[i] <= ' ' || path.at[i] > '~' || path.at[i] == '\\')
            return false;
    return true;
}

static bool
is_base64url(struct slice text)
{
    for (size_t i = 0; text.at && i < text.len; i++) {
        char c = text.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return text.len > 0;
}

static int
read_cli(struct api_request *r, struct api_reply *reply, struct sign_in_request *q)
{
    struct slice port = api_query(r, "cli_port"), challenge = api_query(r, "cli_challenge"),
                 state = api_query(r, "cli_state");
    unsigned long long n = 0;
    if (!port.at && !challenge.at && !state.at)
        return 0;
    if (slice_to_u64(port, &n) != 0 || n < 1 || n > 65535 ||
        challenge.len != SIGN_IN_RANDOM_BYTES || !is_base64url(challenge) ||
        state.len > LIMIT_CLI_STATE_BYTES || !is_base64url(state))
        return page_refuse(r, reply, 400,
                           "This is not how the command line asks. Run headgate login again.");
    q->cli_port = (int64_t)n;
    snprintf(q->cli_challenge, sizeof(q->cli_challenge), "%.*s", SLICE_ARG(challenge));
    snprintf(q->cli_state, sizeof(q->cli_state), "%.*s", SLICE_ARG(state));
    return 0;
}

static int
read_query(struct api_request *r, struct api_reply *reply, struct sign_in_request *q)
{
    struct slice name = api_query(r, "issuer"), path = api_query(r, "return_to");
    if (!path.at)
        path = SLICE("/api/v1/me");
    if (!is_own_path(path))
        return page_refuse(r, reply, 400,
                           "return_to must be a path of this gateway, such as /console: one that "
                           "begins with a single slash.");
    if (name.len >= sizeof(q->sign_in))
        return page_refuse(r, reply, 400, "The name of the issuer is too long.");
    snprintf(q->sign_in, sizeof(q->sign_in), "%.*s", SLICE_ARG(name));
    snprintf(q->return_to, sizeof(q->return_to), "%.*s", SLICE_ARG(path));
    return read_cli(r, reply, q);
}

/* ---- which provider, when it was not said -----------------------------------------------------
 */

static const char *
choice(struct api_request *r, const struct sign_in_request *q, struct slice name)
{
    struct buf href;
    char port[24];
    buf_init(&href, 8192);
    snprintf(port, sizeof(port), "%lld", (long long)q->cli_port);
    int err = ask_form(&href, "issuer", name);
    if (!err)
        err = ask_form(&href, "return_to", slice_of(q->return_to));
    if (!err && q->cli_port)
        err = ask_form(&href, "cli_port", slice_of(port));
    if (!err && q->cli_port)
        err = ask_form(&href, "cli_challenge", slice_of(q->cli_challenge));
    if (!err && q->cli_port)
        err = ask_form(&href, "cli_state", slice_of(q->cli_state));
    const char *text =
        err ? NULL : arena_printf(&r->arena, "/auth/login?%.*s", SLICE_ARG(buf_slice(&href)));
    buf_free(&href);
    return text;
}

static int
show_choices(struct api_request *r, struct api_reply *reply, const struct sign_in_request *q,
             const struct json *names)
{
    struct page_link links[100];
    size_t count = json_size(names) < 100 ? json_size(names) : 100;
    for (size_t i = 0; i < count; i++) {
        struct slice name = json_str(json_at(names, i));
        links[i] = (struct page_link){choice(r, q, name), arena_strdup(&r->arena, name)};
        if (!links[i].href || !links[i].text)
            return page_fail(r, reply, ERR_NOMEM);
    }
    return page_reply(r, reply,
                      &(struct page){.status = 200,
                                     .title = "Sign in",
                                     .text = "Choose your identity provider.",
                                     .links = links,
                                     .count = count});
}

/* 1: the reply is a page to choose from. */
static int
choose(struct api_request *r, struct api_reply *reply, struct sign_in_request *q)
{
    struct json *names = NULL;
    if (q->sign_in[0])
        return 0;
    int err = sign_in_names(r->db, &names);
    if (err)
        return page_fail(r, reply, err);
    if (json_size(names) == 0)
        err = page_refuse(r, reply, 404,
                          "No identity provider is configured here. Whoever runs this gateway adds "
                          "one to sign_ins in its configuration; until then admin tokens work.");
    else if (json_size(names) == 1)
        snprintf(q->sign_in, sizeof(q->sign_in), "%.*s", SLICE_ARG(json_str(json_at(names, 0))));
    else
        err = show_choices(r, reply, q, names) ?: 1;
    json_free(names);
    return err;
}

/* ---- the request ----------------------------------------------------------------------------- */

static int
add_scopes(struct buf *query, const struct json *list)
{
    struct buf text;
    buf_init(&text, 0);
    int err = json_size(list) == 0 ? buf_add_str(&text, "openid email profile") : 0;
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        if (i > 0)
            err = buf_add_str(&text, " ");
        if (!err)
            err = buf_add_slice(&text, json_str(json_at(list, i)));
    }
    if (!err)
        err = ask_form(query, "scope", buf_slice(&text));
    buf_free(&text);
    return err;
}

/* OpenID Connect Core 3.1.2.1 with RFC 7636 section 4.3. */
static int
write_query(const struct plane *plane, const struct sign_in *s, const struct sign_in_request *q,
            struct buf *query)
{
    char redirect[512], challenge[SIGN_IN_RANDOM_BYTES + 1];
    sign_in_redirect_uri(plane, redirect, sizeof(redirect));
    sign_in_challenge(slice_of(q->verifier), challenge);
    const struct {
        const char *name;
        struct slice value;
    } members[] = {
        {"response_type", SLICE("code")},
        {"client_id", json_str(json_get(s->body, "client_id"))},
        {"redirect_uri", slice_of(redirect)},
        {"state", slice_of(q->state)},
        {"nonce", slice_of(q->nonce)},
        {"code_challenge", slice_of(challenge)},
        {"code_challenge_method", SLICE("S256")},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && !err; i++)
        err = ask_form(query, members[i].name, members[i].value);
    return err ? err : add_scopes(query, json_get(s->body, "scopes"));
}

static int
send_away(struct api_request *r, struct api_reply *reply, const struct sign_in *s,
          struct sign_in_request *q)
{
    struct slice at = json_str(json_get(s->endpoints, "authorization"));
    struct buf query, cookie;
    buf_init(&query, API_LOCATION_BYTES);
    buf_init(&cookie, 0);
    snprintf(q->issuer, sizeof(q->issuer), "%.*s",
             SLICE_ARG(json_str(json_get(s->body, "issuer"))));
    sign_in_random(q->state);
    sign_in_random(q->nonce);
    sign_in_random(q->verifier);
    q->begun_s = clock_wall_ms() / 1000;
    int err = write_query(r->plane, s, q, &query);
    if (!err && at.len + query.len + 2 > sizeof(reply->location))
        err = ERR_LIMIT;
    if (!err)
        err = sign_in_request_seal(r->plane->secrets, q, &cookie);
    if (!err)
        err = cookie_add(r->plane, &reply->cookies, COOKIE_SIGN_IN, buf_slice(&cookie),
                         SIGN_IN_LIFE_S);
    if (!err) {
        snprintf(reply->location, sizeof(reply->location), "%.*s%c%.*s", SLICE_ARG(at),
                 memchr(at.at, '?', at.len) ? '&' : '?', SLICE_ARG(buf_slice(&query)));
        reply->status = 303;
    }
    buf_free(&query);
    buf_free(&cookie);
    secret_wipe(q, sizeof(*q));
    return err ? page_fail(r, reply, err) : 0;
}

int
sign_in_start(struct api_request *r, struct api_reply *reply)
{
    struct sign_in_request q = {.begun_s = 0};
    struct sign_in s = {.name = ""};
    if (!r->plane->config.admin_public_url)
        return page_refuse(r, reply, 404,
                           "Signing in is not set up here: the control plane was started without "
                           "--admin-public-url.");
    int err = read_query(r, reply, &q);
    if (!err)
        err = choose(r, reply, &q);
    if (err)
        return err < 0 ? err : 0;
    err = sign_in_ready(r, reply, q.sign_in, &s);
    if (!err)
        err = send_away(r, reply, &s, &q);
    sign_in_free(&s);
    return err;
}
