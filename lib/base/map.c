#include "lib/base/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/load.h"
#include "lib/base/rand.h"

/* A slot is free when its value is NULL. Linear probing; removal shifts back what follows, so
 * there are no tombstones and a look-up ends at the first free slot. */
struct map_slot {
    uint64_t hash;
    struct slice key;
    void *value;
};

#define FIRST_SLOTS 8

static uint64_t hash_key[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
choose_key(void)
{
    rand_bytes(hash_key, sizeof(hash_key));
}

static inline uint64_t
rotate(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

/* Inlined, so that the four words stay in registers over a hash. */
static inline __attribute__((always_inline)) void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* n < 8 */
static uint64_t
little_endian(const unsigned char *at, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012). */
static uint64_t
siphash(const uint64_t key[2], const unsigned char *at, size_t n)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; at += 8, n -= 8) {
        uint64_t m = load_le64(at);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    last |= little_endian(at, n);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
map_hash(const void *bytes, size_t n)
{
    pthread_once(&once, choose_key);
    return siphash(hash_key, bytes, n);
}

void
map_init(struct map *m)
{
    *m = (struct map){0};
}

void
map_free(struct map *m)
{
    if (!m)
        return;
    free(m->slots);
    map_init(m);
}

/* The slot that holds the key, or the free one where it would go. */
static size_t
probe(const struct map *m, uint64_t hash, struct slice key)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].value && !(m->slots[i].hash == hash && slice_eq(m->slots[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return i;
}

void *
map_find(const struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    return m->slots[probe(m, map_hash(key.at, key.len), key)].value;
}

static int
grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : FIRST_SLOTS, .count = m->count};
    bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
    if (!bigger.slots)
        return ERR_NOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            bigger.slots[probe(&bigger, m->slots[i].hash, m->slots[i].key)] = m->slots[i];
    free(m->slots);
    *m = bigger;
    return 0;
}

int
map_put(struct map *m, struct slice key, void *value)
{
    if ((m->count + 1) * 4 > m->cap * 3 && grow(m) < 0)
        return ERR_NOMEM;
    uint64_t hash = map_hash(key.at, key.len);
    struct map_slot *s = &m->slots[probe(m, hash, key)];
    if (!s->value)
        m->count++;
    *s = (struct map_slot){hash, key, value};
    return 0;
}

void *
map_remove(struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    size_t mask = m->cap - 1, hole = probe(m, map_hash(key.at, key.len), key);
    void *value = m->slots[hole].value;
    if (!value)
        return NULL;
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        /* An entry may fill the hole unless its home lies between the hole and itself. */
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    m->count--;
    return value;
}

bool
map_next(const struct map *m, size_t *cursor, struct slice *ret_key, void **ret_value)
{
    while (*cursor < m->cap) {
        const struct map_slot *s = &m->slots[(*cursor)++];
        if (!s->value)
            continue;
        *ret_key = s->key;
        *ret_value = s->value;
        return true;
    }
    return false;
}
