/*
 * recall: has this very request been answered before, for somebody who may have that answer? Only
 * where the model's `cache` says so.
 *
 * What makes two requests the same is one digest over whose they are (from the key that was
 * authenticated: nothing of the request says it), how the model and its providers are configured,
 * the endpoint, the fields that can change an answer, and the body's bytes. What a client may
 * choose stands behind what it may not, each text with its length: no body and no field can spell
 * another scope.
 *
 * A hit still has to be admitted (stages/admit.c) and is given by deliver. What is kept is what a
 * client was given, after all of it was.
 */
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "dataplane/state/cache.h"
#include "dataplane/state/metrics.h"
#include "dataplane/state/pin.h"

#include <string.h>

/* --- what is not for a cache ------------------------------------------------------------------ */

/* Answers in text or numbers, made anew from the request alone. */
static bool
is_endpoint_fit(enum endpoint_kind kind)
{
    switch (kind) {
    case ENDPOINT_CHAT:
    case ENDPOINT_COMPLETIONS:
    case ENDPOINT_EMBEDDINGS:
    case ENDPOINT_RESPONSES:
    case ENDPOINT_MESSAGES:
    case ENDPOINT_GENERATE:
    case ENDPOINT_RERANK:
    case ENDPOINT_MODERATIONS:
        return true;
    default:
        return false;
    }
}

/* Members by which a request reads or leaves something at the provider, or looks at the world. */
enum { STORE, PROMPT, MEMBERS_STATE, MEMBERS = 11 };
static const char *const members[MEMBERS] = {
    [STORE] = "store",
    [PROMPT] = "prompt", /* of Responses: a template that is kept there */
    [MEMBERS_STATE] = "previous_response_id",
    "conversation",
    "background",
    "container",
    "mcp_servers",
    "web_search_options",
    "plugins",
    "cachedContent",
    "cached_content",
};

static bool
is_given(struct json_span at)
{
    return at.kind != JSON_ABSENT && at.kind != JSON_NULL_ && at.kind != JSON_FALSE_;
}

static bool
is_body_fit(const struct request *r)
{
    struct json_span at[MEMBERS], root;
    struct json_error why;
    bool responses = r->endpoint->kind == ENDPOINT_RESPONSES;
    if (json_scan(slice_make(r->body.at, r->body.len), &json_limits_default, members, MEMBERS, at,
                  &root, &why))
        return false; /* the provider will say what it thinks of it */
    for (size_t i = MEMBERS_STATE; i < MEMBERS; i++)
        if (is_given(at[i]))
            return false;
    if (responses && is_given(at[PROMPT]))
        return false;
    /* Responses are stored where nothing is said. */
    return responses ? at[STORE].kind == JSON_FALSE_ : !is_given(at[STORE]);
}

/* --- what the client wants of it: RFC 9111 5.2.1 ---------------------------------------------- */

struct wish {
    bool no_store;     /* neither look nor keep */
    int64_t max_age_s; /* of a stored answer; 0: none will do */
};

static void
read_directive(struct slice text, struct wish *w)
{
    unsigned long long n;
    struct slice value = text, name = slice_trim(slice_cut(&value, '='));
    if (slice_eq_nocase(name, SLICE("no-store")))
        w->no_store = true;
    else if (slice_eq_nocase(name, SLICE("no-cache")))
        w->max_age_s = 0;
    else if (slice_eq_nocase(name, SLICE("max-age")) && value.at &&
             (slice_to_u64(slice_trim(value), &n) || n < (unsigned long long)w->max_age_s))
        w->max_age_s = slice_to_u64(slice_trim(value), &n) ? 0 : (int64_t)n;
}

static struct wish
read_wish(const struct http_head *head)
{
    struct wish w = {.max_age_s = MOST_CACHE_TTL_S};
    for (size_t i = 0; i < head->count; i++) {
        struct slice rest = head->fields[i].value;
        if (!slice_is(head->fields[i].name, "cache-control"))
            continue;
        while (rest.at)
            read_directive(slice_cut(&rest, ','), &w);
    }
    return w;
}

/* --- the key ---------------------------------------------------------------------------------- */

/* A key that is in no project, or nobody's, has only its own answers where others share. */
static enum cache_scope
scope_of(const struct request *r)
{
    const struct policy_key *key = r->who.key;
    enum cache_scope scope = r->grant.model->cache->scope;
    if ((scope == CACHE_PROJECT && key->project.len == 0) ||
        (scope == CACHE_USER && key->user.len == 0))
        return CACHE_KEY;
    return scope;
}

static bool
may_degrade(const struct request *r)
{
    struct policy_scope key, team;
    policy_scope_read(r->who.key->scope, &key);
    policy_scope_read(r->who.key->team->scope, &team);
    return key.degrade || team.degrade;
}

/* What a client can say beside the body that changes an answer: what goes up of its fields, and
 * what the simulator is told. */
static size_t
add_fields(const struct request *r, struct slice *parts)
{
    const struct http_head *head = request_head(r);
    const char *const *names = dialect_get(r->endpoint->dialect)->passed_up;
    size_t n = 0;
    for (size_t i = 0; names && names[i] && i < LIMIT_KEY_PARTS / 2; i++)
        parts[n++] = http_field_get(head, names[i]);
    parts[n++] = http_field_get(head, "x-headgate-sim");
    return n;
}

static void
make_key(struct request *r)
{
    const struct policy_key *key = r->who.key;
    enum cache_scope scope = scope_of(r);
    bool own = scope == CACHE_KEY;
    unsigned char facts[] = {(unsigned char)scope, (unsigned char)r->endpoint->kind,
                             (unsigned char)r->endpoint->dialect, may_degrade(r)};
    struct slice parts[LIMIT_KEY_PARTS] = {
        slice_make(facts, sizeof(facts)),
        key->team->name,
        own || scope == CACHE_PROJECT ? key->project : slice_none(),
        own || scope == CACHE_USER ? key->user : slice_none(),
        own ? key->name : slice_none(),
        own ? key->id : slice_none(),
        slice_make(r->grant.model->cache->config, SHA256_BYTES),
        r->grant.name,
        request_head(r)->path,
    };
    size_t n = 9;
    n += add_fields(r, parts + n);
    parts[n++] = slice_make(r->body.at, r->body.len);
    cache_key(parts, n, r->recall->key);
}

/* --- the stage -------------------------------------------------------------------------------- */

static enum verdict
pass_by(struct request *r)
{
    r->recall->state = RECALL_BYPASS;
    r->svc->metrics->page->cache_bypasses++;
    return NEXT;
}

/* What is too old for this client may do for the next. */
static const struct cached *
find(struct request *r, const struct wish *w)
{
    int64_t now = loop_now_ms(r->svc->loop);
    const struct cached *a = w->max_age_s ? cache_get(r->svc->cache, r->recall->key, now) : NULL;
    if (a && now - a->stored_ms > w->max_age_s * 1000) {
        cache_unref(a);
        return NULL;
    }
    return a;
}

enum verdict
recall(struct request *r)
{
    if (!r->grant.model->cache || !r->svc->cache)
        return NEXT;
    r->recall = arena_zalloc(&r->arena, sizeof(*r->recall));
    if (!r->recall)
        return NEXT; /* what it is short of, the next stage will miss too */
    struct wish wish = read_wish(request_head(r));
    if (wish.no_store || r->body.passes || !is_endpoint_fit(r->endpoint->kind) ||
        r->body.brief.tools_member || !is_body_fit(r))
        return pass_by(r);
    make_key(r);
    buf_init(&r->recall->tape, LIMIT_CACHED_BYTES);
    /* A hit is recorded: where it cannot be, it is none. */
    if (spool_can_reserve(r->svc->spool))
        r->recall->hit = find(r, &wish);
    r->recall->state = r->recall->hit ? RECALL_HIT : RECALL_MISS;
    if (r->recall->hit)
        r->svc->metrics->page->cache_hits++;
    else
        r->svc->metrics->page->cache_misses++;
    return NEXT;
}

/* --- what is kept ----------------------------------------------------------------------------- */

static bool
is_kept(struct slice name)
{
    return slice_is(name, "content-type") || slice_is(name, "openai-model") ||
           slice_is(name, "openai-version") || slice_is(name, "x-headgate-degraded");
}

static void
drop_tape(struct request *r)
{
    buf_free(&r->recall->tape);
    services_release(r->svc, r->recall->charge);
    r->recall->charge = 0;
}

void
recall_tape(struct request *r, struct slice bytes)
{
    struct recall *c = r->recall;
    if (!c || c->state != RECALL_MISS || c->torn)
        return;
    c->torn = !services_hold(r->svc, bytes.len);
    if (!c->torn) {
        c->charge += bytes.len;
        c->torn = buf_add_slice(&c->tape, bytes) != 0;
    }
    if (c->torn)
        drop_tape(r);
}

bool
recall_is_taped(const struct request *r)
{
    return r->recall && r->recall->state == RECALL_MISS && !r->recall->torn;
}

/* An answer that was made shorter for a budget is not the answer to the request. */
static bool
is_worth_keeping(const struct request *r)
{
    return recall_is_taped(r) && r->sent.status >= 200 && r->sent.status < 300 &&
           r->output_limit == 0;
}

static size_t
target_index(const struct request *r)
{
    return (size_t)(r->plan.target - r->grant.model->targets);
}

void
recall_keep(struct request *r, const struct http_field *fields, size_t count, struct slice body)
{
    const struct policy *now = pin_peek(r->svc->pin);
    if (!is_worth_keeping(r))
        return;
    struct cached a = {.model = r->grant.name,
                       .team = r->who.key->team->name,
                       .target = target_index(r),
                       .status = r->sent.status,
                       .body = body};
    memcpy(a.key, r->recall->key, SHA256_BYTES);
    memcpy(a.config, r->grant.model->cache->config, SHA256_BYTES);
    for (size_t i = 0; i < count && a.field_count < LIMIT_CACHED_FIELDS; i++)
        if (is_kept(fields[i].name))
            a.fields[a.field_count++] = fields[i];
    /* The policy may have changed while the provider was at work. What is too long, or has no
     * memory, is asked for again. */
    if (now && cache_is_current(&a, now))
        (void)!cache_put(r->svc->cache, &a, loop_now_ms(r->svc->loop),
                         r->grant.model->cache->ttl_ms);
}

const char *
recall_word(const struct request *r)
{
    static const char *const words[] = {
        [RECALL_BYPASS] = "bypass", [RECALL_MISS] = "miss", [RECALL_HIT] = "hit"};
    bool refused = r->recall && r->recall->state == RECALL_HIT && r->reply.status;
    return r->recall && !refused ? words[r->recall->state] : "none";
}

void
recall_release(struct request *r)
{
    if (!r->recall)
        return;
    cache_unref(r->recall->hit);
    r->recall->hit = NULL;
    drop_tape(r);
}
