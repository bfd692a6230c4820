/* A whole answer of a chat provider. */
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/gather.h"

/* What is gathered of an answer is its texts again, and what is kept of each part. */
#define GATHERED_BYTES(body) ((size_t)(1 << 20) + 64 * (body).len)

static int
take(void *ctx, const struct canon_event *e)
{
    return gather_event(ctx, e);
}

static void
let_go(void *gather)
{
    gather_free(gather);
}

int
chat_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                 struct canon_answer *ret, const char **ret_why)
{
    struct json_span span;
    struct json_error why;
    *ret_why = "not a JSON object";
    if (json_scan(body, &json_limits_default, NULL, 0, NULL, &span, &why) || span.kind != JSON_MAP)
        return ERR_PROTOCOL;
    struct json_view root = json_view_of(body);
    *ret_why = "no choices";
    if (chat_is_error(root) || json_view_count(json_view_get(root, "choices")) == 0)
        return ERR_PROTOCOL;
    struct gather *g = gather_new(GATHERED_BYTES(body));
    if (!g)
        return ERR_NOMEM;
    if (arena_on_free(a, let_go, g)) {
        gather_free(g);
        return ERR_NOMEM;
    }
    *ret_why = "malformed choices";
    int err = chat_tell_answer(root, x, a, &(struct canon_sink){take, g});
    return err ? err : gather_answer(g, a, ret);
}
