#include "controlplane/ledger/draws.h"

#include "lib/json/doc.h"

/* One call for each slice; and for each attempt that had none, since its time tells its period. In
 * one order of locks for everybody: budgets, subjects, periods. */
static const char book_sql[] =
    "SELECT headgate_budget_book(budget, subject, slice, at, amount) FROM ("
    "SELECT r ->> 0 AS budget, r ->> 1 AS subject, (r ->> 2)::bigint AS slice, "
    "to_timestamp(max((r ->> 3)::bigint) / 1000.0) AS at, sum((r ->> 4)::bigint)::bigint AS amount "
    "FROM jsonb_array_elements($1::jsonb) r "
    "GROUP BY 1, 2, 3, CASE WHEN r ->> 2 = '0' THEN (r ->> 3)::bigint ELSE 0 END "
    "ORDER BY 1, 2, 4, 3 OFFSET 0) d";

static struct json *
row_of(const struct batch_item *item, const struct usage_draw *d)
{
    struct json *row = json_new_list();

    if (row && json_append(row, json_new_text(d->budget)) == 0 &&
        json_append(row, json_new_text(d->subject)) == 0 &&
        json_append(row, json_new_int((int64_t)d->slice)) == 0 &&
        json_append(row, json_new_int(item->time_ms)) == 0 &&
        json_append(row, json_new_int(d->amount)) == 0)
        return row;
    json_free(row);
    return NULL;
}

static int
collect(const struct batch *b, size_t from, size_t to, struct json *into)
{
    int err = 0;

    for (size_t i = from; !err && i < to; i++)
        for (size_t k = 0; !err && k < b->items[i].u.draw_count; k++)
            if (b->items[i].u.draws[k].amount > 0 || b->items[i].u.draws[k].slice)
                err = json_append(into, row_of(&b->items[i], &b->items[i].u.draws[k]));
    return err;
}

int
draws_book(struct db *db, const struct batch *b, size_t from, size_t to)
{
    struct json *rows = json_new_list();
    const char *param = NULL;
    struct buf text;
    int err = rows ? collect(b, from, to, rows) : ERR_NOMEM;

    buf_init(&text, 0);
    if (!err && json_size(rows)) {
        err = json_write(rows, false, 0, &text);
        if (!err && !(param = buf_str(&text)))
            err = ERR_NOMEM;
        if (!err)
            err = db_query(db, book_sql, &param, 1, NULL);
    }
    buf_free(&text);
    json_free(rows);
    return err;
}
