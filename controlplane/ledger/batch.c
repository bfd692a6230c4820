#include "controlplane/ledger/batch.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/rand.h"
#include "lib/json/doc.h"

/* --- tags ------------------------------------------------------------------------------------ */

static int
add_tags(struct json *map, const struct usage *u, struct arena *a)
{
    for (size_t i = 0; i < u->tag_count; i++) {
        const char *name = arena_strdup(a, u->tags[i].name);
        int err = name ? json_set_text(map, name, u->tags[i].value) : ERR_NOMEM;
        if (err)
            return err;
    }
    return 0;
}

/* One spelling for one set of tags. */
static int
canonical_tags(struct batch_item *item, struct arena *a)
{
    struct json *map;
    struct buf text;
    int err;

    item->tags = SLICE("{}");
    if (!item->u.tag_count)
        return 0;
    if (!(map = json_new_map()))
        return ERR_NOMEM;
    buf_init(&text, 0);
    if (!(err = add_tags(map, &item->u, a)) && !(err = json_write(map, true, 0, &text)))
        item->tags = arena_copy(a, buf_slice(&text));
    if (!err && !item->tags.at)
        err = ERR_NOMEM;
    buf_free(&text);
    json_free(map);
    return err;
}

/* --- taking apart ---------------------------------------------------------------------------- */

int
batch_quarantine(struct batch *b, const struct batch_item *item, const char *reason,
                 const char *detail)
{
    struct batch_item *p;

    if (b->poison_count == b->poison_cap) {
        size_t cap = b->poison_cap ? b->poison_cap * 2 : 16;
        struct batch_item *grown = arena_alloc(&b->arena, cap * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        if (b->poison_count)
            memcpy(grown, b->poison, b->poison_count * sizeof(*grown));
        b->poison = grown;
        b->poison_cap = cap;
    }
    p = &b->poison[b->poison_count];
    *p = *item;
    p->poison = reason;
    p->detail = arena_strdup(&b->arena, slice_of(detail));
    if (!p->detail)
        return ERR_NOMEM;
    b->poison_count++;
    return 0;
}

static int
take_record(struct batch *b, struct slice bytes)
{
    struct batch_item item = {.bytes = bytes};
    const char *why;
    int err = usage_decode(bytes, &b->arena, &item.u);

    if (err == ERR_NOMEM)
        return err;
    if (err)
        return batch_quarantine(b, &item, "undecodable", "not a serialised Usage");
    if (item.u.sequence && (!b->first_sequence || item.u.sequence < b->first_sequence))
        b->first_sequence = item.u.sequence;
    item.time_ms = uuid7_wall_ms(item.u.attempt_id);
    if ((why = judge_usage(&item.u, &b->arena)))
        return batch_quarantine(b, &item, why, "");
    if ((err = canonical_tags(&item, &b->arena)))
        return err;
    b->items[b->count++] = item;
    return 0;
}

static int
by_attempt(const void *a, const void *b)
{
    const struct batch_item *x = a, *y = b;

    return memcmp(x->u.attempt_id, y->u.attempt_id, ATTEMPT_ID_BYTES);
}

/* Locks are taken in the order of attempt ids by everybody: no deadlock between batches. */
static void
sort_and_unite(struct batch *b)
{
    size_t kept = 0;

    if (b->count)
        qsort(b->items, b->count, sizeof(*b->items), by_attempt);
    for (size_t i = 0; i < b->count; i++) {
        if (kept && by_attempt(&b->items[kept - 1], &b->items[i]) == 0) {
            b->repeated++;
            continue;
        }
        b->items[kept++] = b->items[i];
    }
    b->count = kept;
}

int
batch_init(struct batch *b, struct slice node, uint32_t slot, const struct usage_batch *in)
{
    size_t bytes = 0;
    int err = 0;

    *b = (struct batch){.node = node, .slot = slot, .last_sequence = in->last_sequence};
    memcpy(b->spool_id, in->spool_id, SPOOL_ID_BYTES);
    arena_init(&b->arena, 0);
    for (size_t i = 0; i < in->count; i++)
        bytes += in->records[i].len;
    /* A batch may pass the bound by its last record. */
    if (in->count > LIMIT_BATCH_RECORDS || bytes > LIMIT_BATCH_BYTES + LIMIT_USAGE_BYTES ||
        in->last_sequence > INT64_MAX)
        return ERR_LIMIT;
    if (!(b->items = arena_alloc(&b->arena, (in->count + 1) * sizeof(*b->items))))
        return ERR_NOMEM;
    for (size_t i = 0; !err && i < in->count; i++)
        err = take_record(b, in->records[i]);
    if (!err)
        sort_and_unite(b);
    return err;
}

void
batch_fini(struct batch *b)
{
    arena_free(&b->arena);
}
