#include "controlplane/publish/shelf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct head *
head_new(const struct snapshot_root *root, struct slice envelope, struct sections *sections)
{
    struct head *h = calloc(1, sizeof(*h) + envelope.len);

    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    h->epoch = root->epoch;
    h->version = root->version;
    h->revision = root->revision;
    h->created_ms = root->created_ms;
    hash_sha256(envelope.at, envelope.len, h->digest);
    snprintf(h->cluster_id, sizeof(h->cluster_id), "%.*s", SLICE_ARG(root->cluster_id));
    h->sections = sections_ref(sections);
    h->size = envelope.len;
    memcpy(h->envelope, envelope.at, envelope.len);
    return h;
}

struct head *
head_ref(struct head *h)
{
    atomic_fetch_add(&h->refs, 1);
    return h;
}

void
head_unref(struct head *h)
{
    if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    sections_unref(h->sections);
    free(h);
}

struct shelf {
    pthread_mutex_t lock;
    struct head *heads[SHELF_HEADS]; /* newest first */
    size_t count;
};

struct shelf *
shelf_new(void)
{
    struct shelf *s = calloc(1, sizeof(*s));

    if (s)
        pthread_mutex_init(&s->lock, NULL);
    return s;
}

void
shelf_free(struct shelf *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        head_unref(s->heads[i]);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Which one gives way: the oldest, unless it is the only one that was accepted. */
static size_t
victim(const struct shelf *s)
{
    size_t last = s->count - 1;
    size_t good = 0;

    for (size_t i = 0; i < s->count; i++)
        good += atomic_load(&s->heads[i]->good);
    return good == 1 && atomic_load(&s->heads[last]->good) ? last - 1 : last;
}

void
shelf_push(struct shelf *s, struct head *h)
{
    pthread_mutex_lock(&s->lock);
    if (s->count == SHELF_HEADS) {
        size_t i = victim(s);

        head_unref(s->heads[i]);
        memmove(s->heads + i, s->heads + i + 1, (s->count - i - 1) * sizeof(struct head *));
        s->count--;
    }
    memmove(s->heads + 1, s->heads, s->count * sizeof(struct head *));
    s->heads[0] = h;
    s->count++;
    pthread_mutex_unlock(&s->lock);
}

struct head *
shelf_newest(struct shelf *s)
{
    struct head *h;

    pthread_mutex_lock(&s->lock);
    h = s->count ? head_ref(s->heads[0]) : NULL;
    pthread_mutex_unlock(&s->lock);
    return h;
}

struct head *
shelf_last_good(struct shelf *s)
{
    struct head *h = NULL;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; !h && i < s->count; i++)
        if (atomic_load(&s->heads[i]->good))
            h = head_ref(s->heads[i]);
    pthread_mutex_unlock(&s->lock);
    return h;
}

static struct section *
section_of(const struct head *h, const unsigned char sha256[static SHA256_BYTES])
{
    struct section *list[SECTIONS_MOST];
    size_t n = sections_list(h->sections, list);

    for (size_t i = 0; i < n; i++)
        if (memcmp(list[i]->sha256, sha256, SHA256_BYTES) == 0)
            return list[i];
    return NULL;
}

struct section *
shelf_section(struct shelf *s, const unsigned char sha256[static SHA256_BYTES])
{
    struct section *found = NULL;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; !found && i < s->count; i++)
        found = section_of(s->heads[i], sha256);
    if (found)
        section_ref(found);
    pthread_mutex_unlock(&s->lock);
    return found;
}

void
shelf_accepted(struct shelf *s, uint64_t epoch, uint64_t version)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++)
        if (s->heads[i]->epoch == epoch && s->heads[i]->version == version)
            atomic_store(&s->heads[i]->good, true);
    pthread_mutex_unlock(&s->lock);
}
