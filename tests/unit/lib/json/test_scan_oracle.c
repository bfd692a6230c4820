/* The scanner against Jansson on generated documents, whole and damaged: the same verdict, the same
 * values at the spans, the same tree when walked with json_next. */
#include "tests/unit/check.h"

#include <jansson.h>
#undef json_is_true

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/json/scan.h"

#define DOCUMENTS 4000
#define DAMAGES 12 /* of each document */

static uint64_t seed;

static size_t
below(size_t n)
{
    return (size_t)test_below(&seed, n);
}

static void
add(struct buf *b, const char *text)
{
    assert_int_equal(buf_add_str(b, text), 0);
}

static const char *
any_of(const char *const *texts, size_t count)
{
    return texts[below(count)];
}
#define ANY_OF(texts) any_of(texts, sizeof(texts) / sizeof((texts)[0]))

static void
add_space(struct buf *b)
{
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t\r\n  "};
    add(b, ANY_OF(spaces));
}

static void
add_string(struct buf *b)
{
    static const char *const pieces[] = {"a",
                                         "plain text of some length, longer than one stride",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\b",
                                         "\\f",
                                         "\\n",
                                         "\\r",
                                         "\\t",
                                         "\\u0041",
                                         "\\u00e9",
                                         "\\u20AC",
                                         "\\ud83d\\uDE00",
                                         "\x7f",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\xef\xbf\xbf",
                                         "12345678",
                                         "\xe4\xb8\xad\xe6\x96\x87"};
    add(b, "\"");
    for (size_t n = below(6); n > 0; n--)
        add(b, ANY_OF(pieces));
    add(b, "\"");
}

static void
add_number(struct buf *b)
{
    static const char *const numbers[] = {"0",
                                          "-0",
                                          "1",
                                          "-17",
                                          "3.25",
                                          "1e5",
                                          "1E-5",
                                          "-2.5e+10",
                                          "9007199254740993",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "0.1",
                                          "123456.789"};
    add(b, ANY_OF(numbers));
}

static void add_value(struct buf *b, unsigned depth);

static void
add_list(struct buf *b, unsigned depth)
{
    add(b, "[");
    add_space(b);
    for (size_t n = below(5), i = 0; i < n; i++) {
        if (i > 0)
            add(b, ",");
        add_space(b);
        add_value(b, depth + 1);
        add_space(b);
    }
    add(b, "]");
}

/* Names differ by their number, so that only the wanted ones can be there twice. */
static void
add_map(struct buf *b, unsigned depth)
{
    static const char *const wanted[] = {"\"model\"", "\"stream\"", "\"mod\\u0065l\"",
                                         "\"max_tokens\"", "\"us\\u0065r\""};
    add(b, "{");
    add_space(b);
    for (size_t n = below(6), i = 0; i < n; i++) {
        if (i > 0)
            add(b, ",");
        add_space(b);
        if (below(3) == 0)
            add(b, ANY_OF(wanted));
        else
            assert_int_equal(buf_addf(b, "\"n%zu%s\"", i, below(4) ? "" : "\\n\\u00e9"), 0);
        add_space(b);
        add(b, ":");
        add_space(b);
        add_value(b, depth + 1);
        add_space(b);
    }
    add(b, "}");
}

static void
add_value(struct buf *b, unsigned depth)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t kind = below(depth > 6 ? 4 : 8);
    if (kind < 2)
        add_string(b);
    else if (kind == 2)
        add_number(b);
    else if (kind == 3)
        add(b, ANY_OF(words));
    else if (kind < 6)
        add_list(b, depth);
    else
        add_map(b, depth);
}

/* Changes, drops, doubles or inserts a byte, mostly of those that matter. */
static void
damage(struct buf *b)
{
    static const char bytes[] = "{}[]\",:\\u0eE+-.1 tfn\x80\xc3\xed\xf0\n\x01";
    size_t i = below(b->len + 1);
    char byte = below(3) == 0 ? (char)below(256) : bytes[below(sizeof(bytes) - 1)];
    if (i == b->len || below(3) == 0) {
        assert_non_null(buf_reserve(b, 1));
        memmove(b->at + i + 1, b->at + i, b->len - i);
        b->at[i] = byte;
        b->len++;
    } else if (below(2) == 0) {
        b->at[i] = byte;
    } else {
        memmove(b->at + i, b->at + i + 1, b->len - i - 1);
        b->len--;
    }
}

/* --- the comparison --- ----------------------------------------------------------------------- */

/* The tree that json_next, json_text and json_int find; numbers that are not integers as text. */
static json_t *
walk(struct slice text, struct json_span v, struct arena *a)
{
    struct json_span name, value;
    size_t cursor = v.start;
    int64_t n = 0;
    struct slice s;
    json_t *j = NULL;
    switch (v.kind) {
    case JSON_MAP:
        j = json_object();
        while (json_next(text, v, &cursor, &name, &value)) {
            assert_int_equal(json_text(text, name, a, &s), 0);
            assert_int_equal(json_object_setn_new(j, s.at, s.len, walk(text, value, a)), 0);
        }
        return j;
    case JSON_LIST:
        j = json_array();
        while (json_next(text, v, &cursor, &name, &value)) {
            assert_int_equal(name.kind, JSON_ABSENT);
            assert_int_equal(json_array_append_new(j, walk(text, value, a)), 0);
        }
        return j;
    case JSON_TEXT:
        assert_int_equal(json_text(text, v, a, &s), 0);
        return json_stringn(s.at, s.len);
    case JSON_NUMBER:
        if (json_int(text, v, &n) == 0)
            return json_integer(n);
        return json_real(strtod(arena_strdup(a, json_raw(text, v)), NULL));
    case JSON_TRUE_:
        return json_true();
    case JSON_FALSE_:
        return json_false();
    case JSON_NULL_:
        return json_null();
    case JSON_ABSENT:
        break;
    }
    fail_msg("a value without a kind");
    return NULL;
}

static void
compare_wanted(struct slice text, const json_t *want, struct arena *a)
{
    static const char *const names[] = {"model", "stream", "max_tokens", "user"};
    struct json_span spans[4];
    struct json_error error;
    int e = json_scan(text, &json_limits_default, names, 4, spans, NULL, &error);
    if (!json_is_object(want)) {
        assert_int_equal(e, ERR_SYNTAX);
        return;
    }
    json_t *strict = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (e < 0) { /* the only reason left */
        assert_int_equal(e, ERR_CONFLICT);
        assert_null(strict);
        return;
    }
    json_decref(strict);
    for (size_t i = 0; i < 4; i++) {
        json_t *expected = json_object_get(want, names[i]);
        json_t *found = spans[i].kind == JSON_ABSENT ? NULL : walk(text, spans[i], a);
        assert_int_equal(expected == NULL, found == NULL);
        if (expected)
            assert_true(json_equal(expected, found));
        json_decref(found);
    }
}

/* Returns whether the document was valid. */
static bool
compare(struct slice text)
{
    json_error_t theirs;
    struct json_error ours = {0};
    struct json_span root;
    struct arena a;
    if (memchr(text.at, '\0', text.len))
        return false; /* Jansson takes a NUL for the end of the text */
    int e = json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &ours);
    json_t *want = json_loadb(text.at, text.len, JSON_DECODE_ANY, &theirs);
    if (!want && json_error_code(&theirs) == json_error_numeric_overflow)
        return false; /* syntactically fine; Jansson has no room for it */
    if ((e == 0) != (want != NULL))
        fail_msg("scanner %d (%s at %zu), Jansson %s: %.*s", e, ours.reason ? ours.reason : "-",
                 ours.offset, want ? "accepts" : theirs.text, SLICE_ARG(text));
    if (e < 0) {
        assert_int_equal(e, ERR_SYNTAX);
        assert_true(ours.offset <= text.len);
        return false;
    }
    arena_init(&a, 0);
    json_t *found = walk(text, root, &a);
    if (!json_equal(want, found))
        fail_msg("walked otherwise than Jansson read it: %.*s", SLICE_ARG(text));
    compare_wanted(text, want, &a);
    json_decref(found);
    json_decref(want);
    arena_free(&a);
    return true;
}

/* In an allocation of exactly its size, for ASan. */
static bool
compare_exact(const struct buf *b)
{
    char *copy = malloc(b->len > 0 ? b->len : 1);
    assert_non_null(copy);
    if (b->len > 0)
        memcpy(copy, b->at, b->len);
    bool valid = compare(slice_make(copy, b->len));
    free(copy);
    return valid;
}

static void
test_generated_documents(void **state)
{
    size_t valid = 0, refused = 0;
    (void)state;
    seed = test_seed();
    for (int i = 0; i < DOCUMENTS; i++) {
        struct buf b;
        buf_init(&b, 0);
        add_space(&b);
        if (below(4) == 0)
            add_value(&b, 0);
        else
            add_map(&b, 0);
        add_space(&b);
        assert_true(compare_exact(&b));
        for (int d = 0; d < DAMAGES; d++) {
            damage(&b);
            if (compare_exact(&b))
                valid++;
            else
                refused++;
        }
        buf_free(&b);
    }
    print_message("%d documents; of the damaged ones %zu were still valid, %zu not\n", DOCUMENTS,
                  valid, refused);
    assert_true(valid > DOCUMENTS / 10 && refused > DOCUMENTS);
}

static void
test_what_is_quoted_reads_back(void **state)
{
    (void)state;
    seed = test_seed();
    for (int i = 0; i < 20000; i++) {
        struct buf b;
        char bytes[40];
        size_t n = below(sizeof(bytes));
        buf_init(&b, 0);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)(below(3) ? 1 + below(127) : 1 + below(255));
        assert_int_equal(json_quote(&b, slice_make(bytes, n)), 0);
        json_t *read = json_loadb(b.at, b.len, JSON_DECODE_ANY, NULL);
        assert_non_null(read);
        json_t *same = json_stringn(bytes, n); /* NULL when it is not UTF-8 */
        if (same)
            assert_true(json_equal(same, read));
        else
            assert_non_null(strstr(json_string_value(read), "\xef\xbf\xbd"));
        json_decref(same);
        json_decref(read);
        buf_free(&b);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated_documents),
        cmocka_unit_test(test_what_is_quoted_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
