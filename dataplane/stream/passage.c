#include "dataplane/stream/passage.h"

#include <string.h>

void
passage_init(struct passage *p, struct usage_report *report, bool strip_usage,
             size_t max_event_bytes)
{
    memset(p, 0, sizeof(*p));
    p->report = report;
    p->strip_usage = strip_usage;
    sse_init(&p->sse, max_event_bytes);
    buf_init(&p->error, LIMIT_ERROR_MESSAGE_BYTES * 4);
}

void
passage_fini(struct passage *p)
{
    sse_fini(&p->sse);
    buf_free(&p->error);
}

static void
flush(struct passage *p)
{
    if (p->run.len)
        p->emit(p->ctx, p->run);
    p->run = (struct slice){0};
}

/* Appends to the run. What does not lie in the bytes being pushed lies in the parser's memory,
 * which is good for this event only: it leaves at once. */
static void
pass(struct passage *p, struct slice bytes)
{
    if (p->run.at && p->run.at + p->run.len == bytes.at) {
        p->run.len += bytes.len;
    } else {
        flush(p);
        p->run = bytes;
    }
    if (bytes.at < p->input.at || bytes.at >= p->input.at + p->input.len)
        flush(p);
}

enum { CHUNK_USAGE, CHUNK_ERROR, CHUNK_CHOICES, CHUNK_NAMES };
static const char *const chunk_names[CHUNK_NAMES] = {"usage", "error", "choices"};

static bool
is_empty_list(struct slice data, struct json_span list)
{
    size_t cursor = list.start;
    struct json_span name, value;
    return list.kind == JSON_LIST && !json_next(data, list, &cursor, &name, &value);
}

/* Takes the member at `value` out of an event, with the comma that belongs to it: the bytes are
 * then those that the provider sends when it is not asked for usage. */
static void
pass_without(struct passage *p, const struct sse_event *e, struct json_span value)
{
    const char *from = e->data.at + value.name_start, *to = e->data.at + value.end;
    const char *first = e->data.at, *last = e->data.at + e->data.len;
    const char *before = from, *after = to;
    while (before > first && strchr(" \t", before[-1]))
        before--;
    while (after < last && strchr(" \t", *after))
        after++;
    if (before > first && before[-1] == ',')
        from = before - 1;
    else if (after < last && *after == ',')
        to = after + 1;
    pass(p, slice_make(e->raw.at, (size_t)(from - e->raw.at)));
    pass(p, slice_make(to, (size_t)(e->raw.at + e->raw.len - to)));
}

/* Whether the event's data is one run of its raw bytes, so that a part of it can be left out. */
static bool
is_one_line(const struct sse_event *e)
{
    return e->data.at >= e->raw.at && e->data.at + e->data.len <= e->raw.at + e->raw.len;
}

/* Every event is scanned: one that is no JSON object means that bytes were lost or mangled on the
 * way, and a stream with a hole must not end as if it had none. */
static void
examine(struct passage *p, const struct sse_event *e)
{
    struct json_span at[CHUNK_NAMES];
    struct json_error why;
    if (json_scan(e->data, &json_limits_default, chunk_names, CHUNK_NAMES, at, NULL, &why)) {
        p->err = ERR_PROTOCOL;
        return;
    }
    if (at[CHUNK_ERROR].kind != JSON_ABSENT && at[CHUNK_ERROR].kind != JSON_NULL_) {
        p->state = PASSAGE_BROKEN;
        return;
    }
    if (at[CHUNK_USAGE].kind == JSON_MAP) {
        openai_read_usage(json_raw(e->data, at[CHUNK_USAGE]), p->report);
        if (p->strip_usage && is_empty_list(e->data, at[CHUNK_CHOICES])) {
            p->dropped = true; /* the chunk that only we had asked for */
            return;
        }
    } else if (at[CHUNK_USAGE].kind == JSON_NULL_ && p->strip_usage && is_one_line(e)) {
        meter_count(&p->meter, e->data);
        pass_without(p, e, at[CHUNK_USAGE]);
        return;
    }
    meter_count(&p->meter, e->data);
    pass(p, e->raw);
}

/* The LF of a CRLF whose CR ended the last event, and which came alone, goes where that event went.
 */
static struct slice
finish_line(struct passage *p, struct slice raw)
{
    bool is_rest = p->ended_cr && raw.at[0] == '\n';
    if (is_rest && !p->dropped)
        pass(p, slice_make(raw.at, 1));
    p->ended_cr = raw.at[raw.len - 1] == '\r';
    p->dropped = false;
    return slice_from(raw, is_rest ? 1 : 0);
}

static bool
on_event(void *ctx, const struct sse_event *given)
{
    struct passage *p = ctx;
    struct sse_event event = *given, *e = &event;
    event.raw = finish_line(p, given->raw);
    if (e->data.len == 0) { /* a comment, or a sign of life */
        pass(p, e->raw);
        return true;
    }
    p->events++;
    if (slice_is(e->data, "[DONE]")) {
        p->state = PASSAGE_DONE;
        pass(p, e->raw);
    } else if (slice_is(e->name, "error")) {
        p->state = PASSAGE_BROKEN;
    } else {
        examine(p, e);
    }
    if (p->state == PASSAGE_BROKEN) {
        struct slice text = e->data;
        if (text.len > p->error.max)
            text.len = p->error.max;
        if (buf_add_slice(&p->error, text))
            buf_clear(&p->error); /* the state says enough */
    }
    return p->state == PASSAGE_OPEN && !p->err;
}

int
passage_push(struct passage *p, struct slice bytes, void (*emit)(void *ctx, struct slice run),
             void *ctx)
{
    if (p->state == PASSAGE_DONE && p->sse.after_cr && bytes.len && bytes.at[0] == '\n') {
        p->sse.after_cr = false;
        emit(ctx, slice_make(bytes.at, 1)); /* the other half of the last line's end */
    }
    if (p->state != PASSAGE_OPEN || p->err)
        return p->err;
    p->emit = emit;
    p->ctx = ctx;
    p->input = bytes;
    int err = sse_push(&p->sse, bytes, on_event, p);
    flush(p);
    return p->err ? p->err : err == ERR_CANCELLED ? 0 : err;
}
