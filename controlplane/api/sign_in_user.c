/* From an ID token to a user with a session: see sign_in.h. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/change.h"
#include "controlplane/api/page.h"
#include "controlplane/api/sign_in.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publish.h"
#include "controlplane/rules/kinds.h"
#include "controlplane/store/access.h"
#include "controlplane/store/audit.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

/* ---- claims ---------------------------------------------------------------------------------- */

static struct slice
setting(const struct sign_in *s, const char *member, const char *otherwise)
{
    struct slice text = json_str(json_get(s->body, member));
    return text.at ? text : slice_of(otherwise);
}

static struct json *
claim(const struct json *claims, struct slice name)
{
    char *text = slice_dup(name);
    struct json *found = text ? json_get(claims, text) : NULL;
    free(text);
    return found;
}

/* Anybody can give themselves any address: the provider must have seen that it is theirs. */
static bool
email_is_verified(const struct json *claims)
{
    const struct json *verified = json_get(claims, "email_verified");
    return json_is_true(verified) || slice_is(json_str(verified), "true");
}

static bool
lists(const struct json *asserted, struct slice name)
{
    if (slice_eq(json_str(asserted), name))
        return true;
    for (size_t i = 0; i < json_size(asserted); i++)
        if (slice_eq(json_str(json_at(asserted, i)), name))
            return true;
    return false;
}

/* Of the groups that the token lists, those that the item maps: the others mean nothing here. */
static int
take_groups(const struct sign_in *s, const struct json *claims, char **ret_text)
{
    const struct json *mapped = json_get(s->body, "groups");
    const struct json *asserted = claim(claims, setting(s, "groups_claim", "groups"));
    struct json *list = json_new_list();
    struct buf text;
    int err = list ? 0 : ERR_NOMEM;
    buf_init(&text, 0);
    for (size_t i = 0; i < json_size(mapped) && !err; i++) {
        struct slice name = json_str(json_get(json_at(mapped, i), "claim"));
        if (lists(asserted, name))
            err = json_append(list, json_new_text(name));
    }
    if (!err)
        err = json_write(list, false, 0, &text);
    *ret_text = err ? NULL : slice_dup(buf_slice(&text));
    buf_free(&text);
    json_free(list);
    return *ret_text ? 0 : ERR_NOMEM;
}

int
sign_in_person(struct api_request *r, struct api_reply *reply, const struct sign_in *s,
               const struct json *claims, struct sign_in_person *ret)
{
    struct slice member = setting(s, "user_claim", "email");
    struct slice name = json_str(claim(claims, member));
    const char *why = "";
    *ret = (struct sign_in_person){.claims = NULL};
    if (!name.at)
        return page_refuse(r, reply, 403,
                           "The identity provider did not say who you are: its token has no %.*s. "
                           "Whoever runs this gateway can ask for another scope, or take another "
                           "user_claim.",
                           SLICE_ARG(member));
    if (slice_is(member, "email") && !email_is_verified(claims))
        return page_refuse(r, reply, 403,
                           "The identity provider has not verified your address (email_verified). "
                           "Verify it there, and sign in again.");
    if (name.len == 0 || name.len > LIMIT_NAME_BYTES ||
        !kind_name_ok(kind_at(KIND_USERS), name, &why))
        return page_refuse(r, reply, 403,
                           "The identity provider calls you by a name that no user can have "
                           "(%.*s).",
                           SLICE_ARG(member));
    snprintf(ret->user, sizeof(ret->user), "%.*s", SLICE_ARG(name));
    snprintf(ret->subject, sizeof(ret->subject), "%.*s",
             SLICE_ARG(json_str(json_get(claims, "sub"))));
    int err = take_groups(s, claims, &ret->claims);
    return err ? page_fail(r, reply, err) : 0;
}

/* ---- the user -------------------------------------------------------------------------------- */

static int
write_audit(struct api_request *r, const char *actor, const char *action, const char *object,
            const struct json *detail)
{
    struct audit_row row = {.actor = actor,
                            .action = action,
                            .object = object,
                            .request_id = r->request_id,
                            .detail = detail};
    return audit_append(r->db, &row);
}

/* One new user in *c: a name, and nothing that it could do. */
static int
plan_user(const char *name, struct changes *c)
{
    unsigned char id[16];
    struct change *one = changes_add(c);
    if (!one)
        return ERR_NOMEM;
    uuid7(id);
    uuid_format(id, one->id);
    one->kind = kind_at(KIND_USERS);
    one->name = slice_dup(slice_of(name));
    one->after = json_new_map();
    return one->name && one->after ? 0 : ERR_NOMEM;
}

static int
audit_user(struct api_request *r, const char *author, const char *name, const struct changes *c,
           int64_t revision)
{
    char object[220];
    struct json *detail = json_new_map();
    snprintf(object, sizeof(object), "users/%s", name);
    int err = detail ? change_detail(detail, c, revision) : ERR_NOMEM;
    if (!err)
        err = write_audit(r, author, "user.create", object, detail);
    if (!err)
        err = db_query(r->db, "NOTIFY " PUBLISH_CHANNEL, NULL, 0, NULL);
    json_free(detail);
    return err;
}

/* By the provider's word. */
static int
create_user(struct api_request *r, struct api_reply *reply, const struct sign_in *s,
            const char *name)
{
    char author[160];
    struct changes c = {0};
    int64_t revision = 0;
    snprintf(author, sizeof(author), "sign_in:%s", s->name);
    const struct revision_note note = {
        .author = author, .note = "first sign-in", .source = "api", .rollback_of = -1};
    int err = plan_user(name, &c);
    err =
        err ? api_fail(r, reply, err) : change_write_granted(r, reply, &c, &note, NULL, &revision);
    if (!err && (err = audit_user(r, author, name, &c, revision)) != 0)
        err = api_fail(r, reply, err);
    changes_free(&c);
    if (err)
        return page_refuse(r, reply, reply->status >= 500 ? 503 : 403,
                           "You could not be made a user of this gateway. Its log has more.");
    log_info("sign_in.user_created", F_STR("sign_in", s->name), F_STR("user", name));
    return 0;
}

static int
find_or_create(struct api_request *r, struct api_reply *reply, const struct sign_in *s,
               const char *name)
{
    struct item item;
    int err = items_find(r->db, kind_at(KIND_USERS), slice_of(name), &item);
    bool disabled = !err && json_is_true(json_get(item.body, "disabled"));
    item_free(&item);
    if (disabled)
        return page_refuse(r, reply, 403, "The user '%s' is disabled here.", name);
    if (err == ERR_NOT_FOUND && json_is_true(json_get(s->body, "create_users")))
        return create_user(r, reply, s, name);
    if (err == ERR_NOT_FOUND)
        return page_refuse(r, reply, 403,
                           "There is no user '%s' here. Ask whoever runs this gateway to add one.",
                           name);
    return err ? page_fail(r, reply, err) : 0;
}

int
sign_in_admit(struct api_request *r, struct api_reply *reply, const struct sign_in *s,
              const struct sign_in_person *who)
{
    char issuer[2049];
    snprintf(issuer, sizeof(issuer), "%.*s", SLICE_ARG(json_str(json_get(s->body, "issuer"))));
    int err = find_or_create(r, reply, s, who->user);
    if (err)
        return err;
    err = sign_in_check_account(r->db, issuer, who->user, who->subject);
    if (err == ERR_DENIED) {
        log_warn("sign_in.another_account", F_STR("sign_in", s->name), F_STR("user", who->user));
        return page_refuse(r, reply, 403,
                           "The name '%s' belonged to another account of the identity provider. If "
                           "you are the same person, ask whoever runs this gateway to delete the "
                           "user and add it again.",
                           who->user);
    }
    return err ? page_fail(r, reply, err) : 0;
}

/* ---- the session ----------------------------------------------------------------------------- */

static int
audit_session(struct api_request *r, const struct new_session *n, const struct session *s)
{
    char actor[220], object[64];
    struct json *detail = json_new_map(), *claims = NULL;
    snprintf(actor, sizeof(actor), "user:%s", n->user);
    snprintf(object, sizeof(object), "sessions/%s", s->id);
    int err = detail ? json_set_str(detail, "sign_in", n->sign_in) : ERR_NOMEM;
    if (!err)
        err = json_set_str(detail, "kind", n->kind == SESSION_CLI ? "cli" : "browser");
    if (!err)
        err = json_parse(slice_of(n->claims), &claims, NULL, 0);
    if (!err)
        err = json_set(detail, "claims", claims);
    if (!err)
        err = write_audit(r, actor, "session.create", object, detail);
    json_free(detail);
    return err;
}

int
sign_in_session(struct api_request *r, const struct new_session *n,
                char ret_text[static TOKEN_TEXT_BYTES + 1], struct session *ret_session)
{
    char random[SIGN_IN_RANDOM_BYTES + 1];
    unsigned char digest[SHA256_BYTES];
    sign_in_random(random);
    snprintf(ret_text, TOKEN_TEXT_BYTES + 1, "%s%s", SESSION_PREFIX, random);
    secret_wipe(random, sizeof(random));
    hash_sha256(ret_text, TOKEN_TEXT_BYTES, digest);
    int err = session_insert(r->db, n, digest, ret_session);
    return err ? err : audit_session(r, n, ret_session);
}
