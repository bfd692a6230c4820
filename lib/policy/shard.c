/*
 * One shard of keys, packed. A million keys must cost well under 200 bytes each, and one must be
 * found in less time than its HMAC takes:
 *
 *   slots     sorted by digest, with gaps: 32 bytes, where its record is in the blob, its team. The
 *             bits after the first byte say where to look; what was there is in one of the next few
 *             slots, before the first gap (digests are uniform, and nobody without the pepper
 *             chooses one). So a look-up misses the cache once for the slot, and then, both at the
 *             same time, for the record and the team.
 *   blob      records: flags, name, what it belongs to (numbers into the lists below), ...
 *   names     of teams, projects and users, once each a shard: a binding says what they mean
 */
#include "lib/policy/policy_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/rand.h"

enum {
    FLAG_ALL_MODELS = 1,
    FLAG_DISABLED = 2,
    FLAG_REFUSE = 4,
    FLAG_EXPIRES = 8,
    FLAG_ID = 16,
    FLAG_PROJECT = 32,
    FLAG_USER = 64,
    FLAG_LISTS = 128
};

#define SPARE_SLOTS 32          /* behind the last home */
#define LIMIT_SHARD_KEYS 200000 /* fifty times the mean of a million keys */

enum owner { OWNER_TEAM, OWNER_PROJECT, OWNER_USER, OWNERS };

static const char *const owner_names[OWNERS] = {"team", "project", "user"};

struct owner_name {
    uint32_t at, len;   /* in the blob */
    uint32_t first_key; /* the slot of one that names it, for messages */
};

#define NO_KEY UINT32_MAX

struct key_slot {
    unsigned char digest[SHA256_BYTES];
    uint32_t offset; /* NO_KEY: a gap */
    uint32_t team;
};

struct key_shard {
    atomic_uint refs;
    size_t count;
    struct key_slot *slots; /* the last one is a gap */
    uint32_t homes;         /* slots that a key may belong into; more stand behind them */
    size_t slot_count;
    char *blob;
    size_t blob_len;
    struct owner_name *owners[OWNERS];
    size_t owner_count[OWNERS];
};

/* Where a key belongs, or, when that is taken, soon after. Never falls when digests rise. */
static size_t
home_of(const struct key_shard *s, const unsigned char *digest)
{
    uint32_t after = (uint32_t)digest[1] << 24 | (uint32_t)digest[2] << 16 |
                     (uint32_t)digest[3] << 8 | digest[4];

    return (size_t)((uint64_t)after * s->homes >> 32);
}

/* --- records: written once, walked by a cursor that trusts them ------------------------------ */

struct builder {
    struct key_shard *shard;
    unsigned number;
    size_t next; /* behind the last key's slot */
    struct buf blob;
    struct map owners[OWNERS]; /* name -> 1 + its number */
    size_t owner_room[OWNERS];
    struct map names, ids;
    struct arena arena; /* of the maps' keys */
    struct buf *why;
};

#define BAD_KEY(b, k, err, format, ...)                                                            \
    refuse((b)->why, (err), "keys/%02x[%zu] '%.*s': " format, (b)->number, (b)->shard->count,      \
           SLICE_ARG((k)->name), ##__VA_ARGS__)

static int
put_number(struct buf *b, uint32_t v)
{
    unsigned char at[5];
    size_t n = 0;

    while (v > 0x7f) {
        at[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    at[n++] = (unsigned char)v;
    return buf_add(b, at, n);
}

static uint32_t
get_number(const char **at)
{
    uint32_t v = 0;

    for (unsigned shift = 0;; shift += 7) {
        unsigned char c = (unsigned char)*(*at)++;

        v |= (uint32_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return v;
    }
}

static int
put_slice(struct buf *b, struct slice s)
{
    int err = put_number(b, (uint32_t)s.len);

    return err ? err : buf_add_slice(b, s);
}

static struct slice
get_slice(const char **at)
{
    size_t len = get_number(at);
    struct slice s = slice_make(*at, len);

    *at += len;
    return s;
}

/* --- building ------------------------------------------------------------------------------ */

/* The number of an owner's name in this shard, made on first sight. */
static int
owner_number(struct builder *b, enum owner kind, struct slice name, uint32_t *ret_number)
{
    struct key_shard *s = b->shard;
    void *known = map_find(&b->owners[kind], name);
    struct slice copy;

    if (known) {
        *ret_number = (uint32_t)((uintptr_t)known - 1);
        return 0;
    }
    if (s->owner_count[kind] == b->owner_room[kind]) {
        size_t room = b->owner_room[kind] ? 2 * b->owner_room[kind] : 8;
        struct owner_name *more = realloc(s->owners[kind], room * sizeof(*more));

        if (!more)
            return ERR_NOMEM;
        s->owners[kind] = more;
        b->owner_room[kind] = room;
    }
    *ret_number = (uint32_t)s->owner_count[kind];
    s->owners[kind][*ret_number] =
        (struct owner_name){(uint32_t)b->blob.len, (uint32_t)name.len, (uint32_t)b->next};
    copy = arena_copy(&b->arena, name);
    if (!copy.at || buf_add_slice(&b->blob, name) != 0 ||
        map_put(&b->owners[kind], copy, (void *)((uintptr_t)*ret_number + 1)) != 0)
        return ERR_NOMEM;
    s->owner_count[kind]++;
    return 0;
}

static int
check_digest(struct builder *b, const struct section_key *k)
{
    const struct key_shard *s = b->shard;
    int order;

    if (k->digest.len != SHA256_BYTES)
        return BAD_KEY(b, k, ERR_SYNTAX, "the digest is not %d bytes", SHA256_BYTES);
    if ((unsigned char)k->digest.at[0] != b->number)
        return BAD_KEY(b, k, ERR_SYNTAX, "the digest belongs to another shard");
    if (s->count == 0)
        return 0;
    assert(s->slots && b->next > 0);
    order = memcmp(s->slots[b->next - 1].digest, k->digest.at, SHA256_BYTES);
    if (order == 0)
        return BAD_KEY(b, k, ERR_EXISTS, "the digest is there twice");
    return order < 0 ? 0 : BAD_KEY(b, k, ERR_SYNTAX, "the digests are not sorted");
}

static int
enter(struct builder *b, const struct section_key *k, struct map *map, struct slice what,
      const char *noun)
{
    struct slice copy;

    if (map_find(map, what))
        return BAD_KEY(b, k, ERR_EXISTS, "the %s is there twice", noun);
    copy = arena_copy(&b->arena, what);
    if (!copy.at || map_put(map, copy, b) != 0)
        return BAD_KEY(b, k, ERR_NOMEM, "no memory");
    return 0;
}

static int
check_names(struct builder *b, const struct section_key *k)
{
    int err;

    if (!name_is_valid(k->name))
        return BAD_KEY(b, k, ERR_SYNTAX, "name: is empty, too long or malformed");
    if (!k->retired && (err = enter(b, k, &b->names, k->name, "name")) != 0)
        return err;
    if (k->id.len != 0 && k->id.len != 16)
        return BAD_KEY(b, k, ERR_SYNTAX, "the id is not 16 bytes");
    if (!k->retired && k->id.len && (err = enter(b, k, &b->ids, k->id, "id")) != 0)
        return err;
    if (!name_is_valid(k->team))
        return BAD_KEY(b, k, ERR_SYNTAX, "team: is missing or malformed");
    if (k->project.len > LIMIT_NAME_BYTES || k->user.len > LIMIT_NAME_BYTES)
        return BAD_KEY(b, k, ERR_LIMIT, "the name of its project or user is too long");
    return k->expires_ms < 0 ? BAD_KEY(b, k, ERR_SYNTAX, "expires: is before 1970") : 0;
}

static int
check_lists(struct builder *b, const struct section_key *k)
{
    const char *problem = scope_problem(&k->scope);

    if (problem)
        return BAD_KEY(b, k, ERR_SYNTAX, "%s", problem);
    if (k->model_count > LIMIT_KEY_MODELS)
        return BAD_KEY(b, k, ERR_LIMIT, "allow: more than %d models", LIMIT_KEY_MODELS);
    if (k->tag_count > LIMIT_KEY_TAGS)
        return BAD_KEY(b, k, ERR_LIMIT, "more than %d tags", LIMIT_KEY_TAGS);
    for (size_t i = 0; i < k->model_count; i++)
        if (!name_is_valid(k->models[i]))
            return BAD_KEY(b, k, ERR_SYNTAX, "allow.models[%zu]: is empty or malformed", i);
    for (size_t i = 0; i < k->tag_count; i++) {
        if (!name_is_valid(k->tags[i].name) || k->tags[i].value.len > LIMIT_NAME_BYTES)
            return BAD_KEY(b, k, ERR_SYNTAX,
                           "tags: a name or value is empty, too long or malformed");
        for (size_t j = 0; j < i; j++)
            if (slice_eq(k->tags[i].name, k->tags[j].name))
                return BAD_KEY(b, k, ERR_EXISTS, "tags: '%.*s' is there twice",
                               SLICE_ARG(k->tags[i].name));
    }
    return 0;
}

static bool
has_scope(const struct section_key *k)
{
    const struct section_scope *s = &k->scope;

    return s->limits_endpoints || s->limits_addresses || s->max_tokens || s->no_tools ||
           s->no_stream || s->degrade;
}

static unsigned
flags_of(const struct section_key *k)
{
    return (k->all_models ? FLAG_ALL_MODELS : 0u) | (k->disabled ? FLAG_DISABLED : 0u) |
           (k->refuse_on_partition ? FLAG_REFUSE : 0u) | (k->expires_ms ? FLAG_EXPIRES : 0u) |
           (k->id.len ? FLAG_ID : 0u) | (k->project.len ? FLAG_PROJECT : 0u) |
           (k->user.len ? FLAG_USER : 0u) |
           (k->model_count || k->tag_count || has_scope(k) ? FLAG_LISTS : 0u);
}

int
texts_pack(struct buf *to, const struct slice *texts, size_t count)
{
    int err = 0;

    for (size_t i = 0; !err && i < count; i++)
        err = put_slice(to, texts[i]);
    return err;
}

/* Behind its length, as all texts of a record are. */
static int
put_scope(struct buf *to, const struct section_scope *s)
{
    struct buf packed;
    int err;

    buf_init(&packed, 0);
    err = scope_pack(&packed, s);
    if (!err)
        err = put_slice(to, packed.len ? buf_slice(&packed) : SLICE(""));
    buf_free(&packed);
    return err;
}

static int
put_lists(struct buf *to, const struct section_key *k)
{
    int err = put_number(to, (uint32_t)k->model_count);

    if (!err)
        err = texts_pack(to, k->models, k->model_count);
    if (!err)
        err = put_number(to, (uint32_t)k->tag_count);
    for (size_t i = 0; !err && i < k->tag_count; i++) {
        err = put_slice(to, k->tags[i].name);
        if (!err)
            err = put_slice(to, k->tags[i].value);
    }
    return err ? err : put_scope(to, &k->scope);
}

static int
put_record(struct builder *b, const struct section_key *k, const uint32_t owners[static OWNERS])
{
    unsigned flags = flags_of(k);
    unsigned char byte = (unsigned char)flags;
    struct buf *to = &b->blob;
    int err = buf_add(to, &byte, 1);

    if (!err)
        err = put_slice(to, k->name);
    if (!err && (flags & FLAG_PROJECT))
        err = put_number(to, owners[OWNER_PROJECT]);
    if (!err && (flags & FLAG_USER))
        err = put_number(to, owners[OWNER_USER]);
    if (!err && (flags & FLAG_EXPIRES))
        err = buf_add(to, &k->expires_ms, sizeof(k->expires_ms));
    if (!err && (flags & FLAG_ID))
        err = buf_add_slice(to, k->id);
    if (!err && (flags & FLAG_LISTS))
        err = put_lists(to, k);
    return err;
}

/* The next key's slot: its home, or the first one behind the key before it. NULL: no memory. */
static struct key_slot *
take_slot(struct builder *b, const unsigned char *digest)
{
    struct key_shard *s = b->shard;
    size_t at = home_of(s, digest);

    if (at < b->next)
        at = b->next;
    if (at + 1 >= s->slot_count) { /* one stays a gap */
        size_t room = at + 1 + SPARE_SLOTS;
        struct key_slot *more = realloc(s->slots, room * sizeof(*more));

        if (!more)
            return NULL;
        memset(more + s->slot_count, 0xff, (room - s->slot_count) * sizeof(*more));
        s->slots = more;
        s->slot_count = room;
    }
    b->next = at;
    return &s->slots[at];
}

static int
add_key(struct builder *b, const struct section_key *k)
{
    struct key_shard *s = b->shard;
    struct key_slot *slot;
    const struct slice named[OWNERS] = {k->team, k->project, k->user};
    uint32_t owners[OWNERS] = {0};
    int err;

    if ((err = check_digest(b, k)) != 0 || (err = check_names(b, k)) != 0 ||
        (err = check_lists(b, k)) != 0)
        return err;
    slot = take_slot(b, (const unsigned char *)k->digest.at);
    if (!slot)
        return BAD_KEY(b, k, ERR_NOMEM, "no memory");
    for (size_t i = 0; !err && i < OWNERS; i++)
        if (named[i].len)
            err = owner_number(b, (enum owner)i, named[i], &owners[i]);
    memcpy(slot->digest, k->digest.at, SHA256_BYTES);
    slot->offset = (uint32_t)b->blob.len;
    slot->team = owners[OWNER_TEAM];
    if (!err)
        err = put_record(b, k, owners);
    if (err)
        return BAD_KEY(b, k, ERR_NOMEM, "no memory");
    b->next++;
    s->count++;
    return 0;
}

/* A quarter of the homes stay gaps. Keys are counted first. */
static int
make_room(struct builder *b, size_t count)
{
    struct key_shard *s = b->shard;

    s->homes = (uint32_t)(count + count / 3 + 1);
    s->slot_count = s->homes + SPARE_SLOTS;
    s->slots = malloc(s->slot_count * sizeof(*s->slots));
    if (!s->slots)
        return ERR_NOMEM;
    memset(s->slots, 0xff, s->slot_count * sizeof(*s->slots));
    return 0;
}

/* The blob and the lists at their exact size. */
static int
shrink(struct builder *b)
{
    struct key_shard *s = b->shard;

    s->blob_len = b->blob.len;
    s->blob = malloc(s->blob_len + 1);
    if (!s->blob)
        return ERR_NOMEM;
    if (s->blob_len)
        memcpy(s->blob, b->blob.at, s->blob_len);
    for (size_t i = 0; i < OWNERS; i++) {
        struct owner_name *less =
            s->owner_count[i] ? realloc(s->owners[i], s->owner_count[i] * sizeof(*less)) : NULL;

        if (less)
            s->owners[i] = less;
    }
    return 0;
}

static int
count_keys(const char *section, struct slice bytes, size_t *ret_count, struct buf *why)
{
    struct item_walk w = {section, SECTION_KEY, bytes, 0, 0};
    struct slice item;
    int err;

    while ((err = item_next(&w, &item, why)) == 1)
        ;
    *ret_count = w.next;
    if (!err && w.next > LIMIT_SHARD_KEYS)
        err = refuse(why, ERR_LIMIT, "%s: more than %d keys", section, LIMIT_SHARD_KEYS);
    return err;
}

static int
add_keys(struct builder *b, const char *section, struct slice bytes)
{
    struct item_walk w = {section, SECTION_KEY, bytes, 0, 0};
    struct arena scratch;
    struct slice item;
    int err;

    arena_init(&scratch, 16 * LIMIT_ITEM_BYTES);
    while ((err = item_next(&w, &item, b->why)) == 1) {
        struct section_key k;

        err = section_get_key(item, &scratch, &k) == 0
                  ? add_key(b, &k)
                  : refuse(b->why, ERR_SYNTAX, "%s[%zu]: malformed", section, w.at);
        arena_free(&scratch);
        if (err)
            break;
    }
    arena_free(&scratch);
    return err;
}

static void
builder_fini(struct builder *b)
{
    buf_free(&b->blob);
    for (size_t i = 0; i < OWNERS; i++)
        map_free(&b->owners[i]);
    map_free(&b->names);
    map_free(&b->ids);
    arena_free(&b->arena);
}

int
shard_compile(struct slice bytes, unsigned number, struct key_shard **ret_shard, struct buf *why)
{
    struct builder b = {.shard = calloc(1, sizeof(struct key_shard)), .number = number, .why = why};
    char section[16];
    size_t count;
    int err;

    snprintf(section, sizeof(section), "keys/%02x", number & 0xff);
    if (!b.shard)
        return refuse(why, ERR_NOMEM, "%s: no memory", section);
    atomic_init(&b.shard->refs, 1);
    err = count_keys(section, bytes, &count, why);
    if (!err && make_room(&b, count) != 0)
        err = refuse(why, ERR_NOMEM, "%s: no memory", section);
    if (!err)
        err = add_keys(&b, section, bytes);
    if (!err && shrink(&b) != 0)
        err = refuse(why, ERR_NOMEM, "%s: no memory", section);
    builder_fini(&b);
    if (err) {
        shard_unref(b.shard);
        return err;
    }
    *ret_shard = b.shard;
    return 0;
}

struct key_shard *
shard_ref(struct key_shard *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void
shard_unref(struct key_shard *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    free(s->slots);
    free(s->blob);
    for (size_t i = 0; i < OWNERS; i++)
        free(s->owners[i]);
    free(s);
}

size_t
shard_count(const struct key_shard *s)
{
    return s->count;
}

size_t
shard_memory(const struct key_shard *s)
{
    size_t n = sizeof(*s) + s->slot_count * sizeof(*s->slots) + s->blob_len + 1;

    for (size_t i = 0; i < OWNERS; i++)
        n += s->owner_count[i] * sizeof(struct owner_name);
    return n;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define LARGE_PAGE ((uintptr_t)2 << 20)

/* Whole large pages, with what stands beside it. It is a favour: a kernel before 6.1 does not know
 * it, and one that is short of memory does not do it. */
static void
use_large_pages(const void *at, size_t bytes)
{
    uintptr_t from = (uintptr_t)at & ~(LARGE_PAGE - 1);
    uintptr_t to = ((uintptr_t)at + bytes + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);

    for (; bytes && from < to; from += LARGE_PAGE)
        if (madvise((void *)from, LARGE_PAGE, MADV_COLLAPSE) != 0)
            continue; /* the end of a mapping */
}

void
shard_settle(const struct key_shard *s)
{
    use_large_pages(s->slots, s->slot_count * sizeof(*s->slots));
    use_large_pages(s->blob, s->blob_len);
}

/* --- what the names mean ------------------------------------------------------------------- */

struct key_binding {
    atomic_uint refs;
    unsigned char digest[SHA256_BYTES];
    struct key_shard *shard;
    const void **meaning[OWNERS]; /* policy_team, policy_project, policy_user */
};

static struct slice
owner_slice(const struct key_shard *s, enum owner kind, size_t i)
{
    return slice_make(s->blob + s->owners[kind][i].at, s->owners[kind][i].len);
}

static struct slice
record_name(const struct key_shard *s, size_t i)
{
    const char *at = s->blob + s->slots[i].offset + 1;

    return get_slice(&at);
}

static int
bind(struct key_binding *b, enum owner kind, const struct map *people, unsigned number,
     struct buf *why)
{
    const struct key_shard *s = b->shard;

    b->meaning[kind] = calloc(s->owner_count[kind] + 1, sizeof(void *));
    if (!b->meaning[kind])
        return refuse(why, ERR_NOMEM, "keys/%02x: no memory", number);
    for (size_t i = 0; i < s->owner_count[kind]; i++) {
        struct slice name = owner_slice(s, kind, i);
        uint32_t first = s->owners[kind][i].first_key;

        b->meaning[kind][i] = map_find(people, name);
        if (!b->meaning[kind][i])
            return refuse(why, ERR_NOT_FOUND, "keys/%02x[%u] '%.*s': no %s '%.*s'", number, first,
                          SLICE_ARG(record_name(s, first)), owner_names[kind], SLICE_ARG(name));
    }
    return 0;
}

int
binding_make(struct key_shard *shard, unsigned number,
             const unsigned char digest[static SHA256_BYTES], struct policy_people *people,
             struct key_binding **ret_binding, struct buf *why)
{
    struct key_binding *b = calloc(1, sizeof(*b));
    int err;

    if (!b) {
        shard_unref(shard);
        return refuse(why, ERR_NOMEM, "keys/%02x: no memory", number);
    }
    atomic_init(&b->refs, 1);
    b->shard = shard;
    memcpy(b->digest, digest, SHA256_BYTES);
    if ((err = bind(b, OWNER_TEAM, &people->teams, number, why)) != 0 ||
        (err = bind(b, OWNER_PROJECT, &people->projects, number, why)) != 0 ||
        (err = bind(b, OWNER_USER, &people->users, number, why)) != 0) {
        binding_unref(b);
        return err;
    }
    *ret_binding = b;
    return 0;
}

struct key_binding *
binding_ref(struct key_binding *b)
{
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void
binding_unref(struct key_binding *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    for (size_t i = 0; i < OWNERS; i++)
        free(b->meaning[i]);
    shard_unref(b->shard);
    free(b);
}

struct key_shard *
binding_shard(const struct key_binding *b)
{
    return b->shard;
}

const unsigned char *
binding_digest(const struct key_binding *b)
{
    return b->digest;
}

/* --- finding ------------------------------------------------------------------------------- */

static void
fill_owners(const struct key_binding *b, unsigned flags, const char **at, struct policy_key *k)
{
    if (flags & FLAG_PROJECT) {
        const struct policy_project *p = b->meaning[OWNER_PROJECT][get_number(at)];

        k->project = p->name;
        k->disabled = k->disabled || p->disabled;
    }
    if (flags & FLAG_USER) {
        const struct policy_user *u = b->meaning[OWNER_USER][get_number(at)];

        k->user = u->name;
        k->disabled = k->disabled || u->disabled;
        k->grants = u->grants;
        k->grant_count = u->grant_count;
    }
}

/* Leaves the lists packed: most requests look at them once, many never. */
static void
fill_lists(const char *at, struct policy_key *k)
{
    const char *from;

    k->model_count = get_number(&at);
    from = at;
    for (size_t i = 0; i < k->model_count; i++)
        (void)get_slice(&at);
    k->models = slice_make(from, (size_t)(at - from));
    k->tag_count = get_number(&at);
    from = at;
    for (size_t i = 0; i < 2 * k->tag_count; i++)
        (void)get_slice(&at);
    k->tags = slice_make(from, (size_t)(at - from));
    k->scope = get_slice(&at);
}

static void
fill_key(const struct key_binding *b, const struct key_slot *slot, struct policy_key *k)
{
    const char *at = b->shard->blob + slot->offset;
    unsigned flags;

    k->team = b->meaning[OWNER_TEAM][slot->team];
    memcpy(k->digest, slot->digest, SHA256_BYTES);
    flags = (unsigned char)*at++;
    k->all_models = flags & FLAG_ALL_MODELS;
    k->disabled = flags & FLAG_DISABLED;
    k->refuse_on_partition = flags & FLAG_REFUSE;
    k->expires_ms = 0;
    k->id = k->project = k->user = k->models = k->tags = k->scope = SLICE("");
    k->model_count = k->tag_count = 0;
    k->grants = NULL;
    k->grant_count = 0;
    k->name = get_slice(&at);
    fill_owners(b, flags, &at, k);
    if (flags & FLAG_EXPIRES) {
        memcpy(&k->expires_ms, at, sizeof(k->expires_ms));
        at += sizeof(k->expires_ms);
    }
    if (flags & FLAG_ID) {
        unsigned char id[16];

        memcpy(id, at, sizeof(id));
        at += sizeof(id);
        uuid_format(id, k->id_text);
        k->id = slice_make(k->id_text, 36);
    }
    if (flags & FLAG_LISTS)
        fill_lists(at, k);
}

bool
binding_find(const struct key_binding *b, const unsigned char digest[static SHA256_BYTES],
             struct policy_key *ret)
{
    const struct key_shard *s = b->shard;

    for (const struct key_slot *at = s->slots + home_of(s, digest); at->offset != NO_KEY; at++)
        if (secret_equal(at->digest, digest, SHA256_BYTES)) {
            fill_key(b, at, ret);
            return true;
        }
    return false;
}

/* --- the packed lists ---------------------------------------------------------------------- */

bool
policy_key_model(const struct policy_key *key, size_t *cursor, struct slice *ret_pattern)
{
    const char *at = key->models.at + *cursor;

    if (*cursor >= key->models.len)
        return false;
    *ret_pattern = get_slice(&at);
    *cursor = (size_t)(at - key->models.at);
    return true;
}

bool
policy_key_tag(const struct policy_key *key, size_t *cursor, struct policy_tag *ret_tag)
{
    const char *at = key->tags.at + *cursor;

    if (*cursor >= key->tags.len)
        return false;
    ret_tag->name = get_slice(&at);
    ret_tag->value = get_slice(&at);
    *cursor = (size_t)(at - key->tags.at);
    return true;
}
