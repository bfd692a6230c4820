/* /spend/logs and /global/spend: from the same attempts and sums as /api/v1/usage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api/authority.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/litellm_shim.h"
#include "controlplane/ledger/query.h"
#include "controlplane/plane.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/rand.h"

#define MS_PER_DAY INT64_C(86400000)
#define LIMIT_DAYS 3660 /* of one summary */
#define GONE "deleted:" /* before the name of a key that is not there any more */

/* ---- keys: usage carries their names, LiteLLM shows their ids -------------------------------- */

/* By its text, its token or its alias; a name that is nobody's matches nothing. 0 or a problem. */
static int
read_key(struct api_request *r, struct api_reply *reply, const char **ret_name)
{
    unsigned char digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    struct slice given = api_query(r, "api_key");
    struct item key = {0};
    int err = 0;
    if (!given.len)
        return 0;
    if (slice_starts(given, SLICE(GONE))) {
        *ret_name = given.at + strlen(GONE);
        return 0;
    }
    if (slice_starts(given, SLICE("sk-"))) {
        err = secrets_key_digest(r->plane->secrets, given, digest);
        hex_encode(digest, sizeof(digest), hex);
        err = err ? err : items_find_key(r->db, hex, &key);
    } else {
        err = items_find(r->db, kind_at(KIND_KEYS), given, &key);
    }
    *ret_name = err ? "" : arena_strdup(&r->arena, slice_of(key.name));
    item_free(&key);
    if (err && err != ERR_NOT_FOUND)
        return api_fail(r, reply, err);
    return *ret_name ? 0 : api_fail(r, reply, ERR_NOMEM);
}

/* The keys that these rows name, as far as they are there. */
static int
load_keys(struct api_request *r, const struct db_rows *rows, size_t column, struct items *ret)
{
    struct json *names = json_new_list();
    int err = names ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        if (i == 0 || !slice_eq(db_slice(rows, i, column), db_slice(rows, i - 1, column)))
            err = json_append(names, json_new_text(db_slice(rows, i, column)));
    if (!err)
        err = items_load(r->db, kind_at(KIND_KEYS), names, ret);
    json_free(names);
    return err;
}

static const char *
token_of(const struct items *keys, struct slice name, char room[static LIMIT_NAME_BYTES + 16])
{
    const struct item *key = items_get(keys, name);
    if (key)
        return key->id;
    (void)snprintf(room, LIMIT_NAME_BYTES + 16, GONE "%.*s",
                   (int)(name.len < LIMIT_NAME_BYTES ? name.len : LIMIT_NAME_BYTES), name.at);
    return room;
}

/* ---- what is asked --------------------------------------------------------------------------- */

static int
read_date(struct api_request *r, struct api_reply *reply, const char *name, int64_t *ret_ms)
{
    const char *text = shim_query(r, name);
    *ret_ms = 0;
    if (!text || (strlen(text) == 10 && clock_parse_rfc3339(text, ret_ms) == 0))
        return 0;
    return api_problem(reply, 400, "invalid_parameter", "%s: must be a date such as 2026-11-26",
                       name);
}

/* As LiteLLM reads them: from the beginning of one day to the beginning of the other. */
static int
read_range(struct api_request *r, struct api_reply *reply, struct usage_filter *f)
{
    int err = read_date(r, reply, "start_date", &f->from_ms);
    if (!err)
        err = read_date(r, reply, "end_date", &f->to_ms);
    if (err)
        return err;
    if (!f->from_ms != !f->to_ms)
        return api_problem(reply, 400, "invalid_range", "start_date: give end_date too, or none");
    if (f->from_ms && f->from_ms > f->to_ms)
        return api_problem(reply, 400, "invalid_range", "end_date: is before start_date");
    return 0;
}

static int
read_filter(struct api_request *r, struct api_reply *reply, struct usage_filter *f)
{
    struct item_filter places;
    *f = (struct usage_filter){.user = shim_query(r, "user_id"),
                               .request_id = shim_query(r, "request_id")};
    int err = authority_filter(r, reply, r->route->permission, &places);
    if (!err) {
        f->teams = places.teams;
        f->projects = places.projects;
        err = read_range(r, reply, f);
    }
    return err ? err : read_key(r, reply, &f->key);
}

/* ---- single attempts ------------------------------------------------------------------------- */

static int
set_time(struct json *out, const char *name, struct slice start, int64_t plus_ms)
{
    char text[32];
    int64_t at;
    if (!start.at || clock_parse_rfc3339(start.at, &at) != 0)
        return json_set(out, name, json_new_null());
    clock_rfc3339(at + plus_ms, text);
    return json_set_str(out, name, text);
}

static int
add_times(struct json *out, const struct db_rows *rows, size_t i)
{
    struct slice start = db_slice(rows, i, EVENT_TIME);
    int err = json_set_text(out, "startTime", start);
    if (!err)
        err = set_time(out, "endTime", start, db_int(rows, i, EVENT_LATENCY));
    return err ? err
               : set_time(out, "completionStartTime",
                          db_is_null(rows, i, EVENT_TTFT) ? (struct slice){NULL, 0} : start,
                          db_int(rows, i, EVENT_TTFT));
}

static int
add_amounts(struct json *out, const struct db_rows *rows, size_t i)
{
    int64_t input = db_int(rows, i, EVENT_INPUT), output = db_int(rows, i, EVENT_OUTPUT);
    int err = json_set(out, "spend", shim_usd(db_int(rows, i, EVENT_COST)));
    if (!err)
        err = json_set_int(out, "prompt_tokens", input);
    if (!err)
        err = json_set_int(out, "completion_tokens", output);
    return err ? err : json_set_int(out, "total_tokens", input + output);
}

static int
add_tags(struct json *out, const struct db_rows *rows, size_t i)
{
    struct json *tags = NULL, *list = json_new_list();
    void *iter = NULL;
    const char *name;
    struct json *value;
    int err = list ? json_parse(db_slice(rows, i, EVENT_TAGS), &tags, NULL, 0) : ERR_NOMEM;
    struct buf text;
    buf_init(&text, 0);
    while (!err && json_each(tags, &iter, &name, &value)) {
        buf_clear(&text);
        err = buf_addf(&text, "%s:%.*s", name, SLICE_ARG(json_str(value)));
        if (!err)
            err = json_append(list, json_new_text(buf_slice(&text)));
    }
    buf_free(&text);
    json_free(tags);
    if (!err)
        return json_set(out, "request_tags", list);
    json_free(list);
    return err;
}

static int
add_metadata(struct json *out, const struct db_rows *rows, size_t i)
{
    static const struct {
        const char *name;
        enum usage_column column;
    } members[] = {{"user_api_key_alias", EVENT_KEY},    {"user_api_key_team_id", EVENT_TEAM},
                   {"user_api_key_user_id", EVENT_USER}, {"project_id", EVENT_PROJECT},
                   {"attempt_id", EVENT_ATTEMPT_ID},     {"error_code", EVENT_ERROR_CODE}};
    struct json *map = json_new_map();
    int err = map ? 0 : ERR_NOMEM;
    for (size_t k = 0; k < sizeof(members) / sizeof(members[0]) && !err; k++)
        err = json_set_str(map, members[k].name, db_text(rows, i, members[k].column));
    if (!err)
        return json_set(out, "metadata", map);
    json_free(map);
    return err;
}

static struct json *
log_row(const struct db_rows *rows, size_t i, const struct items *keys)
{
    static const struct {
        const char *name;
        enum usage_column column;
    } texts[] = {{"request_id", EVENT_REQUEST_ID},
                 {"call_type", EVENT_ENDPOINT},
                 {"model", EVENT_PROVIDER_MODEL},
                 {"model_group", EVENT_MODEL},
                 {"custom_llm_provider", EVENT_PROVIDER},
                 {"user", EVENT_USER},
                 {"team_id", EVENT_TEAM},
                 {"end_user", EVENT_END_USER}};
    char room[LIMIT_NAME_BYTES + 16];
    struct json *out = json_new_map();
    int err = out ? 0 : ERR_NOMEM;
    for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]) && !err; k++)
        err = json_set_str(out, texts[k].name, db_text(rows, i, texts[k].column));
    if (!err)
        err = json_set_str(out, "api_key", token_of(keys, db_slice(rows, i, EVENT_KEY), room));
    if (!err)
        err = json_set_str(out, "status",
                           db_text(rows, i, EVENT_ERROR_CODE)[0] ? "failure" : "success");
    if (!err)
        err = json_set_str(out, "cache_hit", db_bool(rows, i, EVENT_CACHED) ? "True" : "False");
    if (!err)
        err = add_times(out, rows, i);
    if (!err)
        err = add_amounts(out, rows, i);
    if (!err)
        err = add_tags(out, rows, i);
    if (!err)
        err = add_metadata(out, rows, i);
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

/* One more than asked tells whether there is a next page; what begins it is in a field, since the
 * answer is a bare list. */
static int
logs(struct api_request *r, struct api_reply *reply, const struct usage_filter *f)
{
    struct db_rows *rows = NULL;
    struct items keys = {0};
    unsigned char id[16];
    unsigned long long limit = DEFAULT_PAGE_ITEMS;
    const char *after = shim_query(r, "after"), *text = shim_query(r, "limit");
    if (text &&
        (slice_to_u64(slice_of(text), &limit) != 0 || limit < 1 || limit > LIMIT_PAGE_ITEMS))
        return api_problem(reply, 400, "invalid_parameter", "limit: must be from 1 to %d",
                           LIMIT_PAGE_ITEMS);
    if (after && uuid_parse(after, strlen(after), id) != 0)
        return api_problem(reply, 400, "invalid_parameter",
                           "after: not one that x-headgate-next gave");
    int err = query_events(r->db, f, after, (int64_t)limit + 1, &rows);
    if (!err)
        err = load_keys(r, rows, EVENT_KEY, &keys);
    if (!err && !(reply->body = json_new_list()))
        err = ERR_NOMEM;
    size_t n = db_count(rows) > limit ? (size_t)limit : db_count(rows);
    for (size_t i = 0; i < n && !err; i++)
        err = json_append(reply->body, log_row(rows, i, &keys));
    if (!err && db_count(rows) > limit)
        (void)snprintf(reply->next, sizeof(reply->next), "%s",
                       db_text(rows, n - 1, EVENT_ATTEMPT_ID));
    items_free(&keys);
    db_rows_free(rows);
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- sums by day ----------------------------------------------------------------------------- */

enum { DAY, KEY, USER, MODEL, GROUPS };

/* Adds to a number of nanodollars. */
static int
add_to(struct json *map, const char *name, int64_t nanos)
{
    int64_t before = 0;
    const struct json *v = json_get(map, name);
    if (v && json_to_int(v, &before) != 0)
        return ERR_SYNTAX;
    return json_set_int(map, name, before + nanos);
}

static struct json *
new_day(struct slice date)
{
    struct json *day = json_new_map();
    if (day && json_set_text(day, "startTime", date) == 0 && json_set_int(day, "spend", 0) == 0 &&
        json_set(day, "users", json_new_map()) == 0 && json_set(day, "models", json_new_map()) == 0)
        return day;
    json_free(day);
    return NULL;
}

/* Nanodollars as dollars, in all places. */
static int
in_dollars(struct json *map)
{
    void *iter = NULL;
    const char *name;
    struct json *value, *names = json_copy(map); /* a map must not change while it is walked */
    int64_t nanos;
    int err = names ? 0 : ERR_NOMEM;
    while (!err && json_each(names, &iter, &name, &value)) {
        if (json_kind(value) == JSON_MAP)
            err = in_dollars(json_get(map, name));
        else if (json_to_int(value, &nanos) == 0)
            err = json_set(map, name, shim_usd(nanos));
    }
    json_free(names);
    return err;
}

static int
add_sum(struct json *days, const struct db_rows *rows, size_t i, const struct items *keys)
{
    char room[LIMIT_NAME_BYTES + 16];
    struct slice date = db_slice(rows, i, DAY);
    int64_t nanos = db_int(rows, i, GROUPS + SUM_COST);
    struct json *day = json_at(days, json_size(days) - 1);
    int err = 0;
    if (json_size(days) == 0 || !slice_eq(json_str(json_get(day, "startTime")), date)) {
        err = json_append(days, new_day(date));
        day = json_at(days, json_size(days) - 1);
    }
    if (!err)
        err = add_to(day, "spend", nanos);
    if (!err)
        err = add_to(day, token_of(keys, db_slice(rows, i, KEY), room), nanos);
    if (!err)
        err = add_to(json_get(day, "users"), db_text(rows, i, USER), nanos);
    return err ? err : add_to(json_get(day, "models"), db_text(rows, i, MODEL), nanos);
}

/* Days behind the last one with something, as LiteLLM adds them. */
static int
fill_days(struct json *days, int64_t to_ms)
{
    int64_t at;
    char date[32];
    size_t n = json_size(days);
    struct slice last = json_str(json_get(json_at(days, n - 1), "startTime"));
    int err = 0;
    if (n == 0 || clock_parse_rfc3339(last.at, &at) != 0)
        return 0;
    for (at += MS_PER_DAY; at <= to_ms && !err; at += MS_PER_DAY) {
        clock_rfc3339(at, date);
        err = json_append(days, new_day(slice_make(date, 10)));
    }
    return err;
}

static int
summarize(struct api_request *r, struct api_reply *reply, const struct usage_filter *f)
{
    struct usage_group groups[GROUPS];
    struct db_rows *rows = NULL;
    struct items keys = {0};
    if (f->request_id)
        return api_problem(reply, 400, "invalid_parameter",
                           "request_id: is of single requests: give summarize=false");
    if (f->to_ms - f->from_ms > LIMIT_DAYS * MS_PER_DAY)
        return api_problem(reply, 400, "invalid_range", "end_date: more than %d days", LIMIT_DAYS);
    int err = query_group("day", &groups[DAY]);
    if (!err)
        err = query_group("key", &groups[KEY]);
    if (!err)
        err = query_group("user", &groups[USER]);
    if (!err)
        err = query_group("provider_model", &groups[MODEL]);
    if (!err)
        err = query_sums(r->db, f, groups, GROUPS, &rows);
    if (!err && db_count(rows) > LIMIT_SUM_ROWS) {
        db_rows_free(rows);
        return api_problem(reply, 400, "too_many_rows", "more than %d sums: ask for fewer days",
                           LIMIT_SUM_ROWS);
    }
    if (!err)
        err = load_keys(r, rows, KEY, &keys);
    if (!err && !(reply->body = json_new_list()))
        err = ERR_NOMEM;
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = add_sum(reply->body, rows, i, &keys);
    if (!err)
        err = fill_days(reply->body, f->to_ms);
    for (size_t i = 0; i < json_size(reply->body) && !err; i++)
        err = in_dollars(json_at(reply->body, i));
    items_free(&keys);
    db_rows_free(rows);
    return err ? api_fail(r, reply, err) : 0;
}

/* With both dates and without summarize=false it is a summary: LiteLLM's own rule. */
int
litellm_spend_logs(struct api_request *r, struct api_reply *reply)
{
    struct usage_filter filter;
    bool summary = true;
    int err = read_filter(r, reply, &filter);
    if (!err)
        err = shim_flag(r, reply, "summarize", &summary);
    if (err)
        return err;
    return (filter.from_ms && summary ? summarize : logs)(r, reply, &filter);
}

int
litellm_global_spend(struct api_request *r, struct api_reply *reply)
{
    struct item_filter places;
    struct db_rows *rows = NULL;
    int err = authority_filter(r, reply, r->route->permission, &places);
    if (err)
        return err;
    const struct usage_filter all = {.teams = places.teams, .projects = places.projects};
    err = query_sums(r->db, &all, NULL, 0, &rows);
    if (!err && !(reply->body = json_new_map()))
        err = ERR_NOMEM;
    if (!err)
        err = json_set(reply->body, "spend", shim_usd(db_int(rows, 0, SUM_COST)));
    if (!err)
        err = json_set(reply->body, "max_budget", json_new_null());
    db_rows_free(rows);
    return err ? api_fail(r, reply, err) : 0;
}
