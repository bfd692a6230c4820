#include "controlplane/publish/sections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/encode.h"

static const char *const fixed_names[FIXED_SECTIONS] = {
    [SECTION_LIMITS] = "limits",       [SECTION_MODELS] = "models",     [SECTION_PRICES] = "prices",
    [SECTION_PROVIDERS] = "providers", [SECTION_SETTINGS] = "settings", [SECTION_TEAMS] = "teams",
};

const char *
section_id_name(enum section_id id)
{
    return fixed_names[id];
}

struct section *
section_new(const char *name, struct slice bytes)
{
    struct section *s = malloc(sizeof(*s) + bytes.len + 1);

    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->size = bytes.len;
    if (bytes.len)
        memcpy(s->bytes, bytes.at, bytes.len);
    hash_sha256(s->bytes, s->size, s->sha256);
    return s;
}

struct section *
section_ref(struct section *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void
section_unref(struct section *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1)
        free(s);
}

struct sections *
sections_new(const struct sections *base)
{
    struct sections *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    for (size_t i = 0; base && i < FIXED_SECTIONS; i++)
        s->fixed[i] = base->fixed[i] ? section_ref(base->fixed[i]) : NULL;
    for (size_t i = 0; base && i < SHARDS; i++)
        s->shards[i] = base->shards[i] ? section_ref(base->shards[i]) : NULL;
    return s;
}

struct sections *
sections_ref(struct sections *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void
sections_unref(struct sections *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        section_unref(s->fixed[i]);
    for (size_t i = 0; i < SHARDS; i++)
        section_unref(s->shards[i]);
    free(s);
}

void
sections_set_fixed(struct sections *s, enum section_id id, struct section *with)
{
    section_unref(s->fixed[id]);
    s->fixed[id] = with;
}

void
sections_set_shard(struct sections *s, unsigned shard, struct section *with)
{
    section_unref(s->shards[shard]);
    s->shards[shard] = with;
}

struct section *
sections_find(const struct sections *s, struct slice name)
{
    unsigned char number;

    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        if (slice_is(name, fixed_names[i]))
            return s->fixed[i];
    if (name.len == 7 && slice_starts(name, SLICE("keys/")) &&
        hex_decode(slice_from(name, 5), &number, 1) == 0)
        return s->shards[number];
    return NULL;
}

size_t
sections_list(const struct sections *s, struct section *ret_list[static SECTIONS_MOST])
{
    size_t n = 0;

    for (size_t i = 0; i < SHARDS; i++) /* "keys/.." sorts before the others */
        if (s->shards[i])
            ret_list[n++] = s->shards[i];
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        if (s->fixed[i])
            ret_list[n++] = s->fixed[i];
    return n;
}

uint64_t
sections_total(const struct sections *s)
{
    struct section *list[SECTIONS_MOST];
    size_t n = sections_list(s, list);
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += list[i]->size;
    return total;
}
