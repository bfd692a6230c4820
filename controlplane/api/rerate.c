/* POST /ledger/rerate: what was booked, at the prices now in force. */
#include <stdio.h>

#include "controlplane/api/handlers.h"
#include "controlplane/ledger/rerate.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publisher.h"
#include "lib/base/clock.h"

static int
set_usd(struct json *map, const char *name, nanos amount)
{
    char text[MONEY_TEXT_BYTES];

    money_format_usd(amount, text);
    return json_set_str(map, name, text);
}

static struct json *
result_of(const struct rerate_result *sum, int64_t revision, bool dry_run)
{
    struct json *map = json_new_map();
    int err = map ? 0 : ERR_NOMEM;

    if (!err && !(err = json_set_bool(map, "dry_run", dry_run)) &&
        !(err = json_set_int(map, "revision", revision)) &&
        !(err = json_set_int(map, "attempts", (int64_t)sum->attempts)) &&
        !(err = json_set_int(map, "changed", (int64_t)sum->changed)) &&
        !(err = json_set_int(map, "unpriced", (int64_t)sum->unpriced)) &&
        !(err = json_set_int(map, "free", (int64_t)sum->free)) &&
        !(err = set_usd(map, "booked_usd", sum->booked)) &&
        !(err = set_usd(map, "rated_usd", sum->rated)) &&
        !(err = set_usd(map, "difference_usd", sum->rated - sum->booked)))
        err = json_set(map, "transaction",
                       sum->transaction && !dry_run ? json_new_int(sum->transaction)
                                                    : json_new_null());
    if (!err)
        return map;
    json_free(map);
    return NULL;
}

static int
read_body(struct api_request *r, struct api_reply *reply, struct rerate *ret)
{
    ret->provider = json_str(json_get(r->body, "provider")).at;
    ret->model = json_str(json_get(r->body, "model"));
    ret->author = r->actor;
    if (clock_parse_rfc3339(json_str(json_get(r->body, "from")).at, &ret->from_ms) ||
        clock_parse_rfc3339(json_str(json_get(r->body, "to")).at, &ret->to_ms) ||
        ret->from_ms >= ret->to_ms)
        return api_problem(reply, 400, "invalid_range", "to: must be later than from");
    ret->reason = arena_printf(&r->arena, "rerate %s %.*s", ret->provider, SLICE_ARG(ret->model));
    return ret->reason ? 0 : api_fail(r, reply, ERR_NOMEM);
}

static int
refuse(struct api_request *r, struct api_reply *reply, const struct rerate *what, int err)
{
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no provider '%s'", what->provider);
    if (err == ERR_LIMIT)
        return api_problem(reply, 400, "too_many_attempts",
                           "more than %d attempts: narrow from and to, or model",
                           LIMIT_RERATE_ATTEMPTS);
    return api_fail(r, reply, err);
}

int
ledger_rerate_now(struct api_request *r, struct api_reply *reply)
{
    struct rerate what = {0};
    struct rerate_result sum;
    struct built *built = NULL;
    bool dry_run = json_is_true(json_get(r->body, "dry_run"));
    int err = read_body(r, reply, &what);

    if (err)
        return err;
    built = r->plane->publisher ? publisher_built(r->plane->publisher) : NULL;
    if (!built)
        return api_fail(r, reply, ERR_UNAVAILABLE);
    what.policy = built->policy;
    err = ledger_rerate(r->db, &what, &sum);
    if (!err && !(reply->body = result_of(&sum, built->revision, dry_run)))
        err = ERR_NOMEM;
    built_unref(built);
    if (err)
        return refuse(r, reply, &what, err);
    reply->discard = dry_run;
    reply->unchanged = !sum.changed;
    snprintf(reply->audit_object, sizeof(reply->audit_object), "ledger/%s", what.provider);
    reply->audit_detail = json_copy(reply->body);
    return 0;
}
