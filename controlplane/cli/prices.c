/* headgate prices import, list: price lists as a whole. Single prices are items: headgate price. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/price_diff.h"
#include "controlplane/cli/price_import.h"
#include "controlplane/cli/table.h"
#include "lib/base/file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- what the gateway has --------------------------------------------------------------------- */

struct state {
    struct json *providers, *prices, *book; /* pages */
    struct price_state data;
};

static int
state_get(struct state *s, const struct client *client)
{
    int e = client_list(client, "/api/v1/providers", 0, &s->providers);

    if (e == CLI_OK)
        e = client_list(client, "/api/v1/prices", 0, &s->prices);
    if (e == CLI_OK)
        e = client_list(client, "/api/v1/pricebook", 0, &s->book);
    s->data = (struct price_state){json_get(s->providers, "data"), json_get(s->prices, "data"),
                                   json_get(s->book, "data")};
    return e;
}

static void
state_free(struct state *s)
{
    json_free(s->providers);
    json_free(s->prices);
    json_free(s->book);
}

static int64_t
revision_of(const struct json *map)
{
    int64_t revision = 0;

    return json_to_int(json_get(map, "revision"), &revision) ? 0 : revision;
}

static const struct json *
find_provider(const struct state *s, const char *name)
{
    for (size_t i = 0; i < json_size(s->data.providers); i++)
        if (slice_is(json_str(json_get(json_at(s->data.providers, i), "name")), name))
            return json_at(s->data.providers, i);
    return NULL;
}

/* --- import ----------------------------------------------------------------------------------- */

struct import_options {
    const char *file, *provider, *from;
    bool confirm, dry_run;
};

/* Whether a row of the file is for this provider. */
static bool
is_for(const struct json *row, const struct json *provider, const struct import_options *o)
{
    if (o->provider && !slice_is(json_str(json_get(provider, "name")), o->provider))
        return false;
    if (o->from)
        return slice_is(json_str(json_get(row, "source")), o->from);
    return slice_eq(json_str(json_get(row, "kind")), json_str(json_get(provider, "kind")));
}

static int
compare_all(struct price_diff *d, const struct state *s, const struct price_import *in,
            const struct import_options *o, size_t *ret_others)
{
    int err = 0;

    for (size_t i = 0; !err && i < json_size(in->rows); i++) {
        const struct json *row = json_at(in->rows, i);
        bool used = false;
        for (size_t k = 0; !err && k < json_size(s->data.providers); k++) {
            const struct json *p = json_at(s->data.providers, k);
            if (!is_for(row, p, o))
                continue;
            used = true;
            err = price_diff_add(d, &s->data, json_str(json_get(p, "name")),
                                 json_str(json_get(p, "kind")), json_str(json_get(row, "model")),
                                 json_get(row, "price"));
        }
        *ret_others += !used;
    }
    return err;
}

static int
read_list(const char *path, struct price_import *ret)
{
    struct buf text, why;
    int err, e = CLI_OK;

    buf_init(&text, LIMIT_IMPORT_BYTES + 1);
    buf_init(&why, 1024);
    err = file_read(path, LIMIT_IMPORT_BYTES, false, &text);
    if (err == ERR_LIMIT)
        e = cli_fail("%s: over %zu MiB", path, LIMIT_IMPORT_BYTES >> 20);
    else if (err)
        e = cli_fail("cannot read %s: %s", path, err_name(err));
    else if ((err = price_import_read(buf_slice(&text), ret, &why)) != 0)
        e = cli_fail("%s: %s", path, err == ERR_SYNTAX ? buf_str(&why) : "out of memory");
    buf_free(&text);
    buf_free(&why);
    return e;
}

static void
tell_skipped(const struct price_import *in, size_t others)
{
    for (int i = 0; i < IMPORT_SKIPS; i++)
        if (in->skipped[i])
            cli_note("%zu models %s were passed over", in->skipped[i],
                     import_skip_reason((enum import_skip)i));
    if (others)
        cli_note("%zu models of kinds that no provider has were passed over", others);
}

static const struct table_column change_columns[] = {
    {"PROVIDER", "provider", false, 0}, {"MODEL", "model", false, 0}, {"PRICE", "price", false, 0},
    {"OLD USD", "old", true, 0},        {"NEW USD", "new", true, 0},
};

/* Each by name; CLI_FAILED. */
static int
refuse_implausible(const struct price_diff *d)
{
    for (size_t i = 0; i < json_size(d->changes); i++) {
        const struct json *c = json_at(d->changes, i);
        if (json_is_true(json_get(c, "implausible")))
            cli_note("%s of %s at %s: %s becomes %s", json_str(json_get(c, "price")).at,
                     json_str(json_get(c, "model")).at, json_str(json_get(c, "provider")).at,
                     json_str(json_get(c, "old")).at, json_str(json_get(c, "new")).at);
    }
    return cli_fail(
        "%zu price%s would change more than tenfold, or from or to nothing; nothing was "
        "imported. Look at them, then use --confirm",
        d->implausible, d->implausible == 1 ? "" : "s");
}

static struct json *
make_call(struct price_diff *d, const struct import_options *o)
{
    struct json *body = json_new_map(), *document = json_new_map();
    const char *slash = strrchr(o->file, '/');
    char note[256];
    int err = body && document ? json_set(document, "prices", json_ref(d->items)) : ERR_NOMEM;

    (void)snprintf(note, sizeof(note), "prices import %.200s", slash ? slash + 1 : o->file);
    if (err) {
        json_free(document);
    } else {
        err = json_set(body, "document", document);
    }
    if (!err)
        err = json_set_bool(body, "dry_run", o->dry_run);
    if (!err)
        err = json_set_str(body, "note", note);
    if (!err)
        return body;
    json_free(body);
    return NULL;
}

/* Applies what changes, as one revision. */
static int
apply(const struct client *client, struct price_diff *d, const struct import_options *o,
      struct json **ret_applied)
{
    struct json *body = make_call(d, o);
    struct client_call call = {.method = "POST", .path = "/api/v1/config/apply", .body = body};
    int e = body ? client_do(client, &call, ret_applied) : cli_fail("out of memory");

    json_free(body);
    return e;
}

static int
report(const struct cli *c, struct price_diff *d, const struct import_options *o,
       const struct json *applied)
{
    bool made = applied && !o->dry_run;

    if (c->json) {
        struct json *out = json_new_map();
        int err = out ? json_set(out, "changes", json_ref(d->changes)) : ERR_NOMEM;
        if (!err)
            err = json_set_int(out, "added", (int64_t)d->added);
        if (!err)
            err = json_set_int(out, "changed", (int64_t)d->changed);
        if (!err)
            err = json_set_int(out, "unchanged", (int64_t)d->unchanged);
        if (!err)
            err = json_set_bool(out, "applied", made);
        if (!err && made)
            err = json_set_int(out, "revision", revision_of(applied));
        int e = err ? cli_fail("out of memory") : cli_print_json(out);
        json_free(out);
        return e;
    }
    if (json_size(d->changes))
        table_print(stdout, change_columns, COUNT(change_columns), d->changes, 0);
    printf("%zu new, %zu changed, %zu as they were%s", d->added, d->changed, d->unchanged,
           made || json_size(d->items) == 0 ? "" : " (not imported)");
    if (made)
        printf("; revision %lld", (long long)revision_of(applied));
    putchar('\n');
    return CLI_OK;
}

static int
check_target(const struct state *s, const struct import_options *o)
{
    if (o->from && !o->provider)
        return cli_fail("--from needs --provider: whose models are they to be?");
    if (o->provider && !find_provider(s, o->provider))
        return cli_fail("no provider '%s'", o->provider);
    return CLI_OK;
}

static int
import(const struct cli *c, const struct client *client, const struct import_options *o,
       const struct price_import *in)
{
    struct state s = {0};
    struct price_diff d;
    struct json *applied = NULL;
    size_t others = 0;
    int e = price_diff_init(&d) == 0 ? state_get(&s, client) : cli_fail("out of memory");

    if (e == CLI_OK)
        e = check_target(&s, o);
    if (e == CLI_OK && compare_all(&d, &s, in, o, &others) != 0)
        e = cli_fail("out of memory");
    if (e == CLI_OK) {
        tell_skipped(in, others);
        if (d.implausible && !o->confirm && !o->dry_run)
            e = refuse_implausible(&d);
    }
    if (e == CLI_OK && json_size(d.items))
        e = apply(client, &d, o, &applied);
    if (e == CLI_OK)
        e = report(c, &d, o, applied);
    if (e == CLI_OK && d.implausible && !o->confirm)
        e = refuse_implausible(&d); /* of a dry run: it would not have passed */
    json_free(applied);
    state_free(&s);
    price_diff_fini(&d);
    return e;
}

int
prices_import_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct price_import in = {0};
    struct import_options o = {0};
    const struct option_row rows[] = {
        {.name = "provider",
         .into = &o.provider,
         .value = "NAME",
         .help = "only this provider's; else of every provider whose kind the file names"},
        {.name = "from",
         .into = &o.from,
         .value = "NAME",
         .help = "with --provider: the models that the file has under this provider"},
        {.name = "dry-run", .kind = OPTION_FLAG, .into = &o.dry_run, .help = "only print changes"},
        {.name = "confirm",
         .kind = OPTION_FLAG,
         .into = &o.confirm,
         .help = "also what changes more than tenfold, or from or to nothing"},
    };
    int e = cli_begin(&c, command, rows, COUNT(rows), 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    o.file = c.argv[1];
    if ((e = read_list(o.file, &in)) != CLI_OK)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = import(&c, &client, &o, &in);
    client_close(&client);
    price_import_free(&in);
    return e;
}

/* --- list ------------------------------------------------------------------------------------- */

static int
add_row(struct json *list, struct slice provider, const struct json *price, const char *source,
        const char *version)
{
    struct json *row = json_copy(price);
    int err = row ? json_set_text(row, "provider", provider) : ERR_NOMEM;

    if (!err)
        err = json_set_str(row, "source", source);
    if (!err)
        err = json_set_str(row, "version", version);
    if (err) {
        json_free(row);
        return err;
    }
    (void)json_remove(row, "kind");
    return json_append(list, row);
}

static bool
is_wanted(const struct json *price, const char *glob)
{
    struct slice model = json_str(json_get(price, "model"));

    return !glob || (model.at && fnmatch(glob, model.at, 0) == 0);
}

static int
list_configured(struct json *out, const struct state *s, struct slice provider, const char *glob)
{
    int err = 0;

    for (size_t i = 0; !err && i < json_size(s->data.prices); i++) {
        const struct json *price = json_at(s->data.prices, i);
        char version[24];
        if (!slice_eq(json_str(json_get(price, "provider")), provider) || !is_wanted(price, glob))
            continue;
        (void)snprintf(version, sizeof(version), "r%lld", (long long)revision_of(price));
        err = add_row(out, provider, price, "configuration", version);
    }
    return err;
}

/* The book's lines that nothing configured stands before. */
static int
list_book(struct json *out, const struct state *s, struct slice provider, struct slice kind,
          const char *glob)
{
    int err = 0;

    for (size_t i = 0; !err && i < json_size(s->data.book); i++) {
        const struct json *price = json_at(s->data.book, i);
        bool own;
        if (!slice_eq(json_str(json_get(price, "kind")), kind) || !is_wanted(price, glob))
            continue;
        if (price_state_find(&s->data, provider, kind, json_str(json_get(price, "model")), &own) ==
            price)
            err = add_row(out, provider, price, "book", json_str(json_get(price, "version")).at);
    }
    return err;
}

static const struct table_column list_columns[] = {
    {"PROVIDER", "provider", false, 0},
    {"MODEL", "model", false, 0},
    {"INPUT", "input_per_mtok_usd", true, 0},
    {"CACHED", "cached_input_per_mtok_usd", true, 3},
    {"OUTPUT", "output_per_mtok_usd", true, 0},
    {"SEARCH UNIT", "search_unit_usd", true, 7},
    {"IMAGE", "image_usd", true, 6},
    {"AUDIO MIN", "audio_minute_usd", true, 5},
    {"MCHAR", "per_mchar_usd", true, 4},
    {"SOURCE", "source", false, 2},
    {"VERSION", "version", false, 1},
};

static int
print_list(const struct cli *c, struct json *rows)
{
    struct json *page;
    int e;

    if (!c->json) {
        table_print(stdout, list_columns, COUNT(list_columns), rows, 0);
        return CLI_OK;
    }
    page = json_new_map();
    e = page && json_set(page, "data", json_ref(rows)) == 0 ? cli_print_json(page)
                                                            : cli_fail("out of memory");
    json_free(page);
    return e;
}

static int
collect(struct json *rows, const struct state *s, const char *provider, const char *glob)
{
    int err = rows ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < json_size(s->data.providers); i++) {
        const struct json *p = json_at(s->data.providers, i);
        struct slice name = json_str(json_get(p, "name"));
        if (provider && !slice_is(name, provider))
            continue;
        err = list_configured(rows, s, name, glob);
        if (!err)
            err = list_book(rows, s, name, json_str(json_get(p, "kind")), glob);
    }
    return err;
}

int
prices_list_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct state s = {0};
    struct json *out;
    const char *provider = NULL, *glob = NULL;
    const struct option_row rows[] = {
        {.name = "provider", .into = &provider, .value = "NAME", .help = "only this provider's"},
        {.name = "model", .into = &glob, .value = "GLOB", .help = "only these models: 'gpt-*'"},
    };
    int e = cli_begin(&c, command, rows, COUNT(rows), 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    out = json_new_list();
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = state_get(&s, &client);
    if (e == CLI_OK && provider && !find_provider(&s, provider))
        e = cli_fail("no provider '%s'", provider);
    if (e == CLI_OK && collect(out, &s, provider, glob) != 0)
        e = cli_fail("out of memory");
    if (e == CLI_OK)
        e = print_list(&c, out);
    json_free(out);
    state_free(&s);
    client_close(&client);
    return e;
}
