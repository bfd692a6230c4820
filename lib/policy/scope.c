/*
 * What a key or a team is limited to, beside models. Packed, since most have no limits: one byte of
 * flags, then what the flags name:
 *
 *   max_tokens, the endpoints' count and patterns, the addresses' count and ranges
 * (lib/base/cidr.h)
 */
#include "lib/policy/policy_internal.h"

#include <string.h>

#include "lib/base/cidr.h"

enum {
    LIMITS_TOKENS = 1,
    LIMITS_ENDPOINTS = 2,
    LIMITS_ADDRESSES = 4,
    LIMITS_TOOLS = 8,
    LIMITS_STREAM = 16,
    ALLOWS_DEGRADING = 32,
};

const char *const policy_endpoint_names[] = {
    "chat.completions",
    "completions",
    "embeddings",
    "models",
    "responses",
    "messages",
    "generate_content",
    "capabilities",
    "rerank",
    "count_tokens",
    "moderations",
    "images.generations",
    "images.edits",
    "images.variations",
    "audio.speech",
    "audio.transcriptions",
    "audio.translations",
    "files",
    "batches",
    "passthrough",
    NULL,
};

const char *
scope_problem(const struct section_scope *s)
{
    if (s->endpoint_count > LIMIT_SCOPE_LIST || s->address_count > LIMIT_SCOPE_LIST)
        return "more than 64 endpoints or addresses";
    if (s->max_tokens < 0)
        return "max_tokens: is negative";
    for (size_t i = 0; i < s->endpoint_count; i++)
        if (!name_is_valid(s->endpoints[i]))
            return "endpoints: one is empty or malformed";
    for (size_t i = 0; i < s->address_count; i++)
        if (!cidr_is_valid(s->addresses[i]))
            return "addresses: one is malformed";
    return NULL;
}

static unsigned
flags_of(const struct section_scope *s)
{
    return (s->max_tokens ? LIMITS_TOKENS : 0u) | (s->limits_endpoints ? LIMITS_ENDPOINTS : 0u) |
           (s->limits_addresses ? LIMITS_ADDRESSES : 0u) | (s->no_tools ? LIMITS_TOOLS : 0u) |
           (s->no_stream ? LIMITS_STREAM : 0u) | (s->degrade ? ALLOWS_DEGRADING : 0u);
}

/* A list of at most LIMIT_SCOPE_LIST texts of at most LIMIT_NAME_BYTES: a byte says each length. */
static int
put_list(struct buf *to, const struct slice *list, size_t count)
{
    unsigned char n = (unsigned char)count;
    int err = buf_add(to, &n, 1);

    for (size_t i = 0; !err && i < count; i++) {
        n = (unsigned char)list[i].len;
        err = buf_add(to, &n, 1);
        if (!err)
            err = buf_add_slice(to, list[i]);
    }
    return err;
}

int
scope_pack(struct buf *to, const struct section_scope *s)
{
    unsigned char flags = (unsigned char)flags_of(s);
    int err = 0;

    if (flags)
        err = buf_add(to, &flags, 1);
    if (!err && (flags & LIMITS_TOKENS))
        err = buf_add(to, &s->max_tokens, sizeof(s->max_tokens));
    if (!err && (flags & LIMITS_ENDPOINTS))
        err = put_list(to, s->endpoints, s->endpoint_count);
    if (!err && (flags & LIMITS_ADDRESSES))
        err = put_list(to, s->addresses, s->address_count);
    return err;
}

/* Where a packed list is; *at moves behind it. */
static struct slice
take_list(const char **at)
{
    const char *from = *at;

    for (unsigned n = (unsigned char)*(*at)++; n > 0; n--)
        *at += 1 + (unsigned char)**at;
    return slice_make(from, (size_t)(*at - from));
}

void
policy_scope_read(struct slice packed, struct policy_scope *ret)
{
    const char *at = packed.at;
    unsigned flags = packed.len ? (unsigned char)*at++ : 0;

    *ret = (struct policy_scope){.tools = !(flags & LIMITS_TOOLS),
                                 .stream = !(flags & LIMITS_STREAM),
                                 .degrade = flags & ALLOWS_DEGRADING};
    if (flags & LIMITS_TOKENS) {
        memcpy(&ret->max_tokens, at, sizeof(ret->max_tokens));
        at += sizeof(ret->max_tokens);
    }
    if (flags & LIMITS_ENDPOINTS)
        ret->endpoints = take_list(&at);
    if (flags & LIMITS_ADDRESSES)
        ret->addresses = take_list(&at);
}

static bool
any(struct slice list, struct slice what, bool (*is)(struct slice entry, struct slice what))
{
    const char *at = list.at;

    if (!at)
        return true; /* not limited */
    for (unsigned n = (unsigned char)*at++; n > 0; n--) {
        size_t len = (unsigned char)*at++;

        if (is(slice_make(at, len), what))
            return true;
        at += len;
    }
    return false;
}

bool
policy_scope_has_endpoint(const struct policy_scope *s, struct slice name)
{
    return any(s->endpoints, name, glob_match);
}

bool
policy_scope_has_address(const struct policy_scope *s, struct slice address)
{
    return any(s->addresses, address, cidr_has);
}
