/* GET /ledger/verify: whether the books are whole, or what is wrong with them. */
#include "controlplane/api/handlers.h"
#include "controlplane/ledger/verify.h"
#include "lib/base/clock.h"

#define MS_PER_DAY INT64_C(86400000)
#define DEFAULT_DAYS 7

struct found {
    struct json *list;
    int err;
};

static void
add(void *ctx, const struct books_problem *p)
{
    struct found *f = ctx;
    struct json *map = json_new_map();
    const struct {
        const char *name, *value;
    } texts[] = {{"kind", p->kind},
                 {"day", p->day},
                 {"attempt_id", p->attempt[0] ? p->attempt : NULL},
                 {"account", p->account[0] ? p->account : NULL},
                 {"detail", p->detail}};
    if (!map)
        f->err = ERR_NOMEM;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !f->err; i++)
        f->err = json_set_str(map, texts[i].name, texts[i].value);
    if (!f->err)
        f->err = json_set(map, "transaction",
                          p->transaction ? json_new_int(p->transaction) : json_new_null());
    if (!f->err)
        f->err = json_append(f->list, map);
    else
        json_free(map);
}

/* Takes list. NULL: no memory. */
static struct json *
verdict_of(const struct books_verdict *v, int64_t from_ms, int64_t to_ms, struct json *list)
{
    struct json *map = json_new_map();
    char from[32], to[32];
    clock_rfc3339(from_ms, from);
    clock_rfc3339(to_ms, to);
    if (map && json_set_bool(map, "ok", v->problems == 0) == 0 &&
        json_set_str(map, "from", from) == 0 && json_set_str(map, "to", to) == 0 &&
        json_set_int(map, "attempts", v->attempts) == 0 &&
        json_set_int(map, "entries", v->entries) == 0 &&
        json_set_int(map, "problems", v->problems) == 0) {
        if (json_set(map, "named", list) == 0)
            return map;
        list = NULL; /* json_set took it */
    }
    json_free(list);
    json_free(map);
    return NULL;
}

int
ledger_verify_now(struct api_request *r, struct api_reply *reply)
{
    struct found found = {json_new_list(), 0};
    struct books_verdict verdict = {0};
    int64_t to_ms = clock_wall_ms(), from_ms = 0;
    int err = api_query_time(r, reply, "to", &to_ms);
    if (!err) {
        from_ms = to_ms - DEFAULT_DAYS * MS_PER_DAY;
        err = api_query_time(r, reply, "from", &from_ms);
    }
    if (err) {
        json_free(found.list);
        return err;
    }
    err = found.list ? books_verify(r->db, from_ms, to_ms, add, &found, &verdict) : ERR_NOMEM;
    if (!err)
        err = found.err;
    if (err) {
        json_free(found.list);
        if (err == ERR_RANGE)
            return api_problem(reply, 400, "invalid_range",
                               "to: must be later than from, by at most %d days", LIMIT_BOOKS_DAYS);
        return api_fail(r, reply, err);
    }
    reply->body = verdict_of(&verdict, from_ms, to_ms, found.list);
    return reply->body ? 0 : api_fail(r, reply, ERR_NOMEM);
}
