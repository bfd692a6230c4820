#include "dataplane/state/cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/map.h"

/* One allocation: the answer, and behind it its texts. */
struct entry {
    struct cached answer; /* first: what is lent */
    TAILQ_ENTRY(entry) link;
    int64_t until_ms;
    size_t bytes; /* of the allocation */
    unsigned refs;
    char texts[];
};

struct cache {
    struct map by_key;                 /* -> struct entry, which has the key's bytes */
    TAILQ_HEAD(entries, entry) by_use; /* the last used first */
    uint64_t max_bytes;
    struct cache_counts counts;
};

struct cache *
cache_new(uint64_t max_bytes)
{
    struct cache *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    map_init(&c->by_key);
    TAILQ_INIT(&c->by_use);
    c->max_bytes = max_bytes;
    return c;
}

static struct slice
key_of(const unsigned char *key)
{
    return slice_make(key, SHA256_BYTES);
}

static void
unref(struct entry *e)
{
    assert(e->refs > 0);
    if (--e->refs == 0)
        free(e);
}

/* Out of the cache; whoever holds it keeps it. */
static void
drop(struct cache *c, struct entry *e)
{
    map_remove(&c->by_key, key_of(e->answer.key));
    TAILQ_REMOVE(&c->by_use, e, link);
    c->counts.bytes -= e->bytes;
    c->counts.answers--;
    unref(e);
}

void
cache_free(struct cache *c)
{
    struct entry *e;
    if (!c)
        return;
    while ((e = TAILQ_FIRST(&c->by_use)) != NULL)
        drop(c, e);
    map_free(&c->by_key);
    free(c);
}

/* --- looking up ------------------------------------------------------------------------------- */

const struct cached *
cache_get(struct cache *c, const unsigned char key[static SHA256_BYTES], int64_t now_ms)
{
    struct entry *e = map_find(&c->by_key, key_of(key));
    if (!e)
        return NULL;
    if (now_ms >= e->until_ms) {
        drop(c, e);
        return NULL;
    }
    TAILQ_REMOVE(&c->by_use, e, link);
    TAILQ_INSERT_HEAD(&c->by_use, e, link);
    e->refs++;
    return &e->answer;
}

void
cache_unref(const struct cached *a)
{
    if (a)
        unref((struct entry *)(uintptr_t)a);
}

/* --- keeping ---------------------------------------------------------------------------------- */

static size_t
size_of(const struct cached *a)
{
    size_t n = sizeof(struct entry) + a->model.len + a->team.len + a->body.len;
    for (size_t i = 0; i < a->field_count; i++)
        n += a->fields[i].name.len + a->fields[i].value.len;
    return n;
}

static void
copy(char **at, struct slice *text)
{
    if (text->len)
        memcpy(*at, text->at, text->len);
    text->at = *at;
    *at += text->len;
}

static struct entry *
entry_new(const struct cached *a, size_t bytes)
{
    struct entry *e = malloc(bytes);
    if (!e)
        return NULL;
    *e = (struct entry){.answer = *a, .bytes = bytes, .refs = 1};
    char *at = e->texts;
    copy(&at, &e->answer.model);
    copy(&at, &e->answer.team);
    for (size_t i = 0; i < a->field_count; i++) {
        copy(&at, &e->answer.fields[i].name);
        copy(&at, &e->answer.fields[i].value);
    }
    copy(&at, &e->answer.body);
    return e;
}

static void
make_room(struct cache *c, size_t bytes)
{
    while (c->counts.bytes + bytes > c->max_bytes || c->counts.answers == LIMIT_CACHED_ANSWERS) {
        drop(c, TAILQ_LAST(&c->by_use, entries));
        c->counts.evicted++;
    }
}

int
cache_put(struct cache *c, const struct cached *answer, int64_t now_ms, int64_t ttl_ms)
{
    size_t bytes = size_of(answer);
    struct entry *e = map_find(&c->by_key, key_of(answer->key));
    assert(answer->field_count <= LIMIT_CACHED_FIELDS);
    if (e)
        drop(c, e);
    if (bytes > LIMIT_CACHED_BYTES || bytes > c->max_bytes)
        return ERR_LIMIT;
    if (!(e = entry_new(answer, bytes)))
        return ERR_NOMEM;
    e->answer.stored_ms = now_ms;
    e->until_ms = now_ms + ttl_ms;
    make_room(c, bytes);
    if (map_put(&c->by_key, key_of(e->answer.key), e)) {
        free(e);
        return ERR_NOMEM;
    }
    TAILQ_INSERT_HEAD(&c->by_use, e, link);
    c->counts.bytes += bytes;
    c->counts.answers++;
    c->counts.stored++;
    return 0;
}

/* --- dropping --------------------------------------------------------------------------------- */

bool
cache_is_current(const struct cached *a, const struct policy *p)
{
    struct policy_target target;
    struct policy_model scratch;
    const struct policy_model *m = policy_find_model(p, a->model, &scratch, &target);
    return m && m->cache && memcmp(m->cache->config, a->config, SHA256_BYTES) == 0 &&
           policy_find_team(p, a->team);
}

void
cache_follow(struct cache *c, const struct policy *p)
{
    struct entry *e, *next;
    for (e = TAILQ_FIRST(&c->by_use); e; e = next) {
        next = TAILQ_NEXT(e, link);
        if (!cache_is_current(&e->answer, p))
            drop(c, e);
    }
}

void
cache_tend(struct cache *c, int64_t now_ms)
{
    struct entry *e, *next;
    for (e = TAILQ_FIRST(&c->by_use); e; e = next) {
        next = TAILQ_NEXT(e, link);
        if (now_ms >= e->until_ms)
            drop(c, e);
    }
}

struct cache_counts
cache_counts(const struct cache *c)
{
    return c->counts;
}

/* --- the key ---------------------------------------------------------------------------------- */

void
cache_key(const struct slice *parts, size_t count, unsigned char ret_key[static SHA256_BYTES])
{
    struct slice pieces[2 * LIMIT_KEY_PARTS];
    uint64_t lengths[LIMIT_KEY_PARTS];
    assert(count <= LIMIT_KEY_PARTS);
    for (size_t i = 0; i < count; i++) {
        lengths[i] = parts[i].at ? parts[i].len : UINT64_MAX; /* no text is as long */
        pieces[2 * i] = slice_make((const char *)&lengths[i], sizeof(lengths[i]));
        pieces[2 * i + 1] = parts[i].at ? parts[i] : SLICE("");
    }
    hash_sha256_pieces(pieces, 2 * count, ret_key);
}
