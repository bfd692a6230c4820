/* Quotas and budgets: from the section "limits" to an index by the most particular selector. */
#include "lib/policy/limits.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/encode.h"
#include "lib/policy/policy_internal.h"

/* Numbers of limits that are looked up under one name. */
struct limit_list {
    uint32_t *at;
    size_t count, cap;
};

struct policy_limits {
    atomic_uint refs;
    struct arena arena;
    unsigned char digest[SHA256_BYTES];
    struct slice bytes;
    const struct policy_core *core; /* only while it is compiled */
    struct policy_limit **all;
    size_t count, cap;
    struct map by_id;
    struct map by[LIMIT_DIMENSIONS]; /* name -> struct limit_list */
    struct map by_tag;               /* a tag's value -> struct limit_list */
    struct limit_list rest;          /* no name to look up: everybody, globs of models */
};

static const char *const dimensions[LIMIT_DIMENSIONS] = {
    [BY_KEY] = "key",   [BY_USER] = "user",   [BY_END_USER] = "end_user", [BY_PROJECT] = "project",
    [BY_TEAM] = "team", [BY_MODEL] = "model", [BY_PROVIDER] = "provider",
};

static const char *const metrics[] = {
    [METRIC_REQUESTS] = "requests",
    [METRIC_TOKENS] = "tokens",
    [METRIC_INPUT_TOKENS] = "input_tokens",
    [METRIC_OUTPUT_TOKENS] = "output_tokens",
    [METRIC_CONCURRENT] = "concurrent_requests",
    [METRIC_SPEND] = "usd",
};

const char *
limit_metric_name(enum limit_metric m)
{
    return metrics[m];
}

/* --- words ------------------------------------------------------------------------------------ */

/* The number of a word in a table that begins at `first`, or 0. */
static int
word(struct slice text, const char *const *table, int first, int count)
{
    for (int i = first; i < count; i++)
        if (slice_is(text, table[i]))
            return i;
    return -1;
}

static bool
is_period(struct slice s)
{
    static const char *const periods[] = {"hour", "day", "week", "month", "lifetime"};

    return word(s, periods, 0, 5) >= 0;
}

static int
read_mode(struct slice s)
{
    static const char *const modes[] = {
        [LIMIT_STRICT] = "strict", [LIMIT_ESTIMATE] = "estimate", [LIMIT_SHADOW] = "shadow"};

    return word(s, modes, LIMIT_STRICT, LIMIT_SHADOW + 1);
}

static int
read_unverifiable(struct slice s)
{
    static const char *const words[] = {[UNVERIFIABLE_DENY] = "deny",
                                        [UNVERIFIABLE_ALLOW_CAPPED] = "allow_capped",
                                        [UNVERIFIABLE_ALLOW] = "allow"};

    return word(s, words, UNVERIFIABLE_DENY, UNVERIFIABLE_ALLOW + 1);
}

/* --- the index -------------------------------------------------------------------------------- */

static int
list_add(struct limit_list *list, size_t number)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 4;
        uint32_t *at = realloc(list->at, cap * sizeof(*at));

        if (!at)
            return ERR_NOMEM;
        list->at = at;
        list->cap = cap;
    }
    list->at[list->count++] = (uint32_t)number;
    return 0;
}

static int
map_add(struct policy_limits *p, struct map *map, struct slice name, size_t number)
{
    struct limit_list *list = map_find(map, name);

    if (!list) {
        if (!(list = arena_zalloc(&p->arena, sizeof(*list))) || map_put(map, name, list) != 0)
            return ERR_NOMEM;
    }
    return list_add(list, number);
}

static int
index_limit(struct policy_limits *p, const struct policy_limit *l, size_t number)
{
    for (size_t d = 0; d < LIMIT_DIMENSIONS; d++) {
        if (d == BY_TEAM && l->tag_count) /* a tag says more than a team */
            return map_add(p, &p->by_tag, l->tags[0].value, number);
        if (l->by[d].len && !(d == BY_MODEL && l->model_is_glob))
            return map_add(p, &p->by[d], l->by[d], number);
    }
    return list_add(&p->rest, number);
}

static int
enter(struct policy_limits *p, const struct place *at, struct policy_limit *l)
{
    if (map_find(&p->by_id, l->id))
        return BAD(at, ERR_EXISTS, "is there twice");
    if (p->count == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        struct policy_limit **all = realloc(p->all, cap * sizeof(struct policy_limit *));

        if (!all)
            return BAD(at, ERR_NOMEM, "no memory");
        p->all = all;
        p->cap = cap;
    }
    p->all[p->count] = l;
    if (map_put(&p->by_id, l->id, l) != 0 || index_limit(p, l, p->count) != 0)
        return BAD(at, ERR_NOMEM, "no memory");
    p->count++;
    return 0;
}

/* --- selectors -------------------------------------------------------------------------------- */

static int
take_tags(struct policy_limits *p, const struct place *at, const struct section_selector *s,
          struct policy_limit *l)
{
    struct policy_tag *tags = arena_alloc(&p->arena, (s->tag_count + 1) * sizeof(*tags));

    if (s->tag_count > LIMIT_SELECTOR_TAGS)
        return BAD(at, ERR_LIMIT, "tag: more than %d", LIMIT_SELECTOR_TAGS);
    for (size_t i = 0; tags && i < s->tag_count; i++) {
        tags[i].name = arena_copy(&p->arena, s->tags[i].name);
        tags[i].value = arena_copy(&p->arena, s->tags[i].value);
        if (!tags[i].name.at || !tags[i].value.at)
            return BAD(at, ERR_NOMEM, "no memory");
    }
    if (!tags)
        return BAD(at, ERR_NOMEM, "no memory");
    l->tags = tags;
    l->tag_count = s->tag_count;
    return 0;
}

/* A model that no client can ask for makes a limit that never counts: surely a mistake. */
static int
check_model(struct policy_limits *p, const struct place *at, struct policy_limit *l)
{
    struct slice name = l->by[BY_MODEL];
    size_t star = slice_find(name, '*', 0), slash = slice_find(name, '/', 0);

    l->model_is_glob = star < name.len;
    if (map_find(&p->core->model_by_name, name))
        return 0;
    for (size_t i = 0; l->model_is_glob && i < p->core->model_count; i++)
        if (glob_match(name, p->core->models[i].name))
            return 0;
    if (slash < name.len &&
        (star < slash || map_find(&p->core->provider_by_name, slice_make(name.at, slash))))
        return 0;
    return BAD(at, ERR_NOT_FOUND, "model: no model is called '%.*s'", SLICE_ARG(name));
}

static int
take_selector(struct policy_limits *p, const struct place *at, const struct section_selector *s,
              struct policy_limit *l)
{
    const struct slice given[LIMIT_DIMENSIONS] = {
        [BY_KEY] = s->key,           [BY_USER] = s->user,   [BY_END_USER] = s->end_user,
        [BY_TEAM] = s->team,         [BY_MODEL] = s->model, [BY_PROJECT] = s->project,
        [BY_PROVIDER] = s->provider,
    };

    for (size_t d = 0; d < LIMIT_DIMENSIONS; d++) {
        if (given[d].len > LIMIT_NAME_BYTES)
            return BAD(at, ERR_LIMIT, "%s: is too long", dimensions[d]);
        if (given[d].len && !(l->by[d] = arena_copy(&p->arena, given[d])).at)
            return BAD(at, ERR_NOMEM, "no memory");
    }
    if (l->by[BY_PROVIDER].len && !map_find(&p->core->provider_by_name, l->by[BY_PROVIDER]))
        return BAD(at, ERR_NOT_FOUND, "provider: there is no provider '%.*s'",
                   SLICE_ARG(l->by[BY_PROVIDER]));
    if (l->by[BY_MODEL].len) {
        int err = check_model(p, at, l);

        if (err)
            return err;
    }
    return take_tags(p, at, s, l);
}

static int
take_per(const struct place *at, struct slice per, struct policy_limit *l)
{
    int d = word(per, dimensions, 0, LIMIT_DIMENSIONS);

    if (per.len == 0)
        return 0;
    if (d < 0)
        return BAD(at, ERR_SYNTAX, "per: is not known to this version");
    l->has_per = true;
    l->per = (enum limit_dimension)d;
    return 0;
}

/* --- quotas ----------------------------------------------------------------------------------- */

static struct slice
rate_id(struct policy_limits *p, struct slice name, enum limit_metric m, int64_t window_ms)
{
    const char *unit = window_ms == 0          ? ""
                       : window_ms == 60000    ? "_per_minute"
                       : window_ms == 3600000  ? "_per_hour"
                       : window_ms == 86400000 ? "_per_day"
                                               : "_per_window";

    return slice_of(
        arena_printf(&p->arena, "%.*s:%s%s", SLICE_ARG(name), limit_metric_name(m), unit));
}

static int
take_rate(struct policy_limits *p, const struct place *at, const struct policy_limit *common,
          const struct section_rate *rate)
{
    struct policy_limit *l = arena_alloc(&p->arena, sizeof(*l));
    int metric = word(rate->metric, metrics, METRIC_REQUESTS, METRIC_SPEND);

    if (!l)
        return BAD(at, ERR_NOMEM, "no memory");
    if (metric < 0)
        return BAD(at, ERR_SYNTAX, "metric '%.*s' is not known to this version",
                   SLICE_ARG(rate->metric));
    if (rate->amount <= 0 || rate->window_ms < 0 ||
        (rate->window_ms == 0) != (metric == METRIC_CONCURRENT))
        return BAD(at, ERR_RANGE, "%s: out of range", limit_metric_name((enum limit_metric)metric));
    *l = *common;
    l->metric = (enum limit_metric)metric;
    l->amount = rate->amount;
    l->window_ms = rate->window_ms;
    l->id = rate_id(p, l->name, l->metric, l->window_ms);
    return l->id.at ? enter(p, at, l) : BAD(at, ERR_NOMEM, "no memory");
}

static int
take_quota(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_limits *p = ctx;
    struct section_quota q;
    struct policy_limit common = {0};
    int err;

    if (section_get_quota(item, scratch, &q) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = q.name;
    if (!name_is_valid(q.name))
        return BAD(at, ERR_SYNTAX, "name: is empty, too long or malformed");
    if (q.rate_count == 0)
        return BAD(at, ERR_SYNTAX, "limits nothing");
    if (!(common.name = arena_copy(&p->arena, q.name)).at)
        return BAD(at, ERR_NOMEM, "no memory");
    common.mode = q.shadow ? LIMIT_SHADOW : LIMIT_ENFORCE;
    if ((err = take_selector(p, at, &q.selector, &common)) || (err = take_per(at, q.per, &common)))
        return err;
    for (size_t i = 0; !err && i < q.rate_count; i++)
        err = take_rate(p, at, &common, &q.rates[i]);
    return err;
}

/* --- budgets ---------------------------------------------------------------------------------- */

static int
take_thresholds(const struct place *at, const struct section_budget *b, struct policy_limit *l)
{
    if (b->threshold_count > LIMIT_THRESHOLDS)
        return BAD(at, ERR_LIMIT, "thresholds: more than %d", LIMIT_THRESHOLDS);
    for (size_t i = 0; i < b->threshold_count; i++) {
        if (b->thresholds[i] == 0 || (i && b->thresholds[i] <= b->thresholds[i - 1]))
            return BAD(at, ERR_RANGE, "thresholds: must rise from 1");
        l->thresholds[i] = b->thresholds[i];
    }
    l->threshold_count = b->threshold_count;
    return 0;
}

static int
take_terms(struct policy_limits *p, const struct place *at, const struct section_budget *b,
           struct policy_limit *l)
{
    int mode = read_mode(b->mode), unverifiable = read_unverifiable(b->on_unverifiable);

    if (mode < 0 || unverifiable < 0 || !is_period(b->period) ||
        !(slice_is(b->unit, "usd") || slice_is(b->unit, "tokens")))
        return BAD(at, ERR_SYNTAX, "a mode, unit or period that is not known to this version");
    if (b->amount <= 0)
        return BAD(at, ERR_RANGE, "the limit must be above zero");
    l->metric = slice_is(b->unit, "usd") ? METRIC_SPEND : METRIC_TOKENS;
    l->mode = (enum limit_mode)mode;
    l->on_unverifiable = (enum unverifiable)unverifiable;
    l->amount = b->amount;
    l->is_budget = true;
    l->period = arena_copy(&p->arena, b->period);
    l->time_zone = arena_copy(&p->arena, b->time_zone);
    return l->period.at && l->time_zone.at ? take_thresholds(at, b, l)
                                           : BAD(at, ERR_NOMEM, "no memory");
}

static int
take_budget(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_limits *p = ctx;
    struct policy_limit *l = arena_zalloc(&p->arena, sizeof(*l));
    struct section_budget b;
    int err;

    if (section_get_budget(item, scratch, &b) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = b.name;
    if (!name_is_valid(b.name) || slice_find(b.name, ':', 0) < b.name.len)
        return BAD(at, ERR_SYNTAX, "name: is empty, too long or malformed");
    if (!l || !(l->name = l->id = arena_copy(&p->arena, b.name)).at)
        return BAD(at, ERR_NOMEM, "no memory");
    if ((err = take_selector(p, at, &b.selector, l)) || (err = take_per(at, b.per, l)) ||
        (err = take_terms(p, at, &b, l)))
        return err;
    return enter(p, at, l);
}

/* --- together --------------------------------------------------------------------------------- */

int
limits_compile(struct slice bytes, const struct policy_core *core,
               struct policy_limits **ret_limits, struct buf *why)
{
    struct policy_limits *p = calloc(1, sizeof(*p));
    int err;

    if (!p)
        return refuse(why, ERR_NOMEM, "limits: no memory");
    atomic_init(&p->refs, 1);
    arena_init(&p->arena, 0);
    p->core = core;
    map_init(&p->by_id);
    map_init(&p->by_tag);
    for (size_t d = 0; d < LIMIT_DIMENSIONS; d++)
        map_init(&p->by[d]);
    hash_sha256(bytes.at, bytes.len, p->digest);
    p->bytes = arena_copy(&p->arena, bytes);
    err = p->bytes.at ? 0 : refuse(why, ERR_NOMEM, "limits: no memory");
    if (!err)
        err = each_item("limits", bytes, SECTION_QUOTA, "quotas", take_quota, p, why);
    if (!err)
        err = each_item("limits", bytes, SECTION_BUDGET, "budgets", take_budget, p, why);
    if (err) {
        limits_unref(p);
        return err;
    }
    p->core = NULL;
    *ret_limits = p;
    return 0;
}

struct policy_limits *
limits_ref(struct policy_limits *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

static void
free_lists(struct map *map)
{
    struct slice name;
    size_t cursor = 0;
    void *list;

    while (map_next(map, &cursor, &name, &list))
        free(((struct limit_list *)list)->at);
    map_free(map);
}

void
limits_unref(struct policy_limits *p)
{
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    for (size_t d = 0; d < LIMIT_DIMENSIONS; d++)
        free_lists(&p->by[d]);
    free_lists(&p->by_tag);
    free(p->rest.at);
    map_free(&p->by_id);
    free(p->all);
    arena_free(&p->arena);
    free(p);
}

bool
limits_are(const struct policy_limits *p, const unsigned char digest[static SHA256_BYTES])
{
    return memcmp(p->digest, digest, SHA256_BYTES) == 0;
}

struct slice
limits_bytes(const struct policy_limits *p)
{
    return p->bytes;
}

/* --- a request -------------------------------------------------------------------------------- */

/* The key's tags, then the request's. A walk begins all zero. */
struct tag_walk {
    size_t cursor, next;
};

static bool
next_tag(const struct limit_facts *f, struct tag_walk *w, struct policy_tag *ret_tag)
{
    if (f->key && policy_key_tag(f->key, &w->cursor, ret_tag))
        return true;
    if (w->next == f->tag_count)
        return false;
    *ret_tag = f->tags[w->next++];
    return true;
}

static bool
has_tag(const struct limit_facts *f, const struct policy_tag *want)
{
    struct policy_tag tag;
    struct tag_walk w = {0};

    while (next_tag(f, &w, &tag))
        if (slice_eq(tag.name, want->name) && slice_eq(tag.value, want->value))
            return true;
    return false;
}

bool
limit_counts(const struct policy_limit *l, const struct limit_facts *f)
{
    for (size_t d = 0; d < LIMIT_DIMENSIONS; d++) {
        if (!l->by[d].len)
            continue;
        if (d == BY_MODEL && l->model_is_glob ? !glob_match(l->by[d], f->by[d])
                                              : !slice_eq(l->by[d], f->by[d]))
            return false;
    }
    for (size_t i = 0; i < l->tag_count; i++)
        if (!has_tag(f, &l->tags[i]))
            return false;
    return true;
}

/* The matches so far. */
struct found {
    const struct policy_limit **at;
    size_t count;
};

static void
add_list(const struct policy_limits *p, const struct limit_list *list, const struct limit_facts *f,
         struct found *found)
{
    for (size_t i = 0; list && i < list->count; i++) {
        const struct policy_limit *l = p->all[list->at[i]];

        if (!limit_counts(l, f))
            continue;
        if (found->count < LIMIT_REQUEST_LIMITS)
            found->at[found->count] = l;
        found->count++;
    }
}

/* Two tags may have the same value: then the list under it was added already. */
static bool
value_is_new(const struct limit_facts *f, size_t until, struct slice value)
{
    struct policy_tag tag;
    struct tag_walk w = {0};

    for (size_t i = 0; i < until && next_tag(f, &w, &tag); i++)
        if (slice_eq(tag.value, value))
            return false;
    return true;
}

static void
add_by_tags(const struct policy_limits *p, const struct limit_facts *f, struct found *found)
{
    struct policy_tag tag;
    struct tag_walk w = {0};

    for (size_t i = 0; next_tag(f, &w, &tag); i++)
        if (value_is_new(f, i, tag.value))
            add_list(p, map_find(&p->by_tag, tag.value), f, found);
}

size_t
policy_limits_for(const struct policy *policy, const struct limit_facts *f,
                  const struct policy_limit *ret[static LIMIT_REQUEST_LIMITS])
{
    const struct policy_limits *p = policy->limits;
    struct found found = {ret, 0};

    if (!p || p->count == 0)
        return 0;
    for (size_t d = 0; d < LIMIT_DIMENSIONS; d++)
        if (p->by[d].count && f->by[d].len)
            add_list(p, map_find(&p->by[d], f->by[d]), f, &found);
    if (p->by_tag.count)
        add_by_tags(p, f, &found);
    add_list(p, &p->rest, f, &found);
    return found.count;
}

struct slice
limit_subject(const struct policy_limit *l, const struct limit_facts *f,
              char ret_text[static LIMIT_SUBJECT_BYTES])
{
    unsigned char digest[SHA256_BYTES];
    struct slice value = l->has_per ? f->by[l->per] : SLICE("");

    if (value.len <= LIMIT_SUBJECT_BYTES) {
        if (value.len)
            memcpy(ret_text, value.at, value.len);
        return slice_make(ret_text, value.len);
    }
    hash_sha256(value.at, value.len, digest);
    memcpy(ret_text, "sha256:", 7);
    hex_encode(digest, SHA256_BYTES, ret_text + 7);
    return slice_make(ret_text, 7 + 2 * SHA256_BYTES);
}

size_t
policy_limit_count(const struct policy *p)
{
    return p->limits ? p->limits->count : 0;
}

const struct policy_limit *
policy_limit_at(const struct policy *p, size_t index)
{
    return index < policy_limit_count(p) ? p->limits->all[index] : NULL;
}

const struct policy_limit *
policy_find_limit(const struct policy *p, struct slice id)
{
    return p->limits ? map_find(&p->limits->by_id, id) : NULL;
}
