/*
 * Private to lib/json: the only place where Jansson's header and ours meet. Included first by
 * doc*.c, because some names are used by both.
 */
#ifndef LIB_JSON_OWN_H
#define LIB_JSON_OWN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#undef json_is_true /* a macro there, a function of ours in doc.h */

static inline bool
jansson_equal(const json_t *a, const json_t *b)
{
    return json_equal(a, b) == 1;
}

#include "lib/json/doc.h"

/* A struct json is never defined: it is a json_t seen from outside. */
static inline json_t *
theirs(struct json *j)
{
    return (json_t *)(void *)j;
}

/* For Jansson's readers, most of which lack the const they mean. */
static inline json_t *
theirs_const(const struct json *j)
{
    return (json_t *)(uintptr_t)j;
}

static inline struct json *
ours(json_t *j)
{
    return (struct json *)(void *)j;
}

#endif
