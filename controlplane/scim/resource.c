/* See resource.h. */
#include "controlplane/scim/resource.h"

#include <stdio.h>

#include "controlplane/rules/kinds.h"

#define LIMIT_TITLE_BYTES 100 /* of a title that becomes a name: room for an ending is left */

/* Attributes that are members of `scim` by another name, but for the title and emails. */
struct kept {
    const char *part; /* of `name`; or NULL */
    const char *attribute, *member;
};
static const struct kept kept_of_user[] = {{NULL, "externalId", "external_id"},
                                           {NULL, "displayName", "display_name"},
                                           {"name", "formatted", "formatted"},
                                           {"name", "givenName", "given_name"},
                                           {"name", "familyName", "family_name"}};
static const struct kept kept_of_group[] = {{NULL, "externalId", "external_id"}};

static bool
is_user(const struct scim_schema *s)
{
    return s == &scim_users;
}

static const struct kept *
kept_of(const struct scim_schema *s, size_t *ret_count)
{
    *ret_count = is_user(s) ? sizeof(kept_of_user) / sizeof(kept_of_user[0]) : 1;
    return is_user(s) ? kept_of_user : kept_of_group;
}

static struct json *
done(struct json *out, int err)
{
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

struct slice
scim_title(const struct item *i)
{
    const struct json *scim = json_get(i->body, "scim");
    struct slice title = json_str(json_get(scim, "title"));
    return title.at ? title : slice_of(i->name);
}

bool
scim_is_provisioned(const struct json *body)
{
    return json_is_true(json_get(body, "provisioned"));
}

/* ---- as it is seen ------------------------------------------------------------------------------
 */

static int
show_kept(const struct scim_schema *s, const struct json *scim, struct json *out)
{
    size_t count;
    const struct kept *kept = kept_of(s, &count);
    struct json *parts = json_new_map();
    int err = parts ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < count && !err; i++) {
        const struct json *v = json_get(scim, kept[i].member);
        if (v)
            err = json_set(kept[i].part ? parts : out, kept[i].attribute, json_copy(v));
    }
    if (!err && json_size(parts) > 0)
        err = json_set(out, "name", json_ref(parts));
    json_free(parts);
    return err;
}

static int
show_meta(const struct scim_schema *s, const struct item *i, struct json *out)
{
    char text[128];
    struct json *meta = json_new_map();
    int err = meta ? json_set(out, "meta", meta) : ERR_NOMEM;
    if (!err)
        err = json_set_str(meta, "resourceType", s->name);
    if (!err)
        err = json_set_str(meta, "created", i->created_at);
    if (!err)
        err = json_set_str(meta, "lastModified", i->updated_at);
    snprintf(text, sizeof(text), SCIM_BASE "%s/%s", s->endpoint, i->id);
    if (!err)
        err = json_set_str(meta, "location", text);
    snprintf(text, sizeof(text), "\"%lld\"", (long long)i->revision);
    return err ? err : json_set_str(meta, "version", text);
}

struct json *
scim_view(const struct scim_schema *s, const struct item *i)
{
    const struct json *scim = json_get(i->body, "scim"), *emails = json_get(scim, "emails");
    struct json *out = json_new_map(), *urns = json_new_list();
    int err = out && urns ? json_append(urns, json_new_text(slice_of(s->urn))) : ERR_NOMEM;
    if (!err)
        err = json_set(out, "schemas", json_ref(urns));
    json_free(urns);
    if (!err)
        err = json_set_str(out, "id", i->id);
    if (!err)
        err = json_set_text(out, is_user(s) ? "userName" : "displayName", scim_title(i));
    if (!err)
        err = show_kept(s, scim, out);
    if (!err && is_user(s))
        err = json_set_bool(out, "active", !json_is_true(json_get(i->body, "disabled")));
    if (!err && json_size(emails) > 0)
        err = json_set(out, "emails", json_copy(emails));
    if (!err)
        err = show_meta(s, i, out);
    return done(out, err);
}

struct json *
scim_link(const struct scim_schema *s, const char *id, struct slice title, const char *type)
{
    char ref[128];
    struct json *out = json_new_map();
    snprintf(ref, sizeof(ref), SCIM_BASE "%s/%s", s->endpoint, id);
    int err = out ? json_set_str(out, "value", id) : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "$ref", ref);
    if (!err && title.at)
        err = json_set_text(out, "display", title);
    if (!err)
        err = json_set_str(out, "type", type);
    return done(out, err);
}

/* ---- as it is kept ------------------------------------------------------------------------------
 */

static int
keep_all(const struct scim_schema *s, const struct json *resource, const char *name,
         struct json *scim)
{
    size_t count;
    const struct kept *kept = kept_of(s, &count);
    struct slice title = json_str(json_get(resource, is_user(s) ? "userName" : "displayName"));
    int err = slice_is(title, name) ? 0 : json_set_text(scim, "title", title);
    for (size_t i = 0; i < count && !err; i++) {
        const struct json *in = kept[i].part ? json_get(resource, kept[i].part) : resource;
        struct slice v = json_str(json_get(in, kept[i].attribute));
        if (v.len > 0)
            err = json_set_text(scim, kept[i].member, v);
    }
    const struct json *emails = json_get(resource, "emails");
    return err || json_size(emails) == 0 ? err : json_set(scim, "emails", json_copy(emails));
}

static int
keep_stored(const struct json *stored, const char *member, struct json *out)
{
    const struct json *v = json_get(stored, member);
    return v ? json_set(out, member, json_copy(v)) : 0;
}

struct json *
scim_input(const struct scim_schema *s, const struct json *resource, const char *name,
           const struct json *stored)
{
    const struct json *active = json_get(resource, "active");
    struct json *out = json_new_map(), *scim = json_new_map();
    int err = out && scim ? json_set_str(out, "name", name) : ERR_NOMEM;
    if (!err && is_user(s))
        err = keep_stored(stored, "teams", out);
    /* What a PUT does not say of a disabled user does not enable it. */
    if (!err && is_user(s))
        err = active ? json_set_bool(out, "disabled", !json_is_true(active))
                     : keep_stored(stored, "disabled", out);
    if (!err)
        err = json_set_bool(out, "provisioned", true);
    if (!err)
        err = keep_all(s, resource, name, scim);
    if (!err)
        err = json_set(out, "scim", json_ref(scim));
    json_free(scim);
    return done(out, err);
}

static bool
in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '@' || c == '+';
}

int
scim_item_name(const struct scim_schema *s, struct slice title, struct buf *into)
{
    const char *why;
    size_t start = into->len;
    int err = 0;
    for (size_t i = 0; i < title.len && into->len - start < LIMIT_TITLE_BYTES && !err; i++) {
        bool first = into->len == start;
        char last = first ? '-' : into->at[into->len - 1];
        if (in_name(title.at[i]) && (!first || !strchr("._@+", title.at[i])))
            err = buf_add(into, &title.at[i], 1);
        else if (title.at[i] == '-' || last != '-')
            err = first ? 0 : buf_add(into, "-", 1);
    }
    if (!err && into->len == start)
        err = buf_add_str(into, s->endpoint[1] == 'U' ? "user" : "group");
    if (err)
        return err;
    /* A title like an id is no name: ids would find it. */
    if (kind_name_ok(kind_at(is_user(s) ? KIND_USERS : KIND_GROUPS),
                     slice_from(buf_slice(into), start), &why))
        return 0;
    return buf_add_str(into, is_user(s) ? "-user" : "-group");
}

/* ---- which attributes ---------------------------------------------------------------------------
 */

/* How an attribute is named: 0 not, 1 whole, 2 some of its parts. */
static int
is_named(const struct scim_schema *s, const struct scim_attribute *a, const struct json *attributes,
         const struct scim_attribute *sub)
{
    int found = 0;
    for (size_t i = 0; i < json_size(attributes); i++) {
        struct slice rest = scim_without_urn(s, slice_trim(json_str(json_at(attributes, i))));
        struct slice name = slice_cut(&rest, '.');
        if (!slice_eq_nocase(name, slice_of(a->name)))
            continue;
        if (!rest.at || (sub && slice_eq_nocase(rest, slice_of(sub->name))))
            return 1;
        found = 2;
    }
    return found;
}

static struct json *
select_parts(const struct scim_schema *s, const struct scim_attribute *a, const struct json *v,
             const struct json *attributes, bool exclude)
{
    struct json *out = json_kind(v) == JSON_LIST ? json_new_list() : json_new_map();
    int err = out ? 0 : ERR_NOMEM;
    for (size_t i = 0; json_kind(v) == JSON_LIST && i < json_size(v) && !err; i++)
        err = json_append(out, select_parts(s, a, json_at(v, i), attributes, exclude));
    for (size_t i = 0; json_kind(v) == JSON_MAP && i < a->sub_count && !err; i++) {
        const struct json *part = json_get(v, a->sub[i].name);
        bool named = is_named(s, a, attributes, &a->sub[i]) == 1;
        if (part && named != exclude)
            err = json_set(out, a->sub[i].name, json_copy(part));
    }
    return done(out, err);
}

struct json *
scim_select(const struct scim_schema *s, const struct json *resource, const struct json *attributes,
            bool exclude)
{
    struct json *out = json_new_map();
    int err = out ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < s->count && !err; i++) {
        const struct scim_attribute *a = &s->at[i];
        const struct json *v = json_get(resource, a->name);
        int named = is_named(s, a, attributes, NULL);
        if (!v)
            continue;
        if (a->always || (named == 1 && !exclude) || (named == 0 && exclude))
            err = json_set(out, a->name, json_copy(v));
        else if (named == 2)
            err = json_set(out, a->name, select_parts(s, a, v, attributes, exclude));
    }
    return done(out, err);
}
