/*
 * A line is built in one bounded buffer on the stack and written by one call, so lines of several
 * threads and processes do not mix: it is never longer than what a pipe takes as a whole.
 */
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/utf8.h"

#define LIMIT_LINE_BYTES 4096  /* PIPE_BUF: written whole or not at all */
#define LIMIT_FIELD_BYTES 1024 /* of one value, escapes included */
#define TAIL ",\"truncated\":true}\n"

enum sink { SINK_POLL, SINK_NONBLOCK, SINK_SOCKET };

/* Set once at start by log_init, before threads and workers. */
static struct {
    const char *process;
    enum log_level threshold;
    int fd;
    enum sink sink;
} to = {.process = "headgate", .threshold = LOG_INFO, .fd = 2, .sink = SINK_POLL};

static atomic_uint_least64_t dropped;

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

/* A pipe is opened anew: O_NONBLOCK belongs to the open file, which we share with our parent's
 * other children, and they may not expect it. */
static int
open_nonblocking(int fd)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

void
log_init(const char *process, enum log_level threshold, int fd)
{
    struct stat st;
    to.process = process;
    to.threshold = threshold;
    to.fd = fd;
    to.sink = SINK_POLL;
    if (fstat(fd, &st) < 0)
        return;
    if (S_ISSOCK(st.st_mode))
        to.sink = SINK_SOCKET;
    if (S_ISFIFO(st.st_mode)) {
        int own = open_nonblocking(fd);
        if (own >= 0) {
            to.fd = own;
            to.sink = SINK_NONBLOCK;
        }
    }
}

int
log_parse_level(const char *text, enum log_level *ret_level)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return ERR_SYNTAX;
}

enum log_level
log_threshold(void)
{
    return to.threshold;
}

uint64_t
log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

/* --- building --------------------------------------------------------------------------------- */

struct line {
    size_t len, max; /* max leaves room for the tail */
    bool full;
    char text[LIMIT_LINE_BYTES];
};

static void
put(struct line *l, const char *bytes, size_t n)
{
    if (n > l->max - l->len) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->len, bytes, n);
    l->len += n;
}

static void
put_str(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* Characters that could end the line, colour a terminal or turn its text around. */
static bool
must_escape(uint32_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c <= 0x9f) || c == 0x061c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

/* One character as it goes into a JSON string: at most 6 bytes, returned with its length; *at moves
 * behind it. An invalid byte is shown as U+FFFD. */
static size_t
next_piece(struct slice *rest, char piece[static 8])
{
    uint32_t code = 0xfffd;
    size_t n = utf8_take(rest->at, rest->len, &code);
    bool invalid = n == 0;
    size_t used = invalid ? 1 : n;
    size_t len = used;
    if (!invalid && (code == '"' || code == '\\')) {
        piece[0] = '\\';
        piece[1] = (char)code;
        len = 2;
    } else if (invalid || must_escape(code)) {
        len = (size_t)snprintf(piece, 8, "\\u%04x", (unsigned)code & 0xffff);
    } else {
        memcpy(piece, rest->at, n);
    }
    *rest = slice_from(*rest, used);
    return len;
}

static void
put_text(struct line *l, struct slice s)
{
    size_t written = 0;
    put(l, "\"", 1);
    while (s.len > 0 && !l->full) {
        char piece[8];
        size_t n = next_piece(&s, piece);
        if (written + n > LIMIT_FIELD_BYTES) {
            put_str(l, "\xe2\x80\xa6"); /* an ellipsis: cut here */
            break;
        }
        put(l, piece, n);
        written += n;
    }
    put(l, "\"", 1);
}

static void
put_field(struct line *l, const struct log_field *f)
{
    char digits[24];
    put(l, ",", 1);
    put_text(l, slice_of(f->name));
    put(l, ":", 1);
    switch (f->kind) {
    case LOG_FIELD_STR:
        if (f->text.at)
            put_text(l, f->text);
        else
            put_str(l, "null");
        break;
    case LOG_FIELD_INT:
        snprintf(digits, sizeof(digits), "%lld", (long long)f->number);
        put_str(l, digits);
        break;
    case LOG_FIELD_BOOL:
        put_str(l, f->number ? "true" : "false");
        break;
    case LOG_FIELD_END:
        break;
    }
}

/* What the whole field does not fit into is left out, so that the line stays valid JSON. */
static void
put_fields(struct line *l, const struct log_field *fields)
{
    bool cut = false;
    for (const struct log_field *f = fields; f->kind != LOG_FIELD_END; f++) {
        size_t before = l->len;
        put_field(l, f);
        if (l->full) {
            l->len = before;
            l->full = false;
            cut = true;
        }
    }
    l->max = sizeof(l->text);
    put_str(l, cut ? TAIL : "}\n");
}

static void
build(struct line *l, enum log_level level, const char *event, const struct log_field *fields)
{
    char now[32];
    clock_rfc3339(clock_wall_ms(), now);
    l->len = 0;
    l->full = false;
    l->max = sizeof(l->text) - sizeof(TAIL);
    put_str(l, "{\"time\":\"");
    put_str(l, now);
    put_str(l, "\",\"level\":\"");
    put_str(l, level_names[level]);
    put_str(l, "\"");
    put_field(l, &(struct log_field)F_STR("process", to.process));
    put_field(l, &(struct log_field)F_INT("pid", getpid()));
    put_field(l, &(struct log_field)F_STR("event", event));
    put_fields(l, fields);
}

/* --- writing ---------------------------------------------------------------------------------- */

static ssize_t
write_once(const struct line *l)
{
    struct pollfd p = {.fd = to.fd, .events = POLLOUT};
    switch (to.sink) {
    case SINK_NONBLOCK:
        return write(to.fd, l->text, l->len);
    case SINK_SOCKET:
        return send(to.fd, l->text, l->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_POLL:
        break;
    }
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) ? write(to.fd, l->text, l->len) : -1;
}

void
log_emit(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line l;
    int saved = errno;
    build(&l, level, event, fields);
    if (write_once(&l) != (ssize_t)l.len)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    errno = saved;
}
