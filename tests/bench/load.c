/*
 * The benchmark's load generator: HTTP/1.1, one thread, one line of JSON at the end.
 *
 *   load closed PORT CONNS SECONDS BODY [HEADER...]   next request when the last answer is in
 *   load rate   PORT RPS   SECONDS BODY [HEADER...]   open loop: sent at intended times; latency
 *                                                     counts from the intended time
 *   load sse    PORT CONNS SECONDS BODY [HEADER...]   streams, each restarted when it ends
 *   load hold   PORT CONNS SECONDS BODY [HEADER...]   opens CONNS streams, prints "open N", reads
 * on
 *
 * In a body, a "#######" becomes a number below LOAD_SUBJECTS, another for each request. LOAD_LOG
 * names a file that gets a line for each answer: when it was intended (nanoseconds,
 * CLOCK_MONOTONIC), how long it took (microseconds), its status. With LOAD_RESTS it sleeps between
 * the requests of a rate, to leave the processor to others.
 *
 * Times are microseconds. Chunks are counted by their "t@" marks (upstream.c); "delay" is from the
 * upstream's write of a chunk to its arrival here. A stream is whole when it ended in order and
 * with "data: [DONE]".
 */
#include "tests/bench/bench.h"

enum mode { CLOSED, RATE, SSE, HOLD };
enum parse { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, LAST };

struct samples {
    uint32_t *at; /* nanoseconds / 16, enough for 68 s */
    size_t n, cap;
};

struct conn {
    int fd;
    enum parse state;
    bool busy;
    size_t sent;
    uint64_t left, intended_ns, sent_ns;
    int status;
    bool first_byte, done_seen;
    unsigned mark_at;
    uint64_t mark;
    char line[4096];
    size_t line_len;
    char tail[16];
    struct conn *next_idle;
};

static enum mode mode;
static struct conn *conns, *idle;
static int count, ep, port;
static char *request;
static size_t request_len;
static struct samples latency, ttfb, delay;
static uint64_t ok, bad, broken, chunks, whole, cut;
static uint64_t end_ns;
static char *blank; /* in the request: where the number goes */
static unsigned subjects = 1;
static FILE *each;
static bool rests; /* between requests; else it spins, so as to be on time */

static void
add(struct samples *s, uint64_t ns)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 1 << 16;
        s->at = realloc(s->at, s->cap * sizeof *s->at);
        if (!s->at)
            die("memory");
    }
    uint64_t v = ns >> 4;
    s->at[s->n++] = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void
print_samples(const char *name, struct samples *s)
{
    static const double at[] = {.5, .9, .99, .999};
    static const char *const label[] = {"p50", "p90", "p99", "p999"};
    qsort(s->at, s->n, sizeof *s->at, by_value);
    printf(",\"%s\":{\"n\":%zu", name, s->n);
    for (int i = 0; i < 4; i++)
        printf(",\"%s\":%.2f", label[i],
               s->n ? s->at[(size_t)((double)(s->n - 1) * at[i])] * 16 / 1e3 : 0.0);
    printf("}");
}

static void
want(struct conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void
open_conn(struct conn *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void
open_again(struct conn *c)
{
    struct conn *next = c->next_idle;
    close(c->fd);
    open_conn(c);
    c->next_idle = next;
}

static void
pump(struct conn *c)
{
    while (c->sent < request_len) {
        ssize_t n =
            send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            want(c, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n <= 0)
            return; /* the read side tells */
        c->sent += (size_t)n;
    }
    want(c, EPOLLIN);
}

#define BLANK "#######"

static void
fill_blank(void)
{
    static uint64_t state = 88172645463325252u; /* xorshift: the same subjects in every run */
    char digits[16];
    if (!blank)
        return;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    snprintf(digits, sizeof digits, "%07u", (unsigned)(state % subjects));
    memcpy(blank, digits, sizeof BLANK - 1);
}

static void
start(struct conn *c, uint64_t intended)
{
    fill_blank();
    c->busy = true;
    c->sent = 0;
    c->state = HEAD;
    c->line_len = 0;
    c->first_byte = c->done_seen = false;
    c->mark_at = 0;
    c->intended_ns = intended;
    c->sent_ns = now_ns();
    memset(c->tail, 0, sizeof c->tail);
    ssize_t n = send(c->fd, request, request_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    c->sent = n > 0 ? (size_t)n : 0;
    if (c->sent < request_len)
        pump(c);
}

static void
finish(struct conn *c, bool in_order)
{
    uint64_t now = now_ns();
    c->busy = false;
    if (!in_order)
        broken++;
    else if (c->status == 200)
        ok++;
    else
        bad++;
    if (mode >= SSE) {
        if (in_order && c->done_seen)
            whole++;
        else
            cut++;
    }
    if (in_order)
        add(&latency, now - c->intended_ns);
    if (each)
        fprintf(each, "%" PRIu64 " %" PRIu64 " %d\n", c->intended_ns, (now - c->intended_ns) / 1000,
                in_order ? c->status : 0);
    if (!in_order)
        open_again(c);
    if (mode == RATE) {
        c->next_idle = idle;
        idle = c;
    } else if (now < end_ns && mode != HOLD) {
        start(c, now);
    }
}

/* Looks for the marks and the terminal in body bytes, across any split. */
static void
look(struct conn *c, const char *at, size_t n)
{
    if (mode < SSE)
        return;
    uint64_t now = 0;
    for (size_t i = 0; i < n; i++) {
        char b = at[i];
        if (c->mark_at == 0) {
            const char *t = memchr(at + i, 't', n - i);
            if (!t)
                break;
            i = (size_t)(t - at);
            c->mark_at = 1;
        } else if (c->mark_at == 1) {
            c->mark_at = b == '@' ? 2 : b == 't';
            c->mark = 0;
        } else {
            int digit = b >= '0' && b <= '9' ? b - '0' : b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
            if (digit < 0) {
                c->mark_at = 0;
                continue;
            }
            c->mark = c->mark << 4 | (uint64_t)digit;
            if (++c->mark_at == 18) {
                if (!now)
                    now = now_ns();
                chunks++;
                add(&delay, now - c->mark);
                c->mark_at = 0;
            }
        }
    }
    size_t keep = sizeof c->tail;
    if (n >= keep) {
        memcpy(c->tail, at + n - keep, keep);
    } else {
        memmove(c->tail, c->tail + n, keep - n);
        memcpy(c->tail + keep - n, at, n);
    }
    if (memmem(c->tail, keep, "[DONE]", 6))
        c->done_seen = true;
}

static void
end_of_head(struct conn *c)
{
    c->line[c->line_len] = '\0';
    c->status = c->line_len > 12 ? (int)strtol(c->line + 9, NULL, 10) : 0;
    const char *cl = strcasestr(c->line, "\ncontent-length:");
    bool chunked = strcasestr(c->line, "\ntransfer-encoding: chunked") != NULL;
    c->left = cl ? strtoull(cl + 16, NULL, 10) : 0;
    c->state = chunked ? CHUNK_SIZE : LENGTH;
    c->line_len = 0;
    if (!chunked && c->left == 0)
        finish(c, true);
}

static void
eat(struct conn *c, const char *at, size_t n)
{
    while (n > 0 && c->busy) {
        size_t take = 1;
        switch (c->state) {
        case HEAD:
            if (c->line_len + 1 >= sizeof c->line)
                die("response head too large");
            c->line[c->line_len++] = *at;
            if (c->line_len >= 4 && memcmp(c->line + c->line_len - 4, "\r\n\r\n", 4) == 0)
                end_of_head(c);
            break;
        case LENGTH:
            take = n < c->left ? n : c->left;
            look(c, at, take);
            c->left -= take;
            if (c->left == 0)
                finish(c, true);
            break;
        case CHUNK_SIZE:
            if (*at != '\n') {
                if (c->line_len < 20)
                    c->line[c->line_len++] = *at;
                break;
            }
            c->line[c->line_len] = '\0';
            c->left = strtoull(c->line, NULL, 16);
            c->line_len = 0;
            c->state = c->left ? CHUNK_DATA : LAST;
            break;
        case CHUNK_DATA:
            take = n < c->left ? n : c->left;
            if (mode >= SSE && !c->first_byte) {
                c->first_byte = true;
                add(&ttfb, now_ns() - c->intended_ns);
            }
            look(c, at, take);
            c->left -= take;
            if (c->left == 0)
                c->state = CHUNK_END;
            break;
        case CHUNK_END:
            if (*at == '\n')
                c->state = CHUNK_SIZE;
            break;
        case LAST:
            if (*at == '\n')
                finish(c, true);
            break;
        }
        at += take;
        n -= take;
    }
}

static void
on_readable(struct conn *c)
{
    static char buf[256 * 1024];
    ssize_t n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n > 0)
        eat(c, buf, (size_t)n);
    else if ((n == 0 || errno != EAGAIN) && c->busy)
        finish(c, false);
    else if (n == 0 || errno != EAGAIN)
        open_again(c); /* it was idle for too long */
}

static void
make_request(const char *body_file, char **headers, int n)
{
    FILE *f = fopen(body_file, "rb");
    if (!f)
        die(body_file);
    static char body[1 << 20];
    size_t len = fread(body, 1, sizeof body, f);
    fclose(f);
    request = malloc(len + 8192);
    int at = snprintf(request, 8192,
                      "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
                      "content-type: application/json\r\ncontent-length: %zu\r\n"
                      "accept: application/json\r\nuser-agent: bench/1\r\n",
                      port, len);
    for (int i = 0; i < n; i++)
        at += snprintf(request + at, 8192 - (size_t)at, "%s\r\n", headers[i]);
    at += snprintf(request + at, 8192 - (size_t)at, "\r\n");
    memcpy(request + at, body, len);
    request_len = (size_t)at + len;
    blank = memmem(request, request_len, BLANK, sizeof BLANK - 1);
}

static void
read_environment(void)
{
    const char *n = getenv("LOAD_SUBJECTS"), *log = getenv("LOAD_LOG");
    if (n)
        subjects = (unsigned)strtoul(n, NULL, 10) % 10000000;
    subjects = subjects ? subjects : 1;
    if (log && !(each = fopen(log, "w")))
        die(log);
    rests = getenv("LOAD_RESTS") != NULL;
}

static void
run_events_ns(uint64_t wait_ns)
{
    struct epoll_event got[256];
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                            .tv_nsec = (long)(wait_ns % 1000000000u)};
    int n = epoll_pwait2(ep, got, 256, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct conn *c = got[i].data.ptr;
        if ((got[i].events & EPOLLOUT) && c->sent < request_len)
            pump(c);
        if (got[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(c);
    }
}

static void
run_events(int wait_ms)
{
    run_events_ns((uint64_t)wait_ms * 1000000u);
}

/* Open loop: a request is due whether or not a connection is free; waiting counts as latency. */
static void
run_rate(double rps)
{
    uint64_t begin = now_ns(), sent = 0, due;
    double step = 1e9 / rps;
    for (;;) {
        uint64_t now = now_ns();
        due = begin + (uint64_t)((double)sent * step);
        if (now >= end_ns)
            break;
        if (now >= due && idle) {
            struct conn *c = idle;
            idle = c->next_idle;
            start(c, due);
            sent++;
            continue;
        }
        run_events_ns(rests && now < due ? due - now : 0);
    }
    uint64_t stop = now_ns() + 3000000000u;
    while (ok + bad + broken < sent && now_ns() < stop)
        run_events(10);
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {"closed", "rate", "sse", "hold"};
    if (argc < 6)
        die("usage: load closed|rate|sse|hold PORT N SECONDS BODY [HEADER...]");
    while (mode <= HOLD && strcmp(argv[1], names[mode]) != 0)
        mode++;
    if (mode > HOLD)
        die("mode is closed, rate, sse or hold");
    raise_nofile();
    read_environment();
    port = (int)strtol(argv[2], NULL, 10);
    double amount = strtod(argv[3], NULL), seconds = strtod(argv[4], NULL);
    count = mode == RATE ? 128 : (int)amount;
    make_request(argv[5], argv + 6, argc - 6);
    ep = epoll_create1(0);
    conns = calloc((size_t)count, sizeof *conns);
    uint64_t begin = now_ns();
    end_ns = begin + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < count; i++) {
        open_conn(&conns[i]);
        if (mode == RATE) {
            conns[i].next_idle = idle;
            idle = &conns[i];
        } else {
            start(&conns[i], now_ns());
            /* spread paced streams, and spare the listener's queue */
            if (mode == HOLD || i % 16 == 15)
                run_events(mode == HOLD ? 0 : 1);
        }
    }
    if (mode == HOLD) {
        while (ttfb.n < (size_t)count && now_ns() < end_ns)
            run_events(50);
        printf("open %zu\n", ttfb.n);
        fflush(stdout);
    }
    if (mode == RATE) {
        run_rate(amount);
    } else {
        while (now_ns() < end_ns)
            run_events(20);
        uint64_t stop = now_ns() + 2000000000u;
        for (int i = 0; i < count && mode != HOLD; i++)
            while (conns[i].busy && now_ns() < stop)
                run_events(20);
    }
    double took = (double)(now_ns() - begin) / 1e9;
    printf("{\"seconds\":%.3f,\"ok\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"broken\":%" PRIu64
           ",\"chunks\":%" PRIu64 ",\"whole\":%" PRIu64 ",\"cut\":%" PRIu64,
           took, ok, bad, broken, chunks, whole, cut);
    print_samples("latency_us", &latency);
    print_samples("ttfb_us", &ttfb);
    print_samples("delay_us", &delay);
    printf("}\n");
    return 0;
}
