/*
 * Create, read, replace, change, delete: the same code for every kind of configuration item. The
 * kind is the path's third segment ("/api/v1/teams/...").
 */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/limits.h"
#include "controlplane/api/resources.h"
#include "lib/base/secret.h"

static const struct kind *
kind_of(const struct api_request *r)
{
    struct slice rest = r->path;
    for (int i = 0; i < 3; i++)
        (void)slice_cut(&rest, '/');
    return kind_find(slice_cut(&rest, '/'));
}

void
resource_object(struct api_reply *reply, const struct kind *kind, const char *name)
{
    snprintf(reply->audit_object, sizeof(reply->audit_object), "%s/%s", kind->plural, name);
}

/* Shows an item and its ETag; takes nothing. */
static int
reply_item(struct api_request *r, struct api_reply *reply, const struct kind *kind,
           const struct item *item)
{
    struct json *views = json_new_list();
    int err = views ? json_append(views, change_view(kind, item)) : ERR_NOMEM;
    if (!err && kind->id == KIND_KEYS)
        err = keys_add_last_used(r->db, views);
    if (!err)
        reply->body = json_ref(json_at(views, 0));
    json_free(views);
    if (err)
        return api_fail(r, reply, err);
    snprintf(reply->etag, sizeof(reply->etag), "%lld", (long long)item->revision);
    return 0;
}

int
resource_reach(struct api_request *r, const struct kind *kind, const struct item *item)
{
    char read[PERMISSION_TEXT_BYTES];
    int err = authority_over(r, r->route->permission, kind, item->name, item->body);
    if (err != ERR_DENIED)
        return err;
    snprintf(read, sizeof(read), "%s.read", kind->plural);
    err = authority_over(r, read, kind, item->name, item->body);
    return err == ERR_DENIED ? ERR_NOT_FOUND : err ? err : ERR_DENIED;
}

int
resource_find(struct api_request *r, struct api_reply *reply, const struct kind *kind,
              struct item *ret_item)
{
    struct slice name = r->params[0];
    int err = items_find(r->db, kind, name, ret_item);
    r->asked = true;
    if (!err)
        err = resource_reach(r, kind, ret_item);
    if (err == ERR_DENIED)
        return api_problem(reply, 403, "forbidden", "no permission %s for %s '%s'",
                           r->route->permission, kind->noun, ret_item->name);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no %s '%.*s'", kind->noun,
                           (int)(name.len < 200 ? name.len : 200), name.at);
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

int
resources_list(struct api_request *r, struct api_reply *reply)
{
    const struct kind *kind = kind_of(r);
    struct items list = {0};
    int64_t limit;
    const char *after;
    struct item_filter filter;
    int err = api_page(r, reply, &limit, &after);
    if (!err)
        err = authority_filter(r, reply, r->route->permission, &filter);
    if (err)
        return err;
    /* One more than asked tells whether there is a next page. */
    err = items_page(r->db, kind, after, api_query(r, "team"), &filter, limit + 1, &list);
    if (err)
        return api_fail(r, reply, err);
    bool more = list.count > (size_t)limit;
    size_t n = more ? (size_t)limit : list.count;
    struct json *data = json_new_list();
    for (size_t i = 0; i < n && !err; i++)
        err = json_append(data, change_view(kind, &list.at[i]));
    if (!err && kind->id == KIND_KEYS)
        err = keys_add_last_used(r->db, data);
    if (!err)
        err = limits_add_status(r, kind, data);
    if (err) {
        json_free(data);
        err = api_fail(r, reply, err);
    } else {
        err = api_page_reply(r, reply, data, more ? list.at[n - 1].name : NULL);
    }
    items_free(&list);
    return err;
}

/* How a limit stands, beside its rules. */
static int
add_status(struct api_request *r, struct api_reply *reply, const struct kind *kind)
{
    struct json *one = json_new_list();
    int err = one ? json_append(one, json_ref(reply->body)) : ERR_NOMEM;
    if (!err)
        err = limits_add_status(r, kind, one);
    json_free(one);
    return err ? api_fail(r, reply, err) : 0;
}

int
resources_get(struct api_request *r, struct api_reply *reply)
{
    const struct kind *kind = kind_of(r);
    struct item item;
    int err = resource_find(r, reply, kind, &item);
    if (!err)
        err = reply_item(r, reply, kind, &item);
    if (!err)
        err = add_status(r, reply, kind);
    item_free(&item);
    return err;
}

/* ---- writing --------------------------------------------------------------------------------- */

int
resource_write(struct api_request *r, struct api_reply *reply, const struct kind *kind,
               const char *name, const struct item *stored, struct json *after,
               const char *permission)
{
    struct changes c = {0};
    struct change *one = changes_put(&c, kind, name, stored, after);
    if (one)
        one->permission = permission;
    int err = one ? change_commit(r, reply, &c) : api_fail(r, reply, ERR_NOMEM);
    resource_object(reply, kind, name);
    changes_free(&c);
    return err;
}

int
resource_show(struct api_request *r, struct api_reply *reply, const struct kind *kind,
              const char *name)
{
    struct item item;
    int err = items_find(r->db, kind, slice_of(name), &item);
    err = err ? api_fail(r, reply, err) : reply_item(r, reply, kind, &item);
    item_free(&item);
    return err;
}

int
resource_check(struct api_request *r, struct api_reply *reply, const struct kind *kind,
               const struct json *input)
{
    struct buf why;
    buf_init(&why, 8192);
    int err = item_check(kind, input, "", &why);
    if (err)
        err = err == ERR_SYNTAX ? api_problem_at(reply, 400, "invalid_field", &why)
                                : api_fail(r, reply, err);
    buf_free(&why);
    return err;
}

static int
create(struct api_request *r, struct api_reply *reply, const struct kind *kind, const char *name)
{
    struct item present;
    struct minted minted;
    struct json *body = NULL;
    int err = authority_over(r, r->route->permission, kind, name, r->body);
    if (err == ERR_DENIED)
        return api_problem(reply, 403, "forbidden", "no permission %s for a %s there",
                           r->route->permission, kind->noun);
    if (err)
        return api_fail(r, reply, err);
    err = items_find(r->db, kind, slice_of(name), &present);
    if (err != ERR_NOT_FOUND) {
        item_free(&present);
        return err ? api_fail(r, reply, err)
                   : api_problem(reply, 409, "exists", "there is a %s '%s' already", kind->noun,
                                 name);
    }
    const struct change_input in = {kind, name, r->body, NULL, ""};
    err = change_body(r, reply, &in, &body, &minted);
    if (!err)
        err = resource_write(r, reply, kind, name, NULL, body, NULL);
    if (!err)
        err = resource_show(r, reply, kind, name);
    if (!err && minted.text[0] && json_set_str(reply->body, "key", minted.text) != 0)
        err = api_fail(r, reply, ERR_NOMEM);
    if (!err) {
        struct slice id = json_str(json_get(reply->body, "id"));
        reply->status = 201;
        snprintf(reply->location, sizeof(reply->location), "/api/v1/%s/%.*s", kind->plural,
                 SLICE_ARG(id));
    }
    secret_wipe(&minted, sizeof(minted));
    return err;
}

int
resources_create(struct api_request *r, struct api_reply *reply)
{
    const struct kind *kind = kind_of(r);
    struct buf name;
    int err = resource_check(r, reply, kind, r->body);
    if (err)
        return err;
    buf_init(&name, 1024);
    err = item_name(kind, r->body, &name);
    const char *text = err ? NULL : buf_str(&name);
    err = text ? create(r, reply, kind, text) : api_fail(r, reply, ERR_NOMEM);
    buf_free(&name);
    return err;
}

/* A strong ETag of ours, or "*". */
int
resource_match(struct api_request *r, struct api_reply *reply, const struct item *item)
{
    char want[32];
    struct slice given = slice_trim(r->if_match);
    snprintf(want, sizeof(want), "\"%lld\"", (long long)item->revision);
    if (!r->if_match.at || slice_is(given, "*") || slice_is(given, want) ||
        slice_eq(given, slice_make(want + 1, strlen(want) - 2)))
        return 0;
    snprintf(reply->etag, sizeof(reply->etag), "%lld", (long long)item->revision);
    return api_problem(reply, 412, "stale", "'%s' is at revision %lld now: read it again",
                       item->name, (long long)item->revision);
}

static int
check_match(struct api_request *r, struct api_reply *reply, const struct item *item)
{
    if (!r->if_match.at)
        return api_problem(reply, 428, "if_match_required",
                           "send If-Match with the ETag that your change is based on, or *");
    return resource_match(r, reply, item);
}

/* Puts `input` in the place of a stored item. */
static int
replace(struct api_request *r, struct api_reply *reply, const struct kind *kind,
        const struct item *stored, const struct json *input)
{
    struct slice name = json_str(json_get(input, "name"));
    struct minted minted;
    struct json *body = NULL;
    int err = resource_check(r, reply, kind, input);
    if (err)
        return err;
    if (name.at && !slice_is(name, stored->name))
        return api_problem(reply, 400, "name_is_identity",
                           "name: a name cannot be changed; create another item");
    const struct change_input in = {kind, stored->name, input, stored->body, ""};
    err = change_body(r, reply, &in, &body, &minted);
    if (err)
        return err;
    if (json_equal(body, stored->body)) { /* nothing to change makes no revision */
        json_free(body);
        reply->unchanged = true;
    } else {
        err = resource_write(r, reply, kind, stored->name, stored, body, NULL);
    }
    return err ? err : resource_show(r, reply, kind, stored->name);
}

int
resources_replace(struct api_request *r, struct api_reply *reply)
{
    const struct kind *kind = kind_of(r);
    struct item stored;
    int err = resource_find(r, reply, kind, &stored);
    if (!err)
        err = check_match(r, reply, &stored);
    if (!err)
        err = replace(r, reply, kind, &stored, r->body);
    item_free(&stored);
    return err;
}

int
resources_patch(struct api_request *r, struct api_reply *reply)
{
    const struct kind *kind = kind_of(r);
    struct item stored;
    struct json *view = NULL, *merged = NULL;
    int err = resource_find(r, reply, kind, &stored);
    if (!err)
        err = check_match(r, reply, &stored);
    if (!err) {
        view = item_view(kind, stored.name, stored.body, false);
        merged = view ? item_merge(view, r->body) : NULL;
        err = merged ? replace(r, reply, kind, &stored, merged) : api_fail(r, reply, ERR_NOMEM);
    }
    json_free(view);
    json_free(merged);
    item_free(&stored);
    return err;
}

int
resources_delete(struct api_request *r, struct api_reply *reply)
{
    const struct kind *kind = kind_of(r);
    struct item stored;
    int err = resource_find(r, reply, kind, &stored);
    if (!err)
        err = check_match(r, reply, &stored);
    if (!err)
        err = resource_write(r, reply, kind, stored.name, &stored, NULL, NULL);
    if (!err)
        reply->status = 204;
    item_free(&stored);
    return err;
}
