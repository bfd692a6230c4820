#include "controlplane/ledger/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ledger/text.h"
#include "lib/base/crash.h"
#include "lib/base/map.h"
#include "lib/base/rand.h"
#include "lib/json/doc.h"

#define MS_PER_DAY INT64_C(86400000)

/* --- usage rows ------------------------------------------------------------------------------ */

static const char common_columns[] =
    "attempt_id, started_at, request_id, attempt_no, latency_ms, ttft_ms, key, key_id, team, "
    "project, user_name, end_user, model, provider, provider_model, endpoint, status, "
    "upstream_status, outcome, error_code, stream, estimated, incomplete, tokens_input, "
    "tokens_cache_read, tokens_cache_write, tokens_cache_write_1h, tokens_output, "
    "tokens_reasoning, cost_nanos, price_version, price_input, price_cached_input, "
    "price_cache_write, price_cache_write_1h, price_output, price_reasoning, reserved_nanos, "
    "policy_epoch, policy_version, upstream_request_id, tags, cached";
/* In the order of the classes. Left out where no row has any of them. */
static const char rare_columns[] =
    ", tokens_audio_input, price_audio_input, tokens_audio_output, price_audio_output, "
    "tokens_image_input, price_image_input, tokens_image_output, price_image_output, "
    "web_searches, price_web_search, search_units, price_search_unit, images, price_image, "
    "audio_ms, price_audio_minute, characters, price_character, service_tier";

static void
write_who(struct text *t, const struct batch_item *item)
{
    const struct usage *u = &item->u;

    text_uuid(t, u->attempt_id);
    text_time(t, item->time_ms);
    text_cell(t, u->request_id);
    text_int(t, u->attempt_no);
    text_int(t, u->latency_ms);
    text_int(t, u->ttft_ms);
    text_cell(t, u->key);
    text_cell(t, u->key_id);
    text_cell(t, u->team);
    text_cell(t, u->project);
    text_cell(t, u->user);
    text_cell(t, u->end_user);
}

static void
write_what(struct text *t, const struct usage *u)
{
    text_cell(t, u->model);
    text_cell(t, u->provider);
    text_cell(t, u->provider_model);
    text_cell(t, u->endpoint);
    text_int(t, u->status);
    text_int(t, u->upstream_status);
    text_cell(t, slice_of(usage_outcome_name(u->outcome)));
    text_cell(t, u->error_code);
    text_bool(t, u->stream);
    text_bool(t, u->estimated);
    text_bool(t, u->incomplete);
}

static void
write_cost(struct text *t, const struct batch_item *item)
{
    const struct usage *u = &item->u;

    for (int c = 0; c < CLASS_COMMON; c++)
        text_int(t, u->tokens.of[c]);
    text_int(t, u->cost);
    text_cell(t, u->price_version);
    for (int c = 0; c < CLASS_COMMON; c++)
        text_int(t, u->price.of[c]);
    text_int(t, u->reserved);
    text_int(t, (int64_t)u->policy_epoch);
    text_int(t, (int64_t)u->policy_version);
    text_cell(t, u->upstream_request_id);
    text_cell(t, item->tags);
    text_bool(t, u->cached);
}

static bool
is_rare(const struct usage *u)
{
    return u->tier != TIER_STANDARD || tokens_are_rare(&u->tokens);
}

static void
write_rare(struct text *t, const struct usage *u)
{
    for (int c = CLASS_COMMON; c < USAGE_CLASSES; c++) {
        if (u->tokens.of[c]) {
            text_int(t, u->tokens.of[c]);
            text_int(t, u->price.of[c]);
        } else {
            text_add(t, "\\N\t\\N\t");
        }
    }
    if (u->tier == TIER_STANDARD)
        text_add(t, "\\N\t");
    else
        text_cell(t, slice_of(service_tier_name(u->tier)));
}

static int
copy(struct db *db, const char *sql, struct text *t)
{
    int64_t rows;

    return t->err ? t->err : db_copy(db, sql, buf_slice(&t->buf), &rows);
}

int
post_events(struct db *db, const struct batch *b, size_t from, size_t to)
{
    char sql[sizeof(common_columns) + sizeof(rare_columns) + 64];
    bool rare = false;
    struct text t;
    int err;

    for (size_t i = from; i < to && !rare; i++)
        rare = is_rare(&b->items[i].u);
    (void)snprintf(sql, sizeof(sql), "COPY usage_events (%s%s) FROM STDIN", common_columns,
                   rare ? rare_columns : "");
    text_init(&t);
    for (size_t i = from; i < to; i++) {
        write_who(&t, &b->items[i]);
        write_what(&t, &b->items[i].u);
        write_cost(&t, &b->items[i]);
        if (rare)
            write_rare(&t, &b->items[i].u);
        text_end_row(&t);
    }
    CRASHPOINT("ledger.before_events");
    err = copy(db, sql, &t);
    CRASHPOINT("ledger.after_events");
    text_fini(&t);
    return err;
}

/* --- accounts -------------------------------------------------------------------------------- */

/* One of the two sides of an item. */
struct account {
    struct slice name;
    const struct usage *u;
    bool payable;
    int id;
};

struct accounts {
    struct map by_name; /* -> struct account */
    struct account *at;
    size_t count;
};

/* ':' and '/' take names apart, so they do not stand in one. */
static void
add_part(struct buf *name, const char *kind, struct slice part, int *err)
{
    if (!*err)
        *err = buf_addf(name, "%s%s:", name->len ? "/" : "", kind);
    for (size_t i = 0; !*err && i < part.len; i++)
        *err = strchr("%/:", part.at[i]) && part.at[i]
                   ? buf_addf(name, "%%%02X", (unsigned char)part.at[i])
                   : buf_add(name, &part.at[i], 1);
}

static struct slice
account_name(const struct usage *u, bool payable, struct arena *a)
{
    struct slice name = {0};
    struct buf b;
    int err = 0;

    buf_init(&b, 0);
    if (payable) {
        add_part(&b, "provider", u->provider, &err);
    } else {
        add_part(&b, "team", u->team, &err);
        if (u->project.len)
            add_part(&b, "project", u->project, &err);
        if (u->user.len)
            add_part(&b, "user", u->user, &err);
    }
    if (!err)
        name = arena_copy(a, buf_slice(&b));
    buf_free(&b);
    return name;
}

/* The account of one side of one item, known or new to this batch. NULL: no memory. */
static struct account *
find_account(struct accounts *all, struct batch *b, const struct usage *u, bool payable)
{
    struct slice name = account_name(u, payable, &b->arena);
    struct account *found;

    if (!name.at)
        return NULL;
    if ((found = map_find(&all->by_name, name)))
        return found;
    found = &all->at[all->count];
    *found = (struct account){.name = name, .u = u, .payable = payable};
    if (map_put(&all->by_name, name, found))
        return NULL;
    all->count++;
    return found;
}

static int
account_order(const void *a, const void *b)
{
    const struct account *const *x = a, *const *y = b;
    size_t n = (*x)->name.len < (*y)->name.len ? (*x)->name.len : (*y)->name.len;
    int order = memcmp((*x)->name.at, (*y)->name.at, n);

    return order ? order : ((*x)->name.len > (*y)->name.len) - ((*x)->name.len < (*y)->name.len);
}

static int
look_up(struct db *db, struct batch *b, struct account *account)
{
    const char *name = arena_strdup(&b->arena, account->name);
    struct db_rows *rows = NULL;
    int err;

    if (!name)
        return ERR_NOMEM;
    err = db_query(db, "SELECT id FROM ledger_accounts WHERE name = $1", &name, 1, &rows);
    if (!err && db_count(rows))
        account->id = (int)db_int(rows, 0, 0);
    db_rows_free(rows);
    return err;
}

static int
make_account(struct db *db, struct batch *b, const struct account *account)
{
    const struct usage *u = account->u;
    const struct slice none = {"", 0};
    const char *params[] = {
        arena_strdup(&b->arena, account->name),
        account->payable ? "payable" : "expense",
        arena_strdup(&b->arena, account->payable ? none : u->team),
        arena_strdup(&b->arena, account->payable ? none : u->project),
        arena_strdup(&b->arena, account->payable ? none : u->user),
        arena_strdup(&b->arena, account->payable ? u->provider : none),
    };

    for (size_t i = 0; i < sizeof(params) / sizeof(*params); i++)
        if (!params[i])
            return ERR_NOMEM;
    return db_query(db,
                    "INSERT INTO ledger_accounts (name, kind, team, project, user_name, provider) "
                    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING",
                    params, sizeof(params) / sizeof(*params), NULL);
}

/* All that exist, in one question. */
static int
look_up_all(struct db *db, struct accounts *all)
{
    struct json *names = json_new_list();
    struct db_rows *rows = NULL;
    struct buf text;
    const char *param;
    int err = names ? 0 : ERR_NOMEM;

    buf_init(&text, 0);
    for (size_t i = 0; !err && i < all->count; i++)
        err = json_append(names, json_new_text(all->at[i].name));
    if (!err)
        err = json_write(names, false, 0, &text);
    if (!err && !(param = buf_str(&text)))
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db,
                       "SELECT id, name FROM ledger_accounts WHERE name IN "
                       "(SELECT jsonb_array_elements_text($1::jsonb))",
                       &param, 1, &rows);
    for (size_t i = 0; !err && i < db_count(rows); i++) {
        struct account *found = map_find(&all->by_name, db_slice(rows, i, 1));
        if (found)
            found->id = (int)db_int(rows, i, 0);
    }
    db_rows_free(rows);
    buf_free(&text);
    json_free(names);
    return err;
}

/* Ids of all of them; makes what is missing, in the order of names. */
static int
resolve(struct db *db, struct batch *b, struct accounts *all)
{
    struct account **sorted = arena_alloc(&b->arena, (all->count + 1) * sizeof(struct account *));
    int err = sorted ? look_up_all(db, all) : ERR_NOMEM;
    size_t missing = 0;

    for (size_t i = 0; !err && i < all->count; i++)
        if (!all->at[i].id)
            sorted[missing++] = &all->at[i];
    if (!err && missing)
        qsort(sorted, missing, sizeof(*sorted), account_order);
    for (size_t i = 0; !err && i < missing; i++) {
        if (!(err = make_account(db, b, sorted[i])))
            err = look_up(db, b, sorted[i]);
        if (!err && !sorted[i]->id)
            err = ERR_NOT_FOUND;
    }
    return err;
}

int
post_accounts(struct db *db, struct batch *b)
{
    struct accounts all = {0};
    struct account *debit, *credit;
    struct account **sides;
    int err = 0;

    all.at = arena_alloc(&b->arena, (2 * b->count + 1) * sizeof(*all.at));
    sides = arena_alloc(&b->arena, (2 * b->count + 1) * sizeof(struct account *));
    if (!all.at || !sides)
        return ERR_NOMEM;
    map_init(&all.by_name);
    for (size_t i = 0; !err && i < b->count; i++) {
        const struct usage *u = &b->items[i].u;
        debit = u->cost ? find_account(&all, b, u, false) : NULL;
        credit = u->cost ? find_account(&all, b, u, true) : NULL;
        if (u->cost && (!debit || !credit))
            err = ERR_NOMEM;
        sides[2 * i] = debit;
        sides[2 * i + 1] = credit;
    }
    if (!err && all.count)
        err = resolve(db, b, &all);
    for (size_t i = 0; !err && i < b->count; i++)
        if (sides[2 * i] && sides[2 * i + 1]) {
            b->items[i].debit = sides[2 * i]->id;
            b->items[i].credit = sides[2 * i + 1]->id;
        }
    map_free(&all.by_name);
    return err;
}

/* --- entries --------------------------------------------------------------------------------- */

static int
new_transaction(struct db *db, const struct batch *b, char ret_id[static 24])
{
    char spool[37], first[24], last[24];
    const char *params[] = {spool, first, last};
    struct db_rows *rows = NULL;
    int err;

    uuid_format(b->spool_id, spool);
    (void)snprintf(first, sizeof(first), "%llu", (unsigned long long)b->first_sequence);
    (void)snprintf(last, sizeof(last), "%llu", (unsigned long long)b->last_sequence);
    err =
        db_query(db,
                 "INSERT INTO ledger_transactions (kind, spool_id, first_sequence, last_sequence) "
                 "VALUES ('usage', $1, $2, $3) RETURNING id",
                 params, 3, &rows);
    if (!err)
        (void)snprintf(ret_id, 24, "%s", db_text(rows, 0, 0));
    db_rows_free(rows);
    return err;
}

static void
write_entry(struct text *t, const struct batch_item *item, const char *transaction, int account,
            nanos amount)
{
    text_uuid(t, item->u.attempt_id);
    text_cell(t, slice_of(transaction));
    text_int(t, account);
    text_int(t, amount);
    text_end_row(t);
}

/* A day's sums of one account. */
struct balance {
    int account;
    int64_t day;
    __int128 debit, credit;
};

struct balances {
    struct balance *at;
    size_t count;
};

static int
balance_order(const void *a, const void *b)
{
    const struct balance *x = a, *y = b;

    if (x->account != y->account)
        return x->account < y->account ? -1 : 1;
    return (x->day > y->day) - (x->day < y->day);
}

static void
unite(struct balances *all)
{
    size_t kept = 0;

    if (all->count)
        qsort(all->at, all->count, sizeof(*all->at), balance_order);
    for (size_t i = 0; i < all->count; i++) {
        if (kept && balance_order(&all->at[kept - 1], &all->at[i]) == 0) {
            all->at[kept - 1].debit += all->at[i].debit;
            all->at[kept - 1].credit += all->at[i].credit;
        } else {
            all->at[kept++] = all->at[i];
        }
    }
    all->count = kept;
}

/* Sums fit 64 bits unless amounts are absurd; then the batch is taken apart and the culprit shows.
 */
static int
balance_row(struct text *t, const struct balance *row)
{
    if (row->debit > INT64_MAX || row->credit > INT64_MAX)
        return ERR_RANGE;
    text_add(t, t->buf.len ? ",[" : "[[");
    text_add_int(t, row->account);
    text_add(t, ",");
    text_add_int(t, row->day);
    text_add(t, ",");
    text_add_int(t, (int64_t)row->debit);
    text_add(t, ",");
    text_add_int(t, (int64_t)row->credit);
    text_add(t, "]");
    return t->err;
}

/* In the order of accounts and days: everybody locks them so. */
static int
add_balances(struct db *db, struct balances *all)
{
    struct text t;
    const char *param;
    int err = 0;

    unite(all);
    text_init(&t);
    for (size_t i = 0; !err && i < all->count; i++)
        err = balance_row(&t, &all->at[i]);
    text_add(&t, "]");
    if (!err)
        err = t.err;
    if (!err && !(param = buf_str(&t.buf)))
        err = ERR_NOMEM;
    if (!err)
        err = db_query(
            db,
            "INSERT INTO ledger_balances AS b (account_id, day, debit_nanos, credit_nanos) "
            "SELECT (r->>0)::integer, DATE '1970-01-01' + (r->>1)::integer, "
            "(r->>2)::numeric, (r->>3)::numeric FROM jsonb_array_elements($1::jsonb) "
            "WITH ORDINALITY AS x (r, n) ORDER BY n ON CONFLICT (account_id, day) DO UPDATE "
            "SET debit_nanos = b.debit_nanos + EXCLUDED.debit_nanos, "
            "credit_nanos = b.credit_nanos + EXCLUDED.credit_nanos",
            &param, 1, NULL);
    text_fini(&t);
    return err;
}

static int
collect(const struct batch *b, size_t from, size_t to, const char *transaction, struct text *t,
        struct balances *all)
{
    for (size_t i = from; i < to; i++) {
        const struct batch_item *item = &b->items[i];
        int64_t day = item->time_ms / MS_PER_DAY;
        if (!item->u.cost)
            continue;
        write_entry(t, item, transaction, item->debit, item->u.cost);
        write_entry(t, item, transaction, item->credit, -item->u.cost);
        all->at[all->count++] = (struct balance){item->debit, day, item->u.cost, 0};
        all->at[all->count++] = (struct balance){item->credit, day, 0, item->u.cost};
    }
    return t->err;
}

static bool
costs_nothing(const struct batch *b, size_t from, size_t to)
{
    while (from < to && !b->items[from].u.cost)
        from++;
    return from == to;
}

int
post_entries(struct db *db, const struct batch *b, size_t from, size_t to)
{
    struct balances all = {0};
    struct text t;
    char transaction[24];
    int err;

    if (costs_nothing(b, from, to))
        return 0;
    if ((err = new_transaction(db, b, transaction)))
        return err;
    if (!(all.at = malloc(2 * (to - from) * sizeof(*all.at))))
        return ERR_NOMEM;
    text_init(&t);
    err = collect(b, from, to, transaction, &t, &all);
    if (!err)
        err = copy(db,
                   "COPY ledger_entries (attempt_id, transaction_id, account_id, amount_nanos) "
                   "FROM STDIN",
                   &t);
    CRASHPOINT("ledger.after_entries");
    if (!err)
        err = add_balances(db, &all);
    text_fini(&t);
    free(all.at);
    return err;
}
