/* GET /auth/callback: the provider's answer; POST /auth/token: the command line's. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/cookie.h"
#include "controlplane/api/dispatch.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/page.h"
#include "controlplane/api/sign_in.h"
#include "controlplane/api/throttle.h"
#include "controlplane/jobs/sign_ins.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publish.h"
#include "controlplane/secrets/ask.h"
#include "controlplane/store/access.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"
#include "lib/sign/id_token.h"

#define EXCHANGE_MS 5000
#define LIMIT_CODE_BYTES 2048

static int
refuse_answer(struct api_request *r, struct api_reply *reply)
{
    return page_refuse(r, reply, 403,
                       "This answer does not belong to a sign-in that this browser has under way: "
                       "it is older than ten minutes, was used already, or began somewhere else.");
}

/* ---- is it the answer to our question -------------------------------------------------------- */

static int
check_answer(struct api_request *r, struct api_reply *reply, struct sign_in_request *q)
{
    struct slice state = api_query(r, "state"), iss = api_query(r, "iss"),
                 code = api_query(r, "code");
    struct slice cookie = cookie_find(r->plane, r->cookie, COOKIE_SIGN_IN);
    bool declined = api_query(r, "error").at != NULL;
    if (state.len != SIGN_IN_RANDOM_BYTES ||
        (!declined && (code.len == 0 || code.len > LIMIT_CODE_BYTES)))
        return page_refuse(
            r, reply, 400,
            "This is no answer of an identity provider: it lacks a code or a state.");
    int err = sign_in_request_open(r->plane->secrets, cookie, clock_wall_ms() / 1000, q);
    if (!err && !secret_equal(state.at, q->state, SIGN_IN_RANDOM_BYTES))
        err = ERR_AUTH;
    if (!err && iss.at && !slice_is(iss, q->issuer)) /* RFC 9207 */
        err = ERR_AUTH;
    if (err)
        return err == ERR_NOMEM ? page_fail(r, reply, err) : refuse_answer(r, reply);
    if (declined) { /* its texts are a stranger's: not shown, not logged */
        log_warn("sign_in.declined", F_STR("sign_in", q->sign_in));
        return page_refuse(r, reply, 403, "The identity provider '%s' did not let you in.",
                           q->sign_in);
    }
    return 0;
}

/* Once, whatever becomes of it. */
static int
take_answer(struct api_request *r, struct api_reply *reply, const struct sign_in_request *q)
{
    unsigned char digest[SHA256_BYTES];
    hash_sha256(q->state, SIGN_IN_RANDOM_BYTES, digest);
    int err = sign_in_take_answer(r->db, digest);
    if (err == ERR_EXISTS)
        return refuse_answer(r, reply);
    return err ? page_fail(r, reply, err) : 0;
}

/* ---- the code for a token -------------------------------------------------------------------- */

struct exchange {
    struct buf form, basic; /* secret */
};

static bool
supports(const struct sign_in *s, const char *method)
{
    const struct json *methods = json_get(s->endpoints, "methods");
    for (size_t i = 0; i < json_size(methods); i++)
        if (slice_is(json_str(json_at(methods, i)), method))
            return true;
    return json_size(methods) == 0 && strcmp(method, "client_secret_basic") == 0;
}

/* RFC 6749 section 2.3.1: both are form-encoded before they are joined. */
static int
write_basic(struct slice id, struct slice secret, struct buf *into)
{
    struct buf pair;
    buf_init(&pair, 0);
    int err = ask_form(&pair, "", id); /* "=ID" */
    if (!err)
        err = buf_add_str(&pair, ":");
    size_t colon = pair.len;
    if (!err)
        err = ask_form(&pair, "", secret); /* "&=SECRET" */
    if (!err)
        err = buf_add_str(into, "Basic ");
    struct slice text = buf_slice(&pair);
    struct buf joined;
    buf_init(&joined, 0);
    if (!err)
        err = buf_add(&joined, text.at + 1, colon - 1);
    if (!err)
        err = buf_add_slice(&joined, slice_from(text, colon + 2));
    char *room = err ? NULL : buf_reserve(into, BASE64_BYTES(joined.len));
    if (!err && !room)
        err = ERR_NOMEM;
    if (!err)
        buf_commit(into, base64_encode(joined.at, joined.len, room));
    buf_wipe(&pair);
    buf_free(&pair);
    buf_wipe(&joined);
    buf_free(&joined);
    return err;
}

static int
write_form(struct api_request *r, const struct sign_in *s, const struct sign_in_request *q,
           const struct secret *secret, struct exchange *x)
{
    char redirect[512];
    struct slice id = json_str(json_get(s->body, "client_id")), word = secret_reveal(secret);
    bool basic = word.len > 0 && supports(s, "client_secret_basic");
    sign_in_redirect_uri(r->plane, redirect, sizeof(redirect));
    int err = ask_form(&x->form, "grant_type", SLICE("authorization_code"));
    if (!err)
        err = ask_form(&x->form, "code", api_query(r, "code"));
    if (!err)
        err = ask_form(&x->form, "redirect_uri", slice_of(redirect));
    if (!err)
        err = ask_form(&x->form, "code_verifier", slice_of(q->verifier));
    if (!err && !basic)
        err = ask_form(&x->form, "client_id", id);
    if (!err && !basic && word.len > 0)
        err = ask_form(&x->form, "client_secret", word);
    return err || !basic ? err : write_basic(id, word, &x->basic);
}

static int
post_form(const struct sign_in *s, const struct exchange *x, struct ask *a,
          struct json **ret_document)
{
    const struct http_field fields[] = {
        {SLICE("content-type"), SLICE("application/x-www-form-urlencoded"), false},
        {SLICE("accept"), SLICE("application/json"), false},
        {SLICE("authorization"), buf_slice(&x->basic), true},
    };
    struct ask_call call = {.what = "the token endpoint",
                            .method = SLICE("POST"),
                            .url = json_str(json_get(s->endpoints, "token")),
                            .body = buf_slice(&x->form),
                            .fields = fields,
                            .count = x->basic.len > 0 ? 3 : 2};
    return ask_json(a, &call, ret_document);
}

static int
exchange(struct api_request *r, const struct sign_in *s, const struct sign_in_request *q,
         struct ask *a, struct json **ret_document)
{
    struct exchange x;
    struct secret secret = {0};
    struct buf why;
    const char *problem = "";
    buf_init(&x.form, 0);
    buf_init(&x.basic, 0);
    buf_init(&why, 1024);
    const struct credential_owner owner = {"sign_in", slice_of(s->name)};
    int err = secrets_reveal_credential(r->plane->secrets, owner, s->body, &secret, &why);
    if (err)
        err = ask_fail(a, err, "its credential cannot be resolved now");
    if (!err)
        err = write_form(r, s, q, &secret, &x);
    if (!err && tls_client_new(NULL, NULL, NULL, NULL, &a->tls, &problem) != 0)
        err = ask_fail(a, ERR_TLS, "TLS: %s", problem);
    if (!err)
        err = post_form(s, &x, a, ret_document);
    tls_client_free(a->tls);
    secret_free(&secret);
    buf_wipe(&x.form);
    buf_free(&x.form);
    buf_wipe(&x.basic);
    buf_free(&x.basic);
    buf_free(&why);
    return err;
}

/* ---- the token ------------------------------------------------------------------------------- */

/* A key that we do not know may be a new one. */
static int
check_token(struct api_request *r, struct sign_in *s, const struct sign_in_request *q,
            struct slice token, struct json **ret_claims, const char **ret_why)
{
    struct id_token_want want = {.issuer = json_str(json_get(s->body, "issuer")),
                                 .client_id = json_str(json_get(s->body, "client_id")),
                                 .nonce = slice_of(q->nonce),
                                 .keys = s->keys,
                                 .now_s = clock_wall_ms() / 1000};
    int err = id_token_check(token, &want, ret_claims, ret_why);
    if (err != ERR_NOT_FOUND)
        return err;
    struct sign_in again = {.name = ""};
    err = sign_ins_refresh_one(r->db, s->name);
    if (!err)
        err = sign_in_load(r->db, s->name, &again);
    if (!err) {
        want.keys = again.keys;
        err = id_token_check(token, &want, ret_claims, ret_why);
    }
    sign_in_free(&again);
    return err == ERR_NOT_FOUND ? ERR_AUTH : err;
}

static int
fetch_claims(struct api_request *r, struct api_reply *reply, struct sign_in *s,
             const struct sign_in_request *q, struct json **ret_claims)
{
    struct ask a = {.allow_private = json_is_true(json_get(s->body, "allow_private")),
                    .total_ms = EXCHANGE_MS};
    struct json *document = NULL;
    const char *why = a.why;
    int err = exchange(r, s, q, &a, &document);
    if (!err) {
        why = "the token endpoint gave no id_token";
        struct slice token = json_str(json_get(document, "id_token"));
        err = token.at ? check_token(r, s, q, token, ret_claims, &why) : ERR_AUTH;
    }
    json_free(document);
    if (!err)
        return 0;
    log_warn("sign_in.refused", F_STR("sign_in", s->name), F_STR("why", why), F_ERR(err));
    return page_refuse(r, reply, err == ERR_AUTH ? 403 : 502,
                       "What the identity provider '%s' said cannot be taken: %s.", s->name, why);
}

/* ---- in -------------------------------------------------------------------------------------- */

/* The session that this browser had ends with this: an id is never taken over, and none lingers. */
static int
end_old_session(struct api_request *r)
{
    unsigned char digest[SHA256_BYTES];
    struct slice old = cookie_find(r->plane, r->cookie, COOKIE_SESSION);
    if (!old.at)
        return 0;
    hash_sha256(old.at, old.len, digest);
    return session_delete_by_digest(r->db, digest);
}

/* The cookie is SameSite=Strict: a browser does not send it where the provider's redirect leads,
 * but it does where a page of ours leads. */
static int
land(struct api_request *r, struct api_reply *reply, const struct sign_in_request *q,
     const char *user)
{
    char text[LIMIT_NAME_BYTES + 64];
    snprintf(text, sizeof(text), "You are signed in as '%s'.", user);
    const struct page_link link = {q->return_to, "Go on"};
    return page_reply(r, reply,
                      &(struct page){.status = 200,
                                     .title = "Signed in",
                                     .text = text,
                                     .links = &link,
                                     .count = 1,
                                     .go_on = true});
}

static int
begin_session(struct api_request *r, struct api_reply *reply, const struct sign_in_request *q,
              const struct new_session *n)
{
    char text[TOKEN_TEXT_BYTES + 1];
    struct session session;
    int err = end_old_session(r);
    if (!err)
        err = sign_in_session(r, n, text, &session);
    if (!err)
        err = cookie_add(r->plane, &reply->cookies, COOKIE_SESSION,
                         slice_make(text, TOKEN_TEXT_BYTES), 0);
    secret_wipe(text, sizeof(text));
    return err ? err : land(r, reply, q, n->user);
}

/* The command line gets a code from the browser, when whoever sits there says so. */
static int
offer_code(struct api_request *r, struct api_reply *reply, const struct sign_in_request *q,
           const struct new_session *n)
{
    struct sign_in_code code = {.claims = (char *)(uintptr_t)n->claims};
    unsigned char digest[SHA256_BYTES];
    char text[SIGN_IN_RANDOM_BYTES + 1], href[512], question[512];
    snprintf(code.user, sizeof(code.user), "%s", n->user);
    snprintf(code.sign_in, sizeof(code.sign_in), "%s", n->sign_in);
    snprintf(code.challenge, sizeof(code.challenge), "%s", q->cli_challenge);
    sign_in_random(text);
    hash_sha256(text, SIGN_IN_RANDOM_BYTES, digest);
    int err = sign_in_code_insert(r->db, digest, &code);
    snprintf(href, sizeof(href), "http://127.0.0.1:%lld/?code=%s&state=%s", (long long)q->cli_port,
             text, q->cli_state);
    snprintf(question, sizeof(question),
             "A program on this computer (port %lld) asks to act as '%s' on this gateway. Go on "
             "only when you have just run headgate login.",
             (long long)q->cli_port, n->user);
    const struct page_link link = {href, "Let it act for me"};
    if (!err)
        err = page_reply(r, reply,
                         &(struct page){.status = 200,
                                        .title = "Sign in the command line?",
                                        .text = question,
                                        .links = &link,
                                        .count = 1});
    secret_wipe(text, sizeof(text));
    secret_wipe(href, sizeof(href));
    return err;
}

/* Inside the transaction. 0, a page's status, or an error without a page yet. */
static int
let_in(struct api_request *r, struct api_reply *reply, const struct sign_in *s,
       const struct sign_in_request *q, const struct sign_in_person *who)
{
    const struct new_session n = {
        .kind = SESSION_BROWSER, .user = who->user, .sign_in = s->name, .claims = who->claims};
    int err = db_query(r->db, API_WRITE_LOCK, NULL, 0, NULL);
    if (err)
        return err;
    err = sign_in_admit(r, reply, s, who);
    if (err)
        return err;
    return q->cli_port ? offer_code(r, reply, q, &n) : begin_session(r, reply, q, &n);
}

static int
finish_person(struct api_request *r, struct api_reply *reply, const struct sign_in *s,
              const struct sign_in_request *q, const struct sign_in_person *who)
{
    int err = db_begin(r->db);
    if (!err)
        err = let_in(r, reply, s, q, who);
    if (!err)
        err = db_commit(r->db);
    if (err)
        db_rollback(r->db);
    if (err > -400 && err < 0) {
        buf_clear(&reply->cookies);
        return page_fail(r, reply, err);
    }
    if (!err && reply->changed && r->plane->publisher)
        publisher_kick(r->plane->publisher);
    return err;
}

/* 0, or the page for somebody who has to wait. */
static int
check_wait(struct api_request *r, struct api_reply *reply, const struct attempt_by *by)
{
    int wait_s = throttle_wait_s(r->plane->throttle, by, clock_mono_ns());
    if (wait_s == 0)
        return 0;
    reply->retry_after_s = wait_s;
    return page_refuse(r, reply, 429,
                       "Too many sign-ins that failed came from your address. Try again in %d %s.",
                       wait_s, wait_s == 1 ? "second" : "seconds");
}

/* The answer is ours, and nobody else's: whom does it name? Failures from here on are that user's
 * at this address. */
static int
finish(struct api_request *r, struct api_reply *reply, const struct sign_in_request *q,
       struct attempt_by *by, struct sign_in_person *who)
{
    struct sign_in s = {.name = ""};
    struct json *claims = NULL;
    int err = sign_in_ready(r, reply, q->sign_in, &s);
    if (err)
        return err;
    if (!slice_is(json_str(json_get(s.body, "issuer")), q->issuer))
        err = refuse_answer(r, reply);
    if (!err)
        err = fetch_claims(r, reply, &s, q, &claims);
    if (!err)
        err = sign_in_person(r, reply, &s, claims, who);
    if (!err) {
        by->account = by->said = slice_of(who->user);
        err = check_wait(r, reply, by);
    }
    if (!err)
        err = finish_person(r, reply, &s, q, who);
    json_free(claims);
    sign_in_free(&s);
    return err;
}

/* Half of the threads may wait for identity providers: the API goes on when one of them hangs. */
static bool
enter(struct plane *p)
{
    int most = p->config.threads > 1 ? (int)p->config.threads / 2 : 1;
    if (atomic_fetch_add(&p->signing_in, 1) < most)
        return true;
    atomic_fetch_sub(&p->signing_in, 1);
    return false;
}

int
sign_in_finish(struct api_request *r, struct api_reply *reply)
{
    struct sign_in_request q = {.begun_s = 0};
    struct sign_in_person who = {.claims = NULL};
    struct attempt_by by = {.peer = r->peer};
    if (!r->plane->config.admin_public_url)
        return page_refuse(r, reply, 404, "Signing in is not set up here.");
    int err = check_wait(r, reply, &by);
    if (err)
        return err; /* what was begun is kept: the browser may ask again */
    err = check_answer(r, reply, &q);
    if (!err && !enter(r->plane)) {
        reply->retry_after_s = 1;
        err = page_refuse(r, reply, 503, "Too many people sign in at once: try again.");
    } else if (!err) {
        err = take_answer(r, reply, &q);
        if (!err)
            err = finish(r, reply, &q, &by, &who);
        atomic_fetch_sub(&r->plane->signing_in, 1);
    }
    if (err == -400 || err == -403)
        throttle_failed(r->plane->throttle, &by, clock_mono_ns());
    secret_wipe(&q, sizeof(q));
    free(who.claims);
    if (cookie_add(r->plane, &reply->cookies, COOKIE_SIGN_IN, SLICE(""), 0) != 0)
        return page_fail(r, reply, ERR_NOMEM);
    return err;
}

/* ---- the command line ------------------------------------------------------------------------ */

static int
refuse_code(struct api_reply *reply)
{
    return api_problem(reply, 400, "invalid_code",
                       "this code was never given out, was used, or is older than two minutes: run "
                       "headgate login again");
}

static int
reply_token(struct api_request *r, struct api_reply *reply, const char *text,
            const struct session *s)
{
    struct json *body = reply->body = json_new_map();
    int err = body ? json_set_str(body, "token", text) : ERR_NOMEM;
    if (!err)
        err = json_set_str(body, "user", s->user);
    if (!err)
        err = json_set_str(body, "expires", s->ends_at);
    reply->status = 201;
    return err ? api_fail(r, reply, err) : 0;
}

/* Inside the transaction, which holds for a refusal too: the code is spent. */
static int
redeem(struct api_request *r, struct api_reply *reply)
{
    struct slice given = json_str(json_get(r->body, "code"));
    char challenge[SIGN_IN_RANDOM_BYTES + 1], text[TOKEN_TEXT_BYTES + 1];
    unsigned char digest[SHA256_BYTES];
    struct sign_in_code code = {.claims = NULL};
    struct session session = {.id = ""};
    hash_sha256(given.at, given.len, digest);
    sign_in_challenge(json_str(json_get(r->body, "code_verifier")), challenge);
    int err = db_query(r->db, API_WRITE_LOCK, NULL, 0, NULL);
    if (!err)
        err = sign_in_code_take(r->db, digest, &code);
    if (!err && !secret_equal(challenge, code.challenge, SIGN_IN_RANDOM_BYTES))
        err = ERR_NOT_FOUND;
    if (!err)
        err = access_user(r->db, code.user);
    const struct new_session n = {SESSION_CLI, code.user, code.sign_in, code.claims};
    if (!err)
        err = sign_in_session(r, &n, text, &session);
    if (err == ERR_NOT_FOUND)
        err = refuse_code(reply);
    else if (err)
        err = api_fail(r, reply, err);
    else
        err = reply_token(r, reply, text, &session);
    secret_wipe(text, sizeof(text));
    free(code.claims);
    return err;
}

int
sign_in_token(struct api_request *r, struct api_reply *reply)
{
    const struct attempt_by by = {.peer = r->peer};
    reply->retry_after_s = throttle_wait_s(r->plane->throttle, &by, clock_mono_ns());
    if (reply->retry_after_s > 0)
        return api_problem(reply, 429, "too_many_failures", "%s", API_WAIT);
    int err = db_begin(r->db);
    if (err)
        return api_fail(r, reply, err);
    int refused = redeem(r, reply);
    if (refused && refused != -400) {
        db_rollback(r->db);
        return refused;
    }
    if (refused)
        throttle_failed(r->plane->throttle, &by, clock_mono_ns());
    err = db_commit(r->db);
    return err ? api_fail(r, reply, err) : refused;
}
