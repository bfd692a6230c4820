#include "controlplane/ledger/query.h"

#include <stdio.h>
#include <string.h>

#define MS_PER_HOUR INT64_C(3600000)

/* What can stand in group_by. hourly and detail: the same thing in the two tables; hourly NULL:
 * only single attempts have it. A $%zu is the time zone, or of "tag:NAME" NAME. */
static const struct dimension {
    const char *name;
    const char *hourly, *detail;
} dimensions[] = {
    {"team", "team", "team"},
    {"project", "project", "project"},
    {"user", "user_name", "user_name"},
    {"key", "key", "key"},
    {"model", "model", "model"},
    {"provider", "provider", "provider"},
    {"provider_model", "provider_model", "provider_model"},
    {"endpoint", NULL, "endpoint"},
    {"end_user", NULL, "end_user"},
    {"hour", "to_char(hour AT TIME ZONE $%zu, 'YYYY-MM-DD\"T\"HH24:00:00')",
     "to_char(started_at AT TIME ZONE $%zu, 'YYYY-MM-DD\"T\"HH24:00:00')"},
    {"day", "to_char(hour AT TIME ZONE $%zu, 'YYYY-MM-DD')",
     "to_char(started_at AT TIME ZONE $%zu, 'YYYY-MM-DD')"},
    {"month", "to_char(hour AT TIME ZONE $%zu, 'YYYY-MM')",
     "to_char(started_at AT TIME ZONE $%zu, 'YYYY-MM')"},
    {"tag", "coalesce(tags ->> $%zu, '')", "coalesce(tags ->> $%zu, '')"}, /* "tag:NAME" */
};
#define DIMENSIONS (sizeof(dimensions) / sizeof(*dimensions))
#define TAG_DIMENSION (DIMENSIONS - 1)

/* What is summed, and shown of single attempts: the same in both tables, in the order of enum
 * usage_sum (and of the events' columns from EVENT_INPUT to EVENT_COST). */
static const char *const amounts[SUM_COST + 1] = {
    [SUM_INPUT] = ("tokens_input + tokens_cache_read + tokens_cache_write + tokens_cache_write_1h "
                   "+ coalesce(tokens_audio_input, 0) + coalesce(tokens_image_input, 0)"),
    [SUM_CACHED_INPUT] = "tokens_cache_read",
    [SUM_CACHE_WRITE] = "tokens_cache_write + tokens_cache_write_1h",
    [SUM_OUTPUT] = ("tokens_output + tokens_reasoning + coalesce(tokens_audio_output, 0) + "
                    "coalesce(tokens_image_output, 0)"),
    [SUM_REASONING] = "tokens_reasoning",
    [SUM_AUDIO_INPUT] = "tokens_audio_input",
    [SUM_AUDIO_OUTPUT] = "tokens_audio_output",
    [SUM_IMAGE_INPUT] = "tokens_image_input",
    [SUM_IMAGE_OUTPUT] = "tokens_image_output",
    [SUM_WEB_SEARCHES] = "web_searches",
    [SUM_SEARCH_UNITS] = "search_units",
    [SUM_IMAGES] = "images",
    [SUM_AUDIO_MS] = "audio_ms",
    [SUM_CHARACTERS] = "characters",
    [SUM_COST] = "cost_nanos",
};
_Static_assert((int)EVENT_COST - (int)EVENT_INPUT == (int)SUM_COST - (int)SUM_INPUT, "the same");

int
query_group(const char *name, struct usage_group *ret_group)
{
    *ret_group = (struct usage_group){.name = name};
    if (strncmp(name, "tag:", 4) == 0 && name[4]) {
        ret_group->tag = name + 4;
        ret_group->dimension = TAG_DIMENSION;
        return 0;
    }
    for (size_t i = 0; i < TAG_DIMENSION; i++)
        if (strcmp(name, dimensions[i].name) == 0) {
            ret_group->dimension = i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

const char *
query_group_names(void)
{
    return "team, project, user, key, model, provider, provider_model, endpoint, end_user, hour, "
           "day, month, tag:NAME";
}

/* --- statements put together ----------------------------------------------------------------- */

/* SQL and its parameters as they grow; remembers its first error. */
struct statement {
    struct buf sql;
    const char *params[32];
    size_t count;
    char numbers[4][24]; /* room for what is not text */
    size_t numbers_used;
    int err;
};

static void
statement_init(struct statement *s, const char *sql)
{
    *s = (struct statement){0};
    buf_init(&s->sql, 0);
    s->err = buf_add_str(&s->sql, sql);
}

static void
add(struct statement *s, const char *sql)
{
    if (!s->err)
        s->err = buf_add_str(&s->sql, sql);
}

/* Appends sql, whose one $%zu becomes the number of the parameter. value NULL: nothing is appended.
 */
static void
add_with(struct statement *s, const char *sql, const char *value)
{
    const char *mark = strstr(sql, "$%zu");

    if (!value || s->err)
        return;
    s->params[s->count++] = value;
    s->err = buf_addf(&s->sql, "%.*s$%zu%s", (int)(mark - sql), sql, s->count, mark + 4);
}

static const char *
number(struct statement *s, int64_t v)
{
    char *room = s->numbers[s->numbers_used++];

    (void)snprintf(room, sizeof(s->numbers[0]), "%lld", (long long)v);
    return room;
}

static int
run(struct db *db, struct statement *s, struct db_rows **ret_rows)
{
    const char *sql = s->err ? NULL : buf_str(&s->sql);
    int err = s->err;

    if (!err && !sql)
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db, sql, s->params, s->count, ret_rows);
    buf_free(&s->sql);
    return err;
}

static void
add_names(struct statement *s, const struct usage_filter *f)
{
    add_with(s, " AND team = $%zu", f->team);
    add_with(s, " AND project = $%zu", f->project);
    add_with(s, " AND user_name = $%zu", f->user);
    add_with(s, " AND key = $%zu", f->key);
    add_with(s, " AND model = $%zu", f->model);
    add_with(s, " AND provider = $%zu", f->provider);
    add_with(s, " AND provider_model = $%zu", f->provider_model);
    add_with(s, " AND endpoint = $%zu", f->endpoint);
    add_with(s, " AND end_user = $%zu", f->end_user);
    add_with(s, " AND tags @> $%zu::jsonb", f->tags);
}

static void
add_places(struct statement *s, const struct usage_filter *f)
{
    if (!f->teams)
        return;
    add_with(s, " AND ($%zu::jsonb ? team", f->teams);
    add_with(s, " OR (project <> '' AND $%zu::jsonb ? project))", f->projects);
}

/* Attempt ids order by time, so this also chooses the partitions. */
static void
add_attempt_range(struct statement *s, const struct usage_filter *f)
{
    if (f->from_ms)
        add_with(s, " AND attempt_id >= headgate_attempt_floor(to_timestamp($%zu::numeric / 1000))",
                 number(s, f->from_ms));
    if (f->to_ms)
        add_with(s, " AND attempt_id < headgate_attempt_floor(to_timestamp($%zu::numeric / 1000))",
                 number(s, f->to_ms));
}

static void
add_hour_range(struct statement *s, const struct usage_filter *f)
{
    if (f->from_ms)
        add_with(s, " AND hour >= to_timestamp($%zu::numeric / 1000)", number(s, f->from_ms));
    if (f->to_ms)
        add_with(s, " AND hour < to_timestamp($%zu::numeric / 1000)", number(s, f->to_ms));
}

/* --- the questions --------------------------------------------------------------------------- */

/* "1, 2, 3" */
static void
add_ordinals(struct statement *s, size_t count)
{
    for (size_t i = 1; !s->err && i <= count; i++)
        s->err = buf_addf(&s->sql, i > 1 ? ", %zu" : "%zu", i);
}

static void
add_amounts(struct statement *s, const char *before, const char *after)
{
    for (size_t i = SUM_INPUT; !s->err && i <= SUM_COST; i++)
        s->err = buf_addf(&s->sql, "%s%s%s", before, amounts[i], after);
}

/* Whole hours are summed already, by what few things have few of. */
static bool
hours_answer(const struct usage_filter *f, const struct usage_group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct dimension *d = &dimensions[groups[i].dimension];
        if (!d->hourly || (f->zone_is_odd && !groups[i].tag && strstr(d->hourly, "$%zu")))
            return false;
    }
    return !f->endpoint && !f->end_user && f->from_ms % MS_PER_HOUR == 0 &&
           f->to_ms % MS_PER_HOUR == 0;
}

static void
add_group(struct statement *s, const struct usage_filter *f, const struct usage_group *g,
          bool hourly)
{
    const struct dimension *d = &dimensions[g->dimension];
    const char *column = hourly ? d->hourly : d->detail;

    if (g->tag)
        add_with(s, column, g->tag);
    else if (strstr(column, "$%zu"))
        add_with(s, column, f->zone ? f->zone : "UTC");
    else
        add(s, column);
    if (!f->zone && strcmp(d->name, "hour") == 0)
        add(s, " || 'Z'");
    add(s, ", ");
}

/* Exact until it is shown: rounded once a row, halves up. A project's own say goes before its
 * team's. */
static const char billed[] =
    ", coalesce(div(sum(cost_nanos::numeric * (1000000 + coalesce(project_ppm, team_ppm, 0))) + "
    "500000, 1000000), 0)::bigint";
#define CHARGES(of, kind)                                                                          \
    " LEFT JOIN (SELECT name AS charged_" of                                                       \
    ", (coalesce((body ->> 'margin_percent')::numeric, -(body ->> 'discount_percent')::numeric) "  \
    "* 10000)::bigint AS " of "_ppm FROM config_items WHERE kind = '" kind                         \
    "' AND body ?| ARRAY['margin_percent', 'discount_percent']) AS charges_of_" of                 \
    " ON charged_" of " = " of
static const char charges[] = CHARGES("team", "teams") CHARGES("project", "projects");

int
query_zone(struct db *db, const char *zone, bool *ret_odd)
{
    struct db_rows *rows = NULL;
    int err = db_query(db,
                       "SELECT bool_or(extract(minute FROM t AT TIME ZONE $1) <> 0) FROM (VALUES "
                       "(TIMESTAMPTZ '2026-01-01 00:00Z'), ('2026-07-01 00:00Z'), "
                       "(date_trunc('hour', now()))) AS v (t)",
                       &zone, 1, &rows);

    if (err && strcmp(db_sqlstate(db), "22023") == 0)
        return ERR_NOT_FOUND;
    if (!err)
        *ret_odd = db_bool(rows, 0, 0);
    db_rows_free(rows);
    return err;
}

int
query_sums(struct db *db, const struct usage_filter *f, const struct usage_group *groups,
           size_t count, struct db_rows **ret_rows)
{
    bool hourly = hours_answer(f, groups, count);
    struct statement s;

    statement_init(&s, "SELECT ");
    for (size_t i = 0; i < count; i++)
        add_group(&s, f, &groups[i], hourly);
    add(&s, hourly ? "coalesce(sum(requests), 0)::bigint, coalesce(sum(errors), 0)::bigint"
                   : "count(*) FILTER (WHERE attempt_no = 1), count(*) FILTER (WHERE error_code <> "
                     "'')");
    add_amounts(&s, ", coalesce(sum(", "), 0)::bigint");
    add(&s, billed);
    add(&s, hourly ? " FROM usage_hourly" : " FROM usage_events");
    add(&s, charges);
    add(&s, " WHERE true");
    add_names(&s, f);
    add_places(&s, f);
    if (hourly)
        add_hour_range(&s, f);
    else
        add_attempt_range(&s, f);
    if (count) {
        add(&s, " GROUP BY ");
        add_ordinals(&s, count);
        add(&s, " ORDER BY ");
        add_ordinals(&s, count);
    }
    add_with(&s, " LIMIT $%zu::bigint", number(&s, LIMIT_SUM_ROWS + 1));
    return run(db, &s, ret_rows);
}

int
query_events(struct db *db, const struct usage_filter *f, const char *after, int64_t limit,
             struct db_rows **ret_rows)
{
    struct statement s;

    statement_init(&s,
                   "SELECT attempt_id, request_id, to_char(started_at, "
                   "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), attempt_no, team, project, user_name, "
                   "key, end_user, model, provider, provider_model, endpoint, stream, status, "
                   "upstream_status, outcome, error_code");
    add_amounts(&s, ", coalesce(", ", 0)");
    add(&s,
        ", price_version, coalesce(service_tier, 'standard'), estimated, incomplete, latency_ms, "
        "ttft_ms, tags, cached FROM usage_events WHERE true");
    add_names(&s, f);
    add_places(&s, f);
    add_with(&s, " AND request_id = $%zu", f->request_id);
    add_attempt_range(&s, f);
    add_with(&s, " AND attempt_id < $%zu::uuid", after && after[0] ? after : NULL);
    add_with(&s, " ORDER BY attempt_id DESC LIMIT $%zu::bigint", number(&s, limit));
    return run(db, &s, ret_rows);
}

int
query_accounts(struct db *db, const struct usage_filter *f, const char *after, int64_t limit,
               struct db_rows **ret_rows)
{
    struct statement s;

    statement_init(&s,
                   "SELECT name, kind, team, project, user_name, provider, "
                   "coalesce((SELECT sum(debit_nanos) FROM ledger_balances b WHERE b.account_id = "
                   "a.id), 0)::bigint, coalesce((SELECT sum(credit_nanos) FROM ledger_balances b "
                   "WHERE b.account_id = a.id), 0)::bigint FROM ledger_accounts a WHERE true");
    add_places(&s, f);
    add_with(&s, " AND name > $%zu", after && after[0] ? after : NULL);
    add_with(&s, " ORDER BY name LIMIT $%zu::bigint", number(&s, limit));
    return run(db, &s, ret_rows);
}

int
query_spend(struct db *db, const char *dimension, const char *wanted, struct db_rows **ret_rows)
{
    struct usage_group g;
    struct statement s;
    int err = query_group(dimension, &g);

    if (err)
        return err;
    statement_init(&s, "SELECT w.name, coalesce(sum(cost_nanos), 0)::bigint FROM ");
    add_with(&s, "jsonb_to_recordset($%zu::jsonb) ", wanted);
    add(&s, "AS w (name text, created timestamptz, start timestamptz) LEFT JOIN usage_hourly ON ");
    add(&s, dimensions[g.dimension].hourly);
    add(&s, " = w.name AND hour >= greatest(date_trunc('hour', w.created), w.start) "
            "GROUP BY w.name");
    return run(db, &s, ret_rows);
}

int
query_last_used(struct db *db, const char *names, struct db_rows **ret_rows)
{
    const char *const params[] = {names};

    return db_query(db,
                    "SELECT k.name, coalesce(to_char(u.hour AT TIME ZONE 'UTC', "
                    "'YYYY-MM-DD\"T\"HH24:00:00\"Z\"'), '') FROM config_items AS k "
                    "LEFT JOIN LATERAL (SELECT hour FROM usage_hourly WHERE key = k.name "
                    "ORDER BY hour DESC LIMIT 1) AS u "
                    "ON u.hour >= date_trunc('hour', k.created_at) WHERE k.kind = 'keys' "
                    "AND k.name IN (SELECT jsonb_array_elements_text($1::jsonb))",
                    params, 1, ret_rows);
}
