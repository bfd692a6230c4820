#include "lib/policy/compile.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/encode.h"
#include "lib/base/utf8.h"
#include "lib/policy/policy_internal.h"

/* --- helpers of all parts ------------------------------------------------------------------ */

int
refuse(struct buf *why, int err, const char *format, ...)
{
    va_list args;

    if (!why)
        return err;
    buf_clear(why);
    va_start(args, format);
    if (buf_vaddf(why, format, args) != 0)
        buf_clear(why); /* the code says what it can */
    va_end(args);
    return err;
}

bool
name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > LIMIT_NAME_BYTES)
        return false;
    for (size_t i = 0, n; i < name.len; i += n) {
        uint32_t code;

        n = utf8_take(name.at + i, name.len - i, &code);
        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
            return false;
    }
    return true;
}

int
item_next(struct item_walk *w, struct slice *ret_item, struct buf *why)
{
    int got;

    while ((got = section_next(slice_of(w->section), &w->rest, ret_item)) > SECTION_END) {
        if (got != (int)w->kind)
            continue;
        w->at = w->next++;
        if (w->next > LIMIT_ITEMS)
            return refuse(why, ERR_LIMIT, "%s: more than %d items", w->section, LIMIT_ITEMS);
        return 1;
    }
    if (got == ERR_LIMIT)
        return refuse(why, ERR_LIMIT, "%s[%zu]: the item is over %zu bytes", w->section, w->next,
                      LIMIT_ITEM_BYTES);
    if (got < 0)
        return refuse(why, ERR_SYNTAX, "%s: malformed", w->section);
    return 0;
}

int
each_item(const char *section, struct slice bytes, enum section_item kind, const char *list,
          item_take *take, void *ctx, struct buf *why)
{
    struct item_walk w = {section, kind, bytes, 0, 0};
    struct arena scratch;
    struct slice item;
    int err;

    arena_init(&scratch, 16 * LIMIT_ITEM_BYTES);
    while ((err = item_next(&w, &item, why)) == 1) {
        err = take(ctx, &(struct place){list, w.at, SLICE(""), why}, item, &scratch);
        arena_free(&scratch);
        if (err)
            break;
    }
    arena_free(&scratch);
    return err;
}

/* --- what is given ------------------------------------------------------------------------- */

/* The input's sections by role. */
struct roles {
    const struct policy_section *core[CORE_SECTIONS];
    const struct policy_section *teams;
    const struct policy_section *limits; /* NULL: signed before there were any */
    const struct policy_section *keys[KEY_SHARDS];
};

static const struct policy_section **
role_of(struct roles *r, struct slice name)
{
    unsigned char number;

    for (size_t i = 0; i < CORE_SECTIONS; i++)
        if (slice_is(name, core_section_name((enum core_section)i)))
            return &r->core[i];
    if (slice_is(name, "teams"))
        return &r->teams;
    if (slice_is(name, "limits"))
        return &r->limits;
    if (name.len == 7 && slice_starts(name, SLICE("keys/")) &&
        hex_decode(slice_from(name, 5), &number, 1) == 0)
        return &r->keys[number];
    return NULL;
}

static int
missing(struct buf *why, const char *name)
{
    return refuse(why, ERR_NOT_FOUND, "there is no section '%s'", name);
}

static int
assign_roles(const struct policy_input *in, struct roles *r, struct buf *why)
{
    for (size_t i = 0; i < in->count; i++) {
        const struct policy_section *s = &in->sections[i];
        const struct policy_section **role = role_of(r, s->name);

        /* It may hold a limit that this version does not know: serving without it would be weaker.
         */
        if (!role)
            return refuse(why, ERR_NOT_FOUND, "section '%.*s' is not known to this version",
                          SLICE_ARG(s->name));
        if (*role)
            return refuse(why, ERR_EXISTS, "section '%.*s' is there twice", SLICE_ARG(s->name));
        *role = s;
    }
    for (size_t i = 0; i < CORE_SECTIONS; i++)
        if (!r->core[i])
            return missing(why, core_section_name((enum core_section)i));
    return r->teams ? 0 : missing(why, "teams");
}

static bool
same(const unsigned char a[static SHA256_BYTES], const unsigned char b[static SHA256_BYTES])
{
    return memcmp(a, b, SHA256_BYTES) == 0;
}

/* --- the parts, taken over or compiled ----------------------------------------------------- */

static bool
core_is_same(const struct policy_core *c, const struct roles *r, bool opened)
{
    if (c->opened != opened)
        return false;
    for (size_t i = 0; i < CORE_SECTIONS; i++) {
        assert(r->core[i]); /* assign_roles() */
        if (!same(c->digests[i], r->core[i]->digest))
            return false;
    }
    return true;
}

static int
take_core(const struct policy_input *in, const struct roles *r, struct policy *p, struct buf *why)
{
    struct policy_core *old = in->previous ? in->previous->core : NULL;
    struct slice bytes[CORE_SECTIONS];

    if (old && core_is_same(old, r, in->keys != NULL)) {
        atomic_fetch_add(&old->refs, 1);
        p->core = old;
        return 0;
    }
    for (size_t i = 0; i < CORE_SECTIONS; i++) {
        assert(r->core[i]);
        bytes[i] = r->core[i]->bytes;
        if (!bytes[i].at && old && same(old->digests[i], r->core[i]->digest))
            bytes[i] = old->bytes[i];
        if (!bytes[i].at)
            return missing(why, core_section_name((enum core_section)i));
    }
    return core_compile(bytes, in->keys, &p->core, why);
}

static int
take_people(const struct policy_input *in, const struct roles *r, struct policy *p, struct buf *why)
{
    struct policy_people *old = in->previous ? in->previous->people : NULL;

    assert(r->teams); /* assign_roles() */
    if (old && same(old->digest, r->teams->digest)) {
        atomic_fetch_add(&old->refs, 1);
        p->people = old;
        return 0;
    }
    if (!r->teams->bytes.at)
        return missing(why, "teams");
    return people_compile(r->teams->bytes, &p->people, why);
}

static int
take_shard(const struct policy_input *in, const struct policy_section *s, unsigned number,
           struct policy *p, struct buf *why)
{
    struct key_binding *old = in->previous ? in->previous->bindings[number] : NULL;
    struct key_shard *shard;
    int err;

    if (old && same(binding_digest(old), s->digest)) {
        if (p->people == in->previous->people) {
            p->bindings[number] = binding_ref(old);
            return 0;
        }
        shard = shard_ref(binding_shard(old));
    } else {
        if (!s->bytes.at)
            return refuse(why, ERR_NOT_FOUND, "there is no section '%.*s'", SLICE_ARG(s->name));
        if ((err = shard_compile(s->bytes, number, &shard, why)) != 0)
            return err;
    }
    return binding_make(shard, number, s->digest, p->people, &p->bindings[number], why);
}

static int
take_limits(const struct policy_input *in, const struct roles *r, struct policy *p, struct buf *why)
{
    struct policy_limits *old = in->previous ? in->previous->limits : NULL;
    bool known = old && r->limits && limits_are(old, r->limits->digest);

    if (!r->limits)
        return 0;
    if (known && p->core == in->previous->core) {
        p->limits = limits_ref(old);
        return 0;
    }
    if (!r->limits->bytes.at && !known)
        return missing(why, "limits");
    return limits_compile(r->limits->bytes.at ? r->limits->bytes : limits_bytes(old), p->core,
                          &p->limits, why);
}

static int
take_keys(const struct policy_input *in, const struct roles *r, struct policy *p, struct buf *why)
{
    for (unsigned i = 0; i < KEY_SHARDS; i++) {
        int err = r->keys[i] ? take_shard(in, r->keys[i], i, p, why) : 0;

        if (err)
            return err;
        if (p->bindings[i])
            p->key_count += shard_count(binding_shard(p->bindings[i]));
    }
    return 0;
}

int
policy_compile(const struct policy_input *in, struct policy **ret_policy, struct buf *why)
{
    struct policy *p = calloc(1, sizeof(*p));
    struct roles roles = {0};
    int err;

    if (!p)
        return refuse(why, ERR_NOMEM, "no memory");
    atomic_init(&p->refs, 1);
    p->epoch = in->epoch;
    p->version = in->version;
    p->revision = in->revision;
    if ((err = assign_roles(in, &roles, why)) != 0 || (err = take_core(in, &roles, p, why)) != 0 ||
        (err = take_people(in, &roles, p, why)) != 0 ||
        (err = take_limits(in, &roles, p, why)) != 0 ||
        (err = take_keys(in, &roles, p, why)) != 0) {
        policy_unref(p);
        return err;
    }
    *ret_policy = p;
    return 0;
}

bool
policy_has_section(const struct policy *p, struct slice name,
                   const unsigned char digest[static SHA256_BYTES])
{
    unsigned char number;

    for (size_t i = 0; i < CORE_SECTIONS; i++)
        if (slice_is(name, core_section_name((enum core_section)i)))
            return same(p->core->digests[i], digest);
    if (slice_is(name, "teams"))
        return same(p->people->digest, digest);
    if (slice_is(name, "limits"))
        return p->limits && limits_are(p->limits, digest);
    return name.len == 7 && slice_starts(name, SLICE("keys/")) &&
           hex_decode(slice_from(name, 5), &number, 1) == 0 && p->bindings[number] &&
           same(binding_digest(p->bindings[number]), digest);
}
