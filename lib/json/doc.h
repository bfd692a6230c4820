/*
 * JSON documents as trees, for the control plane and for what is translated: Jansson behind our own
 * names. Only lib/json includes jansson.h; elsewhere a document is an opaque struct json.
 *
 * Reading is table-driven: a table of fields fills a struct, unknown members are errors that name
 * the nearest valid one, and every message carries the path ("models[2].targets[0].weight").
 */
#ifndef LIB_JSON_DOC_H
#define LIB_JSON_DOC_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/json/scan.h"

#include <stdbool.h>
#include <stdint.h>

/* Jansson exports these two names and calls them itself: ours must be others to the linker. */
#define json_copy hg_json_copy
#define json_equal hg_json_equal

struct json; /* counted by Jansson; lists and maps own their children */

/* Parses strictly (as json_scan; any duplicate member refused, depth 64): 0, ERR_SYNTAX, ERR_NOMEM.
 * On failure the message (line, column, what) is in why[0..why_bytes). The caller frees with
 * json_free. */
MUST_CHECK int json_parse(struct slice text, struct json **ret_doc, char *why, size_t why_bytes);
void json_free(struct json *j);               /* drops one reference; NULL is fine */
struct json *json_ref(struct json *j);        /* one more reference */
struct json *json_copy(const struct json *j); /* deep; NULL: no memory */

struct json *json_new_map(void);
struct json *json_new_list(void);
struct json *json_new_text(struct slice s); /* NULL also for invalid UTF-8 */
struct json *json_new_int(int64_t v);
struct json *json_new_number(double v); /* for the shapes of others only; finite */
struct json *json_new_bool(bool v);
struct json *json_new_null(void);
/* Takes value (frees it on failure; NULL value is ERR_NOMEM). */
MUST_CHECK int json_set(struct json *map, const char *name, struct json *value);
MUST_CHECK int json_append(struct json *list, struct json *value);
MUST_CHECK int json_set_text(struct json *map, const char *name, struct slice s);
MUST_CHECK int json_set_str(struct json *map, const char *name, const char *text); /* NULL: null */
MUST_CHECK int json_set_int(struct json *map, const char *name, int64_t v);
MUST_CHECK int json_set_bool(struct json *map, const char *name, bool v);
int json_remove(struct json *map, const char *name); /* 0 or ERR_NOT_FOUND */

enum json_kind json_kind(const struct json *j); /* JSON_ABSENT for NULL */
/* Borrowed; NULL when absent or j is no map. */
struct json *json_get(const struct json *map, const char *name);
struct json *json_at(const struct json *list, size_t index);
size_t json_size(const struct json *j); /* of a list or a map */
/* Borrowed; at == NULL when it is no text. */
struct slice json_str(const struct json *j);
/* 0 or ERR_SYNTAX (no integer). */
MUST_CHECK int json_to_int(const struct json *j, int64_t *ret_value);
/* The decimal text of a number or of a decimal string, for money_parse_*: 0 or ERR_SYNTAX. */
#define JSON_DECIMAL_BYTES 32
MUST_CHECK int json_decimal(const struct json *j, char ret_text[static JSON_DECIMAL_BYTES]);
bool json_is_true(const struct json *j);
bool json_equal(const struct json *a, const struct json *b);
/* Walks a map in insertion order: start with *iter = NULL; false at the end. Both are borrowed. */
bool json_each(struct json *map, void **iter, const char **ret_name, struct json **ret_value);

/* Appends the text. sorted: members by name (canonical, for digests); indent 0: compact. */
MUST_CHECK int json_write(const struct json *j, bool sorted, int indent, struct buf *into);

/* --- checked against a table -------------------------------------------------------------------
 */

enum field_kind {
    FIELD_TEXT, /* string */
    FIELD_INT,
    FIELD_BOOL,
    FIELD_USD,   /* decimal string or number: dollars, kept as text, checked with money_parse_usd */
    FIELD_PRICE, /* decimal string or number: USD per million tokens */
    FIELD_TIME,  /* RFC 3339 or date */
    FIELD_ENUM,  /* one of `values` */
    FIELD_LIST,  /* of `item` */
    FIELD_MAP,   /* `item` describes it */
    FIELD_TEXTS, /* list of strings */
    FIELD_TAGS,  /* map of string to string */
    FIELD_INTS,  /* list of integers, each within min and max */
};

struct field_table;
struct field_row {
    const char *name;
    enum field_kind kind;
    bool required;
    bool read_only;   /* given by us; refused in input */
    int64_t min, max; /* of a number, or of a text's bytes (max 0: LIMIT_JSON_TEXT_BYTES) */
    const char *const *values;                              /* FIELD_ENUM: NULL-terminated */
    const struct field_table *item;                         /* FIELD_LIST, FIELD_MAP */
    bool (*check)(struct slice text, const char **ret_why); /* of a text, or NULL */
    size_t most; /* elements of a list or map; 0: what the caller of json_check has for its kind */
    const char *help; /* one line: docs, --help, the JSON Schema */
};
struct field_table {
    const char *noun; /* "model" */
    const struct field_row *rows;
    size_t count;
};
/* 0, or ERR_SYNTAX with a message that begins with the path. `path` is where `map` stands. */
MUST_CHECK int json_check(const struct json *map, const struct field_table *table, const char *path,
                          struct buf *why);
/* The JSON Schema (2020-12) of a table, as a document the caller frees. NULL: no memory. pattern_of
 * gives the regular expression (ECMA 262) of what a row's check takes, or NULL where it has none.
 */
typedef const char *json_pattern_of(bool (*check)(struct slice text, const char **ret_why));
struct json *json_schema(const struct field_table *table, json_pattern_of *pattern_of);
/* What json_check takes for a time, for amounts, and for a text without a check of its own. */
#define JSON_TIME_PATTERN                                                                          \
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:"       \
    "([0-5][0-9]|60)(\\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$"
#define JSON_USD_PATTERN "^[0-9]+(\\.[0-9]{1,9})?$"
#define JSON_PRICE_PATTERN "^[0-9]+(\\.[0-9]{1,6})?$"
#define JSON_TEXT_PATTERN "^[^\\x00-\\x08\\x0b-\\x1f\\x7f]*$"
#define LIMIT_JSON_TEXT_BYTES 1024 /* where a row says nothing */
/* The nearest of the table's names to a misspelt one, or NULL when none is near. */
const char *json_nearest(const struct field_table *table, struct slice name);

#endif
