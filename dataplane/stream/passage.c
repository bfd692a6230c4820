#include "dataplane/stream/passage.h"

#include "dataplane/stream/translation.h"

#include <string.h>

#define LIMIT_ERROR_EVENT_BYTES ((size_t)64 << 10) /* the rest of it is not read */

void
passage_init(struct passage *p, const struct dialect *dialect, struct usage_report *report,
             bool strip_usage, size_t max_event_bytes)
{
    memset(p, 0, sizeof(*p));
    p->dialect = dialect;
    p->watched = (struct watched){.report = report, .strip_usage = strip_usage};
    sse_init(&p->sse, max_event_bytes);
    buf_init(&p->error, LIMIT_ERROR_EVENT_BYTES);
}

int
passage_init_translated(struct passage *p, const struct dialect *provider,
                        const struct dialect *client, struct usage_report *report,
                        const struct dialect_exchange *x, const struct answer_names *names,
                        size_t max_event_bytes)
{
    passage_init(p, provider, report, false, max_event_bytes);
    p->translation = translation_new(p, client, x, names);
    return p->translation ? 0 : ERR_NOMEM;
}

void
passage_fini(struct passage *p)
{
    translation_free(p->translation);
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

/* Every event is scanned: one that is malformed means that bytes were lost or mangled on the way,
 * and a stream with a hole must not end as if it had none. */
static void
examine(struct passage *p, const struct sse_event *e)
{
    enum watch_verdict what = WATCH_PASS;
    int err = p->dialect->watch(&p->watched, e->name, e->data, &what);
    if (err) {
        p->err = err;
        return;
    }
    switch (what) {
    case WATCH_DROP:
        p->dropped = true;
        return;
    case WATCH_BROKEN:
        p->state = PASSAGE_BROKEN;
        return;
    case WATCH_CUT:
        meter_count(&p->meter, e->data);
        if (is_one_line(e))
            pass_without(p, e, p->watched.cut);
        else
            pass(p, e->raw);
        return;
    case WATCH_DONE:
        p->state = PASSAGE_DONE;
        break;
    case WATCH_MAY_END:
        p->watched.may_end = true;
        break;
    case WATCH_PASS:
        break;
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
    examine(p, e);
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
    if (p->translation)
        return translation_push(p->translation, bytes, emit, ctx);
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

int
passage_end(struct passage *p, void (*emit)(void *ctx, struct slice run), void *ctx)
{
    if (p->err)
        return p->err;
    if (p->state != PASSAGE_OPEN)
        return 0;
    if (p->translation)
        return translation_end(p->translation, emit, ctx);
    if (!p->watched.may_end || sse_is_partial(&p->sse))
        return ERR_TRUNCATED;
    p->state = PASSAGE_DONE;
    return 0;
}

int
passage_error(const struct passage *p, struct arena *a, struct canon_error *ret)
{
    if (p->translation)
        return translation_error(p->translation, a, ret);
    return p->dialect->read_error(&(struct dialect_fault){.body = buf_slice(&p->error)}, a, ret);
}
