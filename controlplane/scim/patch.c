/* See patch.h. */
#include "controlplane/scim/patch.h"

#include <stdarg.h>
#include <string.h>

#include "controlplane/scim/filter.h"

#define LIMIT_LIST 2000 /* elements of a list while it is changed */

__attribute__((format(printf, 3, 4))) static int
refuse(struct scim_refusal *no, const char *code, const char *format, ...)
{
    va_list args;
    no->code = code;
    buf_clear(&no->why);
    va_start(args, format);
    int err = buf_vaddf(&no->why, format, args);
    va_end(args);
    return err == ERR_NOMEM ? err : ERR_SYNTAX;
}

/* ---- values in the form of their attribute -----------------------------------------------------
 */

static int read_value(const struct scim_attribute *a, const struct json *v, struct json **ret,
                      struct scim_refusal *no);

static bool
is_nothing(const struct json *v)
{
    enum json_kind kind = json_kind(v);
    return kind == JSON_ABSENT || kind == JSON_NULL_;
}

static int
read_boolean(const struct scim_attribute *a, const struct json *v, struct json **ret,
             struct scim_refusal *no)
{
    enum json_kind kind = json_kind(v);
    struct slice text = json_str(v);
    bool yes = kind == JSON_TRUE_ || slice_eq_nocase(text, SLICE("true"));
    if (!yes && kind != JSON_FALSE_ && !slice_eq_nocase(text, SLICE("false")))
        return refuse(no, "invalid_value", "%s: must be true or false", a->name);
    *ret = json_new_bool(yes);
    return *ret ? 0 : ERR_NOMEM;
}

/* Sets one member of a complex value, unless it is read-only or not known. */
static int
read_member(const struct scim_attribute *a, const char *name, const struct json *v,
            struct json *into, struct scim_refusal *no)
{
    const struct scim_attribute *sub = scim_attribute_find(a->sub, a->sub_count, slice_of(name));
    struct json *value = NULL;
    if (!sub || sub->read_only)
        return 0;
    if (is_nothing(v)) {
        (void)json_remove(into, sub->name);
        return 0;
    }
    int err = read_value(sub, v, &value, no);
    return err ? err : json_set(into, sub->name, value);
}

static int
read_complex(const struct scim_attribute *a, const struct json *v, struct json **ret,
             struct scim_refusal *no)
{
    struct json *out = json_new_map(), *copy = NULL, *value;
    const struct scim_attribute *main = scim_value_of(a);
    const char *name;
    void *iter = NULL;
    int err = out ? 0 : ERR_NOMEM;
    if (!err && json_kind(v) == JSON_TEXT && main)
        err = json_set(out, main->name, json_copy(v));
    else if (!err && json_kind(v) != JSON_MAP)
        err = refuse(no, "invalid_value", "%s: must be an object", a->name);
    else if (!err && !(copy = json_copy(v)))
        err = ERR_NOMEM;
    while (!err && copy && json_each(copy, &iter, &name, &value))
        err = read_member(a, name, value, out, no);
    json_free(copy);
    if (err)
        json_free(out);
    else
        *ret = out;
    return err;
}

/* One value: of a multi-valued attribute, one element. */
static int
read_value(const struct scim_attribute *a, const struct json *v, struct json **ret,
           struct scim_refusal *no)
{
    /* Entra ID of old: [{"value": "False"}] for a single one */
    if (!a->multi && json_kind(v) == JSON_LIST && json_size(v) == 1 &&
        json_kind(json_at(v, 0)) == JSON_MAP)
        v = json_at(v, 0);
    if (a->type != SCIM_COMPLEX && json_kind(v) == JSON_MAP && scim_member(v, "value"))
        v = scim_member(v, "value");
    if (a->type == SCIM_COMPLEX)
        return read_complex(a, v, ret, no);
    if (a->type == SCIM_BOOLEAN)
        return read_boolean(a, v, ret, no);
    if (json_kind(v) != JSON_TEXT)
        return refuse(no, "invalid_value", "%s: must be a text", a->name);
    *ret = json_copy(v);
    return *ret ? 0 : ERR_NOMEM;
}

/* ---- lists -------------------------------------------------------------------------------------
 */

/* What tells one element from another: its value, or all of it where it has none. */
static bool
is_same_element(const struct json *x, const struct json *y)
{
    struct slice a = json_str(json_get(x, "value")), b = json_str(json_get(y, "value"));
    if (!a.at || !b.at)
        return json_equal(x, y);
    struct slice s = json_str(json_get(x, "type")), t = json_str(json_get(y, "type"));
    return slice_eq(a, b) && (!s.at || !t.at || slice_eq_nocase(s, t));
}

static bool
has_element(const struct json *list, const struct json *element)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (is_same_element(json_at(list, i), element))
            return true;
    return false;
}

/* RFC 7644, 3.5.2: a new primary one takes that from the others. */
static void
drop_primary(struct json *list, const struct json *but)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (json_at(list, i) != but && json_is_true(json_get(json_at(list, i), "primary")))
            (void)json_remove(json_at(list, i), "primary");
}

static int
add_element(const struct scim_attribute *a, struct json *list, const struct json *v,
            struct scim_refusal *no)
{
    struct json *element = NULL;
    int err = read_value(a, v, &element, no);
    if (err)
        return err;
    if (json_size(list) >= LIMIT_LIST) {
        json_free(element);
        return refuse(no, "invalid_value", "%s: too many values", a->name);
    }
    if (has_element(list, element)) {
        json_free(element);
        return 0;
    }
    if (json_is_true(json_get(element, "primary")))
        drop_primary(list, element);
    return json_append(list, element);
}

/* Adds a value, or each of a list. */
static int
add_elements(const struct scim_attribute *a, struct json *list, const struct json *v,
             struct scim_refusal *no)
{
    int err = 0;
    if (is_nothing(v))
        return 0;
    if (json_kind(v) != JSON_LIST)
        return add_element(a, list, v, no);
    for (size_t i = 0; i < json_size(v) && !err; i++)
        err = add_element(a, list, json_at(v, i), no);
    return err;
}

/* The attribute's list, made where there is none; NULL: no memory. */
static struct json *
list_in(struct json *resource, const char *name)
{
    struct json *list = json_get(resource, name);
    if (list)
        return list;
    list = json_new_list();
    return list && json_set(resource, name, list) == 0 ? list : NULL;
}

/* ---- setting ------------------------------------------------------------------------------------
 */

static int
set_list(struct json *resource, const struct scim_attribute *a, const struct json *v, bool add,
         struct scim_refusal *no)
{
    if (!add)
        (void)json_remove(resource, a->name);
    struct json *list = list_in(resource, a->name);
    int err = list ? add_elements(a, list, v, no) : ERR_NOMEM;
    if (!err && json_size(list) == 0)
        (void)json_remove(resource, a->name);
    return err;
}

/* The named parts of a complex value; others stay (RFC 7644, 3.5.2.1 and 3.5.2.3). */
static int
merge_complex(struct json *resource, const struct scim_attribute *a, const struct json *v,
              struct scim_refusal *no)
{
    struct json *old = json_get(resource, a->name), *copy = json_copy(v), *value;
    struct json *into = old ? json_ref(old) : json_new_map();
    const char *name;
    void *iter = NULL;
    int err = copy && into ? 0 : ERR_NOMEM;
    if (!err && json_kind(v) != JSON_MAP)
        err = refuse(no, "invalid_value", "%s: must be an object", a->name);
    while (!err && json_each(copy, &iter, &name, &value))
        err = read_member(a, name, value, into, no);
    if (!err && !old && json_size(into) > 0)
        err = json_set(resource, a->name, json_ref(into));
    json_free(copy);
    json_free(into);
    return err;
}

static int
set_attribute(struct json *resource, const struct scim_attribute *a, const struct json *v, bool add,
              struct scim_refusal *no)
{
    struct json *value = NULL;
    if (a->multi)
        return set_list(resource, a, v, add, no);
    if (is_nothing(v)) {
        (void)json_remove(resource, a->name);
        return 0;
    }
    if (a->type == SCIM_COMPLEX)
        return merge_complex(resource, a, v, no);
    int err = read_value(a, v, &value, no);
    return err ? err : json_set(resource, a->name, value);
}

/* ---- whole resources ----------------------------------------------------------------------------
 */

int
scim_resource_read(const struct scim_schema *s, const struct json *input,
                   struct json **ret_resource, struct scim_refusal *no)
{
    struct json *out = json_new_map();
    int err = out ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < s->count && !err; i++) {
        const struct json *v = scim_member(input, s->at[i].name);
        if (v && !s->at[i].read_only)
            err = set_attribute(out, &s->at[i], v, false, no);
    }
    if (err)
        json_free(out);
    else
        *ret_resource = out;
    return err;
}

int
scim_resource_check(const struct scim_schema *s, const struct json *resource,
                    struct scim_refusal *no)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct json *v = json_get(resource, s->at[i].name);
        if (s->at[i].required && json_str(v).len == 0)
            return refuse(no, "invalid_value", "%s: is required", s->at[i].name);
        if (s->at[i].multi && json_size(v) > LIMIT_SCIM_MEMBERS)
            return refuse(no, "invalid_value", "%s: at most %d are allowed", s->at[i].name,
                          LIMIT_SCIM_MEMBERS);
    }
    return 0;
}

/* ---- PATCH
 * --------------------------------------------------------------------------------------- */

enum patch_op { PATCH_ADD, PATCH_REPLACE, PATCH_REMOVE };

struct patch {
    const struct scim_schema *schema;
    struct json *resource;
    struct arena *arena;
    struct scim_refusal *no;
    enum patch_op op;
};

static int
set_part(struct patch *p, struct json *into, const struct scim_attribute *sub, const struct json *v)
{
    struct json *value = NULL;
    if (p->op == PATCH_REMOVE || is_nothing(v)) {
        (void)json_remove(into, sub->name);
        return 0;
    }
    int err = read_value(sub, v, &value, p->no);
    return err ? err : json_set(into, sub->name, value);
}

/* name.familyName: of a value that need not be there yet. */
static int
patch_part(struct patch *p, const struct scim_path *path, const struct json *v)
{
    const char *name = path->attribute->name;
    struct json *into = json_get(p->resource, name);
    if (!into && p->op == PATCH_REMOVE)
        return 0;
    if (!into) {
        into = json_new_map();
        int err = into ? json_set(p->resource, name, into) : ERR_NOMEM;
        if (err)
            return err;
    }
    int err = set_part(p, into, path->sub, v);
    if (!err && json_size(into) == 0)
        (void)json_remove(p->resource, name);
    return err;
}

/* What `type eq "work" and ...` says of an element, put into a new one; false: it says more. */
static bool
make_from(const struct scim_filter *f, struct json *element)
{
    if (f->op == SCIM_AND)
        return make_from(f->left, element) && make_from(f->right, element);
    if (f->op != SCIM_EQ || f->sub)
        return false;
    if (f->kind == JSON_TEXT)
        return json_set_text(element, f->attribute->name, f->text) == 0;
    return (f->kind == JSON_TRUE_ || f->kind == JSON_FALSE_) &&
           json_set_bool(element, f->attribute->name, f->kind == JSON_TRUE_) == 0;
}

/* `add` to elements that are not there: one that matches is made (Entra ID counts on it). */
static int
add_matching(struct patch *p, const struct scim_path *path, const struct json *v)
{
    struct json *element = json_new_map();
    struct json *list = element ? list_in(p->resource, path->attribute->name) : NULL;
    int err = list ? 0 : ERR_NOMEM;
    if (!err && !make_from(path->filter, element))
        err = refuse(p->no, "no_target", "%s: nothing matches the filter", path->attribute->name);
    if (!err && path->sub)
        err = set_part(p, element, path->sub, v);
    else if (!err)
        err = merge_complex(element, path->attribute, v, p->no);
    if (!err && json_size(list) >= LIMIT_LIST)
        err = refuse(p->no, "invalid_value", "%s: too many values", path->attribute->name);
    if (err) {
        json_free(element);
        return err;
    }
    if (json_is_true(json_get(element, "primary")))
        drop_primary(list, element);
    return json_append(list, element);
}

/* Changes one element that is meant, or (*ret_drop) says that it goes. */
static int
patch_element(struct patch *p, const struct scim_path *path, struct json *element,
              const struct json *v, bool *ret_drop)
{
    struct json *whole = NULL, *value;
    const char *name;
    void *iter = NULL;
    *ret_drop = p->op == PATCH_REMOVE && !path->sub;
    if (*ret_drop)
        return 0;
    if (path->sub)
        return set_part(p, element, path->sub, v);
    int err = read_value(path->attribute, v, &whole, p->no);
    while (!err && json_each(whole, &iter, &name, &value))
        err = json_set(element, name, json_ref(value));
    json_free(whole);
    return err;
}

/* emails[type eq "work"], emails[...].value, emails.value (all of them) */
static int
patch_elements(struct patch *p, const struct scim_path *path, const struct json *v)
{
    const struct json *list = json_get(p->resource, path->attribute->name);
    struct json *kept = json_new_list();
    size_t found = 0;
    int err = kept ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        struct json *element = json_at(list, i);
        bool drop = false;
        if (!path->filter || scim_filter_match(path->filter, element)) {
            found++;
            err = patch_element(p, path, element, v, &drop);
        }
        if (!err && !drop && json_size(element) > 0)
            err = json_append(kept, json_ref(element));
    }
    if (!err && json_size(kept) > 0)
        err = json_set(p->resource, path->attribute->name, json_ref(kept));
    else if (!err)
        (void)json_remove(p->resource, path->attribute->name);
    json_free(kept);
    if (err || found > 0 || p->op == PATCH_REMOVE)
        return err; /* what is not there is removed already */
    if (p->op == PATCH_ADD && path->filter)
        return add_matching(p, path, v);
    return refuse(p->no, "no_target", "%s: nothing matches the path", path->attribute->name);
}

/* `remove` with a list of values beside the path: these only, as Entra ID has it. */
static int
remove_values(struct patch *p, const struct scim_attribute *a, const struct json *v)
{
    struct json *gone = json_new_list(), *kept = json_new_list();
    const struct json *list = json_get(p->resource, a->name);
    int err = gone && kept ? add_elements(a, gone, v, p->no) : ERR_NOMEM;
    for (size_t i = 0; i < json_size(list) && !err; i++)
        if (!has_element(gone, json_at(list, i)))
            err = json_append(kept, json_ref(json_at(list, i)));
    if (!err && json_size(kept) > 0)
        err = json_set(p->resource, a->name, json_ref(kept));
    else if (!err)
        (void)json_remove(p->resource, a->name);
    json_free(gone);
    json_free(kept);
    return err;
}

static int
patch_target(struct patch *p, const struct scim_path *path, const struct json *v)
{
    const struct scim_attribute *a = path->attribute;
    if (a->read_only || (path->sub && path->sub->read_only))
        return refuse(p->no, "mutability", "%s: is read-only", a->name);
    if (a->definite && (p->op == PATCH_REMOVE || is_nothing(v)))
        return refuse(p->no, "invalid_value", "%s: cannot be removed", a->name);
    if (a->multi && (path->filter || path->sub))
        return patch_elements(p, path, v);
    if (path->sub)
        return patch_part(p, path, v);
    if (p->op != PATCH_REMOVE)
        return set_attribute(p->resource, a, v, p->op == PATCH_ADD, p->no);
    if (a->required)
        return refuse(p->no, "invalid_value", "%s: is required", a->name);
    if (a->multi && json_size(v) > 0)
        return remove_values(p, a, v);
    (void)json_remove(p->resource, a->name);
    return 0;
}

static int
parse_path(struct patch *p, struct slice text, struct scim_path *ret)
{
    struct buf why;
    buf_init(&why, 1024);
    int err = scim_path_parse(p->schema, text, p->arena, ret, &why);
    if (err == ERR_SYNTAX) {
        const char *lent = buf_str(&why);
        err = refuse(p->no, "invalid_path", "path%s%.*s: %s", text.len > 200 ? "" : " ",
                     (int)(text.len > 200 ? 0 : text.len), text.at, lent ? lent : "");
    }
    buf_free(&why);
    return err;
}

/* Without a path: each member of the value is one. What we do not have, and what is read-only, is
 * left out: clients send whole resources so. */
static int
patch_members(struct patch *p, const struct json *v)
{
    struct json *copy = json_copy(v), *value;
    const char *name;
    void *iter = NULL;
    int err = copy ? 0 : ERR_NOMEM;
    if (json_kind(v) != JSON_MAP)
        err = refuse(p->no, "invalid_value", "value: must be an object where there is no path");
    while (!err && json_each(copy, &iter, &name, &value)) {
        struct scim_path path;
        struct slice head = scim_without_urn(p->schema, slice_of(name));
        if (slice_eq_nocase(head, slice_of(p->schema->urn)))
            err = patch_members(p, value);
        else if ((err = parse_path(p, head, &path)) == ERR_SYNTAX)
            err = 0;
        else if (!err && !path.ignored && !path.attribute->read_only)
            err = patch_target(p, &path, value);
    }
    json_free(copy);
    return err;
}

static int
read_op(struct patch *p, const struct json *operation)
{
    static const char *const names[] = {"add", "replace", "remove"};
    struct slice op = json_str(scim_member(operation, "op"));
    for (size_t i = 0; i < 3; i++)
        if (slice_eq_nocase(op, slice_of(names[i]))) {
            p->op = (enum patch_op)i;
            return 0;
        }
    return refuse(p->no, "invalid_syntax", "op: must be add, replace or remove");
}

static int
patch_one(struct patch *p, const struct json *operation)
{
    struct scim_path path;
    const struct json *v = scim_member(operation, "value");
    const struct json *where = scim_member(operation, "path");
    int err = read_op(p, operation);
    if (err)
        return err;
    if (is_nothing(where) && p->op == PATCH_REMOVE)
        return refuse(p->no, "no_target", "path: remove needs one");
    if (is_nothing(where))
        return patch_members(p, v);
    if (json_str(where).len == 0)
        return refuse(p->no, "invalid_path", "path: must be a text");
    if (p->op == PATCH_ADD && is_nothing(v))
        return refuse(p->no, "invalid_value", "value: add needs one");
    err = parse_path(p, json_str(where), &path);
    return err || path.ignored ? err : patch_target(p, &path, v);
}

int
scim_patch(const struct scim_schema *s, struct json *resource, const struct json *body,
           struct arena *a, struct scim_refusal *no)
{
    struct patch p = {.schema = s, .resource = resource, .arena = a, .no = no};
    const struct json *list = scim_member(body, "Operations");
    if (json_kind(list) != JSON_LIST || json_size(list) == 0)
        return refuse(no, "invalid_syntax", "Operations: must be a list of operations");
    if (json_size(list) > LIMIT_SCIM_OPERATIONS)
        return refuse(no, "invalid_syntax", "Operations: at most %d are allowed",
                      LIMIT_SCIM_OPERATIONS);
    int err = 0;
    for (size_t i = 0; i < json_size(list) && !err; i++)
        err = patch_one(&p, json_at(list, i));
    return err;
}
