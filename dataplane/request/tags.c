#include "dataplane/request/tags.h"

#include "lib/base/utf8.h"
#include "lib/json/scan.h"

#include <stdarg.h>
#include <stdio.h>

enum form {
    FORM_OWN,   /* "k=v, k2=v2", or a map */
    FORM_WORDS, /* "a, b:c, d=e": a word alone is true */
    FORM_MAP,
    FORM_PROPERTY, /* the name stands in the field's */
    FORM_END_USER,
};

/* The first row is our own: it is read before the others. */
static const struct source {
    struct slice field; /* FORM_PROPERTY: its beginning */
    enum form form;
} sources[] = {
    {{"x-headgate-tags", 15}, FORM_OWN},
    {{"x-litellm-tags", 14}, FORM_WORDS},
    {{"x-litellm-spend-logs-metadata", 29}, FORM_MAP},
    {{"x-litellm-customer-id", 21}, FORM_END_USER},
    {{"x-litellm-end-user-id", 21}, FORM_END_USER},
    {{"x-portkey-metadata", 18}, FORM_MAP},
    {{"x-tfy-metadata", 14}, FORM_MAP},
    {{"cf-aig-metadata", 15}, FORM_MAP},
    {{"helicone-property-", 18}, FORM_PROPERTY},
    {{"helicone-user-id", 16}, FORM_END_USER},
};
#define SOURCES (sizeof(sources) / sizeof(sources[0]))

/* One field on its way into the set. */
struct reading {
    const struct source *source;
    struct slice field; /* its name, for messages */
    struct arena *arena;
    struct tag_set *set;
    size_t from; /* tags before this one are of other fields */
    struct tag_refusal *why;
};

static int __attribute__((format(printf, 2, 3))) refuse(struct reading *r, const char *format, ...)
{
    int n = snprintf(r->why->message, sizeof(r->why->message),
                     "%.*s: ", r->field.len < 64 ? (int)r->field.len : 64, r->field.at);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->why->message + n, sizeof(r->why->message) - (size_t)n, format, args);
    va_end(args);
    return ERR_SYNTAX;
}

/* --- what a tag may be ------------------------------------------------------------------------ */

/* Printable, and nothing that the fields' own form gives a meaning to. */
static bool
is_name(struct slice s)
{
    if (s.len == 0 || s.len > LIMIT_TAG_NAME_BYTES)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-' || c == '/' || c == ':'))
            return false;
    }
    return true;
}

/* UTF-8 without control characters; empty is a value. */
static bool
is_value(struct slice s)
{
    if (s.len > LIMIT_TAG_VALUE_BYTES)
        return false;
    for (size_t i = 0, n; i < s.len; i += n) {
        uint32_t code;
        n = utf8_take(s.at + i, s.len - i, &code);
        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
            return false;
    }
    return true;
}

static struct policy_tag *
find(struct tag_set *set, struct slice name)
{
    for (size_t i = 0; i < set->count; i++)
        if (slice_eq(set->at[i].name, name))
            return &set->at[i];
    return NULL;
}

static int
add(struct reading *r, struct slice name, struct slice value)
{
    if (!is_name(name))
        return refuse(r,
                      "a tag's name has 1 to %d bytes: letters, digits, '.', '_', '-', '/' and ':'",
                      LIMIT_TAG_NAME_BYTES);
    if (!is_value(value))
        return refuse(r, "a tag's value has at most %d bytes: UTF-8 without control characters",
                      LIMIT_TAG_VALUE_BYTES);
    const struct policy_tag *there = find(r->set, name);
    if (there && there >= r->set->at + r->from)
        return refuse(r, "the tag '%.*s' is there twice", SLICE_ARG(name));
    if (there)
        return 0;
    if (r->set->count == LIMIT_REQUEST_TAGS)
        return refuse(r, "a request has at most %d tags", LIMIT_REQUEST_TAGS);
    r->set->at[r->set->count++] = (struct policy_tag){name, value};
    return 0;
}

static int
set_end_user(struct reading *r, struct slice value)
{
    if (value.len == 0 || !is_value(value))
        return refuse(r, "an end user has 1 to %d bytes: UTF-8 without control characters",
                      LIMIT_TAG_VALUE_BYTES);
    if (!r->set->end_user.len)
        r->set->end_user = value;
    return 0;
}

/* --- the forms -------------------------------------------------------------------------------- */

/* Texts, and numbers and truth values as they are spelt. */
static int
scalar(struct slice text, struct json_span at, struct arena *a, struct slice *ret)
{
    switch (at.kind) {
    case JSON_TEXT:
        return json_text(text, at, a, ret);
    case JSON_NUMBER:
    case JSON_TRUE_:
    case JSON_FALSE_:
        *ret = json_raw(text, at);
        return 0;
    default:
        return ERR_SYNTAX;
    }
}

static int
add_member(struct reading *r, struct slice text, struct json_span name_at,
           struct json_span value_at)
{
    struct slice name, value;
    int err = json_text(text, name_at, r->arena, &name);
    if (!err)
        err = scalar(text, value_at, r->arena, &value);
    if (err)
        return err == ERR_SYNTAX ? refuse(r, "a member is no text, number or truth value") : err;
    if (slice_is(name, "_user")) /* where Portkey's clients have it */
        return set_end_user(r, value);
    return add(r, name, value);
}

static int
read_map(struct reading *r, struct slice text)
{
    static const struct json_limits flat = {.depth = 1, .tokens = 128};
    struct json_span root, name, value;
    struct json_error e = {0};
    size_t cursor;
    int err = json_scan(text, &flat, NULL, 0, NULL, &root, &e);
    if (err == ERR_NOMEM)
        return err;
    if (err || root.kind != JSON_MAP)
        return refuse(r, "must be a JSON object of texts");
    cursor = root.start;
    while (!err && json_next(text, root, &cursor, &name, &value))
        err = add_member(r, text, name, value);
    return err;
}

/* "k=v, k2=v2" */
static int
read_pairs(struct reading *r, struct slice text)
{
    int err = 0;
    while (!err && text.at) {
        struct slice value = slice_trim(slice_cut(&text, ','));
        struct slice name = slice_trim(slice_cut(&value, '='));
        if (!value.at)
            return refuse(r, "must be 'name=value, name=value' or a JSON object of texts");
        err = add(r, name, slice_trim(value));
    }
    return err;
}

/* "a, b:c, d=e" */
static int
read_words(struct reading *r, struct slice text)
{
    int err = 0;
    while (!err && text.at) {
        struct slice word = slice_trim(slice_cut(&text, ','));
        char between = slice_find(word, '=', 0) < word.len ? '=' : ':';
        struct slice value = word, name = slice_trim(slice_cut(&value, between));
        err = add(r, name, value.at ? slice_trim(value) : SLICE("true"));
    }
    return err;
}

static int
read_field(struct reading *r, struct slice value)
{
    switch (r->source->form) {
    case FORM_OWN:
        return value.len && value.at[0] == '{' ? read_map(r, value) : read_pairs(r, value);
    case FORM_WORDS:
        return read_words(r, value);
    case FORM_MAP:
        return read_map(r, value);
    case FORM_PROPERTY:
        return add(r, slice_from(r->field, r->source->field.len), value);
    case FORM_END_USER:
        return set_end_user(r, value);
    }
    return ERR_BAD_STATE;
}

/* --- the head --------------------------------------------------------------------------------- */

static const struct source *
source_of(struct slice name)
{
    char first = name.len ? name.at[0] : '\0';
    if (first != 'x' && first != 'c' && first != 'h')
        return NULL;
    for (size_t i = 0; i < SOURCES; i++) {
        const struct source *s = &sources[i];
        if (s->form == FORM_PROPERTY ? slice_starts(name, s->field) : slice_eq(name, s->field))
            return s;
    }
    return NULL;
}

static int
take(struct reading *r, const struct http_field *field)
{
    struct slice value = slice_trim(arena_copy(r->arena, field->value));
    r->field = arena_copy(r->arena, field->name);
    if (!value.at || !r->field.at)
        return ERR_NOMEM;
    return value.len ? read_field(r, value) : 0;
}

/* own: x-headgate-tags, else all others. */
static int
read_sources(const struct http_head *head, struct reading *r, bool own)
{
    int err = 0;
    for (size_t i = 0; !err && i < head->count; i++) {
        r->source = source_of(head->fields[i].name);
        if (!r->source || (r->source->form == FORM_OWN) != own)
            continue;
        if (!own) /* several lines of ours are one list */
            r->from = r->set->count;
        err = take(r, &head->fields[i]);
    }
    return err;
}

static bool
has_any(const struct http_head *head)
{
    for (size_t i = 0; i < head->count; i++)
        if (source_of(head->fields[i].name))
            return true;
    return false;
}

int
tags_read_head(const struct http_head *head, struct arena *a, struct tag_set **ret_set,
               struct tag_refusal *why)
{
    *ret_set = NULL;
    if (!has_any(head))
        return 0;
    struct reading r = {.arena = a, .set = arena_zalloc(a, sizeof(struct tag_set)), .why = why};
    if (!r.set)
        return ERR_NOMEM;
    int err = read_sources(head, &r, true);
    if (!err)
        err = read_sources(head, &r, false);
    if (!err)
        *ret_set = r.set;
    return err;
}

/* --- the body --------------------------------------------------------------------------------- */

int
tags_add_metadata(struct slice map, struct arena *a, struct tag_set **set)
{
    struct json_span all = {.kind = JSON_MAP, .start = 0, .end = map.len}, name_at, value_at;
    size_t cursor = 0;
    while (json_next(map, all, &cursor, &name_at, &value_at)) {
        struct slice name, value;
        int err;
        if (value_at.kind != JSON_TEXT || value_at.end - value_at.start > 6 * LIMIT_TAG_VALUE_BYTES)
            continue;
        if ((err = json_text(map, name_at, a, &name)) ||
            (err = json_text(map, value_at, a, &value)))
            return err;
        if (!is_name(name) || !is_value(value))
            continue;
        if (!*set && !(*set = arena_zalloc(a, sizeof(**set))))
            return ERR_NOMEM;
        if ((*set)->count == LIMIT_REQUEST_TAGS)
            break;
        if (!find(*set, name))
            (*set)->at[(*set)->count++] = (struct policy_tag){name, value};
    }
    return 0;
}

static bool
key_has(const struct policy_key *key, struct slice name)
{
    struct policy_tag tag;
    size_t cursor = 0;
    while (policy_key_tag(key, &cursor, &tag))
        if (slice_eq(tag.name, name))
            return true;
    return false;
}

void
tags_yield_to_key(struct tag_set *set, const struct policy_key *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++)
        if (!key_has(key, set->at[i].name))
            set->at[kept++] = set->at[i];
    set->count = kept;
}
