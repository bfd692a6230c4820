#include "controlplane/rules/pricebook.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/rules/price.h"

extern const char pricebook_text[]; /* pricebook.txt; made by the Makefile */

#define VERSION_WORD "version "
#define MOST_WORD "most="

static const char *const words[USAGE_CLASSES] = {
    [CLASS_INPUT] = "in",
    [CLASS_CACHE_READ] = "cached",
    [CLASS_CACHE_WRITE] = "write",
    [CLASS_CACHE_WRITE_1H] = "write1h",
    [CLASS_OUTPUT] = "out",
    [CLASS_REASONING] = "reasoning",
    [CLASS_AUDIO_INPUT] = "audio_in",
    [CLASS_AUDIO_OUTPUT] = "audio_out",
    [CLASS_IMAGE_INPUT] = "image_in",
    [CLASS_IMAGE_OUTPUT] = "image_out",
    [CLASS_WEB_SEARCHES] = "search",
    [CLASS_SEARCH_UNITS] = "rerank",
    [CLASS_IMAGES] = "image",
    [CLASS_AUDIO_MS] = "minute",
    [CLASS_CHARACTERS] = "mchar",
};

/* The book is ours: what is wrong in it is our own mistake, which test_pricebook finds. */
static void
take_amount(struct section_rates *r, struct slice word)
{
    struct slice amount = word, name = slice_cut(&amount, '=');
    picos_tok price;

    for (int c = 0; c < USAGE_CLASSES; c++)
        if (slice_is(name, words[c])) {
            int err = price_parse((enum usage_class)c, amount, &price);
            assert(!err && !section_rates_has(r, (enum usage_class)c));
            section_rates_set(r, (enum usage_class)c, price);
            return;
        }
    assert(false && "no such word");
}

static int64_t
number(struct slice digits)
{
    int64_t n = 0;

    for (size_t i = 0; i < digits.len; i++) {
        assert(digits.at[i] >= '0' && digits.at[i] <= '9' && n < 1000000000);
        n = n * 10 + (digits.at[i] - '0');
    }
    return n;
}

static void
take_circumstance(struct section_variant *v, struct slice word)
{
    static const struct slice over = {"over:", 5};
    enum service_tier tier;
    int err;

    if (slice_starts(word, over)) {
        v->input_tokens_over = number(slice_from(word, over.len));
        return;
    }
    err = service_tier_parse(word, &tier);
    assert(!err);
    v->service_tier = tier;
}

/* Amounts belong to the circumstances before them, at first to none. */
static void
take_prices(struct pricebook *b, struct slice rest, struct section_price *p)
{
    struct section_rates *into = &p->base;
    bool circumstance = false;

    while (rest.at && rest.len) {
        struct slice word = slice_cut(&rest, ' ');
        if (word.len == 0)
            continue;
        if (slice_is(word, "free")) {
            p->free = true;
        } else if (slice_starts(word, SLICE(MOST_WORD))) {
            p->max_output_tokens = number(slice_from(word, sizeof(MOST_WORD) - 1));
        } else if (slice_find(word, '=', 0) < word.len) {
            take_amount(into, word);
            circumstance = false;
        } else {
            if (!circumstance) {
                assert(p->variant_count < LIMIT_PRICE_VARIANTS);
                b->variants[p->variant_count] = (struct section_variant){0};
                into = &b->variants[p->variant_count++].rates;
            }
            take_circumstance(&b->variants[p->variant_count - 1], word);
            circumstance = true;
        }
    }
}

static void
enter_kind(struct pricebook *b, struct slice line)
{
    (void)snprintf(b->provider, sizeof(b->provider), "kind:%.*s", (int)line.len - 2, line.at + 1);
}

/* The next line that says something; none: at == NULL. */
static struct slice
next_line(struct pricebook *b)
{
    while (b->rest.at && b->rest.len) {
        struct slice line = slice_cut(&b->rest, '\n');
        b->line++;
        if (line.len && line.at[0] != '#' && !slice_starts(line, SLICE(VERSION_WORD)))
            return line;
    }
    return (struct slice){0};
}

struct slice
pricebook_version(void)
{
    const char *at = strstr(pricebook_text, "\n" VERSION_WORD);
    struct slice rest;

    assert(at);
    rest = slice_of(at + sizeof(VERSION_WORD));
    return slice_cut(&rest, '\n');
}

void
pricebook_start(struct pricebook *b)
{
    *b = (struct pricebook){.rest = slice_of(pricebook_text)};
}

bool
pricebook_next(struct pricebook *b, struct section_price *ret_price)
{
    struct slice line;

    while ((line = next_line(b)).at && line.at[0] == '[')
        enter_kind(b, line);
    if (!line.at)
        return false;
    *ret_price = (struct section_price){
        .provider = slice_of(b->provider),
        .model = slice_cut(&line, ' '),
        .version = pricebook_version(),
        .variants = b->variants,
    };
    take_prices(b, line, ret_price);
    return true;
}
