/* headgate usage, events, ledger: what was used, and what it cost. */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"
#include "lib/base/buf.h"
#include "lib/base/money.h"

#define MAX_GROUPS 8

/* --- sums ----------------------------------------------------------------------------------------
 */

static const struct table_column sums[] = {
    {"REQUESTS", "requests", true, 1},          {"ERRORS", "errors", true, 4},
    {"INPUT", "input_tokens", true, 3},         {"CACHED", "cached_input_tokens", true, 5},
    {"WRITTEN", "cache_write_tokens", true, 7}, {"OUTPUT", "output_tokens", true, 2},
    {"REASONING", "reasoning_tokens", true, 6}, {"COST USD", "cost_usd", true, 0},
    {"BILLED USD", "billed_usd", true, 6},
};
#define MONEY_SUMS 2 /* the last of them */
#define SUMS (sizeof(sums) / sizeof(sums[0]))

/* Shown where somebody used them. */
static const struct table_column rare_sums[] = {
    {"AUDIO IN", "audio_input_tokens", true, 8},
    {"AUDIO OUT", "audio_output_tokens", true, 9},
    {"IMAGE IN", "image_input_tokens", true, 10},
    {"IMAGE OUT", "image_output_tokens", true, 11},
    {"SEARCHES", "web_searches", true, 12},
    {"RERANKS", "search_units", true, 13},
    {"IMAGES", "images", true, 14},
    {"AUDIO MS", "audio_ms", true, 15},
    {"CHARACTERS", "characters", true, 16},
};
#define RARE_SUMS (sizeof(rare_sums) / sizeof(rare_sums[0]))

/* The titles and members of the groups lie in `names`. */
static size_t
group_columns(const char *group_by, char names[MAX_GROUPS][2][40], struct table_column *columns)
{
    size_t n = 0;
    struct slice rest = slice_of(group_by);
    while (rest.at && n < MAX_GROUPS) {
        struct slice group = slice_trim(slice_cut(&rest, ','));
        if (group.len == 0 || group.len >= sizeof(names[n][0]))
            continue;
        for (size_t i = 0; i <= group.len; i++) {
            char c = i < group.len ? group.at[i] : '\0';
            names[n][0][i] = c;
            names[n][1][i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        }
        columns[n] = (struct table_column){names[n][1], names[n][0], false, 0};
        n++;
    }
    return n;
}

static bool
is_used(const struct json *rows, const char *member)
{
    int64_t v;
    for (size_t i = 0; i < json_size(rows); i++)
        if (json_to_int(json_get(json_at(rows, i), member), &v) == 0 && v != 0)
            return true;
    return false;
}

/* The columns of the sums, the rare ones that were used before the cost: how many. */
static size_t
sum_columns(const struct json *rows, struct table_column *columns)
{
    size_t n = SUMS - MONEY_SUMS;
    memcpy(columns, sums, n * sizeof(sums[0]));
    for (size_t i = 0; i < RARE_SUMS; i++)
        if (is_used(rows, rare_sums[i].member))
            columns[n++] = rare_sums[i];
    memcpy(columns + n, &sums[SUMS - MONEY_SUMS], MONEY_SUMS * sizeof(sums[0]));
    return n + MONEY_SUMS;
}

static int
add_money_total(struct json *total, const struct json *rows, const char *member)
{
    char text[MONEY_TEXT_BYTES];
    nanos sum = 0;
    int e = 0;
    for (size_t i = 0; i < json_size(rows) && e == 0; i++) {
        nanos v = 0;
        e = money_parse_usd(json_str(json_get(json_at(rows, i), member)), &v);
        if (e == 0)
            e = money_add(sum, v, &sum);
    }
    money_format_usd(sum, text);
    return e ? e : json_set_str(total, member, text);
}

/* Adds the last row: TOTAL, exact. */
static int
add_total(struct json *rows, const char *first_group, const struct table_column *columns,
          size_t count)
{
    struct json *total = json_new_map();
    int e = total ? 0 : ERR_NOMEM;
    for (size_t c = 0; c + MONEY_SUMS < count && e == 0; c++) {
        int64_t sum = 0, v;
        for (size_t i = 0; i < json_size(rows); i++)
            if (json_to_int(json_get(json_at(rows, i), columns[c].member), &v) == 0)
                sum += v;
        e = json_set_int(total, columns[c].member, sum);
    }
    for (size_t c = count - MONEY_SUMS; c < count && e == 0; c++)
        e = add_money_total(total, rows, columns[c].member);
    if (e == 0)
        e = json_set_str(total, first_group, "TOTAL");
    if (e == 0)
        e = json_append(rows, json_ref(total));
    json_free(total);
    return e;
}

static int
print_sums(struct json *report, const char *group_by)
{
    char names[MAX_GROUPS][2][40];
    struct table_column columns[MAX_GROUPS + SUMS + RARE_SUMS];
    struct json *rows = json_get(report, "data");
    size_t n = group_columns(group_by, names, columns), count = sum_columns(rows, columns + n);
    if (n > 0 && json_size(rows) > 1 && add_total(rows, columns[0].member, columns + n, count) != 0)
        return cli_fail("the sums are out of range");
    table_print(stdout, columns, n + count, rows, 0);
    return CLI_OK;
}

int
usage_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *report = NULL;
    struct buf path;
    struct client_filter f[] = {{"group_by", "team,model"},
                                {"from", NULL},
                                {"to", NULL},
                                {"team", NULL},
                                {"project", NULL},
                                {"user", NULL},
                                {"key", NULL},
                                {"model", NULL},
                                {"provider", NULL},
                                {"provider_model", NULL},
                                {"endpoint", NULL},
                                {"end_user", NULL},
                                {"tag", NULL},
                                {"time_zone", NULL},
                                {"format", NULL}};
    const char *by = NULL;
    bool csv = false;
    struct buf groups, text;
    const struct option_row rows[] = {
        {.name = "group-by",
         .into = &f[0].value,
         .value = "A,B",
         .help = "team, project, user, key, model, provider, provider_model, endpoint, end_user, "
                 "tag:NAME, hour, day, month"},
        {.name = "by", .into = &by, .value = "hour|day|month", .help = "and over time"},
        {.name = "from",
         .into = &f[1].value,
         .value = "TIME",
         .help = "a date or RFC 3339; inclusive"},
        {.name = "to", .into = &f[2].value, .value = "TIME", .help = "exclusive"},
        {.name = "team", .into = &f[3].value, .value = "NAME", .help = "only this team"},
        {.name = "project", .into = &f[4].value, .value = "NAME", .help = "only this project"},
        {.name = "user", .into = &f[5].value, .value = "NAME", .help = "only this user"},
        {.name = "key", .into = &f[6].value, .value = "NAME", .help = "only this key"},
        {.name = "model", .into = &f[7].value, .value = "NAME", .help = "only this model"},
        {.name = "provider", .into = &f[8].value, .value = "NAME", .help = "only this provider"},
        {.name = "provider-model", .into = &f[9].value, .value = "NAME", .help = "only this one"},
        {.name = "endpoint", .into = &f[10].value, .value = "NAME", .help = "only this endpoint"},
        {.name = "end-user", .into = &f[11].value, .value = "NAME", .help = "only this end user"},
        {.name = "tag", .into = &f[12].value, .value = "K=V,...", .help = "only with these tags"},
        {.name = "time-zone",
         .into = &f[13].value,
         .value = "ZONE",
         .help = "where hours, days and months begin; UTC"},
        {.name = "csv", .kind = OPTION_FLAG, .into = &csv, .help = "print CSV"},
    };
    int e = cli_begin(&c, command, rows, sizeof(rows) / sizeof(rows[0]), 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (by && strcmp(by, "hour") != 0 && strcmp(by, "day") != 0 && strcmp(by, "month") != 0) {
        cli_fail("--by: must be hour, day or month");
        return CLI_USAGE;
    }
    buf_init(&path, 4096);
    buf_init(&groups, 1024);
    buf_init(&text, 0);
    bool fits = buf_addf(&groups, by ? "%s,%s" : "%s", f[0].value, by) == 0;
    f[0].value = fits ? buf_str(&groups) : NULL;
    f[14].value = csv ? "csv" : NULL;
    fits = fits && f[0].value &&
           client_query(&path, "/api/v1/usage", f, sizeof(f) / sizeof(f[0])) == 0;
    struct client_call call = {
        .method = "GET", .path = fits ? buf_str(&path) : "", .text = csv ? &text : NULL};
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = fits ? client_do(&client, &call, &report) : cli_fail("the filters are too long");
    if (e == CLI_OK && csv)
        fwrite(text.at, 1, text.len, stdout);
    else if (e == CLI_OK)
        e = c.json ? cli_print_json(report) : print_sums(report, f[0].value);
    json_free(report);
    buf_free(&path);
    buf_free(&groups);
    buf_free(&text);
    client_close(&client);
    return e;
}

/* --- lists ---------------------------------------------------------------------------------------
 */

static const struct table_column event_columns[] = {
    {"TIME", "time", false, 2},           {"KEY", "key", false, 4},
    {"MODEL", "model", false, 0},         {"PROVIDER", "provider", false, 5},
    {"STATUS", "status", true, 0},        {"INPUT", "input_tokens", true, 3},
    {"OUTPUT", "output_tokens", true, 2}, {"COST USD", "cost_usd", true, 0},
    {"MS", "latency_ms", true, 3},        {"REQUEST", "request_id", false, 6},
};
static const struct table_column account_columns[] = {
    {"ACCOUNT", "account", false, 0},
    {"KIND", "kind", false, 1},
    {"BALANCE USD", "balance_usd", true, 0},
};

static const struct listing events = {
    .path = "/api/v1/usage/events",
    .columns = event_columns,
    .count = sizeof(event_columns) / sizeof(event_columns[0]),
};
const struct listing listing_accounts = {
    .path = "/api/v1/ledger/accounts",
    .columns = account_columns,
    .count = sizeof(account_columns) / sizeof(account_columns[0]),
};

int
events_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    long limit = 20;
    struct client_filter f[] = {{"request_id", NULL}, {"key", NULL},  {"team", NULL},
                                {"model", NULL},      {"from", NULL}, {"to", NULL}};
    const struct option_row rows[] = {
        {.name = "request", .into = &f[0].value, .value = "ID", .help = "only this x-request-id"},
        {.name = "key", .into = &f[1].value, .value = "NAME", .help = "only this key"},
        {.name = "team", .into = &f[2].value, .value = "NAME", .help = "only this team"},
        {.name = "model", .into = &f[3].value, .value = "NAME", .help = "only this model"},
        {.name = "from",
         .into = &f[4].value,
         .value = "TIME",
         .help = "a date or RFC 3339; inclusive"},
        {.name = "to", .into = &f[5].value, .value = "TIME", .help = "exclusive"},
        {.name = "limit",
         .kind = OPTION_NUMBER,
         .into = &limit,
         .value = "N",
         .min = 0,
         .help = "newest ones only; 0: all"},
    };
    int e = cli_begin(&c, command, rows, sizeof(rows) / sizeof(rows[0]), 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    return show_filtered(&c, &events, f, sizeof(f) / sizeof(f[0]), limit);
}
