#include "controlplane/cli/price_import.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/base/money.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT_MODEL_BYTES 128
#define LIMIT_THRESHOLDS 3
#define LIMIT_VARIANTS                                                                             \
    15 /* three tiers and the standard one, below and beyond three thresholds                      \
        */
#define LIMIT_OVER INT64_C(1000000000)

static const char *const reasons[IMPORT_SKIPS] = {
    [SKIP_PROVIDER] = "of providers of no known kind",
    [SKIP_SUSPECT] = "marked as doubtful in the file",
    [SKIP_UNITS] = "without a price per token, search, image, minute or character",
    [SKIP_NAME] = "with a name that no model can have here",
    [SKIP_FINE] = "with an amount that is negative, out of range or finer than a picodollar",
    [SKIP_TWICE] = "named twice at different prices",
    [SKIP_TIERS] = "with more than 3 thresholds of input",
};

const char *
import_skip_reason(enum import_skip s)
{
    return reasons[s];
}

/* A reading under way. */
struct reader {
    struct slice text;
    struct arena arena;
    struct map seen; /* "KIND MODEL" -> struct json, of the rows */
    struct price_import *out;
    struct buf *why;
};

/* What became of one model; a negative error ends the reading. */
enum { TAKEN = 0, PASSED = 1 };

static int
pass(struct reader *r, enum import_skip why)
{
    r->out->skipped[why]++;
    return PASSED;
}

static int
broken(struct reader *r, size_t at, const char *what)
{
    buf_clear(r->why);
    return buf_addf(r->why, "byte %zu: %s", at, what) ? ERR_NOMEM : ERR_SYNTAX;
}

/* --- which kind ------------------------------------------------------------------------------- */

/* How the lists call the providers. A last '*' matches the rest. prefix: what the model's name
 * begins with in the second shape. */
static const struct source {
    const char *name, *kind, *prefix;
} sources[] = {
    {"openai", "openai", "openai/"},
    {"azure", "azure-openai", "azure/"},
    {"azure-openai", "azure-openai", "azure/"},
    {"anthropic", "anthropic", "anthropic/"},
    {"google", "gemini", "gemini/"},
    {"gemini", "gemini", "gemini/"},
    {"vertex*", "vertex", "vertex_ai/"},
    {"bedrock", "bedrock", "bedrock/"},
    {"bedrock_converse", "bedrock", "bedrock/"},
    {"cohere", "cohere", "cohere/"},
    {"cohere_chat", "cohere", "cohere_chat/"},
    {"mistral", "mistral", "mistral/"},
    {"groq", "groq", "groq/"},
    {"together", "together", "together_ai/"},
    {"together_ai", "together", "together_ai/"},
    {"deepseek", "deepseek", "deepseek/"},
    {"xai", "xai", "xai/"},
    {"openrouter", "openrouter", "openrouter/"},
    {"fireworks", "fireworks", "fireworks_ai/"},
    {"fireworks_ai*", "fireworks", "fireworks_ai/"},
    {"cerebras", "cerebras", "cerebras/"},
    {"perplexity", "perplexity", "perplexity/"},
    {"huggingface", "huggingface", "huggingface/"},
    {"ollama", "ollama", "ollama/"},
};

static const struct source *
find_source(struct slice name)
{
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct slice want = slice_of(sources[i].name);
        bool open = want.at[want.len - 1] == '*';
        if (open)
            want.len--;
        if (open ? slice_starts(name, want) : slice_eq(name, want))
            return &sources[i];
    }
    return NULL;
}

/* The characters of a configured model's name. */
static bool
is_model(struct slice name)
{
    if (name.len == 0 || name.len > LIMIT_MODEL_BYTES)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || !c || !strchr("._@+-/:", c)))
            return false;
    }
    return true;
}

/* --- amounts ---------------------------------------------------------------------------------- */

enum unit { PER_MILLION, FOR_ONE, PER_SECOND };

struct member {
    const char *theirs, *ours;
    enum unit unit;
    bool zero_counts; /* 0 is a price; else it says that nothing extra is charged */
};

/* Of a list in millions. */
static const struct member list_members[] = {
    {"input_per_mtok_usd", "input_per_mtok_usd", PER_MILLION, true},
    {"text_input_per_mtok_usd", "input_per_mtok_usd", PER_MILLION, true},
    {"output_per_mtok_usd", "output_per_mtok_usd", PER_MILLION, true},
    {"text_output_per_mtok_usd", "output_per_mtok_usd", PER_MILLION, true},
    {"cache_read_per_mtok_usd", "cached_input_per_mtok_usd", PER_MILLION, false},
    {"cache_write_per_mtok_usd", "cache_write_per_mtok_usd", PER_MILLION, false},
    {"cache_write_1h_per_mtok_usd", "cache_write_1h_per_mtok_usd", PER_MILLION, false},
    {"reasoning_per_mtok_usd", "reasoning_per_mtok_usd", PER_MILLION, false},
    {"audio_input_per_mtok_usd", "audio_input_per_mtok_usd", PER_MILLION, false},
    {"audio_output_per_mtok_usd", "audio_output_per_mtok_usd", PER_MILLION, false},
    {"image_input_per_mtok_usd", "image_input_per_mtok_usd", PER_MILLION, false},
    {"image_output_per_mtok_usd", "image_output_per_mtok_usd", PER_MILLION, false},
    {"input_per_mchar_usd", "per_mchar_usd", PER_MILLION, false},
};
static const struct member list_units[] = {
    {"web_search", "web_search_usd", FOR_ONE, false},
    {"search_unit", "search_unit_usd", FOR_ONE, false},
    {"audio_minute", "audio_minute_usd", FOR_ONE, false},
    {"audio_input_minute", "audio_minute_usd", FOR_ONE, false},
};
/* Of a map in single tokens. */
static const struct member map_members[] = {
    {"input_cost_per_token", "input_per_mtok_usd", PER_MILLION, true},
    {"output_cost_per_token", "output_per_mtok_usd", PER_MILLION, true},
    {"cache_read_input_token_cost", "cached_input_per_mtok_usd", PER_MILLION, false},
    {"cache_creation_input_token_cost", "cache_write_per_mtok_usd", PER_MILLION, false},
    {"cache_creation_input_token_cost_above_1hr", "cache_write_1h_per_mtok_usd", PER_MILLION,
     false},
    {"output_cost_per_reasoning_token", "reasoning_per_mtok_usd", PER_MILLION, false},
    {"input_cost_per_audio_token", "audio_input_per_mtok_usd", PER_MILLION, false},
    {"output_cost_per_audio_token", "audio_output_per_mtok_usd", PER_MILLION, false},
    {"input_cost_per_image_token", "image_input_per_mtok_usd", PER_MILLION, false},
    {"output_cost_per_image_token", "image_output_per_mtok_usd", PER_MILLION, false},
    {"input_cost_per_character", "per_mchar_usd", PER_MILLION, false},
    {"input_cost_per_query", "search_unit_usd", FOR_ONE, false},
    {"input_cost_per_second", "audio_minute_usd", PER_SECOND, false},
};

static const struct member *
find_member(const struct member *table, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_is(name, table[i].theirs))
            return &table[i];
    return NULL;
}

/* A decimal text or a number, as its digits stand; at == NULL: neither. */
static struct slice
digits_of(struct reader *r, struct json_span v)
{
    struct slice text = {0};

    if (v.kind == JSON_NUMBER)
        return json_raw(r->text, v);
    if (v.kind == JSON_TEXT && json_text(r->text, v, &r->arena, &text) != 0)
        return (struct slice){0};
    return text;
}

/* places: of what one is counted in: 12 for a token in dollars, 6 for a million of them. */
static int
canonical(struct slice digits, enum unit unit, int places, char ret[static MONEY_TEXT_BYTES])
{
    int64_t v;
    int err;

    if (unit == PER_MILLION) {
        if ((err = money_parse_number(digits, places, &v)) == 0)
            money_format_per_mtok(v, ret);
        return err;
    }
    err = money_parse_number(digits, unit == PER_SECOND ? 12 : 9, &v);
    if (!err && unit == PER_SECOND) {
        err = __builtin_mul_overflow(v, 60, &v) || v % 1000 ? ERR_RANGE : 0;
        v /= 1000;
    }
    if (!err)
        money_format_usd(v, ret);
    return err;
}

static bool
is_zero(const char *amount)
{
    return strspn(amount, "0.") == strlen(amount);
}

/* Sets the member unless it is there already, or says nothing. 0, ERR_RANGE, ERR_NOMEM. */
static int
set_amount(struct json *price, const struct member *m, struct slice digits, int places)
{
    char text[MONEY_TEXT_BYTES];
    int64_t v;

    if (canonical(digits, m->unit, places, text) != 0 ||
        money_parse_number(slice_of(text), 9, &v) != 0 || v > LIMIT_IMPORT_USD * NANOS_PER_USD)
        return ERR_RANGE;
    if ((is_zero(text) && !m->zero_counts) || json_get(price, m->ours))
        return 0;
    return json_set_str(price, m->ours, text);
}

/* --- circumstances ---------------------------------------------------------------------------- */

static int64_t
over_of(const struct json *variant)
{
    int64_t over = 0;

    return json_to_int(json_get(variant, "input_tokens_over"), &over) ? 0 : over;
}

static int
add_variant(struct json *list, const char *tier, int64_t over, struct json **ret)
{
    struct json *v = json_new_map();

    if (!v || (tier[0] && json_set_str(v, "service_tier", tier)) ||
        (over && json_set_int(v, "input_tokens_over", over))) {
        json_free(v);
        return ERR_NOMEM;
    }
    *ret = v;
    return json_append(list, v);
}

/* The variant of the circumstances, made when there is none. 0, ERR_LIMIT, ERR_NOMEM. */
static int
variant_of(struct json *price, const char *tier, int64_t over, struct json **ret)
{
    struct json *list = json_get(price, "variants");

    for (size_t i = 0; i < json_size(list); i++) {
        struct slice its = json_str(json_get(json_at(list, i), "service_tier"));
        *ret = json_at(list, i);
        if (over_of(*ret) == over && (tier[0] ? slice_is(its, tier) : !its.at))
            return 0;
    }
    if (json_size(list) == LIMIT_VARIANTS)
        return ERR_LIMIT;
    if (!list && json_set(price, "variants", json_new_list()) != 0)
        return ERR_NOMEM;
    return add_variant(json_get(price, "variants"), tier, over, ret);
}

/* A variant without amounts says nothing. */
static int
drop_empty_variants(struct json *price)
{
    struct json *old = json_get(price, "variants"), *kept = json_new_list();
    int err = kept ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < json_size(old); i++) {
        struct json *v = json_at(old, i);
        size_t circumstances = json_get(v, "service_tier") ? 1 : 0;
        circumstances += json_get(v, "input_tokens_over") ? 1 : 0;
        if (json_size(v) > circumstances)
            err = json_append(kept, json_ref(v));
    }
    if (!err && json_size(kept))
        return json_set(price, "variants", kept);
    json_free(kept);
    (void)json_remove(price, "variants");
    return err;
}

static bool
has_too_many_thresholds(const struct json *price)
{
    const struct json *list = json_get(price, "variants");
    int64_t seen[LIMIT_THRESHOLDS];
    size_t n = 0;

    for (size_t i = 0; i < json_size(list); i++) {
        int64_t over = over_of(json_at(list, i));
        bool known = over == 0;
        for (size_t k = 0; k < n; k++)
            known = known || seen[k] == over;
        if (known)
            continue;
        if (n == LIMIT_THRESHOLDS)
            return true;
        seen[n++] = over;
    }
    return false;
}

/* --- a row ------------------------------------------------------------------------------------ */

static bool
has_any(const struct json *price, const char *const *names)
{
    for (; *names; names++)
        if (json_get(price, *names))
            return true;
    return false;
}

/* Whether it is a whole price: what is billed by tokens has both sides, and not both at nothing. */
static bool
complete(struct json *price)
{
    static const char *const units[] = {"search_unit_usd", "image_usd", "audio_minute_usd",
                                        "per_mchar_usd", NULL};
    struct slice in = json_str(json_get(price, "input_per_mtok_usd"));
    struct slice out = json_str(json_get(price, "output_per_mtok_usd"));
    bool nothing = (!in.at || is_zero(in.at)) && (!out.at || is_zero(out.at));

    if (nothing && has_any(price, units)) {
        (void)json_remove(price, "input_per_mtok_usd");
        (void)json_remove(price, "output_per_mtok_usd");
        return true;
    }
    if (nothing || !in.at)
        return false;
    /* Tokens are counted where they are known: not the minutes too. */
    (void)json_remove(price, "audio_minute_usd");
    return out.at || json_set_str(price, "output_per_mtok_usd", "0.00") == 0;
}

static int
add_row(struct reader *r, const struct source *s, struct slice source, struct slice model,
        struct json *price)
{
    struct json *row = json_new_map(), *before;
    char name[32 + LIMIT_MODEL_BYTES];
    int n = snprintf(name, sizeof(name), "%s %.*s", s->kind, SLICE_ARG(model));
    struct slice key = arena_copy(&r->arena, slice_make(name, (size_t)n));

    if ((before = map_find(&r->seen, key)) != NULL) {
        json_free(row);
        return json_equal(json_get(before, "price"), price) ? PASSED : pass(r, SKIP_TWICE);
    }
    if (!row || !key.at || json_set_text(row, "source", source) ||
        json_set_str(row, "kind", s->kind) || json_set_text(row, "model", model) ||
        json_set(row, "price", json_ref(price)) || map_put(&r->seen, key, row)) {
        json_free(row);
        return ERR_NOMEM;
    }
    return json_append(r->out->rows, row);
}

/* Takes the price. */
static int
finish(struct reader *r, const struct source *s, struct slice source, struct slice model,
       struct json *price, int err)
{
    if (err == 0)
        err = drop_empty_variants(price);
    if (err == ERR_RANGE)
        err = pass(r, SKIP_FINE);
    else if (err == 0 && !is_model(model))
        err = pass(r, SKIP_NAME);
    else if (err == ERR_LIMIT || (err == 0 && has_too_many_thresholds(price)))
        err = pass(r, SKIP_TIERS);
    else if (err == 0 && !complete(price))
        err = pass(r, SKIP_UNITS);
    if (err == 0)
        err = add_row(r, s, source, model, price);
    json_free(price);
    return err;
}

/* --- the list --------------------------------------------------------------------------------- */

static struct slice
name_of(struct reader *r, struct json_span name)
{
    struct slice s = {0};

    return json_text(r->text, name, &r->arena, &s) == 0 ? s : (struct slice){0};
}

static struct json_span
get(struct reader *r, struct json_span map, const char *member)
{
    struct json_span name, value;
    size_t cursor = map.start;

    if (map.kind == JSON_MAP)
        while (json_next(r->text, map, &cursor, &name, &value))
            if (slice_is(name_of(r, name), member))
                return value;
    return (struct json_span){.kind = JSON_ABSENT};
}

static int
take_members(struct reader *r, struct json_span map, const struct member *table, size_t count,
             struct json *into)
{
    for (size_t i = 0; i < count; i++) {
        struct json_span v = get(r, map, table[i].theirs);
        struct slice digits = digits_of(r, v);
        int err = digits.at ? set_amount(into, &table[i], digits, 6) : 0;
        if (err)
            return err;
    }
    return 0;
}

/* Of an image there is one price, or none that we could tell. */
static int
take_image(struct reader *r, struct json_span list, struct json *into)
{
    static const struct member image = {"usd_per_image", "image_usd", FOR_ONE, false};
    struct slice only = {0};
    struct json_span name, value;
    size_t cursor = list.start;

    if (list.kind != JSON_LIST)
        return 0;
    while (json_next(r->text, list, &cursor, &name, &value)) {
        struct slice digits = digits_of(r, get(r, value, "usd_per_image"));
        if (only.at && !slice_eq(only, digits))
            return 0;
        only = digits;
    }
    return only.at ? set_amount(into, &image, only, 0) : 0;
}

static int
take_amounts(struct reader *r, struct json_span map, struct json *into)
{
    int err = take_members(r, map, list_members, COUNT(list_members), into);

    if (!err)
        err = take_members(r, get(r, map, "unit_prices_usd"), list_units, COUNT(list_units), into);
    return err ? err : take_image(r, get(r, map, "image_generation"), into);
}

static bool
is_tier(struct slice name)
{
    return slice_is(name, "batch") || slice_is(name, "flex") || slice_is(name, "priority");
}

/* Of the other regions and tiers we have no use. */
static int
take_variant(struct reader *r, struct json_span v, struct json *price)
{
    struct slice region = name_of(r, get(r, v, "region"));
    struct slice tier = name_of(r, get(r, v, "service_tier"));
    struct json_span over_span = get(r, v, "input_tokens_over");
    struct json *variant;
    int64_t over = 0;
    char name[16];
    int err;

    if (region.at && !slice_is(region, "default"))
        return 0;
    if (over_span.kind == JSON_NUMBER && json_int(r->text, over_span, &over) != 0)
        return ERR_RANGE;
    if (over < 0 || over > LIMIT_OVER)
        return ERR_RANGE;
    if (!tier.at || slice_is(tier, "standard"))
        tier = SLICE("");
    else if (!is_tier(tier))
        return 0;
    if (!tier.len && !over)
        return 0; /* the price itself once more */
    (void)snprintf(name, sizeof(name), "%.*s", SLICE_ARG(tier));
    err = variant_of(price, name, over, &variant);
    return err ? err : take_amounts(r, v, variant);
}

static int
take_variants(struct reader *r, struct json_span entry, struct json *price)
{
    struct json_span list = get(r, entry, "variants"), batch = get(r, entry, "batch");
    struct json_span name, value;
    size_t cursor = list.start;
    int err = 0;

    if (list.kind == JSON_LIST)
        while (!err && json_next(r->text, list, &cursor, &name, &value))
            err = take_variant(r, value, price);
    if (!err && batch.kind == JSON_MAP) {
        struct json *variant;
        err = variant_of(price, "batch", 0, &variant);
        if (!err)
            err = take_amounts(r, batch, variant);
    }
    return err;
}

static int
take_entry(struct reader *r, struct json_span entry)
{
    struct slice source = name_of(r, get(r, entry, "provider"));
    struct slice model = name_of(r, get(r, entry, "model"));
    const struct source *s;
    struct json *price;
    int err;

    if (entry.kind != JSON_MAP || !source.at || !model.at)
        return broken(r, entry.start, "each element needs a provider and a model");
    if (!(s = find_source(source)))
        return pass(r, SKIP_PROVIDER);
    if (get(r, entry, "suspect").kind == JSON_TEXT)
        return pass(r, SKIP_SUSPECT);
    if (!(price = json_new_map()))
        return ERR_NOMEM;
    if ((err = take_amounts(r, entry, price)) == 0)
        err = take_variants(r, entry, price);
    return finish(r, s, source, model, price, err);
}

static int
take_list(struct reader *r, struct json_span root)
{
    struct json_span name, value;
    size_t cursor = root.start;
    int err = 0;

    while (err >= 0 && json_next(r->text, root, &cursor, &name, &value))
        err = take_entry(r, value);
    return err < 0 ? err : 0;
}

/* --- the map ---------------------------------------------------------------------------------- */

/* Cuts a tier off the end of a member's name. */
static const char *
cut_tier(struct slice *name)
{
    static const struct {
        struct slice suffix;
        const char *tier;
    } tiers[] = {
        {{"_batches", 8}, "batch"}, {{"_priority", 9}, "priority"}, {{"_flex", 5}, "flex"}};

    for (size_t i = 0; i < COUNT(tiers); i++)
        if (slice_ends(*name, tiers[i].suffix)) {
            name->len -= tiers[i].suffix.len;
            return tiers[i].tier;
        }
    return "";
}

/* Cuts "_above_200k_tokens" off the end: 200000; 0: there is none. */
static int64_t
cut_threshold(struct slice *name)
{
    static const struct slice end = {"k_tokens", 8}, above = {"_above_", 7};
    size_t at = name->len - end.len, scale = 1000;
    int64_t n = 0;

    if (!slice_ends(*name, end))
        return 0;
    for (; at > 0 && name->at[at - 1] >= '0' && name->at[at - 1] <= '9'; scale *= 10) {
        if (scale > 100000000)
            return 0;
        n += (name->at[--at] - '0') * (int64_t)scale;
    }
    if (n == 0 || !slice_ends(slice_make(name->at, at), above))
        return 0;
    name->len = at - above.len;
    return n;
}

static int
take_map_member(struct reader *r, struct slice name, struct json_span value, struct json *price)
{
    struct slice digits = digits_of(r, value), base = name;
    const char *tier = cut_tier(&base);
    int64_t over = cut_threshold(&base);
    const struct member *m = find_member(map_members, COUNT(map_members), base);
    struct json *into = price;
    int err;

    if (!m || value.kind != JSON_NUMBER)
        return 0;
    if (over > LIMIT_OVER)
        return ERR_RANGE;
    if ((tier[0] || over) && (err = variant_of(price, tier, over, &into)) != 0)
        return err;
    return set_amount(into, m, digits, 12);
}

static int
take_map_members(struct reader *r, struct json_span entry, bool images, struct json *price)
{
    static const struct member image = {"output_cost_per_image", "image_usd", FOR_ONE, false};
    struct json_span name, value;
    size_t cursor = entry.start;
    int err = 0;

    while (!err && json_next(r->text, entry, &cursor, &name, &value)) {
        struct slice member = name_of(r, name);
        if (images && value.kind == JSON_NUMBER &&
            (slice_is(member, "output_cost_per_image") || slice_is(member, "input_cost_per_image")))
            err = set_amount(price, &image, digits_of(r, value), 0);
        else
            err = take_map_member(r, member, value, price);
    }
    return err;
}

/* The name without the provider before it. What then still has a '/' of a region is of no use: of
 * Bedrock and Azure only. */
static struct slice
plain_model(const struct source *s, struct slice key)
{
    bool regional = strcmp(s->kind, "bedrock") == 0 || strcmp(s->kind, "azure-openai") == 0;

    if (slice_starts(key, slice_of(s->prefix)))
        key = slice_from(key, strlen(s->prefix));
    return regional && slice_find(key, '/', 0) < key.len ? slice_none() : key;
}

static int
take_map_entry(struct reader *r, struct slice key, struct json_span entry)
{
    struct slice source = name_of(r, get(r, entry, "litellm_provider"));
    struct slice mode = name_of(r, get(r, entry, "mode"));
    const struct source *s;
    struct json *price;
    int err;

    if (entry.kind != JSON_MAP)
        return broken(r, entry.start, "each model must be a map of its prices");
    if (!source.at || !(s = find_source(source)))
        return pass(r, SKIP_PROVIDER);
    if (mode.at && (slice_starts(mode, SLICE("video")) || slice_is(mode, "ocr")))
        return pass(r, SKIP_UNITS);
    if (!(price = json_new_map()))
        return ERR_NOMEM;
    err = take_map_members(r, entry, mode.at && slice_starts(mode, SLICE("image")), price);
    return finish(r, s, source, plain_model(s, key), price, err);
}

static int
take_map(struct reader *r, struct json_span root)
{
    struct json_span name, value;
    size_t cursor = root.start;
    int err = 0;

    while (err >= 0 && json_next(r->text, root, &cursor, &name, &value))
        err = take_map_entry(r, name_of(r, name), value);
    return err < 0 ? err : 0;
}

/* --- all -------------------------------------------------------------------------------------- */

int
price_import_read(struct slice text, struct price_import *ret, struct buf *why)
{
    struct reader r = {.text = text, .out = ret, .why = why};
    struct json_span root;
    struct json_error wrong;
    int err;

    *ret = (struct price_import){.rows = json_new_list()};
    map_init(&r.seen);
    arena_init(&r.arena, 0);
    if (!ret->rows)
        err = ERR_NOMEM;
    else if (json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &wrong) != 0)
        err = broken(&r, wrong.offset, wrong.reason);
    else if (root.kind == JSON_LIST)
        err = take_list(&r, root);
    else if (root.kind == JSON_MAP)
        err = take_map(&r, root);
    else
        err = broken(&r, 0, "neither a list of models nor a map of them");
    map_free(&r.seen);
    arena_free(&r.arena);
    if (err)
        price_import_free(ret);
    return err;
}

void
price_import_free(struct price_import *i)
{
    json_free(i->rows);
    i->rows = NULL;
}
