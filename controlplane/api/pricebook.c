/* The built-in price book, to be read: what applies where nobody configured a price. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api/handlers.h"
#include "controlplane/rules/price.h"
#include "controlplane/rules/pricebook.h"

static struct json *
row_of(const struct section_price *p)
{
    struct json *map = json_new_map();
    int err = map ? 0 : ERR_NOMEM;

    if (!err)
        err = json_set_text(map, "kind", slice_from(p->provider, strlen("kind:")));
    if (!err)
        err = json_set_text(map, "model", p->model);
    if (!err)
        err = json_set_text(map, "version", p->version);
    if (!err && p->free)
        err = json_set_bool(map, "free", true);
    if (!err)
        err = price_write(map, p);
    if (!err)
        return map;
    json_free(map);
    return NULL;
}

static bool
is_asked_for(const struct section_price *p, struct slice kind)
{
    return !kind.at || slice_eq(slice_from(p->provider, strlen("kind:")), kind);
}

/* The cursor is the line of the last row. */
int
pricebook_list(struct api_request *r, struct api_reply *reply)
{
    struct json *data = json_new_list();
    struct slice kind = api_query(r, "kind");
    struct pricebook book;
    struct section_price p;
    const char *after;
    char last[24] = "";
    int64_t limit;
    int err = api_page(r, reply, &limit, &after);
    size_t behind = err ? 0 : (size_t)strtoul(after, NULL, 10);
    bool more = false;

    if (err) {
        json_free(data);
        return err;
    }
    err = data ? 0 : ERR_NOMEM;
    pricebook_start(&book);
    while (!err && !more && pricebook_next(&book, &p)) {
        if (book.line <= behind || !is_asked_for(&p, kind))
            continue;
        more = json_size(data) == (size_t)limit;
        if (more)
            break;
        (void)snprintf(last, sizeof(last), "%zu", book.line);
        err = json_append(data, row_of(&p));
    }
    if (err) {
        json_free(data);
        return api_fail(r, reply, err);
    }
    return api_page_reply(r, reply, data, more ? last : NULL);
}
