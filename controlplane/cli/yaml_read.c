/* From libyaml's events to a document. The parser is driven by one recursive descent; a sticky
 * error ends it. */
#include "controlplane/cli/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "controlplane/cli/yaml_scalar.h"
#include "lib/base/arena.h"
#include "lib/base/map.h"

struct place {
    size_t line, column;
};

struct yaml_places {
    struct arena arena; /* of the paths and places */
    struct map map;     /* path to struct place */
};

struct anchor {
    struct slice name;
    struct json *value; /* one reference */
};

struct reader {
    yaml_parser_t parser;
    struct yaml_places *places;
    struct buf path; /* of the node being read */
    struct map anchors;
    struct arena arena; /* of the anchors */
    size_t nodes;
    int depth;
    int err; /* sticky */
    struct buf *why;
};

static struct json *read_node(struct reader *r, const yaml_event_t *event);

/* --- places ------------------------------------------------------------------------------------
 */

void
yaml_places_free(struct yaml_places *p)
{
    if (!p)
        return;
    map_free(&p->map);
    arena_free(&p->arena);
    free(p);
}

void
yaml_places_find(const struct yaml_places *p, struct slice path, size_t *ret_line,
                 size_t *ret_column)
{
    *ret_line = *ret_column = 1;
    for (;;) {
        const struct place *found = map_find(&p->map, path);
        if (found) {
            *ret_line = found->line;
            *ret_column = found->column;
            return;
        }
        if (path.len == 0)
            return;
        while (path.len > 0 && path.at[path.len - 1] != '.' && path.at[path.len - 1] != '[')
            path.len--;
        if (path.len > 0)
            path.len--;
    }
}

/* Remembers where the node of the current path stands; the first one stays. */
static int
note_place(struct reader *r, yaml_mark_t mark)
{
    struct slice path = buf_slice(&r->path);
    if (map_find(&r->places->map, path))
        return 0;
    struct place *place = arena_alloc(&r->places->arena, sizeof(*place));
    struct slice kept = arena_copy(&r->places->arena, path);
    if (!place || !kept.at)
        return ERR_NOMEM;
    *place = (struct place){mark.line + 1, mark.column + 1};
    return map_put(&r->places->map, kept, place);
}

/* --- errors ------------------------------------------------------------------------------------
 */

__attribute__((format(printf, 4, 5))) static void
refuse(struct reader *r, int err, yaml_mark_t mark, const char *format, ...)
{
    if (r->err)
        return;
    r->err = err;
    va_list args;
    va_start(args, format);
    buf_clear(r->why);
    if (buf_addf(r->why, "%zu:%zu: ", mark.line + 1, mark.column + 1) == 0 &&
        buf_vaddf(r->why, format, args) != 0)
        buf_clear(r->why);
    va_end(args);
}

static void
no_memory(struct reader *r, yaml_mark_t mark)
{
    refuse(r, ERR_NOMEM, mark, "out of memory");
}

/* The next event, or false with the error set. The caller deletes it. */
static bool
next(struct reader *r, yaml_event_t *event)
{
    if (r->err)
        return false;
    if (yaml_parser_parse(&r->parser, event))
        return true;
    yaml_mark_t mark = r->parser.problem_mark;
    if (r->parser.error == YAML_MEMORY_ERROR)
        no_memory(r, mark);
    else if (r->parser.error == YAML_READER_ERROR)
        refuse(r, ERR_SYNTAX, mark, "no valid text: %s", r->parser.problem);
    else
        refuse(r, ERR_SYNTAX, mark, "%s%s%s", r->parser.problem, r->parser.context ? " " : "",
               r->parser.context ? r->parser.context : "");
    return false;
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static bool
is_text_tag(const yaml_char_t *tag)
{
    return tag &&
           (strcmp((const char *)tag, YAML_STR_TAG) == 0 || strcmp((const char *)tag, "!") == 0);
}

static struct json *
read_scalar(struct reader *r, const yaml_event_t *event)
{
    struct slice text = slice_make(event->data.scalar.value, event->data.scalar.length);
    const yaml_char_t *tag = event->data.scalar.tag;
    if (tag && !is_text_tag(tag)) {
        refuse(r, ERR_SYNTAX, event->start_mark, "the tag %s is not supported", (const char *)tag);
        return NULL;
    }
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tag;
    struct json *value = plain ? yaml_scalar_resolve(text) : json_new_text(text);
    if (!value)
        no_memory(r, event->start_mark);
    return value;
}

static struct json *
read_alias(struct reader *r, const yaml_event_t *event)
{
    struct slice name = slice_of((const char *)event->data.alias.anchor);
    const struct anchor *anchor = map_find(&r->anchors, name);
    if (!anchor) {
        refuse(r, ERR_SYNTAX, event->start_mark, "the alias *%.*s names no anchor before it",
               SLICE_ARG(name));
        return NULL;
    }
    struct json *copy = json_copy(anchor->value);
    if (!copy)
        no_memory(r, event->start_mark);
    return copy;
}

static size_t
count_nodes(struct json *j)
{
    size_t n = 1;
    if (json_kind(j) == JSON_LIST)
        for (size_t i = 0; i < json_size(j) && n < LIMIT_YAML_NODES; i++)
            n += count_nodes(json_at(j, i));
    if (json_kind(j) == JSON_MAP) {
        void *iter = NULL;
        const char *name;
        struct json *value;
        while (n < LIMIT_YAML_NODES && json_each(j, &iter, &name, &value))
            n += count_nodes(value);
    }
    return n;
}

static void
remember_anchor(struct reader *r, const yaml_char_t *name, struct json *value, yaml_mark_t mark)
{
    struct anchor *a = arena_alloc(&r->arena, sizeof(*a));
    struct slice kept = arena_copy(&r->arena, slice_of((const char *)name));
    if (!a || !kept.at) {
        no_memory(r, mark);
        return;
    }
    *a = (struct anchor){kept, json_ref(value)};
    struct anchor *before = map_remove(&r->anchors, kept);
    if (before)
        json_free(before->value);
    if (map_put(&r->anchors, kept, a) != 0)
        no_memory(r, mark);
}

static void
read_items(struct reader *r, struct json *list)
{
    size_t keep = r->path.len;
    for (size_t i = 0;; i++) {
        yaml_event_t event;
        if (!next(r, &event))
            return;
        bool over = event.type == YAML_SEQUENCE_END_EVENT;
        if (!over) {
            if (buf_addf(&r->path, "[%zu]", i) != 0 || note_place(r, event.start_mark) != 0)
                no_memory(r, event.start_mark);
            struct json *item = read_node(r, &event);
            if (item && json_append(list, item) != 0)
                no_memory(r, event.start_mark);
            r->path.len = keep;
        }
        yaml_event_delete(&event);
        if (over)
            return;
    }
}

/* The member that `key` names: appended to the path. */
static bool
enter_member(struct reader *r, const yaml_event_t *key, const struct json *map)
{
    if (key->type != YAML_SCALAR_EVENT) {
        refuse(r, ERR_SYNTAX, key->start_mark, "the name of a member must be text");
        return false;
    }
    struct slice name = slice_make(key->data.scalar.value, key->data.scalar.length);
    if (slice_is(name, "<<")) {
        refuse(r, ERR_SYNTAX, key->start_mark, "merge keys (<<) are not supported");
        return false;
    }
    if (memchr(name.at, '\0', name.len)) {
        refuse(r, ERR_SYNTAX, key->start_mark, "the name of a member holds a zero byte");
        return false;
    }
    if (json_get(map, (const char *)key->data.scalar.value)) {
        refuse(r, ERR_SYNTAX, key->start_mark, "\"%.*s\" is there twice", SLICE_ARG(name));
        return false;
    }
    if (buf_addf(&r->path, "%s%.*s", r->path.len ? "." : "", SLICE_ARG(name)) != 0 ||
        note_place(r, key->start_mark) != 0) {
        no_memory(r, key->start_mark);
        return false;
    }
    return true;
}

static void
read_member(struct reader *r, const yaml_event_t *key, struct json *map)
{
    yaml_event_t event;
    if (!enter_member(r, key, map) || !next(r, &event))
        return;
    struct json *value = read_node(r, &event);
    if (value && json_set(map, (const char *)key->data.scalar.value, value) != 0)
        refuse(r, ERR_SYNTAX, key->start_mark, "the name of a member is no valid text");
    yaml_event_delete(&event);
}

static void
read_members(struct reader *r, struct json *map)
{
    size_t keep = r->path.len;
    for (;;) {
        yaml_event_t event;
        if (!next(r, &event))
            return;
        bool over = event.type == YAML_MAPPING_END_EVENT;
        if (!over)
            read_member(r, &event, map);
        r->path.len = keep;
        yaml_event_delete(&event);
        if (over)
            return;
    }
}

static struct json *
read_collection(struct reader *r, const yaml_event_t *event)
{
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    struct json *value = is_map ? json_new_map() : json_new_list();
    if (!value) {
        no_memory(r, event->start_mark);
        return NULL;
    }
    if (++r->depth > LIMIT_YAML_DEPTH)
        refuse(r, ERR_LIMIT, event->start_mark, "nested deeper than %d", LIMIT_YAML_DEPTH);
    else if (is_map)
        read_members(r, value);
    else
        read_items(r, value);
    r->depth--;
    return value;
}

static const yaml_char_t *
anchor_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor;
    default: /* libyaml's enumeration, not ours */
        return NULL;
    }
}

/* The node that begins with `event`; NULL with the error set. */
static struct json *
read_node(struct reader *r, const yaml_event_t *event)
{
    struct json *value = NULL;
    if (r->err)
        return NULL;
    if (event->type == YAML_ALIAS_EVENT)
        value = read_alias(r, event);
    else if (event->type == YAML_SCALAR_EVENT)
        value = read_scalar(r, event);
    else
        value = read_collection(r, event);
    r->nodes += event->type == YAML_ALIAS_EVENT && value ? count_nodes(value) : 1;
    if (r->nodes > LIMIT_YAML_NODES)
        refuse(r, ERR_LIMIT, event->start_mark, "more than %d values", LIMIT_YAML_NODES);
    if (value && !r->err && anchor_of(event))
        remember_anchor(r, anchor_of(event), value, event->start_mark);
    if (r->err) {
        json_free(value);
        return NULL;
    }
    return value;
}

/* --- the stream --------------------------------------------------------------------------------
 */

/* Skips the stream's and the document's start; an empty stream gives an empty map. */
static struct json *
read_stream(struct reader *r)
{
    struct json *doc = NULL;
    for (bool over = false; !over && !r->err;) {
        yaml_event_t event;
        if (!next(r, &event))
            break;
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            over = true;
            break;
        case YAML_SCALAR_EVENT:
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
        case YAML_ALIAS_EVENT:
            if (doc)
                refuse(r, ERR_SYNTAX, event.start_mark, "more than one document (---) in the file");
            else
                doc = read_node(r, &event);
            break;
        default: /* starts and ends */
            break;
        }
        yaml_event_delete(&event);
    }
    if (!r->err && (!doc || json_kind(doc) == JSON_NULL_)) {
        json_free(doc);
        doc = json_new_map();
    }
    if (r->err) {
        json_free(doc);
        doc = NULL;
    }
    return doc;
}

static void
reader_fini(struct reader *r)
{
    size_t cursor = 0;
    struct slice name;
    void *value;
    while (map_next(&r->anchors, &cursor, &name, &value))
        json_free(((struct anchor *)value)->value);
    map_free(&r->anchors);
    arena_free(&r->arena);
    buf_free(&r->path);
    yaml_parser_delete(&r->parser);
}

int
yaml_read(struct slice text, struct json **ret_doc, struct yaml_places **ret_places,
          struct buf *why)
{
    struct reader r = {.why = why};
    struct yaml_places *places = calloc(1, sizeof(*places));
    *ret_doc = NULL;
    *ret_places = NULL;
    if (!places || !yaml_parser_initialize(&r.parser)) {
        free(places);
        return ERR_NOMEM;
    }
    arena_init(&places->arena, 0);
    map_init(&places->map);
    arena_init(&r.arena, 0);
    map_init(&r.anchors);
    buf_init(&r.path, 65536);
    r.places = places;
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.at, text.len);
    if (text.len > LIMIT_YAML_BYTES)
        refuse(&r, ERR_LIMIT, (yaml_mark_t){0}, "larger than %u MiB", LIMIT_YAML_BYTES >> 20);
    struct json *doc = r.err ? NULL : read_stream(&r);
    int err = doc ? 0 : r.err ? r.err : ERR_NOMEM;
    reader_fini(&r);
    if (err) {
        yaml_places_free(places);
        return err;
    }
    *ret_doc = doc;
    *ret_places = places;
    return 0;
}
