#include "lib/control/usage.h"

#include <assert.h>
#include <string.h>

#include "proto/bus.pb-c.h"

static const char *const outcomes[] = {
    [USAGE_DONE] = "done",
    [USAGE_CLIENT_GONE] = "client_gone",
    [USAGE_UPSTREAM_FAILED] = "upstream_failed",
    [USAGE_DEADLINE] = "deadline",
    [USAGE_SHUTDOWN] = "shutdown",
    [USAGE_LOST] = "lost",
    [USAGE_BUDGET_EXHAUSTED] = "budget_exhausted",
};

const char *
usage_outcome_name(enum usage_outcome o)
{
    size_t at = (size_t)o;

    if (at >= sizeof(outcomes) / sizeof(*outcomes) || !outcomes[at])
        return "invalid";
    return outcomes[at];
}

void
usage_set_price(struct usage *u, const struct policy_price *price, const struct circumstances *c)
{
    u->tier = c->tier;
    u->price_version = price ? price->version : SLICE("");
    u->price = price ? *policy_rates(price, c) : (struct rates){0};
}

static void
clip(struct slice *s, size_t max)
{
    if (s->len <= max)
        return;
    while (max > 0 && ((unsigned char)s->at[max] & 0xc0) == 0x80)
        max--;
    s->len = max;
}

void
usage_clip(struct usage *u)
{
    struct slice *names[] = {&u->key, &u->key_id, &u->team, &u->project, &u->user, &u->provider};
    struct slice *texts[] = {&u->request_id,     &u->end_user,           &u->model,
                             &u->provider_model, &u->endpoint,           &u->error_code,
                             &u->price_version,  &u->upstream_request_id};
    size_t bytes = 0, i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        clip(names[i], LIMIT_USAGE_NAME_BYTES);
    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        clip(texts[i], LIMIT_USAGE_TEXT_BYTES);
    for (i = 0; i < u->tag_count; i++) {
        bytes += u->tags[i].name.len + u->tags[i].value.len + 16;
        if (bytes > LIMIT_USAGE_TAGS_BYTES)
            break;
    }
    u->tag_count = i;
}

/* --- writing: a cursor that remembers an overflow -------------------------------------------- */

struct wire {
    unsigned char *at, *end;
    bool full;
};

enum wire_type { WIRE_VARINT = 0, WIRE_BYTES = 2 };

static void
put_varint(struct wire *w, uint64_t v)
{
    do {
        if (w->at == w->end) {
            w->full = true;
            return;
        }
        *w->at++ = (unsigned char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
}

/* Like every proto3 writer, leaves zero out. A negative int64 takes ten bytes. */
static void
put_uint(struct wire *w, unsigned field, uint64_t v)
{
    if (!v)
        return;
    put_varint(w, field << 3 | WIRE_VARINT);
    put_varint(w, v);
}

static void
put_int(struct wire *w, unsigned field, int64_t v)
{
    put_uint(w, field, (uint64_t)v);
}

static void
put_bytes(struct wire *w, unsigned field, struct slice s)
{
    if (!s.len)
        return;
    put_varint(w, field << 3 | WIRE_BYTES);
    put_varint(w, s.len);
    if (w->full || (size_t)(w->end - w->at) < s.len) {
        w->full = true;
        return;
    }
    memcpy(w->at, s.at, s.len);
    w->at += s.len;
}

static void
put_tokens(struct wire *w, unsigned field, const struct tokens *t)
{
    unsigned char room[USAGE_CLASSES * 11];
    struct wire inner = {room, room + sizeof(room), false};

    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        put_int(&inner, c + 1, t->of[c]);
    assert(!inner.full);
    put_bytes(w, field, slice_make(room, (size_t)(inner.at - room)));
}

static size_t
varint_bytes(uint64_t v)
{
    size_t n = 1;

    while (v >>= 7)
        n++;
    return n;
}

static size_t
bytes_field(struct slice s)
{
    return s.len ? 1 + varint_bytes(s.len) + s.len : 0;
}

/* A map's entry is a message of a key (1) and a value (2). */
static void
put_tag(struct wire *w, unsigned field, const struct policy_tag *tag)
{
    put_varint(w, field << 3 | WIRE_BYTES);
    put_varint(w, bytes_field(tag->name) + bytes_field(tag->value));
    put_bytes(w, 1, tag->name);
    put_bytes(w, 2, tag->value);
}

static void
put_draw(struct wire *w, unsigned field, const struct usage_draw *d)
{
    unsigned char room[2 * (3 + LIMIT_USAGE_TEXT_BYTES) + 2 * 11];
    struct wire inner = {room, room + sizeof(room), false};

    put_bytes(&inner, 1, d->budget);
    put_bytes(&inner, 2, d->subject);
    put_uint(&inner, 3, d->slice);
    put_int(&inner, 4, d->amount);
    assert(!inner.full);
    put_varint(w, field << 3 | WIRE_BYTES);
    put_varint(w, (uint64_t)(inner.at - room));
    if (w->full || (size_t)(w->end - w->at) < (size_t)(inner.at - room)) {
        w->full = true;
        return;
    }
    memcpy(w->at, room, (size_t)(inner.at - room));
    w->at += inner.at - room;
}

static void
put_who(struct wire *w, const struct usage *u)
{
    put_uint(w, 1, u->sequence);
    put_bytes(w, 2, slice_make(u->attempt_id, ATTEMPT_ID_BYTES));
    put_bytes(w, 3, u->request_id);
    put_uint(w, 4, u->attempt_no);
    put_int(w, 5, u->started_ms);
    put_uint(w, 6, u->latency_ms);
    put_uint(w, 7, u->ttft_ms);
    put_bytes(w, 8, u->key);
    put_bytes(w, 9, u->key_id);
    put_bytes(w, 10, u->team);
    put_bytes(w, 11, u->project);
    put_bytes(w, 12, u->user);
    put_bytes(w, 13, u->end_user);
}

static void
put_what(struct wire *w, const struct usage *u)
{
    put_bytes(w, 14, u->model);
    put_bytes(w, 15, u->provider);
    put_bytes(w, 16, u->provider_model);
    put_bytes(w, 17, u->endpoint);
    put_uint(w, 18, u->status);
    put_uint(w, 19, u->upstream_status);
    put_uint(w, 20, (uint64_t)u->outcome);
    put_bytes(w, 21, u->error_code);
    put_uint(w, 22, u->stream);
    put_uint(w, 23, u->estimated);
    put_uint(w, 24, u->incomplete);
}

/* Only those that the cost was made of. */
static void
put_rare_prices(struct wire *w, const struct usage *u)
{
    for (unsigned c = CLASS_COMMON; c < USAGE_CLASSES; c++)
        if (u->tokens.of[c])
            put_int(w, 40 + c - CLASS_COMMON, u->price.of[c]);
}

static void
put_cost(struct wire *w, const struct usage *u)
{
    put_tokens(w, 25, &u->tokens);
    put_int(w, 26, u->cost);
    put_bytes(w, 27, u->price_version);
    for (unsigned c = 0; c < CLASS_COMMON; c++)
        put_int(w, 28 + c, u->price.of[c]);
    put_uint(w, 34, u->policy_epoch);
    put_uint(w, 35, u->policy_version);
    for (size_t i = 0; i < u->tag_count; i++)
        put_tag(w, 36, &u->tags[i]);
    put_int(w, 37, u->reserved);
    put_bytes(w, 38, u->upstream_request_id);
    put_uint(w, 39, (uint64_t)u->tier);
    if (tokens_are_rare(&u->tokens))
        put_rare_prices(w, u);
    for (size_t i = 0; i < u->draw_count && i < LIMIT_DRAWS; i++)
        put_draw(w, 49, &u->draws[i]);
    put_uint(w, 50, u->cached);
}

int
usage_encode(const struct usage *u, void *ret_bytes, size_t room, size_t *ret_len)
{
    struct wire w = {ret_bytes, (unsigned char *)ret_bytes + room, false};

    put_who(&w, u);
    put_what(&w, u);
    put_cost(&w, u);
    if (w.full)
        return ERR_LIMIT;
    *ret_len = (size_t)(w.at - (unsigned char *)ret_bytes);
    return 0;
}

/* --- reading: protobuf-c into the arena ------------------------------------------------------ */

/* Tells a record that does not decode from memory that is not there. */
struct memory {
    struct arena *arena;
    bool refused;
};

static void *
on_alloc(void *ctx, size_t n)
{
    struct memory *m = ctx;
    void *at = arena_alloc(m->arena, n);

    m->refused |= !at;
    return at;
}

static void
on_free(void *ctx, void *at)
{
    (void)ctx;
    (void)at; /* with the arena */
}

static void
take_who(const Headgate__Bus__Usage *m, struct usage *u)
{
    u->sequence = m->sequence;
    memcpy(u->attempt_id, m->attempt_id.data, ATTEMPT_ID_BYTES);
    u->request_id = slice_of(m->request_id);
    u->attempt_no = m->attempt_no;
    u->started_ms = m->started_unix_ms;
    u->latency_ms = m->latency_ms;
    u->ttft_ms = m->ttft_ms;
    u->key = slice_of(m->key);
    u->key_id = slice_of(m->key_id);
    u->team = slice_of(m->team);
    u->project = slice_of(m->project);
    u->user = slice_of(m->user);
    u->end_user = slice_of(m->end_user);
}

static void
take_what(const Headgate__Bus__Usage *m, struct usage *u)
{
    u->model = slice_of(m->model);
    u->provider = slice_of(m->provider);
    u->provider_model = slice_of(m->provider_model);
    u->endpoint = slice_of(m->endpoint);
    u->status = m->status;
    u->upstream_status = m->upstream_status;
    u->outcome = (enum usage_outcome)m->outcome;
    u->error_code = slice_of(m->error_code);
    u->stream = m->stream;
    u->estimated = m->estimated;
    u->incomplete = m->incomplete;
    u->cached = m->cached;
}

static void
take_tokens(const Headgate__Bus__Tokens *m, struct tokens *t)
{
    *t = (struct tokens){
        .input = m->input,
        .cache_read = m->cache_read,
        .cache_write = m->cache_write,
        .cache_write_1h = m->cache_write_1h,
        .output = m->output,
        .reasoning = m->reasoning,
        .audio_input = m->audio_input,
        .audio_output = m->audio_output,
        .image_input = m->image_input,
        .image_output = m->image_output,
        .web_searches = m->web_searches,
        .search_units = m->search_units,
        .images = m->images,
        .audio_ms = m->audio_ms,
        .characters = m->characters,
    };
}

static void
take_prices(const Headgate__Bus__Usage *m, struct rates *r)
{
    *r = (struct rates){
        .input = m->price_input,
        .cached_input = m->price_cached_input,
        .cache_write = m->price_cache_write,
        .cache_write_1h = m->price_cache_write_1h,
        .output = m->price_output,
        .reasoning = m->price_reasoning,
        .audio_input = m->price_audio_input,
        .audio_output = m->price_audio_output,
        .image_input = m->price_image_input,
        .image_output = m->price_image_output,
        .web_search = m->price_web_search,
        .search_unit = m->price_search_unit,
        .image = m->price_image,
        .audio_minute = m->price_audio_minute,
        .character = m->price_character,
    };
}

static void
take_cost(const Headgate__Bus__Usage *m, struct usage *u)
{
    if (m->tokens)
        take_tokens(m->tokens, &u->tokens);
    take_prices(m, &u->price);
    u->tier = (enum service_tier)m->service_tier;
    u->cost = m->cost_nanos;
    u->price_version = slice_of(m->price_version);
    u->policy_epoch = m->policy_epoch;
    u->policy_version = m->policy_version;
    u->reserved = m->reserved_nanos;
    u->upstream_request_id = slice_of(m->upstream_request_id);
}

static int
take_tags(const Headgate__Bus__Usage *m, struct arena *a, struct usage *u)
{
    struct policy_tag *tags;

    if (!m->n_tags)
        return 0;
    if (!(tags = arena_alloc(a, m->n_tags * sizeof(*tags))))
        return ERR_NOMEM;
    for (size_t i = 0; i < m->n_tags; i++)
        tags[i] = (struct policy_tag){slice_of(m->tags[i]->key), slice_of(m->tags[i]->value)};
    u->tags = tags;
    u->tag_count = m->n_tags;
    return 0;
}

static int
take_draws(const Headgate__Bus__Usage *m, struct arena *a, struct usage *u)
{
    struct usage_draw *draws;

    if (m->n_draws == 0)
        return 0;
    if (m->n_draws > LIMIT_DRAWS)
        return ERR_SYNTAX;
    if (!(draws = arena_alloc(a, m->n_draws * sizeof(*draws))))
        return ERR_NOMEM;
    for (size_t i = 0; i < m->n_draws; i++)
        draws[i] =
            (struct usage_draw){slice_of(m->draws[i]->budget), slice_of(m->draws[i]->subject),
                                m->draws[i]->slice, m->draws[i]->amount};
    u->draws = draws;
    u->draw_count = m->n_draws;
    return 0;
}

int
usage_decode(struct slice bytes, struct arena *a, struct usage *ret_usage)
{
    struct memory memory = {a, false};
    ProtobufCAllocator allocator = {on_alloc, on_free, &memory};
    const Headgate__Bus__Usage *m;
    struct usage u = {0};
    int err;

    m = headgate__bus__usage__unpack(&allocator, bytes.len, (const uint8_t *)bytes.at);
    if (memory.refused)
        return ERR_NOMEM;
    if (!m || m->attempt_id.len != ATTEMPT_ID_BYTES)
        return ERR_SYNTAX;
    take_who(m, &u);
    take_what(m, &u);
    take_cost(m, &u);
    if ((err = take_tags(m, a, &u)) || (err = take_draws(m, a, &u)))
        return err;
    *ret_usage = u;
    return 0;
}
