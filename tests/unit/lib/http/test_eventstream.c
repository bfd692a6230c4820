/*
 * AWS event streams: messages as botocore 1.44.8 reads them, split at every offset, with each byte
 * damaged in turn, and at the limits.
 */
#include "tests/unit/check.h"

#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/http/eventstream.h"

#define EMPTY "000000100000000005c248eb7d98c8ff"
#define PAYLOAD_ONLY "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"
#define ALL_TYPES                                                                                  \
    "00000084000000729f4fd92b0474727565000566616c736501046279746502fe0573686f727403fed407696e7465" \
    "6"                                                                                            \
    "76572"                                                                                        \
    "04fffeee90046c6f6e6705fffffffed5fa0e0005627974657306000200ff047465787407000368c3a90474696d65" \
    "080000014f7e9b6f80047575696409000102030405060708090a0b0c0d0e0f7b7de595ffd7"

/* What the messages were, written down. */
struct seen {
    struct buf text, raw;
    int messages, stop_after;
};

static void
add_header(struct buf *to, const struct eventstream_header *h)
{
    char hex[256];
    assert_true(h->bytes.len < 64);
    hex_encode(h->bytes.at, h->bytes.len, hex);
    assert_int_equal(buf_addf(to, "%.*s:%d=%lld/%s ", SLICE_ARG(h->name), (int)h->type,
                              (long long)h->number, hex),
                     0);
}

static bool
on_message(void *ctx, const struct eventstream_message *m)
{
    struct seen *s = ctx;
    for (size_t i = 0; i < m->header_count; i++)
        add_header(&s->text, &m->headers[i]);
    assert_int_equal(buf_addf(&s->text, "|%.*s;", SLICE_ARG(m->payload)), 0);
    assert_int_equal(buf_add_slice(&s->raw, m->raw), 0);
    s->messages++;
    return s->stop_after == 0 || s->messages < s->stop_after;
}

static void
seen_free(struct seen *s)
{
    buf_free(&s->text);
    buf_free(&s->raw);
    *s = (struct seen){0};
}

static size_t
from_hex(const char *hex, unsigned char *into)
{
    size_t n = strlen(hex) / 2;
    assert_int_equal(hex_decode(slice_of(hex), into, n), 0);
    return n;
}

/* The parser's verdict on the bytes in two pieces. */
static int
parse(struct slice bytes, size_t split, struct seen *s, bool *ret_partial)
{
    struct eventstream_parser p;
    eventstream_init(&p, 0);
    int err = eventstream_push(&p, slice_make(bytes.at, split), on_message, s);
    if (err == 0)
        err = eventstream_push(&p, slice_from(bytes, split), on_message, s);
    if (ret_partial)
        *ret_partial = eventstream_is_partial(&p);
    eventstream_fini(&p);
    return err;
}

static void
test_known_messages(void **state)
{
    static const struct {
        const char *hex, *text;
    } rows[] = {
        {EMPTY, "|;"},
        {PAYLOAD_ONLY, "|{'foo':'bar'};"},
        {ALL_TYPES, "true:0=0/ false:1=0/ byte:2=-2/ short:3=-300/ integer:4=-70000/ "
                    "long:5=-5000000000/ bytes:6=0/00ff text:7=0/68c3a9 time:8=1440938160000/ "
                    "uuid:9=0/000102030405060708090a0b0c0d0e0f |{};"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char bytes[256];
        struct seen s = {0};
        size_t n = from_hex(rows[i].hex, bytes);
        bool partial = true;
        assert_int_equal(parse(slice_make(bytes, n), n, &s, &partial), 0);
        assert_slice_is(buf_slice(&s.text), rows[i].text);
        assert_false(partial);
        seen_free(&s);
    }
}

/* Three messages, cut in two at every offset and into single bytes: the same. */
static void
test_every_split(void **state)
{
    unsigned char bytes[512];
    struct seen want = {0}, s = {0};
    (void)state;
    size_t n = from_hex(ALL_TYPES, bytes);
    n += from_hex(EMPTY, bytes + n);
    n += from_hex(PAYLOAD_ONLY, bytes + n);
    struct slice all = slice_make(bytes, n);
    assert_int_equal(parse(all, n, &want, NULL), 0);
    assert_int_equal(want.messages, 3);
    for (size_t split = 0; split <= n; split++) {
        bool partial = true;
        assert_int_equal(parse(all, split, &s, &partial), 0);
        assert_true(slice_eq(buf_slice(&s.text), buf_slice(&want.text)));
        assert_true(slice_eq(buf_slice(&s.raw), all));
        assert_false(partial);
        seen_free(&s);
    }
    struct eventstream_parser p;
    eventstream_init(&p, 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(eventstream_push(&p, slice_make(bytes + i, 1), on_message, &s), 0);
    assert_true(slice_eq(buf_slice(&s.text), buf_slice(&want.text)));
    eventstream_fini(&p);
    seen_free(&s);
    seen_free(&want);
}

/* No message with a damaged byte is told, and none is taken for whole that was cut. */
static void
test_every_damaged_byte(void **state)
{
    unsigned char bytes[256];
    (void)state;
    size_t n = from_hex(ALL_TYPES, bytes);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct seen s = {0};
            bytes[i] ^= (unsigned char)(1 << bit);
            assert_int_equal(parse(slice_make(bytes, n), n, &s, NULL), ERR_AUTH);
            assert_int_equal(s.messages, 0);
            bytes[i] ^= (unsigned char)(1 << bit);
        }
    for (size_t len = 1; len < n; len++) {
        struct seen s = {0};
        bool partial = false;
        assert_int_equal(parse(slice_make(bytes, len), len, &s, &partial), 0);
        assert_int_equal(s.messages, 0);
        assert_true(partial);
    }
}

/* Sticky: nothing after a failure. */
static void
test_stays_failed(void **state)
{
    unsigned char bytes[64], good[64];
    struct eventstream_parser p;
    struct seen s = {0};
    (void)state;
    size_t n = from_hex(PAYLOAD_ONLY, bytes), good_len = from_hex(EMPTY, good);
    bytes[n - 1] ^= 1;
    eventstream_init(&p, 0);
    assert_int_equal(eventstream_push(&p, slice_make(bytes, n), on_message, &s), ERR_AUTH);
    assert_int_equal(eventstream_push(&p, slice_make(good, good_len), on_message, &s), ERR_AUTH);
    assert_int_equal(s.messages, 0);
    eventstream_fini(&p);
    s.stop_after = 1;
    assert_int_equal(parse(slice_make(good, good_len), good_len, &s, NULL), ERR_CANCELLED);
    seen_free(&s);
}

static void
put_u32(unsigned char *at, size_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* A message with right checksums around the given lengths and content. */
static int
parse_forged(size_t total, size_t headers, const void *content, size_t n, size_t max)
{
    static unsigned char bytes[256 * 1024];
    struct eventstream_parser p;
    struct seen s = {0};
    put_u32(bytes, total);
    put_u32(bytes + 4, headers);
    put_u32(bytes + 8, crc32(0, bytes, 8));
    memcpy(bytes + 12, content, n);
    put_u32(bytes + 12 + n, crc32(0, bytes, 12 + n));
    eventstream_init(&p, max);
    int err = eventstream_push(&p, slice_make(bytes, 16 + n), on_message, &s);
    eventstream_fini(&p);
    assert_int_equal(s.messages, err == 0 && total == n + 16 ? 1 : 0);
    seen_free(&s);
    return err;
}

static void
test_malformed(void **state)
{
    (void)state;
    assert_int_equal(parse_forged(15, 0, "", 0, 0), ERR_SYNTAX);
    assert_int_equal(parse_forged(0, 0, "", 0, 0), ERR_SYNTAX);
    assert_int_equal(parse_forged(20, 5, "abcd", 4, 0), ERR_SYNTAX);
    assert_int_equal(parse_forged(20, 0xffffffff, "abcd", 4, 0), ERR_SYNTAX);
#define FORGED(content)                                                                            \
    parse_forged(sizeof(content) + 15, sizeof(content) - 1, content, sizeof(content) - 1, 0)
    assert_int_equal(FORGED("\1a\0"), 0);
    assert_int_equal(FORGED("\0\0"), ERR_SYNTAX);        /* no name */
    assert_int_equal(FORGED("\3a\0"), ERR_SYNTAX);       /* the name is cut */
    assert_int_equal(FORGED("\1a"), ERR_SYNTAX);         /* no type */
    assert_int_equal(FORGED("\1a\12"), ERR_SYNTAX);      /* no such type */
    assert_int_equal(FORGED("\1a\377"), ERR_SYNTAX);     /* no such type */
    assert_int_equal(FORGED("\1a\4\0\0\0"), ERR_SYNTAX); /* the number is cut */
    assert_int_equal(FORGED("\1a\7\0"), ERR_SYNTAX);     /* the length is cut */
    assert_int_equal(FORGED("\1a\7\0\3ab"), ERR_SYNTAX); /* the text is cut */
    assert_int_equal(FORGED("\1a\7\0\2ab"), 0);
    assert_int_equal(FORGED("\1a\7\0\0"), 0);
}

static void
test_limits(void **state)
{
    static unsigned char headers[3 * (LIMIT_EVENTSTREAM_HEADERS + 1)];
    static unsigned char large[LIMIT_EVENTSTREAM_HEADERS_BYTES + 64];
    (void)state;
    assert_int_equal(parse_forged(20, 0, "abcd", 4, 20), 0);
    assert_int_equal(parse_forged(20, 0, "abcd", 4, 19), ERR_LIMIT);
    /* At the limit of the format the rest is waited for; beyond it nothing is held. */
    assert_int_equal(parse_forged(LIMIT_EVENTSTREAM_MESSAGE_BYTES, 0, "abcd", 4, 0), 0);
    assert_int_equal(parse_forged(LIMIT_EVENTSTREAM_MESSAGE_BYTES + 1, 0, "abcd", 4, 0), ERR_LIMIT);
    for (size_t i = 0; i <= LIMIT_EVENTSTREAM_HEADERS; i++)
        memcpy(headers + 3 * i, "\1a\0", 3);
    size_t n = 3 * LIMIT_EVENTSTREAM_HEADERS;
    assert_int_equal(parse_forged(16 + n, n, headers, n, 0), 0);
    assert_int_equal(parse_forged(19 + n, n + 3, headers, n + 3, 0), ERR_LIMIT);
    n = LIMIT_EVENTSTREAM_HEADERS_BYTES + 1;
    assert_int_equal(parse_forged(16 + n, n, large, n, 0), ERR_LIMIT);
    n--; /* allowed, and then found to be no headers */
    assert_int_equal(parse_forged(16 + n, n, large, n, 0), ERR_SYNTAX);
}

static void
test_encodes(void **state)
{
    static const struct eventstream_header headers[] = {
        {.name = {"true", 4}, .type = EVENTSTREAM_TRUE},
        {.name = {"false", 5}, .type = EVENTSTREAM_FALSE},
        {.name = {"byte", 4}, .type = EVENTSTREAM_I8, .number = -2},
        {.name = {"short", 5}, .type = EVENTSTREAM_I16, .number = -300},
        {.name = {"integer", 7}, .type = EVENTSTREAM_I32, .number = -70000},
        {.name = {"long", 4}, .type = EVENTSTREAM_I64, .number = INT64_C(-5000000000)},
        {.name = {"bytes", 5}, .type = EVENTSTREAM_BYTES, .bytes = {"\0\377", 2}},
        {.name = {"text", 4}, .type = EVENTSTREAM_TEXT, .bytes = {"h\303\251", 3}},
        {.name = {"time", 4}, .type = EVENTSTREAM_TIME, .number = INT64_C(1440938160000)},
        {.name = {"uuid", 4},
         .type = EVENTSTREAM_UUID,
         .bytes = {"\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16}},
    };
    unsigned char want[512];
    struct buf into;
    (void)state;
    buf_init(&into, 0);
    assert_int_equal(eventstream_encode(&into, headers, 10, SLICE("{}")), 0);
    assert_int_equal(eventstream_encode(&into, NULL, 0, SLICE("")), 0);
    assert_int_equal(eventstream_encode(&into, NULL, 0, SLICE("{'foo':'bar'}")), 0);
    size_t n = from_hex(ALL_TYPES, want);
    n += from_hex(EMPTY, want + n);
    n += from_hex(PAYLOAD_ONLY, want + n);
    assert_true(slice_eq(buf_slice(&into), slice_make(want, n)));
    buf_free(&into);
}

static int
encode_one(struct slice name, enum eventstream_type type, int64_t number, size_t len)
{
    static char text[40000];
    struct eventstream_header h = {name, type, number, {text, len}};
    struct buf into;
    buf_init(&into, 0);
    int err = eventstream_encode(&into, &h, 1, SLICE(""));
    assert_true(err == 0 || into.len == 0);
    buf_free(&into);
    return err;
}

static void
test_encoder_refuses(void **state)
{
    static char text[40000];
    static struct eventstream_header many[LIMIT_EVENTSTREAM_HEADERS + 1];
    struct slice a = SLICE("a");
    struct buf into;
    (void)state;
    memset(text, 't', sizeof text);
    assert_int_equal(encode_one(SLICE(""), EVENTSTREAM_TRUE, 0, 0), ERR_SYNTAX);
    assert_int_equal(encode_one(a, EVENTSTREAM_UUID, 0, 15), ERR_SYNTAX);
    assert_int_equal(encode_one(slice_make(text, 255), EVENTSTREAM_TRUE, 0, 0), 0);
    assert_int_equal(encode_one(slice_make(text, 256), EVENTSTREAM_TRUE, 0, 0), ERR_LIMIT);
    assert_int_equal(encode_one(a, EVENTSTREAM_TEXT, 0, 32767), 0);
    assert_int_equal(encode_one(a, EVENTSTREAM_TEXT, 0, 32768), ERR_LIMIT);
    assert_int_equal(encode_one(a, EVENTSTREAM_I8, 127, 0), 0);
    assert_int_equal(encode_one(a, EVENTSTREAM_I8, 128, 0), ERR_RANGE);
    assert_int_equal(encode_one(a, EVENTSTREAM_I8, -128, 0), 0);
    assert_int_equal(encode_one(a, EVENTSTREAM_I8, -129, 0), ERR_RANGE);
    assert_int_equal(encode_one(a, EVENTSTREAM_I32, INT32_MAX, 0), 0);
    assert_int_equal(encode_one(a, EVENTSTREAM_I32, INT64_C(1) << 31, 0), ERR_RANGE);
    for (size_t i = 0; i <= LIMIT_EVENTSTREAM_HEADERS; i++)
        many[i] = (struct eventstream_header){.name = a, .type = EVENTSTREAM_TRUE};
    buf_init(&into, 3 * LIMIT_EVENTSTREAM_HEADERS + 16);
    assert_int_equal(eventstream_encode(&into, many, LIMIT_EVENTSTREAM_HEADERS + 1, SLICE("")),
                     ERR_LIMIT);
    assert_int_equal(eventstream_encode(&into, many, LIMIT_EVENTSTREAM_HEADERS, SLICE("x")),
                     ERR_LIMIT);
    assert_int_equal(into.len, 0);
    assert_int_equal(eventstream_encode(&into, many, LIMIT_EVENTSTREAM_HEADERS, SLICE("")), 0);
    buf_free(&into);
}

static bool
is_known_text(void *ctx, const struct eventstream_message *m)
{
    (void)ctx;
    assert_slice_is(eventstream_text(m, "text"), "h\303\251");
    assert_null(eventstream_text(m, "bytes").at); /* another type */
    assert_null(eventstream_text(m, "absent").at);
    return true;
}

static void
test_text_header(void **state)
{
    unsigned char bytes[256];
    struct eventstream_parser p;
    (void)state;
    size_t n = from_hex(ALL_TYPES, bytes);
    eventstream_init(&p, 0);
    assert_int_equal(eventstream_push(&p, slice_make(bytes, n), is_known_text, NULL), 0);
    eventstream_fini(&p);
}

/* A stream as Bedrock sent it, where the recordings are at hand. */
static bool
is_json_event(void *ctx, const struct eventstream_message *m)
{
    size_t *messages = ctx;
    assert_slice_is(eventstream_text(m, ":message-type"), "event");
    assert_slice_is(eventstream_text(m, ":content-type"), "application/json");
    assert_true(m->payload.len > 0 && m->payload.at[0] == '{');
    ++*messages;
    return true;
}

static void
test_recorded_stream(void **state)
{
    const char *path = "../shared/wire/bedrock/converse-stream-thinking-part-stream/response.bin";
    struct eventstream_parser p;
    struct buf bytes;
    (void)state;
    buf_init(&bytes, 0);
    if (file_read(path, 1 << 20, false, &bytes) != 0) {
        print_message("no recordings: skipped\n");
        skip();
    }
    for (size_t piece = 1; piece < bytes.len; piece += piece < 40 ? 1 : 97) {
        size_t messages = 0;
        eventstream_init(&p, 0);
        for (size_t at = 0; at < bytes.len; at += piece) {
            size_t n = bytes.len - at < piece ? bytes.len - at : piece;
            assert_int_equal(
                eventstream_push(&p, slice_make(bytes.at + at, n), is_json_event, &messages), 0);
        }
        assert_false(eventstream_is_partial(&p));
        assert_true(messages > 5);
        eventstream_fini(&p);
    }
    buf_free(&bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_messages),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_every_damaged_byte),
        cmocka_unit_test(test_stays_failed),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_encodes),
        cmocka_unit_test(test_encoder_refuses),
        cmocka_unit_test(test_text_header),
        cmocka_unit_test(test_recorded_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
