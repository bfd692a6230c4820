#include "controlplane/cli/litellm.h"

#include "controlplane/compat/litellm.h"
#include "lib/base/money.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PICO_PLACES 12
#define NAME_BYTES 128

/* Models that LiteLLM knows without a prefix. */
static const struct {
    const char *begins, *prefix;
} bare[] = {{"gpt-", "openai"},      {"o1", "openai"},       {"o3", "openai"},
            {"o4", "openai"},        {"chatgpt-", "openai"}, {"text-embedding-", "openai"},
            {"claude-", "anthropic"}};

struct import {
    struct json *config;
    struct json *providers, *models, *quotas, *prices, *left;
    struct buf *why;
    size_t at; /* in model_list */
};

/* --- messages --------------------------------------------------------------------------------- */

static int __attribute__((format(printf, 2, 3))) leave(struct import *m, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return json_append(m->left, json_new_text(slice_of(text)));
}

static int __attribute__((format(printf, 2, 3))) refuse(struct import *m, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_clear(m->why);
    return buf_add_str(m->why, text) ? ERR_NOMEM : ERR_SYNTAX;
}

/* --- small things ----------------------------------------------------------------------------- */

static bool
is_name(struct slice s, const char *more)
{
    if (s.len == 0 || s.len > NAME_BYTES)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || !c || !strchr(more, c)))
            return false;
    }
    return true;
}

static struct json *
find(const struct json *list, const char *member, struct slice value)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (slice_eq(json_str(json_get(json_at(list, i), member)), value))
            return json_at(list, i);
    return NULL;
}

static struct slice
text_of(const struct json *map, const char *member)
{
    struct slice s = json_str(json_get(map, member));
    return s.at ? s : SLICE("");
}

static bool
is_env(struct slice s)
{
    return slice_starts(s, SLICE("os.environ/"));
}

/* --- providers -------------------------------------------------------------------------------- */

/* Takes the vendor off *model. NULL: unknown. */
static const struct litellm_vendor *
take_vendor(struct slice *model)
{
    struct slice rest = *model, prefix = slice_cut(&rest, '/');
    const struct litellm_vendor *v = rest.at ? litellm_vendor(prefix) : NULL;
    if (v) {
        *model = rest;
        return v;
    }
    for (size_t i = 0; !rest.at && i < sizeof(bare) / sizeof(bare[0]); i++)
        if (slice_starts(*model, slice_of(bare[i].begins)))
            return litellm_vendor(slice_of(bare[i].prefix));
    return NULL;
}

/* Bedrock's models may say how they are called. */
static struct slice
without_route(const struct litellm_vendor *v, struct slice model)
{
    static const char *const routes[] = {"converse/", "converse_like/", "invoke/"};
    for (size_t i = 0; strcmp(v->kind, "bedrock") == 0 && i < sizeof(routes) / sizeof(*routes); i++)
        if (slice_starts(model, slice_of(routes[i])))
            return slice_from(model, strlen(routes[i]));
    return model;
}

static int
set_credential(struct import *m, struct json *provider, const struct litellm_vendor *v,
               const struct json *params)
{
    struct slice key = text_of(params, "api_key");
    char text[NAME_BYTES + 8];
    if (is_env(key) && key.len - 11 < NAME_BYTES)
        (void)snprintf(text, sizeof(text), "env:%.*s", SLICE_ARG(slice_from(key, 11)));
    else if (key.len)
        return leave(m,
                     "model_list[%zu].litellm_params.api_key: a secret in the file is not carried "
                     "over; set the provider's credential",
                     m->at);
    else if (v->env && !json_get(provider, "base_url"))
        (void)snprintf(text, sizeof(text), "env:%s", v->env);
    else
        return 0;
    return json_set_str(provider, "credential", text);
}

/* 1: it was set; 0: there is none; or an error. */
static int
set_text(struct import *m, struct json *provider, const char *member, const struct json *params,
         const char *from)
{
    struct slice v = text_of(params, from);
    while (strcmp(member, "base_url") == 0 && v.len && v.at[v.len - 1] == '/')
        v.len--;
    if (!v.len)
        return 0;
    if (is_env(v)) {
        int err = leave(m,
                        "model_list[%zu].litellm_params.%s: comes from the environment; set %s "
                        "of the provider",
                        m->at, from, member);
        return err ? err : 0;
    }
    int err = json_set_text(provider, member, v);
    return err ? err : 1;
}

static int
describe(struct import *m, struct json *provider, const struct litellm_vendor *v,
         const struct json *params)
{
    int given = set_text(m, provider, "base_url", params, "api_base"), err = given < 0 ? given : 0;
    bool is_openai = strcmp(v->kind, "openai") == 0;
    if (!err && given == 1 && is_openai &&
        !slice_starts(text_of(params, "api_base"), SLICE("https://api.openai.com")))
        err = json_set_str(provider, "kind", "openai-compatible");
    else if (!err)
        err = json_set_str(provider, "kind", v->kind);
    if (!err && strcmp(v->kind, "azure-openai") == 0 &&
        (given = set_text(m, provider, "api_version", params, "api_version")) < 0)
        err = given;
    if (!err && strcmp(v->kind, "bedrock") == 0 &&
        (given = set_text(m, provider, "region", params, "aws_region_name")) < 0)
        err = given;
    if (!err && strcmp(v->kind, "vertex") == 0 &&
        ((given = set_text(m, provider, "project", params, "vertex_project")) < 0 ||
         (given = set_text(m, provider, "location", params, "vertex_location")) < 0))
        err = given;
    return err ? err : set_credential(m, provider, v, params);
}

static bool
is_same(const struct json *a, const struct json *b)
{
    static const char *const members[] = {"kind",   "base_url", "credential", "api_version",
                                          "region", "project",  "location"};
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
        if (!slice_eq(text_of(a, members[i]), text_of(b, members[i])))
            return false;
    return true;
}

/* The provider that is so, made where there is none; its name, which lies in m->providers. */
static int
provider_for(struct import *m, const struct litellm_vendor *v, const struct json *params,
             struct slice *ret_name)
{
    struct json *p = json_new_map();
    char name[64];
    int err = p ? describe(m, p, v, params) : ERR_NOMEM;
    for (size_t i = 0; !err && i < json_size(m->providers); i++)
        if (is_same(json_at(m->providers, i), p)) {
            *ret_name = text_of(json_at(m->providers, i), "name");
            json_free(p);
            return 0;
        }
    for (unsigned n = 1; !err && n <= LIMIT_LITELLM_MODELS; n++) {
        (void)snprintf(name, sizeof(name), n > 1 ? "%s-%u" : "%s", v->prefix, n);
        if (!find(m->providers, "name", slice_of(name)))
            break;
    }
    if (!err)
        err = json_set_str(p, "name", name);
    if (err) {
        json_free(p);
        return err;
    }
    err = json_append(m->providers, p);
    *ret_name = text_of(json_at(m->providers, json_size(m->providers) - 1), "name");
    return err;
}

/* --- models ----------------------------------------------------------------------------------- */

static int
set_weight(struct import *m, struct json *target, const struct json *params)
{
    const struct json *weight = json_get(params, "weight");
    int64_t n;
    if (!weight)
        return 0;
    if (json_to_int(weight, &n) != 0 || n < 0 || n > 1000000)
        return leave(m, "model_list[%zu].litellm_params.weight: is no whole number up to 1000000",
                     m->at);
    return json_set_int(target, "weight", n);
}

static int
add_target(struct import *m, struct slice name, struct slice provider, struct slice model,
           const struct json *params)
{
    struct json *item = find(m->models, "name", name), *target = json_new_map();
    int err = target ? json_set_text(target, "provider", provider) : ERR_NOMEM;
    if (!err && !(err = json_set_text(target, "model", model)))
        err = set_weight(m, target, params);
    if (!err && !item) {
        struct json *made = json_new_map();
        err = made ? json_set_text(made, "name", name) : ERR_NOMEM;
        if (!err)
            err = json_set(made, "targets", json_new_list());
        if (err)
            json_free(made);
        else if (!(err = json_append(m->models, made)))
            item = json_at(m->models, json_size(m->models) - 1);
    }
    if (!err)
        return json_append(json_get(item, "targets"), target);
    json_free(target);
    return err;
}

/* One price of a token, as dollars for a million. */
static int
set_price(struct import *m, struct json *price, const char *member, const struct json *params,
          const char *from)
{
    const struct json *given = json_get(params, from);
    char text[JSON_DECIMAL_BYTES], usd[MONEY_TEXT_BYTES];
    int64_t picos;
    if (!given)
        return 0;
    struct slice digits = json_str(given);
    if (!digits.at && json_decimal(given, text) == 0)
        digits = slice_of(text);
    if (!digits.at || money_parse_number(digits, PICO_PLACES, &picos) != 0)
        return leave(m, "model_list[%zu].litellm_params.%s: is no price that a picodollar divides",
                     m->at, from);
    money_format_per_mtok(picos, usd);
    return json_set_str(price, member, usd);
}

static int
add_price(struct import *m, struct slice provider, struct slice model, const struct json *params)
{
    struct json *price = json_new_map();
    int err = price ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < LITELLM_PRICES; i++)
        err = set_price(m, price, litellm_prices[i].member, params, litellm_prices[i].per_token);
    bool any = !err && json_size(price) > 0;
    if (any && (!json_get(price, litellm_prices[0].member) ||
                !json_get(price, litellm_prices[1].member))) {
        any = false; /* what is not said is not free */
        err = leave(m,
                    "model_list[%zu]: a price needs input_cost_per_token and output_cost_per_token",
                    m->at);
    }
    for (size_t i = 0; any && i < json_size(m->prices); i++)
        if (slice_eq(text_of(json_at(m->prices, i), "provider"), provider) &&
            slice_eq(text_of(json_at(m->prices, i), "model"), model))
            any = false;
    if (any && !(err = json_set_text(price, "provider", provider)) &&
        !(err = json_set_text(price, "model", model)))
        return json_append(m->prices, price);
    json_free(price);
    return err;
}

/* What a deployment may take is what its model may take; several add up. */
static int
add_quota(struct import *m, struct slice name, const struct json *params)
{
    int err = 0;
    for (size_t i = 0; !err && i < LITELLM_RATES; i++) {
        const struct litellm_rate *rate = &litellm_rates[i];
        struct json *quota = find(m->quotas, "model", name);
        int64_t n, before = 0;
        if (!rate->deployment || !json_get(params, rate->deployment))
            continue;
        if (json_to_int(json_get(params, rate->deployment), &n) != 0 || n < 1 ||
            n > LIMIT_LITELLM_RATE) {
            err = leave(m, "model_list[%zu].litellm_params.%s: is no positive number", m->at,
                        rate->deployment);
            continue;
        }
        if (!quota) {
            char text[NAME_BYTES + 1];
            size_t len = name.len;
            (void)snprintf(text, sizeof(text), "%.*s", SLICE_ARG(name));
            for (size_t k = 0; k < len; k++)
                if (text[k] == '/' || text[k] == ':')
                    text[k] = '-';
            struct json *made = json_new_map();
            err = made ? json_set_str(made, "name", text) : ERR_NOMEM;
            if (!err)
                err = json_set_text(made, "model", name);
            if (err) {
                json_free(made);
                continue;
            }
            err = json_append(m->quotas, made);
            quota = json_at(m->quotas, json_size(m->quotas) - 1);
        }
        (void)(json_to_int(json_get(quota, rate->member), &before) != 0);
        if (!err)
            err = json_set_int(quota, rate->member, before + n);
    }
    return err;
}

/* Members that were read above; all others are named. */
static int
name_others(struct import *m, struct json *map, const char *where, const char *const *known,
            size_t count)
{
    const char *name;
    struct json *value;
    void *iter = NULL;
    int err = 0;
    while (!err && json_each(map, &iter, &name, &value)) {
        bool is_known = false;
        for (size_t i = 0; i < count; i++)
            is_known = is_known || strcmp(name, known[i]) == 0;
        if (!is_known)
            err = leave(m, "%s%.64s: has no counterpart that this import knows", where, name);
    }
    return err;
}

static int
name_other_params(struct import *m, struct json *entry, struct json *params)
{
    static const char *const entry_known[] = {"model_name", "litellm_params"};
    static const char *const known[] = {"model",
                                        "api_key",
                                        "api_base",
                                        "api_version",
                                        "rpm",
                                        "tpm",
                                        "weight",
                                        "aws_region_name",
                                        "vertex_project",
                                        "vertex_location",
                                        "input_cost_per_token",
                                        "output_cost_per_token",
                                        "cache_read_input_token_cost",
                                        "cache_creation_input_token_cost"};
    char where[64];
    (void)snprintf(where, sizeof(where), "model_list[%zu].", m->at);
    int err = name_others(m, entry, where, entry_known, 2);
    (void)snprintf(where, sizeof(where), "model_list[%zu].litellm_params.", m->at);
    return err ? err : name_others(m, params, where, known, sizeof(known) / sizeof(*known));
}

static int
add_entry(struct import *m, struct json *entry)
{
    struct json *params = json_get(entry, "litellm_params");
    struct slice name = text_of(entry, "model_name"), given = text_of(params, "model"),
                 model = given, provider;
    if (!name.len)
        return refuse(m, "model_list[%zu].model_name: is missing, or no text", m->at);
    if (json_kind(params) != JSON_MAP || !model.len)
        return refuse(m, "model_list[%zu].litellm_params.model: is missing, or no text", m->at);
    const struct litellm_vendor *v = take_vendor(&model);
    if (!v)
        return leave(m, "model_list[%zu]: '%.*s': no kind of provider is known for it", m->at,
                     given.len < 100 ? (int)given.len : 100, given.at);
    model = without_route(v, model);
    int err = provider_for(m, v, params, &provider);
    if (err || (err = name_other_params(m, entry, params)))
        return err;
    if (slice_find(name, '*', 0) < name.len || slice_find(model, '*', 0) < model.len)
        return leave(m,
                     "model_list[%zu]: '%.*s': patterns are not needed: clients ask for "
                     "%.*s/MODEL",
                     m->at, name.len < 100 ? (int)name.len : 100, name.at, SLICE_ARG(provider));
    if (!is_name(name, "._@+-/:") || !is_name(model, "._@+-/:"))
        return leave(m, "model_list[%zu]: a name has characters that ours cannot have", m->at);
    if ((err = add_target(m, name, provider, model, params)) ||
        (err = add_price(m, provider, model, params)))
        return err;
    return add_quota(m, name, params);
}

/* --- fallbacks -------------------------------------------------------------------------------- */

/* [{"a": ["b", "c"]}] */
static int
add_fallback(struct import *m, const char *where, const char *from, const struct json *list)
{
    struct json *model = find(m->models, "name", slice_of(from)), *names;
    int err = 0;
    if (!model || json_kind(list) != JSON_LIST || json_get(model, "fallbacks"))
        return leave(m, "%s.fallbacks: '%.100s': %s", where, from,
                     !model ? "is no model that was carried over" : "is no list, or there twice");
    if (!(names = json_new_list()))
        return ERR_NOMEM;
    for (size_t i = 0; !err && i < json_size(list); i++) {
        struct slice to = json_str(json_at(list, i));
        if (to.at && find(m->models, "name", to) && !slice_is(to, from))
            err = json_append(names, json_new_text(to));
        else
            err =
                leave(m, "%s.fallbacks: '%.100s': an entry is no other model that was carried over",
                      where, from);
    }
    if (!err && json_size(names))
        return json_set(model, "fallbacks", names);
    json_free(names);
    return err;
}

static int
add_settings(struct import *m, const char *section)
{
    static const char *const known[] = {"fallbacks"};
    struct json *settings = json_get(m->config, section);
    const struct json *list = json_get(settings, "fallbacks");
    char where[64];
    int err = 0;
    if (!settings)
        return 0;
    if (json_kind(settings) != JSON_MAP)
        return refuse(m, "%s: must be a map", section);
    if (list && json_kind(list) != JSON_LIST)
        return refuse(m, "%s.fallbacks: must be a list", section);
    for (size_t i = 0; !err && i < json_size(list); i++) {
        const char *from;
        struct json *to;
        void *iter = NULL;
        while (!err && json_each(json_at(list, i), &iter, &from, &to))
            err = add_fallback(m, section, from, to);
    }
    (void)snprintf(where, sizeof(where), "%s.", section);
    return err ? err : name_others(m, settings, where, known, 1);
}

/* --- the whole -------------------------------------------------------------------------------- */

static int
read_all(struct import *m)
{
    static const char *const known[] = {"model_list", "router_settings", "litellm_settings"};
    const struct json *list = json_get(m->config, "model_list");
    int err = 0;
    if (json_kind(m->config) != JSON_MAP || json_kind(list) != JSON_LIST)
        return refuse(m, "model_list: is missing, or no list: is this LiteLLM's config.yaml?");
    if (json_size(list) > LIMIT_LITELLM_MODELS) {
        (void)refuse(m, "model_list: more than %d entries", LIMIT_LITELLM_MODELS);
        return ERR_LIMIT;
    }
    for (m->at = 0; !err && m->at < json_size(list); m->at++)
        err = add_entry(m, json_at(list, m->at));
    if (!err)
        err = add_settings(m, "router_settings");
    if (!err)
        err = add_settings(m, "litellm_settings");
    return err ? err : name_others(m, m->config, "", known, 3);
}

static int
put(struct json *document, const char *name, struct json **list)
{
    struct json *l = *list;
    if (!json_size(l))
        return 0;
    *list = NULL;
    return json_set(document, name, l);
}

int
litellm_import(struct json *config, struct litellm_import *ret, struct buf *why)
{
    struct import m = {.config = config, .why = why};
    *ret = (struct litellm_import){.document = json_new_map(), .left = json_new_list()};
    m.left = ret->left;
    m.providers = json_new_list();
    m.models = json_new_list();
    m.quotas = json_new_list();
    m.prices = json_new_list();
    int err = ret->document && ret->left && m.providers && m.models && m.quotas && m.prices
                  ? read_all(&m)
                  : ERR_NOMEM;
    if (!err && !(err = put(ret->document, "providers", &m.providers)) &&
        !(err = put(ret->document, "models", &m.models)) &&
        !(err = put(ret->document, "quotas", &m.quotas)))
        err = put(ret->document, "prices", &m.prices);
    json_free(m.providers);
    json_free(m.models);
    json_free(m.quotas);
    json_free(m.prices);
    if (err)
        litellm_import_free(ret);
    return err;
}

void
litellm_import_free(struct litellm_import *i)
{
    json_free(i->document);
    json_free(i->left);
    *i = (struct litellm_import){0};
}
