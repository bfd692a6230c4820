#include "lib/policy/rates.h"

static const char *const classes[USAGE_CLASSES] = {
    [CLASS_INPUT] = "input",
    [CLASS_CACHE_READ] = "cache_read",
    [CLASS_CACHE_WRITE] = "cache_write",
    [CLASS_CACHE_WRITE_1H] = "cache_write_1h",
    [CLASS_OUTPUT] = "output",
    [CLASS_REASONING] = "reasoning",
    [CLASS_AUDIO_INPUT] = "audio_input",
    [CLASS_AUDIO_OUTPUT] = "audio_output",
    [CLASS_IMAGE_INPUT] = "image_input",
    [CLASS_IMAGE_OUTPUT] = "image_output",
    [CLASS_WEB_SEARCHES] = "web_searches",
    [CLASS_SEARCH_UNITS] = "search_units",
    [CLASS_IMAGES] = "images",
    [CLASS_AUDIO_MS] = "audio_ms",
    [CLASS_CHARACTERS] = "characters",
};

static const char *const tiers[SERVICE_TIERS] = {
    [TIER_STANDARD] = "standard",
    [TIER_BATCH] = "batch",
    [TIER_FLEX] = "flex",
    [TIER_PRIORITY] = "priority",
};

_Static_assert(sizeof(struct tokens) == sizeof(int64_t) * USAGE_CLASSES, "a name for each class");
_Static_assert(sizeof(struct rates) == sizeof(picos_tok) * USAGE_CLASSES, "a rate for each class");

const char *
usage_class_name(enum usage_class c)
{
    return classes[c];
}

const char *
service_tier_name(enum service_tier t)
{
    return tiers[t];
}

int
service_tier_parse(struct slice name, enum service_tier *ret_tier)
{
    *ret_tier = TIER_STANDARD;
    if (!name.len || slice_is(name, "default") || slice_is(name, "auto"))
        return 0;
    for (unsigned i = 0; i < SERVICE_TIERS; i++)
        if (slice_is(name, tiers[i])) {
            *ret_tier = (enum service_tier)i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

/* Sound is priced by the minute and counted in milliseconds. The fraction of a picodollar that the
 * division drops cannot change the sum's rounding, since everything else of it is whole. */
static __int128
line_of(const struct rates *rates, const struct tokens *t, int c)
{
    __int128 line = money_line(rates->of[c], t->of[c]);

    return c == CLASS_AUDIO_MS ? line / MS_PER_MINUTE : line;
}

bool
rates_are_silent(const struct rates *rates, const struct tokens *t)
{
    for (int c = CLASS_TOKENS; c < USAGE_CLASSES; c++)
        if (t->of[c] && !rates->of[c])
            return true;
    return false;
}

int
rates_cost(const struct rates *rates, const struct tokens *t, nanos *ret_cost)
{
    __int128 sum = 0;

    for (int c = 0; c < USAGE_CLASSES; c++) {
        if (t->of[c] == 0)
            continue;
        if (t->of[c] < 0 || __builtin_add_overflow(sum, line_of(rates, t, c), &sum))
            return ERR_RANGE;
    }
    return money_round(sum, ret_cost);
}
