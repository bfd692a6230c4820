/*
 * See scim.h: what SCIM changes (RFC 7644, 3.3, 3.5, 3.6). Each call is one revision, through
 * change_write() as every other; it takes AUTHORITY_TO_PROVISION, and only what is provisioned can
 * be changed (docs/decisions/0024).
 */
#include "controlplane/api/scim.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/resources.h"
#include "controlplane/scim/patch.h"
#include "lib/base/rand.h"

static int
refused(struct api_request *r, struct api_reply *reply, int err, struct scim_refusal *no)
{
    const char *why = err == ERR_SYNTAX ? buf_str(&no->why) : NULL;
    return why ? api_problem(reply, 400, no->code, "%s", why) : api_fail(r, reply, err);
}

static struct slice
title_of(const struct scim_schema *s, const struct json *resource)
{
    return json_str(json_get(resource, s == &scim_users ? "userName" : "displayName"));
}

/* Titles tell resources apart, in any case: but: the id of who may have it. */
static int
check_title(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
            struct slice title, const char *but)
{
    struct items list;
    int err = items_lookup(r->db, scim_kind(s), LOOKUP_TITLE, title, "", 2, &list);
    if (err)
        return api_fail(r, reply, err);
    for (size_t i = 0; i < list.count && !err; i++)
        if (strcmp(list.at[i].id, but) != 0)
            err = api_problem(reply, 409, "exists", "there is a %s '%.*s' already", s->name,
                              SLICE_ARG(title));
    items_free(&list);
    return err;
}

/* ---- members ------------------------------------------------------------------------------------
 */

static int
collect_ids(struct api_reply *reply, const struct json *members, struct json *ids)
{
    unsigned char id[16];
    for (size_t i = 0; i < json_size(members); i++) {
        struct slice value = json_str(json_get(json_at(members, i), "value"));
        if (uuid_parse(value.at, value.len, id) != 0)
            return api_problem(reply, 400, "invalid_value",
                               "members[%zu].value: must be the id of a user or group", i);
        if (json_append(ids, json_new_text(value)) != 0)
            return api_problem(reply, 503, "unavailable", "no memory left: try again");
    }
    return 0;
}

/* PostgreSQL writes ids in small letters; who sends them may not. */
static int
missing_member(struct api_reply *reply, const struct json *ids, const struct db_rows *rows)
{
    for (size_t i = 0; i < json_size(ids); i++) {
        bool found = false;
        for (size_t k = 0; k < db_count(rows) && !found; k++)
            found = slice_eq_nocase(db_slice(rows, k, 0), json_str(json_at(ids, i)));
        if (!found)
            return api_problem(reply, 400, "invalid_value",
                               "members[%zu].value: there is no user or group of this id", i);
    }
    return 0;
}

static int
compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The names of one column where another says `kind`, and more names, sorted: the order in which
 * members come says nothing, so it makes no difference. */
static int
set_names(struct json *input, const char *member, const struct db_rows *rows,
          const struct db_rows *more)
{
    size_t n = 0, room = db_count(rows) + db_count(more) + 1;
    const char **names = calloc(room, sizeof(*names));
    struct json *list = json_new_list();
    int err = names && list ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        if (slice_is(db_slice(rows, i, 1), member))
            names[n++] = db_text(rows, i, 2);
    for (size_t i = 0; more && i < db_count(more) && !err; i++)
        names[n++] = db_text(more, i, 0);
    if (!err)
        qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 0; i < n && !err; i++)
        err = json_append(list, json_new_text(slice_of(names[i])));
    if (!err && n > 0)
        err = json_set(input, member, json_ref(list));
    json_free(list);
    free(names);
    return err;
}

/* The names of who is meant; service accounts that an administrator put into the group stay. */
static int
add_members(struct api_request *r, struct api_reply *reply, const struct json *resource,
            const struct json *stored, struct json *input)
{
    struct db_rows *rows = NULL, *services = NULL;
    struct json *ids = json_new_list(), *users = json_get(stored, "users");
    int err = ids ? collect_ids(reply, json_get(resource, "members"), ids)
                  : api_fail(r, reply, ERR_NOMEM);
    int bad = err ? 0 : items_of_ids(r->db, ids, &rows);
    if (!err && !bad && json_size(users) > 0)
        bad = items_services(r->db, users, &services);
    if (!err && !bad)
        err = missing_member(reply, ids, rows);
    if (!err && !bad)
        bad = set_names(input, "users", rows, services);
    if (!err && !bad)
        bad = set_names(input, "groups", rows, NULL);
    db_rows_free(rows);
    db_rows_free(services);
    json_free(ids);
    return bad ? api_fail(r, reply, bad) : err;
}

/* ---- a resource becomes an item -----------------------------------------------------------------
 */

/* The body to store. stored: NULL when it is new. 0 or a problem. */
static int
make_body(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
          const struct json *resource, const char *name, const struct item *stored,
          struct json **ret_body)
{
    const struct json *before = stored ? stored->body : NULL;
    const struct kind *kind = scim_kind(s);
    struct minted minted;
    struct json *input = scim_input(s, resource, name, before);
    int err = input ? 0 : api_fail(r, reply, ERR_NOMEM);
    if (!err && s == &scim_groups)
        err = add_members(r, reply, resource, before, input);
    if (!err)
        err = resource_check(r, reply, kind, input);
    const struct change_input in = {kind, name, input, before, ""};
    if (!err)
        err = change_body(r, reply, &in, ret_body, &minted);
    json_free(input);
    return err;
}

static int
show_stored(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
            const char *name)
{
    struct item item;
    int err = items_find(r->db, scim_kind(s), slice_of(name), &item);
    err = err ? api_fail(r, reply, err) : scim_show(r, reply, s, &item);
    item_free(&item);
    return err;
}

/* ---- creating -----------------------------------------------------------------------------------
 */

/* The title as a name; where that is taken, by a service account or somebody who was renamed, with
 * an ending. */
static int
choose_name(struct api_request *r, const struct scim_schema *s, struct slice title,
            struct buf *name)
{
    unsigned char id[16];
    char text[37];
    struct item present;
    int err = scim_item_name(s, title, name);
    if (err)
        return err;
    err = items_find(r->db, scim_kind(s), buf_slice(name), &present);
    item_free(&present);
    if (err)
        return err == ERR_NOT_FOUND ? 0 : err;
    uuid7(id);
    uuid_format(id, text);
    return buf_addf(name, "-%s", text + 24); /* the random end of it */
}

static int
create_named(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
             const struct json *resource, const char *name)
{
    struct json *body = NULL;
    int err = make_body(r, reply, s, resource, name, NULL, &body);
    if (!err)
        err = resource_write(r, reply, scim_kind(s), name, NULL, body, AUTHORITY_TO_PROVISION);
    if (!err)
        err = show_stored(r, reply, s, name);
    if (!err)
        reply->status = 201;
    return err;
}

static int
create(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
       const struct json *resource)
{
    struct buf name;
    buf_init(&name, 1024);
    int err = check_title(r, reply, s, title_of(s, resource), "");
    if (!err) {
        err = choose_name(r, s, title_of(s, resource), &name);
        const char *text = err ? NULL : buf_str(&name);
        err = text ? create_named(r, reply, s, resource, text)
                   : api_fail(r, reply, err ? err : ERR_NOMEM);
    }
    buf_free(&name);
    return err;
}

int
scim_create(struct api_request *r, struct api_reply *reply)
{
    const struct scim_schema *s = scim_schema_of(r);
    struct scim_refusal no = {0};
    struct json *resource = NULL;
    buf_init(&no.why, 2048);
    int err = scim_resource_read(s, r->body, &resource, &no);
    if (!err)
        err = scim_resource_check(s, resource, &no);
    err = err ? refused(r, reply, err, &no) : create(r, reply, s, resource);
    json_free(resource);
    buf_free(&no.why);
    return err;
}

/* ---- changing -----------------------------------------------------------------------------------
 */

/* What was not made by SCIM is not its to change, until somebody says so who may. */
static int
find_provisioned(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
                 struct item *ret_item)
{
    int err = scim_find(r, reply, s, ret_item);
    if (!err)
        err = resource_match(r, reply, ret_item);
    if (!err && !scim_is_provisioned(ret_item->body))
        err = api_problem(reply, 403, "not_provisioned",
                          "%s '%s' was not made by SCIM: an administrator has to set its member "
                          "`provisioned` to true first",
                          scim_kind(s)->noun, ret_item->name);
    return err;
}

static int
replace(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
        const struct item *stored, const struct json *resource)
{
    struct json *body = NULL;
    int err = check_title(r, reply, s, title_of(s, resource), stored->id);
    if (!err)
        err = make_body(r, reply, s, resource, stored->name, stored, &body);
    if (err)
        return err;
    if (json_equal(body, stored->body)) { /* nothing to change makes no revision */
        json_free(body);
        reply->unchanged = true;
    } else {
        err = resource_write(r, reply, scim_kind(s), stored->name, stored, body,
                             AUTHORITY_TO_PROVISION);
    }
    return err ? err : show_stored(r, reply, s, stored->name);
}

int
scim_replace(struct api_request *r, struct api_reply *reply)
{
    const struct scim_schema *s = scim_schema_of(r);
    struct scim_refusal no = {0};
    struct json *resource = NULL;
    struct item stored;
    buf_init(&no.why, 2048);
    int err = find_provisioned(r, reply, s, &stored);
    if (!err) {
        err = scim_resource_read(s, r->body, &resource, &no);
        if (!err)
            err = scim_resource_check(s, resource, &no);
        err = err ? refused(r, reply, err, &no) : replace(r, reply, s, &stored, resource);
    }
    json_free(resource);
    item_free(&stored);
    buf_free(&no.why);
    return err;
}

int
scim_change(struct api_request *r, struct api_reply *reply)
{
    const struct scim_schema *s = scim_schema_of(r);
    struct scim_refusal no = {0};
    struct json *resource = NULL;
    struct item stored;
    buf_init(&no.why, 2048);
    int err = find_provisioned(r, reply, s, &stored);
    if (!err) {
        err = scim_resource(r, s, &stored, &resource);
        if (!err)
            err = scim_patch(s, resource, r->body, &r->arena, &no);
        if (!err)
            err = scim_resource_check(s, resource, &no);
        err = err ? refused(r, reply, err, &no) : replace(r, reply, s, &stored, resource);
    }
    json_free(resource);
    item_free(&stored);
    buf_free(&no.why);
    return err;
}

/* ---- deleting -----------------------------------------------------------------------------------
 */

static struct change *
find_change(struct changes *c, const struct kind *kind, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->at[i].kind == kind && strcmp(c->at[i].name, name) == 0)
            return &c->at[i];
    return NULL;
}

static struct json *
without_name(const struct json *list, const char *name)
{
    struct json *out = json_new_list();
    for (size_t i = 0; out && i < json_size(list); i++) {
        struct slice one = json_str(json_at(list, i));
        if (!slice_is(one, name) && json_append(out, json_new_text(one)) != 0) {
            json_free(out);
            return NULL;
        }
    }
    return out;
}

static int
put(struct changes *c, const struct kind *kind, const struct item *item, struct json *after)
{
    struct change *one = changes_put(c, kind, item->name, item, after);
    if (!one)
        return ERR_NOMEM;
    one->permission = AUTHORITY_TO_PROVISION;
    return 0;
}

static int delete_item(struct api_request *r, struct changes *c, const struct kind *kind,
                       const struct item *item);

/* An item that lists what goes stays without it; but an alert of no budgets would be one of all,
 * and goes with the last. before: the item's body, or what an earlier change makes of it. */
static int
take_off(const struct kind_reference *by, const struct json *before, const char *name,
         struct json **ret_after)
{
    struct json *list = without_name(json_get(before, by->field), name);
    *ret_after = NULL;
    if (list && json_size(list) == 0 && by->to == KIND_BUDGETS) {
        json_free(list);
        return 0;
    }
    *ret_after = json_copy(before);
    if (*ret_after)
        return json_set(*ret_after, by->field, list);
    json_free(list);
    return ERR_NOMEM;
}

static int
release_one(struct api_request *r, struct changes *c, const struct kind *kind,
            const struct kind_reference *by, const struct item *item, const char *name)
{
    struct change *known = find_change(c, kind, item->name);
    struct json *after = NULL;
    if (known && !known->after)
        return 0; /* goes already */
    int err = by->list ? take_off(by, known ? known->after : item->body, name, &after) : 0;
    if (!err && known) {
        json_free(known->after);
        known->after = after;
        return 0;
    }
    if (!err && !after)
        return delete_item(r, c, kind, item);
    if (!err)
        return put(c, kind, item, after);
    json_free(after);
    return err;
}

/* What names the item by one reference: taken off a list, or gone with it. */
static int
release(struct api_request *r, struct changes *c, const struct kind *kind,
        const struct kind_reference *by, const char *name)
{
    struct items list;
    int err = items_referring(r->db, kind, by, name, &list);
    for (size_t i = 0; i < list.count && !err; i++)
        err = release_one(r, c, kind, by, &list.at[i], name);
    items_free(&list);
    return err;
}

/* Deletes an item with what is about it alone: a user's keys, and limits of either. As deep as
 * kinds refer to each other. */
static int
delete_item(struct api_request *r, struct changes *c, const struct kind *kind,
            const struct item *item)
{
    int err = put(c, kind, item, NULL);
    for (size_t k = 0; k < KIND_COUNT && !err; k++)
        for (size_t i = 0; i < kinds[k].reference_count && !err; i++)
            if (kinds[k].references[i].to == kind->id)
                err = release(r, c, &kinds[k], &kinds[k].references[i], item->name);
    return err;
}

int
scim_delete(struct api_request *r, struct api_reply *reply)
{
    const struct scim_schema *s = scim_schema_of(r);
    struct changes c = {0};
    struct item stored;
    int err = find_provisioned(r, reply, s, &stored);
    if (!err) {
        err = delete_item(r, &c, scim_kind(s), &stored);
        err = err ? api_fail(r, reply, err) : change_commit(r, reply, &c);
        resource_object(reply, scim_kind(s), stored.name);
    }
    if (!err)
        reply->status = 204;
    changes_free(&c);
    item_free(&stored);
    return err;
}
