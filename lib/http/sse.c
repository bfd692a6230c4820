/*
 * Lines are found with memchr. The common event, one data line between LFs, is read in one pass;
 * any other in two: find_end() finds its blank line, read_event() its fields.
 */
#include "lib/http/sse.h"

#include <stdint.h>
#include <sys/types.h>

#define MAX_EVENT_BYTES (16 * 1024 * 1024)

void
sse_init(struct sse_parser *p, size_t max_event_bytes)
{
    *p = (struct sse_parser){.max_event_bytes =
                                 max_event_bytes > 0 ? max_event_bytes : MAX_EVENT_BYTES};
    buf_init(&p->pending, 0);
    buf_init(&p->joined, 0);
}

void
sse_fini(struct sse_parser *p)
{
    buf_free(&p->pending);
    buf_free(&p->joined);
}

/* --- lines ---------------------------------------------------------------------------------------
 */

/* How far an event has been looked at: where its last line begins, and from where that line's end
 * is to be sought. Each byte is looked at once, however the bytes come. */
struct cursor {
    size_t line, at;
};

/* The next line end at or after c->at: its first byte, *ret_next behind it. NULL: not here yet. A
 * CR that is the last byte is no end yet, since an LF may follow and belong to it. */
static const char *
line_end(struct slice s, struct cursor *c, size_t *ret_next)
{
    const char *from = s.at + c->at, *end = s.at + s.len;
    const char *lf = memchr(from, '\n', s.len - c->at);
    const char *cr = memchr(from, '\r', (size_t)((lf ? lf : end) - from));
    if (cr && cr + 1 < end) {
        *ret_next = (size_t)(cr - s.at) + (cr[1] == '\n' ? 2 : 1);
        return cr;
    }
    if (cr || !lf) {
        c->at = cr ? s.len - 1 : s.len;
        return NULL;
    }
    *ret_next = (size_t)(lf - s.at) + 1;
    return lf;
}

/* Where the first event in s ends, its blank line included; 0: not here. */
static size_t
find_end(struct slice s, struct cursor *c)
{
    while (c->line < s.len) {
        const char *first = s.at + c->line;
        if (*first == '\n')
            return c->line + 1;
        if (*first ==
            '\r') /* over, whether or not the LF is here already: it belongs to this then */
            return c->line + (c->line + 1 < s.len && first[1] == '\n' ? 2 : 1);
        size_t next;
        if (!line_end(s, c, &next))
            return 0;
        c->line = c->at = next;
    }
    return 0;
}

/* --- fields --------------------------------------------------------------------------------------
 */

struct event_parts {
    struct slice name;
    struct slice data; /* of the only data line, so far */
    unsigned data_lines;
};

static int
join(struct sse_parser *p, struct event_parts *parts, struct slice value)
{
    if (parts->data_lines++ == 0) {
        parts->data = value;
        return 0;
    }
    int err = 0;
    if (parts->data_lines == 2) {
        buf_clear(&p->joined);
        err = buf_add_slice(&p->joined, parts->data);
    }
    if (err == 0)
        err = buf_add(&p->joined, "\n", 1);
    return err != 0 ? err : buf_add_slice(&p->joined, value);
}

static int
read_line(struct sse_parser *p, struct event_parts *parts, struct slice line)
{
    struct slice value = line;
    struct slice name = slice_cut(&value, ':');
    if (!value.at)
        value = slice_from(line, line.len);
    else if (value.len > 0 && value.at[0] == ' ')
        value = slice_from(value, 1);
    if (name.len == 4 && memcmp(name.at, "data", 4) == 0)
        return join(p, parts, value);
    if (name.len == 5 && memcmp(name.at, "event", 5) == 0)
        parts->name = value;
    return 0;
}

/* raw: a whole event, of which the first `lead` bytes are not its own. */
static int
read_event(struct sse_parser *p, struct slice raw, size_t lead, struct sse_event *ret_event)
{
    struct event_parts parts = {.data_lines = 0};
    struct cursor c = {lead, lead};
    size_t next;
    while (c.line < raw.len && raw.at[c.line] != '\n' && raw.at[c.line] != '\r') {
        const char *stop = line_end(raw, &c, &next);
        if (!stop)
            break;
        const char *line = raw.at + c.line;
        int err = read_line(p, &parts, slice_make(line, (size_t)(stop - line)));
        if (err != 0)
            return err;
        c.line = c.at = next;
    }
    *ret_event =
        (struct sse_event){.name = parts.name,
                           .data = parts.data_lines > 1 ? buf_slice(&p->joined) : parts.data,
                           .raw = raw,
                           .has_data = parts.data_lines > 0};
    return 0;
}

/* The common event, one data line between LFs, in one pass: its length, or 0. */
static size_t
read_simple(struct slice s, struct sse_event *ret_event)
{
    if (s.len < 7 || memcmp(s.at, "data:", 5) != 0)
        return 0;
    const char *lf = memchr(s.at + 5, '\n', s.len - 6);
    if (!lf || lf[1] != '\n' || memchr(s.at + 5, '\r', (size_t)(lf - s.at) - 5))
        return 0;
    const char *data = s.at + (s.at[5] == ' ' ? 6 : 5);
    size_t end = (size_t)(lf - s.at) + 2;
    *ret_event = (struct sse_event){.data = slice_make(data, (size_t)(lf - data)),
                                    .raw = slice_make(s.at, end),
                                    .has_data = true};
    return end;
}

/* --- pushing -------------------------------------------------------------------------------------
 */

static int
stop(struct sse_parser *p, int err)
{
    p->err = err;
    return err;
}

/* Bytes at the beginning of s that are raw bytes of the event but say nothing: a byte order mark at
 * the stream's start, or the LF of a CRLF whose CR ended the event before. SIZE_MAX: more is needed
 * to tell. */
static size_t
lead_of(const struct sse_parser *p, struct slice s)
{
    static const char mark[3] = {(char)0xef, (char)0xbb, (char)0xbf};
    if (!p->started) {
        size_t n = s.len < 3 ? s.len : 3;
        if (memcmp(s.at, mark, n) != 0)
            return 0;
        return n == 3 ? 3 : SIZE_MAX;
    }
    return p->after_cr && s.at[0] == '\n' ? 1 : 0;
}

/* The first event of s into *ret_event: its length; 0: it is not whole; or an error. */
static ssize_t
take_event(struct sse_parser *p, struct slice s, struct sse_event *ret_event)
{
    size_t lead = lead_of(p, s);
    if (lead == SIZE_MAX)
        return 0;
    size_t end = lead == 0 && p->scanned == 0 ? read_simple(s, ret_event) : 0;
    if (end > 0)
        return end > p->max_event_bytes ? ERR_LIMIT : (ssize_t)end;
    struct cursor c = {p->line > lead ? p->line : lead, p->scanned > lead ? p->scanned : lead};
    end = find_end(s, &c);
    p->line = c.line;
    p->scanned = c.at;
    if ((end > 0 ? end : s.len) > p->max_event_bytes)
        return ERR_LIMIT;
    if (end == 0)
        return 0;
    int err = read_event(p, slice_make(s.at, end), lead, ret_event);
    return err != 0 ? err : (ssize_t)end;
}

/* Hands on the events that are whole in s; *s is left with the rest. */
static int
push_whole(struct sse_parser *p, struct slice *s,
           bool (*on_event)(void *ctx, const struct sse_event *e), void *ctx)
{
    struct sse_event event;
    while (s->len > 0) {
        ssize_t end = take_event(p, *s, &event);
        if (end == 0)
            return 0;
        if (end < 0)
            return stop(p, (int)end);
        p->started = true;
        p->after_cr = s->at[end - 1] == '\r';
        p->line = p->scanned = 0;
        *s = slice_from(*s, (size_t)end);
        if (!on_event(ctx, &event))
            return stop(p, ERR_CANCELLED);
    }
    return 0;
}

int
sse_push(struct sse_parser *p, struct slice bytes,
         bool (*on_event)(void *ctx, const struct sse_event *e), void *ctx)
{
    bool was_pending = p->pending.len > 0;
    if (p->err != 0 || bytes.len == 0)
        return p->err;
    struct slice s = bytes;
    if (was_pending) {
        int err = buf_add_slice(&p->pending, bytes);
        if (err != 0)
            return stop(p, err);
        s = buf_slice(&p->pending);
    }
    int err = push_whole(p, &s, on_event, ctx);
    if (err != 0)
        return err;
    if (was_pending) {
        buf_drop(&p->pending, p->pending.len - s.len);
        if (p->pending.len == 0)
            buf_free(&p->pending);
        return 0;
    }
    err = s.len > 0 ? buf_add_slice(&p->pending, s) : 0;
    return err != 0 ? stop(p, err) : 0;
}

bool
sse_is_partial(const struct sse_parser *p)
{
    /* The second half of a line end is nothing that could be missed. */
    bool only_lf = p->after_cr && p->pending.len == 1 && p->pending.at[0] == '\n';
    return p->pending.len > 0 && !only_lf;
}

struct slice
sse_partial(const struct sse_parser *p)
{
    return buf_slice(&p->pending);
}
