#include "lib/control/section.h"

#include <string.h>

#include "lib/control/message.h"
#include "lib/control/wire.h"
#include "proto/snapshot.pb-c.h"

/* --- writing: the numbers are those of proto/snapshot.proto ---------------------------------- */

int
section_put_pepper(struct buf *into, struct slice sealed)
{
    struct wire w = {into, 0};

    wire_text(&w, 1, sealed);
    return w.err;
}

static void
put_texts(struct wire *w, unsigned field, const struct slice *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wire_bytes(w, field, texts[i]);
}

static void
put_pairs(struct wire *w, unsigned field, const struct section_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = wire_begin(w);

        wire_text(w, 1, pairs[i].name);
        wire_text(w, 2, pairs[i].value);
        wire_end(w, field, at);
    }
}

int
section_put_provider(struct buf *into, const struct section_provider *p)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, p->name);
    wire_text(&w, 2, p->kind);
    wire_text(&w, 3, p->base_url);
    wire_text(&w, 4, p->sealed_credential);
    wire_bool(&w, 5, p->allow_private);
    wire_text(&w, 6, p->http);
    wire_uint(&w, 7, p->connect_ms);
    wire_uint(&w, 8, p->first_byte_ms);
    wire_uint(&w, 9, p->between_bytes_ms);
    wire_uint(&w, 10, p->total_ms);
    wire_text(&w, 11, p->on_disconnect);
    put_pairs(&w, 12, p->headers, p->header_count);
    wire_text(&w, 13, p->region);
    wire_text(&w, 14, p->project);
    wire_text(&w, 15, p->location);
    wire_text(&w, 16, p->api_version);
    wire_bool(&w, 17, p->allow_private_media);
    wire_text(&w, 19, p->api);
    wire_end(&w, 1, at);
    return w.err;
}

int
section_put_model(struct buf *into, const struct section_model *m)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, m->name);
    wire_text(&w, 2, m->strategy);
    for (size_t i = 0; i < m->target_count; i++) {
        size_t inner = wire_begin(&w);

        wire_text(&w, 1, m->targets[i].provider);
        wire_text(&w, 2, m->targets[i].model);
        wire_uint(&w, 3, m->targets[i].weight);
        wire_end(&w, 3, inner);
    }
    put_texts(&w, 4, m->fallbacks, m->fallback_count);
    wire_int(&w, 5, m->created_unix_s);
    wire_bool(&w, 6, m->free);
    wire_uint(&w, 7, m->cache_ttl_s);
    wire_text(&w, 8, m->cache_scope);
    wire_end(&w, 1, at);
    return w.err;
}

/* Nothing for a scope without limits: most have none. */
static void
put_scope(struct wire *w, unsigned field, const struct section_scope *s)
{
    size_t at;

    if (!s->limits_endpoints && !s->limits_addresses && !s->max_tokens && !s->no_tools &&
        !s->no_stream && !s->degrade)
        return;
    at = wire_begin(w);
    put_texts(w, 1, s->endpoints, s->endpoint_count);
    wire_bool(w, 2, s->limits_endpoints);
    put_texts(w, 3, s->addresses, s->address_count);
    wire_bool(w, 4, s->limits_addresses);
    wire_int(w, 5, s->max_tokens);
    wire_bool(w, 6, s->no_tools);
    wire_bool(w, 7, s->no_stream);
    wire_bool(w, 8, s->degrade);
    wire_end(w, field, at);
}

int
section_put_team(struct buf *into, const struct section_team *t)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, t->name);
    wire_bool(&w, 2, t->all_models);
    put_texts(&w, 3, t->models, t->model_count);
    wire_bool(&w, 4, t->disabled);
    put_scope(&w, 5, &t->scope);
    wire_end(&w, 1, at);
    return w.err;
}

int
section_put_project(struct buf *into, const struct section_project *p)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, p->name);
    wire_text(&w, 2, p->team);
    wire_bool(&w, 3, p->disabled);
    wire_end(&w, 2, at);
    return w.err;
}

int
section_put_user(struct buf *into, const struct section_user *u)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, u->name);
    wire_bool(&w, 2, u->service);
    wire_bool(&w, 3, u->disabled);
    put_texts(&w, 4, u->teams, u->team_count);
    wire_end(&w, 3, at);
    return w.err;
}

int
section_put_issuer(struct buf *into, const struct section_issuer *i)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, i->name);
    wire_text(&w, 2, i->issuer);
    wire_text(&w, 3, i->audience);
    wire_text(&w, 4, i->team);
    wire_text(&w, 5, i->team_claim);
    wire_text(&w, 6, i->user_claim);
    wire_bool(&w, 7, i->all_models);
    put_texts(&w, 8, i->models, i->model_count);
    put_scope(&w, 9, &i->scope);
    wire_bool(&w, 10, i->disabled);
    for (size_t k = 0; k < i->key_count; k++) {
        size_t inner = wire_begin(&w);

        wire_text(&w, 1, i->keys[k].id);
        wire_uint(&w, 2, i->keys[k].kind);
        wire_text(&w, 3, i->keys[k].der);
        wire_end(&w, 11, inner);
    }
    wire_end(&w, 4, at);
    return w.err;
}

int
section_put_role(struct buf *into, const struct section_role *r)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, r->name);
    wire_bool(&w, 2, r->all_models);
    put_texts(&w, 3, r->models, r->model_count);
    put_scope(&w, 4, &r->scope);
    wire_end(&w, 5, at);
    return w.err;
}

int
section_put_grant(struct buf *into, const struct section_grant *g)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, g->user);
    wire_text(&w, 2, g->role);
    wire_text(&w, 3, g->team);
    wire_text(&w, 4, g->project);
    wire_end(&w, 6, at);
    return w.err;
}

int
section_put_price_version(struct buf *into, struct slice version)
{
    struct wire w = {into, 0};

    wire_text(&w, 1, version);
    return w.err;
}

static void
put_rate(struct wire *w, unsigned field, const struct section_rates *r, unsigned c)
{
    size_t at = wire_begin(w);

    wire_uint(w, 1, c + 1);
    wire_int(w, 2, r->rates.of[c]);
    wire_end(w, field, at);
}

static void
put_rates(struct wire *w, unsigned field, const struct section_rates *r, unsigned from)
{
    for (unsigned c = from; c < USAGE_CLASSES; c++)
        if (section_rates_has(r, (enum usage_class)c))
            put_rate(w, field, r, c);
}

static void
put_variant(struct wire *w, unsigned field, const struct section_variant *v)
{
    size_t at = wire_begin(w);

    wire_uint(w, 1, v->service_tier);
    wire_int(w, 2, v->input_tokens_over);
    put_rates(w, 3, &v->rates, 0);
    wire_end(w, field, at);
}

int
section_put_price(struct buf *into, const struct section_price *p)
{
    const struct rates *r = &p->base.rates;
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, p->provider);
    wire_text(&w, 2, p->model);
    wire_text(&w, 3, p->version);
    wire_int(&w, 4, r->input);
    wire_int(&w, 5, r->cached_input);
    wire_bool(&w, 6, section_rates_has(&p->base, CLASS_CACHE_READ));
    wire_int(&w, 7, r->cache_write);
    wire_bool(&w, 8, section_rates_has(&p->base, CLASS_CACHE_WRITE));
    wire_int(&w, 9, r->cache_write_1h);
    wire_bool(&w, 10, section_rates_has(&p->base, CLASS_CACHE_WRITE_1H));
    wire_int(&w, 11, r->output);
    wire_int(&w, 12, r->reasoning);
    wire_bool(&w, 13, section_rates_has(&p->base, CLASS_REASONING));
    wire_bool(&w, 14, p->free);
    put_rates(&w, 15, &p->base, CLASS_COMMON);
    for (size_t i = 0; i < p->variant_count; i++)
        put_variant(&w, 16, &p->variants[i]);
    wire_int(&w, 17, p->max_output_tokens);
    wire_end(&w, 2, at);
    return w.err;
}

int
section_put_key(struct buf *into, const struct section_key *k)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, k->digest);
    wire_text(&w, 2, k->name);
    wire_text(&w, 3, k->team);
    wire_text(&w, 4, k->project);
    wire_text(&w, 5, k->user);
    wire_bool(&w, 6, k->all_models);
    put_texts(&w, 7, k->models, k->model_count);
    wire_int(&w, 8, k->expires_ms);
    wire_bool(&w, 9, k->disabled);
    wire_bool(&w, 10, k->refuse_on_partition);
    put_pairs(&w, 11, k->tags, k->tag_count);
    wire_text(&w, 12, k->id);
    put_scope(&w, 13, &k->scope);
    wire_bool(&w, 14, k->retired);
    wire_end(&w, 1, at);
    return w.err;
}

static void
put_selector(struct wire *w, unsigned field, const struct section_selector *s)
{
    size_t at = wire_begin(w);

    wire_text(w, 1, s->key);
    wire_text(w, 2, s->user);
    wire_text(w, 3, s->team);
    wire_text(w, 4, s->project);
    wire_text(w, 5, s->model);
    wire_text(w, 6, s->provider);
    wire_text(w, 7, s->end_user);
    put_pairs(w, 8, s->tags, s->tag_count);
    wire_end(w, field, at);
}

int
section_put_quota(struct buf *into, const struct section_quota *q)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, q->name);
    put_selector(&w, 2, &q->selector);
    wire_text(&w, 3, q->per);
    wire_bool(&w, 4, q->shadow);
    for (size_t i = 0; i < q->rate_count; i++) {
        size_t inner = wire_begin(&w);

        wire_text(&w, 1, q->rates[i].metric);
        wire_int(&w, 2, q->rates[i].amount);
        wire_int(&w, 3, q->rates[i].window_ms);
        wire_end(&w, 5, inner);
    }
    wire_end(&w, 1, at);
    return w.err;
}

int
section_put_budget(struct buf *into, const struct section_budget *b)
{
    struct wire w = {into, 0};
    size_t at = wire_begin(&w);

    wire_text(&w, 1, b->name);
    put_selector(&w, 2, &b->selector);
    wire_text(&w, 3, b->per);
    wire_text(&w, 4, b->unit);
    wire_int(&w, 5, b->amount);
    wire_text(&w, 6, b->period);
    wire_text(&w, 7, b->time_zone);
    wire_text(&w, 8, b->mode);
    wire_text(&w, 9, b->on_unverifiable);
    for (size_t i = 0; i < b->threshold_count; i++)
        wire_uint(&w, 10, b->thresholds[i]);
    wire_end(&w, 2, at);
    return w.err;
}

/* --- reading --------------------------------------------------------------------------------- */

static const struct {
    const char *section;
    unsigned field;
    enum section_item item;
} items[] = {
    {"settings", 1, SECTION_PEPPER},      {"providers", 1, SECTION_PROVIDER},
    {"models", 1, SECTION_MODEL},         {"teams", 1, SECTION_TEAM},
    {"teams", 2, SECTION_PROJECT},        {"teams", 3, SECTION_USER},
    {"prices", 1, SECTION_PRICE_VERSION}, {"prices", 2, SECTION_PRICE},
    {"limits", 1, SECTION_QUOTA},         {"limits", 2, SECTION_BUDGET},
    {"teams", 4, SECTION_ISSUER},         {"teams", 5, SECTION_ROLE},
    {"teams", 6, SECTION_GRANT},
};

static int
item_of(struct slice section, unsigned field)
{
    bool known = false;

    if (section.len == 7 && slice_starts(section, SLICE("keys/")))
        return field == 1 ? SECTION_KEY : SECTION_END;
    for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
        if (!slice_is(section, items[i].section))
            continue;
        if (items[i].field == field)
            return (int)items[i].item;
        known = true;
    }
    return known ? SECTION_END : ERR_NOT_FOUND;
}

int
section_next(struct slice name, struct slice *rest, struct slice *ret_item)
{
    unsigned field;
    int item = item_of(name, 0);
    int more;

    if (item < 0)
        return item;
    while ((more = wire_next(rest, &field, ret_item)) == 1) {
        item = item_of(name, field);
        if (item == SECTION_END)
            continue; /* of a newer control plane */
        if (!ret_item->at)
            return ERR_SYNTAX;
        return ret_item->len > LIMIT_ITEM_BYTES ? ERR_LIMIT : item;
    }
    return more == 0 ? SECTION_END : more;
}

int
section_key_digest(struct slice item, unsigned char ret_digest[static 32])
{
    struct slice content;
    unsigned field;

    while (wire_next(&item, &field, &content) == 1)
        if (field == 1 && content.len == 32) {
            memcpy(ret_digest, content.at, 32);
            return 0;
        }
    return ERR_SYNTAX;
}

/* The text of a field: protobuf-c gives "" for what is absent. */
static struct slice
text(const char *s)
{
    return slice_of(s);
}

static struct slice
blob(ProtobufCBinaryData b)
{
    return message_bytes(b.data, b.len);
}

static const struct slice *
texts(char **list, size_t count, struct arena *a)
{
    struct slice *all = arena_alloc(a, (count + 1) * sizeof(*all));

    for (size_t i = 0; all && i < count; i++)
        all[i] = text(list[i]);
    return all;
}

int
section_get_provider(struct slice item, struct arena *a, struct section_provider *ret)
{
    const Headgate__Snapshot__Provider *m =
        message_read(&headgate__snapshot__provider__descriptor, item, a);
    struct section_pair *headers;

    if (!m || !(headers = arena_alloc(a, (m->n_headers + 1) * sizeof(*headers))))
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_headers; i++)
        headers[i] = (struct section_pair){text(m->headers[i]->name), text(m->headers[i]->value)};
    *ret = (struct section_provider){
        .name = text(m->name),
        .kind = text(m->kind),
        .base_url = text(m->base_url),
        .sealed_credential = blob(m->sealed_credential),
        .http = text(m->http),
        .on_disconnect = text(m->on_disconnect),
        .region = text(m->region),
        .project = text(m->project),
        .location = text(m->location),
        .api_version = text(m->api_version),
        .allow_private_media = m->allow_private_media,
        .api = text(m->api),
        .allow_private = m->allow_private,
        .connect_ms = m->connect_timeout_ms,
        .first_byte_ms = m->first_byte_timeout_ms,
        .between_bytes_ms = m->between_bytes_timeout_ms,
        .total_ms = m->total_timeout_ms,
        .headers = headers,
        .header_count = m->n_headers,
    };
    return 0;
}

int
section_get_model(struct slice item, struct arena *a, struct section_model *ret)
{
    const Headgate__Snapshot__Model *m =
        message_read(&headgate__snapshot__model__descriptor, item, a);
    struct section_target *targets;
    const struct slice *fallbacks;

    if (!m || !(targets = arena_alloc(a, (m->n_targets + 1) * sizeof(*targets))) ||
        !(fallbacks = texts(m->fallbacks, m->n_fallbacks, a)))
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_targets; i++)
        targets[i] = (struct section_target){text(m->targets[i]->provider),
                                             text(m->targets[i]->model), m->targets[i]->weight};
    *ret = (struct section_model){
        .name = text(m->name),
        .strategy = text(m->strategy),
        .targets = targets,
        .target_count = m->n_targets,
        .fallbacks = fallbacks,
        .fallback_count = m->n_fallbacks,
        .created_unix_s = m->created_unix_s,
        .free = m->free,
        .cache_ttl_s = m->cache_ttl_s,
        .cache_scope = text(m->cache_scope),
    };
    return 0;
}

static int
get_scope(const Headgate__Snapshot__Scope *m, struct arena *a, struct section_scope *ret)
{
    struct slice *addresses;

    *ret = (struct section_scope){0};
    if (!m)
        return 0;
    ret->endpoints = texts(m->endpoints, m->n_endpoints, a);
    addresses = arena_alloc(a, (m->n_addresses + 1) * sizeof(*addresses));
    if (!ret->endpoints || !addresses)
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_addresses; i++)
        addresses[i] = blob(m->addresses[i]);
    ret->addresses = addresses;
    ret->endpoint_count = m->n_endpoints;
    ret->address_count = m->n_addresses;
    ret->limits_endpoints = m->limits_endpoints;
    ret->limits_addresses = m->limits_addresses;
    ret->max_tokens = m->max_tokens;
    ret->no_tools = m->no_tools;
    ret->no_stream = m->no_stream;
    ret->degrade = m->degrade;
    return 0;
}

int
section_get_team(struct slice item, struct arena *a, struct section_team *ret)
{
    const Headgate__Snapshot__Team *m =
        message_read(&headgate__snapshot__team__descriptor, item, a);
    const struct slice *models;

    if (!m || !(models = texts(m->allow_models, m->n_allow_models, a)))
        return ERR_SYNTAX;
    *ret = (struct section_team){
        .name = text(m->name),
        .all_models = m->allow_all_models,
        .disabled = m->disabled,
        .models = models,
        .model_count = m->n_allow_models,
    };
    return get_scope(m->scope, a, &ret->scope);
}

int
section_get_project(struct slice item, struct arena *a, struct section_project *ret)
{
    const Headgate__Snapshot__Project *m =
        message_read(&headgate__snapshot__project__descriptor, item, a);

    if (!m)
        return ERR_SYNTAX;
    *ret = (struct section_project){text(m->name), text(m->team), m->disabled};
    return 0;
}

int
section_get_user(struct slice item, struct arena *a, struct section_user *ret)
{
    const Headgate__Snapshot__User *m =
        message_read(&headgate__snapshot__user__descriptor, item, a);
    const struct slice *teams;

    if (!m || !(teams = texts(m->teams, m->n_teams, a)))
        return ERR_SYNTAX;
    *ret = (struct section_user){
        .name = text(m->name),
        .service = m->service,
        .disabled = m->disabled,
        .teams = teams,
        .team_count = m->n_teams,
    };
    return 0;
}

/* 0, or ERR_SYNTAX: a class that nobody knows would be billed at nothing. */
static int
take_rates(Headgate__Snapshot__Rate *const *rates, size_t count, struct section_rates *ret)
{
    for (size_t i = 0; i < count; i++) {
        unsigned c = rates[i]->class_ - 1;
        if (c >= USAGE_CLASSES)
            return ERR_SYNTAX;
        section_rates_set(ret, (enum usage_class)c, rates[i]->price);
    }
    return 0;
}

static int
take_variants(const Headgate__Snapshot__Price *m, struct arena *a, struct section_price *ret)
{
    struct section_variant *all = arena_zalloc(a, (m->n_variants + 1) * sizeof(*all));

    if (!all)
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_variants; i++) {
        const Headgate__Snapshot__Variant *v = m->variants[i];
        all[i].service_tier = v->service_tier;
        all[i].input_tokens_over = v->input_tokens_over;
        if (take_rates(v->rates, v->n_rates, &all[i].rates) != 0)
            return ERR_SYNTAX;
    }
    ret->variants = all;
    ret->variant_count = m->n_variants;
    return 0;
}

static void
take_base(const Headgate__Snapshot__Price *m, struct section_rates *ret)
{
    section_rates_set(ret, CLASS_INPUT, m->input);
    section_rates_set(ret, CLASS_OUTPUT, m->output);
    if (m->has_cached_input)
        section_rates_set(ret, CLASS_CACHE_READ, m->cached_input);
    if (m->has_cache_write)
        section_rates_set(ret, CLASS_CACHE_WRITE, m->cache_write);
    if (m->has_cache_write_1h)
        section_rates_set(ret, CLASS_CACHE_WRITE_1H, m->cache_write_1h);
    if (m->has_reasoning)
        section_rates_set(ret, CLASS_REASONING, m->reasoning);
}

int
section_get_issuer(struct slice item, struct arena *a, struct section_issuer *ret)
{
    const Headgate__Snapshot__Issuer *m =
        message_read(&headgate__snapshot__issuer__descriptor, item, a);
    struct section_issuer_key *keys;
    const struct slice *models;

    if (!m || !(keys = arena_alloc(a, (m->n_keys + 1) * sizeof(*keys))) ||
        !(models = texts(m->models, m->n_models, a)))
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_keys; i++)
        keys[i] = (struct section_issuer_key){text(m->keys[i]->kid), blob(m->keys[i]->der),
                                              m->keys[i]->kind};
    *ret = (struct section_issuer){
        .name = text(m->name),
        .issuer = text(m->issuer),
        .audience = text(m->audience),
        .team = text(m->team),
        .team_claim = text(m->team_claim),
        .user_claim = text(m->user_claim),
        .all_models = m->allow_all_models,
        .disabled = m->disabled,
        .models = models,
        .model_count = m->n_models,
        .keys = keys,
        .key_count = m->n_keys,
    };
    return get_scope(m->scope, a, &ret->scope);
}

int
section_get_role(struct slice item, struct arena *a, struct section_role *ret)
{
    const Headgate__Snapshot__Role *m =
        message_read(&headgate__snapshot__role__descriptor, item, a);
    const struct slice *models;

    if (!m || !(models = texts(m->models, m->n_models, a)))
        return ERR_SYNTAX;
    *ret = (struct section_role){
        .name = text(m->name),
        .all_models = m->allow_all_models,
        .models = models,
        .model_count = m->n_models,
    };
    return get_scope(m->scope, a, &ret->scope);
}

int
section_get_grant(struct slice item, struct arena *a, struct section_grant *ret)
{
    const Headgate__Snapshot__Grant *m =
        message_read(&headgate__snapshot__grant__descriptor, item, a);

    if (!m)
        return ERR_SYNTAX;
    *ret = (struct section_grant){text(m->user), text(m->role), text(m->team), text(m->project)};
    return 0;
}

int
section_get_price(struct slice item, struct arena *a, struct section_price *ret)
{
    const Headgate__Snapshot__Price *m =
        message_read(&headgate__snapshot__price__descriptor, item, a);

    if (!m)
        return ERR_SYNTAX;
    *ret = (struct section_price){
        .provider = text(m->provider),
        .model = text(m->model),
        .version = text(m->version),
        .free = m->free,
        .max_output_tokens = m->max_output_tokens,
    };
    take_base(m, &ret->base);
    return take_rates(m->rates, m->n_rates, &ret->base) ? ERR_SYNTAX : take_variants(m, a, ret);
}

int
section_get_key(struct slice item, struct arena *a, struct section_key *ret)
{
    const Headgate__Snapshot__Key *m = message_read(&headgate__snapshot__key__descriptor, item, a);
    struct section_pair *tags;
    const struct slice *models;

    if (!m || !(tags = arena_alloc(a, (m->n_tags + 1) * sizeof(*tags))) ||
        !(models = texts(m->models, m->n_models, a)))
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_tags; i++)
        tags[i] = (struct section_pair){text(m->tags[i]->key), text(m->tags[i]->value)};
    *ret = (struct section_key){
        .digest = blob(m->digest),
        .id = blob(m->id),
        .name = text(m->name),
        .team = text(m->team),
        .project = text(m->project),
        .user = text(m->user),
        .all_models = m->allow_all_models,
        .disabled = m->disabled,
        .refuse_on_partition = m->refuse_on_partition,
        .models = models,
        .model_count = m->n_models,
        .expires_ms = m->expires_unix_ms,
        .tags = tags,
        .tag_count = m->n_tags,
        .retired = m->retired,
    };
    return get_scope(m->scope, a, &ret->scope);
}

static int
get_selector(const Headgate__Snapshot__Selector *m, struct arena *a, struct section_selector *ret)
{
    struct section_pair *tags;

    *ret = (struct section_selector){0};
    if (!m)
        return 0; /* proto3 leaves an empty one out */
    if (!(tags = arena_alloc(a, (m->n_tags + 1) * sizeof(*tags))))
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_tags; i++)
        tags[i] = (struct section_pair){text(m->tags[i]->key), text(m->tags[i]->value)};
    *ret = (struct section_selector){
        .key = text(m->key),
        .user = text(m->user),
        .team = text(m->team),
        .project = text(m->project),
        .model = text(m->model),
        .provider = text(m->provider),
        .end_user = text(m->end_user),
        .tags = tags,
        .tag_count = m->n_tags,
    };
    return 0;
}

int
section_get_quota(struct slice item, struct arena *a, struct section_quota *ret)
{
    const Headgate__Snapshot__Quota *m =
        message_read(&headgate__snapshot__quota__descriptor, item, a);
    struct section_rate *rates;

    if (!m || !(rates = arena_alloc(a, (m->n_rates + 1) * sizeof(*rates))) ||
        get_selector(m->selector, a, &ret->selector) != 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_rates; i++)
        rates[i] = (struct section_rate){text(m->rates[i]->metric), m->rates[i]->amount,
                                         m->rates[i]->window_ms};
    ret->name = text(m->name);
    ret->per = text(m->per);
    ret->shadow = m->shadow;
    ret->rates = rates;
    ret->rate_count = m->n_rates;
    return 0;
}

int
section_get_budget(struct slice item, struct arena *a, struct section_budget *ret)
{
    const Headgate__Snapshot__Budget *m =
        message_read(&headgate__snapshot__budget__descriptor, item, a);
    uint32_t *thresholds;

    if (!m || !(thresholds = arena_alloc(a, (m->n_thresholds + 1) * sizeof(*thresholds))) ||
        get_selector(m->selector, a, &ret->selector) != 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < m->n_thresholds; i++)
        thresholds[i] = m->thresholds[i];
    ret->name = text(m->name);
    ret->per = text(m->per);
    ret->unit = text(m->unit);
    ret->period = text(m->period);
    ret->time_zone = text(m->time_zone);
    ret->mode = text(m->mode);
    ret->on_unverifiable = text(m->on_unverifiable);
    ret->amount = m->amount;
    ret->thresholds = thresholds;
    ret->threshold_count = m->n_thresholds;
    return 0;
}
