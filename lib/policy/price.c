/*
 * One price: which rates apply when. What was given is filled in once, for all circumstances, so
 * that a request only has to look up a row.
 */
#include "lib/policy/policy_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- what was not given ----------------------------------------------------------------------- */

/* Which class's price stands in for one that was not given; -1: none, it costs nothing. Sound and
 * pictures are taken for text, reasoning for output; a provider that charges nothing extra for the
 * cache charges its input. */
static const signed char stand_in[USAGE_CLASSES] = {
    [CLASS_INPUT] = -1,
    [CLASS_CACHE_READ] = CLASS_INPUT,
    [CLASS_CACHE_WRITE] = CLASS_INPUT,
    [CLASS_CACHE_WRITE_1H] = CLASS_CACHE_WRITE,
    [CLASS_OUTPUT] = -1,
    [CLASS_REASONING] = CLASS_OUTPUT,
    [CLASS_AUDIO_INPUT] = CLASS_INPUT,
    [CLASS_AUDIO_OUTPUT] = CLASS_OUTPUT,
    [CLASS_IMAGE_INPUT] = CLASS_INPUT,
    [CLASS_IMAGE_OUTPUT] = CLASS_OUTPUT,
    [CLASS_WEB_SEARCHES] = -1,
    [CLASS_SEARCH_UNITS] = -1,
    [CLASS_IMAGES] = -1,
    [CLASS_AUDIO_MS] = -1,
    [CLASS_CHARACTERS] = -1,
};

/* Stand-ins come before what they stand in for. */
static struct rates
filled(const struct section_rates *given)
{
    struct rates r = given->rates;

    for (int c = 0; c < USAGE_CLASSES; c++)
        if (stand_in[c] >= 0 && !section_rates_has(given, (enum usage_class)c))
            r.of[c] = r.of[stand_in[c]];
    return r;
}

/* What a variant does not give is as in the base, and only what neither gives is stood in for. */
static struct rates
filled_variant(const struct section_rates *base, const struct section_rates *variant)
{
    struct section_rates both = *base;

    for (int c = 0; c < USAGE_CLASSES; c++)
        if (section_rates_has(variant, (enum usage_class)c))
            section_rates_set(&both, (enum usage_class)c, variant->rates.of[c]);
    return filled(&both);
}

/* --- tiers and thresholds --------------------------------------------------------------------- */

static int
ascending(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int
collect_levels(struct policy_price *to, const struct section_price *p)
{
    for (size_t i = 0; i < p->variant_count; i++) {
        int64_t over = p->variants[i].input_tokens_over;
        bool known = over == 0;
        for (size_t k = 0; k < to->level_count; k++)
            known = known || to->over[k] == over;
        if (known)
            continue;
        if (to->level_count == LIMIT_PRICE_LEVELS)
            return ERR_LIMIT;
        to->over[to->level_count++] = over;
    }
    qsort(to->over, to->level_count, sizeof(to->over[0]), ascending);
    return 0;
}

static const struct section_variant *
given_for(const struct policy_price *to, const struct section_price *p, unsigned tier, size_t level)
{
    int64_t over = level ? to->over[level - 1] : 0;

    for (size_t i = 0; i < p->variant_count; i++)
        if (p->variants[i].service_tier == tier && p->variants[i].input_tokens_over == over)
            return &p->variants[i];
    return NULL;
}

static bool
has_tier(const struct section_price *p, unsigned tier)
{
    for (size_t i = 0; i < p->variant_count; i++)
        if (p->variants[i].service_tier == tier)
            return true;
    return false;
}

static struct rates
dearer(const struct rates *a, const struct rates *b)
{
    struct rates r;

    for (int c = 0; c < USAGE_CLASSES; c++)
        r.of[c] = a->of[c] > b->of[c] ? a->of[c] : b->of[c];
    return r;
}

/* What nobody gave for a tier beyond a threshold: a tier without prices of its own is the standard
 * one; a tier that has some is at least as dear as below the threshold, and as the standard tier
 * beyond it. */
static struct rates
assumed(const struct policy_price *to, const struct rates *table, const struct section_price *p,
        unsigned tier, size_t level)
{
    const struct rates *standard = &table[level];
    const struct rates *below = &table[tier * (to->level_count + 1) + level - 1];

    if (tier == TIER_STANDARD)
        return level ? *below : to->rates;
    if (level == 0 || !has_tier(p, tier))
        return *standard;
    return dearer(below, standard);
}

int
price_fill(struct policy_price *to, const struct section_price *p, struct arena *a)
{
    struct rates *table;
    int err;

    to->free = p->free;
    to->max_output_tokens = p->max_output_tokens;
    to->rates = filled(&p->base);
    if (p->variant_count == 0)
        return 0;
    if ((err = collect_levels(to, p)) != 0)
        return err;
    table = arena_alloc(a, SERVICE_TIERS * (to->level_count + 1) * sizeof(*table));
    if (!table)
        return ERR_NOMEM;
    for (unsigned tier = 0; tier < SERVICE_TIERS; tier++)
        for (size_t level = 0; level <= to->level_count; level++) {
            const struct section_variant *v = given_for(to, p, tier, level);
            table[tier * (to->level_count + 1) + level] =
                v ? filled_variant(&p->base, &v->rates) : assumed(to, table, p, tier, level);
        }
    to->variants = table;
    return 0;
}

/* --- what it costs ---------------------------------------------------------------------------- */

static size_t
level_of(const struct policy_price *price, int64_t input_tokens)
{
    size_t level = 0;

    while (level < price->level_count && price->over[level] < input_tokens)
        level++;
    return level;
}

const struct rates *
policy_rates(const struct policy_price *price, const struct circumstances *c)
{
    if (!price->variants)
        return &price->rates;
    return &price->variants[c->tier * (price->level_count + 1) + level_of(price, c->input_tokens)];
}

int
policy_cost(const struct policy_price *price, const struct circumstances *c, const struct tokens *t,
            nanos *ret_cost)
{
    return rates_cost(policy_rates(price, c), t, ret_cost);
}

/* What comes in as text may be any of these, what goes out as text any of those. */
static void
level_groups(struct rates *r)
{
    r->input = r->input > r->cached_input ? r->input : r->cached_input;
    r->input = r->input > r->cache_write ? r->input : r->cache_write;
    r->input = r->input > r->cache_write_1h ? r->input : r->cache_write_1h;
    r->output = r->output > r->reasoning ? r->output : r->reasoning;
}

int
policy_cost_bound(const struct policy_price *price, enum service_tier tier,
                  const struct tokens *most, nanos *ret_bound)
{
    size_t levels = price->level_count + 1;
    size_t reached = level_of(price, tokens_input(most));
    struct rates dearest = price->rates;

    if (price->variants)
        dearest = (struct rates){0};
    for (unsigned t = 0; price->variants && t < SERVICE_TIERS; t++)
        for (size_t level = 0; level <= reached && (tier == SERVICE_TIERS || t == tier); level++)
            dearest = dearer(&dearest, &price->variants[t * levels + level]);
    level_groups(&dearest);
    return rates_cost(&dearest, most, ret_bound);
}
