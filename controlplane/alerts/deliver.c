/* See deliver.h. */
#include "controlplane/alerts/deliver.h"

#include <inttypes.h>
#include <stdio.h>

#include "controlplane/alerts/message.h"
#include "controlplane/alerts/outbox.h"
#include "controlplane/alerts/receivers.h"
#include "controlplane/alerts/smtp.h"
#include "controlplane/rules/alert.h"
#include "lib/base/clock.h"
#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/http/ask.h"

#define SEND_MS 10000
#define LIMIT_TURN 100 /* deliveries, so that the job comes round */

/* One attempt. */
struct attempt {
    struct delivery *d;
    struct alert_message message;
    struct secret credential;
    struct ask ask;
};

static bool
is_kind(const struct attempt *t, const char *kind)
{
    return slice_is(json_str(json_get(t->d->body, "kind")), kind);
}

/* --- webhooks --------------------------------------------------------------------------------- */

static int
post(struct attempt *t, struct slice url, struct slice body, const struct http_field *more,
     size_t count)
{
    struct http_field fields[8] = {
        {SLICE("content-type"), SLICE("application/json"), false},
        {SLICE("user-agent"), SLICE("Headgate/" HEADGATE_VERSION), false},
        {SLICE("webhook-id"), slice_of(t->d->id), false},
    };
    size_t n = 3;
    for (size_t i = 0; i < count; i++)
        fields[n++] = more[i];
    struct http_answer answer;
    struct ask_call call = {.what = "the webhook",
                            .method = SLICE("POST"),
                            .url = url,
                            .body = body,
                            .fields = fields,
                            .count = n};
    int err = ask_http(&t->ask, &call, &answer);
    bool taken = answer.status >= 200 && answer.status <= 299;
    if (err == ERR_LIMIT && taken) /* however much it had to say about it */
        err = 0;
    if (!err && !taken)
        err = ask_fail(&t->ask, ERR_UNAVAILABLE, "the webhook: status %d", answer.status);
    http_answer_free(&answer);
    return err;
}

static int
post_signed(struct attempt *t, const struct secret *key, struct slice body)
{
    char stamp[24], signature[ALERT_SIGNATURE_BYTES];
    int64_t now_s = clock_wall_ms() / 1000;
    snprintf(stamp, sizeof(stamp), "%" PRId64, now_s);
    int err = message_sign(key, t->d->id, now_s, body, signature);
    const struct http_field fields[] = {
        {SLICE("webhook-timestamp"), slice_of(stamp), false},
        {SLICE("webhook-signature"), slice_of(signature), false},
    };
    if (err)
        return ask_fail(&t->ask, err, "no memory");
    return post(t, json_str(json_get(t->d->body, "url")), body, fields, 2);
}

static int
send_webhook(struct attempt *t)
{
    struct secret key = {0};
    struct buf body;
    const char *why = "no memory";
    buf_init(&body, 0);
    int err = alert_signing_key(secret_reveal(&t->credential), &key, &why);
    if (!err)
        err = message_webhook(&t->message, &body);
    err = err ? ask_fail(&t->ask, err, "its credential: %s", why)
              : post_signed(t, &key, buf_slice(&body));
    secret_free(&key);
    buf_free(&body);
    return err;
}

static int
send_slack(struct attempt *t)
{
    struct slice url = secret_reveal(&t->credential);
    struct buf body;
    const char *why;
    if (!alert_is_slack_url(url, t->ask.allow_private, &why))
        return ask_fail(&t->ask, ERR_SYNTAX, "its credential is not the webhook's URL: %s", why);
    buf_init(&body, 0);
    int err = message_slack(&t->message, &body);
    err = err ? ask_fail(&t->ask, err, "no memory") : post(t, url, buf_slice(&body), NULL, 0);
    buf_free(&body);
    return err;
}

/* --- mail ------------------------------------------------------------------------------------- */

/* The first of those who are still asked, and how many they are. */
static int
tell_open(struct attempt *t, const struct json *asked, const struct smtp_replies *replies)
{
    struct slice one = {0};
    int status = 0, open = 0;
    for (size_t i = 0; i < json_size(asked) && i < LIMIT_ALERT_RECEIVERS; i++) {
        if (json_get(t->d->settled, json_str(json_at(asked, i)).at) || open++)
            continue;
        one = json_str(json_at(asked, i));
        status = replies->at[i];
    }
    return ask_fail(&t->ask, ERR_UNAVAILABLE,
                    "the mail server: %.*s not taken (status %d), %d of %zu to be asked again",
                    SLICE_ARG(one), status, open, json_size(asked));
}

/* To those who are still asked. Some may be refused: then the others have it all the same. */
static int
send_to(struct attempt *t, struct smtp_call *call, const struct json *asked)
{
    struct smtp_replies replies;
    call->to = asked;
    int err = smtp_send(&t->ask, call, &replies);
    int noted = receivers_note(t->d->settled, asked, &replies, err == 0);
    if (noted)
        return ask_fail(&t->ask, noted, "no memory");
    if (receivers_has_taken(t->d->settled) && !receivers_is_open(asked, t->d->settled))
        return 0; /* all have it, or never will */
    return err ? err : tell_open(t, asked, &replies);
}

static int
send_mail(struct attempt *t)
{
    const struct json *body = t->d->body, *smtp = json_get(body, "smtp");
    struct slice tls = json_str(json_get(smtp, "tls"));
    struct mail_envelope envelope = {.from = json_str(json_get(body, "from")),
                                     .to = json_get(body, "to"),
                                     .date_ms = clock_wall_ms()};
    struct smtp_call call = {.host = json_str(json_get(smtp, "host")),
                             .port = (int)alert_smtp_port(smtp),
                             .tls = slice_is(tls, "implicit") ? SMTP_IMPLICIT
                                    : slice_is(tls, "none")   ? SMTP_CLEAR
                                                              : SMTP_STARTTLS,
                             .user = json_str(json_get(smtp, "user")),
                             .password = &t->credential,
                             .from = envelope.from};
    struct json *asked = receivers_left(envelope.to, t->d->settled);
    struct buf text;
    buf_init(&text, 0);
    int err = asked ? message_mail(&t->message, &envelope, &text) : ERR_NOMEM;
    call.message = buf_slice(&text);
    if (err)
        err = ask_fail(&t->ask, err, "no memory");
    else if (json_size(asked) > 0) /* else `to` has become shorter since */
        err = send_to(t, &call, asked);
    json_free(asked);
    buf_free(&text);
    return err;
}

/* --- one delivery ----------------------------------------------------------------------------- */

static int
reveal(struct deliverer *d, struct attempt *t)
{
    const struct credential_owner owner = {"alert", slice_of(t->d->alert)};
    struct buf why;
    buf_init(&why, 2048);
    int err = secrets_reveal_credential(d->secrets, owner, t->d->body, &t->credential, &why);
    if (err)
        (void)ask_fail(&t->ask, err, "%s", why.len && buf_str(&why) ? buf_str(&why) : "no memory");
    buf_free(&why);
    return err;
}

static int
send_one(struct deliverer *d, struct attempt *t)
{
    const char *why = "";
    if (!d->tls && tls_client_new(NULL, NULL, NULL, NULL, &d->tls, &why) != 0)
        return ask_fail(&t->ask, ERR_TLS, "%s", why);
    t->ask.tls = d->tls;
    t->ask.allow_private = json_is_true(json_get(t->d->body, "allow_private"));
    int err = reveal(d, t);
    if (err)
        return err;
    if (is_kind(t, "webhook"))
        return send_webhook(t);
    return is_kind(t, "slack") ? send_slack(t) : send_mail(t);
}

/* Who was refused for good, as a sentence; empty: nobody. */
static int
tell_refused(struct attempt *t, struct buf *out)
{
    struct buf who;
    buf_init(&who, 0);
    int err = receivers_refused(t->d->settled, &who);
    if (!err && who.len)
        err = buf_addf(out, "the mail server refused %s", buf_str(&who));
    buf_free(&who);
    return err;
}

static int
note_sent(struct deliverer *d, struct attempt *t)
{
    struct buf refused;
    CRASHPOINT("alert.sent");
    buf_init(&refused, 0);
    int err = tell_refused(t, &refused);
    const char *note = err ? NULL : buf_str(&refused);
    err = note ? outbox_sent(d->db, t->d, note) : ERR_NOMEM;
    CRASHPOINT("alert.noted");
    atomic_fetch_add(&d->counts->sent, 1);
    log_info("alert.sent", F_STR("alert", t->d->alert), F_STR("id", t->d->id),
             F_INT("attempt", t->d->attempt));
    if (note && *note)
        log_warn("alert.refused", F_STR("alert", t->d->alert), F_STR("id", t->d->id),
                 F_STR("why", note));
    buf_free(&refused);
    return err;
}

static int
note_failed(struct deliverer *d, const struct attempt *t, bool for_good)
{
    bool over;
    int err = outbox_failed(d->db, t->d, t->ask.why, for_good, &over);
    atomic_fetch_add(&d->counts->failed, 1);
    if (over)
        atomic_fetch_add(&d->counts->given_up, 1);
    log_warn(over ? "alert.given_up" : "alert.failed", F_STR("alert", t->d->alert),
             F_STR("id", t->d->id), F_INT("attempt", t->d->attempt), F_STR("why", t->ask.why));
    return err;
}

/* 1: it could not be sent. */
static int
deliver(struct deliverer *d, struct delivery *one)
{
    struct attempt t = {
        .d = one, .message = {one->id, one->alert, one->event}, .ask = {.total_ms = SEND_MS}};
    int err;
    CRASHPOINT("alert.claimed");
    if (!one->body)
        (void)ask_fail(&t.ask, ERR_NOT_FOUND, "the alert was deleted");
    else if (one->beyond)
        (void)ask_fail(&t.ask, ERR_LIMIT, "the control plane died at each attempt");
    bool hopeless = !one->body || one->beyond;
    int failed = hopeless ? ERR_NOT_FOUND : send_one(d, &t);
    err = failed ? note_failed(d, &t, hopeless) : note_sent(d, &t);
    secret_free(&t.credential);
    return err ? err : failed != 0;
}

int
alerts_deliver(struct deliverer *d, bool *ret_changed)
{
    struct json *resting = json_new_list();
    struct delivery one;
    int err = resting ? 0 : ERR_NOMEM;
    *ret_changed = false;
    for (int i = 0; i < LIMIT_TURN && !err && !d->is_stopping(d->ctx); i++) {
        int found = outbox_claim(d->db, resting, &one);
        if (found <= 0) {
            err = found;
            break;
        }
        if (i == 0) /* what another daemon fetched of a secret manager */
            err = secrets_sync(d->secrets, d->db, ret_changed);
        int failed = err ? err : deliver(d, &one);
        if (failed > 0)
            failed = json_append(resting, json_new_text(slice_of(one.alert)));
        err = failed;
        delivery_free(&one);
    }
    json_free(resting);
    return err;
}
