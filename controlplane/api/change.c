/* See change.h. */
#include "controlplane/api/change.h"

#include <stdio.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/vain.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publish.h"
#include "lib/base/encode.h"

#define LIMIT_AUDITED_CHANGES 100

/* ---- secrets in and out of bodies ------------------------------------------------------------ */

static int
refuse_marker(struct api_reply *reply, const struct change_input *in, struct slice marker)
{
    const char *path = in->path;
    struct buf why;
    buf_init(&why, 2048);
    int err = buf_addf(&why,
                       "%s%scredential: '%.*s' stands for a stored credential that this %s "
                       "does not have: give the credential itself, or a reference",
                       path, path[0] ? "." : "", SLICE_ARG(marker), in->kind->noun);
    if (!err)
        err = api_problem_at(reply, 400, "unknown_marker", &why);
    buf_free(&why);
    return err;
}

static int
keep_marked(struct api_reply *reply, const struct change_input *in, struct json *body,
            struct slice marker)
{
    const struct json *old = json_get(in->stored, "credential");
    struct slice print = json_str(json_get(old, "fingerprint"));
    if (!print.at || !slice_eq(slice_from(marker, 7), print))
        return refuse_marker(reply, in, marker);
    return json_set(body, "credential", json_copy(old));
}

static struct credential_owner
owner_of(const struct change_input *in)
{
    return (struct credential_owner){in->kind->noun, slice_of(in->name)};
}

/* A reference that means nothing here is refused where it is given: later it is only reported, so
 * that one that is lost does not hold up other changes. */
static int
try_reference(struct api_request *r, struct api_reply *reply, const struct change_input *in,
              const struct json *body)
{
    struct secret value = {0};
    struct buf why;
    buf_init(&why, 2048);
    int err = secrets_reveal_credential(r->plane->secrets, owner_of(in), body, &value, &why);
    if (err == ERR_AGAIN) /* a secret manager's: fetched by a job, see `headgate secrets list` */
        err = 0;
    if (err == ERR_NOT_FOUND) {
        buf_clear(&why);
        struct slice text = json_str(json_get(body, "credential"));
        err = buf_addf(&why, "%s%scredential: %.*s is not there: %s", in->path,
                       in->path[0] ? "." : "", SLICE_ARG(text),
                       slice_starts(text, SLICE("env:"))
                           ? "set it in the control plane's environment and start that again"
                           : "put the file into the control plane's credentials directory; a "
                             "link must stay within it");
        if (!err)
            err = api_problem_at(reply, 400, "credential_unresolved", &why);
    }
    secret_free(&value);
    buf_free(&why);
    return err;
}

static int
store_credential(struct api_request *r, struct api_reply *reply, const struct change_input *in,
                 struct json *body)
{
    const struct json *old = json_get(in->stored, "credential");
    struct slice text = json_str(json_get(body, "credential"));
    enum credential_form form;
    const char *why;
    struct json *sealed = NULL;
    if (!text.at || credential_parse(text, &form, &why) != 0)
        return 0;
    if (form == CREDENTIAL_REFERENCE)
        return json_equal(json_get(body, "credential"), old) ? 0
                                                             : try_reference(r, reply, in, body);
    if (form == CREDENTIAL_MARKER)
        return keep_marked(reply, in, body, text);
    int err = secrets_store_credential(r->plane->secrets, owner_of(in), text, old, &sealed);
    return err ? err : json_set(body, "credential", sealed);
}

static int
keep_key(struct json *body, const struct json *stored)
{
    const struct json *retired = json_get(stored, "retired");
    int err = json_set(body, "digest", json_copy(json_get(stored, "digest")));
    if (!err && retired)
        err = json_set(body, "retired", json_copy(retired));
    return err ? err : json_set(body, "prefix", json_copy(json_get(stored, "prefix")));
}

int
change_mint_key(struct api_request *r, struct json *body, struct minted *ret_minted)
{
    unsigned char digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    secrets_mint_key(ret_minted->text);
    int err =
        secrets_key_digest(r->plane->secrets, slice_make(ret_minted->text, KEY_TEXT_BYTES), digest);
    if (err)
        return err;
    hex_encode(digest, sizeof(digest), hex);
    err = json_set_str(body, "digest", hex);
    return err ? err : json_set_text(body, "prefix", slice_make(ret_minted->text, KEY_SHOWN_BYTES));
}

int
change_body(struct api_request *r, struct api_reply *reply, const struct change_input *in,
            struct json **ret_body, struct minted *ret_minted)
{
    struct json *body = item_body(in->kind, in->input);
    int err = body ? 0 : ERR_NOMEM;
    ret_minted->text[0] = '\0';
    if (!err && kind_has_credential(in->kind))
        err = store_credential(r, reply, in, body);
    if (!err && in->kind->id == KIND_KEYS)
        err = in->stored ? keep_key(body, in->stored) : change_mint_key(r, body, ret_minted);
    if (!err) {
        *ret_body = body;
        return 0;
    }
    json_free(body);
    return err <= -400 ? err : api_fail(r, reply, err);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Whoever may not see all items must not learn of them by asking for names. */
static int
dull_reference(struct api_request *r, struct buf *why)
{
    if (r->access && access_everywhere(r->access, permission_find(SLICE("config.read"))))
        return 0;
    struct slice rest = buf_slice(why);
    struct slice place = arena_copy(&r->arena, slice_cut(&rest, ':'));
    buf_clear(why);
    return buf_addf(why, "%.*s: names something that is not there, or not in your reach",
                    SLICE_ARG(place));
}

static int
refuse_reference(struct api_request *r, struct api_reply *reply, int err, struct buf *why)
{
    if (why->len == 0)
        return api_fail(r, reply, err);
    if (err == ERR_CONFLICT)
        return api_problem_at(reply, 409, "in_use", why);
    err = dull_reference(r, why);
    return err ? api_fail(r, reply, err) : api_problem_at(reply, 400, "unknown_reference", why);
}

int
change_write_granted(struct api_request *r, struct api_reply *reply, const struct changes *c,
                     const struct revision_note *note, struct json *warnings, int64_t *ret_revision)
{
    struct policy *policy = NULL;
    struct buf why;
    buf_init(&why, 16384);
    int err = changes_write(r->db, c, note, ret_revision);
    if (err) {
        err = api_fail(r, reply, err);
    } else if ((err = changes_check_references(r->db, c, &why)) != 0) {
        err = refuse_reference(r, reply, err, &why);
    } else if ((err = publish_check(r->plane->publisher, r->db, &policy, &why)) != 0) {
        bool refused = why.len > 0 && err != ERR_UNAVAILABLE && err != ERR_NOMEM;
        err = refused ? api_problem_at(reply, 400, "does_not_compile", &why)
                      : api_fail(r, reply, err);
    } else if ((err = vain_check(r->db, policy, c, note->rollback_of < 0, warnings, &why)) != 0) {
        err = err == ERR_SYNTAX ? api_problem_at(reply, 400, "limit_in_vain", &why)
                                : api_fail(r, reply, err);
    }
    policy_unref(policy);
    buf_free(&why);
    reply->changed = err == 0;
    return err;
}

int
change_write(struct api_request *r, struct api_reply *reply, const struct changes *c,
             const struct revision_note *note, struct json *warnings, int64_t *ret_revision)
{
    struct authority authority;
    int err = authority_to_change(r, reply, c);
    if (err)
        return err;
    err = authority_begin(r, reply, c, &authority);
    if (!err)
        err = change_write_granted(r, reply, c, note, warnings, ret_revision);
    if (!err)
        err = authority_end(r, reply, c, &authority);
    authority_free(&authority);
    reply->changed = err == 0;
    return err;
}

int
change_commit(struct api_request *r, struct api_reply *reply, const struct changes *c)
{
    struct revision_note note = {
        .author = r->actor, .note = "", .source = "api", .rollback_of = -1};
    int64_t revision = 0;
    if (c->count == 0) { /* nothing to change makes no revision */
        reply->unchanged = true;
        return 0;
    }
    int err = change_write(r, reply, c, &note, NULL, &revision);
    if (err)
        return err;
    reply->audit_detail = json_new_map();
    if (!reply->audit_detail || change_detail(reply->audit_detail, c, revision) != 0)
        return api_fail(r, reply, ERR_NOMEM);
    return 0;
}

/* ---- showing --------------------------------------------------------------------------------- */

static struct json *
view_or_null(const struct kind *kind, const char *name, const struct json *body)
{
    return body ? item_view(kind, name, body, false) : json_new_null();
}

static struct json *
one_change(const struct change *c)
{
    const char *action = !c->before ? "create" : c->after ? "update" : "delete";
    struct json *out = json_new_map();
    if (out && json_set_str(out, "kind", c->kind->plural) == 0 &&
        json_set_str(out, "name", c->name) == 0 && json_set_str(out, "action", action) == 0 &&
        json_set(out, "before", view_or_null(c->kind, c->name, c->before)) == 0 &&
        json_set(out, "after", view_or_null(c->kind, c->name, c->after)) == 0)
        return out;
    json_free(out);
    return NULL;
}

struct json *
change_list(const struct changes *c, size_t limit)
{
    struct json *list = json_new_list();
    for (size_t i = 0; list && i < c->count && i < limit; i++)
        if (json_append(list, one_change(&c->at[i])) != 0) {
            json_free(list);
            return NULL;
        }
    return list;
}

int
change_detail(struct json *detail, const struct changes *c, int64_t revision)
{
    int err = json_set_int(detail, "revision", revision);
    if (!err)
        err = json_set_int(detail, "count", (int64_t)c->count);
    return err ? err : json_set(detail, "changes", change_list(c, LIMIT_AUDITED_CHANGES));
}

struct json *
change_view(const struct kind *kind, const struct item *item)
{
    struct json *view = item_view(kind, item->name, item->body, true);
    if (view && json_set_str(view, "id", item->id) == 0 &&
        json_set_int(view, "revision", item->revision) == 0 &&
        json_set_str(view, "created_at", item->created_at) == 0 &&
        json_set_str(view, "updated_at", item->updated_at) == 0)
        return view;
    json_free(view);
    return NULL;
}
