/*
 * What is counted of a request, and what each kind of it costs: the one usage record (see
 * proto/bus.proto, Tokens) and the prices that go with it. Sans-I/O.
 *
 * Classes are disjoint: a token is counted in one of them only. The sum over input kinds is all
 * input, the sum over output kinds all output. What is no token (a search, an image, a millisecond
 * of sound, a character) is counted beside them, in units of its own.
 */
#ifndef LIB_POLICY_RATES_H
#define LIB_POLICY_RATES_H

#include "lib/base/err.h"
#include "lib/base/money.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* The order of struct tokens and of struct rates; the numbers + 1 are the fields of Tokens. */
enum usage_class {
    CLASS_INPUT,
    CLASS_CACHE_READ,
    CLASS_CACHE_WRITE,
    CLASS_CACHE_WRITE_1H,
    CLASS_OUTPUT,
    CLASS_REASONING,
    CLASS_COMMON, /* those before it are in every record's prices, the others where they are used */
    CLASS_AUDIO_INPUT = CLASS_COMMON,
    CLASS_AUDIO_OUTPUT,
    CLASS_IMAGE_INPUT,
    CLASS_IMAGE_OUTPUT,
    CLASS_TOKENS, /* those before it are tokens */
    CLASS_WEB_SEARCHES = CLASS_TOKENS,
    CLASS_SEARCH_UNITS,
    CLASS_IMAGES,
    CLASS_AUDIO_MS,
    CLASS_CHARACTERS,
    USAGE_CLASSES
};
/* "input", "cache_read", ..., "characters". */
const char *usage_class_name(enum usage_class c);

/* By name, or by class. */
struct tokens {
    union {
        struct {
            int64_t input;                     /* fresh text */
            int64_t cache_read;                /* of the provider's prompt cache, of any kind */
            int64_t cache_write;               /* for 5 minutes, or without a stated time */
            int64_t cache_write_1h;            /* for an hour */
            int64_t output;                    /* text, without reasoning */
            int64_t reasoning;                 /* thinking, shown or not */
            int64_t audio_input, audio_output; /* tokens of sound */
            int64_t image_input, image_output; /* tokens of pictures */
            int64_t web_searches;              /* calls of the provider's own search */
            int64_t search_units;              /* of a rerank */
            int64_t images;                    /* generated, where they are billed by the piece */
            int64_t audio_ms;   /* sound that was listened to, billed by its length */
            int64_t characters; /* spoken, billed by the character */
        };
        int64_t of[USAGE_CLASSES];
    };
};

static inline int64_t
tokens_input(const struct tokens *t)
{
    return t->input + t->cache_read + t->cache_write + t->cache_write_1h + t->audio_input +
           t->image_input;
}

static inline int64_t
tokens_output(const struct tokens *t)
{
    return t->output + t->reasoning + t->audio_output + t->image_output;
}

/* Whether a class beyond the common ones is used. */
static inline bool
tokens_are_rare(const struct tokens *t)
{
    int64_t all = 0;

    for (int c = CLASS_COMMON; c < USAGE_CLASSES; c++)
        all |= t->of[c];
    return all != 0;
}

#define MS_PER_MINUTE 60000

/* Picodollars per token, per unit, or (audio) per minute; by name, or by class. */
struct rates {
    union {
        struct {
            picos_tok input, cached_input, cache_write, cache_write_1h, output, reasoning,
                audio_input, audio_output, image_input, image_output, web_search, search_unit,
                image, audio_minute, character;
        };
        picos_tok of[USAGE_CLASSES];
    };
};

/* Exact cost, rounded once: 0 or ERR_RANGE (a negative count or an overflow). */
MUST_CHECK int rates_cost(const struct rates *rates, const struct tokens *t, nanos *ret_cost);
/* Whether something that is no token was used and has no rate: booked at nothing, which somebody
 * should hear of. */
bool rates_are_silent(const struct rates *rates, const struct tokens *t);

/* --- circumstances ---------------------------------------------------------------------------- */

/* What else decides which rates of a price apply. */
enum service_tier { TIER_STANDARD, TIER_BATCH, TIER_FLEX, TIER_PRIORITY, SERVICE_TIERS };
const char *service_tier_name(enum service_tier t); /* "standard", "batch", ... */
/* 0 or ERR_NOT_FOUND. "default", "auto" and "" are the standard tier too. */
MUST_CHECK int service_tier_parse(struct slice name, enum service_tier *ret_tier);

/* Thresholds of input beyond which one price may change. */
#define LIMIT_PRICE_LEVELS 3

struct circumstances {
    int64_t input_tokens; /* all kinds of input together: prices may rise with it */
    enum service_tier tier;
};

static inline struct circumstances
circumstances_of(const struct tokens *t, enum service_tier tier)
{
    return (struct circumstances){tokens_input(t), tier};
}

#endif
