/*
 * The provider of the benchmark: answers POST with a chat completion, whole or as a stream, from
 * one thread, fast enough never to be the limit. HTTP/1.1 keep-alive only; not a test double for
 * behaviour (tests/fakes has that).
 *
 *   upstream PORT
 *   GET /bench/set?chunks=N&delay_us=N&split=0|1&size=N   how answers look from now on
 *   GET /bench/stats                                      requests, open streams, bytes in
 *
 * Each stream chunk is about 280 bytes and carries "t@" and 16 hex digits: CLOCK_MONOTONIC
 * nanoseconds at its write, so the load generator can tell one-way delays.
 */
#include "tests/bench/bench.h"

#include <sys/queue.h>

#define IN_BYTES (256 * 1024)
#define OUT_BYTES (320 * 1024)

struct peer {
    int fd;
    size_t in_len, in_cap;
    char *in;
    size_t body_left; /* of a request whose head is parsed */
    bool anthropic;   /* asked at /messages */
    bool in_body, wants_stream, wants_usage;
    unsigned chunks_left;
    bool streaming;
    uint64_t due_ns;
    TAILQ_ENTRY(peer) link;
};

static TAILQ_HEAD(, peer) paced = TAILQ_HEAD_INITIALIZER(paced);
static unsigned chunks = 32, delay_us, split, size_bytes = 600;
static uint64_t requests, open_streams, bytes_in;
static char out[OUT_BYTES];

static void
drop(struct peer *p)
{
    if (p->streaming) {
        open_streams--;
        if (delay_us)
            TAILQ_REMOVE(&paced, p, link);
    }
    close(p->fd);
    free(p->in);
    free(p);
}

/* Blocking-ish: loopback buffers are large; a peer that does not read is waited for. */
static bool
send_all(struct peer *p, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t w = send(p->fd, bytes, n, MSG_NOSIGNAL);
        if (w > 0) {
            bytes += w;
            n -= (size_t)w;
        } else if (w < 0 && errno == EAGAIN) {
            struct pollfd f = {p->fd, POLLOUT, 0};
            if (poll(&f, 1, 5000) <= 0)
                return false;
        } else if (!(w < 0 && errno == EINTR)) {
            return false;
        }
    }
    return true;
}

static size_t
put_chunked(char *at, size_t room, const char *data, size_t n)
{
    int head = snprintf(at, room, "%zx\r\n", n);
    memcpy(at + head, data, n);
    memcpy(at + head + n, "\r\n", 2);
    return (size_t)head + n + 2;
}

static size_t
make_event(char *at, size_t room)
{
    char event[512];
    int n = snprintf(
        event, sizeof event,
        "data: {\"id\":\"chatcmpl-bench00000000000000000000\",\"object\":\"chat.completion.chunk\","
        "\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
        "\" t@%016" PRIx64 "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
        now_ns());
    return put_chunked(at, room, event, (size_t)n);
}

/* The same piece of text as Anthropic sends it. */
static size_t
make_delta(char *at, size_t room)
{
    char event[512];
    int n =
        snprintf(event, sizeof event,
                 "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                 "\"delta\":{\"type\":\"text_delta\",\"text\":\" t@%016" PRIx64 "\"}}\n\n",
                 now_ns());
    return put_chunked(at, room, event, (size_t)n);
}

static const char message_start[] =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_bench\","
    "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-bench\",\"content\":[],"
    "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":210,"
    "\"output_tokens\":1}}}\n\n"
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";

static size_t
make_message_tail(char *at, size_t room)
{
    char tail[512];
    int n = snprintf(
        tail, sizeof tail,
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
        "\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{"
        "\"output_tokens\":%u}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        chunks);
    size_t len = put_chunked(at, room, tail, (size_t)n);
    memcpy(at + len, "0\r\n\r\n", 5);
    return len + 5;
}

static size_t
make_tail(const struct peer *p, char *at, size_t room)
{
    char tail[1024];
    if (p->anthropic)
        return make_message_tail(at, room);
    int n = snprintf(
        tail, sizeof tail,
        "data: {\"id\":\"chatcmpl-bench00000000000000000000\",\"object\":\"chat.completion.chunk\","
        "\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,"
        "\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    if (p->wants_usage)
        n += snprintf(tail + n, sizeof tail - (size_t)n,
                      "data: {\"id\":\"chatcmpl-bench00000000000000000000\",\"object\":"
                      "\"chat.completion.chunk\",\"created\":1760000000,\"model\":"
                      "\"gpt-4o-mini-2024-07-18\",\"choices\":[],\"usage\":{\"prompt_tokens\":210,"
                      "\"completion_tokens\":%u,\"total_tokens\":%u}}\n\n",
                      chunks, 210 + chunks);
    n += snprintf(tail + n, sizeof tail - (size_t)n, "data: [DONE]\n\n");
    size_t len = put_chunked(at, room, tail, (size_t)n);
    memcpy(at + len, "0\r\n\r\n", 5);
    return len + 5;
}

static const char stream_head[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    "transfer-encoding: chunked\r\nx-request-id: req_bench\r\nopenai-processing-ms: 12\r\n\r\n";

static bool
answer_stream(struct peer *p)
{
    size_t n = sizeof stream_head - 1;
    memcpy(out, stream_head, n);
    if (p->anthropic)
        n += put_chunked(out + n, OUT_BYTES - n, message_start, sizeof message_start - 1);
    if (delay_us) {
        p->streaming = true;
        open_streams++;
        p->chunks_left = chunks;
        p->due_ns = now_ns() + (uint64_t)delay_us * 1000;
        TAILQ_INSERT_TAIL(&paced, p, link);
        return send_all(p, out, n);
    }
    for (unsigned i = 0; i < chunks; i++) {
        if (split || n > OUT_BYTES - 4096) {
            if (!send_all(p, out, n))
                return false;
            n = 0;
        }
        n += p->anthropic ? make_delta(out + n, OUT_BYTES - n) : make_event(out + n, OUT_BYTES - n);
    }
    n += make_tail(p, out + n, OUT_BYTES - n);
    return send_all(p, out, n);
}

static int
make_message(char *at, size_t room, const char *text)
{
    return snprintf(at, room,
                    "{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
                    "\"claude-bench\",\"content\":[{\"type\":\"text\",\"text\":\"%.*s\"}],"
                    "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{"
                    "\"input_tokens\":210,\"output_tokens\":150}}",
                    (int)size_bytes, text);
}

static bool
answer_whole(struct peer *p)
{
    static char body[OUT_BYTES / 2];
    static char text[OUT_BYTES / 4];
    memset(text, 'x', size_bytes);
    int n =
        p->anthropic
            ? make_message(body, sizeof body, text)
            : snprintf(
                  body, sizeof body,
                  "{\n  \"id\": \"chatcmpl-bench00000000000000000000\",\n  \"object\": "
                  "\"chat.completion\",\n"
                  "  \"created\": 1760000000,\n  \"model\": \"gpt-4o-mini-2024-07-18\",\n  "
                  "\"choices\": [\n"
                  "    {\n      \"index\": 0,\n      \"message\": {\n        \"role\": "
                  "\"assistant\",\n"
                  "        \"content\": \"%.*s\",\n        \"refusal\": null,\n        "
                  "\"annotations\": []\n"
                  "      },\n      \"logprobs\": null,\n      \"finish_reason\": \"stop\"\n    }\n "
                  " ],\n"
                  "  \"usage\": {\n    \"prompt_tokens\": 210,\n    \"completion_tokens\": 150,\n"
                  "    \"total_tokens\": 360,\n    \"prompt_tokens_details\": {\n      "
                  "\"cached_tokens\": 0\n"
                  "    }\n  },\n  \"service_tier\": \"default\",\n  \"system_fingerprint\": "
                  "\"fp_bench\"\n}\n",
                  (int)size_bytes, text);
    int h = snprintf(out, sizeof out,
                     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                     "x-request-id: req_bench\r\nopenai-processing-ms: 12\r\nopenai-version: "
                     "2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\n"
                     "x-ratelimit-remaining-requests: 9999\r\n\r\n",
                     n);
    memcpy(out + h, body, (size_t)n);
    return send_all(p, out, (size_t)(h + n));
}

static unsigned
knob(const char *query, const char *name, unsigned now)
{
    const char *at = strstr(query, name);
    return at ? (unsigned)strtoul(at + strlen(name), NULL, 10) : now;
}

static bool
answer_control(struct peer *p, const char *target)
{
    if (strncmp(target, "/bench/set?", 11) == 0) {
        chunks = knob(target, "chunks=", chunks);
        delay_us = knob(target, "delay_us=", delay_us);
        split = knob(target, "split=", split);
        size_bytes = knob(target, "size=", size_bytes);
    }
    char body[256];
    int n = snprintf(body, sizeof body,
                     "{\"requests\":%" PRIu64 ",\"open_streams\":%" PRIu64 ",\"bytes_in\":%" PRIu64
                     "}\n",
                     requests, open_streams, bytes_in);
    n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", n, body);
    return send_all(p, out, (size_t)n);
}

/* One request if it is complete in the buffer: 1 done, 0 needs more, -1 drop the peer. */
static int
serve_one(struct peer *p)
{
    char *end = memmem(p->in, p->in_len, "\r\n\r\n", 4);
    if (!end)
        return p->in_len == p->in_cap ? -1 : 0;
    *end = '\0';
    size_t head = (size_t)(end - p->in) + 4;
    const char *cl = strcasestr(p->in, "\ncontent-length:");
    size_t length = cl ? strtoul(cl + 16, NULL, 10) : 0;
    if (head + length > p->in_len) {
        *end = '\r';
        if (head + length > p->in_cap) {
            char *more = realloc(p->in, head + length + 4096);
            if (!more)
                return -1;
            p->in = more;
            p->in_cap = head + length + 4096;
        }
        return 0;
    }
    bool fine;
    if (strncmp(p->in, "GET ", 4) == 0) {
        fine = answer_control(p, p->in + 4);
    } else {
        const char *body = p->in + head;
        /* the benchmark's own bodies say "stream": true near an end: look at both */
        size_t edge = length < 400 ? length : 400;
        bool stream = memmem(body, edge, "\"stream\": true", 14) ||
                      memmem(body + length - edge, edge, "\"stream\": true", 14) ||
                      memmem(body, edge, "\"stream\":true", 13) ||
                      memmem(body + length - edge, edge, "\"stream\":true", 13);
        p->wants_usage = memmem(body, edge, "include_usage", 13) ||
                         memmem(body + length - edge, edge, "include_usage", 13);
        p->anthropic = strstr(p->in, "/messages ") != NULL;
        requests++;
        fine = stream ? answer_stream(p) : answer_whole(p);
    }
    memmove(p->in, p->in + head + length, p->in_len - head - length);
    p->in_len -= head + length;
    return fine ? 1 : -1;
}

static void
on_readable(struct peer *p)
{
    for (;;) {
        ssize_t n = recv(p->fd, p->in + p->in_len, p->in_cap - p->in_len, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            drop(p);
            return;
        }
        if (n < 0)
            return;
        bytes_in += (uint64_t)n;
        p->in_len += (size_t)n;
        bool was_full = p->in_len == p->in_cap;
        int done = 1;
        while (p->in_len > 0 && !p->streaming && (done = serve_one(p)) == 1)
            ;
        if (done < 0) {
            drop(p);
            return;
        }
        if (!was_full)
            return;
    }
}

/* Sends the chunks that are due; the queue is in order of time since all share one delay. */
static int
run_paced(void)
{
    uint64_t now = now_ns();
    struct peer *p;
    while ((p = TAILQ_FIRST(&paced)) && p->due_ns <= now) {
        TAILQ_REMOVE(&paced, p, link);
        size_t n = 0;
        if (p->chunks_left > 0) {
            n = make_event(out, sizeof out);
            p->chunks_left--;
            p->due_ns += (uint64_t)delay_us * 1000;
            TAILQ_INSERT_TAIL(&paced, p, link);
        } else {
            n = make_tail(p, out, sizeof out);
            p->streaming = false;
            open_streams--;
        }
        if (!send_all(p, out, n))
            drop(p);
    }
    if (!p)
        return -1;
    now = now_ns();
    return p->due_ns <= now ? 0 : (int)((p->due_ns - now) / 1000000);
}

int
main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: upstream PORT");
    raise_nofile();
    int listener = listen_on((int)strtol(argv[1], NULL, 10));
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        struct epoll_event got[256];
        int wait = run_paced();
        int n = epoll_wait(ep, got, 256, wait);
        for (int i = 0; i < n; i++) {
            if (got[i].data.ptr) {
                on_readable(got[i].data.ptr);
                continue;
            }
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                int one = 1;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct peer *p = calloc(1, sizeof *p);
                p->fd = fd;
                p->in_cap = 16 * 1024;
                p->in = malloc(p->in_cap);
                struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
            }
        }
    }
}
