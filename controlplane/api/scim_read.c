/* See scim.h: what SCIM shows (RFC 7644, 3.4 and 4). */
#include "controlplane/api/scim.h"

#include <stdio.h>

#include "controlplane/api/handlers.h"
#include "controlplane/scim/filter.h"

#define SCAN_ITEMS 500 /* read at a time where a filter has to look at all */

const struct scim_schema *
scim_schema_of(const struct api_request *r)
{
    return slice_starts(r->path, SLICE(SCIM_BASE "/Groups")) ? &scim_groups : &scim_users;
}

const struct kind *
scim_kind(const struct scim_schema *s)
{
    return kind_at(s == &scim_groups ? KIND_GROUPS : KIND_USERS);
}

/* ---- groups and members ------------------------------------------------------------------------
 */

static int
take_members(const struct db_rows *rows, struct json *list)
{
    int err = 0;
    for (size_t i = 0; i < db_count(rows) && !err; i++) {
        bool group = slice_is(db_slice(rows, i, 1), "groups");
        err = json_append(list, scim_link(group ? &scim_groups : &scim_users, db_text(rows, i, 0),
                                          slice_none(), group ? "Group" : "User"));
    }
    return err;
}

static int
take_groups(const struct db_rows *rows, struct json *list)
{
    int err = 0;
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = json_append(
            list, scim_link(&scim_groups, db_text(rows, i, 0), db_slice(rows, i, 1), "direct"));
    return err;
}

/* `groups` of a user, `members` of a group. */
static int
add_links(struct api_request *r, const struct scim_schema *s, const struct item *item,
          struct json *resource)
{
    bool group = s == &scim_groups;
    struct db_rows *rows = NULL;
    struct json *list = json_new_list();
    int err =
        group ? items_members(r->db, item->body, &rows) : items_groups_of(r->db, item->name, &rows);
    if (!err && !list)
        err = ERR_NOMEM;
    if (!err)
        err = group ? take_members(rows, list) : take_groups(rows, list);
    if (!err && json_size(list) > 0)
        err = json_set(resource, group ? "members" : "groups", json_ref(list));
    db_rows_free(rows);
    json_free(list);
    return err;
}

int
scim_resource(struct api_request *r, const struct scim_schema *s, const struct item *item,
              struct json **ret_resource)
{
    *ret_resource = scim_view(s, item);
    int err = *ret_resource ? add_links(r, s, item, *ret_resource) : ERR_NOMEM;
    if (err) {
        json_free(*ret_resource);
        *ret_resource = NULL;
    }
    return err;
}

/* ---- what is asked for -------------------------------------------------------------------------
 */

struct search {
    struct json *attributes; /* a list of texts; NULL: all */
    bool exclude;            /* all but these */
    struct slice filter;     /* at == NULL: none */
    int64_t start, count;    /* start: from 1 */
};

static void
search_free(struct search *q)
{
    json_free(q->attributes);
}

/* "userName,name.familyName" */
static int
split(struct api_reply *reply, struct slice text, struct json **ret_list)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] >= 0x80)
            return api_problem(reply, 400, "invalid_value",
                               "attributes, excludedAttributes: no attribute is called so");
    *ret_list = json_new_list();
    while (*ret_list && text.at)
        if (json_append(*ret_list, json_new_text(slice_trim(slice_cut(&text, ',')))) != 0)
            break;
    return *ret_list && !text.at
               ? 0
               : api_problem(reply, 503, "unavailable", "no memory left: try again");
}

static int
refuse_both(struct api_reply *reply)
{
    return api_problem(reply, 400, "invalid_value",
                       "attributes, excludedAttributes: give one of the two");
}

static int
read_attributes(struct api_request *r, struct api_reply *reply, struct search *q)
{
    struct slice names = api_query(r, "attributes"), others = api_query(r, "excludedAttributes");
    if (names.len > 0 && others.len > 0)
        return refuse_both(reply);
    q->exclude = others.len > 0;
    if (names.len + others.len == 0)
        return 0;
    return split(reply, q->exclude ? others : names, &q->attributes);
}

/* RFC 7644, 3.4.2.4: what is below the least is taken as the least. */
static int
read_number(struct api_reply *reply, const char *name, struct slice text, int64_t least,
            int64_t *ret)
{
    unsigned long long n = 0;
    bool negative = text.len > 1 && text.at[0] == '-';
    if (slice_to_u64(negative ? slice_from(text, 1) : text, &n) != 0 || n > INT32_MAX)
        return api_problem(reply, 400, "invalid_value", "%s: must be a whole number", name);
    *ret = negative || (int64_t)n < least ? least : (int64_t)n;
    return 0;
}

static int
read_page(struct api_request *r, struct api_reply *reply, struct search *q)
{
    struct slice start = api_query(r, "startIndex"), count = api_query(r, "count");
    int err = start.at ? read_number(reply, "startIndex", start, 1, &q->start) : 0;
    if (!err && count.at)
        err = read_number(reply, "count", count, 0, &q->count);
    return err;
}

static int
read_query(struct api_request *r, struct api_reply *reply, struct search *q)
{
    q->filter = api_query(r, "filter");
    int err = read_attributes(r, reply, q);
    return err ? err : read_page(r, reply, q);
}

static int
read_integer(const struct json *body, struct api_reply *reply, const char *name, int64_t least,
             int64_t *ret)
{
    const struct json *v = scim_member(body, name);
    if (json_kind(v) == JSON_ABSENT || json_kind(v) == JSON_NULL_)
        return 0;
    if (json_to_int(v, ret) != 0)
        return api_problem(reply, 400, "invalid_value", "%s: must be a whole number", name);
    if (*ret < least)
        *ret = least;
    return 0;
}

static int
check_names(const struct json *list, struct api_reply *reply, const char *name)
{
    enum json_kind kind = json_kind(list);
    bool good = kind == JSON_ABSENT || kind == JSON_NULL_ || kind == JSON_LIST;
    for (size_t i = 0; good && i < json_size(list); i++)
        good = json_str(json_at(list, i)).at != NULL;
    return good ? 0 : api_problem(reply, 400, "invalid_value", "%s: must be a list of texts", name);
}

/* RFC 7644, 3.4.3 */
static int
read_search(struct api_request *r, struct api_reply *reply, struct search *q)
{
    struct json *names = scim_member(r->body, "attributes");
    struct json *others = scim_member(r->body, "excludedAttributes");
    const struct json *filter = scim_member(r->body, "filter");
    int err = check_names(names, reply, "attributes");
    if (!err)
        err = check_names(others, reply, "excludedAttributes");
    if (!err && json_size(names) > 0 && json_size(others) > 0)
        err = refuse_both(reply);
    if (!err && json_kind(filter) != JSON_ABSENT && json_kind(filter) != JSON_NULL_ &&
        !json_str(filter).at)
        err = api_problem(reply, 400, "invalid_filter", "filter: must be a text");
    if (err)
        return err;
    q->exclude = json_size(others) > 0;
    q->filter = json_str(filter);
    if (json_size(names) + json_size(others) > 0)
        q->attributes = json_ref(q->exclude ? others : names);
    err = read_integer(r->body, reply, "startIndex", 1, &q->start);
    return err ? err : read_integer(r->body, reply, "count", 0, &q->count);
}

/* ---- one ----------------------------------------------------------------------------------------
 */

int
scim_find(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
          struct item *ret_item)
{
    struct items list;
    *ret_item = (struct item){0};
    int err = items_lookup(r->db, scim_kind(s), LOOKUP_ID, r->params[0], "", 1, &list);
    if (err)
        return api_fail(r, reply, err);
    if (list.count == 0)
        err = api_problem(reply, 404, "not_found", "there is no %s of this id", s->name);
    else
        *ret_item = list.at[0]; /* taken out of the list */
    list.count = 0;
    items_free(&list);
    return err;
}

static int
choose(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
       const struct search *q, struct json *resource, struct json **ret_chosen)
{
    *ret_chosen =
        q->attributes ? scim_select(s, resource, q->attributes, q->exclude) : json_ref(resource);
    return *ret_chosen ? 0 : api_fail(r, reply, ERR_NOMEM);
}

int
scim_show(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
          const struct item *item)
{
    struct search q = {0};
    struct json *resource = NULL;
    int err = read_attributes(r, reply, &q);
    if (!err && (err = scim_resource(r, s, item, &resource)) != 0)
        err = api_fail(r, reply, err);
    if (!err)
        err = choose(r, reply, s, &q, resource, &reply->body);
    if (!err) {
        snprintf(reply->etag, sizeof(reply->etag), "%lld", (long long)item->revision);
        snprintf(reply->location, sizeof(reply->location), SCIM_BASE "%s/%s", s->endpoint,
                 item->id);
    }
    json_free(resource);
    search_free(&q);
    return err;
}

int
scim_get(struct api_request *r, struct api_reply *reply)
{
    const struct scim_schema *s = scim_schema_of(r);
    struct item item;
    int err = scim_find(r, reply, s, &item);
    if (!err)
        err = scim_show(r, reply, s, &item);
    item_free(&item);
    return err;
}

/* ---- many ---------------------------------------------------------------------------------------
 */

struct page {
    const struct search *search;
    struct json *resources;
    int64_t total; /* of all schemas that were looked through */
};

static bool
is_in_page(const struct page *p)
{
    return p->total + 1 >= p->search->start && json_size(p->resources) < (size_t)p->search->count;
}

/* Without a filter: the database counts and skips. */
static int
add_window(struct api_request *r, struct api_reply *reply, const struct scim_schema *s,
           struct page *p)
{
    struct items list;
    int64_t total = 0, skip = p->search->start - 1 - p->total;
    int64_t room = p->search->count - (int64_t)json_size(p->resources);
    int err = items_window(r->db, scim_kind(s), skip > 0 ? skip : 0, room, &list, &total);
    if (err)
        return api_fail(r, reply, err);
    p->total += total;
    for (size_t i = 0; i < list.count && !err; i++) {
        struct json *resource = NULL, *chosen = NULL;
        if ((err = scim_resource(r, s, &list.at[i], &resource)) != 0)
            err = api_fail(r, reply, err);
        if (!err)
            err = choose(r, reply, s, p->search, resource, &chosen);
        json_free(resource);
        if (!err && json_append(p->resources, chosen) != 0)
            err = api_fail(r, reply, ERR_NOMEM);
    }
    items_free(&list);
    return err;
}

/* Whether the filter looks at what takes a query for each item. */
static bool
needs_links(const struct scim_filter *f)
{
    if (!f)
        return false;
    if (f->attribute && (slice_is(slice_of(f->attribute->name), "groups") ||
                         slice_is(slice_of(f->attribute->name), "members")))
        return true;
    return needs_links(f->left) || needs_links(f->right);
}

struct scan {
    const struct scim_schema *schema;
    const struct scim_filter *filter;
    bool links; /* of each item, before it is matched */
    enum item_lookup by;
    struct slice value;
};

/* An index that everything which matches can be found by. */
static void
choose_lookup(struct scan *c)
{
    static const struct {
        const char *attribute;
        enum item_lookup by;
    } pins[] = {{"id", LOOKUP_ID},
                {"userName", LOOKUP_TITLE},
                {"externalId", LOOKUP_EXTERNAL_ID},
                {"displayName", LOOKUP_TITLE}};
    size_t count = c->schema == &scim_groups ? 4 : 3; /* a user's displayName is no title */
    for (size_t i = 0; i < count && c->by == LOOKUP_ALL; i++) {
        const struct scim_filter *pin = scim_filter_pin(c->filter, pins[i].attribute);
        if (pin) {
            c->by = pins[i].by;
            c->value = pin->text;
        }
    }
}

static int
take_match(struct api_request *r, struct api_reply *reply, const struct scan *c,
           const struct item *item, struct page *p)
{
    struct json *resource = scim_view(c->schema, item), *chosen = NULL;
    int err = resource ? 0 : ERR_NOMEM;
    if (!err && c->links)
        err = add_links(r, c->schema, item, resource);
    bool matches = !err && scim_filter_match(c->filter, resource);
    bool wanted = matches && is_in_page(p);
    p->total += matches;
    if (!err && wanted && !c->links)
        err = add_links(r, c->schema, item, resource);
    if (err)
        err = api_fail(r, reply, err);
    if (!err && wanted)
        err = choose(r, reply, c->schema, p->search, resource, &chosen);
    if (!err && chosen && json_append(p->resources, chosen) != 0)
        err = api_fail(r, reply, ERR_NOMEM);
    json_free(resource);
    return err;
}

static int
scan(struct api_request *r, struct api_reply *reply, const struct scan *c, struct page *p)
{
    char after[256] = "";
    size_t got = SCAN_ITEMS;
    int err = 0;
    while (!err && got == SCAN_ITEMS) {
        struct items list;
        err = items_lookup(r->db, scim_kind(c->schema), c->by, c->value, after, SCAN_ITEMS, &list);
        if (err)
            return api_fail(r, reply, err);
        got = list.count;
        for (size_t i = 0; i < got && !err; i++)
            err = take_match(r, reply, c, &list.at[i], p);
        if (got > 0)
            snprintf(after, sizeof(after), "%s", list.at[got - 1].name);
        items_free(&list);
    }
    return err;
}

static int
refuse_filter(struct api_request *r, struct api_reply *reply, int err, struct buf *why)
{
    const char *text = buf_str(why);
    if (err == ERR_NOMEM)
        return api_fail(r, reply, err);
    return api_problem(reply, 400, "invalid_filter", "filter: %s", text ? text : "");
}

/* The users, the groups, or both in this order: what a filter names that one of them does not have
 * matches none of it. */
static int
list_all(struct api_request *r, struct api_reply *reply, const struct scim_schema *const *schemas,
         size_t count, struct page *p)
{
    struct buf why;
    size_t parsed = 0;
    int err = 0;
    buf_init(&why, 1024);
    for (size_t i = 0; i < count && !err; i++) {
        struct scan c = {.schema = schemas[i]};
        if (p->search->filter.len == 0) {
            err = add_window(r, reply, schemas[i], p);
            continue;
        }
        int bad = scim_filter_parse(schemas[i], p->search->filter, &r->arena, &c.filter, &why);
        if (bad && (bad == ERR_NOMEM || (i + 1 == count && parsed == 0)))
            err = refuse_filter(r, reply, bad, &why);
        if (bad)
            continue;
        parsed++;
        c.links = needs_links(c.filter);
        choose_lookup(&c);
        err = scan(r, reply, &c, p);
    }
    buf_free(&why);
    return err;
}

static int
list_reply(struct api_request *r, struct api_reply *reply, struct json *resources, int64_t total,
           int64_t start)
{
    struct json *urns = json_new_list();
    reply->body = json_new_map();
    int err =
        urns && reply->body
            ? json_append(
                  urns, json_new_text(SLICE("urn:ietf:params:scim:api:messages:2.0:ListResponse")))
            : ERR_NOMEM;
    if (!err)
        err = json_set(reply->body, "schemas", json_ref(urns));
    if (!err)
        err = json_set_int(reply->body, "totalResults", total);
    if (!err)
        err = json_set_int(reply->body, "startIndex", start);
    if (!err)
        err = json_set_int(reply->body, "itemsPerPage", (int64_t)json_size(resources));
    if (!err)
        err = json_set(reply->body, "Resources", json_ref(resources));
    json_free(urns);
    return err ? api_fail(r, reply, err) : 0;
}

static int
answer_search(struct api_request *r, struct api_reply *reply, struct search *q,
              const struct scim_schema *const *schemas, size_t count)
{
    struct page p = {.search = q, .resources = json_new_list()};
    if (q->count > LIMIT_SCIM_RESULTS)
        q->count = LIMIT_SCIM_RESULTS;
    int err = p.resources ? list_all(r, reply, schemas, count, &p) : api_fail(r, reply, ERR_NOMEM);
    if (!err)
        err = list_reply(r, reply, p.resources, p.total, q->start);
    json_free(p.resources);
    return err;
}

int
scim_list(struct api_request *r, struct api_reply *reply)
{
    const struct scim_schema *s = scim_schema_of(r);
    struct search q = {.start = 1, .count = DEFAULT_PAGE_ITEMS};
    int err = read_query(r, reply, &q);
    if (!err)
        err = answer_search(r, reply, &q, &s, 1);
    search_free(&q);
    return err;
}

int
scim_search(struct api_request *r, struct api_reply *reply)
{
    static const struct scim_schema *const both[] = {&scim_users, &scim_groups};
    const struct scim_schema *s = scim_schema_of(r);
    bool root = slice_is(r->path, SCIM_BASE "/.search");
    struct search q = {.start = 1, .count = DEFAULT_PAGE_ITEMS};
    int err = read_search(r, reply, &q);
    if (!err)
        err = answer_search(r, reply, &q, root ? both : &s, root ? 2 : 1);
    search_free(&q);
    return err;
}

/* ---- what there is ------------------------------------------------------------------------------
 */

int
scim_config(struct api_request *r, struct api_reply *reply)
{
    reply->body = scim_config_document(LIMIT_SCIM_RESULTS);
    return reply->body ? 0 : api_fail(r, reply, ERR_NOMEM);
}

typedef struct json *describe(const struct scim_schema *s);

/* RFC 7644, 4: what filters there would do, nobody needs. */
static int
describe_all(struct api_request *r, struct api_reply *reply, describe *one)
{
    struct json *list = json_new_list();
    int err = list ? json_append(list, one(&scim_users)) : ERR_NOMEM;
    if (!err)
        err = json_append(list, one(&scim_groups));
    err = err ? api_fail(r, reply, err) : list_reply(r, reply, list, 2, 1);
    json_free(list);
    return err;
}

static int
describe_one(struct api_request *r, struct api_reply *reply, const char *users, const char *groups,
             describe *one)
{
    bool user = slice_is(r->params[0], users);
    if (!user && !slice_is(r->params[0], groups))
        return api_problem(reply, 404, "not_found", "there is no such schema or type");
    reply->body = one(user ? &scim_users : &scim_groups);
    return reply->body ? 0 : api_fail(r, reply, ERR_NOMEM);
}

int
scim_schemas(struct api_request *r, struct api_reply *reply)
{
    return describe_all(r, reply, scim_schema_document);
}

int
scim_schema_get(struct api_request *r, struct api_reply *reply)
{
    return describe_one(r, reply, SCIM_USER_URN, SCIM_GROUP_URN, scim_schema_document);
}

int
scim_types(struct api_request *r, struct api_reply *reply)
{
    return describe_all(r, reply, scim_type_document);
}

int
scim_type_get(struct api_request *r, struct api_reply *reply)
{
    return describe_one(r, reply, "User", "Group", scim_type_document);
}
