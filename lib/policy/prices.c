/* Prices: the file's rows by provider, the built-in book by kind; and what an attempt costs. */
#include "lib/policy/policy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char book_prefix[] = "kind:";

static struct price_group *
group_of(struct policy_core *c, struct slice name)
{
    struct price_group *g = map_find(&c->groups, name);

    if (g || !(g = arena_zalloc(&c->arena, sizeof(*g))))
        return g;
    map_init(&g->exact);
    g->name = arena_copy(&c->arena, name);
    if (!g->name.at || map_put(&c->groups, g->name, g) != 0)
        return NULL;
    return g;
}

/* "kind:openai" names a kind, anything else a configured provider. */
static int
check_owner(const struct policy_core *c, size_t at, const struct section_price *p, struct buf *why)
{
    enum provider_kind kind;

    if (slice_starts(p->provider, SLICE("kind:"))) {
        struct slice name = slice_from(p->provider, sizeof(book_prefix) - 1);

        if (provider_kind_parse(name, &kind) == 0)
            return 0;
        return refuse(why, ERR_NOT_FOUND, "prices[%zu]: no kind of provider '%.*s'", at,
                      SLICE_ARG(name));
    }
    if (map_find(&c->provider_by_name, p->provider))
        return 0;
    return refuse(why, ERR_NOT_FOUND, "prices[%zu]: no provider '%.*s'", at,
                  SLICE_ARG(p->provider));
}

static int
check_model(size_t at, const struct section_price *p, struct buf *why)
{
    size_t star = slice_find(p->model, '*', 0);

    if (!name_is_valid(p->model))
        return refuse(why, ERR_SYNTAX, "prices[%zu]: the model's name is empty or malformed", at);
    if (star < p->model.len && star + 1 != p->model.len)
        return refuse(why, ERR_SYNTAX, "prices[%zu] '%.*s': '*' may only be the last character", at,
                      SLICE_ARG(p->model));
    return 0;
}

static bool
has_negative(const struct section_rates *r)
{
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (r->rates.of[c] < 0)
            return true;
    return false;
}

static bool
is_priced(const struct section_rates *r)
{
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (r->rates.of[c] > 0)
            return true;
    return false;
}

static int
check_amounts(size_t at, const struct section_price *p, struct buf *why)
{
    bool priced = is_priced(&p->base), negative = has_negative(&p->base);

    for (size_t i = 0; i < p->variant_count; i++) {
        priced = priced || is_priced(&p->variants[i].rates);
        negative = negative || has_negative(&p->variants[i].rates);
    }
    if (negative)
        return refuse(why, ERR_SYNTAX, "prices[%zu] '%.*s': a price is below zero", at,
                      SLICE_ARG(p->model));
    if (p->free && priced)
        return refuse(why, ERR_SYNTAX, "prices[%zu] '%.*s': free, but a price is given", at,
                      SLICE_ARG(p->model));
    if (!p->free && !priced)
        return refuse(why, ERR_SYNTAX,
                      "prices[%zu] '%.*s': all prices are zero (say `free: true` if that is meant)",
                      at, SLICE_ARG(p->model));
    return 0;
}

static int
check_variants(size_t at, const struct section_price *p, struct buf *why)
{
    for (size_t i = 0; i < p->variant_count; i++) {
        const struct section_variant *v = &p->variants[i];
        if (v->service_tier >= SERVICE_TIERS)
            return refuse(why, ERR_SYNTAX, "prices[%zu].variants[%zu]: no service tier %u", at, i,
                          v->service_tier);
        if (v->input_tokens_over < 0)
            return refuse(why, ERR_SYNTAX,
                          "prices[%zu].variants[%zu]: input_tokens_over is below zero", at, i);
        if (!v->service_tier && !v->input_tokens_over)
            return refuse(why, ERR_SYNTAX,
                          "prices[%zu].variants[%zu]: neither a service_tier nor an "
                          "input_tokens_over",
                          at, i);
        for (size_t k = 0; k < i; k++)
            if (p->variants[k].service_tier == v->service_tier &&
                p->variants[k].input_tokens_over == v->input_tokens_over)
                return refuse(why, ERR_EXISTS,
                              "prices[%zu].variants[%zu]: the circumstances of variants[%zu]", at,
                              i, k);
    }
    return 0;
}

static int
by_length(const void *a, const void *b)
{
    const struct price_glob *x = a;
    const struct price_glob *y = b;

    return (x->pattern.len < y->pattern.len) - (x->pattern.len > y->pattern.len);
}

/* Globs are few: a list that grows by one, sorted at the end. */
static int
add_glob(struct policy_core *c, struct price_group *g, struct slice pattern,
         const struct policy_price *price)
{
    struct price_glob *more;

    for (size_t i = 0; i < g->count; i++)
        if (slice_eq(g->globs[i].pattern, pattern))
            return ERR_EXISTS;
    if ((g->count & (g->count + 1)) == 0) { /* 0, 1, 3, 7, ...: room for twice as many */
        more = arena_alloc(&c->arena, (2 * g->count + 1) * sizeof(*more));
        if (!more)
            return ERR_NOMEM;
        if (g->count)
            memcpy(more, g->globs, g->count * sizeof(*more));
        g->globs = more;
    }
    g->globs[g->count++] = (struct price_glob){pattern, price};
    return 0;
}

static int
add_row(struct policy_core *c, struct price_group *g, struct slice model,
        const struct policy_price *price)
{
    if (slice_find(model, '*', 0) < model.len)
        return add_glob(c, g, model, price);
    if (map_find(&g->exact, model))
        return ERR_EXISTS;
    return map_put(&g->exact, model, (void *)(uintptr_t)price);
}

static int
add_price(struct policy_core *c, size_t at, const struct section_price *p,
          struct slice list_version, struct buf *why)
{
    struct policy_price *price = arena_zalloc(&c->arena, sizeof(*price));
    struct price_group *g = group_of(c, p->provider);
    struct slice model = arena_copy(&c->arena, p->model);
    int err;

    if (!price || !g || !model.at)
        return refuse(why, ERR_NOMEM, "prices[%zu]: no memory", at);
    if ((err = price_fill(price, p, &c->arena)) != 0)
        return err == ERR_LIMIT
                   ? refuse(why, err, "prices[%zu] '%.*s': more than %d thresholds of input", at,
                            SLICE_ARG(p->model), LIMIT_PRICE_LEVELS)
                   : refuse(why, err, "prices[%zu]: no memory", at);
    price->version = arena_copy(&c->arena, p->version.len ? p->version : list_version);
    if (!price->version.at)
        return refuse(why, ERR_NOMEM, "prices[%zu]: no memory", at);
    err = add_row(c, g, model, price);
    if (err == ERR_EXISTS)
        return refuse(why, ERR_EXISTS, "prices[%zu]: '%.*s' of '%.*s' is priced twice", at,
                      SLICE_ARG(model), SLICE_ARG(g->name));
    return err ? refuse(why, err, "prices[%zu]: no memory", at) : 0;
}

static int
take_price(struct policy_core *c, size_t at, struct slice item, struct slice list_version,
           struct arena *scratch, struct buf *why)
{
    struct section_price p;
    int err;

    if (section_get_price(item, scratch, &p) != 0)
        return refuse(why, ERR_SYNTAX, "prices[%zu]: malformed", at);
    if ((err = check_owner(c, at, &p, why)) != 0 || (err = check_model(at, &p, why)) != 0 ||
        (err = check_amounts(at, &p, why)) != 0 || (err = check_variants(at, &p, why)) != 0)
        return err;
    return add_price(c, at, &p, list_version, why);
}

/* Which groups price each provider, so that a look-up need not hash the provider's name. */
static int
link_groups(struct policy_core *c)
{
    size_t n = c->provider_count + 1;

    c->own = arena_zalloc(&c->arena, n * sizeof(*c->own));
    c->book = arena_zalloc(&c->arena, n * sizeof(*c->book));
    if (!c->own || !c->book)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->provider_count; i++) {
        char name[64];
        int len = snprintf(name, sizeof(name), "%s%s", book_prefix,
                           provider_kind_name(c->providers[i].kind));

        c->own[i] = map_find(&c->groups, c->providers[i].name);
        c->book[i] = map_find(&c->groups, slice_make(name, (size_t)len));
    }
    return 0;
}

static void
sort_groups(struct policy_core *c)
{
    size_t cursor = 0;
    struct slice name;
    void *value;

    while (map_next(&c->groups, &cursor, &name, &value)) {
        struct price_group *g = value;

        if (g->count)
            qsort(g->globs, g->count, sizeof(*g->globs), by_length);
    }
}

static int
list_version(struct slice bytes, struct slice *ret_version, struct buf *why)
{
    struct item_walk w = {"prices", SECTION_PRICE_VERSION, bytes, 0, 0};
    struct slice item;
    int more;

    *ret_version = SLICE("");
    while ((more = item_next(&w, &item, why)) == 1)
        *ret_version = item;
    return more;
}

int
prices_compile(struct policy_core *c, struct buf *why)
{
    struct item_walk w = {"prices", SECTION_PRICE, c->bytes[CORE_PRICES], 0, 0};
    struct slice item, version;
    struct arena scratch;
    int err = list_version(c->bytes[CORE_PRICES], &version, why);

    arena_init(&scratch, 4 * LIMIT_ITEM_BYTES);
    while (!err && (err = item_next(&w, &item, why)) == 1) {
        err = take_price(c, w.at, item, version, &scratch, why);
        arena_free(&scratch);
    }
    arena_free(&scratch);
    if (!err)
        sort_groups(c);
    if (!err && link_groups(c) != 0)
        err = refuse(why, ERR_NOMEM, "prices: no memory");
    return err;
}

void
prices_free(struct policy_core *c)
{
    size_t cursor = 0;
    struct slice name;
    void *value;

    while (map_next(&c->groups, &cursor, &name, &value))
        map_free(&((struct price_group *)value)->exact);
    map_free(&c->groups);
}

static const struct policy_price *
find_pattern(const struct price_group *g, struct slice model)
{
    for (size_t i = 0; i < g->count; i++)
        if (glob_match(g->globs[i].pattern, model))
            return g->globs[i].price;
    return NULL;
}

static const struct policy_price *
own_find(const struct price_group *own, struct slice model)
{
    const struct policy_price *price = own ? map_find(&own->exact, model) : NULL;

    return price || !own ? price : find_pattern(own, model);
}

/* In the book: the name itself, then what it is another name of, then patterns. */
static const struct policy_price *
book_find(const struct price_group *book, enum provider_kind kind, struct slice model)
{
    struct slice plain = book_name_plain(kind, model), undated = book_name_undated(plain);
    const struct policy_price *price;

    if (!book)
        return NULL;
    if ((price = map_find(&book->exact, model)) != NULL)
        return price;
    if (plain.len < model.len && (price = map_find(&book->exact, plain)) != NULL)
        return price;
    if (undated.len < plain.len && (price = map_find(&book->exact, undated)) != NULL &&
        book_knows(price->version, plain))
        return price;
    return find_pattern(book, model);
}

const struct policy_price *
prices_find(const struct policy_core *c, const struct policy_provider *provider, struct slice model)
{
    const struct policy_price *price = own_find(c->own[provider->index], model);

    return price ? price : book_find(c->book[provider->index], provider->kind, model);
}
