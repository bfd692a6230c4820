/*
 * The configuration as one document: export it, apply it, describe it.
 *
 * apply owns the lists that the document names and leaves the others alone; items that a named list
 * does not contain are deleted only with `prune`. Everything is one revision in one transaction, or
 * nothing.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/applied.h"
#include "controlplane/api/handlers.h"
#include "controlplane/plane.h"
#include "controlplane/rules/fields.h"
#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/secret.h"

struct apply {
    struct api_request *r;
    struct api_reply *reply;
    bool prune;
    struct changes changes;
    struct json *keys;     /* [{"name","id","key"}] */
    struct json *warnings; /* texts */
};

/* ---- export ---------------------------------------------------------------------------------- */

static int
export_kind(struct api_request *r, const struct kind *kind, int64_t revision, struct json *document)
{
    struct items list = {0};
    int err = revision < 0 ? items_load(r->db, kind, NULL, &list)
                           : items_load_at(r->db, kind, revision, &list);
    if (err || list.count == 0) { /* an empty list would say that the document owns it */
        items_free(&list);
        return err;
    }
    struct json *out = json_new_list();
    for (size_t i = 0; i < list.count && !err; i++)
        err = json_append(out, item_view(kind, list.at[i].name, list.at[i].body, false));
    items_free(&list);
    if (!err)
        return json_set(document, kind->plural, out);
    json_free(out);
    return err;
}

static int
export_all(struct api_request *r, struct api_reply *reply)
{
    struct slice text = api_query(r, "revision");
    unsigned long long asked = 0;
    int64_t current;
    int err = revision_current(r->db, &current);
    if (err)
        return api_fail(r, reply, err);
    if (text.at && slice_to_u64(text, &asked) != 0)
        return api_problem(reply, 400, "invalid_parameter", "revision: must be a number");
    if (text.at && asked > (unsigned long long)current)
        return api_problem(reply, 404, "not_found", "there is no revision %llu; the last is %lld",
                           asked, (long long)current);
    reply->body = json_new_map();
    if (!reply->body)
        err = ERR_NOMEM;
    for (size_t i = 0; i < KIND_COUNT && !err; i++)
        err = export_kind(r, &kinds[i], text.at ? (int64_t)asked : -1, reply->body);
    if (err)
        return api_fail(r, reply, err);
    snprintf(reply->etag, sizeof(reply->etag), "%lld",
             text.at ? (long long)asked : (long long)current);
    return 0;
}

/* All lists as of one moment, and the revision that belongs to them. */
int
config_export(struct api_request *r, struct api_reply *reply)
{
    int err = db_begin(r->db);
    if (!err)
        err = db_query(r->db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", NULL, 0,
                       NULL);
    err = err ? api_fail(r, reply, err) : export_all(r, reply);
    db_rollback(r->db);
    return err;
}

int
config_schema(struct api_request *r, struct api_reply *reply)
{
    reply->body = json_schema(&document_table, field_pattern);
    return reply->body ? 0 : api_fail(r, reply, ERR_NOMEM);
}

/* ---- apply ----------------------------------------------------------------------------------- */

static int warn(struct apply *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int
warn(struct apply *a, const char *format, ...)
{
    struct buf text;
    va_list args;
    buf_init(&text, 4096);
    va_start(args, format);
    int err = buf_vaddf(&text, format, args);
    va_end(args);
    if (!err)
        err = json_append(a->warnings, json_new_text(buf_slice(&text)));
    buf_free(&text);
    return err;
}

/* What is allowed but probably not meant. */
static int
warn_about(struct apply *a, const struct change *c)
{
    int64_t expires;
    struct slice text = json_str(json_get(c->after, "expires"));
    if (c->kind->id == KIND_KEYS && text.at && clock_parse_rfc3339(text.at, &expires) == 0 &&
        expires <= clock_wall_ms())
        return warn(a, "%s.expires: the key '%s' has expired already", c->path, c->name);
    if (c->kind->id == KIND_MODELS && json_get(c->after, "fallbacks"))
        return warn(a,
                    "%s.fallbacks: kept, but this version does not fall back to other models yet",
                    c->path);
    return 0;
}

static int
add_key(struct apply *a, const struct change *c, struct minted *minted)
{
    struct json *key = minted->text[0] ? json_new_map() : NULL;
    int err = 0;
    if (!minted->text[0])
        return 0;
    if (!key)
        return ERR_NOMEM;
    err = json_set_str(key, "name", c->name);
    if (!err)
        err = json_set_str(key, "id", c->id);
    if (!err)
        err = json_set_str(key, "key", minted->text);
    if (err) {
        json_free(key);
        return err;
    }
    return json_append(a->keys, key);
}

static int
add_change(struct apply *a, const struct kind *kind, const char *name, const struct item *stored,
           struct json *after, const char *path, struct minted *minted)
{
    struct change *c = changes_put(&a->changes, kind, name, stored, after);
    if (!c)
        return ERR_NOMEM;
    snprintf(c->path, sizeof(c->path), "%s", path);
    int err = minted ? add_key(a, c, minted) : 0;
    return err || !after ? err : warn_about(a, c);
}

static int
apply_item(struct apply *a, const struct kind *kind, const char *name, const struct json *input,
           const struct items *list, const char *path)
{
    const struct item *stored = items_get(list, slice_of(name));
    struct minted minted;
    struct json *body = NULL;
    const struct change_input in = {kind, name, input, stored ? stored->body : NULL, path};
    int err = change_body(a->r, a->reply, &in, &body, &minted);
    if (err)
        return err;
    if (stored && json_equal(stored->body, body)) {
        json_free(body);
        return 0;
    }
    err = add_change(a, kind, name, stored, body, path, &minted);
    secret_wipe(&minted, sizeof(minted));
    return err ? api_fail(a->r, a->reply, err) : 0;
}

static int
check_item(struct apply *a, const struct kind *kind, const struct json *input, const char *path)
{
    struct buf why;
    buf_init(&why, 8192);
    int err = item_check(kind, input, path, &why);
    if (err)
        err = err == ERR_SYNTAX ? api_problem_at(a->reply, 400, "invalid_field", &why)
                                : api_fail(a->r, a->reply, err);
    buf_free(&why);
    return err;
}

static int
refuse_duplicate(struct apply *a, const struct kind *kind, const char *path, struct slice name,
                 size_t first)
{
    struct buf why;
    buf_init(&why, 2048);
    int err = buf_addf(&why, "%s.name: '%.*s' is also at %s[%zu]", path, SLICE_ARG(name),
                       kind->plural, first);
    err =
        err ? api_fail(a->r, a->reply, err) : api_problem_at(a->reply, 400, "duplicate_name", &why);
    buf_free(&why);
    return err;
}

/* Names the list's items, each once. seen: from a name to its position + 1. */
static int
collect_names(struct apply *a, const struct kind *kind, const struct json *inputs,
              struct json *names, struct map *seen)
{
    char path[64];
    struct buf name;
    int err = 0;
    buf_init(&name, 1024);
    for (size_t i = 0; i < json_size(inputs) && !err; i++) {
        snprintf(path, sizeof(path), "%s[%zu]", kind->plural, i);
        buf_clear(&name);
        err = check_item(a, kind, json_at(inputs, i), path);
        if (err)
            break;
        err = item_name(kind, json_at(inputs, i), &name);
        if (!err)
            err = json_append(names, json_new_text(buf_slice(&name)));
        if (err) {
            err = api_fail(a->r, a->reply, err);
            break;
        }
        struct slice kept = json_str(json_at(names, i));
        size_t first = (size_t)(uintptr_t)map_find(seen, kept);
        if (first > 0)
            err = refuse_duplicate(a, kind, path, kept, first - 1);
        else if (map_put(seen, kept, (void *)(i + 1)) != 0)
            err = api_fail(a->r, a->reply, ERR_NOMEM);
    }
    buf_free(&name);
    return err;
}

static int
prune_kind(struct apply *a, const struct kind *kind, const struct items *list,
           const struct map *seen)
{
    int err = 0;
    for (size_t i = 0; i < list->count && !err; i++)
        if (!map_find(seen, slice_of(list->at[i].name)))
            err = add_change(a, kind, list->at[i].name, &list->at[i], NULL, kind->plural, NULL);
    return err ? api_fail(a->r, a->reply, err) : 0;
}

static int
apply_kind(struct apply *a, const struct kind *kind, const struct json *inputs)
{
    char path[64];
    struct map seen;
    struct items list = {0};
    struct json *names = json_new_list();
    map_init(&seen);
    int err =
        names ? collect_names(a, kind, inputs, names, &seen) : api_fail(a->r, a->reply, ERR_NOMEM);
    if (!err && (err = items_load(a->r->db, kind, a->prune ? NULL : names, &list)) != 0)
        err = api_fail(a->r, a->reply, err);
    for (size_t i = 0; i < json_size(inputs) && !err; i++) {
        snprintf(path, sizeof(path), "%s[%zu]", kind->plural, i);
        err = apply_item(a, kind, json_str(json_at(names, i)).at, json_at(inputs, i), &list, path);
    }
    if (!err && a->prune)
        err = prune_kind(a, kind, &list, &seen);
    items_free(&list);
    map_free(&seen);
    json_free(names);
    return err;
}

/* If-Match on an apply: the revision that it was written against. */
static int
check_base(struct apply *a)
{
    char want[32];
    int64_t current;
    struct slice given = slice_trim(a->r->if_match);
    if (!given.at || slice_is(given, "*"))
        return 0;
    int err = revision_current(a->r->db, &current);
    if (err)
        return api_fail(a->r, a->reply, err);
    snprintf(want, sizeof(want), "\"%lld\"", (long long)current);
    if (slice_is(given, want) || slice_eq(given, slice_make(want + 1, strlen(want) - 2)))
        return 0;
    return api_problem(a->reply, 412, "stale", "revision %lld is in force now: read it again",
                       (long long)current);
}

static int
apply_document(struct apply *a, struct json *document)
{
    int err = check_base(a);
    for (size_t i = 0; i < KIND_COUNT && !err; i++) {
        const struct json *inputs = json_get(document, kinds[i].plural);
        if (inputs)
            err = apply_kind(a, &kinds[i], inputs);
    }
    if (err)
        return err;
    struct applied outcome = {.changes = &a->changes,
                              .keys = a->keys,
                              .warnings = a->warnings,
                              .dry_run = json_is_true(json_get(a->r->body, "dry_run")),
                              .source = "apply",
                              .rollback_of = -1};
    return applied_finish(a->r, a->reply, &outcome);
}

int
config_apply(struct api_request *r, struct api_reply *reply)
{
    struct apply a = {.r = r, .reply = reply, .prune = json_is_true(json_get(r->body, "prune"))};
    a.keys = json_new_list();
    a.warnings = json_new_list();
    int err = a.keys && a.warnings ? apply_document(&a, json_get(r->body, "document"))
                                   : api_fail(r, reply, ERR_NOMEM);
    changes_free(&a.changes);
    json_free(a.keys);
    json_free(a.warnings);
    return err;
}
