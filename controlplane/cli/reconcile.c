/* headgate ledger reconcile: what a provider reports, held against what the gateway has booked. */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/bill.h"
#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/table.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/money.h"

#define MS_PER_DAY INT64_C(86400000)

struct reconcile {
    const char *provider, *file, *format, *from, *to, *tolerance;
    int64_t tolerance_nanos;
    char from_day[32], to_day[32]; /* the days compared: [from, to) */
    struct bill reported, ours;
};

static int
read_report(struct reconcile *r)
{
    enum bill_format format;
    struct buf text, why;
    int e = CLI_OK, err;
    if (bill_format_parse(slice_of(r->format), &format) != 0) {
        cli_fail("--format: must be openai, anthropic or csv");
        return CLI_USAGE;
    }
    buf_init(&text, LIMIT_BILL_BYTES + 1);
    buf_init(&why, 1024);
    err = file_read(r->file, LIMIT_BILL_BYTES, false, &text);
    if (err == ERR_LIMIT)
        e = cli_fail("%s: over %zu MiB", r->file, LIMIT_BILL_BYTES >> 20);
    else if (err)
        e = cli_fail("cannot read %s: %s", r->file, err_name(err));
    else if ((err = bill_read(&r->reported, format, buf_slice(&text), &why)) != 0)
        e = cli_fail("%s: %s", r->file, why.len ? buf_str(&why) : err_name(err));
    buf_free(&text);
    buf_free(&why);
    return e;
}

/* A day of an option, or the report's own. */
static int
choose_day(const char *option, const char *given, struct slice own, int64_t days_later,
           char ret[static 32])
{
    int64_t ms = 0;
    (void)snprintf(ret, 32, "%.*s", SLICE_ARG(given ? slice_of(given) : own));
    if (strlen(ret) != 10 || clock_parse_rfc3339(ret, &ms) != 0) {
        cli_fail("--%s: must be a date like 2026-11-01", option);
        return CLI_USAGE;
    }
    if (!given)
        clock_rfc3339(ms + days_later * MS_PER_DAY, ret);
    ret[10] = '\0';
    return CLI_OK;
}

static int
choose_days(struct reconcile *r)
{
    struct slice first, last;
    if (!bill_days(&r->reported, &first, &last)) {
        if (!r->from || !r->to)
            return cli_fail("%s: reports nothing: give --from and --to", r->file);
        first = last = SLICE("");
    }
    int e = choose_day("from", r->from, first, 0, r->from_day);
    return e == CLI_OK ? choose_day("to", r->to, last, 1, r->to_day) : e;
}

static int
get_ours(struct reconcile *r, const struct cli *c)
{
    struct client client;
    struct json *report = NULL;
    struct buf path;
    buf_init(&path, 2048);
    int err = buf_addf(&path, "/api/v1/usage?group_by=%s&from=%s&to=%s&provider=",
                       r->reported.by_model ? "day,provider_model" : "day", r->from_day, r->to_day);
    if (!err)
        err = client_escape(&path, slice_of(r->provider));
    const char *text = err ? NULL : buf_str(&path);
    struct client_call call = {.method = "GET", .path = text};
    int e = client_open(&client, c);
    if (e == CLI_OK)
        e = text ? client_do(&client, &call, &report) : cli_fail("the provider's name is too long");
    if (e == CLI_OK &&
        bill_read_ours(&r->ours, json_get(report, "data"), r->reported.by_model) != 0)
        e = cli_fail("the gateway's sums are out of range");
    json_free(report);
    buf_free(&path);
    client_close(&client);
    return e;
}

static const struct table_column columns[] = {
    {"DAY", "day", false, 0},      {"MODEL", "model", false, 0},
    {"WHAT", "metric", false, 0},  {"REPORTED", "reported", true, 0},
    {"LEDGER", "ledger", true, 0}, {"DIFFERENCE", "difference", true, 0},
};

static int
print_json(const struct reconcile *r, const struct json *differences, size_t compared)
{
    struct json *out = json_new_map();
    int err = out ? 0 : ERR_NOMEM;
    if (!err && !(err = json_set_str(out, "provider", r->provider)) &&
        !(err = json_set_str(out, "from", r->from_day)) &&
        !(err = json_set_str(out, "to", r->to_day)) &&
        !(err = json_set_int(out, "compared", (int64_t)compared)))
        err = json_set(out, "differences", json_copy(differences));
    int e = err ? cli_fail("out of memory") : cli_print_json(out);
    json_free(out);
    return e;
}

static int
compare(struct reconcile *r, const struct cli *c)
{
    size_t compared;
    struct json *list =
        bill_compare(&r->reported, &r->ours, r->from_day, r->to_day, r->tolerance_nanos, &compared);
    if (!list)
        return cli_fail("a sum is out of range, or there is no memory");
    size_t n = json_size(list);
    int e = CLI_OK;
    if (c->json)
        e = print_json(r, list, compared);
    else if (n)
        table_print(stdout, columns, sizeof(columns) / sizeof(columns[0]), list, 0);
    else
        printf("%zu days and models of %s agree\n", compared, r->provider);
    if (e == CLI_OK && n)
        e = cli_fail("%zu difference%s between %s's report and the ledger", n, n == 1 ? "" : "s",
                     r->provider);
    json_free(list);
    return e;
}

static int
reconcile(struct reconcile *r, const struct cli *c)
{
    int e = CLI_OK;
    if (!r->provider || !r->file || !r->format) {
        cli_fail("--provider, --file and --format are needed");
        return CLI_USAGE;
    }
    if (r->tolerance && (money_parse_usd(slice_of(r->tolerance), &r->tolerance_nanos) != 0 ||
                         r->tolerance_nanos < 0)) {
        cli_fail("--tolerance-usd: must be an amount such as 0.01");
        return CLI_USAGE;
    }
    if ((e = read_report(r)) == CLI_OK && (e = choose_days(r)) == CLI_OK &&
        (e = get_ours(r, c)) == CLI_OK)
        e = compare(r, c);
    return e;
}

int
ledger_reconcile_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct reconcile r = {0};
    const struct option_row rows[] = {
        {.name = "provider", .into = &r.provider, .value = "NAME", .help = "whose report it is"},
        {.name = "file", .into = &r.file, .value = "FILE", .help = "the report"},
        {.name = "format",
         .into = &r.format,
         .value = "openai|anthropic|csv",
         .help = "how it is written: their usage or cost API, or CSV"},
        {.name = "from",
         .into = &r.from,
         .value = "DATE",
         .help = "the first day (UTC); else the report's"},
        {.name = "to", .into = &r.to, .value = "DATE", .help = "the day after the last"},
        {.name = "tolerance-usd",
         .into = &r.tolerance,
         .value = "USD",
         .help = "amounts that differ by no more agree; 0"},
    };
    int e = cli_begin(&c, command, rows, sizeof(rows) / sizeof(rows[0]), 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    bill_init(&r.reported);
    bill_init(&r.ours);
    e = reconcile(&r, &c);
    bill_free(&r.reported);
    bill_free(&r.ours);
    return e;
}
