/*
 * A borrowed run of bytes: not terminated, not owned. Whoever hands one out says how
 * long it stays valid.
 */
#ifndef LIB_BASE_SLICE_H
#define LIB_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *at;
    size_t len;
};

/* A slice of a string literal, usable in static initialisers too. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
/* For printf: "%.*s", SLICE_ARG(s) */
#define SLICE_ARG(s) (int)(s).len, (s).at

static inline struct slice
slice_make(const void *at, size_t len)
{
    return (struct slice){(const char *)at, len};
}

/* What is absent: at == NULL. */
static inline struct slice
slice_none(void)
{
    return (struct slice){NULL, 0};
}

/* Of a terminated string; NULL gives the empty slice. */
static inline struct slice
slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): where there is a length, there are
     * bytes */
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool
slice_is(struct slice a, const char *text)
{
    return slice_eq(a, slice_of(text));
}

static inline struct slice
slice_from(struct slice s, size_t offset)
{
    return offset >= s.len ? (struct slice){s.at + s.len, 0}
                           : (struct slice){s.at + offset, s.len - offset};
}

/* ASCII case-insensitive equality. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
/* Without leading and trailing SP and HTAB. */
struct slice slice_trim(struct slice s);
/* Index of byte c at or after `from`, or s.len. */
size_t slice_find(struct slice s, char c, size_t from);
/* Cuts *rest at the first c: returns what is before it, leaves what is after it.
 * Without a c, returns all and leaves *rest empty with at == NULL. */
struct slice slice_cut(struct slice *rest, char c);
/* Decimal digits only, no sign, no overflow: 0, ERR_SYNTAX or ERR_RANGE. */
int slice_to_u64(struct slice s, unsigned long long *ret_value) __attribute__((warn_unused_result));
/* A terminated heap copy, or NULL. The caller frees it. */
char *slice_dup(struct slice s);

#endif
