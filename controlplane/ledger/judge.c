/* What may enter the books. A worker of ours never sends anything else; damage and strangers do. */
#include "controlplane/ledger/batch.h"
#include "lib/base/rand.h"
#include "lib/base/utf8.h"

static bool
is_clean(struct slice s)
{
    uint32_t code;

    for (size_t at = 0, n; at < s.len; at += n)
        if (!(n = utf8_take(s.at + at, s.len - at, &code)))
            return false;
    return true;
}

/* Every stray byte becomes '?'. */
static void
clean(struct slice *s, struct arena *a)
{
    uint32_t code;
    char *bytes;

    if (is_clean(*s))
        return;
    bytes = arena_strdup(a, *s);
    for (size_t at = 0, n; bytes && at < s->len; at += n ? n : 1)
        if (!(n = utf8_take(bytes + at, s->len - at, &code)))
            bytes[at] = '?';
    *s = slice_make(bytes, bytes ? s->len : 0);
}

static const char *
judge_names(const struct usage *u)
{
    const struct slice needed[] = {u->key, u->team, u->provider, u->model, u->provider_model};
    const struct slice names[] = {u->key,      u->key_id,         u->team,
                                  u->project,  u->user,           u->model,
                                  u->provider, u->provider_model, u->price_version};

    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
        if (!needed[i].len)
            return "missing_name";
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!is_clean(names[i]))
            return "malformed_name";
    for (size_t i = 0; i < u->tag_count; i++)
        if (!is_clean(u->tags[i].name) || !is_clean(u->tags[i].value))
            return "malformed_tag";
    return NULL;
}

/* No provider has sent a trillion tokens at once; sums of such would leave 64 bits. */
#define LIMIT_TOKENS INT64_C(1000000000000)

static bool
are_plausible(const struct tokens *t)
{
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (t->of[c] < 0 || t->of[c] > LIMIT_TOKENS)
            return false;
    return true;
}

static const char *
judge_money(const struct usage *u)
{
    nanos cost;

    for (int c = 0; c < USAGE_CLASSES; c++)
        if (u->price.of[c] < 0)
            return "negative_price";
    if (u->cost < 0 || u->reserved < 0)
        return "negative_amount";
    for (size_t i = 0; i < u->draw_count; i++)
        if (u->draws[i].amount < 0 || u->draws[i].slice > INT64_MAX)
            return "negative_amount";
    if (!are_plausible(&u->tokens) || rates_cost(&u->price, &u->tokens, &cost))
        return "tokens_out_of_range";
    if (u->cached && u->cost)
        return "cached_with_cost";
    return cost == u->cost ? NULL : "cost_mismatch";
}

const char *
judge_usage(struct usage *u, struct arena *a)
{
    const char *why;

    if (u->attempt_id[6] >> 4 != 7)
        return "attempt_id_not_v7";
    if (u->attempt_no == 0 || u->attempt_no > INT32_MAX)
        return "attempt_no_out_of_range";
    if (u->outcome < USAGE_DONE || u->outcome > USAGE_BUDGET_EXHAUSTED)
        return "unknown_outcome";
    if ((unsigned)u->tier >= SERVICE_TIERS)
        return "unknown_service_tier";
    if (u->status > 999 || u->upstream_status > 999)
        return "status_out_of_range";
    if (u->policy_epoch > INT64_MAX || u->policy_version > INT64_MAX)
        return "policy_out_of_range";
    if ((why = judge_names(u)) || (why = judge_money(u)))
        return why;
    clean(&u->request_id, a);
    clean(&u->end_user, a);
    clean(&u->endpoint, a);
    clean(&u->error_code, a);
    clean(&u->upstream_request_id, a);
    return NULL;
}
