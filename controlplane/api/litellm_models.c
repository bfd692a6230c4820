/* /model/info and /models: a model's targets are LiteLLM's deployments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api/handlers.h"
#include "controlplane/api/litellm_shim.h"
#include "controlplane/compat/litellm.h"
#include "controlplane/rules/price.h"
#include "controlplane/rules/pricebook.h"
#include "lib/base/clock.h"

#define TOKENS_PER_MTOK 1e6

struct fleet {
    struct items providers, models, prices;
};

static int
load(struct api_request *r, struct fleet *f)
{
    int err = items_load(r->db, kind_at(KIND_PROVIDERS), NULL, &f->providers);
    if (!err)
        err = items_load(r->db, kind_at(KIND_MODELS), NULL, &f->models);
    return err ? err : items_load(r->db, kind_at(KIND_PRICES), NULL, &f->prices);
}

static void
unload(struct fleet *f)
{
    items_free(&f->providers);
    items_free(&f->models);
    items_free(&f->prices);
}

/* ---- what it costs --------------------------------------------------------------------------- */

static int
set_costs(struct json *info, const struct json *price)
{
    char text[JSON_DECIMAL_BYTES];
    int err = 0;
    for (size_t i = 0; i < LITELLM_PRICES && !err; i++) {
        const struct json *v = json_get(price, litellm_prices[i].member);
        if (v && json_decimal(v, text) == 0)
            err = json_set(info, litellm_prices[i].per_token,
                           json_new_number(strtod(text, NULL) / TOKENS_PER_MTOK));
    }
    return err;
}

static int
set_listed_costs(struct json *info, struct slice kind, struct slice model)
{
    struct pricebook book;
    struct section_price p;
    struct json *price = json_new_map();
    int err = price ? 0 : ERR_NOMEM;
    pricebook_start(&book);
    while (!err && pricebook_next(&book, &p))
        if (slice_eq(slice_from(p.provider, strlen("kind:")), kind) && slice_eq(p.model, model)) {
            err = price_write(price, &p);
            break;
        }
    if (!err)
        err = set_costs(info, price);
    json_free(price);
    return err;
}

/* A configured price of exactly this model, else the book's. */
static int
add_costs(const struct fleet *f, struct json *info, struct slice provider, struct slice kind,
          struct slice model)
{
    for (size_t i = 0; i < f->prices.count; i++) {
        const struct json *price = f->prices.at[i].body;
        if (slice_eq(json_str(json_get(price, "provider")), provider) &&
            slice_eq(json_str(json_get(price, "model")), model))
            return set_costs(info, price);
    }
    return set_listed_costs(info, kind, model);
}

/* ---- deployments ----------------------------------------------------------------------------- */

static int
add_params(struct json *params, const struct json *target, const char *prefix, struct slice base)
{
    char model[2 * LIMIT_NAME_BYTES + 64];
    struct slice name = json_str(json_get(target, "model"));
    const struct json *weight = json_get(target, "weight");
    (void)snprintf(model, sizeof(model), "%s/%.*s", prefix, SLICE_ARG(name));
    int err = json_set_str(params, "model", model);
    if (!err && base.at)
        err = json_set_text(params, "api_base", base);
    return err || !weight ? err : json_set(params, "weight", json_copy(weight));
}

static struct json *
deployment(const struct fleet *f, const struct item *model, size_t at)
{
    const struct json *target = json_at(json_get(model->body, "targets"), at);
    struct slice name = json_str(json_get(target, "provider"));
    const struct item *provider = items_get(&f->providers, name);
    struct slice kind = provider ? json_str(json_get(provider->body, "kind")) : SLICE("");
    struct slice base = provider ? json_str(json_get(provider->body, "base_url")) : SLICE("");
    const struct litellm_vendor *v = litellm_vendor_of_kind(kind);
    char id[64], prefix[64];
    struct json *out = json_new_map(), *params = json_new_map(), *info = json_new_map();
    (void)snprintf(id, sizeof(id), "%s-%zu", model->id, at);
    (void)snprintf(prefix, sizeof(prefix), "%.*s", SLICE_ARG(v ? slice_of(v->prefix) : kind));
    int err = out && params && info ? add_params(params, target, prefix, base) : ERR_NOMEM;
    if (!err)
        err = json_set_str(info, "id", id);
    if (!err)
        err = json_set_bool(info, "db_model", true);
    if (!err)
        err = json_set_str(info, "litellm_provider", prefix);
    if (!err)
        err = add_costs(f, info, name, kind, json_str(json_get(target, "model")));
    if (!err)
        err = json_set_str(out, "model_name", model->name);
    if (!err)
        err = json_set(out, "litellm_params", json_ref(params));
    if (!err)
        err = json_set(out, "model_info", json_ref(info));
    json_free(params);
    json_free(info);
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

static int
add_model(const struct fleet *f, const struct item *model, const char *id, struct json *data)
{
    size_t n = json_size(json_get(model->body, "targets"));
    int err = 0;
    for (size_t i = 0; i < n && !err; i++) {
        struct json *one = deployment(f, model, i);
        struct slice its = json_str(json_get(json_get(one, "model_info"), "id"));
        if (one && id && !slice_is(its, id))
            json_free(one);
        else
            err = json_append(data, one);
    }
    return err;
}

int
litellm_model_info(struct api_request *r, struct api_reply *reply)
{
    struct fleet f = {.providers = {NULL, 0}};
    const char *id = shim_query(r, "litellm_model_id");
    struct json *data = json_new_list();
    int err = data ? load(r, &f) : ERR_NOMEM;
    for (size_t i = 0; i < f.models.count && !err; i++)
        err = add_model(&f, &f.models.at[i], id, data);
    unload(&f);
    if (!err && id && json_size(data) == 0) {
        json_free(data);
        return api_problem(reply, 404, "not_found", "litellm_model_id: there is no such model");
    }
    if (!err && !(reply->body = json_new_map()))
        err = ERR_NOMEM;
    if (!err) {
        err = json_set(reply->body, "data", data);
        data = NULL;
    }
    json_free(data);
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static struct json *
model_row(const struct item *model)
{
    struct json *out = json_new_map();
    int64_t created = 0;
    int err = out ? clock_parse_rfc3339(model->created_at, &created) : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "id", model->name);
    if (!err)
        err = json_set_str(out, "object", "model");
    if (!err)
        err = json_set_int(out, "created", created / 1000);
    if (!err)
        err = json_set_str(out, "owned_by", "headgate");
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

int
litellm_models(struct api_request *r, struct api_reply *reply)
{
    struct items models = {0};
    struct json *data = json_new_list();
    int err = data ? items_load(r->db, kind_at(KIND_MODELS), NULL, &models) : ERR_NOMEM;
    for (size_t i = 0; i < models.count && !err; i++)
        err = json_append(data, model_row(&models.at[i]));
    items_free(&models);
    if (!err && !(reply->body = json_new_map()))
        err = ERR_NOMEM;
    if (!err)
        err = json_set(reply->body, "data", json_ref(data));
    if (!err)
        err = json_set_str(reply->body, "object", "list");
    json_free(data);
    return err ? api_fail(r, reply, err) : 0;
}
