/* See alert.h. */
#include "controlplane/rules/alert.h"

#include <stdlib.h>

#include "controlplane/rules/fields.h"
#include "controlplane/rules/rule.h"
#include "controlplane/secrets/seal.h"
#include "lib/base/encode.h"
#include "lib/http/url.h"

#define MEANT "add `allow_private: true` when that is meant"

/* --- secrets ---------------------------------------------------------------------------------- */

int
alert_signing_key(struct slice text, struct secret *ret_key, const char **ret_why)
{
    static const char prefix[] = "whsec_";
    if (!slice_starts(text, slice_of(prefix))) {
        *ret_why = "a key to sign with has at least 16 bytes";
        return text.len < LEAST_SIGNING_KEY_BYTES ? ERR_SYNTAX
                                                  : secret_set(ret_key, text.at, text.len);
    }
    struct slice coded = slice_from(text, sizeof(prefix) - 1);
    struct secret bytes = {0};
    size_t len = 0;
    int err = secret_set(&bytes, NULL, coded.len / 4 * 3 + 3);
    *ret_why = "after whsec_ comes Base64 of at least 16 bytes";
    if (!err && (base64_decode(coded, bytes.at, &len) != 0 || len < LEAST_SIGNING_KEY_BYTES))
        err = ERR_SYNTAX;
    if (!err)
        err = secret_set(ret_key, bytes.at, len);
    secret_free(&bytes);
    return err;
}

bool
alert_is_slack_url(struct slice text, bool allow_private, const char **ret_why)
{
    struct url url;
    if (url_parse(text, &url, ret_why) != 0)
        return false;
    *ret_why = "not https, or a private address; " MEANT;
    return allow_private || (url.https && !field_is_private_host(url.host));
}

int64_t
alert_smtp_port(const struct json *smtp)
{
    struct slice tls = json_str(json_get(smtp, "tls"));
    int64_t port;
    if (json_to_int(json_get(smtp, "port"), &port) == 0)
        return port;
    return slice_is(tls, "implicit") ? 465 : slice_is(tls, "none") ? 25 : 587;
}

/* --- members ---------------------------------------------------------------------------------- */

static bool
is_literal(struct slice credential)
{
    enum credential_form form;
    const char *why;
    return credential.at && credential_parse(credential, &form, &why) == 0 &&
           form == CREDENTIAL_LITERAL;
}

/* What each kind needs, and what it has no use for. */
static const struct {
    const char *member;
    const char *needs, *takes; /* letters of the kinds: w, s, e */
} members[] = {
    {"url", "w", "w"}, {"smtp", "e", "e"},          {"from", "e", "e"},
    {"to", "e", "e"},  {"credential", "ws", "wse"},
};

static int
check_members(const struct json *item, struct slice kind, const char *path, struct buf *why)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        bool given = json_get(item, members[i].member) != NULL;
        if (!given && strchr(members[i].needs, kind.at[0]))
            return rule_refuse(why, path, members[i].member, "needed by kind %.*s",
                               SLICE_ARG(kind));
        if (given && !strchr(members[i].takes, kind.at[0]))
            return rule_refuse(why, path, members[i].member, "kind %.*s has none", SLICE_ARG(kind));
    }
    return 0;
}

static int
check_webhook(const struct json *item, bool private, const char *path, struct buf *why)
{
    struct slice credential = json_str(json_get(item, "credential"));
    struct secret key = {0};
    struct url url;
    const char *reason;
    if (!private && url_parse(json_str(json_get(item, "url")), &url, &reason) == 0 &&
        (!url.https || field_is_private_host(url.host)))
        return rule_refuse(why, path, "url", "not https, or a private address; " MEANT);
    int err = is_literal(credential) ? alert_signing_key(credential, &key, &reason) : 0;
    secret_free(&key);
    return err == ERR_SYNTAX ? rule_refuse(why, path, "credential", "%s", reason) : err;
}

static int
check_slack(const struct json *item, bool private, const char *path, struct buf *why)
{
    struct slice credential = json_str(json_get(item, "credential"));
    const char *reason;
    if (!is_literal(credential) || alert_is_slack_url(credential, private, &reason))
        return 0;
    return rule_refuse(why, path, "credential", "must be the webhook's URL: %s", reason);
}

static int
check_email(const struct json *item, bool private, const char *path, struct buf *why)
{
    const struct json *smtp = json_get(item, "smtp");
    bool clear = slice_is(json_str(json_get(smtp, "tls")), "none");
    bool user = json_get(smtp, "user") != NULL;
    if (json_size(json_get(item, "to")) == 0)
        return rule_refuse(why, path, "to", "name 1 to %d receivers", LIMIT_ALERT_RECEIVERS);
    if (user != (json_get(item, "credential") != NULL))
        return rule_refuse(why, path, user ? "credential" : "smtp.user",
                           "smtp.user and credential, the password, go together");
    if (user && clear)
        return rule_refuse(why, path, "smtp.tls", "no password is sent in the clear");
    if (clear && !private)
        return rule_refuse(why, path, "smtp.tls", "mail in the clear; " MEANT);
    if (!private && field_is_private_host(json_str(json_get(smtp, "host"))))
        return rule_refuse(why, path, "smtp.host", "a private address; " MEANT);
    return 0;
}

int
alert_check(const struct json *item, const char *path, struct buf *why)
{
    static const char *const lists[] = {"budgets", "teams"};
    struct slice kind = json_str(json_get(item, "kind"));
    bool private = json_is_true(json_get(item, "allow_private"));
    int err = check_members(item, kind, path, why);
    for (size_t i = 0; i < 2 && !err; i++)
        if (json_get(item, lists[i]) && json_size(json_get(item, lists[i])) == 0)
            err = rule_refuse(why, path, lists[i], "names none; leave it out for all budgets");
    if (err)
        return err;
    if (slice_is(kind, "webhook"))
        return check_webhook(item, private, path, why);
    return slice_is(kind, "slack") ? check_slack(item, private, path, why)
                                   : check_email(item, private, path, why);
}
