/*
 * What may and what must not be taken for an HTTP/1.1 request (F006 to F019): a corpus over a real
 * server. Each entry is sent whole, split at every offset and byte by byte, and must give the same
 * answers each time (F019).
 */
#include "tests/unit/lib/http/h1_rig.h"

struct entry {
    const char *bytes;
    size_t len;
    const char *verdict; /* see read_verdict(); the connection always ends: the client sends FIN */
    const char *has;     /* in the answer */
};

#define E(bytes, verdict)                                                                          \
    {                                                                                              \
        (bytes), sizeof(bytes) - 1, (verdict), NULL                                                \
    }
#define EH(bytes, verdict, has)                                                                    \
    {                                                                                              \
        (bytes), sizeof(bytes) - 1, (verdict), (has)                                               \
    }
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define HOST "Host: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static struct rig rig;

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* The answers without their dates. */
static char *
without_dates(struct raw *r)
{
    char *text = strdup(raw_text(r)), *at;
    assert_non_null(text);
    while ((at = strstr(text, "date: ")))
        memmove(at, strstr(at, "\r\n"), strlen(strstr(at, "\r\n")) + 1);
    return text;
}

/* Sends the entry in pieces and gives all that came back. */
static char *
converse(const struct entry *e, const size_t *cuts, size_t count, struct verdict *ret_verdict)
{
    struct raw *r = rig_connect(&rig);
    size_t at = 0;
    for (size_t i = 0; i <= count && !raw_is_over(r); i++) {
        size_t end = i < count ? cuts[i] : e->len;
        raw_send(r, e->bytes + at, end - at);
        if (i < count)
            turns_run(&rig.turns);
        at = end;
    }
    shutdown(r->watch.fd, SHUT_WR);
    WAIT(rig.loop, raw_is_over(r));
    *ret_verdict = read_verdict(r);
    char *text = without_dates(r);
    raw_free(r);
    return text;
}

static void
print_entry(const struct entry *e)
{
    print_message("entry: ");
    for (size_t i = 0; i < e->len && i < 300; i++) {
        unsigned char c = (unsigned char)e->bytes[i];
        if (c >= 0x20 && c < 0x7f)
            print_message("%c", c);
        else
            print_message("\\x%02x", c);
    }
    print_message("\n");
}

static void
check_split(const struct entry *e, const size_t *cuts, size_t count, const char *whole,
            size_t requests)
{
    struct verdict v;
    size_t before = rig.app.requests;
    char *text = converse(e, cuts, count, &v);
    if (strcmp(text, whole) != 0 || rig.app.requests - before != requests) {
        print_entry(e);
        print_message("cut at %zu (%zu cuts), whole:\n%s\nsplit:\n%s\n", count ? cuts[0] : 0, count,
                      whole, text);
        fail_msg("F019: the answer depends on how the bytes were split");
    }
    free(text);
}

static void
check(const struct entry *e)
{
    struct verdict v;
    size_t before = rig.app.requests, cuts[4096];
    char *whole = converse(e, NULL, 0, &v);
    size_t requests = rig.app.requests - before;
    if (strcmp(v.text, e->verdict) != 0 || (e->has && !strstr(whole, e->has))) {
        print_entry(e);
        print_message("answer:\n%s\n", whole);
        fail_msg("expected %s %s, got %s", e->verdict, e->has ? e->has : "", v.text);
    }
    size_t step = e->len > 400 ? e->len / 97 : 1;
    for (size_t cut = 1; cut < e->len; cut += step)
        check_split(e, &cut, 1, whole, requests);
    size_t count = 0;
    for (size_t at = 1; at < e->len && e->len <= 4096; at++)
        cuts[count++] = at;
    if (count > 0)
        check_split(e, cuts, count, whole, requests);
    free(whole);
}

static void
check_all(const struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(&entries[i]);
    assert_int_equal(rig.app.live, 0);
}
#define CHECK(entries) check_all((entries), sizeof(entries) / sizeof *(entries))

/* --- what is good --------------------------------------------------------------------------------
 */

static void
test_requests_as_they_should_be(void **state)
{
    static const struct entry entries[] = {
        EH(GET HOST "\r\n", "200!", "[GET / @a v11 |]"),
        EH("\r\n" GET HOST "\r\n", "200!", "[GET / @a v11 |]"),
        EH("GET /v1/models?a=b&c HTTP/1.1\r\nhost: a:8080\r\n\r\n", "200!",
           "[GET /v1/models?a=b&c @a:8080 v11 |]"),
        EH(GET "HOST: A\r\nX-Some-Thing:  v v \t\r\nEmpty:\r\n\r\n", "200!",
           "x-some-thing=v v empty= |]"),
        EH(POST "Content-Length: 5\r\n\r\nhello", "200!", "content-length=5 |hello]"),
        EH(POST "Content-Length: 0\r\n\r\n", "200!", "content-length=0 |]"),
        EH(POST "\r\n", "200!", "[POST / @a v11 |]"),
        EH(CHUNKED "5\r\nhello\r\n0\r\n\r\n", "200!", "[POST / @a v11 |hello]"),
        EH(CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "200!", "|hello world]"),
        EH(CHUNKED "0\r\n\r\n", "200!", "|]"),
        EH(POST "transfer-encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "200!", "|x]"),
        EH("HEAD / HTTP/1.1\r\n" HOST "\r\n", "200~!", "content-length: 17"),
        EH("DELETE /a HTTP/1.1\r\n" HOST "\r\n", "200!", "[DELETE /a"),
        EH("PATCH /a HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", "200!", "|x]"),
        EH(GET HOST "A: \x80\xff\xc3\xa9\r\n\r\n", "200!", "a=\x80\xff\xc3\xa9"),
        EH(GET HOST "A: a\tb\r\n\r\n", "200!", "a=a\tb"),
        EH(GET HOST "Connection: close\r\n\r\n", "200!", "connection: close"),
        EH(GET HOST "Connection: keep-alive, TE\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n", "200!",
           "[GET / @a v11 |]"),
        EH(GET HOST "Proxy-Connection: x\r\nProxy-Authorization: Basic eA==\r\n\r\n", "200!",
           "[GET / @a v11 |]"),
        EH(GET HOST "Cookie: a=b\r\nCookie: c=d\r\n\r\n", "200!", "cookie=a=b cookie=c=d"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_http_1_0(void **state)
{
    static const struct entry entries[] = {
        EH("GET / HTTP/1.0\r\n\r\n", "200!", "[GET / @ v10 |]"),
        EH("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "200!", "connection: close"),
        EH("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" GET HOST "\r\n",
           "200 200!", "connection: keep-alive"),
        EH("GET / HTTP/1.0\r\n\r\n" GET HOST "\r\n", "200!", "v10 |]"),
        EH("POST /stream HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "200!", "\r\n\r\nabc"),
        E("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400!"),
        E("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400!"),
        EH("GET / HTTP/1.0\r\nExpect: 200-maybe\r\n\r\n", "200!", "v10"),
    };
    (void)state;
    CHECK(entries);
}

/* --- F008: expectations --------------------------------------------------------------------------
 */

static void
test_f008_expectations(void **state)
{
    static const struct entry entries[] = {
        E(POST "Expect: 200-maybe\r\nContent-Length: 1\r\n\r\nx", "417!"),
        E(POST "Expect: \r\nContent-Length: 1\r\n\r\nx", "417!"),
        E(POST "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
          "417!"),
        E(POST "Expect: 100-continue\r\nContent-Length: 40000000\r\n\r\n", "413!"),
        E("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "200!"),
        E("POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
          "401!"),
    };
    (void)state;
    CHECK(entries);
}

/* --- F009 to F011: framing -----------------------------------------------------------------------
 */

static void
test_f009_length_with_chunked(void **state)
{
    static const struct entry entries[] = {
        E(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x", "400!"),
        E(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400!"),
        E(POST "transfer-encoding: CHUNKED\r\ncontent-LENGTH: 0\r\n\r\n0\r\n\r\n", "400!"),
        E(POST "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello", "400!"),
        E(POST "Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400!"),
    };
    (void)state;
    CHECK(entries);
}

#define TE(value) E(POST "Transfer-Encoding: " value "\r\n\r\n0\r\n\r\n", "400!")

static void
test_f010_transfer_encodings(void **state)
{
    static const struct entry entries[] = {
        TE(",chunked"),
        TE("chunked,"),
        TE("chunked,chunked"),
        TE("chunked, identity"),
        TE("identity, chunked"),
        TE("gzip, chunked"),
        TE("identity"),
        TE("xchunked"),
        TE("chunkedx"),
        TE("chunked;q=1"),
        TE("\x0b"
           "chunked"),
        TE("\"chunked\""),
        TE("chun ked"),
        TE(""),
        TE("chunked\r\nTransfer-Encoding: chunked"),
        TE("identity\r\nTransfer-Encoding: chunked"),
        TE("\r\n chunked"),
        TE("chunked\r\n ,identity"),
        E(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400!"),
        E(POST "Transfer-\r\nEncoding: chunked\r\n\r\n0\r\n\r\n", "400!"),
        E(POST " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400!"),
        E(POST "Transfer-Encoding:chunked\0\r\n\r\n0\r\n\r\n", "400!"),
        /* A tab around the value is no part of it by RFC 9110 5.5, but llhttp and others differ. */
        TE("chunked\t"),
        E(POST "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n", "200!"),
    };
    (void)state;
    CHECK(entries);
}

#define CL(value) E(POST "Content-Length: " value "\r\n\r\nhello", "400!")

static void
test_f011_content_lengths(void **state)
{
    static const struct entry entries[] = {
        CL("5\r\nContent-Length: 5"),
        CL("5\r\nContent-Length: 6"),
        CL("5\r\ncontent-length: 0"),
        CL("1,1"),
        CL("5, 5"),
        CL("5,"),
        CL("+5"),
        CL("-0"),
        CL("-48"),
        CL("0x10"),
        CL("010"),
        CL("05"),
        CL("00"),
        CL("1_0"),
        CL("5 5"),
        CL("5\t5"),
        CL(""),
        CL("\r\nContent-Length: 5"),
        CL("1Z"),
        CL("5e0"),
        CL("5.0"),
        CL("9223372036854775808"),
        CL("18446744073709551621"),
        CL("10000000000000000000000000000000000000000"),
        CL("5\0"),
        CL("\xb2"),
        E(POST "Content-Length: 9223372036854775807\r\n\r\n", "413!"),
    };
    (void)state;
    CHECK(entries);
}

/* --- F012: lines ---------------------------------------------------------------------------------
 */

static void
test_f012_line_ends(void **state)
{
    static const struct entry entries[] = {
        E("GET / HTTP/1.1\nHost: a\r\n\r\n", "400!"),
        E("GET / HTTP/1.1\r\nHost: a\n\r\n", "400!"),
        E("GET / HTTP/1.1\r\nHost: a\r\n\n", "400!"),
        E("GET / HTTP/1.1\nHost: a\n\n", "400!"),
        E("GET / HTTP/1.1\rHost: a\r\n\r\n", "400!"),
        E("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "400!"),
        E(GET HOST "A:\rb\r\n\r\n", "400!"),
        E(GET HOST "A\r: b\r\n\r\n", "400!"),
        E(GET HOST "A: b\r\r\n\r\n", "400!"),
        E(GET HOST "\r\r\n", "400!"),
        E(GET HOST "\r\n\rX", "200 400!"), /* the end, and then no request */
        E(GET HOST "A: b\r\n\rX: c\r\n\r\n", "400!"),
        E("\n" GET HOST "\r\n", "400!"),
        E("\r" GET HOST "\r\n", "400!"),
        E("\r\n\r\n" GET HOST "\r\n", "400!"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f012_folding(void **state)
{
    static const struct entry entries[] = {
        E(GET HOST "A: b\r\n c\r\n\r\n", "400!"), E(GET HOST "A: b\r\n\tc\r\n\r\n", "400!"),
        E(GET " Host: a\r\n\r\n", "400!"),        E(GET "\tHost: a\r\n\r\n", "400!"),
        E(GET HOST " \r\n\r\n", "400!"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f012_names(void **state)
{
    static const struct entry entries[] = {
        E(GET HOST ": b\r\n\r\n", "400!"),      E(GET HOST "A : b\r\n\r\n", "400!"),
        E(GET HOST "A\t: b\r\n\r\n", "400!"),   E(GET HOST "A b: c\r\n\r\n", "400!"),
        E(GET HOST "A\r\n\r\n", "400!"),        E(GET HOST "\x80: b\r\n\r\n", "400!"),
        E(GET HOST "A\xff: b\r\n\r\n", "400!"), E(GET HOST "A(: b\r\n\r\n", "400!"),
        E(GET HOST "\"A\": b\r\n\r\n", "400!"), E(GET HOST "A\0: b\r\n\r\n", "400!"),
        E(GET HOST "A/B: b\r\n\r\n", "400!"),   E(GET HOST "{A}: b\r\n\r\n", "400!"),
        E(GET HOST "A@: b\r\n\r\n", "400!"),    E(GET HOST "A\\: b\r\n\r\n", "400!"),
    };
    (void)state;
    CHECK(entries);
    for (int c = 1; c < 0x20; c++) {
        char bytes[] = GET HOST "Ax: b\r\n\r\n";
        *(strstr(bytes, "Ax") + 1) = (char)c;
        struct entry e = {bytes, sizeof bytes - 1, "400!", NULL};
        check(&e);
    }
}

static void
test_f012_values(void **state)
{
    static const struct entry entries[] = {
        E(GET HOST "A: b\0c\r\n\r\n", "400!"),
        E(GET HOST "A: \x7f\r\n\r\n", "400!"),
        E(GET HOST "A: \x1b[0m\r\n\r\n", "400!"),
        /* Not white space, whatever some languages think: it stays. */
        EH(GET HOST "A: \x85"
                    "b\xa0\r\n\r\n",
           "200!",
           "a=\x85"
           "b\xa0"),
        E(POST "Content-Length: \x85"
               "5\r\n\r\nhello",
          "400!"),
        E(POST "Content-Length: 5\xa0\r\n\r\nhello", "400!"),
        E(POST "Transfer-Encoding: \xa0"
               "chunked\r\n\r\n0\r\n\r\n",
          "400!"),
    };
    (void)state;
    CHECK(entries);
    for (int c = 1; c < 0x20; c++) {
        char bytes[] = GET HOST "A: bxc\r\n\r\n";
        *(strstr(bytes, "bxc") + 1) = (char)c;
        struct entry e = {bytes, sizeof bytes - 1, c == '\t' ? "200!" : "400!", NULL};
        check(&e);
    }
}

/* --- F013, F014: chunks --------------------------------------------------------------------------
 */

#define SIZE(size) E(CHUNKED size "\r\nhello\r\n0\r\n\r\n", "400!")

static void
test_f013_chunk_sizes(void **state)
{
    static const struct entry entries[] = {
        SIZE(""),
        SIZE("-0x0"),
        SIZE("-5"),
        SIZE("+5"),
        SIZE("0x5"),
        SIZE("1_0"),
        SIZE(" 5"),
        SIZE("5 "),
        SIZE("5\t"),
        SIZE("00000000000000000005"),
        SIZE("12345678901234567"),
        SIZE("FFFFFFFFFFFFFFFF"),
        SIZE("8000000000000000"),
        SIZE("5;"),
        SIZE("5;;a"),
        SIZE("5; a"),
        SIZE("5;a b"),
        SIZE("5;a="),
        SIZE("5;a=\"b"),
        SIZE("5;a=\"b\"c"),
        SIZE("5;a=b\r"),
        SIZE("5;a\0=b"),
        SIZE("5;a=b=c"),
        E(CHUNKED "\r\n\r\n", "400!"),
        E(CHUNKED ";a\r\n\r\n", "400!"),
        SIZE("5these"),
        SIZE("5\0"),
        SIZE("g"),
        E(CHUNKED "5\nhello\r\n0\r\n\r\n", "400!"),
        E(CHUNKED "5\rhello\r\n0\r\n\r\n", "400!"),
        E(CHUNKED "5;a\nhello\r\n0\r\n\r\n", "400!"),
        E(CHUNKED "5\r\nhello\n0\r\n\r\n", "400!"),
        E(CHUNKED "5\r\nhello\r0\r\n\r\n", "400!"),
        E(CHUNKED "5\r\nhelloXX0\r\n\r\n", "400!"),
        E(CHUNKED "5\r\nhello0\r\n\r\n", "400!"),
        E(CHUNKED "5\r\nhello\r\n\r\n0\r\n\r\n", "400!"),
        E(CHUNKED "5\r\nhello\r\n0\n\n", "400!"),
        E(CHUNKED "5\r\nhello\r\n0\r\n\n", "400!"),
        E(CHUNKED "5\r\nhello\r\n0\r\n\rX", "400!"),
        E(CHUNKED "\r\n5\r\nhello\r\n0\r\n\r\n", "400!"),
        E(CHUNKED "7FFFFFFFFFFFFFFF\r\nhello", "413!"),
        EH(CHUNKED "0000000000000005\r\nhello\r\n0000\r\n\r\n", "200!", "|hello]"),
        EH(CHUNKED "5\r\nhello\r\nA\r\n0123456789\r\nb\r\n0123456789x\r\n0\r\n\r\n", "200!",
           "|hello01234567890123456789x]"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f014_chunk_extensions_are_dropped(void **state)
{
    static const struct entry entries[] = {
        EH(CHUNKED "5;a\r\nhello\r\n0;b=c;d=\"e \\\" ; f\"\r\n\r\n", "200!", "|hello]"),
        E(CHUNKED "5;a=b\r\rXX\r\nhello\r\n0\r\n\r\n", "400!"),
        E(CHUNKED "5;a=\"\x01\"\r\nhello\r\n0\r\n\r\n", "400!"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f014_trailers_are_discarded(void **state)
{
    static const struct entry entries[] = {
        EH(CHUNKED "5\r\nhello\r\n0\r\nX-Sum: 1\r\nAuthorization: Bearer x\r\n\r\n", "200!",
           "[POST / @a v11 |hello]"),
        EH(CHUNKED "5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n" GET HOST
                   "\r\n",
           "200 200!", "[GET / @a v11 |]"),
        E(CHUNKED "0\r\n X: folded\r\n\r\n", "400!"),
        E(CHUNKED "0\r\n: empty name\r\n\r\n", "400!"),
        E(CHUNKED "0\r\nno colon\r\n\r\n", "400!"),
        E(CHUNKED "0\r\nX: a\nY: b\r\n\r\n", "400!"),
        E(CHUNKED "0\r\nX: a\0\r\n\r\n", "400!"),
        E(CHUNKED "0\r\nX: a\r\r\n\r\n", "400!"),
    };
    (void)state;
    CHECK(entries);
}

/* --- F015: targets and Host ----------------------------------------------------------------------
 */

#define TARGET(target, verdict) E("GET " target " HTTP/1.1\r\n" HOST "\r\n", verdict)

static void
test_f015_targets(void **state)
{
    static const struct entry entries[] = {
        TARGET("*", "400!"),
        TARGET("a", "400!"),
        TARGET("", "400!"),
        TARGET("/a#b", "400!"),
        TARGET("/%00", "400!"),
        TARGET("/%", "400!"),
        TARGET("/%2", "400!"),
        TARGET("/%gg", "400!"),
        TARGET("/\\evil", "400!"),
        TARGET("/a b", "400!"),
        TARGET("/\x80", "400!"),
        TARGET("/a\tb", "400!"),
        TARGET("http:/a/", "400!"),
        TARGET("http://", "400!"),
        TARGET("ftp://a/", "400!"),
        TARGET("//a",
               "200!"), /* a path like any other: whoever matches paths, matches them exactly */
        TARGET("/a/../b", "200!"),
        TARGET("/..%2f..%2fadmin", "200!"),
        TARGET("/a;jsessionid=1", "200!"),
        EH("GET http://a/x HTTP/1.1\r\n" HOST "\r\n", "200!", "[GET /x @a"),
        EH("GET HTTP://A HTTP/1.1\r\n" HOST "\r\n", "200!", "[GET / @a"),
        EH("GET http://a?x=1 HTTP/1.1\r\n" HOST "\r\n", "200!", "[GET /?x=1 @a"),
        TARGET("http://b/", "400!"),
        TARGET("http://a:80/", "400!"),
        TARGET("http://u@a/", "400!"),
        TARGET("http://a@b/", "400!"),
        TARGET("http://a#/", "400!"),
        EH("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "200!", "[OPTIONS * @a"),
        E("OPTIONS a HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "501!"),
        E("CONNECT / HTTP/1.1\r\n" HOST "\r\n", "501!"),
    };
    (void)state;
    CHECK(entries);
}

#define H(value) E(GET "Host: " value "\r\n\r\n", "400!")

static void
test_f015_hosts(void **state)
{
    static const struct entry entries[] = {
        E(GET "\r\n", "400!"),
        E(GET "X: y\r\n\r\n", "400!"),
        E(GET HOST HOST "\r\n", "400!"),
        E(GET HOST "host: b\r\n\r\n", "400!"),
        H(""),
        H("a\0.b"),
        H("u:p@a"),
        H("u@a"),
        H("a b"),
        H("a, b"),
        H("a/b"),
        H("a:b"),
        H("a:99999"),
        H("[::1"),
        H("a?x"),
        H("a#x"),
        H("http://a"),
        H("\x80"),
        EH(GET "Host: [::1]:80\r\n\r\n", "200!", "@[::1]:80"),
        EH(GET "Host: 127.0.0.1:8080\r\n\r\n", "200!", "@127.0.0.1:8080"),
    };
    (void)state;
    CHECK(entries);
}

/* --- F016: versions, methods, noise --------------------------------------------------------------
 */

static void
test_f016_versions(void **state)
{
    static const struct entry entries[] = {
        E("GET / HTTP/1.2\r\n" HOST "\r\n", "505!"),
        E("GET / HTTP/9.9\r\n" HOST "\r\n", "505!"),
        E("GET / HTTP/2.0\r\n" HOST "\r\n", "505!"),
        E("GET / HTTP/0.9\r\n" HOST "\r\n", "505!"),
        E("GET / HTTP/1.1junk\r\n" HOST "\r\n", "400!"),
        E("GET / http/1.1\r\n" HOST "\r\n", "400!"),
        E("GET / HTTP/1\r\n" HOST "\r\n", "400!"),
        E("GET / HTTP/1.10\r\n" HOST "\r\n", "400!"),
        E("GET / HTTP/01.1\r\n" HOST "\r\n", "400!"),
        E("GET / HTTP/1.1 \r\n" HOST "\r\n", "400!"),
        E("GET /\r\n" HOST "\r\n", "400!"),
        E("GET / \r\n" HOST "\r\n", "400!"),
        E("GET  / HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("GET /  HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("GET\t/ HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E(" GET / HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("GET / HTTP/ 1.1\r\n" HOST "\r\n", "400!"),
        E("GET\r\n\r\n", "400!"),
        E("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "505!"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f016_methods(void **state)
{
    static const struct entry entries[] = {
        E("get / HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("Get / HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("G=\":<>(e) / HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("G\x80T / HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("G\0T / HTTP/1.1\r\n" HOST "\r\n", "400!"),
        E("BREW / HTTP/1.1\r\n" HOST "\r\n", "501!"),
        E("TRACK / HTTP/1.1\r\n" HOST "\r\n", "501!"),
        E("TRACE / HTTP/1.1\r\n" HOST "\r\n", "200!"), /* what serves a path says what it takes */
        E("PROPFIND / HTTP/1.1\r\n" HOST "\r\n", "501!"),
        E("GETT / HTTP/1.1\r\n" HOST "\r\n", "501!"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f016_noise(void **state)
{
    static const struct entry entries[] = {
        E("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400!"), /* a TLS ClientHello */
        E("\x00\x00\x00\x00", "400!"),
        E("SSH-2.0-OpenSSH_9.2\r\n", "!"),
        E("SSH-2.0-OpenSSH_9.2\r\n\r\n", "400!"),
        E("\x80\x2e\x01\x03\x01", "400!"), /* one of SSL 2.0 */
        E("{\"json\":true}\r\n\r\n", "400!"),
        E("", "!"),
        E("G", "!"),
        E("GET / HTTP/1.1\r\nHost: a\r\n", "!"),
        E("PRI * HTT", "!"),
    };
    (void)state;
    CHECK(entries);
    srand(16);
    for (int i = 0; i < 300; i++) {
        char noise[200];
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (char)rand();
        struct entry e = {noise, sizeof noise, NULL, NULL};
        struct verdict v;
        free(converse(&e, NULL, 0, &v));
        assert_true(strcmp(v.text, "400!") == 0 || strcmp(v.text, "!") == 0);
    }
}

/* --- F017: bodies where none belong, Connection as a weapon --------------------------------------
 */

static void
test_f017_bodies_of_other_methods_are_framed(void **state)
{
    static const struct entry entries[] = {
        EH(GET HOST "Content-Length: 5\r\n\r\nhello" GET HOST "\r\n", "200 200!", "|hello]"),
        EH("DELETE / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET HOST "\r\n",
           "200 200!", "|hello]"),
        EH(GET HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" GET HOST "\r\n",
           "200 200!", "|hello]"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f017_connection_cannot_strip_fields(void **state)
{
    static const struct entry entries[] = {
        E(POST "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", "400!"),
        E(POST "Connection: close, content-length\r\nContent-Length: 5\r\n\r\nhello", "400!"),
        E(GET HOST "X-Api-Key: k\r\nConnection: x-api-key\r\n\r\n", "400!"),
        E(GET HOST "Connection: Authorization\r\nAuthorization: Bearer k\r\n\r\n", "400!"),
        E(GET HOST "Connection: host\r\n\r\n", "400!"),
        E(POST "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "400!"),
        E(GET HOST "Connection: x-not-there, close\r\n\r\n", "200!"),
        E(GET HOST "Connection: a\r\nConnection: b\r\nConnection: c\r\nConnection: d\r\n"
                   "Connection: e\r\nConnection: f\r\nConnection: g\r\nConnection: h\r\n"
                   "Connection: i\r\n\r\n",
          "400!"),
    };
    (void)state;
    CHECK(entries);
}

static void
test_f042_upgrades_are_ignored(void **state)
{
    static const struct entry entries[] = {
        EH(GET HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
                    "\r\n",
           "200!", "[GET / @a v11 |]"),
        EH(GET HOST
           "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n" GET HOST
           "\r\n",
           "200 200!", "sec-websocket-key=x |]"),
    };
    (void)state;
    CHECK(entries);
}

/* --- F018: pipelines -----------------------------------------------------------------------------
 */

static void
test_f018_pipelines(void **state)
{
    static const struct entry entries[] = {
        EH("GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n", "200 200!", "[GET /2"),
        E(GET HOST "\r\nGARBAGE\r\n\r\n", "200 400!"),
        E(GET HOST "\r\n" GET HOST "Content-Length: x\r\n\r\n", "200 400!"),
        E(GET HOST "\r\n" GET HOST "\r\nGET / HT", "200 200!"),
        E(POST "Content-Length: 5\r\n\r\nhello\r\n" GET HOST "\r\n", "200 200!"),
        EH("POST /late HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx" GET HOST "\r\n", "200 200!",
           "late"),
        E("POST /early HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET HOST "\r\n",
          "401 200!"),
        E(GET HOST "Connection: close\r\n\r\n" GET HOST "\r\n", "200!"),
        E("GET /abort HTTP/1.1\r\n" HOST "\r\n" GET HOST "\r\n", "200~!"),
    };
    (void)state;
    CHECK(entries);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_requests_as_they_should_be),
        TEST(test_http_1_0),
        TEST(test_f008_expectations),
        TEST(test_f009_length_with_chunked),
        TEST(test_f010_transfer_encodings),
        TEST(test_f011_content_lengths),
        TEST(test_f012_line_ends),
        TEST(test_f012_folding),
        TEST(test_f012_names),
        TEST(test_f012_values),
        TEST(test_f013_chunk_sizes),
        TEST(test_f014_chunk_extensions_are_dropped),
        TEST(test_f014_trailers_are_discarded),
        TEST(test_f015_targets),
        TEST(test_f015_hosts),
        TEST(test_f016_versions),
        TEST(test_f016_methods),
        TEST(test_f016_noise),
        TEST(test_f017_bodies_of_other_methods_are_framed),
        TEST(test_f017_connection_cannot_strip_fields),
        TEST(test_f042_upgrades_are_ignored),
        TEST(test_f018_pipelines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
