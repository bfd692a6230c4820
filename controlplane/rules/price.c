#include "controlplane/rules/price.h"

#include <stdio.h>

#include "controlplane/rules/rule.h"
#include "lib/base/money.h"

static const struct {
    const char *name;
    bool for_one; /* dollars for one; else for a million */
} members[USAGE_CLASSES] = {
    [CLASS_INPUT] = {"input_per_mtok_usd", false},
    [CLASS_CACHE_READ] = {"cached_input_per_mtok_usd", false},
    [CLASS_CACHE_WRITE] = {"cache_write_per_mtok_usd", false},
    [CLASS_CACHE_WRITE_1H] = {"cache_write_1h_per_mtok_usd", false},
    [CLASS_OUTPUT] = {"output_per_mtok_usd", false},
    [CLASS_REASONING] = {"reasoning_per_mtok_usd", false},
    [CLASS_AUDIO_INPUT] = {"audio_input_per_mtok_usd", false},
    [CLASS_AUDIO_OUTPUT] = {"audio_output_per_mtok_usd", false},
    [CLASS_IMAGE_INPUT] = {"image_input_per_mtok_usd", false},
    [CLASS_IMAGE_OUTPUT] = {"image_output_per_mtok_usd", false},
    [CLASS_WEB_SEARCHES] = {"web_search_usd", true},
    [CLASS_SEARCH_UNITS] = {"search_unit_usd", true},
    [CLASS_IMAGES] = {"image_usd", true},
    [CLASS_AUDIO_MS] = {"audio_minute_usd", true},
    [CLASS_CHARACTERS] = {"per_mchar_usd", false},
};
#define PICOS_PER_NANO 1000

/* --- amounts ---------------------------------------------------------------------------------- */

int
price_parse(enum usage_class c, struct slice text, picos_tok *ret_price)
{
    nanos amount;
    int err;

    if (!members[c].for_one)
        return money_parse_per_mtok(text, ret_price);
    if ((err = money_parse_usd(text, &amount)) != 0)
        return err;
    return amount < 0 || __builtin_mul_overflow(amount, PICOS_PER_NANO, ret_price) ? ERR_RANGE : 0;
}

int
price_read(const struct json *map, struct section_rates *ret, const char **ret_member)
{
    for (int c = 0; c < USAGE_CLASSES; c++) {
        const struct json *v = json_get(map, members[c].name);
        char decimal[JSON_DECIMAL_BYTES];
        picos_tok price;
        if (!v)
            continue;
        *ret_member = members[c].name;
        if (json_decimal(v, decimal) != 0 ||
            price_parse((enum usage_class)c, slice_of(decimal), &price) != 0)
            return ERR_SYNTAX;
        section_rates_set(ret, (enum usage_class)c, price);
    }
    return 0;
}

static int
read_variant(const struct json *map, struct section_variant *ret, const char **ret_member)
{
    const struct json *over = json_get(map, "input_tokens_over");
    struct slice name = json_str(json_get(map, "service_tier"));
    enum service_tier tier;

    *ret_member = "service_tier";
    if (service_tier_parse(name, &tier) != 0)
        return ERR_SYNTAX;
    ret->service_tier = tier;
    *ret_member = "input_tokens_over";
    if (over && json_to_int(over, &ret->input_tokens_over) != 0)
        return ERR_SYNTAX;
    return price_read(map, &ret->rates, ret_member);
}

int
price_read_variants(const struct json *price, struct arena *a, struct section_price *ret,
                    const char **ret_member)
{
    const struct json *list = json_get(price, "variants");
    size_t n = json_size(list);
    struct section_variant *all = arena_zalloc(a, (n + 1) * sizeof(*all));

    *ret_member = "";
    if (!all)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (read_variant(json_at(list, i), &all[i], ret_member) != 0)
            return ERR_SYNTAX;
    ret->variants = all;
    ret->variant_count = n;
    return 0;
}

static int
write_rates(struct json *map, const struct section_rates *r)
{
    char text[MONEY_TEXT_BYTES];
    int err = 0;

    for (int c = 0; !err && c < USAGE_CLASSES; c++) {
        if (!section_rates_has(r, (enum usage_class)c))
            continue;
        if (members[c].for_one)
            money_format_usd(r->rates.of[c] / PICOS_PER_NANO, text);
        else
            money_format_per_mtok(r->rates.of[c], text);
        err = json_set_str(map, members[c].name, text);
    }
    return err;
}

static int
write_variant(struct json *list, const struct section_variant *v)
{
    struct json *map = json_new_map();
    int err = map ? 0 : ERR_NOMEM;

    if (!err && v->service_tier)
        err = json_set_str(map, "service_tier",
                           service_tier_name((enum service_tier)v->service_tier));
    if (!err && v->input_tokens_over)
        err = json_set_int(map, "input_tokens_over", v->input_tokens_over);
    if (!err)
        err = write_rates(map, &v->rates);
    if (err) {
        json_free(map);
        return err;
    }
    return json_append(list, map);
}

int
price_write(struct json *map, const struct section_price *p)
{
    struct json *list;
    int err = write_rates(map, &p->base);

    if (!err && p->max_output_tokens)
        err = json_set_int(map, "max_output_tokens", p->max_output_tokens);
    if (err || p->variant_count == 0)
        return err;
    list = json_new_list();
    err = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < p->variant_count; i++)
        err = write_variant(list, &p->variants[i]);
    if (err) {
        json_free(list);
        return err;
    }
    return json_set(map, "variants", list);
}

/* --- the rules -------------------------------------------------------------------------------- */

static bool
has_amount(const struct json *map, int from, int to)
{
    for (int c = from; c < to; c++)
        if (json_get(map, members[c].name))
            return true;
    return false;
}

/* A token's price comes in pairs; what is not billed by tokens needs none. */
static int
check_needed(const struct json *item, const char *path, struct buf *why)
{
    static const enum usage_class needed[] = {CLASS_INPUT, CLASS_OUTPUT};
    bool tokens = has_amount(item, 0, CLASS_TOKENS);

    if (!tokens && has_amount(item, CLASS_TOKENS, USAGE_CLASSES))
        return 0;
    for (int i = 0; i < 2; i++)
        if (!json_get(item, members[needed[i]].name))
            return rule_refuse(why, path, members[needed[i]].name,
                               "needed, unless it is billed by something else than tokens or "
                               "`free: true` is meant");
    return 0;
}

static int
check_amounts(const struct json *map, const char *path, const char *inside, struct buf *why)
{
    struct section_rates rates = {0};
    char member[96];
    const char *wrong;

    if (price_read(map, &rates, &wrong) == 0)
        return 0;
    (void)snprintf(member, sizeof(member), "%s%s", inside, wrong);
    return rule_refuse(why, path, member, "must not be negative, nor over 9,000,000 dollars");
}

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

static int
check_variant(const struct json *list, size_t at, const char *path, struct buf *why)
{
    const struct json *v = json_at(list, at);
    char place[64], inside[80];

    (void)snprintf(place, sizeof(place), "variants[%zu]", at);
    (void)snprintf(inside, sizeof(inside), "%s.", place);
    if (!over_of(v) && slice_is(tier_of(v), "standard"))
        return rule_refuse(why, path, place, "needs a service_tier or an input_tokens_over");
    if (!has_amount(v, 0, USAGE_CLASSES))
        return rule_refuse(why, path, place, "gives no price");
    for (size_t k = 0; k < at; k++)
        if (over_of(json_at(list, k)) == over_of(v) &&
            slice_eq(tier_of(json_at(list, k)), tier_of(v)))
            return rule_refuse(why, path, place, "the same circumstances as variants[%zu]", k);
    return check_amounts(v, path, inside, why);
}

static int
check_levels(const struct json *list, const char *path, struct buf *why)
{
    int64_t seen[LIMIT_PRICE_LEVELS];
    size_t n = 0;

    for (size_t i = 0; i < json_size(list); i++) {
        int64_t over = over_of(json_at(list, i));
        bool known = over == 0;
        for (size_t k = 0; k < n; k++)
            known = known || seen[k] == over;
        if (known)
            continue;
        if (n == LIMIT_PRICE_LEVELS)
            return rule_refuse(why, path, "variants", "at most %d different input_tokens_over",
                               LIMIT_PRICE_LEVELS);
        seen[n++] = over;
    }
    return 0;
}

int
price_check(const struct json *item, const char *path, struct buf *why)
{
    const struct json *variants = json_get(item, "variants");
    struct slice model = json_str(json_get(item, "model"));
    size_t star = slice_find(model, '*', 0);
    int err = 0;

    if (json_is_true(json_get(item, "free"))) {
        for (int c = 0; c < USAGE_CLASSES; c++)
            if (json_get(item, members[c].name))
                return rule_refuse(why, path, members[c].name,
                                   "a price that is free has no prices");
        if (json_size(variants))
            return rule_refuse(why, path, "variants", "a price that is free has no prices");
    } else if ((err = check_needed(item, path, why)) != 0 ||
               (err = check_amounts(item, path, "", why)) != 0) {
        return err;
    }
    for (size_t i = 0; !err && i < json_size(variants); i++)
        err = check_variant(variants, i, path, why);
    if (!err)
        err = check_levels(variants, path, why);
    if (!err && star < model.len && star != model.len - 1)
        err = rule_refuse(why, path, "model", "'*' is allowed at the end only");
    return err;
}
