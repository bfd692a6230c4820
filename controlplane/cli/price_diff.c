#include "controlplane/cli/price_diff.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/money.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define IMPLAUSIBLE_FACTOR 10

/* The members that hold amounts, and how the table calls them. */
static const struct {
    const char *member, *title;
} amounts[] = {
    {"input_per_mtok_usd", "input"},
    {"cached_input_per_mtok_usd", "cached input"},
    {"cache_write_per_mtok_usd", "cache write"},
    {"cache_write_1h_per_mtok_usd", "cache write 1h"},
    {"output_per_mtok_usd", "output"},
    {"reasoning_per_mtok_usd", "reasoning"},
    {"audio_input_per_mtok_usd", "audio input"},
    {"audio_output_per_mtok_usd", "audio output"},
    {"image_input_per_mtok_usd", "image input"},
    {"image_output_per_mtok_usd", "image output"},
    {"web_search_usd", "web search"},
    {"search_unit_usd", "search unit"},
    {"image_usd", "image"},
    {"audio_minute_usd", "audio minute"},
    {"per_mchar_usd", "characters"},
};

int64_t
price_amount(struct slice text)
{
    int64_t v;

    return text.at && money_parse_number(text, 9, &v) == 0 ? v : -1;
}

/* --- what applies today ----------------------------------------------------------------------- */

/* How well a row's model names this one: 0 not at all, longer prefixes better, itself best. */
static size_t
match(struct slice pattern, struct slice model)
{
    if (slice_eq(pattern, model))
        return SIZE_MAX;
    if (pattern.len == 0 || pattern.at[pattern.len - 1] != '*')
        return 0;
    return slice_starts(model, slice_make(pattern.at, pattern.len - 1)) ? pattern.len : 0;
}

static const struct json *
best_of(const struct json *list, const char *owner_member, struct slice owner, struct slice model,
        size_t *ret_match)
{
    const struct json *best = NULL;

    *ret_match = 0;
    for (size_t i = 0; i < json_size(list); i++) {
        const struct json *row = json_at(list, i);
        size_t m;
        if (!slice_eq(json_str(json_get(row, owner_member)), owner))
            continue;
        m = match(json_str(json_get(row, "model")), model);
        if (m > *ret_match) {
            *ret_match = m;
            best = row;
        }
    }
    return best;
}

const struct json *
price_state_find(const struct price_state *s, struct slice provider, struct slice kind,
                 struct slice model, bool *ret_own)
{
    size_t m;
    const struct json *row = best_of(s->prices, "provider", provider, model, &m);

    *ret_own = row && m == SIZE_MAX;
    return row ? row : best_of(s->book, "kind", kind, model, &m);
}

/* --- one amount ------------------------------------------------------------------------------- */

static bool
is_implausible(int64_t old, int64_t new)
{
    if (old == new)
        return false;
    if (old < 0 || new < 0)
        return true;
    return (__int128)new > (__int128)old *IMPLAUSIBLE_FACTOR ||
           (__int128)old > (__int128)new *IMPLAUSIBLE_FACTOR;
}

/* What one price is compared for. */
struct comparison {
    struct price_diff *d;
    struct slice provider, model;
    size_t found; /* changes */
};

static int
note(struct comparison *c, const char *title, struct slice old, struct slice new, bool implausible)
{
    struct json *row = json_new_map();
    int err = row ? 0 : ERR_NOMEM;

    if (!err)
        err = json_set_text(row, "provider", c->provider);
    if (!err)
        err = json_set_text(row, "model", c->model);
    if (!err)
        err = json_set_str(row, "price", title);
    if (!err)
        err = old.at ? json_set_text(row, "old", old) : json_set_str(row, "old", NULL);
    if (!err)
        err = json_set_text(row, "new", new);
    if (!err)
        err = json_set_bool(row, "implausible", implausible);
    if (err) {
        json_free(row);
        return err;
    }
    c->found++;
    c->d->implausible += implausible;
    return json_append(c->d->changes, row);
}

/* The amounts of a price or a variant where they differ from old's, or, where old has none, from
 * base's (NULL: none): noted, and set in `into`. */
static int
overlay(struct comparison *c, const char *prefix, const struct json *old, const struct json *base,
        const struct json *new, struct json *into)
{
    int err = 0;

    for (size_t i = 0; !err && i < COUNT(amounts); i++) {
        struct slice is = json_str(json_get(new, amounts[i].member));
        struct slice was = json_str(json_get(old, amounts[i].member));
        char title[64];
        if (json_is_true(json_get(old, "free")))
            was = SLICE("0");
        if (!was.at)
            was = json_str(json_get(base, amounts[i].member));
        if (!is.at || (was.at && price_amount(is) == price_amount(was)))
            continue;
        (void)snprintf(title, sizeof(title), "%s%s", prefix, amounts[i].title);
        err =
            note(c, title, was, is, was.at && is_implausible(price_amount(was), price_amount(is)));
        if (!err)
            err = json_set_text(into, amounts[i].member, is);
    }
    return err;
}

/* --- variants --------------------------------------------------------------------------------- */

static int64_t
over_of(const struct json *variant)
{
    int64_t over = 0;

    return json_to_int(json_get(variant, "input_tokens_over"), &over) ? 0 : over;
}

static struct slice
tier_of(const struct json *variant)
{
    struct slice tier = json_str(json_get(variant, "service_tier"));

    return tier.at ? tier : SLICE("standard");
}

static struct json *
same_circumstances(const struct json *list, const struct json *variant)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (over_of(json_at(list, i)) == over_of(variant) &&
            slice_eq(tier_of(json_at(list, i)), tier_of(variant)))
            return json_at(list, i);
    return NULL;
}

static void
name_circumstances(const struct json *variant, char *ret, size_t bytes)
{
    struct slice tier = tier_of(variant);
    int n = 0;

    ret[0] = '\0';
    if (!slice_is(tier, "standard"))
        n = snprintf(ret, bytes, "%.*s ", (int)(tier.len < 16 ? tier.len : 16), tier.at);
    if (over_of(variant))
        (void)snprintf(ret + n, bytes - (size_t)n, "over %lld ", (long long)over_of(variant));
}

/* Its tier and threshold, without amounts. NULL: no memory. */
static struct json *
bare_variant(const struct json *variant)
{
    struct json *bare = json_copy(variant);

    for (size_t i = 0; i < COUNT(amounts); i++)
        (void)json_remove(bare, amounts[i].member);
    return bare;
}

/* item: whose variants they are, its own amounts being up to date. */
static int
overlay_variant(struct comparison *c, struct json *item, const struct json *variant)
{
    struct json *list = json_get(item, "variants"), *old = same_circumstances(list, variant);
    struct json *made = old ? NULL : bare_variant(variant), *before = old ? json_copy(old) : NULL;
    size_t found = c->found;
    char prefix[48];
    int err = 0;

    if (!made && !before)
        return ERR_NOMEM;
    name_circumstances(variant, prefix, sizeof(prefix));
    err = overlay(c, prefix, before, item, variant, old ? old : made);
    json_free(before);
    if (!err && made && c->found > found)
        return json_append(list, made);
    json_free(made);
    return err;
}

static int
overlay_variants(struct comparison *c, const struct json *price, struct json *item)
{
    const struct json *new = json_get(price, "variants");
    int err = 0;

    if (json_size(new) && !json_get(item, "variants"))
        err = json_set(item, "variants", json_new_list());
    for (size_t i = 0; !err && i < json_size(new); i++)
        err = overlay_variant(c, item, json_at(new, i));
    if (!err && json_get(item, "variants") && json_size(json_get(item, "variants")) == 0)
        (void)json_remove(item, "variants");
    return err;
}

/* --- one price -------------------------------------------------------------------------------- */

/* The item as it is, for this model: amounts and variants of what applies, and its own name where
 * it has one. NULL: no memory. */
static struct json *
item_of(const struct json *old, bool own, struct slice provider, struct slice model)
{
    struct json *item = json_new_map();
    int err = item ? 0 : ERR_NOMEM;

    if (!err && own)
        err = json_set_text(item, "name", json_str(json_get(old, "name")));
    if (!err)
        err = json_set_text(item, "provider", provider);
    if (!err)
        err = json_set_text(item, "model", model);
    for (size_t i = 0; !err && i < COUNT(amounts); i++) {
        struct slice amount = json_str(json_get(old, amounts[i].member));
        if (amount.at)
            err = json_set_text(item, amounts[i].member, amount);
    }
    if (!err && json_size(json_get(old, "variants")))
        err = json_set(item, "variants", json_copy(json_get(old, "variants")));
    if (!err)
        return item;
    json_free(item);
    return NULL;
}

/* A model that had no price is one line: its input and output, or the first of what else it has. */
static int
note_new(struct comparison *c, const struct json *price)
{
    struct slice in = json_str(json_get(price, "input_per_mtok_usd"));
    struct slice out = json_str(json_get(price, "output_per_mtok_usd"));
    char text[2 * MONEY_TEXT_BYTES + 4];

    if (in.at) {
        int n = snprintf(text, sizeof(text), "%.*s / %.*s", SLICE_ARG(in), SLICE_ARG(out));
        return note(c, "new: input / output", (struct slice){0},
                    slice_make(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1),
                    false);
    }
    for (size_t i = 0; i < COUNT(amounts); i++) {
        struct slice amount = json_str(json_get(price, amounts[i].member));
        (void)snprintf(text, sizeof(text), "new: %s", amounts[i].title);
        if (amount.at)
            return note(c, text, (struct slice){0}, amount, false);
    }
    return 0;
}

static int
compare(struct comparison *c, const struct json *old, const struct json *price, struct json *item)
{
    struct price_diff shadow;
    struct comparison quiet = *c;
    int err;

    if (old) {
        err = overlay(c, "", old, NULL, price, item);
        return err ? err : overlay_variants(c, price, item);
    }
    if ((err = price_diff_init(&shadow)) != 0)
        return err;
    quiet.d = &shadow;
    err = overlay(&quiet, "", NULL, NULL, price, item);
    if (!err)
        err = overlay_variants(&quiet, price, item);
    price_diff_fini(&shadow);
    return err ? err : note_new(c, price);
}

int
price_diff_add(struct price_diff *d, const struct price_state *s, struct slice provider,
               struct slice kind, struct slice model, const struct json *price)
{
    struct comparison c = {d, provider, model, 0};
    bool own;
    const struct json *old = price_state_find(s, provider, kind, model, &own);
    struct json *item = item_of(old, own, provider, model);
    int err = item ? compare(&c, old, price, item) : ERR_NOMEM;

    if (err || c.found == 0) {
        json_free(item);
        d->unchanged += !err;
        return err;
    }
    d->changed += old != NULL;
    d->added += old == NULL;
    return json_append(d->items, item);
}

int
price_diff_init(struct price_diff *d)
{
    *d = (struct price_diff){.items = json_new_list(), .changes = json_new_list()};
    if (d->items && d->changes)
        return 0;
    price_diff_fini(d);
    return ERR_NOMEM;
}

void
price_diff_fini(struct price_diff *d)
{
    json_free(d->items);
    json_free(d->changes);
    d->items = d->changes = NULL;
}
