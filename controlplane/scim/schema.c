/* See schema.h. */
#include "controlplane/scim/schema.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// clang-format off

/* ---- the tables ------------------------------------------------------------------------------- */

static const struct scim_attribute meta_rows[] = {
    {.name = "resourceType", .type = SCIM_STRING, .read_only = true, .case_exact = true, .help = "User or Group."},
    {.name = "created", .type = SCIM_TIME, .read_only = true, .help = "When it was made."},
    {.name = "lastModified", .type = SCIM_TIME, .read_only = true, .help = "When it was changed last."},
    {.name = "location", .type = SCIM_REFERENCE, .read_only = true, .case_exact = true, .references = "uri", .help = "Where it is."},
    {.name = "version", .type = SCIM_STRING, .read_only = true, .case_exact = true, .help = "Its ETag."},
};

#define COMMON_ROWS                                                                                                    \
    {.name = "schemas", .type = SCIM_REFERENCE, .multi = true, .read_only = true, .case_exact = true, .common = true, .always = true, .references = "uri", .help = "What it is."}, \
    {.name = "id", .type = SCIM_STRING, .read_only = true, .case_exact = true, .common = true, .always = true, .help = "Given by us, for life."}, \
    {.name = "externalId", .type = SCIM_STRING, .case_exact = true, .common = true, .help = "The identity provider's own name for it."}, \
    {.name = "meta", .type = SCIM_COMPLEX, .read_only = true, .common = true, .help = "About the resource.", .sub = meta_rows, .sub_count = COUNT(meta_rows)}

static const struct scim_attribute name_rows[] = {
    {.name = "formatted", .type = SCIM_STRING, .help = "The whole name."},
    {.name = "familyName", .type = SCIM_STRING, .help = "The family's name."},
    {.name = "givenName", .type = SCIM_STRING, .help = "The given name."},
};
static const struct scim_attribute email_rows[] = {
    {.name = "value", .type = SCIM_STRING, .help = "The address."},
    {.name = "type", .type = SCIM_STRING, .values = "work home other", .help = "What it is for."},
    {.name = "primary", .type = SCIM_BOOLEAN, .help = "The one to use."},
};
static const struct scim_attribute group_of_user_rows[] = {
    {.name = "value", .type = SCIM_STRING, .read_only = true, .case_exact = true, .help = "The group's id."},
    {.name = "$ref", .type = SCIM_REFERENCE, .read_only = true, .case_exact = true, .references = "Group", .help = "Where the group is."},
    {.name = "display", .type = SCIM_STRING, .read_only = true, .help = "The group's name."},
    {.name = "type", .type = SCIM_STRING, .read_only = true, .values = "direct", .help = "Groups that name the user."},
};
static const struct scim_attribute user_rows[] = {
    COMMON_ROWS,
    {.name = "userName", .type = SCIM_STRING, .required = true, .unique = true, .help = "What the user is called at the identity provider."},
    {.name = "name", .type = SCIM_COMPLEX, .help = "The person's name.", .sub = name_rows, .sub_count = COUNT(name_rows)},
    {.name = "displayName", .type = SCIM_STRING, .help = "The name to show."},
    {.name = "active", .type = SCIM_BOOLEAN, .definite = true, .help = "false: the user's keys and admin tokens are refused."},
    {.name = "emails", .type = SCIM_COMPLEX, .multi = true, .help = "Addresses.", .sub = email_rows, .sub_count = COUNT(email_rows)},
    {.name = "groups", .type = SCIM_COMPLEX, .multi = true, .read_only = true, .help = "Groups that name the user; changed at the groups.", .sub = group_of_user_rows, .sub_count = COUNT(group_of_user_rows)},
};

static const struct scim_attribute member_rows[] = {
    {.name = "value", .type = SCIM_STRING, .immutable = true, .case_exact = true, .help = "The member's id."},
    {.name = "$ref", .type = SCIM_REFERENCE, .immutable = true, .case_exact = true, .references = "User Group", .help = "Where the member is."},
    {.name = "type", .type = SCIM_STRING, .immutable = true, .values = "User Group", .help = "What the member is."},
};
static const struct scim_attribute group_rows[] = {
    COMMON_ROWS,
    {.name = "displayName", .type = SCIM_STRING, .required = true, .unique = true, .help = "What the group is called at the identity provider."},
    {.name = "members", .type = SCIM_COMPLEX, .multi = true, .help = "Users, and groups whose members are members too.", .sub = member_rows, .sub_count = COUNT(member_rows)},
};

const struct scim_schema scim_users = {SCIM_USER_URN, "User", "/Users", "A person.", user_rows, COUNT(user_rows)};
const struct scim_schema scim_groups = {SCIM_GROUP_URN, "Group", "/Groups", "Users by another name.", group_rows, COUNT(group_rows)};

/* RFC 7643, 4.1: what a user may have besides. */
static const char *const ignored[] = {
    "nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone", "password", "phoneNumbers", "ims",
    "photos", "addresses", "entitlements", "roles", "x509Certificates", NULL};
static const char *const ignored_names[] = {"middleName", "honorificPrefix", "honorificSuffix", NULL};
// clang-format on
#define ENTERPRISE_URN "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

/* ---- finding ----------------------------------------------------------------------------------
 */

const struct scim_attribute *
scim_attribute_find(const struct scim_attribute *list, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(name, slice_of(list[i].name)))
            return &list[i];
    return NULL;
}

const struct scim_attribute *
scim_value_of(const struct scim_attribute *a)
{
    return a->multi && a->type == SCIM_COMPLEX
               ? scim_attribute_find(a->sub, a->sub_count, SLICE("value"))
               : NULL;
}

static bool
starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase(slice_make(s.at, prefix.len), prefix);
}

struct slice
scim_without_urn(const struct scim_schema *s, struct slice path)
{
    struct slice urn = slice_of(s->urn);
    if (path.len > urn.len + 1 && starts_nocase(path, urn) && path.at[urn.len] == ':')
        return slice_from(path, urn.len + 1);
    return path;
}

static bool
is_one_of(const char *const *names, struct slice name)
{
    for (size_t i = 0; names[i]; i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

bool
scim_is_ignored(struct slice path)
{
    size_t n = 0;
    if (starts_nocase(path, SLICE(ENTERPRISE_URN)))
        return true;
    if (starts_nocase(path, SLICE("name.")))
        return is_one_of(ignored_names, slice_from(path, 5));
    while (n < path.len && path.at[n] != '.' && path.at[n] != '[')
        n++;
    return is_one_of(ignored, slice_make(path.at, n));
}

struct json *
scim_member(const struct json *map, const char *name)
{
    struct json *found = json_get(map, name), *value;
    const char *key;
    void *iter = NULL;
    if (found || json_kind(map) != JSON_MAP)
        return found;
    /* Only the walk takes it as changeable; nothing is changed. */
    while (json_each((struct json *)(uintptr_t)map, &iter, &key, &value))
        if (slice_eq_nocase(slice_of(key), slice_of(name)))
            return value;
    return NULL;
}

/* ---- the documents of discovery ---------------------------------------------------------------
 */

static struct json *
words(const char *text)
{
    struct slice rest = slice_of(text);
    struct json *list = json_new_list();
    while (list && rest.len > 0)
        if (json_append(list, json_new_text(slice_cut(&rest, ' '))) != 0) {
            json_free(list);
            return NULL;
        }
    return list;
}

static int
describe_strings(struct json *out, const struct scim_attribute *a)
{
    int err = 0;
    if (a->type == SCIM_STRING || a->type == SCIM_REFERENCE) {
        err = json_set_bool(out, "caseExact", a->case_exact);
        if (!err)
            err = json_set_str(out, "uniqueness", a->unique ? "server" : "none");
    }
    if (!err && a->values)
        err = json_set(out, "canonicalValues", words(a->values));
    if (!err && a->references)
        err = json_set(out, "referenceTypes", words(a->references));
    return err;
}

static struct json *
describe(const struct scim_attribute *a)
{
    static const char *const types[] = {"string", "boolean", "reference", "dateTime", "complex"};
    struct json *out = json_new_map(), *subs = json_new_list();
    int err = out && subs ? json_set_str(out, "name", a->name) : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "type", types[a->type]);
    if (!err)
        err = json_set_bool(out, "multiValued", a->multi);
    if (!err)
        err = json_set_str(out, "description", a->help);
    if (!err)
        err = json_set_bool(out, "required", a->required);
    if (!err)
        err = json_set_str(out, "mutability",
                           a->read_only   ? "readOnly"
                           : a->immutable ? "immutable"
                                          : "readWrite");
    if (!err)
        err = json_set_str(out, "returned", a->always ? "always" : "default");
    if (!err)
        err = describe_strings(out, a);
    for (size_t i = 0; i < a->sub_count && !err; i++)
        err = json_append(subs, describe(&a->sub[i])); /* subs have none of their own */
    if (!err && a->sub_count > 0)
        err = json_set(out, "subAttributes", json_ref(subs));
    json_free(subs);
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

static struct json *
list_of(const char *text)
{
    struct json *list = json_new_list();
    if (list && json_append(list, json_new_text(slice_of(text))) == 0)
        return list;
    json_free(list);
    return NULL;
}

static int
set_meta(struct json *out, const char *type, const char *folder, const char *id)
{
    char location[160];
    struct json *meta = json_new_map();
    int err = meta ? json_set(out, "meta", meta) : ERR_NOMEM;
    snprintf(location, sizeof(location), SCIM_BASE "/%s%s%s", folder, id[0] ? "/" : "", id);
    if (!err)
        err = json_set_str(meta, "resourceType", type);
    return err ? err : json_set_str(meta, "location", location);
}

static struct json *
done(struct json *out, int err)
{
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

struct json *
scim_schema_document(const struct scim_schema *s)
{
    struct json *out = json_new_map(), *list = json_new_list();
    int err = out && list ? json_set(out, "schemas",
                                     list_of("urn:ietf:params:scim:schemas:core:2.0:Schema"))
                          : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "id", s->urn);
    if (!err)
        err = json_set_str(out, "name", s->name);
    if (!err)
        err = json_set_str(out, "description", s->help);
    for (size_t i = 0; i < s->count && !err; i++)
        if (!s->at[i].common)
            err = json_append(list, describe(&s->at[i]));
    if (!err)
        err = json_set(out, "attributes", json_ref(list));
    if (!err)
        err = set_meta(out, "Schema", "Schemas", s->urn);
    json_free(list);
    return done(out, err);
}

struct json *
scim_type_document(const struct scim_schema *s)
{
    struct json *out = json_new_map();
    int err = out ? json_set(out, "schemas",
                             list_of("urn:ietf:params:scim:schemas:core:2.0:ResourceType"))
                  : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "id", s->name);
    if (!err)
        err = json_set_str(out, "name", s->name);
    if (!err)
        err = json_set_str(out, "description", s->help);
    if (!err)
        err = json_set_str(out, "endpoint", s->endpoint);
    if (!err)
        err = json_set_str(out, "schema", s->urn);
    if (!err)
        err = set_meta(out, "ResourceType", "ResourceTypes", s->name);
    return done(out, err);
}

struct json *
scim_config_document(int64_t most_results)
{
    char text[1024];
    struct json *out = NULL;
    int n = snprintf(
        text, sizeof(text),
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig\"],"
        "\"patch\":{\"supported\":true},"
        "\"bulk\":{\"supported\":false,\"maxOperations\":0,\"maxPayloadSize\":0},"
        "\"filter\":{\"supported\":true,\"maxResults\":%lld},"
        "\"changePassword\":{\"supported\":false},\"sort\":{\"supported\":false},"
        "\"etag\":{\"supported\":true},"
        "\"authenticationSchemes\":[{\"type\":\"oauthbearertoken\",\"name\":\"Admin token\","
        "\"description\":\"Authorization: Bearer hgat_...\",\"primary\":true}]}",
        (long long)most_results);
    if (json_parse(slice_make(text, (size_t)n), &out, NULL, 0) != 0)
        return NULL;
    return done(out, set_meta(out, "ServiceProviderConfig", "ServiceProviderConfig", ""));
}
