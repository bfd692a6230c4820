/* POST /v1/messages/count_tokens; anthropic_count.h has the conversions. Counting costs nothing at
 * any provider. */
#include "dataplane/dialects/anthropic_count.h"
#include "dataplane/endpoints/codec.h"

static int
brief(const struct codec_request *q, struct arena *a, struct request_brief *ret,
      struct codec_units *units, struct dialect_refusal *why)
{
    *units = (struct codec_units){.unit = USAGE_CLASSES};
    return anthropic_count_brief(q->body, a, ret, why);
}

static int
route(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
      struct dialect_refusal *why)
{
    static const enum codec_way ways[] = {
        [COUNT_UNTOUCHED] = CODEC_UNTOUCHED,
        [COUNT_ASK] = CODEC_TRANSLATED,
        [COUNT_ESTIMATE] = CODEC_OWN,
    };
    (void)why;
    *ret = (struct codec_route){.way = ways[anthropic_count_way(t)]};
    return ret->way == CODEC_OWN ? 0 : anthropic_count_address(t, a, &ret->address);
}

static int
write_request(struct slice body, struct dialect_writer *w, void **ret_asked, struct buf *into)
{
    const struct dialect_call call = {.path_stream = false};
    struct canon_request q;
    *ret_asked = NULL;
    int err = dialect_anthropic.read_request(body, &call, w->arena, &q, w->why);
    if (err)
        return err;
    if (anthropic_count_way(w->target) == COUNT_ESTIMATE)
        return anthropic_count_write(anthropic_count_estimate(&q), into);
    return anthropic_count_write_request(&q, w, into);
}

static void
report_nothing(struct usage_report *report)
{
    report->seen = report->has_input = report->has_output = true;
}

static int
read_answer(struct slice answer, const struct codec_exchange *x, struct buf *into,
            struct usage_report *report, const char **ret_why)
{
    int64_t tokens;
    *ret_why = "not a count of tokens";
    int err = anthropic_count_read_answer(x->target, answer, &tokens);
    report_nothing(report);
    return err ? err : anthropic_count_write(tokens, into);
}

static int
look(struct slice answer, struct usage_report *report, bool *ret_error)
{
    struct json_view top;
    int err = codec_object(answer, &top);
    *ret_error = !err && json_view_is(json_view_get(top, "type"), "error");
    report_nothing(report);
    return err;
}

const struct codec codec_count = {
    .brief = brief,
    .route = route,
    .write = write_request,
    .read = read_answer,
    .look = look,
    .estimates = true,
};
