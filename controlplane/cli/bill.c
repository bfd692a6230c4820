#include "controlplane/cli/bill.h"

#include "lib/base/clock.h"
#include "lib/base/money.h"
#include "lib/json/view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_BYTES 10
#define NANOS_DIGITS 9
#define CENTS_DIGITS 2

static const char *const metric_names[BILL_METRICS] = {"input_tokens", "cached_input_tokens",
                                                       "output_tokens", "cost_usd"};
static const char *const format_names[BILL_FORMATS] = {"openai", "anthropic", "csv"};

int
bill_format_parse(struct slice name, enum bill_format *ret_format)
{
    for (int i = 0; i < BILL_FORMATS; i++)
        if (slice_is(name, format_names[i])) {
            *ret_format = (enum bill_format)i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

void
bill_init(struct bill *b)
{
    *b = (struct bill){.by_model = true};
    arena_init(&b->arena, 0);
    map_init(&b->by_name);
}

void
bill_free(struct bill *b)
{
    map_free(&b->by_name);
    arena_free(&b->arena);
    free(b->lines);
}

static int __attribute__((format(printf, 2, 3))) complain(struct buf *why, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_clear(why);
    return buf_add_str(why, text) ? ERR_NOMEM : ERR_SYNTAX;
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool
are_digits(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
    return s.len > 0;
}

/* "gpt-4o-2024-08-06" and "claude-sonnet-4-20250514" without their dates. */
static struct slice
without_date(struct slice model)
{
    static const struct slice none = {"", 0};
    struct slice end = model.len > 9 ? slice_from(model, model.len - 9) : none;
    if (end.len && end.at[0] == '-' && are_digits(slice_from(end, 1)))
        return slice_make(model.at, model.len - 9);
    end = model.len > 11 ? slice_from(model, model.len - 11) : none;
    if (end.len && end.at[0] == '-' && end.at[5] == '-' && end.at[8] == '-' &&
        are_digits(slice_make(end.at + 1, 4)) && are_digits(slice_make(end.at + 6, 2)) &&
        are_digits(slice_make(end.at + 9, 2)))
        return slice_make(model.at, model.len - 11);
    return model;
}

static int
append(struct bill *b, struct bill_line *line)
{
    if (b->count == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct bill_line **grown = b->count < LIMIT_BILL_LINES
                                       ? realloc(b->lines, cap * sizeof(struct bill_line *))
                                       : NULL;
        if (!grown)
            return b->count < LIMIT_BILL_LINES ? ERR_NOMEM : ERR_LIMIT;
        b->lines = grown;
        b->cap = cap;
    }
    b->lines[b->count++] = line;
    return 0;
}

/* The line of a day and model, made where there is none. */
static int
line_of(struct bill *b, struct slice day, struct slice model, struct bill_line **ret)
{
    model = without_date(model);
    char *name = arena_printf(&b->arena, "%.*s %.*s", SLICE_ARG(day), SLICE_ARG(model));
    if (!name)
        return ERR_NOMEM;
    *ret = map_find(&b->by_name, slice_of(name));
    if (*ret)
        return 0;
    struct bill_line *line = arena_zalloc(&b->arena, sizeof(*line));
    if (!line)
        return ERR_NOMEM;
    line->day = slice_make(name, day.len);
    line->model = slice_of(name + day.len + 1);
    int err = append(b, line);
    if (!err)
        err = map_put(&b->by_name, slice_of(name), line);
    *ret = line;
    return err;
}

static int
add(struct bill_line *line, enum bill_metric m, int64_t amount)
{
    return __builtin_add_overflow(line->of[m], amount, &line->of[m]) ? ERR_RANGE : 0;
}

/* --- amounts ---------------------------------------------------------------------------------- */

/* The digits of "-12.5e-3" times 10^places, rounded once, halves away from zero. */
static int
read_decimal(struct slice text, int places, int64_t *ret)
{
    bool negative = text.len && text.at[0] == '-', seen_point = false, any = false;
    long long exponent = 0;
    size_t i = negative, e = 0;
    __int128 n = 0;
    while (e < text.len && text.at[e] != 'e' && text.at[e] != 'E')
        e++;
    if (e < text.len) {
        struct slice rest = slice_from(text, e + 1);
        bool minus = rest.len && rest.at[0] == '-';
        unsigned long long v;
        if (minus || (rest.len && rest.at[0] == '+'))
            rest = slice_from(rest, 1);
        if (slice_to_u64(rest, &v) != 0 || v > 400)
            return ERR_SYNTAX;
        exponent = minus ? -(long long)v : (long long)v;
    }
    for (; i < e; i++) {
        if (text.at[i] == '.' && !seen_point) {
            seen_point = true;
            continue;
        }
        if (text.at[i] < '0' || text.at[i] > '9')
            return ERR_SYNTAX;
        any = true;
        exponent -= seen_point;
        if (n > INT64_MAX) { /* more digits than matter: their place alone counts */
            exponent++;
            continue;
        }
        n = n * 10 + (text.at[i] - '0');
    }
    if (!any)
        return ERR_SYNTAX;
    for (exponent += places; exponent > 0 && n; exponent--)
        if ((n *= 10) > INT64_MAX)
            return ERR_RANGE;
    for (; exponent < -1 && n; exponent++)
        n /= 10;
    if (exponent == -1)
        n = (n + 5) / 10;
    if (n > INT64_MAX)
        return ERR_RANGE;
    *ret = negative ? -(int64_t)n : (int64_t)n;
    return 0;
}

/* --- pages of buckets ------------------------------------------------------------------------- */

/* One result of one bucket. */
struct result {
    struct bill *bill;
    struct slice day;
    struct json_view v;
    struct buf *why;
};

static int
add_tokens(struct result *r, struct bill_line *line, struct json_view of, const char *member,
           enum bill_metric m)
{
    struct json_view v = json_view_get(of, member);
    int64_t n = 0;
    if (!json_view_is_set(v))
        return 0;
    if (json_view_int(v, &n) != 0 || n < 0 || add(line, m, n) != 0)
        return complain(r->why, "%.*s: %s must be a count", SLICE_ARG(r->day), member);
    r->bill->has[m] = true;
    return 0;
}

static int
read_model(struct result *r, const char *member, struct slice *ret)
{
    int err = json_view_opt_text(json_view_get(r->v, member), &r->bill->arena, ret);
    if (err == ERR_SYNTAX)
        return complain(r->why, "%.*s: %s must be a text", SLICE_ARG(r->day), member);
    return err;
}

static int
start_line(struct result *r, struct slice model, struct bill_line **ret)
{
    if (!model.at)
        model = SLICE("");
    r->bill->by_model &= model.len > 0;
    return line_of(r->bill, r->day, model, ret);
}

static int
add_cost(struct result *r, struct bill_line *line, struct json_view amount, int places)
{
    struct slice text = amount.raw;
    int64_t nanos_ = 0;
    if (amount.kind == JSON_TEXT && json_view_text(amount, &r->bill->arena, &text) != 0)
        return ERR_NOMEM;
    if ((amount.kind != JSON_TEXT && amount.kind != JSON_NUMBER) ||
        read_decimal(text, places, &nanos_) != 0 || add(line, BILL_COST, nanos_) != 0)
        return complain(r->why, "%.*s: the amount must be a decimal number", SLICE_ARG(r->day));
    r->bill->has[BILL_COST] = true;
    return 0;
}

static int
is_dollars(struct result *r, struct json_view currency)
{
    if (json_view_is(currency, "usd") || json_view_is(currency, "USD"))
        return 0;
    return complain(r->why, "%.*s: the currency must be USD", SLICE_ARG(r->day));
}

/* "gpt-4o-2024-08-06, input": the model is what stands before the comma. */
static int
read_openai_cost(struct result *r, struct json_view amount)
{
    struct bill_line *line;
    struct slice item, rest;
    int err = read_model(r, "line_item", &rest);
    item = !err && rest.at ? slice_cut(&rest, ',') : SLICE("");
    if (!err)
        err = is_dollars(r, json_view_get(amount, "currency"));
    if (!err)
        err = start_line(r, item, &line);
    return err ? err : add_cost(r, line, json_view_get(amount, "value"), NANOS_DIGITS);
}

static int
read_openai(struct result *r)
{
    static const struct {
        const char *member;
        enum bill_metric m;
    } counts[] = {{"input_tokens", BILL_INPUT},
                  {"input_audio_tokens", BILL_INPUT},
                  {"input_cached_tokens", BILL_CACHED},
                  {"output_tokens", BILL_OUTPUT},
                  {"output_audio_tokens", BILL_OUTPUT}};
    struct json_view amount = json_view_get(r->v, "amount");
    struct bill_line *line;
    struct slice model;
    if (amount.kind == JSON_MAP)
        return read_openai_cost(r, amount);
    if (json_view_get(r->v, "input_tokens").kind != JSON_NUMBER)
        return complain(r->why, "%.*s: a result has neither input_tokens nor amount",
                        SLICE_ARG(r->day));
    int err = read_model(r, "model", &model);
    if (!err)
        err = start_line(r, model, &line);
    for (size_t i = 0; !err && i < sizeof(counts) / sizeof(*counts); i++)
        err = add_tokens(r, line, r->v, counts[i].member, counts[i].m);
    return err;
}

static int
read_anthropic_usage(struct result *r, struct bill_line *line)
{
    struct json_view written = json_view_get(r->v, "cache_creation");
    int err = add_tokens(r, line, r->v, "uncached_input_tokens", BILL_INPUT);
    if (!err)
        err = add_tokens(r, line, r->v, "cache_read_input_tokens", BILL_INPUT);
    if (!err)
        err = add_tokens(r, line, r->v, "cache_read_input_tokens", BILL_CACHED);
    if (!err)
        err = add_tokens(r, line, written, "ephemeral_5m_input_tokens", BILL_INPUT);
    if (!err)
        err = add_tokens(r, line, written, "ephemeral_1h_input_tokens", BILL_INPUT);
    return err ? err : add_tokens(r, line, r->v, "output_tokens", BILL_OUTPUT);
}

/* Amounts are in cents. */
static int
read_anthropic(struct result *r)
{
    struct json_view amount = json_view_get(r->v, "amount");
    struct bill_line *line;
    struct slice model;
    int err = read_model(r, "model", &model);
    if (!err && !json_view_is_set(amount) &&
        json_view_get(r->v, "uncached_input_tokens").kind != JSON_NUMBER)
        return complain(r->why, "%.*s: a result has neither uncached_input_tokens nor amount",
                        SLICE_ARG(r->day));
    if (!err)
        err = start_line(r, model, &line);
    if (err || !json_view_is_set(amount))
        return err ? err : read_anthropic_usage(r, line);
    err = is_dollars(r, json_view_get(r->v, "currency"));
    return err ? err : add_cost(r, line, amount, NANOS_DIGITS - CENTS_DIGITS);
}

/* Its beginning: seconds (OpenAI), or RFC 3339 (Anthropic); the day, in UTC. */
static int
read_day(struct bill *b, struct json_view bucket, struct slice *ret_day, struct buf *why)
{
    struct json_view number = json_view_get(bucket, "start_time");
    struct slice text = {NULL, 0};
    char room[32];
    const char *terminated = NULL;
    int64_t ms = 0;
    if (json_view_int(number, &ms) == 0 && ms >= 0 && ms < INT64_C(253402300800)) {
        ms *= 1000;
    } else {
        if (json_view_text(json_view_get(bucket, "starting_at"), &b->arena, &text) == 0)
            terminated = arena_strdup(&b->arena, text);
        if (!terminated || clock_parse_rfc3339(terminated, &ms) != 0)
            return complain(why, "a bucket has neither start_time nor starting_at");
    }
    clock_rfc3339(ms, room);
    *ret_day = arena_copy(&b->arena, slice_make(room, DAY_BYTES));
    return ret_day->at ? 0 : ERR_NOMEM;
}

static int
read_bucket(struct bill *b, enum bill_format format, struct json_view bucket, struct buf *why)
{
    struct json_view results = json_view_get(bucket, "results");
    struct result r = {.bill = b, .why = why};
    size_t cursor = 0;
    struct slice name;
    int err = read_day(b, bucket, &r.day, why);
    if (!err && results.kind != JSON_LIST)
        return complain(why, "%.*s: a bucket without results", SLICE_ARG(r.day));
    while (!err && json_view_next(results, &cursor, &name, &r.v))
        err = format == BILL_OPENAI ? read_openai(&r) : read_anthropic(&r);
    return err;
}

static int
read_page(struct bill *b, enum bill_format format, struct json_view page, struct buf *why)
{
    struct json_view data = json_view_get(page, "data"), bucket;
    size_t cursor = 0;
    struct slice name;
    int err = 0;
    if (data.kind != JSON_LIST)
        return complain(why, "no report of usage or costs: it has no list 'data'");
    b->more = json_view_get(page, "has_more").kind == JSON_TRUE_;
    while (!err && json_view_next(data, &cursor, &name, &bucket))
        err = read_bucket(b, format, bucket, why);
    return err;
}

static int
read_pages(struct bill *b, enum bill_format format, struct slice text, struct buf *why)
{
    struct json_limits limits = {.depth = 16, .tokens = 10000000};
    struct json_span root;
    struct json_error e = {0};
    int err = json_scan(text, &limits, NULL, 0, NULL, &root, &e);
    if (err == ERR_NOMEM)
        return err;
    if (err)
        return complain(why, "not JSON: %s at byte %zu", e.reason ? e.reason : "malformed",
                        e.offset);
    struct json_view all = json_view_at(text, root), page;
    struct slice name;
    size_t cursor = 0;
    if (all.kind != JSON_LIST) {
        err = read_page(b, format, all, why);
    } else {
        while (!err && json_view_next(all, &cursor, &name, &page))
            err = read_page(b, format, page, why);
    }
    if (!err && b->more)
        return complain(why, "the report has more pages: put all of them into one JSON list");
    return err;
}

/* --- CSV -------------------------------------------------------------------------------------- */

enum column { COLUMN_DATE, COLUMN_MODEL, COLUMN_METRICS, COLUMNS = COLUMN_METRICS + BILL_METRICS };
static const char *const column_names[COLUMNS] = {"date",          "model",         "input_tokens",
                                                  "cached_tokens", "output_tokens", "cost_usd"};

struct csv {
    struct bill *bill;
    enum column order[COLUMNS];
    size_t count, line;
    struct buf *why;
};

/* The next cell of a line; quotes are taken off. false at its end. */
static bool
next_cell(struct slice *rest, struct slice *ret)
{
    if (!rest->at)
        return false;
    if (rest->len && rest->at[0] == '"') {
        size_t end = slice_find(*rest, '"', 1);
        *ret = slice_make(rest->at + 1, (end < rest->len ? end : rest->len) - 1);
        *rest = slice_from(*rest, end < rest->len ? end + 1 : rest->len);
        (void)slice_cut(rest, ',');
        return true;
    }
    *ret = slice_trim(slice_cut(rest, ','));
    return true;
}

static int
read_head(struct csv *c, struct slice line)
{
    struct slice cell;
    bool seen[COLUMNS] = {false};
    while (next_cell(&line, &cell)) {
        int found = -1;
        for (int i = 0; i < COLUMNS; i++)
            if (slice_is(cell, column_names[i]))
                found = i;
        if (found < 0 || seen[found])
            return complain(c->why,
                            "line 1: '%.*s' is no column, or there twice; there are date, model, "
                            "input_tokens, cached_tokens, output_tokens, cost_usd",
                            cell.len < 40 ? (int)cell.len : 40, cell.at);
        seen[found] = true;
        c->order[c->count++] = (enum column)found;
    }
    for (int m = 0; m < BILL_METRICS; m++)
        c->bill->has[m] = seen[COLUMN_METRICS + m];
    if (!seen[COLUMN_DATE] || c->count < 2u + seen[COLUMN_MODEL])
        return complain(c->why, "line 1: needs the column date, and one that counts");
    return 0;
}

static bool
is_day(struct slice s)
{
    char text[DAY_BYTES + 1];
    int64_t ms;
    if (s.len != DAY_BYTES)
        return false;
    memcpy(text, s.at, DAY_BYTES);
    text[DAY_BYTES] = '\0';
    return clock_parse_rfc3339(text, &ms) == 0;
}

static int
read_row(struct csv *c, struct slice text)
{
    struct slice cells[COLUMNS] = {{NULL, 0}}, cell;
    struct bill_line *line;
    size_t n = 0;
    while (next_cell(&text, &cell)) {
        if (n == c->count)
            return complain(c->why, "line %zu: more cells than columns", c->line);
        cells[c->order[n++]] = cell;
    }
    if (n != c->count)
        return complain(c->why, "line %zu: fewer cells than columns", c->line);
    if (!is_day(cells[COLUMN_DATE]))
        return complain(c->why, "line %zu: the date must be like 2026-11-01", c->line);
    struct slice model = cells[COLUMN_MODEL].at ? cells[COLUMN_MODEL] : SLICE("");
    c->bill->by_model &= model.len > 0;
    int err = line_of(c->bill, cells[COLUMN_DATE], model, &line);
    for (int m = 0; !err && m < BILL_METRICS; m++) {
        struct slice s = cells[COLUMN_METRICS + m];
        int64_t v = 0;
        if (!s.len)
            continue;
        bool whole = m == BILL_COST || are_digits(s);
        if (!whole || read_decimal(s, m == BILL_COST ? NANOS_DIGITS : 0, &v) != 0 ||
            add(line, (enum bill_metric)m, v) != 0)
            return complain(c->why, "line %zu: %s must be a number", c->line,
                            column_names[COLUMN_METRICS + m]);
    }
    return err;
}

static int
read_csv(struct bill *b, struct slice text, struct buf *why)
{
    struct csv c = {.bill = b, .why = why};
    int err = 0;
    while (!err && text.at) {
        struct slice line = slice_cut(&text, '\n');
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        c.line++;
        if (c.line == 1)
            err = read_head(&c, line);
        else if (slice_trim(line).len)
            err = read_row(&c, line);
    }
    return err;
}

/* Some line has no model: then days are all that can be told apart. */
static int
unite_models(struct bill *b)
{
    size_t n = b->count, kept = 0;
    int err = 0;
    for (size_t i = 0; !err && i < n; i++) {
        struct bill_line *from = b->lines[i], *into;
        if (!from->model.len)
            continue;
        err = line_of(b, from->day, SLICE(""), &into);
        for (int m = 0; !err && m < BILL_METRICS; m++)
            err = add(into, (enum bill_metric)m, from->of[m]);
    }
    for (size_t i = 0; i < b->count; i++)
        if (!b->lines[i]->model.len)
            b->lines[kept++] = b->lines[i];
    b->count = kept;
    return err;
}

int
bill_read(struct bill *b, enum bill_format format, struct slice text, struct buf *why)
{
    int err = format == BILL_CSV ? read_csv(b, text, why) : read_pages(b, format, text, why);
    if (!err && !b->by_model)
        err = unite_models(b);
    if (err == ERR_RANGE)
        return complain(why, "a sum is out of range");
    if (err == ERR_LIMIT) {
        (void)complain(why, "more than %d lines of days and models", LIMIT_BILL_LINES);
        return ERR_LIMIT;
    }
    return err;
}

bool
bill_days(const struct bill *b, struct slice *ret_first, struct slice *ret_last)
{
    for (size_t i = 0; i < b->count; i++) {
        struct slice day = b->lines[i]->day;
        if (i == 0 || memcmp(day.at, ret_first->at, DAY_BYTES) < 0)
            *ret_first = day;
        if (i == 0 || memcmp(day.at, ret_last->at, DAY_BYTES) > 0)
            *ret_last = day;
    }
    return b->count > 0;
}

/* --- ours ------------------------------------------------------------------------------------- */

int
bill_read_ours(struct bill *b, const struct json *rows, bool by_model)
{
    int err = 0;
    for (size_t i = 0; !err && i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i);
        struct slice day = json_str(json_get(row, "day"));
        struct slice model = by_model ? json_str(json_get(row, "provider_model")) : SLICE("");
        struct bill_line *line;
        if (!is_day(day) || !model.at)
            return ERR_SYNTAX;
        err = line_of(b, day, model, &line);
        for (int m = 0; !err && m < BILL_METRICS; m++) {
            const struct json *v = json_get(row, metric_names[m]);
            int64_t n = 0;
            err = m == BILL_COST ? money_parse_usd(json_str(v), &n) : json_to_int(v, &n);
            if (!err)
                err = add(line, (enum bill_metric)m, n);
        }
    }
    return err;
}

/* --- differences ------------------------------------------------------------------------------ */

static int
by_day_and_model(const void *a, const void *b)
{
    const struct bill_line *x = *(struct bill_line *const *)a, *y = *(struct bill_line *const *)b;
    int order = memcmp(x->day.at, y->day.at, DAY_BYTES);
    return order ? order : strcmp(x->model.at, y->model.at);
}

static int
set_amount(struct json *map, const char *name, enum bill_metric m, int64_t v)
{
    char text[MONEY_TEXT_BYTES];
    if (m != BILL_COST)
        return json_set_int(map, name, v);
    money_format_usd(v, text);
    return json_set_str(map, name, text);
}

static int
add_difference(struct json *list, const struct bill_line *line, enum bill_metric m,
               int64_t reported, int64_t ours)
{
    struct json *map = json_new_map();
    int64_t difference;
    int err = map ? 0 : ERR_NOMEM;
    if (!err && __builtin_sub_overflow(reported, ours, &difference))
        err = ERR_RANGE;
    if (!err && !(err = json_set_text(map, "day", line->day)) &&
        !(err = json_set_text(map, "model", line->model)) &&
        !(err = json_set_str(map, "metric", metric_names[m])) &&
        !(err = set_amount(map, "reported", m, reported)) &&
        !(err = set_amount(map, "ledger", m, ours)))
        err = set_amount(map, "difference", m, difference);
    if (!err)
        return json_append(list, map);
    json_free(map);
    return err;
}

static int
compare_line(struct json *list, const struct bill *reported, const struct bill *ours,
             const struct bill_line *line, int64_t tolerance)
{
    char name[DAY_BYTES + 1 + 1024];
    int n = snprintf(name, sizeof(name), "%.*s %.*s", SLICE_ARG(line->day), SLICE_ARG(line->model));
    static const struct bill_line none;
    const struct bill_line *theirs, *own;
    int err = 0;
    if (n < 0 || (size_t)n >= sizeof(name))
        return ERR_RANGE;
    theirs = map_find(&reported->by_name, slice_of(name));
    own = map_find(&ours->by_name, slice_of(name));
    for (int m = 0; !err && m < BILL_METRICS; m++) {
        int64_t a = (theirs ? theirs : &none)->of[m], b = (own ? own : &none)->of[m];
        __int128 off = (__int128)a - b;
        if (!reported->has[m] || off == 0 ||
            (m == BILL_COST && off <= tolerance && -off <= tolerance))
            continue;
        err = add_difference(list, line, (enum bill_metric)m, a, b);
    }
    return err;
}

static bool
is_within(const struct bill_line *line, const char *from, const char *to)
{
    return (!from[0] || strncmp(line->day.at, from, DAY_BYTES) >= 0) &&
           (!to[0] || strncmp(line->day.at, to, DAY_BYTES) < 0);
}

struct json *
bill_compare(const struct bill *reported, const struct bill *ours, const char *from, const char *to,
             int64_t tolerance, size_t *ret_compared)
{
    struct json *list = json_new_list();
    size_t n = 0;
    struct bill_line **all = calloc(reported->count + ours->count + 1, sizeof(struct bill_line *));
    int err = list && all ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < reported->count + ours->count; i++) {
        struct bill_line *line =
            i < reported->count ? reported->lines[i] : ours->lines[i - reported->count];
        if (is_within(line, from, to))
            all[n++] = line;
    }
    if (n)
        qsort(all, n, sizeof(struct bill_line *), by_day_and_model);
    *ret_compared = 0;
    for (size_t i = 0; !err && i < n; i++) {
        if (i && by_day_and_model(&all[i - 1], &all[i]) == 0)
            continue; /* it is in both */
        ++*ret_compared;
        err = compare_line(list, reported, ours, all[i], tolerance);
    }
    free(all);
    if (!err)
        return list;
    json_free(list);
    return NULL;
}
