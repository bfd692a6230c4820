/* Edits of the shards of keys: gathered by shard, then merged into what is there in one pass. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/publish/sections.h"
#include "lib/control/section.h"

struct edit {
    unsigned char digest[SHA256_BYTES];
    size_t at, len; /* of the item in the shard's bytes; len 0: removal */
    size_t order;   /* the last edit of a digest counts */
};

struct shard_edits {
    struct edit *at;
    size_t count, room;
    struct buf bytes;
};

struct key_edits {
    struct shard_edits shards[SHARDS];
};

struct key_edits *
key_edits_new(void)
{
    return calloc(1, sizeof(struct key_edits));
}

void
key_edits_free(struct key_edits *e)
{
    for (size_t i = 0; e && i < SHARDS; i++) {
        free(e->shards[i].at);
        buf_free(&e->shards[i].bytes);
    }
    free(e);
}

static int
add(struct key_edits *e, const unsigned char *digest, struct slice item)
{
    struct shard_edits *s = &e->shards[digest[0]];
    struct edit *to;

    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 4;
        struct edit *more = realloc(s->at, room * sizeof(*more));

        if (!more)
            return ERR_NOMEM;
        s->at = more;
        s->room = room;
    }
    to = &s->at[s->count];
    *to = (struct edit){.at = s->bytes.len, .len = item.len, .order = s->count};
    memcpy(to->digest, digest, SHA256_BYTES);
    if (buf_add_slice(&s->bytes, item) != 0)
        return ERR_NOMEM;
    s->count++;
    return 0;
}

int
key_edits_put(struct key_edits *e, const unsigned char digest[static SHA256_BYTES],
              struct slice item)
{
    return add(e, digest, item);
}

int
key_edits_remove(struct key_edits *e, const unsigned char digest[static SHA256_BYTES])
{
    return add(e, digest, SLICE(""));
}

static int
by_digest(const void *a, const void *b)
{
    const struct edit *x = a;
    const struct edit *y = b;
    int c = memcmp(x->digest, y->digest, SHA256_BYTES);

    return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* Sorted, one edit a digest. */
static void
settle(struct shard_edits *s)
{
    size_t n = 0;

    qsort(s->at, s->count, sizeof(*s->at), by_digest);
    for (size_t i = 0; i < s->count; i++) {
        bool last =
            i + 1 == s->count || memcmp(s->at[i].digest, s->at[i + 1].digest, SHA256_BYTES) != 0;

        if (last)
            s->at[n++] = s->at[i];
    }
    s->count = n;
}

/* Where we are in the old shard: the item at hand with its frame. */
struct old {
    struct slice rest, whole;
    unsigned char digest[SHA256_BYTES];
    bool more;
};

static int
next_old(struct old *o)
{
    const char *from = o->rest.at;
    struct slice item;
    int got = section_next(SLICE("keys/00"), &o->rest, &item);

    o->more = got == SECTION_KEY;
    if (!o->more)
        return got == SECTION_END ? 0 : ERR_SYNTAX;
    o->whole = slice_make(from, (size_t)(o->rest.at - from));
    return section_key_digest(item, o->digest);
}

static int
merge(struct shard_edits *s, struct slice before, struct buf *into)
{
    struct old o = {.rest = before};
    size_t i = 0;
    int err = next_old(&o);

    while (!err && (o.more || i < s->count)) {
        int c = !o.more ? 1 : i == s->count ? -1 : memcmp(o.digest, s->at[i].digest, SHA256_BYTES);

        if (c < 0)
            err = buf_add_slice(into, o.whole);
        else if (s->at[i].len)
            err = buf_add(into, s->bytes.at + s->at[i].at, s->at[i].len);
        if (c >= 0)
            i++;
        if (!err && c <= 0)
            err = next_old(&o);
    }
    return err;
}

static int
apply_shard(struct shard_edits *s, unsigned number, struct sections *to)
{
    struct section *old = to->shards[number];
    struct section *made = NULL;
    struct buf bytes;
    char name[16];
    int err;

    settle(s);
    buf_init(&bytes, LIMIT_SECTION_BYTES);
    err = merge(s, old ? section_bytes(old) : SLICE(""), &bytes);
    if (!err && bytes.len) {
        snprintf(name, sizeof(name), "keys/%02x", number);
        made = section_new(name, buf_slice(&bytes));
        err = made ? 0 : ERR_NOMEM;
    }
    if (!err)
        sections_set_shard(to, number, made);
    buf_free(&bytes);
    return err;
}

int
key_edits_apply(struct key_edits *e, struct sections *s)
{
    int err = 0;

    for (unsigned i = 0; !err && i < SHARDS; i++)
        if (e->shards[i].count)
            err = apply_shard(&e->shards[i], i, s);
    return err;
}
