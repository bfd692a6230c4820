/* Usage and the ledger, to be read. Amounts are decimal dollars in strings; "" is no project, no
 * user. */
#include <string.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/ledger/query.h"
#include "controlplane/rules/fields.h"
#include "lib/base/money.h"
#include "lib/base/rand.h"

/* --- what is asked --------------------------------------------------------------------------- */

/* What the caller may see of the books. */
static int
read_places(struct api_request *r, struct api_reply *reply, struct usage_filter *ret)
{
    struct item_filter places;
    int err = authority_filter(r, reply, r->route->permission, &places);

    if (err)
        return err;
    ret->teams = places.teams;
    ret->projects = places.projects;
    return 0;
}

/* "feature=search, env=prod": as the JSON object that has them. */
static int
read_tags(struct api_request *r, struct api_reply *reply, struct usage_filter *ret)
{
    struct slice rest = api_query(r, "tag");
    struct json *map = rest.at ? json_new_map() : NULL;
    struct buf text;
    int err = rest.at && !map ? ERR_NOMEM : 0;

    if (!rest.at)
        return 0;
    buf_init(&text, 0);
    while (!err && rest.at) {
        struct slice value = slice_cut(&rest, ','), name = slice_trim(slice_cut(&value, '='));
        const char *member = arena_strdup(&r->arena, name);
        err = !name.len || !value.at ? ERR_SYNTAX
              : !member              ? ERR_NOMEM
                                     : json_set_text(map, member, slice_trim(value));
    }
    if (!err && !(err = json_write(map, false, 0, &text)) &&
        !(ret->tags = arena_strdup(&r->arena, buf_slice(&text))))
        err = ERR_NOMEM;
    buf_free(&text);
    json_free(map);
    if (err == ERR_SYNTAX)
        return api_problem(reply, 400, "invalid_parameter", "tag: must be NAME=VALUE,...");
    return err ? api_fail(r, reply, err) : 0;
}

/* Where hours, days and months begin. */
static int
read_zone(struct api_request *r, struct api_reply *reply, struct usage_filter *ret)
{
    struct slice zone = api_query(r, "time_zone");
    const char *why;
    int err;

    if (!zone.at || slice_is(zone, "UTC"))
        return 0;
    ret->zone = zone.at;
    err = field_is_zone(zone, &why) ? query_zone(r->db, zone.at, &ret->zone_is_odd) : ERR_NOT_FOUND;
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 400, "invalid_parameter",
                           "time_zone: must be the name of a time zone, like UTC or Europe/Berlin");
    return err ? api_fail(r, reply, err) : 0;
}

/* 0, or a problem. */
static int
read_filter(struct api_request *r, struct api_reply *reply, struct usage_filter *ret)
{
    int err;

    *ret = (struct usage_filter){
        .team = api_query(r, "team").at,
        .project = api_query(r, "project").at,
        .user = api_query(r, "user").at,
        .key = api_query(r, "key").at,
        .model = api_query(r, "model").at,
        .provider = api_query(r, "provider").at,
        .provider_model = api_query(r, "provider_model").at,
        .endpoint = api_query(r, "endpoint").at,
        .end_user = api_query(r, "end_user").at,
    };
    if ((err = read_places(r, reply, ret)) || (err = read_tags(r, reply, ret)) ||
        (err = api_query_time(r, reply, "from", &ret->from_ms)) ||
        (err = api_query_time(r, reply, "to", &ret->to_ms)))
        return err;
    if (ret->from_ms && ret->to_ms && ret->from_ms >= ret->to_ms)
        return api_problem(reply, 400, "invalid_range", "to: must be later than from");
    return 0;
}

static int
read_groups(struct api_request *r, struct api_reply *reply,
            struct usage_group groups[static LIMIT_GROUPS], size_t *ret_count)
{
    struct slice rest = api_query(r, "group_by");

    *ret_count = 0;
    while (rest.at && rest.len) {
        struct slice part = slice_trim(slice_cut(&rest, ','));
        const char *name = arena_strdup(&r->arena, part);
        if (!name)
            return api_fail(r, reply, ERR_NOMEM);
        if (*ret_count == LIMIT_GROUPS)
            return api_problem(reply, 400, "too_many_groups", "group_by: at most %d names",
                               LIMIT_GROUPS);
        if (query_group(name, &groups[(*ret_count)++]))
            return api_problem(reply, 400, "unknown_group", "group_by: no '%s'; there are %s", name,
                               query_group_names());
    }
    return 0;
}

/* --- what is answered ------------------------------------------------------------------------ */

static int
set_usd(struct json *map, const char *name, int64_t amount)
{
    char text[MONEY_TEXT_BYTES];

    money_format_usd(amount, text);
    return json_set_str(map, name, text);
}

static const char *const sum_names[SUM_COUNT] = {
    [SUM_REQUESTS] = "requests",
    [SUM_ERRORS] = "errors",
    [SUM_INPUT] = "input_tokens",
    [SUM_CACHED_INPUT] = "cached_input_tokens",
    [SUM_CACHE_WRITE] = "cache_write_tokens",
    [SUM_OUTPUT] = "output_tokens",
    [SUM_REASONING] = "reasoning_tokens",
    [SUM_AUDIO_INPUT] = "audio_input_tokens",
    [SUM_AUDIO_OUTPUT] = "audio_output_tokens",
    [SUM_IMAGE_INPUT] = "image_input_tokens",
    [SUM_IMAGE_OUTPUT] = "image_output_tokens",
    [SUM_WEB_SEARCHES] = "web_searches",
    [SUM_SEARCH_UNITS] = "search_units",
    [SUM_IMAGES] = "images",
    [SUM_AUDIO_MS] = "audio_ms",
    [SUM_CHARACTERS] = "characters",
    [SUM_COST] = "cost_usd",
    [SUM_BILLED] = "billed_usd",
};

static struct json *
sums_row(const struct db_rows *rows, size_t row, const struct usage_group *groups, size_t count)
{
    struct json *map = json_new_map();
    int err = map ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < count; i++)
        err = json_set_str(map, groups[i].name, db_text(rows, row, i));
    for (size_t i = 0; !err && i < SUM_COST; i++)
        err = json_set_int(map, sum_names[i], db_int(rows, row, count + i));
    for (size_t i = SUM_COST; !err && i < SUM_COUNT; i++)
        err = set_usd(map, sum_names[i], db_int(rows, row, count + i));
    if (!err)
        return map;
    json_free(map);
    return NULL;
}

static int
sums_json(struct api_request *r, struct api_reply *reply, const struct db_rows *rows,
          const struct usage_group *groups, size_t count)
{
    struct json *data = json_new_list();
    int err = data ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < db_count(rows); i++)
        err = json_append(data, sums_row(rows, i, groups, count));
    reply->body = json_new_map();
    if (err || !reply->body) {
        json_free(data);
        return api_fail(r, reply, ERR_NOMEM);
    }
    return json_set(reply->body, "data", data) ? api_fail(r, reply, ERR_NOMEM) : 0;
}

/* RFC 4180. Clients chose some of the texts: none of them may become a formula of a spreadsheet. */
static int
add_cell(struct buf *into, const char *text)
{
    bool formula = text[0] && strchr("=+-@\t\r", text[0]);
    bool quoted = formula || strpbrk(text, ",\"\r\n") != NULL;
    int err = quoted ? buf_add_str(into, formula ? "\"'" : "\"") : 0;

    for (; !err && *text; text++)
        err = buf_add(into, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    return err || !quoted ? err : buf_add_str(into, "\"");
}

static int
add_line(struct buf *into, const struct db_rows *rows, size_t row, size_t count)
{
    char usd[MONEY_TEXT_BYTES];
    int err = 0;

    for (size_t i = 0; !err && i < count + SUM_COUNT; i++) {
        const char *text = db_text(rows, row, i);
        if (i)
            err = buf_add_str(into, ",");
        if (i >= count + SUM_COST) {
            money_format_usd(db_int(rows, row, i), usd);
            text = usd;
        }
        if (!err)
            err = i < count ? add_cell(into, text) : buf_add_str(into, text);
    }
    return err ? err : buf_add_str(into, "\n");
}

static int
sums_csv(struct api_request *r, struct api_reply *reply, const struct db_rows *rows,
         const struct usage_group *groups, size_t count)
{
    struct buf *text = &reply->text;
    int err = 0;

    reply->text_type = "text/csv; charset=utf-8; header=present";
    for (size_t i = 0; !err && i < count; i++)
        if (!(err = add_cell(text, groups[i].name)))
            err = buf_add_str(text, ",");
    for (size_t i = 0; !err && i < SUM_COUNT; i++)
        err = buf_addf(text, i ? ",%s" : "%s", sum_names[i]);
    if (!err)
        err = buf_add_str(text, "\n");
    for (size_t i = 0; !err && i < db_count(rows); i++)
        err = add_line(text, rows, i, count);
    return err ? api_fail(r, reply, err) : 0;
}

/* format= says it, else Accept. */
static int
read_format(struct api_request *r, struct api_reply *reply, bool *ret_csv)
{
    struct slice format = api_query(r, "format"), type = r->accept;

    *ret_csv = slice_is(format, "csv");
    if (format.at && !*ret_csv && !slice_is(format, "json"))
        return api_problem(reply, 400, "invalid_parameter", "format: must be json or csv");
    if (!format.at && type.at) {
        type = slice_trim(slice_cut(&type, ';'));
        *ret_csv = slice_eq_nocase(type, SLICE("text/csv"));
    }
    return 0;
}

int
usage_summary(struct api_request *r, struct api_reply *reply)
{
    struct usage_group groups[LIMIT_GROUPS];
    struct usage_filter filter;
    struct db_rows *rows = NULL;
    size_t count;
    bool csv;
    int err;

    if ((err = read_filter(r, reply, &filter)) || (err = read_zone(r, reply, &filter)) ||
        (err = read_format(r, reply, &csv)) || (err = read_groups(r, reply, groups, &count)))
        return err;
    if ((err = query_sums(r->db, &filter, groups, count, &rows)))
        return api_fail(r, reply, err);
    if (db_count(rows) > LIMIT_SUM_ROWS) {
        db_rows_free(rows);
        return api_problem(reply, 400, "too_many_rows",
                           "more than %d rows: narrow from and to, or group by less",
                           LIMIT_SUM_ROWS);
    }
    err = (csv ? sums_csv : sums_json)(r, reply, rows, groups, count);
    db_rows_free(rows);
    return err;
}

/* How each column of query_events() is shown. */
enum shape { TEXT, NUMBER, FLAG, USD, DOCUMENT };
static const struct {
    const char *name;
    enum shape shape;
} event_members[] = {
    [EVENT_ATTEMPT_ID] = {"attempt_id", TEXT},
    [EVENT_REQUEST_ID] = {"request_id", TEXT},
    [EVENT_TIME] = {"time", TEXT},
    [EVENT_ATTEMPT_NO] = {"attempt_no", NUMBER},
    [EVENT_TEAM] = {"team", TEXT},
    [EVENT_PROJECT] = {"project", TEXT},
    [EVENT_USER] = {"user", TEXT},
    [EVENT_KEY] = {"key", TEXT},
    [EVENT_END_USER] = {"end_user", TEXT},
    [EVENT_MODEL] = {"model", TEXT},
    [EVENT_PROVIDER] = {"provider", TEXT},
    [EVENT_PROVIDER_MODEL] = {"provider_model", TEXT},
    [EVENT_ENDPOINT] = {"endpoint", TEXT},
    [EVENT_STREAM] = {"stream", FLAG},
    [EVENT_STATUS] = {"status", NUMBER},
    [EVENT_UPSTREAM_STATUS] = {"upstream_status", NUMBER},
    [EVENT_OUTCOME] = {"outcome", TEXT},
    [EVENT_ERROR_CODE] = {"error_code", TEXT},
    [EVENT_INPUT] = {"input_tokens", NUMBER},
    [EVENT_CACHED_INPUT] = {"cached_input_tokens", NUMBER},
    [EVENT_CACHE_WRITE] = {"cache_write_tokens", NUMBER},
    [EVENT_OUTPUT] = {"output_tokens", NUMBER},
    [EVENT_REASONING] = {"reasoning_tokens", NUMBER},
    [EVENT_AUDIO_INPUT] = {"audio_input_tokens", NUMBER},
    [EVENT_AUDIO_OUTPUT] = {"audio_output_tokens", NUMBER},
    [EVENT_IMAGE_INPUT] = {"image_input_tokens", NUMBER},
    [EVENT_IMAGE_OUTPUT] = {"image_output_tokens", NUMBER},
    [EVENT_WEB_SEARCHES] = {"web_searches", NUMBER},
    [EVENT_SEARCH_UNITS] = {"search_units", NUMBER},
    [EVENT_IMAGES] = {"images", NUMBER},
    [EVENT_AUDIO_MS] = {"audio_ms", NUMBER},
    [EVENT_CHARACTERS] = {"characters", NUMBER},
    [EVENT_COST] = {"cost_usd", USD},
    [EVENT_PRICE_VERSION] = {"price_version", TEXT},
    [EVENT_SERVICE_TIER] = {"service_tier", TEXT},
    [EVENT_ESTIMATED] = {"estimated", FLAG},
    [EVENT_INCOMPLETE] = {"incomplete", FLAG},
    [EVENT_LATENCY] = {"latency_ms", NUMBER},
    [EVENT_TTFT] = {"ttft_ms", NUMBER},
    [EVENT_TAGS] = {"tags", DOCUMENT},
    [EVENT_CACHED] = {"cached", FLAG},
};
#define EVENT_MEMBERS (sizeof(event_members) / sizeof(*event_members))

static int
set_document(struct json *map, const char *name, struct slice text)
{
    struct json *value = NULL;
    int err = json_parse(text, &value, NULL, 0);

    return err ? err : json_set(map, name, value);
}

static int
set_member(struct json *map, const struct db_rows *rows, size_t row, size_t column)
{
    const char *name = event_members[column].name, *text = db_text(rows, row, column);

    switch (event_members[column].shape) {
    case TEXT:
        return json_set_str(map, name, text);
    case NUMBER:
        return json_set_int(map, name, db_int(rows, row, column));
    case FLAG:
        return json_set_bool(map, name, db_bool(rows, row, column));
    case USD:
        return set_usd(map, name, db_int(rows, row, column));
    case DOCUMENT:
        return set_document(map, name, db_slice(rows, row, column));
    }
    return ERR_BAD_STATE;
}

static struct json *
event_row(const struct db_rows *rows, size_t row)
{
    struct json *map = json_new_map();
    int err = map ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < EVENT_MEMBERS; i++)
        err = set_member(map, rows, row, i);
    if (!err)
        return map;
    json_free(map);
    return NULL;
}

/* The page's rows, one of which too many tells that another page follows. Frees the rows. */
static int
reply_page(struct api_request *r, struct api_reply *reply, struct db_rows *rows, int64_t limit,
           struct json *(*row_of)(const struct db_rows *, size_t))
{
    bool more = db_count(rows) > (size_t)limit;
    size_t n = more ? (size_t)limit : db_count(rows);
    struct json *data = json_new_list();
    int err = data ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < n; i++)
        err = json_append(data, row_of(rows, i));
    if (err) {
        json_free(data);
        err = api_fail(r, reply, err);
    } else {
        err = api_page_reply(r, reply, data, more ? db_text(rows, n - 1, 0) : NULL);
    }
    db_rows_free(rows);
    return err;
}

int
usage_events(struct api_request *r, struct api_reply *reply)
{
    struct usage_filter filter;
    struct db_rows *rows = NULL;
    unsigned char id[16];
    const char *after;
    int64_t limit;
    int err;

    if ((err = api_page(r, reply, &limit, &after)) || (err = read_filter(r, reply, &filter)))
        return err;
    if (after[0] && uuid_parse(after, strlen(after), id))
        return api_problem(reply, 400, "invalid_cursor", "cursor: not one that this list gave");
    filter.request_id = api_query(r, "request_id").at;
    if ((err = query_events(r->db, &filter, after, limit + 1, &rows)))
        return api_fail(r, reply, err);
    return reply_page(r, reply, rows, limit, event_row);
}

static struct json *
account_row(const struct db_rows *rows, size_t row)
{
    static const char *const names[] = {"account", "kind", "team", "project", "user", "provider"};
    int64_t debit = db_int(rows, row, 6), credit = db_int(rows, row, 7);
    struct json *map = json_new_map();
    int err = map ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < sizeof(names) / sizeof(*names); i++)
        err = json_set_str(map, names[i], db_text(rows, row, i));
    if (!err && !(err = set_usd(map, "debit_usd", debit)) &&
        !(err = set_usd(map, "credit_usd", credit)))
        err = set_usd(map, "balance_usd", debit - credit);
    if (!err)
        return map;
    json_free(map);
    return NULL;
}

int
ledger_accounts(struct api_request *r, struct api_reply *reply)
{
    struct usage_filter filter = {0};
    struct db_rows *rows = NULL;
    const char *after;
    int64_t limit;
    int err = api_page(r, reply, &limit, &after);

    if (err)
        return err;
    if ((err = read_places(r, reply, &filter)))
        return err;
    if ((err = query_accounts(r->db, &filter, after, limit + 1, &rows)))
        return api_fail(r, reply, err);
    return reply_page(r, reply, rows, limit, account_row);
}
